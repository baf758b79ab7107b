//! Reductions: sums, means and maxima of many numbers in one fixed order.
//! Never a plain running sum: lane l of 16 takes the items i ≡ l (mod 16) in ascending order, and
//! the lanes are folded 8-4-2-1. Sixteen lanes are one AVX-512, two AVX2 or four NEON registers.

use super::isa::{Body, on};
use super::{Engine, Isa, spare};

pub(super) const LANES: usize = 16;

struct Sum<'a>(&'a [f32]);

impl Body for Sum<'_> {
    type Out = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        striped(self.0, 0.0, |sum, x| sum + x)
    }
}

struct Sums<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
}

impl Body for Sums<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for ((sum, a), b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *sum = a + b;
        }
    }
}

/// The sum of each element of one slice and that of another, as many as both have.
#[must_use]
pub fn sums(engine: Engine, a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut out = spare::take(a.len().min(b.len()));
    let each = engine.rows_each(out.len(), 1);
    let parts = out.chunks_mut(each).zip(a.chunks(each)).zip(b.chunks(each));
    engine.share(parts, |((out, a), b)| on(engine.isa, Sums { a, b, out }));
    out
}

struct Plus<'a> {
    into: &'a mut [f32],
    other: &'a [f32],
}

impl Body for Plus<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for (sum, x) in self.into.iter_mut().zip(self.other) {
            *sum += x;
        }
    }
}

/// Adds to each element of one slice that of another, as many as both have.
pub fn add_to(engine: Engine, into: &mut [f32], other: &[f32]) {
    let each = engine.rows_each(into.len(), 1);
    let parts = into.chunks_mut(each).zip(other.chunks(each));
    engine.share(parts, |(into, other)| on(engine.isa, Plus { into, other }));
}

struct Max<'a>(&'a [f32]);

impl Body for Max<'_> {
    type Out = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        striped(self.0, f32::NEG_INFINITY, |most, x| if x > most { x } else { most })
    }
}

/// Folds items into 16 lanes, then the lanes 8-4-2-1.
#[inline(always)]
fn striped(xs: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = xs.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(*chunk) {
            *lane = fold(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = fold(*lane, x);
    }
    fold_lanes(lanes, fold)
}

/// Folds the lanes 8-4-2-1.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "halves of arrays of a fixed length")]
fn fold_lanes<T: Copy>(lanes: [T; LANES], fold: impl Fn(T, T) -> T) -> T {
    let eight: [T; 8] = std::array::from_fn(|i| fold(lanes[i], lanes[i + 8]));
    let four: [T; 4] = std::array::from_fn(|i| fold(eight[i], eight[i + 4]));
    fold(fold(four[0], four[2]), fold(four[1], four[3]))
}

/// The sum; +0.0 of nothing.
#[must_use]
pub fn sum(isa: Isa, xs: &[f32]) -> f32 {
    on(isa, Sum(xs))
}

struct Squares<'a>(&'a [f32]);

impl Body for Squares<'_> {
    type Out = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let mut chunks = self.0.chunks_exact(LANES);
        for chunk in chunks.by_ref() {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(x) * f64::from(x);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane += f64::from(x) * f64::from(x);
        }
        fold_lanes(lanes, |sum, x| sum + x)
    }
}

/// The sum of the squares in f64, where no square of an f32 overflows; +0.0 of nothing.
#[must_use]
pub fn squares(isa: Isa, xs: &[f32]) -> f64 {
    on(isa, Squares(xs))
}

/// The mean; NaN of nothing.
#[must_use]
pub fn mean(isa: Isa, xs: &[f32]) -> f32 {
    sum(isa, xs) / xs.len() as f32
}

/// The largest by comparison; a NaN is never larger. −∞ of nothing.
#[must_use]
pub fn max(isa: Isa, xs: &[f32]) -> f32 {
    on(isa, Max(xs))
}

/// Sum without dispatch, for use inside another body.
#[inline(always)]
pub(super) fn sum_inline(xs: &[f32]) -> f32 {
    Sum(xs).run()
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl Body for Dot<'_> {
    type Out = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let (left, rest_of_left) = self.0.as_chunks::<LANES>();
        let (right, rest_of_right) = self.1.as_chunks::<LANES>();
        for (xs, ys) in left.iter().zip(right) {
            for ((lane, x), y) in lanes.iter_mut().zip(*xs).zip(*ys) {
                *lane = x.mul_add(y, *lane);
            }
        }
        for ((lane, x), y) in lanes.iter_mut().zip(rest_of_left).zip(rest_of_right) {
            *lane = x.mul_add(*y, *lane);
        }
        fold_lanes(lanes, |sum, x| sum + x)
    }
}

/// The sum of the products of the elements of two slices of one length: in each lane one chain of
/// fused multiply-adds; +0.0 of nothing.
#[must_use]
pub fn dot(isa: Isa, xs: &[f32], ys: &[f32]) -> f32 {
    on(isa, Dot(xs, ys))
}

/// [`dot`] without dispatch, for use inside another body.
#[inline(always)]
pub(super) fn dot_inline(xs: &[f32], ys: &[f32]) -> f32 {
    Dot(xs, ys).run()
}

/// Replaces every x by f(x), for use inside another body: sixteen at a time, as short rows want it.
/// (Compilers make loops of four times as many, which these would never enter.)
#[inline(always)]
pub(super) fn map(xs: &mut [f32], f: impl Fn(f32) -> f32) {
    let (chunks, rest) = xs.as_chunks_mut::<LANES>();
    for chunk in chunks {
        let mut values = *chunk;
        for x in &mut values {
            *x = f(*x);
        }
        *chunk = values;
    }
    for x in rest {
        *x = f(*x);
    }
}

/// Replaces every x by f(x, y) with the y that stands beside it, in the same way.
#[inline(always)]
pub(super) fn map_with(xs: &mut [f32], ys: &[f32], f: impl Fn(f32, f32) -> f32) {
    let (chunks, rest) = xs.as_chunks_mut::<LANES>();
    let (others, rest_of_ys) = ys.as_chunks::<LANES>();
    for (chunk, others) in chunks.iter_mut().zip(others) {
        let (mut values, others) = (*chunk, *others);
        for (x, y) in values.iter_mut().zip(others) {
            *x = f(*x, y);
        }
        *chunk = values;
    }
    for (x, y) in rest.iter_mut().zip(rest_of_ys) {
        *x = f(*x, *y);
    }
}

/// Maximum without dispatch, for use inside another body.
#[inline(always)]
pub(super) fn max_inline(xs: &[f32]) -> f32 {
    Max(xs).run()
}

struct ColumnSums<'a> {
    xs: &'a [f32],
    /// Columns of `xs`, and the first of those that are summed.
    width: usize,
    first: usize,
    out: &'a mut [f32],
}

impl Body for ColumnSums<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let of = self.first..self.first + self.out.len();
        for row in self.xs.chunks_exact(self.width.max(1)) {
            for (sum, &x) in self.out.iter_mut().zip(row.get(of.clone()).unwrap_or_default()) {
                *sum += x;
            }
        }
    }
}

/// The sum of every column of a row-major matrix of `out.len()` columns, in row order from +0.0.
pub fn column_sums(engine: Engine, xs: &[f32], out: &mut [f32]) {
    let (width, isa) = (out.len(), engine.isa);
    let each = engine.columns_each(xs.len() / width.max(1), width);
    engine.share(out.chunks_mut(each).enumerate(), |(i, out)| {
        out.fill(0.0);
        on(isa, ColumnSums { xs, width, first: i * each, out });
    });
}

/// The same, from what `out` holds.
pub(super) fn add_columns(isa: Isa, xs: &[f32], out: &mut [f32]) {
    on(isa, ColumnSums { xs, width: out.len(), first: 0, out });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive_sum(xs: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 16];
        for (i, x) in xs.iter().enumerate() {
            lanes[i % 16] += x;
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }

    fn naive_dot(xs: &[f32], ys: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 16];
        for (i, (x, y)) in xs.iter().zip(ys).enumerate() {
            lanes[i % 16] = x.mul_add(*y, lanes[i % 16]);
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }

    fn naive_squares(xs: &[f32]) -> f64 {
        let mut lanes = [0.0f64; 16];
        for (i, x) in xs.iter().enumerate() {
            lanes[i % 16] += f64::from(*x) * f64::from(*x);
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }

    proptest! {
        #[test]
        fn every_path_adds_in_the_same_order(
            xs in proptest::collection::vec(-1e6f32..1e6, 0..200), width in 1usize..20,
        ) {
            for isa in Isa::all() {
                prop_assert_eq!(sum(isa, &xs).to_bits(), naive_sum(&xs).to_bits());
                let most = xs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                prop_assert_eq!(max(isa, &xs), most);
                let turned: Vec<f32> = xs.iter().rev().copied().collect();
                let product = dot(isa, &xs, &turned);
                prop_assert_eq!(product.to_bits(), naive_dot(&xs, &turned).to_bits());
                prop_assert_eq!(squares(isa, &xs).to_bits(), naive_squares(&xs).to_bits());
                let mut sums = vec![1.0; width];
                column_sums(Engine::with(isa, 1), &xs, &mut sums);
                for (j, &column) in sums.iter().enumerate() {
                    let expect = xs.chunks_exact(width).fold(0.0, |sum: f32, row| sum + row[j]);
                    prop_assert_eq!(column.to_bits(), expect.to_bits());
                }
            }
        }
    }

    #[test]
    fn a_mean_is_the_sum_divided_once() {
        assert_eq!(mean(Isa::best(), &[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(max(Isa::best(), &[]), f32::NEG_INFINITY);
    }
}
