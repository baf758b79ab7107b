//! Sources: from the nodes below `sources:` to what is to be read, and how.
//! Reports what the table cannot say: settings of one format with another, and marks that clash.

use super::check::cut;
use super::diagnostic::Faults;
use super::node::{Kind, Node};
use super::quantity::bytes;
use super::stage::Draft;
use super::{Place, Source};
use crate::domain::job::{
    ChunkTarget, ColumnKind, Declared, Dialect, Format, Images, Label, Made, OnBadRow,
};
use crate::domain::job::{DIGITS_MAX, MADE_ROWS_MAX, Reading};
use std::collections::BTreeMap;

/// The sources that could be read.
pub(super) fn sources(spec: &Node, faults: &mut Faults) -> BTreeMap<String, Source> {
    let entries = spec.get("sources").map(Node::entries).unwrap_or_default().iter();
    entries
        .filter_map(|(key, node)| {
            sound(node, faults);
            let (url, made, reading) = match node.get("generate") {
                Some(made) => {
                    let made = self::made(made)?;
                    (made.to_string(), Some(made), made.reading())
                }
                None => (node.get("url")?.text()?.to_owned(), None, reading(node)?),
            };
            let secret = node.get("auth").and_then(|auth| auth.get("secretRef"));
            let secret = secret.and_then(Node::text).map(str::to_owned);
            let source = Source { url, made, reading, secret, target: None, place: key.place };
            Some((key.text.clone(), source))
        })
        .collect()
}

/// What is made of settings that have been checked one by one.
fn made(node: &Node) -> Option<Made> {
    let made = Made {
        digits: super::kind::narrow(node, "digits", 0)?,
        rows: super::kind::wide(node, "rows", 0)?,
        seed: super::kind::wide(node, "seed", 0)?,
    };
    (made.rows <= made.most()).then_some(made)
}

/// How a source is to be read.
fn reading(source: &Node) -> Option<Reading> {
    let format = match source.get("format")?.text()? {
        "csv" => Format::Csv(dialect(source.get("csv"))?),
        "json" => Format::Json,
        "parquet" => Format::Parquet,
        "arrow" => Format::Arrow,
        "text" => Format::Text,
        "huggingface" => Format::HuggingFace,
        "gguf" => Format::Gguf,
        "png" => Format::Png(images(source.get("png"))?),
        _ => return None,
    };
    let null = |node: &Node| node.kind.scalar_text().map(str::to_owned);
    let nulls = match (source.get("nulls"), format) {
        (Some(nulls), _) => nulls.items().iter().map(null).collect::<Option<Vec<_>>>()?,
        (None, Format::Csv(_)) => vec![String::new()],
        (None, _) => Vec::new(),
    };
    let columns = match source.get("columns").map(|node| (node.items(), node.entries())) {
        None => Vec::new(),
        Some((names, kinds)) => {
            let named = names.iter().map(|name| Some((name.text()?.to_owned(), None)));
            let kind = |node: &Node| ColumnKind::from_word(node.text()?);
            let kinds = kinds.iter().map(|(key, node)| Some((key.text.clone(), Some(kind(node)?))));
            let declared = |pair: Option<(String, Option<ColumnKind>)>| {
                pair.map(|(name, kind)| Declared { name, kind })
            };
            named.chain(kinds).map(declared).collect::<Option<Vec<_>>>()?
        }
    };
    let on_bad_row = match source.get("onBadRow").map(Node::text) {
        None | Some(Some("fail")) => OnBadRow::Fail,
        Some(Some("skip")) => OnBadRow::Skip,
        Some(Some("null")) => OnBadRow::Null,
        Some(_) => return None,
    };
    Some(Reading { format, nulls, columns, on_bad_row })
}

fn images(node: Option<&Node>) -> Option<Images> {
    let word = |key: &str| node.and_then(|node| node.get(key)).map(Node::text);
    let mark = match word("mark") {
        None => b'_',
        Some(Some("space")) => b' ',
        Some(text) => text?.bytes().next()?,
    };
    let label = match word("label") {
        None | Some(Some("folder")) => Label::Folder,
        Some(Some("first")) => Label::First(mark),
        Some(Some("last")) => Label::Last(mark),
        Some(Some("none")) => Label::None,
        Some(_) => return None,
    };
    let channels = match word("pixels") {
        None => None,
        Some(Some("grey")) => Some(1),
        Some(Some("rgb")) => Some(3),
        Some(_) => return None,
    };
    Some(Images { label, channels })
}

fn dialect(node: Option<&Node>) -> Option<Dialect> {
    let Some(node) = node else { return Some(Dialect::RFC_4180) };
    let usual = Dialect::RFC_4180;
    let mark = |key: &str, usual: Option<u8>| match node.get(key).map(Node::text) {
        None => Some(usual),
        Some(Some("none")) => Some(None),
        Some(Some("tab")) => Some(Some(b'\t')),
        Some(text) => Some(text?.bytes().next()),
    };
    let is = |key: &str, usual: bool| match node.get(key).map(|node| &node.kind) {
        None => Some(usual),
        Some(Kind::Bool(value)) => Some(*value),
        Some(_) => None,
    };
    let quote = mark("quote", usual.quote)?;
    Some(Dialect {
        delimiter: mark("delimiter", Some(usual.delimiter))??,
        quote,
        // The quote itself, twice, is what holds without one.
        escape: mark("escape", usual.escape)?.filter(|escape| Some(*escape) != quote),
        header: is("header", usual.header)?,
        comment: mark("comment", usual.comment)?,
        trim: is("trim", usual.trim)?,
        skip_lines: super::kind::narrow(node, "skipLines", usual.skip_lines)?,
    })
}

/// Reports settings that fit the table one by one but not together.
fn sound(source: &Node, faults: &mut Faults) {
    let format = source.get("format").and_then(Node::text);
    let entry = |name: &str| source.entries().iter().find(|(key, _)| key.text == name);
    if let Some((_, node)) = entry("generate") {
        return alone(source, node, faults);
    }
    for own in ["csv", "png"] {
        if let (Some((key, _)), Some(format)) = (entry(own), format.filter(|word| *word != own)) {
            let message = format!("`{own}` says nothing about `format: {format}`");
            let hint = format!("leave it away, or say `format: {own}`");
            faults.advise(key.place, message, hint);
        }
    }
    let (foreign, why): (&[&str], &str) = match format {
        Some("huggingface" | "gguf") => {
            (&["nulls", "columns", "onBadRow"], "is of rows, and a network has none")
        }
        Some("png") => (&["nulls", "columns"], "is of cells with names, and pixels have none"),
        _ => (&[], ""),
    };
    for (key, _) in foreign.iter().filter_map(|name| entry(name)) {
        faults.advise(key.place, format!("`{}` {why}", key.text), "leave it away".to_owned());
    }
    if let Some((_, png)) = entry("png")
        && let Some(mark) = png.get("mark")
        && !matches!(png.get("label").and_then(Node::text), Some("first" | "last"))
    {
        let hint = "leave it away, or say `label: first` or `last`".to_owned();
        faults.advise(mark.place, "`mark` says nothing about this label", hint);
    }
    if let Some((key, columns)) = entry("columns") {
        if format == Some("text") {
            let message = "`format: text` has one column, which is called `text`";
            faults.advise(key.place, message, "leave `columns` away".to_owned());
        }
        let dialect = dialect(source.get("csv"));
        let has_header = format == Some("csv") && dialect.is_some_and(|dialect| dialect.header);
        if has_header && !columns.items().is_empty() {
            let hint = "declare kinds as a mapping, or say `csv: { header: false }`; `with: { \
                        columns: … }` of the ingest stage keeps some columns";
            faults.advise(key.place, "the header names the columns already", hint.to_owned());
        }
        let mut seen = BTreeMap::new();
        for item in columns.items() {
            if let Some(name) = item.text()
                && seen.insert(name, item.place).is_some()
            {
                let message = format!("two columns are called `{}`", cut(name));
                faults.advise(item.place, message, "name each once".to_owned());
            }
        }
    }
    marks(source.get("csv"), faults);
}

/// Rows that are made are neither read nor more than there are.
fn alone(source: &Node, node: &Node, faults: &mut Faults) {
    for (key, _) in source.entries().iter().filter(|(key, _)| key.text != "generate") {
        let message = format!("`{}` says nothing about rows that are made", cut(&key.text));
        faults.advise(key.place, message, "leave it away, or leave `generate` away".to_owned());
    }
    let digits = super::kind::narrow(node, "digits", 0).filter(|digits| *digits <= DIGITS_MAX);
    let rows = super::kind::wide(node, "rows", 0);
    let Some((digits, rows)) = digits.zip(rows) else { return };
    let most = Made { digits, rows, seed: 0 }.most();
    if rows > most && rows <= MADE_ROWS_MAX {
        let place = node.get("rows").map_or(node.place, |rows| rows.place);
        let message = format!("there are only {most} different sums of {digits}-digit numbers");
        faults.advise(place, message, "ask for fewer rows, or for more digits".to_owned());
    }
}

/// Marks that stand for two things at once.
fn marks(csv: Option<&Node>, faults: &mut Faults) {
    let Some(csv) = csv else { return };
    let Some(dialect) = dialect(Some(csv)) else { return };
    let marks = [
        ("delimiter", Some(dialect.delimiter)),
        ("quote", dialect.quote),
        ("escape", dialect.escape),
        ("comment", dialect.comment),
    ];
    for (index, (name, mark)) in marks.iter().enumerate() {
        let before = marks.iter().take(index);
        let clash =
            before.filter(|(_, other)| mark.is_some() && other == mark).map(|(name, _)| name);
        for other in clash {
            let given = csv.get(name).or_else(|| csv.get(other));
            let place = given.map_or(csv.place, |node| node.place);
            let message = format!("`{other}` and `{name}` are the same character");
            faults.advise(place, message, "each mark must mean one thing".to_owned());
        }
    }
    if let (Some(escape), None) = (csv.get("escape"), dialect.quote)
        && dialect.escape.is_some()
    {
        let message = "`escape` means nothing where there are no quotes";
        faults.advise(escape.place, message, "leave it away".to_owned());
    }
}

/// How a stage divides its source, where it says so; of the kinds only an ingest can.
pub(super) fn target(draft: &Draft<'_>, faults: &mut Faults) -> Option<ChunkTarget> {
    let (key, split) = draft.node.entries().iter().find(|(key, _)| key.text == "split")?;
    if draft.kind.is_some_and(|kind| kind.name != "ingest") {
        let message = "only an ingest is split into one job for each chunk of its source";
        let hint = "`uses: split` divides the rows of a table into parts".to_owned();
        faults.advise(key.place, message, hint);
        return None;
    }
    let target = split.get("target")?;
    match (split.get("by")?.text()?, target.integer(), target.text().and_then(bytes)) {
        ("rows", Some(rows), _) => Some(ChunkTarget::Rows(u64::try_from(rows).ok()?)),
        ("bytes", _, Some(bytes)) => Some(ChunkTarget::Bytes(bytes)),
        ("rows", None, Some(_)) => {
            let hint = "such as `250000`, or say `by: bytes`".to_owned();
            faults.advise(target.place, "a number of rows has no unit", hint);
            None
        }
        ("bytes", Some(_), _) => {
            let hint = "such as `64MiB`, or say `by: rows`".to_owned();
            faults.advise(target.place, "a number of bytes has a unit", hint);
            None
        }
        _ => None,
    }
}

/// Tells a source how it is divided: it can be in one way only.
pub(super) fn divide(
    sources: &mut BTreeMap<String, Source>,
    (draft, target): (&Draft<'_>, ChunkTarget),
    faults: &mut Faults,
) {
    let rows = draft.node.get("inputs").and_then(|inputs| inputs.get("rows"));
    let name = rows.and_then(|rows| rows.text()?.strip_prefix("sources."));
    let Some(source) = name.and_then(|name| sources.get_mut(name)) else { return };
    if source.target.is_some_and(|other| other != target) {
        let place: Place = draft.node.get("split").map_or(draft.key.place, |split| split.place);
        let message = "another stage splits this source otherwise";
        let hint = "give both the same `split`, or name the source twice".to_owned();
        faults.advise(place, message, hint);
    }
    source.target = Some(target);
}
