//! kill -9 at random instants, up to four times in a row before anybody looks or goes on.
//! Never waits for a moment that the program announces: the instants are thrown, and
//! `OHC_CRASH_SEED` throws them again.

use super::{APPLY, Dice, each, json, judge, site, sound, undisturbed};
use crate::site::Site;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many processes are killed while they run.
const KILLS: u64 = 200;
/// A recovery can be killed too.
const KILLS_IN_A_ROW: u64 = 4;
/// So many homes are enough for that, however often a process is done before it is killed.
const HOMES_MAX: u64 = 400;

/// Kills an apply after so long; whether it was still running then.
fn kill_after(site: &Site, wait: Duration) -> bool {
    let mut command = site.command(&APPLY);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(wait);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

/// How long an apply takes, as far as that is known: a machine that has other things to do is
/// slower at one time than at another.
struct Pace(AtomicU64);

impl Pace {
    /// Kills an apply at some instant of it; whether it was still running then.
    fn kill(&self, site: &Site, dice: &mut Dice) -> bool {
        let most = self.0.load(Ordering::SeqCst);
        let running = kill_after(site, Duration::from_micros(dice.below(most)));
        let next = if running { most + most / 64 } else { most - most / 16 };
        self.0.store(next.max(1_000), Ordering::SeqCst);
        running
    }
}

#[test]
fn r14_a_process_that_is_killed_at_any_instant_loses_nothing() {
    let seed = Dice::thrown("OHC_CRASH_SEED").0;
    let clock = ohc::effects::clock::Clock::start();
    let expect = undisturbed(&APPLY);
    let pace = Pace(AtomicU64::new((clock.seconds() * 1e6) as u64));
    let killed = AtomicU64::new(0);
    let name = |home: &u64| format!("home {home} of OHC_CRASH_SEED={seed}");
    let homes: Vec<u64> = (0..HOMES_MAX).collect();
    each(&homes, name, |home| {
        if killed.load(Ordering::SeqCst) >= KILLS {
            return;
        }
        let (site, how, mut dice) = (site(), name(home), Dice(seed ^ home));
        let is_watched = dice.below(2) == 0;
        for _ in 0..=dice.below(KILLS_IN_A_ROW) {
            if !pace.kill(&site, &mut dice) {
                break;
            }
            killed.fetch_add(1, Ordering::SeqCst);
            if is_watched && site.path("home/log/db/version").exists() {
                sound(&site, &how);
            }
        }
        judge(&site, &APPLY, &expect, &how);
        let runs = json(&site, &["get", "runs", "-o", "json"], &how);
        assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{how}: one run");
        if home % 8 == 0 {
            uploads_are_found(&site, &how);
        }
    });
    let killed = killed.into_inner();
    assert!(killed >= KILLS, "{killed} of {KILLS} processes were killed: seed {seed}");
}

/// What was being written into the store of artifacts when a process died is found and deleted.
fn uploads_are_found(site: &Site, how: &str) {
    let shelves = fs::read_dir(site.path("home/artifacts")).unwrap();
    let shelves: Vec<_> = shelves.map(|shelf| shelf.unwrap().path()).collect();
    let torn = || {
        let files = shelves.iter().flat_map(|shelf| fs::read_dir(shelf).into_iter().flatten());
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.to_str().unwrap().contains('#')).collect::<Vec<_>>()
    };
    for path in torn() {
        let file = fs::File::options().write(true).open(path).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - Duration::from_secs(3_600)).unwrap();
    }
    json(site, &["gc", "--yes", "-o", "json"], how);
    assert_eq!(torn(), Vec::<std::path::PathBuf>::new(), "{how}");
}
