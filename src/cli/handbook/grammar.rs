//! `docs/manifest.md`: every key of a manifest and every kind of stage, from the grammar's table.
//! Never checks an example: the grammar's own tests do.

use super::{MADE, anchor};
use crate::domain::job::functions;
use crate::domain::manifest::outline::{self, Input, Key, Kind, Section};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What holds for all keys.
const PRELUDE: &str = "\
A manifest is one YAML document. The [example](#a-pipeline) shows one of each kind of stage;
`ohc init DATA` writes a first one for a data file, `ohc validate` reports every fault at its place,
`ohc explain stages.train.with.optimizer` prints what stands here about a key, and
`ohc schema pipeline` prints the JSON Schema for editors.

How values are written:

- *amount*: decimal text of OhC with at most nine places, quoted: `\"5.00\"`.
- *duration*: numbers with units `ms`, `s`, `m`, `h`, `d`: `500ms`, `15m`, `1h30m`.
- *bytes*: a number with a unit `KiB`, `MiB`, `GiB`, `TiB` or `kB`, `MB`, `GB`, `TB`: `64MiB`.
- *range*: `4` is exactly four, `2..` at least two, `..8` at most eight, `2..8` both.
- *expression*: `${{ … }}` reads `params.NAME` and `run.name`; in `with` also `matrix.AXIS` or
  `item.NAME`; in `when` also `metrics.STAGE.NAME`. It has numbers, `'text'`, `true`, `false`,
  `+ - * / %`, `== != < <= > >=`, `&& || !`, `min(…)` and `max(…)`. A value that is one expression
  keeps its type; inside text it becomes text. Arithmetic is exact: what has no exact decimal is
  refused.
- *reference*: `sources.NAME`, `STAGE.OUTPUT`, or `STAGE.*.OUTPUT` of all instances of a stage.
";

/// What formulas are; their functions follow.
const FORMULAS: &str = "\
- *formula*: what a `filter` keeps and a `derive` computes of a row: columns by their names (any
  other name in backticks), numbers, `'text'`, `true`, `false`, `null`, `+ - * / %`,
  `= != < <= > >=`, `and`, `or`, `not`, `is null`, `in (…)`. What has no value makes no value, but
  for `and`, `or`, `is null`, `coalesce` and `if`; nor has what is beyond the numbers: a division by
  0, integers beyond 64 bits. `%` has the sign of what is divided (`-7 % 3` is -1), and `round` goes
  away from 0 at halves (0.5 becomes 1, -2.5 becomes -3). `replace(price, ',', '.')` puts a point
  for each comma of a text, which `cast` can then read. Functions, with how many arguments they
  take:";

/// A mapping of the grammar, and everywhere that it stands.
struct Chapter {
    section: Section,
    paths: Vec<String>,
}

impl Chapter {
    /// Where people look for it: in a stage, if it may stand there.
    fn path(&self) -> &str {
        let in_stage = self.paths.iter().find(|path| path.starts_with("spec.stages."));
        in_stage.or(self.paths.first()).map_or("", String::as_str)
    }
}

/// The whole document.
#[must_use]
pub fn grammar() -> String {
    let functions = functions().map(|(name, min, max)| match min == max {
        true => format!("`{name}` of {min}"),
        false => format!("`{name}` of {min} or more"),
    });
    let functions = functions.collect::<Vec<_>>().join(", ");
    let mut out = format!("# Manifest\n\n{MADE}\n\n{PRELUDE}{FORMULAS} {functions}.\n\n");
    let mut book = Book::default();
    book.add(&outline::document(), String::new());
    for kind in outline::kinds() {
        book.add(&kind.with(), format!("{}.with", kind.name()));
    }
    pipeline(&mut out);
    let (document, kinds): (Vec<&Chapter>, Vec<&Chapter>) =
        book.chapters().partition(|chapter| !is_of_kind(chapter));
    for chapter in document {
        let title = book.title(chapter);
        let _ = writeln!(out, "## {title}\n");
        book.chapter(chapter, &mut out);
    }
    for kind in outline::kinds() {
        about(kind, &mut out);
        let own = format!("{}.with", kind.name());
        let below = format!("{own}.");
        let is_own = |path: &str| path == own || path.starts_with(&below);
        for chapter in kinds.iter().filter(|chapter| is_own(chapter.path())) {
            if !chapter.section.keys.is_empty() {
                let _ = writeln!(out, "### {}\n", book.title(chapter));
            }
            book.chapter(chapter, &mut out);
        }
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

/// One stage of each kind: the grammar's tests compile it.
fn pipeline(out: &mut String) {
    out.push_str("## A pipeline\n\n```yaml\n");
    out.push_str(&outline::example());
    out.push_str("```\n\n");
}

fn is_of_kind(chapter: &Chapter) -> bool {
    let first = chapter.path().split('.').next();
    outline::kinds().any(|kind| Some(kind.name()) == first)
}

/// What a kind of stage does, takes, gives and measures.
fn about(kind: Kind, out: &mut String) {
    let _ = writeln!(out, "## `uses: {}`\n\n{}\n", kind.name(), kind.doc());
    let _ = writeln!(out, "```yaml\n{}```\n", kind.example());
    match kind.inputs() {
        None => out.push_str("Inputs: any, by any name.\n\n"),
        Some(inputs) if inputs.is_empty() => out.push_str("Inputs: none.\n\n"),
        Some(inputs) => {
            out.push_str("Inputs:\n\n");
            inputs.iter().for_each(|input| self::input(input, out));
            out.push('\n');
        }
    }
    match kind.outputs() {
        None => out.push_str("Outputs: the parts that its settings name.\n\n"),
        Some(outputs) => {
            let each = outputs.iter().map(|(name, good)| format!("`{name}` ({good})"));
            let _ = writeln!(out, "Outputs: {}.\n", each.collect::<Vec<_>>().join(", "));
        }
    }
    if !kind.metrics().is_empty() {
        out.push_str("Metrics:\n\n");
        for (name, doc) in kind.metrics() {
            let _ = writeln!(out, "- `{name}`: {doc}");
        }
        out.push('\n');
    }
}

fn input(input: &Input, out: &mut String) {
    let many = if input.many { ", or several" } else { "" };
    let optional = if input.optional { "; optional" } else { "" };
    let Input { name, good, doc, .. } = input;
    let _ = writeln!(out, "- `{name}` ({good}{many}{optional}): {doc}");
}

/// The mappings of the grammar, in the order in which they are met; each once.
#[derive(Default)]
struct Book {
    order: Vec<&'static str>,
    chapters: BTreeMap<&'static str, Chapter>,
}

impl Book {
    fn chapters(&self) -> impl Iterator<Item = &Chapter> {
        self.order.iter().filter_map(|name| self.chapters.get(name))
    }

    /// Adds a mapping that stands at a path, and all below it.
    fn add(&mut self, section: &Section, path: String) {
        let known = self.chapters.get_mut(section.name);
        let is_new = known.is_none();
        match known {
            Some(chapter) => chapter.paths.push(path.clone()),
            None => {
                self.order.push(section.name);
                let chapter = Chapter { section: section.clone(), paths: vec![path.clone()] };
                self.chapters.insert(section.name, chapter);
            }
        }
        // What stands below a mapping that is known is known too.
        for key in section.keys.iter().filter(|_| is_new) {
            let dot = if path.is_empty() { "" } else { "." };
            let below = format!("{path}{dot}{}{}", key.name(), key.steps());
            key.below().iter().for_each(|section| self.add(section, below.clone()));
        }
    }

    fn title(&self, chapter: &Chapter) -> String {
        let is_shared = |other: &&Chapter| other.path() == chapter.path();
        match chapter.path() {
            "" => "The document".to_owned(),
            path if self.chapters().filter(is_shared).count() > 1 => {
                format!("`{path}`: `{}`", chapter.section.name)
            }
            path => format!("`{path}`"),
        }
    }

    fn chapter(&self, chapter: &Chapter, out: &mut String) {
        let Chapter { section, paths } = chapter;
        let _ = writeln!(out, "{}", section.doc);
        let others = paths.iter().filter(|path| *path != chapter.path());
        let others: Vec<String> = others.map(|path| format!("`{path}`")).collect();
        if !others.is_empty() {
            let _ = writeln!(out, "Stands in {} too.", others.join(", "));
        }
        if section.is_choice {
            out.push_str("Exactly one of these keys is written.\n");
        }
        out.push('\n');
        section.keys.iter().for_each(|key| self.key(*key, section.is_choice, out));
        if !section.keys.is_empty() {
            out.push('\n');
        }
    }

    fn key(&self, key: Key, is_choice: bool, out: &mut String) {
        // Of a choice one is written, and none has a default.
        let need = key.need().filter(|_| !is_choice);
        let need = need.map_or_else(String::new, |need| format!("; {need}"));
        let _ = writeln!(out, "- **`{}`**: {}{need}.", key.name(), key.ty());
        let _ = write!(out, "  {}", key.doc());
        let below = key.below();
        let links = below.iter().filter_map(|section| {
            let title = self.title(self.chapters.get(section.name)?);
            Some(format!("[{title}](#{})", anchor(&title)))
        });
        let links: Vec<String> = links.collect();
        if !links.is_empty() {
            let _ = write!(out, " See {}.", links.join(", "));
        }
        if key.is_by_kind() {
            out.push_str(" See the kinds below.");
        }
        out.push('\n');
        if let Some(example) = key.example() {
            let _ = writeln!(out, "  Example: `{}: {example}`", key.name());
        }
    }
}
