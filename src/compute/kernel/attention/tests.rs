//! Attention against f64 and against plain loops, path by path: values and slopes.
//! Never measures time.

use super::*;
use crate::compute::kernel::philox::Philox;
use crate::compute::kernel::{Isa, golden, reduce};

const HEADS: usize = 2;
const WIDTH: usize = 6;
const LENGTH: usize = 5;

fn noise(stream: u32, len: usize) -> Vec<f32> {
    let mut out = vec![0.0; len];
    Philox::new(1, 2, stream).fill(-1.0, 1.0, &mut out);
    out
}

fn attention(engine: Engine, rotation: Option<&Rotation>) -> Attention<'_> {
    Attention { engine, heads: HEADS, width: WIDTH, length: LENGTH, rotation }
}

/// Σ weights · attended, in f64 and without any product of matrices.
fn wide(x: &[f64], weights: &[f32], rotated: bool) -> f64 {
    let columns = WIDTH / HEADS;
    let at = |row: usize, which: usize, column: usize| x[row * 3 * WIDTH + which * WIDTH + column];
    let turned = |row: usize, which: usize, head: usize, column: usize| {
        let pairs = columns / 2;
        let plain = |column| at(row, which, head * columns + column);
        if !rotated || column >= 2 * pairs {
            return plain(column);
        }
        let pair = column % pairs;
        let angle = (row % LENGTH) as f64 * BASE.powf(-(2.0 * pair as f64) / columns as f64);
        let (a, b) = (plain(pair), plain(pair + pairs));
        if column < pairs {
            a * angle.cos() - b * angle.sin()
        } else {
            a * angle.sin() + b * angle.cos()
        }
    };
    let mut total = 0.0;
    for row in 0..x.len() / (3 * WIDTH) {
        let first = row / LENGTH * LENGTH;
        for head in 0..HEADS {
            let score = |other: usize| {
                let product = |c| turned(row, 0, head, c) * turned(other, 1, head, c);
                ((0..columns).map(product).sum::<f64>() / (columns as f64).sqrt()).exp()
            };
            let sum: f64 = (first..=row).map(score).sum();
            for c in 0..columns {
                let column = head * columns + c;
                let value: f64 = (first..=row).map(|o| score(o) / sum * at(o, 2, column)).sum();
                total += value * f64::from(weights[row * WIDTH + column]);
            }
        }
    }
    total
}

#[track_caller]
fn check(rotation: Option<&Rotation>) {
    let rows = 2 * LENGTH;
    let (x, weights) = (noise(1, rows * 3 * WIDTH), noise(2, rows * WIDTH));
    let attention = attention(Engine::default(), rotation);
    let (y, looks) = attention.forward(&x);
    let given: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let got: f64 = y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum();
    let rotated = rotation.is_some();
    assert!((got - wide(&given, &weights, rotated)).abs() < 1e-5);
    let gradient = attention.backward(&x, &looks, &weights);
    for (at, &slope) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut given = given.clone();
            given[at] += by;
            wide(&given, &weights, rotated)
        };
        let measured = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((f64::from(slope) - measured).abs() < 1e-5, "{at}: {slope} {measured}");
    }
}

#[test]
fn gradients_are_the_slopes_of_attention() {
    check(None);
    check(Some(&Rotation::new(LENGTH, WIDTH / HEADS)));
}

#[test]
fn whoever_looks_at_all_of_a_text_looks_at_nothing_behind_it() {
    let seen = [LENGTH, 2, 0];
    let (x, dy) = (noise(1, 3 * LENGTH * 3 * WIDTH), noise(2, 3 * LENGTH * WIDTH));
    let attention = attention(Engine::default(), None);
    let value = |x: &[f32]| -> f64 {
        let (y, _) = attention.forward_seen(x, &seen);
        y.iter().zip(&dy).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    let (y, looks) = attention.forward_seen(&x, &seen);
    assert!(y[2 * LENGTH * WIDTH..].iter().all(|y| *y == 0.0), "nothing to look at");
    // The last position of the causal kind looks at all of them too.
    let (causal, _) = attention.forward(&x);
    let last = (LENGTH - 1) * WIDTH..LENGTH * WIDTH;
    assert_eq!(y[last.clone()], causal[last]);
    let slopes = attention.backward_seen((&x, &looks), &seen, &dy);
    for (at, slope) in slopes.iter().enumerate() {
        let moved = |by: f32| {
            let mut x = x.clone();
            x[at] += by;
            value(&x)
        };
        let measured = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((f64::from(*slope) - measured).abs() < 2e-3, "{at}: {slope} {measured}");
    }
    // Keys and values behind a text are of no matter, and neither are threads.
    let behind = 3 * WIDTH * (LENGTH + 2)..3 * WIDTH * (LENGTH + 3);
    assert!(slopes[behind.clone()][WIDTH..].iter().all(|slope| *slope == 0.0));
    for isa in Isa::all() {
        let other = Attention { engine: Engine::with(isa, 2), ..attention };
        assert_eq!(other.forward_seen(&x, &seen), (y.clone(), looks.clone()), "{isa:?}");
        assert_eq!(other.backward_seen((&x, &looks), &seen, &dy), slopes, "{isa:?}");
    }
}

#[test]
fn nothing_after_a_position_changes_what_it_sees() {
    let mut x = noise(1, LENGTH * 3 * WIDTH);
    let attention = attention(Engine::default(), None);
    let (before, _) = attention.forward(&x);
    x[3 * 3 * WIDTH..].fill(7.0);
    let (after, _) = attention.forward(&x);
    assert_eq!(before[..3 * WIDTH], after[..3 * WIDTH]);
    assert_ne!(before[3 * WIDTH..], after[3 * WIDTH..]);
}

#[test]
fn sines_and_cosines_are_those_of_any_angle() {
    for turn in [-7.3, -0.5, 0.0, 0.25, 1.5, 2.0, 400.125] {
        assert!((cosine(turn) - (std::f64::consts::PI * turn).cos()).abs() < 1e-12, "{turn}");
    }
}

#[test]
fn every_path_gives_the_same_bits_and_they_are_golden() {
    let (length, width, heads) = (21, 48, 3);
    let (x, dy) = (noise(1, 4 * length * 3 * width), noise(2, 4 * length * width));
    let rotation = Rotation::new(length, width / heads);
    let all = |engine| {
        let attention = Attention { engine, heads, width, length, rotation: Some(&rotation) };
        let (y, looks) = attention.forward(&x);
        let dx = attention.backward(&x, &looks, &dy);
        [y, looks, dx].concat()
    };
    let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let expect = all(Engine::default());
    for isa in Isa::all() {
        for threads in 1..=8 {
            assert_eq!(bits(&all(Engine::with(isa, threads))), bits(&expect), "{isa:?} {threads}");
        }
    }
    golden::check(&expect, "attention");
}

/// Forward and backward of one head by plain loops, from its queries, keys, values and the gradient
/// by what it gives: that, how much is looked at, and the gradients by the first three.
fn naive(qkv: [&[f32]; 3], dy: &[f32], columns: usize, seen: &[usize]) -> [Vec<f32>; 5] {
    let ([q, k, v], rows, isa) = (qkv, seen.len(), Isa::PORTABLE);
    let chain = |terms: &mut dyn Iterator<Item = (f32, f32)>| {
        terms.fold(0.0f32, |sum, (a, b)| a.mul_add(b, sum))
    };
    let row = |x: &[f32], i: usize| x[i * columns..(i + 1) * columns].to_vec();
    let fits = |a: &[f32], b: &[f32], i: usize, count: usize| -> Vec<f32> {
        let a = row(a, i);
        (0..count).map(|j| chain(&mut a.iter().copied().zip(row(b, j)))).collect()
    };
    let scale = 1.0 / (columns as f32).sqrt();
    let (mut looks, mut by_scores) = (vec![0.0; rows * rows], vec![0.0; rows * rows]);
    for (i, &seen) in seen.iter().enumerate() {
        let mut p: Vec<f32> = fits(q, k, i, seen).iter().map(|x| x * scale).collect();
        let most = reduce::max(isa, &p);
        p.iter_mut().for_each(|x| *x = exp(*x - most));
        let share = 1.0 / reduce::sum(isa, &p);
        p.iter_mut().for_each(|x| *x *= share);
        let dp = fits(dy, v, i, seen);
        let along = reduce::dot(isa, &dp, &p);
        for (j, (d, p)) in dp.iter().zip(&p).enumerate() {
            looks[i * rows + j] = *p;
            by_scores[i * rows + j] = (d - along) * p * scale;
        }
    }
    let product = |a: &[f32], turned: bool, b: &[f32]| -> Vec<f32> {
        let at = |i: usize, l: usize| if turned { a[l * rows + i] } else { a[i * rows + l] };
        let cell = |i: usize| {
            let (i, c) = (i / columns, i % columns);
            chain(&mut (0..rows).map(|l| (at(i, l), b[l * columns + c])))
        };
        (0..rows * columns).map(cell).collect()
    };
    let y = product(&looks, false, v);
    let gradients =
        [product(&by_scores, false, k), product(&by_scores, true, q), product(&looks, true, dy)];
    let [by_q, by_k, by_v] = gradients;
    [y, looks, by_q, by_k, by_v]
}

#[test]
fn every_path_gives_the_bits_of_plain_loops() {
    let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    // Rows that fill registers and tiles, and some that do not; texts that end before them.
    for (length, heads, columns, end) in
        [(64, 2, 32, None), (48, 1, 16, Some(33)), (37, 3, 20, None), (32, 2, 32, Some(0))]
    {
        let width = heads * columns;
        let (x, dy) = (noise(5, length * 3 * width), noise(6, length * width));
        let part = |x: &[f32], wide: usize, at: usize| -> Vec<f32> {
            x.chunks_exact(wide).flat_map(|row| row[at..at + columns].to_vec()).collect()
        };
        let seen: Vec<usize> = (0..length).map(|i| end.unwrap_or(i + 1)).collect();
        for isa in Isa::all() {
            let engine = Engine::with(isa, 1);
            let attention = Attention { engine, heads, width, length, rotation: None };
            let (y, looks) = match end {
                None => attention.forward(&x),
                Some(end) => attention.forward_seen(&x, &[end]),
            };
            let dx = match end {
                None => attention.backward(&x, &looks, &dy),
                Some(end) => attention.backward_seen((&x, &looks), &[end], &dy),
            };
            for head in 0..heads {
                let at = |which: usize| which * width + head * columns;
                let qkv = [0, 1, 2].map(|which| part(&x, 3 * width, at(which)));
                let [q, k, v] = &qkv;
                let of_head = part(&dy, width, at(0));
                let expect = naive([q, k, v], &of_head, columns, &seen);
                let square = length * length;
                let gradients = [0, 1, 2].map(|which| part(&dx, 3 * width, at(which)));
                let [by_q, by_k, by_v] = gradients;
                let looks = looks[head * square..(head + 1) * square].to_vec();
                let got = [part(&y, width, at(0)), looks, by_q, by_k, by_v];
                for (got, expect) in got.iter().zip(&expect) {
                    assert_eq!(bits(got), bits(expect), "{isa:?} {length} {columns} {end:?}");
                }
            }
        }
    }
}
