//! The command line: what can be asked for, with one line about it and one example each.
//! Never does anything; verbs do.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What `ohc` was asked for.
#[derive(Debug, Parser)]
#[command(
    name = "ohc",
    version,
    about = "A job market for machine learning whose minutes are a hash chain",
    after_help = "Example:\n  ohc apply manifests/iris.yaml\n\n\
        Exit codes: 0 done, 1 failed, 2 changes (plan --detailed-exitcode), 3 verification failed, \
        4 budget or no bids, 6 cancelled, 64 usage, 130 interrupted.",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// Folder of the embedded network: its keys, log and artifacts [default: .ohc at the root of
    /// the manifest's git repository]
    #[arg(long, global = true, env = "OHC_HOME", value_name = "DIR", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// Whether to write in colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// When to write in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a pipeline: train, verify, settle, and write its outputs
    #[command(after_help = "Example:\n  ohc apply manifests/iris.yaml -p epochs=90\n\n\
        Applying again what has not changed runs nothing and spends nothing. Ctrl-C is safe: the \
        next apply goes on from the log.")]
    Apply(Apply),
    /// Show what apply would run, why, and what it would cost
    #[command(after_help = "Example:\n  ohc plan manifests/iris.yaml --detailed-exitcode")]
    Plan(Plan),
    /// Check manifests, and report every fault at its place
    #[command(after_help = "Example:\n  ohc validate manifests/*.yaml -o github")]
    Validate(Validate),
    /// Print the JSON Schema of a kind of document
    #[command(after_help = "Example:\n  ohc schema pipeline > pipeline.v1alpha1.json")]
    Schema {
        /// Which
        #[arg(value_enum)]
        kind: SchemaKind,
    },
    /// List runs, blocks, accounts or workers
    #[command(after_help = "Example:\n  ohc get blocks run-1 -o json")]
    Get(Get),
    /// Show keys and money
    #[command(after_help = "Example:\n  ohc wallet balance")]
    Wallet {
        #[command(subcommand)]
        verb: WalletVerb,
    },
    /// Read and verify the log
    #[command(after_help = "Example:\n  ohc log verify -o json")]
    Log {
        #[command(subcommand)]
        verb: LogVerb,
    },
    /// Measure this machine with what docs/benchmarks.md claims
    #[command(after_help = "Example:\n  ohc bench settle --jobs 1000 -o json")]
    Bench(Bench),
}

/// `--param`, in every verb that reads a pipeline.
#[derive(Debug, Args)]
pub(crate) struct Params {
    /// Set a parameter of the manifest; may be repeated
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE, such as epochs=90".to_owned()),
    }
}

/// `ohc apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The pipeline
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) params: Params,
    /// Spend at most so many OhC [default: the manifest's budget, else the highest quote]
    #[arg(long, value_name = "OHC")]
    pub(crate) budget: Option<crate::base::amount::Ohc>,
    /// Workers of the embedded network [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Show the plan and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask, though neither the manifest nor --budget says what it may cost
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    /// How to report
    #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

/// `ohc plan`
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The pipeline
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) params: Params,
    /// Exit with 2 if something would run
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// How to report
    #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

/// `ohc validate`
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The pipelines
    #[arg(required = true)]
    pub(crate) manifests: Vec<PathBuf>,
    /// How to report
    #[arg(short = 'o', long, value_enum, default_value_t = Findings::Text)]
    pub(crate) output: Findings,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaKind {
    /// The manifest of a pipeline.
    Pipeline,
}

/// `ohc get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to list
    #[arg(value_enum)]
    pub(crate) kind: Listed,
    /// Only of this run, such as run-1
    pub(crate) run: Option<crate::base::ids::RunId>,
    /// How to report
    #[arg(short = 'o', long, value_enum, default_value_t = Listing::Table)]
    pub(crate) output: Listing,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// Applications of manifests.
    Runs,
    /// What was sold to workers.
    Blocks,
    /// Who owns what.
    Accounts,
    /// Who bids, and how well it works.
    Workers,
}

/// `ohc wallet`
#[derive(Debug, Subcommand)]
pub(crate) enum WalletVerb {
    /// The keys of this home, and where they lie
    #[command(after_help = "Example:\n  ohc wallet show")]
    Show {
        /// How to report
        #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// What the client of this home can spend, and what is locked
    #[command(after_help = "Example:\n  ohc wallet balance -o json")]
    Balance {
        /// How to report
        #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
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
        /// How to report
        #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Hash, check and fold the whole log again
    #[command(after_help = "Example:\n  ohc log verify -o json")]
    Verify {
        /// How to report
        #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
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
    /// How long to measure what has no end
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How to report
    #[arg(short = 'o', long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
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
    /// Commands per second that are folded.
    Replay,
    /// Hashes per second: made, and verified in parallel.
    Poh,
    /// Exact matrix products against stock ones.
    Matmul,
    /// Exact training against stock candle.
    Train,
}

/// How one thing is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How faults are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Findings {
    /// For people: the place, the line, a hint.
    Text,
    /// For programs.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// How a list is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// Names alone, one per line.
    Name,
}

impl Verb {
    /// Whether a program reads the answer.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Apply(Apply { output, .. })
            | Self::Plan(Plan { output, .. })
            | Self::Bench(Bench { output, .. })
            | Self::Wallet { verb: WalletVerb::Show { output } | WalletVerb::Balance { output } }
            | Self::Log { verb: LogVerb::Show { output, .. } | LogVerb::Verify { output } } => {
                *output == Format::Json
            }
            Self::Validate(validate) => validate.output == Findings::Json,
            Self::Get(get) => get.output == Listing::Json,
            Self::Schema { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_a_line_about_it_and_an_example() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing about itself");
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains("Example:\n  ohc "), "{name} has no example");
            command.get_subcommands().for_each(check);
        }
        let command = Cli::command();
        command.clone().debug_assert();
        check(&command);
    }

    #[test]
    fn examples_are_command_lines() {
        fn examples(command: &clap::Command, all: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let line = help.lines().nth(1).unwrap_or_default().trim().to_owned();
            all.push(line.split(" >").next().unwrap_or_default().to_owned());
            command.get_subcommands().for_each(|sub| examples(sub, all));
        }
        let mut all = Vec::new();
        examples(&Cli::command(), &mut all);
        for example in all {
            let parsed = Cli::try_parse_from(example.split(' '));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
