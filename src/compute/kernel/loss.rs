//! Losses of numbers (squared error) and of labels (logistic loss), forward and backward fused.
//! Never takes the exponential of a positive number. Those of classes are in `softmax`.

use super::Isa;
use super::elementary::{exp, ln, sigmoid};
use super::isa::{Body, on};

/// Replaces every value x, whose truth is t, by f(x, t).
struct Pairs<'a, F> {
    values: &'a mut [f32],
    truth: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Body for Pairs<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for (x, &t) in self.values.iter_mut().zip(self.truth) {
            *x = (self.f)(*x, t);
        }
    }
}

#[inline]
fn pairs(isa: Isa, values: &[f32], truth: &[f32], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    assert_eq!(values.len(), truth.len(), "a truth per output");
    let mut values = values.to_vec();
    on(isa, Pairs { values: &mut values, truth, f });
    values
}

/// (y − t)² of every output y and its truth t.
///
/// # Panics
/// If there is not one truth for each output.
#[must_use]
pub fn squares(isa: Isa, outputs: &[f32], truth: &[f32]) -> Vec<f32> {
    pairs(isa, outputs, truth, |y, t| (y - t) * (y - t))
}

/// The gradient of the mean of [`squares`] by the outputs, times `scale`.
///
/// # Panics
/// If there is not one truth for each output.
#[must_use]
pub fn squares_gradient(isa: Isa, outputs: &[f32], truth: &[f32], scale: f32) -> Vec<f32> {
    let scale = 2.0 * scale / outputs.len() as f32;
    pairs(isa, outputs, truth, |y, t| (y - t) * scale)
}

/// −ln of what the logistic function of a logit says of its truth (0 or 1), in nats, for each.
///
/// # Panics
/// If there is not one truth for each logit.
#[must_use]
pub fn logistic(isa: Isa, logits: &[f32], truth: &[f32]) -> Vec<f32> {
    pairs(isa, logits, truth, |z, t| {
        // ln(1 + e^z) − t·z, with nothing that overflows.
        let above = if z < 0.0 { 0.0 } else { z };
        (-t).mul_add(z, above) + ln(1.0 + exp(-z.abs()))
    })
}

/// The gradient of the mean of [`logistic`] by the logits, times `scale`.
///
/// # Panics
/// If there is not one truth for each logit.
#[must_use]
pub fn logistic_gradient(isa: Isa, logits: &[f32], truth: &[f32], scale: f32) -> Vec<f32> {
    let scale = scale / logits.len() as f32;
    pairs(isa, logits, truth, |z, t| (sigmoid(z) - t) * scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::{Philox, purpose};
    use proptest::prelude::*;

    fn mean(losses: impl Iterator<Item = f64>) -> f64 {
        let losses: Vec<f64> = losses.collect();
        losses.iter().sum::<f64>() / losses.len() as f64
    }

    fn squares64(outputs: &[f64], truth: &[f64]) -> f64 {
        mean(outputs.iter().zip(truth).map(|(y, t)| (y - t) * (y - t)))
    }

    fn logistic64(logits: &[f64], truth: &[f64]) -> f64 {
        mean(logits.iter().zip(truth).map(|(z, t)| {
            let p = 1.0 / (1.0 + (-z).exp());
            -(t * p.ln() + (1.0 - t) * (1.0 - p).ln())
        }))
    }

    /// Central differences of a loss in f64.
    fn slopes(at: &[f32], truth: &[f32], loss: fn(&[f64], &[f64]) -> f64) -> Vec<f64> {
        let wide = |xs: &[f32]| xs.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (at, truth) = (wide(at), wide(truth));
        let shifted = |i: usize, by: f64| {
            let mut at = at.clone();
            at[i] += by;
            loss(&at, &truth)
        };
        (0..at.len()).map(|i| (shifted(i, 1e-5) - shifted(i, -1e-5)) / 2e-5).collect()
    }

    #[track_caller]
    fn near(ours: &[f32], theirs: &[f64]) {
        for (a, b) in ours.iter().zip(theirs) {
            assert!((f64::from(*a) - b).abs() <= 1e-6 + 1e-5 * b.abs(), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn gradients_are_the_slopes_of_the_losses(
            outputs in proptest::collection::vec(-9f32..9.0, 7),
            numbers in proptest::collection::vec(-9f32..9.0, 7),
            marks in proptest::collection::vec(0u8..2, 7),
        ) {
            let isa = Isa::best();
            let marks: Vec<f32> = marks.iter().map(|&x| f32::from(x)).collect();
            let gradient = squares_gradient(isa, &outputs, &numbers, 1.0);
            near(&gradient, &slopes(&outputs, &numbers, squares64));
            let gradient = logistic_gradient(isa, &outputs, &marks, 1.0);
            near(&gradient, &slopes(&outputs, &marks, logistic64));
            let wide = |xs: &[f32]| xs.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let losses = logistic(isa, &outputs, &marks);
            let each = outputs.iter().zip(&marks).map(|(z, t)| {
                logistic64(&wide(&[*z]), &wide(&[*t]))
            });
            near(&losses, &each.collect::<Vec<_>>());
        }
    }

    #[test]
    fn certain_logits_cost_nothing_when_right_and_themselves_when_wrong() {
        let losses = logistic(Isa::best(), &[1e30, -1e30, 1e30, -1e30], &[1.0, 0.0, 0.0, 1.0]);
        assert_eq!(losses, [0.0, 0.0, 1e30, 1e30]);
        assert!(logistic(Isa::best(), &[f32::NAN], &[0.0])[0].is_nan());
    }

    #[test]
    fn every_path_gives_the_same_golden_bits() {
        let noise = |stream, low, high| {
            let mut out = vec![0.0; 1003];
            Philox::new(4, purpose::SYNTHETIC, stream).fill(low, high, &mut out);
            out
        };
        let (outputs, numbers) = (noise(1, -20.0, 20.0), noise(2, -20.0, 20.0));
        let marks: Vec<f32> = noise(3, 0.0, 1.0).into_iter().map(f32::round).collect();
        for isa in Isa::all() {
            let bits = [
                squares(isa, &outputs, &numbers),
                squares_gradient(isa, &outputs, &numbers, 0.7),
                logistic(isa, &outputs, &marks),
                logistic_gradient(isa, &outputs, &marks, 0.7),
            ];
            golden::check(&bits.concat(), "losses");
        }
    }
}
