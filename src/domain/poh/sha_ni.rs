//! Links with the SHA instructions of x86-64, up to four chains interleaved.
//! Decides nothing about the result: `link`'s tests hold it to `sha2` bit for bit.
//!
//! One chain waits for itself most of the time: each round needs the one before. Four chains in one
//! instruction stream fill the gaps. The state stays in registers from link to link.
#![expect(unsafe_code, reason = "a function with target features is called after detecting them")]
#![expect(clippy::indexing_slicing, reason = "every index is a constant checked while compiling")]

use super::link::{START, Words};
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_extract_epi32, _mm_set_epi32,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi32,
};

/// The round constants (FIPS 180-4, 4.2.2), four to a group of rounds.
pub(super) const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// Moves every chain on by `links` links; `false`, and nothing done, without the instructions.
pub(super) fn run(chains: &mut [Words], links: u64) -> bool {
    if !(is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1")) {
        return false;
    }
    let (fours, rest) = chains.as_chunks_mut::<4>();
    let (pairs, ones) = rest.as_chunks_mut::<2>();
    // SAFETY: `chains_of` touches memory only through safe references and values; its one demand
    // is that the processor has `sha` and `sse4.1` (which implies sse2 and ssse3), detected above.
    unsafe {
        fours.iter_mut().for_each(|four| chains_of(four, links));
        pairs.iter_mut().for_each(|pair| chains_of(pair, links));
        ones.iter_mut().for_each(|one| chains_of(std::array::from_mut(one), links));
    }
    true
}

/// `N` chains in one instruction stream.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn chains_of<const N: usize>(chains: &mut [Words; N], links: u64) {
    let [a, b, c, d, e, f, g, h] = START;
    let start = [vector([f, e, b, a]), vector([h, g, d, c])];
    let mut message =
        chains.map(|[a, b, c, d, e, f, g, h]| [vector([a, b, c, d]), vector([e, f, g, h])]);
    for _ in 0..links {
        // The rest of the block is the padding of a 32-byte message.
        let pad = [vector([0x8000_0000, 0, 0, 0]), vector([0, 0, 0, 256])];
        let mut w = message.map(|[w0, w1]| [w0, w1, pad[0], pad[1]]);
        let mut state = [start; N];
        rounds::<N, 0>(&mut state, &w);
        rounds::<N, 1>(&mut state, &w);
        rounds::<N, 2>(&mut state, &w);
        rounds::<N, 3>(&mut state, &w);
        scheduled::<N, 4>(&mut state, &mut w);
        scheduled::<N, 5>(&mut state, &mut w);
        scheduled::<N, 6>(&mut state, &mut w);
        scheduled::<N, 7>(&mut state, &mut w);
        scheduled::<N, 8>(&mut state, &mut w);
        scheduled::<N, 9>(&mut state, &mut w);
        scheduled::<N, 10>(&mut state, &mut w);
        scheduled::<N, 11>(&mut state, &mut w);
        scheduled::<N, 12>(&mut state, &mut w);
        scheduled::<N, 13>(&mut state, &mut w);
        scheduled::<N, 14>(&mut state, &mut w);
        scheduled::<N, 15>(&mut state, &mut w);
        for (message, [feba, hgdc]) in message.iter_mut().zip(state) {
            // From the order of the round instruction (f e b a | h g d c, low word first) to the
            // order of the message (a b c d | e f g h).
            let feba = _mm_shuffle_epi32(_mm_add_epi32(feba, start[0]), 0x1B);
            let hgdc = _mm_shuffle_epi32(_mm_add_epi32(hgdc, start[1]), 0xB1);
            *message = [_mm_blend_epi16(feba, hgdc, 0xF0), _mm_alignr_epi8(hgdc, feba, 8)];
        }
    }
    for (chain, [low, high]) in chains.iter_mut().zip(message) {
        let ([a, b, c, d], [e, f, g, h]) = (scalars(low), scalars(high));
        *chain = [a, b, c, d, e, f, g, h];
    }
}

/// Rounds `4 R` to `4 R + 3` of every chain.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn rounds<const N: usize, const R: usize>(state: &mut [[__m128i; 2]; N], w: &[[__m128i; 4]; N]) {
    let k = vector(const { ROUNDS[R] });
    for ([abef, cdgh], w) in state.iter_mut().zip(w) {
        let wk = _mm_add_epi32(w[const { R % 4 }], k);
        *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
        *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0E));
    }
}

/// The same, with the four message words of these rounds made first (FIPS 180-4, 6.2.2).
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn scheduled<const N: usize, const R: usize>(
    state: &mut [[__m128i; 2]; N],
    w: &mut [[__m128i; 4]; N],
) {
    for w in w.iter_mut() {
        let (w0, w1) = (w[const { R % 4 }], w[const { (R + 1) % 4 }]);
        let (w2, w3) = (w[const { (R + 2) % 4 }], w[const { (R + 3) % 4 }]);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
        w[const { R % 4 }] = _mm_sha256msg2_epu32(sum, w3);
    }
    rounds::<N, R>(state, w);
}

/// Four words, the first one lowest.
#[inline]
#[target_feature(enable = "sse2")]
fn vector([a, b, c, d]: [u32; 4]) -> __m128i {
    _mm_set_epi32(d.cast_signed(), c.cast_signed(), b.cast_signed(), a.cast_signed())
}

/// The inverse of [`vector`].
#[inline]
#[target_feature(enable = "sse4.1")]
fn scalars(v: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32(v, 0).cast_unsigned(),
        _mm_extract_epi32(v, 1).cast_unsigned(),
        _mm_extract_epi32(v, 2).cast_unsigned(),
        _mm_extract_epi32(v, 3).cast_unsigned(),
    ]
}
