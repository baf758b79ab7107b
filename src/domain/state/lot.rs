//! Lots: blocks that compute the same for different workers. Their answers are sealed first and
//! told when all are sealed, so that nobody copies; what they agree on is believed, anything else
//! is computed again in full. Never says who is right: validators do.
//!
//! | replicas of a lot                                 | at the slot's boundary               |
//! |---------------------------------------------------|--------------------------------------|
//! | one is on offer or leased                         | all others wait                      |
//! | none is, some are sealed                          | these are to be told, within a time  |
//! | all that are sealed are told, or the time is over | told: judged; not told: lapsed       |
//! | all of the lot were told, and they are equal      | cheap checks, and all are paid       |
//! | anything else                                     | each is checked in full              |
//!
//! A replica that comes to nothing waits until the others are judged. If one of them is accepted
//! the results are known, and nobody is paid for what anybody could copy; else it is offered again.

use super::State;
use super::order::fits;
use super::run::{BlockRun, Delivery, Phase, Sealed};
use crate::base::ids::BlockId;
use crate::base::keys::PublicKey;
use crate::domain::event::{Event, Reject};
use crate::domain::lease::Lease;
use crate::domain::receipt::{Opening, Receipt, Seal};
use crate::domain::settle;
use crate::domain::terms::Cause;

/// Where a lot is in its life.
enum Stand {
    /// Somebody is still at work, or nothing is sealed.
    Open,
    /// All is sealed, and nobody was asked to tell yet.
    Complete,
    /// Not all have told, and there is time.
    Telling,
    /// All have told, or the time is over.
    Told,
}

impl State {
    /// The first block of the lot that a block is sold in.
    pub(super) fn lot_of(&self, block: BlockId) -> BlockId {
        let run = self.runs.get(&block.run);
        let planned = run.and_then(|run| run.plan.blocks.get(block.index as usize));
        BlockId { index: planned.map_or(block.index, |planned| planned.lot), ..block }
    }

    fn siblings(&self, block: BlockId) -> Vec<BlockId> {
        let run = self.runs.get(&block.run);
        run.map(|run| run.siblings(block.index).map(|(id, _)| id).collect()).unwrap_or_default()
    }

    /// Who cannot have a replica of a block: whoever holds another one, answered for it, or lied
    /// about one.
    pub(super) fn other_hands(&self, block: BlockId) -> impl Iterator<Item = PublicKey> {
        let run = self.runs.get(&block.run).filter(|run| run.is_replica(block.index));
        let others = run.into_iter().flat_map(move |run| run.siblings(block.index));
        let others = others.filter(move |(id, _)| *id != block);
        others.flat_map(|(_, state)| state.barred.iter().copied().chain(holder(&state.phase)))
    }

    /// Answers for a replica under a seal. It counts as the answer: what comes too late is worth
    /// less from here on.
    pub(super) fn seal(
        &mut self,
        author: PublicKey,
        seal: Seal,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let id = seal.lease;
        let lease = match self.phase(id.block) {
            Some(Phase::Leased(lease)) if lease.id == id && lease.worker == author => lease.clone(),
            _ => return Err(self.lost(author, id)),
        };
        if !self.runs.get(&id.block.run).is_some_and(|run| run.is_replica(id.block.index)) {
            return Err(Reject::WrongForm);
        }
        let lease = self.in_time(lease, events)?;
        self.lapses.remove(&(lease.lapses_at(), id));
        if let Some(worker) = self.workers.get_mut(&author) {
            worker.queued = worker.queued.saturating_sub(lease.offer.work);
            worker.sealed += 1;
        }
        let sealed = Sealed { lease, seal: seal.seal, until: None, receipt: None };
        self.sealed.insert(self.lot_of(id.block));
        if let Some(block) = self.block_mut(id.block) {
            block.phase = Phase::Sealed(sealed);
        }
        events.push(Event::Sealed { lease: id, seal: seal.seal });
        Ok(())
    }

    /// Tells what was sealed.
    pub(super) fn open(
        &mut self,
        author: PublicKey,
        opening: &Opening,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let id = opening.receipt.lease;
        if !opening.receipt.is_bounded() {
            return Err(Reject::Unbounded);
        }
        let sealed = match self.phase(id.block) {
            Some(Phase::Sealed(sealed))
                if sealed.lease.id == id
                    && sealed.lease.worker == author
                    && sealed.receipt.is_none() =>
            {
                sealed
            }
            _ => return Err(self.lost(author, id)),
        };
        if sealed.until.is_none() {
            return Err(Reject::TooEarly);
        }
        if opening.seal(author) != sealed.seal {
            return Err(Reject::BrokenSeal);
        }
        let run = self.runs.get(&id.block.run);
        if !run.is_some_and(|run| fits(run, &sealed.lease.offer.todo, &opening.receipt)) {
            return Err(Reject::BadReceipt);
        }
        if let Some(Phase::Sealed(sealed)) = self.block_mut(id.block).map(|block| &mut block.phase)
        {
            sealed.receipt = Some(opening.receipt.clone());
        }
        events.push(Event::Delivered { lease: id, receipt: opening.receipt.id() });
        Ok(())
    }

    /// Has told what is sealed where nobody is at work on it any more, and hands on what was told.
    pub(super) fn open_lots(&mut self, events: &mut Vec<Event>) {
        for lot in self.sealed.clone() {
            match self.stand(lot) {
                Stand::Open | Stand::Telling => {}
                Stand::Complete => {
                    let ticks = self.params.heartbeat_ticks;
                    let until = self.now().after(ticks);
                    for block in self.siblings(lot) {
                        let state = self.block_mut(block).map(|block| &mut block.phase);
                        if let Some(Phase::Sealed(sealed)) = state {
                            sealed.until = Some(until);
                        }
                    }
                    events.push(Event::Opening { block: lot, ticks });
                }
                Stand::Told => self.hand_on(lot, events),
            }
        }
    }

    fn stand(&self, lot: BlockId) -> Stand {
        let Some(run) = self.runs.get(&lot.run) else { return Stand::Open };
        let mut stand = Stand::Told;
        for (_, state) in run.siblings(lot.index) {
            match &state.phase {
                Phase::Offered(_) | Phase::Leased(_) => return Stand::Open,
                Phase::Sealed(sealed) => match sealed.until {
                    None => stand = Stand::Complete,
                    Some(until) if sealed.receipt.is_none() && until > self.now() => {
                        stand = Stand::Telling;
                    }
                    Some(_) => {}
                },
                _ => {}
            }
        }
        stand
    }

    /// What was told goes to the validators; who did not tell has lost its lease.
    fn hand_on(&mut self, lot: BlockId, events: &mut Vec<Event>) {
        self.sealed.remove(&lot);
        let (mut told, mut silent): (Vec<(Lease, Receipt)>, Vec<Lease>) = Default::default();
        let blocks = self.siblings(lot);
        for block in &blocks {
            let Some(Phase::Sealed(sealed)) = self.phase(*block).cloned() else { continue };
            match sealed.receipt {
                Some(receipt) => told.push((sealed.lease, receipt)),
                None => silent.push(sealed.lease),
            }
        }
        let first = told.first().map(|(_, receipt)| receipt.outcome.clone());
        let is_same = |(_, receipt): &(Lease, Receipt)| Some(&receipt.outcome) == first.as_ref();
        let agreed = told.len() == blocks.len() && told.iter().all(is_same);
        for (lease, receipt) in told {
            let id = lease.id;
            let (digest, at) = (receipt.id(), self.height);
            self.undrawn.insert(id);
            if let Some(block) = self.block_mut(id.block) {
                block.agreed = agreed;
                let delivery = Delivery { lease, receipt, id: digest, at };
                block.phase = Phase::Delivered(Box::new(delivery));
            }
        }
        for lease in silent {
            self.lapse_sealed(&lease, events);
        }
    }

    fn lapse_sealed(&mut self, lease: &Lease, events: &mut Vec<Event>) {
        let fine = settle::lapse(&mut self.ledger, lease, &self.params);
        assert!(fine.is_ok(), "R-3: the bond of a live lease ends once");
        let (worker, fine, cause) = (lease.worker, fine.unwrap_or_default(), Cause::WorkerLost);
        events.push(Event::Lapsed { lease: lease.id, worker, cause, fine });
        if let Some(block) = self.block_mut(lease.id.block) {
            block.lapsed = Some(worker);
        }
        self.fail_attempt(lease, cause, events);
    }

    /// Whether a lease is of a replica whose answer was sealed, so that the others of its lot may
    /// have told theirs.
    pub(super) fn is_judged_replica(&self, lease: &Lease) -> bool {
        let block = lease.id.block;
        let run = self.runs.get(&block.run);
        run.is_some_and(|run| run.is_replica(block.index))
            && !matches!(self.phase(block), Some(Phase::Leased(_)))
    }

    /// Once no answer of a lot is in front of the validators, the replicas that came to nothing
    /// have their turn again.
    pub(super) fn decide_lot(&mut self, block: BlockId) {
        if self.is_lot_answered(block) {
            return;
        }
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        if !run.is_replica(block.index) {
            return;
        }
        let waiting = |phase: &Phase| matches!(phase, Phase::Waiting);
        let again: Vec<u32> = run
            .siblings(block.index)
            .filter(|(id, state)| {
                state.missing == 0 && waiting(&state.phase) && run.is_wanted(id.index)
            })
            .map(|(id, _)| id.index)
            .collect();
        run.ready.extend(again);
        self.touched.insert(block.run);
    }

    /// Whether answers of a lot are sealed, told or judged: what is told may be copied, so that no
    /// replica of it is offered meanwhile.
    pub(super) fn is_lot_answered(&self, block: BlockId) -> bool {
        let run = self.runs.get(&block.run).filter(|run| run.is_replica(block.index));
        run.is_some_and(|run| run.siblings(block.index).any(|(_, b)| is_answered(&b.phase)))
    }

    /// Whether another replica of a block has a result, or may still get one.
    pub(super) fn has_replica_left(&self, block: BlockId) -> bool {
        let is_left = |(id, state): (BlockId, &BlockRun)| {
            let is_lost = matches!(state.phase, Phase::GivenUp(_) | Phase::Void | Phase::Skipped);
            id != block && !is_lost
        };
        let run = self.runs.get(&block.run).filter(|run| run.is_replica(block.index));
        run.is_some_and(|run| run.siblings(block.index).any(is_left))
    }

    /// The replicas of a lot that are not on offer, at work or done: they are offered together or
    /// not at all, so that none waits for one that cannot be paid for.
    pub(super) fn offered_with(&self, block: BlockId) -> u32 {
        let Some(run) = self.runs.get(&block.run) else { return 1 };
        let waiting = |(_, state): &(BlockId, &BlockRun)| matches!(state.phase, Phase::Waiting);
        let count = run.siblings(block.index).filter(waiting).count();
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    }
}

/// Whose work a block is, if it is anybody's.
fn holder(phase: &Phase) -> Option<PublicKey> {
    match phase {
        Phase::Leased(lease) => Some(lease.worker),
        Phase::Sealed(sealed) => Some(sealed.lease.worker),
        Phase::Delivered(delivery) => Some(delivery.lease.worker),
        Phase::Judged(judging) => Some(judging.delivery.lease.worker),
        Phase::Settled(paid) => Some(paid.worker),
        _ => None,
    }
}

/// Whether an answer is on its way to its settlement.
fn is_answered(phase: &Phase) -> bool {
    matches!(phase, Phase::Sealed(_) | Phase::Delivered(_) | Phase::Judged(_))
}
