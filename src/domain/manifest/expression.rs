//! Expressions: `${{ params.x }}` and `${{ matrix.y }}` become the values they name.
//! Never computes: an expression is one name. A scalar that is one expression keeps its type.

use super::diagnostic::{Faults, Place, suggest};
use super::node::{Key, Kind, Node};
use crate::base::limits::TEXT_BYTES_MAX;
use std::collections::BTreeMap;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// What the names in expressions stand for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Values of `params.`; a parameter that is at fault is [`Kind::Fault`].
    pub(super) params: &'a BTreeMap<String, Kind>,
    /// Values of `matrix.`.
    pub(super) matrix: Matrix<'a>,
}

/// What is known of the matrix where an expression stands.
#[derive(Clone, Copy)]
pub(super) enum Matrix<'a> {
    /// Nothing: cells are known in `with` alone.
    Elsewhere,
    /// The names of the axes, but not yet the cell: expressions are checked, not replaced.
    Axes(&'a [&'a str]),
    /// One cell: axes and their values.
    Cell(&'a [(&'a str, &'a Kind)]),
}

/// Whether a text has an expression in it.
pub(super) fn is_expression(text: &str) -> bool {
    text.contains(OPEN)
}

/// How many expressions there are in the scalars below.
pub(super) fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Text(text) => text.matches(OPEN).count(),
        Kind::Seq(items) => items.iter().map(count).sum(),
        Kind::Map(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Fault => 0,
    }
}

/// The node with every expression replaced by its value; what cannot be replaced is reported and
/// becomes [`Kind::Fault`].
pub(super) fn substitute(node: &Node, scope: Scope<'_>, faults: &mut Faults) -> Node {
    let kind = match &node.kind {
        Kind::Text(text) if is_expression(text) => {
            evaluate(text, node.place, scope, faults).unwrap_or(Kind::Fault)
        }
        Kind::Seq(items) => {
            Kind::Seq(items.iter().map(|item| substitute(item, scope, faults)).collect())
        }
        Kind::Map(entries) => {
            let each = entries.iter();
            let replace =
                |(key, node): &(Key, Node)| (key.clone(), substitute(node, scope, faults));
            Kind::Map(each.map(replace).collect())
        }
        other => other.clone(),
    };
    Node { place: node.place, kind }
}

/// The value of a text with expressions. Every fault in it is reported, not the first alone.
fn evaluate(text: &str, place: Place, scope: Scope<'_>, faults: &mut Faults) -> Option<Kind> {
    if let Some(name) = whole(text) {
        return lookup(name, place, scope, faults).cloned();
    }
    let mut result = String::new();
    let mut is_good = true;
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once(OPEN) {
        result.push_str(before);
        let Some((name, after)) = tail.split_once(CLOSE) else {
            faults.advise(place, format!("`{OPEN}` without `{CLOSE}`"), usage());
            return None;
        };
        match lookup(name, place, scope, faults).map(Kind::scalar_text) {
            Some(Some(value)) => result.push_str(value),
            Some(None) | None => is_good = false,
        }
        if result.len() > TEXT_BYTES_MAX {
            faults.add(place, format!("text with expressions has at most {TEXT_BYTES_MAX} bytes"));
            return None;
        }
        rest = after;
    }
    result.push_str(rest);
    is_good.then_some(Kind::Text(result))
}

/// The inside of a text that is one expression and nothing else.
fn whole(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    (!inside.contains(OPEN) && !inside.contains(CLOSE)).then_some(inside)
}

fn lookup<'a>(
    inside: &str,
    place: Place,
    scope: Scope<'a>,
    faults: &mut Faults,
) -> Option<&'a Kind> {
    let is_word = |s: &str| {
        !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let inside = inside.trim();
    let (context, name) = match inside.split_once('.') {
        Some((context, name)) if is_word(context) && is_word(name) => (context, name),
        _ => {
            let shown: String = inside.chars().take(40).collect();
            faults.advise(place, format!("`{shown}` is no expression"), usage());
            return None;
        }
    };
    match (context, scope.matrix) {
        ("params", _) => {
            let found = scope.params.get(name);
            if found.is_none() {
                let hint = suggest(name, scope.params.keys().map(String::as_str))
                    .or_else(|| Some("declare it under `spec.params`".to_owned()));
                faults.advise(place, format!("unknown parameter `{name}`"), hint);
            }
            found
        }
        ("matrix", Matrix::Elsewhere) => {
            let message = "`matrix` is known only in the `with` of a stage";
            faults.advise(place, message, "use `params` here".to_owned());
            None
        }
        ("matrix", Matrix::Axes(axes)) => {
            if !axes.contains(&name) {
                unknown_axis(name, axes, place, faults);
            }
            // Known, but its value is not: the caller only wants to hear of faults.
            None
        }
        ("matrix", Matrix::Cell(cell)) => {
            let found = cell.iter().find(|(axis, _)| *axis == name);
            if found.is_none() {
                let axes: Vec<&str> = cell.iter().map(|(axis, _)| *axis).collect();
                unknown_axis(name, &axes, place, faults);
            }
            found.map(|(_, value)| *value)
        }
        (other, _) => {
            let hint = suggest(other, ["params", "matrix"]);
            faults.advise(place, format!("unknown context `{other}` in an expression"), hint);
            None
        }
    }
}

fn unknown_axis(name: &str, axes: &[&str], place: Place, faults: &mut Faults) {
    let hint = suggest(name, axes.iter().copied())
        .or_else(|| Some("give the stage `matrix: { axes: { … } }`".to_owned()));
    faults.advise(place, format!("unknown matrix axis `{name}`"), hint);
}

fn usage() -> String {
    "write `${{ params.NAME }}` or, in `with`, `${{ matrix.AXIS }}`".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<Kind, &str>) {
        let number = |text: &str| Kind::Number(text.to_owned());
        let params = BTreeMap::from([
            ("epochs".to_owned(), number("60")),
            ("name".to_owned(), Kind::Text("iris".to_owned())),
            ("deep".to_owned(), Kind::Bool(true)),
            ("trap".to_owned(), Kind::Text("${{ params.name }}".to_owned())),
        ]);
        let width = number("16");
        let cell = [("width", &width)];
        let scope = Scope { params: &params, matrix: Matrix::Cell(&cell) };
        let mut faults = Faults::default();
        let node = Node { place: Place::default(), kind: Kind::Text(text.to_owned()) };
        let actual = substitute(&node, scope, &mut faults).kind;
        match expect {
            Ok(kind) => assert_eq!((actual, faults.into_vec()), (kind, vec![]), "{text}"),
            Err(message) => {
                assert_eq!(actual, Kind::Fault, "{text}");
                let all: Vec<_> = faults.into_vec().iter().map(ToString::to_string).collect();
                assert!(all.iter().any(|fault| fault.contains(message)), "{text}: {all:?}");
            }
        }
    }

    #[test]
    fn a_whole_scalar_keeps_its_type_and_embedded_values_become_text() {
        check("${{ params.epochs }}", Ok(Kind::Number("60".to_owned())));
        check("${{params.deep}}", Ok(Kind::Bool(true)));
        check("${{ matrix.width }}", Ok(Kind::Number("16".to_owned())));
        check("out/${{ params.name }}-${{ matrix.width }}/", Ok(Kind::Text("out/iris-16/".into())));
        check("costs $5 or ${5}", Ok(Kind::Text("costs $5 or ${5}".to_owned())));
    }

    #[test]
    fn a_value_is_never_evaluated_again() {
        check("${{ params.trap }}", Ok(Kind::Text("${{ params.name }}".to_owned())));
        check("a ${{ params.trap }}", Ok(Kind::Text("a ${{ params.name }}".to_owned())));
    }

    #[test]
    fn unknown_names_and_broken_expressions_are_reported() {
        check("${{ params.epoch }}", Err("did you mean `epochs`?"));
        check("${{ matrix.wdith }}", Err("did you mean `width`?"));
        check("${{ param.epochs }}", Err("did you mean `params`?"));
        check("${{ params.epochs", Err("`${{` without `}}`"));
        check("a ${{ }} b", Err("`` is no expression"));
        check("${{ params.epochs + 1 }}", Err("is no expression"));
        check(&"${{ params.name }}".repeat(2000), Err("at most 1024 bytes"));
    }
}
