//! The settings of a transform: from nodes that fit the grammar to a spec, and what the grammar
//! does not tell. Never reports what does: that is reported already.

use super::SHARE_PLACES;
use crate::domain::job::{
    Aggregate, Cast, Cell, ColumnKind, Direction, Fill, Filling, Formula, Hash, Join, JoinKind,
    Measure, OnBadCell, OneHot, Reading, Sample, SampleSize, Scale, ScaleTo, Spec, Step, Summary,
    Transform, Unknown,
};
use crate::domain::manifest::diagnostic::{Faults, Place};
use crate::domain::manifest::kind::{narrow, tokenize, wide, word};
use crate::domain::manifest::node::{Kind, Node};
use crate::domain::manifest::quantity::decimal;

pub(super) fn spec(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    let steps = with.get("steps").map(Node::items).unwrap_or_default();
    let steps = steps.iter().map(step).collect::<Option<_>>()?;
    Some(Spec::Transform(Transform { steps }))
}

fn step(node: &Node) -> Option<Step> {
    let [(key, with)] = node.entries() else { return None };
    Some(match key.text.as_str() {
        "select" => Step::Select(names(with)?),
        "drop" => Step::Drop(names(with)?),
        "rename" => Step::Rename(by_column(with, |new| Some(new.text()?.to_owned()))?),
        "cast" => Step::Cast(Cast {
            columns: by_column(with.get("columns")?, |to| ColumnKind::from_word(to.text()?))?,
            on_bad_cell: match word(with, "onBadCell", "fail")? {
                "fail" => OnBadCell::Fail,
                "clear" => OnBadCell::Null,
                _ => return None,
            },
        }),
        "fill" => Step::Fill(Fill { columns: names(with.get("columns")?)?, with: filling(with)? }),
        "filter" => Step::Filter(formula(with)?),
        "derive" => Step::Derive(by_column(with, formula)?),
        "oneHot" => Step::OneHot(OneHot {
            columns: names(with.get("columns")?)?,
            unknown: match word(with, "unknown", "zeros")? {
                "zeros" => Unknown::Zeros,
                "fail" => Unknown::Fail,
                _ => return None,
            },
        }),
        "standardise" => Step::Scale(Scale { columns: names(with)?, to: ScaleTo::Standard }),
        "minMax" => Step::Scale(Scale { columns: names(with)?, to: ScaleTo::MinMax }),
        "hash" => Step::Hash(Hash {
            column: with.get("column")?.text()?.to_owned(),
            buckets: narrow(with, "buckets", 1)?,
        }),
        "dedupe" => Step::Dedupe(optional_names(with)?),
        "sort" => Step::Sort(by_column(with, direction)?),
        "shuffle" => Step::Shuffle { seed: wide(with, "seed", 0)? },
        "sample" => Step::Sample(Sample { size: size(with)?, seed: wide(with, "seed", 0)? }),
        "join" => Step::Join(Join {
            on: names(with.get("on")?)?,
            kind: match word(with, "kind", "inner")? {
                "inner" => JoinKind::Inner,
                "left" => JoinKind::Left,
                _ => return None,
            },
        }),
        "aggregate" => Step::Aggregate(Aggregate {
            by: optional_names(with)?,
            measures: by_column(with.get("measures")?, measure)?,
        }),
        "tokenize" => Step::Tokenize(tokenize::read(with)?),
        _ => return None,
    })
}

fn names(node: &Node) -> Option<Vec<String>> {
    node.items().iter().map(|name| Some(name.text()?.to_owned())).collect()
}

fn optional_names(with: &Node) -> Option<Vec<String>> {
    with.get("by").map_or(Some(Vec::new()), names)
}

fn by_column<T>(node: &Node, read: impl Fn(&Node) -> Option<T>) -> Option<Vec<(String, T)>> {
    node.entries().iter().map(|(key, value)| Some((key.text.clone(), read(value)?))).collect()
}

fn formula(node: &Node) -> Option<Formula> {
    Formula::parse(node.text()?).ok()
}

fn direction(node: &Node) -> Option<Direction> {
    match node.text()? {
        "ascending" => Some(Direction::Ascending),
        "descending" => Some(Direction::Descending),
        _ => None,
    }
}

fn filling(with: &Node) -> Option<Filling> {
    if let Some(value) = with.get("value") {
        return Some(Filling::Value(match &value.kind {
            Kind::Bool(value) => Cell::Truth(*value),
            Kind::Text(text) => Cell::Text(text.clone()),
            Kind::Number(text) => match text.parse() {
                Ok(integer) => Cell::Integer(integer),
                Err(_) => Cell::Real(value.real()?),
            },
            _ => return None,
        }));
    }
    match with.get("with")?.text()? {
        "mean" => Some(Filling::Mean),
        "median" => Some(Filling::Median),
        "mode" => Some(Filling::Mode),
        "previous" => Some(Filling::Previous),
        _ => None,
    }
}

fn size(with: &Node) -> Option<SampleSize> {
    match (with.get("rows"), with.get("share")) {
        (Some(rows), None) => Some(SampleSize::Rows(u64::try_from(rows.integer()?).ok()?)),
        (None, Some(share)) => {
            Some(SampleSize::PartsPerBillion(decimal(share.number()?, SHARE_PLACES)?))
        }
        _ => None,
    }
}

fn measure(node: &Node) -> Option<Measure> {
    let [(key, column)] = node.entries() else { return None };
    let column = column.text()?;
    let of = match key.text.as_str() {
        "count" if column == "*" => return Some(Measure { of: Summary::Count, column: None }),
        "count" => Summary::Count,
        "sum" => Summary::Sum,
        "mean" => Summary::Mean,
        "min" => Summary::Min,
        "max" => Summary::Max,
        "first" => Summary::First,
        "distinct" => Summary::Distinct,
        _ => return None,
    };
    Some(Measure { of, column: Some(column.to_owned()) })
}

/// Formulas that are none, settings that exclude each other, and steps that do not go with the
/// inputs of the stage.
pub(super) fn sound(with: &Node, stage: &Node, faults: &mut Faults) {
    let input = |name: &str| stage.get("inputs").and_then(|inputs| inputs.get(name));
    let steps = with.get("steps");
    match (steps, input("fitted")) {
        (Some(_), Some(fitted)) => {
            let message = "a transform with the input `fitted` has no steps of its own";
            let hint = "leave `steps` out, or put them into a transform that follows";
            faults.advise(fitted.place, message, hint.to_owned());
        }
        (None, None) => {
            let at = stage.get("uses").map_or(stage.place, |uses| uses.place);
            let hint = "such as `with: { steps: [{ drop: [id] }] }`".to_owned();
            faults.advise(at, "a transform needs `steps`, or the input `fitted`", hint);
        }
        _ => {}
    }
    let mut has_join = false;
    for step in steps.map(Node::items).unwrap_or_default() {
        let [(key, with)] = step.entries() else { continue };
        match key.text.as_str() {
            "filter" => check_formula(with, faults),
            "derive" => with.entries().iter().for_each(|(_, node)| check_formula(node, faults)),
            "fill" => one_of_two(with, key.place, ["with", "value"], faults),
            "sample" => one_of_two(with, key.place, ["rows", "share"], faults),
            "tokenize" => tokenize::sound(with, faults),
            "join" => {
                has_join = true;
                if input("right").is_none() {
                    let hint = "connect the other table: `inputs: { table: …, right: … }`";
                    let message = "a join needs the input `right`";
                    faults.advise(key.place, message, hint.to_owned());
                }
            }
            _ => {}
        }
    }
    if let (Some(right), false, true) = (input("right"), has_join, steps.is_some()) {
        let hint = "add a step `join`, or leave the input out".to_owned();
        faults.advise(right.place, "no step joins the input `right`", hint);
    }
}

fn one_of_two(with: &Node, at: Place, names: [&str; 2], faults: &mut Faults) {
    if names.iter().filter(|name| with.get(name).is_some()).count() != 1 {
        let [a, b] = names;
        faults.add(at, format!("either `{a}` or `{b}` must be set, and not both"));
    }
}

fn check_formula(node: &Node, faults: &mut Faults) {
    let Some(text) = node.text() else { return };
    let Err(fault) = Formula::parse(text) else { return };
    // Where the text stands as it is, plain or in quotes, the place of the fault is known. No
    // escape but those of these two is shorter than what it stands for.
    let is_longer = !text.contains(['\u{2028}', '\u{2029}']);
    let quotes = node.place.length.checked_sub(text.len()).filter(|_| is_longer);
    let place = match quotes {
        Some(quotes @ (0 | 2)) => {
            let before = text.get(..fault.at).map_or(0, |before| before.chars().count());
            let first = text.get(fault.at..).and_then(|rest| rest.chars().next());
            let skipped = quotes / 2 + before;
            Place {
                offset: node.place.offset + quotes / 2 + fault.at,
                length: first.map_or(0, char::len_utf8),
                column: node.place.column.saturating_add(u32::try_from(skipped).unwrap_or(0)),
                ..node.place
            }
        }
        _ => node.place,
    };
    faults.advise(place, fault.message, (!fault.hint.is_empty()).then_some(fault.hint));
}
