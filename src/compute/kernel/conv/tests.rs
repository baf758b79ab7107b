//! Convolutions against a naive loop (bits), against f64 (slopes), against themselves (paths).
//! Never measures time.

use super::*;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::kernel::{Isa, Threads, golden};
use proptest::prelude::*;

const SMALL: Conv = Conv {
    engine: Engine { isa: Isa::PORTABLE, threads: Threads::Fixed(1) },
    height: 6,
    width: 5,
    channels: 3,
    kernel: 3,
    margin: 1,
    filters: 4,
    activation: None,
    pool: 1,
};

fn noise(stream: u32, len: usize) -> Vec<f32> {
    let mut out = vec![0.0; len];
    Philox::new(6, purpose::SYNTHETIC, stream).fill(-1.0, 1.0, &mut out);
    out
}

/// Images, weights, bias and a gradient by the output.
struct Setting {
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    by_output: Vec<f32>,
}

fn setting(conv: &Conv, images: usize) -> Setting {
    let (before, after) = conv.lengths();
    Setting {
        x: noise(1, images * before),
        weights: noise(2, conv.depth() * conv.filters),
        bias: noise(3, conv.filters),
        by_output: noise(4, images * after),
    }
}

/// Output, picks, and the gradients by weights, bias and input.
fn run(conv: &Conv, images: usize, s: &Setting) -> (Convolved, [Vec<f32>; 3]) {
    let convolved = conv.forward(images, &s.x, &s.weights, &s.bias);
    let mut gradients =
        [vec![f32::NAN; s.weights.len()], vec![f32::NAN; s.bias.len()], vec![f32::NAN; s.x.len()]];
    let [weights, bias, input] = &mut gradients;
    let past = Past {
        x: &s.x,
        weights: &s.weights,
        y: &convolved.y,
        picks: &convolved.picks,
        by_output: &s.by_output,
    };
    conv.backward(images, past, Gradients { weights, bias, input: Some(input) });
    (convolved, gradients)
}

/// The value of a pixel of an image, 0 outside of it.
fn at(conv: &Conv, image: &[f32], y: isize, x: isize, c: usize) -> f32 {
    let (height, width) = (conv.height as isize, conv.width as isize);
    if (0..height).contains(&y) && (0..width).contains(&x) {
        image[(y * width + x) as usize * conv.channels + c]
    } else {
        0.0
    }
}

/// Every window's terms for one output before bias: the value and its weight's place.
fn terms(conv: &Conv, image: &[f32], y: usize, x: usize) -> Vec<(f32, usize)> {
    let mut out = Vec::new();
    for ky in 0..conv.kernel {
        for kx in 0..conv.kernel {
            for c in 0..conv.channels {
                let (y, x) = ((y + ky) as isize, (x + kx) as isize);
                let margin = conv.margin as isize;
                out.push((at(conv, image, y - margin, x - margin, c), out.len()));
            }
        }
    }
    out
}

#[track_caller]
fn check_naive(conv: &Conv, images: usize) {
    let s = setting(conv, images);
    let (height, width) = conv.extent();
    let mut z = Vec::new();
    for image in s.x.chunks(conv.lengths().0) {
        for pixel in 0..height * width {
            let terms = terms(conv, image, pixel / width, pixel % width);
            for f in 0..conv.filters {
                let chain = |sum: f32, (x, at): &(f32, usize)| {
                    x.mul_add(s.weights[at * conv.filters + f], sum)
                };
                z.push(terms.iter().fold(0.0, chain) + s.bias[f]);
            }
        }
    }
    let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for isa in Isa::all() {
        let conv = Conv { engine: Engine::with(isa, 1), ..*conv };
        let (convolved, _) = run(&conv, images, &s);
        assert_eq!(bits(&convolved.y), bits(&z), "{conv:?}");
    }
}

#[test]
fn an_output_is_the_chain_of_its_window_on_every_path() {
    check_naive(&SMALL, 2);
    check_naive(&Conv { margin: 0, ..SMALL }, 1);
    check_naive(&Conv { kernel: 5, margin: 2, filters: 33, ..SMALL }, 1);
    check_naive(&Conv { kernel: 1, margin: 0, channels: 40, filters: 17, ..SMALL }, 3);
    check_naive(&Conv { height: 1, width: 1, filters: 16, ..SMALL }, 2);
}

/// The loss Σ y·g in f64, for its slopes; pooling keeps what was picked.
fn loss(conv: &Conv, s: &Setting, picks: &[u8]) -> f64 {
    let (height, width) = conv.extent();
    let (rows, columns) = conv.pooled();
    let mut sum = 0.0;
    for (i, image) in s.x.chunks(conv.lengths().0).enumerate() {
        for out in 0..rows * columns * conv.filters {
            let (pixel, f) = (out / conv.filters, out % conv.filters);
            let place = i * conv.lengths().1 + out;
            let pick = picks.get(place).map_or(0, |pick| usize::from(*pick));
            let y = pixel / columns * conv.pool + pick / conv.pool;
            let x = pixel % columns * conv.pool + pick % conv.pool;
            assert!(y < height && x < width);
            let chain = |sum: f64, (x, at): &(f32, usize)| {
                f64::from(*x).mul_add(f64::from(s.weights[at * conv.filters + f]), sum)
            };
            let z = terms(conv, image, y, x).iter().fold(f64::from(s.bias[f]), chain);
            let y = match conv.activation {
                None => z,
                Some(Activation::Relu) => z.max(0.0),
                Some(_) => z.tanh(),
            };
            sum += y * f64::from(s.by_output[place]);
        }
    }
    sum
}

#[track_caller]
fn check_slopes(conv: &Conv) {
    let images = 2;
    let s = setting(conv, images);
    let (convolved, [by_weights, by_bias, by_input]) = run(conv, images, &s);
    let slope = |change: &dyn Fn(&mut Setting, f32)| {
        let moved = |by: f32| {
            let Setting { x, weights, bias, by_output } = &s;
            let mut s = Setting {
                x: x.clone(),
                weights: weights.clone(),
                bias: bias.clone(),
                by_output: by_output.clone(),
            };
            change(&mut s, by);
            loss(conv, &s, &convolved.picks)
        };
        // A power of two: it is what the f32 really changes by, almost.
        (moved(1.0 / 1024.0) - moved(-1.0 / 1024.0)) * 512.0
    };
    let near = |slope: f64, g: f32, what: &str, at: usize| {
        assert!((slope - f64::from(g)).abs() < 2e-3, "{what} {at}: {slope} {g} {conv:?}");
    };
    for (at, &g) in by_weights.iter().enumerate() {
        near(slope(&|s, by| s.weights[at] += by), g, "weight", at);
    }
    for (at, &g) in by_bias.iter().enumerate() {
        near(slope(&|s, by| s.bias[at] += by), g, "bias", at);
    }
    for (at, &g) in by_input.iter().enumerate() {
        near(slope(&|s, by| s.x[at] += by), g, "input", at);
    }
}

#[test]
fn gradients_are_the_slopes_of_the_layer() {
    check_slopes(&SMALL);
    check_slopes(&Conv { margin: 0, activation: Some(Activation::Tanh), ..SMALL });
    check_slopes(&Conv { pool: 2, activation: Some(Activation::Tanh), ..SMALL });
    check_slopes(&Conv { kernel: 5, margin: 2, filters: 2, pool: 3, ..SMALL });
    check_slopes(&Conv { kernel: 1, margin: 0, ..SMALL });
}

#[test]
fn where_relu_is_flat_there_is_no_gradient() {
    let relu = Conv { activation: Some(Activation::Relu), pool: 2, ..SMALL };
    let s = setting(&relu, 1);
    let s = Setting { bias: vec![-100.0; 4], ..s };
    let (convolved, gradients) = run(&relu, 1, &s);
    assert!(convolved.y.iter().all(|y| *y == 0.0));
    assert!(gradients.concat().iter().all(|g| *g == 0.0));
}

#[test]
fn a_nan_is_not_hidden_by_relu_and_pooling() {
    let conv = Conv { activation: Some(Activation::Relu), pool: 2, ..SMALL };
    let mut s = setting(&conv, 1);
    s.x[0] = f32::NAN;
    assert!(run(&conv, 1, &s).0.y[..4].iter().all(|y| y.is_nan()));
}

fn all_bits(conv: &Conv, images: usize, s: &Setting) -> Vec<u32> {
    let (convolved, [weights, bias, input]) = run(conv, images, s);
    let picks = convolved.picks.iter().map(|pick| u32::from(*pick));
    let numbers = [convolved.y, weights, bias, input].concat();
    numbers.iter().map(|x| x.to_bits()).chain(picks).collect()
}

#[test]
fn the_bits_depend_neither_on_the_path_nor_on_the_threads() {
    let conv = Conv {
        height: 8,
        width: 7,
        channels: 5,
        filters: 50,
        activation: Some(Activation::Relu),
        pool: 2,
        ..SMALL
    };
    // More than three groups, the last one not whole.
    let images = 27;
    let s = setting(&conv, images);
    let expect = all_bits(&conv, images, &s);
    for isa in Isa::all() {
        for threads in 1..=4 {
            let conv = Conv { engine: Engine::with(isa, threads), ..conv };
            assert_eq!(all_bits(&conv, images, &s), expect, "{isa:?} {threads}");
        }
    }
}

#[test]
fn the_bits_are_golden() {
    let conv = Conv { channels: 7, filters: 20, pool: 2, ..SMALL };
    let s = setting(&conv, 9);
    let (convolved, [weights, bias, input]) = run(&conv, 9, &s);
    golden::check(&[convolved.y, weights, bias, input].concat(), "conv");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_small_shape_gives_the_same_bits_on_every_path(
        height in 1usize..8, width in 1usize..8, channels in 1usize..9, filters in 1usize..40,
        half in 0usize..3, same: bool, pool in 1usize..3,
    ) {
        let kernel = 2 * half + 1;
        let margin = if same { half } else { 0 };
        prop_assume!(height + 2 * margin >= kernel && width + 2 * margin >= kernel);
        let conv = Conv { height, width, channels, kernel, margin, filters, pool, ..SMALL };
        let s = setting(&conv, 2);
        let expect = all_bits(&conv, 2, &s);
        for isa in Isa::all() {
            let conv = Conv { engine: Engine::with(isa, 2), ..conv };
            prop_assert_eq!(all_bits(&conv, 2, &s), expect.clone());
        }
    }
}
