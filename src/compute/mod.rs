//! L2, work: the deterministic execution of one job; bytes in, bytes and digests out.
//! Opens no file or socket, reads no clock, and gives the same bytes for the same job on any
//! machine, with any number of threads, in debug and release.

pub mod backing;
pub mod bench;
pub mod compare;
mod delta;
pub mod device;
pub mod embed;
pub mod encoder;
pub mod evaluate;
mod exact;
pub mod examples;
pub mod export;
mod formula;
pub mod generate;
pub mod job;
pub mod kernel;
pub mod llama;
mod machine;
pub mod made;
pub mod memory;
pub mod merge;
pub mod model;
mod near;
mod op;
pub mod optim;
pub mod perplexity;
pub mod port;
pub mod predict;
pub mod predictor;
pub mod profile;
pub mod recipe;
pub mod rows;
pub mod split;
pub mod state;
pub mod table;
pub mod tokenizer;
pub mod train;
pub mod transform;

use crate::base::canon::Digest;
pub use machine::Machine;
pub use near::{Ends, Far};
use std::convert::Infallible;
pub use train::Traced;

/// A deterministic failure: every honest worker that runs this job fails with the same words.
/// A failure of the host (no memory, killed) is not one of these: it is no result at all. One that
/// a job meets on its way, such as a full disk, is [`Cause::Machine`], and ends there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong, in the words of the manifest's author.
    pub message: String,
    /// What to do about it; empty if there is nothing to say.
    pub hint: String,
    /// By what, for whoever has other advice to give than a manifest's author needs. No receipt
    /// says it.
    pub cause: Cause,
}

/// By what a job fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// By itself.
    Job,
    /// By its bound of memory: with another one it may not.
    Memory,
    /// By a cell of a source that is not of the kind that its column was declared to be.
    Cell,
    /// By the machine that it runs on: that is no result at all, and no receipt may say it.
    Machine,
}

impl Fault {
    /// Something has more bytes than an artifact may: on every machine the same, and no reason to
    /// try again.
    #[must_use]
    pub fn too_large(what: &str, bytes: usize, most: usize) -> Self {
        Self::new(
            format!("{what} has {bytes} bytes, more than one artifact may have"),
            format!("take fewer rows or columns, or divide the source: the bound is {most} bytes"),
        )
    }

    /// Something of the machine broke, about which whoever gave it to the job knows more.
    #[must_use]
    pub fn of_machine(message: impl Into<String>) -> Self {
        Self { cause: Cause::Machine, ..Self::new(message, "run the job again, or elsewhere") }
    }

    /// A failure and what to do about it.
    #[must_use]
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), cause: Cause::Job }
    }
}

/// Text from the data, fit for a message: in quotes, escaped, at most 40 characters of it, so that
/// a fault with several of them stays below `limits::TEXT_BYTES_MAX`.
pub(crate) fn quote(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut escaped = text.chars().flat_map(char::escape_debug);
    let shown: String = escaped.by_ref().take(CHARS_MAX).collect();
    let more = if escaped.next().is_some() { "…" } else { "" };
    format!("\"{shown}\"{more}")
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
    /// The learning rate of this step, where there is one.
    pub rate: Option<f32>,
    /// Rows that have been worked on so far, counted again at every pass; 0 where rows mean
    /// nothing.
    pub rows: u64,
}

impl Progress {
    /// Of a job that has one step: it is done.
    pub const WHOLE: Self = Self { step: 1, steps: 1, loss: None, rate: None, rows: 0 };
    /// A job always tells about so many of its steps, however quick they are.
    const POINTS: u64 = 250;

    /// Whether this step is one of those that are always told: the first, the last, and some at
    /// even distances between them, so that a curve of a short job has as many points as that of
    /// a long one.
    #[must_use]
    pub const fn is_point(&self) -> bool {
        let stride = self.steps.div_ceil(Self::POINTS);
        self.step <= 1 || self.step == self.steps || self.step.is_multiple_of(stride)
    }
}

/// Bytes that go into a job or come out of it, under their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name, as in the job's spec.
    pub name: String,
    /// The bytes of the artifact.
    pub bytes: Vec<u8>,
}

/// Measures that a job reports, by name.
pub type Metrics = Vec<(String, f64)>;

/// What a job gives at its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The outputs, in the order of `Spec::outputs`.
    pub outputs: Vec<Named>,
    /// Measures that the job reports, by name.
    pub metrics: Metrics,
}

/// Takes the states of a job, the checkpoints of its receipt, as they come: there is room for all
/// of them nowhere but in a store.
///
/// The k-th is the state at the beginning of segment k; its BLAKE3 digest is what the receipt
/// commits to and also the artifact that an auditor fetches. The last one is the state at the end
/// of the last segment, from which the outputs follow. A job of one segment that is not a training
/// has none: its outputs are all there is to check.
pub type Keep<'a, E> = &'a mut dyn FnMut(Vec<u8>) -> Result<(), E>;

/// Keeps no state: for whoever wants the outputs alone.
pub fn forget(_: Vec<u8>) -> Result<(), Infallible> {
    Ok(())
}

/// Why a job gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<E> {
    /// It fails, whoever runs it.
    Failed(Fault),
    /// A state was not kept, which says nothing about the job.
    Unkept(E),
}

impl<E> From<Fault> for Ended<E> {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl Ended<Infallible> {
    /// Of a job whose states nobody wants to keep, so that it can only fail.
    #[must_use]
    pub fn fault(self) -> Fault {
        let Self::Failed(fault) = self;
        fault
    }
}

/// What an auditor gets from computing one segment again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The digest of the state at its beginning: what checkpoint k must be; none likewise.
    pub begin: Option<Digest>,
    /// The state at the end of the segment; none if the job has no checkpoints.
    pub state: Option<Vec<u8>>,
    /// What only he knows who computed it: the digest of a state in between, or of all outputs.
    pub trace: Digest,
    /// The outputs and metrics, if the segment is the last one.
    pub outputs: Option<(Vec<Named>, Metrics)>,
}

impl Replayed {
    /// What the segment ends in: the state or, of a job that has none, the first output.
    #[must_use]
    pub fn end(&self) -> Option<&[u8]> {
        let outputs = || self.outputs.as_ref().and_then(|(outputs, _)| outputs.first());
        self.state.as_deref().or_else(|| outputs().map(|named| named.bytes.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_curve_has_its_ends_and_a_bounded_number_of_points(steps in 1u64..5_000) {
            let at = |step| Progress { step, steps, ..Progress::WHOLE }.is_point();
            let points = (1..=steps).filter(|step| at(*step)).count() as u64;
            prop_assert!(at(1) && at(steps));
            prop_assert!(points <= Progress::POINTS + 2);
            prop_assert!(points >= (Progress::POINTS / 2).min(steps));
        }
    }
}
