//! Evaluation: models measured on held-out rows; the best one and a report of all.
//! Never learns anything, and never compares models that were made for different things.
//!
//! Measures are sums over rows in their order, in f64, with `exact`'s logarithm: the same bytes on
//! every machine. Definitions are those of scikit-learn; where it would warn that something is not
//! defined, a share of nothing is 0 and an area under no curve is left out.

mod calibration;
mod classes;
mod counts;
mod labels;
mod language;
mod ranking;
mod real;
mod report;
mod said;

pub(in crate::compute) use language::surprise;
pub(in crate::compute) use report::{json, number, object};
pub use said::Said;
pub(in crate::compute) use said::{is_likely, largest};

use super::embed;
use super::encoder::Encoder;
use super::examples::Truth;
use super::predictor::Predictor;
use super::table::Table;
use super::{Done, Fault, Named, quote};
use crate::base::canon::Digest;
use crate::base::limits;
use crate::domain::job::{Evaluate, Goal, Metric, Task};
use report::Subject;

/// Probabilities of one model at a time: rows × classes.
const PROBABILITIES_MAX: usize = limits::ARTIFACT_BYTES_MAX / size_of::<f64>();

/// A model that might be the best.
pub struct Candidate<'a> {
    /// What the report calls it.
    pub name: String,
    /// The bytes that become `best` if it is chosen.
    pub bytes: &'a [u8],
    /// What it computes.
    pub model: Predictor,
}

/// What was measured of one model.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    /// In the order of the table of metrics; those that are not defined are left out.
    measures: Vec<(Metric, f64)>,
    details: Details,
}

#[derive(Debug, Clone, PartialEq)]
enum Details {
    Classes(classes::Classes),
    Labels(labels::Labels),
    Tokens(language::Baseline),
    /// What the mean of the held-out rows would do.
    Real {
        mean: f64,
        measures: Vec<(Metric, f64)>,
    },
}

/// What is selected by unless something else is asked for.
const fn usual(task: Task) -> Metric {
    match task {
        Task::Classification => Metric::Accuracy,
        Task::Regression => Metric::Rmse,
        Task::MultiLabel => Metric::F1,
        Task::Language => Metric::Loss,
    }
}

/// Measures every candidate on `data` and picks the best; of equals, the first.
///
/// The rows may be raw: each model brings them to where it was trained.
///
/// Texts among them are embedded, where their encoder is given: once for all models that were
/// trained on the same columns.
pub fn run(
    spec: &Evaluate,
    candidates: &[Candidate<'_>],
    data: &Table,
    encoder: Option<&Encoder>,
) -> Result<Done, Fault> {
    let first = candidates.first().ok_or_else(|| {
        Fault::new(
            "there is no model to evaluate",
            "connect `models` to the model of one or more train stages",
        )
    })?;
    candidates.iter().try_for_each(|other| is_comparable(first, other))?;
    let task = first.model.task();
    let select = spec.select.unwrap_or_else(|| usual(task).best());
    let mut all = Vec::with_capacity(candidates.len());
    let mut best: Option<(&Candidate<'_>, Measured, Truth, f64)> = None;
    let mut rows = encoder.map(|encoder| embed::Raw::new(data, encoder));
    for candidate in candidates {
        let data = match &mut rows {
            None => data,
            Some(rows) => rows.bring(candidate.model.recipe(), candidate.model.wanted())?,
        };
        let (truth, measured) = examine(candidate, data)?;
        let value = selected(select.metric, candidate, &measured)?;
        all.push((candidate.name.as_str(), measured.measures.clone()));
        let is_better = best.as_ref().is_none_or(|(.., champion)| match select.goal {
            Goal::Max => value > *champion,
            Goal::Min => value < *champion,
        });
        if is_better {
            best = Some((candidate, measured, truth, value));
        }
    }
    let (best, measured, truth, _) = best.ok_or_else(|| Fault::new("no model is the best", ""))?;
    let subject = Subject {
        task,
        select,
        truth: &truth,
        candidates: &all,
        best: (&best.name, &measured),
        model: Digest::of(best.bytes),
    };
    let report = report::write(&subject);
    let metrics = measured.measures.iter().map(|(metric, value)| (metric.word().into(), *value));
    Ok(Done {
        outputs: vec![
            Named { name: "best".into(), bytes: best.bytes.to_vec() },
            Named { name: "report".into(), bytes: report.into_bytes() },
        ],
        metrics: metrics.chain([("rows".into(), data.rows() as f64)]).collect(),
    })
}

/// Models are compared if they say the same kind of thing of the same columns.
fn is_comparable(one: &Candidate<'_>, other: &Candidate<'_>) -> Result<(), Fault> {
    let (a, b) = (&one.model, &other.model);
    if a.task() == b.task() && a.targets() == b.targets() {
        return Ok(());
    }
    let about = |candidate: &Candidate<'_>| {
        let targets: Vec<_> = candidate.model.targets().iter().take(3).map(|x| quote(x)).collect();
        let (name, task) = (quote(&candidate.name), candidate.model.task().word());
        format!("{name} is for {task} of {}", targets.join(", "))
    };
    Err(Fault::new(
        format!("the models were not made for the same thing: {}, {}", about(one), about(other)),
        "evaluate them in stages of their own",
    ))
}

/// What a model says of the rows, and how true it is.
fn examine(candidate: &Candidate<'_>, data: &Table) -> Result<(Truth, Measured), Fault> {
    let model = &candidate.model;
    let width = model.vocabulary().len().max(1);
    if data.rows().saturating_mul(width) > PROBABILITIES_MAX {
        return Err(Fault::new(
            format!("{width} probabilities for each of {} rows are too many", data.rows()),
            "evaluate on a sample of the rows: `transform` has the step `sample`",
        ));
    }
    let examples = model.examples(data)?;
    if let Truth::Tokens { .. } = examples.truth {
        let (measures, baseline) = language::measure(&candidate.name, model, &examples)?;
        let measured = Measured { measures, details: Details::Tokens(baseline) };
        return Ok((examples.truth, measured));
    }
    let raw = model.raw_outputs(&examples.values.all()?, examples.rows())?;
    let said = Said::of(model, &raw).ok_or_else(|| {
        Fault::new(
            format!("model {} does not give a finite number for every row", quote(&candidate.name)),
            "its training went astray: lower the learning rate or scale the features",
        )
    })?;
    let measured = judge(&examples.truth, &said)?;
    Ok((examples.truth, measured))
}

/// Measures what is said of rows, without a model: metrics in the order of their table.
pub fn measure(truth: &Truth, said: &Said) -> Result<Vec<(Metric, f64)>, Fault> {
    judge(truth, said).map(|measured| measured.measures)
}

fn judge(truth: &Truth, said: &Said) -> Result<Measured, Fault> {
    let (mut measures, details) = match (truth, said) {
        (Truth::Classes { classes, of }, Said::Classes { predicted, probabilities })
            if of.len() == predicted.len()
                && probabilities.len() == of.len().saturating_mul(classes.len()) =>
        {
            let (measures, details) = classes::measure(classes.len(), predicted, probabilities, of);
            (measures, Details::Classes(details))
        }
        (Truth::Real(actual), Said::Real(predicted)) if actual.len() == predicted.len() => {
            let mean = real::mean(actual);
            let baseline = real::measures(&vec![mean; actual.len()], actual);
            (real::measures(predicted, actual), Details::Real { mean, measures: baseline })
        }
        (Truth::Labels { labels, of }, Said::Labels { predicted, probabilities })
            if of.len() == predicted.len() && of.len() == probabilities.len() =>
        {
            let actual: Vec<bool> = of.iter().map(|x| *x > 0.5).collect();
            let (measures, details) =
                labels::measure(labels.len(), predicted, probabilities, &actual);
            (measures, Details::Labels(details))
        }
        _ => {
            return Err(Fault::new(
                "what a model says is not of the kind of what is true",
                "this is a fault of ohc, not of the manifest: please report it",
            ));
        }
    };
    measures.retain(|(_, value)| value.is_finite());
    measures.sort_by_key(|(metric, _)| *metric);
    Ok(Measured { measures, details })
}

/// The value that decides.
fn selected(metric: Metric, candidate: &Candidate<'_>, measured: &Measured) -> Result<f64, Fault> {
    let found = measured.measures.iter().find(|(each, _)| *each == metric);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = measured.measures.iter().map(|(each, _)| each.word()).collect();
        Fault::new(
            format!(
                "`{}` is not defined for model {}, which is for {}, on these rows",
                metric.word(),
                quote(&candidate.name),
                candidate.model.task().word()
            ),
            format!("select by one of: {}", known.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests;
