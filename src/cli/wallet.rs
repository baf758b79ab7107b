//! `ohc wallet`: the keys of a home, and its client's money. Shows public keys only.

use super::Context;
use super::args::{Format, WalletVerb};
use super::exit::{Exit, Stop};
use super::home;
use super::names::Names;
use super::report::json;
use super::report::sheet::{Sheet, words};
use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::domain::ledger::{Hold, Ledger};
use crate::node::home::Home;
use crate::node::view::View;
use serde_json::json;

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
    let (view, names) = home::open(&home)?;
    match verb {
        WalletVerb::Show { output } => {
            let keys = keys(&home, &names);
            context.screen.sheet(keys, output.format)?;
        }
        WalletVerb::Balance { output } => balance(&view, &names, output.format, context)?,
    }
    Ok(Exit::Done)
}

fn keys(home: &Home, names: &Names) -> Sheet {
    let file = |name: &str| home.key(name).display().to_string();
    let item = |(key, name): (&PublicKey, &String)| {
        let (key, file) = (key.to_string(), file(name));
        json!({"name": name, "key": key, "file": file})
    };
    let row = |(key, name): (&PublicKey, &String)| vec![name.clone(), key.to_string(), file(name)];
    Sheet {
        kind: "KeyList",
        columns: vec![words("name"), words("key"), words("file").wide()],
        rows: names.iter().map(row).collect(),
        items: names.iter().map(item).collect(),
        fields: json!({}),
        none: "this home has no keys",
    }
}

fn balance(view: &View, names: &Names, format: Format, context: &mut Context) -> Result<(), Stop> {
    let client = names.iter().find(|(_, name)| *name == "client").map(|(key, _)| *key);
    let client = client.unwrap_or(PublicKey([0; 32]));
    let ledger = view.state.ledger();
    let balance = ledger.account(&client).balance;
    let (escrow, bond) = pending(ledger, &client);
    let screen = &mut context.screen;
    match format {
        Format::Json | Format::Yaml => {
            let object = json::object(
                "Balance",
                json!({"name": "client", "key": client.to_string(), "balance": json::ohc(balance),
                    "escrow": json::ohc(escrow), "bond": json::ohc(bond)}),
            );
            screen.data(&object, format)?;
        }
        Format::Name => screen.line("client")?,
        Format::Table | Format::Wide => {
            screen.line(format!("{balance} OhC to spend, {escrow} OhC in escrow"))?;
        }
    }
    Ok(())
}
