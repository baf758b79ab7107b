//! A group normalisation with what follows it as an operation of candle's graph.
//! Never normalises one image by another.

use super::stock::{Stock, bent, pooled, standard};
use super::{Gradient, Kept, floats, lend};
use crate::compute::kernel::group_norm::{EPS, Gradients, GroupNorm, Past};
use candle_core::{CpuStorage, CustomOp3, D, Error, Layout, Result, Shape, Tensor};

/// pool(act(x̂·γ + β)) with arguments (x, γ, β); x is rows of images.
pub(in crate::compute) struct GroupNormOp {
    /// Its arithmetic.
    pub norm: GroupNorm,
    /// Where the gradient by γ goes.
    pub gamma: Gradient,
    /// Where the gradient by β goes.
    pub beta: Gradient,
    /// What forward leaves for backward: which value of each square was kept, and the moments.
    pub past: Kept<(Vec<u8>, Vec<f32>)>,
}

impl CustomOp3 for GroupNormOp {
    fn name(&self) -> &'static str {
        "exact-group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (images, values) = x_layout.shape().dims2()?;
        if values != self.norm.lengths().0 {
            return Err(Error::msg("the images do not fit the norm"));
        }
        let normed = self.norm.forward(
            images,
            floats(x, x_layout)?,
            floats(gamma, gamma_layout)?,
            floats(beta, beta_layout)?,
        );
        self.past.set(Some((normed.picks, normed.moments)));
        Ok((CpuStorage::F32(normed.y), Shape::from((images, self.norm.lengths().1))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _beta: &Tensor,
        y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let backward = |images, past: Past<'_>, into: Gradients<'_>| {
            self.norm.backward(images, past, into);
        };
        gradients((x, gamma, y, by_output), (&self.gamma, &self.beta), &self.past, backward)
    }
}

/// The gradients of a norm of images, with arguments (x, γ, y, by the output): those by γ and β go
/// to their places, the one by x comes back.
pub(super) fn gradients(
    (x, gamma, y, by_output): (&Tensor, &Tensor, &Tensor, &Tensor),
    (by_gamma, by_beta): (&Gradient, &Gradient),
    past: &Kept<(Vec<u8>, Vec<f32>)>,
    backward: impl FnOnce(usize, Past<'_>, Gradients<'_>),
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let (images, values) = x.dims2()?;
    let mut by_input = vec![0.0; images * values];
    let (mut by_gamma, mut by_beta) = (by_gamma.fill()?, by_beta.fill()?);
    let past = past.take().ok_or_else(|| Error::msg("a norm learns once"))?;
    let (picks, moments) = (past.0.as_slice(), past.1.as_slice());
    lend(x, |x| {
        lend(gamma, |gamma| {
            lend(y, |y| {
                lend(by_output, |by_output| {
                    let past = Past { x, gamma, normed: (y, picks, moments), by_output };
                    let into = Gradients {
                        gamma: &mut by_gamma.values,
                        beta: &mut by_beta.values,
                        input: &mut by_input,
                    };
                    backward(images, past, into);
                    Ok(())
                })
            })
        })
    })?;
    Ok((Some(Tensor::from_vec(by_input, (images, values), x.device())?), None, None))
}

impl Stock<3> for GroupNormOp {
    fn stock(&self, [x, gamma, beta]: [&Tensor; 3]) -> Result<Tensor> {
        let GroupNorm { height, width, channels, groups, activation, pool, .. } = self.norm;
        let (images, pixels) = (x.dim(0)?, height * width);
        let x = x.reshape((images, pixels, groups, channels / groups.max(1)))?;
        // The values of a group side by side.
        let x = x.transpose(1, 2)?.contiguous()?;
        let shape = x.shape().clone();
        let normed = standard(&x.flatten(2, 3)?, D::Minus1, EPS)?.reshape(shape)?;
        let normed = normed.transpose(1, 2)?.contiguous()?.reshape((images, pixels, channels))?;
        let y = bent(normed.broadcast_mul(gamma)?.broadcast_add(beta)?, activation)?;
        pooled(&y.reshape((images, height, width, channels))?, pool)
    }
}
