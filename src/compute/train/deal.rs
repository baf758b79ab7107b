//! Deals: which rows each step learns from, by the number of the step alone.
//! Never remembers what was dealt before: what it keeps is found again at once.
//!
//! A training takes all rows in every epoch, in an order of the epoch; the last batch may be
//! smaller. A shard has rows of its own: row i of a permutation by the seed is of shard i mod M. It
//! takes them again and again, in a new order each time, in batches that are always whole.

use crate::compute::kernel::philox::{Philox, purpose};
use crate::domain::job::{Parallel, Train};

/// The rows of a training, or of a shard of it, and their order in one pass.
#[derive(Debug, Clone)]
pub(super) struct Deal {
    seed: u64,
    batch: u64,
    /// The rows of a shard; none where all are learned from.
    own: Option<Vec<u32>>,
    rows: u32,
    /// A pass and its order.
    pass: Option<(u64, Vec<u32>)>,
}

impl Deal {
    /// Of a training with so many rows to learn from.
    pub(super) fn new(spec: &Train, rows: u32) -> Self {
        let (own, seed) = match &spec.parallel {
            Some(Parallel::Shard(shard)) => {
                let dealt = Philox::new(spec.seed, purpose::DEAL, 0).permutation(rows);
                let from = (shard.index as usize).min(dealt.len());
                let own = dealt.into_iter().skip(from).step_by(shard.count.max(1) as usize);
                (Some(own.collect::<Vec<u32>>()), shard_seed(spec.seed, shard.index))
            }
            _ => (None, spec.seed),
        };
        let rows = own.as_ref().map_or(rows, |own| own.len() as u32);
        Self { seed, batch: u64::from(spec.batch), own, rows, pass: None }
    }

    /// The seed of all that is left to chance besides.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The rows of a step; none where there are none.
    pub(super) fn batch(&mut self, step: u64) -> Vec<u32> {
        let rows = u64::from(self.rows);
        if rows == 0 {
            return Vec::new();
        }
        if self.own.is_some() {
            let from = step.saturating_mul(self.batch);
            let places = (from..from.saturating_add(self.batch)).map(|at| (at / rows, at % rows));
            return places.filter_map(|(pass, at)| self.row(pass, at)).collect();
        }
        let steps = rows.div_ceil(self.batch.max(1));
        let from = step % steps * self.batch;
        let to = from.saturating_add(self.batch).min(rows);
        (from..to).filter_map(|at| self.row(step / steps, at)).collect()
    }

    fn row(&mut self, pass: u64, at: u64) -> Option<u32> {
        if self.pass.as_ref().is_none_or(|(known, _)| *known != pass) {
            let stream = (pass & u64::from(u32::MAX)) as u32;
            let order = Philox::new(self.seed, purpose::ORDER, stream).permutation(self.rows);
            self.pass = Some((pass, order));
        }
        let (_, order) = self.pass.as_ref()?;
        let place = order.get(at as usize).copied()?;
        match &self.own {
            Some(own) => own.get(place as usize).copied(),
            None => Some(place),
        }
    }
}

/// The seed of one shard.
fn shard_seed(seed: u64, shard: u32) -> u64 {
    let [low, high, ..] = Philox::new(seed, purpose::SHARD, shard).block(0);
    u64::from(low) | u64::from(high) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::train::tests::spec_of;
    use crate::domain::job::{Shard, Task};
    use proptest::prelude::*;

    fn of(rows: u32, batch: u32, shard: Option<(u32, u32)>) -> Deal {
        let shard_of = |(index, count)| {
            Parallel::Shard(Shard { index, count, round: 0, steps: 1, steps_in_all: 0 })
        };
        let parallel = shard.map(shard_of);
        Deal::new(&Train { batch, parallel, ..spec_of(Task::Regression, &["y"]) }, rows)
    }

    fn sorted(mut rows: Vec<u32>) -> Vec<u32> {
        rows.sort_unstable();
        rows
    }

    proptest! {
        #[test]
        fn every_row_is_of_one_shard_and_comes_once_in_each_of_its_passes(
            rows in 1u32..200, count in 1u32..9, batch in 1u32..40, passes in 1u64..4,
        ) {
            let mut all = Vec::new();
            for index in 0..count {
                let own = of(rows, batch, Some((index, count))).own.unwrap();
                prop_assert!(own.len().abs_diff((rows / count) as usize) <= 1);
                // Batches are whole, one after the other: after so many passes each row came as
                // often, whatever the batch.
                let mut deal = of(rows, batch, Some((index, count)));
                let steps = (own.len() as u64 * passes).div_ceil(u64::from(batch));
                let mut dealt = Vec::new();
                for step in 0..steps {
                    let rows = deal.batch(step);
                    prop_assert_eq!(rows.len(), if own.is_empty() { 0 } else { batch as usize });
                    dealt.extend(rows);
                }
                for pass in dealt.chunks_exact(own.len().max(1)).take(passes as usize) {
                    prop_assert_eq!(sorted(pass.to_vec()), sorted(own.clone()));
                }
                all.extend(own);
            }
            prop_assert_eq!(sorted(all), (0..rows).collect::<Vec<_>>());
        }

        #[test]
        fn a_step_is_dealt_the_same_whatever_was_dealt_before(
            rows in 1u32..90, batch in 1u32..40, steps in prop::collection::vec(0u64..50, 1..9),
        ) {
            for shard in [None, Some((0, 1)), Some((1, 3))] {
                let mut deal = of(rows, batch, shard);
                for &step in &steps {
                    prop_assert_eq!(deal.batch(step), of(rows, batch, shard).batch(step));
                }
            }
        }
    }
}
