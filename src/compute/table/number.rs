//! Numbers and truth values: from the text of a cell to what it says.
//! Never rounds but to the nearest 64-bit real, ties to even, and never asks a locale.

use super::lanes::{self, Text};

/// Powers of ten that a 64-bit real holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The same as whole numbers, as far as 64 bits hold them.
const WHOLE_POWERS: [u64; FEW_DIGITS + 1] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
    10_000_000_000_000_000_000,
];

/// Digits that always fit 63 bits.
const SURE_DIGITS: usize = 18;
/// Digits that always fit 64 bits.
const FEW_DIGITS: usize = 19;

const TRUE: u64 = u64::from_le_bytes(*b"\0\0\0\0true");
const FALSE: u64 = u64::from_le_bytes(*b"\0\0\0false");

/// What a cell looks like at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A sign or none and digits: a whole number of 64 bits.
    Integer,
    /// A sign or none, digits and a point: a real that is no whole number.
    Decimal,
    /// Something that a glance does not tell.
    Other,
}

/// What a cell looks like; nothing is computed.
#[inline(always)]
pub(super) fn shape(text: Text<'_>) -> Shape {
    if text.others() == 0 && matches!(text.length(), 1..=SURE_DIGITS) {
        return Shape::Integer;
    }
    let Sight { digits, others, .. } = sight(text);
    match digits.length() {
        1..=SURE_DIGITS if others == 0 => Shape::Integer,
        2.. if point(digits, others).is_some() => Shape::Decimal,
        _ => Shape::Other,
    }
}

/// A cell behind its sign.
struct Sight<'a> {
    is_negative: bool,
    digits: Text<'a>,
    /// A bit for each byte that is no digit after all; all of them if there are many bytes.
    others: u64,
}

#[inline(always)]
fn sight(text: Text<'_>) -> Sight<'_> {
    let (first, others) = (text.byte(0), text.others());
    let is_signed = (text.length() > 0) & matches!(first, b'-' | b'+');
    let digits = text.part(usize::from(is_signed), text.length() - usize::from(is_signed));
    Sight { is_negative: first == b'-', digits, others: others >> u32::from(is_signed) }
}

/// Where the point is, if it is all that is no digit.
#[inline(always)]
fn point(digits: Text<'_>, others: u64) -> Option<usize> {
    let place = others.trailing_zeros() as usize;
    let is_alone = others & others.wrapping_sub(1) == 0;
    (is_alone & (digits.byte(place) == b'.')).then_some(place)
}

/// A sign or none, then digits: a whole number of 64 bits.
#[inline(always)]
pub(super) fn integer(text: Text<'_>) -> Option<i64> {
    let Sight { is_negative, digits, others } = sight(text);
    if others != 0 || !matches!(digits.length(), 1..=SURE_DIGITS) {
        return std::str::from_utf8(text.alone()).ok()?.parse().ok();
    }
    let value = lanes::whole(digits).cast_signed();
    Some(if is_negative { -value } else { value })
}

/// What a column of integers holds: an integer, or a decimal that is one, as programs write those
/// of a column with gaps (`17.0`). Beyond 2^53 decimals are not told apart: none of them is taken.
#[inline(always)]
pub(super) fn whole(text: Text<'_>) -> Option<i64> {
    integer(text).or_else(|| whole_of(real(text)?))
}

/// The integer that a real is, if it is one and no other real of 64 bits may have been meant.
pub(in crate::compute) fn whole_of(real: f64) -> Option<i64> {
    const END: f64 = 9_007_199_254_740_992.0;
    (real.abs() < END && real.fract() == 0.0).then_some(real as i64)
}

/// The nearest 64-bit real. The words `inf` and `nan`, and numbers beyond the range, are none.
#[inline(always)]
pub(super) fn real(text: Text<'_>) -> Option<f64> {
    short(text).or_else(|| {
        let value: f64 = std::str::from_utf8(text.alone()).ok()?.parse().ok()?;
        value.is_finite().then_some(value)
    })
}

/// A decimal of few digits without an exponent.
#[inline(always)]
fn short(text: Text<'_>) -> Option<f64> {
    let Sight { is_negative, digits, others } = sight(text);
    let length = digits.length();
    let (before, behind) = match others {
        0 => (length, 0),
        _ => {
            let place = point(digits, others)?;
            (place, length - place - 1)
        }
    };
    if !matches!(before + behind, 1..=FEW_DIGITS) {
        return None;
    }
    let fraction = lanes::whole(digits.part(before + 1, behind));
    let whole = lanes::whole(digits.part(0, before));
    let mantissa = whole.wrapping_mul(*WHOLE_POWERS.get(behind)?).wrapping_add(fraction);
    let value = nearest(mantissa, behind)?;
    Some(if is_negative { -value } else { value })
}

/// The real nearest to a whole number over a power of ten.
#[inline]
fn nearest(number: u64, places: usize) -> Option<f64> {
    if number <= 1 << f64::MANTISSA_DIGITS {
        // Both are exact, so that one division gives the nearest real (Clinger 1990).
        return Some(number as f64 / POWERS.get(places)?);
    }
    let ten = *WHOLE_POWERS.get(places)?;
    let (up, down) = (number.leading_zeros(), ten.leading_zeros());
    let (number, ten) = (u128::from(number << up) << 63, u128::from(ten << down));
    // At least 62 bits of the quotient; the last stands for all that are behind it.
    let quotient = number / ten;
    let quotient = quotient as u64 | u64::from(quotient * ten != number);
    // A power of two: the product is exact.
    let scale = u64::from(1023 - 63 + down - up) << (f64::MANTISSA_DIGITS - 1);
    Some(quotient as f64 * f64::from_bits(scale))
}

/// `true` or `false`, in any case of letters.
#[inline(always)]
pub(super) fn truth(text: Text<'_>) -> Option<bool> {
    let (word, is_long) = (lanes::small(text), text.length() > 8);
    let (is_true, is_false) = (word == TRUE, word == FALSE);
    (!is_long && (is_true | is_false)).then_some(is_true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Text<'_> {
        Text::new(text.as_bytes())
    }

    fn plain(text: &str) -> Option<f64> {
        text.parse().ok().filter(|value: &f64| value.is_finite())
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", "+", ".", "-.", "1 ", "1_0", "0x1", "1e", "e1", "--1", "1.2.3", "١"]
        {
            assert_eq!((integer(of(text)), real(of(text))), (None, None), "{text}");
        }
        for text in ["inf", "-Infinity", "nan", "NaN", "1e999"] {
            assert_eq!(real(of(text)), None, "{text}");
        }
        assert_eq!(integer(of("9223372036854775808")), None);
        assert_eq!(integer(of("-9223372036854775808")), Some(i64::MIN));
        assert_eq!(integer(of("0000000000000000000000000001")), Some(1));
    }

    #[test]
    fn a_decimal_that_is_whole_is_taken_for_an_integer() {
        for (text, value) in [("17.0", 17), ("-3.", -3), ("1e2", 100), ("-0.0", 0), ("8", 8)] {
            assert_eq!(whole(of(text)), Some(value), "{text}");
        }
        for text in ["17.5", "1e-2", "9007199254740992.0", "1e300", "nan", "x", ""] {
            assert_eq!(whole(of(text)), None, "{text}");
        }
        assert_eq!(whole(of("9007199254740993")), Some(9_007_199_254_740_993));
    }

    proptest! {
        #[test]
        fn reals_have_the_bits_of_correct_rounding(
            text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,24})?([eE][+-]?[0-9]{1,3})?",
        ) {
            let bits = |value: Option<f64>| value.map(f64::to_bits);
            prop_assert_eq!(bits(real(of(&text))), bits(plain(&text)));
        }

        #[test]
        fn a_glance_tells_nothing_that_is_not_so(
            text in "[+-]?[0-9]{0,20}[0-9.eE+-]{0,3}[0-9]{0,9}",
        ) {
            let text = of(&text);
            let told = (integer(text).is_some(), real(text).is_some());
            match shape(text) {
                Shape::Integer => prop_assert_eq!(told, (true, true)),
                Shape::Decimal => prop_assert_eq!(told, (false, true)),
                Shape::Other => {}
            }
        }

        #[test]
        fn what_is_written_of_a_number_is_read_as_that_number(value: i64, bits: u64) {
            prop_assert_eq!(integer(of(&value.to_string())), Some(value));
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let texts = [format!("{value}"), format!("{value:e}")];
                for text in texts {
                    let read = real(of(&text)).map(f64::to_bits);
                    prop_assert_eq!(read, Some(value.to_bits()));
                }
            }
        }
    }
}
