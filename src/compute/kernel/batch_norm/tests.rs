//! Batch normalisation against f64: its values, its slopes; and against itself, path by path.
//! Never measures time.

use super::*;
use crate::compute::kernel::group_norm::tests::{Places, Setting, follows};
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::kernel::{Isa, Threads, golden};

const SMALL: BatchNorm = BatchNorm {
    engine: Engine { isa: Isa::PORTABLE, threads: Threads::Fixed(1) },
    height: 5,
    width: 4,
    channels: 6,
    activation: None,
    pool: 1,
};
const IMAGES: usize = 3;

fn noise(stream: u32, len: usize) -> Vec<f32> {
    let mut out = vec![0.0; len];
    Philox::new(9, purpose::SYNTHETIC, stream).fill(-1.0, 1.0, &mut out);
    out
}

fn setting(norm: &BatchNorm, images: usize) -> Setting {
    let (before, after) = norm.lengths();
    [(1, images * before), (2, norm.channels), (3, norm.channels), (4, images * after)]
        .map(|(stream, len)| noise(stream, len))
}

fn run(norm: &BatchNorm, images: usize, [x, gamma, beta, by_output]: &Setting) -> [Vec<f32>; 6] {
    let (mean, variance) = norm.measure(images, x);
    let normed = norm.forward(images, x, (gamma, beta), (&mean, &variance));
    let mut by = [x, gamma, beta].map(|of| vec![f32::NAN; of.len()]);
    let [input, by_gamma, by_beta] = &mut by;
    let past = Past { x, gamma, normed: (&normed.y, &normed.picks, &normed.moments), by_output };
    norm.backward(images, past, Gradients { gamma: by_gamma, beta: by_beta, input });
    let [input, gamma, beta] = by;
    let picks = normed.picks.iter().map(|pick| f32::from(*pick)).collect();
    [normed.y, picks, input, gamma, beta, [mean, variance].concat()]
}

/// Mean and variance of every channel in f64.
fn moments(norm: &BatchNorm, x: &[f32]) -> Vec<(f64, f64)> {
    let of = |channel: usize| {
        let values = x.iter().skip(channel).step_by(norm.channels).map(|x| f64::from(*x));
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        (mean, values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / count)
    };
    (0..norm.channels).map(of).collect()
}

/// The output before pooling in f64.
fn exact(norm: &BatchNorm, [x, gamma, beta, _]: &Setting) -> Vec<f64> {
    let moments = moments(norm, x);
    let value = |(at, x): (usize, &f32)| {
        let c = at % norm.channels;
        let (mean, variance) = moments[c];
        let hat = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
        let z = hat * f64::from(gamma[c]) + f64::from(beta[c]);
        match norm.activation {
            None => z,
            Some(Activation::Relu) => z.max(0.0),
            Some(_) => z.tanh(),
        }
    };
    x.iter().enumerate().map(value).collect()
}

#[track_caller]
fn check(norm: &BatchNorm) {
    let s = setting(norm, IMAGES);
    let [y, picks, by_input, by_gamma, by_beta, measured] = run(norm, IMAGES, &s);
    for (c, (mean, variance)) in moments(norm, &s[0]).into_iter().enumerate() {
        assert!((f64::from(measured[c]) - mean).abs() < 1e-6);
        assert!((f64::from(measured[norm.channels + c]) - variance).abs() < 1e-6);
    }
    let BatchNorm { width, pool, channels, .. } = *norm;
    let places = Places { width, pool, channels, lengths: norm.lengths() };
    follows(&places, &s, [&y, &picks, &by_input, &by_gamma, &by_beta], |s| exact(norm, s));
}

#[test]
fn values_and_gradients_are_those_of_the_formula() {
    check(&SMALL);
    check(&BatchNorm { activation: Some(Activation::Tanh), ..SMALL });
    check(&BatchNorm { pool: 2, activation: Some(Activation::Tanh), ..SMALL });
}

#[test]
fn by_given_moments_an_image_has_no_influence_on_another() {
    let norm = BatchNorm { activation: Some(Activation::Relu), pool: 2, ..SMALL };
    let [x, gamma, beta, _] = setting(&norm, 5);
    let (mean, variance) = (noise(5, 6), vec![0.5; 6]);
    let of = |images, x: &[f32]| norm.forward(images, x, (&gamma, &beta), (&mean, &variance)).y;
    let alone = x.chunks(norm.lengths().0).flat_map(|x| of(1, x));
    assert_eq!(of(5, &x), alone.collect::<Vec<_>>());
}

#[test]
fn images_of_one_colour_give_finite_numbers_and_one_pixel_has_a_variance() {
    let [_, gamma, beta, by_output] = setting(&SMALL, IMAGES);
    let s = [vec![3.0; IMAGES * SMALL.lengths().0], gamma, beta, by_output];
    assert!(run(&SMALL, IMAGES, &s).concat().iter().all(|x| x.is_finite()));
    let pixel = BatchNorm { height: 1, width: 1, ..SMALL };
    assert_eq!((pixel.correction(1), pixel.correction(2)), (1.0, 2.0));
    assert!(run(&pixel, 1, &setting(&pixel, 1)).concat().iter().all(|x| x.is_finite()));
}

#[test]
fn every_path_and_number_of_threads_gives_the_same_golden_bits() {
    let norm = BatchNorm {
        height: 9,
        width: 10,
        channels: 20,
        activation: Some(Activation::Relu),
        pool: 2,
        ..SMALL
    };
    let s = setting(&norm, 7);
    let expect = run(&norm, 7, &s).concat();
    for isa in Isa::all() {
        for threads in 1..=4 {
            let norm = BatchNorm { engine: Engine::with(isa, threads), ..norm };
            assert_eq!(run(&norm, 7, &s).concat(), expect, "{isa:?} {threads}");
        }
    }
    golden::check(&expect, "batch norm");
}

/// What PyTorch 2.15 gives for `relu(BatchNorm2d(2)(x))`, and for its gradients.
#[test]
fn pytorch_says_the_same() {
    let small = |at: i32, by: i32, of: i32, less: i32| (at * by % of - less) as f32;
    let x: Vec<f32> = (0..24).map(|at| small(at, 37, 29, 14) / 8.0).collect();
    let by_output: Vec<f32> = (0..24).map(|at| small(at, 11, 13, 6) / 4.0).collect();
    let norm =
        BatchNorm { height: 2, width: 2, channels: 2, activation: Some(Activation::Relu), ..SMALL };
    let s = [x, vec![0.75, -1.25], vec![0.5, 0.25], by_output];
    let [y, _, by_input, by_gamma, by_beta, moments] = run(&norm, 3, &s);
    let theirs = [
        0.0, 1.1581097, 0.7452191, 0.0, 0.0, 0.6910819, 0.9974444, 0.0, 0.0, 0.224054, 1.2496697,
        2.2478414, 0.1566934, 0.0, 1.501895, 1.7808135, 0.4089187, 0.0, 1.7541202, 1.3137857,
        0.661144, 0.0, 0.0, 0.8467578,
    ];
    let their_slopes = [
        0.0057665, -1.5802348, 0.4517561, 0.040914, -0.0051949, 0.9226534, -0.904407, 0.052987,
        -0.0161564, -0.6220331, -0.0746174, 0.5710583, -0.6997185, 0.0127437, 0.7551721,
        -0.9736282, 0.1300709, 0.0248167, -0.6009909, 1.5292599, 0.9598604, 0.0368897, -0.0015411,
        -0.0154266,
    ];
    let near = |ours: &[f32], theirs: &[f32]| {
        assert_eq!(ours.len(), theirs.len());
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 2e-6), "{ours:?}");
    };
    near(&y, &theirs);
    near(&by_input, &their_slopes);
    near(&by_gamma, &[0.5815197, 0.3113519]);
    near(&by_beta, &[0.75, 0.0]);
    // After one step of its running statistics.
    let kept = |before: f32, now: f32| before + 0.1 * (now - before);
    near(&[kept(0.0, moments[0]), kept(0.0, moments[1])], &[-0.0114583, -0.0020833]);
    let variance = |at: usize| kept(1.0, moments[at] * norm.correction(3));
    near(&[variance(2), variance(3)], &[1.0356416, 1.0098958]);
}
