//! The command line: exit codes, outputs, and what it says about wrong input. Never looks inside:
//! the program is run as people run it.

use crate::site::{SUPPLY_NANO, Site};
use std::fs;
use std::io::Read;
use std::process::Stdio;

/// Runs the program and compares its exit code and parts of what it says on the standard error.
#[track_caller]
fn check(site: &Site, args: &[&str], code: i32, says: &[&str]) {
    let ran = site.run(args);
    let (out, err) = (ran.out(), ran.err());
    assert_eq!(ran.code(), Some(code), "{args:?}\n{out}\n{err}");
    for part in says {
        assert!(err.contains(part), "{part:?} is not in what {args:?} says:\n{err}");
    }
}

#[test]
fn a_wrong_command_line_exits_64() {
    let site = Site::new();
    check(&site, &["appyl"], 64, &["unrecognized subcommand", "apply"]);
    check(&site, &["apply"], 64, &["MANIFEST"]);
    check(&site, &["apply", "iris.yaml", "-p", "epochs"], 64, &["KEY=VALUE"]);
    check(&site, &["apply", "iris.yaml", "--budget", "1e3"], 64, &["decimal amount"]);
    check(&site, &["cancel", "latest"], 64, &["write it as run-1", "ohc get runs"]);
    check(&site, &["--version"], 0, &[]);
}

#[test]
fn a_wrong_command_line_is_told_to_programs_too() {
    let site = Site::new();
    let told = |args: &[&str]| {
        let ran = site.run(args);
        assert_eq!(ran.code(), Some(64), "{args:?}: {}", ran.err());
        assert!(ran.err().contains("error: "), "{args:?} says nothing to people");
        let last = ran.last();
        assert_eq!((&last["kind"], &last["status"]), (&"Error".into(), &"failed".into()), "{last}");
        last["error"].clone()
    };
    let error = told(&["apply", "iris.yaml", "--detahc", "-o", "json"]);
    assert_eq!(error["message"], "unexpected argument '--detahc' found");
    assert_eq!(error["hint"], "a similar argument exists: '--detach'");
    let error = told(&["get", "-o=json"]);
    assert!(error["message"].as_str().unwrap().contains("not provided"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--help"), "{error}");
    told(&["appyl", "--output", "json"]);
    told(&["network", "-ojson"]);
    // People are told once, and whoever asks for help is given it.
    assert_eq!(site.run(&["apply"]).out(), "");
    let help = site.run(&["apply", "-o", "json", "--help"]);
    assert!(help.code() == Some(0) && help.out().starts_with("Run"), "{}", help.out());
}

#[test]
fn a_wrong_manifest_is_shown_at_its_place_with_a_hint() {
    let site = Site::new();
    site.vary("key.yaml", "epochs: ${{", "epoch: ${{");
    check(&site, &["apply", "key.yaml"], 1, &["key.yaml:43:9", "`epoch`", "did you mean `epochs`"]);
    site.vary("cycle.yaml", "rows: sources.flowers", "rows: split.train");
    check(&site, &["apply", "cycle.yaml"], 1, &["cycle.yaml:", "table", "split"]);
    site.vary("file.yaml", "data/iris.csv", "data/rose.csv");
    check(&site, &["apply", "file.yaml"], 1, &["file.yaml:21:5", "rose.csv", "hint: "]);
    site.vary("column.yaml", "target: species", "target: colour");
    check(&site, &["apply", "column.yaml"], 1, &["column.yaml:", "colour", "hint: "]);
    check(&site, &["apply", "none.yaml"], 1, &["error: ", "none.yaml", "hint: "]);
    check(&site, &["apply", "data"], 1, &["error: ", "hint: "]);
    assert!(!site.path("home/log").exists(), "nothing was begun for a manifest that is wrong");
    assert!(!site.path("home/keys").exists());
}

#[test]
fn an_unreadable_table_is_named_with_what_is_wrong() {
    let site = Site::new();
    let table = fs::read_to_string(site.path("data/iris.csv")).unwrap();
    site.write("data/ragged.csv", &format!("{table}1,2\n"));
    site.vary("ragged.yaml", "data/iris.csv", "data/ragged.csv");
    check(&site, &["apply", "ragged.yaml"], 1, &["ragged.csv"]);
    site.write("data/empty.csv", "");
    site.vary("empty.yaml", "data/iris.csv", "data/empty.csv");
    check(&site, &["apply", "empty.yaml"], 1, &["empty.csv"]);
}

#[test]
fn a_loss_that_is_not_a_number_fails_the_run_and_gives_the_rest_back() {
    let site = Site::new();
    site.vary("iris.yaml", "lr: 0.01", "lr: 1000000");
    // Eight layers of weights near a million: the sum of their products has no f32.
    let deep = "hidden: [16, 16, 16, 16, 16, 16, 16, 16]";
    site.vary("nan.yaml", "hidden: [\"${{ matrix.width }}\"]", deep);
    let ran = site.run(&["apply", "nan.yaml", "-o", "json"]);
    assert_eq!(ran.code(), Some(1), "{}", ran.err());
    assert!(ran.err().contains("train@width=") && ran.err().contains("hint: "), "{}", ran.err());
    let result = ran.last();
    assert_eq!(result["kind"], "RunResult");
    assert_eq!(result["status"], "failed");
    assert!(result["error"]["message"].as_str().unwrap().contains("train"), "{result}");
    assert_eq!(site.all_money(), SUPPLY_NANO);
    let accounts = site.json(&["get", "accounts", "-o", "json"]);
    let items = accounts["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["escrow"] == "0.00" && item["bond"] == "0.00"));
    // Nothing waits any more in a run that is over.
    for list in ["blocks", "jobs"] {
        let items = site.json(&["get", list, "-o", "json"])["items"].to_string();
        assert!(items.contains("\"void\"") && !items.contains("\"waiting\""), "{list}: {items}");
    }
    let why = site.run(&["why", "run-1/5"]);
    assert!(why.out().contains("void: its run was over before (failed)"), "{}", why.out());
    // It would fail again: that is known now, and nothing is paid for it a second time.
    let again = site.run(&["apply", "nan.yaml"]);
    assert_eq!(again.code(), Some(1));
    assert!(again.err().contains("as it did before"), "{}", again.err());
    assert_eq!(site.json(&["get", "accounts", "-o", "json"]), accounts);
    let plan = site.json(&["plan", "nan.yaml", "-o", "json"]);
    assert!(plan.to_string().contains("\"action\":\"fail\""), "{plan}");
    // Nor is that it fails told to be that nothing has changed.
    assert_eq!(plan["changes"], false);
    assert!(plan["fails"].as_str().unwrap().starts_with("train@width="), "{plan}");
    let plan = site.run(&["plan", "nan.yaml", "--detailed-exitcode"]);
    assert_eq!(plan.code(), Some(1), "{}", plan.out());
    assert!(plan.out().contains("fails as it did before: "), "{}", plan.out());
    assert!(!plan.out().contains("all cached"), "{}", plan.out());
    let diff = site.run(&["diff", "nan.yaml"]);
    assert!(diff.out().contains("what was applied last (run-1, failed)"), "{}", diff.out());
}

#[test]
fn a_budget_that_is_too_small_exits_4_before_anything_is_spent() {
    let site = Site::new();
    site.vary("poor.yaml", "\"5.00\"", "\"0.10\"");
    check(&site, &["apply", "poor.yaml"], 4, &["poor.yaml:22:20", "0.10 OhC", "hint: "]);
    check(&site, &["apply", "iris.yaml", "--budget", "0.1"], 4, &["0.10 OhC", "hint: "]);
    check(&site, &["apply", "iris.yaml", "--budget", "72492272"], 4, &["can spend"]);
    let result = site.run(&["apply", "poor.yaml", "-o", "json"]).last();
    assert_eq!((&result["kind"], &result["status"]), (&"RunResult".into(), &"failed".into()));
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"].as_array().unwrap().len(), 0);
}

#[test]
fn reading_a_home_that_does_not_exist_fails_and_begins_none() {
    let site = Site::new();
    for args in [["get", "runs"], ["wallet", "balance"], ["log", "verify"]] {
        check(&site, &args, 1, &["there is no network", "hint: "]);
    }
    check(&site, &["plan", "iris.yaml"], 0, &[]);
    check(&site, &["plan", "iris.yaml", "--detailed-exitcode"], 2, &[]);
    check(&site, &["apply", "iris.yaml", "--dry-run"], 0, &[]);
    assert!(!site.path("home").exists());
}

#[test]
fn a_second_process_on_one_home_is_refused() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let log = ohc::effects::store::Store::open(&site.path("home/log")).unwrap();
    check(&site, &["apply", "iris.yaml"], 1, &["in use by another process", "hint: "]);
    check(&site, &["get", "runs"], 1, &["in use by another process"]);
    drop(log);
    check(&site, &["get", "runs"], 0, &[]);
}

#[test]
fn validate_reports_all_faults_of_all_files() {
    let site = Site::new();
    let text = fs::read_to_string(site.path("iris.yaml")).unwrap();
    let wrong = text.replace("seed: 7", "sed: 7").replace("uses: ingest", "uses: digest");
    site.write("wrong.yaml", &wrong);
    let ran = site.run(&["validate", "iris.yaml", "wrong.yaml"]);
    assert_eq!(ran.code(), Some(1));
    for part in ["iris.yaml: sound", "`sed`", "`digest`", "wrong.yaml:29:13", "hint: "] {
        assert!(ran.out().contains(part), "{part:?} is not in:\n{}", ran.out());
    }
    let github = site.run(&["validate", "wrong.yaml", "-o", "github"]).out();
    assert!(github.lines().count() >= 2, "{github}");
    assert!(github.lines().all(|line| line.starts_with("::error file=wrong.yaml,line=")));
    let json = site.run(&["validate", "iris.yaml", "wrong.yaml", "-o", "json"]).last();
    assert_eq!((&json["files"][0]["ok"], &json["files"][1]["ok"]), (&true.into(), &false.into()));
}

#[test]
fn the_schema_is_the_one_in_the_repository() {
    let site = Site::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/pipeline.v1alpha1.json");
    assert_eq!(site.run(&["schema", "pipeline"]).out(), fs::read_to_string(path).unwrap());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    for args in [&["log", "show"][..], &["get", "blocks"], &["schema", "pipeline"]] {
        let mut command = site.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "{args:?}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_flipped_byte_in_the_log_is_found() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let verdict = site.json(&["log", "verify", "-o", "json"]);
    assert_eq!(verdict["ok"], true, "{verdict}");
    assert!(verdict["slots"].as_u64().unwrap() > 5 && verdict["first_fault"].is_null());
    let journal = site.path("home/log/db/0.jnl");
    let whole = fs::read(&journal).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..end - 400).step_by(end / 12) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&journal, flipped).unwrap();
        let ran = site.run(&["log", "verify", "-o", "json"]);
        assert_eq!(ran.code(), Some(3), "byte {at}: {}{}", ran.out(), ran.err());
        assert!(ran.last()["first_fault"]["height"].is_u64(), "byte {at}: {}", ran.out());
    }
}

#[test]
fn where_the_output_takes_nothing_that_is_said() {
    let site = Site::new();
    check(&site, &["apply", "iris.yaml"], 0, &[]);
    for args in [&["plan", "iris.yaml"][..], &["get", "runs"], &["validate", "iris.yaml"]] {
        for format in ["table", "json"] {
            let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut command = site.command(args);
            // `validate` has no tables.
            if args[0] != "validate" {
                command.args(["-o", format]);
            }
            let ran = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
            let err = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(1), "{args:?} {format}: {err}");
            assert!(err.starts_with("error: "), "{args:?} {format}: {err:?}");
        }
    }
}
