//! Agreement with scikit-learn: the same rows, the same objectives, the same models. Never compares
//! with a number that was written down: the peer is trained in the same run.

use crate::site::{Site, python};
use serde_json::Value;

#[test]
fn models_are_those_of_scikit_learn_within_noise() {
    let site = Site::new();
    let ran = python("agree.py")
        .args([env!("CARGO_BIN_EXE_ohc"), site.path("").to_str().unwrap()])
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let cases: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(ran.status.success(), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(cases.len(), 10, "{out}");
    assert!(cases.iter().all(|case| case["agrees"] == true), "{out}");
}
