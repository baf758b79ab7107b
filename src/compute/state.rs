//! The state of a training between two steps, as canonical bytes: what a checkpoint is.
//! Never trusts bytes: their number follows from the spec and is checked before any is read.

use super::Fault;
use super::model::{ParameterShape, Shape, fault};
use crate::base::canon::{Decode, DecodeError, Encode, Reader, Writer, canonical_struct};
use crate::domain::job::Train;

/// What kind of bytes these are, and their version.
const FORMAT: &str = "ohc/state/2";

/// A sequence of f32: a length and their little-endian bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Floats(pub Vec<f32>);

impl Encode for Floats {
    fn encode(&self, w: &mut Writer) {
        w.length(self.0.len());
        // One piece of bytes per 4 KiB, not per number.
        let mut bytes = Vec::with_capacity(4096);
        for chunk in self.0.chunks(1024) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|x| x.to_le_bytes()));
            w.raw(&bytes);
        }
    }
}

impl Decode for Floats {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = r.length()?;
        let bytes = r.raw(len.checked_mul(4).ok_or(DecodeError::Truncated)?)?;
        let value = |b: &[u8]| b.try_into().map(f32::from_le_bytes).unwrap_or(f32::NAN);
        Ok(Self(bytes.chunks_exact(4).map(value).collect()))
    }
}

/// One parameter, what the optimiser remembers of it, and what it was at the best epoch. What is
/// kept of batches is not a place from which anything descends: it is the one moment of no theta,
/// and so merged as moments are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moving {
    pub theta: Floats,
    pub moments: Vec<Floats>,
    /// Empty where the training never stops early.
    pub best: Floats,
}
canonical_struct!(Moving { theta, moments, best });

impl Moving {
    /// A parameter of that shape with this value; the moments are those of one that is learned.
    pub(super) fn new(
        shape: &ParameterShape,
        values: Floats,
        moments: Vec<Floats>,
        best: Floats,
    ) -> Self {
        if shape.learned {
            Self { theta: values, moments, best }
        } else {
            Self { theta: Floats(Vec::new()), moments: vec![values], best }
        }
    }

    fn is_finite(&self) -> bool {
        let mut all = [&self.theta, &self.best].into_iter().chain(&self.moments);
        all.all(|xs| xs.0.iter().all(|x| x.is_finite()))
    }
}

/// How the losses went so far. All zero before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Course {
    /// The sum of the losses of all rows of the epoch so far; 0 between two epochs.
    pub total: f64,
    /// Mean loss over the rows of the last epoch.
    pub loss: f64,
    /// Loss on the validation rows after the last epoch; 0 where there are none.
    pub validated: f64,
    /// The smallest of them that counted as better.
    pub best: f64,
    /// The epoch after which it was that, from 1; 0 is none yet.
    pub best_epoch: u32,
}
canonical_struct!(Course { total, loss, validated, best, best_epoch });

impl Course {
    /// Takes in the losses of an epoch. Whether it is the best so far.
    pub(super) fn advance(&mut self, epoch: u32, loss: f64, validated: f64, delta: f64) -> bool {
        self.loss = loss;
        self.validated = validated;
        let better = self.best_epoch == 0 || validated < self.best - delta;
        if better {
            (self.best, self.best_epoch) = (validated, epoch);
        }
        better
    }
}

/// Everything that the next step depends on, except the spec and the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// Steps done.
    pub step: u64,
    /// β1^step and β2^step; 1 and 1 where the optimiser has none.
    pub powers: (f64, f64),
    /// How the losses went.
    pub course: Course,
    /// In the order of the parameters.
    pub parameters: Vec<Moving>,
}

/// What kind of bytes a state is that shards share, and their version.
const SHARED: &str = "ohc/shared/1";

/// The bytes of a state that shards share: after the ways that their merges went before, which no
/// shard needs.
pub(super) fn shared(ways: &Vec<Floats>, state: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    SHARED.encode(&mut w);
    ways.encode(&mut w);
    w.raw(state);
    w.into_bytes()
}

/// The ways (none before the first merge, or where none are kept) and the state's bytes of what
/// shards share; none if its head is damaged.
pub(super) fn read_shared(bytes: &[u8]) -> Option<(Option<Vec<Floats>>, &[u8])> {
    let mut r = Reader::new(bytes);
    if String::decode(&mut r).ok()? != SHARED {
        return Some((None, bytes));
    }
    let ways = Vec::decode(&mut r).ok()?;
    Some((Some(ways), r.rest()))
}

/// A state whose parameters went so many times as far from what was shared: how a liar would say
/// it. For rehearsals.
pub(super) fn displaced(from: &[u8], state: &[u8], times: f32) -> Result<Vec<u8>, Fault> {
    let from = read_shared(from).map_or(from, |(_, state)| state);
    let from = State::of_any("state", from)?;
    let mut state = State::of_any("state", state)?;
    for (moving, from) in state.parameters.iter_mut().zip(&from.parameters) {
        for (x, from) in moving.theta.0.iter_mut().zip(&from.theta.0) {
            *x = from + times * (*x - from);
        }
    }
    Ok(state.into_bytes())
}

#[derive(Debug)]
struct Body(State);

impl Encode for Body {
    fn encode(&self, w: &mut Writer) {
        let s = &self.0;
        begin(w, s.step, s.powers, s.course, s.parameters.len());
        s.parameters.iter().for_each(|moving| moving.encode(w));
    }
}

/// What comes before the parameters of a state.
fn begin(w: &mut Writer, step: u64, powers: (f64, f64), course: Course, parameters: usize) {
    FORMAT.encode(w);
    step.encode(w);
    powers.encode(w);
    course.encode(w);
    w.length(parameters);
}

impl Decode for Body {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if String::decode(r)? != FORMAT {
            return Err(DecodeError::OutOfRange);
        }
        Ok(Self(State {
            step: Decode::decode(r)?,
            powers: Decode::decode(r)?,
            course: Decode::decode(r)?,
            parameters: Decode::decode(r)?,
        }))
    }
}

/// A state that becomes bytes parameter by parameter: there is no copy of all of them beside it.
pub(super) struct Growing {
    bytes: Writer,
    is_finite: bool,
}

impl Growing {
    /// After `step` steps of a training by `spec`, of a model of `shape`.
    pub(super) fn new(
        step: u64,
        powers: (f64, f64),
        course: Course,
        shape: &Shape,
        spec: &Train,
    ) -> Self {
        let lengths = Lengths::of(shape, spec);
        let mut bytes = Writer::with_room(lengths.iter().fold(HEADER, |sum, of| sum + of.bytes()));
        begin(&mut bytes, step, powers, course, lengths.len());
        Self { bytes, is_finite: is_finite(powers, course) }
    }

    /// Goes on with the next parameter.
    pub(super) fn add(&mut self, moving: &Moving) {
        self.is_finite &= moving.is_finite();
        moving.encode(&mut self.bytes);
    }

    /// The canonical bytes; none if there is a number in it that is not finite.
    pub(super) fn end(self) -> Option<Vec<u8>> {
        self.is_finite.then(|| self.bytes.into_bytes())
    }
}

/// Bytes before the parameters of a state.
const HEADER: usize = 4 + FORMAT.len() + 8 + 16 + 36 + 4;

/// How many numbers a state has of a parameter.
struct Lengths {
    theta: usize,
    moments: usize,
    /// Of each moment.
    moment: usize,
    best: usize,
}

impl Lengths {
    /// Of all parameters of a model of `shape` that a training by `spec` learns or keeps.
    fn of(shape: &Shape, spec: &Train) -> Vec<Self> {
        let of = |shape: &ParameterShape| {
            let (theta, moments) = match shape.learned {
                true => (shape.len(), spec.optimizer.moments()),
                false => (0, 1),
            };
            let best = if spec.early_stopping.is_some() { shape.len() } else { 0 };
            Self { theta, moments, moment: shape.len(), best }
        };
        shape.parameters().iter().map(of).collect()
    }

    fn bytes(&self) -> usize {
        4 + 4 * self.theta + 4 + self.moments * (4 + 4 * self.moment) + 4 + 4 * self.best
    }

    fn fit(&self, moving: &Moving) -> bool {
        moving.theta.0.len() == self.theta
            && moving.moments.len() == self.moments
            && moving.moments.iter().all(|moment| moment.0.len() == self.moment)
            && moving.best.0.len() == self.best
    }
}

impl State {
    /// The canonical bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        Body(self).to_bytes()
    }

    /// Before the first step.
    pub(super) fn initial(shape: &Shape, spec: &Train) -> Self {
        let shapes = shape.parameters().iter();
        let parameters = shapes.zip(shape.initial(spec.seed)).map(|(shape, values)| {
            let moments = vec![Floats(vec![0.0; values.len()]); spec.optimizer.moments()];
            let best = if spec.early_stopping.is_some() { values.clone() } else { Vec::new() };
            Moving::new(shape, Floats(values), moments, Floats(best))
        });
        Self {
            step: 0,
            powers: (1.0, 1.0),
            course: Course::default(),
            parameters: parameters.collect(),
        }
    }

    /// Reads a state that must be one of a training by `spec`, of a model of `shape`.
    pub(super) fn read(bytes: &[u8], shape: &Shape, spec: &Train) -> Result<Self, Fault> {
        let lengths = Lengths::of(shape, spec);
        if bytes.len() != lengths.iter().fold(HEADER, |sum, of| sum + of.bytes()) {
            return Err(refused("its size does not fit the model"));
        }
        let Body(state) = Body::from_bytes(bytes).map_err(|error| refused(&error.to_string()))?;
        let fits = state.parameters.iter().zip(&lengths).all(|(moving, of)| of.fit(moving));
        if !fits || state.parameters.len() != lengths.len() {
            return Err(refused("its shape does not fit the model"));
        }
        if !state.is_finite() {
            return Err(refused("it holds numbers that are not finite"));
        }
        Ok(state)
    }

    /// Reads a state that is of some training, and never stops early: what a merge takes.
    pub(super) fn of_any(name: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let no = |why: &str| {
            let hint = "give the states of the shards of one round, and the one that they share";
            Fault::new(format!("the input `{name}` is no state to merge: {why}"), hint)
        };
        let Body(state) = Body::from_bytes(bytes).map_err(|error| no(&error.to_string()))?;
        if !state.is_finite() {
            return Err(no("it holds numbers that are not finite"));
        }
        Ok(state)
    }

    /// Whether every number in it is finite.
    pub(super) fn is_finite(&self) -> bool {
        is_finite(self.powers, self.course) && self.parameters.iter().all(Moving::is_finite)
    }
}

fn is_finite(powers: (f64, f64), course: Course) -> bool {
    let Course { total, loss, validated, best, .. } = course;
    [powers.0, powers.1, total, loss, validated, best].iter().all(|x| x.is_finite())
}

fn refused(why: &str) -> Fault {
    fault(
        format!("the state is not one of this training: {why}"),
        "a state fits the same model, data and settings that it was made with",
    )
}
