//! A batch normalisation with what follows it as an operation of candle's graph.
//! Never moves what is kept of the batches before: it leaves the moments of this one where the
//! gradient of a parameter would be.

use super::group_norm::gradients;
use super::stock::{Stock, bent, pooled};
use super::{Gradient, Kept, floats, lend};
use crate::compute::kernel::batch_norm::BatchNorm;
use crate::compute::kernel::group_norm::{EPS, Gradients, Past};
use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};

/// pool(act(x̂·γ + β)) with arguments (x, γ, β); x is rows of images.
pub(in crate::compute) struct BatchNormOp {
    /// Its arithmetic.
    pub norm: BatchNorm,
    /// Where the gradient by γ goes.
    pub gamma: Gradient,
    /// Where the gradient by β goes.
    pub beta: Gradient,
    /// By what is normalised.
    pub moments: Moments,
    /// What forward leaves for backward: which value of each square was kept, and the moments.
    pub past: Kept<(Vec<u8>, Vec<f32>)>,
}

/// By what images are normalised.
pub(in crate::compute) enum Moments {
    /// By those of their batch, which go to these two places: the mean and the variance.
    Own(Gradient, Gradient),
    /// By those that are kept of batches before; nothing is learned then.
    Kept(Tensor, Tensor),
}

impl CustomOp3 for BatchNormOp {
    fn name(&self) -> &'static str {
        "exact-batch-norm"
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
        if values != self.norm.lengths().0 || images == 0 {
            return Err(Error::msg("the images do not fit the norm"));
        }
        let x = floats(x, x_layout)?;
        let scales = (floats(gamma, gamma_layout)?, floats(beta, beta_layout)?);
        let normed = match &self.moments {
            Moments::Own(mean, variance) => {
                let (mean, variance) = (&mut *mean.fill()?, &mut *variance.fill()?);
                (mean.values, variance.values) = self.norm.measure(images, x);
                let moments = (mean.values.as_slice(), variance.values.as_slice());
                let normed = self.norm.forward(images, x, scales, moments);
                // What is kept is the variance of all that there might be, not of these pixels.
                let correction = self.norm.correction(images);
                variance.values.iter_mut().for_each(|variance| *variance *= correction);
                normed
            }
            Moments::Kept(mean, variance) => lend(mean, |mean| {
                let by = |variance: &[f32]| self.norm.forward(images, x, scales, (mean, variance));
                lend(variance, |variance| Ok(by(variance)))
            })?,
        };
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
        if let Moments::Kept(..) = self.moments {
            return Err(Error::msg("who predicts does not learn from a batch"));
        }
        let backward = |images, past: Past<'_>, into: Gradients<'_>| {
            self.norm.backward(images, past, into);
        };
        gradients((x, gamma, y, by_output), (&self.gamma, &self.beta), &self.past, backward)
    }
}

impl Stock<3> for BatchNormOp {
    fn stock(&self, [x, gamma, beta]: [&Tensor; 3]) -> Result<Tensor> {
        let BatchNorm { height, width, channels, activation, pool, .. } = self.norm;
        let images = x.dim(0)?;
        let x = x.reshape((images * height * width, channels))?;
        let (centred, variance) = match &self.moments {
            Moments::Own(mean, variance) => {
                let own = x.mean_keepdim(0)?;
                let centred = x.broadcast_sub(&own)?;
                let squares = centred.sqr()?.mean_keepdim(0)?;
                let correction = f64::from(self.norm.correction(images));
                mean.lock().stock = Some(own.flatten_all()?.detach());
                variance.lock().stock = Some((squares.flatten_all()? * correction)?.detach());
                (centred, squares)
            }
            Moments::Kept(mean, variance) => (x.broadcast_sub(mean)?, variance.unsqueeze(0)?),
        };
        let normed = centred.broadcast_div(&(variance + f64::from(EPS))?.sqrt()?)?;
        let y = bent(normed.broadcast_mul(gamma)?.broadcast_add(beta)?, activation)?;
        pooled(&y.reshape((images, height, width, channels))?, pool)
    }
}
