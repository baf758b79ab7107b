//! The threads of a node: each computes what it is sent and tells the loop what came of it.
//! Never touches the state or the log.

use super::embedded::Failure;
use super::inbox::Done;
use super::notice::Notice;
use super::work::Bench;
use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Millis;
use crate::compute::Progress;
use crate::domain::state::{Assignment, Duty, Matter, Query, Task};
use crate::effects::artifacts::ArtifactError;
use crate::effects::clock::Clock;
use crate::effects::{Peril, pass};
use std::collections::BTreeSet;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Progress is told at most this often.
const STEP_NOTICE_MS: u64 = 50;

/// What a thread has been given and is still wanted of it, for a worker its leases: the rest it
/// skips.
pub(super) type Wanted<T = LeaseId> = Arc<Mutex<BTreeSet<T>>>;

pub(super) fn locked<T>(wanted: &Wanted<T>) -> MutexGuard<'_, BTreeSet<T>> {
    // Nothing panics while it is held.
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the auditor's thread is given.
pub(super) enum Inquiry {
    /// A question about a receipt, and what hides the answer.
    Check(Box<Duty>, Digest),
    /// A state of a disputed segment, for the worker with this place or for the validator.
    Trace(Option<usize>, Box<Query>),
}

/// Answers inquiries in their order. Of the questions about receipts it skips those that are not
/// asked any more, if it is told which are.
pub(super) fn spawn_auditor<T: From<Done> + Send + 'static>(
    bench: Bench,
    asked: Option<Wanted<Matter>>,
    outbox: Sender<T>,
) -> Sender<Inquiry> {
    let (sender, inquiries) = mpsc::channel::<Inquiry>();
    std::thread::spawn(move || {
        for inquiry in inquiries {
            let is_asked =
                |duty: &Duty| asked.as_ref().is_none_or(|all| locked(all).contains(&duty.matter()));
            let answer = match inquiry {
                Inquiry::Check(duty, _) if !is_asked(&duty) => continue,
                Inquiry::Check(duty, salt) => {
                    pass(Peril::AuditTaken);
                    let verdict = guarded(|| bench.check(&duty, salt));
                    pass(Peril::AuditDone);
                    Done::Checked(duty.matter(), verdict)
                }
                Inquiry::Trace(whose, query) => {
                    Done::Traced(whose, guarded(|| bench.testify(&query)))
                }
            };
            if outbox.send(answer.into()).is_err() {
                return;
            }
        }
    });
    sender
}

pub(super) fn spawn_worker<T: From<Done> + Send + 'static>(
    index: usize,
    (worker, bench, clock, wanted): (PublicKey, Bench, Clock, Wanted),
    outbox: Sender<T>,
) -> Sender<Assignment> {
    let (sender, assignments) = mpsc::channel::<Assignment>();
    std::thread::spawn(move || {
        for assignment in assignments {
            let lease = assignment.lease;
            if !locked(&wanted).contains(&lease) {
                continue;
            }
            pass(Peril::WorkTaken);
            // A reader that is gone ends the thread at the next result.
            let tell = |notice| drop(outbox.send(Done::Notice(index, notice).into()));
            let mut begin = |task: &Task| {
                let (job, address) = (task.job, task.address.clone());
                tell(Notice::Began { worker, lease, job, address });
            };
            let mut told = Millis(0);
            let mut step = |progress: Progress| {
                // A step may take microseconds; nobody reads faster than this.
                let now = clock.now();
                if progress.is_point() || now >= told.after(STEP_NOTICE_MS) {
                    told = now;
                    tell(Notice::Step { lease, progress });
                }
            };
            let outcome = guarded(|| bench.compute(&assignment, &mut begin, &mut step));
            if outbox.send(Done::Computed(index, lease, outcome).into()).is_err() {
                return;
            }
        }
    });
    sender
}

/// Runs what may panic; a panic is a failure of the host, never a result.
fn guarded<T>(work: impl FnOnce() -> Result<T, ArtifactError>) -> Result<T, Failure> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(Failure::Panic(text.unwrap_or_else(|| "no message".into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BlockId, RunId};
    use crate::domain::beacon::Seed;
    use crate::domain::receipt::{Outcome, Receipt};
    use crate::domain::state::Question;
    use crate::effects::artifacts::Artifacts;

    fn duty(index: u32) -> Box<Duty> {
        let lease = LeaseId { block: BlockId { run: RunId(1), index }, attempt: 1 };
        let receipt = Receipt { lease, outcome: Outcome::Done(Vec::new()) };
        let assignment = Assignment { lease, tasks: Vec::new() };
        let (question, id, segments) = (Question::Receipt, receipt.id(), Vec::new());
        let (step, probe) = (None, Seed::NONE);
        Box::new(Duty { question, assignment, receipt, id, segments, step, probe })
    }

    #[test]
    fn what_is_not_asked_any_more_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let artifacts = Arc::new(Artifacts::open(dir.path()).unwrap());
        let bench = Bench::new(artifacts, runtime.handle().clone());
        let (asked, (outbox, inbox)) = (Wanted::default(), mpsc::channel::<Done>());
        locked(&asked).insert(duty(2).matter());
        let auditor = spawn_auditor(bench, Some(asked.clone()), outbox);
        for index in 1..=3 {
            auditor.send(Inquiry::Check(duty(index), Digest::default())).unwrap();
        }
        drop(auditor);
        let answered = inbox.iter().map(|done| match done {
            Done::Checked(matter, Ok(_)) => matter.lease.block.index,
            _ => panic!("nobody asked that"),
        });
        assert_eq!(answered.collect::<Vec<_>>(), [2]);
    }
}
