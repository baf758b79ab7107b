//! Penalties: what is taken from somebody, from where, and who gets it.
//! Never takes more than there is, and never says what for.

use super::{Hold, Ledger, Movement, Payee, Place, minus};
use crate::base::amount::{Ohc, Rounding};
use crate::base::keys::PublicKey;
use crate::base::time::Tick;

impl Ledger {
    /// Takes up to `amount` as a penalty: from a balance, then from the stake, then from what of it
    /// is locked still. Returns what was taken; what its shares do not divide is burned.
    pub fn fine(&mut self, from: PublicKey, amount: Ohc, to: &[(Payee, u64)]) -> Ohc {
        let locked = self.locks(from, Tick(0));
        let places = [Place::Account(from), Place::Stake(from)].into_iter().chain(locked);
        let places: Vec<Place> = places.collect();
        self.seize(&places, amount, to)
    }

    /// Takes up to `amount` from a stake alone: from what is at stake, and from what of it is
    /// locked until `since` or longer.
    pub fn slash(&mut self, from: PublicKey, amount: Ohc, since: Tick, to: &[(Payee, u64)]) -> Ohc {
        let places: Vec<Place> =
            [Place::Stake(from)].into_iter().chain(self.locks(from, since)).collect();
        self.seize(&places, amount, to)
    }

    fn locks(&self, validator: PublicKey, since: Tick) -> Vec<Place> {
        let of = |(until, _)| Place::Hold(Hold::Unbonding { validator, until });
        self.unbonding(&validator, since).map(of).collect()
    }

    fn seize(&mut self, places: &[Place], amount: Ohc, to: &[(Payee, u64)]) -> Ohc {
        let mut seized = Vec::with_capacity(places.len());
        let mut left = amount;
        for place in places {
            let part = self.take(*place, left);
            left = minus(left, part);
            seized.push((*place, part));
        }
        let taken = minus(amount, left);
        let mut sources = seized.into_iter();
        let mut source = sources.next();
        for (payee, share) in shares(taken, to) {
            self.credit(payee, share);
            // Which coin went where is nobody's business, but a trail says it for every one.
            let mut due = share;
            while let Some((place, held)) = source.as_mut().filter(|_| due > Ohc::ZERO) {
                let part = due.min(*held);
                self.note(Movement::Fined, *place, payee.into(), part);
                (due, *held) = (minus(due, part), minus(*held, part));
                if *held == Ohc::ZERO {
                    source = sources.next();
                }
            }
        }
        taken
    }

    /// Takes up to `amount` from one place; returns what was taken.
    fn take(&mut self, place: Place, amount: Ohc) -> Ohc {
        let from = match place {
            Place::Account(key) => self.accounts.get_mut(&key).map(|own| &mut own.balance),
            Place::Stake(key) => self.accounts.get_mut(&key).map(|own| &mut own.stake),
            Place::Hold(hold) => self.pending.get_mut(&hold).map(|pending| &mut pending.amount),
            Place::Treasury | Place::Burned => None,
        };
        let Some(from) = from else { return Ohc::ZERO };
        let part = amount.min(*from);
        *from = minus(*from, part);
        self.sum = minus(self.sum, part);
        part
    }
}

/// Divides what was taken; each part is rounded down, and what is left over is burned.
fn shares(taken: Ohc, to: &[(Payee, u64)]) -> Vec<(Payee, Ohc)> {
    let all: u64 = to.iter().map(|(_, share)| *share).sum();
    let mut left = taken;
    let mut parts = Vec::with_capacity(to.len() + 1);
    for (payee, share) in to {
        let part = taken.ratio(*share, all.max(1), Rounding::Floor);
        let part = part.unwrap_or_default().min(left);
        left = minus(left, part);
        parts.push((*payee, part));
    }
    parts.push((Payee::Burn, left));
    parts
}
