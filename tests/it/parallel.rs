//! Trainings in parallel through the real program: the same model whoever computes it, more rounds
//! from those that are known, and shards that come to nothing. Never measures how well it learns.

use crate::site::Site;
use serde_json::Value;
use std::fmt::Write as _;

const SHORT: [&str; 2] = ["-p", "rounds=2"];

#[track_caller]
fn apply(site: &Site, more: &[&str]) -> Value {
    site.json(&[&["apply", "digits-parallel.yaml", "-o", "json"], more].concat())
}

/// Applies a manifest with so many workers in a home of its own, and gives the model's digest.
#[track_caller]
fn digest(manifest: &str, more: &[&str], workers: &str) -> Value {
    let args = ["apply", manifest, "-o", "json", "--workers", workers];
    let result = Site::of_all().json(&[&args[..], more].concat());
    assert_eq!(result["status"], "settled", "{result}");
    result["outputs"]["model"]["digest"].clone()
}

#[test]
fn r10_a_training_in_parallel_gives_the_same_model_with_one_two_or_eight_workers() {
    let of = |workers: &str| digest("digits-parallel.yaml", &SHORT, workers);
    let one = of("1");
    assert!(one.is_string());
    assert_eq!((of("2"), of("8")), (one.clone(), one));
}

#[test]
fn r10_shards_that_say_less_give_the_same_model_with_one_or_eight_workers() {
    let of = |workers: &str| digest("digits-deltas.yaml", &["-p", "rounds=4"], workers);
    let one = of("1");
    assert!(one.is_string());
    assert_eq!(of("8"), one);
}

#[test]
fn r12_more_rounds_go_on_from_those_that_are_known() {
    let site = Site::of_all();
    apply(&site, &SHORT);
    let plan = site.json(&["plan", "digits-parallel.yaml", "-p", "rounds=3", "-o", "json"]);
    let jobs = plan["jobs"].as_array().unwrap();
    let run: Vec<&str> = jobs
        .iter()
        .filter(|job| job["why"] != "cached")
        .map(|job| job["job"].as_str().unwrap())
        .collect();
    let expect = [
        "train#round 3/3 shard 1/4",
        "train#round 3/3 shard 2/4",
        "train#round 3/3 shard 3/4",
        "train#round 3/3 shard 4/4",
        "train#round 3/3 merge",
        "train",
        "evaluate",
    ];
    assert_eq!(run, expect, "{plan}");
    assert_eq!(apply(&site, &["-p", "rounds=3"])["blocks"]["run"], 7);
}

/// A site with forty rows of two classes, one of which has a number beyond all others.
fn spoiled(merge: &str) -> Site {
    let site = Site::new();
    let mut csv = "x,class\n".to_owned();
    for row in 0..40 {
        let x = if row == 17 { 1e30 } else { f64::from(row % 7) * 0.1 + f64::from(row % 2) * 2.0 };
        // Writing to a string does not fail.
        let _ = writeln!(csv, "{x},{}", if row % 2 == 0 { "even" } else { "odd" });
    }
    site.write("data/rows.csv", &csv);
    site.write(
        "spoiled.yaml",
        &format!(
            "apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: {{ name: spoiled }}
spec:
  sources: {{ rows: {{ url: data/rows.csv, format: csv }} }}
  budget: {{ total: \"20\" }}
  stages:
    table: {{ uses: ingest, inputs: {{ rows: sources.rows }} }}
    train:
      uses: train
      inputs: {{ data: table.table }}
      onFailure: continue
      with:
        model: {{ kind: logistic }}
        target: class
        batch: 10
        scaling: none
        optimizer: {{ kind: adamw, lr: 0.05 }}
        parallel: {{ shards: 4, rounds: 2, localSteps: 5, merge: {{ rule: mean{merge} }} }}
  outputs:
    model: {{ from: train.model, to: out/ }}
"
        ),
    );
    site
}

#[test]
fn a_shard_that_fails_is_done_without_where_a_quorum_is_left() {
    let site = spoiled(", quorum: 3");
    let ran = site.run(&["apply", "spoiled.yaml", "-o", "json"]);
    let result = ran.last();
    assert!(result["outputs"]["model"]["digest"].is_string(), "{result}{}", ran.err());
    let jobs = site.json(&["get", "jobs", "-o", "json"]);
    let failed = |job: &&Value| job["state"] == "failed";
    let jobs = jobs["items"].as_array().unwrap();
    let failed: Vec<&str> =
        jobs.iter().filter(failed).map(|job| job["job"].as_str().unwrap()).collect();
    // Later it may be right about that row, and then nothing is wrong with its numbers.
    assert!(failed.len() == 1 && failed[0].starts_with("train#round 1/2 shard "), "{failed:?}");
    let merge = jobs.iter().find(|job| job["job"] == "train#round 1/2 merge").unwrap();
    assert_eq!(merge["state"], "settled", "{merge}");
}

#[test]
fn a_shard_that_failed_goes_on_without_what_it_had_not_said() {
    let site = spoiled(", quorum: 3 }, deltas: int8, outer: { momentum: 0.2");
    let ran = site.run(&["apply", "spoiled.yaml", "-o", "json"]);
    assert!(ran.last()["outputs"]["model"]["digest"].is_string(), "{}{}", ran.last(), ran.err());
    let jobs = site.json(&["get", "jobs", "-o", "json"]);
    let jobs = jobs["items"].as_array().unwrap();
    let in_round = |round: u32, state: &str| -> usize {
        let name = format!("train#round {round}/2 shard ");
        let is_of = |job: &&Value| job["job"].as_str().unwrap().starts_with(&name);
        jobs.iter().filter(is_of).filter(|job| job["state"] == state).count()
    };
    assert_eq!((in_round(1, "settled"), in_round(1, "failed")), (3, 1), "{jobs:?}");
    assert_eq!(in_round(2, "settled") + in_round(2, "failed"), 4, "{jobs:?}");
}

#[test]
fn without_a_quorum_all_shards_are_needed() {
    let site = spoiled("");
    let result = site.run(&["apply", "spoiled.yaml", "-o", "json"]).last();
    assert!(result["outputs"]["model"].is_null(), "{result}");
}
