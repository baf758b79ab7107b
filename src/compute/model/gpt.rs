//! Decoders of tokens after GPT-2: a norm before attention and before the perceptron of every
//! block, GELU, a last norm and a head. Never sees a token after the one it speaks of.

use super::blocks::{Blocks, Parameters, SPREAD, begins, layer};
use super::{Network, ParameterShape, Pass, fault};
use crate::compute::Fault;
use crate::compute::kernel::attention::{self, Attention, Rotation};
use crate::compute::op::{self, AttentionOp, EmbeddingOp, HeadOp, Kept, Tape};
use crate::domain::job::{self, BLOCKS_MAX, CONTEXT_MAX, Positions};
use candle_core::{Error, Result, Tensor};
use std::sync::Arc;

/// The shape of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gpt {
    blocks: Blocks,
    heads: usize,
    context: usize,
    tokens: usize,
    tied: bool,
    rotation: Option<Arc<Rotation>>,
}

impl Gpt {
    pub(super) fn new(model: &job::Gpt, tokens: usize) -> std::result::Result<Self, Fault> {
        let job::Gpt { blocks, heads, width, context, positions, tied, dropout, norm } = *model;
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(fault(
                format!("{heads} heads do not divide a width of {width}"),
                "make `width` a multiple of `heads`",
            ));
        }
        if !(1..=BLOCKS_MAX).contains(&blocks) || !(1..=CONTEXT_MAX).contains(&context) {
            return Err(fault(
                format!("a model of {blocks} blocks and a context of {context}"),
                format!("there are 1 to {BLOCKS_MAX} blocks, and contexts of 1 to {CONTEXT_MAX}"),
            ));
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err(fault("the dropout is not a share", "from 0 and below 1"));
        }
        if tokens == 0 {
            return Err(fault("there is no token", "give the model a text"));
        }
        let (heads, width, context) = (heads as usize, width as usize, context as usize);
        let rotation = match positions {
            Positions::Learned => None,
            Positions::Rotary => Some(Arc::new(Rotation::new(context, width / heads))),
        };
        let blocks = Blocks { count: blocks as usize, width, dropout, norm };
        Ok(Self { blocks, heads, context, tokens, tied, rotation })
    }

    /// Numbers of one row: a token of each place.
    pub(super) fn features(&self) -> usize {
        self.context
    }

    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let (width, tokens) = (self.blocks.width, self.tokens);
        let mut all = vec![ParameterShape::new("tokens.table", &[tokens, width], begins())];
        if self.rotation.is_none() {
            all.push(ParameterShape::new("places.table", &[self.context, width], begins()));
        }
        all.extend(self.blocks.parameters());
        if !self.tied {
            all.extend(layer("head".to_owned(), width, tokens, begins()));
        }
        all
    }

    pub(super) fn widest(&self) -> usize {
        let looks = self.heads.saturating_mul(self.context);
        let wide = self.blocks.width.saturating_mul(SPREAD).max(self.tokens).max(looks);
        self.context.saturating_mul(wide)
    }

    /// The fit of every token after each token of rows (`rows × context`):
    /// `rows·context × tokens`.
    pub(super) fn forward(
        &self,
        network: &Network,
        x: &Tensor,
        pass: Pass,
        tape: &mut Tape,
    ) -> Result<Tensor> {
        let mut parameters = Parameters::of(network, tape);
        let y = self.embed(&mut parameters, x, 0)?;
        let attend = |tape: &mut Tape, _, x: &Tensor| self.attend(tape, network, x);
        let y = self.blocks.forward(&mut parameters, y, pass, attend)?;
        self.head(&mut parameters, &y)
    }

    /// The fit of every token after the last of some that follow those of a memory: `1 × tokens`.
    pub(super) fn go_on(
        &self,
        network: &Network,
        tokens: Vec<f32>,
        memory: &mut Memory,
    ) -> Result<Tensor> {
        let (before, count) = (memory.tokens, tokens.len());
        if count == 0 || before.saturating_add(count) > self.context {
            return Err(Error::msg("a text goes on within its context"));
        }
        let mut tape = Tape::new(network.engine, false);
        let mut parameters = Parameters::of(network, &mut tape);
        let x = op::input(tokens, 1, count)?;
        let y = self.embed(&mut parameters, &x, before)?;
        memory.blocks.resize_with(self.blocks.count, Default::default);
        let attention = Attention {
            engine: network.engine,
            heads: self.heads,
            width: self.blocks.width,
            length: self.context,
            rotation: self.rotation.as_deref(),
        };
        let y = self.blocks.forward(&mut parameters, y, Pass::Predict, |_, block, x| {
            let memory = memory.blocks.get_mut(block).ok_or_else(|| Error::msg("no block"))?;
            let seen = op::lend(x, |x| Ok(attention.go_on(x, memory)))?;
            op::input(seen, count, self.blocks.width)
        })?;
        memory.tokens += count;
        self.head(&mut parameters, &y.narrow(0, count - 1, 1)?)
    }

    /// The vectors of tokens, of which the first stands at this place.
    fn embed(
        &self,
        parameters: &mut Parameters<'_, '_>,
        x: &Tensor,
        from: usize,
    ) -> Result<Tensor> {
        let table = parameters.next()?;
        let places = if self.rotation.is_none() { Some(parameters.next()?) } else { None };
        let op = EmbeddingOp {
            engine: parameters.network.engine,
            table: table.gradient.clone(),
            places: places.map(|places| places.gradient.clone()),
            shared: self.tied,
        };
        let rows = x.dim(1)?;
        let places = match places {
            Some(places) if rows < self.context => places.tensor.narrow(0, from, rows)?,
            Some(places) => places.tensor.clone(),
            None => table.tensor.clone(),
        };
        parameters.tape.three(x, (&table.tensor, &places), op)
    }

    /// How well each token fits after each row.
    fn head(&self, parameters: &mut Parameters<'_, '_>, y: &Tensor) -> Result<Tensor> {
        let (y, network) = (parameters.norm(self.blocks.norm, y)?, parameters.network);
        match network.parameters.first().filter(|_| self.tied) {
            Some(table) => {
                let op = HeadOp { engine: network.engine, table: table.gradient.clone() };
                parameters.tape.two(&y, &table.tensor, op)
            }
            None => parameters.dense(&y, None),
        }
    }

    fn attend(&self, tape: &mut Tape, network: &Network, x: &Tensor) -> Result<Tensor> {
        let op = AttentionOp {
            engine: network.engine,
            heads: self.heads,
            length: self.context,
            rotation: self.rotation.clone(),
            seen: None,
            looks: Kept::default(),
        };
        tape.one(x, op)
    }
}

/// What a decoder remembers of the tokens so far: keys and values of every block.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    tokens: usize,
    blocks: Vec<attention::Memory>,
}

impl Memory {
    /// How many tokens it has seen.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }
}

#[cfg(test)]
mod tests;
