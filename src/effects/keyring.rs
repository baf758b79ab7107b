//! Key files: one Ed25519 secret key, PKCS#8 in PEM (RFC 8410), readable by its owner alone.
//! Never makes up a key where a file is there, however damaged, and never shows one.

use crate::base::keys::SecretKey;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Far more than a key takes; what is longer is not one.
const KEY_FILE_BYTES_MAX: u64 = 4_096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Others can read the file: the key may be known already.
    #[error(
        "the key file {} can be read by others (mode {mode:03o}); hint: chmod 600 {}, and make a \
         new key if others had access", .path.display(), .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key.
    #[error(
        "the key file {} is damaged: {why}; hint: restore it from a copy, or move it away to get a \
         new key, which is a new name on the network and does not own the old one's OhC",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system refuses.
    #[error(
        "cannot {doing} the key file {}: {source}; hint: check the directory and its permissions",
        .path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `create`.
        doing: &'static str,
        /// What it says.
        source: io::Error,
    },
}

/// The key in `path`; if there is no such file, a key from 32 `fresh` bytes, saved there first.
/// Of several processes that create it at once, one wins and all get its key.
pub fn load_or_create(
    path: &Path,
    fresh: impl FnOnce() -> [u8; 32],
) -> Result<SecretKey, KeyringError> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let failed = |source| KeyringError::Io { path: path.to_owned(), doing: "create", source };
    create(path, &SecretKey::from_bytes(&fresh())).map_err(failed)?;
    load(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// The key in `path`, or `None` if there is no such file.
fn load(path: &Path) -> Result<Option<SecretKey>, KeyringError> {
    let failed = |source| KeyringError::Io { path: path.to_owned(), doing: "read", source };
    let damaged = |why: String| KeyringError::Damaged { path: path.to_owned(), why };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(damaged("it is not a file".into()));
    }
    if let Some(mode) = open_to_others(&about) {
        return Err(KeyringError::TooOpen { path: path.to_owned(), mode });
    }
    let mut pem = String::new();
    match file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut pem) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged("it is not text".into()));
        }
        Err(error) => return Err(failed(error)),
    }
    let key = SigningKey::from_pkcs8_pem(&pem);
    key.map(|key| Some(SecretKey::from_bytes(key.as_bytes())))
        .map_err(|error| damaged(format!("not an Ed25519 key in PKCS#8 PEM ({error})")))
}

/// The permission bits, if they let anybody but the owner in.
#[cfg(unix)]
fn open_to_others(about: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = about.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn open_to_others(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Writes the key beside `path`, durably, then gives it its name: a crash leaves no half key. A
/// file that has appeared in the meantime stays as it is.
fn create(path: &Path, key: &SecretKey) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let pem = key.signing_key().to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("{}.new", key.public().short()));
    let written = write_private(&draft, pem.as_bytes()).and_then(|()| {
        // A link, unlike a rename, does not replace what another process put there.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    });
    let removed = fs::remove_file(&draft);
    written.and(removed)?;
    File::open(directory)?.sync_all()
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn never() -> [u8; 32] {
        panic!("a key was made although there is a file")
    }

    #[track_caller]
    fn check(path: &Path, expect: &[&str]) {
        let said = load_or_create(path, never).unwrap_err().to_string();
        for part in expect.iter().chain(&[path.to_str().unwrap()]) {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/worker.pem");
        let made = load_or_create(&path, || [7; 32]).unwrap();
        let read = load_or_create(&path, never).unwrap();
        assert_eq!(made.public(), read.public());
        assert_eq!(made.public(), SecretKey::from_bytes(&[7; 32]).public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(fs::read_dir(dir.path().join("keys")).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn of_many_that_create_a_key_at_once_all_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = &dir.path().join("key.pem");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8u8)
                .map(|n| scope.spawn(move || load_or_create(path, || [n; 32]).unwrap().public()))
                .collect();
            made.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        load_or_create(&path, || [7; 32]).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            check(&path, &[&format!("{mode:03o}"), "hint: chmod 600"]);
        }
    }

    #[test]
    fn a_damaged_key_is_never_taken_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let key = load_or_create(&path, || [7; 32]).unwrap().public();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, flipped).unwrap();
            // A flip that changes nothing (an unused bit of the base64) may pass.
            if let Ok(read) = load_or_create(&path, never) {
                assert_eq!(read.public(), key, "byte {at}");
            }
            fs::write(&path, &whole[..at.min(whole.len() - 2)]).unwrap();
            check(&path, &["damaged", "hint: restore"]);
        }
        fs::write(&path, [0xff; 10_000]).unwrap();
        check(&path, &["damaged", "not text"]);
    }

    #[test]
    fn a_directory_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), &["damaged", "not a file"]);
    }
}
