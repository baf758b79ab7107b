//! Tests of examples: what of a table is learned from, and the faults that name a remedy.
//! Never trains.

use super::*;

fn table(csv: &str) -> Table {
    Table::from_csv(csv.as_bytes()).unwrap()
}

fn of(
    table: &Table,
    task: Task,
    targets: &[String],
    features: Option<&[String]>,
) -> Result<Examples, Fault> {
    Examples::from_table(table, Room::MEMORY, task, targets, features)
}

fn values(rows: &Rows) -> Vec<f32> {
    rows.all().unwrap().into_owned()
}

#[track_caller]
fn check(csv: &str, target: &str, message: &str, hint: &str) {
    let targets = [target.to_owned()];
    let fault = of(&table(csv), Task::Classification, &targets, None);
    let fault = fault.unwrap_err();
    assert_eq!(fault.message, message);
    assert!(fault.hint.contains(hint), "{}", fault.hint);
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn read(csv: &str, task: Task, targets: &[&str]) -> Result<Examples, Fault> {
    of(&table(csv), task, &names(targets), None)
}

#[test]
fn every_other_column_is_a_feature_and_labels_are_numbered_as_text() {
    let csv = "n,y,x,t\n1,b,-0.0,true\n-2,a,1e-3,FALSE\n";
    let got = read(csv, Task::Classification, &["y"]).unwrap();
    assert_eq!(got.features, ["n", "x", "t"]);
    let read = values(&got.values);
    assert_eq!(read, [1.0, -0.0, 1.0, -2.0, 1e-3, 0.0]);
    assert!(read[1].is_sign_negative());
    assert_eq!(got.truth, Truth::Classes { classes: names(&["a", "b"]), of: vec![1, 0] });
    let some = names(&["t", "n"]);
    let got = of(&table(csv), Task::Classification, &names(&["y"]), Some(&some));
    let got = got.unwrap();
    assert_eq!((got.features, values(&got.values)), (some, vec![1.0, 1.0, 0.0, -2.0]));
}

#[test]
fn labels_may_be_of_any_type() {
    let classes =
        |csv: &str| read(csv, Task::Classification, &["y"]).unwrap().truth.vocabulary().to_vec();
    assert_eq!(classes("x,y\n1,10\n1,9\n1,10\n"), ["10", "9"]);
    assert_eq!(classes("x,y\n1,0.5\n1,-1\n"), ["-1", "0.5"]);
    assert_eq!(classes("x,y\n1,true\n1,false\n"), ["false", "true"]);
}

#[test]
fn numbers_and_several_labels_are_targets_too() {
    let got = read("x,y\n1,2\n3,-4\n", Task::Regression, &["y"]).unwrap();
    assert_eq!((got.rows(), got.truth), (2, Truth::Real(vec![2.0, -4.0])));
    let csv = "a,x,b,c\n1,7,true,0.0\n0,8,false,1.0\n";
    let got = read(csv, Task::MultiLabel, &["c", "a", "b"]).unwrap();
    assert_eq!((got.rows(), got.features), (2, names(&["x"])));
    let of = vec![0.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    assert_eq!(got.truth, Truth::Labels { labels: names(&["c", "a", "b"]), of });
}

#[test]
fn picked_rows_keep_their_features_and_their_truth() {
    let csv = "x,a,b\n1,0,1\n2,1,1\n3,0,0\n";
    let got = read(csv, Task::MultiLabel, &["a", "b"]).unwrap().pick(&[2, 0]);
    let of = vec![0.0, 0.0, 0.0, 1.0];
    assert_eq!(
        (values(&got.values), got.truth),
        (vec![3.0, 1.0], Truth::Labels { labels: names(&["a", "b"]), of })
    );
    let got = read(csv, Task::Classification, &["x"]).unwrap().pick(&[1]);
    assert_eq!(got.truth, Truth::Classes { classes: names(&["1", "2", "3"]), of: vec![1] });
    let got = read(csv, Task::Regression, &["x"]).unwrap().pick(&[1, 1]);
    assert_eq!((got.truth, values(&got.values)), (Truth::Real(vec![2.0; 2]), vec![1.0; 4]));
}

#[test]
fn a_target_that_does_not_fit_the_task_is_a_fault() {
    let fault = |csv: &str, task, targets: &[&str]| {
        let fault = read(csv, task, targets).unwrap_err();
        assert!(!fault.hint.is_empty());
        fault.message
    };
    let regression = |csv: &str| fault(csv, Task::Regression, &["y"]);
    assert_eq!(regression("x,y\n1,a\n"), "column \"y\" is string, not number");
    assert_eq!(regression("x,y\n1,true\n"), "column \"y\" is boolean, not number");
    assert_eq!(regression("x,y\n1,2\n1,\n"), "column \"y\" has no label in row 2");
    assert!(regression("x,y\n1,1e39\n").contains("beyond the range of f32 in row 1"));
    let labels = |csv: &str, targets: &[&str]| fault(csv, Task::MultiLabel, targets);
    assert_eq!(labels("x,y\n1,0\n1,2\n", &["y"]), "label \"y\" is neither 0 nor 1 in row 2");
    assert_eq!(labels("x,y\n1,no\n", &["y"]), "label \"y\" is neither 0 nor 1 in row 1");
    assert_eq!(labels("x,y\n1,0\n1,\n", &["y"]), "column \"y\" has no label in row 2");
    assert_eq!(labels("x,y\n1,0\n", &["y", "y"]), "label \"y\" is named twice");
    assert_eq!(labels("x,y\n1,0\n", &[]), "0 targets do not fit the task");
    let both = fault("x,y\n1,0\n", Task::Regression, &["y", "x"]);
    assert_eq!(both, "2 targets do not fit the task");
    let (y, xy) = (names(&["y"]), names(&["x", "y"]));
    let leak = of(&table("x,y\n1,0\n"), Task::Regression, &y, Some(&xy));
    assert_eq!(leak.unwrap_err().message, "\"y\" is both a feature and a target");
}

#[test]
fn faults_name_the_column_the_row_and_a_remedy() {
    check("x,species\n1,a\n", "speceis", r#"the table has no column "speceis""#, "did you mean");
    check("x,species\n1,a\n", "y", r#"the table has no column "y""#, r#""x""#);
    check("x,y\n1,a\n,b\n", "y", r#"feature "x" is empty in row 2"#, "fill");
    check("x,y\n,a\n,b\n", "y", r#"feature "x" is empty in row 1"#, "fill");
    check("x,y\n1,a\nred,b\n", "y", r#"feature "x" is text in row 2: "red""#, "encode");
    check("x,y\n1,a\n 2,b\n", "y", r#"feature "x" is text in row 2: " 2""#, "spaces");
    check("x,y\n1,a\nNaN,b\n", "y", r#"feature "x" is text in row 2: "NaN""#, "numbers");
    check("x,y\n1,a\n1e999,b\n", "y", r#"feature "x" is text in row 2: "1e999""#, "numbers");
    check("x,y\n1,a\n1e39,b\n", "y", r#"feature "x" is beyond the range of f32 in row 2"#, "scale");
    check("x,y\n1,a\n2,\n", "y", r#"column "y" has no label in row 2"#, "leave");
    check("y\na\n", "y", r#"the table has no column but its target "y""#, "at least one more");
}

#[test]
fn a_model_finds_its_features_by_name_and_its_labels_by_its_vocabulary() {
    let test = table("y,b,extra,a\ndog,2,text,1\n");
    let read = |features: &[&str], classes: &[&str]| {
        let (features, classes) = (names(features), names(classes));
        let task = Task::Classification;
        Examples::for_model(&test, Room::MEMORY, task, &names(&["y"]), (&features, &classes))
    };
    let got = read(&["a", "b"], &["cat", "dog"]).unwrap();
    assert_eq!((values(&got.values), got.features), (vec![1.0, 2.0], names(&["a", "b"])));
    assert_eq!(got.truth, Truth::Classes { classes: names(&["cat", "dog"]), of: vec![1] });
    let fault = read(&["a", "b"], &["cat", "dot"]).unwrap_err();
    assert!(fault.message.contains("never saw") && fault.hint.contains("\"dot\""), "{fault:?}");
    let refused = |features: &[&str]| read(features, &["dog"]).unwrap_err().message;
    assert_eq!(refused(&["c"]), "the table has no column \"c\"");
    assert_eq!(refused(&["a", "a"]), "feature \"a\" is named twice");
}
