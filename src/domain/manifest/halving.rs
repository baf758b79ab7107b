//! The strategy of a matrix: which of its trainings go to their end.
//! Never knows how many rungs there are: `graph` does.

use super::Halving;
use super::diagnostic::Faults;
use super::kind::narrow;
use super::node::Node;
use super::stage::Draft;
use crate::domain::job::{Spec, Train};

/// How the trainings of a stage are compared on the way, if they are; and why they cannot be.
pub(super) fn read(draft: &Draft<'_>, faults: &mut Faults) -> Option<Halving> {
    let strategy = draft.node.get("matrix")?.get("strategy")?;
    if strategy.get("kind").and_then(Node::text) != Some("asha") {
        return None;
    }
    let halving =
        Halving { first: narrow(strategy, "first", 1)?, factor: narrow(strategy, "factor", 3)? };
    if draft.kind.is_some_and(|kind| kind.name != "train") {
        let message = "only trainings are compared before their end";
        faults.advise(strategy.place, message, "leave `strategy` out here".to_owned());
        return None;
    }
    let instances = draft.instances.iter().flatten();
    let trains: Vec<&Train> = instances
        .filter_map(|instance| match &instance.spec {
            Spec::Train(train) => Some(train),
            _ => None,
        })
        .collect();
    let first = trains.first()?;
    if trains.iter().any(|train| train.parallel.is_some()) {
        let message = "trainings in `parallel` are not compared before their end";
        faults.advise(strategy.place, message, "leave `parallel` or `strategy` out".to_owned());
    } else if trains.iter().any(|train| train.epochs != first.epochs) {
        let message = "what is compared must be as far: these have different `epochs`";
        faults.advise(strategy.place, message, "give all of them the same".to_owned());
    } else if halving.first >= first.epochs {
        let at = strategy.get("first").map_or(strategy.place, |node| node.place);
        let message =
            format!("a training of {} epochs is over before it is compared", first.epochs);
        faults.advise(at, message, "`first` must be less than `epochs`".to_owned());
    }
    let is_given =
        draft.node.get("inputs").is_some_and(|inputs| inputs.get("validation").is_some());
    if !is_given && trains.iter().any(|train| train.validation.is_none()) {
        let message = "trainings are compared by their loss on rows that validate: there are none";
        let hint = "connect the input `validation`, or hold some out, such as `validation: 0.1`";
        faults.advise(strategy.place, message, hint.to_owned());
    }
    Some(halving)
}
