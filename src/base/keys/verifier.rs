//! A public key whose signatures are checked often: a validator's. What it says of a signature is
//! what `verify_strict` says, which the tests hold it to; it says so in half the time.

use super::multiples::Multiples;
use super::{NetworkId, Signature, message};
use crate::base::canon::Canonical;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// Multiples of the point that all keys are multiples of.
static BASE: LazyLock<Multiples> = LazyLock::new(|| Multiples::new(ED25519_BASEPOINT_POINT));

/// A public key that somebody can sign for, with what makes checking its signatures quick: 130 KiB.
#[derive(Clone)]
pub struct Verifier {
    key: VerifyingKey,
    /// Of the point opposite to the key's.
    opposite: Arc<Multiples>,
}

impl Verifier {
    /// The key is not a weak one.
    pub(super) fn new(key: &VerifyingKey) -> Self {
        Self { key: *key, opposite: Arc::new(Multiples::new(-key.to_edwards())) }
    }

    /// Whether `signature` is this key's over `body`.
    #[must_use]
    pub fn verifies<T: Canonical>(
        &self,
        network: NetworkId,
        body: &T,
        signature: &Signature,
    ) -> bool {
        self.holds(&message(network, body).0, signature)
    }

    /// RFC 8032 without the cofactor: R = s·B − k·A. The bytes of R are compared with those of the
    /// one point that it may be, so R needs no reading: bytes that are no point equal none.
    fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        let Some((r, s)) = signature.0.split_first_chunk::<32>() else { return false };
        let Some(s) = s.first_chunk().and_then(|s| Scalar::from_canonical_bytes(*s).into_option())
        else {
            return false;
        };
        let hash = Sha512::new().chain_update(r).chain_update(self.key.as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&hash.chain_update(message).finalize().into());
        let expected = BASE.times(&s) + self.opposite.times(&k);
        expected.compress().as_bytes() == r && !expected.is_small_order()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({})", super::PublicKey(self.key.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::keys::PublicKey;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::edwards::EdwardsPoint;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    /// What the library says of it, and what is said here.
    fn both(key: &VerifyingKey, message: &[u8], signature: [u8; 64]) -> (bool, bool) {
        let theirs = ed25519_dalek::Signature::from_bytes(&signature);
        let theirs = key.verify_strict(message, &theirs).is_ok();
        let verifier = PublicKey(key.to_bytes()).verifier();
        let ours = verifier.is_some_and(|key| key.holds(message, &Signature(signature)));
        (theirs, ours)
    }

    #[test]
    fn a_verifier_and_verify_strict_agree_on_signatures_and_on_every_flipped_bit_of_one() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = key.sign(b"a vote").to_bytes();
        assert_eq!(both(&key.verifying_key(), b"a vote", good), (true, true));
        assert_eq!(both(&key.verifying_key(), b"another", good), (false, false));
        for bit in 0..512 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(both(&key.verifying_key(), b"a vote", bad), (false, false), "bit {bit}");
        }
        proptest!(ProptestConfig::with_cases(32), |(seed: [u8; 32], message: Vec<u8>)| {
            let key = SigningKey::from_bytes(&seed);
            let good = key.sign(&message).to_bytes();
            prop_assert_eq!(both(&key.verifying_key(), &message, good), (true, true));
        });
    }

    /// A signature by who knows the secret number of a key, with points of small order mixed in:
    /// some of them hold, because they cancel, and checks that are not the same differ here.
    fn mixed(secret: u64, nonce: u64, at: (usize, usize), note: &[u8]) -> (VerifyingKey, [u8; 64]) {
        let (a, r) = (Scalar::from(secret), Scalar::from(nonce));
        let point = |n: &Scalar, twist| EdwardsPoint::mul_base(n) + EIGHT_TORSION[twist];
        let (key, point) = (point(&a, at.0).compress(), point(&r, at.1).compress());
        let key = VerifyingKey::from_bytes(key.as_bytes()).unwrap();
        let hash = Sha512::new().chain_update(point.as_bytes()).chain_update(key.as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&hash.chain_update(note).finalize().into());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(point.as_bytes());
        bytes[32..].copy_from_slice((r + k * a).as_bytes());
        (key, bytes)
    }

    #[test]
    fn a_verifier_and_verify_strict_agree_on_points_of_small_order() {
        let (mut held, mut fell) = (0, 0);
        for (of_key, of_nonce) in (0..64).map(|n| (n / 8, n % 8)) {
            for note in 0..4u8 {
                // Also keys and nonces that are nothing else.
                for (secret, nonce) in [(9, 11), (0, 11), (9, 0)] {
                    let (key, bytes) = mixed(secret, nonce, (of_key, of_nonce), &[note]);
                    let (theirs, ours) = both(&key, &[note], bytes);
                    assert_eq!(theirs, ours, "{secret} {nonce} {of_key} {of_nonce} {note}");
                    *(if ours { &mut held } else { &mut fell }) += 1;
                }
            }
        }
        assert!(held > 4 && fell > 4, "{held} {fell}");
    }

    #[test]
    fn a_number_beyond_the_order_and_bytes_that_are_no_point_sign_nothing() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = key.sign(b"a vote").to_bytes();
        // s + ℓ is the same number of the field.
        let order = (-Scalar::ONE).to_bytes();
        let (mut bad, mut carry) = (good, 1u16);
        for (byte, of_order) in bad[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(of_order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(both(&key.verifying_key(), b"a vote", bad), (false, false));
        for y in 0..=255 {
            let mut bad = good;
            bad[..32].fill(y);
            assert_eq!(both(&key.verifying_key(), b"a vote", bad), (false, false));
        }
    }
}
