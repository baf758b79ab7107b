//! Parquet and Arrow IPC: files of row groups or record batches, which are read by themselves.
//! Never decodes a column that is not asked for, and never more of a file than its groups.

mod footer;
mod thrift;

use super::convert::{kind_of, unreadable};
use super::is_column_name;
use crate::base::limits::{COLUMNS_MAX, TEXT_BYTES_MAX};
use crate::compute::{Fault, quote};
use crate::domain::job::{Column, Declared, Format};
use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{DataType, Field, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows that are decoded together, at most.
const BATCH_ROWS: usize = 1 << 13;
/// What an Arrow file begins with; a stream does not.
const ARROW_FILE: &[u8] = b"ARROW1";

/// A file whose groups can be read.
#[derive(Debug)]
pub(super) struct File {
    bytes: Bytes,
    form: Form,
    schema: SchemaRef,
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
            let (schema, groups) = match form {
                Form::Parquet => {
                    footer::check(&bytes)?;
                    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone());
                    let builder = builder.map_err(unreadable)?;
                    let size = |number: i64| u64::try_from(number).map_err(unreadable);
                    let groups = builder.metadata().row_groups().iter();
                    let groups = groups
                        .map(|group| Ok((size(group.num_rows())?, size(group.compressed_size())?)));
                    let groups = groups.collect::<Result<Vec<_>, Fault>>()?;
                    (builder.schema().clone(), Some(groups))
                }
                Form::ArrowFile => (arrow_file(&bytes, None)?.schema(), None),
                Form::ArrowStream => (arrow_stream(&bytes, None)?.schema(), None),
            };
            Ok(Self { bytes, form, schema, groups })
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
            let field = self.schema.field_with_name(&name).map_err(unreadable)?;
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
        let roots: Vec<usize> = {
            let fields = self.schema.fields().iter().enumerate();
            let wanted = fields.filter(|(_, field)| columns.contains(&field.name().as_str()));
            wanted.map(|(place, _)| place).collect()
        };
        let groups = first..first.saturating_add(count);
        guarded(|| match self.form {
            Form::Parquet => self.parquet(groups, &roots, each),
            Form::ArrowFile => {
                let mut reader = arrow_file(&self.bytes, Some(roots))?;
                let last = u32::try_from(reader.num_batches()).unwrap_or(u32::MAX);
                let end = groups.end.min(last);
                if groups.start < end {
                    reader.set_index(groups.start as usize).map_err(unreadable)?;
                }
                for (group, rows) in (groups.start..end).zip(reader) {
                    if !each(Batch { group, rows: rows.map_err(unreadable)? })? {
                        break;
                    }
                }
                Ok(())
            }
            Form::ArrowStream => {
                let reader = arrow_stream(&self.bytes, Some(roots))?;
                for (group, rows) in (0..groups.end).zip(reader) {
                    let rows = rows.map_err(unreadable)?;
                    if groups.contains(&group) && !each(Batch { group, rows })? {
                        break;
                    }
                }
                Ok(())
            }
        })
    }

    fn parquet(
        &self,
        groups: std::ops::Range<u32>,
        roots: &[usize],
        each: &mut dyn FnMut(Batch) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        for group in groups {
            let builder = ParquetRecordBatchReaderBuilder::try_new(self.bytes.clone());
            let builder = builder.map_err(unreadable)?;
            if group as usize >= builder.metadata().num_row_groups() {
                break;
            }
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
            let builder = builder.with_row_groups(vec![group as usize]).with_projection(mask);
            let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
            for rows in reader {
                if !each(Batch { group, rows: rows.map_err(unreadable)? })? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn arrow_file(
    bytes: &Bytes,
    roots: Option<Vec<usize>>,
) -> Result<FileReader<Cursor<Bytes>>, Fault> {
    FileReader::try_new(Cursor::new(bytes.clone()), roots).map_err(unreadable)
}

fn arrow_stream(
    bytes: &Bytes,
    roots: Option<Vec<usize>>,
) -> Result<StreamReader<Cursor<Bytes>>, Fault> {
    StreamReader::try_new(Cursor::new(bytes.clone()), roots).map_err(unreadable)
}
