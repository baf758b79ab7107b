//! Forecasts: what a plan would run, why, and what it would cost, before anything is spent.
//! Never changes the state, and promises no price: `price` bounds it, the auction decides.

use super::graph::From;
use super::job::{Input, Pin, job_key};
use super::plan::Plan;
use super::price::{self, Ceiling, Quote};
use super::state::State;
use super::state::run::{Failure, Known, Run};
use crate::base::amount::{Price, Work};
use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::base::keys::PublicKey;
use std::collections::BTreeMap;

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
    /// It is settled that it fails.
    Fails(Failure),
}

/// What a plan would do.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecast {
    /// The fate of each job, in the order of the plan.
    pub fates: Vec<Fate>,
    /// What each block costs; none if all of its jobs are cached.
    pub blocks: Vec<Option<BlockForecast>>,
    /// What all of it costs.
    pub quote: Quote,
}

/// What a block would cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockForecast {
    /// The work of its jobs that are not cached.
    pub work: Work,
    /// The most that it costs at its first price.
    pub ceiling: Ceiling,
    /// Low, likely and high.
    pub quote: Quote,
}

impl Forecast {
    /// Whether nothing would run and nothing be spent.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.blocks.iter().all(Option::is_none)
    }

    /// The first job that is known to fail, and how.
    #[must_use]
    pub fn sure_failure(&self) -> Option<(JobId, &Failure)> {
        (0u32..).zip(&self.fates).find_map(|(id, fate)| match fate {
            Fate::Fails(failure) => Some((JobId(id), failure)),
            _ => None,
        })
    }

    /// Keys of results that must be computed again because their artifacts are gone.
    #[must_use]
    pub fn lost(&self) -> Vec<Digest> {
        let key = |fate: &Fate| match fate {
            Fate::Lost(key) => Some(*key),
            _ => None,
        };
        self.fates.iter().filter_map(key).collect()
    }
}

/// What `plan` would do in `state`, for this client and pipeline name. `is_present` says whether an
/// artifact is there; `asks` are the prices that workers would ask for, ascending.
/// None if the amounts are beyond what there is.
#[must_use]
pub fn forecast(
    state: &State,
    plan: &Plan,
    pins: &[Pin],
    pipeline: (&PublicKey, &str),
    asks: &[Price],
    is_present: &dyn Fn(&Digest) -> bool,
) -> Option<Forecast> {
    let sources: BTreeMap<&str, Digest> =
        pins.iter().map(|pin| (pin.source.as_str(), pin.digest)).collect();
    let (client, name) = pipeline;
    let ours = |run: &&Run| run.client == *client && run.name == name;
    let before = state.runs().values().rev().find(ours);
    let last = before.map(settled_jobs).unwrap_or_default();
    let mut fates: Vec<Fate> = Vec::with_capacity(plan.dag.jobs.len());
    for job in (0u32..).zip(&plan.dag.jobs).map(|(id, _)| JobId(id)) {
        let fate = fate(state, plan, &sources, &fates, &last, job, is_present);
        fates.push(fate);
    }
    let mut blocks = Vec::with_capacity(plan.blocks.len());
    let mut quote = Quote::default();
    for block in &plan.blocks {
        let runs = |id: &&JobId| !matches!(fates.get(id.index()), Some(Fate::Cached(_)));
        let todo: Vec<JobId> = block.jobs.iter().filter(runs).copied().collect();
        if todo.is_empty() {
            blocks.push(None);
            continue;
        }
        let jobs = || todo.iter().filter_map(|id| plan.job(*id));
        let work = jobs().fold(Work::ZERO, |sum, job| sum.saturating_add(job.size.work()));
        let ceiling = price::ceiling(jobs(), state.params(), 0)?;
        quote = quote.add(work, ceiling, asks)?;
        let own = Quote::default().add(work, ceiling, asks)?;
        blocks.push(Some(BlockForecast { work, ceiling, quote: own }));
    }
    Some(Forecast { fates, blocks, quote })
}

/// The asks of the live bids, ascending.
#[must_use]
pub fn live_asks(state: &State) -> Vec<Price> {
    let mut asks: Vec<Price> =
        state.workers().values().filter_map(|worker| Some(worker.bid?.ask)).collect();
    asks.sort_unstable();
    asks
}

/// The jobs of a run by address.
fn settled_jobs(run: &Run) -> BTreeMap<String, (&Run, JobId)> {
    let address = |(id, job): (u32, &super::graph::Job)| (job.to_string(), (run, JobId(id)));
    (0u32..).zip(&run.plan.dag.jobs).map(address).collect()
}

fn fate(
    state: &State,
    plan: &Plan,
    sources: &BTreeMap<&str, Digest>,
    fates: &[Fate],
    last: &BTreeMap<String, (&Run, JobId)>,
    id: JobId,
    is_present: &dyn Fn(&Digest) -> bool,
) -> Fate {
    let Some(job) = plan.job(id) else { return Fate::New };
    let known = |from: &From| match from {
        From::Source(name) => sources.get(&**name).copied(),
        From::Job { id, output } => {
            let known = match fates.get(id.index())? {
                Fate::Cached(known) => known,
                // It will be computed again, and comes out the same.
                Fate::Lost(key) => state.cache().get(key)?,
                _ => return None,
            };
            let outputs = plan.job(*id)?.spec.outputs();
            known.outputs.get(outputs.iter().position(|o| *o == &**output)?).copied()
        }
    };
    let inputs: Vec<(String, Option<Digest>)> =
        job.inputs.iter().map(|edge| (edge.name.to_string(), known(&edge.from))).collect();
    let all: Option<Vec<Input>> = inputs
        .iter()
        .map(|(name, digest)| Some(Input { name: name.clone(), digest: (*digest)? }))
        .collect();
    if let Some(inputs) = &all {
        let key = job_key(&job.spec, inputs);
        match state.known(&key, job.terms.verification) {
            Some(known) if known.outputs.iter().all(is_present) => {
                return Fate::Cached(known.clone());
            }
            Some(_) => return Fate::Lost(key),
            None => {}
        }
        if let Some(failure) = state.failure(&key) {
            return Fate::Fails(failure.clone());
        }
    }
    let Some((run, old)) = last.get(&job.to_string()) else { return Fate::New };
    let changed = run.plan.job(*old).map(|old| job.spec.differences(&old.spec));
    if let Some(changed) = changed.filter(|changed| !changed.is_empty()) {
        return Fate::SpecChanged(changed);
    }
    let before: BTreeMap<String, Digest> = run
        .known_inputs(*old)
        .map(|inputs| inputs.into_iter().map(|input| (input.name, input.digest)).collect())
        .unwrap_or_default();
    let differs = |(name, digest): &(String, Option<Digest>)| {
        digest.is_none() || before.get(name) != digest.as_ref()
    };
    let differing: Vec<String> =
        inputs.iter().filter(|input| differs(input)).map(|(name, _)| name.clone()).collect();
    match (run.result(*old).is_some(), differing.is_empty()) {
        (true, false) => Fate::InputChanged(differing),
        (true, true) => Fate::New,
        (false, _) => Fate::Unfinished,
    }
}
