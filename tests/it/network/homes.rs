//! Homes of validators: one that was lost, and one of another. Never asserts how long anything
//! takes.

use super::lab::Lab;
use super::outages::digests;
use crate::site::{Ran, Site};
use std::fs;
use std::time::Duration;

/// Waits until a file is there.
fn until_there(lab: &Lab, path: &std::path::Path) {
    for _ in 0..1_200 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never {}: {}", path.display(), lab.logs());
}

#[test]
fn r6_a_validator_that_lost_its_home_votes_about_nothing_that_it_may_have_voted_about() {
    let Some(mut lab) = Lab::start(Site::of_all(), 4, 1) else { return };
    lab.run("worker-1");
    let apply = |lab: &Lab, file: &str| lab.client(&["apply", file, "-y", "-o", "json"]).end(lab);
    let first = apply(&lab, "iris.yaml");
    lab.kill("validator-3");
    let home = lab.folder.join("validator-3/home");
    fs::remove_dir_all(&home).unwrap();
    lab.run("validator-3");
    // Others make the slots that it waits for.
    lab.site.vary("more.yaml", "seed: 7", "seed: 8");
    apply(&lab, "more.yaml");
    until_there(&lab, &home.join("voter"));
    let said = fs::read_to_string(lab.folder.join("validator-3/log")).unwrap();
    assert!(said.contains("silent   a new home") && said.contains("it votes from slot"), "{said}");
    // From then on it counts: without it there would be no quorum.
    lab.kill("validator-4");
    lab.site.vary("late.yaml", "seed: 7", "seed: 9");
    let last = apply(&lab, "late.yaml");
    assert_eq!(digests(&last).len(), digests(&first).len());
    let shown = Ran::of(lab.command(&["log", "show", "-o", "json"]).spawn().unwrap()).out();
    assert!(!shown.contains("\"kind\":\"equivocated\""), "{shown}");
}

#[test]
fn r6_nobody_votes_from_the_home_of_another() {
    let Some(mut lab) = Lab::start(Site::of_all(), 4, 0) else { return };
    lab.kill("validator-1");
    lab.kill("validator-2");
    let config = lab.folder.join("validator-1/config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("home: home/", "home: ../validator-2/home/")).unwrap();
    let folder = lab.folder.join("validator-1");
    let ran =
        Ran::of(lab.command(&["validator", "--config", folder.to_str().unwrap()]).spawn().unwrap());
    assert_ne!(ran.code(), Some(0));
    assert!(ran.err().contains("holds the votes of"), "{}", ran.err());
}
