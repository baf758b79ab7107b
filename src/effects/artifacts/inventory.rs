//! The inventory of a folder of artifacts: what lies there, and taking away what is named.
//! Never decides what is needed, and touches nothing whose name it does not know.

use super::{ArtifactError, io_error};
use crate::base::canon::Digest;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Damaged artifacts are set aside in here.
const DAMAGED: &str = "damaged";
/// Between the name of an artifact and the number of an upload that did not come to its end.
const UPLOAD: char = '#';

/// What lies in a folder of artifacts, ascending by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Artifacts. Whether they are whole shows when they are read.
    pub artifacts: Vec<Stored>,
    /// Everything else.
    pub strays: Vec<Stray>,
}

/// A file that is called as an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: u64,
}

/// A file that is no artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: u64,
    /// What it is.
    pub kind: StrayKind,
}

/// What a file is that is no artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayKind {
    /// An artifact whose bytes had another digest.
    Damaged,
    /// A write that a crash interrupted.
    Torn,
    /// Nobody knows: it is not ours.
    Unknown,
}

/// Lists a folder of artifacts; nothing lies in a folder that is not there.
pub fn inventory(directory: &Path) -> Result<Inventory, ArtifactError> {
    let mut found = Inventory::default();
    for shelf in entries(directory)? {
        if !shelf.is_dir() {
            found.strays.push(stray(shelf, StrayKind::Unknown)?);
            continue;
        }
        for path in entries(&shelf)? {
            match identify(&shelf, &path) {
                Ok(digest) => {
                    let (bytes, written_ms) = about(&path)?;
                    found.artifacts.push(Stored { digest, bytes, written_ms });
                }
                Err(kind) => found.strays.push(stray(path, kind)?),
            }
        }
    }
    Ok(found)
}

/// Takes an artifact away; one that is gone already is no error.
pub fn remove(directory: &Path, digest: Digest) -> Result<(), ArtifactError> {
    remove_file(&path_of(directory, digest))
}

/// Marks an artifact as written now.
pub(super) fn touch(directory: &Path, digest: Digest) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(utimensat(CWD, path_of(directory, digest), &times, AtFlags::empty())?)
}

/// Takes a stray away.
pub fn remove_stray(stray: &Stray) -> Result<(), ArtifactError> {
    remove_file(&stray.path)
}

/// Whether the bytes that lie under a digest are the right ones. Those that are not stay where they
/// are, unlike with [`super::Artifacts::get`].
pub fn is_whole(directory: &Path, digest: Digest) -> Result<bool, ArtifactError> {
    let path = path_of(directory, digest);
    if about(&path)?.0 > ARTIFACT_BYTES_MAX as u64 {
        return Ok(false);
    }
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    Ok(Digest::of(&bytes) == digest)
}

/// Where an artifact lies.
#[must_use]
pub fn path_of(directory: &Path, digest: Digest) -> PathBuf {
    let hex = digest.to_string();
    let (shelf, name) = hex.split_at(2);
    directory.join(shelf).join(name)
}

fn remove_file(path: &Path) -> Result<(), ArtifactError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", path)(error));
        }
        Ok(()) | Err(_) => {}
    }
    if let Some(shelf) = path.parent() {
        // The shelf goes with its last artifact; one that holds others stays.
        let _ = fs::remove_dir(shelf);
    }
    Ok(())
}

fn identify(shelf: &Path, path: &Path) -> Result<Digest, StrayKind> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(shelf), Some(name)) = (name(shelf), name(path)) else {
        return Err(StrayKind::Unknown);
    };
    if !path.is_file() {
        return Err(StrayKind::Unknown);
    }
    let digest = |name: &str| -> Option<Digest> {
        let hex = format!("{shelf}{name}");
        // Another spelling of the same digest would be another file.
        hex.parse().ok().filter(|digest: &Digest| digest.to_string() == hex)
    };
    let is_upload = |(artifact, number): (&str, &str)| {
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number && (digest(artifact).is_some() || shelf == DAMAGED)
    };
    match digest(&name) {
        Some(digest) => Ok(digest),
        None if name.split_once(UPLOAD).is_some_and(is_upload) => Err(StrayKind::Torn),
        None if shelf == DAMAGED && name.parse::<Digest>().is_ok() => Err(StrayKind::Damaged),
        None => Err(StrayKind::Unknown),
    }
}

fn stray(path: PathBuf, kind: StrayKind) -> Result<Stray, ArtifactError> {
    let (bytes, written_ms) = about(&path)?;
    Ok(Stray { path, bytes, written_ms, kind })
}

/// When a file was written, in milliseconds since 1970; 1970 where it is gone or nobody knows.
#[must_use]
pub fn written_ms(path: &Path) -> u64 {
    about(path).map_or(0, |(_, written_ms)| written_ms)
}

/// The size of a file, and when it was written; 1970 where the file system does not say.
fn about(path: &Path) -> Result<(u64, u64), ArtifactError> {
    let about = path.symlink_metadata().map_err(io_error("look at", path))?;
    let written = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let ms = written.and_then(|since| u64::try_from(since.as_millis()).ok());
    Ok((about.len(), ms.unwrap_or(0)))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, ArtifactError> {
    let failed = io_error("read", directory);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn everything_in_the_folder_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inventory(&dir.path().join("none")).unwrap(), Inventory::default());
        let (a, b) = (Digest::of(b"a"), Digest::of(b"bb"));
        write(&path_of(dir.path(), a), b"a");
        write(&path_of(dir.path(), b), b"bb");
        let torn = path_of(dir.path(), a).with_file_name(format!("{}#3", &a.to_string()[2..]));
        write(&torn, b"half");
        write(&dir.path().join(format!("damaged/{a}")), b"x");
        for other in ["notes.txt", "ab/notes.txt", "ab/#1", "damaged/notes"] {
            write(&dir.path().join(other), b"");
        }
        let found = inventory(dir.path()).unwrap();
        let mut expect = vec![(a, 1), (b, 2)];
        expect.sort_by_key(|(digest, _)| digest.to_string());
        let sizes: Vec<_> = found.artifacts.iter().map(|each| (each.digest, each.bytes)).collect();
        assert_eq!(sizes, expect);
        assert!(found.artifacts.iter().all(|each| each.written_ms > 1_500_000_000_000));
        let kinds = |kind| found.strays.iter().filter(|stray| stray.kind == kind).count();
        let all = [StrayKind::Damaged, StrayKind::Torn, StrayKind::Unknown].map(kinds);
        assert_eq!(all, [1, 1, 4], "{:?}", found.strays);
    }

    #[test]
    fn what_is_taken_away_takes_its_empty_shelf_along() {
        let dir = tempfile::tempdir().unwrap();
        let a = Digest::of(b"a");
        write(&path_of(dir.path(), a), b"a");
        let beside = path_of(dir.path(), a).with_file_name("notes");
        write(&beside, b"");
        remove(dir.path(), a).unwrap();
        remove(dir.path(), a).unwrap();
        assert!(beside.exists());
        let stray = inventory(dir.path()).unwrap().strays.remove(0);
        remove_stray(&stray).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
