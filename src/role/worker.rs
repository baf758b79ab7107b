//! The worker: bids, asks for computation of what it was leased, delivers receipts.
//! Never computes or fetches anything itself, and keeps nothing that the log does not know: after
//! a restart its leases are in the state, and it works on them again.

use super::{Machine, Signer, Witness};
use crate::base::canon::Encode;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::limits::{BATCH_MAX, MESSAGE_BYTES_MAX};
use crate::base::time::Millis;
use crate::domain::bisection::Move;
use crate::domain::command::{Beat, Bid, Command, SignedOrder};
use crate::domain::receipt::{Outcome, Receipt};
use crate::domain::state::run::Phase;
use crate::domain::state::{Assignment, Query, State};
use std::collections::{BTreeMap, BTreeSet};

/// A message that was not folded after so long is sent again.
const RESEND_MS: u64 = 2_000;

/// Receipts of one message; what does not fit goes into the next.
const DELIVER_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// What can happen to a worker.
#[derive(Debug)]
pub enum Input {
    /// A slot was folded.
    Folded,
    /// A computation is over.
    Computed(LeaseId, Outcome),
    /// A computation got so far.
    Progress(LeaseId, u64),
    /// A state of a disputed segment was computed again.
    Traced(Move),
    /// Take on nothing more.
    Drain,
    /// The deadline has come.
    Wake,
}

/// What a worker wants to happen.
#[derive(Debug)]
pub enum Output {
    /// This goes to the validators.
    Send(SignedOrder),
    /// Compute this.
    Compute(Assignment),
    /// Nobody waits for this any more.
    Stop(LeaseId),
    /// Somebody objects to a receipt: compute this state again, and store it.
    Trace(Box<Query>),
}

#[derive(Debug)]
enum Doing {
    Computing { step: u64 },
    Delivering { outcome: Outcome, sent: Option<Sent> },
}

/// When a receipt was sent last, and under which number.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Millis,
    number: u64,
}

/// One worker.
#[derive(Debug)]
pub struct Worker {
    signer: Signer,
    bid: Option<Bid>,
    bid_sent: Option<Millis>,
    doing: BTreeMap<LeaseId, Doing>,
    /// Commands with receipts that may not have been folded yet, by their number.
    under_way: BTreeMap<u64, SignedOrder>,
    beaten: Millis,
    witness: Witness,
}

impl Worker {
    /// A worker that will bid like this.
    #[must_use]
    pub fn new(signer: Signer, bid: Bid) -> Self {
        let (doing, under_way) = (BTreeMap::new(), BTreeMap::new());
        let (bid, beaten, witness) = (Some(bid), Millis(0), Witness::default());
        Self { signer, bid, bid_sent: None, doing, under_way, beaten, witness }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.signer.public()
    }

    /// Begins what was leased, forgets what was taken away, and keeps its bid standing.
    fn follow(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let me = self.key();
        let known = state.workers().get(&me);
        let none = BTreeSet::new();
        let leases = known.map_or(&none, |worker| &worker.leases);
        self.doing.retain(|lease, doing| {
            // A delivered lease is held until it is settled, but there is nothing left to do.
            let open = leases.contains(lease) && is_leased(state, *lease);
            if !open && matches!(doing, Doing::Computing { .. }) {
                out.push(Output::Stop(*lease));
            }
            open
        });
        for lease in leases {
            if self.doing.contains_key(lease) {
                continue;
            }
            if let Some(assignment) = state.assignment(*lease) {
                self.doing.insert(*lease, Doing::Computing { step: 0 });
                out.push(Output::Compute(assignment));
            }
        }
        let queries = self.witness.follow(&self.signer, state, leases.iter().copied());
        out.extend(queries.into_iter().map(|query| Output::Trace(Box::new(query))));
        let standing = known.and_then(|worker| worker.bid);
        if standing != self.bid && self.bid_sent.is_none_or(|at| now >= at.after(RESEND_MS)) {
            self.bid_sent = Some(now);
            let command = self.bid.map_or(Command::Withdraw, Command::Bid);
            out.push(Output::Send(self.signer.order(state, command)));
        } else if standing == self.bid {
            self.bid_sent = None;
        }
    }

    /// Sends what is computed; what was not folded in time again, under its old number while that
    /// may still count: two copies of one command cost nothing, a receipt that is told twice does.
    fn deliver(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let folded = state.nonce(&self.key());
        self.under_way.retain(|number, _| *number > folded);
        let due = |sent: &Option<Sent>| sent.is_none_or(|sent| now >= sent.at.after(RESEND_MS));
        let (mut batch, mut bytes, mut again) = (Vec::new(), 0usize, BTreeSet::new());
        for (lease, doing) in &self.doing {
            let Doing::Delivering { outcome, sent } = doing else { continue };
            if !due(sent) || batch.len() >= BATCH_MAX {
                continue;
            }
            if let Some(Sent { number, .. }) = sent
                && self.under_way.contains_key(number)
            {
                again.insert(*number);
                continue;
            }
            let receipt = Receipt { lease: *lease, outcome: outcome.clone() };
            bytes += receipt.to_bytes().len();
            // One that is too large alone is sent all the same: to be refused, not to wait.
            if bytes > DELIVER_BYTES_MAX && !batch.is_empty() {
                break;
            }
            batch.push(receipt);
        }
        for number in again {
            self.mark(now, |_, sent| sent.is_some_and(|sent| sent.number == number), number);
            out.extend(self.under_way.get(&number).cloned().map(Output::Send));
        }
        if !batch.is_empty() {
            let leases: BTreeSet<LeaseId> = batch.iter().map(|receipt| receipt.lease).collect();
            let order = self.signer.order(state, Command::Deliver(batch));
            let number = order.body.nonce;
            self.mark(now, |lease, _| leases.contains(lease), number);
            self.under_way.insert(number, order.clone());
            out.push(Output::Send(order));
        }
    }

    /// Notes that these receipts have just been sent under this number.
    fn mark(&mut self, at: Millis, is: impl Fn(&LeaseId, &Option<Sent>) -> bool, number: u64) {
        for (lease, doing) in &mut self.doing {
            if let Doing::Delivering { sent, .. } = doing
                && is(lease, sent)
            {
                *sent = Some(Sent { at, number });
            }
        }
    }

    fn beat(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let computing = |(lease, doing): (&LeaseId, &Doing)| match doing {
            Doing::Computing { step } => Some(Beat { lease: *lease, step: *step }),
            Doing::Delivering { .. } => None,
        };
        let beats: Vec<Beat> = self.doing.iter().filter_map(computing).take(BATCH_MAX).collect();
        if !beats.is_empty() && now >= self.beaten.after(beat_ms(state)) {
            self.beaten = now;
            out.push(Output::Send(self.signer.order(state, Command::Heartbeat(beats))));
        }
    }
}

/// Three beats fit into the time after which a silent lease lapses.
fn beat_ms(state: &State) -> u64 {
    let params = state.params();
    params.heartbeat_ticks.saturating_mul(1_000) / params.ticks_per_second.max(1) / 3
}

fn is_leased(state: &State, lease: LeaseId) -> bool {
    let run = state.runs().get(&lease.block.run);
    let block = run.and_then(|run| run.block(lease.block.index));
    block.is_some_and(|block| matches!(&block.phase, Phase::Leased(held) if held.id == lease))
}

impl Machine for Worker {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Millis, state: &State, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Folded => {
                if self.doing.is_empty() {
                    self.beaten = now;
                }
                self.follow(now, state, out);
            }
            Input::Computed(lease, outcome) => {
                // A result that nobody waits for (the lease lapsed meanwhile) is dropped.
                if let Some(doing) = self.doing.get_mut(&lease) {
                    *doing = Doing::Delivering { outcome, sent: None };
                }
            }
            Input::Progress(lease, reached) => {
                if let Some(Doing::Computing { step }) = self.doing.get_mut(&lease) {
                    *step = reached.max(*step);
                }
            }
            Input::Traced(said) => self.witness.traced(said),
            Input::Drain => {
                self.bid = None;
                self.follow(now, state, out);
            }
            Input::Wake => {
                self.deliver(now, state, out);
                self.beat(now, state, out);
                out.extend(self.witness.speak(now, &mut self.signer, state).map(Output::Send));
                self.follow(now, state, out);
            }
        }
    }

    fn deadline(&self, state: &State) -> Option<Millis> {
        let of = |doing: &Doing| match doing {
            Doing::Computing { .. } => self.beaten.after(beat_ms(state)),
            Doing::Delivering { sent: None, .. } => Millis(0),
            Doing::Delivering { sent: Some(sent), .. } => sent.at.after(RESEND_MS),
        };
        let bid = self.bid_sent.map(|at| at.after(RESEND_MS));
        self.doing.values().map(of).chain(bid).chain(self.witness.deadline()).min()
    }
}
