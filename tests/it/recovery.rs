//! kill -9 at any instant: the next apply goes on from the log, and no coin and no result is lost.
//! Never waits for a moment that the program announces: the instants are random.

use crate::site::{SUPPLY_NANO, Site};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

const APPLY: [&str; 4] = ["apply", "slow.yaml", "-o", "json"];

fn site() -> Site {
    let site = Site::new();
    // Slow enough to be killed in the middle of a training.
    site.vary("slow.yaml", "default: 60", "default: 600");
    site
}

/// The settled blocks of all runs, with everything that is known of them.
fn settled(site: &Site) -> BTreeMap<String, Value> {
    let blocks = site.json(&["get", "blocks", "-o", "json"]);
    let settled = blocks["items"].as_array().unwrap().iter().filter(|b| b["phase"] == "settled");
    settled.map(|b| (b["block"].as_str().unwrap().to_owned(), b.clone())).collect()
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
fn r14_a_killed_apply_goes_on_from_the_log_and_loses_nothing() {
    let undisturbed = site();
    let clock = ohc::effects::clock::Clock::start();
    let expect = undisturbed.json(&APPLY)["outputs"]["model"]["digest"].clone();
    let whole = Duration::from_secs_f64(clock.seconds());

    // Instants in no order, from 32 random bytes: every test run tries others.
    let seed = ohc::effects::clock::fresh_seed();
    let (mut kills, mut in_the_middle) = (0, 0);
    let mut instants = seed.iter().map(|byte| whole * u32::from(*byte) / 256);
    while kills < 20 {
        let site = site();
        // Up to three kills of one history: a recovery can be killed too.
        for wait in instants.by_ref().take(3) {
            kills += 1;
            if !kill_after(&site, wait) || !site.path("home/log/db/version").exists() {
                continue;
            }
            in_the_middle += 1;
            assert_eq!(
                site.json(&["log", "verify", "-o", "json"])["ok"],
                true,
                "{wait:?} {seed:?}"
            );
            assert_eq!(site.all_money(), SUPPLY_NANO, "{wait:?} of {seed:?}");
        }
        let before = if site.path("home/log/db/version").exists() {
            settled(&site)
        } else {
            BTreeMap::new()
        };
        let result = site.json(&APPLY);
        assert_eq!(result["outputs"]["model"]["digest"], expect, "{seed:?}");
        let after = settled(&site);
        for (block, known) in before {
            assert_eq!(after.get(&block), Some(&known), "settled blocks are not run again");
        }
        let runs = site.json(&["get", "runs", "-o", "json"]);
        assert_eq!(runs["items"].as_array().unwrap().len(), 1, "one run, however often killed");
        assert_eq!(site.all_money(), SUPPLY_NANO, "{seed:?}");
        assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true, "{seed:?}");
    }
    assert!(in_the_middle > 0, "every kill came too late: {seed:?} of {whole:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_gracefully_and_the_next_apply_goes_on() {
    let site = site();
    site.vary("slow.yaml", "default: 60", "default: 60000");
    let mut command = site.command(&["apply", "slow.yaml", "--budget", "9000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once a block is settled the run is well under way, and far from its end.
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(out);
    assert!(lines.any(|line| line.unwrap().starts_with("settled  run-1/0")));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    // The pipe stays open while it stops: a closed one would be another way to end.
    lines.for_each(drop);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted") && said.contains("apply again to go on"), "{said}");
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"][0]["status"], "running");
    let workers = site.json(&["get", "workers", "-o", "json"]);
    let items = workers["items"].as_array().unwrap();
    assert!(items.iter().all(|worker| worker["ask"].is_null()), "bids are taken back: {workers}");
}
