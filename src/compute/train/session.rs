//! A training between two steps: the one place that advances it.
//! Never lets anything but spec, lesson and state decide a bit of the result.

use super::deal::Deal;
use super::lesson::Lesson;
use super::schedule::Rates;
use super::{Plan, Span};
use crate::compute::Machine;
use crate::compute::examples::Truth;
use crate::compute::kernel::Engine;
use crate::compute::memory;
use crate::compute::model::{Network, Pass, Sums, fault, misfit};
use crate::compute::optim::Descent;
use crate::compute::predictor::{About, Predictor};
use crate::compute::state::{Course, Floats, Growing, Moving, State, read_shared};
use crate::compute::{Fault, Metrics, Named, Progress};
use crate::domain::job::{EarlyStopping, Parallel, Task, Train};

/// A training between two steps.
pub(super) struct Session<'a> {
    spec: &'a Train,
    lesson: &'a Lesson,
    plan: &'a Plan,
    engine: Engine,
    rates: Rates,
    network: Network,
    descent: Descent,
    step: u64,
    course: Course,
    deal: Deal,
    /// The parameters after the best epoch; none where the training never stops early.
    best: Vec<Vec<f32>>,
}

impl<'a> Session<'a> {
    pub(super) fn begin(
        machine: &Machine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        state: Option<&[u8]>,
    ) -> Result<Self, Fault> {
        if let Some(Parallel::Shard(_) | Parallel::Finish(_)) = spec.parallel {
            let state = state.and_then(read_shared).map(|(_, state)| state);
            let Some(bytes) = state else {
                return Err(fault(
                    "the training in parallel has no state to go on from",
                    "give the `state` of the merge before as its input",
                ));
            };
            return Self::resume(machine, spec, lesson, plan, bytes, Some(plan.span.from));
        }
        match (state, spec.part.from) {
            (Some(bytes), 1..) => {
                Self::resume(machine, spec, lesson, plan, bytes, Some(plan.span.from))
            }
            (None, 1..) => Err(fault(
                format!("part {} of the training has no state to go on from", spec.part.from),
                "give the `state` of the part before as its input",
            )),
            (Some(_), 0) => Err(fault(
                "the first part of a training begins without a state",
                "remove the input `state`",
            )),
            (None, 0) => Self::of(machine, spec, lesson, plan, State::initial(&plan.shape, spec)),
        }
    }

    /// From the state after `step` steps, or an earlier one at which the training stopped; from any
    /// state between two steps of this training where none is said.
    pub(super) fn resume(
        machine: &Machine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        bytes: &[u8],
        step: Option<u64>,
    ) -> Result<Self, Fault> {
        let state = State::read(bytes, &plan.shape, spec)?;
        let steps_per_epoch = plan.span.steps_per_epoch;
        let (epoch, within) = (state.step / steps_per_epoch, state.step % steps_per_epoch);
        let stopped = within == 0 && has_stopped(spec, epoch, &state.course);
        let is_there = step.is_none_or(|step| state.step == step || state.step < step && stopped);
        if !is_there || state.step > plan.span.to {
            return Err(fault(
                format!(
                    "the state is at step {}, not at {}",
                    state.step,
                    step.unwrap_or(plan.span.to)
                ),
                "give the state in which the part or segment before it ended",
            ));
        }
        let is_best = u64::from(state.course.best_epoch) <= epoch;
        if !is_best || (within == 0 && state.course.total != 0.0) {
            return Err(fault(
                format!("the losses of the state are none after {} steps", state.step),
                "give a state of this training as it was made",
            ));
        }
        Self::of(machine, spec, lesson, plan, state)
    }

    /// At the end of a part, in the exact arithmetic.
    pub(super) fn at_end(
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        end: &[u8],
    ) -> Result<Self, Fault> {
        Self::resume(&Machine::default(), spec, lesson, plan, end, Some(plan.span.to))
    }

    fn of(
        machine: &Machine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        state: State,
    ) -> Result<Self, Fault> {
        let engine = machine.engine();
        let mut descent = Descent::new(engine, &spec.optimizer, spec.clip, &[]);
        descent.powers = state.powers;
        let (mut values, mut best) = (Vec::new(), Vec::new());
        for (shape, moving) in plan.shape.parameters().iter().zip(state.parameters) {
            let Moving { theta, mut moments, best: parameter } = moving;
            let kept = if shape.learned { None } else { moments.pop() };
            values.push(kept.unwrap_or(theta).0);
            descent.moments.push(moments.into_iter().map(|moment| moment.0).collect());
            best.extend(spec.early_stopping.is_some().then_some(parameter.0));
        }
        Ok(Self {
            spec,
            lesson,
            plan,
            engine,
            rates: plan.rates,
            network: match machine {
                Machine::Exact(engine) => Network::learning(*engine, &plan.shape, values)?,
                Machine::Fast(device) => Network::learning_fast(device, &plan.shape, values)?,
            },
            descent,
            step: state.step,
            course: state.course,
            deal: Deal::new(spec, u32::try_from(lesson.rows.rows()).unwrap_or(u32::MAX)),
            best,
        })
    }

    /// Learns until `step` steps are done, or until it stops early.
    pub(super) fn run_to(
        &mut self,
        step: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Fault> {
        while self.advance(step, progress)? {}
        Ok(())
    }

    /// Takes the next step; not beyond `step`, nor where it has stopped early. Whether it did.
    pub(super) fn advance(
        &mut self,
        step: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bool, Fault> {
        if self.step >= step || (self.within() == 0 && self.has_stopped()) {
            return Ok(false);
        }
        let batch = self.deal.batch(self.step);
        let rate = self.rates.at(self.step);
        let loss = self.learn(&batch, rate)?;
        self.course.total += f64::from(loss) * batch.len() as f64;
        progress(self.progress(loss, rate));
        if self.within() == 0 {
            let total = std::mem::take(&mut self.course.total);
            let rows = self.plan.span.rows_per_epoch as f64;
            self.validate(total / rows * self.lesson.loss_unit())?;
        }
        Ok(true)
    }

    /// Steps since the training began.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// Whole epochs since the training began.
    fn epoch(&self) -> u64 {
        self.step / self.plan.span.steps_per_epoch
    }

    /// Steps since the epoch began.
    fn within(&self) -> u64 {
        self.step % self.plan.span.steps_per_epoch
    }

    fn has_stopped(&self) -> bool {
        has_stopped(self.spec, self.epoch(), &self.course)
    }

    /// How far it is, for people: of the part, its steps and rows.
    fn progress(&self, loss: f32, rate: f64) -> Progress {
        let Span { from, to, steps_per_epoch, rows_per_epoch } = self.plan.span;
        // Rows that were learned from in so many steps: the last batch of an epoch may be smaller.
        let learned = |steps: u64| {
            let within = (steps % steps_per_epoch) * u64::from(self.spec.batch);
            steps / steps_per_epoch * rows_per_epoch + within
        };
        let loss = (f64::from(loss) * self.lesson.loss_unit()) as f32;
        Progress {
            step: self.step - from,
            steps: to - from,
            loss: Some(loss),
            rate: Some(rate as f32),
            rows: learned(self.step) - learned(from),
        }
    }

    /// One step on the given rows.
    fn learn(&mut self, batch: &[u32], rate: f64) -> Result<f32, Fault> {
        let pieces = self.spec.accumulate.max(1);
        let rows = batch.len().div_ceil(pieces as usize).max(1);
        let (mut value, mut sums) = (0.0, Sums::default());
        // Every piece leaves out values by a lot of its own.
        let lots = self.step * u64::from(pieces)..;
        self.step += 1;
        for (piece, lot) in batch.chunks(rows).zip(lots) {
            let (values, wanted) = self.lesson.batch(piece)?;
            let x = self.network.input(values, piece.len())?;
            let outputs =
                self.network.forward(&x, Pass::Learn { seed: self.deal.seed(), step: lot })?;
            memory::check()?;
            let share = piece.len() as f32 / batch.len() as f32;
            let loss = self.network.share_of_loss(&outputs, wanted, share)?;
            value += loss.to_scalar::<f32>().map_err(misfit)?;
            if !value.is_finite() {
                return Err(self.diverged("the loss"));
            }
            self.network.learn(&loss)?;
            if piece.len() < batch.len() {
                self.network.add_gradients(&mut sums, share)?;
            }
        }
        self.network.set_gradients(sums);
        self.descent.step(&self.network, rate)?;
        memory::check()?;
        Ok(value)
    }

    /// After an epoch: how the validation rows fare, and whether the parameters are the best.
    fn validate(&mut self, loss: f64) -> Result<(), Fault> {
        let Some(validated) = self.validated()? else {
            self.course.loss = loss;
            return Ok(());
        };
        let delta = self.spec.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        let epoch = u32::try_from(self.epoch()).unwrap_or(u32::MAX);
        let is_best = self.course.advance(epoch, loss, validated, delta);
        if is_best && self.spec.early_stopping.is_some() {
            self.best = self.network.values()?;
        }
        Ok(())
    }

    /// The loss on the validation rows; none where there are none, and for a shard, whose
    /// parameters nobody takes as they are.
    fn validated(&self) -> Result<Option<f64>, Fault> {
        let is_shard = matches!(self.spec.parallel, Some(Parallel::Shard(_)));
        let Some(rows) = self.lesson.validation.as_ref().filter(|_| !is_shard) else {
            return Ok(None);
        };
        // As a sum of f64 begins: a loss may be -0.0.
        let (mut sum, mut losses) = (-0.0f64, 0usize);
        let (all, at_once) = (rows.rows(), self.network.rows_at_once());
        for from in (0..all).step_by(at_once) {
            let places = from..all.min(from + at_once);
            let given = self.network.outputs(&self.lesson.scaled(rows, places.clone())?)?;
            let each = self.lesson.wanted(&rows.truth, places).losses(self.engine, &given);
            losses += each.len();
            sum = each.iter().fold(sum, |sum, &loss| sum + f64::from(loss));
        }
        let validated = sum / losses as f64 * self.lesson.loss_unit();
        if validated.is_finite() {
            Ok(Some(validated))
        } else {
            Err(self.diverged("the loss on the validation rows"))
        }
    }

    fn diverged(&self, what: &str) -> Fault {
        let steps = match self.spec.parallel {
            None => u64::from(self.spec.epochs) * self.plan.span.steps_per_epoch,
            Some(_) => self.plan.span.to,
        };
        fault(
            format!("{what} is not finite at step {} of {steps}", self.step),
            "the training diverged: lower the learning rate (`optimizer.lr`), set `clip` or scale \
             the features",
        )
    }

    /// The state between these two steps.
    pub(super) fn checkpoint(&self) -> Result<Vec<u8>, Fault> {
        let floats = |xs: &Vec<f32>| Floats(xs.clone());
        let shapes = self.plan.shape.parameters();
        let (powers, course) = (self.descent.powers, self.course);
        let mut state = Growing::new(self.step, powers, course, &self.plan.shape, self.spec);
        let parameters = self.network.parameters().iter().zip(shapes);
        for (at, (parameter, shape)) in parameters.enumerate() {
            let values = Floats(parameter.values()?);
            let best = self.best.get(at).map_or_else(|| Floats(Vec::new()), floats);
            let moments = self.descent.remembered(at)?.into_iter().map(Floats).collect();
            state.add(&Moving::new(shape, values, moments, best));
        }
        state.end().ok_or_else(|| self.diverged("the state"))
    }

    /// The outputs of the job, whose last checkpoint is `end`.
    pub(super) fn outputs(&self, end: &[u8]) -> Result<Vec<Named>, Fault> {
        if !self.spec.gives_model() {
            return Ok(vec![Named { name: "state".to_owned(), bytes: end.to_vec() }]);
        }
        let rows = &self.lesson.rows;
        let about = About {
            task: self.spec.task,
            targets: self.spec.targets.clone(),
            features: rows.features.clone(),
            classes: match self.spec.task {
                Task::Classification => rows.truth.vocabulary().to_vec(),
                Task::Regression | Task::MultiLabel | Task::Language => Vec::new(),
            },
            tokens: match rows.truth {
                Truth::Tokens { vocabulary, .. } => vocabulary,
                _ => 0,
            },
            recipe: rows.recipe.clone(),
        };
        let values = if self.best.is_empty() { self.network.values()? } else { self.best.clone() };
        let scales = (self.lesson.scales.clone(), self.lesson.unit);
        let model = Predictor::new(self.engine, &self.spec.model, about, scales, values)?;
        Ok(vec![Named { name: "model".to_owned(), bytes: model.to_bytes()? }])
    }

    /// What is to be told of the epochs so far; nothing before the first.
    pub(super) fn metrics(&self) -> Result<Metrics, Fault> {
        let Course { loss, validated, best, best_epoch, .. } = self.course;
        let mut metrics = Vec::new();
        if self.epoch() > 0 {
            metrics.push(("loss", loss));
            metrics.push(("epochs", self.epochs()));
            if self.spec.early_stopping.is_some() {
                metrics.push(("validationLoss", best));
                metrics.push(("bestEpoch", f64::from(best_epoch)));
            } else if let Some(Parallel::Finish(_)) = self.spec.parallel {
                metrics.extend(self.validated()?.map(|loss| ("validationLoss", loss)));
            } else if self.lesson.validation.is_some() && self.spec.parallel.is_none() {
                metrics.push(("validationLoss", validated));
            }
        }
        Ok(metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Epochs that were run; in parallel all shards together run them, and not whole ones.
    fn epochs(&self) -> f64 {
        let shards = match &self.spec.parallel {
            Some(Parallel::Shard(shard)) => shard.count,
            Some(Parallel::Finish(finish)) => finish.shards,
            _ => return self.epoch() as f64,
        };
        let rows_per_step = f64::from(shards) * f64::from(self.spec.batch);
        self.step as f64 * rows_per_step / self.lesson.rows.rows() as f64
    }
}

/// Whether a training has stopped early after so many epochs.
fn has_stopped(spec: &Train, epoch: u64, course: &Course) -> bool {
    let waited = epoch.saturating_sub(u64::from(course.best_epoch));
    let stops = |stopping: EarlyStopping| epoch > 0 && waited >= u64::from(stopping.patience);
    spec.early_stopping.is_some_and(stops)
}
