//! Structure: walks a tree of nodes along the grammar and reports everything that does not fit.
//! Never knows what a name refers to, nor what a stage means.

mod scalar;

use super::diagnostic::{Faults, Place, list, suggest};
use super::expression::is_expression;
use super::form::{Field, Need, Object, OneOf, Tagged, Type};
use super::kind::stage_kind;
use super::node::{Kind, Node};
use super::quantity::is_identifier;

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

/// Reports everything in which one value departs from its field of the grammar.
#[cfg(test)]
pub(super) fn field(field: &'static Field, node: &Node, at: Place, faults: &mut Faults) {
    let site = Site { node, at, what: field.name };
    Walk { stage: Stage::Resolved, faults }.check(&field.ty, site, None);
}

struct Walk<'f> {
    stage: Stage,
    faults: &'f mut Faults,
}

impl Walk<'_> {
    fn check(&mut self, ty: &'static Type, site: Site<'_>, parent: Option<&Node>) {
        let node = site.node;
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
            Type::Columns { noun, of, min, max } => {
                self.columns(of, noun, (*min, *max), site);
            }
            Type::List { of, min, max } => self.list(of, (*min, *max), site),
            Type::With => self.settings(site, parent),
            Type::Tagged(tagged) => self.tagged(tagged, site),
            Type::OneOf(one_of) => self.one_of(one_of, site),
            Type::Either(types) => self.either(types, site),
            Type::Condition => {}
            scalar => self.scalar(scalar, site),
        }
    }

    fn object(&mut self, object: &'static Object, site: Site<'_>) {
        self.fields(object, None, site);
    }

    /// An object, of which one key has been looked at already.
    fn fields(&mut self, object: &'static Object, tag: Option<&str>, site: Site<'_>) {
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
        for (key, value) in entries.iter().filter(|(key, _)| Some(&*key.text) != tag) {
            if self.faults.is_full() {
                return;
            }
            if let Some(field) = find(&key.text) {
                let what = format!("`{}`", field.name);
                self.check(&field.ty, Site { node: value, at: key.place, what: &what }, Some(node));
            } else {
                let known = object.fields.iter().map(|field| field.name).chain(tag);
                let hint = match key.text.split_once(':') {
                    Some((name, _)) if find(name).is_some() => {
                        Some(format!("a `:` needs a space after it: `{name}: …`"))
                    }
                    _ => suggest(&key.text, known),
                };
                let message = format!("unknown key `{}` in {what}", cut(&key.text));
                self.faults.advise(key.place, message, hint);
            }
        }
        for field in object.fields {
            let is_needed = match field.need {
                Need::Required => true,
                Need::Unless(other) => node.get(other).is_none(),
                Need::Default(_) | Need::Optional => false,
            };
            if is_needed && node.get(field.name).is_none() {
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

    fn columns(
        &mut self,
        of: &'static Type,
        noun: &str,
        (min, max): (usize, usize),
        site: Site<'_>,
    ) {
        let Kind::Map(entries) = &site.node.kind else {
            let found = site.node.kind.noun();
            let message = format!("{} must be a mapping of {noun} names, not {found}", site.what);
            return self.faults.add(place_of(site), message);
        };
        self.count(entries.len(), (min, max), site);
        for (key, value) in entries {
            let what = format!("{noun} `{}`", cut(&key.text));
            self.check(of, Site { node: value, at: key.place, what: &what }, None);
        }
    }

    /// An object that its tag chooses.
    fn tagged(&mut self, tagged: &'static Tagged, site: Site<'_>) {
        let Site { node, at, what } = site;
        let words: Vec<&str> = tagged.variants.iter().map(|variant| variant.name).collect();
        if !matches!(node.kind, Kind::Map(_)) {
            let message = format!("{what} must be a mapping, not {}", node.kind.noun());
            let word = words.first().copied().unwrap_or_default();
            let hint = format!("such as {{ {}: {word} }}", tagged.tag);
            return self.faults.advise(place_of(site), message, hint);
        }
        let word = match (node.get(tagged.tag), tagged.default) {
            (Some(word), _) => word.text(),
            (None, Some(word)) => Some(word),
            (None, None) => {
                let message = format!("{what} needs `{}`", tagged.tag);
                return self.faults.advise(at, message, format!("one of {}", list(&words)));
            }
        };
        let variant = tagged.variants.iter().find(|variant| Some(variant.name) == word);
        if let Some(variant) = variant {
            return self.fields(variant, Some(tagged.tag), site);
        }
        let Some(given) = node.get(tagged.tag) else { return };
        let is_open = self.stage == Stage::Open && given.text().is_some_and(is_expression);
        if !is_open && given.kind != Kind::Fault {
            let message = match &given.kind {
                Kind::Text(text) => format!("`{}` cannot be `{}`", tagged.tag, cut(text)),
                _ => format!("`{}` must be one of {}", tagged.tag, list(&words)),
            };
            let hint = given.text().and_then(|text| suggest(text, words.iter().copied()));
            self.faults.advise(place_of(Site { node: given, ..site }), message, hint);
        }
    }

    /// A mapping with one key, which says what it is.
    fn one_of(&mut self, one_of: &'static OneOf, site: Site<'_>) {
        let names = one_of.variants.iter().map(|variant| variant.name);
        let [(key, value)] = site.node.entries() else {
            let message = format!("{} must be a mapping with one key", site.what);
            let names: Vec<&str> = names.collect();
            return self.faults.advise(place_of(site), message, format!("one of {}", list(&names)));
        };
        let Some(field) = one_of.variants.iter().find(|variant| variant.name == key.text) else {
            let message = format!("`{}` is no {}", cut(&key.text), one_of.name);
            return self.faults.advise(key.place, message, suggest(&key.text, names));
        };
        let what = format!("`{}`", field.name);
        self.check(&field.ty, Site { node: value, at: key.place, what: &what }, None);
    }

    fn either(&mut self, types: &'static [Type], site: Site<'_>) {
        if let Some(ty) = types.iter().find(|ty| ty.has_shape_of(&site.node.kind)) {
            return self.check(ty, site, None);
        }
        let shapes: Vec<&str> = types.iter().map(Type::shape).collect();
        let found = site.node.kind.noun();
        let message = format!("{} must be {}, not {found}", site.what, shapes.join(" or "));
        self.faults.add(place_of(site), message);
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
}

impl Type {
    /// What a person calls what may stand there: a scalar, a list or a mapping.
    const fn shape(&self) -> &'static str {
        match self {
            Self::List { .. } => "a list",
            Self::Object(_)
            | Self::Map { .. }
            | Self::Columns { .. }
            | Self::Tagged(_)
            | Self::OneOf(_)
            | Self::With => "a mapping",
            _ => "one value",
        }
    }

    fn has_shape_of(&self, kind: &Kind) -> bool {
        let shape = match kind {
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
            _ => "one value",
        };
        match self {
            Self::Either(types) => types.iter().any(|ty| ty.has_shape_of(kind)),
            Self::WordOr(..) => shape != "a list",
            other => other.shape() == shape,
        }
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

/// The first 40 characters: a message is no place for a whole hostile text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
