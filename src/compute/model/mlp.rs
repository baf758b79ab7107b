//! Multi-layer perceptrons: dense layers one after the other; one alone is a linear model.
//! Never bends the last layer.

use super::{Initial, Network, Parameter, ParameterShape, fault};
use crate::compute::Fault;
use crate::compute::kernel::dense::Dense;
use crate::compute::op::{DenseOp, Kept, Tape};
use crate::domain::job::Activation;
use candle_core::{Result, Tensor};

/// Hidden layers of one perceptron.
const HIDDEN_MAX: usize = 64;

/// The shape of a perceptron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mlp {
    /// Features, hidden widths, outputs: at least two numbers.
    widths: Vec<usize>,
    /// What bends between layers; nothing where there is but one.
    activation: Option<Activation>,
}

impl Mlp {
    pub(super) fn new(
        hidden: &[u32],
        activation: Option<Activation>,
        features: usize,
        outputs: usize,
    ) -> std::result::Result<Self, Fault> {
        if hidden.len() > HIDDEN_MAX {
            return Err(fault(
                format!("the model has {} hidden layers", hidden.len()),
                "a perceptron has at most 64 hidden layers",
            ));
        }
        let mut widths = vec![features];
        widths.extend(hidden.iter().map(|&width| width as usize));
        widths.push(outputs);
        if widths.contains(&0) {
            return Err(fault(
                "a layer of the model is 0 wide",
                "give the data at least one feature and every hidden layer a width of at least 1",
            ));
        }
        Ok(Self { widths, activation })
    }

    /// Inputs, outputs and activation of every layer, input side first; the last one is linear.
    pub(super) fn layers(&self) -> impl Iterator<Item = (usize, usize, Option<Activation>)> {
        let last = self.widths.len().saturating_sub(2);
        let pairs = self.widths.iter().zip(self.widths.iter().skip(1)).enumerate();
        pairs.map(move |(i, (&inputs, &outputs))| {
            (inputs, outputs, self.activation.filter(|_| i < last))
        })
    }

    /// Weights uniform after He (ReLU) or Glorot (else), biases zero. Of a linear model the weights
    /// are zero, too: its loss has one valley, and a feature that never changes keeps no lot.
    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let layers = self.layers().enumerate();
        layers
            .flat_map(|(i, (inputs, outputs, activation))| {
                let fan = match activation {
                    Some(Activation::Relu) => inputs,
                    Some(Activation::Tanh | Activation::Gelu) | None => {
                        inputs.saturating_add(outputs)
                    }
                };
                let limit = match self.activation {
                    Some(_) => Initial::Uniform((6.0 / fan as f32).sqrt()),
                    None => Initial::Zero,
                };
                let name = |what: &str| format!("layers.{i:02}.{what}");
                [
                    ParameterShape::new(name("weight"), &[inputs, outputs], limit),
                    ParameterShape::new(name("bias"), &[outputs], Initial::Zero),
                ]
            })
            .collect()
    }

    pub(super) fn widest(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(1)
    }

    /// What it gives, with these parameters of the network: weights and bias of every layer.
    pub(super) fn forward(
        &self,
        network: &Network,
        parameters: &[Parameter],
        x: &Tensor,
        tape: &mut Tape,
    ) -> Result<Tensor> {
        let mut layers = self.layers().zip(parameters.chunks_exact(2));
        layers.try_fold(x.clone(), |x, ((_, _, activation), pair)| match pair {
            [weights, bias] => dense(network, tape, &x, (weights, bias), activation),
            _ => Ok(x),
        })
    }
}

/// act(x·W + b) of rows, as wide as the weights say.
pub(super) fn dense(
    network: &Network,
    tape: &mut Tape,
    x: &Tensor,
    (weights, bias): (&Parameter, &Parameter),
    activation: Option<Activation>,
) -> Result<Tensor> {
    let (inputs, outputs) = weights.tensor.dims2()?;
    let op = DenseOp {
        dense: Dense { engine: network.engine, inputs, outputs, activation },
        weights: weights.gradient.clone(),
        bias: bias.gradient.clone(),
        by_input: !tape.is_empty(),
        kept: Kept::default(),
    };
    tape.three(x, (&weights.tensor, &bias.tensor), op)
}
