//! Founding a network: keys, the first page, and one folder per node. Never overwrites anything:
//! all of it is made beside its place and named when it is whole.

use super::fields::quoted;
use super::guard::{self, Guest, Role};
use super::{CONFIG_FILE, NETWORK_FILE, Network, NetworkError, folder, named, page};
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::canon::Digest;
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::limits::{STAKE_FLOOR_OHC, VALIDATORS_MAX};
use crate::domain::genesis::{Allocation, Genesis, Params};
use crate::effects::clock;
use crate::effects::keyring;
use crate::node::home::Home;
use crate::node::voter;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The home of a node, in its folder.
const HOME: &str = "home";
/// Whom the servers of NATS let in, to be included by their configuration.
const USERS_FILE: &str = "nats-users.conf";
/// The seed of a node's nkey, in its folder.
pub(super) const SEED_FILE: &str = "nats.seed";
/// What all validators have at stake together: three times what may be locked for runs.
const STAKES_OHC: u64 = 6_000_000;
/// What a validator can spend, on fines that are not to touch its stake.
const VALIDATOR_OHC: u64 = 1_000;
/// What a worker can put up as bonds: four prices of what it holds.
const WORKER_OHC: u64 = 10_000;
/// Workers that a founding makes keys for; any number can come later.
const WORKERS_MAX: usize = 1_000;
/// Addresses of NATS in one file.
const NATS_MAX: usize = 64;

const _: () = assert!(STAKES_OHC / VALIDATORS_MAX as u64 > STAKE_FLOOR_OHC);
const _: () = assert!(
    STAKES_OHC + VALIDATORS_MAX as u64 * VALIDATOR_OHC + WORKERS_MAX as u64 * WORKER_OHC
        < SUPPLY.nano() / 1_000_000_000
);

/// What is to be founded.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The folder; nothing may be there.
    pub out: PathBuf,
    /// What people will call the network.
    pub name: String,
    /// Validators, each with an equal stake.
    pub validators: usize,
    /// Workers with a purse for bonds.
    pub workers: usize,
    /// The servers of NATS.
    pub nats: Vec<String>,
    /// Where artifacts will be: an address, or a path that is relative to the folder.
    pub store: String,
}

/// What was founded.
#[derive(Debug)]
pub struct Founded {
    /// The network, as its file now says.
    pub network: Network,
    /// The folders of its validators, then of its workers, each with a `config.yaml`.
    pub nodes: Vec<PathBuf>,
    /// The key that owns all that nobody else does.
    pub client: PathBuf,
}

/// Makes the folder of a new network.
pub fn found(founding: &Founding) -> Result<Founded, NetworkError> {
    check(founding)?;
    let salt = clock::fresh_seed();
    let draft = beside(&founding.out, &Digest(salt).short());
    let made = draft_all(founding, salt, &draft).and_then(|names| {
        // Over an empty folder it may take its place; anything else stays.
        fs::rename(&draft, &founding.out).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                NetworkError::Exists { path: founding.out.clone() }
            }
            _ => failed("make", &founding.out)(source),
        })?;
        Ok(names)
    });
    if made.is_err() {
        // Keys that nobody ever used; where they cannot be removed they are in nobody's way.
        drop(fs::remove_dir_all(&draft));
    }
    let out = &founding.out;
    let nodes = made?.into_iter().map(|name| out.join(name)).collect();
    let network = Network::read(&out.join(NETWORK_FILE))?;
    Ok(Founded { network, nodes, client: out.join("client/key.pem") })
}

fn check(founding: &Founding) -> Result<(), NetworkError> {
    let Founding { out, name, validators, workers, nats, store } = founding;
    let refuse = |what: String, hint| Err(NetworkError::Founding { what, hint });
    if named(name).is_none() {
        return Err(NetworkError::Name { name: name.clone() });
    }
    if !(1..=VALIDATORS_MAX).contains(validators) {
        let what = format!("a network has 1 to {VALIDATORS_MAX} validators, not {validators}");
        return refuse(what, "with 4, one may fail; with 7, two");
    }
    if *workers > WORKERS_MAX {
        let what = format!("{workers} workers are more than {WORKERS_MAX}");
        return refuse(what, "found it with fewer: others join with a key and OhC of their own");
    }
    let is_server = |url: &String| {
        let known = ["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme));
        known && !url.contains(['@', '"']) && !url.contains(char::is_whitespace)
    };
    if nats.is_empty() || nats.len() > NATS_MAX || !nats.iter().all(is_server) {
        let what = "a server of NATS is named as nats://HOST:PORT or tls://HOST:PORT";
        return refuse(what.into(), "secrets go into a file that `credentials` names");
    }
    if store.is_empty() || store.contains(char::is_control) {
        return refuse("the store has no address".into(), "name a folder, or s3://BUCKET/PREFIX");
    }
    let inside = out.read_dir().map(|mut entries| entries.next().is_some());
    match inside {
        Ok(false) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(NetworkError::Exists { path: out.clone() }),
    }
}

/// Begins the homes of the validators of a network that was founded in a folder a moment ago, where
/// they run in it: their keys have voted nowhere. Where they are copied elsewhere, a copy that is
/// made later would say so too.
pub fn begin_homes(folder: &Path) -> Result<(), NetworkError> {
    for n in 1..=VALIDATORS_MAX {
        let node = folder.join(format!("validator-{n}"));
        let Some(key) = keyring::load(&node.join("key.pem"))? else { break };
        voter::hold(&Home::at(&node.join(HOME)), &key.public())?;
    }
    Ok(())
}

/// Makes everything in a folder of its own; gives the names of the nodes' folders.
fn draft_all(
    founding: &Founding,
    salt: [u8; 32],
    draft: &Path,
) -> Result<Vec<String>, NetworkError> {
    let mut guests = Vec::new();
    let mut key = |name: &str, role: Role| {
        let (secret, (seed, nkey)) = secrets();
        let (key, folder) = (secret.public(), draft.join(name));
        keyring::save(&folder.join("key.pem"), &secret)?;
        put_secret(&folder.join(SEED_FILE), &format!("{seed}\n"))?;
        guests.push(Guest { name: name.to_owned(), key, nkey, role });
        Ok::<PublicKey, NetworkError>(key)
    };
    let mut fleet = |kind: &str, role, count: usize| {
        let one = |n| {
            let name = format!("{kind}-{n}");
            Ok((key(&name, role)?, name))
        };
        (1..=count).map(one).collect::<Result<Vec<_>, NetworkError>>()
    };
    let validators = fleet("validator", Role::Validator, founding.validators)?;
    let workers = fleet("worker", Role::Follower, founding.workers)?;
    let client = (key("client", Role::Follower)?, "client".to_owned());
    for (kind, nodes) in [("validator", &validators), ("worker", &workers)] {
        for (_, name) in nodes {
            put(&draft.join(name).join(CONFIG_FILE), &config(kind))?;
        }
    }
    let genesis = genesis(founding, salt, &validators, &workers, client.0);
    let nodes = validators.iter().chain(&workers).map(|(_, name)| name.clone()).collect();
    let all = validators.into_iter().chain(workers).chain([client]);
    let names: BTreeMap<PublicKey, String> = all.collect();
    put(&draft.join("genesis.yaml"), &page::write(&genesis, &names))?;
    put(&draft.join(NETWORK_FILE), &reach(founding, &genesis, &names))?;
    let users = guard::authorization(genesis.network(), &guests);
    put(&draft.join(USERS_FILE), &users)?;
    // It holds secret keys.
    put(&draft.join(".gitignore"), "*\n")?;
    Ok(nodes)
}

/// Equal stakes, equal purses, and all else for the client: together exactly the supply.
fn genesis(
    founding: &Founding,
    salt: [u8; 32],
    validators: &[(PublicKey, String)],
    workers: &[(PublicKey, String)],
    client: PublicKey,
) -> Genesis {
    let whole = |ohc| Ohc::from_whole(ohc).unwrap_or_default();
    let stake = whole(STAKES_OHC / (validators.len() as u64).max(1));
    let (spend, purse) = (whole(VALIDATOR_OHC), whole(WORKER_OHC));
    let validators = validators.iter().map(|(key, _)| (*key, spend, stake));
    let workers = workers.iter().map(|(key, _)| (*key, purse, Ohc::ZERO));
    let mut allocations: Vec<Allocation> = validators
        .chain(workers)
        .map(|(key, balance, stake)| Allocation { key, balance, stake })
        .collect();
    let given = Ohc::sum(allocations.iter().flat_map(|a| [a.balance, a.stake]));
    let rest = given.and_then(|given| SUPPLY.checked_sub(given)).unwrap_or_default();
    allocations.push(Allocation { key: client, balance: rest, stake: Ohc::ZERO });
    let (name, params) = (founding.name.clone(), Params::network());
    Genesis { name, salt, params, allocations }
}

fn reach(founding: &Founding, genesis: &Genesis, names: &BTreeMap<PublicKey, String>) -> String {
    let nats: Vec<String> = founding.nats.iter().map(|url| quoted(url)).collect();
    let mut text = format!(
        "# What it takes to reach this network. Whoever joins it gets this file and genesis.yaml;\n\
         # neither holds a secret.\n\
         name: {}\n\
         id: \"{}\"\n\
         genesis: genesis.yaml\n\
         nats: [{}]\n\
         # A folder that all nodes reach, or file://, s3://, gs:// or az://. What opens it comes\n\
         # from each node's environment (AWS_ACCESS_KEY_ID, …).\n\
         store: {}\n\
         # Whether validators sign the requests of workers and clients to a store at s3://, so\n\
         # that they need nothing that opens it: a worker's configuration may say otherwise.\n\
         # presigned: true\n\
         # For servers with TLS whose certificate is signed by an authority of your own:\n\
         # tls: {{ ca: ca.pem }}\n\
         # What people call its keys; no rule knows these names.\n\
         names:\n",
        founding.name,
        genesis.network().0,
        nats.join(", "),
        quoted(&founding.store),
    );
    let mut named: Vec<(&String, &PublicKey)> = names.iter().map(|(key, n)| (n, key)).collect();
    named.sort();
    for (name, key) in named {
        let _ = writeln!(text, "  {name}: \"{key}\"");
    }
    text
}

fn config(kind: &str) -> String {
    let own = match kind {
        "worker" => {
            "# What it asks for a unit of work, in nano-OhC, how many units it takes on at once,\n\
             # and how many blocks it computes at once; what is not said it finds out.\n\
             # ask: 1000000\n\
             # capacity: 100000\n\
             # threads: 1\n\
             # Which kinds of jobs it takes on, when in a day (UTC), and after how many blocks it \
             ends.\n\
             # classes: train,evaluate\n\
             # hours: 22:00-06:00\n\
             # maxBlocks: 1000\n\
             # Whether validators sign its requests to the store while it holds a lease, so\n\
             # that it needs no credentials; as network.yaml says where nothing is said.\n\
             # presigned: true\n"
        }
        "validator" => {
            "# How many slots of the log it keeps at least, behind a state to go on from; all of\n\
             # them where nothing is said.\n\
             # retainSlots: 100000\n"
        }
        _ => "",
    };
    let twice = match kind {
        "validator" => "may vote twice, and loses its stake for it",
        _ => "works against itself",
    };
    format!(
        "# One {kind}: `ohc {kind} --config` and the path of this file run it. Nobody else may\n\
         # have its key: a {kind} that runs twice {twice}.\n\
         kind: {kind}\n\
         network: ../{NETWORK_FILE}\n\
         key: key.pem\n\
         home: {HOME}/\n\
         # By which the servers of NATS know it; they may ask for nothing as well.\n\
         credentials: {SEED_FILE}\n\
         # How much of the store it keeps copies of: what was used last.\n\
         # cache: 10GiB\n{own}"
    )
}

fn beside(out: &Path, mark: &str) -> PathBuf {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned());
    folder(out).join(format!(".{}.{mark}.new", name.unwrap_or_default()))
}

/// The key that a node signs with, and the one that the servers of NATS know it by.
fn secrets() -> (SecretKey, (String, String)) {
    (SecretKey::from_bytes(&clock::fresh_seed()), guard::nkey(&clock::fresh_seed()))
}

fn put_secret(path: &Path, text: &str) -> Result<(), NetworkError> {
    keyring::write_private(path, text.as_bytes()).map_err(failed("write", path))
}

fn put(path: &Path, text: &str) -> Result<(), NetworkError> {
    fs::write(path, text).map_err(failed("write", path))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NetworkError {
    let path = path.to_owned();
    move |source| NetworkError::Io { doing, path, source }
}
