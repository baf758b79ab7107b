//! Evaluations: by which measure models are compared.
//! Never measures.

use crate::base::canon::{canonical_enum, canonical_struct};

/// `uses: evaluate`: inputs `models` (one or more) and `data`; outputs `best` and `report`.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluate {
    /// What decides.
    pub metric: Metric,
    /// Which end of it is good.
    pub goal: Goal,
}
canonical_struct!(Evaluate { metric, goal });

/// A measure of a classifier on held-out rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metric {
    /// Share of rows whose label is predicted.
    Accuracy,
    /// Mean cross-entropy in nats.
    Loss,
}
canonical_enum!(Metric { 1 => Accuracy, 2 => Loss });

/// Which end of a metric is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// The largest wins.
    Max,
    /// The smallest wins.
    Min,
}
canonical_enum!(Goal { 1 => Max, 2 => Min });

impl Evaluate {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![("select", self != other)]
    }
}
