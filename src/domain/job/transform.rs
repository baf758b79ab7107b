//! Transforms: the steps that turn one table into another, in order.
//! Never computes a cell, and never knows what a step learns from the rows: `compute` does.

use super::{ColumnKind, Formula, Tokenize};
use crate::base::canon::{canonical_enum, canonical_struct};

/// `uses: transform`: input `table`, perhaps `right` (of a join) or `fitted` (an earlier recipe);
/// outputs `table` and `fitted`.
#[derive(Clone, PartialEq, Debug)]
pub struct Transform {
    /// What is done, in order; empty where an earlier recipe is applied.
    pub steps: Vec<Step>,
}
canonical_struct!(Transform { steps });

/// One step of a transform.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Keeps these columns, in this order.
    Select(Vec<String>),
    /// Leaves these columns out.
    Drop(Vec<String>),
    /// Gives columns other names: the old one and the new one of each.
    Rename(Vec<(String, String)>),
    /// Turns cells into another kind.
    Cast(Cast),
    /// Puts values where there are none.
    Fill(Fill),
    /// Computes columns from those of the same row, one after the other.
    Derive(Vec<(String, Formula)>),
    /// Replaces columns by one column for each of their values.
    OneHot(OneHot),
    /// Shifts and scales numbers by what they are over all rows.
    Scale(Scale),
    /// Replaces a text column by counts of its words in buckets.
    Hash(Hash),
    /// Keeps the rows for which a formula holds.
    Filter(Formula),
    /// Keeps the first of all rows that are equal in these columns; in all, if there are none.
    Dedupe(Vec<String>),
    /// Orders the rows by columns, the first above all.
    Sort(Vec<(String, Direction)>),
    /// Brings the rows into an order by lot.
    Shuffle {
        /// Seed of the lot.
        seed: u64,
    },
    /// Keeps rows by lot, in their order.
    Sample(Sample),
    /// Adds the columns of the rows of another table that have the same keys.
    Join(Join),
    /// Turns each group of rows into one.
    Aggregate(Aggregate),
    /// Turns a text column into tokens.
    Tokenize(Tokenize),
}
canonical_enum!(Step {
    1 => Select(x),
    2 => Drop(x),
    3 => Rename(x),
    4 => Cast(x),
    5 => Fill(x),
    6 => Derive(x),
    7 => OneHot(x),
    8 => Scale(x),
    9 => Hash(x),
    10 => Filter(x),
    11 => Dedupe(x),
    12 => Sort(x),
    13 => Shuffle { seed },
    14 => Sample(x),
    15 => Join(x),
    16 => Aggregate(x),
    17 => Tokenize(x),
});

/// Turns cells into another kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cast {
    /// The columns, and what they become.
    pub columns: Vec<(String, ColumnKind)>,
    /// What becomes of a cell that cannot be read so.
    pub on_bad_cell: OnBadCell,
}
canonical_struct!(Cast { columns, on_bad_cell });

/// What becomes of a cell that cannot be read as another kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnBadCell {
    /// The job fails.
    Fail,
    /// The cell becomes null.
    Null,
}
canonical_enum!(OnBadCell { 1 => Fail, 2 => Null });

/// Puts values where there are none.
#[derive(Clone, PartialEq, Debug)]
pub struct Fill {
    /// The columns.
    pub columns: Vec<String>,
    /// Which value.
    pub with: Filling,
}
canonical_struct!(Fill { columns, with });

/// What is put where there is no value.
#[derive(Clone, PartialEq, Debug)]
pub enum Filling {
    /// This, whatever the column holds.
    Value(Cell),
    /// The mean of the column.
    Mean,
    /// The median of the column.
    Median,
    /// The most frequent value of the column.
    Mode,
    /// The value of the nearest row above that has one.
    Previous,
}
canonical_enum!(Filling { 1 => Value(x), 2 => Mean, 3 => Median, 4 => Mode, 5 => Previous });

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// A finite real.
    Real(f64),
    /// An integer.
    Integer(i64),
    /// Text.
    Text(String),
    /// True or false.
    Truth(bool),
}
canonical_enum!(Cell { 1 => Real(x), 2 => Integer(x), 3 => Text(x), 4 => Truth(x) });

/// Replaces columns by one column for each of their values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneHot {
    /// The columns.
    pub columns: Vec<String>,
    /// What becomes of a value that the fit has not seen.
    pub unknown: Unknown,
}
canonical_struct!(OneHot { columns, unknown });

/// What becomes of a value that the fit has not seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// It is none of the known ones: zeros.
    Zeros,
    /// The job fails.
    Fail,
}
canonical_enum!(Unknown { 1 => Zeros, 2 => Fail });

/// Shifts and scales numbers by what they are over all rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scale {
    /// The columns.
    pub columns: Vec<String>,
    /// To what.
    pub to: ScaleTo,
}
canonical_struct!(Scale { columns, to });

/// What numbers are shifted and scaled to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScaleTo {
    /// Mean 0 and standard deviation 1.
    Standard,
    /// Smallest 0 and largest 1.
    MinMax,
}
canonical_enum!(ScaleTo { 1 => Standard, 2 => MinMax });

/// Replaces a text column by counts of its words in buckets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hash {
    /// The column.
    pub column: String,
    /// How many buckets there are.
    pub buckets: u32,
}
canonical_struct!(Hash { column, buckets });

/// Which end comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The smallest.
    Ascending,
    /// The largest.
    Descending,
}
canonical_enum!(Direction { 1 => Ascending, 2 => Descending });

/// Keeps rows by lot, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// How many.
    pub size: SampleSize,
    /// Seed of the lot.
    pub seed: u64,
}
canonical_struct!(Sample { size, seed });

/// How many rows a sample has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SampleSize {
    /// So many; all, if there are no more.
    Rows(u64),
    /// So many of 10⁹, rounded down, but at least one.
    PartsPerBillion(u64),
}
canonical_enum!(SampleSize { 1 => Rows(x), 2 => PartsPerBillion(x) });

/// Adds the columns of the rows of another table that have the same keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// Columns of both tables.
    pub on: Vec<String>,
    /// What becomes of a row without a partner.
    pub kind: JoinKind,
}
canonical_struct!(Join { on, kind });

/// What becomes of a row without a partner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinKind {
    /// It is left out.
    Inner,
    /// It stays, with nulls in the columns of the other table.
    Left,
}
canonical_enum!(JoinKind { 1 => Inner, 2 => Left });

/// Turns each group of rows into one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// The columns in which the rows of a group are equal; none makes one group of all rows.
    pub by: Vec<String>,
    /// The columns of the result besides those, and what each measures.
    pub measures: Vec<(String, Measure)>,
}
canonical_struct!(Aggregate { by, measures });

/// What is measured of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measure {
    /// What is done with the values.
    pub of: Summary,
    /// The column; `None` counts rows.
    pub column: Option<String>,
}
canonical_struct!(Measure { of, column });

/// What is done with the values of a group, nulls left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Summary {
    /// How many there are.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// That of the first row that has one.
    First,
    /// How many different ones there are.
    Distinct,
}
canonical_enum!(Summary {
    1 => Count,
    2 => Sum,
    3 => Mean,
    4 => Min,
    5 => Max,
    6 => First,
    7 => Distinct,
});

impl Transform {
    /// Whether each row of the result follows from one row of the table and nothing else, so that
    /// the parts of a table may be transformed one by one.
    #[must_use]
    pub fn is_row_wise(&self) -> bool {
        self.steps.iter().all(|step| step.is_row_wise() && !step.is_fitted())
    }

    /// Whether it does nothing but tokenise: then its tokenizer is an output.
    #[must_use]
    pub fn tokenizes(&self) -> bool {
        matches!(self.steps.as_slice(), [Step::Tokenize(_)])
    }

    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![("steps", self != other)]
    }
}

impl Step {
    /// Whether it goes with a model: what it does to a row follows from that row, and from what it
    /// learned when it was fitted.
    #[must_use]
    pub const fn is_row_wise(&self) -> bool {
        match self {
            Self::Fill(fill) => !matches!(fill.with, Filling::Previous),
            Self::Select(_)
            | Self::Drop(_)
            | Self::Rename(_)
            | Self::Cast(_)
            | Self::Derive(_)
            | Self::OneHot(_)
            | Self::Scale(_)
            | Self::Hash(_)
            | Self::Tokenize(_) => true,
            Self::Filter(_)
            | Self::Dedupe(_)
            | Self::Sort(_)
            | Self::Shuffle { .. }
            | Self::Sample(_)
            | Self::Join(_)
            | Self::Aggregate(_) => false,
        }
    }

    /// Whether it learns something from the rows that it is given.
    #[must_use]
    pub const fn is_fitted(&self) -> bool {
        match self {
            Self::Fill(fill) => !matches!(fill.with, Filling::Value(_) | Filling::Previous),
            Self::OneHot(_) | Self::Scale(_) => true,
            Self::Tokenize(tokenize) => tokenize.by.is_fitted(),
            _ => false,
        }
    }
}
