//! What this machine has: cores and memory, as a worker declares them in its bid, what this
//! program has had of it, which program it is, and what else a check-up asks for. Never declares a
//! graphics card that this build cannot compute on.

use crate::base::canon::Digest;
use crate::domain::terms::Equipment;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What the system says there is; memory counts as none where it does not say.
#[must_use]
pub fn equipment() -> Equipment {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gpus = if cfg!(feature = "cuda") { graphics_cards() as u64 } else { 0 };
    let memory = bytes(&text, "MemTotal:").unwrap_or(0);
    let memory = allowed_memory().map_or(memory, |allowed| allowed.min(memory));
    Equipment { cores, memory, gpus }
}

/// How much memory the control group of this process may have, as in a container: the least of
/// those above it. None where nothing is said (cgroups(7)).
fn allowed_memory() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = own.lines().filter_map(group).flat_map(|(root, group, file)| {
        let folders = group.ancestors().map(move |group| {
            let group = group.strip_prefix("/").unwrap_or(group);
            Path::new(root).join(group).join(file)
        });
        folders.collect::<Vec<_>>()
    });
    limits.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// Where a line of `/proc/self/cgroup` has a limit of memory: of version 2, or of the controller
/// of memory of version 1.
fn group(line: &str) -> Option<(&'static str, &Path, &'static str)> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    match controllers {
        "" => Some(("/sys/fs/cgroup", Path::new(group), "memory.max")),
        "memory" => Some(("/sys/fs/cgroup/memory", Path::new(group), "memory.limit_in_bytes")),
        _ => None,
    }
}

/// How many graphics cards of NVIDIA this machine has, by what their driver says.
#[must_use]
pub fn graphics_cards() -> usize {
    std::fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count)
}

/// What makes the kernels and the chain of ticks fast, and whether the processor has it.
#[must_use]
pub fn features() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    return vec![
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
        ("SHA", std::arch::is_x86_feature_detected!("sha")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// How many files this process may have open at once; none where there is no limit.
#[must_use]
pub fn files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The most memory that this program ever had at once, in bytes, where the system counts it.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    bytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The memory that this program has now, without the files that it is made of; 0 where the system
/// does not count it.
#[must_use]
pub fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    bytes(&text, "RssAnon:").unwrap_or(0)
}

/// Seconds that this thread has been on a core, where the system counts them.
#[must_use]
pub fn thread_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9).filter(|seconds| *seconds > 0.0)
}

/// A name for this very program: its version, and the file that it was started from as it was
/// written there. None where the system does not say which that is.
#[must_use]
pub fn program() -> Option<Digest> {
    let file = std::fs::metadata(std::env::current_exe().ok()?).ok()?;
    let version = env!("CARGO_PKG_VERSION");
    let name = (file.size(), file.ino(), file.mtime(), file.mtime_nsec());
    Some(Digest::of(format!("{version} {name:?}").as_bytes()))
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
    fn a_group_says_where_its_limit_of_memory_is() {
        let two = ("/sys/fs/cgroup", Path::new("/a.slice/b"), "memory.max");
        assert_eq!(group("0::/a.slice/b"), Some(two));
        let one = ("/sys/fs/cgroup/memory", Path::new("/docker/7"), "memory.limit_in_bytes");
        assert_eq!(group("9:memory:/docker/7"), Some(one));
        assert_eq!((group("8:cpu,cpuacct:/"), group("nonsense")), (None, None));
    }

    #[test]
    fn this_machine_has_a_core_and_this_program_some_memory() {
        assert!(equipment().cores > 0);
        assert!(peak_memory().is_none_or(|bytes| bytes > 1 << 16));
    }
}
