//! Bytes: which of 64 end a cell, open a quote, are digits or are ASCII, all at a glance.
//! Never says what a byte means, and never reads beyond those that it is given.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "a function compiled for AVX2 is called where an `Isa` proves it"
    )
)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::isa::Kind;

/// Bytes that are looked at together.
pub(in super::super) const WIDTH: usize = 64;

/// What was seen: a bit for each byte, that of the first is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Glance {
    /// Bytes that are the delimiter.
    pub delimiters: u64,
    /// Line feeds.
    pub feeds: u64,
    /// Carriage returns.
    pub returns: u64,
    /// Bytes that are the quote.
    pub quotes: u64,
    /// Bytes that are no decimal digit.
    pub others: u64,
    /// Bytes that are not ASCII.
    pub high: u64,
}

/// A glance at each block in turn; zeros stand for what the last one lacks. What is in `seen` is
/// replaced.
pub(in super::super) fn glances(
    isa: Isa,
    bytes: &[u8],
    (delimiter, quote): (u8, u8),
    seen: &mut Vec<Glance>,
) {
    let (blocks, rest) = bytes.as_chunks::<WIDTH>();
    seen.clear();
    look(isa, blocks, (delimiter, quote), seen);
    if !rest.is_empty() {
        let mut block = [0; WIDTH];
        block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        look(isa, &[block], (delimiter, quote), seen);
    }
}

fn look(isa: Isa, blocks: &[[u8; WIDTH]], marks: (u8, u8), seen: &mut Vec<Glance>) {
    match isa.kind() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of these kinds is only made after AVX2 was detected.
        Kind::Avx2 | Kind::Avx512 => unsafe { avx2(blocks, marks, seen) },
        _ => seen.extend(blocks.iter().map(|block| plain(block, marks))),
    }
}

/// Byte by byte.
fn plain(block: &[u8; WIDTH], (delimiter, quote): (u8, u8)) -> Glance {
    let bits = |is: &dyn Fn(u8) -> bool| {
        block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is(*byte)))
    };
    Glance {
        delimiters: bits(&|byte| byte == delimiter),
        feeds: bits(&|byte| byte == b'\n'),
        returns: bits(&|byte| byte == b'\r'),
        quotes: bits(&|byte| byte == quote),
        others: bits(&|byte| !byte.is_ascii_digit()),
        high: bits(&|byte| !byte.is_ascii()),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(blocks: &[[u8; WIDTH]], (delimiter, quote): (u8, u8), seen: &mut Vec<Glance>) {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
        _mm256_set1_epi8, _mm256_xor_si256,
    };
    let all = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    let (delimiter, quote, feed, return_) = (all(delimiter), all(quote), all(b'\n'), all(b'\r'));
    let (zero, nine) = (all(b'0'), all(9));
    let bits = |low: __m256i, high: __m256i| {
        let low = _mm256_movemask_epi8(low).cast_unsigned();
        let high = _mm256_movemask_epi8(high).cast_unsigned();
        u64::from(low) | u64::from(high) << 32
    };
    let same = |low, high, byte| bits(_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte));
    for block in blocks {
        let half = block.as_ptr().cast::<__m256i>();
        // SAFETY: a block has two halves of 32 bytes, and any address may be read.
        let (low, high) = unsafe { (_mm256_loadu_si256(half), _mm256_loadu_si256(half.add(1))) };
        let (a, b) = (_mm256_xor_si256(low, zero), _mm256_xor_si256(high, zero));
        let digits = bits(
            _mm256_cmpeq_epi8(a, _mm256_min_epu8(a, nine)),
            _mm256_cmpeq_epi8(b, _mm256_min_epu8(b, nine)),
        );
        seen.push(Glance {
            delimiters: same(low, high, delimiter),
            feeds: same(low, high, feed),
            returns: same(low, high, return_),
            quotes: same(low, high, quote),
            others: !digits,
            high: bits(low, high),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_glance_sees_what_the_bytes_are(
            some: Vec<u8>,
            digits in "[0-9,.\n\r\"/:-]{0,200}",
            marks: (u8, u8),
        ) {
            for (bytes, marks) in [(some, marks), (digits.into_bytes(), (b',', b'"'))] {
                let mut padded = bytes.clone();
                padded.resize(bytes.len().next_multiple_of(WIDTH), 0);
                let (blocks, _) = padded.as_chunks();
                let plainly: Vec<_> = blocks.iter().map(|block| plain(block, marks)).collect();
                for isa in Isa::all() {
                    let mut seen = vec![Glance::default()];
                    glances(isa, &bytes, marks, &mut seen);
                    prop_assert_eq!(&seen, &plainly);
                }
            }
        }
    }
}
