//! Links with AVX-512: sixteen chains at a time, one in each lane of the registers.
//! Decides nothing about the result: `link`'s tests hold it to `sha2` bit for bit.
//!
//! One chain takes longer like this than with the SHA instructions, which compute two rounds at
//! once; sixteen take a third of the time.
#![expect(unsafe_code, reason = "a function with target features is called after detecting them")]
#![expect(clippy::indexing_slicing, reason = "every index is a constant checked while compiling")]

use super::link::{START, Words};
use super::sha_ni::ROUNDS;
use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setr_epi32,
    _mm512_srli_epi32, _mm512_ternarylogic_epi32,
};

/// Chains that are computed together.
pub(super) const LANES: usize = 16;

/// Moves the first sixteen chains on by `links` links, the next sixteen, and so on; gives how many
/// chains that were. None without the instructions, or where fewer chains are left than pay.
pub(super) fn run(chains: &mut [Words], links: u64) -> usize {
    if !is_x86_feature_detected!("avx512f") {
        return 0;
    }
    let mut done = 0;
    for group in chains.chunks_mut(LANES).take_while(|group| group.len() >= PAYING) {
        let mut lanes = [[0; 8]; LANES];
        for (lane, chain) in lanes.iter_mut().zip(group.iter()) {
            *lane = *chain;
        }
        // SAFETY: `sixteen` touches memory only through safe references and values; its one demand
        // is that the processor has `avx512f`, detected above.
        unsafe { sixteen(&mut lanes, links) };
        for (lane, chain) in lanes.iter().zip(group.iter_mut()) {
            *chain = *lane;
        }
        done += group.len();
    }
    done
}

/// Fewer chains than these are faster one by one: half of the lanes would be idle.
const PAYING: usize = 8;

/// Sixteen words, one of each chain.
type Lanes = __m512i;

#[inline]
#[target_feature(enable = "avx512f")]
fn all(word: u32) -> Lanes {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: Lanes, b: Lanes) -> Lanes {
    _mm512_add_epi32(a, b)
}

/// `a ⊕ b ⊕ c`.
#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}

/// The functions of FIPS 180-4, 4.1.2: two of three rotations, two of two and a shift.
#[inline]
#[target_feature(enable = "avx512f")]
fn rotated<const A: i32, const B: i32, const C: i32>(x: Lanes) -> Lanes {
    xor(_mm512_ror_epi32::<A>(x), _mm512_ror_epi32::<B>(x), _mm512_ror_epi32::<C>(x))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn shifted<const A: i32, const B: i32, const C: u32>(x: Lanes) -> Lanes {
    xor(_mm512_ror_epi32::<A>(x), _mm512_ror_epi32::<B>(x), _mm512_srli_epi32::<C>(x))
}

/// One round (FIPS 180-4, 6.2.2, step 3): the eight variables are named in the order that they
/// have before it, so that nothing is moved from one to the next.
macro_rules! round {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $kw:expr) => {
        let choice = _mm512_ternarylogic_epi32::<0xCA>($e, $f, $g);
        let first = add(add($h, $kw), add(choice, rotated::<6, 11, 25>($e)));
        let majority = _mm512_ternarylogic_epi32::<0xE8>($a, $b, $c);
        $d = add($d, first);
        $h = add(first, add(majority, rotated::<2, 13, 22>($a)));
    };
}

/// Eight rounds: the variables are back in their places.
macro_rules! rounds {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $kw:expr) => {
        let [k0, k1, k2, k3, k4, k5, k6, k7] = $kw;
        round!($a $b $c $d $e $f $g $h, k0);
        round!($h $a $b $c $d $e $f $g, k1);
        round!($g $h $a $b $c $d $e $f, k2);
        round!($f $g $h $a $b $c $d $e, k3);
        round!($e $f $g $h $a $b $c $d, k4);
        round!($d $e $f $g $h $a $b $c, k5);
        round!($c $d $e $f $g $h $a $b, k6);
        round!($b $c $d $e $f $g $h $a, k7);
    };
}

/// Half of the message words and the constants of their rounds, added.
#[inline]
#[target_feature(enable = "avx512f")]
fn keyed<const R: usize>(w: &[Lanes; 8]) -> [Lanes; 8] {
    let [low, high] = const { [ROUNDS[R * 2], ROUNDS[R * 2 + 1]] };
    let [k0, k1, k2, k3] = low;
    let [k4, k5, k6, k7] = high;
    let [w0, w1, w2, w3, w4, w5, w6, w7] = *w;
    [
        add(w0, all(k0)),
        add(w1, all(k1)),
        add(w2, all(k2)),
        add(w3, all(k3)),
        add(w4, all(k4)),
        add(w5, all(k5)),
        add(w6, all(k6)),
        add(w7, all(k7)),
    ]
}

/// The next eight message words (FIPS 180-4, 6.2.2, step 1) take the place of the oldest.
#[inline]
#[target_feature(enable = "avx512f")]
fn schedule(old: &mut [Lanes; 8], new: &[Lanes; 8]) {
    let [w0, w1, w2, w3, w4, w5, w6, w7] = *old;
    let [w8, w9, w10, w11, w12, w13, w14, w15] = *new;
    let next = |w: Lanes, w1: Lanes, w9: Lanes, w14: Lanes| {
        add(add(w, shifted::<7, 18, 3>(w1)), add(w9, shifted::<17, 19, 10>(w14)))
    };
    let n0 = next(w0, w1, w9, w14);
    let n1 = next(w1, w2, w10, w15);
    let n2 = next(w2, w3, w11, n0);
    let n3 = next(w3, w4, w12, n1);
    let n4 = next(w4, w5, w13, n2);
    let n5 = next(w5, w6, w14, n3);
    let n6 = next(w6, w7, w15, n4);
    let n7 = next(w7, w8, n0, n5);
    *old = [n0, n1, n2, n3, n4, n5, n6, n7];
}

/// Sixteen chains, moved on by `links` links.
#[target_feature(enable = "avx512f")]
fn sixteen(chains: &mut [Words; LANES], links: u64) {
    let mut message = transposed(chains);
    let start = START.map(|word| all(word));
    // The rest of the block is the padding of a 32-byte message.
    let padding = [0x8000_0000, 0, 0, 0, 0, 0, 0, 256].map(|word| all(word));
    for _ in 0..links {
        let (mut low, mut high) = (message, padding);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = start;
        rounds!(a b c d e f g h, keyed::<0>(&low));
        rounds!(a b c d e f g h, keyed::<1>(&high));
        schedule(&mut low, &high);
        rounds!(a b c d e f g h, keyed::<2>(&low));
        schedule(&mut high, &low);
        rounds!(a b c d e f g h, keyed::<3>(&high));
        schedule(&mut low, &high);
        rounds!(a b c d e f g h, keyed::<4>(&low));
        schedule(&mut high, &low);
        rounds!(a b c d e f g h, keyed::<5>(&high));
        schedule(&mut low, &high);
        rounds!(a b c d e f g h, keyed::<6>(&low));
        schedule(&mut high, &low);
        rounds!(a b c d e f g h, keyed::<7>(&high));
        let [s0, s1, s2, s3, s4, s5, s6, s7] = start;
        message = [
            add(a, s0),
            add(b, s1),
            add(c, s2),
            add(d, s3),
            add(e, s4),
            add(f, s5),
            add(g, s6),
            add(h, s7),
        ];
    }
    back(&message, chains);
}

/// The n-th word of every chain, for each n.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(chains: &[Words; LANES]) -> [Lanes; 8] {
    let word = |n: usize| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q] =
            chains.map(|chain| chain.get(n).copied().unwrap_or_default().cast_signed());
        _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q)
    };
    std::array::from_fn(word)
}

/// The inverse of [`transposed`].
#[inline]
#[target_feature(enable = "avx512f")]
fn back(message: &[Lanes; 8], chains: &mut [Words; LANES]) {
    for (n, lanes) in message.iter().enumerate() {
        for (word, chain) in words(*lanes).into_iter().zip(chains.iter_mut()) {
            if let Some(place) = chain.get_mut(n) {
                *place = word;
            }
        }
    }
}

/// The words of all lanes, the first one lowest.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(lanes: Lanes) -> [u32; LANES] {
    // SAFETY: both are 64 bytes of plain numbers, and every pattern of bits is a value of both.
    unsafe { std::mem::transmute::<Lanes, [u32; LANES]>(lanes) }
}
