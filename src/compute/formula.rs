//! Formulas, computed: a column of cells from the columns of a table, some rows at a time.
//! Never fails on a cell: what has no finite value is null.
//!
//! Elementwise arithmetic is that of IEEE 754 on f64 and checked 64-bit integers; logic is that of
//! SQL with its three truth values; `ln` and `exp` are those of `exact`, not of a C library.

use super::table::{Cells, Column, ColumnKind, Table};
use super::{Fault, exact, quote};
use crate::base::limits;
use crate::domain::job::{Expr, Formula, Mismatch, Op, REPLACE_GROWTH_MAX};
use arrow_arith::arity::{binary, unary, unary_mut};
use arrow_arith::boolean;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, new_null_array,
};
use arrow_ord::cmp;
use arrow_schema::DataType;
use arrow_select::concat::concat;
use arrow_select::zip::zip;
use std::cell::Cell;
use std::sync::Arc;

/// Rows that are computed at a time: a bound on memory, and small enough for a cache.
const ROWS: usize = 4_096;

// The tables of `to_lowercase` and `to_uppercase` are those of the compiler's Unicode version: one
// that has others must come with another ops version.
const _: () = assert!(matches!(char::UNICODE_VERSION, (17, 0, 0)));

/// The cells that a formula gives for the rows of a table.
pub(super) fn evaluate(formula: &Formula, table: &Table) -> Result<ArrayRef, Fault> {
    bounded(formula, table, limits::ARTIFACT_BYTES_MAX)
}

/// The same with no more bytes than these, neither at the end nor between two operations.
fn bounded(formula: &Formula, table: &Table, most: usize) -> Result<ArrayRef, Fault> {
    let columns = table.schema();
    let kind = formula.kind(&columns).map_err(|mismatch| misfit(formula, &mismatch, &columns))?;
    let kind = kind.ok_or_else(|| {
        Fault::new(
            format!("the formula {} is always null", quote(&formula.to_string())),
            "give it a value in some case, so that it has a kind",
        )
    })?;
    let mut parts = Vec::new();
    let mut bytes = 0usize;
    for first in (0..table.rows()).step_by(ROWS) {
        let count = ROWS.min(table.rows() - first);
        let rows = Rows { table, first, count, most, is_beyond: Cell::new(false) };
        let part = rows.value(formula.root()).array(kind, rows.count);
        bytes = bytes.saturating_add(sound(part.to_data().get_slice_memory_size()));
        if bytes > most || rows.is_beyond.get() {
            let message = format!("the formula {} gives too much", quote(&formula.to_string()));
            let hint = format!("an artifact has at most {most} bytes");
            return Err(Fault::new(message, hint));
        }
        parts.push(part);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok(concat(&parts).expect("the parts are of one kind"))
}

/// The rows of a table for which a formula holds.
pub(super) fn rows_that_hold(formula: &Formula, table: &Table) -> Result<BooleanArray, Fault> {
    let columns = table.schema();
    match formula.kind(&columns) {
        Ok(Some(ColumnKind::Truth)) => {}
        Ok(_) => {
            let message = format!("the formula {} is no condition", quote(&formula.to_string()));
            return Err(Fault::new(message, "compare: such as `age >= 18`"));
        }
        Err(mismatch) => return Err(misfit(formula, &mismatch, &columns)),
    }
    let cells = evaluate(formula, table)?;
    Ok(cells.as_any().downcast_ref().cloned().expect("a condition gives truth values"))
}

fn misfit(formula: &Formula, mismatch: &Mismatch, columns: &[Column]) -> Fault {
    match mismatch {
        Mismatch::Column(name) => {
            let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
            super::table::no_column(name, &names)
        }
        Mismatch::Kind(message) => {
            let formula = quote(&formula.to_string());
            Fault::new(message.clone(), format!("cast columns first; the formula is {formula}"))
        }
    }
}

/// The cells of some rows.
enum Value {
    /// All of them null, of any kind.
    Null,
    Truth(BooleanArray),
    Integer(Int64Array),
    Real(Float64Array),
    Text(StringArray),
}

impl Value {
    fn of(array: &dyn Array) -> Self {
        match Cells::of(array).expect("a table has the four kinds") {
            Cells::Truth(cells) => Self::Truth(cells.clone()),
            Cells::Integer(cells) => Self::Integer(cells.clone()),
            Cells::Real(cells) => Self::Real(cells.clone()),
            Cells::Text(cells) => Self::Text(cells.clone()),
        }
    }

    const fn kind(&self) -> Option<ColumnKind> {
        match self {
            Self::Null => None,
            Self::Truth(_) => Some(ColumnKind::Truth),
            Self::Integer(_) => Some(ColumnKind::Integer),
            Self::Real(_) => Some(ColumnKind::Real),
            Self::Text(_) => Some(ColumnKind::Text),
        }
    }

    /// As cells of a kind: null is of any, and an integer may be a real.
    fn array(self, kind: ColumnKind, rows: usize) -> ArrayRef {
        match (self, kind) {
            (Self::Null, kind) => new_null_array(&data_type(kind), rows),
            (Self::Integer(cells), ColumnKind::Real) => Arc::new(reals_of(&cells)),
            (Self::Truth(cells), _) => Arc::new(cells),
            (Self::Integer(cells), _) => Arc::new(cells),
            (Self::Real(cells), _) => Arc::new(cells),
            (Self::Text(cells), _) => Arc::new(cells),
        }
    }

    fn truths(self, rows: usize) -> BooleanArray {
        match self {
            Self::Truth(cells) => cells,
            _ => BooleanArray::new_null(rows),
        }
    }

    fn reals(self, rows: usize) -> Float64Array {
        match self {
            Self::Real(cells) => cells,
            Self::Integer(cells) => reals_of(&cells),
            _ => Float64Array::new_null(rows),
        }
    }

    fn texts(self, rows: usize) -> StringArray {
        match self {
            Self::Text(cells) => cells,
            _ => StringArray::new_null(rows),
        }
    }

    /// Reals where one of the two is real, integers where both are, null otherwise.
    fn numbers(self, other: Self, rows: usize) -> Numbers {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Numbers::Integers(a, b),
            (Self::Null, _) | (_, Self::Null) => Numbers::Null,
            (a, b) => Numbers::Reals(a.reals(rows), b.reals(rows)),
        }
    }
}

enum Numbers {
    Null,
    Integers(Int64Array, Int64Array),
    Reals(Float64Array, Float64Array),
}

pub(super) const fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Real => DataType::Float64,
        ColumnKind::Integer => DataType::Int64,
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Truth => DataType::Boolean,
    }
}

/// The nearest reals: beyond 2^53 not every integer has one of its own.
pub(super) fn reals_of(cells: &Int64Array) -> Float64Array {
    unary(cells, |x| x as f64)
}

/// Null where there is no finite number.
pub(super) fn finite(cells: &Float64Array) -> Float64Array {
    cells.unary_opt(|x| x.is_finite().then_some(x))
}

/// Some rows of a table.
struct Rows<'a> {
    table: &'a Table,
    first: usize,
    count: usize,
    /// Bytes of texts that an operation may give. Two times as many are as much as a column of
    /// texts can have: what joins two of them needs no bound of its own.
    most: usize,
    /// Whether one would have given more.
    is_beyond: Cell<bool>,
}

const _: () = assert!(2 * limits::ARTIFACT_BYTES_MAX - 1 <= i32::MAX as usize);

impl Rows<'_> {
    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Column(name) => match self.table.array(name) {
                Ok(array) => Value::of(array.slice(self.first, self.count).as_ref()),
                Err(_) => Value::Null,
            },
            Expr::Null => Value::Null,
            Expr::Truth(value) => Value::Truth(BooleanArray::from(vec![*value; self.count])),
            Expr::Integer(value) => Value::Integer(Int64Array::from_value(*value, self.count)),
            Expr::Real(value) => Value::Real(Float64Array::from_value(*value, self.count)),
            Expr::Text(text) => {
                let cells = std::iter::repeat_n(text.as_str(), self.count);
                Value::Text(StringArray::from_iter_values(cells))
            }
            Expr::Apply(op, args) => {
                let mut args = args.iter().map(|arg| self.value(arg));
                let first = args.next().unwrap_or(Value::Null);
                self.apply(*op, first, args)
            }
        }
    }

    /// A column of texts as long as they are not too many; from there on, of none.
    fn texts(&self, texts: impl Iterator<Item = Option<String>>) -> StringArray {
        let mut bytes = 0usize;
        let held = texts.map(|text| {
            bytes = bytes.saturating_add(text.as_ref().map_or(0, String::len));
            if bytes < self.most {
                return text;
            }
            self.is_beyond.set(true);
            None
        });
        held.collect()
    }

    /// Texts of two columns, or none of them where they are too many.
    fn joined(&self, value: Value) -> Value {
        match value {
            Value::Text(cells) if cells.value_data().len() >= self.most => {
                self.is_beyond.set(true);
                Value::Text(StringArray::new_null(cells.len()))
            }
            value => value,
        }
    }

    fn apply(&self, op: Op, first: Value, mut rest: impl Iterator<Item = Value>) -> Value {
        let count = self.count;
        match op {
            Op::Not => Value::Truth(sound(boolean::not(&first.truths(count)))),
            Op::And => Value::Truth(rest.fold(first.truths(count), |all, next| {
                sound(boolean::and_kleene(&all, &next.truths(count)))
            })),
            Op::Or => Value::Truth(rest.fold(first.truths(count), |any, next| {
                sound(boolean::or_kleene(&any, &next.truths(count)))
            })),
            Op::IsNull => Value::Truth(match first {
                Value::Null => BooleanArray::from(vec![true; count]),
                Value::Truth(cells) => sound(boolean::is_null(&cells)),
                Value::Integer(cells) => sound(boolean::is_null(&cells)),
                Value::Real(cells) => sound(boolean::is_null(&cells)),
                Value::Text(cells) => sound(boolean::is_null(&cells)),
            }),
            Op::In => {
                let none = BooleanArray::from(vec![false; count]);
                let equal = |next| self.compare(Op::Eq, copy(&first), next);
                Value::Truth(
                    rest.fold(none, |any, next| sound(boolean::or_kleene(&any, &equal(next)))),
                )
            }
            Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge => {
                Value::Truth(self.compare(op, first, rest.next().unwrap_or(Value::Null)))
            }
            Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Rem => {
                self.arithmetic(op, first, rest.next().unwrap_or(Value::Null))
            }
            Op::Min | Op::Max => rest.fold(first, |best, next| self.arithmetic(op, best, next)),
            Op::Neg | Op::Abs | Op::Round | Op::Floor | Op::Ceil => whole(op, first),
            Op::Sqrt | Op::Ln | Op::Exp => Value::Real(smooth(op, first.reals(count))),
            Op::Length => lengths(&first.texts(count)),
            Op::Lower => Value::Text(
                self.texts(first.texts(count).iter().map(|text| text.map(str::to_lowercase))),
            ),
            Op::Upper => Value::Text(
                self.texts(first.texts(count).iter().map(|text| text.map(str::to_uppercase))),
            ),
            Op::Contains | Op::StartsWith => {
                let parts = rest.next().unwrap_or(Value::Null).texts(count);
                Value::Truth(part_of(op, &first.texts(count), &parts))
            }
            Op::Replace => {
                let old = rest.next().unwrap_or(Value::Null).texts(count);
                let new = rest.next().unwrap_or(Value::Null).texts(count);
                Value::Text(self.texts(replaced(&first.texts(count), &old, &new)))
            }
            Op::Coalesce => rest.fold(first, |best, next| self.or_else(best, next)),
            Op::If => {
                let then = rest.next().unwrap_or(Value::Null);
                self.choose(&first.truths(count), then, rest.next().unwrap_or(Value::Null))
            }
        }
    }

    fn compare(&self, op: Op, a: Value, b: Value) -> BooleanArray {
        let kernel = match op {
            Op::Ne => cmp::neq,
            Op::Lt => cmp::lt,
            Op::Le => cmp::lt_eq,
            Op::Gt => cmp::gt,
            Op::Ge => cmp::gt_eq,
            _ => cmp::eq,
        };
        match (a, b) {
            (Value::Truth(a), Value::Truth(b)) => sound(kernel(&a, &b)),
            (Value::Text(a), Value::Text(b)) => sound(kernel(&a, &b)),
            (Value::Integer(a), Value::Integer(b)) => sound(kernel(&a, &b)),
            (Value::Null, _) | (_, Value::Null) => BooleanArray::new_null(self.count),
            (a, b) => {
                // The kernel orders -0 before 0; as numbers they are one.
                let a: Float64Array = unary(&a.reals(self.count), |x| x + 0.0);
                let b: Float64Array = unary(&b.reals(self.count), |x| x + 0.0);
                sound(kernel(&a, &b))
            }
        }
    }

    fn arithmetic(&self, op: Op, a: Value, b: Value) -> Value {
        if op == Op::Div {
            let quotient = binary(&a.reals(self.count), &b.reals(self.count), |a, b| a / b);
            return Value::Real(finite(&sound(quotient)));
        }
        match a.numbers(b, self.count) {
            Numbers::Null => Value::Null,
            Numbers::Integers(a, b) => {
                let apply = |a: i64, b: i64| match op {
                    Op::Add => a.checked_add(b),
                    Op::Sub => a.checked_sub(b),
                    Op::Mul => a.checked_mul(b),
                    // The smallest integer modulo -1 is 0: only a division would overflow.
                    Op::Rem => (b != 0).then(|| a.wrapping_rem(b)),
                    Op::Min => Some(a.min(b)),
                    _ => Some(a.max(b)),
                };
                let cells = a.iter().zip(b.iter()).map(|(a, b)| apply(a?, b?));
                Value::Integer(Int64Array::from_iter(cells))
            }
            Numbers::Reals(a, b) => {
                let apply = |a: f64, b: f64| match op {
                    Op::Add => a + b,
                    Op::Sub => a - b,
                    Op::Mul => a * b,
                    Op::Rem => a % b,
                    // Of two that are equal, as -0 and 0 are, the first.
                    Op::Min => {
                        if b < a {
                            b
                        } else {
                            a
                        }
                    }
                    _ => {
                        if b > a {
                            b
                        } else {
                            a
                        }
                    }
                };
                Value::Real(finite(&sound(binary(&a, &b, apply))))
            }
        }
    }

    /// The first where it is not null, the second elsewhere.
    fn or_else(&self, a: Value, b: Value) -> Value {
        let kind = joined(a.kind(), b.kind());
        let Some(kind) = kind else { return Value::Null };
        let a = a.array(kind, self.count);
        let is_there = sound(boolean::is_not_null(&a));
        let b = b.array(kind, self.count);
        self.joined(Value::of(sound(zip(&is_there, &a, &b)).as_ref()))
    }

    /// The first where the condition holds, the second where it does not or is null.
    fn choose(&self, condition: &BooleanArray, a: Value, b: Value) -> Value {
        let Some(kind) = joined(a.kind(), b.kind()) else { return Value::Null };
        let (a, b) = (a.array(kind, self.count), b.array(kind, self.count));
        let holds: BooleanArray = condition.iter().map(|x| Some(x == Some(true))).collect();
        self.joined(Value::of(sound(zip(&holds, &a, &b)).as_ref()))
    }
}

/// What kernels give for arrays of the right kinds and of equal length.
fn sound<T>(result: Result<T, arrow_schema::ArrowError>) -> T {
    result.expect("the kinds of a formula are checked before its cells are computed")
}

fn copy(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Truth(cells) => Value::Truth(cells.clone()),
        Value::Integer(cells) => Value::Integer(cells.clone()),
        Value::Real(cells) => Value::Real(cells.clone()),
        Value::Text(cells) => Value::Text(cells.clone()),
    }
}

/// The kind of two that fit: a real if one of them is.
fn joined(a: Option<ColumnKind>, b: Option<ColumnKind>) -> Option<ColumnKind> {
    if a == Some(ColumnKind::Real) { a } else { b.filter(|b| *b == ColumnKind::Real).or(a).or(b) }
}

fn whole(op: Op, value: Value) -> Value {
    match value {
        Value::Integer(cells) => Value::Integer(cells.unary_opt(|x| match op {
            Op::Neg => x.checked_neg(),
            Op::Abs => x.checked_abs(),
            _ => Some(x),
        })),
        Value::Real(cells) => Value::Real(unary(&cells, |x: f64| match op {
            Op::Neg => -x,
            Op::Abs => x.abs(),
            Op::Round => x.round(),
            Op::Floor => x.floor(),
            _ => x.ceil(),
        })),
        _ => Value::Null,
    }
}

fn smooth(op: Op, cells: Float64Array) -> Float64Array {
    let apply = |x: f64| match op {
        Op::Sqrt => x.sqrt(),
        Op::Ln => exact::ln(x),
        _ => exact::exp(x),
    };
    finite(&match unary_mut(cells, apply) {
        Ok(cells) => cells,
        Err(shared) => unary(&shared, apply),
    })
}

fn lengths(cells: &StringArray) -> Value {
    let count = |text: &str| i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    Value::Integer(cells.iter().map(|text| text.map(count)).collect())
}

fn part_of(op: Op, texts: &StringArray, parts: &StringArray) -> BooleanArray {
    let test = |text: &str, part: &str| match op {
        Op::Contains => text.contains(part),
        _ => text.starts_with(part),
    };
    texts.iter().zip(parts.iter()).map(|(text, part)| Some(test(text?, part?))).collect()
}

/// Null where the text would be longer than it was by more than [`REPLACE_GROWTH_MAX`] bytes.
fn replaced<'a>(
    texts: &'a StringArray,
    old: &'a StringArray,
    new: &'a StringArray,
) -> impl Iterator<Item = Option<String>> + 'a {
    let replace = |text: &str, old: &str, new: &str| {
        if old.is_empty() {
            return Some(text.to_owned());
        }
        let more = text.matches(old).count().saturating_mul(new.len().saturating_sub(old.len()));
        (more as u64 <= REPLACE_GROWTH_MAX).then(|| text.replace(old, new))
    };
    let parts = old.iter().zip(new.iter());
    texts.iter().zip(parts).map(move |(text, (old, new))| replace(text?, old?, new?))
}

#[cfg(test)]
mod tests;
