//! Slots: the pages of the log. A slot holds what cannot be derived: commands, their order, the
//! Proof-of-History segment, and the signatures of the validators under what the fold made of it.
//! Never says what the commands do.

use super::command::SignedOrder;
use super::poh::Entry;
use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Digest, Encode, Writer, canonical_struct};
use crate::base::keys::{NetworkId, PublicKey, Signature};
use crate::base::limits::VALIDATORS_MAX;
use crate::base::time::Height;
use std::collections::BTreeMap;

/// What a slot proposes, before the fold has run it and validators have signed it.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// Its number.
    pub height: Height,
    /// Who proposes it.
    pub proposer: PublicKey,
    /// The chain from the end of the slot before to the mix-in of these commands.
    pub poh: Vec<Entry>,
    /// The commands, in the order in which they are applied.
    pub commands: Vec<SignedOrder>,
}

/// What validators sign: small, and bound to everything in the slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of the slot.
    pub height: Height,
    /// The digest of the head before; of the genesis for the first.
    pub parent: Digest,
    /// Who proposed it.
    pub proposer: PublicKey,
    /// The digest of the Proof-of-History entries.
    pub poh: Digest,
    /// The digest of the commands, which is also what the segment mixes in.
    pub commands: Digest,
    /// The digest of the events that the fold derived.
    pub events: Digest,
}
canonical_struct!(Head { height, parent, proposer, poh, commands, events } tag "ohc/head/1");

/// One agreed page of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Slot {
    /// What was signed.
    pub head: Head,
    /// The Proof-of-History segment.
    pub poh: Vec<Entry>,
    /// The commands.
    pub commands: Vec<SignedOrder>,
    /// Signatures over the head, ascending by key.
    pub certificate: BTreeMap<PublicKey, Signature>,
}
canonical_struct!(Slot { head, poh, commands, certificate } tag "ohc/slot/1");

struct Commands<'a>(&'a [SignedOrder]);

impl Encode for Commands<'_> {
    fn encode(&self, w: &mut Writer) {
        self.0.encode(w);
    }
}

impl Canonical for Commands<'_> {
    const TAG: &'static str = "ohc/commands/1";
}

struct Segment<'a>(&'a [Entry]);

impl Encode for Segment<'_> {
    fn encode(&self, w: &mut Writer) {
        self.0.encode(w);
    }
}

impl Canonical for Segment<'_> {
    const TAG: &'static str = "ohc/poh-segment/1";
}

/// The digest of commands in their order: what a Proof-of-History segment mixes in.
#[must_use]
pub fn commands_root(commands: &[SignedOrder]) -> Digest {
    Commands(commands).digest()
}

impl Draft {
    /// The head of this draft, once the fold has derived its events.
    #[must_use]
    pub fn head(&self, parent: Digest, events: Digest) -> Head {
        Head {
            height: self.height,
            parent,
            proposer: self.proposer,
            poh: Segment(&self.poh).digest(),
            commands: commands_root(&self.commands),
            events,
        }
    }
}

/// Why a slot is not a page of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// The head does not name the slot before it.
    #[error("it does not follow the slot before it")]
    Parent,
    /// The commands are not those that were signed.
    #[error("its commands are not those that were signed")]
    Commands,
    /// The Proof-of-History entries are not those that were signed.
    #[error("its Proof-of-History is not the one that was signed")]
    Poh,
    /// The Proof-of-History does not end with the mix-in of the commands.
    #[error("its Proof-of-History does not end with its commands")]
    Mixin,
    /// Signatures of more than 2/3 of the stake are missing.
    #[error("valid signatures of more than 2/3 of the stake are missing")]
    Certificate,
}

impl Slot {
    /// Checks everything that needs neither the fold nor the hashing of the chain: the slot
    /// follows `parent`, holds what its head says, and is certified by the validators.
    pub fn check(
        &self,
        network: NetworkId,
        parent: Digest,
        validators: &BTreeMap<PublicKey, Ohc>,
    ) -> Result<(), SlotError> {
        if self.head.parent != parent {
            return Err(SlotError::Parent);
        }
        if self.head.commands != commands_root(&self.commands) {
            return Err(SlotError::Commands);
        }
        if self.head.poh != Segment(&self.poh).digest() {
            return Err(SlotError::Poh);
        }
        let mixins = self.poh.iter().filter(|entry| entry.mixin.is_some()).count();
        if mixins != 1 || self.poh.last().and_then(|e| e.mixin) != Some(self.head.commands) {
            return Err(SlotError::Mixin);
        }
        let known = |key: &PublicKey| validators.contains_key(key);
        if self.certificate.len() > VALIDATORS_MAX || !self.certificate.keys().all(known) {
            return Err(SlotError::Certificate);
        }
        let holds = |(key, sig): (&PublicKey, &Signature)| key.verifies(network, &self.head, sig);
        if self.certificate.iter().all(holds) && is_quorum(self.certificate.keys(), validators) {
            Ok(())
        } else {
            Err(SlotError::Certificate)
        }
    }
}

/// Whether these validators hold more than 2/3 of the stake: written once, for certificates and
/// verdicts alike. Strictly more: exactly 2/3 is not a quorum.
pub fn is_quorum<'a>(
    voters: impl IntoIterator<Item = &'a PublicKey>,
    validators: &BTreeMap<PublicKey, Ohc>,
) -> bool {
    let stake = |key: &PublicKey| validators.get(key).map_or(0, |s| u128::from(s.nano()));
    let total: u128 = validators.values().map(|stake| u128::from(stake.nano())).sum();
    let voted: u128 = voters.into_iter().map(stake).sum();
    voted * 3 > total * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_strictly_more_than_two_thirds_of_the_stake() {
        let key = |n: u8| PublicKey([n; 32]);
        let set: BTreeMap<_, _> = (1..=4).map(|n| (key(n), Ohc::from_nano(40_000))).collect();
        assert!(!is_quorum([&key(1), &key(2)], &set));
        assert!(is_quorum([&key(1), &key(2), &key(3)], &set));
        assert!(!is_quorum([&key(9)], &set), "a stranger has no stake");
        let three: BTreeMap<_, _> = (1..=3).map(|n| (key(n), Ohc::from_nano(40_000))).collect();
        assert!(!is_quorum([&key(1), &key(2)], &three), "exactly 2/3 is not more than 2/3");
    }
}
