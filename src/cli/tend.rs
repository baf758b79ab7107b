//! `ohc cancel`, `pause` and `resume`: see to a run that is in the log, whether or not another
//! process is at work on it. Never changes a pipeline.

use super::Context;
use super::apply::{Ready, Todo, Watch, ready};
use super::args::{Format, Raise, Resume, Tended};
use super::exit::{Exit, Stop};
use super::home::{self, Place, cores};
use super::outcome::Show;
use super::plan::stop;
use super::report::bill::Bill;
use super::report::{Screen, json, prose};
use super::signals::Signals;
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::domain::state::State;
use crate::domain::state::run::{Run, Status};
use crate::node::Clock;
use crate::node::apply::{Hooks, Site};
use crate::node::attach::{AttachError, Errand};
use crate::node::embedded::{Handle, Happening};
use crate::node::pipeline::{Pipeline, PrepareError};
use crate::node::view::Followed;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The process that has a home open may end while it is spoken to: then it is ours, or another's.
const TRIES: u32 = 3;
/// How long a follower waits at a time.
const FOLLOW: Duration = Duration::from_millis(500);

/// Ends a run: what is delivered is settled, the rest is refunded.
pub(super) fn cancel(args: &Tended, context: &mut Context) -> Result<Exit, Stop> {
    let done = |run: &Run| run.is_over();
    tend(args, &Errand::Cancel { run: args.run }, &done, context)
}

/// Lets a run stand still: what is leased is settled, nothing else is begun.
pub(super) fn pause(args: &Tended, context: &mut Context) -> Result<Exit, Stop> {
    let stands = |run: &Run| matches!(run.status, Status::Paused(_)) && run.blocks_live.is_empty();
    let done = |run: &Run| run.is_over() || stands(run);
    tend(args, &Errand::Pause { run: args.run }, &done, context)
}

/// Has something done about a run, and waits until it is.
fn tend(
    args: &Tended,
    errand: &Errand,
    done: &dyn Fn(&Run) -> bool,
    context: &mut Context,
) -> Result<Exit, Stop> {
    let show = Show { output: args.output.format, clock: Clock::start() };
    let signals = Signals::start(context.quit);
    let watch = Watch { show, timeout: None, signals, is_detached: false };
    let home = home::here(context)?;
    let mut was_asked = false;
    for _ in 0..TRIES {
        let mut site = home.open_or_look(cores()).map_err(|error| stop(&error))?;
        let run = run_of(&site.view().state, args.run)?;
        if done(run) {
            return match was_asked || !run.is_over() {
                true => tended(run, show, &mut context.screen),
                false => Err(prose::is_over(run, json::status(&run.status))),
            };
        }
        if !site.view().is_attached() {
            let mut begun = |network: Handle, runtime: &Runtime| watch.begun(network, runtime);
            let mut ignore = |_: Happening<'_>| {};
            let hooks = Hooks { begun: &mut begun, watch: &mut ignore, is_detached: false };
            let finished = site.tend(args.run, errand, hooks).map_err(|error| stop(&error))?;
            return match finished.stopped {
                Some(why) => {
                    let (message, hint) = prose::left(why, Some(args.run), finished.is_embedded);
                    Err(Stop::Error { exit: Exit::Interrupted, message, hint: Some(hint) })
                }
                None => tended(run_of(&finished.state, args.run)?, show, &mut context.screen),
            };
        }
        match ask(&mut site, errand) {
            Ok(()) => {
                was_asked = true;
                waiting(run_of(&site.view().state, args.run)?, show)?;
            }
            // It went meanwhile, or is about to: the next look shows what is to be done. It may
            // have heard what we asked before it went.
            Err(error @ (AttachError::Line(_) | AttachError::Idle)) => {
                was_asked = was_asked || matches!(error, AttachError::Line(_));
                std::thread::sleep(FOLLOW);
                continue;
            }
            Err(error) => return Err(Stop::because(Exit::Failed, &error)),
        }
        if follow(&mut site, args.run, done)? {
            return tended(run_of(&site.view().state, args.run)?, show, &mut context.screen);
        }
    }
    Err(prose::busy_home())
}

fn run_of(state: &State, id: RunId) -> Result<&Run, Stop> {
    state.runs().get(&id).ok_or_else(|| prose::no_run(id))
}

fn ask(site: &mut Site, errand: &Errand) -> Result<(), AttachError> {
    match site.view_mut().peer() {
        Some(peer) => peer.errand(errand.clone()).map(drop),
        None => Err(AttachError::Idle),
    }
}

/// Says what is waited for, where somebody waits.
fn waiting(run: &Run, show: Show) -> Result<(), Stop> {
    match show.output {
        Format::Table | Format::Wide => Ok(writeln!(io::stderr(), "{}", prose::waiting(run))?),
        Format::Json | Format::Yaml | Format::Name => Ok(()),
    }
}

/// Follows the log until a run is as it should be; false if the log ends before.
fn follow(site: &mut Site, run: RunId, done: &dyn Fn(&Run) -> bool) -> Result<bool, Stop> {
    loop {
        if done(run_of(&site.view().state, run)?) {
            return Ok(true);
        }
        match site.view_mut().follow(FOLLOW).map_err(|error| home::stop(&error))? {
            Followed::Slot(_) | Followed::Nothing => {}
            Followed::Over => return Ok(false),
        }
    }
}

/// Says how a run is now.
fn tended(run: &Run, show: Show, screen: &mut Screen) -> Result<Exit, Stop> {
    let bill = Bill::of(run);
    let status = json::status(&run.status);
    match show.output {
        Format::Name => screen.line(run.id)?,
        Format::Table | Format::Wide => {
            screen.text(prose::bill(&bill, screen.paint))?;
            screen.line(format!("{} ({}): {status}", run.id, run.name))?;
        }
        Format::Json | Format::Yaml => {
            let result = json::Result {
                run: Some(run.id.to_string()),
                pipeline: Some(&run.name),
                status,
                bill: &bill,
                outputs: &[],
                metrics: serde_json::json!({}),
                seconds: show.clock.seconds(),
                error: None,
            };
            screen.data(&json::result(&result), show.output)?;
        }
    }
    Ok(Exit::Done)
}

/// Lets a run go on: one that stands still or was left is followed to its end; what of one that is
/// over has no settled result, or is to be run again, is run in a new one.
pub(super) fn resume(args: &Resume, context: &mut Context) -> Result<Exit, Stop> {
    let show = Show { output: args.output.format, clock: Clock::start() };
    let signals = Signals::start(context.quit);
    let watch = Watch { show, timeout: None, signals, is_detached: false };
    let home = home::here(context)?;
    let mut site = home.open_or_look(cores()).map_err(|error| stop(&error))?;
    let run = run_of(&site.view().state, args.run)?.clone();
    let budget = raised(&run, args.budget)?;
    let errand = match (&run.status, &args.from) {
        (Status::Paused(_), None) => {
            let added = budget.checked_sub(run.budget).unwrap_or_default();
            Some(Errand::Resume { run: run.id, added })
        }
        _ => None,
    };
    if site.view().is_attached() {
        let Some(errand) = errand else { return Err(busy(&run, home)) };
        ask(&mut site, &errand).map_err(|error| Stop::because(Exit::Failed, &error))?;
        context.screen.line(prose::goes_on_elsewhere(&run))?;
        return Ok(Exit::Done);
    }
    let submission = site.view().submission(&run).map_err(|error| home::stop(&error))?;
    let pipeline = Pipeline::submitted(&submission).map_err(|error| unreadable(&run, error))?;
    let again: Vec<String> = args.from.iter().cloned().collect();
    if let Some(unknown) = again.iter().find(|s| !pipeline.manifest.stages.contains_key(*s)) {
        return Err(prose::no_stage(unknown, pipeline.manifest.stages.keys()));
    }
    let forecast = site.forecast_again(&pipeline, &again).map_err(|error| stop(&error))?;
    let folder = site.folder(&run).unwrap_or_else(|| PathBuf::from("."));
    let ready = match (&run.status, again.is_empty()) {
        (Status::Running | Status::Draining(_), true) if args.budget.is_some() => {
            return Err(prose::is_running(&run));
        }
        (Status::Running | Status::Draining(_) | Status::Paused(_), true) => {
            let todo = Todo::GoOn(run.id, errand);
            Ready { site, pipeline: &pipeline, forecast: &forecast, todo, folder: &folder }
        }
        (Status::Ended { .. }, _) | (_, false) => {
            let budget = site.budget(&pipeline, &forecast, Some(budget));
            let budget = budget.map_err(|error| stop(&error));
            ready(site, &pipeline, &forecast, budget, Path::new(&folder))?
        }
    };
    ready.run(&watch, &mut None, context)
}

/// What the budget of a run is to be.
fn raised(run: &Run, raise: Option<Raise>) -> Result<Ohc, Stop> {
    match raise {
        None => Ok(run.budget),
        Some(Raise::To(budget)) if budget < run.budget && !run.is_over() => {
            Err(prose::no_raise(run, budget))
        }
        Some(Raise::To(budget)) => Ok(budget),
        Some(Raise::By(more)) => run.budget.checked_add(more).ok_or_else(prose::too_much),
    }
}

fn busy(run: &Run, home: Place) -> Stop {
    match &run.status {
        Status::Running => prose::is_running(run),
        Status::Ended { .. } => {
            // The refusal of whoever wants the home for himself.
            home.open(cores()).map_or_else(|error| stop(&error), |_| prose::busy_home())
        }
        Status::Draining(_) | Status::Paused(_) => prose::busy_home(),
    }
}

/// What was submitted was compiled once by the rules themselves.
fn unreadable(run: &Run, error: PrepareError) -> Stop {
    match error {
        PrepareError::Wrong { text, faults } => {
            let path = run.id.to_string();
            Stop::Manifest { path, text, faults, exit: Exit::Failed }
        }
        other => Stop::because(Exit::Failed, &other),
    }
}
