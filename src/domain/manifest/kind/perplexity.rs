//! `uses: perplexity`: its settings, inputs and outputs, and its spec.
//! Reports only what does not fit together: all else has been checked before it is read.

use super::{narrow, word};
use crate::domain::job::{Perplexity, Reading, Spec};
use crate::domain::manifest::diagnostic::Faults;
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, default, integer, optional,
};
use crate::domain::manifest::node::Node;

/// Tokens of a window at the most.
const LENGTH_MAX: u64 = 131_072;
/// Tokens of a window where a stage does not say how many.
const LENGTH: u32 = 512;
/// The column with the texts, where a stage names none: that of `format: text`.
const COLUMN: &str = "text";

/// `uses: perplexity`
pub(super) static PERPLEXITY: StageKind = StageKind {
    name: "perplexity",
    doc: "Measures how well a frozen language model of the Llama family foretells texts: e to the \
          mean of minus the logarithm of the chance that it gave to each token that came. A text \
          that is longer than a window is read in several, and each token counts once, in the \
          first window that has it. Models of different tokenizers are not to be compared by it.",
    with: Object {
        name: "perplexity",
        doc: "Which texts are foretold, and how much of them is seen at once.",
        fields: &[
            default("column", Type::Text(256), COLUMN, "The column with the texts.", "review"),
            default(
                "texts",
                Type::Word(&["joined", "apart"]),
                "joined",
                "`joined`: the rows are the lines of one text, as in a file of `format: text`. \
                 `apart`: each row is a text of its own; its first token is not foretold unless \
                 the tokenizer puts one before it.",
                "apart",
            ),
            default(
                "length",
                integer(2, LENGTH_MAX),
                "512",
                "Tokens of a window: no more than the model has positions.",
                "2048",
            ),
            optional(
                "stride",
                integer(1, LENGTH_MAX),
                "Tokens from the beginning of a window to that of the next: fewer than the length, \
                 and half of it, if not given. With less \
                 of it more is seen before each token, and it costs more.",
                "256",
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
            name: "model",
            good: Good::Decoder,
            many: false,
            optional: false,
            doc: "A source of `format: huggingface` or `format: gguf`.",
        },
    ]),
    outputs: Some(&[("report", Good::Text)]),
    spec: read,
    sound,
    metrics: &[
        ("perplexity", "Among how many equally likely tokens the next one is as hard to tell."),
        ("loss", "Mean cross-entropy of a token in nats: the logarithm of the perplexity."),
        ("tokens", "Tokens that were foretold."),
        ("texts", "Texts that have such a token."),
    ],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    let length = narrow(with, "length", LENGTH)?;
    let stride = narrow(with, "stride", (length / 2).max(1))?;
    let joined = match word(with, "texts", "joined")? {
        "joined" => true,
        "apart" => false,
        _ => return None,
    };
    let column = word(with, "column", COLUMN)?.to_owned();
    Some(Spec::Perplexity(Perplexity { column, joined, length, stride }))
}

fn sound(with: &Node, _: &Node, faults: &mut Faults) {
    let length = narrow(with, "length", LENGTH);
    if let (Some(node), Some(length), Some(stride)) =
        (with.get("stride"), length, narrow(with, "stride", 1))
        && stride >= length
    {
        let message = format!("a stride of {stride} leaves out tokens of windows of {length}");
        let hint = format!("nothing stands before the first of a window: at most {}", length - 1);
        faults.advise(node.place, message, hint);
    }
}
