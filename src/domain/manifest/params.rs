//! Parameters: declared in the manifest, overridden from outside, read by expressions.
//! Never knows who reads them, nor where a text from outside came from.

use super::check;
use super::diagnostic::{Diagnostic, Faults, Place, suggest};
use super::expression::is_expression;
use super::grammar;
use super::node::{self, Key, Kind, Node};
use crate::base::limits::TEXT_BYTES_MAX;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Reads a file of parameters: one YAML or JSON mapping from names to numbers, texts, booleans or
/// lists of them. What is of the wrong type for a manifest is found when that is compiled.
pub fn params_file(text: &str) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    let mut faults = Faults::default();
    let mut params = BTreeMap::new();
    match node::parse(text, &mut faults).map(|node| node.kind) {
        Some(Kind::Map(entries)) => {
            for (key, node) in &entries {
                match written(&node.kind) {
                    Some(text) => drop(params.insert(key.text.clone(), text)),
                    None => {
                        let name = check::cut(&key.text);
                        let message = format!("parameter `{name}` cannot be {}", node.kind.noun());
                        let hint = "write a number, text, a boolean or a list of these".to_owned();
                        faults.advise(key.place, message, hint);
                    }
                }
            }
        }
        Some(other) => {
            let message = format!("parameters are a mapping, not {}", other.noun());
            let start = Place { line: 1, column: 1, ..Place::default() };
            faults.advise(start, message, "such as `epochs: 60`".to_owned());
        }
        None => {}
    }
    if faults.is_empty() { Ok(params) } else { Err(faults.into_vec()) }
}

/// A value as the text that sets a parameter to it.
fn written(kind: &Kind) -> Option<String> {
    let Kind::Seq(items) = kind else { return kind.scalar_text().map(str::to_owned) };
    let items = items.iter().map(|item| match &item.kind {
        Kind::Text(text) => Some(quoted(text)),
        other => other.scalar_text().map(str::to_owned),
    });
    Some(format!("[{}]", items.collect::<Option<Vec<_>>>()?.join(", ")))
}

/// Text in double quotes, as YAML reads it back.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// The values of all parameters. One that is at fault is [`Kind::Fault`], so that expressions which
/// read it are not reported too.
pub(super) fn read(
    root: &Node,
    overrides: &BTreeMap<String, String>,
    faults: &mut Faults,
) -> BTreeMap<String, Kind> {
    let declared = root.get("spec").and_then(|spec| spec.get("params"));
    let entries = declared.map(Node::entries).unwrap_or_default();
    for name in overrides.keys() {
        if !entries.iter().any(|(key, _)| key.text == *name) {
            let place = declared.map_or(Place { line: 1, column: 1, ..root.place }, |p| p.place);
            let hint = suggest(name, entries.iter().map(|(key, _)| key.text.as_str()))
                .or_else(|| Some("the manifest declares no parameters".to_owned()));
            let message = format!("unknown parameter `{}` is set", check::cut(name));
            faults.advise(place, message, hint);
        }
    }
    let each = entries.iter();
    each.map(|(key, node)| {
        let text = overrides.get(&key.text).map(String::as_str);
        (key.text.clone(), value(key, node, text, faults).unwrap_or(Kind::Fault))
    })
    .collect()
}

/// The type of a parameter, or of the items of one that is a list.
#[derive(Clone, Copy)]
struct Ty<'a> {
    is_list: bool,
    word: &'a str,
}

impl std::fmt::Display for Ty<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = if self.is_list { "list of " } else { "" };
        write!(f, "{list}{}", self.word)
    }
}

/// The value of one parameter; `None` after a fault.
fn value(key: &Key, node: &Node, text: Option<&str>, faults: &mut Faults) -> Option<Kind> {
    let mut own = Faults::default();
    check::part(node, key.place, &grammar::PARAM, &mut own);
    if !own.is_empty() {
        // The walk over the whole manifest reports these again, in its own words.
        return None;
    }
    let ty = match (node.get("type")?.text()?, node.get("of")) {
        ("list", None) => Ty { is_list: true, word: "string" },
        ("list", Some(of)) => Ty { is_list: true, word: of.text()? },
        (word, None) => Ty { is_list: false, word },
        (word, Some(of)) => {
            let hint = format!("write type: list, of: {word}");
            faults.advise(of.place, format!("a parameter of type {word} has no items"), hint);
            return None;
        }
    };
    let bounds = ["minimum", "maximum"].map(|bound| node.get(bound));
    let is_counted = ty.word == "integer" || ty.word == "number";
    if let Some(bound) = bounds.iter().flatten().find(|_| !is_counted) {
        faults.add(bound.place, format!("a parameter of type {ty} has no minimum or maximum"));
        return None;
    }
    let listed = node.get("enum").map(Node::items).unwrap_or_default();
    let default = node.get("default");
    let one = Ty { is_list: false, ..ty };
    let mut is_good = default.is_none_or(|default| is_fit(key, default, ty, faults));
    for part in bounds.iter().flatten().copied().chain(listed) {
        is_good &= is_fit(key, part, one, faults);
    }
    let given = given(key, (text, default), ty, faults)?;
    let parts = if ty.is_list { given.items() } else { std::slice::from_ref(&given) };
    for part in parts {
        is_good = is_good && within(key, part, listed, bounds, faults).is_some();
    }
    is_good.then_some(given.kind)
}

/// Whether a node of the declaration is of the type that it declares.
fn is_fit(key: &Key, part: &Node, ty: Ty<'_>, faults: &mut Faults) -> bool {
    let mut each = part.items().iter().chain([part]);
    if each.any(|node| node.kind.scalar_text().is_some_and(is_expression)) {
        faults.add(part.place, "a parameter cannot be made of expressions");
        false
    } else if !is_of_type(&part.kind, ty) {
        faults.add(part.place, format!("parameter `{}` is of type {ty}, this is not", key.text));
        false
    } else {
        true
    }
}

/// What is set from outside, or the default.
fn given(
    key: &Key,
    (text, default): (Option<&str>, Option<&Node>),
    ty: Ty<'_>,
    faults: &mut Faults,
) -> Option<Node> {
    match (text, default) {
        (Some(text), _) => match typed(text, ty) {
            Some(kind) => Some(placed(kind, key.place)),
            None => {
                let message =
                    format!("parameter `{}` cannot be set to `{}`", key.text, check::cut(text));
                faults.advise(key.place, message, format!("it is of type {ty}"));
                None
            }
        },
        (None, Some(default)) => Some(default.clone()),
        (None, None) => {
            let message = format!("parameter `{}` has no value", key.text);
            let hint = format!("give it a `default`, or set it: -p {}=…", key.text);
            faults.advise(key.place, message, hint);
            None
        }
    }
}

/// A value from outside, as if it stood in the manifest: it has no place there of its own.
fn placed(kind: Kind, place: Place) -> Node {
    let kind = match kind {
        Kind::Seq(items) => {
            Kind::Seq(items.into_iter().map(|item| placed(item.kind, place)).collect())
        }
        other => other,
    };
    Node { place, kind }
}

/// The value, if it is among those listed and not beyond its bounds.
fn within(
    key: &Key,
    given: &Node,
    listed: &[Node],
    [minimum, maximum]: [Option<&Node>; 2],
    faults: &mut Faults,
) -> Option<()> {
    let shown = check::cut(given.kind.scalar_text()?);
    let mut outside = |rule: String| {
        let message = format!("parameter `{}` cannot be {shown}", key.text);
        faults.advise(given.place, message, rule);
        None
    };
    if !listed.is_empty() && !listed.iter().any(|item| item.kind == given.kind) {
        let all: Vec<&str> = listed.iter().filter_map(|item| item.kind.scalar_text()).collect();
        return outside(format!("it is one of {}", check::cut(&all.join(", "))));
    }
    let is_beyond = |bound: &&Node, side: Ordering| compare(given, bound) == Some(side);
    if let Some(bound) = minimum.filter(|bound| is_beyond(bound, Ordering::Less)) {
        return outside(format!("its minimum is {}", bound.kind.scalar_text()?));
    }
    if let Some(bound) = maximum.filter(|bound| is_beyond(bound, Ordering::Greater)) {
        return outside(format!("its maximum is {}", bound.kind.scalar_text()?));
    }
    Some(())
}

/// Integers compare as integers: a float would take neighbours beyond 2^53 for equal.
fn compare(a: &Node, b: &Node) -> Option<Ordering> {
    match (a.integer(), b.integer()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.real()?.partial_cmp(&b.real()?),
    }
}

fn is_of_type(kind: &Kind, ty: Ty<'_>) -> bool {
    if ty.is_list {
        let one = Ty { is_list: false, ..ty };
        let items = if let Kind::Seq(items) = kind { Some(items) } else { None };
        return items.is_some_and(|items| items.iter().all(|item| is_of_type(&item.kind, one)));
    }
    match (kind, ty.word) {
        (Kind::Number(text), "integer") => is_integer(text),
        (Kind::Number(text), "number") => is_number(text),
        (Kind::Text(text), "string") => text.len() <= TEXT_BYTES_MAX,
        (Kind::Bool(_), "boolean") => true,
        _ => false,
    }
}

/// Text from outside as a value of the declared type. A list is `a,b` or `[a, b]`.
fn typed(text: &str, ty: Ty<'_>) -> Option<Kind> {
    let kind = if ty.is_list {
        let one = |text: &str| typed(text, Ty { is_list: false, ..ty });
        let items: Option<Vec<Kind>> = match text.trim().starts_with('[') {
            true => {
                let list = node::parse(text, &mut Faults::default())?;
                list.items().iter().map(|item| one(item.kind.scalar_text()?)).collect()
            }
            false if text.trim().is_empty() => Some(Vec::new()),
            false => text.split(',').map(|item| one(item.trim())).collect(),
        };
        Kind::Seq(items?.into_iter().map(|kind| placed(kind, Place::default())).collect())
    } else {
        match (ty.word, text) {
            ("boolean", "true") => Kind::Bool(true),
            ("boolean", "false") => Kind::Bool(false),
            ("integer" | "number", _) => Kind::Number(text.to_owned()),
            _ => Kind::Text(text.to_owned()),
        }
    };
    is_of_type(&kind, ty).then_some(kind)
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    text.len() <= 64
        && text.bytes().all(is_plain)
        && text.parse::<f64>().is_ok_and(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(&str, &str)]) {
        let expect = expect.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(params_file(text), Ok(expect), "{text}");
    }

    #[test]
    fn a_file_of_parameters_is_yaml_or_json() {
        check(
            "epochs: 60\nname: iris\ndeep: true\n",
            &[("deep", "true"), ("epochs", "60"), ("name", "iris")],
        );
        check("{\"lr\": 1e-3, \"widths\": [16, 32]}", &[("lr", "1e-3"), ("widths", "[16, 32]")]);
        check("names: [a, 'b, c', '\"']", &[("names", "[\"a\", \"b, c\", \"\\\"\"]")]);
    }

    #[test]
    fn what_is_no_mapping_of_values_is_refused() {
        for (text, expect) in [
            ("- 1", "1:1: parameters are a mapping, not a list"),
            ("a: { b: 1 }", "1:1: parameter `a` cannot be a mapping"),
            ("a:", "1:1: parameter `a` cannot be nothing"),
            ("a: 1\na: 2", "2:1: duplicate key `a`"),
            ("a: [", "1:"),
        ] {
            let faults = params_file(text).unwrap_err();
            assert!(faults[0].to_string().starts_with(expect), "{text}: {faults:?}");
        }
    }

    #[test]
    fn a_list_that_is_written_reads_back() {
        let ty = Ty { is_list: true, word: "string" };
        let items = ["a", "b, c", "\"q\" \\ \u{7}", "[x]", "é"];
        let list = items.map(|text| placed(Kind::Text(text.to_owned()), Place::default()));
        let list = Kind::Seq(list.to_vec());
        assert_eq!(typed(&written(&list).unwrap(), ty), Some(list));
        let ty = Ty { is_list: true, word: "integer" };
        assert_eq!(typed("16, 32", ty), typed("[16, 32]", ty));
        assert_eq!(typed("16, x", ty), None);
    }
}
