//! YAML text as a tree of nodes with places: the only file that knows the YAML crate.
//! Never knows what a manifest may say; bounds what the text may make it build.

use super::diagnostic::{Diagnostic, Faults, Place};
use super::malformed;
use crate::base::limits::{
    MANIFEST_ALIASES_MAX, MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX, MANIFEST_NODES_MAX,
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Location, Options, Spanned};
use std::fmt;

/// A node and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where it stands; for an alias, where the alias stands.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is. Numbers keep their text: decimals become integers without ever being floats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Empty, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A plain scalar that reads as a number.
    Number(String),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the order of the text; no key occurs twice.
    Map(Vec<(Key, Node)>),
    /// What a fault was reported about already: acceptable anywhere, readable nowhere.
    Fault,
}

/// The key of an entry and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// The text.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) place: Place,
}

impl Node {
    /// The entries of a mapping; none of anything else.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Seq(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The text of a text scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a number.
    pub(crate) fn number(&self) -> Option<&str> {
        match &self.kind {
            Kind::Number(text) => Some(text),
            _ => None,
        }
    }

    /// The number as an integer.
    pub(crate) fn integer(&self) -> Option<i128> {
        self.number()?.parse().ok()
    }

    /// The number as a finite real.
    pub(crate) fn real(&self) -> Option<f64> {
        self.number()?.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

impl Kind {
    /// What a person calls it.
    pub(crate) const fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Fault => "a fault",
        }
    }

    /// The text of a scalar as it would be embedded in other text.
    pub(crate) fn scalar_text(&self) -> Option<&str> {
        match self {
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Number(text) | Self::Text(text) => Some(text),
            Self::Null | Self::Seq(_) | Self::Map(_) | Self::Fault => None,
        }
    }
}

/// Reads one YAML document. A fault of syntax ends the reading, as nothing after it can be trusted;
/// duplicate keys are all reported, and the first entry counts.
pub(crate) fn parse(text: &str, faults: &mut Faults) -> Option<Node> {
    if text.len() > MANIFEST_BYTES_MAX {
        let message = format!("a manifest has at most {MANIFEST_BYTES_MAX} bytes");
        let start = Place { line: 1, column: 1, ..Place::default() };
        let hint = "keep data in sources and generate variants with `matrix`".to_owned();
        faults.advise(start, format!("{message}, this one has {}", text.len()), hint);
        return None;
    }
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options()) {
        Ok(raw) => Some(node(text, raw, faults)),
        Err(error) => {
            faults.push(syntax(text, &error));
            None
        }
    }
}

fn options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_reader_input_bytes: Some(MANIFEST_BYTES_MAX),
            flow_nesting_limit: MANIFEST_DEPTH_MAX,
            max_events: MANIFEST_NODES_MAX * 2,
            max_aliases: MANIFEST_ALIASES_MAX,
            max_anchors: MANIFEST_ALIASES_MAX,
            max_recorded_anchor_events: MANIFEST_NODES_MAX * 2,
            max_recorded_anchor_bytes: MANIFEST_BYTES_MAX * 4,
            max_depth: MANIFEST_DEPTH_MAX,
            max_inclusion_depth: 0,
            max_documents: 2, // a second one is refused with a message of its own
            max_nodes: MANIFEST_NODES_MAX,
            max_total_scalar_bytes: MANIFEST_BYTES_MAX * 4,
            max_merge_keys: MANIFEST_ALIASES_MAX,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: MANIFEST_NODES_MAX,
            max_replay_stack_depth: MANIFEST_DEPTH_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

fn syntax(text: &str, error: &serde_yaml::Error) -> Diagnostic {
    let error = error.without_snippet();
    let place = error.location().map(|location| place(text, location)).unwrap_or_default();
    let place = Place { line: place.line.max(1), column: place.column.max(1), ..place };
    let (message, hint) = reason(error);
    let at = usize::try_from(place.line).unwrap_or(1).saturating_sub(1);
    let near = text.lines().skip(at.saturating_sub(1)).take(2).any(|line| line.contains("${{"));
    let quotes =
        near.then(|| "inside { } or [ ] an expression needs quotes: \"${{ … }}\"".to_owned());
    Diagnostic::new(place, &message, quotes.or(hint))
}

/// What is wrong, in the words of a manifest where the crate speaks of itself, and what to do.
fn reason(error: &serde_yaml::Error) -> (String, Option<String>) {
    use serde_yaml::Error;
    use serde_yaml::budget::BudgetBreach;
    let advised = |message: String, hint: &str| (message, Some(hint.to_owned()));
    let long = "keep data in sources and generate variants with `matrix`";
    match error {
        Error::AliasError { error, .. } => reason(error.without_snippet()),
        Error::MultipleDocuments { .. } => {
            let hint = "put what follows the second `---` into a file of its own";
            advised("a manifest is one document".to_owned(), hint)
        }
        Error::NullIntoString { .. } => {
            advised("a key cannot be empty".to_owned(), "write a name before the `:`")
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => too_deep(),
        Error::Budget { breach: BudgetBreach::Nodes { .. }, .. } => {
            advised(format!("a manifest has at most {MANIFEST_NODES_MAX} nodes"), long)
        }
        Error::Budget { .. } => advised(
            format!(
                "a manifest has at most {MANIFEST_ALIASES_MAX} anchors, aliases and merge keys"
            ),
            "what many stages share can stand in `defaults`",
        ),
        Error::AliasReplayLimitExceeded { .. } => {
            advised(format!("aliases unfold to more than {MANIFEST_NODES_MAX} nodes"), long)
        }
        other => {
            let message = other.to_string();
            // The crate appends the place, which a diagnostic has already.
            let message = message.split(" at line ").next().unwrap_or(&message);
            let message = message.lines().next().unwrap_or(message).trim_end_matches([':', ' ']);
            match message {
                "recursion limit exceeded" => too_deep(),
                message => malformed::plain(message),
            }
        }
    }
}

fn too_deep() -> (String, Option<String>) {
    let message = format!("a manifest nests at most {MANIFEST_DEPTH_MAX} deep");
    (message, Some("no field needs so many levels: is a [ or { not closed?".to_owned()))
}

fn place(text: &str, location: Location) -> Place {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let size = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    // A syntax error has a line and a column but no offset.
    let offset = match location.span().byte_offset() {
        Some(_) => size(location.span().byte_offset()),
        None => offset_of(text, location.line(), location.column()),
    };
    let offset = offset.min(text.len());
    let length = size(location.span().byte_len()).min(text.len() - offset);
    Place { offset, length, line: narrow(location.line()), column: narrow(location.column()) }
}

/// The byte at which a line and column (both from 1, in characters) stand.
fn offset_of(text: &str, line: u64, column: u64) -> usize {
    let nth = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    let before: usize = text.split_inclusive('\n').take(nth(line)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let inside: usize = rest.chars().take(nth(column)).map(char::len_utf8).sum();
    before + inside
}

/// What serde sees; a second pass gives it places and the texts of its numbers.
enum Raw {
    Null,
    Bool(bool),
    Integer(String),
    Real(String),
    Text(String),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(text: &str, raw: Spanned<Raw>, faults: &mut Faults) -> Node {
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(value) => Kind::Bool(value),
        Raw::Integer(digits) => Kind::Number(digits),
        Raw::Real(shortest) => Kind::Number(source(text, raw.defined).unwrap_or(shortest)),
        Raw::Text(value) => Kind::Text(value),
        Raw::Seq(items) => {
            Kind::Seq(items.into_iter().map(|item| node(text, item, faults)).collect())
        }
        Raw::Map(entries) => {
            let mut seen = std::collections::BTreeMap::new();
            let mut map = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key_place = place(text, key.referenced);
                let value = node(text, value, faults);
                if let Some(first) = seen.insert(key.value.clone(), key_place.line) {
                    let hint = format!("`{}` stands on line {first} already", key.value);
                    faults.advise(key_place, format!("duplicate key `{}`", key.value), hint);
                    continue;
                }
                map.push((Key { text: key.value, place: key_place }, value));
            }
            Kind::Map(map)
        }
    };
    Node { place: place(text, raw.referenced), kind }
}

/// The text of a plain number, as it stands in the manifest.
fn source(text: &str, location: Location) -> Option<String> {
    let place = place(text, location);
    let slice = text.get(place.offset..place.offset.checked_add(place.length)?)?.trim();
    let is_plain = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    (!slice.is_empty() && slice.len() <= 64 && slice.bytes().all(is_plain))
        .then(|| slice.to_owned())
        .filter(|slice| slice.parse::<f64>().is_ok())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Real(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> Node {
        let mut faults = Faults::default();
        let node = parse(text, &mut faults);
        assert!(faults.is_empty(), "{:?}", faults.into_vec());
        node.unwrap()
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        let mut faults = Faults::default();
        assert!(parse(text, &mut faults).is_none());
        faults.into_vec().remove(0).to_string()
    }

    #[track_caller]
    fn check(scalar: &str, expect: Kind) {
        assert_eq!(read(&format!("a: {scalar}\n")).get("a").unwrap().kind, expect, "{scalar}");
    }

    #[test]
    fn scalars_keep_type_and_text() {
        let number = |text: &str| Kind::Number(text.to_owned());
        let text = |text: &str| Kind::Text(text.to_owned());
        check("0.25", number("0.25"));
        check("0.250000000000000000001", number("0.250000000000000000001"));
        check("1e-3", number("1e-3"));
        check("18446744073709551615", number("18446744073709551615"));
        check("-7", number("-7"));
        check("\"0.25\"", text("0.25"));
        check("true", Kind::Bool(true));
        check("yes", text("yes"));
        check("on", text("on"));
        check("007", text("007"));
        check("~", Kind::Null);
        check(".nan", text(".nan"));
        check("${{ params.epochs }}", text("${{ params.epochs }}"));
        check("[\"${{ matrix.width }}\"]", {
            let place = Place { offset: 4, length: 21, line: 1, column: 5 };
            Kind::Seq(vec![Node { place, kind: text("${{ matrix.width }}") }])
        });
    }

    #[test]
    fn places_point_at_keys_and_values() {
        let node = read("é: 1\nb:\n  c: [x, yy]\n");
        let (key, value) = &node.entries()[1];
        assert_eq!((key.place.line, key.place.column, key.place.offset), (2, 1, 6));
        let items = value.get("c").unwrap().items();
        let place = items[1].place;
        assert_eq!((place.line, place.column, place.offset, place.length), (3, 10, 18, 2));
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded() {
        let node = read("base: &b {x: 1.50, y: 2}\nuse: {<<: *b, y: 3}\n");
        assert_eq!(node.get("use").unwrap().get("x").unwrap().number(), Some("1.50"));
        assert_eq!(node.get("use").unwrap().get("y").unwrap().integer(), Some(3));
    }

    #[test]
    fn every_duplicate_key_is_reported() {
        let mut faults = Faults::default();
        parse("a: 1\nb: {c: 1, c: 2}\na: 2\n", &mut faults);
        let places: Vec<_> = faults.into_vec().iter().map(|f| f.to_string()).collect();
        assert_eq!(places.len(), 2);
        assert!(places[0].starts_with("2:11: duplicate key `c`"), "{places:?}");
        assert!(places[1].starts_with("3:1: duplicate key `a`"), "{places:?}");
    }

    #[test]
    fn hostile_texts_are_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..10 {
            let previous = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [previous.as_str(); 10].join(","));
        }
        refused(&bomb);
        refused(&"[".repeat(200_000));
        refused(&"- ".repeat(100_000));
        refused(&"{a: ".repeat(50_000));
        refused(&"? ".repeat(100_000));
        refused(&"- a\n".repeat(60_000));
        refused(&"x".repeat(MANIFEST_BYTES_MAX + 1));
        refused("a: \"\0\u{1}\u{2}");
        refused("a: *unknown");
        refused("a: &a [*a]");
        refused("a: 1\n---\nb: 2\n");
        refused("{a: ${{ params.x }}}");
    }
}
