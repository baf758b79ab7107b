//! Examples: rows of a table as a matrix of features and a vector of labels.
//! Never knows where the rows came from nor what is trained on them.

use super::table::{Cells, Table, nearest};
use super::{Fault, quote};
use crate::base::limits;
use arrow_array::Array;
use std::collections::BTreeSet;

/// Rows to learn from or to be measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// The names of the features, in order.
    pub features: Vec<String>,
    /// The values, row by row: `rows × features.len()`.
    pub values: Vec<f32>,
    /// The class of each row: an index into `classes`.
    pub labels: Vec<u32>,
    /// The label vocabulary, ascending.
    pub classes: Vec<String>,
}

impl Examples {
    /// Rows to learn from: `target` is the label, every other column is a feature, in the order of
    /// the table. The vocabulary is the distinct labels as text, ascending by bytes.
    ///
    /// Fails on a feature that is text, null or beyond f32, and on a row without a label.
    pub fn from_table(table: &Table, target: &str) -> Result<Self, Fault> {
        let labels = labels(table, target)?;
        let features: Vec<_> = table.columns().into_iter().filter(|name| name != target).collect();
        if features.is_empty() {
            return Err(Fault::new(
                format!("the table has no column but its target {}", quote(target)),
                "at least one more column is needed to predict it from",
            ));
        }
        let values = matrix(table, &features)?;
        let classes: Vec<_> = labels.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        // A model has an output per class: as many as it may have inputs.
        if classes.len() > limits::COLUMNS_MAX {
            return Err(Fault::new(
                format!("column {} has {} distinct labels", quote(target), classes.len()),
                format!("at most {} are learned: is it a category?", limits::COLUMNS_MAX),
            ));
        }
        let labels = indices(&labels, &classes, target)?;
        Ok(Self { features, values, labels, classes })
    }

    /// Rows to measure a model on: its features found by name, its labels by its vocabulary;
    /// columns that it does not know are left out.
    pub fn for_model(
        table: &Table,
        target: &str,
        features: &[String],
        classes: &[String],
    ) -> Result<Self, Fault> {
        // A model comes from outside: one that names a column again and again would make the
        // matrix larger than the table and any bound.
        let mut seen = BTreeSet::new();
        if let Some(name) = features.iter().find(|name| !seen.insert(*name)) {
            return Err(Fault::new(
                format!("the model reads feature {} twice", quote(name)),
                "train it again: each column is one feature",
            ));
        }
        let labels = indices(&labels(table, target)?, classes, target)?;
        let values = matrix(table, features)?;
        Ok(Self { features: features.to_vec(), values, labels, classes: classes.to_vec() })
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// How many features each row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.features.len()
    }
}

/// The label of each row, as text.
fn labels(table: &Table, target: &str) -> Result<Vec<String>, Fault> {
    let cells = table.column(target)?.texts();
    let labels = cells.into_iter().enumerate().map(|(i, label)| {
        label.ok_or_else(|| {
            Fault::new(
                format!("column {} has no label in row {}", quote(target), i + 1),
                "leave rows without a label out of the source",
            )
        })
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
fn matrix(table: &Table, features: &[String]) -> Result<Vec<f32>, Fault> {
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
        "fill the cell, or leave the row or the column out of the source",
    )
}

fn text_fault(name: &str, i: usize, text: &str) -> Fault {
    let hint = if is_number(Some(text.trim())) {
        "spaces belong to a cell: remove those around numbers"
    } else {
        "features are numbers or true and false: encode the column, or leave it out of the source"
    };
    Fault::new(format!("feature {} is text in row {}: {}", quote(name), i + 1, quote(text)), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(csv: &str) -> Table {
        Table::from_csv(csv.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(csv: &str, target: &str, message: &str, hint: &str) {
        let fault = Examples::from_table(&table(csv), target).unwrap_err();
        assert_eq!(fault.message, message);
        assert!(fault.hint.contains(hint), "{}", fault.hint);
    }

    #[test]
    fn every_other_column_is_a_feature_and_labels_are_numbered_as_text() {
        let got = Examples::from_table(&table("n,y,x,t\n1,b,-0.0,true\n-2,a,1e-3,FALSE\n"), "y");
        let got = got.unwrap();
        assert_eq!(got.features, ["n", "x", "t"]);
        assert_eq!(got.values, [1.0, -0.0, 1.0, -2.0, 1e-3, 0.0]);
        assert!(got.values[1].is_sign_negative());
        assert_eq!((got.labels, got.classes), (vec![1, 0], vec!["a".into(), "b".into()]));
    }

    #[test]
    fn labels_may_be_of_any_type() {
        let classes = |csv: &str| Examples::from_table(&table(csv), "y").unwrap().classes;
        assert_eq!(classes("x,y\n1,10\n1,9\n1,10\n"), ["10", "9"]);
        assert_eq!(classes("x,y\n1,0.5\n1,-1\n"), ["-1", "0.5"]);
        assert_eq!(classes("x,y\n1,true\n1,false\n"), ["false", "true"]);
    }

    #[test]
    fn faults_name_the_column_the_row_and_a_remedy() {
        check(
            "x,species\n1,a\n",
            "speceis",
            r#"the table has no column "speceis""#,
            "did you mean",
        );
        check("x,species\n1,a\n", "y", r#"the table has no column "y""#, r#""x""#);
        check("x,y\n1,a\n,b\n", "y", r#"feature "x" is empty in row 2"#, "fill");
        check("x,y\n,a\n,b\n", "y", r#"feature "x" is empty in row 1"#, "fill");
        check("x,y\n1,a\nred,b\n", "y", r#"feature "x" is text in row 2: "red""#, "encode");
        check("x,y\n1,a\n 2,b\n", "y", r#"feature "x" is text in row 2: " 2""#, "spaces");
        check("x,y\n1,a\nNaN,b\n", "y", r#"feature "x" is text in row 2: "NaN""#, "numbers");
        check("x,y\n1,a\n1e999,b\n", "y", r#"feature "x" is text in row 2: "1e999""#, "numbers");
        check(
            "x,y\n1,a\n1e39,b\n",
            "y",
            r#"feature "x" is beyond the range of f32 in row 2"#,
            "scale",
        );
        check("x,y\n1,a\n2,\n", "y", r#"column "y" has no label in row 2"#, "leave");
        check("y\na\n", "y", r#"the table has no column but its target "y""#, "at least one more");
    }

    #[test]
    fn a_model_finds_its_features_by_name_and_its_labels_by_its_vocabulary() {
        let test = table("y,b,extra,a\ndog,2,text,1\n");
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (features, classes) = (names(&["a", "b"]), names(&["cat", "dog"]));
        let got = Examples::for_model(&test, "y", &features, &classes).unwrap();
        assert_eq!((got.values, got.labels), (vec![1.0, 2.0], vec![1]));
        assert_eq!((got.features, got.classes), (features.clone(), classes));
        let fault =
            Examples::for_model(&test, "y", &features, &names(&["cat", "dot"])).unwrap_err();
        assert!(fault.message.contains("never saw") && fault.hint.contains("\"dot\""), "{fault:?}");
        let refused = |features: &[&str]| {
            Examples::for_model(&test, "y", &names(features), &names(&["dog"])).unwrap_err().message
        };
        assert_eq!(refused(&["c"]), "the table has no column \"c\"");
        assert_eq!(refused(&["a", "a"]), "the model reads feature \"a\" twice");
    }
}
