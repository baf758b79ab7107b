//! Four validators and three workers under fire: any of them is killed at any time, or comes late,
//! and what comes out is the same to the last byte and the last coin. Never asserts how long
//! anything takes.

use super::lab::Lab;
use super::outages::digests;
use crate::crash::Dice;
use crate::site::{SUPPLY_NANO, Site};
use serde_json::Value;
use std::process::Child;
use std::time::Duration;

const NODES: [&str; 7] = [
    "validator-1",
    "validator-2",
    "validator-3",
    "validator-4",
    "worker-1",
    "worker-2",
    "worker-3",
];

/// Kills of a random storm, unless `OHC_KILLS` says otherwise.
const KILLS: u64 = 60;

fn lab() -> Option<Lab> {
    let mut lab = Lab::start(Site::of_all(), 4, 3)?;
    NODES[4..].iter().for_each(|name| lab.run(name));
    Some(lab)
}

fn restart(lab: &mut Lab, name: &str) {
    lab.kill(name);
    lab.run(name);
}

fn apply(lab: &Lab, manifest: &str) -> Value {
    lab.client(&["apply", manifest, "-y", "-o", "json"]).end(lab)
}

/// Looks until a run has to be over, and those after which it has its peace: on a machine that is
/// busy, nodes that are killed faster than they start get nowhere.
const LOOKS: u64 = 2_000;
const TROUBLED: u64 = 800;

/// Applies a manifest, with trouble until it is over.
fn apply_under(lab: &mut Lab, manifest: &str, mut trouble: impl FnMut(&mut Lab, u64)) -> Value {
    let mut client = lab.client(&["apply", manifest, "-y", "-o", "json"]);
    for round in 0..LOOKS {
        if client.has_ended() {
            return client.end(lab);
        }
        if round < TROUBLED { trouble(lab, round) } else { pause(100) }
    }
    panic!("it does not end: {}\n{}", client.said(), lab.logs());
}

/// What the embedded network makes of a manifest.
fn embedded(lab: &Lab, manifest: &str) -> Vec<String> {
    digests(&lab.site.json(&["apply", manifest, "-y", "-o", "json", "--network", "embedded"]))
}

fn is_whole(lab: &Lab) {
    assert_eq!(lab.all_money(), SUPPLY_NANO);
    let of = |verb: &str| {
        let ran: Child = lab.command(&["log", verb, "-o", "json"]).spawn().unwrap();
        crate::site::Ran::of(ran)
    };
    assert_eq!(of("verify").last()["ok"], true);
    // Nobody has said two things at one height, however often it was killed.
    let shown = of("show").out();
    assert!(shown.contains("\"kind\":\"settled\""), "{shown}");
    assert!(!shown.contains("\"kind\":\"equivocated\""), "{shown}");
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn r10_four_validators_and_three_workers_make_what_one_process_makes() {
    let Some(lab) = lab() else { return };
    for manifest in ["iris.yaml", "digits.yaml"] {
        assert_eq!(digests(&apply(&lab, manifest)), embedded(&lab, manifest));
        assert_eq!(apply(&lab, manifest)["status"], "unchanged");
    }
    is_whole(&lab);
}

#[test]
fn r14_each_node_in_turn_is_killed_and_started_again_while_a_pipeline_runs() {
    let Some(mut lab) = lab() else { return };
    for manifest in ["digits.yaml", "digits-parallel.yaml"] {
        let result = apply_under(&mut lab, manifest, |lab, round| {
            pause(150);
            // Twice each: who is never left alone never finishes anything.
            if let Some(name) = NODES.iter().cycle().take(2 * NODES.len()).nth(round as usize) {
                restart(lab, name);
            }
        });
        assert_eq!(digests(&result), embedded(&lab, manifest));
        assert_eq!(apply(&lab, manifest)["status"], "unchanged");
    }
    is_whole(&lab);
}

#[test]
fn r14_nodes_are_killed_at_random_and_nothing_is_lost_or_doubled() {
    let Some(mut lab) = lab() else { return };
    let kills = std::env::var("OHC_KILLS").ok().and_then(|text| text.parse().ok());
    let mut dice = Dice::thrown("OHC_CRASH_SEED");
    let (seed, mut killed, mut pass) = (dice.0, 0, 0);
    while killed < kills.unwrap_or(KILLS) {
        // Another split each time, so that there is something to run.
        let name = format!("pass-{pass}.yaml");
        lab.site.vary(&name, "seed: 7", &format!("seed: {}", 100 + pass));
        let result = apply_under(&mut lab, &name, |lab, _| {
            pause(20 + dice.below(250));
            restart(lab, NODES[dice.below(NODES.len() as u64) as usize]);
            killed += 1;
        });
        let expected = embedded(&lab, &name);
        assert_eq!(digests(&result), expected, "{name} of OHC_CRASH_SEED={seed}");
        pass += 1;
    }
    is_whole(&lab);
}

#[test]
fn who_comes_late_catches_up_and_takes_part() {
    let Some(mut lab) = Lab::start(Site::of_all(), 4, 2) else { return };
    lab.kill("validator-1");
    lab.run("worker-1");
    assert_eq!(apply(&lab, "iris.yaml")["status"], "settled");
    lab.run("validator-1");
    lab.run("worker-2");
    // Without the late ones there is no quorum now, and no worker.
    lab.kill("worker-1");
    lab.kill("validator-2");
    lab.site.vary("late.yaml", "seed: 7", "seed: 9");
    let result = apply(&lab, "late.yaml");
    assert_eq!(digests(&result), embedded(&lab, "late.yaml"));
    lab.run("validator-2");
    is_whole(&lab);
}
