//! One step of gradient descent with momentum (Sutskever, Martens, Dahl, Hinton, "On the importance
//! of initialization and momentum in deep learning", ICML 2013) of a slice of parameters.
//! Never reorders: decay, velocity and step are one fixed chain per parameter.

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
    /// Added to the gradient per unit of the parameter.
    pub decay: f32,
    /// Share of the velocity that is kept.
    pub momentum: f32,
    /// Whether the step goes where the velocity leads to.
    pub nesterov: bool,
}

struct Plain<'a> {
    rates: Rates,
    theta: &'a mut [f32],
    gradient: &'a [f32],
}

impl Body for Plain<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let r = self.rates;
        for (theta, &g) in self.theta.iter_mut().zip(self.gradient) {
            let g = r.decay.mul_add(*theta, r.shorten * g);
            *theta = (-r.lr).mul_add(g, *theta);
        }
    }
}

struct Moving<'a> {
    rates: Rates,
    theta: &'a mut [f32],
    velocity: &'a mut [f32],
    gradient: &'a [f32],
}

impl Body for Moving<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let r = self.rates;
        let items = self.theta.iter_mut().zip(self.velocity).zip(self.gradient);
        for ((theta, velocity), &g) in items {
            let g = r.decay.mul_add(*theta, r.shorten * g);
            *velocity = spent(r.momentum.mul_add(*velocity, g));
            let step = if r.nesterov { r.momentum.mul_add(*velocity, g) } else { *velocity };
            *theta = (-r.lr).mul_add(step, *theta);
        }
    }
}

/// Updates parameters `theta` and, if it has any, their `velocity` in place.
///
/// # Panics
/// If the slices are not of one length.
pub fn update(
    isa: Isa,
    rates: Rates,
    theta: &mut [f32],
    velocity: Option<&mut [f32]>,
    gradient: &[f32],
) {
    assert_eq!(gradient.len(), theta.len(), "one gradient each");
    match velocity {
        None => on(isa, Plain { rates, theta, gradient }),
        Some(velocity) => {
            assert_eq!(velocity.len(), theta.len(), "one velocity each");
            on(isa, Moving { rates, theta, velocity, gradient });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::{Philox, purpose};
    use proptest::prelude::*;

    const RATES: Rates =
        Rates { lr: 0.1, shorten: 1.0, decay: 0.0, momentum: 0.5, nesterov: false };

    #[test]
    fn a_velocity_keeps_its_share_of_the_last_step() {
        let step = |rates| {
            let (mut theta, mut velocity) = ([1.0], [0.0]);
            for g in [2.0, 1.0] {
                update(Isa::best(), rates, &mut theta, Some(&mut velocity), &[g]);
            }
            theta[0]
        };
        // 1 − 0.1·2 − 0.1·(0.5·2 + 1)
        assert!((step(RATES) - 0.6f32).abs() < 1e-6);
        // 1 − 0.1·(0.5·2 + 2) − 0.1·(0.5·2 + 1)
        assert!((step(Rates { nesterov: true, ..RATES }) - 0.5f32).abs() < 1e-6);
        // 1 − 0.1·(1 + 2) − 0.1·(0.5·3 + 0.7 + 1)
        assert!((step(Rates { decay: 1.0, ..RATES }) - 0.38f32).abs() < 1e-6);
    }

    #[test]
    fn a_velocity_without_gradients_comes_to_rest() {
        let (mut theta, mut velocity) = ([1.0; 20], [1.0; 20]);
        for _ in 0..127 {
            update(Isa::best(), RATES, &mut theta, Some(&mut velocity), &[0.0; 20]);
        }
        assert_eq!(velocity, [0.0; 20]);
    }

    #[test]
    fn every_path_gives_the_same_golden_bits() {
        let rates = Rates { decay: 0.01, shorten: 0.9, nesterov: true, ..RATES };
        for isa in Isa::all() {
            let mut noise = [vec![0.0; 1001], vec![0.0; 1001], vec![0.0; 1001]];
            for (i, out) in (0..).zip(noise.iter_mut()) {
                Philox::new(9, purpose::SYNTHETIC, i).fill(-1.0, 1.0, out);
            }
            let [mut theta, mut velocity, g] = noise;
            update(isa, rates, &mut theta, Some(&mut velocity), &g);
            golden::check(&[theta, velocity].concat(), "sgd");
        }
    }

    proptest! {
        #[test]
        fn without_momentum_a_velocity_changes_nothing(
            theta in -5f32..5.0, decay in 0f32..1.0, nesterov: bool,
            gradients in proptest::collection::vec(-5f32..5.0, 1..9),
        ) {
            let rates = Rates { momentum: 0.0, decay, nesterov, ..RATES };
            let (mut plain, mut moving, mut velocity) = ([theta], [theta], [0.0]);
            for g in gradients {
                update(Isa::best(), rates, &mut plain, None, &[g]);
                update(Isa::best(), rates, &mut moving, Some(&mut velocity), &[g]);
                prop_assert_eq!(plain[0].to_bits(), moving[0].to_bits());
            }
        }
    }
}
