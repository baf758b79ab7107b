//! Parts: an instance whose work is too long for one block becomes jobs that hand their state on.
//! Never knows where its inputs come from.

use super::{Build, EDGES_PER_RUN_MAX, Edge, From, Job, MadeJob, fault, too_many};
use crate::base::ids::JobId;
use crate::base::limits::JOBS_PER_RUN_MAX;
use crate::domain::cost::{self, Shape};
use crate::domain::job::{Part, Spec};
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
            let mut job = whole.clone();
            let mut job_shapes = shapes.to_vec();
            if let Some(MadeJob { id, shapes: state }) = &last {
                let from = From::Job { id: *id, output: "state".to_owned() };
                job.inputs.push(Edge { name: "state".to_owned(), from, each: false });
                job_shapes.extend_from_slice(state);
                // Later parts follow the first by its state.
                (job.after, job.watches) = Default::default();
            }
            if let Spec::Train(train) = &mut job.spec {
                train.part = Part { index, count };
            }
            let (size, outputs) = cost::estimate(&job.spec, &job_shapes);
            job.size = size;
            if count > 1 {
                job.label.push_str(&format!("#{}/{count}", index + 1));
            }
            last = Some(MadeJob { id: self.push(stage, job)?, shapes: outputs });
        }
        last.ok_or_else(|| fault(stage.place, "stage has no jobs", None))
    }

    /// One more job.
    pub(super) fn push(&mut self, stage: &Stage, job: Job) -> Result<JobId, Diagnostic> {
        let id = u32::try_from(self.jobs.len()).ok().filter(|_| self.jobs.len() < JOBS_PER_RUN_MAX);
        let id = id.ok_or_else(|| too_many(stage.place, JOBS_PER_RUN_MAX, "jobs"))?;
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
