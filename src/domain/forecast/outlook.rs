//! The sums of a forecast: by stage, in time, and what people should be warned of.
//! Never says why a job runs.
//!
//! Time is a guess from the sizes of jobs ([`super::pace`]). Blocks that wait for each other take
//! their turns; all others share the workers evenly.

use super::lack::{self, Lack};
use super::pace::{BEST, LIKELY};
use super::stake::Stake;
use super::{BlockForecast, Fate, Forecast, Stall};
use crate::base::amount::{Ohc, Work};
use crate::base::ids::JobId;
use crate::domain::manifest::{Diagnostic, Manifest};
use crate::domain::plan::{Block, Plan};
use crate::domain::price::{Quote, audited_ppm};
use crate::domain::terms::Auction;
use crate::domain::verdict::{PPM, Verification};
use std::collections::{BTreeMap, BTreeSet};

/// Offering, leasing, committing, auditing and settling a block, in milliseconds, as a rule.
const BLOCK_MS: u64 = 10;

/// How long a plan takes, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time {
    /// At the best rate, and nothing waits.
    pub low_ms: u64,
    /// As a rule.
    pub likely_ms: u64,
}

/// How likely a worker that lies is found out, in parts per million.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Detection {
    /// With one false segment in one block of the stage.
    pub one_segment_ppm: u32,
    /// With one false segment in each block of the stage: `1 - (1 - p)^k`.
    pub every_block_ppm: u32,
}

/// What a stage would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageForecast {
    /// Its name.
    pub stage: String,
    /// Its jobs.
    pub jobs: u32,
    /// Those that would be computed.
    pub runs: u32,
    /// Those whose results are used again.
    pub cached: u32,
    /// Those that have no result and get none; of some in a contest nobody knows yet which.
    pub gone: u32,
    /// The work of those that would be computed.
    pub work: Work,
    /// What its blocks cost; a block of several stages counts for the first of them.
    pub quote: Quote,
    /// How likely a lie in it is found out.
    pub detection: Detection,
    /// What a lie in it is worth.
    pub stake: Stake,
}

/// The sums by stage, in the order of the plan.
pub(super) fn stages(
    plan: &Plan,
    fates: &[Fate],
    blocks: &[Option<BlockForecast>],
    bond_factor: u64,
) -> Option<Vec<StageForecast>> {
    let mut all: Vec<StageForecast> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut checked: Vec<(Verification, u32, BTreeSet<u32>)> = Vec::new();
    for (index, (job, fate)) in plan.dag.jobs.iter().zip(fates).enumerate() {
        let place = *places.entry(&job.stage).or_insert_with(|| {
            all.push(StageForecast::of(&job.stage));
            checked.push((job.terms.verification, job.spec.segments(), BTreeSet::new()));
            all.len() - 1
        });
        let (Some(stage), Some(checked)) = (all.get_mut(place), checked.get_mut(place)) else {
            continue;
        };
        // The job with the most segments is the hardest to catch a lie in.
        if job.terms.verification == checked.0 {
            checked.1 = checked.1.max(job.spec.segments());
        }
        stage.jobs += 1;
        match fate {
            Fate::Cached(_) => stage.cached += 1,
            fate if !fate.runs() => stage.gone += 1,
            _ => {
                stage.runs += 1;
                stage.work = stage.work.saturating_add(job.size.work());
                checked.2.extend(plan.block_of.get(index));
            }
        }
    }
    let mut paid: BTreeMap<String, Ohc> = BTreeMap::new();
    for (block, forecast) in plan.blocks.iter().zip(blocks) {
        let first = block.jobs.first().and_then(|id| plan.job(*id));
        let place = first.and_then(|job| places.get(job.stage.as_str()));
        let stage = place.and_then(|place| all.get_mut(*place));
        if let (Some(stage), Some(forecast)) = (stage, forecast) {
            stage.quote = sum(stage.quote, forecast.quote)?;
            let paid = paid.entry(stage.stage.clone()).or_default();
            *paid = paid.checked_add(forecast.ceiling.reserve)?;
        }
    }
    for (stage, (policy, segments, blocks)) in all.iter_mut().zip(checked) {
        stage.detection = detection(policy, segments, blocks.len() as u64);
        let paid = paid.get(&stage.stage).copied().unwrap_or_default();
        stage.stake = Stake::of(policy, paid, bond_factor);
    }
    Some(all)
}

impl StageForecast {
    fn of(stage: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            jobs: 0,
            runs: 0,
            cached: 0,
            gone: 0,
            work: Work::ZERO,
            quote: Quote::default(),
            detection: Detection::default(),
            stake: Stake::default(),
        }
    }
}

fn sum(a: Quote, b: Quote) -> Option<Quote> {
    Some(Quote {
        low: a.low.checked_add(b.low)?,
        likely: a.likely.checked_add(b.likely)?,
        high: a.high.checked_add(b.high)?,
    })
}

/// `1 - (1 - p)^k`, in integers: rounded down, so that nothing is promised that does not hold.
fn detection(policy: Verification, segments: u32, blocks: u64) -> Detection {
    const ONE: u128 = 1_000_000_000_000;
    let one = match policy {
        // They are compared, and one of the workers is honest.
        Verification::Replicate { .. } => PPM,
        _ => audited_ppm(policy, segments).min(PPM),
    };
    let (mut missed, mut base, mut k) = (ONE, u128::from(PPM - one) * 1_000_000, blocks);
    while k > 0 {
        if k % 2 == 1 {
            missed = (missed * base).div_ceil(ONE);
        }
        base = (base * base).div_ceil(ONE);
        k /= 2;
    }
    let caught = ONE.saturating_sub(missed) / 1_000_000;
    let every_block_ppm = u32::try_from(caught).unwrap_or(PPM);
    Detection { one_segment_ppm: if blocks == 0 { 0 } else { one }, every_block_ppm }
}

/// The longer of the longest chain of blocks and of all work shared by the workers.
pub(super) fn time(plan: &Plan, fates: &[Fate], workers: usize) -> Time {
    let workers = (workers as u64).max(1);
    let (mut all, mut low, mut likely) = ((0u64, 0u64), 0u64, 0u64);
    let mut done: Vec<(u64, u64)> = Vec::with_capacity(plan.blocks.len());
    for block in &plan.blocks {
        let before = block.needs.iter().filter_map(|need| done.get(*need as usize));
        let begin = before.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        let own = micros(plan, fates, block);
        let wait = own.map_or(0, |_| windows_ms(plan, block).saturating_mul(1_000));
        let (best, rule) = own.unwrap_or_default();
        all = (all.0.saturating_add(best), all.1.saturating_add(rule));
        let end = (
            begin.0.saturating_add(best).saturating_add(wait),
            begin.1.saturating_add(rule).saturating_add(wait),
        );
        (low, likely) = (low.max(end.0), likely.max(end.1));
        done.push(end);
    }
    let ms = |chain: u64, shared: u64| chain.max(shared / workers).div_ceil(1_000);
    Time { low_ms: ms(low, all.0), likely_ms: ms(likely, all.1) }
}

/// What the jobs of a block that run take, at best and as a rule; `None` if none does.
fn micros(plan: &Plan, fates: &[Fate], block: &Block) -> Option<(u64, u64)> {
    let runs = |id: &&JobId| fates.get(id.index()).is_some_and(Fate::runs);
    let jobs = block.jobs.iter().filter(runs).filter_map(|id| plan.job(*id));
    let each = jobs.map(|job| (BEST.of(&job.spec, &job.size), LIKELY.of(&job.spec, &job.size)));
    let add = |a: (u64, u64), b: (u64, u64)| (a.0.saturating_add(b.0), a.1.saturating_add(b.1));
    let (best, rule) = each.reduce(add)?;
    Some((best, rule.saturating_add(BLOCK_MS * 1_000)))
}

/// How long a block is on the market before it can be sold.
fn windows_ms(plan: &Plan, block: &Block) -> u64 {
    let first = block.jobs.first().and_then(|id| plan.job(*id));
    match first.map(|job| job.terms.auction) {
        Some(Auction::Sealed { window_ms }) => window_ms.saturating_mul(2),
        _ => 0,
    }
}

/// The blocks that find no worker, or too few where several are to compute the same, and why.
pub(super) fn impossible(
    plan: &Plan,
    blocks: &[Option<BlockForecast>],
    stalls: &[Stall],
) -> Vec<(u32, Lack)> {
    let each = (0u32..).zip(blocks.iter().zip(&plan.blocks));
    let lack = |(index, (forecast, block)): (u32, (&Option<BlockForecast>, &Block))| {
        Some((index, lack::of(block, forecast.as_ref()?, stalls)?))
    };
    each.filter_map(lack).collect()
}

/// Parts per million as a percentage, exactly.
fn percent(ppm: u32) -> String {
    let places = format!("{:04}", ppm % 10_000);
    let places = places.trim_end_matches('0');
    let dot = if places.is_empty() { "" } else { "." };
    format!("{}{dot}{places} %", ppm / 10_000)
}

pub(super) fn warnings(forecast: &Forecast, manifest: &Manifest, plan: &Plan) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    let short = |budget: Ohc, low: Ohc, high: Ohc| {
        let hint = format!("raise it to {high} OhC: what is not spent comes back");
        (format!("the budget of {budget} OhC is below the lowest cost, {low} OhC"), Some(hint))
    };
    let low = forecast.quote.low;
    if let Some(budget) = manifest.budget.filter(|budget| *budget < low) {
        let (message, hint) = short(budget, low, forecast.quote.high);
        all.push(Diagnostic::new(manifest.budget_place, &message, hint));
    }
    for stage in &forecast.stages {
        let Some(written) = manifest.stages.get(&stage.stage) else { continue };
        let Quote { low, high, .. } = stage.quote;
        if let Some(budget) = written.terms.budget.filter(|budget| *budget < low) {
            let (message, hint) = short(budget, low, high);
            let message = format!("stage `{}`: {message}", stage.stage);
            all.push(Diagnostic::new(written.place, &message, hint));
        }
    }
    for stage in &forecast.stages {
        let Some(written) = manifest.stages.get(&stage.stage) else { continue };
        if stage.runs > 0 && stage.stake.pays() {
            let (caught, needed) = (stage.stake.caught_ppm, stage.stake.needed_ppm);
            let message = format!(
                "lying pays in stage `{}`: {} of the lies are found out, {} must be",
                stage.stage,
                percent(caught),
                percent(needed),
            );
            let hint = "raise the rate of its `audit`, or ask for `full` or `replicate`".to_owned();
            all.push(Diagnostic::new(written.place, &message, Some(hint)));
        }
    }
    let mut told = BTreeSet::new();
    for (block, lack) in &forecast.impossible {
        let first = plan.blocks.get(*block as usize).and_then(|block| block.jobs.first());
        let Some(job) = first.and_then(|id| plan.job(*id)) else { continue };
        let Some(written) = manifest.stages.get(&job.stage) else { continue };
        if told.insert(&job.stage) {
            let (message, hint) = lack.words(&job.stage, written.terms.replicas());
            all.push(Diagnostic::new(written.place, &message, Some(hint.to_owned())));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_in_every_block_is_found_out_with_one_minus_one_minus_p_to_the_k() {
        let policy = Verification::Audit { rate_ppm: 250_000, segments: 1 };
        let check = |blocks, expect| {
            assert_eq!(detection(policy, 1, blocks).every_block_ppm, expect, "{blocks}");
        };
        check(0, 0);
        check(1, 250_000);
        check(2, 437_500);
        check(10, 943_686);
        check(1_000, 999_999);
        assert_eq!(detection(policy, 8, 1).one_segment_ppm, 31_250);
        assert_eq!(detection(Verification::Full, 8, 1).every_block_ppm, PPM);
        assert_eq!(detection(Verification::None, 8, 9).every_block_ppm, 0);
    }
}
