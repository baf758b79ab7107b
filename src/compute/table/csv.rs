//! Comma-separated values (RFC 4180) to a table, or to what a pin says of it.
//! Never guesses: what is not a table is refused with the line where it stops being one.
//!
//! One scan checks everything that can be wrong (encoding, quotes, ragged lines, names), so that
//! the pin of a source and the job that reads it always agree; `arrow-csv` then reads the cells,
//! and types follow from all of them.

use super::{ColumnKind, Table, is_column_name, too_large};
use crate::base::limits;
use crate::compute::{Fault, quote};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow_csv::ReaderBuilder;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Cells that are decoded at a time: a bound on memory, not on tables.
const CELLS_PER_BATCH: usize = 1 << 18;

pub(super) fn read(bytes: &[u8]) -> Result<Table, Fault> {
    let extent = scan(bytes)?;
    let names = header(bytes, extent)?;
    let batches = batches(bytes, extent, true)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    let columns = names.into_iter().enumerate().map(|(i, name)| (name, column(&batches, i)));
    Table::new(columns).filter(|table| table.rows() == extent.rows).ok_or_else(disagreement)
}

/// How far a source reaches. Every record has `columns` cells; the first one is the header.
#[derive(Debug, Clone, Copy)]
struct Extent {
    columns: usize,
    rows: usize,
}

/// Where the scan stands in a record.
#[derive(Clone, Copy, PartialEq)]
enum At {
    RecordStart,
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first half of an escaped quote.
    Closed,
}

/// Walks the records once without keeping them. Lines are counted as an editor counts them.
fn scan(bytes: &[u8]) -> Result<Extent, Fault> {
    if bytes.len() > limits::ARTIFACT_BYTES_MAX {
        return Err(too_large(bytes.len()));
    }
    check_utf8(bytes)?;
    let mut extent = None;
    let mut at = At::RecordStart;
    let (mut line, mut record_line, mut quote_line, mut cells) = (1, 1, 1, 0);
    let mut previous = 0;
    for &byte in bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes) {
        let ends_line = matches!(byte, b'\r' | b'\n');
        if at == At::RecordStart && !ends_line {
            (at, record_line, cells) = (At::CellStart, line, 1);
        }
        at = match (at, byte) {
            (At::RecordStart, _) => At::RecordStart,
            (At::CellStart, b'"') => {
                quote_line = line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Closed,
            (At::Closed, b'"') | (At::Quoted, _) => At::Quoted,
            (_, b',') => {
                cells += 1;
                At::CellStart
            }
            (_, b'\r' | b'\n') => {
                extent = Some(extend(extent, cells, record_line)?);
                At::RecordStart
            }
            (At::Closed, _) => {
                return Err(Fault::new(
                    format!("line {line} goes on behind a closing quote"),
                    "write a quote inside a quoted cell twice: \"a \"\"quoted\"\" word\"",
                ));
            }
            (At::CellStart | At::Plain, _) => At::Plain,
        };
        // A line ends at LF, at CR, or at the two together.
        line += usize::from(ends_line && !(byte == b'\n' && previous == b'\r'));
        previous = byte;
    }
    match at {
        At::Quoted => {
            return Err(Fault::new(
                format!("the quote that opens on line {quote_line} is never closed"),
                "close it, or write a quote that is meant literally twice, in a quoted cell",
            ));
        }
        At::RecordStart => {}
        At::CellStart | At::Plain | At::Closed => {
            extent = Some(extend(extent, cells, record_line)?);
        }
    }
    let advice = "the first line names the columns, each line below it is a row";
    match extent {
        None => Err(Fault::new("the source is empty", advice)),
        Some(Extent { rows: 0, .. }) => Err(Fault::new("the source has no rows", advice)),
        Some(extent) => Ok(extent),
    }
}

/// One more record.
fn extend(extent: Option<Extent>, cells: usize, line: usize) -> Result<Extent, Fault> {
    match extent {
        None if cells > limits::COLUMNS_MAX => Err(Fault::new(
            format!("line {line} names {cells} columns"),
            format!("a table has at most {} columns: select some", limits::COLUMNS_MAX),
        )),
        None => Ok(Extent { columns: cells, rows: 0 }),
        Some(extent) if cells != extent.columns => Err(Fault::new(
            format!("line {line} has {cells} cells, the header has {}", extent.columns),
            "put cells that contain a comma or a line break in double quotes",
        )),
        Some(extent) => Ok(Extent { rows: extent.rows + 1, ..extent }),
    }
}

fn check_utf8(bytes: &[u8]) -> Result<(), Fault> {
    let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
    let (before, _) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    Err(Fault::new(
        format!("line {line} is not UTF-8"),
        "convert the source to UTF-8, for example: iconv -f latin1 -t utf8",
    ))
}

/// The names of the columns, each of them there and each of them once.
fn header(bytes: &[u8], extent: Extent) -> Result<Vec<String>, Fault> {
    let first = batches(bytes, Extent { rows: 1, ..extent }, false)
        .and_then(|mut batches| batches.next().transpose())
        .map_err(unreadable)?
        .ok_or_else(disagreement)?;
    let names: Vec<String> = (0..extent.columns)
        .map(|i| texts(&first, i).next().flatten().unwrap_or_default().to_owned())
        .collect();
    let mut places = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        let place = i + 1;
        if name.is_empty() {
            return Err(Fault::new(
                format!("column {place} has no name"),
                "the first line must name every column; a comma at its end starts one more",
            ));
        }
        if !is_column_name(name) {
            return Err(Fault::new(
                format!("the name of column {place} has {} bytes", name.len()),
                format!("use at most {}", limits::TEXT_BYTES_MAX),
            ));
        }
        if let Some(other) = places.insert(name, place) {
            return Err(Fault::new(
                format!("columns {other} and {place} are both called {}", quote(name)),
                "rename one of them: stages refer to columns by name",
            ));
        }
    }
    Ok(names)
}

/// The cells as text, some rows at a time.
fn batches(
    bytes: &[u8],
    extent: Extent,
    skip_header: bool,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>>, ArrowError> {
    let fields: Vec<_> =
        (0..extent.columns).map(|i| Field::new(i.to_string(), DataType::Utf8, true)).collect();
    let rows = (CELLS_PER_BATCH / extent.columns.max(1)).clamp(1, extent.rows.max(1));
    ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_header(skip_header)
        .with_batch_size(rows)
        .build_buffered(bytes)
}

/// The cells of column `i`, null where they are empty.
fn texts(batch: &RecordBatch, i: usize) -> impl Iterator<Item = Option<&str>> + Clone {
    let array = batch.columns().get(i).and_then(|array| array.as_any().downcast_ref());
    array.into_iter().flat_map(StringArray::iter)
}

fn column(batches: &[RecordBatch], i: usize) -> ArrayRef {
    let cells = batches.iter().flat_map(|batch| texts(batch, i));
    match infer(cells.clone().flatten()) {
        ColumnKind::Integer => Arc::new(Int64Array::from_iter(cells.map(|cell| integer(cell?)))),
        ColumnKind::Real => Arc::new(Float64Array::from_iter(cells.map(|cell| real(cell?)))),
        ColumnKind::Truth => Arc::new(BooleanArray::from_iter(cells.map(|cell| truth(cell?)))),
        ColumnKind::Text => Arc::new(StringArray::from_iter(cells)),
    }
}

/// The narrowest type that holds every value; Text if there is none.
fn infer<'a>(values: impl Iterator<Item = &'a str> + Clone) -> ColumnKind {
    let all = |fits: &dyn Fn(&str) -> bool| values.clone().all(fits);
    if values.clone().next().is_none() {
        ColumnKind::Text
    } else if all(&|text| integer(text).is_some()) {
        ColumnKind::Integer
    } else if all(&|text| real(text).is_some()) {
        ColumnKind::Real
    } else if all(&|text| truth(text).is_some()) {
        ColumnKind::Truth
    } else {
        ColumnKind::Text
    }
}

fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The nearest 64-bit real (round to even, on every machine). The words `inf` and `nan`, and
/// numbers beyond the range, are text: a table holds finite numbers only.
fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn truth(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn unreadable(error: ArrowError) -> Fault {
    Fault::new(
        format!("the source cannot be read: {}", quote(&error.to_string())),
        "write it as RFC 4180 says: commas, double quotes, one line per row",
    )
}

fn disagreement() -> Fault {
    unreadable(ArrowError::CsvError("its rows cannot be counted".into()))
}
