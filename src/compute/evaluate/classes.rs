//! Classification: what is measured of a model that says one class of each row.
//! Never judges a class that no row has and nobody predicts: it is in no average.

use super::calibration::{self, Bin};
use super::counts::{self, Counts, share};
use super::ranking;
use crate::compute::exact;
use crate::domain::job::Metric;
use std::collections::BTreeMap;

/// All that is measured of a classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Classes {
    /// Of each class of the vocabulary.
    pub(super) counts: Vec<Counts>,
    /// The area under the ROC curve of each class against all others, where it is known.
    pub(super) areas: Vec<Option<f64>>,
    /// (actual, predicted) → rows; pairs that did not occur are left out.
    pub(super) confusion: BTreeMap<(u32, u32), u64>,
    /// Whether the model is right as often as it says.
    pub(super) bins: Vec<Bin>,
    /// The class that most rows have; of equals, the first.
    pub(super) majority: u32,
    /// Mean cross-entropy of who knows nothing but how frequent each class is, in nats.
    pub(super) prior_loss: f64,
}

/// Measures predicted classes and `rows × classes` probabilities.
pub(super) fn measure(
    classes: usize,
    predicted: &[u32],
    probabilities: &[f64],
    actual: &[u32],
) -> (Vec<(Metric, f64)>, Classes) {
    let pairs = || std::iter::zip(actual.iter().copied(), predicted.iter().copied());
    let rows = || std::iter::zip(pairs(), probabilities.chunks_exact(classes.max(1)));
    let mut counts = vec![Counts::default(); classes];
    let mut confusion = BTreeMap::new();
    for (actual, predicted) in pairs() {
        if let Some(counts) = counts.get_mut(predicted as usize) {
            counts.predicted += 1;
            counts.hits += u64::from(predicted == actual);
        }
        if let Some(counts) = counts.get_mut(actual as usize) {
            counts.actual += 1;
        }
        *confusion.entry((actual, predicted)).or_insert(0u64) += 1;
    }
    let at = |row: &[f64], class: u32| row.get(class as usize).copied().unwrap_or_default();
    let loss: f64 = rows().map(|((actual, _), row)| cross_entropy(at(row, actual))).sum();
    let bins = calibration::bins(
        rows().map(|((actual, predicted), row)| (at(row, predicted), actual == predicted)),
    );
    let area = |class: u32| {
        ranking::auc(rows().map(|((actual, _), row)| (at(row, class), actual == class)))
    };
    let areas: Vec<Option<f64>> = match classes {
        // Of two classes, one ranks the rows as the other does, backwards.
        2 => vec![area(1); 2],
        _ => (0..).take(classes).map(area).collect(),
    };
    let right: u64 = counts.iter().map(|counts| counts.hits).sum();
    let total = actual.len() as u64;
    let occurring: Vec<Counts> = counts.iter().copied().filter(|each| each.occurs()).collect();
    let mut measures =
        vec![(Metric::Accuracy, share(right, total)), (Metric::Loss, loss / total.max(1) as f64)];
    measures.extend(counts::averages(&occurring));
    measures.extend(ranking::mean(&areas).map(|area| (Metric::RocAuc, area)));
    measures.push((Metric::CalibrationError, calibration::error(&bins)));
    let majority = (0..).zip(&counts).reduce(|a, b| if b.1.actual > a.1.actual { b } else { a });
    let majority = majority.map_or(0, |(class, _)| class);
    let prior_loss = counts.iter().filter(|each| each.actual > 0).map(|each| {
        let frequency = share(each.actual, total);
        -frequency * exact::ln(frequency)
    });
    let prior_loss = prior_loss.sum();
    (measures, Classes { counts, areas, confusion, bins, majority, prior_loss })
}

/// The surprise at what happened, in nats, where it was said to have this probability.
/// Probabilities are kept 2^-52 away from 0 and 1, as scikit-learn does, so that one error is not
/// infinite.
pub(super) fn cross_entropy(probability: f64) -> f64 {
    -exact::ln(probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(measures: &[(Metric, f64)], metric: Metric) -> Option<f64> {
        measures.iter().find(|(each, _)| *each == metric).map(|(_, value)| *value)
    }

    #[test]
    fn the_measures_are_what_they_are_called() {
        let probabilities = [0.9, 0.1, 0.4, 0.6, 0.7, 0.3, 0.2, 0.8];
        let (got, details) = measure(2, &[0, 1, 0, 1], &probabilities, &[0, 0, 1, 1]);
        assert_eq!(value(&got, Metric::Accuracy), Some(0.5));
        let want = -[0.9f64, 0.4, 0.3, 0.8].iter().map(|p| p.ln()).sum::<f64>() / 4.0;
        assert!((value(&got, Metric::Loss).unwrap() - want).abs() < 1e-15);
        assert_eq!(value(&got, Metric::RocAuc), Some(0.75));
        assert_eq!(details.confusion[&(0, 1)], 1);
        assert!((details.prior_loss - 2f64.ln()).abs() < 1e-15);
        assert_eq!((details.majority, details.areas[0]), (0, details.areas[1]));
        assert_eq!(cross_entropy(0.0), -exact::ln(f64::EPSILON));
    }

    #[test]
    fn a_class_that_does_not_occur_is_in_no_average() {
        let (got, details) = measure(3, &[0, 1], &[0.8, 0.2, 0.0, 0.1, 0.9, 0.0], &[0, 1]);
        assert_eq!(value(&got, Metric::F1), Some(1.0));
        assert_eq!(value(&got, Metric::RocAuc), Some(1.0));
        assert_eq!(details.areas, [Some(1.0), Some(1.0), None]);
        let (one, _) = measure(2, &[0, 0], &[0.8, 0.2, 0.6, 0.4], &[0, 0]);
        assert_eq!(value(&one, Metric::RocAuc), None);
    }

    proptest! {
        #[test]
        fn the_order_of_the_rows_changes_no_count_and_all_is_in_its_bounds(
            rows in proptest::collection::vec((0u32..4, 0u32..4, 0u8..=8), 1..40),
            turn: usize,
        ) {
            let measured = |rows: &[(u32, u32, u8)]| {
                let predicted: Vec<u32> = rows.iter().map(|row| row.0).collect();
                let actual: Vec<u32> = rows.iter().map(|row| row.1).collect();
                let row = |row: &(u32, u32, u8)| {
                    let own = f64::from(row.2) / 8.0;
                    let mut all = [(1.0 - own) / 3.0; 4];
                    all[row.0 as usize] = own;
                    all
                };
                measure(4, &predicted, &rows.iter().flat_map(row).collect::<Vec<_>>(), &actual)
            };
            let (got, details) = measured(&rows);
            for (metric, value) in &got {
                let is_share = *metric != Metric::Loss;
                prop_assert!(value.is_finite() && *value >= 0.0, "{metric:?} {value}");
                prop_assert!(!is_share || *value <= 1.0 + 1e-12, "{metric:?} {value}");
            }
            let mut turned = rows.clone();
            turned.rotate_left(turn % rows.len());
            let (again, other) = measured(&turned);
            prop_assert_eq!(&details.counts, &other.counts);
            prop_assert_eq!(&details.confusion, &other.confusion);
            prop_assert_eq!(&details.areas, &other.areas);
            let counted = |measures: &[(Metric, f64)]| {
                let floats = [Metric::Loss, Metric::CalibrationError];
                let counts = measures.iter().filter(|each| !floats.contains(&each.0));
                counts.copied().collect::<Vec<_>>()
            };
            prop_assert_eq!(counted(&got), counted(&again));
        }
    }
}
