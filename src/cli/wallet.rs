//! `ohc wallet`: the keys of a home, their money, and paying with it. Shows public keys only, and
//! decides nothing: `node::wallet` does.

use super::Context;
use super::args::{Format, Transfer, WalletVerb};
use super::consent;
use super::exit::{Exit, Stop};
use super::home::{self, Place};
use super::names::Names;
use super::report::json;
use super::report::sheet::{Sheet, numbers, words};
use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::domain::command::Command;
use crate::domain::ledger::{Hold, Ledger};
use crate::node::link;
use crate::node::wallet::{self, Entry, Paid, WalletError};
use serde_json::json;
use std::io;
use std::path::Path;

/// What the key is called that pays.
const CLIENT: &str = "client";

/// What an account has pending: in escrow for its runs, and as bonds of its leases or coins of a
/// stake that wait to count or to be free.
pub(super) fn pending(ledger: &Ledger, key: &PublicKey) -> (Ohc, Ohc) {
    let of = |is: &dyn Fn(&Hold) -> bool| {
        let held = ledger.holds().filter(|(hold, _)| is(hold) && ledger.owner(*hold) == Some(*key));
        Ohc::sum(held.map(|(_, amount)| amount)).unwrap_or_default()
    };
    let is_bond = |hold: &Hold| match hold {
        Hold::Bond(_) | Hold::Tender { .. } | Hold::Stake(_) | Hold::Unbonding { .. } => true,
        Hold::Escrow(_) | Hold::Reward(_) | Hold::Challenge(_) => false,
    };
    (of(&|hold| !is_bond(hold)), of(&is_bond))
}

pub(super) fn wallet(verb: &WalletVerb, context: &mut Context) -> Result<Exit, Stop> {
    match verb {
        WalletVerb::New { name, output } => {
            let home = home::wanted(context)?;
            let entry = wallet::create(&home, name).map_err(|e| stop(&e))?;
            show(&entry, output.format, context)?;
        }
        WalletVerb::Import { file, name, output } => {
            let entry = import(file, name.as_deref(), context)?;
            show(&entry, output.format, context)?;
        }
        WalletVerb::List { output } => list(output.format, context)?,
        WalletVerb::Show { name, output } => {
            let home = home::wanted(context)?;
            let entry = entry(&home, name)?;
            show(&entry, output.format, context)?;
        }
        WalletVerb::Balance { account, output } => balance(account, output.format, context)?,
        WalletVerb::Transfer(transfer) => return pay(transfer, context),
    }
    Ok(Exit::Done)
}

/// What went wrong with a wallet, with its exit code.
fn stop(error: &WalletError) -> Stop {
    let exit = match error {
        WalletError::Name { .. }
        | WalletError::Role { .. }
        | WalletError::Nothing
        | WalletError::Own => Exit::Usage,
        WalletError::Short { .. } => Exit::Unpaid,
        _ => Exit::Failed,
    };
    Stop::because(exit, error)
}

fn import(file: &Path, name: Option<&str>, context: &Context) -> Result<Entry, Stop> {
    let is_input = file.as_os_str() == "-";
    let stem = file.file_stem().and_then(|stem| stem.to_str()).filter(|_| !is_input);
    let Some(name) = name.or(stem) else {
        return Err(Stop::Error {
            exit: Exit::Usage,
            message: "a key from the standard input needs a name".into(),
            hint: Some("write `ohc wallet import - NAME`".into()),
        });
    };
    let home = home::wanted(context)?;
    let imported = match is_input {
        true => wallet::import(&home, name, &mut io::stdin().lock()),
        false => wallet::import_file(&home, name, file),
    };
    imported.map_err(|error| stop(&error))
}

/// The keys of a home; on a network the one that pays, which lies elsewhere, is its `client`.
fn entries(home: &Place) -> Result<Vec<Entry>, Stop> {
    let mut entries = wallet::entries(home).map_err(|error| stop(&error.into()))?;
    if let Some(payer) = home.payer() {
        entries.retain(|entry| entry.name != CLIENT);
        entries.insert(0, wallet::entry(CLIENT, payer));
    }
    Ok(entries)
}

/// The key of that name, or what is near.
fn entry(home: &Place, name: &str) -> Result<Entry, Stop> {
    let entries = entries(home)?;
    let found = entries.into_iter().find(|entry| entry.name == name);
    let unknown = || stop(&WalletError::Unknown { name: name.to_owned() });
    found.ok_or_else(unknown)
}

/// The public half of a key that can be read.
fn public(entry: Entry) -> Result<PublicKey, Stop> {
    entry.key.map_err(|error| stop(&error.into()))
}

fn show(entry: &Entry, format: Format, context: &mut Context) -> Result<(), Stop> {
    let file = entry.path.display().to_string();
    let key = match &entry.key {
        Ok(key) => key.to_string(),
        Err(error) => return Err(Stop::because(Exit::Failed, error)),
    };
    let screen = &mut context.screen;
    match format {
        Format::Json | Format::Yaml => {
            let fields = json!({"name": entry.name, "key": key, "file": file});
            screen.data(&json::object("Key", fields), format)?;
        }
        Format::Name => screen.line(&entry.name)?,
        Format::Table | Format::Wide => {
            screen.line(format!("{}: {key}", entry.name))?;
            screen.line(format!("in {file}"))?;
        }
    }
    Ok(())
}

fn list(format: Format, context: &mut Context) -> Result<(), Stop> {
    let home = home::wanted(context)?;
    let entries = entries(&home)?;
    // Keys can be there before there is a network.
    let opened = home.is_begun().then(|| home::open(&home)).transpose()?;
    let ledger = opened.as_ref().map(|(view, _)| view.state.ledger());
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for entry in entries {
        let (name, file) = (entry.name, entry.path.display().to_string());
        match entry.key {
            Ok(key) => {
                let balance = ledger.map(|l| l.account(&key).balance).unwrap_or_default();
                let (escrow, bond) = ledger.map(|l| pending(l, &key)).unwrap_or_default();
                let key = key.to_string();
                items.push(json!({"name": name, "key": key, "file": file,
                    "balance": json::ohc(balance), "escrow": json::ohc(escrow),
                    "bond": json::ohc(bond)}));
                rows.push(vec![name, balance.to_string(), key, file]);
            }
            Err(error) => {
                let error = error.to_string();
                items.push(json!({"name": name, "file": file, "error": error}));
                rows.push(vec![name, "?".into(), error, file]);
            }
        }
    }
    let columns = vec![words("name"), numbers("to spend"), words("key"), words("file").wide()];
    let none = "this home has no keys";
    let sheet = Sheet { kind: "KeyList", columns, rows, items, fields: json!({}), none };
    Ok(context.screen.sheet(sheet, format)?)
}

/// Whose account is meant: one that has a name here, or any public key.
fn account(text: &str, home: &Place, names: &Names) -> Result<PublicKey, Stop> {
    let named = || names.iter().find(|(_, name)| *name == text).map(|(key, _)| *key);
    match text.parse().ok().or_else(named) {
        Some(key) => Ok(key),
        None => public(entry(home, text)?),
    }
}

fn balance(of: &str, format: Format, context: &mut Context) -> Result<(), Stop> {
    let home = home::here(context)?;
    let (view, names) = home::open(&home)?;
    let key = account(of, &home, &names)?;
    let ledger = view.state.ledger();
    let (balance, name) = (ledger.account(&key).balance, names.of(&key));
    let (escrow, bond) = pending(ledger, &key);
    let screen = &mut context.screen;
    match format {
        Format::Json | Format::Yaml => {
            let object = json::object(
                "Balance",
                json!({"name": name, "key": key.to_string(), "balance": json::ohc(balance),
                    "escrow": json::ohc(escrow), "bond": json::ohc(bond)}),
            );
            screen.data(&object, format)?;
        }
        Format::Name => screen.line(name)?,
        Format::Table | Format::Wide => {
            let bond =
                if bond == Ohc::ZERO { String::new() } else { format!(", {bond} OhC in bonds") };
            screen.line(format!("{balance} OhC to spend, {escrow} OhC in escrow{bond}"))?;
        }
    }
    Ok(())
}

fn pay(args: &Transfer, context: &mut Context) -> Result<Exit, Stop> {
    let (home, format) = (home::here(context)?, args.output.format);
    let (view, names) = home::open(&home)?;
    let (to, file) = (account(&args.to, &home, &names)?, entry(&home, &args.from)?.path);
    let from = link::key(&file).map_err(|error| Stop::because(Exit::Failed, &error))?.public();
    wallet::check(&view.state, &from, &to, args.amount).map_err(|error| stop(&error))?;
    let Transfer { from: payer, amount, .. } = args;
    let payee = name(&to, &names);
    let question = format!("Pay {amount} OhC from {payer} to {payee}?");
    if !args.yes {
        agree(&question)?;
    }
    let paid = match home.is_embedded() {
        true => wallet::transfer(&home, view, payer, to, *amount),
        false => {
            drop(view);
            let site = home.open(1).map_err(|error| super::plan::stop(&error))?;
            let command = Command::Transfer { to, amount: *amount };
            let paid = site.order(&file, command).map_err(|error| super::plan::stop(&error))?;
            let (height, state) = paid;
            let balance = Some(state.ledger().account(&from).balance);
            height.map(|height| Paid { height, balance }).map_err(WalletError::Refused)
        }
    };
    let paid = paid.map_err(|error| stop(&error))?;
    let screen = &mut context.screen;
    match format {
        Format::Json | Format::Yaml => {
            let fields = json!({"from": payer, "to": to.to_string(), "amount": json::ohc(*amount),
                "slot": paid.height.0, "balance": paid.balance.map(json::ohc)});
            screen.data(&json::object("Transfer", fields), format)?;
        }
        Format::Name => screen.line(payer)?,
        Format::Table | Format::Wide => {
            let left = paid.balance.map(|left| format!("; {payer} has {left} OhC left"));
            screen.line(format!("paid {amount} OhC to {payee}{}", left.unwrap_or_default()))?;
        }
    }
    Ok(Exit::Done)
}

/// Asks whether money may move; where nobody can answer, it does not.
fn agree(question: &str) -> Result<(), Stop> {
    match consent::ask(question)? {
        Some(true) => Ok(()),
        Some(false) => Err(consent::declined()),
        None => Err(Stop::Error {
            exit: Exit::Usage,
            message: "nobody is there to ask whether this may be paid".into(),
            hint: Some("--yes pays without asking".into()),
        }),
    }
}

/// A name of this home with the beginning of its key, or the whole key of somebody else.
fn name(key: &PublicKey, names: &Names) -> String {
    match names.iter().find(|(known, _)| *known == key) {
        Some((_, name)) => format!("{name} ({})", key.short()),
        None => key.to_string(),
    }
}
