//! `uses: evaluate`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use super::word;
use crate::domain::job::{Evaluate, Goal, Metric, Reading, Spec};
use crate::domain::manifest::form::{Good, Object, Port, StageKind, Type, always_sound, default};
use crate::domain::manifest::node::Node;

/// `uses: evaluate`
pub(super) static EVALUATE: StageKind = StageKind {
    name: "evaluate",
    doc: "Measures models on held-out rows and selects the best.",
    with: Object {
        name: "evaluate",
        doc: "What the best model is.",
        fields: &[default(
            "select",
            Type::Object(&SELECT),
            "{ metric: accuracy, goal: max }",
            "What decides which model is the best.",
            "{ metric: accuracy, goal: max }",
        )],
    },
    inputs: Some(&[
        Port {
            name: "models",
            good: Good::Model,
            many: true,
            optional: false,
            doc: "The models to measure.",
        },
        Port {
            name: "data",
            good: Good::Table,
            many: false,
            optional: false,
            doc: "The held-out rows.",
        },
    ]),
    outputs: Some(&[("best", Good::Model), ("report", Good::Report)]),
    spec: read,
    sound: always_sound,
    metrics: &[
        ("accuracy", "Share of the rows whose label the best model predicts."),
        ("loss", "Mean cross-entropy of the best model, in nats."),
        ("rows", "Rows that the models were measured on."),
    ],
};

static SELECT: Object = Object {
    name: "select",
    doc: "What decides which model is the best.",
    fields: &[
        default(
            "metric",
            Type::Word(&["accuracy", "loss"]),
            "accuracy",
            "Share of rows whose label is predicted, or mean cross-entropy in nats.",
            "accuracy",
        ),
        default(
            "goal",
            Type::Word(&["max", "min"]),
            "max for accuracy, min for loss",
            "Which end of it is good.",
            "max",
        ),
    ],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    evaluate(with).map(Spec::Evaluate)
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
