//! The check of a chain: every entry against the hash before it, on all threads and lanes.
//! Never trusts a number of hashes: what a segment may claim is bounded before it is computed.

use super::link::{self, LANES, Words};
use super::{Entry, Params, Place};
use crate::base::canon::Digest;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this many hashes a second thread costs more than it saves.
const HASHES_PER_THREAD_MIN: u64 = 20_000;

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It claims no hash at all.
    #[error("it claims no hash")]
    NoHashes,
    /// It claims hashes beyond the tick's boundary.
    #[error("it runs past the tick, which is {left} hashes away")]
    PastTick {
        /// Hashes left until the tick, its own included.
        left: u64,
    },
    /// It has no mixin and does not end on the tick.
    #[error("it is a tick, but ends before the boundary, which is {left} hashes away")]
    BeforeTick {
        /// Hashes left until the tick, its own included.
        left: u64,
    },
    /// It mixes something in with the hash that is the tick's own.
    #[error("it mixes in with the hash that is reserved for the tick")]
    MixinOnTick,
    /// With it the segment claims more hashes than it may.
    #[error("with it the segment claims more than {max} hashes")]
    TooManyHashes {
        /// What a segment may claim.
        max: u64,
    },
    /// Its hash is not what the hashes give.
    #[error("its hash is not the hash of what it claims")]
    WrongHash,
}

/// The first wrong entry of a segment, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} of the Proof of History does not hold: {wrong}")]
pub struct PohFault {
    /// Its index in the segment.
    pub entry: usize,
    /// What is wrong.
    pub wrong: Wrong,
}

/// The first wrong segment of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment}: {fault}")]
pub struct SegmentFault {
    /// Its index.
    pub segment: usize,
    /// What is wrong with it.
    pub fault: PohFault,
}

/// Entries that follow one another, and the place that they follow.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Where it begins.
    pub from: Place,
    /// What follows.
    pub entries: &'a [Entry],
}

/// Checks one segment, which may claim at most `hashes_max` hashes; gives the place where it ends.
/// The fault is the first in the order of the entries, whatever the number of threads.
pub fn verify(
    from: Place,
    entries: &[Entry],
    params: Params,
    hashes_max: u64,
    threads: usize,
) -> Result<Place, PohFault> {
    let segment = Segment { from, entries };
    match verify_many(&[segment], params, hashes_max, threads) {
        Ok(ends) => Ok(ends.first().copied().unwrap_or(from)),
        Err(SegmentFault { fault, .. }) => Err(fault),
    }
}

/// Checks many segments, each of which may claim at most `hashes_max` hashes; gives the places
/// where they end. That one begins where another ends is the caller's to check.
pub fn verify_many(
    segments: &[Segment<'_>],
    params: Params,
    hashes_max: u64,
    threads: usize,
) -> Result<Vec<Place>, SegmentFault> {
    let mut claims = Vec::new();
    let mut ends = Vec::with_capacity(segments.len());
    let mut malformed = None;
    for (index, segment) in segments.iter().enumerate() {
        match follow(index, segment, params, hashes_max, &mut claims) {
            Ok(end) => ends.push(end),
            Err(fault) => {
                malformed = Some(SegmentFault { segment: index, fault });
                break;
            }
        }
    }
    // What comes before a malformed entry is computed too: a wrong number of hashes often shows
    // as a wrong shape only later, and the fault must name the entry that lies.
    match first_wrong(&claims, threads).and_then(|index| claims.get(index)) {
        Some(&Claim { segment, entry, .. }) => {
            Err(SegmentFault { segment, fault: PohFault { entry, wrong: Wrong::WrongHash } })
        }
        None => malformed.map_or(Ok(ends), Err),
    }
}

/// What one entry says: these links from here give that. Independent of every other claim.
struct Claim<'a> {
    segment: usize,
    entry: usize,
    before: Digest,
    links: u64,
    mixin: Option<&'a Digest>,
    after: Digest,
}

/// Walks over a segment without hashing: shapes, bounds, ticks.
fn follow<'a>(
    index: usize,
    segment: &Segment<'a>,
    params: Params,
    hashes_max: u64,
    claims: &mut Vec<Claim<'a>>,
) -> Result<Place, PohFault> {
    let mut place = segment.from;
    let mut budget = hashes_max;
    for (at, entry) in segment.entries.iter().enumerate() {
        let fault = |wrong| PohFault { entry: at, wrong };
        shape(entry, place.left(params)).map_err(fault)?;
        budget = budget
            .checked_sub(entry.hashes)
            .ok_or(fault(Wrong::TooManyHashes { max: hashes_max }))?;
        let mixin = entry.mixin.as_ref();
        let links = entry.hashes - u64::from(mixin.is_some());
        let (before, after) = (place.hash, entry.hash);
        claims.push(Claim { segment: index, entry: at, before, links, mixin, after });
        place = place.after(entry);
    }
    Ok(place)
}

/// Whether an entry fits in front of a tick that is `left` hashes away.
fn shape(entry: &Entry, left: u64) -> Result<(), Wrong> {
    match (entry.mixin, entry.hashes) {
        (_, 0) => Err(Wrong::NoHashes),
        (_, hashes) if hashes > left => Err(Wrong::PastTick { left }),
        (Some(_), hashes) if hashes == left => Err(Wrong::MixinOnTick),
        (None, hashes) if hashes < left => Err(Wrong::BeforeTick { left }),
        (Some(_) | None, _) => Ok(()),
    }
}

/// The index of the first claim that does not hold.
fn first_wrong(claims: &[Claim<'_>], threads: usize) -> Option<usize> {
    let hashes = claims.iter().fold(0u64, |sum, claim| sum.saturating_add(claim.links));
    let useful = usize::try_from(hashes / HASHES_PER_THREAD_MIN).unwrap_or(usize::MAX);
    let threads = threads.min(useful).min(claims.len());
    let next = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(usize::MAX);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work(claims, &next, &wrong));
        }
        work(claims, &next, &wrong);
    });
    Some(wrong.into_inner()).filter(|index| *index != usize::MAX)
}

/// A chain on its way from the beginning of a claim to its end.
struct Lane<'a> {
    index: usize,
    claim: &'a Claim<'a>,
    left: u64,
}

/// Takes claims until none is left, [`LANES`] at a time. A claim behind a wrong one is not
/// computed; one in front of it always is, so the smallest index wins on any schedule.
fn work(claims: &[Claim<'_>], next: &AtomicUsize, wrong: &AtomicUsize) {
    let mut lanes: Vec<Lane<'_>> = Vec::with_capacity(LANES);
    let mut chains: Vec<Words> = Vec::with_capacity(LANES);
    loop {
        while lanes.len() < LANES {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(claim) = claims.get(index) else { break };
            if index > wrong.load(Ordering::Relaxed) {
                break;
            }
            lanes.push(Lane { index, claim, left: claim.links });
            chains.push(link::words(&claim.before));
        }
        let Some(links) = lanes.iter().map(|lane| lane.left).min() else { return };
        link::run(&mut chains, links);
        for at in (0..lanes.len()).rev() {
            let Some(lane) = lanes.get_mut(at) else { continue };
            lane.left -= links;
            if lane.left == 0 {
                let (lane, chain) = (lanes.swap_remove(at), chains.swap_remove(at));
                if !holds(lane.claim, chain) {
                    wrong.fetch_min(lane.index, Ordering::Relaxed);
                }
            }
        }
    }
}

fn holds(claim: &Claim<'_>, chain: Words) -> bool {
    let last = claim.mixin.map_or(chain, |mixin| link::mix(chain, mixin));
    link::digest(&last) == claim.after
}

#[cfg(test)]
mod tests {
    use super::super::Chain;
    use super::*;
    use crate::base::canon::{Decode, Encode};
    use proptest::prelude::*;

    const PARAMS: Params = Params { hashes_per_tick: 8 };
    const MANY: u64 = 1_000_000;

    /// `0` ticks, `n` hashes on by n and records.
    fn generate(from: Place, params: Params, steps: &[u8]) -> (Vec<Entry>, Chain) {
        let mut chain = Chain::resume(from, params);
        let mut entries = Vec::new();
        for step in steps {
            if *step == 0 {
                entries.push(chain.tick());
            } else {
                chain.advance(u64::from(*step) - 1);
                entries.extend(chain.record(Digest::of(&[*step])));
            }
        }
        (entries, chain)
    }

    fn origin() -> Place {
        Place::start(Digest(std::array::from_fn(|i| i as u8)))
    }

    #[track_caller]
    fn check(entries: &[Entry], expect: Result<(u64, u64), (usize, Wrong)>) {
        for threads in 0..4 {
            let end = verify(origin(), entries, PARAMS, MANY, threads);
            let end = end.map(|p| (p.ticks, p.position)).map_err(|f| (f.entry, f.wrong));
            assert_eq!(end, expect, "{threads} threads");
        }
    }

    #[test]
    fn a_fixed_chain_ends_in_the_hash_that_another_program_computed() {
        // Python: hashlib.sha256 over bytes(range(32)), 8 hashes a tick; tick, mix, three hashes
        // and mix, tick, tick; the mixin is 32 bytes of 7.
        let mut chain = Chain::new(origin().hash, PARAMS);
        let mut entries = vec![chain.tick()];
        entries.extend(chain.record(Digest([7; 32])));
        chain.advance(3);
        entries.extend(chain.record(Digest([7; 32])));
        entries.extend([chain.tick(), chain.tick()]);
        let expect = "70289257cf75ca6f13ca83e9228626a9f59c912f751933782a26cb3b76f525d7";
        assert_eq!(chain.head().to_string(), expect);
        check(&entries, Ok((3, 0)));
    }

    #[test]
    fn every_wrong_shape_is_found_at_its_entry() {
        let (good, _) = generate(origin(), PARAMS, &[0, 3, 0, 0]);
        check(&good, Ok((3, 0)));
        let with = |change: &dyn Fn(&mut Entry)| {
            let mut entries = good.clone();
            change(&mut entries[1]);
            entries
        };
        check(&with(&|e| e.hashes = 0), Err((1, Wrong::NoHashes)));
        check(&with(&|e| e.hashes = 9), Err((1, Wrong::PastTick { left: 8 })));
        check(&with(&|e| e.hashes = u64::MAX), Err((1, Wrong::PastTick { left: 8 })));
        check(&with(&|e| e.hashes = 8), Err((1, Wrong::MixinOnTick)));
        check(&with(&|e| e.mixin = None), Err((1, Wrong::BeforeTick { left: 8 })));
        check(&with(&|e| e.hashes = 4), Err((1, Wrong::WrongHash)));
        check(&with(&|e| e.hash.0[31] ^= 1), Err((1, Wrong::WrongHash)));
        check(&good[1..], Err((0, Wrong::WrongHash)));
        check(&[], Ok((0, 0)));
    }

    #[test]
    fn a_segment_claims_no_more_hashes_than_it_may() {
        let (entries, chain) = generate(origin(), PARAMS, &[0, 0, 5]);
        assert_eq!(verify(origin(), &entries, PARAMS, 21, 1), Ok(chain.place()));
        assert_eq!(
            verify(origin(), &entries, PARAMS, 20, 1),
            Err(PohFault { entry: 2, wrong: Wrong::TooManyHashes { max: 20 } })
        );
    }

    #[test]
    fn a_place_that_no_chain_reaches_is_a_fault_and_no_panic() {
        let nowhere = Place { position: u64::MAX, ticks: u64::MAX, ..origin() };
        let (entries, _) = generate(origin(), PARAMS, &[0]);
        assert_eq!(
            verify(nowhere, &entries, PARAMS, MANY, 1),
            Err(PohFault { entry: 0, wrong: Wrong::PastTick { left: 0 } })
        );
    }

    #[test]
    fn long_ticks_are_checked_by_several_threads() {
        let params = Params { hashes_per_tick: 20_000 };
        let (mut entries, chain) = generate(origin(), params, &[0, 9, 0, 200, 0, 0, 0]);
        assert_eq!(verify(origin(), &entries, params, MANY, 3), Ok(chain.place()));
        entries[5].hash.0[0] ^= 1; // also what entry 6 begins with
        for threads in 1..4 {
            let fault = PohFault { entry: 5, wrong: Wrong::WrongHash };
            assert_eq!(verify(origin(), &entries, params, MANY, threads), Err(fault));
        }
    }

    #[test]
    fn a_log_of_segments_ends_where_its_segments_end_and_names_the_wrong_one() {
        let mut places = vec![origin()];
        let mut parts = Vec::new();
        for steps in [&[0, 2][..], &[], &[1, 1, 0], &[0; 5]] {
            let (entries, chain) = generate(places[places.len() - 1], PARAMS, steps);
            parts.push(entries);
            places.push(chain.place());
        }
        let all = |parts: &[Vec<Entry>]| {
            let segments: Vec<_> = std::iter::zip(&places, parts)
                .map(|(from, entries)| Segment { from: *from, entries })
                .collect();
            verify_many(&segments, PARAMS, MANY, 2)
        };
        assert_eq!(all(&parts).as_deref(), Ok(&places[1..]));
        parts[3][2].hashes = 7; // a wrong shape behind
        parts[2][1].hash.0[7] ^= 4; // a wrong hash in front
        let fault = PohFault { entry: 1, wrong: Wrong::WrongHash };
        assert_eq!(all(&parts), Err(SegmentFault { segment: 2, fault }));
    }

    fn steps() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..9u8, 1..40)
    }

    proptest! {
        #[test]
        fn what_is_generated_verifies(
            steps in steps(), per_tick in 0..20u64, cut in 0..40usize, threads in 0..4usize,
        ) {
            let params = Params { hashes_per_tick: per_tick };
            let (entries, chain) = generate(origin(), params, &steps);
            prop_assert_eq!(verify(origin(), &entries, params, MANY, threads), Ok(chain.place()));
            // A chain cut anywhere continues from the place of the cut.
            let (front, back) = entries.split_at(cut.min(entries.len()));
            let middle = verify(origin(), front, params, MANY, threads).unwrap();
            prop_assert_eq!(verify(middle, back, params, MANY, threads), Ok(chain.place()));
        }

        #[test]
        fn any_flipped_bit_is_found_at_its_entry(
            steps in steps(), at: prop::sample::Index, bit: prop::sample::Index,
            threads in 0..4usize,
        ) {
            let (mut entries, _) = generate(origin(), PARAMS, &steps);
            let at = at.index(entries.len());
            let mut bytes = entries[at].to_bytes();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = Entry::from_bytes(&bytes) {
                entries[at] = flipped;
                let fault = verify(origin(), &entries, PARAMS, MANY, threads).unwrap_err();
                prop_assert_eq!(fault.entry, at);
            }
        }

        #[test]
        fn entries_in_another_order_do_not_hold(steps in steps(), at: prop::sample::Index) {
            let (mut entries, _) = generate(origin(), PARAMS, &steps);
            prop_assume!(entries.len() > 1);
            let at = at.index(entries.len() - 1);
            entries.swap(at, at + 1);
            let fault = verify(origin(), &entries, PARAMS, MANY, 2).unwrap_err();
            prop_assert_eq!(fault.entry, at);
        }
    }
}
