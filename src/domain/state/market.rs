//! The market at a slot's boundary: offers that nobody takes become dearer, all others meet the
//! live bids. Never decides who wins: `auction` does.

use super::State;
use super::run::Phase;
use crate::base::amount::Rounding;
use crate::base::ids::{BlockId, LeaseId};
use crate::base::limits::REPRICES_MAX;
use crate::domain::auction::{self, Award, Offer, Standing};
use crate::domain::event::{Event, Pause};
use crate::domain::lease::{Lease, Offered};
use crate::domain::ledger::{Hold, Owner};
use crate::domain::price;

impl State {
    /// Raises the reserve of offers that no live bid accepts, by 1/8 at a time.
    pub(super) fn reprice_offers(&mut self, events: &mut Vec<Event>) {
        while let Some((tick, block)) = self.reprices.first().copied() {
            if tick > self.now() {
                return;
            }
            self.reprices.pop_first();
            let Some(Phase::Offered(offer)) = self.phase(block) else { continue };
            if offer.since.after(self.params.reprice_ticks) != tick {
                continue; // of an earlier attempt at the block
            }
            let offer = offer.clone();
            if self.is_wanted(block, &offer) {
                // Its takers are busy: the price is right, the wait is not its fault.
                self.put_offer(block, Offered { since: self.now(), ..offer });
            } else if offer.reprices < REPRICES_MAX {
                self.reprice(block, offer, events);
            } else {
                self.pause(block.run, Pause::NoBids, events);
            }
        }
    }

    /// Whether somebody will take an offer as it is once there is room. An idle worker that cannot
    /// pay the bond will not, however long one waits.
    fn is_wanted(&self, block: BlockId, offer: &Offered) -> bool {
        let state = self.runs.get(&block.run).and_then(|run| run.block(block.index));
        let barred = state.map_or(&[][..], |block| &block.barred);
        let bond = offer.reserve.ratio(self.params.bond_factor, 1, Rounding::Floor);
        self.workers.iter().any(|(key, worker)| {
            let ask = worker.bid.and_then(|bid| bid.ask.of(offer.work));
            let purse = self.ledger.account(key).balance;
            ask.is_some_and(|ask| ask <= offer.reserve)
                && !barred.contains(key)
                && (!worker.leases.is_empty() || bond.is_some_and(|bond| bond <= purse))
        })
    }

    fn reprice(&mut self, block: BlockId, offer: Offered, events: &mut Vec<Event>) {
        let reserve = price::raised(offer.reserve, 1);
        let total = reserve.and_then(|reserve| reserve.checked_add(offer.gas));
        let (hold, owner) = (Hold::Reward(block), Owner::Hold(Hold::Escrow(block.run)));
        let before = self.ledger.void(hold);
        assert!(before.is_ok(), "an offer has a reward until it ends");
        let raised = total.is_some_and(|total| self.ledger.open(hold, owner, total).is_ok());
        match (raised, reserve) {
            (true, Some(reserve)) => {
                let reprices = offer.reprices + 1;
                self.put_offer(block, Offered { reserve, reprices, since: self.now(), ..offer });
                events.push(Event::Repriced { block, reserve });
            }
            _ => {
                let reopened = self.ledger.open(hold, owner, before.unwrap_or_default());
                assert!(reopened.is_ok(), "what was just given back can be taken again");
                self.pause(block.run, Pause::Budget, events);
            }
        }
    }

    /// Puts a block's offer in place of whatever phase it was in.
    pub(super) fn put_offer(&mut self, block: BlockId, offer: Offered) {
        self.reprices.insert((offer.since.after(self.params.reprice_ticks), block));
        if let Some(state) = self.block_mut(block) {
            state.phase = Phase::Offered(offer);
        }
    }

    /// All offers meet all bids; awards become leases.
    pub(super) fn clear_market(&mut self, events: &mut Vec<Event>) {
        if self.offers.is_empty() {
            return;
        }
        let mut bids: Vec<Standing> = self
            .workers
            .iter()
            .filter_map(|(key, worker)| {
                let bid = worker.bid?;
                Some(Standing {
                    worker: *key,
                    ask: bid.ask,
                    capacity: bid.capacity,
                    queued: worker.queued,
                    leases: worker.leases.len(),
                    purse: self.ledger.account(key).balance,
                    record: worker.record,
                })
            })
            .collect();
        let offers = self.offers.iter().filter_map(|block| self.as_offer(*block));
        let awards = auction::clear(offers, &mut bids, self.params.bond_factor);
        for award in awards {
            self.lease(award, events);
        }
    }

    fn as_offer(&self, block: BlockId) -> Option<Offer> {
        let state = self.runs.get(&block.run)?.block(block.index)?;
        let Phase::Offered(offer) = &state.phase else { return None };
        if offer.since > self.now() {
            return None; // it waits after a failed attempt
        }
        let (work, reserve) = (offer.work, offer.reserve);
        let (barred, lapsed) = (state.barred.clone(), state.lapsed);
        Some(Offer { block, work, reserve, barred, lapsed })
    }

    fn lease(&mut self, award: Award, events: &mut Vec<Event>) {
        let Award { block, worker, price, bond } = award;
        let Some(run) = self.runs.get(&block.run) else { return };
        let Some(state) = run.block(block.index) else { return };
        let Phase::Offered(offer) = &state.phase else { return };
        let id = LeaseId { block, attempt: state.attempts + 1 };
        let deadline = self.deadline(run, &offer.todo, &worker);
        let silent_until = self.now().after(self.params.heartbeat_ticks);
        let offer = offer.clone();
        let work = offer.work;
        let bonded = self.ledger.open(Hold::Bond(id), Owner::Account(worker), bond);
        assert!(bonded.is_ok(), "R-4: the auction awards to solvent workers, once per block");
        let lease = Lease { id, offer, worker, price, bond, silent_until, deadline };
        self.offers.remove(&block);
        self.lapses.insert((lease.lapses_at(), id));
        if let Some(known) = self.workers.get_mut(&worker) {
            known.queued = known.queued.saturating_add(work);
            known.leases.insert(id);
            known.busy_until = deadline;
        }
        if let Some(state) = self.block_mut(block) {
            state.attempts += 1;
            state.phase = Phase::Leased(lease);
        }
        events.push(Event::Leased { lease: id, worker, price, bond, work });
    }
}
