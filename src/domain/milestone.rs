//! Milestones: slots that show something to whoever has no log, because the validators have signed
//! what they did: who the validators are from there on, or what the state was. And trust, which
//! goes from the validators of the genesis, or of a state that one has, to those of a later slot.
//! Never says where the bytes of a state come from.
//!
//! Whoever knows a set believes a later slot that validators with more than 2/3 of *that* stake
//! have signed, however many slots and changes lie between (skipping verification, as light clients
//! of Tendermint do it), if those who had to sign it have too. Where too many have gone since, the
//! slots that changed the set are taken one after the other: each is signed by those before it.
//!
//! Those who have left with their stake have nothing to lose by signing another history. Who has a
//! [`Checkpoint`] believes none but the one that it stands in: who signs from there on is in what
//! its head names, whoever has signed that head.

use super::event::{Event, events_digest, shown_root};
use super::slot::{Head, Slot};
use super::vote::Certificate;
use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Digest, canonical_struct};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_PART_BYTES, VALIDATORS_MAX};
use crate::base::time::Height;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A slot that changed the set of validators, as one who follows the log names it to one who does
/// not yet: `HEIGHT:DIGEST`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Its number.
    pub height: Height,
    /// The digest of its head.
    pub head: Digest,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.head)
    }
}

impl FromStr for Checkpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "it is not HEIGHT:DIGEST, as `ohc network checkpoint` prints it";
        let (height, head) = text.split_once(':').ok_or(WHAT)?;
        let height = height.parse().ok().filter(|height| *height > 0).ok_or(WHAT)?;
        Ok(Self { height: Height(height), head: head.parse().map_err(|_| WHAT)? })
    }
}

/// A slot as whoever has no log needs it.
#[derive(Clone, PartialEq, Debug)]
pub struct Milestone {
    /// What was voted for.
    pub head: Head,
    /// What made it final.
    pub certificate: Certificate,
    /// What it shows…
    pub event: Event,
    /// … and the digest of all that it did: the head holds the digest of these two.
    pub all: Digest,
}
canonical_struct!(Milestone { head, certificate, event, all } tag "ohc/milestone/2");

/// The bytes of a state, cut into parts that are checked one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    /// All of them.
    pub bytes: u64,
    /// The digest of each part.
    pub digests: Vec<Digest>,
}
canonical_struct!(Parts { bytes, digests } tag "ohc/snapshot-parts/1");

/// Why a milestone shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It is of a slot that is not after what is known.
    #[error("it is not later than what is known")]
    Old,
    /// What it shows is not what was signed.
    #[error("what it shows is not what was signed")]
    Events,
    /// Those who are known have not signed it.
    #[error("validators with more than 2/3 of the known stake have not signed it")]
    Strangers,
    /// Those who had to sign it have not.
    #[error("valid signatures of more than 2/3 of its own stake are missing")]
    Certificate,
    /// Nothing in it is of use.
    #[error("it shows neither validators nor a state")]
    Nothing,
    /// It comes after a checkpoint that has not been seen.
    #[error("the checkpoint comes before it")]
    Beyond,
    /// It stands where the checkpoint does, and is another one.
    #[error("it is not the checkpoint")]
    Other,
    /// The digests of the parts are not those of the state.
    #[error("its parts are not those that the log commits to")]
    Parts,
}

/// What the log commits to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The slot after which this was the state.
    pub height: Height,
    /// The digest of the head of that slot.
    pub head: Digest,
    /// The digest of the digests of the parts.
    pub parts: Digest,
    /// The bytes of the state.
    pub bytes: u64,
}

impl Parts {
    /// The parts of these bytes.
    #[must_use]
    pub fn of(state: &[u8]) -> Self {
        let digests = state.chunks(SNAPSHOT_PART_BYTES).map(Digest::of).collect();
        Self { bytes: state.len() as u64, digests }
    }

    /// Whether they are what the log commits to, and not too many.
    pub fn check(&self, committed: &Committed) -> Result<(), Doubt> {
        let count = self.bytes.div_ceil(SNAPSHOT_PART_BYTES as u64);
        let fits = self.bytes <= SNAPSHOT_BYTES_MAX && self.digests.len() as u64 == count;
        let is_it = self.bytes == committed.bytes && self.digest() == committed.parts;
        if fits && is_it { Ok(()) } else { Err(Doubt::Parts) }
    }

    /// How long a part is.
    #[must_use]
    pub fn length(&self, part: usize) -> usize {
        let before = (part as u64).saturating_mul(SNAPSHOT_PART_BYTES as u64);
        let rest = self.bytes.saturating_sub(before).min(SNAPSHOT_PART_BYTES as u64);
        usize::try_from(rest).unwrap_or(SNAPSHOT_PART_BYTES)
    }
}

impl Milestone {
    /// What a slot that did this shows, if it shows anything.
    #[must_use]
    pub fn of(slot: &Slot, events: &[Event]) -> Option<Self> {
        let event = events.iter().find(|event| event.is_milestone())?.clone();
        let (head, certificate) = (slot.head.clone(), slot.certificate.clone());
        Some(Self { head, certificate, event, all: events_digest(events) })
    }

    /// Where it is to be found, if it changes the set.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let Head { height, .. } = self.head;
        self.change().map(|_| Checkpoint { height, head: self.head.digest() })
    }

    /// Whether its head names what it shows.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        shown_root(&self.event, self.all) == self.head.events
    }

    /// The state that its slot commits to, if it does.
    #[must_use]
    pub fn committed(&self) -> Option<Committed> {
        let Event::Snapshot { parts, bytes } = self.event else { return None };
        let Head { height, .. } = self.head;
        Some(Committed { height, head: self.head.digest(), parts, bytes })
    }

    /// Who signed up to its slot and who signs from there on, if that is not the same.
    fn change(&self) -> Option<(&Set, &Set)> {
        match &self.event {
            Event::SetChanged { was, now } => Some((was, now)),
            _ => None,
        }
    }

    /// Whether the validators of a set have made it final.
    #[must_use]
    pub fn is_final(&self, network: NetworkId, validators: &Set) -> bool {
        self.certificate.holds(network, self.head.height, self.head.digest(), validators)
    }
}

impl Checkpoint {
    /// Whether a milestone is the one that it names: what makes its signatures count is its head.
    fn check(&self, milestone: &Milestone) -> Result<(), Doubt> {
        if milestone.head.height != self.height {
            return Err(Doubt::Beyond);
        }
        if milestone.head.digest() != self.head {
            return Err(Doubt::Other);
        }
        if milestone.is_shown() { Ok(()) } else { Err(Doubt::Events) }
    }
}

type Set = BTreeMap<PublicKey, Ohc>;

/// Who is believed: the validators after some slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    network: NetworkId,
    height: Height,
    validators: Set,
    checkpoint: Option<Checkpoint>,
}

impl Trust {
    /// In those who sign after this slot.
    #[must_use]
    pub const fn new(network: NetworkId, height: Height, validators: Set) -> Self {
        Self { network, height, validators, checkpoint: None }
    }

    /// The same, by way of a checkpoint if it is later: nothing after it is believed before it is.
    #[must_use]
    pub const fn by(mut self, checkpoint: Option<Checkpoint>) -> Self {
        self.checkpoint = checkpoint;
        self
    }

    /// The checkpoint, as long as it has not been seen.
    #[must_use]
    pub fn awaited(&self) -> Option<Checkpoint> {
        self.checkpoint.filter(|checkpoint| checkpoint.height > self.height)
    }

    /// After which slot they sign.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Who they are.
    #[must_use]
    pub const fn validators(&self) -> &Set {
        &self.validators
    }

    /// Believes the validators that a milestone shows.
    pub fn follow(&mut self, milestone: &Milestone) -> Result<(), Doubt> {
        let here = self.awaited().filter(|awaited| milestone.head.height >= awaited.height);
        match here {
            Some(checkpoint) => checkpoint.check(milestone)?,
            None => self.check(milestone)?,
        }
        let Some((was, now)) = milestone.change() else { return Err(Doubt::Nothing) };
        if (here.is_some() || was != &self.validators) && !milestone.is_final(self.network, was) {
            return Err(Doubt::Certificate);
        }
        (self.height, self.validators) = (milestone.head.height, now.clone());
        Ok(())
    }

    /// The state that a milestone shows. Whoever has it must still see that its own validators have
    /// signed the milestone: [`Milestone::is_final`].
    pub fn see(&self, milestone: &Milestone) -> Result<Committed, Doubt> {
        if self.awaited().is_some() {
            return Err(Doubt::Beyond);
        }
        self.check(milestone)?;
        milestone.committed().ok_or(Doubt::Nothing)
    }

    /// Whether those who are known, with more than 2/3 of the stake that they had, have signed a
    /// later slot, and this is what it shows.
    fn check(&self, milestone: &Milestone) -> Result<(), Doubt> {
        let Milestone { head, certificate, .. } = milestone;
        if head.height <= self.height {
            return Err(Doubt::Old);
        }
        if !milestone.is_shown() {
            return Err(Doubt::Events);
        }
        if certificate.signatures.len() > VALIDATORS_MAX {
            return Err(Doubt::Certificate);
        }
        // Who came since is no help here, and no harm.
        let signatures = certificate.signatures.iter();
        let known = signatures.filter(|(key, _)| self.validators.contains_key(key));
        let known = known.map(|(key, signature)| (*key, *signature)).collect();
        let known = Certificate { round: certificate.round, signatures: known };
        match known.holds(self.network, head.height, head.digest(), &self.validators) {
            true => Ok(()),
            false => Err(Doubt::Strangers),
        }
    }
}

#[cfg(test)]
mod tests;
