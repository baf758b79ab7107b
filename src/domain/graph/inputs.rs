//! Inputs: where what an instance takes comes from, and of what shape it is.
//! Never makes a job.

use super::{Build, EDGES_PER_RUN_MAX, Edge, From, Made, MadeInstance, MadeJob, nothing, too_many};
use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::domain::cost::Shape;
use crate::domain::job::Pin;
use crate::domain::manifest::{Diagnostic, InputRef, Stage};
use std::collections::BTreeSet;

impl Build<'_> {
    /// The inputs of one instance, and their shapes.
    pub(super) fn inputs(
        &self,
        stage: &Stage,
        label: &str,
    ) -> Result<(Vec<Edge>, Vec<Shape>), Diagnostic> {
        let mut edges = Vec::new();
        let mut shapes = Vec::new();
        for (name, from, place) in &stage.inputs {
            match from {
                InputRef::Source(source) => {
                    let pin = self.pins.get(source);
                    let artifacts = pin.map(Pin::artifacts).unwrap_or_default();
                    edges.extend(source_edges(name, source, artifacts));
                    shapes.push(pin.map(shape).unwrap_or_default());
                }
                InputRef::Output { stage: other, output } => {
                    let made = self.made.get(other.as_str()).and_then(|made| made.of(label));
                    let jobs = made.map(|made| made.jobs.as_slice()).unwrap_or_default();
                    let mut whole: Option<Shape> = None;
                    for (index, job) in jobs.iter().enumerate() {
                        let name = numbered(name, index, jobs.len());
                        let (edge, shape) = self
                            .edge(job, name, output)
                            .ok_or_else(|| nothing(*place, other, output))?;
                        edges.push(edge);
                        whole = Some(whole.map_or(shape, |whole| whole.below(shape)));
                    }
                    shapes.push(whole.ok_or_else(|| nothing(*place, other, output))?);
                }
                InputRef::Each { stage: other, output } => {
                    let made = self.made.get(other.as_str()).map(|made| made.instances.as_slice());
                    let made = made.unwrap_or_default();
                    let jobs = made.iter().flat_map(|each| {
                        let count = each.jobs.len();
                        let jobs = each.jobs.iter().enumerate();
                        jobs.map(move |(index, job)| (each.label, (index, count), job))
                    });
                    let count = jobs.clone().count();
                    if edges.len().saturating_add(count) > EDGES_PER_RUN_MAX {
                        return Err(too_many(*place, EDGES_PER_RUN_MAX, "edges"));
                    }
                    for (label, (index, count), job) in jobs {
                        let name = match (label, count) {
                            ("", _) => numbered(name, index, count),
                            (label, 1) => format!("{name}[{label}]"),
                            (label, _) => format!("{name}[{label}#{}]", index + 1),
                        };
                        let found = self.edge(job, name, output);
                        let (edge, shape) = found.ok_or_else(|| nothing(*place, other, output))?;
                        edges.push(Edge { each: true, ..edge });
                        shapes.push(shape);
                    }
                }
            }
        }
        Ok((edges, shapes))
    }

    pub(super) fn edge(&self, made: &MadeJob, name: String, output: &str) -> Option<(Edge, Shape)> {
        let job = self.jobs.get(made.id.index())?;
        let index = job.spec.outputs().iter().position(|known| *known == output)?;
        let from = From::Job { id: made.id, output: output.to_owned() };
        Some((Edge { name, from, each: false }, made.shapes.get(index).copied()?))
    }

    /// The jobs that must be done before those of a stage, though nothing flows from them.
    pub(super) fn after(&self, stage: &Stage) -> Vec<JobId> {
        let made = stage.needs.iter().filter_map(|(name, _)| self.made.get(name.as_str()));
        made.flat_map(Made::jobs).collect()
    }

    /// The jobs whose metrics the condition of a stage reads.
    pub(super) fn watches(&self, stage: &Stage) -> Vec<JobId> {
        let names: BTreeSet<&str> =
            stage.terms.when.iter().flat_map(|when| when.stages()).collect();
        let made = names.into_iter().filter_map(|name| self.made.get(name));
        made.flat_map(Made::jobs).collect()
    }
}

impl Made<'_> {
    /// The jobs with which all of it is done.
    fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.instances.iter().flat_map(|instance| instance.jobs.iter().map(|job| job.id))
    }

    /// The instance that a plain reference from an instance of that label means.
    pub(super) fn of(&self, label: &str) -> Option<&MadeInstance<'_>> {
        match self.instances.as_slice() {
            [one] => Some(one),
            some => some.get(*self.by_label.get(label)?),
        }
    }
}

/// The edges of the artifacts of a source.
pub(super) fn source_edges(
    port: &str,
    source: &str,
    artifacts: Vec<Digest>,
) -> impl Iterator<Item = Edge> {
    let count = artifacts.len();
    artifacts.into_iter().enumerate().map(move |(index, digest)| Edge {
        name: numbered(port, index, count),
        from: From::Source { name: source.to_owned(), digest },
        each: false,
    })
}

/// The name of one of several inputs of a port: `table[2]`, or `table` of the only one.
fn numbered(port: &str, index: usize, count: usize) -> String {
    match count {
        1 => port.to_owned(),
        _ => format!("{port}[{}]", index + 1),
    }
}

fn shape(pin: &Pin) -> Shape {
    let columns = pin.columns.len() as u64;
    Shape { rows: pin.rows, columns, bytes: pin.bytes, ..Shape::default() }
}
