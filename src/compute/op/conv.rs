//! A convolution with what follows it as an operation of candle's graph.
//! Never computes the gradient by an image that nobody learns from.

use super::stock::{Stock, bent, biased, pooled};
use super::{Gradient, Kept, floats, lend};
use crate::compute::kernel::conv::{Conv, Past};
use crate::compute::kernel::dense::Gradients;
use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};

/// pool(act(x∗W + b)) with arguments (x, W, b); x is rows of images.
pub(in crate::compute) struct ConvOp {
    /// Its arithmetic.
    pub conv: Conv,
    /// Where the gradient by W goes.
    pub weights: Gradient,
    /// Where the gradient by b goes.
    pub bias: Gradient,
    /// Whether somebody learns from the gradient by x.
    pub by_input: bool,
    /// What forward leaves for backward: which value of each square was kept.
    pub picks: Kept<Vec<u8>>,
}

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        "exact-conv"
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
        let (images, values) = x_layout.shape().dims2()?;
        let expect = (self.conv.lengths().0, self.conv.depth() * self.conv.filters);
        if (values, weights_layout.shape().elem_count()) != expect {
            return Err(Error::msg("the images do not fit the layer"));
        }
        let convolved = self.conv.forward(
            images,
            floats(x, x_layout)?,
            floats(weights, weights_layout)?,
            floats(bias, bias_layout)?,
        );
        self.picks.set(Some(convolved.picks));
        Ok((CpuStorage::F32(convolved.y), Shape::from((images, self.conv.lengths().1))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _bias: &Tensor,
        y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (images, values) = x.dims2()?;
        let mut by_input = self.by_input.then(|| vec![0.0; images * values]);
        let (mut by_weights, mut by_bias) = (self.weights.fill()?, self.bias.fill()?);
        let picks = self.picks.take().ok_or_else(|| Error::msg("a convolution learns once"))?;
        let picks = picks.as_slice();
        lend(x, |x| {
            lend(weights, |weights| {
                lend(y, |y| {
                    lend(by_output, |by_output| {
                        let into = Gradients {
                            weights: &mut by_weights.values,
                            bias: &mut by_bias.values,
                            input: by_input.as_deref_mut(),
                        };
                        self.conv.backward(images, Past { x, weights, y, picks, by_output }, into);
                        Ok(())
                    })
                })
            })
        })?;
        let shape = (images, values);
        let by_input = by_input.map(|g| Tensor::from_vec(g, shape, x.device())).transpose()?;
        Ok((by_input, None, None))
    }
}

impl Stock<3> for ConvOp {
    /// One product with all windows, lines first, in them pixels, in them channels.
    fn stock(&self, [x, weights, bias]: [&Tensor; 3]) -> Result<Tensor> {
        let Conv { height, width, channels, kernel, margin, filters, activation, pool, .. } =
            self.conv;
        let (images, (lines, columns)) = (x.dim(0)?, self.conv.extent());
        let x = x.reshape((images, height, width, channels))?;
        let x = x.pad_with_zeros(1, margin, margin)?.pad_with_zeros(2, margin, margin)?;
        let of_window =
            |at: usize| x.narrow(1, at / kernel, lines)?.narrow(2, at % kernel, columns);
        let windows = (0..kernel * kernel).map(of_window).collect::<Result<Vec<_>>>()?;
        let windows = Tensor::cat(&windows, 3)?;
        let windows = windows.reshape((images * lines * columns, self.conv.depth()))?;
        let weights = weights.reshape((self.conv.depth(), filters))?;
        let y = bent(biased(&windows.matmul(&weights)?, bias)?, activation)?;
        pooled(&y.reshape((images, lines, columns, filters))?, pool)
    }
}
