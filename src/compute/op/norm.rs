//! Layer norm as an operation of candle's graph.
//! Never keeps anything of the forward pass: mean and deviation of a row are quick to find again.

use super::stock::{Stock, standard};
use super::{Gradient, floats, lend};
use crate::compute::kernel::layer_norm::{Gradients, Norm};
use crate::compute::kernel::{Engine, spare};
use candle_core::{CpuStorage, CustomOp3, D, Error, Layout, Result, Shape, Tensor};

/// What is added to the variance of a row, or to the mean of its squares.
pub(super) const EPSILON: f32 = 1e-5;

/// Rows normalised, with arguments (x, scale, shift).
pub(in crate::compute) struct NormOp {
    /// How it runs.
    pub engine: Engine,
    /// Where the gradient by the scale goes.
    pub scale: Gradient,
    /// Where the gradient by the shift goes.
    pub shift: Gradient,
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "exact-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = x_layout.shape().dims2()?;
        let (scale, shift) = (floats(scale, scale_layout)?, floats(shift, shift_layout)?);
        if (scale.len(), shift.len()) != (width, width) {
            return Err(Error::msg("scale and shift are as wide as a row"));
        }
        let y = Norm { scale, shift, epsilon: EPSILON }.of(self.engine, floats(x, x_layout)?);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (mut by_scale, mut by_shift) = (self.scale.fill()?, self.shift.fill()?);
        let mut by_input = spare::take(x.elem_count());
        lend(scale, |scale| {
            lend(shift, |shift| {
                let norm = Norm { scale, shift, epsilon: EPSILON };
                lend(x, |x| {
                    lend(by_output, |by_output| {
                        let (scale, shift) = (&mut by_scale.values, &mut by_shift.values);
                        let into = Gradients { scale, shift, input: &mut by_input };
                        norm.backward(self.engine, x, by_output, into);
                        Ok(())
                    })
                })
            })
        })?;
        Ok((Some(Tensor::from_vec(by_input, x.shape(), x.device())?), None, None))
    }
}

impl Stock<3> for NormOp {
    fn stock(&self, [x, scale, shift]: [&Tensor; 3]) -> Result<Tensor> {
        standard(x, D::Minus1, EPSILON)?.broadcast_mul(scale)?.broadcast_add(shift)
    }
}
