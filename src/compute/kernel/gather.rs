//! Tiles that gather: products whose left factor is read where it lies, without packing it.
//! Never reads or writes outside the slices it is given; never changes the order of one element:
//! every element is one chain of fused multiply-adds over ascending terms.
//!
//! The terms of a row are `turns` runs of `length` each. A window of an image is that: its lines
//! are runs, the same distance apart for every pixel. So a convolution needs no copy of its
//! windows, which would be as large as the kernel times the image.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "vector loads and stores through pointers, bounds asserted before"
    )
)]
#![expect(clippy::indexing_slicing, reason = "fixed tiles; the bounds are asserted on entry")]

use super::isa::{Isa, Kind};
use super::pack::padded;
use super::tile::{Extent, TILE_MAX, holds, reaches};

/// The largest gathering tile of `isa`: every row needs a register for its address.
pub(super) const fn extent(isa: Isa) -> Extent {
    match isa.kind() {
        Kind::Portable => Extent { rows: 4, columns: 16 },
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => Extent { rows: 6, columns: 16 },
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => Extent { rows: 8, columns: 32 },
    }
}

/// Where the terms of every row lie, counted from the start of the row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// Runs of terms.
    pub turns: usize,
    /// Terms of a run.
    pub length: usize,
    /// Elements from one term of a run to the next.
    pub step: usize,
    /// Elements from the beginning of one run to that of the next.
    pub jump: usize,
}

impl Walk {
    /// Terms of every sum.
    const fn depth(self) -> usize {
        self.turns * self.length
    }

    /// Behind the furthest element of the rows that begin at these places, if that is a number.
    fn reach(self, starts: &[usize]) -> Option<usize> {
        let turns = self.turns.saturating_sub(1).checked_mul(self.jump)?;
        let terms = self.length.saturating_sub(1).checked_mul(self.step)?;
        let furthest = starts.iter().max().copied().unwrap_or_default();
        furthest.checked_add(turns)?.checked_add(terms)?.checked_add(1)
    }
}

/// `out = rows of a · b`: one row of the output for each start, as many columns as `b` has.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// The instruction set.
    pub isa: Isa,
    /// What rows are read from.
    pub a: &'a [f32],
    /// Where the terms of a row are.
    pub walk: Walk,
    /// The right factor, packed in panels as wide as the extent.
    pub b: &'a [f32],
    /// Columns of the output.
    pub columns: usize,
    /// Whether to go on from what the output holds or from +0.0.
    pub carry: bool,
}

impl Product<'_> {
    /// Computes the output, whose rows lie without gaps; `starts` are those of its rows in `a`.
    ///
    /// # Panics
    /// If a row is not wholly in `a`, or a slice does not fit.
    pub(super) fn run(&self, starts: &[usize], out: &mut [f32]) {
        let (most, depth) = (extent(self.isa), self.walk.depth());
        assert_eq!(out.len(), starts.len() * self.columns, "an output row for every start");
        if out.is_empty() || depth == 0 {
            if !self.carry {
                out.fill(0.0);
            }
            return;
        }
        let is_inside = holds(self.a.len(), self.walk.reach(starts));
        assert!(is_inside, "every row lies in what it is read from");
        // All tiles about equally high: a low one is slower for each of its rows.
        let tiles = starts.len().div_ceil(most.rows);
        let mut b = self.b;
        for column in (0..self.columns).step_by(most.columns) {
            let used = most.columns.min(self.columns - column);
            let columns = padded(used, most.columns);
            let (panel, rest) = b.split_at(depth * columns);
            b = rest;
            for i in 0..tiles {
                let rows = starts.len() * i / tiles..starts.len() * (i + 1) / tiles;
                let tile = Tile {
                    a: self.a,
                    walk: self.walk,
                    starts: &starts[rows.clone()],
                    b: panel,
                    columns,
                    carry: self.carry,
                };
                let out = &mut out[rows.start * self.columns + column..];
                if used == columns {
                    tile.run(self.isa, out, self.columns);
                } else {
                    ragged(self.isa, &tile, out, used, self.columns);
                }
            }
        }
    }
}

/// A tile that is wider than what is left of the output goes through a copy.
fn ragged(isa: Isa, tile: &Tile<'_>, out: &mut [f32], used: usize, stride: usize) {
    let mut whole = [0.0; TILE_MAX];
    for r in 0..tile.starts.len() {
        whole[r * tile.columns..][..used].copy_from_slice(&out[r * stride..][..used]);
    }
    tile.run(isa, &mut whole, tile.columns);
    for r in 0..tile.starts.len() {
        out[r * stride..][..used].copy_from_slice(&whole[r * tile.columns..][..used]);
    }
}

struct Tile<'a> {
    a: &'a [f32],
    walk: Walk,
    starts: &'a [usize],
    /// `depth × columns`, packed.
    b: &'a [f32],
    columns: usize,
    carry: bool,
}

macro_rules! by_rows {
    ($rows:expr, $wide:expr, $f:ident, $args:tt, $columns:literal: $($r:literal)*) => {
        match ($rows, $wide) {
            $(($r, true) => $f::<$r, { $columns }> $args,
              ($r, false) => $f::<$r, { $columns / 2 }> $args,)*
            _ => unreachable!("a tile has at most the rows of its extent"),
        }
    };
}

impl Tile<'_> {
    fn run(&self, isa: Isa, out: &mut [f32], stride: usize) {
        let (most, rows) = (extent(isa), self.starts.len());
        let wide = self.columns == most.columns;
        assert!(wide || self.columns == most.columns / 2, "a tile is wide or half as wide");
        assert!((1..=most.rows).contains(&rows), "a tile has at most the rows of its extent");
        let terms = self.walk.turns.checked_mul(self.walk.length);
        let panel = terms.and_then(|terms| terms.checked_mul(self.columns));
        assert!(holds(self.b.len(), panel), "panel of b is too short");
        assert!(reaches(out, rows, stride, self.columns), "output is too short");
        let is_inside = holds(self.a.len(), self.walk.reach(self.starts));
        assert!(is_inside, "a row is not in what it is read from");
        match isa.kind() {
            Kind::Portable => by_rows!(rows, wide, portable, (self, out, stride), 16: 1 2 3 4),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                // SAFETY: the `Isa` proves AVX2 and FMA; the asserts above prove that every term of
                // every row lies in `a`, that `b` holds depth·columns elements, and that every row
                // of the tile lies in `out`; columns = 8·V with the V that is chosen here.
                unsafe { by_rows!(rows, wide, avx2, (self, out, stride), 2: 1 2 3 4 5 6) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                // SAFETY: as above, with AVX-512F and columns = 16·V.
                unsafe { by_rows!(rows, wide, avx512, (self, out, stride), 2: 1 2 3 4 5 6 7 8) }
            }
        }
    }
}

/// Plain Rust: vectorised by the compiler where FMA is part of the architecture (aarch64).
fn portable<const R: usize, const W: usize>(tile: &Tile<'_>, out: &mut [f32], stride: usize) {
    let mut sums = [[0.0f32; W]; R];
    if tile.carry {
        for (r, row) in sums.iter_mut().enumerate() {
            row.copy_from_slice(&out[r * stride..r * stride + W]);
        }
    }
    let Walk { turns, length, step, jump } = tile.walk;
    let mut panel = tile.b.chunks_exact(W);
    for turn in 0..turns {
        for (l, b) in (0..length).zip(panel.by_ref()) {
            for (row, &start) in sums.iter_mut().zip(tile.starts) {
                let x = tile.a[start + turn * jump + l * step];
                for (sum, &y) in row.iter_mut().zip(b) {
                    *sum = x.mul_add(y, *sum);
                }
            }
        }
    }
    for (r, row) in sums.iter().enumerate() {
        out[r * stride..r * stride + W].copy_from_slice(row);
    }
}

macro_rules! vector_tile {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $store:ident,
     $splat:ident, $fma:ident) => {
        /// # Safety
        /// The CPU has the features; there are R starts, every term of every row lies in `a`; `b`
        /// holds `depth·V·lanes` elements and `out` every row of the tile.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize, const V: usize>(
            tile: &Tile<'_>,
            out: &mut [f32],
            stride: usize,
        ) {
            use std::arch::x86_64::{$fma, $load, $splat, $store, $zero};
            let Walk { turns, length, step, jump } = tile.walk;
            let c = out.as_mut_ptr();
            let mut b = tile.b.as_ptr();
            let mut rows = [tile.a.as_ptr(); R];
            for r in 0..R {
                // SAFETY: the start of a row lies in `a`.
                rows[r] = unsafe { rows[r].add(tile.starts[r]) };
            }
            let mut sums = [[$zero(); V]; R];
            if tile.carry {
                for r in 0..R {
                    for v in 0..V {
                        // SAFETY: row r and vector v of the tile, valid by the contract.
                        sums[r][v] = unsafe { $load(c.add(r * stride + v * $lanes)) };
                    }
                }
            }
            for _ in 0..turns {
                let mut at = 0;
                for _ in 0..length {
                    let mut columns = [$zero(); V];
                    for v in 0..V {
                        // SAFETY: `b` has advanced by fewer than depth rows of the panel.
                        columns[v] = unsafe { $load(b.add(v * $lanes)) };
                    }
                    for r in 0..R {
                        // SAFETY: a term of row r, which lies in `a`.
                        let x = $splat(unsafe { *rows[r].add(at) });
                        for v in 0..V {
                            sums[r][v] = $fma(x, columns[v], sums[r][v]);
                        }
                    }
                    // SAFETY: at most one past the end of the panel after the last term.
                    b = unsafe { b.add(V * $lanes) };
                    at += step;
                }
                for r in 0..R {
                    // Past the last run this may lie outside of `a`; it is not read then.
                    rows[r] = rows[r].wrapping_add(jump);
                }
            }
            for r in 0..R {
                for v in 0..V {
                    // SAFETY: row r and vector v of the tile, valid by the contract.
                    unsafe { $store(c.add(r * stride + v * $lanes), sums[r][v]) };
                }
            }
        }
    };
}
vector_tile!(
    avx2,
    "avx2,fma",
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);
vector_tile!(
    avx512,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);
