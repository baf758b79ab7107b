//! A run as the fold sees it: its plan, and how far each block of it is.
//! Holds data only; `state::life` moves it.

use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::{BlockId, JobId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::base::time::{Height, Tick};
use crate::domain::beacon::Seed;
use crate::domain::bisection::{Bisection, Side, Step};
use crate::domain::event::{Ending, GaveUp, Pause, Skip};
use crate::domain::graph::{Edge, From, Job};
use crate::domain::job::{Input, Spec, job_key};
use crate::domain::lease::{Lease, Offered};
use crate::domain::plan::{Block, Plan, Planned};
use crate::domain::receipt::Receipt;
use crate::domain::terms::{OnExhausted, Terms};
use crate::domain::verdict::{Audit, Ballot, Finding, Found, Segment, Verification};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// Jobs and blocks; let go of when it is over, and derived again for whoever looks.
    pub plan: Planned,
    /// Keys of jobs whose settled results are lost.
    pub fresh: BTreeSet<Digest>,
    /// What was locked when it began, and what was added since.
    pub budget: Ohc,
    /// What its client paid for the commands about it, beside the budget.
    pub fees: Ohc,
    /// What follows where a budget is used up.
    pub on_exhausted: OnExhausted,
    /// Whether it goes on.
    pub status: Status,
    /// The result of each job, once there is one.
    pub results: Vec<Option<Arc<Known>>>,
    /// The jobs that have no result and never get one, though the run goes on.
    pub gone: BTreeMap<JobId, Gone>,
    /// The stages whose blocks are bounded together: in number, or in what they cost.
    pub stages: BTreeMap<String, StageRun>,
    /// While the run ends: the stage whose other jobs are finished first.
    pub finishing: Option<String>,
    /// How far each block is.
    pub blocks: Vec<BlockRun>,
    /// Blocks that wait for nothing but to be offered.
    pub ready: BTreeSet<u32>,
    /// Blocks that are not done: neither settled nor cached, skipped or given up.
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

/// Why a job has no result and never gets one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gone {
    /// It fails for every honest worker.
    Failed(Failure),
    /// Its block was given up.
    GivenUp(GaveUp),
    /// It was not run.
    Skipped(Skip),
}

/// The blocks of a stage that are bounded together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StageRun {
    /// Blocks on offer or at work at the same time, at the most.
    pub parallel_max: Option<u32>,
    /// What all of its blocks may cost.
    pub budget: Option<Ohc>,
    /// How many blocks compute the same.
    pub replicas: u32,
    /// Blocks whose reward is pending.
    pub live: u32,
    /// What is paid for its blocks, or pending.
    pub committed: Ohc,
    /// Blocks that are ready, but wait for one of the others.
    pub parked: BTreeSet<u32>,
    /// Whether the budget did not cover the last block that was to be offered.
    pub is_short: bool,
}

impl StageRun {
    /// Whether its budget covers what is committed if `before` becomes `after`.
    pub(super) fn covers(&self, before: Ohc, after: Ohc) -> bool {
        let rest = self.committed.checked_sub(before).unwrap_or_default();
        let sum = rest.checked_add(after);
        self.budget.is_none_or(|budget| sum.is_some_and(|sum| sum <= budget))
    }

    /// What was committed as `before` is `after` now; what becomes free may pay for others.
    pub(super) fn recommit(&mut self, before: Ohc, after: Ohc) {
        let rest = self.committed.checked_sub(before).unwrap_or_default();
        self.committed = rest.checked_add(after).unwrap_or(rest);
        self.is_short = self.is_short && after >= before;
    }

    /// Whether so many more blocks are more than may be live.
    pub(super) fn is_full(&self, more: u32) -> bool {
        self.parallel_max.is_some_and(|max| self.live.saturating_add(more) > max)
    }

    /// How many more blocks may be offered: none where a lot as a whole has no room.
    fn room(&self) -> usize {
        match (self.is_short, self.parallel_max) {
            (true, _) => 0,
            (false, None) => usize::MAX,
            (false, Some(_)) if self.is_full(self.replicas) => 0,
            (false, Some(max)) => max.saturating_sub(self.live) as usize,
        }
    }
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
    /// Who paid for it.
    pub client: PublicKey,
    /// When it was settled, or last confirmed.
    pub at: Tick,
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
    /// When its stage's deadline passes: set by its first offer.
    pub due: Option<Tick>,
    /// Whether all workers of its lot have given the same answer.
    pub agreed: bool,
}

/// The life of a block. A phase carries what it needs; nothing is kept beside it. What a block has
/// for a short time only lies elsewhere: it would make every block larger.
#[derive(Clone, Debug)]
pub enum Phase {
    /// It waits for other blocks.
    Waiting,
    /// It waits for a worker.
    Offered(Offered),
    /// A worker holds it.
    Leased(Lease),
    /// It is answered, and the answer is not told before all of its lot are.
    Sealed(Sealed),
    /// A receipt is committed; its audit is drawn in the next slot.
    Delivered(Box<Delivery>),
    /// Validators check it.
    Judged(Box<Judging>),
    /// It is paid.
    Settled(Paid),
    /// All its results were known.
    Cached,
    /// None of its jobs is run: it costs nothing.
    Skipped,
    /// It is not tried again, and its run goes on or ends without it.
    GivenUp(GaveUp),
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

/// A lease that was answered under a seal: nobody can copy the answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Sealed {
    /// The lease.
    pub lease: Lease,
    /// What the answer must fit.
    pub seal: Digest,
    /// Until when it is to be told, once all of the lot are sealed.
    pub until: Option<Tick>,
    /// The answer, when it is told.
    pub receipt: Option<Receipt>,
}

/// A receipt in front of the validators.
#[derive(Clone, PartialEq, Debug)]
pub struct Judging {
    /// The receipt.
    pub delivery: Delivery,
    /// What of it is re-executed, and by whom.
    pub audit: Audit,
    /// Where the draw had its chance from: what is traced, and who comes in for whom, follows too.
    pub seed: Seed,
    /// The verdicts of the committee that are sealed.
    pub seals: BTreeMap<PublicKey, Digest>,
    /// What each validator has said.
    pub verdicts: BTreeMap<PublicKey, Finding>,
    /// What those traced who re-executed.
    pub traces: BTreeMap<PublicKey, Digest>,
    /// Validators whose trace was not what re-execution gives: they are not heard again.
    pub lazy: BTreeSet<PublicKey>,
    /// How long whoever is to speak is waited for.
    pub window: u64,
    /// When he is not waited for any more.
    pub due: Tick,
    /// What all validators re-execute because somebody objected.
    pub dispute: Option<Dispute>,
}

impl Judging {
    /// Those of the committee who have not sealed a verdict.
    pub fn unsealed(&self) -> impl Iterator<Item = &PublicKey> {
        self.audit.committee.iter().filter(|key| !self.seals.contains_key(key))
    }

    /// Whether verdicts that are sealed may be said: nobody can copy one any more.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.unsealed().next().is_none()
    }

    /// Whether a validator can say something about it now: it has not, and if it re-executes it
    /// has not sealed it, or all have.
    #[must_use]
    pub fn awaits(&self, validator: &PublicKey) -> bool {
        let is_drawn = self.audit.committee.contains(validator);
        let is_heard = self.verdicts.contains_key(validator) || self.lazy.contains(validator);
        !is_heard && (!is_drawn || !self.seals.contains_key(validator) || self.is_sealed())
    }
}

/// An objection, and what the validators find when they all replay its segment; or one step of it,
/// if worker and objector have found the first one that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dispute {
    /// Who objected first.
    pub by: PublicKey,
    /// To what.
    pub segment: Segment,
    /// What he says is wrong.
    pub found: Found,
    /// The search for the first step that differs, if states do.
    pub bisection: Option<Bisection>,
    /// When it began, or went to the vote.
    pub since: Tick,
    /// Who has lost it by what it said, or did not say, in the search.
    pub lost: Option<Side>,
    /// What each validator says.
    pub ballots: BTreeMap<PublicKey, Ballot>,
}

impl Dispute {
    /// The step that settles it, if one was found.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.bisection.as_ref().and_then(Bisection::step)
    }

    /// Whether validators say now who is right; else worker and objector speak.
    #[must_use]
    pub fn is_voted(&self) -> bool {
        self.bisection.is_none() || self.step().is_some()
    }
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
    /// The inputs of a job, in their order, with what is known of each. Of instances that are taken
    /// together, those without a result are left out.
    #[must_use]
    pub fn inputs(&self, id: JobId) -> Vec<(String, Origin)> {
        let Some(job) = self.plan.job(id) else { return Vec::new() };
        let left = job.inputs.iter().filter(|edge| !edge.each || !self.is_gone(edge));
        left.map(|edge| (edge.name.to_string(), self.origin(&edge.from))).collect()
    }

    fn origin(&self, from: &From) -> Origin {
        match from {
            From::Source { digest, .. } => Origin::Known(*digest),
            From::Job { id, output } => {
                let outputs = self.plan.job(*id).map(|job| job.spec.outputs()).unwrap_or_default();
                let index = outputs.iter().position(|o| *o == &**output).unwrap_or(usize::MAX);
                let known = self.result(*id);
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

    fn is_gone(&self, edge: &Edge) -> bool {
        matches!(&edge.from, From::Job { id, .. } if self.gone.contains_key(id))
    }

    /// Why a job is not to be run, once everything that it waits for is done.
    pub(super) fn skip(&self, job: &Job) -> Option<Skip> {
        let is_gone = |id: JobId| self.gone.contains_key(&id);
        needs_what_is_gone(job, &is_gone)
            .map(Skip::Needs)
            .or_else(|| (!holds(&self.plan, job, &|id| self.result(id))).then_some(Skip::Condition))
            .or_else(|| (!goes_on(job, &|id| self.result(id))).then_some(Skip::Beaten))
    }

    /// Of the merges that wait for a block and have a quorum: how long they wait for the others, in
    /// milliseconds, and the blocks of these.
    pub(super) fn late_shards(&self, block: u32) -> Vec<(u64, Vec<u32>)> {
        let feeds = self.plan.blocks.get(block as usize).map_or(&[][..], |block| &block.feeds);
        let blocks = feeds.iter().filter_map(|feed| self.plan.blocks.get(*feed as usize));
        let jobs = blocks.flat_map(|block| &block.jobs).filter_map(|id| self.plan.job(*id));
        let late = |job: &Job| {
            let (Spec::Merge(merge) | Spec::MergeDeltas(merge)) = &job.spec else { return None };
            let grace_ms = job.terms.grace_ms?;
            let shards = job.inputs.iter().filter(|edge| edge.each);
            let shards: Vec<JobId> = shards
                .filter_map(|edge| match edge.from {
                    From::Job { id, .. } => Some(id),
                    From::Source { .. } => None,
                })
                .collect();
            let (there, out): (Vec<JobId>, Vec<JobId>) =
                shards.into_iter().partition(|id| self.result(*id).is_some());
            let blocks = out.iter().filter_map(|id| {
                let block = *self.plan.block_of.get(id.index())?;
                (!self.gone.contains_key(id)).then(|| self.plan.blocks.get(block as usize))?
            });
            let blocks = blocks.flat_map(Block::siblings).collect();
            (there.len() >= merge.quorum as usize).then_some((grace_ms, blocks))
        };
        jobs.filter_map(late).collect()
    }

    /// What the first job of a block is: if a block is of a stage, all its jobs are.
    #[must_use]
    pub fn first_job(&self, block: u32) -> Option<&Job> {
        self.plan.job(*self.plan.blocks.get(block as usize)?.jobs.first()?)
    }

    /// The terms of a block.
    #[must_use]
    pub fn terms(&self, block: u32) -> Option<&Terms> {
        self.first_job(block).map(|job| &*job.terms)
    }

    /// What bounds a block together with others of its stage.
    pub(super) fn stage_mut(&mut self, block: u32) -> Option<&mut StageRun> {
        let first = *self.plan.blocks.get(block as usize)?.jobs.first()?;
        self.stages.get_mut(&self.plan.job(first)?.stage)
    }

    /// Whether blocks are offered: all, or while the run ends those of one stage.
    pub(super) fn is_offering(&self) -> bool {
        match self.status {
            Status::Running => true,
            Status::Draining(_) => self.finishing.is_some(),
            Status::Paused(_) | Status::Ended { .. } => false,
        }
    }

    /// Whether a block may still be offered when its turn comes.
    pub(super) fn is_wanted(&self, block: u32) -> bool {
        match (&self.status, &self.finishing) {
            (Status::Running | Status::Paused(_), _) => true,
            (Status::Draining(_), Some(stage)) => {
                self.first_job(block).is_some_and(|job| job.stage == *stage)
            }
            _ => false,
        }
    }

    /// The next block to be offered; those that waited for room in their stage come last.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        if self.ready.is_empty() {
            for stage in self.stages.values_mut() {
                for _ in 0..stage.room().min(stage.parked.len()) {
                    self.ready.extend(stage.parked.pop_first());
                }
            }
        }
        self.ready.pop_first()
    }

    /// The settled result of a job.
    #[must_use]
    pub fn result(&self, id: JobId) -> Option<&Known> {
        self.results.get(id.index()).and_then(Option::as_deref)
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

    /// The blocks of the lot that a block is of, itself among them.
    pub fn siblings(&self, index: u32) -> impl Iterator<Item = (BlockId, &BlockRun)> {
        let block = self.plan.blocks.get(index as usize);
        let all = block.map_or(index..index, Block::siblings);
        all.filter_map(|index| Some((self.block_id(index), self.block(index)?)))
    }

    /// Whether a block is one of several that compute the same.
    #[must_use]
    pub fn is_replica(&self, index: u32) -> bool {
        self.plan.blocks.get(index as usize).is_some_and(|block| block.replicas > 1)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Ended { .. })
    }
}

/// The job because of which another one cannot be run. Of instances that are taken together, one
/// that is left is enough; of shards that are merged, as many as make a quorum.
pub fn needs_what_is_gone(job: &Job, is_gone: &dyn Fn(JobId) -> bool) -> Option<JobId> {
    if let Some(needed) = job.after.iter().find(|id| is_gone(**id)) {
        return Some(*needed);
    }
    let gone = |edge: &Edge| match &edge.from {
        From::Job { id, .. } => is_gone(*id).then_some(*id),
        From::Source { .. } => None,
    };
    let enough = |port: &str| match &job.spec {
        Spec::Merge(merge) | Spec::MergeDeltas(merge) => merge.quorum.max(1) as usize,
        // What was lost with a shard is not said any more.
        Spec::Train(train) if train.gives_delta() && port == "residual" => 0,
        _ => 1,
    };
    // Edges of one port stand side by side: each port is looked at once.
    for port in job.inputs.chunk_by(|a, b| a.each && b.each && a.port() == b.port()) {
        let lost = port.iter().find_map(gone);
        let left = port.iter().filter(|edge| edge.each && gone(edge).is_none()).count();
        let enough = port.first().map_or(1, |edge| enough(edge.port()));
        if lost.is_some() && left < enough {
            return lost;
        }
    }
    None
}

/// Whether the condition of a job's stage holds. Later parts of an instance follow the first,
/// which has been asked.
pub fn holds<'a>(plan: &Plan, job: &Job, result: &dyn Fn(JobId) -> Option<&'a Known>) -> bool {
    let Some(condition) = job.terms.when.as_ref().filter(|_| !job.is_later_part()) else {
        return true;
    };
    condition.holds(&|stage, name| {
        let of = |id: &&JobId| plan.job(**id).is_some_and(|job| job.stage == stage);
        let known = result(*job.watches.iter().find(of)?)?;
        known.metrics.iter().find(|(metric, _)| metric == name).map(|(_, value)| *value)
    })
}

/// Whether the instance of a job is among the best of those that it is compared with: by their loss
/// on the rows that validate, and of equal ones the earlier. One without a result is behind all.
pub fn goes_on<'a>(job: &Job, result: &dyn Fn(JobId) -> Option<&'a Known>) -> bool {
    let Some(places) = job.contest else { return true };
    let loss = |id: JobId| {
        let metrics = &result(id)?.metrics;
        metrics.iter().find(|(name, _)| name == "validationLoss").map(|(_, loss)| *loss)
    };
    let Some(own) = job.state().filter(|id| job.watches.contains(id)) else { return false };
    let Some(bound) = loss(own) else { return false };
    let is_ahead = |id: &&JobId| {
        loss(**id).is_some_and(|loss| loss.total_cmp(&bound).then(id.cmp(&&own)).is_lt())
    };
    job.watches.iter().filter(is_ahead).count() < places as usize
}
