//! Reading: from nodes that fit the grammar to typed values, with every default in its place.
//! Never reports a fault: whatever it is given has been checked, and `None` means that it had not.

use super::grammar::{ATTEMPTS, AUDIT_RATE_PPM, BACKOFF, PPM, TIMEOUT_MS};
use super::kind::narrow;
use super::node::Node;
use super::quantity::{decimal, duration_ms};
use super::{Backoff, Settings, Verification};

/// The settings that every stage has: its own, then those of `spec.defaults`, then the built-in.
pub(super) fn settings(stage: &Node, defaults: Option<&Node>) -> Option<Settings> {
    let find = |path: &[&str]| {
        descend(stage, path).or_else(|| defaults.and_then(|defaults| descend(defaults, path)))
    };
    let count = |path: &[&str], default: u32| match find(path) {
        Some(node) => u32::try_from(node.integer()?).ok(),
        None => Some(default),
    };
    let time = |path: &[&str], default: u64| match find(path) {
        Some(node) => duration_ms(node.text()?),
        None => Some(default),
    };
    let (initial, factor, max) = BACKOFF;
    Some(Settings {
        verification: match find(&["verification"]) {
            Some(node) => verification(node)?,
            None => Verification::Audit { rate_ppm: AUDIT_RATE_PPM, segments: 1 },
        },
        attempts_max: count(&["retry", "maxAttempts"], ATTEMPTS)?,
        backoff: Backoff {
            initial_ms: time(&["retry", "backoff", "initial"], initial)?,
            factor: count(&["retry", "backoff", "factor"], factor)?,
            max_ms: time(&["retry", "backoff", "max"], max)?,
        },
        timeout_ms: time(&["timeout"], TIMEOUT_MS)?,
    })
}

fn descend<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, key| node.get(key))
}

fn verification(node: &Node) -> Option<Verification> {
    match node.text() {
        Some("full") => return Some(Verification::Full),
        Some("none") => return Some(Verification::None),
        Some(_) => return None,
        None => {}
    }
    let audit = node.get("audit")?;
    let rate_ppm = match audit.get("rate") {
        Some(rate) => u32::try_from(decimal(rate.number()?, 6)?).ok()?,
        None => AUDIT_RATE_PPM,
    };
    let segments = narrow(audit, "segments", 1)?;
    (rate_ppm <= PPM).then_some(Verification::Audit { rate_ppm, segments })
}
