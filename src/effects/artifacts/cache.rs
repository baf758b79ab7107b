//! The bound of a directory of copies: what was not used for longest goes first. Never takes away
//! what somebody holds, and is for copies alone: whoever needs one again fetches it again.

use super::inventory::{self, Stored};
use crate::base::canon::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded directory of copies; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Cache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    /// Bytes of all copies, at the most.
    most: u64,
    copies: Mutex<Copies>,
}

/// What lies there, and when it was used last.
#[derive(Debug, Default)]
struct Copies {
    bytes: u64,
    /// Uses so far: each has its number.
    uses: u64,
    known: BTreeMap<Digest, Copy>,
    /// By the numbers of their last uses.
    order: BTreeMap<u64, Digest>,
    held: BTreeMap<Digest, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Copy {
    bytes: u64,
    used: u64,
}

/// Artifacts of which the copies stay until this is dropped.
#[derive(Debug, Default)]
pub struct Held {
    cache: Option<Cache>,
    digests: Vec<Digest>,
}

impl Cache {
    /// The bound of a directory, in which these copies lie.
    pub(super) fn new(directory: &Path, most: u64, mut copies: Vec<Stored>) -> Self {
        copies.sort_by_key(|copy| copy.written_ms);
        let (directory, known) = (directory.to_owned(), Mutex::default());
        let this = Self(Arc::new(Shared { directory, most, copies: known }));
        for copy in copies {
            this.copies().used(copy.digest, copy.bytes);
        }
        this.trim();
        this
    }

    /// Whether a copy of so many bytes is worth its place.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        bytes as u64 <= self.0.most
    }

    /// A copy was read, or is new.
    pub(super) fn used(&self, digest: Digest, bytes: usize) {
        self.copies().used(digest, bytes as u64);
        // The next start finds it in its place of the order; where that fails, in an earlier one.
        drop(inventory::touch(&self.0.directory, digest));
        self.trim();
    }

    /// Keeps these from being taken away.
    pub(super) fn hold(&self, digests: Vec<Digest>) -> Held {
        let mut copies = self.copies();
        for digest in &digests {
            *copies.held.entry(*digest).or_default() += 1;
        }
        Held { cache: Some(self.clone()), digests }
    }

    /// Takes away what is too much.
    fn trim(&self) {
        for digest in self.copies().spare(self.0.most) {
            // One that cannot be taken away is found at the next start.
            drop(inventory::remove(&self.0.directory, digest));
        }
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        // Its numbers are right after every single step.
        self.0.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copies {
    fn used(&mut self, digest: Digest, bytes: u64) {
        self.uses += 1;
        let copy = Copy { bytes, used: self.uses };
        if let Some(before) = self.known.insert(digest, copy) {
            self.order.remove(&before.used);
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
        self.order.insert(copy.used, digest);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Forgets what was not used for longest, until the rest is not more than `most`.
    fn spare(&mut self, most: u64) -> Vec<Digest> {
        let mut spare = Vec::new();
        let mut left = self.bytes;
        for digest in self.order.values() {
            if left <= most {
                break;
            }
            if !self.held.contains_key(digest) {
                left = left.saturating_sub(self.known.get(digest).map_or(0, |copy| copy.bytes));
                spare.push(*digest);
            }
        }
        for digest in &spare {
            if let Some(copy) = self.known.remove(digest) {
                self.order.remove(&copy.used);
            }
        }
        self.bytes = left;
        spare
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(cache) = &self.cache else { return };
        let mut copies = cache.copies();
        for digest in &self.digests {
            let held = copies.held.get_mut(digest).map(|held| {
                *held = held.saturating_sub(1);
                *held
            });
            if held == Some(0) {
                copies.held.remove(digest);
            }
        }
        drop(copies);
        cache.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::artifacts::inventory::path_of;
    use std::fs;

    fn put(directory: &Path, cache: &Cache, n: u8, bytes: usize) -> Digest {
        let content = vec![n; bytes];
        let digest = Digest::of(&content);
        let path = path_of(directory, digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        cache.used(digest, bytes);
        digest
    }

    fn is_there(directory: &Path, digest: Digest) -> bool {
        path_of(directory, digest).exists()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), 100, vec![]);
        let [one, two] = [1, 2].map(|n| put(dir.path(), &cache, n, 40));
        cache.used(one, 40);
        let three = put(dir.path(), &cache, 3, 40);
        let there = [one, two, three].map(|digest| is_there(dir.path(), digest));
        assert_eq!(there, [true, false, true]);
        assert!(cache.takes(100) && !cache.takes(101));
        // At the next start too: what was used last stays.
        std::thread::sleep(std::time::Duration::from_millis(20));
        cache.used(one, 40);
        let found = inventory::inventory(dir.path()).unwrap().artifacts;
        assert_eq!(found.len(), 2);
        Cache::new(dir.path(), 40, found);
        assert!(is_there(dir.path(), one) && !is_there(dir.path(), three));
    }

    #[test]
    fn what_is_held_stays_until_nobody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), 100, vec![]);
        let one = put(dir.path(), &cache, 1, 60);
        let (held, again) = (cache.hold(vec![one]), cache.hold(vec![one]));
        let two = put(dir.path(), &cache, 2, 60);
        assert!(is_there(dir.path(), one) && !is_there(dir.path(), two));
        drop(held);
        let three = put(dir.path(), &cache, 3, 60);
        assert!(is_there(dir.path(), one) && !is_there(dir.path(), three));
        drop(again);
        let four = put(dir.path(), &cache, 4, 60);
        assert!(!is_there(dir.path(), one) && is_there(dir.path(), four));
    }
}
