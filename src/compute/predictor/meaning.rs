//! What the outputs of a network mean: classes and labels with how likely they are, or numbers.
//! Never rounds to 32 bits: sure ones would run together, and those of a row not sum to 1.

use super::{Predictor, Unit};
use crate::compute::exact;
use crate::domain::job::Task;

/// What a model says of rows, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// How likely each class is.
    Classes {
        /// The classes, ascending.
        classes: Vec<String>,
        /// `rows × classes`; those of a row sum to 1.
        probabilities: Vec<f64>,
    },
    /// A number in the units of the target.
    Real(Vec<f64>),
    /// How likely the row has each label, each by itself.
    Labels {
        /// The labels, in the order of the targets.
        labels: Vec<String>,
        /// `rows × labels`
        probabilities: Vec<f64>,
    },
}

impl Predictor {
    /// What [`Predictor::raw_outputs`] mean; nothing of a row where it tells tokens.
    #[must_use]
    pub fn meaning(&self, raw: &[f32]) -> Option<Predictions> {
        Some(match self.about.task {
            Task::Classification => {
                let classes = self.about.classes.clone();
                let rows = raw.chunks_exact(classes.len().max(1));
                Predictions::Classes { probabilities: rows.flat_map(softmax).collect(), classes }
            }
            Task::Regression => {
                let Unit { mean, deviation } = self.unit;
                Predictions::Real(raw.iter().map(|&y| f64::from(y) * deviation + mean).collect())
            }
            Task::Language => return None,
            Task::MultiLabel => Predictions::Labels {
                labels: self.about.targets.clone(),
                probabilities: raw.iter().map(|x| sigmoid(f64::from(*x))).collect(),
            },
        })
    }
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
    fn probabilities_sum_to_one_and_never_overflow() {
        let sure = softmax(&[1000.0, -1000.0, 0.0]);
        assert_eq!(sure, [1.0, 0.0, 0.0]);
        let even: f64 = softmax(&[0.3, 0.1, -0.7]).iter().sum();
        assert!((even - 1.0).abs() < 1e-15);
        assert_eq!((sigmoid(0.0), sigmoid(-1e9), sigmoid(1e9)), (0.5, 0.0, 1.0));
        assert!((sigmoid(-2.0) + sigmoid(2.0) - 1.0).abs() < 1e-15);
    }
}
