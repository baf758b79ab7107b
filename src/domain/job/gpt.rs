//! Language models: what one looks like.
//! Never says how it is computed.

use crate::base::canon::{canonical_enum, canonical_struct};

/// Blocks of one language model.
pub const BLOCKS_MAX: u32 = 64;
/// Heads of one block.
pub const HEADS_MAX: u32 = 64;
/// Tokens that a model sees at once.
pub const CONTEXT_MAX: u32 = 4_096;

/// A decoder after GPT-2 (Radford and others 2019): a norm before attention and before the
/// perceptron of every block, GELU, a last norm, and a head that gives the next token.
#[derive(Clone, PartialEq, Debug)]
pub struct Gpt {
    /// Blocks.
    pub blocks: u32,
    /// Heads of attention of each block: they divide the width.
    pub heads: u32,
    /// Numbers of one position.
    pub width: u32,
    /// Tokens that it sees at once: the length of a row.
    pub context: u32,
    /// How it knows where a token stands.
    pub positions: Positions,
    /// Whether the head is the table of the tokens.
    pub tied: bool,
    /// The share of what each branch adds, and of the first sum, that a training step leaves out.
    pub dropout: f64,
    /// How rows are normalised.
    pub norm: Norm,
}
canonical_struct!(Gpt { blocks, heads, width, context, positions, tied, dropout, norm });

/// How a model normalises rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Norm {
    /// To mean 0 and deviation 1, then scaled and moved.
    Layer,
    /// To a mean square of 1, then scaled (Zhang and Sennrich 2019, arXiv 1910.07467).
    Rms,
}
canonical_enum!(Norm { 1 => Layer, 2 => Rms });

impl Norm {
    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Rms => "rms",
        }
    }

    /// The norm that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Layer, Self::Rms].into_iter().find(|norm| norm.word() == word)
    }
}

/// How a model knows where a token stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Positions {
    /// A learned row for every place is added to that of the token.
    Learned,
    /// Queries and keys are turned by their place (RoPE; Su and others 2021, arXiv 2104.09864).
    Rotary,
}
canonical_enum!(Positions { 1 => Learned, 2 => Rotary });

impl Positions {
    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Rotary => "rotary",
        }
    }

    /// The positions that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Learned, Self::Rotary].into_iter().find(|positions| positions.word() == word)
    }
}
