//! `ohc diff`: what differs from the last version of a pipeline that was applied, and what that
//! does to its price. Changes nothing, and begins no home.

use super::Context;
use super::args::{Diff, Format};
use super::documents;
use super::exit::{Exit, Stop};
use super::home;
use super::plan::{self, stop};
use super::report::{json, prose};
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::domain::manifest::Manifest;
use crate::domain::plan::Plan;
use crate::domain::revision::{Difference, Revision, differences};
use crate::node::apply::{self, Applied, Site};
use crate::node::pipeline::Pipeline;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// The variable that names another program to show the difference with.
const EXTERNAL: &str = "OHC_EXTERNAL_DIFF";

/// Everything but "same" and "differs" is 2 here, as `diff` does; a wrong command line is 64.
pub(super) fn diff(args: &Diff, context: &mut Context) -> Result<Exit, Stop> {
    compare(args, context).map_err(|stop| match stop {
        Stop::Error { exit: Exit::Usage, .. } => stop,
        other => other.with(Exit::Unknown),
    })
}

/// The version that was applied last.
struct Last {
    /// The run, and how it is or ended, in one word.
    run: Option<(RunId, &'static str)>,
    pipeline: Pipeline,
    /// What all of it would likely cost if nothing were known.
    price: Ohc,
}

fn compare(args: &Diff, context: &mut Context) -> Result<Exit, Stop> {
    let document = documents::read_one(&args.manifest)?;
    let home = home::beside(context, &document.path)?;
    let keep = home.is_begun().then_some(&*home);
    let pipeline = plan::prepare(&document, documents::params(&args.params)?, keep)?;
    if args.lock.locked {
        plan::check_lock(&document, &pipeline)?;
    }
    let cores = home::cores();
    let (last, price) = match home.is_begun() {
        true => {
            let site = home.look(cores).map_err(|error| stop(&error))?;
            let price = site.list_price(&pipeline).map_err(|error| stop(&error))?;
            (last(&site, &pipeline)?, price.likely)
        }
        false => {
            let forecast = apply::outlook_of_nothing(&pipeline, cores);
            (None, forecast.map_err(|error| stop(&error))?.quote.likely)
        }
    };
    let found = match &last {
        Some(last) => differences(&revision(&last.pipeline), &revision(&pipeline)),
        None => added(&pipeline),
    };
    let exit = if found.is_empty() { Exit::Done } else { Exit::Differs };
    match (args.output.format, std::env::var(EXTERNAL)) {
        (Format::Table | Format::Wide, Ok(program)) if !program.trim().is_empty() => {
            let was = last.as_ref().map_or("", |last| last.pipeline.text.as_str());
            context.screen.flush()?;
            external(&program, was, &pipeline.text)?;
        }
        (format, _) => show(&pipeline, last.as_ref(), &found, price, format, context)?,
    }
    Ok(exit)
}

fn revision(pipeline: &Pipeline) -> Revision<'_> {
    let Pipeline { manifest, plan, params, pins, .. } = pipeline;
    Revision { manifest, plan, params, pins }
}

/// All of a pipeline, as what is new in it.
fn added(pipeline: &Pipeline) -> Vec<Difference> {
    let plan = Plan::default();
    let manifest = Manifest { budget: None, ..pipeline.manifest.clone() };
    let params = BTreeMap::new();
    let nothing = Revision { manifest: &manifest, plan: &plan, params: &params, pins: &[] };
    differences(&nothing, &revision(pipeline))
}

fn last(site: &Site, pipeline: &Pipeline) -> Result<Option<Last>, Stop> {
    let applied = site.applied(pipeline).map_err(|error| home::stop(&error))?;
    let Some(Applied { run, submission }) = applied else { return Ok(None) };
    let run = run.and_then(|id| site.view().state.runs().get(&id));
    let run = run.map(|run| (run.id, json::status(&run.status)));
    // It was compiled once by the rules themselves.
    let name = &pipeline.manifest.name;
    let unreadable = |_| Stop::failed(prose::compared(name, Some(run), true), None);
    let pipeline = Pipeline::submitted(&submission).map_err(unreadable)?;
    let price = site.list_price(&pipeline).map_err(|error| stop(&error))?.likely;
    Ok(Some(Last { run, pipeline, price }))
}

fn show(
    pipeline: &Pipeline,
    last: Option<&Last>,
    found: &[Difference],
    price: Ohc,
    format: Format,
    context: &mut Context,
) -> Result<(), Stop> {
    let (name, screen) = (&pipeline.manifest.name, &mut context.screen);
    let (run, was) = (last.map(|last| last.run), last.map(|last| last.price));
    match format {
        Format::Json | Format::Yaml => {
            let all: Vec<Value> = found.iter().map(json::difference).collect();
            let fields = json!({
                "pipeline": name, "run": run.flatten().map(|(run, _)| run.to_string()),
                "status": run.flatten().map(|(_, status)| status),
                "same": found.is_empty(), "differences": all,
                "price": {"was": was.map(json::ohc), "is": json::ohc(price)},
            });
            screen.data(&json::object("Diff", fields), format)?;
        }
        Format::Name => {
            for difference in found {
                if let Difference::Stage(change, _) = difference {
                    screen.line(&change.name)?;
                }
            }
        }
        Format::Table | Format::Wide => {
            screen.line(prose::compared(name, run, !found.is_empty()))?;
            for difference in found {
                screen.line(prose::difference(difference))?;
            }
            if !found.is_empty() {
                screen.line(prose::prices(was, price))?;
            }
        }
    }
    Ok(())
}

/// Has another program show both manifests; what it exits with is its own affair.
fn external(program: &str, was: &str, is: &str) -> Result<(), Stop> {
    let folder = std::env::temp_dir().join(format!("ohc-diff-{}", std::process::id()));
    let failed = |error: std::io::Error| prose::no_external(program, &error);
    let (before, after) = (folder.join("applied.yaml"), folder.join("now.yaml"));
    let mut words = program.split_whitespace();
    let ran = std::fs::create_dir(&folder).and_then(|()| {
        std::fs::write(&before, was)?;
        std::fs::write(&after, is)?;
        let name = PathBuf::from(words.next().unwrap_or_default());
        Command::new(name).args(words).args([&before, &after]).status()
    });
    // What stays is the system's to clean: it is a temporary folder.
    let _ = std::fs::remove_dir_all(&folder);
    ran.map(drop).map_err(failed)
}
