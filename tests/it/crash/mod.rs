//! Crashes of the real program: killed at every peril and at random instants, with a torn log, a
//! full disk, clocks that leap, and two processes in one home. Never ends but in the undisturbed
//! result, with all the money there is, and without a settled block that was run again.

mod artifacts;
mod clocks;
mod full;
mod instants;
mod perils;
mod signals;
mod together;
mod torn;

use crate::site::{Ran, SUPPLY_NANO, Site};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Applies a pipeline of six blocks, all of them audited in full.
const APPLY: [&str; 4] = ["apply", "fast.yaml", "-o", "json"];
/// The same with a parameter changed: four trainings and their evaluation are others.
const APPLY_OTHER: [&str; 6] = ["apply", "fast.yaml", "-p", "epochs=4", "-o", "json"];
/// Processes at a time: they wait for the disk more than they compute.
const THREADS: usize = 4;

/// A folder with the pipeline in it, and no home.
fn site() -> Site {
    let site = Site::new();
    let text = fs::read_to_string(site.path("iris.yaml")).unwrap();
    let text = text.replace("default: 60", "default: 3");
    let audited = "verification: { audit: { rate: 0.25, segments: 1 } }";
    assert!(text.contains(audited));
    site.write("fast.yaml", &text.replace(audited, "verification: full"));
    site
}

/// The digest of the model that an undisturbed run gives.
fn undisturbed(args: &[&str]) -> String {
    digest(&site().json(args))
}

#[track_caller]
fn digest(result: &Value) -> String {
    result["outputs"]["model"]["digest"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

/// Runs the program, which must succeed, and reads the last line that it writes.
#[track_caller]
fn json(site: &Site, args: &[&str], how: &str) -> Value {
    let ran = site.run(args);
    assert_eq!(ran.code(), Some(0), "{how}: {args:?}: {}{}", ran.out(), ran.err());
    ran.last()
}

/// Whether somebody ended the program with a signal that it cannot catch.
fn was_killed(ran: &Ran) -> bool {
    ran.signal() == Some(9)
}

/// All that must hold once the same pipeline is applied again after whatever has happened.
#[track_caller]
fn judge(site: &Site, args: &[&str], expect: &str, how: &str) {
    let before = settled(site, how);
    let result = json(site, args, how);
    assert_eq!(digest(&result), expect, "{how}");
    assert!(["settled", "unchanged"].contains(&result["status"].as_str().unwrap()), "{how}");
    let after = settled(site, how);
    for (block, known) in &before {
        assert_eq!(after.get(block), Some(known), "{how}: a settled block is run once");
    }
    sound(site, how);
    assert_eq!(json(site, args, how)["status"], "unchanged", "{how}");
    assert_eq!(digest_of_output(site), expect, "{how}");
    let left = drafts(&site.path(""));
    assert!(left.is_empty(), "{how}: left behind: {left:?}");
}

/// The log verifies, no money is missing, and no job was settled twice.
#[track_caller]
fn sound(site: &Site, how: &str) {
    assert_eq!(json(site, &["log", "verify", "-o", "json"], how)["ok"], true, "{how}");
    assert_eq!(site.all_money(), SUPPLY_NANO, "{how}");
    let log = site.run(&["log", "show", "-o", "json"]);
    assert_eq!(log.code(), Some(0), "{how}: {}", log.err());
    let mut blocks = BTreeSet::new();
    for slot in log.out().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        for event in slot["events"].as_array().unwrap().iter().filter(|e| e["kind"] == "settled") {
            let (block, _) = event["lease"].as_str().unwrap().split_once('#').unwrap();
            assert!(blocks.insert(block.to_owned()), "{how}: {block} is settled twice");
        }
    }
}

/// The settled blocks of all runs, with everything that is known of them; none where there is no
/// log yet.
#[track_caller]
fn settled(site: &Site, how: &str) -> BTreeMap<String, Value> {
    if !site.path("home/log/db/version").exists() {
        return BTreeMap::new();
    }
    let blocks = json(site, &["get", "blocks", "-o", "json"], how);
    let settled = blocks["items"].as_array().unwrap().iter().filter(|b| b["phase"] == "settled");
    settled.map(|b| (b["block"].as_str().unwrap().to_owned(), b.clone())).collect()
}

/// The digest of the model in the output's folder, which must be the one that its card tells of.
#[track_caller]
fn digest_of_output(site: &Site) -> String {
    let model = fs::read(site.path("out/iris/model.safetensors")).unwrap();
    let card = fs::read(site.path("out/iris/card.json")).unwrap();
    let card: Value = serde_json::from_slice(&card).unwrap();
    let digest = ohc::base::canon::Digest::of(&model).to_string();
    assert_eq!(card["digest"], digest);
    digest
}

/// Files that are there only while something is being written, but for uploads of artifacts: those
/// are `gc`'s to find.
fn drafts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(drafts(&path));
        } else if name.ends_with(".new") || name.starts_with(".ohc-probe") || name == "creating" {
            found.push(path);
        }
    }
    found
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A folder with all that another one has.
fn site_like(other: &Site) -> Site {
    let site = Site::new();
    copy(&other.path(""), &site.path(""));
    site
}

/// Copies what is below a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else if !from.ends_with("ohc.sock") {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// Does one thing for each of many cases, some at a time; says of all that fail which they were.
fn each<T: Sync>(cases: &[T], name: impl Fn(&T) -> String + Sync, check: impl Fn(&T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if catch_unwind(AssertUnwindSafe(|| check(case))).is_err() {
                        failed.lock().unwrap().push(name(case));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), cases.len());
}

/// Numbers that follow from a seed, so that a failure can be had again: SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The seed that the variable gives, or one by lot.
    pub(crate) fn thrown(variable: &str) -> Self {
        let given = std::env::var(variable).ok().map(|seed| seed.parse().unwrap());
        let lot = || {
            let seed = ohc::effects::clock::fresh_seed();
            u64::from_le_bytes(*seed.first_chunk().unwrap())
        };
        Self(given.unwrap_or_else(lot))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}
