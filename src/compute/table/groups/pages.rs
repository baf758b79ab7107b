//! The pages of a parquet file: what they take once they are decompressed, before any is.
//! Never believes what a page says of itself, where its crate would take memory for it.
//!
//! A page of a few hundred bytes can say that it has gigabytes, or have them without saying so.

use super::super::convert::{refused, unreadable};
use super::thrift::{Fields, Kind, Thrift, Value};
use super::{BATCH_ROWS, ProjectionMask};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::{Fault, memory};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageReader as _};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _};
use std::sync::Arc;

/// Bytes of the pages of which a batch is made, of all columns together.
const TOGETHER_MAX: usize = 2 * ARTIFACT_BYTES_MAX;
/// Bytes of all pages that are read of one group: no table holds as many.
const GROUP_MAX: usize = 4 * ARTIFACT_BYTES_MAX;
/// Compressed bytes of a page that become some MiB at the most: a byte of gzip is 1,032.
const HARMLESS: usize = 8 << 10;
/// Bytes of a number of a dictionary, or of the length of a text of it.
const ENTRY: usize = 4;
/// Bytes of what stands for a text in memory.
const VIEW: usize = 16;

const STATISTICS: Kind = Kind::Struct(&[
    (1, Kind::Text),
    (2, Kind::Text),
    (3, Kind::Int64),
    (4, Kind::Int64),
    (5, Kind::Text),
    (6, Kind::Text),
    (7, Kind::Truth),
    (8, Kind::Truth),
    (9, Kind::Int64),
]);
const DATA: Fields =
    &[(1, Kind::Int32), (2, Kind::Int32), (3, Kind::Int32), (4, Kind::Int32), (5, STATISTICS)];
const DATA_V2: Fields = &[
    (1, Kind::Int32),
    (2, Kind::Int32),
    (3, Kind::Int32),
    (4, Kind::Int32),
    (5, Kind::Int32),
    (6, Kind::Int32),
    (7, Kind::Truth),
    (8, STATISTICS),
];
/// `PageHeader` of the format.
const HEADER: Fields = &[
    (1, Kind::Int32),
    (2, Kind::Int32),
    (3, Kind::Int32),
    (4, Kind::Int32),
    (5, Kind::Struct(DATA)),
    (6, Kind::Struct(&[])),
    (7, Kind::Struct(&[(1, Kind::Int32), (2, Kind::Int32), (3, Kind::Truth)])),
    (8, Kind::Struct(DATA_V2)),
];
/// What the first field of a header says.
const DICTIONARY: usize = 2;
/// How the encodings of texts are called there whose lengths are differences.
const DELTA_LENGTH: usize = 6;
const DELTA_TEXT: usize = 7;

/// Refuses a group whose pages, as far as these columns are read, take more than there is room for.
/// Returns the bytes of all of them.
pub(super) fn check(
    bytes: &Bytes,
    group: &RowGroupMetaData,
    mask: &ProjectionMask,
) -> Result<usize, Fault> {
    let (mut together, mut all) = (0usize, 0usize);
    let columns = group.columns().iter().enumerate();
    for (_, column) in columns.filter(|(leaf, _)| mask.leaf_included(*leaf)) {
        let pages = Pages::of(bytes, column)?;
        together = together.saturating_add(pages.most);
        all = all.saturating_add(pages.all);
        if together > TOGETHER_MAX || all > GROUP_MAX {
            return Err(Fault::new(
                "the pages of a row group take more memory than any table has",
                "write the file again with smaller row groups",
            ));
        }
    }
    memory::room(together)?;
    Ok(all)
}

/// What the pages of a column take.
struct Pages {
    /// Of those that a batch can be made of: the most.
    most: usize,
    all: usize,
}

/// What a page says of itself.
#[derive(Default)]
struct Header {
    kind: usize,
    bytes: usize,
    compressed: usize,
    values: usize,
    encoding: usize,
    /// Bytes before what is compressed.
    levels: usize,
}

impl Header {
    /// A header of the format, of a page of one kind, that says nothing twice: of others the crate
    /// may take another word than this.
    fn read(from: &mut Thrift<'_>) -> Result<Self, Fault> {
        let mut said = BTreeMap::new();
        from.read(HEADER, &mut |path, value| {
            let Value::Number(number) = value else { return Ok(()) };
            let place = match path {
                [field] => (*field, 0),
                [part, field] => (*part, *field),
                _ => return Ok(()),
            };
            let number = usize::try_from(number).map_err(refused)?;
            match said.insert(place, number) {
                None => Ok(()),
                Some(_) => Err(unreadable("a page says something twice")),
            }
        })?;
        let number = |part, field| said.get(&(part, field)).copied().unwrap_or_default();
        let kind = number(1, 0);
        let (part, encoding) = match kind {
            0 => (5, 2),
            DICTIONARY => (7, 2),
            _ => (8, 4),
        };
        let of_others = |&&(of, field): &&(i16, i16)| field > 0 && of != part;
        if said.keys().find(of_others).is_some() {
            return Err(unreadable("a page is of two kinds"));
        }
        Ok(Self {
            kind,
            bytes: number(2, 0),
            compressed: number(3, 0),
            values: number(part, 1),
            encoding: number(part, encoding),
            levels: number(8, 5).saturating_add(number(8, 6)),
        })
    }
}

impl Pages {
    fn of(bytes: &Bytes, column: &ColumnChunkMetaData) -> Result<Self, Fault> {
        let (start, size) = column.byte_range();
        let [start, size] =
            [start, size].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let chunk = bytes.get(start..start.saturating_add(size));
        let mut left = Thrift::new(chunk.ok_or_else(|| unreadable("a column ends beyond it"))?);
        let (mut window, mut dictionary, mut all) = (Window::default(), 0usize, 0usize);
        let (mut largest, mut has_lengths) = (0, false);
        while left.left() > 0 {
            let header = Header::read(&mut left)?;
            let page = left.take(header.compressed)?;
            header.inflates(page, column)?;
            let mut taken = header.bytes.max(page.len());
            if header.kind == DICTIONARY {
                taken = taken.saturating_add(header.entries(column)?.saturating_mul(VIEW));
                dictionary = dictionary.saturating_add(taken);
            } else {
                if matches!(header.encoding, DELTA_LENGTH | DELTA_TEXT) {
                    has_lengths = true;
                    taken = taken.saturating_add(header.values.saturating_mul(size_of::<i32>()));
                }
                window.push(header.values, taken);
            }
            (largest, all) = (taken.max(largest), all.saturating_add(taken));
        }
        // Of numbers, a page is left as soon as the next one is begun.
        let is_text = column.column_type() == Type::BYTE_ARRAY;
        let most = if is_text { window.most } else { largest };
        let mut pages = Self { most: most.saturating_add(dictionary), all };
        if has_lengths && pages.all <= GROUP_MAX {
            memory::room(pages.most)?;
            let repeated = lengths(bytes, column)?;
            pages.most = pages.most.saturating_add(repeated);
            pages.all = pages.all.saturating_add(repeated);
        }
        Ok(pages)
    }
}

impl Header {
    /// Refuses a page that becomes more than it says: the crate has no bound for gzip.
    fn inflates(&self, page: &[u8], column: &ColumnChunkMetaData) -> Result<(), Fault> {
        if !matches!(column.compression(), Compression::GZIP(_)) || page.len() <= HARMLESS {
            return Ok(());
        }
        let page = page.get(self.levels..).unwrap_or_default();
        let said = self.bytes as u64;
        let mut becomes = MultiGzDecoder::new(page).take(said + 1);
        // What is no gzip is found by the crate, at the same place.
        match io::copy(&mut becomes, &mut io::sink()) {
            Ok(bytes) if bytes > said => Err(unreadable("a page has more bytes than it says")),
            _ => Ok(()),
        }
    }

    /// Values of a dictionary, which are no more than its bytes hold.
    fn entries(&self, column: &ColumnChunkMetaData) -> Result<usize, Fault> {
        let bytes = match column.column_type() {
            Type::FIXED_LEN_BYTE_ARRAY => 1,
            _ => ENTRY,
        };
        if self.values > self.bytes / bytes {
            return Err(unreadable("a dictionary has too many values"));
        }
        Ok(self.values)
    }
}

/// The pages of which a batch may have rows.
#[derive(Default)]
struct Window {
    /// Rows and bytes of each.
    pages: VecDeque<(usize, usize)>,
    rows: usize,
    bytes: usize,
    /// The most bytes so far.
    most: usize,
}

impl Window {
    fn push(&mut self, rows: usize, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.rows = self.rows.saturating_add(rows);
        // A page without rows is left at once.
        if rows > 0 {
            self.pages.push_back((rows, bytes));
        }
        // A batch has at least a row of the first and of the last, and all between them.
        while let Some(&(first, of_first)) = self.pages.front()
            && rows > 0
            && self.rows - first > BATCH_ROWS.saturating_add(rows) - 2
        {
            self.pages.pop_front();
            (self.rows, self.bytes) = (self.rows - first, self.bytes - of_first);
        }
        self.most = self.most.max(self.bytes);
        if rows == 0 {
            self.bytes -= bytes;
        }
    }
}

/// Refuses pages that list more lengths of texts than they have values. Returns the bytes that
/// texts repeat of those before them, which their pages do not have.
fn lengths(bytes: &Bytes, column: &ColumnChunkMetaData) -> Result<usize, Fault> {
    let rows = usize::try_from(column.num_values()).map_err(refused)?;
    let file = Arc::new(bytes.clone());
    let mut pages = SerializedPageReader::new(file, column, rows, None).map_err(refused)?;
    let has_nulls = column.column_descr().max_def_level() > 0;
    let mut repeated = 0usize;
    while let Some(page) = pages.get_next_page().map_err(refused)? {
        let encoding = page.encoding();
        if !matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) {
            continue;
        }
        let levels = match &page {
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                (*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize)
            }
            Page::DataPage { buf, def_level_encoding: Encoding::RLE, .. } if has_nulls => {
                let size = buf.first_chunk().map_or(u32::MAX, |size| u32::from_le_bytes(*size));
                (size as usize).saturating_add(size_of::<u32>())
            }
            // Bits, of which there is one for each value.
            _ if has_nulls => (page.num_values() as usize).div_ceil(8),
            _ => 0,
        };
        let mut values = Thrift::new(page.buffer().get(levels..).unwrap_or_default());
        if encoding == Encoding::DELTA_BYTE_ARRAY {
            repeated = repeated.saturating_add(differences(&mut values, page.num_values())?);
        }
        let (_block, _parts) = (values.unsigned()?, values.unsigned()?);
        if values.unsigned()? > u64::from(page.num_values()) {
            return Err(unreadable("a page has too many values"));
        }
    }
    Ok(repeated)
}

/// The sum of no more than so many lengths in DELTA_BINARY_PACKED (Parquet, "Encodings", 5), behind
/// which `from` stands then.
fn differences(from: &mut Thrift<'_>, most: u32) -> Result<usize, Fault> {
    let [block, parts, count] = [from.unsigned()?, from.unsigned()?, from.unsigned()?];
    if count > u64::from(most) {
        return Err(unreadable("a page has too many values"));
    }
    // The crate counts lengths in 32 bits, around their end if need be.
    let mut length = from.signed()? as i32;
    let [block, parts, mut left] =
        [block, parts, count.saturating_sub(1)].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let each = block.checked_div(parts).filter(|each| each % 8 == 0 && *each > 0);
    let each = each.ok_or_else(|| unreadable("a page has blocks of no size"))?;
    let negative = |_| unreadable("a text repeats less than nothing");
    let mut sum = if count > 0 { usize::try_from(length).map_err(negative)? } else { 0 };
    while left > 0 {
        let least = from.signed()? as i32;
        for width in from.take(parts)?.iter().map(|width| usize::from(*width)) {
            let packed = from.take(if left > 0 { (each / 8).saturating_mul(width) } else { 0 })?;
            for place in 0..each.min(left) {
                let difference = bits(packed, place * width, width) as i32;
                length = length.wrapping_add(least).wrapping_add(difference);
                sum = sum.saturating_add(usize::try_from(length).map_err(negative)?);
            }
            left -= each.min(left);
        }
    }
    Ok(sum)
}

/// So many bits from a place on, the lowest first; at most 32 of them count.
fn bits(bytes: &[u8], at: usize, width: usize) -> u64 {
    let some = bytes.get(at / 8..).unwrap_or_default().iter().take(8).rev();
    let word = some.fold(0, |word, byte| word << 8 | u64::from(*byte)) >> (at % 8);
    if width < 64 { word & ((1 << width) - 1) } else { word }
}

#[cfg(test)]
mod tests;
