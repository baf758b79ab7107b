//! A lab: a network of real processes with a nats-server that knows them, any of which can be
//! killed and started again. Never leaves one behind.

use super::halves::Halves;
use super::nats::Nats;
use crate::site::{Ran, SUPPLY_NANO, Site, nano};
use ohc::base::keys::{NetworkId, PublicKey, SecretKey};
use ohc::effects::keyring;
use ohc::node::network::{Founding, Network, begin_homes, found};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the server of messages is, as the files of a new network say.
const URL: &str = "nats://127.0.0.1:4222";

/// Sends a signal to a process.
pub(super) fn signal(child: &Child, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

/// Waits for the end of a process that is to end by itself: its code, unless it was killed or goes
/// on, which ends it.
pub(super) fn ended(child: &mut Child) -> Option<i32> {
    for _ in 0..600 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap().code()
}

/// A network in a site, and its processes by name.
pub(super) struct Lab {
    pub(super) site: Site,
    pub(super) nats: Nats,
    pub(super) folder: PathBuf,
    /// What opens the store.
    settings: Vec<(&'static str, String)>,
    nodes: BTreeMap<String, Child>,
    /// Where it is in two halves.
    apart: Option<Apart>,
}

/// A network in two halves: the client, and whoever else is not in the far one, is in the near one.
struct Apart {
    far: &'static [&'static str],
    /// The server of messages in the far half.
    _nats: Nats,
    halves: Halves,
}

impl Lab {
    /// A network with keys for so many validators and workers, of which only the validators run.
    pub(super) fn start(site: Site, validators: usize, workers: usize) -> Option<Self> {
        Self::start_on(site, validators, workers, ("store/", Vec::new()))
    }

    /// The same on a store, which these settings of the environment open.
    pub(super) fn start_on(
        site: Site,
        validators: usize,
        workers: usize,
        store: (&str, Vec<(&'static str, String)>),
    ) -> Option<Self> {
        let mut lab = Self::found(site, validators, workers, store)?;
        (1..=validators).for_each(|n| lab.run(&format!("validator-{n}")));
        Some(lab)
    }

    /// The same, of which nobody runs.
    pub(super) fn found(
        site: Site,
        validators: usize,
        workers: usize,
        store: (&str, Vec<(&'static str, String)>),
    ) -> Option<Self> {
        Self::found_with(site, (validators, workers), store, |genesis| genesis)
    }

    /// The same with another first page.
    pub(super) fn found_with(
        site: Site,
        (validators, workers): (usize, usize),
        (store, settings): (&str, Vec<(&'static str, String)>),
        change: impl Fn(String) -> String,
    ) -> Option<Self> {
        super::nats::program()?;
        let (folder, users) = network(&site, validators, workers, store);
        let users = found_again(&folder, &users, change);
        let nats = Nats::start(&users)?;
        let file = folder.join("network.yaml");
        let text = fs::read_to_string(&file).unwrap().replace(URL, &nats.url());
        fs::write(&file, text).unwrap();
        Some(Self { site, nats, folder, settings, nodes: BTreeMap::new(), apart: None })
    }

    /// A network of which these nodes are in the far half. Either half has a server of messages;
    /// they notice within so many seconds that they do not hear each other.
    pub(super) fn start_apart(
        site: Site,
        (validators, workers): (usize, usize),
        far: &'static [&'static str],
        halves: Halves,
        notice: u64,
    ) -> Option<Self> {
        let (folder, users) = network(&site, validators, workers, "store/");
        let [nats, other] = [0, 1].map(|half| Nats::start_in(&halves, half, &users, notice));
        let apart = Some(Apart { far, _nats: other?, halves });
        let (settings, nodes) = (Vec::new(), BTreeMap::new());
        let mut lab = Self { site, nats: nats?, folder, settings, nodes, apart };
        (1..=validators).for_each(|n| lab.run(&format!("validator-{n}")));
        Some(lab)
    }

    /// From now on the halves do not hear each other.
    pub(super) fn cut(&self) {
        self.apart.as_ref().unwrap().halves.cut();
    }

    /// They hear each other again.
    pub(super) fn heal(&self) {
        self.apart.as_ref().unwrap().halves.heal();
    }

    /// What the client knows of it.
    pub(super) fn network(&self) -> Network {
        let mut network = Network::read(&self.folder).unwrap();
        network.credentials = Some(self.folder.join("client/nats.seed"));
        network
    }

    /// The secret key of a node.
    pub(super) fn key(&self, name: &str) -> SecretKey {
        keyring::load(&self.folder.join(name).join("key.pem")).unwrap().unwrap()
    }

    /// The key of a node.
    pub(super) fn public(&self, name: &str) -> PublicKey {
        self.key(name).public()
    }

    /// Runs a node.
    pub(super) fn run(&mut self, name: &str) {
        let config = self.folder.join(name);
        let kind = name.split('-').next().unwrap();
        let command = self.site.command(&[kind, "--config", config.to_str().unwrap()]);
        let half = self.apart.as_ref().is_some_and(|apart| apart.far.contains(&name));
        let mut command = self.place(command, usize::from(half));
        let log = File::options().create(true).append(true).open(config.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.nodes.insert(name.to_owned(), command.spawn().unwrap());
    }

    /// From now on whoever is started does not have these settings.
    pub(super) fn forget(&mut self, names: &[&str]) {
        self.settings.retain(|(name, _)| !names.contains(name));
    }

    /// A command in one of the halves, if there are any.
    fn place(&self, mut command: Command, half: usize) -> Command {
        command.envs(self.settings.iter().cloned());
        match &self.apart {
            Some(apart) => apart.halves.within(half, &command),
            None => command,
        }
    }

    /// Kills a node: it gets no chance to say goodbye.
    pub(super) fn kill(&mut self, name: &str) {
        let mut child = self.nodes.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Has these stand still, or go on.
    pub(super) fn signal(&self, names: &[&str], what: Signal) {
        names.iter().for_each(|name| signal(&self.nodes[*name], what));
    }

    /// Asks a node to end, and waits for it: whether it does, and ends well.
    pub(super) fn ends(&mut self, name: &str) -> bool {
        let mut child = self.nodes.remove(name).unwrap();
        signal(&child, Signal::TERM);
        ended(&mut child) == Some(0)
    }

    /// A command of the client.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        self.command_of("data-home", args, 0)
    }

    /// A command of a client that is in one of the halves, and has seen nothing of the other.
    pub(super) fn command_in(&self, half: usize, args: &[&str]) -> Command {
        self.command_of(&format!("data-home-{half}"), args, half)
    }

    fn command_of(&self, home: &str, args: &[&str], half: usize) -> Command {
        let mut command = self.site.command(args);
        command.env_remove("OHC_HOME").env("OHC_NETWORK", &self.folder);
        command.env("XDG_DATA_HOME", self.site.path(home));
        let mut command = self.place(command, half);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A client at work, whose events go into a file.
    pub(super) fn client(&self, args: &[&str]) -> Client {
        let said = self.site.path("client.log");
        let mut command = self.command(args);
        command.stdout(File::create(&said).unwrap());
        Client { child: command.spawn().unwrap(), said }
    }

    /// How often somebody has paid a fee.
    pub(super) fn fees(&self, name: &str) -> usize {
        let ran = Ran::of(self.command(&["ledger", name, "-o", "json"]).spawn().unwrap());
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        let items = ran.last()["items"].as_array().unwrap().clone();
        items.iter().filter(|item| item["what"] == "fee").count()
    }

    /// All money, in nano-OhC.
    pub(super) fn all_money(&self) -> u128 {
        let ran = Ran::of(self.command(&["get", "accounts", "-o", "json"]).spawn().unwrap());
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        let accounts = ran.last();
        let parts = ["balance", "escrow", "bond", "stake"];
        let items = accounts["items"].as_array().unwrap();
        let held = items.iter().flat_map(|item| parts.iter().map(move |part| &item[*part]));
        held.chain([&accounts["treasury"], &accounts["burned"]]).map(nano).sum()
    }

    /// What nodes said, for whoever looks for what went wrong.
    pub(super) fn logs(&self) -> String {
        let log = |name: &String| fs::read_to_string(self.folder.join(name).join("log"));
        let mut names: Vec<&String> = self.nodes.keys().collect();
        names.sort();
        names.into_iter().map(|name| format!("{name}:\n{}", log(name).unwrap())).collect()
    }
}

/// Founds a network in a site. Gives its folder, and whom its servers let in.
fn network(site: &Site, validators: usize, workers: usize, store: &str) -> (PathBuf, String) {
    let out = site.path("lab");
    let (name, nats, store) = ("lab".into(), vec![URL.to_owned()], store.into());
    found(&Founding { out: out.clone(), name, validators, workers, nats, store }).unwrap();
    begin_homes(&out).unwrap();
    let users = fs::read_to_string(out.join("nats-users.conf")).unwrap();
    (out, users)
}

/// Gives a network that nobody has used yet another first page, and so another name to sign under.
/// Gives whom its servers let in then.
fn found_again(folder: &Path, users: &str, change: impl Fn(String) -> String) -> String {
    let (page, file) = (folder.join("genesis.yaml"), folder.join("network.yaml"));
    let before = Network::read(folder).unwrap().id();
    let genesis = change(fs::read_to_string(&page).unwrap());
    fs::write(page, genesis).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let (begin, _) = text.split_once("id: ").unwrap();
    let end = text.split_once("genesis: ").unwrap().1;
    fs::write(&file, format!("{begin}genesis: {end}")).unwrap();
    let after = Network::read(folder).unwrap().id();
    fs::write(&file, format!("{begin}id: \"{}\"\ngenesis: {end}", after.0)).unwrap();
    let prefix = |id: NetworkId| id.0.to_string()[..16].to_owned();
    users.replace(&prefix(before), &prefix(after))
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in self.nodes.values_mut() {
            // Where it has ended already there is nothing to do.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A client at work.
pub(super) struct Client {
    child: Child,
    said: PathBuf,
}

impl Client {
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str) {
        for _ in 0..1_200 {
            if self.said().contains(what) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "it ended without {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("never {what}: {}", self.said());
    }

    /// Has it stand still, or go on.
    pub(super) fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether it has said something by now.
    pub(super) fn has_said(&self, what: &str) -> bool {
        self.said().contains(what)
    }

    /// Waits for its end; gives the last that it said.
    #[track_caller]
    pub(super) fn end(mut self, lab: &Lab) -> Value {
        for _ in 0..2_400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0), "{}\n{}", self.said(), lab.logs());
                assert_eq!(lab.all_money(), SUPPLY_NANO);
                return serde_json::from_str(self.said().lines().last().unwrap()).unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.child.kill());
        panic!("it goes on: {}\n{}", self.said(), lab.logs());
    }
}
