//! Sources: reads what a manifest names, and pins it: digest, size, rows, columns.
//! Never parses a value: `compute::table` surveys, and the ingest job reads.

use super::boot::{self, BootError};
use super::home::Home;
use crate::base::canon::Digest;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::table::survey;
use crate::domain::job::{Chunk, Pin, Reading};
use crate::domain::manifest::{Diagnostic, Manifest};
use crate::effects::artifacts::{ArtifactError, Artifacts};
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// Reads and pins all sources of a manifest that lies in `base`, and keeps what they hold in a home
/// if there is one; or says what is wrong with each, at the place where the manifest names it.
pub fn pin(manifest: &Manifest, base: &Path, keep: Option<&Home>) -> Result<Vec<Pin>, PinError> {
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for (name, source) in &manifest.sources {
        match read(name, &source.url, &source.reading, base) {
            Ok(read) => sources.push(read),
            Err((message, hint)) => {
                faults.push(Diagnostic::new(source.place, &message, hint));
            }
        }
    }
    if !faults.is_empty() {
        return Err(PinError::Wrong(faults));
    }
    if let Some(home) = keep.filter(|_| !sources.is_empty()) {
        boot::begin(home)?;
        let artifacts = Artifacts::open(&home.artifacts())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(PinError::Threads)?;
        for (_, bytes) in &sources {
            runtime.block_on(artifacts.put(bytes))?;
        }
    }
    Ok(sources.into_iter().map(|(pin, _)| pin).collect())
}

type Wrong = (String, Option<String>);

fn read(name: &str, url: &str, reading: &Reading, base: &Path) -> Result<(Pin, Vec<u8>), Wrong> {
    let path = locate(url, base)?;
    let shown = path.display();
    let about = |error: &std::io::Error| (format!("cannot read {shown}: {error}"), None);
    let size = match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            return Err((format!("{shown} is a folder"), Some("name a file".into())));
        }
        Ok(meta) if !meta.is_file() => {
            return Err((format!("{shown} is not a file"), Some("name a regular file".into())));
        }
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let hint = "a source's path is relative to the manifest's folder";
            return Err((format!("there is no file {shown}"), Some(hint.into())));
        }
        Err(error) => return Err(about(&error)),
    };
    if size > ARTIFACT_BYTES_MAX as u64 {
        let hint = format!("a source may have at most {ARTIFACT_BYTES_MAX} bytes");
        return Err((format!("{shown} has {size} bytes"), Some(hint)));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&path).map_err(|error| about(&error))?;
    // It may grow while it is read: never beyond the bound.
    let mut file = file.take(ARTIFACT_BYTES_MAX as u64);
    file.read_to_end(&mut bytes).map_err(|error| about(&error))?;
    let survey = survey(reading, &bytes).map_err(|fault| {
        let hint = (!fault.hint.is_empty()).then_some(fault.hint);
        (format!("{shown}: {}", fault.message), hint)
    })?;
    let (digest, rows, size) = (Digest::of(&bytes), survey.rows.rows, bytes.len() as u64);
    let chunks = vec![Chunk { digest, bytes: size, rows, first_line: 1, groups: None }];
    let columns = survey.columns;
    let pin = Pin { source: name.into(), digest, bytes: size, rows, columns, chunks };
    Ok((pin, bytes))
}

fn locate(url: &str, base: &Path) -> Result<PathBuf, Wrong> {
    match url.split_once("://") {
        None => Ok(base.join(url)),
        Some(("file", path)) => Ok(PathBuf::from(path)),
        Some((scheme, _)) => Err((
            format!("sources of scheme `{scheme}` cannot be read yet"),
            Some("use a path beside the manifest, or file://".into()),
        )),
    }
}
