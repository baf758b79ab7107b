//! The life of runs and blocks at a slot's boundary: lapse, audit draw, settlement, offer, end.
//! Never reads a command: `state::order` has applied them all before.

use super::State;
use super::order::{segments_of, ticks_of};
use super::run::{Delivery, Failure, Judging, Known, Paid, Phase, Run, Status};
use crate::base::amount::{Ohc, Work};
use crate::base::ids::{BlockId, JobId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
use crate::domain::event::{Ending, Event, Pause};
use crate::domain::lease::{Lease, Offered};
use crate::domain::ledger::{Hold, Owner};
use crate::domain::receipt::{Claim, Outcome};
use crate::domain::slot::is_quorum;
use crate::domain::verdict::{Finding, Seed, Segment, Verification, draw};
use crate::domain::{price, settle};
use std::collections::BTreeMap;

/// What the verdicts about a receipt say together.
enum Decision {
    Open,
    Accept,
    Slash(Segment),
    Overrule(PublicKey),
}

impl State {
    /// Draws audits for the receipts of earlier slots: their seed did not exist when they were
    /// committed.
    pub(super) fn draw_audits(&mut self, seed: Seed, events: &mut Vec<Event>) {
        let validators: Vec<PublicKey> = self.validators.keys().copied().collect();
        for lease in std::mem::take(&mut self.undrawn) {
            let Some(Phase::Delivered(delivery)) = self.phase(lease.block) else { continue };
            assert!(delivery.at < self.height, "R-9: a receipt is older than its audit's seed");
            let delivery = delivery.clone();
            let all: Vec<Segment> = segments_of(&delivery.receipt).collect();
            let policy = self.policy(&delivery);
            let audit = draw(seed, lease, policy, &all, &validators, self.params.committee);
            events.push(Event::Drawn { lease, audit: audit.clone() });
            let judging = Judging { delivery, audit, verdicts: BTreeMap::new(), dispute: None };
            if let Some(block) = self.block_mut(lease.block) {
                block.phase = Phase::Judged(judging);
            }
            self.judging.insert(lease);
        }
    }

    /// What the plan says, but always everything of a failure, which ends the run. The jobs of a
    /// block have the same terms.
    fn policy(&self, delivery: &Delivery) -> Verification {
        let run = self.runs.get(&delivery.lease.id.block.run);
        let job = |id: &JobId| run.and_then(|run| run.plan.job(*id));
        let mut jobs = delivery.lease.offer.todo.iter().filter_map(job);
        match delivery.receipt.outcome {
            Outcome::Failed { .. } => Verification::Full,
            Outcome::Done(_) => {
                jobs.next().map_or(Verification::Full, |job| job.terms.verification)
            }
        }
    }

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
            events.push(Event::Lapsed { lease: id, worker, fine });
            if let Some(block) = self.block_mut(id.block) {
                block.lapsed = Some(worker);
            }
            self.fail_attempt(&lease, events);
        }
    }

    /// An attempt came to nothing: its worker is out of the market until it bids again. The block
    /// is on offer again if its run goes on, waits if the run stands still, and is void if the run
    /// is ending, or ends now because the block has been tried too often.
    fn fail_attempt(&mut self, lease: &Lease, events: &mut Vec<Event>) {
        self.release(lease);
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.record.bad += 1;
            if worker.bid.take().is_some() {
                events.push(Event::BidGone { worker: lease.worker });
            }
        }
        let block = lease.id.block;
        let attempts_max = self.attempts_max(&lease.offer.todo, block.run);
        let since = self.now().after(self.backoff_ticks(lease));
        match self.runs.get(&block.run).map(|run| run.status.clone()) {
            Some(Status::Running) if lease.id.attempt < attempts_max => {
                let offer = Offered { since, ..lease.offer.clone() };
                let (attempt, reserve) = (lease.id.attempt + 1, offer.reserve);
                self.put_offer(block, offer);
                self.offers.insert(block);
                events.push(Event::Offered { block, attempt, reserve });
            }
            Some(Status::Paused(_)) => {
                self.take_back(block, Phase::Waiting);
                if let Some(run) = self.runs.get_mut(&block.run) {
                    run.ready.insert(block.index);
                }
            }
            status => {
                self.take_back(block, Phase::Void);
                self.touched.insert(block.run);
                if status == Some(Status::Running) {
                    self.drain(block.run, Ending::Exhausted { block });
                }
            }
        }
    }

    /// How long its block waits for the next attempt.
    fn backoff_ticks(&self, lease: &Lease) -> u64 {
        let run = self.runs.get(&lease.id.block.run);
        let of =
            |id: &JobId| Some(run?.plan.job(*id)?.terms.retry.backoff.wait_ms(lease.id.attempt));
        let ms = lease.offer.todo.iter().filter_map(of).max().unwrap_or(0);
        ticks_of(ms, self.params.ticks_per_second)
    }

    fn attempts_max(&self, jobs: &[JobId], run: RunId) -> u32 {
        let run = self.runs.get(&run);
        let of = |id: &JobId| Some(run?.plan.job(*id)?.terms.retry.attempts_max);
        jobs.iter().filter_map(of).min().unwrap_or(1)
    }

    pub(super) fn client(&self, run: RunId) -> PublicKey {
        self.runs.get(&run).map_or(PublicKey([0; 32]), |run| run.client)
    }

    /// Turns verdicts into settlements.
    pub(super) fn settle_receipts(&mut self, events: &mut Vec<Event>) {
        for lease in self.judging.clone() {
            while let Some(Phase::Judged(judging)) = self.phase(lease.block) {
                match decide(judging, &self.validators) {
                    Decision::Open => break,
                    Decision::Overrule(validator) => self.overrule(lease, validator, events),
                    Decision::Accept => self.accept(judging.clone(), events),
                    Decision::Slash(segment) => {
                        self.slash(judging.delivery.lease.clone(), segment, events);
                    }
                }
            }
        }
    }

    /// An objection did not hold: the receipt is judged on as if its author had agreed.
    fn overrule(&mut self, lease: LeaseId, validator: PublicKey, events: &mut Vec<Event>) {
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        judging.dispute = None;
        judging.verdicts.insert(validator, Finding::Agree);
        let held_up = judging.delivery.lease.clone();
        let fine = settle::overrule(&mut self.ledger, &held_up, validator);
        events.push(Event::Overruled { lease, validator, fine });
    }

    fn slash(&mut self, lease: Lease, segment: Segment, events: &mut Vec<Event>) {
        let client = self.client(lease.id.block.run);
        let bond = settle::slash(&mut self.ledger, &lease, client);
        assert!(bond.is_ok(), "R-3: the bond of a live lease ends once");
        let bond = bond.unwrap_or_default();
        events.push(Event::Slashed { lease: lease.id, worker: lease.worker, bond, segment });
        if let Some(block) = self.block_mut(lease.id.block) {
            block.barred.push(lease.worker);
        }
        self.fail_attempt(&lease, events);
    }

    fn accept(&mut self, judging: Judging, events: &mut Vec<Event>) {
        let Judging { delivery, audit, verdicts, .. } = judging;
        let checked = self.policy(&delivery);
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
        let paid = Paid { lease: lease.id, worker, reward, gas };
        self.finish_block(block, Phase::Settled(paid));
        events.push(Event::Settled { lease: lease.id, worker, reward, gas });
        match receipt.outcome {
            Outcome::Failed { job, message, hint } => {
                if let Some(key) = self.runs.get(&block.run).and_then(|run| run.key(job)) {
                    let failure = Failure { message: message.clone(), hint: hint.clone() };
                    self.failures.insert(key, failure);
                }
                self.drain(block.run, Ending::Failed { job, message, hint });
            }
            Outcome::Done(claims) => self.learn(&lease, claims, checked),
        }
    }

    /// Remembers what was settled. Claims come in the order of the jobs, so that the inputs of a
    /// fused job are known when its turn comes. What was checked as well or better before stands:
    /// nobody replaces the results that others use by running a job again.
    fn learn(&mut self, lease: &Lease, claims: Vec<Claim>, checked: Verification) {
        let Some(run) = self.runs.get_mut(&lease.id.block.run) else { return };
        for Claim { job, outputs, metrics, .. } in claims {
            let Some(key) = run.key(job) else { continue };
            let (worker, id) = (lease.worker, lease.id);
            let known = Known { key, outputs, metrics, worker, lease: id, checked };
            if let Some(result) = run.results.get_mut(job.index()) {
                *result = Some(known.clone());
            }
            run.fresh.remove(&key);
            let old = self.cache.get(&key).map(|old| old.checked);
            if old.is_none_or(|old| checked.covers(old) && !old.covers(checked)) {
                self.cache.insert(key, known);
            }
        }
    }

    /// A block is done: those that wait only for it are ready.
    fn finish_block(&mut self, block: BlockId, phase: Phase) {
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        run.blocks_left = run.blocks_left.saturating_sub(1);
        run.blocks_live.remove(&block.index);
        if let Some(done) = run.blocks.get_mut(block.index as usize) {
            done.phase = phase;
        }
        let feeds = run.plan.blocks.get(block.index as usize).map_or(&[][..], |b| &b.feeds);
        for feed in feeds {
            let Some(next) = run.blocks.get_mut(*feed as usize) else { continue };
            next.missing = next.missing.saturating_sub(1);
            if next.missing == 0 {
                run.ready.insert(*feed);
            }
        }
        self.touched.insert(block.run);
    }

    /// Offers what is ready, and ends the runs that have nothing left to do.
    pub(super) fn advance_runs(&mut self, events: &mut Vec<Event>) {
        while let Some(id) = self.touched.pop_first() {
            if self.runs.get(&id).is_some_and(|run| run.status == Status::Running) {
                self.offer_ready(id, events);
            }
            let Some(run) = self.runs.get(&id) else { continue };
            match &run.status {
                Status::Running if run.blocks_left == 0 => self.end(id, Ending::Settled, events),
                Status::Running if run.blocks_live.is_empty() => {
                    // Something is ready, nothing is under way, and nothing could be offered.
                    self.pause(id, Pause::Budget, events);
                }
                Status::Draining(ending) if run.blocks_live.is_empty() => {
                    self.end(id, ending.clone(), events);
                }
                _ => {}
            }
        }
    }

    fn offer_ready(&mut self, id: RunId, events: &mut Vec<Event>) {
        loop {
            let next = self.runs.get_mut(&id).and_then(|run| run.ready.pop_first());
            let Some(index) = next else { return };
            let block = BlockId { run: id, index };
            let todo = self.skip_known(block, events);
            if todo.is_empty() {
                self.finish_block(block, Phase::Cached);
            } else if let Some(ending) = self.sure_failure(id, &todo) {
                return self.drain(id, ending);
            } else if !self.offer(block, todo, events) {
                // What is under way may give money back: it stays ready.
                if let Some(run) = self.runs.get_mut(&id) {
                    run.ready.insert(index);
                }
                return;
            }
        }
    }

    /// How a run ends that comes to jobs of which one is known to fail.
    fn sure_failure(&self, id: RunId, todo: &[JobId]) -> Option<Ending> {
        let run = self.runs.get(&id)?;
        todo.iter().find_map(|job| {
            let Failure { message, hint } = self.failures.get(&run.key(*job)?)?.clone();
            Some(Ending::Failed { job: *job, message, hint })
        })
    }

    /// Takes over the results that are known; returns the jobs of a block that are left to do.
    fn skip_known(&mut self, block: BlockId, events: &mut Vec<Event>) -> Vec<JobId> {
        let jobs = self.runs.get(&block.run).and_then(|r| r.plan.blocks.get(block.index as usize));
        let jobs = jobs.map(|block| block.jobs.clone()).unwrap_or_default();
        let mut todo = Vec::new();
        for job in jobs {
            let known = self.runs.get(&block.run).and_then(|run| self.cached(run, job)).cloned();
            let run = self.runs.get_mut(&block.run);
            match (known, run.and_then(|run| run.results.get_mut(job.index()))) {
                (Some(known), Some(result)) => {
                    *result = Some(known);
                    events.push(Event::Cached { run: block.run, job });
                }
                _ => todo.push(job),
            }
        }
        todo
    }

    /// Puts a block on offer: its reserve and gas leave the escrow first. False if they cannot.
    fn offer(&mut self, block: BlockId, todo: Vec<JobId>, events: &mut Vec<Event>) -> bool {
        let Some(run) = self.runs.get_mut(&block.run) else { return false };
        let jobs = || todo.iter().filter_map(|id| run.plan.job(*id));
        let Some(ceiling) = price::ceiling(jobs(), &self.params, 0) else { return false };
        let work =
            jobs().fold(Default::default(), |sum: Work, job| sum.saturating_add(job.size.work()));
        let Some(total) = ceiling.total() else { return false };
        let owner = Owner::Hold(Hold::Escrow(block.run));
        if self.ledger.open(Hold::Reward(block), owner, total).is_err() {
            return false;
        }
        let since = Tick(self.place.ticks);
        let (reserve, gas) = (ceiling.reserve, ceiling.gas);
        run.blocks_live.insert(block.index);
        if let Some(state) = run.blocks.get_mut(block.index as usize) {
            state.phase = Phase::Offered(Offered { todo, work, reserve, gas, since, reprices: 0 });
        }
        self.offers.insert(block);
        self.reprices.insert((since.after(self.params.reprice_ticks), block));
        events.push(Event::Offered { block, attempt: 1, reserve });
        true
    }

    /// Stops a run: what is on offer or leased is void, what is delivered is settled first.
    pub(super) fn drain(&mut self, id: RunId, ending: Ending) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.status = Status::Draining(ending);
        run.ready.clear();
        let live: Vec<BlockId> =
            run.blocks_live.iter().map(|i| BlockId { run: id, index: *i }).collect();
        for block in live {
            let lease = match self.phase(block) {
                Some(Phase::Offered(_)) => None,
                Some(Phase::Leased(lease)) => Some(lease.clone()),
                _ => continue,
            };
            if let Some(lease) = lease {
                self.release(&lease);
                let returned = self.ledger.void(Hold::Bond(lease.id));
                assert!(returned.is_ok(), "a lease has a bond until it ends");
            }
            self.take_back(block, Phase::Void);
        }
        self.touched.insert(id);
    }

    /// Takes a block off the market: its reward goes back to the escrow.
    fn take_back(&mut self, block: BlockId, phase: Phase) {
        self.offers.remove(&block);
        let returned = self.ledger.void(Hold::Reward(block));
        assert!(returned.is_ok(), "a live block has a reward until it ends");
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        run.blocks_live.remove(&block.index);
        if let Some(state) = run.blocks.get_mut(block.index as usize) {
            state.phase = phase;
        }
    }

    /// Stands still: offers are taken back and wait; what is leased goes on.
    pub(super) fn pause(&mut self, id: RunId, reason: Pause, events: &mut Vec<Event>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.status = Status::Paused(reason);
        let offered = |run: &Run, index: &u32| {
            run.block(*index).is_some_and(|block| matches!(block.phase, Phase::Offered(_)))
        };
        let live: Vec<u32> = run.blocks_live.iter().filter(|i| offered(run, i)).copied().collect();
        run.ready.extend(&live);
        for index in live {
            self.take_back(BlockId { run: id, index }, Phase::Waiting);
        }
        events.push(Event::Paused { run: id, reason });
    }

    fn end(&mut self, id: RunId, ending: Ending, events: &mut Vec<Event>) {
        let refund = self.ledger.void(Hold::Escrow(id));
        assert!(refund.is_ok(), "R-3: a run's escrow ends once");
        let refund = refund.unwrap_or_default();
        if let Some(run) = self.runs.get_mut(&id) {
            run.status = Status::Ended { ending: ending.clone(), refund };
        }
        events.push(Event::Ended { run: id, ending, refund });
    }

    /// When a lease that begins now is late: the sum of its jobs' time-outs, after what its worker
    /// holds already.
    pub(super) fn deadline(&self, run: &Run, jobs: &[JobId], worker: &PublicKey) -> Tick {
        // What the worker holds already comes first: waiting for itself is not lateness.
        let queue = self.workers.get(worker).filter(|worker| !worker.leases.is_empty());
        let begin = queue.map_or(self.now(), |worker| worker.busy_until.max(self.now()));
        let of = |id: &JobId| run.plan.job(*id).map_or(0, |job| job.terms.timeout_ms);
        let ms = jobs.iter().map(of).fold(0, u64::saturating_add);
        begin.after(ticks_of(ms, self.params.ticks_per_second))
    }
}

/// What the verdicts about a receipt say together. Truth table:
///
/// | dispute | validators                                   | decision |
/// |---------|----------------------------------------------|----------|
/// | open    | > 2/3 of the stake object to the segment     | slash    |
/// | open    | > 2/3 of the stake deny the objection        | overrule |
/// | open    | neither                                      | wait     |
/// | none    | > 2/3 agree, and the whole committee is among| accept   |
/// | none    | otherwise                                    | wait     |
fn decide(judging: &Judging, validators: &BTreeMap<PublicKey, Ohc>) -> Decision {
    if let Some(dispute) = &judging.dispute {
        let say = |objects: bool| {
            let voters = dispute.objects.iter().filter(move |(_, o)| **o == objects);
            is_quorum(voters.map(|(key, _)| key), validators)
        };
        return match (say(true), say(false)) {
            (true, _) => Decision::Slash(dispute.segment),
            (false, true) => Decision::Overrule(dispute.by),
            (false, false) => Decision::Open,
        };
    }
    let agreed = |key: &PublicKey| judging.verdicts.get(key) == Some(&Finding::Agree);
    let all_agree = judging.audit.committee.iter().all(agreed);
    if all_agree && is_quorum(validators.keys().filter(|key| agreed(key)), validators) {
        Decision::Accept
    } else {
        Decision::Open
    }
}
