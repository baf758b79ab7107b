//! Verbs about keys and money.
//! Never reads a key.

use super::output::Output;
use crate::base::amount::Ohc;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `ohc wallet`
#[derive(Debug, Subcommand)]
pub(crate) enum WalletVerb {
    /// Make a key; its public half is its name on the network
    #[command(after_help = "Example:\n  ohc wallet new savings\n\n\
        The key file is all that owns what is booked to it: keep a copy.")]
    New {
        /// What this home calls it
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Take over a key: Ed25519 in PKCS#8 PEM
    #[command(after_help = "Examples:\n  ohc wallet import backup.pem savings\n  \
        ohc wallet import - client < client.pem\n\n\
        No key is ever overwritten. As `client`, before the first apply, it owns the home.")]
    Import {
        /// The file, which only you can read, or - for the standard input
        file: PathBuf,
        /// What this home calls it [default: the name of the file]
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// The keys of this home and what they own
    #[command(after_help = "Example:\n  ohc wallet list -o wide")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// One key of this home: its public half and where it lies
    #[command(after_help = "Example:\n  ohc wallet show savings")]
    Show {
        /// Which
        #[arg(default_value = "client")]
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// What an account can spend, and what is locked
    #[command(after_help = "Example:\n  ohc wallet balance -o json")]
    Balance {
        /// Whose: a key of this home by its name, or any public key
        #[arg(default_value = "client", value_name = "NAME|KEY")]
        account: String,
        #[command(flatten)]
        output: Output,
    },
    /// Pay somebody
    #[command(after_help = "Example:\n  ohc wallet transfer savings 12.50 --yes")]
    Transfer(Transfer),
}

/// `ohc wallet transfer`
#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// The payee: a key of this home by its name, or any public key
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// How many OhC, exactly
    pub(crate) amount: Ohc,
    /// The payer: a key of this home
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub(crate) from: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl WalletVerb {
    /// How the answer is to be reported.
    pub(crate) fn output(&self) -> &Output {
        match self {
            Self::New { output, .. }
            | Self::Import { output, .. }
            | Self::List { output }
            | Self::Show { output, .. }
            | Self::Balance { output, .. } => output,
            Self::Transfer(transfer) => &transfer.output,
        }
    }
}
