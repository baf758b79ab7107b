//! Attention in which several heads of queries look with the same keys (Ainslie and others 2023,
//! arXiv 2305.13245). Never gives other bits than [`Attention`](super::Attention) does where each
//! head has keys of its own.

use super::{Form, Rotation, SeenSoftmax, Shape, Sight, matmul, on};
use crate::compute::kernel::Engine;

/// Looks that are in memory at once: 16 MiB of them.
const LOOKS_MAX: usize = 4 << 20;
/// Rows that look at once, however far they see.
const ROWS_MIN: usize = 64;

/// The arithmetic of attention over one sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grouped<'a> {
    /// How it runs.
    pub engine: Engine,
    /// Heads of queries: a multiple of those of keys.
    pub heads: usize,
    /// Heads of keys and values.
    pub keys: usize,
    /// Columns of a head.
    pub columns: usize,
    /// The rotation of queries and keys.
    pub rotation: &'a Rotation,
}

impl Grouped<'_> {
    /// The attended values (`rows × heads·columns`) of queries as wide, and of keys and values
    /// (`rows × keys·columns`).
    ///
    /// # Panics
    /// If the inputs are not rows of these widths, or there are more than the rotation has.
    #[must_use]
    pub fn forward(&self, x: [&[f32]; 3]) -> Vec<f32> {
        let rows = x[0].len() / (self.heads * self.columns);
        self.forward_by(rows_at_once(rows), x)
    }

    /// The same, with so many rows that look at once.
    fn forward_by(&self, some: usize, [queries, keys, values]: [&[f32]; 3]) -> Vec<f32> {
        let (columns, wide) = (self.columns, self.heads * self.columns);
        let rows = queries.len() / wide;
        let narrow = self.keys * columns;
        assert_eq!((queries.len(), keys.len()), (rows * wide, rows * narrow), "whole rows");
        assert_eq!(values.len(), keys.len(), "a value for each key");
        assert!(self.heads.is_multiple_of(self.keys), "heads share keys evenly");
        assert!(rows <= self.rotation.length(), "no more rows than there are angles");
        let mut y = vec![0.0; rows * wide];
        let (mut looks, mut out) = (vec![0.0; some * rows], vec![0.0; some * columns]);
        for (group, key) in (0..self.keys).map(|group| (group, part(keys, narrow, group, columns)))
        {
            let (mut key, value) = (key, part(values, narrow, group, columns));
            self.rotation.turn(0, &mut key, columns, false);
            let each = self.heads / self.keys;
            for head in group * each..(group + 1) * each {
                let mut query = part(queries, wide, head, columns);
                self.rotation.turn(0, &mut query, columns, false);
                let places = y.chunks_mut(some * wide).zip(query.chunks(some * columns));
                for (block, (y, query)) in places.enumerate() {
                    let m = query.len() / columns;
                    let (looks, out) = (&mut looks[..m * rows], &mut out[..m * columns]);
                    let scores = Shape { m, n: rows, k: columns };
                    matmul(self.engine, Form::Nt, scores, query, &key, looks);
                    let sight = Sight::Causal { before: block * some };
                    let scale = 1.0 / (columns as f32).sqrt();
                    let softmax = SeenSoftmax { scores: looks, length: rows, sight, scale };
                    on(self.engine.isa, softmax);
                    let seen = Shape { m, n: columns, k: rows };
                    matmul(self.engine, Form::Nn, seen, looks, &value, out);
                    for (row, out) in y.chunks_exact_mut(wide).zip(out.chunks_exact(columns)) {
                        row[head * columns..(head + 1) * columns].copy_from_slice(out);
                    }
                }
            }
        }
        y
    }
}

/// Rows whose looks are in memory at once: all of them, as long as these are few.
fn rows_at_once(rows: usize) -> usize {
    (LOOKS_MAX / rows.max(1)).clamp(ROWS_MIN, rows.max(ROWS_MIN))
}

/// The columns of one head, of rows that are so wide.
fn part(x: &[f32], width: usize, head: usize, columns: usize) -> Vec<f32> {
    let rows = x.chunks_exact(width);
    rows.flat_map(|row| &row[head * columns..(head + 1) * columns]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::super::Attention;
    use super::*;
    use crate::compute::kernel::Isa;
    use crate::compute::kernel::philox::Philox;

    const HEADS: usize = 6;
    const COLUMNS: usize = 8;
    const ROWS: usize = 19;

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        Philox::new(1, 2, stream).fill(-3.0, 3.0, &mut out);
        out
    }

    /// The same by heads that have keys of their own: those of each group, again and again.
    fn repeated(engine: Engine, [queries, keys, values]: [&[f32]; 3], groups: usize) -> Vec<f32> {
        let (wide, narrow) = (HEADS * COLUMNS, groups * COLUMNS);
        let repeat = |x: &[f32], row: usize| -> Vec<f32> {
            let row = &x[row * narrow..(row + 1) * narrow];
            let heads = (0..HEADS).map(|head| head / (HEADS / groups) * COLUMNS);
            heads.flat_map(|at| row[at..at + COLUMNS].to_vec()).collect()
        };
        let row = |at: usize| {
            [queries[at * wide..(at + 1) * wide].to_vec(), repeat(keys, at), repeat(values, at)]
        };
        let x: Vec<f32> = (0..ROWS).flat_map(|at| row(at).concat()).collect();
        let rotation = Rotation::new(ROWS, COLUMNS);
        let rotation = Some(&rotation);
        let (y, _) =
            Attention { engine, heads: HEADS, width: wide, length: ROWS, rotation }.forward(&x);
        y
    }

    #[test]
    fn shared_keys_are_the_same_keys_again_to_the_bit() {
        let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for keys in [1, 2, 3, HEADS] {
            let x = [(1, HEADS), (2, keys), (3, keys)]
                .map(|(stream, heads)| noise(stream, ROWS * heads * COLUMNS));
            let x = [x[0].as_slice(), &x[1], &x[2]];
            let expect = bits(&repeated(Engine::default(), x, keys));
            for isa in Isa::all() {
                // More angles than rows are of no matter.
                let rotation = Rotation::new(ROWS + 3, COLUMNS);
                let engine = Engine::with(isa, 2);
                let grouped =
                    Grouped { engine, heads: HEADS, keys, columns: COLUMNS, rotation: &rotation };
                assert_eq!(bits(&grouped.forward(x)), expect, "{isa:?} {keys}");
                for some in [1, 4, 7, ROWS - 1, ROWS] {
                    let some_at_once = bits(&grouped.forward_by(some, x));
                    assert_eq!(some_at_once, expect, "{isa:?} {keys} {some}");
                }
            }
        }
    }

    #[test]
    fn long_windows_take_no_square_of_their_length() {
        assert_eq!([0, 1, 64, 2_048, 2_049].map(rows_at_once), [64, 64, 64, 2_048, 2_047]);
        let looks = |rows: usize| rows_at_once(rows) * rows;
        assert!((1..=1 << 17).step_by(63).all(|rows| looks(rows) <= 2 * LOOKS_MAX));
    }
}
