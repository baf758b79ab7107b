//! Text classifiers: the mean of the vectors of a row's tokens, then dense layers.
//! Never reads the order of the tokens.

use super::mlp::Mlp;
use super::{Initial, Network, ParameterShape, fault};
use crate::compute::Fault;
use crate::compute::kernel::bag::Bag;
use crate::compute::op::{BagOp, Tape};
use crate::domain::job::Activation;
use candle_core::{Result, Tensor};

/// The shape of a text classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// Different tokens; they are counted from 1, and 0 is none.
    vocabulary: usize,
    /// Tokens of a row.
    length: usize,
    /// Numbers of the vector of a token.
    width: usize,
    /// From the mean vector to the outputs.
    layers: Mlp,
}

/// Refuses rows that hold no tokens.
pub(super) fn has_tokens(vocabulary: usize) -> std::result::Result<(), Fault> {
    if vocabulary > 0 {
        return Ok(());
    }
    Err(fault(
        "a model of texts reads tokens, and the rows have none",
        "tokenise them first: `uses: tokenize`, with `into: { length: 64 }`",
    ))
}

/// The first of these values that is no token of those counted from 1, and not none either.
pub(super) fn stranger(values: &[f32], vocabulary: usize) -> Option<usize> {
    let most = vocabulary as f32;
    values.iter().position(|x| !(0.0..=most).contains(x) || x.fract() != 0.0)
}

impl Text {
    pub(super) fn new(
        (width, hidden, activation): (u32, &[u32], Activation),
        length: usize,
        vocabulary: usize,
        outputs: usize,
    ) -> std::result::Result<Self, Fault> {
        has_tokens(vocabulary)?;
        let layers = Mlp::new(hidden, Some(activation), width as usize, outputs)?;
        Ok(Self { vocabulary, length, width: width as usize, layers })
    }

    /// Vectors uniform with a deviation of one over the root of their width: as long as 1, about.
    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let limit = Initial::Uniform((3.0 / self.width as f32).sqrt());
        let vectors = ParameterShape::new("vectors", &[self.vocabulary, self.width], limit);
        [vec![vectors], self.layers.parameters()].concat()
    }

    pub(super) fn widest(&self) -> usize {
        self.layers.widest().max(self.length)
    }

    /// The first of these values that is no token.
    pub(super) fn stranger(&self, values: &[f32]) -> Option<usize> {
        stranger(values, self.vocabulary)
    }

    pub(super) fn forward(&self, network: &Network, x: &Tensor, tape: &mut Tape) -> Result<Tensor> {
        let Some((vectors, layers)) = network.parameters.split_first() else {
            return Ok(x.clone());
        };
        let bag = Bag { isa: network.engine.isa, length: self.length, width: self.width };
        let op = BagOp { bag, table: vectors.gradient.clone() };
        let mean = tape.two(x, &vectors.tensor, op)?;
        self.layers.forward(network, layers, &mean, tape)
    }
}
