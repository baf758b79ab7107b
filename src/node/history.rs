//! History: the log of a home folded again, slot by slot, for whoever wants to see what it did.
//! Never writes, and holds one slot at a time.

use super::boot::BootError;
use super::view::View;
use crate::domain::command::SignedOrder;
use crate::domain::event::{Event, Reject};
use crate::domain::slot::Slot;
use crate::domain::state::{FoldError, State, Trace};

/// One slot, and what it did.
pub struct Page<'a> {
    /// The slot as it stands in the log.
    pub slot: &'a Slot,
    /// The state after it.
    pub state: &'a State,
    /// What was derived from it.
    pub events: &'a [Event],
    /// What it did beside its events.
    pub trace: &'a Trace,
}

impl Page<'_> {
    /// The commands of the slot that had an effect.
    pub fn accepted(&self) -> impl Iterator<Item = &SignedOrder> {
        self.slot.commands.iter().filter(|order| self.rejected(order).is_none())
    }

    /// Why a command of the slot had none.
    #[must_use]
    pub fn rejected(&self, order: &SignedOrder) -> Option<Reject> {
        self.events.iter().find_map(|event| match event {
            Event::Rejected { author, nonce, reason } => {
                (*author == order.author && *nonce == order.body.nonce).then_some(*reason)
            }
            _ => None,
        })
    }
}

/// Shows every slot that a view has folded, in their order, and returns the state after the last.
/// Where the log begins later than with the first slot, so does what is shown: [`View::base`].
pub fn fold(view: &View, watch: &mut dyn FnMut(&Page<'_>)) -> Result<State, BootError> {
    let mut state = view.first()?.traced();
    for slot in view.slots(state.height())? {
        let slot = slot?;
        let height = slot.head.height;
        let damaged = |error: FoldError| BootError::Slot { height, what: error.to_string() };
        let events = state.fold(&slot).map_err(damaged)?;
        let trace = state.take_trace();
        watch(&Page { slot: &slot, state: &state, events: &events, trace: &trace });
    }
    Ok(state)
}
