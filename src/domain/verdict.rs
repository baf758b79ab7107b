//! Verdicts: which parts of a receipt are re-executed, by whom, and what validators conclude.
//! Never knows money.

use super::beacon::Seed;
use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Digest, Encode, Writer, canonical_enum, canonical_struct};
use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::{NetworkId, PublicKey, SecretKey};

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

/// Draws the audit of one receipt from a seed that is younger than it. Who has more at stake
/// has a seat more often: who spreads a stake over many names has no more seats by it.
#[must_use]
pub fn draw(
    seed: Seed,
    lease: LeaseId,
    policy: Verification,
    all: &[Segment],
    validators: &[(PublicKey, Ohc)],
    committee: u32,
) -> Audit {
    let segments: Vec<Segment> = match policy {
        Verification::None | Verification::Replicate { .. } => Vec::new(),
        Verification::Full => all.to_vec(),
        Verification::Audit { rate_ppm, segments } => {
            if seed.below(PPM, "audit", lease, 0) < rate_ppm {
                seed.choose("segment", lease, all, segments)
            } else {
                Vec::new()
            }
        }
    };
    if segments.is_empty() {
        return Audit::default();
    }
    Audit { committee: seed.choose_by_stake("committee", lease, validators, committee), segments }
}

/// What one validator concludes about exactly one receipt.
///
/// Who re-executes has sealed its verdict before it says it ([`SealedVerdict`]), so that nobody can
/// wait for what others find and say the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The lease that the receipt answers.
    pub lease: LeaseId,
    /// The receipt.
    pub receipt: Digest,
    /// The conclusion.
    pub finding: Finding,
    /// What only re-execution shows: the digest of states that nobody publishes, at steps that the
    /// audit's seed decides. Zero where nothing was to be re-executed.
    pub trace: Digest,
    /// What hides the verdict in its seal.
    pub salt: Digest,
}
canonical_struct!(Verdict { lease, receipt, finding, trace, salt } tag "ohc/verdict/2");

/// A verdict that its author will say later, and cannot change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedVerdict {
    /// The lease that the receipt answers.
    pub lease: LeaseId,
    /// The receipt.
    pub receipt: Digest,
    /// What its audit was drawn with.
    pub seed: Seed,
    /// The digest of the verdict and its author.
    pub seal: Digest,
}
canonical_struct!(SealedVerdict { lease, receipt, seed, seal });

struct SealOf<'a> {
    author: PublicKey,
    verdict: &'a Verdict,
}

impl Encode for SealOf<'_> {
    fn encode(&self, w: &mut Writer) {
        self.author.encode(w);
        self.verdict.encode(w);
    }
}

impl Canonical for SealOf<'_> {
    const TAG: &'static str = "ohc/verdict-seal/1";
}

struct SaltOf {
    network: NetworkId,
    lease: LeaseId,
    receipt: Digest,
    seed: Seed,
}
canonical_struct!(SaltOf { network, lease, receipt, seed } tag "ohc/verdict-salt/2");

/// The salt of a validator's verdict about a receipt whose audit was drawn with this seed. It
/// follows from the key, so that who crashes between seal and verdict says the same again.
#[must_use]
pub fn salt(
    key: &SecretKey,
    network: NetworkId,
    (lease, receipt, seed): (LeaseId, Digest, Seed),
) -> Digest {
    key.derive(&SaltOf { network, lease, receipt, seed })
}

impl Verdict {
    /// The seal of this verdict by its author, about an audit that was drawn with this seed.
    #[must_use]
    pub fn seal(&self, author: PublicKey, seed: Seed) -> SealedVerdict {
        let seal = SealOf { author, verdict: self }.digest();
        SealedVerdict { lease: self.lease, receipt: self.receipt, seed, seal }
    }
}

/// What a validator found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The artifacts are there, and what this validator had to re-execute gave the same digests.
    Agree,
    /// This segment gives something else, or cannot be replayed from what was delivered.
    Object {
        /// Where.
        segment: Segment,
        /// What is wrong with it.
        found: Found,
    },
    /// Somebody else objects to this segment, but it is as the receipt says.
    Deny {
        /// Where.
        segment: Segment,
    },
}
canonical_enum!(Finding { 1 => Agree, 2 => Object { segment, found }, 3 => Deny { segment } });

/// What is wrong with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// An artifact that the receipt names is missing or damaged.
    Withheld,
    /// It ends in a state of this digest.
    State(Digest),
    /// It gives an output of this digest.
    Output(Digest),
    /// It begins in another state, gives other metrics, or fails where the receipt says that it is
    /// done; or the other way round.
    Other,
    /// This artifact, from which it is computed, is missing or damaged.
    Lost(Digest),
    /// It was computed fast, and ends too far from where the exact arithmetic does.
    Far,
}
canonical_enum!(Found {
    1 => Withheld, 2 => State(x), 3 => Output(x), 4 => Other, 5 => Lost(x), 6 => Far,
});

/// What a validator says where all are asked about one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ballot {
    /// It is false, or cannot be replayed from what its worker has to keep.
    Object,
    /// It is as the receipt says.
    Deny,
    /// Nobody can say: this artifact, which its worker does not have to keep, is lost.
    Lost(Digest),
}
canonical_enum!(Ballot { 1 => Object, 2 => Deny, 3 => Lost(x) });

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
        let validators = [(PublicKey([1; 32]), Ohc::from_nano(1))];
        let drawn = (0..4_000)
            .filter(|i| {
                !draw(seed, lease(*i), policy, &segments(8), &validators, 3).segments.is_empty()
            })
            .count();
        assert!((900..1_100).contains(&drawn), "{drawn} of 4000");
    }

    #[test]
    fn a_stake_that_is_spread_over_many_names_has_no_more_seats() {
        let seed = Seed::of_chain(Digest::of(b"slot"));
        // A quarter of the stake under 15 of 20 names: by heads it would fill 40 % of all
        // committees, by stake 1.3 %.
        let stake = |n: u8| Ohc::from_nano(if n < 15 { 1_000_000 } else { 9_000_000 });
        let validators: Vec<_> = (0..20).map(|n| (PublicKey([n; 32]), stake(n))).collect();
        let all = segments(8);
        let committees: Vec<Vec<PublicKey>> = (0..4_000)
            .map(|i| draw(seed, lease(i), Verification::Full, &all, &validators, 3).committee)
            .collect();
        let is_spread = |key: &PublicKey| key.0[0] < 15;
        let whole = committees.iter().filter(|c| c.iter().all(is_spread)).count();
        assert!((20..100).contains(&whole), "{whole} of 4000");
        let first = committees.iter().filter(|c| c.contains(&PublicKey([19; 32]))).count();
        assert!((1_600..2_200).contains(&first), "{first} of 4000: three seats, 15 % of the stake");
        assert!(committees.iter().all(|c| c.len() == 3 && c.is_sorted()));
    }

    proptest! {
        #[test]
        fn a_draw_is_a_subset_of_the_size_asked_for(n in 0u32..40, k in 0u32..50, salt: u64) {
            let seed = Seed::of_chain(Digest::of(&salt.to_le_bytes()));
            let all = segments(n);
            let picked = seed.choose("test", lease(0), &all, k);
            prop_assert_eq!(picked.len() as u32, n.min(k));
            prop_assert!(picked.windows(2).all(|w| w[0] < w[1]));
            let staked: Vec<_> = all.iter().map(|s| (*s, Ohc::from_nano(salt | 1))).collect();
            let picked = seed.choose_by_stake("test", lease(0), &staked, k);
            prop_assert_eq!(picked.len() as u32, n.min(k));
            prop_assert!(picked.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
