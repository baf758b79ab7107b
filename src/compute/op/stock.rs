//! Operations in candle's own terms: what `mode: fast` runs, on the CPU or on a graphics card.
//! Never promises bits: candle's kernels add in an order of their own. Close to the exact ones is
//! all that they are, and what the tests ask of them.

use crate::domain::job::Activation;
use candle_core::{D, Result, Tensor};

/// An operation of so many arguments that says itself in candle's own, which have gradients of
/// their own.
pub(in crate::compute) trait Stock<const N: usize> {
    /// What it gives.
    fn stock(&self, arguments: [&Tensor; N]) -> Result<Tensor>;
}

/// Rows with a bias added: by a product with ones, so that the gradient by the bias is one too, and
/// not a sum over rows, which candle does slowly.
pub(super) fn biased(y: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((y.dim(0)?, 1), y.dtype(), y.device())?;
    y + ones.matmul(&bias.unsqueeze(0)?)?
}

/// What bends.
pub(super) fn bent(y: Tensor, activation: Option<Activation>) -> Result<Tensor> {
    match activation {
        None => Ok(y),
        Some(Activation::Relu) => y.relu(),
        Some(Activation::Tanh) => y.tanh(),
        Some(Activation::Gelu) => y.gelu_erf(),
    }
}

/// The largest of every square of images (`images × height × width × channels`), as rows of images.
/// candle's own max-pooling gives a quarter of its gradient.
pub(in crate::compute) fn pooled(y: &Tensor, side: usize) -> Result<Tensor> {
    let (images, height, width, channels) = y.dims4()?;
    let (lines, columns) = (height / side, width / side);
    let y = match side {
        1 => y.clone(),
        _ => {
            let whole = y.narrow(1, 0, lines * side)?.narrow(2, 0, columns * side)?;
            let squares = (images, lines, side, columns, side * channels);
            let most = whole.contiguous()?.reshape(squares)?.max(2)?;
            most.reshape((images, lines, columns, side, channels))?.max(3)?
        }
    };
    y.reshape((images, lines * columns * channels))
}

/// (x − mean) / √(variance + ε) over one dimension.
pub(in crate::compute) fn standard(x: &Tensor, dim: D, epsilon: f32) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(dim)?)?;
    let variance = centred.sqr()?.mean_keepdim(dim)?;
    centred.broadcast_div(&(variance + f64::from(epsilon))?.sqrt()?)
}
