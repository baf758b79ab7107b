//! `uses: generate`: its settings, inputs and outputs, and its spec.
//! Reports only what does not fit together: all else has been checked before it is read.

use super::{Range, narrow, real, seed, wide, word};
use crate::domain::job::{Generate, Reading, Spec};
use crate::domain::manifest::diagnostic::Faults;
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, default, integer, optional,
};
use crate::domain::manifest::node::{Kind, Node};

/// Bytes of a prompt.
const PROMPT_BYTES_MAX: usize = 4_096;
/// Texts of one prompt.
const SAMPLES_MAX: u64 = 1_024;
/// Tokens of one text.
const TOKENS_MAX: u64 = 65_536;
const TEMPERATURE: Range = Range { min: 0.0, min_allowed: true, max: 100.0, max_allowed: true };
/// What a text goes on from where nothing is said: the beginning of a line.
const LINE: &str = "\n";

/// `uses: generate`
pub(super) static GENERATE: StageKind = StageKind {
    name: "generate",
    doc: "Writes text with a language model, token by token, each chosen by lot in proportion to \
          what the model says. The same settings give the same text, whoever writes it.",
    with: Object {
        name: "generate",
        doc: "What the text goes on from, and how its tokens are chosen.",
        fields: &[
            optional(
                "prompt",
                Type::Lines(PROMPT_BYTES_MAX),
                "What the text goes on from, of one or more lines; the beginning of a line, if not \
                 given.",
                "\"ROMEO:\"",
            ),
            default("samples", integer(1, SAMPLES_MAX), "1", "Texts of each prompt.", "3"),
            default(
                "tokens",
                integer(1, TOKENS_MAX),
                "256",
                "Tokens of each text, at the most.",
                "500",
            ),
            real(
                "temperature",
                TEMPERATURE,
                "1.0",
                "Below 1 likely tokens become likelier still; 0 always takes the likeliest.",
            ),
            optional(
                "topK",
                integer(1, 65_536),
                "Only so many of the likeliest tokens are chosen from; all, if not given.",
                "40",
            ),
            default(
                "line",
                Type::Bool,
                "false",
                "Whether a text ends with the first new line.",
                "true",
            ),
            seed("Seed of the lots."),
        ],
    },
    inputs: Some(&[
        Port {
            name: "model",
            good: Good::Model,
            many: false,
            optional: false,
            doc: "A model of `task: language`, such as `evaluate.best`.",
        },
        Port {
            name: "prompts",
            good: Good::Table,
            many: false,
            optional: true,
            doc: "A table whose column `text` has a prompt in each row, instead of `prompt`.",
        },
    ]),
    outputs: Some(&[("table", Good::Table), ("text", Good::Text)]),
    spec: read,
    sound,
    metrics: &[("texts", "Texts that were written."), ("tokens", "Tokens that were written.")],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    Some(Spec::Generate(Generate {
        prompt: word(with, "prompt", LINE)?.to_owned(),
        samples: narrow(with, "samples", 1)?,
        tokens: narrow(with, "tokens", 256)?,
        temperature: with.get("temperature").map_or(Some(1.0), Node::real)?,
        top_k: match with.get("topK") {
            Some(_) => Some(narrow(with, "topK", 1)?),
            None => None,
        },
        line: match with.get("line").map(|node| &node.kind) {
            Some(Kind::Bool(line)) => *line,
            Some(_) => return None,
            None => false,
        },
        seed: wide(with, "seed", 0)?,
    }))
}

fn sound(with: &Node, stage: &Node, faults: &mut Faults) {
    let input = stage.get("inputs").and_then(|inputs| inputs.get("prompts"));
    if let (Some(prompt), Some(_)) = (with.get("prompt"), input) {
        let hint = "leave out the setting, or the input `prompts`".to_owned();
        faults.advise(prompt.place, "prompts are given twice", hint);
    }
}
