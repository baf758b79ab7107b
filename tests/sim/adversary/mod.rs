//! Villains, one file each. Never know more than what anybody can read in the log.

pub mod forger;
pub mod judge;
pub mod liar_failure;
pub mod silent;
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
}

impl Nature {
    /// What it says that came out of an honest computation.
    pub fn distort(self, outcome: Outcome, assignment: &Assignment, dice: &mut Dice) -> Outcome {
        match self {
            Self::Honest | Self::Silent | Self::Withholder => outcome,
            Self::WrongWeights => wrong_weights::distort(outcome, dice),
            Self::LiarFailure => liar_failure::distort(assignment),
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
        matches!(self, Self::WrongWeights | Self::LiarFailure)
    }

    /// Villains are cheap: they want the work.
    pub fn ask(self, dice: &mut Dice) -> u64 {
        let honest = dice.between(500_000, 1_300_000);
        if self == Self::Honest { honest } else { honest / 4 }
    }
}
