//! Tests of fast trainings: that they are near the exact ones, whatever learns, and that what is
//! not near is found. On candle's CPU, whose sums run in another order than the kernels' and than
//! those of a graphics card. Never measures time.

use super::families::{by_batches, corners, images};
use super::tasks::{labels, regression, stopping, table, teach};
use super::texts::{language, payers, reader, reviews, text_spec};
use super::*;
use crate::compute::op::Wanted;
use crate::compute::state::{Floats, State, read_shared};
use crate::compute::transform;
use crate::domain::job::{Deltas, Norm, Positions, Rounds, Rule, Tolerance};
use candle_core::Device;

const TOLERANCE: f64 = Tolerance::Way.share();

/// How far the ends of all segments are off, at the most; every one must be accepted, and the last
/// be what was claimed.
fn off(spec: &Train, lesson: &Lesson, state: Option<&[u8]>, done: &Trained) -> f64 {
    let mut most = 0.0;
    let last = done.checkpoints.len() - 2;
    for (k, pair) in done.checkpoints.windows(2).enumerate() {
        let segment = u32::try_from(k).unwrap();
        let given = (k > 0).then_some(pair[0].as_slice());
        let exact = replay(spec, lesson, state, segment, given, 1).unwrap();
        assert_eq!(exact.begin, Digest::of(&pair[0]), "segment {k}");
        let states = Ends { begin: &pair[0], exact: &exact.checkpoint, claimed: &pair[1] };
        let plan = Plan::new(spec, lesson).unwrap();
        most = near::distance(&plan.shape, spec, &states).unwrap().max(most);
        let accepted = accept(spec, lesson, segment, states).unwrap();
        let wanted = (k == last).then(|| (done.outputs.clone(), done.metrics.clone()));
        assert_eq!(accepted, wanted, "segment {k}");
    }
    most
}

/// A graphics card where there is one that this build can use.
fn fast() -> Machine {
    Machine::Fast(crate::compute::device::gpu().unwrap_or(Device::Cpu))
}

fn run_fast(spec: &Train, lesson: &Lesson, state: Option<&[u8]>) -> Trained {
    run_on(&fast(), spec, lesson, state, &mut |_| ()).unwrap()
}

fn check(name: &str, spec: Train, lesson: &Lesson) {
    let spec = Train { mode: Mode::Fast, early_stopping: None, ..spec };
    let done = run_fast(&spec, lesson, None);
    let exact = run_on(&Machine::default(), &spec, lesson, None, &mut |_| ()).unwrap();
    assert_ne!(done, exact, "{name}: it was computed by the same kernels");
    let most = off(&spec, lesson, None, &done);
    println!("{name}: {most:.2e}");
    assert!(most < TOLERANCE / 2.0, "{name}: {most}");
}

#[test]
fn numbers_are_learned_fast_about_as_exactly() {
    check("perceptron", spec(6, Part::WHOLE), &lesson(&spec(6, Part::WHOLE)));
    let lion = Optimizer::Lion { lr: 1e-3, beta1: 0.9, beta2: 0.99, weight_decay: 0.01 };
    let pieces = Train { accumulate: 3, optimizer: lion, ..spec(4, Part::WHOLE) };
    check("lion in pieces", pieces.clone(), &lesson(&pieces));
    let numbers = table(1.0);
    for (name, spec) in [
        ("regression", Train { epochs: 5, ..regression() }),
        ("labels, shortened", Train { epochs: 5, clip: Some(0.2), ..labels() }),
        ("weights", Train { class_weights: ClassWeights::Balanced, epochs: 4, ..stopping() }),
        ("momentum", Train { optimizer: sgd(0.9, true), epochs: 4, ..regression() }),
        ("descent", Train { optimizer: sgd(0.0, false), epochs: 4, ..regression() }),
    ] {
        check(name, spec.clone(), &teach(&spec, &numbers));
    }
}

fn sgd(momentum: f64, nesterov: bool) -> Optimizer {
    Optimizer::Sgd { lr: 0.05, momentum, nesterov, weight_decay: 0.01 }
}

#[test]
fn images_are_learned_fast_about_as_exactly() {
    for (name, spec) in [
        ("images", images(4, 0.2)),
        ("by batches", by_batches(4)),
        ("by batches, in pieces", Train { accumulate: 2, ..by_batches(4) }),
    ] {
        check(name, spec.clone(), &Lesson::of(&spec, corners(), None).unwrap());
    }
}

#[test]
fn texts_are_learned_fast_about_as_exactly() {
    let (steps, spec) = text_spec();
    let rows = transform::run(&steps, reviews(), None, None).unwrap();
    check("bag", spec.clone(), &Lesson::new(&spec, &rows, None).unwrap());
    let steps = crate::domain::job::Transform { steps: steps.steps[1..].to_vec() };
    let rows = transform::run(&steps, payers(), None, None).unwrap();
    let reading = Train { model: reader(0.1), batch: 6, ..spec };
    check("reader", reading.clone(), &Lesson::new(&reading, &rows, None).unwrap());
    let learned = language(Positions::Learned, true, Norm::Layer, 0.0);
    check("gpt", learned.0, &learned.1);
    let turned = language(Positions::Rotary, false, Norm::Rms, 0.1);
    check("gpt that turns", turned.0, &turned.1);
}

#[test]
fn a_shard_and_a_part_go_on_fast() {
    let spec = Train { mode: Mode::Fast, ..spec(6, Part::of(0, 2)) };
    let lesson = lesson(&spec);
    let first = run_fast(&spec, &lesson, None);
    let state = first.outputs[0].bytes.as_slice();
    assert_eq!(first.checkpoints.last().unwrap(), state);
    let second = Train { part: Part::of(1, 2), ..spec.clone() };
    let done = run_fast(&second, &lesson, Some(state));
    assert!(off(&second, &lesson, Some(state), &done) < TOLERANCE / 5.0);
    let merge = crate::domain::job::Merge { rule: Rule::Mean, quorum: 1, lr: 0.7, momentum: 0.9 };
    let rounds = Rounds {
        shards: 2,
        rounds: 2,
        local_steps: 5,
        merge,
        grace_ms: None,
        alone: 0,
        deltas: Deltas::Whole,
    };
    let of = |parallel| Train { parallel: Some(parallel), part: Part::WHOLE, ..spec.clone() };
    let start = of(crate::domain::job::Parallel::Start);
    let start = run_fast(&start, &lesson, None).outputs[0].bytes.clone();
    assert!(read_shared(&start).is_some());
    let shard = of(rounds.shard((0, 1), false));
    let done = run_fast(&shard, &lesson, Some(&start));
    assert!(off(&shard, &lesson, Some(&start), &done) < TOLERANCE / 5.0);
}

/// The states of the first segment, of which the end is moved away from where it should be: it is
/// left behind by this share of the way.
fn left_behind(share: f32) -> Result<Option<(Vec<Named>, Metrics)>, Far> {
    let spec = Train { mode: Mode::Fast, ..spec(6, Part::WHOLE) };
    let lesson = lesson(&spec);
    let done = trained(&spec, None);
    let [begin, exact] = [0, 1].map(|k| done.checkpoints[k].clone());
    let plan = Plan::new(&spec, &lesson).unwrap();
    let from = State::read(&begin, &plan.shape, &spec).unwrap();
    let mut claimed = State::read(&exact, &plan.shape, &spec).unwrap();
    for (moving, from) in claimed.parameters.iter_mut().zip(from.parameters) {
        let Floats(theta) = &mut moving.theta;
        theta.iter_mut().zip(from.theta.0).for_each(|(x, from)| *x += share * (from - *x));
    }
    let claimed = claimed.into_bytes();
    accept(&spec, &lesson, 0, Ends { begin: &begin, exact: &exact, claimed: &claimed })
}

#[test]
fn who_leaves_out_more_than_the_tolerance_of_the_way_is_found_out() {
    assert_eq!(left_behind(0.0), Ok(None));
    let tolerance = TOLERANCE as f32;
    assert_eq!(left_behind(0.9 * tolerance), Ok(None));
    for share in [1.1 * tolerance, 0.5, 1.0] {
        let Err(Far::Off(off)) = left_behind(share) else { unreachable!("{share}") };
        assert!((off - f64::from(share)).abs() < 1e-3, "{share}: {off}");
    }
    assert!(matches!(left_behind(f32::NAN), Err(Far::Not(_))));
}

#[test]
fn a_state_of_other_steps_or_of_another_loss_is_not_accepted() {
    let spec = Train { mode: Mode::Fast, ..spec(6, Part::WHOLE) };
    let lesson = lesson(&spec);
    let done = trained(&spec, None);
    let [begin, exact] = [0, 1].map(|k| done.checkpoints[k].as_slice());
    let plan = Plan::new(&spec, &lesson).unwrap();
    let changed = |change: &dyn Fn(&mut State)| {
        let mut state = State::read(exact, &plan.shape, &spec).unwrap();
        change(&mut state);
        let claimed = state.into_bytes();
        accept(&spec, &lesson, 0, Ends { begin, exact, claimed: &claimed })
    };
    assert!(changed(&|_| ()).is_ok());
    assert!(matches!(changed(&|state| state.step += 1), Err(Far::Not(_))));
    assert!(matches!(changed(&|state| state.powers.0 *= 0.9), Err(Far::Not(_))));
    assert!(matches!(changed(&|state| state.course.total *= 1.1), Err(Far::Off(_))));
    assert!(matches!(changed(&|state| state.course.loss += 1.0), Err(Far::Off(_))));
    let cut = &exact[..exact.len() - 1];
    let states = Ends { begin, exact, claimed: cut };
    assert!(matches!(accept(&spec, &lesson, 0, states), Err(Far::Not(_))));
}

#[test]
fn what_diverges_fails_fast_too() {
    let wild = Train {
        mode: Mode::Fast,
        optimizer: Optimizer::Sgd { lr: 1e30, momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        ..spec(6, Part::WHOLE)
    };
    let fault = run_on(&fast(), &wild, &lesson(&wild), None, &mut |_| ()).unwrap_err();
    assert!(fault.message.contains("is not finite"), "{fault}");
}

#[test]
fn a_fast_training_without_a_graphics_card_is_the_exact_one() {
    let fast = Train { mode: Mode::Fast, ..spec(2, Part::WHOLE) };
    let spec = crate::domain::job::Spec::Train(fast.clone());
    if crate::compute::device::gpu().is_none() {
        assert!(!Machine::of(&spec).is_fast());
    }
    assert_eq!(trained(&fast, None).outputs, trained(&self::spec(2, Part::WHOLE), None).outputs);
}

#[test]
fn every_loss_is_the_same_in_both_arithmetics() {
    let outputs: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let truth: Vec<f32> = (0..12).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
    for wanted in [
        Wanted::Classes { labels: vec![0, 2, 1, 2], weights: [].into() },
        Wanted::Classes { labels: vec![0, 2, 1, 2], weights: [2.0, 0.5, 1.0].into() },
        Wanted::Real(truth.clone()),
        Wanted::Labels(truth.clone()),
    ] {
        let exact = wanted.losses(Engine::default(), &outputs);
        let tensor = crate::compute::op::input(outputs.clone(), 4, 3).unwrap();
        let stock = crate::compute::op::copied(&wanted.stock(&tensor).unwrap()).unwrap();
        assert_eq!(exact.len(), stock.len());
        let near = exact.iter().zip(&stock).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{exact:?} {stock:?}");
    }
}
