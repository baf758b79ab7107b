//! Merges: of the numbers that several shards have at one place, one; and the step of the shared
//! parameters towards it. Never depends on which shard came first: they stand in their order.
//!
//! A mean is a chain in f64 from the first shard on, divided once. A trimmed mean sorts by
//! `f32::total_cmp` (where −0 is below +0, and what is not a number stands at the ends), leaves
//! `trim` out at each end, and takes the mean of the rest from the smallest on: the order of the
//! shards does not matter, and neither do `trim` of them, whatever they say. A median is a mean
//! trimmed to the one or two in the middle.

use super::Isa;
use super::isa::{Body, on};

/// Places that are sorted side by side.
const LANES: usize = 64;

struct Mean<'a> {
    shards: &'a [&'a [f32]],
    out: &'a mut [f64],
}

impl Body for Mean<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Some((first, others)) = self.shards.split_first() else { return };
        for (sum, &x) in self.out.iter_mut().zip(*first) {
            *sum = f64::from(x);
        }
        for shard in others {
            for (sum, &x) in self.out.iter_mut().zip(*shard) {
                *sum += f64::from(x);
            }
        }
        let count = self.shards.len() as f64;
        for sum in self.out {
            *sum /= count;
        }
    }
}

struct Trimmed<'a> {
    shards: &'a [&'a [f32]],
    trim: usize,
    out: &'a mut [f64],
}

/// An integer that is ordered as the number is by `f32::total_cmp`.
#[inline(always)]
fn key(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// The number of a key.
#[inline(always)]
fn number(key: i32) -> f32 {
    f32::from_bits((key ^ (((key >> 31) as u32) >> 1) as i32) as u32)
}

/// Sorts each column of rows (odd-even transposition: as many passes as rows).
#[inline(always)]
fn sort(rows: &mut [[i32; LANES]]) {
    for pass in 0..rows.len() {
        for pair in rows.get_mut(pass % 2..).unwrap_or_default().chunks_exact_mut(2) {
            let [low, high] = pair else { continue };
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = ((*a).min(*b), (*a).max(*b));
            }
        }
    }
}

impl Body for Trimmed<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let mut rows = vec![[0i32; LANES]; self.shards.len()];
        let kept = self.trim..self.shards.len() - self.trim;
        let count = kept.len() as f64;
        for (block, out) in self.out.chunks_mut(LANES).enumerate() {
            let from = block * LANES;
            for (row, shard) in rows.iter_mut().zip(self.shards) {
                let values = shard.get(from..).unwrap_or_default();
                for (key_of, &x) in row.iter_mut().zip(values) {
                    *key_of = key(x);
                }
            }
            sort(&mut rows);
            let kept = rows.get(kept.clone()).unwrap_or_default();
            let Some((first, others)) = kept.split_first() else { continue };
            for (sum, &smallest) in out.iter_mut().zip(first) {
                *sum = f64::from(number(smallest));
            }
            for row in others {
                for (sum, &next) in out.iter_mut().zip(row) {
                    *sum += f64::from(number(next));
                }
            }
            for sum in out {
                *sum /= count;
            }
        }
    }
}

/// At each place, the mean of what the shards have there.
///
/// # Panics
/// If there is no shard, or one is not as long as `out`.
pub fn mean(isa: Isa, shards: &[&[f32]], out: &mut [f64]) {
    check(shards, 0, out.len());
    on(isa, Mean { shards, out });
}

/// At each place, the mean of what the shards have there without `trim` at each end.
///
/// # Panics
/// If that leaves nothing, or a shard is not as long as `out`.
pub fn trimmed_mean(isa: Isa, shards: &[&[f32]], trim: usize, out: &mut [f64]) {
    check(shards, trim, out.len());
    on(isa, Trimmed { shards, trim, out });
}

fn check(shards: &[&[f32]], trim: usize, len: usize) {
    assert!(shards.len() > trim.saturating_mul(2), "a shard is left");
    assert!(shards.iter().all(|shard| shard.len() == len), "shards of one length");
}

/// How shared parameters follow the way that shards went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The share of the way that is gone.
    pub lr: f64,
    /// Share of the last way that is kept.
    pub momentum: f64,
}

struct Follow<'a> {
    pace: Pace,
    theta: &'a mut [f32],
    way: &'a mut [f32],
    to: &'a [f64],
}

impl Body for Follow<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Pace { lr, momentum } = self.pace;
        for ((theta, way), &to) in self.theta.iter_mut().zip(self.way).zip(self.to) {
            let from = f64::from(*theta);
            let went = to - from;
            *way = (momentum * f64::from(*way) + went) as f32;
            let step = went + momentum * f64::from(*way);
            *theta = (from + lr * step) as f32;
        }
    }
}

/// Moves `theta` towards `to`, with Nesterov's momentum: `way` is what is kept of the ways before.
///
/// # Panics
/// If the slices are not of one length.
pub fn follow(isa: Isa, pace: Pace, theta: &mut [f32], way: &mut [f32], to: &[f64]) {
    assert!(way.len() == theta.len() && to.len() == theta.len(), "one way each");
    on(isa, Follow { pace, theta, way, to });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::Philox;
    use proptest::prelude::*;

    /// Any bits that are a number, also zeros of both signs and what is hardly one.
    fn numbers(shards: usize, len: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
        let any = prop::num::f32::ANY.prop_map(|x| if x.is_finite() { x } else { -0.0 });
        prop::collection::vec(prop::collection::vec(any, len), shards)
    }

    fn shapes() -> impl Strategy<Value = Vec<Vec<f32>>> {
        (1usize..10, 0usize..150).prop_flat_map(|(shards, len)| numbers(shards, len))
    }

    fn slices(shards: &[Vec<f32>]) -> Vec<&[f32]> {
        shards.iter().map(Vec::as_slice).collect()
    }

    fn bits(xs: &[f64]) -> Vec<u64> {
        xs.iter().map(|x| x.to_bits()).collect()
    }

    fn trimmed(isa: Isa, shards: &[Vec<f32>], trim: usize) -> Vec<f64> {
        let mut out = vec![f64::NAN; shards[0].len()];
        trimmed_mean(isa, &slices(shards), trim, &mut out);
        out
    }

    fn averaged(isa: Isa, shards: &[Vec<f32>]) -> Vec<f64> {
        let mut out = vec![f64::NAN; shards[0].len()];
        mean(isa, &slices(shards), &mut out);
        out
    }

    /// The same, place by place, with the sort of the standard library.
    fn naive(shards: &[Vec<f32>], trim: usize) -> Vec<f64> {
        let place = |at: usize| {
            let mut column: Vec<f32> = shards.iter().map(|shard| shard[at]).collect();
            column.sort_by(f32::total_cmp);
            let kept = &column[trim..column.len() - trim];
            let sum = kept[1..].iter().fold(f64::from(kept[0]), |sum, &x| sum + f64::from(x));
            sum / kept.len() as f64
        };
        (0..shards[0].len()).map(place).collect()
    }

    proptest! {
        #[test]
        fn every_path_gives_the_bits_of_a_plain_sort(shards in shapes(), trim in 0usize..5) {
            let trim = trim.min((shards.len() - 1) / 2);
            let chain = |at: usize| {
                let mut column = shards.iter().map(|shard| f64::from(shard[at]));
                let first = column.next().unwrap();
                column.fold(first, |sum, x| sum + x) / shards.len() as f64
            };
            let chains: Vec<f64> = (0..shards[0].len()).map(chain).collect();
            for isa in Isa::all() {
                prop_assert_eq!(bits(&trimmed(isa, &shards, trim)), bits(&naive(&shards, trim)));
                prop_assert_eq!(bits(&averaged(isa, &shards)), bits(&chains));
            }
        }

        #[test]
        fn equal_shards_are_merged_to_themselves_and_their_order_means_nothing(
            shards in shapes(), by in 0usize..10,
        ) {
            let trim = (shards.len() - 1) / 2;
            let same = vec![shards[0].clone(); shards.len()];
            let one: Vec<f64> = shards[0].iter().map(|&x| f64::from(x)).collect();
            prop_assert_eq!(bits(&averaged(Isa::best(), &same)), bits(&one));
            prop_assert_eq!(bits(&trimmed(Isa::best(), &same, trim)), bits(&one));
            let mut turned = shards.clone();
            turned.rotate_left(by % shards.len());
            let of = |shards: &[Vec<f32>]| bits(&trimmed(Isa::best(), shards, trim));
            prop_assert_eq!(of(&turned), of(&shards));
        }

        #[test]
        fn as_many_liars_as_are_trimmed_cannot_leave_what_the_others_say(
            honest in numbers(5, 20),
            lies in prop::collection::vec(prop::collection::vec(prop::num::f32::ANY, 20), 2),
        ) {
            let all = [lies, honest.clone()].concat();
            for (at, merged) in trimmed(Isa::best(), &all, 2).into_iter().enumerate() {
                let said = honest.iter().map(|shard| f64::from(shard[at]));
                let (low, high) = said.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
                prop_assert!((low..=high).contains(&merged), "{} of {:?}", merged, all);
            }
            // A mean has no such bound: one of them decides it.
            let huge = [vec![vec![f32::MAX; 20]], vec![vec![1.0; 20]; 4]].concat();
            prop_assert!(averaged(Isa::best(), &huge).iter().all(|x| *x > 1e37));
        }
    }

    #[test]
    fn what_is_not_a_number_stands_at_the_ends_and_is_seen_where_it_is_left() {
        let column = |xs: &[f32]| xs.iter().map(|&x| vec![x]).collect::<Vec<_>>();
        let shards = column(&[f32::NAN, 3.0, 1.0, -f32::NAN, 2.0]);
        assert_eq!(trimmed(Isa::best(), &shards, 1), [2.0]);
        assert!(trimmed(Isa::best(), &column(&[f32::NAN, f32::NAN, 1.0]), 1)[0].is_nan());
        assert_eq!(trimmed(Isa::best(), &column(&[f32::INFINITY, 1.0, 4.0]), 1), [4.0]);
        assert_eq!(bits(&trimmed(Isa::best(), &column(&[0.0, -0.0, -0.0]), 1)), bits(&[-0.0]));
    }

    #[test]
    fn all_of_the_way_without_momentum_leads_to_the_merged_numbers() {
        let (mut theta, mut way) = (vec![1.0f32, -2.5, 0.1], vec![9.0; 3]);
        let to = [3.0, 0.3, 1e-3];
        follow(Isa::best(), Pace { lr: 1.0, momentum: 0.0 }, &mut theta, &mut way, &to);
        assert_eq!(theta, [3.0, 0.3, 1e-3]);
    }

    #[test]
    fn momentum_goes_on_in_the_direction_of_the_ways_before() {
        let pace = Pace { lr: 0.5, momentum: 0.5 };
        let (mut theta, mut way) = (vec![0.0f32], vec![0.0]);
        follow(Isa::best(), pace, &mut theta, &mut way, &[4.0]);
        // way = 4; the step is 4 + 0.5 * 4, of which half is gone.
        assert_eq!((theta[0], way[0]), (3.0, 4.0));
        follow(Isa::best(), pace, &mut theta, &mut way, &[3.0]);
        assert_eq!((theta[0], way[0]), (3.5, 2.0));
    }

    #[test]
    fn the_bits_of_a_merge_are_golden_on_every_path() {
        let mut shards = vec![vec![0.0f32; 1003]; 7];
        for (stream, shard) in (0..).zip(&mut shards) {
            Philox::new(5, 5, stream).fill(-2.0, 3.0, shard);
        }
        for isa in Isa::all() {
            let pace = Pace { lr: 0.7, momentum: 0.9 };
            let (mut theta, mut way) = (shards[0].clone(), vec![0.25; 1003]);
            follow(isa, pace, &mut theta, &mut way, &trimmed(isa, &shards, 2));
            follow(isa, pace, &mut theta, &mut way, &averaged(isa, &shards));
            golden::check(&[theta, way].concat(), "merge");
        }
    }
}
