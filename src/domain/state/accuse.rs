//! Accusations: who is shown to have signed two things at once loses of its stake and leaves.
//! Never believes a vote that is not signed, and punishes once for one height, whoever shows it
//! how often.
//!
//! What is lost: the share of all stake that signed two things about this height, three times over,
//! and at least `equivocation_ppm`. A single slip costs its author some; those who could split the
//! log, a third of the stake, lose everything: with everyone who is shown, those who were shown
//! before lose as much as he does. What had left the stake before the epoch of that
//! height is not touched; what left it since is, so that nobody leaves in time.

use super::State;
use crate::base::amount::{Ohc, Rounding, mul_div};
use crate::base::canon::canonical_struct;
use crate::base::keys::PublicKey;
use crate::base::time::{Height, Tick};
use crate::domain::event::{Event, Reject};
use crate::domain::settle;
use crate::domain::vote::Evidence;
use std::ops::RangeInclusive;

/// How many times over the share of the stake that offended is lost by those who did.
const OFFENDERS_FACTOR: u64 = 3;

/// Who was punished for a height.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Punished {
    /// What it had at risk when it was shown first.
    at_risk: Ohc,
    /// What it has lost for this height.
    lost: Ohc,
}
canonical_struct!(Punished { at_risk, lost });

/// All that is said of a height.
fn at(height: Height) -> RangeInclusive<(Height, PublicKey)> {
    (height, PublicKey([0; 32]))..=(height, PublicKey([u8::MAX; 32]))
}

impl State {
    pub(super) fn accuse(
        &mut self,
        author: PublicKey,
        evidence: &Evidence,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let (validator, height) = evidence.proves(self.network).ok_or(Reject::NoEvidence)?;
        let (since, at_risk) = self.charge(validator, height)?;
        let punished = Punished { at_risk, lost: Ohc::ZERO };
        self.membership.punished.insert((height, validator), punished);
        self.membership.jailed.insert(validator);
        let ppm = self.lost_ppm(height, since);
        for (&(_, validator), punished) in self.membership.punished.range_mut(at(height)) {
            let due = punished.at_risk.ratio(ppm, 1_000_000, Rounding::Ceil);
            let more = due.unwrap_or(punished.at_risk).checked_sub(punished.lost);
            let more = more.unwrap_or_default();
            if more > Ohc::ZERO {
                let fine = settle::equivocation(&mut self.ledger, validator, more, since, author);
                punished.lost = punished.lost.checked_add(fine).unwrap_or(punished.lost);
                events.push(Event::Equivocated { validator, height, by: author, fine });
            }
        }
        Ok(())
    }

    /// Whether somebody who signed two things about a height could be held to it now.
    #[must_use]
    pub fn is_chargeable(&self, validator: PublicKey, height: Height) -> bool {
        self.charge(validator, height).is_ok()
    }

    /// Since when coins are locked that were at stake at a height, and how much of it is there.
    fn charge(&self, validator: PublicKey, height: Height) -> Result<(Tick, Ohc), Reject> {
        if self.params.evidence_ticks == 0 {
            return Err(Reject::TooOld);
        }
        let since = self.locked_since(height)?;
        if self.membership.punished.contains_key(&(height, validator)) {
            return Err(Reject::Punished);
        }
        match self.at_risk(&validator, since) {
            Ohc::ZERO => Err(Reject::NoStake),
            at_risk => Ok((since, at_risk)),
        }
    }

    /// The locks that end at this tick or later are on coins that were at stake at a height.
    fn locked_since(&self, height: Height) -> Result<Tick, Reject> {
        if height > self.height {
            return Err(Reject::NoEvidence);
        }
        if height < self.membership.oldest {
            return Err(Reject::TooOld);
        }
        match self.membership.ends.range(height..).next() {
            None => Ok(Tick(u64::MAX)),
            Some((_, end)) if end.after(self.params.evidence_ticks) <= self.now() => {
                Err(Reject::TooOld)
            }
            Some((_, end)) => Ok(end.after(self.params.unbonding_ticks)),
        }
    }

    fn at_risk(&self, validator: &PublicKey, since: Tick) -> Ohc {
        let locked = self.ledger.unbonding(validator, since).map(|(_, amount)| amount);
        let all = Ohc::sum(locked.chain([self.ledger.account(validator).stake]));
        all.unwrap_or_default()
    }

    /// The share of what it had at risk that whoever offended at a height loses.
    fn lost_ppm(&self, height: Height, since: Tick) -> u64 {
        let offenders = || self.membership.punished.range(at(height)).map(|(_, punished)| punished);
        let rest = self.stakers().into_iter().map(|key| self.at_risk(&key, since));
        let all = Ohc::sum(rest.chain(offenders().map(|punished| punished.lost)));
        let all = all.unwrap_or_default();
        let offended = Ohc::sum(offenders().map(|punished| punished.at_risk)).unwrap_or_default();
        let share = offended.nano().saturating_mul(OFFENDERS_FACTOR);
        let share = mul_div(share, 1_000_000, all.nano(), Rounding::Ceil);
        share.unwrap_or(1_000_000).clamp(self.params.equivocation_ppm, 1_000_000)
    }

    /// The epoch of the set ends with this slot; what nobody is held to any more is forgotten.
    pub(super) fn end_epoch(&mut self) {
        let (now, ticks) = (self.now(), self.params.evidence_ticks);
        self.membership.ends.insert(self.height, now);
        while let Some((last, end)) = self.membership.ends.first_key_value() {
            if end.after(ticks) > now {
                break;
            }
            self.membership.oldest = last.next();
            self.membership.ends.pop_first();
        }
        let first = (self.membership.oldest, PublicKey([0; 32]));
        self.membership.punished = self.membership.punished.split_off(&first);
    }
}
