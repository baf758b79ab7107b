//! Numbers and truth values: from the text of a cell to what it says.
//! Never rounds but to the nearest 64-bit real, ties to even, and never asks a locale.

/// Powers of ten that a 64-bit real holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Digits that always fit 63 bits.
const SURE_DIGITS: usize = 18;

/// A sign or none, then digits: a whole number of 64 bits.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() > SURE_DIGITS {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if is_negative { -value } else { value })
}

/// The nearest 64-bit real. The words `inf` and `nan`, and numbers beyond the range, are none.
pub(super) fn real(text: &[u8]) -> Option<f64> {
    short(text).or_else(|| {
        let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        value.is_finite().then_some(value)
    })
}

/// Whether [`real`] gives something; mostly sooner, because nothing is computed.
pub(super) fn is_real(text: &[u8]) -> bool {
    is_short(text) || real(text).is_some()
}

/// A sign or none, then some digits with at most one point among them, and few of them.
fn is_short(text: &[u8]) -> bool {
    let digits = match text {
        [b'-' | b'+', digits @ ..] => digits,
        digits => digits,
    };
    let (mut points, mut others) = (0, 0);
    for byte in digits {
        points += usize::from(*byte == b'.');
        others += usize::from(byte.wrapping_sub(b'0') > 9);
    }
    digits.len() <= SURE_DIGITS && points == others && points <= 1 && digits.len() > points
}

/// A decimal of few digits without an exponent: numerator and denominator are exact, so that one
/// division gives the nearest real (Clinger 1990).
fn short(text: &[u8]) -> Option<f64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.len() > SURE_DIGITS {
        return None;
    }
    let mut mantissa = 0u64;
    let mut point = None;
    for (index, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            return None;
        }
    }
    let count = digits.len() - usize::from(point.is_some());
    if count == 0 || mantissa > 1 << f64::MANTISSA_DIGITS {
        return None;
    }
    let places = point.map_or(0, |point| digits.len() - point - 1);
    // Exact: it has at most 53 bits.
    let value = mantissa as f64 / POWERS.get(places)?;
    Some(if is_negative { -value } else { value })
}

/// `true` or `false`, in any case of letters.
pub(super) fn truth(text: &[u8]) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> Option<f64> {
        text.parse().ok().filter(|value: &f64| value.is_finite())
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", "+", ".", "-.", "1 ", "1_0", "0x1", "1e", "e1", "--1", "1.2.3", "١"]
        {
            assert_eq!((integer(text.as_bytes()), real(text.as_bytes())), (None, None), "{text}");
        }
        for text in ["inf", "-Infinity", "nan", "NaN", "1e999"] {
            assert_eq!(real(text.as_bytes()), None, "{text}");
        }
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"0000000000000000000000000001"), Some(1));
    }

    proptest! {
        #[test]
        fn reals_have_the_bits_of_correct_rounding(
            text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,24})?([eE][+-]?[0-9]{1,3})?",
        ) {
            let bits = |value: Option<f64>| value.map(f64::to_bits);
            prop_assert_eq!(bits(real(text.as_bytes())), bits(plain(&text)));
        }

        #[test]
        fn a_text_is_a_real_where_it_is_read_as_one(text in "[+-]?[0-9.eE+-]{0,20}") {
            prop_assert_eq!(is_real(text.as_bytes()), real(text.as_bytes()).is_some(), "{}", text);
        }

        #[test]
        fn what_is_written_of_a_number_is_read_as_that_number(value: i64, bits: u64) {
            prop_assert_eq!(integer(value.to_string().as_bytes()), Some(value));
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let texts = [format!("{value}"), format!("{value:e}")];
                for text in texts {
                    let read = real(text.as_bytes()).map(f64::to_bits);
                    prop_assert_eq!(read, Some(value.to_bits()));
                }
            }
        }
    }
}
