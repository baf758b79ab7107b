//! `ohc predict`: what a model says of rows. Needs no network, no home and no money.

use super::Context;
use super::args::{Predict, Written};
use super::exit::{Exit, Stop};
use super::report::table::{Align, table};
use super::report::{Paint, prose};
use crate::domain::job::{self, Format, Reading};
use crate::node::predict::{self, Batch, Draft, PredictError, Rows};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Rows of a table for people; all are counted.
const SHOWN_MAX: usize = 50;

pub(super) fn predict(args: &Predict, context: &mut Context) -> Result<Exit, Stop> {
    let model = predict::model(&args.model).map_err(stop)?;
    let encoder = args.encoder.as_deref().map(predict::encoder).transpose().map_err(stop)?;
    let asked = (&model, encoder.as_ref());
    let spec = job::Predict {
        keep: args.keep.clone().map(|keep| keep.into_iter().filter(|x| !x.is_empty()).collect()),
        probabilities: args.probabilities,
    };
    let is_stdin = args.rows.as_os_str() == "-";
    let name = if is_stdin { "the rows".to_owned() } else { args.rows.display().to_string() };
    let format = args.format.as_deref().or_else(|| args.rows.extension()?.to_str());
    let is_png = format.is_some_and(|format| format.eq_ignore_ascii_case("png"));
    if is_stdin && is_png {
        let message =
            "--format png is of files: pictures do not come one after the other".to_owned();
        let hint = "name a PNG file, or a folder of them".to_owned();
        return Err(Stop::Error { exit: Exit::Usage, message, hint: Some(hint) });
    }
    let pictures = !is_stdin && (is_png || args.rows.is_dir());
    let ask = |give: &mut dyn FnMut(&Batch) -> io::Result<()>| {
        if pictures {
            return predict::run_pictures(&spec, asked, &args.rows, give).map_err(Asked::Node);
        }
        let reading = format.and_then(predict::reading).unwrap_or_else(Reading::csv);
        let reading = as_written(reading, args).map_err(Asked::Stop)?;
        let mut from = rows(args, &name).map_err(Asked::Node)?;
        let rows = Rows { name: &name, from: &mut *from, reading };
        predict::run(&spec, asked, rows, give).map_err(Asked::Node)
    };
    let told = match &args.out {
        None => {
            let shape = (context.screen.paint, context.screen.width);
            let mut write = |text: &str| context.screen.bytes(text);
            let mut sink = Sink::new(args.output, shape, &mut write);
            let told = ask(&mut |batch| sink.take(batch));
            let told = told.map_err(|asked| asked.stop(stop))?;
            sink.end()?;
            told
        }
        Some(path) => {
            let mut draft = Draft::create(path).map_err(|source| unwritable(path, &source))?;
            let mut write = |text: &str| draft.write_all(text.as_bytes());
            let mut sink = Sink::new(args.output, (Paint(false), None), &mut write);
            let told = ask(&mut |batch| sink.take(batch));
            let told = told.map_err(|asked| {
                asked.stop(|error| match error {
                    PredictError::Taken(source) => unwritable(path, &source),
                    other => stop(other),
                })
            })?;
            sink.end().and_then(|()| draft.place()).map_err(|source| unwritable(path, &source))?;
            context.screen.line(format!("{} rows predicted: {}", told.rows, path.display()))?;
            told
        }
    };
    for (column, rows) in &told.unseen {
        // The predictions are there whether or not anybody reads this.
        let _ = writeln!(io::stderr(), "{}", prose::unseen(column, *rows));
    }
    Ok(Exit::Done)
}

/// Why rows were not predicted.
enum Asked {
    /// They, or the model, are not what they should be.
    Node(PredictError),
    /// It was asked wrongly.
    Stop(Stop),
}

impl Asked {
    fn stop(self, of: impl Fn(PredictError) -> Stop) -> Stop {
        match self {
            Self::Node(error) => of(error),
            Self::Stop(stop) => stop,
        }
    }
}

/// The rows: a file, or what comes in.
fn rows(args: &Predict, name: &str) -> Result<Box<dyn Read>, PredictError> {
    if args.rows.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    match File::open(&args.rows) {
        Ok(file) => Ok(Box::new(file)),
        Err(source) => Err(PredictError::NoRows { rows: name.to_owned(), source }),
    }
}

/// A way to read rows, with what the command line says about cells.
fn as_written(mut reading: Reading, args: &Predict) -> Result<Reading, Stop> {
    match (&mut reading.format, args.delimiter) {
        (Format::Csv(dialect), Some(delimiter)) => dialect.delimiter = delimiter,
        (_, None) => {}
        (_, Some(_)) => {
            let message = "only csv has something between two cells".to_owned();
            let hint = "leave --delimiter out, or say --format csv".to_owned();
            return Err(Stop::Error { exit: Exit::Usage, message, hint: Some(hint) });
        }
    }
    reading.nulls.extend(args.nulls.iter().cloned());
    Ok(reading)
}

fn stop(error: PredictError) -> Stop {
    match error {
        PredictError::Taken(source) => source.into(),
        PredictError::Altered(_) => Stop::because(Exit::Unverified, &error),
        other => Stop::because(Exit::Failed, &other),
    }
}

fn unwritable(path: &Path, source: &io::Error) -> Stop {
    let message = format!("cannot write {}: {source}", path.display());
    Stop::failed(message, Some("choose another file, or make room".to_owned()))
}

/// Writes predictions as they come.
struct Sink<'a> {
    write: &'a mut dyn FnMut(&str) -> io::Result<()>,
    written: Written,
    /// How a table looks: its colours and its width.
    shape: (Paint, Option<usize>),
    /// The columns, once there was a batch.
    columns: Option<Vec<String>>,
    /// The first rows, for a table.
    shown: Vec<Vec<String>>,
    rows: usize,
}

impl<'a> Sink<'a> {
    fn new(
        written: Written,
        shape: (Paint, Option<usize>),
        write: &'a mut dyn FnMut(&str) -> io::Result<()>,
    ) -> Self {
        Self { write, written, shape, columns: None, shown: Vec::new(), rows: 0 }
    }

    fn take(&mut self, batch: &Batch) -> io::Result<()> {
        let is_first = self.columns.is_none();
        self.columns.get_or_insert_with(|| batch.columns());
        match self.written {
            Written::Csv => {
                if is_first {
                    (self.write)(&batch.csv_header())?;
                }
                (self.write)(&batch.csv_rows())
            }
            Written::Json => (self.write)(&batch.json_rows()),
            Written::Table => {
                let rows = batch.text_rows();
                self.rows += rows.len();
                let room = SHOWN_MAX.saturating_sub(self.shown.len());
                let shown = rows.iter().take(room);
                self.shown
                    .extend(shown.map(|row| -> Vec<String> {
                        row.iter().map(|cell| plain(cell)).collect()
                    }));
                Ok(())
            }
        }
    }

    fn end(self) -> io::Result<()> {
        if self.written != Written::Table {
            return Ok(());
        }
        let columns = self.columns.unwrap_or_default();
        let columns: Vec<String> = columns.iter().map(|name| plain(name)).collect();
        let columns: Vec<_> = columns.iter().map(|name| (name.as_str(), Align::Left)).collect();
        let (paint, width) = self.shape;
        let text = table(&columns, &self.shown, paint, width);
        (self.write)(&text)?;
        match self.rows - self.shown.len() {
            0 => Ok(()),
            more => (self.write)(&format!("… and {more} more rows: -o csv writes them all\n")),
        }
    }
}

/// A cell on one line, without anything that a terminal would obey.
fn plain(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
