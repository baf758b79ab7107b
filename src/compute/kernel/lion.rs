//! One Lion update (Chen and others 2023, arXiv 2302.06675) of a slice of parameters.
//! Never reorders: decay, direction, step and momentum are one fixed chain per parameter.

use super::Isa;
use super::isa::{Body, on};
use super::spent;

/// What is the same for all parameters of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub lr: f32,
    /// What the gradient is multiplied with first.
    pub shorten: f32,
    /// Share of the momentum in the direction.
    pub beta1: f32,
    /// One less `beta1`, rounded once.
    pub rest1: f32,
    /// Decay of the momentum.
    pub beta2: f32,
    /// One less `beta2`, rounded once.
    pub rest2: f32,
    /// 1 − lr · weight decay
    pub keep: f32,
}

struct Update<'a> {
    rates: Rates,
    theta: &'a mut [f32],
    momentum: &'a mut [f32],
    gradient: &'a [f32],
}

impl Body for Update<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let r = self.rates;
        let items = self.theta.iter_mut().zip(self.momentum).zip(self.gradient);
        for ((theta, m), &g) in items {
            let g = r.shorten * g;
            let along = r.rest1.mul_add(g, r.beta1 * *m);
            // Zero stays zero, and a NaN stays one, so that it is found.
            let below = if along < 0.0 { -1.0 } else { along };
            let sign = if along > 0.0 { 1.0 } else { below };
            *theta = (-r.lr).mul_add(sign, *theta * r.keep);
            *m = spent(r.rest2.mul_add(g, r.beta2 * *m));
        }
    }
}

/// Updates parameters `theta` and their momentum in place.
///
/// # Panics
/// If the slices are not of one length.
pub fn update(isa: Isa, rates: Rates, theta: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
    let len = theta.len();
    assert!(momentum.len() == len && gradient.len() == len, "one gradient each");
    on(isa, Update { rates, theta, momentum, gradient });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::{Philox, purpose};

    const RATES: Rates = Rates {
        lr: 0.1,
        shorten: 1.0,
        beta1: 0.9,
        rest1: 0.1,
        beta2: 0.99,
        rest2: 0.01,
        keep: 0.5,
    };

    #[test]
    fn a_step_has_one_length_whatever_the_gradient() {
        let (mut theta, mut m) = ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, -1.0]);
        update(Isa::best(), RATES, &mut theta, &mut m, &[0.001, -20.0, 0.0, 1.0]);
        assert_eq!(theta, [0.4, 0.6, 0.5, 0.6]);
        assert_eq!(m, [0.01 * 0.001, 0.01 * -20.0, 0.0, 0.01f32.mul_add(1.0, -0.99)]);
    }

    #[test]
    fn a_gradient_that_is_not_a_number_is_not_hidden() {
        let (mut theta, mut m) = ([1.0], [0.0]);
        update(Isa::best(), RATES, &mut theta, &mut m, &[f32::NAN]);
        assert!(theta[0].is_nan() && m[0].is_nan());
    }

    #[test]
    fn without_gradients_a_parameter_comes_to_rest() {
        let (mut theta, mut m) = ([1.0; 20], [1.0; 20]);
        let mut step = |times| {
            for _ in 0..times {
                let rates = Rates { beta2: 0.9, keep: 1.0, ..RATES };
                update(Isa::best(), rates, &mut theta, &mut m, &[0.0; 20]);
            }
            (theta, m)
        };
        // 0.9^829 is below the normal range; at 4·2^-149 it would stay.
        let rest = step(830);
        assert_eq!((rest.1, step(1)), ([0.0; 20], rest));
    }

    #[test]
    fn every_path_gives_the_same_golden_bits() {
        let run = |isa| {
            let mut noise = [vec![0.0; 1001], vec![0.0; 1001], vec![0.0; 1001]];
            for (i, out) in (0..).zip(noise.iter_mut()) {
                Philox::new(9, purpose::SYNTHETIC, i).fill(-1.0, 1.0, out);
            }
            let [mut theta, mut m, g] = noise;
            update(isa, RATES, &mut theta, &mut m, &g);
            [theta, m].concat()
        };
        assert!(Isa::all().into_iter().all(|isa| run(isa) == run(Isa::PORTABLE)));
        golden::check(&run(Isa::best()), "lion");
    }
}
