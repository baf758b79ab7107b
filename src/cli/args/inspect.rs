//! Verbs that show what the log knows.
//! Never opens a home.

use super::output::{Format, Output};
use crate::base::ids::RunId;
use crate::domain::manifest::duration_ms;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// `ohc get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to list
    #[arg(value_enum)]
    pub(crate) kind: Listed,
    /// Only of this run, such as run-1, or latest
    pub(crate) run: Option<RunName>,
    /// At most so many; the last line says how to get the next ones
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Begin after this one, as -o name prints it
    #[arg(long, value_name = "NAME")]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// Applications of manifests.
    Runs,
    /// What the manifest calls the parts of a run.
    Stages,
    /// What was sold to workers.
    Blocks,
    /// What is computed: one instance of a stage, or a part of it.
    Jobs,
    /// What jobs gave, by digest.
    Artifacts,
    /// Who owns what.
    Accounts,
    /// Who bids, and how well it works.
    Workers,
}

/// The name of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunName {
    /// `latest`: the last one.
    Latest,
    /// `run-1`.
    Run(RunId),
}

impl FromStr for RunName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "latest" => Ok(Self::Latest),
            _ => text.parse().map(Self::Run).map_err(|_| "write it as run-1, or latest"),
        }
    }
}

/// `ohc logs`
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run, such as run-1, or latest
    pub(crate) run: RunName,
    /// Only of this stage, or of one instance: train@width=16,seed=1
    pub(crate) stage: Option<String>,
    /// Go on showing what is said, until the run is over
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// Only what was said in the last so many seconds, minutes, hours: 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<u64>,
    /// Only the last N lines of what was said so far
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) tail: Option<u32>,
    /// Say when it was said, in UTC
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Write what was measured as CSV (step, stage, metric, value) into a file, or - for here
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    pub(crate) csv: Option<PathBuf>,
    /// Write what was measured as TensorBoard event files below a folder
    #[arg(long, value_name = "DIR", conflicts_with = "follow")]
    pub(crate) tensorboard: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc describe`
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// A run (run-1, latest), a block (run-1/3), a job (train@width=16) or an account (worker-1)
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc why`
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// A block (run-1/3), a job (train@width=16, run-1/train@width=16) or an account (worker-1)
    pub(crate) subject: String,
    /// Of an account, only the last N transfers
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// What apply wrote: the folder of an output, or the file in it
    #[arg(value_name = "OUTPUT")]
    pub(crate) output_of: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc ledger`
#[derive(Debug, Args)]
pub(crate) struct Ledger {
    /// Only what moved its balance: client, worker-1, or the first digits of a key
    pub(crate) account: Option<String>,
    /// Only what was for this run, such as run-1, or latest
    #[arg(long)]
    pub(crate) run: Option<RunName>,
    /// Only the last N movements [default: 1000; as csv a million]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: Option<u32>,
    /// How to report: for people (table, wide), for programs (json, yaml, csv), or slots alone
    /// (name)
    #[arg(short = 'o', long = "output", default_value = "table", value_name = "FORMAT",
        value_parser = ledger_format)]
    pub(crate) output: LedgerFormat,
}

/// How the ledger is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LedgerFormat {
    /// As every list.
    Shown(Format),
    /// For spreadsheets.
    Csv,
}

fn ledger_format(text: &str) -> Result<LedgerFormat, &'static str> {
    match text {
        "csv" => Ok(LedgerFormat::Csv),
        _ => <Format as ValueEnum>::from_str(text, false)
            .map(LedgerFormat::Shown)
            .map_err(|_| "write table, wide, json, yaml, name or csv"),
    }
}

/// Milliseconds.
fn duration(text: &str) -> Result<u64, &'static str> {
    duration_ms(text).ok_or("write it as 30s, 10m, 2h or 1d")
}

/// `ohc log`
#[derive(Debug, Subcommand)]
pub(crate) enum LogVerb {
    /// Show slots: their commands, and the events that follow from them
    #[command(after_help = "Example:\n  ohc log show --last 5")]
    Show {
        /// Only the last N slots
        #[arg(long, value_name = "N")]
        last: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// Hash, check and fold the whole log again
    #[command(after_help = "Example:\n  ohc log verify -o json")]
    Verify {
        #[command(flatten)]
        output: Output,
    },
}
