//! What the roles and the command line read from the state. Never writes it.

use super::order::ticks_of;
use super::run::{Failure, Known, Origin, Phase, Run};
use super::{Lease, State, Worker};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::time::{Height, Tick};
use crate::domain::genesis::Params;
use crate::domain::job::Spec;
use crate::domain::ledger::Ledger;
use crate::domain::poh::Place;
use crate::domain::terms::{Cache, CacheMode, Terms};
use crate::domain::verdict::Verification;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a settled result is not used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unused {
    /// The stage uses none.
    Off,
    /// It is another client's.
    Foreign,
    /// It is another client's, and not all of it was computed again.
    Sampled,
    /// It is older than the stage allows.
    Aged,
}

/// What the holder of a lease computes.
#[derive(Clone, PartialEq, Debug)]
pub struct Assignment {
    /// The lease.
    pub lease: LeaseId,
    /// The jobs, in an order in which every input is known when its turn comes.
    pub tasks: Vec<Task>,
}

/// What the holder of a lease is to send about what it computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The receipt.
    Answer,
    /// A seal on the receipt.
    Seal,
    /// Nothing before the others have sealed theirs.
    Nothing,
    /// What it sealed.
    Open,
}

/// One job of an assignment.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    /// The job.
    pub job: JobId,
    /// `stage` or `stage@instance`, for people.
    pub address: String,
    /// What to compute.
    pub spec: Spec,
    /// From what.
    pub inputs: Vec<(String, TaskInput)>,
    /// Bytes of memory that it takes at the most, if its stage or the cost model says so.
    pub memory: Option<u64>,
}

/// Where an input of a task comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskInput {
    /// The artifact store.
    Artifact(Digest),
    /// An earlier task of the same assignment.
    Earlier {
        /// Which.
        task: usize,
        /// Which of its outputs.
        output: usize,
    },
}

impl State {
    /// The network that this is the state of.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The numbers of the network.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The validators and their stakes.
    #[must_use]
    pub fn validators(&self) -> &BTreeMap<PublicKey, Ohc> {
        &self.validators
    }

    /// The number of the last slot.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// The end of its Proof-of-History segment.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Ticks since genesis.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.now()
    }

    /// All money.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The number of the last command that was taken from this author; 0 if none was.
    #[must_use]
    pub fn nonce(&self, author: &PublicKey) -> u64 {
        self.nonces.get(author).copied().unwrap_or(0)
    }

    /// Everybody who has ever bid.
    #[must_use]
    pub fn workers(&self) -> &BTreeMap<PublicKey, Worker> {
        &self.workers
    }

    /// Every run, oldest first.
    #[must_use]
    pub fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
    }

    /// The settled results of jobs, by job key.
    #[must_use]
    pub fn cache(&self) -> &BTreeMap<Digest, Arc<Known>> {
        &self.cache
    }

    /// Why a client may not use a settled result on such terms.
    #[must_use]
    pub fn unused(&self, known: &Known, terms: &Terms, client: &PublicKey) -> Option<Unused> {
        let Cache { mode, age_max_ms } = terms.cache;
        let age_max = age_max_ms.map(|ms| ticks_of(ms, self.params.ticks_per_second));
        match mode {
            CacheMode::Off => Some(Unused::Off),
            CacheMode::Private if known.client != *client => Some(Unused::Foreign),
            // A lie of which no part was drawn costs its author nothing in a run of its own.
            _ if known.client != *client && known.checked != Verification::Full => {
                Some(Unused::Sampled)
            }
            _ if age_max.is_some_and(|max| known.at.after(max) < self.now()) => Some(Unused::Aged),
            CacheMode::Private | CacheMode::Settled => None,
        }
    }

    /// How the job of this key fails, if it was settled that it does. Every validator agreed, and
    /// the audit of a failure is always a full one.
    #[must_use]
    pub fn failure(&self, key: &Digest) -> Option<&Failure> {
        self.failures.get(key)
    }

    /// Whether another slot would change something although nobody sends a command: audits are
    /// due for receipts that are older than the next slot's seed.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        !self.undrawn.is_empty() && self.is_alone()
    }

    /// Whether the passing of ticks alone may change something: leases lapse, offers are repriced,
    /// deadlines and windows pass, the beacon makes a seed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.lapses.is_empty()
            || !self.offers.is_empty()
            || !self.dues.is_empty()
            || !self.windows.is_empty()
            || !self.past_dues.is_empty()
            || self.beacon.is_busy()
            || !self.sealed.is_empty()
            || !self.tenders.is_empty()
            || self.is_set_waiting()
    }

    /// The tick at which the beacon makes a seed, if nothing but time is missing for it.
    #[must_use]
    pub fn seeds_at(&self) -> Option<Tick> {
        self.beacon.drawn_at(self.params.beacon_ticks)
    }

    /// Which value of the beacon a validator is to reveal, if it is its turn; and which to pledge
    /// then. None if nothing is asked of it.
    #[must_use]
    pub fn turn(&self, validator: &PublicKey) -> Option<(Option<u64>, u64)> {
        match self.beacon.turn(validator) {
            _ if self.is_alone() || !self.validators.contains_key(validator) => None,
            None => Some((None, self.beacon.first_turn(validator))),
            Some(turn) => self.beacon.awaits(validator).then_some((Some(turn), turn + 1)),
        }
    }

    /// A lease whose block is being computed.
    #[must_use]
    pub fn held(&self, id: LeaseId) -> Option<&Lease> {
        match self.phase(id.block)? {
            Phase::Leased(lease) if lease.id == id => Some(lease),
            _ => None,
        }
    }

    /// What the holder of a lease computes, while it holds it.
    #[must_use]
    pub fn assignment(&self, id: LeaseId) -> Option<Assignment> {
        match self.phase(id.block)? {
            Phase::Leased(lease) if lease.id == id => self.tasks(id, &lease.offer.todo),
            // Who forgot what it sealed computes it again.
            Phase::Sealed(sealed) if sealed.lease.id == id && sealed.receipt.is_none() => {
                self.tasks(id, &sealed.lease.offer.todo)
            }
            _ => None,
        }
    }

    /// What the holder of a lease is to send next about what it computed; none if it holds it no
    /// more, or has told all.
    #[must_use]
    pub fn asked(&self, id: LeaseId) -> Option<Asked> {
        let run = self.runs.get(&id.block.run)?;
        match self.phase(id.block)? {
            Phase::Leased(lease) if lease.id == id => {
                Some(if run.is_replica(id.block.index) { Asked::Seal } else { Asked::Answer })
            }
            Phase::Sealed(sealed) if sealed.lease.id == id && sealed.receipt.is_none() => {
                Some(if sealed.until.is_some() { Asked::Open } else { Asked::Nothing })
            }
            _ => None,
        }
    }

    pub(super) fn tasks(&self, lease: LeaseId, jobs: &[JobId]) -> Option<Assignment> {
        let run = self.runs.get(&lease.block.run)?;
        let input = |(name, origin)| match origin {
            Origin::Known(digest) => Some((name, TaskInput::Artifact(digest))),
            Origin::Output { job, index } => {
                let task = jobs.iter().position(|id| *id == job)?;
                Some((name, TaskInput::Earlier { task, output: index }))
            }
        };
        let task = |id: &JobId| {
            let job = run.plan.job(*id)?;
            let inputs = run.inputs(*id).into_iter().map(input).collect::<Option<_>>()?;
            let estimated = || job.size.memory.map(|memory| memory.bound);
            let memory = job.terms.resources.memory.max.or_else(estimated);
            let (address, spec) = (job.to_string(), job.spec.clone());
            Some(Task { job: *id, address, spec, inputs, memory })
        };
        let tasks = jobs.iter().map(task).collect::<Option<_>>()?;
        Some(Assignment { lease, tasks })
    }
}
