//! The keys of a small YAML file, taken one by one. Never lets an unknown key pass: whoever wrote
//! it meant something by it.

use super::{Document, NetworkError};
use crate::domain::manifest::Place;
use crate::domain::manifest::diagnostic::{Faults, suggest};
use crate::domain::manifest::node::{Key, Kind, Node, parse};
use crate::domain::milestone::Checkpoint;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file of a network, in bytes: a genesis of some thousand accounts.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The text of a file that is no larger than one of ours can be.
pub(super) fn text(path: &Path) -> Result<String, NetworkError> {
    let failed = |source| NetworkError::Io { doing: "read", path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    Ok(text)
}

/// Reads a file with `read`, which takes what it knows from the fields of its one mapping. All
/// faults are told at once; of a file that is another one, nothing but that.
pub(super) fn read<T>(
    path: &Path,
    (wanted, known): (Document, &[&str]),
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T, NetworkError> {
    let text = text(path)?;
    let mut faults = Faults::default();
    let node = parse(&text, &mut faults);
    if let Some(is) = node.as_ref().and_then(Document::of).filter(|is| *is != wanted) {
        return Err(NetworkError::Misplaced { path: path.to_owned(), is, wanted });
    }
    let value = node.and_then(|node| {
        let mut fields = Fields::of(&node, known, &mut faults);
        read(&mut fields)
    });
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ => {
            let start = Place { line: 1, column: 1, ..Place::default() };
            if faults.is_empty() {
                faults.add(start, "it cannot be read");
            }
            Err(NetworkError::Faults { path: path.to_owned(), text, faults: faults.into_vec() })
        }
    }
}

/// The entries of one mapping.
pub(super) struct Fields<'a> {
    place: Place,
    entries: &'a [(Key, Node)],
    faults: &'a mut Faults,
}

impl<'a> Fields<'a> {
    /// The entries of a node that is to be a mapping of known keys.
    pub(super) fn of(node: &'a Node, known: &[&str], faults: &'a mut Faults) -> Self {
        if !matches!(node.kind, Kind::Map(_)) {
            let message = format!("a mapping stands here, not {}", node.kind.noun());
            let first = known.first().copied().unwrap_or("key");
            faults.advise(node.place, message, format!("such as `{first}: …`"));
        }
        for (key, _) in node.entries().iter().filter(|(key, _)| !known.contains(&&*key.text)) {
            let name: String = key.text.chars().take(64).collect();
            let hint = suggest(&name, known.iter().copied());
            let hint = hint.unwrap_or_else(|| "leave it out".to_owned());
            faults.advise(key.place, format!("nobody knows the key `{name}` here"), hint);
        }
        Self { place: node.place, entries: node.entries(), faults }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub(super) fn needed(&mut self, key: &str) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            self.faults.advise(self.place, format!("`{key}` is missing"), format!("add `{key}:`"));
        }
        found
    }

    /// A fault at a node.
    pub(super) fn wrong(&mut self, at: &Node, message: impl Into<String>, hint: &str) {
        self.faults.advise(at.place, message, hint.to_owned());
    }

    /// The text of a scalar, where `node` is one that is not empty.
    pub(super) fn scalar(&mut self, key: &str, node: &Node) -> Option<String> {
        match node.kind.scalar_text() {
            Some(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
                Some(text.to_owned())
            }
            _ => {
                let message = format!("`{key}` is text, not {}", node.kind.noun());
                self.wrong(node, message, "write one line of text");
                None
            }
        }
    }

    /// The text of a key, if it is there.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let node = self.get(key)?;
        self.scalar(key, node)
    }

    /// The text of a key that must be there.
    pub(super) fn needed_text(&mut self, key: &str) -> Option<String> {
        let node = self.needed(key)?;
        self.scalar(key, node)
    }

    /// A value that `parse` makes of a scalar; `what` says what it is to be.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        node: &Node,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.scalar(key, node)?;
        let value = parse(&text);
        if value.is_none() {
            self.wrong(
                node,
                format!("`{key}` is not {what}"),
                "look at what `ohc network init` writes",
            );
        }
        value
    }

    /// The same of a key that may be missing.
    pub(super) fn maybe<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let node = self.get(key)?;
        self.parsed(key, node, what, parse)
    }

    /// What a log must lead by, if it is there.
    pub(super) fn checkpoint(&mut self) -> Option<Checkpoint> {
        let what = "HEIGHT:DIGEST, as `ohc network checkpoint` prints it";
        self.maybe("checkpoint", what, |text| text.parse().ok())
    }

    /// A path that is relative to `base`, if the key is there.
    pub(super) fn path(&mut self, key: &str, base: &Path) -> Option<PathBuf> {
        self.text(key).map(|text| base.join(text))
    }

    /// What `read` takes from the mapping below a key.
    pub(super) fn below<T>(
        &mut self,
        node: &'a Node,
        known: &[&str],
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        read(&mut Fields::of(node, known, self.faults))
    }
}

/// Text in double quotes, as YAML reads it back; it has no control characters.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
