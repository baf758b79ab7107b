//! Outages: parts of a network are away in the middle of a run, and come back. The model is the
//! same as if nothing had happened, and so is the money. Never a mock: processes are killed.

use super::flood::connect;
use super::lab::Lab;
use crate::site::{Ran, Site};
use crate::sources::buckets::S3;
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::base::limits::WIRE_BYTES_MAX;
use ohc::effects::artifacts::{Act, ObjectRequest};
use ohc::effects::clock::wall_ms;
use ohc::node::wire::{Answer, Ask, Wire};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// Iris with trainings that last a moment.
fn lab() -> Option<Lab> {
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 300");
    let mut lab = Lab::start(site, 4, 2)?;
    lab.run("worker-1");
    lab.run("worker-2");
    Some(lab)
}

pub(super) const APPLY: [&str; 5] = ["apply", "long.yaml", "-y", "-o", "json"];

pub(super) fn digests(result: &Value) -> Vec<String> {
    assert_eq!(result["status"], "settled", "{result}");
    let outputs = result["outputs"].as_object().unwrap().values();
    outputs.map(|output| output["digest"].to_string()).collect()
}

/// What was computed and checked, as the bill has it; what workers ask changes from run to run.
pub(super) fn done(result: &Value) -> [&Value; 3] {
    [&result["blocks"], &result["cost"]["gas"], &result["cost"]["fees"]]
}

/// The model that the embedded network makes.
pub(super) fn undisturbed(lab: &Lab) -> Vec<String> {
    digests(&lab.site.json(&["apply", "long.yaml", "-y", "-o", "json", "--network", "embedded"]))
}

pub(super) fn wait(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

#[test]
fn while_the_store_is_away_work_waits_and_then_goes_on() {
    let Some(lab) = lab() else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"settled\"");
    let (there, gone) = (lab.folder.join("store"), lab.folder.join("unmounted"));
    fs::rename(&there, &gone).unwrap();
    fs::create_dir(&there).unwrap();
    // What was on its way at that moment may lie there; it is written again where it belongs.
    wait(1);
    let strays = || fs::read_dir(&there).unwrap().count();
    let on_the_way = strays();
    wait(3);
    assert_eq!(strays(), on_the_way, "something was written for nobody");
    assert!(!client.has_said("RunResult"), "{}", client.said());
    fs::remove_dir_all(&there).unwrap();
    fs::rename(&gone, &there).unwrap();
    let result = client.end(&lab);
    assert_eq!(digests(&result), expected);
    assert!(!lab.logs().contains("slashed"), "somebody was blamed:\n{}", lab.logs());
}

/// A network whose store is a bucket; of its nodes the validators run.
fn on_a_bucket(epochs: u32, options: &[&str]) -> Option<(S3, Lab)> {
    super::nats::program()?;
    let site = Site::new();
    site.vary("long.yaml", "default: 60", &format!("default: {epochs}"));
    fs::create_dir(site.path("objects")).unwrap();
    let s3 = S3::start_with(&site.path("objects"), options);
    let settings = vec![
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", s3.port)),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", s3.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", s3.key.clone()),
    ];
    let store = ("s3://lake/networks/lab", settings);
    Lab::start_on(site, 4, 3, store).map(|lab| (s3, lab))
}

#[test]
fn a_network_on_a_bucket_makes_the_same_model_though_its_nodes_are_killed() {
    let Some((_s3, mut lab)) = on_a_bucket(300, &[]) else { return };
    (1..=3).for_each(|n| lab.run(&format!("worker-{n}")));
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    for name in ["worker-1", "validator-2", "worker-3", "validator-4", "worker-2"] {
        lab.kill(name);
        lab.run(name);
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(digests(&client.end(&lab)), expected);
    assert!(!lab.logs().contains("slashed"), "somebody was blamed:\n{}", lab.logs());
}

#[test]
fn a_bucket_that_is_slow_hangs_and_dies_in_the_middle_costs_time_alone() {
    let Some((mut s3, mut lab)) = on_a_bucket(300, &["kept", "slow=80"]) else { return };
    (1..=2).for_each(|n| lab.run(&format!("worker-{n}")));
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"settled\"");
    s3.signal(Signal::STOP);
    wait(4);
    assert!(!client.has_said("RunResult"), "{}", client.said());
    s3.signal(Signal::CONT);
    wait(1);
    s3.restart();
    let result = client.end(&lab);
    assert_eq!(digests(&result), expected);
    assert!(!lab.logs().contains("slashed"), "somebody was blamed:\n{}", lab.logs());
    // All of it again, and nothing happens: as much is done and checked.
    let afresh = [&APPLY[..], &["--no-cache"]].concat();
    let calm = lab.client(&afresh).end(&lab);
    assert_eq!((digests(&calm), done(&calm)), (expected, done(&result)));
}

#[test]
fn a_client_that_has_slept_while_its_connection_ended_goes_on() {
    let Some(mut lab) = lab() else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    client.signal(Signal::STOP);
    lab.nats.restart();
    // More than four times as long as it would wait for a sign of life.
    wait(21);
    client.signal(Signal::CONT);
    assert_eq!(digests(&client.end(&lab)), expected);
}

const SECRETS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

#[test]
fn workers_and_clients_need_no_credentials_of_the_store() {
    let Some((_s3, mut lab)) = on_a_bucket(60, &[]) else { return };
    let file = lab.folder.join("network.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# presigned: true"), "it is not taught: {text}");
    fs::write(&file, text.replace("# presigned: true", "presigned: true")).unwrap();
    // The validators, which run already, have them.
    lab.forget(&SECRETS);
    lab.run("worker-1");
    lab.run("worker-2");
    let expected = undisturbed(&lab);
    let (before, paid) = (lab.all_money(), lab.fees("client"));
    assert_eq!(digests(&lab.client(&APPLY).end(&lab)), expected);
    assert!(!lab.logs().contains("trouble"), "{}", lab.logs());
    assert_eq!(lab.all_money(), before);
    // For the bytes, the submission and its plan; then what is there is not paid for again.
    assert_eq!(lab.fees("client"), paid + 3);
    lab.client(&[&APPLY[..], &["-p", "epochs=3"]].concat()).end(&lab);
    assert_eq!(lab.fees("client"), paid + 5);

    // As an asker has it, who asks under its own name.
    let (runtime, network) = (tokio::runtime::Runtime::new().unwrap(), lab.network());
    let wire = Wire::new(network.id());
    let now = wall_ms() / 1_000;
    let asked = |name: &str, author: &str, (lease, act, at)| {
        let artifact = Some(Digest::of(b"something else"));
        let request = ObjectRequest { lease, act, artifact, at };
        let (_, bus) = connect(&lab, name, &runtime);
        let ask = wire.frame(&Ask::Presign(lab.key(author).seal(network.id(), request)));
        let subject = wire.fetch(bus.inbox());
        let answer = bus.request(&subject, ask, WIRE_BYTES_MAX, Duration::from_secs(10)).unwrap();
        wire.unframe::<Answer>(&answer, WIRE_BYTES_MAX).unwrap()
    };
    // A lease that is over opens nothing; nor does one of another.
    let lease = LeaseId { block: BlockId { run: RunId(1), index: 0 }, attempt: 1 };
    for name in ["worker-1", "client"] {
        assert_eq!(asked(name, name, (Some(lease), Act::Read, now)), Answer::Nothing);
    }
    // Whoever has an account may read, and write what was paid for: a worker has paid for nothing.
    let look = (None, Act::Look, now);
    assert!(matches!(asked("worker-1", "worker-1", look), Answer::Presigned(_)));
    let (few, many) = (Act::Create { bytes: 4 }, Act::Create { bytes: 1 << 20 });
    assert_eq!(asked("worker-1", "worker-1", (None, few, now)), Answer::Nothing);
    assert_eq!(asked("client", "client", (None, many, now)), Answer::Nothing);
    // What was heard of another, or long ago, is not asked again.
    assert_eq!(asked("worker-1", "client", look), Answer::Nothing);
    for at in [now - 1_000, now + 1_000] {
        assert_eq!(asked("worker-1", "worker-1", (None, Act::Look, at)), Answer::Nothing);
    }
}

#[test]
fn a_node_that_finds_no_server_of_messages_says_so_and_ends_when_it_is_asked_to() {
    let site = Site::new();
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nats = format!("nats://127.0.0.1:{port}");
    let init = ["network", "init", "--validators", "1", "--workers", "1", "--out", "lab"];
    let founded = site.run(&[&init[..], &["--nats", &nats, "--store", "store"]].concat());
    assert_eq!(founded.code(), Some(0), "{}", founded.err());
    let named = site.run(&["get", "runs", "--network", "lab"]).err();
    assert!(named.contains("did you mean the folder `./lab`?"), "{named}");
    let mut client = site.command(&["get", "runs", "--network", "./lab"]);
    client.env_remove("OHC_HOME").env("XDG_DATA_HOME", site.path("data-home"));
    let mut client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(client.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.contains(&format!("waiting for the network at {nats}")), "{said}");
    client.kill().unwrap();
    client.wait().unwrap();
    for kind in ["validator", "worker"] {
        let mut command = site.command(&[kind, "--config", &format!("lab/{kind}-1"), "-o", "json"]);
        let mut node = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(node.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains("\"offline\"")), "{kind} says nothing");
        let id = i32::try_from(node.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        let ended = Ran::of(node);
        assert_eq!(ended.code(), Some(0), "{kind} gave up by itself: {}", ended.err());
    }
}

#[test]
fn with_one_validator_of_four_down_a_run_goes_on_with_two_it_waits() {
    let Some(mut lab) = lab() else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    lab.kill("validator-2");
    client.until("\"settled\"");
    lab.kill("validator-3");
    wait(4);
    assert!(!client.has_said("RunResult"), "half of the stake is no quorum: {}", client.said());
    lab.run("validator-3");
    let result = client.end(&lab);
    assert_eq!(digests(&result), expected);
    lab.run("validator-2");
    assert!(lab.all_money() > 0);
}

#[test]
fn a_validator_that_comes_late_has_the_whole_log_and_takes_part() {
    let Some(mut lab) = lab() else { return };
    let expected = undisturbed(&lab);
    lab.kill("validator-4");
    // It never was there: what little it may have seen is gone, and whoever runs it says that its
    // key voted about nothing that comes.
    let home = lab.folder.join("validator-4/home");
    drop(fs::remove_dir_all(&home));
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("voter"), format!("{}\n", lab.public("validator-4"))).unwrap();
    assert_eq!(digests(&lab.client(&APPLY).end(&lab)), expected);
    lab.run("validator-4");
    // Without it the rest is no quorum.
    lab.kill("validator-1");
    let afresh = [&APPLY[..], &["--no-cache"]].concat();
    assert_eq!(digests(&lab.client(&afresh).end(&lab)), expected);
}

#[test]
fn all_nodes_are_restarted_one_after_the_other_in_the_middle_of_a_run() {
    let Some(mut lab) = lab() else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    for n in 1..=4 {
        let name = format!("validator-{n}");
        lab.kill(&name);
        lab.run(&name);
        wait(1);
    }
    for name in ["worker-1", "worker-2"] {
        lab.kill(name);
        lab.run(name);
    }
    lab.nats.kill();
    lab.nats.restart();
    assert_eq!(digests(&client.end(&lab)), expected);
}

#[test]
fn the_server_of_messages_is_killed_and_comes_back_and_nothing_is_lost() {
    let Some(mut lab) = lab() else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    lab.nats.kill();
    wait(2);
    lab.nats.restart();
    assert_eq!(digests(&client.end(&lab)), expected);
}

#[test]
fn a_worker_that_is_killed_in_its_work_is_replaced_by_itself_or_another() {
    let Some(mut lab) = lab() else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    for name in ["worker-1", "worker-2"] {
        lab.kill(name);
    }
    lab.run("worker-1");
    lab.run("worker-2");
    assert_eq!(digests(&client.end(&lab)), expected);
}

#[test]
fn a_worker_that_asks_more_than_anybody_pays_is_told_so() {
    let Some(mut lab) = Lab::start(Site::new(), 1, 1) else { return };
    let file = lab.folder.join("worker-1/config.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# ask: 1000000\n"), "it is not taught: {text}");
    let mut run = |ask: &str, until: &str| {
        fs::write(&file, text.replace("# ask: 1000000\n", ask)).unwrap();
        lab.run("worker-1");
        let said = || fs::read_to_string(file.with_file_name("log")).unwrap();
        (0..600).find(|_| {
            thread::sleep(Duration::from_millis(50));
            said().contains(until)
        });
        lab.kill("worker-1");
        said()
    };
    let usual = run("", "bid      worker-1");
    assert!(usual.contains("bid      worker-1") && !usual.contains("nobody will lease"), "{usual}");
    let dear = run("ask: 2000001\n", "nobody will lease");
    assert!(dear.contains("offers begin at 1000000 nano-OhC a unit"), "{dear}");
}

#[test]
fn a_worker_that_holds_nothing_ends_though_its_network_has_gone_before_it() {
    let Some(mut lab) = lab() else { return };
    lab.client(&APPLY).end(&lab);
    (1..=4).for_each(|n| lab.kill(&format!("validator-{n}")));
    assert!(lab.ends("worker-1"), "{}", lab.logs());
}
