//! What the steps of a transform take, and the shape of the table that they make.
//! Never knows a value: where the rows decide, the estimate is the dearest case or an assumption.
//!
//! The weights are operations on a cell, measured against the floating-point operations of a
//! training: a number is touched for 4, a text or a key for 32, and a row that moves pays 4 for
//! each of its cells.

use super::{CLASSES_ASSUMED, Shape};
use crate::domain::job::{BYTES, Layout, SampleSize, Step, Tokens, Transform};

const NUMBER: u64 = 4;
const TEXT: u64 = 32;
/// Bytes of text in one learned token of several bytes, about.
const BYTES_PER_PAIR: u64 = 3;

/// Operations of all steps, and the shape of the result.
pub(super) fn estimate(spec: &Transform, table: Shape, right: Shape) -> (u64, Shape) {
    let mut shape = table;
    let mut flop = 0u64;
    for step in &spec.steps {
        let per_row = per_row(step, shape);
        flop = flop.saturating_add(per_row.saturating_mul(shape.rows));
        if matches!(step, Step::Join(_)) {
            flop = flop.saturating_add(per_row.saturating_mul(right.rows));
        }
        shape = after(step, shape, right);
    }
    (flop, shape)
}

/// Operations for each row that the step is given.
fn per_row(step: &Step, shape: Shape) -> u64 {
    let count = |names: usize| names as u64;
    let moved = shape.columns.saturating_mul(NUMBER);
    match step {
        Step::Select(_) | Step::Drop(_) | Step::Rename(_) => 0,
        Step::Cast(cast) => count(cast.columns.len()) * TEXT,
        Step::Fill(fill) => count(fill.columns.len()) * 2 * NUMBER,
        Step::Scale(scale) => count(scale.columns.len()) * 4 * NUMBER,
        Step::Derive(columns) => {
            let operations = columns.iter().map(|(_, formula)| formula.operations());
            operations.fold(0, u64::saturating_add).saturating_mul(NUMBER)
        }
        Step::OneHot(one_hot) => count(one_hot.columns.len()) * (2 * TEXT + CLASSES_ASSUMED),
        Step::Hash(hash) => 8 * TEXT + u64::from(hash.buckets),
        Step::Filter(formula) => formula.operations().saturating_mul(NUMBER).saturating_add(moved),
        Step::Dedupe(by) => {
            let keys = if by.is_empty() { shape.columns } else { count(by.len()) };
            keys.saturating_mul(TEXT).saturating_add(moved)
        }
        // Each row is compared once for every halving of the table.
        Step::Sort(by) => {
            let halvings = u64::from(u64::BITS - shape.rows.leading_zeros());
            (count(by.len()) * NUMBER * halvings).saturating_add(moved)
        }
        Step::Shuffle { .. } | Step::Sample(_) => moved.saturating_add(TEXT),
        Step::Join(join) => (count(join.on.len()) * 2 * TEXT).saturating_add(moved),
        Step::Aggregate(aggregate) => {
            count(aggregate.by.len()) * TEXT + count(aggregate.measures.len()) * 2 * NUMBER
        }
        Step::Tokenize(tokenize) => {
            let bytes = shape.bytes.div_ceil(shape.rows.max(1));
            let weight = match tokenize.by {
                Tokens::Char | Tokens::Byte => 2 * NUMBER,
                Tokens::Pairs { .. } => 2 * TEXT,
            };
            bytes.saturating_mul(weight).saturating_add(moved)
        }
    }
}

/// The shape of the table after a step, cells being as large as before.
fn after(step: &Step, shape: Shape, right: Shape) -> Shape {
    let cells = shape.rows.saturating_mul(shape.columns).max(1);
    let cell = shape.bytes.div_ceil(cells);
    let Shape { rows, columns, tokens: known, .. } = shape;
    let count = |names: usize| names as u64;
    let (rows, columns) = match step {
        Step::Select(names) => (rows, count(names.len())),
        Step::Drop(names) => (rows, columns.saturating_sub(count(names.len())).max(1)),
        Step::Derive(names) => (rows, columns.saturating_add(count(names.len()))),
        Step::OneHot(one_hot) => {
            let more = count(one_hot.columns.len()) * (CLASSES_ASSUMED - 1);
            (rows, columns.saturating_add(more))
        }
        Step::Hash(hash) => {
            (rows, columns.saturating_add(u64::from(hash.buckets)).saturating_sub(1))
        }
        Step::Sample(sample) => {
            let size = match sample.size {
                SampleSize::Rows(size) => size,
                SampleSize::PartsPerBillion(parts) => {
                    let product = u128::from(rows) * u128::from(parts) / 1_000_000_000;
                    u64::try_from(product).unwrap_or(rows)
                }
            };
            (size.min(rows), columns)
        }
        // Each row has one partner: what a join on a key of the right table makes.
        Step::Join(join) => {
            let added = right.columns.saturating_sub(count(join.on.len()));
            (rows, columns.saturating_add(added))
        }
        // Every row may be a group of its own.
        Step::Aggregate(aggregate) => {
            let rows = if aggregate.by.is_empty() { 1 } else { rows };
            (rows, count(aggregate.by.len() + aggregate.measures.len()))
        }
        // All that the table holds may be text, and each byte of it a token.
        Step::Tokenize(tokenize) => {
            let (each, tokens) = match tokenize.by {
                Tokens::Char => (1, 0),
                Tokens::Byte => (1, u64::from(BYTES)),
                Tokens::Pairs { vocabulary } => (BYTES_PER_PAIR, u64::from(vocabulary)),
            };
            let (rows, columns) = match &tokenize.into {
                Layout::Stream { .. } => (shape.bytes / each, 1),
                Layout::Rows { length } => {
                    (rows, columns.saturating_add(u64::from(*length)).saturating_sub(1))
                }
            };
            let bytes = rows.saturating_mul(columns).saturating_mul(8);
            // A pair may be one byte.
            return Shape { rows, columns, bytes, tokens, over: shape.times(each).over };
        }
        Step::Rename(_)
        | Step::Cast(_)
        | Step::Fill(_)
        | Step::Scale(_)
        | Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. } => (rows, columns),
    };
    let bytes = rows.saturating_mul(columns).saturating_mul(cell);
    Shape { rows, columns, bytes, tokens: known, over: over(step, shape, bytes) }
}

/// How many times more there may be after a step that leaves about so many bytes.
fn over(step: &Step, before: Shape, bytes: u64) -> u64 {
    match step {
        // A row may have any number of partners, and a column any number of values.
        Step::Join(_) | Step::OneHot(_) => Shape::UNKNOWN,
        // What is left may be all that was large.
        _ => before.times(before.bytes.div_ceil(bytes.max(1)).max(1)).over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Formula, Join, JoinKind, Sample, Tokenize};

    const TABLE: Shape =
        Shape { rows: 1_000_000, columns: 10, bytes: 80_000_000, tokens: 0, over: 0 };

    #[track_caller]
    fn check(step: Step, flop: u64, rows: u64, columns: u64) {
        let right = Shape { rows: 100, columns: 3, bytes: 2_400, tokens: 0, over: 0 };
        let (got, shape) = estimate(&Transform { steps: vec![step] }, TABLE, right);
        let bytes = rows * columns * 8;
        let shape = Shape { over: 0, ..shape };
        assert_eq!((got, shape), (flop, Shape { rows, columns, bytes, tokens: 0, over: 0 }));
    }

    #[test]
    fn steps_cost_what_they_touch_and_shapes_follow() {
        check(Step::Select(vec!["a".into()]), 0, 1_000_000, 1);
        let formula = Formula::parse("a + b * 2").unwrap();
        check(Step::Derive(vec![("c".into(), formula)]), 8_000_000, 1_000_000, 11);
        let size = SampleSize::PartsPerBillion(100_000_000);
        check(Step::Sample(Sample { size, seed: 1 }), 72_000_000, 100_000, 10);
        let join = Join { on: vec!["a".into()], kind: JoinKind::Left };
        check(Step::Join(join), 104_010_400, 1_000_000, 12);
    }

    #[test]
    fn a_vocabulary_is_known_where_the_tokenisation_says_it() {
        let tokens = |by| {
            let into = Layout::Rows { length: 8 };
            let step = Step::Tokenize(Tokenize { column: "a".into(), by, into });
            let steps = vec![step, Step::Shuffle { seed: 1 }];
            estimate(&Transform { steps }, TABLE, Shape::default()).1.tokens
        };
        let all = [Tokens::Char, Tokens::Byte, Tokens::Pairs { vocabulary: 700 }].map(tokens);
        assert_eq!(all, [0, 256, 700]);
    }
}
