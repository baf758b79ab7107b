//! The kinds of formulas: what the cells are that a formula gives, from those that it reads.
//! Never looks at a cell: a formula either fits the columns of a table or it does not.

use super::{Expr, Formula, Op, print};
use crate::domain::job::{Column, ColumnKind};

/// Why a formula does not fit a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// It reads a column that is not there.
    Column(String),
    /// Something in it is of the wrong kind: what, in a sentence without a full stop.
    Kind(String),
}

impl Formula {
    /// What its cells are over a table of these columns. `None` if they are always null.
    pub fn kind(&self, columns: &[Column]) -> Result<Option<ColumnKind>, Mismatch> {
        let find = |name: &str| columns.iter().find(|column| column.name == name);
        self.kind_by(&|name| find(name).map(|column| Some(column.kind)))
    }

    /// The same where the kind of a column that is there may be open: as one that is always null,
    /// it fits everywhere, so that what is found does not fit whatever that column is.
    pub fn kind_by(
        &self,
        find: &dyn Fn(&str) -> Option<Option<ColumnKind>>,
    ) -> Result<Option<ColumnKind>, Mismatch> {
        kind(&self.0, find)
    }
}

fn kind(
    expr: &Expr,
    find: &dyn Fn(&str) -> Option<Option<ColumnKind>>,
) -> Result<Option<ColumnKind>, Mismatch> {
    Ok(match expr {
        Expr::Column(name) => find(name).ok_or_else(|| Mismatch::Column(name.clone()))?,
        Expr::Null => None,
        Expr::Truth(_) => Some(ColumnKind::Truth),
        Expr::Integer(_) => Some(ColumnKind::Integer),
        Expr::Real(_) => Some(ColumnKind::Real),
        Expr::Text(_) => Some(ColumnKind::Text),
        Expr::Apply(op, args) => {
            let kinds = args.iter().map(|arg| kind(arg, find));
            let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
            applied(*op, args, &kinds)?
        }
    })
}

fn applied(
    op: Op,
    args: &[Expr],
    kinds: &[Option<ColumnKind>],
) -> Result<Option<ColumnKind>, Mismatch> {
    use ColumnKind::{Integer, Real, Text, Truth};
    let all = |noun: &str, fits: fn(ColumnKind) -> bool| {
        let stray = kinds.iter().zip(args).find(|(kind, _)| kind.is_some_and(|kind| !fits(kind)));
        match stray {
            Some((Some(kind), arg)) => Err(Mismatch::Kind(format!(
                "`{}` takes {noun}, but `{}` is {}",
                print::name(op),
                shown(arg),
                kind.called()
            ))),
            _ => Ok(()),
        }
    };
    let is_number = |kind| matches!(kind, Integer | Real);
    let joined = |kinds: &[Option<ColumnKind>]| {
        kinds.iter().try_fold(None, |sum, kind| join(sum, *kind)).ok_or_else(|| {
            let nouns: Vec<&str> = kinds.iter().flatten().map(|kind| kind.called()).collect();
            let name = print::name(op);
            Mismatch::Kind(format!("`{name}` takes values of one kind, not {}", nouns.join(", ")))
        })
    };
    Ok(match op {
        Op::Not | Op::And | Op::Or => {
            all("truth values", |kind| kind == Truth)?;
            Some(Truth)
        }
        Op::IsNull => Some(Truth),
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::In => {
            joined(kinds)?;
            Some(Truth)
        }
        Op::Div | Op::Sqrt | Op::Ln | Op::Exp => {
            all("numbers", is_number)?;
            Some(Real)
        }
        Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Rem
        | Op::Neg
        | Op::Abs
        | Op::Round
        | Op::Floor
        | Op::Ceil
        | Op::Min
        | Op::Max => {
            all("numbers", is_number)?;
            joined(kinds)?
        }
        Op::Length | Op::Lower | Op::Upper | Op::Contains | Op::StartsWith | Op::Replace => {
            all("text", |kind| kind == Text)?;
            Some(match op {
                Op::Length => Integer,
                Op::Lower | Op::Upper | Op::Replace => Text,
                _ => Truth,
            })
        }
        Op::Coalesce => joined(kinds)?,
        Op::If => {
            begins_with_truth(args, kinds)?;
            joined(kinds.get(1..).unwrap_or_default())?
        }
    })
}

/// What an `if` asks first is true or false.
fn begins_with_truth(args: &[Expr], kinds: &[Option<ColumnKind>]) -> Result<(), Mismatch> {
    match kinds.first() {
        Some(Some(kind)) if *kind != ColumnKind::Truth => {
            let condition = args.first().map(shown).unwrap_or_default();
            Err(Mismatch::Kind(format!("`if` takes a truth value first, not `{condition}`")))
        }
        _ => Ok(()),
    }
}

/// The kind that holds both; integers become reals beside reals.
fn join(a: Option<ColumnKind>, b: Option<ColumnKind>) -> Option<Option<ColumnKind>> {
    use ColumnKind::{Integer, Real};
    match (a, b) {
        (None, kind) | (kind, None) => Some(kind),
        (Some(a), Some(b)) if a == b => Some(Some(a)),
        (Some(Integer), Some(Real)) | (Some(Real), Some(Integer)) => Some(Some(Real)),
        _ => None,
    }
}

/// A node in a message: at most 40 characters of it.
fn shown(expr: &Expr) -> String {
    let text = expr.to_string();
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}
