//! Stage kinds: one file for each, with its part of the grammar and the way to a job's spec.
//! Never says how a kind is computed.

mod compare;
mod embed;
mod evaluate;
mod export;
mod generate;
mod ingest;
mod noop;
mod perplexity;
mod predict;
mod split;
mod tokenize;
mod train;
mod transform;

use super::form::{Field, Need, Range, StageKind, Type, default, integer};
use super::node::Node;

/// All stage kinds.
pub(super) static KINDS: &[&StageKind] = &[
    &ingest::INGEST,
    &split::SPLIT,
    &train::TRAIN,
    &evaluate::EVALUATE,
    &compare::COMPARE,
    &noop::NOOP,
    &transform::TRANSFORM,
    &predict::PREDICT,
    &export::EXPORT,
    &embed::EMBED,
    &tokenize::TOKENIZE,
    &generate::GENERATE,
    &perplexity::PERPLEXITY,
];
/// Their names, in the same order.
pub(super) const KIND_NAMES: &[&str] = &[
    "ingest",
    "split",
    "train",
    "evaluate",
    "compare",
    "noop",
    "transform",
    "predict",
    "export",
    "embed",
    "tokenize",
    "generate",
    "perplexity",
];

/// The stage kind of that name.
pub(super) fn stage_kind(name: &str) -> Option<&'static StageKind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

const ABOVE_ZERO: Range = Range { min: 0.0, min_allowed: false, max: 1e6, max_allowed: true };
const FROM_ZERO: Range = Range { min: 0.0, min_allowed: true, max: 1e6, max_allowed: true };
const BELOW_ONE: Range = Range { min: 0.0, min_allowed: true, max: 1.0, max_allowed: false };

const fn seed(doc: &'static str) -> Field {
    default("seed", integer(0, u64::MAX), "0", doc, "7")
}

const fn real(name: &'static str, range: Range, value: &'static str, doc: &'static str) -> Field {
    Field { name, ty: Type::Real(range), need: Need::Default(value), doc, example: value }
}

fn word<'a>(node: &'a Node, key: &str, default: &'a str) -> Option<&'a str> {
    node.get(key).map_or(Some(default), Node::text)
}

/// An integer of 32 bits, or the default where there is none.
pub(super) fn narrow(node: &Node, key: &str, default: u32) -> Option<u32> {
    node.get(key).map_or(Some(default), |value| u32::try_from(value.integer()?).ok())
}

pub(super) fn wide(node: &Node, key: &str, default: u64) -> Option<u64> {
    node.get(key).map_or(Some(default), |value| u64::try_from(value.integer()?).ok())
}
