//! Graphs: from a manifest and the pins of its sources to jobs in an order that never looks back.
//! Never cuts jobs into blocks and never sees a price.

#[cfg(test)]
mod tests;

use super::cost::{self, Shape, Size};
use super::job::{Column, Part, Pin, Spec};
use super::manifest::{Diagnostic, FAULTS_MAX, InputRef, Manifest, Place, Stage, suggest};
use super::terms::Terms;
use super::verdict::Verification;
use crate::base::ids::JobId;
use crate::base::limits::JOBS_PER_RUN_MAX;
use petgraph::algo::toposort;
use petgraph::graph::DiGraph;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Edges of one run: every instance of a stage that takes `train.*.model` has one for each model.
pub const EDGES_PER_RUN_MAX: usize = 1_000_000;

/// The jobs of a run, and what of their results is published.
#[derive(Clone, PartialEq, Debug)]
pub struct Dag {
    /// In topological order, the same on every node: a [`JobId`] is an index into it.
    pub jobs: Vec<Job>,
    /// What is written to disk, by name.
    pub outputs: BTreeMap<String, Output>,
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
}

/// One unit of compute and where its inputs come from. Its text form is its address.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// The stage that it is an instance of.
    pub stage: String,
    /// `width=16,seed=1`, and `#2/3` where a training is cut into parts; empty where neither is.
    pub label: String,
    /// What it computes.
    pub spec: Spec,
    /// What flows in, in the order in which the cost model and the kind read it.
    pub inputs: Vec<Edge>,
    /// Jobs that must be done first, though nothing flows from them.
    pub after: Vec<JobId>,
    /// What it takes, estimated.
    pub size: Size,
    /// On what conditions it is run.
    pub terms: Arc<Terms>,
}

/// An input of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// `data`, or `models[width=16,seed=1]` where several have one name.
    pub name: String,
    /// What flows in.
    pub from: From,
}

/// Where an input comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// The bytes of a source.
    Source(String),
    /// An output of an earlier job.
    Job {
        /// The job.
        id: JobId,
        /// Which of its outputs.
        output: String,
    },
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
        if !pins.contains_key(name) {
            let hint = "pin it first: its size and digest decide the plan".to_owned();
            let message = format!("source `{name}` has no pin");
            faults.insert(fault(source.place, message, Some(hint)));
        }
    }
    if !faults.is_empty() {
        return Err(faults.into_iter().collect());
    }
    let stages = order(manifest).map_err(|fault| vec![fault])?;
    let mut build = Build { pins, jobs: Vec::new(), edges: 0, made: BTreeMap::new(), faults };
    for stage in stages {
        build.stage(stage).map_err(|fault| vec![fault])?;
    }
    let outputs = build.outputs(manifest);
    if !build.faults.is_empty() {
        return Err(build.faults.into_iter().collect());
    }
    Ok(Dag { jobs: build.jobs, outputs })
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
    inputs.chain(stage.needs.iter().map(|(name, _)| name.as_str()))
}

/// What is known of a stage whose jobs exist.
struct Made<'a> {
    instances: Vec<MadeInstance<'a>>,
    /// Label → index, where there is more than one.
    by_label: BTreeMap<&'a str, usize>,
    /// The columns of its tables, if it gives tables.
    columns: Option<Arc<[Column]>>,
}

struct MadeInstance<'a> {
    label: &'a str,
    /// The last of its parts.
    job: JobId,
    /// Of its outputs, in the order of the spec.
    shapes: Vec<Shape>,
}

struct Build<'a> {
    pins: &'a BTreeMap<String, Pin>,
    jobs: Vec<Job>,
    edges: usize,
    made: BTreeMap<&'a str, Made<'a>>,
    faults: BTreeSet<Diagnostic>,
}

impl<'a> Build<'a> {
    /// Makes the jobs of a stage; a bound that is passed ends the expansion.
    fn stage(&mut self, stage: &'a Stage) -> Result<(), Diagnostic> {
        let columns = self.columns(stage);
        let after = self.after(stage);
        let terms = terms(stage);
        let mut checked = BTreeSet::new();
        let mut instances = Vec::with_capacity(stage.instances.len());
        for instance in &stage.instances {
            let (inputs, shapes) = self.inputs(stage, &instance.label)?;
            self.count(stage, (inputs.len(), after.len()))?;
            if let Some((what, column)) = named_column(&instance.spec)
                && checked.insert(column)
            {
                self.check_column(stage, (what, column), columns.as_deref());
            }
            let spec = self.pinned(stage, &instance.spec);
            let (job, shapes) =
                self.parts((stage, &terms), (&instance.label, &spec), (inputs, &shapes), &after)?;
            instances.push(MadeInstance { label: &instance.label, job, shapes });
        }
        let by_label = match instances.len() {
            0 | 1 => BTreeMap::new(),
            _ => instances.iter().enumerate().map(|(index, made)| (made.label, index)).collect(),
        };
        let columns = match stage.instances.first().map(|instance| &instance.spec) {
            Some(Spec::Ingest(ingest)) => columns.map(|columns| ingest.table(&columns).into()),
            Some(Spec::Split(_)) => columns,
            _ => None,
        };
        self.made.insert(&stage.name, Made { instances, by_label, columns });
        Ok(())
    }

    /// The jobs of one instance: one, or the parts of a long training, each from the state that the
    /// one before left.
    fn parts(
        &mut self,
        (stage, terms): (&Stage, &Arc<Terms>),
        (label, spec): (&str, &Spec),
        (inputs, shapes): (Vec<Edge>, &[Shape]),
        after: &[JobId],
    ) -> Result<(JobId, Vec<Shape>), Diagnostic> {
        let count = match spec {
            Spec::Train(train) => cost::parts(train, shapes.first().copied().unwrap_or_default()),
            _ => 1,
        };
        let mut last: Option<(JobId, Vec<Shape>)> = None;
        for index in 0..count.max(1) {
            let mut job_inputs = inputs.clone();
            let mut job_shapes = shapes.to_vec();
            if let Some((id, state)) = &last {
                let from = From::Job { id: *id, output: "state".to_owned() };
                job_inputs.push(Edge { name: "state".to_owned(), from });
                job_shapes.extend_from_slice(state);
            }
            let spec = match spec {
                Spec::Train(train) => {
                    let mut train = train.clone();
                    train.part = Part { index, count: count.max(1) };
                    Spec::Train(train)
                }
                other => other.clone(),
            };
            let (size, outputs) = cost::estimate(&spec, &job_shapes);
            let part = if count > 1 { format!("#{}/{count}", index + 1) } else { String::new() };
            let id = self.push(Job {
                stage: stage.name.clone(),
                label: format!("{label}{part}"),
                spec,
                inputs: job_inputs,
                // Later parts follow the first by its state.
                after: if index == 0 { after.to_vec() } else { Vec::new() },
                size,
                terms: Arc::clone(terms),
            });
            let id = id.ok_or_else(|| too_many(stage.place, JOBS_PER_RUN_MAX, "jobs"))?;
            last = Some((id, outputs));
        }
        last.ok_or_else(|| fault(stage.place, "stage has no jobs", None))
    }

    fn push(&mut self, job: Job) -> Option<JobId> {
        let id = u32::try_from(self.jobs.len()).ok().map(JobId)?;
        if self.jobs.len() >= JOBS_PER_RUN_MAX {
            return None;
        }
        self.jobs.push(job);
        Some(id)
    }

    fn count(&mut self, stage: &Stage, (inputs, after): (usize, usize)) -> Result<(), Diagnostic> {
        self.edges = self.edges.saturating_add(inputs).saturating_add(after);
        if self.edges > EDGES_PER_RUN_MAX {
            return Err(too_many(stage.place, EDGES_PER_RUN_MAX, "edges"));
        }
        Ok(())
    }

    /// The inputs of one instance, and their shapes.
    fn inputs(&self, stage: &Stage, label: &str) -> Result<(Vec<Edge>, Vec<Shape>), Diagnostic> {
        let mut edges = Vec::new();
        let mut shapes = Vec::new();
        for (name, from, place) in &stage.inputs {
            match from {
                InputRef::Source(source) => {
                    edges.push(Edge { name: name.clone(), from: From::Source(source.clone()) });
                    shapes.push(self.pins.get(source).map(shape).unwrap_or_default());
                }
                InputRef::Output { stage: other, output } => {
                    let made = self.made.get(other.as_str()).and_then(|made| made.of(label));
                    let (edge, shape) = made
                        .and_then(|made| self.edge(made, name.clone(), output))
                        .ok_or_else(|| nothing(*place, other, output))?;
                    edges.push(edge);
                    shapes.push(shape);
                }
                InputRef::Each { stage: other, output } => {
                    let made = self.made.get(other.as_str()).map(|made| made.instances.as_slice());
                    let made = made.unwrap_or_default();
                    if edges.len().saturating_add(made.len()) > EDGES_PER_RUN_MAX {
                        return Err(too_many(*place, EDGES_PER_RUN_MAX, "edges"));
                    }
                    for each in made {
                        let name = match each.label {
                            "" => name.clone(),
                            label => format!("{name}[{label}]"),
                        };
                        let found = self.edge(each, name, output);
                        let (edge, shape) = found.ok_or_else(|| nothing(*place, other, output))?;
                        edges.push(edge);
                        shapes.push(shape);
                    }
                }
            }
        }
        Ok((edges, shapes))
    }

    fn edge(&self, made: &MadeInstance<'_>, name: String, output: &str) -> Option<(Edge, Shape)> {
        let job = self.jobs.get(made.job.index())?;
        let index = job.spec.outputs().iter().position(|known| *known == output)?;
        let from = From::Job { id: made.job, output: output.to_owned() };
        Some((Edge { name, from }, made.shapes.get(index).copied()?))
    }

    fn after(&self, stage: &Stage) -> Vec<JobId> {
        let made = stage.needs.iter().filter_map(|(name, _)| self.made.get(name.as_str()));
        made.flat_map(|made| made.instances.iter().map(|instance| instance.job)).collect()
    }

    /// The columns of the table that reaches a stage, if a pinned source is where it began.
    fn columns(&self, stage: &Stage) -> Option<Arc<[Column]>> {
        stage.inputs.iter().find_map(|(_, from, _)| match from {
            InputRef::Source(source) => self.pins.get(source).map(|pin| pin.columns.clone().into()),
            InputRef::Output { stage, .. } | InputRef::Each { stage, .. } => {
                self.made.get(stage.as_str())?.columns.clone()
            }
        })
    }

    fn check_column(
        &mut self,
        stage: &Stage,
        (what, column): (&str, &str),
        columns: Option<&[Column]>,
    ) {
        if let Some(columns) = columns
            && !columns.iter().any(|known| known.name == column)
            && self.faults.len() < FAULTS_MAX
        {
            let message = format!("`{what}` is the column `{column}`, but the data has no such");
            let hint = suggest(column, columns.iter().map(|known| known.name.as_str()));
            self.faults.insert(fault(stage.column_place, message, hint));
        }
    }

    /// The spec with what only the pins know.
    fn pinned(&self, stage: &Stage, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        if let Spec::Ingest(ingest) = &mut spec
            && let Some((_, InputRef::Source(source), _)) = stage.inputs.first()
        {
            let pinned = self.pins.get(source).and_then(|pin| ingest.pinned(pin, 0, usize::MAX));
            *ingest = pinned.unwrap_or_else(|| ingest.clone());
        }
        spec
    }

    fn outputs(&mut self, manifest: &Manifest) -> BTreeMap<String, Output> {
        let mut outputs = BTreeMap::new();
        for (name, publish) in &manifest.outputs {
            let (stage, output, place) = &publish.from;
            let made = self.made.get(stage.as_str()).and_then(|made| made.of(""));
            let found = made.and_then(|made| self.edge(made, String::new(), output));
            match found.map(|(edge, _)| edge.from) {
                Some(From::Job { id, output }) => {
                    outputs
                        .insert(name.clone(), Output { job: id, output, to: publish.to.clone() });
                }
                Some(From::Source(_)) | None => {
                    self.faults.insert(nothing(*place, stage, output));
                }
            }
        }
        outputs
    }
}

impl Made<'_> {
    /// The instance that a plain reference from an instance of that label means.
    fn of(&self, label: &str) -> Option<&MadeInstance<'_>> {
        match self.instances.as_slice() {
            [one] => Some(one),
            some => some.get(*self.by_label.get(label)?),
        }
    }
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

/// The column that a job names, and the setting that names it.
fn named_column(spec: &Spec) -> Option<(&'static str, &str)> {
    match spec {
        Spec::Train(train) => Some(("target", &train.target)),
        Spec::Split(split) => split.stratify.as_deref().map(|column| ("stratify", column)),
        Spec::Ingest(_) | Spec::Evaluate(_) | Spec::Compare(_) | Spec::Noop(_) => None,
    }
}

fn shape(pin: &Pin) -> Shape {
    Shape { rows: pin.rows, columns: pin.columns.len() as u64, bytes: pin.bytes }
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
