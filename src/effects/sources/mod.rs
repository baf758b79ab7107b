//! Sources: what lies at an address, listed in the order of names and read piece by piece.
//! Never holds a whole file, never decides what to read, and never shows a secret.

mod address;
mod explain;
mod local;
mod remote;
mod secret;

pub use super::buckets::Patience;
pub use address::Address;
pub use secret::Secret;

use crate::base::canon::{Digest, canonical_struct};
use crate::base::limits::SOURCE_FILES_MAX;
use address::{Place, Select};
use bytes::Bytes;
use futures_util::StreamExt;
use local::Folder;
use remote::Remote;

/// Why a source cannot be read, and what to do about it. All that a caller can do is to say it
/// where the source is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; hint: {hint}")]
pub struct SourceError {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl SourceError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// A file or an object of a source, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name below the root of the address.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// What changes when it changes: the entity tag or version that a store gives, or the inode and
    /// the times of a file. `None` where a store gives nothing that can be trusted.
    pub mark: Option<String>,
}
canonical_struct!(Object { name, bytes, mark });

/// What lies at an address.
#[derive(Debug)]
pub struct Source {
    address: Address,
    from: From,
}

#[derive(Debug)]
enum From {
    Folder(Folder),
    Remote(Remote),
}

impl Source {
    /// The source at an address. Nothing is read, and nobody is asked, before it is listed.
    pub fn open(
        address: Address,
        secret: Option<&Secret>,
        patience: Patience,
    ) -> Result<Self, SourceError> {
        let from = match &address.place {
            Place::Folder(_) if secret.is_some() => {
                return Err(SourceError::new(
                    "a file of this machine needs no secret",
                    "take `auth` away, or name an address",
                ));
            }
            Place::Folder(folder) => From::Folder(Folder::new(folder.clone())),
            place => From::Remote(Remote::open(place, secret, patience)?),
        };
        Ok(Self { address, from })
    }

    /// What the address names now: at least one, at most [`SOURCE_FILES_MAX`], in the order of
    /// their names. Names that begin with a dot are left out unless they are asked for; those
    /// that begin with `_`, if all are asked for.
    pub async fn objects(&self) -> Result<Vec<Object>, SourceError> {
        let root = &self.address.root;
        let mut objects = match (&self.from, &self.address.select) {
            (From::Folder(folder), Select::One(name)) => vec![folder.one(root, name)?],
            (From::Folder(folder), select) => folder.all(root, &|name| wants(select, name))?,
            (From::Remote(remote), Select::One(name)) => vec![remote.one(root, name).await?],
            (From::Remote(remote), select) => remote.all(root, &|name| wants(select, name)).await?,
        };
        if objects.is_empty() {
            return Err(match &self.address.select {
                Select::Matching(glob) => SourceError::new(
                    format!("nothing matches {root}{}", glob.glob()),
                    "look at the pattern: `*` stays in one folder, `**` crosses folders",
                ),
                _ => SourceError::new(
                    format!("there is no file below {}", shown(root, "")),
                    "look at its name; names that begin with `.` or `_` are left out",
                ),
            });
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Begins to read an object.
    pub async fn read(&self, object: &Object) -> Result<Flow, SourceError> {
        let shown = shown(&self.address.root, &object.name);
        let from = match &self.from {
            From::Folder(folder) => Pieces::File(folder.open(&shown, object)?),
            From::Remote(remote) => Pieces::Stream(Box::new(remote.get(&shown, object).await?)),
        };
        Ok(Flow { shown, bytes: object.bytes, seen: 0, hasher: blake3::Hasher::new(), from })
    }

    /// Whether objects are what they were, and were so before a file was written. A file that
    /// changed in the same moment of the file system's clock may change again unseen.
    #[must_use]
    pub fn lay_still(&self, objects: &[Object], since: &std::path::Path) -> bool {
        match &self.from {
            From::Folder(folder) => folder.lay_still(objects, since),
            From::Remote(_) => true,
        }
    }

    /// How an object is called in messages: as the manifest would.
    #[must_use]
    pub fn shown(&self, object: &Object) -> String {
        shown(&self.address.root, &object.name)
    }
}

/// The bytes of an object, piece by piece.
pub struct Flow {
    shown: String,
    bytes: u64,
    seen: u64,
    hasher: blake3::Hasher,
    from: Pieces,
}

enum Pieces {
    File(local::File),
    Stream(Box<remote::Body>),
}

impl Flow {
    /// The next piece, or `None` behind the last one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let piece = match &mut self.from {
            Pieces::File(file) => file.next(&self.shown)?,
            Pieces::Stream(body) => match body.stream.next().await {
                Some(Ok(piece)) => Some(piece),
                Some(Err(error)) => return Err(body.about.explain(&error, &self.shown)),
                None => None,
            },
        };
        if let Some(piece) = &piece {
            self.seen = self.seen.saturating_add(piece.len() as u64);
            self.hasher.update(piece);
        }
        Ok(piece)
    }

    /// The digest of all that was read, which must be all there is and of one moment.
    pub fn end(self) -> Result<Digest, SourceError> {
        let Self { shown, bytes, seen, hasher, from } = self;
        if let Pieces::File(file) = &from {
            file.is_still(&shown)?;
        }
        if seen != bytes {
            return Err(SourceError::new(
                format!("{shown} ended after {seen} of {bytes} bytes"),
                "the connection broke, or the object was replaced: try again",
            ));
        }
        Ok(Digest(hasher.finalize().into()))
    }
}

/// How a name below a root is shown.
fn shown(root: &str, name: &str) -> String {
    match (root, name) {
        ("", "") => "the manifest's folder".to_owned(),
        _ => format!("{root}{name}"),
    }
}

/// Whether a name below the root is one of those that are asked for.
fn wants(select: &Select, name: &str) -> bool {
    let begins = |mark: char| name.split('/').any(|part| part.starts_with(mark));
    match select {
        Select::One(one) => one == name,
        Select::Matching(glob) => {
            let asks_for_dots = glob.glob().glob().split('/').any(|part| part.starts_with('.'));
            (asks_for_dots || !begins('.')) && glob.is_match(name)
        }
        Select::All => !begins('.') && !begins('_'),
    }
}

fn too_many(root: &str) -> SourceError {
    SourceError::new(
        format!("{} holds more than {SOURCE_FILES_MAX} files that are asked for", shown(root, "")),
        "ask for fewer, or join them into larger files",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    fn open(url: &str, base: &Path) -> Source {
        let address = Address::parse(url, base).unwrap();
        Source::open(address, None, Patience::default()).unwrap()
    }

    fn names(url: &str, base: &Path) -> Result<Vec<String>, SourceError> {
        let objects = run(open(url, base).objects())?;
        Ok(objects.into_iter().map(|object| object.name).collect())
    }

    fn lake() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["d/b.csv", "d/a.csv", "d/.c.csv", "d/_SUCCESS", "d/e/a.csv", "d/x.txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        fs::create_dir(dir.path().join("d/empty")).unwrap();
        dir
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let dir = lake();
        for (url, expect) in [
            ("d/a.csv", &["a.csv"][..]),
            ("d/*.csv", &["a.csv", "b.csv"]),
            ("d/**/a.csv", &["a.csv", "e/a.csv"]),
            ("d/", &["a.csv", "b.csv", "e/a.csv", "x.txt"]),
            ("d/.*.csv", &[".c.csv"]),
            ("d/_*", &["_SUCCESS"]),
        ] {
            assert_eq!(names(url, dir.path()).unwrap(), expect, "{url}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_advice() {
        let dir = lake();
        for (url, expect) in [
            ("d/none.csv", "there is no file d/none.csv"),
            ("none/*.csv", "there is no folder none/"),
            ("d/e", "ends with `/`"),
            ("d/*.parquet", "nothing matches d/*.parquet"),
            ("d/empty/", "there is no file below d/empty/"),
        ] {
            let error = names(url, dir.path()).unwrap_err().to_string();
            assert!(error.contains(expect), "{url}: {error}");
        }
    }

    #[test]
    fn a_file_is_read_in_pieces_and_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
        fs::write(dir.path().join("x"), &bytes).unwrap();
        let source = open("x", dir.path());
        let read = run(async {
            let objects = source.objects().await.unwrap();
            let mut flow = source.read(&objects[0]).await.unwrap();
            let mut read = Vec::new();
            while let Some(piece) = flow.next().await.unwrap() {
                assert!(piece.len() < bytes.len());
                read.extend_from_slice(&piece);
            }
            assert_eq!(flow.end().unwrap(), Digest::of(&bytes));
            read
        });
        assert_eq!(read, bytes);
    }

    #[test]
    fn a_file_lay_still_if_it_is_what_it_was_and_older_than_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let (path, record) = (dir.path().join("x"), dir.path().join("record"));
        fs::write(&record, "").unwrap();
        fs::write(&path, "rows").unwrap();
        let source = open("x", dir.path());
        let objects = run(source.objects()).unwrap();
        assert!(!source.lay_still(&objects, &record), "it changed after the record, or with it");
        // The clock of a file system ticks a few hundred times in a second.
        while !source.lay_still(&objects, &record) {
            fs::write(&record, "").unwrap();
        }
        fs::write(&path, "more").unwrap();
        assert!(!source.lay_still(&objects, &record), "it is another file by now");
        assert!(!source.lay_still(&objects, &dir.path().join("none")));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_pinned() {
        let dir = tempfile::tempdir().unwrap();
        for change in ["shorter", "a longer text than there was", "as long"] {
            fs::write(dir.path().join("x"), "the old").unwrap();
            let source = open("x", dir.path());
            run(async {
                let objects = source.objects().await.unwrap();
                let mut flow = source.read(&objects[0]).await.unwrap();
                fs::remove_file(dir.path().join("x")).unwrap();
                fs::write(dir.path().join("x"), change).unwrap();
                while flow.next().await.unwrap().is_some() {}
                assert!(flow.end().unwrap_err().to_string().contains("while it was read"));
            });
        }
    }
}
