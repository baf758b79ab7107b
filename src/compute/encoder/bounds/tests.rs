//! Tokenizers that are refused, part by part. Never refuses one that people have.

use super::super::example::TOKENIZER;
use super::*;

/// The tokenizer of the example, in which something else stands at a place.
fn with(path: &str, value: Value) -> Result<Tokenizer, Fault> {
    let mut said: Value = serde_json::from_str(TOKENIZER).unwrap();
    *said.pointer_mut(path).unwrap() = value;
    tokenizer(said)
}

fn refused(path: &str, value: Value, expect: &str) {
    let fault = with(path, value).err().unwrap_or_else(|| panic!("{expect} was taken"));
    assert!(fault.message.contains(expect), "{fault}");
}

fn added(tokens: &[(u32, &str, bool)]) -> Value {
    let token = |(id, content, normalized): &(u32, &str, bool)| {
        serde_json::json!({"id": id, "content": content, "normalized": normalized,
            "single_word": false, "lstrip": false, "rstrip": false, "special": false})
    };
    tokens.iter().map(token).collect()
}

#[test]
fn added_tokens_that_the_normalizer_makes_equal_are_refused() {
    let both = added(&[(11, "the", true), (5, "THE", true)]);
    refused("/added_tokens", both, "two added tokens that are \"the\" to it");
    // One of them is looked for before the normalizer, one after: always in this order.
    let apart = with("/added_tokens", added(&[(11, "the", true), (12, "THE", false)])).unwrap();
    for _ in 0..8 {
        let again = with("/added_tokens", added(&[(11, "the", true), (12, "THE", false)])).unwrap();
        let ids = |of: &Tokenizer| of.encode_fast("THE Thé", false).unwrap().get_ids().to_vec();
        assert_eq!(ids(&again), ids(&apart));
    }
}

#[test]
fn two_pieces_of_one_number_are_refused() {
    refused("/model/vocab/film", 5.into(), "gives the number 5 to two pieces");
}

#[test]
fn every_part_has_a_bound() {
    let long = |bytes: usize| Value::from("x".repeat(bytes));
    let id = "/model/continuing_subword_prefix";
    assert!(with(id, long(16)).is_ok());
    refused(id, long(17), "a `continuing_subword_prefix` of 17 bytes");
    refused("/model/unk_token", long(257), "an `unk_token` of 257 bytes");
    refused("/added_tokens/0/content", long(257), "an added token of 257 bytes");
    let many: Value = vec![serde_json::json!({}); 16_385].into();
    refused("/added_tokens", many, "16385 added tokens");
    let ids: Value = vec![3; 16].into();
    refused("/post_processor/special_tokens/[SEP]/ids", vec![3; 9_000].into(), "a post_processor");
    let names: Value = vec!["[SEP]"; 16].into();
    let around = serde_json::json!({"id": "[SEP]", "ids": ids, "tokens": names});
    refused("/post_processor/special_tokens/[SEP]", around, "17 tokens around each text");
    let text = serde_json::json!({"Sequence": {"id": "A", "type_id": 0}});
    refused("/post_processor/single", vec![text.clone(); 2].into(), "the text 2 times");
    refused("/post_processor/single", vec![text; 17].into(), "17 pieces around each text");
}

#[test]
fn added_tokens_of_spaces_take_no_spaces() {
    let mut spaces = added(&[(12, " ", false)]);
    assert!(with("/added_tokens", spaces.clone()).is_ok());
    *spaces.pointer_mut("/0/rstrip").unwrap() = true.into();
    refused("/added_tokens", spaces, "takes those beside it");
}

#[test]
fn what_is_not_looked_at_is_not_read() {
    let decoder = serde_json::json!({"type": "Replace", "pattern": {"Regex": "("}, "content": ""});
    assert!(with("/decoder", decoder).is_ok());
}

#[test]
fn whatever_the_crate_does_is_one_fault() {
    let panics = guarded::<()>(|| panic!("[CLS], [SEP]")).unwrap_err();
    assert_eq!(panics, with("/model/vocab", "none".into()).err().unwrap());
}

#[test]
fn what_is_read_is_what_the_crate_makes_of_the_file() {
    let all = [TOKENIZER, crate::compute::llama::example::TOKENIZER];
    for file in all {
        let ours = tokenizer(serde_json::from_str(file).unwrap()).unwrap();
        let mut theirs: Tokenizer = file.parse().unwrap();
        theirs.with_padding(None).with_truncation(None).unwrap();
        let ids = |of: &Tokenizer, text| of.encode_fast(text, true).unwrap().get_ids().to_vec();
        for text in ["", "Good films, bad Zürich", "ab b\na [CLS] ab", "  a\u{0}Ǆ the THE plot."]
        {
            assert_eq!(ids(&ours, text), ids(&theirs, text), "{text}");
        }
    }
}
