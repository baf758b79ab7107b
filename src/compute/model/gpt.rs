//! Decoders of tokens after GPT-2: a norm before attention and before the perceptron of every
//! block, GELU, a last norm and a head. Never sees a token after the one it speaks of.

use super::mlp::dense;
use super::{Initial, Network, Parameter, ParameterShape, Pass, fault};
use crate::compute::Fault;
use crate::compute::kernel::attention::{self, Attention, Rotation};
use crate::compute::op::{self, AttentionOp, EmbeddingOp, HeadOp, Kept, NormOp, RmsNormOp, Tape};
use crate::domain::job::{self, Activation, BLOCKS_MAX, CONTEXT_MAX, Norm, Positions};
use candle_core::{Error, Result, Tensor};
use std::sync::Arc;

/// The deviation of initial weights; those that end a branch are smaller by the root of their
/// number (Radford and others 2019).
const DEVIATION: f32 = 0.02;
/// The perceptron of a block is so many times as wide as a position.
const SPREAD: usize = 4;

/// The shape of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gpt {
    blocks: usize,
    heads: usize,
    width: usize,
    context: usize,
    tokens: usize,
    tied: bool,
    rotation: Option<Arc<Rotation>>,
    dropout: f64,
    norm: Norm,
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
        let blocks = blocks as usize;
        Ok(Self { blocks, heads, width, context, tokens, tied, rotation, dropout, norm })
    }

    /// Numbers of one row: a token of each place.
    pub(super) fn features(&self) -> usize {
        self.context
    }

    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let Self { blocks, width, context, tokens, .. } = *self;
        // A uniform number between ±√3 has the deviation 1.
        let spread = |deviation: f32| Initial::Uniform(deviation * 3f32.sqrt());
        let ending = spread(DEVIATION / (2.0 * blocks as f32).sqrt());
        let begins = spread(DEVIATION);
        let wide = width.saturating_mul(SPREAD);
        let mut all = vec![ParameterShape::new("tokens.table", &[tokens, width], begins)];
        if self.rotation.is_none() {
            all.push(ParameterShape::new("places.table", &[context, width], begins));
        }
        let norm = |name: &str| {
            let of = |part: &str, initial: Initial| {
                ParameterShape::new(format!("{name}.{part}"), &[width], initial)
            };
            let shift = (self.norm == Norm::Layer).then(|| of("shift", Initial::Zero));
            std::iter::once(of("scale", Initial::One)).chain(shift)
        };
        let layer = |name: String, inputs: usize, outputs: usize, initial: Initial| {
            [
                ParameterShape::new(format!("{name}.weight"), &[inputs, outputs], initial),
                ParameterShape::new(format!("{name}.bias"), &[outputs], Initial::Zero),
            ]
        };
        for block in (0..blocks).map(|i| format!("blocks.{i:02}")) {
            all.extend(norm(&format!("{block}.attention.norm")));
            let of_attention = format!("{block}.attention.in");
            all.extend(layer(of_attention, width, width.saturating_mul(3), begins));
            all.extend(layer(format!("{block}.attention.out"), width, width, ending));
            all.extend(norm(&format!("{block}.mlp.norm")));
            all.extend(layer(format!("{block}.mlp.in"), width, wide, begins));
            all.extend(layer(format!("{block}.mlp.out"), wide, width, ending));
        }
        all.extend(norm("norm"));
        if !self.tied {
            all.extend(layer("head".to_owned(), width, tokens, begins));
        }
        all
    }

    pub(super) fn widest(&self) -> usize {
        let looks = self.heads.saturating_mul(self.context);
        let wide = self.width.saturating_mul(SPREAD).max(self.tokens).max(looks);
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
        let mut parameters = Parameters(network, network.parameters.iter(), tape);
        let y = self.embed(&mut parameters, x, 0)?;
        let y =
            self.blocks(&mut parameters, y, pass, |tape, _, x| self.attend(tape, network, x))?;
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
        let mut parameters = Parameters(network, network.parameters.iter(), &mut tape);
        let x = op::input(tokens, 1, count)?;
        let y = self.embed(&mut parameters, &x, before)?;
        memory.blocks.resize_with(self.blocks, Default::default);
        let attention = Attention {
            engine: network.engine,
            heads: self.heads,
            width: self.width,
            length: self.context,
            rotation: self.rotation.as_deref(),
        };
        let y = self.blocks(&mut parameters, y, Pass::Predict, |_, block, x| {
            let memory = memory.blocks.get_mut(block).ok_or_else(|| Error::msg("no block"))?;
            let seen = op::lend(x, |x| Ok(attention.go_on(x, memory)))?;
            op::input(seen, count, self.width)
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
            engine: parameters.0.engine,
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
        parameters.2.three(x, (&table.tensor, &places), op)
    }

    /// What all blocks make of the vectors of tokens, each with its attention.
    fn blocks(
        &self,
        parameters: &mut Parameters<'_, '_>,
        y: Tensor,
        pass: Pass,
        mut attend: impl FnMut(&mut Tape, usize, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let leave_out = |parameters: &mut Parameters<'_, '_>, y: &Tensor, layer: usize| {
            parameters.0.leave_out(y, (pass, parameters.2), layer as u32, self.dropout)
        };
        let mut y = leave_out(parameters, &y, 0)?;
        for block in 0..self.blocks {
            parameters.2.branch();
            let inner = parameters.norm(self.norm, &y)?;
            let inner = parameters.dense(&inner, None)?;
            let inner = attend(parameters.2, block, &inner)?;
            let inner = parameters.dense(&inner, None)?;
            let inner = leave_out(parameters, &inner, 2 * block + 1)?;
            y = parameters.2.join(&y, &inner)?;
            parameters.2.branch();
            let inner = parameters.norm(self.norm, &y)?;
            let inner = parameters.dense(&inner, Some(Activation::Gelu))?;
            let inner = parameters.dense(&inner, None)?;
            let inner = leave_out(parameters, &inner, 2 * block + 2)?;
            y = parameters.2.join(&y, &inner)?;
        }
        Ok(y)
    }

    /// How well each token fits after each row.
    fn head(&self, parameters: &mut Parameters<'_, '_>, y: &Tensor) -> Result<Tensor> {
        let y = parameters.norm(self.norm, y)?;
        match parameters.0.parameters.first().filter(|_| self.tied) {
            Some(table) => {
                let op = HeadOp { engine: parameters.0.engine, table: table.gradient.clone() };
                parameters.2.two(&y, &table.tensor, op)
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

/// The parameters of a network in their order, and what is done with the next ones.
struct Parameters<'a, 't>(&'a Network, std::slice::Iter<'a, Parameter>, &'t mut Tape);

impl<'a> Parameters<'a, '_> {
    fn next(&mut self) -> Result<&'a Parameter> {
        self.1.next().ok_or_else(|| Error::msg("too few parameters"))
    }

    fn norm(&mut self, norm: Norm, x: &Tensor) -> Result<Tensor> {
        let (engine, scale) = (self.0.engine, self.next()?);
        let by_scale = scale.gradient.clone();
        match norm {
            Norm::Layer => {
                let shift = self.next()?;
                let op = NormOp { engine, scale: by_scale, shift: shift.gradient.clone() };
                self.2.three(x, (&scale.tensor, &shift.tensor), op)
            }
            Norm::Rms => self.2.two(x, &scale.tensor, RmsNormOp { engine, scale: by_scale }),
        }
    }

    fn dense(&mut self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let pair = (self.next()?, self.next()?);
        dense(self.0, self.2, x, pair, activation)
    }
}

#[cfg(test)]
mod tests;
