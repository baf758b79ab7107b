//! Tokens: from a text to the numbers that the network looks up, by a tokenizer.json.
//! Never takes a tokenizer of another family, and never a pattern that is not known to end soon.

use crate::compute::encoder::{self, TOKENIZER, guarded, json, wrong};
use crate::compute::{Fault, quote};
use serde_json::Value;
use tokenizers::Tokenizer;

/// Parts of a sequence of parts.
const PARTS_MAX: usize = 4;
/// Bytes that are put before a text.
const PREPEND_BYTES_MAX: usize = 16;
/// How many times as long a normalizer may make a text.
const GROWTH_MAX: usize = 16;
/// What divides a text by a pattern.
pub(super) const SPLIT: &str = "Split";
/// The pattern by which Llama 3 divides a text before its pieces are joined.
pub(super) const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Turns texts into tokens.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    vocabulary: usize,
}

impl Tokens {
    /// Reads tokenizer.json, for a network that knows so many tokens.
    pub(super) fn read(bytes: &[u8], vocabulary: usize) -> Result<Self, Fault> {
        let said = json(TOKENIZER, bytes)?;
        check(&said)?;
        let mut tokenizer = encoder::tokenizer(said)?;
        tokenizer.with_truncation(None).map_err(|_| wrong())?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, vocabulary })
    }

    /// The tokens of a text, with those that the tokenizer adds, which all are known.
    pub(super) fn of(&self, text: &str) -> Result<Vec<u32>, Fault> {
        let encoding = guarded(|| self.tokenizer.encode_fast(text, true).map_err(|_| wrong()))?;
        let ids = encoding.get_ids().to_vec();
        match ids.iter().find(|id| **id as usize >= self.vocabulary) {
            None => Ok(ids),
            Some(id) => Err(Fault::new(
                format!("the tokenizer gives token {id}, the network has {}", self.vocabulary),
                "tokenizer.json and config.json are not of one model: fetch both again",
            )),
        }
    }
}

/// Refuses tokenizers that are not those of a Llama: a pattern of somebody's own may take for ever,
/// and one that leaves pieces out by chance does not say the same twice.
fn check(said: &Value) -> Result<(), Fault> {
    let model = said.get("model").unwrap_or(&Value::Null);
    let by_chance = model.get("dropout").is_some_and(|share| !share.is_null());
    if kind(model) != Some("BPE") || by_chance {
        return Err(other("model", model));
    }
    for key in ["normalizer", "pre_tokenizer", "post_processor"] {
        if let Some(part) = said.get(key).filter(|part| !part.is_null()) {
            let parts = parts(key, part)?;
            parts.iter().try_for_each(|part| check_part(key, part))?;
            let growth = parts.iter().fold(1, |all: usize, part| all.saturating_mul(growth(part)));
            if growth > GROWTH_MAX {
                let message =
                    format!("the {key} of tokenizer.json makes a text {growth} times as long");
                return Err(Fault::new(message, format!("at most {GROWTH_MAX} times")));
            }
        }
    }
    Ok(())
}

/// The parts of a sequence of parts, or the only one.
fn parts<'a>(key: &str, part: &'a Value) -> Result<&'a [Value], Fault> {
    if kind(part) != Some("Sequence") {
        return Ok(std::slice::from_ref(part));
    }
    let list = match key {
        "normalizer" => "normalizers",
        "pre_tokenizer" => "pretokenizers",
        _ => "processors",
    };
    let parts = part.get(list).and_then(Value::as_array).ok_or_else(|| other(key, part))?;
    if parts.len() > PARTS_MAX {
        let message = format!("the {key} of tokenizer.json has {} parts", parts.len());
        return Err(Fault::new(message, format!("at most {PARTS_MAX}")));
    }
    Ok(parts)
}

fn check_part(key: &str, part: &Value) -> Result<(), Fault> {
    let pattern = |kind: &str| part.get("pattern")?.get(kind)?.as_str();
    let is_known = match (key, kind(part)) {
        ("normalizer", Some("Replace")) => pattern("String").is_some_and(|text| !text.is_empty()),
        ("normalizer", Some("Prepend")) => {
            let bytes = part.get("prepend").and_then(Value::as_str).map(str::len);
            bytes.is_some_and(|bytes| bytes <= PREPEND_BYTES_MAX)
        }
        ("pre_tokenizer", Some("Metaspace" | "ByteLevel" | "Digits")) => true,
        ("pre_tokenizer", Some(SPLIT)) => pattern("Regex") == Some(LLAMA_3),
        ("post_processor", Some("TemplateProcessing" | "ByteLevel")) => true,
        _ => false,
    };
    if is_known { Ok(()) } else { Err(other(key, part)) }
}

/// How many times as long as before a text is at the most, where a part replaces text.
fn growth(part: &Value) -> usize {
    let bytes = |text: Option<&Value>| text.and_then(Value::as_str).map_or(0, str::len);
    let pattern = part.get("pattern").and_then(|pattern| pattern.get("String"));
    match bytes(pattern) {
        0 => 1,
        pattern => bytes(part.get("content")).div_ceil(pattern).max(1),
    }
}

fn kind(part: &Value) -> Option<&str> {
    part.get("type").and_then(Value::as_str)
}

fn other(key: &str, part: &Value) -> Fault {
    let is = quote(kind(part).unwrap_or("another"));
    let hint = "only the tokenizers of Llama 2, 3 and their like are run: BPE of bytes, or of \
                SentencePiece's pieces";
    Fault::new(format!("tokenizer.json has the {key} {is}, which is not run"), hint)
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn a_text_becomes_pieces_behind_a_beginning() {
        let tokens = Tokens::read(example::TOKENIZER.as_bytes(), example::VOCABULARY).unwrap();
        // <s> ▁ab ▁b <0x0A> a, and bytes of what is in no piece.
        assert_eq!(tokens.of("ab b\na").unwrap(), [1, 9, 10, 5, 6]);
        assert_eq!(tokens.of("").unwrap(), [1]);
        let few = Tokens::read(example::TOKENIZER.as_bytes(), 7).unwrap();
        assert!(few.of("b").unwrap_err().message.contains("the network has 7"));
    }

    #[test]
    fn other_tokenizers_are_refused() {
        for (from, to, expect) in [
            ("\"BPE\"", "\"Unigram\"", "the model \"Unigram\""),
            ("\"dropout\": null", "\"dropout\": 0.1", "the model \"BPE\""),
            ("{\"String\": \" \"}", "{\"Regex\": \"(a+)+b\"}", "the normalizer \"Replace\""),
            (
                "\"pre_tokenizer\": null",
                "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a+)+b\"}}",
                "the pre_tokenizer \"Split\"",
            ),
            ("\"TemplateProcessing\"", "\"BertProcessing\"", "the post_processor"),
        ] {
            assert!(example::TOKENIZER.contains(from), "{from}");
            let text = example::TOKENIZER.replace(from, to);
            let fault = Tokens::read(text.as_bytes(), example::VOCABULARY).err().unwrap();
            assert!(fault.message.contains(expect), "{fault}");
        }
        let fault = Tokens::read(b"{", 9).err().unwrap();
        assert!(fault.message.contains("tokenizer.json cannot be read"), "{fault}");
    }

    #[test]
    fn no_part_makes_a_text_many_times_as_long() {
        let refused = |part: &str, value: Value, expect: &str| {
            let mut said: Value = serde_json::from_str(example::TOKENIZER).unwrap();
            said[part] = value;
            let bytes = said.to_string();
            let fault = Tokens::read(bytes.as_bytes(), example::VOCABULARY).err().unwrap();
            assert!(fault.message.contains(expect), "{fault}");
        };
        let replace = |from: &str, to: &str| {
            let pattern = serde_json::json!({"String": from});
            serde_json::json!({"type": "Replace", "pattern": pattern, "content": to})
        };
        let all = |parts: Vec<Value>| serde_json::json!({"type": "Sequence", "normalizers": parts});
        refused("normalizer", all(vec![replace("a", "aa"); 60]), "has 60 parts");
        refused("normalizer", all(vec![replace("a", "aaa"); 3]), "27 times as long");
        refused("normalizer", replace("a", &"a".repeat(17)), "17 times as long");
        refused("normalizer", replace("", "a"), "the normalizer \"Replace\"");
        let long = serde_json::json!({"type": "Prepend", "prepend": "a".repeat(17)});
        refused("normalizer", long, "the normalizer \"Prepend\"");
    }

    #[test]
    fn a_sequence_has_the_list_that_the_crate_reads() {
        let slow = serde_json::json!({"type": SPLIT, "pattern": {"Regex": "(a+)+b"},
            "behavior": "Isolated", "invert": false});
        let mut said: Value = serde_json::from_str(example::TOKENIZER).unwrap();
        said["pre_tokenizer"] = serde_json::json!(
            {"type": "Sequence", "normalizers": [], "pretokenizers": [slow]});
        let fault = Tokens::read(said.to_string().as_bytes(), example::VOCABULARY).err().unwrap();
        assert!(fault.message.contains("the pre_tokenizer \"Split\""), "{fault}");
    }

    /// Byte pairs behind the pattern of Llama 3, in which each byte is a piece.
    fn llama_3() -> String {
        let mut vocabulary = serde_json::Map::new();
        for (id, letter) in "Ġ123ab.".chars().enumerate() {
            vocabulary.insert(letter.to_string(), id.into());
        }
        vocabulary.insert("ab".to_owned(), 7.into());
        vocabulary.insert("12".to_owned(), 8.into());
        serde_json::json!({
            "version": "1.0", "added_tokens": [],
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": SPLIT, "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated",
                 "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                 "use_regex": false}]},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"], ["1", "2"]]},
        })
        .to_string()
    }

    #[test]
    fn the_pattern_of_llama_3_divides_words_and_three_digits() {
        let tokens = Tokens::read(llama_3().as_bytes(), 9).unwrap();
        assert_eq!(tokens.of("ab a").unwrap(), [7, 0, 4]);
        // 312 and 12: a pair is joined within three digits, not across.
        assert_eq!(tokens.of("31212").unwrap(), [3, 8, 8]);
        assert_eq!(tokens.of("33112").unwrap(), [3, 3, 1, 8]);
        assert_eq!(tokens.of("3312").unwrap(), [3, 3, 1, 2]);
    }
}
