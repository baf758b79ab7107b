//! Plans, bills and events in words. The only file with sentences about a run.

use super::Paint;
use super::bill::Bill;
use super::json::{ending, pause};
use super::table::{Align, table};
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::cli::names::Names;
use crate::domain::event::{Ending, Event, GaveUp, Skip};
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::plan::Plan;
use crate::domain::state::Unused;
use crate::domain::terms::Cause;
use crate::node::embedded::Stopped;
use std::fmt::Write as _;

/// Why a job runs, or does not.
pub(crate) fn why(fate: &Fate) -> String {
    match fate {
        Fate::Cached(_) => "cached".into(),
        Fate::New => "new".into(),
        Fate::SpecChanged(settings) => format!("changed: {}", settings.join(", ")),
        Fate::InputChanged(inputs) => format!("input changed: {}", inputs.join(", ")),
        Fate::Unfinished => "unfinished".into(),
        Fate::Lost(_) => "lost: its artifacts are gone".into(),
        Fate::Again(_) => "to be run again".into(),
        Fate::Unused(Unused::Off) => "its stage uses no cache".into(),
        Fate::Unused(Unused::Foreign) => "its result belongs to another client".into(),
        Fate::Unused(Unused::Aged) => "its result is too old".into(),
        Fate::Skipped(Skip::Condition) => "skipped: its condition does not hold".into(),
        Fate::Skipped(_) => "skipped: what it needs has no result".into(),
        Fate::Fails(failure) => format!("fails: {}", failure.message),
    }
}

/// The plan in a line or two: what would run, and what it would cost.
pub(crate) fn plan_summary(name: &str, plan: &Plan, forecast: &Forecast, paint: Paint) -> String {
    let all = plan.dag.jobs.len();
    let cached = forecast.fates.iter().filter(|fate| matches!(fate, Fate::Cached(_))).count();
    let blocks: Vec<_> = forecast.blocks.iter().flatten().collect();
    let name = paint.bold(name);
    if forecast.is_unchanged() {
        return format!("{name}: {}, all cached\n", count(all, "job"));
    }
    let work: u64 = blocks.iter().map(|block| block.work.units()).sum();
    let gas = Ohc::sum(blocks.iter().map(|block| block.ceiling.gas)).unwrap_or_default();
    let quote = forecast.quote;
    format!(
        "{name}: {} to run in {}, {cached} cached, {work} units of work, gas {gas} OhC\n\
         price: low {}, likely {}, high {} OhC\n",
        count(all - cached, "job"),
        count(blocks.len(), "block"),
        quote.low,
        quote.likely,
        quote.high,
    )
}

/// Every job of a plan, and why it runs.
pub(crate) fn plan_jobs(
    plan: &Plan,
    forecast: &Forecast,
    paint: Paint,
    width: Option<usize>,
) -> String {
    let columns = [
        ("job", Align::Left),
        ("block", Align::Right),
        ("work", Align::Right),
        ("why", Align::Wrap),
    ];
    let rows: Vec<Vec<String>> = std::iter::zip(&plan.dag.jobs, &forecast.fates)
        .zip(&plan.block_of)
        .map(|((job, fate), block)| {
            let work = job.size.work().units().to_string();
            vec![job.to_string(), block.to_string(), work, why(fate)]
        })
        .collect();
    table(&columns, &rows, paint, width)
}

/// What a run cost.
pub(crate) fn bill(bill: &Bill, paint: Paint) -> String {
    let columns = [
        ("stage", Align::Left),
        ("run", Align::Right),
        ("cached", Align::Right),
        ("reward", Align::Right),
        ("gas", Align::Right),
    ];
    let row = |line: &super::bill::Line| {
        let (run, cached) = (line.run.to_string(), line.cached.to_string());
        vec![line.stage.clone(), run, cached, fixed(line.reward), fixed(line.gas)]
    };
    let mut text = table(&columns, &bill.lines.iter().map(row).collect::<Vec<_>>(), paint, None);
    let total = paint.bold(&bill.total().to_string());
    // The numbers of a bill can be added up by whoever reads it.
    let _ = writeln!(
        text,
        "total {total} OhC = reward {} + gas {}; refunded {} of {}",
        bill.reward, bill.gas, bill.refunded, bill.budget
    );
    text
}

/// An amount with as many places as there are, so that columns can be compared.
fn fixed(amount: Ohc) -> String {
    let text = amount.to_string();
    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
    format!("{text}{}", "0".repeat(9usize.saturating_sub(places)))
}

/// `1 job`, `2 jobs`.
pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// An event in a line; nothing for what only the market cares about. `job` names a job and `stage`
/// the stages of a block.
pub(crate) fn event(
    event: &Event,
    names: &Names,
    job: &dyn Fn(crate::base::ids::JobId) -> String,
    stage: &dyn Fn(u32) -> String,
) -> Option<String> {
    let at =
        |lease: &crate::base::ids::LeaseId| format!("{} {}", lease.block, stage(lease.block.index));
    Some(match event {
        Event::Settled { lease, worker, reward, gas } => {
            format!("settled  {}  {}  {reward} + {gas} OhC", at(lease), names.of(worker))
        }
        Event::Cached { job: id, .. } => format!("cached   {}", job(*id)),
        Event::Lapsed { lease, worker, cause, fine } => {
            let how = if *cause == Cause::Timeout { "late" } else { "silent" };
            format!("lapsed   {}  {} was {how} and pays {fine} OhC", at(lease), names.of(worker))
        }
        Event::Released { lease, worker } => {
            format!("released {}  {} is not needed any more", at(lease), names.of(worker))
        }
        Event::Failed { job: id, message, .. } => format!("failed   {}  {message}", job(*id)),
        Event::GivenUp { block, why } => {
            format!("given up {block} {}  {}", stage(block.index), gave_up(*why))
        }
        Event::Skipped { job: id, why, .. } => {
            format!("skipped  {}  {}", job(*id), skip(*why, job))
        }
        Event::Resumed { run, added } => format!("resumed  {run}  {added} OhC were added"),
        Event::Slashed { lease, worker, bond, segment } => format!(
            "slashed  {}  {} loses {bond} OhC: {} was not computed as claimed",
            at(lease),
            names.of(worker),
            job(segment.job)
        ),
        Event::Disputed { lease, validator, segment } => {
            format!(
                "disputed {}  {} objects to {}",
                at(lease),
                names.of(validator),
                job(segment.job)
            )
        }
        Event::Overruled { lease, validator, fine } => {
            format!("overruled {}  {} pays {fine} OhC", at(lease), names.of(validator))
        }
        Event::Repriced { block, reserve } => {
            format!("repriced {block} {}  nobody bid; now {reserve} OhC", stage(block.index))
        }
        Event::Paused { run, reason } => format!("paused   {run}  {}", pause(reason)),
        Event::Ended { run, ending: how, refund } => {
            format!("{:<8} {run}  refunded {refund} OhC", ending(how))
        }
        _ => return None,
    })
}

/// Why a block is not tried again.
fn gave_up(why: GaveUp) -> String {
    match why {
        GaveUp::Attempts(cause) => format!("no attempt was accepted (last: {})", cause.word()),
        GaveUp::Deadline => "it took longer than its deadline".to_owned(),
        GaveUp::Budget => "the budget of its stage is used up".to_owned(),
    }
}

/// Why a job is not run.
fn skip(why: Skip, job: &dyn Fn(crate::base::ids::JobId) -> String) -> String {
    match why {
        Skip::Condition => "its condition does not hold".to_owned(),
        Skip::Needs(other) => format!("{} has no result", job(other)),
        Skip::FailFast(other) => format!("{} failed", job(other)),
    }
}

/// What went wrong with a run, and what to do about it.
pub(crate) fn failure(
    ending: &Ending,
    job: &dyn Fn(crate::base::ids::JobId) -> String,
    stage: &dyn Fn(u32) -> String,
) -> (String, Option<String>) {
    match ending {
        Ending::Failed { job: id, message, hint } => {
            let hint = (!hint.is_empty()).then(|| hint.clone());
            (format!("{} failed: {message}", job(*id)), hint)
        }
        Ending::Exhausted { block, why } => {
            let hint = match why {
                GaveUp::Attempts(_) => {
                    "`ohc log show` says why; raise retry.maxAttempts, or use other workers"
                }
                GaveUp::Deadline => "raise the `deadline` of the stage",
                GaveUp::Budget => "raise the `budget` of the stage",
            };
            let what = format!("block {block} ({}) was given up", stage(block.index));
            (format!("{what}: {}", gave_up(*why)), Some(hint.into()))
        }
        Ending::Overdue => {
            ("the run took longer than its deadline".into(), Some("raise `run.deadline`".into()))
        }
        Ending::Unpaid => (
            "the budget does not cover the next block".into(),
            Some("raise `budget.total`: what is settled is not paid again".into()),
        ),
        Ending::Settled | Ending::Cancelled => ("the run was cancelled".into(), None),
    }
}

/// What is said when a network is asked to stop.
pub(crate) fn stopping(why: Stopped) -> String {
    let because = match why {
        Stopped::Interrupted => "stopping",
        Stopped::TimedOut => "out of time, stopping",
    };
    format!("{because}: what is delivered is settled first; Ctrl-C again stops at once")
}

/// A run that was left before its end, and what becomes of it.
pub(crate) fn left(why: Stopped, run: Option<RunId>) -> (String, String) {
    let how = match why {
        Stopped::Interrupted => "interrupted",
        Stopped::TimedOut => "timed out",
    };
    match run {
        Some(run) => (
            format!("{how}: {run} is not over"),
            format!("apply again to go on, `ohc cancel {run}` gives back what is not spent"),
        ),
        None => (how.to_owned(), "nothing was begun; apply again".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_columns_have_nine_places() {
        assert_eq!(fixed(Ohc::from_nano(1_500_000_000)), "1.500000000");
        assert_eq!(fixed(Ohc::from_nano(1)), "0.000000001");
    }

    #[test]
    fn a_job_says_why_it_runs() {
        assert_eq!(why(&Fate::SpecChanged(vec!["epochs", "seed"])), "changed: epochs, seed");
        assert_eq!(why(&Fate::InputChanged(vec!["data".into()])), "input changed: data");
    }
}
