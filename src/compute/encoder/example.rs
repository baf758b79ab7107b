//! A small encoder for tests: real files of a real family, with weights from a counter.
//! Never means anything.

use super::Folder;
use super::folder::{CONFIG, POOLING, WEIGHTS};
use crate::compute::kernel::philox::Philox;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

pub(crate) const TOKENIZER: &str = r###"{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true}
  ],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
    "strip_accents": null, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
      "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
      "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
  "decoder": null,
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
    "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "good": 5, "film": 6,
      "##s": 7, "bad": 8, ",": 9, "plot": 10, "the": 11}}
}"###;

pub(crate) const VOCABULARY: usize = 12;
pub(crate) const WIDTH: usize = 12;
pub(crate) const INNER: usize = 20;
pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 3;
pub(crate) const POSITIONS: usize = 40;

/// The tensors of the network, by name, each with its shape and numbers.
pub(crate) fn tensors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize]| shapes.push((name.to_owned(), shape.to_vec()));
    add("embeddings.word_embeddings.weight", &[VOCABULARY, WIDTH]);
    add("embeddings.position_embeddings.weight", &[POSITIONS, WIDTH]);
    add("embeddings.token_type_embeddings.weight", &[2, WIDTH]);
    let mut scaling = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..LAYERS {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        for (name, inputs, outputs) in [
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", WIDTH, INNER),
            ("output.dense", INNER, WIDTH),
        ] {
            add(&format!("{}.weight", at(name)), &[outputs, inputs]);
            add(&format!("{}.bias", at(name)), &[outputs]);
        }
        scaling.push(at("attention.output.LayerNorm"));
        scaling.push(at("output.LayerNorm"));
    }
    for name in scaling {
        add(&format!("{name}.weight"), &[WIDTH]);
        add(&format!("{name}.bias"), &[WIDTH]);
    }
    let numbered = (0..).zip(shapes);
    let tensor = |(stream, (name, shape)): (u32, (String, Vec<usize>))| {
        let mut numbers = vec![0.0; shape.iter().product()];
        Philox::new(3, 99, stream).fill(-0.8, 0.8, &mut numbers);
        (name, shape, numbers)
    };
    numbered.map(tensor).collect()
}

/// The folder of the encoder.
pub(crate) fn folder() -> Folder<Vec<u8>> {
    let config = format!(
        r#"{{ "model_type": "bert", "hidden_act": "gelu", "hidden_size": {WIDTH},
        "intermediate_size": {INNER}, "num_hidden_layers": {LAYERS},
        "num_attention_heads": {HEADS}, "max_position_embeddings": {POSITIONS},
        "vocab_size": {VOCABULARY}, "type_vocab_size": 2, "layer_norm_eps": 1e-12 }}"#
    );
    let tensors = tensors();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, numbers)| {
            (name, shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let weights = safetensors::serialize(views, None).unwrap();
    let mut folder = Folder::new();
    folder.add(CONFIG, config.into_bytes()).unwrap();
    folder.add(super::folder::TOKENIZER, TOKENIZER.as_bytes().to_vec()).unwrap();
    folder.add(POOLING, br#"{"pooling_mode_mean_tokens": true}"#.to_vec()).unwrap();
    folder.add(WEIGHTS, weights).unwrap();
    folder
}
