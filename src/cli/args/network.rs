//! Verbs about networks of several machines.
//! Never reads a file.

use super::output::Output;
use crate::domain::milestone::Checkpoint;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `ohc network`
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkVerb {
    /// Found a network: its first page, and a key and a configuration for every node
    #[command(after_help = "Example:\n  ohc network init --validators 4 --workers 2 --out lab\n\n\
        Nothing is overwritten. Each node gets the folder of its name, genesis.yaml and \
        network.yaml, and no other node's key.")]
    Init(Found),
    /// Show a network: its id, who validates it and with which stake, and its parameters
    #[command(after_help = "Example:\n  ohc network show --network lab")]
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// Call a network by a name from now on
    #[command(after_help = "Example:\n  ohc network add lab lab/network.yaml\n\n\
        The names are kept in ~/.config/ohc/config.yaml (OHC_CONFIG, XDG_CONFIG_HOME).")]
    Add {
        /// The name
        name: String,
        /// Its network.yaml, or the folder that it lies in
        path: PathBuf,
        /// The file of the key that pays [default: client/key.pem beside network.yaml]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// What its log must lead by: what `ohc network checkpoint` prints for somebody you trust
        #[arg(long, value_name = "HEIGHT:DIGEST")]
        checkpoint: Option<Checkpoint>,
        #[command(flatten)]
        output: Output,
    },
    /// Print where the validators of a network changed last: who joins compares it
    #[command(after_help = "Examples:\n  ohc network checkpoint --network lab\n  \
        ohc network add lab lab/network.yaml \
         --checkpoint 4200:9c019c019c019c019c019c019c019c019c019c019c019c019c019c019c019c01\n\n\
        Whoever joins with a genesis alone believes its validators, also those who have left with \
        their stake and sign another history. With a checkpoint from somebody you trust, in \
        network.yaml or the config.yaml of a node (`checkpoint:`), or for a name (`add`), a \
        history without it is refused.")]
    Checkpoint {
        #[command(flatten)]
        output: Output,
    },
    /// Mean this network where nothing else is said; embedded is the one in this process
    #[command(after_help = "Examples:\n  ohc network use lab\n  ohc network use embedded")]
    Use {
        /// The name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the networks that have a name
    #[command(after_help = "Example:\n  ohc network list")]
    List {
        #[command(flatten)]
        output: Output,
    },
}

/// `ohc network init`
#[derive(Debug, Args)]
pub(crate) struct Found {
    /// Validators, with equal stakes: of 4 one may fail, of 7 two
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) validators: usize,
    /// Workers, each with 10,000 OhC to put up as bonds
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) workers: usize,
    /// What people will call it
    #[arg(long, default_value = "ohc")]
    pub(crate) name: String,
    /// A server of NATS; more with commas or again
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222"
    )]
    pub(crate) nats: Vec<String>,
    /// Where artifacts lie that all nodes reach: s3://, gs://, az://, or a folder in DIR
    #[arg(long, value_name = "URL", default_value = "store/")]
    pub(crate) store: String,
    /// The folder to make
    #[arg(long, value_name = "DIR", default_value = "network")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc dev`
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Validators
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) validators: usize,
    /// Workers
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) workers: usize,
    /// The folder that all of it is kept in [default: dev/ in the home]
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl NetworkVerb {
    /// How the answer is to be reported.
    pub(crate) fn output(&self) -> &Output {
        match self {
            Self::Init(found) => &found.output,
            Self::Show { output, .. }
            | Self::Add { output, .. }
            | Self::Checkpoint { output }
            | Self::Use { output, .. }
            | Self::List { output } => output,
        }
    }
}
