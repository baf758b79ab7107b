//! Following: keeps a copy of a network's log up to what the validators have made final. Never
//! believes one of them: what is not certified is not taken, and who offers it is not asked again
//! for a while.
//!
//! Slots come as they are told to all; what is missed, and what was there before, is fetched from
//! any validator, as many slots at a time as one message holds. The next are asked for while the
//! last are folded. What comes too early waits, as far as there is room.
//!
//! Who begins far behind takes a state that the log commits to and goes on from there (`sync`), and
//! so does who misses slots that nobody has any more. Who has a checkpoint that is still to come
//! takes nothing before it knows what leads there.
//!
//! A loop owns the follower and hands it what it hears ([`Heard`]).

mod fetch;
mod peers;
mod replica;
mod sync;

pub use fetch::Fetched;
pub use peers::Peers;
pub use replica::{Refusal, Replica, Watch, stands};

use super::wire::{Pulse, Wire};
use crate::base::amount::Ohc;
use crate::base::keys::{PublicKey, Signed};
use crate::base::limits::{WIRE_BYTES_MAX, WIRE_ROOM_BYTES};
use crate::base::time::{Height, Millis, Tick};
use crate::domain::milestone::Trust;
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::effects::bus::{Bus, BusError, Message, News, Subscription};
use fetch::{Errand, Fetcher, What};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use sync::{Missed, Quest, Synced};

/// Slots that came too early and wait: so many, of so many bytes in all.
const EARLY_MAX: u64 = 256;
const EARLY_BYTES_MAX: usize = 8 << 20;
/// How long it waits before it asks again where nobody had an answer: at first, and at the most.
const PAUSE_MS: (u64, u64) = (100, 2_000);
/// How long a slot may come as it is told before it is asked for.
const GRACE_MS: u64 = 50;
/// So many slots behind, who has none takes a state; fewer are folded as soon.
const SKIP_MIN: u64 = 1_000;
/// So often in a row it is asked again where somebody shows a history without the checkpoint and
/// others are silent: some seconds.
const MISSED_MAX: u32 = 8;
/// Pulses, in bytes that wait.
const PULSES_BYTES: usize = 64 * 1024;

/// What a follower hears.
#[derive(Debug)]
pub enum Heard {
    /// A slot, told to all.
    Slot(Message),
    /// How far a validator is.
    Pulse(Message),
    /// An answer.
    Fetched(Fetched),
    /// What happens to the connection.
    News(News),
}

/// A copy of the log that is kept up.
pub struct Follower {
    replica: Replica,
    wire: Wire,
    fetcher: Fetcher,
    surveyor: Fetcher,
    peers: Peers,
    /// The errand that is under way, if one is, and the first slot that it is for.
    ticket: u64,
    is_fetching: bool,
    from: Height,
    /// When to ask for the next slot, if it has not come by then.
    ask_at: Option<Millis>,
    pause_ms: u64,
    /// Whether the slots that come next are nowhere any more; whether a state was looked for.
    is_pruned: bool,
    has_looked: bool,
    /// How often in a row nobody showed a history with the checkpoint, and somebody one without.
    missed: u32,
    /// The highest slot that anybody spoke of.
    spoken_of: Height,
    /// Slots that came too early.
    early: BTreeMap<Height, Vec<u8>>,
    /// All have been asked how far they are, once.
    has_asked: bool,
    /// What was here at the beginning, until it is asked for how long ago that was.
    begun: Option<Begun>,
    _subscriptions: [Subscription; 2],
}

/// What a copy of the log was when it began to be kept up: all that came since is believed because
/// of the validators of then.
struct Begun {
    height: Height,
    tick: Tick,
    validators: BTreeMap<PublicKey, Ohc>,
}

/// That a log rests on validators of so long ago that some may have left since, with their stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongAgo {
    /// The slot after which they were the validators; 0 where they are those of the genesis.
    pub since: Height,
}

impl Follower {
    /// Listens on a bus, and asks how far the network is. `outbox` leads to the loop that owns
    /// this; news of the bus must lead there too.
    pub fn start<T: From<Heard> + Send + 'static>(
        bus: &Bus,
        replica: Replica,
        outbox: &Sender<T>,
    ) -> Result<Self, BusError> {
        let this = Self::resume(bus, replica, Peers::default(), outbox)?;
        this.survey();
        Ok(this)
    }

    /// The same by who was told just now how far the network is, and asks nobody: what was missed
    /// between shows when somebody speaks of what comes after it.
    pub fn resume<T: From<Heard> + Send + 'static>(
        bus: &Bus,
        replica: Replica,
        peers: Peers,
        outbox: &Sender<T>,
    ) -> Result<Self, BusError> {
        let network = replica.state().network();
        let wire = Wire::new(network);
        let to = |heard: fn(Message) -> Heard| {
            let outbox = outbox.clone();
            move |message| outbox.send(heard(message).into()).is_ok()
        };
        let subscriptions = [
            bus.subscribe(&wire.slot(), None, WIRE_ROOM_BYTES, to(Heard::Slot))?,
            bus.subscribe(&wire.head_of_all(), None, PULSES_BYTES, to(Heard::Pulse))?,
        ];
        let start = || Fetcher::start(bus.clone(), network, outbox.clone());
        let state = replica.state();
        let validators = state.validators().clone();
        let begun = Some(Begun { height: state.height(), tick: state.tick(), validators });
        Ok(Self {
            begun,
            replica,
            wire,
            fetcher: start(),
            surveyor: start(),
            peers,
            ticket: 0,
            is_fetching: false,
            from: Height(0),
            ask_at: None,
            pause_ms: 0,
            is_pruned: false,
            has_looked: false,
            missed: 0,
            spoken_of: Height(0),
            early: BTreeMap::new(),
            has_asked: false,
            _subscriptions: subscriptions,
        })
    }

    /// What follows from the copy.
    #[must_use]
    pub fn state(&self) -> &State {
        self.replica.state()
    }

    /// The copy.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Ends following.
    #[must_use]
    pub fn into_replica(self) -> Replica {
        self.replica
    }

    /// Ends following for now; with what is known of the validators it is soon resumed.
    #[must_use]
    pub fn pause(self) -> (Replica, Peers) {
        (self.replica, self.peers)
    }

    /// Whether the copy has what validators with more than 1/3 of the stake say there is: one of
    /// them is honest. False until so many have said anything, and before a checkpoint.
    #[must_use]
    pub fn is_current(&self) -> bool {
        if self.replica.awaited().is_some() {
            return false;
        }
        let (state, height) = (self.state(), self.state().height());
        let others = self.peers.certain(state.validators());
        others.is_some_and(|others| height >= others) && !self.is_fetching
    }

    /// Whether it is current, and nobody who is not known to lie says to be further.
    #[must_use]
    pub fn is_at_the_front(&self) -> bool {
        self.is_current() && self.state().height() >= self.peers.highest()
    }

    /// Whether what was believed here at the beginning, or the checkpoint, is of so long ago that
    /// its validators may have left with their stake: then they can sign another history and lose
    /// nothing. Told once, when the copy is current.
    pub fn long_ago(&mut self) -> Option<LongAgo> {
        let Begun { mut height, tick, mut validators } =
            self.is_current().then(|| self.begun.take()).flatten()?;
        if let Some((stone, now)) = self.replica.passed(height) {
            (height, validators) = (stone.height, now);
        }
        let state = self.replica.state();
        let is_long = state.tick().since(tick) > state.params().unbonding_ticks;
        (is_long && state.validators() != &validators).then_some(LongAgo { since: height })
    }

    /// How far validators with more than 1/3 of the stake are, if so many have said it.
    #[must_use]
    pub fn target(&self) -> Option<Height> {
        self.peers.certain(self.state().validators())
    }

    /// Whether all validators were asked how far they are, whatever they said.
    #[must_use]
    pub fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// When to wake it if nothing is heard.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.ask_at.filter(|_| !self.is_fetching)
    }

    /// The deadline has come.
    pub fn wake(&mut self, now: Millis) {
        if self.deadline().is_some_and(|at| now >= at) {
            self.fetch(now);
        }
    }

    /// Takes in what was heard. Gives how many slots were folded: each was shown to `watch`, and
    /// all are durable.
    pub fn hear(&mut self, now: Millis, heard: Heard, watch: Watch<'_>) -> Result<usize, Refusal> {
        match heard {
            Heard::Slot(message) => self.told(now, &message.bytes, watch),
            Heard::Pulse(message) => {
                self.pulse(now, &message.bytes);
                Ok(0)
            }
            Heard::Fetched(Fetched { what }) => self.fetched(now, what, watch),
            Heard::News(News::Up) => {
                self.survey();
                (self.ask_at, self.pause_ms) = (Some(now), 0);
                Ok(0)
            }
            Heard::News(News::Lost) => {
                self.ask_by(now);
                Ok(0)
            }
            Heard::News(News::Down(_) | News::Refused(_)) => Ok(0),
        }
    }

    /// Takes a slot that this node has taken part in making final, and its bytes. Gives how many
    /// slots were folded.
    pub fn decided(
        &mut self,
        now: Millis,
        (slot, bytes): (Slot, &[u8]),
        watch: Watch<'_>,
    ) -> Result<usize, Refusal> {
        match self.replica.take_decided(slot, bytes, watch)? {
            false => Ok(0),
            true => Ok(1 + self.catch_up(now, watch)?),
        }
    }

    /// Somebody speaks about a slot at this height: then those before it are there.
    pub fn miss(&mut self, now: Millis, height: Height) {
        if height > self.replica.next() {
            self.ask_by(now.after(GRACE_MS.max(self.pause_ms)));
        }
    }

    /// Asks all how far they are.
    fn survey(&self) {
        let peers = self.state().validators().keys().copied().collect();
        self.surveyor.send(Errand::Pulses { peers });
    }

    /// The next slot is asked for if it has not come by then.
    fn ask_by(&mut self, at: Millis) {
        self.ask_at = Some(self.ask_at.map_or(at, |before| before.min(at)));
    }

    /// Asks for the next slot, or for a state to go on from.
    fn fetch(&mut self, now: Millis) {
        let here = self.state().height();
        let is_new = here == Height(0) && !self.has_looked;
        let there = self.peers.highest().max(self.spoken_of);
        if self.is_pruned || self.replica.is_lost() || (is_new && there.0 > SKIP_MIN) {
            return self.look(now, here.next());
        }
        self.fetch_from(now, self.replica.next());
    }

    /// Asks for a state of at least this height.
    fn look(&mut self, now: Millis, least: Height) {
        let validators = self.replica.state().validators().clone();
        let peers = self.peers.order(now, least, &validators);
        let (network, here) = (self.state().network(), self.state().height());
        let trust = Trust::new(network, here, validators).by(self.replica.awaited());
        let quest = Box::new(Quest { trust, parent: self.replica.parent(), peers, least });
        self.ticket += 1;
        (self.is_fetching, self.has_looked, self.ask_at) = (true, true, None);
        self.fetcher.send(Errand::State { quest, ticket: self.ticket });
    }

    fn fetch_from(&mut self, now: Millis, from: Height) {
        let peers = self.peers.order(now, from, self.replica.state().validators());
        self.ticket += 1;
        (self.is_fetching, self.from, self.ask_at) = (true, from, None);
        let heads = self.replica.heads(from).to_vec();
        self.fetcher.send(Errand::Slots { from, heads, peers, ticket: self.ticket });
    }

    /// A slot that was told to all. Anybody may say anything there: it is believed for its
    /// certificate, and what is not is passed over.
    fn told(&mut self, now: Millis, frame: &[u8], watch: Watch<'_>) -> Result<usize, Refusal> {
        let Ok(bytes) = self.wire.open(frame, WIRE_BYTES_MAX) else { return Ok(0) };
        match self.replica.take(&[bytes], watch) {
            Ok(0) | Err(Refusal::Lie { .. }) => Ok(0),
            Ok(count) => Ok(count + self.catch_up(now, watch)?),
            Err(Refusal::Gap { height, .. }) => {
                self.spoken_of = self.spoken_of.max(height);
                self.keep(height, bytes);
                self.ask_by(now.after(GRACE_MS.max(self.pause_ms)));
                Ok(0)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Keeps a slot that came too early, if there is room, and if the validators of now have signed
    /// it: what nobody signed would take the place of those that will be wanted.
    fn keep(&mut self, height: Height, bytes: &[u8]) {
        let is_near = height.0 <= self.state().height().0 + EARLY_MAX;
        let held: usize = self.early.values().map(Vec::len).sum();
        let has_room = is_near && held + bytes.len() <= EARLY_BYTES_MAX;
        if has_room && !self.early.contains_key(&height) && self.replica.is_final(bytes) {
            self.early.insert(height, bytes.to_vec());
        }
    }

    /// Takes the slots that came early and whose turn has come.
    fn catch_up(&mut self, now: Millis, watch: Watch<'_>) -> Result<usize, Refusal> {
        let mut count = 0;
        self.early = self.early.split_off(&self.replica.next());
        while let Some(slot) = self.early.remove(&self.replica.next()) {
            match self.replica.take(&[slot], watch) {
                Ok(taken) => count += taken,
                Err(Refusal::Lie { .. }) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.ask_at = self.is_behind().then(|| now.after(GRACE_MS.max(self.pause_ms)));
        Ok(count)
    }

    /// Whether somebody says that there is more.
    fn is_behind(&self) -> bool {
        let is_told = !self.early.is_empty() || self.peers.highest() > self.state().height();
        is_told || self.replica.awaited().is_some()
    }

    fn pulse(&mut self, now: Millis, frame: &[u8]) {
        let Ok(pulse) = self.wire.unframe::<Signed<Pulse>>(frame, 1_024) else { return };
        if !self.state().validators().contains_key(&pulse.author) {
            return;
        }
        let Ok(pulse) = pulse.verify(self.state().network()) else { return };
        self.peers.says(pulse.author(), pulse.body().height);
        if self.is_behind() {
            self.ask_by(now.after(GRACE_MS.max(self.pause_ms)));
        }
    }

    fn fetched(&mut self, now: Millis, what: What, watch: Watch<'_>) -> Result<usize, Refusal> {
        match what {
            What::Pulse(peer, pulse) => {
                self.peers.says(peer, pulse.height);
                if !self.is_fetching && self.is_behind() {
                    self.fetch(now);
                }
                Ok(0)
            }
            What::Asked => {
                self.has_asked = true;
                if self.target().is_none() {
                    // Those who validated when our copy ends may be gone: somebody else is asked.
                    self.ask_by(now);
                }
                Ok(0)
            }
            What::Slots { ticket, .. }
            | What::None { ticket, .. }
            | What::Pruned { ticket, .. }
            | What::State { ticket, .. }
                if ticket != self.ticket =>
            {
                Ok(0) // asked for before something turned out to be a lie
            }
            What::Pruned { silent, .. } => {
                (self.is_fetching, self.is_pruned) = (false, true);
                self.peers.fail(now, &silent);
                self.fetch(now);
                Ok(0)
            }
            What::State { synced, .. } => self.synced(now, *synced, watch),
            What::None { silent, .. } => {
                self.is_fetching = false;
                self.peers.fail(now, &silent);
                self.wait(now);
                Ok(0)
            }
            What::Slots { by, slots, last, silent, .. } => {
                self.is_fetching = false;
                self.peers.fail(now, &silent);
                self.given(now, by, (slots, last), watch)
            }
        }
    }

    /// Goes on from a state that was found, or slot by slot if there is none.
    fn synced(&mut self, now: Millis, synced: Synced, watch: Watch<'_>) -> Result<usize, Refusal> {
        self.is_fetching = false;
        let Synced { found, pins, missed, liars, silent } = synced;
        let is_all = silent.is_empty();
        self.peers.fail(now, &silent.into_iter().collect::<Vec<_>>());
        for liar in liars {
            self.peers.lies(now, liar);
        }
        if let (Some(missed), Some(checkpoint)) = (missed, self.replica.awaited()) {
            self.missed += 1;
            return match missed {
                // Who is silent may have it.
                Missed::Theirs(_) if !is_all && self.missed < MISSED_MAX => {
                    self.wait(now);
                    Ok(0)
                }
                Missed::Theirs(found) => Err(Refusal::Elsewhere { checkpoint, found }),
                Missed::Ours => Err(Refusal::Astray { checkpoint, found: None }),
            };
        }
        self.missed = 0;
        let Some(found) = found else {
            match pins {
                Some(pins) => {
                    self.is_pruned = false;
                    self.replica.pin(pins);
                    self.fetch(now);
                }
                None if self.is_pruned || self.replica.is_lost() => self.wait(now),
                None => self.fetch(now),
            }
            return Ok(0);
        };
        match self.replica.adopt(&found.milestone, &found.state, &found.way) {
            Ok(()) => {
                (self.is_pruned, self.pause_ms) = (false, 0);
                self.replica.pin(pins.unwrap_or_default());
                // Whoever looks on sees where it is now.
                watch(&[], self.replica.state(), &[]);
                self.survey();
                let count = self.catch_up(now, watch)?;
                self.fetch(now);
                Ok(count + 1)
            }
            Err(Refusal::Lie { .. }) => {
                // Who signed it is not who has to: then the log is the better way.
                self.wait(now);
                Ok(0)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Takes slots that somebody gave, and asks for the next while it does.
    fn given(
        &mut self,
        now: Millis,
        by: Option<PublicKey>,
        (slots, last): (Vec<Vec<u8>>, Height),
        watch: Watch<'_>,
    ) -> Result<usize, Refusal> {
        if slots.is_empty() {
            let here = self.replica.state().height();
            by.into_iter().for_each(|by| self.peers.ends(by, last.min(here)));
            self.wait(now);
            return Ok(0);
        }
        let end = self.from.0 + slots.len() as u64;
        if last.0 >= end {
            self.fetch_from(now, Height(end));
        }
        let before = self.state().validators().clone();
        match self.replica.take(&slots, watch) {
            Ok(count) => {
                self.pause_ms = 0;
                by.into_iter().for_each(|by| self.peers.says(by, last));
                if self.state().validators() != &before {
                    self.survey();
                }
                Ok(count + self.catch_up(now, watch)?)
            }
            Err(Refusal::Lie { .. } | Refusal::Gap { .. }) => {
                // What was asked for meanwhile would follow a lie.
                (self.is_fetching, self.ticket) = (false, self.ticket + 1);
                match by.is_some_and(|by| self.peers.lies(now, by)) {
                    true => self.fetch(now),
                    false => self.wait(now),
                }
                Ok(0)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Nobody had more: asks again a while later if there should be more.
    fn wait(&mut self, now: Millis) {
        self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MS.0, PAUSE_MS.1);
        if self.is_behind() || self.target().is_none() {
            self.ask_by(now.after(self.pause_ms));
        }
    }
}
