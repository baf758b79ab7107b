//! Bytes side by side: marks are found in many of them at a time, digits are read by eight.
//! Never says what a mark means, and never reads a byte beyond those that it is given.

/// Bytes that are looked at together.
const WIDTH: usize = 64;
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// Four bytes that are looked for; each of them side by side, as often as is wanted at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks([[u8; 16]; 4]);

/// What was seen of the last [`WIDTH`] bytes that were looked at, so that marks which are close to
/// each other cost little. It is about marks and bytes that do not change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The first byte of those that are remembered.
    base: usize,
    /// How many are remembered; none at first.
    known: usize,
    /// A bit for each mark among them.
    found: u64,
    /// A bit for each of them that is not ASCII.
    high: u64,
}

impl Marks {
    /// Looks for these.
    pub(super) fn new(marks: [u8; 4]) -> Self {
        Self(marks.map(|mark| [mark; 16]))
    }

    /// Where the first mark at or behind `from` stands, or where the bytes end; and whether one of
    /// the bytes before it is not ASCII. `from` never goes back.
    #[inline(always)]
    pub(super) fn next(&self, seen: &mut Seen, bytes: &[u8], from: usize) -> (usize, bool) {
        let mut at = from;
        let mut high = 0;
        loop {
            let place = at.wrapping_sub(seen.base);
            if place < seen.known {
                // Fewer than 64: it is less than what is known.
                let place = place & (WIDTH - 1);
                let found = seen.found >> place;
                if seen.high != 0 {
                    // The bits below the lowest that is set.
                    high |= (seen.high >> place) & found.wrapping_sub(1) & !found;
                }
                if found != 0 {
                    return (at + found.trailing_zeros() as usize, high != 0);
                }
                at = seen.base + seen.known;
            }
            if at >= bytes.len() {
                return (bytes.len(), high != 0);
            }
            *seen = self.look(bytes, at);
        }
    }

    #[inline]
    fn look(&self, bytes: &[u8], base: usize) -> Seen {
        let rest = bytes.get(base..).unwrap_or_default();
        if let Some(block) = rest.first_chunk() {
            let (found, high) = self.see(block);
            return Seen { base, known: WIDTH, found, high };
        }
        let mut block = [0; WIDTH];
        block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let (found, high) = self.see(&block);
        // A byte that is not there is no mark.
        let found = found & ((1 << rest.len()) - 1);
        Seen { base, known: rest.len(), found, high }
    }

    /// Which bytes are marks, and which are not ASCII. Written so that compilers do it with
    /// wide registers.
    #[inline]
    fn see(&self, block: &[u8; WIDTH]) -> (u64, u64) {
        let [a, b, c, d] = &self.0;
        let (lanes, _) = block.as_chunks::<16>();
        let (mut found, mut all) = (0, [0; 16]);
        for (place, lane) in lanes.iter().enumerate() {
            let mut hits = [0; 16];
            let marks = a.iter().zip(b).zip(c.iter().zip(d));
            for (((hit, all), byte), ((a, b), (c, d))) in
                hits.iter_mut().zip(&mut all).zip(lane).zip(marks)
            {
                *all |= *byte;
                *hit = u8::from((byte == a) | (byte == b) | (byte == c) | (byte == d));
            }
            found |= gathered(hits) << (16 * place);
        }
        (found, if all.is_ascii() { 0 } else { highs(block) })
    }
}

/// Sixteen bytes that are 0 or 1 as bits.
#[inline]
fn gathered(bytes: [u8; 16]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().enumerate().fold(0, |bits, (half, word)| {
        // The product has each of them at its place in the highest byte.
        let product = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080);
        bits | product >> (56 - 8 * half) & 0xff << (8 * half)
    })
}

/// A bit for each byte that is not ASCII.
fn highs(block: &[u8; WIDTH]) -> u64 {
    let (lanes, _) = block.as_chunks::<16>();
    let bits = |lane: &[u8; 16]| gathered(lane.map(|byte| byte >> 7));
    lanes.iter().enumerate().fold(0, |high, (place, lane)| high | bits(lane) << (16 * place))
}

/// A text in the bytes that it stands in: what is behind it can be read along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    /// From its first byte on.
    rest: &'a [u8],
    length: usize,
}

impl<'a> Text<'a> {
    /// A text, and nothing behind it.
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text, length: text.len() }
    }

    /// The text at this place; what is not there of it is missing.
    #[inline(always)]
    pub(super) fn within(bytes: &'a [u8], start: usize, end: usize) -> Self {
        let rest = bytes.get(start..).unwrap_or_default();
        Self { rest, length: end.saturating_sub(start) }
    }

    /// The text alone.
    #[inline(always)]
    pub(super) fn alone(self) -> &'a [u8] {
        self.rest.get(..self.length).unwrap_or_default()
    }

    /// Bytes of it.
    #[inline(always)]
    pub(super) const fn length(self) -> usize {
        self.length
    }

    /// Its first byte; something else where it has none.
    #[inline(always)]
    pub(super) fn first(self) -> u8 {
        self.rest.first().copied().unwrap_or_default()
    }

    /// It without its first bytes.
    #[inline(always)]
    pub(super) fn behind(self, bytes: usize) -> Self {
        Self::within(self.rest, bytes, self.length)
    }

    /// Eight bytes from a place on, or what is there of them, and zeros.
    #[inline(always)]
    fn eight(self, at: usize) -> u64 {
        let rest = self.rest.get(at..).unwrap_or_default();
        rest.first_chunk().map_or_else(|| few(rest), |eight| u64::from_le_bytes(*eight))
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

/// Does something for each eight characters as the digits that they are, the last in the highest
/// byte, and how many characters come behind them. Of the first ones there may be fewer, with
/// zeros before them. A byte above 9 was no digit. The text is not empty.
#[inline(always)]
pub(super) fn each_eight(
    text: Text<'_>,
    mut each: impl FnMut(u64, usize) -> Option<()>,
) -> Option<()> {
    let length = text.length;
    if length <= 8 {
        return each(raised(text.eight(0) ^ ZEROS, length), 0);
    }
    let mut at = length % 8;
    if at > 0 {
        each(raised(text.eight(0) ^ ZEROS, at), length - at)?;
    }
    while at < length {
        each(text.eight(at) ^ ZEROS, length - at - 8)?;
        at += 8;
    }
    Some(())
}

/// The letters of up to eight characters as small ones, the last in the highest byte. Nothing but
/// a letter becomes one.
#[inline]
pub(super) fn small(text: Text<'_>) -> u64 {
    raised(text.eight(0) | u64::from_le_bytes([b' '; 8]), text.length)
}

/// The highest bit of each byte that is no digit; of a byte behind one beyond ASCII, perhaps, too.
#[inline]
pub(super) const fn others(digits: u64) -> u64 {
    (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// The number that eight digits are.
#[inline]
pub(super) const fn number(digits: u64) -> u64 {
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
                let (end, is_high) = marks.next(&mut seen, bytes, from);
                let rest = bytes.get(from..).unwrap_or_default();
                let length = rest.iter().position(|byte| b",\n\r\"".contains(byte));
                prop_assert_eq!(end, length.map_or(bytes.len(), |length| from + length));
                prop_assert_eq!(is_high, !bytes[from..end].is_ascii());
                from = (end + skip).min(bytes.len());
            }
        }

        #[test]
        fn a_block_is_seen_as_its_bytes_are(block: [[u8; 32]; 2], marks: [u8; 4]) {
            let block = block.concat();
            let block = block.first_chunk().unwrap();
            let is_mark = |byte: &u8| u64::from(marks.contains(byte));
            let is_high = |byte: &u8| u64::from(!byte.is_ascii());
            let bits = |is: &dyn Fn(&u8) -> u64| {
                block.iter().rev().fold(0, |bits, byte| bits << 1 | is(byte))
            };
            prop_assert_eq!(Marks::new(marks).see(block), (bits(&is_mark), bits(&is_high)));
        }

        #[test]
        fn eight_digits_are_their_number(text in "[0-9]{1,30}", behind in "[0-9a-z]{0,9}") {
            let (mut value, mut passed) = (0u128, 0);
            let whole = text.clone() + &behind;
            let text = Text::within(whole.as_bytes(), 0, text.len());
            each_eight(text, |digits, rest| {
                assert_eq!(others(digits), 0);
                let more = text.length() - rest - passed;
                value = value * 10u128.pow(more as u32) + u128::from(number(digits));
                passed += more;
                Some(())
            });
            let plainly: u128 = whole[..text.length()].parse().unwrap();
            prop_assert_eq!(value, plainly);
        }

        #[test]
        fn what_is_no_digit_is_seen(text: [u8; 8], length in 1usize..=8) {
            let first = text[..length].iter().position(|byte| !byte.is_ascii_digit());
            each_eight(Text::within(&text, 0, length), |digits, _| {
                assert_eq!(others(digits) == 0, first.is_none());
                // The first of them is where it is said to be.
                let place = first.map_or(8, |first| 8 - length + first);
                assert_eq!(others(digits).trailing_zeros() as usize / 8, place);
                Some(())
            });
        }
    }
}
