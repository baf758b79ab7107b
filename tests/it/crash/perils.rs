//! kill -9 at every peril of the program, and at later passings of those that are passed often.
//! Never leaves a peril out: one that its scene does not reach fails the test.

use super::{APPLY, APPLY_OTHER, Dice, digest, drafts, each, files, json, judge, site, sound};
use super::{undisturbed, was_killed};
use crate::site::{Ran, Site, nano};
use crate::snapshot;
use ohc::effects::perils::{Peril, VARIABLE};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

/// At how many passings of a peril a process is killed, where it is passed again and again.
const PASSINGS: [u64; 3] = [2, 5, 12];

/// What is done when the process is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scene {
    /// A pipeline is applied in a home that is not there.
    First,
    /// A changed pipeline is applied: other outputs are in the way.
    Changed,
    /// A pipeline is applied, and the log ends in a torn slot.
    Torn,
    /// A pipeline is applied, and every artifact is damaged.
    Damaged,
    /// A plan is saved.
    Plan,
    /// A run is asked about by another process.
    Asked,
    /// A run is ended by another process.
    Cancelled,
    /// The process that ends a run is killed itself.
    Cancelling,
    /// What nobody needs is deleted.
    Sweep,
    /// Somebody is paid.
    Payment,
    /// The home is checked.
    Doctor,
    /// A run is so long that its end is worth a snapshot.
    Long,
}

/// Where a peril is passed, and whether again and again.
fn scene(peril: Peril) -> (Scene, bool) {
    match peril {
        Peril::KeyDrafted
        | Peril::KeyNamed
        | Peril::KeySaved
        | Peril::StoreWriting
        | Peril::StoreWritten
        | Peril::ArtifactMissing
        | Peril::ArtifactWritten
        | Peril::WorkerSends
        | Peril::SlotFolded
        | Peril::SlotSealed
        | Peril::SlotAppended
        | Peril::SlotTold
        | Peril::WorkTaken
        | Peril::WorkFetched
        | Peril::WorkComputed
        | Peril::WorkHalfStored
        | Peril::WorkStored
        | Peril::AuditTaken
        | Peril::AuditReplayed
        | Peril::AuditDone
        | Peril::RecordWriting
        | Peril::RecordWritten => (Scene::First, true),
        Peril::OutputRetired => (Scene::Changed, false),
        Peril::StoreTorn | Peril::StoreCut => (Scene::Torn, false),
        Peril::ArtifactAside => (Scene::Damaged, false),
        Peril::PlanDrafted => (Scene::Plan, false),
        Peril::AnswerReady => (Scene::Asked, false),
        Peril::ErrandTaken | Peril::ErrandDone => (Scene::Cancelled, false),
        Peril::Asked => (Scene::Cancelling, false),
        Peril::SweepMade | Peril::SweptArtifact | Peril::SweptStray | Peril::SweptPin => {
            (Scene::Sweep, false)
        }
        Peril::Paying | Peril::Paid => (Scene::Payment, false),
        Peril::DiskProbed => (Scene::Doctor, false),
        Peril::SnapshotDrafted => (Scene::Long, false),
        _ => (Scene::First, false),
    }
}

/// The digests of undisturbed runs.
struct Expected {
    first: String,
    other: String,
}

/// A process that is killed at a passing of a peril.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) peril: Peril,
    pub(super) passing: u64,
}

impl Case {
    fn name(&self) -> String {
        format!("{}:{}", self.peril.name(), self.passing)
    }

    /// Runs the program until it is killed. Beyond its first passing a peril may not be reached.
    #[track_caller]
    pub(super) fn strike(&self, site: &Site, args: &[&str]) {
        let mut command = site.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.strike_with(command);
    }

    /// The same with a command that is there.
    #[track_caller]
    pub(super) fn strike_with(&self, mut command: std::process::Command) {
        let ran = Ran::of(command.env(VARIABLE, self.name()).spawn().unwrap());
        let is_through = self.passing > 1 && ran.code() == Some(0);
        assert!(was_killed(&ran) || is_through, "{} is not reached: {}", self.name(), ran.err());
    }
}

#[test]
fn r14_a_process_that_is_killed_at_any_peril_loses_nothing() {
    let expected = Expected { first: undisturbed(&APPLY), other: undisturbed(&APPLY_OTHER) };
    let passings = |peril: Peril| match scene(peril).1 {
        true => [1].iter().chain(&PASSINGS).copied().collect(),
        false => vec![1],
    };
    let cases = |peril: &Peril| -> Vec<Case> {
        passings(*peril).into_iter().map(|passing| Case { peril: *peril, passing }).collect()
    };
    let cases: Vec<Case> = Peril::ALL.iter().flat_map(cases).collect();
    assert!(Peril::ALL.len() >= 40 && cases.len() >= 100);
    each(&cases, Case::name, |case| check(*case, &expected));
}

fn check(case: Case, expected: &Expected) {
    let (site, how) = (site(), case.name());
    match scene(case.peril).0 {
        Scene::First => {
            case.strike(&site, &APPLY);
            judge(&site, &APPLY, &expected.first, &how);
        }
        Scene::Changed => {
            json(&site, &APPLY, &how);
            case.strike(&site, &APPLY_OTHER);
            judge(&site, &APPLY_OTHER, &expected.other, &how);
        }
        Scene::Torn => {
            let torn = Case { peril: Peril::SlotAppended, passing: 9 };
            torn.strike(&site, &APPLY);
            tear(&site.path("home/log/db/0.jnl"), 5);
            case.strike(&site, &APPLY);
            judge(&site, &APPLY, &expected.first, &how);
        }
        Scene::Damaged => damaged(case, &site, expected),
        Scene::Plan => {
            let plan = ["plan", "fast.yaml", "--out", "fast.plan"];
            case.strike(&site, &plan);
            assert!(!site.path("fast.plan").exists(), "{how}: a plan is there whole or not at all");
            assert_eq!(site.run(&plan).code(), Some(0), "{how}");
            json(&site, &["apply", "fast.plan", "-y", "-o", "json"], &how);
            judge(&site, &APPLY, &expected.first, &how);
        }
        Scene::Asked | Scene::Cancelled | Scene::Cancelling => attached(case, &site),
        Scene::Sweep => sweep(case, &site, expected),
        Scene::Payment => payment(case, &site),
        Scene::Long => long(case, &site),
        Scene::Doctor => {
            case.strike(&site, &["doctor"]);
            site.run(&["doctor"]);
            assert_eq!(drafts(&site.path("")), Vec::<PathBuf>::new(), "{how}");
        }
    }
}

/// Takes so many bytes off the last write in a journal.
fn tear(journal: &Path, bytes: usize) {
    let mut whole = fs::read(journal).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    whole[end - bytes..].fill(0);
    fs::write(journal, whole).unwrap();
}

fn damaged(case: Case, site: &Site, expected: &Expected) {
    let how = case.name();
    json(site, &APPLY, &how);
    for artifact in files(&site.path("home/artifacts")) {
        let mut bytes = fs::read(&artifact).unwrap();
        bytes[0] ^= 1;
        fs::write(&artifact, bytes).unwrap();
    }
    case.strike(site, &APPLY_OTHER);
    // Damage shows when bytes are needed, perhaps one artifact at a time.
    let healed = (0..6).any(|_| site.run(&APPLY_OTHER).code() == Some(0));
    assert!(healed, "{how}: it does not heal");
    judge(site, &APPLY_OTHER, &expected.other, &how);
}

/// A run that takes long, and another process that asks about it or ends it.
fn attached(case: Case, site: &Site) {
    let (how, scene) = (case.name(), scene(case.peril).0);
    let is_host = scene != Scene::Cancelling;
    let mut apply = site.slow(&[]);
    if is_host {
        apply.env(VARIABLE, case.name());
    }
    let mut apply = apply.spawn().unwrap();
    let mut expect = "cancelled";
    match scene {
        // Whoever asks finds the home free once nobody answers.
        Scene::Asked => {
            while apply.try_wait().unwrap().is_none() {
                site.run(&["get", "runs", "-o", "json"]);
            }
            expect = end_what_was_left(site, &how);
        }
        Scene::Cancelled => {
            apply = site.under_way(apply);
            json(site, &["cancel", "run-1", "-o", "json"], &how);
        }
        _ => {
            apply = site.under_way(apply);
            case.strike(site, &["cancel", "run-1"]);
        }
    }
    let ended = Ran::of(apply);
    match is_host {
        true => assert!(was_killed(&ended), "{how} is not reached: {}", ended.err()),
        false => assert_eq!(ended.code(), Some(6), "{how}: {}", ended.err()),
    }
    let runs = json(site, &["get", "runs", "-o", "json"], &how);
    assert_eq!(runs["items"][0]["status"], expect, "{how}: {runs}");
    sound(site, &how);
}

/// Ends a run that was left; where none was begun by then, one can be. Gives its status then.
fn end_what_was_left(site: &Site, how: &str) -> &'static str {
    let runs = json(site, &["get", "runs", "-o", "json"], how);
    if runs["items"].as_array().unwrap().is_empty() {
        json(site, &["apply", "slow.yaml", "-p", "epochs=1", "-o", "json"], how);
        return "settled";
    }
    json(site, &["cancel", "run-1", "-o", "json"], how);
    "cancelled"
}

fn sweep(case: Case, site: &Site, expected: &Expected) {
    let how = case.name();
    json(site, &APPLY, &how);
    json(site, &APPLY_OTHER, &how);
    let shelf = site.path("home/artifacts/damaged");
    fs::create_dir_all(&shelf).unwrap();
    fs::write(shelf.join("0".repeat(64)), "x").unwrap();
    let hour_ago = SystemTime::UNIX_EPOCH + Duration::from_millis(ohc::effects::clock::wall_ms())
        - Duration::from_secs(3_600);
    for artifact in files(&site.path("home/artifacts")) {
        let file = fs::File::options().write(true).open(artifact).unwrap();
        file.set_modified(hour_ago).unwrap();
    }
    // A pin whose chunk is gone.
    let source = fs::read_to_string(site.path("data/iris.csv")).unwrap();
    let (_header, rows) = source.split_once('\n').unwrap();
    let chunk = ohc::base::canon::Digest::of(rows.as_bytes()).to_string();
    let (shelf, name) = chunk.split_at(2);
    fs::remove_file(site.path("home/artifacts").join(shelf).join(name)).unwrap();
    let gc = ["gc", "--keep-runs", "1", "--yes", "-o", "json"];
    case.strike(site, &gc);
    json(site, &gc, &how);
    assert_eq!(json(site, &["gc", "--keep-runs", "1", "-o", "json"], &how)["files"], 0, "{how}");
    judge(site, &APPLY_OTHER, &expected.other, &how);
    assert_eq!(digest(&json(site, &APPLY, &how)), expected.first, "{how}: computed again");
    sound(site, &how);
}

fn payment(case: Case, site: &Site) {
    let how = case.name();
    json(site, &APPLY, &how);
    json(site, &["wallet", "new", "savings", "-o", "json"], &how);
    case.strike(site, &["wallet", "transfer", "savings", "12.000000001", "-y"]);
    let balance = json(site, &["wallet", "balance", "savings", "-o", "json"], &how);
    let paid = if case.peril == Peril::Paid { 12_000_000_001 } else { 0 };
    assert_eq!(nano(&balance["balance"]), paid, "{how}: paid once it is in the log");
    sound(site, &how);
}

fn long(case: Case, site: &Site) {
    let how = case.name();
    snapshot::write_many(site);
    case.strike(site, &snapshot::APPLY);
    sound(site, &how);
    assert!(site.path("home/snapshot").exists(), "{how}: whoever folds all of it leaves one");
    assert!(!site.path("home/snapshot.draft").exists(), "{how}");
    json(site, &snapshot::APPLY, &how);
    assert_eq!(json(site, &snapshot::APPLY, &how)["status"], "unchanged", "{how}");
}

/// So many homes are begun in the next test, and so many processes killed in each.
const HOMES: u64 = 16;
const KILLS: u64 = 6;

#[test]
fn r14_processes_that_are_killed_at_one_peril_after_the_other_lose_nothing() {
    let expect = undisturbed(&APPLY);
    let seed = Dice::thrown("OHC_CRASH_SEED").0;
    let perils: Vec<Peril> =
        Peril::ALL.iter().copied().filter(|peril| scene(*peril).0 == Scene::First).collect();
    let name = |home: &u64| format!("home {home} of OHC_CRASH_SEED={seed}");
    each(&(0..HOMES).collect::<Vec<_>>(), name, |home| {
        let (site, how, mut dice) = (site(), name(home), Dice(seed ^ home));
        for _ in 0..KILLS {
            let peril = perils[dice.below(perils.len() as u64) as usize];
            // What an earlier process has done is not done again: some perils are not reached.
            let case = Case { peril, passing: 1 + dice.below(6) };
            let mut command = site.command(&APPLY);
            command.env(VARIABLE, case.name()).stdin(Stdio::null());
            let ran =
                Ran::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
            let is_sound = was_killed(&ran) || ran.code() == Some(0);
            assert!(is_sound, "{how}: {}: {}", case.name(), ran.err());
        }
        judge(&site, &APPLY, &expect, &how);
    });
}

#[test]
fn a_peril_that_nobody_knows_is_none() {
    let site = site();
    let mut command = site.command(&APPLY);
    let ended = command.env(VARIABLE, "no.such.peril").output().unwrap();
    assert!(!ended.status.success());
}
