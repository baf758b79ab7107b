//! Shards that are late: a merge with a quorum waits for the others as long as its grace, and goes
//! on without them. On the bare fold; never runs a role.

use crate::fold::{CLIENT, Fold, WORKER};
use crate::ground::{noops, ohc, pin, submission};
use ohc::base::ids::LeaseId;
use ohc::domain::command::Command;
use ohc::domain::event::{Ending, Event, GaveUp};
use ohc::domain::state::run::{Run, Status};
use ohc::domain::verdict::Finding;

/// Three shards are at work on the first round of two, with these words about their merge.
fn begun(merge: &str) -> Fold {
    let train = format!(
        "train: {{ uses: train, verification: full, onFailure: continue, inputs: {{ data: \
         table.table }}, with: {{ model: {{ kind: mlp, hidden: [8] }}, target: species, parallel: \
         {{ shards: 3, rounds: 2, localSteps: 5, merge: {{ rule: mean{merge} }} }} }} }}"
    );
    let table = "table: { uses: ingest, inputs: { rows: sources.iris } }";
    let spec = "  sources: { iris: { url: iris.csv, format: csv } }\n";
    let text = noops("late", spec, &[table, &train]);
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    let submission = submission(text, vec![pin("iris")], ohc(50));
    fold.send(CLIENT, Command::Submit(Box::new(submission)));
    while fold.held(WORKER).len() == 1 {
        work(&mut fold, 0);
    }
    assert_eq!(fold.held(WORKER).len(), 3);
    fold
}

fn run(fold: &Fold) -> &Run {
    fold.state.runs().values().next().unwrap()
}

/// Works one of the leases off.
fn work(fold: &mut Fold, which: usize) {
    let receipt = fold.receipt(fold.held(WORKER)[which]);
    fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
    fold.slot(0, &[]);
    fold.judge(0, &receipt, Finding::Agree);
}

fn label(fold: &Fold, lease: LeaseId) -> String {
    run(fold).first_job(lease.block.index).unwrap().label.clone()
}

fn given_up(fold: &Fold) -> Vec<GaveUp> {
    let each = fold.events.iter();
    each.filter_map(|event| match event {
        Event::GivenUp { why, .. } => Some(*why),
        _ => None,
    })
    .collect()
}

const GRACE: &str = ", quorum: 2, grace: 500ms";

#[test]
fn who_is_later_than_the_grace_is_not_merged_and_not_paid() {
    let mut fold = begun(GRACE);
    work(&mut fold, 0);
    fold.slot(60, &[]);
    assert_eq!((given_up(&fold), fold.held(WORKER).len()), (vec![], 2), "there is no quorum yet");
    work(&mut fold, 0);
    fold.slot(40, &[]);
    assert_eq!(fold.held(WORKER).len(), 1, "the third is waited for");
    fold.slot(11, &[]);
    assert_eq!(given_up(&fold), [GaveUp::Deadline]);
    let held = fold.held(WORKER);
    assert_eq!((held.len(), label(&fold, held[0]).as_str()), (1, "#round 1/2 merge"));
    let merge = run(&fold).plan.blocks[held[0].block.index as usize].jobs[0];
    assert_eq!(run(&fold).inputs(merge).len(), 3, "the state and two shards");
    // The next round has three again: nobody is held to what was.
    work(&mut fold, 0);
    assert_eq!(fold.held(WORKER).len(), 3);
    while !fold.held(WORKER).is_empty() {
        work(&mut fold, 0);
    }
    assert!(matches!(&run(&fold).status, Status::Ended { ending: Ending::Settled, .. }));
    assert_eq!(fold.held_money(), 0);
}

#[test]
fn who_has_delivered_within_the_grace_is_merged_though_it_is_judged_later() {
    let mut fold = begun(GRACE);
    work(&mut fold, 0);
    work(&mut fold, 0);
    let receipt = fold.receipt(fold.held(WORKER)[0]);
    fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
    fold.slot(150, &[]);
    fold.judge(0, &receipt, Finding::Agree);
    assert_eq!(given_up(&fold), []);
    let merge = run(&fold).plan.blocks[fold.held(WORKER)[0].block.index as usize].jobs[0];
    assert_eq!(run(&fold).inputs(merge).len(), 4);
}

#[test]
fn without_a_grace_a_quorum_waits_as_long_as_it_takes() {
    let mut fold = begun(", quorum: 2");
    work(&mut fold, 0);
    work(&mut fold, 0);
    fold.slot(150, &[]);
    assert_eq!((given_up(&fold), fold.held(WORKER).len()), (vec![], 1));
}
