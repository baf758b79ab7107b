//! Replicas: the same block for several workers, on the bare fold and with real roles.
//! Never looks at how a lot is kept.

use crate::fold::{Fold, OBJECTION};
use crate::ground::{Who, noops, ohc, submission};
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::domain::command::Command;
use ohc::domain::event::{Ending, Event, Reject};
use ohc::domain::receipt::{Opening, Outcome, Receipt, Seal};
use ohc::domain::state::State;
use ohc::domain::state::run::{Phase, Status};
use ohc::domain::verdict::Finding;

const RUN: RunId = RunId(1);
const FIRST: Who = Who::Worker(0);
const SECOND: Who = Who::Worker(1);
const THIRD: Who = Who::Worker(2);

fn replicated(stages: &[&str]) -> String {
    noops("twice", "  defaults: { verification: { replicate: 2 } }\n", stages)
}

/// A run of one job for two workers, with these bids.
fn begun(workers: &[Who]) -> Fold {
    let mut fold = Fold::new(1);
    for (n, who) in (0u64..).zip(workers) {
        fold.bid(*who, 500_000 + 50_000 * n);
    }
    fold.submit(&replicated(&["a: { uses: noop }"]), ohc(5));
    fold
}

fn salt(who: Who) -> Digest {
    Digest::of(who.key().to_string().as_bytes())
}

fn false_outcome(receipt: &Receipt) -> Outcome {
    let Outcome::Done(mut claims) = receipt.outcome.clone() else { panic!() };
    claims[0].outputs[0] = Digest::of(b"a lie");
    Outcome::Done(claims)
}

/// Seals an answer, an honest one or a lie, and gives what opens it.
fn seal(fold: &mut Fold, who: Who, lies: bool) -> Opening {
    let lease = fold.held(who)[0];
    let mut receipt = fold.receipt(lease);
    if lies {
        receipt.outcome = false_outcome(&receipt);
    }
    let opening = Opening { receipt, salt: salt(who) };
    let seal = Seal { lease, seal: opening.seal(who.key()) };
    fold.send(who, Command::Seal(vec![seal]));
    opening
}

fn open(fold: &mut Fold, who: Who, opening: &Opening) -> Vec<Event> {
    fold.send(who, Command::Open(vec![opening.clone()]))
}

fn kinds(events: &[Event], is: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| is(event)).count()
}

fn phase(fold: &Fold, index: u32) -> &Phase {
    &fold.state.runs()[&RUN].block(index).unwrap().phase
}

fn settled(fold: &Fold) -> Ohc {
    let Status::Ended { ending, refund } = fold.status(1) else { panic!("{:?}", fold.status(1)) };
    assert_eq!(ending, Ending::Settled);
    let (reward, gas) = fold.state.runs()[&RUN].spent();
    assert_eq!(Ohc::sum([reward, gas, refund]), Some(ohc(5)), "the refund is exact");
    assert_eq!(fold.held_money(), 0);
    reward
}

#[test]
fn a_replicated_block_goes_to_as_many_workers_at_one_score() {
    let fold = begun(&[FIRST, SECOND, THIRD]);
    let (one, two) = (fold.held(FIRST)[0], fold.held(SECOND)[0]);
    assert_eq!((one.block.index, two.block.index), (0, 1));
    assert!(fold.held(THIRD).is_empty());
    let price = |lease: LeaseId| match phase(&fold, lease.block.index) {
        Phase::Leased(lease) => lease.price,
        other => panic!("{other:?}"),
    };
    // 100 units at the ask of the third, whose record is as good as theirs.
    assert_eq!((price(one), price(two)), (Ohc::from_nano(60_000_000), Ohc::from_nano(60_000_000)));
}

#[test]
fn answers_that_agree_are_paid_without_being_computed_again() {
    let mut fold = begun(&[FIRST, SECOND]);
    let one = seal(&mut fold, FIRST, false);
    assert!(matches!(phase(&fold, 0), Phase::Sealed(_)));
    let two = seal(&mut fold, SECOND, false);
    let asked = |fold: &Fold| kinds(&fold.events, |e| matches!(e, Event::Opening { .. }));
    assert_eq!(asked(&fold), 1);
    open(&mut fold, FIRST, &one);
    open(&mut fold, SECOND, &two);
    let events = fold.slot(0, &[]);
    let is_empty =
        |event: &Event| matches!(event, Event::Drawn { audit, .. } if audit.segments.is_empty());
    assert_eq!(kinds(&events, is_empty), 2, "{events:?}");
    fold.judge(0, &one.receipt, Finding::Agree);
    fold.judge(0, &two.receipt, Finding::Agree);
    assert_eq!(settled(&fold), Ohc::from_nano(200_000_000), "each at the reserve");
    assert_eq!(fold.state.cache().len(), 1);
}

#[test]
fn nobody_tells_before_all_are_sealed_and_nobody_opens_the_seal_of_another() {
    let mut fold = begun(&[FIRST, SECOND]);
    let lease = fold.held(FIRST)[0];
    let receipt = fold.receipt(lease);
    let events = fold.send(FIRST, Command::Deliver(vec![receipt]));
    crate::fold::refused(&events, Reject::WrongForm);
    let one = seal(&mut fold, FIRST, false);
    crate::fold::refused(&open(&mut fold, FIRST, &one), Reject::TooEarly);
    // The second copies the first one's seal, and later its answer.
    let lease = fold.held(SECOND)[0];
    let copied = Seal { lease, seal: one.seal(FIRST.key()) };
    fold.send(SECOND, Command::Seal(vec![copied]));
    open(&mut fold, FIRST, &one);
    let receipt = Receipt { lease, ..one.receipt.clone() };
    let copy = Opening { receipt, salt: one.salt };
    crate::fold::refused(&open(&mut fold, SECOND, &copy), Reject::BrokenSeal);
}

#[test]
fn who_does_not_tell_loses_its_lease_and_the_others_are_checked_in_full() {
    let mut fold = begun(&[FIRST, SECOND]);
    let one = seal(&mut fold, FIRST, false);
    seal(&mut fold, SECOND, false);
    open(&mut fold, FIRST, &one);
    let events = fold.slot(250, &[]);
    let lapsed =
        |event: &Event| matches!(event, Event::Lapsed { worker, .. } if *worker == SECOND.key());
    assert_eq!(kinds(&events, lapsed), 1, "{events:?}");
    let events = fold.slot(0, &[]);
    let is_full =
        |event: &Event| matches!(event, Event::Drawn { audit, .. } if !audit.segments.is_empty());
    assert_eq!(kinds(&events, is_full), 1, "{events:?}");
    fold.judge(0, &one.receipt, Finding::Agree);
    // The result is known: nobody is paid for what anybody could copy.
    assert_eq!(settled(&fold), Ohc::from_nano(100_000_000));
    assert!(matches!(phase(&fold, 1), Phase::Cached));
}

#[test]
fn a_liar_among_replicas_is_slashed_and_the_honest_answer_settles() {
    for order in [[0, 1], [1, 0]] {
        let mut fold = begun(&[FIRST, SECOND]);
        let one = seal(&mut fold, FIRST, true);
        let two = seal(&mut fold, SECOND, false);
        open(&mut fold, FIRST, &one);
        open(&mut fold, SECOND, &two);
        fold.slot(0, &[]);
        for turn in order {
            let (opening, finding) = [(&one, OBJECTION), (&two, Finding::Agree)][turn];
            fold.judge(0, &opening.receipt, finding);
        }
        settled(&fold);
        assert!(matches!(phase(&fold, 0), Phase::Cached), "{:?}", phase(&fold, 0));
        assert!(matches!(phase(&fold, 1), Phase::Settled(_)));
        let first = FIRST.key();
        let slashed = |e: &Event| matches!(e, Event::Slashed { worker, .. } if *worker == first);
        assert_eq!(kinds(&fold.events, slashed), 1);
        assert!(fold.balance(FIRST) < ohc(100));
    }
}

#[test]
fn where_all_replicas_lie_differently_all_are_offered_again_to_others() {
    let mut fold = begun(&[FIRST, SECOND]);
    let one = seal(&mut fold, FIRST, true);
    let lease = fold.held(SECOND)[0];
    let mut receipt = fold.receipt(lease);
    let Outcome::Done(claims) = &mut receipt.outcome else { panic!() };
    claims[0].outputs[0] = Digest::of(b"another lie");
    let two = Opening { receipt, salt: salt(SECOND) };
    let seal_of = Seal { lease, seal: two.seal(SECOND.key()) };
    fold.send(SECOND, Command::Seal(vec![seal_of]));
    open(&mut fold, FIRST, &one);
    open(&mut fold, SECOND, &two);
    fold.slot(0, &[]);
    fold.judge(0, &one.receipt, OBJECTION);
    assert!(matches!(phase(&fold, 0), Phase::Waiting), "the other may yet be right");
    fold.judge(0, &two.receipt, OBJECTION);
    for index in 0..2 {
        assert!(matches!(phase(&fold, index), Phase::Offered(_)), "{:?}", phase(&fold, index));
    }
    // Those who lied do not get either of them; others do.
    fold.bid(FIRST, 1);
    fold.bid(SECOND, 1);
    assert!(fold.held(FIRST).is_empty() && fold.held(SECOND).is_empty());
    fold.bid(THIRD, 500_000);
    fold.bid(Who::Worker(3), 500_000);
    assert_eq!((fold.held(THIRD).len(), fold.held(Who::Worker(3)).len()), (1, 1));
}

#[test]
fn the_same_lie_of_all_is_believed_which_is_what_a_replica_costs() {
    let mut fold = begun(&[FIRST, SECOND]);
    let one = seal(&mut fold, FIRST, true);
    let two = seal(&mut fold, SECOND, true);
    open(&mut fold, FIRST, &one);
    open(&mut fold, SECOND, &two);
    fold.slot(0, &[]);
    fold.judge(0, &one.receipt, Finding::Agree);
    fold.judge(0, &two.receipt, Finding::Agree);
    settled(&fold);
}

#[test]
fn a_run_without_enough_workers_pauses_and_what_was_answered_is_checked_in_full() {
    let mut fold = begun(&[FIRST]);
    let one = seal(&mut fold, FIRST, false);
    for _ in 0..6 {
        fold.slot(50, &[]);
    }
    assert!(matches!(fold.status(1), Status::Paused(_)), "{:?}", fold.status(1));
    fold.slot(0, &[]);
    open(&mut fold, FIRST, &one);
    fold.slot(0, &[]);
    fold.judge(0, &one.receipt, Finding::Agree);
    assert!(matches!(phase(&fold, 0), Phase::Settled(_)), "{:?}", phase(&fold, 0));
    fold.send(crate::fold::CLIENT, Command::Resume { run: RUN, added: Ohc::ZERO });
    settled(&fold);
}

#[test]
fn replicas_are_offered_together_or_not_at_all() {
    let mut fold = Fold::new(1);
    // Enough for one of two.
    let events = fold.submit(&replicated(&["a: { uses: noop }"]), Ohc::from_nano(150_000_000));
    assert_eq!(kinds(&events, |e| matches!(e, Event::Offered { .. })), 0);
    assert!(matches!(fold.status(1), Status::Paused(_)));
}

#[test]
fn what_depends_on_replicas_waits_for_all_of_them() {
    let mut fold = Fold::new(1);
    for who in [FIRST, SECOND] {
        fold.bid(who, 500_000);
    }
    let stages = [
        "a: { uses: noop }",
        "b: { uses: noop, with: { tag: 2 }, inputs: { x: a.done }, \
                   verification: full }",
    ];
    fold.submit(&replicated(&stages), ohc(5));
    let needs = fold.state.runs()[&RUN].plan.blocks.last().unwrap().needs.clone();
    assert_eq!(needs, [0, 1]);
    let (one, two) = (seal(&mut fold, FIRST, false), seal(&mut fold, SECOND, false));
    open(&mut fold, FIRST, &one);
    open(&mut fold, SECOND, &two);
    fold.slot(0, &[]);
    fold.judge(0, &one.receipt, Finding::Agree);
    assert!(matches!(phase(&fold, 2), Phase::Waiting));
    fold.judge(0, &two.receipt, Finding::Agree);
    let block = BlockId { run: RUN, index: 2 };
    assert!(matches!(phase(&fold, 2), Phase::Leased(lease) if lease.id.block == block));
    let last = [FIRST, SECOND].into_iter().find(|who| !fold.held(*who).is_empty()).unwrap();
    let receipt = fold.deliver(last);
    fold.slot(0, &[]);
    fold.judge(0, &receipt, Finding::Agree);
    settled(&fold);
}

/// The same job on these terms, for the client that calls it its own.
fn on_terms(terms: &str) -> String {
    noops("terms", "", &[&format!("a: {{ uses: noop, verification: {terms}, cache: private }}")])
}

/// Has all that is leased for a run answered, and the answers accepted.
fn finish(fold: &mut Fold, run: RunId) {
    let held = |fold: &Fold, who| fold.held(who).into_iter().find(|lease| lease.block.run == run);
    let all = [FIRST, SECOND].map(|who| Some((who, held(fold, who)?)));
    let all: Vec<_> = all.into_iter().flatten().collect();
    let mut told = Vec::new();
    for (who, lease) in &all {
        let opening = Opening { receipt: fold.receipt(*lease), salt: salt(*who) };
        match all.len() {
            1 => fold.send(*who, Command::Deliver(vec![opening.receipt.clone()])),
            _ => {
                let seal = opening.seal(who.key());
                fold.send(*who, Command::Seal(vec![Seal { lease: *lease, seal }]))
            }
        };
        told.push(opening);
    }
    for ((who, _), opening) in all.iter().zip(&told).filter(|_| all.len() > 1) {
        open(fold, *who, opening);
    }
    fold.slot(0, &[]);
    told.iter().for_each(|told| drop(fold.judge(0, &told.receipt, Finding::Agree)));
}

#[test]
fn r12_what_a_client_settled_on_any_terms_is_free_again_on_the_same_whatever_came_after() {
    let all = ["{ replicate: 2 }", "none", "{ audit: { rate: 0.5, segments: 2 } }", "full"];
    let clients = [Who::Client(0), Who::Client(1)];
    // Every order in which the four settle, one client's before the other's and after them.
    let orders = (0..24).map(|n: usize| {
        let mut left = all.to_vec();
        let take = |i: usize| left.remove(n / [6, 2, 1, 1][i] % (4 - i));
        (0..4).map(take).collect::<Vec<_>>()
    });
    for order in orders {
        let mut fold = Fold::new(1);
        fold.bid(FIRST, 500_000);
        fold.bid(SECOND, 500_000);
        let wishes = || clients.into_iter().flat_map(|who| order.iter().map(move |on| (who, *on)));
        let submit = |fold: &mut Fold, (who, on)| {
            let submission = submission(on_terms(on), Vec::new(), ohc(5));
            fold.send(who, Command::Submit(Box::new(submission)))
        };
        // All are at work before the first of them settles.
        wishes().for_each(|wish| drop(submit(&mut fold, wish)));
        (1..=8).for_each(|run| finish(&mut fold, RunId(run)));
        for (who, on) in wishes() {
            let events = submit(&mut fold, (who, on));
            let is_free =
                |event: &Event| matches!(event, Event::Ended { refund, .. } if *refund == ohc(5));
            assert_eq!(kinds(&events, is_free), 1, "{on} of {who:?} after {order:?}: {events:?}");
        }
        let bytes = fold.state.snapshot();
        assert!(State::restore(&bytes).unwrap().snapshot() == bytes);
    }
}
