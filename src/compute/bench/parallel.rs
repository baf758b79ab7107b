//! What a training in parallel is worth: all of its jobs one after another, with accidents on the
//! way, against the same training in one piece, synchronously. Never measures time.

use crate::compute::examples::{Examples, Truth};
use crate::compute::kernel::Engine;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::predictor::Predictor;
use crate::compute::state::displaced;
use crate::compute::table::Table;
use crate::compute::train::{self, Lesson};
use crate::compute::{Done, Ended, Fault, Named, forget, merge};
use crate::domain::job::{
    Activation, ClassWeights, Decay, Gpt, Merge, Model, Norm, Optimizer, Parallel, Part, Positions,
    Rounds, Rule, Scaling, Schedule, Task, Train,
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
    let job = |parallel, state: Option<&[u8]>| {
        let spec = Train { parallel: Some(parallel), ..train.clone() };
        let engine = Engine::default();
        let done = train::run(engine, &spec, lesson, state, &mut |_| (), &mut forget);
        done.map_err(Ended::fault)
    };
    let falls = train.schedule.decay != Decay::Constant;
    let mut shared = only(job(Parallel::Start, None)?);
    for round in 0..rounds.rounds {
        let mut given: Vec<(String, Vec<u8>)> = Vec::new();
        for shard in 0..rounds.shards {
            let place = format!("shards[{}]", shard + 1);
            let run = || job(rounds.shard((round, shard), falls), Some(&shared)).map(only);
            match accident(round, shard) {
                Accident::None => given.push((place, run()?)),
                Accident::Lost => {}
                Accident::Poisoned { times } => {
                    given.push((place, displaced(&shared, &run()?, times)?));
                }
            }
        }
        let shards = given.iter().map(|(name, state)| (name.as_str(), state.as_slice()));
        shared = only(merge::run(&rounds.merge, &shared, &shards.collect::<Vec<_>>())?);
    }
    job(rounds.finish(), Some(&shared))
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

/// A name, shards, how they are merged, and what happens to whom (by seed, round and shard, of so
/// many).
type Case = (&'static str, u32, Merge, fn(u64, u32, u32, u32) -> Accident);

const MEAN: Merge = Merge { rule: Rule::Mean, quorum: 1, lr: 1.0, momentum: 0.0 };
const TRIMMED: Merge = Merge { rule: Rule::TrimmedMean { trim: 2 }, ..MEAN };
const MEDIAN: Merge = Merge { rule: Rule::Median, ..MEAN };
const OUTER: Merge = Merge { lr: 0.7, momentum: 0.9, ..MEAN };

/// One shard whose whole way is gone takes the steps of a training in one piece. So the first is
/// synchronous data parallelism: as many gradients are merged at every step.
const CASES: [Case; 11] = [
    ("synchronous", 1, MEAN, safe),
    ("4 shards", 4, MEAN, safe),
    ("8 shards", 8, MEAN, safe),
    ("4 shards, outer momentum", 4, OUTER, safe),
    ("8 shards, outer momentum", 8, OUTER, safe),
    ("8 shards, trimmed mean", 8, TRIMMED, safe),
    ("4 shards, a quarter lost", 4, MEAN, lost),
    ("8 shards, a quarter lost", 8, MEAN, lost),
    ("8 shards, 2 poisoned", 8, MEAN, poisoned),
    ("8 shards, 2 poisoned, trimmed mean", 8, TRIMMED, poisoned),
    ("8 shards, 2 poisoned, median", 8, MEDIAN, poisoned),
];

/// Trains a perceptron on a table whose column `target` is a class, a fifth of it being held out:
/// in parallel and synchronously, from the same number of rows. The first trial is synchronous.
pub fn parallel(table: &Table, target: &str) -> Result<Vec<Trial>, Fault> {
    let rates = [0.0003, 0.001, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03];
    let spec = perceptron(target);
    trials(Subject { table, spec: &spec, rounds: 18, rates: &rates, seeds: 10, cases: &CASES })
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
    let (spec, rates) = (decoder(), [0.003, 0.006, 0.012]);
    // Only those that a target is about: each takes minutes.
    let all = CASES.into_iter().filter(|(name, ..)| !name.contains("momentum"));
    let cases: Vec<Case> = all.filter(|(name, ..)| !name.contains("median")).collect();
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
fn best(subject: Subject<'_>, (name, shards, merge, accident): Case) -> Result<Trial, Fault> {
    let mut best = Trial { name, loss: f64::INFINITY, accuracy: 0.0, lr: 0.0 };
    let rounds =
        Rounds { shards, rounds: subject.rounds, local_steps: LOCAL_STEPS, merge, grace_ms: None };
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
    let outputs = model.raw_outputs(values, of.len())?;
    let rows = outputs.chunks(classes.len().max(1)).zip(of);
    let is_right = |(row, label): &(&[f32], &u32)| {
        let own = row.get(**label as usize).copied().unwrap_or(f32::NEG_INFINITY);
        row.iter().all(|output| *output <= own)
    };
    Ok(rows.filter(is_right).count() as f64 / of.len().max(1) as f64)
}
