//! Negative controls: what is told is made wrong, one thing at a time, and the checker must see it.
//! Never changes the fold: only copies of what it said.

use crate::adversary::{Nature, Temper};
use crate::checker::{Breach, Checker};
use crate::ground::{STAKE, Who, ohc, submission};
use crate::pipelines::{Want, fan};
use crate::world::{Cast, Weather, World};
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::keys::PublicKey;
use ohc::domain::event::{Event, events_root};
use ohc::domain::ledger::{Account, Ledger};
use ohc::domain::slot::{Slot, SlotError};
use ohc::domain::state::State;
use std::collections::BTreeMap;

const SPEC: &str = "  run: { limits: { jobsPerBlock: 1 } }\n";

fn world(seed: u64, weather: Weather) -> World {
    let manifest = fan("fan", SPEC, 1, 4);
    let submission = submission(manifest, Vec::new(), ohc(50));
    let wants = vec![Want { name: "fan".to_owned(), submission }];
    let workers =
        vec![(Nature::Silent, 550_000), (Nature::Honest, 600_000), (Nature::Honest, 700_000)];
    let validators = vec![(Temper::Honest, STAKE)];
    World::new(seed, weather, Cast { validators, workers, purse: ohc(100), wants })
}

/// The first slots of some history.
pub fn slots(count: usize) -> Vec<Slot> {
    let mut world = world(5, Weather::CALM);
    world.live(60_000).unwrap();
    world.slots().take(count).cloned().collect()
}

/// Every slot with its events, and the money after it.
fn history(world: &World) -> Vec<(Slot, Vec<Event>, Ledger)> {
    let mut state = State::new(world.genesis());
    let fold = |slot: &Slot| {
        let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
        (slot.clone(), events, state.ledger().clone())
    };
    world.slots().map(fold).collect()
}

/// Tells a checker a history in which `spoil` has changed the events of the slots, one after
/// another, until it says that it did.
fn told(mut spoil: impl FnMut(&mut Vec<Event>) -> bool) -> Result<(), Breach> {
    let mut world = world(5, Weather::CALM);
    assert!(world.finish(600_000).unwrap().is_empty());
    let mut checker = Checker::new(world.genesis());
    let mut is_spoilt = false;
    for (slot, mut events, ledger) in history(&world) {
        is_spoilt = is_spoilt || spoil(&mut events);
        checker.observe(&slot, &events, &ledger)?;
    }
    assert!(is_spoilt, "there was nothing to spoil");
    Ok(())
}

#[track_caller]
fn objects(rule: &str, spoil: impl FnMut(&mut Vec<Event>) -> bool) {
    let breach = told(spoil).unwrap_err();
    assert_eq!(breach.rule, rule, "{}", breach.what);
}

/// Changes the first event for which `change` finds something to do.
fn first(events: &mut [Event], change: impl Fn(&mut Event) -> bool) -> bool {
    events.iter_mut().any(change)
}

/// Says the first event of a kind twice.
fn twice(events: &mut Vec<Event>, is: impl Fn(&Event) -> bool) -> bool {
    let found = events.iter().find(|event| is(event)).cloned();
    let is_found = found.is_some();
    events.extend(found);
    is_found
}

fn more(amount: &mut Ohc) {
    *amount = Ohc::from_nano(amount.nano() + 1);
}

#[test]
fn the_history_is_good_before_it_is_spoilt() {
    assert_eq!(told(|_| true), Ok(()));
}

#[test]
fn r1_money_that_moves_without_a_word_is_seen() {
    objects("R-1", |events| {
        let before = events.len();
        events.retain(|event| !matches!(event, Event::Lapsed { .. }));
        // Without the lapse the lease would be live: nothing more is said about it here.
        let is_spoilt = events.len() < before;
        if is_spoilt {
            events.clear();
        }
        is_spoilt
    });
}

#[test]
fn r3_a_second_settlement_is_seen() {
    objects("R-3", |events| twice(events, |event| matches!(event, Event::Settled { .. })));
}

#[test]
fn r4_a_second_lease_is_seen() {
    objects("R-4", |events| twice(events, |event| matches!(event, Event::Leased { .. })));
}

#[test]
fn r5_a_receipt_that_nobody_signed_is_seen() {
    objects("R-5", |events| {
        first(events, |event| match event {
            Event::Delivered { receipt, .. } => {
                *receipt = Digest([1; 32]);
                true
            }
            _ => false,
        })
    });
}

#[test]
fn r9_an_audit_in_the_slot_of_its_receipt_is_seen() {
    objects("R-9", |events| {
        let delivered = events.iter().find_map(|event| match event {
            Event::Delivered { lease, .. } => Some(*lease),
            _ => None,
        });
        let drawn = delivered.map(|lease| Event::Drawn { lease, audit: Default::default() });
        let is_found = drawn.is_some();
        events.extend(drawn);
        is_found
    });
}

#[test]
fn r11_a_price_above_the_reserve_is_seen() {
    objects("R-11", |events| {
        first(events, |event| match event {
            Event::Leased { price, .. } => {
                *price = Ohc::from_nano(price.nano() * 2);
                true
            }
            _ => false,
        })
    });
}

#[test]
fn r11_a_reward_that_is_not_the_price_is_seen() {
    objects("R-11", |events| {
        first(events, |event| match event {
            Event::Settled { reward, .. } => {
                more(reward);
                true
            }
            _ => false,
        })
    });
}

#[test]
fn a_bill_that_does_not_add_up_is_seen() {
    objects("bill", |events| {
        first(events, |event| match event {
            Event::Ended { refund, .. } => {
                more(refund);
                true
            }
            _ => false,
        })
    });
}

#[test]
fn a_validator_that_comes_or_goes_within_an_epoch_is_seen() {
    let validator = Who::Validator(0).key();
    for event in [Event::Joined { validator, stake: ohc(STAKE) }, Event::Left { validator }] {
        objects("seats", |events| {
            events.push(event.clone());
            true
        });
    }
}

#[test]
fn r3_coins_of_a_stake_that_are_free_without_a_lock_are_seen() {
    objects("R-3", |events| {
        events.push(Event::Unlocked { validator: Who::Validator(0).key(), amount: ohc(1) });
        true
    });
}

#[test]
fn r14_a_disk_that_speaks_before_it_has_synced_is_seen() {
    let lossy =
        Weather { acts_before_sync: true, crash: true, misfortune_ms: 100, ..Weather::CALM };
    let found = (1..400).find_map(|seed| {
        let mut world = world(seed, lossy);
        world.live(20_000).err()
    });
    assert_eq!(found.map(|breach| breach.rule), Some("R-14"));
}

/// Tells a checker a history whose first slot leaves other accounts behind.
fn told_accounts(spoil: impl Fn(&mut BTreeMap<PublicKey, Account>)) -> Result<(), Breach> {
    let mut world = world(5, Weather::CALM);
    assert!(world.finish(600_000).unwrap().is_empty());
    let mut checker = Checker::new(world.genesis());
    let (slot, events, ledger) = history(&world).remove(0);
    assert_eq!(ledger.holds().count(), 0, "nobody has begun anything yet");
    let mut accounts: BTreeMap<PublicKey, Account> =
        ledger.accounts().map(|(key, account)| (*key, *account)).collect();
    spoil(&mut accounts);
    checker.observe(&slot, &events, &Ledger::new(accounts))
}

fn account(accounts: &mut BTreeMap<PublicKey, Account>, who: Who) -> &mut Ohc {
    &mut accounts.get_mut(&who.key()).unwrap().balance
}

#[test]
fn r1_a_nano_that_nobody_minted_is_seen_and_one_that_is_lost() {
    assert_eq!(told_accounts(|_| ()), Ok(()));
    let minted = told_accounts(|all| more(account(all, Who::Worker(1))));
    assert_eq!(minted.unwrap_err().rule, "R-1");
    let lost = told_accounts(|all| {
        let balance = account(all, Who::Validator(0));
        *balance = Ohc::from_nano(balance.nano() - 1);
    });
    assert_eq!(lost.unwrap_err().rule, "R-1");
}

#[test]
fn r1_a_nano_that_changes_hands_without_a_word_is_seen() {
    let stolen = told_accounts(|all| {
        more(account(all, Who::Worker(1)));
        let balance = account(all, Who::Client(0));
        *balance = Ohc::from_nano(balance.nano() - 1);
    });
    assert_eq!(stolen.unwrap_err().rule, "R-1");
}

/// Tells a checker of one slot that is not as the others.
fn told_slot(spoil: impl Fn(&mut Slot)) -> Result<(), Breach> {
    let mut world = several(&[Temper::Honest; 4]);
    assert!(world.finish(600_000).unwrap().is_empty());
    let mut checker = Checker::new(world.genesis());
    for (index, (mut slot, events, ledger)) in history(&world).into_iter().enumerate() {
        if index == 5 {
            spoil(&mut slot);
        }
        checker.observe(&slot, &events, &ledger)?;
    }
    Ok(())
}

#[test]
fn r7_a_slot_that_two_thirds_have_not_signed_is_seen() {
    assert_eq!(told_slot(|_| ()), Ok(()));
    let short = told_slot(|slot| {
        while slot.certificate.signatures.len() > 2 {
            slot.certificate.signatures.pop_first();
        }
    });
    assert_eq!(short.unwrap_err().rule, "R-7");
}

#[test]
fn r7_a_slot_that_follows_another_one_is_seen() {
    let fork = told_slot(|slot| slot.head.parent = Digest([1; 32]));
    assert_eq!(fork.unwrap_err().rule, "R-7");
}

#[test]
fn r8_commands_in_another_order_give_another_root() {
    let mut world = world(5, Weather::CALM);
    assert!(world.finish(600_000).unwrap().is_empty());
    let mut state = State::new(world.genesis());
    let (mut together, mut differ) = (0, 0);
    for slot in world.slots() {
        let mut other = slot.clone();
        other.commands.reverse();
        if slot.commands.len() > 1 {
            together += 1;
            let root =
                events_root(&state.clone().apply(slot.head.height, &slot.poh, &other.commands));
            differ += u64::from(root != slot.head.events);
            // And nobody can pass one order off as the other.
            let checked = other.check(state.network(), slot.head.parent, state.validators());
            assert_eq!(checked, Err(SlotError::Commands));
        }
        state.apply(slot.head.height, &slot.poh, &slot.commands);
    }
    assert!(differ > 0, "of {together} slots with several commands");
}

#[test]
fn r14_a_node_that_has_forgotten_a_settlement_is_seen() {
    let mut world = world(5, Weather::CALM);
    assert!(world.finish(600_000).unwrap().is_empty());
    assert_eq!(world.checker.remembers(&world.state()), Ok(()));
    let forgot = world.checker.remembers(&State::new(world.genesis()));
    assert_eq!(forgot.unwrap_err().rule, "R-14");
}

/// The same world before several validators.
fn several(tempers: &[Temper]) -> World {
    let manifest = fan("fan", SPEC, 1, 4);
    let wants = vec![Want {
        name: "fan".to_owned(),
        submission: submission(manifest, Vec::new(), ohc(50)),
    }];
    let validators = tempers.iter().map(|temper| (*temper, STAKE)).collect();
    let workers = vec![(Nature::Honest, 600_000), (Nature::Honest, 700_000)];
    World::new(5, Weather::CALM, Cast { validators, workers, purse: ohc(100), wants })
}

#[test]
fn a_world_in_which_too_many_validators_say_nothing_is_seen_to_stand_still() {
    use Temper::{Honest, Mute};
    assert!(several(&[Honest; 4]).finish(600_000).unwrap().is_empty());
    let waiting = several(&[Honest, Honest, Mute, Mute]).finish(600_000).unwrap();
    assert_eq!(waiting, ["Client(0) waits for fan"]);
}
