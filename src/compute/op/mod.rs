//! The kernels as operations on candle's tensors: one file each.
//! Never computes with candle's own kernels, whose bits depend on the machine, but in a [`Stock`]
//! network: then each operation says itself in candle's own, which run on a graphics card too.
//!
//! Gradients of parameters are written in place into the [`Gradient`] of the parameter and not
//! handed to candle, which would first make zeros and then a sum of them; those by the input of a
//! layer are handed from one operation to the other by the [`Tape`] of the network.

mod attention;
mod bag;
mod batch_norm;
mod conv;
mod dense;
mod dropout;
mod embedding;
mod group_norm;
mod head;
mod loss;
mod mean;
mod norm;
mod rms_norm;
mod stock;
mod tape;

pub(super) use attention::AttentionOp;
pub(super) use bag::BagOp;
pub(super) use batch_norm::{BatchNormOp, Moments};
pub(super) use conv::ConvOp;
pub(super) use dense::DenseOp;
pub(super) use dropout::DropoutOp;
pub(super) use embedding::EmbeddingOp;
pub(super) use group_norm::GroupNormOp;
pub(super) use head::HeadOp;
pub(super) use loss::MeanLoss;
pub(super) use loss::Wanted;
pub(super) use mean::MeanOp;
pub(super) use norm::NormOp;
pub(super) use rms_norm::RmsNormOp;
pub(super) use stock::{Stock, standard};
pub(super) use tape::Tape;

use candle_core::{CpuStorage, DType, Device, Error, Layout, Result, Storage, Tensor};
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
    /// The gradient where the network is candle's own: on its device. What is kept of batches is
    /// left here by forward.
    pub stock: Option<Tensor>,
}

impl Gradient {
    pub(super) fn new(len: usize) -> Self {
        Self(Arc::new(Mutex::new(Slot { values: vec![0.0; len], filled: false, stock: None })))
    }

    /// The place, for the one operation of a graph that has the parameter.
    fn fill(&self) -> Result<MutexGuard<'_, Slot>> {
        let mut slot = self.lock();
        if std::mem::replace(&mut slot.filled, true) {
            return Err(Error::msg("a parameter is used twice in one graph"));
        }
        Ok(slot)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slot> {
        // A panic while it was written ends the job; what is in it is never read after that.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation keeps of its forward pass for the one backward pass that follows.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<Option<T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Kept<T> {
    fn set(&self, value: Option<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
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

/// A copy of the elements of a tensor, wherever it is.
pub(super) fn copied(tensor: &Tensor) -> Result<Vec<f32>> {
    match tensor.device() {
        Device::Cpu => lend(tensor, |xs| Ok(xs.to_vec())),
        _ => tensor.flatten_all()?.to_vec1(),
    }
}

/// A tensor that candle does not track.
pub(super) fn input(values: Vec<f32>, rows: usize, width: usize) -> Result<Tensor> {
    let tensor = Tensor::from_vec(values, (rows, width), &Device::Cpu)?;
    debug_assert_eq!(tensor.dtype(), DType::F32);
    Ok(tensor)
}
