//! The kernels as operations of candle's graph: a dense layer, and the mean cross-entropy.
//! Never computes with candle's own kernels, whose bits depend on the CPU.
//!
//! Gradients of parameters are written in place into the [`Gradient`] of the parameter and not
//! handed to candle, which would first make zeros and then a sum of them; gradients that flow
//! further back (those by the input of a layer) are candle's.

use super::kernel::dense::{Dense, Gradients};
use super::kernel::{Engine, softmax};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, DType, Error, Layout, Result, Shape, Storage, Tensor,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The place where backward writes the gradient of one parameter.
#[derive(Debug, Clone)]
pub(super) struct Gradient(Arc<Mutex<Slot>>);

#[derive(Debug)]
pub(super) struct Slot {
    /// The gradient, of the parameter's length.
    pub values: Vec<f32>,
    /// Whether backward has written it since it was last used.
    pub filled: bool,
}

impl Gradient {
    pub(super) fn new(len: usize) -> Self {
        Self(Arc::new(Mutex::new(Slot { values: vec![0.0; len], filled: false })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slot> {
        // A panic while it was written ends the job; what is in it is never read after that.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The elements of a storage without gaps.
pub(super) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (begin, end) =
        layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "exact kernels" })?;
    storage.as_slice::<f32>()?.get(begin..end).ok_or_else(|| Error::msg("layout beyond storage"))
}

fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => Err(Error::msg("exact kernels run on the CPU")),
    }
}

/// Lends the elements of a tensor to `f`.
pub(super) fn lend<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    f(floats(cpu(&storage)?, layout)?)
}

/// act(x·W + b) with arguments (x, W, b).
pub(super) struct DenseOp {
    pub dense: Dense,
    pub weights: Gradient,
    pub bias: Gradient,
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
        let y = self.dense.forward(
            rows,
            floats(x, x_layout)?,
            floats(weights, weights_layout)?,
            floats(bias, bias_layout)?,
        );
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
        let mut by_input = x.track_op().then(|| vec![0.0; rows * self.dense.inputs]);
        let (mut by_weights, mut by_bias) = (self.weights.lock(), self.bias.lock());
        if by_weights.filled || by_bias.filled {
            return Err(Error::msg("a parameter is used twice in one graph"));
        }
        lend(x, |x| {
            lend(weights, |weights| {
                lend(y, |y| {
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
        (by_weights.filled, by_bias.filled) = (true, true);
        let shape = (rows, self.dense.inputs);
        let by_input = by_input.map(|g| Tensor::from_vec(g, shape, x.device())).transpose()?;
        Ok((by_input, None, None))
    }
}

/// The mean cross-entropy of rows of logits.
pub(super) struct CrossEntropy {
    pub engine: Engine,
    pub labels: Vec<u32>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "exact-cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if rows != self.labels.len() {
            return Err(Error::msg("one label per row"));
        }
        let logits = floats(logits, layout)?;
        let loss = softmax::cross_entropy(self.engine.isa, logits, &self.labels, width);
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, by_loss: &Tensor) -> Result<Option<Tensor>> {
        let width = logits.dim(1)?;
        let scale = by_loss.to_scalar::<f32>()?;
        let gradient = lend(logits, |logits| {
            let isa = self.engine.isa;
            Ok(softmax::cross_entropy_gradient(isa, logits, &self.labels, width, scale))
        })?;
        Tensor::from_vec(gradient, logits.shape(), logits.device()).map(Some)
    }
}

/// A tensor that candle does not track.
pub(super) fn input(values: Vec<f32>, rows: usize, width: usize) -> Result<Tensor> {
    let tensor = Tensor::from_vec(values, (rows, width), &candle_core::Device::Cpu)?;
    debug_assert_eq!(tensor.dtype(), DType::F32);
    Ok(tensor)
}
