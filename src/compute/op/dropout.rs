//! Dropout as an operation of candle's graph.
//! Never draws: what is left out follows from seed, layer and step.

use super::{Stock, floats, lend};
use crate::compute::kernel::Isa;
use crate::compute::kernel::dropout::Dropout;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// x with some values left out.
pub(in crate::compute) struct DropoutOp {
    /// How it runs.
    pub isa: Isa,
    /// Which values.
    pub dropout: Dropout,
}

impl DropoutOp {
    fn of(&self, values: &[f32]) -> Vec<f32> {
        let mut values = values.to_vec();
        self.dropout.apply(self.isa, &mut values);
        values
    }
}

impl CustomOp1 for DropoutOp {
    fn name(&self) -> &'static str {
        "exact-dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.of(floats(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, by_output: &Tensor) -> Result<Option<Tensor>> {
        let by_input = lend(by_output, |by_output| Ok(self.of(by_output)))?;
        Tensor::from_vec(by_input, x.shape(), x.device()).map(Some)
    }
}

impl Stock<1> for DropoutOp {
    fn stock(&self, [x]: [&Tensor; 1]) -> Result<Tensor> {
        // The same lot in every arithmetic.
        let lot = self.of(&vec![1.0; x.elem_count()]);
        x * Tensor::from_vec(lot, x.shape(), x.device())?
    }
}
