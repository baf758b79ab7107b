//! What a lie is worth: what a worker puts at risk by it, how often it must be found out so that it
//! does not pay, and what it brings on the average. Never says that anybody lies.
//!
//! Honest work that costs c is paid P. Who does not do it keeps c; found out, with probability q,
//! it loses the payment and the bond B. Lying about a share f of the segments keeps f·c and is
//! found out with at least q·f, so that the share cancels out. Lying does not pay if and only if
//!
//! ```text
//! q >= c / (P + B)
//! ```
//!
//! Nobody works for less than it costs, so c is at most P: that is what a forecast reckons with.

use crate::base::amount::{Ohc, Rounding};
use crate::domain::verdict::{PPM, Verification};

/// What a lie in a stage is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stake {
    /// What workers have at risk for its blocks at their first prices.
    pub bond: Ohc,
    /// How often a receipt that is false throughout is found out, in parts per million.
    pub caught_ppm: u32,
    /// How often it must be, so that lying does not pay.
    pub needed_ppm: u32,
    /// What lying about all of its blocks brings on the average, in nano-OhC: more than nothing
    /// means that it pays.
    pub gain: i64,
}

impl Stake {
    /// The stake of a stage whose blocks cost this much, at a bond of so many times the price.
    #[must_use]
    pub fn of(policy: Verification, price: Ohc, bond_factor: u64) -> Self {
        let bond = price.ratio(bond_factor, 1, Rounding::Floor).unwrap_or(price);
        let caught_ppm = caught_ppm(policy);
        // The same for every price; where there is none there is no lie either.
        let (one, risk) = (Ohc::from_nano(1), Ohc::from_nano(bond_factor));
        let needed_ppm = needed_ppm(one, one, risk);
        let gain = scaled_gain(price, price, bond, caught_ppm);
        let gain = gain.div_euclid(i128::from(PPM)) + i128::from(gain.rem_euclid(PPM.into()) > 0);
        let gain = i64::try_from(gain).unwrap_or(if gain < 0 { i64::MIN } else { i64::MAX });
        Self { bond, caught_ppm, needed_ppm, gain }
    }

    /// Whether lying brings as much as work, or more.
    #[must_use]
    pub const fn pays(&self) -> bool {
        self.caught_ppm < self.needed_ppm
    }
}

/// How often a receipt that is false throughout is found out. Replicas are compared: it is, as long
/// as one of the workers is honest.
fn caught_ppm(policy: Verification) -> u32 {
    match policy {
        Verification::None => 0,
        Verification::Full | Verification::Replicate { .. } => PPM,
        Verification::Audit { rate_ppm, .. } => rate_ppm.min(PPM),
    }
}

/// The least probability with which a lie must be found out so that it does not pay, rounded up.
#[must_use]
pub fn needed_ppm(cost: Ohc, price: Ohc, bond: Ohc) -> u32 {
    let risk = u128::from(price.nano()) + u128::from(bond.nano());
    let needed = (u128::from(cost.nano()) * u128::from(PPM)).div_ceil(risk.max(1));
    u32::try_from(needed).unwrap_or(u32::MAX)
}

/// What lying brings on the average beyond honest work, in millionths of a nano-OhC: exactly
/// `c - q (P + B)`.
#[must_use]
pub fn scaled_gain(cost: Ohc, price: Ohc, bond: Ohc, caught_ppm: u32) -> i128 {
    let risk = i128::from(price.nano()) + i128::from(bond.nano());
    i128::from(cost.nano()) * i128::from(PPM) - i128::from(caught_ppm) * risk
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fifth_of_all_receipts_is_enough_at_a_bond_of_four_prices() {
        let price = Ohc::from_nano(1_000);
        let at = |rate_ppm| Stake::of(Verification::Audit { rate_ppm, segments: 1 }, price, 4);
        assert_eq!((at(200_000).needed_ppm, at(200_000).gain), (200_000, 0));
        assert!(!at(200_000).pays() && at(199_999).pays());
        assert_eq!((at(250_000).gain, at(100_000).gain), (-250, 500));
        assert_eq!(at(250_000).bond, Ohc::from_nano(4_000));
        assert!(Stake::of(Verification::None, price, 4).pays());
        assert!(!Stake::of(Verification::Full, price, 0).pays());
        assert!(!Stake::of(Verification::Replicate { workers: 2 }, price, 4).pays());
    }

    proptest! {
        #[test]
        fn the_bound_is_tight_lying_pays_at_half_of_it_and_does_not_at_it(
            price in 1_000u64..1_000_000_000_000, share in 1u64..=1_000, factor in 0u64..20,
        ) {
            let cost = Ohc::from_nano(price.div_ceil(1_000) * share).min(Ohc::from_nano(price));
            let (price, bond) = (Ohc::from_nano(price), Ohc::from_nano(price * factor));
            let bound = needed_ppm(cost, price, bond);
            prop_assert!(scaled_gain(cost, price, bond, bound) <= 0);
            // Rounded up by less than one millionth: just below the bound it pays.
            prop_assert!(scaled_gain(cost, price, bond, bound - 1) > 0);
            prop_assert!(bound < 2 || scaled_gain(cost, price, bond, bound / 2) > 0);
        }
    }
}
