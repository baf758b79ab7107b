//! Graphs: from a manifest and the pins of its sources to jobs in an order that never looks back.
//! Never cuts jobs into blocks and never sees a price.

mod chunks;
mod columns;
mod inputs;
mod kinds;
mod parts;
mod rounds;
mod rungs;
mod shares;
#[cfg(test)]
mod tests;

use super::cost::{self, Shape, Size};
use super::job::{Column, Parallel, Pin, Spec, Task, Train};
use super::manifest::{
    Diagnostic, FAULTS_MAX, InputRef, Instance, Manifest, Place, Stage, TableFormat, suggest,
};
use super::terms::Terms;
use super::verdict::Verification;
use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::base::limits::CHUNKS_PER_SOURCE_MAX;
use columns::Columns;
use petgraph::algo::toposort;
use petgraph::graph::DiGraph;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Edges of one run: every instance of a stage that takes `train.*.model` has one for each model.
pub const EDGES_PER_RUN_MAX: usize = 1_000_000;
/// Bytes of the name of an edge that count as one edge: those of many models are their labels.
const EDGE_BYTES: usize = 64;
/// Canonical bytes of what the jobs of one run compute, beyond what is free of each: parts, rounds
/// and chunks repeat the lists of their stage.
const SPEC_BYTES_MAX: usize = 64 << 20;
/// The input of a stage that is an encoder: a source that has no rows.
const ENCODER: &str = "encoder";
/// The input of a stage that is a model, perhaps a source that has no rows either.
const MODEL: &str = "model";
/// Names of columns that are followed through the transforms of one manifest, those in formulas
/// among them.
const NAMES_MAX: usize = 1_000_000;
/// The input of a transform that takes the steps of another.
const FITTED: &str = "fitted";

/// The jobs of a run, and what of their results is published.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dag {
    /// In topological order, the same on every node: a [`JobId`] is an index into it.
    pub jobs: Vec<Job>,
    /// What is written to disk, by name.
    pub outputs: BTreeMap<String, Output>,
    /// Canonical bytes of what the jobs compute, beyond what is free of each.
    pub spec_bytes: usize,
    /// What stages cannot do with the kinds of their columns, in order of place. It is advice for
    /// who submits: no rule looks at it, and a run of such a plan fails where it says.
    pub misfits: Vec<Diagnostic>,
}

/// A result that is published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The job that makes it.
    pub job: JobId,
    /// Which of its outputs.
    pub output: String,
    /// A folder, as it is written in the manifest.
    pub to: String,
    /// The form of a table; it means nothing for other outputs.
    pub format: TableFormat,
}

/// One unit of compute and where its inputs come from. Its text form is its address.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// The stage that it is an instance of.
    pub stage: String,
    /// `width=16,seed=1`, and `#2/3` where a training is cut into parts, a source into chunks or a
    /// table into shares, `#round 2/8 shard 3/4` or `#round 2/8 merge` where a training is spread;
    /// empty where none of these is.
    pub label: String,
    /// What it computes.
    pub spec: Spec,
    /// What flows in, in the order in which the cost model and the kind read it.
    pub inputs: Vec<Edge>,
    /// Jobs that must be done first, though nothing flows from them.
    pub after: Vec<JobId>,
    /// Jobs whose metrics decide whether it is run, by the condition of its stage or in a contest:
    /// they are done first, whatever comes of them.
    pub watches: Vec<JobId>,
    /// So many of the instances that it watches go on: it is run if its own is one of them.
    pub contest: Option<u32>,
    /// What it takes, estimated.
    pub size: Size,
    /// On what conditions it is run.
    pub terms: Arc<Terms>,
}

impl Job {
    /// Takes its size, and the segments in which it is committed, from the shapes of what flows
    /// into it. Gives those of its outputs.
    fn measure(&mut self, inputs: &[Shape]) -> Vec<Shape> {
        if let Spec::Train(train) = &mut self.spec {
            train.segments = cost::segments(train, inputs);
        }
        let (size, outputs) = cost::estimate(&self.spec, inputs);
        self.size = size;
        outputs
    }
}

/// An input of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// `data`, or `models[width=16,seed=1]` where several have one name.
    pub name: String,
    /// What flows in.
    pub from: From,
    /// Whether it is of one of the instances of a stage that are taken together: some of them may
    /// be missing, as long as one is left.
    pub each: bool,
}

impl Edge {
    /// The input that it belongs to: `models` of `models[width=16,seed=1]`.
    #[must_use]
    pub fn port(&self) -> &str {
        self.name.split_once('[').map_or(self.name.as_str(), |(port, _)| port)
    }
}

/// Where an input comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// An artifact of a source.
    Source {
        /// The source.
        name: String,
        /// The artifact, by the pin of the source.
        digest: Digest,
    },
    /// An output of an earlier job.
    Job {
        /// The job.
        id: JobId,
        /// Which of its outputs.
        output: String,
    },
}

impl Job {
    /// The jobs that must be done before it, some perhaps more than once.
    pub fn needs(&self) -> impl Iterator<Item = JobId> + '_ {
        let data = self.inputs.iter().filter_map(|edge| match &edge.from {
            From::Job { id, .. } => Some(*id),
            From::Source { .. } => None,
        });
        data.chain(self.after.iter().copied()).chain(self.watches.iter().copied())
    }

    /// The job from whose state it goes on.
    #[must_use]
    pub fn state(&self) -> Option<JobId> {
        self.inputs.iter().find(|edge| edge.name == "state").and_then(|edge| match edge.from {
            From::Job { id, .. } => Some(id),
            From::Source { .. } => None,
        })
    }

    /// Whether it goes on from the state of an earlier part of its instance.
    #[must_use]
    pub fn is_later_part(&self) -> bool {
        match &self.spec {
            Spec::Train(Train { parallel: Some(parallel), .. }) => *parallel != Parallel::Start,
            Spec::Train(train) => !train.part.is_first(),
            Spec::Merge(_) | Spec::MergeDeltas(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Job {
    /// The address: `stage`, `stage@width=16,seed=1`, `stage@width=16#2/3` or `stage#2/3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.label.is_empty() || self.label.starts_with('#') { "" } else { "@" };
        write!(f, "{}{at}{}", self.stage, self.label)
    }
}

/// Expands a manifest to its jobs. All faults are reported: sources without pins, columns that the
/// pinned sources do not have, and too many jobs or edges.
pub fn expand(manifest: &Manifest, pins: &BTreeMap<String, Pin>) -> Result<Dag, Vec<Diagnostic>> {
    let mut faults = BTreeSet::new();
    for (name, source) in &manifest.sources {
        let Some(pin) = pins.get(name) else {
            let hint = "pin it first: its size and digest decide the plan".to_owned();
            let message = format!("source `{name}` has no pin");
            faults.insert(fault(source.place, message, Some(hint)));
            continue;
        };
        if pin.chunks.is_empty() || pin.chunks.len() > CHUNKS_PER_SOURCE_MAX {
            let count = pin.chunks.len();
            let message = format!("the pin of source `{name}` has {count} chunks");
            let hint =
                format!("1 to {CHUNKS_PER_SOURCE_MAX} can be read: give it a larger `split`");
            faults.insert(fault(source.place, message, Some(hint)));
        }
    }
    if !faults.is_empty() {
        return Err(faults.into_iter().collect());
    }
    let stages = order(manifest).map_err(|fault| vec![fault])?;
    let mut build = Build {
        pins,
        jobs: Vec::new(),
        edges: 0,
        bytes: 0,
        made: BTreeMap::new(),
        undivided: undivided(manifest),
        faults,
        misfits: BTreeSet::new(),
        unsure: BTreeSet::new(),
        room: NAMES_MAX,
        looks: NAMES_MAX,
    };
    for stage in stages {
        build.stage(stage).map_err(|fault| vec![fault])?;
    }
    let outputs = build.outputs(manifest);
    if !build.faults.is_empty() {
        build.faults.append(&mut build.misfits);
        return Err(build.faults.into_iter().collect());
    }
    let misfits = build.misfits.into_iter().collect();
    Ok(Dag { jobs: build.jobs, outputs, spec_bytes: build.bytes, misfits })
}

/// The stages that have one job each: what they give is published, or a condition reads what they
/// report.
fn undivided(manifest: &Manifest) -> BTreeSet<&str> {
    let published = manifest.outputs.values().map(|publish| publish.from.0.as_str());
    let conditions = manifest.stages.values().flat_map(|stage| stage.terms.when.iter());
    published.chain(conditions.flat_map(|when| when.stages())).collect()
}

/// The stages, each after all that it waits for.
fn order(manifest: &Manifest) -> Result<Vec<&Stage>, Diagnostic> {
    let mut graph = DiGraph::<&Stage, ()>::new();
    // petgraph visits the last one first: reversed, unrelated stages come in the order of names.
    let stages = manifest.stages.values().rev();
    let nodes: BTreeMap<&str, _> =
        stages.map(|stage| (stage.name.as_str(), graph.add_node(stage))).collect();
    for stage in manifest.stages.values() {
        for name in waits(stage) {
            if let (Some(from), Some(to)) = (nodes.get(name), nodes.get(stage.name.as_str())) {
                graph.add_edge(*from, *to, ());
            }
        }
    }
    match toposort(&graph, None) {
        Ok(order) => Ok(order.into_iter().filter_map(|n| graph.node_weight(n).copied()).collect()),
        // `compile` refuses cycles with the whole path; a manifest made otherwise stops here.
        Err(cycle) => {
            let stage = graph.node_weight(cycle.node_id());
            let place = stage.map(|stage| stage.place).unwrap_or_default();
            let name = stage.map_or("", |stage| stage.name.as_str());
            Err(fault(place, format!("stage `{name}` waits for itself"), None))
        }
    }
}

fn waits(stage: &Stage) -> impl Iterator<Item = &str> {
    let inputs = stage.inputs.iter().filter_map(|(_, from, _)| match from {
        InputRef::Output { stage, .. } | InputRef::Each { stage, .. } => Some(stage.as_str()),
        InputRef::Source(_) => None,
    });
    let watched = stage.terms.when.iter().flat_map(|when| when.stages());
    inputs.chain(stage.needs.iter().map(|(name, _)| name.as_str())).chain(watched)
}

/// What is known of a stage whose jobs exist.
struct Made<'a> {
    instances: Vec<MadeInstance<'a>>,
    /// Label → index, where there is more than one.
    by_label: BTreeMap<&'a str, usize>,
    /// The columns of its tables, if it gives tables and they are known.
    columns: Option<Arc<Columns>>,
}

struct MadeInstance<'a> {
    label: &'a str,
    /// The last of its parts, or one job for each chunk or share.
    jobs: Vec<MadeJob>,
}

struct MadeJob {
    id: JobId,
    /// Of its outputs, in the order of the spec.
    shapes: Vec<Shape>,
}

struct Build<'a> {
    pins: &'a BTreeMap<String, Pin>,
    jobs: Vec<Job>,
    edges: usize,
    /// Of what they compute, as far as it counts.
    bytes: usize,
    made: BTreeMap<&'a str, Made<'a>>,
    undivided: BTreeSet<&'a str>,
    faults: BTreeSet<Diagnostic>,
    /// What stages cannot do with the kinds of their columns.
    misfits: BTreeSet<Diagnostic>,
    /// Stages that a run may do without.
    unsure: BTreeSet<&'a str>,
    /// Names of columns that may still be followed through transforms.
    room: usize,
    /// Kinds of columns that may still be looked at.
    looks: usize,
}

impl<'a> Build<'a> {
    /// Makes the jobs of a stage; a bound that is passed ends the expansion.
    fn stage(&mut self, stage: &'a Stage) -> Result<(), Diagnostic> {
        if self.may_be_left_out(stage) {
            self.unsure.insert(&stage.name);
        }
        let columns = self.columns(stage);
        let (after, watches) = (self.after(stage), self.watches(stage));
        let terms = terms(stage);
        let mut checked = BTreeSet::new();
        let mut instances = Vec::with_capacity(stage.instances.len());
        let mut cells = Vec::new();
        for instance in &stage.instances {
            let (inputs, shapes) = self.inputs(stage, &instance.label)?;
            let long: usize = inputs.iter().map(|edge| edge.name.len() / EDGE_BYTES).sum();
            self.count(stage, inputs.len() + long + after.len() + watches.len())?;
            for (what, column) in named_columns(&instance.spec) {
                if checked.insert(column) {
                    self.check_column(stage, (what, column), columns.as_deref());
                }
            }
            self.check_kinds(stage, &instance.spec, columns.as_deref());
            self.check_network(stage, &instance.spec);
            let whole = Job {
                stage: stage.name.clone(),
                label: instance.label.clone(),
                spec: instance.spec.clone(),
                inputs,
                after: after.clone(),
                watches: watches.clone(),
                contest: None,
                size: Size::default(),
                terms: Arc::clone(&terms),
            };
            if stage.halving.is_some() {
                cells.push((whole, shapes));
                continue;
            }
            let jobs = match &instance.spec {
                Spec::Ingest(ingest) => self.chunks(stage, ingest, whole)?,
                Spec::Embed(embed) => self.shares(stage, embed, whole, &shapes)?,
                Spec::Train(train @ Train { parallel: Some(Parallel::Whole(rounds)), .. }) => {
                    vec![self.rounds(stage, whole, (train, rounds), &shapes)?]
                }
                _ => vec![self.parts(stage, whole, &shapes)?],
            };
            instances.push(MadeInstance { label: &instance.label, jobs });
        }
        if let Some(halving) = stage.halving {
            let made = self.rungs(stage, halving, &cells)?;
            let named = made.into_iter().zip(&stage.instances);
            let of = |(job, instance): (MadeJob, &'a Instance)| MadeInstance {
                label: &instance.label,
                jobs: vec![job],
            };
            instances.extend(named.map(of));
        }
        let by_label = match instances.len() {
            0 | 1 => BTreeMap::new(),
            _ => instances.iter().enumerate().map(|(index, made)| (made.label, index)).collect(),
        };
        let columns = self.results(stage, columns);
        self.made.insert(&stage.name, Made { instances, by_label, columns });
        Ok(())
    }

    /// The columns of the table that reaches a stage, if a pinned source is where it began.
    fn columns(&self, stage: &Stage) -> Option<Arc<Columns>> {
        let mut tables = stage.inputs.iter().filter(|(port, ..)| port != ENCODER && port != MODEL);
        tables.next().and_then(|(_, from, _)| self.columns_of(from))
    }

    fn columns_of(&self, from: &InputRef) -> Option<Arc<Columns>> {
        match from {
            InputRef::Source(source) => {
                self.pins.get(source).map(|pin| Arc::new(Columns::new(&pin.columns)))
            }
            InputRef::Output { stage, .. } | InputRef::Each { stage, .. } => {
                self.made.get(stage.as_str())?.columns.clone()
            }
        }
    }

    /// The columns of the tables that a stage gives, by those of the table that reaches it.
    fn results(&mut self, stage: &Stage, given: Option<Arc<Columns>>) -> Option<Arc<Columns>> {
        match &stage.instances.first()?.spec {
            Spec::Ingest(ingest) => Some(Arc::new(given?.kept(ingest))),
            Spec::Split(_) => given,
            Spec::Embed(embed) => given?.embedded(embed, self.encoder(stage)?).map(Arc::new),
            Spec::Transform(_) => self.transformed(stage, &*given?).map(Arc::new),
            _ => None,
        }
    }

    /// What the instances of a transform may make of a table, and what they name that is not in it.
    fn transformed(&mut self, stage: &Stage, given: &Columns) -> Option<Columns> {
        if let Some((_, fitted, _)) = stage.inputs.iter().find(|(port, ..)| port == FITTED) {
            let fitted = self.columns_of(fitted)?;
            self.room = self.room.checked_sub(given.size() + fitted.size())?;
            let mut result = given.clone();
            result.join(&fitted);
            return Some(result);
        }
        let mut result: Option<Option<Columns>> = Some(None);
        let mut told = BTreeSet::new();
        for instance in &stage.instances {
            let Spec::Transform(transform) = &instance.spec else { continue };
            let (made, wrong) = columns::transformed(transform, given, &mut self.room);
            for (key, name) in wrong.missing {
                if told.insert(name.clone()) {
                    self.no_column(stage, (key, &name), given);
                }
            }
            self.check_steps(stage, wrong.misfits);
            result = match (result, made) {
                (Some(None), Some(made)) => Some(Some(made)),
                (Some(Some(mut result)), Some(made)) => {
                    self.room = self.room.checked_sub(result.size())?;
                    result.join(&made);
                    Some(Some(result))
                }
                _ => None,
            };
        }
        result.map(Option::unwrap_or_default)
    }

    /// The columns that the encoder of a stage gives to each text.
    fn encoder(&self, stage: &Stage) -> Option<&[Column]> {
        self.network(stage, ENCODER).map(|(_, pin)| pin.columns.as_slice())
    }

    /// The pinned source of a network that a stage takes.
    fn network(&self, stage: &Stage, port: &str) -> Option<(Place, &Pin)> {
        let (_, from, place) = stage.inputs.iter().find(|(each, ..)| each == port)?;
        match from {
            InputRef::Source(source) => Some((*place, self.pins.get(source)?)),
            _ => None,
        }
    }

    /// A folder of Hugging Face says only to who reads it whether it gives columns to texts.
    fn check_network(&mut self, stage: &Stage, spec: &Spec) {
        let (port, gives_columns) = match spec {
            Spec::Embed(_) => (ENCODER, true),
            Spec::Perplexity(_) => (MODEL, false),
            _ => return,
        };
        let Some((place, pin)) = self.network(stage, port) else { return };
        if pin.columns.is_empty() != gives_columns || self.faults.len() >= FAULTS_MAX {
            return;
        }
        let (message, hint) = if gives_columns {
            ("this is a language model: it gives no vectors", "take an encoder of the BERT family")
        } else {
            ("this is an encoder: it foretells no token", "take a model of the Llama family")
        };
        self.faults.insert(fault(place, message, Some(hint.to_owned())));
    }

    fn check_column(
        &mut self,
        stage: &Stage,
        (what, column): (&str, &str),
        columns: Option<&Columns>,
    ) {
        if let Some(columns) = columns.filter(|columns| !columns.may_have(column)) {
            self.no_column(stage, (what, column), columns);
        }
    }

    fn no_column(&mut self, stage: &Stage, (what, column): (&str, &str), columns: &Columns) {
        if self.faults.len() < FAULTS_MAX {
            let message = format!("`{what}` names the column `{column}`, but the data has no such");
            let known = || suggest(column, columns.names().collect::<Vec<_>>());
            let near = || known().filter(|_| !columns.may_have(column));
            let hint = one_cell(columns).or_else(near);
            self.faults.insert(fault(stage.column_place, message, hint));
        }
    }

    fn outputs(&mut self, manifest: &Manifest) -> BTreeMap<String, Output> {
        let mut outputs = BTreeMap::new();
        for (name, publish) in &manifest.outputs {
            let (stage, output, place) = &publish.from;
            let made = self.made.get(stage.as_str()).and_then(|made| made.of(""));
            let found = made.and_then(|made| match made.jobs.as_slice() {
                [one] => self.edge(one, String::new(), output),
                _ => None,
            });
            match found.map(|(edge, _)| edge.from) {
                Some(From::Job { id, output }) => {
                    let (to, format) = (publish.to.clone(), publish.format);
                    outputs.insert(name.clone(), Output { job: id, output, to, format });
                }
                Some(From::Source { .. }) | None => {
                    self.faults.insert(nothing(*place, stage, output));
                }
            }
        }
        outputs
    }
}

/// What to do about a table of one column that looks like several.
fn one_cell(columns: &Columns) -> Option<String> {
    let mut names = columns.names();
    let (Some(only), None) = (names.next(), names.next()) else { return None };
    let (_, mark) = [(';', ";"), ('\t', "tab"), ('|', "|")]
        .into_iter()
        .find(|(mark, _)| only.contains(*mark))?;
    Some(format!("there is only `{only}`: write `csv: {{ delimiter: \"{mark}\" }}` at the source"))
}

/// The terms of a stage: what an evaluation says decides what is published, so that all of it is
/// computed again, whatever is asked.
fn terms(stage: &Stage) -> Arc<Terms> {
    match stage.instances.first().map(|instance| &instance.spec) {
        Some(Spec::Evaluate(_)) => {
            Arc::new(Terms { verification: Verification::Full, ..Terms::clone(&stage.terms) })
        }
        _ => Arc::clone(&stage.terms),
    }
}

/// The columns that a job names, each with the setting that names it.
fn named_columns(spec: &Spec) -> Vec<(&'static str, &str)> {
    match spec {
        Spec::Train(train) => {
            let target = match train.task {
                Task::MultiLabel => "targets",
                // Its column has one name: that of the tokens of a stream.
                Task::Language => "task",
                Task::Classification | Task::Regression => "target",
            };
            let targets = train.targets.iter().map(|name| (target, name.as_str()));
            let features = train.features.iter().flatten();
            targets.chain(features.map(|name| ("features", name.as_str()))).collect()
        }
        Spec::Embed(embed) => vec![("column", embed.column.as_str())],
        Spec::Perplexity(spec) => vec![("column", spec.column.as_str())],
        Spec::Split(split) => split.dealing.column().into_iter().collect(),
        Spec::Ingest(ingest) => {
            ingest.keep.iter().flatten().map(|column| ("columns", column.as_str())).collect()
        }
        Spec::Evaluate(_)
        | Spec::Compare(_)
        | Spec::Noop(_)
        | Spec::Transform(_)
        | Spec::Predict(_)
        | Spec::Export(_)
        | Spec::Merge(_)
        | Spec::MergeDeltas(_)
        | Spec::Generate(_) => Vec::new(),
    }
}

fn fault(place: Place, message: impl AsRef<str>, hint: Option<String>) -> Diagnostic {
    Diagnostic::new(place, message.as_ref(), hint)
}

fn nothing(place: Place, stage: &str, output: &str) -> Diagnostic {
    fault(place, format!("`{stage}.{output}` gives nothing here"), None)
}

fn too_many(place: Place, max: usize, noun: &str) -> Diagnostic {
    let hint = "take fewer values in the matrix, or divide the pipeline".to_owned();
    fault(place, format!("a run has at most {max} {noun}: this is beyond"), Some(hint))
}
