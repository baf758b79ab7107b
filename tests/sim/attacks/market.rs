//! Attacks on prices and terms: nothing that anybody signs is false, and still somebody pays.
//! Never judged by intent: the numbers are those of an honest market and of the attacked one.

use super::WORLDS;
use super::page::Row;
use super::trial::{Tally, Trial, tally, trainings, wealth};
use crate::adversary::Nature;
use crate::fold::{CLIENT, Fold, WORKER};
use crate::ground::{Who, noops, ohc};
use ohc::base::ids::RunId;
use ohc::domain::command::Command;
use ohc::domain::event::Event;
use ohc::domain::verdict::Finding;

/// What workers of these asks are paid together.
fn market(asks: &[u64]) -> Tally {
    let workers: Vec<(Nature, u64)> = asks.iter().map(|ask| (Nature::Honest, *ask)).collect();
    let trial = Trial { workers, ..Trial::of(Nature::Honest, trainings("none", 8, "")) };
    let mut all = Tally::default();
    for seed in 0..WORLDS / 4 {
        let world = trial.run(seed);
        (0..asks.len() as u8).for_each(|n| all.add(tally(&world, Who::Worker(n))));
    }
    all
}

/// All workers agree to ask for as much as there is.
fn ring() -> Row {
    let honest = market(&[550_000, 600_000, 620_000]);
    let ring = market(&[1_000_000; 3]);
    Row {
        attack: "bid ring of all workers",
        policy: "open bids",
        tries: ring.tries,
        gain: ring.prices - honest.cost(1, 1),
        honest: Some(honest.honest()),
        lost: ring.prices - honest.prices,
        note: "the reserve bounds it, which the cost model sets; and one worker outside the ring.",
        ..Row::default()
    }
}

/// One of three owners bids under three names instead of one.
fn sybil() -> Row {
    let won = |asks: &[u64], mine: u8| {
        let workers: Vec<(Nature, u64)> = asks.iter().map(|ask| (Nature::Honest, *ask)).collect();
        let trial = Trial { workers, ..Trial::of(Nature::Honest, trainings("none", 8, "")) };
        let mut all = Tally::default();
        for seed in 0..WORLDS / 4 {
            let world = trial.run(seed);
            (0..mine).for_each(|n| all.add(tally(&world, Who::Worker(n))));
        }
        all
    };
    let one = won(&[600_000, 600_000, 600_000], 1);
    let three = won(&[600_000; 5], 3);
    Row {
        attack: "sybil: three names instead of one",
        policy: "open bids",
        tries: three.tries,
        gain: three.honest(),
        honest: Some(one.honest()),
        lost: one.honest() - three.honest(),
        note: "more names are more hands in the auction, each with its own bond; nothing says who \
               is behind them. What others lose is the margin of the blocks that they do not get.",
        ..Row::default()
    }
}

/// A worker that answers after its time-out of three seconds.
fn late(policy: &'static str, ms: u64) -> Row {
    let more = ", timeout: 3s";
    let trial = Trial::of(Nature::Late(ms), trainings("full", 1, more));
    let (mut tries, mut gained, mut prices, mut settled) = (0, 0, 0, 0);
    for seed in 0..WORLDS / 4 {
        let world = trial.run(seed);
        let me = Who::Worker(0).key();
        for event in &world.checker.events {
            match event {
                Event::Leased { worker, price, .. } if *worker == me => {
                    tries += 1;
                    prices += i128::from(price.nano());
                }
                Event::Settled { worker, reward, .. } if *worker == me => {
                    settled += 1;
                    gained += i128::from(reward.nano());
                }
                Event::Lapsed { worker, fine, .. } if *worker == me => {
                    gained -= i128::from(fine.nano());
                }
                _ => {}
            }
        }
    }
    let lates = Tally { prices, ..Tally::default() };
    Row {
        attack: "late delivery",
        policy,
        tries,
        found: if ms > 3_750 { tries - settled } else { tries },
        predicted: Some(1_000_000),
        gain: gained - lates.cost(1, 1),
        honest: Some(lates.honest()),
        ..Row::default()
    }
}

/// A worker that is asked to run again what is settled, and says what the log says.
fn copied() -> Row {
    let mut fold = Fold::new(1);
    let again = noops("one", "", &["a: { uses: noop, verification: full, cache: off }"]);
    let (mut tries, mut found, mut prices, mut gas) = (0, 0, 0, 0);
    for n in 0..20 {
        fold.bid(WORKER, 500_000);
        fold.submit(&again, ohc(5));
        let receipt = fold.deliver(WORKER);
        fold.slot(0, &[]);
        let events = fold.judge(0, &receipt, Finding::Agree);
        for event in events.iter().filter(|_| n > 0) {
            match event {
                Event::Settled { reward, gas: share, .. } => {
                    tries += 1;
                    prices += i128::from(reward.nano());
                    gas += i128::from(share.nano());
                }
                Event::Slashed { .. } => found += 1,
                _ => {}
            }
        }
    }
    let all = Tally { prices, ..Tally::default() };
    Row {
        attack: "copied result: a job run again with `cache: off`",
        policy: "full",
        tries,
        found,
        gain: prices,
        honest: Some(all.honest()),
        lost: prices + gas,
        note: "the result is right, so nothing can be found: the log has it, and a worker that \
               looks there need not compute. Who turns the cache off pays for nothing.",
        ..Row::default()
    }
}

/// A client that lets others work and cancels before they deliver.
fn griefing() -> Row {
    let (mut tries, mut wasted, mut gain) = (0, 0, 0);
    for n in 0..10 {
        let mut fold = Fold::new(1);
        fold.bid(Who::Worker(n % 3), 500_000);
        let before = wealth(&fold.state, &CLIENT.key());
        let stages = ["a: { uses: noop, with: { tag: 1 } }", "b: { uses: noop, with: { tag: 2 } }"];
        let events = fold.submit(&noops("grief", "", &stages), ohc(5));
        let prices = events.iter().filter_map(|event| match event {
            Event::Leased { price, .. } => Some(i128::from(price.nano())),
            _ => None,
        });
        let prices: Vec<i128> = prices.collect();
        let worker = Who::Worker(n % 3).key();
        let rich = wealth(&fold.state, &worker);
        fold.slot(150, &[]);
        fold.send(CLIENT, Command::Cancel { run: RunId(1) });
        tries += prices.len() as u64;
        let paid = wealth(&fold.state, &worker) - rich;
        wasted += prices.iter().sum::<i128>() * 5 / 6 - paid;
        gain += wealth(&fold.state, &CLIENT.key()) - before;
    }
    Row {
        attack: "griefing client: cancels what is under way",
        policy: "any",
        tries,
        gain,
        lost: wasted,
        note: "at worst a worker has done all of the work and is paid nothing for it; the bond is \
               returned, and the client has nothing by it either.",
        ..Row::default()
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        late("0.4 s late, 0.75 s grace", 3_400),
        late("5 s late, 0.75 s grace", 8_000),
        copied(),
        ring(),
        sybil(),
        griefing(),
    ];
    rows[0].note = "found means paid less, by the tick; beyond the grace nothing is paid, and a \
                    tenth of the bond is burned.";
    rows
}
