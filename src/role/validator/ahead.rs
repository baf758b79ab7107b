//! Ahead of the log: where reveals that wait will complete a round of the beacon, what it draws is
//! known before they are in a slot. It is looked into at once, so that the answers share the slot.
//! Never says anything itself; where the slot holds other reveals, nothing but time was lost.

use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Millis;
use crate::domain::command::{Command, SignedOrder};
use crate::domain::state::{Duty, Foresight, Matter, State};
use std::collections::BTreeSet;

/// So long those are waited for who look into what is foreseen.
const GATHER_MS: u64 = 12;

/// What is foreseen.
#[derive(Debug)]
pub(super) struct Ahead {
    foresight: Foresight,
    since: Millis,
    leases: BTreeSet<LeaseId>,
    /// Who has not said anything about it.
    silent: BTreeSet<PublicKey>,
}

impl Ahead {
    /// What comes of commands that wait, if they complete a round.
    pub(super) fn of<'a>(
        now: Millis,
        state: &State,
        orders: impl Iterator<Item = &'a SignedOrder> + Clone,
    ) -> Option<Self> {
        let reveal = |order: &SignedOrder| match &order.body.command {
            Command::Reveal(reveal) => Some((order.author, *reveal)),
            _ => None,
        };
        let foresight = state.foresee(orders.clone().filter_map(reveal))?;
        let (leases, silent) = (foresight.leases().collect(), foresight.there().collect());
        let mut ahead = Self { foresight, since: now, leases, silent };
        orders.for_each(|order| ahead.hear(order));
        Some(ahead)
    }

    /// A command waits for its slot.
    pub(super) fn hear(&mut self, order: &SignedOrder) {
        let is_about = match &order.body.command {
            Command::SealVerdicts(seals) => seals.iter().any(|s| self.leases.contains(&s.lease)),
            Command::Judge(verdicts) => verdicts.iter().any(|v| self.leases.contains(&v.lease)),
            _ => false,
        };
        if is_about {
            self.silent.remove(&order.author);
        }
    }

    /// Until when more answers are to be expected.
    pub(super) fn gathers_until(&self) -> Millis {
        if self.silent.is_empty() { Millis(0) } else { self.since.after(GATHER_MS) }
    }

    /// What a validator will be asked.
    pub(super) fn questions(&self, validator: &PublicKey) -> impl Iterator<Item = Matter> {
        self.foresight.questions(validator)
    }

    /// What it will take to answer.
    pub(super) fn duty(&self, state: &State, matter: Matter) -> Option<Duty> {
        state.duty_ahead(&self.foresight, matter)
    }
}
