//! What validators say to one another, and what one of them writes down so that it says nothing
//! else after a crash. Never checks a signature.

use super::context::{Ballot, Candidate, Offer, Slots};
use crate::base::canon::{Digest, canonical_enum, canonical_struct};
use crate::base::keys::{PublicKey, Signature, Signed};
use crate::base::limits::VALIDATORS_MAX;
use crate::base::time::Height;
use crate::domain::slot::Slot;
use crate::domain::vote::{Kind, Proposal, Vote};
use malachite::{Input, LivenessMsg, ProposedValue, SignedConsensusMsg};
use malachite_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType,
    RoundSignature, SignedMessage, SignedProposal, SignedVote, Timeout, TimeoutKind, Validity,
    ValueOrigin,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A message from one validator to all others.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// A slot is proposed.
    Proposal {
        /// Who proposes which head, in which round.
        proposal: Signed<Proposal>,
        /// The slot, without a certificate.
        slot: Arc<Slot>,
    },
    /// A vote is cast.
    Vote(Signed<Vote>),
    /// More than 2/3 prevoted for one head.
    Polka(Polka),
    /// A round is over, or was overtaken.
    Passed(Passed),
}
canonical_enum!(Message {
    1 => Proposal { proposal, slot },
    2 => Vote(x),
    3 => Polka(x),
    4 => Passed(x),
} tag "ohc/consensus/1");

/// Prevotes of more than 2/3 of the stake for one head in one round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Polka {
    /// Of which slot.
    pub height: Height,
    /// In which round.
    pub round: u32,
    /// The digest of the head.
    pub head: Digest,
    /// The signatures, ascending by key.
    pub signatures: BTreeMap<PublicKey, Signature>,
}
canonical_struct!(Polka { height, round, head, signatures });

/// Votes that let others leave a round: precommits of more than 2/3 of the stake, or any votes of
/// more than 1/3 in a later round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Of which slot.
    pub height: Height,
    /// The round of the votes.
    pub round: u32,
    /// Whether it was overtaken: else it is over.
    pub is_overtaken: bool,
    /// The votes, one for each validator.
    pub votes: Vec<Signed<Vote>>,
}
canonical_struct!(Passed { height, round, is_overtaken, votes });

impl Message {
    /// The slot that it is about.
    #[must_use]
    pub fn height(&self) -> Height {
        match self {
            Self::Proposal { proposal, .. } => proposal.body.height,
            Self::Vote(vote) => vote.body.height,
            Self::Polka(polka) => polka.height,
            Self::Passed(passed) => passed.height,
        }
    }

    /// Whether it holds no more than validators ever say at once.
    pub(super) fn is_bounded(&self) -> bool {
        match self {
            Self::Proposal { .. } | Self::Vote(_) => true,
            Self::Polka(polka) => polka.signatures.len() <= VALIDATORS_MAX,
            Self::Passed(passed) => passed.votes.len() <= VALIDATORS_MAX,
        }
    }
}

/// What a validator has taken in or said at the height that it is at, in its order. All of it,
/// taken in again, leads to the same votes.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// A slot that was found to be sound; the entries that follow name it.
    Slot(Arc<Slot>),
    /// A proposal of it.
    Proposal(Signed<Proposal>),
    /// A vote.
    Vote(Signed<Vote>),
    /// A polka.
    Polka(Polka),
    /// The time for a step of a round was over.
    Timeout {
        /// Which step: 1 propose, 2 prevote, 3 precommit.
        step: u8,
        /// The round.
        round: u32,
    },
    /// What this validator means to propose.
    Mine {
        /// The round.
        round: u32,
        /// The digest of the head.
        head: Digest,
    },
}
canonical_enum!(Entry {
    1 => Slot(x),
    2 => Proposal(x),
    3 => Vote(x),
    4 => Polka(x),
    5 => Timeout { step, round },
    6 => Mine { round, head },
} tag "ohc/vote-journal/1");

const STEPS: [(u8, TimeoutKind); 3] =
    [(1, TimeoutKind::Propose), (2, TimeoutKind::Prevote), (3, TimeoutKind::Precommit)];

pub(super) fn vote_in(vote: Signed<Vote>) -> SignedVote<Slots> {
    SignedMessage::new(Ballot::new(vote.author, vote.body), vote.signature)
}

pub(super) fn vote_out(vote: &SignedVote<Slots>) -> Signed<Vote> {
    let (author, body) = (vote.message.author, vote.message.vote());
    Signed { author, body, signature: vote.signature }
}

fn proposal_in(proposal: &Signed<Proposal>, slot: Arc<Slot>) -> SignedProposal<Slots> {
    let Proposal { height, round, valid, .. } = proposal.body;
    let candidate = Candidate::new(slot);
    let offer = Offer { author: proposal.author, height, round, candidate, valid };
    SignedMessage::new(offer, proposal.signature)
}

pub(super) fn proposal_out(offer: &SignedProposal<Slots>) -> Signed<Proposal> {
    let (author, body) = (offer.message.author, offer.message.proposal());
    Signed { author, body, signature: offer.signature }
}

fn polka_in(polka: Polka) -> PolkaCertificate<Slots> {
    let signature = |(key, signature)| PolkaSignature::new(key, signature);
    PolkaCertificate {
        height: polka.height,
        round: Round::new(polka.round),
        value_id: polka.head,
        polka_signatures: polka.signatures.into_iter().map(signature).collect(),
    }
}

pub(super) fn polka_out(polka: &PolkaCertificate<Slots>) -> Polka {
    let signature = |of: &PolkaSignature<Slots>| (of.address, of.signature);
    Polka {
        height: polka.height,
        round: polka.round.as_u32().unwrap_or(0),
        head: polka.value_id,
        signatures: polka.polka_signatures.iter().map(signature).collect(),
    }
}

fn passed_in(passed: Passed) -> RoundCertificate<Slots> {
    let signature = |vote: Signed<Vote>| {
        let ballot = vote_in(vote);
        let (kind, head) = {
            use malachite_types::Vote as _;
            (ballot.message.vote_type(), *ballot.message.value())
        };
        RoundSignature::new(kind, head, ballot.message.author, ballot.signature)
    };
    RoundCertificate {
        height: passed.height,
        round: Round::new(passed.round),
        cert_type: match passed.is_overtaken {
            true => RoundCertificateType::Skip,
            false => RoundCertificateType::Precommit,
        },
        round_signatures: passed.votes.into_iter().map(signature).collect(),
    }
}

pub(super) fn passed_out(passed: &RoundCertificate<Slots>) -> Passed {
    let (height, round) = (passed.height, passed.round.as_u32().unwrap_or(0));
    let votes = passed.round_signatures.iter();
    let votes = votes.map(|of| round_vote(height, round, of)).collect();
    let is_overtaken = passed.cert_type == RoundCertificateType::Skip;
    Passed { height, round, is_overtaken, votes }
}

/// The vote that a signature of a round certificate is under.
fn round_vote(height: Height, round: u32, of: &RoundSignature<Slots>) -> Signed<Vote> {
    let kind = match of.vote_type {
        malachite_types::VoteType::Prevote => Kind::Prevote,
        malachite_types::VoteType::Precommit => Kind::Precommit,
    };
    let head = match of.value_id {
        NilOrVal::Nil => None,
        NilOrVal::Val(head) => Some(head),
    };
    let body = Vote { height, round, kind, head };
    Signed { author: of.address, body, signature: of.signature }
}

impl From<&SignedConsensusMsg<Slots>> for Message {
    fn from(said: &SignedConsensusMsg<Slots>) -> Self {
        match said {
            SignedConsensusMsg::Vote(vote) => Self::Vote(vote_out(vote)),
            SignedConsensusMsg::Proposal(offer) => {
                let slot = offer.message.candidate.slot.clone();
                Self::Proposal { proposal: proposal_out(offer), slot }
            }
        }
    }
}

impl From<&LivenessMsg<Slots>> for Message {
    fn from(said: &LivenessMsg<Slots>) -> Self {
        match said {
            LivenessMsg::Vote(vote) => Self::Vote(vote_out(vote)),
            LivenessMsg::PolkaCertificate(polka) => Self::Polka(polka_out(polka)),
            LivenessMsg::SkipRoundCertificate(passed) => Self::Passed(passed_out(passed)),
        }
    }
}

impl From<&SignedVote<Slots>> for Message {
    fn from(vote: &SignedVote<Slots>) -> Self {
        Self::Vote(vote_out(vote))
    }
}

impl From<Message> for Input<Slots> {
    fn from(said: Message) -> Self {
        match said {
            Message::Proposal { proposal, slot } => Self::Proposal(proposal_in(&proposal, slot)),
            Message::Vote(vote) => Self::Vote(vote_in(vote)),
            Message::Polka(polka) => Self::PolkaCertificate(polka_in(polka)),
            Message::Passed(passed) => Self::RoundCertificate(passed_in(passed)),
        }
    }
}

impl Entry {
    /// What is to be written down of an input, and the slot that it needs.
    pub(super) fn of(input: &Input<Slots>) -> Option<(Self, Option<Arc<Slot>>)> {
        match input {
            Input::Vote(vote) => Some((Self::Vote(vote_out(vote)), None)),
            Input::Proposal(offer) => {
                let slot = offer.message.candidate.slot.clone();
                Some((Self::Proposal(proposal_out(offer)), Some(slot)))
            }
            Input::PolkaCertificate(polka) => Some((Self::Polka(polka_out(polka)), None)),
            Input::TimeoutElapsed(timeout) => {
                let (step, _) = STEPS.iter().find(|(_, kind)| *kind == timeout.kind)?;
                let round = timeout.round.as_u32()?;
                Some((Self::Timeout { step: *step, round }, None))
            }
            Input::ProposedValue(value, _) => {
                let slot = value.value.slot.clone();
                let (round, head) =
                    (value.round.as_u32()?, malachite_types::Value::id(&value.value));
                Some((Self::Mine { round, head }, Some(slot)))
            }
            Input::StartHeight(..)
            | Input::RoundCertificate(_)
            | Input::Propose(_)
            | Input::SyncValueResponse(_) => None,
        }
    }

    /// The input that was written down; none for a slot, which is kept for those that follow.
    pub(super) fn input(
        self,
        me: PublicKey,
        slots: &mut BTreeMap<Digest, Arc<Slot>>,
    ) -> Option<Input<Slots>> {
        match self {
            Self::Slot(slot) => {
                slots.insert(crate::base::canon::Canonical::digest(&slot.head), slot);
                None
            }
            Self::Proposal(proposal) => {
                let slot = slots.get(&proposal.body.head)?.clone();
                Some(Input::Proposal(proposal_in(&proposal, slot)))
            }
            Self::Vote(vote) => Some(Input::Vote(vote_in(vote))),
            Self::Polka(polka) => Some(Input::PolkaCertificate(polka_in(polka))),
            Self::Timeout { step, round } => {
                let (_, kind) = *STEPS.iter().find(|(n, _)| *n == step)?;
                Some(Input::TimeoutElapsed(Timeout::new(Round::new(round), kind)))
            }
            Self::Mine { round, head } => {
                let slot = slots.get(&head)?.clone();
                let value = ProposedValue {
                    height: slot.head.height,
                    round: Round::new(round),
                    valid_round: Round::Nil,
                    proposer: me,
                    value: Candidate::new(slot),
                    validity: Validity::Valid,
                };
                Some(Input::ProposedValue(value, ValueOrigin::Consensus))
            }
        }
    }
}
