//! Kinds of columns that do not exist yet: where a stage cannot do with them what it is told.
//! Never guesses: where a kind is not known for sure, nothing is said of it.

use super::columns::Columns;
use super::{Build, fault, waits};
use crate::domain::job::{
    Cell, Cnn, ColumnKind, Filling, Formula, Mismatch, Model, ScaleTo, Spec, Step, Summary, Task,
    Train,
};
use crate::domain::manifest::{FAULTS_MAX, Stage};
use crate::domain::terms::{Condition, OnFailure};
use std::collections::{BTreeMap, BTreeSet};

/// Columns that one message names.
const SHOWN_MAX: usize = 3;

/// What does not fit: a sentence without a full stop, and what to do about it.
pub(super) type Misfit = (String, String);

const fn is_number(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Real | ColumnKind::Integer)
}

/// What a step cannot do with a table of these columns.
pub(super) fn misfit(step: &Step, columns: &Columns) -> Option<Misfit> {
    match step {
        Step::Fill(fill) => fill.columns.iter().find_map(|name| match &fill.with {
            Filling::Mean => no_number("fill: { with: mean }", name, columns),
            Filling::Median => no_number("fill: { with: median }", name, columns),
            Filling::Value(value) => no_value(value, name, columns),
            Filling::Mode | Filling::Previous => None,
        }),
        Step::Scale(scale) => {
            let key = match scale.to {
                ScaleTo::Standard => "standardise",
                ScaleTo::MinMax => "minMax",
            };
            scale.columns.iter().find_map(|name| no_number(key, name, columns))
        }
        Step::Hash(hash) => no_text("hash", &hash.column, columns),
        Step::Tokenize(tokenize) => no_text("tokenize", &tokenize.column, columns),
        Step::Filter(formula) => match of_formula("filter", formula, columns) {
            Ok(Some(kind)) if kind != ColumnKind::Truth => Some((
                format!("`filter` takes a condition, but `{formula}` is {}", kind.called()),
                "compare: such as `age >= 18`".to_owned(),
            )),
            Ok(_) => None,
            Err(misfit) => Some(misfit),
        },
        Step::Aggregate(aggregate) => aggregate.measures.iter().find_map(|(_, measure)| {
            let key = match measure.of {
                Summary::Sum => "sum",
                Summary::Mean => "mean",
                _ => return None,
            };
            no_number(key, measure.column.as_deref()?, columns)
        }),
        // Its formulas go one after the other: see `columns`.
        Step::Derive(_)
        | Step::Select(_)
        | Step::Drop(_)
        | Step::Rename(_)
        | Step::Cast(_)
        | Step::OneHot(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Sample(_)
        | Step::Join(_) => None,
    }
}

fn no_number(key: &str, name: &str, columns: &Columns) -> Option<Misfit> {
    let kind = columns.kind(name).filter(|kind| !is_number(*kind))?;
    let hint = match (key, kind) {
        (_, ColumnKind::Truth) => {
            format!("`cast: {{ columns: {{ {name}: integer }} }}` before it, or leave it out")
        }
        (key, _) if key.starts_with("fill") => format!(
            "`fill: {{ columns: [{name}], with: mode }}` takes the commonest text; if it should be \
             numbers, `cast` it before"
        ),
        _ => "leave it out; if it should be numbers, `cast` it before".to_owned(),
    };
    Some((format!("`{key}` takes numbers, but `{name}` is {}", kind.called()), hint))
}

fn no_text(key: &str, name: &str, columns: &Columns) -> Option<Misfit> {
    let kind = columns.kind(name).filter(|kind| *kind != ColumnKind::Text)?;
    let hint = format!("`cast: {{ columns: {{ {name}: string }} }}` before it, if that is meant");
    Some((format!("`{key}` takes text, but `{name}` is {}", kind.called()), hint))
}

fn no_value(value: &Cell, name: &str, columns: &Columns) -> Option<Misfit> {
    let kind = columns.kind(name)?;
    let (is, fits) = match value {
        Cell::Real(_) => (ColumnKind::Real, is_number(kind)),
        Cell::Integer(_) => (ColumnKind::Integer, is_number(kind)),
        Cell::Text(_) => (ColumnKind::Text, kind == ColumnKind::Text),
        Cell::Truth(_) => (ColumnKind::Truth, kind == ColumnKind::Truth),
    };
    let message = || format!("`fill` has {} for `{name}`, which is {}", is.called(), kind.called());
    let hint = || format!("give it {}, or `cast` the column before", kind.called());
    (!fits).then(|| (message(), hint()))
}

/// What the cells of a formula are, where that is known; or why there cannot be any.
pub(super) fn of_formula(
    key: &str,
    formula: &Formula,
    columns: &Columns,
) -> Result<Option<ColumnKind>, Misfit> {
    match formula.kind_by(&|name| Some(columns.kind(name))) {
        Ok(kind) => Ok(kind),
        Err(Mismatch::Column(_)) => Ok(None),
        Err(Mismatch::Kind(message)) => {
            let hint =
                format!("the formula is `{formula}`: `cast` its columns before, or use others");
            Err((format!("`{key}`: {message}"), hint))
        }
    }
}

/// What a training cannot do with a table of these columns, and the setting that it is about.
fn of_training(train: &Train, columns: &Columns) -> Vec<(&'static str, Misfit)> {
    let reads_tokens = train.task != Task::Language && train.model.reads_tokens();
    let mut found: Vec<_> = train
        .targets
        .iter()
        .find_map(|name| no_target(train.task, name, columns))
        .into_iter()
        .collect();
    if train.task == Task::Language {
        return found;
    }
    let has = |name: &String| columns.kind(name).is_some();
    if columns.are_certain() && !train.targets.iter().all(has) {
        // That one of them is misspelt is told already; it is no feature, either.
        return found;
    }
    let features = features(train, columns);
    if reads_tokens && !columns.may_have_tokens() {
        found.push(("model", no_tokens(&features, columns)));
    } else if let Some(misfit) = texts(train, &features, columns) {
        found.push(("features", misfit));
    } else if let Model::Cnn(cnn) = &train.model {
        found.extend(no_image(cnn, train, columns).map(|misfit| ("model", misfit)));
    }
    found
}

fn no_target(task: Task, name: &str, columns: &Columns) -> Option<(&'static str, Misfit)> {
    let kind = columns.kind(name)?;
    let is = kind.called();
    Some(match (task, kind) {
        (Task::Regression, ColumnKind::Text | ColumnKind::Truth) => {
            let hint =
                "use `task: classification`; if it should be numbers, `cast` it in a transform";
            (
                "target",
                (format!("a regression predicts numbers, but `{name}` is {is}"), hint.into()),
            )
        }
        (Task::Classification, ColumnKind::Real) => {
            let message = format!("`{name}` holds decimals, which would be one class each");
            let hint = format!(
                "write `task: regression`; if its numbers are classes, `cast: {{ columns: {{ \
                 {name}: integer }} }}` before"
            );
            ("target", (message, hint))
        }
        (Task::MultiLabel, ColumnKind::Text) => {
            let hint = "`oneHot` in a transform makes a column of 0 and 1 of each value";
            ("targets", (format!("a label is 0 or 1, but `{name}` is {is}"), hint.into()))
        }
        (Task::Language, ColumnKind::Real | ColumnKind::Text | ColumnKind::Truth) => {
            let hint = "tokenise a column of text first: `uses: tokenize`";
            ("task", (format!("a language model learns tokens, but `{name}` is {is}"), hint.into()))
        }
        _ => return None,
    })
}

/// The features of a training that are known.
fn features<'a>(train: &'a Train, columns: &'a Columns) -> Vec<&'a str> {
    match &train.features {
        Some(features) => features.iter().map(String::as_str).collect(),
        None => {
            let targets: BTreeSet<&str> = train.targets.iter().map(String::as_str).collect();
            columns.names().filter(|name| !targets.contains(name)).collect()
        }
    }
}

fn of_text<'a>(features: &[&'a str], columns: &Columns) -> Vec<&'a str> {
    let is_text = |name: &&str| columns.kind(name) == Some(ColumnKind::Text);
    features.iter().copied().filter(is_text).collect()
}

fn no_tokens(features: &[&str], columns: &Columns) -> Misfit {
    let texts = of_text(features, columns);
    let column = if let [only] = texts.as_slice() { only } else { "text" };
    let message = "a model of texts reads tokens, but the rows have none";
    let hint = format!(
        "tokenise them first: `uses: tokenize`, with `{{ column: {column}, into: {{ length: 64 }} \
         }}`"
    );
    (message.to_owned(), hint)
}

/// Features that are text, which no model reads as it is.
fn texts(train: &Train, features: &[&str], columns: &Columns) -> Option<Misfit> {
    let texts = of_text(features, columns);
    let (first, rest) = texts.split_first()?;
    let mut names = format!("`{first}`");
    for name in rest.iter().take(SHOWN_MAX - 1) {
        names.push_str(&format!(", `{name}`"));
    }
    if let Some(more @ 1..) = texts.len().checked_sub(SHOWN_MAX) {
        names.push_str(&format!(" and {more} more"));
    }
    let are = if rest.is_empty() { "is" } else { "are" };
    let list = if train.features.is_none() { ", or list the `features`" } else { "" };
    let hint = format!(
        "encode it in a transform before: `oneHot: {{ columns: [{first}] }}` or `hash`; or `drop` \
         it{list}"
    );
    Some((format!("features are numbers or true and false, but {names} {are} text"), hint))
}

/// An image that has not as many values as there are features.
fn no_image(cnn: &Cnn, train: &Train, columns: &Columns) -> Option<Misfit> {
    // A written list of features is compared where the manifest is read.
    if train.features.is_some() || !columns.are_certain() {
        return None;
    }
    let names = features(train, columns);
    let image = &cnn.image;
    if names.len() as u64 == image.len() {
        return None;
    }
    let (values, count) = (image.len(), names.len());
    let message = format!("the image has {values} values, but the rows have {count} features");
    let hint = match extent(&names) {
        Some([height, width, channels]) => {
            format!("write `image: [{height}, {width}, {channels}]`")
        }
        None => {
            "`image` is its height, width and channels: their product is the number of features"
                .to_owned()
        }
    };
    Some((message, hint))
}

/// Height, width and channels of pixels that are called as those of a source of images.
fn extent(names: &[&str]) -> Option<[usize; 3]> {
    let mut sides = [0; 3];
    for name in names {
        let (y, rest) = name.strip_prefix('y')?.split_once('x')?;
        let (x, channel) = rest.split_once('c').unwrap_or((rest, "0"));
        for (side, at) in sides.iter_mut().zip([y, x, channel]) {
            *side = at.parse::<usize>().ok()?.checked_add(1)?.max(*side);
        }
    }
    let [height, width, channels] = sides;
    let count = height.checked_mul(width)?.checked_mul(channels)?;
    (count == names.len()).then_some(sides)
}

impl Build<'_> {
    /// Says what an instance of a stage cannot do with its columns, each thing once.
    pub(super) fn check_kinds(&mut self, stage: &Stage, spec: &Spec, columns: Option<&Columns>) {
        let Some(columns) = columns.filter(|_| !self.unsure.contains(stage.name.as_str())) else {
            return;
        };
        let found = match spec {
            Spec::Train(train) => {
                // Wide rows in a large matrix: what is said by then is enough.
                let Some(left) = self.looks.checked_sub(columns.size()) else { return };
                self.looks = left;
                of_training(train, columns)
            }
            Spec::Embed(embed) => no_text("embed", &embed.column, columns)
                .map(|x| ("column", x))
                .into_iter()
                .collect(),
            Spec::Perplexity(spec) => no_text("perplexity", &spec.column, columns)
                .map(|x| ("column", x))
                .into_iter()
                .collect(),
            _ => return,
        };
        for (key, (message, hint)) in found {
            let written = stage.settings.get(key);
            self.misfit(fault(*written.unwrap_or(&stage.place), message, Some(hint)));
        }
    }

    /// Says what a step of a transform cannot do with its columns.
    pub(super) fn check_steps(&mut self, stage: &Stage, misfits: BTreeMap<usize, Misfit>) {
        if self.unsure.contains(stage.name.as_str()) {
            return;
        }
        for (step, (message, hint)) in misfits {
            let place = *stage.steps.get(step).unwrap_or(&stage.place);
            self.misfit(fault(place, message, Some(hint)));
        }
    }

    /// Whether a run may do without a stage: what it cannot do is no fault of the pipeline.
    pub(super) fn may_be_left_out(&self, stage: &Stage) -> bool {
        let is_certain = matches!(stage.terms.when, None | Some(Condition::Constant(true)));
        let waits = || waits(stage).any(|before| self.unsure.contains(before));
        !is_certain || stage.terms.on_failure == OnFailure::Continue || waits()
    }

    fn misfit(&mut self, misfit: super::Diagnostic) {
        if self.misfits.len() < FAULTS_MAX {
            self.misfits.insert(misfit);
        }
    }
}

#[cfg(test)]
mod tests;
