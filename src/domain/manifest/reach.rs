//! Reach: what of a manifest leads nowhere: stages that nobody takes from, sources that nobody
//! reads, outputs that are never written.
//! Never reports an error: all of it can be run, and is hardly what was meant.

use super::check::cut;
use super::diagnostic::Faults;
use super::form::Good;
use super::node::{Key, Node};
use super::reference::{Edges, Known, stages_of};
use super::{InputRef, Publish};
use crate::domain::terms::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// Warns of all that leads nowhere in the `spec` of a manifest without errors.
pub(super) fn check(
    edges: &BTreeMap<&str, Edges>,
    spec: &Node,
    outputs: &BTreeMap<String, Publish>,
    known: &Known<'_>,
    faults: &mut Faults,
) {
    unread(edges, outputs, known, faults);
    unused(edges, spec, faults);
    unwritten(edges, outputs, known, faults);
}

/// Stages whose results nobody takes: no output, no stage, no condition. Those that report metrics
/// or give nothing but the fact that they were done may be meant like that.
fn unread(
    edges: &BTreeMap<&str, Edges>,
    outputs: &BTreeMap<String, Publish>,
    known: &Known<'_>,
    faults: &mut Faults,
) {
    let taken: BTreeSet<&str> = edges.values().flat_map(stages_of).map(|(name, _)| name).collect();
    let published: BTreeSet<&str> = outputs.values().map(|output| &*output.from.0).collect();
    for (name, draft) in known.stages {
        let Some((kind, goods)) = draft.kind.zip(draft.outputs()) else { continue };
        let is_quiet = goods.iter().all(|(_, good)| *good == Good::Token);
        if taken.contains(name) || published.contains(name) || is_quiet || !kind.metrics.is_empty()
        {
            continue;
        }
        let output = goods.first().map_or("", |(output, _)| *output);
        let message = format!("nobody takes what stage `{name}` gives");
        let hint =
            format!("publish it: `outputs: {{ {output}: {{ from: {name}.{output}, to: out/ }} }}`");
        faults.warn(draft.key.place, message, hint);
    }
}

/// Sources that no stage reads: they are pinned all the same.
fn unused(edges: &BTreeMap<&str, Edges>, spec: &Node, faults: &mut Faults) {
    let inputs = edges.values().flat_map(|edges| &edges.inputs);
    let read: BTreeSet<&str> = inputs
        .filter_map(|(_, from, _)| match from {
            InputRef::Source(name) => Some(name.as_str()),
            InputRef::Output { .. } | InputRef::Each { .. } => None,
        })
        .collect();
    let sources = spec.get("sources").map(Node::entries).unwrap_or_default().iter();
    for (Key { text, place }, _) in sources.filter(|(key, _)| !read.contains(key.text.as_str())) {
        let message = format!("no stage reads source `{}`", cut(text));
        let hint = format!("read it: `inputs: {{ rows: sources.{text} }}`, or take it away");
        faults.warn(*place, message, hint);
    }
}

/// Outputs of stages that are always skipped: their condition is false whatever the metrics are,
/// or that of a stage that they wait for is.
fn unwritten(
    edges: &BTreeMap<&str, Edges>,
    outputs: &BTreeMap<String, Publish>,
    known: &Known<'_>,
    faults: &mut Faults,
) {
    let skipped = skipped(edges, known);
    for (name, Publish { from: (stage, _, place), .. }) in outputs {
        let Some(cause) = skipped.get(stage.as_str()) else { continue };
        let message = match *cause == stage {
            true => format!("output `{name}` is never written: `when` of `{stage}` is false"),
            false => format!(
                "output `{name}` is never written: `{stage}` waits for `{cause}`, whose `when` is \
                 false"
            ),
        };
        let hint = "with other parameters it may be true; else take the output away".to_owned();
        faults.warn(*place, message, hint);
    }
}

/// The stages that are always skipped, and the one whose condition is the cause.
fn skipped<'a>(edges: &BTreeMap<&'a str, Edges>, known: &Known<'a>) -> BTreeMap<&'a str, &'a str> {
    let is_never = |when: &Condition| matches!(when, Condition::Constant(false));
    let never = known
        .stages
        .iter()
        .filter(|(_, draft)| draft.when.as_ref().is_some_and(|(condition, _)| is_never(condition)));
    let mut waiting: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (name, edges) in edges {
        for (stage, _) in stages_of(edges) {
            waiting.entry(stage).or_default().push(name);
        }
    }
    let mut skipped = BTreeMap::new();
    let mut open: Vec<(&'a str, &'a str)> = never.map(|(name, _)| (*name, *name)).collect();
    while let Some((stage, cause)) = open.pop() {
        if skipped.insert(stage, cause).is_none() {
            let after = waiting.get(stage).into_iter().flatten();
            open.extend(after.map(|next| (*next, cause)));
        }
    }
    skipped
}
