//! A worker of a network, as a process: follows the log, bids, computes what it is leased,
//! delivers, and is paid. Only joins the role to the bus, the log and the threads: never decides
//! what the role decides.
//!
//! Commands are sent and may be lost: the role sends again what does not show in the log. It begins
//! when the copy of the log is as far as the network is, so that it bids in the auctions of now and
//! takes nothing for leased that was settled long ago.

mod crew;
mod gauge;
mod hours;

pub use hours::Hours;

use super::embedded::Failure;
use super::follow::{Follower, Heard, LongAgo, Replica};
use super::home::Home;
use super::inbox::{self, Done, Handle, Told};
use super::link::{self, LinkError};
use super::network::Network;
use super::notice::Notice;
use super::presign::Asker;
use super::wire::Wire;
use super::words::Speaker;
use super::work::Bench;
use crate::base::amount::{Ohc, Price, Work};
use crate::base::ids::LeaseId;
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::time::{Height, Millis};
use crate::compute::kernel::cores;
use crate::domain::classes::Classes;
use crate::domain::command::{Bid, SignedOrder};
use crate::domain::event::Event;
use crate::domain::state::{State, Worker as Known};
use crate::effects::artifacts::{ArtifactError, Artifacts, Presigner};
use crate::effects::bus::Bus;
pub use crate::effects::bus::News;
use crate::effects::clock::{Clock, wall_ms};
use crate::effects::machine;
use crate::role::worker::{Input, Output, Worker};
use crate::role::{Machine, Signer};
use crew::Crew;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often one looks whether its hours have come or are over: the time of day may be set.
const HOURS_MS: u64 = 10_000;
/// It takes on at a time what it does in a second, and at least a few small blocks.
const CAPACITY_MIN: u64 = 1_000;
/// How often it is told that the network is not there yet.
const WAITING_MS: u64 = 5_000;
/// Where it holds nothing it waits so long for the log to say that its bid is gone: the network may
/// have ended before it.
const PARTING_MS: u64 = 10_000;
/// How often a store that is away is looked for, and how long that may take.
const STORE_MS: u64 = 2_000;
const STORE_LOOK: Duration = Duration::from_secs(1);
/// So long what was sent last may take to leave the process.
const FLUSH: Duration = Duration::from_secs(2);

/// What a worker offers.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// What it asks for; a share of the network's base price where nothing is said.
    pub ask: Option<Price>,
    /// Work that it takes on at a time, in units; what it does in a second where nothing is said.
    pub capacity: Option<Work>,
    /// The kinds of jobs that it takes on.
    pub classes: Classes,
    /// Blocks that it computes at a time, and cores that they use together.
    pub threads: usize,
    /// When in a day it takes on work; always where nothing is said.
    pub hours: Option<Hours>,
    /// Once it was leased so many blocks it takes on no more, and ends when they are done.
    pub blocks_max: Option<u64>,
    /// Whether validators sign its requests to the store: it has no credentials of its own.
    pub is_presigned: bool,
}

/// What can be seen of a worker.
pub enum Sight<'a> {
    /// It waits for the network: so far it is, and so far the network is, if somebody said.
    Waiting(Height, Option<Height>),
    /// It has all of the log, and begins.
    Ready(&'a State, &'a Bid, Classes),
    /// A slot is final; this is what it did.
    Folded(&'a State, &'a [Event]),
    /// What a thread is at.
    Notice(&'a Notice),
    /// What happens to the connection.
    News(&'a News),
    /// Something that is not the worker's fault keeps it from this block; it is tried again.
    Trouble(LeaseId, &'a Failure),
    /// So many units of work it does in a second, by a short training; and so many graphics cards
    /// are there, which no kernel uses.
    Measured(Option<u64>, usize),
    /// It does not reach the store, or hears nothing of it: it takes on nothing until it does.
    Storeless(Option<&'a ArtifactError>),
    /// Its hours are over, or have come.
    Resting(bool, Hours),
    /// It takes on nothing more, and finishes what it holds: so many leases.
    Draining(usize),
    /// Its log rests on who validated long ago.
    LongAgo(LongAgo),
}

/// How it is shown, and stopped.
pub struct Hooks<'a> {
    /// Is handed a way to stop it.
    pub begun: &'a mut dyn FnMut(Handle),
    /// Is told what happens.
    pub watch: &'a mut dyn FnMut(Sight<'_>),
}

/// What the loop reads.
type Inbox = inbox::Inbox<Infallible>;

/// A worker at work.
struct Shift<'a> {
    clock: Clock,
    bus: Bus,
    wire: Wire,
    follower: Follower,
    machine: Worker,
    /// Has its requests to the store signed, where it has no credentials.
    asker: Option<Arc<Asker>>,
    bid: Bid,
    classes: Classes,
    crew: Crew,
    inbox: Receiver<Inbox>,
    watch: &'a mut dyn FnMut(Sight<'_>),
    speaker: Speaker,
    is_ready: bool,
    /// Whether somebody else works with its key.
    is_overtaken: bool,
    /// Since when it takes on nothing more.
    draining: Option<Millis>,
    is_resting: bool,
    /// The store that all nodes reach, where no validator signs what it asks of it.
    store: Option<(Arc<Artifacts>, tokio::runtime::Handle)>,
    /// Whether it was not there when it was looked for last, and when that is done again.
    is_away: bool,
    store_at: Millis,
    hours: Option<Hours>,
    look_at: Millis,
    /// Blocks that it was leased, and how many are enough.
    leased: u64,
    blocks_max: Option<u64>,
    tell_at: Millis,
}

/// Works until it is stopped and has finished what it holds. Gives what it earned in all.
pub fn work(
    network: &Network,
    (home, key): (&Home, SecretKey),
    offer: Offer,
    runtime: &Runtime,
    hooks: Hooks<'_>,
) -> Result<Ohc, LinkError> {
    let asker = offer.is_presigned.then(|| Arc::new(Asker::worker(network.id(), key.clone())));
    let presigner = asker.clone().map(|asker| asker as Arc<dyn Presigner>);
    let booted = link::open(network, home, presigner)?;
    let bench = Bench::new(booted.artifacts.clone(), runtime.handle().clone());
    let store = (booted.artifacts.clone(), runtime.handle().clone());
    let store = asker.is_none().then_some(store);
    let (outbox, inbox) = mpsc::channel::<Inbox>();
    (hooks.begun)(Handle::new(outbox.clone()));
    let (me, clock) = (key.public(), Clock::start());
    cores::limit(offer.threads);
    let pace = if offer.capacity.is_none() { gauge::measure(offer.threads) } else { None };
    if offer.capacity.is_none() {
        (hooks.watch)(Sight::Measured(pace, machine::graphics_cards()));
    }
    let name = format!("ohc worker {}", me.short());
    let (ends, mut show) = ((&outbox, &inbox), |news: &News| (hooks.watch)(Sight::News(news)));
    let Some(bus) = link::join(network, (&me, &name), runtime.handle(), ends, &mut show)? else {
        return Ok(earned(&booted.state, &me));
    };
    if let Some(asker) = &asker {
        asker.connect(bus.clone());
        asker.folded(&booted.state);
    }
    let bid = bid(booted.state.params().base_price, offer, pace);
    let follower = Follower::start(&bus, Replica::new(booted), &outbox)?;
    let crew = Crew::start(offer.threads, (me, &bench, clock), &outbox);
    let mut shift = Shift {
        clock,
        wire: Wire::new(network.id()),
        bus,
        follower,
        machine: Worker::new(Signer::new(key), bid).taking(offer.classes),
        asker,
        bid,
        classes: offer.classes,
        crew,
        inbox,
        watch: hooks.watch,
        speaker: Speaker::new(),
        is_ready: false,
        is_overtaken: false,
        draining: None,
        is_resting: false,
        store,
        is_away: false,
        store_at: Millis(0),
        hours: offer.hours,
        look_at: Millis(0),
        leased: 0,
        blocks_max: offer.blocks_max,
        tell_at: clock.now().after(WAITING_MS),
    };
    shift.run()?;
    let earned = earned(shift.follower.state(), &me);
    // What it said last is no loss: it is gone from the log's point of view either way.
    drop(shift.bus.flush(FLUSH));
    drop(shift.follower.into_replica().finish());
    Ok(earned)
}

/// What a worker bids that does so much in a second.
fn bid(base: Price, offer: Offer, pace: Option<u64>) -> Bid {
    let usual = super::embedded::usual_bid(base);
    let capacity = Work::new(pace.unwrap_or_default().max(CAPACITY_MIN));
    Bid {
        ask: offer.ask.unwrap_or(usual.ask),
        capacity: offer.capacity.unwrap_or(capacity),
        has: usual.has,
    }
}

/// What a worker was paid so far.
#[must_use]
pub fn earned(state: &State, worker: &PublicKey) -> Ohc {
    state.workers().get(worker).map(|worker| worker.earned).unwrap_or_default()
}

impl Shift<'_> {
    fn run(&mut self) -> Result<(), LinkError> {
        while !self.is_over() {
            if self.is_overtaken {
                return Err(LinkError::Doubled);
            }
            self.turn();
            match self.receive() {
                Ok(first) => {
                    let mut next = Some(first);
                    while let Some(message) = next {
                        self.take(message)?;
                        next = self.inbox.try_recv().ok();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Whether it has nothing left to do and was asked to stop.
    fn is_over(&self) -> bool {
        let Some(since) = self.draining else { return false };
        let is_late = self.clock.now() >= since.after(PARTING_MS);
        let known = self.follower.state().workers().get(&self.machine.key());
        let is_free = |me: &Known| me.leases.is_empty() && (me.bid.is_none() || is_late);
        !self.is_ready || known.is_none_or(is_free)
    }

    fn receive(&self) -> Result<Inbox, RecvTimeoutError> {
        let machine = self.machine.deadline(self.follower.state()).filter(|_| self.is_ready);
        let waiting = (!self.is_ready).then_some(self.tell_at);
        let looks = self.hours.filter(|_| self.is_ready).map(|_| self.look_at);
        let (follower, crew) = (self.follower.deadline(), self.crew.deadline());
        let parting = self.draining.map(|since| since.after(PARTING_MS));
        let parting = parting.filter(|at| *at > self.clock.now());
        let store = self.is_away.then_some(self.store_at);
        let speaks = self.speaker.deadline();
        let all = [machine, waiting, looks, follower, crew, speaks, parting, store];
        match all.into_iter().flatten().min() {
            Some(at) => self.inbox.recv_timeout(Duration::from_millis(at.since(self.clock.now()))),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Wakes everybody whose time has come.
    fn turn(&mut self) {
        let now = self.clock.now();
        let due = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= now);
        if due(self.follower.deadline()) {
            self.follower.wake(now);
        }
        if due(self.crew.deadline()) {
            self.crew.wake(now);
        }
        if due(self.speaker.deadline()) {
            self.speak();
        }
        if self.is_ready {
            self.keep_hours(now);
            self.look_for_store(now);
            // Once each time: what it does at a wake it does not do at once again.
            if due(self.machine.deadline(self.follower.state())) {
                self.tell(Input::Wake);
            }
        } else if now >= self.tell_at {
            self.tell_at = now.after(WAITING_MS);
            let (here, there) = (self.follower.state().height(), self.follower.target());
            (self.watch)(Sight::Waiting(here, there));
        }
    }

    fn take(&mut self, message: Inbox) -> Result<(), LinkError> {
        match message {
            Inbox::Heard(heard) => self.hear(heard)?,
            Inbox::Done(done) => self.done(done),
            Inbox::Own(never) => match never {},
            Inbox::Told(Told::Stop(_)) if self.draining.is_none() => self.drain(),
            // Nobody asks a worker for anything else.
            Inbox::Told(Told::Stop(_) | Told::Asked(..)) => {}
        }
        Ok(())
    }

    /// Takes on nothing more.
    fn drain(&mut self) {
        self.draining = Some(self.clock.now());
        let held = self.follower.state().workers().get(&self.machine.key());
        (self.watch)(Sight::Draining(held.map_or(0, |me| me.leases.len())));
        if self.is_ready {
            self.tell(Input::Drain);
        }
    }

    /// Takes on work in its hours alone. What it holds it finishes.
    fn keep_hours(&mut self, now: Millis) {
        let is_time = now >= self.look_at && self.draining.is_none();
        let Some(hours) = self.hours.filter(|_| is_time) else { return };
        self.look_at = now.after(HOURS_MS);
        let is_resting = !hours.hold(wall_ms());
        if is_resting != self.is_resting {
            self.is_resting = is_resting;
            (self.watch)(Sight::Resting(is_resting, hours));
            let rests = is_resting || self.is_away;
            self.tell(if rests { Input::Drain } else { Input::Offer(self.bid) });
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<(), LinkError> {
        if let Heard::News(news) = &heard {
            (self.watch)(Sight::News(news));
            if matches!(news, News::Refused(what) if what.contains(".journal.")) {
                self.speaker.hush();
            }
        }
        let (now, is_ready, watch) = (self.clock.now(), self.is_ready, &mut self.watch);
        // What happened before it was there is history.
        let (me, leased) = (self.machine.key(), &mut self.leased);
        let mut shown = |_: &[SignedOrder], state: &State, events: &[Event]| {
            if is_ready {
                let own = |event: &&Event| {
                    matches!(event,
                    Event::Leased { worker, .. } if *worker == me)
                };
                *leased += events.iter().filter(own).count() as u64;
                watch(Sight::Folded(state, events));
            }
        };
        let folded = self.follower.hear(now, heard, &mut shown)?;
        if let Some(asker) = self.asker.as_ref().filter(|_| folded > 0) {
            asker.folded(self.follower.state());
        }
        let is_due = !self.is_ready && self.draining.is_none() && self.follower.is_current();
        if is_due && self.reaches_store(now) {
            self.is_ready = true;
            (self.watch)(Sight::Ready(self.follower.state(), &self.bid, self.classes));
            let long_ago = self.follower.long_ago();
            long_ago.into_iter().for_each(|long_ago| (self.watch)(Sight::LongAgo(long_ago)));
            self.keep_hours(now);
            self.tell(Input::Folded);
        } else if self.is_ready && folded > 0 {
            if self.draining.is_none() && self.blocks_max.is_some_and(|max| self.leased >= max) {
                self.drain();
            }
            self.tell(Input::Folded);
        }
        Ok(())
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Notice(_, notice) => {
                if let Notice::Step { lease, progress } = &notice {
                    self.tell(Input::Progress(*lease, progress.step));
                }
                (self.watch)(Sight::Notice(&notice));
                self.speaker.note(&notice);
            }
            Done::Computed(thread, lease, outcome) => {
                // Before the answer, with which nobody listens any more.
                self.speak();
                self.speaker.end(lease);
                let Some(assignment) = self.crew.done(thread, lease) else { return };
                match outcome {
                    Ok(outcome) => self.tell(Input::Computed(lease, outcome)),
                    Err(failure) => {
                        (self.watch)(Sight::Trouble(lease, &failure));
                        let now = self.clock.now();
                        self.crew.again(now, assignment);
                        self.rest_without_store(now);
                    }
                }
            }
            Done::Traced(_, Ok(Some(said))) => self.tell(Input::Traced(said)),
            // There is nothing to say: silence loses. And nobody asks a worker for verdicts.
            Done::Traced(..) | Done::Checked(..) => {}
        }
    }

    /// Whether what it would be leased can be fetched. The store of a log without runs may not have
    /// been begun.
    fn reaches_store(&mut self, now: Millis) -> bool {
        let Some((store, runtime)) = &self.store else { return true };
        if self.follower.state().runs().is_empty() {
            return true;
        }
        if now < self.store_at {
            return false;
        }
        self.store_at = now.after(STORE_MS);
        let look = async { tokio::time::timeout(STORE_LOOK, store.check_begun()).await };
        let failure = match runtime.block_on(look) {
            Ok(Ok(())) => return true,
            Ok(Err(failure)) => Some(failure),
            Err(_) => None,
        };
        (self.watch)(Sight::Storeless(failure.as_ref()));
        false
    }

    /// Takes on nothing more while the store is away. What it holds waits for it.
    fn rest_without_store(&mut self, now: Millis) {
        if !self.is_away && now >= self.store_at && !self.reaches_store(now) {
            self.is_away = true;
            self.tell(Input::Drain);
        }
    }

    /// Takes on work again when the store is back.
    fn look_for_store(&mut self, now: Millis) {
        if self.is_away && now >= self.store_at && self.reaches_store(now) {
            self.is_away = false;
            if self.draining.is_none() && !self.is_resting {
                self.tell(Input::Offer(self.bid));
            }
        }
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(self.clock.now(), self.follower.state(), input, &mut out);
        for output in out {
            match output {
                Output::Send(order) => self.send(&order),
                Output::Compute(assignment) => self.crew.give(assignment),
                Output::Stop(lease) => self.crew.stop(lease),
                Output::Trace(query) => self.crew.trace(query),
                Output::Overtaken => self.is_overtaken = true,
            }
        }
    }

    /// Says what the threads are at. What does not get through is lost.
    fn speak(&mut self) {
        let (me, network) = (self.machine.key(), self.follower.state().network());
        for (run, words) in self.speaker.say(self.clock.now(), wall_ms()) {
            let said = self.machine.secret().seal(network, words);
            drop(self.bus.publish(&self.wire.journal(run, &me), self.wire.frame(&said)));
        }
    }

    /// What does not get through is sent again by the role.
    fn send(&self, order: &SignedOrder) {
        let subject = self.wire.command(&order.author);
        drop(self.bus.publish(&subject, self.wire.frame(order)));
    }
}
