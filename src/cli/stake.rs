//! `ohc stake`: what validators have at stake. Decides nothing: the rules say when it counts, and
//! when it is free.

use super::Context;
use super::args::{StakeVerb, Staked};
use super::consent;
use super::exit::{Exit, Stop};
use super::home::{self, Place};
use super::names::Names;
use super::report::json;
use super::report::sheet::{Sheet, numbers, words};
use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::domain::command::Command;
use crate::domain::state::State;
use crate::node::link;
use serde_json::{Value, json};

pub(super) fn stake(verb: &StakeVerb, context: &mut Context) -> Result<Exit, Stop> {
    match verb {
        StakeVerb::Bond(staked) => change(staked, Change::Bond, context),
        StakeVerb::Unbond(staked) => change(staked, Change::Unbond, context),
        StakeVerb::Status { output } => {
            let home = home::here(context)?;
            let (view, names) = home::open(&home)?;
            context.screen.sheet(sheet(&view.state, &names), output.format)?;
            Ok(Exit::Done)
        }
    }
}

#[derive(Clone, Copy)]
enum Change {
    Bond,
    Unbond,
}

impl Change {
    const fn word(self) -> &'static str {
        match self {
            Self::Bond => "bond",
            Self::Unbond => "unbond",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Bond => "it counts",
            Self::Unbond => "it counts no more",
        }
    }

    const fn command(self, amount: Ohc) -> Command {
        match self {
            Self::Bond => Command::Bond { amount },
            Self::Unbond => Command::Unbond { amount },
        }
    }
}

/// Has a stake changed, once somebody has agreed to it.
fn change(staked: &Staked, change: Change, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let file = match (&staked.key, home.payer()) {
        (Some(file), _) => file.clone(),
        (None, Some(file)) => file.to_owned(),
        (None, None) => return Err(nobody(&home)),
    };
    let key = link::key(&file).map_err(|error| Stop::because(Exit::Failed, &error))?.public();
    let (amount, word) = (staked.amount, change.word());
    if !staked.yes {
        let question = format!("{word} {amount} OhC of {}?", key.short());
        match consent::ask(&question)? {
            Some(true) => {}
            Some(false) => return Err(consent::declined()),
            None => {
                return Err(Stop::Error {
                    exit: Exit::Usage,
                    message: format!("nobody is there to ask whether to {word} this"),
                    hint: Some("--yes does it without asking".into()),
                });
            }
        }
    }
    let site = home.open(1).map_err(|error| super::plan::stop(&error))?;
    let done = site.order(&file, change.command(amount));
    let (height, state) = done.map_err(|error| super::plan::stop(&error))?;
    let height = height.map_err(|reject| {
        Stop::failed(format!("the network refuses to {word} {amount} OhC: {reject}"), None)
    })?;
    let (format, screen) = (staked.output.format, &mut context.screen);
    if format.is_data() {
        let fields = json!({"verb": word, "amount": json::ohc(amount), "slot": height.0,
            "key": key.to_string(), "stake": item(&state, &key)});
        screen.data(&json::object("Stake", fields), format)?;
        return Ok(Exit::Done);
    }
    let when = state.set_changes_at().map(|at| seconds(&state, at.since(state.tick())));
    let what = change.meaning();
    let when = when.map(|when| format!("; {what} in about {when} s")).unwrap_or_default();
    screen.line(format!("{word} {amount} OhC: in slot {height}{when}"))?;
    Ok(Exit::Done)
}

fn nobody(home: &Place) -> Stop {
    let hint = match home.is_embedded() {
        true => "the embedded network has one validator for ever; --network names another",
        false => "--key FILE names the key whose stake it is",
    };
    Stop::Error {
        exit: Exit::Usage,
        message: "there is no key whose stake could change".into(),
        hint: Some(hint.into()),
    }
}

fn seconds(state: &State, ticks: u64) -> u64 {
    ticks / state.params().ticks_per_second.max(1)
}

fn item(state: &State, key: &PublicKey) -> Value {
    let stake = state.stake_of(key);
    let locks = stake.unbonding.iter().map(|(until, amount)| {
        let seconds = seconds(state, until.since(state.tick()));
        json!({"amount": json::ohc(*amount), "freeInSeconds": seconds})
    });
    json!({"counts": json::ohc(stake.counts), "stake": json::ohc(stake.stake),
        "pending": json::ohc(stake.pending), "leaving": json::ohc(stake.leaving),
        "unbonding": locks.collect::<Vec<_>>(), "jailed": stake.is_jailed})
}

fn sheet(state: &State, names: &Names) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for key in state.stakers() {
        let stake = state.stake_of(&key);
        let locked = Ohc::sum(stake.unbonding.iter().map(|(_, amount)| *amount));
        rows.push(vec![
            names.of(&key),
            stake.counts.to_string(),
            stake.pending.to_string(),
            stake.leaving.to_string(),
            locked.unwrap_or_default().to_string(),
            if stake.is_jailed { "jailed" } else { "" }.to_owned(),
        ]);
        let mut fields = item(state, &key);
        if let Value::Object(fields) = &mut fields {
            fields.insert("name".into(), json!(names.of(&key)));
            fields.insert("key".into(), json!(key.to_string()));
        }
        items.push(fields);
    }
    let next = state.set_changes_at().map(|at| seconds(state, at.since(state.tick())));
    let columns = vec![
        words("NAME"),
        numbers("COUNTS"),
        numbers("PENDING"),
        numbers("LEAVING"),
        numbers("LOCKED"),
        words("STATE"),
    ];
    let fields = json!({"nextBoundaryInSeconds": next});
    Sheet { kind: "StakeList", columns, rows, items, fields, none: "nothing is at stake" }
}
