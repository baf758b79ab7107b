//! Tests of training: what must be the same bytes, and what must be refused.
//! Never measures time.

mod away;
mod families;
mod fast;
mod parallel;
mod tasks;
mod texts;

use super::*;
use crate::compute::Metrics;
use crate::compute::examples::{Examples, Truth};
use crate::compute::kernel::philox::Philox;
use crate::compute::kernel::{Engine, Isa};
use crate::compute::predictor::Predictor;
use crate::compute::recipe::Recipe;
use crate::compute::rows::Rows;
use crate::compute::table::Table;
use crate::domain::job::{
    Activation, ClassWeights, Column, ColumnKind, Mode, Model, Optimizer, Part, Scaling, Schedule,
};
use proptest::prelude::*;
use std::convert::Infallible;

const LR: f64 = 0.01;

fn adamw(lr: f64) -> Optimizer {
    Optimizer::AdamW { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
}

fn spec(epochs: u32, part: Part) -> Train {
    Train {
        model: Model::Mlp { hidden: vec![9, 6], activation: Activation::Relu },
        epochs,
        batch: 16,
        accumulate: 1,
        optimizer: adamw(LR),
        part,
        ..spec_of(Task::Classification, &["species"])
    }
}

/// A linear model that is trained for one epoch.
pub(in crate::compute) fn spec_of(task: Task, targets: &[&str]) -> Train {
    Train {
        task,
        model: Model::Linear,
        targets: targets.iter().map(ToString::to_string).collect(),
        features: None,
        class_weights: ClassWeights::Even,
        epochs: 1,
        batch: 32,
        mode: Mode::Exact,
        accumulate: 1,
        optimizer: adamw(LR),
        schedule: Schedule::CONSTANT,
        clip: None,
        validation: None,
        early_stopping: None,
        seed: 42,
        scaling: Scaling::Standard,
        part: Part::WHOLE,
        parallel: None,
        segments: 8,
    }
}

pub(super) fn cells(csv: &str) -> Table {
    Table::from_csv(csv.as_bytes()).unwrap()
}

/// Three clouds of points with a constant column: 75 rows, so the last batch is smaller.
fn data() -> Examples {
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let noise = Philox::new(1, 1, 1);
    for row in 0..75u32 {
        let class = row % 3;
        for feature in 0..4u32 {
            let centre = if feature == class { 5.0 } else { 1.0 };
            values.push(centre + noise.uniform(u64::from(row * 4 + feature)) * 2.0);
        }
        values.push(3.0);
        labels.push(class);
    }
    let features = ["a", "b", "c", "d", "constant"].map(str::to_owned).to_vec();
    let classes = ["x", "y", "z"].map(str::to_owned).to_vec();
    let truth = Truth::Classes { classes, of: labels };
    let column = |name: &String| Column { name: name.clone(), kind: ColumnKind::Real };
    let recipe = Recipe::raw(features.iter().map(column).collect());
    let values = Rows::new(values, 5);
    Examples { features, values, truth, recipe }
}

fn lesson(spec: &Train) -> Lesson {
    Lesson::of(spec, data(), None).unwrap()
}

/// What a training gives, and the states that it has on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trained {
    pub outputs: Vec<Named>,
    pub checkpoints: Vec<Vec<u8>>,
    pub metrics: Metrics,
}

fn run_on(
    machine: &Machine,
    spec: &Train,
    lesson: &Lesson,
    state: Option<&[u8]>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trained, Fault> {
    let mut checkpoints = Vec::new();
    let mut keep = |state| {
        checkpoints.push(state);
        Ok::<_, Infallible>(())
    };
    let done = super::run(machine, spec, lesson, state, progress, &mut keep);
    let Done { outputs, metrics } = done.map_err(Ended::fault)?;
    Ok(Trained { outputs, checkpoints, metrics })
}

fn run(
    spec: &Train,
    lesson: &Lesson,
    state: Option<&[u8]>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trained, Fault> {
    run_on(&Machine::default(), spec, lesson, state, progress)
}

fn trained(spec: &Train, state: Option<&[u8]>) -> Trained {
    run(spec, &lesson(spec), state, &mut |_| ()).unwrap()
}

/// How many rows the model is right about.
fn right(outputs: &[Named], data: &Examples) -> usize {
    let model = Predictor::from_bytes(&outputs[0].bytes).unwrap();
    let Truth::Classes { classes, of } = &data.truth else { unreachable!() };
    let logits = model.raw_outputs(&data.values.all().unwrap(), data.rows()).unwrap();
    let is_largest =
        |(row, label): &(&[f32], &u32)| row.iter().all(|logit| *logit <= row[**label as usize]);
    logits.chunks(classes.len()).zip(of).filter(is_largest).count()
}

#[track_caller]
fn check_refused(result: Result<Trained, Fault>, expect: &str) {
    let fault = result.unwrap_err();
    assert!(fault.message.contains(expect), "{}", fault.message);
    assert!(!fault.hint.is_empty(), "no hint: {}", fault.message);
}

#[test]
fn the_model_learns() {
    let done = trained(&spec(30, Part::WHOLE), None);
    assert_eq!(right(&done.outputs, &data()), 75);
    assert!(done.metrics[0].1 < 0.3, "{:?}", done.metrics);
}

#[test]
fn the_bytes_of_a_trained_model_are_golden() {
    let mut tanh = spec(5, Part::WHOLE);
    tanh.model = Model::Mlp { hidden: vec![7], activation: Activation::Tanh };
    let digest = |spec: &Train| {
        let done = trained(spec, None);
        let end = done.checkpoints.last().unwrap();
        [Digest::of(&done.outputs[0].bytes).short(), Digest::of(end).short()]
    };
    assert_eq!(
        (digest(&spec(5, Part::WHOLE)), digest(&tanh)),
        (
            ["107a2a3326d7", "f24cd6dffa0c"].map(str::to_owned),
            ["ae3cc3f6b58a", "fd88c5137bb6"].map(str::to_owned)
        )
    );
}

#[test]
fn r10_neither_threads_nor_the_instruction_set_change_a_byte() {
    let mut wide = spec(1, Part::WHOLE);
    wide.model = Model::Mlp { hidden: vec![400, 300], activation: Activation::Tanh };
    wide.batch = 75;
    let with =
        |engine| run_on(&Machine::Exact(engine), &wide, &lesson(&wide), None, &mut |_| ()).unwrap();
    let expect = with(Engine::default());
    assert_eq!(with(Engine::new(4)), expect);
    for isa in Isa::all() {
        assert_eq!(with(Engine::with(isa, 1)), expect, "{isa:?}");
    }
}

#[test]
fn r10_a_run_is_its_segments_replayed_one_by_one() {
    let spec = spec(11, Part::WHOLE);
    let data = lesson(&spec);
    let done = trained(&spec, None);
    assert_eq!(done.checkpoints.len(), 9);
    for k in 0..8u32 {
        let checkpoint = done.checkpoints[k as usize].as_slice();
        let replayed = replay(&spec, &data, None, k, Some(checkpoint), 0).unwrap();
        assert_eq!(replayed.begin, Digest::of(checkpoint));
        assert_eq!(replayed.checkpoint, done.checkpoints[k as usize + 1], "segment {k}");
        let (outputs, metrics) =
            if k == 7 { (done.outputs.clone(), done.metrics.clone()) } else { Default::default() };
        assert_eq!((replayed.outputs, replayed.metrics), (outputs, metrics), "segment {k}");
    }
    let first = replay(&spec, &data, None, 0, None, 0).unwrap();
    assert_eq!(first.checkpoint, done.checkpoints[1]);
}

#[test]
fn r10_a_segment_is_its_steps_taken_one_by_one() {
    let spec = spec(11, Part::WHOLE);
    let data = lesson(&spec);
    let done = trained(&spec, None);
    let begin = done.checkpoints[2].as_slice();
    let whole = trace(&spec, &data, None, 2, Some(begin), None).unwrap();
    assert_eq!(whole.state, done.checkpoints[3]);
    assert!(whole.steps > 1, "{}", whole.steps);
    let mut state = begin.to_vec();
    for at in 0..whole.steps {
        let traced = trace(&spec, &data, None, 2, Some(begin), Some(at)).unwrap();
        assert_eq!((traced.steps, &traced.state), (at, &state));
        let probed = replay(&spec, &data, None, 2, Some(begin), at as u32).unwrap();
        assert_eq!(probed.trace, Digest::of(&state));
        state = step(&spec, &data, 2, &state).unwrap();
    }
    assert_eq!(state, done.checkpoints[3]);
    assert_eq!(step(&spec, &data, 2, &state).unwrap(), state, "not beyond the segment");
}

#[test]
fn a_state_that_is_none_between_two_steps_is_refused() {
    let spec = spec(11, Part::WHOLE);
    let data = lesson(&spec);
    let done = trained(&spec, None);
    let middle = trace(&spec, &data, None, 2, Some(&done.checkpoints[2]), Some(1)).unwrap().state;
    for cut in [0, 1, 20, middle.len() - 1] {
        assert!(step(&spec, &data, 2, &middle[..cut]).is_err(), "{cut}");
    }
    // It holds a sum of losses, which none between two epochs does; and its last step is not 55.
    let at = |step: u64| {
        let place = 4 + "ohc/state/2".len();
        let mut bytes = middle.clone();
        bytes[place..place + 8].copy_from_slice(&step.to_le_bytes());
        bytes
    };
    assert_eq!(at(14), middle);
    assert!(step(&spec, &data, 2, &at(15)).is_err() && step(&spec, &data, 2, &at(16)).is_ok());
    assert!(step(&spec, &data, 2, &at(56)).is_err());
}

#[test]
fn three_parts_end_where_the_whole_ends() {
    let whole = trained(&spec(7, Part::WHOLE), None);
    let mut state: Option<Vec<u8>> = None;
    for index in 0..3 {
        let spec = spec(7, Part::of(index, 3));
        let done = trained(&spec, state.as_deref());
        let replayed = replay(&spec, &lesson(&spec), state.as_deref(), 0, None, 0).unwrap();
        assert_eq!(replayed.checkpoint, done.checkpoints[1]);
        assert_eq!(state.is_none(), index == 0);
        if index == 2 {
            assert_eq!(done.outputs, whole.outputs);
            assert_eq!(done.checkpoints.last(), whole.checkpoints.last());
        } else {
            assert_eq!(done.outputs[0].name, "state");
            assert_eq!(Some(&done.outputs[0].bytes), done.checkpoints.last());
            state = Some(done.outputs[0].bytes.clone());
        }
    }
}

#[test]
fn a_part_without_steps_hands_its_state_on() {
    let mut spec = spec(1, Part::of(0, 3));
    spec.batch = 75;
    let first = trained(&spec, None);
    assert!(first.checkpoints.iter().all(|state| *state == first.checkpoints[0]));
    assert!(first.metrics.is_empty());
}

#[test]
fn parts_and_segments_may_end_in_the_middle_of_an_epoch() {
    let whole = trained(&spec(1, Part::WHOLE), None);
    let mut state: Option<Vec<u8>> = None;
    for index in 0..2 {
        let done = trained(&spec(1, Part::of(index, 2)), state.as_deref());
        let distinct: std::collections::BTreeSet<_> = done.checkpoints.iter().collect();
        assert_eq!(distinct.len(), 3 + index as usize, "5 steps in two parts of 8 segments");
        state = Some(done.outputs[0].bytes.clone());
        if index == 1 {
            assert_eq!(done.outputs, whole.outputs);
        }
    }
}

#[test]
fn a_diverging_training_fails_with_its_step() {
    let refused = |batch: u32, rate: f64, expect: &str| {
        let mut spec = spec(8, Part::WHOLE);
        (spec.optimizer, spec.batch) = (adamw(rate), batch);
        check_refused(run(&spec, &lesson(&spec), None, &mut |_| ()), expect);
    };
    refused(16, 1e30, "the loss is not finite at step 2 of 40");
    refused(75, 1e39, "the state is not finite at step 1 of 8");
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let refused = |change: &dyn Fn(&mut Train, &mut Examples), expect: &str| {
        let (mut spec, mut data) = (spec(2, Part::WHOLE), data());
        change(&mut spec, &mut data);
        let lesson = Lesson::of(&spec, data, None).unwrap();
        check_refused(run(&spec, &lesson, None, &mut |_| ()), expect);
    };
    refused(&|spec, _| spec.batch = 0, "`batch` is 0");
    refused(&|spec, _| spec.part = Part::of(1, 1), "no such part");
    refused(&|spec, _| spec.part = Part::of(1, 2), "no state");
    refused(
        &|_, data| {
            let mut values = data.values.all().unwrap().into_owned();
            values[7] = f32::NAN;
            data.values = Rows::new(values, 5);
        },
        "the feature `c` of row 1",
    );
    let one = Truth::Classes { classes: vec!["x".to_owned()], of: vec![0; 75] };
    refused(&|_, data| data.truth = one.clone(), "1 different values");
    refused(&|_, data| data.values = data.values.pick(&[0, 1]), "one value per row");
    refused(
        &|_, data| (data.truth, data.values) = (Truth::Real(Vec::new()), data.values.pick(&[])),
        "there are 0 rows",
    );
    let state = trained(&spec(2, Part::of(0, 2)), None).outputs[0].bytes.clone();
    check_refused(
        run(&spec(2, Part::WHOLE), &lesson(&spec(2, Part::WHOLE)), Some(&state), &mut |_| ()),
        "without a state",
    );
    let late = spec(4, Part::of(1, 2));
    check_refused(
        run(&late, &lesson(&late), Some(&state), &mut |_| ()),
        "the state is at step 5, not at 10",
    );
}

#[test]
fn progress_counts_the_steps_and_rows_of_the_part() {
    let mut seen = Vec::new();
    let spec = spec(2, Part::WHOLE);
    run(&spec, &lesson(&spec), None, &mut |p| seen.push(p)).unwrap();
    let steps: Vec<_> = seen.iter().map(|p| (p.step, p.steps)).collect();
    assert_eq!(steps, (1..=10).map(|step| (step, 10)).collect::<Vec<_>>());
    let rows = data().rows() as u64;
    assert!(seen.windows(2).all(|pair| pair[0].rows < pair[1].rows), "{seen:?}");
    let passes = seen.iter().filter(|p| p.rows % rows == 0).count() as u64;
    assert_eq!(seen.last().map(|p| p.rows), Some(passes * rows), "whole passes end on whole rows");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_of_a_checkpoint_never_goes_unnoticed(at: u64, bit in 0u8..8) {
        let spec = spec(2, Part::WHOLE);
        let data = lesson(&spec);
        let first = replay(&spec, &data, None, 0, None, 0).unwrap();
        let mut bytes = first.checkpoint.clone();
        let at = (at % bytes.len() as u64) as usize;
        bytes[at] ^= 1 << bit;
        prop_assert_ne!(Digest::of(&bytes), first.end);
        if let Ok(replayed) = replay(&spec, &data, None, 1, Some(&bytes), 0) {
            prop_assert_ne!(replayed.begin, first.end);
        }
    }

    #[test]
    fn r13_no_bytes_panic_the_reader_of_states(bytes: Vec<u8>, cut: u64) {
        let spec = spec(2, Part::WHOLE);
        let data = lesson(&spec);
        prop_assert!(replay(&spec, &data, None, 1, Some(&bytes), 0).is_err());
        let whole = replay(&spec, &data, None, 0, None, 0).unwrap().checkpoint;
        let cut = (cut % whole.len() as u64) as usize;
        prop_assert!(replay(&spec, &data, None, 1, Some(&whole[..cut]), 0).is_err());
    }
}
