//! What the roles and the command line read from the state. Never writes it.

use super::order::ticks_of;
use super::run::{Dispute, Failure, Judging, Known, Origin, Phase, Run};
use super::{State, Worker};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::time::{Height, Tick};
use crate::domain::bisection::{Side, Step};
use crate::domain::genesis::Params;
use crate::domain::job::Spec;
use crate::domain::ledger::Ledger;
use crate::domain::poh::Place;
use crate::domain::receipt::Receipt;
use crate::domain::terms::{Cache, CacheMode, Terms};
use crate::domain::verdict::{Finding, Segment, Verdict};
use std::collections::BTreeMap;

/// Why a settled result is not used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unused {
    /// The stage uses none.
    Off,
    /// It is another client's.
    Foreign,
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

/// What a validator has to do about one receipt.
#[derive(Clone, PartialEq, Debug)]
pub struct Duty {
    /// What its worker had to compute.
    pub assignment: Assignment,
    /// What it says came out.
    pub receipt: Receipt,
    /// The receipt's digest.
    pub id: Digest,
    /// What this validator re-executes; empty if it only checks that the artifacts are there.
    pub segments: Vec<Segment>,
    /// Whether somebody objects to the (only) segment, so that everybody re-executes it.
    pub disputed: bool,
    /// The one step of it that settles the dispute, if that is known.
    pub step: Option<Step>,
    /// Where it follows from what is traced.
    pub probe: Digest,
}

/// What about a receipt is in front of the validators.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Question {
    /// Whether it is true.
    Receipt,
    /// Whether an objection to it holds.
    Dispute,
    /// Whether it was true, though it is settled.
    Challenge,
}

/// What a side of a dispute is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// What the worker had to compute.
    pub assignment: Assignment,
    /// What it says came out.
    pub receipt: Receipt,
    /// The segment in question.
    pub segment: Segment,
    /// The round.
    pub round: u32,
    /// The state after so many of its steps is asked for; none for its end.
    pub at: Option<u64>,
}

fn question(judging: &Judging) -> Question {
    match &judging.dispute {
        Some(dispute) if dispute.is_voted() => Question::Dispute,
        _ => Question::Receipt,
    }
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
    pub fn cache(&self) -> &BTreeMap<Digest, Known> {
        &self.cache
    }

    /// All settled results, those that one client alone may use too.
    pub fn results(&self) -> impl Iterator<Item = &Known> {
        self.cache.values().chain(self.own.values())
    }

    /// The settled result of a job key, if a client may use it on such terms: if it was checked at
    /// least as well as is asked for (or whoever checks nothing would decide what all others get),
    /// is young enough, and belongs to whom it must.
    #[must_use]
    pub fn known(&self, key: &Digest, terms: &Terms, client: &PublicKey) -> Option<&Known> {
        let own = self.own.get(&(*key, *client));
        let each = self.cache.get(key).into_iter().chain(own);
        let mut sound = each.filter(|known| known.checked.covers(terms.verification));
        sound.find(|known| self.unused(known, terms, client).is_none())
    }

    /// Why a client may not use a settled result on such terms.
    #[must_use]
    pub fn unused(&self, known: &Known, terms: &Terms, client: &PublicKey) -> Option<Unused> {
        let Cache { mode, age_max_ms } = terms.cache;
        let age_max = age_max_ms.map(|ms| ticks_of(ms, self.params.ticks_per_second));
        match mode {
            CacheMode::Off => Some(Unused::Off),
            CacheMode::Private if known.client != *client => Some(Unused::Foreign),
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
            None => Some((None, 0)),
            Some(turn) => self.beacon.awaits(validator).then_some((Some(turn), turn + 1)),
        }
    }

    /// What the holder of a lease computes, while it holds it.
    #[must_use]
    pub fn assignment(&self, id: LeaseId) -> Option<Assignment> {
        match self.phase(id.block)? {
            Phase::Leased(lease) if lease.id == id => self.tasks(id, &lease.offer.todo),
            _ => None,
        }
    }

    /// Receipts in front of the validators, and what about them is.
    pub fn judging(&self) -> impl Iterator<Item = (LeaseId, Question)> + '_ {
        let open = self.judging.iter().filter_map(|lease| match self.phase(lease.block)? {
            Phase::Judged(judging) => Some((*lease, question(judging))),
            _ => None,
        });
        let challenged = self.past.iter().filter(|(_, past)| past.challenge.is_some());
        open.chain(challenged.map(|(lease, _)| (*lease, Question::Challenge)))
    }

    /// What a validator has to do about a receipt; none if it has spoken, or nothing is to do.
    #[must_use]
    pub fn duty(&self, lease: LeaseId, validator: &PublicKey) -> Option<Duty> {
        if let Some(past) = self.past.get(&lease) {
            let challenge = past.challenge.as_ref()?;
            let is_asked = !challenge.objects.contains_key(validator);
            return is_asked.then(|| Duty {
                assignment: past.assignment.clone(),
                receipt: past.receipt.clone(),
                id: past.id,
                segments: vec![challenge.segment],
                disputed: true,
                step: None,
                probe: Digest::default(),
            });
        }
        match self.phase(lease.block)? {
            Phase::Judged(judging) if judging.delivery.lease.id == lease => {
                self.duty_about(judging, validator)
            }
            _ => None,
        }
    }

    fn duty_about(&self, judging: &Judging, validator: &PublicKey) -> Option<Duty> {
        let is_drawn = judging.audit.committee.contains(validator);
        let (segments, step) = match &judging.dispute {
            Some(dispute) if dispute.is_voted() => {
                if dispute.objects.contains_key(validator) {
                    return None;
                }
                (vec![dispute.segment], dispute.step())
            }
            _ if judging.verdicts.contains_key(validator) => return None,
            _ if judging.lazy.contains(validator) => return None,
            _ if is_drawn => (judging.audit.segments.clone(), None),
            _ => (Vec::new(), None),
        };
        let disputed = judging.dispute.as_ref().is_some_and(Dispute::is_voted);
        let delivery = &judging.delivery;
        let assignment = self.tasks(delivery.lease.id, &delivery.lease.offer.todo)?;
        let (receipt, id) = (delivery.receipt.clone(), delivery.id);
        Some(Duty { assignment, receipt, id, segments, disputed, step, probe: judging.seed.0 })
    }

    /// What a participant is to say in a dispute: its worker's or its objector's side of it.
    #[must_use]
    pub fn query(&self, lease: LeaseId, key: &PublicKey) -> Option<Query> {
        let Some(Phase::Judged(judging)) = self.phase(lease.block) else { return None };
        let delivery = &judging.delivery;
        let dispute = judging.dispute.as_ref().filter(|d| d.lost.is_none() && !d.is_voted())?;
        let side = match key {
            key if *key == delivery.lease.worker => Side::Worker,
            key if *key == dispute.by => Side::Objector,
            _ => return None,
        };
        let bisection = dispute.bisection.as_ref().filter(|b| b.awaits(side))?;
        let (round, at) = (bisection.round(), bisection.asks());
        let assignment = self.tasks(delivery.lease.id, &delivery.lease.offer.todo)?;
        let (receipt, segment) = (delivery.receipt.clone(), dispute.segment);
        Some(Query { assignment, receipt, segment, round, at })
    }

    /// Whether a verdict that was sealed may be said now.
    #[must_use]
    pub fn may_say(&self, verdict: &Verdict, author: &PublicKey) -> bool {
        let Some(Phase::Judged(judging)) = self.phase(verdict.lease.block) else { return false };
        let is_open =
            judging.dispute.is_none() || !matches!(verdict.finding, Finding::Object { .. });
        let seal = judging.seals.get(author);
        is_open && judging.is_sealed() && seal == Some(&verdict.seal(*author).seal)
    }

    /// Whether a verdict has to be sealed before it is said; and has been, by this author.
    #[must_use]
    pub fn seal_of(&self, verdict: &Verdict, author: &PublicKey) -> Option<Option<Digest>> {
        let Some(Phase::Judged(judging)) = self.phase(verdict.lease.block) else { return None };
        let is_vote = matches!(verdict.finding, Finding::Deny { .. })
            || judging.dispute.as_ref().is_some_and(Dispute::is_voted);
        let is_drawn = judging.audit.committee.contains(author);
        (is_drawn && !is_vote && !self.is_alone()).then(|| judging.seals.get(author).copied())
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
            Some(Task { job: *id, address: job.to_string(), spec: job.spec.clone(), inputs })
        };
        let tasks = jobs.iter().map(task).collect::<Option<_>>()?;
        Some(Assignment { lease, tasks })
    }
}
