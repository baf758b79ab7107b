//! What is said about broken manifests, what the sound ones expand to, and the schema for editors.
//! Never runs a job: a plan is compared as text.

use super::{at, check, names, read};
use ohc::base::amount::{Ohc, SUPPLY, Work};
use ohc::base::canon::Digest;
use ohc::base::ids::JobId;
use ohc::base::keys::SecretKey;
use ohc::domain::classes::Classes;
use ohc::domain::command::Bid;
use ohc::domain::forecast::{Stall, Wish, forecast};
use ohc::domain::genesis::{Allocation, Genesis, Params};
use ohc::domain::graph::{Dag, Edge, From, Job, Output, expand};
use ohc::domain::job::{Chunk, Column, ColumnKind, Format, Pin};
use ohc::domain::manifest::{Diagnostic, Manifest, Source, compile, json_schema};
use ohc::domain::plan::plan;
use ohc::domain::state::State;
use ohc::domain::terms::Equipment;
use std::collections::BTreeMap;

fn params(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// A made-up pin for every source: 150 rows, of the columns of the table where it is one of the
/// project's, else of those of iris.
fn pins(manifest: &Manifest) -> BTreeMap<String, Pin> {
    let pin = |(name, source): (&String, &Source)| {
        let digest = Digest::of(name.as_bytes());
        let (bytes, rows) = (3_858, 150);
        let pin = Pin {
            source: name.clone(),
            digest,
            bytes,
            rows,
            columns: match (&source.made, source.reading.format) {
                (Some(_), _) => ["text", "question", "answer"].map(text).to_vec(),
                (None, Format::Text) => vec![text("text")],
                (None, _) => columns(&source.url),
            },
            chunks: vec![Chunk { digest, bytes, rows, first_line: 1, groups: None }],
        };
        (name.clone(), pin)
    };
    manifest.sources.iter().map(pin).collect()
}

fn text(name: &str) -> Column {
    Column { name: name.to_owned(), kind: ColumnKind::Text }
}

/// The columns of a table below `manifests`, by its head and its first row; those of a parquet
/// file, which is not text, as `data/make.py` writes them; of a folder those that an encoder
/// gives, and a language model none.
fn columns(url: &str) -> Vec<Column> {
    use ColumnKind::{Integer, Real, Text, Truth};
    if url.ends_with(".parquet") {
        let all = [("id", Integer), ("km", Real), ("items", Integer), ("hour", Integer)];
        let more = [("zone", Text), ("rain", Truth), ("outcome", Text)];
        let count = if url.contains("tomorrow") { 6 } else { 7 };
        let column = |(name, kind): (&str, ColumnKind)| Column { name: name.to_owned(), kind };
        return all.into_iter().chain(more).take(count).map(column).collect();
    }
    if url.ends_with(".png") {
        let name = |at: u32| format!("y{}x{}", at / 16, at % 16);
        let pixels = (0..256).map(|at| Column { name: name(at), kind: Integer });
        return pixels.chain([Column { name: "label".to_owned(), kind: Text }]).collect();
    }
    if url.contains("llama") {
        return Vec::new();
    }
    if url.ends_with('/') {
        let column = |place: u32| Column { name: place.to_string(), kind: Real };
        return (0..32).map(column).collect();
    }
    let path = at(&format!("manifests/{url}"));
    let path = if path.exists() { path } else { at("manifests/data/iris.csv") };
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(','));
    let head = lines.next().unwrap();
    let kind = |cell: &str| match (cell.parse::<i64>(), cell.parse::<f64>(), cell) {
        (Ok(_), ..) => ColumnKind::Integer,
        (_, Ok(_), _) => ColumnKind::Real,
        (.., "true" | "false") => ColumnKind::Truth,
        _ => ColumnKind::Text,
    };
    let each = head.zip(lines.next().unwrap());
    each.map(|(name, cell)| Column { name: name.to_owned(), kind: kind(cell) }).collect()
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

/// What only the pins tell, and then what only the prices and the workers do: one of 4 cores and
/// 16 GiB.
fn prospects(manifest: &Manifest) -> Vec<Diagnostic> {
    let pins: Vec<Pin> = pins(manifest).into_values().collect();
    let plan = match plan(manifest, &pins) {
        Ok(plan) => plan,
        Err(faults) => return faults,
    };
    let key = |n| SecretKey::from_bytes(&[n; 32]).public();
    let stake = Ohc::from_whole(40_000).unwrap();
    let allocations = vec![
        Allocation { key: key(1), balance: SUPPLY.checked_sub(stake).unwrap(), stake: Ohc::ZERO },
        Allocation { key: key(2), balance: Ohc::ZERO, stake },
    ];
    let (name, params) = ("golden".to_owned(), Params::embedded());
    let state = State::new(&Genesis { name, salt: [0; 32], params, allocations });
    let has = Equipment { cores: 4, memory: 16 << 30, gpus: 0 };
    let ask = state.params().base_price;
    let bid = Bid { ask, capacity: Work::new(u64::MAX), has };
    let bids = [Stall { bid, takes: Classes::ALL }];
    let wish = Wish { client: &key(1), name: &manifest.name, bids: &bids, again: &[] };
    let forecast = forecast(&state, &plan, &wish, &|_| false).unwrap();
    forecast.warnings(manifest, &plan)
}

#[test]
fn every_broken_manifest_says_what_is_wrong_and_what_to_do() {
    let all = names("tests/data/diag", ".yaml");
    assert!(all.len() >= 60, "only {} broken manifests", all.len());
    for name in all {
        let text = read(&format!("tests/data/diag/{name}.yaml"));
        let (manifest, mut faults) = compile(&text, &BTreeMap::new());
        let has_errors = faults.iter().any(Diagnostic::is_error);
        assert_eq!(manifest.is_none(), has_errors, "{name}");
        if let Some(manifest) = manifest.filter(|_| faults.is_empty()) {
            faults = prospects(&manifest);
        }
        assert!(!faults.is_empty(), "{name}: nothing is wrong with it");
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
    // One of them is broken on purpose.
    for name in all.iter().filter(|name| *name != "broken") {
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
