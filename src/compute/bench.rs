//! Measurements: kernels against stock candle, in one run and in turns; how fast tables are read.
//! Reads no clock: the caller passes one in. Nothing here decides a result of a job.

mod parallel;
mod stock;
mod train;

pub use parallel::{Accident, Trial, parallel, parallel_text, rehearse};
pub use train::{Learner, Training, pace};

use super::Fault;
use super::kernel::Engine;
use super::kernel::matmul::{Form, Shape as Product, matmul as exact_matmul};
use super::kernel::philox::{Philox, purpose};
use super::model::misfit;
use super::table;
use crate::domain::job::{Ingest, Reading};
use candle_core::{Device, Tensor};
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

/// The shapes that are measured: squares, and the products of the perceptron of
/// [`Training`].
pub const PRODUCTS: [(&str, Form, Product); 12] = [
    ("128³", Form::Nn, Product { m: 128, n: 128, k: 128 }),
    ("256³", Form::Nn, Product { m: 256, n: 256, k: 256 }),
    ("512³", Form::Nn, Product { m: 512, n: 512, k: 512 }),
    ("512³ AᵀB", Form::Tn, Product { m: 512, n: 512, k: 512 }),
    ("512³ ABᵀ", Form::Nt, Product { m: 512, n: 512, k: 512 }),
    ("1024³", Form::Nn, Product { m: 1024, n: 1024, k: 1024 }),
    ("2048³", Form::Nn, Product { m: 2048, n: 2048, k: 2048 }),
    ("layer 1 forward", Form::Nn, Product { m: 128, n: 512, k: 784 }),
    ("layer 1 weights", Form::Tn, Product { m: 784, n: 512, k: 128 }),
    ("layer 2 forward", Form::Nn, Product { m: 128, n: 256, k: 512 }),
    ("layer 2 input", Form::Nt, Product { m: 128, n: 512, k: 256 }),
    ("layer 3 forward", Form::Nn, Product { m: 128, n: 10, k: 256 }),
];

/// Runs both in turns and gives the median seconds of each. Each runs twice in its turn: the first
/// time gets back the memory and the caches that the other has had, and does not count.
fn in_turns(
    repeats: usize,
    now: &mut dyn FnMut() -> f64,
    ours: &mut dyn FnMut() -> Result<(), Fault>,
    theirs: &mut dyn FnMut() -> Result<(), Fault>,
) -> Result<(f64, f64), Fault> {
    let mut again = |run: &mut dyn FnMut() -> Result<(), Fault>| {
        run()?;
        let begin = now();
        run()?;
        Ok(now() - begin)
    };
    let mut seconds = (Vec::new(), Vec::new());
    for _ in 0..repeats.max(1) {
        seconds.0.push(again(ours)?);
        seconds.1.push(again(theirs)?);
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

/// Threads that stock candle takes for large products, whatever the exact kernels have: all cores,
/// or as many as `RAYON_NUM_THREADS` says.
#[must_use]
pub fn stock_threads() -> usize {
    candle_core::utils::get_num_threads()
}

/// Multiplies matrices of the shapes [`PRODUCTS`] with the exact kernels and with the `gemm` crate
/// through candle, which has [`stock_threads`]. Each of `repeats` turns is at least 20 ms of work;
/// the unit is GFLOP/s.
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
