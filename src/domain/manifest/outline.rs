//! The outline of the grammar: what may be written in a manifest, as values for those who explain
//! it to people. Never checks a text, and holds no prose but that of the table.

use super::diagnostic::suggest;
use super::form::{Field, Good, Need, Object, Range, StageKind, Tagged, Type, Unit};
use super::grammar::MANIFEST;
use super::kind::KINDS;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Settings that the table lets be left out, but that the plainest stage of a kind needs.
const DEMANDED: &[(&str, &str)] = &[("train", "target"), ("train", "epochs")];

/// One key that may be written.
#[derive(Clone, Copy)]
pub struct Key(Entry);

#[derive(Clone, Copy)]
enum Entry {
    /// A field of the table.
    Field(&'static Field),
    /// The field that says which variant an object is, and the word that it has there.
    Tag(&'static Tagged, &'static Object),
}

/// Keys that stand together in one mapping.
#[derive(Clone)]
pub struct Section {
    /// The name in the schema.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Whether exactly one of the keys is written.
    pub is_choice: bool,
    /// The keys.
    pub keys: Vec<Key>,
}

/// One word after `uses:`.
#[derive(Clone, Copy)]
pub struct Kind(&'static StageKind);

/// An input of a kind.
#[derive(Clone, Copy)]
pub struct Input {
    /// The name.
    pub name: &'static str,
    /// What flows in: `a table`.
    pub good: &'static str,
    /// Whether several may flow in.
    pub many: bool,
    /// Whether nothing need flow in.
    pub optional: bool,
    /// What it is for.
    pub doc: &'static str,
}

/// What a path names.
#[derive(Clone)]
pub enum Topic {
    /// The whole document.
    Document(Section),
    /// A kind of stage.
    Kind(Kind),
    /// A key, with the whole path to it.
    Key(String, Key),
}

/// The keys of the whole document.
#[must_use]
pub fn document() -> Section {
    section(&MANIFEST)
}

/// Every kind of stage.
pub fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.iter().map(|kind| Kind(kind))
}

impl Key {
    /// The key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Entry::Field(field) => field.name,
            Entry::Tag(tagged, _) => tagged.tag,
        }
    }

    /// What it is for.
    #[must_use]
    pub const fn doc(self) -> &'static str {
        match self.0 {
            Entry::Field(field) => field.doc,
            Entry::Tag(_, variant) => variant.doc,
        }
    }

    /// What may stand there, in words.
    #[must_use]
    pub fn ty(self) -> String {
        match self.0 {
            Entry::Field(field) => phrase(&field.ty),
            Entry::Tag(_, variant) => format!("`{}`", variant.name),
        }
    }

    /// Whether it must be there.
    #[must_use]
    pub fn is_required(self) -> bool {
        match self.0 {
            Entry::Field(field) => matches!(field.need, Need::Required),
            Entry::Tag(tagged, variant) => tagged.default != Some(variant.name),
        }
    }

    /// Whether it must be there, or what holds where it is not written, in words.
    #[must_use]
    pub fn need(self) -> Option<String> {
        match self.0 {
            Entry::Field(Field { need: Need::Unless(other), .. }) => {
                Some(format!("required without `{other}`"))
            }
            _ if self.is_required() => Some("required".to_owned()),
            _ => self.default().map(|value| format!("default: {value}")),
        }
    }

    /// What holds where it is not written, in words.
    #[must_use]
    pub fn default(self) -> Option<&'static str> {
        match self.0 {
            Entry::Field(Field { need: Need::Default(value), .. }) => Some(value),
            Entry::Field(_) => None,
            Entry::Tag(tagged, _) => tagged.default,
        }
    }

    /// An example of its value, as YAML flow text.
    #[must_use]
    pub fn example(self) -> Option<&'static str> {
        match self.0 {
            Entry::Field(field) => Some(field.example).filter(|example| !example.is_empty()),
            Entry::Tag(_, variant) => Some(variant.name),
        }
    }

    /// The mappings that may stand below it. Those below `with` are those of the kinds.
    #[must_use]
    pub fn below(self) -> Vec<Section> {
        match self.0 {
            Entry::Field(field) => sections(&field.ty),
            Entry::Tag(..) => Vec::new(),
        }
    }

    /// What stands between it and the keys below: `NAME` where people choose names.
    #[must_use]
    pub fn steps(self) -> String {
        match self.0 {
            Entry::Field(field) => steps(&field.ty),
            Entry::Tag(..) => String::new(),
        }
    }

    /// Whether the kind of the stage decides what stands below it.
    #[must_use]
    pub const fn is_by_kind(self) -> bool {
        matches!(self.0, Entry::Field(Field { ty: Type::With, .. }))
    }
}

impl Kind {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What it does.
    #[must_use]
    pub const fn doc(self) -> &'static str {
        self.0.doc
    }

    /// Its settings: what stands below `with`.
    #[must_use]
    pub fn with(self) -> Section {
        section(&self.0.with)
    }

    /// Its inputs; `None` takes any.
    #[must_use]
    pub fn inputs(self) -> Option<Vec<Input>> {
        let ports = self.0.inputs?;
        let input = |port: &super::form::Port| Input {
            name: port.name,
            good: port.good.noun(),
            many: port.many,
            optional: port.optional,
            doc: port.doc,
        };
        Some(ports.iter().map(input).collect())
    }

    /// Its outputs and what each is; `None` gives the parts that its settings name.
    #[must_use]
    pub fn outputs(self) -> Option<Vec<(&'static str, &'static str)>> {
        let outputs = self.0.outputs?;
        Some(outputs.iter().map(|(name, good)| (*name, good.noun())).collect())
    }

    /// The metrics that its jobs report, and what each is.
    #[must_use]
    pub const fn metrics(self) -> &'static [(&'static str, &'static str)] {
        self.0.metrics
    }

    /// A stage of this kind as YAML, named as the kind. Its inputs come from stages of other kinds
    /// that are named so too: the examples of all kinds are one pipeline.
    #[must_use]
    pub fn example(self) -> String {
        let mut text = format!("{0}:\n  uses: {0}\n", self.0.name);
        let ports = self.0.inputs.unwrap_or_default().iter().filter(|port| !port.optional);
        let inputs: Vec<String> =
            ports.map(|port| format!("{}: {}", port.name, origin(self.0, port.good))).collect();
        if !inputs.is_empty() {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "  inputs: {{ {} }}", inputs.join(", "));
        }
        let with = self.with().keys;
        let has_required = with.iter().any(|key| key.is_required());
        let is_demanded = |key: &&Key| {
            key.is_required() || !has_required || DEMANDED.contains(&(self.0.name, key.name()))
        };
        let told = with.iter().filter(is_demanded);
        let told: Vec<String> = told
            .filter_map(|key| Some(format!("    {}: {}\n", key.name(), key.example()?)))
            .collect();
        if !told.is_empty() {
            let _ = write!(text, "  with:\n{}", told.concat());
        }
        text
    }
}

/// A pipeline with a stage of each kind, as YAML.
#[must_use]
pub fn example() -> String {
    let head = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: example }\nspec:\n  \
                sources:\n    data: { url: data/iris.csv, format: csv }\n    encoder: { url: \
                models/minilm/, format: huggingface }\n    llama: { url: models/llama.gguf, \
                format: gguf }\n  stages:\n";
    let indent = |line: &str| format!("    {line}\n");
    let stages = kinds().map(|kind| kind.example().lines().map(indent).collect::<String>());
    head.to_owned() + &stages.collect::<String>()
}

/// Where an example of a kind takes a good from: a table as it is read, but for those who learn or
/// measure, which take parts of it; all else from the last kind before it that gives it.
fn origin(of: &StageKind, good: Good) -> String {
    match (of.name, good) {
        ("train", Good::Table) => return "split.train".to_owned(),
        ("evaluate", Good::Table) => return "split.test".to_owned(),
        _ => {}
    }
    let before = KINDS.iter().take_while(|kind| kind.name != of.name);
    let mut outputs = before.flat_map(|kind| {
        let given =
            kind.outputs.unwrap_or_default().iter().filter(move |(_, given)| *given == good);
        given.map(move |(output, _)| format!("{}.{output}", kind.name))
    });
    let found = if good == Good::Table { outputs.next() } else { outputs.last() };
    let source = match good {
        Good::Encoder => "sources.encoder",
        Good::Decoder => "sources.llama",
        _ => "sources.data",
    };
    found.unwrap_or(source.to_owned())
}

fn section(object: &'static Object) -> Section {
    let keys = object.fields.iter().map(|field| Key(Entry::Field(field))).collect();
    Section { name: object.name, doc: object.doc, is_choice: false, keys }
}

fn sections(ty: &'static Type) -> Vec<Section> {
    match ty {
        Type::Object(object) | Type::WordOr(_, object) => vec![section(object)],
        Type::Map { of, .. } | Type::Columns { of, .. } | Type::List { of, .. } => sections(of),
        Type::Either(types) => types.iter().flat_map(sections).collect(),
        Type::Tagged(tagged) => {
            let variant = |variant: &'static Object| {
                let mut section = section(variant);
                section.keys.insert(0, Key(Entry::Tag(tagged, variant)));
                section
            };
            tagged.variants.iter().map(variant).collect()
        }
        Type::OneOf(one_of) => {
            let keys = one_of.variants.iter().map(|field| Key(Entry::Field(field))).collect();
            vec![Section { name: one_of.name, doc: one_of.doc, is_choice: true, keys }]
        }
        _ => Vec::new(),
    }
}

fn steps(ty: &'static Type) -> String {
    match ty {
        Type::Map { of, noun, .. } => format!(".{}{}", noun.to_uppercase(), steps(of)),
        Type::Columns { of, .. } => format!(".COLUMN{}", steps(of)),
        Type::List { of, .. } => format!("[]{}", steps(of)),
        Type::Either(types) => {
            types.iter().map(steps).find(|steps| !steps.is_empty()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// What may stand at a place, in words.
fn phrase(ty: &Type) -> String {
    let of_words = |words: &[&str], last: Option<&str>| {
        let words = words.iter().map(|word| format!("`{word}`"));
        words.chain(last.map(str::to_owned)).collect::<Vec<_>>().join(" or ")
    };
    match ty {
        Type::Text(_) => "text".into(),
        Type::Lines(_) => "text of one or more lines".into(),
        Type::DnsLabel => "name of lower-case letters, digits and `-`".into(),
        Type::Name => "name".into(),
        Type::Word(words) => of_words(words, None),
        Type::Bool => "`true` or `false`".into(),
        Type::Integer { min, max } if *max >= i128::from(u64::MAX) => format!("integer from {min}"),
        Type::Integer { min, max } => format!("integer from {min} to {max}"),
        Type::Real(range) => real(range),
        Type::Share { .. } => "number above 0, at most 1".into(),
        Type::Amount => "amount of OhC, quoted".into(),
        Type::Duration { .. } => "duration".into(),
        Type::Range(Unit::Bytes) => "range of bytes".into(),
        Type::Range(Unit::Some | Unit::Any) => "range of integers".into(),
        Type::Amounts { .. } => "number of rows, or bytes with a unit".into(),
        Type::Mark { or } => format!("one character, or `{or}`"),
        Type::AxisValue => "number, word or boolean".into(),
        Type::Scalar => "number, text or boolean".into(),
        Type::Object(_) => "mapping".into(),
        Type::Map { of, noun, .. } => format!("mapping from each {noun} to {}", phrase(of)),
        Type::Columns { noun, of, .. } => format!("mapping from each {noun} to {}", phrase(of)),
        Type::List { of, .. } => format!("list of {}", phrase(of)),
        Type::WordOr(words, _) => of_words(words, Some("mapping")),
        Type::Either(types) => types.iter().map(phrase).collect::<Vec<_>>().join("; or "),
        Type::Tagged(tagged) => format!("mapping that `{}` chooses", tagged.tag),
        Type::OneOf(_) => "mapping with one key".into(),
        Type::Condition => "`true`, `false` or one expression".into(),
        Type::With => "mapping that the kind decides".into(),
    }
}

fn real(range: &Range) -> String {
    let from = if range.min_allowed { "from" } else { "above" };
    let to = if range.max_allowed { "to" } else { "below" };
    format!("number {from} {} {to} {}", range.min, range.max)
}

/// What a path names: `spec.stages.NAME.retry`, the same without `spec`, a kind, or a setting of a
/// kind (`train.optimizer.lr`, `stages.train.with.optimizer`). Gives the hint where there is none.
pub fn find(path: &str) -> Result<Topic, Option<String>> {
    let words = path.split(['.', '[', ']']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    let Some((first, rest)) = words.split_first() else {
        return Ok(Topic::Document(document()));
    };
    if let Some(kind) = kinds().find(|kind| kind.name() == *first) {
        let rest = match rest.split_first() {
            Some((&"with", rest)) => rest,
            _ => rest,
        };
        return match rest {
            [] => Ok(Topic::Kind(kind)),
            rest => descend(&kind.with(), rest, format!("{first}.with"), Some(kind)),
        };
    }
    let document = document();
    if document.keys.iter().any(|key| key.name() == *first) {
        return descend(&document, &words, String::new(), None);
    }
    let spec = document.keys.iter().filter(|key| key.name() == "spec").flat_map(|key| key.below());
    let known = |section: &Section| section.keys.iter().map(|key| key.name()).collect::<Vec<_>>();
    let mut names: Vec<&str> = known(&document);
    names.extend(kinds().map(Kind::name));
    for section in spec {
        if section.keys.iter().any(|key| key.name() == *first) {
            return descend(&section, &words, "spec".to_owned(), None);
        }
        names.extend(known(&section));
    }
    let paths = if rest.is_empty() { paths_to(first) } else { Vec::new() };
    Err(match paths.as_slice() {
        [] => suggest(first, names),
        paths => Some(format!("did you mean {}?", paths.join(" or "))),
    })
}

/// How deep a key is looked for, and how many paths to it are told.
const DEPTH_MAX: usize = 5;
const PATHS_MAX: usize = 6;

/// The paths that end in a key, those of the kinds first: `train.optimizer` of `optimizer`.
fn paths_to(word: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for kind in kinds() {
        below(&kind.with(), word, kind.name(), DEPTH_MAX, &mut paths);
    }
    let document = document();
    for key in document.keys.iter().filter(|key| key.name() == "spec") {
        key.below().iter().for_each(|spec| below(spec, word, "", DEPTH_MAX, &mut paths));
    }
    paths.truncate(PATHS_MAX);
    paths
}

fn below(section: &Section, word: &str, path: &str, depth: usize, paths: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    for key in section.keys.iter().filter(|key| !key.is_by_kind()) {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.name());
        let told = format!("`{path}`");
        if key.name() == word && find(&path).is_ok() && !paths.contains(&told) {
            paths.push(told);
        }
        let path = format!("{path}{}", key.steps());
        key.below().iter().for_each(|next| below(next, word, &path, depth - 1, paths));
    }
}

/// Follows the words of a path below a mapping; `kind` is the last word so far that names one.
fn descend(
    section: &Section,
    words: &[&str],
    path: String,
    kind: Option<Kind>,
) -> Result<Topic, Option<String>> {
    let Some((first, rest)) = words.split_first() else { return Err(None) };
    let Some(key) = section.keys.iter().find(|key| key.name() == *first) else {
        return Err(suggest(first, section.keys.iter().map(|key| key.name())));
    };
    let dot = if path.is_empty() { "" } else { "." };
    let mut path = format!("{path}{dot}{first}");
    let Some((next, after)) = rest.split_first() else {
        let kind = kind.filter(|_| key.is_by_kind());
        return Ok(kind.map_or(Topic::Key(path, *key), Topic::Kind));
    };
    if key.is_by_kind() {
        let Some(kind) = kind else {
            return Err(Some("name a kind: `train.with`, or `stages.train.with`".to_owned()));
        };
        return descend(&kind.with(), rest, format!("{}.with", kind.name()), Some(kind));
    }
    let below = key.below();
    let has = |word: &str| below.iter().any(|s| s.keys.iter().any(|key| key.name() == word));
    // A word that people choose may stand between.
    let (kind, rest) = match has(next) {
        false if key.steps().contains('.') => {
            let named = kinds().find(|kind| kind.name() == *next);
            if after.is_empty() {
                return named.map_or(Ok(Topic::Key(path, *key)), |kind| Ok(Topic::Kind(kind)));
            }
            (named, after)
        }
        _ => (kind, rest),
    };
    if let Some(word) = rest.first().filter(|word| !has(word)) {
        let names = below.iter().flat_map(|section| section.keys.iter().map(|key| key.name()));
        return Err(suggest(word, names.collect::<BTreeSet<_>>()));
    }
    let here = path.clone();
    path.push_str(&key.steps());
    let found: Vec<_> =
        below.iter().map(|section| descend(section, rest, path.clone(), kind)).collect();
    let mut hint = None;
    for result in found {
        match result {
            // What there is to choose from is said where the choice is.
            Ok(Topic::Key(_, Key(Entry::Tag(..)))) => return Ok(Topic::Key(here, *key)),
            Ok(topic) => return Ok(topic),
            Err(advice) => hint = hint.or(advice),
        }
    }
    Err(hint)
}

#[cfg(test)]
mod tests;
