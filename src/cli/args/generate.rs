//! `ohc generate`: which model, what it goes on from, and how its words are chosen.
//! Never reads it.

use clap::Args;
use std::path::PathBuf;

/// `ohc generate`
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The model: a .safetensors file, or the folder of an output
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// What the text goes on from, or - for the standard input [default: the beginning of a line]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) prompt: Option<String>,
    /// Tokens that are written, at the most
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub(crate) tokens: u32,
    /// Below 1 likely tokens become likelier still; 0 always takes the likeliest
    #[arg(long, default_value_t = 1.0, value_name = "T", value_parser = temperature,
        allow_negative_numbers = true)]
    pub(crate) temperature: f64,
    /// Choose from so many of the likeliest tokens alone [default: from all]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top_k: Option<u32>,
    /// End with the first new line
    #[arg(long)]
    pub(crate) line: bool,
    /// Seed of the lots: the same one writes the same text
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) seed: u64,
}

fn temperature(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number is needed".to_owned())?;
    if (0.0..=100.0).contains(&value) { Ok(value) } else { Err("it is from 0 to 100".to_owned()) }
}
