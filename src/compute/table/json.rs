//! JSON lines: finds the members of one object per line, by the columns that they belong to.
//! Never changes a number: its text is kept, and what it says is decided like that of any cell.

use super::is_column_name;
use super::row::{Flaw, NO_OBJECT, Row, Span, Step, line, mark};
use crate::base::limits;
use crate::compute::quote;
use std::collections::BTreeMap;

/// Finds rows one after another. Columns are the keys, in the order in which they first occur.
#[derive(Debug)]
pub(super) struct Json {
    names: Vec<String>,
    index: BTreeMap<Vec<u8>, usize>,
    /// Whether keys that are not known yet are columns: else they are passed over.
    is_open: bool,
    /// The line that the next row begins on.
    pub(super) line: u64,
    cells: Vec<Span>,
    aside: Vec<u8>,
    flaw: Option<Flaw>,
}

/// A member that has not occurred in a row: unlike one that is null.
const UNSET: Span = Span::new(1, 0, mark::NULL);

/// What is wrong, where something is.
type Wrong = String;

impl Json {
    /// A scanner that begins on this line; the columns are these, or also these.
    pub(super) fn new(names: Vec<String>, is_open: bool, line: u64) -> Self {
        let places = names.iter().enumerate();
        let index = places.map(|(at, name)| (name.as_bytes().to_vec(), at)).collect();
        let (cells, aside) = (Vec::new(), Vec::new());
        Self { names, index, is_open, line, cells, aside, flaw: None }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn row<'a>(&'a self, bytes: &'a [u8]) -> Row<'a> {
        let marks = self.cells.iter().fold(0, |marks, cell| marks | cell.marks);
        let flaw = self.flaw.as_ref();
        Row { bytes, aside: &self.aside, cells: &self.cells, marks, flaw }
    }

    /// Finds the row that begins at `from`.
    pub(super) fn next(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Step {
        if from >= bytes.len() {
            return Step::More;
        }
        let Some((end, behind)) = line(bytes, from, is_end) else { return Step::More };
        self.line += 1;
        let text = bytes.get(..end).unwrap_or_default();
        let at = blanks(text, from);
        if at == end {
            return Step::Pass(behind);
        }
        let known = self.names.len();
        self.aside.clear();
        self.flaw = None;
        self.cells.clear();
        self.cells.resize(known, UNSET);
        if let Err(wrong) = self.object(text, at) {
            // Whatever was found in it may not be meant.
            self.forget(known);
            self.flaw = Some(Flaw::Form(wrong));
        }
        Step::Row(behind)
    }

    fn forget(&mut self, known: usize) {
        for name in self.names.drain(known..) {
            self.index.remove(name.as_bytes());
        }
        self.cells.clear();
        self.cells.resize(known, UNSET);
    }

    fn object(&mut self, text: &[u8], from: usize) -> Result<(), Wrong> {
        if text.get(from) != Some(&b'{') {
            return Err(NO_OBJECT.to_owned());
        }
        let mut at = blanks(text, from + 1);
        let mut place = 0;
        if text.get(at) == Some(&b'}') {
            return nothing_behind(text, at + 1);
        }
        loop {
            let (key, behind) = self.string(text, at)?;
            at = blanks(text, behind);
            if text.get(at) != Some(&b':') {
                return Err(unexpected(text, at, "a colon"));
            }
            let column = self.column(text, key, place)?;
            let (value, behind) = self.value(text, blanks(text, at + 1), column)?;
            if let Some(cell) = column.and_then(|column| self.cells.get_mut(column)) {
                if cell.start <= cell.end {
                    return Err("has a key twice".to_owned());
                }
                *cell = value;
            }
            place = column.map_or(place, |column| column + 1);
            at = blanks(text, behind);
            match text.get(at) {
                Some(b',') => at = blanks(text, at + 1),
                Some(b'}') => return nothing_behind(text, at + 1),
                _ => return Err(unexpected(text, at, "a comma or `}`")),
            }
        }
    }

    /// The column of a key; it is probably the one behind that of the key before.
    fn column(&mut self, text: &[u8], key: Span, place: usize) -> Result<Option<usize>, Wrong> {
        let from = if key.marks & mark::ASIDE == 0 { text } else { &self.aside };
        let key = from.get(key.start..key.end).unwrap_or_default();
        if self.names.get(place).is_some_and(|name| name.as_bytes() == key) {
            return Ok(Some(place));
        }
        if let Some(known) = self.index.get(key) {
            return Ok(Some(*known));
        }
        if !self.is_open {
            return Ok(None);
        }
        let name = std::str::from_utf8(key).map_err(|_| "is not UTF-8".to_owned())?;
        if !is_column_name(name) {
            let most = limits::TEXT_BYTES_MAX;
            return Err(format!("has a key of {} bytes, not of 1 to {most}", name.len()));
        }
        if self.names.len() >= limits::COLUMNS_MAX {
            return Err(format!(
                "has more keys than a table may have columns: {}",
                self.names.len()
            ));
        }
        self.index.insert(key.to_vec(), self.names.len());
        self.names.push(name.to_owned());
        self.cells.push(UNSET);
        Ok(Some(self.names.len() - 1))
    }

    fn value(
        &mut self,
        text: &[u8],
        from: usize,
        column: Option<usize>,
    ) -> Result<(Span, usize), Wrong> {
        match text.get(from) {
            Some(b'"') => {
                let (span, behind) = self.string(text, from)?;
                Ok((Span { marks: span.marks | mark::TEXT, ..span }, behind))
            }
            Some(open @ (b'[' | b'{')) => {
                let behind = nested(text, from)?;
                if let Some(name) = column.and_then(|column| self.names.get(column)) {
                    let noun = if *open == b'[' { "a list" } else { "an object" };
                    let what = format!("has {noun} under {}", quote(name));
                    self.flaw.get_or_insert(Flaw::Form(what));
                }
                Ok((Span::NULL, behind))
            }
            _ => {
                let rest = text.get(from..).unwrap_or_default();
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let end = from + rest.iter().take_while(|byte| is_part(byte)).count();
                let word = text.get(from..end).unwrap_or_default();
                match word {
                    b"null" => Ok((Span::NULL, end)),
                    b"true" | b"false" => Ok((Span::new(from, end, 0), end)),
                    word if is_number(word) => Ok((Span::new(from, end, 0), end)),
                    _ => Err(unexpected(text, from, "a value")),
                }
            }
        }
    }

    /// A string without its quotes. Where it has escapes, what it says is set aside.
    fn string(&mut self, text: &[u8], from: usize) -> Result<(Span, usize), Wrong> {
        if text.get(from) != Some(&b'"') {
            return Err(unexpected(text, from, "a string"));
        }
        let (mut at, mut begun) = (from + 1, from + 1);
        let mut beside = None;
        loop {
            let byte = *text.get(at).ok_or("ends in a string")?;
            match byte {
                b'"' => break,
                b'\\' => {
                    beside.get_or_insert(self.aside.len());
                    self.aside.extend_from_slice(text.get(begun..at).unwrap_or_default());
                    let (character, behind) = escape(text, at + 1)?;
                    let mut buffer = [0; 4];
                    self.aside.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
                    (at, begun) = (behind, behind);
                }
                0..=0x1f => return Err("has a control character in a string".to_owned()),
                _ => at += 1,
            }
        }
        let span = match beside {
            None => {
                let marks = mark::of(text.get(begun..at).unwrap_or_default());
                Span::new(begun, at, marks)
            }
            Some(start) => {
                self.aside.extend_from_slice(text.get(begun..at).unwrap_or_default());
                let marks = mark::of(self.aside.get(start..).unwrap_or_default());
                Span::new(start, self.aside.len(), marks | mark::ASIDE)
            }
        };
        Ok((span, at + 1))
    }
}

fn blanks(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(**byte, b' ' | b'\t')).count()
}

fn nothing_behind(text: &[u8], at: usize) -> Result<(), Wrong> {
    let at = blanks(text, at);
    if at == text.len() { Ok(()) } else { Err(unexpected(text, at, "the end of the line")) }
}

fn unexpected(text: &[u8], at: usize, wanted: &str) -> Wrong {
    match text.get(at..).filter(|rest| !rest.is_empty()) {
        None => format!("ends where {wanted} should be"),
        Some(rest) => {
            let rest = String::from_utf8_lossy(rest.get(..rest.len().min(20)).unwrap_or_default());
            format!("has {} where {wanted} should be", quote(&rest))
        }
    }
}

/// The character that an escape stands for, and behind it.
fn escape(text: &[u8], at: usize) -> Result<(char, usize), Wrong> {
    let plain = match text.get(at) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = hex(text, at + 1)?;
            let is_pair = text.get(at + 5..at + 7) == Some(br"\u");
            let pair = [Some(first), if is_pair { Some(hex(text, at + 7)?) } else { None }];
            let mut decoded = char::decode_utf16(pair.into_iter().flatten());
            let character = decoded.next().and_then(Result::ok);
            let character = character.ok_or("has half of a surrogate pair in a string")?;
            return Ok((character, at + if character.len_utf16() == 2 { 11 } else { 5 }));
        }
        _ => return Err(unexpected(text, at, "an escape")),
    };
    Ok((plain, at + 1))
}

fn hex(text: &[u8], at: usize) -> Result<u16, Wrong> {
    let digits = text.get(at..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
        .ok_or_else(|| unexpected(text, at, "four hexadecimal digits"))
}

/// Whether this is a number as JSON writes it.
fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> &[u8] {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        text.get(count..).unwrap_or_default()
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = digits(text);
    if rest.len() == text.len() || (text.first() == Some(&b'0') && text.len() - rest.len() > 1) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = digits(fraction);
        if rest.len() == fraction.len() {
            return false;
        }
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let unsigned = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-"));
        let exponent = unsigned.unwrap_or(exponent);
        rest = digits(exponent);
        if rest.len() == exponent.len() {
            return false;
        }
    }
    rest.is_empty()
}

/// Behind a list or an object, whatever is in it.
fn nested(text: &[u8], from: usize) -> Result<usize, Wrong> {
    let (mut depth, mut is_string, mut at) = (0usize, false, from);
    loop {
        match *text.get(at).ok_or("ends in a list or an object")? {
            b'\\' if is_string => at += 1,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => depth += 1,
            b']' | b'}' if !is_string => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
