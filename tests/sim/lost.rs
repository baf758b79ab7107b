//! What is lost: receipts that nobody can check any more, because inputs are gone that their worker
//! did not make. Never takes an artifact away: validators say that it is.

use crate::fold::{CLIENT, Fold, refused};
use crate::ground::{Who, genesis, noops, ohc};
use crate::hindsight::settled;
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::ids::{JobId, RunId};
use ohc::domain::command::Command;
use ohc::domain::event::{Ending, Event, GaveUp, Reject};
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::state::run::Status;
use ohc::domain::verdict::{Finding, Found, Segment};

const FIRST: Who = Who::Worker(0);
const SECOND: Who = Who::Worker(1);
const SEGMENT: Segment = Segment { job: JobId(1), index: 0 };

fn lost(artifact: Digest) -> Finding {
    Finding::Object { segment: SEGMENT, found: Found::Lost(artifact) }
}

/// A chain of two blocks of which the first is settled and the second drawn, by these workers; and
/// what the second is computed from.
fn chained(validators: u8, workers: [Who; 2], honest: bool) -> (Fold, Receipt, Digest) {
    let mut ground = genesis(validators, ohc(100));
    ground.params.challenge_ticks = 100_000;
    let mut fold = Fold::of(&ground);
    fold.bid(workers[0], 500_000);
    let stages = ["a: { uses: noop }", "b: { uses: noop, inputs: { x: a.done } }"];
    let spec = "  defaults: { verification: full }\n  run: { limits: { jobsPerBlock: 1 } }\n";
    fold.submit(&noops("chain", spec, &stages), ohc(5));
    let first = fold.deliver(workers[0]);
    fold.draw();
    if workers[0] != workers[1] {
        fold.send(workers[0], Command::Withdraw);
        fold.bid(workers[1], 500_000);
    }
    (0..validators).for_each(|n| drop(fold.judge(n, &first, Finding::Agree)));
    let mut second = fold.receipt(fold.held(workers[1])[0]);
    if let (Outcome::Done(claims), false) = (&mut second.outcome, honest) {
        claims[0].outputs[0] = Digest::of(b"a lie");
    }
    fold.send(workers[1], Command::Deliver(vec![second.clone()]));
    fold.draw();
    let Outcome::Done(claims) = &first.outcome else { panic!() };
    let input = claims[0].outputs[0];
    (fold, second, input)
}

/// All of these say the same: who was drawn first, and after two windows the others.
fn say(fold: &mut Fold, receipt: &Receipt, who: &[u8], finding: Finding) {
    // Whoever denies that something is lost finds that all is well where it was drawn.
    let is_denial = matches!(finding, Finding::Deny { .. });
    let meant = if is_denial { Finding::Agree } else { finding };
    who.iter().for_each(|n| fold.means(*n, meant));
    who.iter().for_each(|n| drop(fold.judge(*n, receipt, finding)));
    fold.slot(20_000, &[]);
    who.iter().for_each(|n| drop(fold.judge(*n, receipt, finding)));
}

fn has(fold: &Fold, what: impl Fn(&Event) -> bool) -> bool {
    fold.events.iter().any(what)
}

#[test]
fn a_receipt_whose_inputs_others_made_and_all_have_lost_is_void_without_a_fine() {
    for validators in [1, 4] {
        let (mut fold, receipt, input) = chained(validators, [FIRST, SECOND], true);
        let (before, record) = (fold.balance(SECOND), fold.state.workers()[&SECOND.key()].record);
        let bond = ohc(100).checked_sub(before).unwrap();
        say(&mut fold, &receipt, &[0, 1, 2][..usize::from(validators.min(3))], lost(input));
        let (lease, worker) = (receipt.lease, SECOND.key());
        let voided = Event::Voided { lease, worker, artifact: input };
        assert!(fold.events.contains(&voided), "{:?}", fold.events);
        assert_eq!(fold.balance(SECOND), before.checked_add(bond).unwrap(), "the bond is back");
        let worker = &fold.state.workers()[&SECOND.key()];
        assert_eq!((worker.record, worker.leases.len()), (record, 0));
        assert!(worker.bid.is_some(), "it did nothing wrong");
        let Status::Ended { ending, refund } = fold.status(1) else { panic!() };
        let (block, why) = (receipt.lease.block, GaveUp::Lost);
        assert_eq!(ending, Ending::Exhausted { block, why });
        let (reward, gas) = fold.state.runs()[&RunId(1)].spent();
        assert_eq!(Ohc::sum([reward, gas, refund]), Some(ohc(5)), "the first block alone is paid");
        assert_eq!(fold.held_money(), 0);
    }
}

#[test]
fn what_a_worker_made_itself_it_has_to_keep() {
    let (mut fold, receipt, input) = chained(4, [FIRST, FIRST], true);
    say(&mut fold, &receipt, &[0, 1, 2], lost(input));
    assert!(has(&fold, |event| matches!(event, Event::Slashed { .. })), "{:?}", fold.events);
    // And what the receipt itself names, whoever calls it an input.
    let (mut fold, receipt, _) = chained(4, [FIRST, SECOND], true);
    let Outcome::Done(claims) = &receipt.outcome else { panic!() };
    let output = claims[0].outputs[0];
    say(&mut fold, &receipt, &[0, 1, 2], lost(output));
    assert!(has(&fold, |event| matches!(event, Event::Slashed { .. })), "{:?}", fold.events);
}

#[test]
fn nobody_loses_what_a_receipt_is_not_computed_from() {
    let (mut fold, receipt, _) = chained(4, [FIRST, SECOND], true);
    let nowhere = lost(Digest::of(b"nowhere"));
    let verdict = fold.verdict(&receipt, nowhere);
    refused(&fold.send(Who::Validator(0), Command::Judge(vec![verdict])), Reject::BadReceipt);
}

#[test]
fn two_of_four_cannot_void_a_receipt_and_who_says_it_is_there_pays_nothing() {
    let (mut fold, receipt, input) = chained(4, [FIRST, SECOND], true);
    say(&mut fold, &receipt, &[0, 1], lost(input));
    assert!(!has(&fold, |event| matches!(event, Event::Voided { .. })));
    // It is found after all: a vote that came to nothing is held again, and whoever had sealed that
    // it was lost says so too.
    let free = |event: &&Event| matches!(event, Event::Overruled { fine: Ohc::ZERO, .. });
    for _ in 0..3 {
        say(&mut fold, &receipt, &[0, 1, 2, 3], Finding::Deny { segment: SEGMENT });
        let verdict = fold.verdict(&receipt, lost(input));
        for n in 0..2 {
            fold.send(Who::Validator(n), Command::Judge(vec![verdict.clone()]));
        }
    }
    say(&mut fold, &receipt, &[0, 1, 2, 3], Finding::Deny { segment: SEGMENT });
    assert!(fold.events.iter().filter(free).count() > 1, "{:?}", fold.events);
    for n in 0..4 {
        fold.means(n, Finding::Agree);
    }
    (0..4).for_each(|n| drop(fold.judge(n, &receipt, Finding::Agree)));
    assert!(settled(&fold.state, RunId(1)).is_some(), "{:?}", fold.status(1));
}

#[test]
fn whoever_is_silent_does_not_hold_others_to_what_they_could_not_find() {
    let (mut fold, receipt, input) = chained(4, [FIRST, SECOND], true);
    let say_once = |fold: &mut Fold, who: &[u8], finding| {
        who.iter().for_each(|n| drop(fold.judge(*n, &receipt, finding)));
        fold.slot(20_000, &[]);
    };
    // The first could not find an input that the others find, and one never says anything.
    say(&mut fold, &receipt, &[0], lost(input));
    let deny = Finding::Deny { segment: SEGMENT };
    say_once(&mut fold, &[1, 2], deny);
    assert!(!has(&fold, |event| matches!(event, Event::Overruled { .. })));
    (0..3).for_each(|_| say_once(&mut fold, &[0, 1, 2], deny));
    assert!(has(&fold, |event| matches!(event, Event::Overruled { .. })), "{:?}", fold.events);
}

#[test]
fn a_lie_does_not_hide_behind_one_validator_that_cannot_find_its_inputs() {
    let (mut fold, receipt, input) = chained(4, [FIRST, SECOND], false);
    let object = Finding::Object { segment: SEGMENT, found: Found::Other };
    say(&mut fold, &receipt, &[0], lost(input));
    say(&mut fold, &receipt, &[1, 2, 3], object);
    assert!(has(&fold, |event| matches!(event, Event::Slashed { .. })), "{:?}", fold.events);
    assert!(!has(&fold, |event| matches!(event, Event::Voided { .. })));
}

#[test]
fn a_challenge_that_nobody_can_look_into_leaves_everything_as_it_was() {
    // What others made, or what the receipt itself names: that was there when it was accepted.
    for is_own in [false, true] {
        let (mut fold, receipt, input) = chained(4, [FIRST, SECOND], true);
        (0..4).for_each(|n| drop(fold.judge(n, &receipt, Finding::Agree)));
        assert!(settled(&fold.state, RunId(1)).is_some(), "{:?}", fold.status(1));
        let Outcome::Done(claims) = &receipt.outcome else { panic!() };
        let artifact = if is_own { claims[0].outputs[0] } else { input };
        let worth = |fold: &Fold| (fold.balance(CLIENT), fold.balance(SECOND));
        let (before, known) = (worth(&fold), fold.state.cache().len());
        fold.send(CLIENT, Command::Challenge { lease: receipt.lease, segment: SEGMENT });
        assert!(fold.balance(CLIENT) < before.0);
        let verdict = fold.verdict(&receipt, lost(artifact));
        (0..3).for_each(|n| {
            fold.send(Who::Validator(n), Command::Judge(vec![verdict.clone()]));
        });
        let free = |event: &Event| matches!(event, Event::Dismissed { deposit: Ohc::ZERO, .. });
        assert!(has(&fold, free), "{:?}", fold.events);
        assert!(!has(&fold, |e| matches!(e, Event::Lazy { .. } | Event::Revoked { .. })));
        assert_eq!((worth(&fold), fold.state.cache().len()), (before, known));
        assert_eq!(fold.held_money(), 0);
    }
}

#[test]
fn a_challenge_that_splits_the_votes_is_voted_again() {
    let (mut fold, receipt, input) = chained(4, [FIRST, SECOND], true);
    (0..4).for_each(|n| drop(fold.judge(n, &receipt, Finding::Agree)));
    fold.send(CLIENT, Command::Challenge { lease: receipt.lease, segment: SEGMENT });
    let vote = |fold: &mut Fold, n: u8, finding| {
        let verdict = fold.verdict(&receipt, finding);
        fold.send(Who::Validator(n), Command::Judge(vec![verdict]));
    };
    let deny = Finding::Deny { segment: SEGMENT };
    vote(&mut fold, 0, lost(input));
    (1..3).for_each(|n| vote(&mut fold, n, deny));
    fold.slot(100_000, &[]);
    assert!(!has(&fold, |event| matches!(event, Event::Dismissed { .. })));
    (0..3).for_each(|n| vote(&mut fold, n, deny));
    assert!(has(&fold, |event| matches!(event, Event::Dismissed { .. })), "{:?}", fold.events);
    assert_eq!(fold.held_money(), 0);
}
