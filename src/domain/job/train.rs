//! Trainings: what is trained, how parameters follow gradients, and which part a job computes.
//! Never says how: `compute` does.

use crate::base::canon::{canonical_enum, canonical_struct};

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

/// What a model learns to say of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
    /// Which of several labels it has.
    MultiLabel,
}
canonical_enum!(Task { 1 => Classification, 2 => Regression, 3 => MultiLabel });

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Classification, Self::Regression, Self::MultiLabel];

    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
            Self::MultiLabel => "multi-label",
        }
    }

    /// The task that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.word() == word)
    }
}

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

impl Train {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("model", self.model != other.model),
            ("target", self.target != other.target),
            ("epochs", self.epochs != other.epochs),
            ("batch", self.batch != other.batch),
            ("optimizer", self.optimizer != other.optimizer),
            ("seed", self.seed != other.seed),
            ("scaling", self.scaling != other.scaling),
            ("parts", self.part != other.part),
        ]
    }
}
