//! Verbs about this machine and this program.
//! Never measures or writes anything.

use super::output::Output;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `ohc bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure
    #[arg(value_enum)]
    pub(crate) kind: Measured,
    /// Jobs to measure with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) jobs: Option<u32>,
    /// The file that `ingest` reads; a synthetic one of 64 MiB if it is not given
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How long to measure what has no end
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds from 0.01 to 600".to_owned()),
    }
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measured {
    /// Settled blocks per second: independent jobs, one per block, durable log.
    Settle,
    /// Milliseconds per block of a chain of jobs, one per block.
    Chain,
    /// Jobs per second that are expanded and cut.
    Plan,
    /// Milliseconds of a second apply of a settled chain of stages.
    Reapply,
    /// Commands per second that are folded.
    Replay,
    /// Hashes per second: made, and verified in parallel.
    Poh,
    /// Exact matrix products against stock ones.
    Matmul,
    /// Exact training against stock candle.
    Train,
    /// Megabytes per second of comma-separated values, surveyed and read.
    Ingest,
    /// Milliseconds until the slowest of many hostile manifests is refused.
    Hostile,
}
