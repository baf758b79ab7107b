//! Drafts: what a first pipeline on a data file could be: what to predict, from what, and how long
//! to train. Never writes the manifest: the words of it are those of `cli`.

use crate::base::limits::ARTIFACT_BYTES_MAX;
pub use crate::compute::profile::Commas;
use crate::compute::profile::{Profile, is_number, profiles};
use crate::compute::quote;
use crate::compute::table::Table;
use crate::domain::job::{ColumnKind, Dialect, Format, Reading, Task};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What stands for an empty cell in a column of numbers, in small letters.
const GAPS: &[&str] =
    &["na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "-", "?", "."];
/// Names that a target often has, the surest first.
const TARGET_NAMES: &[&str] =
    &["target", "label", "class", "species", "outcome", "category", "y", "price", "value"];
/// More different values are no classes that a first pipeline should learn.
const CLASSES_MAX: usize = 100;
/// Whole numbers with so many values are classes rather than amounts.
const INTEGER_CLASSES_MAX: usize = 20;
/// Text with more values is hashed rather than made a column per value.
const ONE_HOT_MAX: usize = 30;
/// Buckets of hashed text.
const BUCKETS: u32 = 256;
/// Tokens of a vocabulary.
pub const VOCABULARY: u32 = 512;
/// Tokens that texts are cut to, at the least and the most.
const LENGTHS: (usize, usize) = (16, 256);
/// Tokens that a word has, blanks counted, where a vocabulary is small.
const TOKENS_PER_WORD: usize = 3;
/// Tokens that a model of language should see in all epochs together.
const TOKENS_SEEN: usize = 300_000;
/// Text with fewer words in a cell is a name rather than a note.
const NOTE_WORDS: usize = 3;
/// Each class has so many rows where a split keeps their shares.
const STRATUM_MIN: usize = 5;
/// The rarest class is rare where it has less than this part of an even share of the rows.
const RARE: usize = 4;
/// Rows that all epochs together should see: a small table is looked at more often.
const ROWS_SEEN: usize = 60_000;

/// Bytes of a file that are looked at.
const BYTES_MAX: usize = ARTIFACT_BYTES_MAX / 4;

/// A first pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// How the file is read.
    pub format: Format,
    /// Words that stand for an empty cell, where there are some.
    pub nulls: Vec<String>,
    /// Rows that were looked at.
    pub rows: usize,
    /// Their columns.
    pub width: usize,
    /// Whether there are more rows.
    pub is_sample: bool,
    /// Passes over the rows.
    pub epochs: u32,
    /// What is learned.
    pub aim: Aim,
}

/// What a pipeline learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// To predict a column from the others.
    Column(Box<Prediction>),
    /// To write like the texts of a column.
    Language(String),
}

/// How a column is predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// What is predicted.
    pub target: String,
    /// Why that.
    pub reason: Reason,
    /// Whether it is a class or a number.
    pub task: Task,
    /// Its different values.
    pub classes: usize,
    /// Whether some rows have none: they are left out.
    pub has_gaps: bool,
    /// Columns of numbers that are written with commas, the target among them.
    pub commas: Vec<(String, Commas)>,
    /// Whether every class has rows enough to be divided in the same shares.
    pub is_stratified: bool,
    /// Whether some class is so rare that a model which never says it is nearly always right.
    pub is_uneven: bool,
    /// What becomes of the other columns, in their order.
    pub columns: Vec<(String, Treatment)>,
    /// Width of the hidden layer.
    pub hidden: u32,
}

/// Why a column is the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for.
    Asked,
    /// Targets are often called so.
    Named,
    /// The last that holds words or true and false.
    LastOfWords,
    /// The last that holds few whole numbers.
    LastOfFew,
    /// The last that holds numbers.
    LastOfNumbers,
}

/// What becomes of a column that is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is a feature as it is.
    Keep,
    /// Its gaps get the median, then it is a feature.
    Median,
    /// Its gaps get the commonest value, then it is a feature.
    Mode,
    /// A column for each of so many values.
    OneHot(usize),
    /// Its words are counted in so many buckets.
    Hash(u32),
    /// It is cut to so many tokens, of which a model of texts reads each: the only feature.
    Tokens {
        /// Tokens that there are.
        vocabulary: u32,
        /// Tokens of each text.
        length: usize,
    },
    /// It numbers or names the rows.
    DropId,
    /// Days or times, which no step takes apart.
    DropTime,
    /// All rows have the same value, or none.
    DropConstant,
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; hint: name a file with data", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no table.
    #[error("{}: {message}; hint: {hint}", .path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// There is no such column.
    #[error("{} has no column `{asked}`; hint: it has {}", .path.display(), .known.join(", "))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nothing in it can be predicted.
    #[error(
        "nothing in {} looks like something to predict; hint: name a column with --target",
        .path.display()
    )]
    NoTarget {
        /// The file.
        path: PathBuf,
    },
    /// Every row is a class of its own.
    #[error(
        "`{target}` has {distinct} different values in {rows} rows: no classes to learn; hint: \
         name another column with --target"
    )]
    NoClasses {
        /// The target.
        target: String,
        /// Its values.
        distinct: usize,
        /// The rows.
        rows: usize,
    },
    /// Words are no numbers.
    #[error("`{target}` holds no numbers; hint: leave --task away, or name another --target")]
    NoNumbers {
        /// The target.
        target: String,
    },
    /// Each of its numbers would be a class.
    #[error(
        "`{target}` holds decimals, which would be one class each; hint: leave --task away, or \
         name another --target"
    )]
    Decimals {
        /// The target.
        target: String,
    },
    /// Nothing is left to predict it from.
    #[error(
        "no column of {} tells anything about `{target}`; hint: name another with --target",
        .path.display()
    )]
    NoFeatures {
        /// The file.
        path: PathBuf,
        /// The target.
        target: String,
    },
}

/// Drafts a pipeline on a file: on its first part, where it is large.
pub fn draft(path: &Path, target: Option<&str>, task: Option<Task>) -> Result<Draft, DraftError> {
    let Sample { format, nulls, table, is_sample } = read(path)?;
    let mut profiles = profiles(&table);
    nameable(path, &profiles)?;
    // Where a comma stands between cells, one in a cell is rather there for the thousands.
    let is_between = matches!(format, Format::Csv(dialect) if dialect.delimiter == b',');
    let likely = if is_between { <[Commas]>::last } else { <[Commas]>::first };
    let mut commas = Vec::new();
    for profile in &mut profiles {
        if let Some(found) = likely(&profile.commas) {
            profile.kind = ColumnKind::Real;
            commas.push((profile.name.clone(), *found));
        }
    }
    let (rows, width) = (table.rows(), profiles.len());
    let texts = profiles.iter().filter(|profile| profile.kind == ColumnKind::Text);
    let texts = texts.filter(|profile| format == Format::Text || is_note(profile));
    let texts = texts.max_by_key(|profile| profile.words);
    let is_free = target.is_none() && task.is_none();
    let (aim, epochs, least) = match (prediction(path, &profiles, target, task), texts) {
        (Err(DraftError::NoTarget { .. } | DraftError::NoFeatures { .. }), Some(text))
            if is_free =>
        {
            let tokens = text.words * TOKENS_PER_WORD;
            (Aim::Language(text.name.clone()), TOKENS_SEEN / tokens.max(1), 1)
        }
        (prediction, _) => {
            let prediction = Prediction { commas, ..prediction? };
            (Aim::Column(Box::new(prediction)), ROWS_SEEN / rows.max(1), 5)
        }
    };
    let epochs = u32::try_from(epochs.clamp(least, 60)).unwrap_or(5);
    Ok(Draft { format, nulls, rows, width, is_sample, epochs, aim })
}

/// Refuses columns that no manifest can name.
fn nameable(path: &Path, profiles: &[Profile]) -> Result<(), DraftError> {
    match profiles.iter().find(|profile| profile.name.contains(char::is_control)) {
        None => Ok(()),
        Some(profile) => {
            let name = quote(&profile.name);
            let message = format!("the column {name} has a line break or the like in its name");
            let hint = "rename it in the first line: a manifest could not name it".to_owned();
            Err(DraftError::NoTable { path: path.to_owned(), message, hint })
        }
    }
}

/// A file as far as it is looked at.
struct Sample {
    format: Format,
    /// Words that stand for an empty cell.
    nulls: Vec<String>,
    table: Table,
    /// Whether there is more of it.
    is_sample: bool,
}

fn read(path: &Path) -> Result<Sample, DraftError> {
    let failed = |source| DraftError::Io { path: path.to_owned(), source };
    let no_table = |message: String, hint: String| {
        let path = path.to_owned();
        DraftError::NoTable { path, message, hint }
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let mut format = format(path, &bytes);
    let is_sample = bytes.len() > BYTES_MAX;
    if is_sample {
        if matches!(format, Format::Parquet | Format::Arrow) {
            let message = format!("it has more than {BYTES_MAX} bytes, and cannot be read in part");
            return Err(no_table(message, "draft on a smaller file of the same columns".into()));
        }
        // The last line may be torn.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        bytes.truncate(end);
    }
    let table = |format: Format, gaps: &[String]| {
        let empty = matches!(format, Format::Csv(_)).then(String::new);
        let nulls = empty.into_iter().chain(gaps.iter().cloned()).collect();
        let table = Table::of_source(Reading { format, nulls, ..Reading::csv() }, &bytes);
        table.map_err(|fault| no_table(fault.message, fault.hint))
    };
    let mut plain = table(format, &[]);
    let names: Vec<String> = match &plain {
        Ok(table) => table.schema().into_iter().map(|column| column.name).collect(),
        // A table with one row that is broken is none the less no text.
        Err(_) => {
            let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let first = String::from_utf8_lossy(first);
            first.split([',', ';', '\t']).map(str::to_owned).collect()
        }
    };
    // A sentence is no name of a column.
    let words = names.iter().map(|name| name.split_whitespace().count()).sum::<usize>();
    let is_prose = names.len() < 2 || words >= NOTE_WORDS * names.len();
    if is_prose && matches!(end_of(path).as_str(), "txt" | "text" | "md") {
        format = Format::Text;
        plain = table(format, &[]);
    }
    let plain = plain?;
    let nulls = if matches!(format, Format::Csv(_)) { gaps(&plain) } else { Vec::new() };
    let table = if nulls.is_empty() { plain } else { table(format, &nulls)? };
    Ok(Sample { format, nulls, table, is_sample })
}

/// The words that keep columns from being numbers, if all their other cells are numbers.
fn gaps(table: &Table) -> Vec<String> {
    let mut all = BTreeSet::new();
    for column in table.schema().into_iter().filter(|column| column.kind == ColumnKind::Text) {
        let Ok(cells) = table.column(&column.name) else { continue };
        let (gaps, rest): (BTreeSet<_>, BTreeSet<_>) = cells
            .texts()
            .into_iter()
            .flatten()
            .partition(|text| GAPS.contains(&text.to_ascii_lowercase().as_str()));
        if !rest.is_empty() && rest.iter().all(|text| is_number(text)) {
            all.extend(gaps);
        }
    }
    all.into_iter().collect()
}

/// What a file is: by the end of its name, else by its beginning.
fn format(path: &Path, bytes: &[u8]) -> Format {
    let csv = |delimiter| Format::Csv(Dialect { delimiter, ..Dialect::RFC_4180 });
    match end_of(path).as_str() {
        "tsv" | "tab" => csv(b'\t'),
        "json" | "jsonl" | "ndjson" => Format::Json,
        "parquet" => Format::Parquet,
        "arrow" | "ipc" | "feather" => Format::Arrow,
        _ if bytes.starts_with(b"PAR1") => Format::Parquet,
        _ if bytes.starts_with(b"ARROW1") => Format::Arrow,
        _ if bytes.trim_ascii_start().starts_with(b"{") => Format::Json,
        _ => csv(delimiter(bytes)),
    }
}

/// The end of a file's name, in small letters.
fn end_of(path: &Path) -> String {
    path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// What most often stands between the names of the first line.
fn delimiter(bytes: &[u8]) -> u8 {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut is_quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in line {
        is_quoted ^= *byte == b'"';
        let count = counts.iter_mut().find(|(mark, _)| !is_quoted && mark == byte);
        count.into_iter().for_each(|(_, count)| *count += 1);
    }
    // Of several that are there as often, the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(mark, _)| *mark)
}

fn prediction(
    path: &Path,
    profiles: &[Profile],
    asked: Option<&str>,
    task: Option<Task>,
) -> Result<Prediction, DraftError> {
    let (target, reason) = match asked {
        Some(asked) => {
            let known = || profiles.iter().map(|profile| format!("`{}`", profile.name)).collect();
            let found = profiles.iter().find(|profile| profile.name == asked);
            let missing = || DraftError::NoColumn {
                path: path.to_owned(),
                asked: asked.to_owned(),
                known: known(),
            };
            (found.ok_or_else(missing)?, Reason::Asked)
        }
        None => guess(profiles).ok_or_else(|| DraftError::NoTarget { path: path.to_owned() })?,
    };
    let task = task_of(target, task)?;
    let name = target.name.clone();
    let others = profiles.iter().filter(|profile| profile.name != name);
    let mut columns: Vec<(String, Treatment)> =
        others.clone().map(|profile| (profile.name.clone(), treatment(profile))).collect();
    let is_feature = |treatment: &Treatment| {
        use Treatment::{DropConstant, DropId, DropTime};
        !matches!(treatment, DropId | DropTime | DropConstant)
    };
    let features = others.zip(&mut columns).filter(|(_, (_, treatment))| is_feature(treatment));
    match features.collect::<Vec<_>>().as_mut_slice() {
        [] => return Err(DraftError::NoFeatures { path: path.to_owned(), target: name }),
        // A model of texts reads nothing else.
        [(profile, (_, treatment))]
            if is_note(profile) && matches!(treatment, Treatment::Hash(_)) =>
        {
            let (shortest, longest) = LENGTHS;
            let length = TOKENS_PER_WORD * profile.words / profile.rows.max(1);
            let length = length.next_power_of_two().clamp(shortest, longest);
            *treatment = Treatment::Tokens { vocabulary: VOCABULARY, length };
        }
        _ => {}
    }
    let is_wide = columns.len() > 30 || target.distinct > 8;
    Ok(Prediction {
        target: name,
        reason,
        task,
        classes: target.distinct,
        commas: Vec::new(),
        has_gaps: target.nulls > 0,
        is_stratified: task == Task::Classification && target.rarest >= STRATUM_MIN,
        is_uneven: task == Task::Classification
            && target.rarest >= STRATUM_MIN
            && target.rarest * target.distinct * RARE < target.rows,
        columns,
        hidden: if is_wide { 64 } else { 16 },
    })
}

/// The column that is most likely to be predicted.
fn guess(profiles: &[Profile]) -> Option<(&Profile, Reason)> {
    let is_useful = |profile: &&Profile| profile.distinct > 1 && !profile.is_counting;
    let named = TARGET_NAMES.iter().find_map(|name| {
        let is_called = |profile: &&Profile| profile.name.eq_ignore_ascii_case(name);
        profiles.iter().rev().filter(is_called).find(is_useful)
    });
    let last = |is: fn(&Profile) -> bool| {
        profiles.iter().rev().filter(is_useful).find(|profile| is(profile))
    };
    let is_class = |profile: &Profile| match profile.kind {
        ColumnKind::Truth => true,
        ColumnKind::Text => profile.distinct <= CLASSES_MAX && profile.rarest > 1,
        ColumnKind::Integer | ColumnKind::Real => false,
    };
    let is_few = |profile: &Profile| {
        profile.kind == ColumnKind::Integer && profile.distinct <= INTEGER_CLASSES_MAX
    };
    let is_number =
        |profile: &Profile| matches!(profile.kind, ColumnKind::Integer | ColumnKind::Real);
    named
        .map(|profile| (profile, Reason::Named))
        .or_else(|| Some((last(is_class)?, Reason::LastOfWords)))
        .or_else(|| Some((last(is_few)?, Reason::LastOfFew)))
        .or_else(|| Some((last(is_number)?, Reason::LastOfNumbers)))
}

fn task_of(target: &Profile, asked: Option<Task>) -> Result<Task, DraftError> {
    let is_number = matches!(target.kind, ColumnKind::Integer | ColumnKind::Real);
    let is_few = target.distinct <= INTEGER_CLASSES_MAX && target.kind != ColumnKind::Real;
    let natural = if is_number && !is_few { Task::Regression } else { Task::Classification };
    let task = asked.unwrap_or(natural);
    let (name, distinct, rows) = (target.name.clone(), target.distinct, target.rows);
    match task {
        Task::Regression if !is_number => Err(DraftError::NoNumbers { target: name }),
        Task::Classification if target.kind == ColumnKind::Real => {
            Err(DraftError::Decimals { target: name })
        }
        Task::Classification if !(2..=CLASSES_MAX.min(rows / 2)).contains(&distinct) => {
            Err(DraftError::NoClasses { target: name, distinct, rows })
        }
        task => Ok(task),
    }
}

/// Whether a text has the words of a note, rather than those of a name.
fn is_note(profile: &Profile) -> bool {
    profile.words >= NOTE_WORDS * profile.rows.saturating_sub(profile.nulls).max(1)
}

fn treatment(profile: &Profile) -> Treatment {
    let name = profile.name.to_ascii_lowercase();
    let is_called_id = matches!(name.as_str(), "id" | "index" | "uuid" | "key" | "row")
        || name.ends_with("_id")
        || name.ends_with(" id")
        || name.starts_with("unnamed:");
    match profile.kind {
        _ if profile.distinct < 2 => Treatment::DropConstant,
        _ if profile.is_counting || (is_called_id && profile.is_unique()) => Treatment::DropId,
        ColumnKind::Text if profile.distinct <= ONE_HOT_MAX && !profile.is_unique() => {
            Treatment::OneHot(profile.distinct)
        }
        ColumnKind::Text if is_note(profile) => Treatment::Hash(BUCKETS),
        ColumnKind::Text if profile.is_time => Treatment::DropTime,
        // Names: half of the rows or more have one of their own.
        ColumnKind::Text if profile.distinct * 2 >= profile.rows => Treatment::DropId,
        ColumnKind::Text => Treatment::Hash(BUCKETS),
        ColumnKind::Truth if profile.nulls > 0 => Treatment::Mode,
        ColumnKind::Integer | ColumnKind::Real if profile.nulls > 0 => Treatment::Median,
        ColumnKind::Truth | ColumnKind::Integer | ColumnKind::Real => Treatment::Keep,
    }
}

#[cfg(test)]
mod tests;
