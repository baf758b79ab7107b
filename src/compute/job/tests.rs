//! Tests of jobs as a whole: what goes in, what comes out, and what is refused.
//! Never measures time.

use super::*;
use crate::compute::backing::tests::Cellar;
use crate::compute::examples::{Examples, Truth};
use crate::compute::train::tests::spec_of;
use crate::domain::job::{
    Chunk, Dealing, Finish, Merge, Noop, Parallel, Reading, Rule, Shard, Split, Task,
};
use std::convert::Infallible;

const IRIS: &[u8] = include_bytes!("../../../manifests/data/iris.csv");

/// The rows of iris, without their header.
fn rows() -> Named {
    named("rows", &table::survey(&Reading::csv(), None, IRIS).unwrap().1[0].bytes)
}

fn ingest(rows: u64) -> Spec {
    let (survey, cuts) = table::survey(&Reading::csv(), None, IRIS).unwrap();
    let chunks = vec![Chunk { rows, ..cuts[0].chunks[0].clone() }];
    let columns = survey.columns;
    Spec::Ingest(Ingest { columns, chunks, ..Ingest::unpinned(Reading::csv()) })
}

fn split(seed: u64) -> Spec {
    let ratios = vec![("train".into(), 0.8), ("test".into(), 0.2)];
    Spec::Split(Split { ratios, dealing: Dealing::Stratified("species".into()), seed })
}

fn evaluation() -> Spec {
    Spec::Evaluate(Evaluate { select: None })
}

/// What a job gives, and the states that it has on its way.
fn kept(
    spec: &Spec,
    inputs: &[Named],
    progress: &mut dyn FnMut(Progress),
) -> Result<(Done, Vec<Vec<u8>>), Fault> {
    let mut states = Vec::new();
    let mut keep = |state| {
        states.push(state);
        Ok::<_, Infallible>(())
    };
    let machine = Machine::default();
    let done = run(&machine, spec, inputs, progress, &mut keep).map_err(Ended::fault)?;
    Ok((done, states))
}

/// Runs a job twice and replays it: three times the same bytes.
#[track_caller]
fn outputs(spec: &Spec, inputs: &[Named]) -> Vec<Named> {
    let mut steps = Vec::new();
    let (done, states) = kept(spec, inputs, &mut |progress| steps.push(progress)).unwrap();
    assert_eq!(steps, [Progress::WHOLE]);
    assert!(states.is_empty());
    assert_eq!(kept(spec, inputs, &mut |_| {}).unwrap().0, done);
    let again = replay(spec, inputs, 0, None, 0).unwrap();
    assert_eq!(
        again,
        Replayed {
            begin: None,
            state: None,
            trace: again.trace,
            outputs: Some((done.outputs.clone(), done.metrics.clone()))
        }
    );
    let names: Vec<_> = done.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, spec.outputs());
    done.outputs
}

fn iris_table() -> Named {
    outputs(&ingest(150), &[rows()]).remove(0)
}

#[track_caller]
fn check(spec: &Spec, inputs: &[Named], message: &str) {
    let fault = kept(spec, inputs, &mut |_| {}).unwrap_err();
    assert_eq!(fault.message, message);
    assert!(!fault.hint.is_empty());
    assert_eq!(replay(spec, inputs, 0, None, 0).unwrap_err(), fault);
}

#[test]
fn iris_is_ingested_and_split_by_species() {
    let parts = outputs(&split(7), &[iris_table()]);
    let rows: Vec<_> =
        parts.iter().map(|part| Table::from_bytes(&part.bytes).unwrap().rows()).collect();
    assert_eq!(rows, [120, 30]);
    for (part, each) in parts.iter().zip([40, 10]) {
        let table = Table::from_bytes(&part.bytes).unwrap();
        let target = ["species".to_owned()];
        let room = Room::MEMORY;
        let read = Examples::from_table(&table, room, Task::Classification, &target, None);
        let Truth::Classes { classes, of } = read.unwrap().truth else { unreachable!() };
        assert_eq!(classes, ["setosa", "versicolor", "virginica"]);
        for class in 0..3 {
            assert_eq!(of.iter().filter(|label| **label == class).count(), each);
        }
    }
}

#[test]
fn the_bits_of_a_split_are_golden_and_follow_from_its_seed() {
    let digest = |seed| Digest::of(&outputs(&split(seed), &[iris_table()])[1].bytes).short();
    assert_eq!(digest(7), "0b0fbb908197");
    assert_ne!(digest(8), digest(7));
}

#[test]
fn chunks_of_a_table_are_taken_in_their_order() {
    let whole = iris_table();
    let table = Table::from_bytes(&whole.bytes).unwrap();
    let part = |from: usize, to: usize| {
        let rows: Vec<usize> = (from..to).collect();
        named(&format!("table[{from}]"), &table.take(&rows).to_bytes())
    };
    let chunks = [part(0, 1), part(1, 100), part(100, 150)];
    assert_eq!(super::table(&chunks, "table").unwrap(), table);
    let same = Named { name: "table".into(), ..whole.clone() };
    assert_eq!(outputs(&split(7), &chunks), outputs(&split(7), &[same]));
    let other = Table::from_csv(b"a\n1\n").unwrap().to_bytes();
    check(
        &split(7),
        &[part(0, 1), named("table[1]", &other)],
        "the chunks of a table have different columns",
    );
    let twice = [named("table", &other), named("table", &other)];
    check(&split(7), &twice, "the job has more than one input \"table\"");
}

#[test]
fn a_training_finds_its_rows_to_validate_on_by_name() {
    let parts = outputs(&split(7), &[iris_table()]);
    let spec = Spec::Train(spec_of(Task::Classification, &["species"]));
    let inputs = [named("data", &parts[0].bytes), named("validation", &parts[1].bytes)];
    let (done, states) = kept(&spec, &inputs, &mut |_| {}).unwrap();
    let names: Vec<_> = done.metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["loss", "epochs", "validationLoss"]);
    let last = states.len() - 2;
    let begin = Some(states[last].as_slice());
    let again = replay(&spec, &inputs, last as u32, begin, 0).unwrap();
    assert_eq!(again.outputs, Some((done.outputs, done.metrics.clone())));
    let (blind, _) = kept(&spec, &inputs[..1], &mut |_| {}).unwrap();
    assert_eq!(blind.metrics, done.metrics[..2]);
    let wrong = [named("data", &parts[0].bytes), named("validation", IRIS)];
    check(&spec, &wrong, "these bytes are not a table");
}

#[test]
fn r10_a_training_reads_its_chunks_one_after_the_other() {
    let parts = outputs(&split(7), &[iris_table()]);
    let spec = Spec::Train(spec_of(Task::Classification, &["species"]));
    let whole = [named("data", &parts[0].bytes), named("validation", &parts[1].bytes)];
    let (done, states) = kept(&spec, &whole, &mut |_| {}).unwrap();
    let chunks = |part: &Named, rows: usize| {
        let table = Table::from_bytes(&part.bytes).unwrap();
        let from = (0..table.rows()).step_by(rows);
        let chunk = |from: usize| table.slice(from, rows.min(table.rows() - from)).to_bytes();
        from.map(chunk).collect::<Vec<_>>()
    };
    let (data, validation) = (chunks(&parts[0], 50), chunks(&parts[1], 16));
    let names = ["data[1/3]", "data[2/3]", "data[3/3]", "validation[1/2]", "validation[2/2]"];
    let named = names.map(|name| named(name, b""));
    let cellar = Cellar { in_memory: 1_000, ..Cellar::of([data, validation].concat()) };
    let inputs = Inputs { named: &named, backing: Some(&cellar) };
    let machine = Machine::default();
    let away = run(&machine, &spec, inputs, &mut |_| {}, &mut forget).unwrap();
    assert_eq!(away, done);
    assert_eq!(*cellar.files.lock().unwrap(), 1, "those to validate on are few");
    let last = states.len() - 2;
    let begin = Some(states[last].as_slice());
    let again = replay(&spec, inputs, last as u32, begin, 0).unwrap();
    assert_eq!(again.outputs, Some((done.outputs, done.metrics)));
    // A chunk that is none of the table's.
    let other = Table::from_csv(b"a\n1\n").unwrap().to_bytes();
    let cellar = Cellar::of([&cellar.inputs[..2], &[other], &cellar.inputs[3..]].concat());
    let inputs = Inputs { named: &named, backing: Some(&cellar) };
    let fault = replay(&spec, inputs, 0, None, 0).unwrap_err();
    assert_eq!(fault.message, "the chunks of a table have different columns");
}

#[test]
fn r10_what_a_shard_says_is_replayed_from_its_checkpoint_and_merged_to_a_model() {
    let data = outputs(&split(7), &[iris_table()]).remove(0);
    let data = Named { name: "data".into(), ..data };
    let job = |parallel, inputs: &[Named]| {
        let segments = if matches!(parallel, Parallel::Delta(_)) { 3 } else { 1 };
        let train = spec_of(Task::Classification, &["species"]);
        let spec = Spec::Train(Train { parallel: Some(parallel), segments, ..train });
        let all = [std::slice::from_ref(&data), inputs].concat();
        let (done, states) = kept(&spec, &all, &mut |_| {}).unwrap();
        let names: Vec<&str> = done.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, spec.outputs());
        let begin = Some(states[segments as usize - 1].as_slice());
        let again = replay(&spec, &all, segments - 1, begin, 0).unwrap();
        assert_eq!(again.outputs, Some((done.outputs.clone(), done.metrics)));
        done.outputs
    };
    let state = |outputs: &[Named]| outputs[0].clone();
    let mut given = vec![state(&job(Parallel::Start, &[]))];
    let mut residuals = [const { Vec::new() }; 2];
    for round in 0..3 {
        let mut inputs = given.clone();
        for (index, residual) in (0..).zip(&mut residuals) {
            let shard = Shard { index, count: 2, round, steps: 9, steps_in_all: 0 };
            let mut own = vec![given[0].clone()];
            own.append(residual);
            let mut outputs = job(Parallel::Delta(shard), &own);
            *residual = outputs.split_off(1);
            inputs.push(named(&format!("shards[{index}]"), &outputs[0].bytes));
        }
        let merge = Merge { rule: Rule::Mean, quorum: 2, lr: 0.7, momentum: 0.5 };
        given = outputs(&Spec::MergeDeltas(merge), &inputs);
    }
    assert!(residuals.iter().flatten().all(|residual| residual.name == "residual"));
    let finish = Finish { steps: 27, shards: 2 };
    let model = job(Parallel::Finish(finish), &given[..1]);
    assert!(Predictor::from_bytes(&model[0].bytes).is_ok());
}

#[test]
fn a_noop_computes_nothing() {
    let spec = Spec::Noop(Noop { tag: 1 });
    assert_eq!(outputs(&spec, &[]), [named("done", b"ohc noop\n")]);
    assert_eq!(outputs(&spec, &[named("any", b"x")]), [named("done", b"ohc noop\n")]);
}

#[test]
fn what_is_missing_or_wrong_is_a_fault() {
    check(&ingest(151), &[rows()], "source does not match its pin: 150 rows, the pin says 151");
    check(&ingest(150), &[], "the job has nothing to read");
    check(&split(7), &[], "the job has no input \"table\"");
    check(&split(7), &[named("table", IRIS)], "these bytes are not a table");
    check(&evaluation(), &[], "the job has no input \"data\"");
    let data = named("data", &iris_table().bytes);
    check(&evaluation(), &[data], "there is no model to evaluate");
}

#[test]
fn a_job_without_checkpoints_has_one_segment() {
    let fault = replay(&ingest(150), &[rows()], 1, None, 0).unwrap_err();
    assert_eq!(fault.message, "this job has no segment 1");
}

#[test]
fn models_are_called_by_their_instance() {
    assert_eq!(instance("models", "models"), Some("models"));
    assert_eq!(instance("models", "models[width=16,seed=1]"), Some("width=16,seed=1"));
    assert_eq!(instance("models", "data"), None);
    assert_eq!(instance("models", "models_of_old"), None);
}

#[test]
fn a_permutation_holds_every_row_once_and_differs_by_seed_and_stratum() {
    for rows in [0, 1, 2, 3, 1000] {
        let mut order = permutation(1, 2, rows);
        assert_eq!(order, permutation(1, 2, rows));
        order.sort_unstable();
        assert_eq!(order, (0..rows as u32).collect::<Vec<_>>());
    }
    assert_ne!(permutation(1, 2, 100), permutation(1, 3, 100));
    assert_ne!(permutation(1, 2, 100), permutation(2, 2, 100));
}

#[test]
fn an_output_that_no_store_takes_is_a_fault() {
    let outputs = [named("a", &[0; 10]), named("table", &[0; 11])];
    assert_eq!(fit(&outputs, 11), Ok(()));
    let fault = fit(&outputs, 10).unwrap_err();
    assert!(fault.message.contains("\"table\" has 11 bytes"), "{fault:?}");
}
