//! What a training in parallel is worth: all of its jobs one after another, with accidents on the
//! way, against the same training in one piece. Never measures time.

use crate::compute::examples::{Examples, Truth};
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::predictor::Predictor;
use crate::compute::state::displaced;
use crate::compute::table::Table;
use crate::compute::train::{self, Lesson};
use crate::compute::{Done, Fault, Named, merge};
use crate::domain::job::{
    Activation, ClassWeights, Decay, Merge, Model, Optimizer, Parallel, Part, Rounds, Rule,
    Scaling, Schedule, Task, Train,
};

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
        train::run(&spec, lesson, state, &mut |_| ())
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
    /// The share of them that is read right; 0 where it diverged.
    pub accuracy: f64,
    /// The learning rate with which the loss is least.
    pub lr: f64,
}

/// Rows that are learned from at once, by all shards together.
const AT_ONCE: u32 = 64;
const ROUNDS: u32 = 18;
const LOCAL_STEPS: u32 = 20;
const SEEDS: [u64; 3] = [1, 2, 3];
const RATES: [f64; 5] = [0.0001, 0.0003, 0.001, 0.003, 0.01];

/// Two of eight go five times as far in the wrong direction.
const fn poisoned(_: u64, _: u32, shard: u32) -> Accident {
    match shard {
        2 | 5 => Accident::Poisoned { times: -5.0 },
        _ => Accident::None,
    }
}

/// A quarter of all states, by lot.
fn lost(seed: u64, round: u32, shard: u32) -> Accident {
    let die = Philox::new(seed, purpose::SYNTHETIC, round).word(u64::from(shard));
    if die.is_multiple_of(4) { Accident::Lost } else { Accident::None }
}

const fn safe(_: u64, _: u32, _: u32) -> Accident {
    Accident::None
}

/// A name, shards, a rule, and what happens to whom (by seed, round and shard).
type Case = (&'static str, u32, Rule, fn(u64, u32, u32) -> Accident);

const CASES: [Case; 10] = [
    ("1 shard", 1, Rule::Mean, safe),
    ("4 shards", 4, Rule::Mean, safe),
    ("8 shards", 8, Rule::Mean, safe),
    ("8 shards, trimmed mean", 8, Rule::TrimmedMean { trim: 2 }, safe),
    ("8 shards, median", 8, Rule::Median, safe),
    ("4 shards, a quarter lost", 4, Rule::Mean, lost),
    ("8 shards, a quarter lost", 8, Rule::Mean, lost),
    ("8 shards, 2 poisoned", 8, Rule::Mean, poisoned),
    ("8 shards, 2 poisoned, trimmed mean", 8, Rule::TrimmedMean { trim: 2 }, poisoned),
    ("8 shards, 2 poisoned, median", 8, Rule::Median, poisoned),
];

/// Trains a perceptron on a table whose column `target` is a class, in one piece and in parallel,
/// from the same number of rows, a fifth of the table being held out. Each is given the learning
/// rate of [`RATES`] that is best for it. The first trial is the one in one piece.
pub fn parallel(table: &Table, target: &str) -> Result<Vec<Trial>, Fault> {
    let spec = perceptron(target);
    let rows = Lesson::new(&spec, table, None)?.rows.rows() as u64;
    let in_all = u64::from(AT_ONCE) * u64::from(ROUNDS * LOCAL_STEPS);
    let epochs = u32::try_from((in_all + rows / 2) / rows).unwrap_or(1).max(1);
    let whole = Train { epochs, batch: AT_ONCE, ..spec.clone() };
    let mut trials = vec![best("in one piece", table, &whole, &|train, lesson| {
        train::run(train, lesson, None, &mut |_| ())
    })?];
    for (name, shards, rule, accident) in CASES {
        let merge = Merge { rule, quorum: 1, lr: 0.7, momentum: 0.9 };
        let rounds = Rounds { shards, rounds: ROUNDS, local_steps: LOCAL_STEPS, merge };
        let shard = Train { batch: AT_ONCE / shards, epochs: 0, ..spec.clone() };
        let trial = best(name, table, &shard, &|train, lesson| {
            rehearse(train, &rounds, lesson, &|round, shard| accident(train.seed, round, shard))
        })?;
        trials.push(trial);
    }
    Ok(trials)
}

fn perceptron(target: &str) -> Train {
    Train {
        task: Task::Classification,
        model: Model::Mlp { hidden: vec![64], activation: Activation::Relu },
        targets: vec![target.to_owned()],
        features: None,
        class_weights: ClassWeights::Even,
        epochs: 1,
        batch: AT_ONCE,
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
    }
}

const fn adamw(lr: f64) -> Optimizer {
    Optimizer::AdamW { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
}

/// The trial with the learning rate that is best for it.
fn best(
    name: &'static str,
    table: &Table,
    spec: &Train,
    run: &dyn Fn(&Train, &Lesson) -> Result<Done, Fault>,
) -> Result<Trial, Fault> {
    let mut best = Trial { name, loss: f64::INFINITY, accuracy: 0.0, lr: 0.0 };
    for lr in RATES {
        let (mut loss, mut accuracy) = (0.0, 0.0);
        for seed in SEEDS {
            let spec = Train { seed, optimizer: adamw(lr), ..spec.clone() };
            let lesson = Lesson::new(&spec, table, None)?;
            // A training that diverges fails.
            let (lost, right) = match run(&spec, &lesson) {
                Ok(done) => (validated(&done), accuracy_of(&done, &lesson)?),
                Err(_) => (f64::INFINITY, 0.0),
            };
            loss += lost / SEEDS.len() as f64;
            accuracy += right / SEEDS.len() as f64;
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
