//! Files of this machine as a source.
//! Never follows a link to a folder, and never gives what changed while it was read.

use super::{Object, SourceError, too_many};
use crate::base::limits::{SOURCE_FILES_MAX, SOURCE_NAMES_MAX};
use bytes::Bytes;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A folder that sources are looked for in.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file of a name.
    pub(super) fn one(&self, root: &str, name: &str) -> Result<Object, SourceError> {
        let shown = super::shown(root, name);
        let meta = std::fs::metadata(self.0.join(name)).map_err(failed(&shown))?;
        if meta.is_dir() {
            let hint = format!("a path that ends with `/` means all files below: {shown}/");
            return Err(SourceError::new(format!("{shown} is a folder"), hint));
        }
        if !meta.is_file() {
            return Err(SourceError::new(
                format!("{shown} is not a file"),
                "name a regular file: what is read twice must be the same twice",
            ));
        }
        Ok(object(name, &meta))
    }

    /// The files below the folder that are wanted, in no order.
    pub(super) fn all(
        &self,
        root: &str,
        wants: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Object>, SourceError> {
        let mut objects = Vec::new();
        let (mut folders, mut seen) = (vec![String::new()], 0usize);
        while let Some(folder) = folders.pop() {
            let shown = super::shown(root, &folder);
            let no_folder = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::new(
                    format!("there is no folder {shown}"),
                    "a source's path is relative to the manifest's folder",
                ),
                _ => failed(&shown)(error),
            };
            for entry in std::fs::read_dir(self.0.join(&folder)).map_err(no_folder)? {
                let entry = entry.map_err(failed(&shown))?;
                seen += 1;
                if seen > SOURCE_NAMES_MAX {
                    return Err(SourceError::new(
                        format!("more than {SOURCE_NAMES_MAX} names lie below {shown}"),
                        "name a folder that is closer to the files",
                    ));
                }
                // No pattern can ask for a name that is not text.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{folder}{name}");
                if entry.file_type().map_err(failed(&shown))?.is_dir() {
                    folders.push(format!("{name}/"));
                } else if wants(&name) {
                    objects.push(self.one(root, &name)?);
                }
            }
            if objects.len() > SOURCE_FILES_MAX {
                return Err(too_many(root));
            }
        }
        Ok(objects)
    }

    pub(super) fn lay_still(&self, objects: &[Object], since: &Path) -> bool {
        let Ok(since) = std::fs::metadata(since) else { return false };
        let since = (since.mtime(), since.mtime_nsec());
        objects.iter().all(|object| {
            std::fs::metadata(self.0.join(&object.name)).is_ok_and(|now| {
                let is_same = object.mark.as_ref() == Some(&mark(&now));
                is_same && (now.ctime(), now.ctime_nsec()) < since
            })
        })
    }

    pub(super) fn open(&self, shown: &str, object: &Object) -> Result<File, SourceError> {
        let path = self.0.join(&object.name);
        let file = std::fs::File::open(&path).map_err(failed(shown))?;
        Ok(File { file, path, mark: object.mark.clone() })
    }
}

/// A file that is being read.
pub(super) struct File {
    file: std::fs::File,
    path: PathBuf,
    mark: Option<String>,
}

impl File {
    pub(super) fn next(&mut self, shown: &str) -> Result<Option<Bytes>, SourceError> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut part = (&mut self.file).take(PIECE_BYTES as u64);
        part.read_to_end(&mut piece).map_err(failed(shown))?;
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// Whether the file is the one that was listed: what changes while it is read is of no moment.
    pub(super) fn is_still(&self, shown: &str) -> Result<(), SourceError> {
        let now = |path: &Path| std::fs::metadata(path).map(|meta| mark(&meta));
        if now(&self.path).is_ok_and(|now| self.mark.as_ref() == Some(&now)) {
            return Ok(());
        }
        let hint = "wait until nobody writes it, and try again";
        Err(SourceError::new(format!("{shown} changed while it was read"), hint))
    }
}

fn object(name: &str, meta: &Metadata) -> Object {
    Object { name: name.to_owned(), bytes: meta.len(), mark: Some(mark(meta)) }
}

/// Inode, modification and change, in nanoseconds.
fn mark(meta: &Metadata) -> String {
    format!(
        "file {} {}.{:09} {}.{:09}",
        meta.ino(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec()
    )
}

fn failed(shown: &str) -> impl Fn(io::Error) -> SourceError {
    let shown = shown.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => SourceError::new(
            format!("there is no file {shown}"),
            "a source's path is relative to the manifest's folder",
        ),
        io::ErrorKind::PermissionDenied => SourceError::new(
            format!("{shown} may not be read"),
            "check the permissions of the file and of the folders above it",
        ),
        _ => SourceError::new(
            format!("cannot read {shown}: {error}"),
            "check the file and the disk that it lies on",
        ),
    }
}
