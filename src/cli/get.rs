//! `ohc get`: lists what the log knows, a page at a time. Changes nothing.

use super::Context;
use super::args::{Format, Get, Listed};
use super::describe;
use super::exit::{Exit, Stop};
use super::home;
use super::names::Names;
use super::report::json;
use super::report::sheet::{Sheet, numbers, words};
use super::subject;
use super::wallet::pending;
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::ids::{JobId, RunId};
use crate::base::keys::PublicKey;
use crate::domain::classes::Classes;
use crate::domain::state::State;
use crate::domain::state::run::{BlockRun, Gone, Phase, Run, Status};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A page of a list: which of its things are shown.
struct Page {
    /// The name after which it begins; none once that has passed.
    after: Option<String>,
    room: u32,
    /// The last name on it.
    last: Option<String>,
    /// Whether things come after it.
    has_more: bool,
}

impl Page {
    /// Whether the next thing, of this name, is on the page.
    fn takes(&mut self, name: &str) -> bool {
        if let Some(after) = &self.after {
            if after == name {
                self.after = None;
            }
            return false;
        }
        if self.room == 0 {
            self.has_more = true;
            return false;
        }
        self.room -= 1;
        self.last = Some(name.to_owned());
        true
    }

    /// What `--after` has to say for the next page, if there is one.
    fn next(&self) -> Option<&String> {
        self.last.as_ref().filter(|_| self.has_more)
    }
}

pub(super) fn get(args: &Get, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (view, names) = home::open(&home)?;
    let state = &view.state;
    let only = match args.run {
        Some(name) => Some(subject::run(name, state)?.id),
        None => None,
    };
    let mut page =
        Page { after: args.after.clone(), room: args.limit, last: None, has_more: false };
    let mut sheet = match args.kind {
        Listed::Runs => runs(state, only, &names, &mut page),
        Listed::Stages => stages(state, only, &mut page),
        Listed::Blocks => blocks(state, only, &names, &mut page),
        Listed::Jobs => jobs(state, only, &names, &mut page),
        Listed::Artifacts => artifacts(state, only, &names, &mut page),
        Listed::Accounts => accounts(state, &names, &mut page),
        Listed::Workers => workers(state, &names, &mut page),
    };
    if let Some(after) = &page.after {
        let message = format!("there is nothing called `{after}` in this list");
        let hint = "--after takes a name as `-o name` prints it".to_owned();
        return Err(Stop::failed(message, Some(hint)));
    }
    let next = page.next().cloned();
    if let Value::Object(fields) = &mut sheet.fields {
        fields.insert("next".into(), json!(next));
    }
    let format = args.output.format;
    context.screen.sheet(sheet, format)?;
    if let (Some(next), Format::Table | Format::Wide) = (next, format) {
        context.screen.line(format!("there are more: --after {next}"))?;
    }
    Ok(Exit::Done)
}

fn wanted(state: &State, only: Option<RunId>) -> impl Iterator<Item = &Run> {
    state.runs().values().filter(move |run| only.is_none_or(|only| only == run.id))
}

fn runs(state: &State, only: Option<RunId>, names: &Names, page: &mut Page) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        let id = run.id.to_string();
        if !page.takes(&id) {
            continue;
        }
        let (reward, gas) = run.spent();
        let spent = Ohc::sum([reward, gas, run.fees]).unwrap_or_default();
        let status = json::status(&run.status);
        let done = run.blocks.len() - run.blocks_left;
        let blocks = format!("{done}/{}", run.blocks.len());
        let refunded = match &run.status {
            Status::Ended { refund, .. } => *refund,
            _ => Ohc::ZERO,
        };
        let (name, client, jobs) = (&run.name, names.of(&run.client), run.plan.dag.jobs.len());
        items.push(json!({
            "run": id, "pipeline": name, "client": client, "status": status,
            "since": run.since.0, "jobs": jobs,
            "blocks": {"done": done, "all": run.blocks.len()},
            "reward": json::ohc(reward), "gas": json::ohc(gas), "fees": json::ohc(run.fees),
            "refunded": json::ohc(refunded), "budget": json::ohc(run.budget),
        }));
        let (cost, budget) = (spent.to_string(), run.budget.to_string());
        let wide = [client, run.since.to_string(), jobs.to_string(), refunded.to_string()];
        let shown = [id, name.clone(), status.to_owned(), blocks, cost, budget];
        rows.push(shown.into_iter().chain(wide).collect());
    }
    let columns = vec![
        words("run"),
        words("pipeline"),
        words("status"),
        numbers("blocks"),
        numbers("spent"),
        numbers("budget"),
        words("client").wide(),
        numbers("slot").wide(),
        numbers("jobs").wide(),
        numbers("refunded").wide(),
    ];
    Sheet { kind: "RunList", columns, rows, items, fields: json!({}), none: "no run yet" }
}

/// Fields of objects, as cells of a row.
fn cells(item: &Value, fields: &[&str]) -> Vec<String> {
    let cell = |name: &&str| match item.get(*name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    fields.iter().map(cell).collect()
}

fn stages(state: &State, only: Option<RunId>, page: &mut Page) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        for mut item in describe::stages(run) {
            let name = format!("{}/{}", run.id, cells(&item, &["stage"]).concat());
            if !page.takes(&name) {
                continue;
            }
            if let Value::Object(fields) = &mut item {
                fields.insert("run".into(), run.id.to_string().into());
            }
            let shown = ["uses", "status", "jobs", "ran", "cached", "gone", "sold_as"];
            let mut row = vec![name];
            row.extend(cells(&item, &shown));
            row.extend(cells(&item, &["reward", "gas"]));
            rows.push(row);
            items.push(item);
        }
    }
    let columns = vec![
        words("stage"),
        words("uses"),
        words("status"),
        numbers("jobs"),
        numbers("ran"),
        numbers("cached"),
        numbers("gone"),
        words("sold as").wide(),
        numbers("reward").wide(),
        numbers("gas").wide(),
    ];
    Sheet { kind: "StageList", columns, rows, items, fields: json!({}), none: "no stage yet" }
}

fn blocks(state: &State, only: Option<RunId>, names: &Names, page: &mut Page) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        for index in (0u32..).take(run.blocks.len()) {
            let id = run.block_id(index).to_string();
            if !page.takes(&id) {
                continue;
            }
            let item = block_item(run, index, names);
            let shown =
                ["block", "name", "jobs", "phase", "attempts", "worker", "reward", "gas", "stages"];
            rows.push(cells(&item, &shown));
            items.push(item);
        }
    }
    let columns = vec![
        words("block"),
        words("name"),
        numbers("jobs"),
        words("phase"),
        numbers("attempts"),
        words("worker"),
        numbers("reward"),
        numbers("gas"),
        words("stages").wide(),
    ];
    Sheet { kind: "BlockList", columns, rows, items, fields: json!({}), none: "no block yet" }
}

/// The blocks of a run as objects.
pub(super) fn block_items(run: &Run, names: &Names) -> Vec<Value> {
    (0u32..).take(run.blocks.len()).map(|index| block_item(run, index, names)).collect()
}

/// One block as an object.
pub(super) fn block_item(run: &Run, index: u32, names: &Names) -> Value {
    let Some(block) = run.block(index) else { return Value::Null };
    let paid = match &block.phase {
        Phase::Settled(paid) => Some(paid),
        _ => None,
    };
    let jobs = run.plan.blocks.get(index as usize).map_or(0, |block| block.jobs.len());
    json!({
        "block": run.block_id(index).to_string(), "run": run.id.to_string(),
        "name": run.plan.name_of(index), "jobs": jobs, "stages": run.plan.stages_of(index),
        "phase": json::phase(run, &block.phase), "attempts": block.attempts,
        "worker": worker_of(block).map(|key| names.of(key)),
        "reward": paid.map(|paid| json::ohc(paid.reward)),
        "gas": paid.map(|paid| json::ohc(paid.gas)),
    })
}

fn worker_of(block: &BlockRun) -> Option<&PublicKey> {
    match &block.phase {
        Phase::Leased(lease) => Some(&lease.worker),
        Phase::Sealed(sealed) => Some(&sealed.lease.worker),
        Phase::Delivered(delivery) => Some(&delivery.lease.worker),
        Phase::Judged(judging) => Some(&judging.delivery.lease.worker),
        Phase::Settled(paid) => Some(&paid.worker),
        _ => None,
    }
}

fn jobs(state: &State, only: Option<RunId>, names: &Names, page: &mut Page) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        for (id, job) in (0u32..).map(JobId).zip(&run.plan.dag.jobs) {
            let name = format!("{}/{job}", run.id);
            if !page.takes(&name) {
                continue;
            }
            let Some(item) = job_item(run, id, names) else { continue };
            let mut row = vec![name];
            row.extend(cells(&item, &["uses", "block", "work", "state", "worker", "lease"]));
            rows.push(row);
            items.push(item);
        }
    }
    let columns = vec![
        words("job"),
        words("uses"),
        words("block"),
        numbers("work"),
        words("state"),
        words("worker"),
        words("lease").wide(),
    ];
    Sheet { kind: "JobList", columns, rows, items, fields: json!({}), none: "no job yet" }
}

/// One job as an object.
pub(super) fn job_item(run: &Run, id: JobId, names: &Names) -> Option<Value> {
    let job = run.plan.job(id)?;
    let block = *run.plan.block_of.get(id.index())?;
    let known = run.result(id);
    let state = match (known, run.gone.get(&id)) {
        (Some(known), _) if known.lease.block.run == run.id => "settled",
        (Some(_), _) => "cached",
        (None, Some(Gone::Failed(_))) => "failed",
        (None, Some(Gone::GivenUp(_))) => "given-up",
        (None, Some(Gone::Skipped(_))) => "skipped",
        (None, None) => run.block(block).map_or("waiting", |block| json::phase(run, &block.phase)),
    };
    Some(json!({
        "job": job.to_string(), "run": run.id.to_string(), "stage": job.stage,
        "uses": job.spec.kind(), "block": run.block_id(block).to_string(),
        "work": job.size.work().units(), "state": state,
        "worker": known.map(|known| names.of(&known.worker)),
        "lease": known.map(|known| known.lease.to_string()),
        "key": run.key(id).map(|key| key.to_string()),
    }))
}

fn artifacts(state: &State, only: Option<RunId>, names: &Names, page: &mut Page) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        for (id, job) in (0u32..).map(JobId).zip(&run.plan.dag.jobs) {
            let Some(known) = run.result(id) else { continue };
            for (output, digest) in std::iter::zip(job.spec.outputs(), &known.outputs) {
                let name = format!("{}/{job}.{output}", run.id);
                if !page.takes(&name) {
                    continue;
                }
                let worker = names.of(&known.worker);
                items.push(json!({
                    "artifact": name, "run": run.id.to_string(), "job": job.to_string(),
                    "output": output, "digest": digest.to_string(), "worker": worker,
                    "lease": known.lease.to_string(),
                }));
                rows.push(vec![name, digest.short(), worker, known.lease.to_string()]);
            }
        }
    }
    let columns = vec![words("artifact"), words("digest"), words("worker"), words("lease").wide()];
    let none = "no artifact yet";
    Sheet { kind: "ArtifactList", columns, rows, items, fields: json!({}), none }
}

fn accounts(state: &State, names: &Names, page: &mut Page) -> Sheet {
    let ledger = state.ledger();
    let keys: BTreeSet<PublicKey> =
        ledger.accounts().map(|(key, _)| *key).chain(names.iter().map(|(key, _)| *key)).collect();
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for key in keys {
        let account = ledger.account(&key);
        let (escrow, bond) = pending(ledger, &key);
        let name = names.of(&key);
        if !page.takes(&name) {
            continue;
        }
        items.push(json!({
            "name": name, "key": key.to_string(), "balance": json::ohc(account.balance),
            "escrow": json::ohc(escrow), "bond": json::ohc(bond), "stake": json::ohc(account.stake),
        }));
        let amounts = [account.balance, escrow, bond, account.stake];
        let cells = [name, key.short()].into_iter();
        rows.push(cells.chain(amounts.iter().map(ToString::to_string)).collect());
    }
    let nobody = |name: &str, amount: Ohc| vec![name.to_owned(), String::new(), amount.to_string()];
    rows.push(nobody("treasury", ledger.treasury()));
    rows.push(nobody("burned", ledger.burned()));
    let columns = vec![
        words("name"),
        words("key"),
        numbers("balance"),
        numbers("escrow"),
        numbers("bond"),
        numbers("stake"),
    ];
    let supply = SUPPLY.nano() / crate::base::amount::NANO_PER_OHC;
    let fields = json!({
        "supply": supply.to_string(), "treasury": json::ohc(ledger.treasury()),
        "burned": json::ohc(ledger.burned()),
    });
    Sheet { kind: "AccountList", columns, rows, items, fields, none: "no account" }
}

fn workers(state: &State, names: &Names, page: &mut Page) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for (key, worker) in state.workers() {
        let ask = worker.bid.map(|bid| bid.ask.nano_per_unit());
        let name = names.of(key);
        if !page.takes(&name) {
            continue;
        }
        let record = &worker.record;
        items.push(json!({
            "name": name, "key": key.to_string(), "ask": ask, "leases": worker.leases.len(),
            "queued": worker.queued.units(), "earned": json::ohc(worker.earned),
            "good": record.good, "bad": record.bad, "classes": json::classes(worker.takes),
        }));
        rows.push(vec![
            name,
            key.short(),
            ask.map_or_else(|| "-".to_owned(), |ask| ask.to_string()),
            worker.leases.len().to_string(),
            record.good.to_string(),
            record.bad.to_string(),
            worker.earned.to_string(),
            worker.queued.units().to_string(),
            worker.bid.map(|bid| bid.capacity.units().to_string()).unwrap_or_default(),
            if worker.takes == Classes::ALL { "all".into() } else { worker.takes.to_string() },
        ]);
    }
    let columns = vec![
        words("worker"),
        words("key"),
        numbers("ask"),
        numbers("leases"),
        numbers("good"),
        numbers("bad"),
        numbers("earned"),
        numbers("queued").wide(),
        numbers("capacity").wide(),
        words("classes").wide(),
    ];
    Sheet {
        kind: "WorkerList",
        columns,
        rows,
        items,
        fields: json!({}),
        none: "no worker has ever bid",
    }
}
