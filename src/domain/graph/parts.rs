//! Parts: an instance whose work is too long for one block becomes jobs that hand their state on.
//! Never knows where its inputs come from.

use super::{Build, EDGES_PER_RUN_MAX, Edge, From, Job, MadeJob, SPEC_BYTES_MAX, fault, too_many};
use crate::base::canon::Encode;
use crate::base::ids::JobId;
use crate::base::limits::JOBS_PER_RUN_MAX;
use crate::domain::cost::{self, Shape};
use crate::domain::job::{Part, Spec};
use crate::domain::manifest::room::{LABEL_BYTES_FREE, SPEC_BYTES_FREE};
use crate::domain::manifest::{Diagnostic, Stage};

impl Build<'_> {
    /// The jobs of one instance, of which `whole` is what it would be in one piece: itself, or the
    /// parts of a long training, each from the state that the one before left. Gives the last.
    pub(super) fn parts(
        &mut self,
        stage: &Stage,
        whole: Job,
        shapes: &[Shape],
    ) -> Result<MadeJob, Diagnostic> {
        let count = match &whole.spec {
            Spec::Train(train) => cost::parts(train, shapes.first().copied().unwrap_or_default()),
            _ => 1,
        };
        let count = count.max(1);
        let mut last: Option<MadeJob> = None;
        for index in 0..count {
            let label = if count > 1 { format!("#{}/{count}", index + 1) } else { String::new() };
            let job = self.part(&whole, Part::of(index, count), &label, last.as_ref());
            last = Some(self.sized(stage, job, shapes, last.as_ref())?);
        }
        last.ok_or_else(|| fault(stage.place, "stage has no jobs", None))
    }

    /// A part of an instance, which goes on from the state that the one before it left.
    pub(super) fn part(
        &self,
        whole: &Job,
        part: Part,
        label: &str,
        before: Option<&MadeJob>,
    ) -> Job {
        let mut job = whole.clone();
        if let Some(MadeJob { id, .. }) = before {
            let from = From::Job { id: *id, output: "state".to_owned() };
            job.inputs.push(Edge { name: "state".to_owned(), from, each: false });
            // Later parts follow the first by its state.
            (job.after, job.watches) = Default::default();
        }
        if let Spec::Train(train) = &mut job.spec {
            train.part = part;
        }
        job.label.push_str(label);
        job
    }

    /// One more job, whose size follows from the shapes of what flows into it.
    pub(super) fn sized(
        &mut self,
        stage: &Stage,
        mut job: Job,
        shapes: &[Shape],
        before: Option<&MadeJob>,
    ) -> Result<MadeJob, Diagnostic> {
        let state = before.map(|made| made.shapes.as_slice()).unwrap_or_default();
        let shapes: Vec<Shape> = shapes.iter().chain(state).copied().collect();
        let outputs = job.measure(&shapes);
        Ok(MadeJob { id: self.push(stage, job)?, shapes: outputs })
    }

    /// One more job.
    pub(super) fn push(&mut self, stage: &Stage, job: Job) -> Result<JobId, Diagnostic> {
        let id = u32::try_from(self.jobs.len()).ok().filter(|_| self.jobs.len() < JOBS_PER_RUN_MAX);
        let id = id.ok_or_else(|| too_many(stage.place, JOBS_PER_RUN_MAX, "jobs"))?;
        let label = job.label.len().saturating_sub(LABEL_BYTES_FREE);
        let bytes = job.spec.to_bytes().len().saturating_sub(SPEC_BYTES_FREE) + label;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > SPEC_BYTES_MAX {
            return Err(too_many(stage.place, SPEC_BYTES_MAX >> 20, "MiB of settings"));
        }
        self.jobs.push(job);
        Ok(JobId(id))
    }

    /// Counts edges, of which a run may have so many.
    pub(super) fn count(&mut self, stage: &Stage, edges: usize) -> Result<(), Diagnostic> {
        self.edges = self.edges.saturating_add(edges);
        if self.edges > EDGES_PER_RUN_MAX {
            return Err(too_many(stage.place, EDGES_PER_RUN_MAX, "edges"));
        }
        Ok(())
    }
}
