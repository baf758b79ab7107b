//! Surveys of formats that are made of lines: every row is looked at once, as it comes.
//! Never holds more than two chunks and one row that has not come as a whole.
//!
//! A chunk ends behind the first row with which it has its target, counted from the start of its
//! file, so that what is appended to a file leaves the chunks before it as they are. Every chunk
//! has a row that can be read: one without would be no table.

use super::ahead::{Learned, Outlook, Stretch};
use super::column::{ENCODING, Guess, Judge};
use super::csv::Csv;
use super::foreign;
use super::index::StructuralIndex;
use super::row::Step;
use super::scan::{Scanner, listed};
use super::survey::{Cut, Survey};
use super::{Column, is_column_name, no_column};
use crate::base::canon::Digest;
use crate::base::limits::{CHUNK_BYTES_MAX, COLUMNS_MAX, ROW_BYTES_MAX, TEXT_BYTES_MAX};
use crate::compute::{Fault, quote};
use crate::domain::job::{Chunk, ChunkTarget, Dialect, Format, Reading};
use std::collections::BTreeMap;

/// Bytes that are looked at together, at least.
const BLOCK: usize = 1 << 18;
/// Blocks that are looked at together where that is done side by side.
const TOGETHER: usize = 32;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What has been learned of a source, and the bytes that are not in a chunk yet.
#[derive(Debug)]
pub(super) struct Lines {
    reading: Reading,
    target: ChunkTarget,
    scanner: Scanner,
    judge: Judge,
    learned: Learned,
    /// Whether the columns of comma-separated values are known.
    is_named: bool,
    /// Whether the lines before the first row have not been passed yet.
    is_at_head: bool,
    pending: Vec<u8>,
    /// Up to here `pending` is rows of the open chunk.
    done: usize,
    /// Bytes that must come before it is worth looking again.
    wait: usize,
    /// Bytes that are looked at together, at least.
    pub(super) block: usize,
    open: Open,
    /// The last whole chunk: rows that cannot be read may still follow and end the file. Its
    /// digest, where it is known.
    held: Option<(Vec<u8>, Open, Option<Digest>)>,
    /// Threads that look at rows side by side.
    pub(super) threads: usize,
}

/// What is in a chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    first_line: u64,
    rows: u64,
    good: u64,
}

impl Lines {
    /// A survey of a source, if its format is made of lines.
    pub(super) fn new(reading: &Reading, target: ChunkTarget) -> Option<Self> {
        Some(Self {
            reading: reading.clone(),
            target,
            scanner: Scanner::new(reading, None, 1)?,
            judge: Judge::new(&reading.nulls),
            learned: Learned::default(),
            is_named: false,
            is_at_head: true,
            pending: Vec::new(),
            done: 0,
            wait: 0,
            block: BLOCK,
            open: Open::default(),
            held: None,
            threads: 1,
        })
    }

    /// A file begins.
    pub(super) fn begin(&mut self) {
        // Columns go on from file to file; lines are counted anew.
        self.scanner.restart();
        self.is_at_head = true;
        self.wait = self.block;
    }

    /// The next bytes of the file.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Cut>, Fault> {
        let mut cuts = Vec::new();
        for block in bytes.chunks(self.block) {
            self.pending.extend_from_slice(block);
            if self.pending.len() - self.done >= self.wait {
                self.scan(false, &mut cuts)?;
            }
        }
        Ok(cuts)
    }

    /// The file has ended.
    pub(super) fn end(&mut self) -> Result<Vec<Cut>, Fault> {
        let mut cuts = Vec::new();
        self.scan(true, &mut cuts)?;
        let rest = std::mem::take(&mut self.pending);
        let open = std::mem::take(&mut self.open);
        self.done = 0;
        match (self.held.take(), open) {
            (held, Open { rows: 0, .. }) => self.held = held,
            (Some((mut bytes, mut held, _)), Open { rows, good: 0, .. }) => {
                bytes.extend_from_slice(&rest);
                held.rows += rows;
                self.held = Some((bytes, held, None));
            }
            (None, Open { good: 0, .. }) => {
                return Err(Fault::new(
                    "none of the rows can be read",
                    "look at the first of them: perhaps the format or its marks are others",
                ));
            }
            (held, open) => {
                cuts.extend(held.map(cut));
                self.held = Some((rest, open, None));
            }
        }
        cuts.extend(self.held.take().map(cut));
        Ok(cuts)
    }

    /// The source has ended.
    pub(super) fn finish(mut self) -> Result<Survey, Fault> {
        self.learn();
        let names = self.judge.names().to_vec();
        if names.is_empty() {
            return Err(Fault::new("the source is empty", self.advice()));
        }
        if self.learned.rows.rows == 0 {
            return Err(Fault::new("the source has no rows", self.advice()));
        }
        for declared in &self.reading.columns {
            if !names.contains(&declared.name) {
                return Err(no_column(&declared.name, &names));
            }
        }
        Ok(Survey { columns: self.columns(), rows: self.learned.rows })
    }

    /// The columns that are known by now.
    pub(super) fn columns(&self) -> Vec<Column> {
        let kind = |column: usize| {
            let guess = self.learned.guesses.get(column).copied().unwrap_or(Guess::NEW);
            self.judge.declared(column).unwrap_or(guess.kind())
        };
        let columns = self.judge.names().iter().enumerate();
        columns.map(|(at, name)| Column { name: name.clone(), kind: kind(at) }).collect()
    }

    const fn advice(&self) -> &'static str {
        match self.reading.format {
            Format::Csv(Dialect { header: true, .. }) => {
                "the first line names the columns, each line below it is a row"
            }
            Format::Json => "each line is an object: {\"name\": value}",
            _ => "each line is a row",
        }
    }

    /// Looks at every row that has come as a whole.
    fn scan(&mut self, is_end: bool, cuts: &mut Vec<Cut>) -> Result<(), Fault> {
        if self.is_at_head && !self.head(is_end)? {
            self.wait = self.wait(self.pending.len());
            return Ok(());
        }
        let (mut ahead, mut index) = (self.ahead(), self.scanner.index());
        loop {
            // The first of them is the last.
            while let Some(stretch) = ahead.pop_if(|stretch| stretch.from <= self.done) {
                self.take(stretch);
            }
            if index.as_mut().is_some_and(|index| self.plain(index)) {
                continue;
            }
            let line = self.scanner.line();
            match self.scanner.next(&self.pending, self.done, is_end) {
                Step::More => break,
                Step::Pass(end) => self.done = end,
                Step::Unclosed(line) => return Err(unclosed(line)),
                Step::Row(end) => {
                    self.row(line)?;
                    self.done = end;
                    if self.is_full()? {
                        cuts.extend(self.close());
                        (ahead, index) = (self.ahead(), self.scanner.index());
                    }
                }
            }
        }
        let partial = self.pending.len() - self.done;
        if partial > ROW_BYTES_MAX {
            let line = self.scanner.line();
            return Err(Fault::new(
                format!("the row on line {line} has more than {ROW_BYTES_MAX} bytes"),
                "is there a quote that is never closed?",
            ));
        }
        self.wait = self.wait(partial);
        Ok(())
    }

    /// Bytes with which it is worth looking again where these are not whole: twice as many, so
    /// that no byte is looked at often.
    fn wait(&self, partial: usize) -> usize {
        let least = match self.target {
            _ if self.threads < 2 => self.block,
            ChunkTarget::Rows(_) => self.block * TOGETHER,
            ChunkTarget::Bytes(bytes) => {
                let left = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(self.done);
                left.saturating_add(self.block).min(self.block * TOGETHER)
            }
        };
        least.max(2 * partial).min(ROW_BYTES_MAX + 1)
    }

    /// Looks ahead, side by side, at rows none of which can end the chunk; the first are the last.
    fn ahead(&mut self) -> Vec<Stretch> {
        let (Scanner::Csv(_), Format::Csv(dialect)) = (&self.scanner, self.reading.format) else {
            return Vec::new();
        };
        let (to, rows) = self.room();
        // A row has a byte and the end of its line.
        let to = to.min(self.done.saturating_add(rows));
        if self.threads < 2 || to <= self.done {
            return Vec::new();
        }
        let outlook = Outlook {
            dialect,
            on_bad_row: self.reading.on_bad_row,
            judge: &self.judge,
            guesses: &self.learned.guesses,
            bytes: &self.pending,
        };
        let hashed = self.held.as_ref().filter(|(_, _, digest)| digest.is_none());
        let hashed = hashed.map(|(bytes, ..)| bytes.as_slice());
        let (stretches, digest) = outlook.look((self.done, to), (self.threads, self.block), hashed);
        if let (Some((_, _, known)), Some(_)) = (&mut self.held, digest) {
            *known = digest;
        }
        stretches
    }

    /// Up to where rows may end, and how many there may be, of which none can end the chunk.
    fn room(&self) -> (usize, usize) {
        let (bytes, rows) = match self.target {
            ChunkTarget::Bytes(bytes) => (bytes, u64::MAX),
            ChunkTarget::Rows(rows) => (u64::MAX, rows.saturating_sub(self.open.rows)),
        };
        let [bytes, rows] = [bytes, rows].map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        let bytes = bytes.min(CHUNK_BYTES_MAX).saturating_sub(1);
        (bytes.min(self.pending.len()), rows.saturating_sub(1))
    }

    /// Takes plain rows, none of which can end the chunk. False if there is none.
    fn plain(&mut self, index: &mut StructuralIndex) -> bool {
        let (to, most) = self.room();
        let (index, place) = ((index, self.pending.as_slice()), (self.done, to));
        let Some((rows, end)) = self.learned.see_plain(&self.judge, index, place, most) else {
            return false;
        };
        self.done = end;
        self.scanner.pass(rows);
        self.open.rows += rows;
        self.open.good += rows;
        true
    }

    /// Passes over rows that were looked at ahead, if the first of them begins here.
    fn take(&mut self, stretch: Stretch) {
        let Scanner::Csv(csv) = &mut self.scanner else { return };
        if stretch.from != self.done {
            return;
        }
        self.done = stretch.end;
        let (lines, rows, good) = stretch.join(&mut self.learned, csv.line);
        csv.line += lines;
        self.open.rows += rows;
        self.open.good += good;
    }

    /// One more row, which begins on this line.
    fn row(&mut self, line: u64) -> Result<(), Fault> {
        self.learn();
        let row = self.scanner.row(&self.pending);
        let before = self.learned.good;
        self.learned.see(&self.judge, row, line, self.reading.on_bad_row)?;
        self.open.rows += 1;
        self.open.good += self.learned.good - before;
        Ok(())
    }

    /// Takes up columns that have occurred for the first time.
    #[inline]
    fn learn(&mut self) {
        if self.scanner.width() > self.learned.guesses.len() {
            self.judge.learn(&self.scanner.names(), &self.reading.columns);
            self.learned.guesses.resize(self.judge.names().len(), Guess::NEW);
        }
    }

    fn is_full(&self) -> Result<bool, Fault> {
        let is_target = match self.target {
            ChunkTarget::Bytes(bytes) => self.done as u64 >= bytes,
            ChunkTarget::Rows(rows) => self.open.rows >= rows,
        };
        let is_full = is_target || self.done >= CHUNK_BYTES_MAX;
        if self.open.good == 0 && self.done >= CHUNK_BYTES_MAX {
            return Err(Fault::new(
                format!("none of the rows in {} bytes can be read", self.done),
                "look at the first of them: perhaps the format or its marks are others",
            ));
        }
        Ok(is_full && self.open.good > 0)
    }

    /// Closes the open chunk; gives the one before it.
    fn close(&mut self) -> Option<Cut> {
        // The next chunk is about as large.
        let mut rest = Vec::with_capacity(self.pending.capacity());
        rest.extend(self.pending.drain(self.done..));
        let bytes = std::mem::replace(&mut self.pending, rest);
        self.done = 0;
        let next = Open { first_line: self.scanner.line(), ..Open::default() };
        let open = std::mem::replace(&mut self.open, next);
        self.held.replace((bytes, open, None)).map(cut)
    }

    /// Passes what stands before the rows of a file. False if it has not come as a whole.
    fn head(&mut self, is_end: bool) -> Result<bool, Fault> {
        if self.pending.len() < foreign::BYTES && !is_end {
            return Ok(false);
        }
        foreign::refuse(&self.pending)?;
        let mut from = if self.pending.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
        if let (Scanner::Csv(csv), Format::Csv(dialect)) = (&mut self.scanner, self.reading.format)
        {
            // Until the head is whole, every look at it begins anew.
            **csv = Csv::new(dialect, 1);
            let Some(behind) = csv.skip_lines(&self.pending, from, is_end) else {
                return Ok(false);
            };
            from = behind;
            let begun = (csv.line, from);
            let end = loop {
                match csv.next(&self.pending, from, is_end) {
                    Step::Pass(end) => from = end,
                    Step::Row(end) => break Some(end),
                    Step::Unclosed(line) => return Err(unclosed(line)),
                    Step::More if is_end => break None,
                    Step::More if self.pending.len() > ROW_BYTES_MAX => {
                        return Err(Fault::new(
                            format!("the first line has more than {ROW_BYTES_MAX} bytes"),
                            "is there a quote that is never closed?",
                        ));
                    }
                    Step::More => return Ok(false),
                }
            };
            if let Some(end) = end {
                let row = csv.row(&self.pending);
                let cells: Vec<&[u8]> =
                    (0..row.cells.len()).map(|at| row.cell(at).0.alone()).collect();
                let line = begun.0;
                let names = if dialect.header {
                    header(&cells, line)?
                } else {
                    numbered(&self.reading, cells.len(), line)?
                };
                self.name(&names)?;
                if dialect.header {
                    from = end;
                } else if let Scanner::Csv(csv) = &mut self.scanner {
                    // The first row is one: it is found again.
                    **csv = Csv::new(dialect, begun.0);
                    from = begun.1;
                }
            }
        }
        self.pending.drain(..from);
        self.done = 0;
        self.is_at_head = false;
        self.open = Open { first_line: self.scanner.line(), ..Open::default() };
        Ok(true)
    }

    /// The columns of a file, which are those of all files.
    fn name(&mut self, names: &[String]) -> Result<(), Fault> {
        if self.is_named {
            let known = self.judge.names();
            if known == names {
                return Ok(());
            }
            let differing = known.iter().zip(names).find(|(known, name)| known != name);
            let what = match differing {
                Some((known, name)) => {
                    format!(
                        "column {} stands where the first file has {}",
                        quote(name),
                        quote(known)
                    )
                }
                None => format!("{} columns, the first file has {}", names.len(), known.len()),
            };
            return Err(Fault::new(
                format!("the file has other columns: {what}"),
                "all files of a source have the same columns, in the same order",
            ));
        }
        for declared in &self.reading.columns {
            if !names.contains(&declared.name) {
                return Err(no_column(&declared.name, names));
            }
        }
        self.judge.learn(names, &self.reading.columns);
        self.learned.guesses = vec![Guess::NEW; names.len()];
        self.is_named = true;
        Ok(())
    }
}

fn cut((bytes, open, digest): (Vec<u8>, Open, Option<Digest>)) -> Cut {
    let (digest, size) = (digest.unwrap_or_else(|| Digest::of(&bytes)), bytes.len() as u64);
    let Open { first_line, rows, .. } = open;
    Cut { bytes, chunks: vec![Chunk { digest, bytes: size, rows, first_line, groups: None }] }
}

fn unclosed(line: u64) -> Fault {
    Fault::new(
        format!("the quote that opens on line {line} is never closed"),
        "close it, or write a quote that is meant literally twice, in a quoted cell",
    )
}

/// The names of the columns, each of them there and each of them once.
fn header(cells: &[&[u8]], line: u64) -> Result<Vec<String>, Fault> {
    bounded(cells.len(), line)?;
    let mut places = BTreeMap::new();
    let mut names = Vec::with_capacity(cells.len());
    for (place, cell) in (1..).zip(cells) {
        let Ok(name) = std::str::from_utf8(cell) else {
            return Err(Fault::new(format!("line {line} is not UTF-8"), ENCODING));
        };
        if name.is_empty() {
            return Err(Fault::new(
                format!("column {place} has no name"),
                "the first line must name every column; a comma at its end starts one more, and \
                 pandas writes its index so unless `to_csv` is told index=False",
            ));
        }
        if !is_column_name(name) {
            return Err(Fault::new(
                format!("the name of column {place} has {} bytes", name.len()),
                format!("use at most {TEXT_BYTES_MAX}"),
            ));
        }
        if let Some(other) = places.insert(name, place) {
            return Err(Fault::new(
                format!("columns {other} and {place} are both called {}", quote(name)),
                "rename one of them: stages refer to columns by name",
            ));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn bounded(columns: usize, line: u64) -> Result<(), Fault> {
    if columns <= COLUMNS_MAX {
        return Ok(());
    }
    Err(Fault::new(
        format!("line {line} names more than {COLUMNS_MAX} columns"),
        format!("a table has at most {COLUMNS_MAX} columns: select some"),
    ))
}

/// The names of columns that no line names: those of the manifest, or numbers.
fn numbered(reading: &Reading, count: usize, line: u64) -> Result<Vec<String>, Fault> {
    bounded(count, line)?;
    match listed(&reading.columns).or_else(|| mapped(reading, count)) {
        None => Ok((1..=count).map(|place| format!("column{place}")).collect()),
        Some(names) if names.len() == count => Ok(names),
        Some(names) => Err(Fault::new(
            format!("line {line} has {count} cells, but `columns` names {}", names.len()),
            "name every column of the source, in their order",
        )),
    }
}

/// The declared columns, if all of them are: they are in the order of the manifest.
fn mapped(reading: &Reading, count: usize) -> Option<Vec<String>> {
    let names: Vec<String> = reading.columns.iter().map(|column| column.name.clone()).collect();
    let is_numbered = |name: &String| {
        let number = name.strip_prefix("column").and_then(|number| number.parse().ok());
        number.is_some_and(|number: usize| (1..=count).contains(&number))
    };
    (!names.is_empty() && !names.iter().all(is_numbered)).then_some(names)
}
