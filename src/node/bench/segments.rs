//! What the checkpoints of a training cost: the same steps with as few segments as they are worth,
//! and with one. Never measures an audit, which is what they are for.

use super::{BenchError, Clock, Measurement, Scratch, detail, median};
use crate::compute::bench::Learner;
use crate::compute::kernel::Engine;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::table::Table;
use crate::compute::{self, Ended, Machine, Named};
use crate::domain::cost::{self, Shape};
use crate::domain::job::{
    ClassWeights, Mode, Optimizer, Part, Scaling, Schedule, Spec, Task, Train,
};
use crate::effects::artifacts::Artifacts;
use crate::node::work::Shelf;
use std::fmt::Write as _;
use std::sync::Arc;

/// Turns, of which the medians count.
const TURNS: usize = 5;
/// Segments that are compared with one: the fewest that a plan makes where steps are worth it.
const SEGMENTS: u32 = 8;
/// Rows of features to learn from, and characters.
const ROWS: usize = 2_048;
const CHARACTERS: usize = 12 * 64 * 16 + 1;
const FEATURES: usize = 784;
const TOKENS: u32 = 65;

/// The share of a training that its checkpoints take, in percent: made, hashed and stored durably.
pub fn segments(learner: Learner, threads: usize) -> Result<Measurement, BenchError> {
    let scratch = Scratch::new();
    let runtime = tokio::runtime::Runtime::new().map_err(BenchError::Scratch)?;
    let table = rows(learner)?;
    let inputs = [Named { name: "data".to_owned(), bytes: table.to_bytes() }];
    let shape = Shape {
        rows: table.rows() as u64,
        columns: table.columns().len() as u64,
        tokens: if learner.reads_characters() { u64::from(TOKENS) } else { 0 },
        ..Shape::NONE
    };
    let train = worth(learner, shape);
    let machine = Machine::Exact(Engine::new(threads));
    let turn = |segments: u32| -> Result<(f64, f64), BenchError> {
        let store = Arc::new(Artifacts::open(&scratch.0)?);
        let mut shelf = Shelf::new(store, runtime.handle().clone());
        let spec = Spec::Train(Train { segments, ..train.clone() });
        let clock = Clock::start();
        let mut keep = |state| shelf.put(state);
        compute::job::run(&machine, &spec, &inputs, &mut |_| (), &mut keep).map_err(|ended| {
            match ended {
                Ended::Failed(fault) => BenchError::Fault(fault),
                Ended::Unkept(error) => BenchError::Artifact(error),
            }
        })?;
        let (digests, bytes) = shelf.close()?;
        let seconds = clock.seconds();
        // What is there already would be stored for nothing.
        std::fs::remove_dir_all(&scratch.0).map_err(BenchError::Scratch)?;
        Ok((seconds, bytes as f64 / digests.len().max(1) as f64))
    };
    turn(1)?;
    let (mut many, mut one, mut bytes) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..TURNS {
        let (seconds, state) = turn(SEGMENTS)?;
        many.push(seconds);
        bytes = state;
        one.push(turn(1)?.0);
    }
    let (many, one) = (median(many), median(one));
    // One segment has a state at its beginning and one at its end.
    let state = (many - one) / f64::from(SEGMENTS - 1);
    let share = state * f64::from(SEGMENTS) / (many - state * f64::from(SEGMENTS + 1)) * 100.0;
    let detail = detail(&[
        ("secondsWithEight", many),
        ("secondsWithOne", one),
        ("stateMib", bytes / 1_048_576.0),
        ("nanosecondsPerByte", state * 1e9 / bytes),
        ("epochs", f64::from(train.epochs)),
        ("threads", threads as f64),
    ]);
    Ok(Measurement { name: "segments", value: share, unit: "%", baseline: None, detail })
}

/// The shortest training for which a plan makes so many segments because they are worth it.
fn worth(learner: Learner, shape: Shape) -> Train {
    let language = learner.reads_characters();
    let of = |epochs| Train {
        task: if language { Task::Language } else { Task::Classification },
        model: learner.model(),
        targets: vec![if language { "token" } else { "class" }.to_owned()],
        features: None,
        class_weights: ClassWeights::Even,
        epochs,
        batch: if language { 12 } else { 128 },
        accumulate: 1,
        optimizer: Optimizer::AdamW {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
        },
        schedule: Schedule::CONSTANT,
        clip: None,
        validation: None,
        early_stopping: None,
        seed: 1,
        scaling: Scaling::None,
        part: Part::WHOLE,
        parallel: None,
        segments: 1,
        mode: Mode::Exact,
    };
    // The next one more is the first that is worth its checkpoints.
    let is_worth = |epochs: &u32| cost::segments(&of(*epochs), &[shape]) > SEGMENTS;
    let epochs = (1..=10_000).find(is_worth).unwrap_or(10_000);
    of(epochs.saturating_sub(1).max(1))
}

/// Rows that nothing can be learned from: how long it takes does not depend on it.
fn rows(learner: Learner) -> Result<Table, BenchError> {
    let dice = Philox::new(1, purpose::SYNTHETIC, 0);
    let mut csv = String::new();
    // Writing to a string does not fail.
    if learner.reads_characters() {
        csv.push_str("token\n");
        for place in 0..CHARACTERS {
            // All of them occur.
            let _ = writeln!(csv, "{}", dice.word(place as u64 + 7) % TOKENS);
        }
        return Ok(Table::from_csv(csv.as_bytes())?);
    }
    for feature in 0..FEATURES {
        let _ = write!(csv, "p{feature},");
    }
    csv.push_str("class\n");
    for row in 0..ROWS {
        for feature in 0..FEATURES {
            let _ = write!(csv, "0.{:03},", dice.word((row * FEATURES + feature) as u64) % 1_000);
        }
        let _ = writeln!(csv, "c{}", row % 10);
    }
    Ok(Table::from_csv(csv.as_bytes())?)
}
