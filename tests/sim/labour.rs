//! Work without the working: outcomes as a function of what was assigned, and the check of them.
//! Never trains anything: a digest stands for the bytes that would have come out.
//!
//! A job with checkpoints is a chain of states, each made from the one before; so a segment can be
//! replayed from a claimed checkpoint, and a lie in one segment is seen only there.

use ohc::base::canon::Digest;
use ohc::domain::bisection::{Move, Step};
use ohc::domain::job::{Input, Spec, job_key};
use ohc::domain::receipt::{Claim, Flaw, Outcome, Receipt};
use ohc::domain::state::{Assignment, Duty, Query, Question, Task, TaskInput};
use ohc::domain::verdict::{Finding, Found, Segment, Verdict};
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

/// Steps of every segment.
pub const STEPS: u64 = 8;

fn step(state: Digest) -> Digest {
    mixed(state, "step")
}

fn steps(state: Digest, n: u64) -> Digest {
    (0..n).fold(state, |state, _| step(state))
}

/// The state a segment later.
pub fn after(state: Digest) -> Digest {
    next_state(state)
}

fn next_state(state: Digest) -> Digest {
    steps(state, STEPS)
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
    // By lot, so that trainings which are compared differ.
    let lot = f64::from(states[states.len() - 1].as_bytes()[0]);
    let segments = if task.spec.has_checkpoints() { states } else { Vec::new() };
    let metrics = vec![("loss".to_owned(), 0.5), ("validationLoss".to_owned(), lot)];
    Claim { job: task.job, outputs, bytes: 64, read: 32, given: 32, segments, metrics }
}

fn failure(task: &Task) -> Outcome {
    let (message, hint) = ("it cannot be done".to_owned(), "do something else".to_owned());
    Outcome::Failed { job: task.job, message, hint, flaw: Flaw::Job }
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
pub fn check(duty: &Duty, store: &BTreeSet<Digest>, salt: Digest) -> Verdict {
    let found = match &duty.receipt.outcome {
        Outcome::Failed { .. } if duty.segments.is_empty() => None,
        Outcome::Failed { job, .. } => {
            let segment = Segment { job: *job, index: 0 };
            let lost = duty.assignment.tasks.iter().find_map(|task| lost(task, store));
            let is_false = || compute(&duty.assignment) != duty.receipt.outcome;
            let found = lost.or_else(|| is_false().then_some(Found::Other));
            found.map(|found| (segment, found))
        }
        Outcome::Done(claims) => {
            let missing = |claim: &&Claim| {
                claim.outputs.iter().chain(&claim.segments).any(|digest| !store.contains(digest))
            };
            let missing = claims.iter().find(missing);
            let withheld = missing.map(|c| (Segment { job: c.job, index: 0 }, Found::Withheld));
            withheld.or_else(|| match duty.step {
                Some(one) => referee(duty.segments[0], &one, store),
                None => duty.segments.iter().find_map(|segment| {
                    let tasks = duty.assignment.tasks.iter();
                    let task = tasks.clone().find(|task| task.job == segment.job)?;
                    let lost = lost(task, store).map(|found| (*segment, found));
                    lost.or_else(|| replay(duty, *segment))
                }),
            })
        }
    };
    let finding = match (found, duty.segments.first()) {
        (Some((segment, found)), _) if !duty.question.is_vote() => {
            Finding::Object { segment, found }
        }
        (Some((_, found)), Some(segment)) => Finding::Object { segment: *segment, found },
        (None, Some(segment)) if duty.question.is_vote() => Finding::Deny { segment: *segment },
        _ => Finding::Agree,
    };
    let trace = match duty.question {
        Question::Audit => trace(duty),
        _ => Digest::default(),
    };
    let (lease, receipt) = (duty.receipt.lease, duty.id);
    Verdict { lease, receipt, finding, trace, salt }
}

/// An input of a task that nobody has.
fn lost(task: &Task, store: &BTreeSet<Digest>) -> Option<Found> {
    task.inputs.iter().find_map(|(_, from)| match from {
        TaskInput::Artifact(digest) if !store.contains(digest) => Some(Found::Lost(*digest)),
        _ => None,
    })
}

/// What only re-execution shows: states in the middle of the segments that were drawn.
fn trace(duty: &Duty) -> Digest {
    let lease = duty.receipt.lease;
    let state = |segment: &Segment| {
        let at = duty.probe.below(STEPS as u32, "probe", lease, segment.index);
        begin(duty, *segment).map(|from| steps(from, u64::from(at)))
    };
    let states = duty.segments.iter().filter_map(state);
    Digest::of(&states.flat_map(|state| *state.as_bytes()).collect::<Vec<u8>>())
}

/// The one step that settles a dispute: the store must have the state before it.
fn referee(segment: Segment, one: &Step, store: &BTreeSet<Digest>) -> Option<(Segment, Found)> {
    if !store.contains(&one.from) {
        return Some((segment, Found::Withheld));
    }
    let honest = step(one.from);
    (honest != one.worker).then_some((segment, Found::State(honest)))
}

/// What a side of a dispute says: honestly, or another state after so many steps.
pub fn testify(query: &Query, lies_after: Option<u64>) -> Move {
    let end = query.receipt.claim(query.segment.job);
    let end = end.and_then(|claim| claim.segments.get(query.segment.index as usize + 1).copied());
    let from = claimed_begin(&query.receipt, query.segment).unwrap();
    let state = match query.at {
        Some(at) if lies_after.is_some_and(|lie| at > lie) => mixed(steps(from, at), "lie"),
        Some(at) => steps(from, at),
        // The worker stands by its receipt; the objector says what it found.
        None if query.publish => end.unwrap(),
        None => next_state(from),
    };
    let (lease, round) = (query.receipt.lease, query.round);
    Move { lease, round, steps: STEPS, state }
}

fn claimed_begin(receipt: &Receipt, segment: Segment) -> Option<Digest> {
    receipt.claim(segment.job)?.segments.get(segment.index as usize).copied()
}

/// The state before a segment, as far as the receipt's own claims go.
fn begin(duty: &Duty, segment: Segment) -> Option<Digest> {
    let tasks = &duty.assignment.tasks;
    let task = tasks.iter().find(|task| task.job == segment.job)?;
    let claim = |job| duty.receipt.claim(job);
    let inputs = inputs(task, |t, o| claim(tasks.get(t)?.job)?.outputs.get(o).copied())?;
    match segment.index {
        0 => Some(first_state(job_key(&task.spec, &inputs))),
        _ => claimed_begin(&duty.receipt, segment),
    }
}

/// Re-executes one segment from what the receipt claims to have been before it.
fn replay(duty: &Duty, segment: Segment) -> Option<(Segment, Found)> {
    let task = duty.assignment.tasks.iter().find(|task| task.job == segment.job)?;
    let claimed = duty.receipt.claim(segment.job)?;
    if fails(&task.spec) {
        return Some((segment, Found::Other));
    }
    let from = begin(duty, segment)?;
    if task.spec.has_checkpoints() && claimed_begin(&duty.receipt, segment) != Some(from) {
        return Some((segment, Found::Other));
    }
    let state = next_state(from);
    let after = claimed.segments.get(segment.index as usize + 1);
    if task.spec.has_checkpoints() && after != Some(&state) {
        return Some((segment, Found::State(state)));
    }
    let is_last = segment.index + 1 == task.spec.segments();
    let honest = is_last.then(|| outputs(&task.spec, state))?;
    let wrong = honest.iter().zip(&claimed.outputs).find(|(honest, said)| honest != said);
    wrong.map(|(honest, _)| (segment, Found::Output(*honest)))
}

/// The outputs of a job of this key.
pub fn honest(spec: &Spec, key: Digest) -> Vec<Digest> {
    let last = (0..spec.segments()).fold(first_state(key), |state, _| next_state(state));
    outputs(spec, last)
}
