//! A validator of a network, as a process: follows the log, takes part in the agreement about its
//! next slot, has receipts checked, and serves the log to whoever asks. Only joins the roles to the
//! bus, the log and the auditor: never decides what they decide.
//!
//! The order of things is what makes a crash harmless: what led to a vote is durable before the
//! vote leaves, and a slot is durable before anything that follows from it is done.

use super::embedded::Failure;
use super::follow::{Follower, Heard, LongAgo, Refusal, Replica};
use super::gate::{COMMANDS, Gate, SAYINGS};
use super::handouts::Handouts;
use super::home::Home;
use super::inbox::{self, Done, Handle, Told};
use super::link::{self, LinkError};
use super::network::Network;
use super::presign::Signatory;
use super::serve::{Asked, Log, Server, work_of};
use super::threads::{Inquiry, Wanted, locked, spawn_auditor};
use super::voter;
use super::wire::{Wire, sender};
use super::work::Bench;
use crate::base::canon::{Decode, Encode};
use crate::base::keys::PublicKey;
use crate::base::limits::{MESSAGE_BYTES_MAX, WIRE_BYTES_MAX, WIRE_ROOM_BYTES};
use crate::base::time::{Height, Millis};
use crate::domain::command::SignedOrder;
use crate::domain::event::Event;
use crate::domain::slot::Slot;
use crate::domain::state::{Matter, State};
use crate::domain::vote::Evidence;
use crate::effects::artifacts::ArtifactError;
pub use crate::effects::bus::News;
use crate::effects::bus::{Bus, Message, Subscription};
use crate::effects::clock::Clock;
use crate::role::consensus::{self, Consensus, Entry};
use crate::role::{Machine, Signer, validator};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use tokio::runtime::Runtime;

/// So long what was sent last may take to leave the process.
const FLUSH: Duration = Duration::from_secs(2);
/// Threads that check a Proof of History: a machine may hold several validators.
const POH_THREADS: usize = 1;

/// What can be seen of a validator.
pub enum Sight<'a> {
    /// It is on the bus, and has this much of the log.
    Ready(&'a State),
    /// A slot is final; this is what it did.
    Folded(&'a State, &'a [Event]),
    /// Its home does not hold its votes: it votes about this slot first, where that is known.
    Silent(Option<Height>),
    /// What happens to the connection.
    News(&'a News),
    /// A receipt could not be checked, for a reason that is not in it.
    Trouble(&'a Failure),
    /// A request to the store could not be signed for another. Told once while it lasts.
    Unsigned(&'a ArtifactError),
    /// Somebody has said two things at once.
    Evidence(&'a Evidence),
    /// Its log rests on who validated long ago.
    LongAgo(LongAgo),
    /// Somebody sends more than anybody may: what is too much is dropped. Told once while it lasts.
    Flooded(&'a str),
}

/// How it is shown, and stopped.
pub struct Hooks<'a> {
    /// Is handed a way to stop it.
    pub begun: &'a mut dyn FnMut(Handle),
    /// Is told what happens.
    pub watch: &'a mut dyn FnMut(Sight<'_>),
}

/// What the loop of a validator alone reads.
enum Own {
    Command(Message),
    Consensus(Message),
    /// What does this worker hold, and where is that to be answered?
    Work(PublicKey, String),
    /// Requests to the store cannot be signed.
    Unsigned(ArtifactError),
    /// More came on a subject than is looked at.
    Flooded(String),
}

type Inbox = inbox::Inbox<Own>;

/// A validator at its seat.
struct Seat<'a> {
    home: &'a Home,
    /// Whether its home may not hold all that it has said.
    is_new: bool,
    clock: Clock,
    bus: Bus,
    wire: Wire,
    follower: Follower,
    role: validator::Validator,
    consensus: Consensus,
    audits: Sender<Inquiry>,
    /// What the auditor is still to look into.
    asked: Wanted<Matter>,
    signatory: Signatory,
    inbox: Receiver<Inbox>,
    watch: &'a mut dyn FnMut(Sight<'_>),
    is_over: bool,
    _subscriptions: [Subscription; 2],
}

/// Validates until it is stopped. Of its log at least so many slots are kept, all if nothing is
/// said.
pub fn validate(
    network: &Network,
    (home, key, retained): (&Home, &Path, Option<u64>),
    runtime: &Runtime,
    hooks: Hooks<'_>,
) -> Result<(), LinkError> {
    let booted = link::open(network, home, None)?;
    let artifacts = booted.artifacts.clone();
    let (outbox, inbox) = mpsc::channel::<Inbox>();
    (hooks.begun)(Handle::new(outbox.clone()));
    let (server_key, clock) = (Arc::new(link::key(key)?), Clock::start());
    let me = server_key.public();
    let is_new = !voter::holds(home, &me)?;
    let name = format!("ohc validator {}", me.short());
    let (ends, mut show) = ((&outbox, &inbox), |news: &News| (hooks.watch)(Sight::News(news)));
    let Some(bus) = link::join(network, (&me, &name), runtime.handle(), ends, &mut show)? else {
        return Ok(());
    };
    let (store, genesis) = (booted.store.clone(), booted.genesis.clone());
    let consensus =
        Consensus::new(link::key(key)?, clock.now(), (&booted.state, booted.parent), POH_THREADS);
    let role = validator::Validator::new(Signer::new(link::key(key)?), clock.now());
    let wire = Wire::new(network.id());
    let subscriptions = listen(&bus, &wire, &me, &outbox)?;
    let mut replica = Replica::new(booted);
    replica.hand_out(retained);
    let follower = Follower::start(&bus, replica, &outbox)?;
    let log = Log::new(store, genesis, server_key, Handouts::of(home));
    let tell = outbox.clone();
    let unsigned = move |error| drop(tell.send(Inbox::Own(Own::Unsigned(error))));
    let signing = (bus.clone(), network.id(), runtime.handle().clone());
    let signatory = Signatory::new(artifacts.clone(), signing, follower.state(), unsigned);
    let (tell, signs) = (outbox.clone(), signatory.clone());
    let desk = move |asked| match asked {
        Asked::Work(worker, reply) => tell.send(Inbox::Own(Own::Work(worker, reply))).is_ok(),
        Asked::Presign(request, reply) => signs.sign(request, reply),
        Asked::Flooded(reply) => tell.send(Inbox::Own(Own::Flooded(reply))).is_ok(),
    };
    let server = Server::start_with(&bus, log, desk)?;
    let (bench, asked) = (Bench::new(artifacts, runtime.handle().clone()), Wanted::default());
    let mut seat = Seat {
        home,
        is_new,
        clock,
        bus,
        wire,
        follower,
        role,
        consensus,
        audits: spawn_auditor(bench, Some(asked.clone()), outbox),
        asked,
        signatory,
        inbox,
        watch: hooks.watch,
        is_over: false,
        _subscriptions: subscriptions,
    };
    seat.restore()?;
    seat.run()?;
    drop(server);
    drop(seat.bus.flush(FLUSH));
    drop(seat.follower.into_replica().finish());
    Ok(())
}

/// Hears commands and what other validators say, of each sender as much as it may send.
fn listen(
    bus: &Bus,
    wire: &Wire,
    me: &PublicKey,
    outbox: &Sender<Inbox>,
) -> Result<[Subscription; 2], LinkError> {
    let own = wire.consensus(me);
    let to = |what: fn(Message) -> Own, limits| {
        let (outbox, gate, own) = (outbox.clone(), Gate::new(limits), own.clone());
        move |message: Message| {
            // What this validator said it knows itself.
            if message.subject == own {
                return true;
            }
            match gate.admit(sender(&message.subject), message.bytes.len()) {
                Ok(()) => outbox.send(Inbox::Own(what(message))).is_ok(),
                Err(flood) if flood.is_news => {
                    outbox.send(Inbox::Own(Own::Flooded(message.subject))).is_ok()
                }
                Err(_) => true,
            }
        }
    };
    let commands = to(Own::Command, COMMANDS);
    let orders = bus.subscribe(&wire.command_of_all(), None, WIRE_ROOM_BYTES, commands)?;
    let (votes, sayings) = (wire.consensus_of_all(), to(Own::Consensus, SAYINGS));
    let votes = bus.subscribe(&votes, None, WIRE_ROOM_BYTES, sayings)?;
    Ok([orders, votes])
}

impl Seat<'_> {
    fn state(&self) -> &State {
        self.follower.state()
    }

    /// Goes on where it was: what it took down before it voted is taken in again.
    fn restore(&mut self) -> Result<(), LinkError> {
        let store = self.follower.replica().store();
        let mut entries: Vec<Entry> = Vec::new();
        for votes in store.votes().map_err(Refusal::Store)? {
            let votes = Vec::<Entry>::from_bytes(&votes).map_err(|_| {
                let next = self.follower.replica().next();
                Refusal::Store(store.damaged(next, "votes that make no sense"))
            })?;
            entries.extend(votes);
        }
        let (now, mut out) = (self.clock.now(), Vec::new());
        if self.is_new && self.state().is_alone() {
            voter::hold(self.home, &self.consensus.key())?;
            self.is_new = false;
        } else if self.is_new {
            self.consensus.keep_silent_before(Height(u64::MAX));
            (self.watch)(Sight::Silent(None));
        }
        self.consensus.restore(now, self.follower.state(), entries, &mut out);
        (self.watch)(Sight::Ready(self.follower.state()));
        self.perform(out)?;
        self.tell_role(validator::Input::Folded)
    }

    /// Votes from a new home as soon as nobody can have heard it about the next slot before.
    fn settle_in(&mut self) -> Result<(), LinkError> {
        if !self.is_new {
            return Ok(());
        }
        let (me, state) = (self.consensus.key(), self.follower.state());
        let (height, silent_before) = (state.height(), self.consensus.silent_before());
        let is_of_others = state.validators().contains_key(&me) && height > Height(0);
        let from = match silent_before {
            Height(u64::MAX) if !self.follower.is_at_the_front() => return Ok(()),
            Height(u64::MAX) if is_of_others => voter::votes_from(height),
            Height(u64::MAX) => height,
            from => from,
        };
        if from != silent_before {
            self.consensus.keep_silent_before(from);
            if is_of_others {
                (self.watch)(Sight::Silent(Some(from)));
            }
        }
        if height.next() >= from {
            voter::hold(self.home, &me)?;
            self.is_new = false;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), LinkError> {
        while !self.is_over {
            self.turn()?;
            let mut next = match self.deadline() {
                Some(at) => {
                    let wait = Duration::from_millis(at.since(self.clock.now()));
                    match self.inbox.recv_timeout(wait) {
                        Ok(first) => Some(first),
                        Err(RecvTimeoutError::Timeout) => None,
                        Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    }
                }
                None => Some(self.inbox.recv().map_err(|_| LinkError::Stopped)?),
            };
            while let Some(message) = next {
                self.take(message)?;
                next = self.inbox.try_recv().ok();
            }
        }
        Ok(())
    }

    /// When the next slot is wanted: while one is voted about, nothing else is begun.
    fn proposes_at(&self) -> Option<Millis> {
        let is_resting = self.consensus.is_resting() && !self.consensus.is_silent(self.state());
        is_resting.then(|| self.role.proposes_at(self.state())).flatten()
    }

    /// When its role has something to say. Alone it says what it has in its own slots.
    fn speaks_at(&self) -> Option<Millis> {
        let is_alone = self.state().is_alone();
        (!is_alone).then(|| self.role.deadline(self.state())).flatten()
    }

    fn deadline(&self) -> Option<Millis> {
        let own = [self.proposes_at(), self.speaks_at(), self.follower.deadline()];
        own.into_iter().flatten().chain(self.consensus.deadline(self.state())).min()
    }

    /// Does what is due.
    fn turn(&mut self) -> Result<(), LinkError> {
        let now = self.clock.now();
        let is_due = |at: Option<Millis>| at.is_some_and(|at| now >= at);
        self.follower.wake(now);
        if is_due(self.consensus.deadline(self.state())) {
            self.tell_consensus(consensus::Input::Wake)?;
        }
        if is_due(self.speaks_at()) {
            self.tell_role(validator::Input::Wake)?;
        }
        if is_due(self.proposes_at()) {
            self.tell_consensus(consensus::Input::Begin)?;
        }
        Ok(())
    }

    fn take(&mut self, message: Inbox) -> Result<(), LinkError> {
        match message {
            Inbox::Done(Done::Checked(matter, Ok(verdict))) => {
                self.tell_role(validator::Input::Checked(matter, verdict))
            }
            Inbox::Done(Done::Traced(_, Ok(Some(said)))) => {
                self.tell_role(validator::Input::Traced(said))
            }
            Inbox::Done(Done::Checked(matter, Err(failure))) => {
                (self.watch)(Sight::Trouble(&failure));
                self.tell_role(validator::Input::Unchecked(matter))
            }
            Inbox::Done(Done::Traced(_, Err(failure))) => {
                (self.watch)(Sight::Trouble(&failure));
                Ok(())
            }
            Inbox::Done(_) => Ok(()),
            Inbox::Heard(heard) => self.hear(heard),
            Inbox::Own(own) => self.take_own(own),
            Inbox::Told(Told::Stop(_)) => {
                self.is_over = true;
                Ok(())
            }
            Inbox::Told(Told::Asked(..)) => Ok(()),
        }
    }

    fn take_own(&mut self, message: Own) -> Result<(), LinkError> {
        match message {
            Own::Command(message) => {
                // What makes no sense concerns nobody.
                match self.wire.unframe::<SignedOrder>(&message.bytes, MESSAGE_BYTES_MAX) {
                    Ok(order) => self.admit(order),
                    Err(_) => Ok(()),
                }
            }
            Own::Consensus(message) => {
                let said = self.wire.unframe::<consensus::Message>(&message.bytes, WIRE_BYTES_MAX);
                match said {
                    Ok(said) => self.tell_consensus(consensus::Input::Message(said)),
                    Err(_) => Ok(()),
                }
            }
            Own::Work(worker, reply) => {
                // Who asked asks again, or somebody else.
                let answer = work_of(self.state(), &worker);
                drop(self.bus.publish(&reply, self.wire.frame(&answer)));
                Ok(())
            }
            Own::Unsigned(error) => {
                (self.watch)(Sight::Unsigned(&error));
                Ok(())
            }
            Own::Flooded(subject) => {
                (self.watch)(Sight::Flooded(&subject));
                Ok(())
            }
        }
    }

    /// A command: what the role takes in has been signed, and is not checked again in a proposal.
    fn admit(&mut self, order: SignedOrder) -> Result<(), LinkError> {
        self.tell_role(validator::Input::Command(order))?;
        if let Some(order) = self.role.newest() {
            self.consensus.vouch(order);
        }
        Ok(())
    }

    /// Something about the log of the others.
    fn hear(&mut self, heard: Heard) -> Result<(), LinkError> {
        if let Heard::News(news) = &heard {
            (self.watch)(Sight::News(news));
        }
        let (now, watch, signatory) = (self.clock.now(), &mut self.watch, &self.signatory);
        let mut show = |_: &[SignedOrder], state: &State, events: &[Event]| {
            signatory.saw(state, events);
            watch(Sight::Folded(state, events));
        };
        match self.follower.hear(now, heard, &mut show)? {
            0 => self.settle_in()?,
            _ => {
                self.settle_in()?;
                self.folded()?;
            }
        }
        let long_ago = self.follower.long_ago();
        long_ago.into_iter().for_each(|long_ago| (self.watch)(Sight::LongAgo(long_ago)));
        Ok(())
    }

    /// The log is further: all is durable.
    fn folded(&mut self) -> Result<(), LinkError> {
        self.signatory.folded(self.follower.state());
        self.tell_role(validator::Input::Folded)?;
        self.tell_consensus(consensus::Input::Folded(self.follower.replica().parent()))
    }

    fn tell_consensus(&mut self, input: consensus::Input) -> Result<(), LinkError> {
        let (now, mut out) = (self.clock.now(), Vec::new());
        self.consensus.handle(now, self.follower.state(), input, &mut out);
        self.perform(out)
    }

    /// Does what the agreement wants, in its order.
    fn perform(&mut self, out: Vec<consensus::Output>) -> Result<(), LinkError> {
        let mut out = VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            match output {
                consensus::Output::Record(entries) => {
                    let store = self.follower.replica().store();
                    let next = self.follower.replica().next();
                    store.append_votes(next, &entries.to_bytes()).map_err(Refusal::Store)?;
                }
                // What does not get through is said again.
                consensus::Output::Send(message) => {
                    let subject = self.wire.consensus(&self.consensus.key());
                    drop(self.bus.publish(&subject, self.wire.frame(&message)));
                }
                consensus::Output::Propose => self.tell_role(validator::Input::Propose)?,
                consensus::Output::Decided(slot) => self.decide(*slot)?,
                consensus::Output::Evidence(evidence) => {
                    (self.watch)(Sight::Evidence(&evidence));
                    self.tell_role(validator::Input::Evidence(evidence))?;
                }
                consensus::Output::Behind(height) => self.follower.miss(self.clock.now(), height),
            }
        }
        Ok(())
    }

    /// A slot is final. Who proposed it tells everybody else, or all do if that took long.
    fn decide(&mut self, slot: Slot) -> Result<(), LinkError> {
        let is_told = slot.head.proposer == self.consensus.key() || slot.certificate.round > 0;
        let (now, bytes, watch) = (self.clock.now(), slot.to_bytes(), &mut self.watch);
        let signatory = &self.signatory;
        let mut show = |_: &[SignedOrder], state: &State, events: &[Event]| {
            signatory.saw(state, events);
            watch(Sight::Folded(state, events));
        };
        if self.follower.decided(now, (slot, &bytes), &mut show)? == 0 {
            return Ok(());
        }
        if is_told {
            drop(self.bus.publish(&self.wire.slot(), self.wire.frame_bytes(&bytes)));
        }
        self.folded()
    }

    fn tell_role(&mut self, input: validator::Input) -> Result<(), LinkError> {
        let (now, mut out) = (self.clock.now(), Vec::new());
        let is_command = matches!(input, validator::Input::Command(_));
        self.role.handle(now, self.follower.state(), input, &mut out);
        // A command alone ends no question, and begins one only with what comes out.
        if !is_command || !out.is_empty() {
            locked(&self.asked).clone_from(self.role.checking());
        }
        for output in out {
            match output {
                // The auditor lives as long as this sender.
                validator::Output::Check(duty) => {
                    let salt = self.role.salt(self.state(), &duty);
                    drop(self.audits.send(Inquiry::Check(duty, salt)));
                }
                validator::Output::Trace(query) => {
                    drop(self.audits.send(Inquiry::Trace(None, query)));
                }
                validator::Output::Cut(draft) => {
                    self.tell_consensus(consensus::Input::Drafted(draft))?;
                }
                // It has heard this itself; what is lost on the way to others is said again.
                validator::Output::Send(order) => {
                    self.consensus.vouch(&order);
                    let subject = self.wire.command(&self.consensus.key());
                    drop(self.bus.publish(&subject, self.wire.frame(&order)));
                }
            }
        }
        Ok(())
    }
}
