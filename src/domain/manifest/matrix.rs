//! Matrices: from axes and exclusions to the cells of a stage, in the order of the manifest.
//! Never knows what the values of a cell are used for.

use super::check::cut;
use super::diagnostic::{Faults, Place, suggest};
use super::node::{Key, Kind, Node};
use crate::base::limits::JOBS_PER_RUN_MAX;
use std::collections::BTreeSet;

/// One combination: axes and their values, and the label that they make.
pub(super) struct Cell<'a> {
    /// Axes and values, in the order of the manifest.
    pub(super) values: Vec<(&'a str, &'a Kind)>,
    /// `width=16,seed=1`; empty without a matrix.
    pub(super) label: String,
}

/// The names of the axes of a stage.
pub(super) fn axes(stage: &Node) -> Vec<&str> {
    let axes = stage.get("matrix").and_then(|matrix| matrix.get("axes"));
    axes.map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.text.as_str()).collect()
}

/// The cells of a stage, the last axis running fastest; `None` after a fault. A structure that does
/// not fit the grammar gives `None` too: it is reported already.
pub(super) fn cells<'a>(
    stage: &'a Node,
    at: Place,
    instances_max: usize,
    faults: &mut Faults,
) -> Option<Vec<Cell<'a>>> {
    let Some(matrix) = stage.get("matrix") else {
        return Some(vec![Cell { values: Vec::new(), label: String::new() }]);
    };
    let axes: Vec<(&Key, Vec<Value<'a>>)> =
        matrix.get("axes")?.entries().iter().map(|(key, list)| (key, values(list))).collect();
    let mut own = Faults::default();
    axes.iter().for_each(|(key, values)| distinct(key, values, &mut own));
    let excludes: Vec<Vec<(usize, &str)>> = matrix
        .get("exclude")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .map(|item| exclude(item, &axes, &mut own))
        .collect();
    let at = if matrix.place.line == 0 { at } else { matrix.place };
    let count = axes.iter().try_fold(1usize, |count, (_, values)| count.checked_mul(values.len()));
    // Bounded before anything is multiplied out; what remains is bounded again below.
    let count = count.filter(|count| *count <= JOBS_PER_RUN_MAX);
    if count.is_none() {
        let message = format!("a matrix has at most {JOBS_PER_RUN_MAX} combinations");
        own.advise(at, message, "take fewer values, or fewer axes".to_owned());
    }
    if !own.is_empty() || count == Some(0) {
        faults.merge(own);
        return None;
    }
    let is_excluded = |cell: &[Value<'_>]| {
        let has = |(axis, text): &(usize, &str)| cell.get(*axis).is_some_and(|v| v.text == *text);
        excludes.iter().any(|rule| !rule.is_empty() && rule.iter().all(has))
    };
    let cells: Vec<_> = product(&axes).into_iter().filter(|cell| !is_excluded(cell)).collect();
    if cells.is_empty() {
        faults.add(at, "all combinations of the matrix are excluded");
        return None;
    }
    if cells.len() > instances_max {
        let count = cells.len();
        let message = format!("{count} instances in one stage: the limit is {instances_max}");
        let hint = "raise `spec.run.limits.instances`, or take fewer values".to_owned();
        faults.advise(at, message, hint);
        return None;
    }
    Some(cells.into_iter().map(|cell| named(&axes, &cell)).collect())
}

/// A value of an axis: how it reads and what it is.
#[derive(Clone, Copy)]
struct Value<'a> {
    text: &'a str,
    node: &'a Node,
}

fn values(list: &Node) -> Vec<Value<'_>> {
    let value = |node: &'_ Node| node.kind.scalar_text().is_some();
    let items = list.items().iter().filter(|node| value(node));
    items.map(|node| Value { text: node.kind.scalar_text().unwrap_or_default(), node }).collect()
}

fn distinct(key: &Key, values: &[Value<'_>], faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for value in values.iter().filter(|value| !seen.insert(value.text)) {
        let message = format!("axis `{}` has the value {} twice", key.text, cut(value.text));
        faults.add(value.node.place, message);
    }
}

/// One exclusion as pairs of an axis, by its place in the list, and the text of a value.
fn exclude<'a>(
    item: &'a Node,
    axes: &[(&Key, Vec<Value<'_>>)],
    faults: &mut Faults,
) -> Vec<(usize, &'a str)> {
    let mut pairs = Vec::new();
    for (key, node) in item.entries() {
        let mut known = axes.iter().enumerate();
        let Some((index, (_, values))) = known.find(|(_, (axis, _))| axis.text == key.text) else {
            let hint = suggest(&key.text, axes.iter().map(|(axis, _)| axis.text.as_str()));
            faults.advise(key.place, format!("unknown matrix axis `{}`", cut(&key.text)), hint);
            continue;
        };
        let Some(text) = node.kind.scalar_text() else { continue };
        if values.iter().any(|value| value.text == text) {
            pairs.push((index, text));
        } else {
            let hint = suggest(text, values.iter().map(|value| value.text));
            let message = format!("axis `{}` has no value {}", key.text, cut(text));
            faults.advise(node.place, message, hint);
        }
    }
    pairs
}

/// All combinations, one value per axis; the caller has bounded their number.
fn product<'a>(axes: &[(&Key, Vec<Value<'a>>)]) -> Vec<Vec<Value<'a>>> {
    axes.iter().fold(vec![Vec::new()], |rows, (_, values)| {
        let extend = |row: &Vec<Value<'a>>, value: &Value<'a>| {
            let mut row = row.clone();
            row.push(*value);
            row
        };
        rows.iter().flat_map(|row| values.iter().map(move |value| extend(row, value))).collect()
    })
}

fn named<'a>(axes: &[(&'a Key, Vec<Value<'a>>)], cell: &[Value<'a>]) -> Cell<'a> {
    let pairs = axes.iter().zip(cell).map(|((axis, _), value)| (axis.text.as_str(), value));
    let label: Vec<_> = pairs.clone().map(|(axis, v)| format!("{axis}={}", v.text)).collect();
    let values = pairs.map(|(axis, value)| (axis, &value.node.kind)).collect();
    Cell { values, label: label.join(",") }
}
