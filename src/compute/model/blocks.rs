//! Blocks of a transformer: a norm before attention and before the perceptron of each, GELU, and
//! what both give added to what they were given. Never attends: who has the blocks does.

use super::mlp::dense;
use super::{Initial, Network, Parameter, ParameterShape, Pass};
use crate::compute::op::{NormOp, RmsNormOp, Tape};
use crate::domain::job::{Activation, Norm};
use candle_core::{Error, Result, Tensor};

/// The deviation of initial weights; those that end a branch are smaller by the root of their
/// number (Radford and others 2019).
const DEVIATION: f32 = 0.02;
/// The perceptron of a block is so many times as wide as a position.
pub(super) const SPREAD: usize = 4;

/// The shape of some blocks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocks {
    pub(super) count: usize,
    pub(super) width: usize,
    pub(super) dropout: f64,
    pub(super) norm: Norm,
}

/// Small numbers, as weights begin.
pub(super) fn begins() -> Initial {
    spread(DEVIATION)
}

/// A uniform number between ±√3 has the deviation 1.
fn spread(deviation: f32) -> Initial {
    Initial::Uniform(deviation * 3f32.sqrt())
}

impl Blocks {
    /// Those of all blocks, and of a norm behind the last.
    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let Self { count, width, .. } = *self;
        let ending = spread(DEVIATION / (2.0 * count as f32).sqrt());
        let wide = width.saturating_mul(SPREAD);
        let norm = |name: &str| {
            let of = |part: &str, initial: Initial| {
                ParameterShape::new(format!("{name}.{part}"), &[width], initial)
            };
            let shift = (self.norm == Norm::Layer).then(|| of("shift", Initial::Zero));
            std::iter::once(of("scale", Initial::One)).chain(shift)
        };
        let mut all = Vec::new();
        for block in (0..count).map(|i| format!("blocks.{i:02}")) {
            all.extend(norm(&format!("{block}.attention.norm")));
            let of_attention = format!("{block}.attention.in");
            all.extend(layer(of_attention, width, width.saturating_mul(3), begins()));
            all.extend(layer(format!("{block}.attention.out"), width, width, ending));
            all.extend(norm(&format!("{block}.mlp.norm")));
            all.extend(layer(format!("{block}.mlp.in"), width, wide, begins()));
            all.extend(layer(format!("{block}.mlp.out"), wide, width, ending));
        }
        all.extend(norm("norm"));
        all
    }

    /// What all blocks make of the vectors of tokens, each with its attention, before the last
    /// norm.
    pub(super) fn forward(
        &self,
        parameters: &mut Parameters<'_, '_>,
        y: Tensor,
        pass: Pass,
        mut attend: impl FnMut(&mut Tape, usize, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let leave_out = |parameters: &mut Parameters<'_, '_>, y: &Tensor, layer: usize| {
            let passing = (pass, &mut *parameters.tape);
            parameters.network.leave_out(y, passing, layer as u32, self.dropout)
        };
        let mut y = leave_out(parameters, &y, 0)?;
        for block in 0..self.count {
            parameters.tape.branch();
            let inner = parameters.norm(self.norm, &y)?;
            let inner = parameters.dense(&inner, None)?;
            let inner = attend(parameters.tape, block, &inner)?;
            let inner = parameters.dense(&inner, None)?;
            let inner = leave_out(parameters, &inner, 2 * block + 1)?;
            y = parameters.tape.join(&y, &inner)?;
            parameters.tape.branch();
            let inner = parameters.norm(self.norm, &y)?;
            let inner = parameters.dense(&inner, Some(Activation::Gelu))?;
            let inner = parameters.dense(&inner, None)?;
            let inner = leave_out(parameters, &inner, 2 * block + 2)?;
            y = parameters.tape.join(&y, &inner)?;
        }
        Ok(y)
    }
}

/// The weights and the bias of a dense layer.
pub(super) fn layer(
    name: String,
    inputs: usize,
    outputs: usize,
    initial: Initial,
) -> [ParameterShape; 2] {
    [
        ParameterShape::new(format!("{name}.weight"), &[inputs, outputs], initial),
        ParameterShape::new(format!("{name}.bias"), &[outputs], Initial::Zero),
    ]
}

/// The parameters of a network in their order, and what is done with the next ones.
pub(super) struct Parameters<'a, 't> {
    pub(super) network: &'a Network,
    pub(super) tape: &'t mut Tape,
    left: std::slice::Iter<'a, Parameter>,
}

impl<'a, 't> Parameters<'a, 't> {
    pub(super) fn of(network: &'a Network, tape: &'t mut Tape) -> Self {
        Self { network, tape, left: network.parameters.iter() }
    }

    /// Those that are left.
    pub(super) fn rest(&self) -> &'a [Parameter] {
        self.left.as_slice()
    }

    pub(super) fn next(&mut self) -> Result<&'a Parameter> {
        self.left.next().ok_or_else(|| Error::msg("too few parameters"))
    }

    pub(super) fn norm(&mut self, norm: Norm, x: &Tensor) -> Result<Tensor> {
        let (engine, scale) = (self.network.engine, self.next()?);
        let by_scale = scale.gradient.clone();
        match norm {
            Norm::Layer => {
                let shift = self.next()?;
                let op = NormOp { engine, scale: by_scale, shift: shift.gradient.clone() };
                self.tape.three(x, (&scale.tensor, &shift.tensor), op)
            }
            Norm::Rms => self.tape.two(x, &scale.tensor, RmsNormOp { engine, scale: by_scale }),
        }
    }

    pub(super) fn dense(&mut self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let pair = (self.next()?, self.next()?);
        dense(self.network, self.tape, x, pair, activation)
    }
}
