//! What comes to nothing: jobs that fail or are skipped, blocks that are given up, deadlines that
//! pass, and what of it ends a run. Never pays or fines anybody.

use super::State;
use super::run::{Failure, Gone, Phase, Status};
use crate::base::ids::{BlockId, JobId, RunId};
use crate::domain::event::{Ending, Event, GaveUp, Skip};
use crate::domain::terms::OnFailure;

impl State {
    /// Lets go of a job that is not to be run.
    pub(super) fn skip_job(&mut self, id: RunId, job: JobId, why: Skip, events: &mut Vec<Event>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.gone.insert(job, Gone::Skipped(why));
        events.push(Event::Skipped { run: id, job, why });
    }

    /// A job fails for every honest worker: its stage says what that means for the run.
    pub(super) fn fail_job(
        &mut self,
        id: RunId,
        job: JobId,
        failure: Failure,
        events: &mut Vec<Event>,
    ) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Failure { message, hint } = failure.clone();
        run.gone.insert(job, Gone::Failed(failure));
        let told = (message.clone(), hint.clone());
        events.push(Event::Failed { run: id, job, message: told.0, hint: told.1 });
        self.lose(id, job, Ending::Failed { job, message, hint }, events);
    }

    /// The jobs that were sold with one that failed have no result either: nobody claimed any.
    pub(super) fn skip_sold_with(
        &mut self,
        id: RunId,
        jobs: &[JobId],
        failed: JobId,
        events: &mut Vec<Event>,
    ) {
        for job in jobs.iter().filter(|job| **job != failed) {
            self.skip_job(id, *job, Skip::Needs(failed), events);
        }
    }

    /// A block that is not live is not tried again.
    pub(super) fn give_up(&mut self, block: BlockId, why: GaveUp, events: &mut Vec<Event>) {
        let is_covered = self.has_replica_left(block);
        let Some(run) = self.runs.get_mut(&block.run) else { return };
        let jobs = run.plan.blocks.get(block.index as usize).map_or(&[][..], |b| &b.jobs);
        let mut first = None;
        for job in jobs.iter().filter(|_| !is_covered) {
            if matches!(run.results.get(job.index()), Some(None)) && !run.gone.contains_key(job) {
                run.gone.insert(*job, Gone::GivenUp(why));
                first = first.or(Some(*job));
            }
        }
        events.push(Event::GivenUp { block, why });
        self.finish_block(block, Phase::GivenUp(why));
        if let Some(job) = first {
            self.lose(block.run, job, Ending::Exhausted { block, why }, events);
        }
    }

    /// A job came to nothing: its stage says whether the run goes on without it, and whether the
    /// other jobs of the stage are finished.
    fn lose(&mut self, id: RunId, job: JobId, ending: Ending, events: &mut Vec<Event>) {
        let lost = self.runs.get(&id).and_then(|run| run.plan.job(job));
        let Some((terms, stage)) = lost.map(|job| (job.terms.clone(), job.stage.clone())) else {
            return;
        };
        match terms.on_failure {
            OnFailure::Continue if terms.fail_fast => self.skip_stage(id, &stage, job, events),
            OnFailure::Continue => {}
            OnFailure::Fail => {
                let finishing = (!terms.fail_fast).then_some(stage);
                self.drain(id, ending, finishing, events);
            }
        }
    }

    /// Skips what is not done of a stage; what is delivered is settled as ever.
    fn skip_stage(&mut self, id: RunId, stage: &str, failed: JobId, events: &mut Vec<Event>) {
        let Some(run) = self.runs.get(&id) else { return };
        let of_stage = |index: &u32| run.first_job(*index).is_some_and(|job| job.stage == stage);
        let all = 0..u32::try_from(run.plan.blocks.len()).unwrap_or(u32::MAX);
        let blocks: Vec<u32> = all.filter(of_stage).collect();
        for index in blocks {
            let block = BlockId { run: id, index };
            let is_waiting = matches!(self.phase(block), Some(Phase::Waiting));
            if !is_waiting && !self.recall(block, Phase::Waiting, events) {
                continue;
            }
            let jobs = self.runs.get(&id).and_then(|run| run.plan.blocks.get(index as usize));
            for job in jobs.map(|block| block.jobs.clone()).unwrap_or_default() {
                let run = self.runs.get(&id);
                let is_open = run
                    .is_some_and(|run| run.result(job).is_none() && !run.gone.contains_key(&job));
                if is_open && !self.is_lot_answered(block) {
                    self.skip_job(id, job, Skip::FailFast(failed), events);
                }
            }
            self.finish_block(block, Phase::Skipped);
        }
    }

    /// Ends what took longer than its deadline. What is delivered in time is judged in time.
    pub(super) fn pass_deadlines(&mut self, events: &mut Vec<Event>) {
        while let Some((due, id, index)) = self.dues.first().copied() {
            if due > self.now() {
                return;
            }
            self.dues.pop_first();
            match index {
                None => self.stop(id, Ending::Overdue, events),
                Some(index) => {
                    let block = BlockId { run: id, index };
                    if self.recall(block, Phase::Waiting, events) {
                        self.give_up(block, GaveUp::Deadline, events);
                    }
                }
            }
        }
    }

    /// Whether a block is tried again though the run may be ending.
    pub(super) fn is_wanted_again(&self, block: BlockId) -> bool {
        self.runs.get(&block.run).is_some_and(|run| run.is_wanted(block.index))
    }

    /// Whether the deadline of a block has passed.
    pub(super) fn is_overdue(&self, block: BlockId) -> bool {
        let state = self.runs.get(&block.run).and_then(|run| run.block(block.index));
        state.and_then(|state| state.due).is_some_and(|due| due <= self.now())
    }

    /// Whether a job has no result and gets none.
    pub(super) fn is_gone(&self, id: RunId, job: JobId) -> bool {
        self.runs.get(&id).is_some_and(|run| run.gone.contains_key(&job))
    }

    /// Whether a run stands still.
    pub(super) fn is_paused(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| matches!(run.status, Status::Paused(_)))
    }
}
