//! How a command ends: what went wrong, what to do about it, and the exit code.
//! Never prints: `report` does.

use crate::domain::event::{Ending, GaveUp, Pause};
use crate::domain::manifest::Diagnostic;
use crate::domain::terms::Cause;
use std::io;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done,
    /// It failed.
    Failed,
    /// `plan --detailed-exitcode`: something would run.
    Changes,
    /// `diff`: there are differences.
    Differs,
    /// `diff`: it cannot be told whether there are.
    Unknown,
    /// A log, a receipt or an artifact is not what it should be.
    Unverified,
    /// The budget does not cover it, or nobody bids for it.
    Unpaid,
    /// It took longer than it was to be waited for.
    TimedOut,
    /// It was stopped on purpose.
    Cancelled,
    /// The command line is not one.
    Usage,
    /// Ctrl-C, or the system asked the process to end.
    Interrupted,
}

impl Exit {
    /// The graver of two: what several things end with together.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        const GRAVITY: [Exit; 11] = [
            Exit::Done,
            Exit::Changes,
            Exit::Differs,
            Exit::Unknown,
            Exit::Cancelled,
            Exit::TimedOut,
            Exit::Unpaid,
            Exit::Failed,
            Exit::Unverified,
            Exit::Usage,
            Exit::Interrupted,
        ];
        let gravity = |exit: Self| GRAVITY.iter().position(|other| *other == exit);
        if gravity(other) > gravity(self) { other } else { self }
    }

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed | Self::Differs => 1,
            Self::Changes | Self::Unknown => 2,
            Self::Unverified => 3,
            Self::Unpaid => 4,
            Self::TimedOut => 5,
            Self::Cancelled => 6,
            Self::Usage => 64,
            Self::Interrupted => 130,
        }
    }
}

impl Exit {
    /// The code of a run that is over.
    pub(crate) fn of_ending(ending: &Ending) -> Self {
        match ending {
            Ending::Settled => Self::Done,
            Ending::Cancelled => Self::Cancelled,
            Ending::Exhausted { why: GaveUp::Attempts(Cause::VerificationFailed), .. } => {
                Self::Unverified
            }
            Ending::Exhausted { why: GaveUp::Attempts(Cause::NoBids) | GaveUp::Budget, .. }
            | Ending::Unpaid => Self::Unpaid,
            Ending::Failed { .. } | Ending::Exhausted { .. } | Ending::Overdue => Self::Failed,
        }
    }

    /// The code of a run that stands still.
    pub(crate) fn of_pause(pause: &Pause) -> Self {
        match pause {
            Pause::NoBids | Pause::Budget | Pause::StageBudget { .. } => Self::Unpaid,
            Pause::Client => Self::Cancelled,
        }
    }
}

/// Why a command did not get to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A manifest is wrong, at places of its text.
    Manifest {
        /// The file as it was named.
        path: String,
        /// What it says.
        text: String,
        /// All that is wrong with it.
        faults: Vec<Diagnostic>,
        /// The code: 4 where money is what is wrong.
        exit: Exit,
    },
    /// Anything else.
    Error {
        /// The code.
        exit: Exit,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// All was said already.
    Said(Exit),
    /// Whoever read our output has gone away: there is nobody to complain to.
    Pipe,
}

impl Stop {
    /// An error with exit code 1.
    pub(crate) fn failed(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Error { exit: Exit::Failed, message: message.into(), hint }
    }

    /// The same with another code.
    pub(crate) fn with(self, code: Exit) -> Self {
        match self {
            Self::Manifest { path, text, faults, .. } => {
                Self::Manifest { path, text, faults, exit: code }
            }
            Self::Error { message, hint, .. } => Self::Error { exit: code, message, hint },
            Self::Said(_) => Self::Said(code),
            Self::Pipe => Self::Pipe,
        }
    }

    /// The same about one of several things.
    pub(crate) fn of(self, what: &str) -> Self {
        match self {
            Self::Error { exit, message, hint } => {
                Self::Error { exit, message: format!("{what}: {message}"), hint }
            }
            // It names its file.
            other => other,
        }
    }

    /// An error of a lower layer, whose text ends in `; hint: …` where there is advice.
    pub(crate) fn because(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Self {
        let (message, hint) = advice(error);
        Self::Error { exit, message, hint }
    }

    /// The code that the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Manifest { exit, .. } | Self::Error { exit, .. } | Self::Said(exit) => *exit,
            Self::Pipe => Exit::Done,
        }
    }
}

/// What an error of a lower layer says, and its advice where it gives some. What is wrong with the
/// disk is wrong for everything that is written: then it matters little what was being written.
fn advice(error: &(dyn std::error::Error + 'static)) -> (String, Option<String>) {
    let text = error.to_string();
    let (message, hint) = match text.split_once("; hint: ") {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => (text, None),
    };
    (message, of_disk(error).map(str::to_owned).or(hint))
}

/// What to do about a disk, if that is why.
fn of_disk(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                return Some("free some space, then do the same again: it goes on");
            }
            Some(io::ErrorKind::FileTooLarge) => {
                return Some("let files grow longer (`ulimit -f`), then do the same again");
            }
            _ => cause = error.source(),
        }
    }
    None
}

impl From<io::Error> for Stop {
    /// Of writing to the terminal: all other IO errors have a type of their own.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::failed(format!("cannot write to the standard output: {error}"), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_of_lower_layers_becomes_a_hint() {
        let error = io::Error::other("the log is in use; hint: wait for the other ohc");
        let Stop::Error { message, hint, .. } = Stop::because(Exit::Failed, &error) else {
            panic!("not an error")
        };
        assert_eq!(message, "the log is in use");
        assert_eq!(hint.as_deref(), Some("wait for the other ohc"));
    }

    #[test]
    fn where_a_disk_is_full_the_advice_is_about_the_disk() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write x: {source}; hint: check the folder and its permissions")]
        struct Wrapped {
            source: io::Error,
        }
        let hint = |kind: io::ErrorKind| {
            let Stop::Error { hint, .. } =
                Stop::because(Exit::Failed, &Wrapped { source: kind.into() })
            else {
                panic!("not an error")
            };
            hint.unwrap()
        };
        assert!(hint(io::ErrorKind::StorageFull).starts_with("free some space"));
        assert!(hint(io::ErrorKind::FileTooLarge).contains("ulimit -f"));
        assert!(hint(io::ErrorKind::PermissionDenied).contains("permissions"));
    }

    #[test]
    fn several_ends_are_as_grave_as_the_gravest() {
        assert_eq!(Exit::Done.worse(Exit::Cancelled), Exit::Cancelled);
        assert_eq!(Exit::Failed.worse(Exit::Unpaid), Exit::Failed);
        assert_eq!(Exit::Failed.worse(Exit::Interrupted), Exit::Interrupted);
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_failure() {
        let gone = Stop::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.exit().code(), 0);
        let full = Stop::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit().code(), 1);
    }
}
