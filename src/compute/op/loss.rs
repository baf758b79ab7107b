//! The mean loss of a batch as an operation of candle's graph.
//! Never gives the loss of one row more weight than its class has.

use super::{Stock, floats, lend};
use crate::compute::kernel::{Engine, loss, reduce, softmax};
use candle_core::{CpuStorage, CustomOp1, D, Device, Error, Layout, Result, Shape, Tensor};
use std::sync::Arc;

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
    pub fn losses(&self, engine: Engine, outputs: &[f32]) -> Vec<f32> {
        let isa = engine.isa;
        match self {
            Self::Classes { labels, weights } => {
                let width = outputs.len() / labels.len().max(1);
                softmax::cross_entropies(engine, outputs, (labels, weights), width)
            }
            Self::Real(truth) => loss::squares(isa, outputs, truth),
            Self::Labels(truth) => loss::logistic(isa, outputs, truth),
        }
    }

    fn gradient(&self, engine: Engine, outputs: &[f32], scale: f32) -> Vec<f32> {
        let isa = engine.isa;
        match self {
            Self::Classes { labels, weights } => {
                let width = outputs.len() / labels.len().max(1);
                softmax::cross_entropy_gradient(engine, outputs, (labels, weights), width, scale)
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
pub(in crate::compute) struct MeanLoss {
    /// How it runs.
    pub engine: Engine,
    /// What is wanted of the outputs.
    pub wanted: Wanted,
    /// What the mean is multiplied with: the share of a piece in the loss of its step.
    pub share: f32,
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
        let losses = self.wanted.losses(self.engine, floats(outputs, layout)?);
        let mean = reduce::mean(self.engine.isa, &losses);
        let loss = mean * self.share;
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(&self, outputs: &Tensor, _loss: &Tensor, by_loss: &Tensor) -> Result<Option<Tensor>> {
        let scale = by_loss.to_scalar::<f32>()? * self.share;
        let gradient =
            lend(outputs, |outputs| Ok(self.wanted.gradient(self.engine, outputs, scale)))?;
        Tensor::from_vec(gradient, outputs.shape(), outputs.device()).map(Some)
    }
}

impl Wanted {
    /// What [`Wanted::losses`] says, in candle's own operations.
    pub(in crate::compute) fn stock(&self, outputs: &Tensor) -> Result<Tensor> {
        let device = outputs.device();
        let truth = |of: &[f32]| Tensor::from_slice(of, outputs.shape(), device);
        match self {
            Self::Classes { labels, weights } => {
                let most = outputs.max_keepdim(D::Minus1)?.detach();
                let centred = outputs.broadcast_sub(&most)?;
                let all = centred.exp()?.sum_keepdim(D::Minus1)?.log()?;
                let ids = Tensor::from_slice(labels, (labels.len(), 1), device)?;
                let losses = (all - centred.gather(&ids, D::Minus1)?)?;
                if weights.is_empty() {
                    return Ok(losses);
                }
                losses * weighed(labels, weights, device)?
            }
            Self::Real(of) => (outputs - truth(of)?)?.sqr(),
            Self::Labels(of) => {
                let below = (outputs.abs()?.neg()?.exp()? + 1.0)?.log()?;
                (outputs.relu()? - (outputs * truth(of)?)?)? + below
            }
        }
    }
}

/// The weight of the class of each row.
fn weighed(labels: &[u32], weights: &[f32], device: &Device) -> Result<Tensor> {
    let weight = |label: &u32| weights.get(*label as usize).copied().unwrap_or(1.0);
    Tensor::from_vec(labels.iter().map(weight).collect::<Vec<_>>(), (labels.len(), 1), device)
}

impl Stock<1> for MeanLoss {
    fn stock(&self, [outputs]: [&Tensor; 1]) -> Result<Tensor> {
        let (rows, width) = outputs.dims2()?;
        if !self.wanted.fits(rows, width) {
            return Err(Error::msg("what is wanted does not fit the outputs"));
        }
        self.wanted.stock(outputs)?.mean_all()? * f64::from(self.share)
    }
}
