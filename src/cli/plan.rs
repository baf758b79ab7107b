//! `ohc plan`: what apply would run, why, and at what price. Changes nothing, and begins no home.

use super::Context;
use super::args::{self, Format};
use super::exit::{Exit, Stop};
use super::home::{self, cores};
use super::report::{json, prose, sources};
use crate::domain::forecast::Forecast;
use crate::domain::manifest::Diagnostic;
use crate::node::apply::{self, ApplyError, Site};
use crate::node::home::Home;
use crate::node::lock::FILE;
use crate::node::pipeline::{self, Pipeline, PrepareError};
use std::path::Path;

pub(super) fn plan(args: args::Plan, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::beside(context, &args.manifest);
    let keep = home.exists().then_some(&home);
    let pipeline = prepare(&args.manifest, args.params, keep)?;
    let forecast = forecast(home, &pipeline)?;
    show(&pipeline, &forecast, args.output.format, context)?;
    match args.detailed_exitcode && !forecast.is_unchanged() {
        true => Ok(Exit::Changes),
        false => Ok(Exit::Done),
    }
}

/// Reads a manifest and its sources, and keeps what they hold in a home.
pub(super) fn prepare(
    path: &Path,
    params: args::Params,
    keep: Option<&Home>,
) -> Result<Pipeline, Stop> {
    let text = pipeline::read(path).map_err(|error| Stop::because(Exit::Failed, &error))?;
    let args::Params { params, locked } = params;
    let prepared = Pipeline::prepare(text, params.into_iter().collect(), home::folder(path), keep);
    let pipeline = prepared.map_err(|error| match error {
        PrepareError::Wrong { text, faults } => wrong(path, text, faults, Exit::Failed),
        other => Stop::because(Exit::Failed, &other),
    })?;
    if locked {
        check_lock(path, &pipeline)?;
    }
    Ok(pipeline)
}

/// Refuses a pipeline whose sources are not what its lock says.
fn check_lock(path: &Path, pipeline: &Pipeline) -> Result<(), Stop> {
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
        false => Err(wrong(path, pipeline.text.clone(), faults, Exit::Failed)),
    }
}

/// Faults of a manifest as an end.
pub(super) fn wrong(path: &Path, text: String, faults: Vec<Diagnostic>, exit: Exit) -> Stop {
    Stop::Manifest { path: path.display().to_string(), text, faults, exit }
}

/// What applying would do now. A home that does not exist is not begun for it.
pub(super) fn forecast(home: Home, pipeline: &Pipeline) -> Result<Forecast, Stop> {
    let forecast = match home.exists() {
        true => Site::look(home, cores()).and_then(|site| site.forecast(pipeline)),
        false => apply::outlook_of_nothing(pipeline, cores()),
    };
    forecast.map_err(|error| stop(&error))
}

/// An error of applying, with its exit code and advice.
pub(super) fn stop(error: &ApplyError) -> Stop {
    match error {
        ApplyError::Boot(error) => home::stop(error),
        ApplyError::Budget { .. } | ApplyError::Balance { .. } | ApplyError::Priceless => {
            Stop::because(Exit::Unpaid, error)
        }
        other => Stop::because(Exit::Failed, other),
    }
}

/// Shows a plan.
pub(super) fn show(
    pipeline: &Pipeline,
    forecast: &Forecast,
    format: Format,
    context: &mut Context,
) -> Result<(), Stop> {
    let (name, plan, screen) = (&pipeline.manifest.name, &pipeline.plan, &mut context.screen);
    let changes = pipeline.changes.as_deref().unwrap_or_default();
    match format {
        Format::Json | Format::Yaml => {
            let mut object = json::plan(name, plan, forecast, pipeline.manifest.budget);
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
            let paint = screen.paint;
            let width = screen.width;
            screen.text(sources::lines(changes, paint))?;
            screen.text(prose::plan_jobs(plan, forecast, paint, width))?;
            screen.text(prose::plan_summary(name, plan, forecast, paint))?;
        }
    }
    Ok(())
}
