//! Parameters: declared in the manifest, overridden from outside, read by expressions.
//! Never knows who reads them.

use super::check;
use super::diagnostic::{Faults, Place, suggest};
use super::expression::is_expression;
use super::grammar;
use super::node::{Key, Kind, Node};
use crate::base::limits::TEXT_BYTES_MAX;
use std::cmp::Ordering;
use std::collections::BTreeMap;

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

/// The value of one parameter; `None` after a fault.
fn value(key: &Key, node: &Node, text: Option<&str>, faults: &mut Faults) -> Option<Kind> {
    let mut own = Faults::default();
    check::part(node, key.place, &grammar::PARAM, &mut own);
    if !own.is_empty() {
        // The walk over the whole manifest reports these again, in its own words.
        return None;
    }
    let ty = node.get("type")?.text()?;
    let mut is_good = true;
    let bounds = ["minimum", "maximum"].map(|bound| node.get(bound));
    if let Some(bound) = bounds.iter().flatten().find(|_| ty != "integer" && ty != "number") {
        faults.add(bound.place, format!("a parameter of type {ty} has no minimum or maximum"));
        return None;
    }
    let listed = node.get("enum").map(Node::items).unwrap_or_default();
    let default = node.get("default");
    for part in bounds.iter().flatten().chain(&default).copied().chain(listed) {
        if part.kind.scalar_text().is_some_and(is_expression) {
            faults.add(part.place, "a parameter cannot be made of expressions");
            is_good = false;
        } else if !is_of_type(&part.kind, ty) {
            let message = format!("parameter `{}` is of type {ty}, this is not", key.text);
            faults.add(part.place, message);
            is_good = false;
        }
    }
    let given = match (text, default) {
        (Some(text), _) => match typed(text, ty) {
            Some(kind) => Node { place: key.place, kind },
            None => {
                let message =
                    format!("parameter `{}` cannot be set to `{}`", key.text, check::cut(text));
                faults.advise(key.place, message, format!("it is of type {ty}"));
                return None;
            }
        },
        (None, Some(default)) => default.clone(),
        (None, None) => {
            let message = format!("parameter `{}` has no value", key.text);
            let hint = format!("give it a `default`, or set it: -p {}=…", key.text);
            faults.advise(key.place, message, hint);
            return None;
        }
    };
    is_good.then(|| within(key, &given, listed, bounds, faults)).flatten()
}

/// The value, if it is among those listed and not beyond its bounds.
fn within(
    key: &Key,
    given: &Node,
    listed: &[Node],
    [minimum, maximum]: [Option<&Node>; 2],
    faults: &mut Faults,
) -> Option<Kind> {
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
    Some(given.kind.clone())
}

/// Integers compare as integers: a float would take neighbours beyond 2^53 for equal.
fn compare(a: &Node, b: &Node) -> Option<Ordering> {
    match (a.integer(), b.integer()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.real()?.partial_cmp(&b.real()?),
    }
}

fn is_of_type(kind: &Kind, ty: &str) -> bool {
    match (kind, ty) {
        (Kind::Number(text), "integer") => is_integer(text),
        (Kind::Number(text), "number") => is_number(text),
        (Kind::Text(text), "string") => text.len() <= TEXT_BYTES_MAX,
        (Kind::Bool(_), "boolean") => true,
        _ => false,
    }
}

/// Text from outside as a value of the declared type.
fn typed(text: &str, ty: &str) -> Option<Kind> {
    let kind = match (ty, text) {
        ("boolean", "true") => Kind::Bool(true),
        ("boolean", "false") => Kind::Bool(false),
        ("integer" | "number", _) => Kind::Number(text.to_owned()),
        _ => Kind::Text(text.to_owned()),
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
