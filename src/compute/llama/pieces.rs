//! Pieces: the vocabulary of a GGUF file as a tokenizer.json that does the same.
//! Never gives a tokenizer that `tokens` does not look at like any other.

use super::gguf::Gguf;
use super::tokens::{LLAMA_3, SPLIT};
use crate::compute::{Fault, quote};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Bytes of a piece that is put together of two others.
const PIECE_BYTES_MAX: usize = 512;
/// Pairs of pieces, at the most.
const MERGES_MAX: usize = 4_000_000;
/// Kinds of a piece, by their numbers.
const CONTROL: u64 = 3;
const GIVEN: u64 = 4;

/// The bytes of a tokenizer.json.
pub(super) fn tokenizer(file: &Gguf<'_>) -> Result<Vec<u8>, Fault> {
    let pieces = file.texts("tokenizer.ggml.tokens");
    let kinds = file.wholes("tokenizer.ggml.token_type");
    let kind = |id: usize| kinds.get(id).copied().unwrap_or(1);
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (id, piece) in pieces.iter().enumerate() {
        vocabulary.insert((*piece).to_owned(), id.into());
        if matches!(kind(id), CONTROL | GIVEN) {
            added.push(json!({
                "id": id, "content": piece, "special": kind(id) == CONTROL, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            }));
        }
    }
    let word = file.text("tokenizer.ggml.model").unwrap_or_default();
    let before = file.text("tokenizer.ggml.pre").unwrap_or("default");
    let (mut json, begins) = match (word, before) {
        ("llama", _) => (scored(file, pieces, vocabulary)?, true),
        ("gpt2", "llama-bpe") => (paired(file, vocabulary, true), true),
        ("gpt2", "default" | "gpt-2") => (paired(file, vocabulary, false), false),
        (word, before) => {
            let message = format!("the file has a tokenizer {} of {}", quote(word), quote(before));
            let hint = "`llama`, and `gpt2` of `llama-bpe` or `gpt-2`, are run; or take the folder \
                        of Hugging Face";
            return Err(Fault::new(message, hint));
        }
    };
    let first = file.count("tokenizer.ggml.bos_token_id").or((word == "llama").then_some(1));
    let first = first.and_then(|id| Some((id, *pieces.get(id)?)));
    if let (true, Some((id, piece))) =
        (file.truth("tokenizer.ggml.add_bos_token").unwrap_or(begins), first)
    {
        set(&mut json, "post_processor", beginning(id, piece));
    }
    set(&mut json, "added_tokens", added.into());
    Ok(json.to_string().into_bytes())
}

fn set(json: &mut Value, key: &str, value: Value) {
    if let Some(map) = json.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

/// One token before each text.
fn beginning(id: usize, piece: &str) -> Value {
    json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": piece, "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {piece: {"id": piece, "ids": [id], "tokens": [piece]}},
    })
}

/// Byte pairs, joined in the order in which the file has them.
fn paired(file: &Gguf<'_>, vocabulary: Map<String, Value>, is_llama: bool) -> Value {
    let merges: Vec<&str> = file.texts("tokenizer.ggml.merges").to_vec();
    let bytes = |splits: bool| {
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
               "use_regex": splits})
    };
    let before = if is_llama {
        let split = json!({"type": SPLIT, "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated",
                           "invert": false});
        json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]})
    } else {
        bytes(true)
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": before, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
                  "byte_fallback": false, "ignore_merges": is_llama, "vocab": vocabulary,
                  "merges": merges},
    })
}

/// SentencePiece's pieces: of all pairs that make a piece, the one of the best score is joined.
fn scored(
    file: &Gguf<'_>,
    pieces: &[&str],
    vocabulary: Map<String, Value>,
) -> Result<Value, Fault> {
    let scores = file.reals("tokenizer.ggml.scores");
    let ids: BTreeMap<&str, usize> =
        pieces.iter().enumerate().map(|(id, piece)| (*piece, id)).collect();
    let mut merges: Vec<(f32, &str, &str)> = Vec::new();
    for (piece, score) in pieces.iter().zip(scores) {
        if piece.len() > PIECE_BYTES_MAX {
            continue;
        }
        let splits = piece.char_indices().skip(1).filter_map(|(at, _)| piece.split_at_checked(at));
        let known = splits.filter_map(|(a, b)| Some((*ids.get(a)?, *ids.get(b)?, a, b)));
        let mut known: Vec<_> = known.collect();
        known.sort_unstable_by_key(|(left, right, ..)| (*left, *right));
        merges.extend(known.into_iter().map(|(_, _, a, b)| (*score, a, b)));
        if merges.len() > MERGES_MAX {
            let message = format!("the file has more than {MERGES_MAX} pairs of pieces");
            return Err(Fault::new(message, "it is damaged: fetch it again"));
        }
    }
    let chars = |text: &str| text.chars().count();
    // As the converter of Hugging Face orders them: the best score, then the longest.
    merges.sort_by(|(x, a, b), (y, c, d)| {
        y.total_cmp(x).then(chars(c).cmp(&chars(a))).then(chars(d).cmp(&chars(b)))
    });
    let merges: Vec<Value> = merges.into_iter().map(|(_, a, b)| json!([a, b])).collect();
    let unknown = file.count("tokenizer.ggml.unknown_token_id").unwrap_or(0);
    let unknown = pieces.get(unknown).copied();
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let normalizer = match file.truth("tokenizer.ggml.add_space_prefix") {
        Some(false) => spaces,
        _ => json!({"type": "Sequence",
                    "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]}),
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": normalizer,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "fuse_unk": true,
                  "byte_fallback": true, "ignore_merges": false, "vocab": vocabulary,
                  "merges": merges},
    }))
}
