//! The witness: says what states were when a segment is disputed, as its worker or as he who
//! objects. Never recomputes one itself. Part of both roles, which do not know each other.

use super::Signer;
use crate::base::ids::LeaseId;
use crate::base::limits::BATCH_MAX;
use crate::base::time::Millis;
use crate::domain::bisection::Move;
use crate::domain::command::{Command, SignedOrder};
use crate::domain::state::{Query, State};
use std::collections::BTreeMap;

/// A state that was not folded after so long is said again.
const RESEND_MS: u64 = 2_000;

/// What a participant has been asked, and what it says.
#[derive(Debug, Default)]
pub(super) struct Witness {
    asked: BTreeMap<LeaseId, u32>,
    answers: BTreeMap<LeaseId, (Move, Option<Millis>)>,
}

impl Witness {
    /// What is to be recomputed now, of the leases that may be disputed.
    pub(super) fn follow(
        &mut self,
        signer: &Signer,
        state: &State,
        leases: impl IntoIterator<Item = LeaseId>,
    ) -> Vec<Query> {
        let me = signer.public();
        self.asked.retain(|lease, round| state.asks(*lease, &me) == Some(*round));
        self.answers.retain(|lease, (said, _)| state.asks(*lease, &me) == Some(said.round));
        let mut queries = Vec::new();
        for lease in leases {
            let Some(round) = state.asks(lease, &me) else { continue };
            if self.asked.insert(lease, round) != Some(round) {
                queries.extend(state.query(lease, &me));
            }
        }
        queries
    }

    /// A state was recomputed.
    pub(super) fn traced(&mut self, said: Move) {
        self.answers.insert(said.lease, (said, None));
    }

    /// Says what is due.
    pub(super) fn speak(
        &mut self,
        now: Millis,
        signer: &mut Signer,
        state: &State,
    ) -> Option<SignedOrder> {
        let is_due = |at: &Option<Millis>| at.is_none_or(|at| now >= at.after(RESEND_MS));
        let mut batch = Vec::new();
        for (said, at) in self.answers.values_mut().filter(|(_, at)| is_due(at)).take(BATCH_MAX) {
            *at = Some(now);
            batch.push(*said);
        }
        (!batch.is_empty()).then(|| signer.order(state, Command::Bisect(batch)))
    }

    /// When it has something to say.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let due = |at: &Option<Millis>| at.map_or(Millis(0), |at| at.after(RESEND_MS));
        self.answers.values().map(|(_, at)| due(at)).min()
    }
}
