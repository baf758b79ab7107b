//! Views: what the log of a home says, whoever has it open: read from the disk, or from the process
//! that has it open, and folded here either way. Never writes to the log.

use super::attach::{AttachError, Peer};
use super::boot::{self, BootError, Booted, Fold};
use super::handouts::Handouts;
use super::home::Home;
use super::snapshot::{self, Beginning, Found, Keeper};
use crate::base::canon::{Decode, Digest};
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::domain::command::{Command, Submission};
use crate::domain::event::Event;
use crate::domain::genesis::Genesis;
use crate::domain::milestone::{Checkpoint, Milestone};
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::domain::state::run::Run;
use crate::effects::artifacts::Artifacts;
use crate::effects::store::{Recovery, Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a home is tried that is in use by a process which does not listen (yet), and how long
/// apart: beyond what the store itself waits.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(50);

/// What the log of a home says.
pub struct View {
    /// The first page of its history.
    pub genesis: Genesis,
    /// The fold of its log, as far as it was read.
    pub state: State,
    /// The artifacts.
    pub artifacts: Arc<Artifacts>,
    /// What was found when the log was opened; of a log that another process has open, only how
    /// long it was.
    pub recovery: Recovery,
    /// What became of the snapshot, if there was one.
    pub snapshot: Found,
    parent: Digest,
    base: Height,
    log: Log,
}

/// Where slots come from.
enum Log {
    /// The disk: nobody writes while we read.
    Own(Arc<Store>, Keeper),
    /// The process that has the log open.
    Attached(Home, Peer),
}

/// Where the set of validators changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastChange {
    /// In this slot.
    At(Checkpoint),
    /// They are those of the genesis.
    Never,
    /// Before the log here begins, and it was not told.
    Unknown,
    /// Another process has the log open, and knows.
    Elsewhere,
}

/// What became of a log that is followed.
#[derive(Debug)]
pub enum Followed {
    /// The next slot was folded into the view; this is what it did.
    Slot(Vec<Event>),
    /// There was none in the time given.
    Nothing,
    /// Nobody writes it any more.
    Over,
}

impl View {
    /// Reads a home that exists.
    pub fn open(home: &Home, client: PublicKey, validator: PublicKey) -> Result<Self, BootError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match attach(home, None) {
                Ok(Some(view)) => return Ok(view),
                Ok(None) => {}
                // It went while we read: then the log is free.
                Err(BootError::Attach(AttachError::Line(_))) if tries > 0 => continue,
                Err(error) => return Err(error),
            }
            match boot::boot(home, client, validator) {
                Err(BootError::Store(StoreError::Busy { .. })) if tries > 0 => {
                    std::thread::sleep(PAUSE);
                }
                booted => return booted.map(Self::of),
            }
        }
    }

    /// Reads a home that another process has open, with these artifacts.
    pub(super) fn attached(home: &Home, artifacts: Arc<Artifacts>) -> Result<Self, BootError> {
        for _ in 0..TRIES {
            if let Some(view) = attach(home, Some(artifacts.clone()))? {
                return Ok(view);
            }
            std::thread::sleep(PAUSE);
        }
        Err(busy(home.log()))
    }

    /// What is known of a home that this process has open.
    #[must_use]
    pub fn of(booted: Booted) -> Self {
        let Booted { genesis, state, parent, store, artifacts, recovery, snapshot, keeper, .. } =
            booted;
        let (base, log) = (store.base(), Log::Own(store, keeper));
        Self { genesis, state, parent, base, artifacts, recovery, snapshot, log }
    }

    /// What may be written to, if this process has the home open.
    pub fn into_booted(self) -> Result<Booted, BootError> {
        let Self { genesis, state, parent, artifacts, recovery, snapshot, log, .. } = self;
        match log {
            Log::Own(store, keeper) => {
                // Whoever reads a log has it as far as that.
                let checkpoint = None;
                Ok(Booted {
                    genesis,
                    state,
                    parent,
                    store,
                    checkpoint,
                    artifacts,
                    recovery,
                    snapshot,
                    keeper,
                })
            }
            Log::Attached(home, _) => Err(busy(home.log())),
        }
    }

    /// Whether another process has the home open.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.log, Log::Attached(..))
    }

    /// The process that has the home open, if it is another one.
    pub fn peer(&mut self) -> Option<&mut Peer> {
        match &mut self.log {
            Log::Own(..) => None,
            Log::Attached(_, peer) => Some(peer),
        }
    }

    /// The log and the node's own records, if this process has them open.
    pub(super) fn store(&self) -> Option<&Store> {
        match &self.log {
            Log::Own(store, _) => Some(store),
            Log::Attached(..) => None,
        }
    }

    /// The slot after which the log begins here; 0 where all of it is here.
    #[must_use]
    pub const fn base(&self) -> Height {
        self.base
    }

    /// Where the set of validators changed last: what whoever joins should know.
    pub fn last_change(&self) -> Result<LastChange, BootError> {
        let genesis = State::new(&self.genesis);
        let Log::Own(store, _) = &self.log else { return Ok(LastChange::Elsewhere) };
        let mut last = None;
        for stored in store.milestones(Height(0)) {
            let (height, bytes) = stored?;
            let stone = Milestone::from_bytes(&bytes)
                .map_err(|_| store.damaged(height, "a milestone that makes no sense"))?;
            if let (Some(checkpoint), Event::SetChanged { now, .. }) =
                (stone.checkpoint(), stone.event)
            {
                last = Some((checkpoint, now));
            }
        }
        let validators = self.state.validators();
        Ok(match last {
            Some((checkpoint, now)) if now == *validators => LastChange::At(checkpoint),
            None if genesis.validators() == validators => LastChange::Never,
            // Whoever gave the state that the log here begins with did not say.
            _ => LastChange::Unknown,
        })
    }

    /// The state that the slots follow which are here: that before the first slot of all, or one
    /// that the log commits to.
    pub fn first(&self) -> Result<State, BootError> {
        let handouts = match &self.log {
            Log::Own(_, keeper) => keeper.handouts().clone(),
            Log::Attached(home, _) => Handouts::of(home),
        };
        snapshot::first(&handouts, &self.genesis, self.base)
    }

    /// All slots after this one that the view has folded, oldest first.
    pub fn slots(
        &self,
        mut height: Height,
    ) -> Result<impl Iterator<Item = Result<Slot, BootError>>, BootError> {
        let last = self.state.height();
        let mut source = self.source()?;
        Ok(std::iter::from_fn(move || {
            if height == last {
                return None;
            }
            height = height.next();
            let read = source(height);
            Some(read.and_then(|bytes| decode(height, &bytes)))
        }))
    }

    /// Where any slot can be had from.
    fn source(&self) -> Result<Source, BootError> {
        Ok(match &self.log {
            Log::Own(store, _) => Box::new(of_store(store.clone())),
            Log::Attached(home, _) => match Peer::connect(home)? {
                Some(peer) => Box::new(of_peer(peer)),
                // It is over: the log is free.
                None => Box::new(of_store(Arc::new(Store::open(&home.log())?.0))),
            },
        })
    }

    /// The submission that a run began with.
    pub fn submission(&self, run: &Run) -> Result<Submission, BootError> {
        let height = run.since;
        if height <= self.base {
            // It was signed with the state that the log here begins with.
            return Ok(run.plan.submission().clone());
        }
        let gone = |what: &str| BootError::Slot { height, what: what.to_owned() };
        let bytes = self.source()?(height)?;
        let found = decode(height, &bytes)?.commands.into_iter().find_map(|order| {
            let is_ours = order.author == run.client;
            match order.body.command {
                Command::Submit(submission) if is_ours && submission.subject() == run.subject => {
                    Some(*submission)
                }
                _ => None,
            }
        });
        found.ok_or_else(|| gone("the submission of a run is not in it"))
    }

    /// Waits for the next slot, for so long (or a second) at the most, and folds it in.
    pub fn follow(&mut self, at_most: Duration) -> Result<Followed, BootError> {
        let Log::Attached(_, peer) = &mut self.log else { return Ok(Followed::Over) };
        let next = self.state.height().next();
        let slots = match peer.slots(next, at_most) {
            Ok(slots) => slots,
            Err(AttachError::Line(_)) => return Ok(Followed::Over),
            Err(error) => return Err(error.into()),
        };
        let Some(bytes) = slots.first() else { return Ok(Followed::Nothing) };
        let mut fold = Fold::new(&mut self.state, self.parent);
        let events = fold.add(next, bytes)?;
        self.parent = fold.finish()?;
        Ok(Followed::Slot(events))
    }
}

type Source = Box<dyn FnMut(Height) -> Result<Vec<u8>, BootError>>;

fn of_store(store: Arc<Store>) -> impl FnMut(Height) -> Result<Vec<u8>, BootError> {
    move |height| {
        let gone = || BootError::Slot { height, what: "it is not there".into() };
        store.read(height)?.ok_or_else(gone)
    }
}

/// Asks for as many slots as the other gives at a time.
fn of_peer(mut peer: Peer) -> impl FnMut(Height) -> Result<Vec<u8>, BootError> {
    let mut ready = Vec::new().into_iter();
    move |height| loop {
        match ready.next() {
            Some(bytes) => return Ok(bytes),
            None => ready = peer.slots(height, Duration::ZERO)?.into_iter(),
        }
        if ready.len() == 0 {
            return Err(BootError::Slot { height, what: "it is not there".into() });
        }
    }
}

fn decode(height: Height, bytes: &[u8]) -> Result<Slot, BootError> {
    Slot::from_bytes(bytes).map_err(|error| BootError::Slot { height, what: error.to_string() })
}

/// Reads the log of the process that has a home open; none if nobody listens there.
fn attach(home: &Home, artifacts: Option<Arc<Artifacts>>) -> Result<Option<View>, BootError> {
    let Some(mut peer) = Peer::connect(home)? else { return Ok(None) };
    let genesis = Genesis::from_bytes(&peer.genesis()?)?;
    genesis.check()?;
    let base = base(home, &mut peer)?;
    // What is asked for before that is answered with what comes after it.
    let mut slot = |height| {
        let is_here = height > base;
        is_here.then(|| peer.slots(height, Duration::ZERO).ok()?.into_iter().next()).flatten()
    };
    let begun = snapshot::begin(home, &genesis, base, &mut slot)?;
    let Beginning { mut state, parent, found } = begun;
    let mut fold = Fold::new(&mut state, parent);
    loop {
        let next = fold.next();
        let slots = peer.slots(next, Duration::ZERO)?;
        if slots.is_empty() {
            break;
        }
        for bytes in slots {
            fold.add(fold.next(), &bytes)?;
        }
    }
    let parent = fold.finish()?;
    let open = || Artifacts::open(&home.artifacts()).map(Arc::new);
    let artifacts = artifacts.map_or_else(open, Ok)?;
    let recovery = Recovery { slots: state.height().0, cut: None };
    let log = Log::Attached(home.clone(), peer);
    let snapshot = found;
    Ok(Some(View { genesis, state, parent, base, artifacts, recovery, snapshot, log }))
}

/// The slot after which the log of another process begins.
fn base(home: &Home, peer: &mut Peer) -> Result<Height, BootError> {
    let first = peer.slots(Height(1), Duration::ZERO)?.into_iter().next();
    Ok(match first {
        Some(bytes) => Height(decode(Height(1), &bytes)?.head.height.0.saturating_sub(1)),
        None => Handouts::of(home).heights().last().copied().unwrap_or_default(),
    })
}

fn busy(path: PathBuf) -> BootError {
    BootError::Store(StoreError::Busy { path })
}
