//! Llama: a frozen language model from a folder of Hugging Face or a file of llama.cpp, which says
//! how likely each token is after those before it. Never learns, and never has more of its weights
//! as f32 than those of one layer and its head.

mod blocks;
mod config;
#[cfg(test)]
pub(crate) mod example;
mod gguf;
mod network;
mod pieces;
#[cfg(test)]
mod tests;
mod tokens;
mod weights;

use super::encoder::{CONFIG, Folder, TOKENIZER, WEIGHTS};
use super::evaluate::surprise;
use super::kernel::Engine;
use super::{Fault, quote};
use crate::base::canon::Digest;
use config::Config;
use gguf::Gguf;
use network::Network;
use std::ops::Range;
use tokens::Tokens;
use weights::Weights;

/// Tokens that go through the network together: so many that the weights of a layer are worth
/// being made f32 for them.
const TOKENS_TOGETHER: usize = 2_048;
/// Rows of outputs that there are at once: each is as wide as the vocabulary.
const ROWS_AT_ONCE: usize = 64;
/// Bytes of one text: the tokenizer takes many times as much for it.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// A language model, ready to run. It borrows the bytes that it was read from.
pub struct Llama<'a> {
    digest: Digest,
    network: Network<'a>,
    tokens: Tokens,
}

/// Whether the artifact of a network is meant to be such a model, so that who reads it can say what
/// is wrong with it.
#[must_use]
pub fn is_meant(bytes: &[u8]) -> bool {
    let says = |folder: Folder<&[u8]>| {
        let config: serde_json::Value = serde_json::from_slice(folder.lent(CONFIG).ok()?).ok()?;
        let kinds: [&str; 2] = ["hidden_act", "model_type"];
        let [act, kind] = kinds.map(|key| config.get(key).and_then(|word| word.as_str()));
        Some(kind == Some("llama") || act == Some("silu"))
    };
    Gguf::is(bytes) || Folder::unpack(bytes).ok().and_then(says).unwrap_or(false)
}

/// How much of a text is seen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of a window.
    pub length: usize,
    /// Tokens from the beginning of one to that of the next: fewer than the length.
    pub stride: usize,
}

/// How hard texts were to foretell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Surprise {
    /// Minus the logarithms of the chances that were given to what came: their sum.
    pub nats: f64,
    /// Tokens that were foretold.
    pub tokens: u64,
    /// Texts that have such a token.
    pub texts: u64,
    /// Windows that were looked at.
    pub windows: u64,
}

/// A window of a text that waits to go through the network.
struct Waiting {
    seen: Vec<u32>,
    /// The tokens of it that count, which are not the first.
    counted: Range<usize>,
}

impl<'a> Llama<'a> {
    /// Reads the artifact of a model, a packed folder or the bytes of a GGUF file, and refuses
    /// everything else.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (config, weights, tokenizer) = if Gguf::is(bytes) {
            let file = Gguf::read(bytes)?;
            (file.config()?, file.weights()?, file.tokenizer()?)
        } else {
            let folder = Folder::unpack(bytes)?;
            let config = Config::read(&folder)?;
            let weights = Weights::read(folder.lent(WEIGHTS)?)?;
            (config, weights, folder.need(TOKENIZER)?.to_vec())
        };
        let tokens = Tokens::read(&tokenizer, config.vocabulary)?;
        let network = Network::read(config, &weights)?;
        Ok(Self { digest: Digest::of(bytes), network, tokens })
    }

    /// BLAKE3 of the artifact.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How hard the texts are to foretell, each by itself.
    ///
    /// Of a text of the tokens x₀ … xₙ, each but the first counts −ln p(xᵢ | what stands before it
    /// in the first window that has it).
    pub fn surprise<'b>(
        &self,
        engine: Engine,
        windows: Windows,
        texts: impl Iterator<Item = &'b str>,
    ) -> Result<Surprise, Fault> {
        let positions = self.network.positions();
        if windows.length > positions {
            let message =
                format!("`length: {}` is more than the model's {positions}", windows.length);
            return Err(Fault::new(message, format!("take at most {positions}")));
        }
        let head = self.network.head();
        let (mut sum, mut waiting, mut count) = (Surprise::default(), Vec::new(), 0);
        for (row, text) in texts.enumerate() {
            if text.len() > TEXT_BYTES_MAX {
                let message = format!("text {} has {} bytes", row + 1, text.len());
                let hint = format!("at most {TEXT_BYTES_MAX} together: take fewer rows");
                return Err(Fault::new(message, hint));
            }
            let tokens = self.tokens.of(text)?;
            sum.texts += u64::from(tokens.len() > 1);
            for (seen, counted) in windows.of(tokens.len()) {
                let seen = tokens.get(seen).unwrap_or_default().to_vec();
                count += seen.len();
                waiting.push(Waiting { seen, counted });
                if count >= TOKENS_TOGETHER {
                    self.add(engine, &head, std::mem::take(&mut waiting), &mut sum);
                    count = 0;
                }
            }
        }
        self.add(engine, &head, waiting, &mut sum);
        if sum.nats.is_finite() {
            Ok(sum)
        } else {
            Err(Fault::new(
                format!("model {} gives no number for some token", quote(&self.digest.short())),
                "its weights are damaged, or too large for f32",
            ))
        }
    }

    /// Counts the windows that wait.
    fn add(&self, engine: Engine, head: &[f32], waiting: Vec<Waiting>, sum: &mut Surprise) {
        let windows: Vec<&[u32]> = waiting.iter().map(|each| each.seen.as_slice()).collect();
        let vectors = self.network.forward(engine, &windows);
        let width = self.network.width();
        let (mut rows, mut came) = (Vec::new(), Vec::new());
        let mut rest = vectors.as_slice();
        for Waiting { seen, counted } in &waiting {
            let (own, others) = rest.split_at(seen.len() * width);
            rest = others;
            // What stands at a place speaks of the token after it.
            let before = counted.start.saturating_sub(1)..counted.end.saturating_sub(1);
            rows.extend_from_slice(
                own.get(before.start * width..before.end * width).unwrap_or_default(),
            );
            came.extend_from_slice(seen.get(counted.clone()).unwrap_or_default());
        }
        let vocabulary = self.network.vocabulary();
        for (rows, came) in rows.chunks(ROWS_AT_ONCE * width).zip(came.chunks(ROWS_AT_ONCE)) {
            let outputs = self.network.outputs(engine, head, rows);
            for (outputs, token) in outputs.chunks_exact(vocabulary).zip(came) {
                sum.nats += surprise(outputs, *token);
                sum.tokens += 1;
            }
        }
        sum.windows += waiting.len() as u64;
    }
}

impl Windows {
    /// The windows over so many tokens, each with those of its tokens that count. All but the first
    /// token of the text count once.
    fn of(self, tokens: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let (mut begin, mut counted) = (0usize, 1usize);
        std::iter::from_fn(move || {
            if counted >= tokens {
                return None;
            }
            let end = begin.saturating_add(self.length).min(tokens);
            let window = (begin..end, counted - begin..end - begin);
            counted = end;
            begin += self.stride;
            Some(window)
        })
    }
}
