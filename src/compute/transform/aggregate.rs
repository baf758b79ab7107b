//! Aggregates: each group of rows becomes one row, in the order in which groups are first seen.
//! Never lets the order of a sum depend on anything but the order of the rows.

use super::group::{Groups, Keys};
use crate::compute::Fault;
use crate::compute::formula::finite;
use crate::compute::recipe::{numbers, table_of};
use crate::compute::table::{Cells, Table};
use crate::domain::job::{Aggregate, Measure, Summary};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, UInt32Array};
use arrow_select::take::take;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One row for each group: its keys, then its measures.
pub(super) fn run(spec: &Aggregate, table: &Table) -> Result<Table, Fault> {
    let groups = Groups::of(table, &spec.by)?;
    let firsts = groups.first.iter().map(|row| u32::try_from(*row).ok());
    let firsts: UInt32Array = firsts.collect();
    let mut columns = Vec::new();
    for name in &spec.by {
        columns.push((name.clone(), picked(table.array(name)?, &firsts)));
    }
    for (name, measure) in &spec.measures {
        columns.push((name.clone(), measured(measure, &groups, table)?));
    }
    table_of(columns)
}

fn picked(array: &ArrayRef, rows: &UInt32Array) -> ArrayRef {
    take(array, rows, None).expect("rows of a group are rows of its table")
}

fn measured(measure: &Measure, groups: &Groups, table: &Table) -> Result<ArrayRef, Fault> {
    let Some(name) = &measure.column else {
        let mut counts = vec![0i64; groups.first.len()];
        groups.of.iter().for_each(|group| bump(&mut counts, *group));
        return Ok(Arc::new(Int64Array::from(counts)));
    };
    let array = table.array(name)?;
    match measure.of {
        Summary::Count => {
            let mut counts = vec![0i64; groups.first.len()];
            for (row, group) in groups.of.iter().enumerate() {
                if array.is_valid(row) {
                    bump(&mut counts, *group);
                }
            }
            Ok(Arc::new(Int64Array::from(counts)))
        }
        Summary::Distinct => {
            let keys = Keys::of(table, std::slice::from_ref(name))?;
            let mut seen = BTreeSet::new();
            let mut counts = vec![0i64; groups.first.len()];
            let mut key = Vec::new();
            for (row, group) in groups.of.iter().enumerate() {
                if !keys.write(row, &mut key) && seen.insert((*group, key.clone())) {
                    bump(&mut counts, *group);
                }
            }
            Ok(Arc::new(Int64Array::from(counts)))
        }
        Summary::Sum | Summary::Mean => sum(measure.of, name, groups, table),
        Summary::Min | Summary::Max | Summary::First => {
            Ok(picked(array, &best(measure.of, groups, table.column(name)?)))
        }
    }
}

fn bump(counts: &mut [i64], group: usize) {
    if let Some(count) = counts.get_mut(group) {
        *count += 1;
    }
}

/// Sums and means; null for a group without a value, and where the result is beyond its kind.
fn sum(of: Summary, name: &str, groups: &Groups, table: &Table) -> Result<ArrayRef, Fault> {
    let count = groups.first.len();
    if let Cells::Integer(cells) = table.column(name)? {
        let mut sums = vec![(0i128, 0u32); count];
        for (x, group) in cells.iter().zip(&groups.of) {
            if let (Some(x), Some(sum)) = (x, sums.get_mut(*group)) {
                *sum = (sum.0 + i128::from(x), sum.1 + 1);
            }
        }
        let sums = sums.into_iter();
        return Ok(match of {
            Summary::Mean => Arc::new(Float64Array::from_iter(
                sums.map(|(sum, n)| (n > 0).then(|| sum as f64 / f64::from(n))),
            )),
            _ => Arc::new(Int64Array::from_iter(
                sums.map(|(sum, n)| (n > 0).then(|| i64::try_from(sum).ok()).flatten()),
            )),
        });
    }
    let cells = numbers(name, table.array(name)?)?;
    let mut sums = vec![(0.0f64, 0u32); count];
    for (x, group) in cells.iter().zip(&groups.of) {
        if let (Some(x), Some(sum)) = (x, sums.get_mut(*group)) {
            *sum = (sum.0 + x, sum.1 + 1);
        }
    }
    let result = sums.into_iter().map(|(sum, n)| {
        let value = if of == Summary::Mean { sum / f64::from(n) } else { sum };
        (n > 0).then_some(value)
    });
    Ok(Arc::new(finite(&Float64Array::from_iter(result))))
}

/// The row of each group that has the smallest, largest or first value; of equals, the first.
fn best(of: Summary, groups: &Groups, cells: Cells<'_>) -> UInt32Array {
    let compare = |a: usize, b: usize| match cells {
        Cells::Real(cells) => {
            cells.value(a).partial_cmp(&cells.value(b)).unwrap_or(Ordering::Equal)
        }
        Cells::Integer(cells) => cells.value(a).cmp(&cells.value(b)),
        Cells::Text(cells) => cells.value(a).cmp(cells.value(b)),
        Cells::Truth(cells) => cells.value(a).cmp(&cells.value(b)),
    };
    let is_null = |row: usize| match cells {
        Cells::Real(cells) => cells.is_null(row),
        Cells::Integer(cells) => cells.is_null(row),
        Cells::Text(cells) => cells.is_null(row),
        Cells::Truth(cells) => cells.is_null(row),
    };
    let mut best: Vec<Option<usize>> = vec![None; groups.first.len()];
    for (row, group) in groups.of.iter().enumerate().filter(|(row, _)| !is_null(*row)) {
        let Some(best) = best.get_mut(*group) else { continue };
        let is_better = match (*best, of) {
            (None, _) => true,
            (Some(_), Summary::First) => false,
            (Some(best), Summary::Max) => compare(row, best) == Ordering::Greater,
            (Some(best), _) => compare(row, best) == Ordering::Less,
        };
        if is_better {
            *best = Some(row);
        }
    }
    best.into_iter().map(|row| row.and_then(|row| u32::try_from(row).ok())).collect()
}
