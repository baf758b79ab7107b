//! `uses: predict`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use crate::domain::job::{Predict, Reading, Spec};
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, always_sound, default, optional,
};
use crate::domain::manifest::node::{Kind, Node};

/// Columns that are kept by name.
const NAMES_MAX: usize = 4_096;

/// `uses: predict`
pub(super) static PREDICT: StageKind = StageKind {
    name: "predict",
    doc: "Says what a model predicts of every row: the class, the number, or which labels. Rows \
          may be raw: what was done to those of the training is done to them first.",
    with: Object {
        name: "predict",
        doc: "What the table of predictions holds.",
        fields: &[
            optional(
                "keep",
                Type::List { of: &Type::Text(256), min: 0, max: NAMES_MAX },
                "The columns of the rows that stand beside `prediction`, in this order; without it \
                 all of them, and none with `[]`.",
                "[id]",
            ),
            default(
                "probabilities",
                Type::Bool,
                "false",
                "Whether each class or label has a column with its probability: `p(setosa)`.",
                "true",
            ),
        ],
    },
    inputs: Some(&[
        Port {
            name: "model",
            good: Good::Model,
            many: false,
            optional: false,
            doc: "The model, such as `evaluate.best`.",
        },
        Port {
            name: "data",
            good: Good::Table,
            many: false,
            optional: false,
            doc: "The rows; they need not have the target.",
        },
        Port {
            name: "encoder",
            good: Good::Encoder,
            many: false,
            optional: true,
            doc: "The encoder, where the model was trained on embedded texts and the rows are raw.",
        },
    ]),
    outputs: Some(&[("table", Good::Table)]),
    spec: read,
    sound: always_sound,
    metrics: &[("rows", "Rows that were predicted.")],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    let keep = match with.get("keep") {
        Some(names) => {
            let each = names.items().iter().map(|name| Some(name.text()?.to_owned()));
            Some(each.collect::<Option<Vec<_>>>()?)
        }
        None => None,
    };
    let probabilities = match with.get("probabilities").map(|node| &node.kind) {
        Some(Kind::Bool(probabilities)) => *probabilities,
        Some(_) => return None,
        None => false,
    };
    Some(Spec::Predict(Predict { keep, probabilities }))
}
