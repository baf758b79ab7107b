//! The ground that every test stands on: keys, a genesis with small numbers, and manifests.
//! Never decides what happens on it.

use ohc::base::amount::{Ohc, SUPPLY};
use ohc::base::canon::Digest;
use ohc::base::keys::{PublicKey, SecretKey};
use ohc::domain::command::Submission;
use ohc::domain::genesis::{Allocation, Genesis, Params};
use ohc::domain::job::{Chunk, Column, ColumnKind, Pin};
use std::collections::BTreeMap;
use std::sync::RwLock;

/// Who takes part, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    Bank,
    Validator(u8),
    Client(u8),
    Worker(u8),
    Stranger(u8),
}

pub const CLIENTS: u8 = 4;
/// Of a validator, in whole OhC, where it does not matter.
pub const STAKE: u64 = 40_000;
pub const WORKERS: u8 = 6;

impl Who {
    pub fn secret(self) -> SecretKey {
        let (kind, n) = match self {
            Self::Bank => (1, 0),
            Self::Validator(n) => (2, n),
            Self::Client(n) => (3, n),
            Self::Worker(n) => (4, n),
            Self::Stranger(n) => (5, n),
        };
        let mut bytes = [7; 32];
        (bytes[0], bytes[1]) = (kind, n);
        SecretKey::from_bytes(&bytes)
    }

    /// Its name; made once, for making one takes longer than many a slot.
    pub fn key(self) -> PublicKey {
        static KEYS: RwLock<BTreeMap<Who, PublicKey>> = RwLock::new(BTreeMap::new());
        if let Some(key) = KEYS.read().unwrap().get(&self) {
            return *key;
        }
        let key = self.secret().public();
        KEYS.write().unwrap().insert(self, key);
        key
    }
}

pub fn ohc(whole: u64) -> Ohc {
    Ohc::from_whole(whole).unwrap()
}

/// Small numbers: a lease lapses after 2 s of silence, an offer is repriced after half a second.
pub fn params() -> Params {
    Params {
        hashes_per_tick: 2,
        heartbeat_ticks: 200,
        reprice_ticks: 50,
        committee: 2,
        snapshot_events: 300,
        ..Params::embedded()
    }
}

/// A genesis with so many validators of equal stake. `purse` is what every worker begins with.
pub fn genesis(validators: u8, purse: Ohc) -> Genesis {
    staked(&vec![STAKE; validators.into()], purse)
}

/// A genesis with validators of these stakes, in whole OhC.
pub fn staked(stakes: &[u64], purse: Ohc) -> Genesis {
    let account = |who: Who, balance, stake| Allocation { key: who.key(), balance, stake };
    let mut all: Vec<Allocation> = Vec::new();
    // Who has no stake has the coins for one.
    let validator = |(n, stake): (u8, &u64)| {
        let balance = if *stake > 0 { 10 } else { 60_000 };
        account(Who::Validator(n), ohc(balance), ohc(*stake))
    };
    all.extend((0..).zip(stakes).map(validator));
    all.extend((0..CLIENTS).map(|n| account(Who::Client(n), ohc(1_000), Ohc::ZERO)));
    all.extend((0..WORKERS).map(|n| account(Who::Worker(n), purse, Ohc::ZERO)));
    let held = Ohc::sum(all.iter().flat_map(|a| [a.balance, a.stake])).unwrap();
    all.push(account(Who::Bank, SUPPLY.checked_sub(held).unwrap(), Ohc::ZERO));
    let (name, mut params) = ("sim".to_owned(), params());
    if stakes.len() > 1 {
        params.beacon_ticks = 0; // as networks have it
    }
    let genesis = Genesis { name, salt: [9; 32], params, allocations: all };
    genesis.check().unwrap();
    genesis
}

pub fn pin(source: &str) -> Pin {
    let columns = [
        ("sepal_length", ColumnKind::Real),
        ("sepal_width", ColumnKind::Real),
        ("petal_length", ColumnKind::Real),
        ("petal_width", ColumnKind::Real),
        ("species", ColumnKind::Text),
    ];
    Pin {
        source: source.to_owned(),
        digest: Digest::of(source.as_bytes()),
        bytes: 3_858,
        rows: 150,
        columns: columns.map(|(name, kind)| Column { name: name.to_owned(), kind }).to_vec(),
        chunks: vec![Chunk {
            digest: Digest::of(source.as_bytes()),
            bytes: 3_858,
            rows: 150,
            first_line: 1,
            groups: None,
        }],
    }
}

/// A pipeline of no-ops from its stages, one line each; `spec` is put beside `stages`.
pub fn noops(name: &str, spec: &str, stages: &[&str]) -> String {
    let stages: String = stages.iter().map(|stage| format!("    {stage}\n")).collect();
    format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  \
         budget: {{ total: \"5.00\" }}\n{spec}  stages:\n{stages}"
    )
}

pub fn submission(manifest: String, pins: Vec<Pin>, budget: Ohc) -> Submission {
    Submission { manifest, params: Vec::new(), pins, budget, fresh: Vec::new() }
}
