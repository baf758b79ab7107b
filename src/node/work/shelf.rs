//! The states of a job on their way to the store, while the job goes on.
//! Never holds more than a few of them, never says of one that it is stored before it is, and
//! leaves none on its way where its job ends early.

use crate::base::canon::Digest;
use crate::effects::artifacts::{ArtifactError, Artifacts};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Artifacts that are on their way to the store at a time.
pub(super) const AT_A_TIME: usize = 8;
/// What is larger than this is on its way alone, or with less than makes as much as so many of it.
pub(super) const SMALL_BYTES: usize = 1 << 20;

/// Where the states of one job go, in their order.
pub(in crate::node) struct Shelf {
    artifacts: Arc<Artifacts>,
    runtime: Handle,
    /// Those that are not known to be stored yet, and how many bytes each has.
    coming: VecDeque<(usize, JoinHandle<Stored>)>,
    digests: Vec<Digest>,
    bytes: u64,
}

/// The bytes come back: the thread that took them gives them back, so that its job's account of
/// memory is right.
type Stored = (Vec<u8>, Result<Digest, ArtifactError>);

impl Shelf {
    pub(in crate::node) fn new(artifacts: Arc<Artifacts>, runtime: Handle) -> Self {
        Self { artifacts, runtime, coming: VecDeque::new(), digests: Vec::new(), bytes: 0 }
    }

    /// How many states it was given.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.digests.len() + self.coming.len()).unwrap_or(u32::MAX)
    }

    /// Has a state stored. Waits where too much is on its way.
    pub(in crate::node) fn put(&mut self, state: Vec<u8>) -> Result<(), ArtifactError> {
        while !self.has_room(state.len()) {
            self.arrive()?;
        }
        let bytes = state.len();
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let (artifacts, runtime) = (Arc::clone(&self.artifacts), self.runtime.clone());
        // The digest of much takes a while: not on a thread by which others talk.
        let put = self.runtime.spawn_blocking(move || {
            let stored = runtime.block_on(artifacts.put(&state));
            (state, stored)
        });
        self.coming.push_back((bytes, put));
        Ok(())
    }

    fn has_room(&self, bytes: usize) -> bool {
        let coming = self.coming.iter().fold(bytes, |sum, (bytes, _)| sum.saturating_add(*bytes));
        let is_little = coming <= AT_A_TIME * SMALL_BYTES && self.coming.len() < AT_A_TIME;
        self.coming.is_empty() || is_little
    }

    /// Waits until the first that is on its way is stored.
    fn arrive(&mut self) -> Result<(), ArtifactError> {
        let Some((_, put)) = self.coming.pop_front() else { return Ok(()) };
        let (_, stored) = self.runtime.block_on(put).map_err(|error| ArtifactError::Io {
            doing: "store",
            path: "a state".into(),
            source: io::Error::other(error),
        })?;
        self.digests.push(stored?);
        Ok(())
    }

    /// The digests of all states, and how many bytes these have: every one is stored.
    pub(in crate::node) fn close(mut self) -> Result<(Vec<Digest>, u64), ArtifactError> {
        while !self.coming.is_empty() {
            self.arrive()?;
        }
        Ok((std::mem::take(&mut self.digests), self.bytes))
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.coming.iter().for_each(|(_, put)| put.abort());
        for (_, put) in self.coming.drain(..) {
            // Stored, not begun or failed: nobody asks any more.
            let _ = self.runtime.block_on(put);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use tokio::runtime::{Builder, Runtime};

    fn shelf(dir: &Path) -> (Shelf, Arc<Artifacts>, Runtime) {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let artifacts = Arc::new(Artifacts::open(dir).unwrap());
        (Shelf::new(artifacts.clone(), runtime.handle().clone()), artifacts, runtime)
    }

    /// Many states, the k-th of so many bytes.
    fn states(count: u8, bytes: usize) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(move |k| vec![k; bytes])
    }

    #[track_caller]
    fn check(count: u8, bytes: usize, most: usize) {
        let dir = tempfile::tempdir().unwrap();
        let (mut shelf, artifacts, runtime) = shelf(dir.path());
        for (k, state) in (0..).zip(states(count, bytes)) {
            assert_eq!(shelf.count(), k);
            shelf.put(state).unwrap();
            assert!((1..=most).contains(&shelf.coming.len()), "{}", shelf.coming.len());
        }
        let (digests, all) = shelf.close().unwrap();
        assert_eq!(all, u64::from(count) * bytes as u64);
        let expect: Vec<_> = states(count, bytes).map(|state| Digest::of(&state)).collect();
        assert_eq!(digests, expect, "in the order of the states");
        for digest in digests {
            runtime.block_on(artifacts.look(digest)).unwrap();
        }
    }

    #[test]
    fn states_are_stored_in_order_and_few_are_on_their_way_at_a_time() {
        check(40, 100, AT_A_TIME);
        check(10, 3 * SMALL_BYTES, 2);
        check(4, AT_A_TIME * SMALL_BYTES + 1, 1);
    }

    #[test]
    fn nothing_is_on_its_way_once_its_job_has_ended() {
        fn files(dir: &Path) -> usize {
            let each = |entry: fs::DirEntry| match entry.path() {
                path if path.is_dir() => files(&path),
                _ => 1,
            };
            fs::read_dir(dir).unwrap().map(|entry| each(entry.unwrap())).sum()
        }
        let dir = tempfile::tempdir().unwrap();
        let (mut shelf, _, runtime) = shelf(dir.path());
        for state in states(8, SMALL_BYTES) {
            shelf.put(state).unwrap();
        }
        drop(shelf);
        let then = files(dir.path());
        // Waits for all that is on its way.
        drop(runtime);
        assert_eq!(files(dir.path()), then);
    }

    #[test]
    fn a_state_that_cannot_be_stored_ends_it_and_nothing_is_claimed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut shelf, _, _runtime) = shelf(dir.path());
        let bytes = AT_A_TIME * SMALL_BYTES;
        let bad = states(2, bytes).nth(1).unwrap();
        // Where its directory would be there is a file.
        fs::write(dir.path().join(&Digest::of(&bad).to_string()[..2]), "none").unwrap();
        let put = states(4, bytes).position(|state| shelf.put(state).is_err());
        assert_eq!(put, Some(2), "as soon as room for another is needed");
        // The last one fails when it is waited for.
        let (mut shelf, ..) = self::shelf(dir.path());
        shelf.put(bad).unwrap();
        assert!(shelf.close().is_err());
    }
}
