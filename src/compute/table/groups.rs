//! Parquet and Arrow IPC: files of row groups or record batches, which are read by themselves.
//! Never decodes a column that is not asked for, and never more of a file than its groups.

mod blocks;
mod footer;
mod pages;
mod thrift;

use super::convert::{kind_of, refused, unreadable};
use super::is_column_name;
use crate::base::limits::{ARTIFACT_BYTES_MAX, COLUMNS_MAX, TEXT_BYTES_MAX};
use crate::compute::{Fault, memory, quote};
use crate::domain::job::{Column, Declared, Format};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::ConvertedType;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Rows that are decoded together, at most.
const BATCH_ROWS: usize = 1 << 13;
/// Bytes of all pages that are read at a time of a parquet file: a minute of work.
const PAGES_MAX: usize = 64 << 30;
/// What an Arrow file begins with; a stream does not.
const ARROW_FILE: &[u8] = b"ARROW1";

/// A file whose groups can be read.
#[derive(Debug)]
pub(super) struct File {
    bytes: Bytes,
    form: Form,
    schema: SchemaRef,
    /// How a parquet file is read: texts share what they have in common.
    shared: Option<ArrowReaderMetadata>,
    /// Of each group, where the format tells: rows and bytes.
    groups: Option<Vec<(u64, u64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Parquet,
    ArrowFile,
    ArrowStream,
}

/// A batch of rows, of one group.
pub(super) struct Batch {
    /// The group.
    pub(super) group: u32,
    /// Some of its rows.
    pub(super) rows: RecordBatch,
}

/// Runs the crate of a format on bytes from outside: whatever it does with them is no more than a
/// fault.
fn guarded<T>(read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(unreadable("its parts contradict each other")))
}

impl File {
    /// Reads what a file says of itself.
    pub(super) fn open(format: Format, bytes: Bytes) -> Result<Self, Fault> {
        guarded(|| {
            let form = match format {
                Format::Parquet => Form::Parquet,
                _ if bytes.starts_with(ARROW_FILE) => Form::ArrowFile,
                _ => Form::ArrowStream,
            };
            let mut shared = None;
            let (schema, groups) = match form {
                Form::Parquet => {
                    footer::check(&bytes)?;
                    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone());
                    let builder = builder.map_err(refused)?;
                    shared = Some(sharing(&builder)?);
                    let size = |number: i64| u64::try_from(number).map_err(refused);
                    let groups = builder.metadata().row_groups().iter();
                    let groups = groups
                        .map(|group| Ok((size(group.num_rows())?, size(group.compressed_size())?)));
                    let groups = groups.collect::<Result<Vec<_>, Fault>>()?;
                    (builder.schema().clone(), Some(groups))
                }
                Form::ArrowFile => {
                    blocks::check(&bytes)?;
                    (arrow_file(&bytes, None)?.schema(), None)
                }
                Form::ArrowStream => (arrow_stream(&bytes, None)?.schema(), None),
            };
            Ok(Self { bytes, form, schema, shared, groups })
        })
    }

    /// The columns that are to be read: all of them, or those that are listed.
    pub(super) fn columns(&self, declared: &[Declared]) -> Result<Vec<Column>, Fault> {
        let fields = self.schema.fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let mut seen = BTreeSet::new();
        let listed = super::scan::listed(declared);
        for name in listed.iter().flatten().chain(declared.iter().map(|column| &column.name)) {
            if !names.contains(name) {
                return Err(super::no_column(name, &names));
            }
        }
        let wanted = listed.unwrap_or(names);
        if wanted.len() > COLUMNS_MAX {
            return Err(Fault::new(
                format!("the file has {} columns", wanted.len()),
                format!("a table has at most {COLUMNS_MAX} columns: name some in `columns`"),
            ));
        }
        let column = |name: String| {
            let field = self.schema.field_with_name(&name).map_err(refused)?;
            if !is_column_name(&name) {
                let message = format!("the name of a column has {} bytes", name.len());
                return Err(Fault::new(message, format!("use 1 to {TEXT_BYTES_MAX}")));
            }
            if !seen.insert(name.clone()) {
                return Err(Fault::new(
                    format!("two columns are called {}", quote(&name)),
                    "rename one of them: stages refer to columns by name",
                ));
            }
            let natural = kind_of(&name, field.data_type())?;
            let kind = declared.iter().find(|declared| declared.name == name);
            let kind = kind.and_then(|declared| declared.kind).unwrap_or(natural);
            Ok(Column { name, kind })
        };
        wanted.into_iter().map(column).collect()
    }

    /// Rows and bytes of each group, where they are known without decoding any.
    pub(super) fn groups(&self) -> Option<&[(u64, u64)]> {
        self.groups.as_deref()
    }

    /// The type of a column.
    pub(super) fn type_of(&self, name: &str) -> Option<&DataType> {
        self.schema.field_with_name(name).ok().map(Field::data_type)
    }

    /// Bytes of the whole file.
    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Hands out the rows of some groups, with these columns, until `each` has had enough.
    pub(super) fn read(
        &self,
        (first, count): (u32, u32),
        columns: &[&str],
        each: &mut dyn FnMut(Batch) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let fields = self.schema.fields().iter().enumerate();
        let wanted = fields.filter(|(_, field)| columns.contains(&field.name().as_str()));
        // A pin may lie: what no table has is not decoded.
        let root = |(place, field): (usize, &Arc<Field>)| {
            kind_of(field.name(), field.data_type()).map(|_| place)
        };
        let roots = wanted.map(root).collect::<Result<Vec<usize>, Fault>>()?;
        let each = &mut |batch: Batch| {
            room(&batch.rows)?;
            each(batch)
        };
        let groups = first..first.saturating_add(count);
        guarded(|| match self.form {
            Form::Parquet => self.parquet(groups, &roots, each),
            Form::ArrowFile => {
                let mut reader = arrow_file(&self.bytes, Some(roots))?;
                let last = u32::try_from(reader.num_batches()).unwrap_or(u32::MAX);
                let end = groups.end.min(last);
                if groups.start < end {
                    reader.set_index(groups.start as usize).map_err(refused)?;
                }
                for (group, rows) in (groups.start..end).zip(reader) {
                    if !each(Batch { group, rows: rows.map_err(refused)? })? {
                        break;
                    }
                }
                Ok(())
            }
            Form::ArrowStream => {
                let reader = arrow_stream(&self.bytes, Some(roots))?;
                for (group, rows) in (0..groups.end).zip(reader) {
                    let rows = rows.map_err(refused)?;
                    if groups.contains(&group) && !each(Batch { group, rows })? {
                        break;
                    }
                }
                Ok(())
            }
        })
    }

    /// The crate looks at the characters only of what is annotated as text by its old name.
    fn of_characters(&self, rows: RecordBatch) -> Result<RecordBatch, Fault> {
        let Some(shared) = &self.shared else { return Ok(rows) };
        let leaves = shared.parquet_schema().columns().iter();
        let unsure = leaves.filter(|leaf| leaf.converted_type() != ConvertedType::UTF8);
        let unsure: BTreeSet<&str> = unsure.map(|leaf| leaf.name()).collect();
        let fields = rows.schema();
        for (field, column) in fields.fields().iter().zip(rows.columns()) {
            if *field.data_type() != DataType::Utf8View || !unsure.contains(field.name().as_str()) {
                continue;
            }
            let bytes = column.as_string_view().clone().to_binary_view();
            if bytes.iter().flatten().any(|text| std::str::from_utf8(text).is_err()) {
                return Err(unreadable(format!("column {} is no UTF-8", quote(field.name()))));
            }
        }
        Ok(rows)
    }

    fn parquet(
        &self,
        groups: std::ops::Range<u32>,
        roots: &[usize],
        each: &mut dyn FnMut(Batch) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let mut bytes = 0usize;
        for group in groups {
            let Some(shared) = self.shared.clone() else { break };
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), shared);
            if group as usize >= builder.metadata().num_row_groups() {
                break;
            }
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
            let of_group = builder.metadata().row_group(group as usize);
            bytes = bytes.saturating_add(pages::check(&self.bytes, of_group, &mask)?);
            if bytes > PAGES_MAX {
                return Err(unreadable("its pages are many times as long as the file"));
            }
            let builder = builder.with_row_groups(vec![group as usize]).with_projection(mask);
            let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(refused)?;
            for rows in reader {
                let rows = rows.map_err(refused)?;
                if !each(Batch { group, rows: self.of_characters(rows)? })? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Reads every text as a view: where a dictionary has it once, it is in memory once.
fn sharing(builder: &ParquetRecordBatchReaderBuilder<Bytes>) -> Result<ArrowReaderMetadata, Fault> {
    let as_view = |field: &Arc<Field>| match is_text(field.data_type()) {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        false => Arc::clone(field),
    };
    let fields: Vec<_> = builder.schema().fields().iter().map(as_view).collect();
    let schema = Schema::new_with_metadata(fields, builder.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(builder.metadata()), options).map_err(refused)
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Fails where the cells of a batch, each for itself, are more than a table or the job may hold:
/// a dictionary of a few bytes can stand for any number.
fn room(rows: &RecordBatch) -> Result<(), Fault> {
    let bytes = rows.columns().iter().map(|column| bytes_of(column));
    let bytes = bytes.fold(0, usize::saturating_add);
    // Columns may lie on one another in a file: in a table each number is one of 64 bits.
    let numbers =
        |column: &&ArrayRef| column.data_type().is_numeric() && !column.data_type().is_decimal();
    let numbers = rows.columns().iter().filter(numbers).count();
    let all = numbers.saturating_mul(rows.num_rows()).saturating_mul(size_of::<i64>());
    if bytes.saturating_add(all) > ARTIFACT_BYTES_MAX {
        return Err(super::too_large(bytes.saturating_add(all)));
    }
    memory::room(bytes)
}

/// Bytes of the texts of a column, each for itself; of one that is missing, its place.
fn bytes_of(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Null => array.len().saturating_mul(size_of::<i32>()),
        ty if is_text(ty) => {
            lengths(array).iter().fold(0, |sum, length| sum.saturating_add(*length))
        }
        _ => 0,
    }
}

/// Of each cell of a column of texts, its bytes.
fn lengths(array: &dyn Array) -> Vec<usize> {
    let all = 0..array.len();
    let of = |length: &dyn Fn(usize) -> usize| {
        all.map(|row| if array.is_null(row) { 0 } else { length(row) }).collect()
    };
    match array.data_type() {
        DataType::Utf8 => of(&|row| array.as_string::<i32>().value_length(row) as usize),
        DataType::LargeUtf8 => of(&|row| array.as_string::<i64>().value_length(row) as usize),
        DataType::Utf8View => {
            let views = array.as_string_view().views();
            // The lowest 32 bits of a view are the length.
            of(&|row| views.get(row).map_or(0, |view| *view as u32 as usize))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = lengths(dictionary.values().as_ref());
            if values.is_empty() {
                return Vec::new();
            }
            let keys = dictionary.normalized_keys();
            of(&|row| keys.get(row).and_then(|key| values.get(*key)).copied().unwrap_or_default())
        }
        _ => Vec::new(),
    }
}

fn arrow_file(
    bytes: &Bytes,
    roots: Option<Vec<usize>>,
) -> Result<FileReader<Cursor<Bytes>>, Fault> {
    FileReader::try_new(Cursor::new(bytes.clone()), roots).map_err(refused)
}

fn arrow_stream(
    bytes: &Bytes,
    roots: Option<Vec<usize>>,
) -> Result<StreamReader<Cursor<Bytes>>, Fault> {
    StreamReader::try_new(Cursor::new(bytes.clone()), roots).map_err(refused)
}
