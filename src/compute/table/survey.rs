//! Surveys: what a source is, learned while its bytes pass by, and the chunks it is cut into.
//! Never opens anything, and never holds more of a source than its chunks in hand.

use super::{BadRows, Column, Table};
use crate::base::canon::Digest;
use crate::compute::{Fault, quote};
use crate::domain::job::{Chunk, ChunkTarget, Reading};

/// What is said of a source when it is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// Rows and those of them that cannot be read.
    pub rows: BadRows,
}

/// One artifact of a source, and the chunks that lie in it: several where a file has row groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The bytes of the artifact.
    pub bytes: Vec<u8>,
    /// What of it is read by itself, in order.
    pub chunks: Vec<Chunk>,
}

/// Learns what a source is while its bytes pass by, and cuts them into chunks: `begin`, `feed` and
/// `end` for each of its files, in their order, then `finish`. How the bytes are divided among the
/// calls of `feed` decides nothing but when a cut is given.
#[derive(Debug)]
pub struct Surveyor {
    file: String,
    bytes: Vec<u8>,
    columns: Option<Vec<Column>>,
    rows: BadRows,
}

impl Surveyor {
    /// A surveyor of one source. Without a target, chunks are as large as memory likes them.
    #[must_use]
    pub fn new(_: &Reading, _: Option<ChunkTarget>) -> Self {
        Self { file: String::new(), bytes: Vec::new(), columns: None, rows: BadRows::default() }
    }

    /// A file begins. The name is for messages.
    pub fn begin(&mut self, file: &str) -> Result<(), Fault> {
        file.clone_into(&mut self.file);
        Ok(())
    }

    /// The next bytes of the file. Gives the artifacts that they completed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Cut>, Fault> {
        self.bytes.extend_from_slice(bytes);
        Ok(Vec::new())
    }

    /// The file has ended.
    pub fn end(&mut self) -> Result<Vec<Cut>, Fault> {
        let bytes = std::mem::take(&mut self.bytes);
        let table = Table::from_csv(&bytes)?;
        let columns = table.schema();
        if self.columns.as_ref().is_some_and(|known| *known != columns) {
            return Err(Fault::new(
                format!("{} has other columns than the files before it", quote(&self.file)),
                "all files of a source have the same columns, in the same order",
            ));
        }
        self.columns = Some(columns);
        let rows = table.rows() as u64;
        self.rows.rows += rows;
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        let chunks = vec![Chunk { digest, bytes: size, rows, first_line: 1, groups: None }];
        Ok(vec![Cut { bytes, chunks }])
    }

    /// The source has ended.
    pub fn finish(self) -> Result<Survey, Fault> {
        let columns = self
            .columns
            .ok_or_else(|| Fault::new("the source has no files", "name a file that is there"))?;
        Ok(Survey { columns, rows: self.rows })
    }
}

/// Surveys a source of one file that is at hand.
pub fn survey(reading: &Reading, bytes: &[u8]) -> Result<Survey, Fault> {
    let mut surveyor = Surveyor::new(reading, None);
    surveyor.begin("")?;
    surveyor.feed(bytes)?;
    surveyor.end()?;
    surveyor.finish()
}
