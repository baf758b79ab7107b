//! Keys and signatures: `Signed<T>` comes from outside, `Verified<T>` has been believed.
//! Never makes randomness: a secret key is built from 32 bytes that somebody else drew.
//!
//! A signature is Ed25519 (RFC 8032) over `BLAKE3(TAG ‖ 0x00 ‖ network id ‖ canonical bytes)`,
//! checked as `verify_strict` does it: single, cofactored and batch checks may disagree.

mod multiples;
mod verifier;

pub use verifier::Verifier;

use super::canon::{
    Canonical, Decode, DecodeError, Digest, Encode, Reader, Writer, canonical_newtype, decode_hex,
};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::str::FromStr;

/// An Ed25519 public key: the name of a participant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// Names a network; mixed into every signature, so that none is valid on another network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetworkId(pub Digest);

canonical_newtype!(PublicKey, NetworkId);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature([u8; 64]);
canonical_newtype!(Signature);

/// An Ed25519 secret key; zeroed when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// From 32 secret bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The dalek key, for the file format that `effects::keyring` writes.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `body` for one network.
    pub fn sign<T: Canonical>(&self, network: NetworkId, body: &T) -> Signature {
        Signature(self.0.sign(&message(network, body).0).to_bytes())
    }

    /// A secret value that follows from this key and `of`: it need not be kept to be known again.
    #[must_use]
    pub fn derive<T: Canonical>(&self, of: &T) -> Digest {
        let key = blake3::derive_key("ohc 2026 secret values", self.0.as_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(T::TAG.as_bytes());
        hasher.update(&[0]);
        hasher.update(&of.to_bytes());
        Digest(*hasher.finalize().as_bytes())
    }

    /// Wraps `body` with this key's name and signature.
    pub fn seal<T: Canonical>(&self, network: NetworkId, body: T) -> Signed<T> {
        let signature = self.sign(network, &body);
        Signed { author: self.public(), body, signature }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

impl PublicKey {
    /// Whether `signature` is this key's over `body`. Weak keys sign nothing.
    #[must_use]
    pub fn verifies<T: Canonical>(
        &self,
        network: NetworkId,
        body: &T,
        signature: &Signature,
    ) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        let is_his = |key: VerifyingKey| key.verify_strict(&message(network, body).0, &signature);
        self.point().is_some_and(|key| is_his(key).is_ok())
    }

    /// The key as a point of the curve; none if it is no point, or a weak one.
    fn point(&self) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(&self.0).ok().filter(|key| !key.is_weak())
    }

    /// For who checks many signatures of this key; none if nobody can sign for it.
    #[must_use]
    pub fn verifier(&self) -> Option<Verifier> {
        self.point().map(|key| Verifier::new(&key))
    }

    /// Whether somebody can sign for it: it is a point of the curve, and not a weak one.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.point().is_some()
    }

    /// The first 12 hex digits: enough for people, never for rules.
    #[must_use]
    pub fn short(&self) -> String {
        Digest(self.0).short()
    }
}

fn message<T: Canonical>(network: NetworkId, body: &T) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(T::TAG.as_bytes());
    hasher.update(&[0]);
    hasher.update(network.0.as_bytes());
    hasher.update(&body.to_bytes());
    Digest(*hasher.finalize().as_bytes())
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x?}…)", self.0.first_chunk::<4>())
    }
}

impl FromStr for PublicKey {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        decode_hex(text).map(Self)
    }
}

/// A value with a signature that nobody has checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed<T> {
    /// Who claims to have signed.
    pub author: PublicKey,
    /// What is claimed.
    pub body: T,
    /// The signature over it.
    pub signature: Signature,
}

impl<T: Canonical> Signed<T> {
    /// Believes the value if the signature holds on this network.
    pub fn verify(self, network: NetworkId) -> Result<Verified<T>, BadSignature> {
        if self.author.verifies(network, &self.body, &self.signature) {
            Ok(Verified(self))
        } else {
            Err(BadSignature)
        }
    }
}

impl<T: Encode> Encode for Signed<T> {
    fn encode(&self, w: &mut Writer) {
        self.author.encode(w);
        self.body.encode(w);
        self.signature.encode(w);
    }
}

impl<T: Decode> Decode for Signed<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { author: Decode::decode(r)?, body: T::decode(r)?, signature: Decode::decode(r)? })
    }
}

/// A signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not hold")]
pub struct BadSignature;

/// A value whose signature has been checked. Only [`Signed::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified<T>(Signed<T>);

impl<T> Verified<T> {
    /// Who signed.
    #[must_use]
    pub fn author(&self) -> PublicKey {
        self.0.author
    }

    /// What was signed.
    #[must_use]
    pub fn body(&self) -> &T {
        &self.0.body
    }

    /// The signed value, to be sent on.
    #[must_use]
    pub fn signed(&self) -> &Signed<T> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::canonical_struct;

    #[derive(Clone, PartialEq, Debug)]
    struct Note {
        n: u64,
    }
    canonical_struct!(Note { n } tag "ohc/test-note/1");

    #[derive(Clone, PartialEq, Debug)]
    struct Other {
        n: u64,
    }
    canonical_struct!(Other { n } tag "ohc/test-other/1");

    #[test]
    fn a_signature_holds_for_one_key_one_network_one_type_and_one_value() {
        let (here, there) = (NetworkId(Digest::of(b"here")), NetworkId(Digest::of(b"there")));
        let key = SecretKey::from_bytes(&[7; 32]);
        let signed = key.seal(here, Note { n: 1 });
        assert!(signed.clone().verify(here).is_ok());
        assert_eq!(signed.clone().verify(there), Err(BadSignature));
        assert_eq!(
            Signed { body: Note { n: 2 }, ..signed.clone() }.verify(here),
            Err(BadSignature)
        );
        let author = SecretKey::from_bytes(&[8; 32]).public();
        assert_eq!(Signed { author, ..signed.clone() }.verify(here), Err(BadSignature));
        assert!(!signed.author.verifies(here, &Other { n: 1 }, &signed.signature));
    }

    #[test]
    fn a_weak_key_signs_nothing() {
        let key = SecretKey::from_bytes(&[7; 32]);
        let network = NetworkId(Digest::of(b"here"));
        let signed = key.seal(network, Note { n: 1 });
        let mut identity = [0; 32];
        identity[0] = 1; // the neutral point: of small order
        assert!(!PublicKey(identity).verifies(network, &Note { n: 1 }, &signed.signature));
    }
}
