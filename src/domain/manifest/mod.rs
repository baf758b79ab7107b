//! Manifests: from YAML text to a typed pipeline, or to everything that is wrong with the text.
//! Never knows jobs in an order, prices, pins or files; `graph` expands what this file gives.
//!
//! The way of a manifest, one file per step:
//!
//! ```text
//! text ─node→ tree ─params, expression→ tree of values ─check (by grammar)→ sound tree
//!      ─stage (matrix, read)→ drafts ─reference, cycle→ Manifest
//! ```
//!
//! Every step goes on after a fault as far as it can, so that all faults are reported at once.

mod check;
mod cycle;
pub(crate) mod diagnostic;
mod expression;
mod form;
mod grammar;
mod halving;
mod held;
mod kind;
#[cfg(test)]
mod laws;
mod malformed;
mod matrix;
pub(crate) mod node;
pub mod outline;
mod params;
mod quantity;
mod reach;
mod read;
mod reference;
pub(super) mod room;
mod schema;
mod select;
mod source;
mod stage;
#[cfg(test)]
mod tests;

pub(crate) use diagnostic::suggest;
pub use diagnostic::{Diagnostic, FAULTS_MAX, Place, Severity, is_near};
pub use params::params_file;
pub use quantity::{bytes, duration_ms};
pub use schema::json_schema;

use super::job::{ChunkTarget, Made, Reading, Spec};
use super::terms::{Auction, Backoff, OnExhausted, Terms};
use crate::base::amount::Ohc;
use crate::base::limits::{INSTANCES_PER_STAGE_DEFAULT, JOBS_PER_BLOCK_MAX, JOBS_PER_RUN_MAX};
use diagnostic::Faults;
use expression::{Matrix, Scope, substitute};
use form::Good;
use node::{Kind, Node};
use reference::{Drafts, Edges, Known};
use room::Room;
use stage::{Common, Draft};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A pipeline: every name in it resolves, and every value is in its bounds.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// `metadata.name`: a DNS label.
    pub name: String,
    /// Data from outside, by name.
    pub sources: BTreeMap<String, Source>,
    /// The most that a run may cost; `None` leaves that to the caller.
    pub budget: Option<Ohc>,
    /// The budget in the text; unknown where there is none.
    pub budget_place: Place,
    /// What happens when the budget is used up.
    pub on_exhausted: OnExhausted,
    /// Milliseconds that the run may take.
    pub deadline_ms: Option<u64>,
    /// What is done, by name; no stage waits for itself.
    pub stages: BTreeMap<String, Stage>,
    /// What is written to disk, by name.
    pub outputs: BTreeMap<String, Publish>,
    /// Bounds of the run.
    pub limits: Limits,
}

/// Data from outside, or data that is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// A path beside the manifest, or an address; of rows that are made, what they are.
    pub url: String,
    /// What is made, where nothing is read.
    pub made: Option<Made>,
    /// How the bytes are to be read.
    pub reading: Reading,
    /// The name of the secret that opens it.
    pub secret: Option<String>,
    /// How large its chunks are to be, where a stage says so.
    pub target: Option<ChunkTarget>,
    /// Its name in the text.
    pub place: Place,
}

/// A node of the manifest: one or more instances that differ in the cell of a matrix.
#[derive(Clone, PartialEq, Debug)]
pub struct Stage {
    /// The name.
    pub name: String,
    /// The name in the text.
    pub place: Place,
    /// `target`, `stratify` or `by` in the text, or the name where there is none of them.
    pub column_place: Place,
    /// Its settings in the text, by name.
    pub settings: BTreeMap<String, Place>,
    /// The steps of a transform in the text.
    pub steps: Vec<Place>,
    /// At least one; labels differ.
    pub instances: Vec<Instance>,
    /// Name, origin and place of each input, in the order of the kind's inputs.
    pub inputs: Vec<(String, InputRef, Place)>,
    /// Stages that must be done first, though nothing flows from them.
    pub needs: Vec<(String, Place)>,
    /// Whether it has a job for each chunk of its source.
    pub is_split: bool,
    /// Whether its instances are compared on the way, and only the best go on.
    pub halving: Option<Halving>,
    /// On what conditions its jobs are run.
    pub terms: Arc<Terms>,
}

/// One cell of a stage's matrix.
#[derive(Clone, PartialEq, Debug)]
pub struct Instance {
    /// `width=16,seed=1` in the order of the axes; empty without a matrix.
    pub label: String,
    /// What its job computes; the rows of an ingest are 0 until a pin tells them.
    pub spec: Spec,
}

/// How the trainings of a matrix are compared on the way (successive halving: Jamieson and
/// Talwalkar 2016, arXiv 1502.07943).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Halving {
    /// Epochs after which they are compared first.
    pub first: u32,
    /// One in so many goes on, for so many times as many epochs.
    pub factor: u32,
}

/// Where an input comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InputRef {
    /// `sources.NAME`
    Source(String),
    /// `STAGE.OUTPUT`: of its one instance, or of the instance with the same label.
    Output {
        /// The stage.
        stage: String,
        /// What flows from it.
        output: String,
    },
    /// `STAGE.*.OUTPUT`: of all its instances.
    Each {
        /// The stage.
        stage: String,
        /// What flows from each.
        output: String,
    },
}

/// An output that is written to disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Stage, output, and the reference in the text; the stage has one instance.
    pub from: (String, String, Place),
    /// A folder, as it is written in the manifest.
    pub to: String,
    /// The form of a table; it means nothing for other outputs.
    pub format: TableFormat,
}

/// In which form a table is written to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TableFormat {
    /// Comma-separated values (RFC 4180) with a header.
    #[default]
    Csv,
    /// Parquet.
    Parquet,
}

/// Bounds of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Instances that one stage may have.
    pub instances: usize,
    /// Jobs that are sold together at the most.
    pub jobs_per_block: u32,
}

/// Values that expressions read, by name.
type Values = BTreeMap<String, Kind>;

/// Compiles a manifest, with parameters set from outside. There is a manifest unless a diagnostic
/// is an error; all diagnostics are given, in order of place.
#[must_use]
pub fn compile(
    text: &str,
    params: &BTreeMap<String, String>,
) -> (Option<Manifest>, Vec<Diagnostic>) {
    let mut faults = Faults::default();
    let manifest = node::parse(text, &mut faults).and_then(|raw| {
        let params = params::read(&raw, params, &mut faults);
        let run = run(&raw);
        let root = resolve(&raw, (&params, &run), &mut faults);
        check::manifest(&root, &grammar::MANIFEST, &mut faults);
        build(&root, (&params, &run), &mut faults)
    });
    let manifest = manifest.filter(|_| !faults.has_errors());
    (manifest, faults.into_vec())
}

/// What expressions read as `run.`: what is known of a run before it is submitted.
fn run(root: &Node) -> Values {
    let name = root.get("metadata").and_then(|metadata| metadata.get("name"));
    name.map(|name| ("name".to_owned(), name.kind.clone())).into_iter().collect()
}

/// Replaces the expressions below `spec`, but not those in the `with` of a stage, which wait for
/// the cells of its matrix, nor in its `when`, which waits for metrics, nor in `params`, which
/// cannot have any.
fn resolve(root: &Node, (params, run): (&Values, &Values), faults: &mut Faults) -> Node {
    let scope = Scope { params, run, matrix: Matrix::Elsewhere, metrics: false };
    each_entry(root, |key, spec| {
        if key != "spec" {
            return spec.clone();
        }
        each_entry(spec, |key, part| match key {
            "params" => part.clone(),
            "stages" => each_entry(part, |_, stage| {
                each_entry(stage, |key, part| match key {
                    "with" | "when" => part.clone(),
                    _ => substitute(part, scope, faults),
                })
            }),
            _ => substitute(part, scope, faults),
        })
    })
}

/// A mapping with each value replaced; anything else as it is.
fn each_entry(node: &Node, mut replace: impl FnMut(&str, &Node) -> Node) -> Node {
    let kind = match &node.kind {
        Kind::Map(entries) => {
            let each = entries.iter();
            Kind::Map(each.map(|(key, node)| (key.clone(), replace(&key.text, node))).collect())
        }
        other => other.clone(),
    };
    Node { place: node.place, kind }
}

/// Everything that the structure alone does not tell. Gives `None` where something is missing or
/// misshapen, which has been reported.
fn build(root: &Node, (params, run): (&Values, &Values), faults: &mut Faults) -> Option<Manifest> {
    let spec = root.get("spec")?;
    let limits = limits(spec);
    let mut sources = source::sources(spec, faults);
    let names = |key| spec.get(key).map(Node::entries).unwrap_or_default().iter();
    let mut common = Common {
        params,
        run,
        sources: &sources,
        instances_max: limits.map_or(INSTANCES_PER_STAGE_DEFAULT, |limits| limits.instances),
        room: Room::ALL,
    };
    let mut drafts = Drafts::new();
    for (key, node) in names("stages") {
        if key.text == "sources" {
            faults.add(key.place, "a stage cannot be called `sources`: references begin with it");
        }
        drafts.insert(key.text.as_str(), stage::draft(key, node, &mut common, faults));
    }
    let mut targets = BTreeMap::new();
    for (name, draft) in &drafts {
        if let Some(target) = source::target(draft, faults) {
            source::divide(&mut sources, (draft, target), faults);
            targets.insert(*name, target);
        }
    }
    let source_names: Vec<&str> = names("sources").map(|(key, _)| key.text.as_str()).collect();
    let good = |node: &Node| match node.get("format").and_then(Node::text) {
        Some("huggingface") => Some(Good::Encoder),
        Some("gguf") => Some(Good::Decoder),
        _ => None,
    };
    let networks: BTreeMap<&str, Good> =
        names("sources").filter_map(|(key, node)| Some((key.text.as_str(), good(node)?))).collect();
    let known = Known { stages: &drafts, sources: &source_names, networks: &networks };
    let edges: BTreeMap<&str, Edges> = drafts
        .iter()
        .map(|(name, draft)| (*name, reference::edges(draft, &known, faults)))
        .collect();
    cycle::find(&reference::waits(&edges), faults);
    select::check(&drafts, &edges, faults);
    let outputs = reference::outputs(spec.get("outputs"), &known, faults);
    if !faults.has_errors() {
        reach::check(&edges, spec, &outputs, &known, faults);
    }
    let name = root.get("metadata")?.get("name")?.text()?.to_owned();
    let total = spec.get("budget").and_then(|budget| budget.get("total"));
    let budget = total.and_then(|total| total.text()?.parse().ok());
    let budget_place = total.map(|total| total.place).unwrap_or_default();
    let on_exhausted = spec.get("budget").and_then(|budget| budget.get("onExhausted"));
    let deadline = spec.get("run").and_then(|run| run.get("deadline"));
    let mut stages = stages(drafts, edges, &targets, spec.get("defaults"), faults)?;
    if !faults.has_errors() {
        held::check(&mut stages, faults);
    }
    Some(Manifest {
        name,
        sources,
        budget,
        budget_place,
        on_exhausted: match on_exhausted.map(Node::text) {
            None | Some(Some("pause")) => OnExhausted::Pause,
            Some(_) => OnExhausted::Fail,
        },
        deadline_ms: read::duration(deadline)?,
        stages,
        outputs,
        limits: limits?,
    })
}

fn limits(spec: &Node) -> Option<Limits> {
    let limits = spec.get("run").and_then(|run| run.get("limits"));
    let number = |key: &str, default: usize| match limits.and_then(|limits| limits.get(key)) {
        Some(node) => node.integer().and_then(|value| usize::try_from(value).ok()),
        None => Some(default),
    };
    Some(Limits {
        instances: number("instances", INSTANCES_PER_STAGE_DEFAULT)?.min(JOBS_PER_RUN_MAX),
        jobs_per_block: u32::try_from(number("jobsPerBlock", JOBS_PER_BLOCK_MAX)?).ok()?,
    })
}

fn stages(
    drafts: Drafts<'_>,
    mut edges: BTreeMap<&str, Edges>,
    targets: &BTreeMap<&str, ChunkTarget>,
    defaults: Option<&Node>,
    faults: &mut Faults,
) -> Option<BTreeMap<String, Stage>> {
    let default = defaults.and_then(|defaults| defaults.get("verification"));
    let written = drafts.values().filter_map(|draft| draft.node.get("verification"));
    for node in written.chain(default) {
        one_way_of_verification(node, faults);
    }
    let each = drafts.into_values();
    each.map(|draft| {
        let name = draft.key.text.clone();
        let Edges { inputs, needs } = edges.remove(name.as_str())?;
        let mut terms = read::terms(draft.node, defaults)?;
        terms_that_cannot_bind(&draft, defaults, &terms, faults);
        let halving = halving::read(&draft, faults);
        terms.when = draft.when.map(|(condition, _)| condition);
        let (settings, steps) = draft.places;
        let stage = Stage {
            name: name.clone(),
            settings,
            steps,
            place: draft.key.place,
            column_place: draft.column_place,
            instances: draft.instances?,
            inputs,
            needs,
            is_split: targets.contains_key(name.as_str()),
            halving,
            terms: Arc::new(terms),
        };
        Some((name, stage))
    })
    .collect()
}

/// A verification is done in one way.
fn one_way_of_verification(node: &Node, faults: &mut Faults) {
    let ways = read::WAYS.iter().filter(|way| node.get(way).is_some()).count();
    match (&node.kind, ways) {
        (Kind::Map(_), 0) => {
            let hint = "such as `audit: { rate: 0.25, segments: 1 }`".to_owned();
            let message = "`verification` needs `audit` or `replicate`".to_owned();
            faults.advise(node.place, message, hint);
        }
        (Kind::Map(_), 2..) => {
            let message = "a verification is either `audit` or `replicate`".to_owned();
            faults.advise(node.place, message, "keep one of them".to_owned());
        }
        _ => {}
    }
}

/// Terms of a stage that make others of it pointless.
fn terms_that_cannot_bind(
    draft: &Draft<'_>,
    defaults: Option<&Node>,
    terms: &Terms,
    faults: &mut Faults,
) {
    let written = |name: &str| draft.node.get(name).or_else(|| defaults?.get(name));
    if let (Some(deadline), Some(_)) = (written("deadline"), written("timeout"))
        && terms.deadline_ms.is_some_and(|deadline| deadline < terms.timeout_ms)
    {
        let message = "no attempt can take as long as `timeout`: `deadline` is shorter";
        let hint = "`timeout` is for one attempt, `deadline` for all of them".to_owned();
        faults.warn(deadline.place, message, hint);
    }
    if let (Some(max), Some(place)) = (terms.parallel_max, fan_place(draft.node, "maxParallel"))
        && max < terms.replicas()
    {
        let message =
            format!("{} workers compute each job: they need as much room", terms.replicas());
        let hint = format!("`maxParallel` must be at least {}", terms.replicas());
        faults.advise(place, message, hint);
    }
    let is_fast = draft.instances.iter().flatten().any(|instance| instance.spec.is_fast());
    if terms.replicas() > 1 && is_fast {
        let mode = draft.node.get("with").and_then(|with| with.get("mode"));
        let place = mode.map_or(draft.key.place, |mode| mode.place);
        let message = "several workers that compute fast never give the same bytes";
        let hint = "use `audit`: validators compute it exactly, and allow for what may differ";
        faults.advise(place, message, hint.to_owned());
    }
    if terms.replicas() > 1
        && terms.auction != Auction::Standing
        && let Some(market) = written("market")
    {
        let message = "a sealed auction sells one block at a time, not one to each of several";
        let hint = "leave `market` or `replicate` out".to_owned();
        faults.advise(market.place, message.to_owned(), hint);
    }
    if let (Some("evaluate"), Some(node)) =
        (draft.kind.map(|kind| kind.name), draft.node.get("verification"))
        && node.text() != Some("full")
    {
        let message = "an evaluation is always computed again in full";
        faults.warn(node.place, message, "leave `verification` out here".to_owned());
    }
    let Backoff { initial_ms, max_ms, .. } = terms.retry.backoff;
    if let Some(retry) = written("retry")
        && initial_ms > max_ms
    {
        let message = "no wait is as long as `initial`: `max` is shorter";
        faults.warn(retry.place, message, "every wait is as long as `max`".to_owned());
    }
}

/// Where a setting of the matrix of a stage stands.
fn fan_place(stage: &Node, name: &str) -> Option<Place> {
    let fan = stage.get("matrix").or_else(|| stage.get("foreach"))?;
    fan.get(name).map(|node| node.place)
}
