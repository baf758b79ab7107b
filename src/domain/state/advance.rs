//! What is ready is offered, what stands still is paused, what is done ends: the way of a run from
//! block to block. Never looks at a receipt or a bid.

use super::State;
use super::order::ticks_of;
use super::run::{Failure, Phase, Run, Status};
use crate::base::amount::{Ohc, Rounding, Work, mul_div};
use crate::base::ids::{BlockId, JobId, RunId};
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
use crate::domain::classes::Classes;
use crate::domain::event::{Ending, Event, GaveUp, Pause};
use crate::domain::lease::Offered;
use crate::domain::ledger::{Hold, Owner};
use crate::domain::price;
use crate::domain::terms::{Equipment, OnExhausted};

/// What is left to do of a block whose turn has come.
enum Left {
    /// These jobs.
    Jobs(Vec<JobId>),
    /// Nothing: its results are known.
    Known,
    /// Nothing: none of its jobs is to be run.
    Skipped,
    /// Nothing: the failure of one of its jobs has finished it with the rest of its stage.
    Finished,
    /// It does not matter: its run ends because of it.
    Ends,
}

impl State {
    /// A block is done: those that wait only for it are ready.
    pub(super) fn finish_block(&mut self, block: BlockId, phase: Phase) {
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        run.blocks_left = run.blocks_left.saturating_sub(1);
        run.blocks_live.remove(&block.index);
        run.ready.remove(&block.index);
        if let Some(stage) = run.stage_mut(block.index) {
            stage.parked.remove(&block.index);
        }
        if let Some(done) = run.blocks.get_mut(block.index as usize) {
            done.phase = phase;
            if let Some(due) = done.due {
                self.dues.remove(&(due, block.run, Some(block.index)));
            }
        }
        let feeds = run.plan.blocks.get(block.index as usize).map_or(&[][..], |b| &b.feeds);
        let mut ready = Vec::new();
        for feed in feeds {
            let Some(next) = run.blocks.get_mut(*feed as usize) else { continue };
            next.missing = next.missing.saturating_sub(1);
            if next.missing == 0 && matches!(next.phase, Phase::Waiting) {
                ready.push(*feed);
            }
        }
        ready.retain(|feed| run.is_wanted(*feed));
        run.ready.extend(ready);
        self.touched.insert(block.run);
    }

    /// Where a merge has as many shards as it needs, the others are waited for so long and no
    /// longer. What is delivered by then is in time.
    pub(super) fn hurry(&mut self, block: BlockId) {
        let (now, rate) = (self.now(), self.params.ticks_per_second);
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        for (grace_ms, shards) in run.late_shards(block.index) {
            let until = now.after(ticks_of(grace_ms, rate));
            for shard in shards {
                let Some(late) = run.blocks.get_mut(shard as usize) else { continue };
                if late.due.is_none_or(|due| until < due) {
                    if let Some(due) = late.due.replace(until) {
                        self.dues.remove(&(due, block.run, Some(shard)));
                    }
                    self.dues.insert((until, block.run, Some(shard)));
                }
            }
        }
    }

    /// Offers what is ready, and ends the runs that have nothing left to do.
    pub(super) fn advance_runs(&mut self, events: &mut Vec<Event>) {
        while let Some(id) = self.touched.pop_first() {
            if self.runs.get(&id).is_some_and(Run::is_offering) {
                self.offer_ready(id, events);
            }
            let Some(run) = self.runs.get(&id) else { continue };
            match &run.status {
                Status::Running if run.blocks_left == 0 => self.end(id, Ending::Settled, events),
                Status::Running if run.blocks_live.is_empty() => self.stand_still(id, events),
                Status::Draining(ending) if run.blocks_live.is_empty() => {
                    self.end(id, ending.clone(), events);
                }
                _ => {}
            }
        }
    }

    fn offer_ready(&mut self, id: RunId, events: &mut Vec<Event>) {
        loop {
            let Some(run) = self.runs.get_mut(&id).filter(|run| run.is_offering()) else { return };
            let Some(index) = run.next_ready() else { return };
            let block = BlockId { run: id, index };
            if self.is_lot_answered(block) {
                continue; // it has its turn when the others are judged
            }
            match self.left_of(block, events) {
                Left::Known => {
                    self.finish_block(block, Phase::Cached);
                    self.hurry(block);
                }
                Left::Skipped => self.finish_block(block, Phase::Skipped),
                Left::Finished => {}
                Left::Ends => return,
                Left::Jobs(todo) => {
                    if !self.offer(block, todo, events) {
                        // What is under way may give money back: it stays ready.
                        if let Some(run) = self.runs.get_mut(&id) {
                            run.ready.insert(index);
                        }
                        return;
                    }
                }
            }
        }
    }

    /// Takes over the results that are known and lets go of the jobs that are not to be run.
    fn left_of(&mut self, block: BlockId, events: &mut Vec<Event>) -> Left {
        let id = block.run;
        let jobs = self.runs.get(&id).and_then(|run| run.plan.blocks.get(block.index as usize));
        let jobs = jobs.map(|block| block.jobs.clone()).unwrap_or_default();
        let (mut todo, mut is_cached) = (Vec::new(), false);
        for job in jobs {
            let Some(run) = self.runs.get(&id) else { return Left::Ends };
            if run.gone.contains_key(&job) {
                continue;
            }
            if run.result(job).is_some() {
                is_cached = true;
                continue;
            }
            if let Some(why) = run.plan.job(job).and_then(|planned| run.skip(planned)) {
                self.skip_job(id, job, why, events);
                continue;
            }
            if let Some(known) = self.cached(run, job).cloned() {
                is_cached = true;
                let result = self.runs.get_mut(&id);
                if let Some(result) = result.and_then(|run| run.results.get_mut(job.index())) {
                    *result = Some(known);
                }
                events.push(Event::Cached { run: id, job });
                continue;
            }
            match self.sure_failure(run, job).cloned() {
                None => todo.push(job),
                Some(failure) => {
                    self.fail_job(id, job, failure, events);
                    if !self.runs.get(&id).is_some_and(|run| run.is_wanted(block.index)) {
                        return Left::Ends;
                    }
                    if !matches!(self.phase(block), Some(Phase::Waiting)) {
                        return Left::Finished;
                    }
                }
            }
        }
        match (todo.is_empty(), is_cached) {
            (false, _) => Left::Jobs(todo),
            (true, true) => Left::Known,
            (true, false) => Left::Skipped,
        }
    }

    /// How a job is known to fail.
    fn sure_failure(&self, run: &Run, job: JobId) -> Option<&Failure> {
        self.failures.get(&run.key(job)?)
    }

    /// Puts a block on offer: its reserve and gas leave the escrow first. False if they cannot;
    /// true as well where it has to wait for others of its stage, or comes too late.
    fn offer(&mut self, block: BlockId, todo: Vec<JobId>, events: &mut Vec<Event>) -> bool {
        let (now, together) = (self.now(), self.offered_with(block));
        let Some(run) = self.runs.get_mut(&block.run) else { return false };
        let jobs = || todo.iter().filter_map(|id| run.plan.job(*id));
        let Some(ceiling) = price::ceiling(jobs(), self.tariff.base, &self.params, 0) else {
            return false;
        };
        let work =
            jobs().fold(Default::default(), |sum: Work, job| sum.saturating_add(job.size.work()));
        let needs =
            jobs().fold(Equipment::default(), |needs, job| needs.max(job.terms.resources.least()));
        let classes = Classes::of_all(jobs().map(|job| job.spec.kind()));
        let deadline_ms = run.terms(block.index).and_then(|terms| terms.deadline_ms);
        let Some(total) = ceiling.total() else { return false };
        let Some(state) = run.blocks.get(block.index as usize) else { return false };
        let (attempt, due) = (state.attempts + 1, state.due);
        if due.is_some_and(|due| due <= now) {
            self.give_up(block, GaveUp::Deadline, events);
            return true;
        }
        // Replicas are offered together or not at all.
        let Some(all) = total.ratio(u64::from(together), 1, Rounding::Floor) else { return false };
        if let Some(stage) = run.stage_mut(block.index) {
            stage.is_short = !stage.covers(Ohc::ZERO, all);
            if stage.is_short || stage.is_full(together) {
                stage.parked.insert(block.index);
                return true;
            }
        }
        let escrow = Hold::Escrow(block.run);
        if self.ledger.pending(escrow).is_none_or(|left| left < all) {
            return false;
        }
        let owner = Owner::Hold(escrow);
        if self.ledger.open(Hold::Reward(block), owner, total).is_err() {
            return false;
        }
        let (reserve, gas) = (ceiling.reserve, ceiling.gas);
        run.blocks_live.insert(block.index);
        if let Some(stage) = run.stage_mut(block.index) {
            stage.live += 1;
            stage.recommit(Ohc::ZERO, total);
        }
        let offer = Offered { todo, work, needs, classes, reserve, gas, since: now, reprices: 0 };
        if let Some(state) = run.blocks.get_mut(block.index as usize) {
            state.phase = Phase::Offered(offer);
            if let (None, Some(ms)) = (state.due, deadline_ms) {
                let due = now.after(ticks_of(ms, self.params.ticks_per_second));
                state.due = Some(due);
                self.dues.insert((due, block.run, Some(block.index)));
            }
        }
        self.list(block);
        self.reprices.insert((now.after(self.params.reprice_ticks), block));
        events.push(Event::Offered { block, attempt, reserve, gas });
        true
    }

    /// Takes a block off the market: its reward goes back to the escrow.
    pub(super) fn take_back(&mut self, block: BlockId, phase: Phase) {
        self.offers.remove(&block);
        self.call_off(block);
        let returned = self.ledger.void(Hold::Reward(block));
        assert!(returned.is_ok(), "a live block has a reward until it ends");
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        run.blocks_live.remove(&block.index);
        if let Some(stage) = run.stage_mut(block.index) {
            stage.live = stage.live.saturating_sub(1);
            stage.recommit(returned.unwrap_or_default(), Ohc::ZERO);
        }
        if let Some(state) = run.blocks.get_mut(block.index as usize) {
            state.phase = phase;
        }
    }

    /// Nothing is under way and something is left to do: a budget does not cover it.
    fn stand_still(&mut self, id: RunId, events: &mut Vec<Event>) {
        let Some(run) = self.runs.get(&id) else { return };
        let short = run.stages.iter().find_map(|(name, stage)| {
            let index = stage.parked.first().filter(|_| stage.is_short)?;
            Some((name.clone(), BlockId { run: id, index: *index }))
        });
        match (run.ready.is_empty(), short) {
            (true, Some((stage, block))) => self.exhaust_stage(stage, block, events),
            _ => self.exhaust(id, events),
        }
    }

    /// The escrow does not cover what is to be done next.
    pub(super) fn exhaust(&mut self, id: RunId, events: &mut Vec<Event>) {
        match self.runs.get(&id).map(|run| run.on_exhausted) {
            Some(OnExhausted::Pause) => self.pause(id, Pause::Budget, events),
            Some(OnExhausted::Fail) => self.drain(id, Ending::Unpaid, None, events),
            None => {}
        }
    }

    /// The budget of a stage does not cover one of its blocks, which is not on offer.
    pub(super) fn exhaust_stage(&mut self, stage: String, block: BlockId, events: &mut Vec<Event>) {
        match self.runs.get(&block.run).map(|run| run.on_exhausted) {
            Some(OnExhausted::Pause) => {
                self.pause(block.run, Pause::StageBudget { stage }, events);
            }
            Some(OnExhausted::Fail) => self.give_up(block, GaveUp::Budget, events),
            None => {}
        }
    }

    /// Stands still: offers are taken back and wait; what is leased goes on.
    pub(super) fn pause(&mut self, id: RunId, reason: Pause, events: &mut Vec<Event>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.status = Status::Paused(reason.clone());
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

    /// Goes on after a pause: what its stages could not pay for is looked at again.
    pub(super) fn go_on(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.status = Status::Running;
        for stage in run.stages.values_mut() {
            stage.is_short = false;
        }
        self.touched.insert(id);
    }

    /// Stops a run: what is on offer or leased is void, what is delivered is settled first. The
    /// blocks of the stage `finishing` are an exception: they are finished too.
    pub(super) fn drain(
        &mut self,
        id: RunId,
        ending: Ending,
        finishing: Option<String>,
        events: &mut Vec<Event>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if !matches!(run.status, Status::Draining(_)) {
            run.status = Status::Draining(ending);
            run.finishing = finishing;
        }
        self.void_unwanted(id, events);
    }

    /// Stops a run that may be ending already, and finishes no stage.
    pub(super) fn stop(&mut self, id: RunId, ending: Ending, events: &mut Vec<Event>) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.finishing = None;
        }
        self.drain(id, ending, None, events);
    }

    fn void_unwanted(&mut self, id: RunId, events: &mut Vec<Event>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let mut ready = std::mem::take(&mut run.ready);
        ready.retain(|index| run.is_wanted(*index));
        run.ready = ready;
        let unwanted = run.blocks_live.iter().filter(|index| !run.is_wanted(**index));
        let unwanted: Vec<u32> = unwanted.copied().collect();
        for index in unwanted {
            self.recall(BlockId { run: id, index }, Phase::Void, events);
        }
        if let Some(run) = self.runs.get_mut(&id) {
            let finishing = run.finishing.clone();
            run.stages.retain(|name, _| Some(name) == finishing.as_ref());
        }
        self.touched.insert(id);
    }

    /// Takes a block back from the market or from its worker, who keeps the bond. A block that was
    /// delivered is left: what is delivered is settled. True if it was taken back.
    pub(super) fn recall(&mut self, block: BlockId, phase: Phase, events: &mut Vec<Event>) -> bool {
        let lease = match self.phase(block) {
            Some(Phase::Offered(_)) => None,
            Some(Phase::Leased(lease)) => Some(lease.clone()),
            _ => return false,
        };
        if let Some(lease) = lease {
            self.release(&lease);
            let returned = self.ledger.void(Hold::Bond(lease.id));
            assert!(returned.is_ok(), "a lease has a bond until it ends");
            events.push(Event::Released { lease: lease.id, worker: lease.worker });
        }
        self.take_back(block, phase);
        true
    }

    fn end(&mut self, id: RunId, ending: Ending, events: &mut Vec<Event>) {
        let refund = self.ledger.void(Hold::Escrow(id));
        assert!(refund.is_ok(), "R-3: a run's escrow ends once");
        let refund = refund.unwrap_or_default();
        if let Some(run) = self.runs.get_mut(&id) {
            run.status = Status::Ended { ending: ending.clone(), refund };
            (run.ready, run.stages, run.finishing) = Default::default();
        }
        self.dues.retain(|(_, run, _)| *run != id);
        self.ended.insert(id);
        events.push(Event::Ended { run: id, ending, refund });
    }

    /// When a lease that begins now is late: the sum of its jobs' time-outs, after what its worker
    /// holds already. And for how many ticks more its answer is worth something: a share of it.
    pub(super) fn lateness(&self, run: &Run, jobs: &[JobId], worker: &PublicKey) -> (Tick, u64) {
        // What the worker holds already comes first: waiting for itself is not lateness.
        let queue = self.workers.get(worker).filter(|worker| !worker.leases.is_empty());
        let begin = queue.map_or(self.now(), |worker| worker.busy_until.max(self.now()));
        let of = |id: &JobId| run.plan.job(*id).map_or(0, |job| job.terms.timeout_ms);
        let ms = jobs.iter().map(of).fold(0, u64::saturating_add);
        let ticks = ticks_of(ms, self.params.ticks_per_second);
        let grace = mul_div(ticks, self.params.grace_ppm, 1_000_000, Rounding::Floor);
        (begin.after(ticks), grace.unwrap_or(0))
    }
}
