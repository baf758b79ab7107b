//! Comparisons: the measures of all instances of a sweep in one table, best first, and one chart.
//! Never measures anything: numbers are those of the evaluations' reports.
//!
//! An instance is a candidate of a report. Its axes are read from its name (`width=16,seed=1`); a
//! report on one model takes them from the instance that it is a report of.

mod chart;

use super::table::Table;
use super::{Done, Fault, Named, quote};
use crate::base::limits;
use crate::domain::job::{Compare, Goal, Metric};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Instances that are compared at the most.
const INSTANCES_MAX: usize = limits::JOBS_PER_RUN_MAX;
/// Axes and measures of one instance at the most.
const COLUMNS_MAX: usize = 64;

/// One instance of a sweep: where it stands on each axis, and what was measured of it.
#[derive(Debug, Clone, PartialEq)]
struct Instance {
    name: String,
    axes: Vec<(String, String)>,
    measures: BTreeMap<String, f64>,
}

impl Instance {
    fn on(&self, axis: &str) -> Option<&str> {
        self.axes.iter().find(|(name, _)| name == axis).map(|(_, value)| value.as_str())
    }
}

/// All that is compared.
#[derive(Debug)]
struct Field {
    /// Best first; those without the measure last.
    instances: Vec<Instance>,
    /// The axes, in the order of the first name that has them.
    axes: Vec<String>,
    metric: String,
    is_max_best: bool,
}

/// Compares the candidates of all reports: `(instance of the report, its bytes)`.
pub fn run(spec: &Compare, reports: &[(&str, &[u8])]) -> Result<Done, Fault> {
    let field = gather(spec, reports)?;
    let table = Table::from_csv(csv(&field).as_bytes())?;
    let best = field.instances.first().and_then(|best| best.measures.get(&field.metric));
    let metrics = vec![
        ("instances".to_owned(), field.instances.len() as f64),
        ("best".to_owned(), best.copied().unwrap_or_default()),
    ];
    let chart = chart::draw(&field, axis_of(spec, &field)?, series_of(spec, &field)?.as_deref());
    Ok(Done {
        outputs: vec![
            Named { name: "table".to_owned(), bytes: table.to_bytes() },
            Named { name: "chart".to_owned(), bytes: chart.into_bytes() },
        ],
        metrics,
    })
}

fn gather(spec: &Compare, reports: &[(&str, &[u8])]) -> Result<Field, Fault> {
    let (mut instances, mut chosen) = (Vec::new(), None);
    for (label, bytes) in reports {
        let report: Value = serde_json::from_slice(bytes).map_err(|_| refused())?;
        let text = |key: &str| report.get(key).and_then(Value::as_str);
        if text("kind") != Some("Evaluation") {
            return Err(refused());
        }
        if chosen.is_none() {
            chosen = text("metric").map(|metric| (metric.to_owned(), text("goal") == Some("max")));
        }
        let candidates = report.get("candidates").and_then(Value::as_array).ok_or_else(refused)?;
        instances.extend(candidates.iter().map(|candidate| instance(label, candidate)));
        if instances.len() > INSTANCES_MAX {
            return Err(Fault::new(
                format!("more than {INSTANCES_MAX} instances are compared"),
                "compare fewer at a time",
            ));
        }
    }
    let (chosen, is_max_best) = chosen.ok_or_else(refused)?;
    let metric = spec.metric.clone().unwrap_or_else(|| chosen.clone());
    let known: BTreeSet<&String> = instances.iter().flat_map(|i| i.measures.keys()).collect();
    if !known.contains(&metric) {
        let names: Vec<_> = known.iter().take(8).map(|name| name.as_str()).collect();
        return Err(Fault::new(
            format!("no evaluation measured {}", quote(&metric)),
            format!("measured are: {}", names.join(", ")),
        ));
    }
    // Another measure than the one that was selected by has a good end of its own.
    let natural = Metric::of(&metric).map_or(Goal::Max, Metric::goal);
    let is_max_best = if metric == chosen { is_max_best } else { natural == Goal::Max };
    let mut axes: Vec<String> = Vec::new();
    for (axis, _) in instances.iter().flat_map(|instance| &instance.axes) {
        if !axes.contains(axis) && axes.len() < COLUMNS_MAX {
            axes.push(axis.clone());
        }
    }
    let rank = |instance: &Instance| {
        let value = instance.measures.get(&metric).copied();
        value.map_or(f64::INFINITY, |value| if is_max_best { -value } else { value })
    };
    // Stable: of equals, the first stays first.
    instances.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
    Ok(Field { instances, axes, metric, is_max_best })
}

fn instance(label: &str, candidate: &Value) -> Instance {
    let own = candidate.get("name").and_then(Value::as_str).unwrap_or_default();
    // A report on one model calls it `models`: the report's own instance says more.
    let name = if own.contains('=') || !label.contains('=') { own } else { label };
    let pairs = name.split(',').filter_map(|pair| pair.split_once('='));
    let axes = pairs.map(|(axis, value)| (axis.to_owned(), value.to_owned())).collect();
    let numbers = candidate.as_object().into_iter().flatten();
    let numbers = numbers.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
    let measures = numbers.take(COLUMNS_MAX).collect();
    Instance { name: name.to_owned(), axes, measures }
}

fn refused() -> Fault {
    Fault::new("a report is not that of an evaluation", "connect `reports` to `evaluate.report`")
}

/// The axis along the chart: the one that was asked for, else the first whose values are numbers,
/// else the first; none where the instances have no axes.
fn axis_of<'f>(spec: &Compare, field: &'f Field) -> Result<Option<&'f str>, Fault> {
    if let Some(axis) = &spec.x {
        return known_axis(field, axis).map(Some);
    }
    let numeric = field.axes.iter().find(|axis| {
        let values = values(field, axis);
        values.len() > 1 && values.iter().all(|value| value.parse::<f64>().is_ok())
    });
    Ok(numeric.or_else(|| field.axes.first()).map(String::as_str))
}

/// The axis that tells lines apart: the one that was asked for, else the first other axis of two to
/// six values.
fn series_of(spec: &Compare, field: &Field) -> Result<Option<String>, Fault> {
    if let Some(axis) = &spec.series {
        return known_axis(field, axis).map(|axis| Some(axis.to_owned()));
    }
    let along = axis_of(spec, field)?;
    let few = |axis: &&String| (2..=6).contains(&values(field, axis).len());
    let mut others = field.axes.iter().filter(|axis| Some(axis.as_str()) != along);
    Ok(others.find(few).cloned())
}

fn known_axis<'f>(field: &'f Field, axis: &str) -> Result<&'f str, Fault> {
    field.axes.iter().find(|known| *known == axis).map(String::as_str).ok_or_else(|| {
        let names: Vec<_> = field.axes.iter().map(String::as_str).collect();
        Fault::new(
            format!("the instances have no axis {}", quote(axis)),
            format!("their axes are: {}", names.join(", ")),
        )
    })
}

/// The values on an axis: numbers ascending, anything else in the order of its text.
fn values<'f>(field: &'f Field, axis: &str) -> Vec<&'f str> {
    let distinct: BTreeSet<&str> = field.instances.iter().filter_map(|i| i.on(axis)).collect();
    let mut values: Vec<&str> = distinct.into_iter().collect();
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::INFINITY);
    values.sort_by(|a, b| number(a).total_cmp(&number(b)));
    values
}

/// One line per instance, best first: its name, its axes, its measures.
fn csv(field: &Field) -> String {
    let measures: BTreeSet<&String> =
        field.instances.iter().flat_map(|instance| instance.measures.keys()).collect();
    // A measure is never called like an axis: such a name would be a column twice.
    let measures: Vec<&String> =
        measures.into_iter().filter(|name| !field.axes.contains(name)).collect();
    let axes = || field.axes.iter().filter(|axis| *axis != "instance");
    let header = ["instance".to_owned()].into_iter().chain(axes().cloned());
    let mut text = line(header.chain(measures.iter().map(|name| (*name).clone())));
    for instance in &field.instances {
        let axes = axes().map(|axis| instance.on(axis).unwrap_or_default().to_owned());
        let number = |name: &&String| {
            instance.measures.get(*name).map(ToString::to_string).unwrap_or_default()
        };
        let cells = [instance.name.clone()].into_iter().chain(axes);
        text.push_str(&line(cells.chain(measures.iter().map(number))));
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for (i, cell) in cells.enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let quoted = cell.replace('"', "\"\"");
        write!(text, "{comma}\"{quoted}\"").expect("a string takes any text");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Compare = Compare { metric: None, x: None, series: None };

    fn report(candidates: &[(&str, f64, f64)]) -> Vec<u8> {
        let candidates: Vec<_> = candidates
            .iter()
            .map(|(name, accuracy, loss)| {
                serde_json::json!({"name": name, "accuracy": accuracy, "loss": loss})
            })
            .collect();
        let report = serde_json::json!({
            "version": 1, "kind": "Evaluation", "metric": "accuracy", "goal": "max",
            "candidates": candidates,
        });
        report.to_string().into_bytes()
    }

    fn sweep() -> Vec<u8> {
        report(&[
            ("width=16,seed=1", 0.8, 0.5),
            ("width=16,seed=2", 0.9, 0.4),
            ("width=8,seed=1", 0.7, 0.3),
            ("width=8,seed=2", 0.75, 0.6),
        ])
    }

    #[track_caller]
    fn compare(spec: &Compare, reports: &[(&str, &[u8])]) -> (Table, String) {
        let done = run(spec, reports).unwrap();
        assert_eq!(run(spec, reports).unwrap(), done, "the same bytes again");
        let chart = String::from_utf8(done.outputs[1].bytes.clone()).unwrap();
        (Table::from_bytes(&done.outputs[0].bytes).unwrap(), chart)
    }

    #[track_caller]
    fn check_fault(spec: &Compare, reports: &[(&str, &[u8])], message: &str) {
        let fault = run(spec, reports).unwrap_err();
        assert!(fault.message.contains(message), "{fault:?}");
        assert!(!fault.hint.is_empty());
    }

    #[test]
    fn the_table_has_a_row_per_instance_best_first_and_a_column_per_axis_and_measure() {
        let (table, _) = compare(&ALL, &[("", &sweep())]);
        assert_eq!(table.columns(), ["instance", "width", "seed", "accuracy", "loss"]);
        let column = |name: &str| table.column(name).unwrap().texts();
        let texts = |all: &[&str]| all.iter().map(|x| Some((*x).to_owned())).collect::<Vec<_>>();
        assert_eq!(column("accuracy"), texts(&["0.9", "0.8", "0.75", "0.7"]));
        assert_eq!(column("width"), texts(&["16", "16", "8", "8"]));
        let by_loss = Compare { metric: Some("loss".into()), ..ALL };
        let (table, _) = compare(&by_loss, &[("", &sweep())]);
        assert_eq!(table.column("loss").unwrap().texts(), texts(&["0.3", "0.4", "0.5", "0.6"]));
    }

    #[test]
    fn reports_of_one_model_each_are_named_by_their_own_instance() {
        let (a, b) = (report(&[("models", 0.5, 1.0)]), report(&[("models", 0.6, 1.0)]));
        let (table, chart) = compare(&ALL, &[("lr=0.1", &a), ("lr=0.01", &b)]);
        assert_eq!(table.column("lr").unwrap().texts()[0].as_deref(), Some("0.01"));
        assert!(chart.contains(">lr<"), "{chart}");
    }

    #[test]
    fn the_chart_says_what_it_shows_and_names_the_best() {
        let (_, chart) = compare(&ALL, &[("", &sweep())]);
        assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
        for word in [">width<", ">accuracy<", "seed = 1", "seed = 2", "width=16,seed=2"] {
            assert!(chart.contains(word), "{word}: {chart}");
        }
        // Without axes, instances stand beside each other.
        let (_, chart) = compare(&ALL, &[("", &report(&[("a", 0.1, 1.0), ("b<&", 0.2, 1.0)]))]);
        assert!(chart.contains("b&lt;&amp;") && !chart.contains("b<&"));
    }

    #[test]
    fn one_instance_or_equal_measures_are_drawn_too() {
        for candidates in [&[("a=1", 0.5, 0.0)][..], &[("a=1", 0.5, 0.0), ("a=2", 0.5, 0.0)]] {
            let (_, chart) = compare(&ALL, &[("", &report(candidates))]);
            assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_a_fault() {
        check_fault(&ALL, &[("", b"{}")], "not that of an evaluation");
        check_fault(&ALL, &[("", b"[1,")], "not that of an evaluation");
        check_fault(&ALL, &[], "not that of an evaluation");
        let auc = Compare { metric: Some("auc".into()), ..ALL };
        check_fault(&auc, &[("", &sweep())], "no evaluation measured \"auc\"");
        let depth = Compare { x: Some("depth".into()), ..ALL };
        check_fault(&depth, &[("", &sweep())], "no axis \"depth\"");
    }
}
