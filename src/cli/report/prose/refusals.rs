//! Why a command does not do what it was asked, in words, with what to do about it.
//! Never decides that it does not.

use super::count;
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::cli::exit::{Exit, Stop};
use crate::cli::report::escape;
use crate::domain::event::{Ending, Pause};
use crate::domain::manifest::suggest;
use crate::domain::state::run::{Failure, Run, Status};
use crate::node::embedded::Stopped;
use crate::node::saved::Stale;
use std::collections::BTreeSet;
use std::path::Path;

fn stop(exit: Exit, message: String, hint: &str) -> Stop {
    Stop::Error { exit, message, hint: Some(hint.to_owned()) }
}

/// A file that was to hold one pipeline.
pub(crate) fn several(path: &Path, found: usize) -> Stop {
    let message = format!("{}: one pipeline is needed here, not {found}", path.display());
    stop(Exit::Usage, message, "name a file with one document")
}

/// A folder where one pipeline is needed.
pub(crate) fn not_a_folder(path: &Path) -> Stop {
    let message = format!("{} is a folder: one pipeline is needed here", path.display());
    stop(Exit::Usage, message, "name one of its files")
}

/// A folder without a pipeline.
pub(crate) fn no_pipeline(folder: &Path) -> Stop {
    let message = format!("there is no pipeline in the folder {}", folder.display());
    let hint = "its manifests are files *.yaml or *.yml with `kind: Pipeline`; folders in it are \
                not looked into";
    stop(Exit::Failed, message, hint)
}

/// `--detach` where the network is this process.
pub(crate) fn no_network() -> Stop {
    let message = "there is no network to leave the run to: an embedded one ends with this process";
    let hint = "apply without --detach; others can look and cancel meanwhile";
    stop(Exit::Usage, message.to_owned(), hint)
}

/// A plan with something that would make it another plan.
pub(crate) fn plan_is_fixed(path: &Path) -> Stop {
    let message =
        format!("{} is a saved plan: its parameters and stages are in it", path.display());
    stop(Exit::Usage, message, "save another plan with other parameters")
}

/// A plan that is not what would be done any more.
pub(crate) fn stale(path: &Path, stale: &[Stale]) -> Stop {
    let each = stale.iter().map(|stale| match stale {
        Stale::Source(name) => format!("source `{name}` has changed"),
        Stale::Applied(run) => format!("the pipeline was applied ({run})"),
        Stale::More(jobs) => format!("{} would be run that were not to be", count(*jobs, "job")),
        Stale::Fewer(jobs) => format!("{} would not be run that were to be", count(*jobs, "job")),
        Stale::Dearer { was, is } => format!("it would cost up to {is} OhC, not {was}"),
    });
    let changes: Vec<String> = each.collect();
    let message = format!("{} is out of date: {}", path.display(), changes.join("; "));
    stop(
        Exit::Failed,
        message,
        "look at it again and save it again: `ohc plan MANIFEST --out FILE`",
    )
}

/// Nobody has said what may be spent, and nobody can be asked.
pub(crate) fn no_budget(quote: Ohc) -> Stop {
    let message = format!("no budget is set, and up to {quote} OhC would be spent");
    let hint = "set --budget OHC or `budget.total` in the manifest; -y spends up to that";
    stop(Exit::Usage, message, hint)
}

/// Nobody said that money may go to others.
pub(crate) fn no_consent(budget: Ohc) -> Stop {
    let message = format!("up to {budget} OhC would be spent on the network");
    stop(Exit::Usage, message, "say so with -y, or set --budget OHC")
}

/// A stage that the manifest does not have.
pub(crate) fn no_stage<'a>(stage: &str, stages: impl Iterator<Item = &'a String> + Clone) -> Stop {
    let message = format!("there is no stage `{stage}`");
    let hint = suggest(stage, stages.map(String::as_str));
    Stop::Error { exit: Exit::Failed, message, hint }
}

/// A stage of which the journal of a run that is over says nothing.
pub(crate) fn untold(run: RunId, stage: &str, told: &BTreeSet<String>) -> Stop {
    let message = format!("nothing in {run} is about `{stage}`");
    let hint = suggest(stage, told.iter().map(String::as_str));
    Stop::Error { exit: Exit::Failed, message, hint }
}

/// A job is known to fail.
pub(crate) fn sure_failure(job: &str, failure: &Failure) -> Stop {
    let (said, hint) = (known_failure(job, failure), escape::one_line(&failure.hint));
    Stop::failed(format!("{said}; nothing was run"), Some(hint))
}

/// A failure that is known: the same work fails in the same way.
pub(crate) fn known_failure(job: &str, failure: &Failure) -> String {
    format!("{job} fails as it did before: {}", escape::one_line(&failure.message))
}

/// A run that is not in the log.
pub(crate) fn no_run(run: RunId) -> Stop {
    let message = format!("there is no {run} in this log");
    stop(Exit::Failed, message, "`ohc get runs` lists them")
}

/// A run that is over.
pub(crate) fn is_over(run: &Run, status: &str) -> Stop {
    let message = format!("{} ({}) is over: it is {status}", run.id, run.name);
    let is_settled = matches!(run.status, Status::Ended { ending: Ending::Settled, .. });
    let hint = "`ohc resume` runs what of it was not settled";
    let hint = (!is_settled).then(|| hint.to_owned());
    Stop::Error { exit: Exit::Failed, message, hint }
}

/// A run that goes on already.
pub(crate) fn is_running(run: &Run) -> Stop {
    let message = format!("{} ({}) is running", run.id, run.name);
    stop(Exit::Failed, message, "`ohc pause` lets it stand still, `ohc cancel` ends it")
}

/// A budget that was to be raised, and is not.
pub(crate) fn no_raise(run: &Run, asked: Ohc) -> Stop {
    let message = format!("{} has a budget of {} OhC, more than {asked}", run.id, run.budget);
    stop(Exit::Usage, message, "write +OHC to add to it")
}

/// A program that was to show a difference.
pub(crate) fn no_external(program: &str, error: &std::io::Error) -> Stop {
    let message = format!("cannot run `{program}`: {error}");
    stop(Exit::Failed, message, "OHC_EXTERNAL_DIFF names a program such as `diff -u`")
}

/// A budget beyond all there is.
pub(crate) fn too_much() -> Stop {
    stop(Exit::Usage, "that is more than all the OhC there are".to_owned(), "ask for less")
}

/// A home that others open and leave while it is asked for.
pub(crate) fn busy_home() -> Stop {
    let message = "another ohc is at work in this home".to_owned();
    stop(Exit::Failed, message, "try again when it is done")
}

/// A run that was left before its end, and what becomes of it.
pub(crate) fn left(why: Stopped, run: Option<RunId>, is_embedded: bool) -> (String, String) {
    let how = match why {
        Stopped::Interrupted => "interrupted",
        Stopped::TimedOut => "timed out",
    };
    match run {
        Some(run) if !is_embedded => (
            format!("{how}: {run} goes on without us"),
            format!("apply again to follow it, `ohc cancel {run}` ends it"),
        ),
        None if !is_embedded => {
            (how.to_owned(), "what was sent may still begin: apply again to follow it".to_owned())
        }
        Some(run) => (
            format!("{how}: {run} is not over"),
            format!("apply again to go on, `ohc cancel {run}` gives back what is not spent"),
        ),
        None => (how.to_owned(), "nothing was begun; apply again".to_owned()),
    }
}

/// A run that was cancelled.
pub(crate) fn cancelled(run: &Run) -> (String, Option<String>) {
    let hint = "apply again to go on from what is settled".to_owned();
    (format!("{} was cancelled", run.id), Some(hint))
}

/// Why a run stands still, in a few words.
pub(super) fn pause(why: &Pause) -> String {
    match why {
        Pause::NoBids => "nobody bids for a block".to_owned(),
        Pause::Budget => "its budget does not cover the next block".to_owned(),
        Pause::StageBudget { stage } => format!("the budget of {stage} is used up"),
        Pause::Client => "as its client asked".to_owned(),
    }
}

/// A run that stands still, and what it needs to go on.
pub(crate) fn stands_still(run: &Run, why: &Pause) -> (String, Option<String>) {
    let id = run.id;
    let (message, hint) = match why {
        Pause::NoBids => (
            format!("{id} found no bids"),
            "no worker bids, not at the highest price either: add workers".to_owned(),
        ),
        Pause::Budget => (
            format!("the budget of {} OhC does not cover the next block", run.budget),
            format!("`ohc resume {id} --budget OHC` goes on: what is settled is not paid again"),
        ),
        Pause::StageBudget { stage } => (
            format!("the budget of stage `{stage}` does not cover its next block"),
            "raise the budget of the stage and apply again: what is settled is not paid again"
                .to_owned(),
        ),
        Pause::Client => (format!("{id} was paused"), format!("`ohc resume {id}` goes on")),
    };
    (message, Some(hint))
}
