//! Multi-label: what is measured of a model that says of each row which of several labels it has.
//! Never takes one label for another: each is a question of its own.

use super::classes::cross_entropy;
use super::counts::{self, Counts, share};
use super::ranking;
use crate::domain::job::Metric;

/// All that is measured of a model of several labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labels {
    /// Of each label.
    pub(super) counts: Vec<Counts>,
    /// The area under the ROC curve of each label, where it is known.
    pub(super) areas: Vec<Option<f64>>,
    /// The Hamming loss of who says of each label what is true of most rows.
    pub(super) majority_loss: f64,
}

/// Measures predicted labels and their probabilities; all are `rows × labels`.
pub(super) fn measure(
    labels: usize,
    predicted: &[bool],
    probabilities: &[f64],
    actual: &[bool],
) -> (Vec<(Metric, f64)>, Labels) {
    let width = labels.max(1);
    let mut counts = vec![Counts::default(); labels];
    let (mut whole, mut wrong) = (0u64, 0u64);
    for (predicted, actual) in predicted.chunks_exact(width).zip(actual.chunks_exact(width)) {
        let misses = std::iter::zip(predicted, actual).filter(|(said, meant)| said != meant);
        let misses = misses.count() as u64;
        whole += u64::from(misses == 0);
        wrong += misses;
        for (counts, (said, meant)) in counts.iter_mut().zip(std::iter::zip(predicted, actual)) {
            counts.count(*said, *meant);
        }
    }
    let pairs = || std::iter::zip(probabilities, actual).map(|(p, is)| (*p, *is));
    let surprise = |(p, is): (f64, bool)| cross_entropy(if is { p } else { 1.0 - p });
    let loss: f64 = pairs().map(surprise).sum();
    let area = |label: usize| ranking::auc(pairs().skip(label).step_by(width));
    let areas: Vec<Option<f64>> = (0..labels).map(area).collect();
    let cells = actual.len() as u64;
    let rows = cells / width as u64;
    let mut measures =
        vec![(Metric::Accuracy, share(whole, rows)), (Metric::Loss, loss / cells.max(1) as f64)];
    measures.extend(counts::averages(&counts));
    measures.push((Metric::F1Micro, counts::micro_f1(&counts)));
    measures.extend(ranking::mean(&areas).map(|area| (Metric::RocAuc, area)));
    measures.push((Metric::HammingLoss, share(wrong, cells)));
    let rare: u64 = counts.iter().map(|each| each.actual.min(rows - each.actual)).sum();
    (measures, Labels { counts, areas, majority_loss: share(rare, cells) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measures_are_what_they_are_called() {
        let predicted = [true, false, true, true, false, false];
        let actual = [true, false, false, true, true, false];
        let probabilities = [0.9, 0.2, 0.8, 0.7, 0.4, 0.1];
        let (got, details) = measure(2, &predicted, &probabilities, &actual);
        let value = |metric| got.iter().find(|(each, _)| *each == metric).unwrap().1;
        assert_eq!(value(Metric::Accuracy), 1.0 / 3.0);
        assert_eq!(value(Metric::HammingLoss), 2.0 / 6.0);
        assert_eq!(value(Metric::F1Micro), 2.0 / 3.0);
        assert_eq!(details.counts[0], Counts { hits: 1, predicted: 2, actual: 2 });
        assert_eq!(details.areas, [Some(0.5), Some(1.0)]);
        assert_eq!(details.majority_loss, 2.0 / 6.0);
    }
}
