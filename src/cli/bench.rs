//! `ohc bench`: measures this machine and prints the number. Never measures anything itself:
//! `node::bench` does.

use super::Context;
use super::args::{self, Format, Learner, Measured as Kind};
use super::exit::{Exit, Stop};
use super::home::cores;
use super::report::json;
use crate::node::bench::{self, Measurement};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

pub(super) fn bench(args: &args::Bench, context: &mut Context) -> Result<Exit, Stop> {
    let jobs = args.jobs.unwrap_or(match args.kind {
        Kind::Plan => 100_000,
        Kind::Chain => 200,
        Kind::Start | Kind::Verify | Kind::Late | Kind::Commit => 10_000,
        _ => 1_000,
    });
    let measured = match args.kind {
        Kind::Settle => bench::settle(jobs),
        Kind::Chain => bench::chain(jobs),
        Kind::Plan => bench::plan(jobs),
        Kind::Reapply => bench::reapply(jobs),
        Kind::Replay => bench::replay(jobs),
        Kind::Start => bench::start(jobs),
        Kind::Commit => bench::commit(jobs),
        Kind::Verify => bench::verification(jobs, cores()),
        Kind::Poh => Ok(bench::proof_of_history(args.seconds, cores())),
        Kind::Matmul => bench::matmul(args.seconds),
        Kind::Exact => bench::exact(cores()),
        Kind::Train => bench::train(learner(args.model), usize::from(args.threads), args.seconds),
        Kind::Segments => bench::segments(learner(args.model), usize::from(args.threads)),
        Kind::Fast => bench::fast(learner(args.model), usize::from(args.threads), args.seconds),
        Kind::Parallel => bench::parallel(args.file.as_deref()),
        Kind::Ingest => bench::ingest(args.file.as_deref(), args.seconds),
        Kind::Embed => bench::embed(args.file.as_deref()),
        Kind::Hostile => bench::hostile(),
        Kind::Agreement => bench::agreement(),
        Kind::Finality => bench::finality(jobs),
        Kind::Late => bench::late(jobs),
    };
    let measured = measured.map_err(|error| Stop::because(Exit::Failed, &error))?;
    let detail: Map<String, Value> =
        measured.detail.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let ratio = measured.baseline.map(|(_, baseline)| measured.value / baseline);
    match args.output.format {
        format @ (Format::Json | Format::Yaml) => {
            let baseline = measured.baseline.map(|(name, v)| json!({"name": name, "value": v}));
            let object = json::object(
                "Bench",
                json!({
                    "name": measured.name, "value": measured.value, "unit": measured.unit,
                    "baseline": baseline, "ratio": ratio, "detail": detail,
                }),
            );
            context.screen.data(&object, format)?;
        }
        Format::Name => context.screen.line(measured.name)?,
        Format::Table | Format::Wide => {
            let Measurement { name, value, unit, baseline, .. } = &measured;
            let mut line = format!("{name}: {value:.4} {unit}");
            if let (Some((name, baseline)), Some(ratio)) = (baseline, ratio) {
                // Writing to a string does not fail.
                let _ = write!(line, "  ({ratio:.2} times {name}: {baseline:.4})");
            }
            context.screen.line(line)?;
            for (name, value) in &measured.detail {
                context.screen.line(format!("  {name}: {value}"))?;
            }
        }
    }
    Ok(Exit::Done)
}

const fn learner(learner: Learner) -> bench::Learner {
    match learner {
        Learner::Mlp => bench::Learner::Mlp,
        Learner::Cnn => bench::Learner::Cnn,
        Learner::Gpt => bench::Learner::Gpt,
        Learner::GptLarge => bench::Learner::Large,
    }
}
