//! A training between two steps: the one place that advances it.
//! Never lets anything but spec, lesson and state decide a bit of the result.

use super::Plan;
use super::lesson::Lesson;
use super::schedule::Rates;
use crate::compute::graph::{self, Wanted};
use crate::compute::kernel::Engine;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::model::{Mlp, fault, misfit, outputs};
use crate::compute::optim::Descent;
use crate::compute::predictor::{About, Predictor};
use crate::compute::state::{Course, Floats, Moving, State, moment, read_moment};
use crate::compute::{Fault, Metrics, Named, Progress};
use crate::domain::job::{Task, Train};

/// A training between two steps.
pub(super) struct Session<'a> {
    spec: &'a Train,
    lesson: &'a Lesson,
    plan: &'a Plan,
    engine: Engine,
    rates: Rates,
    mlp: Mlp,
    descent: Descent,
    epoch: u32,
    step: u64,
    course: Course,
    /// The sum of the losses of the epoch so far.
    total: f64,
    /// The rows of the epoch in their order, once they were dealt.
    order: Vec<u32>,
    /// The parameters after the best epoch; none where the training never stops early.
    best: Vec<Vec<f32>>,
}

impl<'a> Session<'a> {
    pub(super) fn begin(
        engine: Engine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        state: Option<&[u8]>,
    ) -> Result<Self, Fault> {
        match (state, spec.part.index) {
            (Some(bytes), 1..) => Self::resume(engine, spec, lesson, plan, bytes, plan.from),
            (None, 1..) => Err(fault(
                format!("part {} of the training has no state to go on from", spec.part.index),
                "give the `state` of the part before as its input",
            )),
            (Some(_), 0) => Err(fault(
                "the first part of a training begins without a state",
                "remove the input `state`",
            )),
            (None, 0) => Self::of(engine, spec, lesson, plan, State::initial(&plan.shape, spec)),
        }
    }

    /// From the state at the beginning of `epoch`, or an earlier one at which the training stopped.
    pub(super) fn resume(
        engine: Engine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        bytes: &[u8],
        epoch: u32,
    ) -> Result<Self, Fault> {
        let state = State::read(bytes, &plan.shape, spec)?;
        let step = u64::from(state.epoch) * plan.steps_per_epoch;
        let is_there = state.epoch == epoch
            || state.epoch < epoch && has_stopped(spec, state.epoch, &state.course);
        if !is_there || state.step != step {
            return Err(fault(
                format!(
                    "the state is at epoch {} (step {}), not at epoch {epoch}",
                    state.epoch, state.step
                ),
                "give the state in which the part or segment before it ended",
            ));
        }
        Self::of(engine, spec, lesson, plan, state)
    }

    fn of(
        engine: Engine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        state: State,
    ) -> Result<Self, Fault> {
        let mut descent = Descent::new(engine, &spec.optimizer, spec.clip, &[]);
        descent.powers = state.powers;
        let (mut values, mut best) = (Vec::new(), Vec::new());
        for Moving { theta, moments, best: parameter } in state.parameters {
            values.push(theta.0);
            descent.moments.push(moments.into_iter().map(|moment| moment.0).collect());
            best.extend(spec.early_stopping.is_some().then_some(parameter.0));
        }
        Ok(Self {
            spec,
            lesson,
            plan,
            engine,
            rates: plan.rates,
            mlp: Mlp::new(engine, &plan.shape, values)?,
            descent,
            epoch: state.epoch,
            step: state.step,
            course: state.course,
            total: 0.0,
            order: Vec::new(),
            best,
        })
    }

    /// From any state, also one in the middle of an epoch.
    pub(super) fn resume_at(
        engine: Engine,
        spec: &'a Train,
        lesson: &'a Lesson,
        plan: &'a Plan,
        bytes: &[u8],
    ) -> Result<Self, Fault> {
        let (total, bytes) = read_moment(bytes).map_or((None, bytes), |(t, b)| (Some(t), b));
        let state = State::read(bytes, &plan.shape, spec)?;
        let first = u64::from(state.epoch).saturating_mul(plan.steps_per_epoch);
        let within = state.step.checked_sub(first);
        if within.is_none_or(|n| n >= plan.steps_per_epoch || (n > 0) != total.is_some()) {
            return Err(fault(
                format!("the state is at step {} of epoch {}", state.step, state.epoch),
                "give a state between two steps of this training",
            ));
        }
        let mut session = Self::of(engine, spec, lesson, plan, state)?;
        session.total = total.unwrap_or(0.0);
        Ok(session)
    }

    /// Learns until `epoch`, or until it stops early.
    pub(super) fn run_to(
        &mut self,
        epoch: u32,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Fault> {
        while self.advance(epoch, progress)? {}
        Ok(())
    }

    /// Takes the next step; not beyond `epoch`, nor where it has stopped early. Whether it did.
    pub(super) fn advance(
        &mut self,
        epoch: u32,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bool, Fault> {
        if self.epoch >= epoch || (self.within() == 0 && self.has_stopped()) {
            return Ok(false);
        }
        let rows = u32::try_from(self.lesson.rows.rows()).unwrap_or(u32::MAX);
        if self.order.is_empty() {
            let order = Philox::new(self.spec.seed, purpose::ORDER, self.epoch);
            self.order = order.permutation(rows);
        }
        let from = usize::try_from(self.within()).unwrap_or(usize::MAX);
        let from = from.saturating_mul(self.spec.batch as usize).min(self.order.len());
        let to = from.saturating_add(self.spec.batch as usize).min(self.order.len());
        let batch = self.order.get(from..to).unwrap_or_default().to_vec();
        let rate = self.rates.at(self.step);
        let loss = self.learn(&batch, rate)?;
        self.total += f64::from(loss) * batch.len() as f64;
        progress(self.progress(loss, rate, rows));
        if to == self.order.len() {
            self.order.clear();
            self.epoch += 1;
            let total = std::mem::take(&mut self.total);
            self.validate(total / f64::from(rows) * self.lesson.loss_unit())?;
        }
        Ok(true)
    }

    /// Steps since the training began.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// Steps since the epoch began.
    fn within(&self) -> u64 {
        self.step - u64::from(self.epoch) * self.plan.steps_per_epoch
    }

    fn has_stopped(&self) -> bool {
        has_stopped(self.spec, self.epoch, &self.course)
    }

    /// How far it is, for people.
    fn progress(&self, loss: f32, rate: f64, rows: u32) -> Progress {
        let first = u64::from(self.plan.from) * self.plan.steps_per_epoch;
        let steps = u64::from(self.plan.epochs) * self.plan.steps_per_epoch;
        let step = self.step - first;
        let whole = (step - 1) / self.plan.steps_per_epoch * u64::from(rows);
        let within = ((step - 1) % self.plan.steps_per_epoch + 1) * u64::from(self.spec.batch);
        let loss = (f64::from(loss) * self.lesson.loss_unit()) as f32;
        let rows = whole + within.min(u64::from(rows));
        Progress { step, steps, loss: Some(loss), rate: Some(rate as f32), rows }
    }

    /// One step on the given rows.
    fn learn(&mut self, batch: &[u32], rate: f64) -> Result<f32, Fault> {
        let (values, wanted) = self.lesson.batch(batch);
        let x = graph::input(values, batch.len(), self.lesson.rows.width()).map_err(misfit)?;
        let loss = self.mlp.loss(&self.mlp.forward(&x)?, wanted)?;
        self.step += 1;
        let value = loss.to_scalar::<f32>().map_err(misfit)?;
        if !value.is_finite() {
            return Err(self.diverged("the loss"));
        }
        self.mlp.learn(&loss)?;
        self.descent.step(&self.mlp, rate)?;
        Ok(value)
    }

    /// After an epoch: how the validation rows fare, and whether the parameters are the best.
    fn validate(&mut self, loss: f64) -> Result<(), Fault> {
        let Some(rows) = &self.lesson.validation else {
            self.course.loss = loss;
            return Ok(());
        };
        let parameters = self.mlp.values()?;
        let layers = self.plan.shape.layers(self.engine);
        let given = outputs(&layers, &parameters, &self.lesson.scales, &rows.values);
        let wanted = self.lesson.wanted(&rows.truth, 0..rows.rows());
        let validated = mean(&wanted, &given, self.engine) * self.lesson.loss_unit();
        if !validated.is_finite() {
            return Err(self.diverged("the loss on the validation rows"));
        }
        let delta = self.spec.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        let is_best = self.course.advance(self.epoch, loss, validated, delta);
        if is_best && self.spec.early_stopping.is_some() {
            self.best = parameters;
        }
        Ok(())
    }

    fn diverged(&self, what: &str) -> Fault {
        let steps = u64::from(self.spec.epochs) * self.plan.steps_per_epoch;
        fault(
            format!("{what} is not finite at step {} of {steps}", self.step),
            "the training diverged: lower the learning rate (`optimizer.lr`), set `clip` or scale \
             the features",
        )
    }

    /// The state between any two steps: at the end of an epoch the same as a checkpoint.
    pub(super) fn moment(&self) -> Result<Vec<u8>, Fault> {
        let state = self.checkpoint()?;
        Ok(if self.within() == 0 { state } else { moment(self.total, &state) })
    }

    pub(super) fn checkpoint(&self) -> Result<Vec<u8>, Fault> {
        let floats = |xs: &Vec<f32>| Floats(xs.clone());
        let mut best = self.best.iter();
        let moments = self.descent.moments.iter();
        let parameters =
            self.mlp.values()?.into_iter().zip(moments).map(|(theta, moments)| Moving {
                theta: Floats(theta),
                moments: moments.iter().map(floats).collect(),
                best: best.next().map_or_else(|| Floats(Vec::new()), floats),
            });
        let state = State {
            epoch: self.epoch,
            step: self.step,
            powers: self.descent.powers,
            course: self.course,
            parameters: parameters.collect(),
        };
        if state.is_finite() { Ok(state.into_bytes()) } else { Err(self.diverged("the state")) }
    }

    /// The outputs of the job, whose last checkpoint is `end`.
    pub(super) fn outputs(&self, end: Option<&Vec<u8>>) -> Result<Vec<Named>, Fault> {
        if !self.spec.part.is_last() {
            let bytes = end.cloned().unwrap_or_default();
            return Ok(vec![Named { name: "state".to_owned(), bytes }]);
        }
        let rows = &self.lesson.rows;
        let about = About {
            task: self.spec.task,
            targets: self.spec.targets.clone(),
            features: rows.features.clone(),
            classes: match self.spec.task {
                Task::Classification => rows.truth.vocabulary().to_vec(),
                Task::Regression | Task::MultiLabel => Vec::new(),
            },
            recipe: rows.recipe.clone(),
        };
        let values = if self.best.is_empty() { self.mlp.values()? } else { self.best.clone() };
        let scales = (self.lesson.scales.clone(), self.lesson.unit);
        let model = Predictor::new(self.engine, &self.spec.model, about, scales, values)?;
        Ok(vec![Named { name: "model".to_owned(), bytes: model.to_bytes()? }])
    }

    /// What is to be told of the epochs so far; nothing before the first.
    pub(super) fn metrics(&self) -> Metrics {
        let Course { loss, validated, best, best_epoch } = self.course;
        let mut metrics = Vec::new();
        if self.epoch > 0 {
            metrics.push(("loss", loss));
            metrics.push(("epochs", f64::from(self.epoch)));
            if self.spec.early_stopping.is_some() {
                metrics.push(("validationLoss", best));
                metrics.push(("bestEpoch", f64::from(best_epoch)));
            } else if self.lesson.validation.is_some() {
                metrics.push(("validationLoss", validated));
            }
        }
        metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Whether a training has stopped early after so many epochs.
fn has_stopped(spec: &Train, epoch: u32, course: &Course) -> bool {
    let waited = epoch.saturating_sub(course.best_epoch);
    spec.early_stopping.is_some_and(|stopping| epoch > 0 && waited >= stopping.patience)
}

/// The mean loss of rows in f64, in their order.
fn mean(wanted: &Wanted, outputs: &[f32], engine: Engine) -> f64 {
    let losses = wanted.losses(engine.isa, outputs);
    losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64
}
