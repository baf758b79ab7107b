//! Disks: how much room there is in a folder, and whether what is written there lasts.
//! Never leaves behind what it writes to find out.

use super::{Peril, pass};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What a folder's file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user may still write.
    pub free: u64,
    /// All bytes.
    pub total: u64,
}

/// The name of a file that is written to see whether it lasts, without the process that does.
const PROBE_NAME: &str = ".ohc-probe-";
/// Bytes that are written to see whether they last.
const PROBE: [u8; 4096] = [0x5a; 4096];

/// How much room there is.
pub fn room(folder: &Path) -> io::Result<Room> {
    let about = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
    Ok(Room { free: bytes(about.f_bavail), total: bytes(about.f_blocks) })
}

/// Writes a file into a folder, makes it and its name durable, reads it back and removes it. Gives
/// the time that the file system says it was written at, in milliseconds since 1970.
pub fn write_through(folder: &Path) -> io::Result<u64> {
    sweep(folder);
    let path: PathBuf = folder.join(format!("{PROBE_NAME}{}", std::process::id()));
    let written = write_and_read(folder, &path);
    pass(Peril::DiskProbed);
    let removed = fs::remove_file(&path);
    let ms = written?;
    removed.map(|()| ms)
}

/// Removes the probes of processes that are no more.
fn sweep(folder: &Path) {
    for path in fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let process = name.strip_prefix(PROBE_NAME).and_then(|id| id.parse().ok());
        let is_gone = process.and_then(Pid::from_raw).is_some_and(
            |process| matches!(test_kill_process(process), Err(error) if error == Errno::SRCH),
        );
        if is_gone {
            // One that stays takes up a page, no more.
            let _ = fs::remove_file(&path);
        }
    }
}

fn write_and_read(folder: &Path, path: &Path) -> io::Result<u64> {
    let mut file = File::create_new(path)?;
    file.write_all(&PROBE)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    let modified = file.metadata()?.modified()?;
    let mut read = Vec::new();
    File::open(path)?.read_to_end(&mut read)?;
    if read != PROBE {
        return Err(io::Error::other("what was written reads back as something else"));
    }
    let since = modified.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    u64::try_from(since.as_millis()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room_and_keeps_nothing_of_the_probe() {
        let dir = tempfile::tempdir().unwrap();
        let room = room(dir.path()).unwrap();
        assert!(room.total > 0 && room.free <= room.total);
        // Some day in this century.
        assert!(write_through(dir.path()).unwrap() > 1_500_000_000_000);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert!(room(&none).is_err() && write_through(&none).is_err());
    }
}
