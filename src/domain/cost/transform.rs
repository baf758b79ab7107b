//! What the steps of a transform take, and the shape of the table that they make.
//! Never knows a value: where the rows decide, the estimate is the dearest case or an assumption.
//!
//! The weights are operations on a cell, measured against the floating-point operations of a
//! training: a number is touched for 4, a text or a key for 32, and a row that moves pays 4 for
//! each of its cells.

mod memory;

pub(super) use memory::memory;

use super::{CLASSES_ASSUMED, Shape, Way};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::{
    BYTES, Cell, Expr, Fill, Filling, Formula, Layout, Measure, Op, SampleSize, Step, Summary,
    Tokenize, Tokens, Transform,
};

const NUMBER: u64 = 4;
const TEXT: u64 = 32;
/// Bytes of text in one learned token of several bytes, about.
const BYTES_PER_PAIR: u64 = 3;
/// Bytes of a number in a table, and of one as text at the most.
const CELL: u64 = 8;
const CELL_AS_TEXT: u64 = 32;
/// Values of a column that become a column each, at the most.
const VALUES_MAX: u64 = 4_096;

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
    if spec.steps.is_empty() {
        shape = brought(table, right);
    }
    (flop, shape)
}

/// A table that was brought to where a recipe ends. What that costs is not in the price.
fn brought(table: Shape, fitted: Shape) -> Shape {
    let most = table.rows.saturating_mul(fitted.way.row_most).max(table.bytes);
    let times = most.div_ceil(table.bytes.max(1)).max(1);
    let columns = fitted.columns.saturating_add(fitted.more_columns);
    let more_columns = columns.saturating_sub(table.columns).max(table.more_columns);
    let more_rows = match fitted.way.times {
        0 | 1 => table.more_rows,
        times => table.most().rows.saturating_mul(times).saturating_sub(table.rows),
    };
    Shape { over: table.times(times).over, more_columns, more_rows, way: fitted.way, ..table }
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
        // The text may be all that a row is.
        Step::Hash(hash) => {
            let bytes = shape.bytes.div_ceil(shape.rows.max(1));
            bytes.saturating_mul(2 * NUMBER).saturating_add(u64::from(hash.buckets))
        }
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

/// The shape of the table after a step, cells being as large as before; counts of words have a size
/// of their own, however long the text was.
fn after(step: &Step, shape: Shape, right: Shape) -> Shape {
    if let Step::Tokenize(tokenize) = step {
        return tokenized(step, tokenize, shape);
    }
    let cells = shape.rows.saturating_mul(shape.columns).max(1);
    let cell = shape.bytes.div_ceil(cells);
    let (rows, columns) = extent(step, shape, right);
    let counts = counts(step).min(columns);
    let row = (columns - counts).saturating_mul(cell).saturating_add(counts * CELL);
    let bytes = rows.saturating_mul(row);
    let (more_rows, more_columns) = more(step, shape, rows);
    let over = over(step, shape, bytes);
    let made = Shape { rows, columns, bytes, over, more_rows, more_columns, ..shape };
    Shape { way: way(step, shape, made), ..made }
}

/// Columns of counts that a step makes in the place of a text. Those of other steps are taken for
/// as large as the cells before them, as they always were: a log holds what they were quoted at.
fn counts(step: &Step) -> u64 {
    match step {
        Step::Hash(hash) => u64::from(hash.buckets),
        _ => 0,
    }
}

/// Rows and columns after a step that tokenises nothing.
fn extent(step: &Step, shape: Shape, right: Shape) -> (u64, u64) {
    let Shape { rows, columns, .. } = shape;
    let count = |names: usize| names as u64;
    match step {
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
        Step::Rename(_)
        | Step::Cast(_)
        | Step::Fill(_)
        | Step::Scale(_)
        | Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Tokenize(_) => (rows, columns),
    }
}

/// Rows and columns that there may be beyond those after a step that leaves so many rows.
fn more(step: &Step, shape: Shape, rows: u64) -> (u64, u64) {
    let more_rows = match step {
        // A row may have any number of partners.
        Step::Join(_) => Shape::UNKNOWN,
        Step::Sample(_) => shape.rows.saturating_sub(rows).saturating_add(shape.more_rows),
        _ => shape.more_rows,
    };
    let more_columns = match step {
        Step::OneHot(one_hot) => {
            let more = (one_hot.columns.len() as u64) * (VALUES_MAX - CLASSES_ASSUMED);
            shape.more_columns.saturating_add(more)
        }
        Step::Select(_) | Step::Aggregate(_) => 0,
        _ => shape.more_columns,
    };
    (more_rows, more_columns)
}

/// All that the table holds may be text, and each byte of it a token.
fn tokenized(step: &Step, tokenize: &Tokenize, shape: Shape) -> Shape {
    let (each, tokens) = match tokenize.by {
        Tokens::Char => (1, 0),
        Tokens::Byte => (1, u64::from(BYTES)),
        Tokens::Pairs { vocabulary } => (BYTES_PER_PAIR, u64::from(vocabulary)),
    };
    let Shape { rows, columns, .. } = shape;
    let (rows, columns) = match &tokenize.into {
        Layout::Stream { .. } => (shape.bytes / each, 1),
        Layout::Rows { length } => {
            (rows, columns.saturating_add(u64::from(*length)).saturating_sub(1))
        }
    };
    let bytes = rows.saturating_mul(columns).saturating_mul(8);
    // A pair may be one byte.
    let (over, most) = (shape.times(each).over, rows.saturating_mul(each));
    let (times, more_rows) = match &tokenize.into {
        Layout::Stream { .. } => (
            (shape.way.times.max(1)).saturating_mul(most.div_ceil(shape.rows.max(1))),
            most.saturating_mul(shape.over.saturating_add(1)).saturating_sub(rows),
        ),
        Layout::Rows { .. } => (shape.way.times, shape.more_rows),
    };
    let made = Shape { rows, columns, bytes, tokens, over, more_rows, ..shape };
    Shape { way: Way { times, ..way(step, shape, made) }, ..made }
}

/// How many times more there may be after a step that leaves about so many bytes.
fn over(step: &Step, before: Shape, bytes: u64) -> u64 {
    match step {
        // A row may have any number of partners.
        Step::Join(_) => Shape::UNKNOWN,
        // What is left may be all that was large.
        _ => {
            let most = before.bytes.saturating_add(added(step, before, VALUES_MAX));
            before.times(most.div_ceil(bytes.max(1)).max(1)).over
        }
    }
}

/// Bytes that a step may add to a table, where each column that is divided has so many values.
fn added(step: &Step, table: Shape, values: u64) -> u64 {
    let of_rows = |bytes: u64| table.rows.saturating_mul(bytes);
    let all = |columns: usize, each: u64| (columns as u64).saturating_mul(each);
    // Of a column that may be text nobody knows how much of the table it is.
    let texts = |of: u64| of.saturating_mul(table.bytes);
    match step {
        Step::Cast(cast) => of_rows(all(cast.columns.len(), CELL_AS_TEXT)),
        Step::Fill(Fill { with: Filling::Previous, columns }) => texts(columns.len() as u64),
        Step::Fill(Fill { with: Filling::Value(Cell::Text(text)), columns }) => {
            of_rows(all(columns.len(), CELL.saturating_add(text.len() as u64)))
        }
        Step::Fill(fill) => of_rows(all(fill.columns.len(), CELL)),
        Step::Scale(scale) => of_rows(all(scale.columns.len(), CELL)),
        Step::Derive(columns) => {
            let of_text = columns.iter().filter(|(_, formula)| may_be_text(formula)).count();
            let grown = columns.iter().map(|(_, formula)| formula.growth());
            let grown = grown.fold(0, u64::saturating_add);
            of_rows(all(columns.len(), CELL).saturating_add(grown))
                .saturating_add(texts(of_text as u64))
        }
        // No column becomes more than an artifact may be.
        Step::OneHot(one_hot) => {
            let each = of_rows(values.saturating_mul(CELL)).min(ARTIFACT_BYTES_MAX as u64);
            all(one_hot.columns.len(), each)
        }
        Step::Hash(hash) => {
            of_rows(u64::from(hash.buckets).saturating_mul(CELL)).min(ARTIFACT_BYTES_MAX as u64)
        }
        Step::Aggregate(aggregate) => {
            let picks = |measure: &Measure| {
                matches!(measure.of, Summary::Min | Summary::Max | Summary::First)
            };
            let picked = aggregate.measures.iter().filter(|(_, measure)| picks(measure)).count();
            let counted = aggregate.measures.len() - picked;
            of_rows(all(counted, CELL)).saturating_add(texts(picked as u64))
        }
        Step::Select(_)
        | Step::Drop(_)
        | Step::Rename(_)
        | Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Sample(_)
        | Step::Join(_)
        | Step::Tokenize(_) => 0,
    }
}

/// Whether a formula may give text, which is as long as that of a column.
fn may_be_text(formula: &Formula) -> bool {
    let gives = |op: &Op| matches!(op, Op::Lower | Op::Upper | Op::Replace | Op::Coalesce | Op::If);
    match formula.root() {
        Expr::Column(_) | Expr::Text(_) => true,
        Expr::Apply(op, _) => gives(op),
        _ => false,
    }
}

/// The way of a raw row behind a step: rows are on it before and behind the step at a time.
fn way(step: &Step, before: Shape, made: Shape) -> Way {
    if matches!(step, Step::Join(_) | Step::Aggregate(_))
        || matches!(step, Step::Fill(fill) if fill.with == Filling::Previous)
    {
        // Its rows are raw ones again.
        return Way::default();
    }
    if !step.is_row_wise() {
        return before.way;
    }
    let of = |before: Shape, made: Shape| {
        let raw = before.rows.div_ceil(before.way.times.max(1)).max(1);
        before.bytes.saturating_add(made.bytes).div_ceil(raw)
    };
    let Way { row, row_most, .. } = before.way;
    let (most, made_most) = (before.most(), Shape { more_rows: 0, ..made }.most());
    let row_most = row_most.max(of(Shape { rows: before.rows, ..most }, made_most));
    Way { row: row.max(of(before, made)), row_most, ..before.way }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Formula, Hash, Join, JoinKind, Sample, Tokenize};

    const TABLE: Shape = Shape { rows: 1_000_000, columns: 10, bytes: 80_000_000, ..Shape::NONE };

    #[track_caller]
    fn check(step: Step, flop: u64, rows: u64, columns: u64) {
        let right = Shape { rows: 100, columns: 3, bytes: 2_400, ..Shape::NONE };
        let (got, shape) = estimate(&Transform { steps: vec![step] }, TABLE, right);
        let bytes = rows * columns * 8;
        assert_eq!((got, shape.rows, shape.columns, shape.bytes), (flop, rows, columns, bytes));
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
    fn counts_of_the_words_of_long_texts_are_not_as_long_as_these() {
        let texts = Shape { rows: 1_000, columns: 2, bytes: 2_000_000, ..Shape::NONE };
        let hash = Hash { column: "a".into(), buckets: 500 };
        let transform = Transform { steps: vec![Step::Hash(hash)] };
        let (flop, shape) = estimate(&transform, texts, Shape::NONE);
        // 2,000 bytes of a row are read; beside 500 counts the label stays, as long as a cell.
        assert_eq!((flop, shape.bytes), (16_500_000, 1_000 * (1_000 + 500 * 8)));
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
