//! Models: networks whose parameters are candle's tensors, computed by the exact kernels.
//! Never draws its own randomness: initial parameters and dropout are Philox streams of the job's
//! seed.

mod blocks;
mod cnn;
mod gpt;
mod mlp;
mod reader;
mod stock;
mod text;

use super::Fault;
use super::kernel::dropout::Dropout;
use super::kernel::philox::{Philox, purpose};
use super::kernel::{Engine, spare};
use super::memory;
use super::op::{self, DropoutOp, Gradient, MeanLoss, Stock as _, Tape, Wanted};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::Model;
use candle_core::{Device, Tensor, Var};
use cnn::Cnn;
use gpt::Gpt;
pub use gpt::Memory;
use mlp::Mlp;
use reader::Reader;
pub(super) use stock::Sums;
use text::Text;

/// Numbers that the widest layer may have for the rows that are predicted at once: bounds memory.
const NUMBERS_AT_ONCE: usize = 1 << 22;
/// Rows that are predicted at once.
const ROWS_AT_ONCE: usize = 256;
/// Bytes that one parameter takes in a state at the most: it, two moments, and its best value.
const BYTES_PER_PARAMETER: usize = 16;

/// One parameter before it learned anything.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterShape {
    /// Its name, unique in its network.
    pub name: String,
    /// Its dimensions, outermost first. One with several is a weight, which decays.
    pub dims: Vec<usize>,
    /// What it is in the beginning.
    pub initial: Initial,
    /// Whether it follows gradients. What does not is kept of the batches that were learned from:
    /// a running mean.
    pub learned: bool,
}

/// What a parameter is before the first step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// All zeros.
    Zero,
    /// All ones.
    One,
    /// Uniform between minus and plus this.
    Uniform(f32),
}

impl ParameterShape {
    fn new(name: impl Into<String>, dims: &[usize], initial: Initial) -> Self {
        Self { name: name.into(), dims: dims.to_vec(), initial, learned: true }
    }

    /// One that is kept of batches.
    fn kept(name: impl Into<String>, dims: &[usize], initial: Initial) -> Self {
        Self { learned: false, ..Self::new(name, dims, initial) }
    }

    /// How many numbers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A kind of networks: which parameters they have, and how they go from input to output.
#[derive(Debug, Clone, PartialEq)]
enum Family {
    Mlp(Mlp),
    Gpt(Gpt),
    Cnn(Cnn),
    Text(Text),
    Reader(Reader),
}

impl Family {
    fn new(model: &Model, reads: Reads, outputs: usize) -> Result<Self, Fault> {
        let Reads { features, vocabulary } = reads;
        match model {
            Model::Mlp { hidden, activation } => {
                Mlp::new(hidden, Some(*activation), features, outputs).map(Self::Mlp)
            }
            Model::Linear => Mlp::new(&[], None, features, outputs).map(Self::Mlp),
            Model::Gpt(gpt) => Gpt::new(gpt, outputs).map(Self::Gpt),
            Model::Cnn(cnn) => Cnn::new(cnn, features, outputs).map(Self::Cnn),
            Model::Text { width, hidden, activation } => {
                let layers = (*width, hidden.as_slice(), *activation);
                Text::new(layers, features, vocabulary, outputs).map(Self::Text)
            }
            Model::Reader(reader) => {
                Reader::new(reader, features, vocabulary, outputs).map(Self::Reader)
            }
        }
    }

    fn parameters(&self) -> Vec<ParameterShape> {
        match self {
            Self::Mlp(mlp) => mlp.parameters(),
            Self::Gpt(gpt) => gpt.parameters(),
            Self::Cnn(cnn) => cnn.parameters(),
            Self::Text(text) => text.parameters(),
            Self::Reader(reader) => reader.parameters(),
        }
    }

    /// Numbers that the widest layer has for one row of features.
    fn widest(&self) -> usize {
        match self {
            Self::Mlp(mlp) => mlp.widest(),
            Self::Gpt(gpt) => gpt.widest(),
            Self::Cnn(cnn) => cnn.widest(),
            Self::Text(text) => text.widest(),
            Self::Reader(reader) => reader.widest(),
        }
    }

    fn forward(
        &self,
        network: &Network,
        x: &Tensor,
        pass: Pass,
        tape: &mut Tape,
    ) -> candle_core::Result<Tensor> {
        match self {
            Self::Mlp(mlp) => mlp.forward(network, &network.parameters, x, tape),
            Self::Text(text) => text.forward(network, x, tape),
            Self::Reader(reader) => reader.forward(network, x, pass, tape),
            Self::Gpt(gpt) => gpt.forward(network, x, pass, tape),
            Self::Cnn(cnn) => cnn.forward(network, x, pass, tape),
        }
    }
}

/// What the rows of a model hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// How many features.
    pub features: usize,
    /// How many different tokens these may be; 0 where they are numbers.
    pub vocabulary: usize,
}

impl Reads {
    /// Rows of so many numbers.
    #[must_use]
    pub const fn numbers(features: usize) -> Self {
        Self { features, vocabulary: 0 }
    }
}

/// What follows from a model, its features and its outputs before anything is learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    family: Family,
    features: usize,
    parameters: Vec<ParameterShape>,
}

impl Shape {
    /// The shape of `model` for what its rows hold and so many outputs, if it can be computed at
    /// all.
    pub fn new(model: &Model, reads: Reads, outputs: usize) -> Result<Self, Fault> {
        let features = reads.features;
        let family = Family::new(model, reads, outputs)?;
        let parameters = family.parameters();
        let len = |dims: &[usize]| dims.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim));
        let numbers = parameters
            .iter()
            .try_fold(0usize, |sum, parameter| sum.checked_add(len(&parameter.dims)?));
        let bytes = numbers.and_then(|n| n.checked_mul(BYTES_PER_PARAMETER));
        // A little is left for the header of the state.
        if bytes.is_none_or(|bytes| bytes > ARTIFACT_BYTES_MAX / 16 * 15) {
            return Err(fault(
                "the state of this model is larger than an artifact may be (1 GiB)",
                "make its layers narrower or fewer",
            ));
        }
        // The rows of a language model are as long as its context, whatever they are cut from.
        let features = if let Family::Gpt(gpt) = &family { gpt.features() } else { features };
        Ok(Self { family, features, parameters })
    }

    /// Whether features are tokens to it.
    #[must_use]
    pub fn reads_tokens(&self) -> bool {
        matches!(self.family, Family::Text(_) | Family::Reader(_))
    }

    /// Whether these features are what it reads, of rows from `first` on.
    pub fn takes(&self, values: &[f32], first: usize) -> Result<(), Fault> {
        let stranger = match &self.family {
            Family::Mlp(_) | Family::Cnn(_) | Family::Gpt(_) => None,
            Family::Text(text) => text.stranger(values),
            Family::Reader(reader) => reader.stranger(values),
        };
        match stranger {
            None => Ok(()),
            Some(place) => Err(fault(
                format!(
                    "feature {} of row {} is no token of the model's vocabulary",
                    place % self.features.max(1) + 1,
                    first + place / self.features.max(1) + 1
                ),
                "a model of texts reads the columns that a `tokenize` made, and no others: list \
                 them as `features`, or drop the others",
            )),
        }
    }

    /// Bytes that so many numbers for each parameter take, and the widest layer of so many rows.
    #[must_use]
    pub fn bytes(&self, times: usize, rows: usize) -> usize {
        let numbers = self.parameters.iter().map(ParameterShape::len);
        let numbers = numbers.fold(0, usize::saturating_add).saturating_mul(times);
        let wide = self.family.widest().saturating_mul(rows);
        numbers.saturating_add(wide).saturating_mul(size_of::<f32>())
    }

    /// Numbers of one row that goes in.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// All parameters, in their order.
    #[must_use]
    pub fn parameters(&self) -> &[ParameterShape] {
        &self.parameters
    }

    /// The parameters before the first step.
    #[must_use]
    pub fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut stream = 0;
        let initial = self.parameters.iter().map(|parameter| {
            let mut values = vec![0.0; parameter.len()];
            match parameter.initial {
                Initial::Zero => {}
                Initial::One => values.fill(1.0),
                Initial::Uniform(limit) => {
                    Philox::new(seed, purpose::INITIAL, stream).fill(-limit, limit, &mut values);
                    stream += 1;
                }
            }
            values
        });
        initial.collect()
    }
}

/// What a network is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// To say something of rows.
    Predict,
    /// To learn from them. What is left out by lot follows from these two.
    Learn {
        /// The seed of the training.
        seed: u64,
        /// The step, from 0.
        step: u64,
    },
}

/// One tensor of a network.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value: a variable where the network learns.
    pub tensor: Tensor,
    /// Whether it is a weight: biases do not decay.
    pub decays: bool,
    /// Whether it follows gradients.
    pub learned: bool,
    /// Where backward leaves its gradient; of what is kept of batches, where forward leaves what
    /// it is in this one.
    pub gradient: Gradient,
}

impl Parameter {
    /// A copy of its value.
    pub(super) fn values(&self) -> Result<Vec<f32>, Fault> {
        op::copied(&self.tensor).map_err(misfit)
    }
}

/// A network with parameters.
#[derive(Debug, Clone)]
pub struct Network {
    /// How it runs.
    pub engine: Engine,
    /// Where it runs in candle's own operations; none where the kernels compute it exactly.
    stock: Option<Device>,
    shape: Shape,
    parameters: Vec<Parameter>,
}

impl Network {
    /// A network that learns, from parameters in the order of [`Shape::parameters`].
    pub fn learning(engine: Engine, shape: &Shape, values: Vec<Vec<f32>>) -> Result<Self, Fault> {
        Self::of(engine, None, shape, values, true)
    }

    /// A network that only predicts.
    pub fn predicting(engine: Engine, shape: &Shape, values: Vec<Vec<f32>>) -> Result<Self, Fault> {
        Self::of(engine, None, shape, values, false)
    }

    fn of(
        engine: Engine,
        stock: Option<Device>,
        shape: &Shape,
        values: Vec<Vec<f32>>,
        learns: bool,
    ) -> Result<Self, Fault> {
        if values.len() != shape.parameters.len() {
            return Err(misfit(candle_core::Error::msg("one value per parameter")));
        }
        let parameter = |(shape, values): (&ParameterShape, Vec<f32>)| {
            let device = stock.as_ref().unwrap_or(&Device::Cpu);
            let tensor = Tensor::from_vec(values, shape.dims.as_slice(), device)?;
            let tensor = if learns { Var::from_tensor(&tensor)?.into_inner() } else { tensor };
            let gradient = Gradient::new(if learns && stock.is_none() { shape.len() } else { 0 });
            let (name, decays) = (shape.name.clone(), shape.dims.len() > 1);
            Ok(Parameter { name, tensor, decays, learned: shape.learned, gradient })
        };
        let parameters = shape.parameters.iter().zip(values).map(parameter);
        let parameters = parameters.collect::<candle_core::Result<Vec<_>>>().map_err(misfit)?;
        Ok(Self { engine, stock, shape: shape.clone(), parameters })
    }

    /// What it has.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// What it gives for a batch of `rows × features`, tracked for [`Network::learn`] where it
    /// learns: `rows × outputs`.
    pub fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor, Fault> {
        if self.stock.is_some() {
            let mut tape = Tape::stock(self.engine);
            return self.shape.family.forward(self, x, pass, &mut tape).map_err(misfit);
        }
        if pass == Pass::Predict {
            // Other rows than those of a step: the space would stand beside theirs.
            spare::clear();
        }
        let anchor = self.parameters.first().map(|parameter| &parameter.tensor);
        let mut tape = Tape::new(self.engine, anchor.is_some_and(Tensor::is_variable));
        let y = self.shape.family.forward(self, x, pass, &mut tape).map_err(misfit)?;
        anchor.map_or(Ok(y.clone()), |anchor| tape.end(y, anchor)).map_err(misfit)
    }

    /// The mean loss of outputs.
    pub fn loss(&self, outputs: &Tensor, wanted: Wanted) -> Result<Tensor, Fault> {
        self.share_of_loss(outputs, wanted, 1.0)
    }

    /// What the outputs of a piece of a step add to its mean loss: the piece is this share of its
    /// rows.
    pub fn share_of_loss(
        &self,
        outputs: &Tensor,
        wanted: Wanted,
        share: f32,
    ) -> Result<Tensor, Fault> {
        let op = MeanLoss { engine: self.engine, wanted, share };
        match self.stock {
            None => outputs.apply_op1(op).map_err(misfit),
            Some(_) => op.stock([outputs]).map_err(misfit),
        }
    }

    /// Computes the gradient of every parameter by a loss.
    pub fn learn(&self, loss: &Tensor) -> Result<(), Fault> {
        let found = loss.backward().map_err(misfit)?;
        if self.stock.is_some() {
            self.keep(&found);
        }
        match self.parameters.iter().find(|parameter| !parameter.gradient.lock().filled) {
            None => Ok(()),
            Some(Parameter { name, .. }) => Err(fault(
                format!("the parameter {name} got no gradient"),
                "this is a fault of ohc, not of the manifest: please report it",
            )),
        }
    }

    /// Adds the gradient of every parameter to sums (empty ones are none yet), so that those of
    /// another piece can be computed. What is kept of batches counts by the piece's share of rows.
    pub(super) fn add_gradients(&self, sums: &mut Sums, share: f32) -> Result<(), Fault> {
        if self.stock.is_some() {
            return self.add_stock(sums, share).map_err(misfit);
        }
        let first = sums.exact.is_empty();
        for (i, parameter) in self.parameters.iter().enumerate() {
            let mut gradient = parameter.gradient.lock();
            gradient.filled = false;
            if !parameter.learned {
                gradient.values.iter_mut().for_each(|x| *x *= share);
            }
            match sums.exact.get_mut(i).filter(|_| !first) {
                None => sums.exact.push(gradient.values.clone()),
                Some(sum) => {
                    sum.iter_mut().zip(&gradient.values).for_each(|(sum, x)| *sum += x);
                }
            }
        }
        Ok(())
    }

    /// Makes sums of gradients the gradients; none are added to none.
    pub(super) fn set_gradients(&self, sums: Sums) {
        for (parameter, sum) in self.parameters.iter().zip(sums.exact) {
            let mut gradient = parameter.gradient.lock();
            (gradient.values, gradient.filled) = (sum, true);
        }
        for (parameter, sum) in self.parameters.iter().zip(sums.stock) {
            let mut gradient = parameter.gradient.lock();
            (gradient.stock, gradient.filled) = (Some(sum), true);
        }
    }

    /// Some values left out by lot where it learns; `layer` tells one place of the network from
    /// another.
    fn leave_out(
        &self,
        x: &Tensor,
        (pass, tape): (Pass, &mut Tape),
        layer: u32,
        rate: f64,
    ) -> candle_core::Result<Tensor> {
        match pass {
            Pass::Learn { seed, step } if rate > 0.0 => {
                let dropout = Dropout { seed, layer, step, rate };
                tape.one(x, DropoutOp { isa: self.engine.isa, dropout })
            }
            _ => Ok(x.clone()),
        }
    }

    /// Rows that go through it together where nothing is learned from them.
    #[must_use]
    pub fn rows_at_once(&self) -> usize {
        (NUMBERS_AT_ONCE / self.shape.family.widest().max(1)).clamp(1, ROWS_AT_ONCE)
    }

    /// What it gives for rows of features (`rows × features`): `rows × outputs`. No row has an
    /// influence on another.
    pub fn outputs(&self, values: &[f32]) -> Result<Vec<f32>, Fault> {
        let width = self.shape.features.max(1);
        let mut all = Vec::new();
        for values in values.chunks(self.rows_at_once() * width) {
            let x = self.input(values.to_vec(), values.len() / width)?;
            let y = self.forward(&x, Pass::Predict)?;
            memory::check()?;
            all.append(&mut op::copied(&y).map_err(misfit)?);
        }
        Ok(all)
    }

    /// What it gives for the token after the last of some, which follow those of a memory and are
    /// then in it: the bytes of [`Network::outputs`].
    pub fn go_on(&self, tokens: Vec<f32>, memory: &mut Memory) -> Result<Vec<f32>, Fault> {
        let Family::Gpt(gpt) = &self.shape.family else {
            return Err(fault("the model does not write", "train one with `task: language`"));
        };
        let y = gpt.go_on(self, tokens, memory).map_err(misfit)?;
        op::lend(&y, |y| Ok(y.to_vec())).map_err(misfit)
    }

    /// A copy of all parameters, in their order.
    pub fn values(&self) -> Result<Vec<Vec<f32>>, Fault> {
        self.parameters.iter().map(Parameter::values).collect()
    }
}

/// A fault in the words of this module's callers.
pub(super) fn fault(message: impl Into<String>, hint: impl Into<String>) -> Fault {
    Fault::new(message, hint)
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
    use crate::domain::job::Activation;

    fn small() -> (Shape, Network) {
        let model = Model::Mlp { hidden: vec![5, 4], activation: Activation::Tanh };
        let shape = Shape::new(&model, Reads::numbers(3), 2).unwrap();
        let mlp = Network::learning(Engine::default(), &shape, shape.initial(1)).unwrap();
        (shape, mlp)
    }

    fn batch() -> Tensor {
        op::input(vec![0.5, -1.0, 2.0, 0.1, 0.2, 0.3], 2, 3).unwrap()
    }

    fn classes() -> Wanted {
        Wanted::Classes { labels: vec![0, 1], weights: [].into() }
    }

    #[test]
    fn what_is_wanted_must_fit_the_outputs() {
        let (_, mlp) = small();
        let outputs = mlp.forward(&batch(), Pass::Predict).unwrap();
        let few = Wanted::Classes { labels: vec![0], weights: [].into() };
        for wanted in [few, Wanted::Real(vec![0.0; 2]), Wanted::Labels(vec![0.0; 5])] {
            assert!(mlp.loss(&outputs, wanted).is_err());
        }
    }

    #[test]
    fn a_parameter_without_a_gradient_is_refused() {
        let (_, mlp) = small();
        let loss = mlp.loss(&mlp.forward(&batch(), Pass::Predict).unwrap(), classes()).unwrap();
        let message = mlp.learn(&loss.detach()).unwrap_err().message;
        assert_eq!(message, "the parameter layers.00.weight got no gradient");
        mlp.learn(&loss).unwrap();
    }

    #[test]
    fn gradients_agree_with_stock_candle() {
        let (_, mlp) = small();
        mlp.learn(&mlp.loss(&mlp.forward(&batch(), Pass::Predict).unwrap(), classes()).unwrap())
            .unwrap();
        let vars: Vec<Var> = mlp
            .parameters()
            .iter()
            .map(|p| Var::from_tensor(&p.tensor.copy().unwrap()).unwrap())
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
            Shape::new(&Model::Mlp { hidden, activation: Activation::Relu }, Reads::numbers(4), 3)
                .is_ok()
        };
        assert!(of(vec![]) && of(vec![8]));
        assert!(!of(vec![0]) && !of(vec![u32::MAX, u32::MAX]) && !of(vec![1; 65]));
    }
}
