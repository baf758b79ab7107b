//! Ingests: how the bytes of a source become a table, and what the source was when it was pinned.
//! Never says how bytes are read (`compute` does) nor where they lie (`node` does).

use crate::base::canon::{Digest, canonical_enum, canonical_struct};

/// `uses: ingest`: input `rows` (bytes of a source), output `table`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ingest {
    /// How the bytes are to be read.
    pub format: Format,
    /// Rows that the pin promised: a source with another number of rows fails the job.
    pub rows: u64,
}
canonical_struct!(Ingest { format, rows });

/// The format of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a header line.
    Csv,
}
canonical_enum!(Format { 1 => Csv });

/// What a source was when the plan was made: all workers read the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The name under `sources:`.
    pub source: String,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Their number.
    pub bytes: u64,
    /// Rows, without the header.
    pub rows: u64,
    /// The names of the columns, in order.
    pub columns: Vec<String>,
}
canonical_struct!(Pin { source, digest, bytes, rows, columns } tag "ohc/pin/1");

impl Ingest {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![("format", self.format != other.format), ("rows", self.rows != other.rows)]
    }
}
