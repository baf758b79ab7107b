//! A look at the journal before fjall opens it: cuts off an unfinished last write, refuses damage.
//! Never cuts a write that was finished: somebody was told that it is durable.
//!
//! fjall's format V3 (`fjall/src/journal/entry.rs`): a batch is a start (tag 1, `u32` items, `u64`
//! sequence number), its items (tag 2, kind, compression, `u64` keyspace, `u16` key length, twice
//! the `u32` value length, key, value; kind 1 takes the key away) and an end (tag 3, `u64`
//! checksum, `FJL` 3); the file is made longer in advance, so zeros follow.

use super::{Cut, NAME_BYTES_MAX, RECORD_BYTES_MAX, StoreError, height_of, io_error, unframe};
use crate::base::time::Height;
use crate::effects::{Peril, pass};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"FJL\x03";
/// What follows the end of a batch when another one follows: its start, and the head of its first
/// item. `None` may be anything.
const NEXT_BATCH: [Option<u8>; 16] = {
    let (any, zero) = (None, Some(0));
    [Some(1), any, any, zero, zero, any, any, any, any, any, any, zero, zero, Some(2), zero, zero]
};
/// The piece that a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// Sequence numbers count writes: none comes near.
const SEQUENCE_MAX: u64 = 1 << 48;

/// What the journals say.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The highest slot in them; 0 for none.
    pub(super) last: Height,
    /// What was cut off.
    pub(super) cut: Option<Cut>,
}

/// Reads every journal of a closed database, and cuts an unfinished write off the last one.
pub(super) fn inspect(database: &Path) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let (mut sequence, mut keyspace) = (None, None);
    let journals = list(database).map_err(io_error(database, "list"))?;
    for (index, path) in journals.iter().enumerate() {
        let file = File::open(path).map_err(io_error(path, "open"))?;
        let file = BufReader::with_capacity(1 << 18, file);
        let mut walk = Walk { file, sequence, keyspace, last: found.last };
        let (end, fault) = walk.run().map_err(io_error(path, "read"))?;
        (sequence, keyspace, found.last) = (walk.sequence, walk.keyspace, walk.last);
        let Some(fault) = fault else { continue };
        let is_last = index + 1 == journals.len();
        match walk.rest(end).map_err(io_error(path, "read"))? {
            Rest::Blank => {}
            Rest::Unfinished { bytes } if is_last => {
                pass(Peril::StoreTorn);
                cut(path, end).map_err(io_error(path, "cut"))?;
                pass(Peril::StoreCut);
                found.cut = Some(Cut { path: path.clone(), bytes });
            }
            Rest::Unfinished { .. } | Rest::Finished => {
                return Err(StoreError::Corrupt {
                    path: path.clone(),
                    height: Some(fault.height.unwrap_or(found.last.next())),
                    damage: format!("{} behind byte {end}", fault.what),
                });
            }
        }
    }
    Ok(found)
}

/// The journals in the order in which they were written.
fn list(database: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn cut(path: &Path, end: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(end)?;
    file.sync_all()
}

/// Why a batch is not whole.
struct Fault {
    what: &'static str,
    /// The slot that it is about, where that can be told.
    height: Option<Height>,
}

/// What lies behind the last whole batch.
enum Rest {
    /// Nothing, or zeros.
    Blank,
    /// A write that was under way.
    Unfinished { bytes: u64 },
    /// A write that had been finished, or more than one.
    Finished,
}

struct Walk {
    file: BufReader<File>,
    sequence: Option<u64>,
    /// There is but one.
    keyspace: Option<[u8; 8]>,
    last: Height,
}

impl Walk {
    /// Reads batches until one is not whole; gives where it begins. No fault: the file ends there.
    fn run(&mut self) -> io::Result<(u64, Option<Fault>)> {
        loop {
            let end = self.file.stream_position()?;
            let mut more = [0];
            if self.file.read(&mut more)? == 0 {
                return Ok((end, None));
            }
            let [tag] = more;
            match self.batch(tag) {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return Ok((end, Some(fault))),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let what = "a record that ends early";
                    return Ok((end, Some(Fault { what, height: None })));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn batch(&mut self, tag: u8) -> io::Result<Result<(), Fault>> {
        let wrong = |what| Ok(Err(Fault { what, height: None }));
        if tag != 1 {
            return wrong("a record that does not begin");
        }
        let items = u32::from_le_bytes(self.array()?);
        let sequence = u64::from_le_bytes(self.array()?);
        if sequence >= SEQUENCE_MAX || self.sequence.is_some_and(|before| before >= sequence) {
            return wrong("a record out of sequence");
        }
        let mut last = self.last;
        for _ in 0..items {
            match self.item()? {
                Ok(height) => last = last.max(height.unwrap_or_default()),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let [tag] = self.array()?;
        let _checksum: [u8; 8] = self.array()?; // fjall's own; every item has been checked by ours
        let magic: [u8; 4] = self.array()?;
        if tag != 3 || magic != MAGIC {
            return wrong("a record that does not end");
        }
        (self.sequence, self.last) = (Some(sequence), last);
        Ok(Ok(()))
    }

    fn item(&mut self) -> io::Result<Result<Option<Height>, Fault>> {
        let wrong = |what, height| Ok(Err(Fault { what, height }));
        // Item, a value or that there is none any more, not compressed: nothing else is ever
        // written here.
        let is_gone = match self.array()? {
            [2, 0, 0] => false,
            [2, 1, 0] => true,
            _ => return wrong("a record of unknown kind", None),
        };
        let keyspace = self.array()?;
        if *self.keyspace.get_or_insert(keyspace) != keyspace {
            return wrong("a record of another keyspace", None);
        }
        let key = usize::from(u16::from_le_bytes(self.array()?));
        let value = u32::from_le_bytes(self.array()?) as usize;
        let stored = u32::from_le_bytes(self.array()?) as usize;
        let too_long = key > 1 + NAME_BYTES_MAX || value > RECORD_BYTES_MAX + super::CHECKSUM;
        if too_long || stored != value {
            return wrong("a record of impossible length", None);
        }
        let (mut key, mut value) = (vec![0; key], vec![0; value]);
        self.file.read_exact(&mut key)?;
        self.file.read_exact(&mut value)?;
        if is_gone {
            return if value.is_empty() {
                Ok(Ok(None))
            } else {
                wrong("a record that is none", None)
            };
        }
        let height = height_of(&key);
        match unframe(&key, &value) {
            Some(_) => Ok(Ok(height)),
            None => wrong("a record whose bytes do not match its checksum", None),
        }
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether only zeros follow: 64 MiB of them in a new journal, so they are not collected.
    fn is_blank(&mut self) -> io::Result<bool> {
        loop {
            let bytes = self.file.fill_buf()?;
            let read = bytes.len();
            if read == 0 || bytes.iter().any(|byte| *byte != 0) {
                return Ok(read == 0);
            }
            self.file.consume(read);
        }
    }

    /// Tells an unfinished write from a damaged one. Writes follow one another, each synced before
    /// the next begins, so only the last can be unfinished: one behind which another one begins was
    /// finished, and so was one that has its end. A power cut may leave the end of a long write
    /// without its middle, but then a whole sector of it is blank.
    fn rest(&mut self, from: u64) -> io::Result<Rest> {
        self.file.seek(SeekFrom::Start(from))?;
        if self.is_blank()? {
            return Ok(Rest::Blank);
        }
        self.file.seek(SeekFrom::Start(from))?;
        let mut rest = Vec::new();
        // A write is at most a few records; what lies behind them need not be in memory.
        self.file.by_ref().take(REST_BYTES_MAX).read_to_end(&mut rest)?;
        let Some(end) = rest.iter().rposition(|byte| *byte != 0) else {
            return Ok(Rest::Blank);
        };
        rest.truncate(end + 1);
        let another = rest.windows(MAGIC.len() + NEXT_BATCH.len()).any(|bytes| {
            bytes.strip_prefix(&MAGIC).is_some_and(|next| {
                NEXT_BATCH.iter().zip(next).all(|(want, is)| want.is_none_or(|want| want == *is))
            })
        });
        let unfinished = Rest::Unfinished { bytes: rest.len() as u64 };
        let to_sector = (SECTOR - from % SECTOR) % SECTOR;
        let sectors = rest.get(to_sector as usize..).unwrap_or_default();
        let blank = sectors.chunks_exact(SECTOR as usize).any(|s| s.iter().all(|byte| *byte == 0));
        Ok(match (another, rest.ends_with(&MAGIC), blank) {
            (true, _, _) | (false, true, false) => Rest::Finished,
            (false, false, _) | (false, true, true) => unfinished,
        })
    }
}

/// A journal is rotated at 64 MB: what is longer than that and a write is not one.
const REST_BYTES_MAX: u64 = 256 << 20;
