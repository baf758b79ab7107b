//! Reading: from nodes that fit the grammar to typed values, with every default in its place.
//! Never reports a fault: whatever it is given has been checked, and `None` means that it had not.

use super::form::StageKind;
use super::grammar::{ATTEMPTS, AUDIT_RATE_PPM, BACKOFF, PPM, TIMEOUT_MS};
use super::kind::SHARE_PLACES;
use super::node::Node;
use super::quantity::{decimal, duration_ms};
use super::{Backoff, Settings, Verification};
use crate::domain::job::{
    Activation, Evaluate, Format, Goal, Ingest, Metric, Model, Noop, Optimizer, Part, Scaling,
    Spec, Split, Train,
};

/// The format of a source.
pub(super) fn format(word: &str) -> Option<Format> {
    match word {
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

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

/// The spec of a job of a stage kind. An ingest gets its rows from the pin and its format from the
/// source, which only the caller knows.
pub(super) fn spec(kind: &StageKind, with: &Node, format: Option<Format>) -> Option<Spec> {
    match kind.name {
        "ingest" => Some(Spec::Ingest(Ingest { format: format?, rows: 0 })),
        "split" => Some(Spec::Split(Split {
            ratios: ratios(with.get("ratios")?)?,
            stratify: match with.get("stratify") {
                Some(column) => Some(column.text()?.to_owned()),
                None => None,
            },
            seed: wide(with, "seed", 0)?,
        })),
        "train" => train(with).map(Spec::Train),
        "evaluate" => evaluate(with).map(Spec::Evaluate),
        "noop" => Some(Spec::Noop(Noop { tag: wide(with, "tag", 0)? })),
        _ => None,
    }
}

fn ratios(node: &Node) -> Option<Vec<(String, f64)>> {
    let each = node.entries().iter();
    each.map(|(key, share)| Some((key.text.clone(), share.real()?))).collect()
}

/// The sum of all shares in units of 10⁻⁹, and that of a whole; `None` if one is no share.
pub(super) fn ratio_sum(node: &Node) -> Option<(u64, u64)> {
    let mut shares = node.entries().iter().map(|(_, share)| decimal(share.number()?, SHARE_PLACES));
    let sum = shares.try_fold(0u64, |sum, share| sum.checked_add(share?))?;
    Some((sum, decimal("1", SHARE_PLACES)?))
}

fn train(with: &Node) -> Option<Train> {
    Some(Train {
        model: model(with.get("model")?)?,
        target: with.get("target")?.text()?.to_owned(),
        epochs: narrow(with, "epochs", 1)?,
        batch: narrow(with, "batch", 32)?,
        optimizer: optimizer(with.get("optimizer"))?,
        seed: wide(with, "seed", 0)?,
        scaling: match word(with, "scaling", "standard")? {
            "standard" => Scaling::Standard,
            "none" => Scaling::None,
            _ => return None,
        },
        part: Part::WHOLE,
    })
}

fn model(node: &Node) -> Option<Model> {
    let widths = node.get("hidden")?.items().iter();
    let hidden = widths.map(|width| u32::try_from(width.integer()?).ok()).collect::<Option<_>>()?;
    let activation = match word(node, "activation", "relu")? {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        _ => return None,
    };
    Some(Model::Mlp { hidden, activation })
}

fn optimizer(node: Option<&Node>) -> Option<Optimizer> {
    let real = |name: &str, default: f64| match node.and_then(|node| node.get(name)) {
        Some(value) => value.real(),
        None => Some(default),
    };
    Some(Optimizer::AdamW {
        lr: real("lr", 0.001)?,
        beta1: real("beta1", 0.9)?,
        beta2: real("beta2", 0.999)?,
        eps: real("eps", 1e-8)?,
        weight_decay: real("weightDecay", 0.01)?,
    })
}

fn evaluate(with: &Node) -> Option<Evaluate> {
    let select = with.get("select");
    let metric = match select.map_or(Some("accuracy"), |node| word(node, "metric", "accuracy"))? {
        "accuracy" => Metric::Accuracy,
        "loss" => Metric::Loss,
        _ => return None,
    };
    let natural = if metric == Metric::Accuracy { "max" } else { "min" };
    let goal = match select.map_or(Some(natural), |node| word(node, "goal", natural))? {
        "max" => Goal::Max,
        "min" => Goal::Min,
        _ => return None,
    };
    Some(Evaluate { metric, goal })
}

fn word<'a>(node: &'a Node, key: &str, default: &'a str) -> Option<&'a str> {
    node.get(key).map_or(Some(default), Node::text)
}

/// An integer of 32 bits, or the default where there is none.
pub(super) fn narrow(node: &Node, key: &str, default: u32) -> Option<u32> {
    node.get(key).map_or(Some(default), |value| u32::try_from(value.integer()?).ok())
}

fn wide(node: &Node, key: &str, default: u64) -> Option<u64> {
    node.get(key).map_or(Some(default), |value| u64::try_from(value.integer()?).ok())
}
