//! Bytes side by side: marks are found in many of them at a time, digits are read by eight.
//! Never says what a mark means, and never reads a byte beyond those that it is given.

use crate::compute::kernel::bytes::{Glance, WIDTH, glance};

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// Nobody looked which bytes are no digits, or there are more than 64.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Four bytes that are looked for, many bytes at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks([u8; 4]);

/// What was seen of the last [`WIDTH`] bytes that were looked at, so that marks which are close to
/// each other cost little. It is about bytes that do not change: others need a new one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The first byte of those that are remembered.
    base: usize,
    /// How many are remembered; none at first.
    known: usize,
    glance: Glance,
}

/// What comes before a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where the mark stands, or where the bytes end.
    pub(super) end: usize,
    /// Whether a byte before it is not ASCII.
    pub(super) is_high: bool,
    /// A bit for each byte before it that is no digit, or [`UNKNOWN`].
    pub(super) others: u64,
}

impl Marks {
    /// Looks for these.
    pub(super) const fn new(marks: [u8; 4]) -> Self {
        Self(marks)
    }

    /// The bytes from `from` to the first mark there. `from` never goes back.
    #[inline(always)]
    pub(super) fn next(self, seen: &mut Seen, bytes: &[u8], from: usize) -> Run {
        let place = from.wrapping_sub(seen.base);
        if place < seen.known {
            // Fewer than 64: it is less than what is known.
            let place = place & (WIDTH - 1);
            let marks = seen.glance.marks >> place;
            if marks != 0 {
                // The bits below the lowest that is set.
                let before = marks.wrapping_sub(1) & !marks;
                let others = (seen.glance.others >> place) & before;
                let is_high = (seen.glance.high >> place) & before != 0;
                return Run { end: from + marks.trailing_zeros() as usize, is_high, others };
            }
        }
        let run;
        (*seen, run) = self.search(*seen, bytes, from);
        run
    }

    /// The same where what is remembered has no mark.
    #[inline(never)]
    fn search(self, mut seen: Seen, bytes: &[u8], from: usize) -> (Seen, Run) {
        let (mut at, mut high, mut others) = (from, 0, 0);
        let place = at.wrapping_sub(seen.base);
        if place < seen.known {
            high |= seen.glance.high >> place;
            others = seen.glance.others >> place;
            at = seen.base + seen.known;
        }
        while at < bytes.len() {
            seen = self.look(bytes, at);
            let glance = seen.glance;
            let before = glance.marks.wrapping_sub(1) & !glance.marks;
            high |= glance.high & before;
            if glance.marks != 0 {
                let end = at + glance.marks.trailing_zeros() as usize;
                let is_told = end - from <= WIDTH && at - from < WIDTH;
                let more = (glance.others & before) << ((at - from) % WIDTH);
                let others = if is_told { others | more } else { UNKNOWN };
                return (seen, Run { end, is_high: high != 0, others });
            }
            others = UNKNOWN;
            at += seen.known;
        }
        (seen, Run { end: bytes.len(), is_high: high != 0, others: UNKNOWN })
    }

    #[inline]
    fn look(self, bytes: &[u8], base: usize) -> Seen {
        let known = (bytes.len() - base).min(WIDTH);
        let mut glance = glance_from(bytes, base, self.0);
        // A byte that is not there is no mark.
        glance.marks &= lowest(known);
        Seen { base, known, glance }
    }
}

/// A glance at the bytes from a place on; zeros stand for those that are not there.
#[inline]
fn glance_from(bytes: &[u8], from: usize, marks: [u8; 4]) -> Glance {
    let rest = bytes.get(from..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return glance(block, marks);
    }
    let mut block = [0; WIDTH];
    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    glance(&block, marks)
}

/// So many of the lowest bits: 1 to 64.
const fn lowest(bits: usize) -> u64 {
    u64::MAX >> (WIDTH - bits)
}

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

    /// The text at this place; what is not there of it is missing. Which of its bytes are no digits
    /// was seen before, or is [`UNKNOWN`].
    #[inline(always)]
    pub(super) fn within(bytes: &'a [u8], start: usize, end: usize, others: u64) -> Self {
        Self { bytes, start, length: end.saturating_sub(start), others }
    }

    /// A bit for each of its bytes that is no digit; [`UNKNOWN`] if it has more than 64.
    #[inline(always)]
    pub(super) fn others(self) -> u64 {
        if self.others == UNKNOWN { self.look() } else { self.others }
    }

    #[inline(never)]
    fn look(self) -> u64 {
        match self.length {
            0 => 0,
            1..=WIDTH => glance_from(self.bytes, self.start, [0; 4]).others & lowest(self.length),
            _ => UNKNOWN,
        }
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
    let length = digits.length;
    if length <= 8 {
        let digits = raised(digits.eight(0) ^ ZEROS, length);
        return if length == 0 { 0 } else { eight_digits(digits) };
    }
    let mut at = length % 8;
    let first = raised(digits.eight(0) ^ ZEROS, at);
    let mut number = if at == 0 { 0 } else { eight_digits(first) };
    while at < length {
        number = number.wrapping_mul(100_000_000);
        number = number.wrapping_add(eight_digits(digits.eight(at) ^ ZEROS));
        at += 8;
    }
    number
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
        fn marks_are_found_where_they_stand(
            bytes in "[,\n\r\"a1\u{e9}]{0,200}",
            skips in prop::collection::vec(1usize..80, 1..8),
        ) {
            let bytes = bytes.as_bytes();
            let mut seen = Seen::default();
            let marks = Marks::new(*b",\n\r\"");
            let mut from = 0;
            for skip in skips {
                let Run { end, is_high, others } = marks.next(&mut seen, bytes, from);
                let rest = bytes.get(from..).unwrap_or_default();
                let length = rest.iter().position(|byte| b",\n\r\"".contains(byte));
                prop_assert_eq!(end, length.map_or(bytes.len(), |length| from + length));
                let run = &bytes[from..end];
                prop_assert_eq!(is_high, !run.is_ascii());
                if others != UNKNOWN {
                    let bit = |byte: &u8| u64::from(!byte.is_ascii_digit());
                    prop_assert_eq!(others, run.iter().rev().fold(0, |bits, b| bits << 1 | bit(b)));
                }
                from = (end + skip).min(bytes.len());
            }
        }

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
            prop_assert_eq!(others, if length > 64 { UNKNOWN } else { plainly });
        }
    }
}
