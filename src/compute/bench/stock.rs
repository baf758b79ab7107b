//! The networks of the measurements as candle's users write them, from the same parameters.
//! Never decides a result of a job.

use super::train::{BATCH, CONVOLUTIONS, Decoder, Learner};
use crate::compute::model::Shape;
use candle_core::{D, DType, Device, Error, Result, Tensor, Var};
use candle_nn::ops::{layer_norm_slow, softmax};

/// What is added to the variance of a row.
const EPSILON: f32 = 1e-5;

/// A network of stock candle. One for images has their channels first.
pub(super) struct Stock {
    learner: Learner,
    /// The parameters; layers have theirs transposed, as candle's do.
    pub vars: Vec<Var>,
    /// Minus infinity where a position may not look.
    mask: Tensor,
}

impl Stock {
    pub(super) fn new(learner: Learner, shape: &Shape, initial: &[Vec<f32>]) -> Result<Self> {
        let mut vars = Vec::new();
        for (shape, values) in shape.parameters().iter().zip(initial) {
            let values = Tensor::from_slice(values, shape.dims.as_slice(), &Device::Cpu)?;
            let values = match *shape.dims.as_slice() {
                [_, _, _, _] => values.permute((3, 2, 0, 1))?,
                // What the convolutions give, channels first.
                [3136, outputs] => {
                    let values = values.reshape((7, 7, 64, outputs))?.permute((3, 2, 0, 1))?;
                    values.reshape((outputs, 3136))?
                }
                [_, _] if !shape.name.ends_with(".table") => values.t()?,
                _ => values,
            };
            vars.push(Var::from_tensor(&values.contiguous()?)?);
        }
        let context = learner.decoder().context;
        let behind = |i: usize| i % context > i / context;
        let mask = (0..context * context).map(|i| if behind(i) { f32::NEG_INFINITY } else { 0.0 });
        let mask = Tensor::from_iter(mask, &Device::Cpu)?.reshape((context, context))?;
        Ok(Self { learner, vars, mask })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut vars = Vars(self.vars.iter());
        match self.learner {
            Learner::Mlp => vars.perceptron(x.clone()),
            Learner::Cnn => {
                let mut x = x.reshape((BATCH, 1, 28, 28))?;
                for _ in CONVOLUTIONS {
                    let (weights, bias) = (vars.next()?, vars.next()?);
                    x = x.conv2d(weights, 1, 1, 1, 1)?;
                    x = x.broadcast_add(&bias.reshape((1, (), 1, 1))?)?.relu()?.max_pool2d(2)?;
                }
                vars.perceptron(x.flatten_from(1)?)
            }
            Learner::Gpt | Learner::Large => self.decoder(vars, x),
        }
    }

    fn decoder(&self, mut vars: Vars<'_>, tokens: &Tensor) -> Result<Tensor> {
        let tokens = tokens.to_dtype(DType::U32)?.flatten_all()?;
        let Decoder { sequences, context, width, .. } = self.learner.decoder();
        let (table, places) = (vars.next()?, vars.next()?);
        let x = table.index_select(&tokens, 0)?.reshape((sequences, context, width))?;
        let mut x = x.broadcast_add(places)?.reshape((sequences * context, width))?;
        // Twelve of a block, two of the last norm and two of the head.
        while vars.0.len() > 4 {
            let inner = vars.norm(&x)?;
            let inner = self.attend(&vars.layer(&inner)?)?;
            x = (x + vars.layer(&inner)?)?;
            let inner = vars.norm(&x)?;
            let inner = vars.layer(&inner)?.gelu_erf()?;
            x = (x + vars.layer(&inner)?)?;
        }
        let x = vars.norm(&x)?;
        vars.layer(&x)
    }

    /// Queries, keys and values of all heads lie beside each other.
    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let Decoder { heads: count, width, context, sequences, .. } = self.learner.decoder();
        let columns = width / count;
        let heads = |part: usize| {
            let x = x.narrow(1, part * width, width)?;
            let x = x.reshape((sequences, context, count, columns))?;
            x.transpose(1, 2)?.contiguous()
        };
        let (queries, keys, values) = (heads(0)?, heads(1)?, heads(2)?);
        let looks = (queries.matmul(&keys.t()?)? / (columns as f64).sqrt())?;
        let looks = softmax(&looks.broadcast_add(&self.mask)?, D::Minus1)?;
        let seen = looks.matmul(&values)?.transpose(1, 2)?;
        seen.reshape((sequences * context, width))
    }
}

/// The parameters that are left.
struct Vars<'a>(std::slice::Iter<'a, Var>);

impl<'a> Vars<'a> {
    fn next(&mut self) -> Result<&'a Tensor> {
        self.0.next().map(Var::as_tensor).ok_or_else(|| Error::msg("too few parameters"))
    }

    fn layer(&mut self, x: &Tensor) -> Result<Tensor> {
        let (weights, bias) = (self.next()?, self.next()?);
        x.matmul(&weights.t()?)?.broadcast_add(bias)
    }

    /// Candle's own layer norm has no gradient in its fast form.
    fn norm(&mut self, x: &Tensor) -> Result<Tensor> {
        layer_norm_slow(x, self.next()?, self.next()?, EPSILON)
    }

    /// All that is left, with ReLU between two layers.
    fn perceptron(&mut self, mut x: Tensor) -> Result<Tensor> {
        loop {
            x = self.layer(&x)?;
            if self.0.len() == 0 {
                return Ok(x);
            }
            x = x.relu()?;
        }
    }
}
