//! Convolutional networks: convolutions of an image, each with what follows it, then a perceptron.
//! Never changes the order of the values of an image: pixels line by line, channels last.

use super::mlp::{Mlp, dense};
use super::{Initial, Network, Parameter, ParameterShape, Pass, fault};
use crate::compute::Fault;
use crate::compute::kernel::batch_norm::BatchNorm;
use crate::compute::kernel::conv::Conv;
use crate::compute::kernel::group_norm::GroupNorm;
use crate::compute::op::{BatchNormOp, ConvOp, GroupNormOp, Kept, Moments, Tape};
use crate::domain::job::{
    self, Activation, CONVOLUTIONS_MAX, Convolution, Image, ImageNorm, Misfit, Padding,
};
use candle_core::{Error, Result, Tensor};

/// Values that a layer may give of one image: bounds memory.
const VALUES_MAX: u64 = 1 << 24;

/// Two parameters of one layer.
type Pair<'a> = (&'a Parameter, &'a Parameter);

/// The shape of a convolutional network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cnn {
    layers: Vec<Layer>,
    /// What follows the convolutions.
    head: Mlp,
    activation: Activation,
    dropout: f64,
}

/// A convolution: what it is given, what it makes of it, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layer {
    given: Image,
    whole: Image,
    left: Image,
    by: Convolution,
}

impl Layer {
    /// Terms of one of its values.
    const fn depth(&self) -> usize {
        let kernel = self.by.kernel as usize;
        kernel * kernel * self.given.channels as usize
    }
}

impl Cnn {
    pub(super) fn new(
        model: &job::Cnn,
        features: usize,
        outputs: usize,
    ) -> std::result::Result<Self, Fault> {
        let Image { height, width, channels } = model.image;
        if model.convolutions.len() > CONVOLUTIONS_MAX {
            return Err(fault(
                format!("the model has {} convolutions", model.convolutions.len()),
                "a network has at most 32 convolutions",
            ));
        }
        if model.image.len() != features as u64 {
            let pixels = format!("{height} × {width} × {channels} = {}", model.image.len());
            return Err(fault(
                format!("an image has {pixels} values, but there are {features} features"),
                "`image` is the height, the width and the channels of what the features show; if \
                 the table has other columns too, name the pixels under `features`",
            ));
        }
        if model.activation == Activation::Gelu {
            return Err(fault("a network for images with GELU", "use `activation: relu`"));
        }
        if !(0.0..1.0).contains(&model.dropout) {
            return Err(fault("the dropout is not a share", "from 0 and below 1"));
        }
        let images = model.images().map_err(|Misfit { at, key, image }| {
            let size = format!("{} × {} × {}", image.height, image.width, image.channels);
            fault(
                format!("`{key}` of convolution {at} does not fit its image, which is {size}"),
                "the kernel is odd, the groups divide the filters, the squares fit the image",
            )
        })?;
        let layers: Vec<Layer> = images
            .into_iter()
            .zip(&model.convolutions)
            .map(|((given, whole, left), &by)| Layer { given, whole, left, by })
            .collect();
        if layers.iter().any(|layer| layer.whole.len() > VALUES_MAX) {
            return Err(fault(
                "a convolution gives more than 16777216 values of one image",
                "give it fewer filters, or pool before it",
            ));
        }
        let flat = layers.last().map_or(model.image, |layer| layer.left).len() as usize;
        let head = Mlp::new(&model.hidden, Some(model.activation), flat, outputs)?;
        Ok(Self { layers, head, activation: model.activation, dropout: model.dropout })
    }

    /// Weights uniform after He (ReLU) or Glorot (else); biases and β zero, γ one.
    pub(super) fn parameters(&self) -> Vec<ParameterShape> {
        let mut parameters = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let Convolution { filters, kernel, norm, .. } = layer.by;
            let (kernel, filters) = (kernel as usize, filters as usize);
            let fan = match self.activation {
                Activation::Relu => layer.depth(),
                _ => layer.depth().saturating_add(kernel * kernel * filters),
            };
            let limit = Initial::Uniform((6.0 / fan as f32).sqrt());
            let name = |what: &str| format!("convolutions.{i:02}.{what}");
            let dims = [kernel, kernel, layer.given.channels as usize, filters];
            parameters.push(ParameterShape::new(name("weight"), &dims, limit));
            parameters.push(ParameterShape::new(name("bias"), &[filters], Initial::Zero));
            if norm.is_some() {
                parameters.push(ParameterShape::new(name("gamma"), &[filters], Initial::One));
                parameters.push(ParameterShape::new(name("beta"), &[filters], Initial::Zero));
            }
            if norm == Some(ImageNorm::Batch) {
                let kept = |what, initial| ParameterShape::kept(name(what), &[filters], initial);
                parameters.push(kept("mean", Initial::Zero));
                parameters.push(kept("variance", Initial::One));
            }
        }
        parameters.extend(self.head.parameters());
        parameters
    }

    pub(super) fn widest(&self) -> usize {
        let widths = self.layers.iter().map(|layer| layer.whole.len() as usize);
        widths.max().unwrap_or(1).max(self.head.widest())
    }

    pub(super) fn forward(
        &self,
        network: &Network,
        x: &Tensor,
        pass: Pass,
        tape: &mut Tape,
    ) -> Result<Tensor> {
        let mut parameters = network.parameters.iter();
        let mut next = || parameters.next().ok_or_else(|| Error::msg("too few parameters"));
        let mut y = x.clone();
        for layer in &self.layers {
            let pair = (next()?, next()?);
            let z = self.convolve((network, tape), layer, &y, pair)?;
            y = match layer.by.norm {
                None => z,
                Some(ImageNorm::Groups(groups)) => {
                    self.normalise((network, tape), layer, groups, &z, (next()?, next()?))?
                }
                Some(ImageNorm::Batch) => {
                    let (scales, kept) = ((next()?, next()?), (next()?, next()?));
                    self.by_batch((network, tape), layer, pass, &z, (scales, kept))?
                }
            };
        }
        for (place, (_, _, activation)) in (0..).zip(self.head.layers()) {
            y = network.leave_out(&y, (pass, tape), place, self.dropout)?;
            y = dense(network, tape, &y, (next()?, next()?), activation)?;
        }
        Ok(y)
    }

    fn convolve(
        &self,
        (network, tape): (&Network, &mut Tape),
        layer: &Layer,
        x: &Tensor,
        (weights, bias): (&Parameter, &Parameter),
    ) -> Result<Tensor> {
        let Image { height, width, channels } = layer.given;
        let Convolution { filters, kernel, padding, norm, pool } = layer.by;
        let conv = Conv {
            engine: network.engine,
            height: height as usize,
            width: width as usize,
            channels: channels as usize,
            kernel: kernel as usize,
            margin: match padding {
                Padding::Same => kernel as usize / 2,
                Padding::Valid => 0,
            },
            filters: filters as usize,
            // Where a norm follows, it is what bends and pools.
            activation: norm.is_none().then_some(self.activation),
            pool: if norm.is_none() { pool as usize } else { 1 },
        };
        let op = ConvOp {
            conv,
            weights: weights.gradient.clone(),
            bias: bias.gradient.clone(),
            by_input: !tape.is_empty(),
            picks: Kept::default(),
        };
        tape.three(x, (&weights.tensor, &bias.tensor), op)
    }

    fn normalise(
        &self,
        (network, tape): (&Network, &mut Tape),
        layer: &Layer,
        groups: u32,
        x: &Tensor,
        (gamma, beta): (&Parameter, &Parameter),
    ) -> Result<Tensor> {
        let Image { height, width, channels } = layer.whole;
        let norm = GroupNorm {
            engine: network.engine,
            height: height as usize,
            width: width as usize,
            channels: channels as usize,
            groups: groups as usize,
            activation: Some(self.activation),
            pool: layer.by.pool as usize,
        };
        let op = GroupNormOp {
            norm,
            gamma: gamma.gradient.clone(),
            beta: beta.gradient.clone(),
            past: Kept::default(),
        };
        tape.three(x, (&gamma.tensor, &beta.tensor), op)
    }

    fn by_batch(
        &self,
        (network, tape): (&Network, &mut Tape),
        layer: &Layer,
        pass: Pass,
        x: &Tensor,
        ((gamma, beta), (mean, variance)): (Pair<'_>, Pair<'_>),
    ) -> Result<Tensor> {
        let Image { height, width, channels } = layer.whole;
        let norm = BatchNorm {
            engine: network.engine,
            height: height as usize,
            width: width as usize,
            channels: channels as usize,
            activation: Some(self.activation),
            pool: layer.by.pool as usize,
        };
        let op = BatchNormOp {
            norm,
            gamma: gamma.gradient.clone(),
            beta: beta.gradient.clone(),
            moments: match pass {
                Pass::Learn { .. } => {
                    Moments::Own(mean.gradient.clone(), variance.gradient.clone())
                }
                Pass::Predict => Moments::Kept(mean.tensor.clone(), variance.tensor.clone()),
            },
            past: Kept::default(),
        };
        tape.three(x, (&gamma.tensor, &beta.tensor), op)
    }
}

#[cfg(test)]
mod tests;
