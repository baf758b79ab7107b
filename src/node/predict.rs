//! Batch predictions outside any network: rows from a file or a pipe, what a model says of them.
//! Never holds more of the rows than a chunk, and never trusts the model file.

mod pictures;

use super::published::{self, Altered};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::encoder::{Encoder, Folder, PARTS};
use crate::compute::predict;
use crate::compute::predictor::Predictor;
use crate::compute::table::{Cut, Surveyor, Table, read_chunks};
use crate::compute::{Cause, Fault, quote};
use crate::domain::job::{
    ChunkTarget, Column, ColumnKind, Declared, Dialect, Format, Ingest, Predict, Reading,
};
pub use crate::effects::draft::Draft;
pub use pictures::run as run_pictures;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of rows that are predicted together: a bound on memory, not on rows.
const CHUNK_BYTES: u64 = 4 << 20;
/// Bytes that are read at once.
const BLOCK_BYTES: usize = 1 << 18;
/// The file of a model in the folder of an output.
const MODEL_FILE: &str = "model.safetensors";

/// Why rows could not be predicted.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The model cannot be read.
    #[error("cannot read the model {}: {source}; hint: give a .safetensors file, or the folder of \
        an output that has one", .path.display())]
    NoModel {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The encoder cannot be read.
    #[error("cannot read the encoder {}: {source}; hint: give the folder with its config.json",
        .path.display())]
    NoEncoder {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no model, or the folder no encoder.
    #[error("{}: {fault}; hint: {}", .path.display(), .fault.hint)]
    BadModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The file is not what the card beside it says.
    #[error(transparent)]
    Altered(#[from] Altered),
    /// The rows cannot be read.
    #[error("cannot read {rows}: {source}; hint: name a file, or `-` for the standard input")]
    NoRows {
        /// What they are called.
        rows: String,
        /// What the system says.
        source: io::Error,
    },
    /// The rows are not what the model takes.
    #[error("{rows}{}: {fault}; hint: {}", from_line(*.line), .fault.hint)]
    BadRows {
        /// What they are called.
        rows: String,
        /// The line that the rows at hand begin on, where they are not the first.
        line: Option<u64>,
        /// What is wrong with them.
        fault: Fault,
    },
    /// Nobody takes the predictions any more.
    #[error(transparent)]
    Taken(#[from] io::Error),
}

fn from_line(line: Option<u64>) -> String {
    line.map(|line| format!(", rows from line {line} on")).unwrap_or_default()
}

/// The formats that rows can be in: words, and extensions of files.
pub const FORMATS: [&str; 11] =
    ["csv", "tsv", "json", "jsonl", "ndjson", "text", "txt", "parquet", "arrow", "feather", "png"];

/// How rows of a format are read; `None` if there is no such.
#[must_use]
pub fn reading(format: &str) -> Option<Reading> {
    let csv = Reading::csv();
    let typed = |format| Some(Reading { format, nulls: Vec::new(), ..Reading::csv() });
    match format.to_ascii_lowercase().as_str() {
        "csv" => Some(csv),
        "tsv" => {
            let dialect = Dialect { delimiter: b'\t', ..Dialect::RFC_4180 };
            Some(Reading { format: Format::Csv(dialect), ..csv })
        }
        "json" | "jsonl" | "ndjson" => typed(Format::Json),
        "text" | "txt" => typed(Format::Text),
        "parquet" => typed(Format::Parquet),
        "arrow" | "feather" => typed(Format::Arrow),
        _ => None,
    }
}

/// A model from its file, or from the folder of an output.
pub fn model(path: &Path) -> Result<Predictor, PredictError> {
    let path = if path.is_dir() { path.join(MODEL_FILE) } else { path.to_owned() };
    let unreadable = |source| PredictError::NoModel { path: path.clone(), source };
    let mut bytes = Vec::new();
    // One byte more than it may have: the reader of the model says that it is too large.
    let bound = ARTIFACT_BYTES_MAX as u64 + 1;
    let file = File::open(&path).map_err(unreadable)?;
    file.take(bound).read_to_end(&mut bytes).map_err(unreadable)?;
    published::check(&path, &bytes)?;
    Predictor::from_bytes(&bytes).map_err(|fault| PredictError::BadModel { path, fault })
}

/// An encoder from its folder.
pub fn encoder(path: &Path) -> Result<Encoder, PredictError> {
    let unreadable = |source| PredictError::NoEncoder { path: path.to_owned(), source };
    let bad = |fault| PredictError::BadModel { path: path.to_owned(), fault };
    // An error of the folder itself is told before one of a file that it has not.
    std::fs::read_dir(path).map_err(unreadable)?;
    let mut folder = Folder::new();
    for name in PARTS {
        let file = match File::open(path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(unreadable)?,
        };
        let size = file.metadata().map_err(unreadable)?.len();
        Folder::<Vec<u8>>::check(name, size).map_err(bad)?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).map_err(unreadable)?;
        folder.add(name, bytes).map_err(bad)?;
    }
    let packed = folder.pack().map_err(bad)?;
    Encoder::from_bytes(&packed).map_err(bad)
}

/// Rows that a model is asked about.
pub struct Rows<'a> {
    /// What they are called in messages.
    pub name: &'a str,
    /// Where they come from.
    pub from: &'a mut dyn Read,
    /// How they are read.
    pub reading: Reading,
}

/// Predictions of consecutive rows, in every form that they are written in.
pub struct Batch(Table);

impl Batch {
    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.0.columns()
    }

    /// The line of CSV that names the columns.
    #[must_use]
    pub fn csv_header(&self) -> String {
        self.0.csv_header()
    }

    /// The rows as lines of CSV.
    #[must_use]
    pub fn csv_rows(&self) -> String {
        self.0.csv_rows()
    }

    /// The rows as lines of JSON.
    #[must_use]
    pub fn json_rows(&self) -> String {
        self.0.json_rows()
    }

    /// The cells as text, row by row.
    #[must_use]
    pub fn text_rows(&self) -> Vec<Vec<String>> {
        self.0.text_rows()
    }
}

/// What is told of rows beside the predictions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// How many they are.
    pub rows: u64,
    /// Columns with values that are none of those of the training, and in how many rows.
    pub unseen: BTreeMap<String, u64>,
}

/// Gives what the model says of all rows, batch after batch in their order.
pub fn run(
    spec: &Predict,
    (model, encoder): (&Predictor, Option<&Encoder>),
    rows: Rows<'_>,
    give: &mut dyn FnMut(&Batch) -> io::Result<()>,
) -> Result<Told, PredictError> {
    let Rows { name, from, reading } = rows;
    let mut teller = Teller::new(name, spec, (model, encoder), &reading)?;
    let bad = |fault| PredictError::BadRows { rows: name.to_owned(), line: None, fault };
    let [(needs, _), (_, widest)] = teller.ways.clone();
    let mut surveyor = Surveyor::new(&widest, Some(ChunkTarget::Bytes(CHUNK_BYTES)));
    surveyor.begin("").map_err(bad)?;
    let (mut block, mut is_first) = (vec![0; BLOCK_BYTES], true);
    loop {
        let read = from
            .read(&mut block)
            .map_err(|source| PredictError::NoRows { rows: name.to_owned(), source })?;
        if std::mem::take(&mut is_first) {
            let begin = block.get(..read).unwrap_or_default();
            divided(begin, reading.format, &needs).map_err(bad)?;
        }
        let cuts = match block.get(..read).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => surveyor.feed(bytes),
            None => surveyor.end(),
        };
        for cut in cuts.map_err(advised).map_err(bad)? {
            let batches = teller.tell(&surveyor.columns(), cut)?;
            batches.iter().try_for_each(&mut *give)?;
        }
        if read == 0 {
            break;
        }
    }
    surveyor.finish().map_err(bad)?;
    Ok(teller.told)
}

/// Says what a model makes of rows that come in pieces.
struct Teller<'a> {
    name: &'a str,
    spec: &'a Predict,
    model: &'a Predictor,
    encoder: Option<&'a Encoder>,
    /// The columns as the rows of the training had them, and as these may have them besides, with
    /// the way to read them so.
    ways: [(Vec<Column>, Reading); 2],
    /// The columns of the first rows: those of all predictions.
    keep: Option<Vec<String>>,
    told: Told,
}

impl<'a> Teller<'a> {
    fn new(
        name: &'a str,
        spec: &'a Predict,
        (model, encoder): (&'a Predictor, Option<&'a Encoder>),
        reading: &Reading,
    ) -> Result<Self, PredictError> {
        let bad = |fault| PredictError::BadRows { rows: name.to_owned(), line: None, fault };
        let needs = model.recipe().needs(model.features()).map_err(bad)?;
        let wide = model.reads().map_err(bad)?;
        let ways = [needs, wide].map(|columns| {
            let reading = declaring(reading, &columns);
            (columns, reading)
        });
        Ok(Self { name, spec, model, encoder, ways, keep: None, told: Told::default() })
    }

    /// The predictions for rows that lie in one piece, of which these columns are known.
    fn tell(&mut self, known: &[Column], cut: Cut) -> Result<Vec<Batch>, PredictError> {
        let names = || known.iter().map(|column| column.name.clone()).collect();
        let kept = self.keep.get_or_insert_with(names).clone();
        let mut batches = Vec::new();
        for chunk in cut.chunks {
            let line = Some(chunk.first_line).filter(|_| self.told.rows > 0);
            let rows = self.name;
            let bad = move |fault| PredictError::BadRows { rows: rows.to_owned(), line, fault };
            let read = |(columns, reading): &(Vec<Column>, Reading)| {
                let ingest = Ingest {
                    columns: kinds(known, columns, reading.format),
                    keep: Some(kept.clone()),
                    chunks: vec![chunk.clone()],
                    ..Ingest::unpinned(reading.clone())
                };
                read_chunks(&ingest, &[&cut.bytes])
            };
            let [narrow, widest] = &self.ways;
            let read = read(narrow).or_else(|fault| match narrow.0 == widest.0 {
                true => Err(fault),
                false => read(widest),
            });
            let (table, _) = read.map_err(advised).map_err(bad)?;
            self.told.rows += table.rows() as u64;
            for (column, count) in self.model.recipe_for(&table).map_err(bad)?.unseen(&table) {
                *self.told.unseen.entry(column).or_default() += count as u64;
            }
            let said = predict::run(self.spec, self.model, &table, self.encoder);
            batches.push(Batch(said.map_err(bad)?));
        }
        Ok(batches)
    }
}

/// A way to read rows, of which these columns are known.
fn declaring(reading: &Reading, columns: &[Column]) -> Reading {
    let declared =
        |column: &Column| Declared { name: column.name.clone(), kind: Some(column.kind) };
    Reading { columns: columns.iter().map(declared).collect(), ..reading.clone() }
}

/// Refuses rows of a single cell in which all columns seem to stand, by the beginning of the rows.
fn divided(begin: &[u8], format: Format, needs: &[Column]) -> Result<(), Fault> {
    let (Format::Csv(dialect), Some(needed)) = (format, needs.first()) else { return Ok(()) };
    let line = begin.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let is_whole = !line.as_bytes().contains(&dialect.delimiter);
    let is_needed = needs.iter().any(|column| line.trim_matches('"') == column.name);
    let marks = [(';', "';'"), ('\t', "tab"), ('|', "'|'")];
    match marks.iter().find(|(mark, _)| line.contains(*mark)) {
        Some((_, mark)) if is_whole && !is_needed => {
            let (name, line) = (&needed.name, quote(&line));
            let message = format!("there is no column {}, but one {line}", quote(name));
            Err(Fault::new(message, format!("say what stands between cells: --delimiter {mark}")))
        }
        _ => Ok(()),
    }
}

/// The advice of a cell that is not of its kind: no manifest says here how it is read.
fn advised(fault: Fault) -> Fault {
    match fault.cause {
        Cause::Cell => Fault {
            hint: "correct the cell; --nulls says which words stand for an empty one".to_owned(),
            ..fault
        },
        Cause::Job | Cause::Memory | Cause::Machine => fault,
    }
}

/// What the model needs is of its kind. What it does not need is taken as text where the format has
/// nothing else: rows that come later cannot be waited for to guess better.
fn kinds(known: &[Column], needs: &[Column], format: Format) -> Vec<Column> {
    let needs: BTreeMap<&str, ColumnKind> =
        needs.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    let kind = |column: &Column| match (needs.get(column.name.as_str()), format) {
        // Pixels are what they are.
        (_, Format::Png(_)) => column.kind,
        (Some(kind), _) => *kind,
        (None, Format::Csv(_)) => ColumnKind::Text,
        (None, _) => column.kind,
    };
    known.iter().map(|column| Column { name: column.name.clone(), kind: kind(column) }).collect()
}
