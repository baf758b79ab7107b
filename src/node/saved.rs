//! Saved plans: what a plan would do and what it was reckoned from, in a file. Applying it does
//! exactly that or nothing: what has changed since is found here. Never applies anything.
//!
//! The file is a line of text, the digest of what follows, and the canonical bytes of a
//! [`SavedPlan`]. It holds the manifest and digests of its sources, but no secret.

use super::apply::Site;
use super::pipeline::Pipeline;
use crate::base::amount::Ohc;
use crate::base::canon::{Decode, DecodeError, Digest, Encode, canonical_struct};
use crate::base::ids::RunId;
use crate::base::limits::MESSAGE_BYTES_MAX;
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::job::Pin;
use crate::effects::draft::Draft;
use crate::effects::{Peril, pass};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How a file begins that is a saved plan.
const MAGIC: &[u8] = b"ohc plan 1\n";
/// A manifest, its parameters and pins fit into a message; so many jobs take a byte each.
const FILE_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// A plan as it was shown to somebody.
#[derive(Clone, PartialEq, Debug)]
pub struct SavedPlan {
    /// The manifest's file; its paths are relative to where that lies.
    pub file: String,
    /// The manifest's text.
    pub manifest: String,
    /// Parameters that override its defaults, ascending by name.
    pub params: Vec<(String, String)>,
    /// What its sources were.
    pub pins: Vec<Pin>,
    /// Stages that are run again though their results are settled.
    pub again: Vec<String>,
    /// The log that it was reckoned from.
    pub base: Base,
    /// What would be done with each job: 0 nothing, 1 it would be computed, 2 it would have no
    /// result.
    pub fates: Vec<u8>,
    /// The most that it would cost.
    pub most: Ohc,
}
canonical_struct!(SavedPlan { file, manifest, params, pins, again, base, fates, most });

/// Which log a plan was reckoned from, as far as it is about the plan's pipeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Base {
    /// The last slot; 0 where no network was begun.
    pub height: u64,
    /// The last run of the pipeline, if there was one.
    pub last: Option<RunId>,
}
canonical_struct!(Base { height, last });

/// What has changed since a plan was saved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stale {
    /// A source is not what it was.
    Source(String),
    /// The pipeline was applied.
    Applied(RunId),
    /// These jobs would be run that were not to be.
    More(usize),
    /// These jobs would not be run that were to be.
    Fewer(usize),
    /// It would cost more.
    Dearer {
        /// What it was to cost at most.
        was: Ohc,
        /// What it would cost at most.
        is: Ohc,
    },
}

/// Why there is no saved plan.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The file system refuses.
    #[error("cannot {doing} the plan {}: {source}; hint: check its folder and permissions",
        .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Its bytes are not what was saved.
    #[error("the plan {} is damaged; hint: save it again with `ohc plan --out`", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// What it says is not what this version says.
    #[error(
        "the plan {} is of another version of ohc ({source}); hint: save it again with `ohc plan \
         --out`", .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        source: DecodeError,
    },
}

impl Base {
    /// What the log of a site says about a pipeline.
    #[must_use]
    pub fn of(site: &Site, pipeline: &Pipeline) -> Self {
        let last = site.last_run(pipeline).map(|run| run.id);
        Self { height: site.view().state.height().0, last }
    }
}

impl SavedPlan {
    /// What a pipeline would do now; its manifest lies in `file`.
    #[must_use]
    pub fn new(
        file: &Path,
        pipeline: &Pipeline,
        again: Vec<String>,
        forecast: &Forecast,
        base: Base,
    ) -> Self {
        Self {
            file: file.display().to_string(),
            manifest: pipeline.text.clone(),
            params: pipeline.params.clone().into_iter().collect(),
            pins: pipeline.pins.clone(),
            again,
            base,
            fates: forecast.fates.iter().map(byte).collect(),
            most: forecast.quote.high,
        }
    }

    /// Its parameters by name.
    #[must_use]
    pub fn params(&self) -> BTreeMap<String, String> {
        self.params.iter().cloned().collect()
    }

    /// What has changed since it was saved, given what its sources are now, and what would be done.
    #[must_use]
    pub fn stale(&self, pins: &[Pin], forecast: &Forecast, base: Base) -> Vec<Stale> {
        let was: BTreeMap<&str, &Pin> = self.pins.iter().map(|p| (p.source.as_str(), p)).collect();
        let differs = |pin: &&Pin| was.get(pin.source.as_str()) != Some(pin);
        let mut stale: Vec<Stale> =
            pins.iter().filter(differs).map(|pin| Stale::Source(pin.source.clone())).collect();
        stale.extend(base.last.filter(|_| base.last != self.base.last).map(Stale::Applied));
        let fates: Vec<u8> = forecast.fates.iter().map(byte).collect();
        if fates.len() == self.fates.len() {
            let count = |is: fn(u8) -> bool| {
                let pairs = self.fates.iter().zip(&fates).filter(|(was, now)| was != now);
                pairs.filter(|(_, now)| is(**now)).count()
            };
            let (more, fewer) = (count(|now| now == RUNS), count(|now| now != RUNS));
            stale.extend((more > 0).then_some(Stale::More(more)));
            stale.extend((fewer > 0).then_some(Stale::Fewer(fewer)));
        }
        let (was, is) = (self.most, forecast.quote.high);
        stale.extend((is > was).then_some(Stale::Dearer { was, is }));
        stale
    }
}

const RUNS: u8 = 1;

const fn byte(fate: &Fate) -> u8 {
    match fate {
        Fate::Cached(_) => 0,
        fate if fate.runs() => RUNS,
        _ => 2,
    }
}

/// Whether a file begins like a saved plan.
#[must_use]
pub fn is_saved(path: &Path) -> bool {
    let mut begin = [0; MAGIC.len()];
    let read = path.is_file().then(|| File::open(path).and_then(|mut f| f.read_exact(&mut begin)));
    matches!(read, Some(Ok(()))) && begin == *MAGIC
}

/// Reads a saved plan.
pub fn read(path: &Path) -> Result<SavedPlan, SavedError> {
    let failed = |source| SavedError::Io { path: path.to_owned(), doing: "read", source };
    let damaged = || SavedError::Damaged { path: path.to_owned() };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (sum, plan) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    if bytes.len() > FILE_BYTES_MAX || Digest::of(plan).as_bytes() != sum {
        return Err(damaged());
    }
    SavedPlan::from_bytes(plan)
        .map_err(|source| SavedError::Version { path: path.to_owned(), source })
}

/// Writes a saved plan: whole, or not at all.
pub fn write(path: &Path, plan: &SavedPlan) -> Result<(), SavedError> {
    let failed = |source| SavedError::Io { path: path.to_owned(), doing: "write", source };
    let plan = plan.to_bytes();
    let bytes = [MAGIC, Digest::of(&plan).as_bytes(), &plan].concat();
    let draft = Draft::of(path, &bytes).inspect(|_| pass(Peril::PlanDrafted));
    draft.and_then(Draft::place).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SavedPlan {
        SavedPlan {
            file: "/x/m.yaml".into(),
            manifest: "apiVersion: ohc/v1alpha1\n".into(),
            params: vec![("epochs".into(), "3".into())],
            pins: Vec::new(),
            again: vec!["train".into()],
            base: Base { height: 7, last: Some(RunId(2)) },
            fates: vec![0, 1, 2],
            most: Ohc::from_nano(5),
        }
    }

    #[test]
    fn a_plan_is_read_back_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plan");
        write(&path, &plan()).unwrap();
        assert!(is_saved(&path));
        assert_eq!(read(&path).unwrap(), plan());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn r13_a_plan_of_which_a_byte_is_wrong_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.plan");
        write(&path, &plan()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert!(matches!(read(&path), Err(SavedError::Damaged { .. })), "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(read(&path), Err(SavedError::Damaged { .. })), "{at} bytes");
        }
    }

    #[test]
    fn what_changed_since_is_said() {
        let forecast = |fates: Vec<Fate>| Forecast {
            fates,
            blocks: Vec::new(),
            quote: Default::default(),
            stages: Vec::new(),
            time: Default::default(),
            impossible: Vec::new(),
        };
        let saved = SavedPlan { fates: vec![1, 1], ..plan() };
        let same = forecast(vec![Fate::New, Fate::Unfinished]);
        assert_eq!(saved.stale(&[], &same, saved.base), []);
        let later = Base { height: 9, last: Some(RunId(3)) };
        let skipped = Fate::Skipped(crate::domain::event::Skip::Condition);
        let other = forecast(vec![Fate::New, skipped]);
        let expect = [Stale::Applied(RunId(3)), Stale::Fewer(1)];
        assert_eq!(saved.stale(&[], &other, later), expect);
    }
}
