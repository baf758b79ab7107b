//! Optimisers: how parameters follow their gradients, in place and in a fixed order.
//! Never takes a power: β^t is carried in the state, one multiplication per step.

use super::Fault;
use super::graph::Slot;
use super::kernel::adamw::{self, Rates};
use super::kernel::{Engine, Isa};
use super::model::{Mlp, misfit};
use crate::domain::job::Optimizer;
use candle_core::{CpuStorage, InplaceOp1, Layout};
use std::cell::RefCell;

/// The moments of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The first moment.
    pub m: Vec<f32>,
    /// The second moment.
    pub v: Vec<f32>,
}

/// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) with its state.
#[derive(Debug, Clone)]
pub struct AdamW {
    isa: Isa,
    optimizer: Optimizer,
    /// β1^t and β2^t after t steps.
    pub powers: (f64, f64),
    /// In the order of the parameters.
    pub moments: Vec<Moments>,
}

impl AdamW {
    /// Before the first step: powers 1, moments 0; `lengths` are those of the parameters.
    #[must_use]
    pub fn new(engine: Engine, optimizer: &Optimizer, lengths: &[usize]) -> Self {
        let zeros = |&len: &usize| Moments { m: vec![0.0; len], v: vec![0.0; len] };
        let moments = lengths.iter().map(zeros).collect();
        Self { isa: engine.isa, optimizer: optimizer.clone(), powers: (1.0, 1.0), moments }
    }

    /// One step of all parameters, along the gradients that [`Mlp::learn`] left in them.
    pub fn step(&mut self, mlp: &Mlp) -> Result<(), Fault> {
        let Optimizer::AdamW { lr, beta1, beta2, eps, weight_decay } = self.optimizer;
        self.powers = (self.powers.0 * beta1, self.powers.1 * beta2);
        let rates = Rates {
            lr: lr as f32,
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            correction1: (1.0 / (1.0 - self.powers.0)) as f32,
            correction2: (1.0 / (1.0 - self.powers.1)) as f32,
            eps: eps as f32,
            keep: (1.0 - lr * weight_decay) as f32,
        };
        for (parameter, moments) in mlp.parameters().iter().zip(&mut self.moments) {
            let mut gradient = parameter.gradient.lock();
            let moments = RefCell::new(moments);
            let update = Update { isa: self.isa, rates, moments, gradient: &gradient };
            parameter.var.inplace_op1(&update).map_err(misfit)?;
            gradient.filled = false;
        }
        Ok(())
    }
}

struct Update<'a> {
    isa: Isa,
    rates: Rates,
    moments: RefCell<&'a mut Moments>,
    gradient: &'a Slot,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "exact-adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let moments = &mut *self.moments.borrow_mut();
        let theta = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((begin, end))) => values.get_mut(begin..end),
            _ => None,
        };
        let theta = theta
            .filter(|theta| theta.len() == self.gradient.values.len())
            .ok_or_else(|| candle_core::Error::msg("a parameter is f32 without gaps"))?;
        let moments = (moments.m.as_mut_slice(), moments.v.as_mut_slice());
        adamw::update(self.isa, self.rates, theta, moments, &self.gradient.values);
        Ok(())
    }
}
