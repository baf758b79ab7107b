//! Columns, cell by cell: which kind holds all of them, and the array that they make.
//! Never sees a format: a cell is its text, and what a glance at it told.
//!
//! Kinds are a lattice: a column without values is anything, then integer < number < string and
//! boolean < string. A column is of the lowest kind that holds every value of all its rows, so that
//! neither the order of rows nor how they are cut into chunks decides.

use super::ColumnKind;
use super::index::Rows;
use super::lanes::Text;
use super::number::{Shape, integer, real, shape, truth, whole};
use super::row::{Flaw, NO_OBJECT, Row, mark};
use crate::compute::{Cause, quote};
use crate::domain::job::Declared;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder};
use arrow_array::{ArrayRef, StringArray};
use std::sync::Arc;

/// The kinds that hold every cell seen so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    /// A bit for each kind below text.
    kinds: u8,
    is_seen: bool,
}

impl Guess {
    const INTEGER: u8 = 1;
    const REAL: u8 = 2;
    const TRUTH: u8 = 4;
    /// No cell has been seen.
    pub(super) const NEW: Self =
        Self { kinds: Self::INTEGER | Self::REAL | Self::TRUTH, is_seen: false };

    /// Whether nothing but text holds what was seen: no cell changes that.
    pub(super) const fn is_decided(self) -> bool {
        self.kinds == 0
    }

    /// More cells, which are UTF-8.
    pub(super) fn see_all<'a>(&mut self, texts: impl Iterator<Item = Text<'a>>, nulls: &Nulls) {
        // In a register while it changes.
        let mut guess = *self;
        for text in texts {
            if guess.is_decided() {
                break;
            }
            if !nulls.has(text, 0) {
                guess.see(text, 0);
            }
        }
        *self = guess;
    }

    /// One more cell, which is not null.
    #[inline(always)]
    pub(super) fn see(&mut self, text: Text<'_>, marks: u8) {
        self.is_seen = true;
        if marks & mark::TEXT != 0 {
            self.kinds = 0;
            return;
        }
        self.kinds &= match shape(text) {
            Shape::Integer => Self::INTEGER | Self::REAL,
            Shape::Decimal => Self::REAL,
            Shape::Other => self.others(text.alone()),
        };
    }

    /// Those of the kinds so far that hold a cell of which a glance tells nothing.
    #[inline(never)]
    fn others(self, text: &[u8]) -> u8 {
        let text = Text::new(text);
        let held = |kind, is_held: fn(Text<'_>) -> bool| {
            if self.kinds & kind != 0 && is_held(text) { kind } else { 0 }
        };
        held(Self::TRUTH, |text| truth(text).is_some())
            | held(Self::REAL, |text| real(text).is_some())
            | held(Self::INTEGER, |text| integer(text).is_some())
    }

    /// What holds these cells and those of another guess.
    pub(super) const fn join(&mut self, other: Self) {
        self.kinds &= other.kinds;
        self.is_seen |= other.is_seen;
    }

    /// The lowest kind that holds them all.
    pub(super) const fn kind(self) -> ColumnKind {
        match self.kinds {
            _ if !self.is_seen => ColumnKind::Text,
            kinds if kinds & Self::INTEGER != 0 => ColumnKind::Integer,
            kinds if kinds & Self::REAL != 0 => ColumnKind::Real,
            kinds if kinds & Self::TRUTH != 0 => ColumnKind::Truth,
            _ => ColumnKind::Text,
        }
    }
}

/// What is wrong with a row, in words: they go on behind its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: &'static str,
    pub(super) cause: Cause,
}

impl Wrong {
    pub(super) const fn new(what: String, hint: &'static str) -> Self {
        Self { what, hint, cause: Cause::Job }
    }

    /// A cell that is not of its kind.
    pub(super) const fn cell(what: String) -> Self {
        let hint = "declare another kind, or let `onBadRow` be `skip` or `null`";
        Self { what, hint, cause: Cause::Cell }
    }
}

/// What to do about bytes that are no text.
pub(super) const ENCODING: &str =
    "convert the source to UTF-8, for example: iconv -f latin1 -t utf8";

/// Cells that stand for null.
#[derive(Clone, Debug)]
pub(super) struct Nulls {
    has_empty: bool,
    others: Vec<Vec<u8>>,
}

impl Nulls {
    pub(super) fn new(nulls: &[String]) -> Self {
        let others = nulls.iter().filter(|null| !null.is_empty());
        Self {
            has_empty: nulls.iter().any(String::is_empty),
            others: others.map(|null| null.as_bytes().to_vec()).collect(),
        }
    }

    /// Whether nothing stands for null.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_empty && self.others.is_empty()
    }

    /// A cell that is plain, or null.
    #[inline]
    pub(super) fn or_null<'a>(&self, text: Text<'a>) -> Option<Text<'a>> {
        (!self.has(text, 0)).then_some(text)
    }

    /// Whether a cell is null.
    #[inline]
    pub(super) fn has(&self, text: Text<'_>, marks: u8) -> bool {
        marks & mark::NULL != 0
            || if text.length() == 0 {
                self.has_empty
            } else {
                self.others.iter().any(|null| null == text.alone())
            }
    }
}

/// Tells bad rows from good ones: by their form, their characters and what is declared.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    names: Vec<String>,
    declared: Vec<Option<ColumnKind>>,
    has_declared: bool,
    /// Which cells are null.
    pub(super) nulls: Nulls,
}

impl Judge {
    pub(super) fn new(nulls: &[String]) -> Self {
        let (names, declared) = (Vec::new(), Vec::new());
        Self { names, declared, has_declared: false, nulls: Nulls::new(nulls) }
    }

    /// The names of the columns that are known by now.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The kind that is declared of a column.
    pub(super) fn declared(&self, column: usize) -> Option<ColumnKind> {
        self.declared.get(column).copied().flatten()
    }

    /// Learns of the columns beyond those that it knows.
    pub(super) fn learn(&mut self, names: &[String], declared: &[Declared]) {
        for name in names.iter().skip(self.names.len()) {
            let found = declared.iter().find(|declared| declared.name == *name);
            let kind = found.and_then(|declared| declared.kind);
            self.has_declared |= kind.is_some();
            self.declared.push(kind);
            self.names.push(name.clone());
        }
    }

    /// What is wrong with a row; `None` if it is good.
    pub(super) fn flaw(&self, row: Row<'_>) -> Option<Wrong> {
        if let Some(flaw) = row.flaw {
            return Some(self.describe(flaw));
        }
        if row.cells.len() != self.names.len() {
            return Some(self.describe(&Flaw::Ragged(row.cells.len())));
        }
        if self.has_declared {
            return (0..self.names.len()).find_map(|column| self.flaw_of_cell(row, column));
        }
        if row.marks & mark::HIGH == 0 {
            return None;
        }
        let cells = row.cells.iter().enumerate();
        let mut cells = cells.filter(|(_, cell)| cell.marks & mark::HIGH != 0);
        cells.find_map(|(column, _)| self.flaw_of_cell(row, column))
    }

    /// The first of plain rows, as far as they are good; `None` if the first is not.
    pub(super) fn good<'a>(&self, rows: Rows<'a>) -> Option<Rows<'a>> {
        if !self.has_declared {
            return Some(rows);
        }
        let is_bad = |row| {
            let mut declared = self.declared.iter().enumerate();
            declared.any(|(column, kind)| {
                let cell = (*kind).zip(rows.at(row, column));
                cell.is_some_and(|(kind, text)| !self.nulls.has(text, 0) && !holds(kind, text))
            })
        };
        let count = (0..rows.count).position(is_bad).unwrap_or(rows.count);
        (count > 0).then(|| rows.first(count))
    }

    fn flaw_of_cell(&self, row: Row<'_>, column: usize) -> Option<Wrong> {
        let (text, marks) = row.cell(column);
        if marks & mark::HIGH != 0 && std::str::from_utf8(text.alone()).is_err() {
            let what = format!("is not UTF-8 in column {}", self.shown(column));
            return Some(Wrong::new(what, ENCODING));
        }
        let kind = self.declared(column)?;
        if self.nulls.has(text, marks) || holds(kind, text) {
            return None;
        }
        let text = quote(&String::from_utf8_lossy(text.alone()));
        let article = if kind == ColumnKind::Integer { "an" } else { "a" };
        let what =
            format!("has {text} in column {}, not {article} {}", self.shown(column), kind.word());
        Some(Wrong::cell(what))
    }

    fn shown(&self, column: usize) -> String {
        self.names.get(column).map(|name| quote(name)).unwrap_or_default()
    }

    fn describe(&self, flaw: &Flaw) -> Wrong {
        match flaw {
            Flaw::Ragged(cells) => Wrong::new(
                format!("has {cells} cells, but there are {} columns", self.names.len()),
                "put cells that contain a delimiter or a line break in quotes",
            ),
            Flaw::BehindQuote => Wrong::new(
                "goes on behind a closing quote".to_owned(),
                "write a quote inside a quoted cell twice: \"a \"\"quoted\"\" word\"",
            ),
            Flaw::Form(what) => Wrong::new(what.clone(), form_hint(what)),
        }
    }
}

/// What to do about a line of JSON that makes no row.
fn form_hint(what: &str) -> &'static str {
    if what.starts_with("has a list under") || what.starts_with("has an object under") {
        return "leave it out: name the columns to read in `columns: [ … ]` of the source";
    }
    if what == NO_OBJECT {
        return "each line is an object; one list of all of them is made lines by: jq -c '.[]' FILE";
    }
    "each line is an object whose values are numbers, text, booleans or null"
}

/// Whether a kind holds a cell, which is not null.
fn holds(kind: ColumnKind, text: Text<'_>) -> bool {
    match (kind, shape(text)) {
        (ColumnKind::Text, _)
        | (ColumnKind::Integer | ColumnKind::Real, Shape::Integer)
        | (ColumnKind::Real, Shape::Decimal) => true,
        (ColumnKind::Integer, _) => whole(text).is_some(),
        (ColumnKind::Real, _) => real(text).is_some(),
        (ColumnKind::Truth, _) => truth(text).is_some(),
    }
}

/// Appends what cells say, or null, up to the first one that cannot be read: which it is.
#[inline(always)]
fn append<'a, T>(
    mut texts: impl Iterator<Item = Option<Text<'a>>>,
    read: impl Fn(Text<'a>) -> Option<T>,
    mut append: impl FnMut(Option<T>),
) -> Option<usize> {
    texts.position(|text| match text {
        None => {
            append(None);
            false
        }
        Some(text) => match read(text) {
            None => true,
            value => {
                append(value);
                false
            }
        },
    })
}

/// A column that is being made.
#[derive(Debug)]
pub(super) enum Building {
    Real(Float64Builder),
    Integer(Int64Builder),
    Text(BinaryBuilder),
    Truth(BooleanBuilder),
}

impl Building {
    /// With room for so many rows.
    pub(super) fn new(kind: ColumnKind, rows: usize) -> Self {
        match kind {
            ColumnKind::Real => Self::Real(Float64Builder::with_capacity(rows)),
            ColumnKind::Integer => Self::Integer(Int64Builder::with_capacity(rows)),
            ColumnKind::Text => Self::Text(BinaryBuilder::with_capacity(rows, 0)),
            ColumnKind::Truth => Self::Truth(BooleanBuilder::with_capacity(rows)),
        }
    }

    /// More cells, which are UTF-8 or null, up to the first one that the kind does not hold: which
    /// it is.
    pub(super) fn push<'a>(
        &mut self,
        texts: impl Iterator<Item = Option<Text<'a>>>,
    ) -> Option<usize> {
        // One loop for each kind; a function that is given by its name would not be inlined.
        match self {
            Self::Real(cells) => append(
                texts,
                |text| real(text),
                |value| match value {
                    Some(value) => cells.append_value(value),
                    None => cells.append_null(),
                },
            ),
            Self::Integer(cells) => append(
                texts,
                |text| whole(text),
                |value| match value {
                    Some(value) => cells.append_value(value),
                    None => cells.append_null(),
                },
            ),
            Self::Truth(cells) => append(
                texts,
                |text| truth(text),
                |value| match value {
                    Some(value) => cells.append_value(value),
                    None => cells.append_null(),
                },
            ),
            Self::Text(cells) => append(
                texts,
                |text| Some(text.alone()),
                |value| match value {
                    Some(value) => cells.append_value(value),
                    None => cells.append_null(),
                },
            ),
        }
    }

    /// One more cell, which is null.
    pub(super) fn push_null(&mut self) {
        match self {
            Self::Real(cells) => cells.append_null(),
            Self::Integer(cells) => cells.append_null(),
            Self::Text(cells) => cells.append_null(),
            Self::Truth(cells) => cells.append_null(),
        }
    }

    /// Bytes that its cells take, about.
    pub(super) fn size(&self) -> usize {
        use arrow_array::builder::ArrayBuilder as _;
        match self {
            Self::Real(cells) => cells.len().saturating_mul(9),
            Self::Integer(cells) => cells.len().saturating_mul(9),
            Self::Truth(cells) => cells.len().saturating_mul(2),
            Self::Text(cells) => {
                cells.values_slice().len().saturating_add(cells.len().saturating_mul(5))
            }
        }
    }

    /// The whole column.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Real(cells) => Arc::new(cells.finish()),
            Self::Integer(cells) => Arc::new(cells.finish()),
            Self::Truth(cells) => Arc::new(cells.finish()),
            Self::Text(cells) => {
                let texts = StringArray::try_from_binary(cells.finish());
                Arc::new(texts.expect("what is not UTF-8 has been refused"))
            }
        }
    }
}
