//! `ohc predict`: which model, which rows, and how the answer is written.
//! Never reads either.

use crate::node::predict::FORMATS;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `ohc predict`
#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// The model: a .safetensors file, or the folder of an output
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// The rows as they are in the source: a file, a folder of PNG files, or - for the standard
    /// input
    #[arg(value_name = "ROWS")]
    pub(crate) rows: PathBuf,
    /// Format of the rows: csv, tsv, json (lines), text (a row is a line), parquet, arrow
    /// or png (a row is a picture)
    /// [default: by the extension, else csv]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true,
        value_parser = PossibleValuesParser::new(FORMATS))]
    pub(crate) format: Option<String>,
    /// What stands between two cells of csv: one character, or tab [default: ,]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub(crate) delimiter: Option<u8>,
    /// Words that stand for an empty cell, as `nulls` of the source had them: NA,nan
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) nulls: Vec<String>,
    /// The folder of the encoder, where the model was trained on embedded texts
    #[arg(long, value_name = "FOLDER")]
    pub(crate) encoder: Option<PathBuf>,
    /// Columns of the rows to write beside the prediction [default: all]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) keep: Option<Vec<String>>,
    /// Write the probability of each class or label too
    #[arg(long)]
    pub(crate) probabilities: bool,
    /// How to write the predictions: for programs (csv, json), or the first rows for people (table)
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t = Written::Csv,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) output: Written,
    /// Write the predictions to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab", _) => Ok(b'\t'),
        (_, [one]) if one.is_ascii() && !matches!(one, b'\n' | b'\r' | b'"') => Ok(*one),
        _ => Err("write one ASCII character, such as ';', or tab".to_owned()),
    }
}

/// How predictions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Written {
    /// A line per row, with a header.
    Csv,
    /// An object per row.
    Json,
    /// Aligned columns of the first rows.
    Table,
}
