//! `ohc bench`: measures this machine with what `docs/benchmarks.md` claims. Works in a home of its
//! own, which it removes, and never touches the user's.

use super::Context;
use super::args::{self, Format, Measured as Kind};
use super::exit::{Exit, Stop};
use super::home::cores;
use super::plan::stop;
use super::report::json;
use crate::base::canon::Decode;
use crate::base::canon::Digest;
use crate::compute::Fault;
use crate::compute::bench as kernels;
use crate::compute::kernel::Engine;
use crate::domain::event::Event;
use crate::domain::manifest;
use crate::domain::plan;
use crate::domain::poh::{self, Chain, Entry, Place};
use crate::domain::slot::Slot;
use crate::domain::state::State;
use crate::effects::clock::{self, Clock};
use crate::node::apply::Site;
use crate::node::embedded::Happening;
use crate::node::home::Home;
use crate::node::pipeline::Pipeline;
use serde_json::{Value, json};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// Workers of the embedded network that is measured.
const WORKERS: usize = 2;

/// One measurement.
struct Measurement {
    name: &'static str,
    value: f64,
    unit: &'static str,
    baseline: Option<(&'static str, f64)>,
    detail: Value,
}

pub(super) fn bench(args: &args::Bench, context: &mut Context) -> Result<Exit, Stop> {
    let jobs = args.jobs.unwrap_or(match args.kind {
        Kind::Plan => 100_000,
        Kind::Chain => 200,
        _ => 1_000,
    });
    let measured = match args.kind {
        Kind::Settle => settle(jobs)?,
        Kind::Chain => chain(jobs)?,
        Kind::Plan => plan(jobs)?,
        Kind::Replay => replay(jobs)?,
        Kind::Poh => proof_of_history(args.seconds),
        Kind::Matmul => matmul(args.seconds)?,
        Kind::Train => train(args.seconds)?,
    };
    let ratio = measured.baseline.map(|(_, baseline)| measured.value / baseline);
    match args.output {
        Format::Json => {
            let baseline = measured.baseline.map(|(name, v)| json!({"name": name, "value": v}));
            context.screen.json(&json::object(
                "Bench",
                json!({
                    "name": measured.name, "value": measured.value, "unit": measured.unit,
                    "baseline": baseline, "ratio": ratio, "detail": measured.detail,
                }),
            ))?;
        }
        Format::Text => {
            let Measurement { name, value, unit, baseline, detail } = &measured;
            let mut line = format!("{name}: {value:.4} {unit}");
            if let (Some((name, baseline)), Some(ratio)) = (baseline, ratio) {
                // Writing to a string does not fail.
                let _ = write!(line, "  ({ratio:.2} times {name}: {baseline:.4})");
            }
            context.screen.line(line)?;
            context.screen.line(format!("  {detail}"))?;
        }
    }
    Ok(Exit::Done)
}

/// A folder that is removed when it goes out of use.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = Digest(clock::fresh_seed()).short();
        Self(std::env::temp_dir().join(format!("ohc-bench-{name}")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean: it is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Independent jobs, each in a block of its own. The tags differ, else all would be one result.
fn independent(jobs: u32) -> String {
    let mut text = head("settle", jobs);
    text.push_str("    job:\n      uses: noop\n      matrix: { axes: { n: [");
    for n in 0..jobs {
        let _ = write!(text, "{n},");
    }
    text.push_str("] } }\n      with: { tag: \"${{ matrix.n }}\" }\n");
    text
}

/// Jobs of which each waits for the one before.
fn chained(jobs: u32) -> String {
    let mut text = head("chain", jobs);
    text.push_str("    s0: { uses: noop, with: { tag: 0 } }\n");
    for n in 1..jobs {
        // The tags differ: no-ops have the same output, so equal ones after another are one job.
        let _ = writeln!(
            text,
            "    s{n}: {{ uses: noop, inputs: {{ a: s{}.done }}, with: {{ tag: {n} }} }}",
            n - 1
        );
    }
    text
}

fn head(name: &str, jobs: u32) -> String {
    format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  run: {{ \
         limits: {{ instances: {jobs}, jobsPerBlock: 1 }} }}\n  stages:\n"
    )
}

fn prepare(text: String) -> Result<Pipeline, Stop> {
    Pipeline::prepare(text, BTreeMap::new(), Path::new(".")).map_err(|(_, faults)| {
        let message = faults.first().map(|fault| fault.message.clone()).unwrap_or_default();
        Stop::failed(message, Some("measure with fewer --jobs".into()))
    })
}

/// What a run of no-ops took.
struct Ran {
    seconds: f64,
    slots: u64,
    commands: u64,
    settled: u64,
}

/// Runs a pipeline with all that an apply has: roles, signatures, audits, a durable log.
fn run(text: String, scratch: &Scratch) -> Result<Ran, Stop> {
    let pipeline = prepare(text)?;
    let home = Home::find(Some(&scratch.0), Path::new("."));
    let site = Site::open(home, WORKERS).map_err(|error| stop(&error))?;
    let forecast = site.forecast(&pipeline).map_err(|error| stop(&error))?;
    let clock = Clock::start();
    let mut ran = Ran { seconds: 0.0, slots: 0, commands: 0, settled: 0 };
    let (mut begun, mut ended) = (0.0, 0.0);
    let finished = site.run(
        &pipeline,
        &forecast,
        forecast.quote.high,
        &scratch.0,
        |_, _| begun = clock.seconds(),
        &mut |happening| {
            if let Happening::Folded(_, events) = happening {
                ran.slots += 1;
                for event in events {
                    match event {
                        Event::Settled { .. } => ran.settled += 1,
                        Event::Ended { .. } => ended = clock.seconds(),
                        _ => {}
                    }
                }
            }
        },
    );
    let finished = finished.map_err(|error| stop(&error))?;
    if finished.settled().is_none() {
        return Err(Stop::failed("the measured run did not settle", None));
    }
    ran.seconds = ended - begun;
    Ok(ran)
}

fn settle(jobs: u32) -> Result<Measurement, Stop> {
    let scratch = Scratch::new();
    let mut ran = run(independent(jobs), &scratch)?;
    ran.commands = log(&scratch)?.1.iter().map(|slot| slot.commands.len() as u64).sum();
    let Ran { seconds, slots, commands, settled } = ran;
    Ok(Measurement {
        name: "settle",
        value: settled as f64 / seconds,
        unit: "blocks/s",
        baseline: None,
        detail: json!({"blocks": settled, "slots": slots, "commands": commands, "seconds": seconds,
            "workers": WORKERS}),
    })
}

fn chain(jobs: u32) -> Result<Measurement, Stop> {
    let ran = run(chained(jobs), &Scratch::new())?;
    Ok(Measurement {
        name: "chain",
        value: ran.seconds * 1e3 / ran.settled.max(1) as f64,
        unit: "ms/block",
        baseline: None,
        detail: json!({"blocks": ran.settled, "slots": ran.slots, "seconds": ran.seconds}),
    })
}

fn plan(jobs: u32) -> Result<Measurement, Stop> {
    // Two axes: a list of all numbers would be longer than a manifest may be.
    let rows = (1..=jobs.isqrt()).rev().find(|n| jobs.is_multiple_of(*n)).unwrap_or(1);
    let list = |n: u32| (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let mut text = head("plan", jobs);
    let _ = writeln!(
        text,
        "    job: {{ uses: noop, matrix: {{ axes: {{ a: [{}], b: [{}] }} }} }}",
        list(rows),
        list(jobs / rows)
    );
    let clock = Clock::start();
    let (compiled, faults) = manifest::compile(&text, &BTreeMap::new());
    let compiled_at = clock.seconds();
    let wrong = |faults: Vec<manifest::Diagnostic>| {
        let message = faults.first().map(|fault| fault.message.clone()).unwrap_or_default();
        Stop::failed(message, Some("measure with another number of --jobs".into()))
    };
    let compiled = compiled.ok_or_else(|| wrong(faults))?;
    let plan = plan::plan(&compiled, &[]).map_err(wrong)?;
    let seconds = clock.seconds();
    Ok(Measurement {
        name: "plan",
        value: plan.dag.jobs.len() as f64 / seconds,
        unit: "jobs/s",
        baseline: None,
        detail: json!({"jobs": plan.dag.jobs.len(), "blocks": plan.blocks.len(),
            "compileSeconds": compiled_at, "seconds": seconds}),
    })
}

/// The genesis and slots of a scratch home.
fn log(scratch: &Scratch) -> Result<(State, Vec<Slot>), Stop> {
    let home = Home::find(Some(&scratch.0), Path::new("."));
    let site = Site::open(home, WORKERS).map_err(|error| stop(&error))?;
    let booted = site.booted();
    let mut slots = Vec::new();
    for stored in booted.store.iter() {
        let (_, bytes) = stored.map_err(|error| Stop::because(Exit::Failed, &error))?;
        slots.push(Slot::from_bytes(&bytes).map_err(|e| Stop::because(Exit::Failed, &e))?);
    }
    Ok((State::new(&booted.genesis), slots))
}

fn replay(jobs: u32) -> Result<Measurement, Stop> {
    let scratch = Scratch::new();
    run(independent(jobs), &scratch)?;
    let (mut state, slots) = log(&scratch)?;
    let clock = Clock::start();
    let mut events = 0;
    for slot in &slots {
        events += state.apply(slot.head.height, &slot.poh, &slot.commands).len();
    }
    let seconds = clock.seconds();
    let commands: usize = slots.iter().map(|slot| slot.commands.len()).sum();
    Ok(Measurement {
        name: "replay",
        value: commands as f64 / seconds,
        unit: "commands/s",
        baseline: None,
        detail: json!({"commands": commands, "slots": slots.len(), "events": events,
            "blocks": jobs, "seconds": seconds}),
    })
}

/// Makes a chain, checks it in parallel, and hashes the same way with the plain crate.
fn proof_of_history(seconds: f64) -> Measurement {
    let params = poh::Params { hashes_per_tick: 1_000 };
    let start = Digest::of(b"ohc bench");
    let clock = Clock::start();
    let mut chain = Chain::new(start, params);
    let mut entries: Vec<Entry> = Vec::new();
    while clock.seconds() < seconds {
        entries.push(chain.tick());
    }
    let made = clock.seconds();
    let hashes: u64 = entries.iter().map(|entry| entry.hashes).sum();
    let clock = Clock::start();
    let threads = cores();
    let verdict = poh::verify(Place::start(start), &entries, params, hashes, threads);
    let checked = clock.seconds();
    let clock = Clock::start();
    let (mut hash, mut bare) = (start.0, 0u64);
    while clock.seconds() < seconds {
        for _ in 0..1_000 {
            hash = sha2::Sha256::digest(hash).into();
        }
        bare += 1_000;
    }
    black_box(hash);
    let bare_rate = bare as f64 / clock.seconds() / 1e6;
    let (make, check) = (hashes as f64 / made / 1e6, hashes as f64 / checked / 1e6);
    Measurement {
        name: "poh",
        value: make,
        unit: "Mh/s",
        baseline: Some(("a bare sha2 loop", bare_rate)),
        detail: json!({"verify": check, "verifyOverMake": check / make, "threads": threads,
            "hashes": hashes, "ok": verdict.is_ok()}),
    }
}

fn fault(fault: &Fault) -> Stop {
    Stop::failed(fault.message.clone(), (!fault.hint.is_empty()).then(|| fault.hint.clone()))
}

fn matmul(seconds: f64) -> Result<Measurement, Stop> {
    let clock = Clock::start();
    let repeats = repeats(seconds);
    let all = kernels::matmul(Engine::default(), repeats, &mut || clock.seconds());
    let all = all.map_err(|error| fault(&error))?;
    let each = |m: &kernels::Measured| {
        json!({"name": m.name, "value": m.value, "unit": m.unit, "baseline": m.baseline_value,
            "ratio": m.ratio()})
    };
    let detail = json!({"repeats": repeats, "products": all.iter().map(each).collect::<Vec<_>>()});
    let first = all.into_iter().max_by(|a, b| a.value.total_cmp(&b.value));
    let best = first.ok_or_else(|| Stop::failed("nothing was measured", None))?;
    let baseline = Some((best.baseline_name, best.baseline_value));
    Ok(Measurement { name: "matmul", value: best.value, unit: best.unit, baseline, detail })
}

fn train(seconds: f64) -> Result<Measurement, Stop> {
    let clock = Clock::start();
    let (repeats, steps) = (repeats(seconds), 20);
    let measured = kernels::train(Engine::default(), repeats, steps, &mut || clock.seconds());
    let m = measured.map_err(|error| fault(&error))?;
    let detail = json!({"what": m.name, "repeats": repeats, "steps": steps, "threads": 1});
    let baseline = Some((m.baseline_name, m.baseline_value));
    Ok(Measurement { name: "train", value: m.value, unit: m.unit, baseline, detail })
}

/// Turns that fit into about so many seconds.
fn repeats(seconds: f64) -> usize {
    // A float beyond the range becomes the end of it.
    (seconds * 5.0).clamp(3.0, 200.0) as usize
}
