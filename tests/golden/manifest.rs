//! What is said about broken manifests, what the sound ones expand to, and the schema for editors.
//! Never runs a job: a plan is compared as text.

use super::{check, names, read};
use ohc::base::canon::Digest;
use ohc::base::ids::JobId;
use ohc::domain::graph::{Dag, Edge, From, Job, Output, expand};
use ohc::domain::job::{Chunk, Column, ColumnKind, Pin};
use ohc::domain::manifest::{Diagnostic, Manifest, compile, json_schema};
use std::collections::BTreeMap;

fn params(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The same made-up pin for every source: 150 rows of iris.
fn pins(manifest: &Manifest) -> BTreeMap<String, Pin> {
    let columns = [
        ("sepal_length", ColumnKind::Real),
        ("sepal_width", ColumnKind::Real),
        ("petal_length", ColumnKind::Real),
        ("petal_width", ColumnKind::Real),
        ("species", ColumnKind::Text),
    ];
    let pin = |source: &String| Pin {
        source: source.clone(),
        digest: Digest::of(source.as_bytes()),
        bytes: 3_858,
        rows: 150,
        columns: columns.map(|(name, kind)| Column { name: name.to_owned(), kind }).to_vec(),
        chunks: vec![Chunk {
            digest: Digest::of(source.as_bytes()),
            bytes: 3_858,
            rows: 150,
            first_line: 1,
            groups: None,
        }],
    };
    manifest.sources.keys().map(|source| (source.clone(), pin(source))).collect()
}

/// One job per line: place in the order, address, kind, work; then its inputs.
fn listing(dag: &Dag) -> String {
    let address = |id: JobId| dag.jobs.get(id.index()).map_or("?".to_owned(), Job::to_string);
    let edge = |edge: &Edge| match &edge.from {
        From::Source { name, .. } => format!("    {} <- sources.{name}\n", edge.name),
        From::Job { id, output } => format!("    {} <- {} {output}\n", edge.name, address(*id)),
    };
    let job = |(index, job): (usize, &Job)| {
        let work = job.size.work().units();
        let inputs: String = job.inputs.iter().map(edge).collect();
        let after = job.after.iter().map(|id| format!("    after {}\n", address(*id)));
        let after: String = after.collect();
        format!("{index} {job} {} {work}\n{inputs}{after}", job.spec.kind())
    };
    let output = |(name, output): (&String, &Output)| {
        format!("{name}: {} {} -> {}\n", address(output.job), output.output, output.to)
    };
    dag.jobs.iter().enumerate().map(job).chain(dag.outputs.iter().map(output)).collect()
}

#[test]
fn every_broken_manifest_says_what_is_wrong_and_what_to_do() {
    let all = names("tests/data/diag", ".yaml");
    assert!(all.len() >= 30, "only {} broken manifests", all.len());
    for name in all {
        let text = read(&format!("tests/data/diag/{name}.yaml"));
        let (manifest, mut faults) = compile(&text, &BTreeMap::new());
        let has_errors = faults.iter().any(Diagnostic::is_error);
        assert_eq!(manifest.is_none(), has_errors, "{name}");
        if let Some(manifest) = manifest.filter(|_| faults.is_empty()) {
            // What only the pins tell.
            faults = expand(&manifest, &pins(&manifest)).expect_err(&name);
        }
        assert!(faults.is_sorted(), "{name}: not in order of place");
        assert!(faults.iter().all(|fault| fault.place.line > 0), "{name}: a fault without place");
        let said: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        check(&format!("tests/data/diag/{name}.diag.txt"), &said);
    }
}

#[test]
fn the_manifests_expand_to_the_jobs_that_were_agreed() {
    let all = names("manifests", ".yaml");
    assert!(all.len() >= 2);
    for name in all {
        let text = read(&format!("manifests/{name}.yaml"));
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        assert!(faults.is_empty(), "{name}: {faults:?}");
        let manifest = manifest.unwrap();
        let dag = expand(&manifest, &pins(&manifest)).unwrap();
        check(&format!("tests/data/plan/{name}.dag.txt"), &listing(&dag));
    }
}

#[test]
fn a_long_training_is_cut_into_parts_that_hand_on_their_state() {
    let text = read("manifests/iris.yaml");
    let (manifest, faults) = compile(&text, &params(&[("epochs", "200000")]));
    assert!(faults.is_empty(), "{faults:?}");
    let manifest = manifest.unwrap();
    let dag = expand(&manifest, &pins(&manifest)).unwrap();
    check("tests/data/plan/iris-long.dag.txt", &listing(&dag));
}

#[test]
fn the_schema_for_editors_is_the_one_of_the_grammar() {
    check("schemas/pipeline.v1alpha1.json", &json_schema());
}

#[test]
fn the_manifest_of_the_readme_compiles() {
    let readme = read("README.md");
    let text = readme.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("```"));
    let (text, _) = text.unwrap();
    let (manifest, faults) = compile(text, &BTreeMap::new());
    assert!(faults.is_empty() && manifest.is_some(), "{faults:?}");
}
