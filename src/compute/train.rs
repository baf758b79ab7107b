//! Training: one part of the epochs of a job, in segments that can be replayed one by one.
//! Never lets anything but spec, data and state decide a bit of the result.
//!
//! A checkpoint is the whole state at a segment's boundary, so segment k of a receipt is checked by
//! [`replay`] from checkpoint k alone: it must end in the bytes of checkpoint k + 1.

use super::examples::{Examples, Truth};
use super::graph;
use super::kernel::Engine;
use super::kernel::philox::{Philox, purpose};
use super::model::{Mlp, Shape, fault, misfit};
use super::optim::{AdamW, Moments};
use super::predictor::{About, Predictor, Scales, Unit};
use super::state::{Floats, Moving, State};
use super::{Done, Fault, Named, Progress};
use crate::base::canon::Digest;
use crate::domain::job::{Optimizer, Scaling, Spec, Task, Train};

/// What a replayed segment gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The digest of the state at its beginning: the receipt's checkpoint k.
    pub begin: Digest,
    /// The state at its end: the receipt's checkpoint k + 1.
    pub checkpoint: Vec<u8>,
    /// The digest of that state.
    pub end: Digest,
    /// The outputs of the job, if this is its last segment; else none.
    pub outputs: Vec<Named>,
    /// The metrics of the job, if this is its last segment; else none.
    pub metrics: Vec<(String, f64)>,
}

/// Trains one part with one thread. `state` is the previous part's, absent for the first part.
pub fn run(
    spec: &Train,
    data: &Examples,
    state: Option<&[u8]>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Done, Fault> {
    run_on(Engine::default(), spec, data, state, progress)
}

/// [`run`] on a given engine: the same bytes, sooner or later.
pub fn run_on(
    engine: Engine,
    spec: &Train,
    data: &Examples,
    state: Option<&[u8]>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Done, Fault> {
    let plan = Plan::new(spec, data)?;
    let mut session = Session::begin(engine, spec, data, &plan, state)?;
    let mut checkpoints = vec![session.checkpoint()?];
    for k in 0..plan.segments {
        session.run_to(plan.boundary(k + 1), progress)?;
        checkpoints.push(session.checkpoint()?);
    }
    let outputs = session.outputs(checkpoints.last())?;
    Ok(Done { outputs, checkpoints, metrics: session.metrics() })
}

/// Recomputes segment `segment` with one thread, from `checkpoint` (the state at its beginning).
/// For segment 0 the checkpoint may be left out: it follows from the spec and `state`.
pub fn replay(
    spec: &Train,
    data: &Examples,
    state: Option<&[u8]>,
    segment: u32,
    checkpoint: Option<&[u8]>,
) -> Result<Replayed, Fault> {
    let plan = Plan::new(spec, data)?;
    if segment >= plan.segments {
        return Err(fault(
            format!("segment {segment} of a training with {} segments", plan.segments),
            "segments count from 0",
        ));
    }
    let engine = Engine::default();
    let mut session = match checkpoint {
        Some(bytes) => Session::resume(engine, spec, data, &plan, bytes, plan.boundary(segment))?,
        None if segment == 0 => Session::begin(engine, spec, data, &plan, state)?,
        None => {
            return Err(fault(
                format!("segment {segment} cannot be replayed without its checkpoint"),
                "fetch the checkpoint that the receipt names for its beginning",
            ));
        }
    };
    let begin = Digest::of(&session.checkpoint()?);
    session.run_to(plan.boundary(segment + 1), &mut |_| ())?;
    let checkpoint = session.checkpoint()?;
    let end = Digest::of(&checkpoint);
    let last = segment + 1 == plan.segments;
    let outputs = if last { session.outputs(Some(&checkpoint))? } else { Vec::new() };
    let metrics = if last { session.metrics() } else { Vec::new() };
    Ok(Replayed { begin, checkpoint, end, outputs, metrics })
}

/// What follows from spec and data before anything is computed.
struct Plan {
    shape: Shape,
    /// First epoch of the part, and how many it has.
    from: u32,
    epochs: u32,
    segments: u32,
    steps_per_epoch: u64,
}

impl Plan {
    fn new(spec: &Train, data: &Examples) -> Result<Self, Fault> {
        if spec.part.index >= spec.part.count {
            return Err(fault("the training has no such part", "parts count from 0"));
        }
        if spec.batch == 0 {
            return Err(fault("`batch` is 0", "a step needs at least one row"));
        }
        check_data(data)?;
        let shape = Shape::new(&spec.model, data.width(), data.truth.vocabulary().len())?;
        let (from, epochs) = spec.epochs_of_part();
        let segments = Spec::Train(spec.clone()).segments();
        let steps_per_epoch = (data.rows() as u64).div_ceil(u64::from(spec.batch));
        Ok(Self { shape, from, epochs, segments, steps_per_epoch })
    }

    /// The epoch at which segment k begins.
    fn boundary(&self, k: u32) -> u32 {
        let share = u64::from(self.epochs) * u64::from(k) / u64::from(self.segments.max(1));
        // At most `epochs`, as k is at most `segments`.
        self.from + share as u32
    }
}

fn check_data(data: &Examples) -> Result<(), Fault> {
    if data.rows() == 0 || u32::try_from(data.rows()).is_err() {
        return Err(fault(
            format!("there are {} rows to train on", data.rows()),
            "a training needs between 1 and 2^32 - 1 rows",
        ));
    }
    if Some(data.values.len()) != data.rows().checked_mul(data.width()) {
        return Err(fault(
            "the examples have not one value per row and feature",
            "this is a fault of ohc, not of the manifest: please report it",
        ));
    }
    if data.truth.vocabulary().len() < 2 {
        return Err(fault(
            format!("the target has {} different values", data.truth.vocabulary().len()),
            "a classifier needs at least two classes to tell apart",
        ));
    }
    let bad = data.values.iter().position(|x| !x.is_finite());
    match bad.and_then(|at| Some((at / data.width(), data.features.get(at % data.width())?))) {
        None => Ok(()),
        Some((row, name)) => Err(fault(
            format!("the feature `{name}` of row {row} is not a finite number"),
            "drop or fill such rows before the training",
        )),
    }
}

/// A training between two steps.
struct Session<'a> {
    spec: &'a Train,
    data: &'a Examples,
    mlp: Mlp,
    optimizer: AdamW,
    engine: Engine,
    scales: Scales,
    epoch: u32,
    step: u64,
    /// First and last step of this part.
    part: (u64, u64),
    steps_per_epoch: u64,
    /// Mean training loss of the last epoch that this session computed.
    loss: Option<f64>,
}

impl<'a> Session<'a> {
    fn begin(
        engine: Engine,
        spec: &'a Train,
        data: &'a Examples,
        plan: &Plan,
        state: Option<&[u8]>,
    ) -> Result<Self, Fault> {
        match (state, spec.part.index) {
            (Some(bytes), 1..) => Self::resume(engine, spec, data, plan, bytes, plan.from),
            (None, 1..) => Err(fault(
                format!("part {} of the training has no state to go on from", spec.part.index),
                "give the `state` of the part before as its input",
            )),
            (Some(_), 0) => Err(fault(
                "the first part of a training begins without a state",
                "remove the input `state`",
            )),
            (None, 0) => {
                let values = plan.shape.initial(spec.seed);
                let lengths: Vec<usize> = values.iter().map(Vec::len).collect();
                let optimizer = AdamW::new(engine, &spec.optimizer, &lengths);
                let mlp = Mlp::new(engine, &plan.shape, values)?;
                let scales = scales(spec.scaling, data);
                Ok(Self::new(engine, spec, data, plan, (mlp, optimizer, scales), (0, 0)))
            }
        }
    }

    fn resume(
        engine: Engine,
        spec: &'a Train,
        data: &'a Examples,
        plan: &Plan,
        bytes: &[u8],
        epoch: u32,
    ) -> Result<Self, Fault> {
        let scaled = if spec.scaling == Scaling::Standard { data.width() } else { 0 };
        let state = State::read(bytes, &plan.shape, scaled)?;
        let step = u64::from(epoch) * plan.steps_per_epoch;
        if (state.epoch, state.step) != (epoch, step) {
            return Err(fault(
                format!(
                    "the state is at epoch {} (step {}), not at epoch {epoch} (step {step})",
                    state.epoch, state.step
                ),
                "give the state in which the part or segment before it ended",
            ));
        }
        let mut optimizer = AdamW::new(engine, &spec.optimizer, &[]);
        optimizer.powers = (state.power1, state.power2);
        let mut values = Vec::new();
        for Moving { theta, m, v } in state.parameters {
            values.push(theta.0);
            optimizer.moments.push(Moments { m: m.0, v: v.0 });
        }
        let mlp = Mlp::new(engine, &plan.shape, values)?;
        let scales = Scales { mean: state.mean.0, scale: state.scale.0 };
        Ok(Self::new(engine, spec, data, plan, (mlp, optimizer, scales), (epoch, step)))
    }

    fn new(
        engine: Engine,
        spec: &'a Train,
        data: &'a Examples,
        plan: &Plan,
        (mlp, optimizer, scales): (Mlp, AdamW, Scales),
        (epoch, step): (u32, u64),
    ) -> Self {
        let per_epoch = plan.steps_per_epoch;
        let first = u64::from(plan.from) * per_epoch;
        let part = (first, first + u64::from(plan.epochs) * per_epoch);
        let (steps_per_epoch, loss) = (per_epoch, None);
        Self {
            spec,
            data,
            mlp,
            optimizer,
            engine,
            scales,
            epoch,
            step,
            part,
            steps_per_epoch,
            loss,
        }
    }

    fn run_to(&mut self, epoch: u32, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        while self.epoch < epoch {
            let rows = u32::try_from(self.data.rows()).unwrap_or(u32::MAX);
            let order = Philox::new(self.spec.seed, purpose::ORDER, self.epoch).permutation(rows);
            let mut total = 0.0;
            for batch in order.chunks(self.spec.batch as usize) {
                let loss = self.learn(batch)?;
                total += f64::from(loss) * batch.len() as f64;
                let (first, last) = self.part;
                let (step, steps) = (self.step - first, last - first);
                let whole = (step - 1) / self.steps_per_epoch * u64::from(rows);
                let within = ((step - 1) % self.steps_per_epoch + 1) * u64::from(self.spec.batch);
                let seen = whole + within.min(u64::from(rows));
                let rate = Some(self.rate());
                progress(Progress { step, steps, loss: Some(loss), rate, rows: seen });
            }
            self.loss = Some(total / f64::from(rows));
            self.epoch += 1;
        }
        Ok(())
    }

    /// The learning rate of the last step, for people.
    fn rate(&self) -> f32 {
        let Optimizer::AdamW { lr, .. } = self.spec.optimizer;
        lr as f32
    }

    /// One step on the given rows.
    fn learn(&mut self, batch: &[u32]) -> Result<f32, Fault> {
        let width = self.data.width();
        let mut values = Vec::with_capacity(batch.len() * width);
        let mut labels = Vec::with_capacity(batch.len());
        for &row in batch {
            let at = row as usize * width;
            if let Some(row) = self.data.values.get(at..at + width) {
                self.scales.append(row, &mut values);
            }
            if let Truth::Classes { of, .. } = &self.data.truth {
                labels.extend(of.get(row as usize));
            }
        }
        let x = graph::input(values, batch.len(), width).map_err(misfit)?;
        let loss = self.mlp.loss(&self.mlp.forward(&x)?, labels)?;
        self.step += 1;
        let value = loss.to_scalar::<f32>().map_err(misfit)?;
        if !value.is_finite() {
            return Err(self.diverged("the loss"));
        }
        self.mlp.learn(&loss)?;
        self.optimizer.step(&self.mlp)?;
        Ok(value)
    }

    fn diverged(&self, what: &str) -> Fault {
        let steps = u64::from(self.spec.epochs) * self.steps_per_epoch;
        fault(
            format!("{what} is not finite at step {} of {steps}", self.step),
            "the training diverged: lower the learning rate (`optimizer.lr`) or scale the features",
        )
    }

    fn checkpoint(&self) -> Result<Vec<u8>, Fault> {
        let moments = self.optimizer.moments.iter();
        let parameters = self.mlp.values()?.into_iter().zip(moments).map(|(theta, moments)| {
            let (m, v) = (moments.m.clone(), moments.v.clone());
            Moving { theta: Floats(theta), m: Floats(m), v: Floats(v) }
        });
        let state = State {
            epoch: self.epoch,
            step: self.step,
            power1: self.optimizer.powers.0,
            power2: self.optimizer.powers.1,
            mean: Floats(self.scales.mean.clone()),
            scale: Floats(self.scales.scale.clone()),
            parameters: parameters.collect(),
        };
        if state.is_finite() { Ok(state.into_bytes()) } else { Err(self.diverged("the state")) }
    }

    /// The outputs of the job, whose last checkpoint is `end`.
    fn outputs(&self, end: Option<&Vec<u8>>) -> Result<Vec<Named>, Fault> {
        if !self.spec.part.is_last() {
            let bytes = end.cloned().unwrap_or_default();
            return Ok(vec![Named { name: "state".to_owned(), bytes }]);
        }
        let about = About {
            task: Task::Classification,
            targets: vec![self.spec.target.clone()],
            features: self.data.features.clone(),
            classes: self.data.truth.vocabulary().to_vec(),
            recipe: self.data.recipe.clone(),
        };
        let (scales, values) = (self.scales.clone(), self.mlp.values()?);
        let scales = (scales, Unit::default());
        let model = Predictor::new(self.engine, &self.spec.model, about, scales, values)?;
        Ok(vec![Named { name: "model".to_owned(), bytes: model.to_bytes()? }])
    }

    fn metrics(&self) -> Vec<(String, f64)> {
        self.loss.map(|loss| ("loss".to_owned(), loss)).into_iter().collect()
    }
}

/// Mean and reciprocal standard deviation of every feature, in f64 and in the order of the rows. A
/// feature that never changes is only centred.
fn scales(scaling: Scaling, data: &Examples) -> Scales {
    if scaling == Scaling::None {
        return Scales::default();
    }
    let (width, rows) = (data.width(), data.rows() as f64);
    let mut means = vec![0.0f64; width];
    for row in data.values.chunks_exact(width) {
        means.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    means.iter_mut().for_each(|sum| *sum /= rows);
    let mut squares = vec![0.0f64; width];
    for row in data.values.chunks_exact(width) {
        for ((sum, &x), mean) in squares.iter_mut().zip(row).zip(&means) {
            let off = f64::from(x) - mean;
            *sum += off * off;
        }
    }
    let scale = squares.iter().map(|sum| {
        let scale = (1.0 / (sum / rows).sqrt()) as f32;
        if scale.is_finite() { scale } else { 1.0 }
    });
    Scales { scale: scale.collect(), mean: means.iter().map(|&mean| mean as f32).collect() }
}

#[cfg(test)]
mod tests;
