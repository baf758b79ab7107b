//! The kernels as operations of candle's graph: a dense layer, and the mean loss of a batch.
//! Never computes with candle's own kernels, whose bits depend on the CPU.
//!
//! Gradients of parameters are written in place into the [`Gradient`] of the parameter and not
//! handed to candle, which would first make zeros and then a sum of them; gradients that flow
//! further back (those by the input of a layer) are candle's.

use super::kernel::dense::{Dense, Gradients};
use super::kernel::{Engine, Isa, loss, reduce, softmax};
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

/// What is wanted of the outputs of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// One class of each row: cross-entropy of the logits.
    Classes {
        /// The class of each row.
        labels: Vec<u32>,
        /// How much each class counts; 1 where it is not in it.
        weights: Arc<[f32]>,
    },
    /// A number of each row: squared error.
    Real(Vec<f32>),
    /// 0 or 1 for each label of each row: logistic loss of the logits.
    Labels(Vec<f32>),
}

impl Wanted {
    /// The loss of every row, or with several labels of every label of every row; their mean is the
    /// loss of the batch.
    ///
    /// # Panics
    /// If the outputs are not those of the rows.
    #[must_use]
    pub fn losses(&self, isa: Isa, outputs: &[f32]) -> Vec<f32> {
        match self {
            Self::Classes { labels, weights } => {
                let width = outputs.len() / labels.len().max(1);
                softmax::cross_entropies(isa, outputs, (labels, weights), width)
            }
            Self::Real(truth) => loss::squares(isa, outputs, truth),
            Self::Labels(truth) => loss::logistic(isa, outputs, truth),
        }
    }

    fn gradient(&self, isa: Isa, outputs: &[f32], scale: f32) -> Vec<f32> {
        match self {
            Self::Classes { labels, weights } => {
                let width = outputs.len() / labels.len().max(1);
                softmax::cross_entropy_gradient(isa, outputs, (labels, weights), width, scale)
            }
            Self::Real(truth) => loss::squares_gradient(isa, outputs, truth, scale),
            Self::Labels(truth) => loss::logistic_gradient(isa, outputs, truth, scale),
        }
    }

    /// Whether it is of so many rows of so many outputs.
    fn fits(&self, rows: usize, width: usize) -> bool {
        match self {
            Self::Classes { labels, .. } => labels.len() == rows,
            Self::Real(truth) | Self::Labels(truth) => truth.len() == rows * width,
        }
    }
}

/// The mean loss of the outputs of a batch.
pub(super) struct MeanLoss {
    pub engine: Engine,
    pub wanted: Wanted,
}

impl CustomOp1 for MeanLoss {
    fn name(&self) -> &'static str {
        "exact-mean-loss"
    }

    fn cpu_fwd(&self, outputs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if !self.wanted.fits(rows, width) {
            return Err(Error::msg("what is wanted does not fit the outputs"));
        }
        let isa = self.engine.isa;
        let loss = reduce::mean(isa, &self.wanted.losses(isa, floats(outputs, layout)?));
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, outputs: &Tensor, _loss: &Tensor, by_loss: &Tensor) -> Result<Option<Tensor>> {
        let scale = by_loss.to_scalar::<f32>()?;
        let gradient =
            lend(outputs, |outputs| Ok(self.wanted.gradient(self.engine.isa, outputs, scale)))?;
        Tensor::from_vec(gradient, outputs.shape(), outputs.device()).map(Some)
    }
}

/// A tensor that candle does not track.
pub(super) fn input(values: Vec<f32>, rows: usize, width: usize) -> Result<Tensor> {
    let tensor = Tensor::from_vec(values, (rows, width), &candle_core::Device::Cpu)?;
    debug_assert_eq!(tensor.dtype(), DType::F32);
    Ok(tensor)
}
