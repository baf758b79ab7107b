//! Benchmarks: what `docs/benchmarks.md` claims, measured on this machine with the real parts.
//! Works in a home of its own, which it removes; never touches the user's, and writes no prose.

mod agreement;
mod commit;
mod embed;
mod fold;
mod history;
mod hostile;
mod late;
mod scribe;
mod segments;

pub use agreement::{agreement, finality};
pub use commit::commit;
pub use embed::embed;
pub use fold::{replay, start};
pub use history::{proof_of_history, verification};
pub use hostile::hostile;
pub use late::late;
pub use segments::segments;

use super::apply::{ApplyError, Hooks, Site};
use super::boot::BootError;
use super::embedded::Happening;
use super::home::Home;
use super::pipeline::{Pipeline, PrepareError};
use crate::base::canon::Digest;
use crate::compute::Fault;
use crate::compute::bench as kernels;
pub use crate::compute::bench::Learner;
use crate::compute::kernel::sweep::{self, Inputs};
use crate::compute::kernel::{Engine, Isa};
use crate::compute::table::Table;
use crate::domain::event::Event;
use crate::domain::manifest;
use crate::domain::plan;
use crate::effects::artifacts::ArtifactError;
use crate::effects::clock::{self, Clock};
use crate::effects::machine;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Workers of the embedded network that is measured.
const WORKERS: usize = 2;
/// Steps of a training after which it takes no more memory.
const STEPS_ALONE: usize = 16;

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub name: &'static str,
    /// The number.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The same by other means in the same run, and what those were.
    pub baseline: Option<(&'static str, f64)>,
    /// What else was counted.
    pub detail: Vec<(String, f64)>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The network or its home failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// No encoder was named.
    #[error(
        "no encoder is named; hint: `--file FOLDER` names one, as `tests/peers/minilm` prints it"
    )]
    NoEncoder,
    /// The encoder cannot be read.
    #[error(transparent)]
    Encoder(#[from] super::predict::PredictError),
    /// The log that was measured cannot be read.
    #[error(transparent)]
    Log(#[from] BootError),
    /// The number of jobs makes no manifest.
    #[error("{0}; hint: measure with another number of --jobs")]
    Jobs(String),
    /// What is measured cannot be stored.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A kernel refused.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The file to measure with cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The system gives no place for what is measured.
    #[error("cannot write what is to be measured: {0}; hint: is the temporary folder full?")]
    Scratch(std::io::Error),
    /// A hostile text is taken for a manifest.
    #[error("the hostile text `{0}` is not refused")]
    Accepted(&'static str),
    /// A hostile text is refused for another reason than that for which it is hostile.
    #[error("the hostile text `{name}` is refused like this: {said}")]
    Otherwise {
        /// Which.
        name: &'static str,
        /// What is said about it.
        said: String,
    },
    /// A function gives other bits than it must.
    #[error(
        "{name} gives other bits than it must ({isa} instructions); hint: this machine cannot work"
    )]
    Inexact {
        /// Which.
        name: &'static str,
        /// With which instructions.
        isa: Isa,
    },
    /// A network of processes does not run.
    #[error("{0}")]
    Network(String),
    /// The run did not come to its end.
    #[error("the measured run did not settle")]
    Unsettled,
}

fn detail(counted: &[(&str, f64)]) -> Vec<(String, f64)> {
    counted.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// The most memory that this program ever had, where the system counts it.
fn peak() -> Option<(String, f64)> {
    machine::peak_memory().map(|bytes| ("peakMib".to_owned(), (bytes >> 10) as f64 / 1024.0))
}

/// A folder that is removed when it goes out of use.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = Digest(clock::fresh_seed()).short();
        Self(std::env::temp_dir().join(format!("ohc-bench-{name}")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean: it is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The middle one of some measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Jobs that fit into a manifest as one list.
const LISTED_MAX: u32 = 30_000;

/// Independent jobs, each in a block of its own. The tags differ, else all would be one result.
fn independent(jobs: u32) -> String {
    let mut text = head("settle", jobs);
    if jobs > LISTED_MAX {
        let (rows, columns) = grid(jobs);
        let _ = writeln!(
            text,
            "    job: {{ uses: noop, matrix: {{ axes: {{ a: [{}], b: [{}] }} }}, with: {{ tag: \
             \"${{{{ matrix.a * {columns} + matrix.b }}}}\" }} }}",
            list(rows),
            list(columns)
        );
        return text;
    }
    text.push_str("    job:\n      uses: noop\n      matrix: { axes: { n: [");
    for n in 0..jobs {
        let _ = write!(text, "{n},");
    }
    text.push_str("] } }\n      with: { tag: \"${{ matrix.n }}\" }\n");
    text
}

/// Two axes: a list of all numbers would be longer than a manifest may be.
fn grid(jobs: u32) -> (u32, u32) {
    let rows = (1..=jobs.isqrt()).rev().find(|n| jobs.is_multiple_of(*n)).unwrap_or(1);
    (rows, jobs / rows)
}

fn list(n: u32) -> String {
    (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

/// Jobs of which each waits for the one before.
fn chained(jobs: u32) -> String {
    let mut text = head("chain", jobs);
    text.push_str("    s0: { uses: noop, with: { tag: 0 } }\n");
    for n in 1..jobs {
        // The tags differ: no-ops have the same output, so equal ones after another are one job.
        let _ = writeln!(
            text,
            "    s{n}: {{ uses: noop, inputs: {{ a: s{}.done }}, with: {{ tag: {n} }} }}",
            n - 1
        );
    }
    text
}

fn head(name: &str, jobs: u32) -> String {
    format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  run: {{ \
         limits: {{ instances: {jobs}, jobsPerBlock: 1 }} }}\n  stages:\n"
    )
}

fn prepare(text: String) -> Result<Pipeline, BenchError> {
    Pipeline::prepare(text, BTreeMap::new(), Path::new("."), None).map_err(|error| match error {
        PrepareError::Wrong { faults, .. } => {
            let message = faults.first().map(|fault| fault.message.clone());
            BenchError::Jobs(message.unwrap_or_default())
        }
        other => BenchError::Jobs(other.to_string()),
    })
}

/// What a run of no-ops took.
struct Ran {
    seconds: f64,
    slots: u64,
    settled: u64,
}

/// Runs a pipeline with all that an apply has: roles, signatures, audits, a durable log.
fn run(text: String, scratch: &Scratch) -> Result<Ran, BenchError> {
    let pipeline = prepare(text)?;
    let home = Home::find(Some(&scratch.0), Path::new("."));
    let site = Site::open(home, WORKERS)?;
    let forecast = site.forecast(&pipeline)?;
    let clock = Clock::start();
    let mut ran = Ran { seconds: 0.0, slots: 0, settled: 0 };
    let (mut begun, mut ended) = (0.0, 0.0);
    let mut watch = |happening: Happening<'_>| {
        if let Happening::Folded(_, events) = happening {
            ran.slots += 1;
            for event in events {
                match event {
                    Event::Settled { .. } => ran.settled += 1,
                    Event::Ended { .. } => ended = clock.seconds(),
                    _ => {}
                }
            }
        }
    };
    let hooks =
        Hooks { begun: &mut |_, _| begun = clock.seconds(), watch: &mut watch, is_detached: false };
    let finished = site.run(&pipeline, &forecast, forecast.quote.high, &scratch.0, hooks);
    let finished = finished?;
    if finished.settled().is_none() {
        return Err(BenchError::Unsettled);
    }
    ran.seconds = ended - begun;
    Ok(ran)
}

/// Settled blocks per second: independent no-ops, one per block, with signatures, audits and a
/// durable log, from submission to the end of the run.
pub fn settle(jobs: u32) -> Result<Measurement, BenchError> {
    let scratch = Scratch::new();
    let ran = run(independent(jobs), &scratch)?;
    let Ran { seconds, slots, settled } = ran;
    let mut counted = detail(&[
        ("blocks", settled as f64),
        ("slots", slots as f64),
        ("seconds", seconds),
        ("workers", WORKERS as f64),
    ]);
    counted.extend(detail(&fold::memory(&scratch, settled)?));
    Ok(Measurement {
        name: "settle",
        value: settled as f64 / seconds,
        unit: "blocks/s",
        baseline: None,
        detail: counted,
    })
}

/// Milliseconds per block of a chain in which each waits for the one before.
pub fn chain(jobs: u32) -> Result<Measurement, BenchError> {
    let ran = run(chained(jobs), &Scratch::new())?;
    Ok(Measurement {
        name: "chain",
        value: ran.seconds * 1e3 / ran.settled.max(1) as f64,
        unit: "ms/block",
        baseline: None,
        detail: detail(&[
            ("blocks", ran.settled as f64),
            ("slots", ran.slots as f64),
            ("seconds", ran.seconds),
        ]),
    })
}

/// Milliseconds of a second apply, of a chain of stages that is settled: from the text and the log
/// on disk to the knowledge that nothing is to be done.
pub fn reapply(stages: u32) -> Result<Measurement, BenchError> {
    let scratch = Scratch::new();
    run(chained(stages), &scratch)?;
    let clock = Clock::start();
    let pipeline = prepare(chained(stages))?;
    let prepared = clock.seconds();
    let site = Site::open(Home::find(Some(&scratch.0), Path::new(".")), WORKERS)?;
    let opened = clock.seconds();
    let forecast = site.forecast(&pipeline)?;
    let seconds = clock.seconds();
    if !forecast.is_unchanged() {
        return Err(BenchError::Unsettled);
    }
    Ok(Measurement {
        name: "reapply",
        value: seconds * 1e3,
        unit: "ms",
        baseline: None,
        detail: detail(&[
            ("stages", f64::from(stages)),
            ("planSeconds", prepared),
            ("openSeconds", opened - prepared),
            ("forecastSeconds", seconds - opened),
        ]),
    })
}

/// Jobs per second from a manifest's text to a cut plan.
pub fn plan(jobs: u32) -> Result<Measurement, BenchError> {
    let (rows, columns) = grid(jobs);
    let mut text = head("plan", jobs);
    let _ = writeln!(
        text,
        "    job: {{ uses: noop, matrix: {{ axes: {{ a: [{}], b: [{}] }} }} }}",
        list(rows),
        list(columns)
    );
    let clock = Clock::start();
    let (compiled, faults) = manifest::compile(&text, &BTreeMap::new());
    let compiled_at = clock.seconds();
    let wrong = |faults: Vec<manifest::Diagnostic>| {
        let message = faults.first().map(|fault| fault.message.clone()).unwrap_or_default();
        BenchError::Jobs(message)
    };
    let compiled = compiled.ok_or_else(|| wrong(faults))?;
    let plan = plan::plan(&compiled, &[]).map_err(wrong)?;
    let seconds = clock.seconds();
    let mut counted = detail(&[
        ("jobs", plan.dag.jobs.len() as f64),
        ("blocks", plan.blocks.len() as f64),
        ("compileSeconds", compiled_at),
        ("seconds", seconds),
    ]);
    counted.extend(peak());
    Ok(Measurement {
        name: "plan",
        value: plan.dag.jobs.len() as f64 / seconds,
        unit: "jobs/s",
        baseline: None,
        detail: counted,
    })
}

/// GFLOP/s of exact products; the value is the fastest, `detail` has all beside candle's `gemm`.
pub fn matmul(seconds: f64) -> Result<Measurement, BenchError> {
    let clock = Clock::start();
    let repeats = repeats(seconds);
    let all = kernels::matmul(Engine::new(1), repeats, &mut || clock.seconds());
    let all = all?;
    let counts = [("repeats", repeats), ("stockThreads", kernels::stock_threads())];
    let mut detail = detail(&counts.map(|(name, count)| (name, count as f64)));
    for product in &all {
        detail.push((product.name.to_owned(), product.value));
        detail
            .push((format!("{}, {}", product.name, product.baseline_name), product.baseline_value));
    }
    let first = all.into_iter().max_by(|a, b| a.value.total_cmp(&b.value));
    let best = first.ok_or_else(|| BenchError::Unsettled)?;
    let baseline = Some((best.baseline_name, best.baseline_value));
    Ok(Measurement { name: "matmul", value: best.value, unit: best.unit, baseline, detail })
}

/// Elementary functions on all inputs, on every path of this machine but the one of software, which
/// does a sample: how many a second, if all give what they must.
pub fn exact(threads: usize) -> Result<Measurement, BenchError> {
    let clock = Clock::start();
    let (mut done, mut detail) = (0, detail(&[("threads", threads as f64)]));
    let paths = Isa::all();
    for isa in &paths {
        let is_slow = *isa == Isa::PORTABLE && paths.len() > 1;
        let inputs = if is_slow { Inputs::Some } else { Inputs::All };
        for function in sweep::FUNCTIONS {
            if !function.is_exact(*isa, inputs, threads) {
                return Err(BenchError::Inexact { name: function.name, isa: *isa });
            }
            done += inputs.count();
            detail.push((format!("{}, {isa}", function.name), inputs.count() as f64));
        }
    }
    let value = done as f64 / 1e6 / clock.seconds();
    Ok(Measurement { name: "exact", value, unit: "million inputs/s", baseline: None, detail })
}

/// Samples or tokens per second of exact training, beside stock candle in the same run; `detail`
/// has the memory that the training took before stock candle had any, its products beside the most
/// that the cores do, and the convolutions alone, where there are some.
pub fn train(learner: Learner, threads: usize, seconds: f64) -> Result<Measurement, BenchError> {
    let clock = Clock::start();
    let (repeats, steps, engine) = (repeats(seconds), learner.steps(), Engine::new(threads));
    let before = peak();
    let mut training = kernels::Training::new(engine, learner)?;
    training.steps(STEPS_ALONE)?;
    let after = peak();
    let all = training.measure(repeats, steps, &mut || clock.seconds())?;
    let counts = [
        ("repeats", repeats),
        ("steps", steps),
        ("threads", engine.threads()),
        ("stockThreads", kernels::stock_threads()),
    ];
    let mut detail = detail(&counts.map(|(name, count)| (name, count as f64)));
    if let Some(((_, before), (name, after))) = before.zip(after) {
        detail.push(("trainingMib".to_owned(), after - before));
        detail.push((name, after));
    }
    let mut all = all.into_iter();
    let whole = all.next().ok_or_else(|| BenchError::Unsettled)?;
    for part in all {
        detail.push((format!("{}, {}", part.name, part.baseline_name), part.baseline_value));
        detail.push((part.name, part.value));
    }
    let baseline = Some((whole.baseline_name, whole.baseline_value));
    Ok(Measurement { name: "train", value: whole.value, unit: whole.unit, baseline, detail })
}

/// Samples or tokens each second that a fast training learns from, on a graphics card if there is
/// one that this build can use, else in candle's own operations on the CPU; the baseline are the
/// exact kernels with so many threads.
pub fn fast(learner: Learner, threads: usize, seconds: f64) -> Result<Measurement, BenchError> {
    let clock = Clock::start();
    let (repeats, engine) = (repeats(seconds), Engine::new(threads));
    let mut training = kernels::Training::new(engine, learner)?;
    training.steps(STEPS_ALONE)?;
    let measured = training.measure_fast(repeats, &mut || clock.seconds())?;
    let counts = [("repeats", repeats), ("threads", engine.threads())];
    let mut detail = detail(&counts.map(|(name, count)| (name, count as f64)));
    detail.push((measured.name, measured.value));
    let baseline = Some((measured.baseline_name, measured.baseline_value));
    Ok(Measurement { name: "fast", value: measured.value, unit: measured.unit, baseline, detail })
}

/// Bytes of the source that is measured where none is named.
const SOURCE_BYTES: usize = 64 << 20;

/// Megabytes per second of reading comma-separated values: a survey, then all chunks, in one
/// thread; `detail` has the parts, and the rates with two threads.
pub fn ingest(file: Option<&Path>, seconds: f64) -> Result<Measurement, BenchError> {
    let bytes = match file {
        Some(path) => std::fs::read(path)
            .map_err(|error| BenchError::File { path: path.to_owned(), error })?,
        None => kernels::synthetic_csv(SOURCE_BYTES),
    };
    let clock = Clock::start();
    let measured = kernels::ingest(&bytes, repeats(seconds), &mut || clock.seconds())?;
    let megabytes = bytes.len() as f64 / 1e6;
    Ok(Measurement {
        name: "ingest",
        value: megabytes / (measured.survey + measured.read),
        unit: "MB/s",
        baseline: None,
        detail: detail(&[
            ("survey", megabytes / measured.survey),
            ("surveyByTwo", megabytes / measured.survey_by_two),
            ("read", megabytes / measured.read),
            ("readByTwo", megabytes / measured.read_by_two),
            ("ingestByTwo", megabytes / (measured.survey_by_two + measured.read_by_two)),
            ("megabytes", megabytes),
            ("rows", measured.rows as f64),
            ("columns", measured.columns as f64),
        ]),
    })
}

/// Bytes of a text that are learned from.
const TEXT_BYTES_MAX: usize = 1_000_000;

/// Losses and accuracies on held-out rows of trainings in parallel, with lost and poisoned shards,
/// against the same training synchronously: of a perceptron on a table whose last column is a
/// class, or of a decoder on a text. The value is the loss of eight shards.
pub fn parallel(file: Option<&Path>) -> Result<Measurement, BenchError> {
    let Some(path) = file else {
        let hint = "a table or a text is needed; hint: add --file manifests/data/digits.csv";
        return Err(BenchError::Jobs(hint.to_owned()));
    };
    let bytes =
        std::fs::read(path).map_err(|error| BenchError::File { path: path.to_owned(), error })?;
    let trials = if path.extension().is_some_and(|ending| ending == "txt") {
        let text = bytes.get(..TEXT_BYTES_MAX).unwrap_or(&bytes);
        kernels::parallel_text(&String::from_utf8_lossy(text))?
    } else {
        let table = Table::from_csv(&bytes)?;
        kernels::parallel(&table, &table.columns().pop().unwrap_or_default())?
    };
    let loss = |name: &str| {
        trials.iter().find(|trial| trial.name == name).map_or(f64::NAN, |trial| trial.loss)
    };
    let told = |trial: &kernels::Trial| {
        let of = |what: &str| format!("{} ({what})", trial.name);
        let accuracy = (of("accuracy"), trial.accuracy);
        [(trial.name.to_owned(), trial.loss), accuracy, (of("learning rate"), trial.lr)]
    };
    Ok(Measurement {
        name: "parallel",
        value: loss("8 shards"),
        unit: "nats",
        baseline: Some(("synchronous", loss("synchronous"))),
        detail: trials.iter().flat_map(told).collect(),
    })
}

/// Turns that fit into about so many seconds.
fn repeats(seconds: f64) -> usize {
    // A float beyond the range becomes the end of it.
    (seconds * 5.0).clamp(3.0, 200.0) as usize
}
