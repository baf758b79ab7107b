//! `uses: evaluate`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use super::word;
use crate::domain::job::{Evaluate, Goal, Metric, Reading, Select, Spec};
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, always_sound, default, required,
};
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
            "accuracy of classes, f1 of several labels, rmse of numbers",
            "What decides which model is the best; of equals, the first is.",
            "{ metric: f1 }",
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
            doc: "The held-out rows with the target: raw, or as the models' own rows were made.",
        },
        Port {
            name: "encoder",
            good: Good::Encoder,
            many: false,
            optional: true,
            doc: "The encoder, where the models were trained on embedded texts and the rows are \
                  raw.",
        },
    ]),
    outputs: Some(&[("best", Good::Model), ("report", Good::Report)]),
    spec: read,
    sound: always_sound,
    metrics: Metric::REPORTED,
};

static SELECT: Object = Object {
    name: "select",
    doc: "What decides which model is the best.",
    fields: &[
        required(
            "metric",
            Type::Word(Metric::WORDS),
            "Of classes: accuracy, loss, precision, recall, f1 (means over the classes; weighted \
             by their rows with `Weighted`), rocAuc, calibrationError. Of several labels also \
             f1Micro and hammingLoss. Of numbers: mse, rmse, mae, medianAbsoluteError, r2.",
            "f1",
        ),
        default(
            "goal",
            Type::Word(&["max", "min"]),
            "min for errors and losses, else max",
            "Which end of it is good.",
            "max",
        ),
    ],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    evaluate(with).map(Spec::Evaluate)
}

fn evaluate(with: &Node) -> Option<Evaluate> {
    let Some(node) = with.get("select") else { return Some(Evaluate { select: None }) };
    let metric = Metric::of(node.get("metric")?.text()?)?;
    let goal = match word(node, "goal", metric.goal().word())? {
        "max" => Goal::Max,
        "min" => Goal::Min,
        _ => return None,
    };
    Some(Evaluate { select: Some(Select { metric, goal }) })
}
