//! Writes logs to measure with: real slots, signed and chained like any, of commands that carry one
//! thing each. Never runs a role: nobody waits for anything here.

use crate::base::amount::{Ohc, Price, Work};
use crate::base::canon::{Canonical, Digest, Encode};
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::time::Millis;
use crate::domain::command::{Bid, Command, SignedOrder};
use crate::domain::event::events_root;
use crate::domain::genesis::Genesis;
use crate::domain::poh::{self, Chain};
use crate::domain::slot::{Draft, commands_root};
use crate::domain::state::State;
use crate::domain::terms::Equipment;
use crate::node::boot;
use crate::role::Signer;
use crate::role::validator::Validator;

/// Makes one log.
pub(super) struct Scribe {
    pub(super) genesis: Genesis,
    /// The slots so far, as they are stored.
    pub(super) slots: Vec<Vec<u8>>,
    state: State,
    parent: Digest,
    validator: Validator,
    client: Signer,
    worker: PublicKey,
}

impl Scribe {
    pub(super) fn new() -> Self {
        let key = |n: u8| SecretKey::from_bytes(&[n; 32]);
        let (client, validator) = (Signer::new(key(1)), Signer::new(key(2)));
        let genesis = boot::embedded_genesis(client.public(), validator.public(), [0; 32]);
        Self {
            slots: Vec::new(),
            state: State::new(&genesis),
            parent: genesis.digest(),
            validator: Validator::new(validator, Millis(0)),
            client,
            worker: key(3).public(),
            genesis,
        }
    }

    /// Writes a slot with so many ticks and commands: transfers and bids in turns.
    pub(super) fn write(&mut self, ticks: u64, commands: usize) {
        let orders: Vec<SignedOrder> = (0..commands).map(|n| self.command(n)).collect();
        let params = poh::Params { hashes_per_tick: self.state.params().hashes_per_tick };
        let mut chain = Chain::resume(self.state.place(), params);
        let mut poh: Vec<_> = (0..ticks).map(|_| chain.tick()).collect();
        poh.extend(chain.record(commands_root(&orders)));
        let height = self.state.height().next();
        let events = self.state.apply(height, &poh, &orders);
        let proposer = self.validator.key();
        let draft = Draft { height, proposer, poh, commands: orders };
        let slot = self.validator.seal(&self.state, draft, self.parent, events_root(&events));
        self.parent = slot.head.digest();
        self.slots.push(slot.to_bytes());
    }

    fn command(&mut self, n: usize) -> SignedOrder {
        let command = if n.is_multiple_of(2) {
            Command::Transfer { to: self.worker, amount: Ohc::from_nano(1) }
        } else {
            let has = Equipment::default();
            Command::Bid(Bid { ask: Price::new(1), capacity: Work::new(1), has })
        };
        self.client.order(&self.state, command)
    }
}
