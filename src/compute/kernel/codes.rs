//! Codes: numbers in 8 or 16 bits, block by block, with a power of two as the scale of each block.
//! Never rounds but where it says so, and never divides: the rest is exact.
//!
//! *Steps*: a number of a block is −127 to 127 steps of 2^(exponent − 127), rounded half to even.
//! The step is the least with which the largest of them fits, so that it is at most its 63.5th
//! part. What is left over is the number less its steps, which is exact: half a step at most, and
//! less than one where 127 of the largest step are not enough.
//!
//! *Octaves*: a number that is not negative is its first bits, rounded up: in 8 bits the exponent
//! and 3 of its mantissa (at most an eighth too much), in 16 bits and 11 (a 2,048th). A code is
//! counted down from the octave of the largest of the block, through 32 octaves; 0 is none, and
//! what is below all of them is the least of them. It is never less than the number was.

use super::Isa;
use super::isa::{Body, on};

/// Numbers that share a scale.
pub const BLOCK: usize = 64;
/// The exponents of steps: 64 of the next would be no number any more.
const EXPONENTS: std::ops::RangeInclusive<u8> = 1..=248;
/// Most steps of a number.
const MOST: f32 = 127.0;
/// Adding this and taking it away again rounds a small number to a whole one, half to even.
const ROUNDER: f32 = 12_582_912.0;
const MANTISSA: u32 = 23;

/// 2^(exponent − 127).
#[inline(always)]
fn power(exponent: u32) -> f32 {
    f32::from_bits(exponent << MANTISSA)
}

/// The exponent of the step of a block.
#[inline(always)]
fn exponent_of(block: &[f32]) -> u32 {
    // Without its sign a number is ordered as its bits are.
    let largest = block.iter().fold(0u32, |most, x| most.max(x.to_bits() & 0x7FFF_FFFF));
    let exponent = (largest >> MANTISSA).saturating_sub(6).max(1);
    // From 127.5 steps on they would be 128.
    let is_beyond = largest >= ((exponent + 6) << MANTISSA | 0x7F_0000);
    (exponent + u32::from(is_beyond)).min(u32::from(*EXPONENTS.end()))
}

struct ToSteps<'a> {
    numbers: &'a mut [f32],
    exponents: &'a mut [u8],
    codes: &'a mut [i8],
}

impl Body for ToSteps<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let blocks = self.numbers.chunks_mut(BLOCK).zip(self.codes.chunks_mut(BLOCK));
        for ((numbers, codes), kept) in blocks.zip(self.exponents) {
            let exponent = exponent_of(numbers);
            *kept = exponent as u8;
            let (step, steps) = (power(exponent), power(254 - exponent));
            for (x, code) in numbers.iter_mut().zip(codes) {
                let whole = ((*x * steps + ROUNDER) - ROUNDER).clamp(-MOST, MOST);
                *code = whole as i8;
                *x -= whole * step;
            }
        }
    }
}

/// Says numbers in steps, and leaves in their place what these do not say.
///
/// # Panics
/// If there is not a code for each of them, and an exponent for each block.
pub fn to_steps(isa: Isa, numbers: &mut [f32], exponents: &mut [u8], codes: &mut [i8]) {
    check(numbers.len(), exponents.len(), codes.len());
    on(isa, ToSteps { numbers, exponents, codes });
}

struct OfSteps<'a> {
    exponents: &'a [u8],
    codes: &'a [i8],
    out: &'a mut [f32],
}

impl Body for OfSteps<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let blocks = self.codes.chunks(BLOCK).zip(self.out.chunks_mut(BLOCK));
        for ((codes, out), exponent) in blocks.zip(self.exponents) {
            let step = power(u32::from(*exponent));
            for (code, x) in codes.iter().zip(out) {
                *x = f32::from(*code) * step;
            }
        }
    }
}

/// The numbers that steps say.
///
/// # Panics
/// If there is not a code for each of them, and an exponent for each block.
pub fn of_steps(isa: Isa, exponents: &[u8], codes: &[i8], out: &mut [f32]) {
    check(out.len(), exponents.len(), codes.len());
    on(isa, OfSteps { exponents, codes, out });
}

/// Whether steps are some that [`to_steps`] can give.
#[must_use]
pub fn are_steps(exponents: &[u8], codes: &[i8]) -> bool {
    exponents.len() == codes.len().div_ceil(BLOCK)
        && exponents.iter().all(|exponent| EXPONENTS.contains(exponent))
        && codes.iter().all(|code| *code != i8::MIN)
}

/// What an octave is said in: `u8` or `u16`.
pub trait Octave: Copy + Default + Into<u32> {
    /// Bits of a number that are left out: all others are a code's, but the sign.
    const LEFT_OUT: u32;
    /// The code of the largest number there could be in a block.
    const MOST: u32;
    /// A code, which is at most [`Self::MOST`].
    fn of(code: u32) -> Self;
}

/// Octaves in this type, with so many bits of a mantissa.
macro_rules! octave {
    ($code:ty, $bits:literal) => {
        impl Octave for $code {
            const LEFT_OUT: u32 = MANTISSA - $bits;
            const MOST: u32 = Self::MAX as u32;

            #[inline(always)]
            fn of(code: u32) -> Self {
                code as Self
            }
        }
    };
}
octave!(u8, 3);
octave!(u16, 11);

/// The first bits of a number that is not negative, rounded up; 0 of one that is.
#[inline(always)]
fn key<C: Octave>(x: f32) -> u32 {
    let bits = if x > 0.0 { x.to_bits() } else { 0 };
    (bits + ((1 << C::LEFT_OUT) - 1)) >> C::LEFT_OUT
}

/// The key of the largest number of an octave.
#[inline(always)]
fn top<C: Octave>(octave: u8) -> u32 {
    ((u32::from(octave) + 1) << (MANTISSA - C::LEFT_OUT)) - 1
}

struct ToOctaves<'a, C> {
    numbers: &'a [f32],
    octaves: &'a mut [u8],
    codes: &'a mut [C],
}

impl<C: Octave> Body for ToOctaves<'_, C> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let blocks = self.numbers.chunks(BLOCK).zip(self.codes.chunks_mut(BLOCK));
        for ((numbers, codes), octave) in blocks.zip(self.octaves) {
            let most = numbers.iter().fold(0u32, |most, x| most.max(key::<C>(*x)));
            *octave = (most >> (MANTISSA - C::LEFT_OUT)) as u8;
            let top = top::<C>(*octave);
            for (x, code) in numbers.iter().zip(codes) {
                let key = key::<C>(*x);
                let down = C::MOST.saturating_sub(top - key).max(1);
                *code = C::of(if key == 0 { 0 } else { down });
            }
        }
    }
}

/// Says numbers in octaves: none is negative, or it is said to be 0.
///
/// # Panics
/// If there is not a code for each of them, and an octave for each block.
pub fn to_octaves<C: Octave>(isa: Isa, numbers: &[f32], octaves: &mut [u8], codes: &mut [C]) {
    check(numbers.len(), octaves.len(), codes.len());
    on(isa, ToOctaves { numbers, octaves, codes });
}

struct OfOctaves<'a, C> {
    octaves: &'a [u8],
    codes: &'a [C],
    out: &'a mut [f32],
}

impl<C: Octave> Body for OfOctaves<'_, C> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let blocks = self.codes.chunks(BLOCK).zip(self.out.chunks_mut(BLOCK));
        for ((codes, out), octave) in blocks.zip(self.octaves) {
            let top = top::<C>(*octave);
            for (code, x) in codes.iter().zip(out) {
                let code: u32 = (*code).into();
                let key = (top + code).saturating_sub(C::MOST);
                // An octave of small numbers has fewer below it than there are codes.
                let key = if code == 0 { 0 } else { key.max(1) };
                *x = f32::from_bits(key << C::LEFT_OUT);
            }
        }
    }
}

/// The numbers that octaves say. What is beyond all numbers is not finite.
///
/// # Panics
/// If there is not a code for each of them, and an octave for each block.
pub fn of_octaves<C: Octave>(isa: Isa, octaves: &[u8], codes: &[C], out: &mut [f32]) {
    check(out.len(), octaves.len(), codes.len());
    on(isa, OfOctaves { octaves, codes, out });
}

fn check(numbers: usize, scales: usize, codes: usize) {
    assert!(codes == numbers, "a code for each number");
    assert!(scales == numbers.div_ceil(BLOCK), "a scale for each block");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::Philox;
    use proptest::prelude::*;

    /// Any bits that are a number, and often some that are about as large as their neighbours.
    fn numbers() -> impl Strategy<Value = Vec<f32>> {
        let any = prop::num::f32::ANY.prop_map(|x| if x.is_finite() { x } else { -0.0 });
        let near = (-1.0f32..1.0, -3i32..3).prop_map(|(x, by)| x * 2f32.powi(by));
        prop::collection::vec(prop_oneof![1 => any, 9 => near], 0..200)
    }

    /// From here on 127 of the largest step leave more than half a step over.
    const HUGE: f32 = 127.5 * (1u128 << 121) as f32;

    /// Numbers about as large as there are.
    fn huge() -> impl Strategy<Value = Vec<f32>> {
        let huge = (0.99f32..=1.0, prop::bool::ANY)
            .prop_map(|(share, less)| share * if less { f32::MIN } else { f32::MAX });
        prop::collection::vec(huge, 0..70)
    }

    /// The exponents, the codes, and what is left over.
    fn steps(isa: Isa, numbers: &[f32]) -> (Vec<u8>, Vec<i8>, Vec<f32>) {
        let mut left = numbers.to_vec();
        let mut exponents = vec![0; numbers.len().div_ceil(BLOCK)];
        let mut codes = vec![0; numbers.len()];
        to_steps(isa, &mut left, &mut exponents, &mut codes);
        (exponents, codes, left)
    }

    fn said(isa: Isa, exponents: &[u8], codes: &[i8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; codes.len()];
        of_steps(isa, exponents, codes, &mut out);
        out
    }

    /// The octaves, the codes, and what they say.
    fn octaves<C: Octave + Default>(isa: Isa, numbers: &[f32]) -> (Vec<u8>, Vec<C>, Vec<f32>) {
        let mut octaves = vec![0; numbers.len().div_ceil(BLOCK)];
        let mut codes = vec![C::default(); numbers.len()];
        to_octaves(isa, numbers, &mut octaves, &mut codes);
        let mut out = vec![f32::NAN; numbers.len()];
        of_octaves(isa, &octaves, &codes, &mut out);
        (octaves, codes, out)
    }

    fn bits(xs: &[f32]) -> Vec<u32> {
        xs.iter().map(|x| x.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn steps_and_what_is_left_over_are_the_number_and_that_is_half_a_step_at_most(
            numbers in prop_oneof![9 => numbers(), 1 => huge()],
        ) {
            let (exponents, codes, left) = steps(Isa::best(), &numbers);
            prop_assert!(are_steps(&exponents, &codes));
            let said = said(Isa::best(), &exponents, &codes);
            for (at, x) in numbers.iter().enumerate() {
                let step = f64::from(power(u32::from(exponents[at / BLOCK])));
                prop_assert_eq!(f64::from(said[at]) + f64::from(left[at]), f64::from(*x));
                let most = if codes[at].abs() == 127 && x.abs() > HUGE { step } else { step / 2.0 };
                prop_assert!(f64::from(left[at]).abs() <= most, "{} of {}", left[at], step);
            }
        }

        #[test]
        fn a_step_is_at_most_a_63rd_of_the_largest_number_of_a_block(numbers in numbers()) {
            let (exponents, ..) = steps(Isa::best(), &numbers);
            for (block, exponent) in numbers.chunks(BLOCK).zip(exponents) {
                let most = block.iter().fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
                let step = f64::from(power(u32::from(exponent)));
                prop_assert!(exponent == 1 || 63.5 * step <= most, "{} of {}", step, most);
            }
        }

        #[test]
        fn octaves_are_never_less_than_the_number_and_hardly_more(numbers in numbers()) {
            let numbers: Vec<f32> = numbers.iter().map(|x| x.abs().min(1e38)).collect();
            let most = |block: usize| {
                let block = &numbers[block * BLOCK..numbers.len().min((block + 1) * BLOCK)];
                block.iter().fold(0.0f32, |most, x| most.max(*x))
            };
            let (_, _, small) = octaves::<u8>(Isa::best(), &numbers);
            let (_, _, fine) = octaves::<u16>(Isa::best(), &numbers);
            for (said, share) in [(small, 8.0), (fine, 2048.0)] {
                for (at, (x, said)) in numbers.iter().zip(&said).enumerate() {
                    let (x, said) = (f64::from(*x), f64::from(*said));
                    let floor = f64::from(most(at / BLOCK)) * 2f64.powi(-30);
                    prop_assert!(said >= x && (said == 0.0) == (x == 0.0), "{} of {}", said, x);
                    let most = (x + x / share).max(floor) + 1e-38;
                    prop_assert!(said <= most, "{} of {}", said, x);
                }
            }
        }

        #[test]
        fn every_path_gives_the_same_bits_and_no_codes_are_harmful(
            numbers in numbers(), codes: Vec<i8>, few: Vec<u8>, many: Vec<u16>, scale: u8,
        ) {
            let heard = |isa| {
                let scales = |len: usize| vec![scale; len.div_ceil(BLOCK)];
                let mut out = vec![0.0; few.len()];
                of_octaves(isa, &scales(few.len()), &few, &mut out);
                let mut more = vec![0.0; many.len()];
                of_octaves(isa, &scales(many.len()), &many, &mut more);
                bits(&[said(isa, &scales(codes.len()), &codes), out, more].concat())
            };
            let (exponents, codes, left) = steps(Isa::best(), &numbers);
            for isa in Isa::all() {
                let (e, c, l) = steps(isa, &numbers);
                prop_assert_eq!((&e, &c, bits(&l)), (&exponents, &codes, bits(&left)));
                let few = |isa| octaves::<u8>(isa, &numbers);
                prop_assert_eq!(few(isa), few(Isa::best()));
                let many = |isa| octaves::<u16>(isa, &numbers);
                prop_assert_eq!(many(isa), many(Isa::best()));
                prop_assert_eq!(heard(isa), heard(Isa::best()));
            }
        }
    }

    #[test]
    fn halves_are_rounded_to_even_and_no_code_is_beyond_127() {
        // The step of 127 is 1: 2^6 <= 127 < 2^7.
        let (exponents, codes, left) = steps(Isa::best(), &[127.0, 0.5, 1.5, 2.5, -0.5, -2.5]);
        assert_eq!((exponents[0], codes), (127, vec![127, 0, 2, 2, 0, -2]));
        assert_eq!(left, [0.0, 0.5, -0.5, 0.5, -0.5, -0.5]);
        // 127.5 would be 128 of them: the step is 2.
        assert_eq!(steps(Isa::best(), &[127.5]).1, [64]);
        assert_eq!(steps(Isa::best(), &[127.49]).1, [127]);
        assert_eq!(steps(Isa::best(), &[f32::MAX, f32::MIN]).1, [127, -127]);
        assert_eq!(steps(Isa::best(), &[0.0, -0.0]).1, [0, 0]);
    }

    #[test]
    fn what_no_number_is_said_in_is_no_step() {
        assert!(are_steps(&[1, 248], &[127; 65]) && are_steps(&[], &[]));
        assert!(!are_steps(&[0], &[1]) && !are_steps(&[249], &[1]), "an exponent");
        assert!(!are_steps(&[9], &[-128]), "a code");
        assert!(!are_steps(&[9], &[1; 65]) && !are_steps(&[9, 9], &[1; 64]), "their number");
    }

    #[test]
    fn the_bits_of_codes_are_golden_on_every_path() {
        let mut numbers = vec![0.0f32; 1003];
        Philox::new(7, 7, 7).fill(-2.0, 3.0, &mut numbers);
        numbers.iter_mut().enumerate().for_each(|(at, x)| *x *= power((at % 40) as u32 + 90));
        for isa in Isa::all() {
            let (exponents, codes, left) = steps(isa, &numbers);
            let scales: Vec<f32> = exponents.iter().map(|e| f32::from(*e)).collect();
            let (_, _, few) = octaves::<u8>(isa, &numbers);
            let (_, _, many) = octaves::<u16>(isa, &numbers);
            let said = said(isa, &exponents, &codes);
            golden::check(&[scales, said, left, few, many].concat(), "codes");
        }
    }
}
