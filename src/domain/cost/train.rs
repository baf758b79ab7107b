//! The work of a training, before it is run.
//! Never asks how many epochs will be run: one that may stop early is taken for all of them.

use super::memory::{classes_most, way};
use super::{CLASSES_ASSUMED, Shape, Way};
use crate::domain::job::{Gpt, Model, Parallel, Reader, Task, Train};

/// Floating-point operations of a part of a training, and its outputs: 6 per product and row of
/// `data` in every epoch (2 forward, 4 backward), 2 per product and row of the input
/// `validation`, which is among the `others`. A dense layer multiplies each parameter once for a
/// row, a convolution more often. Rows that are held out of `data` count as if they were learned
/// from. A shard learns from `batch` rows in each of its steps.
pub(super) fn estimate(train: &Train, data: Shape, others: &[Shape]) -> (u64, Vec<Shape>) {
    let (products, parameters) = size(train, data, CLASSES_ASSUMED);
    // A state has no rows.
    let validation = others.iter().map(|shape| shape.rows).max().unwrap_or(0);
    let learning = products.saturating_mul(6);
    let validating = products.saturating_mul(2).saturating_mul(validation);
    let flop = match &train.parallel {
        None => {
            let learning = learning.saturating_mul(data.rows);
            let all = learning.saturating_add(validating).saturating_mul(u64::from(train.epochs));
            let (from, to) = train.part.share(all);
            to.saturating_sub(from)
        }
        Some(Parallel::Shard(shard) | Parallel::Delta(shard)) => {
            let steps = u64::from(shard.steps).saturating_mul(u64::from(train.batch));
            // A row of a language model is a context of tokens, which are the rows of its table.
            let tokens = if let Model::Gpt(gpt) = &train.model { gpt.context } else { 1 };
            learning.saturating_mul(steps).saturating_mul(u64::from(tokens))
        }
        Some(_) => validating,
    };
    let model = parameters.saturating_mul(4);
    let bytes = match &train.parallel {
        // A byte of each number; what is not said has one of each parameter.
        Some(Parallel::Delta(_)) => vec![parameters.saturating_mul(copies(train)), parameters],
        _ if train.gives_model() => vec![model],
        _ => vec![model.saturating_mul(copies(train))],
    };
    // Nobody knows before how many classes there are, or characters.
    let (_, most) = size(train, data, classes_most(data));
    let known = Shape { bytes: 0, ..data }.times(most.div_ceil(parameters.max(1)).max(1));
    let over = match train.model.reads_tokens() && data.tokens == 0 {
        true => Shape::UNKNOWN,
        false => known.over,
    };
    // A model tells what it takes to hear it; a state is not asked.
    let way = if train.gives_model() { way(train, data) } else { Way::default() };
    let shape = |bytes| Shape { bytes, over, way, ..Shape::NONE };
    (flop, bytes.into_iter().map(shape).collect())
}

/// Bytes of a state of a training, about.
pub(super) fn state_bytes(train: &Train, data: Shape) -> u64 {
    let (_, parameters) = size(train, data, CLASSES_ASSUMED);
    parameters.saturating_mul(4).saturating_mul(copies(train))
}

/// Steps of a part of a training, if it does not end early; of one in parallel, those of a shard.
pub(super) fn steps(train: &Train, data: Shape) -> u64 {
    match &train.parallel {
        None | Some(Parallel::Whole(_)) => {
            let steps = data.rows.div_ceil(u64::from(train.batch.max(1)));
            let (from, to) = train.part.share(steps.saturating_mul(u64::from(train.epochs)));
            to.saturating_sub(from)
        }
        Some(Parallel::Shard(shard) | Parallel::Delta(shard)) => u64::from(shard.steps),
        Some(Parallel::Start | Parallel::Finish(_)) => 0,
    }
}

/// Products that the model takes for a row, and its parameters, with so many classes.
pub(super) fn size(train: &Train, data: Shape, classes: u64) -> (u64, u64) {
    let tokens = if data.tokens > 0 { data.tokens } else { TOKENS_ASSUMED };
    if let Model::Gpt(gpt) = &train.model {
        let each = gpt_parameters(gpt, tokens);
        return (each, each);
    }
    let targets = train.targets.len() as u64;
    let features = features(train, data);
    let outputs = match train.task {
        Task::Classification => classes,
        Task::Regression => 1,
        Task::MultiLabel => targets,
        Task::Language => tokens,
    };
    if let Model::Cnn(cnn) = &train.model {
        // One that cannot be fails before its first step.
        return cnn.work(outputs).unwrap_or_default();
    }
    let widths = train.model.hidden().iter().map(|width| u64::from(*width)).chain([outputs]);
    let width = match &train.model {
        Model::Text { width, .. } | Model::Reader(Reader { width, .. }) => Some(u64::from(*width)),
        _ => None,
    };
    let (dense, _) = widths.fold((0u64, width.unwrap_or(features)), |(sum, fan_in), fan_out| {
        (sum.saturating_add((fan_in + 1).saturating_mul(fan_out)), fan_out)
    });
    if let Model::Reader(reader) = &train.model {
        let (products, parameters) = reader_work(reader, features, tokens);
        return (dense.saturating_add(products), dense.saturating_add(parameters));
    }
    let vectors = |tokens: u64| dense.saturating_add(tokens.saturating_mul(width.unwrap_or(0)));
    (vectors(features), vectors(tokens))
}

/// Columns that a training learns from.
pub(super) fn features(train: &Train, data: Shape) -> u64 {
    let others = data.columns.saturating_sub(train.targets.len() as u64);
    train.features.as_ref().map_or(others, |features| features.len() as u64)
}

/// Tokens of a vocabulary that nobody knows yet: how many characters a text has is known when it
/// has been read. Those of bytes and of pairs are what the tokenisation says.
pub(super) const TOKENS_ASSUMED: u64 = 1_024;

/// 12 squares of the width in every block, and the table of the tokens. With the length of the
/// context for the two products of attention this is also what there is to multiply.
fn gpt_parameters(gpt: &Gpt, tokens: u64) -> u64 {
    let width = u64::from(gpt.width);
    let block = (12 * width + u64::from(gpt.context)).saturating_mul(width);
    let tables = if gpt.tied { 1 } else { 2 };
    u64::from(gpt.blocks)
        .saturating_mul(block)
        .saturating_add(tables * tokens.saturating_mul(width))
}

/// What the blocks of a reader multiply for a text of so many tokens, and its parameters: 12
/// squares of the width in every block, the two products of attention, and a vector for each token
/// and each place.
fn reader_work(reader: &Reader, length: u64, tokens: u64) -> (u64, u64) {
    let (width, blocks) = (u64::from(reader.width), u64::from(reader.blocks));
    let block = (12 * width).saturating_mul(width);
    let looks = length.saturating_mul(2 * width);
    let products = blocks.saturating_mul(length).saturating_mul(block.saturating_add(looks));
    let vectors = tokens.saturating_add(length).saturating_mul(width);
    (products, blocks.saturating_mul(block).saturating_add(vectors))
}

/// How many numbers a state has for each parameter: itself, what the optimiser remembers, and the
/// best so far.
pub(super) fn copies(train: &Train) -> u64 {
    1 + train.optimizer.moments() as u64 + u64::from(train.early_stopping.is_some())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::job::{
        Activation, ClassWeights, Cnn, Convolution, EarlyStopping, Image, Mode, Optimizer, Padding,
        Part, Scaling, Schedule,
    };

    pub(in super::super) const DATA: Shape = Shape { rows: 1000, columns: 11, ..Shape::NONE };

    pub(in super::super) fn linear(task: Task, targets: &[&str]) -> Train {
        Train {
            task,
            model: Model::Linear,
            targets: targets.iter().map(ToString::to_string).collect(),
            features: None,
            class_weights: ClassWeights::Even,
            epochs: 5,
            batch: 10,
            mode: Mode::Exact,
            accumulate: 1,
            optimizer: Optimizer::Sgd {
                lr: 1.0,
                momentum: 0.5,
                nesterov: false,
                weight_decay: 0.0,
            },
            schedule: Schedule::CONSTANT,
            clip: None,
            validation: None,
            early_stopping: None,
            seed: 0,
            scaling: Scaling::None,
            part: Part::WHOLE,
            parallel: None,
            segments: 1,
        }
    }

    #[test]
    fn a_model_has_an_output_for_every_class_number_or_label() {
        assert_eq!(size(&linear(Task::Classification, &["y"]), DATA, 10), (110, 110));
        assert_eq!(size(&linear(Task::Regression, &["y"]), DATA, 10), (11, 11));
        assert_eq!(size(&linear(Task::MultiLabel, &["a", "b", "c"]), DATA, 10), (27, 27));
        let features = Some(vec!["x".to_owned()]);
        let one = Train { features, ..linear(Task::Regression, &["y"]) };
        assert_eq!(size(&one, DATA, 10), (2, 2));
        let model = Model::Text { width: 4, hidden: vec![6], activation: Activation::Relu };
        let text = Train { model, ..linear(Task::Classification, &["y"]) };
        let dense = 5 * 6 + 7 * 10;
        assert_eq!(size(&text, DATA, 10), (dense + 10 * 4, dense + 1_024 * 4));
        let reader = Reader {
            width: 4,
            blocks: 3,
            heads: 2,
            dropout: 0.0,
            hidden: vec![6],
            activation: Activation::Relu,
        };
        let order = Train { model: Model::Reader(reader), ..text.clone() };
        let (products, parameters) = (3 * 10 * (12 * 16 + 10 * 8), 3 * 12 * 16 + 1_034 * 4);
        assert_eq!(size(&order, DATA, 10), (dense + products, dense + parameters));
        let known = Shape { tokens: 300, ..DATA };
        assert_eq!(size(&text, known, 10), (dense + 10 * 4, dense + 300 * 4));
    }

    #[test]
    fn a_convolution_costs_more_than_its_parameters() {
        let by = Convolution { filters: 2, kernel: 3, padding: Padding::Same, norm: None, pool: 2 };
        let cnn = Cnn {
            image: Image { height: 4, width: 4, channels: 1 },
            convolutions: vec![by],
            hidden: Vec::new(),
            activation: Activation::Relu,
            dropout: 0.0,
        };
        let train = Train { model: Model::Cnn(cnn), ..linear(Task::Regression, &["y"]) };
        assert_eq!(size(&train, DATA, 10), (9 * 16 * 2 + 9, 10 * 2 + 9));
        assert_eq!(estimate(&train, DATA, &[]).0, (9 * 16 * 2 + 9) * 6 * 1000 * 5);
    }

    #[test]
    fn a_training_that_may_stop_early_costs_as_much_as_all_its_epochs() {
        let whole = linear(Task::Regression, &["y"]);
        let stopping = Some(EarlyStopping { patience: 1, min_delta: 0.0 });
        let early = Train { early_stopping: stopping, validation: Some(0.5), ..whole.clone() };
        assert_eq!(estimate(&early, DATA, &[]), estimate(&whole, DATA, &[]));
        assert_eq!(estimate(&whole, DATA, &[]).0, 11 * 6 * 1000 * 5);
        // Its state is larger: the best parameters are in it.
        let part = Part::of(0, 2);
        let state = |train: Train| estimate(&Train { part, ..train }, DATA, &[]).1[0].bytes;
        assert_eq!((state(whole), state(early)), (11 * 4 * 2, 11 * 4 * 3));
    }

    #[test]
    fn rows_to_validate_on_cost_a_third_of_rows_to_learn_from() {
        let train = linear(Task::Regression, &["y"]);
        let rows = Shape { rows: 300, columns: 11, ..Shape::NONE };
        let state = Shape { bytes: 500, ..Shape::NONE };
        let with = estimate(&train, DATA, &[rows, state]).0;
        assert_eq!(with - estimate(&train, DATA, &[state]).0, 11 * 2 * 300 * 5);
    }

    #[test]
    fn a_segment_is_worth_the_checkpoint_at_its_end_and_a_part_has_eight() {
        use super::super::{PART_UNITS, parts, segments};
        // So many rows that their operations are 8,000 for each byte of a state.
        let worth = |train: &Train| 8_000 * copies(train) * 4 / 6;
        let of = |rows: u64, features: u64| {
            let train = Train { epochs: 1, batch: 1, ..linear(Task::Regression, &["y"]) };
            let data = Shape { rows: rows * worth(&train), columns: features, ..DATA };
            (parts(&train, data), segments(&train, &[data]))
        };
        assert_eq!(
            [of(1, 11), of(9, 11), of(15, 11), of(400, 11)],
            [(1, 8), (1, 8), (1, 14), (1, 20)]
        );
        // 2 · 4 · 8,000 · 8 operations of a parameter are a part, or more where there are few.
        assert_eq!([of(7, 1_000_000).0, of(15, 1_000_000).0, of(80, 1_000_000).0], [1, 2, 10]);
        let few = Shape { rows: 2_000_000_000, columns: 2, ..DATA };
        let train = Train { epochs: 1, ..linear(Task::Regression, &["y"]) };
        let (flop, _) = estimate(&train, few, &[]);
        assert_eq!(u64::from(parts(&train, few)), (flop / 1_000_000).div_ceil(PART_UNITS));
        // One of three steps has no more than three segments.
        let short = Shape { rows: 30, ..DATA };
        assert_eq!(segments(&train, &[short]), 3);
    }
}
