//! One process runs, others look and speak: what they see is the log of the first, and what they
//! ask for is done there. Never waits for a moment that nobody announces.

use crate::site::{Ran, SUPPLY_NANO, Site};
use std::os::unix::fs::PermissionsExt;

#[test]
fn everything_can_be_read_while_an_apply_runs() {
    let site = Site::new();
    let mut apply = site.spawn_slow(&[]);
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"][0]["status"], "running", "{runs}");
    assert_eq!(site.all_money(), SUPPLY_NANO);
    let balance = site.json(&["wallet", "balance", "-o", "json"]);
    assert_ne!(balance["escrow"], "0.00", "{balance}");
    let plan = site.json(&["plan", "slow.yaml", "-o", "json"]);
    assert_eq!(plan["changes"], true);
    let slots = site.run(&["log", "show", "-o", "json"]);
    assert_eq!(slots.code(), Some(0), "{}", slots.err());
    assert!(slots.out().contains("\"submitted\""), "{}", slots.out());
    let refused = site.run(&["apply", "iris.yaml"]);
    assert_eq!(refused.code(), Some(1));
    assert!(refused.err().contains("it runs run-1 (iris)"), "{}", refused.err());
    let socket = site.path("home/attach/ohc.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    apply.kill().unwrap();
    apply.wait().unwrap();
    assert!(socket.exists(), "a killed process leaves its socket");
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"][0]["status"], "running", "its run is still open: {runs}");
}

#[test]
fn a_process_that_speaks_nonsense_does_not_hurt_a_run() {
    use std::io::{Read, Write};
    let site = Site::new();
    let apply = site.spawn(&["apply", "iris.yaml", "-o", "json"]);
    let socket = site.path("home/attach/ohc.sock");
    let mut spoken = 0;
    for round in 0u32..2_000 {
        let Ok(mut line) = std::os::unix::net::UnixStream::connect(&socket) else {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        };
        spoken += 1;
        // A line may end at any time: by its other side, or with the run.
        let _ = match round % 3 {
            0 => line.write_all(&[0xff; 64]),
            1 => line.write_all(&[3, 0, 0, 0, 1, 0, 9]),
            _ => line.write_all(&round.to_le_bytes()),
        };
        line.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        let _ = line.read(&mut [0; 16]);
    }
    let ran = Ran::of(apply);
    assert_eq!((ran.code(), ran.last()["status"].clone()), (Some(0), "settled".into()));
    assert!(spoken > 10, "the run was over too soon");
    assert_eq!(site.all_money(), SUPPLY_NANO);
}
