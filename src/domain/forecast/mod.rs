//! Forecasts: what a plan would run, why, what it would cost and how long it would take, before
//! anything is spent. Never changes the state, and promises no price: `price` bounds it, the
//! auction decides.

mod lack;
mod outlook;
mod pace;
mod stake;
mod why;

pub use lack::Lack;
pub use outlook::{Detection, StageForecast, Time};
pub use stake::{Stake, needed_ppm, scaled_gain};
pub use why::{InputPart, KeyParts, key_parts};

use super::classes::Classes;
use super::command::Bid;
use super::event::Skip;
use super::graph::Job;
use super::manifest::{Diagnostic, Manifest};
use super::plan::Plan;
use super::price::{self, Ceiling, Quote};
use super::state::run::{Failure, Known, Run};
use super::state::{State, Unused, Worker};
use super::terms::{Equipment, OnFailure};
use crate::base::amount::{Price, Work};
use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::base::keys::PublicKey;
use std::collections::BTreeSet;
use why::Asked;

/// Whether a job would run, and why.
#[derive(Clone, PartialEq, Debug)]
pub enum Fate {
    /// Its result is settled and its artifacts are there.
    Cached(Known),
    /// No run of this pipeline had it.
    New,
    /// The last run had it with other settings: these.
    SpecChanged(Vec<&'static str>),
    /// These inputs are not what they were when it was last settled.
    InputChanged(Vec<String>),
    /// The last run did not get to its result.
    Unfinished,
    /// Its result was settled under this key, but artifacts of it are gone.
    Lost(Digest),
    /// Its result is settled under this key, but it is to be run again.
    Again(Digest),
    /// Its result is settled, but the terms of its stage do not let it be used.
    Unused(Unused),
    /// It would not be run.
    Skipped(Skip),
    /// It may be run: too many are compared with it for all to go on, and nobody knows yet who
    /// does. So many of them as do not, the cheaper ones, are of this fate.
    Contested,
    /// It is settled that it fails.
    Fails(Failure),
}

/// What one worker asks for and has, and the kinds of jobs that it takes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// Its bid.
    pub bid: Bid,
    /// For which kinds.
    pub takes: Classes,
}

/// Who wants a pipeline run, and what there is to run it.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Who pays.
    pub client: &'a PublicKey,
    /// The name of the pipeline.
    pub name: &'a str,
    /// What workers ask for and have.
    pub bids: &'a [Stall],
    /// Stages that are run again, with all that depends on them, though their results are settled.
    pub again: &'a [String],
}

/// What a plan would do.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecast {
    /// The fate of each job, in the order of the plan.
    pub fates: Vec<Fate>,
    /// What each block costs; none if all of its jobs are cached or not run.
    pub blocks: Vec<Option<BlockForecast>>,
    /// What all of it costs.
    pub quote: Quote,
    /// The same for each stage, in the order of the plan.
    pub stages: Vec<StageForecast>,
    /// How long it takes.
    pub time: Time,
    /// The blocks that would be run, but find no worker, or too few; and why.
    pub impossible: Vec<(u32, Lack)>,
}

/// What a block would cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockForecast {
    /// The work of its jobs that are not cached.
    pub work: Work,
    /// What its worker must have.
    pub needs: Equipment,
    /// The kinds of its jobs, all of which its worker must take on.
    pub classes: Classes,
    /// The most that it costs at its first price.
    pub ceiling: Ceiling,
    /// Low, likely and high.
    pub quote: Quote,
}

impl Fate {
    /// Whether the job would be computed.
    #[must_use]
    pub const fn runs(&self) -> bool {
        !matches!(self, Self::Cached(_) | Self::Skipped(_) | Self::Fails(_) | Self::Contested)
    }

    /// Whether the job has no result and gets none.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Skipped(_) | Self::Fails(_))
    }
}

impl Forecast {
    /// Whether nothing would run and nothing be spent.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.blocks.iter().all(Option::is_none)
    }

    /// The first job that is known to fail where that ends the run, and how.
    #[must_use]
    pub fn sure_failure(&self, plan: &Plan) -> Option<(JobId, &Failure)> {
        (0u32..).zip(&self.fates).map(|(id, fate)| (JobId(id), fate)).find_map(|(id, fate)| {
            let ends = |job: &Job| job.terms.on_failure == OnFailure::Fail;
            match fate {
                Fate::Fails(failure) if plan.job(id).is_some_and(ends) => Some((id, failure)),
                _ => None,
            }
        })
    }

    /// Keys of results that are not to be used: their artifacts are gone, or their stages are to be
    /// run again.
    #[must_use]
    pub fn fresh(&self) -> Vec<Digest> {
        let key = |fate: &Fate| match fate {
            Fate::Lost(key) | Fate::Again(key) => Some(*key),
            _ => None,
        };
        self.fates.iter().filter_map(key).collect()
    }

    /// What people should know before they pay: a budget that does not cover the lowest quote, and
    /// blocks that no worker has enough for, and stages in which lying pays.
    #[must_use]
    pub fn warnings(&self, manifest: &Manifest, plan: &Plan) -> Vec<Diagnostic> {
        outlook::warnings(self, manifest, plan)
    }
}

/// What `plan` would do in `state`. `is_present` says whether an artifact is there.
/// None if the amounts are beyond what there is.
#[must_use]
pub fn forecast(
    state: &State,
    plan: &Plan,
    wish: &Wish<'_>,
    is_present: &dyn Fn(&Digest) -> bool,
) -> Option<Forecast> {
    let ours = |run: &&Run| run.client == *wish.client && run.name == wish.name;
    let last = state.runs().values().rev().find(ours);
    let again = descendants(plan, wish.again);
    let asked = Asked::new(state, plan, wish.client, last, &again, is_present);
    let mut fates: Vec<Fate> = Vec::with_capacity(plan.dag.jobs.len());
    for job in (0u32..).zip(&plan.dag.jobs).map(|(id, _)| JobId(id)) {
        let fate = asked.fate(&fates, job);
        fates.push(fate);
    }
    let mut asks: Vec<Price> = wish.bids.iter().map(|stall| stall.bid.ask).collect();
    asks.sort_unstable();
    let mut blocks = Vec::with_capacity(plan.blocks.len());
    let mut quote = Quote::default();
    for block in &plan.blocks {
        let runs = |id: &&JobId| fates.get(id.index()).is_some_and(Fate::runs);
        let todo: Vec<JobId> = block.jobs.iter().filter(runs).copied().collect();
        if todo.is_empty() {
            blocks.push(None);
            continue;
        }
        let jobs = || todo.iter().filter_map(|id| plan.job(*id));
        let work = jobs().fold(Work::ZERO, |sum, job| sum.saturating_add(job.size.work()));
        let least = |job: &Job| job.terms.resources.least();
        let needs = jobs().map(least).fold(Equipment::default(), Equipment::max);
        let classes = Classes::of_all(jobs().map(|job| job.spec.kind()));
        let ceiling = price::ceiling(jobs(), state.base_price(), state.params(), 0)?;
        quote = quote.add(work, ceiling, &asks)?;
        let own = Quote::default().add(work, ceiling, &asks)?;
        blocks.push(Some(BlockForecast { work, needs, classes, ceiling, quote: own }));
    }
    let stages = outlook::stages(plan, &fates, &blocks, state.params().bond_factor)?;
    let time = outlook::time(plan, &fates, wish.bids.len());
    let impossible = outlook::impossible(plan, &blocks, wish.bids);
    Some(Forecast { fates, blocks, quote, stages, time, impossible })
}

/// The jobs of some stages and everything that follows from them.
fn descendants(plan: &Plan, stages: &[String]) -> BTreeSet<JobId> {
    let mut found = BTreeSet::new();
    if stages.is_empty() {
        return found;
    }
    for (id, job) in (0u32..).map(JobId).zip(&plan.dag.jobs) {
        let follows = || job.needs().any(|before| found.contains(&before));
        if stages.contains(&job.stage) || follows() {
            found.insert(id);
        }
    }
    found
}

/// The live bids.
#[must_use]
pub fn live_bids(state: &State) -> Vec<Stall> {
    let stall = |worker: &Worker| Some(Stall { bid: worker.bid?, takes: worker.takes });
    state.workers().values().filter_map(stall).collect()
}
