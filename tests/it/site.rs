//! A folder with a pipeline and a home, and the program run in it. Never touches another folder.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A temporary folder with example manifests and their data.
pub(crate) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::copy(manifests.join("data/iris.csv"), dir.path().join("data/iris.csv")).unwrap();
        fs::copy(manifests.join("iris.yaml"), dir.path().join("iris.yaml")).unwrap();
        Self { dir }
    }

    /// All the manifests of the project, with all their data.
    pub(crate) fn of_all() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests"), dir.path());
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The iris manifest with a part of it replaced, as `name`.
    pub(crate) fn vary(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("iris.yaml")).unwrap();
        assert!(text.contains(from), "{from:?} is not in the manifest");
        self.write(name, &text.replace(from, to));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ohc"));
        command.args(args).current_dir(self.dir.path());
        command.env_remove("OHC_HOME").env("OHC_HOME", self.path("home")).env("NO_COLOR", "1");
        command.env("NO_PROXY", "127.0.0.1").env_remove("no_proxy");
        // Whatever network is meant where the tests run, they mean the one in their folder.
        command.env("OHC_CONFIG", self.path("config.yaml")).env_remove("OHC_NETWORK");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran(self.command(args).output().unwrap())
    }

    /// Starts the program and gives it back while it runs.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Starts an apply that takes long (`slow.yaml`), and waits until its run is under way.
    #[track_caller]
    pub(crate) fn spawn_slow(&self, more: &[&str]) -> Child {
        self.under_way(self.slow(more).spawn().unwrap())
    }

    /// An apply that takes long.
    pub(crate) fn slow(&self, more: &[&str]) -> Command {
        self.vary("slow.yaml", "default: 60", "default: 20000");
        let apply = ["apply", "slow.yaml", "-o", "json", "--budget", "60"];
        let mut command = self.command(&[&apply, more].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Waits until a run is under way.
    #[track_caller]
    pub(crate) fn under_way(&self, mut child: Child) -> Child {
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(50));
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("{ended}: {}", Ran::of(child).err());
            }
            let blocks = self.run(&["get", "blocks", "-o", "json"]);
            if blocks.code() == Some(0) && blocks.out().contains("\"phase\":\"leased\"") {
                return child;
            }
        }
        panic!("the run does not begin")
    }

    /// Runs the program, which must succeed, and reads the last line that it writes.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!(ran.code(), Some(0), "{args:?}: {}{}", ran.out(), ran.err());
        ran.last()
    }

    /// The amounts of all accounts, with what belongs to nobody, in nano-OhC.
    #[track_caller]
    pub(crate) fn all_money(&self) -> u128 {
        let accounts = self.json(&["get", "accounts", "-o", "json"]);
        let parts = ["balance", "escrow", "bond", "stake"];
        let items = accounts["items"].as_array().unwrap();
        let held = items.iter().flat_map(|item| parts.iter().map(move |part| &item[*part]));
        held.chain([&accounts["treasury"], &accounts["burned"]]).map(nano).sum()
    }
}

/// A script of `tests/peers`, to be run by their Python, which is made first.
pub(crate) fn python(script: &str) -> Command {
    python_with(&[], script)
}

/// The same with what else it requires: `wire` stands for `wire.txt`.
pub(crate) fn python_with(more: &[&str], script: &str) -> Command {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let made = Command::new(peers.join("venv")).args(more).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = Command::new(String::from_utf8(made.stdout).unwrap().trim());
    command.arg(peers.join(script));
    command
}

/// What the program did.
pub(crate) struct Ran(Output);

impl Ran {
    /// What a program did, once it has ended.
    pub(crate) fn of(child: Child) -> Self {
        Self(child.wait_with_output().unwrap())
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// What ended it, if it was a signal.
    pub(crate) fn signal(&self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.0.status)
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn last(&self) -> Value {
        let out = self.out();
        let line = out.lines().last().unwrap_or_else(|| panic!("no output; {}", self.err()));
        serde_json::from_str(line).unwrap()
    }
}

/// All the OhC there are, in nano-OhC.
pub(crate) const SUPPLY_NANO: u128 = 72_492_272_000_000_000;

/// A decimal amount in nano-OhC. Shares no code with the program.
#[track_caller]
pub(crate) fn nano(amount: &Value) -> u128 {
    let text = amount.as_str().unwrap_or_else(|| panic!("{amount} is not an amount"));
    let (whole, fraction) = text.split_once('.').unwrap();
    let fraction: u128 = format!("{fraction:0<9}").parse().unwrap();
    whole.parse::<u128>().unwrap() * 1_000_000_000 + fraction
}

/// Copies what is below a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
