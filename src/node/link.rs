//! A link to a network, as its files say: its bus, its artifacts, and a copy of its log. Never
//! decides what is said over it.

use super::boot::{self, BootError, Booted};
use super::follow::{self, Heard, Refusal};
use super::home::Home;
use super::inbox::{Inbox, Told};
use super::network::{Network, NetworkError};
use super::voter::VoterError;
use crate::base::keys::{PublicKey, SecretKey};
use crate::effects::artifacts::{Access, ArtifactError, Artifacts, Presigner};
use crate::effects::bus::{Bus, BusError, News, Options};
use crate::effects::keyring::{self, KeyringError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How long a node tries for its first connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a node that connects looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a node is not on a network, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The bus is out of reach.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The copy of the log cannot be opened.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Its files are of no use.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The artifact store cannot be opened.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The log goes on in a way that this program cannot follow.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The home holds the votes of another.
    #[error(transparent)]
    Voter(#[from] VoterError),
    /// The key cannot be read.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// There is no key.
    #[error("there is no key in {}; hint: `ohc network init` makes one for each node",
        .path.display())]
    NoKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// It was stopped before it had come so far.
    #[error("stopped before the log of the network was here")]
    Stopped,
    /// The network says nothing.
    #[error(
        "no validator of this network answers at {urls}; hint: are they running, and with the \
         same genesis?"
    )]
    Nobody {
        /// Where its bus is.
        urls: String,
    },
    /// Validators hear nobody who has no account.
    #[error(
        "the key {key} has no account on this network, and nobody hears it; hint: `ohc wallet \
         transfer` sends it coins"
    )]
    Poor {
        /// Its short name.
        key: String,
    },
    /// Others sign with the same key, and were faster each time.
    #[error(
        "nothing was done: somebody else signs with this key, and is faster each time; hint: stop \
         the node that has it, or try again"
    )]
    Overtaken,
    /// Another process works with the same key.
    #[error(
        "another worker bids with this key: two would outbid each other for ever; hint: one key, \
         one worker: stop the other one, or make this one a key of its own"
    )]
    Doubled,
    /// Slots were passed over while a command was on its way.
    #[error(
        "it is not known whether it was done: slots were passed over; hint: look before you try \
         again"
    )]
    Unseen,
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
}

/// The key of a node.
pub fn key(path: &Path) -> Result<SecretKey, LinkError> {
    keyring::load(path)?.ok_or_else(|| LinkError::NoKey { path: path.to_owned() })
}

/// Connects to the bus of a network. `name` is what the servers call us.
pub fn connect(
    network: &Network,
    me: &PublicKey,
    name: &str,
    patience: Duration,
    runtime: &Handle,
    tell: impl Fn(News) + Send + Sync + 'static,
) -> Result<Bus, LinkError> {
    Ok(Bus::connect(&options(network, me, name, patience)?, runtime, tell)?)
}

/// Connects a node that reads an inbox, and shows what happens meanwhile. There is no bus if the
/// node is asked to stop before.
pub(super) fn join<Own: Send + 'static>(
    network: &Network,
    (me, name): (&PublicKey, &str),
    runtime: &Handle,
    (outbox, inbox): (&Sender<Inbox<Own>>, &Receiver<Inbox<Own>>),
    show: &mut dyn FnMut(&News),
) -> Result<Option<Bus>, LinkError> {
    let options = options(network, me, name, PATIENCE)?;
    let (news, halt) = (outbox.clone(), Notify::new());
    let tell = move |said| drop(news.send(Heard::News(said).into()));
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| Bus::connect_until(&options, runtime, tell, &halt));
        while !connecting.is_finished() {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(Inbox::Told(Told::Stop(_))) => halt.notify_one(),
                Ok(Inbox::Heard(Heard::News(news))) => show(&news),
                _ => {}
            }
        }
        let connected = connecting.join();
        Ok(connected.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    })
}

fn options(
    network: &Network,
    me: &PublicKey,
    name: &str,
    patience: Duration,
) -> Result<Options, LinkError> {
    // What a node says itself it knows.
    Ok(Options { name: name.to_owned(), no_echo: true, ..network.bus(me, patience)? })
}

/// Opens a home with a copy of the log of a network, in which its checkpoint stands or is still to
/// come, and of its artifacts: see [`artifacts`].
pub fn open(
    network: &Network,
    home: &Home,
    presigner: Option<Arc<dyn Presigner>>,
) -> Result<Booted, LinkError> {
    let booted = boot::join(home, &network.genesis, artifacts(network, home, presigner)?)?;
    let checkpoint = network.checkpoint;
    if let Some(checkpoint) = checkpoint {
        follow::stands(&booted.store, booted.state.height(), checkpoint)?;
    }
    Ok(Booted { checkpoint, ..booted })
}

/// The artifacts of a network, behind the folder of a home: by credentials of the environment, or
/// where somebody has each request signed.
pub fn artifacts(
    network: &Network,
    home: &Home,
    presigner: Option<Arc<dyn Presigner>>,
) -> Result<Arc<Artifacts>, LinkError> {
    let access = Access { presigner, ..Access::default() };
    let shared = Artifacts::open_shared(&home.artifacts(), &network.store, &access)?;
    Ok(Arc::new(match network.cache {
        Some(bytes) => shared.bounded(bytes)?,
        None => shared,
    }))
}
