//! The validators, watched from outside: who has a seat, since when, and what happens to stakes.
//! Shares no accounting with the fold: it counts ticks itself and reads events.

use crate::checker::{Checked, breach, ensure};
use ohc::base::amount::Ohc;
use ohc::base::keys::PublicKey;
use ohc::base::time::Height;
use ohc::domain::event::Event;
use ohc::domain::genesis::{Genesis, Params};
use ohc::domain::slot::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// More than this, in nano-OhC.
const FLOOR: u64 = 39_900_000_000_000;

/// Who has a seat, and what is known of stakes.
#[derive(Clone)]
pub struct Seats {
    params: Params,
    tick: u64,
    /// Whether the slot that is read ends an epoch of the set.
    is_boundary: bool,
    stakes: BTreeMap<PublicKey, u64>,
    /// What waits to be stake.
    pending: BTreeMap<PublicKey, u64>,
    locks: BTreeMap<(u64, PublicKey), u64>,
    punished: BTreeSet<(PublicKey, Height)>,
}

impl Seats {
    pub fn new(genesis: &Genesis) -> Self {
        let staked = genesis.allocations.iter().filter(|a| a.stake > Ohc::ZERO);
        Self {
            params: genesis.params.clone(),
            tick: 0,
            is_boundary: false,
            stakes: staked.map(|a| (a.key, a.stake.nano())).collect(),
            pending: BTreeMap::new(),
            locks: BTreeMap::new(),
            punished: BTreeSet::new(),
        }
    }

    /// those who have a seat before a slot have signed it, with more than 2/3 of the stake.
    pub fn certify(&self, slot: &Slot) -> Checked {
        let height = slot.head.height;
        let signed = slot.certificate.signatures.keys();
        let signed: Vec<_> = signed.map(|key| self.stakes.get(key)).collect();
        ensure(signed.iter().all(Option::is_some), "R-7", || format!("slot {height}: a stranger"))?;
        let sum = |stakes: &mut dyn Iterator<Item = &u64>| stakes.map(|s| u128::from(*s)).sum();
        let signed: u128 = sum(&mut signed.into_iter().flatten());
        let all: u128 = sum(&mut self.stakes.values());
        ensure(3 * signed > 2 * all, "R-7", || format!("slot {height}: {signed} of {all}"))
    }

    /// The time of a slot.
    pub fn read(&mut self, slot: &Slot) {
        let epoch = |tick: u64| tick.checked_div(self.params.set_ticks);
        let before = epoch(self.tick);
        let ticks = slot.poh.iter().filter(|entry| entry.mixin.is_none()).count();
        self.is_boundary = before != epoch(self.tick + ticks as u64);
        self.tick += ticks as u64;
    }

    pub fn event(&mut self, event: &Event) -> Checked {
        match event {
            Event::Bonded { validator, amount } => {
                *self.pending.entry(*validator).or_default() += amount.nano();
                Ok(())
            }
            Event::Joined { validator, stake } => {
                self.pending.remove(validator);
                self.stakes.insert(*validator, stake.nano());
                self.at_boundary(event)?;
                ensure(stake.nano() > FLOOR, "seats", || format!("{stake} is no stake"))
            }
            Event::Left { validator } => {
                let had = self.stakes.remove(validator);
                self.at_boundary(event)?;
                ensure(had.is_some(), "seats", || format!("{validator:?} had no seat"))
            }
            Event::Locked { validator, amount, until } => {
                let twice = self.locks.insert((until.0, *validator), amount.nano());
                ensure(twice.is_none(), "R-3", || format!("{validator:?} is locked twice"))?;
                self.at_boundary(event)?;
                let due = self.tick + self.params.unbonding_ticks;
                ensure(until.0 == due, "seats", || format!("until {until}, not {due}"))
            }
            Event::Unlocked { validator, amount } => self.unlocked(validator, amount.nano()),
            Event::Equivocated { validator, height, .. } => {
                let is_first = self.punished.insert((*validator, *height));
                ensure(is_first, "R-3", || format!("{validator:?} is punished twice"))
            }
            _ => Ok(()),
        }
    }

    /// Coins are free when their time is over, and no more than were locked; or they never counted,
    /// because whose they are is jailed.
    fn unlocked(&mut self, validator: &PublicKey, amount: u64) -> Checked {
        let is_due = |(until, key): &&(u64, PublicKey)| key == validator && *until <= self.tick;
        if let Some(lock) = self.locks.keys().find(is_due).copied() {
            let most = self.locks.remove(&lock).unwrap_or_default();
            return ensure(amount <= most, "R-3", || format!("{amount} of {most} are free"));
        }
        let is_jailed = self.punished.iter().any(|(key, _)| key == validator);
        match self.pending.remove(validator) {
            Some(pending) if is_jailed && pending == amount => Ok(()),
            _ => breach("R-3", format!("{validator:?}: {amount} are free that were not locked")),
        }
    }

    fn at_boundary(&self, event: &Event) -> Checked {
        ensure(self.is_boundary, "seats", || format!("within an epoch: {event:?}"))?;
        let count = self.stakes.len();
        let fits = (1..=20).contains(&count) || matches!(event, Event::Joined { .. });
        ensure(fits, "seats", || format!("{count} validators"))
    }

    /// What must hold after a slot.
    pub fn count(&self) -> Checked {
        let count = self.stakes.len();
        ensure((1..=20).contains(&count), "seats", || format!("{count} validators"))
    }
}
