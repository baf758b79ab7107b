//! Generations: how much text a language model is to write, and how it chooses its words.
//! Never writes any.

use crate::base::canon::canonical_struct;

/// `uses: generate`: input `model`, perhaps `prompts` (a table with a column `text`); outputs
/// `table` and `text`.
#[derive(Clone, PartialEq, Debug)]
pub struct Generate {
    /// What the model goes on from, where there is no input `prompts`.
    pub prompt: String,
    /// How many texts are written of each prompt.
    pub samples: u32,
    /// Tokens of each text, at the most.
    pub tokens: u32,
    /// What the outputs are divided by: below 1 the likely tokens become likelier; 0 always takes
    /// the likeliest.
    pub temperature: f64,
    /// Only so many of the likeliest tokens are chosen from; `None` chooses from all.
    pub top_k: Option<u32>,
    /// Whether a text ends with the first new line.
    pub line: bool,
    /// Seed of the lots.
    pub seed: u64,
}
canonical_struct!(Generate { prompt, samples, tokens, temperature, top_k, line, seed });

impl Generate {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("prompt", self.prompt != other.prompt),
            ("samples", self.samples != other.samples),
            ("tokens", self.tokens != other.tokens),
            ("temperature", self.temperature != other.temperature),
            ("topK", self.top_k != other.top_k),
            ("line", self.line != other.line),
            ("seed", self.seed != other.seed),
        ]
    }
}
