//! Commitment: now and then the log commits to the state after a slot, so that whoever comes late
//! can take that state from anybody and go on from there. Never depends on what a node did, only on
//! what was folded: all nodes commit to the same states.
//!
//! To encode a state takes time that grows with it, 1 to 2 ms a megabyte. So much is folded first
//! that this is small beside it; the slot itself waits for it.

use super::State;
use crate::base::canon::{Canonical as _, Encode as _, canonical_struct};
use crate::domain::event::Event;
use crate::domain::milestone::Parts;
use std::sync::Arc;

/// What the fold of a slot weighs beside that of its events.
const WEIGHT_OF_A_SLOT: u64 = 20;
/// So many bytes of a state are encoded and hashed in a tenth of the time in which one event is
/// folded, or less: `ohc bench commit` measures both.
const BYTES_PER_WEIGHT: u64 = 64;

/// Room that is made at a time.
const ROOM_MAX: usize = 64 << 20;

/// What was folded since the log committed to a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Commitment {
    weight: u64,
    /// The bytes of that state.
    bytes: u64,
}
canonical_struct!(Commitment { weight, bytes });

impl Commitment {
    /// Room for the bytes of the state, if it has not grown by more than a fourth. Whoever read a
    /// state that lies about it makes too much, but not more than that.
    pub(super) fn room(self) -> usize {
        let bytes = self.bytes.saturating_add(self.bytes / 4);
        usize::try_from(bytes).unwrap_or(ROOM_MAX).min(ROOM_MAX)
    }
}

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
        *weight = 0;
        let mut state = self.snapshot();
        // How long it is stands in front of it.
        let length = Commitment::default().to_bytes().len();
        self.commitment.bytes = state.len().saturating_sub(length) as u64;
        let front = self.commitment.to_bytes();
        state.iter_mut().zip(front).for_each(|(byte, new)| *byte = new);
        let parts = Parts::of(&state);
        events.push(Event::Snapshot { parts: parts.digest(), bytes: parts.bytes });
        self.committed = Some(Arc::new(state));
    }

    /// The bytes of the state that the log commits to with the last slot that was folded here, if
    /// it does.
    pub fn take_committed(&mut self) -> Option<Arc<Vec<u8>>> {
        self.committed.take()
    }
}
