//! What follows when something does not work out: attempts that fail, workers that cannot pay.
//! Never runs a role.

use crate::fold::{CLIENT, DENIAL, Fold, OBJECTION, WORKER, drawn, one, refused};
use crate::ground::{Who, noops, ohc, pin, submission};
use crate::pipelines;
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, JobId, RunId};
use ohc::domain::command::{Beat, Command};
use ohc::domain::event::{Ending, Event, Pause, Reject};
use ohc::domain::job::Pin;
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::state::run::{Phase, Status};
use ohc::domain::verdict::{Finding, Found, Segment};

const BLOCK: BlockId = BlockId { run: RunId(1), index: 0 };

fn with_attempts(max: u32) -> String {
    let stage = format!("a: {{ uses: noop, verification: full, retry: {{ maxAttempts: {max} }} }}");
    noops("attempts", "", &[&stage])
}

/// A run whose only block may be attempted so often, leased to the first worker.
fn leased(attempts_max: u32) -> Fold {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&with_attempts(attempts_max), ohc(5));
    assert_eq!(fold.held(WORKER).len(), 1);
    fold
}

#[track_caller]
fn exhausted(fold: &Fold) {
    let status = fold.status(1);
    let Status::Ended { ending: Ending::Exhausted { block: BLOCK, .. }, refund } = status else {
        panic!("{status:?}")
    };
    assert_eq!(refund, ohc(5), "nothing was accepted, nothing is paid");
    assert_eq!(fold.held_money(), 0);
    assert!(fold.held(WORKER).is_empty());
}

#[test]
fn r3_a_last_attempt_that_lapses_ends_the_run_once() {
    let mut fold = leased(1);
    fold.slot(200, &[]);
    exhausted(&fold);
}

#[test]
fn r3_a_last_attempt_that_is_slashed_ends_the_run_once() {
    let mut fold = leased(1);
    let receipt = fold.deliver(WORKER);
    fold.slot(0, &[]);
    let events = fold.judge(0, &receipt, OBJECTION);
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Slashed { .. })).count(), 1);
    exhausted(&fold);
}

#[test]
fn a_cancelled_run_offers_nothing_again() {
    let mut fold = leased(4);
    let receipt = fold.deliver(WORKER);
    fold.send(CLIENT, Command::Cancel { run: RunId(1) });
    fold.bid(Who::Worker(1), 500_000);
    let events = fold.judge(0, &receipt, OBJECTION);
    assert!(!events.iter().any(|event| matches!(event, Event::Offered { .. })), "{events:?}");
    let status = fold.status(1);
    assert_eq!(status, Status::Ended { ending: Ending::Cancelled, refund: ohc(5) });
}

#[test]
fn a_run_that_stands_still_offers_nothing_again() {
    let mut fold = Fold::new(1);
    let cheap = "a: { uses: noop, with: { tag: 1 }, verification: full }";
    let second = "b: { uses: noop, with: { tag: 2 }, verification: full }";
    fold.bid(WORKER, 500_000);
    fold.submit(&noops("two", "", &[cheap, second]), ohc(5));
    let leases = fold.held(WORKER);
    let receipts: Vec<_> = leases.iter().map(|lease| fold.receipt(*lease)).collect();
    fold.send(WORKER, Command::Deliver(receipts.clone()));
    fold.slot(0, &[]);
    fold.send(WORKER, Command::Withdraw);
    // Nobody takes the first block again: the run pauses while the second is still judged.
    fold.judge(0, &receipts[0], OBJECTION);
    for _ in 0..8 {
        fold.slot(50, &[]);
    }
    assert_eq!(fold.status(1), Status::Paused(Pause::NoBids));
    let objection =
        Finding::Object { segment: Segment { job: JobId(1), index: 0 }, found: Found::Other };
    let events = fold.judge(0, &receipts[1], objection);
    assert!(!events.iter().any(|event| matches!(event, Event::Offered { .. })), "{events:?}");
    let block = &fold.state.runs()[&RunId(1)].blocks[1];
    assert!(matches!(block.phase, Phase::Waiting), "{:?}", block.phase);
    fold.send(CLIENT, Command::Cancel { run: RunId(1) });
    assert_eq!(fold.status(1), Status::Ended { ending: Ending::Cancelled, refund: ohc(5) });
    assert_eq!(fold.held_money(), 0);
}

#[test]
fn an_offer_that_only_the_insolvent_want_does_not_wait_for_ever() {
    let mut fold = Fold::new(1);
    let purse = fold.balance(WORKER);
    let bank = Who::Bank.key();
    fold.send(WORKER, Command::Transfer { to: bank, amount: purse });
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    for _ in 0..6 {
        fold.slot(50, &[]);
    }
    assert_eq!(fold.status(1), Status::Paused(Pause::NoBids));
}

#[test]
fn an_offer_that_a_busy_worker_wants_keeps_its_price() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    let many: Vec<String> =
        (0..120).map(|n| format!("s{n}: {{ uses: noop, with: {{ tag: {n} }} }}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    fold.submit(&noops("many", "", &many), ohc(500));
    assert!(fold.held(WORKER).len() < 120);
    fold.slot(50, &[]);
    assert!(!fold.events.iter().any(|event| matches!(event, Event::Repriced { .. })));
}

#[test]
fn a_worker_that_was_restarted_reports_its_first_steps_again() {
    let mut fold = leased(1);
    let lease = fold.held(WORKER)[0];
    let beat = |step| Command::Heartbeat(vec![Beat { lease, step }]);
    assert_eq!(fold.send(WORKER, beat(90)), []);
    fold.slot(150, &[]);
    assert_eq!(fold.send(WORKER, beat(0)), []);
    assert_eq!(fold.slot(150, &[]), [], "it is alive");
    refused(&fold.send(Who::Worker(1), beat(100)), Reject::NoLease);
}

#[test]
fn an_objection_to_what_nobody_claimed_leaves_no_trace() {
    let (mut fold, receipt) = drawn(1);
    let nowhere =
        Finding::Object { segment: Segment { job: JobId(0), index: 9 }, found: Found::Other };
    refused(&fold.judge(0, &receipt, nowhere), Reject::BadReceipt);
    refused(&fold.judge(0, &receipt, DENIAL), Reject::NoReceipt);
    let events = fold.judge(0, &receipt, Finding::Agree);
    assert!(events.iter().any(|event| matches!(event, Event::Settled { .. })), "{events:?}");
    assert!(fold.balance(WORKER) > Ohc::ZERO);
}

#[test]
fn a_result_that_was_not_checked_is_none_to_who_wants_it_checked() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    let with = |verification: &str| {
        noops("one", "", &[&format!("a: {{ uses: noop, verification: {verification} }}")])
    };
    fold.submit(&with("none"), ohc(5));
    let lease = fold.held(WORKER)[0];
    let mut lie = fold.receipt(lease);
    let Outcome::Done(claims) = &mut lie.outcome else { panic!() };
    claims[0].outputs[0] = Digest::of(b"lie");
    fold.send(WORKER, Command::Deliver(vec![lie.clone()]));
    fold.slot(0, &[]);
    fold.judge(0, &lie, Finding::Agree);
    let told = |fold: &Fold| fold.state.cache().values().next().unwrap().outputs[0];
    assert_eq!(told(&fold), Digest::of(b"lie"), "who wants nothing checked gets this");
    let events = fold.submit(&with("full"), ohc(5));
    assert!(events.iter().any(|event| matches!(event, Event::Leased { .. })), "{events:?}");
    let honest = fold.deliver(WORKER);
    fold.slot(0, &[]);
    fold.judge(0, &honest, Finding::Agree);
    assert_ne!(told(&fold), Digest::of(b"lie"), "what was checked stands instead");
    // And it is not replaced by one that says that the artifacts are lost, and checks nothing.
    let mut again = submission(with("none"), Vec::new(), ohc(5));
    again.fresh = fold.state.cache().keys().copied().collect();
    fold.send(CLIENT, Command::Submit(Box::new(again)));
    let lie = Receipt { lease: fold.held(WORKER)[0], ..lie };
    fold.send(WORKER, Command::Deliver(vec![lie.clone()]));
    fold.slot(0, &[]);
    fold.judge(0, &lie, Finding::Agree);
    assert_ne!(told(&fold), Digest::of(b"lie"));
}

#[test]
fn r13_pins_of_any_size_make_a_plan_or_a_refusal() {
    let most = u64::MAX;
    for (bytes, rows) in [(most, most), (most, 1), (1, most), (1 << 62, 1 << 40), (0, 0)] {
        for jobs_per_block in [1, 64] {
            let mut fold = Fold::new(1);
            let spec = format!("  run: {{ limits: {{ jobsPerBlock: {jobs_per_block} }} }}\n");
            let huge = Pin { bytes, rows, ..pin("flowers") };
            let manifest = pipelines::iris("iris", &spec, 1);
            let submission = submission(manifest, vec![huge], ohc(5));
            fold.bid(WORKER, 1);
            fold.send(CLIENT, Command::Submit(Box::new(submission)));
            fold.slot(100, &[]);
            fold.send(CLIENT, Command::Cancel { run: RunId(1) });
            fold.slot(100, &[]);
        }
    }
}
