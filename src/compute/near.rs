//! What validators accept of a job that was computed fast: an end that is near the exact one. From
//! the claimed end all else that is claimed must follow exactly.
//! Never a matter of who looks: the ends are bytes in the store, the exact one follows from the
//! job's inputs bit for bit, and how far the other is from it is measured in f64 in one order. Each
//! kind of job has a measure of its own: `train/near.rs`, `embed/near.rs`.

use super::Fault;

/// The ends of a segment.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// The state at its beginning; empty where the job has no states.
    pub begin: &'a [u8],
    /// The state at its end or, where the job has none, its first output: by the exact kernels.
    pub exact: &'a [u8],
    /// The same as it is claimed.
    pub claimed: &'a [u8],
}

/// Why a claimed end is not accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Far {
    /// It differs from the exact one by so much, as a share of what the job's
    /// [`Tolerance`](crate::domain::job::Tolerance) is of.
    Off(f64),
    /// It is none of this job.
    Not(Fault),
}

impl From<Fault> for Far {
    fn from(fault: Fault) -> Self {
        Self::Not(fault)
    }
}
