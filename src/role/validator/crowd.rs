//! The crowd: workers that were given blocks in the same slot, and should be done with them at
//! about the same time. Says whether more of them is to be expected; decides nothing else.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::Digest;
    use crate::base::ids::{BlockId, RunId};
    use crate::base::keys::{NetworkId, SecretKey};
    use crate::domain::command::Order;
    use crate::domain::receipt::{Outcome, Receipt};

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn lease(index: u32) -> LeaseId {
        LeaseId { block: BlockId { run: RunId(1), index }, attempt: 1 }
    }

    /// Leases by their number: whose, since when, and how much.
    fn crowd(leases: &[(u8, u64, u64)]) -> Crowd {
        let computed = |(index, (who, since, work)): (u32, &(u8, u64, u64))| {
            let (worker, since, work) = (key(*who).public(), Tick(*since), Work::new(*work));
            (lease(index), Computed { worker, since, work, is_answered: false })
        };
        let leases = (0..).zip(leases).map(computed).collect();
        Crowd { leases, is_awaited: false }
    }

    fn answer(who: u8, leases: &[u32]) -> SignedOrder {
        let outcome = Outcome::Done(Vec::new());
        let receipt = |index: &u32| Receipt { lease: lease(*index), outcome: outcome.clone() };
        let command = Command::Deliver(leases.iter().map(receipt).collect());
        key(who).seal(NetworkId(Digest([1; 32])), Order { nonce: 1, command })
    }

    #[test]
    fn what_was_begun_with_an_answer_and_is_not_more_is_awaited() {
        let mut crowd = crowd(&[(1, 5, 100), (2, 5, 100), (2, 5, 90), (3, 5, 900), (3, 4, 10)]);
        assert!(crowd.is_complete(), "nobody has answered");
        crowd.hear(&answer(1, &[0]));
        assert!(!crowd.is_complete());
        crowd.hear(&answer(2, &[1]));
        assert!(!crowd.is_complete(), "one that is less is there still");
        crowd.hear(&answer(2, &[2]));
        assert!(crowd.is_complete(), "what is more, or was begun before, takes its time");
        crowd.hear(&answer(3, &[3]));
        assert!(crowd.is_complete());
    }

    #[test]
    fn who_answers_for_another_makes_nobody_wait() {
        let mut crowd = crowd(&[(1, 5, 100), (2, 5, 100)]);
        crowd.hear(&answer(2, &[0, 7]));
        assert!(crowd.is_complete());
        assert!(crowd.works(&key(1).public()) && !crowd.works(&key(3).public()));
    }
}
