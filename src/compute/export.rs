//! Exports: a model as it leaves the network, and its card: a text for whoever meets it elsewhere.
//! Never changes a bit of the model, and never says of it what nobody measured.
//!
//! The card is Markdown in one fixed form (the model cards of Mitchell et al. 2019, arXiv
//! 1810.03993, as far as a pipeline knows its sections). Names and texts of the data stand in it as
//! code, so that none of them can write a heading or a link of its own.

use super::predictor::Predictor;
use super::recipe::{Applied, Recipe, Tokenized};
use super::tokenizer::Tokenizer;
use super::{Fault, quote};
use crate::base::canon::Digest;
use crate::domain::job::{
    Activation, Cell, Column, Convolution, Export, Image, ImageNorm, Layout, Model, ModelFormat,
    OPS_VERSION, Pooling, Reader, ScaleTo, Task,
};
use serde_json::Value;
use std::fmt::Write;

/// Names of one list; a card is read by people.
const NAMES_MAX: usize = 50;
/// Characters of one name.
const NAME_CHARS_MAX: usize = 80;

/// The model file and its card. `report` is that of the evaluation which chose the model.
pub fn run(
    spec: &Export,
    bytes: &[u8],
    model: &Predictor,
    report: Option<&[u8]>,
) -> Result<(Vec<u8>, String), Fault> {
    let ModelFormat::Safetensors = spec.format;
    let digest = Digest::of(bytes);
    let report = report.map(|report| of_model(report, digest)).transpose()?;
    Ok((bytes.to_vec(), card(spec, digest, model, report.as_ref())?))
}

/// A report, if it is about this model.
fn of_model(bytes: &[u8], model: Digest) -> Result<Value, Fault> {
    let not = |what: &str| {
        Fault::new(
            format!("the report {what}"),
            "connect `model` and `report` to the outputs `best` and `report` of one evaluation",
        )
    };
    let report: Value =
        serde_json::from_slice(bytes).map_err(|_| not("is not that of an evaluation"))?;
    let text = |key: &str| report.get(key).and_then(Value::as_str);
    if text("kind") != Some("Evaluation") {
        return Err(not("is not that of an evaluation"));
    }
    if text("model") != Some(model.to_string().as_str()) {
        return Err(not("is about another model"));
    }
    Ok(report)
}

fn card(
    spec: &Export,
    digest: Digest,
    model: &Predictor,
    report: Option<&Value>,
) -> Result<String, Fault> {
    let targets = names(model.targets());
    let mut text = format!("# A model for {} of {targets}\n", model.task().word());
    if let Some(description) = &spec.description {
        section(&mut text, "Intended use", &[code_free(description)]);
    }
    section(&mut text, "What it predicts", &says(model));
    section(&mut text, "Rows that it takes", &takes(model)?);
    section(&mut text, "What is done to them", &steps(model.recipe()));
    section(&mut text, "The network", &[network(model)]);
    if let Some(report) = report {
        section(&mut text, "How good it is", &measures(report, spec.held_out));
    }
    section(&mut text, "How to use it", &usage(model));
    let provenance = vec![
        format!("- model: BLAKE3 `{digest}`"),
        format!(
            "- arithmetic: `{OPS_VERSION}`; training and evaluation give these very bits again"
        ),
        "- run, worker and inputs: `card.json` beside this file, where it was published".to_owned(),
    ];
    section(&mut text, "Where it comes from", &provenance);
    Ok(text)
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    // Writing to a string does not fail.
    let _ = write!(text, "\n## {title}\n\n{}\n", lines.join("\n"));
}

fn says(model: &Predictor) -> Vec<String> {
    let vocabulary = names(model.vocabulary());
    match model.task() {
        Task::Classification => vec![
            format!("One of {} classes: {vocabulary}.", model.vocabulary().len()),
            "Of equally likely classes, the first one wins.".to_owned(),
        ],
        Task::Regression => vec![format!("A number: {}.", names(model.targets()))],
        Task::Language => vec![format!("Which of {} tokens follows.", model.tokens())],
        Task::MultiLabel => vec![
            format!("Which of {} labels a row has: {vocabulary}.", model.vocabulary().len()),
            "A label is predicted where it is more likely than not.".to_owned(),
        ],
    }
}

fn takes(model: &Predictor) -> Result<Vec<String>, Fault> {
    let needs = model.recipe().needs(model.features())?;
    let mut lines = vec!["| column | kind |".to_owned(), "|---|---|".to_owned()];
    let row = |column: &Column| format!("| {} | {} |", code(&column.name), column.kind.word());
    lines.extend(needs.iter().take(NAMES_MAX).map(row));
    if let Some(more) = needs.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        lines.push(format!("| … and {more} more | |"));
    }
    Ok(lines)
}

fn steps(recipe: &Recipe) -> Vec<String> {
    if recipe.steps().is_empty() {
        return vec!["Nothing: features are the columns as they are.".to_owned()];
    }
    let mut lines = vec!["These steps travel with the model:".to_owned(), String::new()];
    let numbered = (1..).zip(recipe.steps());
    lines.extend(numbered.map(|(number, applied)| format!("{number}. {}", step(applied))));
    lines
}

fn step(applied: &Applied) -> String {
    match applied {
        Applied::Select(columns) => format!("select {}", names(columns)),
        Applied::Drop(columns) => format!("drop {}", names(columns)),
        Applied::Rename(pairs) => {
            list("rename ", pairs, |(old, new)| format!("{} to {}", code(old), code(new)))
        }
        Applied::Cast(cast) => list("cast ", &cast.columns, |(name, kind)| {
            format!("{} to {}", code(name), kind.word())
        }),
        Applied::Fill(values) => list("fill ", values, |(name, value)| {
            format!("{} with {}", code(name), code(&cell(value)))
        }),
        Applied::Derive(columns) => list("derive ", columns, |(name, formula)| {
            format!("{} as {}", code(name), code(&formula.to_string()))
        }),
        Applied::OneHot(words) => {
            format!("one-hot {}: {}", code(&words.column), names(&words.values))
        }
        Applied::Scale(columns) => list("scale ", columns, |each| {
            let to = match each.to {
                ScaleTo::Standard => "mean 0 and deviation 1",
                ScaleTo::MinMax => "0 to 1",
            };
            let (shift, divisor) = (each.shift, each.divisor);
            format!("{} to {to}: (x - {shift}) / {divisor}", code(&each.column))
        }),
        Applied::Hash(hash) => {
            format!("count the words of {} in {} buckets", code(&hash.column), hash.buckets)
        }
        Applied::Embed(embedding) => {
            let pooling = match embedding.pooling {
                Pooling::Mean => "the mean of all tokens",
                Pooling::Cls => "the first token",
            };
            format!(
                "embed {} by encoder {}: {} numbers, {pooling}, at most {} tokens{}",
                code(&embedding.column),
                embedding.encoder.short(),
                embedding.width,
                embedding.length,
                if embedding.normalize { ", of length 1" } else { "" },
            )
        }
        Applied::Tokenize(tokenized) => self::tokenized(tokenized),
    }
}

fn tokenized(tokenized: &Tokenized) -> String {
    let Tokenized { column, tokenizer, into } = tokenized;
    let kind = match tokenizer {
        Tokenizer::Chars(_) => "characters",
        Tokenizer::Bytes => "bytes",
        Tokenizer::Pairs(_) => "bytes and pairs of them",
    };
    let layout = match into {
        Layout::Stream { .. } => "one stream of all rows".to_owned(),
        Layout::Rows { length } => {
            format!("{length} in a row, counted from 1, with 0 behind shorter texts")
        }
    };
    format!("{} as tokens of {} {kind}: {layout}", code(column), tokenizer.size())
}

fn cell(value: &Cell) -> String {
    match value {
        Cell::Real(x) => x.to_string(),
        Cell::Integer(x) => x.to_string(),
        Cell::Text(x) => x.clone(),
        Cell::Truth(x) => x.to_string(),
    }
}

fn network(model: &Predictor) -> String {
    let (features, parameters) = (model.features().len(), model.parameters());
    let shape = match model.model() {
        Model::Mlp { hidden, activation } if !hidden.is_empty() => {
            format!("hidden layers of {} with {}", widths(hidden), bend(*activation))
        }
        Model::Mlp { .. } | Model::Linear => "linear".to_owned(),
        Model::Text { width, hidden, .. } if hidden.is_empty() => {
            format!("the mean of vectors of {width}; linear")
        }
        Model::Text { width, hidden, activation } => {
            let (widths, bend) = (widths(hidden), bend(*activation));
            format!("the mean of vectors of {width}; hidden layers of {widths} with {bend}")
        }
        Model::Reader(reader) => {
            let Reader { width, blocks, heads, hidden, activation, .. } = reader;
            let head = match hidden.as_slice() {
                [] => "linear".to_owned(),
                hidden => format!("hidden layers of {} with {}", widths(hidden), bend(*activation)),
            };
            format!(
                "{blocks} blocks with {heads} heads, {width} wide, that look at all of a text; the \
                 mean of its tokens; {head}"
            )
        }
        Model::Gpt(gpt) => format!(
            "a decoder of {} blocks with {} heads and {} norm, {} wide, that sees {} tokens",
            gpt.blocks,
            gpt.heads,
            gpt.norm.word(),
            gpt.width,
            gpt.context
        ),
        Model::Cnn(cnn) => {
            let Image { height, width, channels } = cnn.image;
            let layers: Vec<_> = cnn.convolutions.iter().map(convolution).collect();
            let head = match cnn.hidden.as_slice() {
                [] => String::new(),
                hidden => format!("; hidden layers of {}", widths(hidden)),
            };
            let layers = layers.join("; ");
            let bend = bend(cnn.activation);
            format!("images of {height} × {width} × {channels} with {bend}: {layers}{head}")
        }
    };
    format!("{shape}; {features} features, {parameters} parameters of 32 bits.")
}

fn widths(hidden: &[u32]) -> String {
    hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

const fn bend(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "ReLU",
        Activation::Tanh => "tanh",
        Activation::Gelu => "GELU",
    }
}

fn convolution(by: &Convolution) -> String {
    let Convolution { filters, kernel, padding, norm, pool } = by;
    let norm = match norm {
        Some(ImageNorm::Groups(groups)) => format!(", norm of {groups} groups"),
        Some(ImageNorm::Batch) => ", norm of the batch".to_owned(),
        None => String::new(),
    };
    let pool = if *pool > 1 { format!(", largest of {pool} × {pool}") } else { String::new() };
    format!("{filters} filters of {kernel} × {kernel} ({}){norm}{pool}", padding.word())
}

/// The figures of the best candidate, beside those of who knows nothing but the targets of these
/// rows. That they were held out is not said unless it is known.
fn measures(report: &Value, held_out: bool) -> Vec<String> {
    let best = report.get("best");
    let candidates = report.get("candidates").and_then(Value::as_array);
    let count = candidates.map_or(0, Vec::len);
    let own = candidates.into_iter().flatten().find(|candidate| candidate.get("name") == best);
    let baseline = report.get("baseline").and_then(Value::as_object);
    let rows = report.get("rows").and_then(Value::as_u64).unwrap_or_default();
    let others = if held_out { " that it was not trained on" } else { "" };
    let metric = report.get("metric").and_then(Value::as_str).unwrap_or_default();
    let chosen = match count {
        0 | 1 => String::new(),
        _ => format!(" Of {count} models it was chosen on them, by {}.", code(metric)),
    };
    let mut lines = vec![
        format!("Measured on {rows} rows{others}.{chosen}"),
        String::new(),
        "| measure | model | baseline |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    let measures = own.and_then(Value::as_object).into_iter().flatten();
    for (name, value) in measures.filter_map(|(name, value)| Some((name, value.as_f64()?))) {
        let known = baseline.and_then(|baseline| baseline.get(name)?.as_f64());
        let known = known.map(|value| format!("{value:.4}")).unwrap_or_default();
        lines.push(format!("| {name} | {value:.4} | {known} |"));
    }
    lines.push(String::new());
    lines.push("The baseline says the same of every row, whatever its features.".to_owned());
    lines
}

fn usage(model: &Predictor) -> [String; 2] {
    if model.task() == Task::Language {
        let how = "With ohc: connect it to a stage `uses: generate`, which lets it write.";
        return [how.to_owned(), String::new()];
    }
    let outputs = match model.model() {
        Model::Cnn(_) => include_str!("export/images.md"),
        Model::Mlp { .. } | Model::Linear => include_str!("export/layers.md"),
        Model::Text { .. } => include_str!("export/texts.md"),
        Model::Reader(_) => include_str!("export/readers.md"),
        Model::Gpt(_) => "",
    };
    let meaning = match model.task() {
        Task::Classification => {
            "The class of row i is `about[\"classes\"][outputs(x)[i].argmax()]`; softmax makes \
             probabilities of the outputs."
        }
        Task::Regression => {
            "The predicted number of row i is `outputs(x)[i, 0] * tensors[\"target.deviation\"][0] \
             + tensors[\"target.mean\"][0]`."
        }
        Task::Language => "",
        Task::MultiLabel => {
            "Row i has the label `about[\"targets\"][j]` where `outputs(x)[i, j] > 0`; its \
             probability is `1 / (1 + np.exp(-outputs(x)[i, j]))`."
        }
    };
    [[include_str!("export/usage.md"), outputs, "```\n"].concat(), meaning.to_owned()]
}

fn names(names: &[String]) -> String {
    list("", names, |name| code(name))
}

fn list<T>(verb: &str, items: &[T], text: impl Fn(&T) -> String) -> String {
    let shown: Vec<String> = items.iter().take(NAMES_MAX).map(text).collect();
    let more = match items.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(", … and {more} more"),
    };
    format!("{verb}{}{more}", shown.join(", "))
}

/// A name or text of the data as code: on one line, with nothing in it that ends the code.
fn code(text: &str) -> String {
    let plain = |c: char| match c {
        '`' => '\'',
        '|' => '¦',
        c if c.is_control() => ' ',
        c => c,
    };
    let shown: String = text.chars().take(NAME_CHARS_MAX).map(plain).collect();
    let more = if text.chars().count() > NAME_CHARS_MAX { "…" } else { "" };
    if shown.trim().is_empty() { quote(text) } else { format!("`{shown}{more}`") }
}

/// What the author wrote, as it is, but for lines that would be headings of the card.
fn code_free(description: &str) -> String {
    let line = |line: &str| match line.trim_start().starts_with('#') {
        true => format!("\\{}", line.trim_start()),
        false => line.to_owned(),
    };
    description.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
