//! Rows that are made: the bytes of a source that nobody has to have.
//! Never makes the same row twice, nor other rows from the same settings.

use super::kernel::philox::{Philox, purpose};
use crate::domain::job::Made;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Rows that are made at a time.
const ROWS_AT_ONCE: u64 = 16_384;

/// The bytes of rows, piece by piece: comma-separated values with a header.
#[derive(Debug)]
pub struct Maker {
    made: Made,
    dice: Philox,
    /// The next lot.
    lot: u64,
    /// Pairs of numbers that were asked for already.
    seen: BTreeSet<u64>,
}

impl Maker {
    /// Before the first row.
    #[must_use]
    pub fn new(made: Made) -> Self {
        let dice = Philox::new(made.seed, purpose::MADE, 0);
        Self { made, dice, lot: 0, seen: BTreeSet::new() }
    }

    /// Two numbers that no row had yet. There are some: no more rows are made than there are pairs.
    fn fresh(&mut self) -> (u64, u64) {
        let numbers = 10u64.saturating_pow(self.made.digits);
        loop {
            let [a, b] = [0, 1].map(|at| {
                let word = u64::from(self.dice.word(self.lot.wrapping_add(at)));
                (word * numbers) >> 32
            });
            self.lot = self.lot.wrapping_add(2);
            if self.seen.insert(a * numbers + b) {
                return (a, b);
            }
        }
    }
}

impl Iterator for Maker {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let rows = self.made.rows.min(self.made.most());
        let done = self.seen.len() as u64;
        if done >= rows {
            return None;
        }
        let mut text = String::new();
        if done == 0 {
            text.push_str(&Made::COLUMNS.join(","));
            text.push('\n');
        }
        let digits = self.made.digits as usize;
        for _ in done..rows.min(done.saturating_add(ROWS_AT_ONCE)) {
            let (a, b) = self.fresh();
            let question = format!("{a:0digits$}+{b:0digits$}=");
            let answer = format!("{:0width$}", a + b, width = digits + 1);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{question}{answer},{question},{answer}");
        }
        Some(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(made: Made) -> Vec<String> {
        let bytes: Vec<u8> = Maker::new(made).flatten().collect();
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        assert_eq!(lines.next().unwrap(), "text,question,answer");
        lines.collect()
    }

    #[test]
    fn all_sums_of_two_digits_are_there_once() {
        let mut all = rows(Made { digits: 1, rows: 100, seed: 3 });
        assert_eq!(all.len(), 100);
        all.sort();
        assert_eq!((all[0].as_str(), all[99].as_str()), ("0+0=00,0+0=,00", "9+9=18,9+9=,18"));
        all.dedup();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn the_same_settings_make_the_same_rows_for_ever() {
        let made = Made { digits: 3, rows: 40_000, seed: 1 };
        let all = rows(made);
        assert_eq!(all[0], "640+184=0824,640+184=,0824");
        assert_eq!(all, rows(made));
        assert_ne!(all, rows(Made { seed: 2, ..made }));
        // More rows begin with the same.
        assert_eq!(all[..30_000], rows(Made { rows: 30_000, ..made }));
    }

    proptest! {
        #[test]
        fn every_answer_is_the_sum_and_as_long_as_all_others(
            digits in 1u32..=9, rows_wanted in 1u64..80, seed in any::<u64>(),
        ) {
            let all = rows(Made { digits, rows: rows_wanted, seed });
            prop_assert_eq!(all.len() as u64, rows_wanted);
            for row in all {
                let cells: Vec<&str> = row.split(',').collect();
                let [text, question, answer] = cells.as_slice() else { unreachable!() };
                prop_assert_eq!(*text, format!("{question}{answer}"));
                prop_assert_eq!(text.len(), 3 * digits as usize + 3);
                let (a, b) = question.trim_end_matches('=').split_once('+').unwrap();
                let number = |text: &str| text.parse::<u64>().unwrap();
                prop_assert_eq!(number(a) + number(b), number(answer));
            }
        }
    }
}
