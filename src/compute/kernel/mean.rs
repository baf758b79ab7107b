//! The mean of the first rows of each sequence, forward and backward.
//! Never looks at the rows behind them. Sums run over rows in their order.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

use super::Isa;
use super::isa::{Body, on};

/// The arithmetic: sequences of `length` rows, of which the first few count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mean<'a> {
    /// The instruction set.
    pub isa: Isa,
    /// Rows of a sequence.
    pub length: usize,
    /// How many rows of each sequence count: at most its length.
    pub seen: &'a [usize],
}

struct Forward<'a> {
    mean: Mean<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
    width: usize,
}

impl Body for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let (width, of_sequence) = (self.width, self.width * self.mean.length);
        let sequences = self.x.chunks_exact(of_sequence).zip(self.mean.seen);
        for ((x, seen), out) in sequences.zip(self.out.chunks_exact_mut(width)) {
            for row in x[..seen * width].chunks_exact(width) {
                for (y, x) in out.iter_mut().zip(row) {
                    *y += x;
                }
            }
            let count = (*seen).max(1) as f32;
            for y in out {
                *y /= count;
            }
        }
    }
}

impl Mean<'_> {
    fn width(&self, len: usize, rows: usize) -> usize {
        assert!(self.length > 0 && self.seen.iter().all(|seen| *seen <= self.length), "rows");
        let width = len / rows.max(1);
        assert_eq!(width * rows, len, "whole sequences");
        width
    }

    /// The mean of each sequence: `sequences × width`; zeros where no row counts.
    ///
    /// # Panics
    /// If the input is not as many whole sequences as are told of.
    #[must_use]
    pub fn forward(&self, x: &[f32]) -> Vec<f32> {
        let width = self.width(x.len(), self.seen.len() * self.length);
        let mut out = vec![0.0; self.seen.len() * width];
        if width > 0 {
            on(self.isa, Forward { mean: *self, x, out: &mut out, width });
        }
        out
    }

    /// The gradient by the rows, from that by the means.
    ///
    /// # Panics
    /// If the gradient is not one row for each sequence.
    #[must_use]
    pub fn backward(&self, by_output: &[f32]) -> Vec<f32> {
        let width = self.width(by_output.len(), self.seen.len());
        let mut by_input = vec![0.0; by_output.len() * self.length];
        let sequences = by_input.chunks_exact_mut((width * self.length).max(1)).zip(self.seen);
        for ((dx, seen), dy) in sequences.zip(by_output.chunks_exact(width.max(1))) {
            let count = (*seen).max(1) as f32;
            for row in dx[..seen * width].chunks_exact_mut(width) {
                row.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy / count);
            }
        }
        by_input
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::Philox;

    const LENGTH: usize = 7;
    const WIDTH: usize = 19;
    const SEEN: [usize; 4] = [7, 3, 0, 1];

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        Philox::new(1, 2, stream).fill(-1.0, 1.0, &mut out);
        out
    }

    #[test]
    fn gradients_are_the_slopes_of_the_mean_on_any_path() {
        let (x, dy) = (noise(1, 4 * LENGTH * WIDTH), noise(2, 4 * WIDTH));
        let mean = |isa| Mean { isa, length: LENGTH, seen: &SEEN };
        let y = mean(Isa::PORTABLE).forward(&x);
        for (at, y) in y.iter().enumerate() {
            let (sequence, column) = (at / WIDTH, at % WIDTH);
            let cell = |row: usize| f64::from(x[(sequence * LENGTH + row) * WIDTH + column]);
            let sum: f64 = (0..SEEN[sequence]).map(cell).sum();
            assert!((f64::from(*y) - sum / SEEN[sequence].max(1) as f64).abs() < 1e-6);
        }
        // The mean is linear: moving a number by one moves it by its slope.
        let dx = mean(Isa::PORTABLE).backward(&dy);
        let wide = |x: &[f32]| -> f64 {
            let y = mean(Isa::PORTABLE).forward(x);
            y.iter().zip(&dy).map(|(y, dy)| f64::from(*y) * f64::from(*dy)).sum()
        };
        let before = wide(&x);
        for (at, slope) in dx.iter().enumerate() {
            let mut moved = x.clone();
            moved[at] += 1.0;
            assert!((wide(&moved) - before - f64::from(*slope)).abs() < 1e-5, "{at}");
        }
        for isa in Isa::all() {
            assert_eq!(mean(isa).forward(&x), y, "{isa:?}");
        }
        golden::check(&[y, dx].concat(), "mean");
    }
}
