//! Tokens: from a text to the numbers that the network looks up, by the folder's tokenizer.json.
//! Never pads, and never takes a tokenizer of another family: only BERT's WordPiece.

use super::bounds::{self, guarded, wrong};
use super::config::json;
use super::folder::TOKENIZER;
use crate::compute::{Fault, quote};
use serde_json::Value;
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

/// Characters of a word that is looked for in pieces: the tokenizer's own bound is 100.
const WORD_CHARS_MAX: u64 = 1_000;

/// Turns texts into tokens.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    vocabulary: usize,
    kinds: usize,
    lower_case: bool,
}

/// A token: its number and its kind.
pub(super) type Token = (u32, u32);

impl Tokens {
    /// Reads tokenizer.json: texts are cut to `length` tokens, with those that the tokenizer adds.
    pub(super) fn read(
        bytes: &[u8],
        length: usize,
        (vocabulary, kinds): (usize, usize),
        lower_case: bool,
    ) -> Result<Self, Fault> {
        let said = json(TOKENIZER, bytes)?;
        check(&said)?;
        let mut tokenizer = bounds::tokenizer(said)?;
        let added = tokenizer.get_post_processor().map_or(0, |last| last.added_tokens(false));
        if added >= length {
            let message = format!("the tokenizer adds {added} tokens to each text");
            return Err(Fault::new(message, "take a larger `length`"));
        }
        let cut = TruncationParams { max_length: length, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(cut)).map_err(|_| wrong())?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, vocabulary, kinds, lower_case })
    }

    /// The tokens of a text, which all are known to the network.
    pub(super) fn of(&self, text: &str) -> Result<Vec<Token>, Fault> {
        let lower = self.lower_case.then(|| text.to_lowercase());
        let text = lower.as_deref().unwrap_or(text);
        let encoding = guarded(|| self.tokenizer.encode_fast(text, true).map_err(|_| wrong()))?;
        let ids = encoding.get_ids().iter().zip(encoding.get_type_ids());
        let tokens: Vec<Token> = ids.map(|(id, kind)| (*id, *kind)).collect();
        let is_known =
            |(id, kind): &Token| (*id as usize) < self.vocabulary && (*kind as usize) < self.kinds;
        if let Some((id, _)) = tokens.iter().find(|token| !is_known(token)) {
            return Err(Fault::new(
                format!("the tokenizer gives token {id}, the network has {}", self.vocabulary),
                "tokenizer.json and config.json are not of one model: fetch both again",
            ));
        }
        if tokens.is_empty() {
            return Err(Fault::new(
                format!("the text {} has no tokens", quote(text)),
                "leave out empty texts: this tokenizer adds none of its own",
            ));
        }
        Ok(tokens)
    }
}

/// Refuses tokenizers that are not BERT's: others split by patterns that may take for ever.
fn check(said: &Value) -> Result<(), Fault> {
    let word = |key: &str| match said.get(key) {
        None | Some(Value::Null) => Some(""),
        Some(value) => value.get("type").and_then(Value::as_str),
    };
    let parts: [(&str, &[&str]); 4] = [
        ("model", &["WordPiece"]),
        ("pre_tokenizer", &["BertPreTokenizer"]),
        ("normalizer", &["", "BertNormalizer"]),
        ("post_processor", &["", "TemplateProcessing", "BertProcessing"]),
    ];
    for (key, known) in parts {
        let is = word(key);
        if !is.is_some_and(|is| known.contains(&is)) {
            let is = quote(is.unwrap_or("another"));
            let message = format!("tokenizer.json has the {key} {is}");
            let hint = "only BERT's tokenizer is run: BertPreTokenizer and WordPiece";
            return Err(Fault::new(message, hint));
        }
    }
    let model = said.get("model");
    let size = |key: &str| model.and_then(|model| model.get(key));
    let chars = size("max_input_chars_per_word").and_then(Value::as_u64).unwrap_or(100);
    if chars > WORD_CHARS_MAX {
        let message = format!("tokenizer.json has words of {chars} characters");
        return Err(Fault::new(message, format!("at most {WORD_CHARS_MAX} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn tokens(length: usize) -> Tokens {
        Tokens::read(example::TOKENIZER.as_bytes(), length, (example::VOCABULARY, 2), false)
            .unwrap()
    }

    #[test]
    fn a_text_becomes_pieces_between_two_marks() {
        // [CLS] good film ##s , bad [UNK] [SEP]
        let ids = |text| tokens(64).of(text).unwrap().iter().map(|(id, _)| *id).collect::<Vec<_>>();
        assert_eq!(ids("Good films, bad Zürich"), [2, 5, 6, 7, 9, 8, 1, 3]);
        assert_eq!(ids(""), [2, 3]);
        assert_eq!(ids("  \u{0}\n"), [2, 3]);
    }

    #[test]
    fn a_long_text_is_cut_and_keeps_its_marks() {
        let cut = tokens(5).of("good good good good good good").unwrap();
        assert_eq!(cut.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 5, 5, 5, 3]);
        let fault = Tokens::read(example::TOKENIZER.as_bytes(), 2, (12, 2), false).err().unwrap();
        assert_eq!(fault.message, "the tokenizer adds 2 tokens to each text");
    }

    #[test]
    fn a_token_that_the_network_does_not_know_is_refused() {
        let tokens = Tokens::read(example::TOKENIZER.as_bytes(), 64, (6, 2), false).unwrap();
        assert!(tokens.of("good").is_ok());
        assert!(tokens.of("bad").unwrap_err().message.contains("token 8, the network has 6"));
    }

    #[test]
    fn other_tokenizers_are_refused() {
        for (from, to, expect) in [
            ("WordPiece\",", "BPE\",", "the model \"BPE\""),
            ("BertPreTokenizer", "ByteLevel", "the pre_tokenizer \"ByteLevel\""),
            ("BertNormalizer", "Replace", "the normalizer \"Replace\""),
            (": 100", ": 100000", "words of 100000 characters"),
        ] {
            assert!(example::TOKENIZER.contains(from), "{from}");
            let text = example::TOKENIZER.replace(from, to);
            let fault = Tokens::read(text.as_bytes(), 64, (12, 2), false).err().unwrap();
            assert!(fault.message.contains(expect), "{fault}");
        }
        let fault = Tokens::read(b"{", 64, (12, 2), false).err().unwrap();
        assert!(fault.message.contains("tokenizer.json cannot be read"), "{fault}");
    }
}
