//! Jobs: what one unit of compute is told to do, and the key under which its result is known.
//! Never says how it is computed (`compute` does) nor what it costs (`cost` does).

use crate::base::canon::{Canonical, Digest, Encode, Writer, canonical_enum, canonical_struct};

/// The name of the exact arithmetic: any change of any bit of any result gets a new one.
pub const OPS_VERSION: &str = "ohc-ops/1";

/// What a job computes: one closed list. Stages of a manifest name these by `uses:`.
#[derive(Clone, PartialEq, Debug)]
pub enum Spec {
    /// Reads a source into a table.
    Ingest(Ingest),
    /// Divides the rows of a table into named parts.
    Split(Split),
    /// Trains a model on a table.
    Train(Train),
    /// Measures models on held-out rows and selects the best.
    Evaluate(Evaluate),
    /// Computes nothing: measures the market itself.
    Noop(Noop),
}
canonical_enum!(Spec {
    1 => Ingest(x),
    2 => Split(x),
    3 => Train(x),
    4 => Evaluate(x),
    5 => Noop(x),
} tag "ohc/spec/1");

/// `uses: ingest`: input `rows` (bytes of a source), output `table`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ingest {
    /// How the bytes are to be read.
    pub format: Format,
    /// Rows that the pin promised: a source with another number of rows fails the job.
    pub rows: u64,
}
canonical_struct!(Ingest { format, rows });

/// The format of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a header line.
    Csv,
}
canonical_enum!(Format { 1 => Csv });

/// `uses: split`: input `table`, one output per ratio, named by it.
#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    /// Name and share of each part, in the order of the manifest; shares are positive.
    pub ratios: Vec<(String, f64)>,
    /// The column whose values are to be equally frequent in every part.
    pub stratify: Option<String>,
    /// Seed of the permutation of the rows.
    pub seed: u64,
}
canonical_struct!(Split { ratios, stratify, seed });

/// `uses: train`: input `data` (a table), and `state` for all parts but the first; output `state`
/// for all parts but the last, `model` for the last.
#[derive(Clone, PartialEq, Debug)]
pub struct Train {
    /// What is trained.
    pub model: Model,
    /// The column to predict.
    pub target: String,
    /// Passes over the rows.
    pub epochs: u32,
    /// Rows per step.
    pub batch: u32,
    /// How parameters follow gradients.
    pub optimizer: Optimizer,
    /// Seed of the initial parameters and of the order of the rows.
    pub seed: u64,
    /// How features are scaled before they reach the model.
    pub scaling: Scaling,
    /// Which part of the epochs this job computes.
    pub part: Part,
}
canonical_struct!(Train { model, target, epochs, batch, optimizer, seed, scaling, part });

/// One of `count` consecutive parts of a training.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}
canonical_struct!(Part { index, count });

impl Part {
    /// The whole of a training.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether another part follows.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.index + 1 == self.count
    }
}

/// The shape of a model.
#[derive(Clone, PartialEq, Debug)]
pub enum Model {
    /// A multi-layer perceptron: the widths of the hidden layers, and what bends between them.
    Mlp {
        /// Width of each hidden layer, input side first; none is linear (logistic) regression.
        hidden: Vec<u32>,
        /// The activation between layers.
        activation: Activation,
    },
}
canonical_enum!(Model { 1 => Mlp { hidden, activation } });

/// What bends between two layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// tanh(x)
    Tanh,
}
canonical_enum!(Activation { 1 => Relu, 2 => Tanh });

/// How parameters follow gradients.
#[derive(Clone, PartialEq, Debug)]
pub enum Optimizer {
    /// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), decoupled weight decay.
    AdamW {
        /// Learning rate.
        lr: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
}
canonical_enum!(Optimizer { 1 => AdamW { lr, beta1, beta2, eps, weight_decay } });

/// How features are scaled before they reach the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scaling {
    /// As they are.
    None,
    /// To mean 0 and standard deviation 1 over the training rows.
    Standard,
}
canonical_enum!(Scaling { 1 => None, 2 => Standard });

/// `uses: evaluate`: inputs `models` (one or more) and `data`; outputs `best` and `report`.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluate {
    /// What decides.
    pub metric: Metric,
    /// Which end of it is good.
    pub goal: Goal,
}
canonical_struct!(Evaluate { metric, goal });

/// A measure of a classifier on held-out rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metric {
    /// Share of rows whose label is predicted.
    Accuracy,
    /// Mean cross-entropy in nats.
    Loss,
}
canonical_enum!(Metric { 1 => Accuracy, 2 => Loss });

/// Which end of a metric is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// The largest wins.
    Max,
    /// The smallest wins.
    Min,
}
canonical_enum!(Goal { 1 => Max, 2 => Min });

/// `uses: noop`: any inputs, output `done`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noop {
    /// Tells one no-op from another: two with the same tag and inputs are the same job.
    pub tag: u64,
}
canonical_struct!(Noop { tag });

impl Spec {
    /// The word after `uses:`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ingest(_) => "ingest",
            Self::Split(_) => "split",
            Self::Train(_) => "train",
            Self::Evaluate(_) => "evaluate",
            Self::Noop(_) => "noop",
        }
    }

    /// The names of what the job gives, in the order of its receipt.
    #[must_use]
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Self::Ingest(_) => vec!["table"],
            Self::Split(split) => split.ratios.iter().map(|(name, _)| name.as_str()).collect(),
            Self::Train(train) if train.part.is_last() => vec!["model"],
            Self::Train(_) => vec!["state"],
            Self::Evaluate(_) => vec!["best", "report"],
            Self::Noop(_) => vec!["done"],
        }
    }

    /// The settings in which two jobs of one stage differ, as the manifest names them.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let changed: Vec<(&'static str, bool)> = match (self, other) {
            (Self::Ingest(a), Self::Ingest(b)) => {
                vec![("format", a.format != b.format), ("rows", a.rows != b.rows)]
            }
            (Self::Split(a), Self::Split(b)) => vec![
                ("ratios", a.ratios != b.ratios),
                ("stratify", a.stratify != b.stratify),
                ("seed", a.seed != b.seed),
            ],
            (Self::Train(a), Self::Train(b)) => vec![
                ("model", a.model != b.model),
                ("target", a.target != b.target),
                ("epochs", a.epochs != b.epochs),
                ("batch", a.batch != b.batch),
                ("optimizer", a.optimizer != b.optimizer),
                ("seed", a.seed != b.seed),
                ("scaling", a.scaling != b.scaling),
                ("parts", a.part != b.part),
            ],
            (Self::Evaluate(a), Self::Evaluate(b)) => {
                vec![("select", a != b)]
            }
            (Self::Noop(a), Self::Noop(b)) => vec![("tag", a.tag != b.tag)],
            _ => vec![("uses", true)],
        };
        changed.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Whether its receipt commits to a checkpoint at every segment boundary.
    #[must_use]
    pub const fn has_checkpoints(&self) -> bool {
        matches!(self, Self::Train(_))
    }

    /// How many segments the job is committed in: an audit re-executes one of them at a time.
    /// Only training has more than one; each ends with a checkpoint.
    #[must_use]
    pub fn segments(&self) -> u32 {
        match self {
            Self::Train(train) => train.epochs_of_part().1.clamp(1, 8),
            _ => 1,
        }
    }
}

impl Train {
    /// First epoch and number of epochs of this part: `floor(epochs · i / count)` is where part i
    /// begins, so parts differ by at most one epoch.
    #[must_use]
    pub fn epochs_of_part(&self) -> (u32, u32) {
        let begin = |index: u32| {
            let product = u64::from(self.epochs) * u64::from(index);
            u32::try_from(product / u64::from(self.part.count.max(1))).unwrap_or(u32::MAX)
        };
        let from = begin(self.part.index);
        (from, begin(self.part.index + 1).saturating_sub(from))
    }
}

/// An input of a job by name, and the digest of its bytes. Several inputs of one name are told
/// apart by the instance in brackets: `models[width=16,seed=1]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The name.
    pub name: String,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
}
canonical_struct!(Input { name, digest });

/// Everything that decides a job's result, and nothing else.
struct Key<'a> {
    spec: &'a Spec,
    inputs: &'a [Input],
}

impl Encode for Key<'_> {
    fn encode(&self, w: &mut Writer) {
        OPS_VERSION.encode(w);
        self.spec.encode(w);
        self.inputs.encode(w);
    }
}

impl Canonical for Key<'_> {
    const TAG: &'static str = "ohc/job-key/1";
}

/// The key under which the result of a job is known: spec, ops version, inputs in their order.
/// The names of run, stage and attempt are not in it, so a renamed stage is still cached.
#[must_use]
pub fn job_key(spec: &Spec, inputs: &[Input]) -> Digest {
    Key { spec, inputs }.digest()
}

/// What a source was when the plan was made: all workers read the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The name under `sources:`.
    pub source: String,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Their number.
    pub bytes: u64,
    /// Rows, without the header.
    pub rows: u64,
    /// The names of the columns, in order.
    pub columns: Vec<String>,
}
canonical_struct!(Pin { source, digest, bytes, rows, columns } tag "ohc/pin/1");
