//! `docs/json.md`: that every field that the program prints stands there, and no other does.
//! Never checks what a field holds: the tests of the verbs do.

use crate::site::Site;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../docs/json.md");

/// Fields whose own fields are names that somebody chose, or depend on a `kind`.
const OPEN: &[&str] = &["metrics", "params", "event", "events", "error", "detail"];
/// The same of an object; a list of this name has fields like any other.
const OPEN_OBJECTS: &[&str] = &["jobs", "outputs"];

/// A field of the page: what is said of it, and whether it is always there.
struct Field {
    text: &'static str,
    is_always: bool,
}

/// The fields of each kind.
fn documented() -> BTreeMap<&'static str, BTreeMap<&'static str, Field>> {
    let mut kinds: BTreeMap<&str, BTreeMap<&str, Field>> = BTreeMap::new();
    let mut kind = "";
    for line in PAGE.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            kind = name;
            assert!(kinds.insert(kind, BTreeMap::new()).is_none(), "{kind} is there twice");
        }
        let Some(field) = line.strip_prefix("- `") else { continue };
        let (name, text) = field.split_once('`').unwrap();
        let is_always = text.starts_with(": ");
        assert!(is_always || text.starts_with("?: "), "{line}");
        let before = kinds.get_mut(kind).unwrap().insert(name, Field { text, is_always });
        assert!(before.is_none(), "{kind} has {name} twice");
    }
    kinds
}

/// What was printed: the fields of each kind, and those of each kind of event.
#[derive(Default)]
struct Printed {
    fields: BTreeMap<String, BTreeSet<String>>,
    events: BTreeMap<String, BTreeSet<String>>,
}

impl Printed {
    fn take(&mut self, line: &str) {
        let object: Value = serde_json::from_str(line).unwrap();
        if object.get("version").is_none() {
            return self.event(&object);
        }
        assert_eq!(object["version"], 1, "{line}");
        let mut fields = BTreeSet::new();
        collect(&object, "", &mut fields);
        let kind = object["kind"].as_str().unwrap();
        self.fields.entry(kind.into()).or_default().extend(fields);
        let events = object.get("events").and_then(Value::as_array).into_iter().flatten();
        events.chain(object.get("event")).for_each(|event| self.event(event));
    }

    fn event(&mut self, event: &Value) {
        let event = event.as_object().unwrap();
        let fields = event.keys().filter(|name| *name != "kind").cloned();
        let kind = event["kind"].as_str().unwrap();
        self.events.entry(kind.into()).or_default().extend(fields);
        self.fields.entry("Event".into()).or_default().insert(kind.into());
    }
}

fn collect(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let is_open = OPEN.iter().any(|open| path == *open || path.ends_with(&format!(".{open}")));
    match value {
        Value::Object(object) if !is_open && !OPEN_OBJECTS.contains(&path) => {
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

/// Runs everything that prints objects, so that every kind is printed once at least.
fn printed() -> Printed {
    let site = Site::new();
    site.vary("other.yaml", "lr: 0.01", "lr: 0.02");
    site.vary("wrong.yaml", "epochs: ${{", "epoch: ${{");
    let lists = ["runs", "stages", "blocks", "jobs", "artifacts", "accounts", "workers"];
    let subjects = ["latest", "run-1/0", "run-1/1", "split", "client", "validator", "worker-1"];
    let mut asked: Vec<Vec<&str>> = vec![
        vec!["plan", "iris.yaml"],
        vec!["apply", "iris.yaml"],
        vec!["diff", "other.yaml", "-p", "epochs=50"],
        vec!["apply", "other.yaml", "-p", "epochs=50"],
        vec!["validate", "iris.yaml", "wrong.yaml"],
        vec!["ledger"],
        vec!["logs", "latest"],
        vec!["log", "show"],
        vec!["log", "verify"],
        vec!["verify", "out/iris"],
        vec!["wallet", "new", "savings"],
        vec!["wallet", "list"],
        vec!["wallet", "balance"],
        vec!["wallet", "transfer", "savings", "1.50", "--yes"],
        vec!["doctor"],
        vec!["gc"],
        vec!["bench", "plan", "--jobs", "10"],
        vec!["get", "runs", "--after", "run-9"],
    ];
    asked.extend(lists.iter().map(|list| vec!["get", list]));
    asked.extend(subjects.iter().map(|subject| vec!["describe", subject]));
    asked.extend(["run-1/0", "split", "evaluate", "client"].map(|subject| vec!["why", subject]));
    let mut printed = Printed::default();
    for mut args in asked {
        args.extend(["-o", "json"]);
        let ran = site.run(&args);
        assert!(!ran.out().is_empty(), "{args:?}: {}", ran.err());
        ran.out().lines().for_each(|line| printed.take(line));
    }
    printed
}

#[test]
fn the_page_about_json_says_what_is_printed() {
    let (documented, printed) = (documented(), printed());
    let mut wrong = Vec::new();
    for (kind, fields) in &printed.fields {
        let Some(known) = documented.get(kind.as_str()) else {
            wrong.push(format!("{kind} has no section"));
            continue;
        };
        let is_own = |field: &&String| *field != "version" && *field != "kind";
        let new = fields.iter().filter(is_own).filter(|f| !known.contains_key(f.as_str()));
        wrong.extend(new.map(|field| format!("{kind}: `{field}` is printed, not documented")));
        let gone = known.iter().filter(|(name, field)| field.is_always && !fields.contains(**name));
        wrong.extend(gone.map(|(name, _)| format!("{kind}: `{name}` is documented, not printed")));
    }
    for (kind, fields) in &printed.events {
        let text = documented["Event"].get(kind.as_str()).map_or("", |field| field.text);
        let new = fields.iter().filter(|field| !text.contains(&format!("`{field}`")));
        wrong.extend(new.map(|field| format!("Event {kind}: `{field}` is not documented")));
    }
    let unseen = documented.keys().filter(|kind| !printed.fields.contains_key(**kind));
    wrong.extend(unseen.map(|kind| format!("{kind} is documented, not printed")));
    assert!(wrong.is_empty(), "docs/json.md:\n{}", wrong.join("\n"));
}
