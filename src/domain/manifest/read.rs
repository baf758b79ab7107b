//! Reading: from nodes that fit the grammar to typed values, with every default in its place.
//! Never reports a fault: whatever it is given has been checked, and `None` means that it had not.

use super::form::Unit;
use super::kind::narrow;
use super::node::{Key, Kind, Node};
use super::quantity::{decimal, duration_ms, range};
use crate::base::limits::REPLICAS_MAX;
use crate::domain::terms::{
    Amounts, Auction, Backoff, Cache, CacheMode, Cause, OnFailure, Resources, Retry, Terms,
};
use crate::domain::verdict::{PPM, Verification};
use std::collections::BTreeSet;

/// The terms of a stage: its own, merged deep with those of `spec.defaults`, then the built-in.
pub(super) fn terms(stage: &Node, defaults: Option<&Node>) -> Option<Terms> {
    let usual = Terms::default();
    let all = |name: &str| merged(stage.get(name), defaults.and_then(|all| all.get(name)));
    let on_failure = match all("onFailure").as_ref().map(Node::text) {
        None | Some(Some("fail")) => OnFailure::Fail,
        Some(Some("continue")) => OnFailure::Continue,
        Some(_) => return None,
    };
    let fan = stage.get("matrix").or_else(|| stage.get("foreach"));
    let fan = |name: &str| fan.and_then(|fan| fan.get(name));
    Some(Terms {
        verification: match one_way(stage, defaults) {
            Some(node) => verification(&node)?,
            None => usual.verification,
        },
        auction: auction(all("market").as_ref())?,
        retry: retry(all("retry").as_ref())?,
        timeout_ms: time(all("timeout").as_ref(), usual.timeout_ms)?,
        deadline_ms: duration(all("deadline").as_ref())?,
        resources: resources(all("resources").as_ref())?,
        budget: match stage.get("budget") {
            Some(budget) => Some(budget.get("total")?.text()?.parse().ok()?),
            None => None,
        },
        cache: {
            let ours = stage.get("cache").map(long);
            let theirs = defaults.and_then(|all| all.get("cache")).map(long);
            cache(merged(ours.as_ref(), theirs.as_ref()).as_ref())?
        },
        on_failure,
        parallel_max: match fan("maxParallel") {
            Some(node) => Some(u32::try_from(node.integer()?).ok()?),
            None => None,
        },
        fail_fast: match fan("failFast").map(|node| &node.kind) {
            Some(Kind::Bool(value)) => *value,
            Some(_) => return None,
            None => on_failure == OnFailure::Fail,
        },
        when: None,
        grace_ms: None,
    })
}

/// What a stage says, and below it what the defaults say; mappings are merged key by key, anything
/// else is taken whole.
fn merged(own: Option<&Node>, default: Option<&Node>) -> Option<Node> {
    let (Some(own), Some(default)) = (own, default) else {
        return own.or(default).cloned();
    };
    let (Kind::Map(ours), Kind::Map(theirs)) = (&own.kind, &default.kind) else {
        return Some(own.clone());
    };
    let below = |(key, node): &(Key, Node)| {
        merged(Some(node), default.get(&key.text)).map(|node| (key.clone(), node))
    };
    let missing = theirs.iter().filter(|(key, _)| own.get(&key.text).is_none()).cloned();
    let entries = ours.iter().filter_map(below).chain(missing).collect();
    Some(Node { place: own.place, kind: Kind::Map(entries) })
}

/// How a stage is verified, if it or the defaults say so. Where both say it in the same way they
/// are merged; a stage that says it in another way means that one.
fn one_way(stage: &Node, defaults: Option<&Node>) -> Option<Node> {
    let (own, default) = (stage.get("verification"), defaults.and_then(|d| d.get("verification")));
    let way = |node: &Node| WAYS.iter().find(|way| node.get(way).is_some());
    match (own, default) {
        (Some(own), Some(default)) if way(own) != way(default) => Some(own.clone()),
        _ => merged(own, default),
    }
}

/// The keys of a verification that say how it is done.
pub(super) const WAYS: [&str; 2] = ["audit", "replicate"];

fn time(node: Option<&Node>, default: u64) -> Option<u64> {
    duration(node).map(|ms| ms.unwrap_or(default))
}

/// A duration in milliseconds; `Some(None)` where there is none.
pub(super) fn duration(node: Option<&Node>) -> Option<Option<u64>> {
    match node {
        Some(node) => Some(Some(duration_ms(node.text()?)?)),
        None => Some(None),
    }
}

fn retry(node: Option<&Node>) -> Option<Retry> {
    let usual = Retry::default();
    let backoff = node.and_then(|node| node.get("backoff"));
    let wait = |key: &str, default: u64| time(backoff.and_then(|all| all.get(key)), default);
    let count = |node: Option<&Node>, key: &str, default: u32| match node {
        Some(node) => narrow(node, key, default),
        None => Some(default),
    };
    let cause = |word: &Node| {
        let text = word.text()?;
        Cause::ALL.iter().find(|(word, _)| *word == text).map(|(_, cause)| *cause)
    };
    Some(Retry {
        attempts_max: count(node, "maxAttempts", usual.attempts_max)?,
        backoff: Backoff {
            initial_ms: wait("initial", usual.backoff.initial_ms)?,
            factor: count(backoff, "factor", usual.backoff.factor)?,
            max_ms: wait("max", usual.backoff.max_ms)?,
        },
        on: match node.and_then(|node| node.get("retryOn")) {
            Some(causes) => causes.items().iter().map(cause).collect::<Option<BTreeSet<_>>>()?,
            None => usual.on,
        },
    })
}

fn auction(node: Option<&Node>) -> Option<Auction> {
    let window_ms = time(node.and_then(|node| node.get("window")), WINDOW_MS)?;
    match node.and_then(|node| node.get("auction")).map(Node::text) {
        None | Some(Some("standing")) => Some(Auction::Standing),
        Some(Some("sealed")) => Some(Auction::Sealed { window_ms }),
        Some(_) => None,
    }
}

/// How long a sealed auction takes bids where nothing is said.
const WINDOW_MS: u64 = 2_000;

fn resources(node: Option<&Node>) -> Option<Resources> {
    let amounts = |key: &str, unit: Unit| match node.and_then(|node| node.get(key)) {
        Some(node) => range(node.kind.scalar_text()?, unit).ok(),
        None => Some(Amounts::default()),
    };
    Some(Resources {
        cpu: amounts("cpu", Unit::Some)?,
        memory: amounts("memory", Unit::Bytes)?,
        gpu: amounts("gpu", Unit::Any)?,
    })
}

/// One word for a cache is short for its mode.
fn long(node: &Node) -> Node {
    let kind = match &node.kind {
        Kind::Text(_) => {
            let key = Key { text: "mode".to_owned(), place: node.place };
            Kind::Map(vec![(key, node.clone())])
        }
        other => other.clone(),
    };
    Node { place: node.place, kind }
}

fn cache(node: Option<&Node>) -> Option<Cache> {
    let word = match node.and_then(|node| node.get("mode")) {
        Some(mode) => Some(mode.text()?),
        None => None,
    };
    let mode = match word {
        None | Some("settled") => CacheMode::Settled,
        Some("private") => CacheMode::Private,
        Some("off") => CacheMode::Off,
        Some(_) => return None,
    };
    Some(Cache { mode, age_max_ms: duration(node.and_then(|node| node.get("maxAge")))? })
}

fn verification(node: &Node) -> Option<Verification> {
    let Verification::Audit { rate_ppm: usual, .. } = Terms::default().verification else {
        return None;
    };
    match node.text() {
        Some("full") => return Some(Verification::Full),
        Some("none") => return Some(Verification::None),
        Some(_) => return None,
        None => {}
    }
    if node.get("replicate").is_some() {
        let workers = narrow(node, "replicate", 2)?;
        return (2..=REPLICAS_MAX)
            .contains(&workers)
            .then_some(Verification::Replicate { workers });
    }
    let audit = node.get("audit")?;
    let rate_ppm = match audit.get("rate") {
        Some(rate) => u32::try_from(decimal(rate.number()?, 6)?).ok()?,
        None => usual,
    };
    let segments = narrow(audit, "segments", 1)?;
    (rate_ppm <= PPM).then_some(Verification::Audit { rate_ppm, segments })
}
