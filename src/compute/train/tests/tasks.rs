//! Tests of tasks, optimisers and early stopping: what is learned, and that it is the same bytes.
//! Never measures time.

use super::*;
use crate::compute::model::Reads;
use crate::compute::predictor::Predictions;
use crate::compute::transform;
use crate::domain::job::{
    Decay, EarlyStopping, Fill, Filling, OneHot, Scale, ScaleTo, Step, Transform, Unknown,
};

/// y = 3a − 2b + 5, two labels: whether a or b is above 0.5, and a class that is rare. With noise
/// the number is off, and a fifth of the classes are the other one.
pub(super) fn table(noise: f32) -> Table {
    let dice = Philox::new(3, 3, 3);
    let mut csv = "a,b,y,big_a,big_b,kind\n".to_owned();
    for row in 0..120u64 {
        let [a, b, c] = [0, 1, 2].map(|i| dice.uniform(row * 3 + i));
        let y = 3.0 * a - 2.0 * b + 5.0 + noise * (c - 0.5);
        let kind = if (a + b > 1.4) == (c >= 0.2 * noise) { "rare" } else { "common" };
        csv.push_str(&format!("{a},{b},{y},{},{},{kind}\n", u8::from(a > 0.5), b > 0.5));
    }
    cells(&csv)
}

pub(super) fn teach(spec: &Train, table: &Table) -> Lesson {
    Lesson::new(spec, table, None).unwrap()
}

fn outcome(spec: &Train, table: &Table) -> (Predictor, Trained) {
    let done = run(spec, &teach(spec, table), None, &mut |_| ()).unwrap();
    (Predictor::from_bytes(&done.outputs[0].bytes).unwrap(), done)
}

fn metric(done: &Trained, name: &str) -> Option<f64> {
    done.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

pub(super) fn regression() -> Train {
    let features = Some(vec!["a".to_owned(), "b".to_owned()]);
    Train { features, epochs: 40, batch: 8, ..spec_of(Task::Regression, &["y"]) }
}

pub(super) fn labels() -> Train {
    let features = Some(vec!["b".to_owned(), "a".to_owned()]);
    let optimizer = adamw(0.05);
    let spec = spec_of(Task::MultiLabel, &["big_a", "big_b"]);
    Train { features, epochs: 40, batch: 8, optimizer, ..spec }
}

/// Classes that overlap, in a perceptron that is too large for them.
pub(super) fn stopping() -> Train {
    let features = Some(vec!["a".to_owned(), "b".to_owned()]);
    Train {
        features,
        model: Model::Mlp { hidden: vec![24], activation: Activation::Tanh },
        epochs: 60,
        batch: 8,
        optimizer: adamw(0.02),
        validation: Some(0.25),
        early_stopping: Some(EarlyStopping { patience: 3, min_delta: 0.0 }),
        ..spec_of(Task::Classification, &["kind"])
    }
}

fn sgd(momentum: f64, nesterov: bool) -> Optimizer {
    Optimizer::Sgd { lr: 0.05, momentum, nesterov, weight_decay: 0.0 }
}

#[test]
fn a_line_is_found_by_every_optimiser_and_told_in_the_units_of_the_target() {
    let optimizers = [adamw(0.05), sgd(0.0, false), sgd(0.9, false), sgd(0.9, true)];
    for optimizer in optimizers {
        let spec = Train { optimizer: optimizer.clone(), ..regression() };
        let (model, done) = outcome(&spec, &table(0.0));
        let Predictions::Real(got) = model.predict(&table(0.0)).unwrap() else { unreachable!() };
        let Truth::Real(want) = teach(&spec, &table(0.0)).rows.truth else { unreachable!() };
        let squares = got.iter().zip(&want).map(|(y, t)| (y - t) * (y - t));
        let error = squares.sum::<f64>() / want.len() as f64;
        // AdamW decays the weights a little; the target's variance is about 1.
        assert!(error < 2e-3, "{optimizer:?}: {error}");
        assert!((metric(&done, "loss").unwrap() - error).abs() < 2e-3);
    }
}

#[test]
fn linear_models_come_near_their_optimum_by_default() {
    let irises = cells(include_str!("../../../../manifests/data/iris.csv"));
    // What manifests get that say nothing: the tests of `manifest` hold these numbers.
    let by_default = |task, target: &str| Train { epochs: 100, ..spec_of(task, &[target]) };
    let spec = by_default(Task::Classification, "species");
    let (model, done) = outcome(&spec, &irises);
    let Predictions::Classes { classes, probabilities } = model.predict(&irises).unwrap() else {
        unreachable!()
    };
    let Truth::Classes { of, .. } = teach(&spec, &irises).rows.truth else { unreachable!() };
    let said = probabilities.chunks(classes.len());
    let is_right = |(row, class): &(&[f64], u32)| row.iter().all(|p| *p <= row[*class as usize]);
    let right = said.zip(of).filter(is_right).count();
    // The loss of a guess is ln 3 = 1.1.
    assert!(right >= 144 && metric(&done, "loss").unwrap() < 0.2, "{right}, {:?}", done.metrics);

    let spec = Train { features: regression().features, ..by_default(Task::Regression, "y") };
    let (model, _) = outcome(&spec, &table(0.0));
    let Predictions::Real(got) = model.predict(&table(0.0)).unwrap() else { unreachable!() };
    let Truth::Real(want) = teach(&spec, &table(0.0)).rows.truth else { unreachable!() };
    let error: f64 = got.iter().zip(&want).map(|(y, t)| (y - t) * (y - t)).sum();
    // The variance of the target is about 1: so much of it is explained.
    assert!(error / (want.len() as f64) < 0.01, "{error}");
}

#[test]
fn a_linear_model_begins_at_zero() {
    let reads = Reads::numbers(3);
    let zeros = Shape::new(&Model::Linear, reads, 2).unwrap().initial(7);
    assert_eq!(zeros, [vec![0.0; 6], vec![0.0; 2]]);
}

#[test]
fn several_labels_are_learned_at_once() {
    let (model, _) = outcome(&labels(), &table(0.0));
    let Predictions::Labels { labels: names, probabilities } = model.predict(&table(0.0)).unwrap()
    else {
        unreachable!()
    };
    assert_eq!(names, ["big_a", "big_b"]);
    let Truth::Labels { of, .. } = teach(&labels(), &table(0.0)).rows.truth else { unreachable!() };
    let right = probabilities.iter().zip(&of).filter(|(p, t)| (**p > 0.5) == (**t > 0.5)).count();
    assert!(right > 230, "{right} of 240");
}

#[test]
fn a_class_that_weighs_more_is_found_more_often() {
    let found = |class_weights: ClassWeights| {
        let spec = Train { class_weights, early_stopping: None, epochs: 20, ..stopping() };
        let spec = Train { model: Model::Linear, ..spec };
        let (model, _) = outcome(&spec, &table(1.0));
        match model.predict(&table(1.0)).unwrap() {
            Predictions::Classes { classes, probabilities } => {
                assert_eq!(classes, ["common", "rare"]);
                probabilities.chunks(2).filter(|row| row[1] > row[0]).count()
            }
            _ => unreachable!(),
        }
    };
    let even = found(ClassWeights::Even);
    assert!(found(ClassWeights::Balanced) > even, "{even}");
    assert_eq!(found(ClassWeights::Of([("rare".to_owned(), 1e4)].into())), 120);
    assert_eq!(found(ClassWeights::Of([("rare".to_owned(), 1.0)].into())), even);
}

#[test]
fn a_training_that_stops_early_gives_the_model_of_its_best_epoch() {
    let (spec, table) = (stopping(), table(1.0));
    let (_, done) = outcome(&spec, &table);
    let [epochs, best] = ["epochs", "bestEpoch"].map(|name| metric(&done, name).unwrap());
    assert!(best >= 1.0 && epochs < 60.0, "{:?}", done.metrics);
    assert_eq!(epochs, best + 3.0);
    // The same steps without stopping, until that epoch.
    let until = Train { epochs: best as u32, early_stopping: None, ..spec.clone() };
    let (_, short) = outcome(&until, &table);
    assert_eq!(short.outputs, done.outputs);
    assert_eq!(metric(&short, "validationLoss"), metric(&done, "validationLoss"));
    // A loss that must fall by more than it can is best after the first epoch.
    let stopping = EarlyStopping { patience: 2, min_delta: 1e5 };
    let (_, done) = outcome(&Train { early_stopping: Some(stopping), ..spec }, &table);
    assert_eq!((metric(&done, "bestEpoch"), metric(&done, "epochs")), (Some(1.0), Some(3.0)));
}

#[test]
fn r10_segments_after_an_early_stop_change_nothing_and_replay() {
    let (spec, table) = (stopping(), table(1.0));
    let lesson = teach(&spec, &table);
    let done = run(&spec, &lesson, None, &mut |_| ()).unwrap();
    let stopped = metric(&done, "epochs").unwrap() as u32;
    let last = done.checkpoints.len() - 1;
    assert!(stopped <= 60 * 6 / 8, "stopped at {stopped}: too late to show anything");
    assert_eq!(done.checkpoints[last], done.checkpoints[last - 1]);
    for k in 0..last {
        let begin = done.checkpoints[k].as_slice();
        let replayed = replay(&spec, &lesson, None, k as u32, Some(begin), 0).unwrap();
        assert_eq!(replayed.checkpoint, done.checkpoints[k + 1], "segment {k}");
        if k + 1 == last {
            assert_eq!(
                (replayed.outputs, replayed.metrics),
                (done.outputs.clone(), done.metrics.clone())
            );
        }
    }
    // A state that has not stopped is not taken for a later one.
    let first = replay(&spec, &lesson, None, last as u32 - 1, Some(&done.checkpoints[0]), 0);
    assert!(first.unwrap_err().message.contains("at step 0, not at"));
}

#[test]
fn parts_of_a_training_that_stops_early_end_where_the_whole_ends() {
    let (spec, table) = (stopping(), table(1.0));
    let whole = run(&spec, &teach(&spec, &table), None, &mut |_| ()).unwrap();
    let mut state: Option<Vec<u8>> = None;
    for index in 0..4 {
        let spec = Train { part: Part::of(index, 4), ..spec.clone() };
        let done = run(&spec, &teach(&spec, &table), state.as_deref(), &mut |_| ()).unwrap();
        if index == 3 {
            assert_eq!((&done.outputs, &done.metrics), (&whole.outputs, &whole.metrics));
        }
        state = Some(done.outputs[0].bytes.clone());
    }
}

#[test]
fn a_long_gradient_is_shortened_to_the_clip_and_a_short_one_is_left() {
    let step = |clip| {
        let optimizer =
            Optimizer::Sgd { lr: 1.0, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let spec = Train { clip, optimizer, batch: 120, epochs: 1, ..regression() };
        let (_, done) = outcome(&spec, &table(0.0));
        // Both states are the same bytes but for what the step has changed.
        let lesson = teach(&spec, &table(0.0));
        let plan = Plan::new(&spec, &lesson).unwrap();
        let read = |at: usize| {
            let state =
                crate::compute::state::State::read(&done.checkpoints[at], &plan.shape, &spec);
            let parameters = state.unwrap().parameters;
            parameters.into_iter().flat_map(|p| p.theta.0).collect::<Vec<f32>>()
        };
        let moved = read(0)
            .into_iter()
            .zip(read(done.checkpoints.len() - 1))
            .map(|(a, b)| f64::from(b - a));
        moved.map(|x| x * x).sum::<f64>().sqrt()
    };
    let free = step(None);
    assert!((step(Some(free / 3.0)) - free / 3.0).abs() < 1e-6 * free);
    assert_eq!(step(Some(free * 1.01)), free);
}

#[test]
fn the_rate_follows_the_schedule() {
    let schedule = Schedule { decay: Decay::Linear, warmup: 1.0, end: 0.5 };
    let spec = Train { schedule, epochs: 3, batch: 60, ..regression() };
    let mut rates = Vec::new();
    let record = &mut |progress: Progress| rates.extend(progress.rate);
    run(&spec, &teach(&spec, &table(0.0)), None, record).unwrap();
    let want = [1.0 / 3.0, 2.0 / 3.0, 1.0, 0.875, 0.75, 0.625].map(|share| (LR * share) as f32);
    assert_eq!(rates, want);
}

/// Every way to learn, once.
fn ways() -> [Train; 4] {
    let schedule = Schedule { decay: Decay::Cosine, warmup: 0.7, end: 0.1 };
    let decaying = Optimizer::Sgd { lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    [
        Train { epochs: 3, optimizer: sgd(0.0, false), ..regression() },
        Train { epochs: 3, optimizer: decaying, clip: Some(0.5), schedule, ..labels() },
        Train { class_weights: ClassWeights::Balanced, ..stopping() },
        Train {
            epochs: 2,
            model: Model::Mlp { hidden: vec![5], activation: Activation::Relu },
            ..regression()
        },
    ]
}

#[test]
fn the_bytes_of_every_way_to_learn_are_golden() {
    let digests = ways().map(|spec| {
        let (_, done) = outcome(&spec, &table(1.0));
        let end = done.checkpoints.last().unwrap();
        format!("{} {}", Digest::of(&done.outputs[0].bytes).short(), Digest::of(end).short())
    });
    assert_eq!(
        digests,
        [
            "2066005932af a2c53782e732",
            "58498b055f23 17349b3ec7be",
            "1dd816748ba2 8b68ced6534c",
            "0239bd23e079 1b3fe5a3aac9",
        ]
    );
}

#[test]
fn r10_no_way_to_learn_depends_on_threads_or_the_instruction_set() {
    for spec in ways() {
        let lesson = teach(&spec, &table(1.0));
        let with =
            |engine| run_on(&Machine::Exact(engine), &spec, &lesson, None, &mut |_| ()).unwrap();
        let expect = with(Engine::default());
        assert_eq!(with(Engine::new(3)), expect);
        for isa in Isa::all() {
            assert_eq!(with(Engine::with(isa, 1)), expect, "{isa:?}");
        }
    }
}

#[test]
fn a_model_takes_raw_rows_through_the_steps_that_its_training_rows_went_through() {
    let raw = cells("id,colour,size,y\n1,red,10,1\n2,blue,,2\n3,red,30,3\n4,green,20,4\n");
    let mean = Fill { columns: vec!["size".to_owned()], with: Filling::Mean };
    let colours = OneHot { columns: vec!["colour".to_owned()], unknown: Unknown::Zeros };
    let steps = vec![
        Step::Drop(vec!["id".to_owned()]),
        Step::Fill(mean),
        Step::OneHot(colours),
        Step::Scale(Scale { columns: vec!["size".to_owned()], to: ScaleTo::MinMax }),
    ];
    let made = transform::run(&Transform { steps }, raw.clone(), None, None).unwrap();
    let (model, _) = outcome(&spec_of(Task::Regression, &["y"]), &made);
    assert_eq!(model.features(), ["colour=blue", "colour=green", "colour=red", "size"]);
    let said = model.predict(&made).unwrap();
    assert_eq!(model.predict(&raw).unwrap(), said);
    let Predictions::Real(said) = said else { unreachable!() };
    // One row alone, with its columns in another order, without a target, of a colour never seen.
    let one = cells("size,colour\n10,red\n20,violet\n");
    let Predictions::Real(alone) = model.predict(&one).unwrap() else { unreachable!() };
    assert_eq!(alone[0], said[0]);
    assert!(model.predict(&cells("size\n10\n")).unwrap_err().message.contains("colour"));
}

#[test]
fn a_state_of_another_optimiser_is_refused() {
    let spec = Train { part: Part::of(0, 2), ..regression() };
    let lesson = teach(&spec, &table(0.0));
    let state = run(&spec, &lesson, None, &mut |_| ()).unwrap().outputs[0].bytes.clone();
    let next = Train { part: Part::of(1, 2), ..spec };
    assert!(run(&next, &lesson, Some(&state), &mut |_| ()).is_ok());
    let other = Train { optimizer: sgd(0.9, false), ..next };
    let refused = run(&other, &lesson, Some(&state), &mut |_| ());
    check_refused(refused, "its size does not fit the model");
}
