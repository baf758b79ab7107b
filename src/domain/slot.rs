//! Slots: the pages of the log. A slot holds what cannot be derived: commands, their order, the
//! Proof-of-History segment, and the signatures of the validators under what the fold made of it.
//! Never says what the commands do.

use super::command::SignedOrder;
use super::poh::Entry;
use super::vote::{Certificate, IsSigned, Vote};
use crate::base::amount::Ohc;
use crate::base::canon::{
    Canonical, Decode as _, Digest, Encode, Reader, Writer, canonical_struct,
};
use crate::base::keys::{NetworkId, PublicKey, Signature};
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

/// What validators vote for: small, and bound to everything in the slot.
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
    /// What was voted for.
    pub head: Head,
    /// The Proof-of-History segment.
    pub poh: Vec<Entry>,
    /// The commands.
    pub commands: Vec<SignedOrder>,
    /// What makes it final.
    pub certificate: Certificate,
}
canonical_struct!(Slot { head, poh, commands, certificate } tag "ohc/slot/2");

impl Head {
    /// The head that the bytes of a slot begin with: the rest of them may be no slot.
    #[must_use]
    pub fn of_bytes(slot: &[u8]) -> Option<Self> {
        Self::decode(&mut Reader::new(slot)).ok()
    }
}

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
        self.check_content(parent)?;
        let is_signed = |key: &PublicKey, vote: &Vote, signature: &Signature| {
            key.verifies(network, vote, signature)
        };
        self.check_certificate(validators, &is_signed)
    }

    /// How much time it counts.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.poh.iter().filter(|entry| entry.mixin.is_none()).count() as u64
    }

    /// Checks that it follows `parent` and holds what its head says. Whether the chain is hashed
    /// right, the commands are signed and the events are these is not looked at.
    pub fn check_content(&self, parent: Digest) -> Result<(), SlotError> {
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
        Ok(())
    }

    /// Checks that the validators have made it final; `is_signed` says whether one of them has
    /// signed a vote.
    pub fn check_certificate(
        &self,
        validators: &BTreeMap<PublicKey, Ohc>,
        is_signed: IsSigned<'_>,
    ) -> Result<(), SlotError> {
        let (height, head) = (self.head.height, self.head.digest());
        let is_final = self.certificate.holds_by(height, head, validators, is_signed);
        if is_final { Ok(()) } else { Err(SlotError::Certificate) }
    }
}
