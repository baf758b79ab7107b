//! Key files: one Ed25519 secret key, PKCS#8 in PEM (RFC 8410), readable by its owner alone.
//! Never makes up a key where a file is there, however damaged, and never shows one.

use super::{Peril, pass};
use crate::base::keys::SecretKey;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Far more than a key takes; what is longer is not one.
const KEY_FILE_BYTES_MAX: u64 = 4_096;
/// A secret with fewer different bytes was not drawn by lot.
const SECRET_BYTES_DIFFERENT_MIN: usize = 8;

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
    /// There is a key already: it is somebody's name and owns what is booked to it.
    #[error(
        "there is a key {} already; hint: choose another name, or move that file away",
        .path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What was to be imported is no key of ours.
    #[error("{from} is no key for this network: {why}; hint: {hint}")]
    Foreign {
        /// Where it came from.
        from: String,
        /// What it is instead.
        why: String,
        /// What to do about it.
        hint: &'static str,
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

/// Saves a key where there is none.
pub fn save(path: &Path, key: &SecretKey) -> Result<(), KeyringError> {
    let failed = |source| KeyringError::Io { path: path.to_owned(), doing: "create", source };
    let exists = || KeyringError::Exists { path: path.to_owned() };
    // Anything there is in the way, a dangling link too.
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    create(path, key).map_err(failed)?;
    // Another process may have been first.
    match load(path)? {
        Some(saved) if saved.public() == key.public() => Ok(()),
        _ => Err(exists()),
    }
}

/// The names and files of all keys in a folder, ascending by name; none where there is no folder.
pub fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, KeyringError> {
    let failed = |source| KeyringError::Io { path: folder.to_owned(), doing: "read", source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_key = path.extension().is_some_and(|extension| extension == "pem");
        if let (true, Some(name)) = (is_key, path.file_stem().and_then(|name| name.to_str())) {
            found.push((name.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a key that is not in the home: a file that its owner alone can read, or what `input`
/// gives. Secret as it is, nobody else gets it.
pub fn read_foreign(path: &Path) -> Result<String, KeyringError> {
    let failed = |source| KeyringError::Io { path: path.to_owned(), doing: "read", source };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    match open_to_others(&about) {
        Some(mode) if about.is_file() => {
            return Err(KeyringError::TooOpen { path: path.to_owned(), mode });
        }
        _ => {}
    }
    read_text(file).map_err(failed)
}

/// All of a text that can be a key; of what is longer, too much to be one.
pub fn read_text(from: impl Read) -> io::Result<String> {
    let mut pem = String::new();
    from.take(KEY_FILE_BYTES_MAX).read_to_string(&mut pem)?;
    Ok(pem)
}

/// The key that a text holds: Ed25519 in PKCS#8 PEM, of a secret that can have been drawn by lot.
/// `from` is what messages call it; the text itself is in none.
pub fn parse(pem: &str, from: &str) -> Result<SecretKey, KeyringError> {
    let foreign = |why: &str, hint| KeyringError::Foreign {
        from: from.to_owned(),
        why: why.to_owned(),
        hint,
    };
    let make = "`ohc wallet new NAME` makes one; so does `openssl genpkey -algorithm ed25519`";
    let label =
        pem.trim_start().strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----"));
    match label.map(|(label, _)| label) {
        Some("PRIVATE KEY") => {}
        Some("ENCRYPTED PRIVATE KEY") => {
            return Err(foreign("it is encrypted", "decrypt it: `openssl pkcs8 -in FILE`"));
        }
        Some("OPENSSH PRIVATE KEY") => {
            return Err(foreign("it is a key of OpenSSH", make));
        }
        Some(label) if label.contains("PUBLIC") => {
            return Err(foreign("it is a public key", "the secret half is needed"));
        }
        _ => return Err(foreign("it is no PKCS#8 PEM", make)),
    }
    let key = SigningKey::from_pkcs8_pem(pem);
    // Its error may speak of the bytes that it read: it is not repeated.
    let key = key.map_err(|_| foreign("it is damaged, or not of Ed25519", make))?;
    // 32 bytes by lot have fewer than 8 different ones once in 10^50 keys.
    let mut seen = *key.as_bytes();
    seen.sort_unstable();
    let different = 1 + seen.windows(2).filter(|pair| pair.first() != pair.last()).count();
    if different < SECRET_BYTES_DIFFERENT_MIN {
        return Err(foreign("its secret is no random number: anybody can guess it", make));
    }
    Ok(SecretKey::from_bytes(key.as_bytes()))
}

/// The key in `path`, or `None` if there is no such file.
pub fn load(path: &Path) -> Result<Option<SecretKey>, KeyringError> {
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

/// Whether a key file belongs to the user that this process runs as.
#[must_use]
pub fn is_own(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    path.metadata().is_ok_and(|about| about.uid() == me)
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

/// Removes what creations that did not come to their end have left beside keys that are there: each
/// is a secret that nobody ever used. A process that creates the same key at this moment finds that
/// somebody was first.
pub fn sweep(folder: &Path) {
    let paths = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok());
    for path in paths.map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_done = match name.split('.').collect::<Vec<_>>().as_slice() {
            [name, _, "new"] => folder.join(name).with_extension("pem").exists(),
            _ => false,
        };
        if is_done {
            // One that stays is no key, and is tried again next time.
            let _ = fs::remove_file(&path);
        }
    }
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
        pass(Peril::KeyDrafted);
        // A link, unlike a rename, does not replace what another process put there.
        match fs::hard_link(&draft, path) {
            // If there is a key, another process was first, and may have swept our draft away.
            Err(error) if !path.exists() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    });
    pass(Peril::KeyNamed);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => written.and(Err(error))?,
        Ok(()) | Err(_) => written?,
    }
    pass(Peril::KeySaved);
    File::open(directory)?.sync_all()
}

/// Writes a file that its owner alone can read, where there is none.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
    fn what_a_crash_left_beside_a_key_is_swept_away_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.pem", "a.0123.new", "b.0123.new", "a.new", "notes.txt", "a.b.c.new"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        sweep(dir.path());
        sweep(&dir.path().join("none"));
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left("a.0123.new"));
        assert!(left("b.0123.new"), "its key may be about to be named");
        assert!(["a.pem", "a.new", "notes.txt", "a.b.c.new"].into_iter().all(left));
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
    fn a_key_is_saved_once_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/savings.pem");
        let (first, second) = (SecretKey::from_bytes(&[7; 32]), SecretKey::from_bytes(&[8; 32]));
        save(&path, &first).unwrap();
        for key in [&first, &second] {
            let said = save(&path, key).unwrap_err().to_string();
            assert!(said.contains("already; hint: "), "{said}");
        }
        assert_eq!(load(&path).unwrap().unwrap().public(), first.public());
        let dangling = dir.path().join("keys/link.pem");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &dangling).unwrap();
        assert!(matches!(save(&dangling, &first), Err(KeyringError::Exists { .. })));
        fs::remove_file(&dangling).unwrap();
        fs::write(dir.path().join("keys/notes.txt"), "").unwrap();
        let names: Vec<_> = list(&dir.path().join("keys")).unwrap();
        assert_eq!(names, [("savings".to_owned(), path)]);
        assert_eq!(list(&dir.path().join("none")).unwrap(), []);
    }

    /// What `openssl genpkey -algorithm ed25519` and its like write.
    const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    const P256: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD4+yZIuS6zMnH0Un\n\
        4GJWygCM2sBw9TLEr0/w58PD2hGhRANCAATtb3MuqRpmDD/kqckyrte7LFfyOgi0\n\
        sz5OGxje0juah9vPf/zuNLrpF4ZekgA8JiOdzj2y18V2acHXJLSdt7Fs\n\
        -----END PRIVATE KEY-----\n";

    #[track_caller]
    fn refuse(pem: &str, expect: &str) {
        let said = parse(pem, "the input").unwrap_err().to_string();
        assert!(said.starts_with("the input is no key for this network: "), "{said}");
        assert!(said.contains(expect) && said.contains("; hint: "), "{said}");
    }

    #[test]
    fn a_key_made_elsewhere_is_taken_and_what_is_none_is_named() {
        let key = parse(OPENSSL, "the input").unwrap();
        // The key of RFC 8410, section 10.3, whose public half is printed there.
        let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(key.public().to_string(), public);
        refuse(P256, "not of Ed25519");
        refuse("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "it is encrypted");
        refuse("-----BEGIN OPENSSH PRIVATE KEY-----\n", "OpenSSH");
        refuse("-----BEGIN PUBLIC KEY-----\n", "the secret half is needed");
        refuse("", "it is no PKCS#8 PEM");
        refuse(&OPENSSL.replace("INTu", "INTu_"), "it is damaged");
    }

    #[test]
    fn a_secret_that_anybody_can_guess_is_refused() {
        for secret in [[0; 32], [255; 32], std::array::from_fn(|i| u8::from(i == 31))] {
            let pem = SigningKey::from_bytes(&secret).to_pkcs8_pem(LineEnding::LF).unwrap();
            refuse(&pem, "no random number");
        }
    }

    #[test]
    fn a_key_to_import_must_be_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.pem");
        fs::write(&path, OPENSSL).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_foreign(&path), Err(KeyringError::TooOpen { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_foreign(&path).unwrap(), OPENSSL);
        let long = "x".repeat(10_000);
        assert_eq!(read_text(long.as_bytes()).unwrap().len() as u64, KEY_FILE_BYTES_MAX);
    }

    #[test]
    fn a_directory_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), &["damaged", "not a file"]);
    }
}
