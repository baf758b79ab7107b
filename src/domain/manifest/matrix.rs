//! Matrices: from axes, exclusions and inclusions, or from a `foreach`, to the cells of a stage.
//! Never knows what the values of a cell are used for.
//!
//! Exclusions come first. Then each inclusion, as on GitHub: its names that are no axes are added
//! to every combination whose axes it does not contradict; if it contradicts all of them, it is a
//! cell of its own. Such additions are no part of a label: what the axes say tells cells apart.

use super::check::cut;
use super::diagnostic::{Faults, Place, suggest};
use super::node::{Key, Kind, Node};
use super::room::Room;
use crate::base::limits::JOBS_PER_RUN_MAX;
use std::collections::BTreeSet;

/// One combination: names and their values, and the label that they make.
pub(super) struct Cell<'a> {
    /// Names and values, axes first, in the order of the manifest.
    pub(super) values: Vec<(&'a str, &'a Kind)>,
    /// `width=16,seed=1`; empty without a matrix.
    pub(super) label: String,
}

/// The context that reads the cells of a stage, and all names that it may have.
pub(super) fn names(stage: &Node) -> (&'static str, Vec<&str>) {
    if let Some(foreach) = stage.get("foreach") {
        return ("item", foreach.get("as").and_then(Node::text).into_iter().collect());
    }
    let part = |key: &str| stage.get("matrix").and_then(|matrix| matrix.get(key));
    let axes = part("axes").map(Node::entries).unwrap_or_default().iter();
    let included = part("include").map(Node::items).unwrap_or_default().iter();
    let all = axes.chain(included.flat_map(Node::entries)).map(|(key, _)| key.text.as_str());
    ("matrix", all.collect())
}

/// The cells of a stage, the last axis running fastest, then those that are included; `None` after
/// a fault. A structure that does not fit the grammar gives `None` too: it is reported already.
pub(super) fn cells<'a>(
    (stage, at): (&'a Node, Place),
    instances_max: usize,
    room: &mut Room,
    faults: &mut Faults,
) -> Option<Vec<Cell<'a>>> {
    let fan = [stage.get("matrix"), stage.get("foreach")];
    let (fan, axes, rules) = match fan {
        [None, None] => return Some(vec![Cell { values: Vec::new(), label: String::new() }]),
        [Some(_), Some(foreach)] => {
            let message = "a stage has a `matrix` or a `foreach`, not both";
            faults.advise(foreach.place, message, "make it an axis of the matrix".to_owned());
            return None;
        }
        [Some(matrix), None] => (matrix, axes(matrix)?, Some(matrix)),
        [None, Some(foreach)] => {
            let (name, list) = (foreach.get("as")?, foreach.get("in")?);
            (foreach, vec![Axis::of(name.text()?, list)?], None)
        }
    };
    let at = if fan.place.line == 0 { at } else { fan.place };
    let mut own = Faults::default();
    axes.iter().for_each(|axis| axis.distinct(&mut own));
    let items = |key: &str| rules.and_then(|rules| rules.get(key)).map(Node::items);
    let excludes = items("exclude").unwrap_or_default().iter();
    let excludes: Vec<Rule> = excludes.map(|item| exclude(item, &axes, &mut own)).collect();
    let count = axes.iter().try_fold(1usize, |n, axis| n.checked_mul(axis.values.len()));
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
    let ruled: usize = excludes.iter().map(Vec::len).sum();
    room.looks(at, (count?, 1 + axes.len() + ruled), faults)?;
    let mut grid = product(&axes, &excludes);
    let mut cells: Vec<Cell<'a>> = Vec::with_capacity(grid.len());
    for row in &grid {
        let cell = named(&axes, row);
        room.label(at, &cell.label, faults)?;
        cells.push(cell);
    }
    let mut names: BTreeSet<&str> = axes.iter().map(|axis| axis.name).collect();
    for item in items("include").unwrap_or_default() {
        names.extend(item.entries().iter().map(|(key, _)| key.text.as_str()));
        let looks = 1 + item.entries().len().saturating_mul(names.len());
        room.looks(at, (cells.len(), looks), faults)?;
        include(item, &axes, (&mut grid, &mut cells), faults)?;
    }
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
    Some(cells)
}

/// An axis: its name and its values.
struct Axis<'a> {
    name: &'a str,
    values: Vec<&'a Node>,
}

/// What a rule says of some axes, by their places in the list: the place of a value, or a value
/// that the axis does not have.
type Rule = Vec<(usize, Option<usize>)>;

fn axes(matrix: &Node) -> Option<Vec<Axis<'_>>> {
    let entries = matrix.get("axes")?.entries().iter();
    entries.map(|(key, list)| Axis::of(&key.text, list)).collect()
}

impl<'a> Axis<'a> {
    fn of(name: &'a str, list: &'a Node) -> Option<Self> {
        let values: Vec<&Node> = list.items().iter().collect();
        let is_good = values.iter().all(|value| value.kind.scalar_text().is_some());
        is_good.then_some(Self { name, values })
    }

    fn texts(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.values.iter().filter_map(|value| value.kind.scalar_text())
    }

    fn distinct(&self, faults: &mut Faults) {
        let mut seen = BTreeSet::new();
        for (value, text) in self.values.iter().zip(self.texts()) {
            if !seen.insert(text) {
                let message = format!("axis `{}` has the value {} twice", self.name, cut(text));
                faults.add(value.place, message);
            }
        }
    }
}

fn exclude(item: &Node, axes: &[Axis<'_>], faults: &mut Faults) -> Rule {
    let mut rule = Rule::new();
    for (key, node) in item.entries() {
        let Some((index, axis)) = axes.iter().enumerate().find(|(_, axis)| axis.name == key.text)
        else {
            let hint = suggest(&key.text, axes.iter().map(|axis| axis.name));
            faults.advise(key.place, format!("unknown matrix axis `{}`", cut(&key.text)), hint);
            continue;
        };
        let Some(text) = node.kind.scalar_text() else { continue };
        match axis.texts().position(|value| value == text) {
            Some(value) => rule.push((index, Some(value))),
            None => {
                let hint = suggest(text, axis.texts());
                let message = format!("axis `{}` has no value {}", key.text, cut(text));
                faults.advise(node.place, message, hint);
            }
        }
    }
    rule
}

fn fits(row: &[usize], rule: &Rule) -> bool {
    rule.iter().all(|(axis, value)| value.is_some() && row.get(*axis).copied() == *value)
}

/// All combinations that no rule excludes, each as the places of its values; the caller has bounded
/// their number.
fn product(axes: &[Axis<'_>], excludes: &[Rule]) -> Vec<Vec<usize>> {
    let mut rows = Vec::new();
    let mut row = vec![0; axes.len()];
    loop {
        if !excludes.iter().any(|rule| !rule.is_empty() && fits(&row, rule)) {
            rows.push(row.clone());
        }
        // The last axis runs fastest, as the wheels of a counter do.
        let mut wheels = row.iter_mut().zip(axes).rev();
        let turned = wheels.find_map(|(wheel, axis)| {
            *wheel = if *wheel + 1 < axis.values.len() { *wheel + 1 } else { 0 };
            (*wheel > 0).then_some(())
        });
        if turned.is_none() {
            return rows;
        }
    }
}

/// Adds the names of one inclusion to the combinations that it fits, or a cell for it.
fn include<'a>(
    item: &'a Node,
    axes: &[Axis<'_>],
    (grid, cells): (&mut Vec<Vec<usize>>, &mut Vec<Cell<'a>>),
    faults: &mut Faults,
) -> Option<()> {
    let axis_of = |key: &Key| axes.iter().position(|axis| axis.name == key.text);
    let text = |node: &'a Node| node.kind.scalar_text();
    let rule: Option<Rule> = item
        .entries()
        .iter()
        .filter_map(|(key, node)| Some((axis_of(key)?, node)))
        .map(|(axis, node)| {
            let text = text(node)?;
            Some((axis, axes.get(axis)?.texts().position(|value| value == text)))
        })
        .collect();
    let rule = rule?;
    let extra: Vec<(&str, &Kind)> = item
        .entries()
        .iter()
        .filter(|(key, _)| axis_of(key).is_none())
        .map(|(key, node)| (key.text.as_str(), &node.kind))
        .collect();
    let mut is_added = false;
    for (_, cell) in grid.iter().zip(cells.iter_mut()).filter(|(row, _)| fits(row, &rule)) {
        is_added = true;
        for (name, kind) in &extra {
            // A later inclusion may say otherwise than an earlier one, as on GitHub.
            cell.values.retain(|(known, _)| known != name);
            cell.values.push((name, kind));
        }
    }
    if is_added {
        if extra.is_empty() {
            let message = "this inclusion adds nothing: the combination is there already";
            faults.warn(item.place, message, "take it away, or exclude it first".to_owned());
        }
        return Some(());
    }
    // In the order of the axes, so that equal cells have equal labels however they are written.
    let rank = |key: &Key| axis_of(key).unwrap_or(axes.len());
    let mut entries: Vec<&(Key, Node)> = item.entries().iter().collect();
    entries.sort_by_key(|(key, _)| rank(key));
    let pairs = entries.iter().map(|(key, node)| Some((key.text.as_str(), text(node)?)));
    let label: Vec<String> = pairs
        .map(|pair| pair.map(|(name, text)| format!("{name}={text}")))
        .collect::<Option<_>>()?;
    let label = label.join(",");
    let values = entries.iter().map(|(key, node)| (key.text.as_str(), &node.kind)).collect();
    if cells.iter().any(|cell| cell.label == label) {
        faults.add(item.place, format!("the combination {} is included twice", cut(&label)));
        return None;
    }
    cells.push(Cell { values, label });
    Some(())
}

fn named<'a>(axes: &[Axis<'a>], row: &[usize]) -> Cell<'a> {
    let mut values = Vec::with_capacity(row.len());
    let mut label = String::new();
    for (axis, node) in axes.iter().zip(row).filter_map(|(a, i)| Some((a, *a.values.get(*i)?))) {
        if !label.is_empty() {
            label.push(',');
        }
        label.push_str(axis.name);
        label.push('=');
        label.push_str(node.kind.scalar_text().unwrap_or_default());
        values.push((axis.name, &node.kind));
    }
    Cell { values, label }
}
