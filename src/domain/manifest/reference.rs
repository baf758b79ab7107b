//! References: from `stage.output` as text to edges between stages that exist and fit.
//! Never follows an edge further than one stage.

use super::check::cut;
use super::cycle::Waits;
use super::diagnostic::{Faults, Place, suggest};
use super::form::{Good, Port};
use super::node::{Key, Kind, Node};
use super::stage::Draft;
use super::{InputRef, Publish, TableFormat};
use crate::domain::terms::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// All stages by name.
pub(super) type Drafts<'a> = BTreeMap<&'a str, Draft<'a>>;

/// What references may name.
pub(super) struct Known<'a> {
    /// The stages.
    pub(super) stages: &'a Drafts<'a>,
    /// The names of the sources, whole or not.
    pub(super) sources: &'a [&'a str],
    /// Those of them that are networks, and what they are taken for.
    pub(super) networks: &'a BTreeMap<&'a str, Good>,
}

/// The edges of one stage.
pub(super) struct Edges {
    /// Inputs in the order of the ports of the kind, or by name where it takes any.
    pub(super) inputs: Vec<(String, InputRef, Place)>,
    /// Stages that must be done first.
    pub(super) needs: Vec<(String, Place)>,
}

/// A reference as it is written.
enum Written<'a> {
    Source(&'a str),
    Output(&'a str, &'a str),
    Each(&'a str, &'a str),
}

fn parse(text: &str) -> Option<Written<'_>> {
    let mut words = text.split('.');
    match (words.next()?, words.next()?, words.next(), words.next()) {
        ("sources", name, None, _) => Some(Written::Source(name)),
        (stage, output, None, _) if output != "*" => Some(Written::Output(stage, output)),
        (stage, "*", Some(output), None) => Some(Written::Each(stage, output)),
        _ => None,
    }
}

/// The edges of a stage; what does not resolve is reported and left out.
pub(super) fn edges(draft: &Draft<'_>, known: &Known<'_>, faults: &mut Faults) -> Edges {
    if faults.is_full() {
        return Edges { inputs: Vec::new(), needs: Vec::new() };
    }
    let given = draft.node.get("inputs");
    let entries = given.map(Node::entries).unwrap_or_default();
    let ports = draft.kind.and_then(|kind| kind.inputs);
    let mut inputs: Vec<(String, InputRef, Place)> = Vec::new();
    for (key, node) in entries {
        let port = match ports {
            Some(ports) => match ports.iter().find(|port| port.name == key.text) {
                Some(port) => Some(port),
                None => {
                    unknown_input(draft, key, ports, faults);
                    continue;
                }
            },
            None => None,
        };
        if let Some(edge) = input(draft, key, node, port, known, faults) {
            inputs.push((key.text.clone(), edge, node.place));
        }
    }
    let is_readable = given.is_none_or(|node| matches!(node.kind, Kind::Map(_)));
    for port in ports.unwrap_or_default().iter().filter(|port| !port.optional) {
        if is_readable && !entries.iter().any(|(key, _)| key.text == port.name) {
            let at = draft.key.place;
            let message = format!("stage `{}` needs the input `{}`", draft.key.text, port.name);
            let doc = port.doc;
            faults.advise(at, message, format!("`inputs: {{ {}: … }}`: {doc}", port.name));
        }
    }
    // The order of the text must not reach the key of a job.
    let rank = |name: &str| ports.unwrap_or_default().iter().position(|port| port.name == name);
    inputs.sort_by(|(a, ..), (b, ..)| (rank(a), a).cmp(&(rank(b), b)));
    let mut needs = needs(draft, known, faults);
    if let Some((condition, place)) = &draft.when {
        metrics(condition, *place, known, faults);
        // What a condition reads must be there before it is asked.
        let missing = |stage: &&str| known.stages.contains_key(stage);
        for stage in condition.stages().into_iter().filter(missing) {
            if !needs.iter().any(|(name, _)| name == stage) {
                needs.push((stage.to_owned(), *place));
            }
        }
    }
    Edges { inputs, needs }
}

/// Whether the metrics that a condition reads are reported by the one job of a stage.
fn metrics(condition: &Condition, place: Place, known: &Known<'_>, faults: &mut Faults) {
    for (stage, name) in condition.metrics() {
        let Some(draft) = stage_of(stage, place, known, faults) else { continue };
        let count = draft.labels.as_ref().map_or(1, Vec::len);
        if count > 1 {
            let message = format!("`metrics.{stage}` is ambiguous: it has {count} instances");
            let hint = "read those of a stage that selects one, such as `uses: evaluate`";
            faults.advise(place, message, hint.to_owned());
        }
        if draft.is_split() {
            let message = format!("`metrics.{stage}` is ambiguous: it is split into chunks");
            let hint = "read those of a stage that takes its table".to_owned();
            faults.advise(place, message, hint);
        }
        let Some(kind) = draft.kind else { continue };
        if !kind.metrics.iter().any(|(known, _)| *known == name) {
            let message = format!("`{stage}` reports no metric `{}`", cut(name));
            let hint = suggest(name, kind.metrics.iter().map(|(name, _)| *name));
            let none = format!("`uses: {}` reports none", kind.name);
            faults.advise(place, message, hint.unwrap_or(none));
        }
    }
}

/// The stages that one waits for, and where it says so.
pub(super) fn stages_of(edges: &Edges) -> Vec<(&str, Place)> {
    let inputs = edges.inputs.iter().filter_map(|(_, from, place)| match from {
        InputRef::Output { stage, .. } | InputRef::Each { stage, .. } => {
            Some((stage.as_str(), *place))
        }
        InputRef::Source(_) => None,
    });
    inputs.chain(edges.needs.iter().map(|(name, place)| (name.as_str(), *place))).collect()
}

fn unknown_input(draft: &Draft<'_>, key: &Key, ports: &[Port], faults: &mut Faults) {
    let kind = draft.kind.map_or("", |kind| kind.name);
    let message = format!("`{kind}` has no input `{}`", cut(&key.text));
    faults.advise(key.place, message, suggest(&key.text, ports.iter().map(|port| port.name)));
}

fn input(
    draft: &Draft<'_>,
    key: &Key,
    node: &Node,
    port: Option<&Port>,
    known: &Known<'_>,
    faults: &mut Faults,
) -> Option<InputRef> {
    let text = node.text()?;
    let (edge, good) = match parse(text) {
        Some(Written::Source(name)) => {
            source(name, node.place, known, faults)?;
            let good = known.networks.get(name).copied().unwrap_or(Good::Source);
            (InputRef::Source(name.to_owned()), Some(good))
        }
        Some(Written::Output(stage, output)) => {
            let (from, good) = output_of(stage, output, node.place, known, faults)?;
            same_cells(draft, from, (output, node.place), faults)?;
            let takes_one = port.is_some_and(|port| !port.many);
            if takes_one && from.is_split() && good != Some(Good::Table) {
                let message = format!("`{text}` is several: `{stage}` is split into chunks");
                let hint = "only the chunks of its table are put together".to_owned();
                faults.advise(node.place, message, hint);
                return None;
            }
            (InputRef::Output { stage: stage.to_owned(), output: output.to_owned() }, good)
        }
        Some(Written::Each(stage, output)) => {
            let (from, good) = output_of(stage, output, node.place, known, faults)?;
            let count = from.labels.as_ref().map_or(1, Vec::len);
            if port.is_some_and(|port| !port.many) && count > 1 {
                let message = format!("input `{}` takes one, but `{text}` is {count}", key.text);
                let hint = "select one of them first, such as with `uses: evaluate`".to_owned();
                faults.advise(node.place, message, hint);
                return None;
            }
            (InputRef::Each { stage: stage.to_owned(), output: output.to_owned() }, good)
        }
        None => {
            faults.advise(node.place, format!("`{}` is no reference", cut(text)), written());
            return None;
        }
    };
    if let (Some(port), Some(good)) = (port, good)
        && !good.is_taken_for(port.good)
    {
        let (takes, is) = (port.good.noun(), good.noun());
        let message = format!("input `{}` takes {takes}, but `{text}` is {is}", key.text);
        faults.advise(node.place, message, port.doc.to_owned());
        return None;
    }
    Some(edge)
}

fn written() -> String {
    "write `STAGE.OUTPUT`, `STAGE.*.OUTPUT` or `sources.NAME`".to_owned()
}

fn source(name: &str, place: Place, known: &Known<'_>, faults: &mut Faults) -> Option<()> {
    if known.sources.contains(&name) {
        return Some(());
    }
    let hint = suggest(name, known.sources.iter().copied())
        .or_else(|| Some("declare it under `spec.sources`".to_owned()));
    faults.advise(place, format!("unknown source `{}`", cut(name)), hint);
    None
}

/// The stage of a reference and what flows from it, where that is known.
fn output_of<'a>(
    stage: &str,
    output: &str,
    place: Place,
    known: &Known<'a>,
    faults: &mut Faults,
) -> Option<(&'a Draft<'a>, Option<Good>)> {
    let from = stage_of(stage, place, known, faults)?;
    let Some(outputs) = from.outputs() else {
        return Some((from, None));
    };
    if let Some((_, good)) = outputs.iter().find(|(name, _)| *name == output) {
        return Some((from, Some(*good)));
    }
    let hint = suggest(output, outputs.iter().map(|(name, _)| *name));
    let message = format!("stage `{stage}` has no output `{}`", cut(output));
    faults.advise(place, message, hint);
    None
}

fn stage_of<'a>(
    name: &str,
    place: Place,
    known: &Known<'a>,
    faults: &mut Faults,
) -> Option<&'a Draft<'a>> {
    let found = known.stages.get(name);
    if found.is_none() {
        let hint = if known.sources.contains(&name) {
            Some(format!("did you mean `sources.{name}`?"))
        } else {
            suggest(name, known.stages.keys().copied())
        };
        faults.advise(place, format!("unknown stage `{}`", cut(name)), hint);
    }
    found
}

/// A plain reference to a stage of several instances joins cell to cell: each label of this stage
/// must be one of that stage.
fn same_cells(
    draft: &Draft<'_>,
    from: &Draft<'_>,
    (output, place): (&str, Place),
    faults: &mut Faults,
) -> Option<()> {
    let (Some(own), Some(others)) = (&draft.labels, &from.labels) else {
        return Some(());
    };
    if others.len() == 1
        || own == others
        || (own.len() > 1 && own.iter().all(|label| from.has_label(label)))
    {
        return Some(());
    }
    let name = &from.key.text;
    let count = others.len();
    let message = format!("`{name}.{output}` is ambiguous: `{name}` has {count} instances");
    let hint = format!("take all with `{name}.*.{output}`, or give both stages the same matrix");
    faults.advise(place, message, hint);
    None
}

fn needs(draft: &Draft<'_>, known: &Known<'_>, faults: &mut Faults) -> Vec<(String, Place)> {
    let items = draft.node.get("needs").map(Node::items).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut needs = Vec::new();
    for (name, place) in items.iter().filter_map(|item| Some((item.text()?, item.place))) {
        if stage_of(name, place, known, faults).is_some() && seen.insert(name) {
            needs.push((name.to_owned(), place));
        }
    }
    needs
}

/// What each stage waits for, from its edges.
pub(super) fn waits<'a>(edges: &'a BTreeMap<&'a str, Edges>) -> Waits<'a> {
    edges.iter().map(|(stage, edges)| (*stage, stages_of(edges))).collect()
}

/// The outputs of the manifest.
pub(super) fn outputs(
    node: Option<&Node>,
    known: &Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, Publish> {
    let mut outputs = BTreeMap::new();
    let mut targets: BTreeMap<Vec<&str>, u32> = BTreeMap::new();
    for (key, node) in node.map(Node::entries).unwrap_or_default() {
        let (Some(from), Some(to)) = (node.get("from"), node.get("to")) else { continue };
        if let Some(path) = to.text()
            && let Some(line) = targets.insert(parts(path).collect(), to.place.line)
        {
            let message = format!("output `{}` would overwrite another", cut(&key.text));
            faults.advise(to.place, message, format!("`{}` is taken on line {line}", cut(path)));
        }
        if let Some(path) = to.text()
            && !stays_below(path)
        {
            let message = format!("output `{}` would be written elsewhere", cut(&key.text));
            let hint = "an output goes into a folder below the manifest's, such as `out/model/`";
            faults.advise(to.place, message, hint.to_owned());
        }
        if let (Some((stage, output, good)), Some(to)) = (published(from, known, faults), to.text())
        {
            let format = node.get("format");
            if let (Some(format), Some(good)) = (format, good.filter(|good| *good != Good::Table)) {
                let message = format!("`format` is for tables, but this is {}", good.noun());
                faults.advise(format.place, message, "leave it out".to_owned());
            }
            let format = match format.and_then(Node::text) {
                Some("parquet") => TableFormat::Parquet,
                _ => TableFormat::Csv,
            };
            let from = (stage, output, from.place);
            outputs.insert(key.text.clone(), Publish { from, to: to.to_owned(), format });
        }
    }
    outputs
}

/// The folders that a path leads through: two paths with the same ones lead to the same place.
fn parts(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split(['/', '\\']).filter(|part| !matches!(*part, "" | "."))
}

/// Whether a path leads to a folder below the one that it starts from: a manifest may come from
/// somebody else, and must not write where its reader does not expect it.
fn stays_below(path: &str) -> bool {
    let mut parts = parts(path);
    let is_absolute = path.starts_with(['/', '\\']) || path.contains(':');
    !is_absolute && parts.clone().next().is_some() && parts.all(|part| part != "..")
}

/// The stage and output that is published, and what it is where that is known.
fn published(
    from: &Node,
    known: &Known<'_>,
    faults: &mut Faults,
) -> Option<(String, String, Option<Good>)> {
    let text = from.text()?;
    let Some(Written::Output(stage, output)) = parse(text) else {
        let message = format!("an output comes from one stage, not from `{}`", cut(text));
        faults.advise(from.place, message, "write `STAGE.OUTPUT`".to_owned());
        return None;
    };
    let (draft, good) = output_of(stage, output, from.place, known, faults)?;
    let count = draft.labels.as_ref().map_or(1, Vec::len);
    if count > 1 {
        let message = format!("`{text}` is ambiguous: `{stage}` has {count} instances");
        let hint = "select one of them first, such as with `uses: evaluate`".to_owned();
        faults.advise(from.place, message, hint);
        return None;
    }
    if draft.is_split() {
        let message = format!("`{text}` is several: `{stage}` is split into chunks");
        let hint = "publish what a stage makes of its table, or leave `split` away".to_owned();
        faults.advise(from.place, message, hint);
        return None;
    }
    Some((stage.to_owned(), output.to_owned(), good))
}
