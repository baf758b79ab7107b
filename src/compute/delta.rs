//! Deltas: what a shard says of the state in which it ends, and a merge of the one from which all
//! go on, in a quarter and in half of their bytes. Never lets it be said in two ways: the same
//! states give the same bytes, on every machine.
//!
//! A shard says the way that each parameter went in steps of 8 bits (`kernel::codes`). What these
//! leave over is not lost: it is the shard's *residual*, in as many bits, which its job of the next
//! round adds to the way that it went then. AdamW's second moment is said as what the round added
//! to it, rounded up, so that no step becomes longer by it; its first moment is said in units of
//! the second's root, which is what a step is made of. A merge gives the parameters as they are,
//! the second moment in 16 bits, again rounded up, and the first one in 8. What a network keeps of
//! its batches is little, and said as it is.

use super::kernel::{Isa, codes};
use super::state::{Course, Floats, Moving, State, read_shared};
use super::{Fault, Named};
use crate::base::canon::{
    Decode, DecodeError, Encode, Reader, Writer, canonical_enum, canonical_struct,
};
use crate::domain::job::{Parallel, Train};
use codes::{BLOCK, Octave};
use std::borrow::Cow;

/// What kind of bytes these are, and their version.
const FORMAT: &str = "ohc/said/1";
const RESIDUAL: &str = "ohc/residual/1";
/// Below this the product of all decays is no base to divide by.
const DECAYED: f64 = 1e-290;

/// Numbers in steps.
#[derive(Debug, Clone, PartialEq)]
struct Steps {
    exponents: Vec<u8>,
    codes: Vec<i8>,
}

impl Encode for Steps {
    fn encode(&self, w: &mut Writer) {
        w.length(self.codes.len());
        w.raw(&self.exponents);
        w.raw(&self.codes.iter().map(|code| code.cast_unsigned()).collect::<Vec<_>>());
    }
}

impl Decode for Steps {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = r.length()?;
        let exponents = r.raw(len.div_ceil(BLOCK))?.to_vec();
        let codes: Vec<i8> = r.raw(len)?.iter().map(|code| code.cast_signed()).collect();
        let are_steps = codes::are_steps(&exponents, &codes);
        if are_steps { Ok(Self { exponents, codes }) } else { Err(DecodeError::OutOfRange) }
    }
}

impl Steps {
    /// Says numbers, and leaves in their place what this does not say.
    fn say(numbers: &mut [f32]) -> Self {
        let mut exponents = vec![0; numbers.len().div_ceil(BLOCK)];
        let mut codes = vec![0; numbers.len()];
        codes::to_steps(Isa::best(), numbers, &mut exponents, &mut codes);
        Self { exponents, codes }
    }

    fn heard(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.codes.len()];
        codes::of_steps(Isa::best(), &self.exponents, &self.codes, &mut out);
        out
    }
}

/// Numbers in octaves.
#[derive(Debug, Clone, PartialEq)]
struct Octaves<C> {
    octaves: Vec<u8>,
    codes: Vec<C>,
}

/// Codes are as many bytes as their type has, the lowest first.
impl<C: Octave> Encode for Octaves<C> {
    fn encode(&self, w: &mut Writer) {
        w.length(self.codes.len());
        w.raw(&self.octaves);
        let bytes = |code: &C| (*code).into().to_le_bytes().into_iter().take(size_of::<C>());
        w.raw(&self.codes.iter().flat_map(bytes).collect::<Vec<_>>());
    }
}

impl<C: Octave> Decode for Octaves<C> {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = r.length()?;
        let octaves = r.raw(len.div_ceil(BLOCK))?.to_vec();
        let bytes = r.raw(len.checked_mul(size_of::<C>()).ok_or(DecodeError::Truncated)?)?;
        let code = |bytes: &[u8]| {
            C::of(bytes.iter().rev().fold(0, |code, byte| code << 8 | u32::from(*byte)))
        };
        Ok(Self { octaves, codes: bytes.chunks_exact(size_of::<C>()).map(code).collect() })
    }
}

impl<C: Octave> Octaves<C> {
    fn say(numbers: &[f32]) -> Self {
        let mut octaves = vec![0; numbers.len().div_ceil(BLOCK)];
        let mut codes = vec![C::default(); numbers.len()];
        codes::to_octaves(Isa::best(), numbers, &mut octaves, &mut codes);
        Self { octaves, codes }
    }

    fn heard(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.codes.len()];
        codes::of_octaves(Isa::best(), &self.octaves, &self.codes, &mut out);
        out
    }
}

/// How the numbers of a parameter, or of one of its moments, are said.
#[derive(Debug, Clone, PartialEq)]
enum Numbers {
    /// As they are.
    Exact(Floats),
    /// The way that they went, in steps.
    Way(Steps),
    /// Themselves, in steps.
    Steps(Steps),
    /// Themselves in units of the root of the moment behind them, in steps.
    PerRoot(Steps),
    /// What was added to what the decay of the round left of them.
    Added(Octaves<u8>),
    /// Themselves, in octaves.
    Octaves(Octaves<u16>),
}
canonical_enum!(Numbers {
    1 => Exact(x),
    2 => Way(x),
    3 => Steps(x),
    4 => PerRoot(x),
    5 => Added(x),
    6 => Octaves(x),
});

/// A parameter and what the optimiser remembers of it.
#[derive(Debug, Clone, PartialEq)]
struct Parameter {
    theta: Numbers,
    moments: Vec<Numbers>,
}
canonical_struct!(Parameter { theta, moments });

/// A state, said.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    /// Steps of the state from which it is said; its own where it is said from none.
    from: u64,
    step: u64,
    powers: (f64, f64),
    /// Share of a second moment that is left of what it was.
    keep: f64,
    loss: f64,
    parameters: Vec<Parameter>,
}

impl Encode for Said {
    fn encode(&self, w: &mut Writer) {
        FORMAT.encode(w);
        self.from.encode(w);
        self.step.encode(w);
        self.powers.encode(w);
        self.keep.encode(w);
        self.loss.encode(w);
        self.parameters.encode(w);
    }
}

impl Decode for Said {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if String::decode(r)? != FORMAT {
            return Err(DecodeError::OutOfRange);
        }
        let said = Self {
            from: Decode::decode(r)?,
            step: Decode::decode(r)?,
            powers: Decode::decode(r)?,
            keep: Decode::decode(r)?,
            loss: Decode::decode(r)?,
            parameters: Decode::decode(r)?,
        };
        let is_share = (0.0..=1.0).contains(&said.keep);
        if is_share { Ok(said) } else { Err(DecodeError::OutOfRange) }
    }
}

/// What a shard has not said yet, of each parameter, when it has taken so many steps.
#[derive(Debug, Clone, PartialEq)]
struct Residual {
    step: u64,
    parameters: Vec<Steps>,
}

impl Encode for Residual {
    fn encode(&self, w: &mut Writer) {
        RESIDUAL.encode(w);
        self.step.encode(w);
        self.parameters.encode(w);
    }
}

impl Decode for Residual {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if String::decode(r)? != RESIDUAL {
            return Err(DecodeError::OutOfRange);
        }
        Ok(Self { step: Decode::decode(r)?, parameters: Decode::decode(r)? })
    }
}

/// A training as it learns: it takes no notice of how states are said.
pub(super) struct Taught<'a> {
    pub(super) spec: Cow<'a, Train>,
    pub(super) state: Option<Cow<'a, [u8]>>,
}

/// What a training learns by, from the state that it is given.
pub(super) fn taught<'a>(spec: &'a Train, state: Option<&'a [u8]>) -> Result<Taught<'a>, Fault> {
    let task = match &spec.parallel {
        None => {
            return Ok(Taught { spec: Cow::Borrowed(spec), state: state.map(Cow::Borrowed) });
        }
        Some(Parallel::Delta(shard)) => {
            Cow::Owned(Train { parallel: Some(Parallel::Shard(*shard)), ..spec.clone() })
        }
        Some(_) => Cow::Borrowed(spec),
    };
    Ok(Taught { spec: task, state: state.map(plain).transpose()? })
}

/// What a shard gives that began at the shared state `from`, with the residual of its job of the
/// round before (none in the first round, or where that came to nothing), and ended at `to`.
pub(super) fn of_shard(
    from: &[u8],
    residual: Option<&[u8]>,
    to: &[u8],
) -> Result<Vec<Named>, Fault> {
    let from = State::of_any("state", &plain(from)?)?;
    let to = State::of_any("state", to)?;
    let left = residual.map(Residual::from_bytes).transpose();
    let left = left.map_err(|error| refused("residual", &error.to_string()))?;
    let fits = |left: &Residual| {
        let lengths =
            |(steps, moving): (&Steps, &Moving)| steps.codes.len() == moving.theta.0.len();
        left.step == from.step
            && left.parameters.len() == from.parameters.len()
            && left.parameters.iter().zip(&from.parameters).all(lengths)
    };
    if left.as_ref().is_some_and(|left| !fits(left)) {
        return Err(refused("residual", "it is of another training, or another round"));
    }
    let base = from.powers.1;
    let keep = if base > DECAYED { (to.powers.1 / base).clamp(0.0, 1.0) } else { 0.0 };
    let mut lefts = left.into_iter().flat_map(|left| left.parameters);
    let (mut parameters, mut rests) = (Vec::new(), Vec::new());
    for (from, to) in from.parameters.iter().zip(&to.parameters) {
        let mut way: Vec<f32> =
            to.theta.0.iter().zip(&from.theta.0).map(|(to, from)| to - from).collect();
        if let Some(left) = lefts.next() {
            way.iter_mut().zip(left.heard()).for_each(|(way, left)| *way += left);
        }
        let theta = Numbers::Way(Steps::say(&mut way));
        rests.push(Steps::say(&mut way));
        parameters.push(Parameter { theta, moments: moments(to, Some((from, keep))) });
    }
    let (powers, loss) = (to.powers, to.course.loss);
    let said = Said { from: from.step, step: to.step, powers, keep, loss, parameters };
    let rest = Residual { step: to.step, parameters: rests };
    let named = |name: &str, bytes| Named { name: name.to_owned(), bytes };
    Ok(vec![named("delta", said.to_bytes()), named("residual", rest.to_bytes())])
}

/// The moments of a parameter; where it is said from what it was, so is the second of two.
fn moments(of: &Moving, from: Option<(&Moving, f64)>) -> Vec<Numbers> {
    let is_learned = !of.theta.0.is_empty();
    let [first, second] = of.moments.as_slice() else {
        let said = |moment: &Floats| match is_learned {
            true => Numbers::Steps(Steps::say(&mut moment.0.clone())),
            false => Numbers::Exact(moment.clone()),
        };
        return of.moments.iter().map(said).collect();
    };
    let (heard, second) = match from.and_then(|(from, keep)| Some((from.moments.get(1)?, keep))) {
        Some((from, keep)) => {
            let added =
                |(to, from): (&f32, &f32)| (f64::from(*to) - keep * f64::from(*from)) as f32;
            let added = Octaves::say(&second.0.iter().zip(&from.0).map(added).collect::<Vec<_>>());
            (grown(&added.heard(), from, keep), Numbers::Added(added))
        }
        None => {
            let octaves = Octaves::<u16>::say(&second.0);
            (octaves.heard(), Numbers::Octaves(octaves))
        }
    };
    // Where no gradient was ever seen there is nothing to say.
    let unit = |(first, second): (&f32, &f32)| match *second > 0.0 {
        true => first / second.sqrt(),
        false => 0.0,
    };
    let mut units: Vec<f32> = first.0.iter().zip(&heard).map(unit).collect();
    vec![Numbers::PerRoot(Steps::say(&mut units)), second]
}

/// A second moment after a round, of what was added in it.
fn grown(added: &[f32], from: &Floats, keep: f64) -> Vec<f32> {
    let grown = |(added, from): (&f32, &f32)| (keep * f64::from(*from) + f64::from(*added)) as f32;
    added.iter().zip(&from.0).map(grown).collect()
}

/// The bytes of the state that shards share, said by a merge.
pub(super) fn of_merge(state: &State) -> Vec<u8> {
    let said = |moving: &Moving| Parameter {
        theta: Numbers::Exact(moving.theta.clone()),
        moments: moments(moving, None),
    };
    let parameters = state.parameters.iter().map(said).collect();
    let State { step, powers, course, .. } = *state;
    Said { from: step, step, powers, keep: 0.0, loss: course.loss, parameters }.to_bytes()
}

/// The bytes of the state that shards share, whole, however they are said.
pub(super) fn plain(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    let is_said = String::decode(&mut Reader::new(bytes)).is_ok_and(|format| format == FORMAT);
    if is_said {
        return Ok(Cow::Owned(heard("state", bytes, None)?.into_bytes()));
    }
    let (_, state) = read_shared(bytes).ok_or_else(|| refused("state", "its head is damaged"))?;
    Ok(Cow::Borrowed(state))
}

/// The state that is said, by a shard from the one that all share, or by a merge from none.
pub(super) fn heard(name: &str, bytes: &[u8], from: Option<&State>) -> Result<State, Fault> {
    let said = Said::from_bytes(bytes).map_err(|error| refused(name, &error.to_string()))?;
    let of_another = || refused(name, "it is of another training, or another round");
    if from.is_some_and(|from| from.step != said.from) {
        return Err(of_another());
    }
    let (step, powers) = (said.step, said.powers);
    let course = Course { loss: said.loss, ..Course::default() };
    let mut state = State { step, powers, course, parameters: Vec::new() };
    let count = from.map_or(said.parameters.len(), |from| from.parameters.len());
    if said.parameters.len() != count {
        return Err(of_another());
    }
    for (at, parameter) in said.parameters.iter().enumerate() {
        let from = from.and_then(|from| from.parameters.get(at));
        let moving = parameter.heard(from, said.keep).ok_or_else(of_another)?;
        state.parameters.push(moving);
    }
    if state.is_finite() { Ok(state) } else { Err(refused(name, "its numbers are not finite")) }
}

impl Parameter {
    /// The parameter and its moments; none if they do not fit to each other, or to what it was.
    fn heard(&self, from: Option<&Moving>, keep: f64) -> Option<Moving> {
        let theta = match (&self.theta, from) {
            (Numbers::Exact(theta), _) => theta.clone(),
            (Numbers::Way(way), Some(from)) if way.codes.len() == from.theta.0.len() => {
                let there = way.heard().into_iter().zip(&from.theta.0);
                Floats(there.map(|(way, from)| from + way).collect())
            }
            _ => return None,
        };
        let mut moments: Vec<Floats> = Vec::new();
        // From the last on: a moment may be in units of the one behind it.
        for (at, numbers) in self.moments.iter().enumerate().rev() {
            let before = from.and_then(|from| from.moments.get(at));
            let moment = match (numbers, before) {
                (Numbers::Exact(moment), _) => moment.0.clone(),
                (Numbers::Steps(steps), _) => steps.heard(),
                (Numbers::Octaves(octaves), _) => octaves.heard(),
                (Numbers::Added(added), Some(before)) if added.codes.len() == before.0.len() => {
                    grown(&added.heard(), before, keep)
                }
                (Numbers::PerRoot(units), _) => {
                    let behind = moments.last().filter(|m| m.0.len() == units.codes.len())?;
                    let units = units.heard().into_iter().zip(&behind.0);
                    units.map(|(unit, behind)| unit * behind.sqrt()).collect()
                }
                _ => return None,
            };
            moments.push(Floats(moment));
        }
        moments.reverse();
        Some(Moving { theta, moments, best: Floats(Vec::new()) })
    }
}

fn refused(name: &str, why: &str) -> Fault {
    Fault::new(
        format!("the input `{name}` is not what was said of a state: {why}"),
        "give what the shards and merges of one training with `deltas: int8` give",
    )
}

#[cfg(test)]
mod tests;
