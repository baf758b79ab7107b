//! `ohc apply`: runs a pipeline and follows it to settlement; what has not changed runs nothing.
//! Decides nothing: `node::apply` does, and the words are those of `report`.

use super::Context;
use super::args::{self, Format};
use super::exit::{Exit, Stop};
use super::home::{self, cores};
use super::names::Names;
use super::plan::{self, prepare, stop};
use super::report::bill::Bill;
use super::report::live::{Mode, Watcher};
use super::report::{self, Screen, json, prose};
use crate::base::amount::Ohc;
use crate::base::ids::JobId;
use crate::domain::event::{Ending, Pause};
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::job::Spec;
use crate::domain::manifest::Diagnostic;
use crate::domain::state::run::{Known, Run, Status};
use crate::node::Clock;
use crate::node::apply::{ApplyError, Finished, Hooks, Site};
use crate::node::embedded::{Handle, Stopped};
use crate::node::lock::Lock;
use crate::node::pipeline::Pipeline;
use crate::node::publish::Published;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn apply(args: args::Apply, context: &mut Context) -> Result<Exit, Stop> {
    let clock = Clock::start();
    let format = args.output.format;
    let applied = try_apply(args, clock, context);
    match applied {
        Err(stop) if format.is_data() && !matches!(stop, Stop::Said(_) | Stop::Pipe) => {
            let (run, status) = (None, "failed");
            let (bill, outputs, metrics) = (&Bill::default(), &[][..], json!({}));
            let (seconds, error) = (clock.seconds(), report::error_json(&stop));
            let result = json::Result { run, status, bill, outputs, metrics, seconds, error };
            context.screen.data(&json::result(&result), format)?;
            context.screen.complain(&stop, Format::Table)?;
            Err(Stop::Said(stop.exit()))
        }
        other => other,
    }
}

fn try_apply(args: args::Apply, clock: Clock, context: &mut Context) -> Result<Exit, Stop> {
    let is_locked = args.params.locked;
    let home = home::beside(context, &args.manifest);
    let keep = (!args.dry_run || home.exists()).then_some(&home);
    let pipeline = prepare(&args.manifest, args.params, keep)?;
    let workers = args.workers.map_or_else(cores, usize::from);
    if args.dry_run && !home.exists() {
        let forecast = plan::forecast(home, &pipeline)?;
        plan::show(&pipeline, &forecast, args.output.format, context)?;
        return Ok(Exit::Done);
    }
    let site = Site::open(home, workers).map_err(|error| stop(&error))?;
    report_recovery(&site);
    let forecast = site.forecast(&pipeline).map_err(|error| stop(&error))?;
    if args.dry_run {
        plan::show(&pipeline, &forecast, args.output.format, context)?;
        return Ok(Exit::Done);
    }
    let base = home::folder(&args.manifest);
    if let Some((job, failure)) = forecast.sure_failure(&pipeline.plan) {
        let job = pipeline.plan.job(job).map(ToString::to_string).unwrap_or_default();
        let message = format!("{job}: {} (as it did before: nothing was run)", failure.message);
        return Err(Stop::failed(message, Some(failure.hint.clone())));
    }
    // An open run holds money in escrow: it must be ended even if all its results are known.
    if forecast.is_unchanged() && site.open_run(&pipeline).is_none() {
        write_lock(base, &pipeline, is_locked)?;
        return unchanged(&site, &pipeline, &forecast, base, (args.output.format, clock), context);
    }
    let budget = site.budget(&pipeline, &forecast, args.budget);
    let budget = budget.map_err(|error| unpaid(&error, args.budget, &args.manifest, &pipeline))?;
    show_plan(&pipeline, &forecast, budget, args.output.format, &mut context.screen)?;
    let has_cap = args.yes || args.budget.is_some() || pipeline.manifest.budget.is_some();
    if !has_cap && !confirm(budget)? {
        return Err(Stop::Said(Exit::Cancelled));
    }
    write_lock(base, &pipeline, is_locked)?;
    let show = Show { output: args.output.format, clock, base };
    run(site, &pipeline, &forecast, budget, &show, context)
}

/// Writes down what the sources are that are about to be used, unless they had to be what the lock
/// says.
fn write_lock(base: &Path, pipeline: &Pipeline, is_locked: bool) -> Result<(), Stop> {
    if is_locked {
        return Ok(());
    }
    let written = Lock::update(base, &pipeline.manifest, &pipeline.sources);
    written.map_err(|error| Stop::because(Exit::Failed, &error))
}

/// How and where a run is reported.
struct Show<'a> {
    output: Format,
    clock: Clock,
    base: &'a Path,
}

fn report_recovery(site: &Site) {
    if let Some(cut) = &site.view().recovery.cut {
        // The run goes on whether or not anybody reads this.
        let _ = writeln!(
            io::stderr(),
            "note: a crash interrupted the last write; {} unfinished bytes were cut off {}",
            cut.bytes,
            cut.path.display()
        );
    }
}

/// Asks whether an amount may be spent that nobody has set; where nobody can answer, the
/// command itself is the answer.
fn confirm(budget: Ohc) -> Result<bool, Stop> {
    let mut err = io::stderr();
    if !(io::stdin().is_terminal() && err.is_terminal()) {
        return Ok(true);
    }
    write!(err, "No budget is set. Spend up to {budget} OhC? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A budget that is too small is a fault of the manifest if it is the manifest's.
fn unpaid(error: &ApplyError, asked: Option<Ohc>, path: &Path, pipeline: &Pipeline) -> Stop {
    match (stop(error), pipeline.manifest.budget) {
        (Stop::Error { exit: Exit::Unpaid, message, hint }, Some(_)) if asked.is_none() => {
            let place = pipeline.manifest.budget_place;
            let fault = Diagnostic::new(place, &message, hint);
            plan::wrong(path, pipeline.text.clone(), vec![fault], Exit::Unpaid)
        }
        (stop, _) => stop,
    }
}

fn show_plan(
    pipeline: &Pipeline,
    forecast: &Forecast,
    budget: Ohc,
    output: Format,
    screen: &mut Screen,
) -> Result<(), Stop> {
    let (name, plan) = (&pipeline.manifest.name, &pipeline.plan);
    match output {
        Format::Json | Format::Yaml => {
            let (jobs, blocks) = (plan.dag.jobs.len(), plan.blocks.len());
            let fields = json!({"pipeline": name, "jobs": jobs, "blocks": blocks,
                "budget": json::ohc(budget)});
            screen.data(&json::object("ApplyStream", fields), output)?;
        }
        Format::Name => {}
        Format::Table | Format::Wide => {
            let paint = screen.paint;
            screen.text(prose::plan_summary(name, plan, forecast, paint))?;
        }
    }
    Ok(screen.flush()?)
}

/// Nothing runs and nothing is spent; outputs that are gone are written again.
fn unchanged(
    site: &Site,
    pipeline: &Pipeline,
    forecast: &Forecast,
    base: &Path,
    (output, clock): (Format, Clock),
    context: &mut Context,
) -> Result<Exit, Stop> {
    let outputs = site.publish(pipeline, forecast, base).map_err(|error| stop(&error))?;
    let screen = &mut context.screen;
    let blocks_cached = pipeline.plan.blocks.len();
    let bill = Bill { blocks_cached, ..Bill::default() };
    let known = |job: JobId| match forecast.fates.get(job.index()) {
        Some(Fate::Cached(known)) => Some(known),
        _ => None,
    };
    let metrics = metrics(pipeline, &known);
    match output {
        Format::Name => {
            if let Some(run) = site.last_run(pipeline) {
                screen.line(run.id)?;
            }
        }
        Format::Table | Format::Wide => {
            let unchanged = screen.paint.green("unchanged");
            let name = &pipeline.manifest.name;
            screen.line(format!("{name}: {unchanged}, nothing was run and nothing spent"))?;
            show_selection(pipeline, &known, screen)?;
            show_outputs(&outputs, screen)?;
        }
        Format::Json | Format::Yaml => {
            let run = site.last_run(pipeline).map(|run| run.id.to_string());
            let (status, outputs, seconds) = ("unchanged", outputs.as_slice(), clock.seconds());
            let (bill, error) = (&bill, None);
            show_plan(pipeline, forecast, Ohc::ZERO, output, screen)?;
            let result = json::Result { run, status, bill, outputs, metrics, seconds, error };
            screen.data(&json::result(&result), output)?;
        }
    }
    Ok(Exit::Done)
}

fn run(
    site: Site,
    pipeline: &Pipeline,
    forecast: &Forecast,
    budget: Ohc,
    show: &Show<'_>,
    context: &mut Context,
) -> Result<Exit, Stop> {
    let names = Names::new(site.names());
    let quit = context.quit;
    let screen = &mut context.screen;
    let mode = match show.output {
        Format::Json | Format::Yaml => Mode::Data(show.output),
        Format::Name => Mode::Silent,
        Format::Table | Format::Wide if screen.is_live => Mode::Live,
        Format::Table | Format::Wide => Mode::Plain,
    };
    let mut watcher = Watcher::new(screen, &names, &pipeline.plan, mode, show.clock);
    let mut begun = |network, runtime: &Runtime| on_signals(network, runtime, quit);
    let hooks = Hooks { begun: &mut begun, watch: &mut |happening| watcher.see(&happening) };
    let finished = site.run(pipeline, forecast, budget, show.base, hooks);
    let shown = watcher.finish();
    let finished = finished.map_err(|error| stop(&error))?;
    shown?;
    conclude(pipeline, &finished, show, screen)
}

/// The first Ctrl-C or SIGTERM asks the network to stop, the second does not wait for it.
fn on_signals(network: Handle, runtime: &Runtime, quit: fn(u8) -> !) {
    runtime.spawn(async move {
        // Where there are no signals nobody can send one.
        let Ok(mut term) = signal(SignalKind::terminate()) else { return };
        for is_first in [true, false] {
            tokio::select! {
                interrupted = ctrl_c() => if interrupted.is_err() { return },
                _ = term.recv() => {}
            }
            match is_first {
                true => network.stop(Stopped::Interrupted),
                false => quit(Exit::Interrupted.code()),
            }
        }
    });
}

/// Says how a run ended: the bill, the outputs, and what went wrong if it did not settle.
fn conclude(
    pipeline: &Pipeline,
    finished: &Finished,
    show: &Show<'_>,
    screen: &mut Screen,
) -> Result<Exit, Stop> {
    let run = finished.run();
    let bill = run.map(Bill::of).unwrap_or_default();
    let (status, wrong) = match (finished.stopped, run) {
        (Some(why), run) => left(why, run),
        (None, Some(run)) => verdict(run),
        (None, None) => return Err(Stop::failed("the run is not in the log", None)),
    };
    if let Some(error) = &finished.unrecorded {
        // The run is what counts, whether or not anybody reads this.
        let _ = writeln!(io::stderr(), "note: `ohc logs` will not show all of it: {error}");
    }
    let known = |job| run.and_then(|run| run.result(job));
    match show.output {
        Format::Name => run.map_or(Ok(()), |run| screen.line(run.id))?,
        Format::Table | Format::Wide => {
            screen.text(prose::bill(&bill, screen.paint))?;
            show_selection(pipeline, &known, screen)?;
            show_outputs(&finished.outputs, screen)?;
            let seconds = show.clock.seconds();
            if wrong.is_none() {
                let status = screen.paint.green(status);
                screen.line(format!("{}: {status} in {seconds:.1} s", pipeline.manifest.name))?;
            }
        }
        Format::Json | Format::Yaml => {
            screen.data(&json::bill(&bill), show.output)?;
            let metrics = metrics(pipeline, &known);
            let result = json::Result {
                run: run.map(|run| run.id.to_string()),
                status,
                bill: &bill,
                outputs: &finished.outputs,
                metrics,
                seconds: show.clock.seconds(),
                error: wrong.as_ref().and_then(report::error_json),
            };
            screen.data(&json::result(&result), show.output)?;
        }
    }
    match wrong {
        None => Ok(Exit::Done),
        Some(wrong) => {
            screen.complain(&wrong, Format::Table)?;
            Err(Stop::Said(wrong.exit()))
        }
    }
}

/// How a run was left before its end, in one word, and what that means.
fn left(why: Stopped, run: Option<&Run>) -> (&'static str, Option<Stop>) {
    let (status, exit) = match why {
        Stopped::Interrupted => ("interrupted", Exit::Interrupted),
        Stopped::TimedOut => ("timed-out", Exit::TimedOut),
    };
    let (message, hint) = prose::left(why, run.map(|run| run.id));
    (status, Some(Stop::Error { exit, message, hint: Some(hint) }))
}

/// How a run ended in one word, and what went wrong.
fn verdict(run: &Run) -> (&'static str, Option<Stop>) {
    let job = |id: JobId| run.plan.job(id).map(ToString::to_string).unwrap_or_default();
    let stage = |block: u32| run.plan.name_of(block);
    let error = |exit, message: String, hint: &str| {
        Some(Stop::Error { exit, message, hint: Some(hint.to_owned()) })
    };
    match &run.status {
        Status::Ended { ending: Ending::Settled, .. } => ("settled", None),
        Status::Ended { ending: Ending::Cancelled, .. } => {
            let hint = "apply again to go on from what is settled";
            ("cancelled", error(Exit::Cancelled, format!("{} was cancelled", run.id), hint))
        }
        Status::Ended { ending, .. } => {
            let (message, hint) = prose::failure(ending, &job, &stage);
            ("failed", Some(Stop::Error { exit: Exit::of_ending(ending), message, hint }))
        }
        Status::Paused(Pause::NoBids) => {
            let hint = "no worker bids, not at the highest price either: add workers";
            ("paused", error(Exit::Unpaid, format!("{} found no bids", run.id), hint))
        }
        Status::Paused(Pause::Budget) => {
            let hint = "apply again with a larger --budget: what is settled is not paid again";
            let message = format!("the budget of {} OhC does not cover the next block", run.budget);
            ("paused", error(Exit::Unpaid, message, hint))
        }
        Status::Paused(Pause::StageBudget { stage }) => {
            let hint = "raise the budget of the stage and apply again: what is settled is not paid \
                        again";
            let message = format!("the budget of stage `{stage}` does not cover its next block");
            ("paused", error(Exit::Unpaid, message, hint))
        }
        Status::Paused(Pause::Client) => {
            let hint = "resume it, or apply again";
            ("paused", error(Exit::Cancelled, format!("{} was paused", run.id), hint))
        }
        Status::Running | Status::Draining(_) => ("failed", None),
    }
}

/// What the evaluations measured of the models that they chose.
fn show_selection<'a>(
    pipeline: &Pipeline,
    known: &dyn Fn(JobId) -> Option<&'a Known>,
    screen: &mut Screen,
) -> Result<(), Stop> {
    for (id, job) in (0u32..).zip(&pipeline.plan.dag.jobs) {
        let Some(known) = known(JobId(id)).filter(|_| matches!(job.spec, Spec::Evaluate(_))) else {
            continue;
        };
        let measure = |(name, value): &(String, f64)| format!("{name} {value:.4}");
        let measures: Vec<String> = known.metrics.iter().map(measure).collect();
        screen.line(format!("{job}: {}", measures.join(", ")))?;
    }
    Ok(())
}

fn show_outputs(outputs: &[Published], screen: &mut Screen) -> Result<(), Stop> {
    for output in outputs {
        let digest = screen.paint.dim(&output.digest.short());
        screen.line(format!("{}: {}  {digest}", output.name, output.file.display()))?;
    }
    Ok(())
}

/// The measures of every job that has some, by its address. The parts of one training are one:
/// the last part speaks for it.
fn metrics<'a>(pipeline: &Pipeline, known: &dyn Fn(JobId) -> Option<&'a Known>) -> Value {
    let mut by_job: BTreeMap<String, Value> = BTreeMap::new();
    for (id, job) in (0u32..).zip(&pipeline.plan.dag.jobs) {
        let Some(known) = known(JobId(id)).filter(|known| !known.metrics.is_empty()) else {
            continue;
        };
        let address = job.to_string();
        let whole = address.split_once('#').map_or(address.as_str(), |(whole, _)| whole);
        let measures: Map<String, Value> =
            known.metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        by_job.insert(whole.to_owned(), Value::Object(measures));
    }
    Value::Object(by_job.into_iter().collect())
}
