//! The part of the grammar that is about stage kinds: the settings, inputs and outputs of each.
//! Never says how a kind is computed; `read` turns its settings into a job's spec.

use super::form::{
    Field, Good, Need, Object, Port, Range, StageKind, Type, default, integer, optional, required,
};

/// Parts of one split.
pub(super) const PARTS_MAX: usize = 16;
/// Hidden layers of one model.
pub(super) const LAYERS_MAX: usize = 64;
/// Decimal places of a share.
pub(super) const SHARE_PLACES: usize = 9;

/// `uses: ingest`
pub(super) static INGEST: StageKind = StageKind {
    name: "ingest",
    doc: "Reads a source into a table.",
    with: Object { name: "ingest", doc: "Takes no settings.", fields: &[] },
    inputs: Some(&[Port {
        name: "rows",
        good: Good::Source,
        many: false,
        doc: "The source to read: `sources.NAME`.",
    }]),
    outputs: Some(&[("table", Good::Table)]),
};

/// `uses: split`
pub(super) static SPLIT: StageKind = StageKind {
    name: "split",
    doc: "Divides the rows of a table into named parts.",
    with: Object {
        name: "split",
        doc: "How the rows of a table are divided.",
        fields: &[
            required(
                "ratios",
                Type::Map {
                    of: &Type::Share { places: SHARE_PLACES },
                    noun: "part",
                    min: 2,
                    max: PARTS_MAX,
                },
                "Parts and their shares, which add up to 1; each part is an output.",
                "{ train: 0.8, test: 0.2 }",
            ),
            optional(
                "stratify",
                Type::Text(256),
                "The column whose values are to be equally frequent in every part.",
                "species",
            ),
            seed("Seed of the permutation of the rows."),
        ],
    },
    inputs: Some(&[Port {
        name: "table",
        good: Good::Table,
        many: false,
        doc: "The table to divide.",
    }]),
    outputs: None,
};

/// `uses: train`
pub(super) static TRAIN: StageKind = StageKind {
    name: "train",
    doc: "Trains a model on a table.",
    with: Object {
        name: "train",
        doc: "What is trained, and how.",
        fields: &[
            required(
                "model",
                Type::Object(&MODEL),
                "What is trained.",
                "{ kind: mlp, hidden: [16] }",
            ),
            required("target", Type::Text(256), "The column to predict.", "species"),
            required("epochs", integer(1, 1_000_000), "Passes over the rows.", "60"),
            default("batch", integer(1, 65_536), "32", "Rows per step.", "32"),
            default(
                "optimizer",
                Type::Object(&OPTIMIZER),
                "{ kind: adamw }",
                "How parameters follow gradients.",
                "{ kind: adamw, lr: 0.01 }",
            ),
            seed("Seed of the initial parameters and of the order of the rows."),
            default(
                "scaling",
                Type::Word(&["standard", "none"]),
                "standard",
                "How features are scaled: to mean 0 and deviation 1, or not at all.",
                "standard",
            ),
        ],
    },
    inputs: Some(&[Port {
        name: "data",
        good: Good::Table,
        many: false,
        doc: "The rows to learn from.",
    }]),
    outputs: Some(&[("model", Good::Model)]),
};

static MODEL: Object = Object {
    name: "model",
    doc: "The shape of a model.",
    fields: &[
        required("kind", Type::Word(&["mlp"]), "A multi-layer perceptron.", "mlp"),
        required(
            "hidden",
            Type::List { of: &integer(1, 65_536), min: 0, max: LAYERS_MAX },
            "Width of each hidden layer, input side first; none is logistic regression.",
            "[16]",
        ),
        default(
            "activation",
            Type::Word(&["relu", "tanh"]),
            "relu",
            "What bends between two layers.",
            "relu",
        ),
    ],
};

static OPTIMIZER: Object = Object {
    name: "optimizer",
    doc: "How parameters follow gradients.",
    fields: &[
        default("kind", Type::Word(&["adamw"]), "adamw", "AdamW, decoupled weight decay.", "adamw"),
        real("lr", ABOVE_ZERO, "0.001", "Learning rate."),
        real("beta1", BELOW_ONE, "0.9", "Decay of the first moment."),
        real("beta2", BELOW_ONE, "0.999", "Decay of the second moment."),
        real("eps", ABOVE_ZERO, "1e-8", "Added to the root of the second moment."),
        real("weightDecay", FROM_ZERO, "0.01", "Decoupled weight decay."),
    ],
};

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
        Port { name: "models", good: Good::Model, many: true, doc: "The models to measure." },
        Port { name: "data", good: Good::Table, many: false, doc: "The held-out rows." },
    ]),
    outputs: Some(&[("best", Good::Model), ("report", Good::Report)]),
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

/// `uses: noop`
pub(super) static NOOP: StageKind = StageKind {
    name: "noop",
    doc: "Computes nothing: measures the market itself.",
    with: Object {
        name: "noop",
        doc: "Tells one no-op from another.",
        fields: &[default(
            "tag",
            integer(0, u64::MAX),
            "0",
            "Two no-ops with the same tag and inputs are the same job.",
            "7",
        )],
    },
    inputs: None,
    outputs: Some(&[("done", Good::Token)]),
};

const ABOVE_ZERO: Range = Range { min: 0.0, min_allowed: false, max: 1e6, max_allowed: true };
const FROM_ZERO: Range = Range { min: 0.0, min_allowed: true, max: 1e6, max_allowed: true };
const BELOW_ONE: Range = Range { min: 0.0, min_allowed: true, max: 1.0, max_allowed: false };

const fn seed(doc: &'static str) -> Field {
    default("seed", integer(0, u64::MAX), "0", doc, "7")
}

const fn real(name: &'static str, range: Range, value: &'static str, doc: &'static str) -> Field {
    Field { name, ty: Type::Real(range), need: Need::Default(value), doc, example: value }
}
