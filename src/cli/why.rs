//! `ohc why`: how something came to be: a block from its offer to its payment, a job from the parts
//! of its key, an account from every transfer. Folds the log again; never guesses a cause.

use super::Context;
use super::args::{Format, RunName, Why};
use super::exit::{Exit, Stop};
use super::home;
use super::ledger::{self, Entries, Entry, Filter, hold_name, place_name};
use super::names::Names;
use super::report::escape::one_line;
use super::report::sheet::{Sheet, numbers, words, wrapped};
use super::report::size::size;
use super::report::{json, prose};
use super::subject::{self, Subject};
use crate::base::amount::Ohc;
use crate::base::canon::Digest;
use crate::base::ids::{BlockId, JobId, RunId};
use crate::base::keys::PublicKey;
use crate::domain::auction::{Considered, Passed, Tally};
use crate::domain::forecast::{InputPart, KeyParts, key_parts};
use crate::domain::ledger::{Hold, Place, Posting};
use crate::domain::state::State;
use crate::domain::state::run::{Gone, Phase, Run};
use crate::domain::verdict::Finding;
use crate::node::history;
use crate::node::story::{Story, Turn, What};
use crate::node::view::View;
use serde_json::{Value, json};

pub(super) fn why(args: &Why, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (view, names) = home::open(&home)?;
    let format = args.output.format;
    let (head, sheet) = match subject::find(&args.subject, &view.state, &names)? {
        Subject::Run(run) => {
            let hint = format!("name one of its blocks or jobs, or see `ohc describe {run}`");
            let message = format!("{run} is many blocks, each with its own story");
            return Err(Stop::failed(message, Some(hint)));
        }
        Subject::Block(block) => of_block(&view, block, &names)?,
        Subject::Job(run, job) => of_job(&view.state, run, job, &names),
        Subject::Account(key) => of_account(&view, key, args.limit as usize, &names)?,
    };
    if matches!(format, Format::Table | Format::Wide) {
        context.screen.line(head)?;
    }
    context.screen.sheet(sheet, format)?;
    home::tell_base(&view, format, context)?;
    Ok(Exit::Done)
}

/// The story of a block, as the log tells it.
pub(super) fn story(view: &View, block: BlockId) -> Result<Vec<Turn>, Stop> {
    let mut story = Story::of(block);
    let folded = history::fold(view, &mut |page| story.take(page));
    folded.map_err(|error| home::stop(&error))?;
    Ok(story.turns)
}

fn of_block(view: &View, block: BlockId, names: &Names) -> Result<(String, Sheet), Stop> {
    let run = subject::run(RunName::Run(block.run), &view.state)?;
    let turns = story(view, block)?;
    let name = run.plan.name_of(block.index);
    let phase = run.block(block.index).map(|state| &state.phase);
    let ended = match phase {
        Some(Phase::Settled(paid)) => {
            let worker = names.of(&paid.worker);
            format!("{worker} was paid {} OhC for it, its validators {}", paid.reward, paid.gas)
        }
        Some(Phase::Cached) => "all its results were known, so nothing was paid".to_owned(),
        Some(Phase::Skipped) => "none of its jobs was run, so nothing was paid".to_owned(),
        Some(Phase::Waiting | Phase::Offered(_)) if run.is_over() => {
            format!("void: its run was over before ({})", json::status(&run.status))
        }
        Some(phase) => json::phase(run, phase).to_owned(),
        None => String::new(),
    };
    let tell = Teller { run, names };
    let row = |turn: &Turn| {
        let (word, sentence) = tell.sentence(&turn.what);
        vec![turn.height.to_string(), turn.tick.to_string(), word.to_owned(), sentence]
    };
    let item = |turn: &Turn| {
        let mut item = tell.json(&turn.what);
        if let Value::Object(fields) = &mut item {
            fields.insert("height".into(), turn.height.0.into());
            fields.insert("tick".into(), turn.tick.0.into());
        }
        item
    };
    let sheet = Sheet {
        kind: "BlockExplanation",
        columns: vec![numbers("slot"), numbers("tick").wide(), words("what"), wrapped("how")],
        rows: turns.iter().map(row).collect(),
        items: turns.iter().map(item).collect(),
        fields: json!({"subject": block.to_string(), "name": name, "summary": ended}),
        none: if run.is_over() {
            "nothing happened to it"
        } else {
            "nothing has happened to it yet"
        },
    };
    Ok((format!("{block} {name}: {ended}"), sheet))
}

/// Tells the turns of one run's blocks.
struct Teller<'a> {
    run: &'a Run,
    names: &'a Names,
}

impl Teller<'_> {
    /// A turn in one word, and what is to be said about it.
    fn sentence(&self, what: &What) -> (&'static str, String) {
        let job = |id: JobId| self.run.plan.job(id).map(ToString::to_string).unwrap_or_default();
        match what {
            What::Event(event) => prose::turn(event, self.names, &job),
            What::Awarded(tally) => ("considered", self.tally(tally)),
            What::Stored { artifacts, bytes, read, given, .. } => {
                let plural = if *artifacts == 1 { "" } else { "s" };
                let stored = format!("{} in {artifacts} artifact{plural}", size(*bytes));
                let (moved, read) = (size(read.saturating_add(*given)), size(*read));
                let given = size(*given);
                ("stored", format!("{stored}; moved {moved}: {read} of inputs, {given} of outputs"))
            }
            What::Judged { validator, finding, .. } => {
                let validator = self.names.of(validator);
                let found = match finding {
                    Finding::Agree => "agrees with the receipt".to_owned(),
                    Finding::Object { segment, .. } => {
                        format!("objects to segment {} of {}", segment.index, job(segment.job))
                    }
                    Finding::Deny { segment } => {
                        format!("finds segment {} of {} true", segment.index, job(segment.job))
                    }
                };
                ("judged", format!("{validator} {found}"))
            }
            What::Paid(posting) => ("paid", self.paid(posting)),
        }
    }

    fn paid(&self, posting: &Posting) -> String {
        let (from, to) = (place_name(posting.from, self.names), place_name(posting.to, self.names));
        format!("{} OhC: {from} to {to}", posting.amount)
    }

    fn tally(&self, tally: &Tally) -> String {
        let bid = |bid: &Considered| {
            let worker = self.names.of(&bid.worker);
            match bid.score {
                Ok(score) => {
                    let ask = bid.ask.unwrap_or_default();
                    let risk = score.checked_sub(ask).unwrap_or_default();
                    let queue = match bid.queue {
                        Ohc::ZERO => String::new(),
                        queue => format!(" + queue {queue}"),
                    };
                    let won = if bid.worker == tally.award.worker { "won by " } else { "" };
                    format!("{won}{worker}: ask {ask} + risk {risk}{queue}")
                }
                Err(passed) => format!("{worker}: {}", passed_text(passed)),
            }
        };
        tally.bids.iter().map(bid).collect::<Vec<_>>().join("; ")
    }

    fn json(&self, what: &What) -> Value {
        let word = self.sentence(what).0;
        match what {
            What::Event(event) => {
                let mut event = json::event(event, self.names);
                if let Value::Object(fields) = &mut event {
                    fields.remove("kind");
                    fields.insert("what".into(), word.into());
                }
                event
            }
            What::Awarded(tally) => {
                let bid = |bid: &Considered| {
                    json!({"worker": self.names.of(&bid.worker), "ask": bid.ask.map(json::ohc),
                        "score": bid.score.ok().map(json::ohc), "queue": json::ohc(bid.queue),
                        "passed": bid.score.err().map(passed_word)})
                };
                let bids: Vec<Value> = tally.bids.iter().map(bid).collect();
                json!({"what": word, "winner": self.names.of(&tally.award.worker),
                    "price": json::ohc(tally.award.price), "bids": bids})
            }
            What::Stored { lease, artifacts, bytes, read, given } => json!({
                "what": word, "lease": lease.to_string(), "artifacts": artifacts, "bytes": bytes,
                "read": read, "given": given, "moved": read.saturating_add(*given),
            }),
            What::Judged { lease, validator, finding } => {
                let (finding, segment) = match finding {
                    Finding::Agree => ("agree", None),
                    Finding::Object { segment, .. } => ("object", Some(segment)),
                    Finding::Deny { segment } => ("deny", Some(segment)),
                };
                json!({"what": word, "lease": lease.to_string(),
                    "validator": self.names.of(validator), "finding": finding,
                    "job": segment.map(|segment| segment.job.0),
                    "segment": segment.map(|segment| segment.index)})
            }
            What::Paid(posting) => json!({
                "what": word, "from": place_name(posting.from, self.names),
                "to": place_name(posting.to, self.names), "amount": json::ohc(posting.amount),
            }),
        }
    }
}

const fn passed_word(passed: Passed) -> &'static str {
    match passed {
        Passed::Dear => "dear",
        Passed::Lacks => "lacks",
        Passed::Class => "class",
        Passed::Barred => "barred",
        Passed::Lapsed => "lapsed",
        Passed::Busy => "busy",
        Passed::Poor => "poor",
    }
}

const fn passed_text(passed: Passed) -> &'static str {
    match passed {
        Passed::Dear => "asks for more than the reserve",
        Passed::Lacks => "lacks what the block needs",
        Passed::Class => "bids for other kinds of jobs",
        Passed::Barred => "was slashed for this block",
        Passed::Lapsed => "lapsed last, others go first",
        Passed::Busy => "has its hands full",
        Passed::Poor => "cannot put up the bond",
    }
}

/// Why a job ran or did not: the parts of its key beside those of the last run before it.
fn of_job(state: &State, run: RunId, job: JobId, names: &Names) -> (String, Sheet) {
    let empty = || (String::new(), key_sheet(None, json!({})));
    let Some(run) = state.runs().get(&run) else { return empty() };
    let Some(planned) = run.plan.job(job) else { return empty() };
    let before = state.runs().range(..run.id).rev().map(|(_, run)| run);
    let before =
        before.into_iter().find(|other| other.client == run.client && other.name == run.name);
    let parts = before.and_then(|before| key_parts(run, job, before));
    let block = run.plan.block_of.get(job.index()).map(|index| run.block_id(*index));
    let (fate, came) = came_to(run, job, names);
    let against = match (before, &parts) {
        (None, _) => format!("{} had no run before {}", run.name, run.id),
        (Some(before), None) => format!("{} had no such job", before.id),
        (Some(before), Some(parts)) => format!("compared with {}: {}", before.id, differs(parts)),
    };
    let fields = json!({
        "subject": format!("{}/{planned}", run.id), "run": run.id.to_string(),
        "job": planned.to_string(), "fate": fate, "summary": came,
        "key": run.key(job).map(|key| key.to_string()),
        "against": before.map(|before| before.id.to_string()),
        "block": block.map(|block| block.to_string()),
    });
    let more = match (fate, block) {
        ("ran", Some(block)) => format!("\n`ohc why {block}` tells how it was sold and paid"),
        _ => String::new(),
    };
    (format!("{}/{planned} {came}\n{against}{more}", run.id), key_sheet(parts.as_ref(), fields))
}

/// What became of a job, in a word and in a sentence.
fn came_to(run: &Run, job: JobId, names: &Names) -> (&'static str, String) {
    let address = |id: JobId| run.plan.job(id).map(ToString::to_string).unwrap_or_default();
    match (run.result(job), run.gone.get(&job)) {
        (Some(known), _) if known.lease.block.run == run.id => {
            ("ran", format!("was computed by {} under {}", names.of(&known.worker), known.lease))
        }
        (Some(known), _) => {
            let worker = names.of(&known.worker);
            ("cached", format!("was cached: {worker} computed it under {}", known.lease))
        }
        (None, Some(Gone::Failed(failure))) => {
            ("failed", format!("failed: {}", one_line(&failure.message)))
        }
        (None, Some(Gone::GivenUp(why))) => ("given-up", prose::gave_up(*why)),
        (None, Some(Gone::Skipped(why))) => {
            ("skipped", format!("was skipped: {}", prose::skip(*why, &address)))
        }
        (None, None) => ("unfinished", "has no result yet".to_owned()),
    }
}

fn differs(parts: &KeyParts) -> String {
    let inputs = parts.inputs.iter().filter(|part| !part.is_same()).map(|part| part.name.as_str());
    let inputs: Vec<&str> = inputs.collect();
    match (parts.settings.is_empty(), inputs.is_empty()) {
        (true, true) => "the same settings and inputs".to_owned(),
        (false, true) => format!("changed {}", parts.settings.join(", ")),
        (true, false) => format!("input changed: {}", inputs.join(", ")),
        (false, false) => {
            let (settings, inputs) = (parts.settings.join(", "), inputs.join(", "));
            format!("changed {settings}; input changed: {inputs}")
        }
    }
}

fn key_sheet(parts: Option<&KeyParts>, fields: Value) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    if let Some(parts) = parts {
        let changed = parts.settings.join(", ");
        let is = if changed.is_empty() { "same" } else { "changed" };
        rows.push(vec!["settings".into(), is.into(), String::new(), changed]);
        items.push(json!({"part": "settings", "is": is, "changed": parts.settings}));
    }
    for InputPart { name, before, now } in parts.iter().flat_map(|parts| &parts.inputs) {
        let is = match (before, now) {
            (_, None) => "unknown",
            (None, Some(_)) => "new",
            (before, now) if before == now => "same",
            _ => "changed",
        };
        let short = |digest: &Option<Digest>| {
            digest.map_or_else(|| "-".to_owned(), |digest| digest.short())
        };
        rows.push(vec![format!("input {name}"), is.into(), short(before), short(now)]);
        items.push(json!({"part": "input", "input": name, "is": is,
            "before": before.map(|digest| digest.to_string()),
            "now": now.map(|digest| digest.to_string())}));
    }
    Sheet {
        kind: "JobExplanation",
        columns: vec![words("part"), words("is"), words("before"), wrapped("now")],
        rows,
        items,
        fields,
        none: "all of it is new",
    }
}

/// Every transfer that led to the balance of an account, with its reason.
fn of_account(
    view: &View,
    key: PublicKey,
    limit: usize,
    names: &Names,
) -> Result<(String, Sheet), Stop> {
    let began = ledger::balance_of(view, key)?;
    let filter = Filter { account: Some(key), run: None, limit };
    let mut entries = Entries::new(filter, began);
    let state = history::fold(view, &mut |page| entries.take(page));
    let state = state.map_err(|error| home::stop(&error))?;
    let balance = state.ledger().account(&key).balance;
    let row = |entry: &Entry| {
        let is_in = entry.posting.to == Place::Account(key);
        let sign = if is_in { "+" } else { "-" };
        let balance = entry.balance.unwrap_or_default().to_string();
        let amount = format!("{sign}{}", entry.posting.amount);
        vec![entry.height.to_string(), amount, balance, reason(entry, &state, names)]
    };
    let item = |entry: &Entry| {
        json!({"height": entry.height.0, "what": entry.what.word(),
            "of": entry.posting.hold().map(hold_name), "amount": json::ohc(entry.posting.amount),
            "direction": if entry.posting.to == Place::Account(key) { "in" } else { "out" },
            "balance": entry.balance.map(json::ohc), "summary": reason(entry, &state, names)})
    };
    let summary = format!("began with {began} OhC and has {balance} OhC now");
    let sheet = Sheet {
        kind: "AccountExplanation",
        columns: vec![numbers("slot"), numbers("amount"), numbers("balance"), wrapped("why")],
        rows: entries.kept.iter().map(row).collect(),
        items: entries.kept.iter().map(item).collect(),
        fields: json!({"subject": names.of(&key), "key": key.to_string(), "summary": summary,
            "left_out": entries.left_out}),
        none: "no money has moved there",
    };
    let left_out = match entries.left_out {
        0 => String::new(),
        n => format!("\n{n} earlier: --limit shows more"),
    };
    Ok((format!("{} {summary}{left_out}", names.of(&key)), sheet))
}

/// What a movement of money was for.
fn reason(entry: &Entry, state: &State, names: &Names) -> String {
    let Entry { what, posting, .. } = entry;
    let name = |block: BlockId| {
        let run = state.runs().get(&block.run);
        run.map(|run| run.plan.name_of(block.index)).unwrap_or_default()
    };
    let of = match posting.hold() {
        Some(Hold::Escrow(id)) => {
            let name = state.runs().get(&id).map(|run| run.name.as_str()).unwrap_or_default();
            format!("{id} {name}")
        }
        Some(Hold::Reward(block)) => format!("{block} {}", name(block)),
        Some(Hold::Tender { block, .. }) => format!("a bid for {block} {}", name(block)),
        Some(Hold::Bond(lease) | Hold::Challenge(lease)) => {
            format!("{lease} {}", name(lease.block))
        }
        Some(Hold::Stake(_) | Hold::Unbonding { .. }) | None => {
            let (from, to) = (place_name(posting.from, names), place_name(posting.to, names));
            format!("from {from} to {to}")
        }
    };
    format!("{} {of}", what.reason())
}
