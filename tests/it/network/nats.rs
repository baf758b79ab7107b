//! A nats-server of our own, on a free port, that can be killed and started again. Never one that
//! was there before.

use super::halves::{ENDS, Halves};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program: the one that `OHC_NATS_SERVER` names, or the one on the PATH. None is said.
#[expect(clippy::print_stdout, reason = "what is not proved is said")]
pub(crate) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("OHC_NATS_SERVER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut on_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let found = named.or_else(|| on_path.find(|program| program.is_file()));
    if found.is_none() {
        println!("skipped: there is no nats-server; `tests/peers/nats` installs one");
    }
    found
}

/// A running nats-server.
pub(crate) struct Nats {
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
    command: Command,
}

impl Nats {
    /// Starts one; `config` is added to its configuration. None where there is no program.
    pub(crate) fn start(config: &str) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_on(port, config, |command| command)
    }

    /// Starts one in a half of the world, at its usual port. It speaks with the one in the other
    /// half, and notices within so many seconds if it does not hear it any more.
    pub(super) fn start_in(
        halves: &Halves,
        half: usize,
        config: &str,
        notice: u64,
    ) -> Option<Self> {
        let (own, other) = (ENDS[half], ENDS[1 - half]);
        let cluster = format!(
            "ping_interval: \"{notice}s\"\nping_max: 1\ncluster {{ name: lab, listen: \
             \"{own}:6222\", routes: [\"nats-route://{other}:6222\"], no_advertise: true }}\n\
             {config}"
        );
        Self::start_on(4222, &cluster, |command| halves.within(half, &command))
    }

    fn start_on(port: u16, config: &str, place: impl FnOnce(Command) -> Command) -> Option<Self> {
        let mut command = Command::new(program()?);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nats.conf");
        let text = format!("host: 127.0.0.1\nport: {port}\n{config}\n");
        std::fs::write(&file, text).unwrap();
        command.arg("-c").arg(file);
        let mut command = place(command);
        command.stdout(Stdio::null());
        let mut this = Self { dir, port, child: None, command };
        this.restart();
        Some(this)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = self.dir.path().join("log");
        self.command.stderr(std::fs::File::create(&log).unwrap());
        self.child = Some(self.command.spawn().unwrap());
        let said = || std::fs::read_to_string(&log).unwrap();
        for _ in 0..500 {
            if said().contains("Server is ready") {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{}", said());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}
