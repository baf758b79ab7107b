//! Models of texts that read the order of the words: what one looks like.
//! Never says how it is computed.

use super::Activation;
use crate::base::canon::canonical_struct;

/// Vectors of tokens and of their places, blocks in which each token looks at all of its text
/// (Vaswani and others 2017), the mean over the text, then dense layers.
#[derive(Clone, PartialEq, Debug)]
pub struct Reader {
    /// Numbers of the vector of a token.
    pub width: u32,
    /// Blocks.
    pub blocks: u32,
    /// Heads of attention of each block: they divide the width.
    pub heads: u32,
    /// The share of what each branch adds, and of the vectors, that a training step leaves out.
    pub dropout: f64,
    /// Width of each hidden layer behind the mean, input side first.
    pub hidden: Vec<u32>,
    /// The activation between these layers.
    pub activation: Activation,
}
canonical_struct!(Reader { width, blocks, heads, dropout, hidden, activation });
