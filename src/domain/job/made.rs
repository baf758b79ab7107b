//! Rows that are made: what they are, so that anybody can make the same.
//! Never says how lots fall (`compute` does).

use super::{ColumnKind, Declared, Reading};
use std::fmt;

/// Digits of a number that is added to another.
pub const DIGITS_MAX: u32 = 9;
/// Rows of one source that is made.
pub const MADE_ROWS_MAX: u64 = 1_000_000;

/// Sums of two numbers, no two of the same: the columns `text` (`012+345=0357`), `question`
/// (`012+345=`) and `answer` (`0357`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Digits of each number.
    pub digits: u32,
    /// How many sums.
    pub rows: u64,
    /// The seed of the lots.
    pub seed: u64,
}

impl Made {
    /// The columns, in their order.
    pub const COLUMNS: [&str; 3] = ["text", "question", "answer"];

    /// How many different sums there are, at the most a million.
    #[must_use]
    pub fn most(&self) -> u64 {
        10u64.saturating_pow(self.digits.saturating_mul(2)).min(MADE_ROWS_MAX)
    }

    /// How the rows are read: numbers with leading zeros are text.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let text = |name: &str| Declared { name: name.to_owned(), kind: Some(ColumnKind::Text) };
        Reading { columns: Self::COLUMNS.map(text).to_vec(), ..Reading::csv() }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digits, rows, seed } = self;
        write!(f, "{rows} sums of {digits}-digit numbers, seed {seed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_sums_as_pairs_of_numbers() {
        let most = |digits| Made { digits, rows: 1, seed: 0 }.most();
        assert_eq!([1, 2, 3, 9].map(most), [100, 10_000, 1_000_000, 1_000_000]);
    }
}
