//! Ingests: how the bytes of a source become a table, and what the source was when it was pinned.
//! Never says how bytes are read (`compute` does) nor where they lie (`node` does).

use super::Images;
use crate::base::canon::{Digest, canonical_enum, canonical_struct};

/// `uses: ingest`: inputs `rows` (one for each run of chunks that lie in one artifact, in order),
/// outputs `table` and `report`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ingest {
    /// How the bytes are to be read.
    pub reading: Reading,
    /// The columns as they stand in the source, with their kinds; empty until a pin tells them.
    pub columns: Vec<Column>,
    /// The columns to keep, in this order; `None` keeps all.
    pub keep: Option<Vec<String>>,
    /// How many rows to look at, from the first on; `None` looks at all.
    pub limit: Option<u64>,
    /// What this job reads, one input for each; empty until a pin tells them.
    pub chunks: Vec<Chunk>,
}
canonical_struct!(Ingest { reading, columns, keep, limit, chunks });

/// How the bytes of a source are to be read: all that its author may say of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The format, and its dialect.
    pub format: Format,
    /// Cells that stand for null.
    pub nulls: Vec<String>,
    /// What is declared of columns. Where nothing is, kinds follow from all rows. If no kind is
    /// declared of any, these are the columns: their names, where the source has none, or those
    /// of them that are read.
    pub columns: Vec<Declared>,
    /// What becomes of a row that cannot be read.
    pub on_bad_row: OnBadRow,
}
canonical_struct!(Reading { format, nulls, columns, on_bad_row });

/// The format of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values and their kin.
    Csv(Dialect),
    /// An object for each line, whose keys are the columns.
    Json,
    /// A row for each line, with the one column `text`.
    Text,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC: a file or a stream of record batches.
    Arrow,
    /// The folder of an encoder or a language model, as Hugging Face keeps it: it has no rows.
    HuggingFace,
    /// The one file of a language model, as llama.cpp keeps it: it has no rows.
    Gguf,
    /// PNG files, each an image.
    Png(Images),
}
canonical_enum!(Format {
    1 => Csv(x),
    2 => Json,
    3 => Text,
    4 => Parquet,
    5 => Arrow,
    6 => HuggingFace,
    7 => Gguf,
    8 => Png(x),
});

/// How comma-separated values are written. All marks are single ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialect {
    /// What stands between two cells.
    pub delimiter: u8,
    /// What a cell may be wrapped in; `None` takes every character as it is.
    pub quote: Option<u8>,
    /// What stands before a quote that is meant literally, in a quoted cell; `None` is the quote
    /// itself, twice.
    pub escape: Option<u8>,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Lines that begin with this are no rows.
    pub comment: Option<u8>,
    /// Whether spaces and tabs around a cell, outside its quotes, are dropped.
    pub trim: bool,
    /// Lines before the header (or the first row) that are no part of the table.
    pub skip_lines: u32,
}
canonical_struct!(Dialect { delimiter, quote, escape, header, comment, trim, skip_lines });

impl Dialect {
    /// RFC 4180: commas, double quotes, a header.
    pub const RFC_4180: Self = Self {
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        header: true,
        comment: None,
        trim: false,
        skip_lines: 0,
    };
}

/// What becomes of a row that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnBadRow {
    /// The source is refused.
    Fail,
    /// The row is left out, and counted.
    Skip,
    /// What cannot be read of it becomes null, and the row is counted.
    Null,
}
canonical_enum!(OnBadRow { 1 => Fail, 2 => Skip, 3 => Null });

/// What the manifest says of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declared {
    /// The name.
    pub name: String,
    /// The kind; `None` lets it follow from the rows.
    pub kind: Option<ColumnKind>,
}
canonical_struct!(Declared { name, kind });

/// A column of a table: its name and what its cells are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// The name.
    pub name: String,
    /// What its cells are.
    pub kind: ColumnKind,
}
canonical_struct!(Column { name, kind });

/// What the cells of a column are. Any cell may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnKind {
    /// Finite 64-bit reals.
    Real,
    /// 64-bit signed integers.
    Integer,
    /// UTF-8 text.
    Text,
    /// True or false.
    Truth,
}
canonical_enum!(ColumnKind { 1 => Real, 2 => Integer, 3 => Text, 4 => Truth });

impl ColumnKind {
    /// The words of a manifest for the kinds: those that its parameters have too.
    pub const WORDS: &'static [&'static str] = &["number", "integer", "string", "boolean"];

    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Real => "number",
            Self::Integer => "integer",
            Self::Text => "string",
            Self::Truth => "boolean",
        }
    }

    /// What a person calls a value of that kind.
    #[must_use]
    pub const fn called(self) -> &'static str {
        match self {
            Self::Real => "a number",
            Self::Integer => "an integer",
            Self::Text => "text",
            Self::Truth => "a truth value",
        }
    }

    /// The kind that a word of a manifest means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let kinds = [Self::Real, Self::Integer, Self::Text, Self::Truth];
        kinds.into_iter().find(|kind| kind.word() == word)
    }
}

/// What a source was when the plan was made: all workers read the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The name under `sources:`.
    pub source: String,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Their number.
    pub bytes: u64,
    /// Rows, without a header; those that cannot be read are counted. A network has none.
    pub rows: u64,
    /// The columns, in order; those that an encoder gives to each text.
    pub columns: Vec<Column>,
    /// What the bytes were cut into, in order: all rows of the source, each of them once.
    pub chunks: Vec<Chunk>,
}
canonical_struct!(Pin { source, digest, bytes, rows, columns, chunks } tag "ohc/pin/1");

/// Consecutive rows of a source, to be read by themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// BLAKE3 of the artifact that holds the rows: whole records without a header, or a whole file
    /// of which `groups` are read.
    pub digest: Digest,
    /// The bytes of these rows.
    pub bytes: u64,
    /// How many rows they are; those that cannot be read are counted.
    pub rows: u64,
    /// The line of its file that the first byte is on (from 1), or the number of the first row
    /// where a format has no lines.
    pub first_line: u64,
    /// Which row groups of the file; `None` is all of the artifact.
    pub groups: Option<Groups>,
}
canonical_struct!(Chunk { digest, bytes, rows, first_line, groups });

/// Consecutive row groups (of parquet) or record batches (of arrow) of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Groups {
    /// The first, from 0.
    pub first: u32,
    /// How many, at least 1.
    pub count: u32,
}
canonical_struct!(Groups { first, count });

/// How large the chunks of a source are to be, before they are rounded to whole rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkTarget {
    /// So many bytes of the source.
    Bytes(u64),
    /// So many rows.
    Rows(u64),
}
canonical_enum!(ChunkTarget { 1 => Bytes(x), 2 => Rows(x) });

impl Ingest {
    /// A job that reads a source with this reading, and knows no pin yet.
    #[must_use]
    pub const fn unpinned(reading: Reading) -> Self {
        Self { reading, columns: Vec::new(), keep: None, limit: None, chunks: Vec::new() }
    }

    /// The job that reads `count` chunks of a pin, from `first` on: no more of them than its limit
    /// reaches. `None` if there are none, or if the limit is reached before them.
    #[must_use]
    pub fn pinned(&self, pin: &Pin, first: usize, count: usize) -> Option<Self> {
        let (before, rest) = pin.chunks.split_at_checked(first)?;
        let rest = rest.get(..count.min(rest.len()))?;
        let rows = |chunks: &[Chunk]| {
            chunks.iter().fold(0u64, |rows, chunk| rows.saturating_add(chunk.rows))
        };
        let left = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(rows(before)));
        let chunks = rest.get(..within(rest, left))?.to_vec();
        if chunks.is_empty() {
            return None;
        }
        let limit = (left < rows(&chunks)).then_some(left);
        Some(Self { columns: pin.columns.clone(), limit, chunks, ..self.clone() })
    }

    /// How many chunks of a pin its limit reaches.
    #[must_use]
    pub fn reached(&self, pin: &Pin) -> usize {
        within(&pin.chunks, self.limit.unwrap_or(u64::MAX))
    }

    /// The artifacts that its chunks lie in: one for each run of chunks in the same one.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Digest> {
        artifacts(&self.chunks)
    }

    /// The columns of the table that it gives, from those of its pin.
    #[must_use]
    pub fn table(&self, pinned: &[Column]) -> Vec<Column> {
        match &self.keep {
            None => pinned.to_vec(),
            Some(keep) => {
                let find =
                    |name: &String| pinned.iter().find(|column| column.name == *name).cloned();
                keep.iter().filter_map(find).collect()
            }
        }
    }

    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        let (a, b) = (&self.reading, &other.reading);
        vec![
            ("format", a.format != b.format),
            ("nulls", a.nulls != b.nulls),
            ("onBadRow", a.on_bad_row != b.on_bad_row),
            ("columns", (&a.columns, &self.keep) != (&b.columns, &other.keep)),
            ("limit", self.limit != other.limit),
            ("rows", (&self.columns, &self.chunks) != (&other.columns, &other.chunks)),
        ]
    }
}

/// How many chunks the first so many rows lie in.
fn within(chunks: &[Chunk], rows: u64) -> usize {
    let mut seen = 0u64;
    let is_reached = |chunk: &&Chunk| {
        let is_reached = seen < rows;
        seen = seen.saturating_add(chunk.rows);
        is_reached
    };
    chunks.iter().take_while(is_reached).count()
}

/// The artifacts of chunks: one for each run of chunks in the same one.
fn artifacts(chunks: &[Chunk]) -> Vec<Digest> {
    let runs = chunks.chunk_by(|a, b| a.digest == b.digest);
    runs.filter_map(|run| run.first()).map(|chunk| chunk.digest).collect()
}

impl Pin {
    /// The artifacts that its chunks lie in: one for each run of chunks in the same one.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Digest> {
        artifacts(&self.chunks)
    }
}

impl Reading {
    /// RFC 4180 with a header; empty cells are null, and a bad row fails.
    #[must_use]
    pub fn csv() -> Self {
        Self {
            format: Format::Csv(Dialect::RFC_4180),
            nulls: vec![String::new()],
            columns: Vec::new(),
            on_bad_row: OnBadRow::Fail,
        }
    }
}
