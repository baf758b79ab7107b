//! What slots held of one key: which of its commands they took, and why those had no effect that
//! had none. Never looks at numbers alone: others may sign with the same key.

use crate::base::keys::PublicKey;
use crate::domain::command::SignedOrder;
use crate::domain::event::{Event, Reject};

/// The commands of a key that slots took, in their order.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    last: u64,
    has_gap: bool,
    orders: Vec<(SignedOrder, Option<Reject>)>,
}

impl Folded {
    /// Takes in the next slot: its commands, and what was derived from them.
    pub fn add(&mut self, me: &PublicKey, commands: &[SignedOrder], events: &[Event]) {
        for order in commands.iter().filter(|order| order.author == *me) {
            let ours = order.body.nonce;
            // Of two with one number the first counts; the other is only told to be a replay.
            if ours <= self.last {
                continue;
            }
            self.last = ours;
            let reject = events.iter().find_map(|event| match event {
                Event::Rejected { author, nonce, reason } => {
                    let is_of_it = author == me && *nonce == ours && *reason != Reject::Replayed;
                    is_of_it.then_some(*reason)
                }
                _ => None,
            });
            self.orders.push((order.clone(), reject));
        }
    }

    /// Slots were passed over: nobody knows which commands they held.
    pub fn pass_over(&mut self) {
        self.has_gap = true;
    }

    /// Whether slots were passed over.
    #[must_use]
    pub const fn has_gap(&self) -> bool {
        self.has_gap
    }

    /// What became of a command whose number was not used up before; none if it was not taken.
    #[must_use]
    pub fn fate(&self, order: &SignedOrder) -> Option<Result<(), Reject>> {
        let (_, reject) = self.orders.iter().find(|(taken, _)| taken == order)?;
        Some(reject.map_or(Ok(()), Err))
    }
}
