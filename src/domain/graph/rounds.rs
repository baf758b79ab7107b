//! Rounds: a training in parallel becomes jobs of shards and merges.
//! Never says what a shard learns or how a merge is made.

use super::{Build, EDGES_PER_RUN_MAX, Edge, From, Job, MadeJob, fault};
use crate::base::limits::JOBS_PER_RUN_MAX;
use crate::domain::cost::Shape;
use crate::domain::job::{Decay, Deltas, Parallel, Rounds, Spec, Train};
use crate::domain::manifest::{Diagnostic, Stage};
use crate::domain::terms::Terms;
use crate::domain::verdict::Verification;
use std::sync::Arc;

/// The jobs of one training in parallel, as far as they are made.
struct Spread<'b, 'a> {
    build: &'b mut Build<'a>,
    stage: &'b Stage,
    /// What it would be in one piece.
    whole: Job,
    train: &'b Train,
    /// The edges of the input `data`, and the shapes of all inputs but `state`.
    data: Vec<Edge>,
    shapes: &'b [Shape],
}

impl Build<'_> {
    /// The jobs of one training in parallel, of which `whole` is what it would be in one piece.
    /// Gives the one that gives the model: it has the address of the instance.
    pub(super) fn rounds(
        &mut self,
        stage: &Stage,
        whole: Job,
        (train, rounds): (&Train, &Rounds),
        shapes: &[Shape],
    ) -> Result<MadeJob, Diagnostic> {
        let (jobs, max) = (rounds.jobs(), JOBS_PER_RUN_MAX);
        if jobs > max as u64 {
            let message =
                format!("{} shards in {} rounds are {jobs} jobs", rounds.shards, rounds.rounds);
            let hint = format!("a run has at most {max}: take fewer rounds with more `localSteps`");
            return Err(fault(stage.place, message, Some(hint)));
        }
        let data: Vec<Edge> =
            whole.inputs.iter().filter(|edge| edge.port() == "data").cloned().collect();
        let mut spread = Spread { build: self, stage, whole, train, data, shapes };
        spread.bound(rounds)?;
        let mut state = spread.start()?;
        let mut before: Vec<MadeJob> = Vec::new();
        for round in 0..rounds.rounds {
            if round < rounds.alone {
                state = spread.shard(rounds, (round, 0), (&state, None))?;
                continue;
            }
            let shards: Vec<MadeJob> = (0..rounds.shards)
                .zip(before.iter().map(Some).chain(std::iter::repeat(None)))
                .map(|(index, before)| spread.shard(rounds, (round, index), (&state, before)))
                .collect::<Result<_, _>>()?;
            state = spread.merge(rounds, round, (&state, &shards))?;
            before = shards;
        }
        spread.finish(rounds, &state)
    }
}

impl Spread<'_, '_> {
    /// The edges of all its jobs, counted before any is made.
    fn bound(&mut self, rounds: &Rounds) -> Result<(), Diagnostic> {
        // At the most: the state and the residual, and of a merge the state and the ways.
        let of_shard = self.data.len().saturating_add(2);
        let of_round = (rounds.shards as usize).saturating_mul(of_shard + 1).saturating_add(2);
        let all = (rounds.rounds as usize).saturating_mul(of_round);
        self.build.count(self.stage, all.min(EDGES_PER_RUN_MAX + 1))
    }

    /// The state before the first step. Only this one waits for what the stage waits for: all
    /// others follow by its state.
    fn start(&mut self) -> Result<MadeJob, Diagnostic> {
        let mut job = self.job(Parallel::Start, "#start");
        (job.after, job.watches) = (self.whole.after.clone(), self.whole.watches.clone());
        job.inputs = self.data.clone();
        self.push(job, &[])
    }

    fn shard(
        &mut self,
        rounds: &Rounds,
        (round, index): (u32, u32),
        (state, before): (&MadeJob, Option<&MadeJob>),
    ) -> Result<MadeJob, Diagnostic> {
        let falls = self.train.schedule.decay != Decay::Constant;
        let count = rounds.shards_in(round);
        let label = format!("#round {}/{} shard {}/{}", round + 1, rounds.rounds, index + 1, count);
        let mut job = self.job(rounds.shard((round, index), falls), &label);
        if let Spec::Train(train) = &mut job.spec {
            train.batch = rounds.batch_in(round, train.batch);
        }
        job.inputs = self.data.clone();
        job.inputs.push(edge("state", "state", state));
        let mut shapes: Vec<Shape> = state.shapes.first().copied().into_iter().collect();
        if let (Deltas::Int8, Some(before)) = (rounds.deltas, before) {
            job.inputs.push(Edge { each: true, ..edge("residual", "residual", before) });
            shapes.extend(before.shapes.get(1));
        }
        self.push(job, &shapes)
    }

    /// A merge is little work on which all that follows rests: all of it is computed again.
    fn merge(
        &mut self,
        rounds: &Rounds,
        round: u32,
        (state, shards): (&MadeJob, &[MadeJob]),
    ) -> Result<MadeJob, Diagnostic> {
        let label = format!("#round {}/{} merge", round + 1, rounds.rounds);
        let mut job = self.job(Parallel::Start, &label);
        job.spec = rounds.merge();
        let mut terms = Terms { grace_ms: rounds.grace_ms, ..Terms::clone(&job.terms) };
        if !matches!(terms.verification, Verification::Replicate { .. }) {
            terms.verification = Verification::Full;
        }
        job.terms = Arc::new(terms);
        job.inputs = vec![edge("state", "state", state)];
        let mut shapes: Vec<Shape> = state.shapes.first().copied().into_iter().collect();
        let given = match rounds.deltas {
            Deltas::Whole => "state",
            Deltas::Int8 => "delta",
        };
        for (index, shard) in (1..).zip(shards) {
            let each = rounds.merge.quorum < rounds.shards;
            job.inputs.push(Edge { each, ..edge(format!("shards[{index}]"), given, shard) });
            shapes.extend(shard.shapes.first());
        }
        // The merge before has remembered some, if it was one.
        if let Some(ways) = state.shapes.get(1) {
            job.inputs.push(edge("ways", "ways", state));
            shapes.push(*ways);
        }
        let shapes = job.measure(&shapes);
        Ok(MadeJob { id: self.build.push(self.stage, job)?, shapes })
    }

    fn finish(&mut self, rounds: &Rounds, state: &MadeJob) -> Result<MadeJob, Diagnostic> {
        let mut job = self.job(rounds.finish(), "");
        job.inputs = self.whole.inputs.clone();
        job.inputs.push(edge("state", "state", state));
        let others = self.shapes.get(1..).unwrap_or_default();
        let others: Vec<Shape> = others.iter().chain(state.shapes.first()).copied().collect();
        self.push(job, &others)
    }

    /// A job that waits for nothing yet.
    fn job(&self, parallel: Parallel, label: &str) -> Job {
        let mut job = self.whole.clone();
        job.label.push_str(label);
        job.spec = Spec::Train(Train { parallel: Some(parallel), ..self.train.clone() });
        (job.inputs, job.after, job.watches) = Default::default();
        job
    }

    /// A job that reads `data`, and inputs of these shapes.
    fn push(&mut self, mut job: Job, others: &[Shape]) -> Result<MadeJob, Diagnostic> {
        let data = self.shapes.first().copied().unwrap_or_default();
        let shapes: Vec<Shape> = [data].into_iter().chain(others.iter().copied()).collect();
        let shapes = job.measure(&shapes);
        Ok(MadeJob { id: self.build.push(self.stage, job)?, shapes })
    }
}

fn edge(name: impl Into<String>, output: &str, from: &MadeJob) -> Edge {
    let from = From::Job { id: from.id, output: output.to_owned() };
    Edge { name: name.into(), from, each: false }
}
