//! Text classifiers that read the order of the words: blocks in which each token looks at all of
//! its text, the mean of what they make of them, then dense layers. Never looks at what is behind
//! the last token of a row.

use super::blocks::{Blocks, Parameters, SPREAD, begins};
use super::mlp::Mlp;
use super::{Network, ParameterShape, Pass, fault, text};
use crate::compute::Fault;
use crate::compute::op::{self, AttentionOp, EmbeddingOp, Kept, MeanOp, Tape};
use crate::domain::job::{self, BLOCKS_MAX, CONTEXT_MAX, Norm};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// The shape of such a classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reader {
    /// Different tokens; they are counted from 1, and 0 is none.
    vocabulary: usize,
    /// Tokens of a row.
    length: usize,
    heads: usize,
    blocks: Blocks,
    /// From the mean vector to the outputs.
    layers: Mlp,
}

impl Reader {
    pub(super) fn new(
        model: &job::Reader,
        length: usize,
        vocabulary: usize,
        outputs: usize,
    ) -> std::result::Result<Self, Fault> {
        text::has_tokens(vocabulary)?;
        let job::Reader { width, blocks, heads, dropout, .. } = *model;
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(fault(
                format!("{heads} heads do not divide a width of {width}"),
                "make `width` a multiple of `heads`",
            ));
        }
        if !(1..=BLOCKS_MAX).contains(&blocks) || !(1..=CONTEXT_MAX as usize).contains(&length) {
            return Err(fault(
                format!("a model of {blocks} blocks and rows of {length} tokens"),
                format!("there are 1 to {BLOCKS_MAX} blocks, and 1 to {CONTEXT_MAX} tokens"),
            ));
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err(fault("the dropout is not a share", "from 0 and below 1"));
        }
        let (width, count) = (width as usize, blocks as usize);
        let layers = Mlp::new(&model.hidden, Some(model.activation), width, outputs)?;
        let blocks = Blocks { count, width, dropout, norm: Norm::Layer };
        Ok(Self { vocabulary, length, heads: heads as usize, blocks, layers })
    }

    /// The first row of the table of the tokens is that of none.
    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let width = self.blocks.width;
        let tables = vec![
            ParameterShape::new("tokens.table", &[self.vocabulary + 1, width], begins()),
            ParameterShape::new("places.table", &[self.length, width], begins()),
        ];
        [tables, self.blocks.parameters(), self.layers.parameters()].concat()
    }

    pub(super) fn widest(&self) -> usize {
        let looks = self.heads.saturating_mul(self.length);
        let wide = self.blocks.width.saturating_mul(SPREAD).max(looks);
        self.length.saturating_mul(wide).max(self.layers.widest())
    }

    /// The first of these values that is no token.
    pub(super) fn stranger(&self, values: &[f32]) -> Option<usize> {
        text::stranger(values, self.vocabulary)
    }

    pub(super) fn forward(
        &self,
        network: &Network,
        x: &Tensor,
        pass: Pass,
        tape: &mut Tape,
    ) -> Result<Tensor> {
        let engine = network.engine;
        let last = |row: &[f32]| row.iter().rposition(|token| *token > 0.0).map_or(0, |at| at + 1);
        let seen: Arc<[usize]> = op::copied(x)?.chunks_exact(self.length).map(last).collect();
        let mut parameters = Parameters::of(network, tape);
        let (table, places) = (parameters.next()?, parameters.next()?);
        let op = EmbeddingOp {
            engine,
            table: table.gradient.clone(),
            places: Some(places.gradient.clone()),
            shared: false,
        };
        let y = parameters.tape.three(x, (&table.tensor, &places.tensor), op)?;
        let attend = |tape: &mut Tape, _, x: &Tensor| {
            let op = AttentionOp {
                engine,
                heads: self.heads,
                length: self.length,
                rotation: None,
                seen: Some(Arc::clone(&seen)),
                looks: Kept::default(),
            };
            tape.one(x, op)
        };
        let y = self.blocks.forward(&mut parameters, y, pass, attend)?;
        let y = parameters.norm(self.blocks.norm, &y)?;
        let seen = Arc::clone(&seen);
        let y = parameters.tape.one(&y, MeanOp { isa: engine.isa, length: self.length, seen })?;
        let rest = parameters.rest();
        self.layers.forward(network, rest, &y, parameters.tape)
    }
}

#[cfg(test)]
mod tests;
