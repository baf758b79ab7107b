//! Text that a model writes outside any network, as it is written.
//! Never hands on half a character, and nothing that a terminal would obey.

use super::predict::PredictError;
use crate::compute::Fault;
pub use crate::compute::generate::Choice;
use crate::compute::generate::Writer;
use crate::compute::predictor::Predictor;
use std::io;

/// How a text is to be written.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it goes on from.
    pub prompt: String,
    /// Tokens at the most.
    pub tokens: u32,
    /// How they are chosen.
    pub choice: Choice,
    /// Whether it ends with the first new line.
    pub line: bool,
    /// Seed of the lots.
    pub seed: u64,
}

/// Why nothing more is written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The model cannot be read.
    #[error(transparent)]
    NoModel(#[from] PredictError),
    /// It does not write.
    #[error("{fault}; hint: {}", .fault.hint)]
    Mute {
        /// Why.
        fault: Fault,
    },
    /// Nobody reads on.
    #[error(transparent)]
    Taken(#[from] io::Error),
}

/// Writes the prompt and what follows it, in pieces as they come.
pub fn run(
    request: &Request,
    model: &Predictor,
    take: &mut dyn FnMut(&str) -> io::Result<()>,
) -> Result<(), GenerateError> {
    let Request { prompt, tokens, choice, line, seed } = request;
    let mut writer = Writer::new(model, prompt, *choice, (*seed, 0)).map_err(mute)?;
    take(&plain(prompt))?;
    let mut pending: Vec<u8> = Vec::new();
    for _ in 0..*tokens {
        let token = writer.token().map_err(mute)?;
        let bytes = writer.bytes(token);
        match bytes.iter().position(|byte| *byte == b'\n').filter(|_| *line) {
            Some(end) => {
                pending.extend(bytes.iter().take(end));
                break;
            }
            None => pending.extend_from_slice(bytes),
        }
        let (whole, rest) = whole(&pending);
        if !whole.is_empty() {
            take(&plain(&whole))?;
        }
        pending = rest;
    }
    take(&plain(&String::from_utf8_lossy(&pending)))?;
    take("\n")?;
    Ok(())
}

fn mute(fault: Fault) -> GenerateError {
    GenerateError::Mute { fault }
}

/// The whole characters of some bytes, and what may be the beginning of another.
fn whole(bytes: &[u8]) -> (String, Vec<u8>) {
    let mut text = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                rest = &[];
            }
            Err(error) => {
                let (valid, behind) =
                    rest.split_at_checked(error.valid_up_to()).unwrap_or_default();
                text.push_str(&String::from_utf8_lossy(valid));
                let Some(wrong) = error.error_len() else { return (text, behind.to_vec()) };
                text.push(char::REPLACEMENT_CHARACTER);
                rest = behind.get(wrong..).unwrap_or_default();
            }
        }
    }
    (text, Vec::new())
}

/// Text without anything that a terminal would obey.
fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_handed_on_whole_and_broken_ones_are_marked() {
        assert_eq!(whole("aé".as_bytes()), ("aé".into(), vec![]));
        assert_eq!(whole(b"a\xC3"), ("a".into(), vec![0xC3]));
        assert_eq!(whole(b"a\xC3b\xFF\xE7\x8C"), ("a\u{FFFD}b\u{FFFD}".into(), vec![0xE7, 0x8C]));
        assert_eq!(plain("a\u{1b}[2J\nb\tc"), "a\u{FFFD}[2J\nb\tc");
    }
}
