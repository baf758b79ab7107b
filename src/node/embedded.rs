//! The embedded network: one validator, workers and a client in one process, on one log.
//! Only joins them. The order of the loop is what makes a crash harmless: a draft is folded,
//! sealed and durable before anything that follows from it is done.
//!
//! Threads: the caller's thread drives all roles; every worker and the auditor compute on a thread
//! of their own (`threads`). They talk in values; nothing is shared but the artifact store.

pub use super::inbox::{Handle, Stopped};

use super::asked::{Asked, Reply};
use super::boot::{Booted, Keys};
use super::inbox::{Done, Told};
use super::notice::Notice;
use super::snapshot::Keeper;
use super::threads::{Inquiry, Wanted, locked, spawn_auditor, spawn_worker};
use super::work::Bench;
use crate::base::amount::{Ohc, Price, Rounding, Work};
use crate::base::canon::{Canonical, Digest, Encode};
use crate::base::ids::RunId;
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::time::Millis;
use crate::domain::command::{Bid, Command, SignedOrder, Submission};
use crate::domain::event::{Event, Reject, events_root};
use crate::domain::genesis::Params;
use crate::domain::slot::Draft;
use crate::domain::state::{Assignment, State};
use crate::effects::artifacts::ArtifactError;
use crate::effects::bus::News;
use crate::effects::clock::Clock;
use crate::effects::machine;
use crate::effects::store::{Store, StoreError};
use crate::effects::{Peril, pass};
use crate::role::{Folded, Machine, Signer, client, validator, worker};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Work that an embedded worker takes on at a time, in units.
const CAPACITY: Work = Work::new(25_000);
/// What an embedded worker asks for, as a share of the base price.
const ASK: (u64, u64) = (4, 5);
/// What a worker is given for its bonds when it has less than half of it.
const PURSE_OHC: u64 = 10_000;

/// Why the network stopped. Everything that was settled is in the log.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The log cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The artifact store cannot be read or written.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// A computation panicked: a bug of ours.
    #[error("a computation stopped unexpectedly: {0}")]
    Panic(String),
    /// It was stopped from outside.
    #[error("stopped before the run came to its end")]
    Stopped(Stopped),
    /// What the client asked for was refused by the rules.
    #[error("the network refuses: {0}")]
    Refused(Reject),
}

/// What happens while a network runs, for whoever watches.
pub enum Happening<'a> {
    /// A slot is durable; this is what it did.
    Folded(&'a State, &'a [Event]),
    /// Something that is not in the log.
    Notice(&'a Notice),
    /// The client's run is known.
    Following(RunId),
    /// The network was asked to stop: what is delivered is settled first.
    Stopping(Stopped),
    /// What happens to the connection to a network.
    News(&'a News),
}

/// What the loop reads.
enum Inbox {
    Done(Done),
    Told(Told),
}

impl From<Done> for Inbox {
    fn from(done: Done) -> Self {
        Self::Done(done)
    }
}

impl From<Told> for Inbox {
    fn from(told: Told) -> Self {
        Self::Told(told)
    }
}

struct Desk {
    machine: worker::Worker,
    orders: Sender<Assignment>,
    wanted: Wanted,
}

/// What an embedded worker bids: a share of the base price, and the machine that it runs on.
#[must_use]
pub fn standing_bid(params: &Params) -> Bid {
    usual_bid(params.base_price)
}

/// What a worker bids that nobody told anything, at a base price.
pub(super) fn usual_bid(base: Price) -> Bid {
    let ask = base.ratio(ASK.0, ASK.1, Rounding::Ceil).unwrap_or(base);
    Bid { ask, capacity: CAPACITY, has: machine::equipment() }
}

/// A running embedded network.
pub struct Embedded {
    clock: Clock,
    state: State,
    parent: Digest,
    store: Arc<Store>,
    keeper: Keeper,
    validator: validator::Validator,
    audits: Sender<Inquiry>,
    desks: Vec<Desk>,
    client: Option<client::Client>,
    inbox: Receiver<Inbox>,
    outbox: Sender<Inbox>,
    finished: Option<RunId>,
    refused: Option<Reject>,
    stopped: Option<Stopped>,
    /// Who waits for commands of the client.
    asked: Asked,
    /// What slots held of the client's that it was not told yet.
    ours: Folded,
}

impl Embedded {
    /// Starts the threads and roles over a booted node. Workers that are short of money for bonds,
    /// of which one may be as much as `bond`, are funded by the client, who owns the network.
    #[must_use]
    pub fn start(booted: Booted, keys: Keys, bench: &Bench, clock: Clock, bond: Ohc) -> Self {
        let Booted { state, parent, store, keeper, .. } = booted;
        let (outbox, inbox) = mpsc::channel();
        let bid = standing_bid(state.params());
        let validator = validator::Validator::new(Signer::new(keys.validator), clock.now());
        let audits = spawn_auditor(bench.clone(), None, outbox.clone());
        let mut this = Self {
            clock,
            state,
            parent,
            store,
            keeper,
            validator,
            audits,
            desks: Vec::new(),
            client: None,
            inbox,
            outbox,
            finished: None,
            refused: None,
            stopped: None,
            asked: Asked::default(),
            ours: Folded::default(),
        };
        let names: Vec<PublicKey> = keys.workers.iter().map(SecretKey::public).collect();
        this.fund(keys.client, &names, bond);
        for key in keys.workers {
            this.seat(key, bid, bench);
        }
        for key in keys.retired {
            let known = this.state.workers().get(&key.public());
            if known.is_some_and(|worker| worker.bid.is_some() || !worker.leases.is_empty()) {
                // It finishes what it holds and leaves: else its leases would have to lapse first.
                let index = this.seat(key, bid, bench);
                this.tell_worker(index, worker::Input::Drain);
            }
        }
        this
    }

    /// Gives a worker a thread to compute on; returns its place.
    fn seat(&mut self, key: SecretKey, bid: Bid, bench: &Bench) -> usize {
        let (index, machine) = (self.desks.len(), worker::Worker::new(Signer::new(key), bid));
        let wanted = Wanted::default();
        let thread = (machine.key(), bench.clone(), self.clock, wanted.clone());
        let orders = spawn_worker(index, thread, self.outbox.clone());
        self.desks.push(Desk { machine, orders, wanted });
        index
    }

    /// What the network has folded so far.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The digest of the last slot's head.
    #[must_use]
    pub fn parent(&self) -> Digest {
        self.parent
    }

    /// A handle to speak to the loop from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.outbox.clone())
    }

    /// Replaces one worker's bench: a test puts a dishonest one here.
    pub fn replace_bench(&mut self, index: usize, bench: Bench) {
        if let Some(desk) = self.desks.get_mut(index) {
            let thread = (desk.machine.key(), bench, self.clock, desk.wanted.clone());
            desk.orders = spawn_worker(index, thread, self.outbox.clone());
        }
    }

    fn fund(&mut self, client: SecretKey, workers: &[PublicKey], bond: Ohc) {
        let mut signer = Signer::new(client);
        // Twice the dearest bond: half of a purse is the least that a worker is left with.
        let dear = bond.ratio(2, 1, Rounding::Ceil).unwrap_or(bond);
        let purse = Ohc::from_whole(PURSE_OHC).unwrap_or_default().max(dear);
        let poor = |key: &PublicKey| {
            let balance = self.state.ledger().account(key).balance;
            let bonds = self.state.workers().get(key).map_or(0, |worker| worker.leases.len());
            bonds == 0 && balance < purse.ratio(1, 2, Rounding::Floor).unwrap_or_default()
        };
        let poor: Vec<PublicKey> = workers.iter().copied().filter(poor).collect();
        for to in poor {
            let order = signer.order(&self.state, Command::Transfer { to, amount: purse });
            self.send(order);
        }
    }

    /// Runs a submission to its end, or until it pauses, fails or is stopped.
    pub fn run(
        &mut self,
        client: SecretKey,
        name: String,
        submission: Submission,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<RunId, Failure> {
        self.serve(client::Client::new(Signer::new(client), name, submission), watch)
    }

    /// Has a client do what it is there for, until it is done or the loop is stopped.
    pub fn serve(
        &mut self,
        client: client::Client,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<RunId, Failure> {
        (self.client, self.finished, self.refused) = (None, None, None);
        self.resume(watch)?;
        // What was sent before, under the same key, is folded first: numbers go up.
        self.turn(watch)?;
        self.client = Some(client);
        loop {
            self.turn(watch)?;
            if let Some(reject) = self.refused {
                return Err(Failure::Refused(reject));
            }
            if let Some(run) = self.finished {
                return Ok(run);
            }
            match self.stopped {
                Some(why) if !self.is_settling() => return Err(Failure::Stopped(why)),
                _ => self.receive(watch)?,
            }
        }
    }

    /// Whether something is delivered, but not settled yet.
    fn is_settling(&self) -> bool {
        self.state.is_restless() || self.state.judging().next().is_some()
    }

    /// All that work are told to take on nothing more. What a worker holds
    /// stays with it: time in the log stands still until somebody goes on.
    fn wind_down(&mut self, why: Stopped) {
        self.stopped = Some(why);
        for index in 0..self.desks.len() {
            self.tell_worker(index, worker::Input::Drain);
        }
    }

    /// Takes the bids back, so that nothing is leased to workers that are gone. Returns the state
    /// after the last slot.
    pub fn stop(mut self, watch: &mut dyn FnMut(Happening<'_>)) -> Result<State, Failure> {
        (self.client, self.finished, self.refused) = (None, None, None);
        self.asked.clear();
        pass(Peril::Stopping);
        for index in 0..self.desks.len() {
            self.tell_worker(index, worker::Input::Drain);
        }
        self.turn(watch)?;
        pass(Peril::Stopped);
        self.keeper.finish(&self.state, self.parent);
        Ok(self.state)
    }

    /// Shows every role the state that it starts from: leases and duties of before go on.
    fn resume(&mut self, watch: &mut dyn FnMut(Happening<'_>)) -> Result<(), Failure> {
        self.tell_validator(validator::Input::Folded, watch)?;
        for index in 0..self.desks.len() {
            self.tell_worker(index, worker::Input::Folded);
        }
        Ok(())
    }

    /// Waits for one message, then takes all that have come: a slot carries many (group commit).
    fn receive(&mut self, watch: &mut dyn FnMut(Happening<'_>)) -> Result<(), Failure> {
        let deadlines = self.desks.iter().map(|desk| desk.machine.deadline(&self.state));
        let client = self.client.as_ref().and_then(|client| client.deadline(&self.state));
        let validator = self.validator.deadline(&self.state);
        let first = match deadlines.chain([client, validator]).flatten().min() {
            Some(deadline) => {
                let wait = Duration::from_millis(deadline.since(self.clock.now()));
                self.inbox.recv_timeout(wait)
            }
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let mut next = first.ok();
        while let Some(message) = next {
            self.take(message, watch)?;
            next = self.inbox.try_recv().ok();
        }
        Ok(())
    }

    fn take(
        &mut self,
        message: Inbox,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<(), Failure> {
        match message {
            Inbox::Done(Done::Notice(index, notice)) => {
                if let Notice::Step { lease, progress } = &notice {
                    self.tell_worker(index, worker::Input::Progress(*lease, progress.step));
                }
                watch(Happening::Notice(&notice));
                Ok(())
            }
            Inbox::Done(Done::Computed(index, lease, outcome)) => {
                let desk = self.desks.get(index);
                // What went wrong for a lease that is over concerns nobody.
                if desk.is_some_and(|desk| locked(&desk.wanted).remove(&lease)) {
                    self.tell_worker(index, worker::Input::Computed(lease, outcome?));
                }
                Ok(())
            }
            Inbox::Done(Done::Checked(matter, verdict)) => {
                self.tell_validator(validator::Input::Checked(matter, verdict?), watch)
            }
            Inbox::Done(Done::Traced(whose, said)) => match (whose, said?) {
                (Some(index), Some(said)) => {
                    self.tell_worker(index, worker::Input::Traced(said));
                    Ok(())
                }
                (None, Some(said)) => self.tell_validator(validator::Input::Traced(said), watch),
                (_, None) => Ok(()), // there is nothing to say: silence loses
            },
            Inbox::Told(Told::Asked(command, reply)) => {
                self.ask(command, &reply);
                Ok(())
            }
            Inbox::Told(Told::Stop(why)) => {
                self.wind_down(why);
                watch(Happening::Stopping(why));
                Ok(())
            }
        }
    }

    /// Wakes every role whose time has come, until none has anything more to do at once.
    fn turn(&mut self, watch: &mut dyn FnMut(Happening<'_>)) -> Result<(), Failure> {
        let mut busy = true;
        while busy && self.finished.is_none() && self.refused.is_none() {
            let now = self.clock.now();
            let due = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= now);
            busy = false;
            for index in 0..self.desks.len() {
                let deadline = self.desks.get(index).map(|d| d.machine.deadline(&self.state));
                if due(deadline.flatten()) {
                    self.tell_worker(index, worker::Input::Wake);
                    busy = true;
                }
            }
            if due(self.client.as_ref().and_then(|client| client.deadline(&self.state))) {
                self.tell_client(client::Input::Wake, watch);
                busy = true;
            }
            if due(self.validator.deadline(&self.state)) {
                self.tell_validator(validator::Input::Wake, watch)?;
                busy = true;
            }
        }
        Ok(())
    }

    fn tell_validator(
        &mut self,
        input: validator::Input,
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<(), Failure> {
        let (now, mut out) = (self.clock.now(), Vec::new());
        self.validator.handle(now, &self.state, input, &mut out);
        for output in out {
            match output {
                // The auditor lives as long as this sender.
                validator::Output::Check(duty) => {
                    let salt = self.validator.salt(&self.state, &duty);
                    drop(self.audits.send(Inquiry::Check(duty, salt)));
                }
                validator::Output::Trace(query) => {
                    drop(self.audits.send(Inquiry::Trace(None, query)));
                }
                validator::Output::Cut(draft) => self.cut(draft, watch)?,
                validator::Output::Send(order) => self.send(order),
            }
        }
        Ok(())
    }

    /// Fold, seal, make durable; only then tell anybody.
    fn cut(&mut self, draft: Draft, watch: &mut dyn FnMut(Happening<'_>)) -> Result<(), Failure> {
        let (height, parent) = (draft.height, self.parent);
        let events = self.state.apply(height, &draft.poh, &draft.commands);
        pass(Peril::SlotFolded);
        let slot = self.validator.seal(&self.state, draft, parent, events_root(&events));
        pass(Peril::SlotSealed);
        self.store.append(height, &slot.to_bytes())?;
        pass(Peril::SlotAppended);
        self.parent = slot.head.digest();
        if let Some(client) = &self.client {
            self.ours.add(&client.key(), &slot.commands, &events);
        }
        self.keeper.folded(&events, &self.state, self.parent);
        watch(Happening::Folded(&self.state, &events));
        self.tell_validator(validator::Input::Folded, watch)?;
        for index in 0..self.desks.len() {
            self.tell_worker(index, worker::Input::Folded);
        }
        // What follows from this slot may have been told before, with what followed from that.
        let ours = std::mem::take(&mut self.ours);
        let overtaken = self.asked.folded(&ours, &self.state);
        self.tell_client(client::Input::Folded(ours), watch);
        overtaken.into_iter().for_each(|(command, reply)| self.ask(command, &reply));
        pass(Peril::SlotTold);
        Ok(())
    }

    /// Has the client send a command for somebody else, who waits for what becomes of it.
    fn ask(&mut self, command: Command, reply: &Reply) {
        let Some(client) = &mut self.client else { return };
        let mut out = Vec::new();
        client.handle(self.clock.now(), &self.state, client::Input::Ask(command), &mut out);
        for output in out {
            if let client::Output::Send(order) = output {
                self.asked.add(order.clone(), reply.clone());
                self.send(order);
            }
        }
    }

    fn tell_worker(&mut self, index: usize, input: worker::Input) {
        let Some(desk) = self.desks.get_mut(index) else { return };
        let mut out = Vec::new();
        desk.machine.handle(self.clock.now(), &self.state, input, &mut out);
        for output in out {
            match output {
                worker::Output::Send(order) => {
                    pass(Peril::WorkerSends);
                    self.send(order);
                }
                worker::Output::Compute(assignment) => {
                    if let Some(desk) = self.desks.get(index) {
                        locked(&desk.wanted).insert(assignment.lease);
                        // The thread lives as long as this sender.
                        drop(desk.orders.send(assignment));
                    }
                }
                worker::Output::Trace(query) => {
                    drop(self.audits.send(Inquiry::Trace(Some(index), query)));
                }
                // Its keys are its own: nobody else has its home.
                worker::Output::Overtaken => {}
                // The thread finishes what it has begun, and skips what it has not.
                worker::Output::Stop(lease) => {
                    if let Some(desk) = self.desks.get(index) {
                        locked(&desk.wanted).remove(&lease);
                    }
                }
            }
        }
    }

    fn tell_client(&mut self, input: client::Input, watch: &mut dyn FnMut(Happening<'_>)) {
        let Some(client) = &mut self.client else { return };
        let mut out = Vec::new();
        client.handle(self.clock.now(), &self.state, input, &mut out);
        for output in out {
            match output {
                client::Output::Send(order) => {
                    pass(Peril::ClientSends);
                    self.send(order);
                }
                client::Output::Following(run) => watch(Happening::Following(run)),
                client::Output::Finished(run) => self.finished = Some(run),
                client::Output::Refused(reject) => self.refused = Some(reject),
            }
        }
    }

    /// The in-process bus: a command reaches the validator at once, which checks it like any.
    fn send(&mut self, order: SignedOrder) {
        let (now, input) = (self.clock.now(), validator::Input::Command(order));
        self.validator.handle(now, &self.state, input, &mut Vec::new());
    }
}
