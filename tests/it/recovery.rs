//! Stopping on purpose: Ctrl-C ends an apply in order, and the next one goes on. Never waits for a
//! moment that the program does not announce.

use crate::site::Site;
use std::process::Stdio;

fn site() -> Site {
    let site = Site::new();
    site.vary("slow.yaml", "default: 60", "default: 600");
    site
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
