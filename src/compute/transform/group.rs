//! Keys: the cells of a row in some columns as bytes, and rows in groups of equal keys.
//! Never orders groups by their keys: they come in the order in which they are first seen.

use crate::compute::Fault;
use crate::compute::table::{Cells, Table};
use arrow_array::Array;
use std::collections::BTreeMap;

/// The columns that make the keys of a table.
pub(super) struct Keys<'a>(Vec<Cells<'a>>);

impl<'a> Keys<'a> {
    /// Keys of these columns.
    pub(super) fn of(table: &'a Table, columns: &[String]) -> Result<Self, Fault> {
        columns.iter().map(|name| table.column(name)).collect::<Result<_, _>>().map(Self)
    }

    /// Writes the key of a row; says whether a cell of it is null. Equal cells have equal bytes:
    /// -0 is 0, and a null is equal to another.
    pub(super) fn write(&self, row: usize, key: &mut Vec<u8>) -> bool {
        key.clear();
        let mut has_null = false;
        for cells in &self.0 {
            has_null |= write(*cells, row, key);
        }
        has_null
    }
}

fn write(cells: Cells<'_>, row: usize, key: &mut Vec<u8>) -> bool {
    let is_null = match cells {
        Cells::Real(cells) => cells.is_null(row),
        Cells::Integer(cells) => cells.is_null(row),
        Cells::Text(cells) => cells.is_null(row),
        Cells::Truth(cells) => cells.is_null(row),
    };
    key.push(u8::from(!is_null));
    if is_null {
        return true;
    }
    match cells {
        Cells::Real(cells) => {
            key.extend_from_slice(&(cells.value(row) + 0.0).to_bits().to_le_bytes());
        }
        Cells::Integer(cells) => key.extend_from_slice(&cells.value(row).to_le_bytes()),
        Cells::Text(cells) => {
            let text = cells.value(row);
            key.extend_from_slice(&(text.len() as u64).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        Cells::Truth(cells) => key.push(u8::from(cells.value(row))),
    }
    false
}

/// Rows in groups.
pub(super) struct Groups {
    /// The first row of each group, ascending.
    pub(super) first: Vec<usize>,
    /// The group of each row.
    pub(super) of: Vec<usize>,
}

impl Groups {
    /// The rows of a table with equal keys, together.
    pub(super) fn of(table: &Table, columns: &[String]) -> Result<Self, Fault> {
        let keys = Keys::of(table, columns)?;
        let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut groups = Self { first: Vec::new(), of: Vec::with_capacity(table.rows()) };
        let mut key = Vec::new();
        for row in 0..table.rows() {
            keys.write(row, &mut key);
            let group = match seen.get(&key) {
                Some(group) => *group,
                None => {
                    groups.first.push(row);
                    seen.insert(key.clone(), groups.first.len() - 1);
                    groups.first.len() - 1
                }
            };
            groups.of.push(group);
        }
        Ok(groups)
    }
}
