//! What lies in the folder of an output: whether it is what the card beside it says, and what a log
//! knows of it. Never writes, and never believes a card without the bytes.

use crate::base::canon::Digest;
use crate::base::limits::{ARTIFACT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::domain::state::State;
use crate::domain::state::run::Known;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What tells how an output came to be, in its folder.
pub const CARD: &str = "card.json";
/// Bytes of a card.
const CARD_BYTES_MAX: u64 = 4 << 20;
/// By how much of itself a number may be off that has been text.
const ROUNDING: f64 = 1e-12;

/// A file is not what the card beside it says.
#[derive(Debug, thiserror::Error)]
pub enum Altered {
    /// Its bytes are others.
    #[error(
        "{} is not what was published: its digest is {}, and that of its card {}; hint: delete it, \
         and `ohc apply` writes it again from the store", .file.display(), .found.short(),
        .said.short()
    )]
    Bytes {
        /// The file.
        file: PathBuf,
        /// What it is.
        found: Digest,
        /// What it was.
        said: Digest,
    },
    /// The card is none.
    #[error(
        "{} is damaged: {what}; hint: delete it, and `ohc apply` writes it again; without a card \
         nothing says what the files beside it should be", .card.display()
    )]
    Card {
        /// The card.
        card: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Why nothing can be said of an output.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no card.
    #[error("cannot read {}: {source}; hint: name the folder of an output, where `ohc apply` wrote \
        a card.json", .path.display())]
    NoCard {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file that the card is about cannot be read.
    #[error("cannot read {}: {source}; hint: `ohc apply` writes it again", .path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something is not what it should be.
    #[error(transparent)]
    Altered(#[from] Altered),
}

/// What a card says of its output.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// The name of the file.
    pub file: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// That of what the job gave.
    pub artifact: Digest,
    /// The key of the job.
    pub key: Digest,
    /// The network that settled it.
    pub network: Digest,
    /// What was measured, by name.
    metrics: Vec<(String, f64)>,
}

impl Card {
    /// Reads a card; none if it is one of something else.
    fn read(path: &Path, bytes: &[u8]) -> Result<Option<Self>, Altered> {
        let damaged = |what| Altered::Card { card: path.to_owned(), what };
        let card: Value = serde_json::from_slice(bytes).map_err(|_| damaged("it is no JSON"))?;
        if card.get("kind").and_then(Value::as_str) != Some("Card") {
            return Ok(None);
        }
        let digest = |at: &str| {
            let text = card.pointer(at).and_then(Value::as_str);
            text.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("it lacks a digest"))
        };
        let file = card.get("file").and_then(Value::as_str).unwrap_or_default();
        let is_plain = Path::new(file).file_name().is_some_and(|name| name == file);
        if !is_plain || file.len() > TEXT_BYTES_MAX {
            return Err(damaged("it names no file"));
        }
        let metrics = card.get("metrics").and_then(Value::as_object).into_iter().flatten();
        let metrics = metrics.map(|(name, value)| (name.clone(), value.as_f64()));
        Ok(Some(Self {
            file: file.to_owned(),
            digest: digest("/digest")?,
            artifact: digest("/artifact")?,
            key: digest("/provenance/jobKey")?,
            network: digest("/provenance/network")?,
            metrics: metrics.map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect(),
        }))
    }

    /// Whether it says of its measures what the log does.
    fn measures_as(&self, known: &Known) -> bool {
        let same = |(name, value): &(String, f64)| {
            let said = self.metrics.iter().find(|(each, _)| each == name);
            said.is_some_and(|(_, said)| (said - value).abs() <= ROUNDING * value.abs())
        };
        self.metrics.len() == known.metrics.len() && known.metrics.iter().all(same)
    }

    /// The result that it is about, in a log that has it.
    #[must_use]
    pub fn find(&self, state: &State) -> Found {
        if state.network().0 != self.network {
            return Found::Elsewhere;
        }
        let runs = state.runs().values().flat_map(|run| run.results.iter().flatten());
        let mut all = state.results().chain(runs.map(AsRef::as_ref));
        match all.find(|known| known.key == self.key && known.outputs.contains(&self.artifact)) {
            None => Found::Unknown,
            Some(known) if !self.measures_as(known) => Found::Measures,
            Some(known) => Found::Settled(Box::new(known.clone())),
        }
    }
}

/// What a log knows of an output.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It is of another network.
    Elsewhere,
    /// It is of this network, which never settled it.
    Unknown,
    /// It is settled, but other numbers were measured.
    Measures,
    /// It is settled.
    Settled(Box<Known>),
}

/// A file that lies beside a card which is about it is what the card says.
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), Altered> {
    let beside = path.with_file_name(CARD);
    // A model that was moved has no card, and one that cannot be opened says nothing.
    let Ok(text) = read(&beside, CARD_BYTES_MAX) else { return Ok(()) };
    match Card::read(&beside, &text)? {
        Some(card) if path.file_name().is_some_and(|name| name == card.file.as_str()) => {
            agree(path, &card, Digest::of(bytes))
        }
        _ => Ok(()),
    }
}

fn agree(path: &Path, card: &Card, found: Digest) -> Result<(), Altered> {
    if found == card.digest {
        return Ok(());
    }
    Err(Altered::Bytes { file: path.to_owned(), found, said: card.digest })
}

/// The card of an output, by its folder or a file in it, and its file, which is what it says.
pub fn output(path: &Path) -> Result<(Card, PathBuf), VerifyError> {
    let beside = if path.is_dir() { path.join(CARD) } else { path.with_file_name(CARD) };
    let unread = |source| VerifyError::NoCard { path: beside.clone(), source };
    let text = read(&beside, CARD_BYTES_MAX).map_err(unread)?;
    let other = || Altered::Card { card: beside.clone(), what: "it is no card of an output" };
    let card = Card::read(&beside, &text)?.ok_or_else(other)?;
    let file = beside.with_file_name(&card.file);
    let unread = |source| VerifyError::NoFile { path: file.clone(), source };
    let bytes = read(&file, ARTIFACT_BYTES_MAX as u64 + 1).map_err(unread)?;
    agree(&file, &card, Digest::of(&bytes))?;
    Ok((card, file))
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
