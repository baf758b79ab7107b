//! `uses: tokenize`, and the step of that name: one step of a transform, by itself.
//! Reports only what does not fit together: all else has been checked before it is read.

use super::{narrow, word};
use crate::domain::job::{
    BYTES, Layout, Reading, Spec, Step, TOKENS_PER_ROW_MAX, Tokenize, Tokens, Transform,
    VOCABULARY_MAX,
};
use crate::domain::manifest::diagnostic::Faults;
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, default, integer, optional, required,
};
use crate::domain::manifest::node::Node;

/// The column where a manifest names none: that of plain text.
const TEXT: &str = "text";
/// Tokens of byte pairs where a manifest does not say how many.
const VOCABULARY: u32 = 1_024;

const DOC: &str = "Turns a text column into tokens, numbers that a model of texts reads: as one \
                   stream of all texts for a language model, or as rows of a fixed length for a \
                   classifier. The vocabulary is learned of this table and travels with every \
                   model that is trained on the result, so that a model takes raw text.";

/// `uses: tokenize`
pub(super) static TOKENIZE: StageKind = StageKind {
    name: "tokenize",
    doc: DOC,
    with: Object { fields: FIELDS, ..STEP },
    inputs: Some(&[Port {
        name: "table",
        good: Good::Table,
        many: false,
        optional: false,
        doc: "The table with the column; of `format: text`, a row for each line.",
    }]),
    outputs: Some(&[
        ("table", Good::Table),
        ("fitted", Good::Recipe),
        ("tokenizer", Good::Tokenizer),
    ]),
    spec: |with, _: Option<&Reading>| {
        Some(Spec::Transform(Transform { steps: vec![Step::Tokenize(read(with)?)] }))
    },
    sound: |with, _, faults| sound(with, faults),
    metrics: &[
        ("rows", "Rows of the result: the tokens of a stream."),
        ("columns", "Columns of the result."),
        ("vocabulary", "Different tokens that there are."),
    ],
};

/// The settings of the step.
pub(super) const STEP: Object =
    Object { name: "tokenize", doc: "Turns a text column into tokens.", fields: FIELDS };

const FIELDS: &[crate::domain::manifest::form::Field] = &[
    default("column", Type::Text(256), TEXT, "The column.", "review"),
    default(
        "kind",
        Type::Word(&["char", "byte", "bpe"]),
        "char",
        "What a token is: a character that the fit has seen, a byte, or bytes that often stand \
         together (byte pair encoding, learned).",
        "bpe",
    ),
    optional(
        "vocabulary",
        integer(BYTES as u64, VOCABULARY_MAX as u64),
        "How many tokens `bpe` has at the most, the 256 bytes among them; 1024 if not given.",
        "1024",
    ),
    required(
        "into",
        Type::WordOr(&["stream"], &LAYOUT),
        "`stream`: one column `token` with all texts one after the other, each with `separator` \
         behind it. `{ length: 64 }`: rows of so many tokens, in columns `text#0`, `text#1`, …, \
         counted from 1, with 0 behind shorter texts; longer ones are cut.",
        "stream",
    ),
    default(
        "separator",
        Type::Word(&["newline", "space", "nothing"]),
        "newline",
        "What is put behind each text of a stream: lines of a file want their new line back.",
        "space",
    ),
];

static LAYOUT: Object = Object {
    name: "tokenRows",
    doc: "Rows of a fixed number of tokens.",
    fields: &[required(
        "length",
        integer(1, TOKENS_PER_ROW_MAX as u64),
        "How many tokens a row has.",
        "64",
    )],
};

/// The step of these settings.
pub(super) fn read(with: &Node) -> Option<Tokenize> {
    let by = match word(with, "kind", "char")? {
        "char" => Tokens::Char,
        "byte" => Tokens::Byte,
        "bpe" => Tokens::Pairs { vocabulary: narrow(with, "vocabulary", VOCABULARY)? },
        _ => return None,
    };
    let into = with.get("into")?;
    let into = match into.get("length") {
        Some(_) => Layout::Rows { length: narrow(into, "length", 1)? },
        None => Layout::Stream { separator: separator(with)?.to_owned() },
    };
    Some(Tokenize { column: word(with, "column", TEXT)?.to_owned(), by, into })
}

fn separator(with: &Node) -> Option<&'static str> {
    match word(with, "separator", "newline")? {
        "newline" => Some("\n"),
        "space" => Some(" "),
        "nothing" => Some(""),
        _ => None,
    }
}

/// Settings that say nothing beside others.
pub(super) fn sound(with: &Node, faults: &mut Faults) {
    let kind = with.get("kind").and_then(Node::text).unwrap_or("char");
    if let (Some(vocabulary), "char" | "byte") = (with.get("vocabulary"), kind) {
        let message = format!("`vocabulary` means nothing with `kind: {kind}`");
        faults.advise(vocabulary.place, message, "leave it out, or take `kind: bpe`".to_owned());
    }
    let has_rows = with.get("into").is_some_and(|into| into.get("length").is_some());
    if let (Some(separator), true) = (with.get("separator"), has_rows) {
        let message = "`separator` means nothing but in `into: stream`";
        faults.advise(separator.place, message, "leave it out".to_owned());
    }
}
