//! `parallel` of a training: shards, rounds and how they are merged.
//! Never makes jobs of them: `graph` does.

use super::read::real;
use crate::base::limits::{JOBS_PER_RUN_MAX, SHARDS_MAX};
use crate::domain::job::{Deltas, Merge, Parallel, Rounds, Rule};
use crate::domain::manifest::diagnostic::Faults;
use crate::domain::manifest::form::{
    Field, Object, Range, Tagged, Type, default, integer, optional, required,
};
use crate::domain::manifest::kind::{BELOW_ONE, narrow, word};
use crate::domain::manifest::node::Node;
use crate::domain::manifest::read::duration;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Steps of all rounds together: far below what a count of them can hold.
const STEPS_MAX: u64 = 1_000_000;
const WAY: Range = Range { min: 0.0, min_allowed: false, max: 10.0, max_allowed: true };

pub(super) static PARALLEL: Object = Object {
    name: "parallel",
    doc: "How a training is spread: shards that learn side by side, merged in rounds.",
    fields: &[
        required(
            "shards",
            integer(1, SHARDS_MAX as u64),
            "How many learn side by side, each from rows of its own.",
            "4",
        ),
        required("rounds", integer(1, JOBS_PER_RUN_MAX as u64), "How often they are merged.", "10"),
        required(
            "localSteps",
            integer(1, STEPS_MAX),
            "Steps of each shard between two merges, each of `batch` rows.",
            "20",
        ),
        default(
            "merge",
            Type::Tagged(&MERGE),
            "{ rule: mean }",
            "How the states of the shards become one.",
            "{ rule: trimmed-mean, trim: 1 }",
        ),
        default(
            "outer",
            Type::Object(&OUTER),
            "{ lr: 1, momentum: 0 }",
            "How the shared parameters follow the way that the shards went: all of it by default.",
            "{ lr: 0.7, momentum: 0.5 }",
        ),
        default(
            "deltas",
            Type::Word(Deltas::WORDS),
            "float32",
            "How shards and merges say what they give: as it is, or in 8 bits, with what these \
             leave over added to what is said in the next round. That is about half of the bytes \
             to move, and another model, as good.",
            "int8",
        ),
        default(
            "alone",
            integer(0, JOBS_PER_RUN_MAX as u64),
            "0",
            "Of the `rounds`, how many at the beginning one learns alone, from all rows, in steps \
             of as many as all shards together. Before a training has found its direction shards \
             find one each, of which little is left in the mean.",
            "10",
        ),
    ],
};

static MERGE: Tagged = Tagged {
    name: "merge",
    doc: "How the states of the shards become one: number by number, of parameters and moments.",
    tag: "rule",
    default: Some("mean"),
    variants: &[
        Object { name: "mean", doc: "The mean: one liar decides all.", fields: &[QUORUM, GRACE] },
        Object {
            name: "trimmed-mean",
            doc: "The mean without the smallest and the largest.",
            fields: &[
                default(
                    "trim",
                    integer(1, SHARDS_MAX as u64 / 2),
                    "a quarter of the shards, at least 1",
                    "How many are left out at each end.",
                    "1",
                ),
                QUORUM,
                GRACE,
            ],
        },
        Object {
            name: "median",
            doc: "The one in the middle, or the mean of the two there.",
            fields: &[QUORUM, GRACE],
        },
    ],
};

const QUORUM: Field = optional(
    "quorum",
    integer(1, SHARDS_MAX as u64),
    "Shards that are enough for a merge where others come to nothing, with `onFailure: continue`. \
     All, unless said.",
    "3",
);

const GRACE: Field = optional(
    "grace",
    Type::Duration { min_ms: 1, max_ms: DAY_MS },
    "How long the other shards of a round are waited for, once there are as many as the `quorum`: \
     who is later is not merged, and not paid. As long as it takes, unless said.",
    "30s",
);

static OUTER: Object = Object {
    name: "outer",
    doc: "Nesterov's momentum over the way from the shared parameters to the merged ones. With 0.9 \
          (DiLoCo) it takes some hundred rounds and a lower learning rate of the `optimizer`.",
    fields: &[
        default("lr", Type::Real(WAY), "1", "The share of the way that is gone.", "0.7"),
        default("momentum", Type::Real(BELOW_ONE), "0", "Share of the last way kept.", "0.5"),
    ],
};

/// How a training is spread; `Some(None)` where it is not.
pub(super) fn parallel(with: &Node) -> Option<Option<Parallel>> {
    with.get("parallel").map_or(Some(None), |node| rounds(node).map(Parallel::Whole).map(Some))
}

fn rounds(node: &Node) -> Option<Rounds> {
    let shards = narrow(node, "shards", 1)?;
    let merge = node.get("merge");
    let outer = node.get("outer");
    let rule = match merge.map_or(Some("mean"), |merge| word(merge, "rule", "mean"))? {
        "mean" => Rule::Mean,
        "trimmed-mean" => Rule::TrimmedMean { trim: narrow(merge?, "trim", (shards / 4).max(1))? },
        "median" => Rule::Median,
        _ => return None,
    };
    Some(Rounds {
        shards,
        rounds: narrow(node, "rounds", 1)?,
        local_steps: narrow(node, "localSteps", 1)?,
        merge: Merge {
            rule,
            quorum: merge.map_or(Some(shards), |merge| narrow(merge, "quorum", shards))?,
            lr: real(outer, "lr", 1.0)?,
            momentum: real(outer, "momentum", 0.0)?,
        },
        grace_ms: duration(merge.and_then(|merge| merge.get("grace")))?,
        deltas: Deltas::from_word(word(node, "deltas", "float32")?)?,
        alone: narrow(node, "alone", 0)?,
    })
}

/// Settings of `parallel` that do not fit together, or not with the rest of the stage.
pub(super) fn sound(with: &Node, stage: &Node, faults: &mut Faults) {
    let Some(node) = with.get("parallel") else { return };
    if let Some(epochs) = with.get("epochs") {
        let message = "`rounds` and `localSteps` say how long it trains, not `epochs`";
        faults.advise(epochs.place, message, "leave `epochs` out".to_owned());
    }
    if let Some(stopping) = with.get("earlyStopping") {
        let message = "a training in `parallel` takes all its rounds: it does not stop early";
        let hint = "leave `earlyStopping` out, and plan fewer rounds: more of them go on from \
                    those that are known";
        faults.advise(stopping.place, message, hint.to_owned());
    }
    let Some(Rounds { shards, merge, rounds, alone, .. }) = rounds(node) else { return };
    if let Some(place) = node.get("alone").filter(|_| alone >= rounds).map(|alone| alone.place) {
        let message = format!("with {alone} of {rounds} rounds alone nothing is left to share");
        faults.advise(place, message, "take fewer, or leave `parallel` out".to_owned());
    }
    let at = |key: &str| {
        node.get("merge").and_then(|merge| merge.get(key)).map_or(node.place, |node| node.place)
    };
    let left = merge.quorum.min(shards);
    if 2 * merge.rule.trim(left) >= left {
        let trim = merge.rule.trim(left);
        let message = format!("`trim: {trim}` leaves nothing of {left} shards");
        let hint = "twice `trim` must be less than the shards, and than the `quorum`".to_owned();
        faults.advise(at("trim"), message, hint);
    }
    if node.get("merge").and_then(|merge| merge.get("grace")).is_some() && merge.quorum >= shards {
        let message = "a `grace` is for shards that a merge can do without";
        faults.advise(at("grace"), message, "add a `quorum` of fewer than all".to_owned());
    }
    let quorum = node.get("merge").and_then(|merge| merge.get("quorum"));
    if let Some(place) = quorum.map(|quorum| quorum.place) {
        if merge.quorum > shards {
            let message = format!("a quorum of {} is more than the {shards} shards", merge.quorum);
            faults.advise(place, message, "leave it out: then all are needed".to_owned());
        } else if merge.quorum < shards && !goes_on(stage) {
            let message = "a `quorum` needs `onFailure: continue`";
            let hint = "else the first shard that comes to nothing ends the run: add it to the \
                        stage";
            faults.advise(place, message, hint.to_owned());
        }
    }
}

/// Whether a run goes on where a job of the stage comes to nothing.
fn goes_on(stage: &Node) -> bool {
    stage.get("onFailure").and_then(Node::text) == Some("continue")
}
