//! Predictions: a table of what a model says of rows, beside columns of those rows.
//! Never judges what is said, and never needs to know what is true.
//!
//! A model of classes gives the column `prediction` with the likeliest class (of equals, the first)
//! and, if asked for, `p(CLASS)` for each; one of numbers gives `prediction`; one of labels gives
//! `prediction(LABEL)`, true where the label is more likely than not, and `p(LABEL)`.

use super::embed;
use super::encoder::Encoder;
use super::evaluate::{is_likely, largest};
use super::predictor::{Predictions, Predictor, says_nothing};
use super::recipe::table_of;
use super::table::Table;
use super::{Fault, quote};
use crate::domain::job::Predict;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use std::sync::Arc;

/// The column of what is predicted.
const PREDICTION: &str = "prediction";

type Columns = Vec<(String, ArrayRef)>;

/// What the model says of every row of `data`. The rows may be raw, or have gone through the first
/// of the steps that those of the training went through. Texts among them are embedded, where their
/// encoder is given.
pub fn run(
    spec: &Predict,
    model: &Predictor,
    data: &Table,
    encoder: Option<&Encoder>,
) -> Result<Table, Fault> {
    let raw = match encoder {
        None => model.answers(data)?,
        Some(encoder) => {
            let recipe = model.recipe_for(data)?;
            let rows = embed::bring(&recipe, data, model.features(), encoder)?;
            model.answers(&rows)?
        }
    };
    if raw.iter().any(|x| !x.is_finite()) {
        return Err(Fault::new(
            "the model does not give a finite number for every row",
            "its training went astray, or a feature is far beyond those of the training",
        ));
    }
    let mut columns = match &spec.keep {
        None => data.arrays(),
        Some(keep) => {
            let kept = keep.iter().map(|name| Ok((name.clone(), data.array(name)?.clone())));
            kept.collect::<Result<Columns, Fault>>()?
        }
    };
    let made = said(spec, model, &raw)?;
    if let Some((name, _)) = made.iter().find(|(name, _)| columns.iter().any(|(x, _)| x == name)) {
        return Err(Fault::new(
            format!("the rows have a column {} already", quote(name)),
            "name the columns to keep: `keep: [id]`, or `--keep id` on the command line",
        ));
    }
    columns.extend(made);
    table_of(columns)
}

fn said(spec: &Predict, model: &Predictor, raw: &[f32]) -> Result<Columns, Fault> {
    let names = model.vocabulary();
    let width = names.len().max(1);
    let rows = || raw.chunks_exact(width);
    let mut columns = Columns::new();
    match model.meaning(raw).ok_or_else(says_nothing)? {
        Predictions::Classes { classes, probabilities } => {
            let predicted: Vec<u32> = rows().map(largest).collect();
            columns.push((PREDICTION.to_owned(), of_classes(&classes, &predicted)));
            if spec.probabilities {
                columns.extend(likelihoods(&classes, &probabilities));
            }
        }
        Predictions::Real(values) => {
            if values.iter().any(|x| !x.is_finite()) {
                let message = "a predicted number is beyond the range of 64 bits";
                return Err(Fault::new(message, "a feature is far beyond those of the training"));
            }
            columns.push((PREDICTION.to_owned(), Arc::new(Float64Array::from(values))));
        }
        Predictions::Labels { labels, probabilities } => {
            for (place, label) in labels.iter().enumerate() {
                let of = rows().map(|row| row.get(place).copied().is_some_and(is_likely));
                let cells = BooleanArray::from_iter(of.map(Some));
                columns.push((format!("{PREDICTION}({label})"), Arc::new(cells)));
            }
            if spec.probabilities {
                columns.extend(likelihoods(&labels, &probabilities));
            }
        }
    }
    Ok(columns)
}

/// The predicted classes: whole numbers where all classes are, else text.
fn of_classes(classes: &[String], predicted: &[u32]) -> ArrayRef {
    let whole = |class: &String| class.parse().ok().filter(|x: &i64| x.to_string() == *class);
    match classes.iter().map(whole).collect::<Option<Vec<i64>>>() {
        Some(numbers) => {
            let cell = |class: &u32| numbers.get(*class as usize).copied();
            Arc::new(predicted.iter().map(cell).collect::<Int64Array>())
        }
        None => {
            let cell = |class: &u32| classes.get(*class as usize).map(String::as_str);
            Arc::new(predicted.iter().map(cell).collect::<StringArray>())
        }
    }
}

/// A column for each class or label.
fn likelihoods(names: &[String], probabilities: &[f64]) -> Columns {
    let width = names.len().max(1);
    let column = |(place, name): (usize, &String)| {
        let of = probabilities.iter().skip(place).step_by(width);
        let array: ArrayRef = Arc::new(Float64Array::from_iter_values(of.copied()));
        (format!("p({name})"), array)
    };
    names.iter().enumerate().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::evaluate::{self, Candidate};
    use crate::compute::kernel::Engine;
    use crate::compute::predictor::{About, Scales, Unit};
    use crate::compute::transform;
    use crate::domain::job::{Activation, Evaluate, Model, OneHot, Step, Task, Transform, Unknown};

    fn run(spec: &Predict, model: &Predictor, data: &Table) -> Result<Table, Fault> {
        super::run(spec, model, data, None)
    }

    const ALL: Predict = Predict { keep: None, probabilities: false };
    const TRAINING: &str = "id,city,x,y\n1,Bern,1,no\n2,Genf,2,yes\n";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn table(csv: &str) -> Table {
        Table::from_csv(csv.as_bytes()).unwrap()
    }

    fn texts(table: &Table, column: &str) -> Vec<String> {
        table.column(column).unwrap().texts().into_iter().map(Option::unwrap_or_default).collect()
    }

    /// A linear model of the features city=Bern, city=Genf and x, after a one-hot of city.
    fn model(task: Task, targets: &[&str], classes: &[&str], weights: &[f32]) -> Predictor {
        let columns = names(&["city"]);
        let one_hot = Step::OneHot(OneHot { columns, unknown: Unknown::Zeros });
        let spec = Transform { steps: vec![one_hot] };
        let rows = transform::run(&spec, table(TRAINING), None, None).unwrap();
        let about = About {
            task,
            targets: names(targets),
            features: names(&["city=Bern", "city=Genf", "x"]),
            classes: names(classes),
            tokens: 0,
            recipe: rows.recipe().clone(),
        };
        let shape = Model::Mlp { hidden: Vec::new(), activation: Activation::Relu };
        let parameters = vec![weights.to_vec(), vec![0.0; weights.len() / 3]];
        let scales = (Scales::default(), Unit::default());
        Predictor::new(Engine::default(), &shape, about, scales, parameters).unwrap()
    }

    /// Says yes in Genf, no in Bern; elsewhere yes if x is above 0.
    fn classifier() -> Predictor {
        model(Task::Classification, &["y"], &["no", "yes"], &[0.0, -9.0, 0.0, 9.0, 0.0, 1.0])
    }

    #[test]
    fn raw_rows_go_through_what_the_training_rows_went_through() {
        let rows = table("x,city,id\n-5,Genf,a\n5,Bern,b\n1,Rom,c\n-1,,d\n0,Rom,e\n");
        let got = run(&ALL, &classifier(), &rows).unwrap();
        assert_eq!(got.columns(), ["x", "city", "id", "prediction"]);
        assert_eq!(texts(&got, "prediction"), ["yes", "no", "yes", "no", "no"]);
        let spec = Predict { keep: Some(names(&["id"])), probabilities: true };
        let got = run(&spec, &classifier(), &rows).unwrap();
        assert_eq!(got.columns(), ["id", "prediction", "p(no)", "p(yes)"]);
        assert_eq!(texts(&got, "p(no)")[4], "0.5");
        let none = Predict { keep: Some(Vec::new()), probabilities: false };
        assert_eq!(run(&none, &classifier(), &rows).unwrap().columns(), ["prediction"]);
    }

    #[test]
    fn rows_that_were_transformed_already_get_the_same_predictions() {
        let one_hot = OneHot { columns: names(&["city"]), unknown: Unknown::Zeros };
        let spec = Transform { steps: vec![Step::OneHot(one_hot)] };
        let done = transform::run(&spec, table(TRAINING), None, None).unwrap();
        let got = run(&ALL, &classifier(), &done).unwrap();
        let raw = run(&ALL, &classifier(), &table(TRAINING)).unwrap();
        assert_eq!(texts(&got, "prediction"), texts(&raw, "prediction"));
    }

    #[test]
    fn numbers_and_labels_are_said_as_what_they_are() {
        let line = model(Task::Regression, &["y"], &[], &[1.0, 2.0, 0.5]);
        let rows = table("city,x\nBern,1\nGenf,1\n");
        assert_eq!(texts(&run(&ALL, &line, &rows).unwrap(), "prediction"), ["1.5", "2.5"]);
        let tags = [1.0, -1.0, -1.0, 1.0, 0.0, 0.0];
        let tags = model(Task::MultiLabel, &["u", "v"], &[], &tags);
        let spec = Predict { keep: Some(names(&["x"])), probabilities: true };
        let got = run(&spec, &tags, &rows).unwrap();
        let want = ["x", "prediction(u)", "prediction(v)", "p(u)", "p(v)"];
        assert_eq!(got.columns(), want);
        assert_eq!(texts(&got, "prediction(u)"), ["true", "false"]);
        let digits = [0.0, 9.0, 0.0, -9.0, 0.0, 0.0];
        let digits = model(Task::Classification, &["y"], &["10", "3"], &digits);
        let cells = run(&ALL, &digits, &rows).unwrap();
        assert_eq!(cells.column("prediction").unwrap().kind().word(), "integer");
        assert_eq!(texts(&cells, "prediction"), ["3", "10"]);
    }

    #[test]
    fn probabilities_are_those_that_an_evaluation_measures() {
        let rows = "city,x,y\nRom,-30,no\nRom,-33,yes\nRom,20,no\nRom,0.3,yes\n";
        let spec = Predict { keep: Some(Vec::new()), probabilities: true };
        let got = run(&spec, &classifier(), &table(rows)).unwrap();
        let of = |name: &str| -> Vec<f64> {
            texts(&got, name).iter().map(|x| x.parse().unwrap()).collect()
        };
        let (no, yes) = (of("p(no)"), of("p(yes)"));
        // In 32 bits sums were off by the seventh digit, and sure ones ran together at 1.
        assert!(yes[1] < yes[0] && yes[1] > 0.0 && no[2] > 0.0, "{no:?} {yes:?}");
        assert!(std::iter::zip(&no, &yes).all(|(a, b)| (a + b - 1.0).abs() < 1e-15));
        assert!((yes[3] - 1.0 / (1.0 + (-f64::from(0.3f32)).exp())).abs() < 1e-15);
        let model = classifier();
        let candidate =
            Candidate { name: "m".into(), bytes: &model.to_bytes().unwrap(), model: model.clone() };
        let select = None;
        let done = evaluate::run(&Evaluate { select }, &[candidate], &table(rows), None).unwrap();
        let loss = done.metrics.iter().find(|(name, _)| name == "loss").unwrap().1;
        let want = -(no[0].ln() + yes[1].ln() + no[2].ln() + yes[3].ln()) / 4.0;
        assert!((loss - want).abs() < 1e-12, "{loss} {want}");
    }

    #[test]
    fn a_column_that_was_whole_by_chance_takes_any_number() {
        let line = model(Task::Regression, &["y"], &[], &[1.0, 2.0, 0.5]);
        let rows = table("city,x\nBern,1.5\nGenf,1e2\n");
        assert_eq!(texts(&run(&ALL, &line, &rows).unwrap(), "prediction"), ["1.75", "52"]);
    }

    #[test]
    fn what_cannot_be_predicted_is_a_fault() {
        let fault = |csv: &str| run(&ALL, &classifier(), &table(csv)).unwrap_err().message;
        assert_eq!(fault("x\n1\n"), "the table has no column \"city\"");
        assert_eq!(fault("x,city\n1,Bern\n,Bern\n"), "feature \"x\" is empty in row 2");
        assert!(fault("x,city\ntwo,Bern\n").contains("column \"x\" is string"));
        let message = fault("x,city,prediction\n1,Bern,1\n");
        assert_eq!(message, "the rows have a column \"prediction\" already");
        let spec = Predict { keep: Some(names(&["idd"])), probabilities: false };
        let fault = run(&spec, &classifier(), &table("id,x,city\n1,1,Bern\n")).unwrap_err();
        assert!(fault.message.contains("no column \"idd\"") && fault.hint.contains("\"id\""));
    }
}
