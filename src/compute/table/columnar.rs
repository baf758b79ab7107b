//! Sources of row groups or record batches: what they are, for their pin, and the table of some.
//! Never judges a row by a column that is not read.
//!
//! A chunk is consecutive groups: it ends with the group with which it has its target. A group is
//! never divided, so that each is decoded once.

use super::column::{Nulls, Wrong};
use super::convert::{convert, kind_of, lost, shown};
use super::groups::{Batch, File};
use super::survey::{Cut, Survey};
use super::{BadRows, Column, ColumnKind, Table, no_column, too_large};
use crate::base::canon::Digest;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::{Fault, quote};
use crate::domain::job::{Chunk, ChunkTarget, Groups, Ingest, OnBadRow, Reading};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use arrow_select::filter::filter;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What has been learned of a source, and the file that is coming.
#[derive(Debug)]
pub(super) struct Columnar {
    reading: Reading,
    target: ChunkTarget,
    file: Vec<u8>,
    columns: Option<Vec<Column>>,
    rows: BadRows,
}

/// What is known of a group.
#[derive(Clone, Copy, Default)]
struct Tally {
    rows: u64,
    bytes: u64,
    bad: u64,
}

impl Columnar {
    pub(super) fn new(reading: &Reading, target: ChunkTarget) -> Self {
        let (file, rows) = (Vec::new(), BadRows::default());
        Self { reading: reading.clone(), target, file, columns: None, rows }
    }

    /// The next bytes of a file: what it is stands at its end.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Cut>, Fault> {
        if self.file.len() + bytes.len() > ARTIFACT_BYTES_MAX {
            return Err(Fault::new(
                format!("the file has more than {ARTIFACT_BYTES_MAX} bytes"),
                "write it as several smaller files: a source may be many",
            ));
        }
        self.file.extend_from_slice(bytes);
        Ok(Vec::new())
    }

    pub(super) fn end(&mut self) -> Result<Vec<Cut>, Fault> {
        let bytes = Bytes::from(std::mem::take(&mut self.file));
        let file = File::open(self.reading.format, bytes.clone())?;
        let columns = file.columns(&self.reading.columns)?;
        if let Some(known) = self.columns.as_ref().filter(|known| **known != columns) {
            let differing = known.iter().zip(&columns).find(|(known, column)| known != column);
            let what = match differing {
                Some((known, column)) => format!(
                    "{} ({}) stands where the first file has {} ({})",
                    quote(&column.name),
                    column.kind.word(),
                    quote(&known.name),
                    known.kind.word()
                ),
                None => format!("{}, the first file has {}", columns.len(), known.len()),
            };
            return Err(Fault::new(
                format!("the file has other columns: {what}"),
                "all files of a source have the same columns, in the same order",
            ));
        }
        let tallies = self.tallies(&file, &columns)?;
        self.columns = Some(columns);
        let chunks = self.chunks(Digest::of(&bytes), &tallies)?;
        // Not shared with anybody any more: no byte is copied.
        drop(file);
        Ok(if chunks.is_empty() { Vec::new() } else { vec![Cut { bytes: bytes.into(), chunks }] })
    }

    /// The columns that are known by now: none before a file has ended.
    pub(super) fn columns(&self) -> Vec<Column> {
        self.columns.clone().unwrap_or_default()
    }

    pub(super) fn finish(self) -> Result<Survey, Fault> {
        let advice = "look whether the file is the one that is meant";
        let columns = self.columns.ok_or_else(|| Fault::new("the source is empty", advice))?;
        if self.rows.rows == 0 {
            return Err(Fault::new("the source has no rows", advice));
        }
        Ok(Survey { columns, rows: self.rows })
    }

    /// Looks at every cell that may be one that no table holds.
    fn tallies(&mut self, file: &File, columns: &[Column]) -> Result<Vec<Tally>, Fault> {
        let known = file.groups().map(|groups| {
            let tally = |(rows, bytes): &(u64, u64)| Tally { rows: *rows, bytes: *bytes, bad: 0 };
            groups.iter().map(tally).collect::<Vec<_>>()
        });
        let doubtful: Vec<Column> =
            columns.iter().filter(|column| file.is_doubtful(column)).cloned().collect();
        let mut tallies = known.clone().unwrap_or_default();
        let mut first = 1u64;
        if known.is_none() || !doubtful.is_empty() {
            let names: Vec<&str> = doubtful.iter().map(|column| column.name.as_str()).collect();
            let nulls = Nulls::new(&self.reading.nulls);
            let (rows, on_bad_row) = (&mut self.rows, self.reading.on_bad_row);
            file.read((0, u32::MAX), &names, &mut |batch| {
                let count = batch.rows.num_rows() as u64;
                let group = batch.group as usize;
                if known.is_none() {
                    tallies.resize(tallies.len().max(group + 1), Tally::default());
                }
                let converted = Converted::new(&batch, &doubtful, &nulls)?;
                if let Some(tally) = tallies.get_mut(group) {
                    tally.bad += converted.flaws.len() as u64;
                    if known.is_none() {
                        tally.rows += count;
                    }
                }
                converted.report(rows, (first, usize::MAX), on_bad_row)?;
                first += count;
                Ok(true)
            })?;
        }
        let all = tallies.iter().map(|tally| tally.rows).fold(0, u64::saturating_add);
        if known.is_none() {
            for tally in &mut tallies {
                let share =
                    u128::from(file.size()) * u128::from(tally.rows) / u128::from(all.max(1));
                tally.bytes = u64::try_from(share).unwrap_or(u64::MAX);
            }
        }
        self.rows.rows = self.rows.rows.saturating_add(all);
        Ok(tallies)
    }

    /// Consecutive groups with a row that can be read.
    fn chunks(&self, digest: Digest, tallies: &[Tally]) -> Result<Vec<Chunk>, Fault> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let (mut open, mut first, mut row): (Tally, u32, u64) = (Tally::default(), 0, 1);
        let is_skipping = self.reading.on_bad_row == OnBadRow::Skip;
        let is_empty = |tally: &Tally| tally.rows == if is_skipping { tally.bad } else { 0 };
        for (next, tally) in (1u32..).zip(tallies) {
            open.rows = open.rows.saturating_add(tally.rows);
            open.bytes = open.bytes.saturating_add(tally.bytes);
            open.bad += tally.bad;
            let is_full = match self.target {
                ChunkTarget::Bytes(bytes) => open.bytes >= bytes,
                ChunkTarget::Rows(rows) => open.rows >= rows,
            };
            let is_last = next as usize == tallies.len();
            if is_empty(&open) || !(is_full || is_last) {
                continue;
            }
            let groups = Some(Groups { first, count: next - first });
            let Tally { rows, bytes, .. } = open;
            chunks.push(Chunk { digest, bytes, rows, first_line: row, groups });
            row = row.saturating_add(rows);
            (open, first) = (Tally::default(), next);
        }
        // What is left has no row that can be read: it joins the chunk before it.
        if open.rows > 0 {
            let Some(last) = chunks.last_mut() else {
                return Err(Fault::new(
                    "none of the rows can be read",
                    "look at the first of them: declare another kind, or drop a column",
                ));
            };
            last.rows += open.rows;
            last.bytes += open.bytes;
            if let Some(groups) = &mut last.groups {
                groups.count = u32::try_from(tallies.len()).unwrap_or(u32::MAX) - groups.first;
            }
        }
        Ok(chunks)
    }
}

impl File {
    /// Whether a cell of a column may be one that its kind does not hold.
    fn is_doubtful(&self, column: &Column) -> bool {
        let Some(ty) = self.type_of(&column.name) else { return true };
        let is_natural = kind_of(&column.name, ty).is_ok_and(|kind| kind == column.kind);
        let is_exact = match ty {
            DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
            ty => ty.is_integer() && *ty != DataType::UInt64,
        };
        !(is_natural && is_exact)
    }
}

/// Rows as a table has them.
struct Converted {
    columns: Vec<ArrayRef>,
    /// By row: what is wrong with it.
    flaws: BTreeMap<usize, Wrong>,
}

impl Converted {
    fn new(batch: &Batch, columns: &[Column], nulls: &Nulls) -> Result<Self, Fault> {
        let (mut arrays, mut flaws) = (Vec::new(), BTreeMap::new());
        for Column { name, kind } in columns {
            let before = batch.rows.column_by_name(name).ok_or_else(|| no_column(name, &[]))?;
            let after = convert(before, *kind, nulls)?;
            for row in lost(before, &after, nulls)? {
                flaws.entry(row).or_insert_with(|| wrong(before, row, name, *kind));
            }
            arrays.push(after);
        }
        Ok(Self { columns: arrays, flaws })
    }

    /// Counts the bad ones of its first rows, of which the first one has this number in its file.
    fn report(
        &self,
        rows: &mut BadRows,
        (first, count): (u64, usize),
        on_bad_row: OnBadRow,
    ) -> Result<(), Fault> {
        for (row, wrong) in self.flaws.range(..count) {
            rows.add(("row", first.saturating_add(*row as u64)), wrong, on_bad_row)?;
        }
        Ok(())
    }
}

fn wrong(array: &ArrayRef, row: usize, name: &str, kind: ColumnKind) -> Wrong {
    let what = match kind {
        ColumnKind::Real => "a finite number",
        ColumnKind::Integer => "an integer of 64 bits",
        ColumnKind::Text => "text",
        ColumnKind::Truth => "a boolean",
    };
    Wrong::cell(format!("has {} in column {}, not {what}", shown(array, row), quote(name)))
}

/// The table of chunks of a job, read group by group.
pub(super) struct ColumnarReader<'a> {
    spec: &'a Ingest,
    kept: Vec<Column>,
    nulls: Nulls,
    parts: Vec<Table>,
    size: usize,
    rows: BadRows,
    open: Option<(Digest, File)>,
}

impl<'a> ColumnarReader<'a> {
    pub(super) fn new(spec: &'a Ingest) -> Result<Self, Fault> {
        let names: Vec<String> = spec.columns.iter().map(|column| column.name.clone()).collect();
        let missing = spec.keep.iter().flatten().find(|name| !names.contains(name));
        if let Some(name) = missing {
            return Err(no_column(name, &names));
        }
        let (kept, nulls) = (spec.table(&spec.columns), Nulls::new(&spec.reading.nulls));
        let (parts, rows) = (Vec::new(), BadRows::default());
        Ok(Self { spec, kept, nulls, parts, size: 0, rows, open: None })
    }

    fn left(&self) -> u64 {
        self.spec.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.rows.rows))
    }

    /// Reads a chunk. False if no row is wanted any more.
    pub(super) fn chunk(&mut self, bytes: &[u8], chunk: &Chunk) -> Result<bool, Fault> {
        let file = match self.open.take() {
            Some((digest, file)) if digest == chunk.digest => file,
            _ => File::open(self.spec.reading.format, Bytes::copy_from_slice(bytes))?,
        };
        let groups = chunk.groups.unwrap_or(Groups { first: 0, count: u32::MAX });
        let kept = self.kept.clone();
        let names: Vec<&str> = kept.iter().map(|column| column.name.as_str()).collect();
        let before = self.rows.rows;
        let read = file.read((groups.first, groups.count), &names, &mut |batch| {
            let first = chunk.first_line.saturating_add(self.rows.rows - before);
            self.batch(&batch, first)?;
            Ok(self.left() > 0)
        });
        read?;
        self.open = Some((chunk.digest, file));
        let rows = self.rows.rows - before;
        if self.left() > 0 && rows != chunk.rows {
            let what = format!("{rows} rows, the pin says {}", chunk.rows);
            return Err(super::ingest::mismatch(&what));
        }
        Ok(self.left() > 0)
    }

    fn batch(&mut self, batch: &Batch, first: u64) -> Result<(), Fault> {
        let count = batch.rows.num_rows();
        let wanted = usize::try_from(self.left()).unwrap_or(usize::MAX).min(count);
        let converted = Converted::new(batch, &self.kept, &self.nulls)?;
        let on_bad_row = self.spec.reading.on_bad_row;
        converted.report(&mut self.rows, (first, wanted), on_bad_row)?;
        self.rows.rows = self.rows.rows.saturating_add(wanted as u64);
        let is_skipping = on_bad_row == OnBadRow::Skip && !converted.flaws.is_empty();
        let good: BooleanArray =
            (0..wanted).map(|row| Some(!converted.flaws.contains_key(&row))).collect();
        let column = |array: &ArrayRef| {
            let array = array.slice(0, wanted);
            if is_skipping { filter(&array, &good).unwrap_or(array) } else { array }
        };
        let columns: Vec<ArrayRef> = converted.columns.iter().map(column).collect();
        // Its own cells: the columns of an Arrow batch share one buffer.
        let own = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or(usize::MAX);
        self.size = columns.iter().map(own).fold(self.size, usize::saturating_add);
        if self.size > ARTIFACT_BYTES_MAX {
            return Err(too_large(self.size));
        }
        let names = self.kept.iter().map(|column| column.name.clone());
        // There is none where no row is left.
        self.parts.extend(Table::new(names.zip(columns)));
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Table, BadRows), Fault> {
        if self.parts.is_empty() {
            return Err(super::ingest::no_rows(&self.rows));
        }
        Ok((Table::concat(&self.parts)?, self.rows))
    }
}

#[cfg(test)]
mod tests;
