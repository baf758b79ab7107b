//! Verbs about a pipeline: check it, plan it, compare it, apply it, and see to its runs.
//! Never reads a manifest.

use super::output::{Findings, Output};
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::domain::job::Task;
use crate::domain::manifest::duration_ms;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Which pipelines, in every verb that takes several.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The pipelines: files, folders of them, or - for the standard input
    #[arg(value_name = "MANIFEST", required_unless_present = "files")]
    pub(crate) manifests: Vec<PathBuf>,
    /// The same, as an option; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

impl Files {
    /// All of them, in the order of the command line.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.manifests.iter().chain(&self.files)
    }
}

/// Parameters, in every verb that compiles a pipeline.
#[derive(Debug, Args)]
pub(crate) struct Params {
    /// Set a parameter of the manifest; may be repeated
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Set parameters from a file of YAML or JSON, such as `epochs: 90`; -p goes before it
    #[arg(long, value_name = "FILE")]
    pub(crate) params_file: Vec<PathBuf>,
}

/// What sources have to be, in every verb that opens them.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// Refuse sources that are not what ohc.lock says, and do not write it
    #[arg(long)]
    pub(crate) locked: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE, such as epochs=90".to_owned()),
    }
}

/// What is run again though its results are settled.
#[derive(Debug, Args)]
pub(crate) struct Again {
    /// Run a stage again, and all that depends on it, though its results are settled
    #[arg(long, value_name = "STAGE")]
    pub(crate) refresh: Vec<String>,
    /// Use no settled result: run everything again
    #[arg(long, conflicts_with = "refresh")]
    pub(crate) no_cache: bool,
}

/// `ohc apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) params: Params,
    #[command(flatten)]
    pub(crate) lock: Lock,
    #[command(flatten)]
    pub(crate) again: Again,
    /// Spend at most so many OhC, and give a run that has used up its budget so many in all
    /// [default: the manifest's budget]
    #[arg(long, value_name = "OHC")]
    pub(crate) budget: Option<Ohc>,
    /// Workers of the embedded network [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Show the plan and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Spend without asking: at most the budget or, where none is set, the highest quote. A network
    /// asks where `--budget` is not given, whatever the manifest allows
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    /// Follow the run to its end. This is the default: the network is this process
    #[arg(long, conflicts_with = "detach")]
    pub(crate) wait: bool,
    /// Stop after so long, such as 90s or 2h, with exit code 5; the next apply goes on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Leave the run to its network as soon as it is there. An embedded network ends with this
    /// process: it cannot
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn duration(text: &str) -> Result<Duration, String> {
    match duration_ms(text) {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err("write a duration such as 90s, 15m or 1h30m".to_owned()),
    }
}

/// `ohc plan`
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) params: Params,
    #[command(flatten)]
    pub(crate) lock: Lock,
    #[command(flatten)]
    pub(crate) again: Again,
    /// Exit with 2 if something would run, with 1 if it is known to fail
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Save the plan: `ohc apply FILE` does exactly that, or says what has changed since
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc diff`
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The pipeline
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) params: Params,
    #[command(flatten)]
    pub(crate) lock: Lock,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc cancel` and `ohc pause`
#[derive(Debug, Args)]
pub(crate) struct Tended {
    /// The run, such as run-1
    #[arg(value_parser = by_number)]
    pub(crate) run: RunId,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc resume`
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The run, such as run-1
    #[arg(value_parser = by_number)]
    pub(crate) run: RunId,
    /// Give it a larger budget: so many OhC in all, or so many more as +OHC
    #[arg(long, value_name = "OHC")]
    pub(crate) budget: Option<Raise>,
    /// Run this stage again, and all that depends on it, though its results are settled
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// A run that something is done to: never the latest one, which may be another by then.
fn by_number(text: &str) -> Result<RunId, &'static str> {
    text.parse().map_err(|_| "write it as run-1: `ohc get runs` lists them")
}

/// How a budget is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raise {
    /// To so much in all.
    To(Ohc),
    /// By so much.
    By(Ohc),
}

impl FromStr for Raise {
    type Err = <Ohc as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('+') {
            Some(more) => more.parse().map(Self::By),
            None => text.parse().map(Self::To),
        }
    }
}

/// `ohc validate`
#[derive(Debug, Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) params: Params,
    /// How to report the faults
    #[arg(short = 'o', long = "format", visible_alias = "output", value_enum,
        default_value_t = Findings::Text)]
    pub(crate) format: Findings,
}

/// `ohc init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The data: a file of CSV, JSON lines, Parquet, Arrow or text
    pub(crate) data: PathBuf,
    /// The column to predict [default: guessed by names and kinds]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// Whether it is a class or a number [default: by its values]
    #[arg(long, value_enum)]
    pub(crate) task: Option<TaskWord>,
    /// Where to write the manifest, or - for the standard output [default: the name of the data,
    /// with .yaml, in this folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// What a model learns to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskWord {
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
}

impl From<TaskWord> for Task {
    fn from(word: TaskWord) -> Self {
        match word {
            TaskWord::Classification => Self::Classification,
            TaskWord::Regression => Self::Regression,
        }
    }
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaKind {
    /// The manifest of a pipeline.
    Pipeline,
}
