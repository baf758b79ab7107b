//! The crowd: workers that were given blocks in the same slot, and should be done with them at about
//! the same time. Says whether more of them is to be expected; decides nothing else.

use crate::base::amount::Work;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
use crate::domain::command::{Command, SignedOrder};
use crate::domain::state::State;
use std::collections::BTreeMap;

/// A block that somebody computes.
#[derive(Debug)]
struct Computed {
    worker: PublicKey,
    /// What was begun together, and how much each of it is.
    since: Tick,
    work: Work,
    is_answered: bool,
}

/// Leases, as far as they are looked at.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    leases: BTreeMap<LeaseId, Computed>,
    /// Whether one is still computed that was begun with one that is answered, and is not more.
    is_awaited: bool,
}

impl Crowd {
    /// The first so many leases, none of them answered.
    pub(super) fn of(state: &State, most: usize) -> Self {
        let leases = state.workers().values().flat_map(|worker| worker.leases.iter());
        let computed = |lease: &LeaseId| {
            let held = state.held(*lease)?;
            let (since, work, worker) = (held.since, held.offer.work, held.worker);
            Some((*lease, Computed { worker, since, work, is_answered: false }))
        };
        Self { leases: leases.take(most).filter_map(computed).collect(), is_awaited: false }
    }

    /// A command waits for its slot.
    pub(super) fn hear(&mut self, order: &SignedOrder) {
        let Command::Deliver(receipts) = &order.body.command else { return };
        for receipt in receipts {
            let held = self.leases.get_mut(&receipt.lease);
            if let Some(held) = held.filter(|held| held.worker == order.author) {
                held.is_answered = true;
            }
        }
        let is_with = |one: &Computed, other: &Computed| {
            other.is_answered && other.since == one.since && one.work <= other.work
        };
        let is_awaited = |one: &Computed| {
            !one.is_answered && self.leases.values().any(|other| is_with(one, other))
        };
        self.is_awaited = self.leases.values().any(is_awaited);
    }

    /// Whether this worker computes something.
    pub(super) fn works(&self, worker: &PublicKey) -> bool {
        self.leases.values().any(|held| held.worker == *worker)
    }

    /// Whether nothing should come now.
    pub(super) const fn is_complete(&self) -> bool {
        !self.is_awaited
    }
}
