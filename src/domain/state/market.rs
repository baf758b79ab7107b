//! The market at a slot's boundary: offers that nobody takes become dearer, all others meet the
//! live bids. Never decides who wins: `auction` does.

use super::run::{Phase, Status};
use super::{State, Worker};
use crate::base::amount::{Ohc, Price, Rounding};
use crate::base::ids::{BlockId, LeaseId};
use crate::base::keys::PublicKey;
use crate::base::limits::REPRICES_MAX;
use crate::domain::auction::{self, Award, Offer, Standing, Tally};
use crate::domain::event::{Event, GaveUp, Pause};
use crate::domain::lease::{Lease, Offered};
use crate::domain::ledger::{Hold, Owner};
use crate::domain::price;
use crate::domain::terms::Cause;
use std::collections::BTreeMap;

/// Why the price of an offer cannot rise.
enum Stall {
    /// It is the highest.
    NoBids,
    /// The escrow does not cover more.
    Escrow,
    /// The budget of this stage does not cover more.
    Stage(String),
}

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
            if !self.tenders.contains_key(&block) {
                self.unsold(block, offer, events);
            }
        }
    }

    /// Nobody took an offer for so long.
    pub(super) fn unsold(&mut self, block: BlockId, offer: Offered, events: &mut Vec<Event>) {
        if self.is_wanted(block, &offer) {
            // Its takers are busy: the price is right, the wait is not its fault.
            self.put_offer(block, Offered { since: self.now(), ..offer });
        } else {
            self.untaken(block, offer, events);
        }
    }

    /// Nobody would take an offer: its price rises, or it is over with it.
    pub(super) fn untaken(&mut self, block: BlockId, offer: Offered, events: &mut Vec<Event>) {
        if !self.tries_again(block) {
            self.take_back(block, Phase::Waiting);
            self.give_up(block, GaveUp::Attempts(Cause::NoBids), events);
        } else if offer.reprices < REPRICES_MAX {
            self.reprice(block, offer, events);
        } else {
            self.stall(block, Stall::NoBids, events);
        }
    }

    /// Whether the price of a block is raised where nobody takes it.
    fn tries_again(&self, block: BlockId) -> bool {
        let run = self.runs.get(&block.run);
        let terms = run.and_then(|run| run.terms(block.index));
        terms.is_some_and(|terms| terms.retry.on.contains(&Cause::NoBids))
    }

    /// Nobody takes an offer at its price, and the price cannot rise. A run that is ending does not
    /// wait for that.
    fn stall(&mut self, block: BlockId, why: Stall, events: &mut Vec<Event>) {
        let run = self.runs.get(&block.run);
        if run.is_some_and(|run| run.status != Status::Running) {
            let gave_up = match why {
                Stall::NoBids => GaveUp::Attempts(Cause::NoBids),
                Stall::Escrow | Stall::Stage(_) => GaveUp::Budget,
            };
            self.take_back(block, Phase::Waiting);
            return self.give_up(block, gave_up, events);
        }
        match why {
            Stall::NoBids => self.pause(block.run, Pause::NoBids, events),
            Stall::Escrow => self.exhaust(block.run, events),
            Stall::Stage(stage) => {
                self.take_back(block, Phase::Waiting);
                if let Some(run) = self.runs.get_mut(&block.run) {
                    run.ready.insert(block.index);
                }
                self.exhaust_stage(stage, block, events);
            }
        }
    }

    /// Whether somebody will take an offer as it is once there is room. A worker that cannot pay
    /// the bond will not, however long one waits, unless it holds what it will be done with.
    fn is_wanted(&self, block: BlockId, offer: &Offered) -> bool {
        let bond = offer.reserve.ratio(self.params.bond_factor, 1, Rounding::Floor);
        self.takers(block, offer).any(|(key, worker)| {
            let ask = worker.bid.and_then(|bid| bid.ask.of(offer.work));
            let purse = self.ledger.account(key).balance;
            let can_pay = bond.is_some_and(|bond| bond <= purse);
            ask.is_some_and(|ask| ask <= offer.reserve) && (worker.is_busy() || can_pay)
        })
    }

    /// Whether one of those who bid in a sealed auction takes its block once it has room.
    pub(super) fn is_awaited(
        &self,
        block: BlockId,
        offer: &Offered,
        told: &BTreeMap<PublicKey, Price>,
    ) -> bool {
        self.takers(block, offer).any(|(key, worker)| {
            let ask = told.get(key).and_then(|ask| ask.of(offer.work));
            ask.is_some_and(|ask| ask <= offer.reserve) && worker.is_busy()
        })
    }

    /// Workers with a live bid that may have a block and can do it.
    fn takers(
        &self,
        block: BlockId,
        offer: &Offered,
    ) -> impl Iterator<Item = (&PublicKey, &Worker)> {
        let state = self.runs.get(&block.run).and_then(|run| run.block(block.index));
        let barred = state.map_or(&[][..], |block| &block.barred);
        let others: Vec<PublicKey> = self.other_hands(block).collect();
        let (needs, classes) = (offer.needs, offer.classes);
        self.workers.iter().filter(move |(key, worker)| {
            !barred.contains(key) && !others.contains(key) && worker.bids_for(&needs, classes)
        })
    }

    fn reprice(&mut self, block: BlockId, offer: Offered, events: &mut Vec<Event>) {
        let with_gas = |reserve: Ohc| reserve.checked_add(offer.gas);
        let reserve = price::raised(offer.reserve, 1);
        let (Some(reserve), Some(before)) = (reserve, with_gas(offer.reserve)) else {
            return self.stall(block, Stall::Escrow, events);
        };
        let Some(total) = with_gas(reserve) else {
            return self.stall(block, Stall::Escrow, events);
        };
        let run = self.runs.get_mut(&block.run);
        let stage = run.and_then(|run| run.stage_mut(block.index));
        if stage.is_some_and(|stage| !stage.covers(before, total)) {
            let run = self.runs.get(&block.run);
            let job = run.and_then(|run| run.first_job(block.index));
            let stage = job.map(|job| job.stage.clone()).unwrap_or_default();
            return self.stall(block, Stall::Stage(stage), events);
        }
        let (hold, owner) = (Hold::Reward(block), Owner::Hold(Hold::Escrow(block.run)));
        let voided = self.ledger.void(hold);
        assert!(voided.as_ref() == Ok(&before), "an offer has a reward until it ends");
        if self.ledger.open(hold, owner, total).is_err() {
            let reopened = self.ledger.open(hold, owner, before);
            assert!(reopened.is_ok(), "what was just given back can be taken again");
            return self.stall(block, Stall::Escrow, events);
        }
        let run = self.runs.get_mut(&block.run);
        if let Some(stage) = run.and_then(|run| run.stage_mut(block.index)) {
            stage.recommit(before, total);
        }
        let reprices = offer.reprices + 1;
        self.put_offer(block, Offered { reserve, reprices, since: self.now(), ..offer });
        events.push(Event::Repriced { block, reserve });
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
        let mut bids: Vec<Standing> =
            self.workers.iter().filter_map(|(key, worker)| self.standing(key, worker)).collect();
        let offers = self.offers.iter().filter_map(|block| self.as_offer(*block));
        let mut tallies = self.tallies.is_some().then(Vec::new);
        let factor = self.params.bond_factor;
        let awards = auction::clear(offers, &mut bids, factor, tallies.as_mut());
        self.award(awards, tallies, events);
    }

    /// Awards become leases.
    pub(super) fn award(
        &mut self,
        awards: Vec<Award>,
        tallies: Option<Vec<Tally>>,
        events: &mut Vec<Event>,
    ) {
        if let (Some(kept), Some(new)) = (&mut self.tallies, tallies) {
            kept.extend(new);
        }
        for award in awards {
            self.lease(award, events);
        }
    }

    /// What a worker's standing bid is worth in an auction.
    pub(super) fn standing(&self, key: &PublicKey, worker: &Worker) -> Option<Standing> {
        let bid = worker.bid?;
        Some(Standing {
            worker: *key,
            ask: bid.ask,
            capacity: bid.capacity,
            has: bid.has,
            takes: worker.takes,
            queued: worker.queued,
            leases: worker.leases.len().saturating_sub(worker.sealed),
            purse: self.ledger.account(key).balance,
            record: worker.record,
        })
    }

    pub(super) fn as_offer(&self, block: BlockId) -> Option<Offer> {
        let state = self.runs.get(&block.run)?.block(block.index)?;
        let Phase::Offered(offer) = &state.phase else { return None };
        if offer.since > self.now() {
            return None; // it waits after a failed attempt
        }
        let Offered { work, reserve, needs, classes, .. } = *offer;
        let (mut barred, lapsed) = (state.barred.clone(), state.lapsed);
        barred.extend(self.other_hands(block));
        let lot = self.lot_of(block);
        Some(Offer { block, lot, work, reserve, needs, classes, barred, lapsed })
    }

    fn lease(&mut self, award: Award, events: &mut Vec<Event>) {
        let Award { block, worker, price, bond } = award;
        let Some(run) = self.runs.get(&block.run) else { return };
        let Some(state) = run.block(block.index) else { return };
        let Phase::Offered(offer) = &state.phase else { return };
        if self.other_hands(block).any(|other| other == worker) {
            return; // it won another replica at this slot, on other terms
        }
        let id = LeaseId { block, attempt: state.attempts + 1 };
        let (deadline, grace) = self.lateness(run, &offer.todo, &worker);
        let silent_until = self.now().after(self.params.heartbeat_ticks);
        let offer = offer.clone();
        let work = offer.work;
        let bonded = self.ledger.open(Hold::Bond(id), Owner::Account(worker), bond);
        assert!(bonded.is_ok(), "R-4: the auction awards to solvent workers, once per block");
        let since = self.now();
        let lease = Lease { id, offer, worker, price, bond, since, silent_until, deadline, grace };
        self.offers.remove(&block);
        self.tariff.sell(work);
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
