//! Calibration: whether a model is right as often as it says.
//! Never chooses its bins: they are ten, equally wide, whatever the data.

use super::counts::share;

/// Bins of the probability of the predicted class.
const BINS: u32 = 10;

/// The rows whose predicted class has a probability above `above`, up to `to`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bin {
    /// Where the bin begins; its own end belongs to it, this one does not (0 does to the first).
    pub(super) above: f64,
    /// Where it ends.
    pub(super) to: f64,
    /// How many rows are in it.
    pub(super) rows: u64,
    /// Those that are predicted right.
    pub(super) right: u64,
    /// The sum of their probabilities.
    sum: f64,
}

impl Bin {
    /// The mean probability of the predicted class; 0 without rows.
    pub(super) fn confidence(&self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.sum / self.rows as f64 }
    }

    /// The share of the rows that are predicted right; 0 without rows.
    pub(super) fn accuracy(&self) -> f64 {
        share(self.right, self.rows)
    }
}

/// The bins, from the probability of the predicted class of each row and whether it is right.
pub(super) fn bins(rows: impl Iterator<Item = (f64, bool)>) -> Vec<Bin> {
    let edge = |i: u32| f64::from(i) / f64::from(BINS);
    let mut bins: Vec<Bin> =
        (0..BINS).map(|i| Bin { above: edge(i), to: edge(i + 1), ..Bin::default() }).collect();
    for (probability, is_right) in rows {
        let at = bins.iter().position(|bin| probability <= bin.to).unwrap_or(bins.len() - 1);
        if let Some(bin) = bins.get_mut(at) {
            bin.rows += 1;
            bin.right += u64::from(is_right);
            bin.sum += probability;
        }
    }
    bins
}

/// The expected calibration error: the mean distance of probability and share of right rows, each
/// bin weighted by its rows (Naeini, Cooper and Hauskrecht 2015, with the predicted class as Guo et
/// al. 2017, arXiv 1706.04599).
pub(super) fn error(bins: &[Bin]) -> f64 {
    let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
    let gap = |bin: &Bin| (bin.accuracy() - bin.confidence()).abs() * bin.rows as f64;
    let gaps: f64 = bins.iter().map(gap).sum();
    if rows == 0 { 0.0 } else { gaps / rows as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_end_belongs_to_a_bin_and_the_error_is_the_mean_gap() {
        let rows = [(0.0, false), (0.1, true), (0.75, true), (0.8, false), (1.0, true)];
        let bins = bins(rows.into_iter());
        let counts: Vec<u64> = bins.iter().map(|bin| bin.rows).collect();
        assert_eq!(counts, [2, 0, 0, 0, 0, 0, 0, 2, 0, 1]);
        let want = (2.0 * (0.5 - 0.05f64).abs() + 2.0 * (0.5 - 0.775f64).abs()) / 5.0;
        assert!((error(&bins) - want).abs() < 1e-15);
        assert_eq!(bins[9].confidence(), 1.0);
    }

    #[test]
    fn who_is_right_as_often_as_said_has_no_error() {
        let rows = (0..4).map(|i| (0.75, i > 0));
        assert_eq!(error(&bins(rows)), 0.0);
        assert_eq!(error(&bins(std::iter::empty())), 0.0);
    }
}
