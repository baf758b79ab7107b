//! The hands of agreement: what Malachite wants done, done with our types. Signs nothing that
//! contradicts what it has signed, and lets nothing out before it is written down.

use super::context::{Ballot, Offer, Slots, Voters};
use super::message::{Entry, Message, proposal_out, vote_in};
use super::{Output, message};
use crate::base::canon::{Canonical, Digest};
use crate::base::keys::{NetworkId, PublicKey, SecretKey, Signature, Signed};
use crate::base::time::{Height, Millis};
use crate::domain::slot::Slot;
use crate::domain::vote::{Certificate, Evidence, Kind, Proposal, Vote};
use crate::role::Verifiers;
use malachite::{ConsensusMsg, Effect, Input, MisbehaviorEvidence, Resumable as _, Resume};
use malachite_types::{
    CertificateError, CommitCertificate, LinearTimeouts, RoundCertificateType, SignedMessage,
    ThresholdParam, ThresholdParams, Timeout, TimeoutKind, Validator as _, ValidatorSet as _,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What votes are for.
type Ballots = (u32, Kind, Option<Digest>);

/// What was said at this height, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The round in which it is this validator's turn to propose.
    pub(super) turn: Option<u32>,
    /// Whether it takes in what it had written down.
    pub(super) is_replaying: bool,
    /// What it has signed.
    votes: BTreeMap<(u32, Kind), Option<Digest>>,
    proposals: BTreeMap<u32, (Digest, Option<u32>)>,
    /// Votes whose signatures hold, by what is voted for.
    sound: BTreeMap<Ballots, BTreeMap<PublicKey, Signature>>,
    /// The last proposal whose signature was checked before its slot was looked at.
    pub(super) heard: Option<Signed<Proposal>>,
    /// What is to be written down before anything is sent.
    unwritten: Vec<Entry>,
    /// Slots that are written down.
    written: BTreeSet<Digest>,
    timers: Vec<(Millis, Timeout)>,
}

impl Said {
    pub(super) fn has_proposed(&self, round: u32) -> bool {
        self.proposals.contains_key(&round)
    }

    /// Takes out the time-outs that are over, in their order.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Timeout> {
        let mut due: Vec<_> = self.timers.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, timeout)| timeout).collect()
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.timers.iter().map(|(at, _)| *at).min()
    }
}

/// Everything that an effect may touch.
pub(super) struct Hands<'a> {
    pub(super) key: &'a SecretKey,
    pub(super) verifiers: &'a Verifiers,
    pub(super) network: NetworkId,
    pub(super) now: Millis,
    pub(super) timeouts: LinearTimeouts,
    pub(super) sound: &'a BTreeMap<Digest, Arc<Slot>>,
    pub(super) said: &'a mut Said,
    pub(super) out: &'a mut Vec<Output>,
}

/// The height that an input is about, if it is about one.
pub(super) fn height_of(input: &Input<Slots>) -> Option<Height> {
    match input {
        Input::Vote(vote) => Some(vote.message.height),
        Input::Proposal(offer) => Some(offer.message.height),
        Input::PolkaCertificate(polka) => Some(polka.height),
        Input::ProposedValue(value, _) => Some(value.height),
        _ => None,
    }
}

impl Hands<'_> {
    pub(super) fn perform(&mut self, effect: Effect<Slots>) -> Resume<Slots> {
        match effect {
            Effect::CancelAllTimeouts(r) => {
                self.said.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.said.timers.retain(|(_, other)| *other != timeout);
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                let wait = match timeout.kind {
                    // The core would have it grow with the round.
                    TimeoutKind::Rebroadcast => self.timeouts.rebroadcast,
                    _ => self.timeouts.duration_for(timeout),
                };
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.said.timers.retain(|(_, other)| *other != timeout);
                self.said.timers.push((self.now.after(wait), timeout));
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(said, r) => {
                self.send((&said).into());
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(said, r) => {
                self.send((&said).into());
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                self.send((&vote).into());
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(passed, r) => {
                self.send(Message::Passed(message::passed_out(&passed)));
                r.resume_with(())
            }
            Effect::GetValue(_, round, _, r) => {
                self.said.turn = round.as_u32();
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                self.decide(&certificate);
                r.resume_with(())
            }
            Effect::Finalize(_, _, evidence, r) => {
                self.accuse(evidence);
                r.resume_with(())
            }
            Effect::VerifySignature(said, key, r) => r.resume_with(self.is_signed(&said, &key)),
            Effect::SignVote(ballot, r) => r.resume_with(self.sign_vote(ballot)),
            Effect::SignProposal(offer, r) => r.resume_with(self.sign_proposal(offer)),
            Effect::WalAppend(_, input, r) => {
                self.note(&input);
                r.resume_with(())
            }
            Effect::StartRound(_, _, _, _, r)
            | Effect::RestreamProposal(_, _, _, _, _, r)
            | Effect::CertVerifiedSyncValue(_, _, r)
            | Effect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            check => self.verify(check),
        }
    }

    /// The effects that ask whether something holds.
    fn verify(&self, effect: Effect<Slots>) -> Resume<Slots> {
        match effect {
            Effect::VerifyCommitCertificate(certificate, voters, params, r) => {
                r.resume_with(self.check_commit(&certificate, &voters, params))
            }
            Effect::VerifyPolkaCertificate(polka, voters, params, r) => {
                let votes = polka.votes(&Slots).map(|vote| (vote.message, vote.signature));
                r.resume_with(self.check(votes, &voters, params.quorum))
            }
            Effect::VerifyRoundCertificate(passed, voters, params, r) => {
                r.resume_with(self.check_passed(&passed, &voters, params))
            }
            // Nothing is synchronised or extended through the core.
            Effect::VerifyExtendedCommitCertificate(_, _, _, _, r) => r.resume_with(refused()),
            Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => r.resume_with(Ok(())),
            _ => Resume::Continue,
        }
    }

    /// Sends a message, after what led to it is written down. While the journal is taken in again
    /// it has been sent before.
    fn send(&mut self, message: Message) {
        if self.said.is_replaying {
            return;
        }
        if !self.said.unwritten.is_empty() {
            self.out.push(Output::Record(std::mem::take(&mut self.said.unwritten)));
        }
        self.out.push(Output::Send(message));
    }

    fn note(&mut self, input: &Input<Slots>) {
        let Some((entry, slot)) = Entry::of(input) else { return };
        if let Some(slot) = slot {
            let head = slot.head.digest();
            if self.said.written.insert(head) && !self.said.is_replaying {
                self.said.unwritten.push(Entry::Slot(slot));
            }
        }
        match &entry {
            _ if !self.said.is_replaying => self.said.unwritten.push(entry),
            Entry::Proposal(own) if own.author == self.key.public() => {
                self.said.proposals.insert(own.body.round, (own.body.head, own.body.valid));
            }
            _ => {}
        }
    }

    fn sign_vote(&mut self, ballot: Ballot) -> malachite_types::SignedVote<Slots> {
        let vote = ballot.vote();
        let before = self.said.votes.insert((vote.round, vote.kind), vote.head);
        assert!(before.is_none_or(|head| head == vote.head), "R-6: {vote:?} after {before:?}");
        let signed = self.key.seal(self.network, vote);
        self.remember(&vote, signed.author, signed.signature);
        vote_in(signed)
    }

    fn sign_proposal(&mut self, offer: Offer) -> malachite_types::SignedProposal<Slots> {
        let proposal = offer.proposal();
        let said = (proposal.head, proposal.valid);
        let before = self.said.proposals.insert(proposal.round, said);
        assert!(before.is_none_or(|other| other == said), "R-6: {proposal:?} after {before:?}");
        let signature = self.key.sign(self.network, &proposal);
        SignedMessage::new(offer, signature)
    }

    fn remember(&mut self, vote: &Vote, author: PublicKey, signature: Signature) {
        let same = self.said.sound.entry((vote.round, vote.kind, vote.head)).or_default();
        same.insert(author, signature);
    }

    /// Whether this is the signature of a validator.
    fn holds<T: Canonical>(&self, author: PublicKey, body: &T, signature: &Signature) -> bool {
        let verifier = self.verifiers.get(&author);
        verifier.is_some_and(|key| key.verifies(self.network, body, signature))
    }

    /// Whether a vote is signed. Certificates hold signatures of votes that were checked before.
    fn is_cast(&self, vote: &Vote, author: PublicKey, signature: Signature) -> bool {
        let same = self.said.sound.get(&(vote.round, vote.kind, vote.head));
        same.and_then(|same| same.get(&author)) == Some(&signature)
            || self.holds(author, vote, &signature)
    }

    /// Whether a message is signed. The core asks for no more votes than it has room for.
    fn is_signed(
        &mut self,
        said: &SignedMessage<Slots, ConsensusMsg<Slots>>,
        key: &PublicKey,
    ) -> bool {
        match &said.message {
            ConsensusMsg::Vote(ballot) => {
                let vote = ballot.vote();
                let is_cast = self.is_cast(&vote, *key, said.signature);
                if is_cast {
                    self.remember(&vote, *key, said.signature);
                }
                is_cast
            }
            ConsensusMsg::Proposal(offer) => {
                let (body, signature) = (offer.proposal(), said.signature);
                let signed = Signed { author: *key, body, signature };
                self.said.heard.as_ref() == Some(&signed) || self.holds(*key, &body, &signature)
            }
        }
    }

    fn check_commit(
        &self,
        commit: &CommitCertificate<Slots>,
        voters: &Voters,
        params: ThresholdParams,
    ) -> Result<(), CertificateError<Slots>> {
        let certificate = certificate(commit);
        let vote = certificate.vote(commit.height, commit.value_id);
        let votes = commit.commit_signatures.iter();
        let votes = votes.map(|of| (Ballot::new(of.address, vote), of.signature));
        self.check(votes, voters, params.quorum)
    }

    fn check_passed(
        &self,
        passed: &malachite_types::RoundCertificate<Slots>,
        voters: &Voters,
        params: ThresholdParams,
    ) -> Result<(), CertificateError<Slots>> {
        let is_overtaken = passed.cert_type == RoundCertificateType::Skip;
        let need = if is_overtaken { params.honest } else { params.quorum };
        let votes = message::passed_out(passed).votes;
        if !is_overtaken && votes.iter().any(|vote| vote.body.kind == Kind::Prevote) {
            return refused();
        }
        let votes = votes.into_iter().map(|vote| {
            let ballot = vote_in(vote);
            (ballot.message, ballot.signature)
        });
        self.check(votes, voters, need)
    }

    /// Whether these votes are signed by validators, one each, that hold enough stake together.
    fn check(
        &self,
        votes: impl Iterator<Item = (Ballot, Signature)>,
        voters: &Voters,
        need: ThresholdParam,
    ) -> Result<(), CertificateError<Slots>> {
        let (mut seen, mut stake) = (BTreeSet::new(), 0u64);
        for (ballot, signature) in votes {
            let author = ballot.author;
            let Some(voter) = voters.get_by_address(&author) else { return refused() };
            if !seen.insert(author) || !self.is_cast(&ballot.vote(), author, signature) {
                return refused();
            }
            stake = stake.saturating_add(voter.voting_power());
        }
        if need.is_met(stake, voters.total_voting_power()) { Ok(()) } else { refused() }
    }

    fn decide(&mut self, commit: &CommitCertificate<Slots>) {
        // Only what was found sound is ever fed to the core.
        let Some(slot) = self.sound.get(&commit.value_id) else { return };
        let slot = Slot { certificate: certificate(commit), ..Slot::clone(slot) };
        self.out.push(Output::Decided(Box::new(slot)));
    }

    fn accuse(&mut self, evidence: MisbehaviorEvidence<Slots>) {
        let votes = evidence.votes.into_iter().flat_map(|(_, pairs)| pairs);
        let votes = votes.map(|(one, other)| Evidence::Votes {
            one: message::vote_out(&one),
            other: message::vote_out(&other),
        });
        let proposals = evidence.proposals.into_iter().flat_map(|(_, pairs)| pairs);
        let proposals = proposals.map(|(one, other)| Evidence::Proposals {
            one: proposal_out(&one),
            other: proposal_out(&other),
        });
        let both = votes.chain(proposals).filter(|e| e.proves(self.network).is_some());
        self.out.extend(both.map(Output::Evidence));
    }
}

fn certificate(commit: &CommitCertificate<Slots>) -> Certificate {
    let signatures = commit.commit_signatures.iter().map(|of| (of.address, of.signature));
    Certificate { round: commit.round.as_u32().unwrap_or(0), signatures: signatures.collect() }
}

fn refused() -> Result<(), CertificateError<Slots>> {
    Err(CertificateError::VerificationError(None))
}
