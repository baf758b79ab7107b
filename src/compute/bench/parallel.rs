//! What a training in parallel is worth: all of its jobs one after another, with accidents on the
//! way, against the same training in one piece, synchronously. Never measures time.

use crate::compute::examples::{Examples, Truth};
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::predictor::Predictor;
use crate::compute::state::displaced;
use crate::compute::table::Table;
use crate::compute::train::{self, Lesson};
use crate::compute::{Done, Ended, Fault, Machine, Named, delta, forget, merge};
use crate::domain::job::{
    Activation, ClassWeights, Decay, Deltas, Gpt, Merge, Mode, Model, Norm, Optimizer, Parallel,
    Part, Positions, Rounds, Rule, Scaling, Schedule, Task, Train,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What becomes of the state that a shard gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accident {
    /// It is merged.
    None,
    /// It is lost: the merge does without it.
    Lost,
    /// A liar gives another: its parameters go so many times as far, or the other way.
    Poisoned {
        /// How many times: -5 is five times as far in the wrong direction.
        times: f32,
    },
}

/// Runs all jobs of a training in parallel, as workers would, and gives what the last one gives.
pub fn rehearse(
    train: &Train,
    rounds: &Rounds,
    lesson: &Lesson,
    accident: &dyn Fn(u32, u32) -> Accident,
) -> Result<Done, Fault> {
    let job_of = |parallel, batch, state: Option<&[u8]>| {
        let spec = Train { parallel: Some(parallel), batch, ..train.clone() };
        let machine = Machine::default();
        let done = train::run(&machine, &spec, lesson, state, &mut |_| (), &mut forget);
        done.map_err(Ended::fault)
    };
    let job = |parallel, state: Option<&[u8]>| job_of(parallel, train.batch, state);
    let falls = train.schedule.decay != Decay::Constant;
    let mut shared = Shared { state: only(job(Parallel::Start, None)?), ..Shared::default() };
    let mut residuals: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for round in 0..rounds.rounds {
        let state = delta::plain(&shared.state)?.into_owned();
        let whole = Rounds { deltas: Deltas::Whole, ..rounds.clone() };
        if round < rounds.alone {
            let batch = rounds.batch_in(round, train.batch);
            let end = only(job_of(whole.shard((round, 0), falls), batch, Some(&state))?);
            shared = Shared { state: end, ..Shared::default() };
            continue;
        }
        let mut given: Vec<(String, Vec<u8>)> = Vec::new();
        for shard in 0..rounds.shards {
            let fate = accident(round, shard);
            let residual = residuals.remove(&shard);
            if fate == Accident::Lost {
                continue;
            }
            let mut end = only(job(whole.shard((round, shard), falls), Some(&state))?);
            if let Accident::Poisoned { times } = fate {
                end = displaced(&state, &end, times)?;
            }
            if rounds.deltas == Deltas::Int8 {
                let said = delta::of_shard(&state, residual.as_deref(), &end)?;
                let mut said = said.into_iter().map(|named| named.bytes);
                end = said.next().unwrap_or_default();
                residuals.extend(said.next().map(|residual| (shard, residual)));
            }
            given.push((format!("shards[{}]", shard + 1), end));
        }
        shared = shared.merged(rounds, &given)?;
    }
    let state = delta::plain(&shared.state)?;
    job(rounds.finish(), Some(&state))
}

/// What the merges of a training have given so far.
#[derive(Default)]
struct Shared {
    state: Vec<u8>,
    ways: Option<Vec<u8>>,
}

impl Shared {
    fn merged(&self, rounds: &Rounds, given: &[(String, Vec<u8>)]) -> Result<Self, Fault> {
        let shards = given.iter().map(|(name, state)| (name.as_str(), state.as_slice()));
        let shards: Vec<_> = shards.collect();
        let done = match rounds.deltas {
            Deltas::Whole => merge::run(&rounds.merge, &self.state, &shards)?,
            Deltas::Int8 => {
                merge::run_deltas(&rounds.merge, &self.state, self.ways.as_deref(), &shards)?
            }
        };
        let mut outputs = done.outputs.into_iter().map(|named| named.bytes);
        Ok(Self { state: outputs.next().unwrap_or_default(), ways: outputs.next() })
    }
}

fn only(done: Done) -> Vec<u8> {
    done.outputs.into_iter().next().map_or_else(Vec::new, |Named { bytes, .. }| bytes)
}

/// What a training came to, as the mean over the seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What was trained, and how.
    pub name: &'static str,
    /// Loss on the rows that were held out; infinite where the training diverged.
    pub loss: f64,
    /// The share of them that is read right; 0 where it diverged, and of a text.
    pub accuracy: f64,
    /// The learning rate with which the loss is least.
    pub lr: f64,
}

/// What is trained: a perceptron on a table, or a small decoder on the letters of a text.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    table: &'a Table,
    spec: &'a Train,
    /// Rounds of [`LOCAL_STEPS`] each.
    rounds: u32,
    /// Each trial is given the one that is best for it.
    rates: &'a [f64],
    seeds: u64,
    cases: &'a [Case],
}

const LOCAL_STEPS: u32 = 20;

/// Two of eight go five times as far in the wrong direction.
const fn poisoned(_: u64, _: u32, shard: u32, _: u32) -> Accident {
    match shard {
        2 | 5 => Accident::Poisoned { times: -5.0 },
        _ => Accident::None,
    }
}

/// A quarter of the states of every round, by lot.
fn lost(seed: u64, round: u32, shard: u32, of: u32) -> Accident {
    let lots = Philox::new(seed, purpose::SYNTHETIC, round).permutation(of);
    let is_drawn = lots.iter().take(of as usize / 4).any(|lot| *lot == shard);
    if is_drawn { Accident::Lost } else { Accident::None }
}

const fn safe(_: u64, _: u32, _: u32, _: u32) -> Accident {
    Accident::None
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    shards: u32,
    merge: Merge,
    /// Rounds that one learns alone.
    alone: u32,
    deltas: Deltas,
    /// What happens to whom: by seed, round and shard, of so many.
    accident: fn(u64, u32, u32, u32) -> Accident,
}

const MEAN: Merge = Merge { rule: Rule::Mean, quorum: 1, lr: 1.0, momentum: 0.0 };
const TRIMMED: Merge = Merge { rule: Rule::TrimmedMean { trim: 2 }, ..MEAN };
const MEDIAN: Merge = Merge { rule: Rule::Median, ..MEAN };
const OUTER: Merge = Merge { lr: 0.7, momentum: 0.9, ..MEAN };
/// Chosen on a text by a seed that is none of those here: see docs/benchmarks.md.
const CHOSEN: Merge = Merge { lr: 0.5, momentum: 0.9, ..MEAN };
const ALONE: u32 = 10;

const fn case(name: &'static str, shards: u32, merge: Merge) -> Case {
    Case { name, shards, merge, alone: 0, deltas: Deltas::Whole, accident: safe }
}

/// One shard whose whole way is gone takes the steps of a training in one piece. So the first is
/// synchronous data parallelism: as many gradients are merged at every step.
const CASES: [Case; 18] = [
    case("synchronous", 1, MEAN),
    case("4 shards", 4, MEAN),
    case("8 shards", 8, MEAN),
    Case { deltas: Deltas::Int8, ..case("4 shards, int8", 4, MEAN) },
    Case { deltas: Deltas::Int8, ..case("8 shards, int8", 8, MEAN) },
    case("4 shards, outer momentum", 4, OUTER),
    case("8 shards, outer momentum", 8, OUTER),
    // Synchronous too, with the outer momentum that shards have behind their first rounds.
    Case { alone: ALONE, ..case("one shard, first alone", 1, CHOSEN) },
    Case { alone: ALONE, ..case("4 shards, first alone", 4, CHOSEN) },
    Case { alone: ALONE, ..case("8 shards, first alone", 8, CHOSEN) },
    Case { alone: ALONE, deltas: Deltas::Int8, ..case("4 shards, first alone, int8", 4, CHOSEN) },
    Case { alone: ALONE, deltas: Deltas::Int8, ..case("8 shards, first alone, int8", 8, CHOSEN) },
    case("8 shards, trimmed mean", 8, TRIMMED),
    Case { accident: lost, ..case("4 shards, a quarter lost", 4, MEAN) },
    Case { accident: lost, ..case("8 shards, a quarter lost", 8, MEAN) },
    Case { accident: poisoned, ..case("8 shards, 2 poisoned", 8, MEAN) },
    Case { accident: poisoned, ..case("8 shards, 2 poisoned, trimmed mean", 8, TRIMMED) },
    Case { accident: poisoned, ..case("8 shards, 2 poisoned, median", 8, MEDIAN) },
];

/// Trains a perceptron on a table whose column `target` is a class, a fifth of it being held out:
/// in parallel and synchronously, from the same number of rows. The first trial is synchronous.
pub fn parallel(table: &Table, target: &str) -> Result<Vec<Trial>, Fault> {
    let rates = [0.0003, 0.001, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03];
    let spec = perceptron(target);
    // Of its 18 rounds those alone would be more than half.
    let cases: Vec<Case> = CASES.into_iter().filter(|case| case.alone == 0).collect();
    trials(Subject { table, spec: &spec, rounds: 18, rates: &rates, seeds: 10, cases: &cases })
}

/// The same of a decoder on the letters of a text, of which a tenth is held out.
pub fn parallel_text(text: &str) -> Result<Vec<Trial>, Fault> {
    let known: BTreeSet<char> = text.chars().collect();
    let known: BTreeMap<char, usize> = known.into_iter().zip(0..).collect();
    let mut csv = "token\n".to_owned();
    for letter in text.chars() {
        // Writing to a string does not fail.
        let _ = writeln!(csv, "{}", known.get(&letter).copied().unwrap_or_default());
    }
    let table = Table::from_csv(csv.as_bytes())?;
    let (spec, rates) = (decoder(), [0.003, 0.006, 0.009, 0.012]);
    // Only those that a target is about: each takes minutes.
    let all = CASES.into_iter().filter(|case| !case.name.contains("momentum"));
    let cases: Vec<Case> = all.filter(|case| !case.name.contains("median")).collect();
    trials(Subject {
        table: &table,
        spec: &spec,
        rounds: 50,
        rates: &rates,
        seeds: 3,
        cases: &cases,
    })
}

fn trials(subject: Subject<'_>) -> Result<Vec<Trial>, Fault> {
    subject.cases.iter().map(|case| best(subject, *case)).collect()
}

/// What learns from 64 rows at once, over all shards together.
fn perceptron(target: &str) -> Train {
    Train {
        task: Task::Classification,
        model: Model::Mlp { hidden: vec![64], activation: Activation::Relu },
        targets: vec![target.to_owned()],
        features: None,
        class_weights: ClassWeights::Even,
        epochs: 0,
        batch: 64,
        mode: Mode::Exact,
        accumulate: 1,
        optimizer: adamw(0.0),
        schedule: Schedule::CONSTANT,
        clip: None,
        validation: Some(0.2),
        early_stopping: None,
        seed: 0,
        scaling: Scaling::Standard,
        part: Part::WHOLE,
        parallel: None,
        segments: 8,
    }
}

/// What learns from 32 rows of 32 tokens at once.
fn decoder() -> Train {
    let gpt = Gpt {
        blocks: 2,
        heads: 2,
        width: 32,
        context: 32,
        positions: Positions::Learned,
        tied: true,
        dropout: 0.0,
        norm: Norm::Layer,
    };
    Train {
        task: Task::Language,
        model: Model::Gpt(gpt),
        batch: 32,
        clip: Some(1.0),
        validation: Some(0.1),
        scaling: Scaling::None,
        ..perceptron("token")
    }
}

const fn adamw(lr: f64) -> Optimizer {
    Optimizer::AdamW { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
}

/// The trial with the learning rate that is best for it.
fn best(subject: Subject<'_>, case: Case) -> Result<Trial, Fault> {
    let Case { name, shards, merge, alone, deltas, accident } = case;
    let mut best = Trial { name, loss: f64::INFINITY, accuracy: 0.0, lr: 0.0 };
    let rounds = Rounds {
        shards,
        rounds: subject.rounds,
        local_steps: LOCAL_STEPS,
        merge,
        grace_ms: None,
        deltas,
        alone,
    };
    for &lr in subject.rates {
        let (mut loss, mut accuracy) = (0.0, 0.0);
        for seed in 1..=subject.seeds {
            let batch = subject.spec.batch / shards;
            let spec = Train { seed, batch, optimizer: adamw(lr), ..subject.spec.clone() };
            let lesson = Lesson::new(&spec, subject.table, None)?;
            let befalls = |round, shard| accident(seed, round, shard, shards);
            // A training that diverges fails.
            let (lost, right) = match rehearse(&spec, &rounds, &lesson, &befalls) {
                Ok(done) => (validated(&done), accuracy_of(&done, &lesson)?),
                Err(_) => (f64::INFINITY, 0.0),
            };
            loss += lost / subject.seeds as f64;
            accuracy += right / subject.seeds as f64;
        }
        if loss < best.loss || best.lr == 0.0 {
            best = Trial { name, loss, accuracy, lr };
        }
    }
    Ok(best)
}

fn validated(done: &Done) -> f64 {
    let mut metrics = done.metrics.iter();
    metrics.find(|(name, _)| name == "validationLoss").map_or(f64::INFINITY, |(_, loss)| *loss)
}

/// The share of the rows that validate which the model reads right.
fn accuracy_of(done: &Done, lesson: &Lesson) -> Result<f64, Fault> {
    let model = done.outputs.first().map_or(&[][..], |model| &model.bytes);
    let model = Predictor::from_bytes(model)?;
    let Some(Examples { values, truth: Truth::Classes { classes, of }, .. }) = &lesson.validation
    else {
        return Ok(0.0);
    };
    let outputs = model.raw_outputs(&values.all()?, of.len())?;
    let rows = outputs.chunks(classes.len().max(1)).zip(of);
    let is_right = |(row, label): &(&[f32], &u32)| {
        let own = row.get(**label as usize).copied().unwrap_or(f32::NEG_INFINITY);
        row.iter().all(|output| *output <= own)
    };
    Ok(rows.filter(is_right).count() as f64 / of.len().max(1) as f64)
}
