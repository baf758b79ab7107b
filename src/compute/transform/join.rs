//! The join of two tables: for each row of the left one, its partners in the right one.
//! Never builds more than an artifact may hold: the size is known before a cell is copied.

use super::group::Keys;
use crate::base::limits;
use crate::compute::recipe::table_of;
use crate::compute::table::{Cells, Table};
use crate::compute::{Fault, quote};
use crate::domain::job::{Join, JoinKind};
use arrow_array::{Array, UInt32Array};
use arrow_select::take::take;
use std::collections::BTreeMap;

/// The rows of the left table in their order, each as often as it has partners, those in the order
/// of the right table. Columns: those of the left one, then those of the right one but its keys.
/// A key with a null has no partner.
pub(super) fn run(spec: &Join, left: &Table, right: &Table) -> Result<Table, Fault> {
    same_kinds(&spec.on, left, right)?;
    let mut rows_of: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    let (left_keys, right_keys) = (Keys::of(left, &spec.on)?, Keys::of(right, &spec.on)?);
    let mut key = Vec::new();
    for (number, row) in (0u32..).zip(0..right.rows()) {
        if !right_keys.write(row, &mut key) {
            rows_of.entry(key.clone()).or_default().push(number);
        }
    }
    let mut partners: Vec<&[u32]> = Vec::with_capacity(left.rows());
    for row in 0..left.rows() {
        let found = if left_keys.write(row, &mut key) { None } else { rows_of.get(&key) };
        partners.push(found.map(Vec::as_slice).unwrap_or_default());
    }
    let added: Vec<String> =
        right.columns().into_iter().filter(|name| !spec.on.contains(name)).collect();
    fits(spec, left, right, &partners, &added)?;
    let (mut from_left, mut from_right) = (Vec::new(), Vec::new());
    for (number, partners) in (0u32..).zip(&partners) {
        if partners.is_empty() && spec.kind == JoinKind::Left {
            from_left.push(number);
            from_right.push(None);
        }
        from_left.extend(std::iter::repeat_n(number, partners.len()));
        from_right.extend(partners.iter().copied().map(Some));
    }
    if from_left.is_empty() {
        let message = "no row of the left table has a partner in the right one";
        return Err(Fault::new(message, "compare the keys, or join with `kind: left`"));
    }
    let (from_left, from_right) = (UInt32Array::from(from_left), UInt32Array::from(from_right));
    let mut columns = Vec::new();
    for (name, array) in left.arrays() {
        columns.push((name, taken(&array, &from_left)));
    }
    for name in added {
        let array = taken(right.array(&name)?, &from_right);
        columns.push((name, array));
    }
    table_of(columns)
}

fn taken(array: &dyn Array, rows: &UInt32Array) -> arrow_array::ArrayRef {
    take(array, rows, None).expect("rows of a join are rows of its tables")
}

fn same_kinds(on: &[String], left: &Table, right: &Table) -> Result<(), Fault> {
    for name in on {
        let kinds = (left.column(name)?.kind(), right.column(name)?.kind());
        if kinds.0 != kinds.1 {
            let (name, left, right) = (quote(name), kinds.0.word(), kinds.1.word());
            let message = format!("the key {name} is {left} on the left and {right} on the right");
            return Err(Fault::new(message, "cast one of them first"));
        }
    }
    Ok(())
}

/// Whether the result may be built: a key that is frequent in both tables makes very many rows.
fn fits(
    spec: &Join,
    left: &Table,
    right: &Table,
    partners: &[&[u32]],
    added: &[String],
) -> Result<(), Fault> {
    let left_bytes = bytes_of_rows(left, &left.columns())?;
    let right_bytes = bytes_of_rows(right, added)?;
    let alone = u64::from(spec.kind == JoinKind::Left);
    let (mut rows, mut bytes) = (0u64, 0u64);
    for (own, partners) in left_bytes.iter().zip(partners) {
        let count = (partners.len() as u64).max(alone);
        rows = rows.saturating_add(count);
        bytes = bytes.saturating_add(own.saturating_mul(count)).saturating_add(count);
        let others = partners.iter().filter_map(|row| right_bytes.get(*row as usize));
        bytes = others.fold(bytes, |bytes, other| bytes.saturating_add(*other));
        if bytes > limits::ARTIFACT_BYTES_MAX as u64 {
            let message = format!("the join makes more than {rows} rows: more than a table may be");
            let hint = "dedupe or aggregate one of the tables by the keys first";
            return Err(Fault::new(message, hint));
        }
    }
    Ok(())
}

/// About how many bytes each row takes.
fn bytes_of_rows(table: &Table, columns: &[String]) -> Result<Vec<u64>, Fault> {
    let mut bytes = vec![0u64; table.rows()];
    for name in columns {
        match table.column(name)? {
            Cells::Text(cells) => {
                for (bytes, text) in bytes.iter_mut().zip(cells) {
                    *bytes += text.map_or(1, |text| 5 + text.len() as u64);
                }
            }
            Cells::Real(_) | Cells::Integer(_) => bytes.iter_mut().for_each(|bytes| *bytes += 9),
            Cells::Truth(_) => bytes.iter_mut().for_each(|bytes| *bytes += 2),
        }
    }
    Ok(bytes)
}
