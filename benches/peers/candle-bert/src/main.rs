//! Sentences per second of candle-transformers' `BertModel` on a CPU, beside which `ohc bench embed`
//! stands: `RAYON_NUM_THREADS=1 candle-bert FOLDER`. Sentences are those of `ohc bench embed`, sorted
//! by length, in batches of 32, padded and masked, as `benches/peers/bert.py` has them; the allocator
//! is ohc's. Prints JSON: the median of five turns.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use std::path::PathBuf;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 32;
const SENTENCES: usize = 256;
const TURNS: usize = 5;

fn turn(model: &BertModel, sentences: &[Vec<u32>]) -> Result<f64> {
    let begin = Instant::now();
    for batch in sentences.chunks(BATCH) {
        let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for sentence in batch {
            let padding = longest - sentence.len();
            ids.extend(sentence.iter().copied().chain(std::iter::repeat_n(0, padding)));
            mask.extend(std::iter::repeat_n(1u32, sentence.len()));
            mask.extend(std::iter::repeat_n(0, padding));
        }
        let shape = (batch.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let tokens = model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let mean = tokens.broadcast_mul(&mask)?.sum(1)?.broadcast_div(&mask.sum(1)?)?;
        let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec2::<f32>()?;
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("candle-bert FOLDER")?);
    let config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    let weights = std::fs::read(folder.join("model.safetensors"))?;
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
    let model = BertModel::load(weights, &config)?;
    let sentence = |i: usize| {
        let words = (0..4 + i * 7 % 29).map(|j| 2000 + ((i + j) % 977) as u32);
        std::iter::once(101).chain(words).chain([102]).collect::<Vec<u32>>()
    };
    let mut sentences: Vec<Vec<u32>> = (0..SENTENCES).map(sentence).collect();
    sentences.sort_by_key(Vec::len);
    turn(&model, &sentences)?;
    let mut seconds = (0..TURNS).map(|_| turn(&model, &sentences)).collect::<Result<Vec<_>>>()?;
    seconds.sort_by(f64::total_cmp);
    let rate = SENTENCES as f64 / seconds[TURNS / 2];
    println!("{}", serde_json::json!({ "peer": "candle-transformers", "sentences/s": rate }));
    Ok(())
}
