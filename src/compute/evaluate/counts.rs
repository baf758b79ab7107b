//! Counts: how often a class was predicted, how often it was true, and what follows from that.
//! Never looks at a probability.
//!
//! Definitions are those of scikit-learn with `zero_division=0`: a share of nothing is 0.

use crate::domain::job::Metric;

/// How often a class was right, predicted, and true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Rows that are of the class and predicted as it.
    pub(super) hits: u64,
    /// Rows that are predicted as it.
    pub(super) predicted: u64,
    /// Rows that are of it.
    pub(super) actual: u64,
}

impl Counts {
    /// One more row.
    pub(super) fn count(&mut self, predicted: bool, actual: bool) {
        self.hits += u64::from(predicted && actual);
        self.predicted += u64::from(predicted);
        self.actual += u64::from(actual);
    }

    pub(super) fn precision(self) -> f64 {
        share(self.hits, self.predicted)
    }

    pub(super) fn recall(self) -> f64 {
        share(self.hits, self.actual)
    }

    pub(super) fn f1(self) -> f64 {
        share(2 * self.hits, self.predicted + self.actual)
    }

    /// Whether any row is of the class or predicted as it.
    pub(super) const fn occurs(self) -> bool {
        self.predicted + self.actual > 0
    }
}

/// A part of a whole; 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Precision, recall and F1: the means over the classes, and weighted by their rows.
pub(super) fn averages(counts: &[Counts]) -> Vec<(Metric, f64)> {
    type Score = fn(Counts) -> f64;
    let scores: [(Metric, Metric, Score); 3] = [
        (Metric::Precision, Metric::PrecisionWeighted, Counts::precision),
        (Metric::Recall, Metric::RecallWeighted, Counts::recall),
        (Metric::F1, Metric::F1Weighted, Counts::f1),
    ];
    let rows: u64 = counts.iter().map(|counts| counts.actual).sum();
    let each = scores.into_iter().flat_map(|(plain, weighted, score)| {
        let total: f64 = counts.iter().map(|counts| score(*counts)).sum();
        let weighed: f64 = counts.iter().map(|counts| score(*counts) * counts.actual as f64).sum();
        let weighed = if rows == 0 { 0.0 } else { weighed / rows as f64 };
        [(plain, total / counts.len().max(1) as f64), (weighted, weighed)]
    });
    each.collect()
}

/// F1 of all labels of all rows together.
pub(super) fn micro_f1(counts: &[Counts]) -> f64 {
    let mut all = Counts::default();
    for each in counts {
        all.hits += each.hits;
        all.predicted += each.predicted;
        all.actual += each.actual;
    }
    all.f1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_of_nothing_is_nothing() {
        let never = Counts { hits: 0, predicted: 0, actual: 3 };
        assert_eq!((never.precision(), never.recall(), never.f1()), (0.0, 0.0, 0.0));
        let said = Counts { hits: 1, predicted: 2, actual: 4 };
        assert_eq!((said.precision(), said.recall(), said.f1()), (0.5, 0.25, 1.0 / 3.0));
        assert!(never.occurs() && !Counts::default().occurs());
    }

    proptest! {
        #[test]
        fn f1_is_between_precision_and_recall_and_averages_between_the_classes(
            each in proptest::collection::vec((0u64..50, 0u64..50, 0u64..50), 1..8),
        ) {
            let counts: Vec<Counts> = each
                .into_iter()
                .map(|(hits, p, a)| Counts { hits, predicted: hits + p, actual: hits + a })
                .collect();
            for each in &counts {
                let (low, high) = (
                    each.precision().min(each.recall()),
                    each.precision().max(each.recall()),
                );
                // Where one of them is of nothing, F1 is 0.
                prop_assert!((low - 1e-12..=high + 1e-12).contains(&each.f1()));
            }
            for (metric, value) in averages(&counts) {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{metric:?} {value}");
            }
            prop_assert!((0.0..=1.0).contains(&micro_f1(&counts)));
        }
    }
}
