//! Training: one part of the steps of a job, in segments that can be replayed one by one.
//! Never lets anything but spec, data and state decide a bit of the result.
//!
//! A checkpoint is the whole state at a segment's boundary, so segment k of a receipt is checked by
//! [`replay`] from checkpoint k alone: it must end in the bytes of checkpoint k + 1. A training
//! that stops early stays in the state in which it stopped: what is left of its segments and parts
//! begins and ends with those bytes.
//!
//! A training in parallel is cut into jobs of its own: a start, shards in rounds, and a finish (see
//! `domain::job::parallel`). Each is a training of this kind between two steps; `merge` makes one
//! state of those that the shards give.

mod deal;
mod lesson;
mod near;
mod schedule;
mod session;

pub use lesson::Lesson;

use super::machine::Machine;
use super::memory;
use super::model::{Shape, fault};
use super::{Done, Ended, Ends, Far, Fault, Keep, Metrics, Named, Progress};
use crate::base::canon::Digest;
use crate::domain::job::{Parallel, Part, Spec, Task, Train};
use schedule::Rates;
use session::Session;

/// What a replayed segment gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The digest of the state at its beginning: the receipt's checkpoint k.
    pub begin: Digest,
    /// The state at its end: the receipt's checkpoint k + 1.
    pub checkpoint: Vec<u8>,
    /// The digest of that state.
    pub end: Digest,
    /// The digest of a state in between, which nobody publishes.
    pub trace: Digest,
    /// The outputs of the job, if this is its last segment; else none.
    pub outputs: Vec<Named>,
    /// The metrics of the job, if this is its last segment; else none.
    pub metrics: Vec<(String, f64)>,
}

/// Trains one part on a machine: the same bytes on any that is exact, sooner or later. `state` is
/// the previous part's, absent for the first part. The states at the boundaries of its segments go
/// to `keep`. What fails on a fast machine may not fail on an exact one.
pub fn run<E>(
    machine: &Machine,
    spec: &Train,
    lesson: &Lesson,
    state: Option<&[u8]>,
    progress: &mut dyn FnMut(Progress),
    keep: Keep<'_, E>,
) -> Result<Done, Ended<E>> {
    let plan = Plan::new(spec, lesson)?;
    let mut session = Session::begin(machine, spec, lesson, &plan, state)?;
    keep(session.checkpoint()?).map_err(Ended::Unkept)?;
    for k in 1..plan.segments {
        session.run_to(plan.boundary(k), progress)?;
        keep(session.checkpoint()?).map_err(Ended::Unkept)?;
    }
    session.run_to(plan.boundary(plan.segments), progress)?;
    let end = session.checkpoint()?;
    if let Machine::Fast(_) = machine {
        // What is said of its end follows from it exactly, whoever made it.
        session = Session::at_end(spec, lesson, &plan, &end)?;
    }
    let outputs = session.outputs(&end)?;
    keep(end).map_err(Ended::Unkept)?;
    Ok(Done { outputs, metrics: session.metrics()? })
}

/// What a fast training says of the state at the end of a segment, if that is near enough to the
/// exact one: outputs and metrics where it is the last. The states are those at its beginning, at
/// its end by [`replay`], and at its end as it is claimed.
pub fn accept(
    spec: &Train,
    lesson: &Lesson,
    segment: u32,
    states: Ends<'_>,
) -> Result<Option<(Vec<Named>, Metrics)>, Far> {
    let plan = Plan::new(spec, lesson)?;
    near::check(&plan.shape, spec, &states)?;
    if segment + 1 < plan.segments {
        return Ok(None);
    }
    let session = Session::at_end(spec, lesson, &plan, states.claimed)?;
    Ok(Some((session.outputs(states.claimed)?, session.metrics()?)))
}

/// Recomputes segment `segment` with one thread, from `checkpoint` (the state at its beginning).
/// For segment 0 the checkpoint may be left out: it follows from the spec and `state`. `probe` says
/// which of the states in between is traced.
pub fn replay(
    spec: &Train,
    lesson: &Lesson,
    state: Option<&[u8]>,
    segment: u32,
    checkpoint: Option<&[u8]>,
    probe: u32,
) -> Result<Replayed, Fault> {
    let plan = Plan::new(spec, lesson)?;
    let mut session = session_at(spec, lesson, &plan, state, segment, checkpoint)?;
    let begin = Digest::of(&session.checkpoint()?);
    let (from, to) = (session.step(), plan.boundary(segment + 1));
    let steps = to.saturating_sub(plan.boundary(segment));
    let probed = from + u64::from(probe) % steps.max(1);
    while session.step() < probed && session.advance(to, &mut |_| ())? {}
    let trace = Digest::of(&session.checkpoint()?);
    session.run_to(to, &mut |_| ())?;
    let checkpoint = session.checkpoint()?;
    let end = Digest::of(&checkpoint);
    let last = segment + 1 == plan.segments;
    let outputs = if last { session.outputs(&checkpoint)? } else { Vec::new() };
    let metrics = if last { session.metrics()? } else { Vec::new() };
    Ok(Replayed { begin, checkpoint, end, trace, outputs, metrics })
}

/// A state of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// Steps from the beginning of the segment to it.
    pub steps: u64,
    /// The state then; at the end of the segment this is the receipt's checkpoint.
    pub state: Vec<u8>,
}

/// The state after `at` steps of a segment, or at its end: what a dispute is about.
pub fn trace(
    spec: &Train,
    lesson: &Lesson,
    state: Option<&[u8]>,
    segment: u32,
    checkpoint: Option<&[u8]>,
    at: Option<u64>,
) -> Result<Traced, Fault> {
    let plan = Plan::new(spec, lesson)?;
    let mut session = session_at(spec, lesson, &plan, state, segment, checkpoint)?;
    let (first, to) = (session.step(), plan.boundary(segment + 1));
    let is_before = |session: &Session<'_>| at.is_none_or(|at| session.step() - first < at);
    while is_before(&session) && session.advance(to, &mut |_| ())? {}
    Ok(Traced { steps: session.step() - first, state: session.checkpoint()? })
}

/// The state one step after `from`, which is between any two steps of a segment.
pub fn step(spec: &Train, lesson: &Lesson, segment: u32, from: &[u8]) -> Result<Vec<u8>, Fault> {
    let plan = Plan::new(spec, lesson)?;
    let mut session = Session::resume(&Machine::default(), spec, lesson, &plan, from, None)?;
    session.advance(plan.boundary(segment.saturating_add(1)), &mut |_| ())?;
    session.checkpoint()
}

/// A training at the beginning of a segment.
fn session_at<'a>(
    spec: &'a Train,
    lesson: &'a Lesson,
    plan: &'a Plan,
    state: Option<&[u8]>,
    segment: u32,
    checkpoint: Option<&[u8]>,
) -> Result<Session<'a>, Fault> {
    if segment >= plan.segments {
        return Err(fault(
            format!("segment {segment} of a training with {} segments", plan.segments),
            "segments count from 0",
        ));
    }
    let machine = &Machine::default();
    match checkpoint {
        Some(bytes) => {
            Session::resume(machine, spec, lesson, plan, bytes, Some(plan.boundary(segment)))
        }
        None if segment == 0 => Session::begin(machine, spec, lesson, plan, state),
        None => Err(fault(
            format!("segment {segment} cannot be replayed without its checkpoint"),
            "fetch the checkpoint that the receipt names for its beginning",
        )),
    }
}

/// What follows from spec and rows before anything is computed.
struct Plan {
    shape: Shape,
    segments: u32,
    span: Span,
    rates: Rates,
}

impl Plan {
    fn new(spec: &Train, lesson: &Lesson) -> Result<Self, Fault> {
        if !spec.part.is_sound() {
            return Err(fault("the training has no such part", "parts count from 0"));
        }
        if spec.batch == 0 {
            return Err(fault("`batch` is 0", "a step needs at least one row"));
        }
        check(spec, lesson)?;
        let shape = Shape::new(&spec.model, lesson.rows.reads(), lesson.outputs())?;
        // Values, gradients and what is remembered; and one layer of what goes through it.
        let rows = spec.batch.div_ceil(spec.accumulate.max(1)) as usize;
        let rows = rows.min(lesson.rows.rows());
        memory::room(shape.bytes(spec.optimizer.moments() + 2, rows))?;
        if shape.reads_tokens() {
            for rows in [Some(&lesson.rows), lesson.validation.as_ref()].into_iter().flatten() {
                let (mut at, mut taken) = (0, Ok(()));
                rows.values.each(0..rows.rows(), |row| {
                    taken =
                        std::mem::replace(&mut taken, Ok(())).and_then(|()| shape.takes(row, at));
                    at += 1;
                })?;
                taken?;
            }
        }
        let segments = Spec::Train(spec.clone()).segments();
        let span = Span::new(spec, lesson.rows.rows() as u64)?;
        let rates = rates(spec, lesson.rows.rows() as u64);
        Ok(Self { shape, segments, span, rates })
    }

    /// The step at which segment k begins.
    fn boundary(&self, k: u32) -> u64 {
        let Span { from, to, .. } = self.span;
        let part = Part::of(k.min(self.segments), self.segments);
        from + part.share(to.saturating_sub(from)).0
    }
}

/// Where a job begins and ends, and what an epoch of it is: so many steps and rows, after which its
/// loss is known. The epoch of a shard is its round.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
    steps_per_epoch: u64,
    rows_per_epoch: u64,
}

impl Span {
    fn new(spec: &Train, rows: u64) -> Result<Self, Fault> {
        let batch = u64::from(spec.batch);
        let of = |(from, to), steps_per_epoch, rows_per_epoch| {
            Ok(Self { from, to, steps_per_epoch, rows_per_epoch })
        };
        match &spec.parallel {
            None => {
                let steps = rows.div_ceil(batch);
                of(spec.part.share(u64::from(spec.epochs).saturating_mul(steps)), steps, rows)
            }
            Some(Parallel::Start) => of((0, 0), 1, rows),
            Some(Parallel::Shard(shard)) if rows < u64::from(shard.count) => Err(fault(
                format!("there are {rows} rows to train on for {} shards", shard.count),
                "take fewer `shards`: each needs rows of its own",
            )),
            Some(Parallel::Shard(shard)) if shard.steps > 0 && shard.index < shard.count => {
                let (round, steps) = (u64::from(shard.round), u64::from(shard.steps));
                of((round * steps, (round + 1) * steps), steps, steps * batch)
            }
            Some(Parallel::Finish(finish)) => {
                of((finish.steps, finish.steps), finish.steps.max(1), rows)
            }
            Some(Parallel::Whole(_) | Parallel::Shard(_) | Parallel::Delta(_)) => Err(fault(
                "the training in parallel has no such job",
                "this is a fault of ohc, not of the manifest: please report it",
            )),
        }
    }
}

/// The learning rate of every step. In parallel an epoch is over when all shards together have
/// learned from as many rows as there are.
fn rates(spec: &Train, rows: u64) -> Rates {
    let (schedule, lr, batch) = (spec.schedule, spec.optimizer.lr(), u64::from(spec.batch));
    match &spec.parallel {
        Some(Parallel::Shard(shard)) => {
            let at_once = f64::from(shard.count) * batch as f64;
            // A rate that does not fall need not know when the training ends.
            let is_endless = shard.steps_in_all == 0;
            let steps = if is_endless { f64::INFINITY } else { shard.steps_in_all as f64 };
            Rates::of_steps(schedule, lr, steps, rows as f64 / at_once)
        }
        _ => Rates::new(schedule, lr, spec.epochs, rows.div_ceil(batch)),
    }
}

fn check(spec: &Train, lesson: &Lesson) -> Result<(), Fault> {
    let rows = &lesson.rows;
    if rows.rows() == 0 || u32::try_from(rows.rows()).is_err() {
        return Err(fault(
            format!("there are {} rows to train on", rows.rows()),
            "a training needs between 1 and 2^32 - 1 rows",
        ));
    }
    for rows in [Some(rows), lesson.validation.as_ref()].into_iter().flatten() {
        if Some(rows.values.numbers()) != rows.rows().checked_mul(rows.width()) {
            return Err(fault(
                "the examples have not one value per row and feature",
                "this is a fault of ohc, not of the manifest: please report it",
            ));
        }
        let place = rows.values.stray().map(|(row, at)| (row, rows.features.get(at)));
        if let Some((row, Some(name))) = place {
            return Err(fault(
                format!("the feature `{name}` of row {row} is not a finite number"),
                "drop or fill such rows before the training",
            ));
        }
    }
    let classes = rows.truth.vocabulary().len();
    if spec.task == Task::Classification && classes < 2 {
        return Err(fault(
            format!("the target has {classes} different values"),
            "a classifier needs at least two classes to tell apart",
        ));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
