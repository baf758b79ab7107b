//! `ohc.lock`: what the sources of the pipelines in a folder were when they were last applied, in a
//! form that people can compare. Never decides whether a change is welcome.

use super::sources::Pinned;
use crate::domain::job::Column;
use crate::domain::manifest::{Manifest, Place};
use crate::effects::draft::Draft;
use crate::effects::{Peril, pass};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The name of the file, beside the manifest.
pub const FILE: &str = "ohc.lock";
/// The form that is written, and the only one that is read.
const VERSION: u32 = 1;
/// A whole lock, in bytes.
const LOCK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The lock of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By pipeline, and then by source.
    pipelines: BTreeMap<String, BTreeMap<String, Locked>>,
}

/// A source as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Where it lay.
    pub url: String,
    /// How many files it was.
    pub files: usize,
    /// How many bytes they had together.
    pub bytes: u64,
    /// The digest of the one file, or of the digests of all in order.
    pub digest: String,
    /// The entity tag or version of the one object that it was, where the store told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// How many rows.
    pub rows: u64,
    /// Its columns in order, each with its kind behind a colon.
    pub columns: Vec<String>,
}

/// A source that is not what the lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub source: String,
    /// Its name in the manifest.
    pub place: Place,
    /// What it was; `None` if the lock does not know it.
    pub before: Option<Locked>,
    /// What it is.
    pub now: Locked,
}

/// Why there is no lock to compare with, or none that could be written.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file system refuses.
    #[error("cannot {doing} {}: {source}; hint: check the folder and its \
        permissions; --locked reads the lock and does not write it",
        .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// It is not a lock.
    #[error("{} is not a lock of version {VERSION}: {source}; hint: restore it from a copy, or \
        remove it and apply again", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Lock {
    /// The lock in a folder, if there is one.
    pub fn read(folder: &Path) -> Result<Option<Self>, LockError> {
        let path = folder.join(FILE);
        let failed = |source| LockError::Io { doing: "read", path: path.clone(), source };
        let mut text = Vec::new();
        match std::fs::File::open(&path) {
            Ok(file) => file.take(LOCK_BYTES_MAX).read_to_end(&mut text).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let malformed = |source| LockError::Malformed { path: path.clone(), source };
        let lock: Self = serde_json::from_slice(&text).map_err(malformed)?;
        if lock.version != VERSION {
            let what = format!("it is of version {}", lock.version);
            return Err(malformed(serde::de::Error::custom(what)));
        }
        Ok(Some(lock))
    }

    /// The sources of a pipeline that are not what the lock says; `None` if it does not know the
    /// pipeline.
    #[must_use]
    pub fn changes(&self, manifest: &Manifest, sources: &[Pinned]) -> Option<Vec<Change>> {
        let known = self.pipelines.get(&manifest.name)?;
        let change = |(name, now): (String, Locked)| {
            let before = known.get(&name).cloned();
            let is_same = before.as_ref().is_some_and(|before| before.is_same(&now));
            let source = manifest.sources.get(&name);
            let place = source.map(|source| source.place).unwrap_or_default();
            (!is_same).then_some(Change { source: name, place, before, now })
        };
        Some(locked(manifest, sources).into_iter().filter_map(change).collect())
    }

    /// Writes what the sources of a pipeline are now into the lock of a folder; what it says of
    /// other pipelines stays. A lock that says it already is left alone.
    pub fn update(folder: &Path, manifest: &Manifest, sources: &[Pinned]) -> Result<(), LockError> {
        let before = Self::read(folder)?;
        let empty = Self { version: VERSION, pipelines: BTreeMap::new() };
        let mut lock = before.clone().unwrap_or(empty);
        let (name, sources) = (&manifest.name, locked(manifest, sources));
        if sources.is_empty() {
            lock.pipelines.remove(name);
        } else {
            lock.pipelines.insert(name.clone(), sources);
        }
        if before.as_ref() == Some(&lock) || (before.is_none() && lock.pipelines.is_empty()) {
            return Ok(());
        }
        lock.write(&folder.join(FILE))
    }

    fn write(&self, path: &Path) -> Result<(), LockError> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other);
        let written = text.and_then(|text| {
            let draft = Draft::of(path, format!("{text}\n").as_bytes())?;
            pass(Peril::LockDrafted);
            draft.place()?;
            pass(Peril::LockWritten);
            Ok(())
        });
        written.map_err(|source| LockError::Io { doing: "write", path: path.to_owned(), source })
    }
}

impl Locked {
    /// Whether the same bytes are read in the same way. Where they lie, and what a store calls
    /// their state, does not matter as long as they are the same.
    fn is_same(&self, now: &Self) -> bool {
        (&self.digest, self.rows, &self.columns) == (&now.digest, now.rows, &now.columns)
    }
}

fn locked(manifest: &Manifest, sources: &[Pinned]) -> BTreeMap<String, Locked> {
    let one = |pinned: &Pinned| {
        let Pinned { pin, files, mark } = pinned;
        let source = manifest.sources.get(&pin.source)?;
        let column = |column: &Column| format!("{}: {}", column.name, column.kind.word());
        let locked = Locked {
            url: source.url.clone(),
            files: *files,
            bytes: pin.bytes,
            digest: pin.digest.to_string(),
            mark: mark.clone(),
            rows: pin.rows,
            columns: pin.columns.iter().map(column).collect(),
        };
        Some((pin.source.clone(), locked))
    };
    sources.iter().filter_map(one).collect()
}
