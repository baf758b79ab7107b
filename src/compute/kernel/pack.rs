//! Packing: copies of parts of A and B in the order in which a tile reads them.
//! Never computes: a packed zero is only ever multiplied into a column that is thrown away.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted in matmul")]

use super::Isa;
use super::tile;

/// A row-major matrix, possibly used transposed.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// The elements as they are stored.
    pub values: &'a [f32],
    /// Elements from one stored row to the next.
    pub stride: usize,
    /// Whether rows of the view are columns of what is stored.
    pub transposed: bool,
}

impl View<'_> {
    /// The same matrix, transposed.
    pub(super) const fn turned(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// Packs the rows `row..row + rows` of A: in panels of `panel` rows if it is transposed (the last
/// one as high as what is left), in one if it is not. In each, for each k, the rows of it.
pub(super) fn rows_of_a<'p>(
    isa: Isa,
    a: View<'_>,
    (row, rows): (usize, usize),
    panel: usize,
    (first, depth): (usize, usize),
    space: &'p mut Vec<f32>,
) -> &'p [f32] {
    let out = reserve(space, depth * rows);
    if !a.transposed {
        interleave(isa, a, (row, rows), first, rows, out);
        return out;
    }
    let from = &a.values[first * a.stride + row..];
    // A call for each dozen numbers would take longer than the copies.
    match panel {
        12 => panels::<12>((from, a.stride), rows, depth, out),
        6 => panels::<6>((from, a.stride), rows, depth, out),
        _ => panels::<4>((from, a.stride), rows, depth, out),
    }
    out
}

/// Line after line of what is stored, as wide as `rows`, in panels of `N`.
fn panels<const N: usize>(
    (from, stride): (&[f32], usize),
    rows: usize,
    depth: usize,
    out: &mut [f32],
) {
    let (whole, rest) = out.split_at_mut(rows / N * N * depth);
    for k in 0..depth {
        let (pieces, last) = from[k * stride..][..rows].as_chunks::<N>();
        let panels = whole.chunks_exact_mut(N * depth);
        for (panel, piece) in panels.zip(pieces) {
            panel.as_chunks_mut::<N>().0[k] = *piece;
        }
        for (packed, x) in rest[k * last.len()..].iter_mut().zip(last) {
            *packed = *x;
        }
    }
}

/// Packs columns `column..column + width` of B in panels of `panel` columns (the last one of
/// `panel / 2` if that is enough): in each, for each k, the columns of it, filled up with zeros.
pub(super) fn columns_of_b<'p>(
    isa: Isa,
    b: View<'_>,
    (column, width): (usize, usize),
    panel: usize,
    (first, depth): (usize, usize),
    space: &'p mut Vec<f32>,
) -> &'p [f32] {
    let out = reserve(space, depth * padded(width, panel));
    if !b.transposed {
        for k in (0..depth).step_by(BAND) {
            band(b, (column, width), panel, (first, depth, k), out);
        }
        return out;
    }
    let mut rest = &mut *out;
    for from in (column..column + width).step_by(panel) {
        let used = panel.min(column + width - from);
        let stride = padded(used, panel);
        let (packed, tail) = rest.split_at_mut(depth * stride);
        rest = tail;
        if used < stride {
            packed.fill(0.0);
        }
        interleave(isa, b, (from, used), first, stride, packed);
    }
    out
}

/// Lines that are packed beside each other: so many streams of memory are read at a time.
const BAND: usize = 8;

/// Packs the lines `k..k + BAND` of those that begin with `first`.
fn band(
    b: View<'_>,
    (column, width): (usize, usize),
    panel: usize,
    (first, depth, k): (usize, usize, usize),
    out: &mut [f32],
) {
    let mut rest = out;
    for from in (column..column + width).step_by(panel) {
        let used = panel.min(column + width - from);
        let stride = padded(used, panel);
        let (packed, tail) = rest.split_at_mut(depth * stride);
        rest = tail;
        for (i, packed) in packed[k * stride..].chunks_exact_mut(stride).take(BAND).enumerate() {
            let line = &b.values[(first + k + i) * b.stride + from..][..used];
            match (packed.first_chunk_mut::<32>(), line.first_chunk::<32>()) {
                (Some(packed), Some(line)) => *packed = *line,
                _ => {
                    packed[..used].copy_from_slice(line);
                    packed[used..].fill(0.0);
                }
            }
        }
    }
}

/// Numbers of a line of the cache: panels begin with one, or each load of a register takes two.
const LINE: usize = 16;

/// So many elements of a space that only ever grows; what they hold is of no use.
pub(super) fn reserve(space: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if space.len() < len + LINE {
        space.resize(len + LINE, 0.0);
    }
    let first = space.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut space[first..][..len]
}

/// Columns that `width` columns take up when packed.
pub(super) const fn padded(width: usize, panel: usize) -> usize {
    width.next_multiple_of(panel / 2)
}

/// Lines `line..line + lines` of what is stored, element by element beside each other: a
/// transposition.
fn interleave(
    isa: Isa,
    from: View<'_>,
    (line, lines): (usize, usize),
    first: usize,
    stride: usize,
    out: &mut [f32],
) {
    let depth = out.len() / stride;
    let of = &from.values[line * from.stride + first..];
    let turned = tile::turn(isa, (of, from.stride), (lines, depth), out, stride);
    let source = |i: usize| &of[i * from.stride..][..depth];
    // In squares of 4 × 4 that compilers turn into shuffles of registers.
    let fours = lines / 4 * 4;
    for i in (turned..fours).step_by(4) {
        let (a, b, c, d) = (source(i), source(i + 1), source(i + 2), source(i + 3));
        let squares = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
        let squares = squares.zip(c.as_chunks::<4>().0.iter().zip(d.as_chunks::<4>().0));
        for (((a, b), (c, d)), out) in squares.zip(out.chunks_exact_mut(4 * stride)) {
            for k in 0..4 {
                out[k * stride + i..][..4].copy_from_slice(&[a[k], b[k], c[k], d[k]]);
            }
        }
        for k in depth / 4 * 4..depth {
            out[k * stride + i..][..4].copy_from_slice(&[a[k], b[k], c[k], d[k]]);
        }
    }
    for i in fours..lines {
        for (packed, &value) in out.chunks_exact_mut(stride).zip(source(i)) {
            packed[i] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_turned_and_nothing_beside_them_is_written() {
        let (lie, behind) = (21, 16);
        let values: Vec<f32> = (0..17 * lie).map(|i| i as f32).collect();
        let from = View { values: &values, stride: lie, transposed: false };
        for isa in Isa::all() {
            for (lines, depth) in (1..=16).flat_map(|lines| (1..20).map(move |k| (lines, k))) {
                for stride in [lines, lines + 3] {
                    let mut out = vec![-1.0; stride * depth + behind];
                    let (packed, _) = out.split_at_mut(stride * depth);
                    interleave(isa, from, (1, lines), 1, stride, packed);
                    let mut expect = vec![-1.0; stride * depth + behind];
                    for (k, i) in (0..depth).flat_map(|k| (0..lines).map(move |i| (k, i))) {
                        expect[k * stride + i] = values[(1 + i) * lie + 1 + k];
                    }
                    assert_eq!(out, expect, "{isa} {lines} lines of {depth}, {stride} apart");
                }
            }
        }
    }
}
