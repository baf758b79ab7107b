//! The trial: proposed slots are folded on a second copy of the state before anybody votes for
//! them. Never touches the state that the node acts on.

use crate::base::canon::{Canonical, Digest, Encode};
use crate::base::keys::PublicKey;
use crate::base::limits::{
    COMMANDS_PER_SLOT_MAX, MEMPOOL_MAX, PROPOSAL_BYTES_MAX, TICKS_PER_SLOT_MAX,
};
use crate::domain::command::SignedOrder;
use crate::domain::event::events_root;
use crate::domain::poh;
use crate::domain::slot::{Draft, Slot};
use crate::domain::state::State;
use crate::domain::vote::Certificate;
use crate::role::Verifiers;
use std::collections::BTreeMap;

/// A second copy of the state, at the last slot or one proposed slot further.
#[derive(Debug)]
pub(super) struct Trial {
    /// None when it would have to be copied anew.
    copy: Option<State>,
    /// The head of the slot that was folded into it.
    tried: Option<Digest>,
    /// Threads that check a Proof of History.
    threads: usize,
    /// The digests of commands whose signatures hold, signatures included, by author and number.
    vouched: BTreeMap<(PublicKey, u64), Digest>,
}

impl Trial {
    pub(super) const fn new(threads: usize) -> Self {
        Self { copy: None, tried: None, threads, vouched: BTreeMap::new() }
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
    pub(super) fn accepts(
        &mut self,
        state: &State,
        parent: Digest,
        slot: &Slot,
        verifiers: &Verifiers,
    ) -> bool {
        let is_sound = slot.head.height == state.height().next()
            && slot.certificate == Certificate::default()
            && state.validators().contains_key(&slot.head.proposer)
            && slot.commands.len() <= COMMANDS_PER_SLOT_MAX
            && slot.to_bytes().len() <= PROPOSAL_BYTES_MAX
            && slot.check_content(parent).is_ok()
            && self.is_hashed(state, slot);
        let is_signed = |order: &SignedOrder| {
            self.has_vouched(order) || verifiers.holds(state.network(), order)
        };
        if !is_sound || !slot.commands.iter().all(is_signed) {
            return false;
        }
        let height = slot.head.height;
        let events = self.fold(state, |copy| copy.apply(height, &slot.poh, &slot.commands));
        self.tried = Some(slot.head.digest());
        events == slot.head.events
    }

    /// Remembers a command whose signature holds, until its number is in the log.
    pub(super) fn vouch(&mut self, order: &SignedOrder) {
        let key = (order.author, order.body.nonce);
        if self.vouched.len() < MEMPOOL_MAX && !self.vouched.contains_key(&key) {
            self.vouched.insert(key, Digest::of(&order.to_bytes()));
        }
    }

    /// Whether the signature of just this command was found to hold.
    fn has_vouched(&self, order: &SignedOrder) -> bool {
        let vouched = self.vouched.get(&(order.author, order.body.nonce));
        vouched.is_some_and(|digest| *digest == Digest::of(&order.to_bytes()))
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
    pub(super) fn settle(&mut self, state: &State, head: Digest) {
        self.vouched.retain(|(author, nonce), _| *nonce > state.nonce(author));
        if self.tried.take() != Some(head) {
            self.copy = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::amount::{Ohc, SUPPLY};
    use crate::base::keys::{SecretKey, Signed};
    use crate::domain::command::{Command, Order};
    use crate::domain::genesis::{Allocation, Genesis, Params};
    use crate::domain::poh::Chain;
    use crate::domain::slot::commands_root;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn state() -> State {
        let stake = Ohc::from_whole(40_000).unwrap();
        let rest = SUPPLY.checked_sub(stake).unwrap();
        let of = |n, balance, stake| Allocation { key: key(n).public(), balance, stake };
        let allocations = vec![of(1, Ohc::ZERO, stake), of(2, rest, Ohc::ZERO)];
        let (name, salt, params) = ("test".into(), [0; 32], Params::network());
        State::new(&Genesis { name, salt, params, allocations })
    }

    /// A slot that holds these commands and is right in everything else.
    fn slot(state: &State, commands: Vec<SignedOrder>) -> Slot {
        let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
        let poh = Chain::resume(state.place(), params).record(commands_root(&commands));
        let (height, proposer) = (state.height().next(), key(1).public());
        let draft = Draft { height, proposer, poh: poh.into_iter().collect(), commands };
        Trial::new(1).complete(state, Digest([7; 32]), draft)
    }

    /// The chain of a proposal is hashed again before anything is said about it: neither another
    /// end of it nor time that nobody waited for gets a vote, though all else fits.
    #[test]
    fn a_proposal_whose_chain_is_not_hashed_is_refused() {
        let (state, mut verifiers) = (state(), Verifiers::default());
        verifiers.follow(state.validators());
        let good = slot(&state, Vec::new());
        let accepts = |change: &dyn Fn(&mut poh::Entry)| {
            let (height, proposer, mut poh) = (good.head.height, key(1).public(), good.poh.clone());
            poh.iter_mut().for_each(change);
            let draft = Draft { height, proposer, poh, commands: Vec::new() };
            let slot = Trial::new(1).complete(&state, Digest([7; 32]), draft);
            Trial::new(1).accepts(&state, Digest([7; 32]), &slot, &verifiers)
        };
        assert!(!good.poh.is_empty() && accepts(&|_| ()));
        assert!(!accepts(&|entry| entry.hash = Digest([9; 32])), "another hash");
        assert!(!accepts(&|entry| entry.hashes += 1), "more time");
    }

    /// Nothing but the very command that was checked is believed unchecked: not another body, not
    /// another signature, not another number.
    #[test]
    fn a_command_that_was_vouched_for_covers_no_other() {
        let (state, mut verifiers) = (state(), Verifiers::default());
        verifiers.follow(state.validators());
        let order = |who: u8, nonce, nano| {
            let command = Command::Transfer { to: key(3).public(), amount: Ohc::from_nano(nano) };
            key(who).seal(state.network(), Order { nonce, command })
        };
        for who in [1, 2] {
            let good = order(who, 1, 5_000_000);
            let other = Signed { body: order(who, 1, 6_000_000).body, ..good.clone() };
            let forged = Signed { signature: order(9, 1, 5_000_000).signature, ..good.clone() };
            let later = Signed { body: order(who, 2, 5_000_000).body, ..good.clone() };
            let accepts = |trial: &mut Trial, order: &SignedOrder| {
                let slot = slot(&state, vec![order.clone()]);
                trial.accepts(&state, Digest([7; 32]), &slot, &verifiers)
            };
            let mut trial = Trial::new(1);
            assert!(accepts(&mut trial, &good), "signed");
            trial.vouch(&good);
            assert!(accepts(&mut trial, &good), "vouched for");
            for bad in [&other, &forged, &later] {
                assert!(!accepts(&mut trial, bad), "{bad:?}");
            }
            // What was vouched for is not looked at again: so nothing false may ever be.
            trial.vouch(&later);
            assert!(accepts(&mut trial, &later));
        }
    }
}
