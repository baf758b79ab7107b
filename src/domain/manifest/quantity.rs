//! Quantities as text: decimals as scaled integers, durations, names. No float on the way.
//! Never knows which field a quantity stands in.

use super::form::Unit;
use crate::domain::terms::Amounts;

/// Milliseconds in a day, the largest unit of a duration.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A decimal without sign or exponent as an integer of 10^-places; `None` if it is none, is finer
/// than that, or does not fit.
pub(super) fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let fine = fraction.trim_end_matches('0');
    if !is_digits(whole) || !is_digits(fraction) || fine.len() > places {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(places).ok()?)?;
    let fine: u64 = format!("{fine:0<places$}0").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(fine / 10)
}

/// A duration such as `15m`, `1h30m` or `500ms` in milliseconds: units descend, each once.
#[must_use]
pub fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => DAY_MS,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        total = total.checked_add(count.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = tail;
    }
    (last != u64::MAX).then_some(total)
}

/// Things that one worker can have, at most: no machine comes near it.
const COUNT_MAX: u64 = 1_000_000;
/// Bytes that one worker can have, at most: a pebibyte.
const BYTES_MAX: u64 = 1 << 50;

/// Why a text is no range that a worker can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misfit {
    /// It does not read as one.
    Form,
    /// The smaller end is the second.
    Backwards,
    /// It asks for none where some are needed.
    Nothing,
    /// It asks for more than there can be.
    Beyond,
}

/// A range: `4` is exactly that, `2..` at least, `..8` at most, `2..8` both.
pub(super) fn range(text: &str, unit: Unit) -> Result<Amounts, Misfit> {
    let one = |text: &str| match unit {
        Unit::Bytes => bytes(text),
        Unit::Some | Unit::Any => decimal(text, 0).filter(|_| !text.contains('.')),
    };
    let end = |text: &str| match text {
        "" => Ok(None),
        text => one(text).map(Some).ok_or(Misfit::Form),
    };
    let (min, max) = match text.split_once("..") {
        Some(("", "")) => return Err(Misfit::Form),
        Some((min, max)) => (end(min)?.unwrap_or(0), end(max)?),
        None => one(text).map(|exact| (exact, Some(exact))).ok_or(Misfit::Form)?,
    };
    let most = if unit == Unit::Bytes { BYTES_MAX } else { COUNT_MAX };
    match max {
        Some(max) if max < min => Err(Misfit::Backwards),
        Some(0) if unit != Unit::Any => Err(Misfit::Nothing),
        _ if min > most || max.is_some_and(|max| max > most) => Err(Misfit::Beyond),
        _ => Ok(Amounts { min, max }),
    }
}

/// A number of bytes with its unit, such as `64MiB` or `1.5GB`: whole bytes, no float on the way.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, factor) = UNITS.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit)?;
        number.ends_with(|c: char| c.is_ascii_digit()).then_some((number, *factor))
    })?;
    let milli = decimal(number, 3)?.checked_mul(factor)?;
    (milli % 1_000 == 0).then_some(milli / 1_000)
}

/// Whether text can name a stage, source, parameter, axis, part or output: a letter, then letters,
/// digits, `-` and `_`, at most 63 in all. What divides references and addresses cannot occur.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether text is a DNS label: lower-case letters, digits and inner `-`, at most 63 in all.
pub(super) fn is_dns_label(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether text can stand in the label of an instance: what divides labels cannot occur.
pub(super) fn is_label_value(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-/".contains(&b))
}

/// Whether text can be a mark of comma-separated values: one ASCII character that no word, number
/// or line break has.
pub(super) fn is_mark(text: &str) -> bool {
    match text.as_bytes() {
        [b'\t'] => true,
        [byte] => !byte.is_ascii_control() && byte.is_ascii() && !byte.is_ascii_alphanumeric(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(actual: T, expect: T) {
        assert_eq!(actual, expect);
    }

    #[test]
    fn decimals_are_scaled_integers() {
        check(decimal("0.25", 6), Some(250_000));
        check(decimal("1", 6), Some(1_000_000));
        check(decimal("0.1234567", 6), None);
        check(decimal("0.100000000", 6), Some(100_000));
        check(decimal("12.5", 0), None);
        check(decimal("12.0", 0), Some(12));
        for bad in ["", ".", ".5", "5.", "-1", "+1", "1e3", "1_0", "99999999999999999999"] {
            check(decimal(bad, 6), None);
        }
    }

    #[test]
    fn durations_have_units_that_descend() {
        check(duration_ms("15m"), Some(900_000));
        check(duration_ms("1h30m"), Some(5_400_000));
        check(duration_ms("500ms"), Some(500));
        check(duration_ms("2d"), Some(172_800_000));
        for bad in ["", "15", "m", "30m1h", "1m1m", "1 m", "1.5h", "99999999999999999999s"] {
            check(duration_ms(bad), None);
        }
    }

    #[test]
    fn ranges_have_ends_and_units() {
        let amounts = |min, max| Ok(Amounts { min, max });
        check(range("4", Unit::Some), amounts(4, Some(4)));
        check(range("2..", Unit::Some), amounts(2, None));
        check(range("2..8", Unit::Some), amounts(2, Some(8)));
        check(range("..8", Unit::Some), amounts(0, Some(8)));
        check(range("0", Unit::Any), amounts(0, Some(0)));
        check(range("1.5GiB..2GB", Unit::Bytes), amounts(3 << 29, Some(2_000_000_000)));
        check(range("8..2", Unit::Some), Err(Misfit::Backwards));
        check(range("0", Unit::Some), Err(Misfit::Nothing));
        check(range("0B", Unit::Bytes), Err(Misfit::Nothing));
        check(range("2000000", Unit::Some), Err(Misfit::Beyond));
        check(range("4096TiB..", Unit::Bytes), Err(Misfit::Beyond));
        for bad in ["", "..", "a", "1.5", "1..2..3", "-1", "2 ..", "4GiB"] {
            check(range(bad, Unit::Some), Err(Misfit::Form));
        }
        for bad in ["4", "GiB", "1.0001kB", "1gib", "99999999999999TiB"] {
            check(range(bad, Unit::Bytes), Err(Misfit::Form));
        }
    }

    #[test]
    fn names_cannot_hold_what_divides_references() {
        check(is_identifier("train-2_b"), true);
        for bad in ["", "2a", "a.b", "a b", "a@b", "é"] {
            check(is_identifier(bad), false);
        }
        check(is_dns_label("iris-2"), true);
        for bad in ["", "-a", "a-", "A", "a_b", &"a".repeat(64)] {
            check(is_dns_label(bad), false);
        }
        check(is_label_value("0.01"), true);
        check(is_label_value("a,b"), false);
    }

    proptest! {
        #[test]
        fn a_decimal_is_what_it_says(whole in 0u64..1_000_000, micro in 0u64..1_000_000) {
            let text = format!("{whole}.{micro:06}");
            prop_assert_eq!(decimal(&text, 6), Some(whole * 1_000_000 + micro));
        }
    }
}
