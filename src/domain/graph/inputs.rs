//! Inputs: where what an instance takes comes from, and of what shape it is.
//! Never makes a job.

use super::{Build, EDGES_PER_RUN_MAX, Edge, From, Made, MadeInstance, nothing, too_many};
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
                    edges.push(Edge {
                        name: name.clone(),
                        from: From::Source(source.clone()),
                        each: false,
                    });
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
                        edges.push(Edge { each: true, ..edge });
                        shapes.push(shape);
                    }
                }
            }
        }
        Ok((edges, shapes))
    }

    pub(super) fn edge(
        &self,
        made: &MadeInstance<'_>,
        name: String,
        output: &str,
    ) -> Option<(Edge, Shape)> {
        let job = self.jobs.get(made.job.index())?;
        let index = job.spec.outputs().iter().position(|known| *known == output)?;
        let from = From::Job { id: made.job, output: output.to_owned() };
        Some((Edge { name, from, each: false }, made.shapes.get(index).copied()?))
    }

    /// The jobs that must be done before those of a stage, though nothing flows from them.
    pub(super) fn after(&self, stage: &Stage) -> Vec<JobId> {
        let made = stage.needs.iter().filter_map(|(name, _)| self.made.get(name.as_str()));
        made.flat_map(|made| made.instances.iter().map(|instance| instance.job)).collect()
    }

    /// The jobs whose metrics the condition of a stage reads.
    pub(super) fn watches(&self, stage: &Stage) -> Vec<JobId> {
        let names: BTreeSet<&str> =
            stage.terms.when.iter().flat_map(|when| when.stages()).collect();
        let made = names.into_iter().filter_map(|name| self.made.get(name));
        made.flat_map(|made| made.instances.iter().map(|instance| instance.job)).collect()
    }
}

impl Made<'_> {
    /// The instance that a plain reference from an instance of that label means.
    pub(super) fn of(&self, label: &str) -> Option<&MadeInstance<'_>> {
        match self.instances.as_slice() {
            [one] => Some(one),
            some => some.get(*self.by_label.get(label)?),
        }
    }
}

fn shape(pin: &Pin) -> Shape {
    Shape { rows: pin.rows, columns: pin.columns.len() as u64, bytes: pin.bytes }
}
