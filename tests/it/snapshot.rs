//! The snapshot of a home: it saves time, and whatever becomes of it changes nothing else.
//! Never measures the time: `ohc bench start` does.

use crate::site::Site;
use ohc::base::canon::{Decode, Digest, Encode};
use ohc::base::time::Height;
use ohc::domain::slot::Slot;
use ohc::effects::store::Store;
use std::fs;
use std::path::PathBuf;

/// Enough blocks that folding them again is worth a snapshot.
const MANY: &str = "apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: many }
spec:
  run: { limits: { instances: 12100, jobsPerBlock: 1 } }
  stages:
    job: { uses: noop, matrix: { axes: { a: [AXIS], b: [AXIS] } } }
";

/// Applies it.
pub(crate) const APPLY: [&str; 6] = ["apply", "many.yaml", "--budget", "3000", "-o", "json"];

/// Writes the manifest of so many blocks into a folder.
pub(crate) fn write_many(site: &Site) {
    let axis: Vec<String> = (0..110).map(|n| n.to_string()).collect();
    site.write("many.yaml", &MANY.replace("AXIS", &axis.join(",")));
}

/// A home that has a snapshot.
fn site() -> Site {
    let site = Site::new();
    write_many(&site);
    let result = site.json(&APPLY);
    assert_eq!(result["status"], "settled");
    assert!(snapshot(&site).exists(), "12,100 settled blocks are worth a snapshot");
    site
}

fn snapshot(site: &Site) -> PathBuf {
    site.path("home/snapshot")
}

/// All that is shown of the state, and what was said beside it.
fn shown(site: &Site) -> (Vec<String>, String) {
    let kinds = ["runs", "stages", "blocks", "jobs", "artifacts", "accounts", "workers"];
    let shown = kinds.map(|kind| {
        let ran = site.run(&["get", kind, "-o", "json"]);
        assert_eq!(ran.code(), Some(0), "{kind}: {}", ran.err());
        (ran.out().to_owned(), ran.err().to_owned())
    });
    let said = shown.iter().map(|(_, err)| err.as_str()).collect();
    (shown.into_iter().map(|(out, _)| out).collect(), said)
}

#[test]
fn r8_a_start_is_the_same_with_and_without_a_snapshot() {
    let site = site();
    let (expect, said) = shown(&site);
    assert_eq!(said, "");
    fs::remove_file(snapshot(&site)).unwrap();
    let (without, said) = shown(&site);
    assert!(without == expect && said.is_empty(), "{said}");
    let kept = fs::read(snapshot(&site)).expect("who has folded the whole log leaves a snapshot");

    // One bit anywhere: in what it says of itself, in the state, at its end.
    for at in [3, 40, 70, 100, 130, kept.len() / 2, kept.len() - 1] {
        let mut damaged = kept.clone();
        damaged[at] ^= 0x10;
        fs::write(snapshot(&site), &damaged).unwrap();
        let ran = site.run(&["get", "runs", "-o", "json"]);
        assert_eq!(ran.out(), expect[0], "byte {at}");
        assert!(ran.err().contains("snapshot is ignored"), "byte {at}: {}", ran.err());
        assert!(fs::read(snapshot(&site)).unwrap() == kept, "byte {at}: it is written anew");
    }
    for length in [0, 1, 100, kept.len() - 1] {
        fs::write(snapshot(&site), &kept[..length]).unwrap();
        let ran = site.run(&["get", "runs", "-o", "json"]);
        assert_eq!(ran.out(), expect[0], "{length} bytes");
        assert!(ran.err().contains("ignored: it is damaged"), "{length} bytes: {}", ran.err());
    }
    assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
    assert_eq!(site.json(&APPLY)["status"], "unchanged");
}

#[test]
fn a_snapshot_of_another_history_is_not_believed() {
    let (site, other) = (site(), site());
    let (expect, _) = shown(&site);
    fs::copy(snapshot(&other), snapshot(&site)).unwrap();
    let ran = site.run(&["get", "runs", "-o", "json"]);
    assert_eq!(ran.out(), expect[0]);
    assert!(ran.err().contains("it is of another network"), "{}", ran.err());

    // An older copy of the log: what the snapshot is of has not happened there.
    let young = Site::new();
    young.json(&["apply", "iris.yaml", "-o", "json"]);
    for name in ["keys", "log"] {
        let from = young.path("home").join(name);
        let to = site.path("home").join(name);
        fs::remove_dir_all(&to).unwrap();
        fs::rename(from, to).unwrap();
    }
    let ran = site.run(&["get", "runs", "-o", "json"]);
    assert!(ran.out().contains("\"iris\""), "{} {}", ran.out(), ran.err());
    assert!(ran.err().contains("ignored"), "{}", ran.err());
}

#[test]
fn a_home_that_takes_no_snapshot_still_works() {
    let site = Site::new();
    // Nothing can be written where a folder is.
    fs::create_dir_all(site.path("home/snapshot")).unwrap();
    write_many(&site);
    assert_eq!(site.json(&APPLY)["status"], "settled");
    assert_eq!(site.json(&APPLY)["status"], "unchanged");
}

/// The log of a home written again, with one slot that says other events than its commands give.
fn forge(site: &Site, at: Height) {
    let log = site.path("home/log");
    let (store, _) = Store::open(&log).unwrap();
    let mut slots = Vec::new();
    let mut height = Height(1);
    while let Some(bytes) = store.read(height).unwrap() {
        let mut slot = Slot::from_bytes(&bytes).unwrap();
        if height == at {
            slot.head.events = Digest::of(b"other");
        }
        slots.push(slot.to_bytes());
        height = height.next();
    }
    let genesis = store.get_own(b"genesis").unwrap().unwrap();
    drop(store);
    fs::remove_dir_all(&log).unwrap();
    let (store, _) = Store::open(&log).unwrap();
    store.put_own(b"genesis", &genesis).unwrap();
    let slots: Vec<&[u8]> = slots.iter().map(Vec::as_slice).collect();
    store.append_many(Height(1), &slots).unwrap();
}

#[test]
fn r8_nothing_is_shown_of_a_slot_that_gives_other_events_than_were_signed() {
    let site = site();
    forge(&site, Height(3));
    // Who starts from the snapshot has not folded it.
    let runs = site.run(&["get", "runs", "-o", "json"]);
    assert_eq!((runs.code(), &*runs.err()), (Some(0), ""), "{}", runs.out());
    // Who verifies looks at the signatures first: those are missing, too.
    let verified = site.run(&["log", "verify"]);
    let said = format!("{}{}", verified.out(), verified.err());
    assert!(verified.code() != Some(0) && said.contains("slot 3"), "{said}");
    for verb in [&["log", "show"][..], &["ledger"], &["why", "run-1/0"]] {
        let ran = site.run(verb);
        assert_ne!(ran.code(), Some(0), "{verb:?}");
        let said = format!("{}{}", ran.out(), ran.err());
        assert!(said.contains("slot 3"), "{verb:?}: {said}");
        assert!(said.contains("not those that were signed"), "{verb:?}: {said}");
        assert!(!ran.out().contains("slot 4  "), "{verb:?}: {}", ran.out());
    }
}
