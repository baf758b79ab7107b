//! Verbs about this machine and this program.
//! Never measures or writes anything.

use super::output::Output;
use clap::{Args, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// `ohc explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The key, such as stages.train.with.optimizer, or a kind of stage
    #[arg(value_name = "KEY.PATH")]
    pub(crate) path: Option<String>,
}

/// `ohc doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc gc`
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Delete, instead of showing what could be
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    /// Show what could be deleted, which is what happens without --yes too
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Keep the results of the last N runs of each pipeline alone [default: of all]
    #[arg(long, value_name = "N")]
    pub(crate) keep_runs: Option<usize>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that completes
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `ohc man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The verb, such as plan or `wallet balance` [default: ohc itself]
    #[arg(conflicts_with = "out")]
    pub(crate) verb: Vec<String>,
    /// Write the pages of all verbs into this folder instead
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `ohc bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure
    #[arg(value_enum)]
    pub(crate) kind: Measured,
    /// Jobs to measure with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) jobs: Option<u32>,
    /// The file that `ingest` and `parallel` read (`ingest` has a synthetic one of 64 MiB), or the
    /// folder of the encoder of `embed`
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// What `train`, `segments` and `fast` train
    #[arg(long, value_enum, default_value_t = Learner::Mlp)]
    pub(crate) model: Learner,
    /// Threads of `train` and `segments`, and of the exact kernels beside `fast`
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
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

/// What can be trained to measure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Learner {
    /// A perceptron 784-512-256-10, batches of 128
    Mlp,
    /// Convolutions of 32 and 64 filters on 28 by 28 pixels, then 128 and 10, batches of 128
    Cnn,
    /// A decoder of 4 blocks with 4 heads, 128 wide, on 64 of 65 characters, batches of 12
    Gpt,
    /// A decoder of 8 blocks with 8 heads, 512 wide, on 256 of 65 characters, batches of 16
    GptLarge,
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
    /// Milliseconds of a start from a snapshot.
    Start,
    /// Milliseconds in which the log commits to a state of so many settled blocks (--jobs).
    Commit,
    /// Slots per second of a log that are verified; --jobs says how many.
    Verify,
    /// Hashes per second: made, and verified in parallel.
    Poh,
    /// Exact matrix products against stock ones.
    Matmul,
    /// Millions of inputs per second: elementary functions on all 2^32 numbers of 32 bits, compared
    /// with what they must give; minutes.
    Exact,
    /// Exact training against stock candle.
    Train,
    /// Percent of a training that its checkpoints take.
    Segments,
    /// Fast training, on a graphics card if this build can use one, against exact training.
    Fast,
    /// Loss of trainings in parallel against synchronous ones; --file is a table or a text (.txt).
    Parallel,
    /// Megabytes per second of comma-separated values, surveyed and read.
    Ingest,
    /// Sentences per second of an encoder; --file names its folder.
    Embed,
    /// Milliseconds until the slowest of many hostile manifests is refused.
    Hostile,
    /// Milliseconds of a core that twenty validators take to agree on a slot, all together.
    Agreement,
    /// Milliseconds from a command to its finality with four validators as processes over NATS;
    /// --jobs says how many are measured.
    Finality,
    /// Milliseconds until a new worker bids on a network with so many slots (--jobs) of history.
    Late,
}
