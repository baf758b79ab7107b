//! Snapshots: a state that was written down and read back folds on as if nothing had happened.
//! Never looks into the bytes: whatever they are, what follows must be the same.

use crate::swarm;
use ohc::base::canon::{Canonical as _, DecodeError};
use ohc::domain::event::{Event, events_root};
use ohc::domain::milestone::Parts;
use ohc::domain::state::State;
use proptest::prelude::*;

#[test]
fn r8_replay_goes_on_from_a_snapshot_of_any_height() {
    let (mut slots, mut paused) = (0, 0);
    for seed in 0..20 {
        let world = swarm::world(9_000 + seed);
        let mut state = State::new(world.genesis());
        for slot in world.slots() {
            let bytes = state.snapshot();
            let mut restored = State::restore(&bytes).unwrap();
            assert!(restored.snapshot() == bytes, "seed {seed}, before {}", slot.head.height);
            let events = restored.apply(slot.head.height, &slot.poh, &slot.commands);
            assert_eq!(events_root(&events), slot.head.events, "seed {seed}: {}", slot.head.height);
            state.apply(slot.head.height, &slot.poh, &slot.commands);
            // Height by height: so a fold from any snapshot to any later height is the same too.
            assert!(restored.snapshot() == state.snapshot(), "seed {seed}: {}", slot.head.height);
            if slots % 16 == 0 {
                assert_eq!(format!("{restored:?}"), format!("{state:?}"));
            }
            slots += 1;
        }
        paused += u32::from(state.runs().values().any(|run| !run.is_over()));
    }
    assert!(slots > 1_000, "{slots} slots are too few to mean anything");
    assert!(paused > 2, "{paused} worlds ended in the middle of a run");
}

#[test]
fn r8_a_fold_from_a_snapshot_ends_where_the_fold_from_genesis_ends() {
    for seed in 0..20 {
        let world = swarm::world(9_500 + seed);
        let all = world.slots().count();
        let mut from_genesis = State::new(world.genesis());
        let mut restored = None;
        for (at, slot) in world.slots().enumerate() {
            if at == all / 2 {
                restored = Some(State::restore(&from_genesis.snapshot()).unwrap());
            }
            if let Some(state) = &mut restored {
                let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
                assert_eq!(events_root(&events), slot.head.events, "seed {seed}");
            }
            from_genesis.apply(slot.head.height, &slot.poh, &slot.commands);
        }
        if let Some(state) = restored {
            assert_eq!(state.height(), from_genesis.height());
            assert!(state.snapshot() == from_genesis.snapshot(), "seed {seed}");
        }
    }
}

#[test]
fn r8_the_log_commits_to_the_state_that_any_fold_gives() {
    let (mut seen, mut slots) = (0, 0);
    for seed in 0..20 {
        let world = swarm::world(9_700 + seed);
        let mut state = State::new(world.genesis());
        let mut restored = state.clone();
        for slot in world.slots() {
            let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
            let again = restored.apply(slot.head.height, &slot.poh, &slot.commands);
            assert_eq!(events_root(&again), slot.head.events, "seed {seed}: {}", slot.head.height);
            slots += 1;
            for event in &events {
                let Event::Snapshot { parts, bytes } = event else { continue };
                let snapshot = state.snapshot();
                assert_eq!(
                    (Parts::of(&snapshot).digest(), snapshot.len() as u64),
                    (*parts, *bytes)
                );
                // From here on a copy of a copy of a copy, which commits to the same.
                restored = State::restore(&restored.snapshot()).unwrap();
                seen += 1;
            }
        }
    }
    assert!(seen > 40 && seen * 5 < slots, "{seen} states in {slots} slots");
}

#[test]
fn a_snapshot_that_makes_money_is_refused() {
    let world = swarm::world(1);
    let bytes = world.state().snapshot();
    // The balance of some account, one nano more.
    let balance = world.state().ledger().accounts().map(|(_, account)| account.balance).max();
    let balance = balance.unwrap().nano().to_le_bytes();
    let at = bytes.windows(8).position(|window| window == balance).unwrap();
    let mut more = bytes.clone();
    more[at] ^= 1;
    assert_eq!(State::restore(&more).err(), Some(DecodeError::OutOfRange));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(State::restore(&longer).err(), Some(DecodeError::Trailing));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn r13_no_bytes_panic_the_reader_of_snapshots(
        seed in 0u64..8,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = swarm::world(seed).state().snapshot();
        for length in [bytes.len(), cut.index(bytes.len())] {
            let mut damaged = bytes[..length].to_vec();
            for (at, flip) in flips.iter().filter(|_| length > 0) {
                damaged[at.index(length)] ^= flip;
            }
            if let Ok(state) = State::restore(&damaged) {
                // What is believed can be written down again, and read by whoever looks.
                let _ = state.runs().values().map(|run| run.plan.dag.jobs.len()).sum::<usize>();
                drop(state.snapshot());
            }
        }
    }
}
