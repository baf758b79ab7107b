//! Verifies a stored log from nothing but its genesis: every page, every signature, every hash of
//! the Proof-of-History, and the fold itself. Believes nothing that the node did before.

use super::boot;
use super::home::Home;
use crate::base::canon::{Canonical, Decode, Digest};
use crate::base::limits::TICKS_PER_SLOT_MAX;
use crate::base::time::Height;
use crate::domain::command::SignedOrder;
use crate::domain::event::events_root;
use crate::domain::genesis::Genesis;
use crate::domain::poh::{self, Segment};
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::effects::store::{Store, StoreError};

/// Slots that are held in memory at a time.
const WINDOW: usize = 1_024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogVerdict {
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
pub fn home(home: &Home, threads: usize) -> Result<LogVerdict, StoreError> {
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
    match genesis.check() {
        Ok(()) => Ok(verify(&genesis, store.iter(), threads)),
        Err(error) => Ok(damaged(Height(0), format!("the genesis: {error}"))),
    }
}

fn damaged(height: Height, what: String) -> LogVerdict {
    LogVerdict { first_fault: Some(LogFault { height, what }), ..LogVerdict::default() }
}

/// Verifies the slots that follow a genesis, on so many threads.
pub fn verify(
    genesis: &Genesis,
    slots: impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>>,
    threads: usize,
) -> LogVerdict {
    let mut verifier = Verifier {
        state: State::new(genesis),
        parent: genesis.digest(),
        threads: threads.max(1),
        verdict: LogVerdict::default(),
    };
    let mut window = Vec::new();
    for stored in slots {
        let next = verifier.verdict.slots + window.len() as u64 + 1;
        let read = stored.map_err(|error| (Height(next), error.to_string()));
        let slot = read.and_then(|(height, bytes)| {
            Slot::from_bytes(&bytes).map_err(|error| (height, format!("not a slot: {error}")))
        });
        match slot {
            Ok(slot) => window.push(slot),
            Err((height, what)) => {
                // What stands before the fault is still checked: an earlier one comes first.
                verifier.check(&window);
                verifier.blame(height, what);
                return verifier.verdict;
            }
        }
        if window.len() == WINDOW {
            verifier.check(&window);
            window.clear();
        }
        if verifier.verdict.first_fault.is_some() {
            return verifier.verdict;
        }
    }
    verifier.check(&window);
    verifier.verdict
}

struct Verifier {
    state: State,
    parent: Digest,
    threads: usize,
    verdict: LogVerdict,
}

impl Verifier {
    fn blame(&mut self, height: Height, what: String) {
        self.verdict.first_fault.get_or_insert(LogFault { height, what });
    }

    fn check(&mut self, window: &[Slot]) {
        let unsigned = self.first_unsigned(window);
        let broken = self.first_broken_chain(window);
        for (index, slot) in window.iter().enumerate() {
            if self.verdict.first_fault.is_some() {
                return;
            }
            if let Err(what) = self.check_page(slot) {
                return self.blame(slot.head.height, what);
            }
            if let Some((_, what)) = broken.iter().chain(&unsigned).find(|(at, _)| *at == index) {
                return self.blame(slot.head.height, what.clone());
            }
            let events = self.state.apply(slot.head.height, &slot.poh, &slot.commands);
            if events_root(&events) != slot.head.events {
                let what = "the events root is not that of the fold".into();
                return self.blame(slot.head.height, what);
            }
            self.parent = slot.head.digest();
            self.verdict.slots += 1;
            self.verdict.commands += slot.commands.len() as u64;
            self.verdict.hashes += slot.poh.iter().map(|entry| entry.hashes).sum::<u64>();
        }
    }

    fn check_page(&self, slot: &Slot) -> Result<(), String> {
        if slot.head.height != self.state.height().next() {
            return Err(format!("slot {} stands in its place", slot.head.height));
        }
        let (network, validators) = (self.state.network(), self.state.validators());
        slot.check(network, self.parent, validators).map_err(|error| error.to_string())
    }

    /// The first command whose signature does not hold, by place in the window.
    fn first_unsigned(&self, window: &[Slot]) -> Option<(usize, String)> {
        let network = self.state.network();
        let orders: Vec<(usize, usize, _)> = window
            .iter()
            .enumerate()
            .flat_map(|(at, slot)| slot.commands.iter().enumerate().map(move |(n, o)| (at, n, o)))
            .collect();
        let share = orders.len().div_ceil(self.threads).max(1);
        let bad = std::thread::scope(|scope| {
            let check = |part: &[(usize, usize, &SignedOrder)]| {
                let holds = |order: &SignedOrder| {
                    order.author.verifies(network, &order.body, &order.signature)
                };
                part.iter().find(|(.., order)| !holds(order)).map(|(at, n, _)| (*at, *n))
            };
            let parts: Vec<_> =
                orders.chunks(share).map(|part| scope.spawn(move || check(part))).collect();
            parts.into_iter().filter_map(|part| part.join().ok().flatten()).min()
        });
        bad.map(|(at, n)| (at, format!("the signature of command {} does not hold", n + 1)))
    }

    /// The first slot whose chain is broken, by place in the window.
    fn first_broken_chain(&self, window: &[Slot]) -> Option<(usize, String)> {
        let params = poh::Params { hashes_per_tick: self.state.params().hashes_per_tick };
        let hashes_max = params.per_tick().saturating_mul(TICKS_PER_SLOT_MAX + 2);
        let mut place = self.state.place();
        let mut segments = Vec::with_capacity(window.len());
        for slot in window {
            segments.push(Segment { from: place, entries: &slot.poh });
            place = slot.poh.iter().fold(place, poh::Place::after);
        }
        let fault = poh::verify_many(&segments, params, hashes_max, self.threads).err()?;
        Some((fault.segment, format!("Proof-of-History: {}", fault.fault)))
    }
}
