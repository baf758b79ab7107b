//! A tokenizer.json within bounds, of either family: what its parts may hold, and that it says the
//! same each time. Never gives the crate a part that was not looked at, nor repeats its words.

use crate::compute::{Fault, quote};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokenizers::{NormalizedString, Normalizer, PostProcessor, Tokenizer};

/// The parts that are read.
const READ: [&str; 6] =
    ["version", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model"];
/// Entries of the vocabulary.
const ENTRIES_MAX: usize = 2_000_000;
/// Tokens beside it.
const ADDED_MAX: usize = 16_384;
/// Bytes of one of those, and of what stands for the unknown.
const ADDED_BYTES_MAX: usize = 256;
/// Bytes of what a piece has before or after it to say where in a word it is.
const AFFIX_BYTES_MAX: usize = 16;
/// Bytes of each part but vocabulary and added tokens.
const PART_BYTES_MAX: usize = 16 << 10;
/// Pieces of what is put around a text, and tokens that they are.
const AROUND_MAX: usize = 16;

/// Makes a tokenizer of what was read.
pub(in crate::compute) fn tokenizer(mut said: Value) -> Result<Tokenizer, Fault> {
    check(&said)?;
    if let Some(parts) = said.as_object_mut() {
        parts.retain(|name, _| READ.contains(&name.as_str()));
    }
    guarded(|| {
        let tokenizer: Tokenizer = serde_json::from_value(said).map_err(|_| wrong())?;
        let around = tokenizer.get_post_processor().map_or(0, |last| last.added_tokens(false));
        if around > AROUND_MAX {
            return Err(too_much(format!("{around} tokens around each text"), AROUND_MAX));
        }
        tells_apart(&tokenizer)?;
        Ok(tokenizer)
    })
}

fn check(said: &Value) -> Result<(), Fault> {
    for part in ["normalizer", "pre_tokenizer", "post_processor"] {
        let bytes = said.get(part).map_or(0, |part| part.to_string().len());
        if bytes > PART_BYTES_MAX {
            return Err(too_much(format!("a {part} of {bytes} bytes"), PART_BYTES_MAX));
        }
    }
    if let Some(last) = said.get("post_processor") {
        around(last)?;
    }
    let added = said.get("added_tokens").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if added.len() > ADDED_MAX {
        return Err(too_much(format!("{} added tokens", added.len()), ADDED_MAX));
    }
    let Some(model) = said.get("model") else { return Ok(()) };
    let length = |text: Option<&Value>| text.and_then(Value::as_str).map_or(0, str::len);
    let words = added.iter().map(|token| ("an added token", length(token.get("content"))));
    for (what, bytes) in words.chain([("an `unk_token`", length(model.get("unk_token")))]) {
        if bytes > ADDED_BYTES_MAX {
            return Err(too_much(format!("{what} of {bytes} bytes"), ADDED_BYTES_MAX));
        }
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        let bytes = length(model.get(key));
        if bytes > AFFIX_BYTES_MAX {
            return Err(too_much(format!("a `{key}` of {bytes} bytes"), AFFIX_BYTES_MAX));
        }
    }
    once(model.get("vocab"))
}

/// What is put around a text: the text itself once, and a few tokens.
fn around(part: &Value) -> Result<(), Fault> {
    for part in part.get("processors").and_then(Value::as_array).into_iter().flatten() {
        around(part)?;
    }
    let pieces = part.get("single").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let texts = pieces.iter().filter(|piece| piece.get("Sequence").is_some()).count();
    if pieces.len() > AROUND_MAX || texts > 1 {
        let much = format!("{} pieces around each text, and the text {texts} times", pieces.len());
        return Err(too_much(much, AROUND_MAX));
    }
    Ok(())
}

/// No two pieces have one number.
fn once(vocabulary: Option<&Value>) -> Result<(), Fault> {
    let Some(entries) = vocabulary.and_then(Value::as_object) else { return Ok(()) };
    if entries.len() > ENTRIES_MAX {
        return Err(too_much(format!("{} pieces", entries.len()), ENTRIES_MAX));
    }
    let mut ids: Vec<u64> = entries.values().filter_map(Value::as_u64).collect();
    ids.sort_unstable();
    match twice(&ids) {
        None => Ok(()),
        Some(id) => Err(Fault::new(
            format!("tokenizer.json gives the number {id} to two pieces"),
            "each piece of the vocabulary has a number of its own",
        )),
    }
}

/// Added tokens that are the same once the normalizer has seen them are found by chance; and such
/// as take the spaces beside them and are nothing else take a time that grows with their square.
fn tells_apart(tokenizer: &Tokenizer) -> Result<(), Fault> {
    // By their numbers: in which order the crate keeps them is chance.
    let added: BTreeMap<_, _> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    let mut sought: Vec<(bool, String)> = Vec::new();
    for token in added.into_values() {
        let mut text = token.content.clone();
        if let (true, Some(normalizer)) = (token.normalized, tokenizer.get_normalizer()) {
            let mut normalized = NormalizedString::from(text.as_str());
            normalizer.normalize(&mut normalized).map_err(|_| wrong())?;
            normalized.get().clone_into(&mut text);
        }
        if (token.lstrip || token.rstrip) && text.chars().all(char::is_whitespace) {
            return Err(Fault::new(
                "tokenizer.json has an added token of spaces that takes those beside it",
                "leave out `lstrip` and `rstrip` of added tokens that are spaces",
            ));
        }
        sought.push((token.normalized, text));
    }
    sought.sort_unstable();
    match twice(&sought) {
        None => Ok(()),
        Some((_, text)) => Err(Fault::new(
            format!("tokenizer.json has two added tokens that are {} to it", quote(text)),
            "its normalizer makes them the same: leave out one of them, or say `normalized: false`",
        )),
    }
}

/// The first of ascending values that is there twice.
fn twice<T: PartialEq>(ascending: &[T]) -> Option<&T> {
    ascending.iter().zip(ascending.iter().skip(1)).find(|(a, b)| a == b).map(|(a, _)| a)
}

/// Runs the crate on bytes from outside: whatever it does with them is no more than a fault.
pub(in crate::compute) fn guarded<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(wrong()))
}

/// A tokenizer.json that the crate does not take. Why is not said in its words: where it names
/// things that it keeps in no order, they are others each time, and workers would not agree.
pub(in crate::compute) fn wrong() -> Fault {
    Fault::new(
        "tokenizer.json cannot be used: its parts do not fit each other",
        "fetch it again from where it came; `tokenizers` of Python says what it lacks",
    )
}

fn too_much(much: String, most: usize) -> Fault {
    Fault::new(format!("tokenizer.json has {much}"), format!("at most {most}"))
}

#[cfg(test)]
mod tests;
