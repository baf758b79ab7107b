//! What a training takes of memory at its most, before it is run.
//! Never tells where it is the data that decides: other jobs, and texts whose tokens nobody knows
//! before they are read.

use super::train::{copies, features, size};
use super::{CLASSES_ASSUMED, Shape};
use crate::domain::job::{Gpt, Image, Model, Parallel, Spec, Task, Train};

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Classes that a bound allows for: nobody knows before how many there are.
const CLASSES_MAX: u64 = 1_000;
/// Bytes that a bound leaves for what no shape tells: buffers of kernels, tables of names.
const SPARE: u64 = 64 << 20;
/// Numbers of a row in a block of attention for each of its width: norms, queries, keys, values,
/// what is seen, four times the width twice, sums, and gradients of the widest.
const OF_A_BLOCK: u64 = 24;
/// Rows that are validated at once, and numbers of all of them, at the most.
const ROWS_AT_ONCE: u64 = 256;
const NUMBERS_AT_ONCE: u64 = 16 << 20;

/// What a job takes of memory at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Bytes, about.
    pub estimate: u64,
    /// More than these is more than an honest estimate can be wrong by: the bound where the
    /// manifest gives none.
    pub bound: u64,
}

/// Twice the estimate with many classes, and some: a table of numbers with another layout, a path
/// with wider buffers and more threads all fit into that.
pub(super) fn estimate(spec: &Spec, inputs: &[Shape]) -> Option<Memory> {
    let Spec::Train(train) = spec else { return None };
    let data = inputs.first().copied().unwrap_or_default();
    if train.model.reads_tokens() && data.tokens == 0 {
        return None;
    }
    let many = CLASSES_MAX.min(data.rows.max(CLASSES_ASSUMED));
    let bound = most(train, inputs, many).saturating_mul(2).saturating_add(SPARE);
    Some(Memory { estimate: most(train, inputs, CLASSES_ASSUMED), bound })
}

fn most(train: &Train, inputs: &[Shape], classes: u64) -> u64 {
    let data = inputs.first().copied().unwrap_or_default();
    let (_, parameters) = size(train, data, classes);
    // Learned from: as bytes, joined, as a table and as numbers, twice while they are scaled.
    let read = inputs.iter().fold(0u64, |sum, shape| sum.saturating_add(shape.bytes));
    let rows = inputs.iter().fold(0u64, |sum, shape| sum.saturating_add(shape.rows));
    let values = rows.saturating_mul(features(train, data)).saturating_mul(2);
    // What learns; the state that it began from, one that is written and one that is stored, the
    // same as an output. And gradients, twice where they are summed up.
    let gradients = if train.accumulate > 1 { 2 } else { 1 };
    let learning = parameters.saturating_mul(4 * copies(train) + gradients);
    let validates = train.validation.is_some() || inputs.iter().skip(1).any(|i| i.rows > 0);
    let row = of_a_row(train, data, classes);
    let batch = u64::from(train.batch.div_ceil(train.accumulate.max(1)));
    let piece = batch.min(places(train, data.rows)).saturating_mul(row);
    let validated = match validates && !matches!(train.parallel, Some(Parallel::Shard(_))) {
        true => ROWS_AT_ONCE.saturating_mul(row).min(NUMBERS_AT_ONCE.max(row)),
        false => 0,
    };
    let numbers = [values, learning, piece.max(validated)];
    let numbers = numbers.into_iter().fold(0, u64::saturating_add);
    read.saturating_mul(3).saturating_add(numbers.saturating_mul(NUMBER))
}

/// Rows of a batch that there can be at the most.
fn places(train: &Train, rows: u64) -> u64 {
    match &train.model {
        Model::Gpt(gpt) => rows.div_ceil(u64::from(gpt.context.max(1))).max(1),
        _ => rows.max(1),
    }
}

/// Numbers that a row is on its way through the model, and their gradients.
fn of_a_row(train: &Train, data: Shape, classes: u64) -> u64 {
    let features = features(train, data);
    let outputs = match train.task {
        Task::Classification => classes,
        Task::Regression => 1,
        Task::MultiLabel => train.targets.len() as u64,
        Task::Language => data.tokens,
    };
    let hidden = train.model.hidden().iter().fold(outputs, |sum, width| sum + u64::from(*width));
    match &train.model {
        Model::Gpt(gpt) => of_a_context(gpt, data.tokens),
        Model::Cnn(cnn) => {
            let images = cnn.images().unwrap_or_default();
            let of = |(given, whole, left): &(Image, Image, Image)| {
                given.len() + 2 * whole.len() + left.len()
            };
            images.iter().fold(2 * hidden, |sum, image| sum.saturating_add(2 * of(image)))
        }
        Model::Reader(reader) => {
            let (width, blocks) = (u64::from(reader.width), u64::from(reader.blocks));
            let looks = u64::from(reader.heads).saturating_mul(features);
            let place = (OF_A_BLOCK * width).saturating_add(looks);
            place.saturating_mul(blocks + 1).saturating_mul(features).saturating_add(2 * hidden)
        }
        Model::Text { width, .. } => {
            features.saturating_mul(u64::from(*width)).saturating_add(2 * hidden)
        }
        _ => 2 * features.saturating_add(hidden),
    }
}

fn of_a_context(gpt: &Gpt, tokens: u64) -> u64 {
    let (width, blocks) = (u64::from(gpt.width), u64::from(gpt.blocks));
    let looks = u64::from(gpt.heads).saturating_mul(u64::from(gpt.context));
    let place = (OF_A_BLOCK * width).saturating_add(looks).saturating_mul(blocks + 1);
    let fits = tokens.saturating_mul(4);
    place.saturating_add(fits).saturating_mul(u64::from(gpt.context))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cost::estimate as sizes;
    use crate::domain::cost::train::tests::{DATA, linear};
    use crate::domain::job::{Activation, Noop};

    fn of(train: Train, data: Shape) -> Option<Memory> {
        sizes(&Spec::Train(train), &[data]).0.memory
    }

    fn wide(width: u32) -> Train {
        let model = Model::Mlp { hidden: vec![width], activation: Activation::Relu };
        Train { model, ..linear(Task::Regression, &["y"]) }
    }

    #[test]
    fn a_wide_network_takes_its_states_and_a_bound_is_more_than_twice_that() {
        // 11 + 1 parameters for each of the width, each in a value, a moment and its gradient.
        let least = 12 * 1_000_000 * 4 * 3;
        let memory = of(wide(1_000_000), DATA).unwrap();
        assert!((least..4 * least).contains(&memory.estimate), "{memory:?}");
        assert!(memory.bound >= 2 * memory.estimate + SPARE, "{memory:?}");
        // A bound allows for classes that nobody has counted, an estimate does not.
        let classes = Train { task: Task::Classification, ..wide(100_000) };
        let memory = of(classes, DATA).unwrap();
        assert!(memory.bound > 20 * memory.estimate, "{memory:?}");
    }

    #[test]
    fn a_batch_counts_up_to_the_rows_that_there_are_and_in_the_pieces_that_it_is_taken_in() {
        let by = |batch, accumulate| {
            let train = Train { batch, accumulate, ..wide(1_000) };
            of(train, DATA).unwrap().estimate
        };
        assert!(by(100, 1) < by(1_000, 1));
        assert_eq!(by(1_000, 1), by(100_000, 1));
        assert!(by(1_000, 10) < by(1_000, 1));
    }

    #[test]
    fn nothing_is_said_of_what_the_data_decides() {
        let model = Model::Text { width: 4, hidden: vec![6], activation: Activation::Relu };
        let text = Train { model, ..linear(Task::Regression, &["y"]) };
        assert_eq!(of(text.clone(), DATA), None);
        assert!(of(text, Shape { tokens: 300, ..DATA }).is_some());
        assert_eq!(sizes(&Spec::Noop(Noop { tag: 1 }), &[DATA]).0.memory, None);
    }
}
