//! Documents: from what a command line names (files, folders, the standard input) to the texts of
//! pipelines, one by one, and the parameters that go with them. Never compiles a manifest.

use super::args;
use super::exit::{Exit, Stop};
use super::home;
use super::report::prose;
use crate::domain::manifest::{self, Diagnostic, Manifest, Place, Severity};
use crate::node::pipeline::{self, ReadError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

/// What stands for the standard input.
const STDIN: &str = "-";

/// The text of one pipeline, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The file as it was named.
    pub(super) path: PathBuf,
    /// The text.
    pub(super) text: String,
    /// All of the file: what faults are shown in.
    whole: String,
    /// Bytes and lines of the file before the text.
    before: (usize, u32),
}

impl Document {
    /// A text that is all of a file.
    pub(super) fn of(path: PathBuf, text: String) -> Self {
        Self { path, whole: text.clone(), text, before: (0, 0) }
    }

    /// The folder that its paths are relative to.
    pub(super) fn folder(&self) -> &Path {
        home::folder(&self.path)
    }

    /// Faults of the text as an end, at their places in the file.
    pub(super) fn wrong(&self, faults: Vec<Diagnostic>, exit: Exit) -> Stop {
        let (path, faults) = (self.path.display().to_string(), self.placed(faults));
        Stop::Manifest { path, text: self.whole.clone(), faults, exit }
    }

    /// The file, and the line that it begins on where it is not the first of it.
    pub(super) fn at(&self) -> String {
        let path = self.path.display();
        if self.before.1 == 0 { path.to_string() } else { format!("{path}:{}", self.before.1 + 1) }
    }

    /// Where its name stands, roughly: the line of its metadata.
    fn name_place(&self) -> Option<Place> {
        let mut offset = 0;
        for (number, line) in (1..).zip(self.text.split_inclusive('\n')) {
            if line.starts_with("metadata:") {
                let length = line.trim_end().len();
                return Some(Place { offset, length, line: number, column: 1 });
            }
            offset += line.len();
        }
        None
    }

    /// What keeps it from being applied with those before: they have its name, or write to a folder
    /// of its.
    fn collisions<'a>(
        &'a self,
        manifest: &Manifest,
        names: &mut BTreeMap<(&'a Path, String), &'a Self>,
        folders: &mut BTreeMap<PathBuf, &'a Self>,
    ) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let name = &manifest.name;
        if let Some(first) = names.insert((self.folder(), name.clone()), self) {
            let message = format!("a pipeline of {} is called `{name}` too", first.at());
            let hint = "give each a name of its own: runs are found by it".to_owned();
            let place = manifest.stages.values().map(|stage| stage.place).min();
            let place = self.name_place().or(place).unwrap_or_default();
            found.push(Diagnostic::new(place, &message, Some(hint)));
        }
        for publish in manifest.outputs.values() {
            let to = written(&self.folder().join(&publish.to));
            let first = folders.insert(to, self).filter(|first| !std::ptr::eq(*first, self));
            if let Some(first) = first {
                let message = format!("{} writes to `{}` too", first.at(), publish.to);
                let hint = "one would replace what the other wrote: choose another folder";
                found.push(Diagnostic::new(publish.from.2, &message, Some(hint.into())));
            }
        }
        found
    }

    /// The file, to show faults in.
    pub(super) fn whole(&self) -> &str {
        &self.whole
    }

    /// Faults of the text at their places in the file.
    pub(super) fn placed(&self, mut faults: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let (bytes, lines) = self.before;
        for fault in faults.iter_mut().filter(|fault| fault.place.line > 0) {
            fault.place.offset += bytes;
            fault.place.line += lines;
        }
        faults
    }
}

/// The documents of all that a command line names, in its order; files of a folder by name.
pub(super) fn read(files: &args::Files) -> Result<Vec<Document>, Stop> {
    let mut all = Vec::new();
    for path in files.all() {
        all.extend(of(path)?);
    }
    Ok(all)
}

/// The documents of one path.
pub(super) fn of(path: &Path) -> Result<Vec<Document>, Stop> {
    each(path)?.into_iter().map(|each| each.map_err(|(_, stop)| stop)).collect()
}

/// A document, or a file that has none and why.
pub(super) type Found = Result<Document, (PathBuf, Stop)>;

/// The documents of one path, and the files in it that cannot be read.
pub(super) fn each(path: &Path) -> Result<Vec<Found>, Stop> {
    match path.is_dir() {
        true => of_folder(path),
        false => Ok(of_file(path)),
    }
}

fn of_file(path: &Path) -> Vec<Found> {
    match text(path) {
        Ok(text) => split(path, text).into_iter().map(Ok).collect(),
        Err(stop) => vec![Err((path.to_owned(), stop))],
    }
}

/// What is wrong with a document.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// With itself.
    pub(super) own: Vec<Diagnostic>,
    /// With it beside those before it.
    pub(super) collisions: Vec<Diagnostic>,
}

impl Faults {
    /// All of it.
    pub(super) fn all(mut self) -> Vec<Diagnostic> {
        self.own.append(&mut self.collisions);
        self.own
    }
}

/// All faults of each document, compiled. That they keep each other from being applied together is
/// a fault as grave as `collision`.
pub(super) fn faults<'a>(
    documents: &[&'a Document],
    params: &BTreeMap<String, String>,
    collision: Severity,
) -> Vec<Faults> {
    let (mut names, mut folders) = (BTreeMap::new(), BTreeMap::new());
    let mut seen = BTreeSet::new();
    let of = |document: &'a Document| {
        let (manifest, own) = manifest::compile(&document.text, params);
        // The same one, named twice, is in nobody's way.
        let manifest = manifest.filter(|_| seen.insert(document.at()));
        let found = manifest.map(|m| document.collisions(&m, &mut names, &mut folders));
        let as_grave = |fault| Diagnostic { severity: collision, ..fault };
        Faults { own, collisions: found.into_iter().flatten().map(as_grave).collect() }
    };
    documents.iter().copied().map(of).collect()
}

/// A path without the parts that say nothing.
fn written(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The only document of a file.
pub(super) fn read_one(path: &Path) -> Result<Document, Stop> {
    if path.is_dir() {
        return Err(prose::not_a_folder(path));
    }
    let documents = split(path, text(path)?);
    match <[Document; 1]>::try_from(documents) {
        Ok([document]) => Ok(document),
        Err(several) => Err(prose::several(path, several.len())),
    }
}

fn text(path: &Path) -> Result<String, Stop> {
    let read = match path == Path::new(STDIN) {
        true => pipeline::read_from(io::stdin().lock(), "-"),
        false => pipeline::read(path),
    };
    read.map_err(|error| Stop::because(Exit::Failed, &error))
}

/// The pipelines of a folder: what else lies there is left alone.
fn of_folder(folder: &Path) -> Result<Vec<Found>, Stop> {
    let failed = |source| {
        let path = folder.display().to_string();
        Stop::because(Exit::Failed, &ReadError::Io { path, source })
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        files.extend((is_yaml && path.is_file()).then_some(path));
    }
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let is_one = |found: &Found| found.as_ref().map_or(true, |doc| is_pipeline(&doc.text));
        all.extend(of_file(&path).into_iter().filter(is_one));
    }
    if all.is_empty() { Err(prose::no_pipeline(folder)) } else { Ok(all) }
}

/// Whether a text is meant for a pipeline, though a word of it may be misspelt.
fn is_pipeline(text: &str) -> bool {
    let value = |key: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(rest.split_whitespace().next().unwrap_or_default().trim_matches(['"', '\'']))
    };
    let is_ours = value("apiVersion:").is_some_and(|version| version.starts_with("ohc/"));
    let is_near = |kind: &str| manifest::is_near(kind, "Pipeline");
    // What says that it is for another program is none of ours misspelt.
    let kind = value("kind:").unwrap_or_default();
    is_ours || kind == "Pipeline" || (value("apiVersion:").is_none() && is_near(kind))
}

/// Divides a file at the lines that begin a document: `---` at the beginning of a line means that
/// wherever it stands (YAML 1.2, 9.1.2). A part without content is none, unless it is all there is.
fn split(path: &Path, whole: String) -> Vec<Document> {
    let mut parts: Vec<(usize, u32)> = vec![(0, 0)];
    let (mut offset, mut lines) = (0, 0);
    for line in whole.split_inclusive('\n') {
        if offset > 0 && is_begin(line) {
            parts.push((offset, lines));
        }
        offset += line.len();
        lines += 1;
    }
    let ends = parts.iter().skip(1).map(|(begin, _)| *begin).chain([whole.len()]);
    let texts = parts.iter().zip(ends).filter_map(|(before, end)| {
        let text = whole.get(before.0..end)?;
        text.lines().any(has_content).then_some((*before, text))
    });
    let texts: Vec<((usize, u32), &str)> = texts.collect();
    let document = |before, text: &str| {
        let (path, text, whole) = (path.to_owned(), text.to_owned(), whole.clone());
        Document { path, text, whole, before }
    };
    match texts.as_slice() {
        // What stands before or behind it belongs to it.
        [] | [_] => vec![document((0, 0), &whole)],
        several => several.iter().map(|(before, text)| document(*before, text)).collect(),
    }
}

fn is_begin(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn has_content(line: &str) -> bool {
    let text = if is_begin(line) { line.get(3..).unwrap_or_default() } else { line }.trim();
    !text.is_empty() && !text.starts_with('#')
}

/// The parameters of a command line: those of its files, over which single ones go.
pub(super) fn params(params: &args::Params) -> Result<BTreeMap<String, String>, Stop> {
    let mut all = BTreeMap::new();
    for path in &params.params_file {
        let text = text(path)?;
        match manifest::params_file(&text) {
            Ok(more) => all.extend(more),
            Err(faults) => {
                let path = path.display().to_string();
                return Err(Stop::Manifest { path, text, faults, exit: Exit::Failed });
            }
        }
    }
    all.extend(params.params.iter().cloned());
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(&str, u32)]) {
        let documents = split(Path::new("m.yaml"), text.to_owned());
        let found: Vec<(&str, u32)> =
            documents.iter().map(|doc| (doc.text.as_str(), doc.before.1)).collect();
        assert_eq!(found, expect, "{text:?}");
        for document in &documents {
            let (bytes, _) = document.before;
            assert_eq!(&text[bytes..bytes + document.text.len()], document.text);
        }
    }

    #[test]
    fn a_file_is_divided_where_a_line_begins_a_document() {
        check("a: 1\n", &[("a: 1\n", 0)]);
        check("a: 1\n---\nb: 2\n", &[("a: 1\n", 0), ("---\nb: 2\n", 1)]);
        check("# x\n---\na: 1\n--- # y\nb: 2", &[("---\na: 1\n", 1), ("--- # y\nb: 2", 3)]);
        check("a: |\n  ---\n  b\n", &[("a: |\n  ---\n  b\n", 0)]);
        check("a: ----\n----: 1\n", &[("a: ----\n----: 1\n", 0)]);
    }

    #[test]
    fn one_document_is_the_whole_file_whatever_is_empty_around_it() {
        for text in ["---\na: 1\n", "# x\n---\na: 1\n---\n", "", "# nothing\n---\n"] {
            check(text, &[(text, 0)]);
        }
    }

    #[test]
    fn only_a_pipeline_is_one() {
        assert!(is_pipeline("apiVersion: x\nkind: Pipeline # y\n"));
        assert!(is_pipeline("kind: \"Pipeline\"\n"));
        assert!(!is_pipeline("kind: Service\n") && !is_pipeline("a:\n  kind: Pipeline\n"));
        assert!(!is_pipeline("epochs: 90\n"));
        assert!(!is_pipeline("apiVersion: tekton.dev/v1\nkind: PipelineRun\n"));
        // What is misspelt is a fault rather than nothing.
        assert!(is_pipeline("kind: Pipelin\n") && is_pipeline("kind: pipeline\n"));
        assert!(is_pipeline("apiVersion: ohc/v1alpha1\nknd: Pipeline\n"));
    }
}
