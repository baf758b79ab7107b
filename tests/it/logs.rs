//! Journals: what `ohc logs` shows of a run, during it and after it, as text, JSON, CSV and for
//! TensorBoard. Never waits longer than a run takes.

use crate::site::{Ran, Site};
use ohc::effects::clock::Clock;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The lines of a journal as objects.
#[track_caller]
fn lines(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    ran.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for something that another process is about to do.
#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.seconds() < 60.0, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_run_tells_what_its_jobs_said_and_what_became_of_them() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let text = site.run(&["logs", "latest"]).out();
    for part in [
        "opened   run-1 iris\n",
        "submitted run-1  client locks 5.00 OhC",
        "  at most ",
        "leased   run-1/0 table+split  worker-",
        "began    train@width=16,seed=1  worker-",
        "step     train@width=32,seed=2  ",
        "  loss ",
        "  rate 0.01",
        "drawn    ",
        "settled  run-1/0 table+split  worker-",
        "measured evaluate  accuracy ",
        "settled  run-1  refunded ",
        "wrote    model  ",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let all = lines(&site.run(&["logs", "run-1", "-o", "json"]));
    assert_eq!(all.len(), text.lines().count());
    assert!(all.iter().all(|line| line["version"] == 1 && line["kind"] == "LogLine"));
    let train = "train@width=16,seed=1";
    let steps: Vec<&Value> =
        all.iter().filter(|line| line["what"] == "step" && line["stage"] == train).collect();
    let (first, last) = (steps.first().unwrap(), steps.last().unwrap());
    assert_eq!((&first["step"], &last["step"]), (&1.into(), &last["steps"]));
    assert!(steps.len() > 100 && last["loss"].as_f64() < first["loss"].as_f64(), "{last}");
    assert!(last["rows"].as_u64().unwrap() > first["rows"].as_u64().unwrap());
    assert_eq!(site.run(&["logs", "latest", "-f"]).code(), Some(0), "it is over");
}

#[test]
fn lines_are_chosen_by_stage_number_and_age() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let all = site.run(&["logs", "run-1"]).out();
    let tail = site.run(&["logs", "run-1", "--tail", "3"]).out();
    assert_eq!(
        tail.lines().collect::<Vec<_>>(),
        all.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(site.run(&["logs", "run-1", "--tail", "0"]).out(), "");
    assert_eq!(site.run(&["logs", "run-1", "--since", "1h"]).out(), all);
    let stage = site.run(&["logs", "run-1", "train"]).out();
    let one = site.run(&["logs", "run-1", "train@width=16,seed=2"]).out();
    assert!(stage.lines().all(|line| line.contains("train@")), "{stage}");
    assert!(one.lines().all(|line| line.contains("train@width=16,seed=2")), "{one}");
    assert!(one.lines().count() > 10 && stage.lines().count() > 2 * one.lines().count());
    let none = site.run(&["logs", "run-1", "trian"]);
    assert_eq!((none.code(), none.out().as_str()), (Some(1), ""));
    assert!(none.err().contains("did you mean `train`"), "{}", none.err());
    let timed = site.run(&["logs", "run-1", "--timestamps", "--tail", "1"]).out();
    let time = timed.split("  ").next().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{timed}");
    assert_eq!(site.run(&["logs", "run-1", "-o", "name"]).out(), "run-1\n");
}

#[test]
fn a_journal_may_be_deleted_and_a_wrong_name_is_explained() {
    let site = Site::new();
    let before = site.run(&["logs", "latest"]);
    assert_eq!(before.code(), Some(1));
    assert!(before.err().contains("there is no network"), "{}", before.err());
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    for name in ["run-9", "latest"] {
        if name == "latest" {
            fs::remove_dir_all(site.path("home/runs")).unwrap();
        }
        let ran = site.run(&["logs", name]);
        assert_eq!(ran.code(), Some(1), "{name}");
        assert!(ran.err().contains("there is no journal of"), "{}", ran.err());
        assert!(ran.err().contains("hint: `ohc get runs`"), "{}", ran.err());
    }
    assert_eq!(site.run(&["logs", "rum-1"]).code(), Some(64));
    assert_eq!(site.json(&["apply", "iris.yaml", "-o", "json"])["status"], "unchanged");
}

#[test]
fn a_run_of_another_process_is_followed_to_its_end_and_exit_code() {
    let site = Site::new();
    site.vary("good.yaml", "default: 60", "default: 400");
    site.vary("iris.yaml", "lr: 0.01", "lr: 1000000");
    let deep = "hidden: [16, 16, 16, 16, 16, 16, 16, 16]";
    site.vary("bad.yaml", "hidden: [\"${{ matrix.width }}\"]", deep);
    let cases =
        [("good.yaml", "run-1", 0, "settled  run-1  "), ("bad.yaml", "run-2", 1, "failed ")];
    for (manifest, run, code, says) in cases {
        let journal = site.path("home/runs").join(run).join("journal.jsonl");
        let mut apply = site.command(&["apply", manifest]);
        let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the journal", || journal.exists());
        let followed = site.run(&["logs", run, "-f", "--tail", "5"]);
        assert_eq!(followed.code(), Some(code), "{manifest}: {}", followed.err());
        assert!(followed.out().contains(says), "{manifest}: {}", followed.out());
        assert_eq!(apply.wait().unwrap().code(), Some(code), "{manifest}");
    }
}

#[test]
fn nobody_waits_for_a_run_that_nobody_runs() {
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 20000");
    let mut apply = site.command(&["apply", "long.yaml", "--budget", "5000"]);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = site.path("home/runs/run-1/journal.jsonl");
    let is_training = || fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"step\""));
    wait_for("the training", is_training);
    let mut follow = site.command(&["logs", "run-1", "-f"]);
    let follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    apply.kill().unwrap();
    apply.wait().unwrap();
    let followed = follow.wait_with_output().unwrap();
    let said = String::from_utf8(followed.stderr).unwrap();
    assert_eq!(followed.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody runs it any more") && said.contains("hint: "), "{said}");
    // Half a line at the end is what a crash leaves.
    let mut torn = fs::read(&journal).unwrap();
    torn.extend(b"{\"at\":17,\"entr");
    fs::write(&journal, torn).unwrap();
    assert!(site.run(&["logs", "run-1"]).out().contains("step     train@"));
}

#[test]
fn what_was_measured_is_a_table_and_what_tensorboard_reads() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let csv = site.run(&["logs", "run-1", "--csv", "-"]).out();
    assert!(csv.starts_with("step,stage,metric,value\n"), "{csv}");
    assert!(csv.contains("\n1,\"train@width=16,seed=1\",loss,"), "{csv}");
    assert!(csv.contains("evaluate,accuracy,"), "{csv}");
    site.run(&["logs", "run-1", "--csv", "out.csv"]);
    assert_eq!(fs::read_to_string(site.path("out.csv")).unwrap(), csv);
    let written = site.run(&["logs", "run-1", "--tensorboard", "boards"]);
    assert_eq!(written.code(), Some(0), "{}", written.err());
    assert!(written.out().contains("boards/train@width=16,seed=1/events.out.tfevents."));
    let read = read_by_tensorboard(&site.path("boards"));
    let train = read.iter().find(|run| run["run"] == "train@width=16,seed=1").unwrap();
    assert_eq!(train["version"], 2.0);
    let loss = train["scalars"]["loss"].as_array().unwrap();
    // Every value of the table is in the files, and no other.
    let rows = csv.lines().filter(|row| row.contains("\"train@width=16,seed=1\",loss,"));
    let rows: Vec<(u64, f32)> = rows.map(|row| (first(row), last(row))).collect();
    let events =
        loss.iter().map(|event| (event[0].as_u64().unwrap(), event[1].as_f64().unwrap() as f32));
    assert_eq!(events.collect::<Vec<_>>(), rows);
    assert!(rows.len() > 100, "{}", rows.len());
    let accuracy = &read.iter().find(|run| run["run"] == "evaluate").unwrap()["scalars"];
    assert!(accuracy["accuracy"][0][1].as_f64().unwrap() > 0.5, "{accuracy}");
}

fn first(row: &str) -> u64 {
    row.split(',').next().unwrap().parse().unwrap()
}

fn last(row: &str) -> f32 {
    row.rsplit(',').next().unwrap().parse().unwrap()
}

/// What TensorBoard's own reader finds, one object per folder.
#[track_caller]
fn read_by_tensorboard(folder: &Path) -> Vec<Value> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let made = Command::new(peers.join("venv")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let python = String::from_utf8(made.stdout).unwrap();
    let mut read = Command::new(python.trim());
    let read = read.arg(peers.join("scalars.py")).arg(folder).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
