//! A gate: lets in what each sender may have looked at (`role::quota`), before it waits for
//! anything with what others sent. Never looks into a message.

use crate::base::limits::{QUESTION_BYTES_MAX, WIRE_BYTES_MAX, WIRE_ROOM_BYTES};
use crate::effects::clock::Clock;
use crate::role::quota::{Flood, Limits, Quota, Rate, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one sender may have looked at of what validators say: more than they say at five hundred
/// slots a second, and no more at once than a fourth of what waits for all.
pub(super) const SAYINGS: Limits = Limits {
    messages: Rate { burst: 4_096, second: 4_096 },
    bytes: Rate { burst: WIRE_ROOM_BYTES as u32 / 4, second: 8 << 20 },
};

/// The same of commands: twice what four validators on two cores make final. A core checks 25,000
/// signatures a second.
pub(super) const COMMANDS: Limits = Limits {
    messages: Rate { burst: 4_096, second: 10_000 },
    bytes: Rate { burst: WIRE_ROOM_BYTES as u32 / 4, second: 8 << 20 },
};

/// The same of questions, with what is answered: whoever is new gets a log of a hundred megabytes
/// at once, and the rest a little slower.
pub(super) const QUESTIONS: Limits = Limits {
    messages: Rate { burst: 200, second: 100 },
    bytes: Rate { burst: 128 << 20, second: 32 << 20 },
};

/// The same of questions that were too many, and are answered with a few bytes: as often again.
pub(super) const PUT_OFF: Limits = QUESTIONS;

const _: () = assert!(WIRE_BYTES_MAX <= WIRE_ROOM_BYTES / 4);
/// Questions of one sender that wait, in bytes, with what each costs beside them.
pub(super) const ASKED_BYTES: usize = 200 * (QUESTION_BYTES_MAX + 512);

/// One gate; clones are the same one.
#[derive(Clone)]
pub(super) struct Gate {
    quota: Arc<Mutex<Quota>>,
    clock: Clock,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        Self { quota: Arc::new(Mutex::new(Quota::new(limits))), clock: Clock::start() }
    }

    /// Whether a message of so many bytes is let in.
    pub(super) fn admit(&self, sender: Sender, bytes: usize) -> Result<(), Flood> {
        let now = self.clock.now();
        self.quota().admit(now, sender, bytes)
    }

    /// A sender is given so many bytes.
    pub(super) fn charge(&self, sender: Sender, bytes: usize) {
        let now = self.clock.now();
        self.quota().charge(now, sender, bytes);
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        // What it guards is whole at every moment, whoever panicked.
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
