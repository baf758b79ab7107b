//! One AdamW update (Loshchilov and Hutter 2019, arXiv 1711.05101) of a slice of parameters.
//! Never reorders: decay, moments, bias correction and step are one fixed chain per parameter.
//! Moments without gradients end ([`spent`]).

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
    /// Decay of the first moment.
    pub beta1: f32,
    /// One less `beta1`, rounded once.
    pub rest1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// One less `beta2`, rounded once.
    pub rest2: f32,
    /// 1 / (1 − β1^t)
    pub correction1: f32,
    /// 1 / (1 − β2^t)
    pub correction2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// 1 − lr · weight decay
    pub keep: f32,
}

struct Update<'a> {
    rates: Rates,
    theta: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    gradient: &'a [f32],
}

impl Body for Update<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let r = self.rates;
        let moments = self.m.iter_mut().zip(self.v);
        for ((theta, (m, v)), &g) in self.theta.iter_mut().zip(moments).zip(self.gradient) {
            let g = r.shorten * g;
            *m = spent(r.rest1.mul_add(g, r.beta1 * *m));
            *v = spent(r.rest2.mul_add(g * g, r.beta2 * *v));
            let step = (*m * r.correction1) / ((*v * r.correction2).sqrt() + r.eps);
            *theta = (-r.lr).mul_add(step, *theta * r.keep);
        }
    }
}

/// Updates parameters `theta` and their moments `m` and `v` in place.
///
/// # Panics
/// If the slices are not of one length.
pub fn update(
    isa: Isa,
    rates: Rates,
    theta: &mut [f32],
    (m, v): (&mut [f32], &mut [f32]),
    gradient: &[f32],
) {
    let len = theta.len();
    assert!(m.len() == len && v.len() == len && gradient.len() == len, "one gradient each");
    on(isa, Update { rates, theta, m, v, gradient });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;

    const RATES: Rates = Rates {
        lr: 0.1,
        shorten: 1.0,
        beta1: 0.9,
        rest1: 0.1,
        beta2: 0.999,
        rest2: 0.001,
        correction1: 10.0,
        correction2: 1000.0,
        eps: 1e-8,
        keep: 0.99,
    };

    #[test]
    fn the_first_step_is_the_learning_rate_against_the_sign() {
        let (mut theta, mut m, mut v) = ([1.0, 1.0], [0.0; 2], [0.0; 2]);
        update(Isa::best(), RATES, &mut theta, (&mut m, &mut v), &[0.5, -20.0]);
        assert!((theta[0] - 0.89).abs() < 1e-6 && (theta[1] - 1.09).abs() < 1e-6, "{theta:?}");
    }

    #[test]
    fn moments_without_gradients_come_to_nothing() {
        for isa in Isa::all() {
            let (mut theta, mut m, mut v) = ([1.0; 40], [1e-37; 40], [-1e-37; 40]);
            (m[0], v[1]) = (f32::NAN, f32::NAN);
            for _ in 0..30 {
                let rates = Rates { beta2: 0.9, ..RATES };
                update(isa, rates, &mut theta, (&mut m, &mut v), &[0.0; 40]);
            }
            assert!(m[0].is_nan() && v[1].is_nan());
            assert!(m[1..].iter().chain(&v[2..]).all(|x| x.to_bits() == 0), "{isa} {m:?} {v:?}");
        }
    }

    #[test]
    fn every_path_gives_the_same_bits() {
        let run = |isa| {
            let mut noise = [vec![0.0; 1001], vec![0.0; 1001], vec![0.0; 1001], vec![0.0; 1001]];
            for (i, out) in (0..).zip(noise.iter_mut()) {
                Philox::new(9, 9, i).fill(0.0, 1.0, out);
            }
            let [mut theta, mut m, mut v, g] = noise;
            update(isa, RATES, &mut theta, (&mut m, &mut v), &g);
            [theta, m, v].concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        for isa in Isa::all() {
            assert_eq!(run(isa), run(Isa::PORTABLE), "{isa:?}");
        }
    }
}
