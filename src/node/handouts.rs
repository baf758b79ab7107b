//! Handouts: the snapshots of a home that the log commits to, each in a file: for whoever comes
//! late, and to begin with where the log here begins later than with the first slot. Never trusts a
//! file more than what comes from elsewhere.
//!
//! A file is the milestone that commits to the state, the digests of its parts, and the state.

use super::home::Home;
use crate::base::canon::{Canonical, Decode, Digest, Encode, Reader};
use crate::base::keys::NetworkId;
use crate::base::limits::{
    MILESTONE_BYTES_MAX, SNAPSHOT_BYTES_MAX, SNAPSHOT_PART_BYTES, WIRE_BYTES_MAX,
};
use crate::base::time::Height;
use crate::domain::milestone::{Milestone, Parts};
use crate::domain::state::State;
use crate::effects::draft::Draft;
use crate::effects::store::Store;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

/// What stands before a state.
const HEADER_BYTES_MAX: u64 = WIRE_BYTES_MAX as u64;
/// Handouts that are kept: whoever fetches the last one while the next is made is not disturbed.
const KEPT: usize = 2;

const _: () = assert!(MILESTONE_BYTES_MAX < WIRE_BYTES_MAX);

/// The folder of them.
#[derive(Debug, Clone)]
pub struct Handouts(PathBuf);

/// One of them, of which the state has not been read.
#[derive(Debug)]
pub struct Handout {
    /// What commits to the state.
    pub milestone: Milestone,
    /// The digests of its parts.
    pub parts: Parts,
    path: PathBuf,
    /// Where the state begins.
    from: u64,
}

impl Handouts {
    /// Those of a home.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self(home.handouts())
    }

    /// Of which slots there are some, oldest first.
    #[must_use]
    pub fn heights(&self) -> Vec<Height> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut heights: Vec<Height> = named.map(Height).collect();
        heights.sort_unstable();
        heights
    }

    fn path(&self, height: Height) -> PathBuf {
        self.0.join(height.0.to_string())
    }

    /// Keeps one; durable when this returns.
    pub fn save(&self, milestone: &Milestone, state: &[u8]) -> io::Result<()> {
        let path = self.path(milestone.head.height);
        fs::create_dir_all(&self.0)?;
        self.sweep();
        let mut draft = Draft::create(&path)?;
        draft.write_all(&milestone.to_bytes())?;
        draft.write_all(&Parts::of(state).to_bytes())?;
        draft.write_all(state)?;
        draft.sync()?;
        draft.place()?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes what an earlier process left half written: nobody else writes here.
    fn sweep(&self) {
        let paths =
            fs::read_dir(&self.0).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
        for path in paths.filter(|path| path.extension().is_some_and(|end| end == "new")) {
            // One that stays goes with the next.
            let _ = fs::remove_file(path);
        }
    }

    /// The one of that slot.
    pub fn open(&self, height: Height) -> io::Result<Handout> {
        let path = self.path(height);
        let mut bytes = Vec::new();
        File::open(&path)?.take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
        let mut reader = Reader::new(&bytes);
        let mut read = || -> Result<_, crate::base::canon::DecodeError> {
            Ok((Milestone::decode(&mut reader)?, Parts::decode(&mut reader)?))
        };
        let (milestone, parts) = read().map_err(io::Error::other)?;
        let from = (bytes.len() - reader.rest().len()) as u64;
        let is_it = milestone.head.height == height
            && milestone.committed().is_some_and(|committed| parts.check(&committed).is_ok());
        match is_it {
            true => Ok(Handout { milestone, parts, path, from }),
            false => Err(io::Error::other("it does not say what it is of")),
        }
    }

    /// The last one that can be read.
    #[must_use]
    pub fn newest(&self) -> Option<Handout> {
        self.heights().into_iter().rev().find_map(|height| self.open(height).ok())
    }

    /// Takes away what is not needed: all but the last ones and the one that the log begins with.
    fn thin_out(&self, base: Height) {
        let heights = self.heights();
        let spare = heights.len().saturating_sub(KEPT);
        for height in heights.into_iter().take(spare).filter(|height| *height != base) {
            // What cannot be taken away now can be later.
            drop(fs::remove_file(self.path(height)));
        }
    }
}

impl Handout {
    /// After which slot this was the state.
    #[must_use]
    pub fn height(&self) -> Height {
        self.milestone.head.height
    }

    /// One part of the state, as it lies there.
    pub fn part(&self, part: u32) -> io::Result<Vec<u8>> {
        let length = self.parts.length(part as usize);
        let mut bytes = vec![0; length];
        let mut file = File::open(&self.path)?;
        let before = u64::from(part).saturating_mul(SNAPSHOT_PART_BYTES as u64);
        file.seek(SeekFrom::Start(self.from.saturating_add(before)))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The state, and the digest of the head of its slot.
    pub fn state(&self, network: NetworkId) -> Result<(State, Digest), String> {
        let mut bytes = Vec::new();
        let mut read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.from))?;
            file.take(SNAPSHOT_BYTES_MAX).read_to_end(&mut bytes)
        };
        read().map_err(|error| error.to_string())?;
        if Parts::of(&bytes) != self.parts {
            return Err("its bytes do not match their digests".to_owned());
        }
        let state = State::restore(&bytes).map_err(|error| format!("its state: {error}"))?;
        let head = signed_head(network, &self.milestone, &state)?;
        Ok((state, head))
    }
}

/// The digest of the head of the slot whose milestone commits to this state. The validators of the
/// state must have signed that slot.
pub(super) fn signed_head(
    network: NetworkId,
    milestone: &Milestone,
    state: &State,
) -> Result<Digest, String> {
    let is_it = state.network() == network && state.height() == milestone.head.height;
    if !is_it || !milestone.is_final(network, state.validators()) {
        return Err("the validators of its state have not signed it".to_owned());
    }
    Ok(milestone.head.digest())
}

/// Makes handouts beside a loop that does not wait for them, and has the slots before them taken
/// away where that is wanted.
#[derive(Debug)]
pub struct Maker {
    sender: Option<SyncSender<(Milestone, Arc<Vec<u8>>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Maker {
    /// For the log of a store, of which at least so many slots are to stay; all of them where
    /// nothing is said.
    #[must_use]
    pub fn start(handouts: Handouts, store: Arc<Store>, retained: Option<u64>) -> Self {
        let (sender, states) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || make(&handouts, &store, retained, &states));
        Self { sender: Some(sender), thread: Some(thread) }
    }

    /// Hands it a state whose slot is durable. While it is busy it takes none: another will come.
    pub fn give(&self, milestone: Milestone, state: Arc<Vec<u8>>) {
        if let Some(sender) = &self.sender {
            drop(sender.try_send((milestone, state)));
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn make(
    handouts: &Handouts,
    store: &Store,
    retained: Option<u64>,
    states: &Receiver<(Milestone, Arc<Vec<u8>>)>,
) {
    for (milestone, state) in states {
        if state.len() as u64 > SNAPSHOT_BYTES_MAX || handouts.save(&milestone, &state).is_err() {
            // On a full disk nothing is taken away either: what comes late is served from the log.
            continue;
        }
        if let Some(retained) = retained {
            let last = store.last().unwrap_or_default();
            let most = Height(last.0.saturating_sub(retained));
            let to = handouts.heights().into_iter().rfind(|height| *height <= most);
            // A store that cannot be written to any more says so to whoever writes a slot.
            drop(to.map(|to| store.prune(to)));
        }
        handouts.thin_out(store.base());
    }
}
