//! Measures what agreement takes: many validators in one process, on one core, on a network that is
//! there at once; and few of them as processes over a real bus. Never counts what only the
//! measurement does.

use super::{BenchError, Measurement, Scratch, detail};
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::canon::{Canonical, Decode, Encode};
use crate::base::keys::SecretKey;
use crate::base::time::Millis;
use crate::domain::command::{Command, Order, SignedOrder};
use crate::domain::genesis::{Allocation, Genesis, Params};
use crate::domain::poh::{self, Chain};
use crate::domain::slot::{Draft, commands_root};
use crate::domain::state::State;
use crate::effects::bus::Bus;
use crate::effects::clock::Clock;
use crate::effects::machine;
use crate::node::dev::{Dev, Wish};
use crate::node::follow::{Follower, Heard, Replica};
use crate::node::home::Home;
use crate::node::link;
use crate::node::network::Network;
use crate::node::wire::Wire;
use crate::role::consensus::{Consensus, Input, Message, Output};
use crate::role::{Machine, Signer, Verifiers};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::Handle;

/// Validators in one process: as many as a network may have.
const VALIDATORS: u8 = 20;
/// Slots that they agree on.
const SLOTS: u32 = 100;
/// Validators as processes.
const PROCESSES: usize = 4;
/// Commands that are under way at a time: fewer than a validator keeps of one author.
const UNDER_WAY: u64 = 900;
/// What was sent and not folded after so long is sent again.
const RESEND_MS: u64 = 2_000;
/// How long a connection is tried.
const CONNECT: Duration = Duration::from_secs(10);
/// Nothing takes so long.
const PATIENCE_MS: u64 = 60_000;

struct Seat {
    machine: Consensus,
    state: State,
}

fn client() -> SecretKey {
    SecretKey::from_bytes(&[99; 32])
}

fn genesis() -> Result<Genesis, BenchError> {
    let stake = Ohc::from_whole(100_000).unwrap_or_default();
    let key = |n| SecretKey::from_bytes(&[n; 32]).public();
    let validator = |n| Allocation { key: key(n), balance: Ohc::ZERO, stake };
    let mut allocations: Vec<_> = (1..=VALIDATORS).map(validator).collect();
    let staked = Ohc::sum(allocations.iter().map(|a| a.stake)).unwrap_or_default();
    let balance = SUPPLY.checked_sub(staked).unwrap_or_default();
    allocations.push(Allocation { key: client().public(), balance, stake: Ohc::ZERO });
    let params = Params::network();
    let genesis = Genesis { name: "bench".into(), salt: [0; 32], params, allocations };
    genesis.check().map_err(|error| BenchError::Jobs(error.to_string()))?;
    Ok(genesis)
}

/// A draft of one transfer.
fn draft(seat: &Seat) -> Draft {
    let (state, proposer) = (&seat.state, seat.machine.key());
    let nonce = state.nonce(&client().public()) + 1;
    let command = Command::Transfer { to: proposer, amount: Ohc::from_nano(1_000_000) };
    let commands = vec![client().seal(state.network(), Order { nonce, command })];
    let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
    let mut chain = Chain::resume(state.place(), params);
    let poh = chain.record(commands_root(&commands)).into_iter().collect();
    Draft { height: state.height().next(), proposer, poh, commands }
}

/// Milliseconds of a core that twenty validators take for one slot, all of them together.
pub fn agreement() -> Result<Measurement, BenchError> {
    let genesis = genesis()?;
    let parent = genesis.network().0;
    // What a validator knows of the others' keys would be there twenty times: more than a cache
    // holds, where a process that is one validator has it once.
    let mut known = Verifiers::default();
    known.follow(State::new(&genesis).validators());
    let seat = |n| {
        let state = State::new(&genesis);
        let key = SecretKey::from_bytes(&[n; 32]);
        let mut machine = Consensus::new(key, Millis(0), (&state, parent), 1);
        machine.introduce(known.clone());
        Seat { machine, state }
    };
    let mut seats: Vec<Seat> = (1..=VALIDATORS).map(seat).collect();
    // Over all slots: what the system counts for a thread is coarser than one of them takes.
    let begun = machine::thread_seconds().unwrap_or_default();
    let messages: u32 = (0..SLOTS).map(|_| agree(&mut seats)).sum();
    let seconds = machine::thread_seconds().unwrap_or_default() - begun;
    let heads = seats.iter().filter(|seat| seat.state.height().0 == u64::from(SLOTS)).count();
    Ok(Measurement {
        name: "agreement",
        value: seconds * 1e3 / f64::from(SLOTS),
        unit: "ms of a core per slot",
        baseline: None,
        detail: detail(&[
            ("validators", f64::from(VALIDATORS)),
            ("slots", f64::from(SLOTS)),
            ("agreed", heads as f64),
            ("messagesPerSlot", f64::from(messages) / f64::from(SLOTS)),
        ]),
    })
}

/// One slot, from its beginning until all have it. Gives how many messages were sent.
fn agree(seats: &mut [Seat]) -> u32 {
    let (mut wire, mut sent): (VecDeque<(usize, Vec<u8>)>, u32) = (VecDeque::new(), 0);
    let count = seats.len();
    let mut tell = |seats: &mut [Seat], index: usize, input, wire: &mut VecDeque<_>| {
        let Some(seat) = seats.get_mut(index) else { return };
        let mut out = Vec::new();
        seat.machine.handle(Millis(0), &seat.state, input, &mut out);
        let mut out = VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            let mut more = Vec::new();
            match output {
                Output::Send(message) => {
                    let bytes = message.to_bytes();
                    sent += 1;
                    let others = (0..count).filter(|other| *other != index);
                    wire.extend(others.map(|other| (other, bytes.clone())));
                }
                Output::Propose => {
                    let input = Input::Drafted(draft(seat));
                    seat.machine.handle(Millis(0), &seat.state, input, &mut more);
                }
                Output::Decided(slot) => {
                    seat.state.apply(slot.head.height, &slot.poh, &slot.commands);
                    let input = Input::Folded(slot.head.digest());
                    seat.machine.handle(Millis(0), &seat.state, input, &mut more);
                }
                Output::Record(_) | Output::Evidence(_) | Output::Behind(_) => {}
            }
            out.extend(more);
        }
    };
    for index in 0..count {
        tell(seats, index, Input::Begin, &mut wire);
    }
    while let Some((to, bytes)) = wire.pop_front() {
        if let Ok(message) = Message::from_bytes(&bytes) {
            tell(seats, to, Input::Message(message), &mut wire);
        }
    }
    sent
}

/// A client of a network of processes.
pub(super) struct Watcher {
    follower: Follower,
    inbox: Receiver<Heard>,
    bus: Bus,
    wire: Wire,
    clock: Clock,
    signer: Signer,
}

pub(super) type At<'a> = (&'a Network, &'a Path, &'a Handle);

impl Watcher {
    /// Connects with the client's key, and follows the log into a home of this name.
    pub(super) fn start(
        (network, scratch, runtime): At<'_>,
        home: &str,
    ) -> Result<Self, BenchError> {
        let failed = |error: &dyn std::error::Error| BenchError::Network(error.to_string());
        let key = scratch.join("network/client/key.pem");
        let key = link::key(&key).map_err(|error| failed(&error))?;
        let options = network.bus(&key.public(), CONNECT).map_err(|error| failed(&error))?;
        let bus = Bus::connect(&options, runtime, |_| {}).map_err(|error| failed(&error))?;
        let home = Home::at(&scratch.join(home));
        let booted = link::open(network, &home, None).map_err(|error| failed(&error))?;
        let (outbox, inbox) = mpsc::channel::<Heard>();
        let follower = Follower::start(&bus, Replica::new(booted), &outbox);
        let follower = follower.map_err(|error| failed(&error))?;
        let (wire, clock, signer) = (Wire::new(network.id()), Clock::start(), Signer::new(key));
        Ok(Self { follower, inbox, bus, wire, clock, signer })
    }

    pub(super) fn state(&self) -> &State {
        self.follower.state()
    }

    fn order(&mut self) -> SignedOrder {
        let to = SecretKey::from_bytes(&[1; 32]).public();
        let command = Command::Transfer { to, amount: Ohc::from_nano(1_000_000) };
        self.signer.order(self.follower.state(), command)
    }

    fn send(&self, order: &SignedOrder) -> Result<(), BenchError> {
        let subject = self.wire.command(&self.signer.public());
        let sent = self.bus.publish(&subject, self.wire.frame(order));
        sent.map_err(|error| BenchError::Network(error.to_string()))
    }

    /// Waits a while for what comes next.
    pub(super) fn hear(&mut self) -> Result<(), BenchError> {
        let now = self.clock.now();
        self.follower.wake(now);
        let Ok(heard) = self.inbox.recv_timeout(Duration::from_millis(20)) else { return Ok(()) };
        let taken = self.follower.hear(now, heard, &mut |_, _, _| {});
        taken.map(|_| ()).map_err(|error| BenchError::Network(error.to_string()))
    }

    /// The number of the last command that is final.
    fn last(&self) -> u64 {
        self.follower.state().nonce(&self.signer.public())
    }

    /// Milliseconds from sending one command to its being final here.
    pub(super) fn one(&mut self) -> Result<f64, BenchError> {
        let order = self.order();
        let begun = self.clock.seconds();
        self.send(&order)?;
        let (mut sent, end) = (self.clock.now(), self.clock.now().after(PATIENCE_MS));
        while self.last() < order.body.nonce {
            self.hear()?;
            if self.clock.now() >= sent.after(RESEND_MS) {
                self.send(&order)?;
                sent = self.clock.now();
            }
            if self.clock.now() >= end {
                return Err(BenchError::Unsettled);
            }
        }
        Ok((self.clock.seconds() - begun) * 1e3)
    }

    /// Seconds until so many commands are final that are sent as fast as they are taken.
    fn many(&mut self, count: u64) -> Result<f64, BenchError> {
        let (begun, first) = (self.clock.seconds(), self.last());
        let end = self.clock.now().after(PATIENCE_MS);
        let (mut unfolded, mut moved) = (VecDeque::<SignedOrder>::new(), self.clock.now());
        let mut next = 0;
        while self.last() < first + count {
            while next < count && first + next < self.last() + UNDER_WAY {
                let order = self.order();
                self.send(&order)?;
                unfolded.push_back(order);
                next += 1;
            }
            let before = self.last();
            self.hear()?;
            let last = self.last();
            unfolded.retain(|order| order.body.nonce > last);
            if last > before {
                moved = self.clock.now();
            } else if self.clock.now() >= moved.after(RESEND_MS) {
                unfolded.iter().try_for_each(|order| self.send(order))?;
                moved = self.clock.now();
            }
            if self.clock.now() >= end {
                return Err(BenchError::Unsettled);
            }
        }
        Ok(self.clock.seconds() - begun)
    }
}

/// Milliseconds from a command to its finality, over a bus, with four validators as processes; and
/// how many commands a second they make final.
pub fn finality(samples: u32) -> Result<Measurement, BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Network(error.to_string());
    let scratch = Scratch::new();
    let program = std::env::current_exe().map_err(BenchError::Scratch)?;
    let folder = scratch.0.join("network");
    let wish = Wish { folder: folder.clone(), validators: PROCESSES, workers: 1, program };
    let dev = Dev::start(&wish).map_err(|error| failed(&error))?;
    let runtime = crate::node::apply::start_runtime()?;
    let place = (&dev.network, scratch.0.as_path(), runtime.handle());
    let mut watcher = Watcher::start(place, "home")?;
    for _ in 0..10 {
        watcher.one()?;
    }
    let mut times = (0..samples.max(10)).map(|_| watcher.one()).collect::<Result<Vec<_>, _>>()?;
    let count = u64::from(samples.max(10)) * 10;
    let seconds = watcher.many(count)?;
    let height = watcher.follower.state().height();
    let begun = Clock::start();
    let mut late = Watcher::start(place, "late")?;
    while late.follower.state().height() < height {
        late.hear()?;
    }
    let followed = begun.seconds() * 1e3;
    drop((watcher, late));
    dev.stop();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len() - 1)).copied().unwrap_or_default()
    };
    Ok(Measurement {
        name: "finality",
        value: at(0.5),
        unit: "ms",
        baseline: None,
        detail: detail(&[
            ("p99", at(0.99)),
            ("slowest", at(1.0)),
            ("samples", times.len() as f64),
            ("commandsPerSecond", count as f64 / seconds),
            ("commands", count as f64),
            ("slots", height.0 as f64),
            ("followMs", followed),
            ("validators", PROCESSES as f64),
        ]),
    })
}
