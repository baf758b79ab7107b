//! What is lost: artifacts without which nobody can say whether a receipt is true. A worker has to
//! keep what it made itself; what others made is not its fault. Never says that something is lost:
//! validators do, more than 2/3 of the stake.
//!
//! | what is missing                                   | what it is to the receipt      |
//! |---------------------------------------------------|--------------------------------|
//! | an output or a checkpoint that the receipt names  | withheld: an objection         |
//! | an input that the same worker made before         | the same                       |
//! | any other input                                   | void: no pay, and no fine      |
//! | anything else                                     | the verdict makes no sense     |
//!
//! Once the receipt was accepted all of it had been there: what is missing then is lost, whoever
//! made it (`challenge`).

use super::State;
use super::run::Phase;
use crate::base::canon::Digest;
use crate::base::keys::PublicKey;
use crate::domain::event::{Event, GaveUp, Reject};
use crate::domain::graph::From;
use crate::domain::lease::Lease;
use crate::domain::ledger::Hold;
use crate::domain::receipt::{Outcome, Receipt};
use crate::domain::verdict::{Ballot, Finding, Found};

impl State {
    /// What a finding about a receipt of this worker counts for, where all are asked.
    pub(super) fn ballot(
        &self,
        receipt: &Receipt,
        worker: PublicKey,
        finding: Finding,
    ) -> Result<Ballot, Reject> {
        match finding {
            Finding::Object { found: Found::Lost(artifact), .. } => {
                match self.is_to_keep(receipt, worker, artifact).ok_or(Reject::BadReceipt)? {
                    true => Ok(Ballot::Object),
                    false => Ok(Ballot::Lost(artifact)),
                }
            }
            Finding::Object { .. } => Ok(Ballot::Object),
            Finding::Deny { .. } | Finding::Agree => Ok(Ballot::Deny),
        }
    }

    /// Whether the worker of a receipt has to keep an artifact that it takes to check it; none if
    /// it takes no such artifact.
    fn is_to_keep(&self, receipt: &Receipt, worker: PublicKey, artifact: Digest) -> Option<bool> {
        if let Outcome::Done(claims) = &receipt.outcome {
            let mut named =
                claims.iter().flat_map(|claim| claim.outputs.iter().chain(&claim.segments));
            if named.any(|digest| *digest == artifact) {
                return Some(true);
            }
        }
        let block = receipt.lease.block;
        let run = self.runs.get(&block.run)?;
        let jobs = &run.plan.blocks.get(block.index as usize)?.jobs;
        let edges = jobs.iter().filter_map(|id| run.plan.job(*id)).flat_map(|job| &job.inputs);
        let mut is_input = false;
        for edge in edges {
            match &edge.from {
                From::Source { digest, .. } => is_input |= *digest == artifact,
                From::Job { id, .. } => {
                    let Some(known) = run.result(*id) else { continue };
                    if known.outputs.contains(&artifact) {
                        if known.worker == worker {
                            return Some(true);
                        }
                        is_input = true;
                    }
                }
            }
        }
        is_input.then_some(false)
    }

    /// A receipt that nobody can check: its worker is not paid and keeps its bond. Who computed the
    /// block again would have nothing to compute it from.
    pub(super) fn void(&mut self, lease: Lease, artifact: Digest, events: &mut Vec<Event>) {
        let returned = self.ledger.void(Hold::Bond(lease.id));
        assert!(returned.is_ok(), "R-3: the bond of a live lease ends once");
        self.release(&lease);
        events.push(Event::Voided { lease: lease.id, worker: lease.worker, artifact });
        let block = lease.id.block;
        if !self.is_wanted_again(block) {
            self.take_back(block, Phase::Void);
            self.touched.insert(block.run);
            return;
        }
        self.take_back(block, Phase::Waiting);
        self.give_up(block, GaveUp::Lost, events);
        self.decide_lot(block);
    }
}
