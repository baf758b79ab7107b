//! Multiples of a point of the curve that is multiplied again and again, made ahead: then a product
//! is a sum. Never for a secret number: how long it takes tells the number.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;

/// Bits of a number that one addition takes. With 6 a key's multiples would take 215 KiB, and those
/// of twenty keys would leave the cache; with 4 a product would take 13 additions more.
const WIDTH: usize = 5;
/// The digits of a number are from -`HALF` to `HALF`.
const HALF: usize = 1 << (WIDTH - 1);
/// Digits of a number: it is below 2^253, so nothing is left to carry.
const DIGITS: usize = 253usize.div_ceil(WIDTH);

/// For each digit's place `i` the point times 1 to `HALF`, times 2^(`WIDTH` · i): 130 KiB.
pub(super) struct Multiples(Vec<[EdwardsPoint; HALF]>);

impl Multiples {
    pub(super) fn new(point: EdwardsPoint) -> Self {
        let mut base = point;
        let row = |_| {
            let first = base;
            let mut next = EdwardsPoint::identity();
            let row = std::array::from_fn(|_| {
                next += first;
                next
            });
            // Twice the last of a row is the first of the next.
            base = next + next;
            row
        };
        Self((0..DIGITS).map(row).collect())
    }

    /// The point times this number.
    pub(super) fn times(&self, number: &Scalar) -> EdwardsPoint {
        let places = self.0.iter().zip(digits(number));
        places.fold(EdwardsPoint::identity(), |sum, (row, digit)| {
            let multiple =
                usize::from(digit.unsigned_abs()).checked_sub(1).and_then(|n| row.get(n));
            match multiple {
                None => sum,
                Some(multiple) if digit > 0 => sum + multiple,
                Some(multiple) => sum - multiple,
            }
        })
    }
}

/// A number below 2^253 as a sum of digits times 2^(`WIDTH` · place).
fn digits(number: &Scalar) -> [i8; DIGITS] {
    let bytes = number.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut carry = 0;
    std::array::from_fn(|place| {
        let bit = place * WIDTH;
        let two = u16::from_le_bytes([byte(bit / 8), byte(bit / 8 + 1)]);
        let digit = ((two >> (bit % 8)) & (2 * HALF as u16 - 1)) as i8 + carry;
        carry = i8::from(digit > HALF as i8);
        digit - carry * 2 * HALF as i8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = Scalar> {
        let any = any::<[u8; 32]>().prop_map(Scalar::from_bytes_mod_order);
        let small = (0u64..100).prop_map(Scalar::from);
        let large = (1u64..100).prop_map(|n| -Scalar::from(n));
        prop_oneof![any, small, large]
    }

    #[test]
    fn digits_are_small_and_their_sum_is_the_number() {
        proptest!(|(number in number())| {
            let base = Scalar::from(1u64 << WIDTH);
            let sum = digits(&number).iter().rev().fold(Scalar::ZERO, |sum, digit| {
                prop_assert_in_range(*digit);
                let size = Scalar::from(u64::from(digit.unsigned_abs()));
                sum * base + if *digit < 0 { -size } else { size }
            });
            prop_assert_eq!(sum, number);
        });
    }

    fn prop_assert_in_range(digit: i8) {
        assert!(usize::from(digit.unsigned_abs()) <= HALF, "{digit}");
    }

    /// The number counts as it is, also where the point is not of the large subgroup.
    #[test]
    fn a_product_is_that_of_the_curve() {
        for twist in EIGHT_TORSION {
            let point = ED25519_BASEPOINT_POINT * Scalar::from(77u64) + twist;
            let multiples = Multiples::new(point);
            proptest!(ProptestConfig::with_cases(16), |(number in number())| {
                prop_assert_eq!(multiples.times(&number), point * number);
            });
        }
    }
}
