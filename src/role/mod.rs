//! L2, decisions: pure machines, one per kind of node. Bytes, sockets, clocks, tasks and candle
//! are unknown here: a role is told what happened and says what must happen next.
#![deny(clippy::float_arithmetic)]

pub mod client;
pub mod consensus;
mod folded;
pub mod quota;
pub mod validator;
mod verifiers;
mod witness;
pub mod worker;

pub use folded::Folded;
pub use verifiers::Verifiers;

use witness::Witness;

use crate::base::canon::{Digest, Encode};
use crate::base::ids::{BlockId, LeaseId};
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::time::{Height, Millis};
use crate::domain::command::{Command, Order, SignedOrder, TenderSalt};
use crate::domain::receipt::SaltOf;
use crate::domain::state::State;

/// A role. It owns decisions, never a task, socket or clock. `node::embedded` drives it with real
/// hands, `tests/sim` the same type with virtual ones.
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it wants to happen.
    type Output;

    /// Takes exactly one input and pushes whatever must now happen. `state` is what this node has
    /// folded so far; `now` may move timers, nothing else.
    fn handle(
        &mut self,
        now: Millis,
        state: &State,
        input: Self::Input,
        out: &mut Vec<Self::Output>,
    );

    /// When to wake it if nothing else happens; a time that is past means at once.
    fn deadline(&self, state: &State) -> Option<Millis>;
}

/// A participant's key and the number of its last command.
#[derive(Debug)]
pub struct Signer {
    key: SecretKey,
    last: u64,
}

impl Signer {
    /// A signer; numbers go on from what the state knows.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self { key, last: 0 }
    }

    /// The name that it signs with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// The key, for what is not a command.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// What keeps others from guessing what is sealed under a lease: made from the key alone, so
    /// that nothing need be remembered.
    #[must_use]
    pub fn salt(&self, state: &State, lease: LeaseId) -> Digest {
        Digest::of(&self.key.sign(state.network(), &SaltOf { lease }).to_bytes())
    }

    /// What keeps others from guessing a sealed bid for a block, in the auction of this round.
    #[must_use]
    pub fn tender_salt(&self, state: &State, block: BlockId, round: Height) -> Digest {
        Digest::of(&self.key.sign(state.network(), &TenderSalt { block, round }).to_bytes())
    }

    /// Signs a command with the next number: above every one that was sent or folded.
    pub fn order(&mut self, state: &State, command: Command) -> SignedOrder {
        self.last = self.last.max(state.nonce(&self.public())) + 1;
        self.key.seal(state.network(), Order { nonce: self.last, command })
    }

    /// Whether a command may still come to count: its number is not used up.
    pub fn may_count(&self, state: &State, order: &SignedOrder) -> bool {
        state.nonce(&self.public()) < order.body.nonce
    }

    /// A command that has had no effect yet, to be sent again: the same bytes while they may count,
    /// for two copies of one command cost no more than one; else under another number.
    pub fn again(&mut self, state: &State, order: SignedOrder) -> SignedOrder {
        match self.may_count(state, &order) {
            true => order,
            false => self.order(state, order.body.command),
        }
    }
}
