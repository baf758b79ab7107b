//! Tests of deltas: what is said is heard, what is left over is said later, and lies are refused.
//! Never trains: see `train`.

use super::*;
use crate::compute::kernel::philox::Philox;
use proptest::prelude::*;

/// A state of one parameter with the moments of AdamW, and of what is kept of batches.
fn state(step: u64, theta: &[f32], m: &[f32], v: &[f32]) -> State {
    let floats = |xs: &[f32]| Floats(xs.to_vec());
    let best = Floats(Vec::new());
    let kept =
        Moving { theta: best.clone(), moments: vec![floats(&[0.1, 7.3])], best: best.clone() };
    let learned = Moving { theta: floats(theta), moments: vec![floats(m), floats(v)], best };
    let course = Course { loss: 1.5, ..Course::default() };
    let powers = (0.9f64.powi(step as i32), 0.999f64.powi(step as i32));
    State { step, powers, course, parameters: vec![learned, kept] }
}

/// What a shard gives that goes from one state to another: its delta and its residual.
fn given(from: &State, residual: Option<&[u8]>, to: &State) -> [Vec<u8>; 2] {
    let (from, to) = (from.clone().into_bytes(), to.clone().into_bytes());
    let outputs = of_shard(&from, residual, &to).unwrap();
    outputs.into_iter().map(|named| named.bytes).collect::<Vec<_>>().try_into().unwrap()
}

fn left(residual: &[u8]) -> Vec<f32> {
    Residual::from_bytes(residual).unwrap().parameters[0].heard()
}

fn most(xs: &[f32]) -> f64 {
    xs.iter().fold(0.0, |most, x| most.max(f64::from(x.abs())))
}

fn numbers(len: usize, size: f32) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-size..size, len)
}

/// Two states a round apart, whose moments are those of gradients of any size.
fn round() -> impl Strategy<Value = (State, State)> {
    (1usize..150).prop_flat_map(|len| {
        let moments = (numbers(len, 1.0), numbers(len, 12.0), numbers(len, 1.0));
        (numbers(len, 2.0), numbers(len, 0.1), moments).prop_map(
            |(theta, way, (m, sizes, before))| {
                let to: Vec<f32> = theta.iter().zip(&way).map(|(x, way)| x + way).collect();
                let size = |size: &f32| 10f32.powi(*size as i32 - 3);
                let v: Vec<f32> = sizes.iter().map(|s| size(s) * size(s)).collect();
                let m: Vec<f32> = m.iter().zip(&sizes).map(|(m, s)| m * size(s)).collect();
                let before: Vec<f32> = v.iter().zip(&before).map(|(v, b)| v * b.abs()).collect();
                (state(20, &theta, &m, &before), state(40, &to, &m, &v))
            },
        )
    })
}

proptest! {
    #[test]
    fn what_is_heard_and_what_is_left_over_are_the_way_that_a_shard_went((from, to) in round()) {
        let [delta, residual] = given(&from, None, &to);
        let heard = heard("shards[1]", &delta, Some(&from)).unwrap();
        let [was, is, said] = [&from, &to, &heard].map(|state| &state.parameters[0].theta.0);
        let way: Vec<f32> = is.iter().zip(was).map(|(is, was)| is - was).collect();
        let said: Vec<f32> = said.iter().zip(was).map(|(said, was)| said - was).collect();
        let (rest, widest) = (left(&residual), most(&way));
        let finest = most(&rest) / 127.0;
        for ((way, said), rest) in way.iter().zip(&said).zip(&rest) {
            // The rest is kept to a 127th of it, and a parameter is a number of 24 bits.
            let off = (f64::from(*said) + f64::from(*rest) - f64::from(*way)).abs();
            prop_assert!(off <= finest + 2f64.powi(-22), "{} of {}", off, way);
            prop_assert!(f64::from(rest.abs()) <= widest / 127.0 * 1.01 + 1e-30);
        }
        prop_assert_eq!((heard.step, heard.powers), (to.step, to.powers));
        prop_assert_eq!(heard.course.loss, to.course.loss);
        prop_assert_eq!(&heard.parameters[1], &to.parameters[1], "of batches");
    }

    #[test]
    fn no_step_becomes_longer_by_a_second_moment_that_is_said((from, to) in round()) {
        let [delta, _] = given(&from, None, &to);
        let by_shard = heard("shards[1]", &delta, Some(&from)).unwrap();
        let by_merge = heard("state", &of_merge(&to), None).unwrap();
        prop_assert_eq!(&by_merge.parameters[0].theta, &to.parameters[0].theta);
        for (said, share) in [(by_shard, 0.13), (by_merge, 0.000_5)] {
            let (is, said) = (&to.parameters[0].moments, &said.parameters[0].moments);
            let largest = most(&is[1].0);
            for (is, said) in is[1].0.iter().zip(&said[1].0) {
                let (is, said) = (f64::from(*is), f64::from(*said));
                prop_assert!(said >= is * (1.0 - 1e-6), "{} of {}", said, is);
                prop_assert!(said <= is * (1.0 + share) + largest * 1e-9, "{} of {}", said, is);
            }
            let unit = |(m, v): (&f32, &f32)| m / v.sqrt();
            let units: Vec<f32> = is[0].0.iter().zip(&is[1].0).map(unit).collect();
            let heard: Vec<f32> = said[0].0.iter().zip(&said[1].0).map(unit).collect();
            for (unit, heard) in units.iter().zip(heard) {
                // It may be shorter, as its unit is longer.
                let off = f64::from(heard.abs()) - f64::from(unit.abs());
                prop_assert!(off <= most(&units) / 127.0 + 1e-6, "{} of {}", heard, unit);
            }
        }
    }

    #[test]
    fn r13_no_bytes_of_a_stranger_are_harmful(bytes: Vec<u8>, at: usize, byte: u8) {
        let (from, to) = (state(20, &[1.0; 70], &[0.1; 70], &[0.2; 70]),
            state(40, &[1.5; 70], &[0.3; 70], &[0.1; 70]));
        let [delta, residual] = given(&from, None, &to);
        for good in [&bytes, &delta, &residual, &of_merge(&to), &from.clone().into_bytes()] {
            let mut bad = good.clone();
            if let Some(place) = at.checked_rem(bad.len()).and_then(|at| bad.get_mut(at)) {
                *place = byte;
            }
            let _ = (heard("x", &bad, Some(&from)), heard("x", &bad, None), plain(&bad));
            let _ = of_shard(&bad, Some(&bad), &bad);
            let _ = of_shard(&from.clone().into_bytes(), Some(&bad), &to.clone().into_bytes());
        }
    }
}

#[test]
fn what_is_left_over_is_said_in_the_next_round() {
    // A way of which less than half a step is never said by itself.
    let (far, near) = (127.0f32, 0.4f32);
    let at = |step: u64, n: f32| state(step, &[far * n, near * n], &[0.0; 2], &[1.0; 2]);
    let mut residual: Option<Vec<u8>> = None;
    let mut told = 0.0;
    for round in 0..10u64 {
        let (from, to) = (at(20 * round, round as f32), at(20 * round + 20, round as f32 + 1.0));
        let [delta, rest] = given(&from, residual.as_deref(), &to);
        let heard = heard("x", &delta, Some(&from)).unwrap();
        told += heard.parameters[0].theta.0[1] - from.parameters[0].theta.0[1];
        residual = Some(rest);
    }
    assert!((told - 4.0).abs() <= 0.51, "{told}");
}

#[test]
fn a_delta_has_a_quarter_of_the_bytes_of_a_state_and_what_a_merge_says_a_bit_more_than_half() {
    let mut theta = vec![0.0f32; 30_000];
    Philox::new(1, 2, 3).fill(-1.0, 1.0, &mut theta);
    let (from, to) = (
        state(0, &theta, &theta, &vec![0.5; 30_000]),
        state(20, &theta, &theta, &vec![0.7; 30_000]),
    );
    let whole = to.clone().into_bytes().len() as f64;
    let [delta, residual] = given(&from, None, &to).map(|bytes| bytes.len() as f64 / whole);
    let merged = of_merge(&to).len() as f64 / whole;
    assert!((0.25..0.256).contains(&delta), "{delta}");
    assert!((0.083..0.086).contains(&residual), "{residual}");
    assert!((0.583..0.59).contains(&merged), "{merged}");
}

#[test]
fn what_is_of_another_round_or_training_is_refused() {
    let [from, to] =
        [(20, 0.5f32), (40, 0.75)].map(|(step, x)| state(step, &[x; 3], &[x; 3], &[x; 3]));
    let [delta, residual] = given(&from, None, &to);
    let check = |fault: Fault, expect: &str| assert!(fault.message.contains(expect), "{fault}");
    let early = state(0, &[0.5; 3], &[0.5; 3], &[0.5; 3]);
    check(heard("x", &delta, Some(&early)).unwrap_err(), "another round");
    check(heard("x", &delta, None).unwrap_err(), "another training");
    let wide = state(20, &[0.5; 4], &[0.5; 4], &[0.5; 4]);
    check(heard("x", &delta, Some(&wide)).unwrap_err(), "another training");
    let bytes = |state: &State| state.clone().into_bytes();
    let say = |from: &State, residual: &[u8]| of_shard(&bytes(from), Some(residual), &bytes(&to));
    // A residual is of the end of a round, which is where the next begins.
    check(say(&from, &residual).unwrap_err(), "another round");
    assert!(
        of_shard(&bytes(&to), Some(&residual), &bytes(&state(60, &[1.0; 3], &[1.0; 3], &[1.0; 3])))
            .is_ok()
    );
    check(say(&wide, &residual).unwrap_err(), "another training");
    check(say(&from, &delta).unwrap_err(), "is not what was said");
    let mut said = Said::from_bytes(&of_merge(&to)).unwrap();
    said.keep = 1.5;
    check(heard("x", &said.to_bytes(), None).unwrap_err(), "out of range");
    let Numbers::Octaves(octaves) = &mut said.parameters[0].moments[1] else { unreachable!() };
    (octaves.octaves[0], said.keep) = (255, 0.0);
    check(heard("x", &said.to_bytes(), None).unwrap_err(), "not finite");
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_made_of_it() {
    let to = state(40, &[0.5; 3], &[0.5; 3], &[0.5; 3]);
    let good = of_merge(&to);
    // The length of the first parameter stands behind the head, its count, and the tag.
    let at = 4 + FORMAT.len() + 8 + 8 + 16 + 8 + 8 + 4 + 1;
    assert_eq!(good[at..at + 4], 3u32.to_le_bytes());
    for lie in [4, 1 << 20, u32::MAX] {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&lie.to_le_bytes());
        assert!(heard("x", &bad, None).is_err(), "{lie}");
    }
    assert!(heard("x", &good[..good.len() - 1], None).is_err());
    assert!(heard("x", &[good.as_slice(), &[0]].concat(), None).is_err());
}
