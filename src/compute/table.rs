//! Tables: typed, named columns of equal length, and their canonical bytes.
//! Never holds a NaN or an infinity, never hashes a file format: the bytes follow the content.
//!
//! Canonical bytes: the line `ohc/table/1`, the columns (name, type, whether it has nulls), the
//! number of rows, then column after column its cells in row order: an integer or a real as 8
//! bytes little-endian (-0.0 is kept), a truth value as one byte, a text with its length. Where a
//! column has nulls, each cell has a byte 0 (null, nothing follows) or 1 before it. There is one
//! form per table: a column that claims nulls has one, and bytes beyond the last cell are refused.
//! After the line stands a byte 0 where the table is raw, else 1 and the recipe: what was done to
//! the raw rows that it comes from.

mod ahead;
mod column;
mod columnar;
mod convert;
mod csv;
mod foreign;
mod groups;
mod images;
mod index;
mod ingest;
mod json;
mod lanes;
mod lines;
mod number;
mod png;
mod row;
mod scan;
mod survey;
mod write;

pub use crate::domain::job::{ChunkTarget, Column, ColumnKind};
pub use ingest::{BadRows, Offender, read_chunks};
pub(in crate::compute) use number::whole_of;
pub use survey::{Cut, Survey, Surveyor, survey, survey_by};

use super::recipe::{Applied, Recipe};
use super::{Fault, quote};
use crate::base::canon::{Decode, DecodeError, Encode, Reader, Writer};
use crate::base::limits;
use crate::domain::job::{Ingest, Reading};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow_schema::{Field, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

const MAGIC: &[u8] = b"ohc/table/1\n";

/// A table: at least one column, at least one row, distinct column names.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    batch: RecordBatch,
    recipe: Recipe,
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
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
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

    /// How many cells there are.
    #[must_use]
    pub fn rows(self) -> usize {
        match self {
            Self::Real(array) => array.len(),
            Self::Integer(array) => array.len(),
            Self::Text(array) => array.len(),
            Self::Truth(array) => array.len(),
        }
    }

    /// The cells as text, null where there is none. Reals are written with the fewest digits that
    /// read back to the same bits. All of them together may be forty times the table: whoever does
    /// not know that they are few takes [`Cells::each_text`].
    #[must_use]
    pub fn texts(self) -> Vec<Option<String>> {
        self.each_text().map(|text| text.map(Cow::into_owned)).collect()
    }

    /// The same one after the other.
    pub fn each_text(self) -> Box<dyn Iterator<Item = Option<Cow<'a, str>>> + 'a> {
        fn written<'t, T: ToString>(x: Option<T>) -> Option<Cow<'t, str>> {
            x.map(|x| x.to_string().into())
        }
        match self {
            Self::Real(array) => Box::new(array.iter().map(written)),
            Self::Integer(array) => Box::new(array.iter().map(written)),
            Self::Text(array) => Box::new(array.iter().map(|text| text.map(Cow::Borrowed))),
            Self::Truth(array) => Box::new(array.iter().map(written)),
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
        Self::of_source(Reading::csv(), bytes)
    }

    /// Reads all of a source that is at hand.
    pub fn of_source(reading: Reading, bytes: &[u8]) -> Result<Self, Fault> {
        let (survey, cuts) = survey(&reading, None, bytes)?;
        let chunks = cuts.iter().flat_map(|cut| cut.chunks.clone()).collect();
        let spec = Ingest { columns: survey.columns, chunks, ..Ingest::unpinned(reading) };
        let artifacts: Vec<&[u8]> = cuts.iter().map(|cut| cut.bytes.as_slice()).collect();
        Ok(read_chunks(&spec, &artifacts)?.0)
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

    /// The same with another name for a column, if it is there and nothing else has that name.
    #[must_use]
    pub fn renamed(&self, old: &str, new: &str) -> Self {
        let name = |each: String| if each == old { new.to_owned() } else { each };
        let columns = self.arrays().into_iter().map(|(each, array)| (name(each), array));
        let is_free = self.array(new).is_err();
        Self::new(columns).filter(|_| is_free).unwrap_or_else(|| self.clone())
    }

    /// The columns with their kinds, in order.
    #[must_use]
    pub fn schema(&self) -> Vec<Column> {
        let kinds = self.cells().map(Cells::kind);
        self.columns().into_iter().zip(kinds).map(|(name, kind)| Column { name, kind }).collect()
    }

    /// The columns of these names, in this order; a fault names the nearest to one it lacks.
    pub fn select(&self, names: &[String]) -> Result<Self, Fault> {
        let arrays = names.iter().map(|name| Ok((name.clone(), self.array(name)?.clone())));
        let arrays = arrays.collect::<Result<Vec<_>, Fault>>()?;
        let selected = Self::new(arrays.into_iter()).ok_or_else(|| {
            Fault::new("a column is selected twice, or none is", "name each column once")
        })?;
        if self.recipe.steps().is_empty() {
            return Ok(selected);
        }
        let mut recipe = self.recipe.clone();
        recipe.push(Applied::Select(names.to_vec()))?;
        Ok(selected.with_recipe(recipe))
    }

    /// Tables of the same columns and history, one below the other.
    pub fn concat(tables: &[Self]) -> Result<Self, Fault> {
        let first = tables
            .first()
            .ok_or_else(|| Fault::new("there is no table", "connect an output that is a table"))?;
        let schema = first.schema();
        if !tables.iter().all(|table| table.is_like(&schema, &first.recipe)) {
            return Err(Self::unlike());
        }
        let batches = tables.iter().map(|table| &table.batch);
        let batch = concat_batches(first.batch.schema_ref(), batches).map_err(|_| {
            Fault::new(
                "the chunks of a table are too large to be joined",
                "keep fewer columns or rows when they are ingested",
            )
        })?;
        Ok(Self { batch, recipe: first.recipe.clone() })
    }

    /// Whether it has these columns and this history.
    pub(super) fn is_like(&self, schema: &[Column], recipe: &Recipe) -> bool {
        self.schema() == schema && self.recipe == *recipe
    }

    /// Of tables that are not alike.
    pub(super) fn unlike() -> Fault {
        Fault::new(
            "the chunks of a table have different columns",
            "connect the output of one stage",
        )
    }

    /// The first rows of the table: all of them if it has no more.
    #[must_use]
    pub fn head(&self, rows: usize) -> Self {
        let batch = self.batch.slice(0, rows.clamp(1, self.rows()));
        Self { batch, recipe: self.recipe.clone() }
    }

    /// The cells of a column, or a fault that names the nearest column.
    pub fn column(&self, name: &str) -> Result<Cells<'_>, Fault> {
        let cells = self.batch.column_by_name(name).and_then(|array| Cells::of(array));
        cells.ok_or_else(|| no_column(name, &self.columns()))
    }

    /// The array behind a column, or a fault that names the nearest column.
    pub(super) fn array(&self, name: &str) -> Result<&ArrayRef, Fault> {
        self.batch.column_by_name(name).ok_or_else(|| no_column(name, &self.columns()))
    }

    /// All columns, in order.
    pub(super) fn arrays(&self) -> Vec<(String, ArrayRef)> {
        self.columns().into_iter().zip(self.batch.columns().iter().cloned()).collect()
    }

    /// What was done to the raw rows that this table comes from.
    #[must_use]
    pub const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The same cells, with another account of how they came to be.
    pub(super) fn with_recipe(self, recipe: Recipe) -> Self {
        Self { recipe, ..self }
    }

    /// The rows that are marked, in their order; none if no row is.
    pub(super) fn filter(&self, marked: &BooleanArray) -> Option<Self> {
        let batch = filter_record_batch(&self.batch, marked).expect("there is a mark for each row");
        (batch.num_rows() > 0).then(|| Self { batch, recipe: self.recipe.clone() })
    }

    /// The rows at these places, in this order; a place may occur more than once.
    ///
    /// # Panics
    /// If there is no such row, or no row at all: the places are ours, never a peer's.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        assert!(!rows.is_empty(), "a table has at least one row");
        assert!(rows.iter().all(|row| *row < self.rows()), "a row that is taken exists");
        let rows = rows.iter().map(|row| u32::try_from(*row).ok());
        let batch = take_record_batch(&self.batch, &rows.collect::<UInt32Array>());
        Self { batch: batch.expect("the rows exist"), recipe: self.recipe.clone() }
    }

    /// So many rows from one on.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        Self { batch: self.batch.slice(from, rows), recipe: self.recipe.clone() }
    }

    /// The only door: arrays of the four types, equally long, under distinct names.
    /// The result is a raw table.
    pub(super) fn new(columns: impl Iterator<Item = (String, ArrayRef)>) -> Option<Self> {
        let (fields, arrays): (Vec<_>, Vec<_>) = columns
            .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
            .unzip();
        let distinct: BTreeSet<_> = fields.iter().map(Field::name).collect();
        let legal = distinct.len() == fields.len()
            && arrays.iter().all(|array| Cells::of(array).is_some() && !array.is_empty());
        let kinds = arrays.iter().filter_map(|array| Cells::of(array).map(Cells::kind));
        let names = fields.iter().map(|field| field.name().clone());
        let raw = names.zip(kinds).map(|(name, kind)| Column { name, kind }).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).ok()?;
        legal.then(|| Self { batch, recipe: Recipe::raw(raw) })
    }

    fn cells(&self) -> impl Iterator<Item = Cells<'_>> {
        self.batch.columns().iter().filter_map(|array| Cells::of(array))
    }
}

impl Encode for Table {
    fn encode(&self, w: &mut Writer) {
        w.raw(MAGIC);
        let is_raw = self.recipe.steps().is_empty();
        (!is_raw).encode(w);
        if !is_raw {
            self.recipe.encode(w);
        }
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
        let recipe: Option<Recipe> = Option::decode(r)?;
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
        let table = Self::new(columns.into_iter()).ok_or(DecodeError::OutOfRange)?;
        match recipe {
            None => Ok(table),
            // A recipe without steps would be a second form of a raw table.
            Some(recipe) if recipe.steps().is_empty() => Err(DecodeError::OutOfRange),
            Some(recipe) => Ok(table.with_recipe(recipe)),
        }
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

/// What to say where a table has no such column.
pub(super) fn no_column(name: &str, columns: &[String]) -> Fault {
    let hint = match nearest(name, columns) {
        Some(near) => format!("did you mean {}?", quote(near)),
        None => {
            let first: Vec<_> = columns.iter().take(4).map(|name| quote(name)).collect();
            let more = if columns.len() > first.len() { ", …" } else { "" };
            format!("its columns are {}{more}", first.join(", "))
        }
    };
    Fault::new(format!("the table has no column {}", quote(name)), hint)
}

/// Bytes of texts of a column that are kept beside it.
const TEXTS_BYTES_MAX: usize = 4 << 30;

/// Texts of a column that are kept beside it, counted as they come: a number of eight bytes may
/// have three hundred letters.
#[derive(Default)]
pub(in crate::compute) struct TextsKept(usize);

impl TextsKept {
    pub(in crate::compute) fn add(&mut self, text: &str) -> Result<(), Fault> {
        self.0 = self.0.saturating_add(text.len());
        if self.0 <= TEXTS_BYTES_MAX {
            return Ok(());
        }
        let message = format!("the values of a column are texts of {} bytes", self.0);
        Err(Fault::new(
            message,
            format!("at most {TEXTS_BYTES_MAX}: take fewer rows, or round them"),
        ))
    }
}

fn too_large(bytes: usize) -> Fault {
    Fault::too_large("the table", bytes, limits::ARTIFACT_BYTES_MAX)
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
