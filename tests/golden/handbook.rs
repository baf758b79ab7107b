//! The documents that are made from the program: they are current, and their examples hold.
//! Never reads the grammar: the documents are taken as people get them.

use super::check;
use ohc::cli::handbook;
use ohc::domain::manifest::compile;
use std::collections::BTreeMap;

#[test]
fn the_document_of_the_command_line_is_current() {
    check("docs/cli.md", &handbook::commands());
}

#[test]
fn the_document_of_the_manifest_is_current() {
    check("docs/manifest.md", &handbook::grammar());
}

#[test]
fn the_pipeline_of_the_document_compiles() {
    let text = handbook::grammar();
    let (_, text) = text.split_once("## A pipeline\n\n```yaml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let (manifest, faults) = compile(text, &BTreeMap::new());
    assert!(manifest.is_some(), "{faults:?}");
}
