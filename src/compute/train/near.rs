//! How near the end of a fast segment of a training is to the exact one: what a validator accepts.
//! Never a matter of who looks: two who look at the same states say the same.
//!
//! A segment leads from a state b to h by the exact kernels, and to c as its worker claims. It is
//! near if |c − h| <= TOLERANCE · |h − b|, but for rounding, in each of these norms:
//!
//! - over parameters, each difference squared times how steep the loss is along it: the second
//!   moment of AdamW, an estimate of the diagonal of the Fisher information, or the square of
//!   Lion's momentum. Both go as far along a gradient that is nothing but rounding (that of a bias
//!   in front of a norm) as along any other, in a direction that is no better than a lot;
//! - over parameters as they are, and over what is kept of batches, in which ten times as much is
//!   allowed for their sake: a bias in front of a norm of batches moves the mean that is kept;
//! - over parameters along which there never was a gradient, against the way of all;
//! - over each moment of all parameters.
//!
//! Who leaves out a share of the steps, or adds something of its own, is found out once that makes
//! up more than the tolerance of the way. Steps done and powers of β must be the same; losses may
//! differ by the tolerance.

use crate::compute::model::{Shape, fault};
use crate::compute::state::{Floats, Moving, State};
use crate::compute::{Ends, Far, Fault};
use crate::domain::job::{Optimizer, Tolerance, Train};

/// What rounding alone may do to numbers that hardly move.
const ROUNDING: f64 = 1e-6;
/// How many times the tolerance numbers may be off where it does not count how steep the loss is
/// along them.
const FOR_ROUNDING: f64 = 10.0;

/// Sums of squares: of what differs, of the way, and of where it leads.
#[derive(Default, Clone, Copy)]
struct Measured {
    off: f64,
    way: f64,
    end: f64,
}

/// One number in the three states.
#[derive(Clone, Copy)]
struct Number {
    begin: f64,
    exact: f64,
    claimed: f64,
}

impl Measured {
    fn add(&mut self, number: Number, weight: f64) {
        let Number { begin, exact, claimed } = number;
        self.off += weight * (claimed - exact) * (claimed - exact);
        self.way += weight * (exact - begin) * (exact - begin);
        self.end += weight * exact * exact;
    }

    /// How far it is off, in ways.
    fn share(self) -> f64 {
        let beyond = self.off.sqrt() - ROUNDING * self.end.sqrt();
        if beyond <= 0.0 { 0.0 } else { beyond / self.way.sqrt() }
    }
}

/// All that is measured of a segment.
#[derive(Default)]
struct Norms {
    steep: Measured,
    plain: Measured,
    untouched: Measured,
    kept: Measured,
    moments: [Measured; 2],
}

impl Norms {
    /// Takes in one parameter, or what is kept of batches.
    fn add(&mut self, is_learned: bool, optimizer: &Optimizer, [b, h, c]: [&Moving; 3]) {
        let moments = b.moments.iter().zip(&h.moments).zip(&c.moments);
        for (place, ((b, h), c)) in moments.enumerate() {
            let into = match self.moments.get_mut(place) {
                Some(measured) if is_learned => measured,
                _ => &mut self.kept,
            };
            numbers([b, h, c]).for_each(|number| into.add(number, 1.0));
        }
        let steep = |at: usize| {
            let moment = |i: usize| h.moments.get(i).and_then(|m| m.0.get(at)).copied();
            match optimizer {
                Optimizer::AdamW { .. } => moment(1).map(f64::from),
                Optimizer::Lion { .. } => moment(0).map(|m| f64::from(m) * f64::from(m)),
                Optimizer::Sgd { .. } => Some(1.0),
            }
        };
        for (at, number) in numbers([&b.theta, &h.theta, &c.theta]).enumerate() {
            let weight = steep(at).unwrap_or(1.0);
            self.steep.add(number, weight);
            self.plain.add(number, 1.0);
            if weight == 0.0 {
                self.untouched.add(number, 1.0);
            }
        }
    }

    /// How far it is off, in ways: the most of all that is measured.
    fn share(self) -> f64 {
        let Self { steep, plain, untouched, kept, moments } = self;
        let untouched = Measured { way: plain.way, ..untouched };
        let all = [steep, untouched].into_iter().chain(moments).map(Measured::share);
        let loose = plain.share().max(kept.share()) / FOR_ROUNDING;
        all.fold(loose, f64::max)
    }
}

fn numbers([b, h, c]: [&Floats; 3]) -> impl Iterator<Item = Number> {
    b.0.iter().zip(&h.0).zip(&c.0).map(|((b, h), c)| Number {
        begin: f64::from(*b),
        exact: f64::from(*h),
        claimed: f64::from(*c),
    })
}

/// How far a claimed state is off, in ways of the segment: the most of all that is measured.
pub(super) fn distance(shape: &Shape, spec: &Train, states: &Ends<'_>) -> Result<f64, Fault> {
    let read = |bytes| State::read(bytes, shape, spec);
    let (begin, exact, claimed) = (read(states.begin)?, read(states.exact)?, read(states.claimed)?);
    if (claimed.step, claimed.powers) != (exact.step, exact.powers) {
        return Err(fault(
            format!("the state is one after {} steps, not {}", claimed.step, exact.step),
            "a segment ends where the plan says",
        ));
    }
    let mut norms = Norms::default();
    let moving = begin.parameters.iter().zip(&exact.parameters).zip(&claimed.parameters);
    for (shape, ((b, h), c)) in shape.parameters().iter().zip(moving) {
        norms.add(shape.learned, &spec.optimizer, [b, h, c]);
    }
    let losses = |state: &State| [state.course.total, state.course.loss, state.course.validated];
    let off = |(h, c): (f64, f64)| (c - h).abs() / h.abs().max(f64::MIN_POSITIVE);
    let losses = losses(&exact).into_iter().zip(losses(&claimed));
    Ok(losses.filter(|(h, c)| h != c).map(off).fold(norms.share(), f64::max))
}

/// Whether a claimed state is near enough.
pub(super) fn check(shape: &Shape, spec: &Train, states: &Ends<'_>) -> Result<(), Far> {
    let off = distance(shape, spec, states)?;
    // One that is not a number is too far.
    if off <= Tolerance::Way.share() { Ok(()) } else { Err(Far::Off(off)) }
}
