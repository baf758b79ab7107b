//! Outcomes: how a run ended or was left, for people, for programs and as an exit code.
//! Never runs anything.

use super::args::Format;
use super::exit::{Exit, Stop};
use super::report::bill::Bill;
use super::report::table::wrap;
use super::report::{self, Screen, escape, json, prose};
use crate::base::ids::JobId;
use crate::domain::event::Ending;
use crate::domain::job::Spec;
use crate::domain::plan::Plan;
use crate::domain::state::run::{Known, Run, Status};
use crate::node::Clock;
use crate::node::apply::Finished;
use crate::node::embedded::Stopped;
use crate::node::publish::{Evaluated, Published};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The results of a plan's jobs, as far as they are known.
type Results<'a> = dyn Fn(JobId) -> Option<&'a Known> + 'a;

/// How and since when something is reported.
#[derive(Clone, Copy)]
pub(super) struct Show {
    /// For whom.
    pub(super) output: Format,
    /// Since when.
    pub(super) clock: Clock,
}

/// Says that a run was left to its network.
pub(super) fn detached(
    name: &str,
    finished: &Finished,
    show: Show,
    screen: &mut Screen,
) -> Result<Exit, Stop> {
    let Some(run) = finished.run() else {
        return Err(Stop::failed("the run is not in the log", None));
    };
    match show.output {
        Format::Name => screen.line(run.id)?,
        Format::Table | Format::Wide => screen.line(prose::detached(run))?,
        Format::Json | Format::Yaml => {
            let result = json::Result {
                run: Some(run.id.to_string()),
                pipeline: Some(name),
                status: json::status(&run.status),
                bill: &Bill::of(run),
                outputs: &[],
                metrics: json!({}),
                seconds: show.clock.seconds(),
                error: None,
            };
            screen.data(&json::result(&result), show.output)?;
        }
    }
    Ok(Exit::Done)
}

/// Says how a run ended: the bill, the outputs, and what went wrong if it did not settle.
pub(super) fn conclude(
    (name, plan): (&str, &Plan),
    finished: &Finished,
    show: Show,
    screen: &mut Screen,
) -> Result<Exit, Stop> {
    let run = finished.run();
    let (status, wrong) = match (finished.stopped, run) {
        (Some(why), run) => left(why, run, finished.is_embedded),
        (None, Some(run)) => verdict(run),
        (None, None) => return Err(Stop::failed("the run is not in the log", None)),
    };
    if let Some(error) = &finished.unrecorded {
        // The run is what counts, whether or not anybody reads this.
        let _ = writeln!(io::stderr(), "{}", prose::unrecorded(error));
    }
    let known = |job| run.and_then(|run| run.result(job));
    match show.output {
        Format::Name => run.map_or(Ok(()), |run| screen.line(run.id))?,
        Format::Table | Format::Wide => {
            if let Some(run) = run {
                screen.text(prose::bill(&Bill::of(run), screen.paint))?;
            }
            selection(plan, &known, &finished.findings, screen)?;
            outputs(&finished.outputs, screen)?;
            if wrong.is_none() {
                let status = screen.paint.green(status);
                screen.line(format!("{name}: {status} in {:.1} s", show.clock.seconds()))?;
            }
        }
        Format::Json | Format::Yaml => {
            let bill = run.map(Bill::of).unwrap_or_default();
            screen.data(&json::bill(&bill), show.output)?;
            let result = json::Result {
                run: run.map(|run| run.id.to_string()),
                pipeline: Some(name),
                status,
                bill: &bill,
                outputs: &finished.outputs,
                metrics: metrics(plan, &known),
                seconds: show.clock.seconds(),
                error: wrong.as_ref().and_then(report::error_json),
            };
            screen.data(&json::result(&result), show.output)?;
        }
    }
    match wrong {
        None => Ok(Exit::Done),
        Some(wrong) => {
            let wrong = wrong.of(name);
            screen.complain(&wrong, Format::Table)?;
            Err(Stop::Said(wrong.exit()))
        }
    }
}

/// How a run was left before its end, in one word, and what that means.
fn left(why: Stopped, run: Option<&Run>, is_embedded: bool) -> (&'static str, Option<Stop>) {
    let (status, exit) = match why {
        Stopped::Interrupted => ("interrupted", Exit::Interrupted),
        Stopped::TimedOut => ("timed-out", Exit::TimedOut),
    };
    let (message, hint) = prose::left(why, run.map(|run| run.id), is_embedded);
    (status, Some(Stop::Error { exit, message, hint: Some(hint) }))
}

/// How a run ended in one word, and what went wrong.
fn verdict(run: &Run) -> (&'static str, Option<Stop>) {
    let job = |id: JobId| run.plan.job(id).map(ToString::to_string).unwrap_or_default();
    let stage = |block: u32| run.plan.name_of(block);
    let stop = |exit, (message, hint)| Some(Stop::Error { exit, message, hint });
    match &run.status {
        Status::Ended { ending: Ending::Settled, .. } => ("settled", None),
        Status::Ended { ending: Ending::Cancelled, .. } => {
            ("cancelled", stop(Exit::Cancelled, prose::cancelled(run)))
        }
        Status::Ended { ending, .. } => {
            ("failed", stop(Exit::of_ending(ending), prose::failure(ending, &job, &stage)))
        }
        Status::Paused(why) => ("paused", stop(Exit::of_pause(why), prose::stands_still(run, why))),
        Status::Running | Status::Draining(_) => ("failed", None),
    }
}

/// What the evaluations measured of the models that they chose.
pub(super) fn selection<'a>(
    plan: &Plan,
    known: &Results<'a>,
    findings: &[Evaluated],
    screen: &mut Screen,
) -> Result<(), Stop> {
    for (id, job) in (0u32..).zip(&plan.dag.jobs) {
        let Some(known) = known(JobId(id)).filter(|_| matches!(job.spec, Spec::Evaluate(_))) else {
            continue;
        };
        let finding = findings.iter().find(|finding| finding.job == JobId(id));
        let measure = |(name, value): &(String, f64)| {
            let baseline = finding.and_then(|finding| finding.baseline.get(name));
            let baseline = baseline.map(|value| format!(" (baseline {})", prose::measure(*value)));
            let (name, value) = (escape::one_line(name), prose::measure(*value));
            format!("{name} {value}{}", baseline.unwrap_or_default())
        };
        let measures: Vec<String> = known.metrics.iter().map(measure).collect();
        let best = finding.and_then(|finding| finding.best.as_ref());
        let best = best.map(|(best, of)| format!("{best} of {of}: ")).unwrap_or_default();
        let text = format!("{job}: {best}{}", measures.join(", "));
        // Lines for pipes are not broken.
        for line in wrap(&text, screen.width.unwrap_or(usize::MAX)) {
            screen.line(line)?;
        }
    }
    Ok(())
}

/// Where the outputs lie.
pub(super) fn outputs(outputs: &[Published], screen: &mut Screen) -> Result<(), Stop> {
    for output in outputs {
        let digest = screen.paint.dim(&output.digest.short());
        screen.line(format!("{}: {}  {digest}", output.name, output.file.display()))?;
    }
    Ok(())
}

/// The measures of every job that has some, by its address. The parts of one training are one:
/// the last part speaks for it. So are the chunks of one ingest: what they count adds up.
pub(super) fn metrics<'a>(plan: &Plan, known: &Results<'a>) -> Value {
    let mut by_job: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for (id, job) in (0u32..).zip(&plan.dag.jobs) {
        let Some(known) = known(JobId(id)).filter(|known| !known.metrics.is_empty()) else {
            continue;
        };
        let address = job.to_string();
        let whole = address.split_once('#').map_or(address.as_str(), |(whole, _)| whole);
        let measures = by_job.entry(whole.to_owned()).or_default();
        if !matches!(job.spec, Spec::Ingest(_)) {
            measures.clear();
        }
        for (name, value) in &known.metrics {
            *measures.entry(name.clone()).or_default() += value;
        }
    }
    json!(by_job)
}
