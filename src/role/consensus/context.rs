//! The types that Malachite asks for, over ours: who votes, about what, and whose turn it is.
//! Never decides anything.

use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Digest};
use crate::base::keys::{PublicKey, Signature};
use crate::base::time::Height;
use crate::domain::slot::Slot;
use crate::domain::vote::{self, Kind};
use malachite_types::{
    self as types, LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType, VotingPower,
};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What agreement is about: the slots of one network.
#[derive(Clone, Debug)]
pub(super) struct Slots;

/// Ed25519, as `base::keys` has it. Signing and checking are effects, so nothing is done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ed25519;

impl types::Address for PublicKey {}

impl types::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A slot that somebody proposes: it has no certificate yet, and its id is its head's digest.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) slot: Arc<Slot>,
    id: Digest,
}

impl Candidate {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        let id = slot.head.digest();
        Self { slot, id }
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl types::Value for Candidate {
    type Id = Digest;

    fn id(&self) -> Digest {
        self.id
    }
}

/// A vote and who casts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) author: PublicKey,
    pub(super) height: Height,
    pub(super) round: u32,
    pub(super) kind: Kind,
    head: NilOrVal<Digest>,
}

impl Ballot {
    pub(super) fn new(author: PublicKey, vote: vote::Vote) -> Self {
        let vote::Vote { height, round, kind, head } = vote;
        Self { author, height, round, kind, head: head.map_or(NilOrVal::Nil, NilOrVal::Val) }
    }

    /// What is signed.
    pub(super) fn vote(&self) -> vote::Vote {
        let head = match self.head {
            NilOrVal::Nil => None,
            NilOrVal::Val(head) => Some(head),
        };
        vote::Vote { height: self.height, round: self.round, kind: self.kind, head }
    }
}

impl types::Vote<Slots> for Ballot {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        Round::new(self.round)
    }

    fn value(&self) -> &NilOrVal<Digest> {
        &self.head
    }

    fn take_value(self) -> NilOrVal<Digest> {
        self.head
    }

    fn vote_type(&self) -> VoteType {
        match self.kind {
            Kind::Prevote => VoteType::Prevote,
            Kind::Precommit => VoteType::Precommit,
        }
    }

    fn validator_address(&self) -> &PublicKey {
        &self.author
    }

    fn extension(&self) -> Option<&SignedExtension<Slots>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Slots>> {
        None
    }

    fn extend(self, _: SignedExtension<Slots>) -> Self {
        self
    }
}

/// A proposal and who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) author: PublicKey,
    pub(super) height: Height,
    pub(super) round: u32,
    pub(super) candidate: Candidate,
    pub(super) valid: Option<u32>,
}

impl Offer {
    /// What is signed.
    pub(super) fn proposal(&self) -> vote::Proposal {
        let (height, round, valid) = (self.height, self.round, self.valid);
        vote::Proposal { height, round, head: self.candidate.id, valid }
    }
}

impl types::Proposal<Slots> for Offer {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        Round::new(self.round)
    }

    fn value(&self) -> &Candidate {
        &self.candidate
    }

    fn take_value(self) -> Candidate {
        self.candidate
    }

    fn pol_round(&self) -> Round {
        self.valid.map_or(Round::Nil, Round::new)
    }

    fn validator_address(&self) -> &PublicKey {
        &self.author
    }
}

/// Proposals are sent whole: there are no parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {}

impl types::ProposalPart<Slots> for Part {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

/// A validator and its weight: its stake in nano-OhC. All stakes together are at most the supply,
/// so thrice their sum fits (Malachite multiplies it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voter {
    key: PublicKey,
    stake: VotingPower,
}

impl types::Validator<Slots> for Voter {
    fn address(&self) -> &PublicKey {
        &self.key
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        self.stake
    }
}

/// The validators of a height, ascending by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voters(Arc<Vec<Voter>>);

impl Voters {
    pub(super) fn new(validators: &BTreeMap<PublicKey, Ohc>) -> Self {
        let voter = |(key, stake): (&PublicKey, &Ohc)| Voter { key: *key, stake: stake.nano() };
        Self(Arc::new(validators.iter().map(voter).collect()))
    }
}

impl types::ValidatorSet<Slots> for Voters {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.0.iter().map(|voter| voter.stake).sum()
    }

    fn get_by_address(&self, address: &PublicKey) -> Option<&Voter> {
        let index = self.0.binary_search_by_key(address, |voter| voter.key).ok()?;
        self.0.get(index)
    }

    fn get_by_index(&self, index: usize) -> Option<&Voter> {
        self.0.get(index)
    }
}

impl types::SigningScheme for Ed25519 {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = ();

    fn decode_signature(_: &[u8]) -> Result<Signature, &'static str> {
        Err("signatures are read by `base::canon`")
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        crate::base::canon::Encode::to_bytes(signature)
    }

    fn decode_public_key(_: &[u8]) -> Result<PublicKey, &'static str> {
        Err("keys are read by `base::canon`")
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

impl types::Context for Slots {
    type Address = PublicKey;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Offer;
    type Validator = Voter;
    type ValidatorSet = Voters;
    type Timeouts = LinearTimeouts;
    type Value = Candidate;
    type Vote = Ballot;
    type Extension = ();
    type SigningScheme = Ed25519;

    /// By stake, from the number of the slot, which nobody can choose; each further round is the
    /// next validator's, so that nobody who is away is asked twice before all others were.
    fn select_proposer<'a>(&self, voters: &'a Voters, height: Height, round: Round) -> &'a Voter {
        let total = types::ValidatorSet::total_voting_power(voters).max(1);
        let roll = Digest::of(&height.0.to_le_bytes());
        let mut roll = roll.0.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight)) % total;
        let first = voters.0.iter().position(|voter| {
            let is_it = roll < voter.stake;
            roll = roll.saturating_sub(voter.stake);
            is_it
        });
        let turn = first.unwrap_or(0) + round.as_u32().unwrap_or(0) as usize;
        let chosen = voters.0.get(turn % voters.0.len().max(1));
        // A network always has a validator: the genesis and every change of the set say so.
        chosen.unwrap_or_else(|| unreachable!("a network without validators"))
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        candidate: Candidate,
        valid: Round,
        author: PublicKey,
    ) -> Offer {
        let (round, valid) = (round.as_u32().unwrap_or(0), valid.as_u32());
        Offer { author, height, round, candidate, valid }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        head: NilOrVal<Digest>,
        author: PublicKey,
    ) -> Ballot {
        let round = round.as_u32().unwrap_or(0);
        Ballot { author, height, round, kind: Kind::Prevote, head }
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        head: NilOrVal<Digest>,
        author: PublicKey,
    ) -> Ballot {
        let round = round.as_u32().unwrap_or(0);
        Ballot { author, height, round, kind: Kind::Precommit, head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::keys::SecretKey;
    use types::Context as _;

    /// Four validators with one to four shares of the stake propose as often as that, each height
    /// by itself; a round that comes to nothing is followed by that of the next validator.
    #[test]
    fn who_has_more_stake_proposes_more_often_and_rounds_go_around() {
        let share = |n: u8| {
            let stake = Ohc::from_whole(40_000 * u64::from(n)).unwrap();
            (SecretKey::from_bytes(&[n; 32]).public(), stake)
        };
        let stakes: BTreeMap<PublicKey, Ohc> = (1..=4).map(share).collect();
        let voters = Voters::new(&stakes);
        let turn =
            |height, round| Slots.select_proposer(&voters, Height(height), Round::new(round)).key;
        let mut counts: BTreeMap<PublicKey, u32> = BTreeMap::new();
        for height in 0..10_000 {
            *counts.entry(turn(height, 0)).or_default() += 1;
        }
        for (key, stake) in &stakes {
            let expect = (stake.nano() / 40_000_000_000_000) as u32 * 1_000;
            assert!(counts[key].abs_diff(expect) < 150, "{counts:?}");
        }
        let around: std::collections::BTreeSet<_> = (0..4).map(|round| turn(7, round)).collect();
        assert_eq!((around.len(), turn(7, 4)), (4, turn(7, 0)));
    }
}
