//! Verbs that run a node of a network.
//! Never reads its configuration.

use super::output::Output;
use crate::domain::classes::Classes;
use crate::node::worker::Hours;
use clap::Args;
use std::path::PathBuf;

/// `ohc worker`
#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// Its config.yaml, or the folder that it lies in
    #[arg(long, value_name = "PATH")]
    pub(crate) config: PathBuf,
    /// Ask so many nano-OhC per unit of work [default: `ask` of the configuration, else a fifth
    /// below the network's first base price]
    #[arg(long, value_name = "NANO", allow_negative_numbers = true)]
    pub(crate) price: Option<u64>,
    /// Take on so many units of work at a time [default: `capacity` of the configuration, else
    /// what a short training shows that it does in a second]
    #[arg(long, value_name = "UNITS")]
    pub(crate) capacity: Option<u64>,
    /// Take on these kinds of jobs alone, as `uses:` names them, such as train,evaluate: a block
    /// that has others too goes to somebody else [default: `classes` of the configuration, else
    /// all]
    #[arg(long, value_name = "KIND,…", value_parser = classes)]
    pub(crate) classes: Option<Classes>,
    /// Compute so many blocks at a time, on as many cores [default: `threads` of the configuration,
    /// else one per core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Take on work at these times alone, in UTC, such as 22:00-06:00 [default: `hours` of the
    /// configuration, else always]
    #[arg(long, value_name = "FROM-UNTIL", value_parser = hours)]
    pub(crate) hours: Option<Hours>,
    /// End after so many blocks, once they are paid [default: `maxBlocks` of the configuration,
    /// else never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_blocks: Option<u64>,
    /// Have validators sign each request to the network's store while it holds a lease, instead of
    /// credentials in its environment: for stores at s3:// [default: `presigned` of the
    /// configuration, else of network.yaml, else no]
    #[arg(long)]
    pub(crate) presigned: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn hours(text: &str) -> Result<Hours, String> {
    Hours::read(text).ok_or_else(|| "write two times of a day in UTC: 22:00-06:00".to_owned())
}

fn classes(text: &str) -> Result<Classes, String> {
    Classes::read(text).ok_or_else(|| format!("write some of {}", Classes::known()))
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if (1..=256).contains(&threads) => Ok(threads),
        _ => Err("write a number from 1 to 256".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::outline;

    #[test]
    fn all_kinds_are_taken_as_a_manifest_names_them() {
        for kind in outline::kinds() {
            assert!(classes(kind.name()).is_ok(), "{}", kind.name());
        }
        assert_eq!(classes("tokenize"), classes("transform"));
        assert!(classes("tokenise").is_err());
    }
}
