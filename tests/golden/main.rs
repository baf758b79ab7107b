//! Golden files: what the system says is compared with what was agreed, byte by byte.
//! `OHC_BLESS=1 cargo test --test golden` rewrites them; the diff of the commit is the review.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the report")]

mod digests;
#[cfg(feature = "node")]
mod handbook;
mod hostile;
mod manifest;
#[cfg(feature = "node")]
mod wire;

use std::path::{Path, PathBuf};

/// A path below the package.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the package.
#[track_caller]
fn read(path: &str) -> String {
    std::fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder of the package with that ending, in order: names without the ending.
#[track_caller]
fn names(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(at(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter_map(|n| Some(n.strip_suffix(ending)?.to_owned())).collect();
    names.sort();
    names
}

/// Compares with a committed file, or rewrites it where `OHC_BLESS=1` is set.
#[track_caller]
fn check(path: &str, actual: &str) {
    if std::env::var_os("OHC_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(at(path), actual).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let expect = std::fs::read_to_string(at(path)).unwrap_or_default();
    let differs = expect.lines().zip(actual.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(expect.lines().count().min(actual.lines().count()));
    let shown = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
    assert!(
        expect == actual,
        "{path}:{}: differs\n  file: {}\n  now:  {}\nOHC_BLESS=1 accepts what is new",
        line + 1,
        shown(&expect),
        shown(actual),
    );
}
