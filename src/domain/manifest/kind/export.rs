//! `uses: export`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use super::word;
use crate::domain::job::{Export, ModelFormat, Reading, Spec};
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, always_sound, default, optional,
};
use crate::domain::manifest::node::Node;

/// `uses: export`
pub(super) static EXPORT: StageKind = StageKind {
    name: "export",
    doc: "Gives a model with a card: what it is for, how good it is, which rows it takes, and how \
          to use it elsewhere. Published, `model` has its card beside it.",
    with: Object {
        name: "export",
        doc: "The form of the model, and what its card says.",
        fields: &[
            default(
                "format",
                Type::Word(&["safetensors"]),
                "safetensors",
                "The form of the model.",
                "safetensors",
            ),
            optional(
                "description",
                Type::Text(4_096),
                "What the card says first: what the model is for, and for what not.",
                "Tells iris species by their flowers; measured on greenhouse plants alone.",
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
            name: "report",
            good: Good::Report,
            many: false,
            optional: true,
            doc: "The evaluation whose figures the card is to show: `evaluate.report`.",
        },
    ]),
    outputs: Some(&[("model", Good::Model), ("card", Good::Card)]),
    spec: read,
    sound: always_sound,
    metrics: &[("parameters", "Numbers that the model learned.")],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    let format = match word(with, "format", "safetensors")? {
        "safetensors" => ModelFormat::Safetensors,
        _ => return None,
    };
    let description = match with.get("description") {
        Some(node) => Some(node.text()?.to_owned()),
        None => None,
    };
    // `held` tells it, by where the rows of the report come from.
    Some(Spec::Export(Export { format, description, held_out: false }))
}
