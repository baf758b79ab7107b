//! Workers that cheat: one of three, the cheapest, in worlds of eight trainings each.
//! Never one row for two policies: what is found depends on how much is checked.

use super::WORLDS;
use super::page::Row;
use super::trial::{SEGMENTS, Tally, Trial, tally, trainings};
use crate::adversary::Nature;
use crate::ground::Who;

const AUDIT: &str = "{ audit: { rate: 0.25, segments: 1 } }";
const PPM: u64 = 1_000_000;

/// All trials of one kind of worker together.
fn tried(nature: Nature, verification: &str, more: &str) -> Tally {
    let trial = Trial::of(nature, trainings(verification, 8, more));
    let mut all = Tally::default();
    (0..WORLDS).for_each(|seed| all.add(tally(&trial.run(seed), Who::Worker(0))));
    all
}

/// A row of a worker that does so many of the eight segments of its work.
fn row(attack: &'static str, policy: &'static str, done: u64, predicted: u64, all: Tally) -> Row {
    Row {
        attack,
        policy,
        tries: all.tries,
        found: all.found,
        predicted: Some(predicted),
        after: Some((all.slots, all.ticks)),
        gain: all.gained - all.cost(done.into(), SEGMENTS.into()),
        honest: Some(all.honest()),
        lost: all.lost,
        note: "",
    }
}

pub fn rows() -> Vec<Row> {
    let audit = |nature| tried(nature, AUDIT, "");
    let quarter = "audit 0.25, 1 segment";
    let mut rows = vec![
        row("free-rider", quarter, 0, PPM / 4, audit(Nature::FreeRider)),
        row("free-rider", "full", 0, PPM, tried(Nature::FreeRider, "full", "")),
        row("skips 4 of 8 segments", quarter, 4, PPM / 8, audit(Nature::Skipper(4))),
        row("skips 1 of 8 segments", quarter, 7, PPM / 32, audit(Nature::Skipper(1))),
        row("poisoned weights", quarter, 8, PPM / 32, audit(Nature::Poisoner)),
        row("poisoned weights", "full", 8, PPM, tried(Nature::Poisoner, "full", "")),
        row("withheld artifact", "none", 8, PPM, tried(Nature::Withholder, "none", "")),
        row("false failure", "none", 0, PPM, tried(Nature::LiarFailure, "none", "")),
    ];
    rows[3].note = "a lazy worker saves as little as it risks: the expected loss is in proportion.";
    rows[4].note = "who gains by what the weights do is not stopped by a quarter: final merges and \
                    evaluations, and what others build on, are to be checked in full.";
    rows
}
