//! Boot: from a home folder to a node whose state is that of its log.
//! Makes keys and a genesis on first use; never changes either afterwards.

use super::attach::AttachError;
use super::home::Home;
use super::snapshot::{self, Beginning, Found, Keeper};
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::canon::{Canonical, Decode, DecodeError, Digest, Encode};
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::time::Height;
use crate::domain::event::Event;
use crate::domain::genesis::{Allocation, Genesis, GenesisError, Params};
use crate::domain::milestone::Checkpoint;
use crate::domain::slot::Slot;
use crate::domain::state::{FoldError, State};
use crate::effects::artifacts::{ArtifactError, Artifacts};
use crate::effects::clock;
use crate::effects::draft::Draft;
use crate::effects::keyring::{self, KeyringError};
use crate::effects::store::{Recovery, Store, StoreError};
use crate::effects::{Peril, pass};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// The record that holds the genesis.
pub(super) const GENESIS: &[u8] = b"genesis";
/// What the embedded validator has at stake: more than the floor of 39,900 OhC.
const STAKE_OHC: u64 = 6_000_000;

/// Workers of one home.
const WORKERS_MAX: usize = 256;

/// A node that knows its network and its log, and does nothing yet.
pub struct Booted {
    /// The first page of its history.
    pub genesis: Genesis,
    /// The fold of its log.
    pub state: State,
    /// The digest of the last slot's head; the genesis' if there is none.
    pub parent: Digest,
    /// The log.
    pub store: Arc<Store>,
    /// What its log is to lead to, or has led by.
    pub checkpoint: Option<Checkpoint>,
    /// The artifacts.
    pub artifacts: Arc<Artifacts>,
    /// What was found when the log was opened.
    pub recovery: Recovery,
    /// What became of the snapshot, if there was one.
    pub snapshot: Found,
    /// Takes the next one.
    pub keeper: Keeper,
}

impl Booted {
    /// Ends: takes a snapshot if the next start would be slow without. Gives the state.
    #[must_use]
    pub fn finish(mut self) -> State {
        self.keeper.finish(&self.state, self.parent);
        self.state
    }
}

/// The keys of an embedded network.
pub struct Keys {
    /// Pays for runs, and owns everything that is not staked.
    pub client: SecretKey,
    /// The only validator.
    pub validator: SecretKey,
    /// The workers.
    pub workers: Vec<SecretKey>,
    /// Workers of an earlier, larger fleet: they may hold leases or bids that a crash left behind.
    pub retired: Vec<SecretKey>,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A key cannot be read or made.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// A key that the log depends on is gone: a new one would be somebody else.
    #[error(
        "the {name} key of this home is gone: there is no file {}; hint: restore it from a copy; \
         without it nobody can {loss}; `ohc log verify` needs none", .path.display()
    )]
    KeyGone {
        /// Whose.
        name: &'static str,
        /// Where it lay.
        path: PathBuf,
        /// What nobody else can do.
        loss: &'static str,
    },
    /// A key is not the one that the network began with.
    #[error(
        "the {name} key of this home is not the one that its log began with; hint: restore the \
         right one from a copy, or move the home away to begin a new history"
    )]
    KeyOther {
        /// Whose.
        name: &'static str,
    },
    /// The home holds the log of another network.
    #[error(
        "the home {} holds the log of another network; hint: choose another with --home, or move \
         it away", .path.display()
    )]
    OtherNetwork {
        /// The folder.
        path: PathBuf,
    },
    /// The home cannot be made.
    #[error("cannot make the home {}: {source}; hint: check its folder and permissions, or choose \
        another with --home", .path.display())]
    Home {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The log cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process has the log open, and is of no help.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The artifact store cannot be opened.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The genesis on disk is not one, or not of these rules.
    #[error(
        "the log in this home cannot be folded: {0}; hint: use the ohc that wrote it, or move the \
         home away to begin a new history"
    )]
    Genesis(#[from] GenesisError),
    /// A stored slot is not one.
    #[error(
        "slot {height} of the log is damaged: {what}; hint: `ohc log verify` checks all of it; \
         restore the home from a copy, or move it away to begin a new history"
    )]
    Slot {
        /// Which.
        height: Height,
        /// What is wrong with it.
        what: String,
    },
    /// The log does not begin with the first slot, and there is no state to begin with.
    #[error(
        "the log of this home begins after slot {base}, and no state of it can be read; hint: move \
         the folder `log` of the home away, and it is fetched again"
    )]
    NoBeginning {
        /// The slot before those that are here.
        base: Height,
    },
    /// The bytes of the genesis do not decode.
    #[error(
        "the genesis in the log cannot be read ({0}): it is damaged, or an older ohc wrote it; \
         hint: use that one, restore the home from a copy, or move it away to begin a new history"
    )]
    Decode(#[from] DecodeError),
}

/// Reads the keys of a home; makes those that are missing.
pub fn keys(home: &Home, workers: usize) -> Result<Keys, BootError> {
    begin(home)?;
    let must_exist = |name: &'static str, loss: &'static str| match home.key(name) {
        path if home.exists() && !path.exists() => Err(BootError::KeyGone { name, path, loss }),
        _ => Ok(()),
    };
    must_exist("client", "spend what its account holds")?;
    must_exist("validator", "sign the next page of this log")?;
    let load = |name: &str| keyring::load_or_create(&home.key(name), clock::fresh_seed);
    type Fleet = Result<Vec<SecretKey>, KeyringError>;
    let fleet = |range: Range<usize>| -> Fleet { range.map(|n| load(&worker_name(n))).collect() };
    let retired = fleet(workers..workers_known(home).max(workers));
    let (client, validator) = (load("client")?, load("validator")?);
    let keys = Keys { client, validator, workers: fleet(0..workers)?, retired: retired? };
    keyring::sweep(&home.keys());
    Ok(keys)
}

/// Makes the folder of a home, and tells git to leave it alone: it holds secret keys.
pub(super) fn begin(home: &Home) -> Result<(), BootError> {
    let path = home.dir().join(".gitignore");
    if path.exists() {
        return Ok(());
    }
    let made = std::fs::create_dir_all(home.dir())
        .and_then(|()| Draft::of(&path, b"*\n"))
        .inspect(|_| pass(Peril::HomeIgnored))
        .and_then(Draft::place);
    match made {
        // Another process may have been first.
        Err(source) if !path.exists() => {
            Err(BootError::Home { path: home.dir().to_path_buf(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Every key of a home by the name of its file.
#[must_use]
pub fn names(keys: &Keys) -> Vec<(PublicKey, String)> {
    let workers = keys.workers.iter().chain(&keys.retired).enumerate();
    let workers = workers.map(|(index, key)| (key.public(), worker_name(index)));
    let own = [(keys.client.public(), "client"), (keys.validator.public(), "validator")];
    own.into_iter().map(|(key, name)| (key, name.to_owned())).chain(workers).collect()
}

/// How many workers have ever had a key in a home.
#[must_use]
pub fn workers_known(home: &Home) -> usize {
    (0..WORKERS_MAX).take_while(|index| home.key(&worker_name(*index)).exists()).count()
}

/// Whether the key of that name is one that a role of the embedded network has.
#[must_use]
pub fn is_role(name: &str) -> bool {
    matches!(name, "client" | "validator") || (0..WORKERS_MAX).any(|n| worker_name(n) == name)
}

/// The name of a worker's key: `worker-1` is the first.
#[must_use]
pub fn worker_name(index: usize) -> String {
    format!("worker-{}", index + 1)
}

/// Opens a home: its genesis (made on first use from `client` and `validator`) and its log.
pub fn boot(home: &Home, client: PublicKey, validator: PublicKey) -> Result<Booted, BootError> {
    let (store, recovery) = Store::open(&home.log())?;
    let make = || embedded_genesis(client, validator, clock::fresh_seed());
    let genesis = beginning(&store, make)?;
    let holds = |key: PublicKey, staked: bool| {
        let ours = |a: &&Allocation| a.key == key && (a.stake > Ohc::ZERO) == staked;
        genesis.allocations.iter().any(|allocation| ours(&allocation))
    };
    if !holds(client, false) {
        return Err(BootError::KeyOther { name: "client" });
    }
    if !holds(validator, true) {
        return Err(BootError::KeyOther { name: "validator" });
    }
    let artifacts = Arc::new(Artifacts::open(&home.artifacts())?);
    replay(home, genesis, (store, recovery), artifacts)
}

/// Opens a home that holds a copy of the log of a network, or begins one.
pub fn join(
    home: &Home,
    network: &Genesis,
    artifacts: Arc<Artifacts>,
) -> Result<Booted, BootError> {
    begin(home)?;
    let (store, recovery) = Store::open(&home.log())?;
    let genesis = beginning(&store, || network.clone())?;
    if genesis.network() != network.network() {
        return Err(BootError::OtherNetwork { path: home.dir().to_path_buf() });
    }
    replay(home, genesis, (store, recovery), artifacts)
}

/// The genesis in a store; on first use the one that is made.
fn beginning(store: &Store, make: impl FnOnce() -> Genesis) -> Result<Genesis, BootError> {
    let genesis = match store.get_own(GENESIS)? {
        Some(bytes) => Genesis::from_bytes(&bytes)?,
        None => {
            let genesis = make();
            pass(Peril::GenesisMade);
            store.put_own(GENESIS, &genesis.to_bytes())?;
            pass(Peril::GenesisKept);
            genesis
        }
    };
    genesis.check()?;
    Ok(genesis)
}

/// Folds what a store holds.
fn replay(
    home: &Home,
    genesis: Genesis,
    (store, recovery): (Store, Recovery),
    artifacts: Arc<Artifacts>,
) -> Result<Booted, BootError> {
    // A slot that cannot be read is told by the fold of the whole log.
    let mut slot = |height| store.read(height).ok().flatten();
    let begun = snapshot::begin(home, &genesis, store.base(), &mut slot)?;
    let Beginning { mut state, parent, found } = begun;
    let mut keeper = Keeper::new(home, genesis.network());
    let mut fold = Fold::new(&mut state, parent);
    for stored in store.iter_from(fold.next()) {
        let (height, bytes) = stored?;
        keeper.count(&fold.add(height, &bytes)?);
    }
    let parent = fold.finish()?;
    keeper.finish(&state, parent);
    let (store, snapshot) = (Arc::new(store), found);
    pass(Peril::BootFolded);
    let checkpoint = None;
    Ok(Booted { genesis, state, parent, store, checkpoint, artifacts, recovery, snapshot, keeper })
}

/// Folds stored slots one after the other: each must follow the one before and give the events that
/// were signed. The signatures of the last stand for those before it, which it names.
pub(super) struct Fold<'a> {
    state: &'a mut State,
    parent: Digest,
    /// The last slot, what it follows, and the validators who had to sign it.
    last: Option<(Slot, Digest, BTreeMap<PublicKey, Ohc>)>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(state: &'a mut State, parent: Digest) -> Self {
        Self { state, parent, last: None }
    }

    /// The height of the next slot.
    pub(super) fn next(&self) -> Height {
        self.state.height().next()
    }

    /// Folds the next slot in.
    pub(super) fn add(&mut self, height: Height, bytes: &[u8]) -> Result<Vec<Event>, BootError> {
        let damaged = |what: String| BootError::Slot { height, what };
        let slot = Slot::from_bytes(bytes).map_err(|error| damaged(error.to_string()))?;
        if slot.head.parent != self.parent || slot.head.height != height {
            return Err(damaged(FoldError::Order.to_string()));
        }
        let validators = self.state.validators().clone();
        let events = self.state.fold(&slot).map_err(|error| damaged(error.to_string()))?;
        let before = std::mem::replace(&mut self.parent, slot.head.digest());
        self.last = Some((slot, before, validators));
        Ok(events)
    }

    /// Checks the signatures under what was folded; gives what the next slot names as its parent.
    pub(super) fn finish(self) -> Result<Digest, BootError> {
        if let Some((slot, before, validators)) = self.last {
            let height = slot.head.height;
            slot.check(self.state.network(), before, &validators)
                .map_err(|error| BootError::Slot { height, what: error.to_string() })?;
        }
        Ok(self.parent)
    }
}

/// The genesis of a network of one validator: the client owns all that is not staked.
#[must_use]
pub fn embedded_genesis(client: PublicKey, validator: PublicKey, salt: [u8; 32]) -> Genesis {
    let stake = Ohc::from_whole(STAKE_OHC).unwrap_or_default();
    let rest = SUPPLY.checked_sub(stake).unwrap_or_default();
    Genesis {
        name: "embedded".into(),
        salt,
        params: Params::embedded(),
        allocations: vec![
            Allocation { key: client, balance: rest, stake: Ohc::ZERO },
            Allocation { key: validator, balance: Ohc::ZERO, stake },
        ],
    }
}
