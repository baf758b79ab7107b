//! Selections: whether the models that an evaluation compares are measured by what it selects by.
//! Never follows a model further than to the training that gives it.

use super::InputRef;
use super::diagnostic::Faults;
use super::node::Node;
use super::reference::{Drafts, Edges};
use crate::domain::job::{Metric, Spec, Task};
use std::collections::BTreeMap;

/// Refuses a metric that the trainings of an evaluation are not measured by: else that is told when
/// all of them are paid for.
pub(super) fn check(drafts: &Drafts<'_>, edges: &BTreeMap<&str, Edges>, faults: &mut Faults) {
    for (name, draft) in drafts {
        let instances = draft.instances.iter().flatten();
        let metrics = instances.filter_map(|instance| match &instance.spec {
            Spec::Evaluate(evaluate) => evaluate.select.map(|select| select.metric),
            _ => None,
        });
        let tasks = || edges.get(name).into_iter().flat_map(|edges| tasks(edges, drafts));
        let unfit = |metric: Metric| Some((metric, tasks().find(|task| !metric.is_of(*task))?));
        let Some((metric, task)) = metrics.into_iter().find_map(unfit) else { continue };
        let with = draft.node.get("with").and_then(|with| with.get("select"));
        let at = with.and_then(|select| select.get("metric")).map_or(draft.key.place, place);
        let message = format!("`{}` is not measured of models for {}", metric.word(), task.word());
        let fit = Metric::ALL.iter().filter(|metric| metric.is_of(task));
        let fit: Vec<_> = fit.map(|metric| metric.word()).collect();
        faults.advise(at, message, format!("select by one of: {}", fit.join(", ")));
    }
}

const fn place(node: &Node) -> super::Place {
    node.place
}

/// The tasks of the trainings whose models flow into an evaluation.
fn tasks(edges: &Edges, drafts: &Drafts<'_>) -> Vec<Task> {
    let models = edges.inputs.iter().filter(|(port, ..)| port == "models");
    let stages = models.filter_map(|(_, from, _)| match from {
        InputRef::Output { stage, .. } | InputRef::Each { stage, .. } => Some(stage.as_str()),
        InputRef::Source(_) => None,
    });
    let instances = stages.filter_map(|stage| drafts.get(stage)?.instances.as_ref()).flatten();
    let tasks = instances.filter_map(|instance| match &instance.spec {
        Spec::Train(train) => Some(train.task),
        _ => None,
    });
    tasks.collect()
}
