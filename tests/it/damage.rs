//! What people lose or break: keys, artifacts, output folders. Never ends in a result that is not
//! the right one, or in money that is spent before it is known to be in vain.

use crate::site::{SUPPLY_NANO, Site};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const APPLY: [&str; 4] = ["apply", "iris.yaml", "-o", "json"];

/// The files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[track_caller]
fn digest(result: &Value) -> String {
    result["outputs"]["model"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn every_manifest_that_is_shipped_can_be_applied_as_it_is() {
    let site = Site::new();
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    for name in ["iris.yaml", "noop.yaml"] {
        fs::copy(manifests.join(name), site.path(name)).unwrap();
        let result = site.json(&["apply", name, "-o", "json"]);
        assert_eq!(result["status"], "settled", "{name}");
    }
}

#[test]
fn a_key_that_is_gone_or_another_stops_everything_and_is_not_made_anew() {
    for name in ["client", "validator"] {
        let site = Site::new();
        site.json(&APPLY);
        let key = site.path("home").join(format!("keys/{name}.pem"));
        let kept = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        let gone = site.run(&["apply", "iris.yaml", "-p", "epochs=5"]);
        assert_eq!(gone.code(), Some(1));
        assert!(gone.err().contains("is gone"), "{}", gone.err());
        assert!(!key.exists(), "a new {name} key would be somebody else");
        fs::copy(site.path("home/keys/worker-1.pem"), &key).unwrap();
        let other = site.run(&["apply", "iris.yaml", "-p", "epochs=5"]);
        assert_eq!(other.code(), Some(1));
        assert!(other.err().contains("not the one"), "{}", other.err());
        fs::write(&key, kept).unwrap();
        assert_eq!(site.json(&APPLY)["status"], "unchanged");
        assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
    }
}

#[test]
fn a_home_keeps_its_keys_out_of_git() {
    let site = Site::new();
    site.json(&APPLY);
    assert_eq!(fs::read_to_string(site.path("home/.gitignore")).unwrap(), "*\n");
}

#[test]
fn a_damaged_or_deleted_artifact_is_computed_again() {
    let site = Site::new();
    let first = digest(&site.json(&APPLY));
    let artifacts = files(&site.path("home/artifacts"));
    assert!(artifacts.len() > 10);
    for (nth, artifact) in artifacts.iter().enumerate().step_by(5) {
        if nth % 2 == 0 {
            fs::remove_file(artifact).unwrap();
        } else {
            let mut bytes = fs::read(artifact).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(artifact, bytes).unwrap();
        }
        let _ = fs::remove_dir_all(site.path("out"));
        // The first apply may only find the damage, while it needs the bytes; the second heals it.
        let mut ran = site.run(&APPLY);
        if ran.code() != Some(0) {
            assert!(ran.err().contains("set aside"), "{}", ran.err());
            ran = site.run(&APPLY);
        }
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        assert_eq!(digest(&ran.last()), first);
        assert_eq!(site.all_money(), SUPPLY_NANO);
    }
}

#[test]
fn damage_that_a_run_meets_on_its_way_is_healed_by_the_next_apply() {
    let site = Site::new();
    site.json(&APPLY);
    // All artifacts of training and test rows: a changed parameter needs one of them.
    for artifact in files(&site.path("home/artifacts")) {
        let mut bytes = fs::read(&artifact).unwrap();
        bytes[0] ^= 1;
        fs::write(&artifact, bytes).unwrap();
    }
    let again = ["apply", "iris.yaml", "-p", "epochs=7", "-o", "json"];
    let mut applies = 0;
    while site.run(&again).code() != Some(0) {
        applies += 1;
        assert!(applies < 6, "it does not heal");
    }
    assert_eq!(site.all_money(), SUPPLY_NANO);
    assert_eq!(site.json(&again)["status"], "unchanged");
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_anything_is_paid() {
    let site = Site::new();
    site.write("out", "a file stands where the folder is to be");
    let ran = site.run(&["apply", "iris.yaml"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.err().contains("cannot be written"), "{}", ran.err());
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"].as_array().unwrap().len(), 0, "nothing was submitted");
}
