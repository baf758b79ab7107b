//! The market by itself, on the bare fold: lateness, the base price, caps and fees.
//! Never runs a role.

use crate::fold::{CLIENT, Fold, WORKER, one, refused};
use crate::ground::{Who, genesis, noops, ohc, submission};
use ohc::base::amount::{Ohc, Price, SUPPLY};
use ohc::base::ids::RunId;
use ohc::base::limits::{ACCOUNT_NANO_MIN, JOBS_PER_SLOT_MAX, RUNS_OPEN_MAX};
use ohc::domain::command::Command;
use ohc::domain::event::{Event, Reject};
use ohc::domain::genesis::Params;
use ohc::domain::ledger::Hold;
use ohc::domain::state::run::Status;
use ohc::domain::terms::Cause;
use ohc::domain::verdict::Finding;

const RUN: RunId = RunId(1);

fn with(change: impl Fn(&mut Params)) -> Fold {
    let mut genesis = genesis(1, ohc(100));
    change(&mut genesis.params);
    genesis.check().unwrap();
    Fold::of(&genesis)
}

/// A stage whose attempts are late after 100 ticks, and worth nothing after 25 more.
fn hasty() -> String {
    noops("hasty", "", &["a: { uses: noop, verification: full, timeout: 1s }"])
}

/// A hasty block that was leased and is answered after so many ticks.
fn answered(ticks: u64) -> (Fold, Vec<Event>, Ohc) {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    let events = fold.submit(&hasty(), ohc(5));
    let price = events.iter().find_map(|event| match event {
        Event::Leased { price, .. } => Some(*price),
        _ => None,
    });
    let receipt = fold.receipt(fold.held(WORKER)[0]);
    let deliver = fold.sign(WORKER, Command::Deliver(vec![receipt.clone()]));
    let events = fold.slot(ticks, &[deliver]);
    fold.slot(0, &[]);
    fold.judge(0, &receipt, Finding::Agree);
    (fold, events, price.unwrap())
}

#[test]
fn r11_an_answer_within_the_grace_is_paid_less_and_the_rest_goes_back_to_the_client() {
    for (ticks, left) in [(100, 25), (101, 24), (110, 15), (124, 1)] {
        let (fold, events, price) = answered(ticks);
        let due = Ohc::from_nano(price.nano() * left / 25);
        let late = events.iter().any(|event| matches!(event, Event::Late { .. }));
        assert_eq!(late, left < 25, "{ticks}");
        let run = &fold.state.runs()[&RUN];
        let Status::Ended { refund, .. } = run.status else { panic!("{:?}", run.status) };
        let (reward, gas) = run.spent();
        assert_eq!(reward, due, "{ticks}");
        assert_eq!(Ohc::sum([reward, gas, refund]), Some(ohc(5)), "the refund is exact");
        assert_eq!(fold.balance(WORKER), ohc(100).checked_add(due).unwrap(), "the bond is back");
    }
}

#[test]
fn an_answer_after_the_grace_is_refused_and_its_lease_lapses() {
    for ticks in [125, 150] {
        let (fold, events, _) = answered(ticks);
        refused(&events, Reject::TooLate);
        let is_lapse = |event: &Event| matches!(event, Event::Lapsed { cause: Cause::Timeout, .. });
        assert!(events.iter().any(is_lapse), "{events:?}");
        assert!(fold.held(WORKER).is_empty());
    }
}

fn moves(events: &[Event]) -> Vec<(u64, u64, u64)> {
    let moved = |event: &Event| match event {
        Event::BaseMoved { was, price, unfilled_ppm } => {
            Some((was.nano_per_unit(), price.nano_per_unit(), *unfilled_ppm))
        }
        _ => None,
    };
    events.iter().filter_map(moved).collect()
}

#[test]
fn the_base_price_rises_with_unsold_work_and_falls_where_all_is_sold() {
    let mut fold = with(|params| (params.epoch_ticks, params.reprice_ticks) = (100, 1_000));
    assert_eq!(moves(&fold.slot(100, &[])), [], "nothing was asked for");
    fold.submit(&one(), ohc(5));
    assert_eq!(moves(&fold.slot(50, &[])), [], "the epoch goes on");
    assert_eq!(moves(&fold.slot(50, &[])), [(1_000_000, 1_125_000, 1_000_000)]);
    assert_eq!(moves(&fold.slot(350, &[])), [(1_125_000, 1_265_625, 1_000_000)], "once per slot");
    // What is on offer keeps its price; what is offered now is dearer.
    let reserve = |events: &[Event]| {
        events.iter().find_map(|event| match event {
            Event::Offered { reserve, .. } => Some(reserve.nano()),
            _ => None,
        })
    };
    let events = fold.submit(&noops("two", "", &["b: { uses: noop, with: { tag: 2 } }"]), ohc(5));
    assert_eq!(reserve(&events), Some(126_562_500), "{events:?}");
    assert_eq!(reserve(&fold.events.clone()), Some(100_000_000));
    fold.bid(WORKER, 500_000);
    let base = fold.state.base_price();
    let fell = moves(&fold.slot(60, &[]));
    assert_eq!(fell, [(base.nano_per_unit(), 1_107_421, 0)]);
    assert_eq!(fold.state.base_price(), Price::new(1_107_421));
}

#[test]
fn the_base_price_falls_no_further_than_to_what_somebody_asks() {
    for (ask, falls_to) in [(950_000, 950_000), (800_000, 875_000)] {
        let mut fold = with(|params| params.epoch_ticks = 100);
        fold.bid(WORKER, ask);
        let events = fold.submit(&one(), ohc(5));
        assert!(events.iter().any(|event| matches!(event, Event::Leased { .. })), "{events:?}");
        assert_eq!(moves(&fold.slot(100, &[])), [(1_000_000, falls_to, 0)], "{ask}");
    }
}

#[test]
fn the_base_price_of_an_embedded_network_stands_still() {
    let mut fold = with(|params| params.epoch_ticks = Params::embedded().epoch_ticks);
    fold.submit(&one(), ohc(5));
    for _ in 0..20 {
        fold.slot(100, &[]);
    }
    assert_eq!((moves(&fold.events), fold.state.base_price()), (vec![], Price::new(1_000_000)));
}

#[test]
fn open_escrows_are_at_most_a_third_of_the_stake() {
    let mut fold = Fold::new(3);
    let cap = ohc(40_000);
    assert_eq!(fold.state.escrow_room(), cap);
    let bank = |fold: &mut Fold, name: &str, budget| {
        let manifest = noops(name, "", &["a: { uses: noop }"]);
        let submission = submission(manifest, Vec::new(), budget);
        fold.send(Who::Bank, Command::Submit(Box::new(submission)))
    };
    let beyond = cap.checked_add(Ohc::from_nano(1)).unwrap();
    refused(&bank(&mut fold, "all", beyond), Reject::Uncovered);
    bank(&mut fold, "most", ohc(39_999));
    assert_eq!(fold.state.escrow_room(), ohc(1));
    fold.send(Who::Bank, Command::Pause { run: RUN });
    let resume = |added| Command::Resume { run: RUN, added };
    refused(&fold.send(Who::Bank, resume(ohc(2))), Reject::Uncovered);
    assert!(matches!(fold.status(1), Status::Paused(_)));
    fold.send(Who::Bank, resume(ohc(1)));
    assert_eq!((fold.status(1), fold.state.escrow_room()), (Status::Running, Ohc::ZERO));
    refused(&bank(&mut fold, "more", ohc(1)), Reject::Uncovered);
    fold.send(Who::Bank, Command::Cancel { run: RUN });
    assert_eq!(fold.state.escrow_room(), cap, "what is over makes room");
}

#[test]
fn who_is_refused_pays_a_fee_and_who_has_less_pays_that() {
    let mut fold = Fold::new(1);
    let fee = fold.state.params().reject_fee;
    let burned = fold.state.ledger().burned();
    let to = Who::Client(1).key();
    let nonsense = Command::Transfer { to, amount: SUPPLY };
    let events = fold.send(CLIENT, nonsense.clone());
    refused(&events, Reject::Short);
    let charged = Event::Charged { author: CLIENT.key(), refused: 1, fee };
    assert!(events.contains(&charged), "{events:?}");
    assert_eq!(fold.balance(CLIENT), ohc(1_000).checked_sub(fee).unwrap());
    assert_eq!(fold.state.ledger().burned(), burned.checked_add(fee).unwrap());
    // All but half a fee is given away.
    let half = Ohc::from_nano(fee.nano() / 2);
    let rest = fold.balance(CLIENT).checked_sub(half).unwrap();
    fold.send(CLIENT, Command::Transfer { to, amount: rest });
    fold.send(CLIENT, nonsense.clone());
    assert_eq!(fold.balance(CLIENT), Ohc::ZERO);
    let events = fold.send(CLIENT, nonsense);
    assert!(!events.iter().any(|event| matches!(event, Event::Charged { .. })), "nothing is left");
}

#[test]
fn a_replay_and_a_verdict_that_comes_late_cost_nothing() {
    let (mut fold, receipt) = crate::fold::drawn(1);
    let before = fold.balance(WORKER);
    let again = fold.sign(WORKER, Command::Withdraw);
    fold.slot(0, std::slice::from_ref(&again));
    refused(&fold.slot(0, &[again]), Reject::Replayed);
    assert_eq!(fold.balance(WORKER), before);
    fold.judge(0, &receipt, Finding::Agree);
    let before = fold.balance(Who::Validator(0));
    refused(&fold.judge(0, &receipt, Finding::Agree), Reject::NoReceipt);
    assert_eq!(fold.balance(Who::Validator(0)), before);
    assert_eq!(fold.state.ledger().pending(Hold::Escrow(RUN)), None);
}

#[test]
fn nobody_fills_the_ledger_with_names_for_nothing() {
    let mut fold = Fold::new(1);
    let to = Who::Stranger(7).key();
    let pay = |amount| Command::Transfer { to, amount: Ohc::from_nano(amount) };
    refused(&fold.send(CLIENT, pay(0)), Reject::Dust);
    refused(&fold.send(CLIENT, pay(ACCOUNT_NANO_MIN - 1)), Reject::Dust);
    assert!(!fold.state.ledger().knows(&to));
    fold.send(CLIENT, pay(ACCOUNT_NANO_MIN));
    refused(&fold.send(CLIENT, pay(0)), Reject::Dust);
    fold.send(CLIENT, pay(1));
    assert_eq!(fold.balance(Who::Stranger(7)).nano(), ACCOUNT_NANO_MIN + 1);
}

#[test]
fn a_client_has_a_bounded_number_of_open_runs() {
    let mut fold = Fold::new(1);
    // Nothing is locked: they stand still at once and are kept all the same.
    for n in 0..RUNS_OPEN_MAX {
        let name = format!("r{n}");
        fold.submit(&noops(&name, "", &["a: { uses: noop }"]), Ohc::ZERO);
    }
    assert_eq!(fold.state.runs().len(), RUNS_OPEN_MAX);
    refused(&fold.submit(&one(), Ohc::ZERO), Reject::TooMany);
    fold.send(CLIENT, Command::Cancel { run: RUN });
    let events = fold.submit(&one(), Ohc::ZERO);
    assert!(events.iter().any(|event| matches!(event, Event::Submitted { .. })), "{events:?}");
}

#[test]
fn a_slot_takes_so_many_jobs_and_who_comes_too_late_pays_nothing() {
    let mut fold = Fold::new(1);
    let other = Who::Client(1);
    let axis = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let many = format!(
        "a: {{ uses: noop, matrix: {{ axes: {{ x: [{}], y: [{}] }} }} }}",
        axis(JOBS_PER_SLOT_MAX / 500),
        axis(500)
    );
    let bounds = format!("  run: {{ limits: {{ instances: {JOBS_PER_SLOT_MAX} }} }}\n");
    let manifests = [noops("many", &bounds, &[&many]), one()];
    let submit = |fold: &mut Fold, which: &[(Who, usize)]| {
        let order = |(who, n): &(Who, usize)| {
            let submission = submission(manifests[*n].clone(), Vec::new(), ohc(1));
            fold.sign(*who, Command::Submit(Box::new(submission)))
        };
        let orders: Vec<_> = which.iter().map(order).collect();
        fold.slot(0, &orders)
    };
    let before = fold.balance(other);
    let events = submit(&mut fold, &[(CLIENT, 0), (other, 1)]);
    refused(&events, Reject::Crowded);
    assert_eq!((fold.state.runs().len(), fold.balance(other)), (1, before));
    // In the next slot there is room.
    let events = submit(&mut fold, &[(other, 1), (CLIENT, 1)]);
    assert_eq!(fold.state.runs().len(), 3, "{events:?}");
}
