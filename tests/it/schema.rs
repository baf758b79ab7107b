//! The JSON Schema for editors, before a validator that knows nothing of us: it accepts what the
//! compiler accepts, and refuses what is wrong with the structure. Never checks references.

use crate::site::python;
use ohc::domain::manifest::{Diagnostic, compile};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Broken manifests whose fault reads like one of structure, but which only the compiler can see:
/// it is in the value of an expression, or in a number that a schema cannot measure.
const BEYOND: &[&str] = &["bad-ratios-fine", "expression-types", "out-of-range-by-cell"];

/// What a message about a fault of structure has in it.
const STRUCTURE: &[&str] = &["unknown key", " needs `", " must be ", " cannot be `", " must have "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The manifests of a folder that a YAML reader without bounds of ours may be given.
fn manifests(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join(folder)).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let is_sane = |name: &str| {
        name.ends_with(".yaml") && !name.starts_with("hostile-") && !name.starts_with("syntax-")
    };
    let mut all: Vec<PathBuf> =
        paths.filter(|path| is_sane(path.file_name().unwrap().to_str().unwrap())).collect();
    all.sort();
    all
}

/// What the validator says of the schema and of some manifests.
fn ask(manifests: &[PathBuf]) -> Value {
    let schema = root().join("schemas/pipeline.v1alpha1.json");
    let done = python("schema.py").arg(schema).args(manifests).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn the_schema_is_sound_and_every_field_has_a_description_and_fitting_examples() {
    let answer = ask(&manifests("manifests"));
    assert_eq!(answer["meta"], "ok");
    let fields = answer["fields"].as_object().unwrap();
    assert!(fields.len() > 100, "only {} fields", fields.len());
    for (name, field) in fields {
        assert_eq!(field["described"], true, "{name} has no description");
        assert!(field["examples"].as_u64().unwrap() > 0, "{name} has no example");
        assert_eq!(field["misfits"], serde_json::json!([]), "an example of {name} is refused");
    }
}

#[test]
fn the_schema_accepts_what_compiles_and_refuses_what_is_wrong_with_the_structure() {
    let dir = tempfile::tempdir().unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, example) = readme.split_once("```yaml\n").unwrap();
    let path = dir.path().join("readme.yaml");
    std::fs::write(&path, example.split_once("```").unwrap().0).unwrap();
    let mut all = vec![path, root().join("tests/data/design.yaml")];
    all.extend(manifests("manifests"));
    all.extend(manifests("tests/data/diag"));
    let answer = ask(&all);
    let (mut accepted, mut refused) = (0, 0);
    for path in &all {
        let text = std::fs::read_to_string(path).unwrap();
        let (_, faults) = compile(&text, &BTreeMap::new());
        let name = path.file_stem().unwrap().to_str().unwrap();
        let verdict = answer["manifests"][path.to_str().unwrap()].as_str().unwrap();
        let is_structure = |fault: &Diagnostic| {
            fault.is_error() && STRUCTURE.iter().any(|part| fault.message.contains(part))
        };
        if !faults.iter().any(Diagnostic::is_error) {
            assert_eq!(verdict, "accepted", "{name} compiles");
            accepted += 1;
        } else if faults.iter().any(is_structure) && !BEYOND.contains(&name) {
            assert_ne!(verdict, "accepted", "{name} is wrong: {faults:?}");
            refused += 1;
        }
    }
    assert!(accepted >= 10 && refused >= 30, "{accepted} accepted, {refused} refused");
}
