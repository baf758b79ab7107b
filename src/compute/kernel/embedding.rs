//! Embeddings: the row of a table for each number, and the gradient by that table.
//! Never adds in another order than that of the rows.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

use super::isa::{Body, on};
use super::{Isa, spare};

struct Looked<'a> {
    ids: &'a [f32],
    table: &'a [f32],
    positions: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Body for Looked<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let length = self.positions.len() / self.width;
        for (i, (out, &id)) in self.out.chunks_exact_mut(self.width).zip(self.ids).enumerate() {
            let at = id as usize * self.width;
            out.copy_from_slice(&self.table[at..at + self.width]);
            if length > 0 {
                let at = i % length * self.width;
                let position = &self.positions[at..at + self.width];
                for (y, p) in out.iter_mut().zip(position) {
                    *y += p;
                }
            }
        }
    }
}

/// The row of `table` for each id, plus that of `positions` for its place in a sequence as long as
/// there are positions; none are added where there are none.
///
/// # Panics
/// If an id is no row of the table.
#[must_use]
pub fn look_up(isa: Isa, ids: &[f32], table: &[f32], positions: &[f32], width: usize) -> Vec<f32> {
    let width = width.max(1);
    let mut out = spare::take(ids.len() * width);
    on(isa, Looked { ids, table, positions, width, out: &mut out });
    out
}

struct Added<'a> {
    ids: &'a [f32],
    by_output: &'a [f32],
    width: usize,
    table: &'a mut [f32],
    positions: &'a mut [f32],
}

impl Body for Added<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let length = self.positions.len() / self.width;
        let rows = self.by_output.chunks_exact(self.width).zip(self.ids);
        for (i, (gradient, &id)) in rows.enumerate() {
            let at = id as usize * self.width;
            let row = &mut self.table[at..at + self.width];
            for (sum, g) in row.iter_mut().zip(gradient) {
                *sum += g;
            }
            if length > 0 {
                let at = i % length * self.width;
                let row = &mut self.positions[at..at + self.width];
                for (sum, g) in row.iter_mut().zip(gradient) {
                    *sum += g;
                }
            }
        }
    }
}

/// Adds the gradient by what [`look_up`] gave to those by the table and the positions, row after
/// row.
///
/// # Panics
/// If an id is no row of the table.
pub fn add_gradient(
    isa: Isa,
    ids: &[f32],
    by_output: &[f32],
    width: usize,
    (table, positions): (&mut [f32], &mut [f32]),
) {
    on(isa, Added { ids, by_output, width: width.max(1), table, positions });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    #[test]
    fn a_row_is_that_of_its_id_and_its_place() {
        let positions = [10.0, 20.0, 30.0, 40.0];
        let ids = [2.0, 0.0, 1.0, 2.0];
        for isa in Isa::all() {
            let y = look_up(isa, &ids, &TABLE, &positions, 2);
            assert_eq!(y, [15.0, 26.0, 31.0, 42.0, 13.0, 24.0, 35.0, 46.0]);
            assert_eq!(look_up(isa, &[1.0], &TABLE, &[], 2), [3.0, 4.0]);
        }
    }

    #[test]
    fn the_gradient_of_a_row_is_the_sum_of_all_that_took_it() {
        for isa in Isa::all() {
            let (mut table, mut positions) = ([0.0; 6], [0.5; 4]);
            let by_output = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
            let into = (table.as_mut_slice(), positions.as_mut_slice());
            add_gradient(isa, &[2.0, 0.0, 2.0, 2.0], &by_output, 2, into);
            assert_eq!(table, [3.0, 4.0, 0.0, 0.0, 13.0, 16.0]);
            assert_eq!(positions, [6.5, 8.5, 10.5, 12.5]);
        }
    }
}
