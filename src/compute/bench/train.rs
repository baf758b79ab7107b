//! Training with the exact kernels and with stock candle, from the same parameters, in turns.
//! Never decides a result of a job.

use super::stock::Stock;
use super::{Measured, in_turns, median, noise};
use crate::compute::kernel::conv::Conv;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::kernel::{Engine, peak};
use crate::compute::model::{Network, ParameterShape, Pass, Reads, Shape, misfit};
use crate::compute::op::{self, Wanted};
use crate::compute::optim::Descent;
use crate::compute::{Fault, device};
use crate::domain::job::{Activation, Cnn, Convolution, Gpt, Image, Model, Optimizer};
use crate::domain::job::{Norm, Padding, Positions};
use candle_core::{Device, Tensor};
use candle_nn::{AdamW as StockAdamW, Optimizer as _, ParamsAdamW};

/// What is trained: on rows of 784 features, 28 × 28 pixels, that are one of 10 classes, or on
/// sequences of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learner {
    /// A perceptron 784-512-256-10 with ReLU.
    Mlp,
    /// Convolutions of 32 and 64 filters of 3 × 3, each with ReLU and max-pooling by 2, then
    /// 3136-128-10.
    Cnn,
    /// A decoder of 4 blocks with 4 heads, 128 wide, on 64 of 65 characters.
    Gpt,
    /// One of 8 blocks with 8 heads, 512 wide, on 256 of them: 25 million parameters.
    Large,
}

/// The shape of a decoder, and the sequences of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder {
    blocks: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
    pub(super) context: usize,
    pub(super) sequences: usize,
}

const GPT: Decoder = Decoder { blocks: 4, heads: 4, width: 128, context: 64, sequences: 12 };
const LARGE: Decoder = Decoder { blocks: 8, heads: 8, width: 512, context: 256, sequences: 16 };

const FEATURES: usize = 784;
const CLASSES: usize = 10;
pub(super) const BATCH: usize = 128;
const BATCHES: usize = 8;
const PASS: Pass = Pass::Learn { seed: 1, step: 0 };
const RATES: ParamsAdamW =
    ParamsAdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
/// Side, channels and filters.
pub(super) const CONVOLUTIONS: [(usize, usize, usize); 2] = [(28, 1, 32), (14, 32, 64)];
const TOKENS: usize = 65;
/// Innermost tiles of one turn that measures the most that a core does: some milliseconds.
const TILES: usize = 10_000;
/// So many steps on a graphics card for one with the exact kernels.
const FAST_TIMES: usize = 10;

impl Learner {
    /// The network.
    #[must_use]
    pub fn model(self) -> Model {
        let activation = Activation::Relu;
        let by = |(_, _, filters): (usize, usize, usize)| Convolution {
            filters: filters as u32,
            kernel: 3,
            padding: Padding::Same,
            norm: None,
            pool: 2,
        };
        match self {
            Self::Mlp => Model::Mlp { hidden: vec![512, 256], activation },
            Self::Cnn => Model::Cnn(Cnn {
                image: Image { height: 28, width: 28, channels: 1 },
                convolutions: CONVOLUTIONS.map(by).to_vec(),
                hidden: vec![128],
                activation,
                dropout: 0.0,
            }),
            Self::Gpt | Self::Large => {
                let Decoder { blocks, heads, width, context, .. } = self.decoder();
                Model::Gpt(Gpt {
                    blocks: blocks as u32,
                    heads: heads as u32,
                    width: width as u32,
                    context: context as u32,
                    positions: Positions::Learned,
                    tied: false,
                    dropout: 0.0,
                    norm: Norm::Layer,
                })
            }
        }
    }

    /// What reads characters, where it does.
    pub(super) const fn decoder(self) -> Decoder {
        match self {
            Self::Large => LARGE,
            Self::Mlp | Self::Cnn | Self::Gpt => GPT,
        }
    }

    /// Whether it reads characters, or else features.
    #[must_use]
    pub const fn reads_characters(self) -> bool {
        matches!(self, Self::Gpt | Self::Large)
    }

    fn shape(self) -> Result<Shape, Fault> {
        let outputs = if self.reads_characters() { TOKENS } else { CLASSES };
        Shape::new(&self.model(), Reads::numbers(FEATURES), outputs)
    }

    /// Steps of a turn: about as long a turn of stock candle for each.
    #[must_use]
    pub const fn steps(self) -> usize {
        match self {
            Self::Mlp => 20,
            Self::Cnn => 3,
            Self::Gpt => 2,
            Self::Large => 1,
        }
    }

    /// What is counted, and how many of them a step has.
    const fn counted(self) -> (&'static str, usize) {
        match self {
            Self::Mlp | Self::Cnn => ("samples/s", BATCH),
            Self::Gpt | Self::Large => {
                let Decoder { sequences, context, .. } = self.decoder();
                ("tokens/s", sequences * context)
            }
        }
    }

    /// Operations in products of one step: a multiply-add is two, and backward has twice those of
    /// forward but for the gradient by the input data.
    fn operations(self, shape: &Shape) -> f64 {
        let mut places = CONVOLUTIONS.map(|(side, ..)| side * side).into_iter();
        let each = shape.parameters().iter().map(|parameter| match parameter.dims.len() {
            4 => places.next().unwrap_or(1) * parameter.len(),
            2 if parameter.name.ends_with(".weight") => parameter.len(),
            _ => 0,
        });
        let each: Vec<usize> = each.collect();
        // A position looks at itself and those before it: two products with what it sees.
        let (looks, first) = match self {
            Self::Gpt | Self::Large => {
                let Decoder { blocks, width, context, .. } = self.decoder();
                (blocks * width * (context + 1), 0)
            }
            Self::Mlp | Self::Cnn => (0, each.first().copied().unwrap_or(0)),
        };
        let forward = each.iter().sum::<usize>() + looks;
        (2 * self.counted().1 * (3 * forward - first)) as f64
    }

    fn batch(self, number: u32) -> candle_core::Result<Batch> {
        let dice = Philox::new(2, purpose::SYNTHETIC, number);
        let (_, counted) = self.counted();
        let die = |at: usize, sides: usize| dice.word(at as u64) % sides as u32;
        let (x, classes) = match self {
            Self::Mlp | Self::Cnn => {
                (op::input(noise(number, BATCH * FEATURES), BATCH, FEATURES)?, CLASSES)
            }
            Self::Gpt | Self::Large => {
                let Decoder { sequences, context, .. } = self.decoder();
                let token = |at| die(counted + at, TOKENS) as f32;
                (op::input((0..counted).map(token).collect(), sequences, context)?, TOKENS)
            }
        };
        let labels: Vec<u32> = (0..counted).map(|at| die(at, classes)).collect();
        let tensor = Tensor::from_vec(labels.clone(), counted, &Device::Cpu)?;
        Ok(Batch { x, wanted: Wanted::Classes { labels, weights: [].into() }, labels: tensor })
    }
}

/// Rows, and what is wanted of them in both ways to say it.
#[derive(Clone)]
struct Batch {
    x: Tensor,
    wanted: Wanted,
    labels: Tensor,
}

/// A training on synthetic batches that are in memory: cross-entropy and AdamW.
pub struct Training {
    engine: Engine,
    learner: Learner,
    shape: Shape,
    batches: Vec<Batch>,
    pupil: Pupil,
}

/// What learns: a network and its optimiser.
struct Pupil {
    network: Network,
    descent: Descent,
}

impl Pupil {
    /// Before its first step.
    fn new(engine: Engine, shape: &Shape) -> Result<Self, Fault> {
        Self::of(engine, shape, Network::learning(engine, shape, shape.initial(1))?)
    }

    fn of(engine: Engine, shape: &Shape, network: Network) -> Result<Self, Fault> {
        let lengths: Vec<usize> = shape.parameters().iter().map(ParameterShape::len).collect();
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = RATES;
        let adamw = Optimizer::AdamW { lr, beta1, beta2, eps, weight_decay };
        let descent = Descent::new(engine, &adamw, None, &lengths);
        Ok(Self { network, descent })
    }

    fn step(&mut self, x: &Tensor, wanted: &Wanted) -> Result<(), Fault> {
        let loss = self.network.loss(&self.network.forward(x, PASS)?, wanted.clone())?;
        self.network.learn(&loss)?;
        self.descent.step(&self.network, RATES.lr)
    }
}

impl Training {
    /// Before its first step.
    pub fn new(engine: Engine, learner: Learner) -> Result<Self, Fault> {
        let shape = learner.shape()?;
        let batches = (0..BATCHES as u32).map(|number| learner.batch(number));
        let batches = batches.collect::<Result<_, _>>().map_err(misfit)?;
        let pupil = Pupil::new(engine, &shape)?;
        Ok(Self { engine, learner, shape, batches, pupil })
    }

    /// Takes so many steps with the exact kernels.
    pub fn steps(&mut self, steps: usize) -> Result<(), Fault> {
        let mut batches = self.batches.iter().cycle().take(steps);
        batches.try_for_each(|batch| self.pupil.step(&batch.x, &batch.wanted))
    }

    /// Measures it beside stock candle, from the same parameters on the same batches. Each of
    /// `repeats` turns is `steps` steps of each. Then its products beside the most that the cores
    /// do, in GFLOP/s; and the convolutions of the network alone, forward, where there are some.
    pub fn measure(
        &mut self,
        repeats: usize,
        steps: usize,
        now: &mut dyn FnMut() -> f64,
    ) -> Result<Vec<Measured>, Fault> {
        let learner = self.learner;
        let stock = Stock::new(learner, &self.shape, &self.shape.initial(1)).map_err(misfit)?;
        let mut optimizer = StockAdamW::new(stock.vars.clone(), RATES).map_err(misfit)?;
        let batches = self.batches.clone();
        let mut theirs = || {
            for Batch { x, labels, .. } in batches.iter().cycle().take(steps) {
                let loss = stock.forward(x);
                let loss = loss.and_then(|y| candle_nn::loss::cross_entropy(&y, labels));
                loss.and_then(|loss| optimizer.backward_step(&loss)).map_err(misfit)?;
            }
            Ok(())
        };
        let (ours, theirs) = in_turns(repeats, now, &mut || self.steps(steps), &mut theirs)?;
        let (unit, counted) = learner.counted();
        let count = (steps * counted) as f64;
        let stock = "stock candle";
        let name = "train".to_owned();
        let (value, baseline_value) = (count / ours, count / theirs);
        let mut all = vec![Measured { name, value, unit, baseline_name: stock, baseline_value }];
        let done = learner.operations(&self.shape) * steps as f64 / ours / 1e9;
        all.push(products(self.engine, done, repeats, now));
        if learner == Learner::Cnn {
            for extent in CONVOLUTIONS {
                all.push(convolution(self.engine, extent, repeats, now)?);
            }
        }
        Ok(all)
    }

    /// Measures the same training as a fast one beside it, from the same parameters on the same
    /// batches: on a graphics card, if there is one that this build can use, else in candle's own
    /// operations on the CPU.
    pub fn measure_fast(
        &mut self,
        repeats: usize,
        now: &mut dyn FnMut() -> f64,
    ) -> Result<Measured, Fault> {
        let gpu = device::gpu();
        let (name, times) =
            if gpu.is_some() { ("fast on a graphics card", FAST_TIMES) } else { ("fast", 1) };
        let device = &gpu.unwrap_or(Device::Cpu);
        let (shape, steps) = (self.shape.clone(), self.learner.steps());
        let network = Network::learning_fast(device, &shape, shape.initial(1))?;
        let mut pupil = Pupil::of(self.engine, &shape, network)?;
        let batches = self.batches.clone();
        let mut fast = || {
            for Batch { x, wanted, .. } in batches.iter().cycle().take(steps * times) {
                pupil.step(&x.to_device(device).map_err(misfit)?, wanted)?;
            }
            // What was handed to the device is done once a number comes back.
            pupil.network.values().map(drop)
        };
        fast()?;
        let (fast, exact) = in_turns(repeats, now, &mut fast, &mut || self.steps(steps))?;
        let (unit, counted) = self.learner.counted();
        let count = (steps * counted) as f64;
        Ok(Measured {
            name: name.to_owned(),
            value: count * times as f64 / fast,
            unit,
            baseline_name: "the exact kernels",
            baseline_value: count / exact,
        })
    }
}

/// Operations in products each second beside the most that the cores do.
fn products(engine: Engine, value: f64, repeats: usize, now: &mut dyn FnMut() -> f64) -> Measured {
    let rates = (0..repeats.max(1)).map(|_| {
        let begin = now();
        let operations = peak::multiply_adds(engine, TILES);
        operations / (now() - begin) / 1e9
    });
    Measured {
        name: "products".to_owned(),
        value,
        unit: "GFLOP/s",
        baseline_name: "peak of multiply-adds",
        baseline_value: median(rates.collect()),
    }
}

/// Rows of a step of [`pace`].
const PACE_ROWS: usize = 32;

/// Floating-point operations in a second, counted as the cost model counts them: two for each
/// weight and row forward, four backward. Trains the perceptron for so many seconds, at least one
/// step after one that does not count.
pub fn pace(engine: Engine, seconds: f64, now: &mut dyn FnMut() -> f64) -> Result<u64, Fault> {
    let shape = Learner::Mlp.shape()?;
    let x = op::input(noise(0, PACE_ROWS * FEATURES), PACE_ROWS, FEATURES).map_err(misfit)?;
    let labels: Vec<u32> = (0..PACE_ROWS as u32).map(|row| row % CLASSES as u32).collect();
    let wanted = Wanted::Classes { labels, weights: [].into() };
    let weights: usize = shape.parameters().iter().map(|parameter| parameter.len()).sum();
    let flop = 6.0 * PACE_ROWS as f64 * weights as f64;
    let mut pupil = Pupil::new(engine, &shape)?;
    let mut step = || pupil.step(&x, &wanted);
    step()?;
    let (begin, mut steps) = (now(), 0.0);
    loop {
        step()?;
        steps += 1.0;
        let passed = now() - begin;
        if passed >= seconds {
            return Ok((steps * flop / passed.max(1e-9)) as u64);
        }
    }
}

/// A convolution of a batch, without what follows it.
fn convolution(
    engine: Engine,
    (side, channels, filters): (usize, usize, usize),
    repeats: usize,
    now: &mut dyn FnMut() -> f64,
) -> Result<Measured, Fault> {
    let conv = Conv {
        engine,
        height: side,
        width: side,
        channels,
        kernel: 3,
        margin: 1,
        filters,
        activation: None,
        pool: 1,
    };
    let (before, _) = conv.lengths();
    let (x, weights) = (noise(1, BATCH * before), noise(2, conv.depth() * filters));
    let bias = vec![0.0; filters];
    let image = Tensor::from_slice(&x, (BATCH, channels, side, side), &Device::Cpu);
    let kernel = Tensor::from_slice(&weights, (filters, channels, 3, 3), &Device::Cpu);
    let (image, kernel) = (image.map_err(misfit)?, kernel.map_err(misfit)?);
    let mut ours = || {
        drop(conv.forward(BATCH, &x, &weights, &bias));
        Ok(())
    };
    let mut theirs = || image.conv2d(&kernel, 1, 1, 1, 1).map(drop).map_err(misfit);
    let (ours, theirs) = in_turns(repeats, now, &mut ours, &mut theirs)?;
    let flops = 2.0 * (BATCH * side * side * conv.depth() * filters) as f64 / 1e9;
    Ok(Measured {
        name: format!("conv2d {channels} to {filters}"),
        value: flops / ours,
        unit: "GFLOP/s",
        baseline_name: "stock candle",
        baseline_value: flops / theirs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::Digest;

    #[test]
    fn a_measurement_counts_samples_over_the_seconds_of_the_clock_it_is_given() {
        let mut reading = 0.0;
        // Ours takes one second by this clock, theirs one, whatever really happens.
        let mut now = || {
            reading += 1.0;
            reading
        };
        let mut training = Training::new(Engine::default(), Learner::Mlp).unwrap();
        let measured = training.measure(1, 1, &mut now).unwrap();
        assert_eq!((measured[0].value, measured[0].ratio()), (128.0, 1.0));
    }

    #[test]
    fn what_the_perceptron_has_learned_after_some_steps_is_golden() {
        // benches/gpu/exact.py must come to the same on a graphics card.
        let mut training = Training::new(Engine::default(), Learner::Mlp).unwrap();
        training.steps(4).unwrap();
        let values = training.pupil.network.values().unwrap().concat();
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(Digest::of(&bytes).short(), "85d8a94455a4");
    }

    #[test]
    fn operations_are_those_of_the_products() {
        let of = |learner: Learner| learner.operations(&learner.shape().unwrap());
        let (first, rest) = (784 * 512, 512 * 256 + 256 * 10);
        assert_eq!(of(Learner::Mlp), (2 * 128 * (2 * first + 3 * rest)) as f64);
        let (first, second) = (28_u64 * 28 * 9 * 32, 14 * 14 * 9 * 32 * 64);
        let rest = second + 3136 * 128 + 128 * 10;
        assert_eq!(of(Learner::Cnn), (2 * 128 * (2 * first + 3 * rest)) as f64);
        let (layers, looks) = (4_u64 * 12 * 128 * 128 + 128 * 65, 4 * 128 * 65);
        assert_eq!(of(Learner::Gpt), (2 * 12 * 64 * 3 * (layers + looks)) as f64);
    }

    #[test]
    fn stock_candle_is_measured_with_the_same_networks() {
        for learner in [Learner::Mlp, Learner::Cnn, Learner::Gpt] {
            let shape = learner.shape().unwrap();
            let initial = shape.initial(1);
            let stock = Stock::new(learner, &shape, &initial).unwrap();
            let network = Network::learning(Engine::default(), &shape, initial).unwrap();
            let Batch { x, .. } = learner.batch(0).unwrap();
            let numbers = |y: Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let ours = numbers(network.forward(&x, PASS).unwrap());
            let theirs = numbers(stock.forward(&x).unwrap());
            assert_eq!(ours.len(), theirs.len());
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() < 1e-4, "{learner:?}: {a} {b}");
            }
        }
    }
}
