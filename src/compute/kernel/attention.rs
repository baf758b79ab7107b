//! Self-attention of several heads, causal or over all of a text (Vaswani and others 2017, arXiv
//! 1706.03762), forward and backward, with positions by rotation where asked for (Su and others
//! 2021, arXiv 2104.09864). Never lets a position look at one after it, or at one behind its text.
//!
//! A row of the input holds queries, keys and values of one position, each for all heads one after
//! the other; rows of one sequence follow each other. Every product is one of `matmul`: a chain of
//! fused multiply-adds over ascending positions or columns. Heads are read and written where they
//! lie, and what a position does not see is not computed.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

mod grouped;
mod memory;

pub use grouped::Grouped;
pub use memory::Memory;

use super::elementary::exp;
use super::isa::{Body, on};
use super::matmul::{Form, Product, Shape, matmul};
use super::pack::View;
use super::reduce::{LANES, dot_inline, map, map_with, max_inline, sum_inline};
use super::{Engine, spare};
use crate::compute::exact;
use std::ops::Range;

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
        self.turn_rows(from, rows.chunks_exact_mut(columns), back);
    }

    /// The same, of rows that begin so far apart, from the first position on and backwards.
    fn turn_back(&self, rows: &mut [f32], columns: usize, stride: usize) {
        let rows = rows.chunks_mut(stride).filter_map(|row| row.get_mut(..columns));
        self.turn_rows(0, rows, true);
    }

    fn turn_rows<'a>(&self, from: usize, rows: impl Iterator<Item = &'a mut [f32]>, back: bool) {
        let angles = self
            .cosines
            .chunks_exact(self.pairs.max(1))
            .zip(self.sines.chunks_exact(self.pairs.max(1)))
            .skip(from);
        for (row, (cosines, sines)) in rows.zip(angles) {
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

/// What one head works in: turned queries and keys, and a square of `length`.
struct Scratch {
    turned: [Vec<f32>; 2],
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
            let seen = self.sight.of(i);
            let padded = padded(seen, row.len());
            // One of those that are seen once more is no new maximum.
            let again = if seen > 0 { row[0] } else { 0.0 };
            fill(row, seen..padded, again);
            map(&mut row[..padded], |x| x * self.scale);
            let most = max_inline(&row[..padded]);
            map(&mut row[..padded], |x| exp(x - most));
            fill(row, seen..padded, 0.0);
            let share = 1.0 / sum_inline(&row[..padded]);
            map(&mut row[..padded], |x| x * share);
            fill(row, seen..padded, 0.0);
            row[padded..].fill(0.0);
        }
    }
}

/// So many, filled up to whole registers where the row is that long: the rest of a register would
/// be done one by one.
#[inline(always)]
fn padded(seen: usize, length: usize) -> usize {
    let padded = seen.next_multiple_of(LANES);
    if padded <= length { padded } else { seen }
}

/// Fills up a register.
#[inline(always)]
fn fill(row: &mut [f32], Range { start, end }: Range<usize>, value: f32) {
    if start < end {
        let chunk = &mut row.as_chunks_mut::<LANES>().0[start / LANES];
        let mut values = *chunk;
        for (lane, x) in values.iter_mut().enumerate() {
            *x = if lane < start % LANES { *x } else { value };
        }
        *chunk = values;
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
            let seen = self.sight.of(i);
            let padded = padded(seen, dp.len());
            // Times the +0.0 that stands there it is -0.0, which changes no sum.
            fill(dp, seen..padded, -0.0);
            let (some, p) = (&mut dp[..padded], &p[..padded]);
            let along = dot_inline(some, p);
            map_with(some, p, |d, p| (d - along) * p * self.scale);
            fill(dp, seen..padded, 0.0);
            dp[padded..].fill(0.0);
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
        let rows = if self.rotation.is_some() { self.length * self.columns() } else { 0 };
        let turned = [vec![0.0; rows], vec![0.0; rows]];
        Scratch { turned, square: vec![0.0; self.length * self.length] }
    }

    /// Queries, keys and values of one head of one sequence, where they lie; the first two in
    /// `turned` where they are turned.
    fn parts<'a>(
        &self,
        sequence: &'a [f32],
        head: usize,
        turned: &'a mut [Vec<f32>; 2],
    ) -> [View<'a>; 3] {
        let (columns, stride) = (self.columns(), 3 * self.width);
        let lying = |which: usize| {
            let values = &sequence[which * self.width + head * columns..];
            View { values, stride, transposed: false }
        };
        let Some(rotation) = self.rotation else { return [0, 1, 2].map(lying) };
        for (which, out) in turned.iter_mut().enumerate() {
            let rows = lying(which).values.chunks(stride);
            for (row, out) in rows.zip(out.chunks_exact_mut(columns)) {
                out.copy_from_slice(&row[..columns]);
            }
            rotation.turn(0, out, columns, false);
        }
        let of = |values| View { values, stride: columns, transposed: false };
        let [queries, keys] = &*turned;
        [of(queries), of(keys), lying(2)]
    }

    /// `a·b`, into rows that are `stride` apart.
    fn product(
        &self,
        a: View<'_>,
        b: View<'_>,
        [m, n, k]: [usize; 3],
        out: &mut [f32],
        stride: usize,
    ) {
        let product = Product { isa: self.engine.isa, a, b, k, diagonal: None };
        product.run((0, m), (0, n), out, stride);
    }

    /// How well queries fit keys, where they are seen.
    fn scores(&self, queries: View<'_>, keys: View<'_>, sight: Sight, out: &mut [f32]) {
        let diagonal = match sight {
            Sight::Causal { before } => Some(before),
            Sight::First(_) => None,
        };
        let (isa, b) = (self.engine.isa, keys.turned());
        let product = Product { isa, a: queries, b, k: self.columns(), diagonal };
        product.run((0, self.length), (0, self.length), out, self.length);
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
        let mut y = spare::take(sequences * self.length * self.width);
        let mut looks = spare::take(sequences * self.heads * self.length * self.length);
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
        let (length, columns, isa) = (self.length, self.columns(), self.engine.isa);
        for (head, scores) in looks.chunks_exact_mut(length * length).enumerate() {
            let [q, k, v] = self.parts(x, head, &mut scratch.turned);
            self.scores(q, k, sight, scores);
            on(isa, SeenSoftmax { scores, length, sight, scale: self.scale() });
            let looks = View { values: scores, stride: length, transposed: false };
            let y = &mut y[head * columns..];
            self.product(looks, v, [length, columns, length], y, self.width);
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
        let mut by_input = spare::take(x.len());
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
        let (length, columns, isa) = (self.length, self.columns(), self.engine.isa);
        let (width, shape) = (self.width, [length, columns, length]);
        for (head, probabilities) in looks.chunks_exact(length * length).enumerate() {
            let Scratch { turned, square: gradient } = &mut *scratch;
            let [q, k, v] = self.parts(x, head, turned);
            let at = head * columns;
            let dy = View { values: &dy[at..], stride: width, transposed: false };
            let looks = View { values: probabilities, stride: length, transposed: true };
            self.product(looks, dy, shape, &mut dx[2 * width + at..], 3 * width);
            self.scores(dy, v, sight, gradient);
            let scale = self.scale();
            on(isa, SoftmaxGradient { gradient, probabilities, length, sight, scale });
            let by_scores = View { values: gradient, stride: length, transposed: false };
            self.product(by_scores, k, shape, &mut dx[at..], 3 * width);
            self.product(by_scores.turned(), q, shape, &mut dx[width + at..], 3 * width);
            if let Some(rotation) = self.rotation {
                for from in [at, width + at] {
                    rotation.turn_back(&mut dx[from..], columns, 3 * width);
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
mod tests;
