//! Work: fetches the inputs of jobs, has them computed, stores what comes out; and checks
//! receipts the same way. Never decides what to work on or what a result is worth.

use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::base::limits::TEXT_BYTES_MAX;
use crate::compute::{self, Fault, Named, Progress};
use crate::domain::receipt::{Claim, Outcome};
use crate::domain::state::{Assignment, Duty, Task, TaskInput};
use crate::domain::verdict::{Finding, Segment, Verdict};
use crate::effects::artifacts::{ArtifactError, Artifacts};
use crate::effects::{Peril, pass};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Changes what a worker has computed before it claims it: see [`Bench::dishonest`].
pub type Tamper = Arc<dyn Fn(&Task, &mut compute::Done) + Send + Sync>;

/// What computes: the artifact store, reached from a thread that may block.
#[derive(Clone)]
pub struct Bench {
    artifacts: Arc<Artifacts>,
    runtime: Handle,
    tamper: Option<Tamper>,
}

/// What re-executing a segment gave.
enum Replay {
    /// Everything that the receipt claims about it.
    AsClaimed,
    /// Something else: the first digest that differs, if it is one that does.
    Differs(Option<Digest>),
}

/// Why a receipt was not found to be true.
enum Doubt {
    /// An artifact that the receipt needs is missing or damaged.
    Withheld(Segment),
    /// The store is away: no reason to accuse anybody.
    Host(ArtifactError),
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

    /// Computes an assignment. A fault is an outcome; an error of the host is none at all.
    pub fn compute(
        &self,
        assignment: &Assignment,
        begin: &mut dyn FnMut(&Task),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, ArtifactError> {
        let mut claims = Vec::new();
        let mut earlier: Vec<Vec<Named>> = Vec::new();
        for task in &assignment.tasks {
            begin(task);
            let inputs = self.inputs(task, &earlier)?;
            pass(Peril::WorkFetched);
            match compute::job::run(&task.spec, &inputs, progress) {
                Ok(mut done) => {
                    pass(Peril::WorkComputed);
                    if let Some(tamper) = &self.tamper {
                        tamper(task, &mut done);
                    }
                    claims.push(self.claim(task.job, &done)?);
                    earlier.push(done.outputs);
                }
                Err(fault) => return Ok(failed(task.job, &fault)),
            }
        }
        Ok(Outcome::Done(claims))
    }

    fn claim(&self, job: JobId, done: &compute::Done) -> Result<Claim, ArtifactError> {
        let mut bytes = 0u64;
        let mut put = |content: &[u8]| {
            bytes = bytes.saturating_add(content.len() as u64);
            self.runtime.block_on(self.artifacts.put(content))
        };
        // Outputs last: whoever finds an output finds the checkpoints that it can be audited by.
        let segments = done.checkpoints.iter().map(|c| put(c)).collect::<Result<_, _>>()?;
        pass(Peril::WorkHalfStored);
        let outputs = done.outputs.iter().map(|o| put(&o.bytes)).collect::<Result<_, _>>()?;
        pass(Peril::WorkStored);
        Ok(Claim { job, outputs, bytes, segments, metrics: done.metrics.clone() })
    }

    fn fetch(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        self.runtime.block_on(self.artifacts.get(digest))
    }

    fn inputs(&self, task: &Task, earlier: &[Vec<Named>]) -> Result<Vec<Named>, ArtifactError> {
        let input = |(name, from): &(String, TaskInput)| {
            let bytes = match from {
                TaskInput::Artifact(digest) => self.fetch(*digest)?,
                TaskInput::Earlier { task, output } => {
                    let given = earlier.get(*task).and_then(|outputs| outputs.get(*output));
                    given.map(|named| named.bytes.clone()).unwrap_or_default()
                }
            };
            Ok(Named { name: name.clone(), bytes })
        };
        task.inputs.iter().map(input).collect()
    }

    /// Checks a receipt: its artifacts are there and whole, and the segments that are this
    /// validator's to re-execute give the digests that it claims.
    pub fn check(&self, duty: &Duty) -> Result<Verdict, ArtifactError> {
        let finding = match &duty.receipt.outcome {
            Outcome::Failed { job, .. } if duty.segments.is_empty() => {
                // Nobody asked this validator to run it: a failure has no artifacts to look at.
                let _ = job;
                Ok(None)
            }
            Outcome::Failed { job, .. } => self.check_failure(duty, *job),
            Outcome::Done(claims) => self.check_claims(duty, claims),
        };
        let finding = match finding {
            Ok(None) => self.consent(duty),
            Ok(Some((segment, honest))) => Finding::Object { segment, honest },
            Err(Doubt::Withheld(segment)) => Finding::Object { segment, honest: None },
            Err(Doubt::Host(error)) => return Err(error),
        };
        Ok(Verdict { lease: duty.receipt.lease, receipt: duty.id, finding })
    }

    fn consent(&self, duty: &Duty) -> Finding {
        match duty.segments.first() {
            Some(segment) if duty.disputed => Finding::Deny { segment: *segment },
            _ => Finding::Agree,
        }
    }

    /// The first segment that is not as claimed, and what it honestly gives.
    fn check_claims(
        &self,
        duty: &Duty,
        claims: &[Claim],
    ) -> Result<Option<(Segment, Option<Digest>)>, Doubt> {
        for claim in claims {
            for digest in claim.outputs.iter().chain(&claim.segments) {
                self.fetch_claimed(*digest, Segment { job: claim.job, index: 0 })?;
            }
        }
        for segment in &duty.segments {
            if let Replay::Differs(honest) = self.replay(duty, *segment)? {
                return Ok(Some((*segment, honest)));
            }
        }
        Ok(None)
    }

    /// Re-executes a segment and compares what it gives with what is claimed: the state before
    /// and after it and, for the last one, outputs and metrics.
    fn replay(&self, duty: &Duty, segment: Segment) -> Result<Replay, Doubt> {
        let task = duty.assignment.tasks.iter().find(|task| task.job == segment.job);
        let (Some(task), Some(claim)) = (task, duty.claim(segment.job)) else {
            return Ok(Replay::Differs(None)); // the fold draws from what the receipt claims
        };
        let mut inputs = Vec::new();
        for (name, from) in &task.inputs {
            let bytes = match from {
                // Not this worker's to keep: if it is gone, that proves nothing against it.
                TaskInput::Artifact(digest) => self.fetch(*digest).map_err(Doubt::Host)?,
                TaskInput::Earlier { task, output } => {
                    let earlier = duty.assignment.tasks.get(*task).map(|task| task.job);
                    let claim = earlier.and_then(|job| duty.claim(job));
                    let digest = claim.and_then(|claim| claim.outputs.get(*output).copied());
                    self.fetch_claimed(digest.ok_or(Doubt::Withheld(segment))?, segment)?
                }
            };
            inputs.push(Named { name: name.clone(), bytes });
        }
        let at = |index: u32| claim.segments.get(index as usize).copied();
        let checkpoint = match at(segment.index).filter(|_| segment.index > 0) {
            Some(digest) => Some(self.fetch_claimed(digest, segment)?),
            None => None,
        };
        let replayed =
            compute::job::replay(&task.spec, &inputs, segment.index, checkpoint.as_deref());
        pass(Peril::AuditReplayed);
        let Ok(replayed) = replayed else {
            return Ok(Replay::Differs(None)); // it fails where the receipt says that it is done
        };
        let end = replayed.state.as_deref().map(Digest::of);
        let states = [(replayed.begin, at(segment.index)), (end, at(segment.index + 1))];
        if let Some((honest, _)) = states.iter().find(|(honest, claimed)| honest != claimed) {
            return Ok(Replay::Differs(*honest));
        }
        let Some((outputs, metrics)) = replayed.outputs else { return Ok(Replay::AsClaimed) };
        let mut honest = outputs.iter().map(|named| Digest::of(&named.bytes)).zip(&claim.outputs);
        match honest.find(|(honest, claimed)| honest != *claimed) {
            Some((honest, _)) => Ok(Replay::Differs(Some(honest))),
            None if metrics != claim.metrics => Ok(Replay::Differs(None)),
            None => Ok(Replay::AsClaimed),
        }
    }

    /// Runs the jobs up to the one that is said to fail, and compares the failures.
    fn check_failure(
        &self,
        duty: &Duty,
        job: JobId,
    ) -> Result<Option<(Segment, Option<Digest>)>, Doubt> {
        let segment = Segment { job, index: 0 };
        let mut earlier = Vec::new();
        for task in &duty.assignment.tasks {
            let inputs = self.inputs(task, &earlier).map_err(Doubt::Host)?;
            match compute::job::run(&task.spec, &inputs, &mut |_| {}) {
                Ok(done) if task.job != job => earlier.push(done.outputs),
                Ok(_) => return Ok(Some((segment, None))),
                Err(fault) if failed(task.job, &fault) == duty.receipt.outcome => return Ok(None),
                Err(_) => return Ok(Some((segment, None))),
            }
        }
        Ok(Some((segment, None)))
    }

    fn fetch_claimed(&self, digest: Digest, segment: Segment) -> Result<Vec<u8>, Doubt> {
        self.fetch(digest).map_err(|error| doubt(error, segment))
    }
}

/// A missing or damaged artifact is the worker's fault; anything else is ours.
fn doubt(error: ArtifactError, segment: Segment) -> Doubt {
    match error {
        ArtifactError::Missing { .. }
        | ArtifactError::Damaged { .. }
        | ArtifactError::TooLarge { .. } => Doubt::Withheld(segment),
        host => Doubt::Host(host),
    }
}

fn failed(job: JobId, fault: &Fault) -> Outcome {
    let cut = |text: &str| {
        let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
        text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
    };
    Outcome::Failed { job, message: cut(&fault.message), hint: cut(&fault.hint) }
}
