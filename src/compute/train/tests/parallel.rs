//! Trainings in parallel: what is the same bytes, what learns, and what survives an accident.
//! Never runs a job anywhere else: that is `tests/it`.

use super::*;
use crate::compute::bench::{Accident, rehearse};
use crate::compute::merge;
use crate::domain::job::{Decay, Deltas, Merge, Rounds, Rule};

fn rounds(shards: u32, rounds: u32, rule: Rule) -> Rounds {
    let merge = Merge { rule, quorum: 1, lr: 0.7, momentum: 0.9 };
    Rounds {
        shards,
        rounds,
        local_steps: 5,
        merge,
        grace_ms: None,
        deltas: Deltas::Whole,
        alone: 0,
    }
}

fn parallel(parallel: Parallel) -> Train {
    Train { parallel: Some(parallel), batch: 8, epochs: 0, segments: 5, ..spec(1, Part::WHOLE) }
}

fn none(_: u32, _: u32) -> Accident {
    Accident::None
}

fn run_all(rounds: &Rounds, accident: &dyn Fn(u32, u32) -> Accident) -> Result<Done, Fault> {
    let spec = parallel(Parallel::Start);
    rehearse(&spec, rounds, &lesson(&spec), accident)
}

#[test]
fn shards_that_learn_side_by_side_learn() {
    for (shards, rule) in [(1, Rule::Mean), (4, Rule::Mean), (5, Rule::TrimmedMean { trim: 1 })] {
        let done = run_all(&rounds(shards, 12, rule), &none).unwrap();
        assert!(
            right(&done.outputs, &data()) >= 74,
            "{shards} shards: {}",
            right(&done.outputs, &data())
        );
        let epochs = f64::from(shards) * 12.0 * 5.0 * 8.0 / 75.0;
        assert_eq!(done.metrics[1], ("epochs".to_owned(), epochs));
    }
}

#[test]
fn r10_the_bytes_of_a_training_in_parallel_are_golden() {
    let digest = |rule| Digest::of(&run_all(&rounds(4, 3, rule), &none).unwrap().outputs[0].bytes);
    let golden = [digest(Rule::Mean), digest(Rule::TrimmedMean { trim: 1 }), digest(Rule::Median)];
    assert_eq!(
        golden.map(|digest| digest.short()),
        ["ec1248cd7e53", "64830e9935f6", "64830e9935f6"]
    );
}

#[test]
fn r10_every_segment_of_a_shard_is_replayed_from_its_checkpoint() {
    let start = trained(&parallel(Parallel::Start), None).outputs[0].bytes.clone();
    let shape = rounds(2, 2, Rule::Mean);
    let first: Vec<Trained> = (0..2)
        .map(|index| trained(&parallel(shape.shard((0, index), false)), Some(&start)))
        .collect();
    assert_ne!(first[0].outputs, first[1].outputs, "each has rows of its own");
    let states: Vec<(&str, &[u8])> = ["shards[1]", "shards[2]"]
        .into_iter()
        .zip(first.iter().map(|done| done.outputs[0].bytes.as_slice()))
        .collect();
    let shared = merge::run(&shape.merge, &start, &states).unwrap().outputs[0].bytes.clone();
    let spec = parallel(shape.shard((1, 1), false));
    let data = lesson(&spec);
    let done = trained(&spec, Some(&shared));
    assert_eq!((done.checkpoints.len(), spec.gives_model()), (6, false));
    for k in 0..5u32 {
        let checkpoint = (k > 0).then(|| done.checkpoints[k as usize].as_slice());
        let replayed = replay(&spec, &data, Some(&shared), k, checkpoint, 0).unwrap();
        assert_eq!(replayed.begin, Digest::of(&done.checkpoints[k as usize]), "{k}");
        assert_eq!(replayed.checkpoint, done.checkpoints[k as usize + 1], "{k}");
    }
    // Ten steps of two shards with 8 rows each, and what the merge remembers is left behind.
    assert!(shared.len() > done.outputs[0].bytes.len());
    assert_eq!(done.metrics[1].1, 10.0 * 16.0 / 75.0);
}

#[test]
fn shards_that_say_less_learn_as_well_with_every_optimiser_and_their_bytes_are_golden() {
    let moments = Merge { rule: Rule::Mean, quorum: 1, lr: 1.0, momentum: 0.0 };
    let sgd = Optimizer::Sgd { lr: 0.05, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    let mut golden = Vec::new();
    for (optimizer, merge) in
        [(adamw(0.02), moments), (adamw(0.02), rounds(4, 12, Rule::Mean).merge), (sgd, moments)]
    {
        let spec = Train { optimizer, ..parallel(Parallel::Start) };
        let [whole, less] = [Deltas::Whole, Deltas::Int8].map(|deltas| {
            let rounds = Rounds { deltas, merge, ..rounds(4, 12, Rule::Mean) };
            rehearse(&spec, &rounds, &lesson(&spec), &none).unwrap()
        });
        let [a, b] = [&whole, &less].map(|done| done.metrics[0].1);
        assert!((a - b).abs() < 0.02 * a.max(0.1), "{a} {b} of {:?}", spec.optimizer);
        assert_ne!(whole.outputs, less.outputs);
        golden.push(Digest::of(&less.outputs[0].bytes).short());
    }
    assert_eq!(golden, ["33cd85ba8963", "5ccf7a31288b", "a8871325318a"]);
}

#[test]
fn one_shard_all_of_whose_way_is_gone_trains_as_in_one_round() {
    let all = |rounds: u32, local_steps: u32| {
        let merge = Merge { rule: Rule::Mean, quorum: 1, lr: 1.0, momentum: 0.0 };
        let rounds = Rounds {
            shards: 1,
            rounds,
            local_steps,
            merge,
            grace_ms: None,
            deltas: Deltas::Whole,
            alone: 0,
        };
        run_all(&rounds, &none).unwrap().outputs
    };
    assert_eq!(all(3, 4), all(1, 12));
}

#[test]
fn more_rounds_of_a_steady_rate_begin_with_the_same_bytes_and_a_falling_one_does_not() {
    let first = |rounds: u32, decay: Decay| {
        let shape = Rounds { rounds, ..rounds_of() };
        let spec = parallel(shape.shard((0, 0), decay != Decay::Constant));
        let end = if decay == Decay::Constant { 1.0 } else { 0.0 };
        let spec = Train { schedule: Schedule { decay, warmup: 0.5, end }, ..spec };
        let start = trained(&parallel(Parallel::Start), None).outputs[0].bytes.clone();
        trained(&spec, Some(&start)).outputs
    };
    assert_eq!(first(2, Decay::Constant), first(9, Decay::Constant));
    assert_ne!(first(2, Decay::Cosine), first(9, Decay::Cosine));
}

fn rounds_of() -> Rounds {
    rounds(4, 1, Rule::Mean)
}

#[test]
fn a_quarter_of_the_shards_lost_still_learns() {
    let lost = |round: u32, shard: u32| match (round + shard) % 4 {
        0 => Accident::Lost,
        _ => Accident::None,
    };
    let done = run_all(&rounds(4, 12, Rule::Mean), &lost).unwrap();
    assert!(right(&done.outputs, &data()) >= 74, "{}", right(&done.outputs, &data()));
}

#[test]
fn two_poisoned_shards_of_eight_are_trimmed_and_a_mean_follows_them() {
    let poisoned = |_: u32, shard: u32| match shard {
        0 | 5 => Accident::Poisoned { times: -5.0 },
        _ => Accident::None,
    };
    for rule in [Rule::TrimmedMean { trim: 2 }, Rule::Median] {
        let done = run_all(&rounds(8, 12, rule), &poisoned).unwrap();
        assert!(right(&done.outputs, &data()) >= 72, "{rule:?}: {}", right(&done.outputs, &data()));
    }
    // It fails, or what it has learned is worth nothing.
    let loss = |done: Done| done.metrics[0].1;
    let worst = run_all(&rounds(8, 12, Rule::Mean), &poisoned).map_or(f64::INFINITY, loss);
    assert!(worst > 3.0, "{worst}");
}

#[test]
fn rows_that_are_held_out_validate_the_model_and_no_shard() {
    let spec = Train { validation: Some(0.2), ..parallel(Parallel::Start) };
    let lesson = Lesson::of(&spec, data(), Some(data())).unwrap();
    let done = rehearse(&spec, &rounds(3, 2, Rule::Mean), &lesson, &none).unwrap();
    let names: Vec<&str> = done.metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["loss", "epochs", "validationLoss"]);
    let shard = Train { parallel: Some(rounds_of().shard((0, 0), false)), ..spec.clone() };
    let start = run(&spec, &lesson, None, &mut |_| ()).unwrap().outputs[0].bytes.clone();
    assert_eq!(run(&shard, &lesson, Some(&start), &mut |_| ()).unwrap().metrics.len(), 2);
}

#[test]
fn what_is_no_job_of_a_training_in_parallel_is_refused() {
    let refused = |spec: Train, state: Option<&[u8]>, expect: &str| {
        check_refused(run(&spec, &lesson(&spec), state, &mut |_| ()), expect);
    };
    let start = trained(&parallel(Parallel::Start), None).outputs[0].bytes.clone();
    let of = rounds(76, 2, Rule::Mean);
    refused(parallel(of.shard((0, 0), false)), Some(&start), "75 rows to train on for 76 shards");
    let of = rounds(2, 2, Rule::Mean);
    refused(parallel(of.shard((0, 2), false)), Some(&start), "no such job");
    refused(parallel(Parallel::Whole(of.clone())), None, "no such job");
    refused(parallel(of.shard((0, 0), false)), None, "no state to go on from");
    refused(parallel(of.shard((1, 0), false)), Some(&start), "the state is at step 0, not at 5");
    refused(parallel(of.finish()), Some(&start), "the state is at step 0, not at 10");
    refused(parallel(Parallel::Start), Some(&start), "begins without a state");
    let mut wild = parallel(of.shard((0, 0), false));
    wild.optimizer = adamw(1e30);
    refused(wild, Some(&start), "is not finite at step");
}
