//! Columns of tables that do not exist yet, as far as a manifest tells them.
//! Never claims that a column is there, only that one cannot be: what is not known for sure is not
//! told.

use crate::domain::job::{Column, ColumnKind, Formula, Layout, ScaleTo, Step, Transform};
use std::collections::{BTreeMap, BTreeSet};

/// All columns that a table may have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Columns {
    /// Those with a name, and what they are in the source: what steps make of that is not followed.
    known: BTreeMap<String, ColumnKind>,
    /// How the names of others begin: all up to one of [`MARKS`].
    begins: BTreeSet<String>,
}

/// What stands between the name of a column and that of what became of it.
const MARKS: [char; 2] = ['=', '#'];

impl Columns {
    pub(super) fn new(known: &[Column]) -> Self {
        let known = known.iter().map(|column| (column.name.clone(), column.kind)).collect();
        Self { known, begins: BTreeSet::new() }
    }

    /// How many names it holds.
    pub(super) fn size(&self) -> usize {
        self.known.len() + self.begins.len()
    }

    /// All of them, in the order of their names; none where some have no name.
    pub(super) fn all(&self) -> Option<Vec<Column>> {
        let column =
            |(name, kind): (&String, &ColumnKind)| Column { name: name.clone(), kind: *kind };
        self.begins.is_empty().then(|| self.known.iter().map(column).collect())
    }

    /// The names that are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Whether there may be such a column.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let begin = |(at, mark): (usize, &str)| name.get(..at + mark.len());
        self.known.contains_key(name)
            || (!self.begins.is_empty()
                && name.match_indices(MARKS).filter_map(begin).any(|x| self.begins.contains(x)))
    }

    /// All that one or the other may have.
    pub(super) fn join(&mut self, other: &Self) {
        other.known.iter().for_each(|(name, kind)| {
            self.known.entry(name.clone()).or_insert(*kind);
        });
        self.begins.extend(other.begins.iter().cloned());
    }

    fn add(&mut self, name: &str) {
        self.known.entry(name.to_owned()).or_insert(ColumnKind::Text);
    }

    /// One column becomes several whose names begin with its own.
    fn replace(&mut self, name: &str, mark: char) {
        self.known.remove(name);
        self.begins.insert(format!("{name}{mark}"));
    }
}

/// A column that a step names: the key of the step, and the column.
type Missing = (&'static str, String);

/// What comes of a table with these columns, if that is known, and the columns that steps name and
/// that cannot be there.
///
/// What it takes is counted down in `room`; where that is over, nothing more is known.
pub(super) fn transformed(
    transform: &Transform,
    columns: &Columns,
    room: &mut usize,
) -> (Option<Columns>, Vec<Missing>) {
    let mut missing = Vec::new();
    let Some(left) = room.checked_sub(columns.size()) else { return (None, missing) };
    *room = left;
    let mut columns = columns.clone();
    for step in &transform.steps {
        let (key, names) = named(step);
        let Some(left) = room.checked_sub(names.len() + 1) else { return (None, missing) };
        *room = left;
        for name in names {
            if columns.may_have(name) {
                continue;
            }
            missing.push((key, name.to_owned()));
            // It is told once.
            columns.add(name);
        }
        if let Step::Derive(formulas) = step {
            if !derive(formulas, &mut columns, &mut missing, room) {
                return (None, missing);
            }
        } else if !follow(step, &mut columns) {
            return (None, missing);
        }
    }
    (Some(columns), missing)
}

/// The columns that a step names, besides those of a `derive`, which go one after the other.
fn named(step: &Step) -> (&'static str, Vec<&str>) {
    fn all(names: &[String]) -> Vec<&str> {
        names.iter().map(String::as_str).collect()
    }
    fn keys<T>(entries: &[(String, T)]) -> Vec<&str> {
        entries.iter().map(|(name, _)| name.as_str()).collect()
    }
    match step {
        Step::Select(names) => ("select", all(names)),
        Step::Drop(names) => ("drop", all(names)),
        Step::Rename(names) => ("rename", keys(names)),
        Step::Cast(cast) => ("cast", keys(&cast.columns)),
        Step::Fill(fill) => ("fill", all(&fill.columns)),
        Step::OneHot(one_hot) => ("oneHot", all(&one_hot.columns)),
        Step::Scale(scale) => match scale.to {
            ScaleTo::Standard => ("standardise", all(&scale.columns)),
            ScaleTo::MinMax => ("minMax", all(&scale.columns)),
        },
        Step::Hash(hash) => ("hash", vec![&hash.column]),
        Step::Filter(formula) => ("filter", formula.columns().into_iter().collect()),
        Step::Dedupe(by) => ("dedupe", all(by)),
        Step::Sort(by) => ("sort", keys(by)),
        Step::Join(join) => ("join", all(&join.on)),
        Step::Aggregate(aggregate) => {
            let measured = aggregate.measures.iter();
            let measured = measured.filter_map(|(_, measure)| measure.column.as_deref());
            ("aggregate", all(&aggregate.by).into_iter().chain(measured).collect())
        }
        Step::Tokenize(tokenize) => ("tokenize", vec![&tokenize.column]),
        Step::Derive(_) | Step::Shuffle { .. } | Step::Sample(_) => ("", Vec::new()),
    }
}

/// Adds the columns of formulas, each of which reads those before it too; whether there was room.
fn derive(
    formulas: &[(String, Formula)],
    columns: &mut Columns,
    missing: &mut Vec<Missing>,
    room: &mut usize,
) -> bool {
    for (made, formula) in formulas {
        let names = formula.columns();
        let Some(left) = room.checked_sub(names.len() + 1) else { return false };
        *room = left;
        for name in names {
            if !columns.may_have(name) {
                missing.push(("derive", name.to_owned()));
                columns.add(name);
            }
        }
        columns.add(made);
    }
    true
}

/// What a step makes of the columns; whether that is known.
fn follow(step: &Step, columns: &mut Columns) -> bool {
    match step {
        Step::Select(names) => {
            *columns = Columns::default();
            names.iter().for_each(|name| columns.add(name));
        }
        Step::Drop(names) => {
            for name in names {
                columns.known.remove(name);
            }
        }
        Step::Rename(names) => {
            for (old, _) in names {
                columns.known.remove(old);
            }
            names.iter().for_each(|(_, new)| columns.add(new));
        }
        Step::OneHot(one_hot) => {
            one_hot.columns.iter().for_each(|name| columns.replace(name, '='));
        }
        Step::Hash(hash) => columns.replace(&hash.column, '#'),
        Step::Tokenize(tokenize) => match tokenize.into {
            Layout::Rows { .. } => columns.replace(&tokenize.column, '#'),
            Layout::Stream { .. } => return false,
        },
        Step::Aggregate(aggregate) => {
            let measures = aggregate.measures.iter().map(|(name, _)| name);
            let names: Vec<&String> = aggregate.by.iter().chain(measures).collect();
            *columns = Columns::default();
            names.into_iter().for_each(|name| columns.add(name));
        }
        Step::Join(_) => return false,
        Step::Derive(_)
        | Step::Cast(_)
        | Step::Fill(_)
        | Step::Scale(_)
        | Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Sample(_) => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_formulas_are_counted() {
        let columns = Columns::new(&[Column { name: "a".into(), kind: ColumnKind::Real }]);
        let formula = Formula::parse("a + b * c").unwrap();
        let derive = Step::Derive(vec![("d".into(), formula.clone()), ("e".into(), formula)]);
        let transform = Transform { steps: vec![derive] };
        // One column, a step, and two formulas of three names that give one each.
        let mut room = 10;
        let (made, missing) = transformed(&transform, &columns, &mut room);
        assert_eq!((room, missing.len()), (0, 2));
        assert_eq!(made.unwrap().size(), 5);
        let (made, missing) = transformed(&transform, &columns, &mut 9);
        assert_eq!((made, missing.len()), (None, 2), "what is known by then is told");
    }
}
