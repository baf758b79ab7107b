//! Pins that were made before: what a source was found to be, as long as nothing of it changes.
//! Never trusts a source that tells nothing of its state, and never says what a pin is.

use super::home::Home;
use crate::base::canon::{Canonical, Decode, Encode, canonical_struct};
use crate::domain::job::{ChunkTarget, Pin, Reading};
use crate::effects::sources::{Object, Source};
use crate::effects::{Peril, pass};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One record, in bytes: names of files and digests of chunks.
const PIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How the name of a record ends that is being written.
const DRAFT: &str = "new";

/// All that decides what a pin says, but for the bytes themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The program that asks: another one may read otherwise.
    pub(super) program: String,
    /// The folder that the address is relative to, where it is.
    pub(super) base: String,
    /// The address.
    pub(super) url: String,
    /// Who asks.
    pub(super) secret: Option<String>,
    /// How the bytes are read.
    pub(super) reading: Reading,
    /// The size of chunks, where a stage says so.
    pub(super) target: Option<ChunkTarget>,
}
canonical_struct!(Question { program, base, url, secret, reading, target } tag "ohc/question/1");

/// A pin, and the objects that it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    objects: Vec<Object>,
    pin: Pin,
}
canonical_struct!(Record { objects, pin } tag "ohc/pinned/1");

/// The pin of a source whose objects are what they were, if it is known.
pub(super) fn find(home: &Home, question: &Question, objects: &[Object]) -> Option<Pin> {
    let record = read(&place(home, question))?;
    let is_told = objects.iter().all(|object| object.mark.is_some());
    (is_told && record.objects == objects).then_some(record.pin)
}

/// The files of all pins that are remembered, and what they say; nothing where that is no pin, or
/// one whose writing did not come to its end.
pub(super) fn all(home: &Home) -> Vec<(PathBuf, Option<Pin>)> {
    let entries = fs::read_dir(home.pins()).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let said = |path: PathBuf| {
        let is_whole = path.extension().is_none_or(|end| end != DRAFT);
        let record = if is_whole { read(&path) } else { None };
        (path, record.map(|record| record.pin))
    };
    paths.into_iter().map(said).collect()
}

fn read(path: &Path) -> Option<Record> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(PIN_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Record::from_bytes(&bytes).ok()
}

/// Forgets the pin in a file: its source is read again.
pub(super) fn forget(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Remembers a pin. What cannot be remembered is read again: no reason to stop.
pub(super) fn keep(
    home: &Home,
    question: &Question,
    source: &Source,
    objects: &[Object],
    pin: &Pin,
) {
    let record = Record { objects: objects.to_vec(), pin: pin.clone() };
    // An error says that nothing is remembered, which is no error of the pin.
    drop(try_keep(&place(home, question), source, &record));
}

fn try_keep(path: &PathBuf, source: &Source, record: &Record) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(DRAFT);
    fs::write(&draft, record.to_bytes())?;
    pass(Peril::PinDrafted);
    if source.lay_still(&record.objects, &draft) {
        fs::rename(&draft, path)?;
        pass(Peril::PinKept);
        Ok(())
    } else {
        fs::remove_file(&draft)
    }
}

fn place(home: &Home, question: &Question) -> PathBuf {
    home.pins().join(question.digest().to_string())
}
