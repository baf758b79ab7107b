//! Outputs: files in a person's folder, each whole or not at all, and one that tells of the others,
//! written last. Never touches a file that is there already with the same bytes.

use super::{ArtifactError, io_error};
use crate::effects::draft::Draft;
use crate::effects::{Peril, pass};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Every name is one plain component, and no other's.
pub(super) fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ArtifactError> {
    let mut seen = BTreeSet::new();
    for name in names {
        let mut parts = Path::new(name).components();
        let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name)
            && parts.next().is_none();
        if !plain || !seen.insert(name) {
            return Err(ArtifactError::BadName { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Writes all files and then the last one, each beside its place first, and syncs.
pub(super) fn write_all(
    directory: &Path,
    files: &[(PathBuf, Vec<u8>)],
    last: &(PathBuf, Vec<u8>),
) -> Result<(), ArtifactError> {
    fs::create_dir_all(directory).map_err(io_error("create", directory))?;
    let stale: Vec<_> = files.iter().filter(|(path, bytes)| !is_same(path, bytes)).collect();
    if stale.is_empty() && is_same(&last.0, &last.1) {
        // What another publication left is wanted no more.
        files.iter().chain([last]).for_each(|(path, _)| Draft::sweep(path));
        return Ok(());
    }
    let sync = || File::open(directory).and_then(|file| file.sync_all());
    let draft = |(path, bytes): &(PathBuf, Vec<u8>)| {
        Draft::of(path, bytes).map_err(io_error("write", path))
    };
    let drafts: Vec<Draft> = stale.iter().copied().map(draft).collect::<Result<_, _>>()?;
    let card = draft(last)?;
    pass(Peril::OutputDrafted);
    if !drafts.is_empty() {
        // The old last file tells of files that are about to change.
        match fs::remove_file(&last.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &last.0)(error));
            }
            Ok(()) | Err(_) => {}
        }
        pass(Peril::OutputRetired);
    }
    for (draft, (path, _)) in drafts.into_iter().zip(stale) {
        draft.place().map_err(io_error("replace", path))?;
    }
    sync().map_err(io_error("sync", directory))?;
    pass(Peril::OutputPlaced);
    card.place().map_err(io_error("replace", &last.0))?;
    pass(Peril::OutputCarded);
    sync().map_err(io_error("sync", directory))
}

/// Whether a file has these bytes; a file of another length is not read.
fn is_same(path: &Path, bytes: &[u8]) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() == bytes.len() as u64)
        && fs::read(path).is_ok_and(|there| there == bytes)
}
