//! The generator of a chain: hashes on, ticks, and takes mixins in.
//! Never decides when to tick: whoever owns it says how fast it goes.

use super::{Entry, Params, Place, link};
use crate::base::canon::Digest;

/// A chain that is being made.
#[derive(Clone, Debug)]
pub struct Chain {
    params: Params,
    /// After the last entry.
    place: Place,
    /// Hashes done since that entry, not yet in any.
    pending: u64,
    /// The hash after them.
    head: link::Words,
}

impl Chain {
    /// A chain that begins at `start`.
    #[must_use]
    pub fn new(start: Digest, params: Params) -> Self {
        Self::resume(Place::start(start), params)
    }

    /// Continues a chain from a place that has been verified. A position at or beyond the tick,
    /// which no chain reaches, counts as the last one before it.
    #[must_use]
    pub fn resume(place: Place, params: Params) -> Self {
        let place = Place { position: place.position.min(params.per_tick() - 1), ..place };
        Self { params, place, pending: 0, head: link::words(&place.hash) }
    }

    /// Hashes on, at most until only the tick's own hash is left; gives how many were done. They
    /// count in the next entry.
    pub fn advance(&mut self, hashes: u64) -> u64 {
        let hashes = hashes.min(self.left() - 1);
        link::run(std::slice::from_mut(&mut self.head), hashes);
        self.pending += hashes;
        hashes
    }

    /// Runs to the boundary of the tick and counts it.
    pub fn tick(&mut self) -> Entry {
        self.advance(u64::MAX);
        link::run(std::slice::from_mut(&mut self.head), 1);
        self.close(None)
    }

    /// Mixes `mixin` in with the next hash. Where that hash is the tick's own, the tick comes
    /// first: one or two entries.
    pub fn record(&mut self, mixin: Digest) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(2);
        if self.left() == 1 {
            entries.push(self.tick());
        }
        self.head = link::mix(self.head, &mixin);
        entries.push(self.close(Some(mixin)));
        entries
    }

    /// The hash now, hashes that are in no entry yet included.
    #[must_use]
    pub fn head(&self) -> Digest {
        link::digest(&self.head)
    }

    /// Ticks since the chain began.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.place.ticks
    }

    /// The place after the last entry: where the next segment begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Hashes left until the tick, its own included: never 0.
    fn left(&self) -> u64 {
        self.place.left(self.params) - self.pending
    }

    fn close(&mut self, mixin: Option<Digest>) -> Entry {
        let entry = Entry { hashes: self.pending + 1, hash: self.head(), mixin };
        self.place = self.place.after(&entry);
        self.pending = 0;
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: Params = Params { hashes_per_tick: 4 };

    #[track_caller]
    fn check(steps: &str, expect: &str) {
        let mut chain = Chain::new(Digest::default(), PARAMS);
        let mut entries = Vec::new();
        for step in steps.chars() {
            match step {
                'a' => drop(chain.advance(1)),
                't' => entries.push(chain.tick()),
                _ => entries.extend(chain.record(Digest::of(&[step as u8]))),
            }
        }
        let shape: Vec<String> = entries
            .iter()
            .map(|e| format!("{}{}", e.hashes, if e.mixin.is_some() { "m" } else { "t" }))
            .collect();
        assert_eq!(shape.join(" "), expect, "{steps}");
    }

    #[test]
    fn a_tick_runs_to_the_boundary_and_no_further() {
        check("tt", "4t 4t");
        check("mt", "1m 3t");
        check("aat", "4t");
        check("aaaaaaat", "4t");
        check("amt", "2m 2t");
    }

    #[test]
    fn a_tick_never_swallows_a_mixin() {
        check("mmmm", "1m 1m 1m 1t 1m");
        check("aaam", "4t 1m");
        check("aam", "3m");
        check("aamm", "3m 1t 1m");
    }

    #[test]
    fn a_tick_of_one_hash_has_room_for_a_mixin_nevertheless() {
        let mut chain = Chain::new(Digest::default(), Params { hashes_per_tick: 0 });
        let entries: Vec<_> = (0..3).flat_map(|_| chain.record(Digest::of(b"x"))).collect();
        assert_eq!(entries.iter().filter(|entry| entry.mixin.is_some()).count(), 3);
        assert_eq!(chain.ticks(), 2);
    }

    #[test]
    fn advancing_first_changes_nothing() {
        let mut slow = Chain::new(Digest::of(b"start"), Params { hashes_per_tick: 100 });
        let mut fast = slow.clone();
        assert_eq!((slow.advance(7), slow.advance(1000)), (7, 92));
        assert_eq!(slow.tick(), fast.tick());
        assert_eq!(slow.place(), fast.place());
        assert_eq!((slow.ticks(), slow.head()), (1, fast.place().hash));
    }
}
