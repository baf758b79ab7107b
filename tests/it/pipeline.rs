//! The main job: a pipeline from its manifest to a model, a card and a bill. Never accepts a number
//! that does not add up.

use crate::site::{SUPPLY_NANO, Site, nano};
use serde_json::Value;
use std::fs;

#[track_caller]
fn check_cost(result: &Value, budget: u128) {
    let cost = |name: &str| nano(&result["cost"][name]);
    assert_eq!(cost("total"), cost("reward") + cost("gas"), "{result}");
    assert_eq!(cost("total") + cost("refunded"), budget, "{result}");
}

#[test]
fn r12_iris_is_trained_once_and_only_what_changes_is_trained_again() {
    let site = Site::new();
    let first = site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(first["status"], "settled", "{first}");
    assert_eq!(first["blocks"], serde_json::json!({"run": 6, "cached": 0}));
    let accuracy = first["metrics"]["evaluate"]["accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.93, "{accuracy}");
    assert!(first["metrics"]["train@width=16,seed=1"]["loss"].is_f64(), "{first}");
    check_cost(&first, 5_000_000_000);

    let model = fs::read(site.path("out/iris/model.safetensors")).unwrap();
    assert!(safetensors::SafeTensors::deserialize(&model).unwrap().len() >= 4);
    let digest = ohc::base::canon::Digest::of(&model).to_string();
    assert_eq!(first["outputs"]["model"]["digest"], digest);
    let card: Value =
        serde_json::from_slice(&fs::read(site.path("out/iris/card.json")).unwrap()).unwrap();
    assert_eq!(card["digest"], digest);
    assert_eq!(card["metrics"]["accuracy"].as_f64(), Some(accuracy));
    assert_eq!(card["sources"][0]["rows"], 150);

    let before = site.json(&["get", "accounts", "-o", "json"]);
    let again = site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(again["status"], "unchanged");
    assert_eq!(again["blocks"], serde_json::json!({"run": 0, "cached": 6}));
    assert_eq!(again["outputs"], first["outputs"]);
    assert_eq!(again["metrics"], first["metrics"]);
    assert_eq!(site.json(&["get", "accounts", "-o", "json"]), before, "nothing is spent");

    let plan = site.json(&["plan", "iris.yaml", "-p", "epochs=70", "-o", "json"]);
    let why: Vec<&str> =
        plan["jobs"].as_array().unwrap().iter().map(|job| job["why"].as_str().unwrap()).collect();
    assert_eq!(&why[..3], ["cached", "cached", "changed: epochs"]);
    assert!(why[6].starts_with("input changed: models["), "{why:?}");
    let changed = site.json(&["apply", "iris.yaml", "-p", "epochs=70", "-o", "json"]);
    assert_eq!(changed["blocks"], serde_json::json!({"run": 5, "cached": 1}));
    assert_ne!(changed["outputs"], first["outputs"]);
    check_cost(&changed, 5_000_000_000);
    assert_eq!(site.all_money(), SUPPLY_NANO);
    assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
}

#[test]
fn outputs_that_are_gone_are_written_again_without_a_run() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let (model, card) = (site.path("out/iris/model.safetensors"), site.path("out/iris/card.json"));
    let (bytes, said) = (fs::read(&model).unwrap(), fs::read(&card).unwrap());
    fs::write(&model, b"not a model").unwrap();
    fs::remove_file(&card).unwrap();
    assert_eq!(site.json(&["apply", "iris.yaml", "-o", "json"])["status"], "unchanged");
    assert_eq!((fs::read(&model).unwrap(), fs::read(&card).unwrap()), (bytes, said));
}

#[test]
fn results_whose_artifacts_are_gone_are_computed_again() {
    let site = Site::new();
    let first = site.json(&["apply", "iris.yaml", "-o", "json"]);
    fs::remove_dir_all(site.path("home/artifacts")).unwrap();
    let again = site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!((&again["status"], &again["outputs"]), (&"settled".into(), &first["outputs"]));
}

#[test]
fn r10_the_model_does_not_depend_on_the_number_of_workers() {
    let digest = |workers: &str| {
        let site = Site::new();
        let result = site.json(&["apply", "iris.yaml", "--workers", workers, "-o", "json"]);
        result["outputs"]["model"]["digest"].clone()
    };
    let one = digest("1");
    assert_eq!((digest("3"), digest("5")), (one.clone(), one));
}

#[test]
fn piped_output_has_a_line_per_block_and_a_bill() {
    let site = Site::new();
    let ran = site.run(&["apply", "iris.yaml"]);
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    let out = ran.out();
    assert_eq!(out.lines().filter(|line| line.starts_with("settled  run-1/")).count(), 6, "{out}");
    for part in ["STAGE", "table+split", "total ", "refunded ", "model: ", "iris: settled in"] {
        assert!(out.contains(part), "{part:?} is not in:\n{out}");
    }
    assert!(!out.contains('\x1b'), "no escapes in a pipe");
}
