//! Packing: copies of parts of A and B in the order in which a tile reads them.
//! Never computes: a packed zero is only ever multiplied into a column that is thrown away.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted in matmul")]

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

/// Packs `depth × rows` of A: for each k, the rows `row..row + rows` of it.
pub(super) fn rows_of_a<'p>(
    a: View<'_>,
    (row, rows): (usize, usize),
    (first, depth): (usize, usize),
    space: &'p mut Vec<f32>,
) -> &'p [f32] {
    let out = reserve(space, depth * rows);
    if a.transposed {
        let from = first * a.stride + row;
        // A call for each dozen numbers would take longer than the copies.
        match rows {
            12 => lines::<12>(&a.values[from..], a.stride, out),
            6 => lines::<6>(&a.values[from..], a.stride, out),
            _ => {
                for (k, packed) in out.chunks_exact_mut(rows).enumerate() {
                    let from = from + k * a.stride;
                    packed.copy_from_slice(&a.values[from..from + rows]);
                }
            }
        }
    } else {
        interleave(a, (row, rows), first, rows, out);
    }
    out
}

/// The first `N` elements of lines that are `stride` apart.
fn lines<const N: usize>(from: &[f32], stride: usize, out: &mut [f32]) {
    let lines = from.chunks(stride.max(1)).filter_map(|line| line.first_chunk::<N>());
    for (out, line) in out.as_chunks_mut::<N>().0.iter_mut().zip(lines) {
        *out = *line;
    }
}

/// Packs columns `column..column + width` of B in panels of `panel` columns (the last one of
/// `panel / 2` if that is enough): in each, for each k, the columns of it, filled up with zeros.
pub(super) fn columns_of_b<'p>(
    b: View<'_>,
    (column, width): (usize, usize),
    panel: usize,
    (first, depth): (usize, usize),
    space: &'p mut Vec<f32>,
) -> &'p [f32] {
    let out = reserve(space, depth * padded(width, panel));
    let mut rest = &mut *out;
    for from in (column..column + width).step_by(panel) {
        let used = panel.min(column + width - from);
        let stride = padded(used, panel);
        let (packed, tail) = rest.split_at_mut(depth * stride);
        rest = tail;
        if used < stride {
            packed.fill(0.0);
        }
        if b.transposed {
            interleave(b, (from, used), first, stride, packed);
        } else {
            for (k, packed) in packed.chunks_exact_mut(stride).enumerate() {
                let at = (first + k) * b.stride + from;
                match (packed.first_chunk_mut::<32>(), b.values[at..at + used].first_chunk::<32>())
                {
                    (Some(packed), Some(line)) => *packed = *line,
                    _ => packed[..used].copy_from_slice(&b.values[at..at + used]),
                }
            }
        }
    }
    out
}

/// The first `len` elements of a space that only ever grows; what they hold is of no use.
pub(super) fn reserve(space: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if space.len() < len {
        space.resize(len, 0.0);
    }
    &mut space[..len]
}

/// Columns that `width` columns take up when packed.
pub(super) const fn padded(width: usize, panel: usize) -> usize {
    width.next_multiple_of(panel / 2)
}

/// Lines `line..line + lines` of what is stored, element by element beside each other: a
/// transposition, in squares of 4 × 4 that compilers turn into shuffles of registers.
fn interleave(
    from: View<'_>,
    (line, lines): (usize, usize),
    first: usize,
    stride: usize,
    out: &mut [f32],
) {
    let depth = out.len() / stride;
    let source = |i: usize| {
        let at = (line + i) * from.stride + first;
        &from.values[at..at + depth]
    };
    let fours = lines / 4 * 4;
    for i in (0..fours).step_by(4) {
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
