//! `ohc wallet`: the keys of a home, and its client's money. Shows public keys only.

use super::Context;
use super::args::{Format, WalletVerb};
use super::exit::{Exit, Stop};
use super::home;
use super::report::json;
use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::domain::ledger::{Hold, Ledger};
use serde_json::{Value, json};

/// What an account has pending: in escrow for its runs, and as bonds of its leases.
pub(super) fn pending(ledger: &Ledger, key: &PublicKey) -> (Ohc, Ohc) {
    let of = |is: fn(&Hold) -> bool| {
        let held = ledger.holds().filter(|(hold, _)| is(hold) && ledger.owner(*hold) == Some(*key));
        Ohc::sum(held.map(|(_, amount)| amount)).unwrap_or_default()
    };
    (of(|hold| !matches!(hold, Hold::Bond(_))), of(|hold| matches!(hold, Hold::Bond(_))))
}

pub(super) fn wallet(verb: &WalletVerb, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (booted, names) = home::open(&home)?;
    let screen = &mut context.screen;
    match verb {
        WalletVerb::Show { output } => {
            let file = |name: &str| home.key(name).display().to_string();
            match output {
                Format::Json => {
                    let key = |(key, name): (&PublicKey, &String)| {
                        let (key, file) = (key.to_string(), file(name));
                        json!({"name": name, "key": key, "file": file})
                    };
                    let items: Vec<Value> = names.iter().map(key).collect();
                    screen.json(&json::object("KeyList", json!({"items": items})))?;
                }
                Format::Text => {
                    for (key, name) in names.iter() {
                        screen.line(format!("{name:<10}  {key}  {}", file(name)))?;
                    }
                }
            }
        }
        WalletVerb::Balance { output } => {
            let client = names.iter().find(|(_, name)| *name == "client").map(|(key, _)| *key);
            let client = client.unwrap_or(PublicKey([0; 32]));
            let ledger = booted.state.ledger();
            let balance = ledger.account(&client).balance;
            let (escrow, bond) = pending(ledger, &client);
            match output {
                Format::Json => screen.json(&json::object(
                    "Balance",
                    json!({"name": "client", "key": client.to_string(), "balance":
                        json::ohc(balance), "escrow": json::ohc(escrow), "bond": json::ohc(bond)}),
                ))?,
                Format::Text => {
                    screen.line(format!("{balance} OhC to spend, {escrow} OhC in escrow"))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}
