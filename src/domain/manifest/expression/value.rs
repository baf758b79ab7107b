//! Values of expressions: what a tree comes to once its names stand for something.
//! Never looks a name up itself; total: every tree has a value, or words about why it has none.

use super::super::node::Kind;
use super::number::Decimal;
use super::syntax::{Binary, Expr, Function, Unary};
use crate::domain::terms::{Comparison, Condition, Operand};
use std::cmp::Ordering;

/// What an expression comes to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// A value that is known when the manifest is compiled.
    Known(Kind),
    /// A metric, which is known when its stage is settled.
    Metric(Operand),
    /// True or false, once metrics are known.
    Open(Condition),
}

/// Why there is no value, and what to do about it.
pub(super) type Wrong = (String, Option<String>);

impl Value {
    /// `metrics.STAGE.NAME`
    pub(super) fn metric(stage: &str, name: &str) -> Self {
        Self::Metric(Operand::Metric { stage: stage.to_owned(), name: name.to_owned() })
    }

    const fn noun(&self) -> &'static str {
        match self {
            Self::Known(kind) => kind.noun(),
            Self::Metric(_) => "a metric",
            Self::Open(_) => "a condition",
        }
    }
}

/// The value of a tree; a name that stands for nothing is a fault of the caller.
pub(super) fn of(
    expr: &Expr,
    look_up: &dyn Fn(&[String]) -> Option<Value>,
) -> Result<Value, Wrong> {
    let of = |expr: &Expr| self::of(expr, look_up);
    let known = |kind| Ok(Value::Known(kind));
    match expr {
        Expr::Bool(value) => known(Kind::Bool(*value)),
        Expr::Number(text) => known(Kind::Number(text.clone())),
        Expr::Text(text) => known(Kind::Text(text.clone())),
        Expr::Name(words) => look_up(words).ok_or((format!("unknown `{}`", words.join(".")), None)),
        Expr::Unary(Unary::Not, inner) => Ok(not(logical(of(inner)?, "!")?)),
        Expr::Unary(Unary::Minus, inner) => {
            let number = number(&of(inner)?, "-")?;
            let negative = number.negative().ok_or_else(|| inexact("-"))?;
            known(Kind::Number(negative.to_string()))
        }
        Expr::Binary(left, op @ (Binary::And | Binary::Or), right) => {
            let left = logical(of(left)?, op.sign())?;
            match (&left, op) {
                // What cannot change anything is not looked at.
                (Condition::Constant(false), Binary::And)
                | (Condition::Constant(true), Binary::Or) => Ok(closed(left)),
                _ => Ok(join(left, *op, logical(of(right)?, op.sign())?)),
            }
        }
        Expr::Binary(left, op, right) => {
            let (left, right) = (of(left)?, of(right)?);
            match comparison(*op) {
                Some(comparison) => compare(left, (*op, comparison), right),
                None => arithmetic(&left, *op, &right),
            }
        }
        Expr::Call(function, values) => {
            let values = values.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            extreme(*function, &values)
        }
    }
}

/// True or false, now or later.
fn logical(value: Value, sign: &str) -> Result<Condition, Wrong> {
    match value {
        Value::Known(Kind::Bool(value)) => Ok(Condition::Constant(value)),
        Value::Open(condition) => Ok(condition),
        other => {
            let message = format!("`{sign}` takes true or false, not {}", other.noun());
            Err((message, Some("compare it with something first".to_owned())))
        }
    }
}

fn closed(condition: Condition) -> Value {
    match condition {
        Condition::Constant(value) => Value::Known(Kind::Bool(value)),
        open => Value::Open(open),
    }
}

fn not(condition: Condition) -> Value {
    match condition {
        Condition::Constant(value) => Value::Known(Kind::Bool(!value)),
        open => Value::Open(Condition::Not(Box::new(open))),
    }
}

/// Both or one of two conditions; the left one decides nothing alone.
fn join(left: Condition, op: Binary, right: Condition) -> Value {
    let is_and = op == Binary::And;
    match (left, right) {
        (Condition::Constant(_), right) => closed(right),
        (left, Condition::Constant(value)) if value == is_and => closed(left),
        (_, right @ Condition::Constant(_)) => closed(right),
        (left, right) if is_and => Value::Open(Condition::All(vec![left, right])),
        (left, right) => Value::Open(Condition::Any(vec![left, right])),
    }
}

fn comparison(op: Binary) -> Option<Comparison> {
    Some(match op {
        Binary::Equal => Comparison::Equal,
        Binary::NotEqual => Comparison::NotEqual,
        Binary::Less => Comparison::Less,
        Binary::LessOrEqual => Comparison::LessOrEqual,
        Binary::Greater => Comparison::Greater,
        Binary::GreaterOrEqual => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn compare(
    left: Value,
    (op, comparison): (Binary, Comparison),
    right: Value,
) -> Result<Value, Wrong> {
    let sign = op.sign();
    if matches!(left, Value::Metric(_)) || matches!(right, Value::Metric(_)) {
        let (left, right) = (operand(left, sign)?, operand(right, sign)?);
        return Ok(Value::Open(Condition::Compare(left, comparison, right)));
    }
    let ordering = match (&left, &right) {
        (Value::Known(Kind::Number(a)), Value::Known(Kind::Number(b))) => order(a, b),
        (Value::Known(Kind::Text(a)), Value::Known(Kind::Text(b))) => Some(a.cmp(b)),
        (Value::Known(Kind::Bool(a)), Value::Known(Kind::Bool(b)))
            if matches!(op, Binary::Equal | Binary::NotEqual) =>
        {
            Some(a.cmp(b))
        }
        _ => None,
    };
    let Some(ordering) = ordering else {
        let message = format!("`{sign}` cannot compare {} with {}", left.noun(), right.noun());
        return Err((message, Some("compare values of one type".to_owned())));
    };
    let holds = match comparison {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    };
    Ok(Value::Known(Kind::Bool(holds)))
}

fn operand(value: Value, sign: &str) -> Result<Operand, Wrong> {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    match value {
        Value::Metric(operand) => Ok(operand),
        Value::Known(Kind::Number(text)) if number(&text).is_some() => {
            Ok(Operand::Number(number(&text).unwrap_or_default()))
        }
        other => {
            let message = format!("`{sign}` cannot compare a metric with {}", other.noun());
            Err((message, Some("a metric is a number".to_owned())))
        }
    }
}

/// Exactly where both are decimals of a size that is computed with, else as the floats that they
/// become.
fn order(a: &str, b: &str) -> Option<Ordering> {
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(a), Some(b)) => a.compare(b),
        _ => a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?),
    }
}

fn number(value: &Value, sign: &str) -> Result<Decimal, Wrong> {
    match value {
        Value::Known(Kind::Number(text)) => Decimal::parse(text).ok_or_else(|| inexact(sign)),
        Value::Metric(_) | Value::Open(_) => {
            let message = "metrics are compared, never computed with".to_owned();
            Err((message, Some("such as metrics.evaluate.accuracy >= 0.9".to_owned())))
        }
        other => Err((format!("`{sign}` takes numbers, not {}", other.noun()), None)),
    }
}

fn inexact(sign: &str) -> Wrong {
    let message = format!("the result of `{sign}` is no exact decimal of at most 18 places");
    (message, Some("arithmetic is exact: write the number itself".to_owned()))
}

fn arithmetic(left: &Value, op: Binary, right: &Value) -> Result<Value, Wrong> {
    let sign = op.sign();
    let (a, b) = (number(left, sign)?, number(right, sign)?);
    if b.is_zero() && matches!(op, Binary::Over | Binary::Rest) {
        return Err((format!("`{sign}` divides by zero"), None));
    }
    let result = match op {
        Binary::Plus => a.plus(b),
        Binary::Minus => a.minus(b),
        Binary::Times => a.times(b),
        Binary::Rest => a.rest(b),
        _ => a.over(b),
    };
    let wrong = || match op {
        Binary::Over => {
            let message = format!("{a} / {b} is no exact decimal of at most 18 places");
            let hint = "the whole part of a / b is (a - a % b) / b".to_owned();
            (message, Some(hint))
        }
        _ => inexact(sign),
    };
    Ok(Value::Known(Kind::Number(result.ok_or_else(wrong)?.to_string())))
}

/// The smallest or the largest of some numbers.
fn extreme(function: Function, values: &[Value]) -> Result<Value, Wrong> {
    let sign = if function == Function::Min { "min" } else { "max" };
    let mut best: Option<Decimal> = None;
    for value in values {
        let next = number(value, sign)?;
        let wanted = if function == Function::Min { Ordering::Less } else { Ordering::Greater };
        if best.is_none_or(|best| next.compare(best) == Some(wanted)) {
            best = Some(next);
        }
    }
    let best = best.ok_or_else(|| inexact(sign))?;
    Ok(Value::Known(Kind::Number(best.to_string())))
}
