//! Attachment: a process that has a home open lets others of the same user read its log and speak
//! for its client. Never lets anybody else change anything, and never waits for a reader.
//!
//! The log of a home can be open in one process alone, and a run may take hours. So whoever has it
//! open listens on a socket in the home (`effects::socket`), and whoever finds it open connects:
//!
//! - It asks for the genesis and for slots, and folds them itself: `State = fold(slots)` on every
//!   node, so nothing but the log needs a format, and nothing that the other says is believed
//!   without the signatures under it. By asking for the slot after its last it follows the log.
//! - It asks for one of four things on the client's behalf ([`Errand`]). The running process signs
//!   it: a number counts once, and two processes that number for one key would take the same
//!   number. That gives nobody a right that he did not have, for whoever can open the socket can
//!   read the client's key beside it.
//!
//! Every frame is a version (`u16`, little-endian) and the canonical bytes of an [`Ask`] or an
//! [`Answer`], both bounded in `limits`. One question, one answer. What does not decode, a frame
//! that is too long, or one connection too many ends that line and nothing else: each line has a
//! thread that shares the store with the run, and no more.

use super::embedded::Handle;
use super::home::Home;
use super::serve::batch;
use crate::base::amount::Ohc;
use crate::base::canon::{Decode, Encode, canonical_enum};
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::base::limits::{ANSWER_BYTES_MAX, ASK_BYTES_MAX, ATTACHED_MAX, SLOT_BYTES_MAX};
use crate::base::time::Height;
use crate::domain::command::Command;
use crate::domain::event::Reject;
use crate::effects::socket::{Line, Listener, SocketError};
use crate::effects::store::{RECORD_BYTES_MAX, Store};
use crate::effects::{Peril, pass};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The version of what is said here.
const VERSION: u16 = 1;
/// Slots of one answer have so many bytes at the most; one slot of any size always fits.
const BATCH_BYTES: usize = SLOT_BYTES_MAX / 4;
/// A question may wait so long for the next slot.
const WAIT_MAX: Duration = Duration::from_millis(1_000);
/// A line on which nobody asks anything for so long is ended.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// So long an asker waits for an answer; a command may have to wait for a slot.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// So long a command waits for its slot.
const FOLD_WAIT: Duration = Duration::from_secs(10);

const _: () = assert!(BATCH_BYTES + RECORD_BYTES_MAX + 64 <= ANSWER_BYTES_MAX);

/// What others may have done in the name of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// End a run.
    Cancel {
        /// The run.
        run: RunId,
    },
    /// Let a run stand still.
    Pause {
        /// The run.
        run: RunId,
    },
    /// Let a run go on.
    Resume {
        /// The run.
        run: RunId,
        /// What is added to its budget.
        added: Ohc,
    },
    /// Pay somebody.
    Transfer {
        /// The payee.
        to: PublicKey,
        /// How much.
        amount: Ohc,
    },
}
canonical_enum!(Errand {
    1 => Cancel { run },
    2 => Pause { run },
    3 => Resume { run, added },
    4 => Transfer { to, amount },
});

impl Errand {
    /// The command that the client signs.
    #[must_use]
    pub fn command(&self) -> Command {
        match *self {
            Self::Cancel { run } => Command::Cancel { run },
            Self::Pause { run } => Command::Pause { run },
            Self::Resume { run, added } => Command::Resume { run, added },
            Self::Transfer { to, amount } => Command::Transfer { to, amount },
        }
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    /// What does your log begin with?
    Genesis,
    /// Which slots are there from this one on? If there are none yet, is there one soon?
    Slots { from: Height, wait_ms: u64 },
    /// Have this done.
    Errand(Errand),
}
canonical_enum!(Ask { 1 => Genesis, 2 => Slots { from, wait_ms }, 3 => Errand(x) });

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// The genesis.
    Genesis(Vec<u8>),
    /// Consecutive slots; none if there is no more.
    Slots(Vec<Vec<u8>>),
    /// The errand had its effect in this slot.
    Done(Height),
    /// The rules refuse the errand.
    Refused(Reject),
    /// There is no run under way that could take an errand.
    Idle,
    /// The store does not give what was asked for.
    Failed(String),
}
canonical_enum!(Answer {
    1 => Genesis(x),
    2 => Slots(x),
    3 => Done(x),
    4 => Refused(x),
    5 => Idle,
    6 => Failed(x),
});

/// Why the process that has the home open is of no help.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It is gone, or the line to it is.
    #[error(transparent)]
    Line(#[from] SocketError),
    /// It is another version of this program.
    #[error(
        "the process that has this home open is another version of ohc; hint: wait for its end, or \
         use that version"
    )]
    Version,
    /// What it says makes no sense.
    #[error("the process that has this home open says what makes no sense")]
    Nonsense,
    /// It cannot read its own log.
    #[error("the process that has this home open cannot read its log: {0}")]
    Failed(String),
    /// Nothing is under way in it that could take an errand.
    #[error(
        "the process that has this home open runs nothing now; hint: try again when it has begun, \
         or is over"
    )]
    Idle,
    /// The rules refuse what was asked for.
    #[error("the network refuses: {0}")]
    Refused(Reject),
}

/// One end of a line to the process that has a home open.
#[derive(Debug)]
pub struct Peer(Line);

impl Peer {
    /// Connects to the process that has a home open; none if nobody listens there.
    pub fn connect(home: &Home) -> Result<Option<Self>, AttachError> {
        let Some(line) = Line::connect(&home.attach())? else { return Ok(None) };
        line.patience(ANSWER_WAIT)?;
        Ok(Some(Self(line)))
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, AttachError> {
        self.0.send(&frame(ask))?;
        if matches!(ask, Ask::Errand(_)) {
            pass(Peril::Asked);
        }
        let answer: Answer = unframe(&self.0.receive(ANSWER_BYTES_MAX)?)?;
        match answer {
            Answer::Failed(what) => Err(AttachError::Failed(what)),
            answer => Ok(answer),
        }
    }

    /// The bytes of the genesis.
    pub fn genesis(&mut self) -> Result<Vec<u8>, AttachError> {
        match self.ask(&Ask::Genesis)? {
            Answer::Genesis(bytes) => Ok(bytes),
            _ => Err(AttachError::Nonsense),
        }
    }

    /// Some slots from a height on, as many as fit into an answer. If there are none yet it waits
    /// for one, but not longer than `wait` or a second.
    pub fn slots(&mut self, from: Height, wait: Duration) -> Result<Vec<Vec<u8>>, AttachError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        match self.ask(&Ask::Slots { from, wait_ms })? {
            Answer::Slots(slots) => Ok(slots),
            _ => Err(AttachError::Nonsense),
        }
    }

    /// Has something done in the name of the client; gives the slot in which it was.
    pub fn errand(&mut self, errand: Errand) -> Result<Height, AttachError> {
        match self.ask(&Ask::Errand(errand))? {
            Answer::Done(height) => Ok(height),
            Answer::Refused(reject) => Err(AttachError::Refused(reject)),
            Answer::Idle => Err(AttachError::Idle),
            _ => Err(AttachError::Nonsense),
        }
    }
}

fn frame(value: &impl Encode) -> Vec<u8> {
    [VERSION.to_le_bytes().as_slice(), &value.to_bytes()].concat()
}

fn unframe<T: Decode>(frame: &[u8]) -> Result<T, AttachError> {
    match frame.split_first_chunk() {
        Some((version, bytes)) if *version == VERSION.to_le_bytes() => {
            T::from_bytes(bytes).map_err(|_| AttachError::Nonsense)
        }
        Some(_) => Err(AttachError::Version),
        None => Err(AttachError::Nonsense),
    }
}

/// What all lines of a host share.
struct Shared {
    store: Arc<Store>,
    genesis: Vec<u8>,
    /// The loop that takes errands, while there is one.
    network: Mutex<Option<Handle>>,
    is_over: AtomicBool,
    /// A handle for each line that is open, to hang up.
    lines: Mutex<Vec<(u64, Line)>>,
}

/// Answers those that are attached. When it goes, all lines end and the store is free again.
pub struct Host {
    shared: Arc<Shared>,
    home: Home,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Listens in a home whose log is `store`.
    pub fn start(home: &Home, store: Arc<Store>, genesis: Vec<u8>) -> Result<Self, SocketError> {
        let listener = Listener::bind(&home.attach())?;
        let (network, lines) = (Mutex::new(None), Mutex::new(Vec::new()));
        let is_over = AtomicBool::new(false);
        let shared = Arc::new(Shared { store, genesis, network, is_over, lines });
        let own = shared.clone();
        let thread = Some(std::thread::spawn(move || listen(&listener, &own)));
        Ok(Self { shared, home: home.clone(), thread })
    }

    /// From now on a loop takes errands; or none does.
    pub fn serve(&self, network: Option<Handle>) {
        *locked(&self.shared.network) = network;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.store.wake();
        locked(&self.shared.lines).iter().for_each(|(_, line)| line.hang_up());
        // Wakes the thread that waits for the next line. If that fails, nobody else gets through
        // either, and the thread is left to the end of the process.
        if let (Ok(Some(_)), Some(thread)) =
            (Line::connect(&self.home.attach()), self.thread.take())
        {
            let _ = thread.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is whole at every moment, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes lines, each with a thread of its own, until the host goes; then waits for those threads.
fn listen(listener: &Listener, shared: &Arc<Shared>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut next = 0u64;
    while let Ok(line) = listener.accept() {
        if shared.is_over.load(Ordering::SeqCst) {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        let Ok(handle) = line.handle() else { continue };
        if threads.len() >= ATTACHED_MAX || line.patience(IDLE_MAX).is_err() {
            continue;
        }
        let (id, own) = (next, shared.clone());
        next += 1;
        locked(&shared.lines).push((id, handle));
        threads.push(std::thread::spawn(move || {
            converse(line, &own);
            locked(&own.lines).retain(|(other, _)| *other != id);
        }));
    }
    // A line that was taken while the others were ended.
    locked(&shared.lines).iter().for_each(|(_, line)| line.hang_up());
    for thread in threads {
        let _ = thread.join();
    }
}

/// Answers one line until it ends: by its other side, by nonsense, or because the host goes.
fn converse(mut line: Line, shared: &Shared) {
    while !shared.is_over.load(Ordering::SeqCst) {
        let Ok(asked) = line.receive(ASK_BYTES_MAX) else { return };
        let answer = match unframe(&asked) {
            Ok(ask) => answer(ask, shared),
            // The version in its frame says what is wrong.
            Err(AttachError::Version) => Answer::Idle,
            Err(_) => return,
        };
        pass(Peril::AnswerReady);
        if line.send(&frame(&answer)).is_err() {
            return;
        }
    }
}

fn answer(ask: Ask, shared: &Shared) -> Answer {
    match ask {
        Ask::Genesis => Answer::Genesis(shared.genesis.clone()),
        Ask::Slots { from, wait_ms } => {
            shared.store.wait(Height(from.0.max(1)), WAIT_MAX.min(Duration::from_millis(wait_ms)));
            slots(&shared.store, from).unwrap_or_else(Answer::Failed)
        }
        Ask::Errand(errand) => {
            let network = locked(&shared.network).clone();
            let Some(network) = network else { return Answer::Idle };
            pass(Peril::ErrandTaken);
            match network.ask(errand.command()).recv_timeout(FOLD_WAIT) {
                Ok(Ok(height)) => {
                    pass(Peril::ErrandDone);
                    Answer::Done(height)
                }
                Ok(Err(reject)) => Answer::Refused(reject),
                Err(_) => Answer::Idle,
            }
        }
    }
}

fn slots(store: &Store, from: Height) -> Result<Answer, String> {
    batch(store, from, BATCH_BYTES).map(Answer::Slots).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A host of a home with so many slots, each its height as text.
    fn host(dir: &Path, slots: u64) -> (Home, Arc<Store>, Host) {
        let home = Home::find(Some(dir), dir);
        let store = Arc::new(Store::open(&home.log()).unwrap().0);
        for height in 1..=slots {
            store.append(Height(height), height.to_string().as_bytes()).unwrap();
        }
        let host = Host::start(&home, store.clone(), b"genesis".to_vec()).unwrap();
        (home, store, host)
    }

    fn texts(slots: Vec<Vec<u8>>) -> Vec<String> {
        slots.into_iter().map(|slot| String::from_utf8(slot).unwrap()).collect()
    }

    #[test]
    fn the_log_is_read_and_followed_while_another_process_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let (home, store, _host) = host(dir.path(), 3);
        let mut peer = Peer::connect(&home).unwrap().unwrap();
        assert_eq!(peer.genesis().unwrap(), b"genesis");
        assert_eq!(texts(peer.slots(Height(2), Duration::ZERO).unwrap()), ["2", "3"]);
        assert!(peer.slots(Height(4), Duration::ZERO).unwrap().is_empty());
        let writer = std::thread::spawn(move || store.append(Height(4), b"4").unwrap());
        let mut next = Vec::new();
        while next.is_empty() {
            next = texts(peer.slots(Height(4), WAIT_MAX).unwrap());
        }
        assert_eq!(next, ["4"]);
        writer.join().unwrap();
    }

    #[test]
    fn a_long_log_comes_in_several_answers() {
        let dir = tempfile::tempdir().unwrap();
        let (home, store, _host) = host(dir.path(), 0);
        let slot = vec![7; BATCH_BYTES / 2 - 8];
        store.append_many(Height(1), &[slot.as_slice(); 5]).unwrap();
        let mut peer = Peer::connect(&home).unwrap().unwrap();
        let answers = [1, 3, 5].map(|from| peer.slots(Height(from), Duration::ZERO).unwrap().len());
        assert_eq!(answers, [2, 2, 1]);
    }

    #[test]
    fn a_host_that_goes_ends_its_lines_and_frees_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let (home, store, host) = host(dir.path(), 1);
        let mut peer = Peer::connect(&home).unwrap().unwrap();
        let waiting = std::thread::spawn(move || peer.slots(Height(2), WAIT_MAX));
        drop((host, store));
        assert!(Peer::connect(&home).unwrap().is_none());
        Store::open(&home.log()).unwrap();
        drop(waiting.join().unwrap());
    }

    #[test]
    fn an_errand_needs_a_run_that_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let (home, _store, _host) = host(dir.path(), 0);
        let mut peer = Peer::connect(&home).unwrap().unwrap();
        let said = peer.errand(Errand::Cancel { run: RunId(1) });
        assert!(matches!(said, Err(AttachError::Idle)), "{said:?}");
    }

    #[test]
    fn r13_nonsense_ends_a_line_and_hurts_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let (home, _store, _host) = host(dir.path(), 2);
        for nonsense in [&b""[..], b"\x01", b"\x01\x00\xff", b"\x01\x00\x02", &[1; 9_000]] {
            let mut line = Line::connect(&home.attach()).unwrap().unwrap();
            line.send(nonsense).unwrap();
            assert!(line.receive(100).is_err(), "{nonsense:?}");
        }
        let mut other = Line::connect(&home.attach()).unwrap().unwrap();
        other.send(b"\x63\x00whatever a later version says").unwrap();
        assert_eq!(other.receive(100).unwrap(), [1, 0, 5], "its own version is told");
        let mut peer = Peer::connect(&home).unwrap().unwrap();
        assert_eq!(texts(peer.slots(Height(1), Duration::ZERO).unwrap()), ["1", "2"]);
    }

    #[test]
    fn one_line_too_many_is_ended_and_the_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (home, _store, _host) = host(dir.path(), 1);
        let mut peers: Vec<Peer> = (0..ATTACHED_MAX)
            .map(|_| {
                let mut peer = Peer::connect(&home).unwrap().unwrap();
                assert_eq!(peer.genesis().unwrap(), b"genesis");
                peer
            })
            .collect();
        let mut late = Peer::connect(&home).unwrap().unwrap();
        assert!(matches!(late.genesis(), Err(AttachError::Line(_))));
        assert_eq!(peers[0].genesis().unwrap(), b"genesis");
    }
}
