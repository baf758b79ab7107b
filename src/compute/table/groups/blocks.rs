//! The blocks of an Arrow file: where its batches of rows and its dictionaries lie.
//! Never lets the crate copy a block that is not in the file, or one byte for two of them.

use super::super::convert::{refused, unreadable};
use crate::compute::Fault;
use arrow_ipc::{Block, root_as_footer};

/// What stands behind the footer: its length and the name of the format.
const END: usize = 10;

/// Whether each block lies before the footer, and none on another.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let (rest, end) = bytes.split_last_chunk::<END>().ok_or_else(short)?;
    let [a, b, c, d, ..] = *end;
    let length = usize::try_from(i32::from_le_bytes([a, b, c, d])).map_err(|_| short())?;
    let (blocks, footer) = rest.split_at(rest.len().checked_sub(length).ok_or_else(short)?);
    let footer = root_as_footer(footer).map_err(refused)?;
    let (batches, dictionaries) = (footer.recordBatches(), footer.dictionaries());
    let each = batches.iter().flatten().chain(dictionaries.iter().flatten());
    let mut places = each.map(place).collect::<Option<Vec<_>>>().ok_or_else(beyond)?;
    places.sort_unstable();
    let mut free = 0;
    for (from, to) in places {
        if from < free {
            return Err(unreadable("its blocks lie on one another"));
        }
        free = to;
    }
    if free > blocks.len() as u64 { Err(beyond()) } else { Ok(()) }
}

/// Where a block begins and ends.
fn place(block: &Block) -> Option<(u64, u64)> {
    let from = u64::try_from(block.offset()).ok()?;
    let head = u64::try_from(block.metaDataLength()).ok()?;
    let body = u64::try_from(block.bodyLength()).ok()?;
    Some((from, from.checked_add(head)?.checked_add(body)?))
}

fn short() -> Fault {
    unreadable("it ends too early")
}

fn beyond() -> Fault {
    unreadable("a block ends beyond it")
}

#[cfg(test)]
mod tests;
