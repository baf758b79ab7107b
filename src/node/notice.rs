//! Notices: operational happenings as values. Never truth: no rule depends on one, and a node
//! that misses all of them ends in the same state.

use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::PublicKey;
use crate::compute::Progress;

/// Something that people may want to see while it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A worker has begun a job.
    Began {
        /// Who.
        worker: PublicKey,
        /// Under which lease.
        lease: LeaseId,
        /// Which job.
        job: JobId,
        /// `stage` or `stage@instance`.
        address: String,
    },
    /// A worker got so far in the job that it began last under this lease.
    Step {
        /// Under which lease.
        lease: LeaseId,
        /// How far.
        progress: Progress,
    },
}
