//! `ohc apply`: runs pipelines and follows them to settlement; what has not changed runs nothing.
//! Decides nothing: `node::apply` does, and the words are those of `report`.

use super::Context;
use super::args::{self, Format};
use super::consent;
use super::documents::{self, Document, Faults};
use super::exit::{Exit, Stop};
use super::home::{self, Place, cores};
use super::names::Names;
use super::network;
use super::outcome::{self, Show};
use super::plan::{self, stop};
use super::report::bill::Bill;
use super::report::live::{Mode, Watcher};
use super::report::{self, Screen, json, prose};
use super::signals::Signals;
use crate::base::amount::Ohc;
use crate::base::ids::{JobId, RunId};
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::manifest::{Diagnostic, Severity};
use crate::node::Clock;
use crate::node::apply::{ApplyError, Hooks, Site};
use crate::node::attach::Errand;
use crate::node::embedded::{Handle, Happening, Stopped};
use crate::node::lock::Lock;
use crate::node::pipeline::Pipeline;
use crate::node::saved::{self, SavedPlan};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Everything that is applied by one command line has these in common.
struct Batch<'a> {
    args: &'a args::Apply,
    params: BTreeMap<String, String>,
    watch: Watch,
}

/// How whatever is run is watched, and stopped.
pub(super) struct Watch {
    /// For whom, and since when.
    pub(super) show: Show,
    /// How long all of it may take.
    pub(super) timeout: Option<Duration>,
    /// Ctrl-C.
    pub(super) signals: Signals,
    /// Whether a run is left to its network as soon as it is known.
    pub(super) is_detached: bool,
}

/// One thing to apply.
enum Wanted {
    Pipeline(Document),
    Saved(PathBuf),
}

impl Wanted {
    /// Where it stands.
    fn at(&self) -> String {
        match self {
            Self::Pipeline(document) => document.at(),
            Self::Saved(path) => path.display().to_string(),
        }
    }
}

pub(super) fn apply(args: &args::Apply, context: &mut Context) -> Result<Exit, Stop> {
    if args.detach && network::meant(context)?.is_none() {
        return Err(prose::no_network());
    }
    let wanted = wanted(args)?;
    let params = documents::params(&args.params)?;
    let stops = unsound(&wanted, &params);
    let show = Show { output: args.output.format, clock: Clock::start() };
    let signals = Signals::start(context.quit);
    let is_detached = args.detach;
    let watch = Watch { show, timeout: args.timeout, signals, is_detached };
    let batch = Batch { args, params, watch };
    let mut worst = Exit::Done;
    if !stops.is_empty() {
        for stop in stops {
            worst = worst.worse(told(stop, None, &batch, context)?);
        }
        return Ok(worst);
    }
    for each in &wanted {
        let mut run = None;
        let applied = match each {
            Wanted::Pipeline(document) => one(document, &batch, &mut run, context),
            Wanted::Saved(path) => exactly(path, &batch, &mut run, context),
        };
        let exit = match applied {
            Ok(exit) => exit,
            Err(stop) if wanted.len() > 1 => told(stop.of(&each.at()), run, &batch, context)?,
            Err(stop) => told(stop, run, &batch, context)?,
        };
        worst = worst.worse(exit);
        if matches!(exit, Exit::Interrupted | Exit::TimedOut) {
            break;
        }
    }
    Ok(worst)
}

/// What the command line names: saved plans, and the documents of everything else.
fn wanted(args: &args::Apply) -> Result<Vec<Wanted>, Stop> {
    let mut all = Vec::new();
    for path in args.files.all() {
        if saved::is_saved(path) {
            all.push(Wanted::Saved(path.clone()));
        } else {
            all.extend(documents::of(path)?.into_iter().map(Wanted::Pipeline));
        }
    }
    Ok(all)
}

/// Why nothing of several pipelines is applied: one that is wrong is told before another is paid.
fn unsound(wanted: &[Wanted], params: &BTreeMap<String, String>) -> Vec<Stop> {
    if wanted.len() < 2 {
        return Vec::new();
    }
    let documents = wanted.iter().filter_map(|wanted| match wanted {
        Wanted::Pipeline(document) => Some(document),
        Wanted::Saved(_) => None,
    });
    let documents: Vec<&Document> = documents.collect();
    let faults = documents::faults(&documents, params, Severity::Error).into_iter();
    let each = documents.iter().zip(faults.map(Faults::all));
    let wrong = each.filter(|(_, faults)| faults.iter().any(Diagnostic::is_error));
    wrong.map(|(document, faults)| document.wrong(faults, Exit::Failed)).collect()
}

/// Reports why one of several was not applied; programs get a result for each, whatever came of it.
fn told(
    stop: Stop,
    run: Option<RunId>,
    batch: &Batch<'_>,
    context: &mut Context,
) -> Result<Exit, Stop> {
    match stop {
        Stop::Said(exit) => return Ok(exit),
        Stop::Pipe => return Err(Stop::Pipe),
        Stop::Manifest { .. } | Stop::Error { .. } => {}
    }
    let Show { output: format, clock } = batch.watch.show;
    if format.is_data() {
        let result = json::Result {
            run: run.map(|run| run.to_string()),
            pipeline: None,
            status: "failed",
            bill: &Bill::default(),
            outputs: &[],
            metrics: json!({}),
            seconds: clock.seconds(),
            error: report::error_json(&stop),
        };
        context.screen.data(&json::result(&result), format)?;
    }
    context.screen.complain(&stop, Format::Table)?;
    Ok(stop.exit())
}

/// Applies the pipeline of a document.
fn one(
    document: &Document,
    batch: &Batch<'_>,
    run: &mut Option<RunId>,
    context: &mut Context,
) -> Result<Exit, Stop> {
    let args = batch.args;
    let home = home::beside(context, &document.path)?;
    let keep = (!args.dry_run || home.is_begun()).then_some(&*home);
    let pipeline = plan::prepare(document, batch.params.clone(), keep)?;
    if args.lock.locked {
        plan::check_lock(document, &pipeline)?;
    }
    let again = plan::again(&args.again, &pipeline)?;
    if args.dry_run {
        let planned = plan::planned(&home, &pipeline, &again)?;
        plan::warn(document, plan::warnings(&pipeline, &planned.forecast), context)?;
        plan::show(&pipeline, &planned, args.output.format, context)?;
        return Ok(Exit::Done);
    }
    home::say_begun(&home, &document.path, context);
    let site = open(&home, batch)?;
    let forecast = site.forecast_again(&pipeline, &again).map_err(|error| stop(&error))?;
    let mut warnings = plan::warnings(&pipeline, &forecast);
    // A budget that is too small is more than a warning here.
    warnings.retain(|warning| warning.place != pipeline.manifest.budget_place);
    plan::warn(document, warnings, context)?;
    let budget = site.budget(&pipeline, &forecast, args.budget);
    let unpaid = |error: ApplyError| match (stop(&error), pipeline.manifest.budget) {
        // A budget that is too small is a fault of the manifest if it is the manifest's.
        (Stop::Error { exit: Exit::Unpaid, message, hint }, Some(_)) if args.budget.is_none() => {
            let place = pipeline.manifest.budget_place;
            let fault = Diagnostic::new(place, &message, hint);
            document.wrong(vec![fault], Exit::Unpaid)
        }
        (stop, _) => stop,
    };
    let ready =
        decide(site, &pipeline, &forecast, budget.map_err(unpaid), document.folder(), batch)?;
    write_lock(document, &pipeline, batch)?;
    ready.run(&batch.watch, run, context)
}

/// Writes down what the sources are that are about to be used, unless they had to be what the lock
/// says.
fn write_lock(document: &Document, pipeline: &Pipeline, batch: &Batch<'_>) -> Result<(), Stop> {
    if batch.args.lock.locked {
        return Ok(());
    }
    let written = Lock::update(document.folder(), &pipeline.manifest, &pipeline.sources);
    written.map_err(|error| Stop::because(Exit::Failed, &error))
}

/// Applies a plan that was saved, if it is still what would be done.
fn exactly(
    path: &Path,
    batch: &Batch<'_>,
    run: &mut Option<RunId>,
    context: &mut Context,
) -> Result<Exit, Stop> {
    let args = batch.args;
    if !batch.params.is_empty() || args.again.no_cache || !args.again.refresh.is_empty() {
        return Err(prose::plan_is_fixed(path));
    }
    let saved = saved::read(path).map_err(|error| Stop::because(Exit::Failed, &error))?;
    let document = Document::saved(&saved);
    let home = home::beside(context, &document.path)?;
    let keep = (!args.dry_run || home.is_begun()).then_some(&*home);
    let pipeline = plan::prepare(&document, saved.params(), keep)?;
    let planned = plan::planned(&home, &pipeline, &saved.again)?;
    if args.lock.locked {
        plan::check_lock(&document, &pipeline)?;
    }
    let stale = saved.stale(&pipeline.pins, &planned.forecast, planned.last);
    if !stale.is_empty() {
        return Err(prose::stale(path, &stale));
    }
    if args.dry_run {
        plan::show(&pipeline, &planned, args.output.format, context)?;
        return Ok(Exit::Done);
    }
    home::say_begun(&home, &document.path, context);
    let site = open(&home, batch)?;
    let forecast = site.forecast_again(&pipeline, &saved.again).map_err(|error| stop(&error))?;
    let budget = site.budget(&pipeline, &forecast, args.budget).map_err(|error| stop(&error));
    let ready = decide(site, &pipeline, &forecast, budget, document.folder(), batch)?;
    write_lock(&document, &pipeline, batch)?;
    ready.run(&batch.watch, run, context)
}

fn open(place: &Place, batch: &Batch<'_>) -> Result<Site, Stop> {
    let workers = batch.args.workers.map_or_else(cores, usize::from);
    let site = place.open(workers).map_err(|error| stop(&error))?;
    if let Some(cut) = &site.view().recovery.cut {
        // The run goes on whether or not anybody reads this.
        let _ = writeln!(io::stderr(), "{}", prose::recovered(cut.bytes, &cut.path));
    }
    home::say_ignored(site.view());
    Ok(site)
}

/// A pipeline of which everything is decided.
pub(super) struct Ready<'a> {
    pub(super) site: Site,
    pub(super) pipeline: &'a Pipeline,
    pub(super) forecast: &'a Forecast,
    pub(super) todo: Todo,
    /// What its outputs are written below.
    pub(super) folder: &'a Path,
}

/// What is to be done about a pipeline.
pub(super) enum Todo {
    /// Everything is known.
    Nothing,
    /// It is run for so much at the most.
    Run(Ohc),
    /// A run of it goes on, after something is done about it or not.
    GoOn(RunId, Option<Errand>),
}

/// Whether there is anything to be run at all, and whether it may cost what it does.
fn decide<'a>(
    site: Site,
    pipeline: &'a Pipeline,
    forecast: &'a Forecast,
    budget: Result<Ohc, Stop>,
    folder: &'a Path,
    batch: &Batch<'_>,
) -> Result<Ready<'a>, Stop> {
    let args = batch.args;
    let ready = ready(site, pipeline, forecast, budget, folder)?;
    // What a manifest allows is enough where the money goes from one pocket to the other.
    let is_allowed = ready.site.is_embedded() && pipeline.manifest.budget.is_some();
    let has_cap = args.yes || args.budget.is_some() || is_allowed;
    match ready.todo {
        Todo::Run(budget) if !has_cap => agree(budget, &ready).map(|()| ready),
        _ => Ok(ready),
    }
}

/// Whether there is anything to be run at all.
pub(super) fn ready<'a>(
    site: Site,
    pipeline: &'a Pipeline,
    forecast: &'a Forecast,
    budget: Result<Ohc, Stop>,
    folder: &'a Path,
) -> Result<Ready<'a>, Stop> {
    // An open run holds money in escrow: it must be ended even if all its results are known.
    let is_open = site.open_run(pipeline).is_some();
    if let (Some((job, failure)), false) = (forecast.sure_failure(&pipeline.plan), is_open) {
        let job = pipeline.plan.job(job).map(ToString::to_string).unwrap_or_default();
        return Err(prose::sure_failure(&job, failure));
    }
    if forecast.is_unchanged() && !is_open {
        return Ok(Ready { site, pipeline, forecast, todo: Todo::Nothing, folder });
    }
    Ok(Ready { site, pipeline, forecast, todo: Todo::Run(budget?), folder })
}

/// Asks whether an amount may be spent that nobody has set, or that goes to others. Where nobody
/// can answer, nothing is spent: a script says with -y or --budget what it means.
fn agree(budget: Ohc, ready: &Ready<'_>) -> Result<(), Stop> {
    let is_own = ready.site.is_embedded();
    let question = match is_own {
        true => prose::question(budget),
        false => {
            let fees = ready.site.fees(ready.pipeline).map_err(|error| stop(&error))?;
            prose::question_of_network(budget, fees)
        }
    };
    match consent::ask(&question)? {
        Some(true) => Ok(()),
        Some(false) => Err(consent::declined()),
        None if is_own => Err(prose::no_budget(budget)),
        None => Err(prose::no_consent(budget)),
    }
}

impl Ready<'_> {
    /// Does it, and says what came of it. The run goes into `seen` as soon as it is known.
    pub(super) fn run(
        self,
        how: &Watch,
        seen: &mut Option<RunId>,
        context: &mut Context,
    ) -> Result<Exit, Stop> {
        let Self { site, pipeline, forecast, todo, folder } = self;
        match todo {
            Todo::Nothing => {
                return unchanged(&site, pipeline, forecast, folder, how.show, context);
            }
            Todo::Run(budget) => {
                let upload = site.upload_fee(pipeline).map_err(|error| stop(&error))?;
                let costs = (budget, upload);
                announce(pipeline, forecast, costs, how.show.output, &mut context.screen)?;
            }
            Todo::GoOn(..) => {}
        }
        let names = Names::new(site.names());
        let screen = &mut context.screen;
        let mode = Mode::of(how.show.output, screen);
        let mut watcher = Watcher::new(screen, &names, &pipeline.plan, mode, how.show.clock);
        let mut begun = |network: Handle, runtime: &Runtime| how.begun(network, runtime);
        let mut watch = |happening: Happening<'_>| {
            if let Happening::Following(run) = &happening {
                *seen = Some(*run);
            }
            watcher.see(&happening);
        };
        let is_detached = how.is_detached;
        let hooks = Hooks { begun: &mut begun, watch: &mut watch, is_detached };
        let finished = match todo {
            Todo::GoOn(run, errand) => {
                site.go_on(run, errand.as_ref(), (pipeline, forecast), folder, hooks)
            }
            Todo::Run(budget) => site.run(pipeline, forecast, budget, folder, hooks),
            Todo::Nothing => site.run(pipeline, forecast, Ohc::ZERO, folder, hooks),
        };
        how.signals.serve(None);
        let shown = watcher.finish();
        let finished = finished.map_err(|error| stop(&error))?;
        shown?;
        let named = (pipeline.manifest.name.as_str(), &pipeline.plan);
        if how.is_detached && finished.goes_on() {
            return outcome::detached(named.0, &finished, how.show, screen);
        }
        outcome::conclude(named, &finished, how.show, screen)
    }
}

impl Watch {
    /// A network runs: it can be interrupted, and takes no longer than it may.
    pub(super) fn begun(&self, network: Handle, runtime: &Runtime) {
        self.signals.serve(Some(network.clone()));
        let seconds = Duration::from_secs_f64(self.show.clock.seconds());
        if let Some(left) = self.timeout.map(|most| most.saturating_sub(seconds)) {
            runtime.spawn(async move {
                tokio::time::sleep(left).await;
                network.stop(Stopped::TimedOut);
            });
        }
    }
}

/// Says what is going to be run.
fn announce(
    pipeline: &Pipeline,
    forecast: &Forecast,
    (budget, (bytes, fee)): (Ohc, (u64, Ohc)),
    output: Format,
    screen: &mut Screen,
) -> Result<(), Stop> {
    let (name, plan) = (&pipeline.manifest.name, &pipeline.plan);
    let brings = (bytes > 0).then(|| json!({"bytes": bytes, "fee": json::ohc(fee)}));
    match output {
        Format::Json | Format::Yaml => {
            let (jobs, blocks) = (plan.dag.jobs.len(), plan.blocks.len());
            let fields = json!({"pipeline": name, "jobs": jobs, "blocks": blocks,
                "budget": json::ohc(budget), "brings": brings});
            screen.data(&json::object("ApplyStream", fields), output)?;
        }
        Format::Name => {}
        Format::Table | Format::Wide => {
            let paint = screen.paint;
            screen.text(prose::plan_summary(name, plan, forecast, paint))?;
            if brings.is_some() {
                screen.line(prose::brings(bytes, fee))?;
            }
        }
    }
    Ok(screen.flush()?)
}

/// Nothing runs and nothing is spent; outputs that are gone are written again.
fn unchanged(
    site: &Site,
    pipeline: &Pipeline,
    forecast: &Forecast,
    folder: &Path,
    show: Show,
    context: &mut Context,
) -> Result<Exit, Stop> {
    let published = site.publish(pipeline, forecast, folder);
    let (outputs, findings) = published.map_err(|error| stop(&error))?;
    let run = site.unchanged(pipeline, forecast).map_err(|error| stop(&error))?;
    let screen = &mut context.screen;
    let known = |job: JobId| match forecast.fates.get(job.index()) {
        Some(Fate::Cached(known)) => Some(known),
        _ => None,
    };
    match show.output {
        Format::Name => {
            if let Some(run) = run {
                screen.line(run)?;
            }
        }
        Format::Table | Format::Wide => {
            let text = prose::unchanged(&pipeline.manifest.name, screen.paint);
            screen.line(text)?;
            outcome::selection(&pipeline.plan, &known, &findings, screen)?;
            outcome::outputs(&outputs, screen)?;
        }
        Format::Json | Format::Yaml => {
            announce(pipeline, forecast, (Ohc::ZERO, (0, Ohc::ZERO)), show.output, screen)?;
            let blocks_cached = pipeline.plan.blocks.len();
            let result = json::Result {
                run: run.map(|run| run.to_string()),
                pipeline: Some(&pipeline.manifest.name),
                status: "unchanged",
                bill: &Bill { blocks_cached, ..Bill::default() },
                outputs: &outputs,
                metrics: outcome::metrics(&pipeline.plan, &known),
                seconds: show.clock.seconds(),
                error: None,
            };
            screen.data(&json::result(&result), show.output)?;
        }
    }
    Ok(Exit::Done)
}

impl Document {
    /// The document of a saved plan: it lies where the manifest lay.
    fn saved(saved: &SavedPlan) -> Self {
        Self::of(PathBuf::from(&saved.file), saved.manifest.clone())
    }
}
