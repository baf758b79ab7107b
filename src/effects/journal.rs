//! Run journals: what jobs said while they ran and what became of them, as lines of JSON for
//! people. Never truth: no rule reads one, and whoever deletes one loses nothing else.
//!
//! A line is whole once it ends in a line break; one that a crash has torn is skipped. The process
//! that writes a journal holds a lock on it, so that readers know whether more is to come.

use super::{Peril, pass};
use crate::base::canon::{Decode, Encode};
use crate::base::ids::RunId;
use crate::base::limits::JOURNAL_LINE_BYTES_MAX;
use crate::domain::event::Event;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the lines that are written here.
pub const VERSION: u32 = 1;

/// A reader that looks whether somebody writes holds the lock for a moment.
const LOCK_TRIES: u32 = 50;
/// How long the writer waits for it at a time.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Milliseconds since 1970, by the clock of the machine that wrote it.
    pub at: u64,
    /// What was to be said.
    pub entry: Entry,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// A process began to write, or went on where another one stopped.
    Opened {
        /// The version of the lines that follow.
        version: u32,
        /// The run.
        run: String,
        /// What its manifest calls it.
        pipeline: String,
    },
    /// The fold derived an event.
    Folded {
        /// The event, in its canonical bytes.
        #[serde(with = "canonical")]
        event: Event,
        /// The name of the block that it is about, if it is about one.
        block: Option<String>,
        /// The addresses of the jobs that it names.
        jobs: BTreeMap<u32, String>,
    },
    /// A worker began a job.
    Began {
        /// Under which lease.
        lease: String,
        /// `stage` or `stage@instance`.
        stage: String,
        /// The worker's key.
        worker: String,
    },
    /// A job came so far.
    Step {
        /// `stage` or `stage@instance`.
        stage: String,
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// The training loss, where there is one.
        loss: Option<f32>,
        /// The learning rate, where there is one.
        rate: Option<f32>,
        /// Rows that have been worked on; 0 where rows mean nothing.
        rows: u64,
    },
    /// What a job measured is settled.
    Measured {
        /// `stage` or `stage@instance`.
        stage: String,
        /// Measures by name; none where the value is not a number.
        metrics: Vec<(String, Option<f64>)>,
    },
    /// An output lies in its folder.
    Published {
        /// Its name in the manifest.
        output: String,
        /// Where it lies.
        file: String,
        /// The digest of its bytes.
        digest: String,
    },
    /// The journal has all the bytes that it may have: of what follows only the end is written.
    Full {},
}

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("cannot {what} the journal {}: {source}; hint: check the folder and its permissions; \
        a journal may be deleted, nothing depends on it", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A later version of this program wrote it.
    #[error("the journal {} has version {version}, which this program does not read; hint: use the \
        version of ohc that wrote it", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| JournalError::Io { what, path, source }
}

/// The file of a run's journal in the folder of all journals.
#[must_use]
pub fn file_of(folder: &Path, run: RunId) -> PathBuf {
    folder.join(run.to_string()).join("journal.jsonl")
}

/// The last run that has a journal in a folder of journals.
#[must_use]
pub fn last_run(folder: &Path) -> Option<RunId> {
    let entries = fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let runs = names.filter_map(|name| name.strip_prefix("run-")?.parse().ok().map(RunId));
    runs.filter(|run| file_of(folder, *run).exists()).max()
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Journal {
    /// Opens the journal of a run to add to it; makes it if there is none.
    pub fn open(folder: &Path, run: RunId) -> Result<Self, JournalError> {
        let path = file_of(folder, run);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed("make the folder of", &path))?;
        }
        let file = File::options().create(true).append(true).read(true).open(&path);
        let mut file = file.map_err(failed("open", &path))?;
        pass(Peril::RecordOpened);
        lock(&file);
        let bytes = file.metadata().map_err(failed("measure", &path))?.len();
        if bytes > 0 && !ends_in_break(&path).map_err(failed("read", &path))? {
            // What a crash has torn becomes a line of its own, which readers skip.
            file.write_all(b"\n").map_err(failed("write", &path))?;
        }
        Ok(Self { file, path, bytes })
    }

    /// Adds lines, all at once.
    pub fn write(&mut self, lines: &[Line]) -> Result<(), JournalError> {
        let mut text = Vec::new();
        for line in lines {
            // Maps of numbers and text: there is nothing that JSON could not say.
            if serde_json::to_writer(&mut text, line).is_ok() {
                text.push(b'\n');
            }
        }
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        pass(Peril::RecordWriting);
        self.file.write_all(&text).map_err(failed("write", &self.path))?;
        pass(Peril::RecordWritten);
        Ok(())
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Tells readers that somebody writes. The home has one writer: only they can be in the way.
fn lock(file: &File) {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            // Where files cannot be locked, readers think that nobody writes.
            Ok(()) | Err(fs::TryLockError::Error(_)) => return,
        }
    }
}

fn ends_in_break(path: &Path) -> io::Result<bool> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// A journal that is being read, perhaps while somebody writes it.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
    /// Whether the line that was begun is too long to be one of ours.
    is_endless: bool,
}

impl Reader {
    /// Opens the journal of a run; nothing if there is none.
    pub fn open(folder: &Path, run: RunId) -> Result<Option<Self>, JournalError> {
        let path = file_of(folder, run);
        match File::open(&path) {
            Ok(file) => {
                let (file, begun) = (BufReader::new(file), Vec::new());
                Ok(Some(Self { file, path, begun, is_endless: false }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    /// The next line; nothing at the end of what is written so far: ask again later. Lines that
    /// make no sense are skipped.
    pub fn next_line(&mut self) -> Result<Option<Line>, JournalError> {
        loop {
            let room = JOURNAL_LINE_BYTES_MAX.saturating_sub(self.begun.len()) as u64;
            let mut part = (&mut self.file).take(room.max(1));
            let read = part.read_until(b'\n', &mut self.begun);
            let read = read.map_err(failed("read", &self.path))?;
            if read == 0 {
                return Ok(None);
            }
            if !self.begun.ends_with(b"\n") {
                if self.begun.len() >= JOURNAL_LINE_BYTES_MAX {
                    self.is_endless = true;
                    self.begun.clear();
                }
                continue;
            }
            let line = serde_json::from_slice::<Line>(&self.begun).ok();
            self.begun.clear();
            let is_rest = std::mem::take(&mut self.is_endless);
            let Some(line) = line.filter(|_| !is_rest) else { continue };
            return match line.entry {
                Entry::Opened { version, .. } if version != VERSION => {
                    Err(JournalError::Version { path: self.path.clone(), version })
                }
                _ => Ok(Some(line)),
            };
        }
    }

    /// Whether a process holds the journal to write more.
    #[must_use]
    pub fn is_written(&self) -> bool {
        let file = self.file.get_ref();
        match file.try_lock_shared() {
            Ok(()) => {
                // If it cannot be let go now, it is when this reader is dropped.
                let _ = file.unlock();
                false
            }
            Err(fs::TryLockError::WouldBlock) => true,
            Err(fs::TryLockError::Error(_)) => false,
        }
    }
}

/// Events as the hex digits of their canonical bytes.
mod canonical {
    use super::{Decode, Encode, Event};
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(event: &Event, to: S) -> Result<S::Ok, S::Error> {
        let digits: String = event.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        to.serialize_str(&digits)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Event, D::Error> {
        let digits = String::deserialize(from)?;
        let bytes = bytes_of(&digits).ok_or_else(|| D::Error::custom("not hex digits"))?;
        Event::from_bytes(&bytes).map_err(D::Error::custom)
    }

    fn bytes_of(digits: &str) -> Option<Vec<u8>> {
        let nibbles = digits.chars().map(|c| Some(u8::try_from(c.to_digit(16)?).unwrap_or(0)));
        let nibbles: Option<Vec<u8>> = nibbles.collect();
        let nibbles = nibbles.filter(|nibbles| nibbles.len() % 2 == 0)?;
        let byte = |pair: &[u8]| pair.iter().fold(0u8, |byte, nibble| (byte << 4) | nibble);
        Some(nibbles.chunks(2).map(byte).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::amount::Ohc;
    use crate::base::ids::{BlockId, LeaseId};
    use crate::base::keys::PublicKey;

    const RUN: RunId = RunId(7);

    fn step(step: u64) -> Line {
        let stage = "train@width=16,seed=1".to_owned();
        let (loss, rate) = (Some(0.5), None);
        let entry = Entry::Step { stage, step, steps: 9, loss, rate, rows: step * 4 };
        Line { at: 1_000 + step, entry }
    }

    fn settled() -> Line {
        let lease = LeaseId { block: BlockId { run: RUN, index: 3 }, attempt: 1 };
        let (worker, reward, gas) = (PublicKey([9; 32]), Ohc::from_nano(12), Ohc::from_nano(3));
        let event = Event::Settled { lease, worker, reward, gas };
        let jobs = [(4, "split".to_owned())].into_iter().collect();
        Line { at: 5, entry: Entry::Folded { event, block: Some("table+split".into()), jobs } }
    }

    fn all(reader: &mut Reader) -> Vec<Line> {
        std::iter::from_fn(|| reader.next_line().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_and_what_follows_later_too() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Reader::open(dir.path(), RUN).unwrap().is_none());
        assert_eq!(last_run(dir.path()), None);
        let mut journal = Journal::open(dir.path(), RUN).unwrap();
        let opened = Entry::Opened { version: VERSION, run: "run-7".into(), pipeline: "p".into() };
        let first = [Line { at: 1, entry: opened }, step(1), settled()];
        journal.write(&first).unwrap();
        let mut reader = Reader::open(dir.path(), RUN).unwrap().unwrap();
        assert_eq!(all(&mut reader), first);
        assert!(reader.is_written());
        journal.write(&[step(2)]).unwrap();
        assert_eq!(all(&mut reader), [step(2)]);
        drop(journal);
        assert!(!reader.is_written());
        assert_eq!(last_run(dir.path()), Some(RUN));
    }

    #[test]
    fn a_torn_line_is_skipped_and_the_next_process_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(dir.path(), RUN).unwrap().write(&[step(1), step(2)]).unwrap();
        let path = file_of(dir.path(), RUN);
        let whole = fs::read(&path).unwrap();
        for cut in 1..60 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let mut reader = Reader::open(dir.path(), RUN).unwrap().unwrap();
            assert_eq!(all(&mut reader), [step(1)], "{cut} bytes are gone");
            Journal::open(dir.path(), RUN).unwrap().write(&[step(3)]).unwrap();
            // Without its line break alone a line is not torn: the next writer ends it.
            let expect = if cut == 1 { vec![step(2), step(3)] } else { vec![step(3)] };
            assert_eq!(all(&mut reader), expect, "{cut} bytes are gone");
        }
    }

    #[test]
    fn lines_without_sense_or_end_are_skipped_in_bounded_memory() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(dir.path(), RUN).unwrap().write(&[step(1)]).unwrap();
        let path = file_of(dir.path(), RUN);
        let mut bytes = b"\0\xff{}\n{\"at\":1}\n\n".to_vec();
        bytes.extend(vec![b'['; 3 * JOURNAL_LINE_BYTES_MAX + 5]);
        bytes.push(b'\n');
        bytes.extend(fs::read(&path).unwrap());
        fs::write(&path, bytes).unwrap();
        let mut reader = Reader::open(dir.path(), RUN).unwrap().unwrap();
        assert_eq!(all(&mut reader), [step(1)]);
        assert!(reader.begun.capacity() <= 2 * JOURNAL_LINE_BYTES_MAX);
    }

    #[test]
    fn a_later_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Entry::Opened { version: 2, run: "run-7".into(), pipeline: "p".into() };
        let line = Line { at: 1, entry: opened };
        Journal::open(dir.path(), RUN).unwrap().write(&[line]).unwrap();
        let mut reader = Reader::open(dir.path(), RUN).unwrap().unwrap();
        assert!(matches!(reader.next_line(), Err(JournalError::Version { version: 2, .. })));
    }
}
