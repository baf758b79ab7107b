//! Canonical bytes: the one way a value becomes bytes, and the one way a value gets a digest.
//! Never goes through serde, JSON or `Debug`; what is not canonical does not decode.
//!
//! Integers are little-endian and of fixed width; a sequence is a `u32` length and its items; an
//! option is `0` or `1` and the value; maps are strictly ascending by key; an enum is a `u8` tag
//! and its fields. A type that is hashed or signed has a domain tag ([`Canonical::TAG`]), so that
//! the bytes of one type can never be taken for those of another.

mod shapes;

pub(crate) use shapes::{canonical_enum, canonical_newtype, canonical_struct};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A BLAKE3 digest: 32 bytes that name a value or an artifact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of raw bytes: the name of an artifact.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hex digits: enough for people, never for rules.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}

impl FromStr for Digest {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        decode_hex(text).map(Self)
    }
}

/// Reads exactly 64 lower-case or upper-case hex digits.
pub(crate) fn decode_hex(text: &str) -> Result<[u8; 32], DecodeError> {
    let nibble = |c: u8| (c as char).to_digit(16).ok_or(DecodeError::NotHex);
    if text.len() != 64 {
        return Err(DecodeError::NotHex);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (Some(high), Some(low)) = (pair.first(), pair.get(1)) else {
            return Err(DecodeError::NotHex);
        };
        *byte =
            u8::try_from(nibble(*high)? * 16 + nibble(*low)?).map_err(|_| DecodeError::NotHex)?;
    }
    Ok(bytes)
}

/// Why bytes are not the canonical form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// Bytes are left after the value.
    #[error("bytes are left after the value")]
    Trailing,
    /// An enum, option or boolean tag that no version of this type has.
    #[error("unknown tag {0}")]
    UnknownTag(u8),
    /// A map whose keys are not strictly ascending.
    #[error("map keys are not strictly ascending")]
    Unsorted,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Text that is not 64 hex digits.
    #[error("not 64 hex digits")]
    NotHex,
    /// A value outside the range that its type allows.
    #[error("value out of range")]
    OutOfRange,
}

/// Collects canonical bytes.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Nothing yet, and room for so many bytes.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a length; every bound in `limits` is far below `u32::MAX`.
    pub fn length(&mut self, len: usize) {
        assert!(u32::try_from(len).is_ok(), "a canonical sequence is shorter than 2^32");
        self.raw(&(len as u32).to_le_bytes());
    }

    /// What was collected.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads canonical bytes; never allocates more than the bytes that are there.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the front of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether all has been read.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// Takes the next `n` bytes.
    pub fn raw(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    /// Takes the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.raw(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    /// Takes a length. Every item takes at least one byte, so a length beyond what is left is a
    /// lie: it is refused before anything is allocated for it.
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        if len > self.0.len() { Err(DecodeError::Truncated) } else { Ok(len) }
    }
}

/// A value that has canonical bytes.
pub trait Encode {
    /// Appends the canonical bytes of `self`.
    fn encode(&self, w: &mut Writer);

    /// The canonical bytes of `self`.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.encode(&mut w);
        w.0
    }
}

/// A value that can be read back from its canonical bytes.
pub trait Decode: Sized {
    /// Reads one value from the front of `r`.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a value that must take up all of `bytes`.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode(&mut r)?;
        r.end().map(|()| value)
    }
}

/// A type that is hashed or signed.
pub trait Canonical: Encode {
    /// The domain tag, for example `ohc/slot/1`. The number is the version of the encoding.
    const TAG: &'static str;

    /// `BLAKE3(TAG ‖ 0x00 ‖ canonical bytes)`.
    fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(Self::TAG.as_bytes());
        hasher.update(&[0]);
        hasher.update(&self.to_bytes());
        Digest(*hasher.finalize().as_bytes())
    }
}

macro_rules! canonical_integers {
    ($($ty:ty),*) => {$(
        impl Encode for $ty {
            fn encode(&self, w: &mut Writer) {
                w.raw(&self.to_le_bytes());
            }
        }
        impl Decode for $ty {
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(r.array()?))
            }
        }
    )*};
}
canonical_integers!(u8, u16, u32, u64, i64);

/// A count in memory: eight bytes on every machine.
impl Encode for usize {
    fn encode(&self, w: &mut Writer) {
        (*self as u64).encode(w);
    }
}

impl Decode for usize {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u64::decode(r)?.try_into().map_err(|_| DecodeError::OutOfRange)
    }
}

/// Reals are carried, never computed with, in the pure layers: their bits are their bytes.
impl Encode for f64 {
    fn encode(&self, w: &mut Writer) {
        w.raw(&self.to_bits().to_le_bytes());
    }
}

impl Decode for f64 {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = Self::from_bits(u64::from_le_bytes(r.array()?));
        if value.is_finite() { Ok(value) } else { Err(DecodeError::OutOfRange) }
    }
}

impl Encode for bool {
    fn encode(&self, w: &mut Writer) {
        w.raw(&[u8::from(*self)]);
    }
}

impl Decode for bool {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(r)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::UnknownTag(tag)),
        }
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, w: &mut Writer) {
        w.raw(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array()
    }
}

impl Encode for Digest {
    fn encode(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
}

impl Decode for Digest {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array().map(Self)
    }
}

impl Encode for str {
    fn encode(&self, w: &mut Writer) {
        w.length(self.len());
        w.raw(self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, w: &mut Writer) {
        self.as_str().encode(w);
    }
}

impl Decode for String {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = r.length()?;
        Self::from_utf8(r.raw(len)?.to_vec()).map_err(|_| DecodeError::NotUtf8)
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, w: &mut Writer) {
        w.length(self.len());
        self.iter().for_each(|item| item.encode(w));
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, w: &mut Writer) {
        self.as_slice().encode(w);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // A long length over short items reserves no more memory than there are bytes; beyond
        // that it grows as items arrive.
        let len = r.length()?;
        let mut items = Self::with_capacity(len.min(r.0.len() / size_of::<T>().max(1)));
        for _ in 0..len {
            items.push(T::decode(r)?);
        }
        Ok(items)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, w: &mut Writer) {
        self.is_some().encode(w);
        if let Some(value) = self {
            value.encode(w);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if bool::decode(r)? { T::decode(r).map(Some) } else { Ok(None) }
    }
}

impl<K: Encode, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, w: &mut Writer) {
        w.length(self.len());
        for (key, value) in self {
            key.encode(w);
            value.encode(w);
        }
    }
}

impl<K: Decode + Ord, V: Decode> Decode for BTreeMap<K, V> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let pairs = Vec::<(K, V)>::decode(r)?;
        if pairs.is_sorted_by(|(a, _), (b, _)| a < b) {
            Ok(pairs.into_iter().collect())
        } else {
            Err(DecodeError::Unsorted)
        }
    }
}

impl<T: Encode> Encode for BTreeSet<T> {
    fn encode(&self, w: &mut Writer) {
        w.length(self.len());
        self.iter().for_each(|item| item.encode(w));
    }
}

impl<T: Decode + Ord> Decode for BTreeSet<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let items = Vec::<T>::decode(r)?;
        if items.is_sorted_by(|a, b| a < b) {
            Ok(items.into_iter().collect())
        } else {
            Err(DecodeError::Unsorted)
        }
    }
}

/// Where a value lies is not part of it.
impl<T: Encode> Encode for Box<T> {
    fn encode(&self, w: &mut Writer) {
        self.as_ref().encode(w);
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode(r).map(Self::new)
    }
}

/// What is shared has the bytes of what it is.
impl<T: Encode> Encode for Arc<T> {
    fn encode(&self, w: &mut Writer) {
        self.as_ref().encode(w);
    }
}

impl<T: Decode> Decode for Arc<T> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode(r).map(Self::new)
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, w: &mut Writer) {
        self.0.encode(w);
        self.1.encode(w);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::decode(r)?, B::decode(r)?))
    }
}

impl<A: Encode, B: Encode, C: Encode> Encode for (A, B, C) {
    fn encode(&self, w: &mut Writer) {
        self.0.encode(w);
        self.1.encode(w);
        self.2.encode(w);
    }
}

impl<A: Decode, B: Decode, C: Decode> Decode for (A, B, C) {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::decode(r)?, B::decode(r)?, C::decode(r)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Clone)]
    enum Shape {
        Dot,
        Line(u32),
        Box { w: u64, h: Option<u8> },
    }
    canonical_enum!(Shape { 0 => Dot, 1 => Line(x), 2 => Box { w, h } } tag "ohc/test-shape/1");

    #[test]
    fn a_length_that_lies_is_refused_before_it_is_allocated() {
        let lie = u32::MAX.to_le_bytes();
        assert_eq!(Vec::<Digest>::from_bytes(&lie), Err(DecodeError::Truncated));
        assert_eq!(String::from_bytes(&lie), Err(DecodeError::Truncated));
    }

    #[test]
    fn only_one_form_decodes() {
        assert_eq!(bool::from_bytes(&[2]), Err(DecodeError::UnknownTag(2)));
        assert_eq!(Shape::from_bytes(&[9]), Err(DecodeError::UnknownTag(9)));
        assert_eq!(u8::from_bytes(&[1, 2]), Err(DecodeError::Trailing));
        let twice = [(7u8, 1u8), (7u8, 2u8)].as_slice().to_bytes();
        assert_eq!(BTreeMap::<u8, u8>::from_bytes(&twice), Err(DecodeError::Unsorted));
        assert_eq!(f64::from_bytes(&f64::NAN.to_bytes()), Err(DecodeError::OutOfRange));
    }

    #[test]
    fn a_digest_reads_back_from_its_text() {
        let digest = Digest::of(b"ohc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("xyz".parse::<Digest>(), Err(DecodeError::NotHex));
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(
            w: u64,
            h: Option<u8>,
            text: String,
            map: BTreeMap<u32, Vec<u16>>,
        ) {
            let shape = Shape::Box { w, h };
            prop_assert_eq!(Shape::from_bytes(&shape.to_bytes()), Ok(shape));
            prop_assert_eq!(String::from_bytes(&text.to_bytes()), Ok(text));
            prop_assert_eq!(BTreeMap::from_bytes(&map.to_bytes()), Ok(map));
        }

        #[test]
        fn r13_no_bytes_panic_the_decoder(bytes: Vec<u8>) {
            let _ = Shape::from_bytes(&bytes);
            let _ = BTreeMap::<String, Vec<Option<Digest>>>::from_bytes(&bytes);
        }
    }
}
