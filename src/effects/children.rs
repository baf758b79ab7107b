//! Children: programs that this process starts, and ends again. Never reads what they say while
//! they run: it goes into a file each, of which the end is shown when one dies.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// How much of the end of a log is looked at.
const TAIL_BYTES: u64 = 4 * 1024;
/// Lines of it that are shown.
const TAIL_LINES: usize = 5;
/// Processes that are swept away at the most.
const CHILDREN_MAX: usize = 2_048;
/// Looks until one that is swept away is not asked any more, but ended.
const SWEEP_LOOKS: usize = 500;
/// Looks for what a child that was just started was started with; one that has ended has nothing.
const BEGIN_LOOKS: usize = 20;
/// How often a child that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {name} ({}): {source}; hint: check the path and its permissions",
    .program.display())]
pub struct ChildError {
    /// What it is called.
    name: String,
    /// What was to be run.
    program: PathBuf,
    /// What the system says.
    source: io::Error,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it is called.
    pub name: String,
    /// Its exit code or the signal that ended it.
    pub how: String,
    /// The last that it said.
    pub last: Vec<String>,
    /// The file with all of it.
    pub log: PathBuf,
}

/// A program that runs until it is dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a program whose words go into `log`, in a group of its own: a Ctrl-C at the terminal
    /// is for its parent alone.
    pub fn start(
        name: &str,
        program: &Path,
        args: &[&OsStr],
        log: &Path,
    ) -> Result<Self, ChildError> {
        let spawn = || {
            let (out, err) = {
                let file = File::create(log)?;
                (file.try_clone()?, file)
            };
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
            command.spawn()
        };
        let (owned, path) = (name.to_owned(), program.to_owned());
        let process =
            spawn().map_err(|source| ChildError { name: owned.clone(), program: path, source })?;
        Ok(Self { name: owned, process, log: log.to_owned() })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.process.try_wait().ok().flatten()?;
        let (name, log) = (self.name.clone(), self.log.clone());
        Some(Ended { name, how: how(status), last: tail(&log).unwrap_or_default(), log })
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_end(&self) {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        // Where it has ended already there is nobody to ask.
        let _ = id.map(|id| kill_process(id, Signal::TERM));
    }

    /// Waits until it has ended. Whether it has.
    pub fn is_over(&mut self, within: Duration) -> bool {
        let looks = within.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            match self.process.try_wait() {
                Ok(None) => thread::sleep(LOOK_EVERY),
                Ok(Some(_)) | Err(_) => return true,
            }
        }
        false
    }

    /// Waits until it has ended, and ends it if it takes longer. Whether it ended by itself.
    pub fn wait(&mut self, within: Duration) -> bool {
        let is_over = self.is_over(within);
        if !is_over {
            self.kill();
        }
        is_over
    }

    fn kill(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes down which processes these are, for whoever comes after a parent that was killed.
pub fn remember<'a>(path: &Path, children: impl Iterator<Item = &'a Child>) -> io::Result<()> {
    let line = |child: &Child| Some(format!("{} {}\n", child.id(), begun(child.id())?));
    std::fs::write(path, children.filter_map(line).collect::<String>())
}

/// Ends those of the processes that were written down which are still what they were. Their parent
/// is gone: the caller knows.
pub fn sweep(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().take(CHILDREN_MAX).filter_map(|line| line.split_once(' '));
    let known = lines.filter_map(|(id, line)| Some((id.parse::<u32>().ok()?, line)));
    // A number may be another's by now: then it was started with other words.
    let is_same = |(id, line): &(u32, &str)| command_line(*id).as_deref() == Some(*line);
    let left: Vec<(u32, &str)> = known.filter(is_same).collect();
    for (signal, looks) in [(Signal::TERM, SWEEP_LOOKS), (Signal::KILL, SWEEP_LOOKS)] {
        let ids = left.iter().filter(|one| is_same(one));
        let ids = ids.filter_map(|(id, _)| Pid::from_raw(i32::try_from(*id).ok()?));
        // Where it has ended already there is nobody to end.
        ids.for_each(|id| _ = kill_process(id, signal));
        for _ in 0..looks {
            if !left.iter().any(is_same) {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// What a process that was just started was started with. The system lets its parent go on before
/// that can be read.
fn begun(id: u32) -> Option<String> {
    (0..BEGIN_LOOKS).find_map(|_| {
        let line = command_line(id);
        if line.is_none() {
            thread::sleep(LOOK_EVERY);
        }
        line
    })
}

/// What a process was started with, in hex; nothing where the system does not say.
fn command_line(id: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{id}/cmdline")).ok().filter(|b| !b.is_empty())?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".into(),
    }
}

/// The last lines of a file.
fn tail(path: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines.into_iter().skip(from).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &tempfile::TempDir, script: &str) -> Child {
        let args = ["-c".as_ref(), script.as_ref()];
        Child::start("one", Path::new("/bin/sh"), &args, &dir.path().join("log")).unwrap()
    }

    fn end(child: &mut Child) -> Ended {
        for _ in 0..1_000 {
            match child.ended() {
                Some(ended) => return ended,
                None => thread::sleep(LOOK_EVERY),
            }
        }
        panic!("it does not end")
    }

    #[test]
    fn how_a_child_ended_is_told_with_the_last_that_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(&dir, "for n in 1 2 3 4 5 6; do echo $n >&2; done; exit 3");
        let ended = end(&mut child);
        assert_eq!((ended.name.as_str(), ended.how.as_str()), ("one", "exit code 3"));
        assert_eq!(ended.last, ["2", "3", "4", "5", "6"]);
        let mut child = shell(&dir, "kill -KILL $$");
        assert_eq!(end(&mut child).how, "signal 9");
    }

    #[test]
    fn a_child_ends_when_it_is_asked_to_and_is_ended_when_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut willing = shell(&dir, "exec sleep 60");
        assert!(willing.ended().is_none());
        willing.ask_to_end();
        assert!(willing.wait(Duration::from_secs(10)));
        let mut deaf = shell(&dir, "trap '' TERM; while :; do sleep 0.1; done");
        thread::sleep(Duration::from_millis(200));
        deaf.ask_to_end();
        assert!(!deaf.wait(Duration::from_millis(300)));
        assert_eq!(deaf.ended().unwrap().how, "signal 9");
    }

    #[test]
    fn what_a_killed_parent_left_behind_is_ended_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("children");
        let mut ours = shell(&dir, "exec sleep 60");
        let mut other = shell(&dir, "exec sleep 61");
        thread::sleep(Duration::from_millis(100));
        remember(&path, [&ours].into_iter()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (id, line) = text.trim().split_once(' ').unwrap();
        assert_eq!(id, ours.id().to_string());
        // Somebody else has the number of one that was ours.
        std::fs::write(&path, format!("{} {line}\n", other.id())).unwrap();
        sweep(&path);
        assert!(other.ended().is_none());
        std::fs::write(&path, text).unwrap();
        let swept = thread::spawn(move || sweep(&path));
        assert_eq!(end(&mut ours).how, "signal 15");
        swept.join().unwrap();
        sweep(&dir.path().join("none"));
    }

    #[test]
    fn what_cannot_be_started_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let started = Child::start("one", Path::new("/none"), &[], &dir.path().join("log"));
        let said = started.unwrap_err().to_string();
        assert!(said.contains("cannot start one (/none)") && said.contains("; hint: "), "{said}");
    }
}
