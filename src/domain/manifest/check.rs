//! Structure: walks a tree of nodes along the grammar and reports everything that does not fit.
//! Never knows what a name refers to, nor what a stage means.

use super::diagnostic::{Faults, Place, is_steering, list, suggest};
use super::expression::is_expression;
use super::form::{Field, Need, Object, Range, Type};
use super::kind::{KIND_NAMES, stage_kind};
use super::node::{Kind, Node};
use super::quantity::{decimal, duration_ms, is_dns_label, is_identifier, is_label_value};
use crate::base::amount::Ohc;

/// Whether expressions are still in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// They are: whatever scalar holds one is accepted.
    Open,
    /// All are replaced: what looks like one is a value.
    Resolved,
}

/// A node to be checked, and how to speak of it.
#[derive(Clone, Copy)]
struct Site<'a> {
    node: &'a Node,
    /// The key that it stands under: where something missing is reported.
    at: Place,
    /// How a message calls it.
    what: &'a str,
}

/// Reports everything in which the whole manifest departs from the grammar.
pub(super) fn manifest(root: &Node, object: &'static Object, faults: &mut Faults) {
    let at = Place { line: 1, column: 1, ..Place::default() };
    let site = Site { node: root, at, what: "the manifest" };
    Walk { stage: Stage::Resolved, faults }.object(object, site);
}

/// Reports everything in which the settings of a stage depart from those of its kind.
pub(super) fn with(
    node: &Node,
    at: Place,
    object: &'static Object,
    stage: Stage,
    faults: &mut Faults,
) {
    Walk { stage, faults }.object(object, Site { node, at, what: "`with`" });
}

/// Reports everything in which one node departs from one object of the grammar.
pub(super) fn part(node: &Node, at: Place, object: &'static Object, faults: &mut Faults) {
    Walk { stage: Stage::Resolved, faults }.object(object, Site { node, at, what: object.name });
}

struct Walk<'f> {
    stage: Stage,
    faults: &'f mut Faults,
}

impl Walk<'_> {
    fn check(&mut self, ty: &'static Type, site: Site<'_>, parent: Option<&Node>) {
        let Site { node, what, .. } = site;
        let is_open = self.stage == Stage::Open && node.text().is_some_and(is_expression);
        if self.faults.is_full() || is_open || node.kind == Kind::Fault {
            return;
        }
        match ty {
            Type::Object(object) => self.object(object, site),
            Type::WordOr(_, object) if matches!(node.kind, Kind::Map(_)) => {
                self.object(object, site);
            }
            Type::Map { of, noun, min, max } => self.map(of, noun, (*min, *max), site),
            Type::List { of, min, max } => self.list(of, (*min, *max), site),
            Type::With => self.settings(site, parent),
            Type::Text(max) => self.text(*max, site),
            Type::Word(words) => self.word(words, site),
            Type::WordOr(words, object) => {
                let is_word = node.text().is_some_and(|text| words.contains(&text));
                self.holds(is_word, site, || {
                    let known: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
                    let known = known.join(", ");
                    (
                        format!("{what} must be {} or a mapping", list(words)),
                        format!("such as `{{ {known}: … }}`"),
                    )
                });
            }
            Type::Integer { min, max } => self.integer(*min, *max, site),
            Type::Real(range) => self.real(range, site),
            Type::DnsLabel => self.holds(node.text().is_some_and(is_dns_label), site, || {
                (
                    format!("{what} must be lower-case letters, digits and inner `-`, at most 63"),
                    "such as `iris-2`".to_owned(),
                )
            }),
            Type::Share { places } => {
                let one = 10u64.pow(u32::try_from(*places).unwrap_or(0));
                let share = node.number().and_then(|text| decimal(text, *places));
                self.holds(share.is_some_and(|share| (1..=one).contains(&share)), site, || {
                    let hint = format!("a decimal such as 0.25, with at most {places} places");
                    let hint = unquote(node).unwrap_or(hint);
                    (format!("{what} must be above 0 and at most 1"), hint)
                });
            }
            Type::Amount => self.amount(site),
            Type::Duration { min_ms, max_ms } => {
                let ms = node.text().and_then(duration_ms);
                self.holds(ms.is_some_and(|ms| (*min_ms..=*max_ms).contains(&ms)), site, || {
                    let least = if *min_ms > 0 { "from 1s to 30 days" } else { "up to 30 days" };
                    (
                        format!("{what} must be a duration {least}"),
                        "such as `500ms`, `15m` or `1h30m`".to_owned(),
                    )
                });
            }
            Type::Scalar => self.holds(node.kind.scalar_text().is_some(), site, || {
                let noun = node.kind.noun();
                (format!("{what} must be a number, text or a boolean, not {noun}"), String::new())
            }),
            Type::AxisValue => {
                let is_good = node.kind.scalar_text().is_some_and(is_label_value);
                self.holds(is_good, site, || {
                    (
                        format!("{what} must be a number, a boolean or a short word"),
                        "letters, digits and `._+-/` can stand in the label of an instance".into(),
                    )
                });
            }
        }
    }

    fn object(&mut self, object: &'static Object, site: Site<'_>) {
        let Site { node, at, what } = site;
        if node.kind == Kind::Fault {
            return;
        }
        let Kind::Map(entries) = &node.kind else {
            let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
            let message = format!("{what} must be a mapping, not {}", node.kind.noun());
            let hint = (!names.is_empty()).then(|| format!("with the keys {}", list(&names)));
            return self.faults.advise(place_of(site), message, hint);
        };
        let find = |name: &str| object.fields.iter().find(|field| field.name == name);
        for (key, value) in entries {
            if self.faults.is_full() {
                return;
            }
            if let Some(field) = find(&key.text) {
                let what = format!("`{}`", field.name);
                self.check(&field.ty, Site { node: value, at: key.place, what: &what }, Some(node));
            } else {
                let hint = suggest(&key.text, object.fields.iter().map(|field| field.name));
                let message = format!("unknown key `{}` in {what}", cut(&key.text));
                self.faults.advise(key.place, message, hint);
            }
        }
        for field in object.fields.iter().filter(|field| matches!(field.need, Need::Required)) {
            if node.get(field.name).is_none() {
                let message = format!("{what} needs `{}`", field.name);
                self.faults.advise(at, message, advice(field));
            }
        }
    }

    fn map(&mut self, of: &'static Type, noun: &str, (min, max): (usize, usize), site: Site<'_>) {
        let Kind::Map(entries) = &site.node.kind else {
            let found = site.node.kind.noun();
            let message = format!("{} must be a mapping of {noun} names, not {found}", site.what);
            return self.faults.add(place_of(site), message);
        };
        self.count(entries.len(), (min, max), site);
        for (key, value) in entries {
            if self.faults.is_full() {
                return;
            }
            if !is_identifier(&key.text) {
                let message = format!("`{}` cannot name a {noun}", cut(&key.text));
                let hint = "a letter, then letters, digits, `-` and `_`, at most 63".to_owned();
                self.faults.advise(key.place, message, hint);
            }
            let what = format!("{noun} `{}`", cut(&key.text));
            self.check(of, Site { node: value, at: key.place, what: &what }, None);
        }
    }

    fn list(&mut self, of: &'static Type, (min, max): (usize, usize), site: Site<'_>) {
        let Kind::Seq(items) = &site.node.kind else {
            let message = format!("{} must be a list, not {}", site.what, site.node.kind.noun());
            return self.faults.advise(place_of(site), message, "write [ … ]".to_owned());
        };
        self.count(items.len(), (min, max), site);
        let what = format!("an item of {}", site.what);
        for item in items {
            self.check(of, Site { node: item, at: item.place, what: &what }, None);
        }
    }

    fn count(&mut self, count: usize, (min, max): (usize, usize), site: Site<'_>) {
        if count < min || count > max {
            let message = format!("{} must have {min} to {max} entries, not {count}", site.what);
            self.faults.add(site.at, message);
        }
    }

    /// `with`: the kind of the stage decides; an unknown kind is reported at `uses`.
    fn settings(&mut self, site: Site<'_>, parent: Option<&Node>) {
        let uses = parent.and_then(|stage| stage.get("uses")).and_then(Node::text);
        if let Some(kind) = uses.and_then(stage_kind) {
            let mut walk = Walk { stage: Stage::Open, faults: self.faults };
            walk.object(&kind.with, site);
        }
    }

    fn text(&mut self, max: usize, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.text() {
            Some(text) if text.chars().any(is_steering) => {
                self.faults
                    .add(place_of(site), format!("{what} has characters that cannot be seen"));
            }
            Some(text) if (1..=max).contains(&text.len()) => {}
            Some(_) => {
                self.faults.add(place_of(site), format!("{what} must have 1 to {max} bytes"));
            }
            None => {
                let hint = node.kind.scalar_text().map(|text| format!("quote it: \"{text}\""));
                let message = format!("{what} must be text, not {}", node.kind.noun());
                self.faults.advise(place_of(site), message, hint);
            }
        }
    }

    fn word(&mut self, words: &'static [&'static str], site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.text() {
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                let message = format!("{what} cannot be `{}`", cut(text));
                self.faults.advise(place_of(site), message, suggest(text, words.iter().copied()));
            }
            None => {
                let message = format!("{what} must be one of {}", list(words));
                let hint = (words == KIND_NAMES).then(|| "what does the stage do?".to_owned());
                self.faults.advise(place_of(site), message, hint);
            }
        }
    }

    fn integer(&mut self, min: i128, max: i128, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.integer() {
            Some(value) if (min..=max).contains(&value) => {}
            Some(value) => {
                let message = format!("{what} must be {min} to {max}, not {value}");
                self.faults.add(place_of(site), message);
            }
            None => {
                let message = format!("{what} must be an integer, not {}", described(node));
                self.faults.advise(place_of(site), message, unquote(node));
            }
        }
    }

    fn real(&mut self, range: &'static Range, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.real() {
            Some(value) if range.has(value) => {}
            Some(_) => {
                let message = format!("{what} must be {}", range.words());
                self.faults.add(place_of(site), message);
            }
            None => {
                let message = format!("{what} must be a number, not {}", described(node));
                self.faults.advise(place_of(site), message, unquote(node));
            }
        }
    }

    fn amount(&mut self, site: Site<'_>) {
        let Site { node, what, .. } = site;
        let example = "quoted decimal text of OhC, such as \"5.00\"".to_owned();
        match node.text().map(str::parse::<Ohc>) {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                self.faults.advise(place_of(site), format!("{what} is {error}"), example);
            }
            None => {
                let message = format!("{what} must be text, not {}", node.kind.noun());
                let quoted = node.number().map(|text| format!("quote it: \"{text}\""));
                self.faults.advise(place_of(site), message, quoted.unwrap_or(example));
            }
        }
    }

    fn holds(&mut self, holds: bool, site: Site<'_>, fault: impl FnOnce() -> (String, String)) {
        if !holds {
            let (message, hint) = fault();
            self.faults.advise(place_of(site), message, (!hint.is_empty()).then_some(hint));
        }
    }
}

impl Range {
    /// Whether a number is in it.
    fn has(&self, value: f64) -> bool {
        (value > self.min || (self.min_allowed && value == self.min))
            && (value < self.max || (self.max_allowed && value == self.max))
    }

    fn words(&self) -> String {
        let from = if self.min_allowed { "at least" } else { "above" };
        let to = if self.max_allowed { "at most" } else { "below" };
        format!("{from} {} and {to} {}", self.min, self.max)
    }
}

/// The node itself, or the key where the node is empty and so has no text to point at.
fn place_of(site: Site<'_>) -> Place {
    if site.node.kind == Kind::Null || site.node.place.line == 0 {
        site.at
    } else {
        site.node.place
    }
}

fn advice(field: &Field) -> Option<String> {
    let example = field.example;
    Some(match example {
        "" => field.doc.to_owned(),
        _ => format!("such as `{}: {example}`", field.name),
    })
}

/// The scalar itself where it is short, the noun otherwise.
fn described(node: &Node) -> String {
    match &node.kind {
        Kind::Number(text) => text.clone(),
        Kind::Text(text) => format!("the text \"{}\"", cut(text)),
        other => other.noun().to_owned(),
    }
}

fn unquote(node: &Node) -> Option<String> {
    let text = node.text()?;
    text.parse::<f64>().ok().map(|_| format!("without the quotes: {}", cut(text)))
}

/// The first 40 characters: a message is no place for a whole hostile text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
