//! Tokenizers: text as numbers and back. Never depends on the order of a hash map, on threads or on
//! tables of Unicode, which change from one compiler to the next: equal texts give equal tokens.
//!
//! Tokens are counted from 0. Of characters, token 0 is any that the fit has not seen, and the
//! others follow in the order of their code points. Of bytes, a token is a byte. Byte pairs begin
//! with the 256 bytes; each token after them joins two earlier ones (Sennrich, Haddow, Birch, ACL
//! 2016, on bytes as GPT-2 has it). So bytes and pairs lose nothing: what is decoded is what was
//! encoded. A text is encoded piece by piece (see `pieces`), and a piece ends with each line.

mod encode;
mod fit;
mod json;
mod pieces;
#[cfg(test)]
mod tests;

pub use encode::Encoder;

use super::Fault;
use crate::base::canon::canonical_enum;
use crate::domain::job::{BYTES, Tokens, VOCABULARY_MAX};
use std::collections::BTreeSet;

/// Bytes of one token of byte pairs, at the most: as many as a long word has.
const TOKEN_BYTES_MAX: usize = 64;
/// What an unknown character is decoded to.
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// A vocabulary, and the way from text to its tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tokenizer {
    /// These characters, ascending by code point, are tokens 1, 2, …; all others are token 0.
    Chars(String),
    /// Each byte is a token.
    Bytes,
    /// Token 256 + i is pair i of earlier tokens; the pairs are joined in this order.
    Pairs(Vec<(u32, u32)>),
}
canonical_enum!(Tokenizer { 1 => Chars(x), 2 => Bytes, 3 => Pairs(x) });

impl Tokenizer {
    /// Learns a vocabulary of texts.
    pub(super) fn fit<'a>(
        by: Tokens,
        texts: impl Iterator<Item = &'a str>,
        separator: &str,
    ) -> Result<Self, Fault> {
        match by {
            Tokens::Char => fit::chars(texts, separator).map(Self::Chars),
            Tokens::Byte => Ok(Self::Bytes),
            Tokens::Pairs { vocabulary } => {
                Ok(Self::Pairs(fit::pairs(texts, separator, vocabulary)))
            }
        }
    }

    /// How many different tokens there are.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Chars(known) => known.chars().count() + 1,
            Self::Bytes => BYTES as usize,
            Self::Pairs(pairs) => BYTES as usize + pairs.len(),
        }
    }

    /// Whether it is one that a fit can make: it comes with recipes from outside.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Bytes => true,
            Self::Chars(known) => {
                self.size() <= VOCABULARY_MAX as usize
                    && known.chars().is_sorted_by(|a, b| a < b)
                    && !known.is_empty()
            }
            Self::Pairs(pairs) => {
                self.size() <= VOCABULARY_MAX as usize && Pieces::of(pairs).is_some()
            }
        }
    }

    /// The way from text to tokens.
    #[must_use]
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder::new(self)
    }

    /// The way back.
    #[must_use]
    pub fn decoder(&self) -> Decoder {
        Decoder(match self {
            Self::Chars(known) => {
                let texts = std::iter::once(UNKNOWN).chain(known.chars());
                let bytes = |c: char| c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
                texts.map(bytes).collect()
            }
            Self::Bytes => Pieces::bytes().bytes,
            Self::Pairs(pairs) => Pieces::of(pairs).unwrap_or_else(Pieces::bytes).bytes,
        })
    }

    /// The `tokenizer.json` of Hugging Face's `tokenizers`, which gives the same tokens.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self)
    }
}

/// From tokens to text.
#[derive(Debug, Clone)]
pub struct Decoder(Vec<Vec<u8>>);

impl Decoder {
    /// The bytes of a token; none of one that there is not.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.0.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// The bytes of several tokens: of bytes and pairs, exactly what was encoded.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect()
    }
}

/// The bytes of every token: no two have the same.
#[derive(Debug, Clone)]
struct Pieces {
    bytes: Vec<Vec<u8>>,
    known: BTreeSet<Vec<u8>>,
}

impl Pieces {
    fn bytes() -> Self {
        let bytes: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        Self { known: bytes.iter().cloned().collect(), bytes }
    }

    /// Those of byte pairs; none if they cannot have been learned.
    fn of(pairs: &[(u32, u32)]) -> Option<Self> {
        let mut pieces = Self::bytes();
        pairs.iter().try_for_each(|pair| pieces.join(*pair))?;
        Some(pieces)
    }

    /// Adds the token of a pair, unless that is not of earlier tokens, has too many bytes, or those
    /// of another token.
    fn join(&mut self, (left, right): (u32, u32)) -> Option<()> {
        let (left, right) = (self.bytes.get(left as usize)?, self.bytes.get(right as usize)?);
        let joined = [left.as_slice(), right].concat();
        if joined.len() > TOKEN_BYTES_MAX || !self.known.insert(joined.clone()) {
            return None;
        }
        self.bytes.push(joined);
        Some(())
    }
}
