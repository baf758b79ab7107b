//! Stakes: who comes, who goes, and who is shown to have signed two things at once, on the bare
//! fold. Never runs a role.

use crate::fold::{Fold, WORKER, one, refused};
use crate::ground::{STAKE, Who, genesis, noops, ohc, staked};
use ohc::base::amount::{Ohc, SUPPLY};
use ohc::base::canon::Digest;
use ohc::base::keys::PublicKey;
use ohc::base::limits::VALIDATORS_MAX;
use ohc::base::time::{Height, Tick};
use ohc::domain::command::Command;
use ohc::domain::event::{Event, Reject};
use ohc::domain::genesis::{Genesis, Params};
use ohc::domain::ledger::Hold;
use ohc::domain::receipt::Receipt;
use ohc::domain::state::run::Status;
use ohc::domain::state::{StakeStatus, State};
use ohc::domain::verdict::Finding;
use ohc::domain::vote::{Evidence, Kind, Vote};
use proptest::prelude::*;
use std::collections::BTreeSet;

const EPOCH: u64 = 100;
const EVIDENCE: u64 = 250;
const UNBONDING: u64 = 300;
const RICH: Who = Who::Bank;
const POOR: Who = Who::Client(0);

fn changing(mut genesis: Genesis) -> Genesis {
    genesis.params = Params {
        hashes_per_tick: 64, // many commands within one tick
        set_ticks: EPOCH,
        evidence_ticks: EVIDENCE,
        unbonding_ticks: UNBONDING,
        ..genesis.params
    };
    genesis.check().unwrap();
    genesis
}

pub fn begun(validators: u8) -> Fold {
    Fold::of(&changing(genesis(validators, ohc(100))))
}

fn validator(n: u8) -> Who {
    Who::Validator(n)
}

fn bond(fold: &mut Fold, who: Who, whole: u64) -> Vec<Event> {
    fold.send(who, Command::Bond { amount: ohc(whole) })
}

fn unbond(fold: &mut Fold, who: Who, whole: u64) -> Vec<Event> {
    fold.send(who, Command::Unbond { amount: ohc(whole) })
}

/// Lets time pass until the set has changed.
fn pass(fold: &mut Fold) -> Vec<Event> {
    let next = fold.state.set_changes_at().unwrap();
    fold.slot(next.since(fold.state.tick()), &[])
}

fn status(fold: &Fold, who: Who) -> StakeStatus {
    fold.state.stake_of(&who.key())
}

fn is_validator(fold: &Fold, who: Who) -> bool {
    fold.state.validators().contains_key(&who.key())
}

/// Two votes of one validator about one slot.
pub fn evidence(fold: &Fold, who: Who, height: u64, round: u32) -> Evidence {
    let vote = |n| {
        let head = Some(Digest([n; 32]));
        let vote = Vote { height: Height(height), round, kind: Kind::Precommit, head };
        who.secret().seal(fold.state.network(), vote)
    };
    Evidence::Votes { one: vote(1), other: vote(2) }
}

fn accuse(fold: &mut Fold, by: Who, of: Who, height: u64) -> Vec<Event> {
    let evidence = evidence(fold, of, height, 0);
    fold.send(by, Command::Accuse(Box::new(evidence)))
}

fn fine(events: &[Event]) -> Ohc {
    let fine = events.iter().find_map(|event| match event {
        Event::Equivocated { fine, .. } => Some(*fine),
        _ => None,
    });
    fine.unwrap_or_else(|| panic!("{events:?}"))
}

#[test]
fn a_stake_counts_from_the_next_boundary_on_and_no_earlier() {
    let mut fold = begun(4);
    assert!(!fold.state.is_waiting());
    let key = RICH.key();
    let events = bond(&mut fold, RICH, 39_901);
    assert_eq!(events, [Event::Bonded { validator: key, amount: ohc(39_901) }]);
    assert!(fold.state.is_waiting(), "somebody waits for the boundary");
    assert_eq!(fold.slot(EPOCH - 1, &[]), []);
    assert!(!is_validator(&fold, RICH));
    assert_eq!(fold.state.ledger().pending(Hold::Stake(key)), Some(ohc(39_901)));
    let was = fold.state.validators().clone();
    let events = fold.slot(1, &[]);
    let now = fold.state.validators().clone();
    let joined = Event::Joined { validator: key, stake: ohc(39_901) };
    assert_eq!(events, [joined, Event::SetChanged { was, now }]);
    assert_eq!(fold.state.validators()[&key], ohc(39_901));
    assert_eq!(fold.held_money(), 0);
    assert!(!fold.state.is_waiting());
}

#[test]
fn a_stake_that_is_not_more_than_the_floor_is_refused_and_nothing_waits() {
    let mut fold = begun(4);
    refused(&bond(&mut fold, RICH, 39_900), Reject::BelowFloor);
    refused(&bond(&mut fold, RICH, 0), Reject::Dust);
    refused(&bond(&mut fold, POOR, 39_901), Reject::Short);
    assert_eq!(fold.held_money(), 0);
    // Who is a validator may add as little as it likes.
    assert!(bond(&mut fold, validator(0), 1).len() == 1);
    pass(&mut fold);
    assert_eq!(status(&fold, validator(0)).counts, ohc(STAKE + 1));
}

#[test]
fn a_network_whose_set_never_changes_refuses_bonds() {
    let mut fold = Fold::new(4);
    refused(&bond(&mut fold, RICH, 50_000), Reject::FixedSet);
    refused(&unbond(&mut fold, validator(0), 1), Reject::FixedSet);
    refused(&accuse(&mut fold, RICH, validator(0), 1), Reject::TooOld);
    assert_eq!(fold.state.set_changes_at(), None);
}

#[test]
fn there_are_never_more_than_twenty_and_a_seat_is_free_once_somebody_leaves() {
    let mut fold = begun(19);
    bond(&mut fold, RICH, 50_000);
    fold.send(RICH, Command::Transfer { to: POOR.key(), amount: ohc(60_000) });
    refused(&bond(&mut fold, POOR, 50_000), Reject::SetFull);
    pass(&mut fold);
    refused(&bond(&mut fold, POOR, 50_000), Reject::SetFull);
    assert_eq!(fold.state.validators().len(), VALIDATORS_MAX);
    bond(&mut fold, validator(0), 1);
    unbond(&mut fold, validator(3), STAKE);
    assert_eq!(bond(&mut fold, POOR, 50_000).len(), 1);
    refused(&bond(&mut fold, validator(3), STAKE), Reject::SetFull);
    pass(&mut fold);
    assert_eq!(fold.state.validators().len(), VALIDATORS_MAX);
    assert!(is_validator(&fold, POOR) && !is_validator(&fold, validator(3)));
}

#[test]
fn what_leaves_a_stake_is_locked_from_the_boundary_on_and_free_once() {
    let mut fold = begun(4);
    let (who, key) = (validator(1), validator(1).key());
    unbond(&mut fold, who, STAKE);
    assert!(is_validator(&fold, who));
    let room = fold.state.escrow_room();
    assert_eq!(room.nano(), ohc(3 * STAKE).nano() / 3, "what leaves covers no new escrow");
    let was = fold.state.validators().clone();
    let events = pass(&mut fold);
    let now = fold.state.validators().clone();
    let until = Tick(EPOCH + UNBONDING);
    let locked = Event::Locked { validator: key, amount: ohc(STAKE), until };
    let changed = Event::SetChanged { was, now };
    assert_eq!(events, [locked, Event::Left { validator: key }, changed]);
    assert!(!is_validator(&fold, who));
    assert_eq!(status(&fold, who).unbonding, [(until, ohc(STAKE))]);
    assert_eq!(fold.slot(UNBONDING - 1, &[]), []);
    assert_eq!(fold.slot(1, &[]), [Event::Unlocked { validator: key, amount: ohc(STAKE) }]);
    assert_eq!(fold.balance(who), ohc(STAKE + 10));
    assert_eq!(fold.slot(1_000, &[]), []);
    assert!(!fold.state.is_waiting());
}

#[test]
fn what_stays_of_a_stake_is_more_than_the_floor_or_nothing() {
    let mut fold = begun(4);
    refused(&unbond(&mut fold, validator(0), 100), Reject::BelowFloor);
    refused(&unbond(&mut fold, validator(0), STAKE + 1), Reject::Short);
    refused(&unbond(&mut fold, POOR, 1), Reject::Short);
    unbond(&mut fold, validator(0), 99);
    refused(&unbond(&mut fold, validator(0), 1), Reject::BelowFloor);
    pass(&mut fold);
    assert_eq!(status(&fold, validator(0)).counts, ohc(STAKE - 99));
}

#[test]
fn a_network_is_never_left_without_validators() {
    let mut fold = begun(2);
    unbond(&mut fold, validator(0), STAKE);
    refused(&unbond(&mut fold, validator(1), STAKE), Reject::LastValidator);
    // Not even if the one that stays is shown to have signed two things.
    accuse(&mut fold, RICH, validator(1), 1);
    assert_eq!(pass(&mut fold), []);
    assert_eq!(fold.state.validators().len(), 2);
    bond(&mut fold, RICH, 50_000);
    pass(&mut fold);
    assert_eq!(fold.state.validators().keys().collect::<Vec<_>>(), [&RICH.key()]);
}

#[test]
fn a_fine_that_takes_a_stake_to_the_floor_ends_a_validator_at_the_boundary() {
    let mut low = staked(&[STAKE, STAKE, 39_901], ohc(100));
    low.params.absent_fine = ohc(20);
    let mut fold = Fold::of(&changing(low));
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.deliver(WORKER);
    // All pledge, and two of them do not reveal.
    fold.draw();
    let who = validator(2);
    fold.send(who, Command::Transfer { to: RICH.key(), amount: fold.balance(who) });
    let before = status(&fold, who);
    assert_eq!(before.counts, ohc(39_901));
    fold.slot(1_000, &[]);
    fold.slot(1_000, &[]);
    let missed =
        |e: &Event| matches!(e, Event::Absent { validator, .. } if *validator == who.key());
    assert!(fold.events.iter().any(missed), "{:?}", fold.events);
    fold.slot(EPOCH, &[]);
    assert!(!is_validator(&fold, who));
    assert_eq!(status(&fold, who).stake, Ohc::ZERO);
}

#[test]
fn r6_who_signed_two_things_is_slashed_once_for_a_height_and_leaves() {
    let mut fold = begun(4);
    fold.slot(0, &[]);
    let (who, key) = (validator(2), validator(2).key());
    let before = (fold.balance(RICH), fold.state.ledger().burned());
    let events = accuse(&mut fold, RICH, who, 1);
    // One of four: three quarters of what it has.
    let lost = fine(&events);
    assert_eq!(lost, ohc(STAKE * 3 / 4));
    let found = lost.nano() / 20;
    assert_eq!(fold.balance(RICH).nano() - before.0.nano(), found, "a twentieth to who showed it");
    let burned = fold.state.ledger().burned().nano() - before.1.nano();
    assert_eq!(burned, lost.nano() - found);
    refused(&accuse(&mut fold, RICH, who, 1), Reject::Punished);
    let again = evidence(&fold, who, 1, 7);
    refused(&fold.send(POOR, Command::Accuse(Box::new(again))), Reject::Punished);
    assert!(is_validator(&fold, who), "a set changes at a boundary alone");
    pass(&mut fold);
    assert!(!is_validator(&fold, who));
    let own = status(&fold, who);
    assert!(own.is_jailed && own.unbonding.len() == 1);
    refused(&bond(&mut fold, who, 50_000), Reject::Jailed);
    refused(&unbond(&mut fold, who, 1), Reject::Jailed);
    // Another height is another lie, and what is locked is reached still.
    let more = fine(&accuse(&mut fold, RICH, who, 2));
    assert!(more > Ohc::ZERO);
    assert_eq!(
        fold.state.ledger().pending(Hold::Unbonding { validator: key, until: own.unbonding[0].0 }),
        own.unbonding[0].1.checked_sub(more)
    );
}

#[test]
fn whoever_shows_its_own_double_vote_gets_nothing_back() {
    let mut fold = begun(4);
    let who = validator(0);
    let before = fold.balance(who);
    let lost = fine(&accuse(&mut fold, who, who, 1));
    assert_eq!(fold.balance(who), before);
    assert_eq!(fold.state.ledger().burned(), lost);
}

#[test]
fn the_more_stake_offends_at_a_height_the_more_is_lost() {
    let mut fold = begun(20);
    for n in 0..8u8 {
        accuse(&mut fold, RICH, validator(n), 1);
        // A twentieth of the stake each: three times what all have who were shown so far.
        let lost = (u64::from(n) + 1) * 15;
        let due = ohc(STAKE * lost.min(100) / 100);
        let left = ohc(STAKE).checked_sub(due).unwrap();
        let stakes: Vec<Ohc> = (0..=n).map(|n| status(&fold, validator(n)).stake).collect();
        assert!(stakes.iter().all(|stake| *stake == left), "{stakes:?} after {n}, not {left}");
    }
    assert_eq!(fold.state.ledger().total(), Some(SUPPLY));
}

#[test]
fn nobody_is_punished_for_what_is_not_shown_or_too_old_or_not_yet() {
    let mut fold = begun(4);
    fold.slot(0, &[]);
    let Evidence::Votes { one, other } = evidence(&fold, validator(0), 1, 0) else { panic!() };
    let mut send =
        |one, other| fold.send(RICH, Command::Accuse(Box::new(Evidence::Votes { one, other })));
    refused(&send(one.clone(), one.clone()), Reject::NoEvidence);
    let mut forged = other.clone();
    forged.body.head = None;
    refused(&send(one.clone(), forged), Reject::NoEvidence);
    refused(&accuse(&mut fold, RICH, validator(0), 100), Reject::NoEvidence);
    refused(&accuse(&mut fold, RICH, POOR, 1), Reject::NoStake);
    // The epoch of slot 1 ends at the first boundary; the window runs from there.
    pass(&mut fold);
    fold.slot(EVIDENCE - 1, &[]);
    assert!(fine(&accuse(&mut fold, RICH, validator(0), 1)) > Ohc::ZERO);
    fold.slot(1, &[]);
    refused(&accuse(&mut fold, RICH, validator(1), 1), Reject::TooOld);
    let last = fold.state.height().0;
    assert!(fine(&accuse(&mut fold, RICH, validator(1), last)) > Ohc::ZERO);
}

#[test]
fn whoever_leaves_is_held_to_what_it_signed_for_as_long_as_it_can_be_shown() {
    let mut fold = begun(4);
    let who = validator(3);
    unbond(&mut fold, who, STAKE);
    pass(&mut fold);
    fold.slot(EVIDENCE - 1, &[]);
    let lost = fine(&accuse(&mut fold, RICH, who, 1));
    assert_eq!(lost, ohc(STAKE * 3 / 4), "as if it had stayed");
    fold.slot(UNBONDING, &[]);
    assert_eq!(fold.balance(who), ohc(STAKE / 4 + 10));
}

#[test]
fn what_left_before_is_not_slashed_for_what_was_signed_after() {
    let mut fold = begun(4);
    bond(&mut fold, validator(0), 5);
    pass(&mut fold);
    unbond(&mut fold, validator(0), 5);
    pass(&mut fold);
    let height = fold.state.height().0 + 1;
    accuse(&mut fold, RICH, validator(0), height);
    assert_eq!(status(&fold, validator(0)).unbonding[0].1, ohc(5));
}

/// A receipt of a network with a set that changes, drawn but not judged.
fn judged(validators: u8) -> (Fold, Receipt) {
    let mut fold = begun(validators);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let receipt = fold.deliver(WORKER);
    fold.draw();
    (fold, receipt)
}

fn committee(fold: &Fold) -> Vec<Who> {
    let drawn = fold.events.iter().rev().find_map(|event| match event {
        Event::Drawn { audit, .. } => Some(audit.committee.clone()),
        Event::Redrawn { committee, .. } => Some(committee.clone()),
        _ => None,
    });
    let drawn = drawn.unwrap();
    (0..20).map(validator).filter(|who| drawn.contains(&who.key())).collect()
}

#[test]
fn what_was_drawn_stays_with_who_was_drawn_though_it_has_left() {
    let (mut fold, receipt) = judged(5);
    let drawn = committee(&fold);
    assert_eq!(drawn.len(), 2);
    unbond(&mut fold, drawn[0], STAKE);
    pass(&mut fold);
    assert!(!is_validator(&fold, drawn[0]));
    // It seals, and says, what it found; and is paid for it.
    let before = fold.balance(drawn[0]);
    for n in 0..5 {
        fold.judge(n, &receipt, Finding::Agree);
    }
    assert!(matches!(fold.status(1), Status::Ended { .. }), "{:?}", fold.status(1));
    assert!(fold.balance(drawn[0]) > before);
    assert_eq!(fold.held_money(), 1, "its stake is locked");
}

#[test]
fn who_has_left_and_does_not_come_is_replaced_and_not_fined() {
    let (mut fold, receipt) = judged(5);
    let drawn = committee(&fold);
    unbond(&mut fold, drawn[0], STAKE);
    pass(&mut fold);
    let (gone, balance) = (drawn[0], fold.balance(drawn[0]));
    let left: Vec<u8> = (0..5).filter(|n| validator(*n) != gone).collect();
    fold.mute.extend((0..5).filter(|n| validator(*n) == gone));
    left.iter().for_each(|n| drop(fold.judge(*n, &receipt, Finding::Agree)));
    assert!(matches!(fold.status(1), Status::Running));
    fold.slot(2_000, &[]);
    assert!(!committee(&fold).contains(&gone), "another one came in");
    left.iter().for_each(|n| drop(fold.judge(*n, &receipt, Finding::Agree)));
    assert!(matches!(fold.status(1), Status::Ended { .. }), "{:?}", fold.status(1));
    let fined =
        |e: &Event| matches!(e, Event::Absent { validator, .. } if *validator == gone.key());
    assert!(!fold.events.iter().any(fined));
    assert!(fold.balance(gone) >= balance);
}

#[test]
fn one_alone_may_get_company_in_the_middle_of_everything_and_lose_it_again() {
    let mut fold = begun(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.send(RICH, Command::Transfer { to: validator(1).key(), amount: ohc(50_000) });
    bond(&mut fold, validator(1), STAKE);
    let receipt = fold.deliver(WORKER);
    fold.slot(0, &[]);
    pass(&mut fold);
    assert!(!fold.state.is_alone(), "{:?}", fold.state.validators());
    // It was drawn alone; now it seals as among several, and the other agrees.
    fold.judge(0, &receipt, Finding::Agree);
    fold.judge(1, &receipt, Finding::Agree);
    assert!(matches!(fold.status(1), Status::Ended { .. }), "{:?}", fold.status(1));
    // A receipt that waits for the beacon when only one is left is drawn from the chain.
    let text = noops("two", "", &["a: { uses: noop, with: { tag: 5 } }"]);
    fold.submit(&text, ohc(5));
    let receipt = fold.deliver(WORKER);
    fold.reveal();
    fold.mute.insert(1);
    fold.reveal();
    unbond(&mut fold, validator(0), STAKE);
    pass(&mut fold);
    assert!(fold.state.is_alone());
    fold.slot(0, &[]);
    fold.slot(2_000, &[]);
    for n in 0..2 {
        fold.judge(n, &receipt, Finding::Agree);
    }
    assert!(matches!(fold.status(2), Status::Ended { .. }), "{:?}", fold.status(2));
    fold.slot(5_000, &[]);
    assert!(!fold.state.is_waiting(), "nothing is left that waits for time");
}

/// What somebody may ask for: who, what, how much, and how long after the last.
type Ask = (u8, u8, u8, u64);

fn staker(n: u8) -> Who {
    if n < 4 { validator(n) } else { Who::Stranger(n) }
}

/// Everything that somebody has, wherever it lies.
fn wealth(state: &State, who: Who) -> u64 {
    let own = state.stake_of(&who.key());
    let locked = own.unbonding.iter().map(|(_, amount)| *amount);
    let free = state.ledger().account(&who.key()).balance;
    Ohc::sum(locked.chain([free, own.stake, own.pending])).unwrap().nano()
}

fn command(fold: &Fold, (n, what, much, _): Ask) -> Command {
    let own = status(fold, staker(n));
    let all = own.stake.checked_add(own.pending).unwrap();
    let some = [ohc(1), ohc(39_901), all, ohc(u64::from(much))];
    let amount = some[usize::from(much) % some.len()];
    match what {
        0..3 => Command::Bond { amount },
        3..5 => Command::Unbond { amount },
        _ => {
            let height = u64::from(much) % (fold.state.height().0 + 2);
            let culprit = staker(much % 8);
            Command::Accuse(Box::new(evidence(fold, culprit, height, u32::from(what))))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r1_whoever_comes_and_goes_money_is_kept_and_the_set_changes_at_boundaries_alone(
        asks in prop::collection::vec((0u8..8, 0u8..6, any::<u8>(), 0u64..60), 1..60),
    ) {
        let mut fold = begun(4);
        for n in 4..8 {
            fold.send(RICH, Command::Transfer { to: staker(n).key(), amount: ohc(90_000) });
        }
        let mut punished = BTreeSet::new();
        let mut free: Vec<u64> = (0..8).map(|n| wealth(&fold.state, staker(n))).collect();
        for ask in asks {
            let (before, set) = (fold.state.tick().0, fold.state.validators().clone());
            let order = fold.sign(staker(ask.0), command(&fold, ask));
            let events = fold.slot(ask.3, &[order]);
            let is_boundary = before / EPOCH != fold.state.tick().0 / EPOCH;
            prop_assert!(is_boundary || set == *fold.state.validators());
            let now = fold.state.validators();
            prop_assert!((1..=VALIDATORS_MAX).contains(&now.len()));
            prop_assert!(now == &set || now.values().all(|stake| *stake > ohc(39_900)));
            for event in &events {
                let at = |key: &PublicKey| (0..8).position(|n| staker(n).key() == *key).unwrap();
                match event {
                    Event::Charged { author, fee, .. } => free[at(author)] -= fee.nano(),
                    Event::Equivocated { validator, height, by, fine } => {
                        // Again only where somebody else was shown for the same height.
                        let is_first = punished.insert((*validator, *height));
                        let of_slot = |event: &&Event| matches!(event,
                            Event::Equivocated { height: h, .. } if h == height);
                        let shown = events.iter().filter(of_slot).count();
                        prop_assert!(is_first || shown > 1, "punished twice");
                        free[at(validator)] -= fine.nano();
                        free[at(by)] += if by == validator { 0 } else { fine.nano() / 20 };
                    }
                    _ => {}
                }
            }
            // Coins of a stake go from place to place; nothing but a slash takes any.
            let own: Vec<u64> = (0..8).map(|n| wealth(&fold.state, staker(n))).collect();
            prop_assert_eq!(&own, &free);
            prop_assert_eq!(fold.state.ledger().total(), Some(SUPPLY));
        }
        let bytes = fold.state.snapshot();
        let mut restored = State::restore(&bytes).unwrap();
        prop_assert!(restored.snapshot() == bytes);
        let after = restored.apply(fold.state.height().next(), &[], &[]);
        // It may be the turn of a slot that commits to the state.
        let commits = |event: &Event| matches!(event, Event::Snapshot { .. });
        prop_assert!(after.iter().all(commits));
        // In the end all that waits has had its time.
        (0..4).for_each(|_| drop(pass(&mut fold)));
        fold.slot(UNBONDING, &[]);
        prop_assert!(fold.held_money() == 0, "{:?}", fold.state.ledger().holds().next());
    }
}
