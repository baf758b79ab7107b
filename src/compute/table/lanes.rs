//! Bytes side by side: a text in the bytes that it stands in, and digits that are read by eight.
//! Never says what a text means, and never reads a byte beyond those that it is given.

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// Nobody looked which bytes are no digits, or there are more than 63.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// A text in the bytes that it stands in: what is behind it can be read along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    start: usize,
    length: usize,
    /// A bit for each of its bytes that is no digit, or [`UNKNOWN`].
    others: u64,
}

impl<'a> Text<'a> {
    /// A text, and nothing behind it.
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { bytes: text, start: 0, length: text.len(), others: UNKNOWN }
    }

    /// So many bytes from a place on; what is not there of them is missing. Which of them are no
    /// digits was seen before, or is [`UNKNOWN`].
    #[inline(always)]
    pub(super) const fn within(bytes: &'a [u8], start: usize, length: usize, others: u64) -> Self {
        Self { bytes, start, length, others }
    }

    /// A bit for each of its bytes that is no digit; [`UNKNOWN`] if it has more than 63.
    #[inline(always)]
    pub(super) fn others(self) -> u64 {
        if self.others == UNKNOWN { look(self.alone()) } else { self.others }
    }

    /// The text alone.
    #[inline(always)]
    pub(super) fn alone(self) -> &'a [u8] {
        self.bytes.get(self.start..self.start + self.length).unwrap_or_default()
    }

    /// Bytes of it.
    #[inline(always)]
    pub(super) const fn length(self) -> usize {
        self.length
    }

    /// The byte at a place of it; something else where there is none.
    #[inline(always)]
    pub(super) fn byte(self, at: usize) -> u8 {
        self.bytes.get(self.start + at).copied().unwrap_or_default()
    }

    /// So many of its bytes from a place on.
    #[inline(always)]
    pub(super) fn part(self, at: usize, length: usize) -> Self {
        Self { start: self.start + at, length, others: UNKNOWN, ..self }
    }

    /// Eight bytes from a place on, or what is there of them, and zeros.
    #[inline(always)]
    fn eight(self, at: usize) -> u64 {
        let from = self.start + at;
        match self.bytes.get(from..from + 8).and_then(<[u8]>::first_chunk) {
            Some(eight) => u64::from_le_bytes(*eight),
            None => few(self.bytes.get(from..).unwrap_or_default()),
        }
    }
}

/// A bit for each byte that is no digit, or [`UNKNOWN`].
#[inline(never)]
fn look(bytes: &[u8]) -> u64 {
    if bytes.len() > 63 {
        return UNKNOWN;
    }
    bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(!byte.is_ascii_digit()))
}

#[cold]
fn few(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Shifts so many bytes, of eight, to the highest places; zeros come before them. None count as
/// eight.
#[inline(always)]
const fn raised(word: u64, bytes: usize) -> u64 {
    word << (64usize.wrapping_sub(8 * bytes) & 63)
}

/// The number that its digits are; what does not fit 64 bits is lost.
#[inline(always)]
pub(super) fn whole(digits: Text<'_>) -> u64 {
    let (mut length, mut number, mut weight) = (digits.length, 0u64, 1u64);
    while length > 8 {
        length -= 8;
        let eight = eight_digits(digits.eight(length) ^ ZEROS);
        number = number.wrapping_add(eight.wrapping_mul(weight));
        weight = weight.wrapping_mul(100_000_000);
    }
    let first = if length == 0 { 0 } else { raised(digits.eight(0) ^ ZEROS, length) };
    number.wrapping_add(eight_digits(first).wrapping_mul(weight))
}

/// The letters of up to eight characters as small ones, the last in the highest byte. Nothing but
/// a letter becomes one.
#[inline]
pub(super) fn small(text: Text<'_>) -> u64 {
    raised(text.eight(0) | u64::from_le_bytes([b' '; 8]), text.length)
}

/// The number that eight digits are.
#[inline]
const fn eight_digits(digits: u64) -> u64 {
    // Pairs, then the four pairs by their weights: of each product only the upper half is wanted.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let (even, odd) = (pairs & 0x0000_00ff_0000_00ff, (pairs >> 16) & 0x0000_00ff_0000_00ff);
    let even = even.wrapping_mul(100 + (1_000_000 << 32));
    even.wrapping_add(odd.wrapping_mul(1 + (10_000 << 32))) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_their_number(text in "[0-9]{0,19}", behind in "[0-9a-z]{0,9}") {
            let both = text.clone() + &behind;
            let digits = Text::within(both.as_bytes(), 0, text.len(), UNKNOWN);
            prop_assert_eq!(whole(digits), text.parse().unwrap_or(0));
        }

        #[test]
        fn what_is_no_digit_is_seen(text: Vec<u8>, length in 0usize..80) {
            let length = length.min(text.len());
            let bit = |byte: &u8| u64::from(!byte.is_ascii_digit());
            let plainly = text[..length].iter().rev().fold(0, |bits, byte| bits << 1 | bit(byte));
            let others = Text::within(&text, 0, length, UNKNOWN).others();
            prop_assert_eq!(others, if length > 63 { UNKNOWN } else { plainly });
        }
    }
}
