//! Measures the fold of a log: its rate, what a state takes in memory, and a start from a snapshot.
//! Never reads a log in another way than a node that starts.

use super::scribe::Scribe;
use super::{BenchError, Measurement, Scratch, WORKERS, detail, independent, median, run};
use crate::base::canon::{Canonical, Decode};
use crate::base::time::Height;
use crate::domain::command::Command;
use crate::domain::genesis::Genesis;
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::effects::clock::Clock;
use crate::effects::machine;
use crate::node::apply::Site;
use crate::node::boot::Fold;
use crate::node::home::Home;
use crate::node::snapshot::Found;
use std::path::Path;

/// Times that everything here is measured.
const TURNS: usize = 5;
/// Commands of the logs that are written to be replayed.
const COMMANDS: usize = 20_000;
/// Jobs of the chain that is replayed.
const CHAIN: u32 = 300;
/// Copies of a state that are made to see what one takes…
const COPIES: usize = 4;
/// … after copies of so many blocks, which take what the run before them has freed.
const FREED_BLOCKS: u64 = 240_000;

fn home(scratch: &Scratch) -> Home {
    Home::find(Some(&scratch.0), Path::new("."))
}

/// The genesis and the stored slots of a scratch home.
pub(super) fn log(scratch: &Scratch) -> Result<(Genesis, Vec<Vec<u8>>), BenchError> {
    let site = Site::open(home(scratch), WORKERS)?;
    let view = site.view();
    let store = view.store().ok_or(BenchError::Unsettled)?;
    let slots: Result<Vec<Vec<u8>>, _> = store.iter().map(|slot| Ok(slot?.1)).collect();
    Ok((view.genesis.clone(), slots.map_err(|error: crate::node::boot::BootError| error)?))
}

/// Folds a log as a node does that starts; the state, and how many events there were.
fn fold(genesis: &Genesis, slots: &[Vec<u8>]) -> Result<(State, usize), BenchError> {
    let mut state = State::new(genesis);
    let mut fold = Fold::new(&mut state, genesis.digest());
    let mut events = 0;
    for slot in slots {
        events += fold.add(fold.next(), slot)?.len();
    }
    fold.finish()?;
    Ok((state, events))
}

/// Commands of a log, and the things that they carry: receipts, verdicts, signs of life.
fn count(slots: &[Vec<u8>]) -> (usize, usize) {
    let slots = slots.iter().filter_map(|slot| Slot::from_bytes(slot).ok());
    let commands = slots.flat_map(|slot| slot.commands);
    commands.fold((0, 0), |(commands, items), order| {
        let carries = match order.body.command {
            Command::Heartbeat(beats) => beats.len(),
            Command::Deliver(receipts) => receipts.len(),
            Command::Judge(verdicts) => verdicts.len(),
            _ => 1,
        };
        (commands + 1, items + carries)
    })
}

/// Seconds of folding a log: the median of several turns.
fn seconds(genesis: &Genesis, slots: &[Vec<u8>]) -> Result<(f64, usize), BenchError> {
    let (mut taken, mut events) = (Vec::new(), 0);
    for _ in 0..TURNS {
        let clock = Clock::start();
        events = fold(genesis, slots)?.1;
        taken.push(clock.seconds());
    }
    Ok((median(taken), events))
}

/// Commands per second of folding logs again: of commands that carry one thing each, and of a
/// settled run, whose commands carry up to 256.
pub fn replay(jobs: u32) -> Result<Measurement, BenchError> {
    let one_each = |to_a_slot: usize| {
        let mut scribe = Scribe::new();
        for _ in 0..COMMANDS / to_a_slot {
            scribe.write(0, to_a_slot);
        }
        scribe
    };
    let (full, single) = (one_each(100), one_each(1));
    let in_full_slots = COMMANDS as f64 / seconds(&full.genesis, &full.slots)?.0;
    let one_to_a_slot = COMMANDS as f64 / seconds(&single.genesis, &single.slots)?.0;
    let scratch = Scratch::new();
    run(super::chained(CHAIN), &scratch)?;
    let (genesis, slots) = log(&scratch)?;
    let of_chain = count(&slots).0 as f64 / seconds(&genesis, &slots)?.0;
    let scratch = Scratch::new();
    run(independent(jobs), &scratch)?;
    let (genesis, slots) = log(&scratch)?;
    let (taken, events) = seconds(&genesis, &slots)?;
    let (commands, items) = count(&slots);
    Ok(Measurement {
        name: "replay",
        value: in_full_slots,
        unit: "commands/s",
        baseline: None,
        detail: detail(&[
            ("oneCommandToASlot", one_to_a_slot),
            ("receiptsAndVerdictsOneByOne", of_chain),
            ("itemsOfARun", items as f64 / taken),
            ("blocksOfARun", f64::from(jobs) / taken),
            ("eventsOfARun", events as f64 / taken),
            ("commands", commands as f64),
            ("items", items as f64),
            ("slots", slots.len() as f64),
            ("events", events as f64),
            ("seconds", taken),
        ]),
    })
}

/// Bytes that one more state takes in memory. Counted by the system, so that nothing is left out,
/// and what the allocator wastes counts too. The first ones take what was free, and all are kept,
/// so that nothing becomes free meanwhile.
fn grown(
    kept: &mut Vec<State>,
    first: usize,
    make: impl Fn() -> Result<State, BenchError>,
) -> Result<u64, BenchError> {
    for _ in 0..first {
        kept.push(make()?);
    }
    let before = machine::memory();
    for _ in 0..COPIES {
        kept.push(make()?);
    }
    Ok(machine::memory().saturating_sub(before) / COPIES as u64)
}

/// What a state takes in memory for each settled block: while its run goes on, and when it is
/// over.
pub(super) fn memory(
    scratch: &Scratch,
    blocks: u64,
) -> Result<Vec<(&'static str, f64)>, BenchError> {
    let (genesis, slots) = log(scratch)?;
    let per_block = |bytes: u64| bytes as f64 / blocks.max(1) as f64;
    // The slot in which the last block is settled and the run ends; before it all else is.
    let ends = |slot: &Vec<u8>| {
        let orders = Slot::from_bytes(slot).map(|slot| slot.commands).unwrap_or_default();
        orders.iter().any(|order| matches!(order.body.command, Command::Judge(_)))
    };
    let open = slots.iter().rposition(ends).and_then(|last| slots.get(..last)).unwrap_or_default();
    let snapshot = fold(&genesis, &slots)?.0.snapshot();
    let first = usize::try_from(FREED_BLOCKS / blocks.max(1)).unwrap_or(COPIES).max(COPIES);
    let restore = || State::restore(&snapshot).map_err(|_| BenchError::Unsettled);
    let mut kept = Vec::new();
    let ended = grown(&mut kept, first, restore)?;
    let going_on = grown(&mut kept, COPIES, || Ok(fold(&genesis, open)?.0))?;
    Ok(vec![
        ("bytesPerSettledBlock", per_block(ended)),
        ("bytesPerBlockOfAnOpenRun", per_block(going_on)),
        ("snapshotBytesPerBlock", per_block(snapshot.len() as u64)),
    ])
}

/// Milliseconds from a home on disk to the state of its log, with a snapshot and without.
pub fn start(jobs: u32) -> Result<Measurement, BenchError> {
    let scratch = Scratch::new();
    let settled = run(independent(jobs), &scratch)?.settled;
    let home = home(&scratch);
    let open = || -> Result<([f64; 2], Found), BenchError> {
        let (clock, before) = (Clock::start(), machine::thread_seconds());
        let site = Site::open(home.clone(), WORKERS)?;
        let wall = clock.seconds();
        let core = machine::thread_seconds().zip(before).map_or(wall, |(now, then)| now - then);
        Ok(([wall * 1e3, core * 1e3], site.view().snapshot.clone()))
    };
    // Who opens it without a snapshot leaves one where that is worth it.
    let gone = |_| BenchError::Unsettled;
    let (mut slow, mut fast, mut on_core, mut height) = (vec![], vec![], vec![], Height(0));
    for _ in 0..TURNS {
        if home.snapshot().exists() {
            std::fs::remove_file(home.snapshot()).map_err(gone)?;
        }
        let ([folding, _], _) = open()?;
        slow.push(folding);
        let ([wall, core], found) = open()?;
        if let Found::Used(at) = found {
            height = at;
        }
        fast.push(wall);
        on_core.push(core);
    }
    let bytes = std::fs::metadata(home.snapshot()).map_or(0, |file| file.len());
    Ok(Measurement {
        name: "start",
        value: median(fast),
        unit: "ms",
        baseline: Some(("folding the whole log", median(slow))),
        detail: detail(&[
            ("settledBlocks", settled as f64),
            ("onCore", median(on_core)),
            ("snapshotHeight", height.0 as f64),
            ("snapshotMib", bytes as f64 / f64::from(1 << 20)),
        ]),
    })
}
