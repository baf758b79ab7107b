//! Expressions: `${{ params.x * 2 }}` becomes its value where a manifest is compiled.
//! Never guesses: a scalar that is one expression keeps the type of its value, numbers are exact.

mod number;
mod syntax;
mod value;

use super::diagnostic::{Faults, Place, suggest};
use super::node::{Key, Kind, Node};
use crate::base::limits::TEXT_BYTES_MAX;
use crate::domain::terms::Condition;
use std::collections::BTreeMap;
use syntax::Expr;
use value::Value;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

/// What the names in expressions stand for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Values of `params.`; a parameter that is at fault is [`Kind::Fault`].
    pub(super) params: &'a BTreeMap<String, Kind>,
    /// Values of `run.`.
    pub(super) run: &'a BTreeMap<String, Kind>,
    /// Values of `matrix.` or `item.`.
    pub(super) matrix: Matrix<'a>,
    /// Whether `metrics.` may be read: in `when` alone.
    pub(super) metrics: bool,
}

/// What is known of the matrix where an expression stands.
#[derive(Clone, Copy)]
pub(super) enum Matrix<'a> {
    /// Nothing: cells are known in `with` alone.
    Elsewhere,
    /// The context and its names, but not yet the cell: expressions are checked, not replaced.
    Axes(&'static str, &'a [&'a str]),
    /// The context and one cell: names and their values; then the names of all cells. A name that
    /// is none of them has been reported before.
    Cell(&'static str, &'a [(&'a str, &'a Kind)], &'a [&'a str]),
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

/// The condition that a stage has: `true`, `false` or one expression. `None` after a fault.
pub(super) fn condition(node: &Node, scope: Scope<'_>, faults: &mut Faults) -> Option<Condition> {
    let place = node.place;
    let usage = "such as ${{ metrics.evaluate.accuracy >= 0.9 }}".to_owned();
    let value = match &node.kind {
        Kind::Bool(value) => return Some(Condition::Constant(*value)),
        Kind::Text(text) => match whole(text) {
            Some(inside) => one(inside, place, scope, faults)?,
            None => {
                faults.advise(place, "`when` must be one expression", usage);
                return None;
            }
        },
        Kind::Fault => return None,
        other => {
            let message = format!("`when` must be one expression, not {}", other.noun());
            faults.advise(place, message, usage);
            return None;
        }
    };
    match value {
        Value::Open(condition) => Some(condition),
        Value::Known(Kind::Bool(value)) => Some(Condition::Constant(value)),
        Value::Known(other) => {
            let message = format!("`when` must be true or false, not {}", other.noun());
            faults.advise(place, message, usage);
            None
        }
        Value::Metric(_) => {
            faults.advise(place, "`when` must be true or false, not a metric", usage);
            None
        }
    }
}

/// The value of a text with expressions. Every fault in it is reported, not the first alone.
fn evaluate(text: &str, place: Place, scope: Scope<'_>, faults: &mut Faults) -> Option<Kind> {
    if let Some(inside) = whole(text) {
        return known(inside, place, scope, faults);
    }
    let mut result = String::new();
    let mut is_good = true;
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once(OPEN) {
        result.push_str(before);
        let Some((inside, after)) = tail.split_once(CLOSE) else {
            faults.advise(place, format!("`{OPEN}` without `{CLOSE}`"), usage());
            return None;
        };
        let value = known(inside, place, scope, faults);
        match value.as_ref().map(Kind::scalar_text) {
            Some(Some(value)) => result.push_str(value),
            Some(None) => {
                is_good = false;
                if let Some(kind @ (Kind::Seq(_) | Kind::Map(_))) = &value {
                    let message = format!("{} cannot stand inside a text", kind.noun());
                    faults.advise(place, message, "make it the whole value".to_owned());
                }
            }
            None => is_good = false,
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

fn known(inside: &str, place: Place, scope: Scope<'_>, faults: &mut Faults) -> Option<Kind> {
    match one(inside, place, scope, faults)? {
        Value::Known(kind) => Some(kind),
        Value::Metric(_) | Value::Open(_) => None,
    }
}

/// The value of one expression: all its names are looked up first, so that each that is unknown is
/// reported.
fn one(inside: &str, place: Place, scope: Scope<'_>, faults: &mut Faults) -> Option<Value> {
    let expr = match syntax::parse(inside) {
        Ok(expr) => expr,
        Err(reason) => {
            let shown: String = inside.trim().chars().take(40).collect();
            faults.advise(place, format!("`{shown}` is no expression: {reason}"), usage());
            return None;
        }
    };
    let mut names = Vec::new();
    collect(&expr, &mut names);
    let mut is_known = true;
    for name in names {
        // A parameter that is at fault has been reported: nothing follows from it.
        let found = look_up(name, place, scope, Some(faults));
        is_known &= found.is_some_and(|value| value != Value::Known(Kind::Fault));
    }
    if !is_known {
        return None;
    }
    let value = value::of(&expr, &|name| look_up(name, place, scope, None));
    value.map_err(|(message, hint)| faults.advise(place, message, hint)).ok()
}

fn collect<'a>(expr: &'a Expr, names: &mut Vec<&'a [String]>) {
    match expr {
        Expr::Name(words) => names.push(words),
        Expr::Unary(_, of) => collect(of, names),
        Expr::Binary(a, _, b) => [a, b].into_iter().for_each(|each| collect(each, names)),
        Expr::Call(_, values) => values.iter().for_each(|each| collect(each, names)),
        Expr::Bool(_) | Expr::Number(_) | Expr::Text(_) => {}
    }
}

/// What a name stands for; `None` where it is unknown, which is reported if somebody listens, or
/// where its value is not known yet.
fn look_up(
    words: &[String],
    place: Place,
    scope: Scope<'_>,
    faults: Option<&mut Faults>,
) -> Option<Value> {
    let found = match words {
        [context, stage, name] if context == "metrics" && scope.metrics => {
            return Some(Value::metric(stage, name));
        }
        [context, name] => match (context.as_str(), scope.matrix) {
            ("params", _) => scope.params.get(name),
            ("run", _) => scope.run.get(name),
            (context, Matrix::Cell(own, cell, names)) if context == own => {
                if !names.contains(&&**name) {
                    return None;
                }
                cell.iter().find(|(axis, _)| axis == name).map(|(_, value)| *value)
            }
            // Known, but its value is not: the caller only wants to hear of faults.
            (context, Matrix::Axes(own, axes)) if context == own && axes.contains(&&**name) => {
                return None;
            }
            _ => None,
        },
        _ => None,
    };
    if found.is_none()
        && let Some(faults) = faults
    {
        let (message, hint) = unknown(words, scope);
        faults.advise(place, message, hint);
    }
    found.map(|kind| Value::Known(kind.clone()))
}

/// What to say about a name that stands for nothing.
fn unknown(words: &[String], scope: Scope<'_>) -> (String, Option<String>) {
    let keys =
        |map: &'_ BTreeMap<String, Kind>, name: &str| suggest(name, map.keys().map(String::as_str));
    match words {
        [context, name] if context == "params" => {
            let hint = keys(scope.params, name);
            let declare = "declare it under `spec.params`".to_owned();
            (format!("unknown parameter `{name}`"), hint.or(Some(declare)))
        }
        [context, name] if context == "run" => {
            (format!("a run has no `{name}`"), keys(scope.run, name))
        }
        [context, ..] if context == "metrics" && scope.metrics => {
            let hint = "write `metrics.STAGE.NAME`".to_owned();
            (format!("`{}` is no metric", words.join(".")), Some(hint))
        }
        [context, ..] if context == "metrics" => {
            let hint = "results are known only when the run is on its way".to_owned();
            ("`metrics` is known only in `when`".to_owned(), Some(hint))
        }
        [context, name] if context == "matrix" || context == "item" => cell(context, name, scope),
        [name] if scope.params.contains_key(name) => {
            (format!("`{name}` is no name"), Some(format!("did you mean `params.{name}`?")))
        }
        [context, _] => {
            let message = format!("unknown context `{context}` in an expression");
            (message, suggest(context, ["params", "matrix", "item", "run", "metrics"]))
        }
        _ => (format!("`{}` is no name", words.join(".")), Some(usage())),
    }
}

fn cell(context: &str, name: &str, scope: Scope<'_>) -> (String, Option<String>) {
    let noun = if context == "item" { "item" } else { "matrix axis" };
    match scope.matrix {
        Matrix::Elsewhere => {
            let hint = match scope.metrics {
                true => "take combinations away with `matrix.exclude`",
                false => "use `params` here",
            };
            let message = format!("`{context}` is known only in the `with` of a stage");
            (message, Some(hint.to_owned()))
        }
        Matrix::Axes(own, names) if own == context => {
            let hint = suggest(name, names.iter().copied());
            let give = match own {
                "item" => "give the stage `foreach: { as: NAME, in: [ … ] }`",
                _ => "give the stage `matrix: { axes: { … } }`",
            };
            (format!("unknown {noun} `{name}`"), hint.or(Some(give.to_owned())))
        }
        Matrix::Cell(own, ..) if own == context => {
            let message = format!("`{context}.{name}` has no value in some instances");
            (message, Some("give it one in each of them with `matrix.include`".to_owned()))
        }
        Matrix::Axes(own, _) | Matrix::Cell(own, ..) => {
            let of = if own == "item" { "foreach" } else { "matrix" };
            let message = format!("`{context}` is not known here");
            (message, Some(format!("the stage has a `{of}`: write `{own}.NAME`")))
        }
    }
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
            ("sizes".to_owned(), Kind::Seq(Vec::new())),
            ("trap".to_owned(), Kind::Text("${{ params.name }}".to_owned())),
        ]);
        let width = number("16");
        let cell = [("width", &width)];
        let run = BTreeMap::from([("name".to_owned(), Kind::Text("iris".to_owned()))]);
        let matrix = Matrix::Cell("matrix", &cell, &["width", "hieght"]);
        let scope = Scope { params: &params, run: &run, matrix, metrics: false };
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
    fn arithmetic_comparison_and_logic_have_values() {
        let number = |text: &str| Ok(Kind::Number(text.to_owned()));
        check("${{ params.epochs * 2 + 1 }}", number("121"));
        check("${{ params.epochs / 8 }}", number("7.5"));
        check("${{ -(7 - 10) % 2 }}", number("1"));
        check("${{ 0.1 + 0.2 }}", number("0.3"));
        check("${{ max(matrix.width, 20, 3.5) }}", number("20"));
        check("e${{ params.epochs - 1 }}", Ok(Kind::Text("e59".to_owned())));
        check("${{ params.name == 'iris' && !(1 > 2) }}", Ok(Kind::Bool(true)));
        check("${{ 1e300 > 1 || 1 / 0 == 1 }}", Ok(Kind::Bool(true)));
        check("${{ run.name }}", Ok(Kind::Text("iris".to_owned())));
        check("${{ params.sizes }}", Ok(Kind::Seq(Vec::new())));
        check("${{ params.epochs / 7 }}", Err("60 / 7 is no exact decimal"));
        check("${{ 1 / 0 }}", Err("divides by zero"));
        check("${{ 1e300 + 1 }}", Err("no exact decimal"));
        check("${{ params.name + 1 }}", Err("`+` takes numbers, not text"));
        check("${{ params.name > 1 }}", Err("`>` cannot compare text with a number"));
        check("${{ !params.epochs }}", Err("`!` takes true or false, not a number"));
        check("a${{ params.sizes }}", Err("a list cannot stand inside a text"));
    }

    #[track_caller]
    fn check_condition(text: &str, expect: &str) {
        let (params, run) = (BTreeMap::new(), BTreeMap::new());
        let scope = Scope { params: &params, run: &run, matrix: Matrix::Elsewhere, metrics: true };
        let node = Node { place: Place::default(), kind: Kind::Text(text.to_owned()) };
        let mut faults = Faults::default();
        let found = condition(&node, scope, &mut faults);
        let said = match found {
            Some(condition) => {
                let metric = |stage: &str, name: &str| (stage == "a" && name == "b").then_some(0.9);
                format!("{} {}", condition.holds(&metric), condition.stages().len())
            }
            None => faults.into_vec().iter().map(ToString::to_string).collect(),
        };
        assert!(said.contains(expect), "{text}: {said}");
    }

    #[test]
    fn conditions_read_metrics_and_fold_the_rest() {
        check_condition("${{ metrics.a.b >= 0.9 }}", "true 1");
        check_condition("${{ metrics.a.b < 0.1 + 0.2 || metrics.a.b == metrics.a.b }}", "true 3");
        check_condition("${{ !(metrics.a.b > 0.5) }}", "false 1");
        check_condition("${{ 1 > 2 && metrics.a.b > 0 }}", "false 0");
        check_condition("${{ metrics.a.b > 0 && 1 > 2 }}", "false 0");
        check_condition("${{ 1 < 2 && metrics.a.b > 0 }}", "true 1");
        check_condition("${{ metrics.a.b + 1 > 0 }}", "metrics are compared, never computed with");
        check_condition("${{ metrics.a.b }}", "`when` must be true or false, not a metric");
        check_condition("${{ metrics.a.b == 'x' }}", "cannot compare a metric with text");
        check_condition("${{ metrics.a > 1 }}", "`metrics.a` is no metric");
        check_condition("${{ 7 }}", "`when` must be true or false, not a number");
        check_condition("metrics.a.b > 1", "`when` must be one expression");
        check_condition("${{ matrix.n > 1 }}", "`matrix.exclude`");
    }

    #[test]
    fn a_value_is_never_evaluated_again() {
        check("${{ params.trap }}", Ok(Kind::Text("${{ params.name }}".to_owned())));
        check("a ${{ params.trap }}", Ok(Kind::Text("a ${{ params.name }}".to_owned())));
    }

    #[test]
    fn unknown_names_and_broken_expressions_are_reported() {
        check("${{ params.epoch }}", Err("did you mean `epochs`?"));
        check("${{ param.epochs }}", Err("did you mean `params`?"));
        check("${{ params.epochs", Err("`${{` without `}}`"));
        check("a ${{ }} b", Err("`` is no expression: something is missing at its end"));
        check("${{ params.epochs params.deep }}", Err("is no expression: `params.deep` is left"));
        check("${{ run.nmae }}", Err("did you mean `name`?"));
        check("${{ item.width }}", Err("the stage has a `matrix`: write `matrix.NAME`"));
        check("${{ matrix.hieght }}", Err("has no value in some instances"));
        check("${{ metrics.a.b }}", Err("`metrics` is known only in `when`"));
        check("${{ params.list.of.words }}", Err("`params.list.of.words` is no name"));
        check(&"${{ params.name }}".repeat(2000), Err("at most 1024 bytes"));
    }
}
