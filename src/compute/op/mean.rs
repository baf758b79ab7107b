//! The mean of the tokens of each text as an operation of candle's graph.
//! Never keeps anything of the forward pass.

use super::{Stock, floats, lend};
use crate::compute::kernel::Isa;
use crate::compute::kernel::mean::Mean;
use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// The mean of the first rows of each sequence: `sequences·length × width` to `sequences × width`.
pub(in crate::compute) struct MeanOp {
    /// The instruction set.
    pub isa: Isa,
    /// Rows of a sequence.
    pub length: usize,
    /// How many rows of each sequence count.
    pub seen: Arc<[usize]>,
}

impl MeanOp {
    fn mean(&self) -> Mean<'_> {
        Mean { isa: self.isa, length: self.length, seen: &self.seen }
    }
}

impl CustomOp1 for MeanOp {
    fn name(&self) -> &'static str {
        "exact-mean"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if self.length == 0 || rows != self.seen.len() * self.length {
            return Err(Error::msg("the rows are not whole sequences"));
        }
        let y = self.mean().forward(floats(x, layout)?);
        Ok((CpuStorage::F32(y), Shape::from((self.seen.len(), width))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, by_output: &Tensor) -> Result<Option<Tensor>> {
        let by_input = lend(by_output, |dy| Ok(self.mean().backward(dy)))?;
        Tensor::from_vec(by_input, x.shape(), x.device()).map(Some)
    }
}

impl Stock<1> for MeanOp {
    fn stock(&self, [x]: [&Tensor; 1]) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let share = |&seen: &usize| {
            let each = 1.0 / seen.max(1) as f32;
            (0..self.length).map(move |row| if row < seen { each } else { 0.0 })
        };
        let shares: Vec<f32> = self.seen.iter().flat_map(share).collect();
        let shares = Tensor::from_vec(shares, (rows, 1), x.device())?;
        let sequences = (self.seen.len(), self.length, width);
        x.broadcast_mul(&shares)?.reshape(sequences)?.sum(1)
    }
}
