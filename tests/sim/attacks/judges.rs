//! Validators that do not judge as they should, alone and together.
//! Never more of them than a network may have, and one more.

use super::WORLDS;
use super::page::Row;
use super::trial::{Tally, Trial, tally, trainings, wealth};
use crate::adversary::{Nature, Temper};
use crate::ground::{STAKE, Who};
use ohc::domain::event::Event;

/// Trials before four validators, the first of which are not honest; and what became of those.
fn tried(bad: &[Temper], nature: Nature, verification: &str) -> (Tally, i128, u64, u64) {
    let mut validators = vec![Temper::Honest; 4];
    validators[..bad.len()].copy_from_slice(bad);
    let manifest = trainings(verification, 4, "");
    let trial = Trial { validators, ..Trial::of(nature, manifest) };
    let (mut all, mut gained, mut fined, mut stuck) = (Tally::default(), 0, 0, 0);
    for seed in 0..WORLDS / 4 {
        let world = trial.run(seed);
        all.add(tally(&world, Who::Worker(0)));
        for judge in 0..bad.len() as u8 {
            let key = Who::Validator(judge).key();
            let begin = i128::from(crate::ground::ohc(10 + STAKE).nano());
            gained += wealth(&world.state(), &key) - begin;
        }
        let fines = world.checker.events.iter().filter(|e| matches!(e, Event::Overruled { .. }));
        fined += fines.count() as u64;
        stuck += world.ends().filter(|(_, _, end)| end.is_none()).count() as u64;
    }
    (all, gained, fined, stuck)
}

pub fn rows() -> Vec<Row> {
    let friend = Temper::Friend(Who::Worker(0));
    let (lazy, gain, _, _) = tried(&[Temper::Lazy], Nature::FreeRider, "full");
    let lazy = Row {
        attack: "lazy validator",
        policy: "full, 1 of 4",
        tries: lazy.tries,
        found: 0,
        gain,
        note: "its share of the gas for work that it did not do; nothing shows that it did not.",
        ..Row::default()
    };
    let mut rows = vec![lazy];
    for (bad, policy) in [(1, "full, f = 1 of 4"), (2, "full, f + 1 = 2 of 4")] {
        let (all, gain, _, stuck) = tried(&vec![friend; bad], Nature::FreeRider, "full");
        rows.push(Row {
            attack: "colluding validators",
            policy,
            tries: all.tries,
            found: all.found,
            // The committee of two is all theirs in one of six.
            predicted: Some(if bad == 1 { 1_000_000 } else { 833_333 }),
            after: Some((all.slots, all.ticks)),
            gain: gain + all.gained,
            lost: all.lost,
            note: match (bad, stuck) {
                (1, _) => "",
                (_, 0) => "beyond what agreement stands: more than a third of the stake.",
                _ => {
                    "beyond what agreement stands: more than a third of the stake. What is not \
                      found is not paid either: no side has two thirds, and the run stands still."
                }
            },
            ..Row::default()
        });
    }
    let (all, gain, fined, _) = tried(&[Temper::Accuser], Nature::Honest, "full");
    rows.push(Row {
        attack: "false objections",
        policy: "full, 1 of 4",
        tries: fined.max(all.settled),
        found: fined,
        predicted: Some(1_000_000),
        gain,
        lost: 0,
        ..Row::default()
    });
    let (all, gain, _, stuck) = tried(&[Temper::Mute], Nature::Honest, "full");
    rows.push(Row {
        attack: "mute validator",
        policy: "full, 1 of 4",
        tries: all.tries,
        gain,
        note: match stuck {
            0 => "its blocks are settled without it.",
            _ => {
                "a block that is drawn to it waits for it: runs stand still as long as it is mute."
            }
        },
        ..Row::default()
    });
    rows.push(Row {
        attack: "equivocator",
        policy: "any",
        note: "not yet measured: one log, and no votes, until agreement by messages.",
        ..Row::default()
    });
    rows
}
