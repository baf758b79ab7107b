//! Evaluation: models measured on held-out rows; the best one and a report of all.
//! Never knows what a model is: a candidate is names and a function from features to logits.
//!
//! Measures are sums over rows in their order, in f64, with `exact`'s logarithm: the same bytes on
//! every machine. The report is JSON in one fixed order and form.

use super::examples::{Examples, Truth};
use super::table::Table;
use super::{Done, Fault, Named, exact, quote};
use crate::domain::job::{Evaluate, Goal, Metric, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Rows of features to rows of logits: `(values, rows) → rows × classes`.
pub type Logits<'a> = Box<dyn Fn(&[f32], usize) -> Vec<f32> + 'a>;

/// A model that might be the best.
pub struct Candidate<'a> {
    /// What the report calls it.
    pub name: String,
    /// The bytes that become `best` if it is chosen.
    pub bytes: &'a [u8],
    /// The columns that it reads.
    pub features: Vec<String>,
    /// Its vocabulary of labels, ascending.
    pub classes: Vec<String>,
    /// What it computes.
    pub logits: Logits<'a>,
}

/// What one candidate did on the held-out rows.
struct Measured {
    accuracy: f64,
    loss: f64,
    /// (actual, predicted) → rows; pairs that did not occur are left out.
    confusion: BTreeMap<(u32, u32), u64>,
}

/// Measures every candidate on `data` and picks the best; of equals, the first.
///
/// The target is the one column of `data` that a candidate does not read.
pub fn run(spec: &Evaluate, candidates: &[Candidate<'_>], data: &Table) -> Result<Done, Fault> {
    let measured = candidates
        .iter()
        .map(|candidate| Ok((candidate, measure(candidate, data)?)))
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut ranked = measured.iter();
    let Some(first) = ranked.next() else {
        return Err(Fault::new(
            "there is no model to evaluate",
            "connect `models` to the model of one or more train stages",
        ));
    };
    let value = |measured: &Measured| match spec.metric {
        Metric::Accuracy => measured.accuracy,
        Metric::Loss => measured.loss,
    };
    let (best, result) = ranked.fold(first, |best, other| {
        let better = match spec.goal {
            Goal::Max => value(&other.1) > value(&best.1),
            Goal::Min => value(&other.1) < value(&best.1),
        };
        if better { other } else { best }
    });
    let report = report(spec, data.rows(), &measured, (best, result));
    Ok(Done {
        outputs: vec![
            Named { name: "best".into(), bytes: best.bytes.to_vec() },
            Named { name: "report".into(), bytes: report.into_bytes() },
        ],
        checkpoints: Vec::new(),
        metrics: vec![
            ("accuracy".into(), result.accuracy),
            ("loss".into(), result.loss),
            ("rows".into(), data.rows() as f64),
        ],
    })
}

fn measure(candidate: &Candidate<'_>, data: &Table) -> Result<Measured, Fault> {
    let target = target(candidate, data)?;
    let (task, classes) = (Task::Classification, &candidate.classes);
    let examples = Examples::for_model(data, task, &[target], &candidate.features, classes)?;
    let rows = examples.rows();
    let Truth::Classes { of: labels, .. } = &examples.truth else {
        return Err(Fault::new("a model of classes is measured on classes", ""));
    };
    let logits = (candidate.logits)(&examples.values, rows);
    if logits.len() != rows * candidate.classes.len() || logits.iter().any(|x| !x.is_finite()) {
        return Err(Fault::new(
            format!("model {} does not give one finite logit per class", quote(&candidate.name)),
            "its training went astray: lower the learning rate or scale the features",
        ));
    }
    let (mut right, mut loss) = (0u64, 0.0f64);
    let mut confusion = BTreeMap::new();
    for (logits, actual) in logits.chunks_exact(candidate.classes.len()).zip(labels) {
        let predicted = argmax(logits);
        right += u64::from(predicted == *actual);
        loss += cross_entropy(logits, *actual);
        *confusion.entry((*actual, predicted)).or_insert(0u64) += 1;
    }
    Ok(Measured { accuracy: right as f64 / rows as f64, loss: loss / rows as f64, confusion })
}

fn target(candidate: &Candidate<'_>, data: &Table) -> Result<String, Fault> {
    // A feature that is missing is the first thing to say; then the columns must leave one over.
    candidate.features.iter().try_for_each(|name| data.column(name).map(|_| ()))?;
    let features: BTreeSet<_> = candidate.features.iter().collect();
    let mut others = data.columns().into_iter().filter(|name| !features.contains(name));
    match (others.next(), others.next()) {
        (Some(target), None) => Ok(target),
        (None, _) => Err(Fault::new(
            format!("every column is a feature of model {}", quote(&candidate.name)),
            "evaluate on rows that have the target column too",
        )),
        (Some(one), Some(other)) => Err(Fault::new(
            format!(
                "model {} reads neither {} nor {}: one of them must be the target",
                quote(&candidate.name),
                quote(&one),
                quote(&other)
            ),
            "evaluate on rows with the columns of the training, for example of the same split",
        )),
    }
}

/// The class of the largest logit; of equals, the first.
fn argmax(logits: &[f32]) -> u32 {
    let best = (0..).zip(logits).reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(class, _)| class)
}

/// -ln softmax(logits)[actual] in nats, shifted by the largest logit so that nothing overflows.
fn cross_entropy(logits: &[f32], actual: u32) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let shifted = logits.iter().map(|x| f64::from(*x) - largest);
    let total: f64 = shifted.clone().map(exact::exp_of_nonpositive).sum();
    let own = shifted.clone().nth(actual as usize).unwrap_or_default();
    exact::ln_from_one(total) - own
}

fn report(
    spec: &Evaluate,
    rows: usize,
    measured: &[(&Candidate<'_>, Measured)],
    (best, result): (&Candidate<'_>, &Measured),
) -> String {
    let metric = match spec.metric {
        Metric::Accuracy => "accuracy",
        Metric::Loss => "loss",
    };
    let goal = match spec.goal {
        Goal::Max => "max",
        Goal::Min => "min",
    };
    let candidates = measured.iter().map(|(candidate, measured)| {
        object(&[
            ("name", json(&candidate.name)),
            ("accuracy", measured.accuracy.to_string()),
            ("loss", measured.loss.to_string()),
        ])
    });
    let class = |index: u32| json(best.classes.get(index as usize).map_or("", String::as_str));
    let confusion = result.confusion.iter().map(|((actual, predicted), rows)| {
        object(&[
            ("actual", class(*actual)),
            ("predicted", class(*predicted)),
            ("rows", rows.to_string()),
        ])
    });
    let fields = object(&[
        ("version", "1".into()),
        ("kind", json("Evaluation")),
        ("metric", json(metric)),
        ("goal", json(goal)),
        ("rows", rows.to_string()),
        ("best", json(&best.name)),
        ("candidates", array(candidates)),
        ("confusion", array(confusion)),
    ]);
    fields + "\n"
}

/// A JSON object: fields in the order given, values already JSON.
fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}:{value}", json(name))).collect();
    format!("{{{}}}", fields.join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A JSON string (RFC 8259): what must be escaped is, and nothing else.
fn json(text: &str) -> String {
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

    const BY_ACCURACY: Evaluate = Evaluate { metric: Metric::Accuracy, goal: Goal::Max };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn data() -> Table {
        Table::from_csv(b"x,y\n0,a\n1,b\n2,b\n3,b\n").unwrap()
    }

    /// A model that says b from `threshold` on, with a logit of `sure`.
    fn above(name: &str, threshold: f32, sure: f32) -> Candidate<'static> {
        Candidate {
            name: name.into(),
            bytes: if sure > 1.0 { b"sure" } else { b"unsure" },
            features: names(&["x"]),
            classes: names(&["a", "b"]),
            logits: Box::new(move |values, _| {
                let logit = |x: &f32| if *x >= threshold { [0.0, sure] } else { [sure, 0.0] };
                values.iter().flat_map(logit).collect()
            }),
        }
    }

    #[track_caller]
    fn check(spec: &Evaluate, candidates: &[Candidate<'_>], best: &str) {
        let done = run(spec, candidates, &data()).unwrap();
        let report = String::from_utf8(done.outputs[1].bytes.clone()).unwrap();
        assert!(report.contains(&format!(r#""best":"{best}""#)), "{report}");
        let winner = candidates.iter().find(|candidate| candidate.name == best).unwrap();
        assert_eq!(done.outputs[0].bytes, winner.bytes);
    }

    #[test]
    fn the_metric_and_the_goal_decide_and_the_first_of_equals_wins() {
        let models = || [above("late", 3.0, 1.0), above("one", 1.0, 1.0), above("two", 1.0, 2.0)];
        check(&BY_ACCURACY, &models(), "one");
        check(&Evaluate { metric: Metric::Accuracy, goal: Goal::Min }, &models(), "late");
        check(&Evaluate { metric: Metric::Loss, goal: Goal::Min }, &models(), "two");
        check(&Evaluate { metric: Metric::Loss, goal: Goal::Max }, &models(), "late");
    }

    #[test]
    fn accuracy_loss_and_confusion_are_what_they_are_called() {
        let done = run(&BY_ACCURACY, &[above("m", 2.0, 2.0)], &data()).unwrap();
        let (hit, miss) = ((1.0 + (-2.0f64).exp()).ln(), (1.0 + 2.0f64.exp()).ln());
        let want = (3.0 * hit + miss) / 4.0;
        assert_eq!(done.metrics[0], ("accuracy".into(), 0.75));
        assert!((done.metrics[1].1 - want).abs() < 1e-15, "{} {want}", done.metrics[1].1);
        assert_eq!(done.metrics[2], ("rows".into(), 4.0));
        let report = String::from_utf8(done.outputs[1].bytes.clone()).unwrap();
        let loss = done.metrics[1].1;
        let want = r#"{"version":1,"kind":"Evaluation","metric":"accuracy","goal":"max","rows":4,
            "best":"m","candidates":[{"name":"m","accuracy":0.75,"loss":LOSS}],
            "confusion":[{"actual":"a","predicted":"a","rows":1},
            {"actual":"b","predicted":"a","rows":1},{"actual":"b","predicted":"b","rows":2}]}"#;
        let want: String = want.lines().map(str::trim).collect();
        assert_eq!(report, want.replace("LOSS", &loss.to_string()) + "\n");
        assert_eq!(loss.to_string().parse(), Ok(loss));
    }

    #[test]
    fn extreme_logits_give_a_finite_loss() {
        assert_eq!(cross_entropy(&[f32::MAX, f32::MIN], 0), 0.0);
        assert_eq!(cross_entropy(&[f32::MAX, f32::MIN], 1), 2.0 * f64::from(f32::MAX));
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn what_cannot_be_measured_is_a_fault() {
        let fault = |candidates: &[Candidate<'_>], csv: &str| {
            let data = Table::from_csv(csv.as_bytes()).unwrap();
            run(&BY_ACCURACY, candidates, &data).unwrap_err().message
        };
        let model = || above("m", 1.0, 1.0);
        assert_eq!(fault(&[], "x,y\n1,a\n"), "there is no model to evaluate");
        assert!(fault(&[model()], "x,y\n1,c\n").contains("never saw"));
        assert!(fault(&[model()], "z,y\n1,a\n").contains(r#"no column "x""#));
        assert!(fault(&[model()], "x\n1\n").contains("every column is a feature"));
        assert!(fault(&[model()], "x,y,z\n1,a,1\n").contains(r#"neither "y" nor "z""#));
        let short = Candidate { logits: Box::new(|_, _| vec![0.0]), ..model() };
        assert!(fault(&[short], "x,y\n1,a\n").contains("one finite logit per class"));
        let nan = Candidate { logits: Box::new(|_, _| vec![f32::NAN, 0.0]), ..model() };
        assert!(fault(&[nan], "x,y\n1,a\n").contains("one finite logit per class"));
    }

    #[test]
    fn names_cannot_break_out_of_the_report() {
        assert_eq!(json("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\n\\u0001é\"");
    }
}
