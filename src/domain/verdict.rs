//! Verdicts: which parts of a receipt are re-executed, by whom, and what validators conclude.
//! Never knows money.

use crate::base::canon::{Canonical, Digest, Encode, Writer, canonical_enum, canonical_struct};
use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::PublicKey;
use std::collections::BTreeSet;

/// How much of a stage's work is checked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verification {
    /// A receipt is drawn with this probability, and then so many of its segments.
    Audit {
        /// Parts per million.
        rate_ppm: u32,
        /// Segments of a drawn receipt.
        segments: u32,
    },
    /// Every segment of every receipt.
    Full,
    /// Only the cheap checks that every validator does: the artifacts exist and hash right.
    None,
    /// So many different workers do the same; where they disagree, all of it is checked again.
    Replicate {
        /// At least 2.
        workers: u32,
    },
}

impl Verification {
    /// Whether a result that passed this was checked at least as well as `wanted` asks for: as
    /// often, and in as many segments.
    #[must_use]
    pub const fn covers(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Full, _) | (_, Self::None) => true,
            (Self::Replicate { workers }, Self::Replicate { workers: wanted }) => workers >= wanted,
            // Agreement of several is no sample, and a sample is no agreement.
            (Self::None | Self::Replicate { .. }, _) | (_, Self::Full | Self::Replicate { .. }) => {
                false
            }
            (
                Self::Audit { rate_ppm, segments },
                Self::Audit { rate_ppm: rate_wanted, segments: segments_wanted },
            ) => rate_ppm >= rate_wanted && segments >= segments_wanted,
        }
    }
}

/// One million parts.
pub const PPM: u32 = 1_000_000;

/// Where audits get their chance from: the chain after the receipt was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub Digest);

struct SeedSource {
    chain: Digest,
}
canonical_struct!(SeedSource { chain } tag "ohc/seed/1");

struct Roll<'a> {
    seed: Digest,
    purpose: &'a str,
    lease: LeaseId,
    n: u32,
}

impl Encode for Roll<'_> {
    fn encode(&self, w: &mut Writer) {
        self.seed.encode(w);
        self.purpose.encode(w);
        self.lease.encode(w);
        self.n.encode(w);
    }
}

impl Canonical for Roll<'_> {
    const TAG: &'static str = "ohc/roll/1";
}

impl Seed {
    /// The seed of a slot: the hash at which its Proof-of-History segment ends.
    #[must_use]
    pub fn of_chain(chain: Digest) -> Self {
        Self(SeedSource { chain }.digest())
    }

    /// A number below `n` (at least 1), the same on every node. The bias is below 2^-32 · n.
    #[must_use]
    pub fn below(&self, n: u32, purpose: &str, lease: LeaseId, draw: u32) -> u32 {
        let roll = Roll { seed: self.0, purpose, lease, n: draw }.digest();
        let word = roll.0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let product = u128::from(word) * u128::from(n.max(1));
        u32::try_from(product >> 64).unwrap_or(0)
    }
}

/// A segment of one job of a receipt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Segment {
    /// The job.
    pub job: JobId,
    /// Its segment, from 0.
    pub index: u32,
}
canonical_struct!(Segment { job, index });

/// What was drawn for one receipt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Who re-executes; empty if nothing was drawn.
    pub committee: Vec<PublicKey>,
    /// What, ascending.
    pub segments: Vec<Segment>,
}
canonical_struct!(Audit { committee, segments });

/// Draws the audit of one receipt from a seed that is younger than it.
#[must_use]
pub fn draw(
    seed: Seed,
    lease: LeaseId,
    policy: Verification,
    all: &[Segment],
    validators: &[PublicKey],
    committee: u32,
) -> Audit {
    let segments: Vec<Segment> = match policy {
        Verification::None | Verification::Replicate { .. } => Vec::new(),
        Verification::Full => all.to_vec(),
        Verification::Audit { rate_ppm, segments } => {
            if seed.below(PPM, "audit", lease, 0) < rate_ppm {
                choose(seed, "segment", lease, all, segments)
            } else {
                Vec::new()
            }
        }
    };
    if segments.is_empty() {
        return Audit::default();
    }
    Audit { committee: choose(seed, "committee", lease, validators, committee), segments }
}

/// Chooses `k` of `items` without replacement; the result keeps their order.
fn choose<T: Copy>(seed: Seed, purpose: &str, lease: LeaseId, items: &[T], k: u32) -> Vec<T> {
    let n = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let mut chosen = BTreeSet::new();
    // Robert Floyd's sample: k draws, no shuffle of the whole.
    for (draw, top) in (n.saturating_sub(k)..n).enumerate() {
        let draw = u32::try_from(draw).unwrap_or(u32::MAX);
        let pick = seed.below(top + 1, purpose, lease, draw);
        if !chosen.insert(pick) {
            chosen.insert(top);
        }
    }
    chosen.iter().filter_map(|i| items.get(*i as usize).copied()).collect()
}

/// What one validator concludes about exactly one receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The lease that the receipt answers.
    pub lease: LeaseId,
    /// The receipt.
    pub receipt: Digest,
    /// The conclusion.
    pub finding: Finding,
}
canonical_struct!(Verdict { lease, receipt, finding } tag "ohc/verdict/1");

/// What a validator found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The artifacts are there, and what this validator had to re-execute gave the same digests.
    Agree,
    /// This segment gives something else, or cannot be replayed from what was delivered.
    Object {
        /// Where.
        segment: Segment,
        /// What honest execution gives; none if an artifact is missing or damaged.
        honest: Option<Digest>,
    },
    /// Somebody else objects to this segment, but it is as the receipt says.
    Deny {
        /// Where.
        segment: Segment,
    },
}
canonical_enum!(Finding { 1 => Agree, 2 => Object { segment, honest }, 3 => Deny { segment } });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BlockId, RunId};
    use proptest::prelude::*;

    fn lease(index: u32) -> LeaseId {
        LeaseId { block: BlockId { run: RunId(1), index }, attempt: 1 }
    }

    fn segments(n: u32) -> Vec<Segment> {
        (0..n).map(|index| Segment { job: JobId(0), index }).collect()
    }

    #[test]
    fn a_quarter_of_the_receipts_is_drawn_at_a_rate_of_a_quarter() {
        let seed = Seed::of_chain(Digest::of(b"slot"));
        let policy = Verification::Audit { rate_ppm: 250_000, segments: 1 };
        let validators = [PublicKey([1; 32])];
        let drawn = (0..4_000)
            .filter(|i| {
                !draw(seed, lease(*i), policy, &segments(8), &validators, 3).segments.is_empty()
            })
            .count();
        assert!((900..1_100).contains(&drawn), "{drawn} of 4000");
    }

    proptest! {
        #[test]
        fn a_draw_is_a_subset_of_the_size_asked_for(n in 0u32..40, k in 0u32..50, salt: u64) {
            let seed = Seed::of_chain(Digest::of(&salt.to_le_bytes()));
            let all = segments(n);
            let picked = choose(seed, "test", lease(0), &all, k);
            prop_assert_eq!(picked.len() as u32, n.min(k));
            prop_assert!(picked.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
