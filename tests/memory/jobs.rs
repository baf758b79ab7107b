//! What jobs take of memory, beside what their plan says: whole pipelines, job by job, with the
//! shapes that a plan knows and no others. Never looks at what the jobs compute.

use super::{alone, most};
use ohc::base::canon::Digest;
use ohc::compute::table::survey;
use ohc::compute::{Machine, Named, forget, job};
use ohc::domain::graph::From;
use ohc::domain::job::{Pin, Reading};
use ohc::domain::{manifest, plan};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So small that buffers of the kernels and names of columns are more than what is estimated.
const SMALL: u64 = 4 << 20;

/// Runs all jobs of a pipeline on these sources, each a name and CSV. No estimate is more than so
/// many times what was taken.
#[expect(clippy::print_stdout, reason = "whoever measures wants to see it")]
fn check(stages: &str, sources: &[(&str, String)], times: u64) {
    let mut text = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: held }\nspec:\n  \
        budget: { total: \"1000000.00\" }\n  sources:\n"
        .to_owned();
    let (mut pins, mut artifacts) = (Vec::new(), BTreeMap::new());
    for (name, csv) in sources {
        writeln!(text, "    {name}: {{ url: {name}.csv, format: csv }}").unwrap();
        let (survey, cuts) = survey(&Reading::csv(), None, csv.as_bytes()).unwrap();
        pins.push(Pin {
            source: (*name).to_owned(),
            digest: Digest::of(csv.as_bytes()),
            bytes: csv.len() as u64,
            rows: survey.rows.rows,
            columns: survey.columns,
            chunks: cuts.iter().flat_map(|cut| cut.chunks.clone()).collect(),
        });
        artifacts.extend(cuts.into_iter().map(|cut| (Digest::of(&cut.bytes), cut.bytes)));
    }
    writeln!(text, "  stages:\n{stages}").unwrap();
    let (manifest, faults) = manifest::compile(&text, &BTreeMap::new());
    let manifest = manifest.unwrap_or_else(|| panic!("{faults:?}"));
    let jobs = plan::plan(&manifest, &pins).unwrap().dag.jobs;
    let mut made: Vec<Vec<Named>> = Vec::new();
    for job in &jobs {
        let bytes = |from: &From| match from {
            From::Source { digest, .. } => artifacts.get(digest).unwrap().clone(),
            From::Job { id, output } => {
                let outputs = made.get(id.0 as usize).unwrap();
                outputs.iter().find(|named| named.name == *output).unwrap().bytes.clone()
            }
        };
        let inputs = job.inputs.iter();
        let inputs: Vec<Named> = inputs
            .map(|edge| Named { name: edge.name.clone(), bytes: bytes(&edge.from) })
            .collect();
        let given: usize = inputs.iter().map(|input| input.bytes.len()).sum();
        let mut done = None;
        let taken = most(|| {
            let ran = job::run(&Machine::default(), &job.spec, &inputs, &mut |_| {}, &mut forget);
            done = Some(ran.unwrap());
        });
        made.push(done.unwrap().outputs);
        let taken = (given + taken) as u64;
        let memory = job.size.memory.unwrap();
        println!("{job}: {taken} taken, {} estimated, {} bound", memory.estimate, memory.bound);
        let beyond = taken.saturating_sub(SMALL) > 2 * memory.estimate || taken > memory.bound;
        assert!(!beyond, "{job}: {taken} beyond twice {memory:?}");
        // A training on characters is taken for one on a thousand of them.
        let times = if job.spec.kind() == "train" { times.max(12) } else { times };
        assert!(memory.estimate <= times * taken.max(SMALL), "{job}: {memory:?} for {taken}");
    }
}

fn people(rows: usize) -> String {
    let row = |at: usize| {
        let (kind, label) = (at % 7, if at.is_multiple_of(3) { "yes" } else { "no" });
        let x = (at * 7919 % 10_007) as f64 / 8.0;
        format!("{at},k{kind},{x},the staff was very friendly and room {kind} cold,{label}\n")
    };
    format!("id,kind,x,text,label\n{}", (0..rows).map(row).collect::<String>())
}

#[test]
fn steps_take_about_what_was_estimated() {
    let _alone = alone();
    let stages = r#"
    table: { uses: ingest, inputs: { rows: sources.rows } }
    other: { uses: ingest, inputs: { rows: sources.other } }
    cells:
      uses: transform
      inputs: { table: table.table }
      with:
        steps:
          - derive: { z: "x * 2 + id", big: "upper(text)" }
          - fill: { columns: [x], with: median }
          - filter: "x > 1"
          - standardise: [x, z]
    cast:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ cast: { columns: { id: string, x: string } } }] }
    marks:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ oneHot: { columns: [kind] } }] }
    words:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ hash: { column: text, buckets: 48 } }] }
    again:
      uses: transform
      inputs: { table: table.table, fitted: words.fitted }
    once:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ dedupe: {} }] }
    sorted:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ sort: { x: ascending, text: descending } }] }
    some:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ shuffle: { seed: 1 } }, { sample: { share: 0.5 } }] }
    joined:
      uses: transform
      inputs: { table: table.table, right: other.table }
      with: { steps: [{ join: { on: [id], kind: left } }] }
    groups:
      uses: transform
      inputs: { table: table.table }
      with:
        steps:
          - aggregate:
              by: [id]
              measures: { n: { count: "*" }, x: { mean: x }, k: { distinct: kind } }
    bytes:
      uses: tokenize
      inputs: { table: table.table }
      with: { column: text, kind: byte, into: stream }
    pairs:
      uses: tokenize
      inputs: { table: table.table }
      with: { column: text, kind: bpe, vocabulary: 300, into: { length: 16 } }
"#;
    let other = people(60_000).replacen("id,kind,x,text,label", "id,a,b,c,d", 1);
    check(stages, &[("rows", people(100_000)), ("other", other)], 6);
}

#[test]
fn models_are_heard_with_about_what_was_estimated() {
    let _alone = alone();
    let stages = r#"
    table: { uses: ingest, inputs: { rows: sources.rows } }
    words:
      uses: transform
      inputs: { table: table.table }
      with:
        steps:
          - drop: [id]
          - oneHot: { columns: [kind] }
          - hash: { column: text, buckets: 32 }
    train:
      uses: train
      matrix: { axes: { width: [4, 8] } }
      inputs: { data: words.table }
      with:
        model: { kind: mlp, hidden: ["${{ matrix.width }}"] }
        target: label
        epochs: 1
        batch: 512
    number:
      uses: train
      inputs: { data: words.table }
      with:
        task: regression
        model: { kind: linear }
        target: x
        features: ["kind=k0", "text#1"]
        epochs: 1
        batch: 512
    raw: { uses: evaluate, inputs: { models: "train.*.model", data: table.table } }
    near: { uses: evaluate, inputs: { models: "train.*.model", data: words.table } }
    numbers: { uses: evaluate, inputs: { models: number.model, data: table.table } }
    all:
      uses: predict
      inputs: { model: raw.best, data: table.table }
      with: { probabilities: true }
    some:
      uses: predict
      inputs: { model: raw.best, data: table.table }
      with: { keep: [id] }
    card: { uses: export, inputs: { model: raw.best, report: raw.report } }
    chart: { uses: compare, inputs: { reports: raw.report } }
"#;
    check(stages, &[("rows", people(50_000))], 6);
}

#[test]
fn a_text_is_foretold_with_about_what_was_estimated() {
    let _alone = alone();
    let stages = r#"
    table: { uses: ingest, inputs: { rows: sources.rows } }
    texts:
      uses: transform
      inputs: { table: table.table }
      with: { steps: [{ select: [text] }] }
    split:
      uses: split
      inputs: { table: texts.table }
      with: { ratios: { train: 0.4, test: 0.6 }, order: kept }
    tokens:
      uses: tokenize
      inputs: { table: split.train }
      with: { column: text, kind: char, into: stream }
    train:
      uses: train
      inputs: { data: tokens.table }
      with:
        task: language
        model: { kind: gpt, blocks: 1, heads: 1, width: 8, context: 16 }
        epochs: 1
        batch: 64
    raw: { uses: evaluate, inputs: { models: train.model, data: split.test } }
    near: { uses: evaluate, inputs: { models: train.model, data: tokens.table } }
"#;
    check(stages, &[("rows", people(20_000))], 6);
}

#[test]
fn wide_tables_and_long_texts_stay_in_their_bounds() {
    let _alone = alone();
    let mut wide = (0..400).map(|at| format!("c{at},")).collect::<String>() + "label\n";
    for row in 0..4_000 {
        (0..400).for_each(|at| write!(wide, "{},", (row * 31 + at) % 97).unwrap());
        wide += if row % 2 == 0 { "a\n" } else { "b\n" };
    }
    let mut long = "text,label\n".to_owned();
    for row in 0..200usize {
        (0..4_000).for_each(|at| write!(long, "w{} ", (row * 7 + at * at) % 5_003).unwrap());
        long += if row % 2 == 0 { ",a\n" } else { ",b\n" };
    }
    let stages = r#"
    wide: { uses: ingest, inputs: { rows: sources.wide } }
    marks:
      uses: transform
      inputs: { table: wide.table }
      with: { steps: [{ oneHot: { columns: [c1, c2] } }] }
    train:
      uses: train
      inputs: { data: marks.table }
      with: { model: { kind: logistic }, target: label, epochs: 1, batch: 256 }
    evaluate: { uses: evaluate, inputs: { models: train.model, data: wide.table } }
    say: { uses: predict, inputs: { model: train.model, data: wide.table } }
    long: { uses: ingest, inputs: { rows: sources.long } }
    parts:
      uses: split
      inputs: { table: long.table }
      with: { ratios: { train: 0.5, test: 0.5 }, stratify: label }
    words:
      uses: transform
      inputs: { table: parts.train }
      with: { steps: [{ hash: { column: text, buckets: 256 } }] }
    read:
      uses: train
      inputs: { data: words.table }
      with: { model: { kind: logistic }, target: label, epochs: 1 }
    told: { uses: evaluate, inputs: { models: read.model, data: parts.test } }
    tokens:
      uses: tokenize
      inputs: { table: parts.train }
      with: { column: text, kind: bpe, vocabulary: 400, into: { length: 64 } }
"#;
    // Columns that are made of long texts are taken for as long as these.
    check(stages, &[("wide", wide), ("long", long)], 500);
}
