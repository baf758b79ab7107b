//! Reports: an evaluation as JSON in one fixed order and form, so that the same evaluation has the
//! same bytes. Never measures, and never writes a number that JSON does not have.

use super::classes::Classes;
use super::counts::Counts;
use super::labels::Labels;
use super::{Details, Measured};
use crate::base::canon::Digest;
use crate::compute::examples::Truth;
use crate::domain::job::{Metric, Select, Task};
use std::fmt::Write;

/// What a report is about.
pub(super) struct Subject<'a> {
    pub(super) task: Task,
    pub(super) select: Select,
    /// What the held-out rows really are.
    pub(super) truth: &'a Truth,
    /// Every model, with what was measured of it.
    pub(super) candidates: &'a [(&'a str, Vec<(Metric, f64)>)],
    /// The best one.
    pub(super) best: (&'a str, &'a Measured),
    /// The bytes of its model.
    pub(super) model: Digest,
}

/// The report on all candidates, with the details of the best one.
pub(super) fn write(subject: &Subject<'_>) -> String {
    let Subject { task, select, truth, candidates, best: (best, measured), model } = subject;
    let candidates = candidates.iter().map(|(name, measures)| {
        let name = ("name", json(name));
        let numbers = measures.iter().map(|(metric, value)| (metric.word(), number(*value)));
        object(&[name].into_iter().chain(numbers).collect::<Vec<_>>())
    });
    let mut fields = vec![
        ("version", "1".into()),
        ("kind", json("Evaluation")),
        ("task", json(task.word())),
        ("metric", json(select.metric.word())),
        ("goal", json(select.goal.word())),
        ("rows", truth.rows().to_string()),
        ("best", json(best)),
        ("model", json(&model.to_string())),
        ("candidates", array(candidates)),
    ];
    let names = truth.vocabulary();
    match &measured.details {
        Details::Classes(classes) => fields.extend(of_classes(classes, names, truth.rows())),
        Details::Labels(labels) => fields.extend(of_labels(labels, names)),
        Details::Tokens(baseline) => {
            let numbers =
                [("accuracy", number(baseline.accuracy)), ("loss", number(baseline.loss))];
            fields.push(("baseline", object(&numbers)));
        }
        Details::Real { mean, measures } => {
            let value = [("value", number(*mean))].into_iter();
            let numbers = measures.iter().map(|(metric, value)| (metric.word(), number(*value)));
            let numbers: Vec<_> = value.chain(numbers).collect();
            fields.push(("baseline", object(&numbers)));
        }
    }
    object(&fields) + "\n"
}

fn of_classes(details: &Classes, names: &[String], rows: usize) -> Vec<(&'static str, String)> {
    let name = |class: u32| json(names.get(class as usize).map_or("", String::as_str));
    let majority = details.counts.get(details.majority as usize).map_or(0, |counts| counts.actual);
    let baseline = object(&[
        ("class", name(details.majority)),
        ("accuracy", number(super::counts::share(majority, rows as u64))),
        ("loss", number(details.prior_loss)),
    ]);
    let confusion = details.confusion.iter().map(|((actual, predicted), rows)| {
        object(&[
            ("actual", name(*actual)),
            ("predicted", name(*predicted)),
            ("rows", rows.to_string()),
        ])
    });
    let bins = details.bins.iter().map(|bin| {
        object(&[
            ("above", number(bin.above)),
            ("to", number(bin.to)),
            ("rows", bin.rows.to_string()),
            ("confidence", number(bin.confidence())),
            ("accuracy", number(bin.accuracy())),
        ])
    });
    vec![
        ("baseline", baseline),
        ("classes", each("class", names, &details.counts, &details.areas)),
        ("confusion", array(confusion)),
        ("calibration", array(bins)),
    ]
}

fn of_labels(details: &Labels, names: &[String]) -> Vec<(&'static str, String)> {
    let baseline = object(&[("hammingLoss", number(details.majority_loss))]);
    let labels = each("label", names, &details.counts, &details.areas);
    vec![("baseline", baseline), ("labels", labels)]
}

/// What was measured of each class or label.
fn each(noun: &str, names: &[String], counts: &[Counts], areas: &[Option<f64>]) -> String {
    let one = |((name, counts), area): ((&String, &Counts), &Option<f64>)| {
        object(&[
            (noun, json(name)),
            ("rows", counts.actual.to_string()),
            ("predicted", counts.predicted.to_string()),
            ("precision", number(counts.precision())),
            ("recall", number(counts.recall())),
            ("f1", number(counts.f1())),
            ("rocAuc", area.map_or("null".into(), number)),
        ])
    };
    array(names.iter().zip(counts).zip(areas).map(one))
}

/// A number with the fewest digits that read back to the same bits.
pub(in crate::compute) fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "null".into() }
}

/// A JSON object: fields in the order given, values already JSON.
pub(in crate::compute) fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}:{value}", json(name))).collect();
    format!("{{{}}}", fields.join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A JSON string (RFC 8259): what must be escaped is, and nothing else.
pub(in crate::compute) fn json(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes any text");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_must_escape_is_escaped_and_what_it_lacks_is_null() {
        assert_eq!(json("a\"b\\c\n\r\t\u{1}é"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001é\"");
        assert_eq!(
            (number(0.1), number(-2.0), number(f64::NAN)),
            ("0.1".into(), "-2".into(), "null".into())
        );
    }
}
