//! `ohc describe`: everything that the log and the journals know about one thing.
//! Folds the log again where the state has forgotten; never changes anything.

use super::Context;
use super::args::{Describe, RunName};
use super::exit::{Exit, Stop};
use super::get;
use super::home;
use super::names::Names;
use super::report::bill::Bill;
use super::report::card::{Card, List};
use super::report::{json, prose};
use super::subject::{self, Subject};
use super::wallet::pending;
use super::why;
use crate::base::ids::{BlockId, JobId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::domain::command::{Command, Submission};
use crate::domain::event::{Ending, Event};
use crate::domain::graph::{Edge, From, Job};
use crate::domain::state::State;
use crate::domain::state::run::{Gone, Run, Status};
use crate::domain::verdict::{Finding, Verification};
use crate::node::history;
use crate::node::home::Home;
use crate::node::journal::{Entry, Reader};
use crate::node::story::{Turn, What};
use crate::node::view::View;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) fn describe(args: &Describe, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (view, names) = home::open(&home)?;
    let state = &view.state;
    let card = match subject::find(&args.subject, state, &names)? {
        Subject::Run(run) => run_card(&home, &view, run, &names)?,
        Subject::Block(block) => block_card(&view, block, &names)?,
        Subject::Job(run, job) => job_card(state, run, job, &names),
        Subject::Account(key) => account_card(state, &key, &names),
    };
    context.screen.card(card, args.output.format)?;
    Ok(Exit::Done)
}

fn run_card(home: &Home, view: &View, id: RunId, names: &Names) -> Result<Card, Stop> {
    let run = subject::run(RunName::Run(id), &view.state)?;
    let submission = submission(view, run)?;
    let bill = Bill::of(run);
    let done = run.blocks.len() - run.blocks_left;
    let params = submission.iter().flat_map(|asked| &asked.params);
    let params: Map<String, Value> =
        params.map(|(name, value)| (name.clone(), json!(value))).collect();
    let pins = submission.iter().flat_map(|asked| &asked.pins);
    let sources = pins.map(
        |pin| json!({"source": pin.source, "bytes": pin.bytes, "digest": pin.digest.to_string()}),
    );
    let fields = vec![
        ("run", json!(run.id.to_string())),
        ("pipeline", json!(run.name)),
        ("client", json!(names.of(&run.client))),
        ("status", json!(json::status(&run.status))),
        ("because", because(run)),
        ("slot", json!(run.since.0)),
        ("subject", json!(run.subject.to_string())),
        ("params", Value::Object(params)),
        ("jobs", json!(run.plan.dag.jobs.len())),
        ("blocks", json!({"done": done, "all": run.blocks.len()})),
        ("budget", json::ohc(run.budget)),
        ("reward", json::ohc(bill.reward)),
        ("gas", json::ohc(bill.gas)),
        ("fees", json::ohc(bill.fees)),
        ("refunded", json::ohc(bill.refunded)),
    ];
    let columns =
        vec!["stage", "uses", "jobs", "ran", "cached", "gone", "sold_as", "reward", "gas"];
    let stages = List { name: "stages", columns, items: stages(run) };
    let columns = vec!["source", "bytes", "digest"];
    let sources = List { name: "sources", columns, items: sources.collect() };
    let columns = vec!["job", "metrics"];
    let metrics = List { name: "measured", columns, items: metrics(run) };
    let columns = vec!["block", "name", "phase", "worker", "reward", "gas"];
    let blocks = List { name: "sold", columns, items: get::block_items(run, names) };
    let columns = vec!["output", "digest", "file"];
    let outputs = List { name: "outputs", columns, items: outputs(home, run.id) };
    let lists = vec![sources, stages, metrics, blocks, outputs];
    Ok(Card { kind: "Run", name: run.id.to_string(), fields, lists })
}

/// Why a run is over or stands still, where there is something to say.
fn because(run: &Run) -> Value {
    let job = |id: JobId| run.plan.job(id).map(ToString::to_string).unwrap_or_default();
    let stage = |block: u32| run.plan.name_of(block);
    match &run.status {
        Status::Ended { ending: Ending::Settled | Ending::Cancelled, .. } => Value::Null,
        Status::Ended { ending, .. } | Status::Draining(ending) => {
            json!(prose::failure(ending, &job, &stage).0)
        }
        Status::Paused(reason) => json!(json::pause(reason)),
        _ => Value::Null,
    }
}

/// What was asked for when a run began: the state keeps the plan alone.
fn submission(view: &View, run: &Run) -> Result<Option<Submission>, Stop> {
    if run.since <= view.base() {
        return Ok(Some(run.plan.submission().clone()));
    }
    let mut found = None;
    let folded = history::fold(view, &mut |page| {
        let began =
            |event: &Event| matches!(event, Event::Submitted { run: id, .. } if *id == run.id);
        if !page.events.iter().any(began) {
            return;
        }
        found = page.accepted().find_map(|order| match &order.body.command {
            Command::Submit(asked) if asked.subject() == run.subject => Some((**asked).clone()),
            _ => None,
        });
    });
    folded.map_err(|error| home::stop(&error))?;
    Ok(found)
}

/// The stages of a run in the order of their first job.
pub(super) fn stages(run: &Run) -> Vec<Value> {
    #[derive(Default)]
    struct Counts {
        jobs: u64,
        ran: u64,
        cached: u64,
        gone: u64,
    }
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut by_stage: BTreeMap<&str, Counts> = BTreeMap::new();
    for (id, job) in (0u32..).map(JobId).zip(&run.plan.dag.jobs) {
        let counts = by_stage.entry(job.stage.as_str()).or_insert_with(|| {
            order.push((job.stage.as_str(), job.spec.kind()));
            Counts::default()
        });
        counts.jobs += 1;
        match run.result(id) {
            Some(known) if known.lease.block.run == run.id => counts.ran += 1,
            Some(_) => counts.cached += 1,
            None => counts.gone += u64::from(run.gone.contains_key(&id)),
        }
    }
    let bill = Bill::of(run);
    let item = |(stage, uses): (&str, &str)| {
        let counts = by_stage.remove(stage).unwrap_or_default();
        let Counts { jobs, ran, cached, gone } = counts;
        let status = match jobs - ran - cached - gone {
            0 if gone == jobs => "gone",
            0 if cached == jobs => "cached",
            0 => "done",
            _ if run.is_over() => "void",
            _ => "open",
        };
        // What was sold together with another stage has its price there: `table+split`.
        let line = bill.lines.iter().find(|line| line.stage.split('+').any(|name| name == stage));
        json!({"stage": stage, "uses": uses, "status": status, "jobs": jobs, "ran": ran,
            "cached": cached, "gone": gone, "sold_as": line.map(|line| line.stage.clone()),
            "reward": line.map(|line| json::ohc(line.reward)),
            "gas": line.map(|line| json::ohc(line.gas))})
    };
    order.into_iter().map(item).collect()
}

/// What the jobs of a run measured.
fn metrics(run: &Run) -> Vec<Value> {
    let measured = |(id, job): (u32, &Job)| {
        let known = run.result(JobId(id)).filter(|known| !known.metrics.is_empty())?;
        Some(json!({"job": job.to_string(), "metrics": measures(&known.metrics)}))
    };
    (0u32..).zip(&run.plan.dag.jobs).filter_map(measured).collect()
}

fn measures(metrics: &[(String, f64)]) -> Value {
    let measure = |(name, value): &(String, f64)| (name.clone(), json!(value));
    Value::Object(metrics.iter().map(measure).collect())
}

/// Where the outputs of a run were written, as its journal says.
fn outputs(home: &Home, run: RunId) -> Vec<Value> {
    let mut outputs: BTreeMap<String, Value> = BTreeMap::new();
    // Without a journal nobody knows.
    let Ok(Some(mut reader)) = Reader::open(&home.runs(), run) else { return Vec::new() };
    while let Ok(Some(line)) = reader.next_line() {
        if let Entry::Published { output, file, digest } = line.entry {
            let item = json!({"output": output, "file": file, "digest": digest});
            outputs.insert(output, item);
        }
    }
    outputs.into_values().collect()
}

fn block_card(view: &View, block: BlockId, names: &Names) -> Result<Card, Stop> {
    let run = subject::run(RunName::Run(block.run), &view.state)?;
    let turns = why::story(view, block)?;
    let planned = run.plan.blocks.get(block.index as usize);
    let jobs = planned.map_or(&[][..], |block| &block.jobs);
    let ids = |indexes: &[u32]| -> Vec<Value> {
        indexes.iter().map(|index| json!(run.block_id(*index).to_string())).collect()
    };
    let own = get::block_item(run, block.index, names);
    let mut fields = vec![
        ("block", json!(block.to_string())),
        ("name", json!(run.plan.name_of(block.index))),
        ("run", json!(run.id.to_string())),
    ];
    let known = ["phase", "attempts", "worker", "reward", "gas"];
    fields.extend(known.map(|name| (name, own.get(name).cloned().unwrap_or_default())));
    if let Some(planned) = planned {
        fields.push(("needs", Value::Array(ids(&planned.needs))));
        fields.push(("feeds", Value::Array(ids(&planned.feeds))));
    }
    if let Some(terms) = run.terms(block.index) {
        fields.push(("verification", json!(verification(terms.verification))));
    }
    let columns = vec!["job", "uses", "work", "state"];
    let jobs = jobs.iter().filter_map(|id| get::job_item(run, *id, names)).collect();
    let jobs = List { name: "jobs", columns, items: jobs };
    let columns = vec!["attempt", "worker", "price", "bond", "receipt", "drawn", "ended"];
    let attempts = List { name: "tries", columns, items: attempts(&turns, names) };
    let columns = vec!["attempt", "validator", "finding", "slot"];
    let verdicts = List { name: "verdicts", columns, items: verdicts(&turns, names) };
    let lists = vec![jobs, attempts, verdicts];
    Ok(Card { kind: "Block", name: block.to_string(), fields, lists })
}

/// The attempts at a block, from its story.
fn attempts(turns: &[Turn], names: &Names) -> Vec<Value> {
    let mut attempts: BTreeMap<u32, Map<String, Value>> = BTreeMap::new();
    for Turn { height, what, .. } in turns {
        if let What::Stored { lease, bytes, read, given, .. } = what {
            let attempt = attempts.entry(lease.attempt).or_default();
            attempt.insert("stored".into(), json!(bytes));
            attempt.insert("moved".into(), json!(read.saturating_add(*given)));
        }
        let What::Event(event) = what else { continue };
        let Some(lease) = event.lease() else { continue };
        let ended = |word: &str| vec![("ended", json!(word)), ("ended_slot", json!(height.0))];
        let said = match event {
            Event::Leased { worker, price, bond, work, .. } => vec![
                ("worker", json!(names.of(worker))),
                ("price", json::ohc(*price)),
                ("bond", json::ohc(*bond)),
                ("work", json!(work.units())),
                ("leased_slot", json!(height.0)),
            ],
            Event::Delivered { receipt, .. } => {
                let receipt = json!(receipt.to_string());
                vec![("receipt", receipt), ("delivered_slot", json!(height.0))]
            }
            Event::Late { ticks, price, .. } => {
                vec![("late_ticks", json!(ticks)), ("price", json::ohc(*price))]
            }
            Event::Drawn { audit, .. } => {
                let committee: Vec<String> =
                    audit.committee.iter().map(|key| names.of(key)).collect();
                vec![("drawn", json!(audit.segments.len())), ("committee", json!(committee))]
            }
            Event::Settled { .. } => ended("settled"),
            Event::Released { .. } => ended("released"),
            Event::Lapsed { cause, fine, .. } => {
                let cause = [("cause", json!(cause.word())), ("fine", json::ohc(*fine))];
                ended("lapsed").into_iter().chain(cause).collect()
            }
            Event::Slashed { bond, .. } => {
                ended("slashed").into_iter().chain([("fine", json::ohc(*bond))]).collect()
            }
            _ => continue,
        };
        let attempt = attempts.entry(lease.attempt).or_default();
        attempt.insert("attempt".into(), lease.attempt.into());
        attempt.extend(said.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    attempts.into_values().map(Value::Object).collect()
}

fn verdicts(turns: &[Turn], names: &Names) -> Vec<Value> {
    let verdict = |turn: &Turn| match &turn.what {
        What::Judged { lease, validator, finding } => {
            let finding = match finding {
                Finding::Agree => "agree",
                Finding::Object { .. } => "object",
                Finding::Deny { .. } => "deny",
            };
            Some(json!({"attempt": lease.attempt, "validator": names.of(validator),
                "finding": finding, "slot": turn.height.0}))
        }
        _ => None,
    };
    turns.iter().filter_map(verdict).collect()
}

fn verification(verification: Verification) -> String {
    match verification {
        Verification::Full => "everything is computed again".to_owned(),
        Verification::None => "nothing is computed again".to_owned(),
        Verification::Replicate { workers } => {
            format!("{} compute all of it", prose::count(workers as usize, "worker"))
        }
        Verification::Audit { rate_ppm, segments } => {
            let percent = f64::from(rate_ppm) / 10_000.0;
            format!("{percent} % of receipts, {} each", prose::count(segments as usize, "segment"))
        }
    }
}

fn job_card(state: &State, id: RunId, job: JobId, names: &Names) -> Card {
    let Some(run) = state.runs().get(&id) else { return Card::default() };
    let Some(planned) = run.plan.job(job) else { return Card::default() };
    let item = get::job_item(run, job, names).unwrap_or_default();
    let known = run.result(job);
    let mut fields = vec![
        ("job", json!(planned.to_string())),
        ("run", json!(run.id.to_string())),
        ("uses", json!(planned.spec.kind())),
    ];
    let shown = ["state", "block", "work", "worker", "lease"];
    fields.extend(shown.map(|name| (name, item.get(name).cloned().unwrap_or_default())));
    let failure = match run.gone.get(&job) {
        Some(Gone::Failed(failure)) => json!(failure.message),
        _ => Value::Null,
    };
    let checked = known.map(|known| verification(known.checked));
    fields.extend([
        ("failure", failure),
        ("key", json!(run.key(job).map(|key| key.to_string()))),
        ("checked", json!(checked)),
        ("metrics", known.map_or(Value::Null, |known| measures(&known.metrics))),
    ]);
    let digests: BTreeMap<String, String> = run
        .known_inputs(job)
        .map(|inputs| inputs.into_iter().map(|i| (i.name, i.digest.to_string())).collect())
        .unwrap_or_default();
    let address = |id: &JobId| run.plan.job(*id).map(ToString::to_string).unwrap_or_default();
    let input = |edge: &Edge| {
        let from = match &edge.from {
            From::Source { name, .. } => format!("sources.{name}"),
            From::Job { id, output } => format!("{}.{output}", address(id)),
        };
        json!({"input": edge.name, "from": from, "digest": digests.get(&edge.name)})
    };
    let columns = vec!["input", "digest", "from"];
    let items = planned.inputs.iter().map(input).collect();
    let inputs = List { name: "inputs", columns, items };
    let output = |(index, name): (usize, &str)| {
        let digest = known.and_then(|known| known.outputs.get(index));
        json!({"output": name, "digest": digest.map(|digest| digest.to_string())})
    };
    let items = planned.spec.outputs().into_iter().enumerate().map(output).collect();
    let outputs = List { name: "outputs", columns: vec!["output", "digest"], items };
    Card { kind: "Job", name: planned.to_string(), fields, lists: vec![inputs, outputs] }
}

fn account_card(state: &State, key: &PublicKey, names: &Names) -> Card {
    let ledger = state.ledger();
    let account = ledger.account(key);
    let (escrow, bond) = pending(ledger, key);
    let name = names.of(key);
    let runs = state.runs().values().filter(|run| run.client == *key).count();
    let mut fields = vec![
        ("name", json!(name)),
        ("key", json!(key.to_string())),
        ("balance", json::ohc(account.balance)),
        ("escrow", json::ohc(escrow)),
        ("bond", json::ohc(bond)),
        ("stake", json::ohc(account.stake)),
        ("validates", json!(state.validators().contains_key(key))),
        ("runs", json!(runs)),
        ("commands", json!(state.nonce(key))),
    ];
    let Some(worker) = state.workers().get(key) else {
        return Card { kind: "Account", name, fields, lists: Vec::new() };
    };
    fields.extend([
        ("ask", json!(worker.bid.map(|bid| bid.ask.nano_per_unit()))),
        ("capacity", json!(worker.bid.map(|bid| bid.capacity.units()))),
        ("classes", json::classes(worker.takes)),
        ("queued", json!(worker.queued.units())),
        ("good", json!(worker.record.good)),
        ("bad", json!(worker.record.bad)),
        ("earned", json::ohc(worker.earned)),
    ]);
    let lease = |lease: &LeaseId| {
        let run = state.runs().get(&lease.block.run);
        json!({"lease": lease.to_string(),
            "name": run.map(|run| run.plan.name_of(lease.block.index))})
    };
    let items = worker.leases.iter().map(lease).collect();
    let leases = List { name: "leases", columns: vec!["lease", "name"], items };
    Card { kind: "Worker", name, fields, lists: vec![leases] }
}
