//! Evaluations: by which measure models are compared.
//! Never measures.

use super::Task;
use crate::base::canon::{canonical_enum, canonical_struct};

/// `uses: evaluate`: inputs `models` (one or more) and `data`; outputs `best` and `report`.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluate {
    /// What decides; without it, what is usual for the task of the models.
    pub select: Option<Select>,
}
canonical_struct!(Evaluate { select });

/// What makes one model better than another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Select {
    /// What is measured.
    pub metric: Metric,
    /// Which end of it is good.
    pub goal: Goal,
}
canonical_struct!(Select { metric, goal });

/// Which end of a metric is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// The largest wins.
    Max,
    /// The smallest wins.
    Min,
}
canonical_enum!(Goal { 1 => Max, 2 => Min });

impl Goal {
    /// The word that a manifest and a report have for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

/// One table of all metrics: tag, name, word, good end, what it is.
macro_rules! metrics {
    ($($n:literal $name:ident $word:literal $goal:ident $doc:literal;)*) => {
        /// A measure of a model on held-out rows.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Metric {
            $(#[doc = $doc] $name,)*
        }
        canonical_enum!(Metric { $($n => $name),* });

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
            /// What an evaluation may report: words and what they are.
            pub const REPORTED: &'static [(&'static str, &'static str)] = &[
                $(($word, $doc),)*
                (
                    "rows",
                    "Rows of the table that the models were measured on; for a language model \
                     texts or tokens, as it is given. Its measures are over tokens, as many as \
                     fill whole contexts: some at the end are left out.",
                ),
            ];

            /// The word that a manifest and a report have for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The end that is good unless something else is asked for.
            #[must_use]
            pub const fn goal(self) -> Goal {
                match self { $(Self::$name => Goal::$goal,)* }
            }
        }
    };
}

metrics! {
    1 Accuracy "accuracy" Max
        "Share of the rows that are predicted right; of several labels, with all of them right.";
    2 Loss "loss" Min
        "Mean cross-entropy in nats, of a language model for each token; of several labels, the \
         mean over them.";
    3 Precision "precision" Max
        "Share of the rows predicted as a class that are of it: the mean over the classes.";
    4 Recall "recall" Max
        "Share of the rows of a class that are predicted as it: the mean over the classes.";
    5 F1 "f1" Max "Harmonic mean of precision and recall: the mean over the classes.";
    6 PrecisionWeighted "precisionWeighted" Max
        "Precision, each class weighted by its rows.";
    7 RecallWeighted "recallWeighted" Max "Recall, each class weighted by its rows.";
    8 F1Weighted "f1Weighted" Max "F1, each class weighted by its rows.";
    9 F1Micro "f1Micro" Max "F1 of all labels of all rows together; of several labels only.";
    10 RocAuc "rocAuc" Max
        "Chance that a row of a class is given a higher probability of it than another row, ties \
         counting half: the mean over the classes that some rows have and some have not.";
    11 CalibrationError "calibrationError" Min
        "Expected calibration error over ten bins of the probability of the predicted class.";
    12 HammingLoss "hammingLoss" Min
        "Share of labels that are predicted wrong; of several labels only.";
    13 Mse "mse" Min "Mean squared error.";
    14 Rmse "rmse" Min "Root of the mean squared error, in the unit of the target.";
    15 Mae "mae" Min "Mean absolute error, in the unit of the target.";
    16 MedianAbsoluteError "medianAbsoluteError" Min
        "Median absolute error, in the unit of the target.";
    17 R2 "r2" Max "Share of the variance of the target that is explained.";
    18 Perplexity "perplexity" Min
        "Among how many equally likely tokens the next one is as hard to tell: e to the mean \
         cross-entropy; of language models only.";
}

impl Metric {
    /// The metric of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|metric| metric.word() == word)
    }

    /// Whether it is measured of models for a task.
    #[must_use]
    pub const fn is_of(self, task: Task) -> bool {
        match self {
            Self::Accuracy | Self::Loss => !matches!(task, Task::Regression),
            Self::Precision
            | Self::Recall
            | Self::F1
            | Self::PrecisionWeighted
            | Self::RecallWeighted
            | Self::F1Weighted
            | Self::RocAuc => matches!(task, Task::Classification | Task::MultiLabel),
            Self::CalibrationError => matches!(task, Task::Classification),
            Self::F1Micro | Self::HammingLoss => matches!(task, Task::MultiLabel),
            Self::Mse | Self::Rmse | Self::Mae | Self::MedianAbsoluteError | Self::R2 => {
                matches!(task, Task::Regression)
            }
            Self::Perplexity => matches!(task, Task::Language),
        }
    }

    /// The selection by its good end.
    #[must_use]
    pub const fn best(self) -> Select {
        Select { metric: self, goal: self.goal() }
    }
}

impl Evaluate {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![("select", self != other)]
    }
}
