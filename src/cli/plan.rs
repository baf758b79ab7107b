//! `ohc plan`: what apply would run, why, and at what price; on request as a file that apply takes.
//! Changes nothing, and begins no home.

use super::Context;
use super::args::{self, Format};
use super::documents::{self, Document};
use super::exit::{Exit, Stop};
use super::home::{self, Place, cores};
use super::report::{diagnostics, json, prose, quotation, sources};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::manifest::{Diagnostic, Severity};
use crate::domain::plan::Plan;
use crate::domain::price::Quote;
use crate::node::apply::{self, ApplyError};
use crate::node::home::Home;
use crate::node::lock::FILE;
use crate::node::pipeline::{Pipeline, PrepareError};
use crate::node::saved::{self, Base, SavedPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

/// What applying would do, and what that was reckoned from.
pub(super) struct Planned {
    /// What it would do.
    pub(super) forecast: Forecast,
    /// Workers that it was reckoned for.
    pub(super) workers: usize,
    /// The state of the log.
    pub(super) last: Base,
}

pub(super) fn plan(args: &args::Plan, context: &mut Context) -> Result<Exit, Stop> {
    let documents = documents::read(&args.files)?;
    let params = documents::params(&args.params)?;
    if let (Some(out), true) = (&args.out, documents.len() != 1) {
        return Err(prose::several(out, documents.len()));
    }
    let all: Vec<&Document> = documents.iter().collect();
    let faults = documents::faults(&all, &params, Severity::Warning);
    let (mut exit, mut sum, is_one) = (Exit::Done, Sum::default(), documents.len() == 1);
    let format = args.output.format;
    let is_table = matches!(format, Format::Table | Format::Wide);
    for (document, faults) in documents.iter().zip(faults) {
        let of = |stop: Stop| if is_one { stop } else { stop.of(&document.at()) };
        let home = home::beside(context, &document.path)?;
        let keep = home.is_begun().then_some(&*home);
        let pipeline = prepare(document, params.clone(), keep).map_err(of)?;
        if args.lock.locked {
            check_lock(document, &pipeline).map_err(of)?;
        }
        let again = again(&args.again, &pipeline).map_err(of)?;
        let planned = planned(&home, &pipeline, &again).map_err(of)?;
        let warnings = warnings(&pipeline, &planned.forecast).into_iter();
        warn(document, warnings.chain(faults.collisions).collect(), context)?;
        if is_table && !is_one {
            let begin = if sum.plans > 0 { "\n" } else { "" };
            context.screen.line(format!("{begin}{}", context.screen.paint.bold(&document.at())))?;
        }
        show(&pipeline, &planned, format, context)?;
        sum.add(&pipeline.plan, &planned.forecast);
        if let Some(out) = &args.out {
            save(out, document, &pipeline, &planned, again)?;
            // Programs have asked for it and know.
            let said = writeln!(io::stderr(), "{}", prose::plan_saved(out));
            said.map_err(Stop::from)?;
        }
        if args.detailed_exitcode {
            exit = exit.worse(detailed(&pipeline, &planned.forecast));
        }
    }
    if is_table && !is_one {
        context.screen.line(prose::plan_sum(sum.plans, sum.quote))?;
    }
    Ok(exit)
}

/// What several pipelines cost, one applied after the other: what they share is paid once.
#[derive(Default)]
struct Sum {
    plans: usize,
    quote: Quote,
    seen: BTreeSet<Digest>,
}

impl Sum {
    fn add(&mut self, plan: &Plan, forecast: &Forecast) {
        self.plans += 1;
        if forecast.sure_failure(plan).is_some() {
            return;
        }
        let outlines = plan.outlines();
        let is_new = |id: &JobId| {
            let runs = forecast.fates.get(id.index()).is_some_and(Fate::runs);
            runs && outlines.get(id.index()).is_some_and(|job| !self.seen.contains(job))
        };
        for (block, told) in plan.blocks.iter().zip(&forecast.blocks) {
            if let Some(told) = told.filter(|_| block.jobs.iter().any(is_new)) {
                let add = |sum: Ohc, more| sum.checked_add(more).unwrap_or(sum);
                let Quote { low, likely, high } = told.quote;
                self.quote.low = add(self.quote.low, low);
                self.quote.likely = add(self.quote.likely, likely);
                self.quote.high = add(self.quote.high, high);
            }
        }
        self.seen.extend(outlines);
    }
}

/// What applying would come to: what is known to fail is not run again.
fn detailed(pipeline: &Pipeline, forecast: &Forecast) -> Exit {
    match forecast.sure_failure(&pipeline.plan) {
        Some(_) => Exit::Failed,
        None if forecast.is_unchanged() => Exit::Done,
        None => Exit::Changes,
    }
}

fn save(
    out: &Path,
    document: &Document,
    pipeline: &Pipeline,
    planned: &Planned,
    again: Vec<String>,
) -> Result<(), Stop> {
    let folder = document.folder();
    let file = document.path.file_name().map(Path::new).unwrap_or(Path::new("-"));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let file = folder.join(file);
    let saved = SavedPlan::new(&file, pipeline, again, &planned.forecast, planned.last);
    saved::write(out, &saved).map_err(|error| Stop::because(Exit::Failed, &error))
}

/// Compiles a document and pins its sources; what they hold is kept in a home.
pub(super) fn prepare(
    document: &Document,
    params: BTreeMap<String, String>,
    keep: Option<&Home>,
) -> Result<Pipeline, Stop> {
    let prepared = Pipeline::prepare(document.text.clone(), params, document.folder(), keep);
    prepared.map_err(|error| match error {
        PrepareError::Wrong { faults, .. } => document.wrong(faults, Exit::Failed),
        other => Stop::because(Exit::Failed, &other),
    })
}

/// Refuses a pipeline whose sources are not what its lock says.
pub(super) fn check_lock(document: &Document, pipeline: &Pipeline) -> Result<(), Stop> {
    let faults = match &pipeline.changes {
        Some(changes) => sources::faults(changes),
        None if pipeline.sources.is_empty() => Vec::new(),
        None => {
            let name = &pipeline.manifest.name;
            let message = format!("there is no {FILE} that knows the pipeline `{name}`");
            let hint = "apply without --locked writes it: commit it with the manifest";
            return Err(Stop::failed(message, Some(hint.into())));
        }
    };
    match faults.is_empty() {
        true => Ok(()),
        false => Err(document.wrong(faults, Exit::Failed)),
    }
}

/// The stages that a command line wants run again.
pub(super) fn again(again: &args::Again, pipeline: &Pipeline) -> Result<Vec<String>, Stop> {
    let stages = &pipeline.manifest.stages;
    if let Some(unknown) = again.refresh.iter().find(|stage| !stages.contains_key(*stage)) {
        return Err(prose::no_stage(unknown, stages.keys()));
    }
    match again.no_cache {
        true => Ok(stages.keys().cloned().collect()),
        false => Ok(again.refresh.clone()),
    }
}

/// What applying would do now. A home that does not exist is not begun for it.
pub(super) fn planned(
    place: &Place,
    pipeline: &Pipeline,
    again: &[String],
) -> Result<Planned, Stop> {
    let workers = cores();
    let planned = match place.is_begun() {
        true => place.look(workers).and_then(|site| {
            let last = Base::of(&site, pipeline);
            Ok(Planned { forecast: site.forecast_again(pipeline, again)?, workers, last })
        }),
        false => apply::outlook_of_nothing(pipeline, workers).map(|forecast| Planned {
            forecast,
            workers,
            last: Base::default(),
        }),
    };
    planned.map_err(|error| stop(&error))
}

/// An error of applying, with its exit code and advice.
pub(super) fn stop(error: &ApplyError) -> Stop {
    match error {
        ApplyError::Boot(error) => home::stop(error),
        ApplyError::Budget { .. }
        | ApplyError::Balance { .. }
        | ApplyError::Uncovered { .. }
        | ApplyError::Priceless => Stop::because(Exit::Unpaid, error),
        other => Stop::because(Exit::Failed, other),
    }
}

/// What a manifest says and hardly means, and what its author should know before he pays.
pub(super) fn warnings(pipeline: &Pipeline, forecast: &Forecast) -> Vec<Diagnostic> {
    let told = forecast.warnings(&pipeline.manifest, &pipeline.plan);
    let told = told.into_iter().map(|told| Diagnostic { severity: Severity::Warning, ..told });
    pipeline.warnings.iter().cloned().chain(told).collect()
}

/// Says what does not keep anything from being run.
pub(super) fn warn(
    document: &Document,
    warnings: Vec<Diagnostic>,
    context: &mut Context,
) -> Result<(), Stop> {
    if warnings.is_empty() {
        return Ok(());
    }
    context.screen.flush()?;
    let (path, warnings) = (document.path.display().to_string(), document.placed(warnings));
    let colour = context.screen.paint_errors.0;
    let text = diagnostics::text(&path, document.whole(), &warnings, colour);
    Ok(io::stderr().write_all(text.as_bytes())?)
}

/// Shows a plan.
pub(super) fn show(
    pipeline: &Pipeline,
    planned: &Planned,
    format: Format,
    context: &mut Context,
) -> Result<(), Stop> {
    let (name, plan, screen) = (&pipeline.manifest.name, &pipeline.plan, &mut context.screen);
    let (forecast, budget) = (&planned.forecast, pipeline.manifest.budget);
    let changes = pipeline.changes.as_deref().unwrap_or_default();
    match format {
        Format::Json | Format::Yaml => {
            let mut object = json::plan(name, plan, forecast, budget);
            if let Some(object) = object.as_object_mut() {
                object.insert("sourceChanges".to_owned(), sources::data(changes));
            }
            screen.data(&object, format)?;
        }
        Format::Name => {
            for job in &plan.dag.jobs {
                screen.line(job)?;
            }
        }
        Format::Table | Format::Wide => {
            let (paint, width) = (screen.paint, screen.width);
            screen.text(sources::lines(changes, paint))?;
            screen.text(quotation::stages(plan, forecast, paint))?;
            if format == Format::Wide {
                screen.line("")?;
                screen.text(prose::plan_jobs(plan, forecast, paint, width))?;
            }
            screen.text(quotation::reasons(plan, forecast, paint, width))?;
            screen.line("")?;
            screen.text(prose::plan_summary(name, plan, forecast, paint))?;
            screen.text(prose::plan_outlook(plan, forecast, planned.workers, budget))?;
        }
    }
    Ok(())
}
