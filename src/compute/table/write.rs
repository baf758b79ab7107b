//! Tables as files for people and their tools: CSV, JSON lines, parquet.
//! Never rounds: what is written reads back to the same cells.

use super::{Cells, Table};
use crate::compute::{Fault, quote};
use arrow_array::Array;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::fmt::Write;

impl Table {
    /// The line of CSV (RFC 4180, lines end in LF) that names the columns.
    #[must_use]
    pub fn csv_header(&self) -> String {
        let mut text = String::new();
        for (place, name) in self.columns().iter().enumerate() {
            text.push_str(if place > 0 { "," } else { "" });
            push_text(&mut text, name);
        }
        text.push('\n');
        text
    }

    /// The rows as CSV. A null is an empty cell; a real has a point or an exponent, so that it
    /// reads back as a real.
    #[must_use]
    pub fn csv_rows(&self) -> String {
        let mut text = String::new();
        let columns: Vec<Cells<'_>> = self.cells().collect();
        for row in 0..self.rows() {
            for (place, cells) in columns.iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                match cells {
                    Cells::Text(cells) if cells.is_valid(row) => {
                        push_text(&mut text, cells.value(row));
                    }
                    cells => text.push_str(&cells.plain(row).unwrap_or_default()),
                }
            }
            text.push('\n');
        }
        text
    }

    /// The rows as JSON, an object on each line, with the columns in their order.
    #[must_use]
    pub fn json_rows(&self) -> String {
        let mut text = String::new();
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let names: Vec<String> = self.columns().iter().map(|name| json(name)).collect();
        let columns: Vec<(&String, Cells<'_>)> = names.iter().zip(self.cells()).collect();
        for row in 0..self.rows() {
            for (place, (name, cells)) in columns.iter().enumerate() {
                text.push(if place > 0 { ',' } else { '{' });
                let value = match cells {
                    Cells::Text(cells) if cells.is_valid(row) => json(cells.value(row)),
                    cells => cells.plain(row).unwrap_or_else(|| "null".to_owned()),
                };
                // Writing to a string does not fail.
                let _ = write!(text, "{name}:{value}");
            }
            text.push_str("}\n");
        }
        text
    }

    /// The rows as text for a table, nulls empty.
    #[must_use]
    pub fn text_rows(&self) -> Vec<Vec<String>> {
        let columns: Vec<Cells<'_>> = self.cells().collect();
        let cell = |cells: &Cells<'_>, row| match cells {
            Cells::Text(cells) if cells.is_valid(row) => cells.value(row).to_owned(),
            cells => cells.plain(row).unwrap_or_default(),
        };
        let row = |row| columns.iter().map(|cells| cell(cells, row)).collect();
        (0..self.rows()).map(row).collect()
    }

    /// The table as one parquet file (zstd), the same bytes for the same table.
    pub fn to_parquet(&self) -> Result<Vec<u8>, Fault> {
        let refused = |error: parquet::errors::ParquetError| {
            let message = format!("the table cannot be parquet: {}", quote(&error.to_string()));
            Fault::new(message, "publish it with `format: csv`")
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            .set_created_by("ohc".to_owned())
            .build();
        let mut bytes = Vec::new();
        let schema = self.batch.schema();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, schema, Some(properties)).map_err(refused)?;
        writer.write(&self.batch).map_err(refused)?;
        writer.close().map_err(refused)?;
        Ok(bytes)
    }
}

impl Cells<'_> {
    /// A cell that is no text; `None` where it is null.
    fn plain(&self, row: usize) -> Option<String> {
        match self {
            // `Debug` of a real always has a point or an exponent, and reads back to its bits.
            Self::Real(cells) => cells.is_valid(row).then(|| format!("{:?}", cells.value(row))),
            Self::Integer(cells) => cells.is_valid(row).then(|| cells.value(row).to_string()),
            Self::Truth(cells) => cells.is_valid(row).then(|| cells.value(row).to_string()),
            Self::Text(_) => None,
        }
    }
}

/// A text as a cell of CSV: in quotes where it must be.
fn push_text(line: &mut String, text: &str) {
    let needs_quotes = text.is_empty()
        || text.contains([',', '"', '\n', '\r'])
        || text.starts_with([' ', '\t', '#'])
        || text.ends_with([' ', '\t']);
    if needs_quotes {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NASTY: &str = "a,\"b \"\"c\"\"\",t,n\n1.0,\"x, \"\"y\"\"\nz\",true,\n-0.5,,false,7\n";

    fn table() -> Table {
        Table::from_csv(NASTY.as_bytes()).unwrap()
    }

    #[test]
    fn csv_reads_back_to_the_same_table() {
        let text = table().csv_header() + &table().csv_rows();
        assert_eq!(text, NASTY);
        assert_eq!(Table::from_csv(text.as_bytes()).unwrap(), table());
    }

    #[test]
    fn json_has_an_object_per_line_with_its_own_types() {
        let text = table().json_rows();
        let rows: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["b \"c\""], "x, \"y\"\nz");
        assert_eq!((&rows[0]["a"], &rows[0]["t"]), (&1.0.into(), &true.into()));
        assert!(rows[0]["n"].is_null() && rows[1]["n"] == 7);
        assert_eq!(table().text_rows()[1], ["-0.5", "", "false", "7"]);
    }

    #[test]
    fn parquet_holds_the_same_cells_and_the_same_bytes_each_time() {
        let bytes = table().to_parquet().unwrap();
        assert_eq!(table().to_parquet().unwrap(), bytes);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(
            bytes::Bytes::from(bytes),
            1024,
        );
        let batches: Vec<_> = reader.unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].columns(), table().batch.columns());
    }

    proptest! {
        #[test]
        fn any_real_and_any_text_reads_back(
            x in any::<f64>().prop_filter("finite", |x| x.is_finite()),
            text in "[a-z,\"\n\r\t #é]{1,12}",
        ) {
            let quoted = text.replace('"', "\"\"");
            let source = format!("x,s\n{x:?},\"{quoted}\"\n");
            let table = Table::from_csv(source.as_bytes()).unwrap();
            let written = table.csv_header() + &table.csv_rows();
            prop_assert_eq!(Table::from_csv(written.as_bytes()).unwrap(), table);
        }
    }
}
