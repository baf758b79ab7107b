//! What candle-transformers' Llama says of texts, beside which `uses: perplexity` stands:
//! `candle-llama MODEL IDS`, MODEL a folder of Hugging Face or a GGUF file, IDS the tokens of each
//! text as JSON (`tests/peers/llama.py` has a tokenizer). Each text is one window, token by token.
//! Prints JSON: tokens and the mean loss of one.

use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Config, Llama, LlamaConfig};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::path::PathBuf;

enum Model {
    Folder(Llama, Config),
    File(ModelWeights),
}

impl Model {
    /// Minus the logarithms of the chances of all tokens but the first: their sum.
    fn nats(&mut self, ids: &[u32]) -> Result<f64> {
        let mut cache = match self {
            Self::Folder(_, config) => Some(Cache::new(true, DType::F32, config, &Device::Cpu)?),
            Self::File(model) => {
                model.clear_kv_cache();
                None
            }
        };
        let mut nats = 0.0;
        for (place, pair) in ids.windows(2).enumerate() {
            let token = Tensor::new(&pair[..1], &Device::Cpu)?.unsqueeze(0)?;
            let outputs = match (&mut *self, &mut cache) {
                (Self::Folder(model, _), Some(cache)) => model.forward(&token, place, cache)?,
                (Self::File(model), _) => model.forward(&token, place)?,
                _ => unreachable!("a folder has a cache"),
            };
            let outputs: Vec<f32> = outputs.flatten_all()?.to_vec1()?;
            let all: f64 = outputs.iter().map(|x| f64::from(*x).exp()).sum();
            nats += all.ln() - f64::from(outputs[pair[1] as usize]);
        }
        Ok(nats)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (path, ids) = args.next().zip(args.next()).ok_or("candle-llama MODEL IDS")?;
    let mut model = if path.is_dir() {
        let config: LlamaConfig =
            serde_json::from_slice(&std::fs::read(path.join("config.json"))?)?;
        let config = config.into_config(false);
        let weights = std::fs::read(path.join("model.safetensors"))?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        Model::Folder(Llama::load(weights, &config)?, config)
    } else {
        let mut file = std::fs::File::open(path)?;
        let content = Content::read(&mut file)?;
        Model::File(ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?)
    };
    let texts: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(ids)?)?;
    let (mut nats, mut tokens) = (0.0, 0);
    for ids in &texts {
        nats += model.nats(ids)?;
        tokens += ids.len().saturating_sub(1);
    }
    let loss = nats / tokens as f64;
    println!("{}", serde_json::json!({ "peer": "candle-transformers", "tokens": tokens, "loss": loss }));
    Ok(())
}
