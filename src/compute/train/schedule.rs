//! Schedules: the learning rate of every step, from the number of the step alone.
//! Never calls the C library: the cosine is `exact`'s.

use crate::compute::exact;
use crate::domain::job::{Decay, Schedule};

/// The learning rates of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    lr: f64,
    decay: Decay,
    end: f64,
    /// Steps in which it rises.
    warmup: f64,
    /// Steps in all.
    steps: f64,
}

impl Rates {
    /// Those of a training of so many epochs with so many steps each, at most `lr`.
    pub(super) fn new(schedule: Schedule, lr: f64, epochs: u32, steps_per_epoch: u64) -> Self {
        let steps = f64::from(epochs) * steps_per_epoch as f64;
        Self::of_steps(schedule, lr, steps, steps_per_epoch as f64)
    }

    /// Those of a training of so many steps, of which so many make an epoch, whole or not.
    pub(super) fn of_steps(schedule: Schedule, lr: f64, steps: f64, steps_per_epoch: f64) -> Self {
        let warmup = (schedule.warmup * steps_per_epoch).round().clamp(0.0, steps);
        Self { lr, decay: schedule.decay, end: schedule.end, warmup, steps }
    }

    /// The learning rate of a step, counted from 0. After w steps of warm-up it is `lr`; it would
    /// be `end` times that after the last step.
    pub(super) fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        if step < self.warmup {
            return self.lr * ((step + 1.0) / (self.warmup + 1.0));
        }
        let fallen = ((step - self.warmup) / (self.steps - self.warmup)).clamp(0.0, 1.0);
        let left = match self.decay {
            Decay::Constant => return self.lr,
            Decay::Linear => 1.0 - fallen,
            Decay::Cosine => 0.5 + 0.5 * exact::cos_pi(fallen),
        };
        self.lr * (self.end + (1.0 - self.end) * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::Digest;
    use proptest::prelude::*;

    fn rates(decay: Decay, warmup: f64, end: f64) -> Rates {
        Rates::new(Schedule { decay, warmup, end }, 0.5, 10, 10)
    }

    #[test]
    fn it_rises_to_the_rate_and_falls_to_its_end() {
        assert_eq!(rates(Decay::Constant, 0.0, 1.0).at(77), 0.5);
        let warm = rates(Decay::Constant, 0.9, 1.0);
        assert_eq!([warm.at(0), warm.at(4), warm.at(9), warm.at(99)], [0.05, 0.25, 0.5, 0.5]);
        let line = rates(Decay::Linear, 2.0, 0.25);
        assert_eq!([line.at(20), line.at(60), line.at(100)], [0.5, 0.3125, 0.125]);
        let wave = rates(Decay::Cosine, 0.0, 0.0);
        assert_eq!([wave.at(0), wave.at(100)], [0.5, 0.0]);
        assert!((wave.at(50) - 0.25).abs() < 1e-15 && (wave.at(25) - 0.426_776_695).abs() < 1e-9);
        let all = rates(Decay::Cosine, 10.0, 0.0);
        assert_eq!(all.at(99), 0.5 * (100.0 / 101.0));
    }

    #[test]
    fn its_bits_are_golden() {
        let mut bytes = Vec::new();
        for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
            let rates = Rates::new(Schedule { decay, warmup: 1.3, end: 0.01 }, 3e-4, 30, 37);
            bytes.extend((0..1110).flat_map(|step| rates.at(step).to_le_bytes()));
        }
        assert_eq!(Digest::of(&bytes).short(), "ee297ac80e52");
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_changes_little_from_step_to_step(
            which in 0usize..3, warmup in 0.0f64..12.0, end in 0.0f64..=1.0, epochs in 1u32..50,
            per_epoch in 1u64..50,
        ) {
            let decay = [Decay::Constant, Decay::Linear, Decay::Cosine][which];
            let rates = Rates::new(Schedule { decay, warmup, end }, 0.5, epochs, per_epoch);
            let steps = u64::from(epochs) * per_epoch;
            let all: Vec<f64> = (0..steps).map(|step| rates.at(step)).collect();
            prop_assert!(all.iter().all(|rate| *rate > 0.0 && *rate <= 0.5 + 1e-15), "{:?}", all);
            // The steepest of a wave is π/2 times that of a line.
            let rising = 0.5 / (rates.warmup + 1.0);
            let falling = 0.5 * 1.571 / (rates.steps - rates.warmup).max(1.0);
            for pair in all.windows(2) {
                let change = (pair[1] - pair[0]).abs();
                prop_assert!(change <= rising.max(falling) + 1e-12, "{:?}", pair);
            }
            let (rise, fall) = all.split_at((rates.warmup as usize).min(all.len()));
            prop_assert!(rise.is_sorted_by(|a, b| a < b) && fall.is_sorted_by(|a, b| a >= b));
        }
    }
}
