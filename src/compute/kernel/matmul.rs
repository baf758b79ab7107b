//! Matrix products: A·B, Aᵀ·B and A·Bᵀ in f32, every element one chain of fused multiply-adds.
//! Never splits a sum: k ascends from +0.0, blocks of k carry the sum on; threads share out rows or
//! columns.
//!
//! The same sums in the same order as the naive loop with `f32::mul_add`, bit for bit.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

use super::pack::{self, View, padded};
use super::tile::{self, Extent, Rows, TILE_MAX, Tile};
use super::{Engine, Isa};
use std::cell::RefCell;

/// Which of the two factors is stored transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A·B with A stored `m × k` and B stored `k × n`.
    Nn,
    /// Aᵀ·B with A stored `k × m` and B stored `k × n`.
    Tn,
    /// A·Bᵀ with A stored `m × k` and B stored `n × k`.
    Nt,
}

/// The shape of a product: the output is `m × n`, every element a sum of `k` terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the output.
    pub m: usize,
    /// Columns of the output.
    pub n: usize,
    /// Terms of every sum.
    pub k: usize,
}

/// Terms of a block: a panel of A stays in the first-level cache.
const DEPTH: usize = 512;
/// The same where rows are so few that B is read once: pages of as many terms are known at a time.
const FLAT: usize = 128;
/// Columns of a packed block: `DEPTH × WIDTH` floats stay in the second-level cache.
const WIDTH: usize = 512;
/// Panels of a transposed A that are packed at a time: they stay in the second-level cache.
const GROUP: usize = 10;
/// Columns up to which A is read where it lies.
const LYING: usize = 256;
/// Elements of B, in the terms of a block or in as many as there are rows, up to which it is read
/// where it lies: to pack it would take longer than it saves.
const NEAR: usize = 1 << 16;
/// Multiply-adds below which a thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 17;

thread_local! {
    /// The packed panel of A and the packed block of B, kept between calls.
    static PACKED: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
    /// Columns of a product that are not together in the output, kept between calls.
    static APART: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `out = A·B` in the given form; all matrices row-major and without gaps.
///
/// # Panics
/// If a slice has not exactly the length that the shape asks for.
pub fn matmul(engine: Engine, form: Form, shape: Shape, a: &[f32], b: &[f32], out: &mut [f32]) {
    let Shape { m, n, k } = shape;
    assert_eq!((a.len(), b.len(), out.len()), (m * k, k * n, m * n), "matrices fit the shape");
    if out.is_empty() || k == 0 {
        out.fill(0.0);
        return;
    }
    let a = View {
        values: a,
        stride: if form == Form::Tn { m } else { k },
        transposed: form == Form::Tn,
    };
    let b = View {
        values: b,
        stride: if form == Form::Nt { k } else { n },
        transposed: form == Form::Nt,
    };
    let worth = m.saturating_mul(n).saturating_mul(k) / WORTH_A_THREAD;
    let threads = engine.threads().min(worth).max(1);
    let product = Product { isa: engine.isa, a, b, k, diagonal: None };
    match Cut::new(tile::extent(engine.isa), shape, threads) {
        Cut::Whole => product.run((0, m), (0, n), out, n),
        Cut::Rows(rows) => {
            let parts = out.chunks_mut(rows * n).enumerate();
            engine.share(parts, |(i, out)| {
                product.run((i * rows, out.len() / n), (0, n), out, n);
            });
        }
        Cut::Columns(columns) => {
            let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
            parts.resize_with(n.div_ceil(columns), || Vec::with_capacity(m));
            for row in out.chunks_mut(n) {
                parts
                    .iter_mut()
                    .zip(row.chunks_mut(columns))
                    .for_each(|(part, row)| part.push(row));
            }
            engine.share(parts.into_iter().enumerate(), |(i, rows)| {
                product.run_apart(i * columns, rows);
            });
        }
    }
}

/// How threads share out a product.
#[derive(Debug, PartialEq)]
enum Cut {
    Whole,
    /// So many rows each: all pack all of B.
    Rows(usize),
    /// So many columns each: all pack all of A, and copy what they have.
    Columns(usize),
}

/// Multiply-adds that are done while one element is packed.
const PACK: usize = 12;
/// The same while one is copied to the output.
const COPY: usize = 8;

impl Cut {
    /// What takes the longest thread the least time.
    fn new(most: Extent, Shape { m, n, k }: Shape, threads: usize) -> Self {
        let each = |of: usize, unit: usize| of.div_ceil(threads).next_multiple_of(unit).min(of);
        let (rows, columns) = (each(m, most.rows), each(n, most.columns));
        if threads == 1 || (rows, columns) == (m, n) {
            return Self::Whole;
        }
        let cost = |rows: usize, columns: usize| {
            let packed = rows.saturating_add(columns).saturating_mul(k);
            let products = rows.saturating_mul(columns).saturating_mul(k);
            products.saturating_add(packed.saturating_mul(PACK))
        };
        let copied = m.saturating_mul(columns).saturating_mul(COPY);
        if cost(rows, n) <= cost(m, columns).saturating_add(copied) {
            Self::Rows(rows)
        } else {
            Self::Columns(columns)
        }
    }
}

/// A product of parts of matrices, in one thread: rows of the output are `stride` apart in `out`.
pub(super) struct Product<'a> {
    /// How it runs.
    pub isa: Isa,
    /// The left factor.
    pub a: View<'a>,
    /// The right factor.
    pub b: View<'a>,
    /// Terms of every sum.
    pub k: usize,
    /// Where of row i only the columns up to i plus this are wanted; others may be anything.
    pub diagonal: Option<usize>,
}

impl Product<'_> {
    /// The columns from `column` on, as wide as these pieces of the output's rows.
    fn run_apart(&self, column: usize, rows: Vec<&mut [f32]>) {
        let width = rows.first().map_or(0, |row| row.len());
        APART.with_borrow_mut(|space| {
            let out = pack::reserve(space, rows.len() * width);
            self.run((0, rows.len()), (column, width), out, width);
            for (row, out) in rows.into_iter().zip(out.chunks_exact(width)) {
                row.copy_from_slice(out);
            }
        });
    }

    /// So many rows from `row` on, and columns from `from` on, into rows that are `stride` apart.
    ///
    /// # Panics
    /// If they are not in the factors, or `out` does not hold them.
    pub(super) fn run(
        &self,
        (row, rows): (usize, usize),
        (from, columns): (usize, usize),
        out: &mut [f32],
        stride: usize,
    ) {
        let Self { isa, a, b, k, diagonal } = *self;
        let most = tile::extent(isa);
        let together = if a.transposed { GROUP * most.rows } else { most.rows };
        PACKED.with_borrow_mut(|(panels, space)| {
            let mut column = 0;
            while column < columns {
                let next = self.next(rows, columns - column);
                let (of, a_lies) = ((from + column, next.width), next.width <= LYING);
                for first in (0..k).step_by(next.depth) {
                    let range @ (_, depth) = (first, next.depth.min(k - first));
                    let block = if next.lies {
                        Block::Lying(&b.values[first * b.stride + of.0..], b.stride)
                    } else {
                        Block::Packed(pack::columns_of_b(isa, b, of, most.columns, range, space))
                    };
                    let mut packed: &[f32] = &[];
                    for i in (0..rows).step_by(most.rows) {
                        let (at, high) = (row + i, most.rows.min(rows - i));
                        let in_group = i % together;
                        if !a_lies && in_group == 0 {
                            let group = (at, together.min(rows - i));
                            packed = pack::rows_of_a(isa, a, group, most.rows, range, panels);
                        }
                        let (a, lie) = match (a_lies, a.transposed) {
                            (false, _) => (&packed[in_group * depth..], Rows::Beside(high)),
                            (true, true) => {
                                (&a.values[first * a.stride + at..], Rows::Beside(a.stride))
                            }
                            (true, false) => {
                                (&a.values[at * a.stride + first..], Rows::Apart(a.stride))
                            }
                        };
                        let strip =
                            Strip { isa, a, lie, block, depth, rows: high, carry: first > 0 };
                        let wanted = diagonal.map_or(usize::MAX, |more| at + high + more);
                        let wanted = wanted.saturating_sub(of.0);
                        strip.run(&mut out[i * stride + column..], (next.width, wanted), stride);
                    }
                }
                column += next.width;
            }
        });
    }

    /// What is done next of so many rows where so many columns are left.
    fn next(&self, rows: usize, left: usize) -> Next {
        let Extent { rows: high, columns: panel } = tile::extent(self.isa);
        let is_few = rows <= high;
        let depth = if is_few { FLAT } else { DEPTH };
        // All blocks are about equally deep: a flat one is slow for each of its terms.
        let depth = self.k.div_ceil(self.k.div_ceil(depth)).next_multiple_of(4);
        let is_near = depth.min(rows).saturating_mul(self.b.stride) <= NEAR;
        let whole = left - left % (panel / 2);
        if !self.b.transposed && whole > 0 && (is_few || is_near) {
            return Next { width: whole, depth, lies: true };
        }
        Next { width: left.min(if is_few { panel } else { WIDTH }), depth, lies: false }
    }
}

/// What is done next of a product: so many columns, so many terms at a time, with B where it lies
/// or from a copy.
struct Next {
    width: usize,
    depth: usize,
    lies: bool,
}

/// Columns of B.
#[derive(Clone, Copy)]
enum Block<'a> {
    /// In panels.
    Packed(&'a [f32]),
    /// Beside each other, so many elements from one term to the next: whole or half panels.
    Lying(&'a [f32], usize),
}

/// One panel of A against a block of B.
struct Strip<'a> {
    isa: Isa,
    a: &'a [f32],
    lie: Rows,
    block: Block<'a>,
    depth: usize,
    rows: usize,
    carry: bool,
}

impl Strip<'_> {
    fn run(&self, out: &mut [f32], (width, wanted): (usize, usize), stride: usize) {
        let Self { a, lie, block, depth, rows, carry, .. } = *self;
        let most = tile::extent(self.isa);
        let (panel, wide) = (most.columns, most.wide(rows));
        let mut column = 0;
        while column < width.min(wanted) {
            let left = width - column;
            let (b, step, used, columns) = match block {
                Block::Packed(values) => {
                    let (used, columns) = (panel.min(left), padded(panel.min(left), panel));
                    (&values[column * depth..], columns, used, columns)
                }
                Block::Lying(values, step) => {
                    let used = if left < wide { panel.min(left) } else { wide };
                    (&values[column..], step, used, used)
                }
            };
            let tile = Tile { a, lie, b, step, depth, rows, columns, carry };
            let out = &mut out[column..];
            if used == columns {
                tile.run(self.isa, out, stride);
            } else {
                self.ragged(&tile, out, used, stride);
            }
            column += used;
        }
    }

    /// A tile that is wider than what is left of the output goes through a copy.
    fn ragged(&self, tile: &Tile<'_>, out: &mut [f32], used: usize, stride: usize) {
        let mut whole = [0.0; TILE_MAX];
        for r in 0..tile.rows {
            whole[r * tile.columns..][..used].copy_from_slice(&out[r * stride..][..used]);
        }
        tile.run(self.isa, &mut whole, tile.columns);
        for r in 0..tile.rows {
            out[r * stride..][..used].copy_from_slice(&whole[r * tile.columns..][..used]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;
    use proptest::prelude::*;

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let philox = Philox::new(7, 99, stream);
        (0..len as u64).map(|i| philox.uniform(i) * 2.0 - 1.0).collect()
    }

    fn naive(form: Form, Shape { m, n, k }: Shape, a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                let mut sum = 0.0f32;
                for l in 0..k {
                    let x = if form == Form::Tn { a[l * m + i] } else { a[i * k + l] };
                    let y = if form == Form::Nt { b[j * k + l] } else { b[l * n + j] };
                    sum = x.mul_add(y, sum);
                }
                out[i * n + j] = sum;
            }
        }
        out
    }

    #[track_caller]
    fn check(m: usize, n: usize, k: usize, threads: &[usize]) {
        let shape = Shape { m, n, k };
        let (a, b) = (noise(1, m * k), noise(2, k * n));
        for form in [Form::Nn, Form::Tn, Form::Nt] {
            let expect = naive(form, shape, &a, &b);
            for isa in Isa::all() {
                for &threads in threads {
                    let mut out = vec![f32::NAN; m * n];
                    matmul(Engine::with(isa, threads), form, shape, &a, &b, &mut out);
                    let wrong = out.iter().zip(&expect).filter(|(x, y)| x.to_bits() != y.to_bits());
                    assert_eq!(wrong.count(), 0, "{form:?} {shape:?} {isa:?} threads={threads}");
                }
            }
        }
    }

    #[test]
    fn every_path_gives_the_bits_of_the_naive_loop() {
        for (m, n, k) in [
            (1, 1, 1),
            (1, 7, 3),
            (4, 16, 9),
            (5, 17, 31),
            (12, 32, 64),
            (13, 33, 65),
            (11, 31, 257),
            (24, 48, 256),
            (3, 1030, 5),
            (128, 10, 100),
            (10, 100, 128),
            (2, 2, 1025),
            (0, 3, 4),
            (3, 0, 4),
            (3, 4, 0),
        ] {
            check(m, n, k, &[1, 2]);
        }
    }

    #[test]
    fn packed_rows_give_the_bits_of_the_naive_loop() {
        // Columns of whole tiles, and one more.
        let wide = LYING + 17;
        // Panels of every height, terms that are fours and more, and a second block of them.
        for rows in 1..=12 {
            check(12 + rows, wide, 16 + rows % 5, &[1]);
        }
        check(13, WIDTH + wide, 7, &[1, 2]);
        check(26, wide, DEPTH + 19, &[1, 3]);
    }

    #[test]
    fn packed_columns_give_the_bits_of_the_naive_loop() {
        // So many that B is near no more, and a second block of them.
        let (rows, columns) = (NEAR / WIDTH + 2, WIDTH + 9);
        check(rows, columns, rows + 1, &[1, 2]);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        check(130, 70, 513, &[1, 2, 3, 4, 5, 6, 7, 8]);
        check(70, 230, 300, &[1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn threads_share_out_what_costs_them_less() {
        let most = Extent { rows: 12, columns: 32 };
        let cut = |m, n, k| Cut::new(most, Shape { m, n, k }, 2);
        assert_eq!(cut(768, 128, 512), Cut::Rows(384));
        assert_eq!(cut(128, 512, 784), Cut::Columns(256));
        // A dozen rows, or 32 columns, are not cut.
        assert_eq!((cut(12, 32, 9_000), cut(1, 31, 1)), (Cut::Whole, Cut::Whole));
        assert_eq!(Cut::new(most, Shape { m: 768, n: 128, k: 512 }, 1), Cut::Whole);
    }

    #[test]
    fn the_bits_of_a_product_are_golden() {
        let (a, b) = (noise(3, 61 * 300), noise(4, 300 * 45));
        let mut out = vec![0.0; 61 * 45];
        matmul(Engine::default(), Form::Nn, Shape { m: 61, n: 45, k: 300 }, &a, &b, &mut out);
        crate::compute::kernel::golden::check(&out, "matmul");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_small_shape_gives_the_bits_of_the_naive_loop(
            m in 1usize..40, n in 1usize..70, k in 1usize..300,
        ) {
            check(m, n, k, &[1]);
        }

        #[test]
        fn few_rows_give_the_bits_of_the_naive_loop(
            m in 1usize..=13, n in 1usize..300, k in 1usize..2 * FLAT + 20,
        ) {
            check(m, n, k, &[1, 2]);
        }
    }
}
