//! What the terms of a stage mean: named cases, each on the bare fold.
//! Never runs a role.

use crate::fold::{CLIENT, Fold, OBJECTION, WORKER, refused};
use crate::ground::{Who, noops, ohc, submission};
use crate::labour::FAILING_TAG;
use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::ids::{BlockId, JobId, LeaseId, RunId};
use ohc::domain::classes::Classes;
use ohc::domain::command::{Bid, Command};
use ohc::domain::event::{Ending, Event, GaveUp, Pause, Reject, Skip};
use ohc::domain::forecast;
use ohc::domain::ledger::Hold;
use ohc::domain::plan;
use ohc::domain::receipt::Receipt;
use ohc::domain::state::run::{Gone, Phase, Run, Status};
use ohc::domain::terms::{Cause, Equipment};
use ohc::domain::verdict::Finding;

const RUN: RunId = RunId(1);
const SOLO: &str = "  run: { limits: { jobsPerBlock: 1 } }\n";

fn begun(spec: &str, stages: &[&str]) -> Fold {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&noops("terms", spec, stages), ohc(5));
    fold
}

fn run(fold: &Fold) -> &Run {
    fold.state.runs().values().last().unwrap()
}

fn lease_of(fold: &Fold, address: &str) -> Option<LeaseId> {
    let jobs = &run(fold).plan.dag.jobs;
    let job = jobs.iter().position(|job| job.to_string() == address)?;
    let block = run(fold).plan.block_of[job];
    fold.held(WORKER).into_iter().find(|lease| lease.block.index == block)
}

fn deliver(fold: &mut Fold, address: &str) -> Receipt {
    let lease = lease_of(fold, address).unwrap_or_else(|| panic!("{address} is not leased"));
    let receipt = fold.receipt(lease);
    fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
    receipt
}

/// Computes, delivers and has accepted what is leased for a job.
fn work(fold: &mut Fold, address: &str) -> Vec<Event> {
    let receipt = deliver(fold, address);
    fold.slot(0, &[]);
    fold.judge(0, &receipt, Finding::Agree)
}

/// Works on whatever is leased until nothing is.
fn work_on(fold: &mut Fold) {
    while let Some(lease) = fold.held(WORKER).first().copied() {
        let receipt = fold.receipt(lease);
        fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
        fold.slot(0, &[]);
        fold.judge(0, &receipt, Finding::Agree);
    }
}

fn job(fold: &Fold, address: &str) -> JobId {
    let jobs = &run(fold).plan.dag.jobs;
    JobId(jobs.iter().position(|job| job.to_string() == address).unwrap() as u32)
}

fn gone<'a>(fold: &'a Fold, address: &str) -> Option<&'a Gone> {
    run(fold).gone.get(&job(fold, address))
}

#[track_caller]
fn ended(fold: &Fold, is: impl Fn(&Ending) -> bool) -> Ohc {
    let Status::Ended { ending, refund } = &run(fold).status else {
        panic!("{:?}", run(fold).status)
    };
    assert!(is(ending), "{ending:?}");
    let (reward, gas) = run(fold).spent();
    assert_eq!(Ohc::sum([reward, gas, *refund]), Some(run(fold).budget), "the refund is exact");
    assert_eq!(fold.held_money(), 0);
    *refund
}

fn failing(more: &str) -> String {
    format!("bad: {{ uses: noop, with: {{ tag: {FAILING_TAG} }}, verification: full{more} }}")
}

const GOOD: &str = "good: { uses: noop, with: { tag: 1 }, verification: full }";

#[test]
fn a_failure_that_lets_the_run_go_on_skips_what_depends_on_it() {
    let bad = failing(", onFailure: continue");
    let after = "after: { uses: noop, inputs: { x: bad.done } }";
    let needs = "later: { uses: noop, needs: [after], with: { tag: 9 } }";
    let mut fold = begun(SOLO, &[&bad, GOOD, after, needs]);
    let events = work(&mut fold, "bad");
    assert!(events.iter().any(|e| matches!(e, Event::Failed { .. })), "{events:?}");
    assert_eq!(gone(&fold, "after"), Some(&Gone::Skipped(Skip::Needs(job(&fold, "bad")))));
    assert_eq!(gone(&fold, "later"), Some(&Gone::Skipped(Skip::Needs(job(&fold, "after")))));
    let block = run(&fold).plan.block_of[job(&fold, "after").index()];
    assert!(matches!(run(&fold).block(block).unwrap().phase, Phase::Skipped));
    work(&mut fold, "good");
    ended(&fold, |ending| *ending == Ending::Settled);
    // What is known to fail is not paid for again, and the run ends as before.
    let stages = [bad.as_str(), GOOD, after, needs];
    fold.submit(&noops("terms", SOLO, &stages), ohc(5));
    assert_eq!(ended(&fold, |ending| *ending == Ending::Settled), ohc(5));
}

/// A matrix of which the first cell fails, and a stage that takes what is left of it.
fn sweep(terms: &str, cells: &str) -> [String; 2] {
    let matrix = format!(
        "cell: {{ uses: noop, matrix: {{ axes: {{ n: [{cells}] }}{terms}, with: {{ tag: \
         \"${{{{ matrix.n }}}}\" }}, verification: full"
    );
    let all = "all: { uses: noop, inputs: { x: cell.*.done } }".to_owned();
    [matrix, all]
}

#[test]
fn who_takes_all_instances_goes_on_with_those_that_are_left() {
    let [cells, all] = sweep(" }", &format!("{FAILING_TAG}, 1, 2"));
    let cells = format!("{cells}, onFailure: continue }}");
    let mut fold = begun(SOLO, &[&cells, &all]);
    work_on(&mut fold);
    ended(&fold, |ending| *ending == Ending::Settled);
    assert_eq!(run(&fold).gone.len(), 1);
    assert_eq!(run(&fold).inputs(job(&fold, "all")).len(), 2);
}

#[test]
fn who_takes_all_instances_is_skipped_if_none_is_left() {
    let [cells, all] = sweep(" }", &format!("{FAILING_TAG}"));
    let cells = format!("{cells}, onFailure: continue }}");
    let mut fold = begun(SOLO, &[&cells, &all]);
    work_on(&mut fold);
    ended(&fold, |ending| *ending == Ending::Settled);
    assert!(matches!(gone(&fold, "all"), Some(Gone::Skipped(Skip::Needs(_)))));
}

#[test]
fn a_first_failure_ends_the_run_at_once() {
    let [cells, all] = sweep(" }", &format!("{FAILING_TAG}, 1, 2"));
    let mut fold = begun(SOLO, &[&format!("{cells} }}"), &all]);
    work(&mut fold, &format!("cell@n={FAILING_TAG}"));
    ended(&fold, |ending| matches!(ending, Ending::Failed { .. }));
    assert!(fold.held(WORKER).is_empty(), "the other leases are taken back");
    let released = fold.events.iter().filter(|e| matches!(e, Event::Released { .. })).count();
    assert_eq!(released, 2);
    assert_eq!(run(&fold).results.iter().flatten().count(), 0);
}

#[test]
fn without_fail_fast_the_others_are_finished_before_the_run_ends() {
    let [cells, all] = sweep(", failFast: false }", &format!("{FAILING_TAG}, 1, 2"));
    let mut fold = begun(SOLO, &[&format!("{cells} }}"), &all]);
    work(&mut fold, &format!("cell@n={FAILING_TAG}"));
    assert!(matches!(fold.status(1), Status::Draining(Ending::Failed { .. })));
    work_on(&mut fold);
    ended(&fold, |ending| matches!(ending, Ending::Failed { .. }));
    assert_eq!(run(&fold).results.iter().flatten().count(), 2, "they are not lost");
}

#[test]
fn a_cancel_does_not_wait_for_what_a_failed_stage_still_finishes() {
    let [cells, all] = sweep(", failFast: false }", &format!("{FAILING_TAG}, 1, 2"));
    let mut fold = begun(SOLO, &[&format!("{cells} }}"), &all]);
    work(&mut fold, &format!("cell@n={FAILING_TAG}"));
    fold.send(CLIENT, Command::Cancel { run: RUN });
    ended(&fold, |ending| matches!(ending, Ending::Failed { .. }));
}

#[test]
fn fail_fast_skips_the_rest_of_a_stage_of_a_run_that_goes_on() {
    let [cells, all] = sweep(", failFast: true, maxParallel: 2 }", &format!("{FAILING_TAG}, 1, 2"));
    let mut fold = begun(SOLO, &[&format!("{cells}, onFailure: continue }}"), &all, GOOD]);
    work(&mut fold, &format!("cell@n={FAILING_TAG}"));
    for cell in ["cell@n=1", "cell@n=2"] {
        assert!(matches!(gone(&fold, cell), Some(Gone::Skipped(Skip::FailFast(_)))), "{cell}");
    }
    work(&mut fold, "good");
    ended(&fold, |ending| *ending == Ending::Settled);
}

#[test]
fn a_stage_that_fails_at_once_as_is_known_is_finished_once() {
    let [cells, all] = sweep(", failFast: true }", &format!("{FAILING_TAG}, 1, 2"));
    let cells = format!("{cells}, onFailure: continue }}");
    let two = "  run: { limits: { jobsPerBlock: 2 } }\n";
    for spec in [SOLO, two] {
        let mut fold = begun(spec, &[&cells, &all]);
        work_on(&mut fold);
        ended(&fold, |ending| *ending == Ending::Settled);
        // What fails is known now, what else is in the pipeline is not.
        let other = "other: { uses: noop, with: { tag: 77 }, verification: full }";
        fold.submit(&noops("terms", spec, &[&cells, &all, other]), ohc(5));
        assert_eq!(fold.status(2), Status::Running, "the other stage is not done");
        work(&mut fold, "other");
        ended(&fold, |ending| *ending == Ending::Settled);
        assert!(run(&fold).result(job(&fold, "other")).is_some());
    }
}

#[test]
fn no_more_blocks_of_a_stage_are_live_than_it_says() {
    let [cells, all] = sweep(", maxParallel: 2 }", "1, 2, 3, 4, 5");
    let mut fold = begun(SOLO, &[&format!("{cells} }}"), &all]);
    assert_eq!(fold.held(WORKER).len(), 2);
    assert!(
        !fold.events.iter().any(|e| matches!(e, Event::Offered { block, .. } if block.index > 1))
    );
    for _ in 0..5 {
        assert!(fold.held(WORKER).len() <= 2);
        let lease = fold.held(WORKER)[0];
        let receipt = fold.receipt(lease);
        fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
        fold.slot(0, &[]);
        fold.judge(0, &receipt, Finding::Agree);
    }
    work_on(&mut fold);
    ended(&fold, |ending| *ending == Ending::Settled);
}

#[track_caller]
fn exhausted(fold: &Fold, expect: GaveUp) {
    ended(fold, |ending| matches!(ending, Ending::Exhausted { why, .. } if *why == expect));
}

fn retried_on(causes: &str) -> Fold {
    let stage = format!(
        "a: {{ uses: noop, verification: full, timeout: 1s, retry: {{ retryOn: [{causes}] }} }}"
    );
    begun(SOLO, &[&stage])
}

#[test]
fn a_cause_that_is_not_tried_again_ends_the_block_at_once() {
    let mut fold = retried_on("no-bids");
    fold.slot(200, &[]);
    exhausted(&fold, GaveUp::Attempts(Cause::Timeout));
    let mut fold = retried_on("timeout");
    fold.slot(100, &[]);
    assert_eq!(fold.status(1), Status::Running, "a late worker is replaced");
    let mut fold = retried_on("timeout");
    let receipt = fold.deliver(WORKER);
    fold.slot(0, &[]);
    fold.judge(0, &receipt, OBJECTION);
    exhausted(&fold, GaveUp::Attempts(Cause::VerificationFailed));
}

#[test]
fn an_offer_that_nobody_takes_is_given_up_where_no_bids_is_no_cause_to_wait() {
    let mut fold = Fold::new(1);
    let stage = "a: { uses: noop, retry: { retryOn: [timeout] } }";
    fold.submit(&noops("terms", SOLO, &[stage]), ohc(5));
    fold.slot(50, &[]);
    exhausted(&fold, GaveUp::Attempts(Cause::NoBids));
}

#[test]
fn a_deadline_counts_from_the_first_offer_over_all_attempts() {
    let stage = "a: { uses: noop, deadline: 3s, timeout: 2s, retry: { backoff: { initial: 0s } } }";
    let mut fold = begun(SOLO, &[stage]);
    fold.slot(200, &[]);
    assert_eq!(fold.status(1), Status::Running);
    fold.bid(WORKER, 500_000);
    fold.slot(90, &[]);
    assert_eq!(fold.held(WORKER).len(), 1);
    let bad = fold.events.iter().filter(|e| matches!(e, Event::Lapsed { .. })).count();
    fold.slot(20, &[]);
    exhausted(&fold, GaveUp::Deadline);
    let after = fold.events.iter().filter(|e| matches!(e, Event::Lapsed { .. })).count();
    assert_eq!(bad, after, "who is in time pays nothing");
    assert!(!fold.state.is_waiting());
}

#[test]
fn what_is_delivered_before_the_deadline_is_settled_after_it() {
    let mut fold = begun(SOLO, &["a: { uses: noop, deadline: 1s, verification: full }"]);
    let receipt = fold.deliver(WORKER);
    fold.slot(200, &[]);
    fold.judge(0, &receipt, Finding::Agree);
    ended(&fold, |ending| *ending == Ending::Settled);
}

#[test]
fn a_run_that_takes_longer_than_its_deadline_ends() {
    let spec = "  run: { deadline: 2s, limits: { jobsPerBlock: 1 } }\n";
    let mut fold = begun(spec, &[GOOD, "b: { uses: noop, needs: [good] }"]);
    work(&mut fold, "good");
    fold.slot(200, &[]);
    ended(&fold, |ending| *ending == Ending::Overdue);
}

#[test]
fn the_budget_of_a_stage_bounds_what_its_blocks_cost() {
    // A no-op costs at most 1,000,000 nano-OhC per unit, 100 units, and gas.
    let [cells, all] = sweep(" }", "1, 2, 3");
    let cells = format!("{cells}, budget: {{ total: \"0.23\" }} }}");
    let mut fold = begun(SOLO, &[&cells, &all, GOOD]);
    work_on(&mut fold);
    let stage = "cell".to_owned();
    assert_eq!(fold.status(1), Status::Paused(Pause::StageBudget { stage }));
    assert!(run(&fold).result(job(&fold, "good")).is_some(), "other stages go on");
    fold.send(CLIENT, Command::Cancel { run: RUN });
    ended(&fold, |ending| *ending == Ending::Cancelled);
}

#[test]
fn a_budget_that_is_used_up_may_end_the_run() {
    let mut fold = Fold::new(1);
    let text = noops("terms", SOLO, &[GOOD]);
    let text = text.replace("total: \"5.00\"", "total: \"5.00\", onExhausted: fail");
    fold.submit(&text, Ohc::from_nano(1_000));
    ended(&fold, |ending| *ending == Ending::Unpaid);
    let [cells, all] = sweep(" }", "1, 2, 3");
    let cells = format!("{cells}, budget: {{ total: \"0.05\" }} }}");
    let text = noops("terms", SOLO, &[&cells, &all]);
    let text = text.replace("total: \"5.00\"", "total: \"5.00\", onExhausted: fail");
    fold.submit(&text, ohc(5));
    exhausted(&fold, GaveUp::Budget);
}

fn cached(mode: &str) -> String {
    noops("terms", SOLO, &[&format!("a: {{ uses: noop, verification: full, cache: {mode} }}")])
}

fn offers(events: &[Event]) -> usize {
    events.iter().filter(|e| matches!(e, Event::Offered { .. })).count()
}

/// The same pipeline, for another client.
fn submit_for(fold: &mut Fold, who: Who, text: &str) -> Vec<Event> {
    let submission = submission(text.to_owned(), Vec::new(), ohc(5));
    fold.send(who, Command::Submit(Box::new(submission)))
}

#[test]
fn a_cache_that_is_off_runs_its_jobs_at_every_apply() {
    let mut fold = begun(SOLO, &["a: { uses: noop, verification: full, cache: off }"]);
    work_on(&mut fold);
    assert_eq!(offers(&fold.submit(&cached("off"), ohc(5))), 1);
    work_on(&mut fold);
    assert_eq!(offers(&fold.submit(&cached("settled"), ohc(5))), 0, "others may use it");
}

#[test]
fn a_private_cache_uses_only_results_of_the_same_client() {
    let mut fold = begun(SOLO, &["a: { uses: noop, verification: full }"]);
    work_on(&mut fold);
    let other = Who::Client(1);
    let text = cached("private");
    assert_eq!(offers(&submit_for(&mut fold, CLIENT, &text)), 0, "its own");
    assert_eq!(offers(&submit_for(&mut fold, other, &text)), 1, "another's");
    work_on(&mut fold);
    assert_eq!(offers(&submit_for(&mut fold, other, &text)), 0, "its own by now");
}

#[test]
fn of_others_only_what_was_computed_again_from_end_to_end_is_used() {
    // A no-op has one segment: who draws one draws all.
    for (terms, is_free) in [("none", false), ("{ audit: { rate: 1.0, segments: 1 } }", true)] {
        let stage = format!("a: {{ uses: noop, verification: {terms} }}");
        let mut fold = begun(SOLO, &[&stage]);
        work_on(&mut fold);
        let text = noops("terms", SOLO, &[&stage]);
        assert_eq!(offers(&submit_for(&mut fold, CLIENT, &text)), 0, "{terms}: its own");
        let offered = offers(&submit_for(&mut fold, Who::Client(1), &text));
        assert_eq!(offered == 0, is_free, "{terms}");
    }
}

#[test]
fn a_result_that_is_too_old_is_made_again_and_is_young_then() {
    let mut fold = begun(SOLO, &["a: { uses: noop, verification: full }"]);
    work_on(&mut fold);
    fold.slot(200, &[]);
    let text = cached("{ mode: settled, maxAge: 1s }");
    assert_eq!(offers(&fold.submit(&text, ohc(5))), 1);
    work_on(&mut fold);
    assert_eq!(offers(&fold.submit(&text, ohc(5))), 0);
}

#[test]
fn a_block_is_never_given_to_a_worker_that_has_too_little() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 1);
    let stage = "a: { uses: noop, resources: { cpu: \"4..\", memory: 1GiB.. } }";
    fold.submit(&noops("terms", SOLO, &[stage]), ohc(5));
    assert!(fold.held(WORKER).is_empty());
    let has = Equipment { cores: 8, memory: 2 << 30, gpus: 0 };
    let ask = ohc::base::amount::Price::new(900_000);
    let capacity = ohc::base::amount::Work::new(1_000);
    fold.send(Who::Worker(1), Command::Bid(Bid { ask, capacity, has }));
    assert_eq!(fold.held(Who::Worker(1)).len(), 1, "dearer, but it can");
}

#[test]
fn whoever_plans_is_told_what_the_workers_lack() {
    let gib = 1u64 << 30;
    let worker = |cores, memory, gpus, kinds: &str| {
        let (ask, capacity) = (Price::new(1), Work::new(1_000));
        let has = Equipment { cores, memory: memory * gib, gpus };
        let takes = if kinds.is_empty() { Classes::ALL } else { Classes::read(kinds).unwrap() };
        forecast::Stall { bid: Bid { ask, capacity, has }, takes }
    };
    let fold = Fold::new(1);
    let check = |stage: &str, bids: &[forecast::Stall], message: &str, advice: &str| {
        let manifest = noops("terms", SOLO, &[&format!("a: {{ uses: noop{stage} }}")]);
        let (manifest, plan) = plan::derive(&submission(manifest, Vec::new(), ohc(5))).unwrap();
        let (client, name) = (&CLIENT.key(), manifest.name.as_str());
        let wish = forecast::Wish { client, name, bids, again: &[] };
        let forecast = forecast::forecast(&fold.state, &plan, &wish, &|_| false).unwrap();
        let told = forecast.warnings(&manifest, &plan);
        let messages: Vec<&str> = told.iter().map(|warning| warning.message.as_str()).collect();
        let wanted: Vec<&str> = Some(message).into_iter().filter(|m| !m.is_empty()).collect();
        assert_eq!(messages, wanted);
        let mut hints = told.iter().filter_map(|warning| warning.hint.as_deref());
        assert!(hints.all(|hint| hint.contains(advice)), "{told:?}");
    };
    let big = ", resources: { cpu: 4.., memory: 2GiB.., gpu: 1.. }";
    let (all, other) = (worker(8, 4, 1, ""), worker(8, 4, 1, "train"));
    check(big, &[all, other], "", "");
    // Of what is asked for, that of which nobody has enough.
    let said = "no worker has what stage `a` asks for: `gpu: 1..`";
    check(big, &[worker(8, 4, 0, ""), worker(2, 4, 0, "")], said, "lower its `resources`");
    let said = "no worker has what stage `a` asks for: `cpu: 4..`, `memory: 2GiB..`, `gpu: 1..`";
    check(big, &[worker(8, 1, 0, ""), worker(2, 4, 1, "")], said, "lower its `resources`");
    // There is a worker that has it; its jobs are of a kind that it leaves to others.
    let said = "no worker takes on the jobs of stage `a`: noop";
    check(big, &[other, worker(8, 4, 1, "evaluate")], said, "`--classes`");
    let said = "no worker that has what stage `a` asks for (`cpu: 4..`, `memory: 2GiB..`, \
        `gpu: 1..`) takes on its jobs: noop";
    check(big, &[other, worker(8, 4, 0, "")], said, "has it and whose `--classes`");
    let said =
        "no worker has what stage `a` asks for: `gpu: 1..`; and none takes on its jobs: noop";
    check(big, &[worker(8, 4, 0, "train")], said, "has it and whose `--classes`");
    let two = ", verification: { replicate: 2 }";
    let said = "stage `a` asks for 2 different workers for each job, and there are fewer that \
        could do it";
    check(two, &[all, other], said, "lower its `replicate`");
    check(two, &[other, other], "no worker takes on the jobs of stage `a`: noop", "`--classes`");
}

#[test]
fn a_block_is_never_given_to_a_worker_that_bids_for_other_kinds_of_jobs() {
    let mut fold = Fold::new(1);
    let bid =
        |ask| Bid { ask: Price::new(ask), capacity: Work::new(1_000), has: Equipment::default() };
    let bid_for = |ask, kinds| {
        let classes = Classes::read(kinds).unwrap();
        Command::BidFor { bid: bid(ask), classes }
    };
    fold.send(WORKER, bid_for(1, "train,evaluate"));
    // Who plans it is told before.
    let told = |fold: &Fold| {
        let manifest = noops("terms", SOLO, &["a: { uses: noop }"]);
        let (manifest, plan) = plan::derive(&submission(manifest, Vec::new(), ohc(5))).unwrap();
        let bids = forecast::live_bids(&fold.state);
        let (client, name) = (&CLIENT.key(), manifest.name.as_str());
        let wish = forecast::Wish { client, name, bids: &bids, again: &[] };
        let forecast = forecast::forecast(&fold.state, &plan, &wish, &|_| false).unwrap();
        let all = forecast.warnings(&manifest, &plan);
        all.into_iter().map(|warning| warning.message).collect::<Vec<_>>()
    };
    assert_eq!(told(&fold), ["no worker takes on the jobs of stage `a`: noop"]);
    fold.submit(&noops("terms", SOLO, &["a: { uses: noop }"]), ohc(5));
    assert!(fold.held(WORKER).is_empty());
    assert_eq!(fold.state.workers()[&WORKER.key()].takes.to_string(), "train,evaluate");
    let events = fold.slot(200, &[]);
    let raised = events.iter().any(|event| matches!(event, Event::Repriced { .. }));
    assert!(raised, "nobody wants it at this price: {events:?}");
    let other = Who::Worker(1);
    fold.send(other, bid_for(900_000, "train,noop"));
    assert_eq!(told(&fold), [""; 0]);
    assert_eq!(fold.held(other).len(), 1, "dearer, but it takes on such jobs");
    fold.submit(&noops("more", SOLO, &["b: { uses: noop }"]), ohc(5));
    assert!(fold.held(WORKER).is_empty());
    fold.send(WORKER, Command::Bid(bid(1)));
    fold.submit(&noops("most", SOLO, &["c: { uses: noop, with: { tag: 9 } }"]), ohc(5));
    assert!(!fold.held(WORKER).is_empty(), "a bid that names none is for all");
}

#[test]
fn a_paused_run_offers_nothing_and_settles_what_is_leased() {
    let mut fold = begun(SOLO, &[GOOD, "b: { uses: noop, needs: [good] }"]);
    refused(&fold.send(Who::Client(1), Command::Pause { run: RUN }), Reject::NotYours);
    fold.send(CLIENT, Command::Pause { run: RUN });
    assert_eq!(fold.status(1), Status::Paused(Pause::Client));
    refused(&fold.send(CLIENT, Command::Pause { run: RUN }), Reject::NotRunning);
    work(&mut fold, "good");
    assert!(fold.held(WORKER).is_empty());
    let resume = Command::Resume { run: RUN, added: Ohc::ZERO };
    refused(&fold.send(Who::Client(1), resume.clone()), Reject::NotYours);
    fold.send(CLIENT, resume.clone());
    refused(&fold.send(CLIENT, resume), Reject::NotPaused);
    work_on(&mut fold);
    ended(&fold, |ending| *ending == Ending::Settled);
}

#[test]
fn r3_a_run_that_is_resumed_goes_on_with_what_is_added_to_its_escrow() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&noops("terms", SOLO, &[GOOD]), Ohc::from_nano(1_000));
    assert_eq!(fold.status(1), Status::Paused(Pause::Budget));
    let too_much = Command::Resume { run: RUN, added: ohc(1_000) };
    refused(&fold.send(CLIENT, too_much), Reject::Short);
    assert_eq!(fold.state.ledger().pending(Hold::Escrow(RUN)), Some(Ohc::from_nano(1_000)));
    fold.send(CLIENT, Command::Resume { run: RUN, added: ohc(5) });
    work_on(&mut fold);
    ended(&fold, |ending| *ending == Ending::Settled);
    let resume = Command::Resume { run: RUN, added: ohc(1) };
    refused(&fold.send(CLIENT, resume), Reject::NoRun);
}

#[test]
fn an_attempt_that_was_the_last_is_the_last_while_the_run_stands_still_too() {
    let stage = "a: { uses: noop, retry: { maxAttempts: 1 } }";
    let mut fold = begun(SOLO, &[stage]);
    fold.send(CLIENT, Command::Pause { run: RUN });
    fold.slot(200, &[]);
    exhausted(&fold, GaveUp::Attempts(Cause::WorkerLost));
}

#[test]
fn a_block_that_is_offered_after_a_pause_counts_its_attempts_on() {
    let mut fold = begun(SOLO, &["a: { uses: noop }"]);
    fold.send(CLIENT, Command::Pause { run: RUN });
    fold.slot(200, &[]);
    fold.bid(WORKER, 500_000);
    let block = BlockId { run: RUN, index: 0 };
    assert!(matches!(run(&fold).block(0).unwrap().phase, Phase::Waiting));
    fold.send(CLIENT, Command::Resume { run: RUN, added: Ohc::ZERO });
    assert_eq!(fold.held(WORKER), [LeaseId { block, attempt: 2 }]);
}
