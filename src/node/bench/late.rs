//! Measures how soon a new worker is at work on a network that is there for long: real processes on
//! this machine, whose validators have a history that was written before. Never a shortcut for the
//! worker: it knows the genesis and the bus, and nothing else.

use super::{BenchError, Measurement, Scratch, agreement::Watcher, detail};
use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Encode};
use crate::base::keys::{PublicKey, SecretKey};
use crate::domain::command::{Command, Order};
use crate::domain::event::events_root;
use crate::domain::poh::{self, Chain};
use crate::domain::slot::{Draft, Slot, commands_root};
use crate::domain::state::State;
use crate::domain::vote::Certificate;
use crate::effects::children::Child;
use crate::effects::clock::Clock;
use crate::node::dev::{self, Dev, Wish};
use crate::node::follow::Replica;
use crate::node::home::Home;
use crate::node::link;
use crate::node::network::Network;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Validators as processes.
const VALIDATORS: usize = 4;
/// Slots that they keep.
const RETAINED: u64 = 100;
/// New workers, one after the other.
const TURNS: u32 = 5;
/// Nothing takes so long.
const PATIENCE_MS: u64 = 60_000;
/// So long a worker may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Milliseconds from the start of a new worker to its first bid being final, on a network of four
/// validators with so many slots of history, of which they keep a hundred; and how long it takes to
/// fold all of it.
pub fn late(slots: u32) -> Result<Measurement, BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Network(error.to_string());
    let scratch = Scratch::new();
    let folder = scratch.0.join("network");
    let program = std::env::current_exe().map_err(BenchError::Scratch)?;
    let wish = Wish { folder: folder.clone(), validators: VALIDATORS, workers: 0, program };
    let network = dev::begin(&wish).map_err(|error| failed(&error))?;
    let (history, state) = write(&network, &folder, slots)?;
    let mut folded = 0.0;
    for name in names() {
        let begun = Clock::start();
        let home = Home::at(&folder.join(&name).join("home"));
        let mut replica = Replica::new(link::open(&network, &home, None).map_err(|e| failed(&e))?);
        replica.hand_out(Some(RETAINED));
        for some in history.chunks(500) {
            replica.take(some, &mut |_, _, _| {}).map_err(|error| failed(&error))?;
        }
        folded = begun.seconds() * 1e3;
    }
    let dev = Dev::start(&wish).map_err(|error| failed(&error))?;
    let runtime = crate::node::apply::start_runtime()?;
    let place = (&dev.network, scratch.0.as_path(), runtime.handle());
    let mut watcher = Watcher::start(place, "home")?;
    while watcher.state().height() < state.height() {
        watcher.hear()?;
    }
    watcher.one()?;
    let mut times = Vec::new();
    for turn in 0..TURNS {
        times.push(join(&mut watcher, &folder, turn)?);
    }
    let (bytes, last) = (state.snapshot().len() as f64, watcher.state().height());
    drop(watcher);
    dev.stop();
    times.sort_by(f64::total_cmp);
    Ok(Measurement {
        name: "late",
        value: super::median(times.clone()),
        unit: "ms",
        baseline: None,
        detail: detail(&[
            ("slowest", times.last().copied().unwrap_or_default()),
            ("workers", f64::from(TURNS)),
            ("slots", last.0 as f64),
            ("stateBytes", bytes),
            ("foldMs", folded),
            ("validators", VALIDATORS as f64),
        ]),
    })
}

fn names() -> impl Iterator<Item = String> {
    (1..=VALIDATORS).map(|n| format!("validator-{n}"))
}

/// Slots of one payment each, signed by all validators; and the state after them.
fn write(
    network: &Network,
    folder: &Path,
    slots: u32,
) -> Result<(Vec<Vec<u8>>, State), BenchError> {
    let read = |name: &str| {
        let key = link::key(&folder.join(name).join("key.pem"));
        key.map_err(|error| BenchError::Network(error.to_string()))
    };
    let keys = names().map(|name| read(&name)).collect::<Result<Vec<_>, _>>()?;
    let client = read("client")?;
    let (mut state, mut parent) = (State::new(&network.genesis), network.genesis.digest());
    let params = poh::Params { hashes_per_tick: network.genesis.params.hashes_per_tick };
    let (id, mut written) = (network.id(), Vec::new());
    for nonce in 1..=u64::from(slots) {
        let to = SecretKey::from_bytes(&[1; 32]).public();
        let command = Command::Transfer { to, amount: Ohc::from_nano(1_000_000) };
        let commands = vec![client.seal(id, Order { nonce, command })];
        let poh = Chain::resume(state.place(), params).record(commands_root(&commands));
        let proposer = keys.first().map(SecretKey::public).unwrap_or(client.public());
        let draft = Draft { height: state.height().next(), proposer, poh, commands };
        let events = state.apply(draft.height, &draft.poh, &draft.commands);
        let head = draft.head(parent, events_root(&events));
        parent = head.digest();
        let mut certificate = Certificate::default();
        let vote = certificate.vote(head.height, parent);
        let signed = keys.iter().map(|key| (key.public(), key.sign(id, &vote)));
        certificate.signatures = signed.collect();
        let Draft { poh, commands, .. } = draft;
        written.push(Slot { head, poh, commands, certificate }.to_bytes());
    }
    Ok((written, state))
}

/// Starts a worker that has nothing but a key, and waits until its bid is final; then has it end.
fn join(watcher: &mut Watcher, folder: &Path, turn: u32) -> Result<f64, BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Network(error.to_string());
    let own = folder.join(format!("late-{turn}"));
    fs::create_dir_all(&own).map_err(BenchError::Scratch)?;
    let text = "kind: worker\nnetwork: ../network.yaml\nkey: ../client/key.pem\nhome: home/\n\
                capacity: 1000\ncredentials: ../client/nats.seed\n";
    fs::write(own.join("config.yaml"), text).map_err(BenchError::Scratch)?;
    let key = link::key(&folder.join("client/key.pem")).map_err(|error| failed(&error))?.public();
    let program = std::env::current_exe().map_err(BenchError::Scratch)?;
    let args = [OsStr::new("worker"), OsStr::new("--config"), own.as_os_str()];
    let begun = Clock::start();
    let late = Child::start("late", &program, &args, &own.join("log"));
    let mut late = late.map_err(|error| failed(&error))?;
    await_bid(watcher, &key, true, &begun)?;
    let took = begun.seconds() * 1e3;
    late.ask_to_end();
    late.wait(END_WITHIN);
    await_bid(watcher, &key, false, &begun)?;
    Ok(took)
}

/// Waits until somebody bids, or does not any more.
fn await_bid(
    watcher: &mut Watcher,
    key: &PublicKey,
    bids: bool,
    begun: &Clock,
) -> Result<(), BenchError> {
    let is_bidding =
        |state: &State| state.workers().get(key).is_some_and(|worker| worker.bid.is_some());
    while is_bidding(watcher.state()) != bids {
        watcher.hear()?;
        if begun.seconds() * 1e3 > PATIENCE_MS as f64 {
            return Err(BenchError::Unsettled);
        }
    }
    Ok(())
}
