//! Measures what it takes to commit to a state: to encode it and to hash its parts, beside folding
//! what is folded between two of them. Never commits in another way than the fold does.

use super::history::on_core;
use super::{BenchError, Measurement, Scratch, detail, fold, independent, median, run};
use crate::base::canon::Decode;
use crate::domain::event::Event;
use crate::domain::genesis::{Genesis, Params};
use crate::domain::milestone::Parts;
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::effects::clock::Clock;

/// Times that everything here is measured.
const TURNS: usize = 5;
/// Seconds that something is repeated for.
const ENOUGH: f64 = 0.3;
/// What the fold of a slot weighs beside that of its events, where it is said when a commitment is
/// due.
const WEIGHT_OF_A_SLOT: usize = 20;

/// What came of folding a log.
struct Folded {
    state: State,
    seconds: f64,
    events: usize,
    commits: usize,
}

/// Folds a log as the one of this genesis, which need not be its own: events are not compared.
fn refold(genesis: &Genesis, slots: &[Slot]) -> Folded {
    let (clock, mut state) = (Clock::start(), State::new(genesis));
    let (begun, mut events, mut commits) = (on_core(&clock), 0, 0);
    for slot in slots {
        let derived = state.apply(slot.head.height, &slot.poh, &slot.commands);
        let is_commit = |event: &Event| matches!(event, Event::Snapshot { .. });
        commits += derived.iter().filter(|event| is_commit(event)).count();
        events += derived.len();
    }
    Folded { state, seconds: on_core(&clock) - begun, events, commits }
}

/// Milliseconds of a core that something takes, as often as it takes to tell.
fn each(mut what: impl FnMut()) -> f64 {
    let (clock, mut times) = (Clock::start(), 0);
    let begun = on_core(&clock);
    while clock.seconds() < ENOUGH {
        what();
        times += 1;
    }
    (on_core(&clock) - begun) * 1e3 / f64::from(times)
}

/// Milliseconds of a core in which a state of so many settled blocks is committed to, and how that
/// is beside folding: all of its log, and what is folded until the next is due.
pub fn commit(jobs: u32) -> Result<Measurement, BenchError> {
    let scratch = Scratch::new();
    run(independent(jobs), &scratch)?;
    let (genesis, stored) = fold::log(&scratch)?;
    let slots = stored.iter().map(|slot| Slot::from_bytes(slot)).collect::<Result<Vec<_>, _>>();
    let slots = slots.map_err(|_| BenchError::Unsettled)?;
    let snapshot_events = Params::network().snapshot_events;
    let params = Params { snapshot_events, ..genesis.params.clone() };
    let committing = Genesis { params, ..genesis.clone() };
    let (mut plain, mut with, mut encoded, mut hashed) = (vec![], vec![], vec![], vec![]);
    let (mut bytes, mut commits, mut weight) = (0, 0, 0);
    for _ in 0..TURNS {
        let (one, other) = (refold(&genesis, &slots), refold(&committing, &slots));
        let is_same = one.events + other.commits == other.events;
        if !is_same || one.commits > 0 {
            return Err(BenchError::Unsettled);
        }
        (commits, weight) = (other.commits, one.events + WEIGHT_OF_A_SLOT * slots.len());
        plain.push(one.seconds);
        with.push(other.seconds);
        let state = other.state.snapshot();
        encoded.push(each(|| drop(other.state.snapshot())));
        hashed.push(each(|| drop(std::hint::black_box(Parts::of(&state)))));
        bytes = state.len();
    }
    let (plain, with) = (median(plain), median(with));
    let (encoded, hashed) = (median(encoded), median(hashed));
    let due = (snapshot_events as f64).max(bytes as f64 / 64.0);
    let folded = plain * 1e3 / weight as f64 * due;
    Ok(Measurement {
        name: "commit",
        value: encoded + hashed,
        unit: "ms",
        baseline: (folded > 0.0).then_some(("folding until the next is due", folded)),
        detail: detail(&[
            ("encodeMs", encoded),
            ("hashMs", hashed),
            ("stateBytes", bytes as f64),
            ("commits", commits as f64),
            ("foldMs", plain * 1e3),
            ("foldWithCommitsMs", with * 1e3),
            ("slots", slots.len() as f64),
        ]),
    })
}
