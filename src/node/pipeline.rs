//! Pipelines: from a manifest's file to a plan on pinned sources, before any network is there.
//! Never begins a network, and never spends anything.

use super::home::Home;
use super::lock::{Change, Lock, LockError};
use super::sources::{self, PinError, Pinned};
use crate::base::limits::MANIFEST_BYTES_MAX;
use crate::domain::command::Submission;
use crate::domain::job::Pin;
use crate::domain::manifest::{self, Diagnostic, Manifest};
use crate::domain::plan::{self, Plan};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A pipeline that could be run.
#[derive(Debug)]
pub struct Pipeline {
    /// The manifest as it is written.
    pub text: String,
    /// Parameters that override its defaults.
    pub params: BTreeMap<String, String>,
    /// What it says.
    pub manifest: Manifest,
    /// What it says and hardly means.
    pub warnings: Vec<Diagnostic>,
    /// Its sources as they are now, in the order of their names.
    pub sources: Vec<Pinned>,
    /// Their pins.
    pub pins: Vec<Pin>,
    /// Its sources that are not what the lock beside it says; `None` if that knows none of them.
    pub changes: Option<Vec<Change>>,
    /// Its jobs and blocks.
    pub plan: Plan,
}

/// Why a file is not the text of a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refuses.
    #[error("cannot read the manifest {path}: {source}; hint: name a YAML file that you may read")]
    Io {
        /// The file.
        path: String,
        /// What it says.
        source: std::io::Error,
    },
    /// It is longer than a submission may be.
    #[error(
        "the manifest {path} has more than {MANIFEST_BYTES_MAX} bytes; hint: data belongs into \
         sources"
    )]
    TooLong {
        /// The file.
        path: String,
    },
    /// It is not text.
    #[error("the manifest {path} is not UTF-8 text; hint: save it as UTF-8")]
    NotText {
        /// The file.
        path: String,
    },
}

/// Why there is no pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The manifest is wrong, or the sources that it names are.
    #[error("the manifest is wrong")]
    Wrong {
        /// What it says.
        text: String,
        /// All that is wrong with it.
        faults: Vec<Diagnostic>,
    },
    /// The lock beside it cannot be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its sources cannot be kept.
    #[error(transparent)]
    Sources(#[from] PinError),
}

/// Reads the text of a file of manifests, of bounded size.
pub fn read(path: &Path) -> Result<String, ReadError> {
    let shown = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_from(file, &shown),
        Err(source) => Err(ReadError::Io { path: shown, source }),
    }
}

/// The same from anywhere, which `shown` names.
pub fn read_from(from: impl Read, shown: &str) -> Result<String, ReadError> {
    let path = shown.to_owned();
    let mut bytes = Vec::new();
    if let Err(source) = from.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes) {
        return Err(ReadError::Io { path, source });
    }
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(ReadError::TooLong { path });
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText { path })
}

impl Pipeline {
    /// Compiles a manifest that lies in `base`, pins its sources and plans its jobs; or says all
    /// that is wrong, at the place where the manifest says it. What its sources hold is kept in
    /// `keep`, for the workers; without it nothing is left behind, and nothing can be run.
    pub fn prepare(
        text: String,
        params: BTreeMap<String, String>,
        base: &Path,
        keep: Option<&Home>,
    ) -> Result<Self, PrepareError> {
        let (manifest, warnings) = manifest::compile(&text, &params);
        let Some(manifest) = manifest else {
            return Err(PrepareError::Wrong { text, faults: warnings });
        };
        let sources = match sources::pin(&manifest, base, keep) {
            Ok(sources) => sources,
            Err(PinError::Wrong(faults)) => return Err(PrepareError::Wrong { text, faults }),
            Err(error) => return Err(error.into()),
        };
        let pins: Vec<Pin> = sources.iter().map(|source| source.pin.clone()).collect();
        match plan::plan(&manifest, &pins) {
            Ok(plan) if !plan.dag.misfits.is_empty() => {
                Err(PrepareError::Wrong { text, faults: plan.dag.misfits })
            }
            Ok(plan) => {
                let changes = Lock::read(base)?.and_then(|lock| lock.changes(&manifest, &sources));
                Ok(Self { text, params, manifest, warnings, sources, pins, changes, plan })
            }
            Err(faults) => Err(PrepareError::Wrong { text, faults }),
        }
    }

    /// The pipeline that was submitted: on what its sources were then, whatever they are now.
    pub fn submitted(submission: &Submission) -> Result<Self, PrepareError> {
        let text = submission.manifest.clone();
        let params: BTreeMap<String, String> = submission.params.iter().cloned().collect();
        let (manifest, warnings) = manifest::compile(&text, &params);
        let Some(manifest) = manifest else {
            return Err(PrepareError::Wrong { text, faults: warnings });
        };
        let pins = submission.pins.clone();
        match plan::plan(&manifest, &pins) {
            Ok(plan) => {
                let (sources, changes) = (Vec::new(), None);
                Ok(Self { text, params, manifest, warnings, sources, pins, changes, plan })
            }
            Err(faults) => Err(PrepareError::Wrong { text, faults }),
        }
    }
}
