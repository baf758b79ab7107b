//! Time and randomness: the only file that reads either.
//! Never decides anything by them: what it gives moves timers and makes keys.

use crate::base::time::Millis;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
        let elapsed = self.start.elapsed() + Leaps::asked().map_or(Duration::ZERO, Leaps::ahead);
        Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
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
    let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Leaps::asked().map_or(ms, |leaps| leaps.somewhere(ms))
}

/// The variable that makes the clocks of a process leap, in a build with debug assertions: a seed.
const LEAPS: &str = "OHC_CLOCK_LEAPS";
/// Every so many readings of a monotonic clock it has leapt.
const READINGS_PER_LEAP: u64 = 50;
/// How far a clock leaps at the most, in milliseconds: six hours.
const LEAP_MS_MAX: u64 = 6 * 3_600 * 1_000;

/// Clocks that leap, so that tests see what a suspended machine and a clock that is set do. The
/// monotonic one leaps ahead alone, as the system promises; the time of day leaps both ways.
struct Leaps {
    seed: u64,
    readings: AtomicU64,
    ahead_ms: AtomicU64,
}

impl Leaps {
    /// The leaps that this process was asked for.
    fn asked() -> Option<&'static Self> {
        static ASKED: OnceLock<Option<Leaps>> = OnceLock::new();
        let read = || {
            let seed = std::env::var(LEAPS).ok()?.parse().ok()?;
            Some(Leaps { seed, readings: AtomicU64::new(0), ahead_ms: AtomicU64::new(0) })
        };
        if cfg!(debug_assertions) { ASKED.get_or_init(read).as_ref() } else { None }
    }

    /// One of many numbers; which, depends on the seed and how often it was asked for.
    fn dice(&self) -> (u64, u64) {
        let nth = self.readings.fetch_add(1, Ordering::SeqCst);
        // SplitMix64.
        let mut z = self.seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (nth, z ^ (z >> 31))
    }

    /// How far the monotonic clock has leapt ahead by now.
    fn ahead(&self) -> Duration {
        let (nth, dice) = self.dice();
        let leap = if nth % READINGS_PER_LEAP == 0 { dice % LEAP_MS_MAX } else { 0 };
        Duration::from_millis(self.ahead_ms.fetch_add(leap, Ordering::SeqCst) + leap)
    }

    /// A time of day up to six hours before or after the right one.
    fn somewhere(&self, ms: u64) -> u64 {
        let (_, dice) = self.dice();
        (ms + dice % (2 * LEAP_MS_MAX)).saturating_sub(LEAP_MS_MAX)
    }
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
