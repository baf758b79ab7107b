//! Fees: what commands cost beside what they are about. All of it is burned: nobody gains by what
//! nobody needs. Never says whether a command is refused for any other reason: `order` does.
//!
//! | command                                        | costs its author                           |
//! |------------------------------------------------|--------------------------------------------|
//! | an answer to what this fold asks: of a lease, a tender, an audit, a dispute | nothing       |
//! | heartbeats of which one is due                 | nothing                                    |
//! | a challenge, an accusation that holds          | nothing: it has a deposit, or a culprit    |
//! | the end of one's own run or bid, a pause, a stake that is to leave | nothing                |
//! | a submission                                   | a fee, and one for each `JOBS_PER_FEE` jobs |
//! | bytes for the store                            | a fee, and `gas_per_kib` for each KiB       |
//! | anything else                                  | a fee, done or refused                     |
//! | what is refused                                | `reject_fee`; a validator's nothing        |

use super::State;
use super::run::{Phase, Run, Status};
use crate::base::amount::{Ohc, Rounding, SUPPLY};
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::base::limits::JOBS_PER_FEE;
use crate::domain::command::{Beat, Command};
use crate::domain::event::{Event, Reject};
use crate::domain::ledger::Payee;
use std::collections::BTreeMap;

/// A heartbeat counts as asked for once this part of the time is over in which one must come.
const BEATS_PER_SILENCE: u64 = 8;

impl State {
    /// What a client pays for a submission whose plan has so many jobs: every node makes the plan,
    /// and keeps what became of it.
    #[must_use]
    pub fn submission_fee(&self, jobs: usize) -> Ohc {
        self.params.order_fee.checked_add(self.plan_fee(jobs)).unwrap_or(SUPPLY)
    }

    /// What it costs to bring so many bytes to the store: as much for each KiB as a block pays for
    /// outputs, which stay there too.
    #[must_use]
    pub fn upload_fee(&self, bytes: u64) -> Ohc {
        let fee = self.params.gas_per_kib.ratio(bytes.div_ceil(1024), 1, Rounding::Ceil);
        fee.and_then(|fee| fee.checked_add(self.params.order_fee)).unwrap_or(SUPPLY)
    }

    fn plan_fee(&self, jobs: usize) -> Ohc {
        let fee = self.params.order_fee.ratio(jobs as u64, JOBS_PER_FEE, Rounding::Ceil);
        fee.unwrap_or(SUPPLY)
    }

    /// Has a client pay for a plan of so many jobs, if the budget is there still; returns all that
    /// the submission cost.
    pub(super) fn pay_plan(
        &mut self,
        client: PublicKey,
        budget: Ohc,
        jobs: usize,
        events: &mut Vec<Event>,
    ) -> Result<Ohc, Reject> {
        let fee = self.plan_fee(jobs);
        let due = budget.checked_add(fee).ok_or(Reject::Short)?;
        if self.ledger.account(&client).balance < due {
            return Err(Reject::Short);
        }
        self.pay(client, fee, events)?;
        Ok(self.submission_fee(jobs))
    }

    /// What a command costs that nothing has asked for, but a submission: to let a run go on, say.
    #[must_use]
    pub fn order_fee(&self) -> Ohc {
        self.params.order_fee
    }

    /// Has the author pay for a command before it is looked at.
    pub(super) fn pay_for(
        &mut self,
        author: PublicKey,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let run = match command {
            // Whoever cannot pay must be able to stop what costs him more.
            Command::Cancel { run } | Command::Pause { run } if self.stands(author, *run) => {
                return Ok(());
            }
            Command::Withdraw if self.workers.get(&author).is_some_and(|me| me.bid.is_some()) => {
                return Ok(());
            }
            Command::Unbond { .. } => return Ok(()),
            Command::Heartbeat(beats) if beats.iter().any(|beat| self.is_due(author, beat)) => {
                return Ok(());
            }
            Command::Deliver(_)
            | Command::Seal(_)
            | Command::Open(_)
            | Command::Tender(_)
            | Command::Tell(_)
            | Command::Judge(_)
            | Command::Reveal(_)
            | Command::SealVerdicts(_)
            | Command::Bisect(_)
            | Command::Challenge { .. }
            | Command::Accuse(_) => return Ok(()),
            Command::Cancel { run } | Command::Pause { run } | Command::Resume { run, .. } => {
                Some(*run)
            }
            // And for the plan, once there is one.
            Command::Submit(_)
            | Command::Transfer { .. }
            | Command::Bid(_)
            | Command::BidFor { .. }
            | Command::Withdraw
            | Command::Heartbeat(_)
            | Command::Bond { .. } => None,
            Command::Upload { bytes } => return self.pay(author, self.upload_fee(*bytes), events),
        };
        self.pay(author, self.params.order_fee, events)?;
        self.bill_fee(author, run);
        Ok(())
    }

    /// Burns a fee.
    pub(super) fn pay(
        &mut self,
        author: PublicKey,
        fee: Ohc,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        if fee > Ohc::ZERO {
            self.ledger.burn(author, fee).map_err(|_| Reject::Short)?;
            events.push(Event::Fee { author, fee });
        }
        Ok(())
    }

    /// Whether a run of one's own goes on, or stands still.
    fn stands(&self, author: PublicKey, run: RunId) -> bool {
        let stands = |run: &Run| matches!(run.status, Status::Running | Status::Paused(_));
        self.runs.get(&run).is_some_and(|run| run.client == author && stands(run))
    }

    /// What was paid for a command about a run of one's own is on its bill, until that is closed.
    fn bill_fee(&mut self, author: PublicKey, run: Option<RunId>) {
        let run = run.and_then(|run| self.runs.get_mut(&run));
        if let Some(run) = run.filter(|run| run.client == author && !run.is_over()) {
            run.fees = run.fees.checked_add(self.params.order_fee).unwrap_or(run.fees);
        }
    }

    /// Whether a lease is to have a sign of life by now.
    fn is_due(&self, author: PublicKey, beat: &Beat) -> bool {
        let Some(Phase::Leased(lease)) = self.phase(beat.lease.block) else { return false };
        let silence = self.params.heartbeat_ticks;
        let next = silence.saturating_sub(silence / BEATS_PER_SILENCE);
        lease.id == beat.lease
            && lease.worker == author
            && lease.silent_until <= self.now().after(next)
    }

    /// Whoever was refused at this slot pays a fee for each time, as far as its balance goes. Not
    /// for a replay, which anybody can send in another's name, a lapse, which has its price, or
    /// what others had sent to the same slot; and not a validator, whose verdict may come when the
    /// others have decided.
    pub(super) fn charge_refused(&mut self, events: &mut Vec<Event>) {
        let mut refused: BTreeMap<PublicKey, u32> = BTreeMap::new();
        for event in events.iter() {
            if let Event::Rejected { author, reason, .. } = event
                && !matches!(reason, Reject::Replayed | Reject::Lapsed | Reject::Crowded)
                && !self.validators.contains_key(author)
            {
                *refused.entry(*author).or_default() += 1;
            }
        }
        for (author, refused) in refused {
            let fee = self.params.reject_fee.nano().saturating_mul(u64::from(refused));
            let fee = self.ledger.fine(author, Ohc::from_nano(fee), &[(Payee::Burn, 1)]);
            if fee > Ohc::ZERO {
                events.push(Event::Charged { author, refused, fee });
            }
        }
    }
}
