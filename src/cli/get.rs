//! `ohc get`: lists what the log knows. Changes nothing.

use super::Context;
use super::args::{Get, Listed};
use super::exit::{Exit, Stop};
use super::home;
use super::names::Names;
use super::report::json;
use super::report::sheet::{Sheet, numbers, words};
use super::wallet::pending;
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::domain::state::State;
use crate::domain::state::run::{BlockRun, Phase, Run, Status};
use serde_json::json;
use std::collections::BTreeSet;

pub(super) fn get(args: &Get, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (view, names) = home::open(&home)?;
    let state = &view.state;
    if let Some(run) = args.run.filter(|run| !state.runs().contains_key(run)) {
        let hint = "`ohc get runs` lists them".to_owned();
        return Err(Stop::failed(format!("there is no {run} in this log"), Some(hint)));
    }
    let sheet = match args.kind {
        Listed::Runs => runs(state, args.run, &names),
        Listed::Blocks => blocks(state, args.run, &names),
        Listed::Accounts => accounts(state, &names),
        Listed::Workers => workers(state, &names),
    };
    context.screen.sheet(sheet, args.output.format)?;
    Ok(Exit::Done)
}

fn wanted(state: &State, only: Option<RunId>) -> impl Iterator<Item = &Run> {
    state.runs().values().filter(move |run| only.is_none_or(|only| only == run.id))
}

fn runs(state: &State, only: Option<RunId>, names: &Names) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        let (reward, gas) = run.spent();
        let spent = reward.checked_add(gas).unwrap_or_default();
        let status = json::status(&run.status);
        let done = run.blocks.len() - run.blocks_left;
        let blocks = format!("{done}/{}", run.blocks.len());
        let refunded = match &run.status {
            Status::Ended { refund, .. } => *refund,
            _ => Ohc::ZERO,
        };
        let (id, name) = (run.id.to_string(), run.name.clone());
        let (cost, budget) = (spent.to_string(), run.budget.to_string());
        items.push(json!({
            "run": id, "pipeline": name, "client": names.of(&run.client), "status": status,
            "since": run.since.0, "jobs": run.plan.dag.jobs.len(),
            "blocks": {"done": done, "all": run.blocks.len()},
            "reward": json::ohc(reward), "gas": json::ohc(gas), "refunded": json::ohc(refunded),
            "budget": json::ohc(run.budget),
        }));
        rows.push(vec![id, name, status.to_owned(), blocks, cost, budget]);
    }
    let columns = vec![
        words("run"),
        words("pipeline"),
        words("status"),
        numbers("blocks"),
        numbers("spent"),
        numbers("budget"),
    ];
    Sheet { kind: "RunList", columns, rows, items, fields: json!({}), none: "no run yet" }
}

fn blocks(state: &State, only: Option<RunId>, names: &Names) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for run in wanted(state, only) {
        for (index, block) in (0u32..).zip(&run.blocks) {
            let (id, name) = (run.block_id(index).to_string(), run.plan.name_of(index));
            let phase = json::phase(&block.phase);
            let worker = worker_of(block).map(|key| names.of(key));
            let paid = match &block.phase {
                Phase::Settled(paid) => Some(paid),
                _ => None,
            };
            let jobs = run.plan.blocks.get(index as usize).map_or(0, |block| block.jobs.len());
            items.push(json!({
                "block": id, "run": run.id.to_string(), "name": name, "jobs": jobs,
                "stages": run.plan.stages_of(index),
                "phase": phase, "attempts": block.attempts, "worker": worker,
                "reward": paid.map(|paid| json::ohc(paid.reward)),
                "gas": paid.map(|paid| json::ohc(paid.gas)),
            }));
            rows.push(vec![
                id,
                name,
                jobs.to_string(),
                phase.to_owned(),
                block.attempts.to_string(),
                worker.unwrap_or_default(),
                paid.map(|paid| paid.reward.to_string()).unwrap_or_default(),
                paid.map(|paid| paid.gas.to_string()).unwrap_or_default(),
            ]);
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
    ];
    Sheet { kind: "BlockList", columns, rows, items, fields: json!({}), none: "no block yet" }
}

fn worker_of(block: &BlockRun) -> Option<&PublicKey> {
    match &block.phase {
        Phase::Leased(lease) => Some(&lease.worker),
        Phase::Delivered(delivery) => Some(&delivery.lease.worker),
        Phase::Judged(judging) => Some(&judging.delivery.lease.worker),
        Phase::Settled(paid) => Some(&paid.worker),
        _ => None,
    }
}

fn accounts(state: &State, names: &Names) -> Sheet {
    let ledger = state.ledger();
    let keys: BTreeSet<PublicKey> =
        ledger.accounts().map(|(key, _)| *key).chain(names.iter().map(|(key, _)| *key)).collect();
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for key in keys {
        let account = ledger.account(&key);
        let (escrow, bond) = pending(ledger, &key);
        let name = names.of(&key);
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

fn workers(state: &State, names: &Names) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for (key, worker) in state.workers() {
        let ask = worker.bid.map(|bid| bid.ask.nano_per_unit());
        let name = names.of(key);
        let record = &worker.record;
        items.push(json!({
            "name": name, "key": key.to_string(), "ask": ask, "leases": worker.leases.len(),
            "queued": worker.queued.units(), "earned": json::ohc(worker.earned),
            "good": record.good, "bad": record.bad,
        }));
        rows.push(vec![
            name,
            key.short(),
            ask.map_or_else(|| "-".to_owned(), |ask| ask.to_string()),
            worker.leases.len().to_string(),
            record.good.to_string(),
            record.bad.to_string(),
            worker.earned.to_string(),
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
