//! A check-up of this machine and of a home: what was found, and whether it is as it should be.
//! Never repairs anything, and leaves nothing behind but what any start does: an unfinished last
//! write is cut off the log.

use super::attach::Peer;
use super::boot::{self, BootError, Booted};
use super::home::Home;
use super::wallet::{self, Entry};
use crate::domain::genesis::Genesis;
use crate::domain::job::OPS_VERSION;
use crate::effects::artifacts::inventory::{self, Stored, StrayKind};
use crate::effects::artifacts::{ArtifactError, Artifacts};
use crate::effects::clock::{self, Clock};
use crate::effects::disk::{self, Room};
use crate::effects::keyring::{self, KeyringError};
use crate::effects::machine;
use crate::effects::store::StoreError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
/// With less, small trainings already fail.
const MEMORY_MIN: u64 = 512 * MIB;
/// With less, the next write may fail.
const FREE_MIN: u64 = 64 * MIB;
/// With less, the next run may fail.
const FREE_LOW: u64 = 1024 * MIB;
/// The store and the artifacts have that many files open at once.
const FILES_LOW: u64 = 256;
/// A sync that takes longer makes every slot slow.
const SYNC_SLOW_MS: u64 = 250;
/// Clocks that differ by more will disagree about signatures of requests.
const SKEW_MAX_MS: u64 = 5_000;
/// The first of January 2025: a clock before it was never set.
const CLOCK_MIN_MS: u64 = 1_735_689_600_000;
/// Artifacts whose bytes are hashed, and how many bytes in all: a sample.
const SAMPLE_FILES: usize = 64;
const SAMPLE_BYTES: u64 = 256 * MIB;

/// Whether a finding is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is.
    Good,
    /// It works, but somebody should know.
    Doubtful,
    /// It does not work.
    Bad,
}

/// What was found.
#[derive(Debug)]
pub enum Finding {
    /// The program, and the version of its arithmetic.
    Program {
        /// Of the package.
        version: &'static str,
        /// Part of every job's key.
        ops: &'static str,
    },
    /// What the processor has of what makes the kernels and the chain of ticks fast.
    Processor(Vec<(&'static str, bool)>),
    /// Cores that this process may use.
    Cores(u64),
    /// Bytes of memory; 0 where the system does not say.
    Memory(u64),
    /// Files that may be open at once, where there is a limit.
    Files(Option<u64>),
    /// The folder is there.
    Home(PathBuf),
    /// No network was begun in the folder.
    NoHome(PathBuf),
    /// The room on its file system.
    Disk(io::Result<Room>),
    /// Milliseconds that it takes until a write lasts.
    Write(io::Result<u64>),
    /// Milliseconds between the clock and that of the file system; none where the clock is not set.
    Clock(Option<u64>),
    /// Whether git leaves the folder alone.
    Git(bool),
    /// A key.
    Key(Entry),
    /// A key that is another user's file.
    KeyOfOther(Entry),
    /// A key without which the log cannot go on.
    KeyGone(&'static str, PathBuf),
    /// The log was folded and its signatures hold.
    Log {
        /// Slots.
        slots: u64,
        /// Bytes of an unfinished write that were cut off.
        cut: u64,
    },
    /// Another process has the log open: it was not checked.
    LogBusy,
    /// A socket is left of a process that had the home open and was killed.
    Socket(PathBuf),
    /// The log cannot be used.
    LogBad(BootError),
    /// What lies in the artifact store.
    Artifacts {
        /// Artifacts.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// How many of them were hashed.
        hashed: u64,
        /// The files of those whose bytes are others.
        damaged: Vec<PathBuf>,
        /// Files that are no artifacts: set aside, torn or foreign.
        strays: u64,
    },
    /// The artifact store cannot be read.
    ArtifactsBad(ArtifactError),
}

impl Finding {
    /// Whether it is as it should be.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        use Verdict::{Bad, Doubtful, Good};
        let unless = |is_good: bool, verdict: Verdict| if is_good { Good } else { verdict };
        match self {
            Self::Program { .. } | Self::Home(_) => Good,
            Self::Processor(features) => unless(features.iter().all(|(_, has)| *has), Doubtful),
            Self::Cores(cores) => unless(*cores > 1, Doubtful),
            Self::Memory(bytes) => unless(*bytes == 0 || *bytes >= MEMORY_MIN, Doubtful),
            Self::Files(max) => unless(max.is_none_or(|max| max >= FILES_LOW), Doubtful),
            Self::NoHome(_) | Self::LogBusy | Self::Socket(_) | Self::KeyOfOther(_) => Doubtful,
            Self::Disk(Ok(room)) if room.free < FREE_MIN => Bad,
            Self::Disk(Ok(room)) => unless(room.free >= FREE_LOW, Doubtful),
            Self::Write(Ok(ms)) => unless(*ms <= SYNC_SLOW_MS, Doubtful),
            Self::Clock(skew) => unless(skew.is_some_and(|ms| ms <= SKEW_MAX_MS), Doubtful),
            Self::Git(is_ignored) => unless(*is_ignored, Doubtful),
            Self::Key(entry) => unless(entry.key.is_ok(), Bad),
            Self::Log { cut, .. } => unless(*cut == 0, Doubtful),
            Self::Artifacts { damaged, strays, .. } => match damaged.is_empty() {
                true => unless(*strays == 0, Doubtful),
                false => Bad,
            },
            Self::Disk(Err(_))
            | Self::Write(Err(_))
            | Self::KeyGone(..)
            | Self::LogBad(_)
            | Self::ArtifactsBad(_) => Bad,
        }
    }
}

/// The network whose log a home has a copy of, and who we are there.
#[derive(Debug, Clone, Copy)]
pub struct Membership<'a> {
    /// What its log begins with.
    pub genesis: &'a Genesis,
    /// The file of the key that pays, if there is one.
    pub payer: Option<&'a Path>,
}

/// Everything that can be found out without a network. A home that has one of its own is a member
/// of none.
#[must_use]
pub fn examine(home: &Home, membership: Option<Membership<'_>>) -> Vec<Finding> {
    let equipment = machine::equipment();
    let mut found = vec![
        Finding::Program { version: env!("CARGO_PKG_VERSION"), ops: OPS_VERSION },
        Finding::Processor(machine::features()),
        Finding::Cores(equipment.cores),
        Finding::Memory(equipment.memory),
        Finding::Files(machine::files_max()),
    ];
    if !home.exists() {
        found.push(Finding::NoHome(home.dir().to_owned()));
        disk(existing(home.dir()), &mut found);
        return found;
    }
    found.push(Finding::Home(home.dir().to_owned()));
    disk(home.dir(), &mut found);
    found.push(Finding::Git(is_left_alone(home)));
    keys(home, membership, &mut found);
    found.push(match membership {
        None => log(home),
        Some(network) => copy(home, network.genesis),
    });
    found.extend(socket(home));
    found.push(artifacts(home));
    found
}

/// The nearest folder above that is there: a home would be made in it.
fn existing(path: &Path) -> &Path {
    let above = path.ancestors().find(|path| path.is_dir());
    above.unwrap_or(Path::new("."))
}

fn disk(folder: &Path, found: &mut Vec<Finding>) {
    found.push(Finding::Disk(disk::room(folder)));
    let clock = Clock::start();
    let written = disk::write_through(folder);
    let took = clock.now().0;
    if let Ok(written) = &written {
        let now = Some(clock::wall_ms()).filter(|now| *now >= CLOCK_MIN_MS);
        found.push(Finding::Clock(now.map(|now| now.abs_diff(*written))));
    }
    found.push(Finding::Write(written.map(|_| took)));
}

/// Whether nothing of the home can come into a repository: it says so itself, or is in none.
fn is_left_alone(home: &Home) -> bool {
    let ignored = std::fs::read_to_string(home.dir().join(".gitignore")).unwrap_or_default();
    let says = ignored.lines().any(|line| line.trim() == "*");
    let full = home.dir().canonicalize().unwrap_or_else(|_| home.dir().to_owned());
    says || !full.ancestors().any(|dir| dir.join(".git").exists())
}

fn keys(home: &Home, membership: Option<Membership<'_>>, found: &mut Vec<Finding>) {
    let mut entries = match wallet::entries(home) {
        Ok(entries) => entries,
        Err(error) => {
            let (name, path) = ("keys".to_owned(), home.keys());
            vec![Entry { name, path, key: Err(error) }]
        }
    };
    let payer = membership.and_then(|network| network.payer);
    if let Some(payer) = payer {
        entries.retain(|entry| entry.name != "client");
        entries.push(wallet::entry("client", payer));
    }
    // Who holds a copy signs no slot, and may only read.
    let needed: &[&str] = if membership.is_none() { &["client", "validator"] } else { &[] };
    for name in needed.iter().copied() {
        if !entries.iter().any(|entry| entry.name == name) {
            found.push(Finding::KeyGone(name, home.key(name)));
        }
    }
    for entry in entries {
        // What is gone is nobody's.
        found.push(match entry.path.exists() && !keyring::is_own(&entry.path) {
            true => Finding::KeyOfOther(entry),
            false => Finding::Key(entry),
        });
    }
}

fn log(home: &Home) -> Finding {
    let public = |name| -> Result<_, KeyringError> {
        // What is missing was said; the log then cannot be told to be ours.
        let key = keyring::load(&home.key(name))?;
        Ok(key.map(|key| key.public()).unwrap_or(crate::base::keys::PublicKey([0; 32])))
    };
    let booted = public("client").and_then(|client| Ok((client, public("validator")?)));
    let booted = booted.map_err(BootError::from);
    folded(booted.and_then(|(client, validator)| boot::boot(home, client, validator)))
}

/// The copy of the log of a network.
fn copy(home: &Home, genesis: &Genesis) -> Finding {
    let artifacts = Artifacts::open(&home.artifacts()).map_err(BootError::from);
    folded(artifacts.and_then(|artifacts| boot::join(home, genesis, Arc::new(artifacts))))
}

fn folded(booted: Result<Booted, BootError>) -> Finding {
    match booted {
        Ok(booted) => {
            let cut = booted.recovery.cut.map_or(0, |cut| cut.bytes);
            Finding::Log { slots: booted.recovery.slots, cut }
        }
        Err(BootError::Store(StoreError::Busy { .. })) => Finding::LogBusy,
        Err(error) => Finding::LogBad(error),
    }
}

fn socket(home: &Home) -> Option<Finding> {
    let mut sockets = std::fs::read_dir(home.attach()).ok()?.filter_map(Result::ok);
    let left = sockets.next()?.path();
    matches!(Peer::connect(home), Ok(None)).then_some(Finding::Socket(left))
}

fn artifacts(home: &Home) -> Finding {
    let folder = home.artifacts();
    let found = match inventory::inventory(&folder) {
        Ok(found) => found,
        Err(error) => return Finding::ArtifactsBad(error),
    };
    let bytes = found.artifacts.iter().map(|each| each.bytes).sum();
    // Digests are spread evenly: every so many-th of them is a fair sample.
    let step = found.artifacts.len().div_ceil(SAMPLE_FILES).max(1);
    let (mut hashed, mut left, mut damaged) = (0, SAMPLE_BYTES, Vec::new());
    for Stored { digest, bytes, .. } in found.artifacts.iter().copied().step_by(step) {
        let Some(rest) = left.checked_sub(bytes) else { continue };
        (left, hashed) = (rest, hashed + 1);
        match inventory::is_whole(&folder, digest) {
            Ok(true) => {}
            Ok(false) => damaged.push(inventory::path_of(&folder, digest)),
            Err(error) => return Finding::ArtifactsBad(error),
        }
    }
    let strays = found.strays.iter().filter(|stray| stray.kind != StrayKind::Unknown).count();
    let (files, strays) = (found.artifacts.len() as u64, strays as u64);
    Finding::Artifacts { files, bytes, hashed, damaged, strays }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn home(dir: &Path) -> Home {
        let home = Home::find(Some(dir), dir);
        let keys = boot::keys(&home, 1).unwrap();
        boot::boot(&home, keys.client.public(), keys.validator.public()).unwrap();
        home
    }

    #[track_caller]
    fn check(home: &Home, expect: Verdict, is: impl Fn(&Finding) -> bool) {
        let found = examine(home, None);
        let about = found.iter().find(|finding| is(finding));
        assert_eq!(about.map(Finding::verdict), Some(expect), "{found:?}");
    }

    #[test]
    fn a_new_home_is_sound() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        for finding in examine(&home, None) {
            assert_ne!(finding.verdict(), Verdict::Bad, "{finding:?}");
        }
        check(&home, Verdict::Good, |f| matches!(f, Finding::Log { slots: 0, cut: 0 }));
        check(&home, Verdict::Good, |f| matches!(f, Finding::Git(_)));
        check(&home, Verdict::Good, |f| matches!(f, Finding::Artifacts { files: 0, .. }));
    }

    #[test]
    fn what_is_broken_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        let digest = crate::base::canon::Digest::of(b"a");
        let path = inventory::path_of(&home.artifacts(), digest);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"b").unwrap();
        check(&home, Verdict::Bad, |f| matches!(f, Finding::Artifacts { hashed: 1, .. }));
        let key = home.key("worker-1");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        check(&home, Verdict::Bad, |f| matches!(f, Finding::Key(e) if e.name == "worker-1"));
        std::fs::remove_file(home.key("validator")).unwrap();
        check(&home, Verdict::Bad, |f| matches!(f, Finding::KeyGone("validator", _)));
        check(&home, Verdict::Bad, |f| matches!(f, Finding::LogBad(_)));
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        check(&home, Verdict::Good, |f| matches!(f, Finding::Git(true)));
        std::fs::remove_file(dir.path().join(".gitignore")).unwrap();
        check(&home, Verdict::Doubtful, |f| matches!(f, Finding::Git(false)));
    }

    #[test]
    fn a_copy_of_a_log_needs_no_keys_but_the_one_that_pays() {
        let dir = tempfile::tempdir().unwrap();
        let other = home(&dir.path().join("other"));
        let key = |name| keyring::load(&other.key(name)).unwrap().unwrap().public();
        let genesis = boot::embedded_genesis(key("client"), key("validator"), [7; 32]);
        let home = Home::at(&dir.path().join("copy"));
        let artifacts = Artifacts::open(&home.artifacts()).unwrap();
        drop(boot::join(&home, &genesis, Arc::new(artifacts)).unwrap());
        let payer = other.key("client");
        let member = |payer| Some(Membership { genesis: &genesis, payer });
        for payer in [None, Some(payer.as_path())] {
            let found = examine(&home, member(payer));
            let worst = found.iter().map(Finding::verdict).max();
            assert_ne!(worst, Some(Verdict::Bad), "{found:?}");
            let keys = found.iter().filter(|finding| matches!(finding, Finding::Key(_)));
            assert_eq!(keys.count(), usize::from(payer.is_some()));
        }
        // A key that is gone is still found, and so is a log that is another's.
        let found = examine(&home, member(Some(&dir.path().join("gone.pem"))));
        assert!(found.iter().any(|f| matches!(f, Finding::Key(e) if e.key.is_err())), "{found:?}");
        let genesis = boot::embedded_genesis(key("client"), key("validator"), [8; 32]);
        let found = examine(&home, Some(Membership { genesis: &genesis, payer: None }));
        assert!(found.iter().any(|f| matches!(f, Finding::LogBad(_))), "{found:?}");
    }

    #[test]
    fn a_home_that_is_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        let _open = crate::effects::store::Store::open(&home.log()).unwrap();
        check(&home, Verdict::Doubtful, |f| matches!(f, Finding::LogBusy));
    }

    #[test]
    fn where_no_home_is_the_machine_is_examined_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(&dir.path().join("a/b")), dir.path());
        check(&home, Verdict::Doubtful, |f| matches!(f, Finding::NoHome(_)));
        check(&home, Verdict::Good, |f| matches!(f, Finding::Clock(Some(_))));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
