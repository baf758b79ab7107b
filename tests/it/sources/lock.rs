//! `ohc.lock` and `--locked`. Never writes a lock by hand but to damage it.

use super::from;
use crate::site::Site;

fn lock(site: &Site) -> String {
    std::fs::read_to_string(site.path("ohc.lock")).unwrap()
}

/// Runs the program with `--locked`; it must fail and say `expect`.
#[track_caller]
fn refused(site: &Site, args: &[&str], expect: &[&str]) {
    let ran = site.run(args);
    assert_eq!(ran.code(), Some(1), "{args:?}: {}", ran.out());
    for expect in expect {
        assert!(ran.err().contains(expect), "{expect:?} is not in: {}", ran.err());
    }
}

#[test]
fn apply_writes_a_lock_and_plan_shows_what_changed_since() {
    let site = Site::new();
    assert_eq!(site.run(&["plan", "iris.yaml"]).code(), Some(0));
    assert!(!site.path("ohc.lock").exists(), "a plan writes no lock");
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let first = lock(&site);
    for part in ["\"version\": 1", "\"bytes\": 3858", "\"rows\": 150", "\"species: string\""] {
        assert!(first.contains(part), "{part} is not in {first}");
    }
    assert!(!first.contains("mark"), "times of files are of this machine alone: {first}");
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(lock(&site), first, "what did not change is not written again");

    let table = std::fs::read_to_string(site.path("data/iris.csv")).unwrap();
    site.write("data/iris.csv", &format!("{table}5.0,3.0,1.5,0.2,setosa\n"));
    let plan = site.run(&["plan", "iris.yaml"]);
    assert_eq!(plan.code(), Some(0));
    let expect = "source flowers changed: 3,858 → 3,881 bytes, 150 → 151 rows, since ohc.lock";
    assert!(plan.out().contains(expect), "{}", plan.out());
    let plan = site.json(&["plan", "iris.yaml", "-o", "json"]);
    assert_eq!(plan["sourceChanges"][0]["source"], "flowers");
    assert_eq!(plan["sourceChanges"][0]["before"]["rows"], 150);
    assert_eq!(plan["sourceChanges"][0]["now"]["rows"], 151);
    assert_eq!(lock(&site), first);
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_ne!(lock(&site), first);
    let plan = site.json(&["plan", "iris.yaml", "-o", "json", "--locked"]);
    assert_eq!(plan["sourceChanges"], serde_json::json!([]));
}

#[test]
fn locked_refuses_what_the_lock_does_not_say() {
    let site = Site::new();
    refused(&site, &["plan", "iris.yaml", "--locked"], &["there is no ohc.lock", "hint: "]);
    refused(&site, &["apply", "iris.yaml", "--locked"], &["there is no ohc.lock"]);
    assert!(!site.path("ohc.lock").exists() && !site.path("home/log").exists());
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let before = lock(&site);
    site.json(&["apply", "iris.yaml", "-o", "json", "--locked"]);
    let table = std::fs::read_to_string(site.path("data/iris.csv")).unwrap();
    site.write("data/iris.csv", &table.replacen("5.1", "5.2", 1));
    let expect = ["iris.yaml:21:5", "source `flowers` changed: digest ", "hint: "];
    refused(&site, &["plan", "iris.yaml", "--locked"], &expect);
    refused(&site, &["apply", "iris.yaml", "--locked"], &expect);
    let diff = site.run(&["diff", "iris.yaml", "--locked"]);
    assert_eq!((diff.code(), diff.out().as_str()), (Some(2), ""), "{}", diff.err());
    assert!(diff.err().contains(expect[1]), "{}", diff.err());
    assert_eq!(lock(&site), before, "--locked never writes");
    // What opens no source cannot say whether it is what it was.
    assert_eq!(site.run(&["validate", "iris.yaml", "--locked"]).code(), Some(64));
    // A copy of the same bytes, wherever it lies, is what the lock says.
    site.write("data/copy.csv", &table);
    from(&site, "copy.yaml", "data/copy.csv");
    site.json(&["plan", "copy.yaml", "-o", "json", "--locked"]);
}

#[test]
fn a_lock_holds_the_pipelines_of_its_folder_side_by_side() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    site.vary("other.yaml", "metadata: { name: iris }", "metadata: { name: other }");
    refused(&site, &["plan", "other.yaml", "--locked"], &["there is no ohc.lock that knows"]);
    site.json(&["apply", "other.yaml", "-o", "json"]);
    for manifest in ["iris.yaml", "other.yaml"] {
        site.json(&["plan", manifest, "-o", "json", "--locked"]);
    }
    let one = "flowers: { url: data/iris.csv, format: csv }";
    site.vary("twice.yaml", one, &format!("{one}\n    {}", one.replace("flowers", "more")));
    refused(&site, &["plan", "twice.yaml", "--locked"], &["source `more` is not in ohc.lock"]);
}

#[test]
fn a_lock_that_is_none_is_named_and_kept() {
    let site = Site::new();
    for text in ["{", "[]", "{\"version\": 2, \"pipelines\": {}}", "{\"version\": 1}"] {
        site.write("ohc.lock", text);
        refused(&site, &["plan", "iris.yaml"], &["ohc.lock is not a lock of version 1", "hint: "]);
        refused(&site, &["apply", "iris.yaml"], &["ohc.lock is not a lock of version 1"]);
        assert_eq!(lock(&site), text);
    }
}
