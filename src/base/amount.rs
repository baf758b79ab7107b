//! Money and work as integers: OhC in nano-OhC, prices per unit of work, named rounding.
//! Has no operators that can overflow silently and no floats; every remainder has an owner.

use super::canon::canonical_newtype;
use std::fmt;
use std::str::FromStr;

/// Nano-OhC in one OhC.
pub const NANO_PER_OHC: u64 = 1_000_000_000;

/// All the OhC there will ever be, fixed at genesis.
pub const SUPPLY: Ohc = Ohc(72_492_272 * NANO_PER_OHC);

/// An amount of OhC, counted in nano-OhC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ohc(u64);

/// Units of work: the deterministic estimate of what a job costs to run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Work(u64);

/// A price in nano-OhC per unit of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Price(u64);

canonical_newtype!(Ohc, Work, Price);

/// Where the remainder of a division goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    /// Towards zero: the payer keeps the remainder.
    Floor,
    /// Away from zero: the payee gets it.
    Ceil,
}

/// `value * num / den` with a 128-bit product; `None` where the result does not fit or `den` is 0.
#[must_use]
pub fn mul_div(value: u64, num: u64, den: u64, rounding: Rounding) -> Option<u64> {
    let product = u128::from(value) * u128::from(num);
    let den = u128::from(den);
    let quotient = match rounding {
        Rounding::Floor => product.checked_div(den)?,
        Rounding::Ceil => product.checked_add(den.checked_sub(1)?)?.checked_div(den)?,
    };
    u64::try_from(quotient).ok()
}

impl Ohc {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From a count of nano-OhC.
    #[must_use]
    pub const fn from_nano(nano: u64) -> Self {
        Self(nano)
    }

    /// From whole OhC; `None` beyond what 64 bits hold.
    #[must_use]
    pub const fn from_whole(ohc: u64) -> Option<Self> {
        match ohc.checked_mul(NANO_PER_OHC) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }

    /// The count of nano-OhC.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0
    }

    /// The sum, unless it overflows.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nano) => Some(Self(nano)),
            None => None,
        }
    }

    /// The sum of all; `None` on overflow.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// `self * num / den`, rounded as said; `None` where it does not fit.
    #[must_use]
    pub fn ratio(self, num: u64, den: u64, rounding: Rounding) -> Option<Self> {
        mul_div(self.0, num, den, rounding).map(Self)
    }

    /// The smaller of both.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Ord::min(self, other)
    }
}

impl fmt::Display for Ohc {
    /// Decimal OhC without trailing zeros, at least two places: `1.25`, `0.003`, `5.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:09}", self.0 % NANO_PER_OHC);
        let kept = digits.trim_end_matches('0').len().max(2);
        f.pad(&format!("{}.{}", self.0 / NANO_PER_OHC, digits.get(..kept).unwrap_or(&digits)))
    }
}

impl fmt::Debug for Ohc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} OhC")
    }
}

/// Why text is not an amount of OhC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits, optionally with one point and digits after it.
    #[error("not a decimal amount such as \"5.00\"")]
    NotDecimal,
    /// More than nine decimal places.
    #[error("finer than nine decimal places (1 nano-OhC)")]
    TooFine,
    /// More than there is.
    #[error("more than the whole supply of 72492272 OhC")]
    TooLarge,
}

impl FromStr for Ohc {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(AmountError::NotDecimal);
        }
        if fraction.len() > 9 {
            return Err(AmountError::TooFine);
        }
        let whole = whole.parse().ok().and_then(Self::from_whole).ok_or(AmountError::TooLarge)?;
        let nano = format!("{fraction:0<9}").parse().map_err(|_| AmountError::NotDecimal)?;
        match whole.checked_add(Self(nano)) {
            Some(amount) if amount <= SUPPLY => Ok(amount),
            _ => Err(AmountError::TooLarge),
        }
    }
}

impl Work {
    /// No work.
    pub const ZERO: Self = Self(0);

    /// A count of units.
    #[must_use]
    pub const fn new(units: u64) -> Self {
        Self(units)
    }

    /// The count of units.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, stopping at the largest count: work is an estimate, money is not.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, stopping at zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Price {
    /// Nano-OhC per unit of work.
    #[must_use]
    pub const fn new(nano_per_unit: u64) -> Self {
        Self(nano_per_unit)
    }

    /// Nano-OhC per unit of work.
    #[must_use]
    pub const fn nano_per_unit(self) -> u64 {
        self.0
    }

    /// What `work` costs at this price; `None` where it does not fit.
    #[must_use]
    pub fn of(self, work: Work) -> Option<Ohc> {
        self.0.checked_mul(work.0).map(Ohc)
    }

    /// `self * num / den`, rounded as said; `None` where it does not fit.
    #[must_use]
    pub fn ratio(self, num: u64, den: u64, rounding: Rounding) -> Option<Self> {
        mul_div(self.0, num, den, rounding).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, AmountError>) {
        assert_eq!(text.parse::<Ohc>().map(|a| a.to_string()), expect.map(str::to_owned), "{text}");
    }

    #[test]
    fn amounts_are_decimal_text() {
        check("5.00", Ok("5.00"));
        check("5", Ok("5.00"));
        check("0.000000001", Ok("0.000000001"));
        check("72492272", Ok("72492272.00"));
        check("72492272.000000001", Err(AmountError::TooLarge));
        check("0.0000000001", Err(AmountError::TooFine));
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "1,5", " 1"] {
            check(bad, Err(AmountError::NotDecimal));
        }
    }

    #[test]
    fn rounding_says_where_the_remainder_goes() {
        let ten = Ohc::from_nano(10);
        assert_eq!(ten.ratio(1, 3, Rounding::Floor), Some(Ohc::from_nano(3)));
        assert_eq!(ten.ratio(1, 3, Rounding::Ceil), Some(Ohc::from_nano(4)));
        assert_eq!(ten.ratio(1, 0, Rounding::Floor), None);
        assert_eq!(ten.ratio(1, 0, Rounding::Ceil), None);
        assert_eq!(SUPPLY.ratio(u64::MAX, 1, Rounding::Floor), None);
    }

    proptest! {
        #[test]
        fn text_inverts_display(nano in 0..=SUPPLY.nano()) {
            let amount = Ohc::from_nano(nano);
            prop_assert_eq!(amount.to_string().parse::<Ohc>(), Ok(amount));
        }
    }
}
