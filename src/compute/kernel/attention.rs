//! Self-attention of several heads, causal or over all of a text (Vaswani and others 2017, arXiv
//! 1706.03762), forward and backward, with positions by rotation where asked for (Su and others
//! 2021, arXiv 2104.09864). Never lets a position look at one after it, or at one behind its text.
//!
//! A row of the input holds queries, keys and values of one position, each for all heads one after
//! the other; rows of one sequence follow each other. Every product is one of `matmul`: a chain of
//! fused multiply-adds over ascending positions or columns.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

mod grouped;
mod memory;

pub use grouped::Grouped;
pub use memory::Memory;

use super::Engine;
use super::elementary::exp;
use super::isa::{Body, on};
use super::matmul::{Form, Shape, matmul};
use super::reduce::{dot_inline, max_inline, sum_inline};
use crate::compute::exact;

/// The base of the angles by which positions rotate.
const BASE: f64 = 10_000.0;

/// The arithmetic of one layer of attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention<'a> {
    /// How it runs.
    pub engine: Engine,
    /// Heads: they divide the width.
    pub heads: usize,
    /// Columns of all heads together.
    pub width: usize,
    /// Rows of one sequence.
    pub length: usize,
    /// The rotation of queries and keys, if positions are told by it.
    pub rotation: Option<&'a Rotation>,
}

/// Cosine and sine of every position and pair of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    /// `length × columns / 2`
    cosines: Vec<f32>,
    sines: Vec<f32>,
    pairs: usize,
}

impl Rotation {
    /// For sequences of `length` rows and heads of `columns` columns: pair i of position t turns by
    /// t · 10000^(−2i / columns). Where their number is odd, the last column stays.
    #[must_use]
    pub fn new(length: usize, columns: usize) -> Self {
        let speed = |pair: usize| {
            let power = -(2.0 * pair as f64) / columns as f64;
            exact::exp(power * exact::ln(BASE))
        };
        Self::at(length, &(0..columns / 2).map(speed).collect::<Vec<_>>())
    }

    /// For sequences of `length` rows: a pair of position t turns by t times its speed.
    #[must_use]
    pub fn at(length: usize, speeds: &[f64]) -> Self {
        let (mut cosines, mut sines) = (Vec::new(), Vec::new());
        for position in 0..length {
            for speed in speeds {
                let angle = position as f64 * speed;
                let turn = angle / std::f64::consts::PI;
                cosines.push(cosine(turn) as f32);
                sines.push(cosine(turn - 0.5) as f32);
            }
        }
        Self { cosines, sines, pairs: speeds.len() }
    }

    /// Cosines and sines: `length × pairs` each.
    #[must_use]
    pub fn angles(&self) -> (&[f32], &[f32]) {
        (&self.cosines, &self.sines)
    }

    /// Pairs of columns that turn.
    #[must_use]
    pub const fn pairs(&self) -> usize {
        self.pairs
    }

    /// Rows of a sequence at the most.
    fn length(&self) -> usize {
        self.cosines.len() / self.pairs.max(1)
    }

    /// Turns the rows of one head, of which column i and column i + pairs are a pair; backwards if
    /// `back`.
    fn turn(&self, from: usize, rows: &mut [f32], columns: usize, back: bool) {
        let angles = self
            .cosines
            .chunks_exact(self.pairs.max(1))
            .zip(self.sines.chunks_exact(self.pairs.max(1)))
            .skip(from);
        for (row, (cosines, sines)) in rows.chunks_exact_mut(columns).zip(angles) {
            let (low, high) = row.split_at_mut(self.pairs);
            for (((a, b), c), s) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                let s = if back { -s } else { *s };
                (*a, *b) = (a.mul_add(*c, -(*b * s)), a.mul_add(s, *b * c));
            }
        }
    }
}

/// cos(π·turn) of any turn.
fn cosine(turn: f64) -> f64 {
    let rest = turn.abs() % 2.0;
    exact::cos_pi(if rest > 1.0 { 2.0 - rest } else { rest })
}

/// What one head works in: queries, keys, values and others, `length × columns` each, and two
/// squares of `length`.
struct Scratch {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    out: Vec<f32>,
    square: Vec<f32>,
}

/// Which positions a row of scores looks at: so many from the first on.
#[derive(Debug, Clone, Copy)]
enum Sight {
    /// Itself and those before it; `before` stand before that of the first row.
    Causal { before: usize },
    /// The first so many, whichever row it is.
    First(usize),
}

impl Sight {
    #[inline(always)]
    const fn of(self, row: usize) -> usize {
        match self {
            Self::Causal { before } => before + row + 1,
            Self::First(count) => count,
        }
    }
}

struct SeenSoftmax<'a> {
    scores: &'a mut [f32],
    length: usize,
    sight: Sight,
    scale: f32,
}

impl Body for SeenSoftmax<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for (i, row) in self.scores.chunks_exact_mut(self.length).enumerate() {
            let (seen, later) = row.split_at_mut(self.sight.of(i));
            for x in seen.iter_mut() {
                *x *= self.scale;
            }
            let most = max_inline(seen);
            for x in seen.iter_mut() {
                *x = exp(*x - most);
            }
            let share = 1.0 / sum_inline(seen);
            for x in seen {
                *x *= share;
            }
            later.fill(0.0);
        }
    }
}

struct SoftmaxGradient<'a> {
    /// By the probabilities; becomes that by the scores.
    gradient: &'a mut [f32],
    probabilities: &'a [f32],
    length: usize,
    sight: Sight,
    scale: f32,
}

impl Body for SoftmaxGradient<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.gradient.chunks_exact_mut(self.length);
        for (i, (dp, p)) in rows.zip(self.probabilities.chunks_exact(self.length)).enumerate() {
            let (dp, later) = dp.split_at_mut(self.sight.of(i));
            let p = &p[..dp.len()];
            let along = dot_inline(dp, p);
            for (d, p) in dp.iter_mut().zip(p) {
                *d = (*d - along) * p * self.scale;
            }
            later.fill(0.0);
        }
    }
}

impl Attention<'_> {
    fn columns(&self) -> usize {
        self.width / self.heads
    }

    fn check(&self, len: usize) {
        let whole = self.heads > 0 && self.width > 0 && self.width.is_multiple_of(self.heads);
        assert!(whole && self.length > 0, "heads divide the width");
        assert!(len.is_multiple_of(3 * self.width * self.length), "whole sequences");
    }

    fn scale(&self) -> f32 {
        1.0 / (self.columns() as f32).sqrt()
    }

    fn scratch(&self) -> Scratch {
        let (rows, square) = (self.length * self.columns(), self.length * self.length);
        let zeros = |len| vec![0.0; len];
        Scratch {
            q: zeros(rows),
            k: zeros(rows),
            v: zeros(rows),
            out: zeros(rows),
            square: zeros(square),
        }
    }

    /// Queries, keys and values of one head of one sequence, turned.
    fn gather(&self, sequence: &[f32], head: usize, into: &mut Scratch) {
        let columns = self.columns();
        let Scratch { q, k, v, .. } = into;
        for (which, out) in [&mut *q, k, v].into_iter().enumerate() {
            let at = which * self.width + head * columns;
            let rows = sequence.chunks_exact(3 * self.width);
            for (row, out) in rows.zip(out.chunks_exact_mut(columns)) {
                out.copy_from_slice(&row[at..at + columns]);
            }
        }
        if let Some(rotation) = self.rotation {
            rotation.turn(0, q, columns, false);
            rotation.turn(0, k, columns, false);
        }
    }

    /// The attended values of rows (`rows × width`), and how much every position looks at every
    /// other: `sequences × heads × length × length`.
    ///
    /// # Panics
    /// If the input is not whole sequences of rows of three times the width.
    #[must_use]
    pub fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        self.forward_by(x, |_| Sight::Causal { before: 0 })
    }

    /// The same where each position looks at all of the first `seen` of its sequence, and at none
    /// behind them: no position is before another.
    ///
    /// # Panics
    /// If the input is not as many sequences, or more is to be seen of one than it has.
    #[must_use]
    pub fn forward_seen(&self, x: &[f32], seen: &[usize]) -> (Vec<f32>, Vec<f32>) {
        self.check_seen(x.len(), seen);
        self.forward_by(x, |sequence| Sight::First(seen[sequence]))
    }

    fn check_seen(&self, len: usize, seen: &[usize]) {
        assert_eq!(len, 3 * self.width * self.length * seen.len(), "a sight for each sequence");
        assert!(seen.iter().all(|seen| *seen <= self.length), "no more than there is");
    }

    fn forward_by(&self, x: &[f32], sight: impl Fn(usize) -> Sight + Sync) -> (Vec<f32>, Vec<f32>) {
        self.check(x.len());
        let sequences = x.len() / (3 * self.width * self.length);
        let mut y = vec![0.0; sequences * self.length * self.width];
        let mut looks = vec![0.0; sequences * self.heads * self.length * self.length];
        let (of_x, of_y) = (3 * self.width * self.length, self.width * self.length);
        let of_looks = self.heads * self.length * self.length;
        self.share(
            x.chunks_exact(of_x)
                .zip(y.chunks_exact_mut(of_y))
                .zip(looks.chunks_exact_mut(of_looks))
                .enumerate(),
            |scratch, (at, ((x, y), looks))| self.forward_one(x, (y, looks), sight(at), scratch),
        );
        (y, looks)
    }

    fn forward_one(
        &self,
        x: &[f32],
        (y, looks): (&mut [f32], &mut [f32]),
        sight: Sight,
        scratch: &mut Scratch,
    ) {
        let (length, columns, one) = (self.length, self.columns(), self.one());
        for (head, looks) in looks.chunks_exact_mut(length * length).enumerate() {
            self.gather(x, head, scratch);
            let Scratch { q, k, v, out, .. } = scratch;
            let scores = Shape { m: length, n: length, k: columns };
            matmul(one, Form::Nt, scores, q, k, looks);
            on(one.isa, SeenSoftmax { scores: looks, length, sight, scale: self.scale() });
            let values = Shape { m: length, n: columns, k: length };
            matmul(one, Form::Nn, values, looks, v, out);
            let at = head * columns;
            for (row, out) in y.chunks_exact_mut(self.width).zip(out.chunks_exact(columns)) {
                row[at..at + columns].copy_from_slice(out);
            }
        }
    }

    /// The gradient by the input, from how much positions looked at others and the gradient by what
    /// [`Attention::forward`] gave.
    ///
    /// # Panics
    /// If a slice does not fit the others.
    #[must_use]
    pub fn backward(&self, x: &[f32], looks: &[f32], by_output: &[f32]) -> Vec<f32> {
        self.backward_by((x, looks), by_output, |_| Sight::Causal { before: 0 })
    }

    /// The same of [`Attention::forward_seen`].
    ///
    /// # Panics
    /// If a slice does not fit the others.
    #[must_use]
    pub fn backward_seen(
        &self,
        (x, looks): (&[f32], &[f32]),
        seen: &[usize],
        by_output: &[f32],
    ) -> Vec<f32> {
        self.check_seen(x.len(), seen);
        self.backward_by((x, looks), by_output, |sequence| Sight::First(seen[sequence]))
    }

    fn backward_by(
        &self,
        (x, looks): (&[f32], &[f32]),
        by_output: &[f32],
        sight: impl Fn(usize) -> Sight + Sync,
    ) -> Vec<f32> {
        self.check(x.len());
        let sequences = x.len() / (3 * self.width * self.length);
        let of_looks = self.heads * self.length * self.length;
        let (of_x, of_y) = (3 * self.width * self.length, self.width * self.length);
        assert_eq!(
            (by_output.len(), looks.len()),
            (sequences * of_y, sequences * of_looks),
            "as given"
        );
        let mut by_input = vec![0.0; x.len()];
        let given = x.chunks_exact(of_x).zip(looks.chunks_exact(of_looks));
        let given = given.zip(by_output.chunks_exact(of_y));
        self.share(
            given.zip(by_input.chunks_exact_mut(of_x)).enumerate(),
            |scratch, (at, (((x, looks), dy), dx))| {
                self.backward_one((x, looks, dy), dx, sight(at), scratch);
            },
        );
        by_input
    }

    fn backward_one(
        &self,
        (x, looks, dy): (&[f32], &[f32], &[f32]),
        dx: &mut [f32],
        sight: Sight,
        scratch: &mut Scratch,
    ) {
        let (length, columns, one) = (self.length, self.columns(), self.one());
        let scores = Shape { m: length, n: length, k: columns };
        let values = Shape { m: length, n: columns, k: length };
        for (head, looks) in looks.chunks_exact(length * length).enumerate() {
            self.gather(x, head, scratch);
            let Scratch { q, k, v, out, square } = scratch;
            let at = head * columns;
            for (row, out) in dy.chunks_exact(self.width).zip(out.chunks_exact_mut(columns)) {
                out.copy_from_slice(&row[at..at + columns]);
            }
            matmul(one, Form::Nt, scores, out, v, square);
            // By the values: they are not needed any more.
            matmul(one, Form::Tn, values, looks, out, v);
            let (probabilities, scale) = (looks, self.scale());
            on(one.isa, SoftmaxGradient { gradient: square, probabilities, length, sight, scale });
            matmul(one, Form::Nn, values, square, k, out);
            matmul(one, Form::Tn, values, square, q, k);
            if let Some(rotation) = self.rotation {
                rotation.turn(0, out, columns, true);
                rotation.turn(0, k, columns, true);
            }
            for (which, from) in [&*out, k, v].into_iter().enumerate() {
                let at = which * self.width + at;
                for (row, from) in
                    dx.chunks_exact_mut(3 * self.width).zip(from.chunks_exact(columns))
                {
                    row[at..at + columns].copy_from_slice(from);
                }
            }
        }
    }

    /// One thread: sequences are what threads share out.
    fn one(&self) -> Engine {
        Engine::with(self.engine.isa, 1)
    }

    /// Does the work of every sequence, each in one thread.
    fn share<T: Send>(
        &self,
        sequences: impl Iterator<Item = T>,
        work: impl Fn(&mut Scratch, T) + Sync,
    ) {
        let all: Vec<T> = sequences.collect();
        let each = all.len().div_ceil(self.engine.threads()).max(1);
        let mut all = all.into_iter();
        let parts = std::iter::from_fn(|| {
            let some: Vec<T> = all.by_ref().take(each).collect();
            (!some.is_empty()).then_some(some)
        });
        self.engine.share(parts, |some| {
            let mut scratch = self.scratch();
            some.into_iter().for_each(|one| work(&mut scratch, one));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;
    use crate::compute::kernel::{Isa, golden};

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
        let at =
            |row: usize, which: usize, column: usize| x[row * 3 * WIDTH + which * WIDTH + column];
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
            for threads in 1..4 {
                assert_eq!(
                    bits(&all(Engine::with(isa, threads))),
                    bits(&expect),
                    "{isa:?} {threads}"
                );
            }
        }
        golden::check(&expect, "attention");
    }
}
