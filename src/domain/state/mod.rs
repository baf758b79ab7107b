//! State: the fold of the slots. `State::apply` is the only writer of it; it is pure, total and
//! deterministic: no clock, dice, IO, float arithmetic or hash order, and no input makes it fail.
//!
//! What happens at one slot, in this order:
//! 1. time moves to the end of the slot's Proof-of-History segment;
//! 2. audits are drawn for the receipts of earlier slots, from a seed that is younger;
//! 3. the commands are applied in their order (`state::order`, `state::judge`), each accepted or
//!    rejected whole, and paid for (`state::fees`);
//! 4. leases that are silent or late lapse, deadlines pass, offers that nobody takes are repriced,
//!    verdicts become settlements (`state::audit`, `state::life`, `state::challenge`); where an
//!    epoch of the set is over, validators come and go (`state::stake`); what is
//!    ready is offered, runs that are done end (`state::advance`, `state::halt`); the market
//!    clears (`state::market`); where an epoch is over the base price moves (`state::tariff`);
//! 5. all money is counted;
//! 6. where much was folded since the last time, the log commits to the state
//!    (`state::commitment`).
//!
//! Nobody but this fold closes an auction, a lease, an audit or a run: there is no coordinator.

mod accuse;
mod advance;
mod audit;
mod caps;
mod challenge;
mod commitment;
mod fees;
mod halt;
mod judge;
mod life;
mod lost;
mod lot;
mod market;
mod order;
mod question;
mod results;
pub mod run;
mod snapshot;
mod stake;
mod tariff;
mod tender;
mod trace;
mod view;

pub use question::{Duty, Foresight, Matter, Query, Question, Stance};
pub use stake::StakeStatus;
pub use tender::TenderAsked;
pub use trace::Trace;
pub use view::{Asked, Assignment, Task, TaskInput, Unused};

use super::auction::{Record, Tally};
use super::beacon::Beacon;
use super::classes::Classes;
use super::command::{Bid, SignedOrder};
use super::event::{Event, events_root};
use super::genesis::{Genesis, Params};
use super::lease::Lease;
use super::ledger::{Account, Ledger};
use super::poh::{Entry, Place};
use super::slot::Slot;
use super::terms::Equipment;
use crate::base::amount::{Ohc, SUPPLY, Work};
use crate::base::canon::Digest;
use crate::base::ids::{BlockId, JobId, LeaseId, RunId};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::time::{Height, Tick};
use challenge::Past;
use commitment::Commitment;
use run::{Failure, Known, Phase, Run};
use stake::Membership;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tariff::Tariff;
use tender::Tendering;

/// Slots from one count of all the money, place by place, to the next.
const COUNTED_EVERY: u64 = 64;

/// Everything that follows from a genesis and its slots.
#[derive(Clone, Debug)]
pub struct State {
    network: NetworkId,
    params: Params,
    /// Who signs slots and judges receipts, and what of each one's stake counts.
    validators: BTreeMap<PublicKey, Ohc>,
    /// Who comes and goes.
    membership: Membership,
    height: Height,
    place: Place,
    ledger: Ledger,
    nonces: BTreeMap<PublicKey, u64>,
    workers: BTreeMap<PublicKey, Worker>,
    runs: BTreeMap<RunId, Run>,
    cache: BTreeMap<Digest, Arc<Known>>,
    /// Results of clients that did not, or could not, use what is in the cache: none of one client
    /// is as young as another, and checked as well.
    own: BTreeMap<(Digest, PublicKey), Vec<Arc<Known>>>,
    failures: BTreeMap<Digest, Failure>,
    /// Blocks on offer.
    offers: BTreeSet<BlockId>,
    /// Blocks that are sold in sealed auctions.
    tenders: BTreeMap<BlockId, Tendering>,
    /// When leases lapse.
    lapses: BTreeSet<(Tick, LeaseId)>,
    /// When offers are repriced.
    reprices: BTreeSet<(Tick, BlockId)>,
    /// When deadlines pass: of runs, and of blocks of them.
    dues: BTreeSet<(Tick, RunId, Option<u32>)>,
    /// Receipts whose audit is not drawn yet.
    undrawn: BTreeSet<LeaseId>,
    /// Receipts in front of the validators.
    judging: BTreeSet<LeaseId>,
    /// When those who are to speak about a receipt are not waited for any more.
    windows: BTreeSet<(Tick, LeaseId)>,
    /// What draws have their chance from.
    beacon: Beacon,
    /// Validators that were not there when it was their turn, and have not spoken since.
    absent: BTreeSet<PublicKey>,
    /// What was settled and can be challenged still.
    past: BTreeMap<LeaseId, Past>,
    /// When it cannot any more.
    past_dues: BTreeSet<(Tick, LeaseId)>,
    /// Lots of which an answer is sealed, by their first blocks.
    sealed: BTreeSet<BlockId>,
    /// Runs that changed at this slot and may have something to offer or an end to reach.
    touched: BTreeSet<RunId>,
    /// Runs that ended at this slot: with the next one their plans are let go of.
    ended: BTreeSet<RunId>,
    /// What the auctions of this slot considered, if somebody wants to know; no rule does.
    tallies: Option<Vec<Tally>>,
    /// The price at which blocks are offered at first.
    tariff: Tariff,
    /// What was folded since the log committed to a state.
    commitment: Commitment,
    /// Jobs that were planned at this slot.
    planned: usize,
    /// The bytes of the state that the last slot commits to, until somebody takes them, or the
    /// next.
    committed: Option<Arc<Vec<u8>>>,
}

/// Why a slot is not the next page of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It is not the next one.
    #[error("it does not follow the slot before it")]
    Order,
    /// Its commands give other events than it says: nobody can tell why.
    #[error(
        "its events are not those that were signed: it was changed, or a version of ohc with other \
         rules wrote it, which can still read it"
    )]
    Events,
}

/// What the market knows of a worker.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Worker {
    /// Its standing bid.
    pub bid: Option<Bid>,
    /// The kinds of jobs that the bid is for.
    pub takes: Classes,
    /// How its leases ended.
    pub record: Record,
    /// The work that it has taken on and not answered under a seal.
    pub queued: Work,
    /// How many of its leases are answered under a seal: they hold up nothing else.
    pub sealed: usize,
    /// The leases that it holds.
    pub leases: BTreeSet<LeaseId>,
    /// When the last of them is late.
    pub busy_until: Tick,
    /// What it was paid so far.
    pub earned: Ohc,
}

impl Worker {
    /// Whether it bids for blocks that need this, of these kinds of jobs, at whatever price.
    fn bids_for(&self, needs: &Equipment, classes: Classes) -> bool {
        self.takes.has(classes) && self.bid.is_some_and(|bid| bid.has.meets(needs))
    }

    /// Whether it holds something that it will be done with by itself. An answer under a seal may
    /// have to wait for others for ever.
    fn is_busy(&self) -> bool {
        self.leases.len() > self.sealed
    }
}

impl State {
    /// The state before the first slot. The genesis must have been checked.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let account = |a: &super::genesis::Allocation| {
            (a.key, Account { balance: a.balance, stake: a.stake })
        };
        let validators = genesis.allocations.iter().filter(|a| a.stake > Ohc::ZERO);
        let network = genesis.network();
        Self {
            network,
            params: genesis.params.clone(),
            validators: validators.map(|a| (a.key, a.stake)).collect(),
            membership: Membership::default(),
            height: Height(0),
            place: Place::start(network.0),
            ledger: Ledger::new(genesis.allocations.iter().map(account)),
            nonces: BTreeMap::new(),
            workers: BTreeMap::new(),
            runs: BTreeMap::new(),
            cache: BTreeMap::new(),
            own: BTreeMap::new(),
            failures: BTreeMap::new(),
            offers: BTreeSet::new(),
            tenders: BTreeMap::new(),
            lapses: BTreeSet::new(),
            reprices: BTreeSet::new(),
            dues: BTreeSet::new(),
            undrawn: BTreeSet::new(),
            judging: BTreeSet::new(),
            windows: BTreeSet::new(),
            beacon: Beacon::default(),
            absent: BTreeSet::new(),
            past: BTreeMap::new(),
            past_dues: BTreeSet::new(),
            sealed: BTreeSet::new(),
            touched: BTreeSet::new(),
            ended: BTreeSet::new(),
            tallies: None,
            tariff: Tariff::new(&genesis.params),
            commitment: Commitment::default(),
            planned: 0,
            committed: None,
        }
    }

    /// Folds one slot in and returns what happened. The caller has checked that the commands are
    /// signed and that the chain is whole; what a command may do is checked here.
    pub fn apply(&mut self, height: Height, poh: &[Entry], commands: &[SignedOrder]) -> Vec<Event> {
        assert!(height == self.height.next(), "slots are folded in their order");
        let mut events = Vec::new();
        (self.height, self.committed, self.planned) = (height, None, 0);
        let chain = self.run_chain(poh);
        self.forget_plans();
        self.draw_audits(chain, &mut events);
        for order in commands {
            if let Err(reason) = self.order(order, &mut events) {
                let (author, nonce) = (order.author, order.body.nonce);
                events.push(Event::Rejected { author, nonce, reason });
            }
        }
        self.charge_refused(&mut events);
        self.lapse_leases(&mut events);
        self.pass_deadlines(&mut events);
        self.open_lots(&mut events);
        self.reprice_offers(&mut events);
        self.pass_windows(&mut events);
        self.settle_receipts(&mut events);
        self.settle_challenges(&mut events);
        self.change_set(&mut events);
        self.hold_round(&mut events);
        self.advance_runs(&mut events);
        self.clear_market(&mut events);
        self.clear_tenders(&mut events);
        self.move_base_price(&mut events);
        assert!(self.ledger.sum() == SUPPLY, "R-1: money is conserved at every slot");
        // Place by place now and then: there may be as many places as blocks on offer.
        let is_due = height.0.is_multiple_of(COUNTED_EVERY);
        assert!(
            !is_due || self.ledger.total() == Some(SUPPLY),
            "R-1: the sum is that of all places"
        );
        self.commit(&mut events);
        events
    }

    /// Folds in a slot that is certified, or a part of what is: it must be the next one, and give
    /// the events that were signed. The state is of no use after an error.
    pub fn fold(&mut self, slot: &Slot) -> Result<Vec<Event>, FoldError> {
        if slot.head.height != self.height.next() {
            return Err(FoldError::Order);
        }
        let events = self.apply(slot.head.height, &slot.poh, &slot.commands);
        if events_root(&events) != slot.head.events {
            return Err(FoldError::Events);
        }
        Ok(events)
    }

    /// Moves time to the end of a segment. Returns the hash of the tick that the beacon waits for.
    fn run_chain(&mut self, poh: &[Entry]) -> Option<Digest> {
        let awaited = self.beacon.drawn_at(self.params.beacon_ticks);
        let mut chain = None;
        for entry in poh {
            self.place = self.place.after(entry);
            if entry.mixin.is_none() && awaited == Some(self.now()) {
                chain = Some(self.place.hash);
            }
        }
        chain
    }

    /// Whether there is one validator alone: it has nobody to hide from, wait for or copy.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.validators.len() == 1
    }

    /// Lets go of the plans of runs that are over: their last events have been read by now.
    fn forget_plans(&mut self) {
        for id in std::mem::take(&mut self.ended) {
            if let Some(run) = self.runs.get_mut(&id) {
                run.plan.forget();
            }
        }
    }

    fn now(&self) -> Tick {
        Tick(self.place.ticks)
    }

    /// The result of a job if it is known and may be used by this run.
    fn cached(&self, run: &Run, job: JobId) -> Option<&Arc<Known>> {
        let key = run.key(job)?;
        let known = self.known(&key, &run.plan.job(job)?.terms, &run.client);
        known.filter(|_| !run.fresh.contains(&key))
    }

    /// Takes a lease out of every index; its phase is the caller's to change.
    fn release(&mut self, lease: &Lease) {
        let block = lease.id.block;
        let is_replica = self.runs.get(&block.run).is_some_and(|r| r.is_replica(block.index));
        let is_sealed = is_replica && !matches!(self.phase(block), Some(run::Phase::Leased(_)));
        self.lapses.remove(&(lease.lapses_at(), lease.id));
        self.undrawn.remove(&lease.id);
        self.judging.remove(&lease.id);
        if let Some(Phase::Judged(judging)) = self.phase(lease.id.block) {
            let due = judging.due;
            self.windows.remove(&(due, lease.id));
        }
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.leases.remove(&lease.id);
            if is_sealed {
                worker.sealed = worker.sealed.saturating_sub(1);
            } else {
                worker.queued = worker.queued.saturating_sub(lease.offer.work);
            }
        }
    }

    fn phase(&self, block: BlockId) -> Option<&run::Phase> {
        Some(&self.runs.get(&block.run)?.block(block.index)?.phase)
    }

    fn block_mut(&mut self, block: BlockId) -> Option<&mut run::BlockRun> {
        self.runs.get_mut(&block.run)?.blocks.get_mut(block.index as usize)
    }
}
