//! A network of four validators and three workers, as processes, under fire: any of them is killed
//! at any time, the bus too, and what comes out is the same to the last byte and the last coin.
//! Never asserts how long anything takes.

use super::nats::Nats;
use crate::site::{Ran, Site};
use serde_json::Value;
use std::cell::RefCell;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const VALIDATORS: usize = 4;
const WORKERS: usize = 3;

/// Kills of a random storm, unless `OHC_KILLS` says otherwise.
const KILLS: u64 = 60;

struct Lab {
    site: Site,
    nats: RefCell<Nats>,
    nodes: RefCell<Vec<Node>>,
}

/// A node, running or not.
struct Node {
    name: String,
    child: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Lab {
    fn new() -> Option<Self> {
        let nats = Nats::start("")?;
        let site = Site::of_all();
        let (v, w) = (VALIDATORS.to_string(), WORKERS.to_string());
        let args = ["network", "init", "--validators", &v, "--workers", &w, "--out", "lab"];
        site.json(&[&args[..], &["--nats", &nats.url(), "-o", "json"]].concat());
        let names = (1..=VALIDATORS).map(|n| format!("validator-{n}"));
        let names = names.chain((1..=WORKERS).map(|n| format!("worker-{n}")));
        let nodes = names.map(|name| Node { name, child: None }).collect();
        Some(Self { site, nats: RefCell::new(nats), nodes: RefCell::new(nodes) })
    }

    fn with(nodes: std::ops::Range<usize>) -> Option<Self> {
        let lab = Self::new()?;
        nodes.for_each(|index| lab.start(index));
        Some(lab)
    }

    fn all() -> Option<Self> {
        Self::with(0..VALIDATORS + WORKERS)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.site.command(args);
        command.env_remove("OHC_HOME").env("OHC_NETWORK", self.site.path("lab"));
        command.env("XDG_DATA_HOME", self.site.path("data-home"));
        command
    }

    fn start(&self, index: usize) {
        let node = &mut self.nodes.borrow_mut()[index];
        assert!(node.child.is_none());
        let (kind, _) = node.name.split_once('-').unwrap();
        let log = self.site.path(&format!("{}.log", node.name));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let config = format!("lab/{}", node.name);
        let mut command = self.command(&[kind, "--config", &config]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        node.child = Some(command.spawn().unwrap());
    }

    fn kill(&self, index: usize) {
        self.nodes.borrow_mut()[index].kill();
    }

    fn restart(&self, index: usize) {
        self.kill(index);
        self.start(index);
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs the program, which must end well, and reads the last line that it writes.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        self.told(args, Ran::of(self.spawn(&[args, &["-o", "json"]].concat())))
    }

    #[track_caller]
    fn told(&self, args: &[&str], ran: Ran) -> Value {
        let logs = || -> String {
            let nodes = self.nodes.borrow();
            let log = |node: &Node| {
                let text = std::fs::read_to_string(self.site.path(&format!("{}.log", node.name)));
                let text = text.unwrap_or_default();
                let last: Vec<_> = text.lines().rev().take(4).collect();
                format!("\n{}: {last:#?}", node.name)
            };
            nodes.iter().map(log).collect()
        };
        assert_eq!(ran.code(), Some(0), "{args:?}: {}{}{}", ran.out(), ran.err(), logs());
        ran.last()
    }

    /// An apply is under way, and something happens to the network until it is over.
    fn apply_under(&self, manifest: &str, mut trouble: impl FnMut(u64)) -> Value {
        let args = ["apply", manifest, "-y", "-o", "json"];
        let mut child = self.spawn(&args);
        let mut round = 0;
        while child.try_wait().unwrap().is_none() {
            trouble(round);
            round += 1;
            assert!(round < 2_000, "it does not end");
        }
        self.told(&args, Ran::of(child))
    }

    /// All the money there is, and a log that holds.
    fn is_whole(&self) {
        let accounts = self.json(&["get", "accounts"]);
        assert_eq!(accounts["supply"], "72492272");
        let items = accounts["items"].as_array().unwrap();
        let nano = |text: &Value| -> u128 {
            let (whole, part) = text.as_str().unwrap().split_once('.').unwrap();
            format!("{whole}{part:0<9}").parse().unwrap()
        };
        let fields = ["balance", "escrow", "bond", "stake"];
        let held: u128 = items.iter().flat_map(|item| fields.map(|field| nano(&item[field]))).sum();
        let places = |name: &str| accounts.get(name).map_or(0, nano);
        let all = held + places("treasury") + places("burned");
        assert!(all <= 72_492_272 * 1_000_000_000, "{accounts}");
        assert_eq!(self.json(&["log", "verify"])["ok"], true);
    }
}

fn digests(outputs: &Value) -> Vec<String> {
    let outputs = outputs.as_object().unwrap().values();
    outputs.map(|output| output["digest"].to_string()).collect()
}

/// What the embedded network makes of a manifest.
fn embedded(lab: &Lab, manifest: &str) -> Vec<String> {
    digests(&lab.site.json(&["apply", manifest, "-y", "-o", "json"])["outputs"])
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn r10_four_validators_and_three_workers_make_what_one_process_makes() {
    let Some(lab) = Lab::all() else { return };
    for manifest in ["iris.yaml", "digits.yaml"] {
        let result = lab.json(&["apply", manifest, "-y"]);
        assert_eq!(result["status"], "settled", "{result}");
        assert_eq!(digests(&result["outputs"]), embedded(&lab, manifest));
        assert_eq!(lab.json(&["apply", manifest, "-y"])["status"], "unchanged");
    }
    lab.is_whole();
}

#[test]
fn r14_each_node_in_turn_is_killed_and_started_again_while_a_pipeline_runs() {
    let Some(lab) = Lab::all() else { return };
    let result = lab.apply_under("digits.yaml", |round| {
        pause(150);
        let index = round as usize % (VALIDATORS + WORKERS);
        // Twice each: who is never left alone never finishes anything.
        if (round as usize) < 2 * (VALIDATORS + WORKERS) {
            lab.restart(index);
        }
    });
    assert_eq!(digests(&result["outputs"]), embedded(&lab, "digits.yaml"));
    assert_eq!(lab.json(&["apply", "digits.yaml", "-y"])["status"], "unchanged");
    lab.is_whole();
}

#[test]
fn r14_nodes_are_killed_at_random_and_nothing_is_lost_or_doubled() {
    let Some(lab) = Lab::all() else { return };
    let named = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let kills = named("OHC_KILLS").unwrap_or(KILLS);
    let mut seed = named("OHC_CRASH_SEED").unwrap_or(7);
    let mut roll = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let (mut killed, mut pass) = (0, 0);
    while killed < kills {
        // Another seed each time, so that there is something to run.
        let name = format!("pass-{pass}.yaml");
        lab.site.vary(&name, "seed: 7", &format!("seed: {}", 100 + pass));
        let result = lab.apply_under(&name, |_| {
            pause(20 + roll(250));
            lab.restart(roll((VALIDATORS + WORKERS) as u64) as usize);
            killed += 1;
        });
        assert_eq!(digests(&result["outputs"]), embedded(&lab, &name), "{name}");
        pass += 1;
    }
    lab.is_whole();
}

#[test]
fn r7_with_one_of_four_away_the_log_goes_on_and_with_two_it_waits() {
    let Some(lab) = Lab::all() else { return };
    lab.kill(2);
    assert_eq!(lab.json(&["apply", "iris.yaml", "-y"])["status"], "settled");
    lab.kill(3);
    lab.site.vary("other.yaml", "seed: 7", "seed: 8");
    let mut waited = false;
    let result = lab.apply_under("other.yaml", |round| {
        pause(200);
        if round == 20 {
            // Four seconds with half of the stake: nothing can be final.
            waited = true;
            lab.start(3);
        }
    });
    assert!(waited, "two of four went on alone: {result}");
    assert_eq!(digests(&result["outputs"]), embedded(&lab, "other.yaml"));
    lab.start(2);
    lab.is_whole();
}

#[test]
fn the_bus_is_restarted_in_the_middle_and_everybody_comes_back() {
    let Some(lab) = Lab::all() else { return };
    let result = lab.apply_under("digits.yaml", |round| {
        pause(400);
        if round < 3 {
            lab.nats.borrow_mut().restart();
        }
    });
    assert_eq!(digests(&result["outputs"]), embedded(&lab, "digits.yaml"));
    lab.is_whole();
}

#[test]
fn who_comes_late_catches_up_and_takes_part() {
    // Three validators and one worker begin.
    let Some(lab) = Lab::with(1..VALIDATORS + 1) else { return };
    assert_eq!(lab.json(&["apply", "iris.yaml", "-y"])["status"], "settled");
    lab.start(0);
    lab.start(VALIDATORS + 1);
    lab.kill(VALIDATORS);
    // Without the late ones there is no quorum now, and no worker.
    lab.kill(1);
    lab.site.vary("late.yaml", "seed: 7", "seed: 9");
    let result = lab.json(&["apply", "late.yaml", "-y"]);
    assert_eq!(digests(&result["outputs"]), embedded(&lab, "late.yaml"));
    lab.start(1);
    lab.is_whole();
}
