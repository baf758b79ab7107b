//! Agreement with scikit-learn: the same rows, the same objectives, the same models. Never compares
//! with a number that was written down: the peer is trained in the same run.

use crate::site::Site;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The python of the peers' environment, which is made once.
fn python() -> String {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/venv");
    let made = Command::new(venv).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[test]
fn models_are_those_of_scikit_learn_within_noise() {
    let site = Site::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/agree.py");
    let ran = Command::new(python())
        .arg(script)
        .args([env!("CARGO_BIN_EXE_ohc"), site.path("").to_str().unwrap()])
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let cases: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(ran.status.success(), "{out}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(cases.len(), 10, "{out}");
    assert!(cases.iter().all(|case| case["agrees"] == true), "{out}");
}
