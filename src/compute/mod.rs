//! L2, work: the deterministic execution of one job; bytes in, bytes and digests out.
//! Opens no file or socket, reads no clock, and gives the same bytes for the same job on any
//! machine, with any number of threads, in debug and release.

pub mod bench;
pub mod classifier;
pub mod examples;
mod graph;
pub mod kernel;
pub mod model;
pub mod optim;
pub mod state;
pub mod train;

/// A deterministic failure: every honest worker that runs this job fails with the same words.
/// A failure of the host (no memory, killed) is not one of these: it is no result at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong, in the words of the manifest's author.
    pub message: String,
    /// What to do about it; empty if there is nothing to say.
    pub hint: String,
}

/// How far a job is: for people, never for rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The training loss at this step, where there is one.
    pub loss: Option<f32>,
}

/// Bytes that go into a job or come out of it, under their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name, as in the job's spec.
    pub name: String,
    /// The bytes of the artifact.
    pub bytes: Vec<u8>,
}

/// What a job gives.
///
/// `checkpoints[k]` is the state at the beginning of segment k; its BLAKE3 digest is what the
/// receipt commits to and also the artifact that an auditor fetches. The last one is the state at
/// the end of the last segment, from which the outputs follow. A job of one segment that is not a
/// training has none: its outputs are all there is to check.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The outputs, in the order of `Spec::outputs`.
    pub outputs: Vec<Named>,
    /// Segment boundaries: empty, or one more than there are segments.
    pub checkpoints: Vec<Vec<u8>>,
    /// Measures that the job reports, by name.
    pub metrics: Vec<(String, f64)>,
}
