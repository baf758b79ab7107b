//! What an event is about: a run, a block of it, an attempt at that. Never reads more of it.

use super::Event;
use crate::base::ids::{BlockId, LeaseId, RunId};

impl Event {
    /// The run that it is about.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Submitted { run, .. }
            | Self::Cached { run, .. }
            | Self::Paused { run, .. }
            | Self::Resumed { run, .. }
            | Self::Failed { run, .. }
            | Self::Skipped { run, .. }
            | Self::Ended { run, .. } => Some(*run),
            _ => self.block().map(|block| block.run),
        }
    }

    /// The block that it is about.
    #[must_use]
    pub fn block(&self) -> Option<BlockId> {
        match self {
            Self::Offered { block, .. }
            | Self::Repriced { block, .. }
            | Self::GivenUp { block, .. }
            | Self::Opening { block, .. }
            | Self::Tendered { block, .. }
            | Self::BidSealed { block, .. }
            | Self::BidTold { block, .. }
            | Self::BidLost { block, .. } => Some(*block),
            _ => self.lease().map(|lease| lease.block),
        }
    }

    /// The attempt that it is about.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Leased { lease, .. }
            | Self::Lapsed { lease, .. }
            | Self::Released { lease, .. }
            | Self::Delivered { lease, .. }
            | Self::Drawn { lease, .. }
            | Self::Disputed { lease, .. }
            | Self::Overruled { lease, .. }
            | Self::Slashed { lease, .. }
            | Self::Redrawn { lease, .. }
            | Self::Lazy { lease, .. }
            | Self::Narrowed { lease, .. }
            | Self::Challenged { lease, .. }
            | Self::Dismissed { lease, .. }
            | Self::Revoked { lease, .. }
            | Self::Voided { lease, .. }
            | Self::Settled { lease, .. }
            | Self::Late { lease, .. }
            | Self::Sealed { lease, .. } => Some(*lease),
            _ => None,
        }
    }
}
