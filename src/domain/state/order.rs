//! What each command does: checked first, then done, so that a refused one leaves no trace but
//! its number. Never clears the market or settles anything: that happens at the slot's boundary.

use super::State;
use super::run::{BlockRun, Delivery, Phase, Run, StageRun, Status};
use crate::base::amount::{Ohc, Rounding, mul_div};
use crate::base::ids::{JobId, RunId};
use crate::base::keys::PublicKey;
use crate::base::limits::{
    BATCH_MAX, JOBS_PER_RUN_MAX, MANIFEST_BYTES_MAX, PARAMS_MAX, SOURCES_MAX,
};
use crate::domain::classes::Classes;
use crate::domain::command::{Beat, Bid, Command, SignedOrder, Submission};
use crate::domain::event::{Ending, Event, Pause, Reject};
use crate::domain::ledger::{Hold, Owner};
use crate::domain::manifest::Stage;
use crate::domain::plan::Planned;
use crate::domain::receipt::{Claim, Outcome, Receipt};
use crate::domain::verdict::Segment;
use std::collections::{BTreeMap, BTreeSet};

impl State {
    /// Applies one command; `Err` means that it had no effect.
    pub(super) fn order(
        &mut self,
        order: &SignedOrder,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let (author, nonce) = (order.author, order.body.nonce);
        // Replays are answered first; a stranger without an account leaves nothing behind.
        if nonce <= self.nonce(&author) {
            return Err(Reject::Replayed);
        }
        if !self.ledger.knows(&author) {
            return Err(Reject::Short);
        }
        self.nonces.insert(author, nonce);
        self.pay_for(author, &order.body.command, events)?;
        match &order.body.command {
            Command::Transfer { to, amount } => self.transfer(author, *to, *amount, events),
            Command::Upload { bytes } => {
                events.push(Event::Uploading { author, bytes: *bytes });
                Ok(())
            }
            Command::Submit(submission) => self.submit(author, submission, events),
            Command::Cancel { run } => self.cancel(author, *run, events),
            Command::Pause { run } => self.pause_for(author, *run, events),
            Command::Resume { run, added } => self.resume(author, *run, *added, events),
            Command::Bid(bid) => self.bid(author, *bid, Classes::ALL, events),
            Command::BidFor { bid, classes } => self.bid(author, *bid, *classes, events),
            Command::Withdraw => self.withdraw(author, events),
            Command::Heartbeat(beats) => {
                each(author, nonce, beats, events, |beat, _| self.beat(author, *beat))
            }
            Command::Deliver(receipts) => {
                each(author, nonce, receipts, events, |r, events| self.deliver(author, r, events))
            }
            Command::Seal(seals) => {
                each(author, nonce, seals, events, |seal, events| self.seal(author, *seal, events))
            }
            Command::Open(opened) => {
                each(author, nonce, opened, events, |o, events| self.open(author, o, events))
            }
            Command::Tender(bids) => {
                each(author, nonce, bids, events, |bid, events| self.tender(author, *bid, events))
            }
            Command::Tell(told) => {
                each(author, nonce, told, events, |bid, events| self.tell(author, *bid, events))
            }
            Command::Judge(verdicts) => {
                each(author, nonce, verdicts, events, |v, events| self.judge(author, v, events))
            }
            Command::Reveal(reveal) => self.reveal(author, *reveal, events),
            Command::SealVerdicts(seals) => {
                each(author, nonce, seals, events, |sealed, _| self.seal_verdict(author, *sealed))
            }
            Command::Bisect(moves) => {
                each(author, nonce, moves, events, |m, events| self.bisect(author, *m, events))
            }
            Command::Challenge { lease, segment } => {
                self.challenge(author, *lease, *segment, events)
            }
            Command::Bond { amount } => self.bond(author, *amount, events),
            Command::Unbond { amount } => self.unbond(author, *amount, events),
            Command::Accuse(evidence) => self.accuse(author, evidence, events),
        }
    }

    fn transfer(
        &mut self,
        from: PublicKey,
        to: PublicKey,
        amount: Ohc,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        self.is_worth(to, amount)?;
        self.ledger.transfer(from, to, amount).map_err(|_| Reject::Short)?;
        events.push(Event::Transferred { from, to, amount });
        Ok(())
    }

    fn submit(
        &mut self,
        client: PublicKey,
        submission: &Submission,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        if submission.manifest.len() > MANIFEST_BYTES_MAX
            || submission.pins.len() > SOURCES_MAX
            || submission.params.len() > PARAMS_MAX
            || submission.fresh.len() > JOBS_PER_RUN_MAX
        {
            return Err(Reject::Unbounded);
        }
        self.may_begin(client)?;
        self.covers(submission.budget)?;
        if self.ledger.account(&client).balance < submission.budget {
            return Err(Reject::Short);
        }
        // The plan comes last: it takes more time than all else.
        let (manifest, plan) = self.plan(submission)?;
        let id = RunId(u32::try_from(self.runs.len()).map_err(|_| Reject::Unbounded)? + 1);
        let fees = self.pay_plan(client, submission.budget, plan.weight(), events)?;
        let (escrow, owner) = (Hold::Escrow(id), Owner::Account(client));
        self.ledger.open(escrow, owner, submission.budget).map_err(|_| Reject::Short)?;
        let blocks = plan.blocks.iter().map(|block| BlockRun {
            phase: Phase::Waiting,
            missing: block.needs.len(),
            attempts: 0,
            barred: Vec::new(),
            lapsed: None,
            due: None,
            agreed: false,
        });
        let (subject, budget) = (submission.subject(), submission.budget);
        let run = Run {
            id,
            client,
            subject,
            name: manifest.name,
            fresh: submission.fresh.iter().copied().collect(),
            budget,
            fees,
            on_exhausted: manifest.on_exhausted,
            status: Status::Running,
            results: vec![None; plan.dag.jobs.len()],
            gone: BTreeMap::new(),
            stages: manifest.stages.values().filter_map(bounded).collect(),
            finishing: None,
            ready: (0u32..)
                .zip(&plan.blocks)
                .filter(|(_, b)| b.needs.is_empty())
                .map(|(i, _)| i)
                .collect(),
            blocks_left: plan.blocks.len(),
            blocks_live: BTreeSet::new(),
            blocks: blocks.collect(),
            plan: Planned::new(submission.clone(), plan),
            since: self.height,
        };
        self.runs.insert(id, run);
        if let Some(ms) = manifest.deadline_ms {
            let due = self.now().after(ticks_of(ms, self.params.ticks_per_second));
            self.dues.insert((due, id, None));
        }
        self.touched.insert(id);
        events.push(Event::Submitted { run: id, client, subject, budget });
        Ok(())
    }

    /// A run of this author that is not over.
    fn own_run(&self, author: PublicKey, id: RunId) -> Result<&Run, Reject> {
        match self.runs.get(&id) {
            Some(run) if run.is_over() => Err(Reject::NoRun),
            Some(run) if run.client != author => Err(Reject::NotYours),
            Some(run) => Ok(run),
            None => Err(Reject::NoRun),
        }
    }

    fn cancel(
        &mut self,
        author: PublicKey,
        run: RunId,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        self.own_run(author, run)?;
        self.stop(run, Ending::Cancelled, events);
        Ok(())
    }

    fn pause_for(
        &mut self,
        author: PublicKey,
        run: RunId,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        if self.own_run(author, run)?.status != Status::Running {
            return Err(Reject::NotRunning);
        }
        self.pause(run, Pause::Client, events);
        Ok(())
    }

    fn resume(
        &mut self,
        author: PublicKey,
        id: RunId,
        added: Ohc,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let run = self.own_run(author, id)?;
        if !matches!(run.status, Status::Paused(_)) {
            return Err(Reject::NotPaused);
        }
        let budget = run.budget.checked_add(added).ok_or(Reject::Short)?;
        self.covers(added)?;
        self.ledger.add(Hold::Escrow(id), added).map_err(|_| Reject::Short)?;
        if let Some(run) = self.runs.get_mut(&id) {
            run.budget = budget;
        }
        self.go_on(id);
        events.push(Event::Resumed { run: id, added });
        Ok(())
    }

    fn bid(
        &mut self,
        author: PublicKey,
        bid: Bid,
        takes: Classes,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        self.make_place(author, events)?;
        let worker = self.workers.entry(author).or_default();
        (worker.bid, worker.takes) = (Some(bid), takes);
        events.push(Event::BidPlaced { worker: author });
        Ok(())
    }

    pub(super) fn withdraw(
        &mut self,
        author: PublicKey,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let worker = self.workers.get_mut(&author).ok_or(Reject::NotYours)?;
        if worker.bid.take().is_some() {
            events.push(Event::BidGone { worker: author });
        }
        Ok(())
    }

    /// A sign of life. A stalled worker may repeat a step, and one that was restarted begins again
    /// at the first: what bounds it is the deadline.
    fn beat(&mut self, author: PublicKey, beat: Beat) -> Result<(), Reject> {
        let until = self.now().after(self.params.heartbeat_ticks);
        let lost = self.lost(author, beat.lease);
        let block = self.block_mut(beat.lease.block).ok_or(lost)?;
        let Phase::Leased(lease) = &mut block.phase else { return Err(lost) };
        if lease.id != beat.lease || lease.worker != author {
            return Err(lost);
        }
        let before = (lease.lapses_at(), lease.id);
        lease.silent_until = until;
        let after = (lease.lapses_at(), lease.id);
        self.lapses.remove(&before);
        self.lapses.insert(after);
        Ok(())
    }

    fn deliver(
        &mut self,
        author: PublicKey,
        receipt: &Receipt,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        if !receipt.is_bounded() {
            return Err(Reject::Unbounded);
        }
        let id = receipt.lease;
        let lease = match self.phase(id.block) {
            Some(Phase::Leased(lease)) if lease.id == id && lease.worker == author => lease.clone(),
            _ => return Err(self.lost(author, id)),
        };
        let run = self.runs.get(&id.block.run);
        if run.is_some_and(|run| run.is_replica(id.block.index)) {
            return Err(Reject::WrongForm);
        }
        if !run.is_some_and(|run| fits(run, &lease.offer.todo, receipt)) {
            return Err(Reject::BadReceipt);
        }
        let lease = self.in_time(lease, events)?;
        self.lapses.remove(&(lease.lapses_at(), id));
        self.undrawn.insert(id);
        let (digest, at) = (receipt.id(), self.height);
        let delivery = Delivery { lease, receipt: receipt.clone(), id: digest, at };
        if let Some(block) = self.block_mut(id.block) {
            block.phase = Phase::Delivered(Box::new(delivery));
        }
        events.push(Event::Delivered { lease: id, receipt: digest });
        Ok(())
    }
}

/// A stage whose blocks are bounded together, by name.
fn bounded(stage: &Stage) -> Option<(String, StageRun)> {
    let (parallel_max, budget) = (stage.terms.parallel_max, stage.terms.budget);
    let is_bounded = parallel_max.is_some() || budget.is_some();
    let replicas = stage.terms.replicas();
    let run = StageRun { parallel_max, budget, replicas, ..StageRun::default() };
    is_bounded.then(|| (stage.name.clone(), run))
}

/// Applies every item of a batch; each is accepted or rejected for itself.
fn each<T>(
    author: PublicKey,
    nonce: u64,
    items: &[T],
    events: &mut Vec<Event>,
    mut apply: impl FnMut(&T, &mut Vec<Event>) -> Result<(), Reject>,
) -> Result<(), Reject> {
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(Reject::Unbounded);
    }
    for item in items {
        if let Err(reason) = apply(item, events) {
            events.push(Event::Rejected { author, nonce, reason });
        }
    }
    Ok(())
}

/// Whether a receipt has the form that its block asks for: a claim for each job in order, with the
/// right number of outputs and segment digests; or a failure of one of them.
pub(super) fn fits(run: &Run, todo: &[JobId], receipt: &Receipt) -> bool {
    match &receipt.outcome {
        Outcome::Failed { job, .. } => todo.contains(job),
        Outcome::Done(claims) => {
            claims.len() == todo.len()
                && claims.iter().zip(todo).all(|(claim, job)| {
                    run.plan.job(*job).is_some_and(|planned| {
                        let segments = planned.spec.segments() as usize;
                        let states = if planned.spec.has_checkpoints() { segments + 1 } else { 0 };
                        claim.job == *job
                            && claim.outputs.len() == planned.spec.outputs().len()
                            && claim.segments.len() == states
                    })
                })
        }
    }
}

/// The segments that a receipt can be checked in. A failed job is one: it is run until it fails.
pub(super) fn segments_of(receipt: &Receipt) -> impl Iterator<Item = Segment> + '_ {
    let (claims, failed) = match &receipt.outcome {
        Outcome::Done(claims) => (claims.as_slice(), None),
        Outcome::Failed { job, .. } => (&[][..], Some(Segment { job: *job, index: 0 })),
    };
    let of_claim = |claim: &Claim| {
        let count = u32::try_from(claim.segments.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let job = claim.job;
        (0..count.max(1)).map(move |index| Segment { job, index })
    };
    claims.iter().flat_map(of_claim).chain(failed)
}

/// Wall time of a manifest as ticks, rounded up: a promise is never shortened.
pub(super) fn ticks_of(ms: u64, ticks_per_second: u64) -> u64 {
    mul_div(ms, ticks_per_second, 1_000, Rounding::Ceil).unwrap_or(u64::MAX)
}
