//! Examples: rows of a table as a matrix of features, and what is true of each row.
//! Never knows where the rows came from nor what is trained on them.

mod spans;
mod truth;

pub use truth::Truth;

use super::backing::Room;
use super::model::Reads;
use super::port::Tables;
use super::recipe::Recipe;
use super::rows::{Growing, Rows};
use super::table::{Cells, Table};
use super::tokenizer::Tokenizer;
use super::{Fault, quote};
use crate::domain::job::Task;
use arrow_array::Array;
use spans::Spans;
use std::collections::BTreeSet;

/// Rows to learn from or to be measured on.
#[derive(Debug, Clone)]
pub struct Examples {
    /// The names of the features, in order.
    pub features: Vec<String>,
    /// The values, row by row: `rows × features.len()`.
    pub values: Rows,
    /// What a model should say of each row.
    pub truth: Truth,
    /// How the rows were made from raw ones.
    pub recipe: Recipe,
}

impl Examples {
    /// Rows of `context` tokens each, cut one after the other from the stream in the column `name`,
    /// with those that follow them. What is left at the end is too short for a row.
    ///
    /// Fails on a token that is not below `vocabulary`; without one, that of the table's tokenizer
    /// counts, or else the largest token.
    pub fn of_stream(
        tables: &dyn Tables,
        room: Room<'_>,
        name: &str,
        context: usize,
        vocabulary: Option<usize>,
    ) -> Result<Self, Fault> {
        let (mut all, mut recipe) = (Vec::new(), None);
        tables.each(&mut |table| {
            recipe.get_or_insert_with(|| table.recipe().clone());
            all.append(&mut tokens(table, name)?);
            Ok(())
        })?;
        let recipe = recipe.ok_or_else(nothing)?;
        let largest = all.iter().copied().max().unwrap_or(0) as usize + 1;
        let known = vocabulary.or_else(|| recipe.tokenizer().map(Tokenizer::size));
        let vocabulary = known.unwrap_or(largest);
        if largest > vocabulary {
            return Err(Fault::new(
                format!("the token {} is none of {vocabulary}", largest - 1),
                "tokenize both texts by one tokenizer",
            ));
        }
        let rows = all.len().saturating_sub(1) / context.max(1);
        let whole = rows * context;
        let mut values = Growing::new(room);
        for tokens in all.get(..whole).unwrap_or_default().chunks(TOKENS_AT_ONCE) {
            values.add(tokens.iter().map(|&token| token as f32).collect())?;
        }
        // What is left of them is the token behind each.
        all.truncate(whole + 1);
        all.drain(..1.min(all.len()));
        let truth = Truth::Tokens { vocabulary, context, of: all };
        Ok(Self { features: vec![name.to_owned()], values: values.end(context), truth, recipe })
    }

    /// Rows to learn from: every column but the targets is a feature, in the order of the table,
    /// or only those of `features`, in that order. The vocabulary of classes is the distinct
    /// cells of the target as text, ascending by bytes.
    ///
    /// Fails on a feature that is text, empty or beyond f32, and on a row whose target is empty or
    /// not what the task takes.
    pub fn from_table(
        tables: &dyn Tables,
        room: Room<'_>,
        task: Task,
        targets: &[String],
        features: Option<&[String]>,
    ) -> Result<Self, Fault> {
        let mut truth = truth::Growing::new(task, targets, None)?;
        let (mut values, mut known, mut rows) = (Growing::new(room), None, 0);
        let mut spans = Spans::default();
        tables.each(&mut |table| {
            truth.add(table, rows)?;
            if known.is_none() {
                known = Some((learned(table, targets, features)?, table.recipe().clone()));
            }
            let features = known.as_ref().map_or(&[][..], |(features, _)| features);
            values.add(matrix(table, features, rows)?)?;
            for (at, name) in features.iter().enumerate() {
                spans.see(at, table.column(name)?);
            }
            rows += table.rows();
            fits(rows)
        })?;
        let (features, recipe) = known.ok_or_else(nothing)?;
        spans.check(&features)?;
        Ok(Self { values: values.end(features.len()), features, truth: truth.end(), recipe })
    }

    /// Rows to measure a model on: its features and targets found by name, its classes by their
    /// vocabulary; columns that it does not know are left out.
    pub fn for_model(
        tables: &dyn Tables,
        room: Room<'_>,
        task: Task,
        targets: &[String],
        (features, classes): (&[String], &[String]),
    ) -> Result<Self, Fault> {
        let mut truth = truth::Growing::new(task, targets, Some(classes))?;
        let (mut values, mut recipe, mut rows) = (Growing::new(room), None, 0);
        tables.each(&mut |table| {
            truth.add(table, rows)?;
            values.add(matrix(table, features, rows)?)?;
            recipe.get_or_insert_with(|| table.recipe().clone());
            rows += table.rows();
            fits(rows)
        })?;
        let recipe = recipe.ok_or_else(nothing)?;
        let values = values.end(features.len());
        Ok(Self { features: features.to_vec(), values, truth: truth.end(), recipe })
    }

    /// The rows at these places, in this order; places that there are not are left out.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.clone(),
            values: self.values.pick(rows),
            truth: self.truth.pick(rows),
            recipe: self.recipe.clone(),
        }
    }

    /// What a model reads of them.
    #[must_use]
    pub fn reads(&self) -> Reads {
        let vocabulary = self.recipe.tokenizer().map_or(0, Tokenizer::size);
        Reads { features: self.width(), vocabulary }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.truth.rows()
    }

    /// How many numbers each row has: one per feature, or a token of each place.
    #[must_use]
    pub fn width(&self) -> usize {
        match self.truth {
            Truth::Tokens { context, .. } => context,
            _ => self.features.len(),
        }
    }
}

/// Tokens that become numbers at once.
const TOKENS_AT_ONCE: usize = 1 << 20;

fn nothing() -> Fault {
    Fault::new("there is no table", "connect an output that is a table")
}

/// Rows have numbers of 32 bits.
fn fits(rows: usize) -> Result<(), Fault> {
    match u32::try_from(rows) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(
            format!("there are more than {} rows", u32::MAX),
            "keep fewer rows when they are ingested",
        )),
    }
}

/// The columns of a table that are learned from.
fn learned(
    table: &Table,
    targets: &[String],
    features: Option<&[String]>,
) -> Result<Vec<String>, Fault> {
    let features = match features {
        Some(features) => features.to_vec(),
        None => table.columns().into_iter().filter(|name| !targets.contains(name)).collect(),
    };
    if features.is_empty() {
        return Err(Fault::new(
            format!("the table has no column but its target {}", quoted(targets)),
            "at least one more column is needed to predict it from",
        ));
    }
    if let Some(name) = features.iter().find(|name| targets.contains(name)) {
        return Err(Fault::new(
            format!("{} is both a feature and a target", quote(name)),
            "a model that reads the answer learns nothing: leave it out of `features`",
        ));
    }
    Ok(features)
}

/// A stream of tokens: numbers that an f32 can hold.
fn tokens(table: &Table, name: &str) -> Result<Vec<u32>, Fault> {
    const TOKENS_MAX: i64 = 1 << 24;
    let refused = |what: &str| {
        Fault::new(
            format!("column {} {what}", quote(name)),
            "a language model learns the column `token` of a stage `uses: tokenize`",
        )
    };
    let Cells::Integer(cells) = table.column(name)? else {
        return Err(refused("does not hold tokens"));
    };
    let token = |cell: Option<i64>| {
        let token = cell.filter(|token| (0..TOKENS_MAX).contains(token));
        token.and_then(|token| u32::try_from(token).ok())
    };
    let tokens = cells.iter().map(token).collect::<Option<Vec<_>>>();
    tokens.ok_or_else(|| refused("holds what is no token"))
}

fn twice(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

fn quoted(names: &[String]) -> String {
    names.iter().take(3).map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// The features row by row. Integers and reals are rounded to the nearest f32; false is 0, true 1.
///
/// Fails on a feature that is named twice, is text, empty or beyond f32. The rows are those from
/// `first` on.
pub(super) fn matrix(table: &Table, features: &[String], first: usize) -> Result<Vec<f32>, Fault> {
    // A model comes from outside: one that names a column again and again would make the matrix
    // larger than the table and any bound.
    if let Some(name) = twice(features) {
        return Err(Fault::new(
            format!("feature {} is named twice", quote(name)),
            "each column is one feature",
        ));
    }
    let columns = features
        .iter()
        .map(|name| feature(name, table.column(name)?, first))
        .collect::<Result<Vec<_>, _>>()?;
    let mut values = Vec::with_capacity(table.rows() * columns.len());
    for row in 0..table.rows() {
        values.extend(columns.iter().filter_map(|column| column.get(row)));
    }
    assert_eq!(values.len(), table.rows() * columns.len(), "columns are as long as their table");
    Ok(values)
}

fn feature(name: &str, cells: Cells<'_>, first: usize) -> Result<Vec<f32>, Fault> {
    match cells {
        Cells::Real(array) => finite(name, first, array.iter().map(|x| x.map(|x| x as f32))),
        Cells::Integer(array) => finite(name, first, array.iter().map(|x| x.map(|x| x as f32))),
        Cells::Truth(array) => finite(name, first, array.iter().map(|x| x.map(f32::from))),
        Cells::Text(array) => Err(match array.iter().position(|text| !is_number(text)) {
            Some(i) if array.is_valid(i) => text_fault(name, first + i, array.value(i)),
            _ => {
                let empty = array.iter().position(|text| text.is_none()).unwrap_or(0);
                null_fault(name, first + empty)
            }
        }),
    }
}

/// Whether a cell of a text column is not what makes the column text.
fn is_number(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.parse().is_ok_and(f64::is_finite))
}

fn finite(
    name: &str,
    first: usize,
    cells: impl Iterator<Item = Option<f32>>,
) -> Result<Vec<f32>, Fault> {
    let value = |(i, cell): (usize, Option<f32>)| match cell {
        None => Err(null_fault(name, i)),
        Some(value) if value.is_finite() => Ok(value),
        Some(_) => Err(Fault::new(
            format!("feature {} is beyond the range of f32 in row {}", quote(name), i + 1),
            "scale the column down in the source: models compute with 32 bits",
        )),
    };
    (first..).zip(cells).map(value).collect()
}

fn null_fault(name: &str, i: usize) -> Fault {
    Fault::new(
        format!("feature {} is empty in row {}", quote(name), i + 1),
        "`fill` the column or `filter` such rows out in a transform, or leave it out of the \
         `features`",
    )
}

fn text_fault(name: &str, i: usize, text: &str) -> Fault {
    let hint = if is_number(Some(text.trim())) {
        "spaces belong to a cell: remove those around numbers"
    } else {
        "features are numbers or true and false: encode it (`oneHot`, `hash`) or `drop` it in a \
         transform, or list the `features`"
    };
    Fault::new(format!("feature {} is text in row {}: {}", quote(name), i + 1, quote(text)), hint)
}

#[cfg(test)]
mod tests;
