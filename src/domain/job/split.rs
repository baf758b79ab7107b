//! Splits: how the rows of a table are divided into named parts.
//! Never draws the lot.

use crate::base::canon::{canonical_enum, canonical_struct};

/// `uses: split`: input `table`, one output per ratio, named by it.
#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    /// Name and share of each part, in the order of the manifest; shares are positive.
    pub ratios: Vec<(String, f64)>,
    /// What is dealt out to the parts.
    pub dealing: Dealing,
    /// Seed of the lot.
    pub seed: u64,
}
canonical_struct!(Split { ratios, dealing, seed });

/// What a split deals out to its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dealing {
    /// Row by row.
    Rows,
    /// Row by row, so that the values of this column are equally frequent in every part.
    Stratified(String),
    /// All rows of one value of this column at once: no value is in two parts.
    Grouped(String),
    /// Row by row without a lot: the first rows to the first part, those after them to the next.
    InOrder,
}
canonical_enum!(Dealing { 1 => Rows, 2 => Stratified(x), 3 => Grouped(x), 4 => InOrder });

impl Dealing {
    /// The column that decides, and the setting that names it.
    #[must_use]
    pub fn column(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Rows | Self::InOrder => None,
            Self::Stratified(column) => Some(("stratify", column)),
            Self::Grouped(column) => Some(("by", column)),
        }
    }
}

impl Split {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        let of = |split: &Self, setting| {
            split.dealing.column().filter(|(name, _)| *name == setting).map(|(_, x)| x.to_owned())
        };
        let differs = |setting| of(self, setting) != of(other, setting);
        vec![
            ("ratios", self.ratios != other.ratios),
            ("stratify", differs("stratify")),
            ("by", differs("by")),
            ("order", (self.dealing == Dealing::InOrder) != (other.dealing == Dealing::InOrder)),
            ("seed", self.seed != other.seed),
        ]
    }
}
