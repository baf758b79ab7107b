//! Profiles: what a column of a table looks like, for whoever drafts a pipeline on it.
//! Never decides what becomes of a column.

use super::table::{Cells, ColumnKind, Table};
use std::collections::BTreeMap;

/// Rows that values are counted in: the first of a table.
const ROWS_MAX: usize = 100_000;

/// What the commas of numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commas {
    /// Each stands where a point is to be; points, where there are some, part thousands: 1.234,5.
    Decimal,
    /// They part thousands: 1,234.5.
    Thousands,
}

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
    /// What commas may be, where all are numbers in text and some have one: both, if all have three
    /// digits behind it.
    pub commas: Vec<Commas>,
    /// Whether all are text that begins as a day does: 2026-01-31, 31.01.2026 or 31/1/2026.
    pub is_time: bool,
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
        let is_text = column.kind == ColumnKind::Text;
        let is_time = is_text && !counts.is_empty() && counts.keys().all(|text| is_day(text));
        Some(Profile {
            name: column.name,
            kind: column.kind,
            rows: sample.rows(),
            nulls,
            distinct: counts.len(),
            rarest: counts.values().copied().min().unwrap_or(0),
            words,
            is_counting: is_counting(cells),
            commas: if is_text { commas(counts.keys()) } else { Vec::new() },
            is_time,
        })
    })
    .collect()
}

/// Whether a text begins with three numbers as a day has, one of them a year.
fn is_day(text: &str) -> bool {
    let mut parts = text.splitn(3, ['-', '.', '/']);
    let mut number = || {
        let part = parts.next().unwrap_or_default();
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part.get(..end).filter(|digits| matches!(digits.len(), 1 | 2 | 4)).map(str::len)
    };
    matches!(
        (number(), number(), number()),
        (Some(4), Some(1 | 2), Some(1 | 2)) | (Some(1 | 2), Some(1 | 2), Some(4))
    )
}

/// Whether a text is a number, be it written with commas.
#[must_use]
pub fn is_number(text: &str) -> bool {
    let is_plain = text.parse().is_ok_and(f64::is_finite);
    is_plain || is_decimal(text) || is_of_thousands(text)
}

/// What commas may be in texts; nothing where one is no number, or none has a comma
/// or several points.
fn commas<'a>(texts: impl Iterator<Item = &'a String> + Clone) -> Vec<Commas> {
    let is_there = texts.clone().any(|text| text.contains(','));
    // Two points part thousands, or the text is no number.
    let is_parted = texts.clone().any(|text| text.matches('.').nth(1).is_some());
    let all = |is: fn(&str) -> bool| (is_there || is_parted) && texts.clone().all(|text| is(text));
    let decimal = all(is_decimal).then_some(Commas::Decimal);
    decimal.into_iter().chain(all(is_of_thousands).then_some(Commas::Thousands)).collect()
}

/// Whether a text is a number with a comma or none where others have a point: 1.234,5 or 7.
fn is_decimal(text: &str) -> bool {
    let (whole, part) = text.split_once(',').unwrap_or((text, "0"));
    is_parted(whole, '.') && is_digits(part)
}

/// Whether a text is a number whose thousands are parted by commas: 1,234.5 or 7.
fn is_of_thousands(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    is_parted(whole, ',') && is_digits(part)
}

/// Whether a text is digits behind a sign or none, in one piece or in threes.
fn is_parted(text: &str, mark: char) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut pieces = digits.split(mark);
    let first = pieces.next().unwrap_or_default();
    let rest: Vec<&str> = pieces.collect();
    let is_group = first.len() <= 3 && !first.starts_with('0');
    let is_first = is_digits(first) && (rest.is_empty() || is_group);
    is_first && rest.iter().all(|piece| piece.len() == 3 && is_digits(piece))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
    fn days_are_told_from_other_text() {
        let days = ["2026-01-31", "2026-01-31T10:00:00Z", "31.1.2026", "1/31/2026 10:00"];
        assert!(days.iter().all(|text| is_day(text)));
        let others = ["", "2026", "1.2.3", "2026-01", "10.0.0.1", "2026-xx-01", "ab-01-2026"];
        assert!(!others.iter().any(|text| is_day(text)));
    }

    #[test]
    fn commas_of_numbers_are_told_from_others() {
        // Places of a map, versions and words are none.
        for cell in ["1,2,3", "1,23,4", "a,5", "1.2,3", ",5", "5,"] {
            assert!(!is_decimal(cell) && !is_of_thousands(cell), "{cell}");
        }
        let of = |texts: [&str; 2]| commas(texts.map(str::to_owned).iter());
        assert_eq!(of(["1.234,5", "-7"]), [Commas::Decimal]);
        assert_eq!(of(["1,234.5", "7"]), [Commas::Thousands]);
        assert_eq!(of(["1,234", "7"]), [Commas::Decimal, Commas::Thousands]);
        assert_eq!(of(["0,125", "1,250"]), [Commas::Decimal]);
        assert_eq!(of(["1,25", "1,234.5"]), []);
        assert_eq!(of(["1.5", "7"]), []);
        assert_eq!(of(["1.263.611", "950.000"]), [Commas::Decimal]);
        assert_eq!(of(["1.263.611", "9.5"]), []);
        assert_eq!(of(["950.000", "1.000"]), []);
    }

    #[test]
    fn a_column_without_values_has_none() {
        let table = Table::from_csv(b"a,b\n,1\n,2\n").unwrap();
        let empty = &profiles(&table)[0];
        assert_eq!((empty.nulls, empty.distinct, empty.rarest), (2, 0, 0));
    }
}
