//! Root-mean-square norm as an operation of candle's graph.
//! Never keeps anything of the forward pass: the root of a row is quick to find again.

use super::norm::EPSILON;
use super::stock::Stock;
use super::{Gradient, floats, lend};
use crate::compute::kernel::Engine;
use crate::compute::kernel::rms_norm::Norm;
use candle_core::{CpuStorage, CustomOp2, D, Error, Layout, Result, Shape, Tensor};

/// Rows normalised, with arguments (x, scale).
pub(in crate::compute) struct RmsNormOp {
    /// How it runs.
    pub engine: Engine,
    /// Where the gradient by the scale goes.
    pub scale: Gradient,
}

impl CustomOp2 for RmsNormOp {
    fn name(&self) -> &'static str {
        "exact-rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = x_layout.shape().dims2()?;
        let scale = floats(scale, scale_layout)?;
        if scale.len() != width {
            return Err(Error::msg("the scale is as wide as a row"));
        }
        let y = Norm { scale, epsilon: EPSILON }.of(self.engine, floats(x, x_layout)?);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        _y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut by_scale = self.scale.fill()?;
        let mut by_input = vec![0.0; x.elem_count()];
        lend(scale, |scale| {
            let norm = Norm { scale, epsilon: EPSILON };
            lend(x, |x| {
                lend(by_output, |by_output| {
                    let into = (by_scale.values.as_mut_slice(), by_input.as_mut_slice());
                    norm.backward(self.engine, x, by_output, into);
                    Ok(())
                })
            })
        })?;
        Ok((Some(Tensor::from_vec(by_input, x.shape(), x.device())?), None))
    }
}

impl Stock<2> for RmsNormOp {
    fn stock(&self, [x, scale]: [&Tensor; 2]) -> Result<Tensor> {
        let squares = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(squares + f64::from(EPSILON))?.sqrt()?)?.broadcast_mul(scale)
    }
}
