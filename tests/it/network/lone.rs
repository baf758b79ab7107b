//! One validator that runs alone behind a bus, on a thread of the test: a network with one
//! validator is a legal one. Never anything but the role, the store and the bus that nodes use.

use ohc::base::canon::{Canonical, Digest, Encode};
use ohc::base::limits::WIRE_BYTES_MAX;
use ohc::domain::command::SignedOrder;
use ohc::domain::event::events_root;
use ohc::domain::state::State;
use ohc::effects::bus::{Bus, Message, Subscription};
use ohc::effects::store::Store;
use ohc::node::Clock;
use ohc::node::handouts::Handouts;
use ohc::node::home::Home;
use ohc::node::link;
use ohc::node::network::Network;
use ohc::node::serve::{Log, Server};
use ohc::node::wire::Wire;
use ohc::node::work::Bench;
use ohc::role::validator::{Input, Output, Validator};
use ohc::role::{Machine, Signer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// A validator that is at work until this is dropped.
pub(crate) struct Lone {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Lone {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Lone {
    /// Starts the first validator of the network whose files lie in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (own, dir) = (is_over.clone(), dir.to_path_buf());
        let (begun, ready) = mpsc::channel();
        let thread = std::thread::spawn(move || Seat::new(&dir).run(&own, &begun));
        ready.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { is_over, thread: Some(thread) }
    }
}

struct Seat {
    clock: Clock,
    runtime: Runtime,
    bus: Bus,
    wire: Wire,
    state: State,
    parent: Digest,
    store: Arc<Store>,
    machine: Validator,
    bench: Bench,
    commands: Receiver<Message>,
    _held: (Server, Subscription),
}

fn key_file(dir: &Path) -> PathBuf {
    dir.join("validator-1/key.pem")
}

impl Seat {
    fn new(dir: &Path) -> Self {
        let network = Network::read(dir).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (home, key) = (Home::at(&dir.join("lone")), link::key(&key_file(dir)).unwrap());
        let me = key.public();
        let booted = link::open(&network, &home, None).unwrap();
        runtime.block_on(booted.artifacts.begin()).unwrap();
        let handle = runtime.handle();
        let soon = Duration::from_secs(10);
        let bus = link::connect(&network, &me, "lone", soon, handle, |_| {}).unwrap();
        let wire = Wire::new(network.id());
        let (sender, commands) = mpsc::channel();
        let sink = move |message| sender.send(message).is_ok();
        let held = bus.subscribe(&wire.command_of_all(), None, 1 << 24, sink).unwrap();
        let genesis = network.genesis.clone();
        let handouts = Handouts::of(&home);
        let log = Log::new(booted.store.clone(), genesis, Arc::new(key), handouts);
        let server = Server::start(&bus, log).unwrap();
        let clock = Clock::start();
        let signer = Signer::new(link::key(&key_file(dir)).unwrap());
        Self {
            clock,
            bench: Bench::new(booted.artifacts, handle.clone()),
            runtime,
            bus,
            wire,
            state: booted.state,
            parent: booted.parent,
            store: booted.store,
            machine: Validator::new(signer, clock.now()),
            commands,
            _held: (server, held),
        }
    }

    fn run(mut self, is_over: &AtomicBool, begun: &Sender<()>) {
        begun.send(()).unwrap();
        self.tell(Input::Folded);
        while !is_over.load(Ordering::SeqCst) {
            let now = self.clock.now();
            if self.machine.deadline(&self.state).is_some_and(|at| at <= now) {
                self.tell(Input::Wake);
            }
            let wait = self.machine.deadline(&self.state).map_or(50, |at| at.since(now).min(50));
            let mut next = self.commands.recv_timeout(Duration::from_millis(wait)).ok();
            while let Some(message) = next {
                let order = self.wire.unframe::<SignedOrder>(&message.bytes, WIRE_BYTES_MAX);
                self.tell(Input::Command(order.unwrap()));
                next = self.commands.try_recv().ok();
            }
        }
        self.runtime.shutdown_background();
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(self.clock.now(), &self.state, input, &mut out);
        for output in out {
            match output {
                Output::Cut(draft) => {
                    let height = draft.height;
                    let events = self.state.apply(height, &draft.poh, &draft.commands);
                    let root = events_root(&events);
                    let slot = self.machine.seal(&self.state, draft, self.parent, root);
                    self.store.append(height, &slot.to_bytes()).unwrap();
                    self.parent = slot.head.digest();
                    let _ = self.bus.publish(&self.wire.slot(), self.wire.frame(&slot));
                    self.tell(Input::Folded);
                }
                Output::Check(duty) => {
                    let salt = self.machine.salt(&self.state, &duty);
                    let verdict = self.bench.check(&duty, salt).unwrap();
                    self.tell(Input::Checked(duty.matter(), verdict));
                }
                Output::Trace(query) => {
                    if let Some(said) = self.bench.testify(&query).unwrap() {
                        self.tell(Input::Traced(said));
                    }
                }
                Output::Send(_) => {}
            }
        }
    }
}
