//! Attention that goes on: new positions look at those before, whose keys and values are kept.
//! Never gives other bits than [`Attention::forward`] of the whole sequence does for these rows.

use super::{Attention, Form, SeenSoftmax, Shape, Sight, matmul, on};

/// Keys and values of the positions so far, by head: `positions × columns`, keys turned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    heads: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Memory {
    /// How many positions it holds, of heads with so many columns.
    fn positions(&self, columns: usize) -> usize {
        self.heads.first().map_or(0, |(keys, _)| keys.len() / columns.max(1))
    }
}

impl Attention<'_> {
    /// The attended values of the positions that follow those of a memory, and are then in it.
    ///
    /// # Panics
    /// If the input is not rows of three times the width, or more than the length are known then.
    #[must_use]
    pub fn go_on(&self, x: &[f32], memory: &mut Memory) -> Vec<f32> {
        let (columns, one) = (self.columns(), self.one());
        let before = memory.positions(columns);
        let (rows, of_row) = (x.len() / (3 * self.width), 3 * self.width);
        assert!(x.len().is_multiple_of(of_row), "whole rows");
        assert!(before + rows <= self.length, "no more positions than a sequence has");
        memory.heads.resize(self.heads, Default::default());
        let (all, mut y) = (before + rows, vec![0.0; rows * self.width]);
        let (mut looks, mut out) = (vec![0.0; rows * all], vec![0.0; rows * columns]);
        for (head, (keys, values)) in memory.heads.iter_mut().enumerate() {
            let part = |which: usize| {
                let at = which * self.width + head * columns;
                x.chunks_exact(of_row).flat_map(move |row| row[at..at + columns].iter().copied())
            };
            let mut queries: Vec<f32> = part(0).collect();
            keys.extend(part(1));
            values.extend(part(2));
            if let Some(rotation) = self.rotation {
                rotation.turn(before, &mut queries, columns, false);
                rotation.turn(before, &mut keys[before * columns..], columns, false);
            }
            let scores = Shape { m: rows, n: all, k: columns };
            matmul(one, Form::Nt, scores, &queries, keys, &mut looks);
            let (sight, scale) = (Sight::Causal { before }, self.scale());
            on(one.isa, SeenSoftmax { scores: &mut looks, length: all, sight, scale });
            let seen = Shape { m: rows, n: columns, k: all };
            matmul(one, Form::Nn, seen, &looks, values, &mut out);
            let at = head * columns;
            for (row, out) in y.chunks_exact_mut(self.width).zip(out.chunks_exact(columns)) {
                row[at..at + columns].copy_from_slice(out);
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rotation;
    use super::*;
    use crate::compute::kernel::philox::Philox;
    use crate::compute::kernel::{Engine, Isa};

    #[test]
    fn going_on_gives_the_bytes_of_the_whole() {
        let (heads, width, length) = (3, 12, 19);
        let mut x = vec![0.0; length * 3 * width];
        Philox::new(1, 2, 3).fill(-3.0, 3.0, &mut x);
        let turned = Rotation::new(length, width / heads);
        for isa in Isa::all() {
            for rotation in [None, Some(&turned)] {
                let engine = Engine::with(isa, 1);
                let attention = Attention { engine, heads, width, length, rotation };
                let (whole, _) = attention.forward(&x);
                for pieces in [vec![1; length], vec![length], vec![7, 1, 1, 10], vec![2, 4]] {
                    let (mut memory, mut at, mut y) = (Memory::default(), 0, Vec::new());
                    for rows in pieces {
                        let next = at + rows * 3 * width;
                        y.extend(attention.go_on(&x[at..next], &mut memory));
                        at = next;
                    }
                    let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&y), bits(&whole[..y.len()]), "{isa:?}");
                }
            }
        }
    }
}
