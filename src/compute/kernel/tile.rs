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
    /// Columns of the tile; a narrow tile has half of them, a low one more ([`Extent::wide`]).
    pub columns: usize,
}

impl Extent {
    /// Columns of a tile of so many rows that has as many accumulators.
    pub(super) const fn wide(self, rows: usize) -> usize {
        self.columns * beside(self.rows, rows)
    }
}

/// How many tiles of a few rows beside each other have about as many accumulators as one of `most`.
const fn beside(most: usize, rows: usize) -> usize {
    match most / rows {
        0 | 1 => 1,
        2 | 3 => 2,
        _ => 4,
    }
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

/// How the rows of a left factor lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// Beside each other, so many elements from one term to the next.
    Beside(usize),
    /// So many elements from one to the next, terms beside each other.
    Apart(usize),
}

/// One tile of the product: `rows × columns`, from panels of depth `depth`.
pub(super) struct Tile<'a> {
    /// The left factor, from the first term of the first row on.
    pub a: &'a [f32],
    /// How it lies.
    pub lie: Rows,
    /// The right factor, from the first term of the first column on: columns are beside each other.
    pub b: &'a [f32],
    /// Elements from one of its terms to the next.
    pub step: usize,
    /// Terms of every sum.
    pub depth: usize,
    /// At most the rows of the extent.
    pub rows: usize,
    /// The columns of the extent, half of them, or as many as it has for these rows.
    pub columns: usize,
    /// Whether to go on from what the output holds (a later block of k) or from +0.0.
    pub carry: bool,
}

macro_rules! by_rows {
    ($rows:expr, $width:expr, $f:ident, $args:tt, $columns:literal, $most:literal: $($r:literal)*)
    => {
        match ($rows, $width) {
            $(($r, Width::Narrow) => $f::<$r, { $columns / 2 }> $args,
              ($r, Width::Usual) => $f::<$r, { $columns }> $args,
              ($r, Width::Wide) => $f::<$r, { $columns * beside($most, $r) }> $args,)*
            _ => unreachable!("a tile has at most the rows of its extent"),
        }
    };
}

/// How wide a tile is, by its extent.
#[derive(Clone, Copy)]
enum Width {
    Narrow,
    Usual,
    Wide,
}

impl Tile<'_> {
    /// Computes the tile into `out`, whose rows are `stride` apart.
    pub(super) fn run(&self, isa: Isa, out: &mut [f32], stride: usize) {
        let most = extent(isa);
        assert!((1..=most.rows).contains(&self.rows), "a tile has at most the rows of its extent");
        let width = match self.columns {
            columns if columns == most.columns => Width::Usual,
            columns if columns == most.wide(self.rows) => Width::Wide,
            columns => {
                assert!(columns == most.columns / 2, "a tile has a width of its extent");
                Width::Narrow
            }
        };
        assert!(self.depth > 0, "a sum has a term");
        let has_a = match self.lie {
            Rows::Beside(step) => reaches(self.a, self.depth, step, self.rows),
            Rows::Apart(stride) => reaches(self.a, self.rows, stride, self.depth),
        };
        assert!(has_a, "panel of a is too short");
        assert!(reaches(self.b, self.depth, self.step, self.columns), "panel of b is too short");
        assert!(reaches(out, self.rows, stride, self.columns), "output is too short");
        match isa.kind() {
            Kind::Portable => {
                by_rows!(self.rows, width, portable, (self, out, stride), 16, 4: 1 2 3 4)
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                let (a, b, c) = (self.a.as_ptr(), (self.b.as_ptr(), self.step), out.as_mut_ptr());
                let (depth, carry) = (self.depth, self.carry);
                // SAFETY: the `Isa` proves AVX2 and FMA; the asserts above prove that every term of
                // every row lies in `a` and of every column in `b`, and that every row of the tile
                // lies in `out`; columns = 8·V with the V that is chosen here.
                unsafe {
                    match self.lie {
                        Rows::Beside(step) => by_rows!(self.rows, width, avx2_beside,
                            (depth, (a, step), b, c, stride, carry), 2, 6: 1 2 3 4 5 6),
                        Rows::Apart(apart) => by_rows!(self.rows, width, avx2_apart,
                            (depth, (a, apart), b, c, stride, carry), 2, 6: 1 2 3 4 5 6),
                    }
                }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                let (a, b, c) = (self.a.as_ptr(), (self.b.as_ptr(), self.step), out.as_mut_ptr());
                let (depth, carry) = (self.depth, self.carry);
                // SAFETY: as above, with AVX-512F and columns = 16·V.
                unsafe {
                    match self.lie {
                        Rows::Beside(step) => by_rows!(self.rows, width, avx512_beside,
                            (depth, (a, step), b, c, stride, carry),
                            2, 12: 1 2 3 4 5 6 7 8 9 10 11 12),
                        Rows::Apart(apart) => by_rows!(self.rows, width, avx512_apart,
                            (depth, (a, apart), b, c, stride, carry),
                            2, 12: 1 2 3 4 5 6 7 8 9 10 11 12),
                    }
                }
            }
        }
    }
}

/// Transposes as many whole fours of lines as there are: term k of line i of `from`, whose lines
/// are `stride` apart, becomes element i of line k of `out`, whose lines are `columns` apart. Gives
/// how many lines were done: none where `isa` has no registers for it, or there are under four
/// terms.
pub(super) fn turn(
    isa: Isa,
    (from, stride): (&[f32], usize),
    (lines, depth): (usize, usize),
    out: &mut [f32],
    columns: usize,
) -> usize {
    let lines = lines / 4 * 4;
    match isa.kind() {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 if lines > 0 && depth >= 4 => {
            assert!(reaches(from, lines, stride, depth), "lines are too short");
            assert!(reaches(out, depth, columns, lines), "output is too short");
            for i in (0..lines).step_by(16) {
                // SAFETY: the `Isa` proves AVX-512F; the asserts above prove that the lines from i
                // on, at most 16, have as many terms, and that `out` has room for them.
                unsafe {
                    let from = (from.as_ptr().add(i * stride), stride);
                    let out = (out.as_mut_ptr().add(i), columns);
                    match lines - i {
                        4 => fours::<1>(from, depth, out),
                        8 => fours::<2>(from, depth, out),
                        12 => fours::<3>(from, depth, out),
                        _ => fours::<4>(from, depth, out),
                    }
                }
            }
            lines
        }
        _ => 0,
    }
}

/// Transposes `F` fours of lines.
///
/// # Safety
/// The CPU has AVX-512F; `depth` is at least 4; `from + i·stride` is valid for `depth` reads
/// for every `i < 4·F`, and `out + k·columns` for `4·F` writes for every `k < depth`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn fours<const F: usize>(
    (from, stride): (*const f32, usize),
    depth: usize,
    (out, columns): (*mut f32, usize),
) {
    use std::arch::x86_64::{
        _mm_loadu_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps128_ps512,
        _mm512_insertf32x4, _mm512_mask_storeu_ps, _mm512_setzero_pd, _mm512_setzero_ps,
        _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    for k in (0..depth).step_by(4) {
        // The last four may have terms of those before: they are written again.
        let k = k.min(depth - 4);
        // In quarter q of register i: the line 4q + i.
        let mut a = [_mm512_setzero_ps(); 4];
        for (i, lines) in a.iter_mut().enumerate() {
            // SAFETY: four terms of lines below 4·F, valid by the contract.
            unsafe {
                let from = from.add(i * stride + k);
                *lines = _mm512_castps128_ps512(_mm_loadu_ps(from));
                if F > 1 {
                    *lines = _mm512_insertf32x4::<1>(*lines, _mm_loadu_ps(from.add(4 * stride)));
                }
                if F > 2 {
                    *lines = _mm512_insertf32x4::<2>(*lines, _mm_loadu_ps(from.add(8 * stride)));
                }
                if F > 3 {
                    *lines = _mm512_insertf32x4::<3>(*lines, _mm_loadu_ps(from.add(12 * stride)));
                }
            }
        }
        // In each quarter: two terms of pairs of lines, then one of fours of them.
        let mut b = [_mm512_setzero_pd(); 4];
        for i in 0..2 {
            b[i] = _mm512_castps_pd(_mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]));
            b[2 + i] = _mm512_castps_pd(_mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
        }
        let turned = [
            _mm512_unpacklo_pd(b[0], b[1]),
            _mm512_unpackhi_pd(b[0], b[1]),
            _mm512_unpacklo_pd(b[2], b[3]),
            _mm512_unpackhi_pd(b[2], b[3]),
        ];
        for (i, lines) in turned.into_iter().enumerate() {
            let written = u16::MAX >> (16 - 4 * F);
            // SAFETY: as many elements of line k + i as there are lines, valid by the contract.
            unsafe {
                let out = out.add((k + i) * columns);
                _mm512_mask_storeu_ps(out, written, _mm512_castpd_ps(lines));
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
    let (row, term) = match tile.lie {
        Rows::Beside(step) => (1, step),
        Rows::Apart(stride) => (stride, 1),
    };
    for k in 0..tile.depth {
        let b = &tile.b[k * tile.step..][..W];
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

/// Terms of a panel of B that are fetched ahead.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 8;

/// Terms between which addresses are not counted on.
#[cfg(target_arch = "x86_64")]
const TERMS: usize = 4;

/// The body of a tile. `$rows` are places from which those of a row are found: row `$r` is at
/// `$x` of them, and each goes on by `$term` from one term to the next.
#[cfg(target_arch = "x86_64")]
macro_rules! vector_body {
    ($lanes:literal, $zero:ident, $load:ident, $store:ident, $splat:ident, $fma:ident,
     ($depth:ident, $rows:ident, $b:ident, $step:ident, $c:ident, $stride:ident, $carry:ident),
     $r:ident => $x:expr, $term:expr) => {{
        use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
        use std::arch::x86_64::{$fma, $load, $splat, $store, $zero};
        let mut sums = [[$zero(); V]; R];
        for r in 0..R {
            for v in 0..V {
                // SAFETY: row r and vector v of the tile, valid by the contract.
                let place = unsafe { $c.add(r * $stride + v * $lanes) };
                if $carry {
                    // What the next tile goes on from is fetched meanwhile.
                    _mm_prefetch::<_MM_HINT_ET0>(place.wrapping_add(V * $lanes).cast());
                    // SAFETY: the same.
                    sums[r][v] = unsafe { $load(place) };
                } else {
                    // What will be written there is fetched meanwhile: it is seldom near.
                    _mm_prefetch::<_MM_HINT_ET0>(place.cast());
                }
            }
        }
        // Several terms at a time, so that addresses are seldom counted on.
        let mut left = $depth;
        while left > 0 {
            let terms = if left >= TERMS { TERMS } else { 1 };
            let mut term = |k: usize| {
                let mut columns = [$zero(); V];
                for v in 0..V {
                    // The second cache is not always as fast as the products are.
                    let ahead = $b.wrapping_add((AHEAD + k) * $step + v * $lanes);
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                    // SAFETY: `b` has advanced to where as many terms are left.
                    columns[v] = unsafe { $load($b.add(k * $step + v * $lanes)) };
                }
                for $r in 0..R {
                    // SAFETY: so have the rows.
                    let x = $splat(unsafe { *$x.add(k * $term) });
                    for v in 0..V {
                        sums[$r][v] = $fma(x, columns[v], sums[$r][v]);
                    }
                }
            };
            if terms == TERMS {
                for k in 0..TERMS {
                    term(k);
                }
            } else {
                term(0);
            }
            // Behind the last term they may point to nothing, and are not read.
            for row in &mut $rows {
                *row = row.wrapping_add(terms * $term);
            }
            $b = $b.wrapping_add(terms * $step);
            left -= terms;
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
    ($beside:ident, $apart:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident,
     $store:ident, $splat:ident, $fma:ident) => {
        /// # Safety
        /// The CPU has the features; `a + k·term` is valid for `R` reads for every `k < depth`,
        /// `b + k·step` for `V·lanes`, and `c + r·stride` for `V·lanes` reads and writes for every
        /// `r < R`.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $beside<const R: usize, const V: usize>(
            depth: usize,
            (a, term): (*const f32, usize),
            (mut b, step): (*const f32, usize),
            c: *mut f32,
            stride: usize,
            carry: bool,
        ) {
            let mut rows = [a];
            vector_body!($lanes, $zero, $load, $store, $splat, $fma,
                (depth, rows, b, step, c, stride, carry), r => rows[0].add(r), term);
        }

        /// # Safety
        /// The same, but that `a + r·apart` is valid for `depth` reads for every `r < R`.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $apart<const R: usize, const V: usize>(
            depth: usize,
            (a, apart): (*const f32, usize),
            (mut b, step): (*const f32, usize),
            c: *mut f32,
            stride: usize,
            carry: bool,
        ) {
            // An address is a place and none, one or two distances.
            let (fourth, seventh) = (a.wrapping_add(3 * apart), a.wrapping_add(6 * apart));
            let mut rows: [*const f32; 4] = [a, fourth, seventh, a.wrapping_add(9 * apart)];
            vector_body!($lanes, $zero, $load, $store, $splat, $fma,
                (depth, rows, b, step, c, stride, carry), r => rows[r / 3].add(r % 3 * apart), 1);
        }
    };
}
vector_tile!(
    avx2_beside,
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
    avx512_beside,
    avx512_apart,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);
