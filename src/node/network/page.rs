//! The first page of a network as a file: `genesis.yaml`. Its canonical bytes, not its text, are
//! what gives the network its id: comments and order may differ. Never fills in what is missing:
//! a default of another version would be another network.

use super::fields::{self, Fields};
use super::{Document, NetworkError, named};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::keys::PublicKey;
use crate::domain::genesis::{Allocation, Genesis, Params};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Reads a genesis that can start a network.
pub(super) fn read(path: &Path) -> Result<Genesis, NetworkError> {
    let known = ["name", "salt", "params", "allocations"];
    let genesis = fields::read(path, (Document::Genesis, &known), |fields| {
        let name = fields.needed("name");
        let name = name.and_then(|node| fields.parsed("name", node, "a name", named));
        let salt = fields.needed("salt").and_then(|node| {
            let salt = |text: &str| text.parse().ok().map(|salt: Digest| salt.0);
            fields.parsed("salt", node, "64 hex digits", salt)
        });
        let (params, allocations) = (params(fields), allocations(fields));
        Some(Genesis { name: name?, salt: salt?, params: params?, allocations: allocations? })
    })?;
    match genesis.check() {
        Ok(()) => Ok(genesis),
        Err(error) => Err(NetworkError::Genesis { path: path.to_owned(), error }),
    }
}

fn params(fields: &mut Fields<'_>) -> Option<Params> {
    let node = fields.needed("params")?;
    fields.below(node, Params::NAMES, |fields| {
        let mut params = Params::network();
        let all = params.clone().texts().into_iter().map(|(name, _)| {
            let node = fields.needed(name)?;
            let what = "a value of this parameter: a whole number, or decimal OhC";
            fields.parsed(name, node, what, |text| params.set(name, text).then_some(()))
        });
        let all: Vec<Option<()>> = all.collect();
        all.into_iter().collect::<Option<Vec<()>>>().map(|_| params)
    })
}

fn allocations(fields: &mut Fields<'_>) -> Option<Vec<Allocation>> {
    let node = fields.needed("allocations")?;
    let amount = |text: &str| text.parse::<Ohc>().ok();
    let one = |fields: &mut Fields<'_>| {
        let key = fields.needed("key");
        let key = key.and_then(|node| {
            let sound = |text: &str| text.parse().ok().filter(PublicKey::is_sound);
            fields.parsed("key", node, "the 64 hex digits of a public key", sound)
        });
        let balance = fields.maybe("balance", "an amount of OhC", amount);
        let stake = fields.maybe("stake", "an amount of OhC", amount);
        let (balance, stake) = (balance.unwrap_or_default(), stake.unwrap_or_default());
        Some(Allocation { key: key?, balance, stake })
    };
    let all = node.items().iter().map(|item| fields.below(item, &["key", "balance", "stake"], one));
    // Not stopped at the first: all faults are told.
    let all: Vec<Option<Allocation>> = all.collect();
    all.into_iter().collect()
}

/// The text of a genesis, with the names of keys as comments.
pub(super) fn write(genesis: &Genesis, names: &BTreeMap<PublicKey, String>) -> String {
    let mut text = String::from(
        "# The first page of a network's history. Everybody on it has the same: whoever changes\n\
         # a value has founded another network. Amounts are decimal OhC, times are ticks,\n\
         # base_price and its bounds nano-OhC per unit of work, shares parts per million.\n",
    );
    let salt = Digest(genesis.salt);
    let _ = write!(text, "name: {}\nsalt: \"{salt}\"\nparams:\n", genesis.name);
    for (name, value) in genesis.params.texts() {
        let _ = writeln!(text, "  {name}: {value}");
    }
    text.push_str("allocations:\n");
    for Allocation { key, balance, stake } in &genesis.allocations {
        let name = names.get(key).map(|name| format!(" # {name}")).unwrap_or_default();
        let _ = writeln!(text, "  - key: \"{key}\"{name}\n    balance: \"{balance}\"");
        if *stake > Ohc::ZERO {
            let _ = writeln!(text, "    stake: \"{stake}\"");
        }
    }
    text
}
