//! Softmax and cross-entropy over rows of logits, forward and backward fused.
//! Never takes the exponential of a positive number: the largest logit of a row is subtracted.

use super::elementary::{exp, ln};
use super::isa::{Body, on};
use super::reduce::{max_inline, sum_inline};
use super::{Engine, Isa, spare};

struct Softmax<'a> {
    values: &'a mut [f32],
    width: usize,
}

impl Body for Softmax<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for row in self.values.chunks_exact_mut(self.width) {
            let most = max_inline(row);
            for x in row.iter_mut() {
                *x = exp(*x - most);
            }
            let sum = sum_inline(row);
            for x in row {
                *x /= sum;
            }
        }
    }
}

/// Turns rows of logits into rows of probabilities, in place. `width` is at least 1.
pub fn softmax(isa: Isa, values: &mut [f32], width: usize) {
    on(isa, Softmax { values, width: width.max(1) });
}

struct Losses<'a> {
    logits: &'a [f32],
    labels: &'a [u32],
    scratch: &'a mut [f32],
    losses: &'a mut [f32],
}

impl Body for Losses<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.logits.chunks_exact(self.scratch.len());
        for ((row, &label), loss) in rows.zip(self.labels).zip(self.losses) {
            let most = max_inline(row);
            for (e, &x) in self.scratch.iter_mut().zip(row) {
                *e = exp(x - most);
            }
            let chosen = row.get(label as usize).copied().unwrap_or(f32::NAN);
            *loss = ln(sum_inline(self.scratch)) - (chosen - most);
        }
    }
}

/// The cross-entropy of every row in nats, times the weight of its class, 1 where `weights` has
/// none. A label beyond `width` gives NaN.
#[must_use]
pub fn cross_entropies(
    engine: Engine,
    logits: &[f32],
    (labels, weights): (&[u32], &[f32]),
    width: usize,
) -> Vec<f32> {
    let (width, mut losses) = (width.max(1), vec![0.0; labels.len()]);
    let each = engine.rows_each(labels.len(), width);
    let given = logits.chunks(each * width).zip(labels.chunks(each));
    engine.share(given.zip(losses.chunks_mut(each)), |((logits, labels), losses)| {
        let mut scratch = vec![0.0; width];
        on(engine.isa, Losses { logits, labels, scratch: &mut scratch, losses });
        for (loss, &label) in losses.iter_mut().zip(labels) {
            *loss *= weight(weights, label);
        }
    });
    losses
}

fn weight(weights: &[f32], label: u32) -> f32 {
    weights.get(label as usize).copied().unwrap_or(1.0)
}

/// The gradient of the mean cross-entropy by the logits, times `scale`: every row times the weight
/// of its class, 1 where `weights` has none.
#[must_use]
pub fn cross_entropy_gradient(
    engine: Engine,
    logits: &[f32],
    (labels, weights): (&[u32], &[f32]),
    width: usize,
    scale: f32,
) -> Vec<f32> {
    let (width, mut gradient) = (width.max(1), spare::take(logits.len()));
    gradient.copy_from_slice(logits);
    let scale = scale / labels.len() as f32;
    let each = engine.rows_each(labels.len(), width);
    let parts = gradient.chunks_mut(each * width).zip(labels.chunks(each));
    engine.share(parts, |(gradient, labels)| {
        softmax(engine.isa, gradient, width);
        for (row, &label) in gradient.chunks_exact_mut(width).zip(labels) {
            if let Some(chosen) = row.get_mut(label as usize) {
                *chosen -= 1.0;
            }
            let scale = scale * weight(weights, label);
            for x in row {
                *x *= scale;
            }
        }
    });
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::{golden, reduce};
    use proptest::prelude::*;

    fn cross_entropy(isa: Isa, logits: &[f32], labels: &[u32], width: usize) -> f32 {
        let losses = cross_entropies(Engine::with(isa, 1), logits, (labels, &[]), width);
        reduce::mean(isa, &losses)
    }

    /// The weighted mean in f64.
    fn wide(logits: &[f64], labels: &[u32], weights: &[f32]) -> f64 {
        let rows = logits.chunks(logits.len() / labels.len());
        let losses = rows.zip(labels).map(|(row, &label)| {
            let total: f64 = row.iter().map(|z| z.exp()).sum();
            f64::from(weights[label as usize]) * (total.ln() - row[label as usize])
        });
        losses.sum::<f64>() / labels.len() as f64
    }

    #[test]
    fn equal_logits_cost_the_logarithm_of_their_number() {
        let loss = cross_entropy(Isa::best(), &[3.0; 8], &[0, 3], 4);
        assert!((loss - 4f32.ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let loss = cross_entropy(Isa::best(), &[1e38, -1e38], &[0], 2);
        assert_eq!(loss, 0.0);
    }

    #[test]
    fn a_weight_of_one_changes_no_bit() {
        let (logits, labels) = ([0.3, -1.0, 2.0, 0.1, 0.2, 0.4], [2, 0]);
        let even = cross_entropies(Engine::default(), &logits, (&labels, &[]), 3);
        assert_eq!(cross_entropies(Engine::default(), &logits, (&labels, &[1.0; 3]), 3), even);
        let even = cross_entropy_gradient(Engine::default(), &logits, (&labels, &[]), 3, 0.7);
        let ones = cross_entropy_gradient(Engine::default(), &logits, (&labels, &[1.0; 3]), 3, 0.7);
        assert_eq!(ones, even);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let (rows, width) = (701, 65);
        let logits: Vec<f32> = (0..rows * width).map(|i| (i * 37 % 101) as f32 / 9.0).collect();
        let labels: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 65).collect();
        golden::same_with_threads(|engine| {
            let of = (labels.as_slice(), [0.5, 2.0].as_slice());
            let losses = cross_entropies(engine, &logits, of, width);
            [losses, cross_entropy_gradient(engine, &logits, of, width, 0.7)].concat()
        });
    }

    proptest! {
        #[test]
        fn the_gradient_is_the_slope_of_the_weighted_loss(
            logits in proptest::collection::vec(-3f32..3.0, 12), label in 0u32..4, at in 0usize..12,
            weights in proptest::collection::vec(0.1f32..9.0, 4),
        ) {
            let labels = [label, 1, 3];
            let (engine, given) = (Engine::default(), (labels.as_slice(), weights.as_slice()));
            let slope = cross_entropy_gradient(engine, &logits, given, 4, 1.0)[at];
            let shifted = |by: f64| {
                let mut logits: Vec<f64> = logits.iter().map(|&z| f64::from(z)).collect();
                logits[at] += by;
                wide(&logits, &labels, &weights)
            };
            let measured = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            prop_assert!((f64::from(slope) - measured).abs() < 1e-5, "{} {}", slope, measured);
            let mean = reduce::mean(engine.isa, &cross_entropies(engine, &logits, given, 4));
            prop_assert!((f64::from(mean) - shifted(0.0)).abs() < 1e-5, "{}", mean);
        }

        #[test]
        fn every_path_gives_the_same_bits(
            logits in proptest::collection::vec(-30f32..30.0, 42), label in 0u32..21,
        ) {
            let expect = cross_entropy(Isa::PORTABLE, &logits, &[label, 5], 21).to_bits();
            for isa in Isa::all() {
                let loss = cross_entropy(isa, &logits, &[label, 5], 21);
                prop_assert_eq!(loss.to_bits(), expect);
            }
        }
    }
}
