//! The manifests of the project: each does what its comments promise. Never looks inside: the
//! program is run as its reader would run it.

use crate::site::Site;
use serde_json::Value;
use std::fs;

/// Applies one of the manifests, which must settle.
#[track_caller]
fn apply(site: &Site, args: &[&str]) -> Value {
    let result = site.json(&[&["apply"], args, &["-o", "json"]].concat());
    assert_eq!(result["kind"], "RunResult", "{result}");
    result
}

/// A metric of a result.
#[track_caller]
fn metric(result: &Value, stage: &str, name: &str) -> f64 {
    let value = result["metrics"][stage][name].as_f64();
    value.unwrap_or_else(|| panic!("no {stage}.{name} in {result}"))
}

#[test]
fn digits_are_read_as_well_as_promised() {
    let site = Site::of_all();
    let result = apply(&site, &["digits.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.95, "held-out accuracy {accuracy}");
    let model = fs::read(site.path("out/digits/model.safetensors")).unwrap();
    assert_eq!(
        result["outputs"]["model"]["digest"],
        ohc::base::canon::Digest::of(&model).to_string()
    );
    // The comments say that another width works on the same split, and it does.
    let other = apply(&site, &["digits.yaml", "-p", "width=16", "-p", "epochs=2"]);
    assert_eq!(other["blocks"]["cached"], 1, "{other}");
    assert_eq!(apply(&site, &["digits.yaml"])["status"], "unchanged");
}

#[test]
fn a_sweep_of_a_hundred_cells_is_compared_in_a_chart() {
    let site = Site::of_all();
    let result = apply(&site, &["sweep.yaml"]);
    assert_eq!(result["status"], "settled");
    assert!(metric(&result, "compare", "instances") >= 100.0, "{}", result["metrics"]["compare"]);
    let best = metric(&result, "compare", "best");
    assert!(best >= 0.95, "the best of a hundred has an accuracy of {best}");
    let last = metric(&result, "judge", "accuracy");
    assert!(last >= 0.9, "on rows that chose nothing it has {last}");
    let chart = fs::read_to_string(site.path("out/sweep/chart/chart.svg")).unwrap();
    for part in ["<svg", "<title>accuracy by lr</title>", "width = 16", "</svg>"] {
        assert!(chart.contains(part), "{part:?} is not in the chart:\n{chart}");
    }
    // A part of the sweep is cached as a whole: only what puts it side by side runs.
    let part = apply(&site, &["sweep.yaml", "-p", "widths=2,4", "-p", "rates=0.01"]);
    assert_eq!(metric(&part, "compare", "instances"), 10.0);
    let plan = site.json(&["plan", "sweep.yaml", "-p", "widths=2", "-o", "json"]);
    let jobs = plan["jobs"].as_array().unwrap();
    let trained = jobs.iter().filter(|job| job["job"].as_str().unwrap().starts_with("train@"));
    assert!(trained.clone().count() == 25 && trained.into_iter().all(|job| job["why"] == "cached"));
}

#[test]
fn what_is_broken_on_purpose_cannot_be_applied() {
    let site = Site::of_all();
    let ran = site.run(&["apply", "broken.yaml"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.err().contains("broken.yaml: 17 faults"), "{}", ran.err());
    assert!(!site.path("home").exists(), "nothing was begun");
}
