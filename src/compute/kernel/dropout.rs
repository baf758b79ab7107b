//! Dropout (Srivastava and others, JMLR 2014): values that are left out of a step by lot.
//! Never stores which: the lot is a Philox stream of the seed, the layer and the step.

use super::Isa;
use super::isa::{Body, on};
use super::philox::{LANES, Philox, purpose};

/// What is left out in one layer at one step. The values that stay are made larger, so that their
/// sum is expected to be the same: a prediction needs no dropout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The seed of the training.
    pub seed: u64,
    /// The place of the layer among those that leave values out.
    pub layer: u32,
    /// The step, of which there are fewer than 2^32.
    pub step: u64,
    /// The share that is left out, from 0 and below 1.
    pub rate: f64,
}

struct Masked<'a> {
    philox: Philox,
    first: u64,
    bound: u32,
    scale: f32,
    values: &'a mut [f32],
}

impl Body for Masked<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let lots = (self.first..).step_by(LANES);
        for (block, values) in lots.zip(self.values.chunks_mut(4 * LANES)) {
            let words = self.philox.blocks(block);
            for (lane, value) in values.iter_mut().enumerate() {
                // Word w of block l is words[w][l]: that of value 4·l + w of the stream is taken
                // for value LANES·w + l, which is as good a lot and needs no transposition.
                let word = words.as_flattened().get(lane).copied().unwrap_or_default();
                *value = if word < self.bound { 0.0 } else { *value * self.scale };
            }
        }
    }
}

impl Dropout {
    /// Leaves values out, in place: what a layer does forward, and its gradient backward.
    pub fn apply(&self, isa: Isa, values: &mut [f32]) {
        // 2^32 as f64: the share of all words that is below the bound is the rate.
        let bound = (self.rate * 4_294_967_296.0) as u32;
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        let philox = Philox::new(self.seed, purpose::DROPOUT, self.layer);
        // 2^32 blocks for each step: more than a batch has values.
        let first = self.step << 32;
        on(isa, Masked { philox, first, bound, scale, values });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;

    const SOME: Dropout = Dropout { seed: 3, layer: 1, step: 5, rate: 0.25 };

    fn kept(dropout: Dropout) -> Vec<f32> {
        let mut values = vec![1.0; 10_007];
        dropout.apply(Isa::best(), &mut values);
        values
    }

    #[test]
    fn about_the_share_is_left_out_and_the_rest_is_made_larger() {
        let values = kept(SOME);
        let out = values.iter().filter(|x| **x == 0.0).count();
        // 2502 expected, standard deviation 43.
        assert!((2300..2700).contains(&out), "{out}");
        assert!(values.iter().all(|x| *x == 0.0 || *x == (1.0f64 / 0.75) as f32));
        assert_eq!(kept(Dropout { rate: 0.0, ..SOME }), vec![1.0; 10_007]);
    }

    #[test]
    fn every_seed_layer_and_step_has_its_own_lot() {
        let others = [
            Dropout { seed: 4, ..SOME },
            Dropout { layer: 2, ..SOME },
            Dropout { step: 6, ..SOME },
        ];
        assert_eq!(kept(SOME), kept(SOME));
        assert!(others.into_iter().all(|other| kept(other) != kept(SOME)));
    }

    #[test]
    fn every_path_gives_the_same_golden_bits() {
        let run = |isa| {
            let mut values: Vec<f32> = (0..1003u16).map(f32::from).collect();
            SOME.apply(isa, &mut values);
            values
        };
        assert!(Isa::all().into_iter().all(|isa| run(isa) == run(Isa::PORTABLE)));
        golden::check(&run(Isa::best()), "dropout");
    }

    #[test]
    fn a_nan_that_stays_is_one() {
        let mut values = [f32::NAN; 64];
        SOME.apply(Isa::best(), &mut values);
        assert!(values.iter().any(|x| x.is_nan()));
    }
}
