//! The state of a training between two steps, as canonical bytes: what a checkpoint is.
//! Never trusts bytes: their number follows from the shape and is checked before any is read.

use super::Fault;
use super::model::{Shape, fault};
use crate::base::canon::{Decode, DecodeError, Encode, Reader, Writer, canonical_struct};

/// What kind of bytes these are, and their version.
const FORMAT: &str = "ohc/state/1";

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

/// One parameter and its moments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moving {
    pub theta: Floats,
    pub m: Floats,
    pub v: Floats,
}
canonical_struct!(Moving { theta, m, v });

/// Everything that the next step depends on, except the spec and the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// Epochs done.
    pub epoch: u32,
    /// Steps done.
    pub step: u64,
    /// β1^step
    pub power1: f64,
    /// β2^step
    pub power2: f64,
    /// What is subtracted from every feature; empty where nothing is scaled.
    pub mean: Floats,
    /// What every feature is then multiplied with; empty where nothing is scaled.
    pub scale: Floats,
    /// In the order of the parameters.
    pub parameters: Vec<Moving>,
}

#[derive(Debug)]
struct Body(State);

impl Encode for Body {
    fn encode(&self, w: &mut Writer) {
        FORMAT.encode(w);
        let s = &self.0;
        s.epoch.encode(w);
        s.step.encode(w);
        s.power1.encode(w);
        s.power2.encode(w);
        s.mean.encode(w);
        s.scale.encode(w);
        s.parameters.encode(w);
    }
}

impl Decode for Body {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if String::decode(r)? != FORMAT {
            return Err(DecodeError::OutOfRange);
        }
        Ok(Self(State {
            epoch: Decode::decode(r)?,
            step: Decode::decode(r)?,
            power1: Decode::decode(r)?,
            power2: Decode::decode(r)?,
            mean: Decode::decode(r)?,
            scale: Decode::decode(r)?,
            parameters: Decode::decode(r)?,
        }))
    }
}

impl State {
    /// The canonical bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        Body(self).to_bytes()
    }

    /// Reads a state that must be one of a training of `shape` with `scaled` features.
    pub(super) fn read(bytes: &[u8], shape: &Shape, scaled: usize) -> Result<Self, Fault> {
        let lengths = shape.parameters();
        let header = 4 + FORMAT.len() + 4 + 8 + 8 + 8 + 4;
        let numbers: usize = lengths.iter().map(|(_, len)| 12 + 12 * len).sum();
        if bytes.len() != header + 2 * (4 + 4 * scaled) + numbers {
            return Err(refused("its size does not fit the model"));
        }
        let Body(state) = Body::from_bytes(bytes).map_err(|error| refused(&error.to_string()))?;
        let fits = state.parameters.iter().zip(&lengths).all(|(p, (_, len))| {
            p.theta.0.len() == *len && p.m.0.len() == *len && p.v.0.len() == *len
        });
        if !fits
            || state.parameters.len() != lengths.len()
            || state.mean.0.len() != scaled
            || state.scale.0.len() != scaled
        {
            return Err(refused("its shape does not fit the model"));
        }
        if !state.is_finite() {
            return Err(refused("it holds numbers that are not finite"));
        }
        Ok(state)
    }

    /// Whether every number in it is finite.
    pub(super) fn is_finite(&self) -> bool {
        let finite = |xs: &Floats| xs.0.iter().all(|x| x.is_finite());
        let moving = |p: &Moving| finite(&p.theta) && finite(&p.m) && finite(&p.v);
        self.power1.is_finite()
            && self.power2.is_finite()
            && finite(&self.mean)
            && finite(&self.scale)
            && self.parameters.iter().all(moving)
    }
}

fn refused(why: &str) -> Fault {
    fault(
        format!("the state is not one of this training: {why}"),
        "a state fits the same model, data and settings that it was made with",
    )
}
