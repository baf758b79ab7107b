//! States that the log commits to, for who comes late: over a real server, from real validators
//! and from those who lie, and where the slots before are nowhere any more. Never a mock of what is
//! tested: only the liars are ours.

use super::follow::{Scene, replica};
use super::history::{CLIENT, History, key};
use super::lab::Lab;
use super::outages::digests;
use crate::site::{Ran, SUPPLY_NANO, Site};
use ohc::base::time::Height;
use ohc::domain::genesis::Params;
use ohc::domain::milestone::Parts;
use ohc::effects::artifacts::Artifacts;
use ohc::effects::bus::Subscription;
use ohc::effects::store::Store;
use ohc::node::boot;
use ohc::node::follow::{Follower, Replica};
use ohc::node::handouts::{Handout, Handouts};
use ohc::node::home::Home;
use ohc::node::serve::{Log, Server};
use ohc::node::verify;
use ohc::node::wire::{Answer, Ask};
use std::fs;
use std::path::Path;
use std::sync::Arc;

const QUORUM: [u8; 3] = [1, 2, 3];
const SLOTS: usize = 1_400;
/// The last slot of them that commits to a state.
const COMMITTED: u64 = 1_342;

/// A history that commits to a state every 61 slots.
fn history() -> History {
    let mut genesis = History::new(4, 0).genesis;
    genesis.params = Params { snapshot_events: 1_270, ..genesis.params };
    let mut history = History::of(genesis, Default::default());
    history.grow(SLOTS, &QUORUM);
    history
}

/// A home that has taken a history in as a validator does, and keeps so many slots of it.
pub(super) fn keep(dir: &Path, history: &History, retained: Option<u64>) -> Home {
    let home = Home::at(dir);
    let artifacts = Arc::new(Artifacts::open(&home.artifacts()).unwrap());
    let mut replica = Replica::new(boot::join(&home, &history.genesis, artifacts).unwrap());
    replica.hand_out(retained);
    let (first, rest) = history.slots.split_at(history.slots.len() / 2);
    for slots in [first, rest] {
        assert_eq!(replica.take(slots, &mut |_, _, _| {}).unwrap(), slots.len());
    }
    home
}

/// A validator that serves a home.
fn serve(scene: &Scene, history: &History, n: u8, home: &Home) -> Server {
    let store = Arc::new(Store::open(&home.log()).unwrap().0);
    let log = Log::new(store, history.genesis.clone(), Arc::new(key(n)), Handouts::of(home));
    Server::start(&scene.bus(None), log).unwrap()
}

/// Validators that have a handout, and give wrong parts of it.
fn liars(scene: &Scene, history: &History, who: &[u8], home: &Home) -> Vec<Subscription> {
    let lie = |n: &u8| {
        let handout: Handout = Handouts::of(home).newest().unwrap();
        let n = *n;
        let answer = move |ask| match ask {
            Ask::Snapshot => Answer::Snapshot {
                milestone: Box::new(handout.milestone.clone()),
                parts: match n {
                    3 => Parts::of(b"another state"),
                    _ => handout.parts.clone(),
                },
            },
            Ask::Part { part, .. } => {
                let mut bytes = handout.part(part).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                Answer::Part(bytes)
            }
            Ask::Slots { .. } => {
                Answer::Pruned { first: Height(1_400), snapshot: handout.height() }
            }
            _ => Answer::Nothing,
        };
        scene.lie_to_all(&history.genesis, n, 1_400, answer)
    };
    who.iter().map(lie).collect()
}

#[test]
fn who_comes_late_goes_on_from_a_state_though_all_slots_before_are_pruned() {
    let Some(scene) = Scene::new() else { return };
    let history = history();
    let homes: Vec<Home> =
        (1..=4).map(|n| keep(&scene.dir.path().join(format!("v{n}")), &history, Some(9))).collect();
    let servers: Vec<_> =
        (1..).zip(&homes).map(|(n, home)| serve(&scene, &history, n, home)).collect();
    let mut reader = scene.follow(&history.genesis, "late");
    reader.until(Follower::is_current);
    assert_eq!(reader.follower.replica().parent(), history.parent);
    assert_eq!(reader.follower.state().snapshot(), history.state.snapshot());
    let base = reader.follower.replica().store().base();
    assert_eq!(base, Height(COMMITTED));
    drop(reader);
    drop(servers);
    // A start is from its own copy, and what is there can be verified from the genesis.
    let dir = scene.dir.path().join("late");
    let again = replica(&dir, &history.genesis);
    assert_eq!(again.parent(), history.parent);
    drop(again);
    for home in [&Home::at(&dir), &homes[0]] {
        let verdict = verify::home(home, None, 2).unwrap();
        assert_eq!(verdict.first_fault, None);
        assert_eq!(verdict.base.0 + verdict.slots, SLOTS as u64);
        assert_eq!(verdict.base, Height(COMMITTED));
    }
    // Who changes a byte of the state is found out.
    let file = dir.join("handouts").join(base.to_string());
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let verdict = verify::home(&Home::at(&dir), None, 2).unwrap();
    assert!(verdict.first_fault.unwrap().what.contains("the state to begin with"));
}

#[test]
fn r7_who_hands_on_a_wrong_state_is_found_out_and_another_is_asked() {
    let Some(scene) = Scene::new() else { return };
    let history = history();
    let home = keep(&scene.dir.path().join("v1"), &history, Some(9));
    let _liars = liars(&scene, &history, &[2, 3, 4], &home);
    let _server = serve(&scene, &history, 1, &home);
    let mut reader = scene.follow(&history.genesis, "late");
    reader.until(|follower| follower.state().height() == Height(SLOTS as u64));
    assert_eq!(reader.follower.state().snapshot(), history.state.snapshot());
}

#[test]
fn r7_where_all_lie_nothing_is_believed() {
    let Some(scene) = Scene::new() else { return };
    let history = history();
    let home = keep(&scene.dir.path().join("v1"), &history, Some(9));
    let _liars = liars(&scene, &history, &[2, 3, 4], &home);
    let mut reader = scene.follow(&history.genesis, "late");
    let (begin, clock) = (scene.clock.now(), scene.clock);
    reader.until(|_| clock.now().since(begin) > 3_000);
    assert_eq!(reader.follower.state().height(), Height(0));
}

#[test]
fn who_was_away_while_the_log_was_pruned_gives_its_copy_up() {
    let Some(scene) = Scene::new() else { return };
    let history = history();
    let home = keep(&scene.dir.path().join("v1"), &history, Some(9));
    let _server = serve(&scene, &history, 1, &home);
    let dir = scene.dir.path().join("late");
    let mut copy = replica(&dir, &history.genesis);
    copy.take(&history.slots[..700], &mut |_, _, _| {}).unwrap();
    drop(copy);
    let mut reader = scene.follow(&history.genesis, "late");
    reader.until(|follower| follower.state().height() == Height(SLOTS as u64));
    assert!(reader.follower.replica().store().base() > Height(700));
    assert_eq!(reader.follower.replica().parent(), history.parent);
}

#[test]
fn a_network_that_has_pruned_its_log_is_joined_by_workers_clients_and_validators() {
    let Some(mut lab) = Lab::found(Site::new(), 4, 1, ("store/", Vec::new())) else { return };
    let names: Vec<String> = (1..=4).map(|n| format!("validator-{n}")).collect();
    let mut keys: std::collections::BTreeMap<u8, _> =
        (1..).zip(&names).map(|(n, name)| (n, Arc::new(lab.key(name)))).collect();
    keys.insert(CLIENT, Arc::new(lab.key("client")));
    let mut history = History::of(lab.network().genesis, keys);
    history.grow(3_200, &QUORUM);
    for name in &names[..3] {
        let folder = lab.folder.join(name);
        let config = folder.join("config.yaml");
        let text = fs::read_to_string(&config).unwrap() + "retainSlots: 50\n";
        fs::write(config, text).unwrap();
        keep(&folder.join("home"), &history, Some(50));
        lab.run(name);
    }
    // The fourth validator comes as late as the worker and the client.
    lab.run("validator-4");
    lab.run("worker-1");
    let result = lab.client(&["apply", "iris.yaml", "-y", "-o", "json"]).end(&lab);
    let embedded = ["apply", "iris.yaml", "-y", "-o", "json", "--network", "embedded"];
    assert_eq!(digests(&result), digests(&lab.site.json(&embedded)));
    let run = |lab: &Lab, args: &[&str]| {
        let ran = Ran::of(lab.command(args).spawn().unwrap());
        assert_eq!(ran.code(), Some(0), "{args:?}: {}", ran.err());
        ran.out()
    };
    let verdict: serde_json::Value =
        serde_json::from_str(&run(&lab, &["log", "verify", "-o", "json"])).unwrap();
    assert!(verdict["ok"] == true && verdict["base"].as_u64() > Some(2_700), "{verdict}");
    let block = format!("{}/0", result["run"].as_str().unwrap());
    let why = run(&lab, &["why", &block]);
    assert!(why.contains("settled") && why.contains("the log begins after slot"), "{why}");
    assert!(run(&lab, &["ledger"]).contains("the log begins after slot"));
    assert_eq!(lab.all_money(), SUPPLY_NANO);
    // The late one takes part: without it two of three others are not enough.
    lab.kill("validator-1");
    run(&lab, &["wallet", "transfer", "worker-1", "1.5", "-y"]);
}
