//! Verbs that show what the log knows.
//! Never opens a home.

use super::output::Output;
use crate::base::ids::RunId;
use clap::{Args, Subcommand, ValueEnum};

/// `ohc get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to list
    #[arg(value_enum)]
    pub(crate) kind: Listed,
    /// Only of this run, such as run-1
    pub(crate) run: Option<RunId>,
    #[command(flatten)]
    pub(crate) output: Output,
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
