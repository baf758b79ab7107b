//! Time and randomness: the only file that reads either.
//! Never decides anything by them: what it gives moves timers and makes keys.

use crate::base::time::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock that began when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where monotonic time enters")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Whole milliseconds since the clock began; never runs backwards.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Seconds since the clock began, as finely as the machine can: for measuring.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// Milliseconds since 1970 by the clock of this machine: shown to people. It may be wrong, and it
/// may jump.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where the time of day enters")]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// 32 bytes from the operating system's generator.
///
/// # Panics
///
/// Where the system has no randomness to give: no key may be made there.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where randomness enters")]
pub fn fresh_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let drawn = getrandom::fill(&mut seed);
    assert!(drawn.is_ok(), "the operating system gives no randomness: {drawn:?}");
    seed
}
