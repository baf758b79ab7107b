//! Validators that lie: in two places at once, not at all, about everything, or again. Never have
//! the keys of others.

use super::seat::Seat;
use crate::dice::Dice;
use crate::ground::Who;
use ohc::base::canon::{Canonical, Decode, Digest, Encode};
use ohc::domain::event::events_root;
use ohc::domain::slot::Slot;
use ohc::domain::vote::{Kind, Proposal, Vote};
use ohc::role::consensus::Message;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Temper {
    Honest,
    /// Runs twice with one key, and neither knows of the other (Twins: Bano and others 2020).
    Twin,
    /// Says nothing.
    Silent,
    /// Votes for whatever it hears and for nothing, in its name and in others', and proposes out of
    /// turn, twice, and what does not hold.
    Forger,
    /// Says again what anybody said before.
    Stale,
    /// Does its part, and tells half of the others something else of the same kind.
    Equivocator,
}

impl Seat {
    /// What a liar says to a message.
    pub fn answer(&self, message: &Message, dice: &mut Dice, said: &[Vec<u8>]) -> Vec<Message> {
        match self.temper {
            Temper::Forger if dice.percent(40) => self.forge(message, dice),
            Temper::Stale if dice.percent(40) && !said.is_empty() => {
                let old = Message::from_bytes(&said[dice.index(said.len())]);
                old.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The two things that an equivocator says where it should say one: two slots, either as good
    /// as the other, or votes for two of those that are proposed.
    pub fn twist(&self, message: &Message, heads: &[Digest]) -> Option<[Message; 2]> {
        let (network, key) = (self.state.network(), self.who.secret());
        match message {
            Message::Proposal { proposal, slot } if proposal.author == self.key() => {
                // The same other one, however often it says so.
                let mut dice = Dice::new(slot.head.height.0 ^ u64::from(proposal.body.round));
                let draft = self.draft(&mut dice);
                let events = self.state.clone().apply(draft.height, &draft.poh, &draft.commands);
                let head = draft.head(self.parent, events_root(&events));
                let body = Proposal { head: head.digest(), ..proposal.body };
                let (poh, commands) = (draft.poh, draft.commands);
                let slot = Slot { head, poh, commands, certificate: Default::default() };
                let proposal = key.seal(network, body);
                Some([message.clone(), Message::Proposal { proposal, slot: Arc::new(slot) }])
            }
            Message::Vote(vote) if vote.author == self.key() => {
                let both = match heads {
                    [] => return None,
                    [one] => [Some(*one), None],
                    [one, other, ..] => [Some(*one), Some(*other)],
                };
                let say = |head| Message::Vote(key.seal(network, Vote { head, ..vote.body }));
                Some(both.map(say))
            }
            _ => None,
        }
    }

    fn forge(&self, message: &Message, dice: &mut Dice) -> Vec<Message> {
        let network = self.state.network();
        let (key, height) = (self.who.secret(), message.height());
        let round = dice.below(3) as u32;
        let kind = if dice.percent(50) { Kind::Prevote } else { Kind::Precommit };
        let head = match (dice.below(3), message) {
            (0, _) => None,
            (1, Message::Proposal { proposal, .. }) => Some(proposal.body.head),
            (_, Message::Vote(vote)) => vote.body.head,
            _ => Some(Digest([dice.below(256) as u8; 32])),
        };
        let vote = key.seal(network, Vote { height, round, kind, head });
        let mut lies = vec![Message::Vote(vote.clone())];
        let mut stolen = vote;
        stolen.author = Who::Validator(dice.below(4) as u8).key();
        lies.push(Message::Vote(stolen));
        for round in 0..dice.below(4) as u32 {
            let draft = self.draft(dice);
            let (parent, events) = (self.parent, Digest([dice.below(2) as u8; 32]));
            let head = draft.head(parent, events);
            let slot = Slot {
                head,
                poh: draft.poh,
                commands: draft.commands,
                certificate: Default::default(),
            };
            let (height, head) = (slot.head.height, slot.head.digest());
            let proposal = key.seal(network, Proposal { height, round, head, valid: None });
            lies.push(Message::Proposal { proposal, slot: Arc::new(slot) });
        }
        // And bytes that are nearly a message.
        let mut bytes = message.to_bytes();
        let at = dice.index(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
        lies.extend(Message::from_bytes(&bytes));
        lies
    }
}
