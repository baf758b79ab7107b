//! The command line: what can be asked for, with one line about it and one example each.
//! Never does anything; verbs do.

mod inspect;
mod machine;
mod output;
mod pipeline;
mod wallet;

pub(crate) use inspect::{
    Describe, Get, Ledger, LedgerFormat, Listed, LogVerb, Logs, RunName, Why,
};
pub(crate) use machine::{Bench, Measured};
pub(crate) use output::{Findings, Format, Output};
pub(crate) use pipeline::{
    Again, Apply, Diff, Files, Params, Plan, Raise, Resume, SchemaKind, Tended, Validate,
};
pub(crate) use wallet::WalletVerb;

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What `ohc` was asked for.
#[derive(Debug, Parser)]
#[command(
    name = "ohc",
    version,
    about = "A job market for machine learning whose minutes are a hash chain",
    after_help = "Example:\n  ohc apply manifests/iris.yaml\n\n\
        Exit codes: 0 done, 1 failed, 2 changes (plan --detailed-exitcode), 3 verification failed, \
        4 budget or no bids, 5 timed out, 6 cancelled, 64 usage, 130 interrupted.",
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
    #[command(after_help = "Example:\n  ohc plan manifests/iris.yaml --out iris.plan\n\n\
        CAUGHT is how likely a worker is found out that lies in every block of the stage.")]
    Plan(Plan),
    /// Show what differs from what was applied last: 0 nothing, 1 something, 2 cannot be told
    #[command(after_help = "Example:\n  ohc diff manifests/iris.yaml\n\n\
        OHC_EXTERNAL_DIFF names a program that is given both manifests instead, such as \
        \"diff -u\".")]
    Diff(Diff),
    /// End a run: what is delivered is settled, what is not spent comes back
    #[command(after_help = "Example:\n  ohc cancel run-1")]
    Cancel(Tended),
    /// Let a run stand still: what workers hold is settled, nothing else is begun
    #[command(after_help = "Example:\n  ohc pause run-1")]
    Pause(Tended),
    /// Let a run go on, or run what of it was not settled
    #[command(after_help = "Example:\n  ohc resume run-1 --budget +2.50\n\n\
        A run that stands still or was interrupted is followed to its end. Of one that is over, \
        what has no settled result is run again, on the sources of then; with --from, that stage \
        and all after it too.")]
    Resume(Resume),
    /// Check manifests, and report every fault at its place
    #[command(after_help = "Example:\n  ohc validate manifests/*.yaml --format github")]
    Validate(Validate),
    /// Print the JSON Schema of a kind of document
    #[command(after_help = "Example:\n  ohc schema pipeline > pipeline.v1alpha1.json")]
    Schema {
        /// Which
        #[arg(value_enum)]
        kind: SchemaKind,
    },
    /// List runs, stages, blocks, jobs, artifacts, accounts or workers
    #[command(after_help = "Example:\n  ohc get blocks run-1 -o json")]
    Get(Get),
    /// Show everything about a run, a block, a job, an account or a worker
    #[command(after_help = "Example:\n  ohc describe latest")]
    Describe(Describe),
    /// Show what the jobs of a run said, and what became of them
    #[command(after_help = "Example:\n  ohc logs latest train -f\n\n\
        With -f the exit code is that of the run.")]
    Logs(Logs),
    /// Explain a block, a job or an account: from the offer to the payment, or from the parts of a
    /// cache key
    #[command(after_help = "Example:\n  ohc why run-1/0")]
    Why(Why),
    /// Show how money moved, and where all of it lies
    #[command(after_help = "Example:\n  ohc ledger client --run latest")]
    Ledger(Ledger),
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

impl Verb {
    /// How its answer, and what goes wrong, are to be reported; people read what says nothing.
    pub(crate) fn format(&self) -> Format {
        let output: Option<&Output> = match self {
            Self::Apply(apply) => Some(&apply.output),
            Self::Plan(plan) => Some(&plan.output),
            Self::Diff(diff) => Some(&diff.output),
            Self::Cancel(tended) | Self::Pause(tended) => Some(&tended.output),
            Self::Resume(resume) => Some(&resume.output),
            Self::Bench(bench) => Some(&bench.output),
            Self::Get(get) => Some(&get.output),
            Self::Describe(describe) => Some(&describe.output),
            Self::Logs(logs) => Some(&logs.output),
            Self::Why(why) => Some(&why.output),
            Self::Ledger(ledger) => {
                return match ledger.output {
                    LedgerFormat::Shown(format) => format,
                    LedgerFormat::Csv => Format::Table,
                };
            }
            Self::Wallet { verb: WalletVerb::Show { output } | WalletVerb::Balance { output } }
            | Self::Log { verb: LogVerb::Show { output, .. } | LogVerb::Verify { output } } => {
                Some(output)
            }
            Self::Validate(validate) if validate.format == Findings::Json => {
                return Format::Json;
            }
            Self::Validate(_) | Self::Schema { .. } => None,
        };
        output.map_or(Format::Table, |output| output.format)
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
