//! Surveys: what a source is, learned while its bytes pass by, and the chunks it is cut into.
//! Never opens anything, and never holds more of a source than its chunks in hand.

use super::columnar::Columnar;
use super::images::Images;
use super::lines::Lines;
use super::{BadRows, Column};
use crate::base::limits::{CHUNK_BYTES_DEFAULT, CHUNKS_PER_SOURCE_MAX};
use crate::compute::Fault;
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
/// `end` for each of its files, in their order, then `last` and `finish`. How the bytes are divided
/// among the calls of `feed` decides nothing but when a cut is given. After a fault nothing more is
/// to be asked.
#[derive(Debug)]
pub struct Surveyor {
    file: String,
    chunks: usize,
    form: Form,
}

/// The most threads that look at a source.
const THREADS_MAX: usize = 16;

/// What a source is made of.
#[derive(Debug)]
enum Form {
    Lines(Box<Lines>),
    Columnar(Columnar),
    Images(Box<Images>),
}

impl Surveyor {
    /// A surveyor of one source. Without a target, chunks are of [`CHUNK_BYTES_DEFAULT`].
    #[must_use]
    pub fn new(reading: &Reading, target: Option<ChunkTarget>) -> Self {
        let target = target.unwrap_or(ChunkTarget::Bytes(CHUNK_BYTES_DEFAULT));
        let form = match Lines::new(reading, target) {
            Some(lines) => Form::Lines(Box::new(lines)),
            None => match Images::new(reading, target) {
                Some(images) => Form::Images(Box::new(images)),
                None => Form::Columnar(Columnar::new(reading, target)),
            },
        };
        Self { file: String::new(), chunks: 0, form }
    }

    /// Lets so many threads look at rows side by side. It decides nothing of what is found.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        if let Form::Lines(lines) = &mut self.form {
            lines.threads = threads.clamp(1, THREADS_MAX);
        }
        self
    }

    /// A file begins. The name is for messages; where it is empty they name none.
    pub fn begin(&mut self, file: &str) -> Result<(), Fault> {
        file.clone_into(&mut self.file);
        match &mut self.form {
            Form::Lines(lines) => lines.begin(),
            Form::Images(images) => images.begin(file),
            Form::Columnar(_) => {}
        }
        Ok(())
    }

    /// The next bytes of the file. Gives the artifacts that they completed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Cut>, Fault> {
        let cuts = match &mut self.form {
            Form::Lines(lines) => lines.feed(bytes),
            Form::Columnar(columnar) => columnar.feed(bytes),
            Form::Images(images) => images.feed(bytes).map(|()| Vec::new()),
        };
        self.counted(cuts)
    }

    /// The file has ended.
    pub fn end(&mut self) -> Result<Vec<Cut>, Fault> {
        let cuts = match &mut self.form {
            Form::Lines(lines) => lines.end(),
            Form::Columnar(columnar) => columnar.end(),
            Form::Images(images) => images.end(),
        };
        self.counted(cuts)
    }

    /// There is no other file. Gives the artifact of what is left where files are rows.
    pub fn last(&mut self) -> Result<Vec<Cut>, Fault> {
        let cut = match &mut self.form {
            Form::Images(images) => images.cut(),
            Form::Lines(_) | Form::Columnar(_) => None,
        };
        self.counted(Ok(cut.into_iter().collect()))
    }

    /// The source has ended.
    pub fn finish(self) -> Result<Survey, Fault> {
        match self.form {
            Form::Lines(lines) => lines.finish(),
            Form::Columnar(columnar) => columnar.finish(),
            Form::Images(images) => images.finish(),
        }
    }

    /// The columns that are known by now, as those of the rows that have passed by.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        match &self.form {
            Form::Lines(lines) => lines.columns(),
            Form::Columnar(columnar) => columnar.columns(),
            Form::Images(images) => images.columns(),
        }
    }

    /// Says which file a fault is in, and keeps the number of chunks in its bounds: they travel.
    fn counted(&mut self, cuts: Result<Vec<Cut>, Fault>) -> Result<Vec<Cut>, Fault> {
        let cuts = cuts.map_err(|fault| match self.file.as_str() {
            "" => fault,
            file => Fault::new(format!("{file}: {}", fault.message), fault.hint),
        })?;
        self.chunks += cuts.iter().map(|cut| cut.chunks.len()).sum::<usize>();
        if self.chunks > CHUNKS_PER_SOURCE_MAX {
            return Err(Fault::new(
                format!("the source makes more than {CHUNKS_PER_SOURCE_MAX} chunks"),
                "make them larger: `split: { by: bytes, target: 256MiB }` of its ingest stage",
            ));
        }
        Ok(cuts)
    }
}

/// Surveys a source of one file that is at hand, and gives all of it in its chunks.
pub fn survey(
    reading: &Reading,
    target: Option<ChunkTarget>,
    bytes: &[u8],
) -> Result<(Survey, Vec<Cut>), Fault> {
    survey_by(1, reading, target, bytes)
}

/// The same with so many threads.
pub fn survey_by(
    threads: usize,
    reading: &Reading,
    target: Option<ChunkTarget>,
    bytes: &[u8],
) -> Result<(Survey, Vec<Cut>), Fault> {
    let mut surveyor = Surveyor::new(reading, target).with_threads(threads);
    surveyor.begin("")?;
    let mut cuts = surveyor.feed(bytes)?;
    cuts.extend(surveyor.end()?);
    cuts.extend(surveyor.last()?);
    Ok((surveyor.finish()?, cuts))
}

#[cfg(test)]
mod tests;
