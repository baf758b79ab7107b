//! `uses: train`: its settings, inputs and outputs.
//! Never reads them: `read` does.

mod parallel;
mod read;

use super::{ABOVE_ZERO, BELOW_ONE, FROM_ZERO, real, seed};
use crate::base::limits::COLUMNS_MAX;
use crate::domain::job::{BLOCKS_MAX, CONTEXT_MAX, CONVOLUTIONS_MAX, HEADS_MAX, SIDE_MAX};
use crate::domain::manifest::form::{
    Good, Object, Port, Range, StageKind, Tagged, Type, default, integer, optional, required,
};

/// Hidden layers of one model.
const LAYERS_MAX: usize = 64;
/// Bytes of the name of a column.
const NAME: Type = Type::Text(256);
const NAMES: Type = Type::List { of: &NAME, min: 1, max: COLUMNS_MAX };
const SHARE: Range = Range { min: 0.0, min_allowed: true, max: 1.0, max_allowed: true };
const INSIDE: Range = Range { min: 0.0, min_allowed: false, max: 1.0, max_allowed: false };

/// `uses: train`
pub(super) static TRAIN: StageKind = StageKind {
    name: "train",
    doc: "Trains a model on a table.",
    with: Object {
        name: "train",
        doc: "What is trained, and how.",
        fields: &[
            default(
                "task",
                Type::Word(&["classification", "regression", "multi-label", "language"]),
                "classification",
                "What is learned of a row: its class, a number, which of several labels it has; or \
                 of a stream of tokens the one that follows.",
                "regression",
            ),
            required(
                "model",
                Type::Tagged(&MODEL),
                "What is trained.",
                "{ kind: mlp, hidden: [16] }",
            ),
            optional("target", NAME, "The column to predict.", "species"),
            optional(
                "targets",
                NAMES,
                "The labels to predict in a `multi-label` task: columns of 0 and 1, or of true \
                 and false.",
                "[sports, politics]",
            ),
            optional(
                "features",
                NAMES,
                "The columns to predict from: numbers, or true and false. All but the target, \
                 unless named.",
                "[petal_length, petal_width]",
            ),
            optional(
                "epochs",
                integer(1, 1_000_000),
                "Passes over the rows, at the most; demanded unless `parallel` is there, or the \
                 model is `logistic` or `linear`, which take 100.",
                "60",
            ),
            default("batch", integer(1, 65_536), "32", "Rows per step.", "32"),
            default(
                "accumulate",
                integer(1, 65_536),
                "1",
                "Pieces, one after another, in which the rows of a step are computed: takes the \
                 memory of one piece. The gradient is that of the whole step, rounded differently.",
                "4",
            ),
            default(
                "optimizer",
                Type::Tagged(&OPTIMIZER),
                "{ kind: adamw }",
                "How parameters follow gradients. Weights decay, biases do not.",
                "{ kind: adamw, lr: 0.01 }",
            ),
            default(
                "schedule",
                Type::Tagged(&SCHEDULE),
                "{ kind: constant }",
                "How the learning rate changes from step to step.",
                "{ kind: cosine, warmup: 2 }",
            ),
            optional(
                "clip",
                Type::Real(ABOVE_ZERO),
                "The longest that the gradient of all parameters together may be; a longer one \
                 is shortened to it.",
                "1.0",
            ),
            default(
                "classWeights",
                Type::Either(&[
                    Type::Word(&["even", "balanced"]),
                    Type::Columns {
                        noun: "class",
                        of: &Type::Real(ABOVE_ZERO),
                        min: 1,
                        max: COLUMNS_MAX,
                    },
                ]),
                "even",
                "How much each class counts in the loss: the same, by the inverse of its share \
                 of the rows (`balanced`), or as said by class (1 for those that are not named).",
                "balanced",
            ),
            optional(
                "validation",
                Type::Real(INSIDE),
                "The share of the rows that is held out, by lot and for classes in proportion, to \
                 validate on after every epoch; or connect the input `validation`.",
                "0.1",
            ),
            optional(
                "earlyStopping",
                Type::Object(&EARLY_STOPPING),
                "Ends the training when the loss on the validation rows no longer falls; the \
                 model is then that of the best epoch. The price stays that of all epochs.",
                "{ patience: 5 }",
            ),
            optional(
                "parallel",
                Type::Object(&parallel::PARALLEL),
                "Spreads the training over shards that learn side by side, each from rows of its \
                 own, and are merged in rounds.",
                "{ shards: 4, rounds: 10, localSteps: 20 }",
            ),
            seed("Seed of the initial parameters, the order of the rows and which are held out."),
            default(
                "mode",
                Type::Word(&["exact", "fast"]),
                "exact",
                "In which arithmetic it runs. `exact`: the same bits everywhere, checked bit for \
                 bit. `fast`: whatever is fastest where it runs, such as a graphics card; \
                 validators repeat drawn segments exactly and accept what differs by at most 5 % \
                 of the way that the segment leads.",
                "fast",
            ),
            default(
                "scaling",
                Type::Word(&["standard", "none"]),
                "standard",
                "How features are scaled: to mean 0 and deviation 1, or not at all. Tokens never \
                 are; the target of a regression always is, inside the model.",
                "standard",
            ),
        ],
    },
    inputs: Some(&[
        Port {
            name: "data",
            good: Good::Table,
            many: false,
            optional: false,
            doc: "The rows to learn from.",
        },
        Port {
            name: "validation",
            good: Good::Table,
            many: false,
            optional: true,
            doc: "Rows to validate on after every epoch.",
        },
    ]),
    outputs: Some(&[("model", Good::Model)]),
    spec: read::spec,
    sound: read::sound,
    metrics: &[
        (
            "loss",
            "Mean loss over the rows of the last epoch that was run, in `parallel` of the last \
             round, while the parameters still moved: cross-entropy in nats, for a number the \
             squared error in units of the target. With `earlyStopping` the model is that of an \
             earlier epoch. With `classWeights` the loss of each row counts so many times, and the \
             sum is divided by the rows (PyTorch divides it by the weights).",
        ),
        (
            "validationLoss",
            "Mean loss over the rows that validate, with these `classWeights` too: it is what \
             decides. Of the model that comes out: after the last epoch, with `earlyStopping` \
             after the best. `evaluate` measures without weights.",
        ),
        (
            "bestEpoch",
            "With `earlyStopping`, the epoch of which the model is: that of the least \
             `validationLoss`, from 1.",
        ),
        ("epochs", "Epochs that were run; in `parallel` not a whole number."),
    ],
};

static MODEL: Tagged = Tagged {
    name: "model",
    doc: "The shape of a model.",
    tag: "kind",
    default: None,
    variants: &[MLP, LOGISTIC, LINEAR, TEXT, CNN, GPT],
};

const MLP: Object = Object {
    name: "mlp",
    doc: "A multi-layer perceptron.",
    fields: &[
        required(
            "hidden",
            Type::List { of: &integer(1, 65_536), min: 0, max: LAYERS_MAX },
            "Width of each hidden layer, input side first; none is a linear model.",
            "[16]",
        ),
        default(
            "activation",
            Type::Word(&["relu", "tanh", "gelu"]),
            "relu",
            "What bends between two layers.",
            "relu",
        ),
    ],
};

const LOGISTIC: Object = Object {
    name: "logistic",
    doc: "Logistic regression: one linear layer that tells classes or labels apart. Its weights \
          begin at 0; without `epochs` and `lr` it comes to what other programs find, on tables of \
          some hundred rows or more.",
    fields: &[],
};

const LINEAR: Object = Object {
    name: "linear",
    doc: "Linear regression: one linear layer that gives a number. Its weights begin at 0; without \
          `epochs` and `lr` it comes to least squares, on tables of some hundred rows or more.",
    fields: &[],
};

const TEXT: Object = Object {
    name: "text",
    doc: "A model of texts that reads the columns of a `tokenize`: the mean of the vectors of a \
          text's tokens, then dense layers. It reads the order of the words only with an \
          `encoder`.",
    fields: &[
        default(
            "width",
            integer(1, 4_096),
            "32",
            "Numbers of the vector of a token; the vectors are learned.",
            "32",
        ),
        optional(
            "encoder",
            Type::Object(&ENCODER),
            "Blocks before the mean in which each token looks at all others of its text, and knows \
             where it stands.",
            "{ blocks: 2, heads: 4 }",
        ),
        default(
            "hidden",
            Type::List { of: &integer(1, 65_536), min: 0, max: LAYERS_MAX },
            "[]",
            "Width of each hidden layer behind the mean, input side first.",
            "[32]",
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

static ENCODER: Object = Object {
    name: "encoder",
    doc: "Blocks of attention and a perceptron (of four times the width), layer norm before each.",
    fields: &[
        default("blocks", integer(1, BLOCKS_MAX as u64), "2", "Blocks.", "2"),
        default(
            "heads",
            integer(1, HEADS_MAX as u64),
            "4",
            "Heads of attention of each block; they divide the width.",
            "4",
        ),
        real(
            "dropout",
            BELOW_ONE,
            "0",
            "The share of what each branch adds that a step of the training leaves out by lot.",
        ),
    ],
};

const CNN: Object = Object {
    name: "cnn",
    doc: "A convolutional network: its features are the pixels of an image.",
    fields: &[
        required(
            "image",
            Type::List { of: &integer(1, COLUMNS_MAX as u64), min: 2, max: 3 },
            "Height, width and channels (1, unless given) of the image. The features are its \
             pixels line by line, the channels of a pixel beside each other.",
            "[28, 28, 1]",
        ),
        required(
            "convolutions",
            Type::List { of: &CONVOLVED, min: 1, max: CONVOLUTIONS_MAX },
            "The convolutions, input side first.",
            "[{ filters: 32, pool: 2 }, { filters: 64, pool: 2 }]",
        ),
        default(
            "hidden",
            Type::List { of: &integer(1, 65_536), min: 0, max: LAYERS_MAX },
            "[]",
            "Width of each hidden dense layer after the convolutions.",
            "[128]",
        ),
        default(
            "activation",
            Type::Word(&["relu", "tanh"]),
            "relu",
            "What bends after each convolution and between two layers.",
            "relu",
        ),
        real(
            "dropout",
            BELOW_ONE,
            "0",
            "The share of what the convolutions give, and of the values of each hidden layer, \
             that a step of the training leaves out by lot.",
        ),
    ],
};

const CONVOLVED: Type = Type::Object(&CONVOLUTION);

static CONVOLUTION: Object = Object {
    name: "convolution",
    doc: "A convolution with stride 1 and a bias, then the norm, the activation and the pooling.",
    fields: &[
        required("filters", integer(1, 65_536), "Channels that it gives.", "32"),
        default(
            "kernel",
            integer(1, SIDE_MAX as u64),
            "3",
            "The side of its square kernel: an odd number.",
            "5",
        ),
        default(
            "padding",
            Type::Word(&["same", "valid"]),
            "same",
            "Zeros around the image, so that it keeps its size, or none, so that it gets smaller \
             by the kernel less one.",
            "valid",
        ),
        optional(
            "groupNorm",
            integer(1, 65_536),
            "Normalises so many groups of channels of each image: divides the filters.",
            "8",
        ),
        optional(
            "norm",
            Type::Word(&["batch"]),
            "`batch` normalises each channel over all images that are learned from at once. Mean \
             and variance of the steps so far are kept with the parameters, and predictions go by \
             them.",
            "batch",
        ),
        default(
            "pool",
            integer(1, SIDE_MAX as u64),
            "1",
            "The side of the squares of which the largest value is kept; 1 keeps all.",
            "2",
        ),
    ],
};

const GPT: Object = Object {
    name: "gpt",
    doc: "A decoder that gives the next token of a text: blocks of causal attention and a \
          perceptron, layer norm before each.",
    fields: &[
        default("blocks", integer(1, BLOCKS_MAX as u64), "4", "Blocks.", "4"),
        default(
            "heads",
            integer(1, HEADS_MAX as u64),
            "4",
            "Heads of attention of each block; they divide the width.",
            "4",
        ),
        default("width", integer(1, 16_384), "128", "Numbers of one position.", "128"),
        default(
            "context",
            integer(1, CONTEXT_MAX as u64),
            "64",
            "Tokens that it sees at once. The stream is cut into rows of so many.",
            "64",
        ),
        default(
            "positions",
            Type::Word(&["learned", "rotary"]),
            "learned",
            "How it knows where a token stands: by a learned row for each place, or by turning \
             queries and keys (RoPE).",
            "rotary",
        ),
        default(
            "tied",
            Type::Bool,
            "true",
            "Whether the head that gives the next token is the table of the tokens.",
            "false",
        ),
        real(
            "dropout",
            BELOW_ONE,
            "0",
            "The share of what each branch adds that a step of the training leaves out by lot.",
        ),
        default(
            "norm",
            Type::Word(&["layer", "rms"]),
            "layer",
            "How rows are normalised: to mean 0 and deviation 1, or to a mean square of 1.",
            "rms",
        ),
    ],
};

static OPTIMIZER: Tagged = Tagged {
    name: "optimizer",
    doc: "How parameters follow gradients.",
    tag: "kind",
    default: Some("adamw"),
    variants: &[ADAMW, SGD, LION],
};

const ADAMW: Object = Object {
    name: "adamw",
    doc: "AdamW: Adam with decoupled weight decay.",
    fields: &[
        real(
            "lr",
            ABOVE_ZERO,
            "0.001",
            "Learning rate. Of `logistic` and `linear` models it is 0.01, unless said.",
        ),
        real("beta1", BELOW_ONE, "0.9", "Decay of the first moment."),
        real("beta2", BELOW_ONE, "0.999", "Decay of the second moment."),
        real("eps", ABOVE_ZERO, "1e-8", "Added to the root of the second moment."),
        real("weightDecay", FROM_ZERO, "0.01", "Decoupled weight decay."),
    ],
};

const SGD: Object = Object {
    name: "sgd",
    doc: "Stochastic gradient descent.",
    fields: &[
        real("lr", ABOVE_ZERO, "0.01", "Learning rate."),
        real("momentum", BELOW_ONE, "0", "Share of the last step that is kept."),
        default(
            "nesterov",
            Type::Bool,
            "false",
            "Whether the gradient is taken where the momentum leads to.",
            "true",
        ),
        real(
            "weightDecay",
            FROM_ZERO,
            "0",
            "Added to the gradient per unit of weight: an L2 penalty of half of it.",
        ),
    ],
};

const LION: Object = Object {
    name: "lion",
    doc: "Lion: steps of one length along the sign of the momentum; wants about a tenth of the \
          learning rate of AdamW and ten times its weight decay.",
    fields: &[
        real("lr", ABOVE_ZERO, "0.0001", "Learning rate."),
        real("beta1", BELOW_ONE, "0.9", "Share of the momentum in the direction of a step."),
        real("beta2", BELOW_ONE, "0.99", "Decay of the momentum."),
        real("weightDecay", FROM_ZERO, "0", "Decoupled weight decay."),
    ],
};

static SCHEDULE: Tagged = Tagged {
    name: "schedule",
    doc: "How the learning rate changes: it rises linearly in the warm-up, then falls.",
    tag: "kind",
    default: Some("constant"),
    variants: &[
        Object { name: "constant", doc: "It does not fall.", fields: &[WARMUP] },
        Object {
            name: "cosine",
            doc: "It falls along half a wave of the cosine.",
            fields: &[WARMUP, FINAL],
        },
        Object { name: "linear", doc: "It falls along a line.", fields: &[WARMUP, FINAL] },
    ],
};

const WARMUP: super::Field =
    real("warmup", FROM_ZERO, "0", "Epochs in which it rises; need not be whole.");
const FINAL: super::Field =
    real("final", SHARE, "0", "The share of the learning rate that it falls to.");

static EARLY_STOPPING: Object = Object {
    name: "earlyStopping",
    doc: "When the training ends before its last epoch.",
    fields: &[
        required(
            "patience",
            integer(1, 1_000_000),
            "Epochs without a better validation loss after which it ends.",
            "5",
        ),
        real(
            "minDelta",
            FROM_ZERO,
            "0",
            "By how much a validation loss must be smaller than the best to be better.",
        ),
    ],
};
