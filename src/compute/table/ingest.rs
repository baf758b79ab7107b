//! Ingests: what a source is, for its pin, and the table of one chunk of it.
//! Never decides what a source should be: columns and rows are those of the pin, or a fault.

use super::column::{Building, Judge, Wrong};
use super::columnar::ColumnarReader;
use super::images::ImageReader;
use super::index::Rows;
use super::lanes::Text;
use super::row::{Row, Step, mark};
use super::scan::Scanner;
use super::{ColumnKind, Table, no_column, too_large};
use crate::base::canon::Digest;
use crate::base::limits::{ARTIFACT_BYTES_MAX, OFFENDERS_MAX};
use crate::compute::{Fault, memory, quote};
use crate::domain::job::{Chunk, Format, Ingest, OnBadRow};
use std::fmt::Write as _;
use std::iter;

/// Cells after which it is seen what all of them take.
const CELLS_BETWEEN: u64 = 1 << 20;

/// How many rows were read, and which of them could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadRows {
    /// All rows, readable or not.
    pub rows: u64,
    /// Those that cannot be read.
    pub bad: u64,
    /// The first of them.
    pub offenders: Vec<Offender>,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// The line of its file, or the number of the row where a format has no lines; from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

impl BadRows {
    /// One more row that cannot be read, and what its place is called; a fault where the source is
    /// to be refused for it.
    pub(super) fn add(
        &mut self,
        (noun, place): (&str, u64),
        wrong: &Wrong,
        on_bad_row: OnBadRow,
    ) -> Result<(), Fault> {
        if on_bad_row == OnBadRow::Fail {
            let fault = Fault::new(format!("{noun} {place} {}", wrong.what), wrong.hint);
            return Err(Fault { cause: wrong.cause, ..fault });
        }
        self.bad += 1;
        if self.offenders.len() < OFFENDERS_MAX {
            self.offenders.push(Offender { line: place, what: wrong.what.clone() });
        }
        Ok(())
    }

    /// The report of an ingest: JSON in one fixed form.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = format!(r#"{{"rows":{},"bad":{},"offenders":["#, self.rows, self.bad);
        for (index, Offender { line, what }) in self.offenders.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let what = serde_json::Value::from(what.as_str());
            // Writing to a string does not fail.
            let _ = write!(text, r#"{comma}{{"line":{line},"what":{what}}}"#);
        }
        text.push_str("]}\n");
        text
    }
}

/// The table of all chunks of a job, with the columns that are kept. There is one artifact for each
/// run of chunks that lie in the same one.
pub fn read_chunks(spec: &Ingest, artifacts: &[&[u8]]) -> Result<(Table, BadRows), Fault> {
    match spec.reading.format {
        Format::Csv(_) | Format::Json | Format::Text => {
            let mut reader = LineReader::new(spec, artifacts)?;
            each_chunk(spec, artifacts, |bytes, chunk| reader.chunk(bytes, chunk))?;
            reader.finish()
        }
        Format::Parquet | Format::Arrow => {
            let mut reader = ColumnarReader::new(spec)?;
            each_chunk(spec, artifacts, |bytes, chunk| reader.chunk(bytes, chunk))?;
            reader.finish()
        }
        Format::Png(look) => {
            let mut reader = ImageReader::new(spec, look)?;
            each_chunk(spec, artifacts, |bytes, chunk| reader.chunk(bytes, chunk))?;
            reader.finish()
        }
        Format::HuggingFace | Format::Gguf => Err(Fault::new(
            "a network has no rows",
            "connect it to the input `encoder` of `uses: embed`, or `model` of `uses: perplexity`",
        )),
    }
}

/// Hands out each chunk with its artifact, until the reader wants no more.
fn each_chunk(
    spec: &Ingest,
    artifacts: &[&[u8]],
    mut read: impl FnMut(&[u8], &Chunk) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut artifacts = artifacts.iter();
    let mut current: Option<(Digest, &[u8])> = None;
    for chunk in &spec.chunks {
        let bytes = match current {
            Some((digest, bytes)) if digest == chunk.digest => bytes,
            _ => artifacts.next().copied().ok_or_else(nothing_to_read)?,
        };
        current = Some((chunk.digest, bytes));
        memory::check()?;
        if !read(bytes, chunk)? {
            break;
        }
    }
    Ok(())
}

fn nothing_to_read() -> Fault {
    Fault::new("the job has nothing to read", "pin its source, then plan again")
}

/// The bytes are not those that the plan was made for.
pub(super) fn mismatch(what: &str) -> Fault {
    Fault::new(
        format!("source does not match its pin: {what}"),
        "the source changed after the plan was made: plan again",
    )
}

/// Reads chunks of formats that are made of lines.
struct LineReader<'a> {
    spec: &'a Ingest,
    names: Vec<String>,
    judge: Judge,
    /// Columns of the source and what is made of them, in the order of the table.
    kept: Vec<(usize, Building)>,
    rows: BadRows,
    /// Bytes of all cells at the most.
    most: usize,
}

impl<'a> LineReader<'a> {
    fn new(spec: &'a Ingest, artifacts: &[&[u8]]) -> Result<Self, Fault> {
        let names: Vec<String> = spec.columns.iter().map(|column| column.name.clone()).collect();
        let mut judge = Judge::new(&spec.reading.nulls);
        judge.learn(&names, &spec.reading.columns);
        let kept = match &spec.keep {
            None => (0..names.len()).collect(),
            Some(keep) => places(keep, &names)?,
        };
        // A cell has a byte at least, whatever the spec says of rows.
        let bytes = artifacts.iter().fold(0usize, |sum, bytes| sum.saturating_add(bytes.len()));
        let told = spec.chunks.iter().fold(0u64, |sum, chunk| sum.saturating_add(chunk.rows));
        let rows = usize::try_from(told).unwrap_or(bytes).min(bytes / names.len().max(1) + 1);
        let building = |place: usize| {
            let kind = spec.columns.get(place).map_or(ColumnKind::Text, |column| column.kind);
            (place, Building::new(kind, rows))
        };
        let kept = kept.into_iter().map(building).collect();
        let (rows, most) = (BadRows::default(), ARTIFACT_BYTES_MAX);
        Ok(Self { spec, names, judge, kept, rows, most })
    }

    fn is_at_limit(&self) -> bool {
        self.room() == 0
    }

    /// How many rows are wanted still.
    fn room(&self) -> usize {
        let limit = self.spec.limit.unwrap_or(u64::MAX);
        usize::try_from(limit.saturating_sub(self.rows.rows)).unwrap_or(usize::MAX)
    }

    /// Takes rows that are good, the first of which is on this line.
    fn plain(&mut self, rows: Rows<'_>, line: u64) -> Result<(), Fault> {
        for (column, cells) in &mut self.kept {
            let unlike =
                cells.push(rows.column(*column).map(|text| self.judge.nulls.or_null(text)));
            if let Some((row, text)) = unlike.and_then(|row| Some((row, rows.at(row, *column)?))) {
                return Err(misfit(&self.names, *column, line + row as u64, text));
            }
        }
        self.rows.rows += rows.count as u64;
        Ok(())
    }

    /// Reads a chunk. False if no row is wanted any more.
    fn chunk(&mut self, bytes: &[u8], chunk: &Chunk) -> Result<bool, Fault> {
        let scanner = Scanner::new(&self.spec.reading, Some(&self.names), chunk.first_line);
        let mut scanner = scanner.ok_or_else(|| mismatch("it is not made of lines"))?;
        let (mut at, before, mut index) = (0, self.rows.rows, scanner.index());
        let mut weighed = before;
        while !self.is_at_limit() {
            let known = self.rows.rows - before;
            if known > chunk.rows {
                return Err(mismatch(&format!("more rows than the {} of the pin", chunk.rows)));
            }
            if self.rows.rows - weighed >= self.rows_between() {
                weighed = self.rows.rows;
                self.fits()?;
            }
            let most = (chunk.rows - known).saturating_add(1).min(self.rows_between());
            let most = self.room().min(usize::try_from(most).unwrap_or(usize::MAX));
            let line = scanner.line();
            let plain = index.as_mut().and_then(|index| {
                let rows = index.rows(bytes, (at, bytes.len()), most, self.names.len())?;
                self.judge.good(rows)
            });
            if let Some(rows) = plain {
                self.plain(rows, line)?;
                scanner.pass(rows.count as u64);
                at = rows.end;
                continue;
            }
            match scanner.next(bytes, at, true) {
                Step::More => break,
                Step::Pass(end) => at = end,
                Step::Unclosed(line) => {
                    return Err(mismatch(&format!("line {line} has an open quote")));
                }
                Step::Row(end) => {
                    at = end;
                    self.row(scanner.row(bytes), line)?;
                }
            }
        }
        let rows = self.rows.rows - before;
        if rows != chunk.rows && !self.is_at_limit() {
            return Err(mismatch(&format!("{rows} rows, the pin says {}", chunk.rows)));
        }
        self.fits()?;
        Ok(!self.is_at_limit())
    }

    /// Rows after which it is worth while to see what they take: a short one may have any number of
    /// cells.
    fn rows_between(&self) -> u64 {
        (CELLS_BETWEEN / self.kept.len().max(1) as u64).max(1)
    }

    /// Fails where the cells are more than a table may have.
    fn fits(&self) -> Result<(), Fault> {
        let sizes = self.kept.iter().map(|(_, cells)| cells.size());
        let size = sizes.fold(0, usize::saturating_add);
        if size > self.most { Err(too_large(size)) } else { Ok(()) }
    }

    fn row(&mut self, row: Row<'_>, line: u64) -> Result<(), Fault> {
        self.rows.rows += 1;
        let flaw = self.judge.flaw(row);
        if let Some(wrong) = &flaw {
            self.rows.add(("line", line), wrong, self.spec.reading.on_bad_row)?;
            if self.spec.reading.on_bad_row == OnBadRow::Skip {
                return Ok(());
            }
        }
        for (column, cells) in &mut self.kept {
            let (text, marks) = row.cell(*column);
            // A good row has been looked at.
            let may_be_damaged = flaw.is_some() && marks & mark::HIGH != 0;
            let is_none = self.judge.nulls.has(text, marks)
                || may_be_damaged && std::str::from_utf8(text.alone()).is_err();
            if cells.push(iter::once((!is_none).then_some(text))).is_some() {
                if flaw.is_none() {
                    return Err(misfit(&self.names, *column, line, text));
                }
                cells.push_null();
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Table, BadRows), Fault> {
        let names = &self.names;
        let columns = self
            .kept
            .iter_mut()
            .filter_map(|(place, cells)| Some((names.get(*place)?.clone(), cells.finish())));
        let table = Table::new(columns).ok_or_else(|| no_rows(&self.rows))?;
        Ok((table, self.rows))
    }
}

/// The fault of a good row with a cell that its column does not hold.
#[cold]
fn misfit(names: &[String], column: usize, line: u64, text: Text<'_>) -> Fault {
    let name = names.get(column).map(|name| quote(name)).unwrap_or_default();
    let text = quote(&String::from_utf8_lossy(text.alone()));
    mismatch(&format!("line {line} has {text} in column {name}"))
}

pub(super) fn no_rows(rows: &BadRows) -> Fault {
    match rows.rows {
        0 => nothing_to_read(),
        rows => Fault::new(
            format!("none of {rows} rows can be read"),
            "raise the `limit`, or look at the first of them",
        ),
    }
}

/// Where the columns that are kept stand among those of the source.
fn places(keep: &[String], names: &[String]) -> Result<Vec<usize>, Fault> {
    let place = |name: &String| {
        names.iter().position(|known| known == name).ok_or_else(|| no_column(name, names))
    };
    keep.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Column, Reading};

    /// What comes of so many lines, of which the pin says so many, as a table of so many columns.
    fn chunk(
        (format, line): (Format, &str),
        (lines, told): (usize, u64),
        columns: usize,
        most: usize,
    ) -> Result<u64, Fault> {
        let bytes = line.repeat(lines).into_bytes();
        let name = |at: usize| Column { name: format!("c{at}"), kind: ColumnKind::Integer };
        let digest = Digest::of(&bytes);
        let length = bytes.len() as u64;
        let chunk = Chunk { digest, bytes: length, rows: told, first_line: 2, groups: None };
        let spec = Ingest {
            columns: (0..columns).map(name).collect(),
            chunks: vec![chunk.clone()],
            ..Ingest::unpinned(Reading { format, on_bad_row: OnBadRow::Null, ..Reading::csv() })
        };
        let mut reader = LineReader::new(&spec, &[&bytes]).unwrap();
        reader.most = most;
        reader.chunk(&bytes, &chunk)?;
        Ok(reader.rows.rows)
    }

    fn formats() -> [(Format, &'static str); 3] {
        let Reading { format: csv, .. } = Reading::csv();
        [(Format::Json, "{}\n"), (csv, "1,2,3\n"), (csv, "x\n")]
    }

    #[test]
    fn no_row_beyond_those_of_the_pin_is_kept() {
        for format in formats() {
            assert_eq!(chunk(format, (40, 40), 3, 1 << 20).unwrap(), 40);
            let fault = chunk(format, (100_000, 40), 3, 1 << 20).unwrap_err();
            assert!(fault.message.contains("more rows than the 40 of the pin"), "{fault:?}");
        }
    }

    #[test]
    fn cells_are_weighed_while_they_are_read() {
        let [json, ..] = formats();
        // Each row has 3,000 cells of nothing: after 349 of them they are seen to be too many.
        let fault = chunk(json, (5_000, 5_000), 3_000, 1 << 20).unwrap_err();
        let first = (CELLS_BETWEEN / 3_000) * 3_000 * 9;
        assert!(fault.message.contains(&format!("{first} bytes")), "{fault:?}");
    }
}
