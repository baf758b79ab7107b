//! Artifacts: bytes under their BLAKE3 digest, and the publication of outputs for people.
//! Never hands out bytes that it has not hashed, and never replaces whole bytes.
//!
//! An artifact lies at `ab/cdef…`, its digest in hex. It is written beside its place, synced, and
//! linked there only if nothing is: readers see all of it or nothing, after a crash too.
//!
//! On a network there are two: a store that all nodes reach, which is what counts, and before it a
//! directory of this machine, which saves the way there.

mod cache;
mod depot;
pub mod inventory;
mod outputs;
mod presigned;
mod scratch;

use super::{Peril, pass};
use crate::base::canon::Digest;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use cache::Cache;
pub use cache::Held;
pub use depot::Access;
use depot::Depot;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::{GetResult, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path};
use outputs::{check_names, write_all};
pub use presigned::{Act, ObjectRequest, Presigner};
pub use scratch::ScratchFile;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Digests that are remembered as present: 4 MiB at most. Beyond it the memory begins again.
const PRESENT_MAX: usize = 1 << 17;

/// Why there is no artifact, or no publication.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Nothing lies under this digest.
    #[error("artifact {digest} is not in the store; hint: apply again to compute it again")]
    Missing {
        /// Its name.
        digest: Digest,
    },
    /// What lies there does not hash to the digest.
    #[error(
        "artifact {digest} is damaged: its bytes have another digest; hint: it is set aside: apply \
         again to compute it again, and check the disk"
    )]
    Damaged {
        /// Its name.
        digest: Digest,
    },
    /// Too large to be held in memory.
    #[error(
        "an artifact of {bytes} bytes is larger than {ARTIFACT_BYTES_MAX}; hint: divide the data \
         into shards"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// No space is left.
    #[error("no space is left to write {what}; hint: free some and start again")]
    Full {
        /// What was to be written.
        what: String,
    },
    /// The store refuses.
    #[error(
        "cannot {doing} artifact {digest}: {source}; hint: check the store and its permissions"
    )]
    Store {
        /// What was tried.
        doing: &'static str,
        /// The artifact.
        digest: Digest,
        /// What it says.
        source: object_store::Error,
    },
    /// The store that all nodes reach is not to be reached now. Whether an artifact is in it nobody
    /// can say: nobody is to blame.
    #[error("cannot {doing} artifact {digest}: the store {store} {why}; hint: {hint}")]
    Away {
        /// What was tried.
        doing: &'static str,
        /// The artifact.
        digest: Digest,
        /// The address of the store.
        store: String,
        /// What it says, or what is said of it.
        why: String,
        /// What to do about it.
        hint: &'static str,
        /// Whether it may pass by itself: then it is worth while to ask again later.
        is_passing: bool,
    },
    /// Requests to this store are not signed for others.
    #[error(
        "requests to this store cannot be signed for others; hint: whoever has no \
         credentials needs a store at s3://"
    )]
    Unsigned,
    /// The store does not hold signatures to what they are for.
    #[error("the store {store} cannot be written by others' signatures: {why}; hint: {hint}")]
    Unheld {
        /// The address of the store.
        store: String,
        /// What it does.
        why: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// An address that is none of a store.
    #[error(
        "{url} is no store for artifacts: {why}; hint: name a folder, or file://, s3://, gs:// \
        or az:// (and https:// to read alone)"
    )]
    Address {
        /// What was named.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file system refuses.
    #[error("cannot {doing} {}: {source}; hint: check the directory and its permissions",
        .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// A file name that leads elsewhere, or comes twice.
    #[error("{name:?} cannot be the name of an output file; hint: use one plain name per file")]
    BadName {
        /// The name.
        name: String,
    },
}

/// What a published file contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of an artifact.
    Artifact(Digest),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A content-addressed store of artifacts. Depot by reference; calls run in a tokio runtime.
#[derive(Debug)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// Where it lies, if it is a directory of this machine.
    directory: Option<PathBuf>,
    /// The store that all nodes reach, if there is one: then what lies here is but a copy.
    depot: Option<Depot>,
    /// How much of that is kept here, if there is a bound.
    cache: Option<Cache>,
    /// Artifacts that were seen whole where it counts: putting one again costs its hash and
    /// nothing else.
    present: Mutex<BTreeSet<Digest>>,
}

impl ArtifactError {
    /// Whether the same may be possible later, with nobody doing anything but wait.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Away { is_passing: true, .. })
    }
}

impl Artifacts {
    /// The store in a directory, which is created. What it accepts survives a power cut.
    pub fn open(directory: &Path) -> Result<Self, ArtifactError> {
        fs::create_dir_all(directory).map_err(io_error("create", directory))?;
        let store = LocalFileSystem::new_with_prefix(directory);
        let store = store.map_err(|error| io_error("open", directory)(io::Error::other(error)))?;
        let directory = Some(directory.to_owned());
        Ok(Self { directory, ..Self::over(Arc::new(store.with_fsync(true))) })
    }

    /// The artifacts in any object store.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, directory: None, depot: None, cache: None, present: Mutex::default() }
    }

    /// The store of that address, which all nodes reach, with a directory of this machine before
    /// it. Nobody is asked before an artifact is.
    pub fn open_shared(
        directory: &Path,
        url: &str,
        access: &Access,
    ) -> Result<Self, ArtifactError> {
        let depot = Some(Depot::open(url, access)?);
        Ok(Self { depot, ..Self::open(directory)? })
    }

    /// Keeps copies of so many bytes at the most: those that were used last. For a directory in
    /// which nothing lies that is not in the store that all nodes reach.
    pub fn bounded(self, bytes: u64) -> Result<Self, ArtifactError> {
        let Some(directory) = self.directory.as_deref().filter(|_| self.depot.is_some()) else {
            return Ok(self);
        };
        let there = inventory::inventory(directory)?.artifacts;
        let cache = Some(Cache::new(directory, bytes, there));
        Ok(Self { cache, ..self })
    }

    /// Has the copies of these stay here until that is dropped.
    #[must_use]
    pub fn hold(&self, digests: Vec<Digest>) -> Held {
        self.cache.as_ref().map(|cache| cache.hold(digests)).unwrap_or_default()
    }

    /// The query with which whoever has it may make this request to the store that all nodes reach,
    /// for a while; none where it would replace what is as it should be. That store is begun before
    /// where nobody has yet, if it may be.
    pub async fn presign(
        &self,
        request: ObjectRequest,
        may_begin: bool,
    ) -> Result<Option<String>, ArtifactError> {
        match &self.depot {
            Some(depot) => depot.presign(request, may_begin).await,
            None => Err(ArtifactError::Unsigned),
        }
    }

    /// Begins the store that all nodes reach where nobody has yet; it may lie in a folder that is
    /// not mounted, so that nobody else takes an empty one for it.
    pub async fn begin(&self) -> Result<(), ArtifactError> {
        match &self.depot {
            Some(depot) => depot.begin().await,
            None => Ok(()),
        }
    }

    /// Fails where the store that all nodes reach was not begun, or is not reached.
    pub async fn check_begun(&self) -> Result<(), ArtifactError> {
        match &self.depot {
            Some(depot) => depot.check_begun().await,
            None => Ok(()),
        }
    }

    /// Whether all nodes reach an artifact, whose bytes are read for that and not kept: what has
    /// another digest is not it.
    pub async fn is_shared(&self, digest: Digest) -> Result<bool, ArtifactError> {
        let Some(depot) = self.depot.as_ref().filter(|_| !self.is_known(digest)) else {
            return Ok(true);
        };
        match depot.look(digest).await {
            Ok(()) => {
                self.remember(digest);
                Ok(true)
            }
            Err(
                ArtifactError::Missing { .. }
                | ArtifactError::Damaged { .. }
                | ArtifactError::TooLarge { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many bytes an artifact has that lies here.
    pub async fn bytes_here(&self, digest: Digest) -> Result<u64, ArtifactError> {
        match self.store.head(&place(digest)).await {
            Ok(found) => Ok(found.size),
            Err(object_store::Error::NotFound { .. }) => Err(ArtifactError::Missing { digest }),
            Err(source) => Err(store_error("look for", digest, source)),
        }
    }

    /// Has an artifact that lies here stored where all nodes reach it. Damaged bytes under the same
    /// digest are replaced.
    pub async fn share(&self, digest: Digest) -> Result<(), ArtifactError> {
        let Some(depot) = self.depot.as_ref().filter(|_| !self.is_known(digest)) else {
            return Ok(());
        };
        depot.put(digest, &self.get_here(digest).await?).await?;
        self.remember(digest);
        Ok(())
    }

    /// Stores bytes; durable when this returns. Damaged bytes under the same digest are replaced.
    pub async fn put(&self, bytes: &[u8]) -> Result<Digest, ArtifactError> {
        if bytes.len() > ARTIFACT_BYTES_MAX {
            return Err(ArtifactError::TooLarge { bytes: bytes.len() as u64 });
        }
        let digest = Digest::of(bytes);
        if self.is_known(digest) {
            return Ok(digest);
        }
        match &self.depot {
            Some(depot) => {
                depot.put(digest, bytes).await?;
                self.keep(digest, bytes);
            }
            None => self.put_here(digest, bytes).await?,
        }
        pass(Peril::ArtifactWritten);
        self.remember(digest);
        Ok(digest)
    }

    /// Keeps a copy of what the store of all holds. It need not outlast a crash, for whoever reads
    /// it checks it; and one that cannot be kept is fetched again.
    fn keep(&self, digest: Digest, bytes: &[u8]) {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        let Some(directory) = &self.directory else { return };
        if self.cache.as_ref().is_some_and(|cache| !cache.takes(bytes.len())) {
            return;
        }
        let path = inventory::path_of(directory, digest);
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let mut draft = path.clone().into_os_string();
        draft.push(format!("#{}{number:09}", std::process::id()));
        let write = || fs::write(&draft, bytes);
        let written = write().or_else(|error| match path.parent() {
            Some(shelf) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(shelf).and_then(|()| write())
            }
            _ => Err(error),
        });
        match (written.and_then(|()| fs::rename(&draft, &path)), &self.cache) {
            (Ok(()), Some(cache)) => cache.used(digest, bytes.len()),
            (Ok(()), None) => {}
            // What is left of it is swept away with other torn writes.
            (Err(_), _) => drop(fs::remove_file(&draft)),
        }
    }

    async fn put_here(&self, digest: Digest, bytes: &[u8]) -> Result<(), ArtifactError> {
        match self.get_here(digest).await {
            Ok(_) => Ok(()),
            Err(ArtifactError::Missing { .. }) => {
                pass(Peril::ArtifactMissing);
                self.create(digest, bytes).await
            }
            Err(ArtifactError::Damaged { .. } | ArtifactError::TooLarge { .. }) => {
                self.write(digest, bytes, PutMode::Overwrite).await
            }
            Err(other) => Err(other),
        }
    }

    /// The bytes under a digest, checked. Damaged ones are set aside: they are nobody's artifact,
    /// and where they lay the right ones can be put again.
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        let here = self.get_here(digest).await;
        if let (Some(cache), Ok(bytes)) = (&self.cache, &here) {
            cache.used(digest, bytes.len());
        }
        let bytes = match &self.depot {
            Some(_) if here.is_ok() => return here,
            Some(depot) => {
                let bytes = depot.get(digest).await;
                if let Ok(bytes) = &bytes {
                    self.keep(digest, bytes);
                }
                bytes
            }
            None => here,
        };
        self.noted(digest, bytes)
    }

    /// Whether they are there and whole, for who needs no more than that: no copy is kept.
    pub async fn look(&self, digest: Digest) -> Result<(), ArtifactError> {
        let here = self.get_here(digest).await.map(drop);
        let looked = match &self.depot {
            Some(depot) if here.is_err() => depot.look(digest).await,
            _ => here,
        };
        self.noted(digest, looked)
    }

    /// Remembers what was seen whole, and forgets what was not.
    fn noted<T>(&self, digest: Digest, seen: Result<T, ArtifactError>) -> Result<T, ArtifactError> {
        match &seen {
            Ok(_) => self.remember(digest),
            Err(_) => drop(self.present().remove(&digest)),
        }
        seen
    }

    /// The bytes that lie here under a digest, checked.
    async fn get_here(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        let bytes = self.fetch(digest).await;
        if let Err(ArtifactError::Damaged { .. }) = &bytes {
            let aside = format!("damaged/{digest}").into();
            // Where that fails they stay, and every read goes on refusing them.
            drop(self.store.rename(&place(digest), &aside).await);
            pass(Peril::ArtifactAside);
        }
        bytes
    }

    /// A file beside the artifacts that lie here, for one job: it goes with whoever has it.
    pub fn scratch(&self) -> Result<ScratchFile, ArtifactError> {
        let other = std::env::temp_dir();
        ScratchFile::create(self.directory.as_deref().unwrap_or(&other))
    }

    /// Whether something lies under a digest. Only [`Artifacts::get`] says that it is whole.
    pub async fn has(&self, digest: Digest) -> Result<bool, ArtifactError> {
        if self.is_known(digest) {
            return Ok(true);
        }
        if let Some(depot) = &self.depot {
            return depot.has(digest).await;
        }
        if let Some(directory) = &self.directory {
            // A plan asks for every artifact of every job: no thread is woken up for each.
            let path = directory.join(place(digest).as_ref());
            return path.try_exists().map_err(|error| io_error("look for", &path)(error));
        }
        match self.store.head(&place(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(store_error("look for", digest, source)),
        }
    }

    /// Writes files into a person's directory, each whole or not at all, `last` after all others:
    /// where it is, they are, and are those that it tells of. Files that are there already with the
    /// same bytes are left alone.
    pub async fn publish(
        &self,
        directory: &Path,
        files: &[(&str, Content)],
        last: (&str, &[u8]),
    ) -> Result<(), ArtifactError> {
        check_names(files.iter().map(|(name, _)| *name).chain([last.0]))?;
        let mut contents = Vec::with_capacity(files.len());
        for (name, content) in files {
            let bytes = match content {
                Content::Artifact(digest) => self.get(*digest).await?,
                Content::Bytes(bytes) => bytes.clone(),
            };
            contents.push((directory.join(name), bytes));
        }
        let (directory, last) = (directory.to_owned(), (directory.join(last.0), last.1.to_owned()));
        let write = {
            let directory = directory.clone();
            move || write_all(&directory, &contents, &last)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(error) => Err(io_error("write", &directory)(io::Error::other(error))),
        }
    }

    async fn fetch(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        if let Some(directory) = &self.directory {
            // A check reads every artifact of every receipt: no thread is woken up for each.
            return read(&directory.join(place(digest).as_ref()), digest);
        }
        let found = match self.store.get(&place(digest)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ArtifactError::Missing { digest });
            }
            Err(source) => return Err(store_error("read", digest, source)),
        };
        whole(found, digest).await?.map_err(|source| store_error("read", digest, source))
    }

    /// Writes unless something is there by now. What is there was written by somebody who hashed
    /// it a moment ago; damage since then shows when it is read.
    async fn create(&self, digest: Digest, bytes: &[u8]) -> Result<(), ArtifactError> {
        match self.write(digest, bytes, PutMode::Create).await {
            Err(ArtifactError::Store {
                source: object_store::Error::AlreadyExists { .. }, ..
            }) => match self.fetch(digest).await {
                Err(ArtifactError::Damaged { .. }) => {
                    self.write(digest, bytes, PutMode::Overwrite).await
                }
                other => other.map(drop),
            },
            other => other,
        }
    }

    async fn write(
        &self,
        digest: Digest,
        bytes: &[u8],
        mode: PutMode,
    ) -> Result<(), ArtifactError> {
        let payload = PutPayload::from(bytes.to_vec());
        let put = self.store.put_opts(&place(digest), payload, mode.into()).await;
        put.map(drop).map_err(|source| store_error("write", digest, source))
    }

    fn is_known(&self, digest: Digest) -> bool {
        self.present().contains(&digest)
    }

    fn remember(&self, digest: Digest) {
        let mut present = self.present();
        if present.len() >= PRESENT_MAX {
            present.clear();
        }
        present.insert(digest);
    }

    fn present(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        // A set of digests is right after every single step, so a panic elsewhere spoils nothing.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a file, if they are those of the digest.
fn read(path: &Path, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ArtifactError::Missing { digest },
        _ => io_error("read", path)(error),
    };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > ARTIFACT_BYTES_MAX as u64 {
        return Err(ArtifactError::TooLarge { bytes: length });
    }
    let mut bytes = Vec::new();
    // It may be longer by now: then it has another digest.
    file.take(ARTIFACT_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(failed)?;
    if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(ArtifactError::Damaged { digest }) }
}

/// The bytes of an object, if they are those of the digest; inside, what broke on the way.
async fn whole(
    found: GetResult,
    digest: Digest,
) -> Result<object_store::Result<Vec<u8>>, ArtifactError> {
    let bytes = found.meta.size;
    if bytes > ARTIFACT_BYTES_MAX as u64 {
        return Err(ArtifactError::TooLarge { bytes });
    }
    match found.bytes().await {
        Ok(bytes) if Digest::of(&bytes) != digest => Err(ArtifactError::Damaged { digest }),
        Ok(bytes) => Ok(Ok(bytes.into())),
        Err(error) => Ok(Err(error)),
    }
}

/// Whether the bytes of an object are those of the digest, a piece at a time: who asks for that
/// alone holds no more of them.
async fn is_whole(found: GetResult, digest: Digest) -> object_store::Result<bool> {
    if found.meta.size > ARTIFACT_BYTES_MAX as u64 {
        return Ok(false);
    }
    let (mut hasher, mut pieces) = (blake3::Hasher::new(), found.into_stream());
    while let Some(piece) = pieces.try_next().await? {
        hasher.update(&piece);
    }
    Ok(Digest(*hasher.finalize().as_bytes()) == digest)
}

fn place(digest: Digest) -> path::Path {
    let hex = digest.to_string();
    let (shelf, name) = hex.split_at(2);
    path::Path::from_iter([shelf, name])
}

fn store_error(doing: &'static str, digest: Digest, source: object_store::Error) -> ArtifactError {
    let mut cause = Some(&source as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(is_full) {
            return ArtifactError::Full { what: format!("artifact {digest}") };
        }
        cause = error.source();
    }
    ArtifactError::Store { doing, digest, source }
}

fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> ArtifactError {
    move |source| match is_full(&source) {
        true => ArtifactError::Full { what: path.display().to_string() },
        false => ArtifactError::Io { doing, path: path.to_owned(), source },
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests;
