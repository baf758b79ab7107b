//! The worker: bids, asks for computation of what it was leased, delivers receipts.
//! Never computes or fetches anything itself, and keeps nothing that the log does not know: after
//! a restart its leases are in the state, and it works on them again.

use super::{Machine, Signer, Witness};
use crate::base::amount::Price;
use crate::base::canon::Encode;
use crate::base::ids::{BlockId, LeaseId};
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::limits::{BATCH_MAX, MESSAGE_BYTES_MAX};
use crate::base::time::Millis;
use crate::domain::bisection::Move;
use crate::domain::classes::Classes;
use crate::domain::command::{Beat, Bid, Command, Revealed, SignedOrder, Tender};
use crate::domain::receipt::{Opening, Outcome, Receipt, Seal};
use crate::domain::state::{Asked, Assignment, Query, State, TenderAsked};
use std::collections::{BTreeMap, BTreeSet};

/// A message that was not folded after so long is sent again.
const RESEND_MS: u64 = 2_000;

/// A bid that was folded and does not stand is placed again after so long at the most: at first as
/// soon as a message is sent again, then after twice as long each time. Where all places are taken
/// every further bid costs its fee for nothing.
const BID_AGAIN_MS_MAX: u64 = 60_000;

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
    /// Take on work at this bid, from now on.
    Offer(Bid),
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
    /// Somebody else bids with this key: two who want different bids would never end.
    Overtaken,
}

#[derive(Debug)]
enum Doing {
    /// How far it is; when it began, or last gave a sign of life.
    Computing {
        step: u64,
        beaten: Millis,
    },
    Delivering {
        outcome: Outcome,
        sent: Option<Sent>,
    },
}

/// When a receipt was sent last, and under which number.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Millis,
    number: u64,
    asked: Asked,
}

/// What goes out at once, by what is asked for.
#[derive(Debug, Default)]
struct Batch {
    leases: BTreeMap<LeaseId, Asked>,
    answers: Vec<Receipt>,
    seals: Vec<Seal>,
    openings: Vec<Opening>,
}

impl Batch {
    fn add(&mut self, asked: Asked, receipt: Receipt, signer: &Signer, state: &State) {
        let lease = receipt.lease;
        self.leases.insert(lease, asked);
        if asked == Asked::Answer {
            return self.answers.push(receipt);
        }
        let salt = signer.salt(state, lease);
        let opening = Opening { receipt, salt };
        match asked {
            Asked::Open => self.openings.push(opening),
            _ => self.seals.push(Seal { lease, seal: opening.seal(signer.public()) }),
        }
    }

    fn commands(&mut self) -> impl Iterator<Item = (Asked, Command)> + use<> {
        let (answers, seals) = (std::mem::take(&mut self.answers), std::mem::take(&mut self.seals));
        let openings = std::mem::take(&mut self.openings);
        let answers = (!answers.is_empty()).then_some((Asked::Answer, Command::Deliver(answers)));
        let seals = (!seals.is_empty()).then_some((Asked::Seal, Command::Seal(seals)));
        let openings = (!openings.is_empty()).then_some((Asked::Open, Command::Open(openings)));
        [answers, seals, openings].into_iter().flatten()
    }
}

/// Whether something is to be sent now, or again.
fn is_due(asked: Asked, sent: &Option<Sent>, now: Millis) -> bool {
    let before = sent.filter(|sent| sent.asked == asked);
    asked != Asked::Nothing && before.is_none_or(|sent| now >= sent.at.after(RESEND_MS))
}

/// What was sent for its bid to be what it wants.
#[derive(Debug)]
struct Bidding {
    order: SignedOrder,
    at: Millis,
    /// How long it waits where it was folded and something else stands.
    patience_ms: u64,
}

impl Bidding {
    /// When something is sent again.
    fn due(&self, signer: &Signer, state: &State) -> Millis {
        let may_count = signer.may_count(state, &self.order);
        self.at.after(if may_count { RESEND_MS } else { self.patience_ms })
    }
}

/// One worker.
#[derive(Debug)]
pub struct Worker {
    signer: Signer,
    bid: Option<Bid>,
    /// The kinds of jobs that it bids for.
    takes: Classes,
    /// What it asks for everywhere: a bid that it sealed is told though it takes on nothing more.
    ask: Price,
    bidding: Option<Bidding>,
    /// The bids that it sent, and whether one of them has stood.
    own: Vec<(Bid, Classes)>,
    has_stood: bool,
    doing: BTreeMap<LeaseId, Doing>,
    /// Sealed auctions in which something was sent, and when.
    tendered: BTreeMap<(BlockId, TenderAsked), Millis>,
    /// Commands with receipts that may not have been folded yet, by their number.
    under_way: BTreeMap<u64, SignedOrder>,
    witness: Witness,
}

impl Worker {
    /// A worker that will bid like this.
    #[must_use]
    pub fn new(signer: Signer, bid: Bid) -> Self {
        Self {
            signer,
            ask: bid.ask,
            bid: Some(bid),
            takes: Classes::ALL,
            bidding: None,
            own: Vec::new(),
            has_stood: false,
            doing: BTreeMap::new(),
            tendered: BTreeMap::new(),
            under_way: BTreeMap::new(),
            witness: Witness::default(),
        }
    }

    /// The same for these kinds of jobs alone.
    #[must_use]
    pub fn taking(self, takes: Classes) -> Self {
        Self { takes, ..self }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.signer.public()
    }

    /// The key, for what is not a command.
    #[must_use]
    pub fn secret(&self) -> &SecretKey {
        self.signer.key()
    }

    /// Asks for this from now on, or for nothing.
    fn offer(&mut self, now: Millis, state: &State, bid: Option<Bid>, out: &mut Vec<Output>) {
        if self.bid != bid {
            (self.bid, self.bidding) = (bid, None);
        }
        self.follow(now, state, out);
    }

    /// Begins what was leased, forgets what was taken away, and keeps its bid standing.
    fn follow(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let me = self.key();
        let known = state.workers().get(&me);
        let none = BTreeSet::new();
        let leases = known.map_or(&none, |worker| &worker.leases);
        self.doing.retain(|lease, doing| {
            // A delivered lease is held until it is settled, but there is nothing left to do.
            let open = leases.contains(lease) && state.asked(*lease).is_some();
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
                self.doing.insert(*lease, Doing::Computing { step: 0, beaten: now });
                out.push(Output::Compute(assignment));
            }
        }
        let queries = self.witness.follow(&self.signer, state, leases.iter().copied());
        out.extend(queries.into_iter().map(|query| Output::Trace(Box::new(query))));
        let standing = known.and_then(|worker| Some((worker.bid?, worker.takes)));
        let wanted = self.bid.map(|bid| (bid, self.takes));
        let is_own = standing.is_none_or(|standing| self.own.contains(&standing));
        self.has_stood |= standing.is_some() && is_own;
        if standing == wanted {
            self.bidding = None;
        } else if self.has_stood && !is_own {
            out.push(Output::Overtaken);
        } else {
            self.stand(now, state, wanted, out);
        }
    }

    /// Has its bid stand, or none.
    fn stand(
        &mut self,
        now: Millis,
        state: &State,
        wanted: Option<(Bid, Classes)>,
        out: &mut Vec<Output>,
    ) {
        let (order, patience_ms) = match self.bidding.take() {
            Some(before) if now < before.due(&self.signer, state) => {
                self.bidding = Some(before);
                return;
            }
            Some(Bidding { order, patience_ms, .. }) => {
                let more = if self.signer.may_count(state, &order) { 1 } else { 2 };
                let order = self.signer.again(state, order);
                (order, (patience_ms * more).min(BID_AGAIN_MS_MAX))
            }
            None => {
                self.own.extend(wanted.filter(|wanted| !self.own.contains(wanted)));
                let command = match wanted {
                    None => Command::Withdraw,
                    Some((bid, Classes::ALL)) => Command::Bid(bid),
                    Some((bid, classes)) => Command::BidFor { bid, classes },
                };
                (self.signer.order(state, command), RESEND_MS)
            }
        };
        out.push(Output::Send(order.clone()));
        self.bidding = Some(Bidding { order, at: now, patience_ms });
    }

    /// Takes part in sealed auctions at the price of its standing bid, and tells what it sealed.
    fn tender(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let me = self.key();
        let known = state.workers().get(&me);
        let standing = known.and_then(|worker| Some((worker.bid?, worker.takes)));
        let (mut bids, mut told, mut open) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (block, asked, offer) in state.tenders(me) {
            let is_due = |at: &Millis| now >= at.after(RESEND_MS);
            open.insert((block, asked));
            if !self.tendered.get(&(block, asked)).is_none_or(is_due) || bids.len() >= BATCH_MAX {
                continue;
            }
            let (TenderAsked::Seal { round } | TenderAsked::Tell { round }) = asked;
            let salt = self.signer.tender_salt(state, block, round);
            let revealed = Revealed { block, ask: self.ask, salt };
            match asked {
                TenderAsked::Seal { round } => {
                    let is_dear = self.ask.of(offer.work).is_none_or(|ask| ask > offer.reserve);
                    let takes = standing.is_some_and(|(bid, takes)| {
                        bid.has.meets(&offer.needs) && takes.has(offer.classes)
                    });
                    if is_dear || !takes {
                        continue;
                    }
                    bids.push(Tender { block, seal: revealed.seal(round, me) });
                }
                TenderAsked::Tell { .. } => told.push(revealed),
            }
            self.tendered.insert((block, asked), now);
        }
        self.tendered.retain(|key, _| open.contains(key));
        for command in [
            (!bids.is_empty()).then_some(Command::Tender(bids)),
            (!told.is_empty()).then_some(Command::Tell(told)),
        ] {
            out.extend(command.map(|command| Output::Send(self.signer.order(state, command))));
        }
    }

    /// Sends what is computed; what was not folded in time again, under its old number while that
    /// may still count: two copies of one command cost nothing, a receipt that is told twice does.
    fn deliver(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let folded = state.nonce(&self.key());
        self.under_way.retain(|number, _| *number > folded);
        let (mut bytes, mut again, mut batch) = (0usize, BTreeSet::new(), Batch::default());
        for (lease, doing) in &self.doing {
            let Doing::Delivering { outcome, sent } = doing else { continue };
            let Some(asked) = state.asked(*lease).filter(|asked| is_due(*asked, sent, now)) else {
                continue;
            };
            if batch.leases.len() >= BATCH_MAX {
                break;
            }
            if let Some(Sent { number, .. }) = sent.filter(|sent| sent.asked == asked)
                && self.under_way.contains_key(&number)
            {
                again.insert(number);
                continue;
            }
            let receipt = Receipt { lease: *lease, outcome: outcome.clone() };
            bytes += receipt.to_bytes().len();
            // One that is too large alone is sent all the same: to be refused, not to wait.
            if bytes > DELIVER_BYTES_MAX && !batch.leases.is_empty() {
                break;
            }
            batch.add(asked, receipt, &self.signer, state);
        }
        for number in again {
            self.mark(|sent| {
                if let Some(sent) = sent.as_mut().filter(|sent| sent.number == number) {
                    sent.at = now;
                }
            });
            out.extend(self.under_way.get(&number).cloned().map(Output::Send));
        }
        for (asked, command) in batch.commands() {
            let order = self.signer.order(state, command);
            let number = order.body.nonce;
            for (lease, doing) in &mut self.doing {
                if let Doing::Delivering { sent, .. } = doing
                    && batch.leases.get(lease) == Some(&asked)
                {
                    *sent = Some(Sent { at: now, number, asked });
                }
            }
            self.under_way.insert(number, order.clone());
            out.push(Output::Send(order));
        }
    }

    fn mark(&mut self, change: impl Fn(&mut Option<Sent>)) {
        for doing in self.doing.values_mut() {
            if let Doing::Delivering { sent, .. } = doing {
                change(sent);
            }
        }
    }

    fn beat(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        // Who computes again what it has sealed is not waited for: it has a time of its own.
        let is_waited_for =
            |lease: &LeaseId| matches!(state.asked(*lease), Some(Asked::Answer | Asked::Seal));
        // A lease that has just begun makes none due: whoever sends one too early pays for it.
        let every = beat_ms(state);
        let (mut beats, mut is_due) = (Vec::new(), false);
        for (lease, doing) in &self.doing {
            if let Doing::Computing { step, beaten } = doing
                && is_waited_for(lease)
                && beats.len() < BATCH_MAX
            {
                is_due |= now >= beaten.after(every);
                beats.push(Beat { lease: *lease, step: *step });
            }
        }
        if !is_due {
            return;
        }
        for beat in &beats {
            if let Some(Doing::Computing { beaten, .. }) = self.doing.get_mut(&beat.lease) {
                *beaten = now;
            }
        }
        out.push(Output::Send(self.signer.order(state, Command::Heartbeat(beats))));
    }
}

/// Three beats fit into the time after which a silent lease lapses.
fn beat_ms(state: &State) -> u64 {
    let params = state.params();
    params.heartbeat_ticks.saturating_mul(1_000) / params.ticks_per_second.max(1) / 3
}

impl Machine for Worker {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Millis, state: &State, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Folded => {
                self.follow(now, state, out);
                self.tender(now, state, out);
            }
            Input::Computed(lease, outcome) => {
                // A result that nobody waits for (the lease lapsed meanwhile) is dropped.
                if let Some(doing) = self.doing.get_mut(&lease) {
                    *doing = Doing::Delivering { outcome, sent: None };
                }
            }
            Input::Progress(lease, reached) => {
                if let Some(Doing::Computing { step, .. }) = self.doing.get_mut(&lease) {
                    *step = reached.max(*step);
                }
            }
            Input::Traced(said) => self.witness.traced(said),
            Input::Drain => self.offer(now, state, None, out),
            Input::Offer(bid) => self.offer(now, state, Some(bid), out),
            Input::Wake => {
                self.deliver(now, state, out);
                self.beat(now, state, out);
                out.extend(self.witness.speak(now, &mut self.signer, state).map(Output::Send));
                self.follow(now, state, out);
            }
        }
    }

    fn deadline(&self, state: &State) -> Option<Millis> {
        let of = |(lease, doing): (&LeaseId, &Doing)| match (doing, state.asked(*lease)?) {
            (Doing::Computing { beaten, .. }, Asked::Answer | Asked::Seal) => {
                Some(beaten.after(beat_ms(state)))
            }
            (Doing::Computing { .. }, Asked::Nothing | Asked::Open)
            | (Doing::Delivering { .. }, Asked::Nothing) => None,
            (Doing::Delivering { sent, .. }, asked) => {
                let before = sent.filter(|sent| sent.asked == asked);
                Some(before.map_or(Millis(0), |sent| sent.at.after(RESEND_MS)))
            }
        };
        let bid = self.bidding.as_ref().map(|bidding| bidding.due(&self.signer, state));
        self.doing.iter().filter_map(of).chain(bid).chain(self.witness.deadline()).min()
    }
}
