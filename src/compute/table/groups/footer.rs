//! The footer of a parquet file: its columns as a tree, which a crate follows without a bound.
//! Never reads what the footer says of its row groups.

use super::thrift::{Fields, Kind, Thrift, Value};
use crate::base::limits::COLUMNS_MAX;
use crate::compute::Fault;

/// What the end of a file takes beside its footer: the size of that, and the mark.
const TAIL: usize = 8;
/// Bytes of a footer: what it lists takes some times as much when it is read.
const FOOTER_BYTES_MAX: usize = 128 << 20;
/// Columns and groups of columns, of a file of which not all need to be read.
const NODES_MAX: usize = 4 * COLUMNS_MAX;
/// Row groups.
const GROUPS_MAX: usize = 1 << 18;
/// How deep columns may nest.
const DEPTH_MAX: usize = 64;
/// Bytes of the names that lead to each column, of all columns together.
const PATHS_BYTES_MAX: usize = 64 << 20;

const UNIT: Fields = &[(1, Kind::Struct(&[])), (2, Kind::Struct(&[])), (3, Kind::Struct(&[]))];
const TIME: Kind = Kind::Struct(&[(1, Kind::Truth), (2, Kind::Struct(UNIT))]);
const EMPTY: Kind = Kind::Struct(&[]);
/// `LogicalType` of the format.
const LOGICAL: Fields = &[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Kind::Struct(&[(1, Kind::Int32), (2, Kind::Int32)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Kind::Struct(&[(1, Kind::Byte), (2, Kind::Truth)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Kind::Struct(&[(1, Kind::Byte)])),
    (17, Kind::Struct(&[(1, Kind::Text)])),
    (18, Kind::Struct(&[(1, Kind::Text), (2, Kind::Int32)])),
    (19, EMPTY),
];
/// `SchemaElement` of the format.
const NODE: Fields = &[
    (1, Kind::Int32),
    (2, Kind::Int32),
    (3, Kind::Int32),
    (4, Kind::Text),
    (5, Kind::Int32),
    (6, Kind::Int32),
    (7, Kind::Int32),
    (8, Kind::Int32),
    (9, Kind::Int32),
    (10, Kind::Struct(LOGICAL)),
];

fn broken(what: &str) -> Fault {
    let message = format!("the file cannot be read: its footer {what}");
    Fault::new(message, "write it again with another program, or as another format")
}

/// Refuses a file whose columns nest deeper, or are more, than can be followed.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let end = bytes.len().checked_sub(TAIL).ok_or_else(|| broken("is not there"))?;
    let (body, tail) = bytes.split_at_checked(end).ok_or_else(|| broken("is not there"))?;
    let size = tail.first_chunk().map_or(0, |size| u32::from_le_bytes(*size)) as usize;
    if size > FOOTER_BYTES_MAX {
        return Err(broken("is too large"));
    }
    let start = end.checked_sub(size).ok_or_else(|| broken("is larger than the file"))?;
    let mut footer = Thrift::new(body.get(start..).unwrap_or_default());
    // Whoever writes such files writes the version and then the columns.
    let mut last = 0;
    footer.expect(&mut last, 1, Kind::Int32)?;
    footer.signed()?;
    footer.expect(&mut last, 2, Kind::Structs)?;
    let count = footer.structs()?;
    if count > NODES_MAX {
        return Err(broken("has too many columns"));
    }
    tree(&mut footer, count)?;
    footer.expect(&mut last, 3, Kind::Int64)?;
    footer.signed()?;
    footer.expect(&mut last, 4, Kind::Structs)?;
    match footer.structs()? {
        0..=GROUPS_MAX => Ok(()),
        _ => Err(broken("has too many row groups")),
    }
}

/// Follows the columns: a group is followed by what is in it.
fn tree(footer: &mut Thrift<'_>, count: usize) -> Result<(), Fault> {
    // Of each group that is open: how many are still to come, and the bytes of its name.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut paths = 0usize;
    for at in 0..count {
        let (mut children, mut name) = (0, 0);
        footer.read(NODE, &mut |path, value| {
            match (path, value) {
                ([4], Value::Text(text)) => name = text.len(),
                ([5], Value::Number(number)) => {
                    children = usize::try_from(number)
                        .map_err(|_| broken("has fewer than no columns in a group"))?;
                }
                _ => {}
            }
            Ok(())
        })?;
        if children > count - at - 1 {
            return Err(broken("lists fewer columns than it has"));
        }
        if let Some((left, _)) = open.last_mut() {
            *left = left.saturating_sub(1);
        }
        let path = open.iter().map(|(_, name)| name).sum::<usize>().saturating_add(name);
        paths = paths.saturating_add(path);
        if paths > PATHS_BYTES_MAX {
            return Err(broken("has too long names"));
        }
        if children > 0 {
            open.push((children, name));
            if open.len() > DEPTH_MAX {
                return Err(broken("nests too deep"));
            }
        }
        while open.last().is_some_and(|(left, _)| *left == 0) {
            open.pop();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
