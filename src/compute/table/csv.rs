//! Comma-separated values and their kin: finds the rows and cells, whatever the dialect.
//! Never says what a cell means, and never guesses a mark: its dialect is all it goes by.

use super::row::{Flaw, Row, Span, Step, behind_line_end, line, mark};
use crate::domain::job::Dialect;

/// Finds rows one after another. It keeps the line that it is on; cells are those of the last row.
#[derive(Debug)]
pub(super) struct Csv {
    dialect: Dialect,
    /// Classes of bytes outside quotes, where a delimiter or a line's end ends a cell.
    outside: [u8; 256],
    /// Classes of bytes inside quotes, where marks and lines' ends matter.
    inside: [u8; 256],
    /// The line that the next row begins on.
    pub(super) line: u64,
    cells: Vec<Span>,
    aside: Vec<u8>,
    flaw: Option<Flaw>,
}

/// A cell, and where the mark behind it stands.
type Found = Result<(Span, usize), Step>;

impl Csv {
    /// A scanner that begins on this line.
    pub(super) fn new(dialect: Dialect, line: u64) -> Self {
        let (mut outside, mut inside) = (mark::classes(), mark::classes());
        for byte in [b'\r', b'\n', dialect.delimiter] {
            stop(&mut outside, byte);
        }
        for byte in [Some(b'\r'), Some(b'\n'), dialect.quote, dialect.escape].into_iter().flatten()
        {
            stop(&mut inside, byte);
        }
        let (cells, aside) = (Vec::new(), Vec::new());
        Self { dialect, outside, inside, line, cells, aside, flaw: None }
    }

    /// The row that was found last.
    pub(super) fn row<'a>(&'a self, bytes: &'a [u8]) -> Row<'a> {
        Row { bytes, aside: &self.aside, cells: &self.cells, flaw: self.flaw.as_ref() }
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
        match self.cells(bytes, from, is_end) {
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
    fn cells(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Result<usize, Step> {
        let mut at = from;
        loop {
            let start = if self.dialect.trim { self.behind_blanks(bytes, at) } else { at };
            let is_quoted =
                self.dialect.quote.is_some() && bytes.get(start).copied() == self.dialect.quote;
            let (span, end) = if is_quoted {
                self.quoted(bytes, start, is_end)?
            } else {
                self.plain(bytes, start, is_end)?
            };
            self.cells.push(span);
            match bytes.get(end) {
                None => return Ok(end),
                Some(byte) if *byte == self.dialect.delimiter => at = end + 1,
                Some(_) => return behind_line_end(bytes, end, is_end).ok_or(Step::More),
            }
        }
    }

    /// A cell without quotes: everything up to a delimiter or a line's end.
    fn plain(&self, bytes: &[u8], start: usize, is_end: bool) -> Found {
        let rest = bytes.get(start..).unwrap_or_default();
        let (length, mut marks) = run(&self.outside, rest);
        let end = start + length;
        if length == rest.len() && !is_end {
            return Err(Step::More);
        }
        let mut last = end;
        if self.dialect.trim {
            let cell = rest.get(..length).unwrap_or_default();
            let blanks = cell.iter().rev().take_while(|byte| self.is_blank(**byte)).count();
            last -= blanks;
            if blanks > 0 {
                marks = run(&self.outside, cell.get(..length - blanks).unwrap_or_default()).1;
            }
        }
        Ok((Span { start, end: last, marks }, end))
    }

    /// A cell in quotes. What goes on behind them makes the row a bad one.
    fn quoted(&mut self, bytes: &[u8], start: usize, is_end: bool) -> Found {
        let opened = self.line;
        // Where there is no end yet: whether one may come.
        let open = if is_end { Step::Unclosed(opened) } else { Step::More };
        let (mut from, mut at, mut marks) = (start + 1, start + 1, 0);
        let mut beside = None;
        let closed = loop {
            let (length, seen) = run(&self.inside, bytes.get(at..).unwrap_or_default());
            marks |= seen;
            at += length;
            let byte = *bytes.get(at).ok_or(open)?;
            if Some(byte) == self.dialect.escape {
                // The byte behind it is meant literally, whatever it is.
                let next = *bytes.get(at + 1).ok_or(open)?;
                self.set_aside(bytes.get(from..at), &mut beside);
                marks |= class(&self.inside, next) & !mark::STOP;
                from = at + 1;
                self.line += u64::from(next == b'\n');
                at += 2;
            } else if Some(byte) == self.dialect.quote {
                match bytes.get(at + 1) {
                    Some(next) if *next == byte && self.dialect.escape.is_none() => {
                        self.set_aside(bytes.get(from..=at), &mut beside);
                        marks |= mark::OTHER;
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
                marks |= mark::OTHER;
                at += 1;
            }
        };
        let mut span = Span { start: from, end: closed, marks };
        if let Some(begun) = beside {
            self.set_aside(bytes.get(from..closed), &mut Some(begun));
            span = Span { start: begun, end: self.aside.len(), marks: marks | mark::ASIDE };
        }
        let mut end = closed + 1;
        if self.dialect.trim {
            end = self.behind_blanks(bytes, end);
        }
        let (length, _) = run(&self.outside, bytes.get(end..).unwrap_or_default());
        if length > 0 {
            self.flaw.get_or_insert(Flaw::BehindQuote);
            span = Span::NULL;
        }
        end += length;
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

    const fn is_blank(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && byte != self.dialect.delimiter
    }
}

fn stop(classes: &mut [u8; 256], byte: u8) {
    if let Some(class) = classes.get_mut(usize::from(byte)) {
        *class |= mark::STOP;
    }
}

fn class(classes: &[u8; 256], byte: u8) -> u8 {
    classes.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How far it is to a byte that stops, and the marks of all bytes before it.
fn run(classes: &[u8; 256], bytes: &[u8]) -> (usize, u8) {
    let mut marks = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let class = class(classes, *byte);
        if class & mark::STOP != 0 {
            return (index, marks);
        }
        marks |= class;
    }
    (bytes.len(), marks)
}
