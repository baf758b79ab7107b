//! `ohc apply` and `ohc plan` with all that can be asked of them: several manifests at once, limits
//! of money and time, saved plans, differences. Each documented exit code is seen here. Never looks
//! inside: the program is run as people run it.

use crate::site::{Ran, SUPPLY_NANO, Site, nano};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs the program, compares its exit code and parts of what it says on either stream.
#[track_caller]
fn check(site: &Site, args: &[&str], code: i32, says: &[&str]) -> Ran {
    let ran = site.run(args);
    let said = format!("{}\n{}", ran.out(), ran.err());
    assert_eq!(ran.code(), Some(code), "{args:?}\n{said}");
    for part in says {
        assert!(said.contains(part), "{part:?} is not in what {args:?} says:\n{said}");
    }
    ran
}

fn signal(child: &std::process::Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
fn exit_0_and_2_tell_a_script_whether_anything_would_run() {
    let site = Site::new();
    check(&site, &["plan", "iris.yaml", "--detailed-exitcode"], 2, &["to run"]);
    check(&site, &["apply", "iris.yaml"], 0, &["settled"]);
    check(&site, &["plan", "iris.yaml", "--detailed-exitcode"], 0, &["all cached"]);
    check(&site, &["plan", "iris.yaml", "--detailed-exitcode", "--refresh", "evaluate"], 2, &[]);
    check(&site, &["plan", "iris.yaml", "--refresh", "evaluat"], 1, &["did you mean `evaluate`"]);
    let again = check(&site, &["apply", "iris.yaml", "--no-cache", "-o", "json"], 0, &[]);
    assert_eq!(again.last()["blocks"]["cached"], 0);
}

#[test]
fn exit_3_says_that_the_log_is_not_what_was_signed() {
    let site = Site::new();
    check(&site, &["apply", "iris.yaml"], 0, &[]);
    let journal = site.path("home/log/db/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end / 2] ^= 1;
    fs::write(&journal, bytes).unwrap();
    check(&site, &["log", "verify"], 3, &["wrong:"]);
}

#[test]
fn exit_4_leaves_a_run_that_more_money_lets_go_on() {
    let site = Site::new();
    let short = check(&site, &["apply", "iris.yaml", "--budget", "0.66", "-o", "json"], 4, &[]);
    let result = short.last();
    assert_eq!((&result["status"], &result["run"]), (&"paused".into(), &"run-1".into()));
    assert!(short.err().contains("ohc resume run-1 --budget"), "{}", short.err());
    check(&site, &["resume", "run-1", "--budget", "0.5"], 64, &["write +OHC"]);
    let resumed = check(&site, &["resume", "run-1", "--budget", "+2", "-o", "json"], 0, &[]);
    let result = resumed.last();
    assert_eq!((&result["status"], &result["run"]), (&"settled".into(), &"run-1".into()));
    let [total, refunded] = ["total", "refunded"].map(|part| nano(&result["cost"][part]));
    assert_eq!(total + refunded, 2_660_000_000);
    assert!(site.path("out/iris/model.safetensors").exists());
    assert_eq!(site.all_money(), SUPPLY_NANO);
}

#[test]
fn a_larger_budget_of_the_same_apply_tops_a_paused_run_up() {
    let site = Site::new();
    check(&site, &["apply", "iris.yaml", "--budget", "0.66"], 4, &["does not cover"]);
    let ran = check(&site, &["apply", "iris.yaml", "--budget", "3", "-o", "json"], 0, &["resumed"]);
    assert_eq!(ran.last()["run"], "run-1");
}

#[test]
fn exit_5_keeps_what_is_settled_for_the_next_apply() {
    let site = Site::new();
    site.vary("slow.yaml", "default: 60", "default: 20000");
    let args = ["apply", "slow.yaml", "--budget", "60", "--timeout", "3s", "-o", "json"];
    let result = check(&site, &args, 5, &["run-1 is not over"]).last();
    assert_eq!((&result["status"], &result["run"]), (&"timed-out".into(), &"run-1".into()));
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"][0]["status"], "running");
    check(&site, &["apply", "slow.yaml", "--timeout", "soon"], 64, &["15m"]);
    let cancelled = site.json(&["cancel", "run-1", "-o", "json"]);
    let [total, refunded] = ["total", "refunded"].map(|part| nano(&cancelled["cost"][part]));
    assert_eq!((&cancelled["status"], total + refunded), (&"cancelled".into(), 60_000_000_000));
    check(&site, &["cancel", "run-1"], 1, &["is over", "hint: "]);
    check(&site, &["cancel", "run-7"], 1, &["there is no run-7"]);
    assert_eq!(site.all_money(), SUPPLY_NANO);
}

#[test]
fn exit_6_says_that_somebody_else_cancelled_the_run() {
    let site = Site::new();
    let apply = site.spawn_slow(&[]);
    let cancelled = site.json(&["cancel", "run-1", "-o", "json"]);
    assert_eq!(cancelled["status"], "cancelled");
    let ran = Ran::of(apply);
    assert_eq!(ran.code(), Some(6), "{}", ran.err());
    let result = ran.last();
    assert_eq!((&result["status"], &result["run"]), (&"cancelled".into(), &"run-1".into()));
    assert_eq!(result["cost"], cancelled["cost"], "both saw the same end");
    let [total, refunded] = ["total", "refunded"].map(|part| nano(&result["cost"][part]));
    assert_eq!(total + refunded, 60_000_000_000);
    assert_eq!(site.all_money(), SUPPLY_NANO);
}

#[test]
fn exit_64_is_for_what_the_command_line_lacks() {
    let site = Site::new();
    site.vary("free.yaml", "  budget: { total: \"5.00\" }", "  #");
    let said = ["no budget is set", "-y", "--budget"];
    check(&site, &["apply", "free.yaml"], 64, &said);
    let runs = site.json(&["get", "runs", "-o", "json"]);
    assert_eq!(runs["items"].as_array().unwrap().len(), 0, "nothing was spent");
    check(&site, &["apply", "iris.yaml", "--detach"], 64, &["no network", "hint: "]);
    check(&site, &["plan"], 64, &["MANIFEST"]);
    check(&site, &["apply", "free.yaml", "-y"], 0, &["settled"]);
}

#[test]
fn exit_130_settles_what_is_delivered_and_names_the_run() {
    for name in ["-INT", "-TERM"] {
        let site = Site::new();
        let apply = site.spawn_slow(&[]);
        signal(&apply, name);
        let ran = Ran::of(apply);
        assert_eq!(ran.code(), Some(130), "{}", ran.err());
        let result = ran.last();
        assert_eq!((&result["status"], &result["run"]), (&"interrupted".into(), &"run-1".into()));
        assert!(ran.err().contains("ohc cancel run-1"), "{}", ran.err());
        let blocks = site.json(&["get", "blocks", "-o", "json"]);
        let is_open = |block: &&serde_json::Value| {
            block["phase"] == "delivered" || block["phase"] == "judged"
        };
        assert_eq!(blocks["items"].as_array().unwrap().iter().filter(is_open).count(), 0);
        let workers = site.json(&["get", "workers", "-o", "json"]);
        assert!(workers["items"].as_array().unwrap().iter().all(|w| w["ask"].is_null()));
        assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
        assert_eq!(site.all_money(), SUPPLY_NANO);
    }
}

#[test]
fn several_documents_are_applied_in_order_and_the_worst_end_counts() {
    let site = Site::new();
    let iris = fs::read_to_string(site.path("iris.yaml")).unwrap();
    let noop = |name: &str| {
        format!(
            "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  \
             budget: {{ total: \"1.00\" }}\n  \
             stages: {{ a: {{ uses: noop, with: {{ tag: {tag} }} }} }}\n",
            // Another tag is another job, or it would be known already.
            tag = name.bytes().map(u32::from).sum::<u32>(),
        )
    };
    site.write("all.yaml", &format!("{}---\n{}", noop("first"), noop("second")));
    let ran = check(&site, &["apply", "-f", "all.yaml", "-o", "json"], 0, &[]);
    let names: Vec<String> = ran
        .out()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|object| object["kind"] == "RunResult")
        .map(|object| format!("{} {}", object["pipeline"], object["status"]))
        .collect();
    assert_eq!(names, ["\"first\" \"settled\"", "\"second\" \"settled\""]);

    let broken = noop("third").replace("noop,", "nope,");
    site.write("some.yaml", &format!("{broken}---\n{}", noop("fourth")));
    let ran = check(&site, &["apply", "some.yaml"], 1, &["some.yaml:6:"]);
    assert!(!ran.out().contains("fourth"), "{}", ran.out());
    site.write("late.yaml", &format!("{}---\n{broken}", noop("fourth")));
    check(&site, &["validate", "late.yaml"], 1, &["late.yaml:13:", "late.yaml: sound"]);
    // What is wrong with the last is told before the first is paid.
    let ran = check(&site, &["apply", "late.yaml"], 1, &["late.yaml:13:"]);
    assert!(!ran.out().contains("fourth"), "{}", ran.out());
    site.write("twice.yaml", &format!("{}---\n{}", noop("fifth"), noop("fifth")));
    // They may be meant for two networks, but not for one command.
    for (verb, exit) in [("validate", 0), ("apply", 1)] {
        let says = ["twice.yaml:10:1", "a pipeline of twice.yaml is called `fifth` too"];
        check(&site, &[verb, "twice.yaml"], exit, &says);
    }
    fs::create_dir(site.path("pair")).unwrap();
    site.write("pair/a.yaml", &fs::read_to_string(site.path("iris.yaml")).unwrap());
    site.vary("pair/a.yaml", "data/iris.csv", "../data/iris.csv");
    site.write("pair/b.yaml", &fs::read_to_string(site.path("pair/a.yaml")).unwrap());
    site.vary("pair/b.yaml", "name: iris", "name: other");
    check(&site, &["validate", "pair"], 0, &["pair/a.yaml: sound", "pair/a.yaml writes to `"]);
    check(&site, &["apply", "pair"], 1, &["pair/a.yaml writes to `"]);

    fs::create_dir(site.path("many")).unwrap();
    site.write("many/b.yml", &noop("b"));
    site.write("many/a.yaml", &noop("a"));
    site.write("many/other.yaml", "kind: Service\n");
    let ran = check(&site, &["apply", "many"], 0, &["a: settled", "b: settled"]);
    assert!(ran.out().find("a: settled") < ran.out().find("b: settled"));
    // What is misspelt or no text is told beside the others, with its file.
    site.write("many/c.yaml", &noop("c").replace("Pipeline", "Pipelin"));
    fs::write(site.path("many/d.yaml"), b"kind: Pipeline # \xe4\n").unwrap();
    let says = ["many/c.yaml:2:", "many/d.yaml is not UTF-8", "many/a.yaml: sound"];
    check(&site, &["validate", "many"], 1, &says);

    let mut child = site.command(&["apply", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(iris.as_bytes()).unwrap();
    assert_eq!(Ran::of(child).code(), Some(0));
}

#[test]
fn of_several_pipelines_each_is_named_and_what_they_share_is_counted_once() {
    let site = Site::new();
    fs::create_dir(site.path("all")).unwrap();
    site.vary("all/a.yaml", "data/iris.csv", "../data/iris.csv");
    let first = fs::read_to_string(site.path("all/a.yaml")).unwrap();
    let other = first.replace("name: iris", "name: other").replace("out/iris/", "out/other/");
    let other = other.replace("lr: 0.01", "lr: 1000000");
    let deep = "hidden: [16, 16, 16, 16, 16, 16, 16, 16]";
    let other = other.replace("hidden: [\"${{ matrix.width }}\"]", deep);
    site.write("all/b.yaml", &other);
    let likely =
        |manifest: &str| nano(&site.json(&["plan", manifest, "-o", "json"])["price"]["likely"]);
    let sum = likely("all/a.yaml") + likely("all/b.yaml");
    let table = site.json(&["plan", "all/a.yaml", "-o", "json"]);
    let shared = nano(&table["stages"][0]["price"]["likely"]);
    let plan = check(&site, &["plan", "all"], 0, &["all/a.yaml\n", "all/b.yaml\n", "all 2, one"]);
    let told = plan.out();
    let told = told.split("likely ").last().unwrap().split(',').next().unwrap();
    assert_eq!(nano(&told.into()), sum - shared, "{}", plan.out());
    // A failure says of which it is, the first time and when it is known.
    let ran = check(&site, &["apply", "all"], 1, &["iris: settled"]);
    assert!(ran.err().contains("error: other: "), "{}", ran.err());
    let ran = check(&site, &["apply", "all"], 1, &["iris: unchanged"]);
    assert!(ran.err().contains("error: all/b.yaml: train@width="), "{}", ran.err());
    // What would keep them from being applied together is said before.
    site.write("all/b.yaml", &first);
    check(&site, &["plan", "all"], 0, &["a pipeline of all/a.yaml is called `iris` too"]);
}

#[test]
fn parameters_come_from_a_file_and_the_command_line_goes_before_it() {
    let site = Site::new();
    site.write("p.yaml", "epochs: 600\n");
    let plan = |args: &[&str]| site.json(&[&["plan", "iris.yaml", "-o", "json"], args].concat());
    let by_file = plan(&["--params-file", "p.yaml"]);
    assert_eq!(by_file, plan(&["-p", "epochs=600"]));
    assert_ne!(by_file, plan(&[]));
    assert_eq!(plan(&["--params-file", "p.yaml", "-p", "epochs=60"]), plan(&[]));
    site.write("wrong.yaml", "epochs: { a: 1 }\n");
    let says = ["wrong.yaml:1:1", "`epochs`", "hint: "];
    check(&site, &["plan", "iris.yaml", "--params-file", "wrong.yaml"], 1, &says);
}

#[test]
fn a_saved_plan_is_applied_exactly_or_refused_with_what_changed() {
    let site = Site::new();
    check(&site, &["plan", "iris.yaml", "-p", "epochs=61", "--out", "p.plan"], 0, &["p.plan"]);
    site.vary("iris.yaml", "default: 60", "default: 999");
    let ran = check(&site, &["apply", "p.plan", "-o", "json"], 0, &[]);
    assert_eq!(ran.last()["status"], "settled");
    check(&site, &["apply", "p.plan"], 1, &["out of date", "run-1"]);

    check(&site, &["plan", "iris.yaml", "-p", "epochs=62", "--out", "p.plan"], 0, &[]);
    let table = fs::read_to_string(site.path("data/iris.csv")).unwrap();
    let last = table.trim_end().lines().last().unwrap().to_owned();
    site.write("data/iris.csv", &format!("{table}{last}\n"));
    check(&site, &["apply", "p.plan"], 1, &["source `flowers` has changed"]);
    site.write("data/iris.csv", &table);
    check(&site, &["apply", "p.plan", "--dry-run"], 0, &["to run"]);
    check(&site, &["apply", "p.plan", "-p", "epochs=3"], 64, &["its parameters"]);

    let mut bytes = fs::read(site.path("p.plan")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(site.path("p.plan"), bytes).unwrap();
    check(&site, &["apply", "p.plan"], 1, &["is damaged", "hint: "]);
}

#[test]
fn diff_exits_like_diff() {
    let site = Site::new();
    check(&site, &["diff", "iris.yaml"], 1, &["was never applied", "+ stage train: 4 jobs"]);
    check(&site, &["apply", "iris.yaml"], 0, &[]);
    check(&site, &["diff", "iris.yaml"], 0, &["what was applied last (run-1)"]);
    site.vary("more.yaml", "seed: [1, 2]", "seed: [1, 2, 3]");
    let says = ["differs from run-1", "~ stage train: ", "+train@width=16,seed=3", "likely price"];
    check(&site, &["diff", "more.yaml"], 1, &says);
    let diff = check(&site, &["diff", "more.yaml", "-p", "epochs=5", "-o", "json"], 1, &[]).last();
    assert_eq!(
        diff["differences"][0],
        serde_json::json!(
            {"what": "param", "name": "epochs", "was": null, "is": "5"}
        )
    );
    site.write("broken.yaml", "kind: Pipeline\n");
    check(&site, &["diff", "broken.yaml"], 2, &["broken.yaml:"]);
    check(&site, &["diff"], 64, &["MANIFEST"]);
    let external =
        site.command(&["diff", "more.yaml"]).env("OHC_EXTERNAL_DIFF", "diff -u").output();
    let external = external.unwrap();
    assert_eq!(external.status.code(), Some(1));
    let said = String::from_utf8(external.stdout).unwrap();
    assert!(said.contains("\n-") && said.contains("seed: [1, 2, 3]"), "{said}");
}

#[test]
fn nothing_differs_from_what_was_applied_though_it_was_no_run() {
    let site = Site::new();
    check(&site, &["apply", "iris.yaml"], 0, &[]);
    check(&site, &["apply", "iris.yaml", "-p", "epochs=7"], 0, &[]);
    check(&site, &["diff", "iris.yaml"], 1, &["differs from run-2", "~ param epochs: 7"]);
    let unchanged = check(&site, &["apply", "iris.yaml", "-o", "json"], 0, &[]).last();
    assert_eq!((&unchanged["status"], &unchanged["run"]), (&"unchanged".into(), &"run-1".into()));
    check(&site, &["diff", "iris.yaml"], 0, &["what was applied last (run-1)"]);
    check(&site, &["diff", "iris.yaml", "-p", "epochs=7"], 1, &["differs from run-1"]);
    // Of another name there was no run; a run is what was applied last again.
    site.vary("other.yaml", "name: iris", "name: other");
    check(&site, &["apply", "other.yaml"], 0, &["unchanged"]);
    check(&site, &["diff", "other.yaml"], 0, &["other is what was applied last\n"]);
    check(&site, &["apply", "iris.yaml", "-p", "epochs=8"], 0, &[]);
    check(&site, &["diff", "iris.yaml"], 1, &["differs from run-3"]);
}

#[test]
fn a_plan_fits_80_columns_and_explains_itself() {
    let site = Site::new();
    let plan = check(&site, &["plan", "iris.yaml"], 0, &["CAUGHT", "STAGE     WHY", "time: about"]);
    for line in plan.out().lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    let json = site.json(&["plan", "iris.yaml", "-o", "json"]);
    let train = &json["stages"][2];
    assert_eq!(
        (&train["stage"], &train["needs"]),
        (&"train".into(), &serde_json::json!(["split"]))
    );
    assert_eq!(train["why"], serde_json::json!([{"why": "new", "jobs": 4}]));
    assert!(train["detection"]["everyBlock"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_run_is_paused_by_another_process_and_goes_on_when_it_is_resumed() {
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 3000");
    let apply = site.spawn(&["apply", "long.yaml", "-o", "json", "--budget", "20"]);
    while site.run(&["get", "blocks", "-o", "json"]).out().matches("\"leased\"").count() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let paused = site.json(&["pause", "run-1", "-o", "json"]);
    assert_eq!(paused["status"], "paused");
    let ran = Ran::of(apply);
    assert_eq!((ran.code(), ran.last()["status"].clone()), (Some(6), "paused".into()));
    let blocks = site.json(&["get", "blocks", "-o", "json"]);
    assert!(!blocks.to_string().contains("\"leased\""), "what was leased is settled: {blocks}");
    assert_eq!(site.json(&["pause", "run-1", "-o", "json"])["status"], "paused", "once more");
    let resumed = site.json(&["resume", "run-1", "-o", "json"]);
    assert_eq!((&resumed["status"], &resumed["run"]), (&"settled".into(), &"run-1".into()));
    let again = site.json(&["resume", "run-1", "--from", "evaluate", "-o", "json"]);
    assert_eq!((&again["run"], &again["blocks"]["run"]), (&"run-2".into(), &1.into()));
    assert_eq!(site.json(&["resume", "run-1", "-o", "json"])["status"], "unchanged");
    assert_eq!(site.all_money(), SUPPLY_NANO);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_run_is_named_and_loses_nothing() {
    let site = Site::new();
    check(&site, &["apply", "iris.yaml"], 0, &["settled"]);
    site.vary("slow.yaml", "default: 60", "default: 600");
    let journal = fs::read(site.path("home/log/db/0.jnl")).unwrap();
    let end = journal.iter().rposition(|byte| *byte != 0).unwrap();
    // No file may be longer than the log is now and a little: the run begins and cannot go on.
    let blocks = end / 1024 + 16;
    let program = env!("CARGO_BIN_EXE_ohc");
    let limited =
        format!("trap '' XFSZ; ulimit -f {blocks}; exec {program} apply slow.yaml --budget 9");
    let mut command = Command::new("bash");
    command.args(["-c", &limited]).current_dir(site.path(""));
    let ran = command.env("OHC_HOME", site.path("home")).env("NO_COLOR", "1").output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
    assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
    assert_eq!(site.all_money(), SUPPLY_NANO);
    check(&site, &["apply", "slow.yaml", "--budget", "9"], 0, &["settled"]);
}
