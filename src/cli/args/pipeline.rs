//! Verbs about a pipeline: check it, plan it, apply it.
//! Never reads a manifest.

use super::output::{Findings, Output};
use crate::base::amount::Ohc;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `--param`, in every verb that reads a pipeline.
#[derive(Debug, Args)]
pub(crate) struct Params {
    /// Set a parameter of the manifest; may be repeated
    #[arg(short = 'p', long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
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

/// `ohc apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// The pipeline
    pub(crate) manifest: PathBuf,
    #[command(flatten)]
    pub(crate) params: Params,
    /// Spend at most so many OhC [default: the manifest's budget, else the highest quote]
    #[arg(long, value_name = "OHC")]
    pub(crate) budget: Option<Ohc>,
    /// Workers of the embedded network [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Show the plan and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask, though neither the manifest nor --budget says what it may cost
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: Output,
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
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `ohc validate`
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The pipelines
    #[arg(required = true)]
    pub(crate) manifests: Vec<PathBuf>,
    /// How to report the faults
    #[arg(short = 'o', long = "format", visible_alias = "output", value_enum,
        default_value_t = Findings::Text)]
    pub(crate) format: Findings,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaKind {
    /// The manifest of a pipeline.
    Pipeline,
}
