//! Steps that choose or order rows, and the one that looks at the row above.
//! Never adds a row, and never leaves a table without one.

use super::group::Groups;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::recipe::table_of;
use crate::compute::table::Table;
use crate::compute::{Fault, formula, quote};
use crate::domain::job::{Direction, Formula, Sample, SampleSize};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_ord::sort::{SortColumn, SortOptions, lexsort_to_indices};
use arrow_select::filter::prep_null_mask_filter;
use arrow_select::take::take;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rows for which a formula holds: neither does not hold nor is null.
pub(super) fn filter(condition: &Formula, table: &Table) -> Result<Table, Fault> {
    let holds = formula::rows_that_hold(condition, table)?;
    let holds = if holds.null_count() > 0 { prep_null_mask_filter(&holds) } else { holds };
    table.filter(&holds).ok_or_else(|| {
        let message = format!("{} holds for no row", quote(&condition.to_string()));
        Fault::new(message, "a table has at least one row: loosen the filter")
    })
}

/// The first of all rows that are equal in these columns; in all, if there are none.
pub(super) fn dedupe(by: &[String], table: &Table) -> Result<Table, Fault> {
    let all = table.columns();
    let groups = Groups::of(table, if by.is_empty() { &all } else { by })?;
    Ok(table.take(&groups.first))
}

/// The rows in the order of some columns, the first above all; nulls come last, and rows that are
/// equal stay in their order. Text is ordered by its bytes, -0 before 0.
pub(super) fn sort(by: &[(String, Direction)], table: &Table) -> Result<Table, Fault> {
    let mut columns = Vec::with_capacity(by.len() + 1);
    for (name, direction) in by {
        let descending = *direction == Direction::Descending;
        let options = Some(SortOptions { descending, nulls_first: false });
        columns.push(SortColumn { values: table.array(name)?.clone(), options });
    }
    // The sort is not stable: the number of the row decides last.
    let rows = UInt32Array::from_iter_values(0..u32::try_from(table.rows()).unwrap_or(u32::MAX));
    columns.push(SortColumn { values: Arc::new(rows), options: None });
    let order = lexsort_to_indices(&columns, None).expect("all four kinds have an order");
    Ok(table.take(&order.values().iter().map(|row| *row as usize).collect::<Vec<_>>()))
}

/// The rows in an order by lot.
pub(super) fn shuffle(seed: u64, table: &Table) -> Table {
    table.take(&lot(seed, purpose::SHUFFLE, table.rows()))
}

/// Rows by lot, each at most once, in their order.
pub(super) fn sample(sample: &Sample, table: &Table) -> Table {
    let rows = table.rows() as u64;
    let size = match sample.size {
        SampleSize::Rows(count) => count.min(rows),
        SampleSize::PartsPerBillion(parts) => {
            let product = u128::from(rows) * u128::from(parts) / 1_000_000_000;
            u64::try_from(product).unwrap_or(rows).min(rows)
        }
    };
    let mut drawn = lot(sample.seed, purpose::SAMPLE, table.rows());
    drawn.truncate(usize::try_from(size.max(1)).unwrap_or(usize::MAX));
    drawn.sort_unstable();
    table.take(&drawn)
}

fn lot(seed: u64, purpose: u32, rows: usize) -> Vec<usize> {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    let order = Philox::new(seed, purpose, 0).permutation(rows);
    order.into_iter().map(|row| row as usize).collect()
}

/// Empty cells get the value of the nearest row above that has one; those above all values stay
/// empty. A new recipe begins: what a row becomes does not follow from the row alone.
pub(super) fn fill_from_above(columns: &[String], table: &Table) -> Result<Table, Fault> {
    for name in columns {
        table.array(name)?;
    }
    let filled: BTreeSet<&String> = columns.iter().collect();
    let arrays: Vec<(String, ArrayRef)> = table.arrays();
    let mut bytes = 0usize;
    for (_, array) in arrays.iter().filter(|(name, _)| filled.contains(name)) {
        bytes = bytes.saturating_add(bytes_from_above(array));
        if bytes > ARTIFACT_BYTES_MAX {
            return Err(Fault::too_large("what the step gives", bytes, ARTIFACT_BYTES_MAX));
        }
    }
    let arrays = arrays.into_iter().map(|(name, array)| {
        let array = if filled.contains(&name) { from_above(&array) } else { array };
        (name, array)
    });
    table_of(arrays.collect())
}

/// Bytes of a column's texts once it is filled: a long one counts for each row below it.
fn bytes_from_above(array: &ArrayRef) -> usize {
    let Some(texts) = array.as_string_opt::<i32>() else { return 0 };
    let mut last = 0;
    let lengths = texts.iter().map(|text| {
        last = text.map_or(last, str::len);
        last
    });
    lengths.fold(0, usize::saturating_add)
}

fn from_above(array: &ArrayRef) -> ArrayRef {
    let mut last = None;
    let rows = (0u32..).zip(0..array.len()).map(|(number, row)| {
        if array.is_valid(row) {
            last = Some(number);
        }
        last
    });
    let rows: UInt32Array = rows.collect();
    take(array, &rows, None).expect("a row above is a row of the table")
}
