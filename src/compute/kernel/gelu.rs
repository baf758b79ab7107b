//! gelu(x) = x·Φ(x) with the exact distribution function Φ of the normal law (erf, not tanh).
//! Never loses the tail: for x < 0 it is −|x|·Q(|x|) with Q = 1 − Φ, not x minus almost x.
//!
//! Q(t) = e^(−t²/2)·r(t), where r falls slowly from ½: a polynomial in t / (t + K), times
//! K / (t + K). Values are within 6 units in the last place of the truth.

use super::Isa;
use super::elementary::exp;
use super::isa::{Body, on};

/// From here on Q is zero in f32; a larger argument changes nothing.
const FAR: f32 = 15.0;
const K: f32 = 3.75;
/// The polynomial is in t / (t + K) minus this.
const CENTRE: f32 = 0.375;
/// Fitted by us to the relative error of r on [0, 14.5]: at most 1.5e-8 before rounding.
const R: [f32; 9] = [
    0.030_272_832,
    -0.012_877_512,
    -0.073_127_784,
    0.066_000_804,
    0.136_219_78,
    -0.398_752_12,
    0.512_214_06,
    -0.424_193_6,
    0.245_843_1,
];
/// 1 / √(2π).
const DENSITY: f32 = 0.398_942_3;

/// r(t) and e^(−t²/2) for 0 ≤ t ≤ `FAR`.
#[inline(always)]
fn tail(t: f32) -> (f32, f32) {
    let inverse = 1.0 / (t + K);
    let u = t.mul_add(inverse, -CENTRE);
    let mut r = 0.0;
    for c in R {
        r = u.mul_add(r, c);
    }
    // What rounding took from the square is given back: at t = 10 it is 25 units of the result.
    let square = t * t;
    let rest = t.mul_add(t, -square);
    let bell = exp(-0.5 * square);
    let bell = (-0.5 * rest).mul_add(bell, bell);
    (K * inverse * r, bell)
}

/// |x|, at most `FAR`; NaN stays NaN.
#[inline(always)]
fn size(x: f32) -> f32 {
    let t = x.abs();
    if t > FAR { FAR } else { t }
}

/// x·Φ(x), of the parts of x.
#[inline(always)]
fn value(x: f32, t: f32, (r, bell): (f32, f32)) -> f32 {
    // In this order: Q(t) alone is below the normal range long before t·Q(t) is.
    let lost = (t * r) * bell;
    let value = if x < 0.0 { -lost } else { x - lost };
    if x.is_nan() { f32::NAN } else { value }
}

/// The derivative, of the parts of x.
#[inline(always)]
fn slope(x: f32, t: f32, (r, bell): (f32, f32)) -> f32 {
    let (q, hill) = (r * bell, t * (bell * DENSITY));
    let value = if x < 0.0 { q - hill } else { (1.0 - q) + hill };
    if x.is_nan() { f32::NAN } else { value }
}

/// x·Φ(x). NaN gives the one quiet NaN; the sign of zero is kept.
#[must_use]
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let t = size(x);
    value(x, t, tail(t))
}

/// The derivative Φ(x) + x·φ(x). NaN gives the one quiet NaN.
#[must_use]
#[inline(always)]
pub fn gelu_slope(x: f32) -> f32 {
    let t = size(x);
    slope(x, t, tail(t))
}

/// [`gelu`] and [`gelu_slope`], which have most of their work in common.
#[must_use]
#[inline(always)]
pub fn gelu_and_slope(x: f32) -> (f32, f32) {
    let t = size(x);
    let parts = tail(t);
    (value(x, t, parts), slope(x, t, parts))
}

struct Gelu<'a>(&'a mut [f32]);

impl Body for Gelu<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            *x = gelu(*x);
        }
    }
}

/// [`gelu`] of every element, in place.
pub fn gelu_slice(isa: Isa, xs: &mut [f32]) {
    on(isa, Gelu(xs));
}

struct Biased<'a> {
    values: &'a mut [f32],
    bias: &'a [f32],
}

impl Body for Biased<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for row in self.values.chunks_exact_mut(self.bias.len().max(1)) {
            for (x, b) in row.iter_mut().zip(self.bias) {
                *x = gelu(*x + b);
            }
        }
    }
}

/// [`gelu`] of every element of rows, to each of which the same bias is added first; in place.
pub fn gelu_biased(isa: Isa, values: &mut [f32], bias: &[f32]) {
    on(isa, Biased { values, bias });
}

struct Slope<'a> {
    gradient: &'a mut [f32],
    inputs: &'a [f32],
}

impl Body for Slope<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for (g, &x) in self.gradient.iter_mut().zip(self.inputs) {
            *g *= gelu_slope(x);
        }
    }
}

/// From the gradient by the results to that by the `inputs` of [`gelu`], in place.
pub fn gelu_gradient(isa: Isa, gradient: &mut [f32], inputs: &[f32]) {
    on(isa, Slope { gradient, inputs });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;

    /// Q(t) for t ≥ 0 in f64: the series of Φ near 0, the continued fraction of Mills far from it.
    fn beyond(t: f64) -> f64 {
        let bell = (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if t < 3.0 {
            let (mut term, mut sum) = (t, t);
            for n in 1..80 {
                term *= t * t / f64::from(2 * n + 1);
                sum += term;
            }
            return 0.5 - bell * sum;
        }
        let fraction = (1..=400).rev().fold(0.0, |below, n| f64::from(n) / (t + below));
        bell / (t + fraction)
    }

    fn truth(x: f64) -> f64 {
        if x < 0.0 { x * beyond(-x) } else { x - x * beyond(x) }
    }

    /// A grid, 2^18 bit patterns spread over all of them, and the ends of ranges.
    fn inputs() -> Vec<f32> {
        let grid = (-160_000..160_000).map(|i| i as f32 / 10_000.0);
        let spread = (0..1u32 << 18).map(|i| f32::from_bits(i.wrapping_mul(16_384 + 3)));
        let ends = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, FAR, -FAR];
        grid.chain(spread).chain(ends).collect()
    }

    #[test]
    fn gelu_is_the_same_on_every_path_and_close_to_the_truth() {
        let inputs = inputs();
        let mut expect = inputs.clone();
        gelu_slice(Isa::PORTABLE, &mut expect);
        for isa in Isa::all() {
            let mut values = inputs.clone();
            gelu_slice(isa, &mut values);
            let same = values.iter().zip(&expect).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same, "{isa:?}");
        }
        let mut worst = (0.0, 0.0);
        for (&x, &y) in inputs.iter().zip(&expect) {
            if x.is_nan() || x == f32::INFINITY {
                let expect = if x.is_nan() { f32::NAN } else { x };
                assert_eq!(y.to_bits(), expect.to_bits());
                continue;
            }
            let truth = if x == f32::NEG_INFINITY { 0.0 } else { truth(f64::from(x)) };
            let size = (truth as f32).abs();
            let unit = f64::from(f32::from_bits(size.to_bits() + 1)) - f64::from(size);
            let error = (f64::from(y) - truth).abs() / unit;
            worst = if error > worst.0 { (error, x) } else { worst };
        }
        assert!(worst.0 <= 6.0, "gelu is off by {} ulp at {}", worst.0, worst.1);
    }

    #[test]
    fn the_slope_is_the_same_on_every_path_and_that_of_the_truth() {
        let inputs: Vec<f32> = (-16_000..16_000).map(|i| i as f32 / 1_000.0).collect();
        for isa in Isa::all() {
            let mut slopes = vec![1.0; inputs.len()];
            gelu_gradient(isa, &mut slopes, &inputs);
            for (&x, &slope) in inputs.iter().zip(&slopes) {
                assert_eq!(slope.to_bits(), gelu_slope(x).to_bits(), "{isa:?} at {x}");
                let x = f64::from(x);
                let measured = (truth(x + 1e-5) - truth(x - 1e-5)) / 2e-5;
                assert!((f64::from(slope) - measured).abs() < 1e-6, "{x}: {slope} {measured}");
            }
        }
        assert_eq!([gelu_slope(f32::INFINITY), gelu_slope(f32::NEG_INFINITY)], [1.0, 0.0]);
    }

    #[test]
    fn both_at_once_are_both() {
        let bits = |x: f32| x.to_bits();
        for x in inputs() {
            let (value, slope) = gelu_and_slope(x);
            assert_eq!((bits(value), bits(slope)), (bits(gelu(x)), bits(gelu_slope(x))), "{x}");
        }
    }

    #[test]
    fn a_bias_is_added_before() {
        let mut values = [0.5, -1.0, 2.0, 0.0];
        gelu_biased(Isa::best(), &mut values, &[1.0, -1.0]);
        assert_eq!(values, [gelu(1.5), gelu(-2.0), gelu(3.0), gelu(-1.0)]);
    }

    #[test]
    fn the_bits_on_a_grid_are_golden() {
        let mut values: Vec<f32> = (-40_000..40_000).map(|i| i as f32 / 2_500.0).collect();
        let mut slopes = vec![1.0; values.len()];
        gelu_gradient(Isa::best(), &mut slopes, &values);
        gelu_slice(Isa::best(), &mut values);
        values.extend(slopes);
        golden::check(&values, "gelu");
    }
}
