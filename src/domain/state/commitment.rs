//! Commitment: now and then the log commits to the state after a slot, so that whoever comes late
//! can take that state from anybody and go on from there. Never depends on what a node did, only on
//! what was folded: all nodes commit to the same states.
//!
//! To encode a state takes time that grows with it. So much is folded first that this is small
//! beside it.

use super::State;
use crate::base::canon::{Canonical as _, Encode as _, canonical_struct};
use crate::domain::event::Event;
use crate::domain::milestone::Parts;

/// What the fold of a slot weighs beside that of its events.
const WEIGHT_OF_A_SLOT: u64 = 20;
/// So many bytes of a state are encoded and hashed in the time in which one event is folded, if
/// that is to be a tenth of it all.
const BYTES_PER_WEIGHT: u64 = 64;

/// What was folded since the log committed to a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Commitment {
    weight: u64,
    /// The bytes of that state.
    bytes: u64,
}
canonical_struct!(Commitment { weight, bytes });

impl State {
    /// Commits to the state as it is now, after everything else of this slot, where that is due.
    pub(super) fn commit(&mut self, events: &mut Vec<Event>) {
        let least = self.params.snapshot_events;
        if least == 0 {
            return;
        }
        let Commitment { weight, bytes } = &mut self.commitment;
        *weight = weight.saturating_add(WEIGHT_OF_A_SLOT + events.len() as u64);
        let is_due = *weight >= least.max(*bytes / BYTES_PER_WEIGHT);
        // Who signs a slot that changes the set is not in the state after it, and a slot shows one
        // thing at the most.
        let is_plain = || !events.iter().any(Event::is_milestone);
        if !is_due || !is_plain() {
            return;
        }
        let body = self.body();
        self.commitment = Commitment { weight: 0, bytes: body.len() as u64 };
        let state = [self.commitment.to_bytes(), body].concat();
        let parts = Parts::of(&state);
        events.push(Event::Snapshot { parts: parts.digest(), bytes: parts.bytes });
    }
}
