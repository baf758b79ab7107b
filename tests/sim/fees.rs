//! Fees: what is not asked for costs its author something, and nobody is kept out for nothing.
//! Never looks at how a fee is reckoned inside.

use crate::fold::{CLIENT, Fold, WORKER, one, refused};
use crate::ground::{Who, genesis, noops, ohc, submission};
use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::ids::RunId;
use ohc::base::keys::SecretKey;
use ohc::base::limits::{BIDS_MAX, COMMANDS_PER_SLOT_MAX, RULES};
use ohc::domain::command::{Beat, Bid, Command, Order, SignedOrder};
use ohc::domain::event::{Event, Reject};
use ohc::domain::genesis::{GenesisError, Params};
use ohc::domain::state::run::Status;
use ohc::domain::verdict::Finding;

const RUN: RunId = RunId(1);

/// A network in which commands cost what they cost in a new one.
fn dear(validators: u8) -> Fold {
    let mut genesis = genesis(validators, ohc(100));
    genesis.params.order_fee = Params::network().order_fee;
    Fold::of(&genesis)
}

fn fees(events: &[Event], who: Who) -> Vec<u64> {
    let of = |event: &Event| match event {
        Event::Fee { author, fee } if *author == who.key() => Some(fee.nano()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn bid() -> Bid {
    Bid { ask: Price::new(500_000), capacity: Work::new(10_000), has: Default::default() }
}

#[test]
fn what_is_not_asked_for_costs_a_fee_done_or_refused() {
    let mut fold = dear(1);
    let fee = fold.state.order_fee().nano();
    assert!(fee > 0);
    let to = Who::Client(1).key();
    let mut spent = 0;
    let mut costs = |fold: &mut Fold, command| {
        let events = fold.send(CLIENT, command);
        assert_eq!(fees(&events, CLIENT), [fee], "{events:?}");
        spent += fee;
        events
    };
    costs(&mut fold, Command::Transfer { to, amount: Ohc::from_nano(1) });
    costs(&mut fold, Command::Bid(bid()));
    assert_eq!(fees(&fold.send(CLIENT, Command::Withdraw), CLIENT), [0; 0], "who ends is not kept");
    costs(&mut fold, Command::Withdraw);
    let refused_one = costs(&mut fold, Command::Cancel { run: RUN });
    refused(&refused_one, Reject::NoRun);
    let lost = fold.state.params().reject_fee.nano();
    let left = ohc(1_000).nano() - 1 - spent - lost;
    assert_eq!(fold.balance(CLIENT).nano(), left);
    assert_eq!(fold.state.ledger().burned().nano(), spent + lost);
}

#[test]
fn bytes_for_the_store_are_paid_for_by_the_kibibyte() {
    let mut fold = dear(1);
    let (fee, kib) = (fold.state.order_fee().nano(), fold.state.params().gas_per_kib.nano());
    assert!(kib > 0);
    for (bytes, count) in [(0, 0), (1, 1), (1024, 1), (1025, 2), (1 << 30, 1 << 20)] {
        let before = fold.balance(CLIENT).nano();
        let events = fold.send(CLIENT, Command::Upload { bytes });
        let cost = fee + count * kib;
        assert_eq!(fees(&events, CLIENT), [cost], "{bytes}");
        assert!(events.contains(&Event::Uploading { author: CLIENT.key(), bytes }), "{events:?}");
        assert_eq!(fold.balance(CLIENT).nano(), before - cost);
    }
    let events = fold.send(CLIENT, Command::Upload { bytes: u64::MAX });
    refused(&events, Reject::Short);
    assert!(!events.iter().any(|event| matches!(event, Event::Uploading { .. })), "{events:?}");
}

#[test]
fn a_submission_costs_more_the_longer_its_plan_is_and_it_is_on_the_bill() {
    let mut fold = dear(1);
    let fee = fold.state.order_fee().nano();
    let events = fold.submit(&one(), ohc(5));
    assert_eq!(fees(&events, CLIENT), [fee, fee / 10]);
    let seeds: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let axes = format!("{{ seed: [{}] }}", seeds.join(", "));
    let stage = format!("a: {{ uses: noop, matrix: {{ axes: {axes} }} }}");
    let many = noops("many", "", &[&stage]);
    let events = fold.submit(&many, ohc(5));
    assert_eq!(fees(&events, CLIENT), [fee, 20 * fee]);
    fold.send(CLIENT, Command::Pause { run: RunId(2) });
    fold.send(CLIENT, Command::Resume { run: RunId(2), added: Ohc::ZERO });
    fold.send(CLIENT, Command::Cancel { run: RunId(2) });
    let runs = fold.state.runs();
    assert_eq!(runs[&RUN].fees.nano(), fee + fee / 10);
    assert_eq!(runs[&RunId(2)].fees.nano(), fee + 20 * fee + fee, "and to go on");
    // What comes when it is over is paid for, and is not of it.
    let events = fold.send(CLIENT, Command::Pause { run: RunId(2) });
    refused(&events, Reject::NoRun);
    assert_eq!(fees(&events, CLIENT), [fee]);
    assert_eq!(fold.state.runs()[&RunId(2)].fees.nano(), fee + 20 * fee + fee);
    // Somebody else's fee is not on it.
    let other = Who::Client(1);
    let events = fold.send(other, Command::Cancel { run: RUN });
    assert_eq!(fees(&events, other), [fee]);
    assert_eq!(fold.state.runs()[&RUN].fees.nano(), fee + fee / 10);
}

#[test]
fn who_cannot_pay_a_fee_is_refused_and_nothing_begins() {
    let mut fold = dear(1);
    let fee = fold.state.order_fee();
    // The budget is there, the fee is not.
    let events = fold.submit(&one(), ohc(1_000));
    refused(&events, Reject::Short);
    let most = fold.balance(CLIENT).checked_sub(fee).unwrap();
    let events = fold.submit(&one(), most);
    refused(&events, Reject::Short);
    assert_eq!(fees(&events, CLIENT), [fee.nano()], "the plan is not paid for if nothing begins");
    assert!(fold.state.runs().is_empty() && fold.held_money() == 0);
    let rest = fold.balance(CLIENT).checked_sub(fee).unwrap();
    fold.send(CLIENT, Command::Transfer { to: Who::Client(1).key(), amount: rest });
    assert_eq!(fold.balance(CLIENT), Ohc::ZERO);
    refused(&fold.send(CLIENT, Command::Bid(bid())), Reject::Short);
    assert!(fold.state.workers().get(&CLIENT.key()).is_none(), "no bid without a purse");
}

#[test]
fn what_the_fold_asks_for_is_free() {
    let mut fold = dear(4);
    let (worker, validator) = (fold.balance(WORKER), fold.balance(Who::Validator(0)));
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let receipt = fold.deliver(WORKER);
    fold.draw();
    for n in 0..4 {
        fold.judge(n, &receipt, Finding::Agree);
    }
    let paid = |who| fees(&fold.events, who).iter().sum::<u64>();
    assert_eq!(paid(WORKER), fold.state.order_fee().nano(), "for its bid");
    assert!((0..4).all(|n| paid(Who::Validator(n)) == 0));
    assert!(fold.balance(WORKER) > worker && fold.balance(Who::Validator(0)) > validator);
}

#[test]
fn a_heartbeat_is_free_when_one_is_due() {
    let mut fold = dear(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let lease = fold.held(WORKER)[0];
    let fee = fold.state.order_fee().nano();
    let silence = fold.state.params().heartbeat_ticks;
    let beat = || Command::Heartbeat(vec![Beat { lease, step: 1 }]);
    let mut after = |ticks| {
        let order = fold.sign(WORKER, beat());
        let events = fold.slot(ticks, &[order]);
        assert!(!events.iter().any(|event| matches!(event, Event::Rejected { .. })));
        fees(&events, WORKER)
    };
    assert_eq!(after(silence / 3), [0; 0], "it is due");
    assert_eq!(after(0), [fee], "one has just come");
    assert_eq!(after(silence / 8), [0; 0]);
    // Empty batches ask for nothing.
    let events = fold.send(WORKER, Command::Heartbeat(Vec::new()));
    refused(&events, Reject::Unbounded);
    assert_eq!(fees(&events, WORKER), [fee]);
    refused(&fold.send(WORKER, Command::Deliver(Vec::new())), Reject::Unbounded);
}

#[test]
fn whoever_has_more_takes_the_place_of_the_poorest_bid() {
    let mut fold = Fold::new(1);
    let secret = |n: usize| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
        SecretKey::from_bytes(&bytes)
    };
    let network = fold.state.network();
    let order = |n: usize, nonce, command| secret(n).seal(network, Order { nonce, command });
    let purse = |n: usize| Ohc::from_nano(1_000_000_000 + n as u64);
    // As many bids as may stand, of accounts that hold more and more.
    for from in (0..BIDS_MAX).step_by(COMMANDS_PER_SLOT_MAX) {
        let all = from..(from + COMMANDS_PER_SLOT_MAX).min(BIDS_MAX);
        let to = |n: usize| Command::Transfer { to: secret(n).public(), amount: purse(n) };
        let pays: Vec<SignedOrder> = all.clone().map(|n| fold.sign(Who::Bank, to(n))).collect();
        fold.slot(0, &pays);
        let bids: Vec<SignedOrder> = all.map(|n| order(n, 1, Command::Bid(bid()))).collect();
        fold.slot(0, &bids);
    }
    let standing = |fold: &Fold| fold.state.workers().values().filter(|w| w.bid.is_some()).count();
    assert_eq!(standing(&fold), BIDS_MAX);
    fold.bid(WORKER, 500_000);
    let stands = |fold: &Fold, n| fold.state.workers()[&secret(n).public()].bid.is_some();
    assert!(fold.state.workers()[&WORKER.key()].bid.is_some(), "it has 100 OhC");
    assert_eq!(standing(&fold), BIDS_MAX);
    assert!(!stands(&fold, 0) && stands(&fold, 1), "the poorest has gone");
    // And the poorest does not come back.
    let again = order(0, 2, Command::Bid(bid()));
    refused(&fold.slot(0, &[again]), Reject::TooMany);
}

#[test]
fn what_no_bid_is_for_does_not_move_the_base_price() {
    let moved = |needs: &str| {
        let mut genesis = genesis(1, ohc(100));
        genesis.params.epoch_ticks = 30;
        let mut fold = Fold::of(&genesis);
        // It has no graphics card, and asks for more than is paid.
        fold.bid(WORKER, 5_000_000);
        let stage = format!("a: {{ uses: noop{needs} }}");
        let manifest = noops("asked", "", &[&stage]);
        let submission = submission(manifest, Vec::new(), ohc(5));
        fold.send(CLIENT, Command::Submit(Box::new(submission)));
        let events = fold.slot(40, &[]);
        events.iter().any(|event| matches!(event, Event::BaseMoved { .. }))
    };
    assert!(moved(""), "the price is too low for this one");
    assert!(!moved(", resources: { gpu: 4 }"), "at no price can it be done");
}

#[test]
fn a_log_of_other_rules_is_told() {
    let mut genesis = genesis(1, ohc(100));
    genesis.params.rules += 1;
    let Err(error @ GenesisError::Rules(_)) = genesis.check() else { panic!("it is read") };
    let told = format!("by the rules {}, and this ohc follows the rules {RULES}", RULES + 1);
    assert!(error.to_string().contains(&told), "{error}");
}

#[test]
fn whoever_has_nothing_left_can_stop_what_costs_him() {
    let mut fold = dear(1);
    let fee = fold.state.submission_fee(1);
    let budget = fold.balance(CLIENT).checked_sub(fee).unwrap();
    fold.submit(&one(), budget);
    assert_eq!(fold.balance(CLIENT), Ohc::ZERO);
    fold.send(CLIENT, Command::Pause { run: RUN });
    assert!(matches!(fold.status(1), Status::Paused(_)));
    fold.send(CLIENT, Command::Cancel { run: RUN });
    assert!(fold.state.runs()[&RUN].is_over());
    assert_eq!(fold.balance(CLIENT), budget);
}

#[test]
fn plans_of_which_nothing_comes_take_room_of_their_slot() {
    let mut fold = dear(1);
    let seeds: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let axes = format!("a: [{0}], b: [{0}]", seeds.join(", "));
    let stage = format!("a: {{ uses: noop, matrix: {{ axes: {{ {axes} }} }} }}");
    let many = noops("many", "  run: { limits: { instances: 90000 } }\n", &[&stage]);
    // All but a plan's fee is meant to be locked.
    let budget = Ohc::from_nano(999_500_000_000);
    let submit = || Command::Submit(Box::new(submission(many.clone(), Vec::new(), budget)));
    let orders: Vec<SignedOrder> = (0..4).map(|_| fold.sign(CLIENT, submit())).collect();
    let reasons: Vec<Reject> = fold
        .slot(0, &orders)
        .iter()
        .filter_map(|event| match event {
            Event::Rejected { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    let expect = [Reject::Short, Reject::Short, Reject::Crowded, Reject::Crowded];
    assert_eq!(reasons, expect);
}
