//! Examples: rows of a table as a matrix of features, and what is true of each row.
//! Never knows where the rows came from nor what is trained on them.

use super::model::Reads;
use super::recipe::Recipe;
use super::table::{Cells, Table, TextsKept, nearest};
use super::tokenizer::Tokenizer;
use super::{Fault, quote};
use crate::base::limits;
use crate::domain::job::Task;
use arrow_array::Array;
use std::collections::BTreeSet;

/// Rows to learn from or to be measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// The names of the features, in order.
    pub features: Vec<String>,
    /// The values, row by row: `rows × features.len()`.
    pub values: Vec<f32>,
    /// What a model should say of each row.
    pub truth: Truth,
    /// How the rows were made from raw ones.
    pub recipe: Recipe,
}

/// What is true of every row.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// Each row is of one class.
    Classes {
        /// The vocabulary, ascending by bytes.
        classes: Vec<String>,
        /// The class of each row: an index into the vocabulary.
        of: Vec<u32>,
    },
    /// Each row has a number.
    Real(Vec<f64>),
    /// Each token of a row has one that follows it.
    Tokens {
        /// How many different tokens there are.
        vocabulary: usize,
        /// Tokens of a row.
        context: usize,
        /// The token that follows each: `rows × context`.
        of: Vec<u32>,
    },
    /// Each row has some of the labels.
    Labels {
        /// The labels: the names of their columns.
        labels: Vec<String>,
        /// 1 where a row has a label, else 0: `rows × labels`.
        of: Vec<f32>,
    },
}

impl Truth {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { of, .. } => of.len(),
            Self::Real(of) => of.len(),
            Self::Tokens { context, of, .. } => of.len() / (*context).max(1),
            Self::Labels { labels, of } => of.len() / labels.len().max(1),
        }
    }

    /// What a model says of a row: classes, labels, or nothing where it is a number.
    #[must_use]
    pub fn vocabulary(&self) -> &[String] {
        match self {
            Self::Classes { classes, .. } => classes,
            Self::Real(_) | Self::Tokens { .. } => &[],
            Self::Labels { labels, .. } => labels,
        }
    }
}

impl Examples {
    /// Rows of `context` tokens each, cut one after the other from the stream in the column `name`,
    /// with those that follow them. What is left at the end is too short for a row.
    ///
    /// Fails on a token that is not below `vocabulary`; without one, that of the table's tokenizer
    /// counts, or else the largest token.
    pub fn of_stream(
        table: &Table,
        name: &str,
        context: usize,
        vocabulary: Option<usize>,
    ) -> Result<Self, Fault> {
        let tokens = tokens(table, name)?;
        let largest = tokens.iter().copied().max().unwrap_or(0) as usize + 1;
        let vocabulary = vocabulary.unwrap_or(largest);
        if largest > vocabulary {
            return Err(Fault::new(
                format!("the token {} is none of {vocabulary}", largest - 1),
                "tokenize both texts by one tokenizer",
            ));
        }
        let rows = tokens.len().saturating_sub(1) / context.max(1);
        let whole = rows * context;
        let values = tokens.iter().take(whole).map(|&token| token as f32).collect();
        let of = tokens.iter().skip(1).take(whole).copied().collect();
        let truth = Truth::Tokens { vocabulary, context, of };
        Ok(Self { features: vec![name.to_owned()], values, truth, recipe: table.recipe().clone() })
    }

    /// Rows to learn from: every column but the targets is a feature, in the order of the table,
    /// or only those of `features`, in that order. The vocabulary of classes is the distinct
    /// cells of the target as text, ascending by bytes.
    ///
    /// Fails on a feature that is text, empty or beyond f32, and on a row whose target is empty or
    /// not what the task takes.
    pub fn from_table(
        table: &Table,
        task: Task,
        targets: &[String],
        features: Option<&[String]>,
    ) -> Result<Self, Fault> {
        let truth = truth(table, task, targets, None)?;
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
        let values = matrix(table, &features)?;
        Ok(Self { features, values, truth, recipe: table.recipe().clone() })
    }

    /// Rows to measure a model on: its features and targets found by name, its classes by their
    /// vocabulary; columns that it does not know are left out.
    pub fn for_model(
        table: &Table,
        task: Task,
        targets: &[String],
        features: &[String],
        classes: &[String],
    ) -> Result<Self, Fault> {
        let truth = truth(table, task, targets, Some(classes))?;
        let values = matrix(table, features)?;
        let recipe = table.recipe().clone();
        Ok(Self { features: features.to_vec(), values, truth, recipe })
    }

    /// The rows at these places, in this order; places that there are not are left out.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Self {
        fn picked<T: Copy>(of: &[T], width: usize, rows: &[usize]) -> Vec<T> {
            let row = |&row: &usize| of.get(row * width..(row + 1) * width);
            rows.iter().filter_map(row).flatten().copied().collect()
        }
        let truth = match &self.truth {
            Truth::Classes { classes, of } => {
                Truth::Classes { classes: classes.clone(), of: picked(of, 1, rows) }
            }
            Truth::Real(of) => Truth::Real(picked(of, 1, rows)),
            &Truth::Tokens { vocabulary, context, ref of } => {
                Truth::Tokens { vocabulary, context, of: picked(of, context, rows) }
            }
            Truth::Labels { labels, of } => {
                Truth::Labels { labels: labels.clone(), of: picked(of, labels.len(), rows) }
            }
        };
        Self {
            features: self.features.clone(),
            values: picked(&self.values, self.width(), rows),
            truth,
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

/// What is true of each row; `classes` is the vocabulary, if there is one already.
fn truth(
    table: &Table,
    task: Task,
    targets: &[String],
    classes: Option<&[String]>,
) -> Result<Truth, Fault> {
    match (task, targets) {
        (Task::Classification, [target]) => {
            let cells = labels(table, target)?;
            let classes = match classes {
                Some(classes) => classes.to_vec(),
                None => vocabulary(&cells, target)?,
            };
            let of = indices(&cells, &classes, target)?;
            Ok(Truth::Classes { classes, of })
        }
        (Task::Regression, [target]) => numbers(table, target).map(Truth::Real),
        (Task::MultiLabel, [_, ..]) => {
            if let Some(name) = twice(targets) {
                return Err(Fault::new(
                    format!("label {} is named twice", quote(name)),
                    "each label is one column",
                ));
            }
            let columns =
                targets.iter().map(|name| marks(table, name)).collect::<Result<Vec<_>, _>>()?;
            let of = (0..table.rows())
                .flat_map(|row| columns.iter().filter_map(move |column| column.get(row).copied()));
            Ok(Truth::Labels { labels: targets.to_vec(), of: of.collect() })
        }
        _ => Err(Fault::new(
            format!("{} targets do not fit the task", targets.len()),
            "multi-label learns one label or more, every other task one target",
        )),
    }
}

/// The distinct labels, ascending by bytes.
fn vocabulary(labels: &[String], target: &str) -> Result<Vec<String>, Fault> {
    let classes: Vec<_> = labels.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
    // A model has an output per class: as many as it may have inputs.
    if classes.len() > limits::COLUMNS_MAX {
        return Err(Fault::new(
            format!("column {} has {} distinct labels", quote(target), classes.len()),
            format!(
                "at most {} are learned: a number is predicted with `task: regression`",
                limits::COLUMNS_MAX
            ),
        ));
    }
    Ok(classes)
}

/// The numbers of a target, none of them missing.
fn numbers(table: &Table, target: &str) -> Result<Vec<f64>, Fault> {
    let cells: Vec<Option<f64>> = match table.column(target)? {
        Cells::Real(array) => array.iter().collect(),
        Cells::Integer(array) => array.iter().map(|x| x.map(|x| x as f64)).collect(),
        cells => {
            return Err(Fault::new(
                format!("column {} is {}, not number", quote(target), cells.kind().word()),
                "a regression predicts numbers: cast the column, or use `task: classification`",
            ));
        }
    };
    let number = |(i, cell): (usize, Option<f64>)| match cell {
        // Its square must not leave f64, nor it itself f32.
        Some(x) if x.abs() < f64::from(f32::MAX) => Ok(x),
        Some(_) => Err(Fault::new(
            format!("column {} is beyond the range of f32 in row {}", quote(target), i + 1),
            "scale the column down in the source: models compute with 32 bits",
        )),
        None => Err(unlabelled(target, i)),
    };
    cells.into_iter().enumerate().map(number).collect()
}

/// A column of a multi-label target: 1 where the row has the label, else 0.
fn marks(table: &Table, target: &str) -> Result<Vec<f32>, Fault> {
    let cells: Vec<Option<f64>> = match table.column(target)? {
        Cells::Truth(array) => {
            array.iter().map(|x| x.map(|has| if has { 1.0 } else { 0.0 })).collect()
        }
        Cells::Real(array) => array.iter().collect(),
        Cells::Integer(array) => array.iter().map(|x| x.map(|x| x as f64)).collect(),
        Cells::Text(array) => array.iter().map(|text| text.map(|_| f64::NAN)).collect(),
    };
    let mark = |(i, cell): (usize, Option<f64>)| match cell {
        Some(0.0) => Ok(0.0),
        Some(1.0) => Ok(1.0),
        Some(_) => Err(Fault::new(
            format!("label {} is neither 0 nor 1 in row {}", quote(target), i + 1),
            "a label is a column of 0 and 1, or of true and false: a `oneHot` makes such columns",
        )),
        None => Err(unlabelled(target, i)),
    };
    cells.into_iter().enumerate().map(mark).collect()
}

fn twice(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

fn quoted(names: &[String]) -> String {
    names.iter().take(3).map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

fn unlabelled(target: &str, i: usize) -> Fault {
    Fault::new(
        format!("column {} has no label in row {}", quote(target), i + 1),
        "leave rows without a label out of the source",
    )
}

/// The label of each row, as text.
fn labels(table: &Table, target: &str) -> Result<Vec<String>, Fault> {
    let mut kept = TextsKept::default();
    let labels = table.column(target)?.each_text().enumerate().map(|(i, label)| {
        let label = label.ok_or_else(|| unlabelled(target, i))?;
        kept.add(&label)?;
        Ok(label.into_owned())
    });
    labels.collect()
}

/// The place of each label in an ascending vocabulary.
fn indices(labels: &[String], classes: &[String], target: &str) -> Result<Vec<u32>, Fault> {
    let index = |(i, label): (usize, &String)| {
        let place = classes.binary_search(label).ok().and_then(|place| u32::try_from(place).ok());
        place.ok_or_else(|| {
            let hint = match nearest(label, classes) {
                Some(near) => format!("did you mean {}?", quote(near)),
                None => "train on rows of every class; a stratified split keeps them all".into(),
            };
            Fault::new(
                format!(
                    "column {} has the label {} in row {}, which the model never saw",
                    quote(target),
                    quote(label),
                    i + 1
                ),
                hint,
            )
        })
    };
    labels.iter().enumerate().map(index).collect()
}

/// The features row by row. Integers and reals are rounded to the nearest f32; false is 0, true 1.
///
/// Fails on a feature that is named twice, is text, empty or beyond f32.
pub(super) fn matrix(table: &Table, features: &[String]) -> Result<Vec<f32>, Fault> {
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
        .map(|name| feature(name, table.column(name)?))
        .collect::<Result<Vec<_>, _>>()?;
    let mut values = Vec::with_capacity(table.rows() * columns.len());
    for row in 0..table.rows() {
        values.extend(columns.iter().filter_map(|column| column.get(row)));
    }
    assert_eq!(values.len(), table.rows() * columns.len(), "columns are as long as their table");
    Ok(values)
}

fn feature(name: &str, cells: Cells<'_>) -> Result<Vec<f32>, Fault> {
    match cells {
        Cells::Real(array) => finite(name, array.iter().map(|x| x.map(|x| x as f32))),
        Cells::Integer(array) => finite(name, array.iter().map(|x| x.map(|x| x as f32))),
        Cells::Truth(array) => finite(name, array.iter().map(|x| x.map(f32::from))),
        Cells::Text(array) => Err(match array.iter().position(|text| !is_number(text)) {
            Some(i) if array.is_valid(i) => text_fault(name, i, array.value(i)),
            _ => null_fault(name, array.iter().position(|text| text.is_none()).unwrap_or(0)),
        }),
    }
}

/// Whether a cell of a text column is not what makes the column text.
fn is_number(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.parse().is_ok_and(f64::is_finite))
}

fn finite(name: &str, cells: impl Iterator<Item = Option<f32>>) -> Result<Vec<f32>, Fault> {
    let value = |(i, cell): (usize, Option<f32>)| match cell {
        None => Err(null_fault(name, i)),
        Some(value) if value.is_finite() => Ok(value),
        Some(_) => Err(Fault::new(
            format!("feature {} is beyond the range of f32 in row {}", quote(name), i + 1),
            "scale the column down in the source: models compute with 32 bits",
        )),
    };
    cells.enumerate().map(value).collect()
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
