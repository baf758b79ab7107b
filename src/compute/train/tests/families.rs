//! Tests of what learns and how: networks for images, Lion, steps in pieces.
//! Never measure time.

use super::*;
use crate::domain::job::{Cnn, Convolution, Image, ImageNorm, Padding};

/// Images of 6 × 6 with a bright square in one of four corners, in noise.
pub(super) fn corners() -> Examples {
    let noise = Philox::new(2, 1, 1);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for row in 0..90u32 {
        let corner = row % 4;
        for pixel in 0..36u32 {
            let (y, x) = (pixel / 6, pixel % 6);
            let is_bright = (y / 3, x / 3) == (corner / 2, corner % 2) && y % 3 + x % 3 > 1;
            let light = if is_bright { 1.0 } else { 0.0 };
            values.push(light + noise.uniform(u64::from(row * 36 + pixel)) * 0.8);
        }
        labels.push(corner);
    }
    let features: Vec<String> = (0..36).map(|pixel| format!("p{pixel:02}")).collect();
    let classes = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let truth = Truth::Classes { classes, of: labels };
    let column = |name: &String| Column { name: name.clone(), kind: ColumnKind::Real };
    let recipe = Recipe::raw(features.iter().map(column).collect());
    let values = Rows::new(values, 36);
    Examples { features, values, truth, recipe }
}

pub(super) fn images(epochs: u32, dropout: f64) -> Train {
    let first = Convolution { filters: 4, kernel: 3, padding: Padding::Same, norm: None, pool: 2 };
    let second = Convolution { filters: 6, norm: Some(ImageNorm::Groups(2)), pool: 1, ..first };
    let cnn = Cnn {
        image: Image { height: 6, width: 6, channels: 1 },
        convolutions: vec![first, second],
        hidden: vec![8],
        activation: Activation::Relu,
        dropout,
    };
    Train { model: Model::Cnn(cnn), ..spec(epochs, Part::WHOLE) }
}

/// The same with a norm over batches after the first convolution.
pub(super) fn by_batches(epochs: u32) -> Train {
    let mut spec = images(epochs, 0.0);
    if let Model::Cnn(cnn) = &mut spec.model {
        cnn.convolutions[0].norm = Some(ImageNorm::Batch);
    }
    spec
}

fn learned(engine: Engine, spec: &Train) -> Trained {
    let lesson = Lesson::of(spec, corners(), None).unwrap();
    run_on(&Machine::Exact(engine), spec, &lesson, None, &mut |_| ()).unwrap()
}

#[test]
fn a_network_for_images_learns() {
    for dropout in [0.0, 0.2] {
        let done = learned(Engine::default(), &images(12, dropout));
        let known = right(&done.outputs, &corners());
        assert!(known >= 88, "{known} of 90 with a dropout of {dropout}");
    }
}

#[test]
fn r10_the_bytes_of_a_network_for_images_are_golden_on_every_path() {
    let spec = images(2, 0.2);
    let expect = learned(Engine::default(), &spec);
    for isa in Isa::all() {
        for threads in [1, 3] {
            assert_eq!(learned(Engine::with(isa, threads), &spec), expect, "{isa:?} {threads}");
        }
    }
    let end = expect.checkpoints.last().unwrap();
    let digests = [Digest::of(&expect.outputs[0].bytes).short(), Digest::of(end).short()];
    assert_eq!(digests, ["993db4944148", "54550692a7ba"]);
}

#[test]
fn r10_a_training_of_images_is_its_segments_replayed_one_by_one() {
    let spec = images(3, 0.2);
    let lesson = Lesson::of(&spec, corners(), None).unwrap();
    let done = learned(Engine::default(), &spec);
    for (k, pair) in (0..).zip(done.checkpoints.windows(2)) {
        let replayed = replay(&spec, &lesson, None, k, Some(&pair[0]), 1).unwrap();
        assert_eq!(replayed.checkpoint, pair[1], "segment {k}");
    }
}

#[test]
fn r10_what_is_kept_of_batches_is_part_of_the_state_and_golden() {
    let spec = by_batches(3);
    let lesson = Lesson::of(&spec, corners(), None).unwrap();
    let done = learned(Engine::default(), &spec);
    for isa in Isa::all() {
        for threads in [1, 3] {
            assert_eq!(learned(Engine::with(isa, threads), &spec), done, "{isa:?} {threads}");
        }
    }
    for (k, pair) in (0..).zip(done.checkpoints.windows(2)) {
        let replayed = replay(&spec, &lesson, None, k, Some(&pair[0]), 1).unwrap();
        assert_eq!(replayed.checkpoint, pair[1], "segment {k}");
    }
    let end = done.checkpoints.last().unwrap();
    let digests = [Digest::of(&done.outputs[0].bytes).short(), Digest::of(end).short()];
    assert_eq!(digests, ["0589b68cd079", "fa75bce9ba79"]);
    // A state of a network without it is none of this training.
    let other = learned(Engine::default(), &images(3, 0.0));
    let fault = replay(&spec, &lesson, None, 1, Some(&other.checkpoints[1]), 1).unwrap_err();
    assert!(fault.message.contains("does not fit the model"), "{fault}");
}

#[test]
fn by_batches_is_learned_and_a_prediction_goes_by_what_was_kept() {
    for spec in [by_batches(12), Train { accumulate: 2, ..by_batches(12) }] {
        let done = learned(Engine::default(), &spec);
        let known = right(&done.outputs, &corners());
        assert!(known >= 88, "{known} of 90");
        let model = Predictor::from_bytes(&done.outputs[0].bytes).unwrap();
        assert_eq!(model.to_bytes().unwrap(), done.outputs[0].bytes);
        assert_eq!(*model.model(), spec.model);
        let (corners, width) = (corners(), model.width());
        let values = corners.values.all().unwrap();
        let alone = values.chunks(width).flat_map(|row| model.raw_outputs(row, 1).unwrap());
        assert_eq!(model.raw_outputs(&values, 90).unwrap(), alone.collect::<Vec<_>>());
    }
}

#[test]
fn what_shards_keep_of_their_batches_is_merged_as_their_moments_are() {
    use crate::compute::merge;
    use crate::compute::state::State;
    use crate::domain::job::{Merge, Rule};
    let spec = by_batches(2);
    let lesson = Lesson::of(&spec, corners(), None).unwrap();
    let start = State::initial(&Plan::new(&spec, &lesson).unwrap().shape, &spec);
    let states = [1, 2].map(|seed| {
        let done = learned(Engine::default(), &Train { seed, ..spec.clone() });
        done.checkpoints.last().unwrap().clone()
    });
    let rule = Merge { rule: Rule::Mean, quorum: 1, lr: 0.7, momentum: 0.9 };
    let named: Vec<(&str, &[u8])> = states.iter().map(|state| ("s", state.as_slice())).collect();
    let merged = merge::run(&rule, &start.into_bytes(), &named).unwrap().outputs.remove(0).bytes;
    let read = |bytes: &[u8]| {
        let bytes = crate::compute::state::read_shared(bytes).unwrap().1;
        State::of_any("s", bytes).unwrap().parameters
    };
    let (a, b, merged) = (read(&states[0]), read(&states[1]), read(&merged));
    // After weights, bias, γ and β come mean and variance.
    for at in [4, 5] {
        assert!(merged[at].theta.0.is_empty());
        let pairs = a[at].moments[0].0.iter().zip(&b[at].moments[0].0);
        let means = pairs.map(|(a, b)| ((f64::from(*a) + f64::from(*b)) / 2.0) as f32);
        assert_eq!(merged[at].moments[0].0, means.collect::<Vec<_>>());
    }
}

#[test]
fn a_model_file_of_images_says_what_the_network_said() {
    let done = learned(Engine::default(), &images(2, 0.2));
    let bytes = &done.outputs[0].bytes;
    let model = Predictor::from_bytes(bytes).unwrap();
    assert_eq!(model.to_bytes().unwrap(), *bytes);
    assert_eq!(*model.model(), images(2, 0.2).model);
}

#[test]
fn images_of_another_extent_than_the_features_are_refused() {
    let spec = images(1, 0.0);
    check_refused(run(&spec, &lesson(&spec), None, &mut |_| ()), "6 × 6 × 1 = 36 values");
}

#[test]
fn lion_learns_and_its_bytes_are_golden() {
    let optimizer = Optimizer::Lion { lr: 0.003, beta1: 0.9, beta2: 0.99, weight_decay: 0.1 };
    let done = trained(&Train { optimizer: optimizer.clone(), ..spec(30, Part::WHOLE) }, None);
    assert_eq!(right(&done.outputs, &data()), 75);
    let few = trained(&Train { optimizer, ..spec(3, Part::WHOLE) }, None);
    assert_eq!(Digest::of(few.checkpoints.last().unwrap()).short(), "0889065463f3");
}

#[test]
fn pieces_of_a_step_learn_what_the_whole_step_learns() {
    let outputs = |accumulate, batch| {
        let done = trained(&Train { accumulate, batch, ..spec(3, Part::WHOLE) }, None);
        let model = Predictor::from_bytes(&done.outputs[0].bytes).unwrap();
        model.raw_outputs(&data().values.all().unwrap(), data().rows()).unwrap()
    };
    let whole = outputs(1, 16);
    let distance = |other: &[f32]| {
        let apart = whole.iter().zip(other).map(|(a, b)| (a - b).abs());
        apart.fold(0.0, f32::max)
    };
    // 75 rows: the last step has 11, which none of these numbers of pieces divides.
    for pieces in [2, 3, 16, 64] {
        let apart = distance(&outputs(pieces, 16));
        assert!(apart < 1e-3, "{pieces}: {apart}");
    }
    // Steps of a fourth of the rows are something else.
    assert!(distance(&outputs(1, 4)) > 1e-2);
}
