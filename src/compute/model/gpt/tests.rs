//! Tests of decoders: what they may see, that they learn, and the same bytes everywhere.
//! Never measures time.

use super::*;
use crate::compute::kernel::{Engine, Isa};
use crate::compute::model::{Reads, Shape};
use crate::compute::op::{self, Wanted};
use crate::domain::job::{Model, Norm};

const TOKENS: usize = 7;

fn model(positions: Positions, tied: bool) -> job::Gpt {
    let norm = if tied { Norm::Layer } else { Norm::Rms };
    job::Gpt { blocks: 2, heads: 2, width: 8, context: 5, positions, tied, dropout: 0.0, norm }
}

fn network(engine: Engine, model: &job::Gpt) -> Network {
    let shape = Shape::new(&Model::Gpt(model.clone()), Reads::numbers(1), TOKENS).unwrap();
    // Far from the beginning, where the gradients of most weights are next to nothing.
    let wide = |(shape, xs): (&ParameterShape, Vec<f32>)| {
        let by = if shape.dims.len() > 1 { 8.0 } else { 1.0 };
        xs.into_iter().map(|x| x * by).collect()
    };
    let values = shape.parameters().iter().zip(shape.initial(3)).map(wide);
    Network::learning(engine, &shape, values.collect()).unwrap()
}

fn batch() -> (Tensor, Wanted) {
    let tokens = [0, 1, 2, 3, 4, 5, 6, 0, 2, 4];
    let x = tokens.iter().map(|&token| token as f32).collect();
    let labels = tokens.iter().map(|&token| (token * 3 + 1) % TOKENS as u32).collect();
    (op::input(x, 2, 5).unwrap(), Wanted::Classes { labels, weights: [].into() })
}

/// The loss of the batch, and after it the gradients of all parameters.
fn loss(network: &Network) -> f32 {
    let (x, wanted) = batch();
    let loss = network.loss(&network.forward(&x, Pass::Predict).unwrap(), wanted).unwrap();
    network.learn(&loss).unwrap();
    loss.to_scalar().unwrap()
}

fn gradients(network: &Network) -> Vec<Vec<f32>> {
    network.parameters.iter().map(|p| p.gradient.lock().values.clone()).collect()
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for (positions, tied) in [(Positions::Learned, true), (Positions::Rotary, false)] {
        let model = model(positions, tied);
        let whole = network(Engine::default(), &model);
        loss(&whole);
        let values = whole.values().unwrap();
        for (at, gradient) in gradients(&whole).iter().enumerate() {
            // The steepest of its numbers: a difference of losses has few digits.
            let steepest = |a: &usize, b: &usize| gradient[*a].abs().total_cmp(&gradient[*b].abs());
            let place = (0..gradient.len()).max_by(steepest).unwrap();
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at][place] += by;
                let shape = whole.shape();
                loss(&Network::learning(Engine::default(), shape, values).unwrap())
            };
            let measured = (moved(4e-3) - moved(-4e-3)) / 8e-3;
            let name = &whole.parameters[at].name;
            let bound = 1e-3 + 0.02 * measured.abs();
            assert!(
                (gradient[place] - measured).abs() < bound,
                "{name}: {} {measured}",
                gradient[place]
            );
        }
    }
}

#[test]
fn a_token_changes_nothing_before_it() {
    let network = network(Engine::default(), &model(Positions::Learned, true));
    let outputs = |last: f32| network.outputs(&[1.0, 2.0, 3.0, 4.0, last]).unwrap();
    let (a, b) = (outputs(5.0), outputs(0.0));
    assert_eq!(a[..4 * TOKENS], b[..4 * TOKENS]);
    assert_ne!(a[4 * TOKENS..], b[4 * TOKENS..]);
}

#[test]
fn going_on_from_what_is_remembered_gives_the_bytes_of_the_whole_row() {
    let row = [1.0, 6.0, 0.0, 4.0, 2.0];
    for (positions, tied) in [(Positions::Learned, true), (Positions::Rotary, false)] {
        for isa in Isa::all() {
            let network = network(Engine::with(isa, 1), &model(positions, tied));
            let whole = network.outputs(&row).unwrap();
            for pieces in [&[1; 5][..], &[5], &[2, 1, 2], &[4, 1]] {
                let (mut memory, mut rest) = (Memory::default(), &row[..]);
                for &count in pieces {
                    let (next, after) = rest.split_at(count);
                    let outputs = network.go_on(next.to_vec(), &mut memory).unwrap();
                    let at = memory.tokens() * TOKENS;
                    assert_eq!(outputs, whole[at - TOKENS..at], "{positions:?} {isa:?}");
                    rest = after;
                }
                assert!(network.go_on(vec![1.0], &mut memory).is_err(), "the row is full");
                assert!(network.go_on(Vec::new(), &mut memory).is_err(), "nothing follows");
            }
        }
    }
}

#[test]
fn r10_neither_threads_nor_the_instruction_set_change_a_bit() {
    let model = model(Positions::Rotary, true);
    let of = |engine| {
        let network = network(engine, &model);
        (loss(&network).to_bits(), gradients(&network))
    };
    let expect = of(Engine::default());
    assert_eq!(of(Engine::new(3)), expect);
    for isa in Isa::all() {
        assert_eq!(of(Engine::with(isa, 1)), expect, "{isa:?}");
    }
}

#[test]
fn what_is_left_out_follows_from_seed_and_step_and_a_prediction_leaves_nothing_out() {
    let whole = network(Engine::default(), &model(Positions::Learned, true));
    let leaky = job::Gpt { dropout: 0.3, ..model(Positions::Learned, true) };
    let leaky = network(Engine::default(), &leaky);
    let outputs = |network: &Network, pass| {
        let outputs = network.forward(&batch().0, pass).unwrap();
        op::lend(&outputs, |xs| Ok(xs.to_vec())).unwrap()
    };
    let learning = |seed, step| outputs(&leaky, Pass::Learn { seed, step });
    assert_eq!(outputs(&leaky, Pass::Predict), outputs(&whole, Pass::Predict));
    assert_eq!(learning(1, 2), learning(1, 2));
    assert_ne!(learning(1, 2), learning(1, 3));
    assert_ne!(learning(1, 2), learning(2, 2));
}

#[test]
fn a_token_that_is_not_in_the_table_is_an_error() {
    let network = network(Engine::default(), &model(Positions::Learned, true));
    for token in [TOKENS as f32, -1.0, f32::NAN, 1e9] {
        assert!(network.outputs(&[token; 5]).is_err(), "{token}");
    }
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    let refused = |change: &dyn Fn(&mut job::Gpt)| {
        let mut model = model(Positions::Learned, true);
        change(&mut model);
        Shape::new(&Model::Gpt(model), Reads::numbers(1), TOKENS).is_err()
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|model| model.heads = 3) && refused(&|model| model.heads = 0));
    assert!(refused(&|model| model.blocks = 65) && refused(&|model| model.context = 0));
    assert!(refused(&|model| model.width = 1 << 30) && refused(&|model| model.dropout = 1.0));
}
