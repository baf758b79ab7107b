//! The canonical text of a formula: the fewest brackets, one blank around what stands in between.
//! Never writes what `parse` would read as another formula.

use super::{Expr, FUNCTIONS, KEYWORDS, Op};
use std::fmt;

/// How tightly an operation holds its operands together: those of `or` fall apart first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Test,
    Sum,
    Product,
    Sign,
    Atom,
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) if is_bare(name) => f.write_str(name),
            Self::Column(name) => write!(f, "`{}`", name.replace('`', "``")),
            Self::Null => f.write_str("null"),
            Self::Truth(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            // `Debug` of a real always has a point or an exponent, and reads back to its bits.
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Apply(op, args) => apply(*op, args, f),
        }
    }
}

fn apply(op: Op, args: &[Expr], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (op, args) {
        (Op::Not, [Expr::Apply(Op::IsNull, inner)]) => {
            all(inner, Level::Sum, "", f)?;
            f.write_str(" is not null")
        }
        (Op::Not, [Expr::Apply(Op::In, inner)]) => membership(inner, " not in (", f),
        (Op::Not, _) => {
            f.write_str("not ")?;
            all(args, Level::Not, "", f)
        }
        (Op::IsNull, _) => {
            all(args, Level::Sum, "", f)?;
            f.write_str(" is null")
        }
        (Op::In, _) => membership(args, " in (", f),
        (Op::Neg, _) => {
            f.write_str("-")?;
            all(args, Level::Sign, "", f)
        }
        // Chains of these are one node: what is a node of its own below them needs brackets.
        (Op::And, _) => all(args, Level::Not, " and ", f),
        (Op::Or, _) => all(args, Level::And, " or ", f),
        (_, [left, right]) if infix(op).is_some() => {
            let (word, own) = infix(op).unwrap_or(("", Level::Atom));
            // Sums and products begin at the left; comparisons do not chain.
            let (before, after) = match own {
                Level::Sum => (Level::Sum, Level::Product),
                Level::Product => (Level::Product, Level::Sign),
                _ => (Level::Sum, Level::Sum),
            };
            at(left, before, f)?;
            write!(f, " {word} ")?;
            at(right, after, f)
        }
        _ => {
            let name = FUNCTIONS.iter().find(|(_, each, ..)| *each == op);
            write!(f, "{}(", name.map_or("", |(name, ..)| name))?;
            all(args, Level::Or, ", ", f)?;
            f.write_str(")")
        }
    }
}

fn membership(args: &[Expr], word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (first, rest) = args.split_at(1.min(args.len()));
    all(first, Level::Sum, "", f)?;
    f.write_str(word)?;
    all(rest, Level::Or, ", ", f)?;
    f.write_str(")")
}

fn all(args: &[Expr], least: Level, between: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        at(arg, least, f)?;
    }
    Ok(())
}

/// The node, in brackets if it would fall apart where at least this level is asked for.
fn at(expr: &Expr, least: Level, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if level(expr) < least { write!(f, "({expr})") } else { write!(f, "{expr}") }
}

fn level(expr: &Expr) -> Level {
    match expr {
        Expr::Apply(Op::Not, args) => match args.as_slice() {
            [Expr::Apply(Op::IsNull | Op::In, _)] => Level::Test,
            _ => Level::Not,
        },
        Expr::Apply(Op::And, _) => Level::And,
        Expr::Apply(Op::Or, _) => Level::Or,
        Expr::Apply(Op::IsNull | Op::In, _) => Level::Test,
        Expr::Apply(Op::Neg, _) => Level::Sign,
        Expr::Apply(op, _) => infix(*op).map_or(Level::Atom, |(_, level)| level),
        _ => Level::Atom,
    }
}

const fn infix(op: Op) -> Option<(&'static str, Level)> {
    Some(match op {
        Op::Eq => ("=", Level::Test),
        Op::Ne => ("!=", Level::Test),
        Op::Lt => ("<", Level::Test),
        Op::Le => ("<=", Level::Test),
        Op::Gt => (">", Level::Test),
        Op::Ge => (">=", Level::Test),
        Op::Add => ("+", Level::Sum),
        Op::Sub => ("-", Level::Sum),
        Op::Mul => ("*", Level::Product),
        Op::Div => ("/", Level::Product),
        Op::Rem => ("%", Level::Product),
        _ => return None,
    })
}

/// Whether a column can stand without backticks.
fn is_bare(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
        && !KEYWORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// What a person calls an operation.
pub(super) fn name(op: Op) -> &'static str {
    match op {
        Op::Not => "not",
        Op::And => "and",
        Op::Or => "or",
        Op::IsNull => "is null",
        Op::In => "in",
        Op::Neg => "-",
        _ => match infix(op) {
            Some((word, _)) => word,
            None => FUNCTIONS.iter().find(|(_, each, ..)| *each == op).map_or("", |f| f.0),
        },
    }
}
