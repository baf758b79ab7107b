//! What becomes of receipts at a slot's boundary: audits are drawn, verdicts counted, those who
//! stay away replaced, disputes decided. Never reads a command.

use super::State;
use super::order::segments_of;
use super::run::{Delivery, Judging, Phase};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::domain::beacon::Seed;
use crate::domain::bisection::Side;
use crate::domain::event::Event;
use crate::domain::receipt::Outcome;
use crate::domain::settle;
use crate::domain::verdict::{Ballot, Finding, Found, Segment, Verification, draw};
use crate::domain::vote::is_quorum;
use std::collections::{BTreeMap, BTreeSet};

/// So many times as long as it took, it may take to execute it again…
const AGAIN: u64 = 2;
/// … and of a fast job, which may have been on a graphics card: validators have no need of one.
const AGAIN_FAST: u64 = 100;

/// What the verdicts about a receipt say together.
enum Decision {
    Open,
    Accept,
    Slash(Segment),
    Overrule(PublicKey),
    /// Nobody can say: this artifact is lost.
    Void(Digest),
    /// Those who re-executed traced different things: now all do.
    Widen,
    /// This one of them traced something else than what re-execution gives.
    Lazy(PublicKey),
}

impl State {
    /// Draws audits for the receipts of earlier slots: their seed did not exist when they were
    /// committed. `chain` is the hash that the beacon waited for.
    pub(super) fn draw_audits(&mut self, chain: Option<Digest>, events: &mut Vec<Event>) {
        let drawn = match self.is_alone() {
            true => Some((Seed::of_chain(self.place.hash), self.height)),
            false => chain.and_then(|chain| self.beacon.draw(Some(chain))),
        };
        self.draw_with(drawn, events);
    }

    /// Draws audits for the receipts up to a slot.
    fn draw_with(&mut self, drawn: Option<(Seed, Height)>, events: &mut Vec<Event>) {
        let Some((seed, until)) = drawn else { return };
        let there = self.there(&BTreeSet::new());
        for judging in self.drawn(seed, until, &there).collect::<Vec<_>>() {
            let lease = judging.delivery.lease.id;
            assert!(judging.delivery.at < self.height, "R-9: a receipt is older than its seed");
            events.push(Event::Drawn { lease, audit: judging.audit.clone() });
            if let Some(block) = self.block_mut(lease.block) {
                block.phase = Phase::Judged(Box::new(judging));
            }
            self.undrawn.remove(&lease);
            self.judging.insert(lease);
            self.move_window(lease);
        }
    }

    /// What a seed draws of the receipts up to a slot, where these validators are counted on.
    pub(super) fn drawn(
        &self,
        seed: Seed,
        until: Height,
        there: &[(PublicKey, Ohc)],
    ) -> impl Iterator<Item = Judging> {
        let delivery = move |lease: &LeaseId| match self.phase(lease.block)? {
            Phase::Delivered(delivery) if delivery.at <= until => Some(Delivery::clone(delivery)),
            _ => None,
        };
        let waits = self.undrawn.iter().filter_map(delivery);
        waits.map(move |delivery| self.judging_with(delivery, seed, there))
    }

    fn judging_with(&self, delivery: Delivery, seed: Seed, there: &[(PublicKey, Ohc)]) -> Judging {
        let lease = delivery.lease.id;
        let all: Vec<Segment> = segments_of(&delivery.receipt).collect();
        let policy = self.policy(&delivery);
        let audit = draw(seed, lease, policy, &all, there, self.params.committee);
        let took = self.now().0.saturating_sub(delivery.lease.since.0);
        let is_fast = delivery.lease.offer.todo.iter().any(|job| self.is_fast(lease, *job));
        let times = if is_fast { AGAIN_FAST } else { AGAIN };
        let window = self.params.verdict_ticks.saturating_add(took.saturating_mul(times));
        Judging {
            delivery,
            audit,
            seed,
            seals: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            traces: BTreeMap::new(),
            lazy: BTreeSet::new(),
            window,
            due: self.now(),
            dispute: None,
        }
    }

    /// The validators that are counted on, with their stakes, without some; all, if none is left.
    fn there(&self, without: &BTreeSet<PublicKey>) -> Vec<(PublicKey, Ohc)> {
        self.present(&self.absent, without)
    }

    /// The same, where these are absent.
    pub(super) fn present(
        &self,
        absent: &BTreeSet<PublicKey>,
        without: &BTreeSet<PublicKey>,
    ) -> Vec<(PublicKey, Ohc)> {
        let all = || self.validators.iter().filter(|(key, _)| !without.contains(key));
        let all = || all().map(|(key, stake)| (*key, *stake));
        let there: Vec<_> = all().filter(|(key, _)| !absent.contains(key)).collect();
        if there.is_empty() { all().collect() } else { there }
    }

    /// What the plan says, but always everything of a failure, which ends the run, and of replicas
    /// that do not agree. The jobs of a block have the same terms.
    pub(super) fn policy(&self, delivery: &Delivery) -> Verification {
        let run = self.runs.get(&delivery.lease.id.block.run);
        let job = |id: &_| run.and_then(|run| run.plan.job(*id));
        let mut jobs = delivery.lease.offer.todo.iter().filter_map(job);
        let block = delivery.lease.id.block;
        let is_split = run.is_some_and(|run| {
            let state = run.block(block.index);
            run.is_replica(block.index) && !state.is_some_and(|state| state.agreed)
        });
        match delivery.receipt.outcome {
            Outcome::Failed { .. } => Verification::Full,
            Outcome::Done(_) if is_split => Verification::Full,
            Outcome::Done(_) => {
                jobs.next().map_or(Verification::Full, |job| job.terms.verification)
            }
        }
    }

    /// Ends the round of the beacon that is complete, and opens one for what waits to be drawn.
    /// Nobody who delivered before it opened has seen a value that is revealed in it. Whoever
    /// is alone draws from the chain: this is the only place that opens a round, so there is none.
    pub(super) fn hold_round(&mut self, events: &mut Vec<Event>) {
        self.end_round(events);
        if self.is_alone() || self.beacon.is_busy() || self.undrawn.is_empty() {
            return;
        }
        let pledged: BTreeSet<PublicKey> = self.beacon.pledged().copied().collect();
        if is_quorum(&pledged, &self.validators) {
            let there = pledged.iter().filter(|key| !self.absent.contains(key));
            let there: BTreeSet<PublicKey> = there.copied().collect();
            let awaited = if there.is_empty() { pledged } else { there };
            let due = self.now().after(self.params.reveal_ticks);
            self.beacon.open((self.height, self.place.hash), due, awaited);
        }
    }

    /// Ends the round of the beacon if it is complete or due. Without a delay that makes its seed.
    pub(super) fn end_round(&mut self, events: &mut Vec<Event>) {
        for validator in self.beacon.close(self.now(), self.params.reveal_ticks) {
            self.miss(validator, events);
        }
        if self.params.beacon_ticks == 0 {
            let drawn = self.beacon.draw(None);
            self.draw_with(drawn, events);
        }
    }

    /// A validator was not there: it is fined once, and not counted on until it speaks again.
    /// Who has left is not missed.
    pub(super) fn miss(&mut self, validator: PublicKey, events: &mut Vec<Event>) {
        if self.validators.contains_key(&validator) && self.absent.insert(validator) {
            let fine = settle::absent(&mut self.ledger, validator, &self.params);
            events.push(Event::Absent { validator, fine });
        }
    }

    /// Goes on without those who were to speak about a receipt and did not.
    pub(super) fn pass_windows(&mut self, events: &mut Vec<Event>) {
        while let Some((tick, lease)) = self.windows.first().copied() {
            if tick > self.now() {
                return;
            }
            self.windows.pop_first();
            let Some(Phase::Judged(judging)) = self.phase(lease.block) else { continue };
            if judging.delivery.lease.id != lease || judging.due != tick {
                continue;
            }
            match &judging.dispute {
                Some(dispute) if dispute.is_voted() => {
                    let silent = self.silent(&dispute.ballots);
                    self.vote_again(lease, silent, events);
                }
                Some(_) => self.lose_by_silence(lease),
                None => self.redraw(Judging::clone(judging), events),
            }
            self.move_window(lease);
        }
    }

    /// Validators that have not voted.
    pub(super) fn silent(&self, ballots: &BTreeMap<PublicKey, Ballot>) -> Vec<PublicKey> {
        self.validators.keys().filter(|key| !ballots.contains_key(key)).copied().collect()
    }

    /// A vote came to nothing and is held again: what some could not fetch may be there by now,
    /// and whoever is silent must not hold the others to what they said.
    fn vote_again(&mut self, lease: LeaseId, silent: Vec<PublicKey>, events: &mut Vec<Event>) {
        for validator in silent {
            self.miss(validator, events);
        }
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        let Some(dispute) = &mut judging.dispute else { return };
        dispute.ballots.clear();
    }

    /// Who does not say what a state was has lost; of two, he who objects.
    fn lose_by_silence(&mut self, lease: LeaseId) {
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        let Some(dispute) = &mut judging.dispute else { return };
        let awaits = |side| dispute.bisection.as_ref().is_some_and(|b| b.awaits(side));
        let silent = if awaits(Side::Objector) { Side::Objector } else { Side::Worker };
        dispute.lost = Some(silent);
    }

    /// Others come in for those of the committee who have not spoken in time.
    fn redraw(&mut self, judging: Judging, events: &mut Vec<Event>) {
        let lease = judging.delivery.lease.id;
        let unspoken = |key: &&PublicKey| !judging.verdicts.contains_key(key);
        let committee = &judging.audit.committee;
        let missing: Vec<PublicKey> = if judging.is_sealed() || self.is_alone() {
            committee.iter().filter(unspoken).copied().collect()
        } else {
            judging.unsealed().copied().collect()
        };
        if missing.is_empty() {
            return; // the committee has spoken: the cheap verdicts of others are missing
        }
        for validator in &missing {
            self.miss(*validator, events);
        }
        let heard: BTreeSet<PublicKey> =
            committee.iter().copied().chain(judging.lazy.iter().copied()).collect();
        let absent = &self.absent;
        let is_free = |key: &PublicKey| !heard.contains(key) && !absent.contains(key);
        let others = self.validators.iter().filter(|(key, _)| is_free(key));
        let others: Vec<(PublicKey, Ohc)> = others.map(|(key, stake)| (*key, *stake)).collect();
        let count = u32::try_from(missing.len()).unwrap_or(u32::MAX);
        let purpose = format!("redraw {}", self.height);
        let fresh = judging.seed.choose_by_stake(&purpose, lease, &others, count);
        let left = committee.iter().filter(|key| !missing.contains(key)).copied();
        let next: BTreeSet<PublicKey> = left.chain(fresh).collect();
        // Nobody at all is there: they are waited for.
        if !next.is_empty() {
            self.seat_committee(lease, next.into_iter().collect(), events);
        }
    }

    /// Has these re-execute what was drawn. Who comes in has not re-executed yet, whatever it has
    /// said; who is out has said nothing that counts.
    fn seat_committee(
        &mut self,
        lease: LeaseId,
        committee: Vec<PublicKey>,
        events: &mut Vec<Event>,
    ) {
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        judging.seals.retain(|key, _| committee.contains(key));
        judging.traces.retain(|key, _| committee.contains(key));
        let seals = &judging.seals;
        judging.verdicts.retain(|key, _| !committee.contains(key) || seals.contains_key(key));
        judging.audit.committee.clone_from(&committee);
        events.push(Event::Redrawn { lease, committee });
    }

    /// Turns verdicts into settlements.
    pub(super) fn settle_receipts(&mut self, events: &mut Vec<Event>) {
        for lease in self.judging.clone() {
            while let Some(Phase::Judged(judging)) = self.phase(lease.block) {
                match decide(judging, &self.validators, &self.absent) {
                    Decision::Open => break,
                    Decision::Overrule(validator) => self.overrule(lease, validator, events),
                    Decision::Accept => self.accept(Judging::clone(judging), events),
                    Decision::Slash(segment) => {
                        self.slash(judging.delivery.lease.clone(), segment, events);
                    }
                    Decision::Void(artifact) => {
                        self.void(judging.delivery.lease.clone(), artifact, events);
                    }
                    Decision::Widen => {
                        let lazy = judging.lazy.clone();
                        let all = self.there(&lazy).into_iter().map(|(key, _)| key).collect();
                        self.seat_committee(lease, all, events);
                        self.move_window(lease);
                    }
                    Decision::Lazy(validator) => self.exclude(lease, validator, events),
                }
            }
        }
    }

    /// An objection did not hold: the receipt is judged on as if its author had agreed. What was
    /// missing and came after all costs nothing: a worker could live on that.
    fn overrule(&mut self, lease: LeaseId, validator: PublicKey, events: &mut Vec<Event>) {
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        let found = judging.dispute.take().map(|dispute| dispute.found);
        let was_missing = matches!(found, Some(Found::Withheld | Found::Lost(_)));
        judging.verdicts.insert(validator, Finding::Agree);
        // All have re-executed the segment by now: what it traced is not asked any more.
        judging.audit.committee.retain(|key| *key != validator);
        judging.traces.remove(&validator);
        judging.seals.remove(&validator);
        let held_up = judging.delivery.lease.clone();
        let fine = match was_missing {
            true => Ohc::ZERO,
            false => settle::overrule(&mut self.ledger, &held_up, validator),
        };
        events.push(Event::Overruled { lease, validator, fine });
        self.move_window(lease);
    }

    /// A validator that agreed without looking is out, and pays.
    fn exclude(&mut self, lease: LeaseId, validator: PublicKey, events: &mut Vec<Event>) {
        let Some(block) = self.block_mut(lease.block) else { return };
        let Phase::Judged(judging) = &mut block.phase else { return };
        judging.audit.committee.retain(|key| *key != validator);
        judging.verdicts.remove(&validator);
        judging.traces.remove(&validator);
        judging.seals.remove(&validator);
        judging.lazy.insert(validator);
        let fine = settle::lazy(&mut self.ledger, validator, None, &self.params);
        events.push(Event::Lazy { lease, validator, challenger: None, fine });
    }
}

/// What more than 2/3 of the stake say, if they do. Of lost artifacts, any is as good as another.
pub(super) fn count(
    ballots: &BTreeMap<PublicKey, Ballot>,
    validators: &BTreeMap<PublicKey, Ohc>,
) -> Option<Ballot> {
    let kind = |ballot: &Ballot| std::mem::discriminant(ballot);
    ballots.values().copied().find(|ballot| {
        let same = ballots.iter().filter(|(_, other)| kind(other) == kind(ballot));
        is_quorum(same.map(|(key, _)| key), validators)
    })
}

/// What the verdicts about a receipt say together. Truth table:
///
/// | dispute | validators                                       | decision         |
/// |---------|--------------------------------------------------|------------------|
/// | open    | a side lost by what it said, or did not say      | against that side|
/// | open    | the sides search for the step still              | wait             |
/// | open    | > 2/3 of the stake object to the segment         | slash            |
/// | open    | > 2/3 of the stake deny the objection            | overrule         |
/// | open    | > 2/3 of the stake say that an input is lost     | void             |
/// | none    | not all of the committee agree, or not > 2/3     | wait             |
/// | none    | they do, and traced the same                     | accept           |
/// | none    | they do, not all traced the same, not all were asked | widen        |
/// | none    | all were asked, > 2/3 traced the same, one did not | that one was lazy |
fn decide(
    judging: &Judging,
    validators: &BTreeMap<PublicKey, Ohc>,
    absent: &BTreeSet<PublicKey>,
) -> Decision {
    if let Some(dispute) = &judging.dispute {
        return match (dispute.lost, dispute.is_voted()) {
            (Some(Side::Worker), _) => Decision::Slash(dispute.segment),
            (Some(Side::Objector), _) => Decision::Overrule(dispute.by),
            (None, false) => Decision::Open,
            (None, true) => match count(&dispute.ballots, validators) {
                Some(Ballot::Object) => Decision::Slash(dispute.segment),
                Some(Ballot::Deny) => Decision::Overrule(dispute.by),
                Some(Ballot::Lost(artifact)) => Decision::Void(artifact),
                None => Decision::Open,
            },
        };
    }
    let committee = &judging.audit.committee;
    let agreed = |key: &PublicKey| judging.verdicts.get(key) == Some(&Finding::Agree);
    let all_agree = committee.iter().all(agreed);
    if !all_agree || !is_quorum(validators.keys().filter(|key| agreed(key)), validators) {
        return Decision::Open;
    }
    let traced = |trace: &Digest| {
        let same = judging.traces.iter().filter(move |(_, other)| *other == trace);
        is_quorum(same.map(|(key, _)| key), validators)
    };
    let of = |key: &PublicKey| judging.traces.get(key);
    let mut traces = committee.iter().map(of);
    let first = traces.next().flatten();
    if traces.all(|trace| trace == first) {
        return Decision::Accept;
    }
    let Some(true_trace) = judging.traces.values().find(|trace| traced(trace)) else {
        let is_asked = |key| committee.contains(key) || judging.lazy.contains(key);
        let mut others = validators.keys().filter(|key| !is_asked(key) && !absent.contains(key));
        // Whoever is away cannot settle it: then nobody is blamed.
        return if others.next().is_some() { Decision::Widen } else { Decision::Accept };
    };
    match committee.iter().find(|key| of(key) != Some(true_trace)) {
        Some(lazy) => Decision::Lazy(*lazy),
        None => Decision::Accept,
    }
}
