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
pub(super) fn rows_of_a(
    a: View<'_>,
    row: usize,
    rows: usize,
    first: usize,
    depth: usize,
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(depth * rows, 0.0);
    if a.transposed {
        for (k, packed) in out.chunks_exact_mut(rows).enumerate() {
            let from = (first + k) * a.stride + row;
            packed.copy_from_slice(&a.values[from..from + rows]);
        }
    } else {
        interleave(a, row, rows, first, rows, out);
    }
}

/// Packs columns `column..column + width` of B in panels of `panel` columns (the last one of
/// `panel / 2` if that is enough): in each, for each k, the columns of it, filled up with zeros.
pub(super) fn columns_of_b(
    b: View<'_>,
    (column, width): (usize, usize),
    panel: usize,
    first: usize,
    depth: usize,
    out: &mut Vec<f32>,
) {
    out.clear();
    out.resize(depth * padded(width, panel), 0.0);
    let mut rest = out.as_mut_slice();
    for from in (column..column + width).step_by(panel) {
        let used = panel.min(column + width - from);
        let (packed, tail) = rest.split_at_mut(depth * padded(used, panel));
        rest = tail;
        if b.transposed {
            interleave(b, from, used, first, padded(used, panel), packed);
        } else {
            for (k, packed) in packed.chunks_exact_mut(padded(used, panel)).enumerate() {
                let at = (first + k) * b.stride + from;
                packed[..used].copy_from_slice(&b.values[at..at + used]);
            }
        }
    }
}

/// Columns that `width` columns take up when packed.
pub(super) const fn padded(width: usize, panel: usize) -> usize {
    width.next_multiple_of(panel / 2)
}

/// Lines `line..line + lines` of what is stored, element by element beside each other.
fn interleave(
    from: View<'_>,
    line: usize,
    lines: usize,
    first: usize,
    stride: usize,
    out: &mut [f32],
) {
    for i in 0..lines {
        let at = (line + i) * from.stride + first;
        let source = &from.values[at..at + out.len() / stride];
        for (packed, &value) in out.chunks_exact_mut(stride).zip(source) {
            packed[i] = value;
        }
    }
}
