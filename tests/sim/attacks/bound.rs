//! The bound of honesty: at which rate of audits free-riding stops to pay, on the real fold.
//! Never in theory: receipts of garbage are delivered, drawn, judged and paid.

use super::page::Point;
use crate::dice::Dice;
use crate::fold::{Fold, WORKER};
use crate::ground::{Who, noops, ohc};
use crate::labour;
use ohc::base::canon::Digest;
use ohc::domain::command::Command;
use ohc::domain::event::Event;
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::state::State;
use std::collections::BTreeSet;

/// Jobs of one run, and runs for each rate.
const JOBS: u64 = 50;
const RUNS: u64 = 80;

/// One in six: c / (P + B), with c = 5/6 P and B = 4 P.
const BOUND_PPM: u64 = 166_667;

/// A fan of jobs that no earlier run has had.
fn manifest(run: u64, rate_ppm: u64) -> String {
    let cells: Vec<String> = (0..JOBS).map(|n| (1_000 + run * JOBS + n).to_string()).collect();
    let spec = "  run: { limits: { jobsPerBlock: 1 } }\n";
    let stage = format!(
        "fan: {{ uses: noop, matrix: {{ axes: {{ cell: [{}] }} }}, verification: {{ audit: {{ \
         rate: 0.{rate_ppm:06}, segments: 1 }} }}, with: {{ tag: \"${{{{ matrix.cell }}}}\" }} }}",
        cells.join(", ")
    );
    noops("fan", spec, &[&stage])
}

/// What an honest validator says about everything that it is asked.
fn verdicts(state: &State, store: &BTreeSet<Digest>) -> Command {
    let me = Who::Validator(0).key();
    let asked = state.questions(&me).into_iter();
    let duties = asked.filter_map(|matter| state.duty(matter, &me));
    Command::Judge(duties.map(|duty| labour::check(&duty, store, Digest::default())).collect())
}

fn at(rate_ppm: u64) -> Point {
    let (mut fold, mut dice) = (Fold::new(1), Dice::new(rate_ppm));
    let mut store = BTreeSet::new();
    let (mut tries, mut found, mut gain, mut prices) = (0, 0, 0i128, 0i128);
    for run in 1..=RUNS {
        fold.bid(WORKER, 1_000_000);
        fold.submit(&manifest(run, rate_ppm), ohc(20));
        let garbage = |receipt: Receipt| {
            let Outcome::Done(mut claims) = receipt.outcome else { panic!() };
            claims[0].outputs[0] = Digest::of(&dice.roll().to_le_bytes());
            Receipt { outcome: Outcome::Done(claims), ..receipt }
        };
        let leases = fold.held(WORKER).into_iter();
        let lies: Vec<Receipt> = leases.map(|lease| fold.receipt(lease)).map(garbage).collect();
        store.extend(lies.iter().flat_map(|lie| labour::artifacts(&lie.outcome)));
        let mut events = fold.send(WORKER, Command::Deliver(lies));
        events.extend(fold.slot(0, &[]));
        let judge = verdicts(&fold.state, &store);
        events.extend(fold.send(Who::Validator(0), judge));
        for event in events {
            match event {
                Event::Delivered { .. } => tries += 1,
                Event::Settled { reward, .. } => {
                    gain += i128::from(reward.nano());
                    prices += i128::from(reward.nano());
                }
                // The bond is four times the price.
                Event::Slashed { bond, .. } => {
                    found += 1;
                    gain -= i128::from(bond.nano());
                    prices += i128::from(bond.nano() / 4);
                }
                _ => {}
            }
        }
        let run = ohc::base::ids::RunId(run as u32);
        fold.send(crate::fold::CLIENT, Command::Cancel { run });
    }
    Point { rate_ppm, tries, found, gain, honest: prices - prices * 5 / 6 }
}

pub fn points() -> Vec<Point> {
    let rates = [BOUND_PPM / 2, BOUND_PPM * 8 / 10, BOUND_PPM * 12 / 10, 2 * BOUND_PPM];
    rates.map(at).to_vec()
}

#[test]
fn cheating_pays_below_the_bound_and_costs_above_it() {
    let points = points();
    // The last one is ruined before the runs are over.
    assert!(points.iter().all(|point| point.tries > 1_000), "{points:?}");
    let pays: Vec<bool> = points.iter().map(|point| point.gain > point.honest).collect();
    assert_eq!(pays, [true, true, false, false], "{points:?}");
}
