//! Encoders: a frozen BERT from a folder of Hugging Face, which turns a text into numbers.
//! Never learns, never pads, and gives a text the same bits whatever other texts stand beside it.

mod bounds;
mod config;
#[cfg(test)]
pub(crate) mod example;
mod folder;
mod network;
#[cfg(test)]
mod tests;
mod tokens;
mod weights;

pub(in crate::compute) use bounds::{guarded, tokenizer, wrong};
pub(in crate::compute) use config::json;
pub(in crate::compute) use folder::{CONFIG, TOKENIZER, WEIGHTS};
pub use folder::{Folder, PARTS, is_part};
pub(in crate::compute) use weights::half;

use super::Fault;
use super::kernel::{Engine, reduce};
use super::memory;
use crate::base::canon::Digest;
use crate::domain::job::{Embed, Pooling};
use candle_core::Device;
use config::{Config, Habits};
use network::Network;
use tokens::{Token, Tokens};
use weights::Weights;

/// Tokens that go through the network together: so many that weights are read for more than a few
/// of them, so few that what lies between two layers stays in a cache.
const TOKENS_TOGETHER: usize = 512;
/// The same where candle's operations run: so many that texts of about one length meet.
const TOKENS_TOGETHER_FAST: usize = 65_536;
/// A vector is divided by its length or, if that is less, by this.
const NORM_MIN: f32 = 1e-12;

/// An encoder, ready to run.
pub struct Encoder {
    digest: Digest,
    config: Config,
    habits: Habits,
    tokenizer: Vec<u8>,
    network: Network,
}

/// How texts are encoded: what a stage says, and where it says nothing what the folder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Tokens of a text at the most.
    pub length: usize,
    /// How tokens become one vector.
    pub pooling: Pooling,
    /// Whether the vector is divided by its length.
    pub normalize: bool,
}

impl Encoder {
    /// Reads the artifact of an encoder and refuses everything else.
    pub fn from_bytes(packed: &[u8]) -> Result<Self, Fault> {
        let folder = Folder::unpack(packed)?;
        let config = Config::read(&folder)?;
        let habits = Habits::read(&folder)?;
        let weights = Weights::read(folder.need(folder::WEIGHTS)?)?;
        let network = Network::read(&config, &weights)?;
        let tokenizer = folder.need(folder::TOKENIZER)?.to_vec();
        let encoder = Self { digest: Digest::of(packed), config, habits, tokenizer, network };
        encoder.tokens(encoder.longest())?;
        Ok(encoder)
    }

    /// BLAKE3 of the artifact.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many numbers a text becomes.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.network.width()
    }

    /// Tokens of a text where a stage says nothing of it.
    fn longest(&self) -> usize {
        self.habits.length.unwrap_or(usize::MAX).clamp(3, self.config.positions)
    }

    fn tokens(&self, length: usize) -> Result<Tokens, Fault> {
        let known = (self.config.vocabulary, self.config.kinds);
        Tokens::read(&self.tokenizer, length, known, self.habits.lower_case)
    }

    /// How a stage has texts encoded.
    pub fn settings(&self, embed: &Embed) -> Result<Settings, Fault> {
        let length = embed.length.map_or(self.longest(), |length| length as usize);
        if length > self.config.positions {
            let most = self.config.positions;
            let message = format!("`length: {length}` is more than the encoder's {most} positions");
            return Err(Fault::new(message, format!("take at most {most}")));
        }
        let pooling = match (embed.pooling, self.habits.pooling) {
            (Some(pooling), _) | (None, Some(Ok(pooling))) => pooling,
            (None, None) => Pooling::Mean,
            (None, Some(Err(word))) => {
                let message = format!("the encoder's pooling is {word}, which is not run");
                return Err(Fault::new(message, "say `pooling: mean` or `pooling: cls`"));
            }
        };
        let normalize = embed.normalize.unwrap_or(self.habits.normalize);
        Ok(Settings { length, pooling, normalize })
    }

    /// The vectors of texts, one below the other; zeros where there is none.
    pub fn encode<'a>(
        &self,
        engine: Engine,
        settings: Settings,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<f32>, Fault> {
        let forward = |texts: &[Vec<Token>]| Ok(self.network.forward(engine, texts));
        self.encode_by(Pass { engine, together: TOKENS_TOGETHER, forward }, settings, texts)
    }

    /// About the same vectors, in candle's own operations on a device.
    pub fn encode_fast<'a>(
        &self,
        device: &Device,
        settings: Settings,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<f32>, Fault> {
        memory::room(self.network.bytes())?;
        let network = self.network.on(device).map_err(unfit)?;
        let forward = |texts: &[Vec<Token>]| network.forward(texts).map_err(unfit);
        let pass = Pass { engine: Engine::default(), together: TOKENS_TOGETHER_FAST, forward };
        self.encode_by(pass, settings, texts)
    }

    fn encode_by<'a>(
        &self,
        pass: Pass<impl Fn(&[Vec<Token>]) -> Result<Vec<f32>, Fault>>,
        settings: Settings,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Vec<f32>, Fault> {
        // There is nothing to add to a token beyond the last position.
        let tokens = self.tokens(settings.length.min(self.config.positions))?;
        let (mut vectors, mut waiting) = (Vec::new(), Waiting::default());
        for (row, text) in texts.enumerate() {
            vectors.resize((row + 1) * self.width(), 0.0);
            let Some(text) = text else { continue };
            waiting.add(row, tokens.of(text)?);
            if waiting.tokens >= pass.together {
                self.run(&pass, settings, std::mem::take(&mut waiting), &mut vectors)?;
            }
        }
        self.run(&pass, settings, waiting, &mut vectors)?;
        Ok(vectors)
    }

    /// The vectors of the texts that wait, into their rows.
    fn run(
        &self,
        pass: &Pass<impl Fn(&[Vec<Token>]) -> Result<Vec<f32>, Fault>>,
        settings: Settings,
        waiting: Waiting,
        vectors: &mut [f32],
    ) -> Result<(), Fault> {
        memory::check()?;
        let width = self.width();
        let tokens = (pass.forward)(&waiting.texts)?;
        let mut rest = tokens.as_slice();
        for (text, row) in waiting.texts.iter().zip(waiting.rows) {
            let (own, others) = rest.split_at(text.len() * width);
            rest = others;
            let Some(vector) = vectors.chunks_exact_mut(width).nth(row) else { continue };
            pool(pass.engine, settings, own, vector);
            if !vector.iter().all(|x| x.is_finite()) {
                return Err(Fault::new(
                    format!("the encoder gives no number for the text of row {}", row + 1),
                    "its weights are damaged, or too large for f32",
                ));
            }
        }
        Ok(())
    }
}

/// How tokens go through the network: so many of them at a time, and what follows by this engine.
struct Pass<F> {
    engine: Engine,
    together: usize,
    forward: F,
}

/// Candle's words may hold addresses and backtraces; a fault has the same words everywhere.
fn unfit(_: candle_core::Error) -> Fault {
    let hint = "this is a fault of ohc, not of the manifest: please report it";
    Fault::new("the tensors of the encoder do not fit together", hint)
}

/// Texts that are to go through the network together.
#[derive(Default)]
struct Waiting {
    rows: Vec<usize>,
    texts: Vec<Vec<Token>>,
    tokens: usize,
}

impl Waiting {
    fn add(&mut self, row: usize, text: Vec<Token>) {
        self.tokens += text.len();
        self.rows.push(row);
        self.texts.push(text);
    }
}

/// The one vector of the tokens of a text.
fn pool(engine: Engine, settings: Settings, tokens: &[f32], vector: &mut [f32]) {
    let width = vector.len();
    match settings.pooling {
        Pooling::Cls => vector.iter_mut().zip(tokens).for_each(|(x, token)| *x = *token),
        Pooling::Mean => {
            reduce::column_sums(engine, tokens, vector);
            let count = (tokens.len() / width) as f32;
            vector.iter_mut().for_each(|x| *x /= count);
        }
    }
    if settings.normalize {
        let length = reduce::dot(engine.isa, vector, vector).sqrt();
        let length = if length < NORM_MIN { NORM_MIN } else { length };
        vector.iter_mut().for_each(|x| *x /= length);
    }
}
