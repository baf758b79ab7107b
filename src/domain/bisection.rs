//! Bisection: two who disagree about the end of a computation find the first step at which they
//! part. Both agree on the state before it, so one step settles who is right.
//! Never knows money, nor which of them lies.
//!
//! After refereed delegation (Verde, arXiv 2502.19405, §3): both state the state in the middle of
//! what is in question; where they agree the second half is, else the first. A computation of n
//! steps takes ⌈log2 n⌉ + 1 rounds.

use crate::base::canon::{Digest, canonical_enum, canonical_struct};
use crate::base::ids::LeaseId;
use std::collections::BTreeMap;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// He whose receipt is in question.
    Worker,
    /// He who objects to it.
    Objector,
}
canonical_enum!(Side { 1 => Worker, 2 => Objector });

/// What one side says in one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The receipt that is in question.
    pub lease: LeaseId,
    /// The round, from 0: in that one both say how many steps there are, and the state at the end.
    pub round: u32,
    /// The steps of the segment.
    pub steps: u64,
    /// The digest of the state after as many of them as the round asks for.
    pub state: Digest,
}
canonical_struct!(Move { lease, round, steps, state });

/// How far two sides are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bisection {
    /// Steps after which both have the same state, and that state.
    agreed: (u64, Digest),
    /// Steps after which they have not, and their states then.
    parted: Option<(u64, Parted)>,
    round: u32,
    said: BTreeMap<Side, (u64, Digest)>,
}
canonical_struct!(Bisection { agreed, parted, round, said });

/// Two states after the same steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Parted {
    worker: Digest,
    objector: Digest,
}
canonical_struct!(Parted { worker, objector });

/// What a round came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The other side has not spoken, or there is another round.
    Open,
    /// One step is left.
    Narrowed,
    /// They do not agree on how many steps there are: no step can be pointed at.
    Uneven,
    /// This side has said something else before.
    Contradicted(Side),
}

/// The one step that is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its number within the segment, from 0.
    pub index: u64,
    /// The state before it, on which both agree.
    pub from: Digest,
    /// The state after it, as the worker says.
    pub worker: Digest,
    /// The state after it, as the objector says.
    pub objector: Digest,
}
canonical_struct!(Step { index, from, worker, objector });

impl Bisection {
    /// Begins. Both agree on the state before the first step; `begin` is its digest.
    #[must_use]
    pub fn open(begin: Digest) -> Self {
        Self { agreed: (0, begin), parted: None, round: 0, said: BTreeMap::new() }
    }

    /// The round that is played.
    #[must_use]
    pub fn round(&self) -> u32 {
        self.round
    }

    /// After how many steps the state is asked for; none for the end.
    #[must_use]
    pub fn asks(&self) -> Option<u64> {
        self.parted.map(|(high, _)| self.agreed.0.midpoint(high))
    }

    /// Whether this side is to speak.
    #[must_use]
    pub fn awaits(&self, side: Side) -> bool {
        self.step().is_none() && !self.said.contains_key(&side)
    }

    /// The step that is left, once no other is.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        let ((index, from), (high, Parted { worker, objector })) = (self.agreed, self.parted?);
        (high == index + 1).then_some(Step { index, from, worker, objector })
    }

    /// One side speaks, in the round that is played and for the first time in it. `claimed` is
    /// what the receipt says about the end.
    pub fn say(&mut self, side: Side, steps: u64, state: Digest, claimed: Digest) -> Turn {
        self.said.insert(side, (steps, state));
        let both = (self.said.get(&Side::Worker), self.said.get(&Side::Objector));
        let (Some(&(steps, worker)), Some(&(theirs, objector))) = both else { return Turn::Open };
        self.said.clear();
        match self.asks() {
            None => {
                if worker != claimed {
                    return Turn::Contradicted(Side::Worker);
                }
                if steps != theirs || steps == 0 {
                    return Turn::Uneven;
                }
                if objector == claimed {
                    return Turn::Contradicted(Side::Objector);
                }
                self.parted = Some((steps, Parted { worker, objector }));
            }
            Some(middle) if worker == objector => self.agreed = (middle, worker),
            Some(middle) => self.parted = Some((middle, Parted { worker, objector })),
        }
        self.round = self.round.saturating_add(1);
        if self.step().is_some() { Turn::Narrowed } else { Turn::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(of: &str, step: u64) -> Digest {
        Digest::of(format!("{of} {step}").as_bytes())
    }

    /// Both play to the end over `steps`, of which the worker's are wrong from `lie` on.
    fn play(steps: u64, lie: u64) -> (Bisection, u32) {
        let honest = |step| state("true", step);
        let worker = |step| if step >= lie { state("false", step) } else { honest(step) };
        let mut bisection = Bisection::open(honest(0));
        let mut rounds = 0;
        while bisection.step().is_none() {
            let at = bisection.asks().unwrap_or(steps);
            assert!(bisection.awaits(Side::Worker) && bisection.awaits(Side::Objector));
            let first = bisection.say(Side::Worker, steps, worker(at), worker(steps));
            assert_eq!(first, Turn::Open);
            assert!(!bisection.awaits(Side::Worker));
            bisection.say(Side::Objector, steps, honest(at), worker(steps));
            rounds += 1;
        }
        (bisection, rounds)
    }

    proptest! {
        #[test]
        fn the_first_step_that_differs_is_found_in_a_logarithm_of_rounds(
            steps in 1u64..100_000, lie in 1u64..100_000,
        ) {
            let lie = 1 + lie % steps;
            let (bisection, rounds) = play(steps, lie);
            let step = bisection.step().unwrap();
            prop_assert_eq!(step.index, lie - 1);
            prop_assert_eq!(step.from, state("true", lie - 1));
            prop_assert_eq!(step.worker, state("false", lie));
            prop_assert_eq!(step.objector, state("true", lie));
            prop_assert!(rounds <= u64::BITS - (steps - 1).leading_zeros() + 1);
        }
    }

    #[test]
    fn who_says_something_else_than_before_has_contradicted_itself() {
        let (a, b, c) = (state("a", 9), state("b", 9), state("c", 9));
        let opening = |worker, objector, theirs| {
            let mut bisection = Bisection::open(state("a", 0));
            bisection.say(Side::Objector, theirs, objector, a);
            bisection.say(Side::Worker, 9, worker, a)
        };
        assert_eq!(opening(b, c, 9), Turn::Contradicted(Side::Worker));
        assert_eq!(opening(a, a, 9), Turn::Contradicted(Side::Objector));
        assert_eq!(opening(a, b, 8), Turn::Uneven);
        assert_eq!(opening(a, b, 9), Turn::Open);
    }
}
