//! Regression: how far predicted numbers are from the true ones.
//! Never calls the C library; sums go over the rows in their order, in f64.

use crate::domain::job::Metric;

/// The measures of predictions; both are equally long.
pub(super) fn measures(predicted: &[f64], actual: &[f64]) -> Vec<(Metric, f64)> {
    let errors = || std::iter::zip(predicted, actual).map(|(said, meant)| meant - said);
    let rows = predicted.len().max(1) as f64;
    let squares: f64 = errors().map(|error| error * error).sum();
    let mse = squares / rows;
    let mut distances: Vec<f64> = errors().map(f64::abs).collect();
    let mae = distances.iter().sum::<f64>() / rows;
    let mut measures = vec![
        (Metric::Mse, mse),
        (Metric::Rmse, mse.sqrt()),
        (Metric::Mae, mae),
        (Metric::MedianAbsoluteError, median(&mut distances)),
    ];
    if actual.len() > 1 {
        // One row has no variance to explain.
        measures.push((Metric::R2, explained(squares, actual)));
    }
    measures
}

/// The mean; 0 of nothing. Of values that are all one it is that value, where a sum would be
/// rounded and a target that does not vary would seem to.
pub(super) fn mean(values: &[f64]) -> f64 {
    if let Some((first, rest)) = values.split_first()
        && rest.iter().all(|value| value == first)
    {
        return *first;
    }
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// 1 - errors / variance. Of a target that does not vary, 1 where there is no error, else 0.
fn explained(squares: f64, actual: &[f64]) -> f64 {
    let mean = mean(actual);
    let total: f64 = actual.iter().map(|x| (x - mean) * (x - mean)).sum();
    match (squares == 0.0, total == 0.0) {
        (_, false) => 1.0 - squares / total,
        (true, true) => 1.0,
        (false, true) => 0.0,
    }
}

/// The middle value, or the mean of the two; 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    let half = values.len() / 2;
    match values.len() % 2 {
        0 if half > 0 => f64::midpoint(at(half - 1), at(half)),
        _ => at(half),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(measures: &[(Metric, f64)], metric: Metric) -> f64 {
        measures.iter().find(|(each, _)| *each == metric).unwrap().1
    }

    #[test]
    fn the_measures_are_what_they_are_called() {
        // The example of the scikit-learn handbook.
        let got = measures(&[2.5, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0]);
        assert_eq!(value(&got, Metric::Mse), 0.375);
        assert_eq!(value(&got, Metric::Rmse), 0.375f64.sqrt());
        assert_eq!(value(&got, Metric::Mae), 0.5);
        assert_eq!(value(&got, Metric::MedianAbsoluteError), 0.5);
        assert!((value(&got, Metric::R2) - 0.948_608_137).abs() < 1e-9);
    }

    #[test]
    fn a_target_that_does_not_vary_is_explained_or_not() {
        assert_eq!(value(&measures(&[1.0, 1.0], &[1.0, 1.0]), Metric::R2), 1.0);
        assert_eq!(value(&measures(&[1.0, 2.0], &[1.0, 1.0]), Metric::R2), 0.0);
        let same = [0.1; 10];
        assert_eq!(value(&measures(&[0.5; 10], &same), Metric::R2), 0.0);
        assert_eq!(mean(&same), 0.1);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut []), 0.0);
    }

    proptest! {
        #[test]
        fn errors_are_ordered_and_the_mean_explains_nothing(
            pairs in proptest::collection::vec((-1e3f64..1e3, -1e3f64..1e3), 2..50),
        ) {
            let (predicted, actual): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let got = measures(&predicted, &actual);
            let of = |metric| value(&got, metric);
            prop_assert!(of(Metric::Mae) <= of(Metric::Rmse) * (1.0 + 1e-12));
            prop_assert!(of(Metric::MedianAbsoluteError) >= 0.0 && of(Metric::R2) <= 1.0);
            let constant = vec![mean(&actual); actual.len()];
            let r2 = value(&measures(&constant, &actual), Metric::R2);
            // Of a target that never changes, its mean explains all there is.
            let is_constant = actual.iter().all(|x| *x == actual[0]);
            prop_assert!(r2.abs() < 1e-9 || (is_constant && r2 == 1.0), "{r2}");
        }
    }
}
