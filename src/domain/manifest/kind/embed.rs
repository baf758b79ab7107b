//! `uses: embed`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use crate::domain::job::{Embed, Mode, Part, Pooling, Reading, Spec};
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, always_sound, default, integer, optional,
};
use crate::domain::manifest::node::{Kind, Node};

/// Tokens of a text at the least: one, and the two marks around it.
const LENGTH_MIN: u64 = 3;
/// Tokens of a text at the most: no encoder that is run has more positions.
const LENGTH_MAX: u64 = 8_192;
/// The column with the texts, where a stage names none: that of `format: text`.
const COLUMN: &str = "text";

/// `uses: embed`
pub(super) static EMBED: StageKind = StageKind {
    name: "embed",
    doc: "Turns a column of texts into numbers by a frozen encoder: `text` becomes `text@0`, \
          `text@1` and so on, beside the other columns. A `train` of the result is a head on the \
          encoder. Its model remembers by which encoder rows were embedded, not the encoder. A \
          long table is embedded in shares, unless it is published.",
    with: Object {
        name: "embed",
        doc: "Which texts are embedded, and how.",
        fields: &[
            default("column", Type::Text(256), COLUMN, "The column with the texts.", "review"),
            optional(
                "length",
                integer(LENGTH_MIN, LENGTH_MAX),
                "Tokens of a text at the most, with those that the tokenizer adds; what is beyond \
                 is not looked at. Without it, as the folder's `sentence_bert_config.json` says, \
                 or as many as the encoder has positions.",
                "128",
            ),
            optional(
                "pooling",
                Type::Word(&["mean", "cls"]),
                "How the vectors of tokens become one: their mean, or that of the first. Without \
                 it, as `1_Pooling/config.json` says, or the mean.",
                "cls",
            ),
            optional(
                "normalize",
                Type::Bool,
                "Whether each vector is divided by its length. Without it, as `modules.json` \
                 says, or not.",
                "true",
            ),
            default(
                "mode",
                Type::Word(&["exact", "fast"]),
                "exact",
                "In which arithmetic it runs. `exact`: the same bits everywhere, checked bit for \
                 bit. `fast`: whatever is fastest where it runs, such as a graphics card; \
                 validators embed drawn shares exactly and accept vectors that differ by at most \
                 1 % of their length.",
                "fast",
            ),
        ],
    },
    inputs: Some(&[
        Port {
            name: "table",
            good: Good::Table,
            many: false,
            optional: false,
            doc: "The table with the texts.",
        },
        Port {
            name: "encoder",
            good: Good::Encoder,
            many: false,
            optional: false,
            doc: "A source of `format: huggingface`.",
        },
    ]),
    outputs: Some(&[("table", Good::Table)]),
    spec: read,
    sound: always_sound,
    metrics: &[("rows", "Rows of the table."), ("columns", "Numbers that a text becomes.")],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    let length = match with.get("length") {
        Some(length) => Some(u32::try_from(length.integer()?).ok()?),
        None => None,
    };
    let pooling = match with.get("pooling") {
        Some(word) => match word.text()? {
            "mean" => Some(Pooling::Mean),
            "cls" => Some(Pooling::Cls),
            _ => return None,
        },
        None => None,
    };
    let normalize = match with.get("normalize").map(|node| &node.kind) {
        Some(Kind::Bool(normalize)) => Some(*normalize),
        Some(_) => return None,
        None => None,
    };
    let column = super::word(with, "column", COLUMN)?.to_owned();
    let mode = Mode::from_word(super::word(with, "mode", Mode::Exact.word())?)?;
    Some(Spec::Embed(Embed { column, length, pooling, normalize, part: Part::WHOLE, mode }))
}
