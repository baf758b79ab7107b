//! What validators, and the two sides of a dispute, are asked about receipts: what is in front of
//! them, and what will be once the reveals that wait are in a slot. Never writes the state.

use super::State;
use super::run::{Judging, Phase};
use super::view::Assignment;
use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
use crate::domain::beacon::{Reveal, Seed};
use crate::domain::bisection::{Bisection, Side, Step};
use crate::domain::receipt::Receipt;
use crate::domain::verdict::{Finding, Found, Segment, Verdict};
use std::collections::BTreeSet;

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

/// A question about one receipt. Drawn with another seed it is another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Matter {
    /// The lease that the receipt answers.
    pub lease: LeaseId,
    /// What is asked about it.
    pub question: Question,
    /// What its audit was drawn with; zero once it is settled.
    pub seed: Seed,
}

impl Duty {
    /// The question that it answers.
    #[must_use]
    pub const fn matter(&self) -> Matter {
        Matter { lease: self.assignment.lease, question: self.question, seed: self.probe }
    }
}

/// What the beacon's round will draw once reveals that wait are in a slot.
#[derive(Debug)]
pub struct Foresight {
    seed: Seed,
    drawn: Vec<Judging>,
    there: Vec<PublicKey>,
}

impl Foresight {
    /// The leases whose receipts will be in front of the validators.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.drawn.iter().map(|judging| judging.delivery.lease.id)
    }

    /// The validators that are counted on, who will all have something to say.
    pub fn there(&self) -> impl Iterator<Item = PublicKey> {
        self.there.iter().copied()
    }

    /// What a validator will be asked.
    pub fn questions(&self, validator: &PublicKey) -> impl Iterator<Item = Matter> {
        let seed = self.seed;
        self.drawn.iter().map(move |judging| {
            let is_drawn = judging.audit.committee.contains(validator);
            let question = if is_drawn { Question::Audit } else { Question::Receipt };
            Matter { lease: judging.delivery.lease.id, question, seed }
        })
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
    /// Receipts in front of the validators.
    pub fn judging(&self) -> impl Iterator<Item = LeaseId> + '_ {
        self.judging.iter().copied()
    }

    /// What the audit of a receipt was drawn with, while it is in front of the validators.
    #[must_use]
    pub fn seed_of(&self, lease: LeaseId) -> Option<Seed> {
        match self.phase(lease.block)? {
            Phase::Judged(judging) if judging.delivery.lease.id == lease => Some(judging.seed),
            _ => None,
        }
    }

    /// What a validator is asked, and has not answered.
    #[must_use]
    pub fn questions(&self, validator: &PublicKey) -> Vec<Matter> {
        let mut asked = Vec::new();
        let wants = |lease: &LeaseId, question: &Question| self.wants(*lease, *question, validator);
        for lease in &self.judging {
            let Some(seed) = self.seed_of(*lease) else { continue };
            let all = [Question::Receipt, Question::Audit, Question::Dispute];
            let open = all.into_iter().filter(|question| wants(lease, question));
            let lease = *lease;
            asked.extend(open.map(|question| Matter { lease, question, seed }));
        }
        let (question, seed) = (Question::Challenge, Seed::NONE);
        let challenged = self.past.iter().filter(|(_, past)| past.challenge.is_some());
        let open = challenged.map(|(lease, _)| *lease).filter(|lease| wants(lease, &question));
        asked.extend(open.map(|lease| Matter { lease, question, seed }));
        asked
    }

    /// What will be drawn once these reveals are in a slot, in this order; none if they do not
    /// complete the round, or if the seed waits for the chain.
    #[must_use]
    pub fn foresee(&self, reveals: impl Iterator<Item = (PublicKey, Reveal)>) -> Option<Foresight> {
        let is_open = self.beacon.is_busy() && self.params.beacon_ticks == 0;
        if !is_open {
            return None;
        }
        let (mut beacon, mut absent) = (self.beacon.clone(), self.absent.clone());
        for (author, reveal) in reveals.filter(|(author, _)| self.validators.contains_key(author)) {
            if beacon.is_complete() {
                break;
            }
            if beacon.reveal(author, reveal, self.height.next()).is_ok() {
                absent.remove(&author);
            }
        }
        if !beacon.is_complete() {
            return None;
        }
        beacon.close(self.now(), 0);
        let (seed, until) = beacon.draw(None)?;
        let there = self.present(&absent, &BTreeSet::new());
        let drawn = self.drawn(seed, until, &there).collect();
        let there = there.into_iter().map(|(key, _)| key).collect();
        Some(Foresight { seed, drawn, there })
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
    pub fn duty(&self, matter: Matter, validator: &PublicKey) -> Option<Duty> {
        let Matter { lease, question, seed } = matter;
        if !self.wants(lease, question, validator) {
            return None;
        }
        if let (Question::Challenge, Some(past)) = (question, self.past.get(&lease)) {
            let segments = past.challenge.iter().map(|challenge| challenge.segment).collect();
            let (assignment, receipt) = (past.assignment.clone(), past.receipt.clone());
            let (id, probe) = (past.id, Seed::NONE);
            return Some(Duty { question, assignment, receipt, id, segments, step: None, probe });
        }
        match self.phase(lease.block) {
            Some(Phase::Judged(judging)) if judging.seed == seed => self.duty_of(judging, question),
            _ => None,
        }
    }

    /// What it will take to answer a question that is foreseen.
    #[must_use]
    pub fn duty_ahead(&self, foresight: &Foresight, matter: Matter) -> Option<Duty> {
        let of = |judging: &&Judging| judging.delivery.lease.id == matter.lease;
        self.duty_of(foresight.drawn.iter().find(of)?, matter.question)
    }

    fn duty_of(&self, judging: &Judging, question: Question) -> Option<Duty> {
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
        let judging = match self.phase(verdict.lease.block) {
            Some(Phase::Judged(judging)) => judging,
            // Its audit is foreseen.
            Some(Phase::Delivered(_)) if question == Question::Audit => return Stance::Seal,
            // About a challenge, or nothing that is asked any more.
            _ => return Stance::Say,
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
                Some(seal) if *seal != verdict.seal(*author, judging.seed).seal => Stance::Wait,
                Some(_) if judging.is_sealed() => Stance::Say,
                Some(_) => Stance::Wait,
            },
        }
    }
}
