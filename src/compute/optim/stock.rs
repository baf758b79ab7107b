//! The same descents in candle's own operations, where parameters and moments are on a device.
//! Never takes a number from there: the length of all gradients, for `clip`, is the one exception.

use super::{Descent, NEWS, Rule};
use crate::compute::kernel::{adamw, lion, sgd};
use crate::compute::model::{Network, Parameter, misfit};
use crate::compute::{Fault, op};
use candle_core::{Device, Error, Result, Tensor, Var};

/// The length of all gradients together.
pub(super) fn length<'a>(parameters: impl Iterator<Item = &'a Parameter>) -> Result<f64> {
    let mut squares = 0.0;
    for parameter in parameters {
        let gradient = parameter.gradient.lock().stock.clone().ok_or_else(no_gradient)?;
        squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    Ok(squares.sqrt())
}

impl Descent {
    pub(super) fn step_stock(
        &mut self,
        network: &Network,
        device: &Device,
        rule_of: impl Fn(&Parameter) -> Rule,
    ) -> Result<()> {
        if self.stock.is_empty() {
            for (parameter, moments) in network.parameters().iter().zip(&self.moments) {
                let dims = parameter.tensor.shape();
                let placed = moments.iter().map(|m| Tensor::from_slice(m, dims, device));
                self.stock.push(placed.collect::<Result<_>>()?);
            }
        }
        for (parameter, moments) in network.parameters().iter().zip(&mut self.stock) {
            let mut slot = parameter.gradient.lock();
            let gradient = slot.stock.take().ok_or_else(no_gradient)?;
            slot.filled = false;
            let (theta, rule) = (parameter.tensor.detach(), rule_of(parameter));
            let next = rule.follow(&theta, moments, &gradient)?;
            Var::from_tensor(&parameter.tensor)?.set(&next)?;
        }
        Ok(())
    }

    /// A copy of what is remembered of one parameter.
    pub fn remembered(&self, parameter: usize) -> std::result::Result<Vec<Vec<f32>>, Fault> {
        match self.stock.get(parameter) {
            Some(moments) => moments.iter().map(op::copied).collect::<Result<_>>().map_err(misfit),
            None => Ok(self.moments.get(parameter).cloned().unwrap_or_default()),
        }
    }
}

fn no_gradient() -> Error {
    Error::msg("a parameter got no gradient")
}

fn times(x: &Tensor, by: f32) -> Result<Tensor> {
    x * f64::from(by)
}

impl Rule {
    /// Where a parameter goes; what is remembered of it goes along.
    fn follow(self, theta: &Tensor, moments: &mut [Tensor], gradient: &Tensor) -> Result<Tensor> {
        match (self, moments) {
            (Self::Keep, _) => times(theta, 1.0 - NEWS)? + times(gradient, NEWS)?,
            (Self::AdamW(r), [m, v]) => adam(r, theta, (m, v), gradient),
            (Self::Lion(r), [m]) => along(r, theta, m, gradient),
            (Self::Sgd(r), moments) => down(r, theta, moments.first_mut(), gradient),
            _ => Err(Error::msg("the moments are those of the optimiser")),
        }
    }
}

fn adam(
    r: adamw::Rates,
    theta: &Tensor,
    (m, v): (&mut Tensor, &mut Tensor),
    gradient: &Tensor,
) -> Result<Tensor> {
    let g = times(gradient, r.shorten)?;
    *m = (times(m, r.beta1)? + times(&g, r.rest1)?)?;
    *v = (times(v, r.beta2)? + times(&g.sqr()?, r.rest2)?)?;
    let root = (times(v, r.correction2)?.sqrt()? + f64::from(r.eps))?;
    let step = (times(m, r.correction1)? / root)?;
    times(theta, r.keep)? - times(&step, r.lr)?
}

fn along(r: lion::Rates, theta: &Tensor, m: &mut Tensor, gradient: &Tensor) -> Result<Tensor> {
    let g = times(gradient, r.shorten)?;
    let sign = (times(m, r.beta1)? + times(&g, r.rest1)?)?.sign()?;
    *m = (times(m, r.beta2)? + times(&g, r.rest2)?)?;
    times(theta, r.keep)? - times(&sign, r.lr)?
}

fn down(
    r: sgd::Rates,
    theta: &Tensor,
    velocity: Option<&mut Tensor>,
    gradient: &Tensor,
) -> Result<Tensor> {
    let g = (times(gradient, r.shorten)? + times(theta, r.decay)?)?;
    let step = match velocity {
        None => g,
        Some(velocity) => {
            *velocity = (times(velocity, r.momentum)? + &g)?;
            if r.nesterov { (times(velocity, r.momentum)? + g)? } else { velocity.clone() }
        }
    };
    theta - times(&step, r.lr)?
}
