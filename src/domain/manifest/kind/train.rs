//! `uses: train`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use super::{ABOVE_ZERO, BELOW_ONE, FROM_ZERO, narrow, real, seed, wide, word};
use crate::domain::job::{Activation, Model, Optimizer, Part, Reading, Scaling, Spec, Train};
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Tagged, Type, always_sound, default, integer, required,
};
use crate::domain::manifest::node::Node;

/// Hidden layers of one model.
const LAYERS_MAX: usize = 64;

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
                Type::Tagged(&MODEL),
                "What is trained.",
                "{ kind: mlp, hidden: [16] }",
            ),
            required("target", Type::Text(256), "The column to predict.", "species"),
            required("epochs", integer(1, 1_000_000), "Passes over the rows.", "60"),
            default("batch", integer(1, 65_536), "32", "Rows per step.", "32"),
            default(
                "optimizer",
                Type::Tagged(&OPTIMIZER),
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
        optional: false,
        doc: "The rows to learn from.",
    }]),
    outputs: Some(&[("model", Good::Model)]),
    spec: read,
    sound: always_sound,
    metrics: &[("loss", "Mean loss over the rows of the last epoch; cross-entropy is in nats.")],
};

static MODEL: Tagged = Tagged {
    name: "model",
    doc: "The shape of a model.",
    tag: "kind",
    default: None,
    variants: &[MLP],
};

const MLP: Object = Object {
    name: "mlp",
    doc: "A multi-layer perceptron.",
    fields: &[
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

static OPTIMIZER: Tagged = Tagged {
    name: "optimizer",
    doc: "How parameters follow gradients.",
    tag: "kind",
    default: Some("adamw"),
    variants: &[ADAMW],
};

const ADAMW: Object = Object {
    name: "adamw",
    doc: "AdamW: Adam with decoupled weight decay.",
    fields: &[
        real("lr", ABOVE_ZERO, "0.001", "Learning rate."),
        real("beta1", BELOW_ONE, "0.9", "Decay of the first moment."),
        real("beta2", BELOW_ONE, "0.999", "Decay of the second moment."),
        real("eps", ABOVE_ZERO, "1e-8", "Added to the root of the second moment."),
        real("weightDecay", FROM_ZERO, "0.01", "Decoupled weight decay."),
    ],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    train(with).map(Spec::Train)
}

fn train(with: &Node) -> Option<Train> {
    Some(Train {
        model: model(with.get("model")?)?,
        target: with.get("target")?.text()?.to_owned(),
        epochs: narrow(with, "epochs", 1)?,
        batch: narrow(with, "batch", 32)?,
        optimizer: optimizer(with.get("optimizer"))?,
        seed: wide(with, "seed", 0)?,
        scaling: match word(with, "scaling", "standard")? {
            "standard" => Scaling::Standard,
            "none" => Scaling::None,
            _ => return None,
        },
        part: Part::WHOLE,
    })
}

fn model(node: &Node) -> Option<Model> {
    let widths = node.get("hidden")?.items().iter();
    let hidden = widths.map(|width| u32::try_from(width.integer()?).ok()).collect::<Option<_>>()?;
    let activation = match word(node, "activation", "relu")? {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        _ => return None,
    };
    Some(Model::Mlp { hidden, activation })
}

fn optimizer(node: Option<&Node>) -> Option<Optimizer> {
    let real = |name: &str, default: f64| match node.and_then(|node| node.get(name)) {
        Some(value) => value.real(),
        None => Some(default),
    };
    Some(Optimizer::AdamW {
        lr: real("lr", 0.001)?,
        beta1: real("beta1", 0.9)?,
        beta2: real("beta2", 0.999)?,
        eps: real("eps", 1e-8)?,
        weight_decay: real("weightDecay", 0.01)?,
    })
}
