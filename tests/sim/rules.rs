//! A log that was kept once: whatever this version folds it to is what its validators have signed,
//! or the rules of this version have another number, and whoever opens an older log is told so.
//! Never runs a role: how one behaves may change.
//!
//! After a change of the rules: raise `RULES`, and keep another log with `OHC_BLESS=1 cargo test
//! --locked --no-default-features --test sim rules`. What the stages of real manifests cost is
//! held by the plans in `tests/data/plan`.

use crate::swarm;
use ohc::base::canon::{Canonical, Decode, Encode, Reader};
use ohc::base::limits::RULES;
use ohc::domain::event::events_root;
use ohc::domain::genesis::Genesis;
use ohc::domain::slot::Slot;
use ohc::domain::state::State;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rules.log");

/// Worlds of one validator and of several, with liars among workers and validators.
const SEEDS: [u64; 7] = [9, 17, 25, 29, 30, 31, 34];

type Log = (Genesis, Vec<Slot>);

/// Where the fold of a log is not what its validators have signed.
fn breach((genesis, slots): &Log) -> Option<String> {
    let mut state = State::new(genesis);
    let strays = |slot: &&Slot| {
        let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
        events_root(&events) != slot.head.events
    };
    let stray = slots.iter().find(strays)?;
    Some(format!("slot {} of {}", stray.head.height, genesis.digest()))
}

#[test]
fn r8_a_log_of_these_rules_is_folded_as_it_was() {
    let kept = std::fs::read(FILE).unwrap_or_default();
    let mut r = Reader::new(&kept);
    let rules = u32::decode(&mut r).ok();
    if std::env::var_os("OHC_BLESS").is_some() && rules != Some(RULES) {
        let log = |seed: u64| {
            let world = swarm::world(seed);
            (world.genesis().clone(), world.slots().cloned().collect())
        };
        let logs: Vec<Log> = SEEDS.into_iter().map(log).collect();
        std::fs::write(FILE, (RULES, logs).to_bytes()).unwrap();
        return;
    }
    assert_eq!(rules, Some(RULES), "keep a log of these rules: see the head of this file");
    let logs = Vec::<Log>::decode(&mut r);
    let logs = logs.unwrap_or_else(|error| panic!("it cannot be read ({error}): raise RULES"));
    r.end().unwrap();
    assert_eq!(logs.len(), SEEDS.len());
    let breaches: Vec<String> = logs.iter().filter_map(breach).collect();
    assert!(breaches.is_empty(), "it is folded differently: raise RULES; {breaches:?}");
}
