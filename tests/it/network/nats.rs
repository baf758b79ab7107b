//! A nats-server of our own, on a free port, that can be killed and started again. Never one that
//! was there before.

use std::net::{TcpListener, TcpStream};
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
    program: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// Starts one; `config` is added to its configuration. None where there is no program.
    pub(crate) fn start(config: &str) -> Option<Self> {
        let program = program()?;
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(
            dir.path().join("nats.conf"),
            format!("host: 127.0.0.1\nport: {port}\n{config}\n"),
        )
        .unwrap();
        let mut this = Self { program, dir, port, child: None };
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
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.dir.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap());
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
