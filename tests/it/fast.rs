//! Fast jobs through the program: what is near enough is accepted and paid, what is not is
//! found, and nobody honest is slashed. On the CPU, in candle's own operations: other sums than the
//! exact kernels', as on a graphics card.

use crate::site::Site;
use serde_json::Value;
use std::fs;

const FAST: &str = "mode: fast\n        target: species";

/// Applies the iris manifest with fast trainings, all of which are checked.
#[track_caller]
fn apply(site: &Site, on: &str) -> Value {
    let mut command = site.command(&["apply", "fast.yaml", "-o", "json", "--budget", "20"]);
    let ran = command.env("OHC_FAST_ON", on).output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{told}{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

fn manifest(site: &Site) {
    site.vary("fast.yaml", "target: species", FAST);
    let text = fs::read_to_string(site.path("fast.yaml")).unwrap();
    let text = text.replace("{ audit: { rate: 0.25, segments: 1 } }", "full");
    site.write("fast.yaml", &text);
}

#[test]
fn a_fast_training_is_checked_by_the_exact_one_and_paid() {
    let (rehearsed, plain) = (Site::new(), Site::new());
    manifest(&rehearsed);
    manifest(&plain);
    // The quote says what that is worth.
    let told = rehearsed.run(&["plan", "fast.yaml"]).out();
    assert!(told.contains("fast: off by up to 5 % of the way of a segment is not found"), "{told}");
    let plan = rehearsed.json(&["plan", "fast.yaml", "-o", "json"]);
    let stages = plan["stages"].as_array().unwrap();
    let tolerated = stages.iter().map(|stage| stage["stake"]["tolerated"].as_f64().unwrap());
    assert_eq!(tolerated.filter(|share| *share > 0.0).collect::<Vec<_>>(), [0.05], "{plan}");
    let (fast, exact) = (apply(&rehearsed, "cpu"), apply(&plain, ""));
    for said in [&fast, &exact] {
        assert_eq!(said["status"], "settled", "{said}");
        let accuracy = said["metrics"]["evaluate"]["accuracy"].as_f64().unwrap();
        assert!(accuracy >= 0.9, "{accuracy}");
    }
    // Without a card it is the exact one; with other sums it is another model.
    assert_ne!(fast["outputs"]["model"]["digest"], exact["outputs"]["model"]["digest"]);
    assert_eq!(fast["cost"], exact["cost"], "fast or not, it is the same work");
    for site in [&rehearsed, &plain] {
        let log = site.run(&["ledger", "-o", "json"]).out();
        assert!(!log.contains("slash"), "{log}");
        assert_eq!(site.run(&["log", "verify"]).code(), Some(0));
    }
    let again = apply(&rehearsed, "");
    assert_eq!(again["status"], "unchanged", "{again}");
}

#[test]
fn what_a_fast_training_cannot_have_is_said_with_its_place() {
    let site = Site::new();
    let stopping = "mode: fast\n        earlyStopping: { patience: 2 }\n        \
                    validation: 0.2\n        target: species";
    site.vary("stops.yaml", "target: species", stopping);
    let ran = site.run(&["validate", "stops.yaml"]);
    let told = format!("{}{}", ran.out(), ran.err());
    assert!(told.contains("when a fast training stops depends on the machine"), "{told}");
    assert!(told.contains("stops.yaml:"), "{told}");
    site.vary("fast.yaml", "target: species", FAST);
    let text = fs::read_to_string(site.path("fast.yaml")).unwrap();
    site.write("fast.yaml", &text.replace("audit: { rate: 0.25, segments: 1 }", "replicate: 2"));
    let ran = site.run(&["validate", "fast.yaml"]);
    let told = format!("{}{}", ran.out(), ran.err());
    assert!(told.contains("never give the same bytes"), "{told}");
}

#[test]
fn what_fails_fast_is_said_to_fail_as_the_exact_training_fails() {
    let site = Site::new();
    manifest(&site);
    let text = fs::read_to_string(site.path("fast.yaml")).unwrap();
    let wild = text.replace("{ kind: adamw, lr: 0.01 }", "{ kind: sgd, lr: 1000000 }");
    assert_ne!(wild, text);
    site.write("wild.yaml", &wild);
    let mut command = site.command(&["apply", "wild.yaml", "--budget", "20"]);
    let ran = command.env("OHC_FAST_ON", "cpu").output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(told.contains("is not finite at step"), "{told}");
}

#[test]
fn shards_that_learn_fast_say_their_ways_in_eight_bits() {
    let site = Site::of_all();
    let text = fs::read_to_string(site.path("digits-deltas.yaml")).unwrap();
    let fast = text.replace("target: digit", "mode: fast\n        target: digit");
    site.write("fast.yaml", &fast.replace("uses: train", "uses: train\n      verification: full"));
    let said = apply(&site, "cpu");
    assert_eq!(said["status"], "settled", "{said}");
    assert!(said["metrics"]["evaluate"]["accuracy"].as_f64().unwrap() > 0.9, "{said}");
    let log = site.run(&["ledger", "-o", "json"]).out();
    assert!(!log.contains("slash"), "{log}");
}

#[test]
fn texts_are_embedded_fast_in_shares_and_checked_by_the_exact_vectors() {
    let (rehearsed, plain) = (Site::of_all(), Site::of_all());
    for site in [&rehearsed, &plain] {
        let text = fs::read_to_string(site.path("reviews-shares.yaml")).unwrap();
        let full = "  defaults: { verification: full }\n  stages:\n";
        let text = text.replace("default: exact", "default: fast").replace("  stages:\n", full);
        site.write("fast.yaml", &text);
    }
    let told = rehearsed.run(&["plan", "fast.yaml"]).out();
    let worth = "fast: off by up to 1 % of the length of a vector is not found";
    assert_eq!(told.matches(worth).count(), 1, "{told}");
    let (fast, exact) = (apply(&rehearsed, "cpu"), apply(&plain, ""));
    for said in [&fast, &exact] {
        assert_eq!(said["status"], "settled", "{said}");
        assert_eq!(said["blocks"]["run"], exact["blocks"]["run"], "{said}");
    }
    let accuracy = |said: &Value| said["metrics"]["evaluate"]["accuracy"].as_f64().unwrap();
    assert!((accuracy(&fast) - accuracy(&exact)).abs() < 0.03, "{fast} {exact}");
    assert_ne!(fast["outputs"]["model"]["digest"], exact["outputs"]["model"]["digest"]);
    assert_eq!(fast["cost"], exact["cost"], "fast or not, it is the same work");
    for site in [&rehearsed, &plain] {
        let log = site.run(&["ledger", "-o", "json"]).out();
        assert!(!log.contains("slash"), "{log}");
    }
    // What is known exactly is not known fast.
    let other = apply(&plain, "");
    assert_eq!(other["status"], "unchanged", "{other}");
    let text = fs::read_to_string(plain.path("fast.yaml")).unwrap();
    plain.write("fast.yaml", &text.replace("default: fast", "default: exact"));
    assert_eq!(apply(&plain, "")["status"], "settled");
    plain.write("fast.yaml", &text.replace("verification: full", "verification: { replicate: 2 }"));
    let ran = plain.run(&["validate", "fast.yaml"]);
    let told = format!("{}{}", ran.out(), ran.err());
    assert!(told.contains("never give the same bytes"), "{told}");
}
