//! Tables: typed, named columns of equal length, and their canonical bytes.
//! Never holds a NaN or an infinity, never hashes a file format: the bytes follow the content.
//!
//! Canonical bytes: the line `ohc/table/1`, the columns (name, type, whether it has nulls), the
//! number of rows, then column after column its cells in row order: an integer or a real as 8
//! bytes little-endian (-0.0 is kept), a truth value as one byte, a text with its length. Where a
//! column has nulls, each cell has a byte 0 (null, nothing follows) or 1 before it. There is one
//! form per table: a column that claims nulls has one, and bytes beyond the last cell are refused.

mod csv;
mod ingest;

pub use crate::domain::job::{Column, ColumnKind};
pub use ingest::{BadRows, Offender, Survey, read_chunk, survey};

use super::{Fault, quote};
use crate::base::canon::{Decode, DecodeError, Encode, Reader, Writer};
use crate::base::limits;
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{Field, Schema};
use std::collections::BTreeSet;
use std::sync::Arc;

const MAGIC: &[u8] = b"ohc/table/1\n";

/// A table: at least one column, at least one row, distinct column names.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    batch: RecordBatch,
}

/// The cells of one column.
#[derive(Debug, Clone, Copy)]
pub enum Cells<'a> {
    /// Finite 64-bit reals.
    Real(&'a Float64Array),
    /// 64-bit signed integers.
    Integer(&'a Int64Array),
    /// UTF-8 text.
    Text(&'a StringArray),
    /// True or false.
    Truth(&'a BooleanArray),
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let array = array.as_any();
        array
            .downcast_ref()
            .map(Cells::Real)
            .or_else(|| array.downcast_ref().map(Cells::Integer))
            .or_else(|| array.downcast_ref().map(Cells::Text))
            .or_else(|| array.downcast_ref().map(Cells::Truth))
    }

    /// The type of the cells.
    #[must_use]
    pub const fn kind(self) -> ColumnKind {
        match self {
            Self::Real(_) => ColumnKind::Real,
            Self::Integer(_) => ColumnKind::Integer,
            Self::Text(_) => ColumnKind::Text,
            Self::Truth(_) => ColumnKind::Truth,
        }
    }

    /// How many of the cells are null.
    #[must_use]
    pub fn nulls(self) -> usize {
        match self {
            Self::Real(array) => array.null_count(),
            Self::Integer(array) => array.null_count(),
            Self::Text(array) => array.null_count(),
            Self::Truth(array) => array.null_count(),
        }
    }

    /// The cells as text, null where there is none. Reals are written with the fewest digits that
    /// read back to the same bits.
    #[must_use]
    pub fn texts(self) -> Vec<Option<String>> {
        match self {
            Self::Real(array) => array.iter().map(|x| x.map(|x| x.to_string())).collect(),
            Self::Integer(array) => array.iter().map(|x| x.map(|x| x.to_string())).collect(),
            Self::Text(array) => array.iter().map(|x| x.map(str::to_owned)).collect(),
            Self::Truth(array) => array.iter().map(|x| x.map(|x| x.to_string())).collect(),
        }
    }

    /// The cells at `rows`, in that order.
    fn take(self, rows: &[usize]) -> ArrayRef {
        fn pick<'r, A: Array, T>(
            array: &'r A,
            rows: &'r [usize],
            value: impl Fn(&'r A, usize) -> T + 'r,
        ) -> impl Iterator<Item = Option<T>> + 'r {
            rows.iter().map(move |&row| array.is_valid(row).then(|| value(array, row)))
        }
        match self {
            Self::Real(a) => Arc::new(Float64Array::from_iter(pick(a, rows, |a, i| a.value(i)))),
            Self::Integer(a) => Arc::new(Int64Array::from_iter(pick(a, rows, |a, i| a.value(i)))),
            Self::Text(a) => Arc::new(StringArray::from_iter(pick(a, rows, |a, i| a.value(i)))),
            Self::Truth(a) => Arc::new(BooleanArray::from_iter(pick(a, rows, |a, i| a.value(i)))),
        }
    }

    fn encode(self, w: &mut Writer) {
        fn write<T>(
            w: &mut Writer,
            nulls: bool,
            cells: impl Iterator<Item = Option<T>>,
            value: impl Fn(T, &mut Writer),
        ) {
            for cell in cells {
                if nulls {
                    cell.is_some().encode(w);
                }
                if let Some(cell) = cell {
                    value(cell, w);
                }
            }
        }
        let nulls = self.nulls() > 0;
        match self {
            Self::Real(array) => write(w, nulls, array.iter(), |x, w| x.encode(w)),
            Self::Integer(array) => write(w, nulls, array.iter(), |x, w| x.encode(w)),
            Self::Text(array) => write(w, nulls, array.iter(), |x, w| x.encode(w)),
            Self::Truth(array) => write(w, nulls, array.iter(), |x, w| x.encode(w)),
        }
    }
}

impl Table {
    /// Reads comma-separated values (RFC 4180) with a header line.
    ///
    /// Types follow from all rows: a column of whole numbers that fit 64 bits is Integer, of finite
    /// decimal numbers Real, of `true` and `false` (in any case) Truth, anything else Text. An
    /// empty cell, quoted or not, is null. Spaces belong to their cell. A blank line is no row.
    pub fn from_csv(bytes: &[u8]) -> Result<Self, Fault> {
        csv::read(bytes)
    }

    /// Reads what [`Table::to_bytes`] wrote and refuses everything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(MAGIC) {
            return Err(Fault::new(
                "these bytes are not a table",
                "connect this input to an output that is a table: of an ingest or a split",
            ));
        }
        if bytes.len() > limits::ARTIFACT_BYTES_MAX {
            return Err(too_large(bytes.len()));
        }
        <Self as Decode>::from_bytes(bytes).map_err(|error| {
            Fault::new(
                format!("the bytes of a table are damaged: {error}"),
                "fetch the artifact again; if its digest holds, its maker wrote a wrong table",
            )
        })
    }

    /// The canonical bytes: equal tables have equal bytes, whoever made them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Encode::to_bytes(self)
    }

    /// Number of rows, at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The names of the columns, in order.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The columns with their kinds, in order.
    #[must_use]
    pub fn schema(&self) -> Vec<Column> {
        let kinds = self.cells().map(Cells::kind);
        self.columns().into_iter().zip(kinds).map(|(name, kind)| Column { name, kind }).collect()
    }

    /// The columns of these names, in this order; a fault names the nearest to one it lacks.
    pub fn select(&self, names: &[String]) -> Result<Self, Fault> {
        let arrays = names.iter().map(|name| {
            self.column(name)?;
            Ok((name.clone(), self.batch.column_by_name(name).cloned()))
        });
        let arrays = arrays.collect::<Result<Vec<_>, Fault>>()?;
        let columns = arrays.into_iter().filter_map(|(name, array)| Some((name, array?)));
        Self::new(columns).ok_or_else(|| {
            Fault::new("a column is selected twice, or none is", "name each column once")
        })
    }

    /// The first rows of the table: all of them if it has no more.
    #[must_use]
    pub fn head(&self, rows: usize) -> Self {
        Self { batch: self.batch.slice(0, rows.clamp(1, self.rows())) }
    }

    /// The cells of a column, or a fault that names the nearest column.
    pub fn column(&self, name: &str) -> Result<Cells<'_>, Fault> {
        self.batch.column_by_name(name).and_then(Cells::of).ok_or_else(|| {
            let columns = self.columns();
            let hint = match nearest(name, &columns) {
                Some(near) => format!("did you mean {}?", quote(near)),
                None => {
                    let first: Vec<_> = columns.iter().take(4).map(|name| quote(name)).collect();
                    let more = if columns.len() > first.len() { ", …" } else { "" };
                    format!("its columns are {}{more}", first.join(", "))
                }
            };
            Fault::new(format!("the table has no column {}", quote(name)), hint)
        })
    }

    /// The rows at these places, in this order; a place may occur more than once.
    ///
    /// # Panics
    /// If there is no such row, or no row at all: the places are ours, never a peer's.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        assert!(!rows.is_empty(), "a table has at least one row");
        assert!(rows.iter().all(|row| *row < self.rows()), "a row that is taken exists");
        let names = self.columns();
        let arrays = self.cells().map(|cells| cells.take(rows));
        Self::new(names.into_iter().zip(arrays)).expect("the columns keep names and equal lengths")
    }

    /// The only door: arrays of the four types, equally long, under distinct names.
    fn new(columns: impl Iterator<Item = (String, ArrayRef)>) -> Option<Self> {
        let (fields, arrays): (Vec<_>, Vec<_>) = columns
            .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
            .unzip();
        let distinct: BTreeSet<_> = fields.iter().map(Field::name).collect();
        let legal = distinct.len() == fields.len()
            && arrays.iter().all(|array| Cells::of(array).is_some() && !array.is_empty());
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).ok()?;
        legal.then_some(Self { batch })
    }

    fn cells(&self) -> impl Iterator<Item = Cells<'_>> {
        self.batch.columns().iter().filter_map(Cells::of)
    }
}

impl Encode for Table {
    fn encode(&self, w: &mut Writer) {
        w.raw(MAGIC);
        w.length(self.batch.num_columns());
        for (field, cells) in self.batch.schema_ref().fields().iter().zip(self.cells()) {
            field.name().encode(w);
            cells.kind().encode(w);
            (cells.nulls() > 0).encode(w);
        }
        w.length(self.rows());
        self.cells().for_each(|cells| cells.encode(w));
    }
}

impl Decode for Table {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.raw(MAGIC.len())? != MAGIC {
            return Err(DecodeError::OutOfRange);
        }
        let columns = r.length()?;
        if columns == 0 || columns > limits::COLUMNS_MAX {
            return Err(DecodeError::OutOfRange);
        }
        let fields = (0..columns)
            .map(|_| Ok((String::decode(r)?, ColumnKind::decode(r)?, bool::decode(r)?)))
            .collect::<Result<Vec<_>, _>>()?;
        if fields.iter().any(|(name, ..)| !is_column_name(name)) {
            return Err(DecodeError::OutOfRange);
        }
        // Every cell takes a byte or more, so the number of rows is bounded by the bytes that
        // are left, and memory by a small multiple of them.
        let rows = r.length()?;
        let columns = fields
            .into_iter()
            .map(|(name, kind, nulls)| Ok((name, decode_cells(r, kind, nulls, rows)?)))
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(columns.into_iter()).ok_or(DecodeError::OutOfRange)
    }
}

fn decode_cells(
    r: &mut Reader<'_>,
    kind: ColumnKind,
    nulls: bool,
    rows: usize,
) -> Result<ArrayRef, DecodeError> {
    /// Hands each cell to its builder as it is read: nothing is reserved on a peer's word.
    fn read<T: Decode>(
        r: &mut Reader<'_>,
        nulls: bool,
        rows: usize,
        mut push: impl FnMut(Option<T>),
    ) -> Result<(), DecodeError> {
        let mut null = false;
        for _ in 0..rows {
            let cell = if nulls { Option::decode(r)? } else { Some(T::decode(r)?) };
            null |= cell.is_none();
            push(cell);
        }
        // A column that claims nulls and has none would be a second form of the same table.
        if nulls == null { Ok(()) } else { Err(DecodeError::OutOfRange) }
    }
    Ok(match kind {
        ColumnKind::Real => {
            let mut builder = Float64Builder::new();
            read(r, nulls, rows, |cell| builder.append_option(cell))?;
            Arc::new(builder.finish())
        }
        ColumnKind::Integer => {
            let mut builder = Int64Builder::new();
            read(r, nulls, rows, |cell| builder.append_option(cell))?;
            Arc::new(builder.finish())
        }
        ColumnKind::Text => {
            let mut builder = StringBuilder::new();
            read::<String>(r, nulls, rows, |cell| builder.append_option(cell))?;
            Arc::new(builder.finish())
        }
        ColumnKind::Truth => {
            let mut builder = BooleanBuilder::new();
            read(r, nulls, rows, |cell| builder.append_option(cell))?;
            Arc::new(builder.finish())
        }
    })
}

/// Whether a column may be called that: names travel in pins and messages.
fn is_column_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= limits::TEXT_BYTES_MAX
}

fn too_large(bytes: usize) -> Fault {
    Fault::new(
        format!("{bytes} bytes are more than one artifact may have"),
        format!("divide the source: the bound is {} bytes", limits::ARTIFACT_BYTES_MAX),
    )
}

/// The name that takes the fewest edits, if it takes few. Long names get no advice, so that the
/// work is bounded whatever the table.
pub(crate) fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    const BYTES_MAX: usize = 64;
    let edits_max = (name.chars().count() / 3).max(1);
    names
        .iter()
        .filter(|other| name.len() <= BYTES_MAX && other.len() <= BYTES_MAX)
        .map(|other| (edits(&name.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, other)| other.as_str())
}

/// Insertions, deletions and substitutions between two texts (Levenshtein 1966), row by row.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let above = *cell;
            left = (diagonal + usize::from(from != to)).min(left + 1).min(above + 1);
            (*cell, diagonal) = (left, above);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
