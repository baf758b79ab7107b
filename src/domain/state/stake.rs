//! Who the validators are: coins are bonded and unbonded at any time, and count, or not any more,
//! from the next boundary of the set on. Never looks at what a validator says.
//!
//! | asked for                                  | at the boundary                                |
//! |--------------------------------------------|------------------------------------------------|
//! | bond, the stake is more than the floor then | it counts                                      |
//! | unbond, what stays is more than the floor   | what leaves is locked for `unbonding_ticks`    |
//! | unbond of all                               | the validator is none any more, the same lock  |
//! | nothing, but fines took it below the floor  | the same                                       |
//! | nothing, but it signed two things at once   | the same; what waited to be stake comes back   |
//!
//! What would break a rule is refused when it is asked for, so that nothing waits for ever. If
//! nobody at all would be left, everything stays as it is until somebody is. Coins that are locked
//! are at risk for everything that was said while they were at stake.

use super::State;
use super::accuse::Punished;
use crate::base::amount::Ohc;
use crate::base::canon::canonical_struct;
use crate::base::keys::PublicKey;
use crate::base::limits::{STAKE_FLOOR_OHC, VALIDATORS_MAX};
use crate::base::time::{Height, Tick};
use crate::domain::event::{Event, Reject};
use crate::domain::ledger::{Hold, Owner};
use std::collections::{BTreeMap, BTreeSet};

/// What is to become of the set, and what has been.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Membership {
    /// The epoch of the set that goes on.
    epoch: u64,
    /// Whose coins wait to be stake.
    joining: BTreeSet<PublicKey>,
    /// What is to leave stakes.
    leaving: BTreeMap<PublicKey, Ohc>,
    /// When coins that have left are free.
    unlocks: BTreeSet<(Tick, PublicKey)>,
    /// Who signed two things at once.
    pub(super) jailed: BTreeSet<PublicKey>,
    /// The last slots of the epochs before, and when they ended.
    pub(super) ends: BTreeMap<Height, Tick>,
    /// What was signed about slots before this one is too old.
    pub(super) oldest: Height,
    /// Who was punished for which height.
    pub(super) punished: BTreeMap<(Height, PublicKey), Punished>,
}
canonical_struct!(Membership { epoch, joining, leaving, unlocks, jailed, ends, oldest, punished });

/// What somebody has at stake, and what becomes of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StakeStatus {
    /// What of it counts now: its share of all that counts is its share of the votes.
    pub counts: Ohc,
    /// What is at stake.
    pub stake: Ohc,
    /// What waits to be.
    pub pending: Ohc,
    /// What is to leave it.
    pub leaving: Ohc,
    /// What has left it and is locked still, with the ends of the locks.
    pub unbonding: Vec<(Tick, Ohc)>,
    /// Whether it signed two things at once.
    pub is_jailed: bool,
}

impl State {
    /// What somebody has at stake.
    #[must_use]
    pub fn stake_of(&self, key: &PublicKey) -> StakeStatus {
        StakeStatus {
            counts: self.validators.get(key).copied().unwrap_or_default(),
            stake: self.ledger.account(key).stake,
            pending: self.ledger.pending(Hold::Stake(*key)).unwrap_or_default(),
            leaving: self.membership.leaving.get(key).copied().unwrap_or_default(),
            unbonding: self.ledger.unbonding(key, Tick(0)).collect(),
            is_jailed: self.membership.jailed.contains(key),
        }
    }

    /// Everybody who has, or wants to have, anything at stake.
    #[must_use]
    pub fn stakers(&self) -> BTreeSet<PublicKey> {
        let Membership { joining, unlocks, .. } = &self.membership;
        let locked = unlocks.iter().map(|(_, key)| key);
        self.validators.keys().chain(joining).chain(locked).copied().collect()
    }

    /// When validators come and go the next time; never in some networks.
    #[must_use]
    pub fn set_changes_at(&self) -> Option<Tick> {
        let ticks = self.params.set_ticks;
        (ticks > 0).then(|| Tick(self.membership.epoch.saturating_add(1).saturating_mul(ticks)))
    }

    /// Whether somebody waits for the set to change, or for coins to be free.
    pub(super) fn is_set_waiting(&self) -> bool {
        let Membership { joining, leaving, unlocks, jailed, .. } = &self.membership;
        let is_jailed = |key: &PublicKey| jailed.contains(key);
        let is_changing = self.params.set_ticks > 0
            && self.validators.keys().any(is_jailed)
            && !self.validators.keys().all(is_jailed);
        is_changing || !(joining.is_empty() && leaving.is_empty() && unlocks.is_empty())
    }

    /// Puts coins at stake from the next boundary on.
    pub(super) fn bond(
        &mut self,
        author: PublicKey,
        amount: Ohc,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        self.may_change(&author, amount)?;
        let before = self.next_stake(&author);
        if !is_enough(before.checked_add(amount).ok_or(Reject::Short)?) {
            return Err(Reject::BelowFloor);
        }
        // Who comes first has the seat: nobody is bought out of it.
        if !is_enough(before) && self.next_set().len() >= VALIDATORS_MAX {
            return Err(Reject::SetFull);
        }
        let hold = Hold::Stake(author);
        let held = match self.ledger.pending(hold) {
            None => self.ledger.open(hold, Owner::Account(author), amount),
            Some(_) => self.ledger.add(hold, amount),
        };
        held.map_err(|_| Reject::Short)?;
        self.membership.joining.insert(author);
        events.push(Event::Bonded { validator: author, amount });
        Ok(())
    }

    /// Takes coins from a stake from the next boundary on.
    pub(super) fn unbond(
        &mut self,
        author: PublicKey,
        amount: Ohc,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        self.may_change(&author, amount)?;
        let rest = self.next_stake(&author).checked_sub(amount).ok_or(Reject::Short)?;
        if rest > Ohc::ZERO && !is_enough(rest) {
            return Err(Reject::BelowFloor);
        }
        if rest == Ohc::ZERO && self.next_set().keys().all(|key| *key == author) {
            return Err(Reject::LastValidator);
        }
        let leaving = self.membership.leaving.entry(author).or_default();
        *leaving = leaving.checked_add(amount).unwrap_or(*leaving);
        events.push(Event::Unbonded { validator: author, amount });
        Ok(())
    }

    fn may_change(&self, author: &PublicKey, amount: Ohc) -> Result<(), Reject> {
        if self.params.set_ticks == 0 {
            return Err(Reject::FixedSet);
        }
        if self.membership.jailed.contains(author) {
            return Err(Reject::Jailed);
        }
        if amount == Ohc::ZERO { Err(Reject::Dust) } else { Ok(()) }
    }

    /// What somebody will have at stake after the next boundary, as far as is known.
    fn next_stake(&self, key: &PublicKey) -> Ohc {
        let StakeStatus { stake, pending, leaving, .. } = self.stake_of(key);
        let all = stake.checked_add(pending).unwrap_or(stake);
        all.checked_sub(leaving).unwrap_or_default()
    }

    /// The validators after the next boundary, as far as is known.
    fn next_set(&self) -> BTreeMap<PublicKey, Ohc> {
        let keys = self.validators.keys().chain(&self.membership.joining);
        let free = keys.filter(|key| !self.membership.jailed.contains(key));
        let next = free.map(|key| (*key, self.next_stake(key)));
        next.filter(|(_, stake)| is_enough(*stake)).collect()
    }

    /// Gives free what was locked long enough, and lets validators come and go where an epoch is
    /// over.
    pub(super) fn change_set(&mut self, events: &mut Vec<Event>) {
        self.unlock(events);
        let Some(epoch) = self.now().0.checked_div(self.params.set_ticks) else { return };
        if epoch == self.membership.epoch {
            return;
        }
        self.membership.epoch = epoch;
        self.end_epoch();
        let next = self.next_set();
        assert!(next.len() <= VALIDATORS_MAX, "who is one too many is refused when it asks");
        if next.is_empty() {
            return; // somebody has to sign the slots
        }
        self.move_stakes(&next, events);
        let before = std::mem::replace(&mut self.validators, next);
        for (validator, stake) in &self.validators {
            if before.get(validator) != Some(stake) {
                events.push(Event::Joined { validator: *validator, stake: *stake });
            }
        }
        for validator in before.keys().filter(|key| !self.validators.contains_key(key)) {
            events.push(Event::Left { validator: *validator });
        }
        if before != self.validators {
            self.follow_set(before.len() == 1);
            events.push(Event::SetChanged { was: before, now: self.validators.clone() });
        }
    }

    fn unlock(&mut self, events: &mut Vec<Event>) {
        while let Some((until, validator)) = self.membership.unlocks.first().copied() {
            if until > self.now() {
                return;
            }
            self.membership.unlocks.pop_first();
            self.give_back(Hold::Unbonding { validator, until }, validator, events);
        }
    }

    fn give_back(&mut self, hold: Hold, validator: PublicKey, events: &mut Vec<Event>) {
        let amount = self.ledger.void(hold);
        assert!(amount.is_ok(), "R-3: coins of a stake are free once");
        events.push(Event::Unlocked { validator, amount: amount.unwrap_or_default() });
    }

    /// What waited to be stake is, what was to leave is locked, and so is all of those who are no
    /// validators any more.
    fn move_stakes(&mut self, next: &BTreeMap<PublicKey, Ohc>, events: &mut Vec<Event>) {
        let keys = self.validators.keys().chain(&self.membership.joining);
        let keys: BTreeSet<PublicKey> = keys.copied().collect();
        for validator in std::mem::take(&mut self.membership.joining) {
            let hold = Hold::Stake(validator);
            if self.membership.jailed.contains(&validator) {
                self.give_back(hold, validator, events);
                continue;
            }
            let staked = self.ledger.stake(hold);
            assert!(staked.is_ok(), "R-3: what waits to be stake is stake once");
        }
        let leaving = std::mem::take(&mut self.membership.leaving);
        let until = self.now().after(self.params.unbonding_ticks);
        for validator in keys {
            let stake = self.ledger.account(&validator).stake;
            let amount = match next.contains_key(&validator) {
                true => leaving.get(&validator).copied().unwrap_or_default().min(stake),
                false => stake,
            };
            if amount == Ohc::ZERO {
                continue;
            }
            let locked =
                self.ledger.unstake(validator, Hold::Unbonding { validator, until }, amount);
            assert!(locked.is_ok(), "R-2: no more leaves a stake than is in it, once a boundary");
            self.membership.unlocks.insert((until, validator));
            events.push(Event::Locked { validator, amount, until });
        }
    }

    /// What is under way goes on with other validators. Who was drawn and has left may say what it
    /// found; it is not waited for longer than others, and not fined. Votes are counted by the
    /// stake that counts when they are counted.
    fn follow_set(&mut self, was_alone: bool) {
        let validators = &self.validators;
        self.beacon.keep(|key| validators.contains_key(key));
        self.absent.retain(|key| validators.contains_key(key));
        if self.is_alone() {
            // Whoever is alone draws from the chain, and is counted on.
            self.beacon.call_off();
            self.absent.clear();
        } else if was_alone {
            // Who was alone had no time to keep.
            for lease in self.judging.clone() {
                self.move_window(lease);
            }
        }
    }
}

fn is_enough(stake: Ohc) -> bool {
    Ohc::from_whole(STAKE_FLOOR_OHC).is_some_and(|floor| stake > floor)
}
