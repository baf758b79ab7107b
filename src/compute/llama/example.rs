//! A small Llama for tests: real files of a real family, with weights from a counter.
//! Never means anything.

use super::super::encoder::{CONFIG, Folder, TOKENIZER as TOKENIZER_FILE, WEIGHTS};
use crate::compute::kernel::philox::Philox;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

pub(crate) const TOKENIZER: &str = r###"{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true}
  ],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
  "decoder": null,
  "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
    "byte_fallback": true,
    "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "b": 4, "<0x0A>": 5, "a": 6, "ab": 7,
      "<0x43>": 8, "▁ab": 9, "▁b": 10, "bb": 11},
    "merges": [["a", "b"], ["▁", "ab"], ["▁", "b"], ["b", "b"]]}
}"###;

/// The pieces, with their scores and kinds in a GGUF file.
const PIECES: [(&str, f32, u32); VOCABULARY] = [
    ("<unk>", 0.0, 2),
    ("<s>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("▁", -9.0, 1),
    ("b", -8.0, 1),
    ("<0x0A>", 0.0, 6),
    ("a", -7.0, 1),
    ("ab", -1.0, 1),
    ("<0x43>", 0.0, 6),
    ("▁ab", -2.0, 1),
    ("▁b", -3.0, 1),
    ("bb", -4.0, 1),
];

pub(crate) const VOCABULARY: usize = 12;
pub(crate) const WIDTH: usize = 32;
pub(crate) const INNER: usize = 64;
pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 4;
pub(crate) const KEYS: usize = 2;
pub(crate) const COLUMNS: usize = WIDTH / HEADS;
pub(crate) const POSITIONS: usize = 24;

pub(crate) fn config() -> String {
    format!(
        r#"{{ "model_type": "llama", "hidden_act": "silu", "hidden_size": {WIDTH},
        "intermediate_size": {INNER}, "num_hidden_layers": {LAYERS},
        "num_attention_heads": {HEADS}, "num_key_value_heads": {KEYS},
        "max_position_embeddings": {POSITIONS}, "vocab_size": {VOCABULARY},
        "rms_norm_eps": 1e-5 }}"#
    )
}

/// A tensor: its name, its shape and its numbers.
pub(crate) type Named = (String, Vec<usize>, Vec<f32>);

/// The tensors of the network. Matrices are such as eight bits can keep.
pub(crate) fn tensors() -> Vec<Named> {
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| shapes.push((name, shape.to_vec()));
    add("model.embed_tokens".into(), &[VOCABULARY, WIDTH]);
    add("model.norm".into(), &[WIDTH]);
    add("lm_head".into(), &[VOCABULARY, WIDTH]);
    for layer in 0..LAYERS {
        let mut at = |name: &str, shape: &[usize]| {
            add(format!("model.layers.{layer}.{name}"), shape);
        };
        at("input_layernorm", &[WIDTH]);
        at("self_attn.q_proj", &[WIDTH, WIDTH]);
        at("self_attn.k_proj", &[KEYS * COLUMNS, WIDTH]);
        at("self_attn.v_proj", &[KEYS * COLUMNS, WIDTH]);
        at("self_attn.o_proj", &[WIDTH, WIDTH]);
        at("post_attention_layernorm", &[WIDTH]);
        at("mlp.gate_proj", &[INNER, WIDTH]);
        at("mlp.up_proj", &[INNER, WIDTH]);
        at("mlp.down_proj", &[WIDTH, INNER]);
    }
    let tensor = |(stream, (name, shape)): (u32, (String, Vec<usize>))| {
        let mut numbers = vec![0.0; shape.iter().product()];
        Philox::new(3, 77, stream).fill(-0.6, 0.6, &mut numbers);
        if shape.len() == 2 {
            let kept = quantised(&shape, &numbers).dequantize(&Device::Cpu).unwrap();
            numbers = kept.flatten_all().unwrap().to_vec1().unwrap();
        }
        (format!("{name}.weight"), shape, numbers)
    };
    (0..).zip(shapes).map(tensor).collect()
}

fn quantised(shape: &[usize], numbers: &[f32]) -> QTensor {
    let tensor = Tensor::from_vec(numbers.to_vec(), shape, &Device::Cpu).unwrap();
    let dtype = if shape.len() == 2 { GgmlDType::Q8_0 } else { GgmlDType::F32 };
    QTensor::quantize(&tensor, dtype).unwrap()
}

/// The packed folder of a model of these tensors.
pub(crate) fn packed(tensors: &[Named]) -> Vec<u8> {
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let kept: Vec<_> =
        tensors.iter().map(|(name, shape, x)| (name.clone(), shape.clone(), bytes(x))).collect();
    let views = kept.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let mut folder = Folder::new();
    folder.add(CONFIG, config().into_bytes()).unwrap();
    folder.add(TOKENIZER_FILE, TOKENIZER.as_bytes().to_vec()).unwrap();
    folder.add(WEIGHTS, safetensors::serialize(views, None).unwrap()).unwrap();
    folder.pack().unwrap()
}

/// The same model as candle writes it into a GGUF file.
pub(crate) fn gguf() -> Vec<u8> {
    let name = |name: &str| {
        let parts = [
            ("model.layers.", "blk."),
            ("model.embed_tokens", "token_embd"),
            ("model.norm", "output_norm"),
            ("lm_head", "output"),
            ("input_layernorm", "attn_norm"),
            ("self_attn.o_proj", "attn_output"),
            ("post_attention_layernorm", "ffn_norm"),
        ];
        let name = parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
        let name = name.replace("self_attn.", "attn_").replace("mlp.", "ffn_");
        name.replace("_proj", "")
    };
    let heads = |name: &str| match name {
        _ if name.contains("attn_q") => Some(HEADS),
        _ if name.contains("attn_k") => Some(KEYS),
        _ => None,
    };
    let tensors: Vec<(String, QTensor)> = tensors()
        .into_iter()
        .map(|(known, shape, numbers)| {
            let name = name(&known);
            let numbers = match heads(&name) {
                Some(heads) => in_pairs(&numbers, heads),
                None => numbers,
            };
            (name, quantised(&shape, &numbers))
        })
        .collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, x)| (name.as_str(), x)).collect();
    let list =
        |value: fn(&(&str, f32, u32)) -> Value| Value::Array(PIECES.iter().map(value).collect());
    let count = |count: usize| Value::U32(count as u32);
    let said = [
        ("general.architecture", Value::String("llama".into())),
        ("llama.embedding_length", count(WIDTH)),
        ("llama.feed_forward_length", count(INNER)),
        ("llama.block_count", count(LAYERS)),
        ("llama.attention.head_count", count(HEADS)),
        ("llama.attention.head_count_kv", count(KEYS)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.context_length", count(POSITIONS)),
        ("llama.rope.dimension_count", count(COLUMNS)),
        ("tokenizer.ggml.model", Value::String("llama".into())),
        ("tokenizer.ggml.bos_token_id", count(1)),
        ("tokenizer.ggml.tokens", list(|(piece, ..)| Value::String((*piece).to_owned()))),
        ("tokenizer.ggml.scores", list(|(_, score, _)| Value::F32(*score))),
        ("tokenizer.ggml.token_type", list(|(.., kind)| Value::U32(*kind))),
    ];
    let said: Vec<(&str, &Value)> = said.iter().map(|(key, value)| (*key, value)).collect();
    let mut file = std::io::Cursor::new(Vec::new());
    gguf_file::write(&mut file, &said, &tensors).unwrap();
    file.into_inner()
}

/// Rows of heads as llama.cpp keeps them: those that turn together beside each other.
fn in_pairs(numbers: &[f32], heads: usize) -> Vec<f32> {
    let each = numbers.len() / heads / WIDTH;
    let row = |at: usize| numbers[at * WIDTH..(at + 1) * WIDTH].to_vec();
    let from = |at: usize| at / each * each + at % 2 * (each / 2) + at % each / 2;
    (0..heads * each).flat_map(|at| row(from(at))).collect()
}
