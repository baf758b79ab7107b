//! Comma-separated values and their kin: finds the rows and cells, whatever the dialect.
//! Never says what a cell means, and never guesses a mark: its dialect is all it goes by.

use super::index::StructuralIndex;
use super::row::{Flaw, Row, Span, Step, behind_line_end, line, mark};
use crate::base::limits::COLUMNS_MAX;
use crate::domain::job::Dialect;

/// Finds rows one after another. It keeps the line that it is on; cells are those of the last row.
#[derive(Debug)]
pub(super) struct Csv {
    dialect: Dialect,
    /// The line that the next row begins on.
    pub(super) line: u64,
    /// At most one more than a table has columns; those behind them are counted alone.
    cells: Vec<Span>,
    /// The marks of all of them.
    marks: u8,
    aside: Vec<u8>,
    flaw: Option<Flaw>,
}

impl Csv {
    /// A scanner that begins on this line.
    pub(super) fn new(dialect: Dialect, line: u64) -> Self {
        let (cells, aside) = (Vec::new(), Vec::new());
        Self { dialect, line, cells, marks: 0, aside, flaw: None }
    }

    /// What finds many rows at a time.
    pub(super) fn index(&self) -> Option<StructuralIndex> {
        StructuralIndex::new(self.dialect)
    }

    /// The row that was found last.
    pub(super) fn row<'a>(&'a self, bytes: &'a [u8]) -> Row<'a> {
        let flaw = self.flaw.as_ref();
        Row { bytes, aside: &self.aside, cells: &self.cells, marks: self.marks, flaw }
    }

    /// Passes over the lines that are no part of the table. `None` if they have not all come.
    pub(super) fn skip_lines(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Option<usize> {
        let mut at = from;
        for _ in 0..self.dialect.skip_lines {
            if is_end && at >= bytes.len() {
                break;
            }
            (_, at) = line(bytes, at, is_end)?;
        }
        self.line += u64::from(self.dialect.skip_lines);
        Some(at)
    }

    /// Finds the row that begins at `from`. Nothing changes if it has not come as a whole.
    pub(super) fn next(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Step {
        match bytes.get(from) {
            None => return Step::More,
            Some(b'\r' | b'\n') => return self.pass(behind_line_end(bytes, from, is_end)),
            Some(byte) if Some(*byte) == self.dialect.comment => {
                return self.pass(line(bytes, from, is_end).map(|(_, behind)| behind));
            }
            Some(_) => {}
        }
        self.cells.clear();
        self.aside.clear();
        self.flaw = None;
        let begun = self.line;
        match self.row_cells(bytes, from, is_end) {
            Ok(end) => {
                self.line += 1;
                Step::Row(end)
            }
            Err(step) => {
                self.line = begun;
                step
            }
        }
    }

    fn pass(&mut self, behind: Option<usize>) -> Step {
        let Some(behind) = behind else { return Step::More };
        self.line += 1;
        Step::Pass(behind)
    }

    /// The cells of a row, and where it ends: behind its line's end.
    fn row_cells(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Result<usize, Step> {
        let (mut at, mut marks, mut surplus) = (from, 0, 0);
        let Dialect { quote, delimiter, trim, .. } = self.dialect;
        loop {
            let start = if trim { self.behind_blanks(bytes, at) } else { at };
            let is_quoted = quote.is_some() && bytes.get(start).copied() == quote;
            let (span, end) = if is_quoted {
                self.quoted(bytes, start, is_end)?
            } else {
                let end = self.cell_end(bytes, start);
                let cell = bytes.get(start..end).unwrap_or_default();
                let blanks = if trim { self.blanks(cell) } else { 0 };
                (Span::new(start, end - blanks, mark::of(cell)), end)
            };
            if self.cells.len() <= COLUMNS_MAX {
                self.cells.push(span);
            } else {
                surplus += 1;
            }
            marks |= span.marks;
            match bytes.get(end) {
                Some(byte) if *byte == delimiter => at = end + 1,
                None if !is_end => return Err(Step::More),
                None => break at = end,
                Some(_) => break at = behind_line_end(bytes, end, is_end).ok_or(Step::More)?,
            }
        }
        if surplus > 0 {
            self.flaw.get_or_insert(Flaw::Ragged(self.cells.len() + surplus));
        }
        self.marks = marks;
        Ok(at)
    }

    /// A cell in quotes, and where the mark behind it stands. What goes on behind them makes the
    /// row a bad one.
    fn quoted(&mut self, bytes: &[u8], start: usize, is_end: bool) -> Result<(Span, usize), Step> {
        let opened = self.line;
        // Where there is no end yet: whether one may come.
        let open = if is_end { Step::Unclosed(opened) } else { Step::More };
        let (mut from, mut at, mut marks) = (start + 1, start + 1, 0);
        let mut beside = None;
        let closed = loop {
            let run = bytes.get(at..).unwrap_or_default();
            let run = run.split(|byte| self.is_mark(*byte)).next().unwrap_or_default();
            marks |= mark::of(run);
            at += run.len();
            let byte = *bytes.get(at).ok_or(open)?;
            if Some(byte) == self.dialect.escape {
                // The byte behind it is meant literally, whatever it is.
                let next = *bytes.get(at + 1).ok_or(open)?;
                self.set_aside(bytes.get(from..at), &mut beside);
                marks |= if next.is_ascii() { 0 } else { mark::HIGH };
                from = at + 1;
                self.line += u64::from(next == b'\n');
                at += 2;
            } else if Some(byte) == self.dialect.quote {
                match bytes.get(at + 1) {
                    Some(next) if *next == byte && self.dialect.escape.is_none() => {
                        self.set_aside(bytes.get(from..=at), &mut beside);
                        from = at + 2;
                        at += 2;
                    }
                    None if !is_end => return Err(Step::More),
                    _ => break at,
                }
            } else {
                // The line's end is counted at its last byte; a CR waits for what follows it.
                let next = bytes.get(at + 1).ok_or(open)?;
                self.line += u64::from(byte == b'\n' || *next != b'\n');
                at += 1;
            }
        };
        let mut span = Span::new(from, closed, marks);
        if let Some(begun) = beside {
            self.set_aside(bytes.get(from..closed), &mut Some(begun));
            span = Span::new(begun, self.aside.len(), marks | mark::ASIDE);
        }
        let mut end = closed + 1;
        if self.dialect.trim {
            end = self.behind_blanks(bytes, end);
        }
        let next = bytes.get(end).copied().unwrap_or(b'\n');
        if !(next == self.dialect.delimiter || matches!(next, b'\r' | b'\n')) {
            self.flaw.get_or_insert(Flaw::BehindQuote);
            span = Span::NULL;
            end = self.cell_end(bytes, end);
        }
        if end == bytes.len() && !is_end { Err(Step::More) } else { Ok((span, end)) }
    }

    fn set_aside(&mut self, part: Option<&[u8]>, beside: &mut Option<usize>) {
        beside.get_or_insert(self.aside.len());
        self.aside.extend_from_slice(part.unwrap_or_default());
    }

    fn behind_blanks(&self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| self.is_blank(**byte)).count()
    }

    /// Where a cell without quotes ends: at the next delimiter or line's end.
    fn cell_end(&self, bytes: &[u8], from: usize) -> usize {
        let delimiter = self.dialect.delimiter;
        let is_end = |byte: &u8| matches!(*byte, b'\r' | b'\n') || *byte == delimiter;
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().position(is_end).map_or(bytes.len(), |length| from + length)
    }

    /// Whether a byte matters in quotes.
    fn is_mark(&self, byte: u8) -> bool {
        let Dialect { quote, escape, .. } = self.dialect;
        matches!(byte, b'\r' | b'\n') || Some(byte) == quote || Some(byte) == escape
    }

    /// How many blanks a cell ends with.
    fn blanks(&self, cell: &[u8]) -> usize {
        cell.iter().rev().take_while(|byte| self.is_blank(**byte)).count()
    }

    const fn is_blank(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && byte != self.dialect.delimiter
    }
}
