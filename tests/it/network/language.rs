//! Another language: a program in Python reads every test vector of the protocol and writes it
//! again, from the schema alone. Never speaks to a network.

use crate::site::python_with;
use serde_json::Value;
use std::path::Path;

#[test]
fn what_the_schema_says_is_enough_to_read_write_and_sign_every_message() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let ran = python_with(&["wire"], "wire.py").arg(schemas).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(told["vectors"].as_u64() >= Some(37) && told["signatures"].as_u64() >= Some(27));
}
