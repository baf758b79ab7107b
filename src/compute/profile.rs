//! Profiles: what a column of a table looks like, for whoever drafts a pipeline on it.
//! Never decides what becomes of a column.

use super::table::{Cells, ColumnKind, Table};
use std::collections::BTreeMap;

/// Rows that values are counted in: the first of a table.
const ROWS_MAX: usize = 100_000;

/// What a column looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The kind of its cells.
    pub kind: ColumnKind,
    /// Rows that were looked at.
    pub rows: usize,
    /// Cells without a value, of all rows.
    pub nulls: usize,
    /// Different values.
    pub distinct: usize,
    /// How often the rarest value is there; 0 where there is none.
    pub rarest: usize,
    /// Words of all cells: what stands between blanks.
    pub words: usize,
    /// Whether each row has the number of the row before it and 1 more.
    pub is_counting: bool,
}

impl Profile {
    /// Whether no two rows have the same value, and all have one.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.distinct == self.rows && self.rows > 1
    }
}

/// The profile of each column, in their order.
#[must_use]
pub fn profiles(table: &Table) -> Vec<Profile> {
    let all = table.schema().into_iter();
    let sample = table.head(ROWS_MAX);
    all.filter_map(|column| {
        let nulls = table.column(&column.name).ok()?.nulls();
        let cells = sample.column(&column.name).ok()?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut words = 0;
        for text in cells.texts().into_iter().flatten() {
            words += text.split_whitespace().count();
            *counts.entry(text).or_default() += 1;
        }
        Some(Profile {
            name: column.name,
            kind: column.kind,
            rows: sample.rows(),
            nulls,
            distinct: counts.len(),
            rarest: counts.values().copied().min().unwrap_or(0),
            words,
            is_counting: is_counting(cells),
        })
    })
    .collect()
}

fn is_counting(cells: Cells<'_>) -> bool {
    let Cells::Integer(cells) = cells else { return false };
    let pairs = cells.iter().zip(cells.iter().skip(1));
    let follows = |(a, b): (Option<i64>, Option<i64>)| {
        a.zip(b).is_some_and(|(a, b)| a.checked_add(1) == Some(b))
    };
    cells.len() > 1 && pairs.into_iter().all(follows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_told_by_its_values() {
        let csv =
            "id,city,note,t,x\n1,a,one two,true,0.5\n2,b,three,,1.5\n3,a,four five six,false,\n";
        let table = Table::from_csv(csv.as_bytes()).unwrap();
        let found = profiles(&table);
        let of = |name: &str| found.iter().find(|profile| profile.name == name).unwrap();
        let city = of("city");
        assert_eq!((city.kind, city.rows, city.nulls), (ColumnKind::Text, 3, 0));
        assert_eq!((city.distinct, city.rarest, city.is_unique()), (2, 1, false));
        assert_eq!((of("note").words, of("note").is_unique()), (6, true));
        assert_eq!((of("id").is_counting, of("id").is_unique()), (true, true));
        assert_eq!((of("t").nulls, of("t").distinct), (1, 2));
        assert_eq!((of("x").nulls, of("x").is_counting), (1, false));
    }

    #[test]
    fn a_column_without_values_has_none() {
        let table = Table::from_csv(b"a,b\n,1\n,2\n").unwrap();
        let empty = &profiles(&table)[0];
        assert_eq!((empty.nulls, empty.distinct, empty.rarest), (2, 0, 0));
    }
}
