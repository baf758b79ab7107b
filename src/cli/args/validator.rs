//! `ohc validator`.
//! Never reads its configuration.

use super::output::Output;
use clap::Args;
use std::path::PathBuf;

/// `ohc validator`
#[derive(Debug, Args)]
pub(crate) struct Validator {
    /// Its config.yaml, or the folder that it lies in
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}
