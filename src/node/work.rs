//! Work: fetches the inputs of jobs, has them computed, stores what comes out; and checks
//! receipts the same way. Never decides what to work on or what a result is worth.

mod inputs;
mod shelf;

use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::base::limits::TEXT_BYTES_MAX;
use crate::compute::memory::Bound;
use crate::compute::{self, Cause, Ended, Ends, Fault, Machine, Named, Progress};
use crate::domain::bisection::{Move, Step};
use crate::domain::receipt::{Claim, Flaw, Outcome, Receipt};
use crate::domain::state::{Assignment, Duty, Query, Task, TaskInput};
use crate::domain::verdict::{Finding, Found, Segment, Verdict};
use crate::effects::artifacts::{ArtifactError, Artifacts};
use crate::effects::{Peril, pass};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use inputs::Fetched;
pub(super) use shelf::Shelf;
use shelf::{AT_A_TIME, SMALL_BYTES};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Changes what a worker has computed before it claims it: see [`Bench::dishonest`].
pub type Tamper = Arc<dyn Fn(&Task, Made<'_>) + Send + Sync>;

/// What a worker has computed of a job.
#[derive(Debug)]
pub enum Made<'a> {
    /// The state at the beginning of this segment, or at the end of the last.
    State(u32, &'a mut Vec<u8>),
    /// What it gives at its end.
    Done(&'a mut compute::Done),
}

/// From now on fast jobs run as on a graphics card, on the CPU: see [`compute::device`].
pub fn rehearse_fast_on_cpu() {
    compute::device::rehearse_on_cpu();
}

/// What computes: the artifact store, reached from a thread that may block.
#[derive(Clone)]
pub struct Bench {
    artifacts: Arc<Artifacts>,
    runtime: Handle,
    tamper: Option<Tamper>,
}

/// Why a receipt was not found to be true.
enum Doubt {
    /// This segment is not as it claims.
    About(Segment, Found),
    /// The store is away: no reason to accuse anybody.
    Host(ArtifactError),
}

/// The state that a claim says there was before a segment.
fn state_at(claim: &Claim, index: u32) -> Option<Digest> {
    claim.segments.get(index as usize).copied()
}

/// What a claim says that a segment ends in: a state or, of a job that has none, its first output.
fn claimed_end(task: &Task, claim: &Claim, segment: Segment) -> Option<Digest> {
    match task.spec.has_checkpoints() {
        true => state_at(claim, segment.index.saturating_add(1)),
        false => claim.outputs.first().copied(),
    }
}

/// The artifacts that are claimed, each once and with the first job that claims it: a receipt may
/// name one as often as it has room for.
fn claimed(claims: &[Claim]) -> Vec<(JobId, Digest)> {
    let mut seen = BTreeSet::new();
    let named = |claim: &Claim| {
        let digests = claim.outputs.iter().chain(&claim.segments);
        digests.map(|digest| (claim.job, *digest)).collect::<Vec<_>>()
    };
    claims.iter().flat_map(named).filter(|(_, digest)| seen.insert(*digest)).collect()
}

/// The artifacts that an assignment reads.
fn read_by(assignment: &Assignment) -> Vec<Digest> {
    let inputs = assignment.tasks.iter().flat_map(|task| &task.inputs);
    let artifact = |(_, from): &(String, TaskInput)| match from {
        TaskInput::Artifact(digest) => Some(*digest),
        TaskInput::Earlier { .. } => None,
    };
    inputs.filter_map(artifact).collect()
}

impl From<ArtifactError> for Doubt {
    fn from(error: ArtifactError) -> Self {
        Self::Host(error)
    }
}

fn consent(duty: &Duty) -> Finding {
    match duty.segments.first() {
        Some(segment) if duty.question.is_vote() => Finding::Deny { segment: *segment },
        _ => Finding::Agree,
    }
}

impl Bench {
    /// A bench over a store. Its methods block: call them outside the runtime.
    #[must_use]
    pub fn new(artifacts: Arc<Artifacts>, runtime: Handle) -> Self {
        Self { artifacts, runtime, tamper: None }
    }

    /// The bench of a worker that lies: drills and tests show with it that lying does not pay.
    /// Its checks stay honest: only what it claims to have computed is tampered with.
    #[must_use]
    pub fn dishonest(self, tamper: Tamper) -> Self {
        Self { tamper: Some(tamper), ..self }
    }

    /// Computes an assignment. A fault is an outcome; an error of the host is none at all. What
    /// fails and was computed fast, or from what was, is computed again exactly: its failure must
    /// be one that validators find too.
    pub fn compute(
        &self,
        assignment: &Assignment,
        begin: &mut dyn FnMut(&Task),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, ArtifactError> {
        let _held = self.artifacts.hold(read_by(assignment));
        let mut is_fast = false;
        let mut machine = |task: &Task| {
            let machine = Machine::of(&task.spec);
            is_fast |= machine.is_fast();
            machine
        };
        let outcome = self.compute_on(&mut machine, assignment, begin, progress)?;
        match outcome {
            Outcome::Failed { .. } if is_fast => {
                self.compute_on(&mut |_| Machine::default(), assignment, begin, progress)
            }
            outcome => Ok(outcome),
        }
    }

    fn compute_on(
        &self,
        machine: &mut dyn FnMut(&Task) -> Machine,
        assignment: &Assignment,
        begin: &mut dyn FnMut(&Task),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, ArtifactError> {
        let mut claims = Vec::new();
        let mut earlier: Vec<Vec<Named>> = Vec::new();
        for task in &assignment.tasks {
            begin(task);
            let ran = self.inputs(task, &earlier).and_then(|inputs| {
                pass(Peril::WorkFetched);
                let ran = self.run_on(&machine(task), task, &inputs, progress);
                ran.map(|(done, states)| (inputs, done, states))
            });
            match ran {
                Ok((inputs, done, states)) => {
                    let claim = self.claim(task.job, &done, states)?;
                    claims.push(Claim { read: inputs.fetched(task), ..claim });
                    earlier.push(done.outputs);
                }
                Err(Ended::Failed(fault)) => return Ok(failed(task.job, &fault)),
                Err(Ended::Unkept(error)) => return Err(error),
            }
        }
        Ok(Outcome::Done(claims))
    }

    /// Runs a job on a machine; its states go to the store while it does.
    fn run_on(
        &self,
        machine: &Machine,
        task: &Task,
        inputs: &Fetched<'_, ArtifactError>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(compute::Done, Shelf), Ended<ArtifactError>> {
        let mut shelf = Shelf::new(Arc::clone(&self.artifacts), self.runtime.clone());
        let mut keep = |mut state| {
            if let Some(tamper) = &self.tamper {
                tamper(task, Made::State(shelf.count(), &mut state));
            }
            shelf.put(state)
        };
        let given = inputs.inputs();
        let mut run = || compute::job::run(machine, &task.spec, given, progress, &mut keep);
        let mut done = inputs.ended(match task.memory.map(Bound::new) {
            Some(bound) => bound.hold(inputs.bytes(), run),
            None => run(),
        })?;
        pass(Peril::WorkComputed);
        if let Some(tamper) = &self.tamper {
            tamper(task, Made::Done(&mut done));
        }
        Ok((done, shelf))
    }

    /// What is claimed of a job that is done, as soon as all of it is stored.
    fn claim(
        &self,
        job: JobId,
        done: &compute::Done,
        states: Shelf,
    ) -> Result<Claim, ArtifactError> {
        // Outputs last: whoever finds an output finds the checkpoints that it can be audited by.
        let (segments, bytes) = states.close()?;
        pass(Peril::WorkHalfStored);
        let outputs = || done.outputs.iter().map(|output| &output.bytes);
        let bytes = outputs().fold(bytes, |sum, output| sum.saturating_add(output.len() as u64));
        // Each takes its bytes once more until it is stored.
        let are_small = outputs().all(|output| output.len() <= SMALL_BYTES);
        let puts = stream::iter(outputs().map(|output| self.artifacts.put(output)));
        let puts = puts.buffered(if are_small { AT_A_TIME } else { 1 });
        let outputs = self.runtime.block_on(puts.try_collect())?;
        pass(Peril::WorkStored);
        let (given, metrics) = (bytes_of(&done.outputs), done.metrics.clone());
        Ok(Claim { job, outputs, bytes, read: 0, given, segments, metrics })
    }

    fn fetch(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        self.runtime.block_on(self.artifacts.get(digest))
    }

    fn inputs(
        &self,
        task: &Task,
        earlier: &[Vec<Named>],
    ) -> Result<Fetched<'_, ArtifactError>, Ended<ArtifactError>> {
        let fetch = Box::new(|digest| self.fetch(digest));
        Fetched::new(&self.artifacts, task, fetch, |task, output| Ok(given(earlier, task, output)))
    }

    /// Looks into a question about a receipt: whether its artifacts are there and whole, and
    /// whether what is to be re-executed gives the digests that it claims. `salt` hides it.
    pub fn check(&self, duty: &Duty, salt: Digest) -> Result<Verdict, ArtifactError> {
        let _held = self.artifacts.hold(read_by(&duty.assignment));
        let looked = match (&duty.receipt.outcome, duty.step) {
            // Nobody asked this validator to run it: a failure has no artifacts to look at.
            (Outcome::Failed { .. }, _) if duty.segments.is_empty() => Ok(Digest::default()),
            (Outcome::Failed { job, .. }, _) => self.check_failure(duty, *job),
            (Outcome::Done(_), Some(step)) => self.check_step(duty, step),
            (Outcome::Done(claims), None) => self.check_claims(duty, claims),
        };
        let (finding, trace) = match looked {
            Ok(trace) => (consent(duty), trace),
            Err(Doubt::About(segment, found)) => {
                // A vote is about the segment that is in question.
                let asked = duty.segments.first().filter(|_| duty.question.is_vote());
                let segment = asked.copied().unwrap_or(segment);
                (Finding::Object { segment, found }, Digest::default())
            }
            Err(Doubt::Host(error)) => return Err(error),
        };
        Ok(Verdict { lease: duty.receipt.lease, receipt: duty.id, finding, trace, salt })
    }

    /// The trace of what was re-executed, if all of it is as claimed.
    fn check_claims(&self, duty: &Duty, claims: &[Claim]) -> Result<Digest, Doubt> {
        for (job, digest) in claimed(claims) {
            // Most of them nobody here reads again, so no copies are kept.
            let looked = self.runtime.block_on(self.artifacts.look(digest));
            looked.map_err(|error| doubt(error, Segment { job, index: 0 }, Found::Withheld))?;
        }
        let mut traces = Vec::new();
        for segment in &duty.segments {
            traces.extend_from_slice(self.replay(duty, *segment)?.as_bytes());
        }
        Ok(Digest::of(&traces))
    }

    /// Re-executes a segment and compares what it gives with what is claimed: the state before
    /// and after it and, for the last one, outputs and metrics. Returns its trace.
    fn replay(&self, duty: &Duty, segment: Segment) -> Result<Digest, Doubt> {
        let doubt = |found| Err(Doubt::About(segment, found));
        let Some(claim) = duty.receipt.claim(segment.job) else {
            return doubt(Found::Other); // the fold draws from what the receipt claims
        };
        let (task, inputs) = self.claimed_inputs(&duty.assignment, &duty.receipt, segment)?;
        let checkpoint = self.checkpoint(claim, segment)?;
        let probe = duty.probe.below(u32::MAX, "probe", duty.receipt.lease, segment.index);
        let spec = &task.spec;
        let given = inputs.inputs();
        let replayed =
            compute::job::replay(spec, given, segment.index, checkpoint.as_deref(), probe);
        let replayed = inputs.unbroken(replayed)?;
        pass(Peril::AuditReplayed);
        let Ok(replayed) = replayed else {
            return doubt(Found::Other); // it fails where the receipt says that it is done
        };
        if replayed.begin != state_at(claim, segment.index) {
            return doubt(Found::Other);
        }
        let exact = replayed.end();
        let end = exact.map(Digest::of);
        let said = match exact {
            _ if end == claimed_end(task, claim, segment) => replayed.outputs,
            Some(exact) if task.spec.is_fast() => {
                self.accept((task, &inputs), (claim, segment), exact)?
            }
            _ if replayed.state.is_none() => replayed.outputs,
            _ => return doubt(end.map_or(Found::Other, Found::State)),
        };
        let Some((outputs, metrics)) = said else { return Ok(replayed.trace) };
        let mut honest = outputs.iter().map(|named| Digest::of(&named.bytes)).zip(&claim.outputs);
        match honest.find(|(honest, claimed)| honest != *claimed) {
            Some((honest, _)) => doubt(Found::Output(honest)),
            None if metrics != claim.metrics => doubt(Found::Other),
            None => Ok(replayed.trace),
        }
    }

    /// What follows from the claimed end of a fast segment, if it is near enough to the exact one.
    /// There is nothing to bisect where it is not: its worker need not find the same bits again.
    fn accept(
        &self,
        (task, inputs): (&Task, &Fetched<'_, Doubt>),
        (claim, segment): (&Claim, Segment),
        exact: &[u8],
    ) -> Result<Option<(Vec<Named>, compute::Metrics)>, Doubt> {
        let begin = state_at(claim, segment.index);
        let begin = begin.map(|digest| self.fetch_claimed(digest, segment)).transpose()?;
        let Some(claimed) = claimed_end(task, claim, segment) else {
            return Err(Doubt::About(segment, Found::Other));
        };
        let claimed = self.fetch_claimed(claimed, segment)?;
        let ends = Ends { begin: begin.as_deref().unwrap_or_default(), exact, claimed: &claimed };
        let accepted = compute::job::accept(&task.spec, inputs.inputs(), segment.index, ends);
        inputs.unbroken(accepted)?.map_err(|_| Doubt::About(segment, Found::Far))
    }

    /// Takes the one step at which worker and objector part, from the state on which they agree.
    fn check_step(&self, duty: &Duty, step: Step) -> Result<Digest, Doubt> {
        let Some(segment) = duty.segments.first().copied() else { return Ok(Digest::default()) };
        let (task, inputs) = self.claimed_inputs(&duty.assignment, &duty.receipt, segment)?;
        let from = self.fetch_claimed(step.from, segment)?;
        let honest = compute::job::step(&task.spec, inputs.inputs(), segment.index, &from);
        match inputs.unbroken(honest)?.map(|state| Digest::of(&state)) {
            Ok(honest) if honest == step.worker => Ok(Digest::default()),
            Ok(honest) => Err(Doubt::About(segment, Found::State(honest))),
            Err(_) => Err(Doubt::About(segment, Found::Other)),
        }
    }

    /// Says what a state of a disputed segment was; the worker's are stored, for whoever has to
    /// go on from one. None if it cannot be computed: then there is nothing to say.
    pub fn testify(&self, query: &Query) -> Result<Option<Move>, ArtifactError> {
        let Query { receipt, segment, round, .. } = query;
        let traced = match self.trace(query) {
            Ok(traced) => traced,
            Err(Doubt::About(..)) => return Ok(None),
            Err(Doubt::Host(error)) => return Err(error),
        };
        let mut state = Digest::of(&traced.state);
        if query.publish {
            self.runtime.block_on(self.artifacts.put(&traced.state))?;
            // Whoever sold a state stands by it.
            let claim = receipt.claim(segment.job).filter(|_| query.at.is_none());
            let sold = claim.and_then(|claim| state_at(claim, segment.index.saturating_add(1)));
            state = sold.unwrap_or(state);
        }
        Ok(Some(Move { lease: receipt.lease, round: *round, steps: traced.steps, state }))
    }

    fn trace(&self, query: &Query) -> Result<compute::Traced, Doubt> {
        let Query { assignment, receipt, segment, at, .. } = query;
        let other = Doubt::About(*segment, Found::Other);
        let Some(claim) = receipt.claim(segment.job) else { return Err(other) };
        let (task, inputs) = self.claimed_inputs(assignment, receipt, *segment)?;
        let checkpoint = self.checkpoint(claim, *segment)?;
        let given = inputs.inputs();
        let traced =
            compute::job::trace(&task.spec, given, segment.index, checkpoint.as_deref(), *at);
        inputs.unbroken(traced)?.map_err(|_| other)
    }

    /// What a job of a receipt was computed from, as far as the receipt says.
    fn claimed_inputs<'a>(
        &'a self,
        assignment: &'a Assignment,
        receipt: &Receipt,
        segment: Segment,
    ) -> Result<(&'a Task, Fetched<'a, Doubt>), Doubt> {
        let task = assignment.tasks.iter().find(|task| task.job == segment.job);
        let Some(task) = task else { return Err(Doubt::About(segment, Found::Other)) };
        let fetch = Box::new(move |digest| self.fetch_input(digest, segment));
        let inputs = Fetched::new(&self.artifacts, task, fetch, |task, output| {
            let earlier = assignment.tasks.get(task).map(|task| task.job);
            let claim = earlier.and_then(|job| receipt.claim(job));
            let digest = claim.and_then(|claim| claim.outputs.get(output).copied());
            let digest = digest.ok_or(Doubt::About(segment, Found::Withheld))?;
            self.fetch_claimed(digest, segment)
        });
        match inputs {
            Ok(inputs) => Ok((task, inputs)),
            // It fails where the receipt says that it is done.
            Err(Ended::Failed(_)) => Err(Doubt::About(segment, Found::Other)),
            Err(Ended::Unkept(doubt)) => Err(doubt),
        }
    }

    /// The state before a segment; none for the first, which follows from the inputs.
    fn checkpoint(&self, claim: &Claim, segment: Segment) -> Result<Option<Vec<u8>>, Doubt> {
        let digest = state_at(claim, segment.index).filter(|_| segment.index > 0);
        digest.map(|digest| self.fetch_claimed(digest, segment)).transpose()
    }

    /// Runs the jobs up to the one that is said to fail, and compares the failures.
    fn check_failure(&self, duty: &Duty, job: JobId) -> Result<Digest, Doubt> {
        let other = Doubt::About(Segment { job, index: 0 }, Found::Other);
        let mut earlier = Vec::new();
        let is_of_memory =
            matches!(duty.receipt.outcome, Outcome::Failed { flaw: Flaw::Memory, .. });
        for task in &duty.assignment.tasks {
            let segment = Segment { job, index: 0 };
            let fetch = Box::new(move |digest| self.fetch_input(digest, segment));
            let inputs = Fetched::new(&self.artifacts, task, fetch, |task, output| {
                Ok(given(&earlier, task, output))
            });
            // Only of who says so it matters how much it took.
            let bound = task.memory.map(Bound::new).filter(|_| is_of_memory && task.job == job);
            let done = inputs.and_then(|inputs| {
                let keep = &mut |_| Ok::<(), Doubt>(());
                let exact = Machine::default();
                let given = inputs.inputs();
                let mut run = || compute::job::run(&exact, &task.spec, given, &mut |_| {}, keep);
                inputs.ended(match bound {
                    Some(bound) => bound.hold_tighter(inputs.bytes(), run),
                    None => run(),
                })
            });
            match done {
                Ok(done) if task.job != job => earlier.push(done.outputs),
                Err(Ended::Failed(fault)) if failed(task.job, &fault) == duty.receipt.outcome => {
                    return Ok(Digest::of(fault.message.as_bytes()));
                }
                Err(Ended::Unkept(doubt)) => return Err(doubt),
                _ => return Err(other),
            }
        }
        Err(other)
    }

    fn fetch_claimed(&self, digest: Digest, segment: Segment) -> Result<Vec<u8>, Doubt> {
        self.fetch(digest).map_err(|error| doubt(error, segment, Found::Withheld))
    }

    /// Whoever computed from it had it. If nobody has it any more the receipt cannot be checked,
    /// and must not be paid; whose fault that is depends on who made it.
    fn fetch_input(&self, digest: Digest, segment: Segment) -> Result<Vec<u8>, Doubt> {
        self.fetch(digest).map_err(|error| doubt(error, segment, Found::Lost(digest)))
    }
}

/// A missing or damaged artifact says something about a receipt; anything else is about us.
fn doubt(error: ArtifactError, segment: Segment, found: Found) -> Doubt {
    match error {
        ArtifactError::Missing { .. }
        | ArtifactError::Damaged { .. }
        | ArtifactError::TooLarge { .. } => Doubt::About(segment, found),
        host => Doubt::Host(host),
    }
}

/// What an earlier job of the same block gave.
fn given(earlier: &[Vec<Named>], task: usize, output: usize) -> Vec<u8> {
    let given = earlier.get(task).and_then(|outputs| outputs.get(output));
    given.map(|named| named.bytes.clone()).unwrap_or_default()
}

fn bytes_of(all: &[Named]) -> u64 {
    all.iter().map(|named| named.bytes.len() as u64).sum()
}

fn failed(job: JobId, fault: &Fault) -> Outcome {
    let cut = |text: &str| {
        let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
        text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
    };
    let flaw = match fault.cause {
        Cause::Memory => Flaw::Memory,
        // One of the machine is taken back before it comes here.
        Cause::Job | Cause::Cell | Cause::Machine => Flaw::Job,
    };
    Outcome::Failed { job, message: cut(&fault.message), hint: cut(&fault.hint), flaw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_an_artifact_is_looked_at_once_however_often_a_receipt_names_it() {
        let digests = |n: u8| vec![Digest([n; 32]); 1_000];
        let claim = |job: u32, outputs: Vec<Digest>, segments: Vec<Digest>| {
            let (bytes, read, given, metrics) = Default::default();
            Claim { job: JobId(job), outputs, bytes, read, given, segments, metrics }
        };
        let claims = [claim(4, digests(2), digests(1)), claim(5, digests(3), digests(2))];
        let expect = [(4, 2), (4, 1), (5, 3)].map(|(job, n)| (JobId(job), Digest([n; 32])));
        assert!(claimed(&claims) == expect, "{} looks", claimed(&claims).len());
    }
}
