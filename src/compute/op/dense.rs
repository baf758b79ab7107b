//! A dense layer as an operation of candle's graph.
//! Never computes the gradient by an input that nobody learns from.

use super::stock::{Stock, bent, biased};
use super::{Gradient, Kept, floats, lend};
use crate::compute::kernel::dense::{Dense, Gradients};
use crate::compute::kernel::spare;
use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};

/// act(x·W + b) with arguments (x, W, b).
pub(in crate::compute) struct DenseOp {
    /// Its arithmetic.
    pub dense: Dense,
    /// Where the gradient by W goes.
    pub weights: Gradient,
    /// Where the gradient by b goes.
    pub bias: Gradient,
    /// Whether somebody learns from the gradient by x.
    pub by_input: bool,
    /// The slope of what bends, where it does not follow from the result.
    pub kept: Kept<Vec<f32>>,
}

impl CustomOp3 for DenseOp {
    fn name(&self) -> &'static str {
        "exact-dense"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = x_layout.shape().dims2()?;
        let expect = (self.dense.inputs, (self.dense.inputs, self.dense.outputs));
        if (inputs, weights_layout.shape().dims2()?) != expect {
            return Err(Error::msg("the input does not fit the layer"));
        }
        let (x, weights) = (floats(x, x_layout)?, floats(weights, weights_layout)?);
        let (y, kept) = self.dense.forward_kept(rows, x, weights, floats(bias, bias_layout)?);
        self.kept.set(kept);
        Ok((CpuStorage::F32(y), Shape::from((rows, self.dense.outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _bias: &Tensor,
        y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let rows = x.dim(0)?;
        let kept = self.kept.take();
        let mut by_input = self.by_input.then(|| spare::take(rows * self.dense.inputs));
        let (mut by_weights, mut by_bias) = (self.weights.fill()?, self.bias.fill()?);
        lend(x, |x| {
            lend(weights, |weights| {
                lend(y, |y| {
                    let y = kept.as_deref().unwrap_or(y);
                    lend(by_output, |by_output| {
                        let into = Gradients {
                            weights: &mut by_weights.values,
                            bias: &mut by_bias.values,
                            input: by_input.as_deref_mut(),
                        };
                        self.dense.backward(rows, (x, weights, y), by_output, into);
                        Ok(())
                    })
                })
            })
        })?;
        kept.into_iter().for_each(spare::leave);
        let shape = (rows, self.dense.inputs);
        let by_input = by_input.map(|g| Tensor::from_vec(g, shape, x.device())).transpose()?;
        Ok((by_input, None, None))
    }
}

impl Stock<3> for DenseOp {
    fn stock(&self, [x, weights, bias]: [&Tensor; 3]) -> Result<Tensor> {
        bent(biased(&x.matmul(weights)?, bias)?, self.dense.activation)
    }
}
