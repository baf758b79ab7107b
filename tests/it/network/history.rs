//! Histories: networks of so many validators whose keys we have, and slots that they have signed.
//! Never a shortcut: the slots are folded, hashed and signed as those of a network are.

use ohc::base::amount::{Ohc, SUPPLY};
use ohc::base::canon::{Canonical, Digest, Encode};
use ohc::base::keys::{PublicKey, SecretKey};
use ohc::domain::command::{Command, Order, SignedOrder};
use ohc::domain::event::events_root;
use ohc::domain::genesis::{Allocation, Genesis, Params};
use ohc::domain::poh::{self, Chain};
use ohc::domain::slot::{Draft, Slot, commands_root};
use ohc::domain::state::State;
use ohc::domain::vote::Certificate;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A log that grows, and who signs it.
pub(crate) struct History {
    pub(crate) genesis: Genesis,
    pub(crate) state: State,
    pub(crate) parent: Digest,
    pub(crate) slots: Vec<Vec<u8>>,
    /// Ticks that each slot from here on counts. A slot without any takes one hash: no deadline
    /// and no epoch ever comes.
    pub(crate) ticks: u64,
    /// Whose keys are not those of their numbers.
    keys: BTreeMap<u8, Arc<SecretKey>>,
}

/// The key of one of those who take part.
pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

/// The client, who has the money.
pub(crate) const CLIENT: u8 = 99;

impl History {
    /// A network of validators with keys from 1 on; its workers have keys from 101 on.
    pub(crate) fn new(validators: u8, workers: u8) -> Self {
        let stake = Ohc::from_whole(6_000_000).unwrap();
        let purse = Ohc::from_whole(100_000).unwrap();
        let staked = (1..=validators).map(|n| (n, Ohc::ZERO, stake));
        let paid = (0..workers).map(|n| (101 + n, purse, Ohc::ZERO));
        let mut held: Vec<(u8, Ohc, Ohc)> = staked.chain(paid).collect();
        let taken = Ohc::sum(held.iter().flat_map(|(_, balance, stake)| [*balance, *stake]));
        held.push((CLIENT, SUPPLY.checked_sub(taken.unwrap()).unwrap(), Ohc::ZERO));
        let allocation = |(n, balance, stake)| Allocation { key: key(n).public(), balance, stake };
        let genesis = Genesis {
            name: "history".into(),
            salt: [validators; 32],
            params: Params::embedded(),
            allocations: held.into_iter().map(allocation).collect(),
        };
        Self::of(genesis, BTreeMap::new())
    }

    /// A network that was founded otherwise, with the keys of some who take part.
    pub(crate) fn of(genesis: Genesis, keys: BTreeMap<u8, Arc<SecretKey>>) -> Self {
        genesis.check().unwrap();
        let (state, parent) = (State::new(&genesis), genesis.digest());
        Self { genesis, state, parent, slots: Vec::new(), ticks: 0, keys }
    }

    /// The key of one of those who take part.
    pub(crate) fn key(&self, n: u8) -> Arc<SecretKey> {
        self.keys.get(&n).map_or_else(|| Arc::new(key(n)), Arc::clone)
    }

    /// Somebody's next command.
    pub(crate) fn order(&self, n: u8, command: Command) -> SignedOrder {
        let author = self.key(n);
        let nonce = self.state.nonce(&author.public()) + 1;
        author.seal(self.state.network(), Order { nonce, command })
    }

    /// The client pays somebody a little: what most slots of these histories are about.
    pub(crate) fn payment(&self, to: PublicKey) -> SignedOrder {
        self.order(CLIENT, Command::Transfer { to, amount: Ohc::from_nano(1_000_000) })
    }

    /// A slot with these commands, signed by these validators; it is not taken in.
    pub(crate) fn slot(&self, commands: Vec<SignedOrder>, signers: &[u8]) -> (Slot, State) {
        let mut state = self.state.clone();
        let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
        let mut chain = Chain::resume(state.place(), params);
        let mut poh: Vec<_> = (0..self.ticks).map(|_| chain.tick()).collect();
        poh.extend(chain.record(commands_root(&commands)));
        let proposer = self.key(signers.first().copied().unwrap_or(1)).public();
        let draft = Draft { height: state.height().next(), proposer, poh, commands };
        let events = state.apply(draft.height, &draft.poh, &draft.commands);
        let head = draft.head(self.parent, events_root(&events));
        let mut certificate = Certificate::default();
        let vote = certificate.vote(head.height, head.digest());
        for n in signers {
            let key = self.key(*n);
            certificate.signatures.insert(key.public(), key.sign(state.network(), &vote));
        }
        (Slot { head, poh: draft.poh, commands: draft.commands, certificate }, state)
    }

    /// Goes on with a slot with these commands, signed by these validators.
    pub(crate) fn add(&mut self, commands: Vec<SignedOrder>, signers: &[u8]) {
        let (slot, state) = self.slot(commands, signers);
        self.parent = slot.head.digest();
        self.state = state;
        self.slots.push(slot.to_bytes());
    }

    /// Goes on with so many slots with a payment each.
    pub(crate) fn grow(&mut self, slots: usize, signers: &[u8]) {
        for _ in 0..slots {
            let payment = self.payment(key(7).public());
            self.add(vec![payment], signers);
        }
    }
}
