//! `tokenizer.json`: a tokenizer in the words of Hugging Face's `tokenizers`, whose ids are our
//! tokens. Never reads one.

use super::Tokenizer;
use super::pieces::PATTERN;
use crate::domain::job::BYTES;
use serde_json::{Map, Value, json};

/// What `tokenizers` calls an unknown character.
const UNKNOWN: &str = "<unk>";

pub(super) fn write(tokenizer: &Tokenizer) -> String {
    let (before, model, decoder) = match tokenizer {
        Tokenizer::Chars(known) => {
            let ids = std::iter::once(UNKNOWN.to_owned()).chain(known.chars().map(String::from));
            let vocabulary = ids.zip(0u32..).map(|(text, id)| (text, json!(id)));
            (Value::Null, model(vocabulary.collect(), &[], Some(UNKNOWN)), json!({"type": "Fuse"}))
        }
        Tokenizer::Bytes => {
            let names = byte_names();
            let vocabulary = names.iter().zip(0u32..).map(|(name, id)| (name.clone(), json!(id)));
            (bytes(), model(vocabulary.collect(), &[], None), bytes())
        }
        Tokenizer::Pairs(pairs) => {
            let mut names = byte_names();
            let mut merges = Vec::with_capacity(pairs.len());
            for (left, right) in pairs {
                let name = |token: u32| names.get(token as usize).cloned().unwrap_or_default();
                let (left, right) = (name(*left), name(*right));
                names.push(format!("{left}{right}"));
                merges.push([left, right]);
            }
            let vocabulary = names.into_iter().zip(0u32..).map(|(name, id)| (name, json!(id)));
            let pieces = json!({
                "type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
                "invert": false,
            });
            let before = json!({"type": "Sequence", "pretokenizers": [pieces, bytes()]});
            (before, model(vocabulary.collect(), &merges, None), bytes())
        }
    };
    let whole = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": before,
        "post_processor": null,
        "decoder": decoder,
        "model": model,
    });
    format!("{whole:#}\n")
}

fn bytes() -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
    })
}

fn model(vocabulary: Map<String, Value>, merges: &[[String; 2]], unknown: Option<&str>) -> Value {
    json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": unknown,
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": false,
        "byte_fallback": false,
        "ignore_merges": false,
        "vocab": vocabulary,
        "merges": merges,
    })
}

/// The characters that stand for the 256 bytes: printable ones for themselves, the others, in their
/// order, for those from U+0100 on (GPT-2's table).
fn byte_names() -> Vec<String> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
    let mut others = BYTES..;
    let name = |byte: u8| {
        let code = if is_printable(byte) { Some(u32::from(byte)) } else { others.next() };
        code.and_then(char::from_u32).unwrap_or_default().to_string()
    };
    (0..=u8::MAX).map(name).collect()
}
