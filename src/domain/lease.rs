//! Leases: a block on offer, and one attempt of one worker at it.
//! Never says how an attempt ends: the fold does, and `settle` pays for it.

use super::terms::Equipment;
use crate::base::amount::{Ohc, Work};
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
    /// What it will be paid.
    pub price: Ohc,
    /// What it has at risk.
    pub bond: Ohc,
    /// When it began.
    pub since: Tick,
    /// When it lapses if no sign of life comes.
    pub silent_until: Tick,
    /// When it lapses whatever comes.
    pub deadline: Tick,
}

impl Lease {
    /// When it lapses as things stand.
    #[must_use]
    pub fn lapses_at(&self) -> Tick {
        self.silent_until.min(self.deadline)
    }
}
