//! Sources of images: a file is a row, of which the pixels are the columns, line by line, channels
//! beside each other; what its name says is the label. Never scales an image: all are of the extent
//! of the first, and those that are not cannot be read.
//!
//! An artifact holds the files of consecutive rows as they are, each with its label, behind the
//! extent that all of them have.

use super::column::Wrong;
use super::png::{self, Extent, Image};
use super::survey::{Cut, Survey};
use super::{BadRows, Column, ColumnKind, Table, no_column, too_large};
use crate::base::canon::Digest;
use crate::base::limits::{ARTIFACT_BYTES_MAX, CHUNK_BYTES_DEFAULT, COLUMNS_MAX};
use crate::compute::Fault;
use crate::domain::job::{
    Chunk, ChunkTarget, Format, Images as Look, Ingest, Label, OnBadRow, Reading,
};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use std::sync::Arc;

const MAGIC: &[u8] = b"ohc/images/1\n";
/// Bytes of one file.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Bytes of one label.
const LABEL_BYTES_MAX: usize = 1_024;
/// The column of what a name says.
const LABEL: &str = "label";

/// The columns of images of that extent.
fn columns(look: Look, extent: Extent) -> Vec<Column> {
    let Extent { height, width, channels } = extent;
    let lines = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let name = move |(y, x): (usize, usize), channel: usize| match channels {
        1 => format!("y{y}x{x}"),
        _ => format!("y{y}x{x}c{channel}"),
    };
    let names = lines.flat_map(|at| (0..channels).map(move |channel| name(at, channel)));
    let pixels = names.map(|name| Column { name, kind: ColumnKind::Integer });
    let label = Column { name: LABEL.to_owned(), kind: ColumnKind::Text };
    pixels.chain((look.label != Label::None).then_some(label)).collect()
}

/// What a file is called, and which label that is.
fn label(look: Look, file: &str) -> Result<String, Wrong> {
    let mut parts = file.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let part = |mark: u8, is_first: bool| {
        let mark = char::from(mark);
        let halves = if is_first { stem.split_once(mark) } else { stem.rsplit_once(mark) };
        halves.map(|(first, last)| if is_first { first } else { last })
    };
    let (found, hint) = match look.label {
        Label::None => (Some(""), ""),
        Label::Folder => (
            parts.next().filter(|folder| !folder.is_empty()),
            "put it into a folder that is called as what it shows, or say `png: { label: … }`",
        ),
        Label::First(mark) => (part(mark, true), "its name has no such mark: look at `png.mark`"),
        Label::Last(mark) => (part(mark, false), "its name has no such mark: look at `png.mark`"),
    };
    let is_fit = |label: &&str| label.len() <= LABEL_BYTES_MAX;
    let is_said = |label: &&str| look.label == Label::None || !label.is_empty();
    match found.filter(is_fit).filter(is_said) {
        Some(label) => Ok(label.to_owned()),
        None => Err(Wrong::new("has a name that says no label".to_owned(), hint)),
    }
}

/// The pixels of a file, if they are of that extent and it has a label.
fn examine(look: Look, label: &str, bytes: &[u8], extent: Option<Extent>) -> Result<Image, Wrong> {
    if label.is_empty() && look.label != Label::None {
        let hint = "put it into a folder that is called as what it shows";
        return Err(Wrong::new("has a name that says no label".to_owned(), hint));
    }
    let image = png::read(bytes, look.channels)?;
    match extent {
        Some(extent) if extent != image.extent => Err(Wrong::new(
            format!("is an image of {}, the first is of {extent}", image.extent),
            "scale them before, say `png: { pixels: … }`, or let `onBadRow` be `skip`",
        )),
        _ => Ok(image),
    }
}

/// What has been learned of a source, and the file that is coming.
#[derive(Debug)]
pub(super) struct Images {
    look: Look,
    on_bad_row: OnBadRow,
    target: ChunkTarget,
    label: Result<String, Wrong>,
    file: Vec<u8>,
    extent: Option<Extent>,
    open: Open,
    rows: BadRows,
}

/// The rows that will be an artifact.
#[derive(Debug, Default)]
struct Open {
    packed: Vec<u8>,
    /// The number of the first, from 1.
    first: u64,
    rows: u64,
    good: u64,
}

impl Images {
    /// None where a source is of another format.
    pub(super) fn new(reading: &Reading, target: ChunkTarget) -> Option<Self> {
        let Format::Png(look) = reading.format else { return None };
        Some(Self {
            look,
            on_bad_row: reading.on_bad_row,
            target,
            label: Ok(String::new()),
            file: Vec::new(),
            extent: None,
            open: Open::default(),
            rows: BadRows::default(),
        })
    }

    pub(super) fn begin(&mut self, file: &str) {
        self.label = label(self.look, file);
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.file.len() + bytes.len() > FILE_BYTES_MAX {
            return Err(Fault::new(
                format!("the file has more than {FILE_BYTES_MAX} bytes"),
                format!("an image has at most {COLUMNS_MAX} values: scale it before"),
            ));
        }
        self.file.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<Vec<Cut>, Fault> {
        let file = std::mem::take(&mut self.file);
        let known = std::mem::replace(&mut self.label, Ok(String::new()));
        let (label, image) = match known {
            Ok(label) => {
                let image = examine(self.look, &label, &file, self.extent);
                (label, image)
            }
            Err(wrong) => (String::new(), Err(wrong)),
        };
        self.rows.rows = self.rows.rows.saturating_add(1);
        let mut cuts = Vec::new();
        match image {
            Ok(image) => {
                self.extent = Some(image.extent);
                if self.is_full(image.extent) {
                    cuts.extend(self.cut());
                }
                self.open.good += 1;
            }
            Err(wrong) => {
                self.rows.add(("image", self.rows.rows), &wrong, self.on_bad_row)?;
            }
        }
        if self.open.rows == 0 {
            self.open.first = self.rows.rows;
        }
        let packed = &mut self.open.packed;
        packed.extend_from_slice(&(label.len() as u32).to_le_bytes());
        packed.extend_from_slice(label.as_bytes());
        packed.extend_from_slice(&(file.len() as u32).to_le_bytes());
        packed.extend_from_slice(&file);
        self.open.rows += 1;
        Ok(cuts)
    }

    /// Whether what waits is enough: as a table its cells are many times as large as its files.
    fn is_full(&self, extent: Extent) -> bool {
        let Open { packed, good, rows, .. } = &self.open;
        let cells = good.saturating_mul(extent.len() as u64).saturating_mul(8);
        let is_enough = match self.target {
            ChunkTarget::Bytes(bytes) => cells >= bytes,
            ChunkTarget::Rows(target) => *rows >= target,
        };
        *good > 0 && (is_enough || packed.len() as u64 >= CHUNK_BYTES_DEFAULT)
    }

    /// The rows that wait, as an artifact. Rows that cannot be read are with some that can.
    pub(super) fn cut(&mut self) -> Option<Cut> {
        let extent = self.extent.filter(|_| self.open.good > 0)?;
        let Open { packed, first, rows, .. } = std::mem::take(&mut self.open);
        let mut bytes = MAGIC.to_vec();
        for side in [extent.height, extent.width, extent.channels] {
            bytes.extend_from_slice(&(side as u32).to_le_bytes());
        }
        bytes.extend(packed);
        let chunk = Chunk {
            digest: Digest::of(&bytes),
            bytes: bytes.len() as u64,
            rows,
            first_line: first,
            groups: None,
        };
        Some(Cut { bytes, chunks: vec![chunk] })
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        self.extent.map(|extent| columns(self.look, extent)).unwrap_or_default()
    }

    pub(super) fn finish(self) -> Result<Survey, Fault> {
        match self.extent {
            Some(extent) => Ok(Survey { columns: columns(self.look, extent), rows: self.rows }),
            None => Err(Fault::new(
                "none of the images can be read",
                "look whether the files are those that are meant",
            )),
        }
    }
}

/// The table of chunks of a job.
pub(super) struct ImageReader<'a> {
    spec: &'a Ingest,
    look: Look,
    /// Rows of pixels that are kept, one below the other, and what each shows.
    pixels: Vec<u8>,
    labels: Vec<Option<String>>,
    /// Whether a row could be read.
    good: Vec<bool>,
    rows: BadRows,
}

impl<'a> ImageReader<'a> {
    pub(super) fn new(spec: &'a Ingest, look: Look) -> Result<Self, Fault> {
        let names: Vec<String> = spec.columns.iter().map(|column| column.name.clone()).collect();
        if let Some(name) = spec.keep.iter().flatten().find(|name| !names.contains(name)) {
            return Err(no_column(name, &names));
        }
        let (pixels, labels, good) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { spec, look, pixels, labels, good, rows: BadRows::default() })
    }

    fn left(&self) -> u64 {
        self.spec.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.rows.rows))
    }

    /// Reads a chunk. False if no row is wanted any more.
    pub(super) fn chunk(&mut self, bytes: &[u8], chunk: &Chunk) -> Result<bool, Fault> {
        let damaged = || super::ingest::mismatch("it is no artifact of images");
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let mut sides = [0usize; 3];
        for side in &mut sides {
            *side = number(&mut rest).ok_or_else(damaged)?;
        }
        let [height, width, channels] = sides;
        let extent = Extent { height, width, channels };
        if !extent.is_sound() || columns(self.look, extent) != self.spec.columns {
            return Err(super::ingest::mismatch("its columns are others"));
        }
        let before = self.rows.rows;
        while !rest.is_empty() && self.left() > 0 {
            let label = text(&mut rest).ok_or_else(damaged)?;
            let label = std::str::from_utf8(label).map_err(|_| damaged())?;
            let file = text(&mut rest).ok_or_else(damaged)?;
            let place = chunk.first_line.saturating_add(self.rows.rows - before);
            self.row(label, file, (place, extent))?;
        }
        let rows = self.rows.rows - before;
        if self.left() > 0 && rows != chunk.rows {
            let what = format!("{rows} rows, the pin says {}", chunk.rows);
            return Err(super::ingest::mismatch(&what));
        }
        Ok(self.left() > 0)
    }

    fn row(&mut self, label: &str, file: &[u8], at: (u64, Extent)) -> Result<(), Fault> {
        let (place, extent) = at;
        let on_bad_row = self.spec.reading.on_bad_row;
        self.rows.rows = self.rows.rows.saturating_add(1);
        let image = examine(self.look, label, file, Some(extent));
        if let Err(wrong) = &image {
            self.rows.add(("image", place), wrong, on_bad_row)?;
            if on_bad_row == OnBadRow::Skip {
                return Ok(());
            }
        }
        let cells = (self.good.len() + 1).saturating_mul(self.spec.columns.len());
        if cells.saturating_mul(size_of::<i64>()) > ARTIFACT_BYTES_MAX {
            return Err(too_large(cells.saturating_mul(size_of::<i64>())));
        }
        self.good.push(image.is_ok());
        let pixels = image.map_or_else(|_| vec![0; extent.len()], |image| image.values);
        self.pixels.extend(pixels);
        self.labels.push((!label.is_empty()).then(|| label.to_owned()));
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Table, BadRows), Fault> {
        let labelled = usize::from(self.look.label != Label::None);
        let width = self.spec.columns.len().saturating_sub(labelled);
        let column = |column: &Column| -> Option<(String, ArrayRef)> {
            let place = self.spec.columns.iter().position(|known| known == column)?;
            let array: ArrayRef = if place == width {
                Arc::new(StringArray::from_iter(self.labels.iter()))
            } else {
                let values = self.pixels.iter().skip(place).step_by(width.max(1));
                let cells = values.zip(&self.good);
                let cells = cells.map(|(value, good)| good.then_some(i64::from(*value)));
                Arc::new(Int64Array::from_iter(cells))
            };
            Some((column.name.clone(), array))
        };
        let kept = self.spec.table(&self.spec.columns);
        let table = Table::new(kept.iter().filter_map(column));
        let table = table.ok_or_else(|| super::ingest::no_rows(&self.rows))?;
        Ok((table, self.rows))
    }
}

/// A number of 32 bits at the beginning of what is left.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

/// So many bytes as the number before them says.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = number(rest)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(text)
}

#[cfg(test)]
mod tests;
