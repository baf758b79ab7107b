//! Looking ahead: stretches of a file that are looked at side by side, and what is learned of rows.
//! Never decides where a chunk ends, and never believes that a stretch begins with a row: whoever
//! takes one must have come to its beginning.

use super::BadRows;
use super::column::{Guess, Judge};
use super::csv::Csv;
use super::index::StructuralIndex;
use super::row::{Row, Step, mark};
use crate::base::canon::Digest;
use crate::base::limits::OFFENDERS_MAX;
use crate::compute::Fault;
use crate::compute::memory::Own;
use crate::domain::job::{Dialect, OnBadRow};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stretches that a thread gets on the average: the slower one of two gets fewer.
const SHARES: usize = 4;

/// What has been learned of rows, which is the same in whatever order it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    /// The kinds that each column may have.
    pub(super) guesses: Vec<Guess>,
    /// How many rows there are, and which of them cannot be read.
    pub(super) rows: BadRows,
    /// Rows that make one in the table.
    pub(super) good: u64,
}

impl Learned {
    /// Rows that an index tells from `from` on, none of which ends beyond `to`, `most` of them at
    /// the most: how many there are, and where they end. `None` if the first is to be looked at.
    pub(super) fn see_plain(
        &mut self,
        judge: &Judge,
        (index, bytes): (&mut StructuralIndex, &[u8]),
        (from, to): (usize, usize),
        most: usize,
    ) -> Option<(u64, usize)> {
        let rows = judge.good(index.rows(bytes, (from, to), most, judge.names().len())?)?;
        for (column, guess) in self.guesses.iter_mut().enumerate() {
            guess.see_all(rows.column(column), &judge.nulls);
        }
        let count = rows.count as u64;
        self.rows.rows += count;
        self.good += count;
        Some((count, rows.end))
    }

    /// One more row, which begins on this line; nothing changes where it is refused.
    pub(super) fn see(
        &mut self,
        judge: &Judge,
        row: Row<'_>,
        line: u64,
        on_bad_row: OnBadRow,
    ) -> Result<(), Fault> {
        let flaw = judge.flaw(row);
        if let Some(wrong) = &flaw {
            self.rows.add(("line", line), wrong, on_bad_row)?;
        }
        self.rows.rows += 1;
        if flaw.is_some() && on_bad_row == OnBadRow::Skip {
            return Ok(());
        }
        self.good += 1;
        for (guess, span) in self.guesses.iter_mut().zip(row.cells) {
            if guess.is_decided() {
                continue;
            }
            let text = row.text(*span);
            let is_damaged =
                || span.marks & mark::HIGH != 0 && std::str::from_utf8(text.alone()).is_err();
            let is_passed = judge.nulls.has(text, span.marks) || flaw.is_some() && is_damaged();
            if !is_passed {
                guess.see(text, span.marks);
            }
        }
        Ok(())
    }

    /// The rows behind these, and how many lines come before them.
    fn add(&mut self, other: Self, lines: u64) {
        for (guess, other) in self.guesses.iter_mut().zip(other.guesses) {
            guess.join(other);
        }
        self.good += other.good;
        self.rows.rows += other.rows.rows;
        self.rows.bad += other.rows.bad;
        let room = OFFENDERS_MAX - self.rows.offenders.len();
        self.rows.offenders.extend(other.rows.offenders.into_iter().take(room).map(
            |mut offender| {
                offender.line += lines;
                offender
            },
        ));
    }
}

/// Rows that were looked at ahead, if there begins one.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Where the first of them begins.
    pub(super) from: usize,
    /// Behind the last of them.
    pub(super) end: usize,
    lines: u64,
    learned: Learned,
}

impl Stretch {
    /// Adds what it says to what is said before it, on lines up to this one. Gives its lines and
    /// rows, and how many of them are good.
    pub(super) fn join(self, learned: &mut Learned, line: u64) -> (u64, u64, u64) {
        let (rows, good) = (self.learned.rows.rows, self.learned.good);
        learned.add(self.learned, line);
        (self.lines, rows, good)
    }
}

/// How stretches are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook<'a> {
    pub(super) dialect: Dialect,
    pub(super) on_bad_row: OnBadRow,
    pub(super) judge: &'a Judge,
    /// What the columns may be by now.
    pub(super) guesses: &'a [Guess],
    pub(super) bytes: &'a [u8],
}

impl Outlook<'_> {
    /// Looks at the rows from a row's beginning up to a place, with so many threads, in stretches
    /// of so many bytes at least, the last of them first; and hashes what is given, beside it.
    /// Does nothing where there would be one stretch alone.
    pub(super) fn look(
        &self,
        (from, to): (usize, usize),
        (threads, least): (usize, usize),
        hashed: Option<&[u8]>,
    ) -> (Vec<Stretch>, Option<Digest>) {
        let size = (to - from).div_ceil(threads * SHARES).max(least);
        let starts = if to - from > size { self.starts(from, to, size) } else { Vec::new() };
        if starts.len() < 3 {
            return (Vec::new(), None);
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let (mut found, mut digest) = (Vec::new(), None);
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                match (at.checked_sub(1), hashed) {
                    (None, Some(bytes)) => digest = Some(Digest::of(bytes)),
                    (None, None) => {}
                    (Some(at), _) => match starts.get(at..at + 2) {
                        Some(&[from, to]) => found.push(self.stretch(from, to)),
                        _ => return (found, digest),
                    },
                }
            }
        };
        let (mut all, own) = (Vec::new(), Own::of_this_thread());
        std::thread::scope(|scope| {
            let others = (1..threads).map(|_| scope.spawn(|| own.serve(work)));
            let others: Vec<_> = others.collect();
            all.push(work());
            all.extend(others.into_iter().map(|other| {
                // A thread of ours does not panic; where one did, so do we.
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
        });
        let digest = all.iter().find_map(|(_, digest)| *digest);
        let mut stretches: Vec<_> = all.into_iter().flat_map(|(found, _)| found).collect();
        stretches.sort_by_key(|stretch| std::cmp::Reverse(stretch.from));
        (stretches, digest)
    }

    /// Where stretches of about so many bytes begin, and where the last one ends: behind lines'
    /// ends, which may stand in quotes.
    fn starts(&self, from: usize, to: usize, size: usize) -> Vec<usize> {
        let bytes = self.bytes.get(..to).unwrap_or_default();
        let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let behind = |at: usize| {
            let rest = bytes.get(at..)?;
            Some(at + rest.iter().position(|byte| *byte == b'\n')? + 1)
        };
        let mut starts = vec![from];
        let places = (from + size..last).step_by(size);
        for start in places.map_while(behind) {
            if starts.last().is_some_and(|before| *before < start) {
                starts.push(start);
            }
        }
        if starts.last().is_some_and(|before| *before <= last) {
            starts.push(last + 1);
        }
        starts
    }

    /// The rows from `from` to `to`, none of which goes beyond. They are fewer where one is not
    /// whole, or the source is to be refused for it: whoever comes to it says why.
    fn stretch(&self, from: usize, to: usize) -> Stretch {
        let learned = Learned { guesses: self.guesses.to_vec(), ..Learned::default() };
        let mut stretch = Stretch { from, end: from, lines: 0, learned };
        let mut csv = Csv::new(self.dialect, 0);
        let mut index = csv.index();
        while stretch.end < to {
            let plain = index.as_mut().and_then(|index| {
                let place = (stretch.end, to);
                stretch.learned.see_plain(self.judge, (index, self.bytes), place, usize::MAX)
            });
            if let Some((rows, end)) = plain {
                csv.line += rows;
                (stretch.lines, stretch.end) = (csv.line, end);
                continue;
            }
            let line = csv.line;
            match csv.next(self.bytes, stretch.end, false) {
                Step::More | Step::Unclosed(_) => break,
                Step::Row(end) | Step::Pass(end) if end > to => break,
                Step::Pass(end) => stretch.end = end,
                Step::Row(end) => {
                    let row = csv.row(self.bytes);
                    if stretch.learned.see(self.judge, row, line, self.on_bad_row).is_err() {
                        break;
                    }
                    stretch.end = end;
                }
            }
            stretch.lines = csv.line;
        }
        stretch
    }
}
