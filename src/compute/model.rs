//! Models: multi-layer perceptrons as candle variables, computed by the exact kernels.
//! Never draws its own randomness: initial parameters are Philox streams of the job's seed.

use super::Fault;
use super::graph::{self, DenseOp, Gradient, MeanLoss, Wanted};
use super::kernel::Engine;
use super::kernel::dense::Dense;
use super::kernel::philox::{Philox, purpose};
use super::predictor::Scales;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::{Activation, Model};
use candle_core::{Device, Tensor, Var};

/// Hidden layers of one perceptron.
const HIDDEN_MAX: usize = 64;
/// Rows that are computed at once: bounds the memory of a prediction.
const ROWS: usize = 256;
/// Bytes that one parameter takes in a state at the most: it, two moments, and its best value.
const BYTES_PER_PARAMETER: usize = 16;

/// The shape of a perceptron.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Features, hidden widths, outputs: at least two numbers.
    widths: Vec<usize>,
    /// What bends between layers; nothing where there is but one.
    activation: Option<Activation>,
}

impl Shape {
    /// The shape of `model` for so many features and outputs, if it can be computed at all.
    pub fn new(model: &Model, features: usize, outputs: usize) -> Result<Self, Fault> {
        let hidden = model.hidden();
        let activation = match model {
            Model::Mlp { activation, .. } => Some(*activation),
            Model::Linear => None,
        };
        if hidden.len() > HIDDEN_MAX {
            return Err(fault(
                format!("the model has {} hidden layers", hidden.len()),
                "a perceptron has at most 64 hidden layers",
            ));
        }
        let mut widths = vec![features];
        widths.extend(hidden.iter().map(|&width| width as usize));
        widths.push(outputs);
        if widths.contains(&0) {
            return Err(fault(
                "a layer of the model is 0 wide",
                "give the data at least one feature and every hidden layer a width of at least 1",
            ));
        }
        let parameters = widths.windows(2).try_fold(0usize, |sum, pair| match pair {
            [inputs, outputs] => sum.checked_add(inputs.checked_add(1)?.checked_mul(*outputs)?),
            _ => None,
        });
        let bytes = parameters.and_then(|n| n.checked_mul(BYTES_PER_PARAMETER));
        // A little is left for the header of the state.
        if bytes.is_none_or(|bytes| bytes > ARTIFACT_BYTES_MAX / 16 * 15) {
            return Err(fault(
                "the state of this model is larger than an artifact may be (1 GiB)",
                "make the hidden layers narrower",
            ));
        }
        Ok(Self { widths, activation })
    }

    /// Inputs, outputs and activation of every layer, input side first; the last one is linear.
    #[must_use]
    pub fn layers(&self, engine: Engine) -> Vec<Dense> {
        let last = self.widths.len().saturating_sub(2);
        let pairs = self.widths.iter().zip(self.widths.iter().skip(1)).enumerate();
        pairs
            .map(|(i, (&inputs, &outputs))| Dense {
                engine,
                inputs,
                outputs,
                activation: self.activation.filter(|_| i < last),
            })
            .collect()
    }

    /// Name and length of every parameter, in their order.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, usize)> {
        let layers = self.layers(Engine::default()).into_iter().enumerate();
        layers
            .flat_map(|(i, Dense { inputs, outputs, .. })| {
                [
                    (format!("layers.{i:02}.weight"), inputs * outputs),
                    (format!("layers.{i:02}.bias"), outputs),
                ]
            })
            .collect()
    }

    /// Initial parameters: weights uniform after He (ReLU) or Glorot (else), biases zero.
    #[must_use]
    pub fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let layers = self.layers(Engine::default());
        (0u32..)
            .zip(layers)
            .flat_map(|(i, dense)| {
                let fan = match dense.activation {
                    Some(Activation::Relu) => dense.inputs,
                    Some(Activation::Tanh) | None => dense.inputs + dense.outputs,
                };
                let limit = (6.0 / fan as f32).sqrt();
                let mut weights = vec![0.0; dense.inputs * dense.outputs];
                Philox::new(seed, purpose::INITIAL, i).fill(-limit, limit, &mut weights);
                [weights, vec![0.0; dense.outputs]]
            })
            .collect()
    }
}

/// What a network gives for rows of features, scaled first: `rows × outputs`. No row has an
/// influence on another.
///
/// # Panics
/// If the parameters are not those of the layers.
pub(super) fn outputs(
    layers: &[Dense],
    parameters: &[Vec<f32>],
    scales: &Scales,
    values: &[f32],
) -> Vec<f32> {
    let width = layers.first().map_or(1, |dense| dense.inputs);
    let mut all = Vec::new();
    for values in values.chunks(ROWS * width) {
        let rows = values.len() / width;
        let mut y = Vec::with_capacity(values.len());
        values.chunks_exact(width).for_each(|row| scales.append(row, &mut y));
        for (dense, pair) in layers.iter().zip(parameters.chunks_exact(2)) {
            let [weights, bias] = pair else { continue };
            y = dense.forward(rows, &y, weights, bias);
        }
        all.extend(y);
    }
    all
}

/// One trained tensor.
pub(super) struct Parameter {
    pub name: String,
    pub var: Var,
    /// Whether it is a weight: biases do not decay.
    pub decays: bool,
    pub gradient: Gradient,
}

/// A perceptron that learns.
pub struct Mlp {
    engine: Engine,
    layers: Vec<Dense>,
    parameters: Vec<Parameter>,
}

impl Mlp {
    /// A perceptron with the given parameters, in the order of [`Shape::parameters`].
    pub fn new(engine: Engine, shape: &Shape, values: Vec<Vec<f32>>) -> Result<Self, Fault> {
        let layers = shape.layers(engine);
        let shapes = layers.iter().flat_map(|dense| {
            [candle_core::Shape::from((dense.inputs, dense.outputs)), dense.outputs.into()]
        });
        let parameters = shape
            .parameters()
            .into_iter()
            .zip(shapes)
            .zip(values)
            .map(|(((name, len), shape), values)| {
                let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
                let var = Var::from_tensor(&tensor)?;
                let decays = var.rank() > 1;
                Ok(Parameter { name, var, decays, gradient: Gradient::new(len) })
            })
            .collect::<candle_core::Result<Vec<_>>>()
            .map_err(misfit)?;
        if parameters.len() != layers.len() * 2 {
            return Err(misfit(candle_core::Error::msg("too few parameters")));
        }
        Ok(Self { engine, layers, parameters })
    }

    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The outputs for a batch (`rows × features`), tracked for [`Mlp::learn`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, Fault> {
        let mut y = x.clone();
        for (dense, pair) in self.layers.iter().zip(self.parameters.chunks_exact(2)) {
            let [weights, bias] = pair else { continue };
            let op = DenseOp {
                dense: *dense,
                weights: weights.gradient.clone(),
                bias: bias.gradient.clone(),
            };
            y = y.apply_op3(&weights.var, &bias.var, op).map_err(misfit)?;
        }
        Ok(y)
    }

    /// The mean loss of outputs.
    pub fn loss(&self, outputs: &Tensor, wanted: Wanted) -> Result<Tensor, Fault> {
        outputs.apply_op1(MeanLoss { engine: self.engine, wanted }).map_err(misfit)
    }

    /// Computes the gradient of every parameter by a loss.
    pub fn learn(&self, loss: &Tensor) -> Result<(), Fault> {
        loss.backward().map_err(misfit)?;
        match self.parameters.iter().find(|parameter| !parameter.gradient.lock().filled) {
            None => Ok(()),
            Some(Parameter { name, .. }) => Err(fault(
                format!("the parameter {name} got no gradient"),
                "this is a fault of ohc, not of the manifest: please report it",
            )),
        }
    }

    /// A copy of all parameters, in their order.
    pub fn values(&self) -> Result<Vec<Vec<f32>>, Fault> {
        let copies = self.parameters.iter().map(|p| graph::lend(&p.var, |xs| Ok(xs.to_vec())));
        copies.collect::<candle_core::Result<_>>().map_err(misfit)
    }
}

/// A fault in the words of this module's callers.
pub(super) fn fault(message: impl Into<String>, hint: &str) -> Fault {
    Fault { message: message.into(), hint: hint.to_owned() }
}

/// Candle's words may hold addresses and backtraces; a fault has the same words everywhere.
pub(super) fn misfit(_: candle_core::Error) -> Fault {
    fault(
        "the tensors of this training do not fit together",
        "this is a fault of ohc, not of the manifest: please report it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (Shape, Mlp) {
        let model = Model::Mlp { hidden: vec![5, 4], activation: Activation::Tanh };
        let shape = Shape::new(&model, 3, 2).unwrap();
        let mlp = Mlp::new(Engine::default(), &shape, shape.initial(1)).unwrap();
        (shape, mlp)
    }

    fn batch() -> Tensor {
        graph::input(vec![0.5, -1.0, 2.0, 0.1, 0.2, 0.3], 2, 3).unwrap()
    }

    fn classes() -> Wanted {
        Wanted::Classes { labels: vec![0, 1], weights: [].into() }
    }

    #[test]
    fn what_is_wanted_must_fit_the_outputs() {
        let (_, mlp) = small();
        let outputs = mlp.forward(&batch()).unwrap();
        let few = Wanted::Classes { labels: vec![0], weights: [].into() };
        for wanted in [few, Wanted::Real(vec![0.0; 2]), Wanted::Labels(vec![0.0; 5])] {
            assert!(mlp.loss(&outputs, wanted).is_err());
        }
    }

    #[test]
    fn a_parameter_without_a_gradient_is_refused() {
        let (_, mlp) = small();
        let loss = mlp.loss(&mlp.forward(&batch()).unwrap(), classes()).unwrap();
        let message = mlp.learn(&loss.detach()).unwrap_err().message;
        assert_eq!(message, "the parameter layers.00.weight got no gradient");
        mlp.learn(&loss).unwrap();
    }

    #[test]
    fn gradients_agree_with_stock_candle() {
        let (_, mlp) = small();
        mlp.learn(&mlp.loss(&mlp.forward(&batch()).unwrap(), classes()).unwrap()).unwrap();
        let vars: Vec<Var> = mlp
            .parameters()
            .iter()
            .map(|p| Var::from_tensor(&p.var.copy().unwrap()).unwrap())
            .collect();
        let mut y = batch();
        for (i, pair) in vars.chunks_exact(2).enumerate() {
            y = y.matmul(&pair[0]).unwrap().broadcast_add(&pair[1]).unwrap();
            y = if i < 2 { y.tanh().unwrap() } else { y };
        }
        let labels = Tensor::from_vec(vec![0u32, 1], 2, &Device::Cpu).unwrap();
        let grads = candle_nn::loss::cross_entropy(&y, &labels).unwrap().backward().unwrap();
        for (ours, stock) in mlp.parameters().iter().zip(&vars) {
            let stock = grads.get(stock).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (a, b) in ours.gradient.lock().values.iter().zip(stock) {
                assert!((a - b).abs() < 1e-5, "{}: {a} {b}", ours.name);
            }
        }
    }

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        let of = |hidden: Vec<u32>| {
            Shape::new(&Model::Mlp { hidden, activation: Activation::Relu }, 4, 3).is_ok()
        };
        assert!(of(vec![]) && of(vec![8]));
        assert!(!of(vec![0]) && !of(vec![u32::MAX, u32::MAX]) && !of(vec![1; 65]));
    }
}
