//! The exponential and the logarithm of f64 from +, -, x and / alone, for measures.
//! Never calls the C library: its last bits differ between systems, and a report's bytes must not.

/// ln 2 in two parts: the first has 21 trailing zero bits, so that small multiples are exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x for x <= 0, to about one unit in the last place; 0 below -708, where results would lose
/// precision. Cody and Waite's reduction, then Taylor's series on |r| <= ln(2)/2.
pub(crate) fn exp_of_nonpositive(x: f64) -> f64 {
    if x < -708.0 {
        return 0.0;
    }
    let k = (x * std::f64::consts::LOG2_E + 0.5).floor();
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // 1 + r/1 (1 + r/2 (1 + r/3 (…))): the first term left out is below 2^-62.
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    series * power_of_two(k as i64)
}

/// ln x for normal x > 0, to a few units in the last place: x = m 2^e with m near 1, and
/// ln m = 2 artanh((m - 1) / (m + 1)).
pub(crate) fn ln_from_one(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m /= 2.0;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    // |s| <= 0.172: the first term left out is below 2^-60.
    let series = (0..=11).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    let e = exponent as f64;
    e * LN2_HIGH + (2.0 * s * series + e * LN2_LOW)
}

/// e^x for any x, to about one unit in the last place: 0 and infinity where f64 ends.
pub(crate) fn exp(x: f64) -> f64 {
    if x < -746.0 {
        return 0.0;
    }
    if x > 710.0 {
        return f64::INFINITY;
    }
    let k = (x * std::f64::consts::LOG2_E + 0.5).floor();
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    // In two steps: at both ends of the range 2^k alone is no number.
    let half = (k as i64) / 2;
    series * power_of_two(half) * power_of_two(k as i64 - half)
}

/// ln x for any x: no number below 0, minus infinity at 0.
pub(crate) fn ln(x: f64) -> f64 {
    const TWO_54: f64 = 18_014_398_509_481_984.0;
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < f64::MIN_POSITIVE {
        return ln_from_one(x * TWO_54) - 54.0 * (LN2_HIGH + LN2_LOW);
    }
    ln_from_one(x)
}

/// cos(πx) for x from 0 to 1, to about one unit in the last place of 1: Taylor's series on at most
/// a quarter of π.
pub(crate) fn cos_pi(x: f64) -> f64 {
    // The terms of the cosine of s, and of its sine by s: factors 1 / (n (n + 1)) from the last.
    let series = |square: f64, first: u32| {
        (0..9).rev().fold(1.0, |sum, i| {
            let n = f64::from(first + 2 * i);
            1.0 - sum * square / (n * (n + 1.0))
        })
    };
    let mirrored = if x > 0.5 { 1.0 - x } else { x };
    let value = if mirrored > 0.25 {
        let s = std::f64::consts::PI * (0.5 - mirrored);
        s * series(s * s, 2)
    } else {
        let s = std::f64::consts::PI * mirrored;
        series(s * s, 1)
    };
    if x > 0.5 { -value } else { value }
}

/// 2^k for k in the range of normal numbers.
fn power_of_two(k: i64) -> f64 {
    f64::from_bits(((k.clamp(-1022, 1023) + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_is_near_the_true_value(x in -708.0f64..=0.0) {
            let (got, want) = (exp_of_nonpositive(x), x.exp());
            prop_assert!(((got - want) / want).abs() < 4.0 * f64::EPSILON, "{x}: {got} {want}");
        }

        #[test]
        fn ln_is_near_the_true_value(x in 1.0f64..1e6, scale in 0i32..900) {
            let x = x * f64::from(scale).exp2();
            let (got, want) = (ln_from_one(x), x.ln());
            let bound = 4.0 * f64::EPSILON * want.max(1e-3);
            prop_assert!((got - want).abs() <= bound, "{x}: {got} {want}");
        }
    }

    proptest! {
        #[test]
        fn cos_pi_is_near_the_true_value(x in 0.0f64..=1.0) {
            let (got, want) = (cos_pi(x), (std::f64::consts::PI * x).cos());
            prop_assert!((got - want).abs() < 2.0 * f64::EPSILON, "{x}: {got} {want}");
        }

        #[test]
        fn exp_and_ln_hold_on_both_sides_of_one(x in -744.0f64..709.7) {
            let (got, want) = (exp(x), x.exp());
            // Below 2^-1022 a result has fewer bits: two of the smallest steps.
            let bound = (4.0 * f64::EPSILON * want).max(1e-323);
            prop_assert!((got - want).abs() <= bound, "{x}: {got} {want}");
            if x < 0.0 && x > -708.0 {
                prop_assert_eq!(exp(x).to_bits(), exp_of_nonpositive(x).to_bits());
            }
            let (got, want) = (ln(want), want.ln());
            prop_assert!((got - want).abs() <= 4.0 * f64::EPSILON * want.abs().max(1e-3));
        }
    }

    #[test]
    fn a_wave_begins_at_one_and_ends_at_minus_one() {
        assert_eq!([cos_pi(0.0), cos_pi(0.5), cos_pi(1.0)], [1.0, 0.0, -1.0]);
    }

    #[test]
    fn what_is_no_number_is_known() {
        assert_eq!([exp(-1e300), exp(0.0), exp(1e300)], [0.0, 1.0, f64::INFINITY]);
        assert_eq!([ln(1.0), ln(0.0)], [0.0, f64::NEG_INFINITY]);
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan());
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        assert_eq!(exp_of_nonpositive(0.0), 1.0);
        assert_eq!(exp_of_nonpositive(-1e9), 0.0);
        assert_eq!(exp_of_nonpositive(f64::NEG_INFINITY), 0.0);
        assert_eq!(ln_from_one(1.0), 0.0);
    }

    #[test]
    fn the_bits_are_the_same_everywhere() {
        let mut hasher = blake3::Hasher::new();
        for i in 0..10_000 {
            let x = f64::from(i) / 64.0;
            hasher.update(&exp_of_nonpositive(-x).to_le_bytes());
            hasher.update(&ln_from_one(1.0 + x * x).to_le_bytes());
            hasher.update(&cos_pi(f64::from(i) / 10_000.0).to_le_bytes());
        }
        let digest = hasher.finalize().to_hex();
        assert_eq!(digest.get(..16), Some("30cfb120776cb3bd"), "{digest}");
    }
}
