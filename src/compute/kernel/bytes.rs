//! Bytes: which of 64 are marks, which are digits and which are ASCII, all at a glance.
//! Never says what a byte means, and never reads beyond those that it is given.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "every CPU of this architecture has the instructions")
)]

/// Bytes that are looked at together.
pub(in super::super) const WIDTH: usize = 64;

/// What was seen: a bit for each byte, that of the first is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Glance {
    /// Bytes that are one of the marks.
    pub marks: u64,
    /// Bytes that are no decimal digit.
    pub others: u64,
    /// Bytes that are not ASCII.
    pub high: u64,
}

/// Looks at a block for four marks.
#[inline]
pub(in super::super) fn glance(block: &[u8; WIDTH], marks: [u8; 4]) -> Glance {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of the architecture.
    let glance = unsafe { sse2(block, marks) };
    #[cfg(not(target_arch = "x86_64"))]
    let glance = plain(block, marks);
    glance
}

/// The same, byte by byte.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn plain(block: &[u8; WIDTH], marks: [u8; 4]) -> Glance {
    let bits = |is: &dyn Fn(u8) -> bool| {
        block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is(*byte)))
    };
    Glance {
        marks: bits(&|byte| marks.contains(&byte)),
        others: bits(&|byte| !byte.is_ascii_digit()),
        high: bits(&|byte| !byte.is_ascii()),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2(block: &[u8; WIDTH], marks: [u8; 4]) -> Glance {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8, _mm_xor_si128,
    };
    let all = |byte: u8| _mm_set1_epi8(byte.cast_signed());
    let [a, b, c, d] = marks.map(all);
    let (zero, nine) = (all(b'0'), all(9));
    let (lanes, _) = block.as_chunks::<16>();
    let mut seen = Glance::default();
    for (place, lane) in lanes.iter().enumerate() {
        let [low, high] = [0, 8].map(|at| lane.get(at..).and_then(<[u8]>::first_chunk));
        let [low, high] = [low, high].map(|half| half.map_or(0, |half| i64::from_le_bytes(*half)));
        let lane = _mm_set_epi64x(high, low);
        let bits = |lane| u64::from(_mm_movemask_epi8(lane).cast_unsigned()) << (16 * place);
        let ab = _mm_or_si128(_mm_cmpeq_epi8(lane, a), _mm_cmpeq_epi8(lane, b));
        let cd = _mm_or_si128(_mm_cmpeq_epi8(lane, c), _mm_cmpeq_epi8(lane, d));
        let digit = _mm_xor_si128(lane, zero);
        let digits = _mm_cmpeq_epi8(digit, _mm_min_epu8(digit, nine));
        seen.marks |= bits(_mm_or_si128(ab, cd));
        seen.others |= bits(digits);
        seen.high |= bits(lane);
    }
    seen.others = !seen.others;
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_glance_sees_what_the_bytes_are(
            block: [[u8; 32]; 2],
            digits in "[0-9,.\n/:-]{64}",
            marks: [u8; 4],
        ) {
            for block in [block.concat(), digits.into_bytes()] {
                let block = block.first_chunk().unwrap();
                prop_assert_eq!(glance(block, marks), plain(block, marks));
            }
        }
    }
}
