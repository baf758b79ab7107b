//! Hours: when in a day a worker takes on work. Never reads a clock: the time is an argument.

const DAY_MINUTES: u64 = 24 * 60;
const MINUTE_MS: u64 = 60_000;

/// A stretch of each day in UTC, in minutes from midnight: from the first on, until the second;
/// over midnight where that is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: u64,
    until: u64,
}

impl Hours {
    /// Reads `22:00-06:00`; both ends differ.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (minute(from)?, minute(until)?);
        (from != until).then_some(Self { from, until })
    }

    /// Whether work is taken on at this time, in milliseconds since 1970.
    #[must_use]
    pub const fn hold(&self, wall_ms: u64) -> bool {
        let minute = wall_ms / MINUTE_MS % DAY_MINUTES;
        if self.from < self.until {
            self.from <= minute && minute < self.until
        } else {
            self.from <= minute || minute < self.until
        }
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |minute: u64| (minute / 60, minute % 60);
        let ((from, past), (until, to)) = (of(self.from), of(self.until));
        write!(f, "{from:02}:{past:02}-{until:02}:{to:02}")
    }
}

/// `06:30` as minutes from midnight.
fn minute(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    let is_short = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_short(hour) || !is_short(minute) {
        return None;
    }
    let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_hold_from_their_first_minute_until_their_last_and_over_midnight() {
        let at = |hour: u64, minute: u64| (40 * DAY_MINUTES + hour * 60 + minute) * MINUTE_MS;
        let (day, night) = (Hours::read("08:30-17:00"), Hours::read("22:00-06:00"));
        let (day, night) = (day.unwrap(), night.unwrap());
        assert!(day.hold(at(8, 30)) && day.hold(at(16, 59)));
        assert!(!day.hold(at(8, 29)) && !day.hold(at(17, 0)));
        assert!(night.hold(at(22, 0)) && night.hold(at(0, 0)) && night.hold(at(5, 59)));
        assert!(!night.hold(at(6, 0)) && !night.hold(at(21, 59)));
        assert_eq!(night.to_string(), "22:00-06:00");
        for text in
            ["", "8:00-9:00", "08:00", "08:00-24:00", "08:00-08:60", "08:00-08:00", "+1:00-02:00"]
        {
            assert_eq!(Hours::read(text), None, "{text}");
        }
    }
}
