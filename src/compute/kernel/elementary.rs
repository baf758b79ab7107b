//! exp, ln and tanh of f32: own polynomials, at most 2 ulp from the true value.
//! Never calls a system's libm, whose last bit differs between systems.
//!
//! Reduction after Cody and Waite with the rounding done by adding 1.5·2^23; polynomials of the
//! Cephes library (Moshier) evaluated by Horner's rule in fused multiply-adds.

use super::Isa;
use super::isa::{Body, on};

/// Adding and subtracting it rounds |x| < 2^22 to the nearest integer, ties to even.
const ROUND: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that n times it is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Above it exp is infinite, below `EXP_LOW` it is zero.
const EXP_HIGH: f32 = 88.722_84;
const EXP_LOW: f32 = -103.972_084;

/// Horner's rule, highest coefficient first.
#[inline(always)]
fn horner<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = 0.0;
    for c in coefficients {
        value = x.mul_add(value, c);
    }
    value
}

/// e^x. NaN gives the one quiet NaN.
#[must_use]
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let bounded = if x > EXP_HIGH { EXP_HIGH } else { x };
    let bounded = if bounded < EXP_LOW { EXP_LOW } else { bounded };
    let shifted = bounded.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, bounded));
    let tail = horner(
        r,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
    );
    let value = (r * r).mul_add(tail, r) + 1.0;
    // 2^n in two factors, so that results below the normal range are rounded once, at the end.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let value = value * power_of_two(half) * power_of_two(n.wrapping_sub(half));
    let value = if x > EXP_HIGH { f32::INFINITY } else { value };
    let value = if x < EXP_LOW { 0.0 } else { value };
    if x.is_nan() { f32::NAN } else { value }
}

/// 2^n for −126 ≤ n ≤ 127; anything for other n.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// The natural logarithm. NaN and negative numbers give the one quiet NaN, ±0 gives −∞.
#[must_use]
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let normal = if tiny { x * 8_388_608.0 } else { x };
    // The mantissa in [√½, √2): √½ has the bits 0x3f3504f3.
    let bits = (normal.to_bits() as i32).wrapping_sub(0x3f35_04f3);
    let exponent = (bits >> 23).wrapping_sub(if tiny { 23 } else { 0 }) as f32;
    let mantissa = f32::from_bits(((bits & 0x007f_ffff) as u32).wrapping_add(0x3f35_04f3));
    let r = mantissa - 1.0;
    let square = r * r;
    let tail = horner(
        r,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_87e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let small = (r * square).mul_add(tail, exponent * LN2_LOW);
    let value = exponent.mul_add(LN2_HIGH, r + square.mul_add(-0.5, small));
    let value = if x == f32::INFINITY { f32::INFINITY } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x.is_nan() || x < 0.0 { f32::NAN } else { value }
}

/// The hyperbolic tangent. NaN gives the one quiet NaN; the sign of zero is kept.
#[must_use]
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let tail =
        horner(square, [-5.704_989e-3, 2.063_909e-2, -5.373_971e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let near = (square * size).mul_add(tail, size);
    let far = 1.0 - 2.0 / (exp(size + size) + 1.0);
    let value = (if size < 0.625 { near } else { far }).copysign(x);
    if x.is_nan() { f32::NAN } else { value }
}

/// 1 / (1 + e^−x), the logistic function. NaN gives the one quiet NaN.
#[must_use]
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

macro_rules! slice_function {
    ($name:ident, $body:ident, $f:ident, $doc:literal) => {
        struct $body<'a>(&'a mut [f32]);

        impl Body for $body<'_> {
            type Out = ();

            #[inline(always)]
            fn run(self) {
                for x in self.0 {
                    *x = $f(*x);
                }
            }
        }

        #[doc = $doc]
        pub fn $name(isa: Isa, xs: &mut [f32]) {
            on(isa, $body(xs));
        }
    };
}
slice_function!(exp_slice, Exp, exp, "[`exp`] of every element, in place.");
slice_function!(ln_slice, Ln, ln, "[`ln`] of every element, in place.");
slice_function!(sigmoid_slice, Sigmoid, sigmoid, "[`sigmoid`] of every element, in place.");
slice_function!(tanh_slice, Tanh, tanh, "[`tanh`] of every element, in place.");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;

    type Slice = fn(Isa, &mut [f32]);

    /// 2^20 bit patterns, evenly spread over all of them, ends of ranges and NaNs included.
    fn patterns() -> Vec<f32> {
        let spread = (0..1u32 << 20).map(|i| f32::from_bits(i.wrapping_mul(4096 + 3)));
        let ends = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, EXP_HIGH, EXP_LOW];
        spread.chain(ends).collect()
    }

    #[track_caller]
    fn check(slice: Slice, exact: fn(f64) -> f64, ulps: f64, name: &str) {
        let inputs = patterns();
        let mut expect = inputs.clone();
        slice(Isa::PORTABLE, &mut expect);
        for isa in Isa::all() {
            let mut values = inputs.clone();
            slice(isa, &mut values);
            let wrong = values.iter().zip(&expect).filter(|(x, y)| x.to_bits() != y.to_bits());
            assert_eq!(wrong.count(), 0, "{name} on {isa:?}");
        }
        let mut worst = (0.0, 0.0);
        for (&x, &y) in inputs.iter().zip(&expect) {
            let truth = exact(f64::from(x));
            if truth.is_nan() || (truth as f32).is_infinite() {
                let expect = if truth.is_nan() { f32::NAN } else { truth as f32 };
                assert_eq!(y.to_bits(), expect.to_bits(), "{name}({x})");
                continue;
            }
            let unit = f64::from(f32::from_bits((truth as f32).abs().to_bits() + 1))
                - f64::from((truth as f32).abs());
            let error = (f64::from(y) - truth).abs() / unit;
            worst = if error > worst.0 { (error, x) } else { worst };
        }
        assert!(worst.0 <= ulps, "{name} is off by {} ulp at {}", worst.0, worst.1);
    }

    #[test]
    fn exp_is_the_same_on_every_path_and_close_to_the_truth() {
        check(exp_slice, f64::exp, 2.0, "exp");
    }

    #[test]
    fn ln_is_the_same_on_every_path_and_close_to_the_truth() {
        check(ln_slice, f64::ln, 2.0, "ln");
    }

    #[test]
    fn tanh_is_the_same_on_every_path_and_close_to_the_truth() {
        check(tanh_slice, f64::tanh, 2.0, "tanh");
    }

    #[test]
    fn the_bits_on_a_grid_are_golden() {
        let grid: Vec<f32> = (-40_000..40_000).map(|i| i as f32 / 400.0).collect();
        for (slice, name) in
            [(exp_slice as Slice, "exp"), (ln_slice as Slice, "ln"), (tanh_slice as Slice, "tanh")]
        {
            let mut values = grid.clone();
            slice(Isa::best(), &mut values);
            golden::check(&values, name);
        }
    }
}
