//! The store: the log of slots as bytes, and a node's own records, durable when a call returns.
//! Never looks inside a slot or a record, and never repairs what was durable once.
//!
//! One fjall database with one keyspace (each further one costs several syncs at creation). A key
//! is `l ‖ height` (big-endian), `m ‖ height`, `v ‖ number`, `o ‖ name` or `b`; a value is
//! `BLAKE3(length of key ‖ key ‖ bytes) ‖ bytes`, so damage is found and located whatever fjall
//! itself notices. `journal` looks at the journal before fjall does: fjall cuts it silently at the
//! first byte that it cannot read, and durable slots behind that byte would be gone.

mod journal;
mod prune;

use super::{Peril, disk, pass};
use crate::base::limits::SLOT_BYTES_MAX;
use crate::base::time::Height;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The bytes of one slot or record: a slot's commands, and room for its certificate and entries.
pub const RECORD_BYTES_MAX: usize = 2 * SLOT_BYTES_MAX;

/// The name of an own record, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

const MIB: u64 = 1 << 20;
/// What is in memory only; the rest of the journal has been written to tables too. Small, because
/// opening reads it back.
const MEMTABLE_BYTES: u64 = 4 * MIB;
/// A log is read once from front to back: a large cache would hold what nobody asks for again.
const CACHE_BYTES: u64 = 4 * MIB;
/// The least that fjall allows.
const JOURNALS_BYTES: u64 = 64 * MIB;

/// How often, and how long apart, a store in use is tried before it is called busy.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

const LOG: u8 = b'l';
const MILESTONES: u8 = b'm';
/// The last slot before those that are here.
const BASE: &[u8] = b"b";
const OWN: u8 = b'o';
const VOTES: u8 = b'v';
const CHECKSUM: usize = 32;

/// Why the store does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error(
        "the store {} is in use by another process; hint: wait for that one to end, or stop it",
        .path.display()
    )]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// Bytes that were durable once are wrong or gone.
    #[error(
        "the store is damaged: {damage} in {}{}; hint: move the home away, and the log is \
         fetched again; never put an older copy of a validator's in its place: it would vote twice",
        .path.display(), .height.map_or(String::new(), |height| format!(", slot {height}"))
    )]
    Corrupt {
        /// The file, or the directory where the file is not known.
        path: PathBuf,
        /// The slot, where known.
        height: Option<Height>,
        /// What is wrong.
        damage: String,
    },
    /// No space is left.
    #[error("no space is left for the store {}; hint: free some and start again", .path.display())]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// What it lies on cannot be written to.
    #[error(
        "{} cannot be written to: {}; hint: copy the folder to a place that can be: whoever reads \
         a log locks it too", .path.display(), io::ErrorKind::ReadOnlyFilesystem
    )]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot {doing} {}: {source}; hint: check the directory and its permissions",
        .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A write failed before: what is on the disk is not known until the store is opened again.
    #[error("an earlier write failed, so nothing more is written; hint: start again")]
    Poisoned,
    /// Not the height that comes next.
    #[error("slot {got} cannot follow: the next one is {next}")]
    OutOfOrder {
        /// The height that comes next.
        next: Height,
        /// The one that was given.
        got: Height,
    },
    /// Longer than [`RECORD_BYTES_MAX`] or [`NAME_BYTES_MAX`].
    #[error("a record of {bytes} bytes is too long for the store; hint: send less at a time")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The height of the last slot; 0 for none.
    pub slots: u64,
    /// What was cut off: a write that a crash interrupted, and that nobody was told of.
    pub cut: Option<Cut>,
}

/// The end of a journal that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The journal.
    pub path: PathBuf,
    /// Bytes of the unfinished write.
    pub bytes: u64,
}

/// An open store. Calls block; share it by reference.
pub struct Store {
    keyspace: Keyspace,
    database: Database,
    writer: Mutex<Writer>,
    /// Rung after every append, and by `wake`.
    bell: Condvar,
    directory: PathBuf,
    /// Held until the database is closed: fields drop in order.
    _lock: File,
}

struct Writer {
    /// The slot after which the log begins here; 0 for all of it.
    base: Height,
    next: Height,
    /// How often a validator took something down before it voted about the next slot.
    votes: u64,
    poisoned: bool,
}

impl Store {
    /// Opens the store in `directory`; creates it if there is none.
    pub fn open(directory: &Path) -> Result<(Self, Recovery), StoreError> {
        let lock = lock(directory)?;
        let path = directory.join("db");
        // While this file is there, nothing has been stored: a creation that was interrupted
        // begins again.
        let creating = directory.join("creating");
        let found = Self::prepare(directory, &path, &creating)?;
        let (database, keyspace) = guarded(&path, || open_database(&path))?;
        if fs::exists(&creating).map_err(io_error(&creating, "look for"))? {
            pass(Peril::StoreMade);
            shorten(&path.join("0.jnl"))?;
            pass(Peril::StoreShortened);
            fs::remove_file(&creating).map_err(io_error(&creating, "remove"))?;
            sync_directory(directory)?;
            pass(Peril::StoreCreated);
        }
        let writer =
            Mutex::new(Writer { base: Height(0), next: Height(1), votes: 0, poisoned: false });
        let (bell, directory) = (Condvar::new(), path.clone());
        let store = Self { keyspace, database, writer, bell, directory, _lock: lock };
        let base = store.find_base()?;
        let last = guarded(&path, || store.find_last())?.max(base);
        if last < found.last {
            let damage = format!("slots up to {} of the journal are not in the store", found.last);
            return Err(StoreError::Corrupt { path, height: Some(last.next()), damage });
        }
        {
            let mut writer = store.writer()?;
            (writer.base, writer.next) = (base, last.next());
        }
        store.sweep()?;
        let votes = store.votes()?.len() as u64;
        store.writer()?.votes = votes;
        pass(Peril::StoreOpened);
        Ok((store, Recovery { slots: last.0, cut: found.cut }))
    }

    /// Everything that must be so before fjall sees the directory.
    fn prepare(
        directory: &Path,
        path: &Path,
        creating: &Path,
    ) -> Result<journal::Found, StoreError> {
        let exists = |path: &Path| fs::exists(path).map_err(io_error(path, "look for"));
        if exists(creating)? && exists(path)? {
            fs::remove_dir_all(path).map_err(io_error(path, "remove"))?;
        }
        if !exists(path)? {
            File::create(creating).map_err(io_error(creating, "create"))?;
            sync_directory(directory)?;
            pass(Peril::StoreCreating);
            return Ok(journal::Found::default());
        }
        if !exists(&path.join("version"))? {
            let damage = "the file `version` is missing".into();
            return Err(StoreError::Corrupt { path: path.to_owned(), height: None, damage });
        }
        journal::inspect(path)
    }

    /// Appends one slot; durable when this returns. Refused unless it is the next one.
    pub fn append(&self, height: Height, slot: &[u8]) -> Result<(), StoreError> {
        self.append_many(height, &[slot])
    }

    /// Appends consecutive slots, the first at `height`: all or none, with one sync.
    pub fn append_many(&self, height: Height, slots: &[&[u8]]) -> Result<(), StoreError> {
        self.append_all(height, slots, &[])
    }

    /// The same, with the milestones that are among them, by their heights.
    pub fn append_all(
        &self,
        height: Height,
        slots: &[&[u8]],
        milestones: &[(Height, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if height != writer.next {
            return Err(StoreError::OutOfOrder { next: writer.next, got: height });
        }
        let heights = std::iter::successors(Some(height), |height| Some(height.next()));
        let slots_of = heights.zip(slots).map(|(height, slot)| (log_key(height), *slot));
        let more = milestones.iter().map(|(height, bytes)| (milestone_key(*height), &**bytes));
        let records: Vec<_> = slots_of.chain(more).collect();
        self.write(&mut writer, &records)?;
        (writer.next, writer.votes) = (Height(height.0 + slots.len() as u64), 0);
        self.bell.notify_all();
        Ok(())
    }

    /// Keeps what a validator takes down before it votes about the next slot, after what it took
    /// down before; durable when this returns. What was taken down about slots that are there by
    /// now is overwritten: `journal` reads only what is put in.
    pub fn append_votes(&self, height: Height, votes: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if height != writer.next {
            return Err(StoreError::OutOfOrder { next: writer.next, got: height });
        }
        let record = [height.0.to_be_bytes().as_slice(), votes].concat();
        let key = votes_key(writer.votes);
        self.write(&mut writer, &[(key, &record)])?;
        writer.votes += 1;
        Ok(())
    }

    /// What was taken down about the next slot, in its order.
    pub fn votes(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let next = self.writer()?.next;
        let mut votes = Vec::new();
        while let Some(record) = self.get(&votes_key(votes.len() as u64), Some(next))? {
            match record.split_first_chunk() {
                Some((height, votes_of)) if *height == next.0.to_be_bytes() => {
                    votes.push(votes_of.to_vec());
                }
                _ => break,
            }
        }
        Ok(votes)
    }

    /// Waits until there is a slot at `height`, for so long at the most, or until [`Store::wake`].
    pub fn wait(&self, height: Height, at_most: Duration) {
        if let Ok(writer) = self.writer.lock()
            && writer.next <= height
        {
            // Whoever waits looks again, whatever woke it.
            drop(self.bell.wait_timeout(writer, at_most));
        }
    }

    /// Wakes all that wait for a slot.
    pub fn wake(&self) {
        self.bell.notify_all();
    }

    /// The slot at `height`, if the log has it.
    pub fn read(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        if height <= self.base() {
            return Ok(None);
        }
        match self.get(&log_key(height), Some(height))? {
            None if self.last().is_some_and(|last| height.0 != 0 && height <= last) => {
                Err(self.damaged(height, "a missing slot"))
            }
            slot => Ok(slot),
        }
    }

    /// All slots that are here, in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>> {
        self.iter_from(self.base().next())
    }

    /// The slots from `height` on, in order, as many as there are now. Ends after an error.
    pub fn iter_from(
        &self,
        height: Height,
    ) -> impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>> {
        let last = self.last().unwrap_or_default();
        let first = height.max(self.base().next());
        let mut guards = self.keyspace.range(log_key(first)..=log_key(last.max(first)));
        let mut next = first.0;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended || next > last.0 {
                return None;
            }
            let height = Height(next);
            let slot = guarded(&self.directory, || {
                let guard = guards.next().ok_or_else(|| self.damaged(height, "a missing slot"))?;
                let (key, value) = guard.into_inner().map_err(|e| self.failed(e, Some(height)))?;
                if *key != log_key(height)[..] {
                    return Err(self.damaged(height, "a missing slot"));
                }
                self.unframe(&key, &value, Some(height))
            });
            next += 1;
            ended = slot.is_err();
            Some(slot.map(|slot| (height, slot)))
        })
    }

    /// The height of the last slot.
    #[must_use]
    pub fn last(&self) -> Option<Height> {
        let next = self.writer.lock().map_or(Height(1), |writer| writer.next);
        next.0.checked_sub(1).filter(|last| *last > 0).map(Height)
    }

    /// The slot after which the log begins here; 0 where all of it is here.
    #[must_use]
    pub fn base(&self) -> Height {
        self.writer.lock().map_or(Height(0), |writer| writer.base)
    }

    /// Keeps one of the node's own records under `name`, in place of an earlier one; durable when
    /// this returns.
    pub fn put_own(&self, name: &[u8], record: &[u8]) -> Result<(), StoreError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(StoreError::TooLong { bytes: name.len() });
        }
        let mut writer = self.writer()?;
        self.write(&mut writer, &[(own_key(name), record)])
    }

    /// The own record under `name`.
    pub fn get_own(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(&own_key(name), None)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        match self.writer.lock() {
            Ok(writer) if !writer.poisoned => Ok(writer),
            Ok(_) | Err(_) => Err(poisoned(&self.directory)),
        }
    }

    /// One batch, one sync. After a failure nobody knows what reached the disk, so nothing more
    /// is written (Rebello et al., USENIX ATC 2020: "Can applications recover from fsync
    /// failures?").
    fn write(&self, writer: &mut Writer, records: &[(Vec<u8>, &[u8])]) -> Result<(), StoreError> {
        if let Some((_, long)) = records.iter().find(|(_, bytes)| bytes.len() > RECORD_BYTES_MAX) {
            return Err(StoreError::TooLong { bytes: long.len() });
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, bytes) in records {
            batch.insert(&self.keyspace, key.as_slice(), frame(key, bytes));
        }
        pass(Peril::StoreWriting);
        guarded(&self.directory, || batch.commit().map_err(|error| self.failed(error, None)))
            .inspect_err(|_| writer.poisoned = true)?;
        pass(Peril::StoreWritten);
        Ok(())
    }

    fn get(&self, key: &[u8], height: Option<Height>) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(&self.directory, || {
            let value = self.keyspace.get(key).map_err(|error| self.failed(error, height))?;
            value.map(|value| self.unframe(key, &value, height)).transpose()
        })
    }

    fn find_last(&self) -> Result<Height, StoreError> {
        let range = [LOG].as_slice()..[LOG + 1].as_slice();
        let Some(guard) = self.keyspace.range(range).next_back() else { return Ok(Height(0)) };
        let key = guard.key().map_err(|error| self.failed(error, None))?;
        height_of(&key).ok_or_else(|| StoreError::Corrupt {
            path: self.directory.clone(),
            height: None,
            damage: "a key that is no height".into(),
        })
    }

    fn unframe(
        &self,
        key: &[u8],
        value: &[u8],
        height: Option<Height>,
    ) -> Result<Vec<u8>, StoreError> {
        unframe(key, value).map(<[u8]>::to_vec).ok_or_else(|| StoreError::Corrupt {
            path: self.directory.clone(),
            height,
            damage: "a record whose bytes do not match its checksum".into(),
        })
    }

    /// What was read at a height is not what was written.
    #[must_use]
    pub fn damaged(&self, height: Height, damage: &str) -> StoreError {
        let (path, damage) = (self.directory.clone(), damage.to_owned());
        StoreError::Corrupt { path, height: Some(height), damage }
    }

    fn failed(&self, error: fjall::Error, height: Option<Height>) -> StoreError {
        fjall_error(&self.directory, error, height)
    }
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    fs::create_dir_all(directory).map_err(io_error(directory, "create"))?;
    let path = directory.join("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(io_error(&path, "open"))?;
    // A process that was killed in the middle of a sync keeps its lock until the disk answers.
    let mut tries = LOCK_TRIES;
    loop {
        tries -= 1;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(fs::TryLockError::WouldBlock) if tries > 0 => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Busy { path: directory.to_owned() });
            }
            Err(fs::TryLockError::Error(error)) => return Err(io_error(&path, "lock")(error)),
        }
    }
}

fn open_database(path: &Path) -> Result<(Database, Keyspace), StoreError> {
    let failed = |error| fjall_error(path, error, None);
    let database = Database::builder(path)
        .cache_size(CACHE_BYTES)
        .journal_compression(fjall::CompressionType::None) // `journal` reads the bytes as they are
        .max_journaling_size(JOURNALS_BYTES)
        .worker_threads(1)
        .open()
        .map_err(failed)?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    let keyspace = database.keyspace("node", options).map_err(failed)?;
    Ok((database, keyspace))
}

/// fjall trusts its files in places and panics on what cannot be: that is damage too.
fn guarded<T>(
    path: &Path,
    action: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        let damage = format!("something that the database cannot bear ({said})");
        Err(StoreError::Corrupt { path: path.to_owned(), height: None, damage })
    })
}

/// A new journal is 64 MiB of nothing, which every opening reads. Nothing is in it yet, and writes
/// beyond its end make it longer again.
fn shorten(journal: &Path) -> Result<(), StoreError> {
    let file = File::options().write(true).open(journal);
    file.and_then(|file| file.set_len(MIB)).map_err(io_error(journal, "shorten"))
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path, "sync"))
}

fn io_error(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full { path: path.to_owned() }
        }
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path: path.to_owned() },
        _ => StoreError::Io { path: path.to_owned(), doing, source },
    }
}

/// Why nothing more is written. Fjall does not tell what a thread of its own failed at, which is
/// writing what is in memory to a table: where there is no room for one, that was it.
fn poisoned(path: &Path) -> StoreError {
    match disk::room(path) {
        Ok(room) if room.free < 2 * MEMTABLE_BYTES => StoreError::Full { path: path.to_owned() },
        Ok(_) | Err(_) => StoreError::Poisoned,
    }
}

fn fjall_error(path: &Path, error: fjall::Error, height: Option<Height>) -> StoreError {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        fjall::Error::Locked => StoreError::Busy { path: path.to_owned() },
        fjall::Error::Poisoned => poisoned(path),
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
            if !matches!(source.kind(), InvalidData | NotFound | UnexpectedEof) =>
        {
            io_error(path, "use the database")(source)
        }
        error => StoreError::Corrupt { path: path.to_owned(), height, damage: error.to_string() },
    }
}

fn log_key(height: Height) -> Vec<u8> {
    [&[LOG], height.0.to_be_bytes().as_slice()].concat()
}

fn milestone_key(height: Height) -> Vec<u8> {
    [&[MILESTONES], height.0.to_be_bytes().as_slice()].concat()
}

fn votes_key(number: u64) -> Vec<u8> {
    [&[VOTES], number.to_be_bytes().as_slice()].concat()
}

fn own_key(name: &[u8]) -> Vec<u8> {
    [&[OWN], name].concat()
}

fn height_of(key: &[u8]) -> Option<Height> {
    match key.split_first() {
        Some((&LOG, height)) => height.try_into().ok().map(u64::from_be_bytes).map(Height),
        _ => None,
    }
}

fn frame(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    [checksum(key, bytes).as_slice(), bytes].concat()
}

/// The bytes in a frame, if they are what was framed under this key.
fn unframe<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, bytes) = value.split_at_checked(CHECKSUM)?;
    (checksum(key, bytes) == sum).then_some(bytes)
}

fn checksum(key: &[u8], bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
