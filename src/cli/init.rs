//! `ohc init`: writes a first manifest for a data file, with comments that teach.
//! Decides nothing about the data: `node::draft` does; and never writes what would not be valid.

use super::Context;
use super::args::Init;
use super::documents::Document;
use super::exit::{Exit, Stop};
use super::home::{cores, folder};
use super::plan;
use super::report::table::wrap;
use crate::base::amount::Ohc;
use crate::domain::job::{Expr, Format, Op, Task};
use crate::node::apply;
use crate::node::draft::{self, Aim, Commas, Draft, Prediction, Reason, Treatment};
use crate::node::pipeline::{Pipeline, PrepareError};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// About the stages.
const HELD_OUT: &str =
    "A fifth of the rows is held out, to measure the model on what it has not seen.";
const FEATURES: &str =
    "Models take numbers. What these steps learn travels with the model, which so takes raw rows.";
const TREATED: &str =
    "The same for the rows that are held out, with what was learned from the others.";
const TOKENS: &str = "A model of texts reads tokens: letters that often stand together. Their list \
                      travels with the model, which so takes raw text.";
const UNEVEN: &str = "Where one class is nearly everything, accuracy says little: a model that \
                      says nothing else has as much. F1 is high only if the rare ones are found.";
/// How long a line of the manifest is.
const WIDTH: usize = 96;

pub(super) fn init(args: &Init, context: &mut Context) -> Result<Exit, Stop> {
    let failed = |error: &(dyn std::error::Error + 'static)| Stop::because(Exit::Failed, error);
    let task = args.task.map(Into::into);
    let draft = draft::draft(&args.data, args.target.as_deref(), task).map_err(|e| failed(&e))?;
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.yaml", name(&args.data))));
    let to_screen = out.as_os_str() == "-";
    // Two manifests for the same data are two pipelines, and write to two folders.
    let name = name(if to_screen { &args.data } else { &out });
    let base = if to_screen { Path::new(".") } else { folder(&out) };
    let url = url(&args.data, base).map_err(|error| {
        Stop::failed(format!("cannot find {}: {error}", args.data.display()), None)
    })?;
    let about = About { draft: &draft, name: &name, url: &url, out: &out };
    let budget = budget(&about, base)?;
    let text = manifest(&about, budget);
    if to_screen {
        context.screen.bytes(&text)?;
        return Ok(Exit::Done);
    }
    write(&out, &text, args.force)?;
    let screen = &mut context.screen;
    let out = out.display();
    let does = match &draft.aim {
        Aim::Column(aim) => format!("predicts `{}`, {}", aim.target, because(aim)),
        Aim::Language(column) => format!("learns to write like the texts of `{column}`"),
    };
    screen.line(format!("wrote {out}: {does}"))?;
    screen.line(format!("next: `ohc plan {out}`, then `ohc apply {out}`"))?;
    Ok(Exit::Done)
}

/// The name of a pipeline: that of the file, as far as it can be one.
fn name(data: &Path) -> String {
    let stem = data.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(letter).take(40).collect();
    match name.trim_matches('-') {
        "" => "first".to_owned(),
        name => name.to_owned(),
    }
}

/// A path to the data that holds in the folder of the manifest: whole only where it was given so.
fn url(data: &Path, base: &Path) -> io::Result<String> {
    let (found, base) = (data.canonicalize()?, base.canonicalize()?);
    let shared = found.components().zip(base.components()).take_while(|(a, b)| a == b).count();
    let up = base.components().count() - shared;
    if data.is_absolute() && up > 0 {
        return Ok(found.display().to_string());
    }
    let below: PathBuf = found.components().skip(shared).collect();
    Ok(format!("{}{}", "../".repeat(up), below.display()))
}

/// The highest quote of the pipeline, rounded up to whole OhC; or what is wrong with it.
fn budget(about: &About<'_>, base: &Path) -> Result<Ohc, Stop> {
    let text = manifest(about, Ohc::from_whole(1).unwrap_or_default());
    let prepared = Pipeline::prepare(text, BTreeMap::new(), base, None);
    let pipeline = prepared.map_err(|error| match error {
        PrepareError::Wrong { text, faults } => {
            Document::of(about.out.to_owned(), text).wrong(faults, Exit::Failed)
        }
        other => Stop::because(Exit::Failed, &other),
    })?;
    let forecast = apply::outlook_of_nothing(&pipeline, cores());
    let high = forecast.map_err(|error| plan::stop(&error))?.quote.high;
    let one = Ohc::from_whole(1).unwrap_or_default();
    Ok(high.checked_add(one).map_or(high, whole))
}

/// Without what is behind the point.
fn whole(amount: Ohc) -> Ohc {
    let text = amount.to_string();
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(amount)
}

/// Writes a file that is not there yet, or may be replaced.
fn write(out: &Path, text: &str, force: bool) -> Result<(), Stop> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(!force).create(force).truncate(force);
    let written = options.open(out).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let hint = "--force replaces it, --out FILE writes another".to_owned();
            Stop::failed(format!("there is a file {} already", out.display()), Some(hint))
        }
        _ => {
            let hint = "name another file with --out".to_owned();
            Stop::failed(format!("cannot write {}: {error}", out.display()), Some(hint))
        }
    })
}

/// What the manifest is about.
struct About<'a> {
    draft: &'a Draft,
    name: &'a str,
    url: &'a str,
    out: &'a Path,
}

/// Why a column is the target, in words.
fn because(aim: &Prediction) -> &'static str {
    match aim.reason {
        Reason::Asked => "as you asked for",
        Reason::Named => "because targets are often called so",
        Reason::LastOfWords => "the last column that holds classes",
        Reason::LastOfFew => "the last column that holds few whole numbers",
        Reason::LastOfNumbers => "the last column that holds numbers",
    }
}

/// A text as YAML flow text: plain where that says the same, else in quotes.
fn quoted(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let mut letters = text.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let is_plain = begins && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_plain && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

/// The name of a pipeline as YAML flow text.
fn label(name: &str) -> String {
    match name.split('-').all(|part| part.is_empty() || quoted(part) == part) {
        true => name.to_owned(),
        false => serde_json::Value::from(name).to_string(),
    }
}

fn manifest(about: &About<'_>, budget: Ohc) -> String {
    let mut text = String::new();
    head(about, budget, &mut text);
    match &about.draft.aim {
        Aim::Column(aim) => prediction(aim, &mut text),
        Aim::Language(column) => language(column, &mut text),
    }
    let _ = write!(
        text,
        "  outputs:\n    # The model with a card that says how it came to be.\n    model: {{ from: \
         evaluate.best, to: out/{}/ }}\n",
        about.name
    );
    text
}

/// The stages that learn to predict a column.
fn prediction(aim: &Prediction, text: &mut String) {
    let steps = steps(aim);
    rows(aim, text);
    let (train, test) = match steps.is_empty() {
        true => ("split.train", "split.test"),
        false => {
            features(&steps, text);
            ("features.table", "heldout.table")
        }
    };
    model(aim, (train, test), text);
}

/// The stages that learn a language.
fn language(column: &str, text: &mut String) {
    text.push_str("    table:\n      uses: ingest\n      inputs: { rows: sources.data }\n");
    comment(
        "    ",
        "The last tenth is held out, to measure the model on what it has not seen.",
        text,
    );
    text.push_str("    split:\n      uses: split\n      inputs: { table: table.table }\n");
    text.push_str("      with: { ratios: { train: 0.9, test: 0.1 }, order: kept }\n");
    comment("    ", TOKENS, text);
    let _ = write!(
        text,
        "    tokens:\n      uses: tokenize\n      inputs: {{ table: split.train }}\n      \
         with: {{ column: {}, kind: bpe, vocabulary: {}, into: stream }}\n",
        quoted(column),
        draft::VOCABULARY
    );
    let words = "A small language model. What is longer, wider or has more blocks writes better \
                 and takes longer: `ohc explain train.model`.";
    comment("    ", words, text);
    text.push_str(
        "    train:\n      uses: train\n      inputs: { data: tokens.table }\n      with:\n        \
         task: language\n        \
         model: { kind: gpt, blocks: 2, heads: 2, width: 32, context: 32 }\n        \
         epochs: \"${{ params.epochs }}\"\n        batch: 16\n        \
         optimizer: { kind: adamw, lr: 0.005 }\n        clip: 1.0\n        seed: 1\n",
    );
    comment("    ", "Measures it on what is held out: the lower the perplexity, the better.", text);
    text.push_str("    evaluate:\n      uses: evaluate\n");
    text.push_str("      inputs: { models: train.model, data: split.test }\n");
}

/// A comment, in lines of bounded length.
fn comment(indent: &str, words: &str, text: &mut String) {
    for line in wrap(words, WIDTH - indent.len() - 2) {
        let _ = writeln!(text, "{indent}# {line}");
    }
}

fn head(about: &About<'_>, budget: Ohc, text: &mut String) {
    let About { draft, name, url, out } = about;
    let (rows, columns) = (draft.rows, draft.width);
    let columns = if columns == 1 { "1 column".into() } else { format!("{columns} columns") };
    let first = if draft.is_sample { "the first " } else { "" };
    let out = match out.display().to_string() {
        dash if dash == "-" => "FILE".to_owned(),
        out => out,
    };
    let made = format!(
        "A first pipeline for {url}, made by `ohc init` from {first}{rows} rows of \
         {columns}."
    );
    comment("", &made, text);
    let next = format!(
        "`ohc plan {out}` says what it would do and cost, `ohc apply {out}` does it, and `ohc \
         explain KEY` says what a key means, such as `ohc explain train.optimizer`."
    );
    comment("", &next, text);
    let _ = write!(
        text,
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: {} }}\nspec:\n  \
         params:\n",
        label(name)
    );
    comment("    ", &format!("Another value for one run: `ohc apply {out} -p epochs=90`."), text);
    let _ = write!(
        text,
        "    epochs: {{ type: integer, default: {}, minimum: 1 }}\n  sources:\n    data:\n      \
         url: {}\n      format: {}\n",
        draft.epochs,
        serde_json::Value::from(*url),
        format(draft.format)
    );
    if !draft.nulls.is_empty() {
        let words = "Words that stand for an empty cell; `ohc predict` takes them with --nulls.";
        comment("      ", words, text);
        let nulls: Vec<&str> = [""].into_iter().chain(draft.nulls.iter().map(|w| &**w)).collect();
        let _ = writeln!(text, "      nulls: {}", serde_json::Value::from(nulls));
    }
    comment("  ", "The most that a run may cost; what is not spent comes back.", text);
    let _ = writeln!(text, "  budget: {{ total: \"{budget}\" }}\n  stages:");
}

/// How a source is read, as keys of it.
fn format(format: Format) -> String {
    match format {
        Format::Csv(dialect) if dialect.delimiter == b',' => "csv".to_owned(),
        Format::Csv(dialect) => {
            let delimiter = match dialect.delimiter {
                b'\t' => "tab".to_owned(),
                other => serde_json::Value::from(char::from(other).to_string()).to_string(),
            };
            format!("csv\n      csv: {{ delimiter: {delimiter} }}")
        }
        Format::Json => "json".to_owned(),
        Format::Text => "text".to_owned(),
        Format::Parquet => "parquet".to_owned(),
        Format::Arrow => "arrow".to_owned(),
        Format::HuggingFace => "huggingface".to_owned(),
        Format::Gguf => "gguf".to_owned(),
        Format::Png(_) => "png".to_owned(),
    }
}

/// Reading and dividing the rows.
fn rows(aim: &Prediction, text: &mut String) {
    text.push_str("    table:\n      uses: ingest\n      inputs: { rows: sources.data }\n");
    let mut from = "table.table";
    if aim.has_gaps {
        let column = Expr::Column(aim.target.clone());
        let is_null = Expr::Apply(Op::IsNull, vec![column]);
        let filter = Expr::Apply(Op::Not, vec![is_null]).to_string();
        comment("    ", "Rows without the target teach nothing.", text);
        let _ = write!(
            text,
            "    labelled:\n      uses: transform\n      inputs: {{ table: table.table }}\n      \
             with:\n        steps:\n          - filter: {}\n",
            quoted(&filter)
        );
        from = "labelled.table";
    }
    if !aim.commas.is_empty() {
        numbers(aim, from, text);
        from = "numbers.table";
    }
    comment("    ", HELD_OUT, text);
    let stratify = match aim.is_stratified {
        true => format!("        stratify: {}\n", quoted(&aim.target)),
        false => String::new(),
    };
    let _ = write!(
        text,
        "    split:\n      uses: split\n      inputs: {{ table: {from} }}\n      with:\n        \
         ratios: {{ train: 0.8, test: 0.2 }}\n{stratify}        seed: 1\n"
    );
}

/// Numbers that are written with commas, as numbers.
fn numbers(aim: &Prediction, from: &str, text: &mut String) {
    let columns = aim.commas.iter().map(|(name, commas)| {
        let column = Expr::Column(name.clone());
        let formula = match commas {
            Commas::Decimal => format!("replace(replace({column}, '.', ''), ',', '.')"),
            Commas::Thousands => format!("replace({column}, ',', '')"),
        };
        (quoted(name), serde_json::Value::from(formula).to_string())
    });
    let columns: Vec<(String, String)> = columns.collect();
    let lines = |each: &dyn Fn(&(String, String)) -> String| -> String {
        columns.iter().map(|column| format!("              {}\n", each(column))).collect()
    };
    comment("    ", "Numbers with commas are text until a step makes numbers of them.", text);
    let _ = write!(
        text,
        "    numbers:\n      uses: transform\n      inputs: {{ table: {from} }}\n      \
         with:\n        steps:\n          - derive:\n{}          \
         - cast:\n              columns:\n{}",
        lines(&|(name, formula)| format!("{name}: {formula}")),
        lines(&|(name, _)| format!("  {name}: number")),
    );
}

/// The steps that make features of the columns, each with the words about it.
fn steps(aim: &Prediction) -> Vec<(String, String)> {
    let of = |is: &dyn Fn(Treatment) -> bool| -> Vec<String> {
        let each = aim.columns.iter().filter(|(_, treatment)| is(*treatment));
        each.map(|(name, _)| quoted(name)).collect()
    };
    let mut steps = Vec::new();
    let mut add = |columns: Vec<String>, words: &str, step: &dyn Fn(&str) -> String| {
        if !columns.is_empty() {
            steps.push((words.to_owned(), step(&columns.join(", "))));
        }
    };
    add(of(&|t| t == Treatment::DropId), "They number or name the rows.", &|columns| {
        format!("drop: [{columns}]")
    });
    let words = "Days or times are text, which no step takes apart: to learn from them, write the \
                 year, the month or the hour as columns of their own.";
    add(of(&|t| t == Treatment::DropTime), words, &|columns| format!("drop: [{columns}]"));
    add(of(&|t| t == Treatment::DropConstant), "All rows have the same value.", &|columns| {
        format!("drop: [{columns}]")
    });
    add(of(&|t| t == Treatment::Median), "Some rows have no value.", &|columns| {
        format!("fill: {{ columns: [{columns}], with: median }}")
    });
    add(of(&|t| t == Treatment::Mode), "Some rows have no value.", &|columns| {
        format!("fill: {{ columns: [{columns}], with: mode }}")
    });
    let is_one_hot = |t| matches!(t, Treatment::OneHot(_));
    add(of(&is_one_hot), "Words become a column of 0 and 1 for each value.", &|columns| {
        format!("oneHot: {{ columns: [{columns}] }}")
    });
    for (name, treatment) in &aim.columns {
        let name = quoted(name);
        let (words, step) = match treatment {
            Treatment::Hash(buckets) => (
                "Too many values for that: its words are counted.",
                format!("hash: {{ column: {name}, buckets: {buckets} }}"),
            ),
            Treatment::Tokens { vocabulary, length } => (
                TOKENS,
                format!(
                    "tokenize: {{ column: {name}, kind: bpe, vocabulary: {vocabulary}, into: {{ \
                     length: {length} }} }}"
                ),
            ),
            _ => continue,
        };
        steps.push((words.to_owned(), step));
    }
    steps
}

fn features(steps: &[(String, String)], text: &mut String) {
    comment("    ", FEATURES, text);
    text.push_str("    features:\n      uses: transform\n      inputs: { table: split.train }\n");
    text.push_str("      with:\n        steps:\n");
    for (words, step) in steps {
        comment("          ", words, text);
        let _ = writeln!(text, "          - {step}");
    }
    comment("    ", TREATED, text);
    text.push_str("    heldout:\n      uses: transform\n");
    text.push_str("      inputs: { table: split.test, fitted: features.fitted }\n");
}

fn model(aim: &Prediction, (train, test): (&str, &str), text: &mut String) {
    let target = quoted(&aim.target);
    let what = match aim.task {
        Task::Regression => "a number".to_owned(),
        _ => format!("one of {} classes", aim.classes),
    };
    let words = format!(
        "Predicts {target}, {what}: {}. To try several widths at once, add `matrix: {{ axes: {{ \
         width: [16, 32] }} }}` here, write \"${{{{matrix.width}}}}\" for the width \
         and `train.*.model` below.",
        because(aim)
    );
    comment("    ", &words, text);
    let task = match aim.task {
        Task::Classification => String::new(),
        task => format!("        task: {}\n", task.word()),
    };
    let is_text = |(_, treatment): &(_, Treatment)| matches!(treatment, Treatment::Tokens { .. });
    let model = match aim.columns.iter().any(is_text) {
        true => "kind: text, width: 32, hidden: [32]".to_owned(),
        false => format!("kind: mlp, hidden: [{}]", aim.hidden),
    };
    let weights = match aim.is_uneven {
        true => {
            "        # Some classes are rare: each weighs as much as any other.\n        \
             classWeights: balanced\n"
        }
        false => "",
    };
    let _ = write!(
        text,
        "    train:\n      uses: train\n      inputs: {{ data: {train} }}\n      \
         with:\n{task}        target: {target}\n        model: {{ {model} }}\n\
         \x20       epochs: \"${{{{ params.epochs }}}}\"\n\
         \x20       optimizer: {{ kind: adamw, lr: 0.01 }}\n{weights}        seed: 1\n",
    );
    comment("    ", "Measures the model on the rows that are held out.", text);
    if aim.is_uneven {
        comment("    ", UNEVEN, text);
    }
    text.push_str("    evaluate:\n      uses: evaluate\n");
    let _ = writeln!(text, "      inputs: {{ models: train.model, data: {test} }}");
    if aim.is_uneven {
        text.push_str("      with: { select: { metric: f1, goal: max } }\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_quoted_where_yaml_would_read_something_else() {
        let check = |text: &str, expect: &str| assert_eq!(quoted(text), expect);
        check("sepal_length", "sepal_length");
        check("Yes", "\"Yes\"");
        check("y", "\"y\"");
        check("1st", "\"1st\"");
        check("sepal length (cm)", "\"sepal length (cm)\"");
        check("a\"b: #", "\"a\\\"b: #\"");
    }

    #[test]
    fn the_name_of_a_pipeline_is_text_whatever_it_looks_like() {
        assert_eq!([label("flowers"), label("my-flowers--b2")], ["flowers", "my-flowers--b2"]);
        for number in ["2024", "1e5", "0x10", "2024-01-02", "true", "null", "y"] {
            assert_eq!(label(number), format!("\"{number}\""));
        }
    }

    #[test]
    fn data_is_named_as_the_manifest_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("data")).unwrap();
        std::fs::create_dir_all(at("sub/dir")).unwrap();
        std::fs::write(at("data/x.csv"), "a\n").unwrap();
        let beside = url(&at("data/x.csv"), &at("data")).unwrap();
        let below = url(&at("data/x.csv"), dir.path()).unwrap();
        assert_eq!([beside.as_str(), below.as_str()], ["x.csv", "data/x.csv"]);
        // As it was given: a whole path stays one.
        let whole = at("data/x.csv").canonicalize().unwrap();
        assert_eq!(url(&whole, &at("sub/dir")).unwrap(), whole.display().to_string());
        let here = std::env::current_dir().unwrap();
        let found = url(Path::new("Cargo.toml"), &here.join("src/cli")).unwrap();
        assert_eq!(found, "../../Cargo.toml");
    }

    #[test]
    fn a_pipeline_is_called_as_its_file() {
        assert_eq!(name(Path::new("data/My Flowers (2).csv")), "my-flowers--2");
        assert_eq!(name(Path::new("___.csv")), "first");
    }
}
