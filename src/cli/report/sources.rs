//! Sources that are not what `ohc.lock` says: the words for it, and the faults of `--locked`.
//! Never compares: `node::lock` does.

use super::Paint;
use crate::domain::manifest::Diagnostic;
use crate::node::lock::{Change, FILE, Locked};
use serde_json::{Value, json};

/// One line for each change, for people.
pub(crate) fn lines(changes: &[Change], paint: Paint) -> String {
    let line = |change: &Change| {
        let name = paint.bold(&change.source);
        match &change.before {
            Some(before) => {
                let what = difference(before, &change.now);
                format!("source {name} changed: {what}, since {FILE}\n")
            }
            None => format!("source {name} is new since {FILE}\n"),
        }
    };
    changes.iter().map(line).collect()
}

/// The changes for programs.
pub(crate) fn data(changes: &[Change]) -> Value {
    let state = |locked: &Locked| {
        json!({
            "url": locked.url, "files": locked.files, "bytes": locked.bytes,
            "digest": locked.digest, "rows": locked.rows,
        })
    };
    let one = |change: &Change| {
        json!({
            "source": change.source,
            "before": change.before.as_ref().map(state),
            "now": state(&change.now),
        })
    };
    changes.iter().map(one).collect()
}

/// What `--locked` says of each change, at the source's place.
pub(crate) fn faults(changes: &[Change]) -> Vec<Diagnostic> {
    let fault = |change: &Change| {
        let name = &change.source;
        let message = match &change.before {
            Some(before) => {
                format!(
                    "source `{name}` changed: {}, since {FILE}",
                    difference(before, &change.now)
                )
            }
            None => format!("source `{name}` is not in {FILE}"),
        };
        let hint = "apply without --locked takes it as it is now, and writes the lock";
        Diagnostic::new(change.place, &message, Some(hint.to_owned()))
    };
    changes.iter().map(fault).collect()
}

/// What is different, by what tells the most.
fn difference(before: &Locked, now: &Locked) -> String {
    let counts = [
        ("file", before.files as u64, now.files as u64),
        ("byte", before.bytes, now.bytes),
        ("row", before.rows, now.rows),
    ];
    let changed: Vec<String> = counts
        .iter()
        .filter(|(_, before, now)| before != now)
        .map(|(noun, before, now)| {
            let plural = if *now == 1 { "" } else { "s" };
            format!("{} → {} {noun}{plural}", grouped(*before), grouped(*now))
        })
        .collect();
    match changed.as_slice() {
        [] if before.digest != now.digest => {
            let short = |digest: &str| digest.chars().take(8).collect::<String>();
            format!("digest {} → {}", short(&before.digest), short(&now.digest))
        }
        [] => "other columns".to_owned(),
        changed => changed.join(", "),
    }
}

/// A count with a comma between thousands.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 3 == first {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(bytes: u64, digest: &str) -> Locked {
        Locked {
            url: "data/iris.csv".into(),
            files: 1,
            bytes,
            digest: digest.into(),
            mark: None,
            rows: 150,
            columns: vec!["a: number".into()],
        }
    }

    #[track_caller]
    fn check(before: &Locked, now: &Locked, expect: &str) {
        assert_eq!(difference(before, now), expect);
    }

    #[test]
    fn a_change_is_told_by_its_counts_or_else_by_its_digest() {
        check(&locked(3858, "a"), &locked(4102, "b"), "3,858 → 4,102 bytes");
        let (before, now) = (locked(3858, "0123456789"), locked(3858, "9876543210"));
        check(&before, &now, "digest 01234567 → 98765432");
        let now = Locked { files: 2, rows: 1, ..locked(3858, "b") };
        check(&before, &now, "1 → 2 files, 150 → 1 row");
        let now = Locked { columns: Vec::new(), ..before.clone() };
        check(&before, &now, "other columns");
    }

    #[test]
    fn thousands_are_grouped() {
        for (count, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), expect);
        }
    }
}
