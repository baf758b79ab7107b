//! The beacon: chance that nobody could know before, for whatever is drawn.
//! Never knows what is drawn, nor money.
//!
//! Every validator has pledged a value: its digest is in the log, the value is not. When something
//! is to be drawn, a round opens; all reveal what they had pledged *before* it opened, and pledge
//! the next value with the same command. The seed is the digest of all revealed values and of one
//! hash of the chain (verification.md §1.5, after RANDAO).
//!
//! Which hash, the genesis says. Without a delay it is the one at which the round opened: it was
//! not there when anything was delivered, and whoever proposed that slot knew no other's value, so
//! nobody can try pages until the seed suits him. With a delay it is that of a tick so long after
//! the last value: whoever reveals last, or keeps its value back, would have to hash so far before
//! its time to reveal is over. A short delay helps nobody but the proposer of the last value's
//! slot, who can try pages then.

use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Digest, Encode, Writer, canonical_newtype, canonical_struct};
use crate::base::ids::LeaseId;
use crate::base::keys::{NetworkId, PublicKey, SecretKey};
use crate::base::time::{Height, Tick};
use std::collections::{BTreeMap, BTreeSet};

/// Where draws get their chance from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seed(pub Digest);
canonical_newtype!(Seed);

struct SeedSource {
    chain: Digest,
    values: Option<Digest>,
}
canonical_struct!(SeedSource { chain, values } tag "ohc/seed/2");

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
    /// Where nothing was drawn.
    pub const NONE: Self = Self(Digest([0; 32]));

    /// The seed where nobody else could have a share in it: a hash of the chain alone.
    #[must_use]
    pub fn of_chain(chain: Digest) -> Self {
        Self(SeedSource { chain, values: None }.digest())
    }

    /// A number below `n` (at least 1), the same on every node. The bias is below 2^-32 · n.
    #[must_use]
    pub fn below(&self, n: u32, purpose: &str, lease: LeaseId, draw: u32) -> u32 {
        u32::try_from(self.roll(u64::from(n), purpose, lease, draw)).unwrap_or(0)
    }

    fn roll(self, n: u64, purpose: &str, lease: LeaseId, draw: u32) -> u64 {
        let roll = Roll { seed: self.0, purpose, lease, n: draw }.digest();
        let word = roll.0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let product = u128::from(word) * u128::from(n.max(1));
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Chooses `k` of `items` without replacement; the result keeps their order.
    #[must_use]
    pub fn choose<T: Copy>(self, purpose: &str, lease: LeaseId, items: &[T], k: u32) -> Vec<T> {
        let n = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let mut chosen = BTreeSet::new();
        // Robert Floyd's sample: k draws, no shuffle of the whole.
        for (draw, top) in (n.saturating_sub(k)..n).enumerate() {
            let draw = u32::try_from(draw).unwrap_or(u32::MAX);
            let pick = self.below(top + 1, purpose, lease, draw);
            if !chosen.insert(pick) {
                chosen.insert(top);
            }
        }
        chosen.iter().filter_map(|i| items.get(*i as usize).copied()).collect()
    }

    /// Chooses `k` of `items` without replacement, one after the other, each with a chance that is
    /// its share of what is left; the result keeps their order. (Successive sampling: Rosén 1972.)
    #[must_use]
    pub fn choose_by_stake<T: Copy>(
        self,
        purpose: &str,
        lease: LeaseId,
        items: &[(T, Ohc)],
        k: u32,
    ) -> Vec<T> {
        let mut left: Vec<(usize, u64)> =
            items.iter().enumerate().map(|(i, (_, stake))| (i, stake.nano())).collect();
        let mut chosen = BTreeSet::new();
        for draw in 0..k {
            let all = left.iter().fold(0u64, |sum, (_, stake)| sum.saturating_add(*stake));
            let mut rest = self.roll(all, purpose, lease, draw);
            let hit = left.iter().position(|(_, stake)| {
                let is_hit = rest < *stake;
                rest = rest.saturating_sub(*stake);
                is_hit
            });
            let Some(hit) = hit else { break };
            chosen.insert(left.remove(hit).0);
        }
        chosen.iter().filter_map(|i| items.get(*i)).map(|(item, _)| *item).collect()
    }
}

/// What a validator says in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reveal {
    /// What it had pledged; none if it had not yet.
    pub value: Option<Digest>,
    /// The pledge of its next value.
    pub next: Digest,
}
canonical_struct!(Reveal { value, next });

struct Turn {
    network: NetworkId,
    turn: u64,
}
canonical_struct!(Turn { network, turn } tag "ohc/beacon-value/1");

struct PledgeOf {
    author: PublicKey,
    value: Digest,
}
canonical_struct!(PledgeOf { author, value } tag "ohc/beacon-pledge/1");

struct Values {
    before: Digest,
    values: BTreeMap<PublicKey, Digest>,
}
canonical_struct!(Values { before, values } tag "ohc/beacon-values/1");

/// The value of a validator's turn. It follows from its key, so that no crash loses it.
#[must_use]
pub fn value(key: &SecretKey, network: NetworkId, turn: u64) -> Digest {
    key.derive(&Turn { network, turn })
}

/// The pledge of a value by its author: nobody can pledge what another one has.
#[must_use]
pub fn pledge(author: PublicKey, value: Digest) -> Digest {
    PledgeOf { author, value }.digest()
}

/// A value that its author has pledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pledge {
    digest: Digest,
    /// The slot that took it.
    at: Height,
    /// Which of its author's values it is.
    turn: u64,
}
canonical_struct!(Pledge { digest, at, turn });

/// A round of revealing.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Round {
    /// What came later than this slot is drawn in a later round.
    since: Height,
    /// The chain's hash at its end.
    opened: Digest,
    /// When those who have not revealed are not waited for any more.
    due: Tick,
    /// Who is waited for.
    awaited: BTreeSet<PublicKey>,
    values: BTreeMap<PublicKey, Digest>,
    /// When it was complete.
    closed: Option<Tick>,
}
canonical_struct!(Round { since, opened, due, awaited, values, closed });

/// The pledges of a network, and the round under way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beacon {
    mixed: Digest,
    pledges: BTreeMap<PublicKey, Pledge>,
    /// Where those go on who have pledged nothing now: nobody may count with a value that it has
    /// revealed, or tried to, before.
    turns: BTreeMap<PublicKey, u64>,
    round: Option<Round>,
}
canonical_struct!(Beacon { mixed, pledges, turns, round });

/// A reveal that is out of turn, or not what was pledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfTurn;

impl Beacon {
    /// Which value this validator has pledged; none if it has not.
    #[must_use]
    pub fn turn(&self, validator: &PublicKey) -> Option<u64> {
        self.pledges.get(validator).map(|pledge| pledge.turn)
    }

    /// Which value a validator pledges that has pledged none.
    #[must_use]
    pub fn first_turn(&self, validator: &PublicKey) -> u64 {
        self.turns.get(validator).copied().unwrap_or(0)
    }

    /// Who has pledged.
    pub fn pledged(&self) -> impl Iterator<Item = &PublicKey> {
        self.pledges.keys()
    }

    /// Whether this validator is to reveal now. Whoever is not awaited keeps its value for a round
    /// in which it is: so the seed does not depend on the order in which others reveal theirs.
    #[must_use]
    pub fn awaits(&self, validator: &PublicKey) -> bool {
        let open = self.round.as_ref().filter(|round| round.closed.is_none());
        let pledge = self.pledges.get(validator);
        open.zip(pledge).is_some_and(|(round, pledge)| {
            pledge.at <= round.since
                && round.awaited.contains(validator)
                && !round.values.contains_key(validator)
        })
    }

    /// Whether a round is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// Whether all have revealed who are awaited in the round under way.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let open = self.round.as_ref().filter(|round| round.closed.is_none());
        open.is_some_and(|round| round.awaited.iter().all(|key| round.values.contains_key(key)))
    }

    /// Takes a reveal in.
    pub fn reveal(
        &mut self,
        author: PublicKey,
        reveal: Reveal,
        at: Height,
    ) -> Result<(), OutOfTurn> {
        let turn = match (self.pledges.get(&author), reveal.value) {
            (None, None) => self.first_turn(&author),
            (Some(known), Some(value)) => {
                if !self.awaits(&author) || pledge(author, value) != known.digest {
                    return Err(OutOfTurn);
                }
                let round = self.round.as_mut().ok_or(OutOfTurn)?;
                round.values.insert(author, value);
                known.turn.saturating_add(1)
            }
            _ => return Err(OutOfTurn),
        };
        self.pledges.insert(author, Pledge { digest: reveal.next, at, turn });
        Ok(())
    }

    /// Opens a round for what is to be drawn, at the end of this slot, where the chain is at this
    /// hash. `awaited` are waited for, and nobody else counts.
    pub fn open(
        &mut self,
        (since, opened): (Height, Digest),
        due: Tick,
        awaited: BTreeSet<PublicKey>,
    ) {
        let round = Round { since, opened, due, awaited, values: BTreeMap::new(), closed: None };
        self.round = Some(round);
    }

    /// Forgets those who are no validators any more: what they revealed counts, what they have not
    /// is not waited for. A round in which nobody else is awaited is called off.
    pub fn keep(&mut self, is_validator: impl Fn(&PublicKey) -> bool) {
        let gone: Vec<PublicKey> =
            self.pledges.keys().filter(|key| !is_validator(key)).copied().collect();
        self.void(&gone);
        let Some(round) = self.round.as_mut().filter(|round| round.closed.is_none()) else {
            return;
        };
        round.awaited.retain(|key| is_validator(key));
        if round.awaited.is_empty() {
            self.call_off();
        }
    }

    /// Forgets what these have pledged: somebody may have heard it.
    fn void(&mut self, keys: &[PublicKey]) {
        for key in keys {
            if let Some(pledge) = self.pledges.remove(key) {
                self.turns.insert(*key, pledge.turn.saturating_add(1));
            }
        }
    }

    /// Ends the round without a seed: another one will do.
    pub fn call_off(&mut self) {
        self.round = None;
    }

    /// Closes the round if everybody awaited has revealed, or if it is due and somebody has.
    /// Returns those who have not, and are to pledge another value. A round to which nobody came in
    /// time goes on, for `more` ticks.
    pub fn close(&mut self, now: Tick, more: u64) -> Vec<PublicKey> {
        let Some(round) = self.round.as_mut().filter(|round| round.closed.is_none()) else {
            return Vec::new();
        };
        let missing = round.awaited.iter().filter(|key| !round.values.contains_key(key));
        let missing: Vec<PublicKey> = missing.copied().collect();
        let is_due = now >= round.due;
        if is_due && round.values.is_empty() {
            round.due = now.after(more);
        } else if missing.is_empty() || is_due {
            round.closed = Some(now);
            self.void(&missing);
            return missing;
        }
        Vec::new()
    }

    /// The tick whose hash makes the seed, once the round is closed.
    #[must_use]
    pub fn drawn_at(&self, delay: u64) -> Option<Tick> {
        Some(self.round.as_ref()?.closed?.after(delay))
    }

    /// Ends a closed round with the hash of that tick, or without a delay with the one at which it
    /// opened: the seed, and the last slot that it is for.
    pub fn draw(&mut self, delayed: Option<Digest>) -> Option<(Seed, Height)> {
        let round = self.round.take_if(|round| round.closed.is_some())?;
        self.mixed = Values { before: self.mixed, values: round.values }.digest();
        let chain = delayed.unwrap_or(round.opened);
        let seed = SeedSource { chain, values: Some(self.mixed) }.digest();
        Some((Seed(seed), round.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NETWORK: NetworkId = NetworkId(Digest([7; 32]));
    const OPENED: Digest = Digest([8; 32]);

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn says(n: u8, turn: Option<u64>) -> Reveal {
        let (key, next) = (key(n), turn.map_or(0, |turn| turn + 1));
        let of = |turn| value(&key, NETWORK, turn);
        Reveal { value: turn.map(of), next: pledge(key.public(), of(next)) }
    }

    fn pledged(n: u8) -> Beacon {
        let mut beacon = Beacon::default();
        for n in 1..=n {
            assert_eq!(beacon.reveal(key(n).public(), says(n, None), Height(1)), Ok(()));
        }
        beacon
    }

    fn names(n: u8) -> BTreeSet<PublicKey> {
        (1..=n).map(|n| key(n).public()).collect()
    }

    #[test]
    fn r9_only_what_was_pledged_before_a_round_opened_counts_in_it() {
        let mut beacon = pledged(2);
        assert!(!beacon.awaits(&key(1).public()));
        assert_eq!(beacon.reveal(key(1).public(), says(1, Some(0)), Height(2)), Err(OutOfTurn));
        beacon.open((Height(2), OPENED), Tick(10), names(2));
        // A newcomer can pledge whatever it likes, once it has seen the others' values: later.
        assert_eq!(beacon.reveal(key(3).public(), says(3, None), Height(3)), Ok(()));
        assert_eq!(beacon.reveal(key(3).public(), says(3, Some(0)), Height(3)), Err(OutOfTurn));
        assert_eq!(beacon.reveal(key(1).public(), says(2, Some(0)), Height(3)), Err(OutOfTurn));
        assert_eq!(beacon.reveal(key(1).public(), says(1, Some(0)), Height(3)), Ok(()));
        assert_eq!(beacon.reveal(key(1).public(), says(1, Some(1)), Height(3)), Err(OutOfTurn));
        assert_eq!(beacon.close(Tick(1), 5), []);
        assert_eq!(beacon.draw(None), None, "one is still awaited");
        assert_eq!(beacon.reveal(key(2).public(), says(2, Some(0)), Height(3)), Ok(()));
        assert_eq!(beacon.close(Tick(1), 5), []);
        assert_eq!(beacon.drawn_at(3), Some(Tick(4)));
        assert_eq!(beacon.draw(None).map(|(_, since)| since), Some(Height(2)));
        assert!(!beacon.is_busy());
    }

    #[test]
    fn who_is_not_awaited_keeps_its_value() {
        let mut beacon = pledged(3);
        beacon.open((Height(2), OPENED), Tick(10), names(2));
        let third = key(3).public();
        assert!(!beacon.awaits(&third));
        assert_eq!(beacon.reveal(third, says(3, Some(0)), Height(3)), Err(OutOfTurn));
        let _ = beacon.reveal(key(1).public(), says(1, Some(0)), Height(3));
        assert!(!beacon.is_complete());
        let _ = beacon.reveal(key(2).public(), says(2, Some(0)), Height(3));
        assert!(beacon.is_complete());
        beacon.close(Tick(3), 5);
        assert!(beacon.draw(None).is_some());
        beacon.open((Height(3), OPENED), Tick(20), names(3));
        assert_eq!(beacon.reveal(third, says(3, Some(0)), Height(4)), Ok(()));
    }

    #[test]
    fn r9_who_comes_too_late_with_a_value_does_not_count_with_it_later() {
        let mut beacon = pledged(2);
        beacon.open((Height(2), OPENED), Tick(10), names(2));
        let _ = beacon.reveal(key(1).public(), says(1, Some(0)), Height(3));
        let late = key(2).public();
        assert_eq!(beacon.close(Tick(10), 5), [late]);
        assert!(beacon.draw(None).is_some());
        assert_eq!((beacon.turn(&late), beacon.first_turn(&late)), (None, 1));
        assert_eq!(beacon.reveal(late, says(2, Some(0)), Height(4)), Err(OutOfTurn));
    }

    #[test]
    fn who_stays_away_is_named_and_not_waited_for() {
        let mut beacon = pledged(3);
        beacon.open((Height(2), OPENED), Tick(10), names(3));
        assert_eq!(beacon.close(Tick(10), 5), [], "nobody came: the round goes on");
        let _ = beacon.reveal(key(2).public(), says(2, Some(0)), Height(3));
        assert_eq!(beacon.close(Tick(14), 5), []);
        assert_eq!(
            beacon.close(Tick(15), 5),
            [key(1).public(), key(3).public()]
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert!(beacon.drawn_at(0).is_some());
    }

    #[test]
    fn who_leaves_and_comes_back_goes_on_with_values_that_nobody_has_seen() {
        let mut beacon = pledged(3);
        let me = key(1).public();
        beacon.open((Height(2), OPENED), Tick(10), names(3));
        let _ = beacon.reveal(key(2).public(), says(2, Some(0)), Height(3));
        // It has revealed its value to somebody, who had no use for it any more.
        beacon.keep(|key| *key != me);
        assert_eq!((beacon.turn(&me), beacon.first_turn(&me)), (None, 1));
        assert_eq!(beacon.reveal(me, says(1, Some(0)), Height(3)), Err(OutOfTurn));
        assert_eq!(beacon.close(Tick(3), 5), [], "the third is awaited still");
        beacon.keep(|key| *key == me);
        assert!(!beacon.is_busy(), "nobody is left who could close it");
        assert_eq!(beacon.reveal(me, says(1, None), Height(4)), Ok(()));
        assert_eq!(beacon.turn(&me), Some(1));
    }

    proptest! {
        #[test]
        fn every_value_and_the_chain_have_a_share_in_the_seed(
            n in 2u8..6, other in 1u8..6, chain: [u8; 32], is_delayed: bool,
        ) {
            let seed = |foreign: Option<u8>, chain: Digest| {
                let opened = if is_delayed { OPENED } else { chain };
                let mut beacon = Beacon::default();
                let network = |m: u8| if foreign == Some(m) { NetworkId(chain) } else { NETWORK };
                let of = |m: u8, turn| value(&key(m), network(m), turn);
                for m in 1..=n {
                    let next = pledge(key(m).public(), of(m, 0));
                    let reveal = Reveal { value: None, next };
                    beacon.reveal(key(m).public(), reveal, Height(1)).unwrap();
                }
                beacon.open((Height(1), opened), Tick(9), names(n));
                for m in 1..=n {
                    let next = pledge(key(m).public(), of(m, 1));
                    let reveal = Reveal { value: Some(of(m, 0)), next };
                    beacon.reveal(key(m).public(), reveal, Height(2)).unwrap();
                }
                beacon.close(Tick(0), 1);
                beacon.draw(is_delayed.then_some(chain)).unwrap().0
            };
            let chain = Digest(chain);
            prop_assume!(chain != NETWORK.0 && chain != Digest::default());
            prop_assert_eq!(seed(None, chain), seed(None, chain));
            prop_assert_ne!(seed(None, chain), seed(None, Digest::default()));
            prop_assert_eq!(seed(None, chain) == seed(Some(other), chain), other > n);
        }
    }
}
