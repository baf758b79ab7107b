//! A network's files: what is founded is read back, and what is not right is told at its place.
//! Never connects to anything.

use super::*;
use crate::base::amount::{Ohc, Price, SUPPLY};
use crate::effects::keyring;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn founding(out: &Path) -> Founding {
    Founding {
        out: out.to_owned(),
        name: "lab".into(),
        validators: 4,
        workers: 2,
        nats: vec!["nats://127.0.0.1:4222".into()],
        store: "store/".into(),
    }
}

fn lab(dir: &tempfile::TempDir) -> Founded {
    found(&founding(&dir.path().join("lab"))).unwrap()
}

fn around(dir: &tempfile::TempDir) -> Surroundings {
    let (config, data) = (dir.path().join("config/config.yaml"), dir.path().join("data"));
    Surroundings { config: Some(config), data: Some(data), network: None }
}

/// Changes a file of the network and says what reading it says.
#[track_caller]
fn refused(lab: &Founded, file: &str, from: &str, to: &str, expect: &str) {
    let root = folder(&lab.network.file);
    let path = root.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let said = Config::read(&root.join("worker-1")).unwrap_err().to_string();
    fs::write(&path, text).unwrap();
    assert!(said.contains(expect) && said.contains("hint: "), "{expect:?} is not in {said}");
}

#[test]
fn r1_a_founded_network_has_the_whole_supply_and_every_node_finds_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    let genesis = &lab.network.genesis;
    let held = genesis.allocations.iter().flat_map(|a| [a.balance, a.stake]);
    assert_eq!(Ohc::sum(held), Some(SUPPLY));
    assert_eq!((lab.nodes.len(), genesis.allocations.len()), (6, 7));
    for (folder, allocation) in lab.nodes.iter().zip(&genesis.allocations) {
        let config = Config::read(folder).unwrap();
        let key = keyring::load(&config.key).unwrap().unwrap().public();
        assert_eq!(key, allocation.key);
        let is_validator = allocation.stake > Ohc::ZERO;
        assert_eq!(matches!(config.part, Part::Validator { .. }), is_validator);
        assert_eq!(config.network.id(), lab.network.id());
        assert_eq!(fs::metadata(&config.key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(folder.ends_with(&lab.network.names[&key]));
    }
    let client = keyring::load(&lab.client).unwrap().unwrap().public();
    assert_eq!(lab.network.names[&client], "client");
    assert!(lab.network.store.ends_with("lab/store/"), "{}", lab.network.store);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
}

#[test]
fn two_networks_of_one_name_are_two_networks_and_none_replaces_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let first = lab(&dir);
    let again = found(&founding(&dir.path().join("lab"))).unwrap_err();
    assert!(matches!(again, NetworkError::Exists { .. }), "{again}");
    let second = found(&founding(&dir.path().join("other"))).unwrap();
    assert_ne!(first.network.id(), second.network.id());
    assert_eq!(Network::read(&dir.path().join("lab")).unwrap(), first.network);
}

#[test]
fn what_cannot_be_founded_is_told_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("lab");
    let changes: [fn(&mut Founding); 8] = [
        |f: &mut Founding| f.validators = 0,
        |f: &mut Founding| f.validators = 21,
        |f: &mut Founding| f.workers = 1_001,
        |f: &mut Founding| f.name = "a b".into(),
        |f: &mut Founding| f.nats = vec!["http://x".into()],
        |f: &mut Founding| f.nats = vec!["nats://me:hunter2@x".into()],
        |f: &mut Founding| f.nats.clear(),
        |f: &mut Founding| f.store.clear(),
    ];
    for change in changes {
        let mut founding = founding(&out);
        change(&mut founding);
        let said = found(&founding).unwrap_err().to_string();
        assert!(said.contains("hint: ") && !said.contains("hunter2"), "{said}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{said}");
    }
}

#[test]
fn what_is_not_right_in_a_file_is_told_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    refused(&lab, "network.yaml", "store:", "stroe:", "did you mean `store`?");
    refused(&lab, "network.yaml", "nats: [", "nats: [1, ", "without a password");
    refused(&lab, "network.yaml", "nats: [\"nats://", "nats: [\"nats://a@", "without a password");
    refused(&lab, "network.yaml", "genesis.yaml\n", "none.yaml\n", "none.yaml");
    refused(&lab, "network.yaml", "# tls: { ca", "tls: { cb", "did you mean `ca`?");
    refused(&lab, "genesis.yaml", "committee:", "committe:", "did you mean `committee`?");
    refused(&lab, "genesis.yaml", "committee: 3", "committee: -3", "a value of this parameter");
    refused(&lab, "genesis.yaml", "committee: 3", "committee: 0", "zero that must not be");
    refused(&lab, "genesis.yaml", "committee: 3", "committee: 2", "of another network");
    refused(&lab, "genesis.yaml", "balance: \"", "balance: \"1", "do not add up");
    refused(&lab, "genesis.yaml", "salt: \"", "salt: \"0", "64 hex digits");
    refused(&lab, "worker-1/config.yaml", "kind: worker", "kind: client", "validator or worker");
    refused(&lab, "worker-1/config.yaml", "kind: worker", "kind: validator\nask: 1", "no work");
    refused(&lab, "worker-1/config.yaml", "# ask: 1000000", "ask: cheap", "whole number");
    refused(&lab, "worker-1/config.yaml", "key: key.pem\n", "", "`key` is missing");
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("network.yaml");
    fs::write(&path, "name: 1x\nnats: []\nstore: [a]\ncolour: red\n").unwrap();
    let Err(NetworkError::Faults { faults, .. }) = Network::read(&path) else {
        panic!("it was read");
    };
    let lines: Vec<u32> = faults.iter().map(|fault| fault.place.line).collect();
    assert_eq!(lines, [1, 1, 2, 3, 4], "{faults:?}");
}

#[test]
fn comments_and_order_are_no_part_of_a_networks_id() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    let path = folder(&lab.network.file).join("genesis.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let (head, tail) = text.split_once("params:").unwrap();
    let tail = tail.replace("committee: 3", "committee: 0x3").replace("0x3", "3 # of them");
    fs::write(&path, format!("params:{tail}{head}")).unwrap();
    assert_eq!(Network::read(&lab.network.file).unwrap().id(), lab.network.id());
}

#[test]
fn a_worker_says_what_it_offers() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    let path = lab.nodes.last().unwrap().join(CONFIG_FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("# ask", "ask").replace("# threads", "threads")).unwrap();
    let config = Config::read(&path).unwrap();
    let ask = Some(Price::new(1_000_000));
    assert_eq!(config.part, Part::Worker(Fleet { ask, threads: Some(1), ..Fleet::default() }));
}

#[test]
fn a_node_says_how_much_it_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    let path = lab.nodes[0].join(CONFIG_FILE);
    let text = fs::read_to_string(&path).unwrap();
    let all = Config::read(&path).unwrap();
    assert_eq!(all.part, Part::Validator { retained: None });
    assert_eq!(all.network.cache, Some(10 << 30));
    fs::write(&path, text.clone() + "retainSlots: 5000\ncache: 64MiB\n").unwrap();
    let some = Config::read(&path).unwrap();
    assert_eq!(some.part, Part::Validator { retained: Some(5_000) });
    assert_eq!(some.network.cache, Some(64 << 20));
    fs::write(&path, text + "cache: much\n").unwrap();
    assert!(Config::read(&path).is_err());
    let worker = lab.nodes.last().unwrap().join(CONFIG_FILE);
    let text = fs::read_to_string(&worker).unwrap();
    fs::write(&worker, text + "retainSlots: 5000\n").unwrap();
    assert!(Config::read(&worker).is_err(), "it hands on no log");
}

#[test]
fn a_file_that_is_another_one_is_told_as_that_and_as_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let lab = lab(&dir);
    let (network, node) = (lab.network.file.clone(), lab.nodes[0].join(CONFIG_FILE));
    let genesis = network.with_file_name("genesis.yaml");
    let manifest = dir.path().join("iris.yaml");
    fs::write(&manifest, include_str!("../../../manifests/iris.yaml")).unwrap();
    let told = |error: NetworkError, is: &str, wanted: &str| {
        let said = error.to_string();
        assert!(said.contains(&format!(" is {is}, not {wanted}; hint: ")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    let config = "the configuration of a node";
    told(Config::read(&network).unwrap_err(), "the file of a network", config);
    told(Config::read(&genesis).unwrap_err(), "the genesis of a network", config);
    told(Config::read(&manifest).unwrap_err(), "the manifest of a pipeline", config);
    told(Network::read(&node).unwrap_err(), config, "the file of a network");
    told(Network::read(&genesis).unwrap_err(), "the genesis of a network", "the file of a network");
    let mut around = around(&dir);
    around.config = Some(network.clone());
    let list = "the list of the networks that you know";
    told(Contexts::read(&around).unwrap_err(), "the file of a network", list);
    let mut contexts = Contexts::default();
    contexts.add("lab", &network, (None, None)).unwrap();
    let known = dir.path().join("known.yaml");
    around.config = Some(known.clone());
    contexts.save(&around).unwrap();
    told(Config::read(&known).unwrap_err(), list, config);
    // A good one with a fault is still told where it is.
    let text = fs::read_to_string(&node).unwrap();
    fs::write(&node, text.replace("key:", "kye:")).unwrap();
    let said = Config::read(&node).unwrap_err().to_string();
    assert!(said.contains("`kye`") && said.contains("`key` is missing"), "{said}");
}

#[test]
fn a_checkpoint_of_a_node_or_a_name_takes_the_place_of_the_networks() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, around) = (lab(&dir), around(&dir));
    let [theirs, ours] = ["7", "9"].map(|height| format!("{height}:{}", "ab".repeat(32)));
    let by = |network: &Network| network.checkpoint.map(|checkpoint| checkpoint.to_string());
    let (file, node) = (lab.network.file.clone(), lab.nodes[0].clone());
    let node = if node.is_dir() { node.join(super::CONFIG_FILE) } else { node };
    let add = |file: &Path, checkpoint: &str| {
        let text = fs::read_to_string(file).unwrap();
        fs::write(file, format!("{text}checkpoint: \"{checkpoint}\"\n")).unwrap();
    };
    assert_eq!(by(&Config::read(&node).unwrap().network), None);
    add(&file, &theirs);
    assert_eq!(by(&Config::read(&node).unwrap().network), Some(theirs.clone()));
    add(&node, &ours);
    assert_eq!(by(&Config::read(&node).unwrap().network), Some(ours.clone()));
    let mut contexts = Contexts::default();
    contexts.add("plain", &file, (None, None)).unwrap();
    contexts.add("lab", &file, (None, Some(ours.parse().unwrap()))).unwrap();
    contexts.save(&around).unwrap();
    assert_eq!(Contexts::read(&around).unwrap(), contexts);
    let chosen = |name| by(&choose(Some(name), &around).unwrap().unwrap().network);
    assert_eq!((chosen("plain"), chosen("lab")), (Some(theirs), Some(ours)));
    add(&file, "7:ab");
    assert!(Network::read(&file).is_err());
}

#[test]
fn a_network_is_chosen_by_name_by_files_or_by_what_was_chosen_before() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, mut around) = (lab(&dir), around(&dir));
    assert_eq!(choose(None, &around).unwrap(), None, "nobody said anything");

    let mut contexts = Contexts::read(&around).unwrap();
    contexts.add("home", &folder(&lab.network.file).join("."), (None, None)).unwrap();
    contexts.save(&around).unwrap();
    assert_eq!(Contexts::read(&around).unwrap(), contexts);
    assert_eq!(choose(None, &around).unwrap(), None, "none is current");
    let chosen = choose(Some("home"), &around).unwrap().unwrap();
    assert_eq!((chosen.network.id(), chosen.name.as_str()), (lab.network.id(), "home"));
    assert_eq!(chosen.key.unwrap(), lab.client.canonicalize().unwrap());
    assert!(chosen.home.starts_with(dir.path().join("data/ohc/networks")));

    contexts.current = Some("home".into());
    contexts.save(&around).unwrap();
    assert!(choose(None, &around).unwrap().is_some());
    assert_eq!(choose(Some("embedded"), &around).unwrap(), None);
    around.network = Some("nowhere".into());
    let said = choose(None, &around).unwrap_err().to_string();
    assert!(said.contains("there is no network `nowhere`") && said.contains("ohc network add"));
    around.network = Some(lab.network.file.display().to_string());
    assert_eq!(choose(None, &around).unwrap().unwrap().key, Some(lab.client.clone()));
}

#[test]
fn a_context_names_files_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, around) = (lab(&dir), around(&dir));
    let mut contexts = Contexts::default();
    assert!(matches!(
        contexts.add("embedded", &lab.network.file, (None, None)),
        Err(NetworkError::Name { .. })
    ));
    assert!(contexts.add("lab", &dir.path().join("none"), (None, None)).is_err());
    assert!(contexts.add("lab", &lab.network.file, (Some(Path::new("/none.pem")), None)).is_err());
    assert_eq!(contexts, Contexts::default());
    fs::create_dir_all(dir.path().join("config")).unwrap();
    fs::write(around.config.as_ref().unwrap(), "current: lab\ncontexts: { lab: { key: x } }")
        .unwrap();
    let said = Contexts::read(&around).unwrap_err();
    let NetworkError::Faults { faults, .. } = said else { panic!("{said}") };
    assert_eq!(faults.len(), 2, "an unknown key and a missing one: {faults:?}");
}
