//! Tokenisation: text of a column as the numbers that a model reads.
//! Never knows a vocabulary: what is learned of the rows stands in their recipe.

use crate::base::canon::{canonical_enum, canonical_struct};

/// Tokens of one vocabulary, at the most.
pub const VOCABULARY_MAX: u32 = 65_536;
/// The vocabulary of byte pairs begins with the bytes themselves.
pub const BYTES: u32 = 256;
/// Tokens that one row is given, at the most: each is a column.
pub const TOKENS_PER_ROW_MAX: u32 = 4_096;

/// Turns a text column into tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokenize {
    /// The column.
    pub column: String,
    /// What a token is.
    pub by: Tokens,
    /// What becomes of them.
    pub into: Layout,
}
canonical_struct!(Tokenize { column, by, into });

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// A character of those that the fit has seen.
    Char,
    /// A byte.
    Byte,
    /// Bytes that often stand together (Sennrich, Haddow, Birch, ACL 2016), learned by the fit.
    Pairs {
        /// How many tokens there are at the most, the 256 bytes among them.
        vocabulary: u32,
    },
}
canonical_enum!(Tokens { 1 => Char, 2 => Byte, 3 => Pairs { vocabulary } });

/// How the tokens of texts lie in a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// All of them one after the other, in the one column `token`; other columns are left out.
    Stream {
        /// What is put behind each text; a text that is null is only this.
        separator: String,
    },
    /// So many in each row, in the columns `text#0`, `text#1`, …: a longer text is cut, a shorter
    /// one is followed by 0. So tokens are counted from 1 there.
    Rows {
        /// How many.
        length: u32,
    },
}
canonical_enum!(Layout { 1 => Stream { separator }, 2 => Rows { length } });

impl Tokens {
    /// Whether the vocabulary follows from the rows.
    #[must_use]
    pub const fn is_fitted(self) -> bool {
        matches!(self, Self::Char | Self::Pairs { .. })
    }

    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Char => "char",
            Self::Byte => "byte",
            Self::Pairs { .. } => "bpe",
        }
    }
}
