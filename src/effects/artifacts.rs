//! Artifacts: bytes under their BLAKE3 digest, and the publication of outputs for people.
//! Never hands out bytes that it has not hashed, and never replaces whole bytes.
//!
//! An artifact lies at `ab/cdef…`, its digest in hex. It is written beside its place, synced, and
//! linked there only if nothing is: readers see all of it or nothing, after a crash too.

pub mod inventory;
mod outputs;

use super::{Peril, pass};
use crate::base::canon::Digest;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, path};
use outputs::{check_names, write_all};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
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

/// A content-addressed store of artifacts. Shared by reference; calls run in a tokio runtime.
#[derive(Debug)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// Where it lies, if it is a directory of this machine.
    directory: Option<PathBuf>,
    /// Artifacts that were seen whole: putting one again costs its hash and nothing else.
    present: Mutex<BTreeSet<Digest>>,
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
        Self { store, directory: None, present: Mutex::default() }
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
        match self.get(digest).await {
            Ok(_) => {}
            Err(ArtifactError::Missing { .. }) => {
                pass(Peril::ArtifactMissing);
                self.create(digest, bytes).await?;
            }
            Err(ArtifactError::Damaged { .. } | ArtifactError::TooLarge { .. }) => {
                self.write(digest, bytes, PutMode::Overwrite).await?;
            }
            Err(other) => return Err(other),
        }
        pass(Peril::ArtifactWritten);
        self.remember(digest);
        Ok(digest)
    }

    /// The bytes under a digest, checked. Damaged ones are set aside: they are nobody's artifact,
    /// and where they lay the right ones can be put again.
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        let bytes = self.fetch(digest).await;
        match &bytes {
            Ok(_) => self.remember(digest),
            Err(_) => drop(self.present().remove(&digest)),
        }
        if let Err(ArtifactError::Damaged { .. }) = &bytes {
            let aside = format!("damaged/{digest}").into();
            // Where that fails they stay, and every read goes on refusing them.
            drop(self.store.rename(&place(digest), &aside).await);
            pass(Peril::ArtifactAside);
        }
        bytes
    }

    /// Whether something lies under a digest. Only [`Artifacts::get`] says that it is whole.
    pub async fn has(&self, digest: Digest) -> Result<bool, ArtifactError> {
        if self.is_known(digest) {
            return Ok(true);
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
        let bytes = found.meta.size;
        if bytes > ARTIFACT_BYTES_MAX as u64 {
            return Err(ArtifactError::TooLarge { bytes });
        }
        let bytes = found.bytes().await.map_err(|source| store_error("read", digest, source))?;
        let whole = Digest::of(&bytes) == digest;
        if whole { Ok(bytes.into()) } else { Err(ArtifactError::Damaged { digest }) }
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
mod tests {
    use super::*;
    use std::fs::File;

    fn run<T>(test: impl AsyncFnOnce(Artifacts, &Path) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(test(Artifacts::open(&dir.path().join("store")).unwrap(), dir.path()))
    }

    fn file(dir: &Path, digest: Digest) -> PathBuf {
        dir.join("store").join(place(digest).as_ref())
    }

    #[track_caller]
    fn check(name: &str, plain: bool) {
        assert_eq!(check_names(["other", name].into_iter()).is_ok(), plain, "{name:?}");
    }

    #[test]
    fn what_is_put_is_found_under_its_digest_by_another_process() {
        run(async |store, dir| {
            for bytes in [b"".as_slice(), b"model", &[7; 100_000]] {
                assert!(!store.has(Digest::of(bytes)).await.unwrap());
                let digest = store.put(bytes).await.unwrap();
                assert_eq!(digest, Digest::of(bytes));
                let other = Artifacts::open(&dir.join("store")).unwrap();
                assert!(other.has(digest).await.unwrap());
                assert_eq!(other.get(digest).await.unwrap(), bytes);
                assert_eq!(other.put(bytes).await.unwrap(), digest);
            }
        });
    }

    #[test]
    fn missing_and_damaged_are_told_apart_and_damage_is_healed() {
        run(async |store, dir| {
            let digest = Digest::of(b"model");
            let missing = store.get(digest).await.unwrap_err();
            assert!(matches!(missing, ArtifactError::Missing { .. }));
            store.put(b"model").await.unwrap();
            for damage in [b"modem".as_slice(), b"", b"model and more"] {
                fs::write(file(dir, digest), damage).unwrap();
                let damaged = store.get(digest).await.unwrap_err();
                assert!(matches!(damaged, ArtifactError::Damaged { .. }), "{damaged}");
                assert!(damaged.to_string().contains("hint: "));
                store.put(b"model").await.unwrap();
                assert_eq!(store.get(digest).await.unwrap(), b"model");
            }
        });
    }

    #[test]
    fn what_is_known_to_be_there_is_not_written_again() {
        run(async |store, dir| {
            let digest = store.put(b"model").await.unwrap();
            fs::remove_file(file(dir, digest)).unwrap();
            store.put(b"model").await.unwrap();
            assert!(!file(dir, digest).exists(), "the second put touched the disk");
            // A read that misses it ends that.
            store.get(digest).await.unwrap_err();
            store.put(b"model").await.unwrap();
            assert!(file(dir, digest).exists());
        });
    }

    #[test]
    fn a_giant_is_refused_before_it_is_read() {
        run(async |store, dir| {
            let digest = store.put(b"model").await.unwrap();
            let giant = File::create(file(dir, digest)).unwrap();
            giant.set_len(ARTIFACT_BYTES_MAX as u64 + 1).unwrap();
            let refused = store.get(digest).await.unwrap_err();
            assert!(matches!(refused, ArtifactError::TooLarge { .. }));
            store.put(b"model").await.unwrap();
            assert_eq!(store.get(digest).await.unwrap(), b"model");
        });
    }

    #[test]
    fn many_that_put_the_same_at_once_all_succeed() {
        run(async |store, dir| {
            let others: Vec<_> =
                (0..8).map(|_| Artifacts::open(&dir.join("store")).unwrap()).collect();
            let puts = others.iter().map(|other| other.put(b"same"));
            for put in futures_util::future::join_all(puts).await {
                assert_eq!(put.unwrap(), Digest::of(b"same"));
            }
            assert_eq!(store.get(Digest::of(b"same")).await.unwrap(), b"same");
        });
    }

    #[test]
    fn outputs_are_published_whole_with_the_card_last() {
        run(async |store, dir| {
            let out = dir.join("out/iris");
            let digest = store.put(b"model").await.unwrap();
            let files = [
                ("model.bin", Content::Artifact(digest)),
                ("notes.txt", Content::Bytes(b"notes".to_vec())),
            ];
            store.publish(&out, &files, ("card.json", b"{}")).await.unwrap();
            assert_eq!(fs::read(out.join("model.bin")).unwrap(), b"model");
            assert_eq!(fs::read(out.join("notes.txt")).unwrap(), b"notes");
            assert_eq!(fs::read(out.join("card.json")).unwrap(), b"{}");
            assert_eq!(fs::read_dir(&out).unwrap().count(), 3, "no draft is left");

            // The same again touches nothing.
            let before = fs::metadata(out.join("card.json")).unwrap().modified().unwrap();
            store.publish(&out, &files, ("card.json", b"{}")).await.unwrap();
            let after = fs::metadata(out.join("card.json")).unwrap().modified().unwrap();
            assert_eq!(before, after);

            // A missing artifact leaves what is there as it is.
            let gone = [("model.bin", Content::Artifact(Digest::of(b"gone")))];
            let failed = store.publish(&out, &gone, ("card.json", b"[]")).await;
            assert!(matches!(failed, Err(ArtifactError::Missing { .. })));
            assert_eq!(fs::read(out.join("card.json")).unwrap(), b"{}");
        });
    }

    #[test]
    fn a_publication_that_fails_half_way_leaves_no_card() {
        run(async |store, dir| {
            let out = dir.join("out");
            let files = |text: &str| {
                [("a", Content::Bytes(text.into())), ("b", Content::Bytes(text.into()))]
            };
            store.publish(&out, &files("old"), ("card", b"old")).await.unwrap();
            fs::remove_file(out.join("b")).unwrap();
            fs::create_dir_all(out.join("b/in the way")).unwrap();
            let failed = store.publish(&out, &files("new"), ("card", b"new")).await.unwrap_err();
            assert!(failed.to_string().contains("hint: "), "{failed}");
            assert!(!out.join("card").exists(), "the old card tells of files that have changed");
        });
    }

    #[test]
    fn a_name_never_leads_elsewhere() {
        check("card.json", true);
        for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a/", "./a", "other"] {
            check(bad, false);
        }
    }
}
