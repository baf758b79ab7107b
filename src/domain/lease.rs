//! Leases: a block on offer, and one attempt of one worker at it.
//! Never says how an attempt ends: the fold does, and `settle` pays for it.

use super::classes::Classes;
use super::terms::Equipment;
use crate::base::amount::{Ohc, Rounding, Work};
use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::PublicKey;
use crate::base::time::Tick;

/// A block on offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// Its jobs whose results are not known.
    pub todo: Vec<JobId>,
    /// Their work.
    pub work: Work,
    /// What their worker must have.
    pub needs: Equipment,
    /// The kinds of the jobs.
    pub classes: Classes,
    /// The most that is paid for it.
    pub reserve: Ohc,
    /// What the validators get.
    pub gas: Ohc,
    /// Since when it has this reserve; after a failed attempt, when it may be leased again.
    pub since: Tick,
    /// How often it was raised.
    pub reprices: u32,
}

/// A block in the hands of a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The attempt.
    pub id: LeaseId,
    /// What was on offer.
    pub offer: Offered,
    /// Who works.
    pub worker: PublicKey,
    /// What it will be paid: less once it was answered too late.
    pub price: Ohc,
    /// What it has at risk.
    pub bond: Ohc,
    /// When it began.
    pub since: Tick,
    /// When it lapses if no sign of life comes.
    pub silent_until: Tick,
    /// Until when its answer is worth its price.
    pub deadline: Tick,
    /// Ticks after the deadline in which its answer loses its worth; then it lapses whatever comes.
    pub grace: u64,
}

impl Lease {
    /// When it lapses as things stand.
    #[must_use]
    pub fn lapses_at(&self) -> Tick {
        self.silent_until.min(self.worthless_at())
    }

    /// When it lapses whatever comes.
    #[must_use]
    pub const fn worthless_at(&self) -> Tick {
        self.deadline.after(self.grace)
    }

    /// What an answer at that time is worth: all of the price until the deadline, then less by the
    /// tick, rounded down; none once the grace is over.
    #[must_use]
    pub fn worth(&self, at: Tick) -> Option<Ohc> {
        match at.since(self.deadline) {
            0 => Some(self.price),
            late => {
                let left = self.grace.checked_sub(late).filter(|left| *left > 0)?;
                self.price.ratio(left, self.grace, Rounding::Floor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BlockId, RunId};
    use proptest::prelude::*;

    fn lease(price: u64, deadline: u64, grace: u64) -> Lease {
        let offer = Offered {
            todo: Vec::new(),
            work: Work::new(1),
            needs: Equipment::default(),
            classes: Classes::ALL,
            reserve: Ohc::from_nano(price),
            gas: Ohc::ZERO,
            since: Tick(0),
            reprices: 0,
        };
        Lease {
            since: Tick(0),
            id: LeaseId { block: BlockId { run: RunId(1), index: 0 }, attempt: 1 },
            offer,
            worker: PublicKey([1; 32]),
            price: Ohc::from_nano(price),
            bond: Ohc::ZERO,
            silent_until: Tick(u64::MAX),
            deadline: Tick(deadline),
            grace,
        }
    }

    #[test]
    fn r11_what_comes_late_is_worth_less_by_the_tick() {
        let lease = lease(1_000, 50, 8);
        let worth = |at| lease.worth(Tick(at)).map(Ohc::nano);
        assert_eq!((worth(0), worth(50)), (Some(1_000), Some(1_000)));
        assert_eq!((worth(51), worth(54), worth(57)), (Some(875), Some(500), Some(125)));
        assert_eq!((worth(58), worth(1_000)), (None, None));
        assert_eq!(lease.lapses_at(), Tick(58));
    }

    proptest! {
        #[test]
        fn r11_waiting_never_makes_an_answer_worth_more(
            price in 0u64..1_000_000_000_000, grace in 0u64..100_000,
            a in 0u64..200_000, b in 0u64..200_000,
        ) {
            let lease = lease(price, 1_000, grace);
            let worth = |at: u64| lease.worth(Tick(at));
            prop_assert!(worth(a.max(b)) <= worth(a.min(b)));
            prop_assert!(worth(a).is_none_or(|worth| worth <= lease.price));
            let is_over = a > 1_000 && a >= 1_000 + grace;
            prop_assert_eq!(worth(a).is_none(), is_over);
        }
    }
}
