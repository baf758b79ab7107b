//! Plans as quotations: a tree of stages with what each would run and cost, and why.
//! Never says anything about a single job; `prose` has the words.

use super::Paint;
use super::prose;
use super::table::{Align, table};
use crate::base::amount::{NANO_PER_OHC, Ohc};
use crate::domain::forecast::{Fate, Forecast, StageForecast};
use crate::domain::job::Tolerance;
use crate::domain::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// The stages that each stage takes something from, or waits for.
pub(crate) fn needs(plan: &Plan) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for job in &plan.dag.jobs {
        let before = job.needs().filter_map(|id| plan.job(id)).map(|before| before.stage.as_str());
        let own = needs.entry(&job.stage).or_default();
        own.extend(before.filter(|before| *before != job.stage));
    }
    needs
}

/// Why the jobs of each stage would be run, or have no result: reasons with the number of jobs, the
/// most frequent first.
pub(crate) fn why<'a>(
    plan: &'a Plan,
    forecast: &Forecast,
) -> BTreeMap<&'a str, Vec<(String, usize)>> {
    let mut counts: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    for (job, fate) in plan.dag.jobs.iter().zip(&forecast.fates) {
        if !matches!(fate, Fate::Cached(_)) {
            let own = counts.entry(&job.stage).or_default();
            *own.entry(prose::why(fate)).or_default() += 1;
        }
    }
    let sorted = |(stage, reasons): (&'a str, BTreeMap<String, usize>)| {
        let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, jobs)| std::cmp::Reverse(*jobs));
        (stage, reasons)
    };
    counts.into_iter().map(sorted).collect()
}

/// A row for each stage, below the stage that it waits for longest.
pub(crate) fn stages(plan: &Plan, forecast: &Forecast, paint: Paint) -> String {
    let is_skipping = forecast.stages.iter().any(|stage| stage.gone > 0);
    let mut columns = vec![("stage", Align::Left), ("run", Align::Right), ("cached", Align::Right)];
    columns.extend(is_skipping.then_some(("skipped", Align::Right)));
    let priced = ["low", "likely", "high", "caught", "bond", "lying earns"];
    columns.extend(priced.map(|name| (name, Align::Right)));
    let by_name: BTreeMap<&str, &StageForecast> =
        forecast.stages.iter().map(|stage| (stage.stage.as_str(), stage)).collect();
    let row = |(depth, name): &(usize, &str)| {
        let name = format!("{}{name}", "  ".repeat(*depth));
        let Some(stage) = by_name.get(name.trim_start()) else { return vec![name] };
        let mut cells = vec![name, count(stage.runs), count(stage.cached)];
        cells.extend(is_skipping.then(|| count(stage.gone)));
        let quote = [stage.quote.low, stage.quote.likely, stage.quote.high];
        let is_priced = stage.quote.high > Ohc::ZERO;
        cells.extend(quote.map(|amount| if is_priced { short(amount) } else { "-".into() }));
        cells.push(match stage.runs {
            0 => "-".into(),
            _ => percent(stage.detection.every_block_ppm),
        });
        cells.push(if is_priced { short(stage.stake.bond) } else { "-".into() });
        cells.push(if is_priced { signed_short(stage.stake.gain) } else { "-".into() });
        cells
    };
    let rows: Vec<Vec<String>> = tree(plan, forecast).iter().map(row).collect();
    table(&columns, &rows, paint, None)
}

/// The reasons of each stage that does not only take over what is known.
pub(crate) fn reasons(
    plan: &Plan,
    forecast: &Forecast,
    paint: Paint,
    width: Option<usize>,
) -> String {
    let (why, sold_with) = (why(plan, forecast), sold_with(plan, forecast));
    let rows: Vec<Vec<String>> = forecast
        .stages
        .iter()
        .filter_map(|stage| {
            let reasons = why.get(stage.stage.as_str())?;
            let mut text = match reasons.as_slice() {
                [(only, _)] => only.clone(),
                several => {
                    let each = several
                        .iter()
                        .map(|(why, jobs)| format!("{why} ({})", prose::count(*jobs, "job")));
                    each.collect::<Vec<_>>().join("; ")
                }
            };
            if let Some(first) = sold_with.get(stage.stage.as_str()) {
                text.push_str(&prose::sold_with(first));
            }
            if let Some(tolerance) = tolerance(plan, &stage.stage).filter(|_| stage.runs > 0) {
                text.push_str(&tolerated(tolerance));
            }
            Some(vec![stage.stage.clone(), text])
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [("stage", Align::Left), ("why", Align::Wrap)];
    format!("\n{}", table(&columns, &rows, paint, width))
}

/// How far the jobs of a stage may be off and are accepted all the same; none where they are
/// compared bit for bit.
pub(crate) fn tolerance(plan: &Plan, stage: &str) -> Option<Tolerance> {
    let mut jobs = plan.dag.jobs.iter().filter(|job| job.stage == stage);
    jobs.find_map(|job| job.spec.tolerance())
}

/// What a fast stage is worth, after the reasons why it runs.
fn tolerated(tolerance: Tolerance) -> String {
    let of = match tolerance {
        Tolerance::Way => "the way of a segment",
        Tolerance::Vector => "the length of a vector",
    };
    format!("; fast: off by up to {} % of {of} is not found", tolerance.share() * 100.0)
}

/// The stages without a price of their own, and the first stage of the blocks that they are in.
fn sold_with<'a>(plan: &'a Plan, forecast: &'a Forecast) -> BTreeMap<&'a str, &'a str> {
    let mut found = BTreeMap::new();
    let free = forecast.stages.iter().filter(|s| s.runs > 0 && s.quote.high == Ohc::ZERO);
    let free: BTreeSet<&str> = free.map(|stage| stage.stage.as_str()).collect();
    for (job, block) in plan.dag.jobs.iter().zip(&plan.block_of) {
        let first = plan.blocks.get(*block as usize).and_then(|block| block.jobs.first());
        if let (true, Some(first)) =
            (free.contains(job.stage.as_str()), first.and_then(|id| plan.job(*id)))
        {
            found.insert(job.stage.as_str(), first.stage.as_str());
        }
    }
    found
}

/// The stages with their depth, each below the last in the plan's order of those that it needs.
fn tree<'a>(plan: &'a Plan, forecast: &'a Forecast) -> Vec<(usize, &'a str)> {
    let order: Vec<&str> = forecast.stages.iter().map(|stage| stage.stage.as_str()).collect();
    let place = |name: &&&str| order.iter().position(|other| other == *name);
    let needs = needs(plan);
    let mut children: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for stage in &order {
        let parent = needs.get(stage).and_then(|needs| needs.iter().max_by_key(place));
        children.entry(parent.copied()).or_default().push(stage);
    }
    let mut rows = Vec::new();
    let roots = children.get(&None).map_or(&[][..], Vec::as_slice);
    let mut open: Vec<(usize, &str)> = roots.iter().rev().map(|root| (0, *root)).collect();
    while let Some((depth, stage)) = open.pop() {
        rows.push((depth, stage));
        let below = children.get(&Some(stage)).map_or(&[][..], Vec::as_slice);
        open.extend(below.iter().rev().map(|child| (depth + 1, *child)));
    }
    rows
}

fn count(jobs: u32) -> String {
    if jobs == 0 { "-".to_owned() } else { jobs.to_string() }
}

/// An amount with four places, rounded up: nobody is promised less than it costs.
pub(crate) fn short(amount: Ohc) -> String {
    let unit = NANO_PER_OHC / 10_000;
    let parts = amount.nano().div_ceil(unit);
    format!("{}.{:04}", parts / 10_000, parts % 10_000)
}

/// An amount that may be below nothing, exactly.
pub(crate) fn signed(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    format!("{sign}{}", Ohc::from_nano(nano.unsigned_abs()))
}

/// An amount that may be below nothing, with four places, rounded up: no lie is said to cost more
/// than it does.
fn signed_short(nano: i64) -> String {
    let unit = NANO_PER_OHC / 10_000;
    match u64::try_from(nano) {
        Ok(amount) => short(Ohc::from_nano(amount)),
        Err(_) => {
            let parts = nano.unsigned_abs() / unit;
            format!("-{}.{:04}", parts / 10_000, parts % 10_000)
        }
    }
}

/// Parts per million as a share with one place, rounded down: no more is promised than holds.
pub(crate) fn percent(ppm: u32) -> String {
    format!("{}.{}%", ppm / 10_000, ppm % 10_000 / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_up_and_shares_down() {
        assert_eq!(short(Ohc::from_nano(1)), "0.0001");
        assert_eq!(short(Ohc::from_nano(12_345_600_000)), "12.3456");
        assert_eq!(short(Ohc::ZERO), "0.0000");
        assert_eq!((signed_short(1), signed_short(-1)), ("0.0001".into(), "-0.0000".into()));
        assert_eq!(
            (signed_short(-25_500_000), signed(-1)),
            ("-0.0255".into(), "-0.000000001".into())
        );
        assert_eq!((percent(999_999), percent(250_000)), ("99.9%".into(), "25.0%".into()));
    }
}
