//! Stakes: how coins come to be at risk for a validator, and how they are free again.
//! Never says who is a validator.

use super::{Hold, Ledger, LedgerError, Movement, Owner, Pending, Place, minus, plus};
use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::base::time::Tick;

impl Ledger {
    /// Ends a pending amount: it becomes stake of its owner. Returns how much that was.
    pub fn stake(&mut self, hold: Hold) -> Result<Ohc, LedgerError> {
        let Pending { owner, amount } = *self.pending.get(&hold).ok_or(LedgerError::Closed)?;
        let Owner::Account(key) = owner else { return Err(LedgerError::Closed) };
        self.pending.remove(&hold);
        self.sum = minus(self.sum, amount);
        let account = self.accounts.entry(key).or_default();
        account.stake = plus(account.stake, amount);
        self.sum = plus(self.sum, amount);
        self.note(Movement::Posted, Place::Hold(hold), Place::Stake(key), amount);
        Ok(amount)
    }

    /// Takes from a stake: the coins are pending, and come back to the same account's balance.
    pub fn unstake(&mut self, key: PublicKey, hold: Hold, amount: Ohc) -> Result<(), LedgerError> {
        if self.pending.contains_key(&hold) {
            return Err(LedgerError::Open);
        }
        let account = self.accounts.get_mut(&key).ok_or(LedgerError::Short)?;
        account.stake = account.stake.checked_sub(amount).ok_or(LedgerError::Short)?;
        self.sum = minus(self.sum, amount);
        self.pending.insert(hold, Pending { owner: Owner::Account(key), amount });
        self.sum = plus(self.sum, amount);
        self.note(Movement::Pending, Place::Stake(key), Place::Hold(hold), amount);
        Ok(())
    }

    /// What of a stake is locked still, and until when: earlier ends first, from `since` on.
    pub fn unbonding(
        &self,
        key: &PublicKey,
        since: Tick,
    ) -> impl Iterator<Item = (Tick, Ohc)> + '_ {
        let of = |until| Hold::Unbonding { validator: *key, until };
        self.pending.range(of(since)..=of(Tick(u64::MAX))).filter_map(|(hold, pending)| {
            let Hold::Unbonding { until, .. } = hold else { return None };
            Some((*until, pending.amount))
        })
    }
}
