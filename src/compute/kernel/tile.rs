//! Tiles: the innermost product, one per instruction set, identical bits from all of them.
//! Never reads or writes outside the slices it is given; never changes the order of one element:
//! every element is one chain of fused multiply-adds over ascending k.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "vector loads and stores through pointers, bounds asserted before"
    )
)]
#![expect(clippy::indexing_slicing, reason = "fixed tiles; the bounds are asserted on entry")]

use super::isa::{Isa, Kind};

/// The largest tile of an instruction set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile; a narrow tile has half of them.
    pub columns: usize,
}

/// Elements of the largest tile of any instruction set.
pub(super) const TILE_MAX: usize = 12 * 32;

/// The largest tile of `isa`: as many accumulators as its registers hold.
pub(super) const fn extent(isa: Isa) -> Extent {
    match isa.kind() {
        Kind::Portable => Extent { rows: 4, columns: 16 },
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => Extent { rows: 6, columns: 16 },
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => Extent { rows: 12, columns: 32 },
    }
}

/// One tile of the product: `rows × columns`, from packed panels of depth `depth`.
pub(super) struct Tile<'a> {
    /// `depth × rows`, packed; or rows as they lie.
    pub a: &'a [f32],
    /// Where the rows of `a` lie as they are: elements from one to the next.
    pub apart: Option<usize>,
    /// `depth × columns`, packed.
    pub b: &'a [f32],
    /// Terms of every sum.
    pub depth: usize,
    /// At most the rows of the extent.
    pub rows: usize,
    /// The columns of the extent, or half of them.
    pub columns: usize,
    /// Whether to go on from what the output holds (a later block of k) or from +0.0.
    pub carry: bool,
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
    /// Computes the tile into `out`, whose rows are `stride` apart.
    pub(super) fn run(&self, isa: Isa, out: &mut [f32], stride: usize) {
        let most = extent(isa);
        let wide = self.columns == most.columns;
        assert!(wide || self.columns == most.columns / 2, "a tile is wide or half as wide");
        assert!((1..=most.rows).contains(&self.rows), "a tile has at most the rows of its extent");
        let has = |slice: &[f32], each| holds(slice.len(), self.depth.checked_mul(each));
        let has_a = match self.apart {
            None => has(self.a, self.rows),
            Some(apart) => reaches(self.a, self.rows, apart, self.depth),
        };
        assert!(has_a, "panel of a is too short");
        assert!(has(self.b, self.columns), "panel of b is too short");
        assert!(reaches(out, self.rows, stride, self.columns), "output is too short");
        match isa.kind() {
            Kind::Portable => by_rows!(self.rows, wide, portable, (self, out, stride), 16: 1 2 3 4),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), out.as_mut_ptr());
                let (depth, carry) = (self.depth, self.carry);
                // SAFETY: the `Isa` proves AVX2 and FMA; the asserts above prove that `a` holds
                // depth·rows or whole rows, `b` depth·columns elements, and that every row of the
                // tile lies in `out`; columns = 8·V with the V that is chosen here.
                unsafe {
                    match self.apart {
                        None => by_rows!(self.rows, wide, avx2_packed,
                            (depth, a, b, c, stride, carry), 2: 1 2 3 4 5 6),
                        Some(apart) => by_rows!(self.rows, wide, avx2_apart,
                            (depth, (a, apart), b, c, stride, carry), 2: 1 2 3 4 5 6),
                    }
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), out.as_mut_ptr());
                let (depth, carry) = (self.depth, self.carry);
                // SAFETY: as above, with AVX-512F and columns = 16·V.
                unsafe {
                    match self.apart {
                        None => by_rows!(self.rows, wide, avx512_packed,
                            (depth, a, b, c, stride, carry), 2: 1 2 3 4 5 6 7 8 9 10 11 12),
                        Some(apart) => by_rows!(self.rows, wide, avx512_apart,
                            (depth, (a, apart), b, c, stride, carry),
                            2: 1 2 3 4 5 6 7 8 9 10 11 12),
                    }
                }
            }
        }
    }
}

/// Whether there are so many elements; none has as many as do not fit a number.
pub(super) fn holds(elements: usize, wanted: Option<usize>) -> bool {
    wanted.is_some_and(|wanted| wanted <= elements)
}

/// Whether rows of a tile, the first of which begins with the output, lie in it.
pub(super) fn reaches(out: &[f32], rows: usize, stride: usize, columns: usize) -> bool {
    let last = (rows - 1).checked_mul(stride);
    holds(out.len(), last.and_then(|last| last.checked_add(columns)))
}

/// Plain Rust: vectorised by the compiler where FMA is part of the architecture (aarch64).
fn portable<const R: usize, const W: usize>(tile: &Tile<'_>, out: &mut [f32], stride: usize) {
    let mut sums = [[0.0f32; W]; R];
    if tile.carry {
        for (r, row) in sums.iter_mut().enumerate() {
            row.copy_from_slice(&out[r * stride..r * stride + W]);
        }
    }
    let (row, term) = tile.apart.map_or((1, R), |apart| (apart, 1));
    for (k, b) in tile.b.chunks_exact(W).take(tile.depth).enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = tile.a[r * row + k * term];
            for (sum, &y) in sums.iter_mut().zip(b) {
                *sum = x.mul_add(y, *sum);
            }
        }
    }
    for (r, row) in sums.iter().enumerate() {
        out[r * stride..r * stride + W].copy_from_slice(row);
    }
}

/// The body of a tile: `$x` is row `$r` of `a` at the term that `$a` stands at.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_body {
    ($lanes:literal, $zero:ident, $load:ident, $store:ident, $splat:ident, $fma:ident,
     ($depth:ident, $a:ident, $b:ident, $c:ident, $stride:ident, $carry:ident),
     $r:ident => $x:expr, $step:expr) => {{
        use std::arch::x86_64::{$fma, $load, $splat, $store, $zero};
        let mut sums = [[$zero(); V]; R];
        if $carry {
            for r in 0..R {
                for v in 0..V {
                    // SAFETY: row r and vector v of the tile, valid by the contract.
                    sums[r][v] = unsafe { $load($c.add(r * $stride + v * $lanes)) };
                }
            }
        }
        for _ in 0..$depth {
            let mut columns = [$zero(); V];
            for v in 0..V {
                // SAFETY: `b` has advanced by fewer than depth panels' rows.
                columns[v] = unsafe { $load($b.add(v * $lanes)) };
            }
            for $r in 0..R {
                // SAFETY: `a` has advanced by fewer than depth terms.
                let x = $splat(unsafe { *$x });
                for v in 0..V {
                    sums[$r][v] = $fma(x, columns[v], sums[$r][v]);
                }
            }
            // SAFETY: at most one past the end of the panels after the last turn.
            ($a, $b) = unsafe { ($a.add($step), $b.add(V * $lanes)) };
        }
        for r in 0..R {
            for v in 0..V {
                // SAFETY: row r and vector v of the tile, valid by the contract.
                unsafe { $store($c.add(r * $stride + v * $lanes), sums[r][v]) };
            }
        }
    }};
}

macro_rules! vector_tile {
    ($packed:ident, $apart:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident,
     $store:ident, $splat:ident, $fma:ident) => {
        /// # Safety
        /// The CPU has the features; `a` is valid for `depth·R` reads, `b` for `depth·V·lanes`,
        /// and `c + r·stride` for `V·lanes` reads and writes for every `r < R`.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $packed<const R: usize, const V: usize>(
            depth: usize,
            mut a: *const f32,
            mut b: *const f32,
            c: *mut f32,
            stride: usize,
            carry: bool,
        ) {
            vector_body!($lanes, $zero, $load, $store, $splat, $fma,
                (depth, a, b, c, stride, carry), r => a.add(r), R);
        }

        /// # Safety
        /// The same, but that `a + r·apart` is valid for `depth` reads for every `r < R`.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $apart<const R: usize, const V: usize>(
            depth: usize,
            (mut a, apart): (*const f32, usize),
            mut b: *const f32,
            c: *mut f32,
            stride: usize,
            carry: bool,
        ) {
            vector_body!($lanes, $zero, $load, $store, $splat, $fma,
                (depth, a, b, c, stride, carry), r => a.add(r * apart), 1);
        }
    };
}
vector_tile!(
    avx2_packed,
    avx2_apart,
    "avx2,fma",
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);
vector_tile!(
    avx512_packed,
    avx512_apart,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);
