//! Tests of evaluations as a whole: selection, reports, faults.
//! Never test a single measure: its file does.

use super::*;
use crate::compute::kernel::Engine;
use crate::compute::predictor::{About, Scales, Unit};
use crate::compute::recipe::Recipe;
use crate::compute::table::{Column, ColumnKind};
use crate::domain::job::{Activation, Embed, Mode, Model, Part, Select};

const USUAL: Evaluate = Evaluate { select: None };

fn by(metric: Metric, goal: Goal) -> Evaluate {
    Evaluate { select: Some(Select { metric, goal }) }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn data() -> Table {
    Table::from_csv(b"x,y\n0,a\n1,b\n2,b\n3,b\n").unwrap()
}

/// A model without hidden layers: output j of feature x is `weights[j] · x + bias[j]`.
fn linear(
    task: Task,
    targets: &[&str],
    classes: &[&str],
    weights: &[f32],
    bias: &[f32],
) -> Predictor {
    let model = Model::Mlp { hidden: Vec::new(), activation: Activation::Relu };
    let raw = ["x"].iter().chain(targets).map(|name| Column {
        name: (*name).to_owned(),
        kind: match task {
            Task::Classification if *name != "x" => ColumnKind::Text,
            _ => ColumnKind::Real,
        },
    });
    let about = About {
        task,
        targets: names(targets),
        features: names(&["x"]),
        classes: names(classes),
        tokens: 0,
        recipe: Recipe::raw(raw.collect()),
    };
    let scales = (Scales::default(), Unit::default());
    let parameters = vec![weights.to_vec(), bias.to_vec()];
    Predictor::new(Engine::default(), &model, about, scales, parameters).unwrap()
}

/// A model that says b from `threshold` on, the surer the larger `sure`.
fn above(name: &str, threshold: f32, sure: f32) -> Candidate<'static> {
    let (weights, bias) = ([0.0, sure], [0.0, sure * (0.5 - threshold)]);
    Candidate {
        name: name.into(),
        bytes: if sure > 1.0 { b"sure" } else { b"unsure" },
        model: linear(Task::Classification, &["y"], &["a", "b"], &weights, &bias),
    }
}

#[track_caller]
fn check(spec: &Evaluate, candidates: &[Candidate<'_>], best: &str) {
    let done = run(spec, candidates, &data(), None).unwrap();
    let report = String::from_utf8(done.outputs[1].bytes.clone()).unwrap();
    assert!(report.contains(&format!(r#""best":"{best}""#)), "{report}");
    let winner = candidates.iter().find(|candidate| candidate.name == best).unwrap();
    assert_eq!(done.outputs[0].bytes, winner.bytes);
}

#[test]
fn the_metric_and_the_goal_decide_and_the_first_of_equals_wins() {
    let models = || [above("late", 3.0, 1.0), above("one", 1.0, 1.0), above("two", 1.0, 2.0)];
    check(&USUAL, &models(), "one");
    check(&by(Metric::Accuracy, Goal::Max), &models(), "one");
    check(&by(Metric::Accuracy, Goal::Min), &models(), "late");
    check(&by(Metric::Loss, Goal::Min), &models(), "two");
    check(&by(Metric::Loss, Goal::Max), &models(), "late");
    check(&by(Metric::RocAuc, Goal::Max), &models(), "late");
}

#[test]
fn the_report_has_all_candidates_and_the_details_of_the_best() {
    let done = run(&USUAL, &[above("m", 2.0, 2.0)], &data(), None).unwrap();
    let value = |name: &str| done.metrics.iter().find(|(each, _)| each == name).unwrap().1;
    assert_eq!((value("accuracy"), value("rocAuc"), value("rows")), (0.75, 1.0, 4.0));
    let report: serde_json::Value = serde_json::from_slice(&done.outputs[1].bytes).unwrap();
    assert_eq!((&report["version"], &report["task"]), (&1.into(), &"classification".into()));
    assert_eq!((&report["metric"], &report["goal"]), (&"accuracy".into(), &"max".into()));
    let candidate = &report["candidates"][0];
    for (name, value) in done.metrics.iter().filter(|(name, _)| name != "rows") {
        assert_eq!(candidate[name].as_f64(), Some(*value), "{name}");
    }
    let loss = candidate["loss"].as_f64().unwrap();
    assert_eq!(loss.to_bits(), value("loss").to_bits());
    assert_eq!(report["baseline"]["class"], "b");
    assert_eq!(report["baseline"]["accuracy"], 0.75);
    assert_eq!(report["classes"][0]["class"], "a");
    assert_eq!(report["classes"][1]["recall"].as_f64(), Some(2.0 / 3.0));
    assert_eq!(report["confusion"].as_array().unwrap().len(), 3);
    assert_eq!(report["calibration"].as_array().unwrap().len(), 10);
    let words: Vec<&str> = Metric::REPORTED.iter().map(|(word, _)| *word).collect();
    assert!(done.metrics.iter().all(|(name, _)| words.contains(&name.as_str())));
}

#[test]
fn numbers_and_labels_are_measured_as_what_they_are() {
    let regression = Candidate {
        name: "line".into(),
        bytes: b"line",
        model: linear(Task::Regression, &["y"], &[], &[2.0], &[1.0]),
    };
    let rows = Table::from_csv(b"x,y\n0,1\n1,3\n2,5.5\n").unwrap();
    let done = run(&USUAL, &[regression], &rows, None).unwrap();
    let value = |name: &str| done.metrics.iter().find(|(each, _)| each == name).unwrap().1;
    assert_eq!((value("mae"), value("medianAbsoluteError")), (0.5 / 3.0, 0.0));
    let report: serde_json::Value = serde_json::from_slice(&done.outputs[1].bytes).unwrap();
    assert_eq!((&report["metric"], &report["goal"]), (&"rmse".into(), &"min".into()));
    assert_eq!(report["baseline"]["r2"].as_f64(), Some(0.0));

    let labels = || Candidate {
        name: "tags".into(),
        bytes: b"tags",
        model: linear(Task::MultiLabel, &["y", "z"], &[], &[1.0, -1.0], &[-0.5, 0.5]),
    };
    let rows = Table::from_csv(b"x,y,z\n0,0,1\n1,1,0\n2,1,1\n").unwrap();
    let done = run(&USUAL, &[labels()], &rows, None).unwrap();
    let value = |name: &str| done.metrics.iter().find(|(each, _)| each == name).unwrap().1;
    assert_eq!((value("accuracy"), value("hammingLoss")), (2.0 / 3.0, 1.0 / 6.0));
    let report: serde_json::Value = serde_json::from_slice(&done.outputs[1].bytes).unwrap();
    assert_eq!((&report["metric"], &report["labels"][1]["label"]), (&"f1".into(), &"z".into()));
}

#[test]
fn what_cannot_be_measured_is_a_fault() {
    let fault = |spec: &Evaluate, candidates: &[Candidate<'_>], csv: &str| {
        let data = Table::from_csv(csv.as_bytes()).unwrap();
        run(spec, candidates, &data, None).unwrap_err().message
    };
    let model = || above("m", 1.0, 1.0);
    assert_eq!(fault(&USUAL, &[], "x,y\n1,a\n"), "there is no model to evaluate");
    assert!(fault(&USUAL, &[model()], "x,y\n1,c\n").contains("never saw"));
    assert!(fault(&USUAL, &[model()], "z,y\n1,a\n").contains(r#"no column "x""#));
    assert!(fault(&USUAL, &[model()], "x\n1\n").contains(r#"no column "y""#));
    let area = by(Metric::RocAuc, Goal::Max);
    assert!(fault(&area, &[model()], "x,y\n1,a\n").contains("`rocAuc` is not defined"));
    assert!(fault(&by(Metric::Mse, Goal::Min), &[model()], "x,y\n1,a\n").contains("`mse`"));
    let other = Candidate {
        name: "n".into(),
        bytes: b"",
        model: linear(Task::Regression, &["y"], &[], &[2.0], &[1.0]),
    };
    let message = fault(&USUAL, &[model(), other], "x,y\n1,a\n");
    assert!(message.contains("\"m\" is for classification of \"y\""), "{message}");
    assert!(message.contains("\"n\" is for regression"), "{message}");
    let sure = above("m", 1.0, 3e38);
    assert!(fault(&USUAL, &[sure], "x,y\n3,a\n").contains("a finite number for every row"));
}

#[test]
fn raw_texts_are_measured_as_embedded_ones_where_their_encoder_is_given() {
    use crate::compute::encoder::example;
    let encoder = Encoder::from_bytes(&example::folder().pack().unwrap()).unwrap();
    let raw = Table::from_csv(b"text,y\ngood films,a\nbad plot,b\nplot,a\n").unwrap();
    let spec = Embed {
        column: "text".into(),
        length: Some(9),
        pooling: None,
        normalize: Some(true),
        part: Part::WHOLE,
        mode: Mode::Exact,
    };
    let embedded = embed::run(&crate::compute::Machine::default(), &spec, &raw, &encoder).unwrap();
    let features: Vec<String> = (0..example::WIDTH).map(|at| format!("text@{at}")).collect();
    let head = |name: &str, by: f32| {
        let about = About {
            task: Task::Classification,
            targets: vec!["y".into()],
            features: features.clone(),
            classes: vec!["a".into(), "b".into()],
            tokens: 0,
            recipe: embedded.recipe().clone(),
        };
        let weights = (0..2 * example::WIDTH).map(|at| by * (at & 3) as f32).collect();
        let scales = (Scales::default(), Unit::default());
        let parameters = vec![weights, vec![0.0; 2]];
        let engine = Engine::default();
        let model = Predictor::new(engine, &Model::Linear, about, scales, parameters).unwrap();
        Candidate { name: name.into(), bytes: b"head", model }
    };
    let heads = || [head("one", 1.0), head("two", -1.0)];
    let done = run(&USUAL, &heads(), &raw, Some(&encoder)).unwrap();
    assert_eq!(done, run(&USUAL, &heads(), &embedded, None).unwrap());
    // Rows that are embedded already stay as they are.
    assert_eq!(done, run(&USUAL, &heads(), &embedded, Some(&encoder)).unwrap());
    let fault = run(&USUAL, &heads(), &raw, None).unwrap_err();
    assert!(fault.message.contains("which is not here"), "{fault}");
}
