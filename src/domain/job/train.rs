//! Trainings: what is learned, how parameters follow gradients, and which part a job computes.
//! Never says how: `compute` does.

use super::{Cnn, Gpt, Mode, Parallel, Reader};
use crate::base::canon::{canonical_enum, canonical_struct};
use std::collections::BTreeMap;

/// `uses: train`: input `data` (a table), perhaps `validation` (another), and `state` for all parts
/// but the first; output `state` for all parts but the last, `model` for the last.
#[derive(Clone, PartialEq, Debug)]
pub struct Train {
    /// What is learned.
    pub task: Task,
    /// What learns it.
    pub model: Model,
    /// The columns to predict: one, or for multi-label every label.
    pub targets: Vec<String>,
    /// The columns to predict them from; `None` takes all others.
    pub features: Option<Vec<String>>,
    /// How much each class counts.
    pub class_weights: ClassWeights,
    /// Passes over the rows, at the most.
    pub epochs: u32,
    /// Rows per step.
    pub batch: u32,
    /// Pieces, one after another, in which the rows of a step are computed.
    pub accumulate: u32,
    /// How parameters follow gradients.
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// The longest that the gradient of all parameters together may be.
    pub clip: Option<f64>,
    /// The share of the rows that is held out to validate on, above 0 and below 1.
    pub validation: Option<f64>,
    /// When the training ends before its last epoch; needs rows to validate on.
    pub early_stopping: Option<EarlyStopping>,
    /// Seed of the initial parameters, of the order of the rows and of which are held out.
    pub seed: u64,
    /// How features are scaled before they reach the model.
    pub scaling: Scaling,
    /// Which part of the epochs this job computes.
    pub part: Part,
    /// Which job of a training in parallel it is, if it is one: `epochs` means nothing then.
    pub parallel: Option<Parallel>,
    /// In how many segments this job is committed: the plan decides.
    pub segments: u32,
    /// In which arithmetic.
    pub mode: Mode,
}
canonical_struct!(Train {
    task,
    model,
    targets,
    features,
    class_weights,
    epochs,
    batch,
    accumulate,
    optimizer,
    schedule,
    clip,
    validation,
    early_stopping,
    seed,
    scaling,
    part,
    parallel,
    segments,
    mode,
});

/// What a model learns to say of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
    /// Which of several labels it has.
    MultiLabel,
    /// The token that follows, of every token.
    Language,
}
canonical_enum!(Task { 1 => Classification, 2 => Regression, 3 => MultiLabel, 4 => Language });

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Classification, Self::Regression, Self::MultiLabel, Self::Language];

    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
            Self::MultiLabel => "multi-label",
            Self::Language => "language",
        }
    }

    /// The task that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.word() == word)
    }
}

/// Some consecutive parts of a training that is cut into `count` equal ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The first of them, from 0.
    pub from: u32,
    /// The first behind them.
    pub to: u32,
    /// At least 1.
    pub count: u32,
}
canonical_struct!(Part { from, to, count });

impl Part {
    /// The whole of a training.
    pub const WHOLE: Self = Self { from: 0, to: 1, count: 1 };

    /// One of so many equal parts, from 0.
    #[must_use]
    pub const fn of(index: u32, count: u32) -> Self {
        Self { from: index, to: index.saturating_add(1), count }
    }

    /// Whether a training has such a part.
    #[must_use]
    pub const fn is_sound(self) -> bool {
        self.from < self.to && self.to <= self.count
    }

    /// Whether no other part comes before it.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.from == 0
    }

    /// Whether no other part follows.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.to == self.count
    }

    /// Its share of so many things in a row: where it begins and where the next part does. Equal
    /// part i begins at `floor(whole · i / count)`: they differ by at most one.
    #[must_use]
    pub fn share(self, whole: u64) -> (u64, u64) {
        let begin = |index: u32| {
            let product = u128::from(whole) * u128::from(index);
            // At most `whole`, as the index is at most the count.
            (product / u128::from(self.count.max(1))) as u64
        };
        (begin(self.from), begin(self.to))
    }
}

/// The shape of a model.
#[derive(Clone, PartialEq, Debug)]
pub enum Model {
    /// A multi-layer perceptron: the widths of the hidden layers, and what bends between them.
    Mlp {
        /// Width of each hidden layer, input side first; none is a linear model.
        hidden: Vec<u32>,
        /// The activation between layers.
        activation: Activation,
    },
    /// One linear layer: linear regression, or logistic regression of classes and labels.
    Linear,
    /// A convolutional network: its features are the pixels of an image.
    Cnn(Cnn),
    /// A decoder of tokens.
    Gpt(Gpt),
    /// The mean of the vectors of a text's tokens, then dense layers.
    Text {
        /// Numbers of the vector of a token.
        width: u32,
        /// Width of each hidden layer behind the mean, input side first.
        hidden: Vec<u32>,
        /// The activation between layers.
        activation: Activation,
    },
    /// Blocks of attention over the tokens of a text, their mean, then dense layers.
    Reader(Reader),
}
canonical_enum!(Model {
    1 => Mlp { hidden, activation },
    2 => Linear,
    3 => Cnn(x),
    4 => Gpt(x),
    5 => Text { width, hidden, activation },
    6 => Reader(x),
});

impl Model {
    /// Width of each hidden dense layer, input side first.
    #[must_use]
    pub fn hidden(&self) -> &[u32] {
        match self {
            Self::Mlp { hidden, .. }
            | Self::Text { hidden, .. }
            | Self::Cnn(Cnn { hidden, .. })
            | Self::Reader(Reader { hidden, .. }) => hidden,
            Self::Linear | Self::Gpt(_) => &[],
        }
    }

    /// Whether its features are tokens, which are never scaled.
    #[must_use]
    pub const fn reads_tokens(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Reader(_) | Self::Gpt(_))
    }
}

/// What bends between two layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// tanh(x)
    Tanh,
    /// x·Φ(x) with the distribution function of the normal law (arXiv 1606.08415)
    Gelu,
}
canonical_enum!(Activation { 1 => Relu, 2 => Tanh, 3 => Gelu });

impl Activation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Relu, Self::Tanh, Self::Gelu];

    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Gelu => "gelu",
        }
    }

    /// The activation that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|activation| activation.word() == word)
    }
}

/// How much each class counts in the loss of a classification.
#[derive(Clone, PartialEq, Debug)]
pub enum ClassWeights {
    /// 1 each.
    Even,
    /// The inverse of its share of the training rows, so that all classes together count the same:
    /// rows / (classes × rows of the class).
    Balanced,
    /// So much each, by class; 1 for those that are not named.
    Of(BTreeMap<String, f64>),
}
canonical_enum!(ClassWeights { 1 => Even, 2 => Balanced, 3 => Of(x) });

/// How parameters follow gradients. Weights decay, biases do not.
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
    /// Stochastic gradient descent with momentum (Sutskever, Martens, Dahl, Hinton, ICML 2013).
    Sgd {
        /// Learning rate.
        lr: f64,
        /// Share of the last step that is kept.
        momentum: f64,
        /// Whether the gradient is taken where momentum leads to.
        nesterov: bool,
        /// Added to the gradient per unit of weight: an L2 penalty of half of it.
        weight_decay: f64,
    },
    /// Lion (Chen and others 2023, arXiv 2302.06675), decoupled weight decay.
    Lion {
        /// Learning rate: the length of every step.
        lr: f64,
        /// Share of the momentum in the direction of a step.
        beta1: f64,
        /// Decay of the momentum.
        beta2: f64,
        /// Decoupled weight decay.
        weight_decay: f64,
    },
}
canonical_enum!(Optimizer {
    1 => AdamW { lr, beta1, beta2, eps, weight_decay },
    2 => Sgd { lr, momentum, nesterov, weight_decay },
    3 => Lion { lr, beta1, beta2, weight_decay },
});

impl Optimizer {
    /// The learning rate.
    #[must_use]
    pub const fn lr(&self) -> f64 {
        match self {
            Self::AdamW { lr, .. } | Self::Sgd { lr, .. } | Self::Lion { lr, .. } => *lr,
        }
    }

    /// How many numbers it remembers of each parameter.
    #[must_use]
    pub fn moments(&self) -> usize {
        match self {
            Self::AdamW { .. } => 2,
            Self::Lion { .. } => 1,
            Self::Sgd { momentum, .. } => usize::from(*momentum > 0.0),
        }
    }
}

/// How the learning rate changes: it rises linearly, then falls.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Schedule {
    /// How it falls.
    pub decay: Decay,
    /// Epochs, whole or not, in which it rises.
    pub warmup: f64,
    /// The share of the learning rate that it falls to, from 0 to 1.
    pub end: f64,
}
canonical_struct!(Schedule { decay, warmup, end });

impl Schedule {
    /// The learning rate never changes.
    pub const CONSTANT: Self = Self { decay: Decay::Constant, warmup: 0.0, end: 1.0 };
}

/// How a learning rate falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decay {
    /// Not at all.
    Constant,
    /// Along half a wave of the cosine.
    Cosine,
    /// Along a line.
    Linear,
}
canonical_enum!(Decay { 1 => Constant, 2 => Cosine, 3 => Linear });

/// When a training ends before its last epoch. The model is then that of the best epoch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EarlyStopping {
    /// Epochs without a better loss on the validation rows after which it ends.
    pub patience: u32,
    /// By how much a loss must be smaller to be better.
    pub min_delta: f64,
}
canonical_struct!(EarlyStopping { patience, min_delta });

/// How features are scaled before they reach the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scaling {
    /// As they are.
    None,
    /// To mean 0 and standard deviation 1 over the training rows.
    Standard,
}
canonical_enum!(Scaling { 1 => None, 2 => Standard });

impl Train {
    /// Whether its output is the model; else it is a state.
    #[must_use]
    pub const fn gives_model(&self) -> bool {
        match &self.parallel {
            None => self.part.is_last(),
            Some(Parallel::Whole(_) | Parallel::Finish(_)) => true,
            Some(Parallel::Start | Parallel::Shard(_) | Parallel::Delta(_)) => false,
        }
    }

    /// Whether its outputs say of a state what it needs to be merged, and the rest.
    #[must_use]
    pub const fn gives_delta(&self) -> bool {
        matches!(self.parallel, Some(Parallel::Delta(_)))
    }

    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        let targets = self.targets != other.targets;
        let one = self.task != Task::MultiLabel && other.task != Task::MultiLabel;
        vec![
            ("task", self.task != other.task),
            ("model", self.model != other.model),
            (if one { "target" } else { "targets" }, targets),
            ("features", self.features != other.features),
            ("classWeights", self.class_weights != other.class_weights),
            ("epochs", self.epochs != other.epochs),
            ("batch", self.batch != other.batch),
            ("accumulate", self.accumulate != other.accumulate),
            ("optimizer", self.optimizer != other.optimizer),
            ("schedule", self.schedule != other.schedule),
            ("clip", self.clip != other.clip),
            ("validation", self.validation != other.validation),
            ("earlyStopping", self.early_stopping != other.early_stopping),
            ("seed", self.seed != other.seed),
            ("scaling", self.scaling != other.scaling),
            ("parts", self.part != other.part),
            ("parallel", self.parallel != other.parallel),
            ("segments", self.segments != other.segments),
            ("mode", self.mode != other.mode),
        ]
    }
}
