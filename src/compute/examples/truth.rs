//! Truth: what is true of each row, from the columns of a table.
//! Never asks what the other columns hold.

use super::twice;
use crate::base::limits;
use crate::compute::table::{Cells, Table, TextsKept, nearest};
use crate::compute::{Fault, quote};
use crate::domain::job::Task;
use std::collections::BTreeMap;

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

    /// What is true of the rows at these places, in this order; places that there are not are left
    /// out.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Self {
        fn picked<T: Copy>(of: &[T], width: usize, rows: &[usize]) -> Vec<T> {
            let row = |&row: &usize| of.get(row * width..(row + 1) * width);
            rows.iter().filter_map(row).flatten().copied().collect()
        }
        match self {
            Self::Classes { classes, of } => {
                Self::Classes { classes: classes.clone(), of: picked(of, 1, rows) }
            }
            Self::Real(of) => Self::Real(picked(of, 1, rows)),
            &Self::Tokens { vocabulary, context, ref of } => {
                Self::Tokens { vocabulary, context, of: picked(of, context, rows) }
            }
            Self::Labels { labels, of } => {
                Self::Labels { labels: labels.clone(), of: picked(of, labels.len(), rows) }
            }
        }
    }
}

/// What is true of rows that come table after table.
pub(super) struct Growing<'a> {
    targets: &'a [String],
    /// The columns that are read.
    so_far: SoFar<'a>,
}

enum SoFar<'a> {
    /// Classes in the order in which they came first, each with its number, and that of each row.
    Classes {
        known: BTreeMap<String, u32>,
        of: Vec<u32>,
    },
    /// Classes of a vocabulary that there is already.
    Known {
        classes: &'a [String],
        of: Vec<u32>,
    },
    Real(Vec<f64>),
    Labels(Vec<f32>),
}

impl<'a> Growing<'a> {
    /// Of no row; `classes` is the vocabulary, if there is one already.
    pub(super) fn new(
        task: Task,
        targets: &'a [String],
        classes: Option<&'a [String]>,
    ) -> Result<Self, Fault> {
        let so_far = match (task, targets, classes) {
            (Task::Classification, [_], None) => {
                SoFar::Classes { known: BTreeMap::new(), of: Vec::new() }
            }
            (Task::Classification, [_], Some(classes)) => SoFar::Known { classes, of: Vec::new() },
            (Task::Regression, [_], _) => SoFar::Real(Vec::new()),
            (Task::MultiLabel, [_, ..], _) => SoFar::Labels(Vec::new()),
            _ => {
                return Err(Fault::new(
                    format!("{} targets do not fit the task", targets.len()),
                    "multi-label learns one label or more, every other task one target",
                ));
            }
        };
        if let (SoFar::Labels(_), Some(name)) = (&so_far, twice(targets)) {
            return Err(Fault::new(
                format!("label {} is named twice", quote(name)),
                "each label is one column",
            ));
        }
        Ok(Self { targets, so_far })
    }

    /// That of the rows of a table, which are the ones from `first` on.
    pub(super) fn add(&mut self, table: &Table, first: usize) -> Result<(), Fault> {
        let target = self.targets.first().map_or("", String::as_str);
        match &mut self.so_far {
            SoFar::Classes { known, of } => {
                for label in labels(table, target, first)? {
                    let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                    of.push(*known.entry(label).or_insert(next));
                }
                if known.len() > limits::COLUMNS_MAX {
                    return Err(too_many(known.len(), target));
                }
            }
            SoFar::Known { classes, of } => {
                of.extend(indices(&labels(table, target, first)?, classes, target, first)?);
            }
            SoFar::Real(of) => of.extend(numbers(table, target, first)?),
            SoFar::Labels(of) => {
                let columns = self.targets.iter().map(|name| marks(table, name, first));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                of.extend((0..table.rows()).flat_map(|row| {
                    columns.iter().filter_map(move |column| column.get(row).copied())
                }));
            }
        }
        Ok(())
    }

    /// That of all rows.
    pub(super) fn end(self) -> Truth {
        match self.so_far {
            SoFar::Classes { known, mut of } => {
                // A class is numbered by its place among all, ascending by bytes.
                let mut places = vec![0u32; known.len()];
                for (place, came) in (0u32..).zip(known.values()) {
                    places.get_mut(*came as usize).into_iter().for_each(|at| *at = place);
                }
                for class in &mut of {
                    *class = places.get(*class as usize).copied().unwrap_or_default();
                }
                Truth::Classes { classes: known.into_keys().collect(), of }
            }
            SoFar::Known { classes, of } => Truth::Classes { classes: classes.to_vec(), of },
            SoFar::Real(of) => Truth::Real(of),
            SoFar::Labels(of) => Truth::Labels { labels: self.targets.to_vec(), of },
        }
    }
}

/// A model has an output per class: as many as it may have inputs.
fn too_many(classes: usize, target: &str) -> Fault {
    Fault::new(
        format!("column {} has {classes} distinct labels", quote(target)),
        format!(
            "at most {} are learned: a number is predicted with `task: regression`",
            limits::COLUMNS_MAX
        ),
    )
}

/// The numbers of a target, none of them missing.
fn numbers(table: &Table, target: &str, first: usize) -> Result<Vec<f64>, Fault> {
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
    (first..).zip(cells).map(number).collect()
}

/// A column of a multi-label target: 1 where the row has the label, else 0.
fn marks(table: &Table, target: &str, first: usize) -> Result<Vec<f32>, Fault> {
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
    (first..).zip(cells).map(mark).collect()
}

fn unlabelled(target: &str, i: usize) -> Fault {
    Fault::new(
        format!("column {} has no label in row {}", quote(target), i + 1),
        "leave rows without a label out of the source",
    )
}

/// The label of each row, as text.
fn labels(table: &Table, target: &str, first: usize) -> Result<Vec<String>, Fault> {
    let mut kept = TextsKept::default();
    let labels = (first..).zip(table.column(target)?.each_text()).map(|(i, label)| {
        let label = label.ok_or_else(|| unlabelled(target, i))?;
        kept.add(&label)?;
        Ok(label.into_owned())
    });
    labels.collect()
}

/// The place of each label in an ascending vocabulary.
fn indices(
    labels: &[String],
    classes: &[String],
    target: &str,
    first: usize,
) -> Result<Vec<u32>, Fault> {
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
    (first..).zip(labels).map(index).collect()
}
