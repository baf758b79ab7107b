//! Perplexity: how a frozen language model is asked to foretell texts.
//! Never measures.

use crate::base::canon::canonical_struct;

/// `uses: perplexity`: inputs `table` and `model`; output `report`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Perplexity {
    /// The column with the texts.
    pub column: String,
    /// Whether all texts are one, each with a new line behind it; otherwise each is one of its own.
    pub joined: bool,
    /// Tokens of a window: what the model sees at once.
    pub length: u32,
    /// Tokens from the beginning of a window to that of the next; fewer than the length.
    pub stride: u32,
}
canonical_struct!(Perplexity { column, joined, length, stride });

impl Perplexity {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("column", self.column != other.column),
            ("texts", self.joined != other.joined),
            ("length", self.length != other.length),
            ("stride", self.stride != other.stride),
        ]
    }
}
