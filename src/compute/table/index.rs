//! Structural indexes: where the cells of many plain rows end, found at a glance.
//! Never says what a cell means, and never holds a row that [`super::csv`] takes for another one.
//!
//! A row is plain if it has as many cells as there are columns, is UTF-8, and its quotes stand
//! around whole cells with neither a quote nor a line's end between them. Whatever is not plain
//! ends an index: it is left to the scanner that takes row by row. What is in quotes follows from
//! all quotes before it at once (Langdale and Lemire, "Parsing gigabytes of JSON per second",
//! VLDB Journal 28, 2019).

use super::lanes::{Text, UNKNOWN};
use crate::compute::kernel::Isa;
use crate::compute::kernel::bytes::{Glance, WIDTH, glances};
use crate::domain::job::Dialect;

/// Glances that an index is made of, at most.
const GLANCES_MAX: usize = 128;

/// A structural index: it is about bytes that do not change; others need a new one.
#[derive(Debug)]
pub(super) struct StructuralIndex {
    isa: Isa,
    delimiter: u8,
    quote: Option<u8>,
    comment: Option<u8>,
    /// The first byte that it is about; a row begins there.
    base: usize,
    /// Where each cell ends, counted from the base: at its delimiter, or at the end of its line.
    ends: Vec<u32>,
    /// Which of these end a line.
    lines: Vec<usize>,
    /// How many lines have been passed.
    passed: usize,
    /// A bit for each byte that is no digit, and a word behind them.
    others: Vec<u64>,
    /// Whether some bytes are not ASCII, are quotes, are carriage returns.
    has: Has,
    glances: Vec<Glance>,
    /// How many glances the next one begins with: few where something odd is near, so that no byte
    /// is looked at often.
    reach: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Has {
    high: bool,
    quotes: bool,
    returns: bool,
}

/// What one glance does not see: how the bytes before it end.
#[derive(Clone, Copy, Debug)]
struct Before {
    /// All bits if a quote is open, or none.
    open: u64,
    /// One if the last byte ends a cell.
    end: u64,
    /// One if it closes a quote.
    closing: u64,
    /// One if it is a carriage return.
    return_: u64,
}

/// Plain rows, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// How many there are: at least one.
    pub(super) count: usize,
    /// Behind the last of them.
    pub(super) end: usize,
    /// The bytes from the base of the index on.
    bytes: &'a [u8],
    base: usize,
    /// Where the first of them begins, counted from the base.
    begin: usize,
    width: usize,
    ends: &'a [u32],
    others: &'a [u64],
    quote: Option<u8>,
    has_returns: bool,
}

impl StructuralIndex {
    /// An index for rows of this dialect; `None` if it has marks that a glance does not tell.
    pub(super) fn new(dialect: Dialect) -> Option<Self> {
        let Dialect { delimiter, quote, escape, comment, trim, .. } = dialect;
        if trim || escape.is_some() {
            return None;
        }
        Some(Self {
            isa: Isa::best(),
            delimiter,
            quote,
            comment,
            base: 0,
            ends: Vec::new(),
            lines: Vec::new(),
            passed: 0,
            others: Vec::new(),
            has: Has::default(),
            glances: Vec::new(),
            reach: GLANCES_MAX,
        })
    }

    /// The plain rows from `from`, where a row begins, none of which ends beyond `to`: so many
    /// at most, of so many cells. `None` if the first one is not plain, or not there as a whole.
    pub(super) fn rows<'a>(
        &'a mut self,
        bytes: &'a [u8],
        (from, to): (usize, usize),
        most: usize,
        width: usize,
    ) -> Option<Rows<'a>> {
        let bytes = bytes.get(..to)?;
        if most == 0 || from >= to || width == 0 {
            return None;
        }
        if !self.seek(bytes, from) {
            self.look(bytes, from);
        }
        let (base, begin) = (self.base, from - self.base);
        let bytes = bytes.get(base..)?;
        let first = self.first_end(self.passed)?;
        let (mut end, mut at, mut count) = (begin, first, 0);
        while count < most
            && let Some(line) = self.lines.get(self.passed + count)
            && line + 1 - at == width
            && let Some(behind) = behind(bytes, *self.ends.get(*line)? as usize)
        {
            let start = bytes.get(end).copied();
            let is_blank = matches!(start, Some(b'\r' | b'\n'));
            if is_blank || self.comment.is_some() && start == self.comment || behind > bytes.len() {
                break;
            }
            (end, at, count) = (behind, line + 1, count + 1);
        }
        let rows = Rows {
            count,
            end: base + end,
            bytes,
            base,
            begin,
            width,
            ends: self.ends.get(first..at)?,
            others: &self.others,
            quote: self.quote.filter(|_| self.has.quotes),
            has_returns: self.has.returns,
        };
        let rows = if self.has.high { rows.valid() } else { rows };
        (rows.count > 0).then_some(rows)
    }

    /// Whether a row of the index begins at `from`; if so, it is the next one.
    fn seek(&mut self, bytes: &[u8], from: usize) -> bool {
        let Some(place) = from.checked_sub(self.base) else { return false };
        let bytes = bytes.get(self.base..).unwrap_or_default();
        let end = |line: usize| Some(*self.ends.get(*self.lines.get(line)?)? as usize);
        while end(self.passed).is_some_and(|end| end < place) {
            self.passed += 1;
        }
        let begin = match self.passed.checked_sub(1) {
            None => Some(0),
            Some(before) => end(before).and_then(|end| behind(bytes, end)),
        };
        self.passed < self.lines.len() && begin == Some(place)
    }

    /// The first of the ends on a line.
    fn first_end(&self, line: usize) -> Option<usize> {
        match line.checked_sub(1) {
            None => Some(0),
            Some(before) => Some(self.lines.get(before)? + 1),
        }
    }

    /// Begins anew, with the row that begins at `from`.
    fn look(&mut self, bytes: &[u8], from: usize) {
        let rest = bytes.get(from..).unwrap_or_default();
        let rest = rest.get(..self.reach * WIDTH).unwrap_or(rest);
        (self.base, self.passed) = (from, 0);
        self.ends.clear();
        self.lines.clear();
        self.others.clear();
        self.has = Has::default();
        let marks = (self.delimiter, self.quote.unwrap_or(self.delimiter));
        let mut seen = std::mem::take(&mut self.glances);
        glances(self.isa, rest, marks, &mut seen);
        self.reach = (2 * self.reach).min(GLANCES_MAX);
        let mut before = Before { open: 0, end: 1, closing: 0, return_: 0 };
        for (place, glance) in seen.iter().enumerate() {
            let known = (rest.len() - place * WIDTH).min(WIDTH);
            if !self.add(place, *glance, u64::MAX >> (WIDTH - known), &mut before) {
                self.reach = place + 1;
                break;
            }
        }
        self.others.push(u64::MAX);
        self.glances = seen;
    }

    /// Takes up what one glance tells, of the bytes that are known. False if something is odd:
    /// what stands behind it is not looked at.
    #[inline(always)]
    fn add(&mut self, place: usize, glance: Glance, known: u64, before: &mut Before) -> bool {
        let quotes = if self.quote.is_some() { glance.quotes & known } else { 0 };
        let line_ends = (glance.feeds | glance.returns) & known;
        let quoted = before.open ^ odd_before(quotes);
        let ends = (glance.delimiters & known | line_ends) & !quoted;
        let mut odd = 0;
        if quotes | quoted | before.closing != 0 {
            let (opening, closing) = (quotes & quoted, quotes & !quoted);
            odd |= opening & !(ends << 1 | before.end);
            odd |= (closing << 1 | before.closing) & known & !ends;
            odd |= line_ends & quoted;
            before.closing = closing >> (WIDTH - 1);
            before.open = (quoted.cast_signed() >> (WIDTH - 1)).cast_unsigned();
            self.has.quotes = true;
        }
        before.end = ends >> (WIDTH - 1);
        let mut cells = ends & odd.wrapping_sub(1) & !odd;
        if glance.returns | before.return_ != 0 {
            // Of the two bytes that end a line, the first ends the cell.
            cells &= !(glance.feeds & (glance.returns << 1 | before.return_));
            before.return_ = glance.returns >> (WIDTH - 1);
            self.has.returns = true;
        }
        self.has.high |= glance.high & known != 0;
        self.others.push(glance.others);
        let mut lines = cells & line_ends;
        while lines != 0 {
            let below = cells & (lines.wrapping_sub(1) & !lines);
            self.lines.push(self.ends.len() + below.count_ones() as usize);
            lines &= lines - 1;
        }
        while cells != 0 {
            self.ends.push((place * WIDTH) as u32 + cells.trailing_zeros());
            cells &= cells - 1;
        }
        odd == 0
    }
}

/// All bits from each odd one on, up to the next one.
#[inline]
const fn odd_before(bits: u64) -> u64 {
    let bits = bits ^ bits << 1;
    let bits = bits ^ bits << 2;
    let bits = bits ^ bits << 4;
    let bits = bits ^ bits << 8;
    let bits = bits ^ bits << 16;
    bits ^ bits << 32
}

/// Behind a line that ends here; `None` if that depends on bytes to come.
#[inline]
fn behind(bytes: &[u8], end: usize) -> Option<usize> {
    if bytes.get(end) != Some(&b'\r') {
        return Some(end + 1);
    }
    Some(end + 1 + usize::from(*bytes.get(end + 1)? == b'\n'))
}

impl<'a> Rows<'a> {
    /// The cells of a column; none is of a row that is not there.
    #[inline(always)]
    pub(super) fn column(self, column: usize) -> impl Iterator<Item = Text<'a>> {
        let (before, last) = (column.wrapping_sub(1), self.width - 1);
        let mut begin = self.begin;
        self.ends.chunks_exact(self.width).map_while(move |ends| {
            let end = *ends.get(column)? as usize;
            let start = ends.get(before).map_or(begin, |end| *end as usize + 1);
            if column == 0 {
                begin = self.behind(*ends.get(last)? as usize)?;
            }
            Some(self.cell(start, end))
        })
    }

    /// A cell of one of them.
    pub(super) fn at(self, row: usize, column: usize) -> Option<Text<'a>> {
        let place = row * self.width + column;
        let before = |place: usize| Some(*self.ends.get(place)? as usize);
        let start = match place.checked_sub(1) {
            None => self.begin,
            Some(last) if column == 0 => self.behind(before(last)?)?,
            Some(last) => before(last)? + 1,
        };
        Some(self.cell(start, before(place)?))
    }

    /// Behind a line that ends here.
    #[inline(always)]
    fn behind(self, end: usize) -> Option<usize> {
        if self.has_returns { behind(self.bytes, end) } else { Some(end + 1) }
    }

    /// A cell without its quotes.
    #[inline(always)]
    fn cell(self, mut start: usize, mut end: usize) -> Text<'a> {
        if self.quote.is_some() && self.bytes.get(start).copied() == self.quote {
            (start, end) = (start + 1, end - 1);
        }
        let length = end - start;
        Text::within(self.bytes, start, length, self.others(start, length))
    }

    /// A bit for each of so many bytes that is no digit, or [`UNKNOWN`].
    #[inline(always)]
    fn others(self, start: usize, length: usize) -> u64 {
        let (word, place) = (start / WIDTH, start % WIDTH);
        match self.others.get(word..word + 2) {
            Some(&[low, high]) if length < WIDTH => {
                (low >> place | high << 1 << (WIDTH - 1 - place)) & ((1 << length) - 1)
            }
            _ => UNKNOWN,
        }
    }

    /// The first ones of them.
    pub(super) fn first(self, count: usize) -> Self {
        let ends = self.ends.get(..count * self.width).unwrap_or(self.ends);
        let end = ends.last().and_then(|end| behind(self.bytes, *end as usize));
        Self {
            count: ends.len() / self.width,
            end: self.base + end.unwrap_or(self.begin),
            ends,
            ..self
        }
    }

    /// Those before the first one that is not UTF-8.
    #[inline(never)]
    fn valid(self) -> Self {
        let bytes = self.bytes.get(self.begin..self.end - self.base).unwrap_or_default();
        let Err(error) = std::str::from_utf8(bytes) else { return self };
        let odd = self.begin + error.valid_up_to();
        let mut lines = self.ends.iter().skip(self.width - 1).step_by(self.width);
        self.first(lines.position(|end| *end as usize >= odd).unwrap_or(self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::super::csv::Csv;
    use super::super::row::{Step, mark};
    use super::*;
    use crate::domain::job::{Format, Reading};
    use proptest::prelude::*;

    /// What a row is: its cells and where it ends.
    type Taken = (Vec<Vec<u8>>, usize);

    /// The row that begins at `from`, as the scanner takes it; `None` if it is not a plain one.
    fn scanned(dialect: Dialect, bytes: &[u8], from: usize, width: usize) -> Option<Taken> {
        let mut csv = Csv::new(dialect, 1);
        let Step::Row(end) = csv.next(bytes, from, false) else { return None };
        let row = csv.row(bytes);
        let cells = (0..row.cells.len()).map(|at| row.cell(at).0.alone().to_vec());
        let is_plain = row.flaw.is_none()
            && row.cells.len() == width
            && csv.line == 2
            && row.cells.iter().all(|cell| cell.marks & mark::ASIDE == 0)
            && std::str::from_utf8(bytes.get(from..end)?).is_ok();
        is_plain.then(|| (cells.collect(), end))
    }

    /// Goes through the bytes and compares each row of the index with that of the scanner. Gives
    /// how many rows were in the index, and how many are plain.
    fn compare(dialect: Dialect, bytes: &[u8], width: usize, most: usize) -> (usize, usize) {
        let (mut index, mut csv) = (StructuralIndex::new(dialect).unwrap(), Csv::new(dialect, 1));
        let (mut at, mut found, mut plain) = (0, 0, 0);
        loop {
            if let Some(rows) = index.rows(bytes, (at, bytes.len()), most, width) {
                assert!((1..=most).contains(&rows.count));
                let columns: Vec<Vec<_>> =
                    (0..width).map(|column| rows.column(column).collect()).collect();
                for row in 0..rows.count {
                    let (cells, end) = scanned(dialect, bytes, at, width).unwrap();
                    for (column, cell) in columns.iter().zip(&cells) {
                        assert_eq!(column.len(), rows.count);
                        assert_eq!(column[row].alone(), cell);
                        assert_eq!(column[row].others(), Text::new(cell).others());
                        let at = columns.iter().position(|other| std::ptr::eq(other, column));
                        assert_eq!(rows.at(row, at.unwrap()).unwrap().alone(), cell);
                    }
                    assert_eq!(rows.first(row + 1).end, end);
                    at = end;
                }
                (found, plain) = (found + rows.count, plain + rows.count);
                assert_eq!(rows.end, at);
                continue;
            }
            plain += usize::from(scanned(dialect, bytes, at, width).is_some());
            match csv.next(bytes, at, false) {
                Step::Row(end) | Step::Pass(end) => at = end,
                Step::More | Step::Unclosed(_) => return (found, plain),
            }
        }
    }

    fn dialect() -> Dialect {
        match Reading::csv().format {
            Format::Csv(dialect) => dialect,
            _ => unreachable!(),
        }
    }

    /// Lines of plain cells and of others, most of them of so many.
    fn sources(width: usize) -> impl Strategy<Value = Vec<u8>> {
        let cell = prop_oneof![
            8 => "[a7. -]{0,20}",
            2 => "\"[a7, ]{0,9}\"|[0-9]{1,70}|[\u{e9}7]{1,40}",
            1 => "\"[a,]{0,2}\"[a\"]?|#?[a\"\r\n,]{0,3}",
        ];
        let size = prop_oneof![9 => width..width + 1, 1 => 0usize..4];
        let cells = size.prop_flat_map(move |size| prop::collection::vec(cell.clone(), size));
        let line_end = prop_oneof![4 => Just("\n"), 4 => Just("\r\n"), 1 => Just("\r")];
        let line = (cells, line_end).prop_map(|(cells, end)| cells.join(",") + end);
        let bad = prop::option::of((any::<prop::sample::Index>(), 128u8..));
        (prop::collection::vec(line, 0..80), bad).prop_map(|(lines, bad)| {
            let mut bytes = lines.concat().into_bytes();
            if let (Some((at, byte)), false) = (bad, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn rows_of_an_index_are_those_of_the_scanner(
            (width, bytes) in (1usize..4).prop_flat_map(|width| (Just(width), sources(width))),
            (has_quote, has_comment) in any::<(bool, bool)>(),
            most in 1usize..50,
        ) {
            let quote = has_quote.then_some(b'"');
            let comment = has_comment.then_some(b'#');
            compare(Dialect { quote, comment, ..dialect() }, &bytes, width, most);
        }

        #[test]
        fn all_rows_that_are_written_plainly_are_in_an_index(
            rows in prop::collection::vec(
                ("[a-z0-9\u{e9}]{1,9}", prop::option::of("[^\"\r\n]{0,70}")),
                1..300,
            ),
            line_end in prop_oneof![Just("\n"), Just("\r\n")],
        ) {
            let mut text = String::new();
            for (plain, quoted) in &rows {
                let quoted = quoted.as_ref().map(|cell| format!("\"{cell}\""));
                text += &format!("{plain},{}{line_end}", quoted.unwrap_or_default());
            }
            let (found, plain) = compare(dialect(), text.as_bytes(), 2, usize::MAX);
            prop_assert_eq!((found, plain), (rows.len(), rows.len()));
        }
    }
}
