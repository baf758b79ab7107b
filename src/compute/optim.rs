//! Optimisers: how parameters follow their gradients, in place and in a fixed order.
//! Never takes a power: β^t is carried in the state, one multiplication per step.

use super::Fault;
use super::kernel::{Engine, adamw, lion, reduce, sgd};
use super::model::{Network, Parameter, misfit};
use crate::domain::job::Optimizer;
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use std::cell::RefCell;

mod stock;

/// How much of a step's batch goes into what is kept of batches, as everywhere.
const NEWS: f32 = 0.1;

/// A descent along gradients with all that it remembers.
#[derive(Debug, Clone)]
pub struct Descent {
    engine: Engine,
    optimizer: Optimizer,
    /// The longest that the gradient of all parameters together may be.
    clip: Option<f64>,
    /// β1^t and β2^t after t steps; 1 and 1 where there are none.
    pub powers: (f64, f64),
    /// What is remembered of each parameter, in their order: the first and the second moment, the
    /// velocity or momentum, or nothing.
    pub moments: Vec<Vec<Vec<f32>>>,
    /// The same where a network of candle's own operations has them, from its first step on.
    stock: Vec<Vec<Tensor>>,
}

impl Descent {
    /// Before the first step: powers 1, moments 0; `lengths` are those of the parameters.
    #[must_use]
    pub fn new(
        engine: Engine,
        optimizer: &Optimizer,
        clip: Option<f64>,
        lengths: &[usize],
    ) -> Self {
        let zeros = |&len: &usize| vec![vec![0.0; len]; optimizer.moments()];
        let moments = lengths.iter().map(zeros).collect();
        let (optimizer, stock) = (optimizer.clone(), Vec::new());
        Self { engine, optimizer, clip, powers: (1.0, 1.0), moments, stock }
    }

    /// One step of all parameters with this learning rate, along the gradients that
    /// [`Network::learn`] left in them.
    pub fn step(&mut self, network: &Network, lr: f64) -> Result<(), Fault> {
        let shorten = self.shorten(network)?;
        if let Optimizer::AdamW { beta1, beta2, .. } = self.optimizer {
            self.powers = (self.powers.0 * beta1, self.powers.1 * beta2);
        }
        let rules = [self.rule(lr, shorten, true), self.rule(lr, shorten, false)];
        let [decaying, steady] = rules;
        let rule_of = move |parameter: &Parameter| match (parameter.learned, parameter.decays) {
            (false, _) => Rule::Keep,
            (true, true) => decaying,
            (true, false) => steady,
        };
        if let Some(device) = network.stock() {
            return self.step_stock(network, device, rule_of).map_err(misfit);
        }
        for (parameter, moments) in network.parameters().iter().zip(&mut self.moments) {
            let rule = rule_of(parameter);
            let mut gradient = parameter.gradient.lock();
            let moments = RefCell::new(moments);
            let update = Update { engine: self.engine, rule, moments, gradient: &gradient.values };
            parameter.tensor.inplace_op1(&update).map_err(misfit)?;
            gradient.filled = false;
        }
        Ok(())
    }

    /// What every gradient is multiplied with, so that all together are not longer than allowed.
    /// The length is a sum over the parameters in their order.
    fn shorten(&self, network: &Network) -> Result<f32, Fault> {
        let Some(clip) = self.clip else { return Ok(1.0) };
        let learned = network.parameters().iter().filter(|parameter| parameter.learned);
        let length = match network.stock() {
            Some(_) => stock::length(learned).map_err(misfit)?,
            None => {
                let squares = |parameter: &Parameter| {
                    reduce::squares(self.engine.isa, &parameter.gradient.lock().values)
                };
                learned.map(squares).sum::<f64>().sqrt()
            }
        };
        // One that is not a number is left to the check of the state, which finds it.
        Ok(if length > clip { (clip / length) as f32 } else { 1.0 })
    }

    /// What is the same for all weights of one step, or for all biases, which do not decay.
    fn rule(&self, lr: f64, shorten: f32, decays: bool) -> Rule {
        match self.optimizer {
            Optimizer::AdamW { beta1, beta2, eps, weight_decay, .. } => Rule::AdamW(adamw::Rates {
                lr: lr as f32,
                shorten,
                beta1: beta1 as f32,
                rest1: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                rest2: (1.0 - beta2) as f32,
                correction1: (1.0 / (1.0 - self.powers.0)) as f32,
                correction2: (1.0 / (1.0 - self.powers.1)) as f32,
                eps: eps as f32,
                keep: if decays { (1.0 - lr * weight_decay) as f32 } else { 1.0 },
            }),
            Optimizer::Sgd { momentum, nesterov, weight_decay, .. } => Rule::Sgd(sgd::Rates {
                lr: lr as f32,
                shorten,
                decay: if decays { weight_decay as f32 } else { 0.0 },
                momentum: momentum as f32,
                nesterov,
            }),
            Optimizer::Lion { beta1, beta2, weight_decay, .. } => Rule::Lion(lion::Rates {
                lr: lr as f32,
                shorten,
                beta1: beta1 as f32,
                rest1: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                rest2: (1.0 - beta2) as f32,
                keep: if decays { (1.0 - lr * weight_decay) as f32 } else { 1.0 },
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Rule {
    AdamW(adamw::Rates),
    Sgd(sgd::Rates),
    Lion(lion::Rates),
    /// Of what is kept of batches: a running mean.
    Keep,
}

struct Update<'a> {
    engine: Engine,
    rule: Rule,
    moments: RefCell<&'a mut Vec<Vec<f32>>>,
    gradient: &'a [f32],
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "exact-descent"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let theta = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((begin, end))) => values.get_mut(begin..end),
            _ => None,
        };
        let theta = theta
            .filter(|theta| theta.len() == self.gradient.len())
            .ok_or_else(|| candle_core::Error::msg("a parameter is f32 without gaps"))?;
        let (isa, gradient) = (self.engine.isa, self.gradient);
        // Every parameter is updated by itself.
        let each = self.engine.rows_each(theta.len(), 1);
        let parts = theta.chunks_mut(each).zip(gradient.chunks(each));
        match (self.rule, self.moments.borrow_mut().as_mut_slice()) {
            (Rule::Keep, _) => {
                for (kept, x) in theta.iter_mut().zip(gradient) {
                    *kept = (x - *kept).mul_add(NEWS, *kept);
                }
            }
            (Rule::AdamW(rates), [m, v]) => {
                let parts = parts.zip(m.chunks_mut(each).zip(v.chunks_mut(each)));
                self.engine.share(parts, |((theta, gradient), moments)| {
                    adamw::update(isa, rates, theta, moments, gradient);
                });
            }
            (Rule::Lion(rates), [momentum]) => {
                let parts = parts.zip(momentum.chunks_mut(each));
                self.engine.share(parts, |((theta, gradient), momentum)| {
                    lion::update(isa, rates, theta, momentum, gradient);
                });
            }
            (Rule::Sgd(rates), [velocity]) => {
                let parts = parts.zip(velocity.chunks_mut(each));
                self.engine.share(parts, |((theta, gradient), velocity)| {
                    sgd::update(isa, rates, theta, Some(velocity), gradient);
                });
            }
            (Rule::Sgd(rates), []) => {
                self.engine.share(parts, |(theta, gradient)| {
                    sgd::update(isa, rates, theta, None, gradient);
                });
            }
            _ => return Err(candle_core::Error::msg("the moments are those of the optimiser")),
        }
        Ok(())
    }
}
