//! Kernels: f32 arithmetic with one fixed order of operations for every output element.
//! Never gives bits that depend on the instruction set, the number of threads or the build: only
//! `+ - * / sqrt fma`, selects and integer operations, in an order that the source fixes.
//!
//! No system libm is called (its last bit differs between systems); an [`Engine`] only says how
//! fast the same bits are made.

pub mod adamw;
pub mod attention;
pub mod bag;
pub mod batch_norm;
pub(super) mod bytes;
pub mod codes;
pub mod conv;
pub mod cores;
pub mod dense;
pub mod dropout;
pub mod elementary;
pub mod embedding;
mod gather;
pub mod gelu;
pub mod group_norm;
pub mod isa;
pub mod layer_norm;
pub mod lion;
pub mod loss;
pub mod matmul;
pub mod mean;
pub mod merge;
mod pack;
pub mod peak;
pub mod philox;
pub mod pool;
pub mod reduce;
pub mod rms_norm;
pub mod sgd;
pub mod softmax;
pub mod spare;
pub mod sweep;
pub mod swiglu;
mod team;
mod tile;

pub use isa::Isa;

/// The most threads that one kernel is divided over.
const THREADS_MAX: usize = 64;
/// Numbers, each looked at once, below which a thread costs more than it saves: some µs.
const WORTH_A_THREAD: usize = 1 << 13;

/// How kernels run on this machine. Changes how long a result takes, never a bit of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// The instruction set.
    pub isa: Isa,
    threads: Threads,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    Fixed(usize),
    /// As many as the job has cores at the moment.
    Shared,
}

impl Engine {
    /// The best instruction set of this CPU, with `threads` threads (1 to 64, clamped).
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::with(Isa::best(), threads)
    }

    /// A given instruction set, with `threads` threads (1 to 64, clamped).
    #[must_use]
    pub fn with(isa: Isa, threads: usize) -> Self {
        Self { isa, threads: Threads::Fixed(threads.clamp(1, THREADS_MAX)) }
    }

    /// The number of threads, at this moment.
    #[must_use]
    pub fn threads(self) -> usize {
        match self.threads {
            Threads::Fixed(threads) => threads,
            Threads::Shared => cores::of_a_job().min(THREADS_MAX),
        }
    }

    /// Does every part, side by side where there are several threads.
    pub(super) fn share<T: Send>(self, parts: impl Iterator<Item = T>, run: impl Fn(T) + Sync) {
        let threads = self.threads();
        if threads == 1 {
            return parts.for_each(run);
        }
        team::share(threads, parts.collect(), run);
    }

    /// Rows of a part, so that each thread has one; all of them where they are few.
    pub(super) fn rows_each(self, rows: usize, width: usize) -> usize {
        let worth = rows.saturating_mul(width) / WORTH_A_THREAD;
        rows.div_ceil(self.threads().min(worth).max(1)).max(1)
    }

    /// The same for columns, in whole lines of the cache.
    fn columns_each(self, rows: usize, width: usize) -> usize {
        self.rows_each(width, rows).next_multiple_of(16)
    }
}

impl Default for Engine {
    /// What a job has: its share of the cores ([`cores`]).
    fn default() -> Self {
        Self { isa: Isa::best(), threads: Threads::Shared }
    }
}

/// A moment of an optimiser, or zero once it is below the normal range. Without gradients it would
/// get stuck there, where nine tenths of four are rounded to four: processors take a hundred times
/// as long for it, and Lion would go on by its sign for ever.
#[inline(always)]
fn spent(moment: f32) -> f32 {
    // A NaN stays one, so that it is found.
    if moment.abs() < f32::MIN_POSITIVE { 0.0 } else { moment }
}

#[cfg(test)]
pub(crate) mod golden {
    //! The digests of results that may never change without a new ops version.

    use super::Engine;
    use crate::base::canon::Digest;

    /// First digits of the BLAKE3 digest of the little-endian bytes.
    const DIGESTS: &[(&str, &str)] = &[
        ("matmul", "19ee53436172"),
        ("exp", "16db6001e6b5"),
        ("ln", "7fe54e5cb3c1"),
        ("tanh", "4615b71411e4"),
        ("encoder", "505836eeac9e"),
        ("attention", "126f7422876d"),
        ("gelu", "96490672d5d6"),
        ("layer norm", "45b8c76d6607"),
        ("rms norm", "a94379eb8638"),
        ("bag", "e63ae56b0a9e"),
        ("losses", "67ef3c69f7f9"),
        ("sgd", "5478613754c1"),
        ("lion", "e3141c258cf9"),
        ("conv", "1f80e2ad8c8f"),
        ("pool", "a30ea6feb097"),
        ("batch norm", "d0f176c95694"),
        ("group norm", "18577a1bfbce"),
        ("dropout", "454767eba655"),
        ("merge", "b21e691742c4"),
        ("codes", "2bbde5570ecf"),
        ("swiglu", "1eb7e60e56e0"),
        ("mean", "53dc3e53a99c"),
        ("llama", "ccf698624950"),
    ];

    /// The bits are the same with one thread and with several.
    #[track_caller]
    pub(crate) fn same_with_threads(all: impl Fn(Engine) -> Vec<f32>) {
        let bits = |threads| all(Engine::new(threads)).iter().map(|x| x.to_bits()).collect();
        let expect: Vec<u32> = bits(1);
        assert!((2..=8).all(|threads| bits(threads) == expect));
    }

    #[track_caller]
    pub(crate) fn check(values: &[f32], name: &str) {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let expect = DIGESTS.iter().find(|(known, _)| *known == name).map(|(_, digest)| *digest);
        assert_eq!(Some(Digest::of(&bytes).short().as_str()), expect, "{name}");
    }
}
