//! A pipeline on a network: real workers, a real client, a real server of messages, and a store of
//! files that all of them reach. Never the embedded network.

use super::lone::Lone;
use super::nats::Nats;
use crate::site::{Ran, Site};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A network with one validator, and a site whose client has the money.
struct Market {
    site: Site,
    nats: Nats,
    _validator: Lone,
}

impl Market {
    fn new() -> Option<Self> {
        let nats = Nats::start("")?;
        let site = Site::new();
        let url = nats.url();
        let args = ["network", "init", "--validators", "1", "--workers", "2", "--out", "lab"];
        site.json(&[&args[..], &["--nats", &url, "-o", "json"]].concat());
        let validator = Lone::start(&site.path("lab"));
        Some(Self { site, nats, _validator: validator })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.site.command(args);
        command.env_remove("OHC_HOME").env("OHC_NETWORK", self.site.path("lab"));
        command.env("XDG_DATA_HOME", self.site.path("data-home"));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ran::of(command.spawn().unwrap())
    }

    /// Runs the program, which must end like this, and reads the last line that it writes.
    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Value {
        let ran = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(ran.code(), Some(code), "{args:?}: {}{}", ran.out(), ran.err());
        ran.last()
    }

    fn worker(&self, n: u8) -> Worker {
        let (config, log) = (format!("lab/worker-{n}"), self.site.path(&format!("worker-{n}.log")));
        let args = ["worker", "--config", &config, "--threads", "1", "-o", "json"];
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Worker(self.command(&args).stdout(log).spawn().unwrap())
    }

    /// What a worker has said.
    fn said(&self, n: u8) -> Vec<Value> {
        let text = std::fs::read_to_string(self.site.path(&format!("worker-{n}.log"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn events(&self, n: u8, event: &str) -> usize {
        self.said(n).iter().filter(|said| said["event"] == event).count()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..600 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("never: {what}; worker 1 said {:?}", self.said(1));
    }
}

struct Worker(Child);

impl Worker {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn ends(&mut self) -> Option<i32> {
        for _ in 0..400 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it goes on");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn digests(outputs: &Value) -> Vec<String> {
    let outputs = outputs.as_object().unwrap().values();
    outputs.map(|output| output["digest"].to_string()).collect()
}

const APPLY: [&str; 3] = ["apply", "iris.yaml", "-y"];

#[test]
fn r10_a_network_makes_the_same_model_as_the_embedded_one_and_workers_are_paid() {
    let Some(market) = Market::new() else { return };
    let mut workers = [market.worker(1), market.worker(2)];
    let result = market.json(&APPLY, 0);
    assert_eq!(result["status"], "settled", "{result}");
    let embedded = market.site.json(&["apply", "iris.yaml", "-y", "-o", "json"]);
    assert_eq!(digests(&result["outputs"]), digests(&embedded["outputs"]));
    // Again: nothing is run, and nothing spent.
    assert_eq!(market.json(&APPLY, 0)["status"], "unchanged");
    let settled = market.events(1, "settled") + market.events(2, "settled");
    assert!(settled > 0, "{:?}", market.said(1));
    assert_eq!(market.json(&["get", "accounts"], 0)["supply"], "72492272");
    assert_eq!(market.json(&["log", "verify"], 0)["ok"], true);
    workers.iter().for_each(|worker| worker.signal("-TERM"));
    for worker in &mut workers {
        assert_eq!(worker.ends(), Some(0));
    }
    for n in [1, 2] {
        let last = market.said(n).pop().unwrap();
        assert_eq!(last["event"], "stopped", "{last}");
        assert_eq!(market.events(n, "draining"), 1);
    }
}

#[test]
fn r14_workers_that_are_killed_and_a_bus_that_is_restarted_cost_time_alone() {
    let Some(mut market) = Market::new() else { return };
    let mut worker = market.worker(1);
    let apply = [&APPLY[..], &["-p", "epochs=400"]].concat();
    let run = market.json(&[&apply[..], &["--detach"]].concat(), 0)["run"].clone();
    market.until("it begins", || market.events(1, "began") > 0);
    worker.signal("-KILL");
    worker.ends();
    market.nats.restart();
    let _again = market.worker(1);
    let result = market.json(&apply, 0);
    assert_eq!((&result["run"], &result["status"]), (&run, &"settled".into()));
}

#[test]
fn a_run_that_was_left_is_cancelled_from_elsewhere() {
    let Some(market) = Market::new() else { return };
    // Nobody works: it waits.
    let left = market.json(&[&APPLY[..], &["--detach"]].concat(), 0);
    let run = left["run"].as_str().unwrap();
    market.json(&["cancel", run], 0);
    assert_eq!(market.json(&["get", "runs"], 0)["items"][0]["status"], "cancelled");
}

#[test]
fn nothing_is_spent_without_consent_or_a_key() {
    let Some(market) = Market::new() else { return };
    let ran = market.run(&["apply", "iris.yaml"]);
    assert!(ran.code() != Some(0) && ran.err().contains("-y"), "{}{}", ran.out(), ran.err());
    std::fs::remove_file(market.site.path("lab/client/key.pem")).unwrap();
    let ran = market.run(&APPLY);
    assert!(ran.err().contains("hint: `ohc network add"), "{}{}", ran.out(), ran.err());
    assert_eq!(market.json(&["get", "accounts"], 0)["supply"], "72492272");
}

#[test]
fn a_network_that_is_not_there_is_said_to_be_away() {
    let Some(mut market) = Market::new() else { return };
    market.nats.kill();
    let ran = market.run(&["get", "accounts"]);
    assert!(ran.code() == Some(1), "{}", ran.out());
    assert!(ran.err().contains("hint: is nats-server running there"), "{}", ran.err());
}
