//! Said: what a model says of rows, as it is measured.
//! Never knows what is true of them.

use crate::compute::exact;
use crate::compute::predictor::{Predictions, Predictor};

/// What a model says of rows, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// One class of each row.
    Classes {
        /// The class that it predicts: an index into the vocabulary.
        predicted: Vec<u32>,
        /// How likely each class is: `rows × classes`, from 0 to 1.
        probabilities: Vec<f64>,
    },
    /// A number.
    Real(Vec<f64>),
    /// Some of several labels.
    Labels {
        /// The labels that it predicts: `rows × labels`.
        predicted: Vec<bool>,
        /// How likely each is: `rows × labels`, from 0 to 1.
        probabilities: Vec<f64>,
    },
}

impl Said {
    /// What the outputs of a network mean; probabilities are computed in f64, so that sure ones do
    /// not run together. `None` if an output is no number.
    pub(super) fn of(model: &Predictor, raw: &[f32]) -> Option<Self> {
        if raw.iter().any(|x| !x.is_finite()) {
            return None;
        }
        match model.meaning(raw.to_vec())? {
            Predictions::Classes { classes, .. } => {
                let rows = || raw.chunks_exact(classes.len().max(1));
                let predicted = rows().map(largest).collect();
                Some(Self::Classes { predicted, probabilities: rows().flat_map(softmax).collect() })
            }
            Predictions::Real(values) => {
                values.iter().all(|x| x.is_finite()).then_some(Self::Real(values))
            }
            Predictions::Labels { .. } => {
                let predicted = raw.iter().map(|x| is_likely(*x)).collect();
                let probabilities = raw.iter().map(|x| sigmoid(f64::from(*x))).collect();
                Some(Self::Labels { predicted, probabilities })
            }
        }
    }
}

/// The class of the largest output; of equals, the first.
pub(in crate::compute) fn largest(outputs: &[f32]) -> u32 {
    let best = (0..).zip(outputs).reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(class, _)| class)
}

/// Whether a label is more likely than not: its output is above 0.
pub(in crate::compute) fn is_likely(output: f32) -> bool {
    output > 0.0
}

/// Shifted by the largest output, so that nothing overflows.
fn softmax(outputs: &[f32]) -> Vec<f64> {
    let shift = f64::from(outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let each: Vec<f64> =
        outputs.iter().map(|x| exact::exp_of_nonpositive(f64::from(*x) - shift)).collect();
    let total: f64 = each.iter().sum();
    each.into_iter().map(|x| x / total).collect()
}

fn sigmoid(x: f64) -> f64 {
    let e = exact::exp_of_nonpositive(-x.abs());
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_outputs_the_first_class_wins_and_a_label_must_be_likely() {
        assert_eq!((largest(&[1.0, 3.0, 3.0]), largest(&[2.0, 2.0])), (1, 0));
        assert!(is_likely(1e-30) && !is_likely(0.0));
    }

    #[test]
    fn probabilities_sum_to_one_and_never_overflow() {
        let sure = softmax(&[1000.0, -1000.0, 0.0]);
        assert_eq!(sure, [1.0, 0.0, 0.0]);
        let even: f64 = softmax(&[0.3, 0.1, -0.7]).iter().sum();
        assert!((even - 1.0).abs() < 1e-15);
        assert_eq!((sigmoid(0.0), sigmoid(-1e9), sigmoid(1e9)), (0.5, 0.0, 1.0));
        assert!((sigmoid(-2.0) + sigmoid(2.0) - 1.0).abs() < 1e-15);
    }
}
