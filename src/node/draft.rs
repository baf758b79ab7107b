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
const BUCKETS: u32 = 64;
/// Text with fewer words in a cell is a name rather than a note.
const NOTE_WORDS: usize = 3;
/// Each class has so many rows where a split keeps their shares.
const STRATUM_MIN: usize = 5;
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
    /// Whether there are more.
    pub is_sample: bool,
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
    /// What becomes of the other columns, in their order.
    pub columns: Vec<(String, Treatment)>,
    /// Passes over the rows.
    pub epochs: u32,
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
    let draft = of(path, &profiles, is_sample, target, task)?;
    Ok(Draft { format, nulls, commas, ..draft })
}

/// Refuses columns that no manifest can name, and a text, which has none.
fn nameable(path: &Path, profiles: &[Profile]) -> Result<(), DraftError> {
    let no_table = |message: String, hint: &str| {
        let (path, hint) = (path.to_owned(), hint.to_owned());
        Err(DraftError::NoTable { path, message, hint })
    };
    if let ([_], Some("txt" | "text" | "md")) =
        (profiles, path.extension().and_then(|end| end.to_str()))
    {
        let message = "it is a text rather than a table of several columns".to_owned();
        let hint = "a model of its language learns from a source with `format: text`, as in \
                    manifests/writer.yaml";
        return no_table(message, hint);
    }
    match profiles.iter().find(|profile| profile.name.contains(char::is_control)) {
        None => Ok(()),
        Some(profile) => {
            let name = quote(&profile.name);
            let message = format!("the column {name} has a line break or the like in its name");
            no_table(message, "rename it in the first line: a manifest could not name it")
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
    let format = format(path, &bytes);
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
    let is_csv = matches!(format, Format::Csv(_));
    let table = |gaps: &[String]| {
        let empty = is_csv.then(String::new);
        let nulls = empty.into_iter().chain(gaps.iter().cloned()).collect();
        let table = Table::of_source(Reading { format, nulls, ..Reading::csv() }, &bytes);
        table.map_err(|fault| no_table(fault.message, fault.hint))
    };
    let plain = table(&[])?;
    let nulls = if is_csv { gaps(&plain) } else { Vec::new() };
    let table = if nulls.is_empty() { plain } else { table(&nulls)? };
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
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let csv = |delimiter| Format::Csv(Dialect { delimiter, ..Dialect::RFC_4180 });
    match end.to_ascii_lowercase().as_str() {
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

fn of(
    path: &Path,
    profiles: &[Profile],
    is_sample: bool,
    asked: Option<&str>,
    task: Option<Task>,
) -> Result<Draft, DraftError> {
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
    let columns: Vec<(String, Treatment)> = profiles
        .iter()
        .filter(|profile| profile.name != name)
        .map(|profile| (profile.name.clone(), treatment(profile)))
        .collect();
    let is_feature = |treatment: &Treatment| {
        use Treatment::{DropConstant, DropId, DropTime};
        !matches!(treatment, DropId | DropTime | DropConstant)
    };
    if !columns.iter().any(|(_, treatment)| is_feature(treatment)) {
        return Err(DraftError::NoFeatures { path: path.to_owned(), target: name });
    }
    let rows = target.rows;
    let epochs = u32::try_from((ROWS_SEEN / rows.max(1)).clamp(5, 60)).unwrap_or(5);
    let is_wide = columns.len() > 30 || target.distinct > 8;
    Ok(Draft {
        rows,
        is_sample,
        target: name,
        reason,
        task,
        classes: target.distinct,
        format: Format::Csv(Dialect::RFC_4180),
        nulls: Vec::new(),
        commas: Vec::new(),
        has_gaps: target.nulls > 0,
        is_stratified: task == Task::Classification && target.rarest >= STRATUM_MIN,
        columns,
        epochs,
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
        Task::Classification if !(2..=CLASSES_MAX.min(rows / 2)).contains(&distinct) => {
            Err(DraftError::NoClasses { target: name, distinct, rows })
        }
        task => Ok(task),
    }
}

fn treatment(profile: &Profile) -> Treatment {
    let name = profile.name.to_ascii_lowercase();
    let is_called_id = matches!(name.as_str(), "id" | "index" | "uuid" | "key" | "row")
        || name.ends_with("_id")
        || name.ends_with(" id")
        || name.starts_with("unnamed:");
    let is_note = profile.words >= NOTE_WORDS * profile.rows.saturating_sub(profile.nulls).max(1);
    match profile.kind {
        _ if profile.distinct < 2 => Treatment::DropConstant,
        _ if profile.is_counting || (is_called_id && profile.is_unique()) => Treatment::DropId,
        ColumnKind::Text if profile.distinct <= ONE_HOT_MAX && !profile.is_unique() => {
            Treatment::OneHot(profile.distinct)
        }
        ColumnKind::Text if is_note => Treatment::Hash(BUCKETS),
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
mod tests {
    use super::*;

    fn drafted(csv: &str, target: Option<&str>) -> Result<Draft, DraftError> {
        let table = Table::from_csv(csv.as_bytes()).unwrap();
        of(Path::new("data.csv"), &profiles(&table), false, target, None)
    }

    /// A table of 40 rows: a line is made from its number.
    fn table(header: &str, line: impl Fn(usize) -> String) -> String {
        let lines: String = (0..40).map(|n| format!("{}\n", line(n))).collect();
        format!("{header}\n{lines}")
    }

    #[test]
    fn the_target_is_guessed_by_name_then_by_kind() {
        let check = |header: &str, line: &dyn Fn(usize) -> String, target: &str, reason| {
            let draft = drafted(&table(header, line), None).unwrap();
            assert_eq!((draft.target.as_str(), draft.reason), (target, reason), "{header}");
        };
        let half = |n: usize| n as f64 / 2.0;
        check("a,Label,b", &|n| format!("{n}.5,{},{}", n % 2, half(n)), "Label", Reason::Named);
        check(
            "a,b,kind",
            &|n| format!("{n}.5,{},k{}", half(n), n % 3),
            "kind",
            Reason::LastOfWords,
        );
        check("a,ok,b", &|n| format!("{n}.5,{},{}.5", n % 2 == 0, n), "ok", Reason::LastOfWords);
        check("a,few,b", &|n| format!("{n}.5,{},{}.5", n % 4, n), "few", Reason::LastOfFew);
        check("id,a,b", &|n| format!("{n},{n}.5,{}.25", n), "b", Reason::LastOfNumbers);
    }

    #[test]
    fn classes_are_told_from_numbers() {
        let task =
            |line: &dyn Fn(usize) -> String| drafted(&table("x,y", line), None).unwrap().task;
        assert_eq!(task(&|n| format!("{n}.5,{}", n % 2)), Task::Classification);
        assert_eq!(task(&|n| format!("{n}.5,{}.5", n % 2)), Task::Regression);
        assert_eq!(task(&|n| format!("{n}.5,{}", n * 7)), Task::Regression);
        let words = table("x,y", |n| format!("{n}.5,w{}", n % 2));
        let read = Table::from_csv(words.as_bytes()).unwrap();
        let path = Path::new("data.csv");
        let asked = of(path, &profiles(&read), false, None, Some(Task::Regression));
        assert!(matches!(asked, Err(DraftError::NoNumbers { .. })));
    }

    #[test]
    fn every_other_column_gets_the_treatment_that_its_values_ask_for() {
        let csv = table("id,a,gap,flag,city,name,note,same,species", |n| {
            let gap = if n == 3 { String::new() } else { format!("{}", n * n) };
            let flag = ["true", "false", ""][n % 3];
            let note = format!("the row {n} has words");
            format!("{n},{n}.5,{gap},{flag},c{},n{n},{note},1,s{}", n % 5, n % 2)
        });
        let draft = drafted(&csv, None).unwrap();
        let treatments: Vec<_> = draft.columns.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        let expect = [
            ("id", Treatment::DropId),
            ("a", Treatment::Keep),
            ("gap", Treatment::Median),
            ("flag", Treatment::Mode),
            ("city", Treatment::OneHot(5)),
            ("name", Treatment::DropId),
            ("note", Treatment::Hash(64)),
            ("same", Treatment::DropConstant),
        ];
        assert_eq!(treatments, expect);
        assert!(draft.is_stratified && !draft.has_gaps);
    }

    #[test]
    fn words_that_stand_for_no_number_are_told_from_words() {
        let gaps = |csv: &str| gaps(&Table::from_csv(csv.as_bytes()).unwrap());
        assert_eq!(gaps("a,b\n1.5,NA\nnan,2\n,3\n?,4\n"), ["?", "NA", "nan"]);
        // Of these columns not all other cells are numbers, or there are no others.
        for csv in ["a\nNA\nCH\n1\n", "a\nNA\nNaN\n", "a\n1\n2\n", "a\n1\ninf\nNA\n"] {
            assert!(gaps(csv).is_empty(), "{csv}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        let line = |n: usize| if n == 3 { "NA,1".into() } else { format!("{n}.5,{}", n % 2) };
        std::fs::write(&path, table("a,y", line)).unwrap();
        let draft = draft(&path, None, None).unwrap();
        assert_eq!(draft.nulls, ["NA"]);
        assert_eq!(draft.columns, [("a".to_owned(), Treatment::Median)]);
    }

    #[test]
    fn numbers_with_commas_are_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.csv");
        let found = |header: &str, line: &dyn Fn(usize) -> String, target: Option<&str>| {
            std::fs::write(&path, table(header, line)).unwrap();
            draft(&path, target, None)
        };
        let line = |n: usize| match n {
            3 => "NA;1.234,5;7".into(),
            _ => format!("{n},5;{},25;{}", n * 3, n % 2),
        };
        let decimal = found("a;b;y", &line, Some("b")).unwrap();
        assert_eq!((decimal.task, &decimal.nulls), (Task::Regression, &vec!["NA".to_owned()]));
        let commas = [("a".to_owned(), Commas::Decimal), ("b".to_owned(), Commas::Decimal)];
        assert_eq!(decimal.commas, commas);
        assert_eq!(decimal.columns[0], ("a".to_owned(), Treatment::Median));
        let line = |n: usize| format!("\"{},{:03}.5\",{}", n + 1, n, n % 2);
        let parted = found("a,y", &line, None).unwrap();
        assert_eq!(parted.commas, [("a".to_owned(), Commas::Thousands)]);
        let doubtful = found("a;y", &|n| format!("1,{n:03};{}", n % 2), None).unwrap();
        assert_eq!(doubtful.commas, [("a".to_owned(), Commas::Decimal)]);
        let days = table("day,a,y", |n| format!("2026-01-{:02},{n}.5,{}", n + 1, n % 2));
        let draft = drafted(&days, None).unwrap();
        assert_eq!(draft.columns[0], ("day".to_owned(), Treatment::DropTime));
    }

    #[test]
    fn what_no_manifest_could_name_and_texts_are_told_as_that() {
        let dir = tempfile::tempdir().unwrap();
        let said = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            draft(&path, None, None).unwrap_err().to_string()
        };
        let broken = said("d.csv", "\"a\nb\",y\n1.5,0\n2,1\n3,0\n2.5,1\n");
        assert!(broken.contains("a\\nb") && broken.contains("rename it"), "{broken}");
        let text = said("play.txt", "First Citizen:\nBefore we proceed any further.\n");
        assert!(text.contains("`format: text`"), "{text}");
    }

    #[test]
    fn a_format_is_told_by_the_name_then_by_the_bytes() {
        let csv = |delimiter| Format::Csv(Dialect { delimiter, ..Dialect::RFC_4180 });
        let check = |name: &str, bytes: &[u8], expect| {
            assert_eq!(format(Path::new(name), bytes), expect, "{name}");
        };
        check("a.csv", b"a,b\n1,2\n", csv(b','));
        check("a.csv", b"\"a,b,c\";b\n1;2\n", csv(b';'));
        check("a.txt", b"a\tb,c\td\n", csv(b'\t'));
        check("a.TSV", b"a\n", csv(b'\t'));
        check("a.csv", b"alone\n1\n", csv(b','));
        check("a.ndjson", b"", Format::Json);
        check("a", b" {\"a\": 1}\n", Format::Json);
        check("a", b"PAR1", Format::Parquet);
        check("a.feather", b"", Format::Arrow);
    }

    #[test]
    fn what_cannot_be_drafted_says_what_to_do() {
        let said = |csv: &str, target| drafted(csv, target).unwrap_err().to_string();
        let rows = table("x,y", |n| format!("{n}.5,w{n}"));
        assert!(said(&rows, Some("z")).contains("has no column `z`; hint: it has `x`, `y`"));
        assert!(said(&rows, Some("y")).contains("40 different values in 40 rows"));
        assert!(said(&table("x,y", |_| "1,2".into()), None).contains("--target"));
        let lonely = table("id,y", |n| format!("{n},{}", n % 2));
        assert!(said(&lonely, None).contains("no column of data.csv tells anything about `y`"));
    }
}
