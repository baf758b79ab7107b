//! Commands that others have a client ask for, until it is known what became of them. Never signs
//! or sends one.

use crate::base::time::Height;
use crate::domain::command::{Command, SignedOrder};
use crate::domain::event::Reject;
use crate::domain::state::State;
use crate::role::Folded;
use std::sync::mpsc::Sender;

/// Where the slot that took a command goes, or why it had no effect.
pub(super) type Reply = Sender<Result<Height, Reject>>;

/// Commands that are on their way, and who waits for each.
#[derive(Default)]
pub(super) struct Asked(Vec<(SignedOrder, Reply)>);

impl Asked {
    /// This one is on its way.
    pub(super) fn add(&mut self, order: SignedOrder, reply: Reply) {
        self.0.push((order, reply));
    }

    /// Nobody is answered any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Answers those whose commands this slot held. Gives those whose numbers somebody else who
    /// signs with the same key took: they are to be asked for again.
    pub(super) fn folded(&mut self, folded: &Folded, state: &State) -> Vec<(Command, Reply)> {
        let mut overtaken = Vec::new();
        for (order, reply) in std::mem::take(&mut self.0) {
            match folded.fate(&order) {
                // Whoever asked may have gone away.
                Some(fate) => drop(reply.send(fate.map(|()| state.height()))),
                None if state.nonce(&order.author) < order.body.nonce => {
                    self.0.push((order, reply));
                }
                // It may have been in a slot that was passed over: it is not asked for twice.
                None if folded.has_gap() => drop(reply),
                None => overtaken.push((order.body.command, reply)),
            }
        }
        overtaken
    }
}
