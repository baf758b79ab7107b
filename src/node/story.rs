//! The story of a block: all that the log says about it, from its first offer to its last payment.
//! Never judges: it takes down what the fold did, in the order in which it did it.

use super::history::Page;
use crate::base::ids::{BlockId, LeaseId};
use crate::base::keys::PublicKey;
use crate::base::time::{Height, Tick};
use crate::domain::auction::Tally;
use crate::domain::command::Command;
use crate::domain::event::Event;
use crate::domain::ledger::Posting;
use crate::domain::receipt::{Claim, Outcome, Receipt};
use crate::domain::verdict::Finding;

/// One thing that happened to a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// In which slot.
    pub height: Height,
    /// When that slot ended, in ticks.
    pub tick: Tick,
    /// What.
    pub what: What,
}

/// What happens to blocks.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The fold derived an event.
    Event(Event),
    /// An auction gave it to a worker.
    Awarded(Tally),
    /// A worker claims to have stored what its answer names: outputs, and checkpoints for audits.
    Stored {
        /// About which attempt.
        lease: LeaseId,
        /// How many artifacts.
        artifacts: usize,
        /// How many bytes they have together.
        bytes: u64,
        /// Bytes of the inputs that it fetched.
        read: u64,
        /// Bytes of the outputs alone.
        given: u64,
    },
    /// A validator said what it found.
    Judged {
        /// About which attempt.
        lease: LeaseId,
        /// Who.
        validator: PublicKey,
        /// What it found.
        finding: Finding,
    },
    /// Money moved because of it.
    Paid(Posting),
}

/// What happened to one block.
#[derive(Debug)]
pub struct Story {
    block: BlockId,
    /// In order.
    pub turns: Vec<Turn>,
}

impl Story {
    /// The story of a block of which nothing is known yet.
    #[must_use]
    pub fn of(block: BlockId) -> Self {
        Self { block, turns: Vec::new() }
    }

    /// Takes down what one slot did to the block: what was drawn and delivered, what validators
    /// said of it, what followed at the slot's boundary, and who was paid.
    pub fn take(&mut self, page: &Page<'_>) {
        let (height, tick) = (page.slot.head.height, page.state.tick());
        let block = self.block;
        let mut tell = |what| self.turns.push(Turn { height, tick, what });
        let ours = || page.events.iter().filter(|event| event.block() == Some(block));
        let is_early = |event: &Event| {
            matches!(event, Event::Drawn { .. } | Event::Delivered { .. } | Event::Disputed { .. })
        };
        for event in ours().filter(|event| is_early(event)) {
            tell(What::Event(event.clone()));
            if let Event::Delivered { lease, .. } = event {
                stored(page, *lease).into_iter().for_each(&mut tell);
            }
        }
        for order in page.accepted() {
            let Command::Judge(verdicts) = &order.body.command else { continue };
            for verdict in verdicts.iter().filter(|verdict| verdict.lease.block == block) {
                let (lease, finding) = (verdict.lease, verdict.finding);
                tell(What::Judged { lease, validator: order.author, finding });
            }
        }
        for event in ours().filter(|event| !is_early(event)) {
            if let Event::Leased { .. } = event {
                let tallies = page.trace.tallies.iter().filter(|t| t.award.block == block);
                tallies.for_each(|tally| tell(What::Awarded(tally.clone())));
            }
            tell(What::Event(event.clone()));
        }
        let postings = page.trace.postings.iter();
        let ours = postings.filter(|p| p.hold().and_then(|hold| hold.block()) == Some(block));
        ours.for_each(|posting| tell(What::Paid(*posting)));
    }
}

/// What the worker of a lease claims to have stored, by its answer in this slot; nothing where it
/// failed.
fn stored(page: &Page<'_>, lease: LeaseId) -> Option<What> {
    let is_its = |receipt: &&Receipt| receipt.lease == lease;
    let receipt = page.accepted().find_map(|order| match &order.body.command {
        Command::Deliver(receipts) => receipts.iter().find(is_its),
        Command::Open(all) => all.iter().map(|opening| &opening.receipt).find(is_its),
        _ => None,
    })?;
    let Outcome::Done(claims) = &receipt.outcome else { return None };
    let artifacts = claims.iter().map(|claim| claim.outputs.len() + claim.segments.len()).sum();
    let sum = |of: fn(&Claim) -> u64| claims.iter().map(of).fold(0, u64::saturating_add);
    let (bytes, read, given) = (sum(|it| it.bytes), sum(|it| it.read), sum(|it| it.given));
    Some(What::Stored { lease, artifacts, bytes, read, given })
}
