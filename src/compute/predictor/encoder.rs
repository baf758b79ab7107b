//! What a model file says of the blocks of a model that reads texts, beside its tensors.
//! Never decides whether it can be computed: the shape of the network does.

use crate::domain::job::{Activation, Reader};
use serde::{Deserialize, Serialize};

/// The blocks as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encoder {
    blocks: u32,
    heads: u32,
    dropout: f64,
}

impl Encoder {
    pub(super) const fn of(reader: &Reader) -> Self {
        let Reader { blocks, heads, dropout, .. } = *reader;
        Self { blocks, heads, dropout }
    }

    /// The model with these blocks.
    pub(super) fn network(&self, width: u32, hidden: Vec<u32>, activation: Activation) -> Reader {
        let Self { blocks, heads, dropout } = *self;
        Reader { width, blocks, heads, dropout, hidden, activation }
    }
}
