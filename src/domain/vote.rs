//! Votes: what validators sign to agree on a slot (Tendermint: Buchman, Kwon, Milosevic 2018), what
//! makes a slot final, and what proves that somebody said two things at once. Never decides when to
//! vote: `role::consensus` does.

use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Digest, canonical_enum, canonical_struct};
use crate::base::keys::{NetworkId, PublicKey, Signature, Signed};
use crate::base::limits::VALIDATORS_MAX;
use crate::base::time::Height;
use std::collections::BTreeMap;

/// Which of the two votes of a voting round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The proposal is good.
    Prevote,
    /// More than 2/3 say so.
    Precommit,
}
canonical_enum!(Kind { 1 => Prevote, 2 => Precommit });

/// One vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    /// Of which slot.
    pub height: Height,
    /// In which voting round, from 0.
    pub round: u32,
    /// Which of the two.
    pub kind: Kind,
    /// The digest of the head that is voted for; none says: nothing in this round.
    pub head: Option<Digest>,
}
canonical_struct!(Vote { height, round, kind, head } tag "ohc/vote/1");

/// What the proposer of a voting round signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// Of which slot.
    pub height: Height,
    /// In which voting round, from 0.
    pub round: u32,
    /// The digest of the head that is proposed.
    pub head: Digest,
    /// The earlier round in which more than 2/3 prevoted for it, if there was one.
    pub valid: Option<u32>,
}
canonical_struct!(Proposal { height, round, head, valid } tag "ohc/proposal/1");

/// What makes a slot final: precommits of one round, by validators with more than 2/3 of the stake.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Certificate {
    /// The round.
    pub round: u32,
    /// The signatures, ascending by key.
    pub signatures: BTreeMap<PublicKey, Signature>,
}
canonical_struct!(Certificate { round, signatures });

/// Says whether a validator has signed a vote.
pub type IsSigned<'a> = &'a dyn Fn(&PublicKey, &Vote, &Signature) -> bool;

impl Certificate {
    /// What each of the signatures is under.
    #[must_use]
    pub const fn vote(&self, height: Height, head: Digest) -> Vote {
        Vote { height, round: self.round, kind: Kind::Precommit, head: Some(head) }
    }

    /// Whether it makes the slot with this head final.
    #[must_use]
    pub fn holds(
        &self,
        network: NetworkId,
        height: Height,
        head: Digest,
        validators: &BTreeMap<PublicKey, Ohc>,
    ) -> bool {
        let is_signed = |key: &PublicKey, vote: &Vote, signature: &Signature| {
            key.verifies(network, vote, signature)
        };
        self.holds_by(height, head, validators, &is_signed)
    }

    /// The same, where somebody else says whether a vote is signed.
    #[must_use]
    pub fn holds_by(
        &self,
        height: Height,
        head: Digest,
        validators: &BTreeMap<PublicKey, Ohc>,
        is_signed: IsSigned<'_>,
    ) -> bool {
        let (vote, signatures) = (self.vote(height, head), &self.signatures);
        signatures.len() <= VALIDATORS_MAX
            && signatures.keys().all(|key| validators.contains_key(key))
            && is_quorum(signatures.keys(), validators)
            && signatures.iter().all(|(key, signature)| is_signed(key, &vote, signature))
    }
}

/// Two statements of one validator of which an honest one makes one at most.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// Two votes of one kind in one round.
    Votes {
        /// The one.
        one: Signed<Vote>,
        /// The other.
        other: Signed<Vote>,
    },
    /// Two proposals in one round.
    Proposals {
        /// The one.
        one: Signed<Proposal>,
        /// The other.
        other: Signed<Proposal>,
    },
}
canonical_enum!(Evidence {
    1 => Votes { one, other },
    2 => Proposals { one, other },
} tag "ohc/evidence/1");

impl Evidence {
    /// Who said both, and at which height: if it is true.
    #[must_use]
    pub fn proves(&self, network: NetworkId) -> Option<(PublicKey, Height)> {
        match self {
            Self::Votes { one, other } => {
                let of = |vote: &Vote| (vote.height, vote.round, vote.kind);
                let is_one = of(&one.body) == of(&other.body);
                (is_one && is_double(network, one, other)).then_some(one.body.height)
            }
            Self::Proposals { one, other } => {
                let of = |said: &Proposal| (said.height, said.round);
                let is_one = of(&one.body) == of(&other.body);
                (is_one && is_double(network, one, other)).then_some(one.body.height)
            }
        }
        .map(|height| (self.author(), height))
    }

    const fn author(&self) -> PublicKey {
        match self {
            Self::Votes { one, .. } => one.author,
            Self::Proposals { one, .. } => one.author,
        }
    }
}

fn is_double<T: Canonical + PartialEq>(
    network: NetworkId,
    one: &Signed<T>,
    other: &Signed<T>,
) -> bool {
    let holds = |said: &Signed<T>| said.author.verifies(network, &said.body, &said.signature);
    one.author == other.author && one.body != other.body && holds(one) && holds(other)
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
    use crate::base::keys::SecretKey;

    const HERE: NetworkId = NetworkId(Digest([1; 32]));

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn vote(who: u8, round: u32, head: Option<u8>) -> Signed<Vote> {
        let head = head.map(|n| Digest([n; 32]));
        key(who).seal(HERE, Vote { height: Height(3), round, kind: Kind::Prevote, head })
    }

    #[test]
    fn r6_two_votes_of_one_round_are_evidence_and_nothing_else_is() {
        let proves = |one, other| Evidence::Votes { one, other }.proves(HERE);
        let guilty = Some((key(1).public(), Height(3)));
        assert_eq!(proves(vote(1, 0, Some(7)), vote(1, 0, Some(8))), guilty);
        assert_eq!(proves(vote(1, 0, Some(7)), vote(1, 0, None)), guilty);
        assert_eq!(proves(vote(1, 0, Some(7)), vote(1, 0, Some(7))), None, "said twice");
        assert_eq!(proves(vote(1, 0, Some(7)), vote(1, 1, Some(8))), None, "in two rounds");
        assert_eq!(proves(vote(1, 0, Some(7)), vote(2, 0, Some(8))), None, "by two of them");
        let forged = Signed { author: key(1).public(), ..vote(2, 0, Some(8)) };
        assert_eq!(proves(vote(1, 0, Some(7)), forged), None, "not signed");
        let elsewhere = Evidence::Votes { one: vote(1, 0, Some(7)), other: vote(1, 0, Some(8)) };
        assert_eq!(elsewhere.proves(NetworkId(Digest([2; 32]))), None);
    }

    #[test]
    fn r6_two_proposals_of_one_round_are_evidence() {
        let propose = |n, valid| {
            let head = Digest([n; 32]);
            key(1).seal(HERE, Proposal { height: Height(3), round: 2, head, valid })
        };
        let proves = |one, other| Evidence::Proposals { one, other }.proves(HERE);
        assert_eq!(proves(propose(1, None), propose(2, None)), Some((key(1).public(), Height(3))));
        assert_eq!(proves(propose(1, None), propose(1, None)), None);
    }

    #[test]
    fn r7_a_certificate_needs_precommits_of_its_round_and_of_its_head() {
        let ohc = Ohc::from_nano(40_000);
        let set: BTreeMap<_, _> = (1..=4).map(|n| (key(n).public(), ohc)).collect();
        let (height, head) = (Height(9), Digest([5; 32]));
        let sign = |vote: Vote, who: &[u8]| {
            who.iter().map(|n| (key(*n).public(), key(*n).sign(HERE, &vote))).collect()
        };
        let precommit = Vote { height, round: 1, kind: Kind::Precommit, head: Some(head) };
        let holds = |vote, who: &[u8]| {
            Certificate { round: 1, signatures: sign(vote, who) }.holds(HERE, height, head, &set)
        };
        assert!(holds(precommit, &[1, 2, 3]));
        assert!(!holds(precommit, &[1, 2]), "two of four");
        assert!(!holds(precommit, &[1, 2, 3, 9]), "a stranger");
        assert!(!holds(Vote { kind: Kind::Prevote, ..precommit }, &[1, 2, 3]));
        assert!(!holds(Vote { round: 0, ..precommit }, &[1, 2, 3]));
        assert!(!holds(Vote { head: None, ..precommit }, &[1, 2, 3]));
    }

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
