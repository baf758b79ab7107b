//! Proof of History: a SHA-256 chain of ticks that orders mixins and counts time.
//! Never knows what it orders, and never reads a clock: a tick is a number of hashes.
//!
//! The chain is Solana's (anza-xyz/agave, `entry/src/poh.rs`): a *link* is `h ← SHA256(h)`, the
//! last link of an entry that carries something is `h ← SHA256(h ‖ mixin)`. The last hash of a tick
//! is reserved for the tick, so no tick swallows a mixin. An entry can be checked alone once the
//! hash before it is known, so a whole log is checked in parallel.
//!
//! It proves that at least so many hashes were computed one after another: an order and a lower
//! bound of time, no more. Safety rests on agreement.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod chain;
mod link;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
mod verify;

pub use chain::Chain;
pub use verify::{PohFault, Segment, SegmentFault, Wrong, verify, verify_many};

use crate::base::canon::{Digest, canonical_struct};

/// How a chain is divided into ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// Hashes from one tick to the next. Fewer than 2 counts as 2: with one there is no room for
    /// a mixin beside the tick.
    pub hashes_per_tick: u64,
}
canonical_struct!(Params { hashes_per_tick });

impl Params {
    /// Hashes from one tick to the next, as the rules use it.
    #[must_use]
    pub fn per_tick(self) -> u64 {
        self.hashes_per_tick.max(2)
    }
}

/// One link of the log: a number of hashes and where they end. Without a mixin it is a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Hashes since the entry before, at least 1; the last one takes the mixin in.
    pub hashes: u64,
    /// The hash after them.
    pub hash: Digest,
    /// What was mixed in with the last hash; `None` for a tick.
    pub mixin: Option<Digest>,
}
canonical_struct!(Entry { hashes, hash, mixin } tag "ohc/poh-entry/1");

/// A place on a chain, right after an entry (or at the start).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The hash there.
    pub hash: Digest,
    /// Ticks since the chain began.
    pub ticks: u64,
    /// Hashes since the last tick; less than the hashes of a tick.
    pub position: u64,
}
canonical_struct!(Place { hash, ticks, position });

impl Place {
    /// The beginning of a chain.
    #[must_use]
    pub const fn start(hash: Digest) -> Self {
        Self { hash, ticks: 0, position: 0 }
    }

    /// Hashes left until the tick, the tick's own included; 0 for a place that no chain reaches.
    #[must_use]
    pub fn left(&self, params: Params) -> u64 {
        params.per_tick().saturating_sub(self.position)
    }

    /// The place after `entry`, whose shape has been checked.
    pub fn after(self, entry: &Entry) -> Self {
        match entry.mixin {
            None => Self { hash: entry.hash, ticks: self.ticks.saturating_add(1), position: 0 },
            Some(_) => Self {
                hash: entry.hash,
                position: self.position.saturating_add(entry.hashes),
                ..self
            },
        }
    }
}

/// `links` links by the plain interface of the `sha2` crate: what [`Chain`] is measured against.
#[must_use]
pub fn plain(hash: Digest, links: u64) -> Digest {
    use sha2::Digest as _;
    (0..links).fold(hash, |hash, _| Digest(sha2::Sha256::digest(hash.0).into()))
}
