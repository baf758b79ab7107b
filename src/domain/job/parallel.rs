//! Trainings in parallel: shards that learn side by side in rounds, and how what they learned
//! becomes one. Never says how a step is taken: a training does.
//!
//! A training of M shards and R rounds is 2 + R·(M + 1) jobs; of rounds that one learns alone each
//! is one job. The first gives the state before the
//! first step. In each round every shard takes so many steps from the state that all share, on rows
//! of its own, and a merge makes of their states the one of the next round. The last job gives the
//! model. No job remembers anything: whoever runs it, whenever, gives the same bytes. With
//! `deltas: int8` what they give is smaller, and what a shard has not said in one round is an input
//! of its job of the next.

use super::Spec;
use crate::base::canon::{canonical_enum, canonical_struct};

/// Which job of a training in parallel one is.
#[derive(Clone, PartialEq, Debug)]
pub enum Parallel {
    /// All of it, as a manifest asks for it: no job yet.
    Whole(Rounds),
    /// The state before the first step; no row is learned from.
    Start,
    /// The steps of one shard in one round: input `state` (of the merge before), output `state`.
    Shard(Shard),
    /// The model of the last merged `state`.
    Finish(Finish),
    /// The same steps of a shard, of which less is said: inputs `state` and `residual` (of its job
    /// of the round before, if that came to something), outputs `delta` and `residual`.
    Delta(Shard),
}
canonical_enum!(Parallel {
    1 => Whole(x),
    2 => Start,
    3 => Shard(x),
    4 => Finish(x),
    5 => Delta(x),
});

impl Parallel {
    /// The shard whose steps it is, however they are said.
    #[must_use]
    pub const fn shard(&self) -> Option<&Shard> {
        match self {
            Self::Shard(shard) | Self::Delta(shard) => Some(shard),
            Self::Whole(_) | Self::Start | Self::Finish(_) => None,
        }
    }
}

/// How a training is spread over shards and rounds.
#[derive(Clone, PartialEq, Debug)]
pub struct Rounds {
    /// How many learn side by side.
    pub shards: u32,
    /// How often they are merged.
    pub rounds: u32,
    /// Steps of each shard in each round.
    pub local_steps: u32,
    /// How.
    pub merge: Merge,
    /// Milliseconds for which the other shards of a round are waited for, once there is a quorum;
    /// it is no part of any job.
    pub grace_ms: Option<u64>,
    /// How shards and merges say what they give.
    pub deltas: Deltas,
    /// Of the rounds, how many at the beginning one learns alone, from as many rows in each step as
    /// all shards together: nothing is merged in them.
    pub alone: u32,
}
canonical_struct!(Rounds { shards, rounds, local_steps, merge, grace_ms, deltas, alone });

/// How the states of a training in parallel are said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deltas {
    /// As they are.
    Whole,
    /// In steps of 8 bits; what these leave over is added to what is said next.
    Int8,
}
canonical_enum!(Deltas { 1 => Whole, 2 => Int8 });

impl Deltas {
    /// The words of a manifest.
    pub const WORDS: &'static [&'static str] = &["float32", "int8"];

    /// What a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "float32" => Some(Self::Whole),
            "int8" => Some(Self::Int8),
            _ => None,
        }
    }
}

/// One shard in one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// How many there are. Row i of a keyed permutation of all rows is of shard i mod `count`.
    pub count: u32,
    /// Which round, from 0.
    pub round: u32,
    /// Steps in each round.
    pub steps: u32,
    /// Steps of all rounds, by which the learning rate falls; 0 where it does not fall, so that
    /// more rounds go on from those that are known.
    pub steps_in_all: u64,
}
canonical_struct!(Shard { index, count, round, steps, steps_in_all });

/// The end of a training in parallel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finish {
    /// Steps that each shard has taken.
    pub steps: u64,
    /// Shards.
    pub shards: u32,
}
canonical_struct!(Finish { steps, shards });

/// Makes one state of several: inputs `state` (the one from which all began) and `shards` (theirs),
/// output `state`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Merge {
    /// What of the numbers of all shards is taken, of every parameter and every moment.
    pub rule: Rule,
    /// Shards that are enough, where others come to nothing.
    pub quorum: u32,
    /// How far the parameters follow the way that the shards went: 1 is all of it.
    pub lr: f64,
    /// Share of the last way that is kept (Nesterov).
    pub momentum: f64,
}
canonical_struct!(Merge { rule, quorum, lr, momentum });

/// What is taken of several numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Their mean.
    Mean,
    /// The mean without so many of the smallest and as many of the largest.
    TrimmedMean {
        /// How many at each end.
        trim: u32,
    },
    /// The one in the middle, or the mean of the two there.
    Median,
}
canonical_enum!(Rule { 1 => Mean, 2 => TrimmedMean { trim }, 3 => Median });

impl Rule {
    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::TrimmedMean { .. } => "trimmed-mean",
            Self::Median => "median",
        }
    }

    /// How many it leaves out at each end of so many numbers.
    #[must_use]
    pub const fn trim(self, of: u32) -> u32 {
        match self {
            Self::Mean => 0,
            Self::TrimmedMean { trim } => trim,
            Self::Median => of.saturating_sub(1) / 2,
        }
    }
}

impl Rounds {
    /// Steps that each shard takes in all.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        // At most 2^64 - 2^33 + 1.
        self.rounds as u64 * self.local_steps as u64
    }

    /// The job of one shard in one round, both from 0, of a training whose rate falls or does not.
    #[must_use]
    pub const fn shard(&self, (round, index): (u32, u32), falls: bool) -> Parallel {
        let steps_in_all = if falls { self.steps() } else { 0 };
        let (count, steps) = (self.shards_in(round), self.local_steps);
        let shard = Shard { index, count, round, steps, steps_in_all };
        match self.deltas {
            Deltas::Int8 if round >= self.alone => Parallel::Delta(shard),
            Deltas::Whole | Deltas::Int8 => Parallel::Shard(shard),
        }
    }

    /// How many learn in a round, from 0.
    #[must_use]
    pub const fn shards_in(&self, round: u32) -> u32 {
        if round < self.alone { 1 } else { self.shards }
    }

    /// Rows of each step of one of them, where a shard learns from so many.
    #[must_use]
    pub const fn batch_in(&self, round: u32, batch: u32) -> u32 {
        if round < self.alone { batch.saturating_mul(self.shards) } else { batch }
    }

    /// What a merge of them computes.
    #[must_use]
    pub const fn merge(&self) -> Spec {
        match self.deltas {
            Deltas::Whole => Spec::Merge(self.merge),
            Deltas::Int8 => Spec::MergeDeltas(self.merge),
        }
    }

    /// The job that gives the model.
    #[must_use]
    pub const fn finish(&self) -> Parallel {
        Parallel::Finish(Finish { steps: self.steps(), shards: self.shards })
    }

    /// The jobs of it.
    #[must_use]
    pub const fn jobs(&self) -> u64 {
        let alone = if self.alone < self.rounds { self.alone } else { self.rounds };
        let together = (self.rounds - alone) as u64;
        together.saturating_mul(self.shards as u64 + 1).saturating_add(2 + alone as u64)
    }
}

impl Merge {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![("parallel", self != other)]
    }
}
