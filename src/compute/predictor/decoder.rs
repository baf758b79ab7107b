//! What a model file says of a decoder of tokens, beside its tensors.
//! Never decides whether it can be computed: the shape of the network does.

use crate::domain::job::{Gpt, Norm, Positions};
use serde::{Deserialize, Serialize};

/// A decoder as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decoder {
    blocks: u32,
    heads: u32,
    width: u32,
    context: u32,
    positions: String,
    tied: bool,
    dropout: f64,
    /// None where it is layer norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm: Option<String>,
    /// How many tokens there are.
    pub tokens: u32,
}

impl Decoder {
    pub(super) fn of(gpt: &Gpt, tokens: usize) -> Self {
        let Gpt { blocks, heads, width, context, positions, tied, dropout, norm } = *gpt;
        let positions = positions.word().to_owned();
        let norm = (norm != Norm::Layer).then(|| norm.word().to_owned());
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        Self { blocks, heads, width, context, positions, tied, dropout, norm, tokens }
    }

    /// The decoder, if there is one with such positions and norms.
    pub(super) fn network(&self) -> Option<Gpt> {
        let Self { blocks, heads, width, context, tied, dropout, .. } = *self;
        let positions = Positions::from_word(&self.positions)?;
        let norm = self.norm.as_deref().map_or(Some(Norm::Layer), Norm::from_word)?;
        Some(Gpt { blocks, heads, width, context, positions, tied, dropout, norm })
    }
}
