//! Plans, bills and events in words; `refusals` says why something is not done. The only place
//! with sentences about a run.

mod logs;
mod refusals;
mod revisions;
mod stakes;

pub(crate) use logs::{
    begins_after, catching_up, ignored, long_ago, recovered, waiting_for_network,
};
pub(crate) use refusals::*;
pub(crate) use revisions::{compared, difference, prices};

use super::bill::Bill;
use super::json::ending;
use super::size::size;
use super::table::{Align, table};
use super::{Paint, escape};
use crate::base::amount::Ohc;
use crate::base::ids::JobId;
use crate::cli::names::Names;
use crate::domain::event::{Ending, Event, GaveUp, Skip};
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::plan::Plan;
use crate::domain::price::Quote;
use crate::domain::state::Unused;
use crate::domain::state::run::Run;
use crate::domain::terms::Cause;
use crate::node::embedded::Stopped;
use crate::node::worker::News;
use std::fmt::Write as _;
use std::path::Path;

/// Why a job runs, or does not.
pub(crate) fn why(fate: &Fate) -> String {
    match fate {
        Fate::Cached(_) => "cached".into(),
        Fate::New => "new".into(),
        Fate::SpecChanged(settings) => format!("changed: {}", settings.join(", ")),
        Fate::InputChanged(inputs) => format!("input changed: {}", inputs.join(", ")),
        Fate::Unfinished => "unfinished".into(),
        Fate::Lost(_) => "lost: its artifacts are gone".into(),
        Fate::Again(_) => "to be run again".into(),
        Fate::Unused(Unused::Off) => "its stage uses no cache".into(),
        Fate::Unused(Unused::Foreign) => "its result belongs to another client".into(),
        Fate::Unused(Unused::Sampled) => "another client's result, checked in part".into(),
        Fate::Unused(Unused::Aged) => "its result is too old".into(),
        Fate::Skipped(Skip::Condition) => "skipped: its condition does not hold".into(),
        Fate::Skipped(Skip::Beaten) => "skipped: others of its stage do better".into(),
        Fate::Contested => "skipped, or another: only the best of its stage go on".into(),
        Fate::Skipped(_) => "skipped: what it needs has no result".into(),
        Fate::Fails(failure) => format!("fails: {}", escape::one_line(&failure.message)),
    }
}

/// The plan in a line or two: what would run, and what it would cost.
pub(crate) fn plan_summary(name: &str, plan: &Plan, forecast: &Forecast, paint: Paint) -> String {
    let all = plan.dag.jobs.len();
    let cached = forecast.fates.iter().filter(|fate| matches!(fate, Fate::Cached(_))).count();
    let beaten = forecast.fates.iter().filter(|fate| matches!(fate, Fate::Contested)).count();
    let blocks: Vec<_> = forecast.blocks.iter().flatten().collect();
    let name = paint.bold(name);
    if let Some((job, failure)) = forecast.sure_failure(plan) {
        let job = plan.job(job).map(ToString::to_string).unwrap_or_default();
        let fails = known_failure(&job, failure);
        return format!("{name}: nothing would be run: {}\n", paint.red(&fails));
    }
    if forecast.is_unchanged() {
        let gone = match forecast.fates.iter().filter(|fate| fate.is_gone()).count() {
            0 => ", all cached".to_owned(),
            gone => format!(", {cached} cached, {gone} without a result: nothing would be run"),
        };
        return format!("{name}: {}{gone}\n", count(all, "job"));
    }
    let work: u64 = blocks.iter().map(|block| block.work.units()).sum();
    let gas = Ohc::sum(blocks.iter().map(|block| block.ceiling.gas)).unwrap_or_default();
    let quote = forecast.quote;
    let halved = match beaten {
        0 => String::new(),
        some => format!(", {some} only for the best of a stage"),
    };
    format!(
        "{name}: {} to run in {}, {cached} cached{halved}, {work} units of work, gas {gas} OhC\n\
         price: low {}, likely {}, high {} OhC\n",
        count(all - cached - beaten, "job"),
        count(blocks.len(), "block"),
        quote.low,
        quote.likely,
        quote.high,
    )
}

/// What several plans come to together.
pub(crate) fn plan_sum(plans: usize, quote: Quote) -> String {
    let Quote { low, likely, high } = quote;
    format!(
        "\nall {plans}, one after the other: low {low}, likely {likely}, high {high} OhC; what \
         they share is counted once"
    )
}

/// Every job of a plan, and why it runs.
pub(crate) fn plan_jobs(
    plan: &Plan,
    forecast: &Forecast,
    paint: Paint,
    width: Option<usize>,
) -> String {
    let columns = [
        ("job", Align::Left),
        ("block", Align::Right),
        ("work", Align::Right),
        ("why", Align::Wrap),
    ];
    let rows: Vec<Vec<String>> = std::iter::zip(&plan.dag.jobs, &forecast.fates)
        .zip(&plan.block_of)
        .map(|((job, fate), block)| {
            let work = job.size.work().units().to_string();
            vec![job.to_string(), block.to_string(), work, why(fate)]
        })
        .collect();
    table(&columns, &rows, paint, width)
}

/// What a run cost.
pub(crate) fn bill(bill: &Bill, paint: Paint) -> String {
    let columns = [
        ("stage", Align::Left),
        ("run", Align::Right),
        ("cached", Align::Right),
        ("reward", Align::Right),
        ("gas", Align::Right),
    ];
    let row = |line: &super::bill::Line| {
        let (run, cached) = (line.run.to_string(), line.cached.to_string());
        vec![line.stage.clone(), run, cached, fixed(line.reward), fixed(line.gas)]
    };
    let mut text = table(&columns, &bill.lines.iter().map(row).collect::<Vec<_>>(), paint, None);
    let total = paint.bold(&bill.total().to_string());
    // The numbers of a bill can be added up by whoever reads it.
    let fees = if bill.fees > Ohc::ZERO { format!(" + fees {}", bill.fees) } else { String::new() };
    let _ = writeln!(
        text,
        "total {total} OhC = reward {} + gas {}{fees}; refunded {} of {}",
        bill.reward, bill.gas, bill.refunded, bill.budget
    );
    text
}

/// An amount with as many places as there are, so that columns can be compared.
fn fixed(amount: Ohc) -> String {
    let text = amount.to_string();
    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
    format!("{text}{}", "0".repeat(9usize.saturating_sub(places)))
}

/// A measure with four places, or none where it counts something.
pub(crate) fn measure(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// `1 job`, `2 jobs`.
pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// An event in a line; nothing for what only the market cares about. `job` names a job and `stage`
/// the stages of a block.
pub(crate) fn event(
    event: &Event,
    names: &Names,
    job: &dyn Fn(JobId) -> String,
    stage: &dyn Fn(u32) -> String,
) -> Option<String> {
    let is_market = matches!(
        event,
        Event::Offered { .. }
            | Event::Leased { .. }
            | Event::Sealed { .. }
            | Event::Tendered { .. }
            | Event::BidSealed { .. }
            | Event::BidTold { .. }
            | Event::Opening { .. }
            | Event::Delivered { .. }
            | Event::Drawn { .. }
            | Event::Submitted { .. }
            | Event::Transferred { .. }
            | Event::BidPlaced { .. }
            | Event::BidGone { .. }
            | Event::BaseMoved { .. }
            | Event::Charged { .. }
            | Event::Fee { .. }
            | Event::Uploading { .. }
            | Event::Rejected { .. }
            | Event::Absent { .. }
            | Event::Bonded { .. }
            | Event::Unbonded { .. }
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::Locked { .. }
            | Event::Unlocked { .. }
            | Event::Equivocated { .. }
            | Event::Snapshot { .. }
            | Event::SetChanged { .. }
    );
    (!is_market).then(|| told(event, names, job, stage))
}

/// A run that was left to its network.
pub(crate) fn detached(run: &Run) -> String {
    format!(
        "{} ({}) goes on without us: `ohc apply` of the same manifest follows it and fetches its \
         outputs, `ohc cancel {}` ends it",
        run.id, run.name, run.id
    )
}

/// What happens to the connection to a network, if anybody has to know.
pub(crate) fn news(news: &News) -> Option<String> {
    match news {
        News::Up => Some("online   the network is heard again".to_owned()),
        News::Down(why) => {
            Some(format!("offline  {why}; the run goes on, and is followed again from here"))
        }
        News::Refused(why) => Some(format!("refused  {why}")),
        // It is caught up with.
        News::Lost => None,
    }
}

/// Any event in a line: what only the market cares about too.
pub(crate) fn told(
    event: &Event,
    names: &Names,
    job: &dyn Fn(JobId) -> String,
    stage: &dyn Fn(u32) -> String,
) -> String {
    if let Some(block) = event.block() {
        let (word, sentence) = turn(event, names, job);
        return format!("{word:<8} {block} {}  {sentence}", stage(block.index));
    }
    match event {
        Event::Cached { job: id, .. } => format!("cached   {}", job(*id)),
        Event::Failed { job: id, message, .. } => {
            format!("failed   {}  {}", job(*id), escape::one_line(message))
        }
        Event::Skipped { job: id, why, .. } => {
            format!("skipped  {}  {}", job(*id), skip(*why, job))
        }
        Event::Resumed { run, added: Ohc::ZERO } => format!("resumed  {run}"),
        Event::Resumed { run, added } => format!("resumed  {run}  {added} OhC were added"),
        Event::Paused { run, reason } => format!("paused   {run}  {}", pause(reason)),
        Event::Ended { run, ending: how, refund } => {
            format!("{:<8} {run}  refunded {refund} OhC", ending(how))
        }
        Event::Submitted { run, client, budget, .. } => {
            format!("submitted {run}  {} locks {budget} OhC", names.of(client))
        }
        Event::Rejected { author, nonce, reason } => {
            format!("rejected {} #{nonce}: {reason}", names.of(author))
        }
        Event::Transferred { from, to, amount } => {
            format!("transfer {} to {}  {amount} OhC", names.of(from), names.of(to))
        }
        Event::BidPlaced { worker } => format!("bid      {}", names.of(worker)),
        Event::BidGone { worker } => format!("bid gone {}", names.of(worker)),
        Event::BaseMoved { was, price, unfilled_ppm } => {
            let (was, now) = (was.nano_per_unit(), price.nano_per_unit());
            let unsold = unfilled_ppm / 10_000;
            format!(
                "price    {was} -> {now} nano-OhC per unit: {unsold} % of the work found nobody"
            )
        }
        Event::Fee { author, fee } => format!("fee      {} pays {fee} OhC", names.of(author)),
        Event::Uploading { author, bytes } => {
            format!("upload   {} may bring {}", names.of(author), size(*bytes))
        }
        Event::Charged { author, refused, fee } => {
            let commands = count(*refused as usize, "refused command");
            format!("charged  {} pays {fee} OhC for {commands}", names.of(author))
        }
        // Those of blocks have been told above.
        of_stake => stakes::told(of_stake, names),
    }
}

/// What happened to a block: in a word, and in a sentence that does not name it.
pub(crate) fn turn(
    event: &Event,
    names: &Names,
    job: &dyn Fn(JobId) -> String,
) -> (&'static str, String) {
    match event {
        Event::Offered { attempt, reserve, gas, .. } => {
            ("offered", format!("at most {reserve} + {gas} OhC, attempt {attempt}"))
        }
        Event::Repriced { reserve, .. } => ("repriced", format!("nobody bid; now {reserve} OhC")),
        Event::Leased { worker, price, bond, .. } => {
            ("leased", format!("{} for {price} OhC, bond {bond}", names.of(worker)))
        }
        Event::Tendered { .. } => ("tendered", "bids are taken under seals".to_owned()),
        Event::BidSealed { worker, bond, .. } => {
            ("bid", format!("{} under a seal, {bond} OhC at risk", names.of(worker)))
        }
        Event::BidTold { worker, ask, .. } => {
            let ask = ask.nano_per_unit();
            ("bid", format!("{} asks {ask} nano-OhC per unit", names.of(worker)))
        }
        Event::BidLost { worker, fine, .. } => {
            ("bid lost", format!("{} did not tell its bid and loses {fine} OhC", names.of(worker)))
        }
        Event::Sealed { seal, .. } => ("sealed", format!("answered under seal {}", seal.short())),
        Event::Opening { .. } => {
            ("opening", "all of its workers have answered: they tell what they sealed".to_owned())
        }
        Event::Late { ticks, grace, price, .. } => {
            ("late", format!("by {ticks} ticks of a grace of {grace}: it is worth {price} OhC"))
        }
        Event::Delivered { receipt, .. } => ("delivered", format!("receipt {}", receipt.short())),
        Event::Drawn { audit, .. } if audit.segments.is_empty() => {
            ("drawn", "nothing is computed again".to_owned())
        }
        Event::Drawn { audit, .. } => {
            let committee: Vec<String> = audit.committee.iter().map(|key| names.of(key)).collect();
            let (segments, by) = (count(audit.segments.len(), "segment"), committee.join(", "));
            ("drawn", format!("{segments} to be computed again by {by}"))
        }
        Event::Settled { worker, reward, gas, .. } => {
            ("settled", format!("{}  {reward} + {gas} OhC", names.of(worker)))
        }
        Event::Lapsed { worker, cause, fine, .. } => {
            let how = if *cause == Cause::Timeout { "late" } else { "silent" };
            ("lapsed", format!("{} was {how} and pays {fine} OhC", names.of(worker)))
        }
        Event::Released { worker, .. } => {
            ("released", format!("{} is not needed any more", names.of(worker)))
        }
        Event::GivenUp { why, .. } => ("given up", gave_up(*why)),
        Event::Slashed { worker, bond, segment, .. } => {
            let (worker, job) = (names.of(worker), job(segment.job));
            ("slashed", format!("{worker} loses {bond} OhC: {job} was not computed as claimed"))
        }
        Event::Disputed { validator, segment, .. } => {
            ("disputed", format!("{} objects to {}", names.of(validator), job(segment.job)))
        }
        Event::Overruled { validator, fine, .. } => {
            ("overruled", format!("{} pays {fine} OhC", names.of(validator)))
        }
        of_doubt => doubt(of_doubt, names, job),
    }
}

/// What becomes of a receipt about which validators do not agree.
fn doubt(event: &Event, names: &Names, job: &dyn Fn(JobId) -> String) -> (&'static str, String) {
    match event {
        Event::Redrawn { committee, .. } => {
            let committee: Vec<String> = committee.iter().map(|key| names.of(key)).collect();
            ("redrawn", format!("computed again by {} now", committee.join(", ")))
        }
        Event::Lazy { validator, fine, .. } => {
            let who = names.of(validator);
            ("lazy", format!("{who} had not computed it again, and pays {fine} OhC"))
        }
        Event::Narrowed { step, .. } => {
            let (index, from) = (step.index, step.from.short());
            let (worker, objector) = (step.worker.short(), step.objector.short());
            let said = format!("the worker says {worker}, the objector {objector}");
            ("narrowed", format!("they part at step {index} after state {from}: {said}"))
        }
        Event::Challenged { by, segment, deposit, .. } => {
            let (by, job) = (names.of(by), job(segment.job));
            ("challenged", format!("{by} puts {deposit} OhC on it that {job} is false"))
        }
        Event::Dismissed { by, deposit, .. } => {
            ("dismissed", format!("it is true; {} loses {deposit} OhC", names.of(by)))
        }
        Event::Voided { worker, artifact, .. } => {
            let (who, what) = (names.of(worker), artifact.short());
            ("void", format!("artifact {what} is lost: {who} is not paid, and keeps its bond"))
        }
        Event::Revoked { worker, fine, .. } => {
            let worker = names.of(worker);
            ("revoked", format!("it is false and not used again; {worker} pays {fine} OhC"))
        }
        // Not about a block.
        _ => ("", String::new()),
    }
}

/// Why a block is not tried again.
pub(crate) fn gave_up(why: GaveUp) -> String {
    match why {
        GaveUp::Attempts(cause) => format!("no attempt was accepted (last: {})", cause.word()),
        GaveUp::Deadline => "it took longer than its deadline".to_owned(),
        GaveUp::Budget => "the budget of its stage is used up".to_owned(),
        GaveUp::Lost => "what it is computed from is lost".to_owned(),
    }
}

/// Why a job is not run.
pub(crate) fn skip(why: Skip, job: &dyn Fn(JobId) -> String) -> String {
    match why {
        Skip::Condition => "its condition does not hold".to_owned(),
        Skip::Needs(other) => format!("{} has no result", job(other)),
        Skip::FailFast(other) => format!("{} failed", job(other)),
        Skip::Beaten => "others of its stage do better".to_owned(),
    }
}

/// What went wrong with a run, and what to do about it.
pub(crate) fn failure(
    ending: &Ending,
    job: &dyn Fn(JobId) -> String,
    stage: &dyn Fn(u32) -> String,
) -> (String, Option<String>) {
    match ending {
        Ending::Failed { job: id, message, hint } => {
            // A worker's words: a second line of them would look like one of ours.
            let hint = (!hint.is_empty()).then(|| escape::one_line(hint));
            (format!("{} failed: {}", job(*id), escape::one_line(message)), hint)
        }
        Ending::Exhausted { block, why } => {
            let hint = match why {
                GaveUp::Attempts(_) => {
                    "`ohc log show` says why; raise retry.maxAttempts, or use other workers"
                }
                GaveUp::Deadline => "raise the `deadline` of the stage",
                GaveUp::Budget => "raise the `budget` of the stage",
                GaveUp::Lost => "apply it again: what is lost is computed again first",
            };
            let what = format!("block {block} ({}) was given up", stage(block.index));
            (format!("{what}: {}", gave_up(*why)), Some(hint.into()))
        }
        Ending::Overdue => {
            ("the run took longer than its deadline".into(), Some("raise `run.deadline`".into()))
        }
        Ending::Unpaid => (
            "the budget does not cover the next block".into(),
            Some("raise `budget.total`: what is settled is not paid again".into()),
        ),
        Ending::Settled | Ending::Cancelled => ("the run was cancelled".into(), None),
    }
}

/// What is said when a network is asked to stop.
pub(crate) fn stopping(why: Stopped) -> String {
    let because = match why {
        Stopped::Interrupted => "stopping",
        Stopped::TimedOut => "out of time, stopping",
    };
    format!("{because}: what is delivered is settled first; Ctrl-C again stops at once")
}

/// Behind the reason of a stage whose jobs are in blocks of another one.
pub(crate) fn sold_with(stage: &str) -> String {
    format!(" (in the price of {stage})")
}

/// What of a run was not written down.
pub(crate) fn unrecorded(error: &dyn std::error::Error) -> String {
    format!("note: `ohc logs` will not show all of it: {error}")
}

/// Asks whether an amount may be spent.
pub(crate) fn question(quote: Ohc) -> String {
    format!("No budget is set. Spend up to {quote} OhC?")
}

/// The same of money that goes to others.
pub(crate) fn question_of_network(budget: Ohc, fee: Ohc) -> String {
    let what = "Workers and validators of the network are paid";
    format!("{what}. Spend up to {budget} OhC, and a fee of {fee} OhC?")
}

/// What is brought to the store of a network, and paid for by the byte.
pub(crate) fn brings(bytes: u64, fee: Ohc) -> String {
    format!("brings {} of data to the store of the network for {fee} OhC", size(bytes))
}

/// A pipeline of which everything is known.
pub(crate) fn unchanged(name: &str, paint: Paint) -> String {
    format!("{name}: {}, nothing was run and nothing spent", paint.green("unchanged"))
}

/// What is waited for when a run is cancelled or paused.
pub(crate) fn waiting(run: &Run) -> String {
    format!("{} ({}): what workers have in hand is settled first", run.id, run.name)
}

/// A run that another process works on.
pub(crate) fn goes_on_elsewhere(run: &Run) -> String {
    let Run { id, name, .. } = run;
    format!(
        "{id} ({name}) goes on in the ohc that is at work here; when that is done, `ohc resume \
        {id}` follows it to its end"
    )
}

/// Rows have categories that no row of the training had.
pub(crate) fn unseen(column: &str, rows: u64) -> String {
    let (column, rows) = (escape::one_line(column), count(rows as usize, "row"));
    let what = format!("{rows} with a value in `{column}` that no row of the training had");
    format!("note: {what}: it counts as none")
}

/// Where a plan was saved.
pub(crate) fn plan_saved(path: &Path) -> String {
    let path = path.display();
    format!("saved to {path}: `ohc apply {path}` does exactly this, or says what has changed")
}

/// How long a plan would take, and whether its budget covers it.
pub(crate) fn plan_outlook(
    plan: &Plan,
    forecast: &Forecast,
    workers: usize,
    budget: Option<Ohc>,
) -> String {
    if forecast.is_unchanged() || forecast.sure_failure(plan).is_some() {
        return String::new();
    }
    let workers = count(workers, "worker");
    let (likely, low) = (duration(forecast.time.likely_ms), duration(forecast.time.low_ms));
    let mut text = format!("time: about {likely} on {workers}, at best {low}\n");
    let high = forecast.quote.high;
    if let Some(budget) = budget {
        let room = match (budget.checked_sub(high), high.checked_sub(budget)) {
            (Some(over), _) => format!("{over} more than the highest price"),
            (None, Some(short)) => format!("{short} less than the highest price"),
            (None, None) => String::new(),
        };
        let _ = writeln!(text, "budget: {budget} OhC, {room}");
    }
    text
}

/// `1.5 s`, `12 min`, `3.2 h`: a guess, so no more than two figures.
fn duration(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..100_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        100_000..6_000_000 => format!("{} min", ms / 60_000),
        _ => format!("{}.{} h", ms / 3_600_000, ms % 3_600_000 / 360_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::run::Failure;

    #[test]
    fn amounts_in_columns_have_nine_places() {
        assert_eq!(fixed(Ohc::from_nano(1_500_000_000)), "1.500000000");
        assert_eq!(fixed(Ohc::from_nano(1)), "0.000000001");
    }

    #[test]
    fn a_job_says_why_it_runs() {
        assert_eq!(why(&Fate::SpecChanged(vec!["epochs", "seed"])), "changed: epochs, seed");
        assert_eq!(why(&Fate::InputChanged(vec!["data".into()])), "input changed: data");
    }

    #[test]
    fn a_failure_has_one_line_whatever_its_worker_says() {
        let (job, message) = (JobId(0), "no\n0.2  settled  run-1".to_owned());
        let name = |_: JobId| "a".to_owned();
        let hint = "x\n  settled".to_owned();
        let ending = Ending::Failed { job, message: message.clone(), hint };
        let (said, hint) = failure(&ending, &name, &|_| String::new());
        assert_eq!(said, "a failed: no\u{fffd}0.2  settled  run-1");
        assert!(!hint.unwrap().contains('\n'));
        let known = Failure { message, hint: String::new() };
        assert!(!why(&Fate::Fails(known)).contains('\n'));
    }
}
