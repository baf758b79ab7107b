//! Lies where several workers compute the same: alone, together, and by copying. Never more than
//! three replicas: what a fourth would say is said by the third.

use super::page::Row;
use super::trial::{Tally, wealth};
use crate::fold::{CLIENT, Fold, refused};
use crate::ground::{Who, noops, ohc};
use crate::labour;
use ohc::base::canon::Digest;
use ohc::domain::command::Command;
use ohc::domain::event::{Event, Reject};
use ohc::domain::receipt::{Opening, Outcome, Receipt, Seal};
use std::collections::BTreeSet;

const LOTS: u64 = 20;
const WORKERS: [Who; 3] = [Who::Worker(0), Who::Worker(1), Who::Worker(2)];

/// A lot of three that is leased.
fn leased(tag: u64) -> Fold {
    let mut fold = Fold::new(1);
    WORKERS.iter().for_each(|who| drop(fold.bid(*who, 600_000)));
    let stage =
        format!("a: {{ uses: noop, with: {{ tag: {tag} }}, verification: {{ replicate: 3 }} }}");
    fold.submit(&noops("lot", "", &[&stage]), ohc(5));
    fold
}

/// What somebody answers: what came out, or a lie of this name.
fn answer(fold: &Fold, who: Who, lie: Option<&str>) -> Opening {
    let mut receipt = fold.receipt(fold.held(who)[0]);
    if let (Outcome::Done(claims), Some(lie)) = (&mut receipt.outcome, lie) {
        claims[0].outputs[0] = Digest::of(lie.as_bytes());
    }
    Opening { receipt, salt: Digest::of(who.key().to_string().as_bytes()) }
}

fn seal(fold: &mut Fold, who: Who, seal: Digest) {
    let lease = fold.held(who)[0];
    fold.send(who, Command::Seal(vec![Seal { lease, seal }]));
}

/// Everything that the one validator is asked, honestly answered.
fn judge(fold: &mut Fold, told: &[&Receipt]) {
    let me = Who::Validator(0);
    let named = told.iter().flat_map(|receipt| labour::artifacts(&receipt.outcome));
    let store: BTreeSet<Digest> = named.collect();
    fold.slot(0, &[]);
    while !fold.state.questions(&me.key()).is_empty() {
        let asked = fold.state.questions(&me.key()).into_iter();
        let duties = asked.filter_map(|matter| fold.state.duty(matter, &me.key()));
        let verdicts = duties.map(|duty| labour::check(&duty, &store, Digest::default())).collect();
        fold.send(me, Command::Judge(verdicts));
    }
}

/// The first workers lie, each as `lies` says; the others compute.
fn lying(attack: &'static str, policy: &'static str, lies: &[&'static str]) -> Row {
    let mut row = Row { attack, policy, ..Row::default() };
    let mut all = Tally::default();
    for tag in 0..LOTS {
        let mut fold = leased(tag);
        let liars: Vec<_> = WORKERS.iter().take(lies.len()).map(|who| who.key()).collect();
        let rich = |fold: &Fold| liars.iter().map(|key| wealth(&fold.state, key)).sum::<i128>();
        let begin = rich(&fold);
        let told: Vec<Opening> =
            (0..3).map(|n| answer(&fold, WORKERS[n], lies.get(n).copied())).collect();
        for (who, told) in WORKERS.iter().zip(&told) {
            seal(&mut fold, *who, told.seal(who.key()));
        }
        for (who, told) in WORKERS.iter().zip(&told) {
            fold.send(*who, Command::Open(vec![told.clone()]));
        }
        let receipts: Vec<&Receipt> = told.iter().map(|told| &told.receipt).collect();
        judge(&mut fold, &receipts);
        row.tries += lies.len() as u64;
        for event in &fold.events {
            match event {
                Event::Leased { worker, price, .. } if liars.contains(worker) => {
                    all.prices += i128::from(price.nano());
                }
                Event::Slashed { worker, bond, .. } if liars.contains(worker) => {
                    row.found += 1;
                    row.lost -= i128::from(bond.nano() / 2);
                }
                Event::Settled { worker, reward, gas, .. } if liars.contains(worker) => {
                    row.lost += i128::from(reward.nano()) + i128::from(gas.nano());
                }
                _ => {}
            }
        }
        row.gain += rich(&fold) - begin;
    }
    Row { predicted: None, honest: Some(all.honest()), ..row }
}

/// A worker that computes nothing, and seals what another one has sealed.
fn copied() -> Row {
    let (mut row, mut all) = (Row::default(), Tally::default());
    let copier = WORKERS[2];
    for tag in 0..LOTS {
        let mut fold = leased(tag);
        let begin = wealth(&fold.state, &copier.key());
        let told: Vec<Opening> = (0..2).map(|n| answer(&fold, WORKERS[n], None)).collect();
        for (who, told) in WORKERS.iter().zip(&told) {
            seal(&mut fold, *who, told.seal(who.key()));
        }
        seal(&mut fold, copier, told[0].seal(WORKERS[0].key()));
        for (who, told) in WORKERS.iter().zip(&told) {
            fold.send(*who, Command::Open(vec![told.clone()]));
        }
        // Now it could read the answer; but what it sealed holds another name.
        let lease = fold.held(copier)[0];
        let receipt = Receipt { lease, outcome: told[0].receipt.outcome.clone() };
        let opening = Opening { receipt, salt: told[0].salt };
        refused(&fold.send(copier, Command::Open(vec![opening]))[..1], Reject::BrokenSeal);
        fold.slot(200, &[]);
        let receipts: Vec<&Receipt> = told.iter().map(|told| &told.receipt).collect();
        judge(&mut fold, &receipts);
        row.tries += 1;
        for event in &fold.events {
            match event {
                Event::Leased { worker, price, .. } if *worker == copier.key() => {
                    all.prices += i128::from(price.nano());
                }
                Event::Lapsed { worker, .. } if *worker == copier.key() => row.found += 1,
                _ => {}
            }
        }
        row.gain += wealth(&fold.state, &copier.key()) - begin;
        row.lost += ohc(1_000).nano() as i128 - wealth(&fold.state, &CLIENT.key()) - spent(&fold);
    }
    let (attack, policy) = ("copied seal of another replica", "replicate 3");
    Row { attack, policy, predicted: Some(1_000_000), honest: Some(all.honest()), ..row }
}

/// What the client has paid for answers that hold.
fn spent(fold: &Fold) -> i128 {
    let paid = |event: &Event| match event {
        Event::Settled { reward, gas, .. } => i128::from(reward.nano()) + i128::from(gas.nano()),
        _ => 0,
    };
    fold.events.iter().map(paid).sum()
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        lying("lying replicas", "replicate 3, 1 lies", &["a lie"]),
        lying("lying replicas", "replicate 3, 2 lie alike", &["a lie", "a lie"]),
        lying("lying replicas", "replicate 3, all lie alike", &["a lie"; 3]),
        lying("lying replicas", "replicate 3, all lie apart", &["one", "two", "three"]),
        copied(),
    ];
    rows[1].note = "a majority of replicas decides nothing: where not all say the same, \
                    validators compute it again, and who lied is slashed.";
    rows[2].note = "what a replica costs: if all of a lot are in one hand, nothing else looks. The \
                    market gives no two of them to one name, and cannot know who is behind a name.";
    rows
}
