//! Row-wise steps, applied: from a table to one of as many rows in the same order.
//! Never learns anything: what a step needs to know of other rows stands in it.

use super::{Applied, Scaled, Vocabulary, bucket_name, tokens};
use crate::base::limits;
use crate::compute::formula::{self, data_type, reals_of};
use crate::compute::table::{Cells, Column, ColumnKind, Table, whole_of};
use crate::compute::{Fault, quote};
use crate::domain::job::{Cast, Cell, Formula, Hash, Layout, OnBadCell, Unknown};
use arrow_arith::arity::unary;
use arrow_array::builder::StringBuilder;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, new_null_array,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Buckets of one hashed column.
pub(super) const BUCKETS_MAX: u32 = 4_096;

pub(super) type Columns = Vec<(String, ArrayRef)>;

/// The raw columns of a recipe in a table: integers are taken for reals, reals that are whole for
/// integers, and a column without a single value for one of any kind.
pub(super) fn raw(table: &Table, wanted: &[Column]) -> Result<Table, Fault> {
    let columns = wanted.iter().map(|column| {
        let array = table.array(&column.name)?;
        let cells = table.column(&column.name)?;
        let array = match (cells, column.kind) {
            (cells, kind) if cells.kind() == kind => array.clone(),
            (Cells::Integer(cells), ColumnKind::Real) => Arc::new(reals_of(cells)),
            (Cells::Real(cells), ColumnKind::Integer) if cells.iter().flatten().all(is_whole) => {
                let cells = cells.iter().map(|cell| cell.and_then(whole_of));
                Arc::new(cells.collect::<Int64Array>())
            }
            (cells, kind) if cells.nulls() == table.rows() => {
                new_null_array(&data_type(kind), table.rows())
            }
            (cells, kind) => {
                let (name, is) = (quote(&column.name), cells.kind().word());
                let message = format!("column {name} is {is}, not {}", kind.word());
                return Err(Fault::new(message, "read it as it was read for the training"));
            }
        };
        Ok((column.name.clone(), array))
    });
    table_of(columns.collect::<Result<_, _>>()?)
}

fn is_whole(real: f64) -> bool {
    whole_of(real).is_some()
}

impl Applied {
    /// The table that the step makes. Its recipe is that of a raw table.
    pub(in crate::compute) fn apply(&self, table: &Table) -> Result<Table, Fault> {
        match self {
            Self::Select(names) => {
                let each = names.iter().map(|name| Ok((name.clone(), table.array(name)?.clone())));
                table_of(each.collect::<Result<_, Fault>>()?)
            }
            Self::Drop(names) => {
                names.iter().try_for_each(|name| table.array(name).map(drop))?;
                let dropped: BTreeSet<&String> = names.iter().collect();
                let mut columns = table.arrays();
                columns.retain(|(name, _)| !dropped.contains(name));
                table_of(columns)
            }
            Self::Rename(names) => rename(names, table),
            Self::Cast(cast) => {
                each(table, &cast.columns, |name, kind, array| self::cast(name, array, *kind, cast))
            }
            Self::Fill(values) => each(table, values, fill),
            Self::Derive(formulas) => derive(formulas, table),
            Self::OneHot(words) => {
                replace(table, &words.column, words.values.len(), |cells| one_hot(words, cells))
            }
            Self::Scale(columns) => {
                let columns: Vec<_> =
                    columns.iter().map(|each| (each.column.clone(), each.clone())).collect();
                each(table, &columns, scale)
            }
            Self::Hash(hash) => {
                replace(table, &hash.column, hash.buckets as usize, |cells| buckets(hash, cells))
            }
            Self::Embed(embedding) => Err(embedding.absent()),
            Self::Tokenize(tokenized) => match &tokenized.into {
                Layout::Stream { separator } => tokens::stream(tokenized, separator, table),
                Layout::Rows { length } => {
                    replace(table, &tokenized.column, *length as usize, |cells| {
                        tokens::rows(tokenized, *length, cells)
                    })
                }
            },
        }
    }
}

/// A table of these columns, or what is wrong with them.
pub(in crate::compute) fn table_of(columns: Columns) -> Result<Table, Fault> {
    if columns.is_empty() {
        return Err(Fault::new("no column is left", "keep at least one"));
    }
    if columns.len() > limits::COLUMNS_MAX {
        let message = format!("{} columns are more than a table may have", columns.len());
        return Err(Fault::new(message, format!("it has at most {}", limits::COLUMNS_MAX)));
    }
    let mut seen = BTreeSet::new();
    for (name, _) in &columns {
        if name.is_empty() || name.len() > limits::TEXT_BYTES_MAX {
            let message = format!("{} cannot name a column", quote(name));
            let hint = format!("a name has 1 to {} bytes", limits::TEXT_BYTES_MAX);
            return Err(Fault::new(message, hint));
        }
        if !seen.insert(name) {
            let message = format!("two columns are called {}", quote(name));
            return Err(Fault::new(message, "rename one of them, or drop it first"));
        }
    }
    drop(seen);
    let sizes =
        columns.iter().filter_map(|(_, array)| array.to_data().get_slice_memory_size().ok());
    fits(sizes.fold(0, usize::saturating_add), limits::ARTIFACT_BYTES_MAX)?;
    Table::new(columns.into_iter())
        .ok_or_else(|| Fault::new("no row is left", "a table has at least one row"))
}

/// Fails where a step gives more than one artifact may have.
fn fits(bytes: usize, most: usize) -> Result<(), Fault> {
    if bytes > most { Err(Fault::too_large("what the step gives", bytes, most)) } else { Ok(()) }
}

/// The table with some columns changed at their places.
fn each<T>(
    table: &Table,
    changes: &[(String, T)],
    change: impl Fn(&str, &T, &ArrayRef) -> Result<ArrayRef, Fault>,
) -> Result<Table, Fault> {
    let mut columns = table.arrays();
    for (name, what) in changes {
        table.array(name)?;
        if let Some((_, array)) = columns.iter_mut().find(|(each, _)| each == name) {
            *array = change(name, what, array)?;
        }
    }
    table_of(columns)
}

/// The table with one column replaced by `count` others at its place.
fn replace(
    table: &Table,
    column: &str,
    count: usize,
    by: impl Fn(Cells<'_>) -> Result<Columns, Fault>,
) -> Result<Table, Fault> {
    let cells = table.column(column)?;
    let most = limits::ARTIFACT_BYTES_MAX / size_of::<i64>();
    if count.saturating_mul(table.rows()) > most || count > limits::COLUMNS_MAX {
        let message = format!("{} becomes {count} columns of {}", quote(column), table.rows());
        return Err(Fault::new(message, "take fewer buckets, or a column of fewer values"));
    }
    let mut made = Some(by(cells)?);
    let columns = table.arrays().into_iter().flat_map(|(name, array)| {
        if name == column { made.take().unwrap_or_default() } else { vec![(name, array)] }
    });
    table_of(columns.collect())
}

fn rename(names: &[(String, String)], table: &Table) -> Result<Table, Fault> {
    for (old, _) in names {
        table.array(old)?;
    }
    let renamed = table.arrays().into_iter().map(|(name, array)| {
        let new = names.iter().find(|(old, _)| *old == name).map(|(_, new)| new.clone());
        (new.unwrap_or(name), array)
    });
    table_of(renamed.collect())
}

fn derive(formulas: &[(String, Formula)], table: &Table) -> Result<Table, Fault> {
    let mut table = table.clone();
    for (name, formula) in formulas {
        let made = formula::evaluate(formula, &table)?;
        let mut columns = table.arrays();
        match columns.iter_mut().find(|(each, _)| each == name) {
            Some((_, array)) => *array = made,
            None => columns.push((name.clone(), made)),
        }
        table = table_of(columns)?;
    }
    Ok(table)
}

fn scale(name: &str, by: &Scaled, array: &ArrayRef) -> Result<ArrayRef, Fault> {
    let cells = numbers(name, array)?;
    let scaled: Float64Array = unary(&cells, |x| (x - by.shift) / by.divisor);
    Ok(Arc::new(formula::finite(&scaled)))
}

/// The cells of a numeric column as reals.
pub(in crate::compute) fn numbers(name: &str, array: &ArrayRef) -> Result<Float64Array, Fault> {
    match Cells::of(array) {
        Some(Cells::Real(cells)) => Ok(cells.clone()),
        Some(Cells::Integer(cells)) => Ok(reals_of(cells)),
        other => {
            let is = other.map_or("", |cells| cells.kind().word());
            let message = format!("column {} is {is}, not number", quote(name));
            Err(Fault::new(message, "cast it to number first, or leave it out"))
        }
    }
}

fn fill(name: &str, value: &Cell, array: &ArrayRef) -> Result<ArrayRef, Fault> {
    Ok(match (Cells::of(array), value) {
        (Some(Cells::Real(cells)), Cell::Real(value)) => Arc::new(filled_real(cells, *value)),
        (Some(Cells::Real(cells)), Cell::Integer(value)) => {
            Arc::new(filled_real(cells, *value as f64))
        }
        // A real among integers makes all of them reals.
        (Some(Cells::Integer(cells)), Cell::Real(value)) => {
            Arc::new(filled_real(&reals_of(cells), *value))
        }
        (Some(Cells::Integer(cells)), Cell::Integer(value)) => {
            Arc::new(Int64Array::from_iter_values(cells.iter().map(|x| x.unwrap_or(*value))))
        }
        (Some(Cells::Text(cells)), Cell::Text(value)) => {
            let rows = cells.len().saturating_sub(cells.null_count());
            let bytes = cells.null_count().saturating_mul(value.len()).saturating_add(rows);
            if bytes > limits::ARTIFACT_BYTES_MAX {
                return Err(Fault::new("the filled column is too large", "take a shorter text"));
            }
            let filled = cells.iter().map(|x| x.unwrap_or(value));
            Arc::new(StringArray::from_iter_values(filled))
        }
        (Some(Cells::Truth(cells)), Cell::Truth(value)) => {
            Arc::new(BooleanArray::from_iter(cells.iter().map(|x| Some(x.unwrap_or(*value)))))
        }
        (cells, _) => {
            let is = cells.map_or("", |cells| cells.kind().word());
            let message = format!("column {} is {is}: the value does not fit it", quote(name));
            return Err(Fault::new(message, "fill it with a value of its kind, or cast it first"));
        }
    })
}

fn filled_real(cells: &Float64Array, value: f64) -> Float64Array {
    Float64Array::from_iter_values(cells.iter().map(|x| x.unwrap_or(value)))
}

fn one_hot(words: &Vocabulary, cells: Cells<'_>) -> Result<Columns, Fault> {
    let mut columns = vec![vec![0i64; cells.rows()]; words.values.len()];
    for (row, text) in cells.each_text().enumerate() {
        let Some(text) = text else { continue };
        match words.values.binary_search_by(|value| value.as_str().cmp(&text)) {
            Ok(place) => {
                let cell = columns.get_mut(place).and_then(|column| column.get_mut(row));
                cell.into_iter().for_each(|cell| *cell = 1);
            }
            Err(_) if words.unknown == Unknown::Zeros => {}
            Err(_) => {
                let (column, text) = (quote(&words.column), quote(&text));
                let message = format!("column {column} has {text} in row {}", row + 1);
                let hint = "the fit has not seen it: fit with it, or set `unknown: zeros`";
                return Err(Fault::new(message, hint));
            }
        }
    }
    let named = words.names().zip(columns);
    Ok(named.map(|(name, cells)| (name, Arc::new(Int64Array::from(cells)) as ArrayRef)).collect())
}

fn buckets(hash: &Hash, cells: Cells<'_>) -> Result<Columns, Fault> {
    let Cells::Text(texts) = cells else {
        let (name, is) = (quote(&hash.column), cells.kind().word());
        let message = format!("column {name} is {is}: only text is hashed");
        return Err(Fault::new(message, "cast it to string first"));
    };
    let mut columns = vec![vec![0i64; texts.len()]; hash.buckets as usize];
    for (row, text) in texts.iter().enumerate() {
        for word in text.unwrap_or_default().split_ascii_whitespace() {
            let column = columns.get_mut(bucket(word, hash.buckets));
            column.and_then(|column| column.get_mut(row)).into_iter().for_each(|cell| *cell += 1);
        }
    }
    let named = (0..hash.buckets).map(|bucket| bucket_name(hash, bucket)).zip(columns);
    Ok(named.map(|(name, cells)| (name, Arc::new(Int64Array::from(cells)) as ArrayRef)).collect())
}

/// The first eight bytes of the BLAKE3 digest of a word, little-endian, modulo the buckets.
fn bucket(word: &str, buckets: u32) -> usize {
    let digest = blake3::hash(word.as_bytes());
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    usize::try_from(u64::from_le_bytes(first) % u64::from(buckets.max(1))).unwrap_or_default()
}

fn cast(name: &str, array: &ArrayRef, to: ColumnKind, cast: &Cast) -> Result<ArrayRef, Fault> {
    let Some(cells) = Cells::of(array) else { return Ok(array.clone()) };
    if cells.kind() == to {
        return Ok(array.clone());
    }
    if let (Cells::Integer(cells), ColumnKind::Real) = (cells, to) {
        return Ok(Arc::new(reals_of(cells)));
    }
    let most = limits::ARTIFACT_BYTES_MAX;
    let is_text = cells.kind() == ColumnKind::Text;
    if matches!(to, ColumnKind::Real | ColumnKind::Integer) {
        fits(cells.rows().saturating_mul(size_of::<i64>()), most)?;
    }
    let cast: ArrayRef = match to {
        ColumnKind::Text => {
            return Ok(Arc::new(as_texts(cells, most)?));
        }
        ColumnKind::Real => Arc::new(Float64Array::from_iter(read(name, cells, cast, |text| {
            text.parse().ok().filter(|x: &f64| x.is_finite()).or_else(|| truth(text, is_text))
        })?)),
        ColumnKind::Integer => Arc::new(Int64Array::from_iter(read(name, cells, cast, |text| {
            text.parse().ok().or_else(|| whole(text)).or_else(|| truth(text, is_text))
        })?)),
        ColumnKind::Truth => {
            Arc::new(BooleanArray::from_iter(read(name, cells, cast, |text| match text {
                _ if text.eq_ignore_ascii_case("true") => Some(true),
                _ if text.eq_ignore_ascii_case("false") => Some(false),
                "1" if !is_text => Some(true),
                "0" | "-0" if !is_text => Some(false),
                _ => None,
            })?))
        }
    };
    Ok(cast)
}

/// Cells as text, which are counted while they are made.
fn as_texts(cells: Cells<'_>, most: usize) -> Result<StringArray, Fault> {
    let mut texts = StringBuilder::new();
    let mut bytes = 0usize;
    for text in cells.each_text() {
        bytes = bytes.saturating_add(text.as_ref().map_or(0, |text| text.len()));
        fits(bytes, most)?;
        texts.append_option(text);
    }
    Ok(texts.finish())
}

/// A real without a fraction that fits 64 bits: `2.0` and `1e3`.
fn whole(text: &str) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    let x: f64 = text.parse().ok()?;
    (x.fract() == 0.0 && (-END..END).contains(&x)).then_some(x as i64)
}

/// A truth value as a number: 1 or 0. The text `true` is none.
fn truth<T: From<u8>>(text: &str, is_text: bool) -> Option<T> {
    match text {
        "true" if !is_text => Some(T::from(1)),
        "false" if !is_text => Some(T::from(0)),
        _ => None,
    }
}

fn read<T>(
    name: &str,
    cells: Cells<'_>,
    cast: &Cast,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>, Fault> {
    let mut known = Vec::with_capacity(cells.rows());
    for (row, text) in cells.each_text().enumerate() {
        let cell = text.as_deref().and_then(&read);
        if let (Some(text), None, OnBadCell::Fail) = (&text, &cell, cast.on_bad_cell) {
            let kinds = cast.columns.iter().find(|(each, _)| each == name);
            let to = kinds.map_or("", |(_, kind)| kind.word());
            let (name, text) = (quote(name), quote(text));
            let message = format!("column {name} has {text} in row {}: no {to}", row + 1);
            let hint = "mend the source, or set `onBadCell: clear` to make such cells null";
            return Err(Fault::new(message, hint));
        }
        known.push(cell);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_gives_no_more_than_an_artifact() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(64 << 20)]));
        let columns = |count: usize| {
            table_of((0..count).map(|at| (format!("c{at}"), Arc::clone(&column))).collect())
        };
        assert!(columns(15).is_ok());
        let fault = columns(17).unwrap_err();
        assert!(fault.message.contains("more than one artifact may have"), "{fault:?}");
    }

    #[test]
    fn numbers_become_texts_as_far_as_these_fit() {
        let reals = Float64Array::from(vec![1e300; 10]);
        let cells = Cells::Real(&reals);
        assert_eq!(as_texts(cells, 3010).unwrap().value(9).len(), 301);
        let fault = as_texts(cells, 3009).unwrap_err();
        assert!(fault.message.contains("3010 bytes"), "{fault:?}");
        // Those behind are not made.
        let fault = as_texts(cells, 300).unwrap_err();
        assert!(fault.message.contains("301 bytes"), "{fault:?}");
    }
}
