//! Rights to the store: for whom requests are signed, and for how many bytes still. Known from the
//! log alone, and forgotten with the process; never what the log itself says.

use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::base::time::Height;
use crate::domain::cost::BYTES_PER_UNIT;
use crate::domain::event::Event;
use crate::domain::state::State;
use crate::effects::artifacts::{Act, ObjectRequest};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A lease may store so many times what its work counts as bytes: estimates may be wrong.
const SLACK: u64 = 4;
/// And so many bytes, however little its work is.
const FREE: u64 = 16 << 20;
/// Whoever asks again after a request that broke has its bytes counted once: so many artifacts are
/// remembered of those that were signed last.
const REMEMBERED: usize = 32;
/// Clients that have paid for bytes; who did so longest ago is forgotten then.
const UPLOADS_MAX: usize = 65_536;

/// What may be signed, by what the log says.
#[derive(Debug, Default)]
pub(super) struct Rights {
    leases: BTreeMap<PublicKey, BTreeMap<LeaseId, Room>>,
    /// Whoever has an account, or had one, as of the last slot that was seen.
    accounts: (Height, BTreeSet<PublicKey>),
    uploads: BTreeMap<PublicKey, (u64, Room)>,
    /// Whose they are, by the number of the last payment.
    payments: BTreeMap<u64, PublicKey>,
}

/// Bytes that may be signed still.
#[derive(Debug, Default)]
struct Room {
    bytes: u64,
    /// What was signed last, and what was counted for it.
    last: VecDeque<(Digest, u64)>,
}

impl Room {
    fn new(bytes: u64) -> Self {
        Self { bytes, last: VecDeque::new() }
    }

    /// What has been counted for an artifact.
    fn counted(&self, artifact: Digest) -> u64 {
        let found = self.last.iter().find(|(name, _)| *name == artifact);
        found.map_or(0, |(_, bytes)| *bytes)
    }

    fn take(&mut self, artifact: Digest, bytes: u64) -> bool {
        let before = self.counted(artifact);
        let Some(left) = self.bytes.checked_sub(counted(bytes).saturating_sub(before)) else {
            return false;
        };
        self.bytes = left;
        self.last.retain(|(name, _)| *name != artifact);
        self.last.push_back((artifact, before.max(counted(bytes))));
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
        let mut rights = Self { accounts: accounts(state), ..Self::default() };
        rights.folded(state);
        rights
    }

    /// The log is further: these are the leases that are held now.
    pub(super) fn folded(&mut self, state: &State) {
        let mut before = std::mem::take(&mut self.leases);
        for (key, worker) in state.workers() {
            let mut rooms = before.remove(key).unwrap_or_default();
            rooms.retain(|lease, _| worker.leases.contains(lease));
            for lease in &worker.leases {
                rooms.entry(*lease).or_insert_with(|| Room::new(room(state, *lease)));
            }
            if !rooms.is_empty() {
                self.leases.insert(*key, rooms);
            }
        }
    }

    /// What a slot has done. Where slots were left out all that follows from them is new.
    pub(super) fn saw(&mut self, state: &State, events: &[Event]) {
        match self.accounts.0.next() == state.height() {
            true => self.accounts.0 = state.height(),
            false => self.accounts = accounts(state),
        }
        events.iter().for_each(|event| self.see(event));
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Transferred { to, .. } => {
                self.accounts.1.insert(*to);
            }
            Event::Uploading { author, bytes } if *bytes > 0 => self.admit(*author, *bytes),
            _ => {}
        }
    }

    fn admit(&mut self, author: PublicKey, bytes: u64) {
        let number = self.payments.last_key_value().map_or(0, |(last, _)| last + 1);
        let (last, room) = self.uploads.entry(author).or_default();
        self.payments.remove(last);
        self.payments.insert(number, author);
        *last = number;
        room.bytes = room.bytes.saturating_add(bytes);
        if self.payments.len() > UPLOADS_MAX
            && let Some((_, first)) = self.payments.pop_first()
        {
            self.uploads.remove(&first);
        }
    }

    /// Whether it is worth while to look at a request of this author: it may ask for something.
    pub(super) fn knows(&self, author: PublicKey, lease: Option<LeaseId>) -> bool {
        match lease {
            Some(lease) => self.leases.get(&author).is_some_and(|held| held.contains_key(&lease)),
            None => self.accounts.1.contains(&author),
        }
    }

    /// Whether a request that this author has signed may be made; the bytes that it brings are
    /// counted then: for any lease of the author if it is for one, for a worker has several and its
    /// store does not know which a write is for.
    pub(super) fn take(&mut self, author: PublicKey, request: &ObjectRequest) -> bool {
        let bytes = match request.act {
            Act::Read | Act::Look => return self.knows(author, request.lease),
            Act::Create { bytes } | Act::Replace { bytes } => bytes,
        };
        // Nobody writes the mark; and more than an artifact may have is none.
        let Some(artifact) = request.artifact.filter(|_| bytes <= ARTIFACT_BYTES_MAX as u64) else {
            return false;
        };
        if !self.knows(author, request.lease) {
            return false;
        }
        match request.lease {
            Some(_) => {
                let mut rooms: Vec<&mut Room> = self
                    .leases
                    .get_mut(&author)
                    .into_iter()
                    .flat_map(BTreeMap::values_mut)
                    .collect();
                rooms.sort_by_key(|room| Reverse(room.counted(artifact)));
                rooms.into_iter().any(|room| room.take(artifact, bytes))
            }
            None => {
                let room = self.uploads.get_mut(&author);
                room.is_some_and(|(_, room)| room.take(artifact, bytes))
            }
        }
    }
}

fn accounts(state: &State) -> (Height, BTreeSet<PublicKey>) {
    (state.height(), state.ledger().accounts().map(|(key, _)| *key).collect())
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

    const ME: PublicKey = PublicKey([1; 32]);
    const OTHER: PublicKey = PublicKey([2; 32]);

    fn lease(index: u32) -> LeaseId {
        LeaseId { block: BlockId { run: RunId(7), index }, attempt: 2 }
    }

    fn request(lease: Option<LeaseId>, act: Act, artifact: u8) -> ObjectRequest {
        ObjectRequest { lease, act, artifact: Some(Digest::of(&[artifact])), at: 0 }
    }

    fn create(bytes: u64, artifact: u8) -> ObjectRequest {
        request(None, Act::Create { bytes }, artifact)
    }

    fn paid(author: PublicKey, bytes: u64) -> Event {
        Event::Uploading { author, bytes }
    }

    fn known(keys: &[PublicKey]) -> Rights {
        let accounts = (Height(0), keys.iter().copied().collect());
        Rights { accounts, ..Rights::default() }
    }

    #[test]
    fn a_client_writes_as_many_bytes_as_it_paid_for_and_a_name_counts_once() {
        let mut rights = known(&[ME, OTHER]);
        assert!(!rights.take(ME, &create(0, 0)) && rights.knows(ME, None));
        rights.see(&paid(ME, counted(5_000) + counted(3_000)));
        assert!(rights.take(ME, &create(5_000, 1)));
        assert!(rights.take(ME, &create(5_000, 1)), "it is asked for again");
        assert!(!rights.take(ME, &create(9_025, 1)), "it is more now");
        assert!(!rights.take(ME, &create(3_001, 2)) && !rights.take(OTHER, &create(1, 3)));
        assert!(rights.take(ME, &create(3_000, 2)));
        assert!(rights.take(ME, &create(10, 1)), "it was counted");
        assert!(!rights.take(ME, &create(0, 4)), "a name is never free");
        rights.see(&paid(ME, counted(10)));
        assert!(rights.take(ME, &request(None, Act::Replace { bytes: 0 }, 4)));
        assert!(rights.take(ME, &create(10, 4)) && !rights.take(ME, &create(11, 4)));
        assert!(!rights.take(ME, &create(u64::MAX, 5)));
    }

    #[test]
    fn nobody_writes_the_mark_or_what_can_be_no_artifact() {
        let mut rights = known(&[ME]);
        rights.see(&paid(ME, u64::MAX));
        assert!(rights.take(ME, &create(ARTIFACT_BYTES_MAX as u64, 1)));
        assert!(!rights.take(ME, &create(ARTIFACT_BYTES_MAX as u64 + 1, 2)));
        for act in [Act::Create { bytes: 0 }, Act::Replace { bytes: 0 }] {
            assert!(!rights.take(ME, &ObjectRequest { artifact: None, ..request(None, act, 1) }));
        }
        assert!(rights.take(ME, &ObjectRequest { artifact: None, ..request(None, Act::Look, 1) }));
    }

    #[test]
    fn leases_are_good_for_the_bytes_of_all_and_for_their_holder_alone() {
        let mut rights = known(&[]);
        let rooms = [(lease(1), Room::new(counted(10))), (lease(9), Room::new(counted(20)))];
        rights.leases.insert(ME, rooms.into_iter().collect());
        let create = |bytes, artifact| request(Some(lease(9)), Act::Create { bytes }, artifact);
        assert!(!rights.take(OTHER, &create(1, 1)));
        assert!(!rights.take(ME, &request(None, Act::Read, 1)), "it has no account");
        assert!(!rights.take(ME, &request(Some(lease(2)), Act::Read, 1)), "it is not held");
        assert!(rights.take(ME, &create(20, 1)) && rights.take(ME, &create(10, 2)));
        assert!(rights.take(ME, &create(20, 1)) && !rights.take(ME, &create(0, 3)));
        assert!(rights.take(ME, &request(Some(lease(1)), Act::Read, 3)), "reading is free");
        let amount = Default::default();
        rights.see(&Event::Transferred { from: ME, to: OTHER, amount });
        assert!(rights.take(OTHER, &request(None, Act::Look, 1)), "it has an account now");
    }

    #[test]
    fn whoever_paid_last_is_forgotten_last_and_no_more_than_so_many_are_known() {
        let client = |n: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            PublicKey(key)
        };
        let mut rights = known(&[client(0), client(1), client(2)]);
        (0..UPLOADS_MAX as u32).for_each(|n| rights.see(&paid(client(n), counted(1))));
        rights.see(&paid(client(0), counted(1)));
        rights.see(&paid(client(1), 0));
        rights.see(&paid(client(UPLOADS_MAX as u32), counted(1)));
        assert_eq!((rights.uploads.len(), rights.payments.len()), (UPLOADS_MAX, UPLOADS_MAX));
        assert!(!rights.take(client(1), &create(1, 1)), "nothing is no payment");
        assert!(rights.take(client(0), &create(1, 1)) && rights.take(client(2), &create(1, 1)));
    }
}
