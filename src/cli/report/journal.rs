//! Lines of a run's journal as people and programs read them.
//! Never reads a file or a clock.

use super::json::{event as event_json, object};
use super::{escape, prose, time};
use crate::base::ids::JobId;
use crate::cli::names::Names;
use crate::node::journal::{Entry, Line};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A rate is measured over at least so long, so that it is no noise.
const SPEED_MS: u64 = 100;

/// Reads a journal in its order: how fast rows go follows from two lines.
pub(crate) struct Teller<'a> {
    names: &'a Names,
    speeds: BTreeMap<String, Speed>,
}

/// How fast the rows of one job go.
#[derive(Clone, Copy)]
struct Speed {
    at: u64,
    rows: u64,
    rows_per_second: Option<f64>,
}

/// A line, and what follows from those before it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The line.
    pub(crate) line: Line,
    /// Rows per second, if the line is a step and they can be told.
    pub(crate) rows_per_second: Option<f64>,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(names: &'a Names) -> Self {
        Self { names, speeds: BTreeMap::new() }
    }

    /// Takes the next line of the journal.
    pub(crate) fn take(&mut self, line: Line) -> Told {
        let rows_per_second = match &line.entry {
            Entry::Began { stage, .. } => {
                let begun = Speed { at: line.at, rows: 0, rows_per_second: None };
                self.speeds.insert(stage.clone(), begun);
                None
            }
            Entry::Step { stage, step, steps, rows, .. } => {
                let speed = self.speed(stage, line.at, *rows, step == steps);
                if step == steps {
                    self.speeds.remove(stage);
                }
                speed
            }
            _ => None,
        };
        Told { line, rows_per_second }
    }

    fn speed(&mut self, stage: &str, at: u64, rows: u64, is_last: bool) -> Option<f64> {
        let known = self.speeds.get_mut(stage)?;
        let (ms, done) = (at.saturating_sub(known.at), rows.saturating_sub(known.rows));
        let is_measured = ms >= SPEED_MS || (is_last && ms > 0 && known.rows_per_second.is_none());
        if is_measured && done > 0 {
            let rows_per_second = Some(done as f64 * 1_000.0 / ms as f64);
            *known = Speed { at, rows, rows_per_second };
        }
        known.rows_per_second
    }

    /// A line for people.
    pub(crate) fn text(&self, told: &Told, with_time: bool) -> String {
        let text = self.sentence(told);
        if with_time { format!("{}  {text}", time::utc(told.line.at)) } else { text }
    }

    fn sentence(&self, told: &Told) -> String {
        match &told.line.entry {
            Entry::Opened { run, pipeline, .. } => format!("opened   {run} {pipeline}"),
            Entry::Folded { event, block, jobs } => {
                let job = |id: JobId| jobs.get(&id.0).cloned().unwrap_or_default();
                let stage = |_| block.clone().unwrap_or_default();
                prose::told(event, self.names, &job, &stage)
            }
            Entry::Began { stage, worker, .. } => {
                format!("began    {stage}  {}", self.names.of_text(worker))
            }
            Entry::Step { stage, step, steps, loss, rate, .. } => {
                let mut text = format!("step     {stage}  {step}/{steps}");
                if let Some(loss) = loss {
                    text.push_str(&format!("  loss {loss:.4}"));
                }
                if let Some(rate) = rate {
                    text.push_str(&format!("  rate {rate}"));
                }
                if let Some(speed) = told.rows_per_second {
                    text.push_str(&format!("  {speed:.0} rows/s"));
                }
                text
            }
            Entry::Measured { stage, metrics } => {
                let measure = |(name, value): &(String, Option<f64>)| {
                    let name = escape::one_line(name);
                    match value {
                        Some(value) => format!("{name} {}", prose::measure(*value)),
                        None => format!("{name} is not a number"),
                    }
                };
                let measures: Vec<String> = metrics.iter().map(measure).collect();
                format!("measured {stage}  {}", measures.join(", "))
            }
            Entry::Published { output, file, .. } => format!("wrote    {output}  {file}"),
            Entry::Full {} => "full     the journal is as long as it may be".to_owned(),
        }
    }

    /// A line for programs.
    pub(crate) fn json(&self, told: &Told) -> Value {
        let (what, fields) = match &told.line.entry {
            Entry::Opened { run, pipeline, .. } => {
                ("opened", json!({"run": run, "pipeline": pipeline}))
            }
            Entry::Folded { event, block, jobs } => {
                let jobs: Map<String, Value> =
                    jobs.iter().map(|(id, name)| (id.to_string(), json!(name))).collect();
                let event = event_json(event, self.names);
                ("event", json!({"stage": block, "jobs": jobs, "event": event}))
            }
            Entry::Began { lease, stage, worker } => {
                let worker = self.names.of_text(worker);
                ("began", json!({"lease": lease, "stage": stage, "worker": worker}))
            }
            Entry::Step { stage, step, steps, loss, rate, rows } => (
                "step",
                json!({"stage": stage, "step": step, "steps": steps, "loss": loss,
                    "rate": rate, "rows": rows, "rows_per_second": told.rows_per_second}),
            ),
            Entry::Measured { stage, metrics } => {
                let metrics: Map<String, Value> =
                    metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                ("measured", json!({"stage": stage, "metrics": metrics}))
            }
            Entry::Published { output, file, digest } => {
                ("published", json!({"output": output, "file": file, "digest": digest}))
            }
            Entry::Full {} => ("full", json!({})),
        };
        let mut line = object("LogLine", fields);
        if let Value::Object(fields) = &mut line {
            fields.insert("time".into(), time::utc(told.line.at).into());
            fields.insert("what".into(), what.into());
        }
        line
    }
}

/// Whether an entry is about a stage, or about an instance of it.
pub(crate) fn is_about(entry: &Entry, wanted: &str) -> bool {
    addresses(entry).into_iter().any(|address| {
        let (whole, _) = address.split_once('#').unwrap_or((address, ""));
        address == wanted || whole == wanted || stage_of(address) == wanted
    })
}

/// The stages that an entry is about.
pub(crate) fn stages(entry: &Entry) -> impl Iterator<Item = &str> {
    addresses(entry).into_iter().map(stage_of)
}

fn stage_of(address: &str) -> &str {
    address.split(['#', '@']).next().unwrap_or(address)
}

/// The stages and jobs that an entry names.
fn addresses(entry: &Entry) -> Vec<&str> {
    match entry {
        Entry::Folded { block, jobs, .. } => {
            let stages = block.iter().flat_map(|block| block.split('+'));
            stages.chain(jobs.values().map(String::as_str)).collect()
        }
        Entry::Began { stage, .. } | Entry::Step { stage, .. } | Entry::Measured { stage, .. } => {
            vec![stage]
        }
        Entry::Opened { .. } | Entry::Published { .. } | Entry::Full {} => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: u64, step: u64) -> Line {
        let stage = "train@width=16".to_owned();
        let (loss, rate) = (Some(0.123_45), Some(0.01));
        Line { at, entry: Entry::Step { stage, step, steps: 30, loss, rate, rows: step * 100 } }
    }

    fn begun(at: u64) -> Line {
        let (lease, worker) = ("run-1/2#1".to_owned(), "ab".repeat(32));
        Line { at, entry: Entry::Began { lease, stage: "train@width=16".into(), worker } }
    }

    #[test]
    fn rows_per_second_follow_from_two_lines() {
        let names = Names::default();
        let mut teller = Teller::new(&names);
        let lines = [begun(1_000), step(1_010, 1), step(1_200, 4), step(1_210, 5), step(1_300, 30)];
        let told: Vec<Told> = lines.map(|line| teller.take(line)).into();
        let texts: Vec<String> = told.iter().map(|told| teller.text(told, false)).collect();
        assert_eq!(
            texts,
            [
                "began    train@width=16  abababababab",
                "step     train@width=16  1/30  loss 0.1235  rate 0.01",
                "step     train@width=16  4/30  loss 0.1235  rate 0.01  2000 rows/s",
                "step     train@width=16  5/30  loss 0.1235  rate 0.01  2000 rows/s",
                "step     train@width=16  30/30  loss 0.1235  rate 0.01  26000 rows/s",
            ]
        );
        assert!(teller.speeds.is_empty(), "a job that is done is forgotten");
        assert_eq!(
            teller.text(&told[1], true).split("  ").next(),
            Some("1970-01-01T00:00:01.010Z")
        );
    }

    #[test]
    fn a_line_is_about_its_stage_and_its_instance() {
        let entry = |stage: &str| Entry::Measured { stage: stage.into(), metrics: Vec::new() };
        for wanted in ["train", "train@width=16", "train@width=16#2/3"] {
            assert!(is_about(&entry("train@width=16#2/3"), wanted), "{wanted}");
        }
        for wanted in ["tra", "train@width=1", "train@width=16#1/3", "width=16", ""] {
            assert!(!is_about(&entry("train@width=16#2/3"), wanted), "{wanted}");
        }
    }
}
