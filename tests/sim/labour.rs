//! Work without the working: outcomes as a function of what was assigned, and the check of them.
//! Never trains anything: a digest stands for the bytes that would have come out.
//!
//! A job with checkpoints is a chain of states, each made from the one before; so a segment can be
//! replayed from a claimed checkpoint, and a lie in one segment is seen only there.

use ohc::base::canon::Digest;
use ohc::domain::job::{Input, Spec, job_key};
use ohc::domain::receipt::{Claim, Outcome};
use ohc::domain::state::{Assignment, Duty, Task, TaskInput};
use ohc::domain::verdict::{Finding, Segment, Verdict};
use std::collections::BTreeSet;

/// No-ops with this tag fail for every honest worker.
pub const FAILING_TAG: u64 = 666;

fn mixed(digest: Digest, word: &str) -> Digest {
    Digest::of(&[digest.as_bytes(), word.as_bytes()].concat())
}

fn inputs(task: &Task, earlier: impl Fn(usize, usize) -> Option<Digest>) -> Option<Vec<Input>> {
    let input = |(name, from): &(String, TaskInput)| {
        let digest = match from {
            TaskInput::Artifact(digest) => Some(*digest),
            TaskInput::Earlier { task, output } => earlier(*task, *output),
        };
        Some(Input { name: name.clone(), digest: digest? })
    };
    task.inputs.iter().map(input).collect()
}

fn fails(spec: &Spec) -> bool {
    matches!(spec, Spec::Noop(noop) if noop.tag == FAILING_TAG)
}

fn first_state(key: Digest) -> Digest {
    mixed(key, "first")
}

/// The state a segment later.
pub fn after(state: Digest) -> Digest {
    next_state(state)
}

fn next_state(state: Digest) -> Digest {
    mixed(state, "next")
}

/// What comes out of a job that ends in this state.
pub fn outputs(spec: &Spec, last: Digest) -> Vec<Digest> {
    spec.outputs().iter().map(|name| mixed(last, name)).collect()
}

fn claim(task: &Task, key: Digest) -> Claim {
    let mut states = vec![first_state(key)];
    for _ in 0..task.spec.segments() {
        states.push(next_state(states[states.len() - 1]));
    }
    let outputs = outputs(&task.spec, states[states.len() - 1]);
    let segments = if task.spec.has_checkpoints() { states } else { Vec::new() };
    let metrics = vec![("loss".to_owned(), 0.5)];
    Claim { job: task.job, outputs, bytes: 64, segments, metrics }
}

fn failure(task: &Task) -> Outcome {
    let (message, hint) = ("it cannot be done".to_owned(), "do something else".to_owned());
    Outcome::Failed { job: task.job, message, hint }
}

/// What every honest worker makes of an assignment.
pub fn compute(assignment: &Assignment) -> Outcome {
    let mut claims: Vec<Claim> = Vec::new();
    for task in &assignment.tasks {
        if fails(&task.spec) {
            return failure(task);
        }
        let inputs = inputs(task, |t, o| claims.get(t)?.outputs.get(o).copied()).unwrap();
        let done = claim(task, job_key(&task.spec, &inputs));
        claims.push(done);
    }
    Outcome::Done(claims)
}

/// The artifacts that belong to an outcome.
pub fn artifacts(outcome: &Outcome) -> Vec<Digest> {
    match outcome {
        Outcome::Done(claims) => {
            claims.iter().flat_map(|c| c.outputs.iter().chain(&c.segments)).copied().collect()
        }
        Outcome::Failed { .. } => Vec::new(),
    }
}

/// What an honest validator finds.
pub fn check(duty: &Duty, store: &BTreeSet<Digest>) -> Verdict {
    let found = match &duty.receipt.outcome {
        Outcome::Failed { .. } if duty.segments.is_empty() => None,
        Outcome::Failed { job, .. } => {
            let segment = Segment { job: *job, index: 0 };
            (compute(&duty.assignment) != duty.receipt.outcome).then_some((segment, None))
        }
        Outcome::Done(claims) => {
            let missing = |claim: &&Claim| {
                claim.outputs.iter().chain(&claim.segments).any(|digest| !store.contains(digest))
            };
            let missing = claims.iter().find(missing);
            let withheld = missing.map(|c| (Segment { job: c.job, index: 0 }, None));
            withheld.or_else(|| duty.segments.iter().find_map(|segment| replay(duty, *segment)))
        }
    };
    let finding = match (found, duty.segments.first()) {
        (Some((segment, honest)), _) => Finding::Object { segment, honest },
        (None, Some(segment)) if duty.disputed => Finding::Deny { segment: *segment },
        (None, _) => Finding::Agree,
    };
    Verdict { lease: duty.receipt.lease, receipt: duty.id, finding }
}

/// Re-executes one segment from what the receipt claims to have been before it.
fn replay(duty: &Duty, segment: Segment) -> Option<(Segment, Option<Digest>)> {
    let tasks = &duty.assignment.tasks;
    let task = tasks.iter().find(|task| task.job == segment.job)?;
    let claimed = duty.claim(segment.job)?;
    let inputs = inputs(task, |t, o| duty.claim(tasks.get(t)?.job)?.outputs.get(o).copied())?;
    if fails(&task.spec) {
        return Some((segment, None));
    }
    let first = first_state(job_key(&task.spec, &inputs));
    let from = match segment.index {
        0 => first,
        index => claimed.segments.get(index as usize).copied()?,
    };
    let state = next_state(from);
    let after = claimed.segments.get(segment.index as usize + 1);
    if task.spec.has_checkpoints() && after != Some(&state) {
        return Some((segment, Some(state)));
    }
    let is_last = segment.index + 1 == task.spec.segments();
    let honest = is_last.then(|| outputs(&task.spec, state))?;
    let wrong = honest.iter().zip(&claimed.outputs).find(|(honest, said)| honest != said);
    wrong.map(|(honest, _)| (segment, Some(*honest)))
}

/// The outputs of a job of this key.
pub fn honest(spec: &Spec, key: Digest) -> Vec<Digest> {
    let last = (0..spec.segments()).fold(first_state(key), |state, _| next_state(state));
    outputs(spec, last)
}
