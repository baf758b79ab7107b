//! Jobs: what one unit of compute is told to do, and the key under which its result is known.
//! Never says how it is computed (`compute` does) nor what it costs (`cost` does).

mod cnn;
mod compare;
mod embed;
mod evaluate;
mod export;
mod formula;
mod generate;
mod gpt;
mod images;
mod ingest;
mod made;
mod mode;
mod parallel;
mod perplexity;
mod predict;
mod reader;
mod split;
mod tokenize;
mod train;
mod transform;

pub use cnn::{CONVOLUTIONS_MAX, Cnn, Convolution, Image, ImageNorm, Misfit, Padding, SIDE_MAX};
pub use compare::Compare;
pub use embed::{Embed, Pooling, embedded};
pub use evaluate::{Evaluate, Goal, Metric, Select};
pub use export::{Export, ModelFormat};
pub use formula::{Expr, Formula, Mismatch, Op, REPLACE_GROWTH_MAX, Unreadable, functions};
pub use generate::Generate;
pub use gpt::{BLOCKS_MAX, CONTEXT_MAX, Gpt, HEADS_MAX, Norm, Positions};
pub use images::{Images, Label};
pub use ingest::{
    Chunk, ChunkTarget, Column, ColumnKind, Declared, Dialect, Format, Groups, Ingest, OnBadRow,
    Pin, Reading,
};
pub use made::{DIGITS_MAX, MADE_ROWS_MAX, Made};
pub use mode::{Mode, Tolerance};
pub use parallel::{Deltas, Finish, Merge, Parallel, Rounds, Rule, Shard};
pub use perplexity::Perplexity;
pub use predict::Predict;
pub use reader::Reader;
pub use split::{Dealing, Split};
pub use tokenize::{BYTES, Layout, TOKENS_PER_ROW_MAX, Tokenize, Tokens, VOCABULARY_MAX};
pub use train::{
    Activation, ClassWeights, Decay, EarlyStopping, Model, Optimizer, Part, Scaling, Schedule,
    Task, Train,
};
pub use transform::{
    Aggregate, Cast, Cell, Direction, Fill, Filling, Hash, Join, JoinKind, Measure, OnBadCell,
    OneHot, Sample, SampleSize, Scale, ScaleTo, Step, Summary, Transform, Unknown,
};

use crate::base::canon::{Canonical, Digest, Encode, Writer, canonical_enum, canonical_struct};

/// The name of the exact arithmetic: any change of any bit of any result gets a new one.
pub const OPS_VERSION: &str = "ohc-ops/4";

/// What a job computes: one closed list. Stages of a manifest name these by `uses:`.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "most jobs of a large plan are trainings")]
pub enum Spec {
    /// Reads a source into a table.
    Ingest(Ingest),
    /// Divides the rows of a table into named parts.
    Split(Split),
    /// Trains a model on a table.
    Train(Train),
    /// Measures models on held-out rows and selects the best.
    Evaluate(Evaluate),
    /// Puts the measures of many models side by side.
    Compare(Compare),
    /// Computes nothing: measures the market itself.
    Noop(Noop),
    /// Turns a table into another, step by step.
    Transform(Transform),
    /// Says what a model predicts of every row.
    Predict(Predict),
    /// Gives a model with a card.
    Export(Export),
    /// Makes one state of those that the shards of a training give.
    Merge(Merge),
    /// Turns texts into numbers by a frozen encoder.
    Embed(Embed),
    /// Writes text with a language model.
    Generate(Generate),
    /// Measures how well a frozen language model foretells texts.
    Perplexity(Perplexity),
    /// Makes one state of what the shards of a training say of theirs.
    MergeDeltas(Merge),
}
canonical_enum!(Spec {
    1 => Ingest(x),
    2 => Split(x),
    3 => Train(x),
    4 => Evaluate(x),
    5 => Noop(x),
    6 => Compare(x),
    7 => Transform(x),
    8 => Predict(x),
    10 => Merge(x),
    11 => Embed(x),
    12 => Generate(x),
    13 => Perplexity(x),
    14 => MergeDeltas(x),
    15 => Export(x),
} tag "ohc/spec/1");

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
            Self::Compare(_) => "compare",
            Self::Noop(_) => "noop",
            Self::Transform(_) => "transform",
            Self::Predict(_) => "predict",
            Self::Export(_) => "export",
            // A part of it: no stage asks for a merge by itself.
            Self::Merge(_) | Self::MergeDeltas(_) => "train",
            Self::Embed(_) => "embed",
            Self::Generate(_) => "generate",
            Self::Perplexity(_) => "perplexity",
        }
    }

    /// The names of what the job gives, in the order of its receipt.
    #[must_use]
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Self::Ingest(_) => vec!["table", "report"],
            Self::Split(split) => split.ratios.iter().map(|(name, _)| name.as_str()).collect(),
            Self::Train(train) if train.gives_model() => vec!["model"],
            Self::Train(train) if train.gives_delta() => vec!["delta", "residual"],
            Self::MergeDeltas(merge) if merge.momentum > 0.0 => vec!["state", "ways"],
            Self::Train(_) | Self::Merge(_) | Self::MergeDeltas(_) => vec!["state"],
            Self::Evaluate(_) => vec!["best", "report"],
            Self::Compare(_) => vec!["table", "chart"],
            Self::Noop(_) => vec!["done"],
            Self::Transform(spec) if spec.tokenizes() => vec!["table", "fitted", "tokenizer"],
            Self::Transform(_) => vec!["table", "fitted"],
            Self::Predict(_) | Self::Embed(_) => vec!["table"],
            Self::Export(_) => vec!["model", "card"],
            Self::Generate(_) => vec!["table", "text"],
            Self::Perplexity(_) => vec!["report"],
        }
    }

    /// The settings in which two jobs of one stage differ, as the manifest names them.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let changed: Vec<(&'static str, bool)> = match (self, other) {
            (Self::Ingest(a), Self::Ingest(b)) => a.differences(b),
            (Self::Split(a), Self::Split(b)) => a.differences(b),
            (Self::Train(a), Self::Train(b)) => a.differences(b),
            (Self::Evaluate(a), Self::Evaluate(b)) => a.differences(b),
            (Self::Transform(a), Self::Transform(b)) => a.differences(b),
            (Self::Compare(a), Self::Compare(b)) => a.differences(b),
            (Self::Predict(a), Self::Predict(b)) => a.differences(b),
            (Self::Export(a), Self::Export(b)) => a.differences(b),
            (Self::Merge(a), Self::Merge(b)) | (Self::MergeDeltas(a), Self::MergeDeltas(b)) => {
                a.differences(b)
            }
            (Self::Embed(a), Self::Embed(b)) => a.differences(b),
            (Self::Generate(a), Self::Generate(b)) => a.differences(b),
            (Self::Perplexity(a), Self::Perplexity(b)) => a.differences(b),
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
    /// Only training has more than one; each ends with a checkpoint. They are cut in steps, of
    /// which a short training has too few for all: then some are empty.
    #[must_use]
    pub fn segments(&self) -> u32 {
        match self {
            Self::Train(train) => train.segments,
            _ => 1,
        }
    }

    /// Within what two who do it honestly may differ; none where they give the same bits.
    #[must_use]
    pub const fn tolerance(&self) -> Option<Tolerance> {
        match self {
            Self::Train(Train { mode: Mode::Fast, .. }) => Some(Tolerance::Way),
            Self::Embed(Embed { mode: Mode::Fast, .. }) => Some(Tolerance::Vector),
            _ => None,
        }
    }

    /// Whether two who do it honestly may differ.
    #[must_use]
    pub const fn is_fast(&self) -> bool {
        self.tolerance().is_some()
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
