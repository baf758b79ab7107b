//! Verbs about keys and money.
//! Never reads a key.

use super::output::Output;
use clap::Subcommand;

/// `ohc wallet`
#[derive(Debug, Subcommand)]
pub(crate) enum WalletVerb {
    /// The keys of this home, and where they lie
    #[command(after_help = "Example:\n  ohc wallet show")]
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// What the client of this home can spend, and what is locked
    #[command(after_help = "Example:\n  ohc wallet balance -o json")]
    Balance {
        #[command(flatten)]
        output: Output,
    },
}
