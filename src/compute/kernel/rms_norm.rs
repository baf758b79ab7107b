//! Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467): every row divided by
//! the root of the mean of its squares, then scaled. Never moves a row: there is no mean and no
//! shift.

use super::Engine;
use super::isa::{Body, on};
use super::reduce::dot_inline;

/// What normalisation does to each row, which is as wide as the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm<'a> {
    /// What every column is multiplied by.
    pub scale: &'a [f32],
    /// What is added to the mean of the squares.
    pub epsilon: f32,
}

/// What a row is multiplied by before it is scaled.
#[inline(always)]
fn inverse(row: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot_inline(row, row) / row.len() as f32 + epsilon).sqrt()
}

struct Forward<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Body for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Norm { scale, epsilon } = self.norm;
        let width = scale.len().max(1);
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            let inverse = inverse(x, epsilon);
            for ((y, x), g) in y.iter_mut().zip(x).zip(scale) {
                *y = (*x * inverse) * g;
            }
        }
    }
}

/// The gradient by the input, and what the sums over rows need of each row.
struct ByInput<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    by_output: &'a [f32],
    /// What every row was multiplied by.
    inverses: &'a mut [f32],
    by_input: &'a mut [f32],
}

impl Body for ByInput<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Norm { scale, epsilon } = self.norm;
        let width = scale.len().max(1);
        let mut row = vec![0.0; width];
        let rows = self.x.chunks_exact(width).zip(self.by_output.chunks_exact(width));
        let rows = rows.zip(self.by_input.chunks_exact_mut(width)).zip(self.inverses);
        for (((x, dy), dx), kept) in rows {
            let inverse = inverse(x, epsilon);
            *kept = inverse;
            for (y, x) in row.iter_mut().zip(x) {
                *y = x * inverse;
            }
            for ((dx, dy), g) in dx.iter_mut().zip(dy).zip(scale) {
                *dx = dy * g;
            }
            let along = dot_inline(dx, &row) / width as f32;
            for (dx, y) in dx.iter_mut().zip(&row) {
                *dx = (-along).mul_add(*y, *dx) * inverse;
            }
        }
    }
}

/// The gradient by some columns of the scale, from the first of these on.
struct ByColumns<'a> {
    width: usize,
    first: usize,
    x: &'a [f32],
    by_output: &'a [f32],
    inverses: &'a [f32],
    scale: &'a mut [f32],
}

impl Body for ByColumns<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        self.scale.fill(0.0);
        let of = self.first..self.first + self.scale.len();
        let rows = self.x.chunks_exact(self.width).zip(self.by_output.chunks_exact(self.width));
        for ((x, dy), inverse) in rows.zip(self.inverses) {
            let columns = x.get(of.clone()).unwrap_or_default().iter();
            let columns = columns.zip(dy.get(of.clone()).unwrap_or_default());
            for (sum, (x, dy)) in self.scale.iter_mut().zip(columns) {
                *sum = dy.mul_add(x * inverse, *sum);
            }
        }
    }
}

impl Norm<'_> {
    /// The rows of `x`, normalised.
    ///
    /// # Panics
    /// If the values are not whole rows.
    #[must_use]
    pub fn of(&self, engine: Engine, x: &[f32]) -> Vec<f32> {
        self.check(x.len());
        let (width, mut y) = (self.scale.len().max(1), vec![0.0; x.len()]);
        let each = engine.rows_each(x.len() / width, width) * width;
        engine.share(x.chunks(each).zip(y.chunks_mut(each)), |(x, y)| {
            on(engine.isa, Forward { norm: *self, x, y });
        });
        y
    }

    /// The gradients by scale and input, from the input `x` of [`Norm::of`] and the gradient
    /// by its result. Sums over rows are taken in their order.
    ///
    /// # Panics
    /// If a slice does not fit the others.
    pub fn backward(
        &self,
        engine: Engine,
        x: &[f32],
        by_output: &[f32],
        (by_scale, by_input): (&mut [f32], &mut [f32]),
    ) {
        self.check(x.len());
        assert_eq!((by_output.len(), by_input.len()), (x.len(), x.len()), "like the input");
        assert_eq!(by_scale.len(), self.scale.len(), "as wide as a row");
        let (isa, width) = (engine.isa, self.scale.len().max(1));
        let rows = x.len() / width;
        let mut inverses = vec![0.0; rows];
        let each = engine.rows_each(rows, width);
        let given = x.chunks(each * width).zip(by_output.chunks(each * width));
        let given = given.zip(by_input.chunks_mut(each * width)).zip(inverses.chunks_mut(each));
        engine.share(given, |(((x, by_output), by_input), inverses)| {
            on(isa, ByInput { norm: *self, x, by_output, inverses, by_input });
        });
        let each = engine.columns_each(rows, width);
        engine.share(by_scale.chunks_mut(each).enumerate(), |(i, scale)| {
            let (first, inverses) = (i * each, &*inverses);
            on(isa, ByColumns { width, first, x, by_output, inverses, scale });
        });
    }

    fn check(&self, len: usize) {
        assert!(len.is_multiple_of(self.scale.len().max(1)), "whole rows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;
    use crate::compute::kernel::{Isa, golden};

    const EPSILON: f32 = 1e-5;

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        Philox::new(1, 2, stream).fill(-1.0, 1.0, &mut out);
        out
    }

    /// Σ weights · normalised, in f64.
    fn wide(x: &[f64], scale: &[f64], weights: &[f32]) -> f64 {
        let width = scale.len();
        let rows = x.chunks(width).zip(weights.chunks(width)).map(|(row, weights)| {
            let square = row.iter().map(|x| x * x).sum::<f64>() / width as f64;
            let root = (square + f64::from(EPSILON)).sqrt();
            let each = row.iter().zip(scale).map(|(x, g)| x / root * g);
            each.zip(weights).map(|(y, w)| y * f64::from(*w)).sum::<f64>()
        });
        rows.sum()
    }

    #[test]
    fn rows_have_squares_of_mean_one_before_they_are_scaled_and_are_not_moved() {
        let scale = vec![1.0; 37];
        let before: Vec<f32> = noise(1, 37 * 3).iter().map(|x| x * 5.0 + 100.0).collect();
        let values = Norm { scale: &scale, epsilon: 0.0 }.of(Engine::default(), &before);
        for (row, before) in values.chunks(37).zip(before.chunks(37)) {
            let square = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / 37.0;
            assert!((square - 1.0).abs() < 1e-5, "{square}");
            let factor = before[0] / row[0];
            let same = row.iter().zip(before).all(|(y, x)| (y * factor / x - 1.0).abs() < 1e-5);
            assert!(same, "a row keeps its direction");
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_normalisation() {
        let (rows, width) = (4, 21);
        let (x, scale, weights) = (noise(1, rows * width), noise(2, width), noise(4, rows * width));
        let norm = Norm { scale: &scale, epsilon: EPSILON };
        let y = norm.of(Engine::default(), &x);
        let f64s = |xs: &[f32]| xs.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let given = [f64s(&x), f64s(&scale)];
        let got: f64 = y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum();
        assert!((got - wide(&given[0], &given[1], &weights)).abs() < 1e-5);

        let (mut by_x, mut by_scale) = (vec![9.0; rows * width], vec![9.0; width]);
        norm.backward(Engine::default(), &x, &weights, (&mut by_scale, &mut by_x));
        for (which, gradient) in [by_x, by_scale].iter().enumerate() {
            for (at, &slope) in gradient.iter().enumerate() {
                let moved = |by: f64| {
                    let mut given = given.clone();
                    given[which][at] += by;
                    wide(&given[0], &given[1], &weights)
                };
                let measured = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((f64::from(slope) - measured).abs() < 2e-5, "{which} {at}: {slope}");
            }
        }
    }

    /// Forward and backward over rows of a width that fills no whole register.
    fn all(engine: Engine, rows: usize) -> Vec<f32> {
        let width = 83;
        let (x, scale) = (noise(1, rows * width), noise(2, width));
        let norm = Norm { scale: &scale, epsilon: EPSILON };
        let y = norm.of(engine, &x);
        let (mut by_scale, mut by_x) = (vec![0.0; width], vec![0.0; rows * width]);
        norm.backward(engine, &x, &noise(4, rows * width), (&mut by_scale, &mut by_x));
        [y, by_x, by_scale].concat()
    }

    #[test]
    fn every_path_gives_the_same_bits_and_they_are_golden() {
        for isa in Isa::all() {
            golden::check(&all(Engine::with(isa, 1), 9), "rms norm");
        }
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        golden::same_with_threads(|engine| all(engine, 411));
    }
}
