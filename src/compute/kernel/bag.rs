//! Bags of tokens: the mean of the vectors of the tokens of each row, forward and backward.
//! Never trusts a token: one that there is not counts as none, as 0 does.
//!
//! Sums run over the tokens of a row in their order, gradients over the rows in theirs.

use super::Isa;
use super::isa::{Body, on};

/// The arithmetic of a bag: rows of tokens, each counted from 1, become rows of `width` numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bag {
    /// The instruction set.
    pub isa: Isa,
    /// Tokens in a row, those that are none among them.
    pub length: usize,
    /// Numbers of the vector of a token.
    pub width: usize,
}

/// Where in the table of vectors that of a token begins.
#[inline(always)]
fn place(token: f32, width: usize) -> Option<usize> {
    // The cast gives 0 for what is none, and the largest number for what is too large.
    (token as usize).checked_sub(1)?.checked_mul(width)
}

#[inline(always)]
fn vector(table: &[f32], token: f32, width: usize) -> Option<&[f32]> {
    let from = place(token, width)?;
    table.get(from..from.checked_add(width)?)
}

struct Forward<'a> {
    bag: Bag,
    tokens: &'a [f32],
    table: &'a [f32],
    out: &'a mut [f32],
}

impl Body for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Bag { length, width, .. } = self.bag;
        let rows = self.tokens.chunks_exact(length);
        for (tokens, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let mut count = 0u32;
            for vector in tokens.iter().filter_map(|token| vector(self.table, *token, width)) {
                out.iter_mut().zip(vector).for_each(|(y, x)| *y += x);
                count += 1;
            }
            let count = count.max(1) as f32;
            out.iter_mut().for_each(|y| *y /= count);
        }
    }
}

struct Backward<'a> {
    bag: Bag,
    tokens: &'a [f32],
    by_output: &'a [f32],
    into: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Body for Backward<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let Bag { length, width, .. } = self.bag;
        let end = self.into.len();
        let is_there = |token: f32| {
            place(token, width).filter(|from| from.checked_add(width).is_some_and(|to| to <= end))
        };
        self.into.fill(0.0);
        let rows = self.tokens.chunks_exact(length);
        for (tokens, by_output) in rows.zip(self.by_output.chunks_exact(width)) {
            let count = tokens.iter().filter(|token| is_there(**token).is_some()).count();
            let count = count.max(1) as f32;
            self.scratch.iter_mut().zip(by_output).for_each(|(s, g)| *s = g / count);
            for from in tokens.iter().filter_map(|token| is_there(*token)) {
                if let Some(into) = self.into.get_mut(from..from + width) {
                    into.iter_mut().zip(&*self.scratch).for_each(|(g, s)| *g += s);
                }
            }
        }
    }
}

impl Bag {
    /// The mean vector of each row of tokens; zeros for a row without a token.
    ///
    /// # Panics
    /// If a slice does not fit the bag.
    #[must_use]
    pub fn forward(&self, tokens: &[f32], table: &[f32]) -> Vec<f32> {
        assert!(self.length > 0 && self.width > 0, "a bag has tokens, and they have vectors");
        assert!(tokens.len().is_multiple_of(self.length), "rows of tokens are equally long");
        let mut out = vec![0.0; tokens.len() / self.length * self.width];
        on(self.isa, Forward { bag: *self, tokens, table, out: &mut out });
        out
    }

    /// The gradient by the table of vectors.
    ///
    /// # Panics
    /// If a slice does not fit the bag.
    pub fn backward(&self, tokens: &[f32], by_output: &[f32], into: &mut [f32]) {
        assert!(self.length > 0 && self.width > 0, "a bag has tokens, and they have vectors");
        assert_eq!(tokens.len() / self.length, by_output.len() / self.width, "a gradient per row");
        let scratch = &mut vec![0.0; self.width];
        on(self.isa, Backward { bag: *self, tokens, by_output, into, scratch });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::Philox;
    use proptest::prelude::*;

    const LENGTH: usize = 5;
    const WIDTH: usize = 19;
    const VOCABULARY: usize = 7;

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        Philox::new(1, 2, stream).fill(-1.0, 1.0, &mut out);
        out
    }

    fn bag(isa: Isa) -> Bag {
        Bag { isa, length: LENGTH, width: WIDTH }
    }

    #[test]
    fn a_row_is_the_mean_of_its_tokens_and_nothing_else_counts() {
        let bag = Bag { isa: Isa::best(), length: 3, width: 2 };
        let table = [1.0, 2.0, 30.0, 40.0];
        let tokens =
            [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0, -1.0, f32::NAN, 1.0, 3.0, 1e30, 1.0];
        let expect = [15.5, 21.0, 0.0, 0.0, 30.0, 40.0, 1.0, 2.0, 1.0, 2.0];
        assert_eq!(bag.forward(&tokens, &table), expect);
        let mut by_table = [9.0; 4];
        bag.backward(&tokens, &[1.0; 10], &mut by_table);
        assert_eq!(by_table, [2.5, 2.5, 1.5, 1.5]);
    }

    #[test]
    fn the_bits_of_a_bag_are_golden() {
        let tokens: Vec<f32> =
            (0..LENGTH * 40).map(|i| (i * i % (VOCABULARY + 1)) as f32).collect();
        let table = noise(1, VOCABULARY * WIDTH);
        let mut all = bag(Isa::best()).forward(&tokens, &table);
        let mut by_table = vec![0.0; table.len()];
        bag(Isa::best()).backward(&tokens, &noise(2, 40 * WIDTH), &mut by_table);
        all.extend(by_table);
        golden::check(&all, "bag");
    }

    proptest! {
        #[test]
        fn every_path_gives_the_same_bits_and_the_gradient_is_the_slope(
            tokens in proptest::collection::vec(0u32..=VOCABULARY as u32, LENGTH * 3),
            at in 0usize..VOCABULARY * WIDTH, stream in any::<u32>(),
        ) {
            let tokens: Vec<f32> = tokens.into_iter().map(|token| token as f32).collect();
            let table = noise(stream, VOCABULARY * WIDTH);
            let by_output = noise(stream ^ 1, 3 * WIDTH);
            let run = |isa: Isa| {
                let mut by_table = vec![1.0; table.len()];
                bag(isa).backward(&tokens, &by_output, &mut by_table);
                (bag(isa).forward(&tokens, &table), by_table)
            };
            let expect = run(Isa::PORTABLE);
            for isa in Isa::all() {
                prop_assert_eq!(&run(isa), &expect);
            }
            // The loss Σ y·g is linear in the table: a difference of any size is its slope.
            let loss = |by: f64| {
                let mut sum = 0.0;
                for (tokens, by_output) in tokens.chunks(LENGTH).zip(by_output.chunks(WIDTH)) {
                    let known: Vec<usize> =
                        tokens.iter().filter(|t| **t > 0.0).map(|t| *t as usize - 1).collect();
                    for (column, g) in by_output.iter().enumerate() {
                        let value = |token: &usize| {
                            let place = token * WIDTH + column;
                            f64::from(table[place]) + if place == at { by } else { 0.0 }
                        };
                        let mean = known.iter().map(value).sum::<f64>() / known.len().max(1) as f64;
                        sum += mean * f64::from(*g);
                    }
                }
                sum
            };
            let measured = (loss(0.5) - loss(-0.5)) / 1.0;
            prop_assert!((f64::from(expect.1[at]) - measured).abs() < 1e-5);
        }
    }
}
