//! Formulas: what a filter keeps and what a derived column holds, as a small language over columns.
//! Never computes a cell: `compute` does. Knows its syntax, its one canonical text and its kinds.
//!
//! ```text
//! or      := and ('or' and)*
//! and     := not ('and' not)*
//! not     := 'not' not | test
//! test    := sum [('=' | '==' | '!=' | '<>' | '<' | '<=' | '>' | '>=') sum
//!                | 'is' ['not'] 'null' | ['not'] 'in' '(' or (',' or)* ')']
//! sum     := product (('+' | '-') product)*
//! product := sign (('*' | '/' | '%') sign)*
//! sign    := '-' sign | atom
//! atom    := number | 'text' | true | false | null | column | `any column`
//!          | function '(' or (',' or)* ')' | '(' or ')'
//! ```
//!
//! The canonical bytes of a formula are its canonical text: what [`parse`](Formula::parse) makes of
//! that is the same formula, and a text that is not the canonical one does not decode.

mod kinds;
mod parse;
mod print;

pub use kinds::Mismatch;
pub use parse::Unreadable;

use crate::base::canon::{Decode, DecodeError, Encode, Reader, Writer};
use std::collections::BTreeSet;
use std::fmt;

/// A formula: its depth and its size are bounded.
#[derive(Clone, PartialEq, Debug)]
pub struct Formula(Expr);

/// A node of a formula.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// The cell of a column.
    Column(String),
    /// No value.
    Null,
    /// True or false.
    Truth(bool),
    /// A whole number.
    Integer(i64),
    /// A finite real.
    Real(f64),
    /// Text.
    Text(String),
    /// An operation on the values of other nodes.
    Apply(Op, Vec<Self>),
}

/// What is done with values. A result that is no finite number of its kind is null, and so is every
/// result of a null, but for `and`, `or`, `is null`, `coalesce` and `if`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// The other truth value.
    Not,
    /// Whether all hold; false if one does not, whatever is null.
    And,
    /// Whether one holds; true if one does, whatever is null.
    Or,
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Whether there is no value.
    IsNull,
    /// Whether the first equals one of the others.
    In,
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient: always a real.
    Div,
    /// What is left of a division; it has the sign of what is divided.
    Rem,
    /// The number with the other sign.
    Neg,
    /// The number without its sign.
    Abs,
    /// The nearest whole number; halves go away from zero.
    Round,
    /// The largest whole number that is not larger.
    Floor,
    /// The smallest whole number that is not smaller.
    Ceil,
    /// The square root.
    Sqrt,
    /// The natural logarithm.
    Ln,
    /// The exponential.
    Exp,
    /// The smallest of the numbers.
    Min,
    /// The largest of the numbers.
    Max,
    /// Characters of a text.
    Length,
    /// The text in lower case.
    Lower,
    /// The text in upper case.
    Upper,
    /// Whether the first text has the second in it.
    Contains,
    /// Whether the first text begins with the second.
    StartsWith,
    /// The first text, where each second in it has become the third.
    Replace,
    /// The first that is not null.
    Coalesce,
    /// The second if the first holds, else the third.
    If,
}

/// Bytes that `replace` may make a text longer by; what would be longer still is null.
pub const REPLACE_GROWTH_MAX: u64 = 4_096;

/// The operations that are written as functions: name, the fewest and the most arguments.
const FUNCTIONS: &[(&str, Op, usize, usize)] = &[
    ("abs", Op::Abs, 1, 1),
    ("round", Op::Round, 1, 1),
    ("floor", Op::Floor, 1, 1),
    ("ceil", Op::Ceil, 1, 1),
    ("sqrt", Op::Sqrt, 1, 1),
    ("ln", Op::Ln, 1, 1),
    ("exp", Op::Exp, 1, 1),
    ("min", Op::Min, 2, usize::MAX),
    ("max", Op::Max, 2, usize::MAX),
    ("length", Op::Length, 1, 1),
    ("lower", Op::Lower, 1, 1),
    ("upper", Op::Upper, 1, 1),
    ("contains", Op::Contains, 2, 2),
    ("starts_with", Op::StartsWith, 2, 2),
    ("replace", Op::Replace, 3, 3),
    ("coalesce", Op::Coalesce, 2, usize::MAX),
    ("if", Op::If, 3, 3),
];

/// The functions that a formula may call, each with the fewest and the most arguments.
pub fn functions() -> impl Iterator<Item = (&'static str, usize, usize)> {
    FUNCTIONS.iter().map(|(name, _, min, max)| (*name, *min, *max))
}

/// Words that name no column unless they stand in backticks.
const KEYWORDS: &[&str] = &["and", "or", "not", "is", "in", "null", "true", "false"];

impl Formula {
    /// The formula that a text describes.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        parse::formula(text, parse::BYTES_MAX).map(Self)
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> &Expr {
        &self.0
    }

    /// The columns that it reads.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<&str> {
        fn visit<'a>(expr: &'a Expr, found: &mut BTreeSet<&'a str>) {
            match expr {
                Expr::Column(name) => {
                    found.insert(name);
                }
                Expr::Apply(_, args) => args.iter().for_each(|arg| visit(arg, found)),
                _ => {}
            }
        }
        let mut found = BTreeSet::new();
        visit(&self.0, &mut found);
        found
    }

    /// Bytes that its text may be longer by than those that it reads, at the most.
    #[must_use]
    pub fn growth(&self) -> u64 {
        fn count(expr: &Expr) -> u64 {
            let Expr::Apply(op, args) = expr else { return 0 };
            let may_grow = match (op, args.as_slice()) {
                (Op::Replace, [_, Expr::Text(old), Expr::Text(new)]) => new.len() > old.len(),
                (op, _) => *op == Op::Replace,
            };
            let own = if may_grow { REPLACE_GROWTH_MAX } else { 0 };
            args.iter().map(count).fold(own, u64::saturating_add)
        }
        count(&self.0)
    }

    /// How many operations a row takes: at least 1.
    #[must_use]
    pub fn operations(&self) -> u64 {
        fn count(expr: &Expr) -> u64 {
            match expr {
                Expr::Apply(_, args) => 1 + args.iter().map(count).sum::<u64>(),
                _ => 0,
            }
        }
        count(&self.0).max(1)
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Encode for Formula {
    fn encode(&self, w: &mut Writer) {
        self.to_string().encode(w);
    }
}

impl Decode for Formula {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = String::decode(r)?;
        let expr = parse::formula(&text, parse::CANONICAL_BYTES_MAX);
        let formula = Self(expr.map_err(|_| DecodeError::OutOfRange)?);
        if formula.to_string() == text { Ok(formula) } else { Err(DecodeError::OutOfRange) }
    }
}

#[cfg(test)]
mod tests;
