//! Prices: from work to the reserve of a block, its gas, and the quote of a plan.
//! Never knows who works or who is paid.

use super::genesis::Params;
use super::graph::Job;
use super::verdict::{PPM, Verification};
use crate::base::amount::{Ohc, Price, Rounding, Work, mul_div};
use crate::base::limits::REPRICES_MAX;

/// What a block may cost at the most, at its present price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ceiling {
    /// The most that its worker is paid.
    pub reserve: Ohc,
    /// What the validators are paid.
    pub gas: Ohc,
}

impl Ceiling {
    /// Both; `None` beyond what there is.
    #[must_use]
    pub fn total(&self) -> Option<Ohc> {
        self.reserve.checked_add(self.gas)
    }
}

/// Reserve and gas of jobs that are sold together at a base price, after so many rises of 1/8.
/// `None` where the amounts exceed what there is: such a block is never offered.
#[must_use]
pub fn ceiling<'a>(
    jobs: impl IntoIterator<Item = &'a Job>,
    base: Price,
    params: &Params,
    reprices: u32,
) -> Option<Ceiling> {
    let (mut work, mut gas) = (Work::ZERO, params.gas_block);
    for job in jobs {
        work = work.saturating_add(job.size.work());
        gas = gas.checked_add(gas_of(job, params)?)?;
    }
    Some(Ceiling { reserve: raised(base.of(work)?, reprices)?, gas })
}

/// Gas of one job: g1 · KiB + g2 · expected re-executed share · work.
fn gas_of(job: &Job, params: &Params) -> Option<Ohc> {
    let kib = job.size.bytes_out.div_ceil(1024);
    let bytes = params.gas_per_kib.ratio(kib, 1, Rounding::Ceil)?;
    let share = audited_ppm(job.terms.verification, job.spec.segments());
    let units = mul_div(job.size.work().units(), u64::from(share), u64::from(PPM), Rounding::Ceil)?;
    bytes.checked_add(params.gas_per_unit.ratio(units, 1, Rounding::Ceil)?)
}

/// The share of a job that is expected to be re-executed, in parts per million.
#[must_use]
pub fn audited_ppm(policy: Verification, segments: u32) -> u32 {
    match policy {
        Verification::None | Verification::Replicate { .. } => 0,
        Verification::Full => PPM,
        Verification::Audit { rate_ppm, segments: drawn } => {
            let (drawn, all) = (u64::from(drawn.min(segments)), u64::from(segments.max(1)));
            let share = mul_div(u64::from(rate_ppm.min(PPM)), drawn, all, Rounding::Ceil);
            share.and_then(|share| u32::try_from(share).ok()).unwrap_or(PPM)
        }
    }
}

/// A reserve after `times` rises of 1/8, at most [`REPRICES_MAX`].
#[must_use]
pub fn raised(reserve: Ohc, times: u32) -> Option<Ohc> {
    (0..times.min(REPRICES_MAX)).try_fold(reserve, |sum, _| sum.ratio(9, 8, Rounding::Ceil))
}

/// The base price after an epoch in which nobody took this share of the work asked for: up or down
/// by at most 1/8, by how far the share is from what may stay unsold, within its bounds. Rounded
/// away from the old price, so that a small one moves too.
#[must_use]
pub fn moved(base: Price, unfilled_ppm: u64, params: &Params) -> Price {
    let may = params.unfilled_ppm.max(1);
    let whole = may.saturating_mul(8);
    let (share, rounding) = if unfilled_ppm >= may {
        let over = (unfilled_ppm - may).min(may);
        (whole.saturating_add(over), Rounding::Ceil)
    } else {
        (whole.saturating_sub(may - unfilled_ppm), Rounding::Floor)
    };
    let moved = base.ratio(share, whole, rounding).unwrap_or(params.base_price_max);
    moved.clamp(params.base_price_min, params.base_price_max.max(params.base_price_min))
}

/// What a plan costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quote {
    /// If every block goes to the cheapest standing bid at its own ask.
    pub low: Ohc,
    /// If every block goes half-way between the second-lowest ask and the reserve: the auction
    /// pays the next score, which is that ask and what the next worker's doubtful record adds.
    pub likely: Ohc,
    /// If every block is repriced as often as it can be.
    pub high: Ohc,
}

impl Quote {
    /// Adds the quote of one block, given the asks of the live bids, ascending.
    /// `None` beyond what there is.
    #[must_use]
    pub fn add(self, work: Work, ceiling: Ceiling, asks: &[Price]) -> Option<Self> {
        let at = |ask: Option<&Price>| match ask {
            Some(price) => price.of(work).map(|cost| cost.min(ceiling.reserve)),
            None => Some(ceiling.reserve),
        };
        let plus = |sum: Ohc, reward: Ohc| sum.checked_add(reward)?.checked_add(ceiling.gas);
        let likely = at(asks.get(1))?.checked_add(ceiling.reserve)?.ratio(1, 2, Rounding::Ceil)?;
        Some(Self {
            low: plus(self.low, at(asks.first())?)?,
            likely: plus(self.likely, likely)?,
            high: plus(self.high, raised(ceiling.reserve, REPRICES_MAX)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_rises_by_an_eighth_at_most_five_times() {
        let reserve = Ohc::from_nano(8_000_000);
        assert_eq!(raised(reserve, 1), Some(Ohc::from_nano(9_000_000)));
        assert_eq!(raised(reserve, 9), raised(reserve, 5));
    }

    #[test]
    fn the_base_price_follows_unsold_work_by_an_eighth_at_most() {
        let params = Params::embedded();
        let after = |base, unfilled| moved(Price::new(base), unfilled, &params).nano_per_unit();
        assert_eq!(after(800_000, 50_000), 800_000, "what may stay unsold");
        assert_eq!(after(800_000, 0), 700_000);
        assert_eq!(after(800_000, 25_000), 750_000);
        assert_eq!(after(800_000, 75_000), 850_000);
        assert_eq!((after(800_000, 100_000), after(800_000, 1_000_000)), (900_000, 900_000));
        assert_eq!(after(1_000, 0), 1_000, "never below the lowest");
        assert_eq!(after(1_000_000_000, 1_000_000), 1_000_000_000, "never above the highest");
        assert_eq!(after(1_001, 60_000), 1_027, "rounded away from the old price");
    }

    #[test]
    fn low_likely_and_high_are_in_order() {
        let ceiling = Ceiling { reserve: Ohc::from_nano(1_000), gas: Ohc::from_nano(10) };
        let asks = [Price::new(5), Price::new(8)];
        let quote = Quote::default().add(Work::new(100), ceiling, &asks).unwrap();
        assert_eq!(quote.low, Ohc::from_nano(510));
        assert_eq!(quote.likely, Ohc::from_nano(910));
        assert_eq!(quote.high, Ohc::from_nano(1_000 + 125 + 141 + 159 + 179 + 201 + 10));
        let nobody = Quote::default().add(Work::new(100), ceiling, &[]).unwrap();
        assert_eq!(nobody.likely, Ohc::from_nano(1_010), "without bids the reserve is the price");
    }

    #[test]
    fn the_audited_share_is_rate_times_drawn_segments() {
        let policy = Verification::Audit { rate_ppm: 250_000, segments: 1 };
        assert_eq!(audited_ppm(policy, 8), 31_250);
        assert_eq!(audited_ppm(policy, 1), 250_000);
        assert_eq!(audited_ppm(Verification::Full, 8), PPM);
        assert_eq!(audited_ppm(Verification::None, 8), 0);
    }
}
