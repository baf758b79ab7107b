//! What the loop of a node is told by its threads, by the terminal and by other processes, and the
//! handle for who tells it from outside. Never decides what follows.

use super::embedded::Failure;
use super::follow::Heard;
use super::notice::Notice;
use crate::base::ids::LeaseId;
use crate::base::time::Height;
use crate::domain::bisection::Move;
use crate::domain::command::Command;
use crate::domain::event::Reject;
use crate::domain::receipt::Outcome;
use crate::domain::state::Matter;
use crate::domain::verdict::Verdict;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

/// What the loop of a node of a network reads: beside what any hears, what its kind does.
pub(super) enum Inbox<Own> {
    Done(Done),
    Told(Told),
    Heard(Heard),
    Own(Own),
}

impl<Own> From<Done> for Inbox<Own> {
    fn from(done: Done) -> Self {
        Self::Done(done)
    }
}

impl<Own> From<Told> for Inbox<Own> {
    fn from(told: Told) -> Self {
        Self::Told(told)
    }
}

impl<Own> From<Heard> for Inbox<Own> {
    fn from(heard: Heard) -> Self {
        Self::Heard(heard)
    }
}

/// What the threads of a node tell its loop; workers are named by their places.
pub(super) enum Done {
    /// What a worker's thread is at.
    Notice(usize, Notice),
    /// What came of a lease of a worker.
    Computed(usize, LeaseId, Result<Outcome, Failure>),
    /// What came of a question to the validator.
    Checked(Matter, Result<Verdict, Failure>),
    /// A state of a disputed segment, said by the worker with this place or by the validator.
    Traced(Option<usize>, Result<Option<Move>, Failure>),
}

/// What the terminal and other processes tell the loop of a node.
pub(super) enum Told {
    /// Have the client ask for this.
    Asked(Command, Sender<Result<Height, Reject>>),
    /// Come to an end.
    Stop(Stopped),
}

/// Speaks to the loop from outside: a signal, a timer, another process.
#[derive(Clone)]
pub struct Handle(Arc<dyn Fn(Told) + Send + Sync>);

impl Handle {
    /// Speaks to the loop that reads what goes into this.
    pub(super) fn new<T: From<Told> + Send + 'static>(outbox: Sender<T>) -> Self {
        // The loop may be over already.
        Self(Arc::new(move |told| drop(outbox.send(told.into()))))
    }

    /// Asks the loop to stop: nothing new is leased, what is delivered is settled first, and what
    /// is in the log stays there.
    pub fn stop(&self, why: Stopped) {
        (self.0)(Told::Stop(why));
    }

    /// Has the client ask for something; the slot that took it, or why it was refused, comes back.
    /// Whoever waits is left alone if the loop is over before.
    pub fn ask(&self, command: Command) -> Receiver<Result<Height, Reject>> {
        let (reply, answer) = mpsc::channel();
        (self.0)(Told::Asked(command, reply));
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
