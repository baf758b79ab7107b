//! Traces: what the fold did beside its events, for whoever explains it. Kept only where it was
//! asked for, slot by slot; no rule reads one.

use super::State;
use crate::domain::auction::Tally;
use crate::domain::ledger::Posting;

/// What one slot did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// How money moved, in order.
    pub postings: Vec<Posting>,
    /// The awards of its auction, and the bids that were considered.
    pub tallies: Vec<Tally>,
}

impl State {
    /// This state, whose next slots leave traces.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.ledger.keep_trail();
        self.tallies = Some(Vec::new());
        self
    }

    /// What was done since this was last asked; nothing unless the state was made to leave traces.
    pub fn take_trace(&mut self) -> Trace {
        let tallies = self.tallies.as_mut().map(std::mem::take).unwrap_or_default();
        Trace { postings: self.ledger.take_trail(), tallies }
    }
}
