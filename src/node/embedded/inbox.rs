//! What the loop of an embedded network is told, and the handle for who tells it from outside.
//! Never decides what follows.

use super::Failure;
use crate::base::ids::LeaseId;
use crate::base::time::Height;
use crate::domain::bisection::Move;
use crate::domain::command::Command;
use crate::domain::event::Reject;
use crate::domain::receipt::Outcome;
use crate::domain::state::Question;
use crate::domain::verdict::Verdict;
use crate::node::notice::Notice;
use std::sync::mpsc::{self, Receiver, Sender};

/// What the threads, the terminal and other processes tell the loop.
pub(super) enum Inbox {
    Notice(usize, Notice),
    Computed(usize, LeaseId, Result<Outcome, Failure>),
    Checked(Question, Result<Verdict, Failure>),
    /// A state of a disputed segment, said by the worker with this place or by the validator.
    Traced(Option<usize>, Result<Option<Move>, Failure>),
    Asked(Command, Sender<Result<Height, Reject>>),
    Stop(Stopped),
}

/// Speaks to the loop from outside: a signal, a timer, another process.
#[derive(Clone)]
pub struct Handle(pub(super) Sender<Inbox>);

impl Handle {
    /// Asks the loop to stop: nothing new is leased, what is delivered is settled first, and what
    /// is in the log stays there.
    pub fn stop(&self, why: Stopped) {
        // The loop may be over already.
        let _ = self.0.send(Inbox::Stop(why));
    }

    /// Has the client ask for something; the slot that took it, or why it was refused, comes back.
    /// Whoever waits is left alone if the loop is over before.
    pub fn ask(&self, command: Command) -> Receiver<Result<Height, Reject>> {
        let (reply, answer) = mpsc::channel();
        let _ = self.0.send(Inbox::Asked(command, reply));
        answer
    }
}

/// Why a loop was stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Someone pressed Ctrl-C, or the system asks the process to end.
    Interrupted,
    /// It has taken as long as it may.
    TimedOut,
}
