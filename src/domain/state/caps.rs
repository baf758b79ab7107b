//! Caps: how much may be open at once, and what comes too late.
//! Never says whether a command is refused for any other reason: `order` does.

use super::{State, Worker};
use crate::base::amount::Ohc;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::limits::{
    ACCOUNT_NANO_MIN, BIDS_MAX, JOBS_PER_FAULT, JOBS_PER_SLOT_MAX, RUNS_OPEN_MAX, STAKE_PER_ESCROW,
};
use crate::domain::command::Submission;
use crate::domain::event::{Event, Reject};
use crate::domain::lease::Lease;
use crate::domain::ledger::Hold;
use crate::domain::manifest::Manifest;
use crate::domain::plan::{self, Plan};

impl State {
    /// What may still be locked for runs: validators must lose more by colluding than there is to
    /// be taken, so that all open escrows together are at most a third of the stakes. What waits to
    /// be stake, or is to leave it, does not count.
    #[must_use]
    pub fn escrow_room(&self) -> Ohc {
        let stakes = self.validators.keys().map(|key| {
            let own = self.stake_of(key);
            own.stake.min(own.counts).checked_sub(own.leaving).unwrap_or_default()
        });
        let staked = Ohc::sum(stakes).unwrap_or_default();
        let cap = Ohc::from_nano(staked.nano() / STAKE_PER_ESCROW);
        let of_runs = |hold: &Hold| matches!(hold, Hold::Escrow(_) | Hold::Reward(_));
        let open = self.ledger.holds().filter(|(hold, _)| of_runs(hold)).map(|(_, amount)| amount);
        Ohc::sum(open).and_then(|open| cap.checked_sub(open)).unwrap_or_default()
    }

    /// Whether a client may begin another run: open ones are kept in memory.
    pub(super) fn may_begin(&self, client: PublicKey) -> Result<(), Reject> {
        let open = self.runs.values().filter(|run| run.client == client && !run.is_over());
        if open.take(RUNS_OPEN_MAX).count() < RUNS_OPEN_MAX { Ok(()) } else { Err(Reject::TooMany) }
    }

    /// Plans a submission, if this slot has room for another plan: it takes time of every node,
    /// whatever becomes of it.
    pub(super) fn plan(&mut self, submission: &Submission) -> Result<(Manifest, Plan), Reject> {
        if self.planned >= JOBS_PER_SLOT_MAX {
            return Err(Reject::Crowded);
        }
        let planned = plan::derive(submission);
        let jobs = planned.as_ref().map_or(JOBS_PER_FAULT, |(_, plan)| plan.weight());
        self.planned = self.planned.saturating_add(jobs);
        planned.map_err(|_| Reject::BadManifest)
    }

    /// Makes place for one more bid: every auction looks at all of them. Where there is none, the
    /// poorest of those who hold nothing makes place, if it has less than this one: who would keep
    /// others out needs a purse for every bid.
    pub(super) fn make_place(
        &mut self,
        author: PublicKey,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let stands = |worker: &Worker| worker.bid.is_some();
        if self.workers.get(&author).is_some_and(stands) {
            return Ok(());
        }
        let others = || self.workers.iter().filter(|(_, worker)| stands(worker));
        if others().take(BIDS_MAX).count() < BIDS_MAX {
            return Ok(());
        }
        let purse = |key: &PublicKey| self.ledger.account(key).balance;
        let idle = others().filter(|(_, worker)| worker.leases.is_empty()).map(|(key, _)| *key);
        let poorest = idle.min_by_key(|key| (purse(key), *key));
        let poorest = poorest.filter(|key| purse(key) < purse(&author)).ok_or(Reject::TooMany)?;
        self.withdraw(poorest, events)
    }

    /// Whether a payment is worth an entry in the ledger.
    pub(super) fn is_worth(&self, to: PublicKey, amount: Ohc) -> Result<(), Reject> {
        let least = if self.ledger.knows(&to) { 1 } else { ACCOUNT_NANO_MIN };
        if amount.nano() >= least { Ok(()) } else { Err(Reject::Dust) }
    }

    /// Whether so much more may be locked for a run.
    pub(super) fn covers(&self, more: Ohc) -> Result<(), Reject> {
        if more > self.escrow_room() { Err(Reject::Uncovered) } else { Ok(()) }
    }

    /// A lease that is answered now: at its price in time, at less within its grace.
    pub(super) fn in_time(&self, lease: Lease, events: &mut Vec<Event>) -> Result<Lease, Reject> {
        let price = lease.worth(self.now()).ok_or(Reject::TooLate)?;
        let ticks = self.now().since(lease.deadline);
        if ticks > 0 {
            events.push(Event::Late { lease: lease.id, ticks, grace: lease.grace, price });
        }
        Ok(Lease { price, ..lease })
    }

    /// Why nothing can be said about a lease. Who lost it by silence has been fined, and what it
    /// sent before it knew is no spam; until somebody else has the block.
    pub(super) fn lost(&self, author: PublicKey, lease: LeaseId) -> Reject {
        let run = self.runs.get(&lease.block.run).filter(|run| !run.is_over());
        let block = run.and_then(|run| run.block(lease.block.index));
        let is_lapsed = block
            .is_some_and(|block| block.lapsed == Some(author) && block.attempts == lease.attempt);
        if is_lapsed { Reject::Lapsed } else { Reject::NoLease }
    }
}
