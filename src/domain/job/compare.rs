//! Comparisons: which measure of the instances of a sweep is tabulated and drawn.
//! Never reads a report: `compute` does.

use crate::base::canon::canonical_struct;

/// `uses: compare`: input `reports` (evaluations), outputs `table` and `chart`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compare {
    /// What is drawn and ranked by; none means what the first evaluation selected by.
    pub metric: Option<String>,
    /// The matrix axis along the chart; none means the first whose values are numbers.
    pub x: Option<String>,
    /// The matrix axis that tells lines apart; none means the next one with few values.
    pub series: Option<String>,
}
canonical_struct!(Compare { metric, x, series });

impl Compare {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("metric", self.metric != other.metric),
            ("x", self.x != other.x),
            ("series", self.series != other.series),
        ]
    }
}
