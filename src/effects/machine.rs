//! What this machine has: cores and memory, as a worker declares them in its bid, free disk, and
//! what this program has had of it. Never finds graphics cards: no kernel here uses one.

use crate::domain::terms::Equipment;

/// What the system says there is; memory counts as none where it does not say.
#[must_use]
pub fn equipment() -> Equipment {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Equipment { cores, memory: bytes(&text, "MemTotal:").unwrap_or(0), gpus: 0 }
}

/// The bytes that may still be written below a folder, where the system says.
#[must_use]
pub fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

/// The most memory that this program ever had at once, in bytes, where the system counts it.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    bytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The amount in a line such as `MemTotal:  24576 kB`, in bytes.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemFree: 1 kB\nMemTotal:       24576 kB\n";
        assert_eq!(bytes(text, "MemTotal:"), Some(24_576 * 1024));
        assert_eq!(bytes("MemTotal: much", "MemTotal:"), None);
    }

    #[test]
    fn a_disk_has_room_and_a_folder_that_is_not_there_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).is_some_and(|bytes| bytes > 0));
        assert_eq!(free_bytes(&dir.path().join("none")), None);
    }

    #[test]
    fn this_machine_has_a_core_and_this_program_some_memory() {
        assert!(equipment().cores > 0);
        assert!(peak_memory().is_none_or(|bytes| bytes > 1 << 16));
    }
}
