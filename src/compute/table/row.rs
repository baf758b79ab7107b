//! Rows as they stand in the bytes of a source: where their cells are, and what a glance tells.
//! Never says what a cell means: `column` does.

use super::lanes::{Text, UNKNOWN};

/// A cell of a row: where it lies and what a glance at its bytes told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// The first byte.
    pub(super) start: usize,
    /// Behind the last byte.
    pub(super) end: usize,
    /// Its [`mark`]s.
    pub(super) marks: u8,
}

impl Span {
    /// A cell that is not there.
    pub(super) const NULL: Self = Self::new(0, 0, mark::NULL);

    /// A cell from a place up to another one.
    pub(super) const fn new(start: usize, end: usize, marks: u8) -> Self {
        Self { start, end, marks }
    }

    /// Its text, which lies in the bytes of the source or beside them.
    #[inline]
    pub(super) fn text<'a>(self, bytes: &'a [u8], aside: &'a [u8]) -> Text<'a> {
        let from = if self.marks & mark::ASIDE == 0 { bytes } else { aside };
        Text::within(from, self.start, self.end.saturating_sub(self.start), UNKNOWN)
    }
}

/// What is wrong with a line of JSON that is no object.
pub(super) const NO_OBJECT: &str = "is not a JSON object";

/// What a glance at a cell tells.
pub(super) mod mark {
    /// There are, or may be, bytes of characters beyond ASCII; without it there are none.
    pub(in super::super) const HIGH: u8 = 1;
    /// The cell is text, whatever it says.
    pub(in super::super) const TEXT: u8 = 2;
    /// The cell is not there.
    pub(in super::super) const NULL: u8 = 4;
    /// The cell does not lie in the source but beside it: it had marks that stand for others.
    pub(in super::super) const ASIDE: u8 = 8;

    /// What a glance at the bytes of a cell tells.
    pub(in super::super) const fn of(bytes: &[u8]) -> u8 {
        if bytes.is_ascii() { 0 } else { HIGH }
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It has so many cells, and should have as many as there are columns.
    Ragged(usize),
    /// A cell goes on behind its closing quote.
    BehindQuote,
    /// It is not written as its format says.
    Form(String),
}

/// A row of which the cells have been found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// Where cells lie.
    pub(super) bytes: &'a [u8],
    /// Where the others lie.
    pub(super) aside: &'a [u8],
    /// The cells, by column.
    pub(super) cells: &'a [Span],
    /// The marks of all cells.
    pub(super) marks: u8,
    /// What is wrong with it.
    pub(super) flaw: Option<&'a Flaw>,
}

impl<'a> Row<'a> {
    /// The text and the marks of a cell; one that is not there is null.
    #[inline]
    pub(super) fn cell(&self, column: usize) -> (Text<'a>, u8) {
        let span = self.cells.get(column).copied().unwrap_or(Span::NULL);
        (self.text(span), span.marks)
    }

    /// The text of one of its cells.
    #[inline]
    pub(super) fn text(&self, span: Span) -> Text<'a> {
        span.text(self.bytes, self.aside)
    }
}

/// What a scanner found at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A row, up to here.
    Row(usize),
    /// No row, up to here: a blank line or a comment.
    Pass(usize),
    /// Nothing that is whole: more bytes must come first.
    More,
    /// A quote that opens on this line is never closed.
    Unclosed(u64),
}

/// Behind the end of the line that ends at `at`; `None` if that depends on bytes to come.
/// A line ends at LF, at CR, or at the two together.
pub(super) fn behind_line_end(bytes: &[u8], at: usize, is_end: bool) -> Option<usize> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Some(at + 2),
        (Some(b'\r'), None) if !is_end => None,
        _ => Some(at + 1),
    }
}

/// The end of the line that `from` is on, and behind it. What the bytes end with is a line, too.
pub(super) fn line(bytes: &[u8], from: usize, is_end: bool) -> Option<(usize, usize)> {
    let rest = bytes.get(from..)?;
    match rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(length) => Some((from + length, behind_line_end(bytes, from + length, is_end)?)),
        None => is_end.then_some((bytes.len(), bytes.len())),
    }
}
