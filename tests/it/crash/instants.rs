//! kill -9 at random instants, up to four times in a row before anybody looks or goes on.
//! Never waits for a moment that the program announces: the instants are thrown, and
//! `OHC_CRASH_SEED` throws them again.

use super::{APPLY, Dice, each, json, judge, site, sound, undisturbed};
use crate::site::Site;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const KILLS: usize = 200;
/// A recovery can be killed too.
const KILLS_IN_A_ROW: u64 = 4;

/// One home, and after how long each of its processes is killed.
struct Life {
    nth: usize,
    waits: Vec<Duration>,
    /// Whether somebody looks between the kills.
    is_watched: bool,
}

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

#[test]
fn r14_a_process_that_is_killed_at_any_instant_loses_nothing() {
    let mut dice = Dice::thrown("OHC_CRASH_SEED");
    let seed = dice.0;
    let clock = ohc::effects::clock::Clock::start();
    let expect = undisturbed(&APPLY);
    // Several at a time take longer than one.
    let most = Duration::from_secs_f64(clock.seconds()) * 3 / 2;
    let (mut lives, mut kills) = (Vec::new(), 0);
    while kills < KILLS {
        let row = (1 + dice.below(KILLS_IN_A_ROW) as usize).min(KILLS - kills);
        kills += row;
        let wait = |dice: &mut Dice| most.mul_f64(dice.below(1_000) as f64 / 1_000.0);
        let waits = (0..row).map(|_| wait(&mut dice)).collect();
        lives.push(Life { nth: lives.len(), waits, is_watched: dice.below(2) == 0 });
    }
    let in_time = AtomicUsize::new(0);
    let name =
        |life: &Life| format!("home {} of OHC_CRASH_SEED={seed}: {:?}", life.nth, life.waits);
    each(&lives, name, |life| {
        let (site, how) = (site(), name(life));
        for wait in &life.waits {
            let running = kill_after(&site, *wait);
            in_time.fetch_add(usize::from(running), Ordering::SeqCst);
            if life.is_watched && site.path("home/log/db/version").exists() {
                sound(&site, &how);
            }
        }
        judge(&site, &APPLY, &expect, &how);
        let runs = json(&site, &["get", "runs", "-o", "json"], &how);
        assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{how}: one run");
        if life.nth % 8 == 0 {
            uploads_are_found(&site, &how);
        }
    });
    let in_time = in_time.into_inner();
    assert!(in_time * 4 > KILLS, "{in_time} of {KILLS} kills came in time: seed {seed}");
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
