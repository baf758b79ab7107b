//! Artifacts that are gone, empty, cut off or altered, in a home whose run is over and in one whose
//! run was killed. Never a result that is made of them: they are computed again.

use super::perils::Case;
use super::{APPLY, each, files, json, judge, site, site_like, undisturbed};
use crate::site::Site;
use ohc::effects::perils::Peril;
use std::fs;
use std::path::{Path, PathBuf};

/// How often the same is applied until the damage is healed: one artifact is missed at a time.
const APPLIES_MAX: usize = 4;

/// What becomes of an artifact.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Gone,
    Empty,
    Cut,
    Altered,
}

const DAMAGES: [Damage; 4] = [Damage::Gone, Damage::Empty, Damage::Cut, Damage::Altered];

impl Damage {
    fn strike(self, artifact: &Path) {
        let mut bytes = fs::read(artifact).unwrap();
        match self {
            Self::Gone => return fs::remove_file(artifact).unwrap(),
            Self::Empty => bytes.clear(),
            Self::Cut => bytes.truncate(bytes.len() / 2),
            Self::Altered => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
        }
        fs::write(artifact, bytes).unwrap();
    }
}

/// Every artifact of a home, each with a kind of damage: `turn` gives each another one.
fn cases(site: &Site, turn: usize) -> Vec<(PathBuf, Damage)> {
    let home = site.path("");
    let artifacts = files(&site.path("home/artifacts"));
    assert!(artifacts.len() > 10);
    let case = |(nth, path): (usize, &PathBuf)| {
        (path.strip_prefix(&home).unwrap().to_owned(), DAMAGES[(nth + turn) % DAMAGES.len()])
    };
    artifacts.iter().enumerate().map(case).collect()
}

/// Damages one artifact in a copy of a home at a time, and applies again.
fn check(site: &Site, turn: usize, expect: &str) {
    each(
        &cases(site, turn),
        |case| format!("{case:?}"),
        |(artifact, damage)| {
            let (copy, how) = (site_like(site), format!("{damage:?} {}", artifact.display()));
            damage.strike(&copy.path(artifact.to_str().unwrap()));
            let _ = fs::remove_dir_all(copy.path("out"));
            // An apply may only find the damage, while it needs the bytes: it says so.
            let heals = (0..APPLIES_MAX).any(|_| {
                let ran = copy.run(&APPLY);
                let (code, said) = (ran.code(), ran.err());
                assert!(code == Some(0) || said.contains("hint: "), "{how}: {said}");
                code == Some(0)
            });
            assert!(heals, "{how}: it does not heal");
            judge(&copy, &APPLY, expect, &how);
        },
    );
}

#[test]
fn r14_a_result_whose_artifact_is_lost_or_altered_is_computed_again() {
    let site = site();
    json(&site, &APPLY, "undisturbed");
    check(&site, 0, &undisturbed(&APPLY));
}

#[test]
fn r14_a_killed_run_whose_artifact_is_lost_or_altered_ends_right() {
    let site = site();
    Case { peril: Peril::SlotAppended, passing: 11 }.strike(&site, &APPLY);
    check(&site, 1, &undisturbed(&APPLY));
}
