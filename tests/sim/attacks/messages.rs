//! Messages that are not what they seem: sent again, stale, forged, claimed twice, or nonsense.
//! Never more chance than a number: each is tried in all its forms on the bare fold.

use super::page::Row;
use crate::fold::{CLIENT, Fold, WORKER, one};
use crate::ground::{Who, ohc, submission};
use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::time::Millis;
use ohc::domain::command::{Bid, Command, SignedOrder};
use ohc::domain::event::Event;
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::role::{Machine, Signer, validator};

const THIEF: Who = Who::Worker(1);
const TRIES: u64 = 100;

/// A run of one job that is leased to an honest worker.
fn leased() -> (Fold, Receipt) {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let receipt = fold.receipt(fold.held(WORKER)[0]);
    (fold, receipt)
}

/// Tries something so often, a slot for each; what the thief and the honest have more then.
fn tried(
    attack: &'static str,
    mut fold: Fold,
    author: Who,
    mut next: impl FnMut(&mut Fold, u64) -> SignedOrder,
) -> Row {
    let (thief, honest) = (fold.balance(author), [CLIENT, WORKER].map(|who| fold.balance(who)));
    let mut found = 0;
    for n in 0..TRIES {
        let order = next(&mut fold, n);
        let events = fold.slot(0, &[order]);
        found += u64::from(events.iter().any(|event| matches!(event, Event::Rejected { .. })));
    }
    let nano = |amount: Ohc| i128::from(amount.nano());
    let sum = |all: [Ohc; 2]| all.map(nano).iter().sum::<i128>();
    let after = [CLIENT, WORKER].map(|who| fold.balance(who));
    let others = if author == THIEF { sum(honest) - sum(after) } else { 0 };
    Row {
        attack,
        policy: "any",
        tries: TRIES,
        found,
        predicted: Some(1_000_000),
        after: Some((0, 0)),
        gain: nano(fold.balance(author)) - nano(thief),
        lost: others,
        ..Row::default()
    }
}

/// A claim to be paid for the lease of another.
fn stolen() -> Row {
    let (fold, receipt) = leased();
    tried("double claim: the lease of another", fold, THIEF, move |fold, _| {
        fold.sign(THIEF, Command::Deliver(vec![receipt.clone()]))
    })
}

/// A claim to be paid twice for one lease.
fn twice() -> Row {
    let (mut fold, receipt) = leased();
    fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
    tried("double claim: a lease that is answered", fold, WORKER, move |fold, _| {
        fold.sign(WORKER, Command::Deliver(vec![receipt.clone()]))
    })
}

fn replay() -> Row {
    let mut fold = Fold::new(1);
    let transfer = Command::Transfer { to: THIEF.key(), amount: ohc(1) };
    let order = fold.sign(CLIENT, transfer);
    fold.slot(0, std::slice::from_ref(&order));
    tried("replay of a payment", fold, THIEF, move |_, _| order.clone())
}

fn stale() -> Row {
    let mut fold = Fold::new(1);
    let bid = |ask| Bid { ask: Price::new(ask), capacity: Work::new(1), has: Default::default() };
    let old = fold.sign(WORKER, Command::Bid(bid(1)));
    fold.slot(0, std::slice::from_ref(&old));
    fold.send(WORKER, Command::Bid(bid(900_000)));
    tried("stale bid of another", fold, THIEF, move |_, _| old.clone())
}

/// Receipts that somebody else is said to have signed: no validator takes them in.
fn forged() -> Row {
    let (mut fold, receipt) = leased();
    let mut judge = validator::Validator::new(Signer::new(Who::Validator(0).secret()), Millis(0));
    let mut found = 0;
    for n in 0..TRIES {
        let mut lie = receipt.clone();
        lie.lease.attempt += (n % 3) as u32;
        if n % 2 == 0 {
            lie.outcome = Outcome::Done(Vec::new());
        }
        let order = fold.sign(THIEF, Command::Deliver(vec![lie]));
        let order = SignedOrder { author: WORKER.key(), ..order };
        let mut out = Vec::new();
        judge.handle(Millis(n), &fold.state, validator::Input::Command(order), &mut out);
        judge.handle(Millis(n), &fold.state, validator::Input::Wake, &mut out);
        let is_in = |output: &validator::Output| match output {
            validator::Output::Cut(draft) => !draft.commands.is_empty(),
            _ => false,
        };
        found += u64::from(!out.iter().any(is_in));
    }
    let (attack, policy, predicted) = ("forged receipt", "any", Some(1_000_000));
    Row { attack, policy, tries: TRIES, found, predicted, ..Row::default() }
}

fn spam() -> Row {
    let fold = Fold::new(1);
    let mut row = tried("spam", fold, THIEF, |fold, n| {
        let nonsense = submission("a: [".to_owned(), Vec::new(), Ohc::from_nano(n));
        let command = match n % 3 {
            0 => Command::Submit(Box::new(nonsense)),
            1 => Command::Cancel { run: ohc::base::ids::RunId(n as u32) },
            _ => Command::Transfer { to: CLIENT.key(), amount: ohc(1_000_000) },
        };
        fold.sign(THIEF, command)
    });
    row.note = "a refused command costs a fee; one of a stranger without an account, and a replay, \
                cost nothing but the bytes of the slot that they are in.";
    row
}

pub fn rows() -> Vec<Row> {
    vec![stolen(), twice(), replay(), stale(), forged(), spam()]
}
