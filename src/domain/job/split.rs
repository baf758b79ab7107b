//! Splits: how the rows of a table are divided into named parts.
//! Never draws the lot.

use crate::base::canon::canonical_struct;

/// `uses: split`: input `table`, one output per ratio, named by it.
#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    /// Name and share of each part, in the order of the manifest; shares are positive.
    pub ratios: Vec<(String, f64)>,
    /// The column whose values are to be equally frequent in every part.
    pub stratify: Option<String>,
    /// Seed of the permutation of the rows.
    pub seed: u64,
}
canonical_struct!(Split { ratios, stratify, seed });

impl Split {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("ratios", self.ratios != other.ratios),
            ("stratify", self.stratify != other.stratify),
            ("seed", self.seed != other.seed),
        ]
    }
}
