//! Proofs that the outline tells the truth: examples hold, and paths find what they name.
//! Never reads the documents that are made of it.

use super::*;
use crate::domain::manifest::check;
use crate::domain::manifest::compile;
use crate::domain::manifest::diagnostic::{Diagnostic, Faults, Place};
use crate::domain::manifest::node;
use std::collections::BTreeMap;

/// Every key of the grammar with the path to it.
fn all() -> Vec<(String, Key)> {
    fn visit(section: &Section, path: &str, found: &mut Vec<(String, Key)>) {
        for key in &section.keys {
            let path = format!("{path}.{}", key.name());
            found.push((path.clone(), *key));
            key.below().iter().for_each(|below| visit(below, &path, found));
        }
    }
    let mut found = Vec::new();
    visit(&document(), "", &mut found);
    kinds().for_each(|kind| visit(&kind.with(), kind.name(), &mut found));
    found
}

#[test]
fn every_example_of_the_grammar_is_what_may_stand_there() {
    let mut count = 0;
    for (path, key) in all() {
        let (Entry::Field(field), Some(example)) = (key.0, key.example()) else { continue };
        let text = format!("{}: {example}", field.name);
        let mut faults = Faults::default();
        let node = node::parse(&text, &mut faults).unwrap_or_else(|| panic!("{path}: {text}"));
        let value = node.get(field.name).unwrap();
        check::field(field, value, Place::default(), &mut faults);
        assert_eq!(faults.into_vec(), [], "{path}: {text}");
        count += 1;
    }
    assert!(count > 80, "only {count} examples");
}

#[test]
fn every_key_has_an_example_or_keys_below_it() {
    for (path, key) in all() {
        let is_told = key.example().is_some() || !key.below().is_empty() || key.is_by_kind();
        assert!(is_told || path == ".metadata.annotations", "{path} has no example");
        assert!(key.doc().ends_with('.'), "{path}: {}", key.doc());
        assert!(!key.doc().contains("  ") && !key.ty().is_empty(), "{path}");
    }
}

#[test]
fn the_examples_of_all_kinds_are_one_pipeline() {
    let text = example();
    let (manifest, faults) = compile(&text, &BTreeMap::new());
    let errors: Vec<_> = faults.iter().filter(|fault| fault.is_error()).collect();
    assert!(manifest.is_some(), "{errors:?}\n{text}");
    // It is what people copy.
    let is_leak = |fault: &Diagnostic| fault.message.contains("trained on");
    assert!(!faults.iter().any(is_leak), "{faults:?}");
}

#[track_caller]
fn check(path: &str, expect: &str) {
    let said = match find(path) {
        Ok(Topic::Document(section)) => section.name.to_owned(),
        Ok(Topic::Kind(kind)) => format!("uses: {}", kind.name()),
        Ok(Topic::Key(path, key)) => format!("{path}: {}", key.ty()),
        Err(hint) => format!("unknown; {}", hint.unwrap_or_default()),
    };
    assert_eq!(said, expect, "{path}");
}

#[test]
fn a_path_finds_what_it_names_however_it_is_written() {
    check("", "manifest");
    check("train", "uses: train");
    check("stages.train", "uses: train");
    let optimizer = "train.with.optimizer: mapping that `kind` chooses";
    check("train.optimizer", optimizer);
    check("train.with.optimizer", optimizer);
    check("stages.train.with.optimizer", optimizer);
    check("spec.stages.train.with.optimizer", optimizer);
    check("train.optimizer.beta1", "train.with.optimizer.beta1: number from 0 below 1");
    // Each kind of model has a `kind`: all of them are told.
    check("train.model.kind", "train.with.model: mapping that `kind` chooses");
    check("train.optimizer.kind", optimizer);
    let retry = "spec.stages.STAGE.retry.maxAttempts: integer from 1 to ";
    for path in ["stages.mine.retry.maxAttempts", "spec.stages.retry.maxAttempts"] {
        let Ok(Topic::Key(path, key)) = find(path) else { panic!("{path}") };
        assert!(format!("{path}: {}", key.ty()).starts_with(retry), "{path}");
    }
    check("transform.steps[].fill.columns", "transform.with.steps[].fill.columns: list of text");
    check("params.epochs.minimum", "spec.params.PARAMETER.minimum: number, text or boolean");
}

#[test]
fn a_path_that_names_nothing_says_what_is_near() {
    check("stage", "unknown; did you mean `stages`?");
    check("optimizer", "unknown; did you mean `train.optimizer`?");
    check("epochs", "unknown; did you mean `train.epochs`?");
    check("lr", "unknown; did you mean `train.optimizer.lr` or `train.parallel.outer.lr`?");
    check("oneHot", "unknown; did you mean `transform.steps[].oneHot`?");
    check("matrix", "unknown; did you mean `stages.STAGE.matrix`?");
    check("csv", "unknown; did you mean `sources.SOURCE.csv`?");
    check("train.optimiser", "unknown; did you mean `optimizer`?");
    check("train.model.widht", "unknown; did you mean `width`?");
    check("stages.mine.retri", "unknown; did you mean `retry`?");
    check("stages.mine.with.lr", "unknown; name a kind: `train.with`, or `stages.train.with`");
}
