//! Disks that are full: a file that may not grow, which any user can ask for, and a real file
//! system without room, where one can be mounted. Never ends but in an error that says what to do,
//! and goes on once there is room.

use super::{APPLY, APPLY_OTHER, each, json, judge, site, undisturbed};
use crate::site::{Ran, Site};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a file system has room for, in KiB: more than the whole pipeline needs.
const ROOM_KIB: usize = 4_096;

#[test]
fn r14_a_run_whose_files_may_not_grow_goes_on_once_they_may() {
    let expect = undisturbed(&APPLY_OTHER);
    // Blocks of 512 bytes. What is there already is shorter than what is written.
    let limits: Vec<u32> = (4..120).step_by(4).collect();
    let stopped = std::sync::atomic::AtomicUsize::new(0);
    each(
        &limits,
        |limit| format!("{limit} blocks"),
        |limit| {
            let (site, how) = (site(), format!("{limit} blocks"));
            // A new home is made of files that are longer than that.
            json(&site, &APPLY, &how);
            let apply = site.command(&APPLY_OTHER);
            let mut limited = Command::new("sh");
            // An ignored signal stays ignored: the write fails, and the program has to say why.
            let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
            limited.args(["-c", &script]).arg(apply.get_program()).args(apply.get_args());
            limited
                .current_dir(site.path(""))
                .envs(apply.get_envs().filter_map(|(k, v)| Some((k, v?))));
            limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let ran = Ran::of(limited.spawn().unwrap());
            if ran.code() != Some(0) {
                explained(&ran, &how);
                stopped.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            judge(&site, &APPLY_OTHER, &expect, &how);
        },
    );
    let stopped = stopped.into_inner();
    assert!(stopped > 4 && stopped < limits.len(), "{stopped} of {} were stopped", limits.len());
}

/// The program says what is wrong and what to do, and has not just died.
#[track_caller]
fn explained(ran: &Ran, how: &str) {
    let (code, said) = (ran.code(), ran.err());
    assert_eq!(code, Some(1), "{how}: {said}");
    assert!(said.contains("hint:") && !said.contains("panicked"), "{how}: {said}");
}

/// A file system of its own in a folder, taken away with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn new(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={ROOM_KIB}k");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &size, "ohc-test"]).arg(folder).output();
        match done {
            Ok(done) if done.status.success() => Ok(Self(folder.to_path_buf())),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a process that is being started may hold it for a moment.
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|done| done.success()) || std::thread::panicking());
    }
}

#[test]
fn r14_a_run_on_a_full_disk_goes_on_once_there_is_room() {
    let probe = tempfile::tempdir().unwrap();
    if let Err(why) = Mounted::new(&probe.path().join("disk")).map(drop) {
        eprintln!("left out, for no file system can be mounted here: {why}");
        return;
    }
    let expect = undisturbed(&APPLY);
    let rooms: Vec<usize> = (0..480).step_by(12).collect();
    let stopped = std::sync::atomic::AtomicUsize::new(0);
    each(
        &rooms,
        |room| format!("{room} KiB"),
        |room| {
            let (site, how) = (site(), format!("{room} KiB of room"));
            let home = Mounted::new(&site.path("home")).unwrap();
            let filler = site.path("home/filler");
            fill(&filler, *room);
            let ran = site.run(&APPLY);
            if ran.code() != Some(0) {
                explained(&ran, &how);
                let said = ran.err().to_lowercase();
                assert!(
                    said.contains("no space") && said.contains("hint: free some"),
                    "{how}: {said}"
                );
                stopped.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            fs::remove_file(filler).unwrap();
            judge(&site, &APPLY, &expect, &how);
            drop(home);
        },
    );
    let stopped = stopped.into_inner();
    assert!(stopped > 9 && stopped < rooms.len(), "{stopped} of {} were stopped", rooms.len());
}

/// Leaves so much room, in KiB.
fn fill(filler: &Path, room: usize) {
    fs::write(filler, vec![1; (ROOM_KIB - room) * 1_024]).unwrap();
}

#[test]
fn outputs_that_find_no_room_are_written_once_there_is() {
    let probe = site();
    let out = match Mounted::new(&probe.path("out")) {
        Ok(out) => out,
        Err(why) => {
            eprintln!("left out, for no file system can be mounted here: {why}");
            return;
        }
    };
    let expect = undisturbed(&APPLY);
    let filler = probe.path("out/filler");
    fill(&filler, 4);
    let ran = probe.run(&APPLY);
    explained(&ran, "no room for outputs");
    assert!(!probe.path("out/iris/card.json").exists(), "the card is the sign of a whole output");
    fs::remove_file(filler).unwrap();
    judge_output(&probe, &expect);
    drop(out);
}

fn judge_output(site: &Site, expect: &str) {
    let again = json(site, &APPLY, "room again");
    assert_eq!(again["status"], "unchanged", "the run itself is settled");
    judge(site, &APPLY, expect, "room again");
}
