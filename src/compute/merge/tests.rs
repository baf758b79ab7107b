//! Tests of merges: what is kept, what is refused, and who may lie. Never trains: see `train`.

use super::*;

const MEAN: Merge = Merge { rule: Rule::Mean, quorum: 1, lr: 1.0, momentum: 0.0 };

/// A state of one parameter of two numbers, with the moments of AdamW.
fn state(step: u64, theta: [f32; 2], m: [f32; 2], v: [f32; 2]) -> State {
    let floats = |xs: [f32; 2]| Floats(xs.to_vec());
    let moments = vec![floats(m), floats(v)];
    let parameters = vec![Moving { theta: floats(theta), moments, best: Floats(Vec::new()) }];
    let course = Course { loss: f64::from(theta[0]), ..Course::default() };
    State { step, powers: (0.5, 0.25), course, parameters }
}

fn bytes(state: State) -> Vec<u8> {
    state.into_bytes()
}

fn begin() -> Vec<u8> {
    bytes(State { powers: (1.0, 1.0), ..state(0, [1.0, 2.0], [0.0; 2], [0.0; 2]) })
}

/// Merges states that are called by their places.
fn merge_all(spec: &Merge, from: &[u8], shards: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
    let names: Vec<String> = (1..=shards.len()).map(|n| format!("shards[{n}]")).collect();
    let shards = names.iter().zip(shards).map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    run(spec, from, &shards.collect::<Vec<_>>()).map(|done| done.outputs[0].bytes.clone())
}

/// The parameters and moments of merged bytes.
fn numbers(bytes: &[u8]) -> [Vec<f32>; 3] {
    let (_, state) = read_shared(bytes).unwrap();
    let Moving { theta, moments, .. } = State::of_any("s", state).unwrap().parameters.remove(0);
    [theta.0, moments[0].0.clone(), moments[1].0.clone()]
}

#[test]
fn one_shard_all_of_whose_way_is_gone_is_merged_to_itself() {
    let shard = bytes(state(5, [3.0, -1.0], [0.5, 0.25], [0.125, 1.0]));
    for rule in [Rule::Mean, Rule::Median] {
        let spec = Merge { rule, ..MEAN };
        assert_eq!(merge_all(&spec, &begin(), std::slice::from_ref(&shard)).unwrap(), shard);
    }
}

#[test]
fn parameters_and_moments_are_merged_alike_and_powers_go_on() {
    let shards = [
        bytes(state(5, [3.0, -1.0], [0.5, 0.25], [0.0, 1.0])),
        bytes(state(5, [5.0, -3.0], [1.5, 0.75], [4.0, 3.0])),
    ];
    let merged = merge_all(&MEAN, &begin(), &shards).unwrap();
    assert_eq!(numbers(&merged), [vec![4.0, -2.0], vec![1.0, 0.5], vec![2.0, 2.0]]);
    let state = State::of_any("s", &merged).unwrap();
    assert_eq!((state.step, state.powers, state.course.loss), (5, (0.5, 0.25), 4.0));
}

#[test]
fn ways_are_remembered_from_merge_to_merge() {
    let spec = Merge { lr: 0.5, momentum: 0.5, ..MEAN };
    let to = |step, x: f32| bytes(state(step, [x; 2], [0.0; 2], [0.0; 2]));
    let start = to(0, 0.0);
    let once = merge_all(&spec, &start, &[to(5, 4.0)]).unwrap();
    assert_eq!(numbers(&once)[0], [3.0, 3.0]);
    let twice = merge_all(&spec, &once, &[to(10, 3.0)]).unwrap();
    // Nobody moved, but the way before goes on: half of half of it.
    assert_eq!(numbers(&twice)[0], [3.5, 3.5]);
    let forgotten = merge_all(&MEAN, &once, &[to(10, 3.0)]).unwrap();
    assert_eq!(numbers(&forgotten)[0], [3.0, 3.0]);
}

#[test]
fn as_many_poisoned_shards_as_are_trimmed_do_no_harm_and_a_mean_is_lost_to_one() {
    let honest = |x: f32| bytes(state(5, [x, -x], [0.5; 2], [0.5; 2]));
    let poisoned = bytes(state(5, [-3e38, 3e38], [-3e38; 2], [3e38; 2]));
    let mut shards: Vec<Vec<u8>> = [1.0, 1.25, 1.5].map(honest).to_vec();
    shards.extend([poisoned.clone(), poisoned]);
    let trimmed = Merge { rule: Rule::TrimmedMean { trim: 2 }, ..MEAN };
    for spec in [trimmed, Merge { rule: Rule::Median, ..MEAN }] {
        let [theta, m, v] = numbers(&merge_all(&spec, &begin(), &shards).unwrap());
        assert!((1.0..=1.5).contains(&theta[0]) && (-1.5..=-1.0).contains(&theta[1]), "{theta:?}");
        assert_eq!((m, v), (vec![0.5; 2], vec![0.5; 2]));
    }
    let [theta, ..] = numbers(&merge_all(&MEAN, &begin(), &shards).unwrap());
    assert!(theta[0] < -1e38, "{theta:?}");
}

#[test]
fn what_is_not_of_one_round_is_refused() {
    let good = state(5, [1.0; 2], [0.0; 2], [0.0; 2]);
    let check = |spec: &Merge, shards: &[State], expect: &str| {
        let shards: Vec<Vec<u8>> = shards.iter().cloned().map(bytes).collect();
        let fault = merge_all(spec, &begin(), &shards).unwrap_err();
        assert!(fault.message.contains(expect) && !fault.hint.is_empty(), "{fault:?}");
    };
    check(&MEAN, &[], "no shard");
    let late = State { step: 6, ..good.clone() };
    check(&MEAN, &[good.clone(), late], "`shards[2]` cannot be merged");
    let still = State { step: 0, ..good.clone() };
    check(&MEAN, &[still], "not at the same step");
    let other = State { powers: (0.5, 0.5), ..good.clone() };
    check(&MEAN, &[good.clone(), other], "`shards[2]`");
    let mut plain = good.clone();
    plain.parameters[0].moments.pop();
    check(&MEAN, &[plain], "`shards[1]`");
    let mut bad = good.clone();
    bad.parameters[0].theta.0[1] = f32::NAN;
    check(&MEAN, &[good.clone(), bad], "`shards[2]` is no state to merge: it holds numbers");
    let trimmed = Merge { rule: Rule::TrimmedMean { trim: 1 }, ..MEAN };
    check(&trimmed, &[good.clone(), good.clone()], "`trim: 1` leaves nothing of 2");
    let huge = state(5, [f32::MAX, -f32::MAX], [0.0; 2], [0.0; 2]);
    check(&Merge { lr: 9.0, ..MEAN }, &[huge], "is not finite after 5 steps");
    let fault = run(&MEAN, b"ohc/shared/1", &[("shards[1]", &bytes(good))]).unwrap_err();
    assert!(fault.message.contains("`state` cannot be merged"), "{fault}");
}

#[test]
fn ways_that_are_not_those_of_the_state_are_refused() {
    let spec = Merge { momentum: 0.5, ..MEAN };
    let shard = bytes(state(5, [1.0; 2], [0.0; 2], [0.0; 2]));
    let (_, plain) = read_shared(&begin()).map(|(ways, state)| (ways, state.to_vec())).unwrap();
    for ways in [vec![], vec![Floats(vec![0.0])], vec![Floats(vec![0.0, f32::INFINITY])]] {
        let from = shared(&ways, &plain);
        let fault = merge_all(&spec, &from, std::slice::from_ref(&shard)).unwrap_err();
        assert!(fault.message.contains("its ways are not"), "{fault}");
    }
    assert!(merge_all(&spec, &shared(&vec![Floats(vec![0.0; 2])], &plain), &[shard]).is_ok());
}
