//! Jobs, executed: from a spec and the bytes of its inputs to the bytes of its outputs.
//! Never asks who wants it, what it is worth or where bytes come from; nothing here is remembered
//! from one call to the next.

use super::compare;
use super::delta::{self, Taught};
use super::embed;
use super::encoder::Encoder;
use super::evaluate::{self, Candidate};
use super::export;
use super::generate;
use super::kernel::cores::Seat;
use super::kernel::philox::{Philox, purpose};
use super::llama::Llama;
use super::memory;
use super::merge;
use super::perplexity;
use super::predict;
use super::predictor::Predictor;
use super::recipe::Recipe;
use super::split;
use super::table::{self, Table};
use super::train::{Far, Lesson, Machine, States, Traced};
use super::{
    Done, Ended, Fault, Keep, Metrics, Named, Progress, Replayed, forget, quote, train, transform,
};
use crate::base::canon::{Digest, Encode};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::{
    Embed, Evaluate, Export, Generate, Ingest, Predict, Spec, Train, Transform,
};

/// What a no-op gives.
const NOOP: &[u8] = b"ohc noop\n";

/// Runs the whole of a job.
///
/// Inputs are found by name (`rows`, `table`, `data`, `validation`, `state`); an evaluation takes
/// every input called `models` or `models[…]`, in their order. States are given to `keep` while the
/// job goes on. Only fast trainings ask on which machine.
pub fn run<E>(
    machine: &Machine,
    spec: &Spec,
    inputs: &[Named],
    progress: &mut dyn FnMut(Progress),
    keep: Keep<'_, E>,
) -> Result<Done, Ended<E>> {
    let _seat = Seat::take();
    let done = match spec {
        Spec::Ingest(ingest) => ingest_rows(ingest, inputs)?,
        Spec::Split(spec) => {
            outputs_alone(split::run(spec, &table(inputs, "table")?, permutation)?)
        }
        Spec::Train(spec) => {
            let (lesson, task) = (lesson(spec, inputs)?, taught(spec, inputs)?);
            let state = task.state.as_deref();
            let mut done = train::run(machine, &task.spec, &lesson, state, progress, keep)?;
            done.outputs = said(spec, inputs, done.outputs)?;
            return Ok(done);
        }
        Spec::Evaluate(spec) => measure(spec, inputs)?,
        Spec::Compare(spec) => {
            let reports = inputs.iter().filter_map(|input| {
                Some((instance("reports", &input.name)?, input.bytes.as_slice()))
            });
            compare::run(spec, &reports.collect::<Vec<_>>())?
        }
        Spec::Noop(_) => outputs_alone(vec![named("done", NOOP)]),
        Spec::Transform(spec) => steps(spec, inputs)?,
        Spec::Predict(spec) => say(spec, inputs)?,
        Spec::Export(spec) => give(spec, inputs)?,
        Spec::Merge(spec) => merge::run(spec, required(inputs, "state")?, &shards(inputs))?,
        Spec::MergeDeltas(spec) => {
            let (state, ways) = (required(inputs, "state")?, optional(inputs, "ways")?);
            merge::run_deltas(spec, state, ways, &shards(inputs))?
        }
        Spec::Embed(spec) => encode(spec, inputs)?,
        Spec::Generate(spec) => write(spec, inputs)?,
        Spec::Perplexity(spec) => {
            let model = Llama::from_bytes(required(inputs, "model")?)?;
            perplexity::run(spec, &table(inputs, "table")?, &model)?
        }
    };
    progress(Progress::WHOLE);
    Ok(done)
}

/// Computes one segment of a job again, from the checkpoint at its beginning if the job has any
/// (without one, the first segment of a training starts from the job's own inputs). A job without
/// checkpoints has one segment, and its outputs are computed again as a whole. `probe` chooses
/// which of the states in between is traced; where there are none, the outputs are.
pub fn replay(
    spec: &Spec,
    inputs: &[Named],
    segment: u32,
    checkpoint: Option<&[u8]>,
    probe: u32,
) -> Result<Replayed, Fault> {
    if segment >= spec.segments() {
        return Err(Fault::new(
            format!("this job has no segment {segment}"),
            format!("it has {}, counted from 0", spec.segments()),
        ));
    }
    let _seat = Seat::take();
    match spec {
        Spec::Train(spec) => {
            let (lesson, Taught { spec: task, state }) =
                (lesson(spec, inputs)?, taught(spec, inputs)?);
            let state = state.as_deref();
            let replayed = train::replay(&task, &lesson, state, segment, checkpoint, probe)?;
            let last = !replayed.outputs.is_empty();
            let outputs = said(spec, inputs, replayed.outputs)?;
            let outputs = last.then_some((outputs, replayed.metrics));
            let (begin, trace) = (Some(replayed.begin), replayed.trace);
            Ok(Replayed { begin, state: Some(replayed.checkpoint), trace, outputs })
        }
        Spec::Ingest(_)
        | Spec::Split(_)
        | Spec::Evaluate(_)
        | Spec::Compare(_)
        | Spec::Noop(_)
        | Spec::Transform(_)
        | Spec::Predict(_)
        | Spec::Export(_)
        | Spec::Merge(_)
        | Spec::MergeDeltas(_)
        | Spec::Embed(_)
        | Spec::Generate(_)
        | Spec::Perplexity(_) => {
            let machine = Machine::default();
            let done = run(&machine, spec, inputs, &mut |_| {}, &mut forget);
            let done = done.map_err(Ended::fault)?;
            let trace = Digest::of(&done.outputs.iter().fold(Vec::new(), |mut all, named| {
                all.extend_from_slice(&named.bytes);
                all
            }));
            let outputs = Some((done.outputs, done.metrics));
            Ok(Replayed { begin: None, state: None, trace, outputs })
        }
    }
}

/// What a fast job says of the end of a segment that is near enough to the exact one: outputs and
/// metrics, where it is the last. See [`train::accept`].
pub fn accept(
    spec: &Spec,
    inputs: &[Named],
    segment: u32,
    states: States<'_>,
) -> Result<Option<(Vec<Named>, Metrics)>, Far> {
    let Spec::Train(spec) = spec else { return Err(stateless().into()) };
    let _seat = Seat::take();
    let (lesson, task) = (lesson(spec, inputs)?, taught(spec, inputs)?);
    let Some((outputs, metrics)) = train::accept(&task.spec, &lesson, segment, states)? else {
        return Ok(None);
    };
    Ok(Some((said(spec, inputs, outputs)?, metrics)))
}

/// The state after `at` steps of a segment, or at its end. Only jobs with checkpoints have states.
pub fn trace(
    spec: &Spec,
    inputs: &[Named],
    segment: u32,
    checkpoint: Option<&[u8]>,
    at: Option<u64>,
) -> Result<Traced, Fault> {
    let Spec::Train(spec) = spec else { return Err(stateless()) };
    let _seat = Seat::take();
    let (lesson, Taught { spec: task, state }) = (lesson(spec, inputs)?, taught(spec, inputs)?);
    train::trace(&task, &lesson, state.as_deref(), segment, checkpoint, at)
}

/// The state one step after a state of a segment.
pub fn step(spec: &Spec, inputs: &[Named], segment: u32, from: &[u8]) -> Result<Vec<u8>, Fault> {
    let Spec::Train(spec) = spec else { return Err(stateless()) };
    let _seat = Seat::take();
    train::step(&taught(spec, inputs)?.spec, &lesson(spec, inputs)?, segment, from)
}

fn stateless() -> Fault {
    Fault::new("this job has no states", "only jobs with checkpoints are replayed step by step")
}

fn ingest_rows(spec: &Ingest, inputs: &[Named]) -> Result<Done, Fault> {
    let (table, rows) = table::read_chunks(spec, &several(inputs, "rows"))?;
    let report = rows.report();
    Ok(Done {
        outputs: vec![named("table", &table.to_bytes()), named("report", report.as_bytes())],
        metrics: vec![("rows".into(), rows.rows as f64), ("badRows".into(), rows.bad as f64)],
    })
}

fn taught<'a>(spec: &'a Train, inputs: &'a [Named]) -> Result<Taught<'a>, Fault> {
    delta::taught(spec, optional(inputs, "state")?)
}

/// The outputs of a training as its spec wants them to be said; none where there are none.
fn said(spec: &Train, inputs: &[Named], outputs: Vec<Named>) -> Result<Vec<Named>, Fault> {
    match outputs.first() {
        Some(state) if spec.gives_delta() => {
            let residual = optional(inputs, "residual")?;
            delta::of_shard(required(inputs, "state")?, residual, &state.bytes)
        }
        _ => Ok(outputs),
    }
}

/// What the shards of a merge give, by name.
fn shards(inputs: &[Named]) -> Vec<(&str, &[u8])> {
    let shards = inputs.iter().filter(|input| instance("shards", &input.name).is_some());
    shards.map(|input| (input.name.as_str(), input.bytes.as_slice())).collect()
}

fn lesson(spec: &Train, inputs: &[Named]) -> Result<Lesson, Fault> {
    let validation = optional_table(inputs, "validation")?;
    Lesson::new(spec, &table(inputs, "data")?, validation.as_ref())
}

fn measure(spec: &Evaluate, inputs: &[Named]) -> Result<Done, Fault> {
    let candidates = inputs
        .iter()
        .filter_map(|input| {
            instance("models", &input.name).map(|name| (name, input.bytes.as_slice()))
        })
        .map(|(name, bytes)| {
            let model = Predictor::from_bytes(bytes)?;
            Ok(Candidate { name: name.to_owned(), bytes, model })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let encoder = encoder(inputs)?;
    evaluate::run(spec, &candidates, &table(inputs, "data")?, encoder.as_ref())
}

fn say(spec: &Predict, inputs: &[Named]) -> Result<Done, Fault> {
    let model = Predictor::from_bytes(required(inputs, "model")?)?;
    let encoder = encoder(inputs)?;
    let table = predict::run(spec, &model, &table(inputs, "data")?, encoder.as_ref())?;
    Ok(Done {
        outputs: vec![named("table", &table.to_bytes())],
        metrics: vec![("rows".to_owned(), table.rows() as f64)],
    })
}

/// The encoder of texts that are raw, where it is given.
fn encoder(inputs: &[Named]) -> Result<Option<Encoder>, Fault> {
    optional(inputs, "encoder")?.map(Encoder::from_bytes).transpose()
}

fn give(spec: &Export, inputs: &[Named]) -> Result<Done, Fault> {
    let bytes = required(inputs, "model")?;
    let model = Predictor::from_bytes(bytes)?;
    let (file, card) = export::run(spec, bytes, &model, optional(inputs, "report")?)?;
    Ok(Done {
        outputs: vec![named("model", &file), named("card", card.as_bytes())],
        metrics: vec![("parameters".to_owned(), model.parameters() as f64)],
    })
}

fn encode(spec: &Embed, inputs: &[Named]) -> Result<Done, Fault> {
    let encoder = Encoder::from_bytes(required(inputs, "encoder")?)?;
    let table = embed::run(spec, &table(inputs, "table")?, &encoder)?;
    let metrics = [("rows", table.rows()), ("columns", encoder.width())];
    Ok(Done {
        outputs: vec![named("table", &table.to_bytes())],
        metrics: metrics.map(|(name, count)| (name.to_owned(), count as f64)).to_vec(),
    })
}

fn write(spec: &Generate, inputs: &[Named]) -> Result<Done, Fault> {
    let model = Predictor::from_bytes(required(inputs, "model")?)?;
    let prompts = optional_table(inputs, "prompts")?;
    let written = generate::run(spec, &model, prompts.as_ref())?;
    let metrics = [("texts", written.table.rows() as f64), ("tokens", written.tokens as f64)];
    Ok(Done {
        outputs: vec![
            named("table", &written.table.to_bytes()),
            named("text", written.text.as_bytes()),
        ],
        metrics: metrics.map(|(name, count)| (name.to_owned(), count)).to_vec(),
    })
}

fn steps(spec: &Transform, inputs: &[Named]) -> Result<Done, Fault> {
    let right = optional_table(inputs, "right")?;
    let fitted = optional(inputs, "fitted")?.map(Recipe::from_bytes).transpose()?;
    let table = transform::run(spec, table(inputs, "table")?, right.as_ref(), fitted.as_ref())?;
    let mut metrics = vec![("rows", table.rows()), ("columns", table.columns().len())];
    let mut outputs =
        vec![named("table", &table.to_bytes()), named("fitted", &table.recipe().to_bytes())];
    if let (true, Some(tokenizer)) = (spec.tokenizes(), table.recipe().tokenizer()) {
        metrics.push(("vocabulary", tokenizer.size()));
        outputs.push(named("tokenizer", tokenizer.to_json().as_bytes()));
    }
    let metrics = metrics.into_iter().map(|(name, count)| (name.to_owned(), count as f64));
    Ok(Done { outputs, metrics: metrics.collect() })
}

/// What an input of a port with many is called: `width=16` for `models[width=16]`, `models` for
/// itself; none if it is an input of another port.
fn instance<'a>(port: &str, input: &'a str) -> Option<&'a str> {
    match input.strip_prefix(port)? {
        "" => Some(input),
        rest => rest.strip_prefix('[')?.strip_suffix(']'),
    }
}

/// The order in which a split deals the rows of one stratum out.
fn permutation(seed: u64, stratum: u64, rows: usize) -> Vec<u32> {
    let stream = u32::try_from(stratum).unwrap_or(u32::MAX);
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    Philox::new(seed, purpose::SPLIT, stream).permutation(rows)
}

fn outputs_alone(outputs: Vec<Named>) -> Done {
    Done { outputs, metrics: Vec::new() }
}

fn named(name: &str, bytes: &[u8]) -> Named {
    Named { name: name.to_owned(), bytes: bytes.to_vec() }
}

fn required<'a>(inputs: &'a [Named], name: &str) -> Result<&'a [u8], Fault> {
    optional(inputs, name)?.ok_or_else(|| no_input(name))
}

/// The table of a port. Where its rows were made in chunks, these are put one below the other.
fn table(inputs: &[Named], name: &str) -> Result<Table, Fault> {
    optional_table(inputs, name)?.ok_or_else(|| no_input(name))
}

fn optional_table(inputs: &[Named], name: &str) -> Result<Option<Table>, Fault> {
    let chunks = several(inputs, name);
    let bytes = chunks.iter().fold(0usize, |sum, bytes| sum.saturating_add(bytes.len()));
    match chunks.as_slice() {
        [] => Ok(None),
        [whole] => Table::from_bytes(whole).map(Some),
        _ if inputs.iter().filter(|input| input.name == name).count() > 1 => Err(twice(name)),
        _ if bytes > ARTIFACT_BYTES_MAX => Err(Fault::new(
            format!("the chunks of {} have {bytes} bytes together", quote(name)),
            format!(
                "one job takes at most {ARTIFACT_BYTES_MAX}: keep fewer columns or rows when \
                 they are ingested"
            ),
        )),
        chunks => {
            memory::room(bytes)?;
            let tables = chunks.iter().map(|bytes| Table::from_bytes(bytes));
            Table::concat(&tables.collect::<Result<Vec<_>, _>>()?).map(Some)
        }
    }
}

/// The bytes of all inputs of a port, in their order.
fn several<'a>(inputs: &'a [Named], port: &str) -> Vec<&'a [u8]> {
    let of_port = inputs.iter().filter(|input| instance(port, &input.name).is_some());
    of_port.map(|input| input.bytes.as_slice()).collect()
}

fn no_input(name: &str) -> Fault {
    Fault::new(
        format!("the job has no input {}", quote(name)),
        format!("connect it under `inputs:` of the stage: {name}: stage.output"),
    )
}

fn twice(name: &str) -> Fault {
    Fault::new(
        format!("the job has more than one input {}", quote(name)),
        "connect exactly one output to it",
    )
}

fn optional<'a>(inputs: &'a [Named], name: &str) -> Result<Option<&'a [u8]>, Fault> {
    let mut found = inputs.iter().filter(|input| input.name == name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(twice(name)),
        (input, _) => Ok(input.map(|input| input.bytes.as_slice())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::examples::{Examples, Truth};
    use crate::compute::train::tests::spec_of;
    use crate::domain::job::{
        Chunk, Dealing, Finish, Merge, Noop, Parallel, Reading, Rule, Shard, Split, Task,
    };
    use std::convert::Infallible;

    const IRIS: &[u8] = include_bytes!("../../manifests/data/iris.csv");

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
            let read = Examples::from_table(&table, Task::Classification, &target, None);
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
}
