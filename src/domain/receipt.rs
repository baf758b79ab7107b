//! Receipts: what a worker claims to have computed under one lease.
//! Never says whether the claim is true: `verdict` does.

use crate::base::canon::{Canonical, Digest, canonical_enum, canonical_struct};
use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::PublicKey;
use crate::base::limits::{
    METRICS_PER_JOB_MAX, OUTPUTS_PER_JOB_MAX, SEGMENTS_PER_JOB_MAX, TEXT_BYTES_MAX,
};

/// A worker's claim about the block of one lease.
#[derive(Clone, PartialEq, Debug)]
pub struct Receipt {
    /// The one lease that it answers.
    pub lease: LeaseId,
    /// What came out.
    pub outcome: Outcome,
}
canonical_struct!(Receipt { lease, outcome } tag "ohc/receipt/2");

/// What came out of a block.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Every job has a result, in the order in which the lease lists them.
    Done(Vec<Claim>),
    /// A job fails for every honest worker: a result too, and audited like one.
    Failed {
        /// The job.
        job: JobId,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
        /// What it fails by.
        flaw: Flaw,
    },
}
canonical_enum!(Outcome { 1 => Done(x), 2 => Failed { job, message, hint, flaw } });

/// What a job fails by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// By what it is and takes in: it fails whatever it may take.
    Job,
    /// By its bound of memory: with another one it may not.
    Memory,
}
canonical_enum!(Flaw { 1 => Job, 2 => Memory });

/// What a worker claims about one job.
#[derive(Clone, PartialEq, Debug)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// Digests of the outputs, in the order of `Spec::outputs`.
    pub outputs: Vec<Digest>,
    /// Bytes of the outputs and checkpoints: what validators must be able to fetch.
    pub bytes: u64,
    /// Bytes of the inputs that were fetched: those of jobs of the same block were at hand.
    pub read: u64,
    /// Bytes of the outputs, which those fetch who need them.
    pub given: u64,
    /// Digests of the states at the segment boundaries: none, or one more than segments.
    pub segments: Vec<Digest>,
    /// Measures by name.
    pub metrics: Vec<(String, f64)>,
}
canonical_struct!(Claim { job, outputs, bytes, read, given, segments, metrics });

/// A promise to give an answer that nobody can read yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The lease that is answered.
    pub lease: LeaseId,
    /// Digest of the answer, of who gives it, and of a salt.
    pub seal: Digest,
}
canonical_struct!(Seal { lease, seal });

/// A sealed answer, told.
#[derive(Clone, PartialEq, Debug)]
pub struct Opening {
    /// The answer.
    pub receipt: Receipt,
    /// What kept anybody from guessing it.
    pub salt: Digest,
}
canonical_struct!(Opening { receipt, salt });

struct SealSource {
    receipt: Digest,
    worker: PublicKey,
    salt: Digest,
}
canonical_struct!(SealSource { receipt, worker, salt } tag "ohc/seal/1");

/// What a worker signs to make the salt of a lease, and shows nobody: after a restart it makes the
/// same again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SaltOf {
    /// The lease.
    pub lease: LeaseId,
}
canonical_struct!(SaltOf { lease } tag "ohc/salt/1");

impl Opening {
    /// The seal that a worker puts on it. It holds the worker's name: a seal that is copied cannot
    /// be opened.
    #[must_use]
    pub fn seal(&self, worker: PublicKey) -> Digest {
        SealSource { receipt: self.receipt.id(), worker, salt: self.salt }.digest()
    }
}

/// A number that can be written and read back, under a name of bounded length.
fn is_metric((name, value): &(String, f64)) -> bool {
    name.len() <= TEXT_BYTES_MAX && value.is_finite()
}

impl Receipt {
    /// The name of this receipt in verdicts.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.digest()
    }

    /// What it claims about a job; none if it claims a failure.
    #[must_use]
    pub fn claim(&self, job: JobId) -> Option<&Claim> {
        match &self.outcome {
            Outcome::Done(claims) => claims.iter().find(|claim| claim.job == job),
            Outcome::Failed { .. } => None,
        }
    }

    /// Whether every list, text and number is within its bound.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match &self.outcome {
            Outcome::Done(claims) => claims.iter().all(|claim| {
                claim.outputs.len() <= OUTPUTS_PER_JOB_MAX
                    && claim.segments.len() <= SEGMENTS_PER_JOB_MAX + 1
                    && claim.metrics.len() <= METRICS_PER_JOB_MAX
                    && claim.metrics.iter().all(is_metric)
            }),
            Outcome::Failed { message, hint, .. } => {
                message.len() <= TEXT_BYTES_MAX && hint.len() <= TEXT_BYTES_MAX
            }
        }
    }
}
