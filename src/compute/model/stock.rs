//! Networks in candle's own operations: what `mode: fast` learns with, on the CPU or on a card.
//! Never promises the bits of the kernels, only about the same numbers.

use super::{Network, Shape, misfit};
use crate::compute::Fault;
use crate::compute::kernel::Engine;
use crate::compute::op;
use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};

/// Gradients of all parameters, in their order, added up over the pieces of a step: in one of the
/// two arithmetics.
#[derive(Debug, Default)]
pub(in crate::compute) struct Sums {
    pub(super) exact: Vec<Vec<f32>>,
    pub(super) stock: Vec<Tensor>,
}

impl Network {
    /// One that learns in candle's own operations, on a device.
    pub fn learning_fast(
        device: &Device,
        shape: &Shape,
        values: Vec<Vec<f32>>,
    ) -> std::result::Result<Self, Fault> {
        Self::of(Engine::default(), Some(device.clone()), shape, values, true)
    }

    /// Where it runs in candle's own operations, if it does.
    pub(in crate::compute) fn stock(&self) -> Option<&Device> {
        self.stock.as_ref()
    }

    /// Rows of features where it takes them.
    pub(in crate::compute) fn input(
        &self,
        values: Vec<f32>,
        rows: usize,
    ) -> std::result::Result<Tensor, Fault> {
        let width = values.len() / rows.max(1);
        let x = op::input(values, rows, width);
        match &self.stock {
            None => x,
            Some(device) => x.and_then(|x| x.to_device(device)),
        }
        .map_err(misfit)
    }

    /// Keeps what candle found. What is kept of batches was left there by forward.
    pub(super) fn keep(&self, found: &GradStore) {
        for parameter in &self.parameters {
            let mut gradient = parameter.gradient.lock();
            if parameter.learned {
                gradient.stock = found.get(&parameter.tensor).map(Tensor::detach);
            }
            gradient.filled = gradient.stock.is_some();
        }
    }

    pub(super) fn add_stock(&self, sums: &mut Sums, share: f32) -> Result<()> {
        let mut next = Vec::with_capacity(self.parameters.len());
        for (i, parameter) in self.parameters.iter().enumerate() {
            let mut slot = parameter.gradient.lock();
            slot.filled = false;
            let Some(mut gradient) = slot.stock.take() else { continue };
            if !parameter.learned {
                gradient = (gradient * f64::from(share))?;
            }
            next.push(match sums.stock.get(i) {
                None => gradient,
                Some(sum) => (sum + gradient)?,
            });
        }
        sums.stock = next;
        Ok(())
    }
}
