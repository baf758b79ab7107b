//! Columns of tables that do not exist yet, and what their cells are, as far as a manifest and the
//! pins tell it. Never claims that a column is there, only that one cannot be, nor that a cell is
//! of a kind that only its bytes would tell: what is not known for sure is not told.

use super::kinds::{self, Misfit};
use crate::domain::job::{
    Column, ColumnKind, Embed, Filling, Formula, Ingest, Layout, ScaleTo, Step, Summary, Transform,
};
use std::collections::{BTreeMap, BTreeSet};

/// All columns that a table may have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Columns {
    /// Those with a name, and their kinds; none where it is open which it is, or whether the
    /// column is there at all.
    known: BTreeMap<String, Option<ColumnKind>>,
    /// How the names of others begin: all up to one of [`MARKS`]. They are numbers.
    begins: BTreeSet<String>,
    /// Whether some may be tokens.
    has_tokens: bool,
}

/// What stands between the name of a column and that of what became of it.
const MARKS: [char; 2] = ['=', '#'];

impl Columns {
    pub(super) fn new(known: &[Column]) -> Self {
        let known = known.iter().map(|column| (column.name.clone(), Some(column.kind)));
        Self { known: known.collect(), ..Self::default() }
    }

    /// How many names it holds.
    pub(super) fn size(&self) -> usize {
        self.known.len() + self.begins.len()
    }

    /// What an ingest keeps of them.
    pub(super) fn kept(&self, ingest: &Ingest) -> Self {
        let Some(keep) = &ingest.keep else { return self.clone() };
        let find = |name: &String| Some((name.clone(), *self.known.get(name)?));
        Self { known: keep.iter().filter_map(find).collect(), ..Self::default() }
    }

    /// Those of the table that an embedding gives; none where some have no name.
    pub(super) fn embedded(&self, embed: &Embed, encoder: &[Column]) -> Option<Self> {
        if !self.begins.is_empty() {
            return None;
        }
        let mut made = self.clone();
        if made.known.remove(&embed.column).is_some() {
            let text = Column { name: embed.column.clone(), kind: ColumnKind::Text };
            let vector = embed.table(&[text], encoder);
            made.known.extend(vector.into_iter().map(|each| (each.name, Some(each.kind))));
        }
        Some(made)
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

    /// What the cells of a column are; none where that is open.
    pub(super) fn kind(&self, name: &str) -> Option<ColumnKind> {
        self.known.get(name).copied().flatten()
    }

    /// Whether there are these and no others.
    pub(super) fn are_certain(&self) -> bool {
        self.begins.is_empty() && self.known.values().all(Option::is_some)
    }

    /// Whether some may be tokens.
    pub(super) const fn may_have_tokens(&self) -> bool {
        self.has_tokens
    }

    /// All that one or the other may have: what only one has, or has of another kind, is open.
    pub(super) fn join(&mut self, other: &Self) {
        for (name, kind) in &mut self.known {
            if other.kind(name) != *kind {
                *kind = None;
            }
        }
        for name in other.known.keys() {
            self.known.entry(name.clone()).or_insert(None);
        }
        self.begins.extend(other.begins.iter().cloned());
        self.has_tokens |= other.has_tokens;
    }

    fn add(&mut self, name: &str, kind: Option<ColumnKind>) {
        self.known.insert(name.to_owned(), kind);
    }

    /// The cells of a column become of that kind.
    fn turn(&mut self, name: &str, kind: Option<ColumnKind>) {
        if let Some(known) = self.known.get_mut(name) {
            *known = kind;
        }
    }

    /// Keeps these.
    fn select(&mut self, names: &[String]) {
        let known = names.iter().map(|name| (name.clone(), self.kind(name))).collect();
        *self = Self { known, begins: BTreeSet::new(), has_tokens: self.has_tokens };
    }

    /// One column becomes several whose names begin with its own.
    fn replace(&mut self, name: &str, mark: char) {
        self.known.remove(name);
        self.begins.insert(format!("{name}{mark}"));
    }
}

/// A column that a step names: the key of the step, and the column.
type Missing = (&'static str, String);

/// What steps cannot do.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// Columns that steps name and that cannot be there.
    pub(super) missing: Vec<Missing>,
    /// By the number of a step, what it cannot do with its columns.
    pub(super) misfits: BTreeMap<usize, Misfit>,
}

/// What comes of a table with these columns, if that is known, and what is wrong with the steps.
///
/// What it takes is counted down in `room`; where that is over, nothing more is known.
pub(super) fn transformed(
    transform: &Transform,
    columns: &Columns,
    room: &mut usize,
) -> (Option<Columns>, Wrong) {
    let mut wrong = Wrong::default();
    let Some(left) = room.checked_sub(columns.size()) else { return (None, wrong) };
    *room = left;
    let mut columns = columns.clone();
    for (number, step) in transform.steps.iter().enumerate() {
        let (key, names) = named(step);
        let Some(left) = room.checked_sub(names.len() + 1) else { return (None, wrong) };
        *room = left;
        for name in names {
            if columns.may_have(name) {
                continue;
            }
            wrong.missing.push((key, name.to_owned()));
            // It is told once.
            columns.add(name, None);
        }
        if let Some(misfit) = kinds::misfit(step, &columns) {
            wrong.misfits.insert(number, misfit);
        }
        if let Step::Derive(formulas) = step {
            if !derive((number, formulas), &mut columns, &mut wrong, room) {
                return (None, wrong);
            }
        } else if !follow(step, &mut columns) {
            return (None, wrong);
        }
    }
    (Some(columns), wrong)
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
    (number, formulas): (usize, &[(String, Formula)]),
    columns: &mut Columns,
    wrong: &mut Wrong,
    room: &mut usize,
) -> bool {
    for (made, formula) in formulas {
        let names = formula.columns();
        let Some(left) = room.checked_sub(names.len() + 1) else { return false };
        *room = left;
        let mut is_known = true;
        for name in names {
            if !columns.may_have(name) {
                wrong.missing.push(("derive", name.to_owned()));
                columns.add(name, None);
            }
            is_known &= columns.kind(name).is_some();
        }
        let kind = kinds::of_formula("derive", formula, columns);
        let kind = kind.unwrap_or_else(|misfit| {
            wrong.misfits.entry(number).or_insert(misfit);
            None
        });
        columns.add(made, kind.filter(|_| is_known));
    }
    true
}

/// What a step makes of the columns; whether that is known.
fn follow(step: &Step, columns: &mut Columns) -> bool {
    match step {
        Step::Select(names) => columns.select(names),
        Step::Drop(names) => {
            for name in names {
                columns.known.remove(name);
            }
        }
        Step::Rename(names) => {
            let old = names.iter().map(|(old, _)| columns.known.remove(old).flatten());
            let kinds: Vec<Option<ColumnKind>> = old.collect();
            names.iter().zip(kinds).for_each(|((_, new), kind)| columns.add(new, kind));
        }
        Step::Cast(cast) => {
            cast.columns.iter().for_each(|(name, kind)| columns.turn(name, Some(*kind)));
        }
        Step::Fill(fill) => fill.columns.iter().for_each(|name| {
            let kind = columns.kind(name).filter(|kind| keeps_kind(&fill.with, *kind));
            columns.turn(name, kind);
        }),
        Step::Scale(scale) => {
            scale.columns.iter().for_each(|name| columns.turn(name, Some(ColumnKind::Real)));
        }
        Step::OneHot(one_hot) => {
            one_hot.columns.iter().for_each(|name| columns.replace(name, '='));
        }
        Step::Hash(hash) => columns.replace(&hash.column, '#'),
        Step::Tokenize(tokenize) => match tokenize.into {
            Layout::Rows { .. } => {
                columns.replace(&tokenize.column, '#');
                columns.has_tokens = true;
            }
            Layout::Stream { .. } => return false,
        },
        Step::Aggregate(aggregate) => {
            let before = columns.clone();
            columns.select(&aggregate.by);
            for (name, measure) in &aggregate.measures {
                let of = measure.column.as_deref().and_then(|name| before.kind(name));
                columns.add(name, summarised(measure.of, of));
            }
        }
        Step::Join(_) => return false,
        Step::Derive(_)
        | Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Sample(_) => {}
    }
    true
}

/// Whether a column is of its kind with its gaps filled, too.
const fn keeps_kind(with: &Filling, kind: ColumnKind) -> bool {
    match with {
        Filling::Mode | Filling::Previous => true,
        // Integers become reals, unless the value is an integer.
        Filling::Mean | Filling::Median | Filling::Value(_) => !matches!(kind, ColumnKind::Integer),
    }
}

/// What the measure of a column of that kind is.
const fn summarised(of: Summary, kind: Option<ColumnKind>) -> Option<ColumnKind> {
    match of {
        Summary::Count | Summary::Distinct => Some(ColumnKind::Integer),
        Summary::Mean => Some(ColumnKind::Real),
        Summary::Sum | Summary::Min | Summary::Max | Summary::First => kind,
    }
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
        let (made, wrong) = transformed(&transform, &columns, &mut room);
        assert_eq!((room, wrong.missing.len()), (0, 2));
        assert_eq!(made.unwrap().size(), 5);
        let (made, wrong) = transformed(&transform, &columns, &mut 9);
        assert_eq!((made, wrong.missing.len()), (None, 2), "what is known by then is told");
    }
}
