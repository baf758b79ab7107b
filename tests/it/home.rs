//! A home that is looked after: what nobody needs is taken away, what is wrong is said. Never takes
//! anything away itself but what a test breaks.

use crate::site::{Ran, SUPPLY_NANO, Site};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// How many files a sweep found, by what they are.
fn files(sweep: &Value, reason: &str) -> u64 {
    let items = sweep["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["reason"] == reason);
    item.map_or(0, |item| item["files"].as_u64().unwrap())
}

fn lost(sweep: &Value) -> usize {
    sweep["lost"].as_array().unwrap().len()
}

/// Makes all artifacts an hour old: what is fresh is kept.
fn age(site: &Site) {
    let hour = std::time::Duration::from_secs(3600);
    for shelf in fs::read_dir(site.path("home/artifacts")).unwrap() {
        let shelf = shelf.unwrap().path();
        let files = fs::read_dir(&shelf).into_iter().flatten().map(|file| file.unwrap().path());
        for path in files {
            let file = fs::File::options().write(true).open(path).unwrap();
            let written = file.metadata().unwrap().modified().unwrap();
            file.set_modified(written - hour).unwrap();
        }
    }
}

fn gc(site: &Site, args: &[&str]) -> Value {
    site.json(&[&["gc", "-o", "json"], args].concat())
}

#[test]
fn what_nobody_needs_goes_and_everything_is_still_known() {
    let site = Site::new();
    let first = site.json(&["apply", "iris.yaml", "-o", "json"]);
    let shelf = site.path("home/artifacts/damaged");
    fs::create_dir_all(&shelf).unwrap();
    fs::write(shelf.join("0".repeat(64)), "x").unwrap();
    fs::write(site.path("home/artifacts/notes.txt"), "mine").unwrap();
    let fresh = gc(&site, &[]);
    assert!(files(&fresh, "fresh") > 0 && files(&fresh, "unnamed") == 0, "{fresh}");
    age(&site);
    let shown = gc(&site, &["--dry-run"]);
    assert_eq!((lost(&shown), &shown["deleted"]), (0, &false.into()), "{shown}");
    assert!(files(&shown, "cached") > 0 && files(&shown, "unnamed") > 0, "{shown}");
    assert_eq!(files(&shown, "fresh"), 0);
    assert_eq!((files(&shown, "damaged"), files(&shown, "foreign")), (1, 1));
    assert_eq!(gc(&site, &[])["files"], shown["files"], "looking changes nothing");
    let text = site.run(&["gc"]).out();
    assert!(text.contains("can be deleted: `ohc gc --yes` does it"), "{text}");
    let done = gc(&site, &["--yes"]);
    assert_eq!((&done["files"], &done["deleted"]), (&shown["files"], &true.into()));
    assert_eq!(gc(&site, &[])["files"], 0);
    assert!(site.path("home/artifacts/notes.txt").exists(), "what is not ours stays");
    assert_eq!(site.run(&["plan", "iris.yaml", "--detailed-exitcode"]).code(), Some(0));
    fs::remove_dir_all(site.path("out")).unwrap();
    let again = site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(again["status"], "unchanged");
    assert_eq!(again["outputs"]["model"]["digest"], first["outputs"]["model"]["digest"]);
    assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
}

#[test]
fn results_of_old_runs_go_only_where_that_is_asked_for_and_are_computed_again() {
    let site = Site::new();
    let old = site.json(&["apply", "iris.yaml", "-p", "epochs=20", "-o", "json"]);
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(lost(&gc(&site, &["--yes"])), 0, "all runs are kept");
    let shown = gc(&site, &["--keep-runs", "1"]);
    assert!(lost(&shown) > 0 && files(&shown, "old") > 0, "{shown}");
    let text = site.run(&["gc", "--keep-runs", "1"]).out();
    assert!(text.contains("iris: train@"), "{text}");
    gc(&site, &["--keep-runs", "1", "--yes"]);
    assert_eq!(site.run(&["plan", "iris.yaml", "--detailed-exitcode"]).code(), Some(0));
    let plan = site.run(&["plan", "iris.yaml", "-p", "epochs=20"]);
    assert!(plan.out().contains("lost: its artifacts are gone"), "{}", plan.out());
    let again = site.json(&["apply", "iris.yaml", "-p", "epochs=20", "-o", "json"]);
    assert_eq!(again["outputs"]["model"]["digest"], old["outputs"]["model"]["digest"]);
    assert_eq!(site.all_money(), SUPPLY_NANO);
}

#[test]
fn a_home_that_is_begun_is_named_and_another_one_nearby_is_found() {
    let site = Site::new();
    fs::create_dir(site.path("pipes")).unwrap();
    site.vary("pipes/iris.yaml", "data/iris.csv", "../data/iris.csv");
    let run = |args: &[&str]| Ran::of(quietly(site.command(args).env_remove("OHC_HOME")));
    let first = run(&["apply", "pipes/iris.yaml"]);
    assert_eq!(first.code(), Some(0), "{}", first.err());
    assert!(first.err().contains("note: begins a home in pipes/.ohc"), "{}", first.err());
    assert_eq!(run(&["apply", "pipes/iris.yaml"]).err(), "");
    // Where the manifest is not, there is none.
    let runs = run(&["get", "runs"]);
    assert_eq!(runs.code(), Some(1));
    assert!(
        runs.err().contains("there is one in pipes/.ohc: `--home pipes/.ohc`"),
        "{}",
        runs.err()
    );
    // A repository has one for all of it.
    fs::create_dir(site.path(".git")).unwrap();
    let moved = run(&["apply", "pipes/iris.yaml"]);
    let says = "begins a home in .ohc; there is another in pipes/.ohc";
    assert!(moved.err().contains(says), "{}", moved.err());
}

/// Starts a program whose words are kept.
fn quietly(command: &mut std::process::Command) -> std::process::Child {
    use std::process::Stdio;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_run_that_is_not_over_loses_nothing() {
    let site = Site::new();
    let mut apply = site.spawn_slow(&[]);
    let busy = site.run(&["gc", "--yes"]);
    assert_eq!(busy.code(), Some(1));
    assert!(busy.err().contains("in use by another process"), "{}", busy.err());
    let doctor = site.json(&["doctor", "-o", "json"]);
    let log = doctor["items"].as_array().unwrap().iter().find(|item| item["check"] == "log");
    assert_eq!(log.unwrap()["verdict"], "warn");
    apply.kill().unwrap();
    apply.wait().unwrap();
    let doctor = site.run(&["doctor", "-o", "name"]);
    assert!(doctor.out().lines().any(|line| line == "socket"), "{}", doctor.out());
    age(&site);
    let done = gc(&site, &["--keep-runs", "0", "--yes"]);
    assert!(files(&done, "open") > 0, "{done}");
    // What it had so far is there: the run is ended, and what it settled is paid.
    let open = gc(&site, &["--keep-runs", "0"]);
    assert_eq!((files(&open, "open"), open["files"].as_u64()), (files(&done, "open"), Some(0)));
}

#[test]
fn a_check_up_says_what_is_wrong_and_what_to_do() {
    let site = Site::new();
    let none = site.json(&["doctor", "-o", "json"]);
    assert_eq!(none["ok"], true, "{none}");
    assert!(!site.path("home").exists(), "looking begins no home");
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let sound = site.json(&["doctor", "-o", "json"]);
    assert_eq!((&sound["kind"], &sound["ok"]), (&"CheckUp".into(), &true.into()), "{sound}");
    let key = site.path("home/keys/client.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = site.run(&["doctor"]);
    assert_eq!(ran.code(), Some(1), "{}", ran.out());
    assert!(ran.out().contains("fail  key client: ") && ran.out().contains("hint: chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(site.path("home/keys/validator.pem")).unwrap();
    let ran = site.run(&["doctor", "-o", "name"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.out().lines().any(|line| line == "key validator"), "{}", ran.out());
}
