//! Names of things in the log: runs, jobs, blocks, leases. Never interchangeable, never a digest:
//! the fold numbers them in the order in which it meets them.

use super::canon::{canonical_newtype, canonical_struct};
use std::fmt;
use std::str::FromStr;

/// One application of one manifest: the n-th submission that the fold accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId(pub u32);

/// One job of a run: its place in the topological order of the plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(pub u32);

canonical_newtype!(RunId, JobId);

impl JobId {
    /// The place in the plan's list of jobs.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One block of a run: its place in the plan's list of blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockId {
    /// The run that offers it.
    pub run: RunId,
    /// Its place in the plan's list of blocks.
    pub index: u32,
}
canonical_struct!(BlockId { run, index });

/// One attempt of one worker at one block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId {
    /// The block.
    pub block: BlockId,
    /// 1 for the first attempt.
    pub attempt: u32,
}
canonical_struct!(LeaseId { block, attempt });

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run-{}", self.0)
    }
}

impl FromStr for RunId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("run-").unwrap_or(text).parse().map(Self)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.index)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.block, self.attempt)
    }
}
