//! Ranking: how well scores put the rows of a class before the others.
//! Never adds up reals: pairs are counted as integers, so that the area is exact.

/// The area under the ROC curve: the chance that a row of the class has a higher score than another
/// row, ties counting half (Mann and Whitney 1947). `None` unless there are rows of both kinds.
pub(super) fn auc(scores: impl Iterator<Item = (f64, bool)>) -> Option<f64> {
    let mut scores: Vec<(f64, bool)> = scores.collect();
    scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut halves, mut below, mut above) = (0u128, 0u64, 0u64);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let own = tied.iter().filter(|(_, is_own)| *is_own).count() as u64;
        let others = tied.len() as u64 - own;
        halves += u128::from(own) * (2 * u128::from(below) + u128::from(others));
        below += others;
        above += own;
    }
    let pairs = u128::from(above) * u128::from(below);
    (pairs > 0).then(|| halves as f64 / (2 * pairs) as f64)
}

/// The mean of the areas that are known; none if none is.
pub(super) fn mean(areas: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = areas.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(scores: &[(f64, bool)], want: Option<f64>) {
        assert_eq!(auc(scores.iter().copied()), want);
    }

    #[test]
    fn the_area_is_one_where_all_pairs_are_right_and_a_half_where_all_are_tied() {
        check(&[(0.1, false), (0.9, true), (0.4, false), (0.5, true)], Some(1.0));
        check(&[(0.1, true), (0.9, false)], Some(0.0));
        check(&[(0.5, true), (0.5, false), (0.5, true)], Some(0.5));
        check(&[(0.1, false), (0.35, true), (0.4, false), (0.8, true)], Some(0.75));
        check(&[(0.3, true), (0.9, true)], None);
        check(&[(0.3, false)], None);
        check(&[], None);
        assert_eq!(mean(&[Some(1.0), None, Some(0.5)]), Some(0.75));
        assert_eq!(mean(&[None]), None);
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_that_are_right(
            scores in proptest::collection::vec((0u8..12, any::<bool>()), 2..60),
        ) {
            let scores: Vec<(f64, bool)> =
                scores.into_iter().map(|(score, own)| (f64::from(score) / 8.0, own)).collect();
            let (mut halves, mut pairs) = (0u64, 0u64);
            for (own, _) in scores.iter().filter(|(_, is_own)| *is_own) {
                for (other, _) in scores.iter().filter(|(_, is_own)| !*is_own) {
                    pairs += 1;
                    halves += if own > other { 2 } else { u64::from(own == other) };
                }
            }
            let want = (pairs > 0).then(|| halves as f64 / (2 * pairs) as f64);
            prop_assert_eq!(auc(scores.iter().copied()), want);
            let mut reversed = scores.clone();
            reversed.reverse();
            prop_assert_eq!(auc(reversed.into_iter()), want);
        }
    }
}
