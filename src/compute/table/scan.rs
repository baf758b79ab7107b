//! Scanners: one door to the formats whose rows are lines, or made of lines.
//! Never says what a cell means.

use super::csv::Csv;
use super::index::StructuralIndex;
use super::json::Json;
use super::row::{Row, Span, Step, line, mark};
use crate::domain::job::{Declared, Format, Reading};

/// The only column of plain text.
const TEXT: &str = "text";

/// Finds rows one after another, in bytes that may not all have come yet.
#[derive(Debug)]
pub(super) enum Scanner {
    Csv(Box<Csv>),
    Json(Box<Json>),
    Text(Text),
}

/// Plain text: a row for each line.
#[derive(Debug)]
pub(super) struct Text {
    line: u64,
    cells: Vec<Span>,
}

impl Scanner {
    /// The scanner of a format, if it is made of lines; `names` are its columns, as far as they are
    /// known, and `line` is the first one.
    pub(super) fn new(reading: &Reading, names: Option<&[String]>, line: u64) -> Option<Self> {
        Some(match reading.format {
            Format::Csv(dialect) => Self::Csv(Box::new(Csv::new(dialect, line))),
            Format::Json => {
                let listed = listed(&reading.columns);
                let is_open = names.is_none() && listed.is_none();
                let names = names.map(<[String]>::to_vec).or(listed).unwrap_or_default();
                Self::Json(Box::new(Json::new(names, is_open, line)))
            }
            Format::Text => Self::Text(Text { line, cells: Vec::new() }),
            Format::Parquet
            | Format::Arrow
            | Format::HuggingFace
            | Format::Gguf
            | Format::Png(_) => return None,
        })
    }

    /// Lines are counted anew: another file begins.
    pub(super) fn restart(&mut self) {
        let line = match self {
            Self::Csv(csv) => &mut csv.line,
            Self::Json(json) => &mut json.line,
            Self::Text(text) => &mut text.line,
        };
        *line = 1;
    }

    /// What finds many rows at a time, if there is such a thing for the format.
    pub(super) fn index(&self) -> Option<StructuralIndex> {
        match self {
            Self::Csv(csv) => csv.index(),
            Self::Json(_) | Self::Text(_) => None,
        }
    }

    /// So many plain rows were found otherwise: their lines are passed.
    pub(super) fn pass(&mut self, rows: u64) {
        if let Self::Csv(csv) = self {
            csv.line += rows;
        }
    }

    /// The columns that are known by now; those of comma-separated values are known elsewhere.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Csv(_) => Vec::new(),
            Self::Json(json) => json.names().to_vec(),
            Self::Text(_) => vec![TEXT.to_owned()],
        }
    }

    /// How many columns are known by now.
    #[inline]
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Csv(_) => 0,
            Self::Json(json) => json.names().len(),
            Self::Text(_) => 1,
        }
    }

    /// The line that the next row begins on.
    #[inline]
    pub(super) fn line(&self) -> u64 {
        match self {
            Self::Csv(csv) => csv.line,
            Self::Json(json) => json.line,
            Self::Text(text) => text.line,
        }
    }

    /// Finds the row that begins at `from`. Nothing changes if it has not come as a whole.
    pub(super) fn next(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Step {
        match self {
            Self::Csv(csv) => csv.next(bytes, from, is_end),
            Self::Json(json) => json.next(bytes, from, is_end),
            Self::Text(text) => text.next(bytes, from, is_end),
        }
    }

    /// The row that was found last.
    #[inline]
    pub(super) fn row<'a>(&'a self, bytes: &'a [u8]) -> Row<'a> {
        match self {
            Self::Csv(csv) => csv.row(bytes),
            Self::Json(json) => json.row(bytes),
            Self::Text(text) => {
                let marks = text.cells.first().map_or(0, |cell| cell.marks);
                Row { bytes, aside: &[], cells: &text.cells, marks, flaw: None }
            }
        }
    }
}

impl Text {
    fn next(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Step {
        if from >= bytes.len() {
            return Step::More;
        }
        let Some((end, behind)) = line(bytes, from, is_end) else { return Step::More };
        let marks = mark::TEXT | mark::of(bytes.get(from..end).unwrap_or_default());
        self.cells.clear();
        self.cells.push(Span::new(from, end, marks));
        self.line += 1;
        Step::Row(behind)
    }
}

/// The names of the columns, where the manifest lists them: kinds follow from the rows.
pub(super) fn listed(declared: &[Declared]) -> Option<Vec<String>> {
    let is_list = !declared.is_empty() && declared.iter().all(|column| column.kind.is_none());
    is_list.then(|| declared.iter().map(|column| column.name.clone()).collect())
}
