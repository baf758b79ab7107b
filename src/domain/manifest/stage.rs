//! Stages: from the node of one stage to its instances, each with the spec of its job.
//! Never looks at other stages: `reference` joins them.

use super::check::{self, Stage as Walk};
use super::diagnostic::{Faults, Place};
use super::expression::{self, Matrix, Scope, substitute};
use super::form::{Good, StageKind};
use super::kind::stage_kind;
use super::matrix::{self, Cell};
use super::node::{Key, Kind, Node};
use super::room::Room;
use super::{Instance, Source};
use crate::base::canon::Encode;
use crate::domain::job::{Reading, Spec};
use crate::domain::terms::Condition;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// Instances at fault that are looked at: a matrix of wrong values has mostly the same faults.
const FAULTY_MAX: usize = 256;

/// What all stages of a manifest share while they are read.
pub(super) struct Common<'a> {
    /// Values of parameters.
    pub(super) params: &'a BTreeMap<String, Kind>,
    /// Values of `run.`.
    pub(super) run: &'a BTreeMap<String, Kind>,
    /// Sources that are whole.
    pub(super) sources: &'a BTreeMap<String, Source>,
    /// Instances that one stage may have.
    pub(super) instances_max: usize,
    /// What all stages together may still take.
    pub(super) room: Room,
}

impl<'a> Common<'a> {
    fn scope(&self, matrix: Matrix<'a>) -> Scope<'a> {
        Scope { params: self.params, run: self.run, matrix, metrics: false }
    }
}

/// A stage as far as it could be read.
pub(super) struct Draft<'a> {
    /// The name.
    pub(super) key: &'a Key,
    /// The whole stage.
    pub(super) node: &'a Node,
    /// What it does; `None` after a fault at `uses`.
    pub(super) kind: Option<&'static StageKind>,
    /// The labels of its instances; `None` after a fault in the matrix.
    pub(super) labels: Option<Vec<String>>,
    /// Its instances; `None` after any fault.
    pub(super) instances: Option<Vec<Instance>>,
    /// The column that it names, or the stage itself.
    pub(super) column_place: Place,
    /// Where its settings and its steps are written.
    pub(super) places: (BTreeMap<String, Place>, Vec<Place>),
    /// What must hold for it to run, and where it says so.
    pub(super) when: Option<(Condition, Place)>,
    known: OnceCell<BTreeSet<String>>,
}

impl Draft<'_> {
    /// Whether an instance has that label. The set is made once: many stages may ask.
    pub(super) fn has_label(&self, label: &str) -> bool {
        let labels = || self.labels.iter().flatten().cloned().collect();
        self.known.get_or_init(labels).contains(label)
    }

    /// Whether it has a job for each chunk of its source.
    pub(super) fn is_split(&self) -> bool {
        self.node.get("split").is_some()
    }

    /// What it gives, by name; `None` where a fault keeps that unknown.
    pub(super) fn outputs(&self) -> Option<Vec<(&str, Good)>> {
        if let Some(fixed) = self.kind?.outputs {
            return Some(fixed.to_vec());
        }
        let ratios = self.node.get("with")?.get("ratios")?.entries();
        Some(ratios.iter().map(|(key, _)| (key.text.as_str(), Good::Table)).collect())
    }
}

/// Reads one stage.
pub(super) fn draft<'a>(
    key: &'a Key,
    node: &'a Node,
    common: &mut Common<'_>,
    faults: &mut Faults,
) -> Draft<'a> {
    let kind = node.get("uses").and_then(Node::text).and_then(stage_kind);
    let column = ["target", "targets", "stratify", "by", "columns"]
        .iter()
        .find_map(|name| node.get("with")?.get(name));
    let cells = cells(key, node, common, faults);
    if cells.is_none() {
        axes_of_no_cells(node, common, faults);
    }
    let labels = cells.as_ref().map(|cells| cells.iter().map(|c| c.label.clone()).collect());
    let instances = kind
        .zip(cells)
        .and_then(|(kind, cells)| instances((key, node), kind, cells, common, faults));
    let column_place = column.map_or(key.place, |column| column.place);
    let scope = Scope { metrics: true, ..common.scope(Matrix::Elsewhere) };
    let when = node
        .get("when")
        .and_then(|node| Some((expression::condition(node, scope, faults)?, node.place)));
    let (places, known) = (places(node), OnceCell::new());
    Draft { key, node, kind, labels, instances, column_place, places, when, known }
}

/// Where the settings of a stage are written, and its steps: a value that is more than a word is
/// shown by its name.
fn places(node: &Node) -> (BTreeMap<String, Place>, Vec<Place>) {
    let with = node.get("with");
    let place = |(key, value): &(Key, Node)| match value.text() {
        Some(_) => value.place,
        None => key.place,
    };
    let settings = with.map(Node::entries).unwrap_or_default();
    let settings = settings.iter().map(|entry| (entry.0.text.clone(), place(entry)));
    let steps = with.and_then(|with| with.get("steps")).map(Node::items).unwrap_or_default();
    let step = |node: &Node| node.entries().first().map_or(node.place, |(key, _)| key.place);
    (settings.collect(), steps.iter().map(step).collect())
}

fn cells<'a>(
    key: &Key,
    node: &'a Node,
    common: &mut Common<'_>,
    faults: &mut Faults,
) -> Option<Vec<Cell<'a>>> {
    let Common { instances_max, room, .. } = common;
    let cells = matrix::cells((node, key.place), *instances_max, room, faults)?;
    room.instances(key.place, cells.len(), faults)?;
    Some(cells)
}

/// Settings that read axes which do not exist are told where the matrix has another fault, too.
fn axes_of_no_cells(stage: &Node, common: &Common<'_>, faults: &mut Faults) {
    let (context, names) = matrix::names(stage);
    if let Some(with) = stage.get("with")
        && !names.is_empty()
    {
        substitute(with, common.scope(Matrix::Axes(context, &names)), faults);
    }
}

/// The instances of a stage: settings are checked again once their expressions have values.
fn instances(
    (key, stage): (&Key, &Node),
    kind: &'static StageKind,
    cells: Vec<Cell<'_>>,
    common: &mut Common<'_>,
    faults: &mut Faults,
) -> Option<Vec<Instance>> {
    let empty = Node { place: key.place, kind: Kind::Map(Vec::new()) };
    let given = stage.entries().iter().find(|(key, _)| key.text == "with");
    let (at, with) = given.map_or((key.place, &empty), |(key, with)| (key.place, with));
    let reading = source_reading(stage, common.sources);
    let mut own = Faults::default();
    let varies = common.room.evaluations((with, at), cells.len(), faults)? > 0;
    let (context, names) = matrix::names(stage);
    if varies {
        // Axes that do not exist are told apart from values that do not fit.
        substitute(with, common.scope(Matrix::Axes(context, &names)), &mut own);
    }
    let mut instances = Vec::with_capacity(cells.len());
    let mut shared: Option<(Spec, usize)> = None;
    let mut faulty = 0;
    for cell in cells {
        if own.is_full() || faulty >= FAULTY_MAX {
            break;
        }
        let spec = match (&shared, varies) {
            (Some((spec, _)), false) => Some(Spec::clone(spec)),
            _ => {
                let scope = common.scope(Matrix::Cell(context, &cell.values, &names));
                let resolved = substitute_if(varies, with, scope, &mut own);
                check::with(&resolved, at, &kind.with, Walk::Resolved, &mut own);
                (kind.sound)(&resolved, stage, &mut own);
                own.is_empty().then(|| (kind.spec)(&resolved, reading)).flatten()
            }
        };
        let Some(spec) = spec else {
            // Without expressions all instances have the same faults.
            faulty = if varies { faulty + 1 } else { FAULTY_MAX };
            continue;
        };
        // A spec that all have is encoded once.
        let bytes = shared.as_ref().map_or_else(|| spec.to_bytes().len(), |(_, bytes)| *bytes);
        common.room.settings(at, bytes, faults)?;
        if !varies && shared.is_none() {
            shared = Some((spec.clone(), bytes));
        }
        instances.push(Instance { label: cell.label, spec });
    }
    let is_good = own.is_empty();
    faults.merge(own);
    (is_good && !instances.is_empty()).then_some(instances)
}

fn substitute_if(varies: bool, with: &Node, scope: Scope<'_>, faults: &mut Faults) -> Node {
    if varies { substitute(with, scope, faults) } else { with.clone() }
}

/// How the source of an ingest is read, where that is known.
fn source_reading<'a>(stage: &Node, sources: &'a BTreeMap<String, Source>) -> Option<&'a Reading> {
    let name = stage.get("inputs")?.get("rows")?.text()?.strip_prefix("sources.")?;
    sources.get(name).map(|source| &source.reading)
}
