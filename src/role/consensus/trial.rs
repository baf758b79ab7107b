//! The trial: proposed slots are folded on a second copy of the state before anybody votes for
//! them. Never touches the state that the node acts on.

use crate::base::canon::{Canonical, Digest, Encode};
use crate::base::limits::{COMMANDS_PER_SLOT_MAX, PROPOSAL_BYTES_MAX, TICKS_PER_SLOT_MAX};
use crate::domain::event::events_root;
use crate::domain::poh;
use crate::domain::slot::{Draft, Slot};
use crate::domain::state::State;
use crate::domain::vote::Certificate;

/// A second copy of the state, at the last slot or one proposed slot further.
#[derive(Debug)]
pub(super) struct Trial {
    /// None when it would have to be copied anew.
    copy: Option<State>,
    /// The head of the slot that was folded into it.
    tried: Option<Digest>,
    /// Threads that check a Proof of History.
    threads: usize,
}

impl Trial {
    pub(super) const fn new(threads: usize) -> Self {
        Self { copy: None, tried: None, threads }
    }

    /// What a draft becomes: a slot without a certificate.
    pub(super) fn complete(&mut self, state: &State, parent: Digest, draft: Draft) -> Slot {
        let events = self.fold(state, |copy| copy.apply(draft.height, &draft.poh, &draft.commands));
        let head = draft.head(parent, events);
        self.tried = Some(head.digest());
        let Draft { poh, commands, .. } = draft;
        Slot { head, poh, commands, certificate: Certificate::default() }
    }

    /// Whether a slot that somebody else proposes is the next page of this log, as far as anybody
    /// can tell: it follows the last, its chain is hashed right, its commands are signed, and the
    /// fold derives the events that it says.
    pub(super) fn accepts(&mut self, state: &State, parent: Digest, slot: &Slot) -> bool {
        let is_sound = slot.head.height == state.height().next()
            && slot.certificate == Certificate::default()
            && state.validators().contains_key(&slot.head.proposer)
            && slot.commands.len() <= COMMANDS_PER_SLOT_MAX
            && slot.to_bytes().len() <= PROPOSAL_BYTES_MAX
            && slot.check_content(parent).is_ok()
            && self.is_hashed(state, slot);
        let signed = |author: &crate::domain::command::SignedOrder| {
            author.author.verifies(state.network(), &author.body, &author.signature)
        };
        if !is_sound || !slot.commands.iter().all(signed) {
            return false;
        }
        let height = slot.head.height;
        let events = self.fold(state, |copy| copy.apply(height, &slot.poh, &slot.commands));
        self.tried = Some(slot.head.digest());
        events == slot.head.events
    }

    fn is_hashed(&self, state: &State, slot: &Slot) -> bool {
        let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
        let hashes_max = params.per_tick().saturating_mul(TICKS_PER_SLOT_MAX + 2);
        slot.ticks() <= TICKS_PER_SLOT_MAX
            && poh::verify(state.place(), &slot.poh, params, hashes_max, self.threads).is_ok()
    }

    /// Folds one slot into the copy, which is at the last slot then, and gives its events' root.
    fn fold(
        &mut self,
        state: &State,
        apply: impl FnOnce(&mut State) -> Vec<crate::domain::event::Event>,
    ) -> Digest {
        if self.tried.is_some() {
            self.copy = None;
        }
        events_root(&apply(self.copy.get_or_insert_with(|| state.clone())))
    }

    /// A slot is final and folded by the node: if it is the one that was tried, the copy is where
    /// the node is without being copied.
    pub(super) fn settle(&mut self, head: Digest) {
        if self.tried.take() != Some(head) {
            self.copy = None;
        }
    }
}
