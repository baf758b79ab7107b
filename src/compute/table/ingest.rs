//! Ingests: what a source is, for its pin, and the table of one chunk of it.
//! Never decides what a source should be: columns and rows are those of the pin, or a fault.

use super::Table;
use crate::compute::{Fault, quote};
use crate::domain::job::{Chunk, Ingest};
use std::fmt::Write as _;

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

/// The table of one chunk, with the columns that are kept.
pub fn read_chunk(spec: &Ingest, bytes: &[u8], chunk: &Chunk) -> Result<(Table, BadRows), Fault> {
    let table = Table::from_csv(bytes)?;
    let again = "the source changed after the plan was made: plan again";
    if table.rows() as u64 != chunk.rows {
        let (rows, pinned) = (table.rows(), chunk.rows);
        let message = format!("source does not match its pin: {rows} rows, the pin says {pinned}");
        return Err(Fault::new(message, again));
    }
    let schema = table.schema();
    if let Some((column, pinned)) = schema.iter().zip(&spec.columns).find(|(a, b)| a != b) {
        let (name, pinned) = (quote(&column.name), quote(&pinned.name));
        let message =
            format!("source does not match its pin: column {name}, the pin says {pinned}");
        return Err(Fault::new(message, again));
    }
    let table = match &spec.keep {
        Some(keep) => table.select(keep)?,
        None => table,
    };
    let limit = spec.limit.and_then(|limit| usize::try_from(limit).ok());
    let table = table.head(limit.unwrap_or(usize::MAX));
    let rows = BadRows { rows: table.rows() as u64, ..BadRows::default() };
    Ok((table, rows))
}
