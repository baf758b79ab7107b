//! Said: what a model says of rows, as it is measured.
//! Never knows what is true of them.

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
    /// What the outputs of a network mean. `None` if an output is no number.
    pub(super) fn of(model: &Predictor, raw: &[f32]) -> Option<Self> {
        if raw.iter().any(|x| !x.is_finite()) {
            return None;
        }
        match model.meaning(raw)? {
            Predictions::Classes { classes, probabilities } => {
                let rows = raw.chunks_exact(classes.len().max(1));
                Some(Self::Classes { predicted: rows.map(largest).collect(), probabilities })
            }
            Predictions::Real(values) => {
                values.iter().all(|x| x.is_finite()).then_some(Self::Real(values))
            }
            Predictions::Labels { probabilities, .. } => {
                let predicted = raw.iter().map(|x| is_likely(*x)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_outputs_the_first_class_wins_and_a_label_must_be_likely() {
        assert_eq!((largest(&[1.0, 3.0, 3.0]), largest(&[2.0, 2.0])), (1, 0));
        assert!(is_likely(1e-30) && !is_likely(0.0));
    }
}
