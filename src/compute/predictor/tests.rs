//! Tests of predictors: bytes that read back, rows that stay apart, and files that lie.
//! Never trains: the parameters are the initial ones.

use super::*;
use proptest::prelude::*;

const CSV: &str = "n0,n1,a,b\n1,2.5,0,1\n3,4.5,1,1\n-5,6.5,0,0\n";

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn predictor(task: Task) -> Predictor {
    let model = Model::Mlp { hidden: vec![3], activation: Activation::Relu };
    let (targets, classes) = match task {
        Task::Classification => (names(&["a"]), names(&["0", "1"])),
        Task::Regression => (names(&["a"]), Vec::new()),
        Task::MultiLabel | Task::Language => (names(&["b", "a"]), Vec::new()),
    };
    let recipe = Table::from_csv(CSV.as_bytes()).unwrap().recipe().clone();
    let about = About { task, targets, features: names(&["n1", "n0"]), classes, tokens: 0, recipe };
    let scales = Scales { mean: vec![1.0, 2.0], scale: vec![0.5, 0.1] };
    let outputs = about.outputs();
    let parameters = Shape::new(&model, Reads::numbers(2), outputs).unwrap().initial(5);
    let unit = Unit { mean: 1000.25, deviation: 10.0 };
    let unit = if task == Task::Regression { unit } else { Unit::default() };
    Predictor::new(Engine::default(), &model, about, (scales, unit), parameters).unwrap()
}

#[test]
fn a_model_reads_back_from_its_bytes_which_are_always_the_same() {
    for task in Task::ALL.into_iter().filter(|task| *task != Task::Language) {
        let (first, second) =
            (predictor(task).to_bytes().unwrap(), predictor(task).to_bytes().unwrap());
        assert_eq!(first, second);
        let read = Predictor::from_bytes(&first).unwrap();
        assert_eq!(read.to_bytes(), predictor(task).to_bytes());
        assert_eq!(read.to_bytes().unwrap(), first);
    }
}

#[test]
fn predictions_are_in_the_words_and_units_of_the_target() {
    let table = Table::from_csv(CSV.as_bytes()).unwrap();
    let values = [2.5, 1.0, 4.5, 3.0, 6.5, -5.0];
    let raw = |task| predictor(task).raw_outputs(&values, 3).unwrap();
    match predictor(Task::Classification).predict(&table).unwrap() {
        Predictions::Classes { classes, probabilities } => {
            assert_eq!((classes, probabilities.len()), (names(&["0", "1"]), 6));
            for (row, raw) in probabilities.chunks(2).zip(raw(Task::Classification).chunks(2)) {
                assert!((row[0] + row[1] - 1.0).abs() < 1e-15);
                assert_eq!(row[0] < row[1], raw[0] < raw[1]);
            }
        }
        other => panic!("{other:?}"),
    }
    match predictor(Task::Regression).predict(&table).unwrap() {
        Predictions::Real(numbers) => {
            let want = raw(Task::Regression);
            let want: Vec<_> = want.iter().map(|&y| f64::from(y) * 10.0 + 1000.25).collect();
            assert_eq!(numbers, want);
        }
        other => panic!("{other:?}"),
    }
    match predictor(Task::MultiLabel).predict(&table).unwrap() {
        Predictions::Labels { labels, probabilities } => {
            assert_eq!(labels, names(&["b", "a"]));
            for (p, z) in probabilities.iter().zip(raw(Task::MultiLabel)) {
                assert!((p - 1.0 / (1.0 + f64::from(-z).exp())).abs() < 1e-15);
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_to_predict_need_no_target_and_rows_to_measure_on_do() {
    let table = Table::from_csv(b"n0,extra,n1\n1,x,2.5\n").unwrap();
    let model = predictor(Task::Regression);
    assert!(matches!(model.predict(&table), Ok(Predictions::Real(numbers)) if numbers.len() == 1));
    assert!(model.examples(&table).unwrap_err().message.contains("no column \"a\""));
    let examples = model.examples(&Table::from_csv(CSV.as_bytes()).unwrap()).unwrap();
    assert_eq!(*examples.values.all().unwrap(), [2.5, 1.0, 4.5, 3.0, 6.5, -5.0]);
    assert_eq!(examples.rows(), 3);
}

#[test]
fn rows_do_not_influence_each_other() {
    let model = predictor(Task::Classification);
    let values: Vec<f32> = (0..1000).map(|i| (i % 37) as f32 / 7.0).collect();
    let together = model.raw_outputs(&values, 500).unwrap();
    let alone: Vec<f32> =
        values.chunks(2).flat_map(|row| model.raw_outputs(row, 1).unwrap()).collect();
    assert_eq!(together, alone);
}

#[test]
fn a_header_that_does_not_fit_its_task_is_refused() {
    let refused = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let bytes = predictor(Task::Regression).to_bytes().unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = bytes;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        Predictor::from_bytes(&bytes).unwrap_err().message
    };
    assert!(refused("regression", "regressing").contains("its task is unknown"));
    assert!(refused(r#"classes\":[]"#, r#"classes\":[1"#).contains("metadata is damaged"));
    assert!(refused(r#"recipe\":\"6f"#, r#"recipe\":\"zf"#).contains("recipe is damaged"));
    assert!(refused("target.mean", "target.deam").contains("tensor is missing"));
}

proptest! {
    #[test]
    fn r13_no_bytes_panic_the_reader(at in 0usize..2000, with: u8, cut in 0usize..2000) {
        let mut bytes = predictor(Task::MultiLabel).to_bytes().unwrap();
        let (at, cut) = (at % bytes.len(), cut % bytes.len());
        bytes[at] = with;
        let _ = Predictor::from_bytes(&bytes);
        prop_assert!(Predictor::from_bytes(&bytes[..cut]).is_err());
    }
}
