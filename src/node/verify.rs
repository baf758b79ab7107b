//! Verifies a stored log from nothing but its genesis: every page, every signature, every hash of
//! the Proof-of-History, and the fold itself. Believes nothing that the node did before.
//!
//! A log that begins later than with the first slot begins with a state: the validators must have
//! signed it, and those of the genesis, or who came after them, must have signed who they are.
//! Where there is a checkpoint, it must stand in the log, or those who sign from there on must have
//! signed what the log begins with.

use super::boot;
use super::handouts::Handouts;
use super::home::Home;
use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Decode, Digest};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::limits::TICKS_PER_SLOT_MAX;
use crate::base::time::Height;
use crate::domain::command::SignedOrder;
use crate::domain::genesis::Genesis;
use crate::domain::milestone::{Checkpoint, Doubt, Milestone, Trust};
use crate::domain::poh::{self, Segment};
use crate::domain::slot::{Head, Slot, SlotError};
use crate::domain::state::State;
use crate::effects::store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots that are checked at a time: while they are, the ones before are folded…
const WINDOW: usize = 1_024;
/// … and the bytes of them. Twice this is held in memory.
const WINDOW_BYTES: usize = 32 << 20;
/// Commands whose signatures are one piece of work for a thread.
const PIECE: usize = 32;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogVerdict {
    /// The slot whose state the log was checked from; 0 where that was the genesis.
    pub base: Height,
    /// Slots that are good.
    pub slots: u64,
    /// Commands in them.
    pub commands: u64,
    /// Hashes of the Proof-of-History that were computed again.
    pub hashes: u64,
    /// The first thing that is wrong, if any.
    pub first_fault: Option<LogFault>,
}

/// Something that is wrong in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFault {
    /// In which slot.
    pub height: Height,
    /// What.
    pub what: String,
}

/// Verifies the log of a home, on so many threads. Damage is a verdict; an error is only what keeps
/// anybody from looking: another process, the file system.
pub fn home(
    home: &Home,
    checkpoint: Option<Checkpoint>,
    threads: usize,
) -> Result<LogVerdict, StoreError> {
    let opened = Store::open(&home.log()).and_then(|(store, _)| {
        let genesis = store.get_own(boot::GENESIS)?;
        Ok((store, genesis))
    });
    let (store, genesis) = match opened {
        Ok(opened) => opened,
        Err(StoreError::Corrupt { path, height, damage }) => {
            let what = format!("{damage} in {}", path.display());
            return Ok(damaged(height.unwrap_or_default(), what));
        }
        Err(error) => return Err(error),
    };
    let genesis = match genesis.map(|bytes| Genesis::from_bytes(&bytes)) {
        Some(Ok(genesis)) => genesis,
        Some(Err(error)) => return Ok(damaged(Height(0), format!("the genesis: {error}"))),
        // A crash at the very beginning: nothing was ever signed.
        None if store.last().is_none() => return Ok(LogVerdict::default()),
        None => return Ok(damaged(Height(0), "there is no genesis".into())),
    };
    if let Err(error) = genesis.check() {
        return Ok(damaged(Height(0), format!("the genesis: {error}")));
    }
    let base = store.base();
    let verdict = match base {
        Height(0) => verify(&genesis, store.iter(), threads),
        _ => match beginning(&genesis, &store, (&Handouts::of(home), checkpoint)) {
            Ok((state, parent)) => {
                let slots = store.iter_from(state.height().next());
                verify_from((state, parent), slots, threads)
            }
            Err(what) => damaged(base, what),
        },
    };
    match checkpoint.filter(|checkpoint| checkpoint.height > verdict.base) {
        Some(checkpoint) if verdict.first_fault.is_none() => passes(&store, checkpoint, verdict),
        _ => Ok(verdict),
    }
}

/// What is said of a log that holds together, if a checkpoint is to stand in it.
fn passes(
    store: &Store,
    Checkpoint { height, head }: Checkpoint,
    verdict: LogVerdict,
) -> Result<LogVerdict, StoreError> {
    let slot = store.read(height)?;
    let found = slot.and_then(|slot| Head::of_bytes(&slot)).map(|head| head.digest());
    let what = match found {
        Some(found) if found == head => return Ok(verdict),
        Some(found) => format!("its head is {found}, and that of the checkpoint is {head}"),
        None => "the checkpoint is there, and the log here ends before it".to_owned(),
    };
    Ok(LogVerdict { first_fault: Some(LogFault { height, what }), ..verdict })
}

/// The state that the log of a store begins with, if those of the genesis vouch for it, or those of
/// a checkpoint before it. One that the checkpoint comes after needs nobody: what follows names it.
fn beginning(
    genesis: &Genesis,
    store: &Store,
    (handouts, checkpoint): (&Handouts, Option<Checkpoint>),
) -> Result<(State, Digest), String> {
    let base = store.base();
    let mut heights = handouts.heights().into_iter().filter(|height| *height >= base);
    let height = heights.next().ok_or("there is no state to begin with")?;
    let what = |error: &dyn fmt::Display| format!("the state to begin with: {error}");
    let handout = handouts.open(height).map_err(|error| what(&error))?;
    let network = genesis.network();
    let validators = State::new(genesis).validators().clone();
    if checkpoint.is_some_and(|checkpoint| checkpoint.height > height) {
        let committed = handout.milestone.committed().filter(|_| handout.milestone.is_shown());
        let committed = committed.ok_or_else(|| what(&Doubt::Events))?;
        handout.parts.check(&committed).map_err(|doubt| what(&doubt))?;
        return handout.state(network).map_err(|error| what(&error));
    }
    let mut trust = Trust::new(network, Height(0), validators).by(checkpoint);
    for stored in store.milestones(Height(0)) {
        let (_, bytes) = stored.map_err(|error| error.to_string())?;
        let stone = Milestone::from_bytes(&bytes).map_err(|error| what(&error))?;
        if trust.see(&handout.milestone).is_ok() || stone.head.height >= height {
            break;
        }
        if stone.committed().is_some() {
            continue;
        }
        // Who signed what comes before the checkpoint need not be known.
        let is_before = trust.awaited().is_some_and(|awaited| stone.head.height < awaited.height);
        trust.follow(&stone).or_else(|doubt| if is_before { Ok(()) } else { Err(what(&doubt)) })?;
    }
    let committed = trust.see(&handout.milestone).map_err(|doubt| what(&doubt))?;
    handout.parts.check(&committed).map_err(|doubt| what(&doubt))?;
    handout.state(network).map_err(|error| what(&error))
}

fn damaged(height: Height, what: String) -> LogVerdict {
    LogVerdict { first_fault: Some(LogFault { height, what }), ..LogVerdict::default() }
}

/// Verifies the slots that follow a genesis, on so many threads. Signatures and chains are checked
/// on all of them; the fold follows one window behind.
pub fn verify(
    genesis: &Genesis,
    slots: impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>> + Send,
    threads: usize,
) -> LogVerdict {
    verify_from((State::new(genesis), genesis.digest()), slots, threads)
}

/// Verifies the slots that follow a state, whose last head has this digest.
fn verify_from(
    (state, parent): (State, Digest),
    slots: impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>> + Send,
    threads: usize,
) -> LogVerdict {
    let verdict = LogVerdict { base: state.height(), ..LogVerdict::default() };
    let mut fold = Fold { state, verdict };
    let mut checks = Checks::new(parent, &fold.state, threads.max(1));
    let (mut slots, validators) = (slots, checks.validators.clone());
    let mut ready = checks.window(&mut slots);
    while !ready.is_last {
        let next = if threads <= 1 {
            fold.follow(&ready, &validators);
            checks.window(&mut slots)
        } else {
            std::thread::scope(|scope| {
                scope.spawn(|| fold.follow(&ready, &validators));
                checks.window(&mut slots)
            })
        };
        if fold.verdict.first_fault.is_some() {
            return fold.verdict;
        }
        ready = next;
    }
    fold.follow(&ready, &validators);
    fold.verdict
}

/// A slot, the digest of the head that it must name, and whether the validators of the genesis
/// have certified it.
type Page = (Slot, Digest, bool);

/// Slots in their order that hold by themselves, up to the first that does not.
struct Checked {
    pages: Vec<Page>,
    fault: Option<LogFault>,
    /// Nothing follows: the log is at its end, or has a fault.
    is_last: bool,
}

/// What can be said of slots without folding them.
struct Checks {
    network: NetworkId,
    /// As far as the genesis tells: the fold looks again where they have changed.
    validators: BTreeMap<PublicKey, Ohc>,
    params: poh::Params,
    threads: usize,
    next: Height,
    parent: Digest,
    place: poh::Place,
}

/// Something that one thread checks of a window, by the place of its slot.
enum Piece<'a> {
    Page(usize, &'a Page),
    /// The first of these commands has this number in its slot.
    Commands(usize, usize, &'a [SignedOrder]),
}

/// What is wrong with a slot; of several things, the first in this order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Place(Height),
    Page(String),
    Chain(String),
    Command(usize),
    /// Not signed by the validators of the genesis: the fold says whether they have changed.
    Uncertified,
}

impl Checks {
    fn new(parent: Digest, state: &State, threads: usize) -> Self {
        Self {
            network: state.network(),
            validators: state.validators().clone(),
            params: poh::Params { hashes_per_tick: state.params().hashes_per_tick },
            threads,
            next: state.height().next(),
            parent,
            place: state.place(),
        }
    }

    /// Reads and checks the next slots. Empty at the end of the log, or with a fault.
    fn window(
        &mut self,
        slots: &mut impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>>,
    ) -> Checked {
        let (mut pages, mut fault, mut is_last) = (Vec::new(), None, false);
        let (mut bytes, mut next, mut parent) = (0, self.next, self.parent);
        while pages.len() < WINDOW && bytes < WINDOW_BYTES && !is_last {
            let Some(stored) = slots.next() else {
                is_last = true;
                break;
            };
            let read = stored.map_err(|error| (next, error.to_string()));
            let slot = read.and_then(|(height, stored)| {
                bytes += stored.len();
                Slot::from_bytes(&stored).map_err(|error| (height, format!("not a slot: {error}")))
            });
            match slot {
                Ok(slot) => {
                    let follows = std::mem::replace(&mut parent, slot.head.digest());
                    pages.push((slot, follows, true));
                    next = next.next();
                }
                Err((height, what)) => {
                    // What stands before the fault is still checked: an earlier one comes first.
                    (fault, is_last) = (Some(LogFault { height, what }), true);
                }
            }
        }
        for (at, wrong) in self.wrong(&pages) {
            if wrong != Wrong::Uncertified {
                let height = pages.get(at).map_or(next, |(slot, ..)| slot.head.height);
                (fault, is_last) = (Some(LogFault { height, what: wrong.to_string() }), true);
                pages.truncate(at);
                break;
            }
            if let Some((.., is_certified)) = pages.get_mut(at) {
                *is_certified = false;
            }
        }
        (self.next, self.parent) = (next, parent);
        let entries = pages.iter().flat_map(|(slot, ..)| &slot.poh);
        self.place = entries.fold(self.place, poh::Place::after);
        Checked { pages, fault, is_last }
    }

    /// What is wrong with slots, by their place, in order; nothing is said of those behind the
    /// first that does not hold.
    fn wrong(&self, pages: &[Page]) -> BTreeSet<(usize, Wrong)> {
        let heights = (self.next.0..).map(Height).zip(pages).enumerate();
        let misplaced = heights.filter_map(|(at, (height, (slot, ..)))| {
            (slot.head.height != height).then_some((at, Wrong::Place(slot.head.height)))
        });
        let mut all: BTreeSet<_> = misplaced.chain(self.broken_chain(pages)).collect();
        let mut pieces = Vec::new();
        for (at, page) in pages.iter().enumerate() {
            pieces.push(Piece::Page(at, page));
            let commands = page.0.commands.chunks(PIECE).enumerate();
            pieces.extend(commands.map(|(n, some)| Piece::Commands(at, n * PIECE + 1, some)));
        }
        let (taken, lowest) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let work = || {
            let mut found = Vec::new();
            while let Some(piece) = pieces.get(taken.fetch_add(1, Ordering::Relaxed)) {
                // Pieces come in the order of their slots: nothing behind a fault matters.
                if piece.at() > lowest.load(Ordering::Relaxed) {
                    break;
                }
                if let Some(wrong) = self.wrong_in(piece) {
                    if wrong != Wrong::Uncertified {
                        lowest.fetch_min(piece.at(), Ordering::Relaxed);
                    }
                    found.push((piece.at(), wrong));
                }
            }
            found
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            all.extend(work());
            for other in others {
                let found = other.join();
                all.extend(found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
        all
    }

    fn wrong_in(&self, piece: &Piece<'_>) -> Option<Wrong> {
        match piece {
            Piece::Page(_, (slot, follows, _)) => {
                match slot.check(self.network, *follows, &self.validators) {
                    Ok(()) => None,
                    Err(SlotError::Certificate) => Some(Wrong::Uncertified),
                    Err(error) => Some(Wrong::Page(error.to_string())),
                }
            }
            Piece::Commands(_, first, commands) => {
                let holds = |order: &SignedOrder| {
                    order.author.verifies(self.network, &order.body, &order.signature)
                };
                let bad = commands.iter().position(|order| !holds(order))?;
                Some(Wrong::Command(first + bad))
            }
        }
    }

    /// The first slot whose chain is broken.
    fn broken_chain(&self, pages: &[Page]) -> Option<(usize, Wrong)> {
        let hashes_max = self.params.per_tick().saturating_mul(TICKS_PER_SLOT_MAX + 2);
        let mut place = self.place;
        let mut segments = Vec::with_capacity(pages.len());
        for (slot, ..) in pages {
            segments.push(Segment { from: place, entries: &slot.poh });
            place = slot.poh.iter().fold(place, poh::Place::after);
        }
        let fault = poh::verify_many(&segments, self.params, hashes_max, self.threads).err()?;
        Some((fault.segment, Wrong::Chain(fault.fault.to_string())))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(height) => write!(f, "slot {height} stands in its place"),
            Self::Page(what) => f.write_str(what),
            Self::Chain(what) => write!(f, "Proof-of-History: {what}"),
            Self::Command(n) => write!(f, "the signature of command {n} does not hold"),
            Self::Uncertified => SlotError::Certificate.fmt(f),
        }
    }
}

impl Piece<'_> {
    fn at(&self) -> usize {
        match self {
            Self::Page(at, _) | Self::Commands(at, ..) => *at,
        }
    }
}

/// The fold of what was checked.
struct Fold {
    state: State,
    verdict: LogVerdict,
}

impl Fold {
    /// Folds what holds by itself; `validators` are those that the certificates were held against.
    fn follow(&mut self, checked: &Checked, validators: &BTreeMap<PublicKey, Ohc>) {
        for (slot, follows, is_certified) in &checked.pages {
            let is_sure = *is_certified && self.state.validators() == validators;
            if let Err(what) = self.fold(slot, *follows, is_sure) {
                let height = slot.head.height;
                self.verdict.first_fault = Some(LogFault { height, what });
                return;
            }
        }
        self.verdict.first_fault.clone_from(&checked.fault);
    }

    fn fold(&mut self, slot: &Slot, follows: Digest, is_sure: bool) -> Result<(), String> {
        if !is_sure {
            let (network, validators) = (self.state.network(), self.state.validators());
            slot.check(network, follows, validators).map_err(|error| error.to_string())?;
        }
        self.state.fold(slot).map_err(|error| error.to_string())?;
        self.verdict.slots += 1;
        self.verdict.commands += slot.commands.len() as u64;
        self.verdict.hashes += slot.poh.iter().map(|entry| entry.hashes).sum::<u64>();
        Ok(())
    }
}
