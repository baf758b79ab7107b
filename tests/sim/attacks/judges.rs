//! Validators that do not judge as they should, alone and together.
//! Never more of them than a network may have, and one more.

use super::WORLDS;
use super::page::Row;
use super::trial::{Tally, Trial, tally, trainings, wealth};
use crate::adversary::{Nature, Temper};
use crate::ground::{STAKE, Who, ohc};
use crate::world::World;
use ohc::domain::event::Event;

/// What became of trials before four validators, the first of which are not honest.
struct Tried {
    worker: Tally,
    /// What the accounts of those validators have more.
    gained: i128,
    /// Audits that were drawn to them.
    drawn: u64,
    overruled: u64,
    lazy: u64,
    absent: u64,
    /// Runs that did not end.
    stuck: u64,
}

fn tried(bad: &[Temper], nature: Nature, verification: &str) -> Tried {
    let mut validators = vec![Temper::Honest; 4];
    validators[..bad.len()].copy_from_slice(bad);
    let manifest = trainings(verification, 4, "");
    let trial = Trial { validators, ..Trial::of(nature, manifest) };
    let worker = Tally::default();
    let (gained, drawn, overruled) = Default::default();
    let (lazy, absent, stuck) = Default::default();
    let mut all = Tried { worker, gained, drawn, overruled, lazy, absent, stuck };
    for seed in 0..WORLDS / 4 {
        let world = trial.run(seed);
        all.add(&world, bad.len() as u8);
    }
    all
}

impl Tried {
    fn add(&mut self, world: &World, bad: u8) {
        self.worker.add(tally(world, Who::Worker(0)));
        let keys: Vec<_> = (0..bad).map(|judge| Who::Validator(judge).key()).collect();
        for key in &keys {
            let begin = i128::from(ohc(10 + STAKE).nano());
            self.gained += wealth(&world.state(), key) - begin;
        }
        for event in &world.checker.events {
            match event {
                Event::Drawn { audit, .. } => {
                    let committee = audit.committee.iter();
                    self.drawn += committee.filter(|member| keys.contains(member)).count() as u64;
                }
                Event::Overruled { validator, .. } if keys.contains(validator) => {
                    self.overruled += 1;
                }
                Event::Lazy { validator, .. } if keys.contains(validator) => self.lazy += 1,
                Event::Absent { validator, .. } if keys.contains(validator) => self.absent += 1,
                _ => {}
            }
        }
        self.stuck += world.ends().filter(|(_, _, end)| end.is_none()).count() as u64;
    }
}

/// What a number of runs that stand still says.
fn stands(stuck: u64) -> &'static str {
    match stuck {
        0 => "every run ended all the same.",
        _ => "some runs stood still: see the attack's own worlds.",
    }
}

fn colluding(bad: usize, policy: &'static str, predicted: u64) -> Row {
    let friend = Temper::Friend(Who::Worker(0));
    let all = tried(&vec![friend; bad], Nature::FreeRider, "full");
    let beyond = bad > 1;
    Row {
        attack: "colluding validators",
        policy,
        tries: all.worker.tries,
        found: all.worker.found,
        predicted: Some(predicted),
        after: Some((all.worker.slots, all.worker.ticks)),
        gain: all.gained + all.worker.gained,
        lost: all.worker.lost,
        note: match (beyond, all.stuck) {
            (false, stuck) => stands(stuck),
            (true, 0) => "more than a third of the stake: beyond what agreement stands.",
            (true, _) => {
                "more than a third of the stake: beyond what agreement stands. What is not found \
                 is not paid either: no side has two thirds, and runs stand still."
            }
        },
        ..Row::default()
    }
}

pub fn rows() -> Vec<Row> {
    let lazy = tried(&[Temper::Lazy], Nature::Honest, "full");
    let accuser = tried(&[Temper::Accuser], Nature::Honest, "full");
    let mute = tried(&[Temper::Mute], Nature::Honest, "full");
    let one = |attack, tries, found, all: &Tried| Row {
        attack,
        policy: "full, 1 of 4",
        tries,
        found,
        gain: all.gained,
        note: stands(all.stuck),
        ..Row::default()
    };
    vec![
        one("lazy validator", lazy.drawn, lazy.lazy, &lazy),
        // The committee of two is all theirs in one of six.
        colluding(1, "full, f = 1 of 4", 1_000_000),
        colluding(2, "full, f + 1 = 2 of 4", 833_333),
        one("false objections", accuser.overruled, accuser.overruled, &accuser),
        one("mute validator", mute.drawn, mute.absent, &mute),
    ]
}
