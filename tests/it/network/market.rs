//! A pipeline on a network: real workers, a real client, a real server of messages, and a store of
//! files that all of them reach. Never the embedded network.

use super::lab;
use super::lone::Lone;
use super::nats::Nats;
use crate::site::{Ran, SUPPLY_NANO, Site, nano};
use rustix::process::Signal;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A network, and a site whose client has the money.
struct Market {
    site: Site,
    nats: Nats,
    /// The only validator, on a thread.
    _lone: Option<Lone>,
}

impl Market {
    /// One with one validator.
    fn new() -> Option<Self> {
        let market = Self::of("1")?;
        let lone = Some(Lone::start(&market.site.path("lab")));
        Some(Self { _lone: lone, ..market })
    }

    /// One with so many validators, none of which runs.
    fn of(validators: &str) -> Option<Self> {
        let nats = Nats::start("")?;
        let site = Site::new();
        let url = nats.url();
        let args = ["network", "init", "--validators", validators, "--workers", "2"];
        site.json(&[&args[..], &["--out", "lab", "--nats", &url, "-o", "json"]].concat());
        Some(Self { site, nats, _lone: None })
    }

    fn validator(&self, n: u8) -> Worker {
        let config = format!("lab/validator-{n}");
        let mut command = self.command(&["validator", "--config", &config, "-o", "json"]);
        Worker(command.stdout(Stdio::null()).spawn().unwrap())
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
        self.worker_with(n, &[])
    }

    fn worker_with(&self, n: u8, more: &[&str]) -> Worker {
        let (config, log) = (format!("lab/worker-{n}"), self.site.path(&format!("worker-{n}.log")));
        let args = ["worker", "--config", &config, "--threads", "1", "-o", "json"];
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let args = [&args[..], more].concat();
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

/// A node at work; killed when this is dropped.
struct Worker(Child);

impl Worker {
    fn signal(&self, signal: Signal) {
        lab::signal(&self.0, signal);
    }

    fn ends(&mut self) -> Option<i32> {
        lab::ended(&mut self.0)
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

/// Whether a run is settled: perhaps before it was asked for again.
fn is_over(result: &Value) -> bool {
    result["status"] == "settled" || result["status"] == "unchanged"
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
    workers.iter().for_each(|worker| worker.signal(Signal::TERM));
    for worker in &mut workers {
        assert_eq!(worker.ends(), Some(0));
    }
    for n in [1, 2] {
        let last = market.said(n).pop().unwrap();
        assert_eq!(last["event"], "stopped", "{last}");
        assert_eq!(market.events(n, "draining"), 1);
    }
}

/// An hour of the day that begins in two hours.
fn not_now() -> String {
    let hour = ohc::node::wall_ms() / 3_600_000 % 24;
    format!("{:02}:00-{:02}:00", (hour + 2) % 24, (hour + 3) % 24)
}

#[test]
fn a_worker_measures_itself_keeps_its_hours_and_ends_after_its_blocks() {
    let Some(market) = Market::new() else { return };
    let resting = market.worker_with(2, &["--hours", &not_now()]);
    market.until("it rests", || market.events(2, "resting") == 1);
    let mut first = market.worker_with(1, &["--max-blocks", "1"]);
    let mut client = market.command(&APPLY);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(first.ends(), Some(0));
    let last = market.said(1).pop().unwrap();
    assert_eq!((&last["event"], &last["settled"]), (&"stopped".into(), &1.into()), "{last}");
    assert_eq!((&last["paid"], &last["slashed"]), (&last["earned"], &0.into()), "{last}");
    let measured = market.said(1).into_iter().find(|said| said["event"] == "measured").unwrap();
    let ready = market.said(1).into_iter().find(|said| said["event"] == "ready").unwrap();
    let pace = measured["unitsPerSecond"].as_u64().unwrap();
    assert_eq!(ready["capacity"], pace.max(1_000), "it promises what it has shown");
    // Whoever rests is leased nothing, though nobody else is there.
    assert_eq!((market.events(2, "leased"), market.events(2, "bid")), (0, 0));
    drop(resting);
    let _again = market.worker(2);
    assert_eq!(Ran::of(client).code(), Some(0));
}

#[test]
fn a_worker_that_is_asked_to_end_in_its_work_finishes_it_and_is_paid() {
    let Some(market) = Market::new() else { return };
    let account = || {
        let accounts = market.json(&["get", "accounts"], 0);
        let items = accounts["items"].as_array().unwrap().iter();
        items.into_iter().find(|item| item["name"] == "worker-1").unwrap().clone()
    };
    let before = account();
    let mut worker = market.worker(1);
    let mut client = market.command(&[&APPLY[..], &["-p", "epochs=400"]].concat());
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let is_training = |said: &Value| {
        said["event"] == "began" && said["job"].as_str().unwrap().starts_with("train@")
    };
    market.until("it trains", || market.said(1).iter().any(is_training));
    worker.signal(Signal::TERM);
    let _other = market.worker(2);
    assert_eq!(worker.ends(), Some(0));
    let draining = market.said(1).into_iter().find(|said| said["event"] == "draining").unwrap();
    assert!(draining["leases"].as_u64().unwrap() > 0, "{draining}");
    let last = market.said(1).pop().unwrap();
    assert_eq!(last["settled"], market.events(1, "leased"), "all that it held: {last}");
    assert_eq!((&last["lapsed"], &last["slashed"]), (&0.into(), &0.into()), "{last}");
    assert_eq!((nano(&last["lost"]), &last["paid"]), (0, &last["earned"]), "{last}");
    let after = account();
    assert_eq!(nano(&after["bond"]), 0, "{after}");
    // But for what its bids cost.
    let fees = nano(&before["balance"]) + nano(&last["paid"]) - nano(&after["balance"]);
    assert!(fees <= 1_000_000, "{after}");
    assert_eq!(Ran::of(client).code(), Some(0));
}

#[test]
fn a_worker_is_leased_blocks_of_the_kinds_of_jobs_that_it_bids_for_alone() {
    let Some(market) = Market::new() else { return };
    let config = market.site.path("lab/worker-2/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "classes: ingest, split, evaluate\n").unwrap();
    let _trainer = market.worker_with(1, &["--classes", "train"]);
    let _other = market.worker(2);
    market.until("both are there", || market.events(1, "ready") + market.events(2, "ready") == 2);
    assert!(is_over(&market.json(&APPLY, 0)));
    let jobs = |n| -> Vec<String> {
        let began = market.said(n).into_iter().filter(|said| said["event"] == "began");
        began.map(|said| said["job"].as_str().unwrap().to_owned()).collect()
    };
    let is_training = |job: &String| job.starts_with("train@");
    assert!(jobs(1).len() >= 4 && jobs(1).iter().all(is_training), "{:?}", jobs(1));
    assert!(jobs(2).len() >= 3 && !jobs(2).iter().any(is_training), "{:?}", jobs(2));
    let why = market.json(&["why", "run-1/0"], 0).to_string();
    assert!(why.contains("\"class\""), "{why}");
    let workers = market.json(&["get", "workers"], 0);
    let items = workers["items"].as_array().unwrap();
    assert!(items.iter().any(|item| item["classes"] == serde_json::json!(["train"])), "{workers}");
    let wrong = market.run(&["worker", "--config", "lab/worker-1", "--classes", "trian"]);
    assert_eq!(wrong.code(), Some(64));
    assert!(wrong.err().contains("ingest,split,train"), "{}", wrong.err());
}

#[test]
fn r14_workers_that_are_killed_and_a_bus_that_is_restarted_cost_time_alone() {
    let Some(mut market) = Market::new() else { return };
    let mut worker = market.worker(1);
    let apply = [&APPLY[..], &["-p", "epochs=400"]].concat();
    let run = market.json(&[&apply[..], &["--detach"]].concat(), 0)["run"].clone();
    market.until("it begins", || market.events(1, "began") > 0);
    worker.signal(Signal::KILL);
    worker.ends();
    market.nats.restart();
    let _again = market.worker(1);
    let result = market.json(&apply, 0);
    assert!(is_over(&result) && result["run"] == run, "{result}");
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

#[test]
fn r14_every_node_is_killed_in_turn_and_neither_model_nor_money_changes() {
    let Some(mut market) = Market::of("4") else { return };
    let mut validators: Vec<Worker> = (1..=4).map(|n| market.validator(n)).collect();
    let mut workers = [market.worker(1), market.worker(2)];
    let apply = [&APPLY[..], &["-p", "epochs=600"]].concat();
    let run = market.json(&[&apply[..], &["--detach"]].concat(), 0)["run"].clone();
    market.until("it begins", || market.events(1, "began") + market.events(2, "began") > 0);
    for n in 1..=4 {
        let validator = validators.get_mut(n - 1).unwrap();
        validator.signal(Signal::KILL);
        validator.ends();
        if let Some(worker) = workers.get_mut(n - 1) {
            worker.signal(Signal::KILL);
            worker.ends();
            *worker = market.worker(n as u8);
        }
        if n == 3 {
            market.nats.restart();
        }
        *validator = market.validator(n as u8);
        std::thread::sleep(Duration::from_millis(500));
    }
    let result = market.json(&apply, 0);
    assert!(is_over(&result) && result["run"] == run, "{result}");
    let more = ["-p", "epochs=600", "-o", "json"];
    let embedded = market.site.json(&[&APPLY[..], &more].concat());
    assert_eq!(digests(&result["outputs"]), digests(&embedded["outputs"]));
    assert_eq!(market.json(&["log", "verify"], 0)["ok"], true);
    let accounts = market.json(&["get", "accounts"], 0);
    let parts = ["balance", "escrow", "bond", "stake"];
    let items = accounts["items"].as_array().unwrap();
    let held = items.iter().flat_map(|item| parts.iter().map(move |part| &item[*part]));
    let all: u128 = held.chain([&accounts["treasury"], &accounts["burned"]]).map(nano).sum();
    assert_eq!(all, SUPPLY_NANO);
}

#[test]
fn r7_two_of_four_validators_decide_nothing_and_three_do() {
    let Some(market) = Market::of("4") else { return };
    let mut validators: Vec<Worker> = (1..=4).map(|n| market.validator(n)).collect();
    let _worker = market.worker(1);
    market.until("it is ready", || market.events(1, "bid") > 0);
    for n in [2, 3] {
        let validator = validators.get_mut(n).unwrap();
        validator.signal(Signal::KILL);
        validator.ends();
    }
    let late = market.run(&[&APPLY[..], &["--timeout", "3s", "-o", "json"]].concat());
    assert_eq!(late.code(), Some(5), "{}{}", late.out(), late.err());
    assert!(late.err().contains("apply again to follow it"), "{}", late.err());
    let third = market.validator(3);
    let result = market.json(&APPLY, 0);
    assert_eq!(result["status"], "settled", "three of four go on: {result}");
    drop(third);
}

#[test]
fn money_moves_on_a_network_and_its_log_stays_what_the_validators_signed() {
    let Some(market) = Market::new() else { return };
    let before = market.json(&["wallet", "balance", "worker-1"], 0);
    let paid = market.json(&["wallet", "transfer", "worker-1", "5", "--yes"], 0);
    let after = market.json(&["wallet", "balance", "worker-1"], 0);
    assert_eq!(nano(&after["balance"]) - nano(&before["balance"]), 5_000_000_000, "{paid}");
    assert_eq!(market.json(&["log", "verify"], 0)["ok"], true);
    // The key that pays lies beside the network's files, and is a key of its client all the same.
    let client = market.json(&["wallet", "show"], 0);
    let listed = market.json(&["wallet", "list"], 0);
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["key"]),
        (&client["name"], &client["key"])
    );
    assert_eq!(listed["items"][0]["balance"], paid["balance"], "{listed}");
    let found = market.json(&["doctor"], 0);
    let check = |name: &str| found["items"].as_array().unwrap().iter().find(|i| i["check"] == name);
    assert_eq!(check("key client").unwrap()["verdict"], "ok", "{found}");
    assert_eq!(check("log").unwrap()["verdict"], "ok", "{found}");
    assert!(check("key validator").is_none(), "{found}");
}
