//! Validators that do not judge as they should. Never forge anything: what they say is signed and
//! in form, only not true.

use crate::ground::Who;
use ohc::domain::receipt::Outcome;
use ohc::domain::state::Duty;
use ohc::domain::verdict::{Finding, Found, Segment, Verdict};

/// What kind of validator somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Temper {
    Honest,
    /// Agrees with everything and computes nothing.
    Lazy,
    /// Agrees with whatever this worker delivers, and judges honestly otherwise.
    Friend(Who),
    /// Objects to everything.
    Accuser,
    /// Says nothing.
    Mute,
}

impl Temper {
    /// What it says instead of what it would have found.
    pub fn concludes(self, duty: &Duty, worker: Option<Who>, honest: Verdict) -> Option<Verdict> {
        let said = |finding| Some(Verdict { finding, ..honest.clone() });
        let first = duty.segments.first().copied().or_else(|| anywhere(&duty.receipt.outcome));
        let denies = |segment| {
            if duty.question.is_vote() { Finding::Deny { segment } } else { Finding::Agree }
        };
        match (self, first) {
            // It has not computed what it would have to trace.
            (Self::Lazy, Some(segment)) => {
                said(denies(segment)).map(|verdict| Verdict { trace: duty.id, ..verdict })
            }
            (Self::Friend(who), Some(segment)) if worker == Some(who) => said(denies(segment)),
            (Self::Accuser, Some(segment)) => {
                said(Finding::Object { segment, found: Found::State(duty.id) })
            }
            (Self::Mute, _) => None,
            _ => Some(honest),
        }
    }

    /// Whether a lie may settle because of it.
    pub fn lies(self) -> bool {
        matches!(self, Self::Lazy | Self::Friend(_))
    }
}

fn anywhere(outcome: &Outcome) -> Option<Segment> {
    let job = match outcome {
        Outcome::Done(claims) => claims.first()?.job,
        Outcome::Failed { job, .. } => *job,
    };
    Some(Segment { job, index: 0 })
}
