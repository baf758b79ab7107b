//! A client of a network: gets the log, has something asked of the validators, and follows what
//! comes of it. Only joins the role to the bus and the log: never decides what the role decides.
//!
//! The run is the network's: whoever stops following it, or whose machine sleeps, loses nothing,
//! and finds it again in the log.

use super::asked::{Asked, Reply};
use super::boot::Booted;
use super::embedded::{Failure, Happening};
use super::follow::{Follower, Heard, LongAgo, Peers, Refusal, Replica};
use super::inbox::{Handle, Stopped, Told};
use super::link::{self, LinkError};
use super::network::Network;
use super::snapshot::Found;
use super::wire::Wire;
use super::words::{Listener as Ear, Spoken};
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::base::time::{Height, Millis};
use crate::domain::command::{Command, SignedOrder};
use crate::domain::event::{Event, Reject};
use crate::domain::genesis::Genesis;
use crate::domain::milestone::Checkpoint;
use crate::domain::state::State;
use crate::effects::artifacts::Artifacts;
use crate::effects::bus::{Bus, News};
use crate::effects::clock::Clock;
use crate::effects::store::Recovery;
use crate::role::client::{Client, Input, Output};
use crate::role::{Folded, Machine, Signer};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long the bus is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the validators may take to say how far they are, all of them together.
const SURVEY_MS: u64 = 10_000;
/// So long what the validators said is news.
const FRESH_MS: u64 = 500;
/// A message that was not folded after so long is sent again.
const RESEND_MS: u64 = 2_000;
/// So long a command may wait for its slot.
const ORDER_MS: u64 = 60_000;
/// Without a slot for so long the log is not here in time.
const STALL_MS: u64 = 30_000;

/// A bus whose news go to whoever listens now.
pub(super) struct Line {
    bus: Bus,
    /// What the servers call us.
    me: PublicKey,
    listener: Listener,
    clock: Clock,
    /// How far the validators said to be when the log had come, and when that was.
    told: Mutex<Option<(Peers, Millis)>>,
}

type Listener = Arc<Mutex<Option<Sender<Inbox>>>>;

/// What the loops here read.
pub(super) enum Inbox {
    Heard(Heard),
    Told(Told),
    Spoken(Spoken),
}

impl From<Spoken> for Inbox {
    fn from(spoken: Spoken) -> Self {
        Self::Spoken(spoken)
    }
}

impl From<Heard> for Inbox {
    fn from(heard: Heard) -> Self {
        Self::Heard(heard)
    }
}

impl From<Told> for Inbox {
    fn from(told: Told) -> Self {
        Self::Told(told)
    }
}

/// What there is beside a log, while that is followed.
struct Rest {
    genesis: Genesis,
    artifacts: Arc<Artifacts>,
    recovery: Recovery,
    snapshot: Found,
    checkpoint: Option<Checkpoint>,
}

impl Rest {
    fn of(booted: &Booted) -> Self {
        let Booted { genesis, artifacts, recovery, snapshot, checkpoint, .. } = booted;
        Self {
            genesis: genesis.clone(),
            artifacts: artifacts.clone(),
            recovery: recovery.clone(),
            snapshot: snapshot.clone(),
            checkpoint: *checkpoint,
        }
    }
}

/// What is said of a log that comes.
#[derive(Debug, Clone, Copy)]
pub enum Arriving {
    /// It is so far, and so far the network is, if somebody said.
    Behind(Height, Option<Height>),
    /// It is here, and rests on who validated long ago.
    LongAgo(LongAgo),
}

impl Line {
    /// The bus.
    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Connects to the bus of a network; `me` is what the servers call us.
    pub(super) fn connect(
        network: &Network,
        me: &PublicKey,
        runtime: &Runtime,
    ) -> Result<Self, LinkError> {
        let listener = Listener::default();
        let own = listener.clone();
        let tell = move |news| {
            let held = own.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(outbox) = held.as_ref() {
                // It may be over.
                drop(outbox.send(Inbox::Heard(Heard::News(news))));
            }
        };
        let name = format!("ohc client {}", me.short());
        let bus = link::connect(network, me, &name, PATIENCE, runtime.handle(), tell)?;
        let (clock, told) = (Clock::start(), Mutex::default());
        Ok(Self { bus, me: *me, listener, clock, told })
    }

    /// Follows a log that came over this line.
    fn follow(&self, replica: Replica, outbox: &Sender<Inbox>) -> Result<Follower, LinkError> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let fresh = told.filter(|(_, at)| self.clock.now().since(*at) < FRESH_MS);
        Ok(match fresh {
            Some((peers, _)) => Follower::resume(&self.bus, replica, peers, outbox)?,
            None => Follower::start(&self.bus, replica, outbox)?,
        })
    }

    /// Ends following a log for now; what is known of the validators stays.
    fn pause(&self, follower: Follower, rest: Rest) -> Booted {
        let Rest { genesis, artifacts, recovery, snapshot, checkpoint } = rest;
        let (replica, peers) = follower.pause();
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((peers, self.clock.now()));
        let (state, parent, store, keeper) = replica.into_parts();
        Booted { genesis, state, parent, store, checkpoint, artifacts, recovery, snapshot, keeper }
    }

    fn listen(&self, outbox: Option<Sender<Inbox>>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = outbox;
    }
}

/// Gets the log of a network into a home, as far as the network is now. `told` hears how far it is
/// and how far it has to go, when that is not at once.
pub(super) fn arrive(
    line: &Line,
    booted: Booted,
    told: &mut dyn FnMut(Arriving),
) -> Result<Booted, LinkError> {
    let rest = Rest::of(&booted);
    let (outbox, inbox) = mpsc::channel();
    line.listen(Some(outbox.clone()));
    let clock = Clock::start();
    let mut follower = line.follow(Replica::new(booted), &outbox)?;
    let mut moved = clock.now();
    while !follower.is_current() {
        let now = clock.now();
        follower.wake(now);
        let silent = follower.target().is_none() && now.0 > SURVEY_MS;
        if silent || now.since(moved) > STALL_MS {
            return Err(LinkError::Nobody { urls: line.bus.urls().to_owned() });
        }
        let at_most = follower.deadline().map_or(100, |at| at.since(now).min(100));
        match inbox.recv_timeout(Duration::from_millis(at_most)) {
            Ok(Inbox::Heard(heard)) => {
                if follower.hear(now, heard, &mut |_, _, _| {})? > 0 {
                    moved = now;
                    told(Arriving::Behind(follower.state().height(), follower.target()));
                }
            }
            Ok(Inbox::Told(_) | Inbox::Spoken(_)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(LinkError::Stopped),
        }
    }
    line.listen(None);
    follower.long_ago().into_iter().for_each(|long_ago| told(Arriving::LongAgo(long_ago)));
    Ok(line.pause(follower, rest))
}

/// Has one command of a key folded. Gives the slot in which it was, or why it had no effect, and
/// the log with it.
pub(super) fn order(
    line: &Line,
    booted: Booted,
    signer: &mut Signer,
    command: Command,
) -> Result<(Result<Height, Reject>, Booted), LinkError> {
    let rest = Rest::of(&booted);
    let (outbox, inbox) = mpsc::channel();
    line.listen(Some(outbox.clone()));
    let wire = Wire::new(booted.genesis.network());
    let mut follower = line.follow(Replica::new(booted), &outbox)?;
    let clock = Clock::start();
    if !follower.state().ledger().knows(&signer.public()) {
        return Err(LinkError::Poor { key: signer.public().short() });
    }
    let mut order = signer.order(follower.state(), command);
    let (mut send_at, mut is_overtaken, mut is_seen) = (Millis(0), false, true);
    let mut fate = None;
    while fate.is_none() {
        let now = clock.now();
        follower.wake(now);
        if now.0 > ORDER_MS {
            return Err(match is_overtaken {
                true => LinkError::Overtaken,
                false => LinkError::Nobody { urls: line.bus.urls().to_owned() },
            });
        }
        // Somebody else who signs with this key was faster.
        if !signer.may_count(follower.state(), &order) {
            if !is_seen {
                return Err(LinkError::Unseen);
            }
            order = signer.again(follower.state(), order);
            (send_at, is_overtaken) = (now, true);
        }
        if now >= send_at {
            // The same number again: whichever copy comes first counts, and once.
            drop(line.bus.publish(&wire.command(&line.me), wire.frame(&order)));
            send_at = now.after(RESEND_MS);
        }
        let next = follower.deadline().into_iter().chain([send_at]).min().unwrap_or(send_at);
        let heard = match inbox.recv_timeout(Duration::from_millis(next.since(now))) {
            Ok(Inbox::Heard(heard)) => heard,
            Ok(Inbox::Told(_) | Inbox::Spoken(_)) | Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err(LinkError::Stopped),
        };
        let (mut seen, mut folded) = (follower.state().height(), Folded::default());
        follower.hear(now, heard, &mut |commands, state, events| {
            seen = seen.next();
            folded.add(&order.author, commands, events);
            let here = folded.fate(&order).map(|fate| fate.map(|()| state.height()));
            fate = fate.or(here);
        })?;
        // A slot that was not seen may have held it.
        is_seen &= seen == follower.state().height();
    }
    line.listen(None);
    Ok((fate.unwrap_or(Ok(Height(0))), line.pause(follower, rest)))
}

/// One client at work.
struct Session<'a> {
    clock: Clock,
    line: &'a Line,
    wire: Wire,
    follower: Follower,
    client: Client,
    inbox: Receiver<Inbox>,
    outbox: Sender<Inbox>,
    /// Hears what workers say of the run.
    ear: Option<Ear>,
    following: Option<RunId>,
    finished: Option<RunId>,
    refused: Option<Reject>,
    stopped: Option<Stopped>,
    /// Who waits for commands of the client.
    asked: Asked,
    watch: &'a mut dyn FnMut(Happening<'_>),
}

/// How a client is followed.
pub(super) struct Course<'a> {
    /// Is handed a way to speak to it.
    pub(super) begun: &'a mut dyn FnMut(Handle),
    /// Is told what happens.
    pub(super) watch: &'a mut dyn FnMut(Happening<'_>),
    /// Whether it is left alone as soon as its run is known.
    pub(super) is_detached: bool,
}

/// Has a client do what it is there for, until it is done, or detached, or stopped. Gives what came
/// of it and the state after the last slot.
pub(super) fn serve(
    line: &Line,
    booted: Booted,
    client: Client,
    course: Course<'_>,
) -> Result<(Result<RunId, Failure>, State), LinkError> {
    let (outbox, inbox) = mpsc::channel();
    line.listen(Some(outbox.clone()));
    (course.begun)(Handle::new(outbox.clone()));
    let wire = Wire::new(booted.genesis.network());
    let follower = line.follow(Replica::new(booted), &outbox)?;
    let mut session = Session {
        clock: Clock::start(),
        line,
        wire,
        follower,
        client,
        inbox,
        outbox,
        ear: None,
        following: None,
        finished: None,
        refused: None,
        stopped: None,
        asked: Asked::default(),
        watch: course.watch,
    };
    let served = session.run(course.is_detached);
    line.listen(None);
    let (state, _) = session.follower.into_replica().finish();
    Ok((served?, state))
}

impl Session<'_> {
    fn run(&mut self, is_detached: bool) -> Result<Result<RunId, Failure>, Refusal> {
        loop {
            self.turn();
            if let Some(reject) = self.refused {
                return Ok(Err(Failure::Refused(reject)));
            }
            let detached = self.following.filter(|_| is_detached);
            if let Some(run) = self.finished.or(detached) {
                return Ok(Ok(run));
            }
            if let Some(why) = self.stopped {
                return Ok(Err(Failure::Stopped(why)));
            }
            match self.receive() {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Err(Failure::Stopped(Stopped::Interrupted)));
                }
            }
        }
    }

    fn receive(&self) -> Result<Inbox, RecvTimeoutError> {
        let client = self.client.deadline(self.follower.state());
        match client.into_iter().chain(self.follower.deadline()).min() {
            Some(at) => self.inbox.recv_timeout(Duration::from_millis(at.since(self.clock.now()))),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn turn(&mut self) {
        let now = self.clock.now();
        let due = |deadline: Option<Millis>| deadline.is_some_and(|at| at <= now);
        if due(self.follower.deadline()) {
            self.follower.wake(now);
        }
        if due(self.client.deadline(self.follower.state())) {
            self.tell(Input::Wake);
        }
    }

    fn take(&mut self, message: Inbox) -> Result<(), Refusal> {
        match message {
            Inbox::Heard(heard) => self.hear(heard),
            Inbox::Spoken(spoken) => {
                let (now, state, watch) =
                    (self.clock.now(), self.follower.state(), &mut self.watch);
                if let Some(ear) = &mut self.ear {
                    ear.hear(now, &spoken, state, &mut |notice| watch(Happening::Notice(notice)));
                }
                Ok(())
            }
            Inbox::Told(Told::Stop(why)) => {
                self.stopped = Some(why);
                Ok(())
            }
            Inbox::Told(Told::Asked(command, reply)) => {
                self.ask(command, &reply);
                Ok(())
            }
        }
    }

    /// Has the client send a command for somebody else, who waits for what becomes of it.
    fn ask(&mut self, command: Command, reply: &Reply) {
        let (now, mut out) = (self.clock.now(), Vec::new());
        self.client.handle(now, self.follower.state(), Input::Ask(command), &mut out);
        for output in out {
            if let Output::Send(order) = output {
                self.send(&order);
                self.asked.add(order, reply.clone());
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<(), Refusal> {
        if let Heard::News(news @ (News::Up | News::Down(_) | News::Refused(_))) = &heard {
            (self.watch)(Happening::News(news));
        }
        let (me, mut ours, mut overtaken) = (self.client.key(), Folded::default(), Vec::new());
        let (watch, asked) = (&mut self.watch, &mut self.asked);
        let mut seen = self.follower.state().height();
        let mut shown = |commands: &[SignedOrder], state: &State, events: &[Event]| {
            if seen.next() != state.height() {
                ours.pass_over();
            }
            seen = state.height();
            watch(Happening::Folded(state, events));
            ours.add(&me, commands, events);
            overtaken.extend(asked.folded(&ours, state));
        };
        if self.follower.hear(self.clock.now(), heard, &mut shown)? > 0 {
            self.tell(Input::Folded(ours));
            overtaken.into_iter().for_each(|(command, reply)| self.ask(command, &reply));
            self.listen();
        }
        Ok(())
    }

    /// Listens to the workers of its run. Where that fails it is tried again with the next slot.
    fn listen(&mut self) {
        if let (Some(run), None) = (self.following, &self.ear) {
            let network = self.follower.state().network();
            self.ear = Ear::start(&self.line.bus, network, run, &self.outbox).ok();
        }
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.client.handle(self.clock.now(), self.follower.state(), input, &mut out);
        for output in out {
            match output {
                Output::Send(order) => self.send(&order),
                Output::Following(run) => {
                    self.following = Some(run);
                    (self.watch)(Happening::Following(run));
                    self.listen();
                }
                Output::Finished(run) => self.finished = Some(run),
                Output::Refused(reject) => self.refused = Some(reject),
            }
        }
    }

    /// What does not get through is sent again by the role.
    fn send(&self, order: &SignedOrder) {
        drop(self.line.bus.publish(&self.wire.command(&self.line.me), self.wire.frame(order)));
    }
}
