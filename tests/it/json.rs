//! `docs/json.md`: that every field that the program prints stands there, and no other does.
//! Never checks what a field holds: the tests of the verbs do.

use crate::site::Site;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../docs/json.md");

/// Fields whose own fields are names that somebody chose, or depend on a `kind`.
const OPEN: &[&str] = &["metrics", "params", "event", "events"];
/// The same of an object; a list of this name has fields like any other.
const OPEN_OBJECT: &str = "jobs";

/// The fields of each kind, and whether they are always there.
fn documented() -> BTreeMap<String, BTreeMap<String, bool>> {
    let mut kinds: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
    let mut kind = String::new();
    for line in PAGE.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            kind = name.to_owned();
            kinds.entry(kind.clone()).or_default();
        }
        let Some(field) = line.strip_prefix("- `") else { continue };
        let (field, rest) = field.split_once('`').unwrap();
        assert!(rest.starts_with(": ") || rest.starts_with("?: "), "{line}");
        let is_new = kinds.get_mut(&kind).unwrap().insert(field.into(), rest.starts_with(':'));
        assert!(is_new.is_none(), "{kind} has {field} twice");
    }
    kinds
}

fn collect(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let is_open = OPEN.iter().any(|open| path == *open || path.ends_with(&format!(".{open}")));
    match value {
        Value::Object(object) if !is_open && path != OPEN_OBJECT => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(value, &path, fields);
            }
        }
        Value::Array(items) if !is_open && items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| collect(item, &format!("{path}[]"), fields));
        }
        // An empty list of objects says nothing about them.
        Value::Array(items) if items.is_empty() => {}
        _ => drop(fields.insert(path.to_owned())),
    }
}

#[test]
fn the_page_about_json_says_what_is_printed() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    site.vary("other.yaml", "lr: 0.01", "lr: 0.02");
    site.json(&["apply", "other.yaml", "-o", "json", "-p", "epochs=50"]);
    let lists = ["runs", "stages", "blocks", "jobs", "artifacts", "accounts", "workers"];
    let subjects = ["latest", "run-1/0", "run-1/1", "split", "client", "validator", "worker-1"];
    let mut asked: Vec<Vec<&str>> = lists.iter().map(|list| vec!["get", list]).collect();
    asked.extend(subjects.iter().map(|subject| vec!["describe", subject]));
    asked.extend(["run-1/0", "split", "evaluate", "client"].map(|subject| vec!["why", subject]));
    asked.extend([vec!["ledger"], vec!["logs", "latest"], vec!["log", "show"]]);
    asked.push(vec!["log", "verify"]);
    let mut printed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mut args in asked {
        args.extend(["-o", "json"]);
        let ran = site.run(&args);
        assert_eq!(ran.code(), Some(0), "{args:?}: {}", ran.err());
        for line in ran.out().lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["version"], 1, "{args:?}");
            let kind = object["kind"].as_str().unwrap().to_owned();
            let fields = printed.entry(kind).or_default();
            collect(&object, "", fields);
        }
    }
    let documented = documented();
    let mut wrong = Vec::new();
    for (kind, fields) in &printed {
        let Some(known) = documented.get(kind) else {
            wrong.push(format!("{kind} has no section"));
            continue;
        };
        let is_plain = |field: &&String| *field != "version" && *field != "kind";
        let new = fields.iter().filter(is_plain).filter(|field| !known.contains_key(*field));
        wrong.extend(new.map(|field| format!("{kind}: `{field}` is printed, not documented")));
        let gone = known.iter().filter(|(field, always)| **always && !fields.contains(*field));
        wrong
            .extend(gone.map(|(field, _)| format!("{kind}: `{field}` is documented, not printed")));
    }
    let unseen = documented.keys().filter(|kind| !printed.contains_key(*kind));
    wrong.extend(unseen.map(|kind| format!("{kind} is documented, not printed")));
    assert!(wrong.is_empty(), "docs/json.md:\n{}", wrong.join("\n"));
}
