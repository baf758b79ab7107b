//! What validators, and the two sides of a dispute, say about receipts: reveals, seals, verdicts,
//! moves. Never ends anything: that happens at the slot's boundary (`state::audit`).

use super::State;
use super::order::segments_of;
use super::question::is_early;
use super::run::{Dispute, Judging, Phase};
use crate::base::canon::Digest;
use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::PublicKey;
use crate::domain::beacon::Reveal;
use crate::domain::bisection::{Bisection, Move, Side, Turn};
use crate::domain::event::{Event, Reject};
use crate::domain::receipt::{Outcome, Receipt};
use crate::domain::verdict::{Ballot, Finding, Found, SealedVerdict, Segment, Verdict};
use crate::domain::vote::is_quorum;
use std::collections::BTreeMap;

impl State {
    /// With the last value that is awaited audits are drawn at once, if the seed does not wait for
    /// the chain: what follows in the same slot may be about them.
    pub(super) fn reveal(
        &mut self,
        author: PublicKey,
        reveal: Reveal,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        if !self.validators.contains_key(&author) {
            return Err(Reject::NotYours);
        }
        self.beacon.reveal(author, reveal, self.height).map_err(|_| Reject::OutOfTurn)?;
        self.absent.remove(&author);
        if self.beacon.is_complete() {
            self.end_round(events);
        }
        Ok(())
    }

    pub(super) fn seal_verdict(
        &mut self,
        author: PublicKey,
        sealed: SealedVerdict,
    ) -> Result<(), Reject> {
        let judging = self.judging_of(sealed.lease, sealed.receipt)?;
        if judging.seed != sealed.seed {
            return Err(Reject::NoReceipt); // it was drawn otherwise than its author foresaw
        }
        if !judging.audit.committee.contains(&author) {
            return Err(Reject::NotYours);
        }
        if judging.seals.contains_key(&author) {
            return Err(Reject::Spoken);
        }
        judging.seals.insert(author, sealed.seal);
        if judging.is_sealed() {
            // Now they are to say what they sealed.
            self.move_window(sealed.lease);
        }
        self.absent.remove(&author);
        Ok(())
    }

    pub(super) fn judge(
        &mut self,
        author: PublicKey,
        verdict: &Verdict,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let is_validator = self.validators.contains_key(&author);
        if self.past.contains_key(&verdict.lease) && is_validator {
            return self.judge_past(author, verdict);
        }
        let (alone, now) = (self.is_alone(), self.now());
        let judging = self.judged(verdict.lease, verdict.receipt);
        // Who was drawn and has left since may say what it found.
        let is_drawn = judging.is_ok_and(|j| j.audit.committee.contains(&author));
        if !is_validator && !is_drawn {
            return Err(Reject::NotYours);
        }
        let delivery = &judging?.delivery;
        let ballot = self.ballot(&delivery.receipt, delivery.lease.worker, verdict.finding)?;
        let judging = self.judging_of(verdict.lease, verdict.receipt)?;
        if is_vote(judging, verdict.finding) {
            if !is_validator {
                return Err(Reject::NotYours);
            }
            if !alone && is_early(judging, verdict, now) {
                return Err(Reject::Early);
            }
            let dispute = judging.dispute.as_mut().ok_or(Reject::NoReceipt)?;
            vote(&mut dispute.ballots, author, ballot)?;
        } else {
            if matches!(verdict.finding, Finding::Deny { .. }) {
                return Err(Reject::NoReceipt); // nobody denies what nobody claims
            }
            if judging.verdicts.contains_key(&author) || judging.lazy.contains(&author) {
                return Err(Reject::Spoken);
            }
            if is_drawn && !alone {
                let seal = verdict.seal(author, judging.seed).seal;
                if !judging.is_sealed() || judging.seals.get(&author) != Some(&seal) {
                    return Err(Reject::Unsealed);
                }
            }
            self.speak(author, verdict, ballot, events)?;
            if is_drawn && let Ok(judging) = self.judging_of(verdict.lease, verdict.receipt) {
                judging.traces.insert(author, verdict.trace);
            }
        }
        self.absent.remove(&author);
        Ok(())
    }

    /// A validator concludes about a receipt, once. An objection opens a dispute; while there is
    /// one, another has to wait.
    fn speak(
        &mut self,
        author: PublicKey,
        verdict: &Verdict,
        ballot: Ballot,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let (now, decides) = (self.now(), is_quorum([&author], &self.validators));
        // What was computed fast is not found again step by step.
        let is_fast = match verdict.finding {
            Finding::Object { segment, .. } => self.is_fast(verdict.lease, segment.job),
            _ => false,
        };
        let judging = self.judging_of(verdict.lease, verdict.receipt)?;
        match verdict.finding {
            Finding::Agree | Finding::Deny { .. } => {}
            // Whoever decides alone does not wait for the end of another's dispute.
            Finding::Object { .. } if judging.dispute.is_some() && !decides => {
                return Err(Reject::NoReceipt);
            }
            Finding::Object { segment, found } => {
                let receipt = &judging.delivery.receipt;
                if !segments_of(receipt).any(|s| s == segment) {
                    return Err(Reject::BadReceipt);
                }
                let begin = states(receipt, segment).map(|(begin, _)| begin);
                let differs = matches!(found, Found::State(_)) && !decides && !is_fast;
                let bisection = begin.filter(|_| differs).map(Bisection::open);
                let ballots = BTreeMap::from([(author, ballot)]);
                let (by, since, lost) = (author, now, None);
                let dispute = Dispute { by, segment, found, bisection, since, lost, ballots };
                judging.dispute = Some(dispute);
                let (lease, validator) = (verdict.lease, author);
                events.push(Event::Disputed { lease, validator, segment });
                self.move_window(verdict.lease);
            }
        }
        let judging = self.judging_of(verdict.lease, verdict.receipt)?;
        judging.verdicts.insert(author, verdict.finding);
        Ok(())
    }

    pub(super) fn bisect(
        &mut self,
        author: PublicKey,
        said: Move,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let now = self.now();
        let block = self.block_mut(said.lease.block).ok_or(Reject::NoDispute)?;
        let Phase::Judged(judging) = &mut block.phase else { return Err(Reject::NoDispute) };
        let worker = judging.delivery.lease.worker;
        let Some(dispute) = &mut judging.dispute else { return Err(Reject::NoDispute) };
        let side = match author {
            _ if judging.delivery.lease.id != said.lease => return Err(Reject::NoDispute),
            author if author == worker => Side::Worker,
            author if author == dispute.by => Side::Objector,
            _ => return Err(Reject::NoDispute),
        };
        let (_, end) =
            states(&judging.delivery.receipt, dispute.segment).ok_or(Reject::NoDispute)?;
        let bisection = dispute.bisection.as_mut().ok_or(Reject::NoDispute)?;
        if bisection.round() != said.round || !bisection.awaits(side) || dispute.lost.is_some() {
            return Err(Reject::NoDispute);
        }
        match bisection.say(side, said.steps, said.state, end) {
            Turn::Open => {}
            Turn::Contradicted(side) => dispute.lost = Some(side),
            Turn::Uneven => (dispute.bisection, dispute.since) = (None, now),
            Turn::Narrowed => {
                dispute.since = now;
                if let Some(step) = bisection.step() {
                    events.push(Event::Narrowed { lease: said.lease, step });
                }
            }
        }
        self.move_window(said.lease);
        Ok(())
    }

    /// Whether a job of a lease is one that two may honestly do a little differently.
    pub(super) fn is_fast(&self, lease: LeaseId, job: JobId) -> bool {
        let run = self.runs.get(&lease.block.run);
        run.and_then(|run| run.plan.job(job)).is_some_and(|job| job.spec.is_fast())
    }

    /// A receipt that is in front of the validators.
    fn judged(&self, lease: LeaseId, receipt: Digest) -> Result<&Judging, Reject> {
        match self.phase(lease.block) {
            Some(Phase::Judged(judging))
                if judging.delivery.lease.id == lease && judging.delivery.id == receipt =>
            {
                Ok(judging)
            }
            _ => Err(Reject::NoReceipt),
        }
    }

    /// The same, to be changed.
    fn judging_of(&mut self, lease: LeaseId, receipt: Digest) -> Result<&mut Judging, Reject> {
        let block = self.block_mut(lease.block).ok_or(Reject::NoReceipt)?;
        match &mut block.phase {
            Phase::Judged(judging)
                if judging.delivery.lease.id == lease && judging.delivery.id == receipt =>
            {
                Ok(judging)
            }
            _ => Err(Reject::NoReceipt),
        }
    }

    /// Something was said about a receipt: whoever speaks next has a whole window. Who is alone
    /// takes as long as it takes.
    pub(super) fn move_window(&mut self, lease: LeaseId) {
        let Some(Phase::Judged(judging)) = self.phase(lease.block) else { return };
        // Unless others were drawn, or dispute, who have left since.
        let is_own = |key| self.validators.contains_key(key);
        let own = judging.dispute.is_none() && judging.audit.committee.iter().all(is_own);
        let (now, alone) = (self.now(), self.is_alone() && own);
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        let before = judging.due;
        judging.due = now.after(judging.window);
        let after = judging.due;
        self.windows.remove(&(before, lease));
        if !alone {
            self.windows.insert((after, lease));
        }
    }
}

/// Whether a finding is about the segment that all validators are asked about.
fn is_vote(judging: &Judging, finding: Finding) -> bool {
    let asked = judging.dispute.as_ref().filter(|dispute| dispute.is_voted());
    let asked = asked.map(|dispute| dispute.segment);
    match finding {
        Finding::Object { segment, .. } | Finding::Deny { segment } => Some(segment) == asked,
        Finding::Agree => false,
    }
}

pub(super) fn vote(
    ballots: &mut BTreeMap<PublicKey, Ballot>,
    author: PublicKey,
    ballot: Ballot,
) -> Result<(), Reject> {
    if ballots.contains_key(&author) {
        return Err(Reject::Spoken);
    }
    ballots.insert(author, ballot);
    Ok(())
}

/// What a receipt claims to be the states before and after a segment; none if it has no states.
pub(super) fn states(receipt: &Receipt, segment: Segment) -> Option<(Digest, Digest)> {
    let Outcome::Done(claims) = &receipt.outcome else { return None };
    let claim = claims.iter().find(|claim| claim.job == segment.job)?;
    let at = segment.index as usize;
    Some((*claim.segments.get(at)?, *claim.segments.get(at.checked_add(1)?)?))
}
