//! Rights to the store: for whom requests are signed, and for how many bytes still. Known from the
//! log alone, and forgotten with the process; never what the log itself says.

use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::domain::cost::BYTES_PER_UNIT;
use crate::domain::event::Event;
use crate::domain::state::{State, Worker};
use crate::effects::artifacts::{Act, ObjectRequest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A lease may store so many times what its work counts as bytes: estimates may be wrong.
const SLACK: u64 = 4;
/// And so many bytes, however little its work is.
const FREE: u64 = 64 << 20;
/// Whoever asks again after a request that broke has its bytes counted once: so many artifacts are
/// remembered of those that were signed last.
const REMEMBERED: usize = 32;
/// Clients with bytes that are paid for and not signed yet; the first of them is forgotten then.
const UPLOADS_MAX: usize = 65_536;

/// What may be signed, by what the log says.
#[derive(Debug, Default)]
pub(super) struct Rights {
    leases: BTreeMap<(PublicKey, LeaseId), Room>,
    /// Whoever has an account, or had one.
    accounts: BTreeSet<PublicKey>,
    uploads: BTreeMap<PublicKey, Room>,
    /// The same, in the order in which they came.
    order: VecDeque<PublicKey>,
}

/// Bytes that may be signed still.
#[derive(Debug, Default)]
struct Room {
    bytes: u64,
    last: VecDeque<Option<Digest>>,
}

impl Room {
    fn new(bytes: u64) -> Self {
        Self { bytes, last: VecDeque::new() }
    }

    fn take(&mut self, artifact: Option<Digest>, bytes: u64) -> bool {
        if self.last.contains(&artifact) {
            return true;
        }
        // Small ones have a name to be kept too.
        let Some(left) = self.bytes.checked_sub(counted(bytes)) else { return false };
        self.bytes = left;
        self.last.push_back(artifact);
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
        true
    }
}

/// What an artifact of so many bytes counts for: never nothing.
pub(in crate::node) fn counted(bytes: u64) -> u64 {
    /// What an object takes beside its bytes.
    const OBJECT: u64 = 1024;
    bytes.saturating_add(OBJECT)
}

impl Rights {
    /// Those of a log.
    pub(super) fn new(state: &State) -> Self {
        let accounts = state.ledger().accounts().map(|(key, _)| *key).collect();
        let mut rights = Self { accounts, ..Self::default() };
        rights.folded(state);
        rights
    }

    /// The log is further: these are the leases that are held now.
    pub(super) fn folded(&mut self, state: &State) {
        let mut before = std::mem::take(&mut self.leases);
        let of = |(key, worker): (&PublicKey, &Worker)| {
            let key = *key;
            worker.leases.clone().into_iter().map(move |lease| (key, lease))
        };
        for held in state.workers().iter().flat_map(of) {
            let room = before.remove(&held).unwrap_or_else(|| Room::new(room(state, held.1)));
            self.leases.insert(held, room);
        }
    }

    /// What a slot has done.
    pub(super) fn saw(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Transferred { to, .. } => {
                    self.accounts.insert(*to);
                }
                Event::Uploading { author, bytes } => self.admit(*author, *bytes),
                _ => {}
            }
        }
    }

    fn admit(&mut self, author: PublicKey, bytes: u64) {
        let room = self.uploads.entry(author).or_insert_with(|| {
            self.order.push_back(author);
            Room::default()
        });
        room.bytes = room.bytes.saturating_add(bytes);
        if self.order.len() > UPLOADS_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.uploads.remove(&first);
        }
    }

    /// Whether it is worth while to look at a request of this author: it may ask for something.
    pub(super) fn knows(&self, author: PublicKey, lease: Option<LeaseId>) -> bool {
        match lease {
            Some(lease) => self.leases.contains_key(&(author, lease)),
            None => self.accounts.contains(&author),
        }
    }

    /// Whether a request that this author has signed may be made; the bytes that it brings are
    /// counted then.
    pub(super) fn take(&mut self, author: PublicKey, request: &ObjectRequest) -> bool {
        let bytes = match request.act {
            Act::Read | Act::Look => return self.knows(author, request.lease),
            Act::Create { bytes } | Act::Replace { bytes } => bytes,
        };
        let room = match request.lease {
            Some(lease) => self.leases.get_mut(&(author, lease)),
            None => self.uploads.get_mut(&author),
        };
        room.is_some_and(|room| room.take(request.artifact, bytes))
    }
}

/// What the holder of a lease may store: what its work counts as bytes, checkpoints included, with
/// room for estimates that are wrong.
fn room(state: &State, lease: LeaseId) -> u64 {
    let plan = state.runs().get(&lease.block.run).map(|run| &run.plan);
    let block = plan.and_then(|plan| plan.blocks.get(lease.block.index as usize));
    let jobs = block.into_iter().flat_map(|block| &block.jobs);
    let jobs = jobs.filter_map(|job| plan.and_then(|plan| plan.job(*job)));
    let work = jobs.map(|job| job.size.work().units()).fold(0, u64::saturating_add);
    work.saturating_mul(BYTES_PER_UNIT).saturating_mul(SLACK).saturating_add(FREE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BlockId, RunId};

    const LEASE: LeaseId = LeaseId { block: BlockId { run: RunId(7), index: 3 }, attempt: 2 };
    const ME: PublicKey = PublicKey([1; 32]);
    const OTHER: PublicKey = PublicKey([2; 32]);

    fn request(lease: Option<LeaseId>, act: Act, artifact: u8) -> ObjectRequest {
        ObjectRequest { lease, act, artifact: Some(Digest::of(&[artifact])) }
    }

    #[test]
    fn a_client_writes_as_many_bytes_as_it_paid_for_and_a_name_counts_once() {
        let mut rights = Rights::default();
        let create = |bytes, artifact| request(None, Act::Create { bytes }, artifact);
        assert!(!rights.take(ME, &create(0, 0)) && !rights.knows(ME, None));
        rights.saw(&[Event::Uploading { author: ME, bytes: counted(5_000) + counted(3_000) }]);
        assert!(rights.take(ME, &create(5_000, 1)));
        assert!(rights.take(ME, &create(5_000, 1)), "it is asked for again");
        assert!(!rights.take(ME, &create(3_001, 2)) && !rights.take(OTHER, &create(1, 3)));
        assert!(rights.take(ME, &create(3_000, 2)));
        assert!(!rights.take(ME, &create(0, 4)), "a name is never free");
        rights.saw(&[Event::Uploading { author: ME, bytes: counted(0) }]);
        assert!(rights.take(ME, &request(None, Act::Replace { bytes: 0 }, 4)));
        assert!(!rights.take(ME, &create(u64::MAX, 5)));
    }

    #[test]
    fn a_lease_is_good_for_its_bytes_and_for_its_holder_alone() {
        let mut rights = Rights::default();
        rights.leases.insert((ME, LEASE), Room::new(counted(10)));
        let create = |artifact| request(Some(LEASE), Act::Create { bytes: 10 }, artifact);
        assert!(!rights.take(OTHER, &create(1)) && !rights.take(ME, &request(None, Act::Read, 1)));
        assert!(rights.take(ME, &create(1)) && !rights.take(ME, &create(2)));
        assert!(rights.take(ME, &request(Some(LEASE), Act::Read, 2)), "reading is free");
        rights.saw(&[Event::Transferred { from: ME, to: OTHER, amount: Default::default() }]);
        assert!(rights.take(OTHER, &request(None, Act::Look, 1)), "it has an account now");
    }

    #[test]
    fn whoever_paid_first_is_forgotten_first_and_no_more_than_so_many_are_known() {
        let mut rights = Rights::default();
        let client = |n: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            PublicKey(key)
        };
        let paid = |n| Event::Uploading { author: client(n), bytes: counted(1) };
        (0..=UPLOADS_MAX as u32).for_each(|n| rights.saw(&[paid(n)]));
        assert_eq!((rights.uploads.len(), rights.order.len()), (UPLOADS_MAX, UPLOADS_MAX));
        let create = request(None, Act::Create { bytes: 1 }, 1);
        assert!(!rights.take(client(0), &create) && rights.take(client(1), &create));
    }
}
