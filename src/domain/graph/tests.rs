//! Laws of expansion: order, names, pins, a large matrix. Never asserts a timing.

use super::*;
use crate::base::canon::Digest;
use crate::domain::job::{Chunk, ColumnKind};
use crate::domain::manifest::compile;
use proptest::prelude::*;

#[track_caller]
fn dag(stages: &str, columns: &[&str]) -> Dag {
    let head = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: t }\nspec:\n";
    let (manifest, faults) = compile(&format!("{head}{stages}"), &BTreeMap::new());
    assert!(manifest.is_some(), "{faults:?}");
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Real };
    let (digest, bytes, rows) = (Digest::default(), 1000, 100);
    let chunks = vec![Chunk { digest, bytes, rows, first_line: 2, groups: None }];
    let columns = columns.iter().map(column).collect();
    let pin = Pin { source: "s".to_owned(), digest, bytes, rows, columns, chunks };
    expand(&manifest.unwrap(), &BTreeMap::from([("s".to_owned(), pin)])).unwrap()
}

/// Every edge comes from an earlier job that has the output it names.
#[track_caller]
fn check(dag: &Dag) {
    for (index, job) in dag.jobs.iter().enumerate() {
        for edge in &job.inputs {
            if let From::Job { id, output } = &edge.from {
                assert!(id.index() < index, "{job}");
                let from = &dag.jobs[id.index()];
                assert!(from.spec.outputs().contains(&output.as_str()), "{job} <- {from}");
            }
        }
        assert!(job.after.iter().all(|id| id.index() < index), "{job}");
    }
}

#[test]
fn a_hundred_thousand_instances_fan_in_to_one() {
    let ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let dag = dag(
        &format!(
            "  run: {{ limits: {{ instances: 100000 }} }}\n  stages:\n    fan:\n      uses: \
             noop\n      matrix: {{ axes: {{ a: {ten}, b: {ten}, c: {ten}, d: {ten}, e: {ten} \
             }} }}\n    join: {{ uses: noop, inputs: {{ all: \"fan.*.done\" }} }}\n"
        ),
        &[],
    );
    check(&dag);
    assert_eq!(dag.jobs.len(), 100_001);
    assert_eq!(dag.jobs[100_000].inputs.len(), 100_000);
    assert_eq!(dag.jobs[100_000].inputs[99_999].name, "all[a=9,b=9,c=9,d=9,e=9]");
}

#[test]
fn equal_cells_are_joined_and_needs_wait_for_all() {
    let dag = dag(
        "  stages:\n    z: { uses: noop, matrix: { axes: { n: [1, 2, 3] } } }\n    a:\n      \
         uses: noop\n      matrix: { axes: { n: [2, 3] } }\n      inputs: { one: z.done }\n    \
         b: { uses: noop, needs: [a] }\n",
        &[],
    );
    check(&dag);
    let names: Vec<_> = dag.jobs.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["z@n=1", "z@n=2", "z@n=3", "a@n=2", "a@n=3", "b"]);
    let from = |job: usize| dag.jobs[job].inputs[0].from.clone();
    assert_eq!(from(3), From::Job { id: JobId(1), output: "done".to_owned() });
    assert_eq!(from(4), From::Job { id: JobId(2), output: "done".to_owned() });
    assert_eq!(dag.jobs[5].after, [JobId(3), JobId(4)]);
}

#[test]
fn a_pin_tells_the_columns_and_chunks_of_an_ingest() {
    let dag = dag(
        "  sources: { s: { url: s.csv, format: csv } }\n  stages: { t: { uses: ingest, inputs: \
         { rows: sources.s } } }\n",
        &["x", "y"],
    );
    let Spec::Ingest(ingest) = &dag.jobs[0].spec else { panic!("no ingest") };
    assert_eq!(ingest.chunks[0].rows, 100);
    assert_eq!(ingest.columns.len(), 2);
}

/// A pin of a source whose chunks have so many rows each; equal names are equal bytes.
pub(super) fn chunked(chunks: &[(&str, u64)]) -> Pin {
    let chunk = |(name, rows): &(&str, u64)| Chunk {
        digest: Digest::of(name.as_bytes()),
        bytes: rows * 10,
        rows: *rows,
        first_line: 2,
        groups: None,
    };
    let chunks: Vec<Chunk> = chunks.iter().map(chunk).collect();
    let rows = chunks.iter().map(|chunk| chunk.rows).sum();
    let columns = vec![Column { name: "x".to_owned(), kind: ColumnKind::Real }];
    let (digest, bytes) = (Digest::of(b"whole"), rows * 10);
    Pin { source: "s".to_owned(), digest, bytes, rows, columns, chunks }
}

pub(super) fn ingest(with: &str, pin: Pin) -> Result<Dag, Vec<Diagnostic>> {
    let text = format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  sources: {{ \
         s: {{ url: s.csv, format: csv }} }}\n  stages:\n    t: {{ uses: ingest, inputs: {{ rows: \
         sources.s }}, {with} }}\n    join: {{ uses: noop, inputs: {{ all: t.table }}, needs: [t] \
         }}\n"
    );
    let (manifest, faults) = compile(&text, &BTreeMap::new());
    assert!(manifest.is_some(), "{faults:?}");
    expand(&manifest.unwrap(), &BTreeMap::from([("s".to_owned(), pin)]))
}

#[test]
fn a_folder_is_of_the_family_that_its_stage_takes() {
    let expanded = |stage: &str, columns: usize| {
        let text = format!(
            "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  \
             sources:\n    s: {{ url: s.csv, format: csv }}\n    m: {{ url: m/, format: \
             huggingface }}\n  stages:\n    t: {{ uses: ingest, inputs: {{ rows: sources.s }} \
             }}\n    of: {{ uses: {stage}: sources.m, table: t.table }}, with: {{ column: x }} \
             }}\n"
        );
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        assert!(manifest.is_some(), "{faults:?}");
        let column = |i: usize| Column { name: i.to_string(), kind: ColumnKind::Real };
        let columns: Vec<Column> = (0..columns).map(column).collect();
        let network = Pin { source: "m".to_owned(), columns, ..chunked(&[("m", 0)]) };
        let pins = [("s".to_owned(), chunked(&[("a", 9)])), ("m".to_owned(), network)];
        expand(&manifest.unwrap(), &BTreeMap::from(pins))
    };
    let (embed, measure) = ("embed, inputs: { encoder", "perplexity, inputs: { model");
    assert!(expanded(embed, 4).is_ok() && expanded(measure, 0).is_ok());
    let fault = |stage: &str, columns: usize| expanded(stage, columns).unwrap_err()[0].clone();
    assert!(fault(embed, 0).message.contains("is a language model"));
    assert!(fault(measure, 4).message.contains("is an encoder"));
}

pub(super) const SPLIT: &str = "split: { by: rows, target: 10 }";

#[test]
fn a_split_ingest_has_a_job_for_each_chunk_and_its_taker_gets_them_in_order() {
    let dag = ingest(SPLIT, chunked(&[("a", 10), ("b", 10), ("c", 5)])).unwrap();
    check(&dag);
    let names: Vec<_> = dag.jobs.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["t#1/3", "t#2/3", "t#3/3", "join"]);
    for (job, name) in dag.jobs.iter().zip(["a", "b", "c"]) {
        let digest = Digest::of(name.as_bytes());
        let from = From::Source { name: "s".to_owned(), digest };
        assert_eq!(job.inputs, [Edge { name: "rows".to_owned(), from, each: false }]);
        let Spec::Ingest(ingest) = &job.spec else { panic!("no ingest") };
        assert_eq!(ingest.chunks.iter().map(|chunk| chunk.digest).collect::<Vec<_>>(), [digest]);
    }
    let join = &dag.jobs[3];
    let edges: Vec<_> = join.inputs.iter().map(|edge| (edge.name.as_str(), &edge.from)).collect();
    let table = |id| From::Job { id: JobId(id), output: "table".to_owned() };
    assert_eq!(edges, [("all[1]", &table(0)), ("all[2]", &table(1)), ("all[3]", &table(2))]);
    assert_eq!(join.after, [JobId(0), JobId(1), JobId(2)]);
}

#[test]
fn what_is_appended_to_a_source_leaves_the_jobs_before_it_as_they_are() {
    let keys = |pin: Pin| {
        let dag = ingest(SPLIT, pin).unwrap();
        let key = |job: &Job| {
            let input = |edge: &Edge| match &edge.from {
                From::Source { digest, .. } => {
                    Some(crate::domain::job::Input { name: edge.name.clone(), digest: *digest })
                }
                From::Job { .. } => None,
            };
            let inputs: Vec<_> = job.inputs.iter().filter_map(input).collect();
            crate::domain::job::job_key(&job.spec, &inputs)
        };
        let ingests = dag.jobs.iter().filter(|job| job.stage == "t");
        ingests.map(key).collect::<Vec<_>>()
    };
    let before = keys(chunked(&[("a", 10), ("b", 10), ("c", 5)]));
    let after = keys(chunked(&[("a", 10), ("b", 10), ("c longer", 10), ("d", 2)]));
    assert_eq!(before[..2], after[..2]);
    assert!(!before.contains(&after[2]) && !before.contains(&after[3]));
}

#[test]
fn without_a_split_one_job_reads_all_chunks_and_equal_neighbours_are_one_artifact() {
    let dag = ingest("", chunked(&[("a", 10), ("b", 10), ("b", 10)])).unwrap();
    assert_eq!(dag.jobs.len(), 2);
    let names: Vec<_> = dag.jobs[0].inputs.iter().map(|edge| edge.name.as_str()).collect();
    assert_eq!(names, ["rows[1]", "rows[2]"]);
    let Spec::Ingest(ingest) = &dag.jobs[0].spec else { panic!("no ingest") };
    assert_eq!((ingest.chunks.len(), ingest.artifacts().len(), ingest.limit), (3, 2, None));
}

#[test]
fn no_more_chunks_are_read_than_a_limit_reaches() {
    let three = [("a", 10), ("b", 10), ("c", 5)];
    let counts = |with: &str| -> Vec<(usize, Option<u64>)> {
        let dag = ingest(with, chunked(&three)).unwrap();
        let ingests = dag.jobs.iter().filter_map(|job| match &job.spec {
            Spec::Ingest(ingest) => Some((ingest.chunks.len(), ingest.limit)),
            _ => None,
        });
        ingests.collect()
    };
    assert_eq!(counts("with: { limit: 10 }"), [(1, None)]);
    assert_eq!(counts("with: { limit: 11 }"), [(2, Some(11))]);
    assert_eq!(counts("with: { limit: 99 }"), [(3, None)]);
    assert_eq!(counts(&format!("with: {{ limit: 12 }}, {SPLIT}")), [(1, None), (1, Some(2))]);
}

#[test]
fn a_table_beyond_an_artifact_is_refused_with_the_advice_to_split() {
    let million = 1_000_000;
    let huge = chunked(&[("a", 100 * million), ("b", 100 * million)]);
    let faults = ingest("", huge.clone()).unwrap_err();
    let text = faults[0].to_string();
    assert!(text.contains("about 1525 MiB") && text.contains("split: { by: bytes"), "{text}");
    assert!(ingest(SPLIT, huge).is_ok());
}

#[test]
fn a_pin_without_chunks_or_with_too_many_is_refused() {
    for count in [0, CHUNKS_PER_SOURCE_MAX + 1] {
        let faults = ingest("", chunked(&vec![("a", 1); count])).unwrap_err();
        assert!(faults[0].to_string().contains(&format!("has {count} chunks")), "{faults:?}");
    }
}

#[test]
fn a_source_without_a_pin_is_a_fault() {
    let text = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: t }\nspec:\n  \
                sources: { s: { url: s.csv, format: csv } }\n  stages: { t: { uses: noop } }\n";
    let (manifest, _) = compile(text, &BTreeMap::new());
    let faults = expand(&manifest.unwrap(), &BTreeMap::new()).unwrap_err();
    assert!(faults[0].to_string().starts_with("5:14: source `s` has no pin"), "{faults:?}");
}

/// A stage `t` that trains on 100 rows with these settings of `parallel` and of its schedule.
fn spread(parallel: &str, more: &str) -> Result<Dag, Vec<Diagnostic>> {
    let text = format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  sources: {{ \
         s: {{ url: s.csv, format: csv }} }}\n  stages:\n    a: {{ uses: ingest, inputs: {{ \
         rows: sources.s }} }}\n    b: {{ uses: noop }}\n    t:\n      uses: train\n      needs: \
         [b]\n      inputs: {{ data: a.table }}\n      onFailure: continue\n      \
         with: {{ model: {{ kind: logistic }}, target: x, batch: 10, parallel: {{ {parallel} \
         }}, {more} }}\n    e: {{ uses: evaluate, inputs: {{ models: t.model, data: a.table }} }}\n"
    );
    let (manifest, faults) = compile(&text, &BTreeMap::new());
    let manifest = manifest.ok_or(faults)?;
    expand(&manifest, &BTreeMap::from([("s".to_owned(), chunked(&[("a", 100)]))]))
}

#[test]
fn a_training_in_parallel_is_a_start_rounds_of_shards_and_merges_and_a_model() {
    let dag = spread("shards: 3, rounds: 2, localSteps: 5", "").unwrap();
    check(&dag);
    let names: Vec<_> = dag.jobs[2..].iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "t#start",
            "t#round 1/2 shard 1/3",
            "t#round 1/2 shard 2/3",
            "t#round 1/2 shard 3/3",
            "t#round 1/2 merge",
            "t#round 2/2 shard 1/3",
            "t#round 2/2 shard 2/3",
            "t#round 2/2 shard 3/3",
            "t#round 2/2 merge",
            "t",
            "e",
        ]
    );
    let needs = |job: usize| dag.jobs[job].needs().map(|id| id.index()).collect::<Vec<_>>();
    // The rows are of job 0; job 1 is what the stage waits for, and only its first job with it.
    assert_eq!([needs(2), needs(3), needs(5)], [vec![0, 1], vec![0, 2], vec![0, 2]]);
    assert_eq!([needs(6), needs(7)], [vec![2, 3, 4, 5], vec![0, 6]]);
    assert_eq!([needs(10), needs(11), needs(12)], [vec![6, 7, 8, 9], vec![0, 10], vec![11, 0]]);
    let ports: Vec<_> = dag.jobs[6].inputs.iter().map(|edge| edge.name.as_str()).collect();
    assert_eq!(ports, ["state", "shards[1]", "shards[2]", "shards[3]"]);
    assert!(dag.jobs[6].inputs.iter().all(|edge| !edge.each));
    // All that follows rests on a merge; a shard is checked as the stage says.
    let full = |job: usize| dag.jobs[job].terms.verification == Verification::Full;
    assert!(full(6) && full(10) && !full(3));
    assert!(dag.jobs[2].size.work() < dag.jobs[3].size.work());
    assert!(dag.jobs.iter().filter(|job| job.stage == "t").skip(1).all(Job::is_later_part));
}

#[test]
fn shards_that_say_less_are_told_what_they_have_not_said_and_move_fewer_bytes() {
    let of = |more: &str| {
        let text = format!("shards: 3, rounds: 3, localSteps: 5, alone: 1, {more}");
        spread(&text, "optimizer: { kind: adamw, lr: 1 }").unwrap()
    };
    let dag = of("deltas: int8, merge: { rule: mean, quorum: 2 }, outer: { momentum: 0.5 }");
    check(&dag);
    let names: Vec<_> = dag.jobs[2..9].iter().map(ToString::to_string).collect();
    let shard = |round: usize, shard: usize| format!("t#round {round}/3 shard {shard}/3");
    assert_eq!(names[..2], ["t#start", "t#round 1/3 shard 1/1"]);
    assert_eq!(names[2..6], [shard(2, 1), shard(2, 2), shard(2, 3), "t#round 2/3 merge".into()]);
    let inputs = |job: usize| -> Vec<(&str, usize, &str)> {
        let of = |edge: &Edge| match &edge.from {
            From::Job { id, output } => (id.index(), output.clone()),
            From::Source { .. } => unreachable!(),
        };
        let edges = dag.jobs[job].inputs.iter().map(|edge| (edge.name.as_str(), of(edge)));
        edges.map(|(name, (id, output))| (name, id, String::leak(output) as &str)).collect()
    };
    // One alone learns from the rows of three, and nothing is merged.
    let Spec::Train(alone) = &dag.jobs[3].spec else { unreachable!() };
    assert_eq!((alone.batch, dag.jobs[3].spec.outputs()), (30, vec!["state"]));
    assert_eq!(inputs(4), [("data", 0, "table"), ("state", 3, "state")]);
    assert_eq!(dag.jobs[4].spec.outputs(), ["delta", "residual"]);
    let deltas = [("shards[1]", 4, "delta"), ("shards[2]", 5, "delta"), ("shards[3]", 6, "delta")];
    assert_eq!(inputs(7), [&[("state", 3, "state")], &deltas[..]].concat());
    let later = [("data", 0, "table"), ("state", 7, "state"), ("residual", 5, "residual")];
    assert_eq!(inputs(9), later);
    assert_eq!((inputs(11)[0], inputs(11)[4]), (("state", 7, "state"), ("ways", 7, "ways")));
    assert_eq!(inputs(12)[1], ("state", 11, "state"));
    // What a lost shard has not said is lost with it.
    let lost = |id: JobId| id.index() == 5;
    assert_eq!(crate::domain::state::run::needs_what_is_gone(&dag.jobs[9], &lost), None);
    let whole = of("outer: { momentum: 0.5 }");
    let moved = |dag: &Dag, job: usize| dag.jobs[job].size.bytes_in + dag.jobs[job].size.bytes_out;
    let table = dag.jobs[0].size.bytes_out - 1024;
    for job in [9, 11] {
        let [less, all] =
            [&dag, &whole].map(|dag| (moved(dag, job) - if job == 9 { table } else { 0 }) as f64);
        assert!(less <= 0.5 * all, "{job}: {less} of {all}");
    }
}

#[test]
fn more_rounds_go_on_from_those_that_are_known_unless_the_rate_falls() {
    let specs = |rounds: u32, more: &str| -> Vec<Spec> {
        let dag = spread(&format!("shards: 2, rounds: {rounds}, localSteps: 5"), more).unwrap();
        dag.jobs.iter().filter(|job| job.stage == "t").map(|job| job.spec.clone()).collect()
    };
    let steady = (specs(2, ""), specs(3, ""));
    assert_eq!(steady.0[..7], steady.1[..7]);
    let cosine = |rounds| specs(rounds, "schedule: { kind: cosine }");
    assert!(cosine(2)[0] == cosine(3)[0] && cosine(2)[1] != cosine(3)[1]);
}

#[test]
fn with_a_quorum_shards_may_be_missing_at_a_merge_and_not_more_than_it_says() {
    use crate::domain::state::run::needs_what_is_gone;
    let merge = "merge: { rule: mean, quorum: 2 }";
    let dag = spread(&format!("shards: 3, rounds: 1, localSteps: 5, {merge}"), "").unwrap();
    let job = &dag.jobs[6];
    let each: Vec<bool> = job.inputs.iter().map(|edge| edge.each).collect();
    assert_eq!(each, [false, true, true, true]);
    let lost = |gone: &[u32]| needs_what_is_gone(job, &|id| gone.contains(&id.0)).map(|id| id.0);
    assert_eq!([lost(&[]), lost(&[4]), lost(&[3, 4])], [None, None, Some(3)]);
    assert_eq!(lost(&[2]), Some(2));
}

#[test]
fn a_training_of_too_many_jobs_is_refused_with_what_to_do() {
    let faults = spread("shards: 64, rounds: 10000, localSteps: 5", "").unwrap_err();
    let text = faults[0].to_string();
    assert!(text.contains("64 shards in 10000 rounds are 650002 jobs"), "{text}");
    assert!(text.contains("more `localSteps`"), "{text}");
}

/// A stage `t` of trainings with these values of `n` and this `matrix`, and one that takes all.
fn halved(values: &str, strategy: &str) -> Dag {
    let pin = chunked(&[("a", 100_000)]);
    let text = format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  sources: {{ \
         s: {{ url: s.csv, format: csv }} }}\n  stages:\n    a: {{ uses: ingest, inputs: {{ rows: \
         sources.s }} }}\n    b: {{ uses: noop }}\n    t:\n      uses: train\n      needs: [b]\n\
         \x20     inputs: {{ data: a.table }}\n      matrix: {{ axes: {{ n: [{values}] }}, \
         strategy: {{ {strategy} }} }}\n      with: {{ model: {{ kind: mlp, \
         hidden: [\"${{{{ matrix.n }}}}\"] }}, \
         target: x, epochs: 9, validation: 0.2 }}\n    e: {{ uses: evaluate, inputs: {{ models: \
         \"t.*.model\", data: a.table }} }}\n"
    );
    let (manifest, faults) = compile(&text, &BTreeMap::new());
    assert!(manifest.is_some(), "{faults:?}");
    expand(&manifest.unwrap(), &BTreeMap::from([("s".to_owned(), pin)])).unwrap()
}

#[test]
fn a_sweep_that_is_halved_has_all_rungs_of_every_cell_and_watches_the_rung_before() {
    let dag = halved("1, 2, 3, 4", "kind: asha, first: 2, factor: 2");
    check(&dag);
    let names: Vec<_> = dag.jobs[2..].iter().map(ToString::to_string).collect();
    let rung = |rung: usize| (1..5).map(move |n| format!("t@n={n}#{rung}/3"));
    let expect: Vec<String> = (1..4).flat_map(rung).chain(["e".to_owned()]).collect();
    assert_eq!(names, expect);
    let part = |job: usize| match &dag.jobs[job].spec {
        Spec::Train(train) => (train.part.from, train.part.to, train.part.count),
        _ => panic!("no training"),
    };
    assert_eq!([part(2), part(6), part(10)], [(0, 2, 9), (2, 4, 9), (4, 9, 9)]);
    let ids = |from: u32| (from..from + 4).map(JobId).collect::<Vec<_>>();
    let watched = |job: usize| (dag.jobs[job].contest, dag.jobs[job].watches.clone());
    assert_eq!(watched(2), (None, Vec::new()));
    assert_eq!([watched(6), watched(9)], [(Some(2), ids(2)), (Some(2), ids(2))]);
    assert_eq!([watched(10), watched(13)], [(Some(1), ids(6)), (Some(1), ids(6))]);
    assert_eq!((dag.jobs[2].after.clone(), dag.jobs[6].after.len()), (vec![JobId(1)], 0));
    assert_eq!(dag.jobs[7].state(), Some(JobId(3)));
    assert!(dag.jobs[14].inputs.iter().filter(|edge| edge.each).count() == 4);
    // The parts of a rung that is long are cut so that the rung ends where it did.
    let long = halved("1, 65536", "kind: asha, first: 2, factor: 2");
    let parts = |cell: &str| -> Vec<(u64, u64)> {
        let of = |job: &Job| match &job.spec {
            Spec::Train(train) if job.label.starts_with(cell) => Some(train.part.share(900)),
            _ => None,
        };
        long.jobs.iter().filter_map(of).collect()
    };
    let (short, long) = (parts("n=1#"), parts("n=65536#"));
    assert_eq!(short, [(0, 200), (200, 900)]);
    assert!(long.len() > 2 && long.iter().any(|part| part.1 == 200), "{long:?}");
    assert!(long.windows(2).all(|pair| pair[0].1 == pair[1].0) && long[long.len() - 1].1 == 900);
}

#[test]
fn of_those_that_are_compared_the_best_go_on_and_of_equal_ones_the_earlier() {
    use crate::domain::state::run::goes_on;
    let dag = halved("1, 2, 3, 4", "kind: asha, first: 2, factor: 2");
    let on = |losses: [Option<f64>; 4]| -> Vec<bool> {
        let known = losses.map(|loss| loss.map(known));
        let result = |id: JobId| known.get(id.index() - 2).and_then(Option::as_ref);
        (6..10).map(|job| goes_on(&dag.jobs[job], &result)).collect()
    };
    assert_eq!(on([Some(0.4), Some(0.1), Some(0.3), Some(0.2)]), [false, true, false, true]);
    assert_eq!(on([Some(0.5); 4]), [true, true, false, false]);
    assert_eq!(on([None, Some(9.0), None, Some(8.0)]), [false, true, false, true]);
    assert_eq!(on([None, None, None, Some(f64::INFINITY)]), [false, false, false, true]);
    assert_eq!(on([None; 4]), [false; 4]);
}

/// A result with that loss on the rows that validate.
fn known(loss: f64) -> crate::domain::state::run::Known {
    use crate::base::{ids, keys, time};
    let key = keys::SecretKey::from_bytes(&[7; 32]).public();
    let block = ids::BlockId { run: ids::RunId(1), index: 0 };
    crate::domain::state::run::Known {
        key: Digest::default(),
        outputs: Vec::new(),
        metrics: vec![("loss".to_owned(), 0.0), ("validationLoss".to_owned(), loss)],
        worker: key,
        lease: ids::LeaseId { block, attempt: 1 },
        checked: Verification::Full,
        client: key,
        at: time::Tick::default(),
    }
}

/// No-op stages, each with cells and with references to earlier stages in some of three ways.
fn stages() -> impl Strategy<Value = String> {
    let stage = (1usize..4, prop::collection::vec((0usize..8, 0usize..3), 0..4));
    prop::collection::vec(stage, 1..8).prop_map(|stages| {
        let cells = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let mut text = "  stages:\n".to_owned();
        for (index, (count, references)) in stages.iter().enumerate() {
            let matrix = format!("matrix: {{ axes: {{ n: [{}] }} }}", cells(*count));
            let (mut inputs, mut needs) = (String::new(), String::new());
            let earlier = references.iter().enumerate().filter(|(_, (to, _))| *to < index);
            for (at, (to, way)) in earlier {
                match way {
                    0 => inputs += &format!("i{at}: \"s{to}.*.done\", "),
                    1 if stages[*to].0 == 1 || stages[*to].0 == *count => {
                        inputs += &format!("i{at}: s{to}.done, ");
                    }
                    _ => needs += &format!("s{to}, "),
                }
            }
            text += &format!(
                "    s{index}: {{ uses: noop, {matrix}, \
                 inputs: {{ {inputs} }}, needs: [{needs}] }}\n"
            );
        }
        text
    })
}

proptest! {
    #[test]
    fn jobs_come_after_all_that_they_wait_for(stages in stages()) {
        let one = dag(&stages, &[]);
        check(&one);
        prop_assert_eq!(dag(&stages, &[]), one);
    }
}

#[test]
fn a_table_of_one_column_that_looks_like_several_says_how_to_divide_it() {
    let hint = |names: &[&str]| {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Text };
        one_cell(&Columns::new(&names.iter().map(column).collect::<Vec<_>>()))
    };
    for (name, mark) in [("a;b;y", ";"), ("a\tb", "tab"), ("a|b", "|")] {
        assert!(hint(&[name]).unwrap().contains(&format!("delimiter: \"{mark}\"")), "{name}");
    }
    assert_eq!((hint(&["a"]), hint(&["a;b", "c"]), hint(&[])), (None, None, None));
}

/// What is wrong with stages behind a table of `id`, `city`, `age`, `note` and `y`.
fn wrong(stages: &str) -> Vec<String> {
    let head = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: t }\nspec:\n  sources: \
                { s: { url: a.csv, format: csv } }\n  stages:\n    t: { uses: ingest, inputs: { \
                rows: sources.s } }\n";
    let (manifest, faults) = compile(&format!("{head}{stages}"), &BTreeMap::new());
    let manifest = manifest.unwrap_or_else(|| panic!("{faults:?}"));
    let column = |name: &str| Column { name: name.to_owned(), kind: ColumnKind::Real };
    let columns = ["id", "city", "age", "note", "y"].map(column).to_vec();
    let pin = Pin { source: "s".to_owned(), columns, ..chunked(&[("s", 100)]) };
    let dag = expand(&manifest, &BTreeMap::from([("s".to_owned(), pin)]));
    let faults = dag.err().unwrap_or_default();
    faults.into_iter().map(|fault| fault.message).collect()
}

fn steps(steps: &str) -> String {
    format!(
        "    f: {{ uses: transform, inputs: {{ table: t.table }}, with: {{ steps: [{steps}] }} }}\n"
    )
}

fn train(data: &str, with: &str) -> String {
    format!(
        "    m: {{ uses: train, inputs: {{ data: {data} }}, with: {{ {with}, model: {{ kind: mlp, \
         hidden: [4] }}, epochs: 1, optimizer: {{ kind: adamw, lr: 0.01 }}, seed: 1 }} }}\n"
    )
}

#[track_caller]
fn check_columns(stages: &str, expect: &[&str]) {
    let found = wrong(stages);
    let said: Vec<String> = expect
        .iter()
        .map(|expect| {
            let (key, name) = expect.split_once(' ').unwrap();
            format!("`{key}` names the column `{name}`, but the data has no such")
        })
        .collect();
    assert_eq!(found, said, "{stages}");
}

#[test]
fn columns_are_followed_through_the_steps_of_a_transform() {
    let known = "{ drop: [id] }, { fill: { columns: [age], with: median } }, { rename: { age: \
                 years } }, { derive: { a: \"years + 1\", b: \"a * 2\" } }, { oneHot: { columns: \
                 [city] } }, { cast: { columns: { note: string } } }, { hash: { \
                 column: note, buckets: 8 } }, { standardise: [b] }";
    let table = steps(known);
    for features in ["years, b, \"city=Bern\", \"note#7\"", "a"] {
        let with = format!("target: y, features: [{features}]");
        check_columns(&format!("{table}{}", train("f.table", &with)), &[]);
    }
    let target = |name: &str| format!("{table}{}", train("f.table", &format!("target: {name}")));
    check_columns(&target("yy"), &["target yy"]);
    check_columns(&target("id"), &["target id"]);
    check_columns(&target("age"), &["target age"]);
    check_columns(&target("city"), &["target city"]);
    // Each step is looked at where it stands.
    check_columns(&steps("{ drop: [ID] }"), &["drop ID"]);
    check_columns(&steps("{ drop: [id] }, { minMax: [id] }"), &["minMax id"]);
    check_columns(&steps("{ filter: \"agee > 1\" }"), &["filter agee"]);
    check_columns(&steps("{ derive: { a: \"b\", b: \"a\" } }"), &["derive b"]);
    check_columns(
        &steps("{ aggregate: { by: [city], measures: { n: { sum: agge } } } }"),
        &["aggregate agge"],
    );
    let split = format!(
        "{}    s: {{ uses: split, inputs: {{ table: f.table }}, with: {{ ratios: {{ a: 0.5, b: 0.5 \
         }}, stratify: yy, seed: 1 }} }}\n",
        steps("{ select: [age, y] }")
    );
    check_columns(&split, &["stratify yy"]);
}

#[test]
fn what_is_not_known_of_columns_for_sure_is_no_fault() {
    // What a join adds, and what comes after it.
    let join = "    f: { uses: transform, inputs: { table: t.table, right: t.table }, with: { \
                steps: [{ join: { on: [id] } }, { drop: [other] }] } }\n";
    check_columns(&format!("{join}{}", train("f.table", "target: z")), &[]);
    // What was fitted elsewhere may have made it.
    let fitted = format!(
        "{}    g: {{ uses: transform, inputs: {{ table: t.table, fitted: f.fitted }} }}\n",
        steps("{ derive: { z: \"age\" } }")
    );
    check_columns(&format!("{fitted}{}", train("g.table", "target: z")), &[]);
    check_columns(&format!("{fitted}{}", train("g.table", "target: zz")), &["target zz"]);
    // What only some cells of a matrix make.
    let matrix = "    f: { uses: transform, matrix: { axes: { c: [id, age] } }, inputs: { table: \
                  t.table }, with: { steps: [{ drop: [\"${{ matrix.c }}\"] }] } }\n";
    let model = train("f.table", "target: id").replace(
        "uses: train,",
        "uses: train, matrix: { \
        axes: { c: [id, age] } },",
    );
    check_columns(&format!("{matrix}{model}"), &[]);
}
