//! Jobs, executed: from a spec and the bytes of its inputs to the bytes of its outputs.
//! Never asks who wants it, what it is worth or where bytes come from; nothing here is remembered
//! from one call to the next.

use super::backing::{Inputs, Room};
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
use super::merge;
use super::perplexity;
use super::port::{Port, Tables, instance, no_input, twice};
use super::predict;
use super::predictor::Predictor;
use super::recipe::Recipe;
use super::split;
use super::table::{self, Table};
use super::train::{Lesson, Traced};
use super::{
    Done, Ended, Ends, Far, Fault, Keep, Machine, Metrics, Named, Progress, Replayed, forget,
    quote, train, transform,
};
use crate::base::canon::{Digest, Encode};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::{
    Embed, Evaluate, Export, Generate, Ingest, Predict, Spec, Train, Transform,
};
use std::borrow::Cow;

/// What a no-op gives.
const NOOP: &[u8] = b"ohc noop\n";

/// Runs the whole of a job.
///
/// Inputs are found by name (`rows`, `table`, `data`, `validation`, `state`); an evaluation takes
/// every input called `models` or `models[…]`, in their order. States are given to `keep` while the
/// job goes on. Only fast jobs ask on which machine.
pub fn run<'a, E>(
    machine: &Machine,
    spec: &Spec,
    inputs: impl Into<Inputs<'a>>,
    progress: &mut dyn FnMut(Progress),
    keep: Keep<'_, E>,
) -> Result<Done, Ended<E>> {
    let _seat = Seat::take();
    let done = computed(machine, spec, inputs.into(), progress, keep)?;
    fit(&done.outputs, ARTIFACT_BYTES_MAX)?;
    Ok(done)
}

/// Fails where an output is more than any store takes.
fn fit(outputs: &[Named], most: usize) -> Result<(), Fault> {
    match outputs.iter().find(|output| output.bytes.len() > most) {
        None => Ok(()),
        Some(Named { name, bytes }) => {
            let what = format!("the output {}", quote(name));
            Err(Fault::too_large(&what, bytes.len(), most))
        }
    }
}

fn computed<E>(
    machine: &Machine,
    spec: &Spec,
    all: Inputs<'_>,
    progress: &mut dyn FnMut(Progress),
    keep: Keep<'_, E>,
) -> Result<Done, Ended<E>> {
    let inputs = all.named;
    let done = match spec {
        Spec::Ingest(ingest) => ingest_rows(ingest, inputs)?,
        Spec::Split(spec) => {
            outputs_alone(split::run(spec, &table(inputs, "table")?, permutation)?)
        }
        Spec::Train(spec) => {
            let (lesson, task) = (lesson(spec, all)?, taught(spec, inputs)?);
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
        Spec::Embed(spec) => encode(machine, spec, inputs)?,
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
pub fn replay<'a>(
    spec: &Spec,
    inputs: impl Into<Inputs<'a>>,
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
    let all = inputs.into();
    let inputs = all.named;
    match spec {
        Spec::Train(spec) => {
            let (lesson, Taught { spec: task, state }) =
                (lesson(spec, all)?, taught(spec, inputs)?);
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
/// metrics, where it is the last.
pub fn accept<'a>(
    spec: &Spec,
    inputs: impl Into<Inputs<'a>>,
    segment: u32,
    ends: Ends<'_>,
) -> Result<Option<(Vec<Named>, Metrics)>, Far> {
    let spec = match spec {
        Spec::Train(spec) => spec,
        Spec::Embed(_) => {
            let done = embedded(&embed::accept(ends)?);
            return Ok(Some((done.outputs, done.metrics)));
        }
        _ => return Err(stateless().into()),
    };
    let _seat = Seat::take();
    let all = inputs.into();
    let inputs = all.named;
    let (lesson, task) = (lesson(spec, all)?, taught(spec, inputs)?);
    let Some((outputs, metrics)) = train::accept(&task.spec, &lesson, segment, ends)? else {
        return Ok(None);
    };
    Ok(Some((said(spec, inputs, outputs)?, metrics)))
}

/// The state after `at` steps of a segment, or at its end. Only jobs with checkpoints have states.
pub fn trace<'a>(
    spec: &Spec,
    inputs: impl Into<Inputs<'a>>,
    segment: u32,
    checkpoint: Option<&[u8]>,
    at: Option<u64>,
) -> Result<Traced, Fault> {
    let Spec::Train(spec) = spec else { return Err(stateless()) };
    let _seat = Seat::take();
    let inputs = inputs.into();
    let lesson = lesson(spec, inputs)?;
    let Taught { spec: task, state } = taught(spec, inputs.named)?;
    train::trace(&task, &lesson, state.as_deref(), segment, checkpoint, at)
}

/// The state one step after a state of a segment.
pub fn step<'a>(
    spec: &Spec,
    inputs: impl Into<Inputs<'a>>,
    segment: u32,
    from: &[u8],
) -> Result<Vec<u8>, Fault> {
    let Spec::Train(spec) = spec else { return Err(stateless()) };
    let _seat = Seat::take();
    let inputs = inputs.into();
    let lesson = lesson(spec, inputs)?;
    train::step(&taught(spec, inputs.named)?.spec, &lesson, segment, from)
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

fn lesson(spec: &Train, inputs: Inputs<'_>) -> Result<Lesson, Fault> {
    let validation = Port::find(inputs, "validation")?;
    let data = Port::find(inputs, "data")?.ok_or_else(|| no_input("data"))?;
    let validation = validation.as_ref().map(|port| port as &dyn Tables);
    Lesson::within(Room::of(inputs.backing), spec, &data, validation)
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

fn encode(machine: &Machine, spec: &Embed, inputs: &[Named]) -> Result<Done, Fault> {
    let encoder = Encoder::from_bytes(required(inputs, "encoder")?)?;
    Ok(embedded(&embed::run(machine, spec, &table(inputs, "table")?, &encoder)?))
}

/// What an embedding gives, of which this is the table.
fn embedded(table: &Table) -> Done {
    let width = table.recipe().embedding().map_or(0, |embedding| embedding.width);
    let metrics = [("rows", table.rows() as f64), ("columns", f64::from(width))];
    Done {
        outputs: vec![named("table", &table.to_bytes())],
        metrics: metrics.map(|(name, count)| (name.to_owned(), count)).to_vec(),
    }
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
    let port = Port::find(inputs.into(), name)?;
    port.map(|port| port.whole().map(Cow::into_owned)).transpose()
}

/// The bytes of all inputs of a port, in their order.
fn several<'a>(inputs: &'a [Named], port: &str) -> Vec<&'a [u8]> {
    let of_port = inputs.iter().filter(|input| instance(port, &input.name).is_some());
    of_port.map(|input| input.bytes.as_slice()).collect()
}

fn optional<'a>(inputs: &'a [Named], name: &str) -> Result<Option<&'a [u8]>, Fault> {
    let mut found = inputs.iter().filter(|input| input.name == name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(twice(name)),
        (input, _) => Ok(input.map(|input| input.bytes.as_slice())),
    }
}

#[cfg(test)]
mod tests;
