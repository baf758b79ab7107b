//! Measurements: kernels against stock candle, in one run and in turns; how fast tables are read.
//! Reads no clock: the caller passes one in. Nothing here decides a result of a job.

mod parallel;

pub use parallel::{Accident, Trial, parallel, rehearse};

use super::Fault;
use super::kernel::Engine;
use super::kernel::matmul::{Form, Shape as Product, matmul as exact_matmul};
use super::kernel::philox::{Philox, purpose};
use super::model::{Network, Pass, Shape, misfit};
use super::op::{self, Wanted};
use super::optim::Descent;
use super::table;
use crate::domain::job::{Activation, Ingest, Model, Optimizer, Reading};
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW as StockAdamW, Linear, Module, Optimizer as _, ParamsAdamW, Sequential};
use std::fmt::Write as _;

/// One number of a measurement, and what it is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was measured.
    pub name: String,
    /// How fast it was.
    pub value: f64,
    /// What the value counts.
    pub unit: &'static str,
    /// What it is held against.
    pub baseline_name: &'static str,
    /// How fast that was.
    pub baseline_value: f64,
}

impl Measured {
    /// How many times as fast as the baseline.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.value / self.baseline_value
    }
}

const WIDTHS: [usize; 4] = [784, 512, 256, 10];
const BATCH: usize = 128;
const BATCHES: usize = 8;
const PASS: Pass = Pass::Learn { seed: 1, step: 0 };
const RATES: ParamsAdamW =
    ParamsAdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };

/// The shapes that are measured: squares, and the products of the perceptron of [`train`].
pub const PRODUCTS: [(&str, Form, Product); 11] = [
    ("128³", Form::Nn, Product { m: 128, n: 128, k: 128 }),
    ("256³", Form::Nn, Product { m: 256, n: 256, k: 256 }),
    ("512³", Form::Nn, Product { m: 512, n: 512, k: 512 }),
    ("512³ AᵀB", Form::Tn, Product { m: 512, n: 512, k: 512 }),
    ("512³ ABᵀ", Form::Nt, Product { m: 512, n: 512, k: 512 }),
    ("1024³", Form::Nn, Product { m: 1024, n: 1024, k: 1024 }),
    ("layer 1 forward", Form::Nn, Product { m: 128, n: 512, k: 784 }),
    ("layer 1 weights", Form::Tn, Product { m: 784, n: 512, k: 128 }),
    ("layer 2 forward", Form::Nn, Product { m: 128, n: 256, k: 512 }),
    ("layer 2 input", Form::Nt, Product { m: 128, n: 512, k: 256 }),
    ("layer 3 forward", Form::Nn, Product { m: 128, n: 10, k: 256 }),
];

/// Runs both in turns and gives the median seconds of each.
fn in_turns(
    repeats: usize,
    now: &mut dyn FnMut() -> f64,
    ours: &mut dyn FnMut() -> Result<(), Fault>,
    theirs: &mut dyn FnMut() -> Result<(), Fault>,
) -> Result<(f64, f64), Fault> {
    let mut seconds = (Vec::new(), Vec::new());
    // One turn to warm up, which does not count.
    for turn in 0..=repeats.max(1) {
        let begin = now();
        ours()?;
        let middle = now();
        theirs()?;
        let end = now();
        if turn > 0 {
            seconds.0.push(middle - begin);
            seconds.1.push(end - middle);
        }
    }
    Ok((median(seconds.0), median(seconds.1)))
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs.get(xs.len() / 2).copied().unwrap_or(f64::NAN)
}

fn noise(stream: u32, len: usize) -> Vec<f32> {
    let mut out = vec![0.0; len];
    Philox::new(1, purpose::SYNTHETIC, stream).fill(-1.0, 1.0, &mut out);
    out
}

/// Trains a perceptron 784-512-256-10 (ReLU, cross-entropy, AdamW, batches of 128 synthetic rows)
/// with the exact kernels and with stock candle, from the same parameters on the same batches.
/// Each of `repeats` turns is `steps` steps of each; the unit is samples per second.
pub fn train(
    engine: Engine,
    repeats: usize,
    steps: usize,
    now: &mut dyn FnMut() -> f64,
) -> Result<Measured, Fault> {
    let model = Model::Mlp { hidden: vec![512, 256], activation: Activation::Relu };
    let shape = Shape::new(&model, WIDTHS[0], WIDTHS[3])?;
    let mut batches = Vec::new();
    for i in 0..BATCHES as u32 {
        let x = op::input(noise(i, BATCH * WIDTHS[0]), BATCH, WIDTHS[0]).map_err(misfit)?;
        let label = |row| Philox::new(2, purpose::SYNTHETIC, i).word(row) % WIDTHS[3] as u32;
        let labels: Vec<u32> = (0..BATCH as u64).map(label).collect();
        let tensor = Tensor::from_vec(labels.clone(), BATCH, &Device::Cpu).map_err(misfit)?;
        let wanted = Wanted::Classes { labels, weights: [].into() };
        batches.push((x, wanted, tensor));
    }
    let initial = shape.initial(1);
    let lengths: Vec<usize> = initial.iter().map(Vec::len).collect();
    let (stock, mut stock_optimizer) = stock(&shape, &initial).map_err(misfit)?;
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
    Ok(Measured {
        name: "train-mlp".to_owned(),
        value: samples / ours,
        unit: "samples/s",
        baseline_name: "stock candle",
        baseline_value: samples / theirs,
    })
}

/// The same perceptron as candle's users write it.
fn stock(shape: &Shape, initial: &[Vec<f32>]) -> candle_core::Result<(Sequential, StockAdamW)> {
    let mut vars = Vec::new();
    let mut net = candle_nn::seq();
    let parameters: Vec<_> = shape.parameters().iter().zip(initial).collect();
    for (i, pair) in parameters.chunks_exact(2).enumerate() {
        let [(shape, weights), (_, bias)] = pair else { continue };
        let weights = Tensor::from_slice(weights, shape.dims.as_slice(), &Device::Cpu)?;
        let weights = Var::from_tensor(&weights.t()?.contiguous()?)?;
        let bias = Var::from_tensor(&Tensor::from_slice(bias, bias.len(), &Device::Cpu)?)?;
        net = net.add(Linear::new(weights.as_tensor().clone(), Some(bias.as_tensor().clone())));
        if 2 * (i + 1) < parameters.len() {
            net = net.add_fn(|x| x.relu());
        }
        vars.extend([weights, bias]);
    }
    Ok((net, StockAdamW::new(vars, RATES)?))
}

/// Multiplies matrices of the shapes [`PRODUCTS`] with the exact kernels and with the `gemm` crate
/// through candle. Each of `repeats` turns is at least 20 ms of work; the unit is GFLOP/s.
pub fn matmul(
    engine: Engine,
    repeats: usize,
    now: &mut dyn FnMut() -> f64,
) -> Result<Vec<Measured>, Fault> {
    PRODUCTS
        .iter()
        .map(|&(name, form, product)| {
            let Product { m, n, k } = product;
            let (a, b) = (noise(1, m * k), noise(2, k * n));
            let tensor = |xs: &[f32], rows, columns, stored_transposed| {
                if stored_transposed {
                    Tensor::from_slice(xs, (columns, rows), &Device::Cpu)?.t()
                } else {
                    Tensor::from_slice(xs, (rows, columns), &Device::Cpu)
                }
            };
            let left = tensor(&a, m, k, form == Form::Tn).map_err(misfit)?;
            let right = tensor(&b, k, n, form == Form::Nt).map_err(misfit)?;
            let flops = 2.0 * (m * n * k) as f64;
            // At 50 GFLOP/s, which is what one core does without AVX-512.
            let times = (1e9 / flops).ceil() as usize;
            let mut out = vec![0.0; m * n];
            let mut ours = || {
                (0..times).for_each(|_| exact_matmul(engine, form, product, &a, &b, &mut out));
                Ok(())
            };
            let mut theirs =
                || (0..times).try_for_each(|_| left.matmul(&right).map(drop)).map_err(misfit);
            let (ours, theirs) = in_turns(repeats, now, &mut ours, &mut theirs)?;
            let total = flops * times as f64 / 1e9;
            Ok(Measured {
                name: name.to_owned(),
                value: total / ours,
                unit: "GFLOP/s",
                baseline_name: "gemm crate",
                baseline_value: total / theirs,
            })
        })
        .collect()
}

/// How fast comma-separated values are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ingested {
    /// Rows of the source.
    pub rows: u64,
    /// Columns of the source.
    pub columns: u64,
    /// Seconds to survey it: kinds from all rows, chunks and their digests.
    pub survey: f64,
    /// Seconds to do the same with two threads.
    pub survey_by_two: f64,
    /// Seconds to read its chunks into tables, one after another.
    pub read: f64,
    /// Seconds to do the same with two threads.
    pub read_by_two: f64,
}

/// Surveys and reads a source of comma-separated values that is in memory: the medians of
/// `repeats` turns after one that does not count.
pub fn ingest(
    bytes: &[u8],
    repeats: usize,
    now: &mut dyn FnMut() -> f64,
) -> Result<Ingested, Fault> {
    let reading = Reading::csv();
    let mut seconds = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut rows, mut columns) = (0, 0);
    for turn in 0..=repeats.max(1) {
        let alone = now();
        drop(table::survey(&reading, None, bytes)?);
        let begin = now();
        let (survey, cuts) = table::survey_by(2, &reading, None, bytes)?;
        let surveyed = now();
        (rows, columns) = (survey.rows.rows, survey.columns.len() as u64);
        let read = |cut: &table::Cut| {
            let (columns, chunks) = (survey.columns.clone(), cut.chunks.clone());
            let spec = Ingest { columns, chunks, ..Ingest::unpinned(reading.clone()) };
            table::read_chunks(&spec, &[&cut.bytes]).map(drop)
        };
        cuts.iter().try_for_each(read)?;
        let middle = now();
        let (first, second) = cuts.split_at(cuts.len() / 2);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| first.iter().try_for_each(read));
            second.iter().try_for_each(read)?;
            other.join().unwrap_or(Ok(()))
        })?;
        let end = now();
        if turn > 0 {
            seconds.0.push(begin - alone);
            seconds.1.push(surveyed - begin);
            seconds.2.push(middle - surveyed);
            seconds.3.push(end - middle);
        }
    }
    let (survey, survey_by_two) = (median(seconds.0), median(seconds.1));
    let (read, read_by_two) = (median(seconds.2), median(seconds.3));
    Ok(Ingested { rows, columns, survey, survey_by_two, read, read_by_two })
}

/// A source to measure with, of about so many bytes: integers, decimals of two sizes, words, text
/// in quotes, booleans and some nulls.
#[must_use]
pub fn synthetic_csv(size: usize) -> Vec<u8> {
    const WORDS: [&str; 6] = ["setosa", "versicolor", "virginica", "", "\"a, b\"", "château"];
    let dice = Philox::new(3, purpose::SYNTHETIC, 0);
    let mut text = String::from("id,small,price,precise,word,flag\n");
    let mut row = 0u64;
    while text.len() < size {
        let die = |column: u64| dice.word(row * 4 + column);
        let (price, precise, word) = (die(0), die(1), die(3) as usize % WORDS.len());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{row},{},{}.{:02},0.{precise:010}{price:05},{},{}",
            die(2) % 1000,
            price % 5000,
            price % 100,
            WORDS.get(word).unwrap_or(&""),
            precise % 2 == 0,
        );
        row += 1;
    }
    text.into_bytes()
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
        let measured = train(Engine::default(), 1, 1, &mut now).unwrap();
        assert_eq!((measured.value, measured.ratio()), (128.0, 1.0));
    }

    #[test]
    fn a_synthetic_source_is_read_as_what_it_was_made_of() {
        let mut reading = 0.0;
        let mut now = || {
            reading += 1.0;
            reading
        };
        let source = synthetic_csv(10_000);
        let measured = ingest(&source, 1, &mut now).unwrap();
        let lines = source.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!((measured.rows, measured.columns), (lines - 1, 6));
        let Ingested { survey, survey_by_two, read, read_by_two, .. } = measured;
        assert_eq!([survey, survey_by_two, read, read_by_two], [1.0; 4]);
        let columns = table::survey(&Reading::csv(), None, &source).unwrap().0.columns;
        let kinds: Vec<_> = columns.iter().map(|column| column.kind.word()).collect();
        assert_eq!(kinds, ["integer", "integer", "number", "number", "string", "boolean"]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
    }
}
