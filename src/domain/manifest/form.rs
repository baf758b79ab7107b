//! Forms: the words in which the grammar is written. Types, fields, objects, stage kinds and ports.
//! Never says what a manifest may hold: `grammar` and `kind` do, in these words.

use super::diagnostic::Faults;
use super::node::Node;
use crate::domain::job::{Reading, Spec};

/// What may stand at one place.
pub(super) enum Type {
    /// Text of 1 to so many bytes.
    Text(usize),
    /// The same, which may have several lines.
    Lines(usize),
    /// A DNS label.
    DnsLabel,
    /// A name as those of stages: a letter, then letters, digits, `-` and `_`.
    Name,
    /// One of some words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// An integer from `min` to `max`.
    Integer { min: i128, max: i128 },
    /// A finite number.
    Real(Range),
    /// A decimal above 0, at most 1, with at most so many places.
    Share { places: usize },
    /// Decimal text of OhC.
    Amount,
    /// A duration from `min_ms` to `max_ms`.
    Duration { min_ms: u64, max_ms: u64 },
    /// A range of a resource, such as `2..` or `8GiB..32GiB`.
    Range(Unit),
    /// A number of rows from 1 on, or of bytes with a unit, such as `64MiB`, in bounds.
    Amounts { rows: u64, bytes: (u64, u64) },
    /// One ASCII character that stands for itself in no word or number, or this word.
    Mark { or: &'static str },
    /// A number, text or boolean that can stand in a label.
    AxisValue,
    /// A number, text or boolean.
    Scalar,
    /// An object of the table.
    Object(&'static Object),
    /// A mapping from names to values of one type.
    Map { of: &'static Type, noun: &'static str, min: usize, max: usize },
    /// A mapping from names of the data (of columns, of classes), which may be any text, to values
    /// of one type.
    Columns { noun: &'static str, of: &'static Type, min: usize, max: usize },
    /// A list of values of one type.
    List { of: &'static Type, min: usize, max: usize },
    /// A word, or an object.
    WordOr(&'static [&'static str], &'static Object),
    /// The first of some types whose shape (scalar, list or mapping) is that of the value.
    Either(&'static [Type]),
    /// An object that one of its fields chooses: `kind: mlp`. The variants are called as that
    /// field's words, and do not name the field themselves.
    Tagged(&'static Tagged),
    /// A mapping with exactly one key, which says what it is: `select: [a, b]`.
    OneOf(&'static OneOf),
    /// `true`, `false` or one expression that may read metrics: its reader says what is wrong.
    Condition,
    /// The settings of a stage: an object that `uses` decides.
    With,
}

/// What a range counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// Things of which there must be one: cores.
    Some,
    /// Things of which there may be none: graphics cards.
    Any,
    /// Bytes, of which there must be one.
    Bytes,
}

/// Objects of which a field says which one it is.
pub(super) struct Tagged {
    /// The name in the schema.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// The field that decides.
    pub(super) tag: &'static str,
    /// The word that holds where the field is missing; `None` demands it.
    pub(super) default: Option<&'static str>,
    /// The variants: the name of each is its word.
    pub(super) variants: &'static [Object],
}

/// Values of which a key says which one it is.
pub(super) struct OneOf {
    /// The name in the schema.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// The keys; `need` of a field means nothing here.
    pub(super) variants: &'static [Field],
}

/// The numbers that a real may be. Comparisons only: the rules compute with no float.
pub(super) struct Range {
    /// The smallest, or what all must be larger than.
    pub(super) min: f64,
    /// Whether `min` itself is allowed.
    pub(super) min_allowed: bool,
    /// The largest, or what all must be smaller than.
    pub(super) max: f64,
    /// Whether `max` itself is allowed.
    pub(super) max_allowed: bool,
}

/// An object: its name in the schema, and its fields.
pub(super) struct Object {
    /// The name.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// What it holds.
    pub(super) fields: &'static [Field],
}

/// A field of an object.
pub(super) struct Field {
    /// The key.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) ty: Type,
    /// Whether it must be there.
    pub(super) need: Need,
    /// What it is for, in one line.
    pub(super) doc: &'static str,
    /// An example, as YAML flow text.
    pub(super) example: &'static str,
}

/// Whether a field must be there, and what holds if it is not.
pub(super) enum Need {
    /// It must.
    Required,
    /// It must, unless the field of this name is there.
    Unless(&'static str),
    /// It need not: this holds instead, in words.
    Default(&'static str),
    /// It need not.
    Optional,
}

/// A stage kind: one word after `uses:`.
pub(super) struct StageKind {
    /// The word.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) doc: &'static str,
    /// The settings it takes.
    pub(super) with: Object,
    /// The inputs it takes; `None` takes any.
    pub(super) inputs: Option<&'static [Port]>,
    /// What it gives; `None` gives the parts that `ratios` names.
    pub(super) outputs: Option<&'static [(&'static str, Good)]>,
    /// The spec of its job, from settings that have been checked; an ingest asks how its
    /// source is read too. `None` means that they had not.
    pub(super) spec: fn(&Node, Option<&Reading>) -> Option<Spec>,
    /// Reports what the table cannot say: settings (the first node) that fit it one by one but not
    /// together, or not with the rest of the stage (the second).
    pub(super) sound: fn(&Node, &Node, &mut Faults),
    /// The metrics that its job always reports and what they are: what `when` may read.
    pub(super) metrics: &'static [(&'static str, &'static str)],
}

/// For a kind whose settings always fit together.
pub(super) const fn always_sound(_: &Node, _: &Node, _: &mut Faults) {}

/// An input of a stage kind.
pub(super) struct Port {
    /// The name.
    pub(super) name: &'static str,
    /// What flows in.
    pub(super) good: Good,
    /// Whether several may flow in.
    pub(super) many: bool,
    /// Whether nothing need flow in.
    pub(super) optional: bool,
    /// What it is for.
    pub(super) doc: &'static str,
}

/// What flows along an edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Good {
    /// The bytes of a source.
    Source,
    /// The folder of an encoder, which is a source.
    Encoder,
    /// A frozen language model, which is a source.
    Decoder,
    /// Rows and columns.
    Table,
    /// A trained model.
    Model,
    /// What a transform learned.
    Recipe,
    /// The vocabulary of a tokenisation.
    Tokenizer,
    /// Text that somebody reads.
    Text,
    /// Metrics.
    Report,
    /// A picture.
    Chart,
    /// A text about a model.
    Card,
    /// Nothing but the fact that it was done.
    Token,
}

impl Good {
    /// Whether it may be connected where that is taken. A folder of Hugging Face may be of either
    /// family: which of them is known when it is pinned.
    pub(super) fn is_taken_for(self, other: Self) -> bool {
        self == other || (self, other) == (Self::Encoder, Self::Decoder)
    }

    /// What a person calls it.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Source => "a source of rows",
            Self::Encoder => "an encoder",
            Self::Decoder => "a language model",
            Self::Table => "a table",
            Self::Model => "a model",
            Self::Recipe => "a recipe",
            Self::Tokenizer => "a tokenizer",
            Self::Text => "a text",
            Self::Report => "a report",
            Self::Chart => "a chart",
            Self::Card => "a card",
            Self::Token => "a token",
        }
    }
}

/// A field that must be there.
pub(super) const fn required(
    name: &'static str,
    ty: Type,
    doc: &'static str,
    example: &'static str,
) -> Field {
    Field { name, ty, need: Need::Required, doc, example }
}

/// A field that must be there unless another one is.
pub(super) const fn unless(
    other: &'static str,
    name: &'static str,
    ty: Type,
    doc: &'static str,
    example: &'static str,
) -> Field {
    Field { name, ty, need: Need::Unless(other), doc, example }
}

/// A field that need not be there.
pub(super) const fn optional(
    name: &'static str,
    ty: Type,
    doc: &'static str,
    example: &'static str,
) -> Field {
    Field { name, ty, need: Need::Optional, doc, example }
}

/// A field that has a default.
pub(super) const fn default(
    name: &'static str,
    ty: Type,
    value: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Field {
    Field { name, ty, need: Need::Default(value), doc, example }
}

/// An integer from `min` to `max`.
pub(super) const fn integer(min: u64, max: u64) -> Type {
    Type::Integer { min: min as i128, max: max as i128 }
}
