//! What the roles and the command line read from the state. Never writes it.

use super::order::ticks_of;
use super::run::{Failure, Judging, Known, Origin, Phase, Run};
use super::{Lease, State, Worker};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::time::{Height, Tick};
use crate::domain::beacon::Seed;
use crate::domain::bisection::{Bisection, Side, Step};
use crate::domain::genesis::Params;
use crate::domain::job::Spec;
use crate::domain::ledger::Ledger;
use crate::domain::poh::Place;
use crate::domain::receipt::Receipt;
use crate::domain::terms::{Cache, CacheMode, Terms};
use crate::domain::verdict::{Finding, Found, Segment, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// What a validator has to do about one receipt.
#[derive(Clone, PartialEq, Debug)]
pub struct Duty {
    /// What it is asked.
    pub question: Question,
    /// What its worker had to compute.
    pub assignment: Assignment,
    /// What it says came out.
    pub receipt: Receipt,
    /// The receipt's digest.
    pub id: Digest,
    /// What this validator re-executes; empty if it only checks that the artifacts are there.
    pub segments: Vec<Segment>,
    /// The one step of the (only) segment that settles a dispute, if that is known.
    pub step: Option<Step>,
    /// Where it follows from at which steps a state is traced.
    pub probe: Seed,
}

/// What a validator is asked about a receipt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Question {
    /// Whether its artifacts are there.
    Receipt,
    /// The same, and whether what was drawn of it is what re-execution gives.
    Audit,
    /// Whether an objection to it holds.
    Dispute,
    /// Whether it was true, though it is settled.
    Challenge,
}

impl Question {
    /// Whether the answer is a vote for or against somebody's objection.
    #[must_use]
    pub const fn is_vote(self) -> bool {
        matches!(self, Self::Dispute | Self::Challenge)
    }
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
    /// Whether it is stored too: the last one that both agree on is what validators go on from.
    pub publish: bool,
}

/// What a validator is to do about what it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stance {
    /// Seal it.
    Seal,
    /// Wait until others have spoken.
    Wait,
    /// Say it.
    Say,
    /// Look again after a while: what is missing may still come.
    Look,
}

/// Whether it is too early to say that something is missing.
pub(super) fn is_early(judging: &Judging, verdict: &Verdict, now: Tick) -> bool {
    let is_missing =
        matches!(verdict.finding, Finding::Object { found: Found::Withheld | Found::Lost(_), .. });
    let since = judging.dispute.as_ref().map(|dispute| dispute.since);
    // It may come for two windows before it counts as withheld.
    let patience = judging.window.saturating_mul(2);
    is_missing && since.is_some_and(|since| now < since.after(patience))
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

    /// Receipts in front of the validators.
    pub fn judging(&self) -> impl Iterator<Item = LeaseId> + '_ {
        self.judging.iter().copied()
    }

    /// What a validator is asked, and has not answered.
    #[must_use]
    pub fn questions(&self, validator: &PublicKey) -> Vec<(LeaseId, Question)> {
        let mut asked = Vec::new();
        for lease in &self.judging {
            let all = [Question::Receipt, Question::Audit, Question::Dispute];
            let open = all.into_iter().filter(|q| self.wants(*lease, *q, validator));
            asked.extend(open.map(|question| (*lease, question)));
        }
        let challenged = self.past.iter().filter(|(_, past)| past.challenge.is_some());
        let open = challenged.map(|(lease, _)| (*lease, Question::Challenge));
        asked.extend(open.filter(|(lease, question)| self.wants(*lease, *question, validator)));
        asked
    }

    /// Whether a validator is asked this, and has not answered.
    #[must_use]
    pub fn wants(&self, lease: LeaseId, question: Question, validator: &PublicKey) -> bool {
        // Of those who have left only what they were drawn for.
        let is_asked = question == Question::Audit || self.validators.contains_key(validator);
        if !is_asked {
            return false;
        }
        if question == Question::Challenge {
            let challenge = self.past.get(&lease).and_then(|past| past.challenge.as_ref());
            return challenge.is_some_and(|c| !c.ballots.contains_key(validator));
        }
        let Some(Phase::Judged(judging)) = self.phase(lease.block) else { return false };
        if judging.delivery.lease.id != lease {
            return false;
        }
        let is_drawn = judging.audit.committee.contains(validator);
        let is_heard = judging.verdicts.contains_key(validator) || judging.lazy.contains(validator);
        match question {
            Question::Receipt => !is_heard && !is_drawn,
            Question::Audit => !is_heard && is_drawn,
            Question::Dispute => judging
                .dispute
                .as_ref()
                .is_some_and(|d| d.is_voted() && !d.ballots.contains_key(validator)),
            Question::Challenge => false,
        }
    }

    /// The validators that are there and have something to say now: a value of the beacon, a seal
    /// or a verdict about one of the first so many receipts that are in front of them.
    #[must_use]
    pub fn speakers(&self, receipts: usize) -> BTreeSet<PublicKey> {
        let mut speakers = BTreeSet::new();
        if self.is_alone() {
            return speakers;
        }
        let there = || self.validators.keys().filter(|key| !self.absent.contains(key));
        speakers.extend(there().filter(|key| self.turn(key).is_some()));
        for lease in self.judging.iter().take(receipts) {
            let Some(Phase::Judged(judging)) = self.phase(lease.block) else { continue };
            if judging.dispute.is_none() {
                speakers.extend(there().filter(|key| judging.awaits(key)));
            }
        }
        speakers
    }

    /// Whether a receipt was judged, and nobody is asked about it any more.
    #[must_use]
    pub fn is_judged(&self, lease: LeaseId) -> bool {
        let is_challenged = self.past.get(&lease).is_some_and(|past| past.challenge.is_some());
        matches!(self.phase(lease.block), Some(Phase::Settled(_))) && !is_challenged
    }

    /// What it takes to answer a question; none if it is not asked.
    #[must_use]
    pub fn duty(&self, lease: LeaseId, question: Question, validator: &PublicKey) -> Option<Duty> {
        if !self.wants(lease, question, validator) {
            return None;
        }
        if let (Question::Challenge, Some(past)) = (question, self.past.get(&lease)) {
            let segments = past.challenge.iter().map(|challenge| challenge.segment).collect();
            let (assignment, receipt) = (past.assignment.clone(), past.receipt.clone());
            let (id, probe) = (past.id, Seed(Digest::default()));
            return Some(Duty { question, assignment, receipt, id, segments, step: None, probe });
        }
        let Some(Phase::Judged(judging)) = self.phase(lease.block) else { return None };
        let (segments, step) = match (question, &judging.dispute) {
            (Question::Dispute, Some(dispute)) => (vec![dispute.segment], dispute.step()),
            (Question::Audit, _) => (judging.audit.segments.clone(), None),
            _ => (Vec::new(), None),
        };
        let delivery = &judging.delivery;
        let assignment = self.tasks(delivery.lease.id, &delivery.lease.offer.todo)?;
        let (receipt, id, probe) = (delivery.receipt.clone(), delivery.id, judging.seed);
        Some(Duty { question, assignment, receipt, id, segments, step, probe })
    }

    /// The round in which a participant is to say what a state was: as the worker whose receipt is
    /// disputed, or as he who objects to it.
    #[must_use]
    pub fn asks(&self, lease: LeaseId, key: &PublicKey) -> Option<u32> {
        let Some(Phase::Judged(judging)) = self.phase(lease.block) else { return None };
        let held = &judging.delivery.lease;
        let dispute = judging.dispute.as_ref().filter(|d| d.lost.is_none() && !d.is_voted())?;
        let side = match key {
            _ if held.id != lease => return None,
            key if *key == held.worker => Side::Worker,
            key if *key == dispute.by => Side::Objector,
            _ => return None,
        };
        dispute.bisection.as_ref().filter(|b| b.awaits(side)).map(Bisection::round)
    }

    /// What it takes to say that.
    #[must_use]
    pub fn query(&self, lease: LeaseId, key: &PublicKey) -> Option<Query> {
        let round = self.asks(lease, key)?;
        let Some(Phase::Judged(judging)) = self.phase(lease.block) else { return None };
        let dispute = judging.dispute.as_ref()?;
        let (delivery, segment) = (&judging.delivery, dispute.segment);
        let at = dispute.bisection.as_ref().and_then(Bisection::asks);
        let assignment = self.tasks(delivery.lease.id, &delivery.lease.offer.todo)?;
        let (receipt, publish) = (delivery.receipt.clone(), *key == delivery.lease.worker);
        Some(Query { assignment, receipt, segment, round, at, publish })
    }

    /// What a validator is to do now about what it found.
    #[must_use]
    pub fn stance(&self, question: Question, verdict: &Verdict, author: &PublicKey) -> Stance {
        let Some(Phase::Judged(judging)) = self.phase(verdict.lease.block) else {
            return Stance::Say; // about a challenge, or nothing that is asked any more
        };
        match question {
            // Who is alone decides at once.
            Question::Dispute if self.is_alone() => Stance::Say,
            Question::Dispute if is_early(judging, verdict, self.now()) => Stance::Look,
            Question::Dispute | Question::Challenge => Stance::Say,
            // One dispute at a time.
            _ if judging.dispute.is_some() && verdict.finding != Finding::Agree => Stance::Wait,
            Question::Receipt => Stance::Say,
            Question::Audit if self.is_alone() => Stance::Say,
            Question::Audit => match judging.seals.get(author) {
                None => Stance::Seal,
                Some(seal) if *seal != verdict.seal(*author).seal => Stance::Wait,
                Some(_) if judging.is_sealed() => Stance::Say,
                Some(_) => Stance::Wait,
            },
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
            let estimated = || job.size.memory.and_then(|memory| memory.bound);
            let memory = job.terms.resources.memory.max.or_else(estimated);
            let (address, spec) = (job.to_string(), job.spec.clone());
            Some(Task { job: *id, address, spec, inputs, memory })
        };
        let tasks = jobs.iter().map(task).collect::<Option<_>>()?;
        Some(Assignment { lease, tasks })
    }
}
