//! How many sentences an encoder turns into vectors in a second.
//! Never measures what a tokenizer of another takes: words are such that each is one token.

use super::{BenchError, Clock, Measurement, detail};
use crate::compute::encoder::Settings;
use crate::compute::kernel::Engine;
use crate::domain::job::Pooling;
use crate::node::predict;
use std::path::Path;

/// Sentences of one turn: 4 to 32 words, 18 of them on average.
const SENTENCES: usize = 256;
/// Turns, of which the median counts.
const TURNS: usize = 5;
/// Words that the vocabularies of all encoders have whole.
const WORDS: [&str; 16] = [
    "the", "house", "of", "my", "old", "friend", "was", "near", "a", "river", "and", "we", "often",
    "went", "there", "together",
];

fn sentence(number: usize) -> String {
    let words = WORDS.iter().cycle().skip(number % WORDS.len()).take(4 + number * 7 % 29);
    words.copied().collect::<Vec<_>>().join(" ")
}

/// Sentences per second of an encoder in one thread, tokens included; `detail` has two threads.
pub fn embed(folder: Option<&Path>) -> Result<Measurement, BenchError> {
    let encoder = predict::encoder(folder.ok_or(BenchError::NoEncoder)?)?;
    let sentences: Vec<String> = (0..SENTENCES).map(sentence).collect();
    let settings = Settings { length: 128, pooling: Pooling::Mean, normalize: true };
    let rate = |threads| {
        let turn = || -> Result<f64, BenchError> {
            let (clock, texts) = (Clock::start(), sentences.iter().map(|text| Some(text.as_str())));
            encoder.encode(Engine::new(threads), settings, texts)?;
            Ok(clock.seconds())
        };
        turn()?;
        let mut seconds = (0..TURNS).map(|_| turn()).collect::<Result<Vec<f64>, _>>()?;
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(TURNS / 2).copied().unwrap_or(f64::NAN);
        Ok::<f64, BenchError>(SENTENCES as f64 / median)
    };
    let (one, two) = (rate(1)?, rate(2)?);
    let detail =
        detail(&[("byTwo", two), ("sentences", SENTENCES as f64), ("turns", TURNS as f64)]);
    Ok(Measurement { name: "embed", value: one, unit: "sentences/s", baseline: None, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_four_to_thirty_two_words() {
        let lengths = (0..SENTENCES).map(|i| sentence(i).split(' ').count());
        assert_eq!(lengths.clone().min(), Some(4));
        assert_eq!(lengths.max(), Some(32));
    }

    #[test]
    fn a_number_comes_of_a_folder_alone() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/data/small-bert");
        // It has fewer positions than are asked for, which are enough for these sentences.
        assert!(embed(Some(&folder)).is_ok_and(|measured| measured.value > 0.0));
        assert!(matches!(embed(None), Err(BenchError::NoEncoder)));
    }
}
