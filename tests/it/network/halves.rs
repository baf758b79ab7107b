//! Two halves of the world with one link between them, as namespaces of the kernel's network: what
//! runs in one reaches the other over the link alone, and the link can be cut. Addresses and names
//! are theirs alone, so that nothing outside is touched. Where the machine does not let us make
//! them, that is said.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the names of all of them begin with; the process that made them follows.
const PREFIX: &str = "ohc-it-";
/// The link's name in either half.
const LINK: &str = "link0";
/// The ends of the link (addresses for documentation, RFC 5737).
pub(super) const ENDS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

static MADE: AtomicUsize = AtomicUsize::new(0);

/// The two halves. They are gone when this is.
pub(super) struct Halves {
    names: [String; 2],
}

impl Halves {
    /// Makes them, linked. None where that is not allowed, which is said.
    #[expect(clippy::print_stdout, reason = "what is not proved is said")]
    pub(super) fn new() -> Option<Self> {
        sweep();
        let number = MADE.fetch_add(1, Ordering::SeqCst);
        let name = |half| format!("{PREFIX}{}-{number}-{half}", std::process::id());
        let this = Self { names: [name("near"), name("far")] };
        if let Err(why) = this.make() {
            println!("skipped: there are no namespaces of networks to be had here: {why}");
            return None;
        }
        Some(this)
    }

    fn make(&self) -> io::Result<()> {
        let [near, far] = &self.names;
        for name in [near, far] {
            ip(&["netns", "add", name])?;
        }
        let ends = ["link", "add", LINK, "netns", near, "type", "veth", "peer", LINK];
        ip(&[&ends[..], &["netns", far]].concat())?;
        for (name, address) in self.names.iter().zip(ENDS) {
            ip(&["-n", name, "addr", "add", &format!("{address}/30"), "dev", LINK])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "link", "set", LINK, "up"])?;
        }
        Ok(())
    }

    /// From now on nothing gets from one half to the other, and nobody is told so.
    pub(super) fn cut(&self) {
        self.set("down");
    }

    /// The link is there again.
    pub(super) fn heal(&self) {
        self.set("up");
    }

    fn set(&self, how: &str) {
        ip(&["-n", &self.names[0], "link", "set", LINK, how]).unwrap();
    }

    /// A command, to be run in one of them.
    pub(super) fn within(&self, half: usize, command: &Command) -> Command {
        let mut within = Command::new("ip");
        within.args(["netns", "exec", &self.names[half]]);
        within.arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            within.current_dir(folder);
        }
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => within.env(key, value),
                None => within.env_remove(key),
            };
        }
        within
    }
}

impl Drop for Halves {
    fn drop(&mut self) {
        for name in &self.names {
            // It may never have been made. With it goes its end of the link.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// Takes away what a process left behind that was killed.
fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn ip(args: &[&str]) -> io::Result<()> {
    let tried = Command::new("ip").args(args).output();
    let ran = tried.map_err(|error| io::Error::other(format!("`ip` (iproute2): {error}")))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(io::Error::other(format!("`ip {}`: {}", args.join(" "), said.trim())))
}
