//! Values as JSON for programs: stable, with a version, amounts as decimal strings of OhC.
//! Never read back: JSON is not a format of this system.

use super::bill::Bill;
use crate::base::amount::Ohc;
use crate::base::ids::{JobId, LeaseId};
use crate::base::keys::PublicKey;
use crate::cli::names::Names;
use crate::domain::classes::Classes;
use crate::domain::command::Command;
use crate::domain::event::{Ending, Event, GaveUp, Pause, Skip};
use crate::domain::forecast::{Fate, Forecast, StageForecast, Time};
use crate::domain::job::Tolerance;
use crate::domain::plan::Plan;
use crate::domain::revision::Difference;
use crate::domain::state::run::{Phase, Run, Status};
use crate::node::Progress;
use crate::node::publish::Published;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version of every object that is described here.
pub(crate) const VERSION: u32 = 1;

/// An amount.
pub(crate) fn ohc(amount: Ohc) -> Value {
    Value::String(amount.to_string())
}

/// Adds what every object begins with.
pub(crate) fn object(kind: &str, fields: Value) -> Value {
    let mut object = Map::new();
    object.insert("version".into(), VERSION.into());
    object.insert("kind".into(), kind.into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object)
}

/// One event: its kind in one word, and what it is about.
pub(crate) fn event(event: &Event, names: &Names) -> Value {
    match event {
        Event::Rejected { author, nonce, reason } => json!({
            "kind": "rejected", "author": names.of(author), "nonce": nonce,
            "reason": reason.to_string(),
        }),
        Event::Transferred { from, to, amount } => json!({
            "kind": "transferred", "from": names.of(from), "to": names.of(to),
            "amount": ohc(*amount),
        }),
        Event::Submitted { run, client, subject, budget } => json!({
            "kind": "submitted", "run": run.to_string(), "client": names.of(client),
            "subject": subject.to_string(), "budget": ohc(*budget),
        }),
        Event::BidPlaced { worker } => json!({"kind": "bid", "worker": names.of(worker)}),
        Event::BidGone { worker } => json!({"kind": "bid-gone", "worker": names.of(worker)}),
        Event::Cached { run, job } => json!({
            "kind": "cached", "run": run.to_string(), "job": job.0,
        }),
        Event::Offered { block, attempt, reserve, gas } => json!({
            "kind": "offered", "block": block.to_string(), "attempt": attempt,
            "reserve": ohc(*reserve), "gas": ohc(*gas),
        }),
        Event::Repriced { block, reserve } => json!({
            "kind": "repriced", "block": block.to_string(), "reserve": ohc(*reserve),
        }),
        Event::Leased { lease, worker, price, bond, work } => json!({
            "kind": "leased", "lease": lease.to_string(), "worker": names.of(worker),
            "price": ohc(*price), "bond": ohc(*bond), "work": work.units(),
        }),
        Event::Paused { run, reason } => json!({
            "kind": "paused", "run": run.to_string(), "reason": pause(reason),
        }),
        Event::Resumed { run, added } => json!({
            "kind": "resumed", "run": run.to_string(), "added": ohc(*added),
        }),
        Event::Failed { run, job, message, hint } => json!({
            "kind": "failed", "run": run.to_string(), "job": job.0, "message": message,
            "hint": hint,
        }),
        Event::GivenUp { block, why } => json!({
            "kind": "given-up", "block": block.to_string(), "why": gave_up(*why),
        }),
        Event::Skipped { run, job, why } => json!({
            "kind": "skipped", "run": run.to_string(), "job": job.0, "why": skip(*why),
            "because": cause_job(*why).map(|job| job.0),
        }),
        Event::Ended { run, ending, refund } => json!({
            "kind": "ended", "run": run.to_string(), "ending": self::ending(ending),
            "refund": ohc(*refund),
        }),
        Event::Absent { validator, fine } => json!({
            "kind": "absent", "validator": names.of(validator), "fine": ohc(*fine),
        }),
        Event::BaseMoved { was, price, unfilled_ppm } => json!({
            "kind": "base-price", "was": was.nano_per_unit(), "now": price.nano_per_unit(),
            "unfilled_ppm": unfilled_ppm,
        }),
        Event::Fee { author, fee } => json!({
            "kind": "fee", "author": names.of(author), "fee": ohc(*fee),
        }),
        Event::Uploading { author, bytes } => json!({
            "kind": "uploading", "author": names.of(author), "bytes": bytes,
        }),
        Event::Charged { author, refused, fee } => json!({
            "kind": "charged", "author": names.of(author), "refused": refused, "fee": ohc(*fee),
        }),
        other => stake_event(other, names).unwrap_or_else(|| lease_event(other, names)),
    }
}

fn set(validators: &BTreeMap<PublicKey, Ohc>, names: &Names) -> Value {
    let each = validators.iter();
    each.map(|(key, stake)| json!({ "validator": names.of(key), "stake": ohc(*stake) })).collect()
}

/// What happened to a stake.
fn stake_event(event: &Event, names: &Names) -> Option<Value> {
    Some(match event {
        Event::Bonded { validator, amount } => json!({
            "kind": "bonded", "validator": names.of(validator), "amount": ohc(*amount),
        }),
        Event::Unbonded { validator, amount } => json!({
            "kind": "unbonded", "validator": names.of(validator), "amount": ohc(*amount),
        }),
        Event::Joined { validator, stake } => json!({
            "kind": "joined", "validator": names.of(validator), "stake": ohc(*stake),
        }),
        Event::Left { validator } => json!({ "kind": "left", "validator": names.of(validator) }),
        Event::Locked { validator, amount, until } => json!({
            "kind": "locked", "validator": names.of(validator), "amount": ohc(*amount),
            "until": until.0,
        }),
        Event::Unlocked { validator, amount } => json!({
            "kind": "unlocked", "validator": names.of(validator), "amount": ohc(*amount),
        }),
        Event::Equivocated { validator, height, by, fine } => json!({
            "kind": "equivocated", "validator": names.of(validator), "height": height.0,
            "by": names.of(by), "fine": ohc(*fine),
        }),
        Event::Snapshot { parts, bytes } => json!({
            "kind": "snapshot", "parts": parts.to_string(), "bytes": bytes,
        }),
        Event::SetChanged { was, now } => json!({
            "kind": "set-changed", "was": set(was, names), "now": set(now, names),
        }),
        _ => return None,
    })
}

/// How far a job is: told now and then, and never needed to understand the rest.
pub(crate) fn progress(lease: LeaseId, job: &str, worker: &str, progress: Progress) -> Value {
    json!({
        "kind": "progress", "lease": lease.to_string(), "job": job, "worker": worker,
        "step": progress.step, "steps": progress.steps, "loss": progress.loss,
    })
}

/// What becomes of a lease.
fn lease_event(event: &Event, names: &Names) -> Value {
    match event {
        Event::Lapsed { lease, worker, cause, fine } => json!({
            "kind": "lapsed", "lease": lease.to_string(), "worker": names.of(worker),
            "cause": cause.word(), "fine": ohc(*fine),
        }),
        Event::Released { lease, worker } => json!({
            "kind": "released", "lease": lease.to_string(), "worker": names.of(worker),
        }),
        Event::Tendered { block, ticks } => json!({
            "kind": "tendered", "block": block.to_string(), "ticks": ticks,
        }),
        Event::BidSealed { block, worker, bond } => json!({
            "kind": "bid-sealed", "block": block.to_string(), "worker": names.of(worker),
            "bond": ohc(*bond),
        }),
        Event::BidTold { block, worker, ask } => json!({
            "kind": "bid-told", "block": block.to_string(), "worker": names.of(worker),
            "ask": ask.nano_per_unit(),
        }),
        Event::BidLost { block, worker, fine } => json!({
            "kind": "bid-lost", "block": block.to_string(), "worker": names.of(worker),
            "fine": ohc(*fine),
        }),
        Event::Sealed { lease, seal } => json!({
            "kind": "sealed", "lease": lease.to_string(), "seal": seal.to_string(),
        }),
        Event::Opening { block, ticks } => json!({
            "kind": "opening", "block": block.to_string(), "ticks": ticks,
        }),
        Event::Late { lease, ticks, grace, price } => json!({
            "kind": "late", "lease": lease.to_string(), "ticks": ticks, "grace": grace,
            "price": ohc(*price),
        }),
        Event::Delivered { lease, receipt } => json!({
            "kind": "delivered", "lease": lease.to_string(), "receipt": receipt.to_string(),
        }),
        Event::Drawn { lease, audit } => json!({
            "kind": "drawn", "lease": lease.to_string(), "segments": audit.segments.len(),
            "committee": audit.committee.iter().map(|key| names.of(key)).collect::<Vec<_>>(),
        }),
        Event::Disputed { lease, validator, segment } => json!({
            "kind": "disputed", "lease": lease.to_string(), "validator": names.of(validator),
            "job": segment.job.0, "segment": segment.index,
        }),
        Event::Overruled { lease, validator, fine } => json!({
            "kind": "overruled", "lease": lease.to_string(), "validator": names.of(validator),
            "fine": ohc(*fine),
        }),
        Event::Slashed { lease, worker, bond, segment } => json!({
            "kind": "slashed", "lease": lease.to_string(), "worker": names.of(worker),
            "bond": ohc(*bond), "job": segment.job.0, "segment": segment.index,
        }),
        Event::Settled { lease, worker, reward, gas } => json!({
            "kind": "settled", "lease": lease.to_string(), "worker": names.of(worker),
            "reward": ohc(*reward), "gas": ohc(*gas),
        }),
        of_doubt => doubt_event(of_doubt, names),
    }
}

/// What becomes of a receipt about which validators do not agree.
fn doubt_event(event: &Event, names: &Names) -> Value {
    let all = |keys: &[PublicKey]| keys.iter().map(|key| names.of(key)).collect::<Vec<_>>();
    match event {
        Event::Redrawn { lease, committee } => json!({
            "kind": "redrawn", "lease": lease.to_string(), "committee": all(committee),
        }),
        Event::Lazy { lease, validator, challenger, fine } => json!({
            "kind": "lazy", "lease": lease.to_string(), "validator": names.of(validator),
            "challenger": challenger.map(|key| names.of(&key)), "fine": ohc(*fine),
        }),
        Event::Narrowed { lease, step } => json!({
            "kind": "narrowed", "lease": lease.to_string(), "step": step.index,
            "from": step.from.to_string(), "worker": step.worker.to_string(),
            "objector": step.objector.to_string(),
        }),
        Event::Challenged { lease, by, segment, deposit } => json!({
            "kind": "challenged", "lease": lease.to_string(), "by": names.of(by),
            "job": segment.job.0, "segment": segment.index, "deposit": ohc(*deposit),
        }),
        Event::Dismissed { lease, by, deposit } => json!({
            "kind": "dismissed", "lease": lease.to_string(), "by": names.of(by),
            "deposit": ohc(*deposit),
        }),
        Event::Voided { lease, worker, artifact } => json!({
            "kind": "voided", "lease": lease.to_string(), "worker": names.of(worker),
            "artifact": artifact.to_string(),
        }),
        Event::Revoked { lease, worker, fine } => json!({
            "kind": "revoked", "lease": lease.to_string(), "worker": names.of(worker),
            "fine": ohc(*fine),
        }),
        _ => Value::Null,
    }
}

/// Why a run stands still, in one word.
pub(crate) const fn pause(reason: &Pause) -> &'static str {
    match reason {
        Pause::NoBids => "no-bids",
        Pause::Budget => "budget",
        Pause::StageBudget { .. } => "stage-budget",
        Pause::Client => "client",
    }
}

/// Why a block is not tried again, in one word.
pub(crate) const fn gave_up(why: GaveUp) -> &'static str {
    match why {
        GaveUp::Attempts(cause) => cause.word(),
        GaveUp::Deadline => "deadline",
        GaveUp::Budget => "budget",
        GaveUp::Lost => "lost",
    }
}

/// Why a job is not run, in one word.
pub(crate) const fn skip(why: Skip) -> &'static str {
    match why {
        Skip::Condition => "condition",
        Skip::Needs(_) => "needs",
        Skip::FailFast(_) => "fail-fast",
        Skip::Beaten => "beaten",
    }
}

/// The job because of which another one is not run.
pub(crate) const fn cause_job(why: Skip) -> Option<JobId> {
    match why {
        Skip::Condition | Skip::Beaten => None,
        Skip::Needs(job) | Skip::FailFast(job) => Some(job),
    }
}

/// How a run is over, in one word.
pub(crate) const fn ending(ending: &Ending) -> &'static str {
    match ending {
        Ending::Settled => "settled",
        Ending::Failed { .. } | Ending::Exhausted { .. } => "failed",
        Ending::Cancelled => "cancelled",
        Ending::Overdue => "overdue",
        Ending::Unpaid => "unpaid",
    }
}

/// Whether a run goes on, in one word.
pub(crate) const fn status(status: &Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Draining(_) => "draining",
        Status::Paused(_) => "paused",
        Status::Ended { ending, .. } => self::ending(ending),
    }
}

/// How far a block of a run is, in one word: none is any further once its run is over.
pub(crate) fn phase(run: &Run, phase: &Phase) -> &'static str {
    match phase {
        Phase::Waiting | Phase::Offered(_) if run.is_over() => "void",
        Phase::Waiting => "waiting",
        Phase::Offered(_) => "offered",
        Phase::Leased(_) => "leased",
        Phase::Sealed(_) => "sealed",
        Phase::Delivered(_) => "delivered",
        Phase::Judged(_) => "judged",
        Phase::Settled(_) => "settled",
        Phase::Cached => "cached",
        Phase::Skipped => "skipped",
        Phase::GivenUp(_) => "given-up",
        Phase::Void => "void",
    }
}

/// Kinds of jobs, by their names.
pub(crate) fn classes(classes: Classes) -> Value {
    classes.names().collect()
}

/// A command in one word.
pub(crate) const fn command(command: &Command) -> &'static str {
    match command {
        Command::Transfer { .. } => "transfer",
        Command::Submit(_) => "submit",
        Command::Cancel { .. } => "cancel",
        Command::Pause { .. } => "pause",
        Command::Resume { .. } => "resume",
        Command::Bid(_) | Command::BidFor { .. } => "bid",
        Command::Withdraw => "withdraw",
        Command::Heartbeat(_) => "heartbeat",
        Command::Deliver(_) => "deliver",
        Command::Tender(_) => "tender",
        Command::Tell(_) => "tell",
        Command::Seal(_) => "seal",
        Command::Open(_) => "open",
        Command::Judge(_) => "judge",
        Command::Reveal(_) => "reveal",
        Command::SealVerdicts(_) => "seal-verdicts",
        Command::Bisect(_) => "bisect",
        Command::Challenge { .. } => "challenge",
        Command::Bond { .. } => "bond",
        Command::Unbond { .. } => "unbond",
        Command::Accuse(_) => "accuse",
        Command::Upload { .. } => "upload",
    }
}

/// What a plan would do.
pub(crate) fn plan(name: &str, plan: &Plan, forecast: &Forecast, budget: Option<Ohc>) -> Value {
    let cached = forecast.fates.iter().filter(|fate| matches!(fate, Fate::Cached(_))).count();
    let to_run = forecast.blocks.iter().flatten();
    let work: u64 = to_run.clone().map(|block| block.work.units()).sum();
    let gas = Ohc::sum(to_run.clone().map(|block| block.ceiling.gas)).unwrap_or_default();
    let jobs: Vec<Value> = std::iter::zip(&plan.dag.jobs, &forecast.fates)
        .zip(&plan.block_of)
        .map(|((job, fate), block)| {
            json!({
                "job": job.to_string(), "stage": job.stage, "uses": job.spec.kind(),
                "block": block, "work": job.size.work().units(), "action": action(fate),
                "memory": job.size.memory.map(|memory| memory.estimate),
                "why": super::prose::why(fate),
            })
        })
        .collect();
    let blocks: Vec<Value> = (0u32..)
        .zip(std::iter::zip(&plan.blocks, &forecast.blocks))
        .map(|(index, (block, forecast))| {
            let quote = forecast.map(|f| quote(f.quote));
            json!({
                "block": index, "stages": plan.stages_of(index), "jobs": block.jobs.len(),
                "work": forecast.map_or(0, |f| f.work.units()),
                "gas": forecast.map(|f| ohc(f.ceiling.gas)), "price": quote,
            })
        })
        .collect();
    let fails = forecast.sure_failure(plan).and_then(|(job, _)| plan.job(job));
    object(
        "Plan",
        json!({
            "pipeline": name,
            "changes": fails.is_none() && !forecast.is_unchanged(),
            "fails": fails.map(ToString::to_string),
            "seconds": seconds(forecast.time),
            "stages": stages(plan, forecast),
            "totals": {
                "jobs": plan.dag.jobs.len(), "cached": cached,
                "blocks": to_run.count(), "work": work, "gas": ohc(gas),
            },
            "price": quote(forecast.quote),
            "budget": budget.map(ohc),
            "jobs": jobs,
            "blocks": blocks,
        }),
    )
}

/// What each stage would do. Amounts of a block that several stages share stand with the first.
fn stages(plan: &Plan, forecast: &Forecast) -> Vec<Value> {
    let why = super::quotation::why(plan, forecast);
    let needs = super::quotation::needs(plan);
    let stage = |stage: &StageForecast| {
        let reasons = why.get(stage.stage.as_str()).map_or(&[][..], Vec::as_slice);
        let reason = |(why, jobs): &(String, usize)| json!({"why": why, "jobs": jobs});
        json!({
            "stage": stage.stage, "needs": needs.get(stage.stage.as_str()),
            "jobs": {"all": stage.jobs, "run": stage.runs, "cached": stage.cached,
                "skipped": stage.gone},
            "work": stage.work.units(), "price": quote(stage.quote),
            "detection": {"oneSegment": share(stage.detection.one_segment_ppm),
                "everyBlock": share(stage.detection.every_block_ppm)},
            "stake": {"bond": ohc(stage.stake.bond), "caught": share(stage.stake.caught_ppm),
                "needed": share(stage.stake.needed_ppm),
                "lyingEarns": super::quotation::signed(stage.stake.gain),
                "tolerated": super::quotation::tolerance(plan, &stage.stage)
                    .map_or(0.0, Tolerance::share)},
            "why": reasons.iter().map(reason).collect::<Vec<_>>(),
        })
    };
    forecast.stages.iter().map(stage).collect()
}

/// Parts per million as a decimal, exactly.
fn share(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

fn seconds(time: Time) -> Value {
    let seconds = |ms: u64| ms as f64 / 1e3;
    json!({"low": seconds(time.low_ms), "likely": seconds(time.likely_ms)})
}

/// One thing that differs between two versions of a pipeline.
pub(crate) fn difference(difference: &Difference) -> Value {
    let size =
        |size: &Option<(u64, u64)>| size.map(|(bytes, rows)| json!({"bytes": bytes, "rows": rows}));
    match difference {
        Difference::Param(c) => {
            json!({"what": "param", "name": c.name, "was": c.was, "is": c.is})
        }
        Difference::Source(c) => {
            json!({"what": "source", "name": c.name, "was": size(&c.was), "is": size(&c.is)})
        }
        Difference::Output(c) => {
            json!({"what": "output", "name": c.name, "was": c.was, "is": c.is})
        }
        Difference::Budget(c) => {
            json!({"what": "budget", "was": c.was.map(ohc), "is": c.is.map(ohc)})
        }
        Difference::Bounds => json!({"what": "run"}),
        Difference::Stage(c, parts) => json!({
            "what": "stage", "name": c.name, "was": c.was, "is": c.is,
            "settings": parts.settings, "added": parts.added, "removed": parts.removed,
        }),
    }
}

fn quote(quote: crate::domain::price::Quote) -> Value {
    json!({"low": ohc(quote.low), "likely": ohc(quote.likely), "high": ohc(quote.high)})
}

/// What would be done with a job, in one word.
const fn action(fate: &Fate) -> &'static str {
    match fate {
        Fate::Cached(_) => "cached",
        Fate::Fails(_) => "fail",
        Fate::Skipped(_) | Fate::Contested => "skip",
        _ => "run",
    }
}

/// What each stage cost.
pub(crate) fn bill(bill: &Bill) -> Value {
    let line = |line: &super::bill::Line| {
        json!({
            "stage": line.stage, "reward": ohc(line.reward), "gas": ohc(line.gas),
            "run": line.run, "cached": line.cached,
        })
    };
    let stages: Vec<Value> = bill.lines.iter().map(line).collect();
    object("Bill", json!({"budget": ohc(bill.budget), "stages": stages, "cost": cost(bill)}))
}

fn cost(bill: &Bill) -> Value {
    json!({
        "reward": ohc(bill.reward), "gas": ohc(bill.gas), "fees": ohc(bill.fees),
        "refunded": ohc(bill.refunded),
        "total": ohc(bill.total()),
    })
}

/// How an apply ended.
pub(crate) struct Result<'a> {
    /// The run; none if there is none.
    pub(crate) run: Option<String>,
    /// The name of the pipeline; none where the manifest is wrong.
    pub(crate) pipeline: Option<&'a str>,
    /// `settled`, `unchanged`, `failed`, `paused`, `cancelled`, `interrupted` or `timed-out`.
    pub(crate) status: &'a str,
    /// What it cost.
    pub(crate) bill: &'a Bill,
    /// What was written.
    pub(crate) outputs: &'a [Published],
    /// Measures by stage.
    pub(crate) metrics: Value,
    /// Wall-clock time.
    pub(crate) seconds: f64,
    /// What went wrong.
    pub(crate) error: Option<Value>,
}

/// The last line of `apply -o json`.
pub(crate) fn result(result: &Result<'_>) -> Value {
    let output = |published: &Published| {
        let path = published.file.display().to_string();
        (published.name.clone(), json!({"digest": published.digest.to_string(), "path": path}))
    };
    let outputs: Map<String, Value> = result.outputs.iter().map(output).collect();
    let mut fields = json!({
        "run": result.run,
        "pipeline": result.pipeline,
        "status": result.status,
        "blocks": {"run": result.bill.blocks_run, "cached": result.bill.blocks_cached},
        "cost": cost(result.bill),
        "outputs": outputs,
        "metrics": result.metrics,
        "seconds": (result.seconds * 1e3).round() / 1e3,
    });
    if let (Some(error), Value::Object(fields)) = (&result.error, &mut fields) {
        fields.insert("error".into(), error.clone());
    }
    object("RunResult", fields)
}
