//! Sources: reads what a manifest names, and pins it: digest, size, rows, columns, chunks.
//! Never parses a value (`compute::table` surveys) and never holds more of a source than a chunk.

mod network;

use super::boot::{self, BootError};
use super::home::Home;
use super::pins::{self, Question};
use crate::base::canon::Digest;
use crate::compute::Fault;
use crate::compute::made::Maker;
use crate::compute::table::{Cut, Surveyor};
use crate::domain::job::{Chunk, Format, Made, Pin};
use crate::domain::manifest::{self, Diagnostic, Manifest};
use crate::effects::artifacts::{ArtifactError, Artifacts};
use crate::effects::disk;
use crate::effects::machine;
use crate::effects::sources::{Address, Object, Patience, Secret, Source, SourceError};
use crate::effects::{Peril, pass};
use std::path::Path;

/// Threads that look at a source: one reads it, so that more would wait for it.
const SURVEY_THREADS: usize = 4;

/// A source as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// What all workers are going to read.
    pub pin: Pin,
    /// How many files it is.
    pub files: usize,
    /// The entity tag or version of the one object that it is, where a store tells it.
    pub mark: Option<String>,
}

/// Why sources could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// They cannot be read, or are not what the manifest says.
    #[error("sources cannot be read")]
    Wrong(Vec<Diagnostic>),
    /// The home cannot be made.
    #[error(transparent)]
    Home(#[from] BootError),
    /// What was read cannot be kept.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
}

/// Pins all sources of a manifest that lies in `base`, and keeps what they hold in a home if there
/// is one; or says what is wrong with each, at the place where the manifest names it. What has not
/// changed since it was pinned into that home is not read again.
pub fn pin(manifest: &Manifest, base: &Path, keep: Option<&Home>) -> Result<Vec<Pinned>, PinError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(PinError::Threads)?;
    let mut intake = Intake { base, keep, artifacts: None };
    let (mut pinned, mut faults) = (Vec::new(), Vec::new());
    for (name, source) in &manifest.sources {
        match runtime.block_on(intake.pin(name, source)) {
            Ok(one) => pinned.push(one),
            Err(Trouble::Wrong(message, hint)) => {
                faults.push(Diagnostic::new(source.place, &message, hint));
            }
            Err(Trouble::Host(error)) => return Err(error),
        }
    }
    if faults.is_empty() { Ok(pinned) } else { Err(PinError::Wrong(faults)) }
}

/// Why one source could not be pinned.
enum Trouble {
    /// It is wrong: what, and what to do about it.
    Wrong(String, Option<String>),
    /// This machine is in trouble.
    Host(PinError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Wrong(error.message, Some(error.hint))
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault.message, (!fault.hint.is_empty()).then_some(fault.hint))
    }
}

impl From<ArtifactError> for Trouble {
    fn from(error: ArtifactError) -> Self {
        Self::Host(error.into())
    }
}

/// Where sources are looked for, and where they are kept.
struct Intake<'a> {
    base: &'a Path,
    keep: Option<&'a Home>,
    /// Opened when there is something to keep.
    artifacts: Option<Artifacts>,
}

impl Intake<'_> {
    async fn pin(&mut self, name: &str, source: &manifest::Source) -> Result<Pinned, Trouble> {
        if let Some(made) = source.made {
            let pin = self.make(name, source, made).await?;
            return Ok(Pinned { pin, files: 0, mark: None });
        }
        let address = Address::parse(&source.url, self.base)?;
        let is_local = address.is_local();
        let secret = source.secret.as_deref().map(Secret::find).transpose()?;
        let from = Source::open(address, secret.as_ref(), Patience::default())?;
        let objects = match source.reading.format {
            format @ (Format::HuggingFace | Format::Gguf) => {
                network::objects(&from, format).await?
            }
            _ => from.objects().await?,
        };
        let question = self.question(source);
        let known = match self.keep {
            Some(home) => pins::find(home, &question, &objects),
            None => None,
        };
        let mut pin = match known {
            Some(pin) if self.has(&pin).await? => pin,
            _ => {
                self.check_space(&objects)?;
                let pin = match source.reading.format {
                    format @ (Format::HuggingFace | Format::Gguf) => {
                        self.read_network(format, &from, &objects).await?
                    }
                    _ => self.read(name, source, &from, &objects).await?,
                };
                if let Some(home) = self.keep {
                    pins::keep(home, &question, &from, &objects, &pin);
                }
                pin
            }
        };
        name.clone_into(&mut pin.source);
        let mark = match objects.as_slice() {
            [one] if !is_local => one.mark.clone(),
            _ => None,
        };
        Ok(Pinned { pin, files: objects.len(), mark })
    }

    fn question(&self, source: &manifest::Source) -> Question {
        let base = self.base.canonicalize().unwrap_or_else(|_| self.base.to_path_buf());
        Question {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            base: base.display().to_string(),
            url: source.url.clone(),
            secret: source.secret.clone(),
            reading: source.reading.clone(),
            target: source.target,
        }
    }

    /// Whether all that a pin names is still kept.
    async fn has(&mut self, pin: &Pin) -> Result<bool, Trouble> {
        let Some(artifacts) = self.artifacts()? else { return Ok(true) };
        for chunk in &pin.chunks {
            if !artifacts.has(chunk.digest).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn artifacts(&mut self) -> Result<Option<&Artifacts>, Trouble> {
        let Some(home) = self.keep else { return Ok(None) };
        if self.artifacts.is_none() {
            boot::begin(home).map_err(|error| Trouble::Host(error.into()))?;
            self.artifacts = Some(Artifacts::open(&home.artifacts())?);
        }
        Ok(self.artifacts.as_ref())
    }

    /// Better before a download than after the half of it.
    fn check_space(&mut self, objects: &[Object]) -> Result<(), Trouble> {
        let Some(home) = self.keep else { return Ok(()) };
        self.artifacts()?;
        let needed = objects.iter().fold(0u64, |sum, object| sum.saturating_add(object.bytes));
        match disk::room(home.dir()).map(|room| room.free) {
            Ok(free) if free < needed => Err(Trouble::Wrong(
                format!("{needed} bytes are to be kept, and {} has {free}", home.dir().display()),
                Some("free some space, or name a home on another disk with --home".into()),
            )),
            _ => Ok(()),
        }
    }

    /// Makes rows, and keeps them as if they had been read.
    async fn make(
        &mut self,
        name: &str,
        source: &manifest::Source,
        made: Made,
    ) -> Result<Pin, Trouble> {
        let mut surveyor = surveyor(source);
        let mut chunks = Vec::new();
        let (mut digests, mut bytes) = (Vec::new(), 0u64);
        surveyor.begin("")?;
        for piece in Maker::new(made) {
            let cuts = surveyor.feed(&piece)?;
            self.put(cuts, &mut chunks).await?;
            digests.push(Digest::of(&piece));
            bytes = bytes.saturating_add(piece.len() as u64);
        }
        let cuts = surveyor.end()?;
        self.put(cuts, &mut chunks).await?;
        pinned(name, &digests, bytes, surveyor, chunks)
    }

    async fn read(
        &mut self,
        name: &str,
        source: &manifest::Source,
        from: &Source,
        objects: &[Object],
    ) -> Result<Pin, Trouble> {
        let mut surveyor = surveyor(source);
        let mut chunks = Vec::new();
        let (mut digests, mut bytes) = (Vec::new(), 0u64);
        for object in objects {
            surveyor.begin(&from.shown(object))?;
            let mut flow = from.read(object).await?;
            while let Some(piece) = flow.next().await? {
                let cuts = surveyor.feed(&piece)?;
                self.put(cuts, &mut chunks).await?;
            }
            digests.push(flow.end()?);
            let cuts = surveyor.end()?;
            self.put(cuts, &mut chunks).await?;
            bytes = bytes.saturating_add(object.bytes);
        }
        let cuts = surveyor.last()?;
        self.put(cuts, &mut chunks).await?;
        pinned(name, &digests, bytes, surveyor, chunks)
    }

    async fn put(&mut self, cuts: Vec<Cut>, chunks: &mut Vec<Chunk>) -> Result<(), Trouble> {
        for cut in cuts {
            if let Some(artifacts) = self.artifacts()? {
                artifacts.put(&cut.bytes).await?;
                pass(Peril::SourceCut);
            }
            chunks.extend(cut.chunks);
        }
        Ok(())
    }
}

fn surveyor(source: &manifest::Source) -> Surveyor {
    let threads = usize::try_from(machine::equipment().cores).unwrap_or(1);
    let surveyor = Surveyor::new(&source.reading, source.target);
    surveyor.with_threads(threads.min(SURVEY_THREADS))
}

/// The pin of a source that was surveyed to its end.
fn pinned(
    name: &str,
    digests: &[Digest],
    bytes: u64,
    surveyor: Surveyor,
    chunks: Vec<Chunk>,
) -> Result<Pin, Trouble> {
    let survey = surveyor.finish()?;
    Ok(Pin {
        source: name.to_owned(),
        digest: joined(digests),
        bytes,
        rows: survey.rows.rows,
        columns: survey.columns,
        chunks,
    })
}

/// The digest of a source: that of its one file, or else of the digests of its files in order.
fn joined(digests: &[Digest]) -> Digest {
    match digests {
        [one] => *one,
        many => {
            let all: Vec<u8> = many.iter().flat_map(|digest| digest.as_bytes().to_vec()).collect();
            Digest::of(&all)
        }
    }
}
