//! What a run measured, as curves over steps: CSV, and event files for TensorBoard.
//! Never invents a value: what is not a number is left out.

use super::exit::Stop;
use super::report::Screen;
use super::report::journal::Told;
use crate::node::journal::Entry;
use crate::node::tensorboard::{self, Scalar};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Values over steps, of every stage instance and metric; a step that was done again counts once.
#[derive(Debug, Default)]
pub(super) struct Curves {
    /// By stage instance, then step and metric.
    points: BTreeMap<String, BTreeMap<(u64, String), Point>>,
    /// The steps of each part of a stage instance that is trained in parts.
    parts: BTreeMap<String, BTreeMap<u32, u64>>,
    /// The last step of each stage instance.
    last: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    at: u64,
    value: f64,
}

impl Curves {
    /// Takes the next line of a journal.
    pub(super) fn take(&mut self, told: &Told) {
        let at = told.line.at;
        match &told.line.entry {
            Entry::Step { stage, step, steps, loss, rate, .. } => {
                let step = self.whole_step(stage, *step, *steps);
                let values = [
                    ("loss", loss.map(decimal)),
                    ("learning_rate", rate.map(decimal)),
                    ("rows_per_second", told.rows_per_second),
                ];
                for (metric, value) in values {
                    self.put(stage, step, metric, at, value);
                }
            }
            Entry::Measured { stage, metrics } => {
                let step = self.last.get(whole(stage).0).copied().unwrap_or(0);
                for (metric, value) in metrics {
                    self.put(stage, step, metric, at, *value);
                }
            }
            _ => {}
        }
    }

    /// The step counted from the beginning of the first part.
    fn whole_step(&mut self, stage: &str, step: u64, steps: u64) -> u64 {
        let (instance, part) = whole(stage);
        let parts = self.parts.entry(instance.to_owned()).or_default();
        parts.insert(part, steps);
        let before: u64 = parts.range(..part).map(|(_, steps)| *steps).fold(0, u64::saturating_add);
        let step = before.saturating_add(step);
        self.last.insert(instance.to_owned(), step);
        step
    }

    fn put(&mut self, stage: &str, step: u64, metric: &str, at: u64, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let points = self.points.entry(whole(stage).0.to_owned()).or_default();
            points.insert((step, metric.to_owned()), Point { at, value });
        }
    }

    /// `step,stage,metric,value`, by stage, step and metric.
    pub(super) fn csv(&self) -> String {
        let mut text = "step,stage,metric,value\n".to_owned();
        for (stage, points) in &self.points {
            for ((step, metric), Point { value, .. }) in points {
                let (stage, metric) = (field(stage), field(metric));
                let _ = writeln!(text, "{step},{stage},{metric},{value}");
            }
        }
        text
    }
}

/// `train@width=16` and 2 of `train@width=16#2/3`; what has no parts is part 1.
fn whole(stage: &str) -> (&str, u32) {
    let Some((instance, part)) = stage.split_once('#') else { return (stage, 1) };
    let index = part.split('/').next().and_then(|index| index.parse().ok());
    (instance, index.unwrap_or(1))
}

/// The decimal number that an f32 is written as, not its exact value in 53 bits.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

/// A field of a CSV file: in quotes where it has to be (RFC 4180).
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Writes the curves as CSV into a file, or onto the standard output where it is called `-`.
pub(super) fn write_csv(curves: &Curves, file: &Path, screen: &mut Screen) -> Result<(), Stop> {
    if file == Path::new("-") {
        return Ok(screen.bytes(&curves.csv())?);
    }
    std::fs::write(file, curves.csv()).map_err(|error| unwritten(file, &error))
}

/// Writes an event file per stage instance below a folder, each in a folder of its own: what
/// TensorBoard calls a run. Returns the files.
pub(super) fn write_tensorboard(curves: &Curves, folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let write = |(stage, points): (&String, &BTreeMap<(u64, String), Point>)| {
        let scalar = |((step, tag), point): (&(u64, String), &Point)| Scalar {
            at: point.at,
            step: *step,
            tag: tag.clone(),
            value: point.value as f32,
        };
        let scalars: Vec<Scalar> = points.iter().map(scalar).collect();
        let dir = folder.join(file_name(stage));
        tensorboard::write(&dir, &scalars).map_err(|error| unwritten(&dir, &error))
    };
    curves.points.iter().map(write).collect()
}

fn unwritten(path: &Path, error: &io::Error) -> Stop {
    let message = format!("cannot write {}: {error}", path.display());
    Stop::failed(message, Some("choose another place, or check its permissions".into()))
}

/// An address as the name of a folder: values of a matrix may be any text.
fn file_name(stage: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-.@=,+".contains(c);
    let escape = |c: char| match c {
        c if is_plain(c) => c.to_string(),
        c => format!("%{:02X}", u32::from(c)),
    };
    match stage {
        "." | ".." => stage.replace('.', "%2E"),
        _ => stage.chars().map(escape).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::journal::Line;

    fn told(at: u64, entry: Entry) -> Told {
        Told { line: Line { at, entry }, rows_per_second: None }
    }

    fn step(stage: &str, step: u64, loss: f32) -> Told {
        let (stage, loss, rate) = (stage.to_owned(), Some(loss), None);
        told(step, Entry::Step { stage, step, steps: 10, loss, rate, rows: 0 })
    }

    #[test]
    fn parts_of_a_training_make_one_curve_and_repeated_steps_count_once() {
        let mut curves = Curves::default();
        for line in [
            step("train@w=1,s=2#1/2", 5, 0.5),
            step("train@w=1,s=2#1/2", 10, 0.4),
            step("train@w=1,s=2#2/2", 10, 9.0),
            step("train@w=1,s=2#2/2", 10, 0.1),
            told(
                3,
                Entry::Measured {
                    stage: "train@w=1,s=2#2/2".into(),
                    metrics: vec![("loss\"".into(), Some(0.1)), ("auc".into(), None)],
                },
            ),
            told(
                4,
                Entry::Measured {
                    stage: "evaluate".into(),
                    metrics: vec![("accuracy".into(), Some(0.96))],
                },
            ),
        ] {
            curves.take(&line);
        }
        let expect = "step,stage,metric,value\n0,evaluate,accuracy,0.96\n\
            5,\"train@w=1,s=2\",loss,0.5\n10,\"train@w=1,s=2\",loss,0.4\n\
            20,\"train@w=1,s=2\",loss,0.1\n20,\"train@w=1,s=2\",\"loss\"\"\",0.1\n";
        assert_eq!(curves.csv(), expect);
    }

    #[test]
    fn a_stage_is_a_folder_whatever_its_matrix_holds() {
        assert_eq!(file_name("train@width=16,seed=1"), "train@width=16,seed=1");
        assert_eq!(file_name("train@path=../a b"), "train@path=..%2Fa%20b");
        assert_eq!(file_name(".."), "%2E%2E");
    }
}
