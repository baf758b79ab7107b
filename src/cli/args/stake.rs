//! Verbs about what validators have at stake.
//! Never reads a key.

use super::output::Output;
use crate::base::amount::Ohc;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `ohc stake`
#[derive(Debug, Subcommand)]
pub(crate) enum StakeVerb {
    /// Put coins at stake: more than 39900 OhC make a validator, from the next boundary on
    #[command(after_help = "Example:\n  ohc stake bond 50000 --key lab/validator-5/key.pem\n\n\
        They are of the account of that key. What is at stake is lost, in part or all of it, for \
        signing two things at once, and some of it for not being there.")]
    Bond(Staked),
    /// Take coins out of the stake: from the next boundary on they do not count, and are free later
    #[command(after_help = "Example:\n  ohc stake unbond 50000 --key lab/validator-5/key.pem\n\n\
        What was signed before the boundary is answered for with them until they are free.")]
    Unbond(Staked),
    /// Who has what at stake, and what waits
    #[command(after_help = "Example:\n  ohc stake status -o json")]
    Status {
        #[command(flatten)]
        output: Output,
    },
}

/// `ohc stake bond` and `ohc stake unbond`
#[derive(Debug, Args)]
pub(crate) struct Staked {
    /// How many OhC, exactly
    pub(crate) amount: Ohc,
    /// The file of the key whose stake it is [default: the key that pays on this network]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl StakeVerb {
    /// How the answer is to be reported.
    pub(crate) fn output(&self) -> &Output {
        match self {
            Self::Bond(staked) | Self::Unbond(staked) => &staked.output,
            Self::Status { output } => output,
        }
    }
}
