//! Time and randomness: the only file that reads either.
//! Never decides anything by them: what it gives moves timers, names keys and dates cards.

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

/// The date in UTC by the wall clock, `2026-01-31`: for people, never for rules.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn today() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The Gregorian date of a second since 1970 (Hinnant, "chrono-compatible low-level date
/// algorithms": years begin in March, so that the leap day is the last).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468; // since 1 March of year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: u64, expect: &str) {
        assert_eq!(date(seconds), expect);
    }

    #[test]
    fn a_second_has_its_date() {
        check(0, "1970-01-01");
        check(86_399, "1970-01-01");
        check(951_782_400, "2000-02-29");
        check(951_868_800, "2000-03-01");
        check(1_709_164_800, "2024-02-29");
        check(1_735_689_599, "2024-12-31");
        check(4_107_542_400, "2100-03-01");
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(fresh_seed(), fresh_seed());
    }

    #[test]
    fn a_clock_never_runs_backwards() {
        let clock = Clock::start();
        let (first, then) = (clock.now(), clock.seconds());
        assert!(first <= clock.now() && then <= clock.seconds());
    }
}
