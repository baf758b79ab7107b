//! Max-pooling: of every square of an image the largest value, per channel.
//! Never loses a NaN: the first of a square is its largest. Of equal values the first is taken.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

use super::Isa;
use super::isa::{Body, on};

/// Squares of an image (height × width × channels, channels last) without overlap; what is left
/// over at the right and at the bottom is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Lines of the image.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// The side of a square, from 1 to 15.
    pub side: usize,
}

impl Pool {
    /// Height and width of what is left of an image.
    #[must_use]
    pub const fn pooled(&self) -> (usize, usize) {
        (self.height / self.side, self.width / self.side)
    }

    /// Values of an image, before and after.
    #[must_use]
    pub const fn lengths(&self) -> (usize, usize) {
        let (height, width) = self.pooled();
        (self.height * self.width * self.channels, height * width * self.channels)
    }

    /// The largest of every square, and which of the square it was, line by line from 0.
    ///
    /// # Panics
    /// If a slice does not fit the image.
    pub fn forward(&self, isa: Isa, x: &[f32], y: &mut [f32], picks: &mut [u8]) {
        assert_eq!((x.len(), y.len()), self.lengths(), "the image fits");
        assert_eq!(picks.len(), y.len(), "a pick for every output");
        assert!((1..=15).contains(&self.side), "a pick fits a byte");
        on(isa, Forward { pool: self, x, y, picks });
    }

    /// The gradient by the image: that of every output at the place that was picked, else +0.0.
    ///
    /// # Panics
    /// If a slice does not fit the image.
    pub fn backward(&self, isa: Isa, by_output: &[f32], picks: &[u8], by_input: &mut [f32]) {
        assert_eq!((by_input.len(), by_output.len()), self.lengths(), "the image fits");
        assert_eq!(picks.len(), by_output.len(), "a pick for every output");
        on(isa, Backward { pool: self, by_output, picks, by_input });
    }

    /// The places of the squares' first pixels, in order.
    #[inline(always)]
    fn corners(&self) -> impl Iterator<Item = usize> {
        let (height, width) = self.pooled();
        let Self { side, channels, width: line, .. } = *self;
        (0..height).flat_map(move |y| (0..width).map(move |x| (y * line + x) * side * channels))
    }
}

struct Forward<'a> {
    pool: &'a Pool,
    x: &'a [f32],
    y: &'a mut [f32],
    picks: &'a mut [u8],
}

impl Body for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Pool { width, channels, side, .. } = *self.pool;
        let outputs = self.y.chunks_exact_mut(channels).zip(self.picks.chunks_exact_mut(channels));
        for (corner, (y, picks)) in self.pool.corners().zip(outputs) {
            y.copy_from_slice(&self.x[corner..corner + channels]);
            picks.fill(0);
            for i in 1..side * side {
                let from = corner + (i / side * width + i % side) * channels;
                let x = &self.x[from..from + channels];
                for ((most, pick), &x) in y.iter_mut().zip(picks.iter_mut()).zip(x) {
                    // True also where only x is a NaN; one that is there already stays.
                    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN is to be taken")]
                    let larger = !(x <= *most) & !most.is_nan();
                    *most = if larger { x } else { *most };
                    *pick = if larger { i as u8 } else { *pick };
                }
            }
        }
    }
}

struct Backward<'a> {
    pool: &'a Pool,
    by_output: &'a [f32],
    picks: &'a [u8],
    by_input: &'a mut [f32],
}

impl Body for Backward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Pool { height, width, channels, side } = *self.pool;
        if !height.is_multiple_of(side) || !width.is_multiple_of(side) {
            self.by_input.fill(0.0);
        }
        let outputs = self.by_output.chunks_exact(channels).zip(self.picks.chunks_exact(channels));
        for (corner, (by_output, picks)) in self.pool.corners().zip(outputs) {
            for i in 0..side * side {
                let to = corner + (i / side * width + i % side) * channels;
                let by_input = &mut self.by_input[to..to + channels];
                for ((into, &g), &pick) in by_input.iter_mut().zip(by_output).zip(picks) {
                    *into = if usize::from(pick) == i { g } else { 0.0 };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::{Philox, purpose};
    use proptest::prelude::*;

    const SMALL: Pool = Pool { height: 5, width: 7, channels: 3, side: 2 };

    fn image(pool: &Pool, stream: u32) -> Vec<f32> {
        let mut x = vec![0.0; pool.lengths().0];
        Philox::new(4, purpose::SYNTHETIC, stream).fill(-1.0, 1.0, &mut x);
        x
    }

    fn forward(pool: &Pool, isa: Isa, x: &[f32]) -> (Vec<f32>, Vec<u8>) {
        let (mut y, mut picks) = (vec![0.0; pool.lengths().1], vec![9; pool.lengths().1]);
        pool.forward(isa, x, &mut y, &mut picks);
        (y, picks)
    }

    #[test]
    fn the_first_of_equal_values_is_taken_and_a_nan_is_kept() {
        let pool = Pool { height: 2, width: 2, channels: 1, side: 2 };
        let of = |x: [f32; 4]| {
            let (y, picks) = forward(&pool, Isa::best(), &x);
            (y[0], picks[0])
        };
        assert_eq!(of([1.0, 3.0, 3.0, 2.0]), (3.0, 1));
        assert_eq!(of([0.0, -0.0, 0.0, -1.0]).1, 0);
        for at in 0..4u8 {
            let mut x = [5.0; 4];
            x[usize::from(at)] = f32::NAN;
            let (y, pick) = of(x);
            assert!(y.is_nan() && pick == at, "{at}");
        }
    }

    #[test]
    fn a_gradient_goes_to_the_place_that_was_picked_and_nowhere_else() {
        let x = image(&SMALL, 1);
        let (y, picks) = forward(&SMALL, Isa::best(), &x);
        let ones = vec![1.0; y.len()];
        let mut by_input = vec![f32::NAN; x.len()];
        SMALL.backward(Isa::best(), &ones, &picks, &mut by_input);
        assert_eq!(by_input.iter().filter(|g| **g == 1.0).count(), y.len());
        assert_eq!(by_input.iter().filter(|g| **g == 0.0).count(), x.len() - y.len());
        // A small change of any value changes the sum of the outputs by its gradient.
        for (at, &g) in by_input.iter().enumerate() {
            let mut changed = x.clone();
            changed[at] += 1e-3;
            let (after, _) = forward(&SMALL, Isa::best(), &changed);
            let slope = after.iter().zip(&y).map(|(a, b)| f64::from(a - b)).sum::<f64>() / 1e-3;
            assert!((slope - f64::from(g)).abs() < 1e-3, "{at}: {slope} {g}");
        }
    }

    #[test]
    fn every_path_gives_the_same_golden_bits() {
        let pool = Pool { height: 9, width: 11, channels: 37, side: 3 };
        let x = image(&pool, 2);
        let run = |isa| {
            let (y, picks) = forward(&pool, isa, &x);
            let mut by_input = vec![0.0; x.len()];
            pool.backward(isa, &y, &picks, &mut by_input);
            [y, picks.iter().map(|pick| f32::from(*pick)).collect(), by_input].concat()
        };
        let expect = run(Isa::PORTABLE);
        assert!(Isa::all().into_iter().all(|isa| run(isa) == expect));
        golden::check(&expect, "pool");
    }

    proptest! {
        #[test]
        fn an_output_is_the_largest_of_its_square(
            height in 1usize..9, width in 1usize..9, channels in 1usize..5, side in 1usize..4,
        ) {
            let pool = Pool { height, width, channels, side };
            let x = image(&pool, 3);
            let (y, _) = forward(&pool, Isa::best(), &x);
            let (rows, columns) = pool.pooled();
            for (at, &y) in y.iter().enumerate() {
                let (pixel, c) = (at / channels, at % channels);
                let (row, column) = (pixel / columns, pixel % columns);
                prop_assert!(row < rows);
                let square = (0..side * side).map(|i| {
                    let pixel = (row * side + i / side) * width + column * side + i % side;
                    x[pixel * channels + c]
                });
                prop_assert_eq!(y, square.fold(f32::NEG_INFINITY, f32::max));
            }
        }
    }
}
