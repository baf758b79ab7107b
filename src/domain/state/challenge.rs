//! Challenges: objections to what is settled already, for as long as the network allows.
//! Never stops a run: what depends on a result that is revoked was paid for and is there.
//!
//! Anybody may lay a canary: a lie in a run of its own. If the committee of its audit objects, the
//! liar loses its bond, half of it to itself; if the committee agrees, whoever laid the canary
//! challenges, and those who agreed without looking pay far more (verification.md §3.4). Nobody
//! has to sponsor or seal anything, and no validator can tell a canary from a block.

use super::State;
use super::audit::count;
use super::judge::vote;
use super::run::Judging;
use super::view::Assignment;
use crate::base::amount::{Ohc, Rounding};
use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
use crate::domain::event::{Event, Reject};
use crate::domain::ledger::{Hold, Owner};
use crate::domain::receipt::{Outcome, Receipt};
use crate::domain::settle;
use crate::domain::verdict::{Ballot, Finding, Found, Segment, Verdict};
use std::collections::BTreeMap;

/// What was settled under a lease, while it can be challenged.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Past {
    /// What its worker had to compute.
    pub assignment: Assignment,
    /// What it said came out.
    pub receipt: Receipt,
    /// The digest of that.
    pub id: Digest,
    /// Who worked, and paid.
    pub worker: PublicKey,
    /// Who is harmed if it is false.
    pub client: PublicKey,
    /// What the worker had at risk.
    pub bond: Ohc,
    /// What validators got.
    pub gas: Ohc,
    /// The segments that were re-executed.
    pub audited: Vec<Segment>,
    /// By whom.
    pub committee: Vec<PublicKey>,
    /// When it stands for ever.
    pub until: Tick,
    /// How long validators have to speak about a challenge.
    pub window: u64,
    /// The challenge under way.
    pub challenge: Option<Challenge>,
}

/// A challenge and what the validators find.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Challenge {
    /// Whose it is.
    pub by: PublicKey,
    /// Where the receipt is said to be false.
    pub segment: Segment,
    /// What each validator says.
    pub ballots: BTreeMap<PublicKey, Ballot>,
}

impl State {
    /// Keeps what was settled for as long as it can be challenged.
    pub(super) fn keep_past(&mut self, judging: &Judging, client: PublicKey) {
        if self.params.challenge_ticks == 0 {
            return;
        }
        let delivery = &judging.delivery;
        let lease = &delivery.lease;
        let Some(assignment) = self.tasks(lease.id, &lease.offer.todo) else { return };
        let until = self.now().after(self.params.challenge_ticks);
        let past = Past {
            assignment,
            receipt: delivery.receipt.clone(),
            id: delivery.id,
            worker: lease.worker,
            client,
            bond: lease.bond,
            gas: lease.offer.gas,
            audited: judging.audit.segments.clone(),
            committee: judging.audit.committee.clone(),
            until,
            window: judging.window,
            challenge: None,
        };
        self.past.insert(lease.id, past);
        self.past_dues.insert((until, lease.id));
    }

    pub(super) fn challenge(
        &mut self,
        author: PublicKey,
        lease: LeaseId,
        segment: Segment,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let now = self.now();
        let past = self.past.get_mut(&lease).filter(|past| past.challenge.is_none());
        let past = past.ok_or(Reject::NoChallenge)?;
        let Outcome::Done(claims) = &past.receipt.outcome else { return Err(Reject::NoChallenge) };
        let claim = claims.iter().find(|claim| claim.job == segment.job);
        let count = claim.map(|claim| claim.segments.len().saturating_sub(1).max(1));
        if count.is_none_or(|count| segment.index as usize >= count) {
            return Err(Reject::BadReceipt);
        }
        let deposit = past.gas.ratio(2, 1, Rounding::Ceil).ok_or(Reject::Short)?;
        let opened = self.ledger.open(Hold::Challenge(lease), Owner::Account(author), deposit);
        opened.map_err(|_| Reject::Short)?;
        past.challenge = Some(Challenge { by: author, segment, ballots: BTreeMap::new() });
        self.past_dues.remove(&(past.until, lease));
        past.until = now.after(past.window);
        self.past_dues.insert((past.until, lease));
        events.push(Event::Challenged { lease, by: author, segment, deposit });
        Ok(())
    }

    /// What a validator finds about a challenge.
    pub(super) fn judge_past(
        &mut self,
        author: PublicKey,
        verdict: &Verdict,
    ) -> Result<(), Reject> {
        let past = self.past.get(&verdict.lease).ok_or(Reject::NoReceipt)?;
        let challenge = past.challenge.as_ref().filter(|_| past.id == verdict.receipt);
        let asked = challenge.ok_or(Reject::NoReceipt)?.segment;
        let ballot = match verdict.finding {
            Finding::Object { segment, .. } | Finding::Deny { segment } if segment == asked => {
                let ballot = self.ballot(&past.receipt, past.worker, verdict.finding)?;
                match verdict.finding {
                    // It was there when the receipt was accepted: that it is gone is nobody's lie.
                    Finding::Object { found: Found::Lost(artifact), .. } => Ballot::Lost(artifact),
                    _ => ballot,
                }
            }
            _ => return Err(Reject::NoReceipt),
        };
        let past = self.past.get_mut(&verdict.lease).ok_or(Reject::NoReceipt)?;
        let challenge = past.challenge.as_mut().ok_or(Reject::NoReceipt)?;
        vote(&mut challenge.ballots, author, ballot)?;
        self.absent.remove(&author);
        Ok(())
    }

    /// Decides the challenges that more than 2/3 of the stake agree about, waits on for the others,
    /// and forgets what nobody has challenged in time.
    pub(super) fn settle_challenges(&mut self, events: &mut Vec<Event>) {
        let open = self.past.iter().filter(|(_, past)| past.challenge.is_some());
        let open: Vec<LeaseId> = open.map(|(lease, _)| *lease).collect();
        for lease in open {
            let Some(challenge) = self.past.get(&lease).and_then(|p| p.challenge.clone()) else {
                continue;
            };
            match count(&challenge.ballots, &self.validators) {
                Some(Ballot::Object) => self.revoke(lease, &challenge, events),
                Some(Ballot::Deny) => self.dismiss(lease, &challenge, events),
                Some(Ballot::Lost(_)) => self.leave_open(lease, &challenge, events),
                None => {}
            }
        }
        while let Some((tick, lease)) = self.past_dues.first().copied() {
            if tick > self.now() {
                return;
            }
            self.past_dues.pop_first();
            let challenge = self.past.get(&lease).and_then(|past| past.challenge.as_ref());
            let Some(challenge) = challenge else {
                self.past.remove(&lease);
                continue;
            };
            for validator in self.silent(&challenge.ballots) {
                self.miss(validator, events);
            }
            let now = self.now();
            if let Some(past) = self.past.get_mut(&lease) {
                past.until = now.after(past.window.max(1));
                self.past_dues.insert((past.until, lease));
                // It is voted again, as about a receipt.
                past.challenge.iter_mut().for_each(|challenge| challenge.ballots.clear());
            }
        }
    }

    fn forget(&mut self, lease: LeaseId) -> Option<Past> {
        let past = self.past.remove(&lease)?;
        self.past_dues.remove(&(past.until, lease));
        Some(past)
    }

    fn dismiss(&mut self, lease: LeaseId, challenge: &Challenge, events: &mut Vec<Event>) {
        let Some(past) = self.forget(lease) else { return };
        let lost = settle::dismiss(&mut self.ledger, lease, past.worker);
        assert!(lost.is_ok(), "R-3: a deposit ends once");
        let deposit = lost.unwrap_or_default();
        events.push(Event::Dismissed { lease, by: challenge.by, deposit });
    }

    /// Nobody can say any more whether the result was true: it stands, and the challenge costs
    /// nothing.
    fn leave_open(&mut self, lease: LeaseId, challenge: &Challenge, events: &mut Vec<Event>) {
        if self.forget(lease).is_none() {
            return;
        }
        let back = self.ledger.void(Hold::Challenge(lease));
        assert!(back.is_ok(), "R-3: a deposit ends once");
        events.push(Event::Dismissed { lease, by: challenge.by, deposit: Ohc::ZERO });
    }

    /// The result was false: nobody uses it again, and those who let it pass pay for it.
    fn revoke(&mut self, lease: LeaseId, challenge: &Challenge, events: &mut Vec<Event>) {
        let Some(past) = self.forget(lease) else { return };
        let back = self.ledger.void(Hold::Challenge(lease));
        assert!(back.is_ok(), "R-3: a deposit ends once");
        self.forget_results(lease);
        let fine = settle::revoke(&mut self.ledger, past.worker, past.bond, past.client);
        if let Some(worker) = self.workers.get_mut(&past.worker) {
            worker.record.bad += 1;
        }
        events.push(Event::Revoked { lease, worker: past.worker, fine });
        let let_pass = past.committee.iter().filter(|_| past.audited.contains(&challenge.segment));
        for validator in let_pass {
            let (validator, challenger) = (*validator, Some(challenge.by));
            let fine = settle::lazy(&mut self.ledger, validator, challenger, &self.params);
            events.push(Event::Lazy { lease, validator, challenger, fine });
        }
    }
}
