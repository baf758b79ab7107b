//! How attempts end at a slot's boundary: lapsed, slashed or accepted.
//! Never reads a command, and never judges: `state::audit` does.

use super::State;
use super::order::{segments_of, ticks_of};
use super::run::{Failure, Judging, Paid, Phase};
use crate::base::amount::Ohc;
use crate::base::ids::{BlockId, RunId};
use crate::base::keys::PublicKey;
use crate::domain::event::{Event, GaveUp};
use crate::domain::lease::{Lease, Offered};
use crate::domain::receipt::{Flaw, Outcome};
use crate::domain::settle;
use crate::domain::terms::Cause;
use crate::domain::verdict::{Segment, Verification};
use std::collections::BTreeMap;

impl State {
    /// Ends the leases that are silent or late.
    pub(super) fn lapse_leases(&mut self, events: &mut Vec<Event>) {
        while let Some((tick, id)) = self.lapses.first().copied() {
            if tick > self.now() {
                return;
            }
            self.lapses.pop_first();
            let Some(Phase::Leased(lease)) = self.phase(id.block) else { continue };
            let lease = lease.clone();
            let fine = settle::lapse(&mut self.ledger, &lease, &self.params);
            assert!(fine.is_ok(), "R-3: the bond of a live lease ends once");
            let (worker, fine) = (lease.worker, fine.unwrap_or_default());
            let is_late = lease.worthless_at() <= self.now();
            let cause = if is_late { Cause::Timeout } else { Cause::WorkerLost };
            events.push(Event::Lapsed { lease: id, worker, cause, fine });
            if let Some(block) = self.block_mut(id.block) {
                block.lapsed = Some(worker);
            }
            self.fail_attempt(&lease, cause, events);
        }
    }

    /// An attempt came to nothing: its worker is out of the market until it bids again. The block
    /// is on offer again if its stage tries again for such a cause, waits if the run stands still,
    /// and is void if the run is ending.
    pub(super) fn fail_attempt(&mut self, lease: &Lease, cause: Cause, events: &mut Vec<Event>) {
        self.release(lease);
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.record.bad += 1;
            if worker.bid.take().is_some() {
                events.push(Event::BidGone { worker: lease.worker });
            }
        }
        let (block, attempt) = (lease.id.block, lease.id.attempt);
        let terms = self.runs.get(&block.run).and_then(|run| run.terms(block.index));
        let wait_ms = terms.and_then(|terms| terms.wait_ms(attempt, cause));
        if !self.is_wanted_again(block) {
            self.take_back(block, Phase::Void);
            self.touched.insert(block.run);
            return;
        }
        let why = if self.is_overdue(block) { GaveUp::Deadline } else { GaveUp::Attempts(cause) };
        let Some(wait_ms) = wait_ms.filter(|_| why != GaveUp::Deadline) else {
            self.take_back(block, Phase::Waiting);
            return self.give_up(block, why, events);
        };
        if self.is_judged_replica(lease) {
            // What the others answered decides first: what is known then is not paid for again.
            self.take_back(block, Phase::Waiting);
            return self.decide_lot(block);
        }
        if self.is_paused(block.run) {
            self.take_back(block, Phase::Waiting);
            if let Some(run) = self.runs.get_mut(&block.run) {
                run.ready.insert(block.index);
            }
            return;
        }
        let since = self.now().after(ticks_of(wait_ms, self.params.ticks_per_second));
        let offer = Offered { since, ..lease.offer.clone() };
        let (attempt, reserve, gas) = (attempt + 1, offer.reserve, offer.gas);
        self.put_offer(block, offer);
        self.list(block);
        events.push(Event::Offered { block, attempt, reserve, gas });
    }

    pub(super) fn client(&self, run: RunId) -> PublicKey {
        self.runs.get(&run).map_or(PublicKey([0; 32]), |run| run.client)
    }

    pub(super) fn slash(&mut self, lease: Lease, segment: Segment, events: &mut Vec<Event>) {
        let client = self.client(lease.id.block.run);
        let bond = settle::slash(&mut self.ledger, &lease, client);
        assert!(bond.is_ok(), "R-3: the bond of a live lease ends once");
        let bond = bond.unwrap_or_default();
        events.push(Event::Slashed { lease: lease.id, worker: lease.worker, bond, segment });
        if let Some(block) = self.block_mut(lease.id.block) {
            block.barred.push(lease.worker);
        }
        self.fail_attempt(&lease, Cause::VerificationFailed, events);
    }

    pub(super) fn accept(&mut self, judging: Judging, events: &mut Vec<Event>) {
        self.keep_past(&judging, self.client(judging.delivery.lease.id.block.run));
        let Judging { delivery, audit, verdicts, .. } = judging;
        let is_whole = segments_of(&delivery.receipt).count() == audit.segments.len();
        let checked = if is_whole { Verification::Full } else { self.policy(&delivery) };
        let (lease, receipt) = (delivery.lease, delivery.receipt);
        let attesters = self.validators.iter().filter(|(key, _)| verdicts.contains_key(key));
        let attesters: BTreeMap<PublicKey, Ohc> = attesters.map(|(k, s)| (*k, *s)).collect();
        let posted = settle::accept(&mut self.ledger, &lease, &attesters, &audit.committee);
        assert!(posted == Ok(()), "R-3: what is pending for a judged block is posted once");
        self.release(&lease);
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.record.good += 1;
            worker.earned = worker.earned.checked_add(lease.price).unwrap_or(worker.earned);
        }
        let (reward, gas, worker) = (lease.price, lease.offer.gas, lease.worker);
        let block = lease.id.block;
        self.pay_stage(block, &lease);
        let paid = Paid { lease: lease.id, worker, reward, gas };
        self.finish_block(block, Phase::Settled(paid));
        events.push(Event::Settled { lease: lease.id, worker, reward, gas });
        self.decide_lot(block);
        match receipt.outcome {
            Outcome::Failed { job, .. } if self.is_gone(block.run, job) => {}
            Outcome::Failed { job, message, hint, flaw } => {
                let failure = Failure { message, hint };
                // What fails under a bound may not under another, and that is no part of the key.
                let run = self.runs.get(&block.run).filter(|_| flaw == Flaw::Job);
                if let Some(key) = run.and_then(|run| run.key(job)) {
                    self.failures.insert(key, failure.clone());
                }
                self.skip_sold_with(block.run, &lease.offer.todo, job, events);
                self.fail_job(block.run, job, failure, events);
            }
            Outcome::Done(claims) => self.learn(&lease, claims, checked),
        }
        self.hurry(block);
    }

    /// What was pending for a block of a stage becomes what it cost.
    fn pay_stage(&mut self, block: BlockId, lease: &Lease) {
        let cost = |reward: Ohc| reward.checked_add(lease.offer.gas).unwrap_or(reward);
        let run = self.runs.get_mut(&block.run);
        if let Some(stage) = run.and_then(|run| run.stage_mut(block.index)) {
            stage.live = stage.live.saturating_sub(1);
            stage.recommit(cost(lease.offer.reserve), cost(lease.price));
        }
    }
}
