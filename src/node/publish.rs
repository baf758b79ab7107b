//! Publishes the outputs of a pipeline: files in the folders that the manifest names, and beside
//! each a card that says how it came to be. Never writes what is there already, and never leaves
//! half a file: the card, written last, is the sign that an output is whole.

use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::compute::Fault;
use crate::compute::table::Table;
use crate::domain::graph::{Edge, From, Job, Output};
use crate::domain::job::{Input, OPS_VERSION, Pin, Spec};
use crate::domain::manifest::TableFormat;
use crate::domain::state::State;
use crate::domain::state::run::Known;
use crate::effects::artifacts::{ArtifactError, Artifacts, Content};
use crate::effects::draft::Draft;
use crate::effects::{Peril, pass};
use crate::node::pipeline::Pipeline;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;

/// An output that is in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its name in the manifest.
    pub name: String,
    /// Where it lies.
    pub file: PathBuf,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// Why an output is not in its folder. The result itself is settled and in the store.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It has no settled result.
    #[error("output `{name}` has no settled result")]
    Unsettled {
        /// The output.
        name: String,
    },
    /// Nothing can be written where the output is to go.
    #[error("output `{name}` cannot be written to {}: {source}; hint: choose another `to:`, or \
        check the folder and its permissions", .folder.display())]
    Place {
        /// The output.
        name: String,
        /// Where it is to go.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The result cannot be had in the form that was asked for.
    #[error("output `{name}`: {fault}; hint: {}", .fault.hint)]
    Form {
        /// The output.
        name: String,
        /// What is wrong.
        fault: Fault,
    },
    /// The artifact cannot be read, or the files cannot be written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// What outputs are taken from.
pub struct Origin<'a> {
    /// The store.
    pub artifacts: &'a Artifacts,
    /// Where to wait for it.
    pub runtime: &'a Handle,
    /// The state that knows the results.
    pub state: &'a State,
}

/// Makes the folders of the outputs and sees that files can be written there: better before
/// anything is paid than after.
pub fn prepare(pipeline: &Pipeline, base: &Path) -> Result<(), PublishError> {
    for (name, output) in &pipeline.plan.dag.outputs {
        let folder = base.join(&output.to);
        // A draft that never takes its place.
        let tried = std::fs::create_dir_all(&folder)
            .and_then(|()| Draft::create(&folder.join(".ohc-probe")))
            .map(|_probe| pass(Peril::PlaceProbed));
        let place = |source| PublishError::Place { name: name.clone(), folder, source };
        tried.map_err(place)?;
    }
    Ok(())
}

/// Writes every output of a pipeline below `base`, unless it is there already, or its job has no
/// result and gets none.
pub fn publish(
    origin: &Origin<'_>,
    pipeline: &Pipeline,
    base: &Path,
    result: &dyn Fn(JobId) -> Option<Known>,
    is_gone: &dyn Fn(JobId) -> bool,
) -> Result<Vec<Published>, PublishError> {
    let mut published = Vec::new();
    for (name, output) in &pipeline.plan.dag.outputs {
        if is_gone(output.job) {
            continue;
        }
        let unsettled = || PublishError::Unsettled { name: name.clone() };
        let job = pipeline.plan.job(output.job).ok_or_else(unsettled)?;
        let known = result(output.job).ok_or_else(unsettled)?;
        let place = job.spec.outputs().iter().position(|o| *o == output.output);
        let digest = place.and_then(|at| known.outputs.get(at)).copied().ok_or_else(unsettled)?;
        let folder = base.join(&output.to);
        let made = Made {
            inputs: inputs(pipeline, job, result),
            trained_by: trainer(pipeline, digest, result),
            artifact: digest,
            known,
        };
        let fault = |fault| PublishError::Form { name: name.clone(), fault };
        let (file, content) = match table_name(&job.spec, output) {
            Some(file) => {
                let bytes = origin.runtime.block_on(origin.artifacts.get(digest))?;
                (file, Content::Bytes(written(&bytes, output.format).map_err(fault)?))
            }
            None => (file_name(&job.spec, &output.output), Content::Artifact(digest)),
        };
        let digest = match &content {
            Content::Artifact(digest) => *digest,
            Content::Bytes(bytes) => Digest::of(bytes),
        };
        let card = card(origin.state, pipeline, name, (file, digest), &made);
        let card = format!("{card:#}\n").into_bytes();
        let mut files = vec![(file, content)];
        files.extend(beside(&job.spec, &output.output, &made.known));
        let written = origin.artifacts.publish(&folder, &files, ("card.json", &card));
        origin.runtime.block_on(written)?;
        let file = folder.join(file);
        published.push(Published { name: name.clone(), file, digest });
    }
    Ok(published)
}

/// How an output came to be.
struct Made {
    /// The settled result that it is of.
    known: Known,
    /// What the job gave: the bytes of the file, unless it has a form of its own.
    artifact: Digest,
    /// What went into its job.
    inputs: Vec<Input>,
    /// The training whose model it is, if it is one: an evaluation passes the best one on.
    trained_by: Option<String>,
}

fn inputs(pipeline: &Pipeline, job: &Job, result: &dyn Fn(JobId) -> Option<Known>) -> Vec<Input> {
    let digest = |from: &From| match from {
        From::Source { digest, .. } => Some(*digest),
        From::Job { id, output } => {
            let outputs = pipeline.plan.job(*id)?.spec.outputs();
            result(*id)?.outputs.get(outputs.iter().position(|o| o == output)?).copied()
        }
    };
    let input =
        |edge: &Edge| digest(&edge.from).map(|digest| Input { name: edge.name.clone(), digest });
    job.inputs.iter().filter_map(input).collect()
}

fn trainer(
    pipeline: &Pipeline,
    digest: Digest,
    result: &dyn Fn(JobId) -> Option<Known>,
) -> Option<String> {
    let mut jobs = (0u32..).zip(&pipeline.plan.dag.jobs);
    let made = |id: u32| result(JobId(id)).is_some_and(|known| known.outputs.contains(&digest));
    let (_, job) = jobs.find(|(id, job)| matches!(job.spec, Spec::Train(_)) && made(*id))?;
    Some(job.to_string())
}

/// Evaluations whose reports are fetched to be shown, one after the other.
const FINDINGS_MAX: usize = 16;

/// What an evaluation found beside its measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The evaluation.
    pub job: JobId,
    /// The training that it chose, and of how many models, where it had several.
    pub best: Option<(String, usize)>,
    /// What whoever learns nothing gets, by measure.
    pub baseline: BTreeMap<String, f64>,
}

/// What the evaluations of a pipeline found, as far as their reports are to be had.
pub fn findings(
    origin: &Origin<'_>,
    pipeline: &Pipeline,
    result: &dyn Fn(JobId) -> Option<Known>,
) -> Vec<Evaluated> {
    let jobs = (0u32..).map(JobId).zip(&pipeline.plan.dag.jobs);
    let evaluations = jobs.filter(|(_, job)| matches!(job.spec, Spec::Evaluate(_)));
    let finding = |(id, job): (JobId, &Job)| {
        let known = result(id)?;
        let output = |name: &str| {
            known.outputs.get(job.spec.outputs().iter().position(|output| *output == name)?)
        };
        let report = origin.artifacts.get(*output("report")?);
        let report: Value = serde_json::from_slice(&origin.runtime.block_on(report).ok()?).ok()?;
        let models = report.get("candidates").and_then(Value::as_array).map_or(0, Vec::len);
        let best = *output("best")?;
        let best = (models > 1).then(|| trainer(pipeline, best, result)).flatten();
        let number = |(name, value): (&String, &Value)| Some((name.clone(), value.as_f64()?));
        let baseline = report.get("baseline").and_then(Value::as_object).into_iter().flatten();
        let (best, baseline) = (best.map(|best| (best, models)), baseline.filter_map(number));
        Some(Evaluated { job: id, best, baseline: baseline.collect() })
    };
    evaluations.take(FINDINGS_MAX).filter_map(finding).collect()
}

/// The name of the file of an output that is a table; none if it is none.
fn table_name(spec: &Spec, output: &Output) -> Option<&'static str> {
    let is_table = match spec {
        Spec::Split(_) => true,
        Spec::Ingest(_)
        | Spec::Transform(_)
        | Spec::Predict(_)
        | Spec::Compare(_)
        | Spec::Embed(_)
        | Spec::Generate(_) => output.output == "table",
        _ => false,
    };
    is_table.then_some(match output.format {
        TableFormat::Csv => "table.csv",
        TableFormat::Parquet => "table.parquet",
    })
}

/// A table in the form that was asked for.
fn written(artifact: &[u8], format: TableFormat) -> Result<Vec<u8>, Fault> {
    let table = Table::from_bytes(artifact)?;
    match format {
        TableFormat::Csv => Ok((table.csv_header() + &table.csv_rows()).into_bytes()),
        TableFormat::Parquet => table.to_parquet(),
    }
}

/// The name of the file of an output that is no table.
fn file_name(spec: &Spec, output: &str) -> &'static str {
    match (spec, output) {
        (Spec::Train(_) | Spec::Export(_), "model") | (Spec::Evaluate(_), "best") => {
            "model.safetensors"
        }
        (Spec::Evaluate(_) | Spec::Ingest(_), "report") => "report.json",
        (Spec::Perplexity(_), "report") => "report.json",
        (Spec::Compare(_), "chart") => "chart.svg",
        (Spec::Export(_), "card") => "README.md",
        (Spec::Transform(_), "fitted") => "fitted.ohcr",
        (Spec::Transform(_), "tokenizer") => "tokenizer.json",
        (Spec::Generate(_), "text") => "text.txt",
        _ => "output.bin",
    }
}

/// What is written beside an output: an exported model is not to be seen without its card.
fn beside(spec: &Spec, output: &str, known: &Known) -> Option<(&'static str, Content)> {
    let card = match (spec, output) {
        (Spec::Export(_), "model") => "card",
        _ => return None,
    };
    let place = spec.outputs().iter().position(|name| *name == card)?;
    Some((file_name(spec, card), Content::Artifact(known.outputs.get(place).copied()?)))
}

/// How an output came to be. The same result gives the same card, whoever asks and when.
fn card(
    state: &State,
    pipeline: &Pipeline,
    name: &str,
    (file, digest): (&str, Digest),
    made: &Made,
) -> Value {
    let known = &made.known;
    let source = |pin: &Pin| {
        json!({
            "name": pin.source, "digest": pin.digest.to_string(), "bytes": pin.bytes,
            "rows": pin.rows,
        })
    };
    let input = |input: &Input| json!({"name": input.name, "digest": input.digest.to_string()});
    let metrics: Map<String, Value> =
        known.metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "version": 1,
        "kind": "Card",
        "pipeline": pipeline.manifest.name,
        "output": name,
        "file": file,
        "digest": digest.to_string(),
        "artifact": made.artifact.to_string(),
        "metrics": metrics,
        "sources": pipeline.pins.iter().map(source).collect::<Vec<_>>(),
        "manifest": Digest::of(pipeline.text.as_bytes()).to_string(),
        "params": pipeline.params,
        "inputs": made.inputs.iter().map(input).collect::<Vec<_>>(),
        "trainedBy": made.trained_by,
        "provenance": {
            "jobKey": known.key.to_string(),
            "opsVersion": OPS_VERSION,
            "network": state.network().0.to_string(),
            "run": known.lease.block.run.to_string(),
            "lease": known.lease.to_string(),
            "worker": known.worker.to_string(),
        },
    })
}
