//! Subjects: what a verb is about, from what people call it. Never guesses: a name that fits
//! nothing, or more than one thing, is said to.

use super::args::RunName;
use super::exit::Stop;
use super::names::Names;
use crate::base::ids::{BlockId, JobId, RunId};
use crate::base::keys::PublicKey;
use crate::domain::state::State;
use crate::domain::state::run::Run;
use std::collections::BTreeSet;

/// Hex digits of a key that are enough to name it.
const KEY_DIGITS_MIN: usize = 6;
/// Names that a hint lists.
const LISTED_MAX: usize = 6;

/// What a verb is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// `run-1`, or `latest`
    Run(RunId),
    /// `run-1/3`
    Block(BlockId),
    /// `run-1/train@width=16`; of the latest run also `train@width=16`
    Job(RunId, JobId),
    /// `client`, `worker-1`, or the first digits of a key
    Account(PublicKey),
}

const FORMS: &str = "a run (run-1, latest), a block (run-1/3), a job (train@width=16, \
                     run-1/train@width=16) or an account (client, worker-1, a key)";

/// What a text names.
pub(super) fn find(text: &str, state: &State, names: &Names) -> Result<Subject, Stop> {
    let (head, rest) = match text.split_once('/') {
        Some((head, rest)) => (head, Some(rest)),
        None => (text, None),
    };
    if let Ok(name) = head.parse::<RunName>() {
        let found = run(name, state);
        return match rest {
            None => Ok(Subject::Run(found?.id)),
            Some(rest) => in_run(rest, found?),
        };
    }
    let account = accounts(text, state, names);
    // The last run may be of another pipeline.
    let latest = state.runs().values().rev().find(|run| !jobs(text, run).is_empty());
    match (account.as_slice(), latest) {
        ([], None) => Err(unknown(text)),
        ([], Some(run)) => in_run(text, run),
        (_, None) => self::account(text, state, names).map(Subject::Account),
        (_, Some(run)) => {
            let hint = format!("write {}/{text} for the job, or digits of the key", run.id);
            let message = format!("`{text}` is a job of {} and an account", run.id);
            Err(Stop::failed(message, Some(hint)))
        }
    }
}

/// The run of a name.
pub(super) fn run(name: RunName, state: &State) -> Result<&Run, Stop> {
    let (found, called) = match name {
        RunName::Latest => (state.runs().values().next_back(), "run".to_owned()),
        RunName::Run(id) => (state.runs().get(&id), id.to_string()),
    };
    found.ok_or_else(|| {
        let hint = "`ohc get runs` lists them".to_owned();
        Stop::failed(format!("there is no {called} in this log"), Some(hint))
    })
}

/// The account of a name, or of the first digits of its key.
pub(super) fn account(text: &str, state: &State, names: &Names) -> Result<PublicKey, Stop> {
    match accounts(text, state, names).as_slice() {
        [key] => Ok(*key),
        [] => {
            let hint = "`ohc get accounts` lists them".to_owned();
            Err(Stop::failed(format!("there is no account `{text}`"), Some(hint)))
        }
        several => {
            let message = format!("{} keys begin with {text}", several.len());
            Err(Stop::failed(message, Some("write more digits".into())))
        }
    }
}

fn accounts(text: &str, state: &State, names: &Names) -> Vec<PublicKey> {
    let named = names.iter().find(|(_, name)| *name == text);
    if let Some((key, _)) = named {
        return vec![*key];
    }
    let is_key = text.len() >= KEY_DIGITS_MIN && text.chars().all(|c| c.is_ascii_hexdigit());
    let keys = state.ledger().accounts().map(|(key, _)| *key);
    let keys: BTreeSet<PublicKey> = keys.chain(names.iter().map(|(key, _)| *key)).collect();
    let digits = text.to_ascii_lowercase();
    keys.into_iter().filter(|key| is_key && key.to_string().starts_with(&digits)).collect()
}

fn in_run(text: &str, run: &Run) -> Result<Subject, Stop> {
    // `run-1/3#1` is an attempt at block 3.
    let index = text.split_once('#').map_or(text, |(index, _)| index);
    if let Ok(index) = index.parse::<u32>() {
        let Some(_) = run.block(index) else {
            let (id, hint) = (run.id, format!("`ohc get blocks {}` lists them", run.id));
            return Err(Stop::failed(format!("{id} has no block {index}"), Some(hint)));
        };
        return Ok(Subject::Block(run.block_id(index)));
    }
    match jobs(text, run).as_slice() {
        [job] => Ok(Subject::Job(run.id, *job)),
        [] => {
            let hint = format!("`ohc get jobs {}` lists them", run.id);
            Err(Stop::failed(format!("{} has no job `{text}`", run.id), Some(hint)))
        }
        several => {
            let address = |id: &JobId| run.plan.job(*id).map(ToString::to_string);
            let first: Vec<String> = several.iter().filter_map(address).take(LISTED_MAX).collect();
            let more = if several.len() > LISTED_MAX { ", …" } else { "" };
            let message = format!("`{text}` has {} jobs in {}", several.len(), run.id);
            let hint = format!("name one of them: {}{more}", first.join(", "));
            Err(Stop::failed(message, Some(hint)))
        }
    }
}

/// The job of an address, or all jobs of a stage.
fn jobs(text: &str, run: &Run) -> Vec<JobId> {
    let all = || (0u32..).map(JobId).zip(&run.plan.dag.jobs);
    match all().find(|(_, job)| job.to_string() == text) {
        Some((id, _)) => vec![id],
        None => all().filter(|(_, job)| job.stage == text).map(|(id, _)| id).collect(),
    }
}

fn unknown(text: &str) -> Stop {
    let message = format!("nothing here is called `{text}`");
    Stop::failed(message, Some(format!("name {FORMS}")))
}
