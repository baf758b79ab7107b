//! Generation: text of a language model, token by token.
//! Never chooses by anything but what the model says and a Philox stream of the job's seed.

use super::evaluate::largest;
use super::exact;
use super::kernel::philox::{Philox, purpose};
use super::model::Memory;
use super::predictor::Predictor;
use super::recipe::{table_of, texts};
use super::table::Table;
use super::tokenizer::{Decoder, Tokenizer};
use super::{Fault, quote};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::{Generate, Task};
use arrow_array::{ArrayRef, StringArray};
use std::sync::Arc;

/// The column of a prompt, and of what was written.
const PROMPT: &str = "prompt";
const TEXT: &str = "text";
/// What stands between two texts of the file.
const BETWEEN: &str = "\n---\n";

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The columns `prompt` and `text`: a row for each text.
    pub table: Table,
    /// All texts with their prompts, one after the other.
    pub text: String,
    /// How many tokens were written.
    pub tokens: u64,
}

/// Writes what a spec asks for; `prompts` is a table with the column `text`.
pub fn run(spec: &Generate, model: &Predictor, prompts: Option<&Table>) -> Result<Written, Fault> {
    let prompts = match prompts {
        None => vec![spec.prompt.clone()],
        Some(table) => {
            let cells = texts(TEXT, table.column(TEXT)?)?;
            cells.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
        }
    };
    let (mut before, mut behind, mut whole, mut tokens) =
        (Vec::new(), Vec::new(), String::new(), 0);
    let mut stream = 0u32;
    for prompt in &prompts {
        for _ in 0..spec.samples.max(1) {
            let mut writer = Writer::new(model, prompt, Choice::of(spec), (spec.seed, stream))?;
            let mut bytes = Vec::new();
            for _ in 0..spec.tokens {
                let token = writer.token()?;
                tokens += 1;
                bytes.extend_from_slice(writer.bytes(token));
                if spec.line && bytes.contains(&b'\n') {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = if spec.line { text.lines().next().unwrap_or_default() } else { &text };
            if stream > 0 {
                whole.push_str(BETWEEN);
            }
            whole.push_str(prompt);
            whole.push_str(text);
            if whole.len() > ARTIFACT_BYTES_MAX / 2 {
                return Err(Fault::new("this is too much text", "ask for fewer samples"));
            }
            before.push(prompt.clone());
            behind.push(text.to_owned());
            stream = stream.saturating_add(1);
        }
    }
    let column = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let columns = vec![(PROMPT.to_owned(), column(before)), (TEXT.to_owned(), column(behind))];
    whole.push('\n');
    Ok(Written { table: table_of(columns)?, text: whole, tokens })
}

/// A text under way.
#[derive(Debug)]
pub struct Writer<'a> {
    model: &'a Predictor,
    /// The last tokens: as many as the model sees at once.
    seen: Vec<u32>,
    /// What the model remembers of them, as long as it has seen all that there are.
    memory: Memory,
    choice: Choice,
    dice: Philox,
    written: u64,
    decoder: Decoder,
}

impl<'a> Writer<'a> {
    /// A text that goes on from a prompt. The lots follow from a seed and the number of the text.
    pub fn new(
        model: &'a Predictor,
        prompt: &str,
        choice: Choice,
        (seed, stream): (u64, u32),
    ) -> Result<Self, Fault> {
        let tokenizer = tokenizer(model)?;
        let mut seen = Vec::new();
        tokenizer.encoder().encode(prompt, &mut seen);
        if seen.is_empty() {
            return Err(Fault::new(
                format!("{} is no prompt to go on from", quote(prompt)),
                "give it at least one character",
            ));
        }
        let dice = Philox::new(seed, purpose::GENERATE, stream);
        let decoder = tokenizer.decoder();
        Ok(Self { model, seen, memory: Memory::default(), choice, dice, written: 0, decoder })
    }

    /// Writes one more token.
    pub fn token(&mut self) -> Result<u32, Fault> {
        let outputs = self.outputs()?;
        if outputs.is_empty() || outputs.iter().any(|x| !x.is_finite()) {
            return Err(Fault::new(
                "the model does not give a finite number for every token",
                "its training went astray: lower the learning rate, or clip the gradient",
            ));
        }
        let token = self.choice.token(&outputs, self.dice.uniform(self.written));
        self.written += 1;
        self.seen.push(token);
        Ok(token)
    }

    /// What the model says of the next token.
    fn outputs(&mut self) -> Result<Vec<f32>, Fault> {
        let context = self.model.width();
        if self.seen.len() <= context {
            let fresh = self.seen.get(self.memory.tokens()..).unwrap_or_default();
            return self.model.go_on(fresh, &mut self.memory);
        }
        // Every token has moved by one place: what was remembered of them holds no more.
        self.seen.drain(..self.seen.len() - context);
        let row: Vec<f32> = self.seen.iter().map(|token| *token as f32).collect();
        let mut outputs = self.model.raw_outputs(&row, 1)?;
        outputs.drain(..outputs.len().saturating_sub(self.model.tokens()));
        Ok(outputs)
    }

    /// The bytes of a token: perhaps only a part of a character.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.decoder.bytes(token)
    }
}

/// The vocabulary of a language model.
fn tokenizer(model: &Predictor) -> Result<&Tokenizer, Fault> {
    if model.task() != Task::Language {
        return Err(Fault::new(
            format!("a model for {} does not write", model.task().word()),
            "train one with `task: language`",
        ));
    }
    let tokenizer = model.recipe().tokenizer().filter(|known| known.size() == model.tokens());
    tokenizer.ok_or_else(|| {
        Fault::new(
            "the model was trained on tokens without a vocabulary",
            "train it on the table of a `uses: tokenize`, which travels with it",
        )
    })
}

/// How a token is chosen from what a model says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// What the outputs are divided by; 0 takes the largest.
    pub temperature: f64,
    /// Only so many of the largest are chosen from; all if there is none.
    pub top_k: Option<u32>,
}

impl Choice {
    /// That of a spec.
    #[must_use]
    pub const fn of(spec: &Generate) -> Self {
        Self { temperature: spec.temperature, top_k: spec.top_k }
    }

    /// The token that a lot from 0 to 1 falls on: outputs in their order, each as wide as it is
    /// likely. Of equal outputs the first is the largest.
    #[must_use]
    pub fn token(&self, outputs: &[f32], lot: f32) -> u32 {
        if self.temperature <= 0.0 {
            return largest(outputs);
        }
        let most = f64::from(outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let kept = self.kept(outputs);
        let each: Vec<f64> = outputs
            .iter()
            .zip(kept)
            .map(|(x, is_kept)| match is_kept {
                true => exact::exp_of_nonpositive((f64::from(*x) - most) / self.temperature),
                false => 0.0,
            })
            .collect();
        let total: f64 = each.iter().sum();
        let mut left = f64::from(lot) * total;
        let mut chosen = largest(outputs);
        for (token, width) in (0u32..).zip(each) {
            if width > 0.0 {
                chosen = token;
                left -= width;
                if left < 0.0 {
                    break;
                }
            }
        }
        chosen
    }

    /// Which of the outputs are among the largest.
    fn kept(&self, outputs: &[f32]) -> Vec<bool> {
        let Some(count) = self.top_k.map(|k| k as usize).filter(|k| *k < outputs.len()) else {
            return vec![true; outputs.len()];
        };
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        let at = |place: &usize| outputs.get(*place).copied().unwrap_or(f32::NEG_INFINITY);
        // Stable: of equals, the first.
        order.sort_by(|a, b| at(b).total_cmp(&at(a)));
        let mut kept = vec![false; outputs.len()];
        for place in order.into_iter().take(count.max(1)) {
            kept.get_mut(place).into_iter().for_each(|kept| *kept = true);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;
    use proptest::prelude::*;

    fn choice(temperature: f64, top_k: Option<u32>) -> Choice {
        Choice { temperature, top_k }
    }

    #[test]
    fn tokens_are_chosen_as_often_as_they_are_likely() {
        // Probabilities 0.5, 0.25, 0.25.
        let outputs = [2f32.ln(), 0.0, 0.0];
        let dice = Philox::new(1, 2, 3);
        let mut counts = [0u32; 3];
        for i in 0..10_000 {
            counts[choice(1.0, None).token(&outputs, dice.uniform(i)) as usize] += 1;
        }
        for (count, want) in counts.into_iter().zip([5_000u32, 2_500, 2_500]) {
            assert!(count.abs_diff(want) < 150, "{counts:?}");
        }
        let token = |lot| choice(1.0, None).token(&outputs, lot);
        assert_eq!([token(0.0), token(0.49), token(0.51), token(0.76)], [0, 0, 1, 2]);
    }

    #[test]
    fn few_are_chosen_from_and_without_warmth_only_the_largest() {
        let outputs = [1.0, 3.0, 2.0, 3.0];
        let all = |choice: Choice| -> std::collections::BTreeSet<u32> {
            (0..1_000).map(|i| choice.token(&outputs, i as f32 / 1_000.0)).collect()
        };
        assert_eq!(all(choice(1.0, None)), [0, 1, 2, 3].into());
        assert_eq!(all(choice(1.0, Some(3))), [1, 2, 3].into());
        assert_eq!(all(choice(9.0, Some(2))), [1, 3].into());
        assert_eq!(all(choice(1.0, Some(1))), [1].into());
        assert_eq!(all(choice(0.0, None)), [1].into());
        assert_eq!(all(choice(1e-9, None)), [1, 3].into());
    }

    proptest! {
        #[test]
        fn there_is_always_a_token_and_it_is_one_of_the_outputs(
            outputs in proptest::collection::vec(-1e30f32..1e30, 1..40), lot in 0f32..1.0,
            temperature in 0f64..100.0, top_k in proptest::option::of(1u32..50),
        ) {
            let token = choice(temperature, top_k).token(&outputs, lot) as usize;
            prop_assert!(token < outputs.len());
            let larger = outputs.iter().filter(|x| **x > outputs[token]).count();
            prop_assert!(top_k.is_none_or(|k| larger < k as usize));
        }
    }
}
