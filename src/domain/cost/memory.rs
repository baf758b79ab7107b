//! What a job takes of memory at its most, before it is run.
//! Never tells of a network or a model that nobody has looked into before.

use super::train::{TOKENS_ASSUMED, copies, features, size};
use super::{CLASSES_ASSUMED, Shape, Way, transform};
use crate::base::limits::ROWS_IN_MEMORY_BYTES;
use crate::domain::job::{Gpt, Image, Model, Parallel, Predict, Spec, Task, Train, VOCABULARY_MAX};

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Classes that a bound allows for: nobody knows before how many there are.
pub(super) const CLASSES_MAX: u64 = 1_000;
/// Bytes that a bound leaves for what no shape tells: buffers of kernels, tables of names.
const SPARE: u64 = 64 << 20;
/// Numbers of a row in a block of attention for each of its width: norms, queries, keys, values,
/// what is seen, four times the width twice, sums, and gradients of the widest.
const OF_A_BLOCK: u64 = 24;
/// Rows that are validated at once, and numbers of all of them, at the most.
const ROWS_AT_ONCE: u64 = 256;
const NUMBERS_AT_ONCE: u64 = 16 << 20;
/// Bytes of text that a frozen model has tokens of at once, and what a token takes for each byte.
const TEXT_BYTES_AT_ONCE: u64 = 16 << 20;
const OF_A_TOKEN: u64 = 80;
/// Bytes of a row that is heard by a model: of each feature, as a cell, as a number, scaled, and
/// as it grows; of each class, what is said of it and how likely it is, as these grow; and of what
/// is true of it, as text.
const OF_A_FEATURE: u64 = 20;
const OF_A_CLASS: u64 = 28;
const OF_A_TRUTH: u64 = 72;
/// Bytes of a token that is foretold: itself, as it grows, as a number, and the one behind it.
const OF_A_TOKEN_HEARD: u64 = 28;
/// Rows of tokens that are foretold at once.
const CONTEXTS_AT_ONCE: u64 = 64;
/// Bytes of a row that lies in a file: what is true of it, on which side it is held, and its place
/// in the order of an epoch, all as they grow; and of a label.
const OF_A_ROW_AWAY: u64 = 64;
const OF_A_LABEL_AWAY: u64 = 16;
/// Bytes of what reports and cards take, and for each of theirs what they are as trees.
const OF_PAPERS: u64 = 256 << 10;
const OF_A_BYTE_OF_A_REPORT: u64 = 24;

/// What a job takes of memory at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Bytes, about.
    pub estimate: u64,
    /// More than these is more than an honest estimate can be wrong by: the bound where the
    /// manifest gives none.
    pub bound: u64,
}

/// Twice the estimate with many classes and the largest inputs, and some: a table of numbers with
/// another layout, a path with wider buffers and more threads all fit into that.
pub(super) fn estimate(spec: &Spec, inputs: &[Shape], outputs: &[Shape]) -> Option<Memory> {
    let (estimate, most) = match spec {
        Spec::Train(train) => {
            let data = inputs.first().copied().unwrap_or_default();
            // A bound is one of the same place: if there may be more rows than about, they may as
            // well be in memory.
            let is_away = are_away(train, inputs);
            let of = |inputs: &[Shape], tokens, classes| {
                let known = |shape: &Shape| match shape.tokens {
                    0 => Shape { tokens, ..*shape },
                    _ => *shape,
                };
                let known: Vec<Shape> = inputs.iter().map(known).collect();
                of_training(train, &known, classes, is_away)
            };
            let most = of(&all_at_most(inputs), tokens_most(data), classes_most(data));
            (of(inputs, TOKENS_ASSUMED, CLASSES_ASSUMED), most)
        }
        _ => {
            let most = of_another(spec, &all_at_most(inputs), &all_at_most(outputs), true)?;
            (of_another(spec, inputs, outputs, false)?, most)
        }
    };
    let bound = most.max(estimate).saturating_mul(2).saturating_add(SPARE);
    Some(Memory { estimate, bound })
}

/// All as large as they may be at the most.
fn all_at_most(shapes: &[Shape]) -> Vec<Shape> {
    shapes.iter().map(|shape| shape.most()).collect()
}

/// Classes at the most of rows of which nobody has counted any.
pub(super) fn classes_most(data: Shape) -> u64 {
    CLASSES_MAX.min(data.most().rows.max(CLASSES_ASSUMED))
}

/// Different characters at the most of a table of them: no more than it has cells.
fn tokens_most(data: Shape) -> u64 {
    let data = data.most();
    let cells = data.rows.saturating_mul(data.columns);
    u64::from(VOCABULARY_MAX).min(cells.max(TOKENS_ASSUMED))
}

/// What a model takes to hear rows like those that it was trained on.
pub(super) fn way(train: &Train, data: Shape) -> Way {
    let known = |tokens| if data.tokens > 0 { data.tokens } else { tokens };
    let own = |data: Shape, classes| {
        let said = match train.task {
            Task::Classification => classes,
            Task::Regression => 1,
            Task::MultiLabel => train.targets.len() as u64,
            Task::Language => return OF_A_TOKEN_HEARD.saturating_mul(data.way.times.max(1)),
        };
        let heard = features(train, data).saturating_mul(OF_A_FEATURE);
        heard.saturating_add(said.saturating_mul(OF_A_CLASS)).saturating_add(OF_A_TRUTH)
    };
    let row = of_a_row(train, Shape { tokens: known(TOKENS_ASSUMED), ..data }, CLASSES_ASSUMED);
    // Nothing is learned: there are no gradients.
    let row = row.div_ceil(2);
    let rows = if train.task == Task::Language { CONTEXTS_AT_ONCE } else { ROWS_AT_ONCE };
    let batch = rows.saturating_mul(row).min(NUMBERS_AT_ONCE.max(row));
    let fits = match &train.model {
        // As they are given, and as they are put together.
        Model::Gpt(gpt) => known(TOKENS_ASSUMED)
            .saturating_mul(u64::from(gpt.context))
            .saturating_mul(2 * CONTEXTS_AT_ONCE),
        _ => 0,
    };
    let most = data.most();
    Way {
        times: data.way.times,
        row: data.way.row.saturating_add(own(data, CLASSES_ASSUMED)),
        row_most: most.way.row.saturating_add(own(most, classes_most(data))),
        batch: batch.saturating_add(fits).saturating_mul(NUMBER),
    }
}

/// What a job takes that is no training, where its inputs tell.
fn of_another(spec: &Spec, inputs: &[Shape], outputs: &[Shape], at_most: bool) -> Option<u64> {
    let bytes = |shapes: &[Shape]| shapes.iter().fold(0u64, |sum, s| sum.saturating_add(s.bytes));
    let shape = |shapes: &[Shape], at: usize| shapes.get(at).copied().unwrap_or_default();
    let (first, second, made) = (shape(inputs, 0), shape(inputs, 1), shape(outputs, 0));
    // Each: so many times so many bytes.
    let parts: Vec<(u64, u64)> = match spec {
        // Columns as they grow, the table, and its bytes as they grow.
        Spec::Ingest(_) => vec![(1, bytes(inputs)), (4, made.bytes)],
        // The table as bytes and as it is; each part likewise, and where its rows come from.
        Spec::Split(_) => vec![(3, first.bytes), (3, bytes(outputs)), (16, first.rows)],
        Spec::Transform(spec) => vec![(1, transform::memory(spec, first, second, at_most))],
        Spec::Evaluate(_) => return of_evaluation(inputs),
        Spec::Predict(spec) => return of_prediction(spec, inputs, made),
        // The model as bytes, as it is and as it is given.
        Spec::Export(_) => vec![(6, first.bytes), (3, second.bytes), (1, OF_PAPERS)],
        Spec::Compare(_) => vec![(OF_A_BYTE_OF_A_REPORT, bytes(inputs)), (1, OF_PAPERS)],
        // Weights as bytes, as they are and as they are turned; vectors as they grow, the cells
        // that they become, and the bytes of these.
        Spec::Embed(_) if second.bytes > 0 => {
            let numbers = made.rows.saturating_mul(second.columns);
            vec![(3, first.bytes), (3, second.bytes), (24, numbers)]
        }
        // A model as bytes, of which a layer and the head are made f32; a text as its tokens.
        Spec::Perplexity(_) if second.bytes > 0 => {
            let text = first.bytes.min(TEXT_BYTES_AT_ONCE);
            vec![(3, first.bytes), (OF_A_TOKEN, text), (3, second.bytes)]
        }
        Spec::Generate(_) => vec![(5, bytes(inputs)), (4, bytes(outputs))],
        // All states as bytes and as they are, and what is made of them twice.
        Spec::Merge(_) => vec![(2, bytes(inputs)), (3, bytes(outputs))],
        // Each shard's as it is: twelve bytes of a parameter, of which the state made has seven.
        Spec::MergeDeltas(_) => {
            let states = (inputs.len() as u64 + 1).saturating_mul(12);
            vec![(1, bytes(inputs)), (states, made.bytes / 7), (2, bytes(outputs))]
        }
        Spec::Train(_) | Spec::Noop(_) | Spec::Embed(_) | Spec::Perplexity(_) => return None,
    };
    Some(sum(parts))
}

fn sum(parts: Vec<(u64, u64)>) -> u64 {
    parts.into_iter().fold(0, |sum, (times, of)| sum.saturating_add(times.saturating_mul(of)))
}

/// All models as bytes and as they are, the rows likewise, and on their way to one model after the
/// other; the best is given.
fn of_evaluation(inputs: &[Shape]) -> Option<u64> {
    let data = inputs.iter().find(|shape| shape.rows > 0)?;
    // An encoder has columns to give, a model has none.
    let networks = inputs.iter().filter(|shape| shape.rows == 0);
    let bytes = networks.clone().fold(0u64, |sum, network| sum.saturating_add(network.bytes));
    let models = || networks.clone().filter(|network| network.columns == 0);
    let heard = models().map(|model| of_hearing(*model, *data)).collect::<Option<Vec<u64>>>()?;
    let best = models().map(|model| model.bytes).max()?;
    let heard = heard.into_iter().max()?;
    Some(sum(vec![(3, bytes), (3, data.bytes), (1, heard), (2, best), (1, OF_PAPERS)]))
}

/// The model and the rows as bytes and as they are, the rows on their way, and the table of what is
/// said, its bytes as they grow and as they are given.
fn of_prediction(spec: &Predict, inputs: &[Shape], made: Shape) -> Option<u64> {
    let [model, data, others @ ..] = inputs else { return None };
    let heard = of_hearing(*model, *data)?;
    let kept = if spec.keep.is_none() { data.bytes } else { 0 };
    let encoder = others.first().map_or(0, |encoder| encoder.bytes);
    let said = made.bytes.saturating_add(kept);
    Some(sum(vec![(3, model.bytes), (3, encoder), (3, data.bytes), (1, heard), (4, said)]))
}

/// Rows on their way to a model and through it; none where nobody knows the model.
fn of_hearing(model: Shape, data: Shape) -> Option<u64> {
    let raw = data.rows.div_ceil(data.way.times.max(1));
    let on_the_way = raw.saturating_mul(model.way.row);
    (model.way.batch > 0).then(|| on_the_way.saturating_add(model.way.batch))
}

/// Whether the rows of a training are too many for memory, so that they lie in a file.
fn are_away(train: &Train, inputs: &[Shape]) -> bool {
    let data = inputs.first().copied().unwrap_or_default();
    let of = |shape: &Shape| shape.rows.saturating_mul(features(train, data) * NUMBER);
    inputs.iter().any(|shape| of(shape) > ROWS_IN_MEMORY_BYTES)
}

/// What is read of a training, in bytes: its tables, and the rows of these as numbers.
fn of_rows(train: &Train, inputs: &[Shape], is_away: bool) -> u64 {
    let data = inputs.first().copied().unwrap_or_default();
    let rows = inputs.iter().fold(0u64, |sum, shape| sum.saturating_add(shape.rows));
    let values = |shape: &Shape| shape.rows.saturating_mul(features(train, data) * NUMBER);
    if !is_away {
        // As bytes, joined, as a table and as numbers, twice while they are scaled.
        let read = inputs.iter().fold(0u64, |sum, shape| sum.saturating_add(shape.bytes));
        let all = rows.saturating_mul(features(train, data) * NUMBER);
        return sum(vec![(3, read), (2, all)]);
    }
    // One table after the other likewise, and states; the numbers up to where they go into a file.
    let tables = || inputs.iter().filter(|shape| shape.rows > 0);
    let states = inputs.iter().filter(|shape| shape.rows == 0);
    let read = tables().map(|table| table.largest()).max().unwrap_or(0);
    let read = states.fold(read, |sum, state| sum.saturating_add(state.bytes));
    let held = tables().map(|table| values(table).min(ROWS_IN_MEMORY_BYTES));
    let held = held.fold(0, u64::saturating_add);
    let each = OF_A_ROW_AWAY + OF_A_LABEL_AWAY * train.targets.len() as u64;
    sum(vec![(3, read), (2, held), (each, rows)])
}

fn of_training(train: &Train, inputs: &[Shape], classes: u64, is_away: bool) -> u64 {
    let data = inputs.first().copied().unwrap_or_default();
    let (_, parameters) = size(train, data, classes);
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
    let numbers = learning.saturating_add(piece.max(validated));
    of_rows(train, inputs, is_away).saturating_add(numbers.saturating_mul(NUMBER))
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
    fn a_vocabulary_that_nobody_has_read_is_as_large_as_the_text_lets_it_be() {
        let model = Model::Text { width: 64, hidden: vec![6], activation: Activation::Relu };
        let text = Train { model, ..linear(Task::Regression, &["y"]) };
        let of = |rows| of(text.clone(), Shape { rows, ..DATA }).unwrap();
        // No more characters than the table has cells.
        let (few, many) = (of(1_000), of(10_000_000));
        let most = |tokens: u64| 2 * 3 * 4 * tokens * 64;
        assert!(few.bound > most(1_000 * 11) && few.bound < many.bound, "{few:?} {many:?}");
        assert!(many.bound > most(u64::from(VOCABULARY_MAX)), "{many:?}");
        assert_eq!(sizes(&Spec::Noop(Noop { tag: 1 }), &[DATA]).0.memory, None);
    }

    #[test]
    fn a_part_may_be_nearly_all_and_a_column_may_have_many_values() {
        use crate::domain::job::{Dealing, Embed, Mode, OneHot, Split, Step, Transform, Unknown};
        let ratios = ["a", "b", "c"].map(|name| (name.to_owned(), 0.3)).to_vec();
        let split = Spec::Split(Split { ratios, dealing: Dealing::Rows, seed: 1 });
        let data = Shape { rows: 3_000_000, bytes: 264_000_000, ..DATA };
        let part = sizes(&split, &[data]).1[0];
        assert_eq!((part.rows, part.most().rows), (1_000_000, 3_000_000));
        let whole = of(wide(10), data).unwrap();
        let third = of(wide(10), part).unwrap();
        assert!(third.estimate < whole.estimate / 2);
        assert!(third.bound >= whole.bound, "{third:?} {whole:?}");
        // A column may have more values than anybody has counted, but no artifact is larger than
        // one may be.
        let columns = vec!["x".to_owned()];
        let one_hot = Step::OneHot(OneHot { columns, unknown: Unknown::Zeros });
        let steps = Spec::Transform(Transform { steps: vec![one_hot] });
        let (size, made) = sizes(&steps, &[data]);
        assert_eq!(made[0].most().bytes, 1 << 30);
        assert_eq!(made[0].most().columns, 11 + 4_095);
        let memory = size.memory.unwrap();
        assert!(memory.bound > 2 << 30 && memory.bound < 64 << 30, "{memory:?}");
        let memory = of(wide(10), made[0]).unwrap();
        assert!(memory.estimate > whole.estimate && memory.bound > whole.bound, "{memory:?}");
        // An encoder that nobody knows.
        let embed = Embed {
            column: "text".into(),
            length: None,
            pooling: None,
            normalize: None,
            part: crate::domain::job::Part::WHOLE,
            mode: Mode::Exact,
        };
        let of = |encoder| sizes(&Spec::Embed(embed.clone()), &[data, encoder]).0.memory;
        assert_eq!(of(Shape::default()), None);
        let encoder = Shape { columns: 384, bytes: 90_000_000, ..Shape::default() };
        // Three million vectors of 384 numbers, as f32 and twice as f64.
        assert!(of(encoder).unwrap().estimate > 3_000_000 * 384 * 24);
    }

    #[test]
    fn rows_that_lie_in_a_file_are_not_counted_beyond_where_they_go_into_it() {
        let chunk = |rows: u64| Shape { rows, columns: 101, bytes: rows * 808, ..Shape::NONE };
        let many = |chunks: u64| (1..chunks).fold(chunk(10_000), |all, _| all.below(chunk(10_000)));
        let numbers = |chunks: u64| chunks * 10_000 * 400;
        // 256 MiB are 67 chunks of these.
        let (under, over, far) = (many(67), many(68), many(1_000));
        assert!(numbers(67) <= ROWS_IN_MEMORY_BYTES && numbers(68) > ROWS_IN_MEMORY_BYTES);
        assert_eq!((far.bytes, far.chunk, far.most().chunk), (8_080_000_000, 8_080_000, 8_080_000));
        let of = |data| of(wide(10), data).unwrap();
        assert!(of(under).estimate > 3 * under.bytes + 2 * numbers(67));
        assert!(of(over).estimate < of(under).estimate / 2);
        let away = of(far).estimate - of(over).estimate;
        assert_eq!(away, (1_000 - 68) * 10_000 * (OF_A_ROW_AWAY + OF_A_LABEL_AWAY));
        assert!(of(far).estimate < numbers(1_000) / 2 && of(far).bound < 2 * numbers(1_000));
        // One artifact is read as a whole, and what is made of chunks is one.
        let whole = Shape { chunk: 0, ..over };
        assert_eq!(of(whole).estimate, of(over).estimate + 3 * (whole.bytes - over.chunk));
        let split = Spec::Noop(Noop { tag: 1 });
        assert!(sizes(&split, &[far]).1.iter().all(|made| made.chunk == 0));
    }

    #[test]
    fn raw_rows_go_the_way_of_those_that_a_model_was_trained_on() {
        use crate::domain::job::{Evaluate, Hash, Step, Transform};
        let raw = Shape { rows: 100_000, columns: 2, bytes: 5_000_000, ..Shape::NONE };
        let hash = Step::Hash(Hash { column: "text".into(), buckets: 500 });
        let hashed = sizes(&Spec::Transform(Transform { steps: vec![hash] }), &[raw]).1[0];
        let task = Task::Classification;
        let model = |data: Shape| sizes(&Spec::Train(linear(task, &["y"])), &[data]).1[0];
        let measured = |model: Shape, data: Shape| {
            sizes(&Spec::Evaluate(Evaluate { select: None }), &[model, data]).0.memory
        };
        let plain = measured(model(raw), raw).unwrap();
        let wide = measured(model(hashed), raw).unwrap();
        assert!(plain.estimate < 100 << 20, "{plain:?}");
        // Five hundred counts of each row, of which each is a cell and a number.
        assert!(wide.estimate > 100_000 * 500 * (8 + 4), "{wide:?}");
        // A model that nobody has trained here.
        assert_eq!(measured(Shape { bytes: 4_000, ..Shape::NONE }, raw), None);
    }

    #[test]
    fn a_merge_takes_all_states_and_those_of_many_classes_are_larger() {
        use crate::domain::job::{Merge, Rule};
        let train = Train { task: Task::Classification, ..wide(1_000) };
        let part = crate::domain::job::Part::of(0, 2);
        let train = Train { part, ..train };
        let state = sizes(&Spec::Train(train.clone()), &[DATA]).1[0];
        assert!(state.most().bytes > 40 * state.bytes, "{state:?}");
        let merge = Merge { rule: Rule::Mean, quorum: 1, lr: 1.0, momentum: 0.0 };
        let memory = sizes(&Spec::Merge(merge), &[state; 5]).0.memory.unwrap();
        assert!((10 * state.bytes..16 * state.bytes).contains(&memory.estimate), "{memory:?}");
        assert!(memory.bound > 400 * state.bytes, "{memory:?}");
    }
}
