//! Numbers in expressions: decimals as integers with a scale, computed with exactly or not at all.
//! Never a float: what is no exact decimal is refused, so that every node agrees.

use std::cmp::Ordering;

/// Decimal places of a result, at most.
const PLACES_MAX: u32 = 18;

/// `units · 10^-places`, without a zero at the end of its fraction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decimal {
    units: i128,
    places: u32,
}

impl Decimal {
    /// A number as YAML writes it; `None` if it is finer or larger than what is computed with.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (sign, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !is_digits(&digits) || digits.len() > 64 {
            return None;
        }
        let fraction = i32::try_from(fraction.len()).ok()?;
        let units = digits.trim_start_matches('0');
        let zeros = units.len() - units.trim_end_matches('0').len();
        let short = units.trim_end_matches('0');
        if short.is_empty() {
            return Some(Self { units: 0, places: 0 });
        }
        let exponent = exponent.checked_sub(fraction)?.checked_add(i32::try_from(zeros).ok()?)?;
        let units = short.parse::<i128>().ok()?.checked_mul(sign)?;
        match u32::try_from(exponent) {
            Ok(up) => {
                let units = units.checked_mul(10i128.checked_pow(up)?)?;
                Some(Self { units, places: 0 })
            }
            Err(_) => Self { units, places: exponent.unsigned_abs() }.bounded(),
        }
    }

    fn bounded(mut self) -> Option<Self> {
        while self.places > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.places -= 1;
        }
        (self.places <= PLACES_MAX).then_some(self)
    }

    /// Both as integers of the same scale.
    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let places = self.places.max(other.places);
        let at = |one: Self| one.units.checked_mul(10i128.checked_pow(places - one.places)?);
        Some((at(self)?, at(other)?, places))
    }

    /// The sum.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (a, b, places) = self.aligned(other)?;
        Self { units: a.checked_add(b)?, places }.bounded()
    }

    /// The difference.
    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negative()?)
    }

    /// The negative.
    pub(super) fn negative(self) -> Option<Self> {
        Some(Self { units: self.units.checked_neg()?, ..self })
    }

    /// The product.
    pub(super) fn times(self, other: Self) -> Option<Self> {
        let units = self.units.checked_mul(other.units)?;
        Self { units, places: self.places + other.places }.bounded()
    }

    /// The quotient, if it is a decimal of at most 18 places.
    pub(super) fn over(self, other: Self) -> Option<Self> {
        let (a, b, _) = self.aligned(other)?;
        (0..=PLACES_MAX).find_map(|places| {
            let a = a.checked_mul(10i128.checked_pow(places)?)?;
            (a.checked_rem(b)? == 0).then(|| Self { units: a / b, places }.bounded()).flatten()
        })
    }

    /// What is left of a division to a whole quotient; it has the sign of the dividend.
    pub(super) fn rest(self, other: Self) -> Option<Self> {
        let (a, b, places) = self.aligned(other)?;
        Self { units: a.checked_rem(b)?, places }.bounded()
    }

    /// Whether it is zero.
    pub(super) fn is_zero(self) -> bool {
        self.units == 0
    }

    /// How the two compare.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        let (a, b, _) = self.aligned(other)?;
        Some(a.cmp(&b))
    }
}

impl std::fmt::Display for Decimal {
    /// Without exponent: an integer reads as one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = self.units.unsigned_abs().to_string();
        let places = self.places as usize;
        if places == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let read = Decimal::parse(text).map(|decimal| decimal.to_string());
        assert_eq!(read.as_deref(), expect, "{text}");
    }

    #[test]
    fn numbers_of_yaml_are_decimals() {
        check("60", Some("60"));
        check("-0.250", Some("-0.25"));
        check("1e-3", Some("0.001"));
        check("1.5E2", Some("150"));
        check("+7", Some("7"));
        check("0.0", Some("0"));
        check("18446744073709551615", Some("18446744073709551615"));
        check("1e-19", None);
        check("1e300", None);
        check(&"9".repeat(60), None);
    }

    #[test]
    fn what_does_not_come_out_is_none() {
        let of = |text: &str| Decimal::parse(text).unwrap();
        assert_eq!(of("10").over(of("4")), Some(of("2.5")));
        assert_eq!(of("0.3").over(of("0.1")), Some(of("3")));
        assert_eq!(of("1").over(of("3")), None);
        assert_eq!(of("1").over(of("0")), None);
        assert_eq!(of("7.5").rest(of("2")), Some(of("1.5")));
        assert_eq!(of("7").rest(of("0")), None);
        assert_eq!(of("1e37").times(of("1e37")), None);
    }

    fn any_decimal() -> impl Strategy<Value = Decimal> {
        (any::<i64>(), 0u32..9)
            .prop_map(|(units, places)| Decimal { units: units.into(), places }.bounded().unwrap())
    }

    proptest! {
        #[test]
        fn arithmetic_is_exact(a in any_decimal(), b in any_decimal()) {
            prop_assert_eq!(Decimal::parse(&a.to_string()), Some(a));
            prop_assert_eq!(a.plus(b).and_then(|sum| sum.minus(b)), Some(a));
            prop_assert_eq!(a.plus(b), b.plus(a));
            if let Some(product) = a.times(b).filter(|_| !b.is_zero()) {
                prop_assert_eq!(product.over(b).unwrap_or(a), a);
            }
            if let Some(rest) = a.rest(b) {
                let whole = a.minus(rest).and_then(|even| even.rest(b));
                prop_assert!(whole.is_none_or(Decimal::is_zero));
            }
        }
    }
}
