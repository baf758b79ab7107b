//! Group normalisation against f64: its values, its slopes; and against itself, path by path.
//! Never measures time.

use super::*;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::kernel::{Isa, Threads, golden};

const SMALL: GroupNorm = GroupNorm {
    engine: Engine { isa: Isa::PORTABLE, threads: Threads::Fixed(1) },
    height: 5,
    width: 4,
    channels: 6,
    groups: 2,
    activation: None,
    pool: 1,
};

fn noise(stream: u32, len: usize) -> Vec<f32> {
    let mut out = vec![0.0; len];
    Philox::new(8, purpose::SYNTHETIC, stream).fill(-1.0, 1.0, &mut out);
    out
}

/// Images, γ, β and a gradient by the output.
pub(in crate::compute::kernel) type Setting = [Vec<f32>; 4];

fn setting(norm: &GroupNorm, images: usize) -> Setting {
    let (before, after) = norm.lengths();
    [(1, images * before), (2, norm.channels), (3, norm.channels), (4, images * after)]
        .map(|(stream, len)| noise(stream, len))
}

fn run(norm: &GroupNorm, images: usize, [x, gamma, beta, by_output]: &Setting) -> [Vec<f32>; 5] {
    let Normed { y, picks, moments } = norm.forward(images, x, gamma, beta);
    let mut by = [x, gamma, beta].map(|of| vec![f32::NAN; of.len()]);
    let [input, by_gamma, by_beta] = &mut by;
    let past = Past { x, gamma, normed: (&y, &picks, &moments), by_output };
    norm.backward(images, past, Gradients { gamma: by_gamma, beta: by_beta, input });
    let [input, gamma, beta] = by;
    [y, picks.iter().map(|pick| f32::from(*pick)).collect(), input, gamma, beta]
}

/// The output before pooling in f64.
fn exact(norm: &GroupNorm, [x, gamma, beta, _]: &Setting) -> Vec<f64> {
    let mut out = Vec::new();
    for image in x.chunks(norm.lengths().0) {
        let width = norm.channels / norm.groups;
        let of_group = |group: usize| {
            let own = |(at, _): &(usize, &f32)| at % norm.channels / width == group;
            let values: Vec<f64> =
                image.iter().enumerate().filter(own).map(|(_, x)| f64::from(*x)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
            (mean, 1.0 / (squares / values.len() as f64 + 1e-5).sqrt())
        };
        let moments: Vec<_> = (0..norm.groups).map(of_group).collect();
        out.extend(image.iter().enumerate().map(|(at, x)| {
            let c = at % norm.channels;
            let (mean, scale) = moments[c / width];
            let z = (f64::from(*x) - mean) * scale * f64::from(gamma[c]) + f64::from(beta[c]);
            match norm.activation {
                None => z,
                Some(Activation::Relu) => z.max(0.0),
                Some(_) => z.tanh(),
            }
        }));
    }
    out
}

/// How images lie before a norm and after its pooling.
pub(in crate::compute::kernel) struct Places {
    pub width: usize,
    pub pool: usize,
    pub channels: usize,
    /// Values of an image before and after.
    pub lengths: (usize, usize),
}

/// Values are those of `exact`, which gives them before pooling, and gradients are its slopes:
/// outputs, picks, and gradients by the images, γ and β.
#[track_caller]
pub(in crate::compute::kernel) fn follows(
    at: &Places,
    s: &Setting,
    [y, picks, gradients @ ..]: [&[f32]; 5],
    exact: impl Fn(&Setting) -> Vec<f64>,
) {
    // What was kept, as places before pooling.
    let (before, after) = at.lengths;
    let columns = at.width / at.pool;
    let place = |out: usize| {
        let (pixel, c) = (out % after / at.channels, out % at.channels);
        let pick = picks.get(out).map_or(0, |pick| *pick as usize);
        let row = pixel / columns * at.pool + pick / at.pool;
        let column = pixel % columns * at.pool + pick % at.pool;
        out / after * before + (row * at.width + column) * at.channels + c
    };
    let kept = |s: &Setting| {
        let all = exact(s);
        (0..y.len()).map(|out| all[place(out)]).collect::<Vec<f64>>()
    };
    for (out, (y, exact)) in y.iter().zip(kept(s)).enumerate() {
        assert!((f64::from(*y) - exact).abs() < 1e-5, "{out}: {y} {exact}");
    }
    for (which, gradient) in gradients.iter().enumerate() {
        for (at, &g) in gradient.iter().enumerate() {
            let loss = |by: f32| {
                let mut s = s.clone();
                s[which][at] += by;
                kept(&s).iter().zip(&s[3]).map(|(y, g)| y * f64::from(*g)).sum::<f64>()
            };
            let slope = (loss(1.0 / 1024.0) - loss(-1.0 / 1024.0)) * 512.0;
            assert!((slope - f64::from(g)).abs() < 1e-3, "{which} {at}: {slope} {g}");
        }
    }
}

#[track_caller]
fn check(norm: &GroupNorm) {
    let s = setting(norm, 3);
    let GroupNorm { width, pool, channels, .. } = *norm;
    let places = Places { width, pool, channels, lengths: norm.lengths() };
    follows(&places, &s, run(norm, 3, &s).each_ref().map(Vec::as_slice), |s| exact(norm, s));
}

#[test]
fn values_and_gradients_are_those_of_the_formula() {
    check(&SMALL);
    check(&GroupNorm { groups: 6, ..SMALL });
    check(&GroupNorm { groups: 1, activation: Some(Activation::Tanh), ..SMALL });
    check(&GroupNorm { pool: 2, activation: Some(Activation::Tanh), ..SMALL });
}

#[test]
fn an_image_has_no_influence_on_another() {
    let norm = GroupNorm { activation: Some(Activation::Relu), pool: 2, ..SMALL };
    let [x, gamma, beta, _] = setting(&norm, 5);
    let together = norm.forward(5, &x, &gamma, &beta).y;
    let alone = x.chunks(norm.lengths().0).flat_map(|x| norm.forward(1, x, &gamma, &beta).y);
    assert_eq!(together, alone.collect::<Vec<_>>());
}

#[test]
fn an_image_of_one_colour_gives_finite_numbers() {
    let [_, gamma, beta, by_output] = setting(&SMALL, 1);
    let s = [vec![3.0; SMALL.lengths().0], gamma, beta, by_output];
    assert!(run(&SMALL, 1, &s).concat().iter().all(|x| x.is_finite()));
}

#[test]
fn a_nan_stays_one() {
    let norm = GroupNorm { activation: Some(Activation::Relu), pool: 2, ..SMALL };
    let [mut x, gamma, beta, _] = setting(&norm, 1);
    x[0] = f32::NAN;
    assert!(norm.forward(1, &x, &gamma, &beta).y[0].is_nan());
}

#[test]
fn every_path_and_number_of_threads_gives_the_same_golden_bits() {
    let norm = GroupNorm {
        height: 9,
        width: 10,
        channels: 20,
        groups: 4,
        activation: Some(Activation::Relu),
        pool: 2,
        ..SMALL
    };
    let s = setting(&norm, 7);
    let expect = run(&norm, 7, &s).concat();
    for isa in Isa::all() {
        for threads in 1..=4 {
            let norm = GroupNorm { engine: Engine::with(isa, threads), ..norm };
            assert_eq!(run(&norm, 7, &s).concat(), expect, "{isa:?} {threads}");
        }
    }
    golden::check(&expect, "group norm");
}
