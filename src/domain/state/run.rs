//! A run as the fold sees it: its plan, and how far each block of it is.
//! Holds data only; `state::life` moves it.

use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::{BlockId, JobId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::domain::event::{Ending, Pause};
use crate::domain::graph::From;
use crate::domain::job::{Input, job_key};
use crate::domain::lease::{Lease, Offered};
use crate::domain::plan::Plan;
use crate::domain::receipt::Receipt;
use crate::domain::verdict::{Audit, Finding, Segment, Verification};
use std::collections::{BTreeMap, BTreeSet};

/// One application of one manifest.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Who pays.
    pub client: PublicKey,
    /// What was asked for, whatever its budget.
    pub subject: Digest,
    /// The name in the manifest.
    pub name: String,
    /// Jobs and blocks.
    pub plan: Plan,
    /// The digests of the sources, by name.
    pub sources: BTreeMap<String, Digest>,
    /// Keys of jobs whose settled results are lost.
    pub fresh: BTreeSet<Digest>,
    /// What was locked when it began.
    pub budget: Ohc,
    /// Whether it goes on.
    pub status: Status,
    /// The result of each job, once there is one.
    pub results: Vec<Option<Known>>,
    /// How far each block is.
    pub blocks: Vec<BlockRun>,
    /// Blocks that wait for nothing but to be offered.
    pub ready: BTreeSet<u32>,
    /// Blocks that are neither settled nor cached.
    pub blocks_left: usize,
    /// Blocks whose reward is pending: offered, leased, delivered or judged.
    pub blocks_live: BTreeSet<u32>,
    /// Height of the slot that accepted it.
    pub since: Height,
}

/// Whether a run goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// Blocks are on offer or at work.
    Running,
    /// Nothing new is offered; what is delivered is settled, then the run ends like this.
    Draining(Ending),
    /// It stands still until its client cancels or submits again.
    Paused(Pause),
    /// It is over.
    Ended {
        /// How.
        ending: Ending,
        /// What went back to the client.
        refund: Ohc,
    },
}

/// A settled result of a job: it may be used by any later run (the cache).
#[derive(Clone, PartialEq, Debug)]
pub struct Known {
    /// The job's key.
    pub key: Digest,
    /// Digests of the outputs, in the order of `Spec::outputs`.
    pub outputs: Vec<Digest>,
    /// Measures by name.
    pub metrics: Vec<(String, f64)>,
    /// Who computed it.
    pub worker: PublicKey,
    /// Under which lease it was settled.
    pub lease: LeaseId,
    /// How it was checked before it was.
    pub checked: Verification,
}

/// A settled failure of a job: it fails for every honest worker, so nobody is paid for it twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// How far a block is.
#[derive(Clone, Debug)]
pub struct BlockRun {
    /// Where it is in its life.
    pub phase: Phase,
    /// Blocks that it still waits for.
    pub missing: usize,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Workers that were slashed for it.
    pub barred: Vec<PublicKey>,
    /// The worker whose attempt lapsed last: others go first.
    pub lapsed: Option<PublicKey>,
}

/// The life of a block. A phase carries what it needs; nothing is kept beside it.
#[derive(Clone, Debug)]
pub enum Phase {
    /// It waits for other blocks.
    Waiting,
    /// It waits for a worker.
    Offered(Offered),
    /// A worker holds it.
    Leased(Lease),
    /// A receipt is committed; its audit is drawn in the next slot.
    Delivered(Delivery),
    /// Validators check it.
    Judged(Judging),
    /// It is paid.
    Settled(Paid),
    /// All its results were known.
    Cached,
    /// Its run ended before it did.
    Void,
}

/// A lease that was answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// The lease.
    pub lease: Lease,
    /// The answer.
    pub receipt: Receipt,
    /// Its digest.
    pub id: Digest,
    /// The slot that committed it.
    pub at: Height,
}

/// A receipt in front of the validators.
#[derive(Clone, PartialEq, Debug)]
pub struct Judging {
    /// The receipt.
    pub delivery: Delivery,
    /// What of it is re-executed.
    pub audit: Audit,
    /// What each validator has said.
    pub verdicts: BTreeMap<PublicKey, Finding>,
    /// What all validators re-execute because somebody objected.
    pub dispute: Option<Dispute>,
}

/// An objection, and what the validators find when they all replay its segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dispute {
    /// Who objected first.
    pub by: PublicKey,
    /// To what.
    pub segment: Segment,
    /// Whether each validator objects too.
    pub objects: BTreeMap<PublicKey, bool>,
}

/// What a settled block cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paid {
    /// The attempt that was accepted.
    pub lease: LeaseId,
    /// Who worked.
    pub worker: PublicKey,
    /// What it got.
    pub reward: Ohc,
    /// What the validators got.
    pub gas: Ohc,
}

/// Where an input of a job comes from, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// These bytes.
    Known(Digest),
    /// This output of a job that is not settled yet.
    Output {
        /// The job.
        job: JobId,
        /// The place among its outputs.
        index: usize,
    },
}

impl Run {
    /// The inputs of a job, in their order, with what is known of each.
    #[must_use]
    pub fn inputs(&self, id: JobId) -> Vec<(String, Origin)> {
        let Some(job) = self.plan.job(id) else { return Vec::new() };
        job.inputs.iter().map(|edge| (edge.name.to_string(), self.origin(&edge.from))).collect()
    }

    fn origin(&self, from: &From) -> Origin {
        match from {
            // Submission checks that every source is pinned.
            From::Source(name) => {
                Origin::Known(self.sources.get(&**name).copied().unwrap_or_default())
            }
            From::Job { id, output } => {
                let outputs = self.plan.job(*id).map(|job| job.spec.outputs()).unwrap_or_default();
                let index = outputs.iter().position(|o| *o == &**output).unwrap_or(usize::MAX);
                let known = self.results.get(id.index()).and_then(Option::as_ref);
                match known.and_then(|known| known.outputs.get(index)) {
                    Some(digest) => Origin::Known(*digest),
                    None => Origin::Output { job: *id, index },
                }
            }
        }
    }

    /// The inputs of a job if all of them are known.
    #[must_use]
    pub fn known_inputs(&self, id: JobId) -> Option<Vec<Input>> {
        let known = |(name, origin)| match origin {
            Origin::Known(digest) => Some(Input { name, digest }),
            Origin::Output { .. } => None,
        };
        self.inputs(id).into_iter().map(known).collect()
    }

    /// The key of a job if all of its inputs are known.
    #[must_use]
    pub fn key(&self, id: JobId) -> Option<Digest> {
        Some(job_key(&self.plan.job(id)?.spec, &self.known_inputs(id)?))
    }

    /// The settled result of a job.
    #[must_use]
    pub fn result(&self, id: JobId) -> Option<&Known> {
        self.results.get(id.index()).and_then(Option::as_ref)
    }

    /// One block.
    #[must_use]
    pub fn block(&self, index: u32) -> Option<&BlockRun> {
        self.blocks.get(index as usize)
    }

    /// What workers and validators got so far.
    #[must_use]
    pub fn spent(&self) -> (Ohc, Ohc) {
        self.blocks.iter().fold((Ohc::ZERO, Ohc::ZERO), |(reward, gas), block| match &block.phase {
            Phase::Settled(paid) => (
                reward.checked_add(paid.reward).unwrap_or(reward),
                gas.checked_add(paid.gas).unwrap_or(gas),
            ),
            _ => (reward, gas),
        })
    }

    /// The name of one of its blocks.
    #[must_use]
    pub fn block_id(&self, index: u32) -> BlockId {
        BlockId { run: self.id, index }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Ended { .. })
    }
}
