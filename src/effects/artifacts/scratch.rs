//! Scratch: a file of one job beside the artifacts, for what does not fit into memory.
//! Never outlasts who has it open: it has no name as soon as it is there.

use super::{ArtifactError, io_error};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes are written between two looks at the disk.
const LOOK_BYTES: u64 = 64 << 20;
/// So many are left free, or a tenth of a disk that is small.
const RESERVE_BYTES: u64 = 2 << 30;

/// A file without a name.
#[derive(Debug)]
pub struct ScratchFile {
    file: File,
    /// Where it was, for whoever is told that something is wrong with it.
    place: PathBuf,
    bytes: u64,
}

impl ScratchFile {
    /// An empty one in a folder.
    pub(super) fn create(folder: &Path) -> Result<Self, ArtifactError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let place = folder.join(format!("scratch#{}.{number}", std::process::id()));
        let open = || {
            // One that a process of this number left when it was killed.
            match fs::remove_file(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let file = File::options().read(true).write(true).create_new(true).open(&place)?;
            fs::remove_file(&place)?;
            Ok(file)
        };
        let file = open().map_err(io_error("create", &place))?;
        Ok(Self { file, place, bytes: 0 })
    }

    /// Writes behind what was written before; not where that leaves the disk too little for what
    /// else is written on it, such as a log.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        if self.bytes / LOOK_BYTES != (self.bytes + bytes.len() as u64) / LOOK_BYTES {
            let full = || io_error("write", &self.place)(io::ErrorKind::StorageFull.into());
            let disk = rustix::fs::fstatvfs(&self.file)
                .map_err(|error| io_error("look at", &self.place)(io::Error::from(error)))?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let few = RESERVE_BYTES.min(disk.f_blocks.saturating_mul(disk.f_frsize) / 10);
            if free < few + LOOK_BYTES {
                return Err(full());
            }
        }
        let written = self.file.write_all_at(bytes, self.bytes);
        written.map_err(io_error("write", &self.place))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Reads so many bytes from one on; fewer are an error.
    pub fn read(&self, from: u64, into: &mut [u8]) -> Result<(), ArtifactError> {
        self.file.read_exact_at(into, from).map_err(io_error("read", &self.place))
    }

    /// Leaves the first bytes of it alone: for tests of whoever reads it.
    #[cfg(test)]
    pub fn tear(&self, bytes: u64) {
        self.file.set_len(bytes).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_gives_what_was_written_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ScratchFile::create(folder.path()).unwrap();
        let other = ScratchFile::create(folder.path()).unwrap();
        file.append(b"one").unwrap();
        file.append(b"two").unwrap();
        let mut bytes = [0; 4];
        file.read(1, &mut bytes).unwrap();
        assert_eq!(&bytes, b"netw");
        assert!(other.read(0, &mut bytes).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no crash leaves it either");
        // What is torn is said.
        file.tear(4);
        let error = file.read(1, &mut bytes).unwrap_err();
        assert!(matches!(error, ArtifactError::Io { doing: "read", .. }), "{error}");
        assert!(ScratchFile::create(&folder.path().join("none")).is_err());
    }
}
