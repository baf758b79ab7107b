//! Tests of readers: what they look at, that they learn, and the same bytes everywhere.
//! Never measures time.

use super::*;
use crate::compute::kernel::{Engine, Isa};
use crate::compute::model::{Reads, Shape};
use crate::compute::op::Wanted;
use crate::domain::job::{Activation, Model};

const TOKENS: usize = 6;
const LENGTH: usize = 5;

fn model() -> job::Reader {
    job::Reader {
        width: 8,
        blocks: 2,
        heads: 2,
        dropout: 0.0,
        hidden: vec![5],
        activation: Activation::Tanh,
    }
}

fn shape(model: &job::Reader) -> Result<Shape, Fault> {
    let reads = Reads { features: LENGTH, vocabulary: TOKENS };
    Shape::new(&Model::Reader(model.clone()), reads, 3)
}

type Result<T, E = candle_core::Error> = std::result::Result<T, E>;

fn network(engine: Engine, model: &job::Reader) -> Network {
    let shape = shape(model).unwrap();
    // Far from the beginning, where the gradients of most weights are next to nothing.
    let wide = |(shape, xs): (&ParameterShape, Vec<f32>)| {
        let by = if shape.dims.len() > 1 && !shape.name.starts_with("layers") { 8.0 } else { 1.0 };
        xs.into_iter().map(|x| x * by).collect()
    };
    let values = shape.parameters().iter().zip(shape.initial(3)).map(wide);
    Network::learning(engine, &shape, values.collect()).unwrap()
}

/// A whole row, a shorter one, and one without a token.
const ROWS: [f32; 3 * LENGTH] =
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

/// The loss of the rows, and after it the gradients of all parameters.
fn loss(network: &Network) -> f32 {
    let x = op::input(ROWS.to_vec(), 3, LENGTH).unwrap();
    let wanted = Wanted::Classes { labels: vec![2, 0, 1], weights: [].into() };
    let loss = network.loss(&network.forward(&x, Pass::Predict).unwrap(), wanted).unwrap();
    network.learn(&loss).unwrap();
    loss.to_scalar().unwrap()
}

fn gradients(network: &Network) -> Vec<Vec<f32>> {
    network.parameters.iter().map(|p| p.gradient.lock().values.clone()).collect()
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let whole = network(Engine::default(), &model());
    loss(&whole);
    let values = whole.values().unwrap();
    for (at, gradient) in gradients(&whole).iter().enumerate() {
        // The steepest of its numbers: a difference of losses has few digits.
        let steepest = |a: &usize, b: &usize| gradient[*a].abs().total_cmp(&gradient[*b].abs());
        let place = (0..gradient.len()).max_by(steepest).unwrap();
        let moved = |by: f32| {
            let mut values = values.clone();
            values[at][place] += by;
            loss(&Network::learning(Engine::default(), whole.shape(), values).unwrap())
        };
        let measured = (moved(4e-3) - moved(-4e-3)) / 8e-3;
        let name = &whole.parameters[at].name;
        let bound = 1e-3 + 0.02 * measured.abs();
        let slope = gradient[place];
        assert!((slope - measured).abs() < bound, "{name}: {slope} {measured}");
    }
    // What is behind a text teaches nothing.
    assert!(gradients(&whole)[0][..8].iter().all(|slope| *slope == 0.0));
}

#[test]
fn the_order_of_the_tokens_is_read_and_what_is_behind_the_last_is_not() {
    let short = network(Engine::default(), &model());
    let outputs = |row: &[f32; LENGTH]| short.outputs(row).unwrap();
    assert_ne!(outputs(&[1.0, 2.0, 0.0, 0.0, 0.0]), outputs(&[2.0, 1.0, 0.0, 0.0, 0.0]));
    // A model of longer rows with the same parameters says the same of a short text.
    let reads = Reads { features: LENGTH + 3, vocabulary: TOKENS };
    let long = Shape::new(&Model::Reader(model()), reads, 3).unwrap();
    let mut values = short.values().unwrap();
    values[1].extend([9.0; 3 * 8]);
    let long = Network::predicting(Engine::default(), &long, values).unwrap();
    let mut row = [0.0; LENGTH + 3];
    for tokens in [&[1.0, 2.0][..], &[3.0, 3.0, 1.0, 6.0], &[]] {
        row.fill(0.0);
        row[..tokens.len()].copy_from_slice(tokens);
        let same: Vec<u32> = long.outputs(&row).unwrap().iter().map(|x| x.to_bits()).collect();
        let mut less = [0.0; LENGTH];
        less.copy_from_slice(&row[..LENGTH]);
        assert_eq!(outputs(&less).iter().map(|x| x.to_bits()).collect::<Vec<_>>(), same);
    }
}

#[test]
fn r10_neither_threads_nor_company_nor_the_instruction_set_change_a_bit() {
    let of = |engine| {
        let network = network(engine, &model());
        (loss(&network).to_bits(), gradients(&network), network.outputs(&ROWS).unwrap())
    };
    let expect = of(Engine::default());
    for isa in Isa::all() {
        for threads in 1..=4 {
            assert_eq!(of(Engine::with(isa, threads)), expect, "{isa:?} {threads}");
        }
    }
    let alone = network(Engine::default(), &model());
    let alone = ROWS.chunks(LENGTH).flat_map(|row| alone.outputs(row).unwrap());
    assert_eq!(alone.collect::<Vec<_>>(), expect.2);
}

#[test]
fn what_is_left_out_follows_from_seed_and_step_and_a_prediction_leaves_nothing_out() {
    let whole = network(Engine::default(), &model());
    let leaky = network(Engine::default(), &job::Reader { dropout: 0.3, ..model() });
    let outputs = |network: &Network, pass| {
        let x = op::input(ROWS.to_vec(), 3, LENGTH).unwrap();
        op::lend(&network.forward(&x, pass).unwrap(), |xs| Ok(xs.to_vec())).unwrap()
    };
    let learning = |seed, step| outputs(&leaky, Pass::Learn { seed, step });
    assert_eq!(outputs(&leaky, Pass::Predict), outputs(&whole, Pass::Predict));
    assert_eq!(learning(1, 2), learning(1, 2));
    assert_ne!(learning(1, 2), learning(1, 3));
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    let refused = |change: &dyn Fn(&mut job::Reader)| {
        let mut model = model();
        change(&mut model);
        shape(&model).is_err()
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|model| model.heads = 3) && refused(&|model| model.heads = 0));
    assert!(refused(&|model| model.blocks = 0) && refused(&|model| model.dropout = 1.0));
    let none = Reads::numbers(LENGTH);
    let fault = Shape::new(&Model::Reader(model()), none, 3).unwrap_err();
    assert!(fault.message.contains("reads tokens"), "{fault}");
}
