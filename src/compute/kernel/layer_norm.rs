//! Layer normalisation: every row minus its mean, divided by its deviation, then scaled and moved.
//! Never takes the variance from squares of the row itself: the mean is subtracted first.

use super::isa::{Body, on};
use super::reduce::{dot_inline, sum_inline};
use super::{Engine, Isa, spare};

/// What normalisation does to each row: both as wide as it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm<'a> {
    /// What every column is multiplied by.
    pub scale: &'a [f32],
    /// What is then added to it.
    pub shift: &'a [f32],
    /// What is added to the variance.
    pub epsilon: f32,
}

/// Where the gradients of a normalisation go.
pub struct Gradients<'a> {
    /// By the scale.
    pub scale: &'a mut [f32],
    /// By the shift.
    pub shift: &'a mut [f32],
    /// By the input: as long as it.
    pub input: &'a mut [f32],
}

/// Puts the normalised row into `out`; gives its mean, and what its differences from that were
/// multiplied by.
#[inline(always)]
fn normalise(row: &[f32], epsilon: f32, out: &mut [f32]) -> [f32; 2] {
    let width = row.len() as f32;
    let mean = sum_inline(row) / width;
    for (y, x) in out.iter_mut().zip(row) {
        *y = x - mean;
    }
    let variance = dot_inline(out, out) / width;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    for y in out {
        *y *= inverse;
    }
    [mean, inverse]
}

/// What a row is of: itself, or the sum of it, of a bias and of another row.
struct Forward<'a> {
    norm: Norm<'a>,
    values: &'a mut [f32],
    added: Option<(&'a [f32], &'a [f32])>,
}

impl Body for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let width = self.norm.scale.len().max(1);
        let mut row = vec![0.0; width];
        for (i, values) in self.values.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(values);
            if let Some((other, bias)) = self.added {
                let other = other.get(i * width..).unwrap_or_default();
                for ((x, other), bias) in row.iter_mut().zip(other).zip(bias) {
                    *x = (*x + bias) + other;
                }
            }
            self.norm.row(&row, values);
        }
    }
}

struct Apart<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Body for Apart<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let width = self.norm.scale.len().max(1);
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            self.norm.row(x, y);
        }
    }
}

/// The gradient by the input, and what the sums over rows need of each row.
struct ByInput<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    by_output: &'a [f32],
    /// Mean and reciprocal deviation of every row.
    moments: &'a mut [[f32; 2]],
    input: &'a mut [f32],
}

impl Body for ByInput<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Norm { scale, epsilon, .. } = self.norm;
        let width = scale.len().max(1);
        let mut row = vec![0.0; width];
        let rows = self.x.chunks_exact(width).zip(self.by_output.chunks_exact(width));
        let rows = rows.zip(self.input.chunks_exact_mut(width)).zip(self.moments);
        for (((x, dy), dx), moments) in rows {
            *moments = normalise(x, epsilon, &mut row);
            let [_, inverse] = *moments;
            for ((dx, dy), g) in dx.iter_mut().zip(dy).zip(scale) {
                *dx = dy * g;
            }
            let mean = sum_inline(dx) / width as f32;
            let along = dot_inline(dx, &row) / width as f32;
            for (dx, y) in dx.iter_mut().zip(&row) {
                *dx = (-along).mul_add(*y, *dx - mean) * inverse;
            }
        }
    }
}

/// The gradients by some columns of scale and shift, from the first of these on.
struct ByColumns<'a> {
    width: usize,
    first: usize,
    x: &'a [f32],
    by_output: &'a [f32],
    moments: &'a [[f32; 2]],
    scale: &'a mut [f32],
    shift: &'a mut [f32],
}

impl Body for ByColumns<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        self.scale.fill(0.0);
        self.shift.fill(0.0);
        let of = self.first..self.first + self.scale.len();
        let rows = self.x.chunks_exact(self.width).zip(self.by_output.chunks_exact(self.width));
        for ((x, dy), [mean, inverse]) in rows.zip(self.moments) {
            let columns = x.get(of.clone()).unwrap_or_default().iter();
            let columns = columns.zip(dy.get(of.clone()).unwrap_or_default());
            let sums = self.scale.iter_mut().zip(self.shift.iter_mut());
            for ((sum_scale, sum_shift), (x, dy)) in sums.zip(columns) {
                *sum_scale = dy.mul_add((x - mean) * inverse, *sum_scale);
                *sum_shift += dy;
            }
        }
    }
}

impl Norm<'_> {
    /// One row, normalised, scaled and moved.
    #[inline(always)]
    fn row(&self, x: &[f32], y: &mut [f32]) {
        normalise(x, self.epsilon, y);
        for ((y, g), b) in y.iter_mut().zip(self.scale).zip(self.shift) {
            *y = y.mul_add(*g, *b);
        }
    }

    /// Normalises rows, in place.
    ///
    /// # Panics
    /// If scale and shift are not of one width, or the values are not whole rows of it.
    pub fn forward(&self, isa: Isa, values: &mut [f32]) {
        self.check(values.len());
        on(isa, Forward { norm: *self, values, added: None });
    }

    /// The rows of `x`, normalised.
    ///
    /// # Panics
    /// As [`Norm::forward`].
    #[must_use]
    pub fn of(&self, engine: Engine, x: &[f32]) -> Vec<f32> {
        self.check(x.len());
        let (width, mut y) = (self.scale.len().max(1), spare::take(x.len()));
        let each = engine.rows_each(x.len() / width, width) * width;
        engine.share(x.chunks(each).zip(y.chunks_mut(each)), |(x, y)| {
            on(engine.isa, Apart { norm: *self, x, y });
        });
        y
    }

    /// Normalises the sum of rows, of a bias and of other rows: what follows a residual branch.
    ///
    /// # Panics
    /// As [`Norm::forward`]; and if the other rows are not as many, or the bias is not as wide.
    pub fn forward_sum(&self, isa: Isa, values: &mut [f32], (other, bias): (&[f32], &[f32])) {
        self.check(values.len());
        assert_eq!((other.len(), bias.len()), (values.len(), self.scale.len()), "like the rows");
        on(isa, Forward { norm: *self, values, added: Some((other, bias)) });
    }

    /// The gradients, from the input `x` of [`Norm::forward`] and the gradient by its result. Sums
    /// over rows are taken in their order.
    ///
    /// # Panics
    /// If a slice does not fit the others.
    pub fn backward(&self, engine: Engine, x: &[f32], by_output: &[f32], into: Gradients<'_>) {
        self.check(x.len());
        let Gradients { scale, shift, input } = into;
        assert_eq!((by_output.len(), input.len()), (x.len(), x.len()), "like the input");
        let width = self.scale.len();
        assert_eq!((scale.len(), shift.len()), (width, width), "as wide as a row");
        let (isa, rows) = (engine.isa, x.len() / width.max(1));
        let mut moments = vec![[0.0; 2]; rows];
        let each = engine.rows_each(rows, width);
        let given = x.chunks(each * width.max(1)).zip(by_output.chunks(each * width.max(1)));
        let given = given.zip(input.chunks_mut(each * width.max(1)));
        engine.share(given.zip(moments.chunks_mut(each)), |(((x, by_output), input), moments)| {
            on(isa, ByInput { norm: *self, x, by_output, moments, input });
        });
        let each = engine.columns_each(rows, width);
        let sums = scale.chunks_mut(each).zip(shift.chunks_mut(each)).enumerate();
        engine.share(sums, |(i, (scale, shift))| {
            let (first, moments) = (i * each, &*moments);
            on(isa, ByColumns { width, first, x, by_output, moments, scale, shift });
        });
    }

    fn check(&self, len: usize) {
        assert_eq!(self.scale.len(), self.shift.len(), "scale and shift are of one width");
        assert!(len.is_multiple_of(self.scale.len().max(1)), "whole rows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::Philox;

    const EPSILON: f32 = 1e-5;

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        Philox::new(1, 2, stream).fill(-1.0, 1.0, &mut out);
        out
    }

    /// Σ weights · normalised, in f64.
    fn wide(x: &[f64], scale: &[f64], shift: &[f64], weights: &[f32]) -> f64 {
        let width = scale.len();
        let rows = x.chunks(width).zip(weights.chunks(width)).map(|(row, weights)| {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
            let deviation = (variance + f64::from(EPSILON)).sqrt();
            let each = (0..width).map(|i| (row[i] - mean) / deviation * scale[i] + shift[i]);
            each.zip(weights).map(|(y, w)| y * f64::from(*w)).sum::<f64>()
        });
        rows.sum()
    }

    #[test]
    fn rows_have_mean_zero_and_deviation_one_before_they_are_scaled() {
        let (scale, shift) = (vec![1.0; 37], vec![0.0; 37]);
        let norm = Norm { scale: &scale, shift: &shift, epsilon: 0.0 };
        let mut values: Vec<f32> = noise(1, 37 * 3).iter().map(|x| x * 5.0 + 100.0).collect();
        norm.forward(Isa::best(), &mut values);
        for row in values.chunks(37) {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / 37.0;
            let square = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / 37.0;
            assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-5, "{mean} {square}");
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_normalisation() {
        let (rows, width) = (4, 21);
        let (x, scale, shift) = (noise(1, rows * width), noise(2, width), noise(3, width));
        let weights = noise(4, rows * width);
        let norm = Norm { scale: &scale, shift: &shift, epsilon: EPSILON };
        let mut y = x.clone();
        norm.forward(Isa::best(), &mut y);
        let f64s = |xs: &[f32]| xs.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let given = [f64s(&x), f64s(&scale), f64s(&shift)];
        let got: f64 = y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum();
        assert!((got - wide(&given[0], &given[1], &given[2], &weights)).abs() < 1e-5);

        let (mut by_scale, mut by_shift) = (vec![9.0; width], vec![9.0; width]);
        let mut by_x = vec![9.0; rows * width];
        let into = Gradients { scale: &mut by_scale, shift: &mut by_shift, input: &mut by_x };
        norm.backward(Engine::default(), &x, &weights, into);
        for (which, gradient) in [by_x, by_scale, by_shift].iter().enumerate() {
            for (at, &slope) in gradient.iter().enumerate() {
                let moved = |by: f64| {
                    let mut given = given.clone();
                    given[which][at] += by;
                    wide(&given[0], &given[1], &given[2], &weights)
                };
                let measured = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((f64::from(slope) - measured).abs() < 2e-5, "{which} {at}: {slope}");
            }
        }
    }

    #[test]
    fn a_residual_is_added_before() {
        let (scale, shift) = (noise(2, 16), noise(3, 16));
        let norm = Norm { scale: &scale, shift: &shift, epsilon: EPSILON };
        let (mut branch, other, bias) = (noise(5, 48), noise(6, 48), noise(7, 16));
        let mut sum: Vec<f32> = (0..48).map(|i| (branch[i] + bias[i % 16]) + other[i]).collect();
        norm.forward(Isa::best(), &mut sum);
        norm.forward_sum(Isa::best(), &mut branch, (&other, &bias));
        assert_eq!(branch, sum);
    }

    /// Forward and backward over rows of a width that fills no whole register.
    fn all(engine: Engine, rows: usize) -> Vec<f32> {
        let width = 83;
        let (x, scale, shift) = (noise(1, rows * width), noise(2, width), noise(3, width));
        let norm = Norm { scale: &scale, shift: &shift, epsilon: EPSILON };
        let y = norm.of(engine, &x);
        let mut in_place = x.clone();
        norm.forward(engine.isa, &mut in_place);
        assert_eq!(in_place, y);
        let (mut by_scale, mut by_shift) = (vec![0.0; width], vec![0.0; width]);
        let mut by_x = vec![0.0; rows * width];
        let into = Gradients { scale: &mut by_scale, shift: &mut by_shift, input: &mut by_x };
        norm.backward(engine, &x, &noise(4, rows * width), into);
        [y, by_x, by_scale, by_shift].concat()
    }

    #[test]
    fn every_path_gives_the_same_bits_and_they_are_golden() {
        for isa in Isa::all() {
            golden::check(&all(Engine::with(isa, 1), 9), "layer norm");
        }
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        golden::same_with_threads(|engine| all(engine, 411));
    }
}
