//! Villains, one file each. Never know more than what anybody can read in the log.

pub mod forger;
pub mod free_rider;
pub mod judge;
pub mod liar_failure;
pub mod poisoner;
pub mod silent;
pub mod skipper;
pub mod spammer;
pub mod withholder;
pub mod wrong_weights;

pub use judge::Temper;

use crate::dice::Dice;
use ohc::domain::command::Command;
use ohc::domain::receipt::Outcome;
use ohc::domain::state::Assignment;

/// What kind of worker somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    Honest,
    WrongWeights,
    Withholder,
    Silent,
    LiarFailure,
    FreeRider,
    /// Of so many segments of each training.
    Skipper(u8),
    Poisoner,
    /// Takes so many milliseconds for everything.
    Late(u64),
}

impl Nature {
    /// What it says that came out of an honest computation.
    pub fn distort(self, outcome: Outcome, assignment: &Assignment, dice: &mut Dice) -> Outcome {
        match self {
            Self::Honest | Self::Silent | Self::Withholder | Self::Late(_) => outcome,
            Self::WrongWeights => wrong_weights::distort(outcome, dice),
            Self::LiarFailure => liar_failure::distort(assignment),
            Self::FreeRider => free_rider::distort(outcome, dice),
            Self::Skipper(skips) => skipper::distort(outcome, assignment, skips, dice),
            Self::Poisoner => poisoner::distort(outcome, dice),
        }
    }

    /// Whether it puts its artifacts where others can read them.
    pub fn stores(self) -> bool {
        withholder::stores(self)
    }

    /// Whether it sends what its role wants to send.
    pub fn sends(self, command: &Command) -> bool {
        self != Self::Silent || silent::sends(command)
    }

    /// Whether what it delivers may be something else than honest work.
    pub fn lies(self) -> bool {
        !matches!(self, Self::Honest | Self::Withholder | Self::Silent | Self::Late(_))
    }

    /// How long it takes for anything, if that is up to it.
    pub fn takes_ms(self) -> Option<u64> {
        if let Self::Late(ms) = self { Some(ms) } else { None }
    }

    /// Villains are cheap: they want the work.
    pub fn ask(self, dice: &mut Dice) -> u64 {
        let honest = dice.between(500_000, 1_300_000);
        if self == Self::Honest { honest } else { honest / 4 }
    }
}
