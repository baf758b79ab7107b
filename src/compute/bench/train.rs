//! Training with the exact kernels and with stock candle, from the same parameters, in turns.
//! Never decides a result of a job.

use super::{Measured, in_turns, noise};
use crate::compute::Fault;
use crate::compute::kernel::Engine;
use crate::compute::kernel::conv::Conv;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::model::{Network, Pass, Shape, misfit};
use crate::compute::op::{self, Wanted};
use crate::compute::optim::Descent;
use crate::domain::job::{Activation, Cnn, Convolution, Image, Model, Optimizer, Padding};
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW as StockAdamW, Optimizer as _, ParamsAdamW};

/// What is trained: on rows of 784 features, 28 × 28 pixels, that are one of 10 classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learner {
    /// A perceptron 784-512-256-10 with ReLU.
    Mlp,
    /// Convolutions of 32 and 64 filters of 3 × 3, each with ReLU and max-pooling by 2, then
    /// 3136-128-10.
    Cnn,
}

const FEATURES: usize = 784;
const CLASSES: usize = 10;
const BATCH: usize = 128;
const BATCHES: usize = 8;
const PASS: Pass = Pass::Learn { seed: 1, step: 0 };
const RATES: ParamsAdamW =
    ParamsAdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
const CONVOLUTIONS: [(usize, usize, usize); 2] = [(28, 1, 32), (14, 32, 64)];

impl Learner {
    fn model(self) -> Model {
        let activation = Activation::Relu;
        let by = |(_, _, filters): (usize, usize, usize)| Convolution {
            filters: filters as u32,
            kernel: 3,
            padding: Padding::Same,
            groups: None,
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
        }
    }

    /// Steps of a turn: about as long a turn of stock candle for each.
    #[must_use]
    pub const fn steps(self) -> usize {
        match self {
            Self::Mlp => 20,
            Self::Cnn => 3,
        }
    }
}

/// Trains with batches of 128 synthetic rows (cross-entropy, AdamW) with the exact kernels and with
/// stock candle, from the same parameters on the same batches. Each of `repeats` turns is `steps`
/// steps of each; the unit is samples per second. Then the convolutions of the network alone,
/// forward, where there are some; the unit is GFLOP/s.
pub fn train(
    engine: Engine,
    learner: Learner,
    repeats: usize,
    steps: usize,
    now: &mut dyn FnMut() -> f64,
) -> std::result::Result<Vec<Measured>, Fault> {
    let shape = Shape::new(&learner.model(), FEATURES, CLASSES)?;
    let mut batches = Vec::new();
    for i in 0..BATCHES as u32 {
        let x = op::input(noise(i, BATCH * FEATURES), BATCH, FEATURES).map_err(misfit)?;
        let label = |row| Philox::new(2, purpose::SYNTHETIC, i).word(row) % CLASSES as u32;
        let labels: Vec<u32> = (0..BATCH as u64).map(label).collect();
        let tensor = Tensor::from_vec(labels.clone(), BATCH, &Device::Cpu).map_err(misfit)?;
        let wanted = Wanted::Classes { labels, weights: [].into() };
        batches.push((x, wanted, tensor));
    }
    let initial = shape.initial(1);
    let lengths: Vec<usize> = initial.iter().map(Vec::len).collect();
    let stock = Stock::new(learner, &shape, &initial).map_err(misfit)?;
    let mut stock_optimizer = StockAdamW::new(stock.vars.clone(), RATES).map_err(misfit)?;
    let network = Network::learning(engine, &shape, initial)?;
    let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = RATES;
    let adamw = Optimizer::AdamW { lr, beta1, beta2, eps, weight_decay };
    let mut descent = Descent::new(engine, &adamw, None, &lengths);
    let mut ours = || {
        for (x, wanted, _) in batches.iter().cycle().take(steps) {
            let loss = network.loss(&network.forward(x, PASS)?, wanted.clone())?;
            network.learn(&loss)?;
            descent.step(&network, RATES.lr)?;
        }
        Ok(())
    };
    let mut theirs = || {
        for (x, _, labels) in batches.iter().cycle().take(steps) {
            let loss = stock.forward(x).and_then(|y| candle_nn::loss::cross_entropy(&y, labels));
            loss.and_then(|loss| stock_optimizer.backward_step(&loss)).map_err(misfit)?;
        }
        Ok(())
    };
    let (ours, theirs) = in_turns(repeats, now, &mut ours, &mut theirs)?;
    let samples = (steps * BATCH) as f64;
    let mut all = vec![Measured {
        name: "train".to_owned(),
        value: samples / ours,
        unit: "samples/s",
        baseline_name: "stock candle",
        baseline_value: samples / theirs,
    }];
    if learner == Learner::Cnn {
        for extent in CONVOLUTIONS {
            all.push(convolution(engine, extent, repeats, now)?);
        }
    }
    Ok(all)
}

/// Rows of a step of [`pace`].
const PACE_ROWS: usize = 32;

/// Floating-point operations in a second, counted as the cost model counts them: two for each
/// weight and row forward, four backward. Trains the perceptron for so many seconds, at least one
/// step after one that does not count.
pub fn pace(
    engine: Engine,
    seconds: f64,
    now: &mut dyn FnMut() -> f64,
) -> std::result::Result<u64, Fault> {
    let shape = Shape::new(&Learner::Mlp.model(), FEATURES, CLASSES)?;
    let x = op::input(noise(0, PACE_ROWS * FEATURES), PACE_ROWS, FEATURES).map_err(misfit)?;
    let labels: Vec<u32> = (0..PACE_ROWS as u32).map(|row| row % CLASSES as u32).collect();
    let wanted = Wanted::Classes { labels, weights: [].into() };
    let initial = shape.initial(1);
    let lengths: Vec<usize> = initial.iter().map(Vec::len).collect();
    let flop = 6.0 * PACE_ROWS as f64 * lengths.iter().sum::<usize>() as f64;
    let network = Network::learning(engine, &shape, initial)?;
    let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = RATES;
    let adamw = Optimizer::AdamW { lr, beta1, beta2, eps, weight_decay };
    let mut descent = Descent::new(engine, &adamw, None, &lengths);
    let mut step = || {
        let loss = network.loss(&network.forward(&x, PASS)?, wanted.clone())?;
        network.learn(&loss)?;
        descent.step(&network, RATES.lr)
    };
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
) -> std::result::Result<Measured, Fault> {
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

/// The same network as candle's users write it: images with their channels first.
struct Stock {
    learner: Learner,
    vars: Vec<Var>,
}

impl Stock {
    fn new(learner: Learner, shape: &Shape, initial: &[Vec<f32>]) -> Result<Self> {
        let mut vars = Vec::new();
        for (shape, values) in shape.parameters().iter().zip(initial) {
            let values = Tensor::from_slice(values, shape.dims.as_slice(), &Device::Cpu)?;
            let values = match *shape.dims.as_slice() {
                [_, _, _, _] => values.permute((3, 2, 0, 1))?,
                // What the convolutions give, channels first.
                [3136, outputs] => {
                    let values = values.reshape((7, 7, 64, outputs))?.permute((3, 2, 0, 1))?;
                    values.reshape((outputs, 3136))?
                }
                [_, _] => values.t()?,
                _ => values,
            };
            vars.push(Var::from_tensor(&values.contiguous()?)?);
        }
        Ok(Self { learner, vars })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut pairs = self.vars.chunks_exact(2).peekable();
        let mut x = x.clone();
        if self.learner == Learner::Cnn {
            x = x.reshape((BATCH, 1, 28, 28))?;
            for pair in pairs.by_ref().take(CONVOLUTIONS.len()) {
                let [weights, bias] = pair else { continue };
                x = x.conv2d(weights, 1, 1, 1, 1)?;
                x = x.broadcast_add(&bias.reshape((1, (), 1, 1))?)?.relu()?.max_pool2d(2)?;
            }
            x = x.flatten_from(1)?;
        }
        while let Some(pair) = pairs.next() {
            let [weights, bias] = pair else { continue };
            x = x.matmul(&weights.t()?)?.broadcast_add(bias)?;
            x = if pairs.peek().is_some() { x.relu()? } else { x };
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_counts_samples_over_the_seconds_of_the_clock_it_is_given() {
        let mut reading = 0.0;
        // Ours takes one second by this clock, theirs one, whatever really happens.
        let mut now = || {
            reading += 1.0;
            reading
        };
        let measured = train(Engine::default(), Learner::Mlp, 1, 1, &mut now).unwrap();
        assert_eq!((measured[0].value, measured[0].ratio()), (128.0, 1.0));
    }

    #[test]
    fn stock_candle_is_measured_with_the_same_networks() {
        for learner in [Learner::Mlp, Learner::Cnn] {
            let shape = Shape::new(&learner.model(), FEATURES, CLASSES).unwrap();
            let initial = shape.initial(1);
            let stock = Stock::new(learner, &shape, &initial).unwrap();
            let network = Network::learning(Engine::default(), &shape, initial).unwrap();
            let x = op::input(noise(0, BATCH * FEATURES), BATCH, FEATURES).unwrap();
            let numbers = |y: Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let ours = numbers(network.forward(&x, PASS).unwrap());
            for (a, b) in ours.iter().zip(numbers(stock.forward(&x).unwrap())) {
                assert!((a - b).abs() < 1e-4, "{learner:?}: {a} {b}");
            }
        }
    }
}
