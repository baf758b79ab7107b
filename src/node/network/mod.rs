//! The files of a network: what everybody must have (`genesis.yaml`), what it takes to reach it
//! (`network.yaml`), and what one node is (`config.yaml`). Reads and writes them, and connects to
//! nothing.

mod choice;
mod config;
mod document;
mod fields;
mod founding;
mod guard;
mod page;
mod reach;

pub use choice::{Chosen, Context, Contexts, EMBEDDED, Surroundings, choose};
pub use config::{Config, Fleet, Part};
pub use document::Document;
pub use founding::{Founded, Founding, begin_homes, found};
pub use reach::{Network, Tls};

use crate::base::canon::Digest;
use crate::domain::genesis::GenesisError;
use crate::domain::manifest::Diagnostic;
use crate::effects::keyring::KeyringError;
use crate::node::voter::VoterError;
use std::io;
use std::path::{Path, PathBuf};

/// The file of a network in its folder.
pub const NETWORK_FILE: &str = "network.yaml";
/// The file of a node in its folder.
pub const CONFIG_FILE: &str = "config.yaml";
/// The longest name of a network or context.
const NAME_BYTES_MAX: usize = 40;

/// Why a network's files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A home cannot be begun.
    #[error(transparent)]
    Voter(#[from] VoterError),
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}; hint: check the path and its permissions",
        .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file says what it cannot say.
    #[error("{} is not right:{}", .path.display(), all(.faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// What is in it.
        text: String,
        /// All that is wrong with it.
        faults: Vec<Diagnostic>,
    },
    /// A file is another one of ours than the one that is wanted.
    #[error("{} is {}, not {}; hint: {}", .path.display(), .is.what(), .wanted.what(),
        .is.instead_of(*.wanted))]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What it is.
        is: Document,
        /// What it should be.
        wanted: Document,
    },
    /// The genesis cannot start a network.
    #[error("{} can start no network: {error}; hint: take the file that the founders gave out",
        .path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        error: GenesisError,
    },
    /// The genesis is another one than the network's file says.
    #[error("{} is the genesis of another network: its digest is {found}, and {} names {asked}; \
        hint: take both files from the founders", .path.display(), .by.display())]
    Other {
        /// The genesis.
        path: PathBuf,
        /// The file that names it.
        by: PathBuf,
        /// What it should be.
        asked: Digest,
        /// What it is.
        found: Digest,
    },
    /// A name that cannot be one.
    #[error(
        "`{name}` cannot be the name of a network; hint: begin with a letter and use letters, \
        digits, `-` and `_`, {NAME_BYTES_MAX} at most"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Nobody has said where that network is.
    #[error("there is no network `{name}`{}; hint: `ohc network add {name} PATH` says where its \
        files are, and `ohc network list` what is known", .near.as_deref().unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// What may be meant.
        near: Option<String>,
    },
    /// Something is in the way.
    #[error("{} is there already; hint: choose another folder with --out, or move that one away: \
        no key and no genesis is ever overwritten", .path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// What was asked for cannot be founded.
    #[error("{what}; hint: {hint}")]
    Founding {
        /// Why.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A key cannot be made.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

fn all(faults: &[Diagnostic]) -> String {
    faults.iter().map(|fault| format!("\n{fault}")).collect()
}

/// The folder that a file lies in.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name that can be that of a file everywhere.
fn named(text: &str) -> Option<String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_name = text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(is_letter);
    is_name.then(|| text.to_owned())
}

/// An address, or the path of a folder that is relative to `base`.
fn place(base: &Path, text: &str) -> String {
    match text.contains("://") {
        true => text.to_owned(),
        false => base.join(text).display().to_string(),
    }
}

#[cfg(test)]
mod tests;
