//! The snapshot of a home: one file with the state after some slot, so that a start folds only what
//! came after. Never a truth of its own: whoever deletes it loses time and nothing else.
//!
//! It is believed if its bytes are whole, this program wrote it, and the log has the slot that it
//! is of, signed by the validators. Everything else is ignored, and said.

use super::boot::BootError;
use super::handouts::Handouts;
use super::home::Home;
use crate::base::canon::{Canonical, Decode, Digest, Encode, Reader, canonical_struct};
use crate::base::keys::NetworkId;
use crate::base::limits::SNAPSHOT_BYTES_MAX;
use crate::base::time::Height;
use crate::domain::event::Event;
use crate::domain::genesis::Genesis;
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::effects::{Peril, machine, pass};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Folding so much again takes about 50 ms: so often a snapshot is taken while a network runs.
/// Counted in events and slots, since a time would differ from run to run; `ohc bench replay`
/// measures it.
const WEIGHT_RUNNING: u64 = 60_000;
/// Folding so much again takes about 2 ms: then the next start is worth a file.
const WEIGHT_AT_REST: u64 = 2_000;
/// What the fold of a slot weighs beside that of its events.
const WEIGHT_OF_A_SLOT: u64 = 20;
/// What a run weighs that begins: its manifest is compiled again.
const WEIGHT_OF_A_RUN: u64 = 600;
/// A snapshot is taken no more often than this share of its bytes says: to write so many takes as
/// long as to fold one event.
const BYTES_PER_WEIGHT: u64 = 64;

/// What stands in front of the state.
struct Header {
    network: NetworkId,
    /// The program that wrote it: another one may have other rules, or write a state otherwise.
    program: Digest,
    /// The slot after which this was the state…
    height: Height,
    /// … and the digest of its head.
    head: Digest,
    /// The digest of the bytes of the state.
    state: Digest,
}
canonical_struct!(Header { network, program, height, head, state } tag "ohc/snapshot/1");

/// What was found where the snapshot of a home lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Found {
    /// There is none.
    #[default]
    Nothing,
    /// The fold began after this slot.
    Used(Height),
    /// The whole log was folded, since the file is of no use.
    Ignored {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A state to go on from.
pub(super) struct Beginning {
    pub(super) state: State,
    /// The digest of the head of the last slot in it; of the genesis if there is none.
    pub(super) parent: Digest,
    pub(super) found: Found,
}

/// The state to fold on from: that of the snapshot if it can be believed, else one that the log
/// commits to, else that before the first slot. `slot` gives the bytes of a slot of the log, which
/// begins here after `base`.
pub(super) fn begin(
    home: &Home,
    genesis: &Genesis,
    base: Height,
    slot: &mut dyn FnMut(Height) -> Option<Vec<u8>>,
) -> Result<Beginning, BootError> {
    let path = home.snapshot();
    let found = match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Ignored { path, why: error.to_string() },
        Ok(bytes) => match believe(&bytes, genesis, slot) {
            Ok((state, parent)) => {
                let found = Found::Used(state.height());
                return Ok(Beginning { state, parent, found });
            }
            Err(why) => Found::Ignored { path, why },
        },
    };
    let heights = Handouts::of(home).heights();
    let heights = heights.into_iter().rev().filter(|height| *height >= base);
    match heights.into_iter().find_map(|height| handout(home, genesis, (height, base), slot)) {
        Some((state, parent)) => Ok(Beginning { state, parent, found }),
        None if base > Height(0) => Err(BootError::NoBeginning { base }),
        None => Ok(Beginning { state: State::new(genesis), parent: genesis.digest(), found }),
    }
}

/// The first state from which the log of a home can be folded here.
pub(super) fn first(
    handouts: &Handouts,
    genesis: &Genesis,
    base: Height,
) -> Result<State, BootError> {
    if base == Height(0) {
        return Ok(State::new(genesis));
    }
    let mut heights = handouts.heights().into_iter().filter(|height| *height >= base);
    let read = |height| Some(handouts.open(height).ok()?.state(genesis.network()).ok()?.0);
    heights.find_map(read).ok_or(BootError::NoBeginning { base })
}

/// The state of a handout whose slot the log has, or begins after.
fn handout(
    home: &Home,
    genesis: &Genesis,
    (height, base): (Height, Height),
    slot: &mut dyn FnMut(Height) -> Option<Vec<u8>>,
) -> Option<(State, Digest)> {
    let handout = Handouts::of(home).open(height).ok()?;
    let head = handout.milestone.head.digest();
    let is_ours = match slot(height) {
        Some(bytes) => Slot::from_bytes(&bytes).is_ok_and(|slot| slot.head.digest() == head),
        None => height == base,
    };
    is_ours.then(|| handout.state(genesis.network()).ok()).flatten()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > SNAPSHOT_BYTES_MAX {
        return Err(io::Error::other(format!("it has {length} bytes: too many")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // It may have grown since.
    file.take(SNAPSHOT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The state of a snapshot and the digest of the head that it stands on, or why it is ignored.
fn believe(
    bytes: &[u8],
    genesis: &Genesis,
    slot: &mut dyn FnMut(Height) -> Option<Vec<u8>>,
) -> Result<(State, Digest), String> {
    let damaged = |what: &str| format!("it is damaged: {what}");
    let mut reader = Reader::new(bytes);
    let header = Header::decode(&mut reader).map_err(|error| damaged(&error.to_string()))?;
    if header.network != genesis.network() {
        return Err("it is of another network".to_owned());
    }
    if Some(header.program) != machine::program() {
        return Err("another version of this program wrote it".to_owned());
    }
    let last = slot(header.height).ok_or("it is of a slot that the log does not have")?;
    let last = Slot::from_bytes(&last).map_err(|error| format!("its slot: {error}"))?;
    if last.head.height != header.height || last.head.digest() != header.head {
        return Err("it is of another history".to_owned());
    }
    let state = reader.rest();
    if Digest::of(state) != header.state {
        return Err(damaged("its bytes do not match their digest"));
    }
    let state = State::restore(state).map_err(|error| damaged(&error.to_string()))?;
    if state.network() != header.network || state.height() != header.height {
        return Err(damaged("it holds another state than it says"));
    }
    last.check(state.network(), last.head.parent, state.validators())
        .map_err(|error| format!("its slot: {error}"))?;
    Ok((state, header.head))
}

/// Takes the snapshots of a home, when that is worth it.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    handouts: Handouts,
    network: NetworkId,
    /// What was folded since the last one.
    weight: u64,
    /// The bytes of the last one.
    bytes: u64,
    /// None is taken any more: the last could not be written.
    is_broken: bool,
}

impl Keeper {
    pub(super) fn new(home: &Home, network: NetworkId) -> Self {
        let (path, handouts) = (home.snapshot(), Handouts::of(home));
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        Self { path, handouts, network, weight: 0, bytes, is_broken: false }
    }

    /// The states that the log commits to, in the same home.
    pub(super) const fn handouts(&self) -> &Handouts {
        &self.handouts
    }

    /// The log goes on from elsewhere: what was kept is of no use.
    pub(super) fn forget(&mut self) {
        // One that stays is ignored: the log does not have its slot.
        drop(fs::remove_file(&self.path));
        self.weight = 0;
    }

    /// Counts a slot that was folded.
    pub(super) fn count(&mut self, events: &[Event]) {
        let weight = |event: &Event| match event {
            Event::Submitted { .. } => WEIGHT_OF_A_RUN,
            _ => 1,
        };
        self.weight += WEIGHT_OF_A_SLOT + events.iter().map(weight).sum::<u64>();
    }

    /// Whether so much, or as much as it takes to write one, was folded since the last.
    const fn is_due(&self, weight: u64) -> bool {
        self.weight >= weight && self.weight >= self.bytes / BYTES_PER_WEIGHT
    }

    /// Counts a slot that is durable; takes a snapshot after it if the last one is long ago.
    pub(super) fn folded(&mut self, events: &[Event], state: &State, head: Digest) {
        self.count(events);
        if self.is_due(WEIGHT_RUNNING) {
            self.take(state, head);
        }
    }

    /// Takes a snapshot if the next start would be slow without it. All slots of the state are
    /// durable.
    pub(super) fn finish(&mut self, state: &State, head: Digest) {
        if self.is_due(WEIGHT_AT_REST) {
            self.take(state, head);
        }
    }

    /// What cannot be written is not: a snapshot only saves time.
    fn take(&mut self, state: &State, head: Digest) {
        let bytes = state.snapshot();
        (self.weight, self.bytes) = (0, bytes.len() as u64);
        let Some(program) = machine::program().filter(|_| !self.is_broken) else { return };
        if bytes.len() as u64 > SNAPSHOT_BYTES_MAX / 2 {
            return;
        }
        let (network, height) = (self.network, state.height());
        let header = Header { network, program, height, head, state: Digest::of(&bytes) };
        // Only who has the log open writes. What a crash left half is overwritten.
        let draft = self.path.with_extension("draft");
        let written = fs::write(&draft, [header.to_bytes(), bytes].concat())
            .inspect(|()| pass(Peril::SnapshotDrafted))
            .and_then(|()| fs::rename(&draft, &self.path));
        self.is_broken = written.is_err();
        if self.is_broken {
            // On a full disk it is in the way of whoever wants to make room.
            let _ = fs::remove_file(&draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::amount::Ohc;
    use crate::base::ids::RunId;
    use crate::base::keys::PublicKey;

    /// What begins a run.
    fn submitted(run: u32) -> Event {
        let (client, subject, budget) = (PublicKey([1; 32]), Digest([2; 32]), Ohc::ZERO);
        Event::Submitted { run: RunId(run), client, subject, budget }
    }

    #[test]
    fn four_runs_are_worth_a_snapshot_at_the_end_and_not_while_a_network_runs() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let mut keeper = Keeper::new(&home, NetworkId(Digest([3; 32])));
        (0..3).for_each(|run| keeper.count(&[submitted(run)]));
        assert!(!keeper.is_due(WEIGHT_AT_REST));
        keeper.count(&[submitted(3)]);
        assert!(keeper.is_due(WEIGHT_AT_REST) && !keeper.is_due(WEIGHT_RUNNING));
        // Slots in which little happens are worth one too, once there are as many as that weighs.
        let mut idle = Keeper::new(&home, NetworkId(Digest([3; 32])));
        (0..WEIGHT_AT_REST / WEIGHT_OF_A_SLOT).for_each(|_| idle.count(&[]));
        assert!(idle.is_due(WEIGHT_AT_REST));
    }

    #[test]
    fn a_large_snapshot_is_not_written_again_for_little() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        fs::write(home.snapshot(), vec![0; 640_000]).unwrap();
        let mut keeper = Keeper::new(&home, NetworkId(Digest([3; 32])));
        (0..14).for_each(|run| keeper.count(&[submitted(run)]));
        assert!(!keeper.is_due(WEIGHT_AT_REST), "writing it takes as long as 10,000 events");
        (0..3).for_each(|run| keeper.count(&[submitted(run)]));
        assert!(keeper.is_due(WEIGHT_AT_REST));
    }
}
