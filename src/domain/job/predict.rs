//! Predictions: what is kept of the rows that a model says something of.
//! Never predicts.

use crate::base::canon::canonical_struct;

/// `uses: predict`: inputs `model` and `data`; output `table`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Predict {
    /// The columns of the rows that stand beside the prediction, in this order; `None` keeps all.
    pub keep: Option<Vec<String>>,
    /// Whether there is a column with the probability of each class or label.
    pub probabilities: bool,
}
canonical_struct!(Predict { keep, probabilities });

impl Predict {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("keep", self.keep != other.keep),
            ("probabilities", self.probabilities != other.probabilities),
        ]
    }
}
