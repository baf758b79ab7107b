//! Spans: whether features still differ as numbers of 32 bits. Never changes a number.

use crate::compute::table::Cells;
use crate::compute::{Fault, quote};

/// Parts of its span that a feature may lose by rounding: less is of no use to any model.
const PARTS: f64 = 1024.0;

/// From where to where the values of a feature go, and how far rounding moved one of them.
#[derive(Debug, Clone, Copy)]
struct Span {
    least: f64,
    most: f64,
    lost: f64,
}

impl Span {
    const NONE: Self = Self { least: f64::INFINITY, most: f64::NEG_INFINITY, lost: 0.0 };

    fn see(&mut self, x: f64) {
        self.least = self.least.min(x);
        self.most = self.most.max(x);
        self.lost = self.lost.max((x - f64::from(x as f32)).abs());
    }
}

/// The spans of all features.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// More values of a feature, by its place.
    pub(super) fn see(&mut self, feature: usize, cells: Cells<'_>) {
        if self.0.len() <= feature {
            self.0.resize(feature + 1, Span::NONE);
        }
        let Some(span) = self.0.get_mut(feature) else { return };
        match cells {
            Cells::Real(array) => array.iter().flatten().for_each(|x| span.see(x)),
            Cells::Integer(array) => array.iter().flatten().for_each(|x| span.see(x as f64)),
            Cells::Truth(_) | Cells::Text(_) => {}
        }
    }

    /// Fails where values of a feature are so large, and so near each other, that rounding leaves
    /// nothing to learn from: seconds of one day since 1970 are steps of two minutes.
    pub(super) fn check(&self, names: &[String]) -> Result<(), Fault> {
        let is_lost = |span: &Span| span.lost * PARTS > span.most - span.least;
        let differs = |span: &Span| span.most > span.least;
        let lost = self.0.iter().zip(names).find(|(span, _)| differs(span) && is_lost(span));
        match lost {
            None => Ok(()),
            Some((Span { least, most, .. }, name)) => Err(Fault::new(
                format!(
                    "feature {} goes from {least} to {most}: models compute with 32 bits, which \
                     round that by more than a thousandth of the way",
                    quote(name)
                ),
                format!(
                    "a transform computes with 64 bits: scale it there, by the step `standardise: \
                     [{name}]`"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::table::Table;

    #[test]
    fn a_feature_whose_differences_are_rounded_away_is_refused() {
        let check = |csv: &str| {
            let table = Table::from_csv(csv.as_bytes()).unwrap();
            let mut spans = Spans::default();
            spans.see(0, table.column("x").unwrap());
            spans.check(&["x".to_owned()])
        };
        let fault = check("x\n1700000000\n1700000100\n1700000601\n").unwrap_err();
        assert!(fault.message.contains("from 1700000000 to 1700000601"), "{fault}");
        assert!(fault.hint.contains("`standardise: [x]`"), "{}", fault.hint);
        // A year of seconds is fine, and so is what 32 bits hold, or what never changes.
        check("x\n1700000000\n1731536000\n1700000601\n").unwrap();
        check("x\n16000000\n16000001\n").unwrap();
        check("x\n0.1\n0.1\n").unwrap();
        check("x\n5.1\n4.9\n4.7\n").unwrap();
        assert!(check("x\n9.99\n9.9900001\n").is_err());
    }
}
